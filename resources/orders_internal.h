/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/archive.h"
#include "resources/orders.h"

/* What the files of the orders share. */

/* The members of a body stand behind the fields of the row. */
enum {
    FB_ORDER_HOLD_SECONDS = FB_ORDER_FIELDS,
    FB_ORDER_BODY_FIELDS,
};
extern const fb_field_t fb_order_fields[FB_ORDER_BODY_FIELDS];

enum { FB_ORDER_LIST, FB_ORDER_ONE, FB_ORDER_OLD_ONE, FB_ORDER_METRICS, FB_ORDER_VIEWS };
extern const fb_view_t fb_order_views[FB_ORDER_VIEWS];

#define FB_ORDER_COMMANDS 7
extern const fb_command_t fb_order_commands[FB_ORDER_COMMANDS];

#define FB_ORDER_REASON_BYTES_MAX 1000

/* Has it left the snapshot? No order is ever deleted. */
bool fb_order_is_archived(const fb_snapshot_t *snapshot, uint32_t id);

/* --- orders_list.c ------------------------------------------------------------------------ */

enum { FB_ORDERS_STATUS, FB_ORDERS_USER, FB_ORDERS_LIMIT, FB_ORDERS_CURSOR, FB_ORDERS_QUERY };
extern const fb_field_t fb_orders_query[FB_ORDERS_QUERY];
fb_code_t fb_orders_render(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                           fb_error_t *error);
extern const fb_archive_t fb_order_archive;

/* --- orders_step.c ------------------------------------------------------------------------ */

/* An order that is taken a step further. */
typedef struct {
    uint32_t id;
    fb_order_state_t state;
    bool is_held;   /* its hold has not been confirmed */
    bool has_dates; /* `start` to `end` */
    bool has_days;  /* and they are booked for it */
    fb_day_t start, end;
    fb_slice_t machines;
    fb_value_t values[FB_FIELDS_MAX]; /* of its row */
} fb_order_t;

void fb_order_read(const fb_row_t *row, fb_order_t *order);

/* How many came to which end, as fields of the totals. */
typedef struct {
    uint64_t of[FB_TOTAL_FIELDS];
} fb_order_ends_t;

/* Each adds what takes the order its step further. Instants never go back within an order. */
void fb_order_start(const fb_order_t *order, fb_instant_t now, const fb_value_t *worker,
                    fb_change_t *change);
/* `reason`: none if `at` is NULL. */
void fb_order_end(const fb_order_t *order, fb_order_state_t state, fb_slice_t reason,
                  fb_instant_t now, fb_order_ends_t *ends, fb_change_t *change);
/* The customer has confirmed: it waits for a worker now. */
void fb_order_confirm(const fb_order_t *order, fb_instant_t now, fb_change_t *change);

/* --- order_totals.c ----------------------------------------------------------------------- */

void fb_order_ends_count(fb_order_ends_t *ends, fb_order_state_t state, fb_instant_t started,
                         fb_instant_t completed);
/* Adds the totals with these; nothing where none came to its end. */
void fb_order_ends_put(const fb_snapshot_t *snapshot, const fb_order_ends_t *ends,
                       fb_change_t *change);
