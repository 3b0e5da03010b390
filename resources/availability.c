/* SPDX-License-Identifier: MIT */
#include "base/assert.h"
#include "resources/bookings.h"
#include "resources/cursor.h"
#include "resources/listing.h"
#include "resources/machines.h"
#include "resources/maintenance.h"

#define RANGE_DAYS_MAX 366
#define CONFLICTS_MAX  1000 /* that are listed */

typedef struct {
    fb_day_t from, to;
} range_t;

static fb_code_t check_range(range_t range, fb_error_t *error)
{
    if (range.to < range.from)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("to"), "must not be before from");
    if (range.to - range.from + 1 > RANGE_DAYS_MAX)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("to"), "a range has at most %d days",
                             RANGE_DAYS_MAX);
    return FB_OK;
}

/* --- the machines that are free ---------------------------------------------------------- */

enum { FREE_DATE, FREE_FROM, FREE_TO, FREE_TYPE, FREE_LIMIT, FREE_CURSOR };

static const fb_field_t free_query[] = {
    [FREE_DATE] = {"date", "free on this date; today if neither it nor from and to are given",
                   FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, 0},
    [FREE_FROM] = {"from", "free on every day from this one", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE,
                   0},
    [FREE_TO] = {"to", "to this one", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, 0},
    [FREE_TYPE] = FB_TYPE_FIELD,
    [FREE_LIMIT] = FB_LIMIT_FIELD,
    [FREE_CURSOR] = FB_CURSOR_FIELD,
};

static const fb_view_t views[4];

/* Of arguments that have passed check_free. */
static range_t free_range(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    const fb_value_t *date = &args->values[FREE_DATE];
    const fb_value_t *from = &args->values[FREE_FROM], *to = &args->values[FREE_TO];
    if (date->given)
        return (range_t){(fb_day_t)date->number, (fb_day_t)date->number};
    if (from->given)
        return (range_t){(fb_day_t)from->number, (fb_day_t)to->number};
    return (range_t){snapshot->today, snapshot->today};
}

static fb_code_t check_free(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_error_t *error)
{
    const fb_value_t *date = &args->values[FREE_DATE];
    const fb_value_t *from = &args->values[FREE_FROM], *to = &args->values[FREE_TO];
    if (date->given && (from->given || to->given))
        return fb_fail_field(error, FB_INVALID, FB_SLICE("date"),
                             "give either date, or from and to");
    if (from->given != to->given)
        return fb_fail_field(error, FB_INVALID, from->given ? FB_SLICE("to") : FB_SLICE("from"),
                             "is required with the other end of the range");
    return check_range(free_range(snapshot, args), error);
}

/* The bitmaps of all that keeps a machine from being free in the range. */
static size_t taken(const fb_snapshot_t *snapshot, range_t range, const fb_bitmap_t **sets)
{
    size_t count = 0;
    for (fb_day_t day = range.from; day <= range.to; day++) {
        for (int plane = 0; plane < FB_PLANE_COUNT; plane++) {
            const fb_bitmap_t *set = fb_snapshot_day(snapshot, (fb_plane_id_t)plane, day);
            if (set != NULL && set->count > 0)
                sets[count++] = set;
        }
    }
    return count;
}

static void put_range(fb_buffer_t *body, bool one_date, range_t range)
{
    fb_buffer_put_text(body, one_date ? "\"date\":" : "\"from\":");
    fb_json_put_day(body, range.from);
    if (!one_date) {
        fb_buffer_put_literal(body, ",\"to\":");
        fb_json_put_day(body, range.to);
    }
}

static fb_code_t render_free(const fb_snapshot_t *snapshot, const fb_args_t *args,
                             fb_buffer_t *body, fb_error_t *error)
{
    const fb_bitmap_t *sets[RANGE_DAYS_MAX * FB_PLANE_COUNT];
    fb_bitmap_filter_t filter;
    fb_page_t page;
    range_t range = free_range(snapshot, args);
    fb_code_t code = check_free(snapshot, args, error);
    if (code == FB_OK)
        code = fb_machines_filter(snapshot, &args->values[FREE_TYPE], &filter, error);
    if (code != FB_OK)
        return code;
    filter.without = sets;
    filter.without_count = taken(snapshot, range, sets);
    code = fb_page_find(snapshot, FB_MACHINES, &filter, &views[0], args, true, &page, error);
    if (code != FB_OK)
        return code;
    fb_buffer_reserve(body, page.bytes);
    fb_buffer_put_char(body, '{');
    put_range(body, !args->values[FREE_FROM].given, range);
    fb_buffer_put_literal(body, ",\"count\":");
    fb_buffer_put_u64(body, page.count);
    fb_buffer_put_char(body, ',');
    fb_page_put(snapshot, &page, "machines", body);
    fb_buffer_put_char(body, '}');
    return FB_OK;
}

