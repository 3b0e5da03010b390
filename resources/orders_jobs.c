/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "resources/bookings.h"
#include "resources/orders_internal.h"
#include "resources/stage.h"

/* --- what is asked ------------------------------------------------------------------------ */

static const fb_field_t ask_fields[] = {
    {"id", "an order", 1, UINT32_MAX, FB_KIND_INTEGER, FB_REQUIRED},
};

static int compare_ids(const void *a, const void *b)
{
    int64_t one = ((const fb_value_t *)a)->number, other = ((const fb_value_t *)b)->number;
    return one < other ? -1 : one > other;
}

/* Each once, the oldest first. */
void fb_orders_ask(fb_args_t *args, const uint32_t *ids, unsigned count, const char *worker)
{
    fb_assert(count >= 1 && count <= FB_ORDERS_TAKE_MAX);
    fb_value_t *values = fb_alloc_zero(count, sizeof(*values));
    unsigned kept = 1;
    for (unsigned i = 0; i < count; i++)
        values[i] = (fb_value_t){.given = true, .number = ids[i]};
    qsort(values, count, sizeof(*values), compare_ids);
    for (unsigned i = 1; i < count; i++) {
        if (values[i].number != values[kept - 1].number)
            values[kept++] = values[i];
    }
    args->items = (fb_items_t){
        .fields = ask_fields, .field_count = FB_COUNT(ask_fields), .count = kept, .values = values};
    if (worker != NULL)
        args->values[0] = (fb_value_t){.given = true, .text = fb_slice(worker)};
}

/* The next of the orders that are asked for and that the snapshot has; false at the end. */
static bool next_order(const fb_snapshot_t *snapshot, const fb_args_t *args, unsigned *at,
                       fb_order_t *order)
{
    while (*at < args->items.count) {
        uint32_t id = (uint32_t)args->items.values[(*at)++].number;
        const fb_row_t *row = fb_snapshot_row(snapshot, FB_ORDERS, id);
        if (row == NULL)
            continue;
        fb_order_read(row, order);
        return true;
    }
    return false;
}

/* A change that changes nothing is not worth a revision. */
static fb_code_t end_plan(const fb_snapshot_t *snapshot, const fb_order_ends_t *ends,
                          fb_plan_t *plan, fb_error_t *error)
{
    fb_order_ends_put(snapshot, ends, &plan->change);
    if (plan->change.count > 0)
        return FB_OK;
    return fb_fail(error, FB_CONFLICT, "none of the orders is in a state for this");
}

/* --- taking ------------------------------------------------------------------------------- */

/* Orders of one plan that have dates are planned each upon the ones before it, on a stage of the
 * plan's own. */
typedef struct {
    const fb_snapshot_t *snapshot;
    fb_stage_t *stage;    /* NULL: none is needed yet */
    fb_change_t *change;  /* the plan's */
    size_t unseen, until; /* its operations that the stage has not got yet */
    uint64_t bits;        /* of days that it has looked at, and set perhaps */
    fb_order_ends_t ends;
} take_t;

/* What is so after the orders before. */
static const fb_snapshot_t *view_of(take_t *take)
{
    const fb_change_t part = {.ops = take->change->ops + take->unseen,
                              .count = take->until - take->unseen};
    if (part.count == 0)
        return take->stage != NULL ? fb_stage_view(take->stage) : take->snapshot;
    if (take->stage == NULL)
        take->stage = fb_stage_begin(take->snapshot);
    fb_stage_apply(take->stage, &part);
    take->unseen = take->until;
    return fb_stage_view(take->stage);
}

/* Its days are not booked yet. */
static void take_with_days(take_t *take, const fb_order_t *order, const fb_args_t *args)
{
    char text[FB_ERROR_DETAIL_BYTES];
    if (!fb_bookings_are_free(view_of(take), order->machines, order->start, order->end, text,
                              sizeof(text))) {
        fb_slice_t reason = fb_change_keep(take->change, fb_slice(text));
        fb_order_end(order, FB_ORDER_IS_REJECTED, reason, args->now, &take->ends, take->change);
        return;
    }
    take->unseen = take->change->count;
    fb_order_start(order, args->now, &args->values[0], take->change);
    take->until = take->change->count;
}

