/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/feed_fetch.h"
#include "server/writer.h"

/* The thread of an instance that fetches a provider's plans, where feed.url is set.
 *
 *     lease (Redis) ──► fetch ──► spool and read ──► what differs ──► fb_plans_put (writer)
 *                         └── 304, or a fault: nothing changes ──► notes (Redis)
 *
 * One instance at a time fetches: the one that has the lease fb:{f}:feed_lease. It lasts for one
 * interval, but at least FB_FEED_LEASE_MS_MIN and at most FB_FEED_LEASE_MS_MAX, and is renewed when
 * a third of it has passed, also during a fetch; the others try to take it as often. So another one
 * takes over within four thirds of an interval after its owner has died, and a fetch may take as
 * long as it wants. Who has lost it gives up what it is fetching; and it is asked for before each
 * batch, so that nobody who was stopped for a while commits what is old.
 *
 * After a fetch the next one is due in one interval; after failures in turn in twice as long each
 * time, but at most ten intervals, and no more than FB_FEED_PAUSE_MS_MAX or, if that is longer, an
 * interval. From a quarter less to a quarter more, at random, so that the instances of many fleets
 * do not come together. Who takes over goes by the notes.
 *
 * The document is spooled into a file without a name while it is read. Nothing is committed before
 * it was read to its end. Most documents differ in no more than one batch, which is kept; where
 * there is more, it is read once more from the file. And nothing is read as long as it is as
 * before, by the hashes of its blocks: one that is unchanged costs no more than its way here. */
#define FB_FEED_LEASE        "feed_lease"
#define FB_FEED_LEASE_MS_MIN 2000
#define FB_FEED_LEASE_MS_MAX 60000
#define FB_FEED_PAUSE_MS_MAX 600000

typedef struct fb_feed fb_feed_t;

typedef struct {
    const char *name; /* of the instance: the owner of the lease */
    fb_feed_source_t source;
    uint64_t interval_ms;
} fb_feed_config_t;

typedef enum {
    FB_FEED_READ,      /* a document, which may have had no change in it */
    FB_FEED_UNCHANGED, /* 304 */
    FB_FEED_FAILED,
    FB_FEED_ABANDONED, /* the lease was lost, or the instance is ending */
    FB_FEED_OUTCOMES,
} fb_feed_outcome_t;

/* What others may see of it at any time: relaxed atomics. */
typedef struct {
    fb_counter_t fetches[FB_FEED_OUTCOMES];
    fb_histogram_t durations;
    fb_counter_t changed;   /* plans that this instance has put */
    fb_counter_t has_lease; /* 1 or 0 */
    /* of the notes, as they were seen last: */
    fb_counter_t plans, skipped, failures;
    fb_counter_t succeeded_at; /* fb_instant_t; before the first success when the thread began */
    fb_counter_t clock;        /* of its thread */
} fb_feed_state_t;

/* Borrows the texts. */
fb_feed_t *fb_feed_create(const fb_feed_config_t *config);
/* Starts the thread. Takes the store over in any case; borrows the writer and the shelf until it is
 * stopped. */
fb_code_t fb_feed_start(fb_feed_t *feed, fb_writer_t *writer, fb_shelf_t *shelf, fb_store_t **store,
                        fb_error_t *error);
/* A fetch that is under way is given up; returns at once. From any thread. */
void fb_feed_end(fb_feed_t *feed);
/* Waits for the batch that the writer has, which must still run, and gives the lease back. Also of
 * one that was never started. */
void fb_feed_stop(fb_feed_t *feed);
void fb_feed_destroy(fb_feed_t **feed);

const fb_feed_config_t *fb_feed_config(const fb_feed_t *feed);
const fb_feed_state_t *fb_feed_state(const fb_feed_t *feed);
