/* SPDX-License-Identifier: MIT */
#pragma once

/* A real libh2o server on a loop and thread of its own. It answers
 *
 *     /bytes/N   N bytes          /stream/N  N bytes, and never ends
 *     /hold      nothing          /events    20 bytes, 20 more when they are written, and so on
 *     all else   the length of the request's body and its first bytes
 */

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>

#include "tests/unit/server/wire.h"

#define FIXTURE_BODY_MAX     (8U << 20)
#define FIXTURE_SMALL_BUFFER 4096
#define FIXTURE_BODY         60000U /* more than such a buffer takes, less than the first window */

typedef struct fixture {
    h2o_globalconf_t config; /* may be changed until fixture_start */
    int send_bytes;          /* SO_SNDBUF of a connection; 0 leaves the system's own */
    void (*on_accept)(struct fixture *, h2o_socket_t *);
    void (*on_turn)(struct fixture *); /* after each turn of the loop */
    void (*on_hold)(struct fixture *, h2o_req_t *);
    int port;
    atomic_uint requests;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    h2o_socket_t *listener;
    h2o_socket_t *last; /* the connection accepted last */
    pthread_t thread;
    sem_t started, called;
    _Atomic(void (*)(struct fixture *)) call;
    atomic_bool stopped;
} fixture_t;

static char fixture_body[FIXTURE_BODY_MAX];

static inline void fixture_on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    (void)generator, (void)req; /* An endless answer that has no more to say for now. */
}

static inline void fixture_on_next_event(h2o_generator_t *generator, h2o_req_t *req)
{
    h2o_iovec_t event = {fixture_body, 20};
    (void)generator;
    h2o_send(req, &event, 1, H2O_SEND_STATE_IN_PROGRESS);
}

static inline void fixture_answer(h2o_req_t *req, size_t len, h2o_send_state_t state,
                                  void (*on_proceed)(h2o_generator_t *, h2o_req_t *))
{
    h2o_generator_t *generator = h2o_mem_alloc_pool(&req->pool, sizeof(*generator));
    h2o_iovec_t body = {fixture_body, len};
    *generator = (h2o_generator_t){on_proceed, NULL};
    req->res.status = 200;
    if (state == H2O_SEND_STATE_FINAL)
        req->res.content_length = len;
    h2o_start_response(req, generator);
    h2o_send(req, &body, len != 0, state);
}

static inline int fixture_on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    fixture_t *fixture = *(fixture_t **)(handler + 1);
    char path[32], body[64];
    snprintf(path, sizeof(path), "%.*s", (int)req->path.len, req->path.base);
    atomic_fetch_add(&fixture->requests, 1);
    if (strncmp(path, "/bytes/", 7) == 0) {
        fixture_answer(req, strtoul(path + 7, NULL, 10), H2O_SEND_STATE_FINAL, NULL);
    } else if (strncmp(path, "/stream/", 8) == 0) {
        fixture_answer(req, strtoul(path + 8, NULL, 10), H2O_SEND_STATE_IN_PROGRESS,
                       fixture_on_proceed);
    } else if (strcmp(path, "/events") == 0) {
        fixture_answer(req, 20, H2O_SEND_STATE_IN_PROGRESS, fixture_on_next_event);
    } else if (strcmp(path, "/hold") == 0) {
        if (fixture->on_hold != NULL)
            fixture->on_hold(fixture, req);
    } else {
        int head = req->entity.len < 16 ? (int)req->entity.len : 16;
        int len = snprintf(body, sizeof(body), "%zu %.*s", req->entity.len, head, req->entity.base);
        req->res.status = 200;
        req->res.content_length = (size_t)len;
        h2o_send_inline(req, body, (size_t)len);
    }
    return 0;
}

static inline void fixture_on_accept(h2o_socket_t *listener, const char *err)
{
    fixture_t *fixture = listener->data;
    h2o_socket_t *sock;
    while (err == NULL && (sock = h2o_evloop_socket_accept(listener)) != NULL) {
        int fd = h2o_socket_get_fd(sock);
        if (fixture->send_bytes != 0)
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &fixture->send_bytes, sizeof(int));
        if (fixture->on_accept != NULL)
            fixture->on_accept(fixture, sock);
        fixture->last = sock;
        h2o_accept(&fixture->accept, sock);
    }
}

static inline void fixture_listen(fixture_t *fixture)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, SOMAXCONN), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    fixture->port = ntohs(at.sin_port);
    fixture->listener =
        h2o_evloop_socket_create(fixture->context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    fixture->listener->data = fixture;
    h2o_socket_read_start(fixture->listener, fixture_on_accept);
}

