/* SPDX-License-Identifier: MIT */
#include "base/assert.h"
#include "resources/orders_internal.h"

const uint32_t fb_order_buckets_ms[FB_ORDER_BUCKETS] = {5,    10,   25,    100,   500,
                                                        1000, 5000, 30000, 60000, 300000};

#define TOTAL(name, about)                                                                         \
    {                                                                                              \
        name, about, 0, INT64_MAX, FB_KIND_INTEGER, FB_ASSIGNED                                    \
    }
#define BUCKET(ms) TOTAL("le_" #ms "ms", "completed within " #ms " ms, and not within less")

static const fb_field_t fields[] = {
    [FB_TOTAL_COMPLETED] = TOTAL("completed", "orders that were completed"),
    [FB_TOTAL_REJECTED] = TOTAL("rejected", "orders that were rejected"),
    [FB_TOTAL_CANCELLED] = TOTAL("cancelled", "orders that were cancelled"),
    [FB_TOTAL_PROCESSING_MS] = TOTAL("processing_ms", "from start to completion, together"),
    [FB_TOTAL_BUCKETS] = BUCKET(5),
    BUCKET(10),
    BUCKET(25),
    BUCKET(100),
    BUCKET(500),
    BUCKET(1000),
    BUCKET(5000),
    BUCKET(30000),
    BUCKET(60000),
    BUCKET(300000),
};

_Static_assert(FB_COUNT(fields) == FB_TOTAL_FIELDS, "every bucket has its field");

void fb_order_ends_count(fb_order_ends_t *ends, fb_order_state_t state, fb_instant_t started,
                         fb_instant_t completed)
{
    uint64_t ms = (uint64_t)(completed - started);
    if (state == FB_ORDER_IS_REJECTED)
        ends->of[FB_TOTAL_REJECTED]++;
    if (state == FB_ORDER_IS_CANCELLED)
        ends->of[FB_TOTAL_CANCELLED]++;
    if (state != FB_ORDER_IS_COMPLETED)
        return;
    ends->of[FB_TOTAL_COMPLETED]++;
    ends->of[FB_TOTAL_PROCESSING_MS] += ms;
    for (unsigned i = 0; i < FB_ORDER_BUCKETS; i++) {
        if (ms <= fb_order_buckets_ms[i]) {
            ends->of[FB_TOTAL_BUCKETS + i]++;
            break;
        }
    }
}

static uint64_t total(const fb_row_t *row, unsigned field)
{
    return row != NULL ? (uint64_t)fb_row_value(row, fields, field).number : 0;
}

void fb_order_ends_put(const fb_snapshot_t *snapshot, const fb_order_ends_t *ends,
                       fb_change_t *change)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_ORDER_TOTALS, FB_ORDER_TOTALS_ID);
    fb_value_t values[FB_FIELDS_MAX];
    uint64_t ended = 0;
    for (unsigned f = 0; f < FB_TOTAL_FIELDS; f++) {
        ended += f < FB_TOTAL_PROCESSING_MS ? ends->of[f] : 0;
        values[f] = (fb_value_t){.given = true, .number = (int64_t)(total(row, f) + ends->of[f])};
    }
    if (ended > 0)
        fb_change_put(change, FB_ORDER_TOTALS, FB_ORDER_TOTALS_ID, values);
}

fb_order_metrics_t fb_order_metrics(const fb_snapshot_t *snapshot)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_ORDER_TOTALS, FB_ORDER_TOTALS_ID);
    fb_order_metrics_t metrics = {
        .pending = fb_orders_in(snapshot, FB_ORDER_IS_PENDING)->count,
        .processing = fb_orders_in(snapshot, FB_ORDER_IS_PROCESSING)->count,
        .total = snapshot->families[FB_ORDERS].last_id,
    };
    for (unsigned f = 0; f < FB_TOTAL_FIELDS; f++)
        metrics.of[f] = total(row, f);
    return metrics;
}

const fb_resource_t fb_order_totals = {
    .name = "order_totals",
    .row_name = "order_total",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_COUNT(fields),
};
