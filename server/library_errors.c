/* SPDX-License-Identifier: MIT */
#include "server/library_errors.h"

#include "base/assert.h"
#include "server/bodies.h"
#include "server/h2_guard.h"
#include "server/library.h"
#include "server/reply.h"

/* NULL on threads that are no loops of the server. */
static __thread fb_loop_t *own_loop;
/* The request whose error the library is about to send. */
static __thread h2o_req_t *failing;

static struct {
    __typeof__(&h2o_send_error_generic) send_error_generic;
    __typeof__(&h2o_send_inline) send_inline;
} library;

void fb_library_errors_init(fb_loop_t *loop)
{
    fb_assert(library.send_error_generic != NULL && library.send_inline != NULL);
    own_loop = loop;
}

/* The length of the target of a head that the library gave up on, as far as it has come. */
static size_t target_bytes(h2o_req_t *req)
{
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    if (req->version >= 0x200 || sock == NULL || sock->input == NULL)
        return 0;
    fb_slice_t input = {sock->input->bytes, sock->input->size};
    const char *space = input.len ? memchr(input.at, ' ', input.len) : NULL;
    if (space == NULL)
        return 0;
    size_t rest = input.len - (size_t)(space + 1 - input.at), len = 0;
    while (len < rest && space[1 + len] != ' ' && space[1 + len] != '\r' && space[1 + len] != '\n')
        len++;
    return len;
}

/* Only who declares the length of a body may send a large one. */
static void refuse_body(const h2o_req_t *req, fb_error_t *error)
{
    size_t usual = own_loop->server->body_bytes_max, most = fb_bodies_max_at(req, usual);
    if (most == usual)
        fb_fail(error, FB_BODY_TOO_LARGE, "a body has at most %zu bytes", most);
    else
        fb_fail(error, FB_BODY_TOO_LARGE,
                "a body has at most %zu bytes, and %zu where its length is not declared", most,
                usual);
}

/* Which of our errors an error of the library is. */
static void translate(h2o_req_t *req, int status, const char *detail, fb_error_t *error)
{
    const fb_status_t too_large = fb_status_of_code(FB_BODY_TOO_LARGE);
    bool is_refused = status == too_large.code || strcmp(detail, FB_H2_TOO_LARGE) == 0;
    if (is_refused && fb_bodies_lacks_room(req))
        fb_fail(error, FB_QUEUE_FULL, "too many large bodies are being received");
    else if (is_refused)
        refuse_body(req, error);
    else if (target_bytes(req) > FB_TARGET_BYTES_MAX)
        fb_fail(error, FB_TARGET_TOO_LONG, "a target has at most %d bytes", FB_TARGET_BYTES_MAX);
    else
        fb_fail(error, FB_MALFORMED, "the request cannot be read: %s", detail);
}

void h2o_send_error_generic(h2o_req_t *req, int status, const char *reason, const char *body,
                            int flags)
{
    if (own_loop == NULL) {
        library.send_error_generic(req, status, reason, body, flags);
        return;
    }
    fb_error_t error = {0};
    fb_exchange_t exchange;
    translate(req, status, body, &error);
    fb_exchange_begin(&exchange, own_loop, req);
    const char *problem = fb_reply_library_problem(&exchange, &error);
    fb_status_t own = fb_status_of_code(error.code);
    failing = req;
    library.send_error_generic(req, own.code, own.reason, problem,
                               flags | H2O_SEND_ERROR_KEEP_HEADERS);
    failing = NULL;
}

/* The library's h2o_send_error_generic ends in this call, having named the body text/plain. */
void h2o_send_inline(h2o_req_t *req, const char *body, size_t len)
{
    if (failing == req)
        fb_reply_name_problem(req);
    library.send_inline(req, body, len);
}

__attribute__((constructor)) static void replace(void)
{
    *(void **)&library.send_error_generic =
        fb_library_replace("h2o_send_error_generic", (const void *)h2o_send_error_generic);
    *(void **)&library.send_inline =
        fb_library_replace("h2o_send_inline", (const void *)h2o_send_inline);
}
