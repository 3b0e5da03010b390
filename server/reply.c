/* SPDX-License-Identifier: MIT */
#include "server/reply.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "resources/registry.h"
#include "server/send.h"

#define REQUEST_ID_BYTES     16
#define REQUEST_ID_BYTES_MAX 128 /* a longer one of a client is replaced */
#define HEADERS_MAX          8   /* of a response */

/* The writer asks Redis at least once a second. One that hangs is silent before the call fails. */
#define SILENCE_NS 2500000000u

static h2o_iovec_t name_revision = {H2O_STRLIT("fleetbit-revision")};
static h2o_iovec_t name_staleness = {H2O_STRLIT("fleetbit-staleness-ms")};
static h2o_iovec_t name_request_id = {H2O_STRLIT("x-request-id")};
static const h2o_iovec_t name_traceparent = {H2O_STRLIT("traceparent")};
static const h2o_iovec_t name_min_revision = {H2O_STRLIT("fleetbit-min-revision")};
static h2o_iovec_t name_retry_after = {H2O_STRLIT("retry-after")};
static h2o_iovec_t name_buffering = {H2O_STRLIT("x-accel-buffering")};
static h2o_iovec_t name_allow = {H2O_STRLIT("allow")};
static h2o_iovec_t name_replayed = {H2O_STRLIT("idempotency-replayed")};

static const h2o_iovec_t type_json = {H2O_STRLIT("application/json")};
static const h2o_iovec_t no_cache = {H2O_STRLIT("no-cache")};
static const h2o_iovec_t no_store = {H2O_STRLIT("no-store")};

/* --- beginning --------------------------------------------------------------------------- */

/* A byte a place of a word, each of the same value. */
#define EACH(value) (UINT64_C(0x0101010101010101) * (value))

/* Are all eight from '!' to '~'? A bit 7 says that one is above, below, or one more than '~'. */
static bool are_visible(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return ((word | ((word - EACH('!')) & ~word) | (word + EACH(1))) & EACH(0x80)) == 0;
}

static bool is_usable_id(h2o_iovec_t id)
{
    size_t i = 0;
    if (id.len == 0 || id.len > REQUEST_ID_BYTES_MAX)
        return false;
    for (; i + 8 <= id.len; i += 8) {
        if (!are_visible(id.base + i))
            return false;
    }
    for (; i < id.len; i++) {
        if ((unsigned char)(id.base[i] - '!') > '~' - '!')
            return false;
    }
    return true;
}

/* Eight hexadecimal digits at once, a byte each. */
static uint64_t hexadecimal(uint32_t number)
{
    uint64_t digits = number;
    digits = (digits | digits << 16) & UINT64_C(0x0000FFFF0000FFFF);
    digits = (digits | digits << 8) & UINT64_C(0x00FF00FF00FF00FF);
    digits = (digits | digits << 4) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    uint64_t letters = (digits + EACH(6)) >> 4 & EACH(1);
    return digits + EACH('0') + letters * ('a' - '0' - 10);
}

static fb_slice_t new_request_id(fb_loop_t *loop, h2o_req_t *req)
{
    char *id = h2o_mem_alloc_pool(&req->pool, REQUEST_ID_BYTES);
    uint64_t number = fb_random_next(&loop->request_state);
    const uint64_t halves[] = {hexadecimal((uint32_t)number),
                               hexadecimal((uint32_t)(number >> 32))};
    memcpy(id, halves, REQUEST_ID_BYTES);
    return (fb_slice_t){id, REQUEST_ID_BYTES};
}

static bool has_name(const h2o_iovec_t *name, const h2o_iovec_t *wanted)
{
    return name->len == wanted->len && memcmp(name->base, wanted->base, wanted->len) == 0;
}

bool fb_reply_is_min_revision(const h2o_iovec_t *name)
{
    return has_name(name, &name_min_revision);
}

static bool is_valid_traceparent(h2o_iovec_t text)
{
    return fb_traceparent_is_valid((fb_slice_t){text.base, text.len});
}

