/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdarg.h>

#include "base/slice.h"

/* All that can go wrong: the code, its name (the last segment of the problem's `type`, RFC 9457
 * section 3.1.1) and its title. What HTTP status each gets stands in server/problem.c alone. */
#define FB_CODES(X)                                                                                \
    X(OK, "ok", "No error")                                                                        \
    X(MALFORMED, "malformed", "The request is malformed")                                          \
    X(NOT_FOUND, "not-found", "There is no such thing")                                            \
    X(METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here")                  \
    X(TIMED_OUT, "timed-out", "The request took too long")                                         \
    X(CONFLICT, "conflict", "The change conflicts with the state of the fleet")                    \
    X(OTHER_EPOCH, "other-epoch", "The revision is of another epoch")                              \
    X(PRECONDITION_FAILED, "precondition-failed", "The thing has changed since it was read")       \
    X(BODY_TOO_LARGE, "body-too-large", "The body is too large")                                   \
    X(TARGET_TOO_LONG, "target-too-long", "The request target is too long")                        \
    X(MEDIA_TYPE, "media-type", "The media type is not supported")                                 \
    X(INVALID, "invalid", "The request is well-formed but not valid")                              \
    X(TOO_MANY, "too-many-requests", "This connection has too many requests under way")            \
    X(QUEUE_FULL, "queue-full", "Too many requests are waiting")                                   \
    X(UNAVAILABLE, "unavailable", "The service is not available now")                              \
    X(BEHIND, "behind", "This instance does not show the revision yet")                            \
    X(CONTENDED, "contended", "Other instances wrote first, again and again")                      \
    X(OUTCOME_UNKNOWN, "outcome-unknown", "It is not known whether the write landed")              \
    X(INTERNAL, "internal", "The server failed")                                                   \
    X(STALE, "stale", "The log has moved on")                                                      \
    X(TRIMMED, "trimmed", "The log no longer reaches back that far")                               \
    X(DIVERGED, "diverged", "The log does not continue this state")                                \
    X(ARCHIVED, "archived", "It is in Redis alone")                                                \
    X(IN_USE, "in-use", "Somebody else uses it")                                                   \
    X(CONFIG, "config", "The configuration is wrong")                                              \
    X(IO, "io", "Input or output failed")

typedef enum {
#define FB_CODE_ENUM(code, name, title) FB_##code,
    FB_CODES(FB_CODE_ENUM)
#undef FB_CODE_ENUM
        FB_CODE_COUNT
} fb_code_t;

#define FB_ERROR_DETAIL_BYTES 320
#define FB_ERROR_FIELD_BYTES  80
#define FB_ERROR_FIELDS_MAX   8

typedef struct {
    char field[FB_ERROR_FIELD_BYTES];
    char detail[FB_ERROR_DETAIL_BYTES];
} fb_error_field_t;

/* Filled once, where the fault is seen, and passed up unchanged. Texts are UTF-8, cut at a whole
 * character. A zeroed one means no error. */
typedef struct {
    fb_code_t code;
    char detail[FB_ERROR_DETAIL_BYTES];
    unsigned field_count; /* fields that are wrong; at most FB_ERROR_FIELDS_MAX are named */
    fb_error_field_t fields[FB_ERROR_FIELDS_MAX];
} fb_error_t;

const char *fb_code_name(fb_code_t code);
const char *fb_code_title(fb_code_t code);

/* Fills `error` and returns `code`. */
fb_code_t fb_fail(fb_error_t *error, fb_code_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As fb_fail, for one wrong field: `detail` and an entry of `fields` say the same. A second call
 * adds a field and keeps the first code and detail. */
fb_code_t fb_fail_field(fb_error_t *error, fb_code_t code, fb_slice_t field, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));
