/* SPDX-License-Identifier: MIT */
#include "resources/bookings.h"
#include "resources/listing.h"
#include "resources/orders_internal.h"

#define SECOND_MS 1000

/* --- taking an order ---------------------------------------------------------------------- */

static bool has(const fb_value_t *value)
{
    return value->given && !value->null;
}

static fb_code_t check_dates(const fb_snapshot_t *snapshot, const fb_value_t *values,
                             fb_error_t *error)
{
    bool has_start = has(&values[FB_ORDER_START]), has_end = has(&values[FB_ORDER_END]);
    if (has_start != has_end)
        return fb_fail_field(error, FB_INVALID,
                             has_start ? FB_SLICE("end_date") : FB_SLICE("start_date"),
                             "is required with the other end of the booking");
    if (!has_start && has(&values[FB_ORDER_HOLD_SECONDS]))
        return fb_fail_field(error, FB_INVALID, FB_SLICE("hold_seconds"),
                             "an order without dates has no days to hold");
    if (!has_start)
        return FB_OK;
    fb_code_t code = fb_bookings_require_days(snapshot, (fb_day_t)values[FB_ORDER_START].number,
                                              (fb_day_t)values[FB_ORDER_END].number, error);
    if (code != FB_OK)
        return code;
    return fb_bookings_require_machines(snapshot, values[FB_ORDER_ITEMS].text, error);
}

/* FB_CONFLICT where something is in the way. */
static fb_code_t check_free(const fb_snapshot_t *snapshot, fb_slice_t machines, fb_day_t from,
                            fb_day_t to, fb_error_t *error)
{
    char text[FB_ERROR_DETAIL_BYTES];
    if (fb_bookings_are_free(snapshot, machines, from, to, text, sizeof(text)))
        return FB_OK;
    return fb_fail_field(error, FB_CONFLICT, FB_SLICE("start_date"), "%s", text);
}

static fb_code_t check_room(const fb_snapshot_t *snapshot, bool held, fb_error_t *error)
{
    uint64_t max = snapshot->rules->orders_pending_max;
    uint64_t pending = fb_orders_in(snapshot, FB_ORDER_IS_PENDING)->count;
    if (pending >= (max > 0 ? max : FB_ORDERS_PENDING_DEFAULT))
        return fb_fail(error, FB_QUEUE_FULL, "%llu orders are waiting already",
                       (unsigned long long)pending);
    if (held && fb_orders_held(snapshot)->count >= FB_ORDER_HOLDS_MAX)
        return fb_fail(error, FB_QUEUE_FULL, "%d orders hold their days already",
                       FB_ORDER_HOLDS_MAX);
    if (snapshot->families[FB_ORDERS].last_id == UINT32_MAX)
        return fb_fail(error, FB_CONFLICT, "all %u ids of orders are used", UINT32_MAX);
    return FB_OK;
}

static fb_code_t plan_create(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    fb_value_t values[FB_FIELDS_MAX];
    uint32_t id = snapshot->families[FB_ORDERS].last_id + 1;
    const fb_value_t *hold = &args->values[FB_ORDER_HOLD_SECONDS];
    memcpy(values, args->values, sizeof(values));
    fb_slice_t machines = values[FB_ORDER_ITEMS].text;
    fb_day_t from = (fb_day_t)values[FB_ORDER_START].number;
    fb_day_t to = (fb_day_t)values[FB_ORDER_END].number;
    fb_code_t code = check_dates(snapshot, values, error);
    if (code == FB_OK)
        code = check_room(snapshot, has(hold), error);
    if (code == FB_OK && has(hold))
        code = check_free(snapshot, machines, from, to, error);
    if (code != FB_OK)
        return code;
    for (unsigned f = 0; f < FB_ORDER_FIELDS; f++)
        values[f].null = !has(&values[f]);
    values[FB_ORDER_STATUS] =
        (fb_value_t){.given = true, .text = fb_slice(fb_order_states[FB_ORDER_IS_PENDING])};
    values[FB_ORDER_CREATED] = (fb_value_t){.given = true, .number = args->now};
    if (has(hold))
        values[FB_ORDER_HOLD_UNTIL] =
            (fb_value_t){.given = true, .number = args->now + hold->number * SECOND_MS};
    fb_change_put(&plan->change, FB_ORDERS, id, values);
    if (has(hold))
        fb_bookings_put(&plan->change, machines, from, to, true);
    else
        fb_change_queue(&plan->change, FB_ORDERS, id);
    plan->ids[0] = id;
    return FB_OK;
}

