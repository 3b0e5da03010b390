/* SPDX-License-Identifier: MIT */
#include "server/dispatch.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "resources/registry.h"
#include "server/archive.h"
#include "server/bodies.h"
#include "server/feed_view.h"
#include "server/health.h"
#include "server/history.h"
#include "server/stream.h"

/* A write on its way to the writer and back. It outlives its request where the client leaves. */
typedef struct {
    h2o_multithread_message_t message;
    fb_write_t write;
    fb_exchange_t exchange; /* `req` is NULL once the client has left */
    fb_conn_t *conn;
    size_t kept; /* fb_bodies_wait */
} pending_t;

static fb_slice_t slice_of(h2o_iovec_t bytes)
{
    return (fb_slice_t){bytes.base, bytes.len};
}

static fb_slice_t path_of(const h2o_req_t *req)
{
    size_t len = req->query_at == SIZE_MAX ? req->path.len : req->query_at;
    return (fb_slice_t){req->path.base, len};
}

static fb_slice_t query_of(const h2o_req_t *req)
{
    if (req->query_at == SIZE_MAX || req->query_at + 1 >= req->path.len)
        return (fb_slice_t){NULL, 0};
    return (fb_slice_t){req->path.base + req->query_at + 1, req->path.len - req->query_at - 1};
}

/* --- bodies ------------------------------------------------------------------------------ */

static bool is_json(h2o_iovec_t type, bool merge_patch)
{
    size_t len = 0;
    while (len < type.len && type.base[len] != ';' && type.base[len] != ' ')
        len++;
    return h2o_lcstris(type.base, len, H2O_STRLIT("application/json")) ||
           (merge_patch && h2o_lcstris(type.base, len, H2O_STRLIT("application/merge-patch+json")));
}

/* RFC 9110, section 8.4: a coding that is not undone must not be ignored. */
static fb_code_t check_coding(const h2o_req_t *req, fb_error_t *error)
{
    ssize_t found = h2o_find_header(&req->headers, H2O_TOKEN_CONTENT_ENCODING, -1);
    if (found < 0)
        return FB_OK;
    h2o_iovec_t coding = req->headers.entries[found].value;
    if (h2o_lcstris(coding.base, coding.len, H2O_STRLIT("identity")))
        return FB_OK;
    return fb_fail_field(error, FB_MEDIA_TYPE, FB_SLICE("Content-Encoding"),
                         "a body must be sent as it is, not %.*s",
                         (int)(coding.len < 100 ? coding.len : 100), coding.base);
}

static fb_code_t check_media_type(const h2o_req_t *req, bool merge_patch, fb_error_t *error)
{
    ssize_t found = h2o_find_header(&req->headers, H2O_TOKEN_CONTENT_TYPE, -1);
    if (found < 0)
        return FB_OK; /* none given: RFC 9110, section 8.3, lets us take it for what we expect */
    h2o_iovec_t type = req->headers.entries[found].value;
    if (is_json(type, merge_patch))
        return FB_OK;
    return fb_fail_field(error, FB_MEDIA_TYPE, FB_SLICE("Content-Type"),
                         "a body must be application/json%s, not %.*s",
                         merge_patch ? " or application/merge-patch+json" : "",
                         (int)(type.len < 100 ? type.len : 100), type.base);
}

/* What a request with a body is asked with: the {id}s of its path, no query, and the body. */
static fb_code_t read_body(const h2o_req_t *req, const fb_server_t *server, const fb_route_t *route,
                           fb_args_t *args, fb_error_t *error)
{
    const fb_command_t *command = route->command;
    bool merges = command != NULL && command->body_mode == FB_BODY_MERGE;
    size_t body_bytes_max = fb_bodies_max(route->resource, server->body_bytes_max);
    fb_registry_begin_args(route, args);
    if (req->entity.len > body_bytes_max)
        return fb_fail(error, FB_BODY_TOO_LARGE, "a body has at most %zu bytes, this one %zu",
                       body_bytes_max, req->entity.len);
    fb_code_t code = fb_args_read_query(args, NULL, 0, query_of(req), error);
    if (code != FB_OK || (command != NULL && command->body == NULL))
        return code;
    code = check_media_type(req, merges, error);
    if (code == FB_OK)
        code = check_coding(req, error);
    if (code != FB_OK)
        return code;
    return fb_registry_read_body(route, slice_of(req->entity), args, error);
}

