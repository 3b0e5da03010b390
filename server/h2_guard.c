/* SPDX-License-Identifier: MIT */
#include "server/h2_guard.h"

/* What is wrong with HTTP/2 in libh2o 2.2.5, and which function is replaced for it, in the way
 * of server/library.h. A connection belongs to one thread: nothing is locked.
 * tests/unit/server/test_h2_guard.c attacks each fault.
 *
 * h2o_http2_stream_send_pending_data, h2o_http2_stream_reset, h2o_http2_stream_close:
 *   A stream whose last bytes are being written, or that is reset while bytes are, lives on in
 *   the state END_STREAM and no longer counts as running.
 *   - Abort: a window that opens meanwhile, by WINDOW_UPDATE or SETTINGS, fails an assertion of
 *     update_stream_output_window. Here the window of such a stream is shut for good.
 *   - Abort: with max_concurrent_requests_per_connection below 100, a frame that comes while
 *     requests wait for such a stream fails an assertion of update_idle_timeout. Here such a
 *     stream counts as running until it is written.
 *   - Loss: a graceful shutdown closes a connection on which nothing runs, and cuts off up to 80
 *     kB of the last answer. Closed by the same count.
 *   - Abort: a write that fails closes a connection that still counts as open. The streams that
 *     are closed with it make room for requests that wait; these are begun and answered, and the
 *     write that this asks for fails an assertion of close_connection_now. Here the connection
 *     counts as closing from the first of its streams on.
 * h2o_http2_stream_reset:
 *   - CVE-2023-44487, CVE-2025-8671: a reset stream does not count as concurrent, so a client
 *     begins as many requests as it can send. Here all resets of a connection are counted,
 *     whichever side does them, and it is closed beyond a rate.
 * h2o_http2_decode_frame:
 *   - Hang: while a connection goes away in a graceful shutdown, a CONTINUATION is consumed as 0
 *     bytes, over and over. Here the connection is closed.
 *   - Use after free: a CONTINUATION ends the header block of whatever stream it names. A stream
 *     can so go on to take bytes for a body that its request already points to. Here it must
 *     name the stream of the HEADERS before it.
 *   - Growth: reading stops at 512 kB of unwritten answers, but what has been read by then,
 *     often megabytes, is answered too (PING, SETTINGS, frames of closed streams). Here the
 *     connection is closed.
 *   - Noise: each frame of an unknown type prints a line. Here it becomes one that nobody heeds,
 *     and so does a DATA of a request that was answered before its body was complete: the library
 *     would reset the stream, and the answer with it.
 * h2o_http2_accept, h2o_socket_read_start:
 *   - The functions above are not told the connection. These two put a callback of ours before
 *     the library's, which notes whose input is parsed.
 *   - Growth: a connection that is closing, but still writes, goes on to read, and keeps what it
 *     reads unparsed, in memory and then in temporary files. Here it stops to read.
 * h2o_http2_decode_data_payload:
 *   - Growth: max_request_entity_size bounds one body, of which a connection can send 100 at a
 *     time. Here all of a connection together are bounded, and a stream beyond that is refused; but
 *     for the large ones of server/bodies.h, which has a bound for all connections.
 * h2o_hpack_parse_headers:
 *   - Growth: only the block is bounded, at 417,792 bytes. Each byte of it can be a field, which
 *     takes some 130 bytes for as long as the stream lives. Here fields and bytes are bounded.
 *   - Retries: a body over the limit is refused with REFUSED_STREAM, which tells clients to try
 *     again. Here a request that declares one is answered, by the only answer that the library
 *     gives to bad header fields: h2o_send_error_generic, with a detail of ours.
 *   - Growth: the header cache-digest is decoded into 85 times its size, for a push that this
 *     server does not do. Here it is not decoded.
 * h2o_http2_handle_upgrade:
 *   - Crash: from a request for an upgrade from HTTP/1.1 until its 101 is written, a connection
 *     has no socket, but a graceful shutdown uses it. Here there is no upgrade once a shutdown has
 *     begun, and the loop begins none while fb_h2_guard_is_upgrading.
 *
 * Left as it is: floods of PING, SETTINGS, PRIORITY and WINDOW_UPDATE and of empty DATA,
 * CONTINUATION and unknown frames cost 1 to 20 ns a byte, a small request 60 to 90. Peers that
 * are slow are the business of server/sweep.h. */

