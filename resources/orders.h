/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"

/* Orders: taken at once, processed later. One with dates books its machines for all of its days.
 *
 *     POST ──► PENDING ──take──► PROCESSING ──finish──► COMPLETED
 *                │  │               │ └─────reject────► REJECTED
 *                │  └─ in the way ──│─────────────────► REJECTED
 *                └─────cancel───────┴─────────────────► CANCELLED
 *
 * It holds its days from `take` on, until it is rejected or cancelled. With a hold it has them from
 * the beginning, is given to nobody until it is confirmed, and is CANCELLED when the hold is over.
 *
 * Every order stays in Redis for ever. The snapshot has those that are open, those that hold a day
 * from today on, and the last ones that ended; the others are archived (resources/archive.h). */
enum {
    FB_ORDER_USER,
    FB_ORDER_ITEMS,
    FB_ORDER_AMOUNT,
    FB_ORDER_STATUS,
    FB_ORDER_CREATED,
    FB_ORDER_STARTED,
    FB_ORDER_COMPLETED, /* when it came to its end, whichever */
    FB_ORDER_REASON,    /* of REJECTED and CANCELLED */
    FB_ORDER_START,     /* its first and its last day: both or neither */
    FB_ORDER_END,
    FB_ORDER_HOLD_UNTIL, /* PENDING with a hold */
    FB_ORDER_CONFIRMED,  /* when its hold was confirmed: it keeps the days */
    FB_ORDER_WORKER,     /* PROCESSING: the instance that has it; null: somebody outside */
    FB_ORDER_FIELDS,
};

typedef enum {
    FB_ORDER_IS_PENDING,
    FB_ORDER_IS_PROCESSING,
    FB_ORDER_IS_COMPLETED,
    FB_ORDER_IS_REJECTED,
    FB_ORDER_IS_CANCELLED,
    FB_ORDER_STATES,
} fb_order_state_t;
extern const char *const fb_order_states[FB_ORDER_STATES];

#define FB_ORDER_DAYS_MAX         366
#define FB_ORDER_HOLD_SECONDS_MAX 900
#define FB_ORDER_HOLDS_MAX        10000 /* at once */
#define FB_ORDERS_PENDING_DEFAULT 1000000
#define FB_ORDERS_TAKE_MAX        1000 /* ids of one internal command */
#define FB_ORDERS_TAKE_DAYS_MAX                                                                    \
    100000 /* days of machines that it looks at or frees, but for the first order: the others stay \
              PENDING */

fb_order_state_t fb_order_state(const fb_row_t *order);
fb_value_t fb_order_value(const fb_row_t *order, unsigned field);
/* The orders in the snapshot that are in this state. */
const fb_bitmap_t *fb_orders_in(const fb_snapshot_t *snapshot, fb_order_state_t state);
/* Those whose hold has not been confirmed. */
const fb_bitmap_t *fb_orders_held(const fb_snapshot_t *snapshot);
/* May it be archived: is it at its end, without a day from today on? */
bool fb_order_is_past(const fb_snapshot_t *snapshot, const fb_row_t *order);
/* The oldest order that waits for a worker, and not for its customer; or 0. */
uint32_t fb_orders_oldest_pending(const fb_snapshot_t *snapshot);

/* --- what the workers of an instance ask the writer for: server/jobs.h ---------------------
 *
 * Commands without a path: no request leads to them. What they find in a state that they do not
 * lead on from, they pass over; where nothing is left to do they are FB_CONFLICT. */
extern const fb_command_t fb_orders_take;    /* PENDING -> PROCESSING, or REJECTED */
extern const fb_command_t fb_orders_finish;  /* PROCESSING with a worker -> COMPLETED */
extern const fb_command_t fb_orders_expire;  /* holds that are over -> CANCELLED */
extern const fb_command_t fb_orders_requeue; /* PENDING without a hold: into the queue again */
extern const fb_command_t fb_orders_archive; /* those that are past leave the snapshot */

/* Fills zeroed arguments of one of these: `count` ids, 1 to FB_ORDERS_TAKE_MAX; `worker` (for
 * take; else NULL) is borrowed. */
void fb_orders_ask(fb_args_t *args, const uint32_t *ids, unsigned count, const char *worker);

/* --- totals ---------------------------------------------------------------------------------
 *
 * What came of the orders that are at their end, archived or not: one row, put by each change that
 * ends some. So the metrics are exact, and the same everywhere. */
#define FB_ORDER_TOTALS_ID 1
#define FB_ORDER_BUCKETS   10

enum {
    FB_TOTAL_COMPLETED,
    FB_TOTAL_REJECTED,
    FB_TOTAL_CANCELLED,
    FB_TOTAL_PROCESSING_MS, /* of the completed ones, together */
    FB_TOTAL_BUCKETS, /* completed within fb_order_buckets_ms[i], and not within the one before */
    FB_TOTAL_FIELDS = FB_TOTAL_BUCKETS + FB_ORDER_BUCKETS,
};
extern const uint32_t fb_order_buckets_ms[FB_ORDER_BUCKETS];

typedef struct {
    uint64_t pending, processing, total; /* total: that were ever taken */
    uint64_t of[FB_TOTAL_FIELDS];
} fb_order_metrics_t;

fb_order_metrics_t fb_order_metrics(const fb_snapshot_t *snapshot);
