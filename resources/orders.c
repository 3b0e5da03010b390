/* SPDX-License-Identifier: MIT */
#include "resources/orders.h"

#define KEY_BYTES_MAX    100
#define AMOUNT_MAX       100000000000000 /* a million millions, in minor units */
#define REASON_BYTES_MAX 1000
#define WORKER_BYTES_MAX 100
#define EXACT_MAX        9007199254740992 /* 2^53: what JSON numbers hold everywhere */

const char *const fb_order_states[FB_ORDER_STATES] = {
    [FB_ORDER_IS_PENDING] = "PENDING",     [FB_ORDER_IS_PROCESSING] = "PROCESSING",
    [FB_ORDER_IS_COMPLETED] = "COMPLETED", [FB_ORDER_IS_REJECTED] = "REJECTED",
    [FB_ORDER_IS_CANCELLED] = "CANCELLED",
};

static const fb_field_t fields[] = {
    [FB_ORDER_USER] = {"user_id", "who orders: a number or a text", 1, KEY_BYTES_MAX, FB_KIND_KEY,
                       FB_REQUIRED},
    [FB_ORDER_ITEMS] = {"item_ids", "what is ordered; with dates, machines", 1, EXACT_MAX,
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
    [FB_ORDER_REASON] = {"reason", "why it was rejected or cancelled", 0, REASON_BYTES_MAX,
                         FB_KIND_TEXT, FB_ASSIGNED | FB_NULLABLE | FB_OMITTED | FB_MULTILINE},
    [FB_ORDER_START] = {"start_date", "the first day of its booking", FB_DAY_MIN, FB_DAY_MAX,
                        FB_KIND_DATE, FB_NULLABLE | FB_OMITTED},
    [FB_ORDER_END] = {"end_date", "the last day of its booking", FB_DAY_MIN, FB_DAY_MAX,
                      FB_KIND_DATE, FB_NULLABLE | FB_OMITTED},
    [FB_ORDER_HOLD_UNTIL] = {"hold_until", "until when its days are held for it", 0, INT64_MAX,
                             FB_KIND_INSTANT, FB_ASSIGNED | FB_NULLABLE | FB_OMITTED | FB_GIVEN},
    [FB_ORDER_WORKER] = {"worker", "the instance that processes it", 1, WORKER_BYTES_MAX,
                         FB_KIND_TEXT, FB_ASSIGNED | FB_NULLABLE | FB_OMITTED},
};

const fb_resource_t fb_orders = {
    .name = "orders",
    .row_name = "order",
    .topic = "order",
    .queue = "orders",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_COUNT(fields),
};

const fb_resource_t fb_order_totals = {.name = "order_totals"};