static uint64_t stamp_free(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    range_t range = free_range(snapshot, args);
    uint64_t days = fb_snapshot_days_changed(snapshot, range.from, range.to);
    uint64_t machines = fb_machines_changed(snapshot);
    return fb_latest(days, machines);
}

/* --- the calendar of the fleet ----------------------------------------------------------- */

enum { CALENDAR_FROM, CALENDAR_TO, CALENDAR_TYPE };

static const fb_field_t calendar_query[] = {
    [CALENDAR_FROM] = {"from", "the first day", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, FB_REQUIRED},
    [CALENDAR_TO] = {"to", "the last day", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, FB_REQUIRED},
    [CALENDAR_TYPE] = FB_TYPE_FIELD,
};

static range_t calendar_range(const fb_args_t *args)
{
    return (range_t){(fb_day_t)args->values[CALENDAR_FROM].number,
                     (fb_day_t)args->values[CALENDAR_TO].number};
}

static fb_code_t render_calendar(const fb_snapshot_t *snapshot, const fb_args_t *args,
                                 fb_buffer_t *body, fb_error_t *error)
{
    const fb_bitmap_t *sets[FB_PLANE_COUNT];
    fb_bitmap_filter_t filter;
    range_t range = calendar_range(args);
    fb_code_t code = check_range(range, error);
    if (code == FB_OK)
        code = fb_machines_filter(snapshot, &args->values[CALENDAR_TYPE], &filter, error);
    if (code != FB_OK)
        return code;
    filter.without = sets;
    fb_buffer_put_char(body, '{');
    put_range(body, false, range);
    fb_buffer_put_literal(body, ",\"days\":[");
    for (fb_day_t day = range.from; day <= range.to; day++) {
        filter.without_count = taken(snapshot, (range_t){day, day}, sets);
        fb_buffer_put_text(body, day > range.from ? ",{\"date\":" : "{\"date\":");
        fb_json_put_day(body, day);
        fb_buffer_put_literal(body, ",\"available\":");
        fb_buffer_put_u64(body, fb_bitmap_count(&filter));
        fb_buffer_put_char(body, '}');
    }
    fb_buffer_put_literal(body, "]}");
    return FB_OK;
}

static uint64_t stamp_calendar(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    range_t range = calendar_range(args);
    uint64_t days = fb_snapshot_days_changed(snapshot, range.from, range.to);
    uint64_t machines = snapshot->families[FB_MACHINES].changed;
    return fb_latest(days, machines);
}

/* --- the calendar of one machine --------------------------------------------------------- */

enum { MACHINE_FROM, MACHINE_TO };

static const fb_field_t machine_query[] = {
    [MACHINE_FROM] = {"from", "the first day", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, FB_REQUIRED},
    [MACHINE_TO] = {"to", "the last day", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, FB_REQUIRED},
};

static void put_windows(const fb_snapshot_t *snapshot, uint32_t machine, fb_day_t day,
                        fb_buffer_t *body)
{
    const fb_children_t *windows = fb_maintenance_windows(snapshot, machine);
    const char *separator = "";
    fb_buffer_put_literal(body, ",\"windows\":[");
    for (uint32_t i = 0; windows != NULL && i < windows->count; i++) {
        fb_window_t window = fb_maintenance_window(snapshot, windows->ids[i]);
        if (day < window.start || day > window.end)
            continue;
        fb_buffer_put_text(body, separator);
        fb_buffer_put_u64(body, window.id);
        separator = ",";
    }
    fb_buffer_put_char(body, ']');
}

static void put_order(uint32_t order, fb_buffer_t *body)
{
    fb_buffer_put_literal(body, ",\"order_id\":");
    if (order != 0)
        fb_buffer_put_u64(body, order);
    else
        fb_buffer_put_literal(body, "null");
}

/* `order` is the one that holds the day, or 0. */
static void put_day(const fb_snapshot_t *snapshot, uint32_t machine, fb_day_t day, uint32_t order,
                    fb_buffer_t *body)
{
    bool maintenance = fb_snapshot_has_day(snapshot, FB_PLANE_MAINTENANCE, day, machine);
    bool booked = fb_snapshot_has_day(snapshot, FB_PLANE_BOOKED, day, machine);
    fb_buffer_put_literal(body, "{\"date\":");
    fb_json_put_day(body, day);
    fb_buffer_printf(body, ",\"available\":%s,\"maintenance\":%s,\"booked\":%s",
                     maintenance || booked ? "false" : "true", maintenance ? "true" : "false",
                     booked ? "true" : "false");
    if (maintenance)
        put_windows(snapshot, machine, day, body);
    else
        fb_buffer_put_literal(body, ",\"windows\":[]");
    put_order(order, body);
    fb_buffer_put_char(body, '}');
}

