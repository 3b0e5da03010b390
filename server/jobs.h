/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/writer.h"

/* The one thread of an instance that works the queue of orders (resources/orders.h). It changes
 * nothing by itself: each transition is a command of the writer, and what became of it is seen in
 * the snapshot.
 *
 *     queue (Redis) ── take, claim ──► in hand ── fb_orders_take, _finish ──► at its end
 *          ▲                             │                                      │
 *          └──────── leave ──────────────┘            done ◄────────────────────┘
 *
 * An entry of the queue is a hint that there is an order to be processed, and no more: it may come
 * twice, or to somebody who comes too late. The plans of the commands look at the state of the
 * order, so whatever happens to the queue, each transition happens once. Entries that Redis has
 * lost are put there again.
 *
 *     job   NEW ──► WAITS (to be taken) ──► OURS (until its time is over) ──► ENDED
 *                     └── in the way, cancelled, taken by somebody outside ──────┘
 *
 * It also looks after what belongs to no instance: holds that are over, orders that are past
 * (orders.recent), entries that are lost. All instances do so, each at moments of its own; who
 * comes second finds nothing to do.
 *
 * Redis is asked when a snapshot shows orders that wait, when something in hand is at its end, and
 * while there are open orders every FB_JOBS_TICK_MS, which is also the sign of life that the others
 * go by. */
#define FB_JOBS_WORKERS_MAX 1000
#define FB_JOBS_TICK_MS     250

typedef struct fb_jobs fb_jobs_t;

typedef struct {
    const char *name;       /* of the instance: the consumer of the queue, the worker of orders */
    unsigned workers;       /* orders in hand at a time, at most FB_JOBS_WORKERS_MAX; 0: none */
    uint64_t processing_ms; /* from started_at to completed_at */
    uint64_t claim_ms;      /* silence after which an instance's jobs are taken over */
    uint64_t recent;        /* orders that are past in the snapshot */
} fb_jobs_config_t;

/* What others may see of it at any time: relaxed atomics. */
typedef struct {
    fb_counter_t in_hand, workers; /* and how many it may have in hand */
    fb_counter_t claimed;          /* jobs of instances that were silent */
    fb_counter_t requeued;         /* orders that the queue had lost */
    fb_counter_t archived;
    fb_counter_t queue_length; /* when it was last asked */
    fb_counter_t clock;        /* of its thread */
} fb_jobs_state_t;

/* Borrows the name. */
fb_jobs_t *fb_jobs_create(const fb_jobs_config_t *config);
/* Starts the thread. Takes the store over in any case; borrows the writer and the shelf until it is
 * stopped. */
fb_code_t fb_jobs_start(fb_jobs_t *jobs, fb_writer_t *writer, fb_shelf_t *shelf, fb_store_t **store,
                        fb_error_t *error);
/* On the writer's thread, after each new snapshot. Also before the start. */
void fb_jobs_published(fb_jobs_t *jobs, const fb_snapshot_t *snapshot);
/* Nothing more is taken; returns at once. From any thread. */
void fb_jobs_end(fb_jobs_t *jobs);
/* Waits for what is under way at the writer, which must still run, and gives back what is left in
 * hand. Also of one that was never started. */
void fb_jobs_stop(fb_jobs_t *jobs);
void fb_jobs_destroy(fb_jobs_t **jobs);

const fb_jobs_state_t *fb_jobs_state(const fb_jobs_t *jobs);
