/* SPDX-License-Identifier: MIT */
#include "server/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "resources/equipment.h"
#include "server/stream_internal.h"

static const char content_type[] = "text/event-stream";

/* What a client asks for. */
typedef struct {
    uint32_t families; /* bits */
    bool has_token;
    fb_event_token_t token;
} wish_t;

/* --- the topics -------------------------------------------------------------------------- */

/* The families of a topic, as bits; of all topics where `name` has no length. */
static uint32_t families_of(fb_slice_t name)
{
    uint32_t families = 0;
    for (unsigned i = 0; i < fb_registry_count(); i++) {
        const char *topic = fb_registry_resource(i)->topic;
        if (topic != NULL && (name.len == 0 || fb_slice_is(name, topic)))
            families |= UINT32_C(1) << i;
    }
    return families;
}

static void list_topics(fb_buffer_t *list)
{
    for (unsigned i = 0; i < fb_registry_count(); i++) {
        const char *topic = fb_registry_resource(i)->topic;
        if (topic != NULL)
            fb_buffer_printf(list, "%s%s", list->len > 0 ? ", " : "", topic);
    }
}

static fb_code_t refuse_topic(fb_slice_t name, fb_error_t *error)
{
    fb_buffer_t known = {0};
    list_topics(&known);
    fb_fail_field(error, FB_INVALID, FB_SLICE("topics"),
                  "there is no topic \"%.*s\"; there are %.*s",
                  (int)(name.len < 100 ? name.len : 100), name.at, (int)known.len, known.at);
    fb_buffer_dispose(&known);
    return error->code;
}

static fb_code_t read_topics(fb_slice_t text, uint32_t *families, fb_error_t *error)
{
    const char *comma;
    *families = 0;
    if (text.len == 0) {
        *families = families_of(text);
        return FB_OK;
    }
    do {
        comma = memchr(text.at, ',', text.len);
        fb_slice_t name = {text.at, comma != NULL ? (size_t)(comma - text.at) : text.len};
        uint32_t found = name.len > 0 ? families_of(name) : 0;
        if (found == 0)
            return refuse_topic(name, error);
        *families |= found;
        text = (fb_slice_t){name.at + name.len + 1, text.len - name.len - (comma != NULL ? 1 : 0)};
    } while (comma != NULL);
    return FB_OK;
}

/* --- the token --------------------------------------------------------------------------- */

static fb_slice_t trimmed(fb_slice_t text)
{
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static fb_code_t read_token(fb_slice_t text, const char *name, wish_t *wish, fb_error_t *error)
{
    text = trimmed(text);
    if (text.len == 0)
        return FB_OK; /* as a client that has had no event yet */
    wish->has_token = fb_event_token_read(text, &wish->token);
    if (wish->has_token)
        return FB_OK;
    return fb_fail_field(error, FB_MALFORMED, fb_slice(name),
                         "it must be the id of an event, epoch.revision or epoch.revision.place, "
                         "not \"%.*s\"",
                         (int)(text.len < 100 ? text.len : 100), text.at);
}

/* HTML, section 9.2.3: a client that comes back says in a field what it had last. That is newer
 * than what its address says. */
static fb_code_t read_header(const h2o_req_t *req, wish_t *wish, fb_error_t *error)
{
    static const h2o_iovec_t name = {H2O_STRLIT("last-event-id")};
    for (size_t i = 0; i < req->headers.size; i++) {
        const h2o_header_t *header = &req->headers.entries[i];
        if (header->name->len == name.len && memcmp(header->name->base, name.base, name.len) == 0)
            return read_token((fb_slice_t){header->value.base, header->value.len}, "Last-Event-ID",
                              wish, error);
    }
    return FB_OK;
}

static fb_code_t read_wish(const h2o_req_t *req, const fb_route_t *route, fb_slice_t query,
                           wish_t *wish, fb_error_t *error)
{
    fb_args_t args = {0};
    fb_code_t code = fb_registry_read_args(route, query, &args, error);
    const fb_value_t *topics = &args.values[FB_STREAM_TOPICS];
    const fb_value_t *last = &args.values[FB_STREAM_LAST_EVENT_ID];
    fb_slice_t none = {NULL, 0};
    if (code == FB_OK)
        code = read_topics(topics->given ? topics->text : none, &wish->families, error);
    if (code == FB_OK)
        code = read_header(req, wish, error);
    if (code == FB_OK && !wish->has_token && last->given)
        code = read_token(last->text, "last_event_id", wish, error);
    fb_args_dispose(&args);
    return code;
}

/* --- the life of a client ---------------------------------------------------------------- */

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    fb_stream_client_t *client = H2O_STRUCT_FROM_MEMBER(fb_stream_client_t, generator, generator);
    (void)req;
    h2o_mem_release_shared(client->chunk);
    client->chunk = NULL;
    if (client->place == FB_STREAM_NOWHERE)
        fb_stream_settle(client);
}