static fb_code_t render_machine(const fb_snapshot_t *snapshot, const fb_args_t *args,
                                fb_buffer_t *body, fb_error_t *error)
{
    const fb_row_t *machine;
    uint32_t orders[RANGE_DAYS_MAX];
    range_t range = calendar_range(args);
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, args->ids[0], &machine, error);
    if (code == FB_OK)
        code = check_range(range, error);
    if (code != FB_OK)
        return code;
    fb_bookings_on(snapshot, machine->id, range.from, range.to, orders);
    fb_buffer_printf(body, "{\"machine_id\":%u,", machine->id);
    put_range(body, false, range);
    fb_buffer_put_literal(body, ",\"days\":[");
    for (fb_day_t day = range.from; day <= range.to; day++) {
        if (day > range.from)
            fb_buffer_put_char(body, ',');
        put_day(snapshot, machine->id, day, orders[day - range.from], body);
    }
    fb_buffer_put_literal(body, "]}");
    return FB_OK;
}

static uint64_t stamp_machine(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    range_t range = calendar_range(args);
    uint64_t days = fb_snapshot_days_changed(snapshot, range.from, range.to);
    uint64_t machine = fb_machine_changed(snapshot, args->ids[0]);
    const fb_children_t *orders = fb_bookings_of(snapshot, args->ids[0]);
    return fb_latest(fb_latest(days, machine), orders != NULL ? orders->changed : 0);
}

_Static_assert((int)MACHINE_FROM == CALENDAR_FROM && (int)MACHINE_TO == CALENDAR_TO,
               "calendar_range serves both calendars");

/* --- may these be booked? ---------------------------------------------------------------- */

enum { CHECK_ITEMS, CHECK_START, CHECK_END };

static const fb_field_t check_body[] = {
    [CHECK_ITEMS] = {"item_ids", "the machines", 1, UINT32_MAX, FB_KIND_NUMBERS, FB_REQUIRED},
    [CHECK_START] = {"start_date", "the first day", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE,
                     FB_REQUIRED},
    [CHECK_END] = {"end_date", "the last day", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, FB_REQUIRED},
};

static void put_conflict(const fb_obstacle_t *obstacle, fb_buffer_t *body)
{
    fb_buffer_printf(body, "{\"machine_id\":%u,\"date\":", obstacle->machine);
    fb_json_put_day(body, obstacle->day);
    fb_buffer_printf(body, ",\"maintenance\":%s,\"booked\":%s",
                     obstacle->in_maintenance ? "true" : "false",
                     obstacle->is_booked ? "true" : "false");
    put_order(obstacle->order, body);
    fb_buffer_put_char(body, '}');
}

static fb_code_t render_check(const fb_snapshot_t *snapshot, const fb_args_t *args,
                              fb_buffer_t *body, fb_error_t *error)
{
    fb_obstacle_t obstacles[CONFLICTS_MAX];
    fb_slice_t machines = args->values[CHECK_ITEMS].text;
    fb_day_t from = (fb_day_t)args->values[CHECK_START].number;
    fb_day_t to = (fb_day_t)args->values[CHECK_END].number;
    fb_code_t code = fb_bookings_require_days(snapshot, from, to, error);
    if (code == FB_OK)
        code = fb_bookings_require_machines(snapshot, machines, error);
    if (code != FB_OK)
        return code;
    size_t count = fb_bookings_check(snapshot, machines, from, to, obstacles, CONFLICTS_MAX);
    fb_buffer_printf(body, "{\"available\":%s,\"count\":%zu,\"conflicts\":[",
                     count == 0 ? "true" : "false", count);
    for (size_t i = 0; i < count && i < CONFLICTS_MAX; i++) {
        fb_buffer_put_text(body, i > 0 ? "," : "");
        put_conflict(&obstacles[i], body);
    }
    fb_buffer_put_literal(body, "]}");
    return FB_OK;
}

static const fb_view_t views[] = {
    {"/v1/availability", "the machines that are free", free_query, FB_COUNT(free_query),
     render_free, stamp_free, FB_SOURCE_SNAPSHOT},
    {"/v1/availability/calendar", "how many machines are free on each day", calendar_query,
     FB_COUNT(calendar_query), render_calendar, stamp_calendar, FB_SOURCE_SNAPSHOT},
    {"/v1/machines/{id}/calendar", "what each day of a machine is taken by", machine_query,
     FB_COUNT(machine_query), render_machine, stamp_machine, FB_SOURCE_SNAPSHOT},
    {"/v1/availability/check", "may these machines be booked, and what is in the way", check_body,
     FB_COUNT(check_body), render_check, NULL, FB_SOURCE_POSTED},
};

const fb_resource_t fb_availability = {
    .name = "availability",
    .views = views,
    .view_count = FB_COUNT(views),
};
