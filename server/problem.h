/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* The one place where HTTP status codes stand. */
typedef struct {
    int code;
    const char *reason;
} fb_status_t;

/* What went well. */
typedef enum {
    FB_SUCCESS_OK,
    FB_SUCCESS_CREATED,
    FB_SUCCESS_ACCEPTED,
    FB_SUCCESS_EMPTY,
    FB_SUCCESS_NOT_MODIFIED
} fb_success_t;

/* Is it the server that failed, and not the client? */
bool fb_status_is_failure(fb_status_t status);
fb_status_t fb_status_of_success(fb_success_t success);
fb_status_t fb_status_of_code(fb_code_t code);

/* After how many seconds a client may try again; 0: the code says nothing of that. */
unsigned fb_problem_retry_after_s(fb_code_t code);

/* Appends the error of one part of a request that succeeded otherwise, as fb_problem_put has it,
 * but for the request's id. */
void fb_problem_put_part(fb_buffer_t *body, const fb_error_t *error);
/* Appends the error as application/problem+json (RFC 9457). `noun` (NULL: none) is that of a family
 * whose clients read a `message`; they know no 422 (fb_status_of). */
void fb_problem_put(fb_buffer_t *body, const fb_error_t *error, const char *noun,
                    fb_slice_t request_id);
/* The status of an error, for clients of a family with that noun. */
fb_status_t fb_status_of(const fb_error_t *error, const char *noun);
