/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"

/* Many HTTP requests, each over one of so many connections that are kept: libcurl, in one thread.
 */
typedef struct fb_load fb_load_t;

typedef struct {
    const char *path; /* behind the URL; copied */
    fb_slice_t body;  /* sent by POST, as JSON; `at` NULL: a GET; borrowed until it is answered */
    uint64_t number;  /* what the answer says again */
} fb_load_request_t;

typedef struct {
    uint64_t number;
    long status; /* 0: there was no answer, and `reason` says why */
    const char *reason;
    fb_slice_t body;
    uint64_t took_us;
} fb_load_answer_t;

typedef struct {
    /* The next request, where there is one to send now. */
    bool (*next)(void *context, fb_load_request_t *request);
    void (*on_answer)(void *context, const fb_load_answer_t *answer);
    /* Asked at least ten times a second: then what is under way is given up. */
    bool (*is_cancelled)(void *context);
    void *context;
} fb_load_hooks_t;

/* Borrows the URL, which fb_http_check_url has seen. */
fb_load_t *fb_load_create(const char *url, unsigned connections);
void fb_load_destroy(fb_load_t **load);
/* Sends requests until `next` has none and all are answered, or it is cancelled. */
void fb_load_run(fb_load_t *load, const fb_load_hooks_t *hooks);

/* Is it a fleetbit that is ready? FB_UNAVAILABLE says what it is instead. */
fb_code_t fb_load_check(fb_load_t *load, fb_error_t *error);
