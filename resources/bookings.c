/* SPDX-License-Identifier: MIT */
#include "resources/bookings.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

#define NAMED_MAX 5 /* things that a sentence names */

const fb_children_t *fb_bookings_of(const fb_snapshot_t *snapshot, uint32_t machine)
{
    return fb_snapshot_children(snapshot, FB_ORDERS, FB_ORDER_ITEMS, machine);
}

static const fb_row_t *order_at(const fb_snapshot_t *snapshot, const fb_children_t *orders,
                                uint32_t i)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_ORDERS, orders->ids[i]);
    fb_assert(row != NULL);
    return row;
}

static fb_day_t day_of(const fb_row_t *order, unsigned field)
{
    return (fb_day_t)fb_order_value(order, field).number;
}

void fb_bookings_on(const fb_snapshot_t *snapshot, uint32_t machine, fb_day_t from, fb_day_t to,
                    uint32_t *orders)
{
    const fb_children_t *found = fb_bookings_of(snapshot, machine);
    memset(orders, 0, (size_t)(to - from + 1) * sizeof(*orders));
    for (uint32_t i = 0; found != NULL && i < found->count; i++) {
        const fb_row_t *order = order_at(snapshot, found, i);
        fb_day_t first = day_of(order, FB_ORDER_START), last = day_of(order, FB_ORDER_END);
        first = first > from ? first : from;
        last = last < to ? last : to;
        for (fb_day_t day = first; day <= last; day++)
            orders[day - from] = order->id;
    }
}

uint32_t fb_booking_on(const fb_snapshot_t *snapshot, uint32_t machine, fb_day_t day)
{
    uint32_t order;
    fb_bookings_on(snapshot, machine, day, day, &order);
    return order;
}

/* --- sentences ---------------------------------------------------------------------------- */

/* A text that is cut where it is full. */
typedef struct {
    char *at;
    size_t bytes, len;
} sentence_t;

static void say(sentence_t *sentence, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(sentence_t *sentence, const char *format, ...)
{
    va_list list;
    size_t room = sentence->bytes - sentence->len;
    va_start(list, format);
    int written = vsnprintf(sentence->at + sentence->len, room, format, list);
    va_end(list);
    sentence->len += (size_t)written < room ? (size_t)written : room - 1;
}

/* Before the thing `i` of a list, of which so many are named. */
static const char *separator(size_t i, size_t named, size_t total)
{
    if (i == 0)
        return "";
    return i + 1 == named && named == total ? " and " : ", ";
}

/* "order 5", "orders 5, 7 and 9", "orders 1, 2, 3, 4, 5 and 2 more" */
static void name_ids(sentence_t *sentence, const char *thing, const int64_t *ids, size_t total)
{
    size_t named = total < NAMED_MAX ? total : NAMED_MAX;
    say(sentence, "%s%s ", thing, total == 1 ? "" : "s");
    for (size_t i = 0; i < named; i++)
        say(sentence, "%s%lld", separator(i, named, total), (long long)ids[i]);
    if (total > named)
        say(sentence, " and %zu more", total - named);
}

size_t fb_bookings_name(const fb_snapshot_t *snapshot, uint32_t machine, fb_day_t from, fb_day_t to,
                        bool open, char *text, size_t bytes)
{
    const fb_children_t *orders = fb_bookings_of(snapshot, machine);
    sentence_t sentence = {text, bytes, 0};
    int64_t ids[NAMED_MAX];
    size_t total = 0;
    for (uint32_t i = 0; orders != NULL && i < orders->count; i++) {
        const fb_row_t *order = order_at(snapshot, orders, i);
        fb_order_state_t state = fb_order_state(order);
        bool is_open = state == FB_ORDER_IS_PENDING || state == FB_ORDER_IS_PROCESSING;
        bool within = day_of(order, FB_ORDER_START) <= to && day_of(order, FB_ORDER_END) >= from;
        if (!within && !(open && is_open))
            continue;
        if (total < NAMED_MAX)
            ids[total] = order->id;
        total++;
    }
    name_ids(&sentence, "order", ids, total);
    return total;
}

static void explain(sentence_t *sentence, const fb_obstacle_t *obstacle)
{
    char date[FB_DAY_TEXT_BYTES];
    fb_day_format(obstacle->day, date);
    say(sentence, "machine %u is %s on %.*s", obstacle->machine,
        obstacle->is_booked ? "booked" : "in maintenance", FB_DAY_TEXT_BYTES, date);
    if (obstacle->order != 0)
        say(sentence, " (order %u)", obstacle->order);
}

/* --- checks ------------------------------------------------------------------------------- */

/* Names those that are no machine of the fleet. Returns how many there are. */
static size_t name_unknown(const fb_snapshot_t *snapshot, fb_slice_t machines, sentence_t *sentence)
{
    int64_t machine, unknown[NAMED_MAX];
    size_t total = 0;
    while (fb_numbers_next(&machines, &machine)) {
        if (machine <= UINT32_MAX &&
            fb_snapshot_row(snapshot, FB_MACHINES, (uint32_t)machine) != NULL)
            continue;
        if (total < NAMED_MAX)
            unknown[total] = machine;
        total++;
    }
    if (total > 0)
        name_ids(sentence, "the fleet has no machine", unknown, total);
    return total;
}

fb_code_t fb_bookings_require_machines(const fb_snapshot_t *snapshot, fb_slice_t machines,
                                       fb_error_t *error)
{
    char text[FB_ERROR_DETAIL_BYTES];
    sentence_t sentence = {text, sizeof(text), 0};
    if (name_unknown(snapshot, machines, &sentence) == 0)
        return FB_OK;
    return fb_fail_field(error, FB_INVALID, FB_SLICE("item_ids"), "%s", text);
}

fb_code_t fb_bookings_require_days(const fb_snapshot_t *snapshot, fb_day_t from, fb_day_t to,
                                   fb_error_t *error)
{
    if (from < snapshot->today)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("start_date"), "must not be in the past");
    if (to < from)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("end_date"),
                             "must not be before start_date");
    if (to - from + 1 > FB_ORDER_DAYS_MAX)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("end_date"),
                             "a booking has at most %d days", FB_ORDER_DAYS_MAX);
    return FB_OK;
}

