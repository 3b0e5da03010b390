/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/resources/model.h"

/* One step of a random program: a request, and what the model says of it. */
typedef struct {
    char method[8], path[80], body[512];
    fb_code_t code;    /* FB_OK: it lands */
    const char *field; /* that the error names first; NULL: none */
    uint32_t ids[FB_PATH_IDS_MAX];
    uint32_t touched; /* the machine that it is about; 0: one that is not */
} step_t;

static inline void step_fails(step_t *step, fb_code_t code, const char *field)
{
    if (step->code != FB_OK)
        return;
    step->code = code;
    step->field = field;
}

static inline void step_add(step_t *step, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline void step_add(step_t *step, const char *format, ...)
{
    size_t len = strlen(step->body);
    va_list args;
    va_start(args, format);
    int added = vsnprintf(step->body + len, sizeof(step->body) - len, format, args);
    va_end(args);
    assert_true(added >= 0 && len + (size_t)added < sizeof(step->body));
}

/* Each member has a comma before it: the first one's becomes the brace. */
static inline void step_close(step_t *step)
{
    if (step->body[0] == '\0')
        step_add(step, "{");
    step->body[0] = '{';
    step_add(step, "}");
}
