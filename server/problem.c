/* SPDX-License-Identifier: MIT */
#include "server/problem.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/json.h"
#include "resources/args.h"

fb_status_t fb_status_of_success(fb_success_t success)
{
    switch (success) {
    case FB_SUCCESS_OK:
        return (fb_status_t){200, "OK"};
    case FB_SUCCESS_CREATED:
        return (fb_status_t){201, "Created"};
    case FB_SUCCESS_ACCEPTED:
        return (fb_status_t){202, "Accepted"};
    case FB_SUCCESS_EMPTY:
        return (fb_status_t){204, "No Content"};
    case FB_SUCCESS_NOT_MODIFIED:
        return (fb_status_t){304, "Not Modified"};
    }
    fb_assert(false);
}

fb_status_t fb_status_of_code(fb_code_t code)
{
    switch (code) {
    case FB_OK:
        return (fb_status_t){200, "OK"};
    case FB_MALFORMED:
        return (fb_status_t){400, "Bad Request"};
    case FB_NOT_FOUND:
        return (fb_status_t){404, "Not Found"};
    case FB_METHOD_NOT_ALLOWED:
        return (fb_status_t){405, "Method Not Allowed"};
    case FB_TIMED_OUT:
        return (fb_status_t){408, "Request Timeout"};
    case FB_CONFLICT:
    case FB_OTHER_EPOCH:
        return (fb_status_t){409, "Conflict"};
    case FB_PRECONDITION_FAILED:
        return (fb_status_t){412, "Precondition Failed"};
    case FB_BODY_TOO_LARGE:
        return (fb_status_t){413, "Content Too Large"};
    case FB_TARGET_TOO_LONG:
        return (fb_status_t){414, "URI Too Long"};
    case FB_MEDIA_TYPE:
        return (fb_status_t){415, "Unsupported Media Type"};
    case FB_INVALID:
        return (fb_status_t){422, "Unprocessable Content"};
    case FB_TOO_MANY:
        return (fb_status_t){429, "Too Many Requests"};
    case FB_QUEUE_FULL:
    case FB_UNAVAILABLE:
    case FB_BEHIND:
    case FB_CONTENDED:
    case FB_OUTCOME_UNKNOWN:
        return (fb_status_t){503, "Service Unavailable"};
    case FB_INTERNAL:
    case FB_STALE:
    case FB_TRIMMED:
    case FB_DIVERGED:
    case FB_ARCHIVED:
    case FB_IN_USE:
    case FB_CONFIG:
    case FB_IO:
    case FB_CODE_COUNT:
        return (fb_status_t){500, "Internal Server Error"};
    }
    fb_assert(false);
}

bool fb_status_is_failure(fb_status_t status)
{
    return status.code >= 500;
}

unsigned fb_problem_retry_after_s(fb_code_t code)
{
    bool again = code == FB_UNAVAILABLE || code == FB_BEHIND || code == FB_OUTCOME_UNKNOWN ||
                 code == FB_QUEUE_FULL || code == FB_TOO_MANY || code == FB_CONTENDED;
    return again ? 1 : 0;
}

static void put_fields(fb_buffer_t *body, const fb_error_t *error)
{
    unsigned shown =
        error->field_count < FB_ERROR_FIELDS_MAX ? error->field_count : FB_ERROR_FIELDS_MAX;
    fb_buffer_put_literal(body, ",\"errors\":[");
    for (unsigned i = 0; i < shown; i++) {
        fb_buffer_put_text(body, i ? ",{\"field\":" : "{\"field\":");
        fb_json_put_string(body, fb_slice(error->fields[i].field));
        fb_buffer_put_literal(body, ",\"detail\":");
        fb_json_put_string(body, fb_slice(error->fields[i].detail));
        fb_buffer_put_char(body, '}');
    }
    fb_buffer_put_char(body, ']');
}

static void put_members(fb_buffer_t *body, const fb_error_t *error, fb_status_t status)
{
    fb_buffer_printf(body, "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d,\"detail\":",
                     fb_code_name(error->code), fb_code_title(error->code), status.code);
    fb_json_put_string(body, fb_slice(error->detail));
    put_fields(body, error);
}

void fb_problem_put_part(fb_buffer_t *body, const fb_error_t *error)
{
    put_members(body, error, fb_status_of_code(error->code));
    fb_buffer_put_char(body, '}');
}

/* In the words of the systems whose clients read it. */
static void put_message(fb_buffer_t *body, const fb_error_t *error, const char *noun)
{
    char message[FB_ERROR_DETAIL_BYTES];
    const fb_error_field_t *field = &error->fields[0];
    if (error->code == FB_NOT_FOUND)
        snprintf(message, sizeof(message), "%s not found", noun);
    else if (error->field_count > 0 && strcmp(field->detail, FB_ARGS_REQUIRED) == 0)
        snprintf(message, sizeof(message), "Missing required field: %s", field->field);
    else
        snprintf(message, sizeof(message), "%s", error->detail);
    fb_buffer_put_literal(body, ",\"message\":");
    fb_json_put_string(body, fb_slice(message));
}

static void put_problem(fb_buffer_t *body, const fb_error_t *error, const fb_resource_t *owner,
                        fb_slice_t request_id)
{
    put_members(body, error, fb_status_of(error, owner));
    if (owner != NULL && owner->noun != NULL)
        put_message(body, error, owner->noun);
    fb_buffer_put_literal(body, ",\"request_id\":");
    fb_json_put_string(body, request_id);
    fb_buffer_put_char(body, '}');
}

static void put_data(fb_buffer_t *body, const fb_error_t *error)
{
    fb_buffer_printf(
        body, "{\"data\":null,\"error\":{\"code\":\"%s\",\"message\":", fb_code_name(error->code));
    fb_json_put_string(body, fb_slice(error->detail));
    fb_buffer_put_literal(body, "}}");
}

static fb_errors_t form_of(const fb_resource_t *owner)
{
    return owner != NULL ? owner->errors : FB_ERRORS_PROBLEM;
}

fb_status_t fb_status_of(const fb_error_t *error, const fb_resource_t *owner)
{
    bool is_old = form_of(owner) != FB_ERRORS_PROBLEM || (owner != NULL && owner->noun != NULL);
    return fb_status_of_code(is_old && error->code == FB_INVALID ? FB_MALFORMED : error->code);
}

const char *fb_problem_type(const fb_resource_t *owner)
{
    switch (form_of(owner)) {
    case FB_ERRORS_PROBLEM:
        return "application/problem+json";
    case FB_ERRORS_DATA:
        return "application/json";
    }
    fb_assert(false);
}

void fb_problem_put(fb_buffer_t *body, const fb_error_t *error, const fb_resource_t *owner,
                    fb_slice_t request_id)
{
    switch (form_of(owner)) {
    case FB_ERRORS_PROBLEM:
        put_problem(body, error, owner, request_id);
        break;
    case FB_ERRORS_DATA:
        put_data(body, error);
        break;
    }
}