static inline int fixture_is_idle(const fixture_t *fixture)
{
    return h2o_linklist_is_empty((h2o_linklist_t *)&fixture->context.http1._conns) &&
           h2o_linklist_is_empty((h2o_linklist_t *)&fixture->context.http2._conns);
}

/* HTTP/1 notices that the client is gone only when it writes: ends a request that waits. */
static inline int fixture_end_request(h2o_req_t *req, void *data)
{
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    (void)data;
    if (req->version == 0 || h2o_socket_is_writing(sock) || h2o_socket_is_reading(sock))
        return 0;
    if (req->_generator == NULL)
        h2o_send_inline(req, "", 0);
    else
        h2o_send(req, NULL, 0, H2O_SEND_STATE_FINAL);
    return 0;
}

static inline void *fixture_run(void *arg)
{
    fixture_t *fixture = arg;
    h2o_loop_t *loop = h2o_evloop_create();
    h2o_context_init(&fixture->context, loop, &fixture->config);
    fixture->accept = (h2o_accept_ctx_t){.ctx = &fixture->context, .hosts = fixture->config.hosts};
    fixture_listen(fixture);
    sem_post(&fixture->started);
    while (!atomic_load(&fixture->stopped)) {
        h2o_evloop_run(loop, 5);
        if (fixture->on_turn != NULL)
            fixture->on_turn(fixture);
        void (*call)(fixture_t *) = atomic_load(&fixture->call);
        if (call != NULL) {
            call(fixture);
            atomic_store(&fixture->call, NULL);
            sem_post(&fixture->called);
        }
    }
    h2o_socket_close(fixture->listener);
    fixture->config.http1.callbacks.foreach_request(&fixture->context, fixture_end_request, NULL);
    h2o_timeout_unlink(&fixture->context.http2._graceful_shutdown_timeout);
    for (int i = 0; i < 400 && !fixture_is_idle(fixture); i++)
        h2o_evloop_run(loop, 5);
    h2o_multithread_queue_t *queue = fixture->context.queue;
    h2o_context_dispose(&fixture->context);
    h2o_evloop_destroy(loop);
    free(queue); /* which the library forgets */
    return NULL;
}

/* A setup function of cmocka: the server is configured but not started. */
static inline int fixture_setup(void **state)
{
    fixture_t *fixture = calloc(1, sizeof(*fixture));
    signal(SIGPIPE, SIG_IGN);
    memset(fixture_body, 'x', sizeof(fixture_body));
    h2o_config_init(&fixture->config);
    h2o_hostconf_t *host =
        h2o_config_register_host(&fixture->config, h2o_iovec_init("default", 7), 65535);
    h2o_pathconf_t *root = h2o_config_register_path(host, "/", 0);
    h2o_handler_t *handler = h2o_create_handler(root, sizeof(*handler) + sizeof(fixture));
    memcpy(handler + 1, &fixture, sizeof(fixture));
    handler->on_req = fixture_on_request;
    sem_init(&fixture->started, 0, 0);
    sem_init(&fixture->called, 0, 0);
    *state = fixture;
    return 0;
}

static inline void fixture_start(fixture_t *fixture)
{
    assert_int_equal(pthread_create(&fixture->thread, NULL, fixture_run, fixture), 0);
    sem_wait(&fixture->started);
}

static inline struct timespec fixture_deadline(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WIRE_WAIT_MS / 1000;
    return until;
}

/* Runs the function on the server's thread and waits for it. */
static inline void fixture_call(fixture_t *fixture, void (*call)(fixture_t *))
{
    struct timespec until = fixture_deadline();
    atomic_store(&fixture->call, call);
    if (sem_timedwait(&fixture->called, &until) != 0)
        fail_msg("the loop of the server hangs");
}

/* A teardown function. */
static inline int fixture_teardown(void **state)
{
    fixture_t *fixture = *state;
    struct timespec until = fixture_deadline();
    wire_close_all();
    atomic_store(&fixture->stopped, true);
    if (pthread_timedjoin_np(fixture->thread, NULL, &until) != 0)
        return -1;
    h2o_config_dispose(&fixture->config);
    free(fixture);
    return 0;
}

static inline void fixture_shut_down(fixture_t *fixture)
{
    h2o_context_request_shutdown(&fixture->context);
}

/* A client that takes little, of a server that keeps little: what is sent to it is not written. */
static inline int fixture_open_narrow(fixture_t *fixture, uint32_t window_bytes)
{
    fixture->send_bytes = FIXTURE_SMALL_BUFFER;
    fixture_start(fixture);
    int fd = wire_connect(fixture->port, FIXTURE_SMALL_BUFFER, 1000);
    wire_start_http2(fd, window_bytes);
    return fd;
}