/* --- what is done with it ----------------------------------------------------------------- */

/* The order of the path. One that is archived is at its end, whichever. */
static fb_code_t open_order(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_order_t *order,
                            fb_plan_t *plan, fb_error_t *error)
{
    const fb_row_t *row;
    uint32_t id = args->ids[0];
    if (fb_order_is_archived(snapshot, id))
        return fb_fail(error, FB_CONFLICT, "order %u came to its end long ago", id);
    fb_code_t code = fb_require_row(snapshot, FB_ORDERS, id, &row, error);
    if (code != FB_OK)
        return code;
    fb_order_read(row, order);
    plan->ids[0] = order->id;
    return FB_OK;
}

static fb_code_t fail_state(const fb_order_t *order, fb_error_t *error)
{
    return fb_fail(error, FB_CONFLICT, "order %u is %s", order->id, fb_order_states[order->state]);
}

static bool is_open(const fb_order_t *order)
{
    return order->state == FB_ORDER_IS_PENDING || order->state == FB_ORDER_IS_PROCESSING;
}

/* Its days are its own until then, and not a moment longer. */
static fb_code_t check_hold(const fb_order_t *order, fb_instant_t now, fb_error_t *error)
{
    if (!order->is_held || order->values[FB_ORDER_HOLD_UNTIL].number > now)
        return FB_OK;
    return fb_fail(error, FB_CONFLICT, "the hold of order %u is over", order->id);
}

static fb_code_t plan_start(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                            fb_error_t *error)
{
    fb_order_t order;
    fb_code_t code = open_order(snapshot, args, &order, plan, error);
    if (code == FB_OK && order.state != FB_ORDER_IS_PENDING)
        code = fail_state(&order, error);
    if (code == FB_OK)
        code = check_hold(&order, args->now, error);
    if (code == FB_OK && order.has_dates && !order.has_days)
        code = check_free(snapshot, order.machines, order.start, order.end, error);
    if (code == FB_OK)
        fb_order_start(&order, args->now, NULL, &plan->change);
    return code;
}

/* Ends the order of the path, which must be in one of the states that lead there. */
static fb_code_t end_order(const fb_snapshot_t *snapshot, const fb_args_t *args,
                           fb_order_state_t state, fb_slice_t reason, fb_plan_t *plan,
                           fb_error_t *error)
{
    fb_order_ends_t ends = {0};
    fb_order_t order;
    fb_code_t code = open_order(snapshot, args, &order, plan, error);
    if (code != FB_OK)
        return code;
    if (!is_open(&order) || (state == FB_ORDER_IS_COMPLETED && order.state == FB_ORDER_IS_PENDING))
        return fail_state(&order, error);
    fb_order_end(&order, state, reason, args->now, &ends, &plan->change);
    fb_order_ends_put(snapshot, &ends, &plan->change);
    return FB_OK;
}

static fb_code_t plan_complete(const fb_snapshot_t *snapshot, const fb_args_t *args,
                               fb_plan_t *plan, fb_error_t *error)
{
    return end_order(snapshot, args, FB_ORDER_IS_COMPLETED, (fb_slice_t){0}, plan, error);
}

static fb_code_t plan_reject(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    return end_order(snapshot, args, FB_ORDER_IS_REJECTED, args->values[0].text, plan, error);
}

