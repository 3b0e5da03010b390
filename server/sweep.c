/* SPDX-License-Identifier: MIT */
#include "server/sweep.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <h2o.h>
#include <h2o/http2.h>

#include "server/compat/khash.h"

#include <h2o/http2_internal.h>

#include "base/assert.h"
#include "base/memory.h"

/* The library admits 100 streams to a connection, and 16 that have only a priority. */
#define STREAMS_MAX 128

/* What a peer owes since when; since_ms is 0 while it owes nothing. */
typedef struct {
    uint64_t since_ms;
    uint64_t mark; /* the count that settles it, or that the span began with */
} debt_t;

/* A stream that waits for its peer. */
typedef struct {
    uint32_t stream;
    bool receives;
    debt_t debt;
} stalled_t;

struct fb_conn {
    fb_conns_t *owner;
    fb_client_t *client; /* NULL: nobody asks */
    h2o_socket_t *sock;  /* NULL once it is closed and a write still goes on */
    fb_conn_t *previous, *next;
    unsigned writes;
    bool shut;
    debt_t resting;        /* without a request: since when, and what had been written by then */
    debt_t taking, giving; /* of the connection: to read what we sent, to send a request */
    stalled_t *stalled;    /* as found by the last sweep; NULL if there were none */
    size_t stalled_count;
};

void fb_conns_init(fb_conns_t *conns, const fb_conns_limits_t *limits,
                   void (*on_closed)(void *data), void *data)
{
    *conns = (fb_conns_t){.limits = *limits, .on_closed = on_closed, .data = data};
}

void fb_conns_dispose(fb_conns_t *conns)
{
    fb_assert(conns->first == NULL);
    fb_assert(fb_conns_open(conns) == 0);
}

size_t fb_conns_open(const fb_conns_t *conns)
{
    return (size_t)atomic_load_explicit(&conns->open, memory_order_relaxed);
}

static void on_socket_close(void *data)
{
    fb_conn_t *conn = data;
    fb_conns_t *conns = conn->owner;
    if (conn->previous != NULL)
        conn->previous->next = conn->next;
    else
        conns->first = conn->next;
    if (conn->next != NULL)
        conn->next->previous = conn->previous;
    free(conn->stalled);
    free(conn->client);
    conn->stalled = NULL;
    conn->client = NULL;
    conn->sock = NULL;
    if (conn->writes == 0)
        free(conn);
    atomic_fetch_sub_explicit(&conns->open, 1, memory_order_relaxed);
    if (conns->on_closed != NULL)
        conns->on_closed(conns->data);
}

void fb_conns_keep_clients(fb_conns_t *conns)
{
    conns->keeps_clients = true;
}

void fb_conns_add(fb_conns_t *conns, h2o_socket_t *sock)
{
    fb_assert(sock->on_close.cb == NULL && sock->ssl == NULL);
    fb_conn_t *conn = fb_alloc_zero(1, sizeof(*conn));
    conn->owner = conns;
    conn->sock = sock;
    /* Now, since who has gone by the time of an answer is not known any more. */
    if (conns->keeps_clients) {
        conn->client = fb_alloc(sizeof(*conn->client));
        fb_client_read(conn->client, h2o_socket_get_fd(sock));
    }
    conn->next = conns->first;
    if (conn->next != NULL)
        conn->next->previous = conn;
    conns->first = conn;
    sock->on_close.cb = on_socket_close;
    sock->on_close.data = conn;
    atomic_fetch_add_explicit(&conns->open, 1, memory_order_relaxed);
}

/* The library sees the end of the connection, and disposes of its state as if the peer had closed.
 * What the kernel still keeps for the peer is dropped with the socket. */
static void shut(fb_conn_t *conn)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    int fd = h2o_socket_get_fd(conn->sock);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    shutdown(fd, SHUT_RDWR);
    conn->shut = true;
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* The bytes that must be taken in a span, of `waiting` ones; at least 1. */
static uint64_t due(const fb_conns_limits_t *limits, uint64_t waiting)
{
    uint64_t most = limits->rate_min * limits->stall_ms / 1000;
    uint64_t bytes = waiting < most ? waiting : most;
    return bytes != 0 ? bytes : 1;
}

/* Of a count that grows: whether it has not reached the mark in time. A new span begins when it
 * has, and at first, `step` further. */
static bool is_behind(debt_t *debt, uint64_t done, uint64_t step, uint64_t now_ms, uint64_t span_ms)
{
    if (debt->since_ms == 0 || done >= debt->mark) {
        *debt = (debt_t){now_ms, done + step};
        return false;
    }
    return now_ms - debt->since_ms >= span_ms;
}

/* The kernel has bytes for the peer that it does not acknowledge. */
static bool takes_too_slowly(fb_conn_t *conn, uint64_t now_ms)
{
    const fb_conns_limits_t *limits = &conn->owner->limits;
    int fd = h2o_socket_get_fd(conn->sock), waiting = 0;
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (ioctl(fd, SIOCOUTQ, &waiting) != 0 || waiting <= 0 ||
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0) {
        conn->taking.since_ms = 0;
        return false;
    }
    return is_behind(&conn->taking, info.tcpi_bytes_acked, due(limits, (uint64_t)waiting), now_ms,
                     limits->stall_ms);
}

