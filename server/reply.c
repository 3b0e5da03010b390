/* SPDX-License-Identifier: MIT */
#include "server/reply.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"

#define REQUEST_ID_BYTES     16
#define REQUEST_ID_BYTES_MAX 128 /* a longer one of a client is replaced */
#define HEADERS_MAX          8   /* of a response */

static h2o_iovec_t name_revision = {H2O_STRLIT("fleetbit-revision")};
static h2o_iovec_t name_staleness = {H2O_STRLIT("fleetbit-staleness-ms")};
static h2o_iovec_t name_request_id = {H2O_STRLIT("x-request-id")};
static h2o_iovec_t name_retry_after = {H2O_STRLIT("retry-after")};
static h2o_iovec_t name_allow = {H2O_STRLIT("allow")};

static const h2o_iovec_t type_json = {H2O_STRLIT("application/json")};
static const h2o_iovec_t type_problem = {H2O_STRLIT("application/problem+json")};
static const h2o_iovec_t no_cache = {H2O_STRLIT("no-cache")};
static const h2o_iovec_t no_store = {H2O_STRLIT("no-store")};

/* --- beginning --------------------------------------------------------------------------- */

static bool is_usable_id(h2o_iovec_t id)
{
    if (id.len == 0 || id.len > REQUEST_ID_BYTES_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        if (id.base[i] <= 0x20 || id.base[i] >= 0x7F)
            return false;
    }
    return true;
}

static fb_slice_t new_request_id(fb_loop_t *loop, h2o_req_t *req)
{
    static const char hex[] = "0123456789abcdef";
    char *id = h2o_mem_alloc_pool(&req->pool, REQUEST_ID_BYTES);
    uint64_t number = fb_random_next(&loop->request_state);
    for (int i = 0; i < REQUEST_ID_BYTES; i++)
        id[i] = hex[number >> (60 - 4 * i) & 15];
    return (fb_slice_t){id, REQUEST_ID_BYTES};
}

void fb_exchange_begin(fb_exchange_t *exchange, fb_loop_t *loop, h2o_req_t *req)
{
    *exchange = (fb_exchange_t){
        .loop = loop,
        .req = req,
        .begun_ns = fb_clock_monotonic_ns(),
    };
    ssize_t found =
        h2o_find_header_by_str(&req->headers, name_request_id.base, name_request_id.len, -1);
    if (found >= 0 && is_usable_id(req->headers.entries[found].value)) {
        h2o_iovec_t id = req->headers.entries[found].value;
        exchange->id = (fb_slice_t){id.base, id.len};
    } else {
        exchange->id = new_request_id(loop, req);
    }
}

bool fb_exchange_is_read(const fb_exchange_t *exchange)
{
    h2o_iovec_t method = exchange->req->method;
    return h2o_memis(method.base, method.len, H2O_STRLIT("GET")) ||
           h2o_memis(method.base, method.len, H2O_STRLIT("HEAD"));
}

/* --- headers ----------------------------------------------------------------------------- */

static void add(h2o_req_t *req, h2o_iovec_t *name, h2o_iovec_t value)
{
    h2o_headers_t *headers = &req->res.headers;
    fb_assert(headers->size < headers->capacity);
    headers->entries[headers->size++] = (h2o_header_t){name, NULL, value};
}

static h2o_iovec_t pool_number(h2o_req_t *req, uint64_t number)
{
    char *text = h2o_mem_alloc_pool(&req->pool, 21);
    return h2o_iovec_init(text, (size_t)snprintf(text, 21, "%llu", (unsigned long long)number));
}

static void add_common(fb_exchange_t *exchange)
{
    h2o_req_t *req = exchange->req;
    const fb_writer_state_t *writer = fb_writer_state(exchange->loop->server->writer);
    add(req, &name_request_id,
        h2o_iovec_init((char *)(uintptr_t)exchange->id.at, exchange->id.len));
    if (!atomic_load_explicit(&writer->redis_up, memory_order_relaxed) &&
        exchange->loop->snapshot != NULL) {
        uint64_t contact_ms = fb_count_read(&writer->contact_ms);
        uint64_t now_ms = fb_clock_monotonic_ms();
        uint64_t age_ms = now_ms > contact_ms ? now_ms - contact_ms : 0;
        add(req, &name_staleness, pool_number(req, age_ms));
    }
}

/* The loop's text of the revision lives until its next snapshot, which may come before the headers
 * are written: so each response has its copy. */
static void add_revision(fb_exchange_t *exchange)
{
    fb_loop_t *loop = exchange->loop;
    if (loop->revision_len == 0)
        return;
    char *copy = h2o_mem_alloc_pool(&exchange->req->pool, loop->revision_len);
    memcpy(copy, loop->revision, loop->revision_len);
    add(exchange->req, &name_revision, h2o_iovec_init(copy, loop->revision_len));
}

static void begin(fb_exchange_t *exchange, fb_status_t status)
{
    h2o_req_t *req = exchange->req;
    req->res.status = status.code;
    req->res.reason = status.reason;
    h2o_vector_reserve(&req->pool, &req->res.headers, HEADERS_MAX);
    add_common(exchange);
}

static void finish(fb_exchange_t *exchange, h2o_iovec_t body)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_req_t *req = exchange->req;
    int status = req->res.status;
    bool head = h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
    fb_loop_t *loop = exchange->loop;
    unsigned route = exchange->route;
    uint64_t begun_ns = exchange->begun_ns;
    h2o_start_response(req, &generator);
    h2o_send(req, &body, head || body.len == 0 ? 0 : 1, H2O_SEND_STATE_FINAL);
    fb_metrics_request(&loop->metrics, route, status, fb_clock_monotonic_ns() - begun_ns);
}