/* --- reads ------------------------------------------------------------------------------- */

static fb_code_t render(const fb_snapshot_t *snapshot, const fb_route_t *route, fb_slice_t query,
                        fb_args_t *args, fb_buffer_t *body, fb_error_t *error)
{
    fb_code_t code = fb_registry_read_args(route, query, args, error);
    if (code != FB_OK)
        return code;
    return route->view->render(snapshot, args, body, error);
}

static void answer_from_snapshot(fb_exchange_t *exchange, const fb_route_t *route)
{
    fb_loop_t *loop = exchange->loop;
    fb_args_t args = {0};
    fb_buffer_t body = {0};
    fb_error_t error = {0};
    fb_slice_t query = query_of(exchange->req);
    fb_code_t code = render(loop->snapshot, route, query, &args, &body, &error);
    if (code == FB_ARCHIVED) {
        fb_archive_answer(exchange, route, &args);
        return;
    }
    if (code != FB_OK) {
        fb_args_dispose(&args);
        fb_buffer_dispose(&body);
        fb_reply_problem(exchange, &error, NULL);
        return;
    }
    fb_memo_entry_t *entry = fb_memo_put(loop->memo, slice_of(exchange->req->path), loop->snapshot,
                                         route->view, &args, exchange->route, &body);
    fb_reply_entry(exchange, entry);
    h2o_mem_release_shared(entry);
}

/* A question in the body of a POST: asked of the snapshot, and the answer is not kept. */
static void answer_posted(fb_exchange_t *exchange, const fb_route_t *route)
{
    const fb_view_t *view = route->view;
    fb_loop_t *loop = exchange->loop;
    fb_args_t args = {0};
    fb_buffer_t body = {0};
    fb_error_t error = {0};
    fb_code_t code = read_body(exchange->req, loop->server, route, &args, &error);
    if (code == FB_OK)
        code = view->render(loop->snapshot, &args, &body, &error);
    fb_args_dispose(&args);
    if (code == FB_OK) {
        fb_reply_text(exchange, "application/json", &body);
        return;
    }
    fb_buffer_dispose(&body);
    fb_reply_problem(exchange, &error, NULL);
}

static void answer_view(fb_exchange_t *exchange, const fb_route_t *route)
{
    switch (route->view->source) {
    case FB_SOURCE_SNAPSHOT:
        answer_from_snapshot(exchange, route);
        break;
    case FB_SOURCE_POSTED:
        answer_posted(exchange, route);
        break;
    case FB_SOURCE_HISTORY:
        fb_history_answer(exchange, route, query_of(exchange->req));
        break;
    case FB_SOURCE_FEED:
        fb_feed_answer(exchange, route, query_of(exchange->req));
        break;
    case FB_SOURCE_EVENTS:
        fb_stream_answer(exchange, route, query_of(exchange->req));
        break;
    }
}

/* --- writes ------------------------------------------------------------------------------ */

static void free_pending(pending_t *pending)
{
    fb_write_dispose(&pending->write);
    fb_bodies_leave(pending->kept);
    free(pending);
}

static void on_request_gone(void *chunk)
{
    pending_t *pending = *(void **)chunk;
    if (pending != NULL)
        pending->exchange.req = NULL;
}

/* On the writer's thread. */
static void on_write_done(fb_write_t *write)
{
    pending_t *pending = H2O_STRUCT_FROM_MEMBER(pending_t, write, write);
    h2o_multithread_send_message(&pending->exchange.loop->answers, &pending->message);
}

