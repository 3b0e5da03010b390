/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/patience.h"
#include "server/reply.h"

/* A read whose answer a reader fetches out of Redis (server/readers.h), so the loop goes on
 * meanwhile.
 *
 *     submit ──► waiting ──► (reader: fetch) ──► answered
 *                   ├── its client leaves: nobody is answered
 *                   └── Redis does not answer within its timeout: FB_UNAVAILABLE
 *
 * Both leave it to the reader, which should give it up at its next step. The answer carries the
 * revision that the loop showed when it was submitted: it has all up to there. */
typedef struct fb_waiting {
    fb_read_job_t job;
    h2o_linklist_t link;    /* of the loop, while its client waits */
    fb_exchange_t exchange; /* `req` is NULL once nobody waits */
    const char *what;       /* "the history", for the error */
    /* On a reader's thread: fills `body` or `error`. */
    void (*fetch)(struct fb_waiting *waiting, fb_store_t *store);
    void (*destroy)(struct fb_waiting *waiting); /* the whole of it, but for `body` */
    fb_patience_t patience;                      /* for `fetch` */
    atomic_bool is_given_up;                     /* of it */
    char revision[FB_REVISION_BYTES_MAX];
    size_t revision_len;
    fb_buffer_t body;
    fb_error_t error;
} fb_waiting_t;

/* Answers the exchange, now or later. `waiting` has `what`, `fetch` and `destroy`, is zeroed
 * otherwise, and is taken over. */
void fb_waiting_submit(fb_waiting_t *waiting, fb_exchange_t *exchange);

/* The loop's turn: answers those who have waited for too long. */
void fb_waiting_turn(fb_loop_t *loop, uint64_t now_ms);
/* How long the loop may wait, at most `most_ms`. */
int32_t fb_waiting_wait_ms(const fb_loop_t *loop, int32_t most_ms);