/* Part of a request is there. `completed` is a count that grows with each request that is. */
static bool gives_too_slowly(fb_conn_t *conn, uint64_t completed, uint64_t now_ms)
{
    return is_behind(&conn->giving, completed, 1, now_ms, conn->owner->limits.request_ms);
}

static void sweep_http1(fb_conn_t *conn, uint64_t now_ms)
{
    h2o_socket_t *sock = conn->sock;
    bool receives = h2o_socket_is_reading(sock) && sock->input->size != 0;
    if (!receives)
        conn->giving.since_ms = 0;
    /* The library reads no request before it has answered the one before, so a request is new if
     * something was written since. */
    if (receives && gives_too_slowly(conn, sock->bytes_written, now_ms)) {
        count(&conn->owner->slow_requests);
        shut(conn);
    } else if (!h2o_socket_is_reading(sock) && takes_too_slowly(conn, now_ms)) {
        count(&conn->owner->slow_readers);
        shut(conn);
    }
}

static bool is_receiving(const h2o_http2_stream_t *stream)
{
    return stream->state == H2O_HTTP2_STREAM_STATE_RECV_HEADERS ||
           stream->state == H2O_HTTP2_STREAM_STATE_RECV_BODY;
}

static bool waits_for_window(h2o_http2_conn_t *http2, h2o_http2_stream_t *stream)
{
    bool has_more = stream->state == H2O_HTTP2_STREAM_STATE_SEND_BODY_IS_FINAL ||
                    (stream->state == H2O_HTTP2_STREAM_STATE_SEND_BODY && stream->_data.size != 0);
    return has_more && (h2o_http2_window_get_window(&stream->output_window) <= 0 ||
                        h2o_http2_window_get_window(&http2->_write.window) <= 0);
}

static uint64_t unsent_bytes(const h2o_http2_stream_t *stream)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < stream->_data.size; i++)
        bytes += stream->_data.entries[i].len;
    return bytes;
}

/* What was found about the stream before; nothing if it has changed sides since. */
static debt_t debt_of(const fb_conn_t *conn, uint32_t stream, bool receives)
{
    for (size_t i = 0; i < conn->stalled_count; i++) {
        if (conn->stalled[i].stream == stream && conn->stalled[i].receives == receives)
            return conn->stalled[i].debt;
    }
    return (debt_t){0, 0};
}

static bool is_too_slow(const fb_conns_limits_t *limits, const h2o_http2_stream_t *stream,
                        stalled_t *stalled, uint64_t now_ms)
{
    if (stalled->receives)
        return is_behind(&stalled->debt, 0, 1, now_ms, limits->request_ms);
    return is_behind(&stalled->debt, stream->req.bytes_sent, due(limits, unsent_bytes(stream)),
                     now_ms, limits->stall_ms);
}

static void reset(fb_conn_t *conn, h2o_http2_conn_t *http2, const stalled_t *stalled)
{
    h2o_http2_stream_t *stream = h2o_http2_conn_get_stream(http2, stalled->stream);
    if (stream == NULL)
        return;
    count(stalled->receives ? &conn->owner->slow_requests : &conn->owner->slow_readers);
    h2o_http2_stream_reset(http2, stream);
    h2o_http2__encode_rst_stream_frame(&http2->_write.buf, stalled->stream,
                                       -H2O_HTTP2_ERROR_CANCEL);
    h2o_http2_conn_request_write(http2);
}

static void sweep_streams(fb_conn_t *conn, h2o_http2_conn_t *http2, uint64_t now_ms)
{
    stalled_t found[STREAMS_MAX], slow[STREAMS_MAX];
    size_t found_count = 0, slow_count = 0;
    for (khiter_t i = 0; i != kh_end(http2->streams); i++) {
        if (!kh_exist(http2->streams, i) || found_count + slow_count == STREAMS_MAX)
            continue;
        h2o_http2_stream_t *stream = kh_val(http2->streams, i);
        bool receives = is_receiving(stream);
        if (!receives && !waits_for_window(http2, stream))
            continue;
        stalled_t stalled = {stream->stream_id, receives,
                             debt_of(conn, stream->stream_id, receives)};
        if (is_too_slow(&conn->owner->limits, stream, &stalled, now_ms))
            slow[slow_count++] = stalled;
        else
            found[found_count++] = stalled;
    }
    free(conn->stalled);
    conn->stalled = NULL;
    conn->stalled_count = found_count;
    if (found_count != 0) {
        conn->stalled = fb_alloc(found_count * sizeof(found[0]));
        memcpy(conn->stalled, found, found_count * sizeof(found[0]));
    }
    for (size_t i = 0; i < slow_count; i++)
        reset(conn, http2, &slow[i]);
}