#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include <h2o.h>
#include <h2o/http2.h>

#include "server/compat/khash.h"

#include <h2o/http2_internal.h>

#include "base/assert.h"
#include "base/clock.h"
#include "server/bodies.h"
#include "server/library.h"

static struct {
    __typeof__(&h2o_socket_read_start) read_start;
    __typeof__(&h2o_http2_accept) accept;
    __typeof__(&h2o_http2_handle_upgrade) handle_upgrade;
    __typeof__(&h2o_http2_decode_frame) decode_frame;
    __typeof__(&h2o_http2_decode_data_payload) decode_data_payload;
    __typeof__(&h2o_hpack_parse_headers) parse_headers;
    __typeof__(&h2o_http2_stream_send_pending_data) send_pending_data;
    __typeof__(&h2o_http2_stream_reset) stream_reset;
    __typeof__(&h2o_http2_stream_close) stream_close;
} library;

static struct {
    _Atomic uint64_t resets, closed_resets, closed_unread, closed_headers, closed_fragments,
        refused_bodies, skipped_frames, refused_upgrades;
} counts;

#define COUNT(what) atomic_fetch_add_explicit(&counts.what, 1, memory_order_relaxed)

/* The HTTP/2 connection whose input this thread parses; NULL outside of that. */
static __thread h2o_socket_t *parsed;
static __thread h2o_socket_t *accepted;
/* The context of this thread, once a connection of it was upgraded. */
static __thread const h2o_context_t *upgraded_in;
/* The library's on_read of HTTP/2 connections, known from the first one on. */
static _Atomic(h2o_socket_cb) library_on_read;

/* Two fields of a connection that the library has and never uses: streams leave the slot
 * `priority` before they are counted in them. They are 0 on a new connection. */
static uint32_t *resets_paid_ms(h2o_http2_conn_t *conn)
{
    return &conn->num_streams.priority.half_closed;
}

#define CONDEMNED 0x80000000U

/* The stream whose header fields began last and were not complete, and perhaps CONDEMNED. */
static uint32_t *open_block(h2o_http2_conn_t *conn)
{
    return &conn->num_streams.priority.send_body;
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    const h2o_http2_conn_t *conn = sock->data;
    if (err == NULL && conn->state == H2O_HTTP2_CONN_STATE_IS_CLOSING) {
        h2o_buffer_consume(&sock->input, sock->input->size);
        h2o_socket_read_stop(sock);
        return;
    }
    parsed = sock;
    atomic_load_explicit(&library_on_read, memory_order_relaxed)(sock, err);
    parsed = NULL;
}

/* Is it of an HTTP/2 connection that began as HTTP/1.1, in the context where one last did? */
static bool is_upgraded(const h2o_socket_t *sock)
{
    if (upgraded_in == NULL)
        return false;
    const h2o_linklist_t *all = &upgraded_in->http2._conns;
    for (const h2o_linklist_t *node = all->next; node != all; node = node->next) {
        if (H2O_STRUCT_FROM_MEMBER(h2o_http2_conn_t, _conns, node)->sock == sock)
            return true;
    }
    return false;
}

void h2o_socket_read_start(h2o_socket_t *sock, h2o_socket_cb cb)
{
    h2o_socket_cb known = atomic_load_explicit(&library_on_read, memory_order_relaxed);
    if (known == NULL && (sock == accepted || is_upgraded(sock))) {
        atomic_store_explicit(&library_on_read, cb, memory_order_relaxed);
        known = cb;
    }
    if (known != NULL && cb == known) {
        /* The end of an upgrade parses what came with it right after this, and calls the
         * library's callback itself. */
        parsed = sock;
        cb = on_read;
    }
    library.read_start(sock, cb);
}

void h2o_http2_accept(h2o_accept_ctx_t *ctx, h2o_socket_t *sock, struct timeval connected_at)
{
    accepted = parsed = sock;
    library.accept(ctx, sock, connected_at);
    accepted = parsed = NULL;
}

int h2o_http2_handle_upgrade(h2o_req_t *req, struct timeval connected_at)
{
    if (req->conn->ctx->shutdown_requested) {
        COUNT(refused_upgrades);
        return -1;
    }
    upgraded_in = req->conn->ctx;
    return library.handle_upgrade(req, connected_at);
}

