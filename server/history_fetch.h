/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/date.h"
#include "persistence/store.h"
#include "resources/resource.h"
#include "server/history_times.h"
#include "server/patience.h"

/* What is asked of the history of a machine, and the answer out of a store, which may be waited
 * for: a page of its entries, and how long it was in each state.
 *
 *     from ────┬──────────────┬────────────┬─────────── to
 *      (before)    entry          entry        entry         newest first; each state lasts until
 *                                                            the next one, and the newest until
 * `to`
 *
 * Redis is never asked for more than FB_HISTORY_PAGE_MAX entries at once. A range of more than
 * FB_HISTORY_COUNTED_MAX has no times: they are null. */
#define FB_HISTORY_LIMIT_MAX   1000 /* entries of a page */
#define FB_HISTORY_COUNTED_MAX 100000

typedef struct {
    const fb_resource_t *resource;
    uint32_t machine;
    bool has_from, has_to;
    fb_instant_t from, to; /* both included */
    size_t limit;
    bool has_before;                /* a cursor: */
    fb_history_mark_t before;       /* the page goes on behind this entry */
    fb_instant_t until;             /* the end of the range, as the first page had it */
    fb_history_times_t *times;      /* NULL: nothing is known, or kept */
    char epoch[FB_EPOCH_BYTES + 1]; /* of what is known */
    fb_patience_t patience;
} fb_history_ask_t;

/* From the arguments of the view. FB_INVALID, FB_MALFORMED: which parameter. The patience is the
 * caller's to add. */
fb_code_t fb_history_ask_read(fb_history_ask_t *ask, const fb_resource_t *resource,
                              const fb_args_t *args, fb_error_t *error);

/* Appends the answer to `body`. Besides what the store says, FB_INVALID where the range ends before
 * it begins, FB_UNAVAILABLE where the patience is over. `now` is of the wall clock. */
fb_code_t fb_history_fetch(const fb_history_ask_t *ask, fb_store_t *store, fb_instant_t now,
                           fb_buffer_t *body, fb_error_t *error);