/* A copy on the request's pool, so that the buffer can go. */
static h2o_iovec_t pool_body(h2o_req_t *req, fb_buffer_t *body)
{
    h2o_iovec_t copy =
        body->len ? h2o_strdup(&req->pool, body->at, body->len) : h2o_iovec_init(NULL, 0);
    fb_buffer_dispose(body);
    return copy;
}

/* --- replies ----------------------------------------------------------------------------- */

/* A list field may come in several lines (RFC 9110, section 5.3). */
static bool is_known(h2o_req_t *req, const fb_memo_entry_t *entry)
{
    ssize_t at = -1;
    while ((at = h2o_find_header(&req->headers, H2O_TOKEN_IF_NONE_MATCH, at)) >= 0) {
        h2o_iovec_t field = req->headers.entries[at].value;
        if (fb_etag_matches((fb_slice_t){field.base, field.len}, entry->etag, true))
            return true;
    }
    return false;
}

void fb_reply_entry(fb_exchange_t *exchange, fb_memo_entry_t *entry)
{
    h2o_req_t *req = exchange->req;
    bool known = is_known(req, entry);
    exchange->route = entry->route;
    h2o_mem_link_shared(&req->pool, entry);
    begin(exchange, fb_status_of_success(known ? FB_SUCCESS_NOT_MODIFIED : FB_SUCCESS_OK));
    add_revision(exchange);
    add(req, &H2O_TOKEN_ETAG->buf, h2o_iovec_init(entry->etag, FB_ETAG_BYTES));
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_cache);
    if (known) {
        finish(exchange, h2o_iovec_init(NULL, 0));
        return;
    }
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf, type_json);
    req->res.content_length = entry->body.len;
    finish(exchange, entry->body);
}

static h2o_iovec_t position_text(h2o_req_t *req, const fb_position_t *position)
{
    char *text = h2o_mem_alloc_pool(&req->pool, FB_REVISION_BYTES_MAX);
    int len = snprintf(text, FB_REVISION_BYTES_MAX, "%s.%llu", position->epoch,
                       (unsigned long long)position->revision);
    return h2o_iovec_init(text, (size_t)len);
}

void fb_reply_write(fb_exchange_t *exchange, fb_write_t *write)
{
    h2o_req_t *req = exchange->req;
    fb_answer_t answer = write->command->answer;
    begin(exchange, fb_status_of_success(answer == FB_ANSWER_CREATED ? FB_SUCCESS_CREATED
                                         : answer == FB_ANSWER_EMPTY ? FB_SUCCESS_EMPTY
                                                                     : FB_SUCCESS_OK));
    add(req, &name_revision, position_text(req, &write->position));
    if (answer == FB_ANSWER_CREATED)
        add(req, &H2O_TOKEN_LOCATION->buf, pool_body(req, &write->location));
    if (answer == FB_ANSWER_EMPTY) {
        finish(exchange, h2o_iovec_init(NULL, 0));
        return;
    }
    add(req, &H2O_TOKEN_ETAG->buf, h2o_strdup(&req->pool, write->etag, FB_ETAG_BYTES));
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf, type_json);
    req->res.content_length = write->body.len;
    finish(exchange, pool_body(req, &write->body));
}

void fb_reply_text(fb_exchange_t *exchange, const char *content_type, fb_buffer_t *body)
{
    h2o_req_t *req = exchange->req;
    begin(exchange, fb_status_of_success(FB_SUCCESS_OK));
    add_revision(exchange);
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf,
        h2o_iovec_init((char *)(uintptr_t)content_type, strlen(content_type)));
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_store);
    req->res.content_length = body->len;
    finish(exchange, pool_body(req, body));
}

void fb_reply_options(fb_exchange_t *exchange, const char *allow)
{
    h2o_req_t *req = exchange->req;
    begin(exchange, fb_status_of_success(FB_SUCCESS_EMPTY));
    add_revision(exchange);
    add(req, &name_allow, h2o_strdup(&req->pool, allow, SIZE_MAX));
    finish(exchange, h2o_iovec_init(NULL, 0));
}

void fb_reply_problem(fb_exchange_t *exchange, const fb_error_t *error, const char *allow)
{
    h2o_req_t *req = exchange->req;
    fb_buffer_t body = {0};
    unsigned retry_after_s = fb_problem_retry_after_s(error->code);
    fb_problem_put(&body, error, exchange->id);
    begin(exchange, fb_status_of_code(error->code));
    add_revision(exchange);
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf, type_problem);
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_store);
    if (allow != NULL)
        add(req, &name_allow, h2o_strdup(&req->pool, allow, SIZE_MAX));
    if (retry_after_s > 0)
        add(req, &name_retry_after, pool_number(req, retry_after_s));
    req->res.content_length = body.len;
    finish(exchange, pool_body(req, &body));
}

const char *fb_reply_library_problem(fb_exchange_t *exchange, const fb_error_t *error)
{
    h2o_req_t *req = exchange->req;
    fb_buffer_t body = {0};
    fb_status_t status = fb_status_of_code(error->code);
    req->res.headers = (h2o_headers_t){0};
    fb_problem_put(&body, error, exchange->id);
    fb_buffer_put_char(&body, '\0');
    begin(exchange, status);
    add_revision(exchange);
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_store);
    fb_metrics_request(&exchange->loop->metrics, exchange->route, status.code,
                       fb_clock_monotonic_ns() - exchange->begun_ns);
    return pool_body(req, &body).base;
}

void fb_reply_name_problem(h2o_req_t *req)
{
    ssize_t found = h2o_find_header(&req->res.headers, H2O_TOKEN_CONTENT_TYPE, -1);
    if (found >= 0)
        req->res.headers.entries[found].value = type_problem;
}
