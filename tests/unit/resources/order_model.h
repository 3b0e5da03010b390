/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/resources/orders_fleet.h"

/* The naive model of orders and what they book: plain arrays. */
#define ORDERS_MAX   4000
#define MACHINES_MAX 60
#define ITEMS_MAX    4
#define FIRST_DAY    TODAY
#define DAYS_MAX     200

typedef struct {
    fb_order_state_t state;
    bool is_archived, has_dates, is_confirmed, has_worker;
    unsigned user; /* odd: a text */
    uint32_t items[ITEMS_MAX];
    unsigned item_count;
    fb_day_t start, end;
    fb_instant_t hold_until, created, started, completed, confirmed; /* 0: none */
} model_order_t;

typedef struct {
    model_order_t orders[ORDERS_MAX + 1]; /* by id */
    uint32_t order_count;
    bool exists[MACHINES_MAX + 1]; /* of the machines, by id */
    uint32_t machine_count, window_count;
    uint32_t booked[MACHINES_MAX + 1][DAYS_MAX]; /* the order that has the day */
    bool maintenance[MACHINES_MAX + 1][DAYS_MAX];
    fb_day_t today;
    fb_instant_t now;
} order_model_t;

static inline bool model_has_days(const model_order_t *order)
{
    bool is_pending = order->state == FB_ORDER_IS_PENDING;
    return order->has_dates &&
           (order->state == FB_ORDER_IS_PROCESSING || order->state == FB_ORDER_IS_COMPLETED ||
            (is_pending && (order->hold_until > 0 || order->is_confirmed)));
}

static inline bool model_is_open(const model_order_t *order)
{
    return order->state == FB_ORDER_IS_PENDING || order->state == FB_ORDER_IS_PROCESSING;
}

/* Are all its machines there, and free on all its days? */
static inline bool model_can_book(const order_model_t *model, const model_order_t *order)
{
    for (unsigned i = 0; i < order->item_count; i++) {
        uint32_t machine = order->items[i];
        if (machine > MACHINES_MAX || !model->exists[machine])
            return false;
        for (fb_day_t day = order->start; day <= order->end; day++) {
            if (model->booked[machine][day - FIRST_DAY] != 0 ||
                model->maintenance[machine][day - FIRST_DAY])
                return false;
        }
    }
    return true;
}

static inline void model_book(order_model_t *model, uint32_t id, bool set)
{
    const model_order_t *order = &model->orders[id];
    for (unsigned i = 0; i < order->item_count; i++) {
        for (fb_day_t day = order->start; day <= order->end; day++) {
            uint32_t *who = &model->booked[order->items[i]][day - FIRST_DAY];
            assert_int_equal(*who, set ? 0 : id); /* never twice */
            *who = set ? id : 0;
        }
    }
}

static inline fb_instant_t model_not_before(const order_model_t *model, const model_order_t *order)
{
    fb_instant_t at = model->now;
    at = order->created > at ? order->created : at;
    at = order->started > at ? order->started : at;
    return order->confirmed > at ? order->confirmed : at;
}

static inline void model_start(order_model_t *model, uint32_t id, bool has_worker)
{
    model_order_t *order = &model->orders[id];
    if (order->has_dates && !model_has_days(order))
        model_book(model, id, true);
    order->started = model_not_before(model, order);
    order->state = FB_ORDER_IS_PROCESSING;
    order->hold_until = 0;
    order->has_worker = has_worker;
}

static inline void model_end(order_model_t *model, uint32_t id, fb_order_state_t state)
{
    model_order_t *order = &model->orders[id];
    if (model_has_days(order) && state != FB_ORDER_IS_COMPLETED)
        model_book(model, id, false);
    order->completed = model_not_before(model, order);
    if (state == FB_ORDER_IS_REJECTED && order->started == 0)
        order->started = order->completed;
    order->state = state;
    order->hold_until = 0;
    order->has_worker = false;
}

/* --- what a snapshot must show ------------------------------------------------------------- */

static inline bool same_instant(const fb_row_t *row, unsigned field, fb_instant_t at)
{
    fb_value_t value = fb_order_value(row, field);
    return at == 0 ? value.null : !value.null && value.number == at;
}

