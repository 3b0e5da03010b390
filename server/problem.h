/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/resource.h"

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
/* Appends the error in the form that the clients of a family read (NULL: of none), which is of the
 * media type that fb_problem_type names. */
void fb_problem_put(fb_buffer_t *body, const fb_error_t *error, const fb_resource_t *owner,
                    fb_slice_t request_id);
const char *fb_problem_type(const fb_resource_t *owner);
/* The status of an error, for those clients. */
fb_status_t fb_status_of(const fb_error_t *error, const fb_resource_t *owner);