void fb_exchange_begin(fb_exchange_t *exchange, fb_loop_t *loop, h2o_req_t *req)
{
    const h2o_header_t *id = NULL, *traceparent = NULL;
    unsigned traceparents = 0;
    uint64_t now_ns = fb_clock_monotonic_ns();
    *exchange = (fb_exchange_t){.loop = loop, .req = req, .begun_ns = now_ns, .seen_ns = now_ns};
    /* One pass for all, since every request pays for it: few names are as long as these. */
    const h2o_header_t *end = req->headers.entries + req->headers.size;
    for (const h2o_header_t *header = req->headers.entries; header != end; header++) {
        if (header->name->len == name_min_revision.len)
            exchange->has_min_revision |= fb_reply_is_min_revision(header->name);
        else if (header->name->len == name_request_id.len && id == NULL &&
                 has_name(header->name, &name_request_id))
            id = header;
        else if (header->name->len == name_traceparent.len &&
                 has_name(header->name, &name_traceparent))
            traceparent = ++traceparents == 1 ? header : NULL; /* of two, none counts */
    }
    if (traceparent != NULL && is_valid_traceparent(traceparent->value))
        exchange->traceparent = traceparent->value.base;
    if (id != NULL && is_usable_id(id->value))
        exchange->id = (fb_slice_t){id->value.base, id->value.len};
    else
        exchange->id = new_request_id(loop, req);
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

/* When Redis was last heard of. */
static uint64_t contact_ms(const fb_exchange_t *exchange)
{
    return fb_count_read(&fb_writer_state(exchange->loop->server->writer)->contact_ms);
}

/* Is there a snapshot, and Redis too silent to know how old it is? */
static bool is_stale(const fb_exchange_t *exchange)
{
    const fb_writer_state_t *writer = fb_writer_state(exchange->loop->server->writer);
    bool is_silent = !atomic_load_explicit(&writer->redis_up, memory_order_relaxed) ||
                     exchange->seen_ns > contact_ms(exchange) * 1000000 + SILENCE_NS;
    return is_silent && exchange->loop->snapshot != NULL;
}

static void add_common(fb_exchange_t *exchange)
{
    h2o_req_t *req = exchange->req;
    add(req, &name_request_id,
        h2o_iovec_init((char *)(uintptr_t)exchange->id.at, exchange->id.len));
    if (is_stale(exchange)) {
        uint64_t now_ms = fb_clock_monotonic_ms(), then_ms = contact_ms(exchange);
        uint64_t age_ms = now_ms > then_ms ? now_ms - then_ms : 0;
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
    if (exchange->loop->leaving)
        req->http1_is_persistent = 0;
    h2o_vector_reserve(&req->pool, &req->res.headers, HEADERS_MAX);
    add_common(exchange);
}

static bool wants_body(const h2o_req_t *req)
{
    return !h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
}

/* The record of the access, before the answer is sent; account ends it. */
static void note_access(const fb_exchange_t *exchange, int status, size_t body_bytes)
{
    const h2o_req_t *req = exchange->req;
    if (exchange->loop->accesses == NULL)
        return;
    const fb_access_t access = {
        .id = exchange->id,
        .method = {req->input.method.base, req->input.method.len},
        .target = {req->input.path.base, req->input.path.len},
        .traceparent = exchange->traceparent,
        .client = fb_conn_client(fb_conn_of(exchange->req)),
        .body_bytes = body_bytes,
        .version = (unsigned)req->version,
        .status = (unsigned)status,
        .route = exchange->route,
    };
    fb_access_ring_begin(exchange->loop->accesses, &access);
}

/* What we failed at is in the log of messages, too. */
static void note_failure(const fb_exchange_t *exchange, const fb_error_t *error)
{
    const h2o_req_t *req = exchange->req;
    fb_status_t status = fb_status_of_code(error->code);
    if (!fb_status_is_failure(status) || exchange->is_probe)
        return;
    const fb_log_about_t about = {
        exchange->id,
        {exchange->traceparent, exchange->traceparent != NULL ? FB_TRACEPARENT_BYTES : 0}};
    fb_log_level_t level =
        fb_problem_retry_after_s(error->code) > 0 ? FB_LOG_WARNING : FB_LOG_ERROR;
    int method_len = req->input.method.len < 20 ? (int)req->input.method.len : 20;
    int target_len = req->input.path.len < 200 ? (int)req->input.path.len : 200;
    fb_log_request(&about, level, "%.*s %.*s was answered %d, %s: %s", method_len,
                   req->input.method.base, target_len, req->input.path.base, status.code,
                   fb_code_name(error->code), error->detail);
}

/* Once it is sent: the request may be gone. */
static void account(fb_loop_t *loop, unsigned route, int status, uint64_t begun_ns)
{
    uint64_t ended_ns = fb_clock_monotonic_ns();
    fb_metrics_request(&loop->metrics, route, status, ended_ns - begun_ns);
    if (loop->accesses != NULL)
        fb_access_ring_end(loop->accesses, ended_ns, ended_ns - begun_ns);
}

static void finish(fb_exchange_t *exchange, h2o_iovec_t body)
{
    static h2o_generator_t generator = {NULL, NULL};
    fb_exchange_t done = *exchange;
    h2o_req_t *req = exchange->req;
    int status = req->res.status;
    bool has_body = body.len > 0 && wants_body(req);
    note_access(exchange, status, has_body ? body.len : 0);
    h2o_start_response(req, &generator);
    h2o_send(req, &body, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
    account(done.loop, done.route, status, done.begun_ns);
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
static bool is_known(h2o_req_t *req, const char *etag)
{
    ssize_t at = -1;
    while ((at = h2o_find_header(&req->headers, H2O_TOKEN_IF_NONE_MATCH, at)) >= 0) {
        h2o_iovec_t field = req->headers.entries[at].value;
        if (fb_etag_matches((fb_slice_t){field.base, field.len}, etag, true))
            return true;
    }
    return false;
}

/* May the answer have a head that is ready? Not where something is in it that others do not have.
 */
static bool is_usual(const fb_exchange_t *exchange)
{
    const h2o_req_t *req = exchange->req;
    bool is_kept = req->version >= 0x200 || (req->http1_is_persistent && !exchange->loop->leaving);
    return is_kept && !is_stale(exchange);
}

static const fb_heads_t *heads_of_now(fb_loop_t *loop)
{
    fb_heads_t *heads = &loop->heads;
    int64_t now_s = h2o_get_timestamp(&loop->context, NULL, NULL)->tv_sec;
    if (heads->date_s != now_s || heads->serial != loop->snapshot->serial)
        fb_heads_write(heads, now_s, loop->context._timestamp_cache.value->rfc1123,
                       loop->snapshot->serial, (fb_slice_t){loop->revision, loop->revision_len});
    return heads;
}

static void send_ready(fb_exchange_t *exchange, const fb_memo_entry_t *entry, bool known)
{
    h2o_req_t *req = exchange->req;
    fb_loop_t *loop = exchange->loop;
    uint64_t begun_ns = exchange->begun_ns;
    unsigned route = entry->route;
    fb_status_t status = fb_status_of_success(known ? FB_SUCCESS_NOT_MODIFIED : FB_SUCCESS_OK);
    fb_head_protocol_t protocol = req->version >= 0x200 ? FB_HEAD_HTTP2 : FB_HEAD_HTTP1;
    char *head = h2o_mem_alloc_pool(&req->pool, FB_HEAD_BYTES_MAX);
    size_t len =
        fb_head_write(head, heads_of_now(loop), protocol, known, exchange->id, entry->head_tails);
    bool has_body = !known && wants_body(req);
    note_access(exchange, status.code, has_body ? entry->body.len : 0);
    fb_send_ready(req, status.code, h2o_iovec_init(head, len),
                  has_body ? entry->body : h2o_iovec_init(NULL, 0));
    account(loop, route, status.code, begun_ns);
}

/* As send_ready, field by field. */
static void send_entry(fb_exchange_t *exchange, const fb_memo_entry_t *entry, bool known)
{
    h2o_req_t *req = exchange->req;
    begin(exchange, fb_status_of_success(known ? FB_SUCCESS_NOT_MODIFIED : FB_SUCCESS_OK));
    add_revision(exchange);
    add(req, &H2O_TOKEN_ETAG->buf, h2o_iovec_init((char *)(uintptr_t)entry->etag, FB_ETAG_BYTES));
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_cache);
    if (known) {
        finish(exchange, h2o_iovec_init(NULL, 0));
        return;
    }
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf, type_json);
    req->res.content_length = entry->body.len;
    finish(exchange, entry->body);
}

void fb_reply_entry(fb_exchange_t *exchange, fb_memo_entry_t *entry)
{
    h2o_req_t *req = exchange->req;
    bool known = is_known(req, entry->etag);
    exchange->route = entry->route;
    h2o_mem_link_shared(&req->pool, entry);
    if (is_usual(exchange))
        send_ready(exchange, entry, known);
    else
        send_entry(exchange, entry, known);
}

void fb_reply_read(fb_exchange_t *exchange, fb_slice_t revision, fb_buffer_t *body)
{
    h2o_req_t *req = exchange->req;
    char etag[FB_ETAG_BYTES + 1];
    fb_etag(fb_buffer_slice(body), etag);
    bool known = is_known(req, etag);
    begin(exchange, fb_status_of_success(known ? FB_SUCCESS_NOT_MODIFIED : FB_SUCCESS_OK));
    add(req, &name_revision, h2o_strdup(&req->pool, revision.at, revision.len));
    add(req, &H2O_TOKEN_ETAG->buf, h2o_strdup(&req->pool, etag, FB_ETAG_BYTES));
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_cache);
    if (known) {
        fb_buffer_dispose(body);
        finish(exchange, h2o_iovec_init(NULL, 0));
        return;
    }
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf, type_json);
    req->res.content_length = body->len;
    finish(exchange, pool_body(req, body));
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
    static const fb_success_t successes[] = {
        [FB_ANSWER_CREATED] = FB_SUCCESS_CREATED, [FB_ANSWER_ACCEPTED] = FB_SUCCESS_ACCEPTED,
        [FB_ANSWER_SHOWN] = FB_SUCCESS_OK,        [FB_ANSWER_EMPTY] = FB_SUCCESS_EMPTY,
        [FB_ANSWER_RESULTS] = FB_SUCCESS_OK,
    };
    fb_answer_t answer = write->command->answer;
    begin(exchange, fb_status_of_success(successes[answer]));
    add(req, &name_revision, position_text(req, &write->position));
    if (write->is_replay)
        add(req, &name_replayed, h2o_iovec_init(H2O_STRLIT("true")));
    if (write->location.len > 0)
        add(req, &H2O_TOKEN_LOCATION->buf, pool_body(req, &write->location));
    if (answer == FB_ANSWER_EMPTY) {
        finish(exchange, h2o_iovec_init(NULL, 0));
        return;
    }
    if (write->etag[0] != '\0') /* of several things there is a validator of none */
        add(req, &H2O_TOKEN_ETAG->buf, h2o_strdup(&req->pool, write->etag, FB_ETAG_BYTES));
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf, type_json);
    req->res.content_length = write->body.len;
    finish(exchange, pool_body(req, &write->body));
}

