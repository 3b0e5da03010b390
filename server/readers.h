/* SPDX-License-Identifier: MIT */
#pragma once

#include <h2o.h>

#include "persistence/store_redis.h"
#include "server/metrics.h"

/* Threads that may wait for Redis, for what is not in the snapshot: histories, and the log further
 * back than the journal. Each has a store of its own, which it only reads.
 *
 *     loop ── submit ──► queue ──► reader: run ──► loop: on_done
 */
#define FB_READERS           2
#define FB_READERS_QUEUE_MAX 1024 /* jobs that wait, of all loops together */

typedef struct fb_readers fb_readers_t;

/* Belongs to the loop until it is submitted, and again from on_done on. */
typedef struct fb_read_job {
    h2o_multithread_message_t message;
    h2o_multithread_receiver_t *receiver;                     /* of the loop: its `reads` */
    void (*run)(struct fb_read_job *job, fb_store_t *store);  /* on a reader's thread */
    void (*on_done)(struct fb_read_job *job, fb_code_t code); /* on the loop's; FB_UNAVAILABLE: it
                                                                 did not run, for we are ending */
    struct fb_read_job *next;
    uint64_t submitted_ns;
    bool did_run;
} fb_read_job_t;

/* What others may see of them at any time. */
typedef struct {
    fb_counter_t queued;    /* jobs that wait */
    fb_counter_t refused;   /* for want of room in the queue */
    fb_histogram_t waiting; /* how long jobs waited for a thread */
    fb_histogram_t running; /* how long they then took */
} fb_readers_state_t;

/* Takes no job before it is started. */
fb_readers_t *fb_readers_create(void);
/* Borrows the texts of the options. */
fb_code_t fb_readers_start(fb_readers_t *readers, const fb_store_redis_options_t *options,
                           fb_error_t *error);
/* Waits for the jobs that run; those that wait come back undone. While the loops still run. */
void fb_readers_stop(fb_readers_t *readers);
void fb_readers_destroy(fb_readers_t **readers);

/* FB_QUEUE_FULL where too many wait already, FB_UNAVAILABLE before the start and after the stop. */
fb_code_t fb_readers_submit(fb_readers_t *readers, fb_read_job_t *job, fb_error_t *error);
const fb_readers_state_t *fb_readers_state(const fb_readers_t *readers);
/* The receiver of a loop. */
void fb_readers_on_done(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