static void note_end(const fb_stream_client_t *client)
{
    const fb_access_t access = {
        .id = client->id,
        .method = client->method,
        .target = client->target,
        .traceparent = client->traceparent,
        .client = fb_conn_client(fb_conn_of(client->req)),
        .body_bytes = client->bytes,
        .version = (unsigned)client->req->version,
        .status = (unsigned)client->req->res.status,
        .route = client->route,
    };
    fb_reply_note_end(client->loop, &access, client->begun_ns);
}

static void on_request_gone(void *chunk)
{
    fb_stream_client_t *client = chunk;
    fb_loop_t *loop = client->loop;
    fb_streams_t *streams = loop->streams;
    if (loop->accesses != NULL)
        note_end(client);
    fb_stream_unlink(client);
    h2o_linklist_unlink(&client->beat);
    if (client->chunk != NULL)
        h2o_mem_release_shared(client->chunk);
    fb_stream_topics_release(streams, client->topics);
    streams->count--;
    fb_count_set(&loop->metrics.stream_clients, streams->count);
    atomic_fetch_sub_explicit(&loop->server->streams, 1, memory_order_relaxed);
}

static void create_streams(fb_loop_t *loop)
{
    fb_streams_t *streams = fb_alloc_zero(1, sizeof(*streams));
    streams->loop = loop;
    streams->wanted = FB_STREAM_PAGE_FIRST;
    h2o_linklist_init_anchor(&streams->behind);
    h2o_linklist_init_anchor(&streams->ahead);
    h2o_linklist_init_anchor(&streams->wants_page);
    h2o_linklist_init_anchor(&streams->beating);
    for (unsigned i = 0; i < FB_STREAM_HEARTBEAT_S; i++)
        h2o_linklist_init_anchor(&streams->ring[i]);
    loop->streams = streams;
}

/* Nobody has looked at snapshots while there was no client. */
static void begin_streams(fb_streams_t *streams)
{
    const fb_position_t *position = &streams->loop->snapshot->position;
    fb_streams_drop_pages(streams);
    streams->reached = (fb_event_mark_t){position->revision, FB_EVENT_PLACE_END};
    memcpy(streams->epoch, position->epoch, sizeof(streams->epoch));
}

static fb_slice_t copy(h2o_req_t *req, fb_slice_t text)
{
    return (fb_slice_t){h2o_strdup(&req->pool, text.at, text.len).base, text.len};
}

static fb_stream_client_t *create(const fb_exchange_t *exchange, const wish_t *wish)
{
    fb_loop_t *loop = exchange->loop;
    h2o_req_t *req = exchange->req;
    if (loop->streams == NULL)
        create_streams(loop);
    fb_streams_t *streams = loop->streams;
    /* The snapshot may be newer than the last turn of the streams. A client is judged by it, and
     * must not be woken afterwards as if it stood where the others stood before. */
    if (streams->count == 0)
        begin_streams(streams);
    else
        fb_streams_look(streams);
    fb_stream_client_t *client = h2o_mem_alloc_shared(&req->pool, sizeof(*client), on_request_gone);
    *client = (fb_stream_client_t){
        .generator = {on_proceed, NULL},
        .loop = loop,
        .req = req,
        .topics = fb_stream_topics_get(streams, wish->families),
        .mark = streams->reached,
        .exact_to = streams->reached.revision,
        .begun_ns = exchange->begun_ns,
        .route = (uint8_t)exchange->route,
    };
    if (loop->accesses != NULL) {
        h2o_iovec_t method = req->input.method, target = req->input.path;
        client->id = copy(req, exchange->id);
        client->method = copy(req, (fb_slice_t){method.base, method.len});
        client->target = copy(req, (fb_slice_t){target.base, target.len});
        if (exchange->traceparent != NULL)
            client->traceparent =
                copy(req, (fb_slice_t){exchange->traceparent, FB_TRACEPARENT_BYTES}).at;
    }
    if (wish->has_token) {
        fb_event_token_t *token = h2o_mem_alloc_pool(&req->pool, sizeof(*token));
        *token = wish->token;
        client->token = token;
    }
    uint64_t chance = fb_random_next(&loop->request_state);
    h2o_linklist_insert(&streams->ring[chance % FB_STREAM_HEARTBEAT_S], &client->beat);
    streams->count++;
    fb_count_set(&loop->metrics.stream_clients, streams->count);
    return client;
}

