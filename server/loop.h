/* SPDX-License-Identifier: MIT */
#pragma once

#include <h2o.h>
#include <pthread.h>
#include <semaphore.h>

#include "server/access_log.h"
#include "server/head.h"
#include "server/instance.h"
#include "server/jobs.h"
#include "server/log_length.h"
#include "server/memo.h"
#include "server/parking.h"
#include "server/readers.h"
#include "server/sweep.h"
#include "server/writer.h"

/* One event loop: a thread with its own h2o context, memo and snapshot. Everything below it is
 * confined to that thread, but for what is said to be an atomic.
 *
 *     create ─► (thread) serving ─► leaving ─► draining ─► destroy
 *
 *     serving    accepts; takes the newest snapshot at the end of each turn; the writer wakes it
 *     leaving    as before, but each response asks its client to go: HTTP/1 connections close after
 *                it, those of HTTP/2 are told in GOAWAY
 *     draining   takes what waits at the listeners, and listens no more; closes the connections
 * that are idle; quiet once none is left. Answers go on ended      (of the server) shuts what is
 * left and ends the thread
 */
#define FB_LOOPS_MAX          64
#define FB_TARGET_BYTES_MAX   8192 /* of a request target */
#define FB_LISTENERS_MAX      9    /* FB_LISTEN_MAX public ones and the admin one */
#define FB_REVISION_BYTES_MAX FB_HEAD_REVISION_MAX

typedef struct fb_server fb_server_t;
typedef struct fb_streams fb_streams_t;

typedef struct fb_loop {
    fb_server_t *server;
    unsigned number;
    pthread_t thread;
    sem_t started;
    atomic_bool quiet; /* draining, and no connection is left */
    bool leaving, draining, ends;
    uint64_t told_ms;   /* monotonic: when HTTP/2 connections were last told to go; 0: never */
    uint64_t looked_ms; /* monotonic: when connections were last looked at, while it leaves */
    void *listeners;
    h2o_context_t context;
    h2o_globalconf_t config;
    h2o_hostconf_t *public_hosts[2], *admin_hosts[2]; /* NULL-terminated, for the accept contexts */
    fb_reader_t *reader;
    const fb_snapshot_t *snapshot; /* NULL until the fleet is loaded */
    char revision[FB_REVISION_BYTES_MAX];
    size_t revision_len;
    fb_heads_t heads; /* of its revision, or of none */
    fb_memo_t *memo;
    fb_parking_t parking;
    fb_streams_t *streams;     /* NULL: there was never one */
    h2o_timeout_entry_t after; /* what follows upon a turn */
    bool has_new_snapshot;     /* for it */
    uint64_t compared_ms;      /* for it: the writer's, read before the snapshot was taken */
    fb_conns_t conns;
    fb_access_ring_t *accesses; /* NULL: there is no access log */
    size_t connections_max;
    fb_loop_metrics_t metrics;
    size_t pending_writes;              /* that the writer has not answered yet */
    uint64_t request_state;             /* of request ids */
    h2o_multithread_receiver_t answers; /* of writes */
    h2o_multithread_receiver_t reads;   /* of Redis, by the readers */
    h2o_linklist_t waiting;             /* for the readers: server/waiting.h */
} fb_loop_t;

/* What all loops share. Written before the loops start, but for the atomics. */
struct fb_server {
    fb_instance_t instance;
    fb_writer_t *writer;
    fb_readers_t *readers;
    fb_jobs_t *jobs;
    struct fb_feed *feed;                   /* server/feed.h; NULL: no feed.url is set */
    struct fb_history_times *history_times; /* server/history_times.h */
    fb_shelf_t *shelf;
    fb_access_log_t *access_log; /* NULL: none */
    fb_loop_t *loops[FB_LOOPS_MAX];
    unsigned loop_count;  /* that run */
    unsigned loop_total;  /* that there will be */
    const int *listeners; /* sockets, shared by all loops */
    unsigned listener_count;
    int admin_listener;         /* -1: none */
    fb_log_length_t log_length; /* of the loop that has it */
    size_t connections_max;
    size_t body_bytes_max, memo_bytes_max, writer_queue_max;
    size_t streams_max;
    atomic_size_t streams;     /* of all loops */
    uint64_t redis_timeout_ms; /* of a call */
    uint64_t request_ms, idle_ms, stall_ms, drain_ms, lame_duck_ms, min_revision_wait_ms;
    atomic_bool ready;
    atomic_bool leaving;
    atomic_bool draining;
    atomic_bool ended;
};

/* Makes `on_request` the one handler of a host of the loop; it finds the loop with fb_loop_of. */
void fb_loop_handle(fb_loop_t *loop, h2o_hostconf_t *host,
                    int (*on_request)(h2o_handler_t *handler, h2o_req_t *req));
fb_loop_t *fb_loop_of(h2o_handler_t *handler);

/* Starts the thread. */
fb_loop_t *fb_loop_create(fb_server_t *server, unsigned number);
/* From any thread: look for a new snapshot, at what the writer has compared, and at the phase. */
void fb_loop_wake(fb_loop_t *loop);
/* Waits for the thread, which ends once the server has. */
void fb_loop_destroy(fb_loop_t **loop);