static fb_code_t plan_cancel(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    return end_order(snapshot, args, FB_ORDER_IS_CANCELLED, (fb_slice_t){0}, plan, error);
}

static fb_code_t plan_confirm(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                              fb_error_t *error)
{
    fb_order_t order;
    fb_code_t code = open_order(snapshot, args, &order, plan, error);
    if (code == FB_OK && order.state != FB_ORDER_IS_PENDING)
        code = fail_state(&order, error);
    else if (code == FB_OK && !order.is_held)
        code = fb_fail(error, FB_CONFLICT, "order %u has no hold to confirm", order.id);
    if (code == FB_OK)
        code = check_hold(&order, args->now, error);
    if (code == FB_OK)
        fb_order_confirm(&order, args->now, &plan->change);
    return code;
}

/* --- the tables --------------------------------------------------------------------------- */

static const fb_field_t reject_body[] = {
    {"reason", "why", 0, FB_ORDER_REASON_BYTES_MAX, FB_KIND_TEXT, FB_NULLABLE | FB_MULTILINE},
};

/* What the old system answered an order with. Of one that is archived by the time its request is
 * repeated, the id is all that there is to say. */
static fb_code_t render_created(const fb_snapshot_t *snapshot, const fb_args_t *args,
                                fb_buffer_t *body, fb_error_t *error)
{
    fb_buffer_put_literal(body, "{\"message\":\"Order created successfully!\",\"data\":");
    fb_code_t code = fb_order_views[FB_ORDER_OLD_ONE].render(snapshot, args, body, error);
    if (code == FB_ARCHIVED) {
        fb_buffer_printf(body, "{\"id\":%u}", args->ids[0]);
        code = FB_OK;
    }
    fb_buffer_put_char(body, '}');
    return code;
}

static const fb_view_t created = {
    .path = "/get_order/{id}", .about = "an order that was created", .render = render_created};

const fb_command_t fb_order_commands[FB_ORDER_COMMANDS] = {
    {"POST", "/v1/orders", "takes an order, to be processed later", fb_order_fields,
     FB_ORDER_BODY_FIELDS, FB_BODY_NEW, FB_ANSWER_ACCEPTED, &fb_order_views[FB_ORDER_ONE],
     &fb_order_views[FB_ORDER_LIST], plan_create},
    {"POST", "/create_order", "takes an order, at its old path", fb_order_fields,
     FB_ORDER_BODY_FIELDS, FB_BODY_NEW, FB_ANSWER_CREATED, &created, NULL, plan_create},
    {"POST", "/v1/orders/{id}/start", "begins the processing of an order outside", NULL, 0,
     FB_BODY_NEW, FB_ANSWER_SHOWN, &fb_order_views[FB_ORDER_ONE], &fb_order_views[FB_ORDER_ONE],
     plan_start},
    {"POST", "/v1/orders/{id}/complete", "completes an order that is in processing", NULL, 0,
     FB_BODY_NEW, FB_ANSWER_SHOWN, &fb_order_views[FB_ORDER_ONE], &fb_order_views[FB_ORDER_ONE],
     plan_complete},
    {"POST", "/v1/orders/{id}/reject", "rejects an order", reject_body, FB_COUNT(reject_body),
     FB_BODY_OPTIONAL, FB_ANSWER_SHOWN, &fb_order_views[FB_ORDER_ONE],
     &fb_order_views[FB_ORDER_ONE], plan_reject},
    {"POST", "/v1/orders/{id}/confirm", "confirms the hold of an order", NULL, 0, FB_BODY_NEW,
     FB_ANSWER_SHOWN, &fb_order_views[FB_ORDER_ONE], &fb_order_views[FB_ORDER_ONE], plan_confirm},
    {"DELETE", "/v1/orders/{id}", "cancels an order, and frees its days", NULL, 0, FB_BODY_NEW,
     FB_ANSWER_EMPTY, NULL, &fb_order_views[FB_ORDER_ONE], plan_cancel},
};