bool fb_h2_guard_is_upgrading(const h2o_context_t *ctx)
{
    const h2o_linklist_t *all = &ctx->http2._conns;
    for (const h2o_linklist_t *node = all->next; node != all; node = node->next) {
        if (H2O_STRUCT_FROM_MEMBER(h2o_http2_conn_t, _conns, node)->sock == NULL)
            return true;
    }
    return false;
}

static ssize_t close_for(const char **err_desc, const char *reason, ssize_t error)
{
    *err_desc = reason;
    return error;
}

static size_t unread_bytes(const h2o_http2_conn_t *conn)
{
    size_t in_flight = conn->_write.buf_in_flight != NULL ? conn->_write.buf_in_flight->size : 0;
    return conn->_write.buf->size + in_flight;
}

/* Refuses a CONTINUATION that does not continue, and one that would never be consumed. */
static ssize_t judge_fragment(h2o_http2_conn_t *conn, const h2o_http2_frame_t *frame, ssize_t len,
                              const char **err_desc)
{
    if (conn->state >= H2O_HTTP2_CONN_STATE_HALF_CLOSED) {
        COUNT(closed_fragments);
        return close_for(err_desc, "shutting down", H2O_HTTP2_ERROR_INTERNAL);
    }
    if (frame->stream_id != (*open_block(conn) & ~CONDEMNED)) {
        COUNT(closed_fragments);
        return close_for(err_desc, "CONTINUATION of another stream", H2O_HTTP2_ERROR_PROTOCOL);
    }
    return len;
}

/* A SETTINGS with ACK, which nobody heeds. */
static void make_void(h2o_http2_frame_t *frame)
{
    frame->type = H2O_HTTP2_FRAME_TYPE_SETTINGS;
    frame->flags = H2O_HTTP2_FRAME_FLAG_ACK;
    frame->stream_id = frame->length = 0;
}

/* More of a body whose request was answered before it was complete. */
static bool is_answered_early(h2o_http2_conn_t *conn, const h2o_http2_frame_t *frame)
{
    const h2o_http2_stream_t *stream = h2o_http2_conn_get_stream(conn, frame->stream_id);
    return stream != NULL && stream->state >= H2O_HTTP2_STREAM_STATE_SEND_HEADERS &&
           stream->_req_body != NULL && stream->req.entity.base == NULL;
}

/* What the library is to make of a whole frame of `len` bytes: `len`, or an error. */
static ssize_t judge_frame(h2o_socket_t *sock, h2o_http2_frame_t *frame, ssize_t len,
                           const char **err_desc)
{
    h2o_http2_conn_t *conn = sock->data;
    if ((*open_block(conn) & CONDEMNED) != 0) {
        COUNT(closed_resets);
        return close_for(err_desc, "too many resets", H2O_HTTP2_ERROR_ENHANCE_YOUR_CALM);
    }
    if (unread_bytes(conn) > FB_H2_UNREAD_BYTES_MAX) {
        COUNT(closed_unread);
        shutdown(h2o_socket_get_fd(sock), SHUT_RDWR);
        return H2O_HTTP2_ERROR_PROTOCOL_CLOSE_IMMEDIATELY;
    }
    if (conn->_headers_unparsed != NULL)
        return judge_fragment(conn, frame, len, err_desc);
    if (frame->type == H2O_HTTP2_FRAME_TYPE_HEADERS &&
        (frame->flags & H2O_HTTP2_FRAME_FLAG_END_HEADERS) == 0)
        *open_block(conn) = frame->stream_id;
    if (frame->type > H2O_HTTP2_FRAME_TYPE_CONTINUATION) {
        COUNT(skipped_frames);
        make_void(frame);
    } else if (frame->type == H2O_HTTP2_FRAME_TYPE_DATA && is_answered_early(conn, frame)) {
        if (frame->length != 0) {
            h2o_http2_encode_window_update_frame(&conn->_write.buf, 0, (int32_t)frame->length);
            h2o_http2_conn_request_write(conn);
        }
        make_void(frame);
    }
    return len;
}

ssize_t h2o_http2_decode_frame(h2o_http2_frame_t *frame, const uint8_t *src, size_t len,
                               const h2o_http2_settings_t *host_settings, const char **err_desc)
{
    ssize_t frame_len = library.decode_frame(frame, src, len, host_settings, err_desc);
    if (frame_len <= 0 || parsed == NULL)
        return frame_len;
    return judge_frame(parsed, frame, frame_len, err_desc);
}

