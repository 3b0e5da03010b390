/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "persistence/watch.h"

/* What was published, on its way from the watch to the writer: a bounded queue. Where it overflows,
 * all that waits is dropped, and what is left is the doubt: the log has it all.
 *
 *     watch ── on_publication, ... ──► news ── on_arrival ──► (the writer is woken)
 *                                            │
 *                                            └── fb_news_take ──► writer */
#define FB_NEWS_MAX        16384      /* publications that wait */
#define FB_NEWS_BYTES_MAX  (16 << 20) /* of them together */
#define FB_NEWS_RIVALS_MAX 16         /* beyond them, they are not heard: they try again */

typedef struct fb_news fb_news_t;

/* An author who came second, and how long its commits take. */
typedef struct {
    uint32_t author;
    uint64_t took_us;
} fb_rival_t;

/* All that had arrived. Belongs to the taker. */
typedef struct {
    fb_buffer_t bytes;
    size_t at;  /* of the next one in `bytes` */
    bool doubt; /* something may have been missed: heads are to be compared */
    fb_rival_t rivals[FB_NEWS_RIVALS_MAX];
    unsigned rival_count;
} fb_news_batch_t;

/* `on_arrival` is called on the watch's thread, with no lock of ours held. What `author` publishes
 * is no news: the writer has it from the answer of its commit. */
fb_news_t *fb_news_create(uint32_t author, void (*on_arrival)(void *context), void *context);
void fb_news_destroy(fb_news_t **news);

/* The sink to give to a watch. */
fb_watch_sink_t fb_news_sink(fb_news_t *news);

/* Hands over what waits; false where it is nothing. The batch of the last take is taken over, and
 * its memory used again. */
bool fb_news_take(fb_news_t *news, fb_news_batch_t *batch);
/* The next publication of a batch, which lends it its payload; false at the end. */
bool fb_news_next(fb_news_batch_t *batch, fb_publication_t *publication);
void fb_news_batch_dispose(fb_news_batch_t *batch);

/* Waits until something is there, at most until then (CLOCK_MONOTONIC); is there something? */
bool fb_news_wait(fb_news_t *news, uint64_t until_ns);