static uint64_t count_days(const fb_order_t *order)
{
    return (uint64_t)(order->end - order->start + 1) * fb_numbers_count(order->machines);
}

static fb_code_t plan_take(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                           fb_error_t *error)
{
    take_t take = {.snapshot = snapshot, .change = &plan->change};
    fb_order_t order;
    unsigned at = 0;
    while (next_order(snapshot, args, &at, &order)) {
        if (order.state != FB_ORDER_IS_PENDING || order.is_held)
            continue;
        if (!order.has_dates || order.has_days) {
            fb_order_start(&order, args->now, &args->values[0], &plan->change);
            continue;
        }
        uint64_t bits = count_days(&order);
        if (take.bits > 0 && take.bits + bits > FB_ORDERS_TAKE_DAYS_MAX)
            break;
        take.bits += bits;
        take_with_days(&take, &order, args);
    }
    if (take.stage != NULL)
        fb_stage_abort(&take.stage);
    return end_plan(snapshot, &take.ends, plan, error);
}

/* --- the others --------------------------------------------------------------------------- */

static fb_code_t plan_finish(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    fb_order_ends_t ends = {0};
    fb_order_t order;
    unsigned at = 0;
    while (next_order(snapshot, args, &at, &order)) {
        if (order.state == FB_ORDER_IS_PROCESSING && !order.values[FB_ORDER_WORKER].null)
            fb_order_end(&order, FB_ORDER_IS_COMPLETED, (fb_slice_t){0}, args->now, &ends,
                         &plan->change);
    }
    return end_plan(snapshot, &ends, plan, error);
}

static fb_code_t plan_expire(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    fb_order_ends_t ends = {0};
    fb_order_t order;
    uint64_t bits = 0;
    unsigned at = 0;
    while (next_order(snapshot, args, &at, &order)) {
        if (!order.is_held || order.values[FB_ORDER_HOLD_UNTIL].number > args->now)
            continue;
        uint64_t more = count_days(&order);
        if (bits > 0 && bits + more > FB_ORDERS_TAKE_DAYS_MAX)
            break;
        bits += more;
        fb_order_end(&order, FB_ORDER_IS_CANCELLED, FB_SLICE("the hold of its days was over"),
                     args->now, &ends, &plan->change);
    }
    return end_plan(snapshot, &ends, plan, error);
}

static fb_code_t plan_requeue(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                              fb_error_t *error)
{
    const fb_order_ends_t none = {0};
    fb_order_t order;
    unsigned at = 0;
    while (next_order(snapshot, args, &at, &order)) {
        if (order.state == FB_ORDER_IS_PENDING && !order.is_held)
            fb_change_queue(&plan->change, FB_ORDERS, order.id);
    }
    return end_plan(snapshot, &none, plan, error);
}

static fb_code_t plan_archive(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                              fb_error_t *error)
{
    const fb_order_ends_t none = {0};
    fb_order_t order;
    unsigned at = 0;
    while (next_order(snapshot, args, &at, &order)) {
        if (fb_order_is_past(snapshot, fb_snapshot_row(snapshot, FB_ORDERS, order.id)))
            fb_change_archive(&plan->change, FB_ORDERS, order.id);
    }
    return end_plan(snapshot, &none, plan, error);
}

#define JOB(what, function)                                                                        \
    {                                                                                              \
        .about = what, .answer = FB_ANSWER_EMPTY, .plan = function                                 \
    }

const fb_command_t fb_orders_take = JOB("begins the processing of orders", plan_take);
const fb_command_t fb_orders_finish = JOB("completes orders", plan_finish);
const fb_command_t fb_orders_expire = JOB("cancels orders whose hold is over", plan_expire);
const fb_command_t fb_orders_requeue = JOB("puts orders into the queue again", plan_requeue);
const fb_command_t fb_orders_archive = JOB("takes past orders out of memory", plan_archive);
