/* SPDX-License-Identifier: MIT */
#include "resources/listing.h"
#include "resources/orders_internal.h"

#define KEY_BYTES_MAX    100
#define AMOUNT_MAX       100000000000000 /* a million millions, in minor units */
#define WORKER_BYTES_MAX 100

const char *const fb_order_states[FB_ORDER_STATES] = {
    [FB_ORDER_IS_PENDING] = "PENDING",     [FB_ORDER_IS_PROCESSING] = "PROCESSING",
    [FB_ORDER_IS_COMPLETED] = "COMPLETED", [FB_ORDER_IS_REJECTED] = "REJECTED",
    [FB_ORDER_IS_CANCELLED] = "CANCELLED",
};

const fb_field_t fb_order_fields[] = {
    [FB_ORDER_USER] = {"user_id", "who orders: a number or a text", 1, KEY_BYTES_MAX, FB_KIND_KEY,
                       FB_REQUIRED},
    [FB_ORDER_ITEMS] = {"item_ids", "what is ordered; with dates, machines", 1, FB_EXACT_MAX,
                        FB_KIND_NUMBERS, FB_REQUIRED | FB_PARENT},
    [FB_ORDER_AMOUNT] = {"total_amount", "what it costs, in the fleet's currency", 0, AMOUNT_MAX,
                         FB_KIND_MONEY, FB_REQUIRED},
    [FB_ORDER_STATUS] = {"status", "PENDING, PROCESSING, COMPLETED, REJECTED or CANCELLED", 1, 16,
                         FB_KIND_TEXT, FB_ASSIGNED | FB_FACET},
    [FB_ORDER_CREATED] = {"created_at", "when it was taken", 0, INT64_MAX, FB_KIND_INSTANT,
                          FB_ASSIGNED},
    [FB_ORDER_STARTED] = {"started_at", "when its processing began", 0, INT64_MAX, FB_KIND_INSTANT,
                          FB_ASSIGNED | FB_NULLABLE},
    [FB_ORDER_COMPLETED] = {"completed_at", "when it came to its end", 0, INT64_MAX,
                            FB_KIND_INSTANT, FB_ASSIGNED | FB_NULLABLE},
    [FB_ORDER_REASON] = {"reason", "why it was rejected or cancelled", 0, FB_ORDER_REASON_BYTES_MAX,
                         FB_KIND_TEXT, FB_ASSIGNED | FB_NULLABLE | FB_OMITTED | FB_MULTILINE},
    [FB_ORDER_START] = {"start_date", "the first day of its booking", FB_DAY_MIN, FB_DAY_MAX,
                        FB_KIND_DATE, FB_NULLABLE | FB_OMITTED},
    [FB_ORDER_END] = {"end_date", "the last day of its booking", FB_DAY_MIN, FB_DAY_MAX,
                      FB_KIND_DATE, FB_NULLABLE | FB_OMITTED},
    [FB_ORDER_HOLD_UNTIL] = {"hold_until", "until when its days are held for it", 0, INT64_MAX,
                             FB_KIND_INSTANT, FB_ASSIGNED | FB_NULLABLE | FB_OMITTED | FB_GIVEN},
    [FB_ORDER_CONFIRMED] = {"confirmed_at", "when its hold was confirmed", 0, INT64_MAX,
                            FB_KIND_INSTANT, FB_ASSIGNED | FB_NULLABLE | FB_OMITTED},
    [FB_ORDER_WORKER] = {"worker", "the instance that processes it", 1, WORKER_BYTES_MAX,
                         FB_KIND_TEXT, FB_ASSIGNED | FB_NULLABLE | FB_OMITTED},
    [FB_ORDER_HOLD_SECONDS] = {"hold_seconds", "how long its days are held until it is confirmed",
                               1, FB_ORDER_HOLD_SECONDS_MAX, FB_KIND_INTEGER, FB_NULLABLE},
};

_Static_assert(FB_ORDER_BODY_FIELDS <= FB_FIELDS_MAX, "the values of a body have room");

/* --- what others ask of orders ------------------------------------------------------------- */

fb_value_t fb_order_value(const fb_row_t *order, unsigned field)
{
    return fb_row_value(order, fb_order_fields, field);
}

fb_order_state_t fb_order_state(const fb_row_t *order)
{
    fb_slice_t status = fb_order_value(order, FB_ORDER_STATUS).text;
    unsigned state = 0;
    while (state < FB_ORDER_STATES - 1 && !fb_slice_is(status, fb_order_states[state]))
        state++;
    return (fb_order_state_t)state;
}

const fb_bitmap_t *fb_orders_in(const fb_snapshot_t *snapshot, fb_order_state_t state)
{
    static const fb_bitmap_t no_orders = {0};
    const fb_bitmap_t *orders =
        fb_snapshot_facet(snapshot, FB_ORDERS, FB_ORDER_STATUS, fb_slice(fb_order_states[state]));
    return orders != NULL ? orders : &no_orders;
}

const fb_bitmap_t *fb_orders_held(const fb_snapshot_t *snapshot)
{
    return fb_snapshot_given(snapshot, FB_ORDERS, FB_ORDER_HOLD_UNTIL);
}

/* Does it hold its days? */
static bool holds(const fb_row_t *order)
{
    if (fb_order_value(order, FB_ORDER_START).null)
        return false;
    switch (fb_order_state(order)) {
    case FB_ORDER_IS_PENDING:
        return !fb_order_value(order, FB_ORDER_HOLD_UNTIL).null ||
               !fb_order_value(order, FB_ORDER_CONFIRMED).null;
    case FB_ORDER_IS_PROCESSING:
    case FB_ORDER_IS_COMPLETED:
        return true;
    default:
        return false;
    }
}