void fb_dispatch_on_answers(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        pending_t *pending = H2O_STRUCT_FROM_MEMBER(pending_t, message.link, messages->next);
        h2o_linklist_unlink(&pending->message.link);
        fb_conn_write_end(pending->conn);
        if (pending->exchange.req != NULL) {
            /* The request may go while it is answered; its disposer must not look back here. */
            fb_exchange_t exchange = pending->exchange;
            *pending->exchange.anchor = NULL;
            if (pending->write.error.code == FB_OK)
                fb_reply_write(&exchange, &pending->write);
            else
                fb_reply_problem(&exchange, &pending->write.error, NULL);
        }
        free_pending(pending);
    }
}

/* The If-Match field, its lines joined (RFC 9110, section 5.3); NULL where there is none. */
static char *copy_if_match(const h2o_req_t *req)
{
    fb_buffer_t joined = {0};
    ssize_t at = -1;
    while ((at = h2o_find_header(&req->headers, H2O_TOKEN_IF_MATCH, at)) >= 0) {
        h2o_iovec_t line = req->headers.entries[at].value;
        fb_buffer_put_text(&joined, joined.len ? ", " : "");
        fb_buffer_put(&joined, line.base, line.len);
    }
    if (joined.at == NULL)
        return NULL;
    fb_buffer_put_char(&joined, '\0');
    return joined.at;
}

/* Of commands that are sent by POST: the others may be repeated as they are (RFC 9110, section
 * 9.2.2). */
static fb_code_t read_key(const h2o_req_t *req, const fb_route_t *route, fb_write_t *write,
                          fb_error_t *error)
{
    static const h2o_iovec_t name = {H2O_STRLIT("idempotency-key")};
    if (strcmp(route->command->method, "POST") != 0)
        return FB_OK;
    ssize_t found = h2o_find_header_by_str(&req->headers, name.base, name.len, -1);
    if (found < 0)
        return FB_OK;
    if (h2o_find_header_by_str(&req->headers, name.base, name.len, found) >= 0)
        return fb_fail_field(error, FB_MALFORMED, FB_SLICE("Idempotency-Key"), "is given twice");
    write->key = fb_alloc(sizeof(*write->key));
    return fb_idempotency_read(write->key, route->command->path, route->ids,
                               slice_of(req->headers.entries[found].value), slice_of(req->entity),
                               error);
}

static void submit(fb_exchange_t *exchange, pending_t *pending, fb_error_t *error)
{
    h2o_req_t *req = exchange->req;
    pending->conn = fb_conn_of(req);
    if (!fb_conn_write_begin(pending->conn)) {
        free_pending(pending);
        fb_fail(error, FB_TOO_MANY, "too many writes of this connection wait for their answers");
        fb_reply_problem(exchange, error, NULL);
        return;
    }
    exchange->anchor = h2o_mem_alloc_shared(&req->pool, sizeof(void *), on_request_gone);
    *exchange->anchor = pending;
    pending->exchange = *exchange;
    if (fb_writer_submit(exchange->loop->server->writer, &pending->write, error) == FB_OK)
        return;
    fb_conn_write_end(pending->conn);
    *exchange->anchor = NULL;
    free_pending(pending);
    fb_reply_problem(exchange, error, NULL);
}

static void answer_command(fb_exchange_t *exchange, const fb_route_t *route)
{
    h2o_req_t *req = exchange->req;
    fb_error_t error = {0};
    pending_t *pending = fb_alloc(sizeof(*pending));
    pending->message = (h2o_multithread_message_t){{NULL, NULL}};
    fb_write_init(&pending->write, route->command);
    pending->write.on_done = on_write_done;
    const fb_server_t *server = exchange->loop->server;
    if (fb_bodies_wait(req->entity.len, server->body_bytes_max, &pending->kept, &error) != FB_OK ||
        read_body(req, server, route, &pending->write.args, &error) != FB_OK ||
        read_key(req, route, &pending->write, &error) != FB_OK) {
        free_pending(pending);
        fb_reply_problem(exchange, &error, NULL);
        return;
    }
    pending->write.if_match = copy_if_match(req);
    submit(exchange, pending, &error);
}

