/* SPDX-License-Identifier: MIT */
#pragma once

#include "cache/shelf.h"
#include "server/feed_parse.h"

/* One way through a document: which of its plans differ from the snapshot, in batches that the
 * writer takes. What it needs of memory is one batch, and a bit for each plan of the fleet, by
 * which it knows a pair that occurs a second time: that one is skipped.
 *
 *     put ── put ... ──► (a batch is full: on_batch) ──► put ... ──► end ──► flush */
typedef struct {
    uint64_t plans;  /* of the document, with those that were skipped */
    uint64_t differ; /* of these, those that were handed on */
    uint64_t skipped;
    fb_buffer_t skips; /* JSON: the first FB_FEED_SKIPS_SHOWN of them */
} fb_feed_found_t;

typedef struct {
    void *context;
    /* 1 to FB_PLANS_PUT_MAX plans, as fb_plans_ask takes them: `texts` is what the values borrow
     * from. Both are the receiver's. The snapshot is not pinned meanwhile. */
    fb_code_t (*on_batch)(void *context, fb_value_t *values, unsigned count, fb_buffer_t *texts,
                          fb_error_t *error);
} fb_feed_batches_t;

typedef struct fb_feed_pass fb_feed_pass_t;

/* Borrows the visitor of the shelf, which has a snapshot. */
fb_feed_pass_t *fb_feed_pass_create(fb_reader_t *visitor, const fb_feed_batches_t *batches);
void fb_feed_pass_destroy(fb_feed_pass_t **pass);
/* Besides what the parser says, what on_batch has said. */
fb_code_t fb_feed_pass_put(fb_feed_pass_t *pass, fb_slice_t bytes, fb_error_t *error);
/* There is no more: is that the end of the document? */
fb_code_t fb_feed_pass_end(fb_feed_pass_t *pass, fb_error_t *error);
/* Hands on the last batch, after the end. */
fb_code_t fb_feed_pass_flush(fb_feed_pass_t *pass, fb_error_t *error);
const fb_feed_found_t *fb_feed_pass_found(const fb_feed_pass_t *pass);
