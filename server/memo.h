/* SPDX-License-Identifier: MIT */
#pragma once

#include <h2o.h>

#include "resources/resource.h"
#include "server/fleet.h"
#include "server/head.h"
#include "server/metrics.h"

/* The finished answers of one loop, by the bytes of the request target.
 *
 *     target ──hash──► slot ──► entry { view, arguments, stamp, body, etag }
 *
 * An entry made from a snapshot holds for a later one while its view's stamp stays the same; that
 * is looked up once a snapshot, at the first hit. Entries are h2o-shared chunks: a response that
 * is still being sent keeps its entry alive after the memo has dropped it. Confined to its loop.
 *
 * Bounds: bytes as configured, FB_MEMO_ENTRIES_MAX entries; beyond them the entries go that were
 * not asked for lately (CLOCK: Corbató, "A Paging Experiment with the Multics System", 1968).
 * And then an answer gets a place only when its target is asked for a second time before some
 * 16,000 others: what is asked for once takes no place from what is asked for again, and costs no
 * more than to make it (the doorkeeper of Einziger, Friedman and Manes, "TinyLFU: A Highly
 * Efficient Cache Admission Policy", 2017). */
#define FB_MEMO_ENTRIES_MAX 65536

typedef struct fb_memo fb_memo_t;

typedef struct {
    uint64_t hash;
    uint64_t serial; /* of the last snapshot for which it was found to hold */
    uint64_t stamp;
    const fb_view_t *view;
    fb_args_t args;
    unsigned route; /* for the metrics */
    bool recent;    /* asked for since the hand last passed */
    h2o_iovec_t target;
    h2o_iovec_t body;
    size_t bytes; /* that it takes, with all that it owns */
    char etag[FB_ETAG_BYTES + 1];
    fb_head_tail_t head_tails[FB_HEAD_PROTOCOLS];
} fb_memo_entry_t;

/* Counts into the memo_* of `metrics`, which outlives it. */
fb_memo_t *fb_memo_create(size_t bytes_max, fb_loop_metrics_t *metrics);
void fb_memo_destroy(fb_memo_t **memo);

/* The answer to the target, if there is one that holds for this snapshot; borrowed. */
fb_memo_entry_t *fb_memo_find(fb_memo_t *memo, fb_slice_t target, const fb_snapshot_t *snapshot);

/* Makes an entry, which the caller holds one reference of (h2o_mem_release_shared), and keeps it
 * if it fits. Takes the arguments and the body over. */
fb_memo_entry_t *fb_memo_put(fb_memo_t *memo, fb_slice_t target, const fb_snapshot_t *snapshot,
                             const fb_view_t *view, fb_args_t *args, unsigned route,
                             fb_buffer_t *body);