/* Is its body one of those that were admitted by themselves, and that server/bodies.h counts? */
static bool is_large(const h2o_http2_stream_t *stream, size_t usual)
{
    return stream->_expected_content_length != SIZE_MAX && stream->_expected_content_length > usual;
}

static size_t body_bytes(const h2o_http2_conn_t *conn, size_t usual)
{
    size_t bytes = 0;
    for (khiter_t i = 0; i != kh_end(conn->streams); i++) {
        if (!kh_exist(conn->streams, i))
            continue;
        const h2o_http2_stream_t *stream = kh_val(conn->streams, i);
        if (stream->_req_body != NULL && !is_large(stream, usual))
            bytes += stream->_req_body->size;
    }
    return bytes;
}

int h2o_http2_decode_data_payload(h2o_http2_data_payload_t *payload, const h2o_http2_frame_t *frame,
                                  const char **err_desc)
{
    int ret = library.decode_data_payload(payload, frame, err_desc);
    if (ret != 0 || parsed == NULL)
        return ret;
    h2o_http2_conn_t *conn = parsed->data;
    h2o_globalconf_t *config = conn->super.ctx->globalconf;
    size_t usual = fb_bodies_usual(config);
    const h2o_http2_stream_t *stream = h2o_http2_conn_get_stream(conn, frame->stream_id);
    if (stream != NULL && is_large(stream, usual)) {
        config->max_request_entity_size = stream->_expected_content_length;
        return 0;
    }
    config->max_request_entity_size = usual;
    if (body_bytes(conn, usual) + payload->length > FB_H2_BODIES_MAX * usual) {
        COUNT(refused_bodies);
        /* The library refuses a stream whose body becomes longer than allowed. */
        payload->length = SIZE_MAX / 2;
    }
    return 0;
}

/* RFC 7541 section 5.1: an integer that begins in the low `bits` of a byte. NULL if it does not
 * end, or is longer than the library takes. */
static const uint8_t *read_integer(const uint8_t *at, const uint8_t *end, unsigned bits,
                                   size_t *value)
{
    size_t most = (1U << bits) - 1;
    *value = *at++ & most;
    if (*value != most)
        return at;
    for (unsigned shift = 0; at < end && shift < 28; shift += 7) {
        *value += (size_t)(*at & 127) << shift;
        if ((*at++ & 128) == 0)
            return at;
    }
    return NULL;
}

static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end)
{
    size_t len;
    if (at == NULL || at >= end || (at = read_integer(at, end, 7, &len)) == NULL)
        return NULL;
    return len <= (size_t)(end - at) ? at + len : NULL;
}

/* How many fields a header block has, up to the first malformed one (RFC 7541 section 6). */
static size_t count_fields(const uint8_t *at, const uint8_t *end)
{
    size_t fields = 0, index;
    while (at != NULL && at < end && fields <= FB_H2_FIELDS_MAX) {
        uint8_t first = *at;
        if (first >= 0x80) {
            at = read_integer(at, end, 7, &index);
            fields++;
        } else if (first >= 0x20 && first < 0x40) {
            at = read_integer(at, end, 5, &index);
        } else {
            at = read_integer(at, end, first >= 0x40 ? 6 : 4, &index);
            if (at != NULL && index == 0)
                at = skip_string(at, end);
            at = skip_string(at, end);
            fields++;
        }
    }
    return fields;
}

int h2o_hpack_parse_headers(h2o_req_t *req, h2o_hpack_header_table_t *header_table,
                            const uint8_t *src, size_t len, int *pseudo_header_exists_map,
                            size_t *content_length, h2o_cache_digests_t **digests,
                            const char **err_desc)
{
    (void)digests;
    if (len > FB_H2_HEADER_BYTES_MAX || count_fields(src, src + len) > FB_H2_FIELDS_MAX) {
        COUNT(closed_headers);
        *err_desc = "too many header fields";
        return H2O_HTTP2_ERROR_ENHANCE_YOUR_CALM;
    }
    int ret = library.parse_headers(req, header_table, src, len, pseudo_header_exists_map,
                                    content_length, NULL, err_desc);
    bool is_request = pseudo_header_exists_map != NULL; /* and not its trailers */
    if (ret == 0 && is_request && *content_length != SIZE_MAX &&
        *content_length > fb_bodies_bound(req, *content_length)) {
        COUNT(refused_bodies);
        *err_desc = FB_H2_TOO_LARGE;
        return H2O_HTTP2_ERROR_INVALID_HEADER_CHAR;
    }
    return ret;
}