/* A day on which some machine is taken, and its pages of those that are looked at. */
typedef struct {
    fb_day_t day;
    const fb_bitmap_t *maintenance, *booked;
    const uint64_t *maintenance_page, *booked_page;
} busy_day_t;

static size_t find_busy_days(const fb_snapshot_t *snapshot, fb_day_t from, fb_day_t to,
                             busy_day_t *days)
{
    static const fb_bitmap_t nobody = {0};
    size_t count = 0;
    for (fb_day_t day = from; day <= to; day++) {
        const fb_bitmap_t *maintenance = fb_snapshot_day(snapshot, FB_PLANE_MAINTENANCE, day);
        const fb_bitmap_t *booked = fb_snapshot_day(snapshot, FB_PLANE_BOOKED, day);
        maintenance = maintenance != NULL ? maintenance : &nobody;
        booked = booked != NULL ? booked : &nobody;
        if (maintenance->count + booked->count > 0)
            days[count++] = (busy_day_t){.day = day, .maintenance = maintenance, .booked = booked};
    }
    return count;
}

static const uint64_t *find_page(const fb_bitmap_t *machines, uint32_t number)
{
    static const uint64_t nobody[FB_BITMAP_PAGE_WORDS] = {0};
    uint32_t found = number;
    const uint64_t *page = fb_bitmap_page(machines, &found);
    return page != NULL && found == number ? page : nobody;
}

static void find_pages(busy_day_t *days, size_t count, uint32_t page)
{
    for (size_t i = 0; i < count; i++) {
        days[i].maintenance_page = find_page(days[i].maintenance, page);
        days[i].booked_page = find_page(days[i].booked, page);
    }
}

/* The orders of one machine's obstacles: read once for all of its days. */
static void find_orders(const fb_snapshot_t *snapshot, fb_day_t from, fb_day_t to,
                        fb_obstacle_t *obstacles, size_t count)
{
    uint32_t orders[FB_ORDER_DAYS_MAX];
    if (count == 0)
        return;
    fb_bookings_on(snapshot, obstacles[0].machine, from, to, orders);
    for (size_t i = 0; i < count; i++) {
        if (obstacles[i].is_booked)
            obstacles[i].order = orders[obstacles[i].day - from];
    }
}

size_t fb_bookings_check(const fb_snapshot_t *snapshot, fb_slice_t machines, fb_day_t from,
                         fb_day_t to, fb_obstacle_t *obstacles, size_t max)
{
    busy_day_t days[FB_ORDER_DAYS_MAX];
    fb_assert(from <= to && to - from < FB_ORDER_DAYS_MAX);
    size_t day_count = find_busy_days(snapshot, from, to, days);
    size_t total = 0, found = 0;
    uint32_t page = UINT32_MAX; /* that was found; no page has so high a number */
    int64_t number;
    while (day_count > 0 && fb_numbers_next(&machines, &number)) {
        uint32_t machine = (uint32_t)number;
        size_t before = found;
        if (page != machine / FB_BITMAP_PAGE_BITS) {
            page = machine / FB_BITMAP_PAGE_BITS;
            find_pages(days, day_count, page);
        }
        for (size_t i = 0; i < day_count; i++) {
            bool in_maintenance = fb_bitmap_page_has(days[i].maintenance_page, machine);
            bool is_booked = fb_bitmap_page_has(days[i].booked_page, machine);
            if (!in_maintenance && !is_booked)
                continue;
            if (total++ < max)
                obstacles[found++] =
                    (fb_obstacle_t){machine, days[i].day, in_maintenance, is_booked, 0};
        }
        find_orders(snapshot, from, to, obstacles + before, found - before);
    }
    return total;
}

bool fb_bookings_are_free(const fb_snapshot_t *snapshot, fb_slice_t machines, fb_day_t from,
                          fb_day_t to, char *text, size_t bytes)
{
    fb_obstacle_t obstacles[NAMED_MAX];
    sentence_t sentence = {text, bytes, 0};
    if (name_unknown(snapshot, machines, &sentence) > 0)
        return false;
    size_t total = fb_bookings_check(snapshot, machines, from, to, obstacles, NAMED_MAX);
    size_t named = total < NAMED_MAX ? total : NAMED_MAX;
    for (size_t i = 0; i < named; i++) {
        say(&sentence, "%s", separator(i, named, total));
        explain(&sentence, &obstacles[i]);
    }
    if (total > named)
        say(&sentence, " and %zu more", total - named);
    return total == 0;
}

void fb_bookings_put(fb_change_t *change, fb_slice_t machines, fb_day_t from, fb_day_t to, bool set)
{
    int64_t machine;
    while (fb_numbers_next(&machines, &machine))
        fb_change_days(change, FB_PLANE_BOOKED, (uint32_t)machine, from, to, set);
}