/* What nobody keeps. */
static void begin_unkept(fb_exchange_t *exchange, const char *content_type)
{
    h2o_req_t *req = exchange->req;
    begin(exchange, fb_status_of_success(FB_SUCCESS_OK));
    add_revision(exchange);
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf,
        h2o_iovec_init((char *)(uintptr_t)content_type, strlen(content_type)));
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_store);
}

void fb_reply_text(fb_exchange_t *exchange, const char *content_type, fb_buffer_t *body)
{
    h2o_req_t *req = exchange->req;
    begin_unkept(exchange, content_type);
    req->res.content_length = body->len;
    finish(exchange, pool_body(req, body));
}

static void begin_open_end(fb_exchange_t *exchange, const char *content_type)
{
    begin_unkept(exchange, content_type);
    add(exchange->req, &name_buffering, h2o_iovec_init(H2O_STRLIT("no")));
}

void fb_reply_begin(fb_exchange_t *exchange, const char *content_type)
{
    begin_open_end(exchange, content_type);
    fb_metrics_request(&exchange->loop->metrics, exchange->route, exchange->req->res.status,
                       fb_clock_monotonic_ns() - exchange->begun_ns);
}

void fb_reply_head(fb_exchange_t *exchange, const char *content_type)
{
    begin_open_end(exchange, content_type);
    finish(exchange, h2o_iovec_init(NULL, 0));
}