static inline void check_order(const fb_snapshot_t *snapshot, const order_model_t *model,
                               uint32_t id)
{
    const model_order_t *order = &model->orders[id];
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_ORDERS, id);
    assert_int_equal(row == NULL, order->is_archived);
    assert_int_equal(fb_bitmap_has(fb_orders_held(snapshot), id), order->hold_until > 0);
    for (unsigned s = 0; s < FB_ORDER_STATES; s++)
        assert_int_equal(fb_bitmap_has(fb_orders_in(snapshot, (fb_order_state_t)s), id),
                         s == order->state && !order->is_archived);
    if (row == NULL)
        return;
    assert_int_equal(fb_order_state(row), order->state);
    assert_true(same_instant(row, FB_ORDER_CREATED, order->created));
    assert_true(same_instant(row, FB_ORDER_STARTED, order->started));
    assert_true(same_instant(row, FB_ORDER_COMPLETED, order->completed));
    assert_true(same_instant(row, FB_ORDER_CONFIRMED, order->confirmed));
    assert_true(same_instant(row, FB_ORDER_HOLD_UNTIL, order->hold_until));
    assert_int_equal(fb_order_value(row, FB_ORDER_WORKER).null, !order->has_worker);
    assert_int_equal(fb_order_value(row, FB_ORDER_START).null, !order->has_dates);
    if (order->state == FB_ORDER_IS_PENDING || order->state == FB_ORDER_IS_COMPLETED)
        assert_true(fb_order_value(row, FB_ORDER_REASON).null);
    bool is_past = !model_is_open(order) && !(model_has_days(order) && order->end >= model->today);
    assert_int_equal(fb_order_is_past(snapshot, row), is_past);
}

static inline void check_days(const fb_snapshot_t *snapshot, const order_model_t *model)
{
    for (uint32_t machine = 1; machine <= model->machine_count; machine++) {
        for (fb_day_t day = FIRST_DAY; day < FIRST_DAY + DAYS_MAX; day++) {
            uint32_t order = model->booked[machine][day - FIRST_DAY];
            assert_int_equal(fb_snapshot_has_day(snapshot, FB_PLANE_BOOKED, day, machine),
                             order != 0);
            bool is_seen = order != 0 && !model->orders[order].is_archived;
            assert_int_equal(fb_booking_on(snapshot, machine, day), is_seen ? order : 0);
        }
    }
}

/* Counts anew what the totals say. */
static inline void check_totals(const fb_snapshot_t *snapshot, const order_model_t *model)
{
    fb_order_metrics_t counted = {.total = model->order_count};
    fb_order_metrics_t metrics = fb_order_metrics(snapshot);
    uint32_t oldest = 0, held = 0;
    for (uint32_t id = model->order_count; id > 0; id--) {
        const model_order_t *order = &model->orders[id];
        uint64_t ms = (uint64_t)(order->completed - order->started);
        unsigned bucket = 0;
        counted.pending += order->state == FB_ORDER_IS_PENDING;
        counted.processing += order->state == FB_ORDER_IS_PROCESSING;
        counted.of[FB_TOTAL_REJECTED] += order->state == FB_ORDER_IS_REJECTED;
        counted.of[FB_TOTAL_CANCELLED] += order->state == FB_ORDER_IS_CANCELLED;
        held += order->hold_until > 0;
        if (order->state == FB_ORDER_IS_PENDING && order->hold_until == 0)
            oldest = id;
        if (order->state != FB_ORDER_IS_COMPLETED)
            continue;
        counted.of[FB_TOTAL_COMPLETED]++;
        counted.of[FB_TOTAL_PROCESSING_MS] += ms;
        while (bucket < FB_ORDER_BUCKETS && ms > fb_order_buckets_ms[bucket])
            bucket++;
        if (bucket < FB_ORDER_BUCKETS)
            counted.of[FB_TOTAL_BUCKETS + bucket]++;
    }
    assert_memory_equal(&metrics, &counted, sizeof(counted));
    assert_int_equal(fb_orders_oldest_pending(snapshot), oldest);
    assert_int_equal(fb_orders_held(snapshot)->count, held);
}
