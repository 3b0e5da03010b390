/* SPDX-License-Identifier: MIT */
#include "server/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/bodies.h"
#include "server/dispatch.h"
#include "server/h2_guard.h"
#include "server/library_errors.h"
#include "server/stream.h"
#include "server/waiting.h"

#define SWEEP_MS       1000
#define LEAVE_TURN_MS  20   /* how often connections are looked at while it leaves and drains */
#define TELL_AGAIN_MS  1500 /* more than the second between the two GOAWAYs of the library */
#define ACCEPTS_A_TURN 32   /* of one listener, before other sockets have their turn */
#define H2_STREAMS_MAX 128  /* of a connection at once */
#define ENDING_TURNS   100  /* for connections to go once they have been shut */

/* A listening socket of this loop: a duplicate of the shared one. */
typedef struct {
    fb_loop_t *loop;
    h2o_accept_ctx_t accept;
    h2o_socket_t *socket;
} listener_t;

typedef struct {
    listener_t items[FB_LISTENERS_MAX];
    unsigned count;
} listeners_t;

/* Its super is what the library knows of it. */
typedef struct {
    h2o_handler_t super;
    fb_loop_t *loop;
} handler_t;

void fb_loop_handle(fb_loop_t *loop, h2o_hostconf_t *host,
                    int (*on_request)(h2o_handler_t *handler, h2o_req_t *req))
{
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    handler_t *handler =
        H2O_STRUCT_FROM_MEMBER(handler_t, super, h2o_create_handler(path, sizeof(*handler)));
    handler->super.on_req = on_request;
    handler->loop = loop;
}

fb_loop_t *fb_loop_of(h2o_handler_t *handler)
{
    return H2O_STRUCT_FROM_MEMBER(handler_t, super, handler)->loop;
}

/* --- accepting --------------------------------------------------------------------------- */

static bool is_full(const fb_loop_t *loop)
{
    return fb_conns_open(&loop->conns) >= loop->connections_max;
}

/* Does nobody wait at the listener any more? */
static bool accept_some(listener_t *listener, int most)
{
    fb_loop_t *loop = listener->loop;
    for (int i = 0; i < most; i++) {
        if (is_full(loop)) {
            h2o_socket_read_stop(listener->socket);
            return false;
        }
        h2o_socket_t *accepted = h2o_evloop_socket_accept(listener->socket);
        if (accepted == NULL)
            return errno == EAGAIN;
        fb_conns_add(&loop->conns, accepted);
        fb_count(&loop->metrics.connections_total, 1);
        h2o_accept(&listener->accept, accepted);
    }
    return false;
}

static void on_accept(h2o_socket_t *socket, const char *error)
{
    if (error == NULL)
        accept_some(socket->data, ACCEPTS_A_TURN);
}

static void read_start(listeners_t *listeners)
{
    for (unsigned i = 0; i < listeners->count; i++) {
        if (listeners->items[i].socket != NULL)
            h2o_socket_read_start(listeners->items[i].socket, on_accept);
    }
}

