/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* One setting: how its text is read into a member of a struct, and written again.
 *
 *     kind      text                                 member
 *     TEXT      as it is, "null" for none            char *
 *     BOOL      words[0] for false, words[1] for     bool
 *               true; or false/true, no/yes,
 *               off/on, 0/1 where there are no words
 *     INTEGER   4096, or auto                        uint64_t
 *     DURATION  250ms, 10s, 5m, 24h, 7d              uint64_t, milliseconds
 *     SIZE      4096, 64k, 16M, 1G (of 1,024)        uint64_t, bytes
 *     LIST      a text each                          char *[max], and an unsigned for the count */
typedef enum {
    FB_SETTING_TEXT,
    FB_SETTING_BOOL,
    FB_SETTING_INTEGER,
    FB_SETTING_DURATION,
    FB_SETTING_SIZE,
    FB_SETTING_LIST,
} fb_setting_kind_t;

typedef struct {
    const char *key;      /* "limits.idle_timeout"; NULL: neither in the file nor a variable */
    const char *flag;     /* "--threads", or NULL */
    const char *argument; /* what the help calls the flag's value */
    unsigned commands;    /* of fb_options_for_t: which ones take the flag */
    bool is_not_in_file;
    fb_setting_kind_t kind;
    size_t offset, count_offset; /* of the members */
    uint64_t min, max;           /* of a number; of a list, `max` is the most texts */
    bool is_unique;              /* no text is twice in the list */
    const char *words[2];
    const char *initial; /* the default as text, a list with commas; NULL: none */
    uint64_t (*automatic)(void);
    /* Fills `reason` where the text, of a TEXT or of a LIST, will not do. */
    fb_code_t (*check)(const char *text, fb_error_t *reason);
    /* Appends the text as it may be shown. NULL: as it is. */
    void (*show)(const char *text, fb_buffer_t *shown);
    const char *help;
} fb_setting_t;

#define FB_SETTING_TEXT_BYTES_MAX 1024

/* Sets the member in `base` from `count` texts; what it held is freed. FB_CONFIG says `where` the
 * texts stand, and changes nothing. */
fb_code_t fb_setting_put(const fb_setting_t *setting, void *base, const char *const *texts,
                         size_t count, const char *where, fb_error_t *error);
/* As fb_setting_put, from one text: that of a list has commas between its items. */
fb_code_t fb_setting_put_text(const fb_setting_t *setting, void *base, const char *text,
                              const char *where, fb_error_t *error);
void fb_setting_dispose(const fb_setting_t *setting, void *base);

/* Appends the value as a YAML value on one line, or, of a list, on lines of its own. */
void fb_setting_put_yaml(const fb_setting_t *setting, const void *base, fb_buffer_t *yaml);
/* What is expected of a text: "a whole number from 1 to 64, or auto". */
void fb_setting_put_expected(const fb_setting_t *setting, fb_buffer_t *text);
/* The variable: FLEETBIT_LIMITS_IDLE_TIMEOUT. */
#define FB_SETTING_VARIABLE_BYTES 64
void fb_setting_variable(const fb_setting_t *setting, char variable[FB_SETTING_VARIABLE_BYTES]);