static void sweep_http2(fb_conn_t *conn, h2o_http2_conn_t *http2, uint64_t now_ms)
{
    bool has_streams = kh_size(http2->streams) != 0;
    bool receives = http2->num_streams.pull.open == 0 &&
                    (conn->sock->input->size != 0 || http2->_headers_unparsed != NULL);
    if (!receives)
        conn->giving.since_ms = 0;
    if ((has_streams || h2o_socket_is_writing(conn->sock)) && takes_too_slowly(conn, now_ms)) {
        count(&conn->owner->slow_readers);
        shut(conn);
        return;
    }
    if (receives && gives_too_slowly(conn, http2->pull_stream_ids.max_open, now_ms)) {
        count(&conn->owner->slow_requests);
        shut(conn);
        return;
    }
    if ((has_streams || conn->stalled_count != 0) && http2->state < H2O_HTTP2_CONN_STATE_IS_CLOSING)
        sweep_streams(conn, http2, now_ms);
}

void fb_conns_sweep(fb_conns_t *conns, uint64_t now_ms)
{
    for (fb_conn_t *conn = conns->first; conn != NULL; conn = conn->next) {
        h2o_conn_t *protocol = conn->sock->data;
        if (conn->shut || protocol == NULL)
            continue;
        if (protocol->callbacks->get_debug_state != NULL)
            sweep_http2(conn, (h2o_http2_conn_t *)protocol, now_ms);
        else
            sweep_http1(conn, now_ms);
    }
}

static bool is_idle(const fb_conn_t *conn)
{
    const h2o_conn_t *protocol = conn->sock->data;
    bool is_http1 = protocol != NULL && protocol->callbacks->get_debug_state == NULL;
    return is_http1 && !conn->shut && h2o_socket_is_reading(conn->sock) &&
           conn->sock->input->size == 0;
}

static bool has_rested(fb_conn_t *conn, uint64_t now_ms)
{
    debt_t *resting = &conn->resting;
    if (resting->since_ms == 0 || resting->mark != conn->sock->bytes_written)
        *resting = (debt_t){now_ms, conn->sock->bytes_written};
    return now_ms - resting->since_ms >= FB_CONNS_IDLE_MS;
}

/* Has the kernel bytes that the loop has not read yet? */
static bool has_unread(const fb_conn_t *conn)
{
    char byte;
    return recv(h2o_socket_get_fd(conn->sock), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void fb_conns_close_idle(fb_conns_t *conns, uint64_t now_ms)
{
    fb_conn_t *next;
    for (fb_conn_t *conn = conns->first; conn != NULL; conn = next) {
        next = conn->next;
        if (!is_idle(conn))
            conn->resting.since_ms = 0;
        else if (has_rested(conn, now_ms) && !has_unread(conn))
            /* As if the peer had closed, and at once: what comes between the look at what is
             * unread and the close is lost. */
            conn->sock->_cb.read(conn->sock, h2o_socket_error_closed);
    }
}

bool fb_conns_receive_streams(const fb_conns_t *conns)
{
    for (const fb_conn_t *conn = conns->first; conn != NULL; conn = conn->next) {
        const h2o_conn_t *protocol = conn->sock->data;
        if (protocol == NULL || protocol->callbacks->get_debug_state == NULL)
            continue;
        const h2o_http2_conn_t *http2 = (const h2o_http2_conn_t *)protocol;
        for (khiter_t i = 0; i != kh_end(http2->streams); i++) {
            if (kh_exist(http2->streams, i) && is_receiving(kh_val(http2->streams, i)))
                return true;
        }
    }
    return false;
}

void fb_conns_shut_all(fb_conns_t *conns)
{
    for (fb_conn_t *conn = conns->first; conn != NULL; conn = conn->next)
        shut(conn);
}

void fb_conns_counts(const fb_conns_t *conns, fb_conns_counts_t *counts)
{
    *counts = (fb_conns_counts_t){
        .open = atomic_load_explicit(&conns->open, memory_order_relaxed),
        .slow_readers = atomic_load_explicit(&conns->slow_readers, memory_order_relaxed),
        .slow_requests = atomic_load_explicit(&conns->slow_requests, memory_order_relaxed),
    };
}

fb_conn_t *fb_conn_of(h2o_req_t *req)
{
    const h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    fb_assert(sock->on_close.cb == on_socket_close);
    return sock->on_close.data;
}

const fb_client_t *fb_conn_client(const fb_conn_t *conn)
{
    static const fb_client_t nobody = {.len = 0};
    return conn->client != NULL ? conn->client : &nobody;
}

void fb_conn_shut(fb_conn_t *conn)
{
    if (!conn->shut)
        shut(conn);
}

bool fb_conn_write_begin(fb_conn_t *conn)
{
    if (conn->writes >= conn->owner->limits.writes_max)
        return false;
    conn->writes++;
    return true;
}

void fb_conn_write_end(fb_conn_t *conn)
{
    fb_assert(conn->writes > 0);
    conn->writes--;
    if (conn->writes == 0 && conn->sock == NULL)
        free(conn);
}