void fb_reply_note_end(fb_loop_t *loop, const fb_access_t *access, uint64_t begun_ns)
{
    uint64_t ended_ns = fb_clock_monotonic_ns();
    fb_access_ring_begin(loop->accesses, access);
    fb_access_ring_end(loop->accesses, ended_ns, ended_ns - begun_ns);
}

void fb_reply_options(fb_exchange_t *exchange, const char *allow)
{
    h2o_req_t *req = exchange->req;
    begin(exchange, fb_status_of_success(FB_SUCCESS_EMPTY));
    add_revision(exchange);
    add(req, &name_allow, h2o_strdup(&req->pool, allow, SIZE_MAX));
    finish(exchange, h2o_iovec_init(NULL, 0));
}

/* Of the family that the target belongs to; NULL: there is none. What the library refuses has no
 * path yet. */
static const fb_resource_t *owner_of(const h2o_req_t *req)
{
    h2o_iovec_t target = req->path.len > 0 ? req->path : req->input.path;
    return fb_registry_owner((fb_slice_t){target.base, target.len});
}

static h2o_iovec_t type_of_errors(const fb_resource_t *owner)
{
    const char *type = fb_problem_type(owner);
    return h2o_iovec_init(type, strlen(type));
}

static void add_retry_after(h2o_req_t *req, fb_code_t code)
{
    unsigned retry_after_s = fb_problem_retry_after_s(code);
    if (retry_after_s > 0)
        add(req, &name_retry_after, pool_number(req, retry_after_s));
}

