/* SPDX-License-Identifier: MIT */
#pragma once

#include <h2o.h>

#include "base/error.h"
#include "base/position.h"
#include "server/metrics.h"

/* The requests of a loop that wait for a snapshot: for the one that their Fleetbit-Min-Revision
 * names, or, before the fleet is loaded, for the first one.
 *
 *     arrives ──► shown already ─────────────────────────────────────────► goes on
 *        │
 *        └──► waits ──► the loop takes a snapshot that shows it ─────────► goes on
 *               │  │
 *               │  ├──► Redis has been asked since, the epoch is another ─► FB_OTHER_EPOCH
 *               │  └──► limits.min_revision_wait is over ─────────────────► FB_BEHIND
 *               └──► the client leaves (of HTTP/2; HTTP/1 tells us when it is answered)
 *
 * What goes on does so as if it had just arrived. While something waits the writer is asked to
 * compare heads with Redis: twice for each, the second time in a later millisecond, so that one of
 * the two has begun after the request came. Confined to the loop. */
#define FB_PARKED_MAX 10000

typedef struct fb_loop fb_loop_t;
typedef struct fb_exchange fb_exchange_t;

/* "epoch.revision"; no epoch: any will do. */
typedef struct {
    char epoch[FB_EPOCH_BYTES + 1];
    uint64_t revision;
} fb_wanted_t;

/* Reads the lines of Fleetbit-Min-Revision; FB_MALFORMED where one is no revision token, or two
 * differ. */
fb_code_t fb_wanted_read(const h2o_headers_t *headers, fb_wanted_t *wanted, fb_error_t *error);

typedef struct {
    h2o_linklist_t waiting;      /* in the order in which they came */
    fb_counter_t count;          /* of them */
    uint64_t newest_ms;          /* monotonic: when the newest of them came */
    uint64_t nudged_ms;          /* monotonic: when the writer was last asked */
    uint64_t compared_ms;        /* by which comparison they were judged last */
    bool is_active;              /* something waits, or has just been answered */
    bool has_more, has_answered; /* the next turn must not wait */
} fb_parking_t;

void fb_parking_init(fb_parking_t *parking);

/* Holds a request against its Fleetbit-Min-Revision, which it has. False: it waits, or it has its
 * answer already. */
bool fb_parking_admit(fb_exchange_t *exchange);
/* The loop has no snapshot: the request waits for the first one, or has its answer already. */
void fb_parking_await_first(fb_exchange_t *exchange);

/* While the parking is active, between two turns of the loop: lets go on, and answers, what need
 * not wait any longer. `compared_ms` is the writer's, read before the snapshot was taken. */
void fb_parking_turn(fb_loop_t *loop, bool is_new_snapshot, uint64_t compared_ms);
/* While it is active: how long the next turn may wait, at most `most_ms`. */
int32_t fb_parking_wait_ms(const fb_loop_t *loop, int32_t most_ms);
/* The loop ends: all are answered. */
void fb_parking_end(fb_loop_t *loop);
