/* SPDX-License-Identifier: MIT */
#pragma once

#include <pthread.h>

#include "server/feed.h"
#include "server/feed_notes.h"
#include "server/feed_print.h"

/* What the parts of the thread share: feed.c (its life, the lease, when the next fetch is due),
 * feed_turn.c (one fetch). All is of its thread, but for what is under the mutex. */
struct fb_feed {
    fb_feed_config_t config;
    fb_feed_state_t state;
    fb_feed_fetch_t *fetch;
    fb_writer_t *writer;
    fb_store_t *store;
    fb_reader_t *visitor;
    pthread_t thread;
    bool started;
    uint64_t lease_ms;
    bool is_ours;          /* the lease, when it was last asked for */
    uint64_t renewed_ms;   /* monotonic: when it last began to last */
    uint64_t care_ms;      /* monotonic: when it is to be asked for again */
    uint64_t next_ms;      /* monotonic: the next fetch, where it is ours */
    uint64_t random_state; /* of pauses */
    fb_feed_notes_t notes; /* where it is ours, they are kept here */
    fb_feed_print_t print; /* of the document that the notes are of */
    bool has_notes;        /* no other instance has written them since they were read */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    bool is_answered; /* the write that is under way */
    bool ends;
};

/* Asks for the lease, now or where it is time; FB_STALE where it is another's, or was over since it
 * was ours, so that it may have been another's meanwhile; or what the store says. */
fb_code_t fb_feed_keep_lease(fb_feed_t *feed, bool now, fb_error_t *error);
/* The document that was read last is not known any more, by its print and by its validators. */
void fb_feed_forget(fb_feed_t *feed);
/* Waits until the time comes, or is_answered, or it ends; false where it ends. */
bool fb_feed_wait(fb_feed_t *feed, uint64_t until_ms);

/* One fetch, and what follows from it, but for the notes' way to Redis. */
fb_feed_outcome_t fb_feed_turn(fb_feed_t *feed, fb_error_t *error);