/* Below every window that a peer could still open: it has 31 bits to add in a frame. */
#define WINDOW_SHUT (-(INT64_C(1) << 62))

/* A stream in END_STREAM lives on until its last bytes are written. Until then its window must not
 * open, and the connection must count it as running. The mark is a field of pushed streams. */
static void keep_until_written(h2o_http2_conn_t *conn, h2o_http2_stream_t *stream)
{
    if (h2o_http2_stream_is_push(stream->stream_id) || stream->push.promise_sent)
        return;
    stream->output_window._avail = WINDOW_SHUT;
    stream->push.promise_sent = 1;
    conn->num_streams.push.half_closed++;
}

void h2o_http2_stream_send_pending_data(h2o_http2_conn_t *conn, h2o_http2_stream_t *stream)
{
    library.send_pending_data(conn, stream);
    if (stream->state == H2O_HTTP2_STREAM_STATE_END_STREAM)
        keep_until_written(conn, stream);
}

/* A bucket that leaks: each reset is paid for with a span of time, and what a connection owes must
 * not exceed the span of a burst. Milliseconds in 32 bits wrap; only differences count. */
static void charge_reset(h2o_http2_conn_t *conn)
{
    uint32_t now = (uint32_t)fb_clock_monotonic_ms(), *paid = resets_paid_ms(conn);
    int32_t owed = *paid != 0 ? (int32_t)(*paid - now) : 0;
    owed = (owed > 0 ? owed : 0) + 1000 / FB_H2_RESETS_PER_SECOND;
    *paid = now + (uint32_t)owed;
    if (owed > 1000 * FB_H2_RESETS_BURST / FB_H2_RESETS_PER_SECOND)
        *open_block(conn) |= CONDEMNED;
    COUNT(resets);
}

void h2o_http2_stream_reset(h2o_http2_conn_t *conn, h2o_http2_stream_t *stream)
{
    charge_reset(conn);
    if (stream->state >= H2O_HTTP2_STREAM_STATE_SEND_HEADERS &&
        h2o_linklist_is_linked(&stream->_refs.link))
        keep_until_written(conn, stream);
    library.stream_reset(conn, stream);
}

/* Is the connection being closed because its write has failed? Only then is the write over and its
 * buffer still there. */
static bool is_write_failed(const h2o_http2_conn_t *conn)
{
    return conn->_write.buf_in_flight != NULL && conn->sock != NULL &&
           conn->sock->_cb.write == NULL;
}

void h2o_http2_stream_close(h2o_http2_conn_t *conn, h2o_http2_stream_t *stream)
{
    if (is_write_failed(conn))
        conn->state = H2O_HTTP2_CONN_STATE_IS_CLOSING;
    if (stream->push.promise_sent && !h2o_http2_stream_is_push(stream->stream_id))
        conn->num_streams.push.half_closed--;
    library.stream_close(conn, stream);
}

__attribute__((constructor)) static void replace(void)
{
#define REPLACE(function, member)                                                                  \
    *(void **)&library.member = fb_library_replace(#function, (const void *)function)
    REPLACE(h2o_socket_read_start, read_start);
    REPLACE(h2o_http2_accept, accept);
    REPLACE(h2o_http2_handle_upgrade, handle_upgrade);
    REPLACE(h2o_http2_decode_frame, decode_frame);
    REPLACE(h2o_http2_decode_data_payload, decode_data_payload);
    REPLACE(h2o_hpack_parse_headers, parse_headers);
    REPLACE(h2o_http2_stream_send_pending_data, send_pending_data);
    REPLACE(h2o_http2_stream_reset, stream_reset);
    REPLACE(h2o_http2_stream_close, stream_close);
#undef REPLACE
}

void fb_h2_guard_stats(fb_h2_guard_stats_t *stats)
{
#define READ(what) .what = atomic_load_explicit(&counts.what, memory_order_relaxed)
    *stats = (fb_h2_guard_stats_t){
        READ(resets),           READ(closed_resets),  READ(closed_unread),  READ(closed_headers),
        READ(closed_fragments), READ(refused_bodies), READ(skipped_frames), READ(refused_upgrades),
    };
#undef READ
}