static void listen_at(fb_loop_t *loop, int shared_fd, h2o_hostconf_t **hosts)
{
    listeners_t *listeners = loop->listeners;
    int fd = dup(shared_fd);
    fb_assert(fd >= 0 && listeners->count < FB_LISTENERS_MAX);
    listener_t *listener = &listeners->items[listeners->count++];
    listener->loop = loop;
    listener->accept = (h2o_accept_ctx_t){.ctx = &loop->context, .hosts = hosts};
    listener->socket = h2o_evloop_socket_create(loop->context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->socket->data = listener;
}

/* Whoever has connected already is served: a listener is closed once nobody waits there. */
static bool stop_listening(listeners_t *listeners)
{
    bool is_done = true;
    for (unsigned i = 0; i < listeners->count; i++) {
        listener_t *listener = &listeners->items[i];
        if (listener->socket == NULL)
            continue;
        if (!accept_some(listener, INT_MAX)) {
            is_done = false;
            continue;
        }
        h2o_socket_close(listener->socket);
        listener->socket = NULL;
    }
    return is_done;
}

static void on_connection_closed(void *context)
{
    fb_loop_t *loop = context;
    if (!is_full(loop))
        read_start(loop->listeners);
}

/* --- snapshots and the end --------------------------------------------------------------- */

/* Is there a new one? */
static bool take_snapshot(fb_loop_t *loop)
{
    const fb_snapshot_t *snapshot = fb_shelf_take(loop->reader);
    if (snapshot == loop->snapshot)
        return false;
    loop->snapshot = snapshot;
    int len = snprintf(loop->revision, sizeof(loop->revision), "%s.%llu", snapshot->position.epoch,
                       (unsigned long long)snapshot->position.revision);
    loop->revision_len = (size_t)len;
    fb_writer_taken(loop->server->writer);
    return true;
}

/* Every HTTP/2 connection gets GOAWAY, and another one a second later. The library tells those that
 * there are, and only once: those that come later are told by another round. */
static void tell_to_go(fb_loop_t *loop, uint64_t now_ms)
{
    h2o_timeout_entry_t *round = &loop->context.http2._graceful_shutdown_timeout;
    bool is_upgrading = fb_h2_guard_is_upgrading(&loop->context);
    loop->config.http1.upgrade_to_http2 = !is_upgrading;
    if (is_upgrading)
        return;
    h2o_timeout_unlink(round);
    round->cb = NULL;
    h2o_context_request_shutdown(&loop->context);
    loop->told_ms = now_ms;
}

/* With the second GOAWAY the library stops to read bodies, also of streams that it has promised to
 * answer: it comes a second after the last of them is complete. */
static void wait_for_bodies(fb_loop_t *loop)
{
    h2o_timeout_entry_t *round = &loop->context.http2._graceful_shutdown_timeout;
    if (!h2o_timeout_is_linked(round) || !fb_conns_receive_streams(&loop->conns))
        return;
    h2o_timeout_unlink(round);
    h2o_timeout_link(loop->context.loop, &loop->context.one_sec_timeout, round);
}

static void leave(fb_loop_t *loop, uint64_t now_ms)
{
    bool is_time_to_look = now_ms - loop->looked_ms >= LEAVE_TURN_MS;
    bool is_draining = atomic_load(&loop->server->draining);
    loop->leaving = true;
    if (loop->told_ms == 0 || (is_draining && !loop->draining) ||
        (is_draining && now_ms - loop->told_ms >= TELL_AGAIN_MS))
        tell_to_go(loop, now_ms);
    if (is_time_to_look) {
        loop->looked_ms = now_ms;
        wait_for_bodies(loop);
    }
    if (!is_draining)
        return;
    loop->draining = true;
    bool is_deaf = stop_listening(loop->listeners);
    if (is_time_to_look)
        fb_conns_close_idle(&loop->conns, now_ms);
    if (is_deaf && fb_conns_open(&loop->conns) == 0)
        atomic_store(&loop->quiet, true);
}

/* A message of none makes the loop's turn end, and no more. */
void fb_loop_wake(fb_loop_t *loop)
{
    h2o_multithread_send_message(&loop->answers, NULL);
}

/* --- the thread -------------------------------------------------------------------------- */

static void configure(fb_loop_t *loop)
{
    const fb_server_t *server = loop->server;
    h2o_globalconf_t *config = &loop->config;
    h2o_config_init(config);
    config->server_name = h2o_iovec_init(H2O_STRLIT(FB_HEAD_SERVER));
    config->handshake_timeout = server->request_ms;
    /* From one request to the end of the next: a request that has begun is timed by the sweep. */
    config->http1.req_timeout = server->idle_ms;
    config->http1.upgrade_to_http2 = 1;
    config->http2.idle_timeout = server->idle_ms;
    config->http2.graceful_shutdown_timeout = 0; /* the end of the loop closes what is left */
    config->http2.max_concurrent_requests_per_connection = H2_STREAMS_MAX;
    loop->public_hosts[0] =
        h2o_config_register_host(config, h2o_iovec_init(H2O_STRLIT("public")), 65535);
    loop->admin_hosts[0] =
        h2o_config_register_host(config, h2o_iovec_init(H2O_STRLIT("admin")), 65535);
    fb_dispatch_register(loop, loop->public_hosts[0]);
    fb_admin_register(loop, loop->admin_hosts[0]);
}

static void on_after(h2o_timeout_entry_t *entry)
{
    fb_loop_t *loop = H2O_STRUCT_FROM_MEMBER(fb_loop_t, after, entry);
    if (loop->ends)
        fb_parking_end(loop);
    else if (loop->parking.is_active)
        fb_parking_turn(loop, loop->has_new_snapshot, loop->compared_ms);
    fb_waiting_turn(loop, fb_clock_monotonic_ms());
    if (loop->streams != NULL)
        fb_streams_turn(loop, loop->has_new_snapshot, loop->compared_ms);
    loop->has_new_snapshot = false;
}

static void init(fb_loop_t *loop)
{
    const fb_server_t *server = loop->server;
    configure(loop);
    h2o_context_init(&loop->context, h2o_evloop_create(), &loop->config);
    h2o_multithread_register_receiver(loop->context.queue, &loop->answers, fb_dispatch_on_answers);
    h2o_multithread_register_receiver(loop->context.queue, &loop->reads, fb_readers_on_done);
    loop->listeners = fb_alloc_zero(1, sizeof(listeners_t));
    loop->after.cb = on_after;
    fb_parking_init(&loop->parking);
    h2o_linklist_init_anchor(&loop->waiting);
    fb_conns_limits_t limits = FB_CONNS_LIMITS_DEFAULT;
    limits.request_ms = server->request_ms;
    limits.stall_ms = server->stall_ms;
    loop->connections_max = server->connections_max / server->loop_total;
    fb_conns_init(&loop->conns, &limits, on_connection_closed, loop);
    if (server->access_log != NULL) {
        fb_conns_keep_clients(&loop->conns);
        loop->accesses = fb_access_log_ring(server->access_log, loop->number);
    }
    for (unsigned i = 0; i < server->listener_count; i++)
        listen_at(loop, server->listeners[i], loop->public_hosts);
    if (loop->number == 0 && server->admin_listener >= 0)
        listen_at(loop, server->admin_listener, loop->admin_hosts);
    read_start(loop->listeners);
}

/* Whoever waits, and the streams, get what they wait for in a callback of the library and not
 * between two of its turns: what is written there and gone at once can leave a socket polled for
 * writing that nobody writes to any more, which the library asserts not to be. */
static void follow_turn(fb_loop_t *loop, bool is_new, uint64_t compared_ms)
{
    loop->has_new_snapshot |= is_new;
    loop->compared_ms = compared_ms;
    if (!h2o_timeout_is_linked(&loop->after)) /* it is where the wall clock has gone back */
        h2o_timeout_link(loop->context.loop, &loop->context.zero_timeout, &loop->after);
    h2o_evloop_run(loop->context.loop, 0);
}

static void turn(fb_loop_t *loop, uint64_t *swept_ms)
{
    fb_server_t *server = loop->server;
    const fb_writer_state_t *writer = fb_writer_state(server->writer);
    int32_t wait_ms = loop->leaving ? LEAVE_TURN_MS : SWEEP_MS;
    if (loop->parking.is_active)
        wait_ms = fb_parking_wait_ms(loop, wait_ms);
    wait_ms = fb_waiting_wait_ms(loop, wait_ms);
    if (loop->streams != NULL)
        wait_ms = fb_streams_wait_ms(loop, wait_ms);
    h2o_evloop_run(loop->context.loop, wait_ms);
    fb_count(&loop->metrics.turns_total, 1);
    uint64_t compared_ms = atomic_load_explicit(&writer->compared_ms, memory_order_acquire);
    bool is_new = take_snapshot(loop);
    uint64_t now_ms = fb_clock_monotonic_ms();
    if (atomic_load_explicit(&server->leaving, memory_order_relaxed))
        leave(loop, now_ms);
    if (loop->parking.is_active || fb_waiting_wait_ms(loop, 1) == 0 ||
        (loop->streams != NULL && fb_streams_have_work(loop, is_new, now_ms)))
        follow_turn(loop, is_new, compared_ms);
    if (now_ms - *swept_ms < SWEEP_MS)
        return;
    *swept_ms = now_ms;
    fb_conns_sweep(&loop->conns, now_ms);
}

static void dispose(fb_loop_t *loop)
{
    loop->ends = true;
    follow_turn(loop, false, loop->compared_ms);
    fb_conns_shut_all(&loop->conns);
    for (int i = 0; i < ENDING_TURNS && fb_conns_open(&loop->conns) > 0; i++)
        h2o_evloop_run(loop->context.loop, 1);
    fb_memo_destroy(&loop->memo);
    fb_shelf_reader_destroy(&loop->reader);
    size_t left = fb_conns_open(&loop->conns);
    if (left > 0) {
        fb_log_warning("loop %u leaves %zu connections behind", loop->number, left);
        return;
    }
    fb_conns_dispose(&loop->conns);
    if (loop->streams != NULL)
        fb_streams_destroy(loop);
    h2o_multithread_unregister_receiver(loop->context.queue, &loop->answers);
    h2o_multithread_unregister_receiver(loop->context.queue, &loop->reads);
    h2o_evloop_t *evloop = loop->context.loop;
    h2o_multithread_queue_t *queue = loop->context.queue;
    /* Armed by the shutdown for connections that are gone by now; dispose asserts that none is. */
    h2o_timeout_unlink(&loop->context.http2._graceful_shutdown_timeout);
    h2o_timeout_unlink(&loop->after);
    h2o_context_dispose(&loop->context);
    h2o_evloop_destroy(evloop);
    free(queue); /* which the library closes, but never frees */
    h2o_config_dispose(&loop->config);
    free(loop->listeners);
}

static void *run(void *argument)
{
    fb_loop_t *loop = argument;
    uint64_t swept_ms = fb_clock_monotonic_ms();
    fb_metrics_note_thread(&loop->metrics.clock);
    fb_library_errors_init(loop);
    fb_bodies_init(&loop->config, loop->server->body_bytes_max);
    init(loop);
    sem_post(&loop->started);
    while (!atomic_load(&loop->server->ended))
        turn(loop, &swept_ms);
    dispose(loop);
    return NULL;
}

fb_loop_t *fb_loop_create(fb_server_t *server, unsigned number)
{
    fb_loop_t *loop = fb_alloc_zero(1, sizeof(*loop));
    loop->server = server;
    loop->number = number;
    loop->memo = fb_memo_create(server->memo_bytes_max, &loop->metrics);
    loop->reader = fb_shelf_reader_create(server->shelf);
    fb_assert(loop->reader != NULL);
    fb_assert(getrandom(&loop->request_state, sizeof(loop->request_state), 0) ==
              sizeof(loop->request_state));
    fb_assert(sem_init(&loop->started, 0, 0) == 0);
    fb_assert(pthread_create(&loop->thread, NULL, run, loop) == 0);
    /* From here on it can be woken: the receivers are registered. */
    while (sem_wait(&loop->started) != 0)
        continue;
    return loop;
}

void fb_loop_destroy(fb_loop_t **loop)
{
    pthread_join((*loop)->thread, NULL);
    sem_destroy(&(*loop)->started);
    free(*loop);
    *loop = NULL;
}
