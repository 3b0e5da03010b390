/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/client.h"

/* The connections of a loop: how many there are, which writes they wait for, and the sweep of those
 * that are too slow, which libh2o keeps for ever. Everything belongs to the thread of the loop,
 * except fb_conns_counts.
 *
 * Once a second the sweep looks at what a connection waits for:
 *
 *     HTTP/1  reading, nothing read     idle                  left to h2o's req_timeout
 *             reading, something read   the rest of a request request_ms
 *             not reading               to send, or for us    stall_ms if bytes are unacknowledged
 *     HTTP/2  stream receives           the rest of a request request_ms
 *             stream has bytes to send, the peer's WINDOW_    stall_ms
 *               and no window             UPDATE
 *             no stream, part of a      the rest of it        request_ms
 *               frame or header block
 *             a stream or a write       to send, or for us    stall_ms if bytes are unacknowledged
 *             none of these             idle                  left to h2o's idle_timeout
 *
 * A request has to be complete within request_ms. Who is sent something has to take, within
 * stall_ms, all that was there to take at the beginning of this span, or rate_min bytes a second of
 * it; then the next span begins. So whoever waits for an answer of ours is left alone, and an event
 * stream that is read, however rarely it speaks. A slow stream is reset, a slow connection closed.
 */
typedef struct fb_conn fb_conn_t;
typedef struct st_h2o_socket_t h2o_socket_t;
typedef struct st_h2o_req_t h2o_req_t;

typedef struct {
    uint64_t stall_ms;
    uint32_t rate_min; /* bytes a second */
    uint64_t request_ms;
    unsigned writes_max; /* of a connection, unanswered; also of streams that it has reset */
} fb_conns_limits_t;

#define FB_CONNS_LIMITS_DEFAULT                                                                    \
    ((fb_conns_limits_t){                                                                          \
        .stall_ms = 20000, .rate_min = 1024, .request_ms = 30000, .writes_max = 128})

typedef struct {
    uint64_t open;
    uint64_t slow_readers;  /* connections closed and streams reset: they did not take an answer */
    uint64_t slow_requests; /* … they did not send all of a request */
} fb_conns_counts_t;

typedef struct {
    fb_conns_limits_t limits;
    void (*on_closed)(void *data);
    void *data;
    bool keeps_clients;
    fb_conn_t *first;
    _Atomic uint64_t open, slow_readers, slow_requests;
} fb_conns_t;

/* `on_closed` is called after each close: the loop may have to accept again. It may be NULL. */
void fb_conns_init(fb_conns_t *conns, const fb_conns_limits_t *limits,
                   void (*on_closed)(void *data), void *data);
/* All connections must be closed. */
void fb_conns_dispose(fb_conns_t *conns);

/* From now on it is asked who the peer of each new connection is. */
void fb_conns_keep_clients(fb_conns_t *conns);

/* Takes note of a socket without TLS that was accepted just now, until it is closed: takes its
 * on_close. Before h2o_accept. */
void fb_conns_add(fb_conns_t *conns, h2o_socket_t *sock);
size_t fb_conns_open(const fb_conns_t *conns);
/* Shuts the slow connections; the library finds them closed on the next turn of the loop, so this
 * is legal between two turns only. `now_ms` is monotonic and above 0. */
void fb_conns_sweep(fb_conns_t *conns, uint64_t now_ms);
/* Closes the HTTP/1 connections that have been idle for FB_CONNS_IDLE_MS of calls: the end of a
 * graceful shutdown, in which the library tells those of HTTP/2 itself. Whoever has just connected,
 * or has just got an answer that promised to go on, has so long to send a request. Between two
 * turns. What remains is a request that is on its way when its connection is closed: no server can
 * see it, so clients that keep connections should close idle ones themselves before. */
#define FB_CONNS_IDLE_MS 250
void fb_conns_close_idle(fb_conns_t *conns, uint64_t now_ms);
/* Is a request of HTTP/2 being received? */
bool fb_conns_receive_streams(const fb_conns_t *conns);
/* Shuts all: the end of a graceful shutdown. A request that waits for us goes on to wait. */
void fb_conns_shut_all(fb_conns_t *conns);
/* From any thread. */
void fb_conns_counts(const fb_conns_t *conns, fb_conns_counts_t *counts);

/* The connection of a request; it was added. */
fb_conn_t *fb_conn_of(h2o_req_t *req);
/* Its peer; an empty one where nobody asked. */
const fb_client_t *fb_conn_client(const fb_conn_t *conn);
/* Shuts it, as the sweep does one that is too slow. Between two turns. */
void fb_conn_shut(fb_conn_t *conn);
/* A write of the connection begins; false if it has writes_max of them. Until its end `conn` stays
 * valid, also when the request and the connection are gone. */
bool fb_conn_write_begin(fb_conn_t *conn);
void fb_conn_write_end(fb_conn_t *conn);
