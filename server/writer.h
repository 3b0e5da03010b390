/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>

#include "server/fleet.h"
#include "server/tally.h"

/* The one thread that writes: takes the commands that wait as a batch, commits them, waits until
 * every loop has the new snapshot, and only then answers. While Redis works on a batch, the one
 * before is answered and the next one planned. Between writes it follows what others write, and
 * turns the date at midnight.
 *
 *     loops ── fb_writer_submit ──► queue ──► batch ──► fb_fleet_commit ──► on_published
 *       ▲                                                                        │
 *       └───────────── on_done ◄── all loops have taken the snapshot ◄── fb_writer_taken
 *
 *     watch ──► news ──► fb_fleet_hear ──► on_published
 */
typedef struct fb_writer fb_writer_t;

typedef struct {
    size_t queue_max;     /* writes that wait; beyond it FB_QUEUE_FULL */
    uint64_t deadline_ms; /* of one write */
    /* Called on the writer's thread after a snapshot was put on the shelf, and after a comparison
     * of heads that was asked for: wake all loops. */
    void (*on_published)(void *context);
    /* Called on the writer's thread once, when the fleet is loaded for the first time. */
    void (*on_ready)(void *context);
    void *context;
} fb_writer_config_t;

/* What others may see of the writer at any time: relaxed atomics. */
typedef struct {
    atomic_bool redis_up;
    atomic_uint_fast64_t contact_ms;  /* monotonic: when Redis was last heard of */
    atomic_uint_fast64_t compared_ms; /* monotonic: when the newest comparison of heads BEGAN */
    atomic_uint_fast64_t snapshot_ms; /* monotonic: when the newest snapshot was put */
    atomic_uint_fast64_t revision;
    atomic_uint_fast64_t queued;
    atomic_uint_fast64_t batches_total;
    atomic_uint_fast64_t landed_total; /* writes that were acknowledged */
    atomic_uint_fast64_t failed_total; /* writes that got FB_UNAVAILABLE or FB_OUTCOME_UNKNOWN */
    /* as fb_fleet_stats_t says */
    atomic_uint_fast64_t news_total, log_total, stale_total, reloads_total, lost_revisions_total;
    atomic_uint_fast64_t sum_faults_total;
    atomic_bool sum_differs;
    fb_counter_t clock;          /* of its thread */
    fb_histogram_t batch_writes; /* how many each batch had */
    fb_histogram_t batches;      /* how long it took until Redis had it */
    fb_tally_t tally;
    fb_fleet_meter_t fleet;
} fb_writer_state_t;

fb_writer_t *fb_writer_create(const fb_writer_config_t *config);
/* Starts the thread, which loads the fleet first, and a watch for what others write. Borrows the
 * fleet until it is destroyed, the options for the call. */
fb_code_t fb_writer_start(fb_writer_t *writer, fb_fleet_t *fleet, const fb_watch_options_t *watch,
                          fb_error_t *error);
/* Commits what waits, answers it, ends the thread; submit refuses from now on. */
void fb_writer_stop(fb_writer_t *writer);
/* Of one that was stopped, or never started. */
void fb_writer_destroy(fb_writer_t **writer);

const fb_writer_state_t *fb_writer_state(const fb_writer_t *writer);

/* Puts a write in the queue; from any thread. FB_QUEUE_FULL or FB_UNAVAILABLE refuse it, and then
 * on_done is not called. */
fb_code_t fb_writer_submit(fb_writer_t *writer, fb_write_t *write, fb_error_t *error);

/* Asks for a comparison of heads with Redis, now; from any thread. */
void fb_writer_nudge(fb_writer_t *writer);

/* A loop has taken the newest snapshot; from any thread. */
void fb_writer_taken(fb_writer_t *writer);