/* --- the beginning ----------------------------------------------------------------------- */

/* When to come back, and with which id: who is cut off before its first event resumes too. */
static void put_beginning(fb_loop_t *loop, const fb_event_token_t *token, fb_buffer_t *text)
{
    uint64_t chance = fb_random_next(&loop->request_state) % FB_STREAM_RETRY_MS;
    fb_buffer_printf(text, "retry: %u\n", FB_STREAM_RETRY_MS + (unsigned)chance);
    if (token != NULL) {
        fb_buffer_put_literal(text, "id: ");
        fb_event_token_put(token->epoch, token->mark, text);
        fb_buffer_put_char(text, '\n');
    }
    fb_buffer_put_char(text, '\n');
}

static fb_event_token_t token_of_now(const fb_loop_t *loop)
{
    const fb_position_t *position = &loop->snapshot->position;
    fb_event_token_t token = {.mark = {position->revision, FB_EVENT_PLACE_END}};
    memcpy(token.epoch, position->epoch, sizeof(token.epoch));
    return token;
}

/* A stream has the connection for itself, whose buffer of what it read, 5 kB, is not needed any
 * more: not for another request either, since the connection is closed at the end. */
static void make_small(h2o_req_t *req)
{
    int unsent = FB_STREAM_UNSENT_BYTES;
    if (req->version >= 0x200)
        return;
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    if (sock->input->size > 0)
        h2o_buffer_consume(&sock->input, sock->input->size);
    setsockopt(h2o_socket_get_fd(sock), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static void begin(fb_exchange_t *exchange, const wish_t *wish)
{
    fb_loop_t *loop = exchange->loop;
    h2o_req_t *req = exchange->req;
    fb_stream_client_t *client = create(exchange, wish);
    fb_streams_t *streams = loop->streams;
    const fb_event_token_t now = token_of_now(loop), *token = &now;
    bool is_ahead = false;
    if (client->token != NULL) {
        uint64_t now_ms = fb_clock_monotonic_ms();
        is_ahead = fb_stream_is_ahead(client, 0, now_ms);
        token = client->resync == NULL ? client->token : NULL;
    }
    if (is_ahead) {
        fb_stream_link(client, &streams->ahead, FB_STREAM_AHEAD);
        streams->newest_ms = client->begun_ns / 1000000;
    }
    streams->text.len = 0;
    put_beginning(loop, token, &streams->text);
    req->http1_is_persistent = 0;
    fb_reply_begin(exchange, content_type);
    h2o_start_response(req, &client->generator);
    fb_stream_send(client, fb_stream_chunk(fb_buffer_slice(&streams->text), client->mark));
    make_small(req);
}

/* While the instance leaves: an answer with which a client comes back, to another one. An error
 * would make browsers give up for good. */
static void begin_and_end(fb_exchange_t *exchange, const wish_t *wish)
{
    const fb_event_token_t now = token_of_now(exchange->loop);
    fb_buffer_t text = {0};
    put_beginning(exchange->loop, wish->has_token ? &wish->token : &now, &text);
    fb_reply_text(exchange, content_type, &text);
}

static bool is_head(const h2o_req_t *req)
{
    return h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
}

static bool take_place(fb_server_t *server, fb_error_t *error)
{
    if (atomic_fetch_add_explicit(&server->streams, 1, memory_order_relaxed) < server->streams_max)
        return true;
    atomic_fetch_sub_explicit(&server->streams, 1, memory_order_relaxed);
    fb_fail(error, FB_UNAVAILABLE, "this instance has %zu event streams already",
            server->streams_max);
    return false;
}

void fb_stream_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query)
{
    fb_error_t error = {0};
    wish_t wish = {0};
    if (read_wish(exchange->req, route, query, &wish, &error) != FB_OK)
        fb_reply_problem(exchange, &error, NULL);
    else if (is_head(exchange->req))
        fb_reply_head(exchange, content_type);
    else if (exchange->loop->leaving)
        begin_and_end(exchange, &wish);
    else if (!take_place(exchange->loop->server, &error))
        fb_reply_problem(exchange, &error, NULL);
    else
        begin(exchange, &wish);
}