void fb_reply_problem(fb_exchange_t *exchange, const fb_error_t *error, const char *allow)
{
    h2o_req_t *req = exchange->req;
    fb_buffer_t body = {0};
    const fb_resource_t *owner = owner_of(req);
    fb_problem_put(&body, error, owner, exchange->id);
    note_failure(exchange, error);
    begin(exchange, fb_status_of(error, owner));
    add_revision(exchange);
    add(req, &H2O_TOKEN_CONTENT_TYPE->buf, type_of_errors(owner));
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_store);
    if (allow != NULL)
        add(req, &name_allow, h2o_strdup(&req->pool, allow, SIZE_MAX));
    add_retry_after(req, error->code);
    req->res.content_length = body.len;
    finish(exchange, pool_body(req, &body));
}

const char *fb_reply_library_problem(fb_exchange_t *exchange, const fb_error_t *error)
{
    h2o_req_t *req = exchange->req;
    fb_buffer_t body = {0};
    const fb_resource_t *owner = owner_of(req);
    fb_status_t status = fb_status_of(error, owner);
    req->res.headers = (h2o_headers_t){0};
    fb_problem_put(&body, error, owner, exchange->id);
    fb_buffer_put_char(&body, '\0');
    note_failure(exchange, error);
    begin(exchange, status);
    add_revision(exchange);
    add(req, &H2O_TOKEN_CACHE_CONTROL->buf, no_store);
    add_retry_after(req, error->code);
    note_access(exchange, status.code, body.len - 1);
    account(exchange->loop, exchange->route, status.code, exchange->begun_ns);
    return pool_body(req, &body).base;
}

void fb_reply_name_problem(h2o_req_t *req)
{
    ssize_t found = h2o_find_header(&req->res.headers, H2O_TOKEN_CONTENT_TYPE, -1);
    if (found >= 0)
        req->res.headers.entries[found].value = type_of_errors(owner_of(req));
}
