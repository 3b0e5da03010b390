/* SPDX-License-Identifier: MIT */
#include "resources/bookings.h"
#include "resources/orders_internal.h"

void fb_order_read(const fb_row_t *row, fb_order_t *order)
{
    fb_value_t *values = order->values;
    for (unsigned f = 0; f < FB_ORDER_FIELDS; f++)
        values[f] = fb_row_value(row, fb_order_fields, f);
    order->id = row->id;
    order->state = fb_order_state(row);
    order->is_held = !values[FB_ORDER_HOLD_UNTIL].null;
    order->has_dates = !values[FB_ORDER_START].null;
    order->has_days = fb_orders.holds(row);
    order->start = (fb_day_t)values[FB_ORDER_START].number;
    order->end = (fb_day_t)values[FB_ORDER_END].number;
    order->machines = values[FB_ORDER_ITEMS].text;
}

static fb_value_t instant(fb_instant_t at)
{
    return (fb_value_t){.given = true, .number = at};
}

static fb_value_t text(fb_slice_t text_)
{
    return (fb_value_t){.given = true, .null = text_.at == NULL, .text = text_};
}

static const fb_value_t none = {.given = true, .null = true};

/* Whatever became of the clock. */
static fb_instant_t not_before(const fb_order_t *order, fb_instant_t now)
{
    fb_instant_t last = order->values[FB_ORDER_CREATED].number;
    const unsigned later[] = {FB_ORDER_STARTED, FB_ORDER_CONFIRMED};
    for (unsigned i = 0; i < FB_COUNT(later); i++) {
        const fb_value_t *value = &order->values[later[i]];
        last = !value->null && value->number > last ? value->number : last;
    }
    return now > last ? now : last;
}

void fb_order_start(const fb_order_t *order, fb_instant_t now, const fb_value_t *worker,
                    fb_change_t *change)
{
    fb_value_t values[FB_FIELDS_MAX];
    memcpy(values, order->values, sizeof(values));
    values[FB_ORDER_STATUS] = text(fb_slice(fb_order_states[FB_ORDER_IS_PROCESSING]));
    values[FB_ORDER_STARTED] = instant(not_before(order, now));
    values[FB_ORDER_HOLD_UNTIL] = none;
    values[FB_ORDER_WORKER] = worker != NULL ? *worker : none;
    fb_change_put(change, FB_ORDERS, order->id, values);
    if (order->has_dates && !order->has_days)
        fb_bookings_put(change, order->machines, order->start, order->end, true);
}

void fb_order_end(const fb_order_t *order, fb_order_state_t state, fb_slice_t reason,
                  fb_instant_t now, fb_order_ends_t *ends, fb_change_t *change)
{
    fb_instant_t at = not_before(order, now);
    fb_value_t values[FB_FIELDS_MAX];
    memcpy(values, order->values, sizeof(values));
    values[FB_ORDER_STATUS] = text(fb_slice(fb_order_states[state]));
    values[FB_ORDER_COMPLETED] = instant(at);
    values[FB_ORDER_REASON] = text(reason);
    values[FB_ORDER_HOLD_UNTIL] = none;
    values[FB_ORDER_WORKER] = none;
    /* Who rejects an order has looked at it: that was its processing. */
    if (state == FB_ORDER_IS_REJECTED && values[FB_ORDER_STARTED].null)
        values[FB_ORDER_STARTED] = instant(at);
    fb_change_put(change, FB_ORDERS, order->id, values);
    if (order->has_days && state != FB_ORDER_IS_COMPLETED)
        fb_bookings_put(change, order->machines, order->start, order->end, false);
    fb_order_ends_count(ends, state, values[FB_ORDER_STARTED].number, at);
}

void fb_order_confirm(const fb_order_t *order, fb_instant_t now, fb_change_t *change)
{
    fb_value_t values[FB_FIELDS_MAX];
    memcpy(values, order->values, sizeof(values));
    values[FB_ORDER_HOLD_UNTIL] = none;
    values[FB_ORDER_CONFIRMED] = instant(not_before(order, now));
    fb_change_put(change, FB_ORDERS, order->id, values);
    fb_change_queue(change, FB_ORDERS, order->id);
}