bool fb_order_is_past(const fb_snapshot_t *snapshot, const fb_row_t *order)
{
    fb_order_state_t state = fb_order_state(order);
    if (state == FB_ORDER_IS_PENDING || state == FB_ORDER_IS_PROCESSING)
        return false;
    return !holds(order) || fb_order_value(order, FB_ORDER_END).number < snapshot->today;
}

uint32_t fb_orders_oldest_pending(const fb_snapshot_t *snapshot)
{
    const fb_bitmap_t *held = fb_orders_held(snapshot);
    const fb_bitmap_filter_t waiting = {
        .all = fb_orders_in(snapshot, FB_ORDER_IS_PENDING), .without = &held, .without_count = 1};
    uint32_t oldest = 0;
    fb_bitmap_select(&waiting, 1, &oldest, 1, NULL);
    return oldest;
}

bool fb_order_is_archived(const fb_snapshot_t *snapshot, uint32_t id)
{
    return id <= snapshot->families[FB_ORDERS].last_id &&
           fb_snapshot_row(snapshot, FB_ORDERS, id) == NULL;
}

/* --- reads ------------------------------------------------------------------------------- */

static fb_code_t render_one(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                            fb_error_t *error)
{
    const fb_row_t *order;
    if (fb_order_is_archived(snapshot, args->ids[0]))
        return fb_fail(error, FB_ARCHIVED, "order %u is in the archive", args->ids[0]);
    fb_code_t code = fb_require_row(snapshot, FB_ORDERS, args->ids[0], &order, error);
    if (code == FB_OK)
        fb_put_row(snapshot, FB_ORDERS, order, body);
    return code;
}

static uint64_t stamp_one(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    const fb_row_t *order = fb_snapshot_row(snapshot, FB_ORDERS, args->ids[0]);
    return order != NULL ? order->changed : UINT64_MAX;
}

static uint64_t stamp_list(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    (void)args;
    return snapshot->families[FB_ORDERS].changed;
}

/* The mean in seconds, of milliseconds, with four decimals. */
static void put_mean(fb_buffer_t *body, uint64_t ms, uint64_t count)
{
    uint64_t whole = count > 0 ? ms / count : 0, rest = count > 0 ? ms % count : 0;
    uint64_t tenths = whole * 10 + (count > 0 ? (rest * 10 + count / 2) / count : 0);
    fb_buffer_printf(body, "\"%llu.%04llu\"", (unsigned long long)(tenths / 10000),
                     (unsigned long long)(tenths % 10000));
}

static fb_code_t render_metrics(const fb_snapshot_t *snapshot, const fb_args_t *args,
                                fb_buffer_t *body, fb_error_t *error)
{
    fb_order_metrics_t metrics = fb_order_metrics(snapshot);
    (void)args;
    (void)error;
    fb_buffer_put_literal(body, "{\"avg_processing_time\":");
    put_mean(body, metrics.of[FB_TOTAL_PROCESSING_MS], metrics.of[FB_TOTAL_COMPLETED]);
    fb_buffer_put_literal(body, ",\"pending_count\":");
    fb_buffer_put_u64(body, metrics.pending);
    fb_buffer_put_literal(body, ",\"processed_count\":");
    fb_buffer_put_u64(body, metrics.of[FB_TOTAL_COMPLETED]);
    fb_buffer_put_literal(body, ",\"processing_count\":");
    fb_buffer_put_u64(body, metrics.processing);
    fb_buffer_put_literal(body, ",\"total_orders\":");
    fb_buffer_put_u64(body, metrics.total);
    fb_buffer_put_char(body, '}');
    return FB_OK;
}

static uint64_t stamp_metrics(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    uint64_t orders = stamp_list(snapshot, args);
    return fb_latest(orders, snapshot->families[FB_ORDER_TOTALS].changed);
}

const fb_view_t fb_order_views[FB_ORDER_VIEWS] = {
    [FB_ORDER_LIST] = {"/v1/orders", "the orders, the newest first", fb_orders_query,
                       FB_ORDERS_QUERY, fb_orders_render, stamp_list, FB_SOURCE_SNAPSHOT},
    [FB_ORDER_ONE] = {"/v1/orders/{id}", "one order", NULL, 0, render_one, stamp_one,
                      FB_SOURCE_SNAPSHOT},
    [FB_ORDER_OLD_ONE] = {"/get_order/{id}", "one order, at its old path", NULL, 0, render_one,
                          stamp_one, FB_SOURCE_SNAPSHOT},
    [FB_ORDER_METRICS] = {"/metrics", "how many orders there are, and how long they take", NULL, 0,
                          render_metrics, stamp_metrics, FB_SOURCE_SNAPSHOT},
};

const fb_resource_t fb_orders = {
    .name = "orders",
    .row_name = "order",
    .topic = "order",
    .queue = "orders",
    .holds = holds,
    .archive = &fb_order_archive,
    .fields = fb_order_fields,
    .field_count = FB_ORDER_FIELDS,
    .computed_at = FB_ORDER_FIELDS,
    .views = fb_order_views,
    .view_count = FB_ORDER_VIEWS,
    .commands = fb_order_commands,
    .command_count = FB_ORDER_COMMANDS,
};
