/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/orders.h"

/* Days that orders hold: the plane FB_PLANE_BOOKED, and which order it is. */

/* The orders that hold days of a machine (those in the snapshot); NULL where there never were any.
 */
const fb_children_t *fb_bookings_of(const fb_snapshot_t *snapshot, uint32_t machine);
/* The order that holds the day of a machine; 0 where none does, or an archived one. */
uint32_t fb_booking_on(const fb_snapshot_t *snapshot, uint32_t machine, fb_day_t day);
/* The same of each day of a range, into `orders`. */
void fb_bookings_on(const fb_snapshot_t *snapshot, uint32_t machine, fb_day_t from, fb_day_t to,
                    uint32_t *orders);
/* The orders that hold a day of a machine in that range, or (`open`) are not at their end; names
 * them in `text`, "order 5" or "orders 5, 7 and 2 more". Returns how many there are. */
#define FB_BOOKINGS_NAMED_BYTES 100
size_t fb_bookings_name(const fb_snapshot_t *snapshot, uint32_t machine, fb_day_t from, fb_day_t to,
                        bool open, char *text, size_t bytes);

/* What keeps one machine from being booked on one day. */
typedef struct {
    uint32_t machine;
    fb_day_t day;
    bool in_maintenance, is_booked;
    uint32_t order; /* that holds it, or 0 */
} fb_obstacle_t;

/* What is in the way of booking these machines (the JSON of FB_KIND_NUMBERS; all exist) for all of
 * these days: the first `max` into `obstacles`, by day within the machines in their order. Returns
 * how many there are. */
size_t fb_bookings_check(const fb_snapshot_t *snapshot, fb_slice_t machines, fb_day_t from,
                         fb_day_t to, fb_obstacle_t *obstacles, size_t max);
/* FB_INVALID, naming those that are no machine of the fleet. */
fb_code_t fb_bookings_require_machines(const fb_snapshot_t *snapshot, fb_slice_t machines,
                                       fb_error_t *error);
/* FB_INVALID where nobody can book from the one day to the other. */
fb_code_t fb_bookings_require_days(const fb_snapshot_t *snapshot, fb_day_t from, fb_day_t to,
                                   fb_error_t *error);
/* Adds what sets or clears the days of all machines of an order. */
void fb_bookings_put(fb_change_t *change, fb_slice_t machines, fb_day_t from, fb_day_t to,
                     bool set);
/* Can all of these be booked for all of these days? If not, says in one sentence of at most
 * `bytes`, with its NUL, what is in the way: also machines that the fleet no longer has. */
bool fb_bookings_are_free(const fb_snapshot_t *snapshot, fb_slice_t machines, fb_day_t from,
                          fb_day_t to, char *text, size_t bytes);