/* --- where a request goes in ------------------------------------------------------------- */

static void answer_thing(fb_exchange_t *exchange, const fb_route_t *route)
{
    const void *thing = route->view != NULL ? (const void *)route->view : route->command;
    exchange->route = fb_metrics_route(thing);
    if (exchange->loop->snapshot == NULL)
        fb_parking_await_first(exchange);
    else if (route->view != NULL)
        answer_view(exchange, route);
    else
        answer_command(exchange, route);
}

static void answer_route(fb_exchange_t *exchange)
{
    h2o_req_t *req = exchange->req;
    fb_error_t error = {0};
    fb_route_t route;
    fb_slice_t path = path_of(req), method = slice_of(req->method);
    if (req->path.len > FB_TARGET_BYTES_MAX) {
        fb_fail(&error, FB_TARGET_TOO_LONG, "a target has at most %d bytes, this one %zu",
                FB_TARGET_BYTES_MAX, req->path.len);
        fb_reply_problem(exchange, &error, NULL);
        return;
    }
    if (fb_slice_is(method, "OPTIONS") && fb_slice_is(path, "*")) {
        fb_reply_options(exchange, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        return;
    }
    fb_code_t code = fb_registry_route(method, path, &route, &error);
    if (code == FB_METHOD_NOT_ALLOWED && fb_slice_is(method, "OPTIONS")) {
        fb_reply_options(exchange, route.allow);
    } else if (code != FB_OK) {
        fb_reply_problem(exchange, &error, route.allow[0] ? route.allow : NULL);
    } else {
        answer_thing(exchange, &route);
    }
}

/* RFC 9112, section 3.2.2: a target may be a whole URI. Its path is what we serve. */
static void cut_absolute_form(h2o_req_t *req)
{
    if (req->path.len < 7 || !h2o_lcstris(req->path.base, 7, H2O_STRLIT("http://")))
        return;
    size_t at = 7;
    while (at < req->path.len && req->path.base[at] != '/')
        at++;
    if (at == req->path.len || at > req->query_at) {
        req->path = h2o_iovec_init(H2O_STRLIT("/"));
        req->query_at = SIZE_MAX;
        return;
    }
    req->path = h2o_iovec_init(req->path.base + at, req->path.len - at);
    if (req->query_at != SIZE_MAX)
        req->query_at -= at;
}

void fb_dispatch_go_on(fb_exchange_t *exchange)
{
    fb_loop_t *loop = exchange->loop;
    h2o_req_t *req = exchange->req;
    if (loop->snapshot != NULL && fb_exchange_is_read(exchange)) {
        fb_memo_entry_t *entry = fb_memo_find(loop->memo, slice_of(req->path), loop->snapshot);
        if (entry != NULL) {
            fb_reply_entry(exchange, entry);
            return;
        }
    }
    if (!fb_health_answer(exchange, path_of(req)))
        answer_route(exchange);
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    if (req->path.len == 0 || req->path.base[0] != '/')
        cut_absolute_form(req);
    fb_exchange_t exchange;
    fb_exchange_begin(&exchange, fb_loop_of(handler), req);
    /* Health is of the process, not of a revision. */
    if (exchange.has_min_revision &&
        (fb_health_answer(&exchange, path_of(req)) || !fb_parking_admit(&exchange)))
        return 0;
    fb_dispatch_go_on(&exchange);
    return 0;
}

void fb_dispatch_register(fb_loop_t *loop, h2o_hostconf_t *host)
{
    fb_loop_handle(loop, host, on_request);
}
