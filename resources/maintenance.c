/* SPDX-License-Identifier: MIT */
#include "resources/maintenance.h"

#include "base/assert.h"
#include "resources/bookings.h"
#include "resources/listing.h"
#include "resources/machines.h"

enum { WINDOW_MACHINE, WINDOW_START, WINDOW_END, WINDOW_REASON, WINDOW_CREATED };

static const fb_field_t fields[] = {
    [WINDOW_MACHINE] = {"machine_id", "the machine", 1, UINT32_MAX, FB_KIND_INTEGER,
                        FB_ASSIGNED | FB_PARENT},
    [WINDOW_START] = {"start_date", "its first day", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, 0},
    [WINDOW_END] = {"end_date", "its last day", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, 0},
    [WINDOW_REASON] = {"reason", "why", 0, 1000, FB_KIND_TEXT, FB_NULLABLE | FB_MULTILINE},
    [WINDOW_CREATED] = {"creation_date", "when it was entered", 0, INT64_MAX, FB_KIND_INSTANT,
                        FB_ASSIGNED},
};

const fb_children_t *fb_maintenance_windows(const fb_snapshot_t *snapshot, uint32_t machine)
{
    return fb_snapshot_children(snapshot, FB_MAINTENANCE, WINDOW_MACHINE, machine);
}

fb_window_t fb_maintenance_window(const fb_snapshot_t *snapshot, uint32_t window)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_MAINTENANCE, window);
    fb_assert(row != NULL);
    return (fb_window_t){
        .id = window,
        .start = (fb_day_t)fb_row_value(row, fields, WINDOW_START).number,
        .end = (fb_day_t)fb_row_value(row, fields, WINDOW_END).number,
    };
}

bool fb_maintenance_current(const fb_snapshot_t *snapshot, uint32_t machine, fb_window_t *current)
{
    const fb_children_t *windows = fb_maintenance_windows(snapshot, machine);
    bool found = false;
    for (uint32_t i = 0; windows != NULL && i < windows->count; i++) {
        fb_window_t window = fb_maintenance_window(snapshot, windows->ids[i]);
        /* The windows of today began before all that are yet to come, so the least start wins. */
        if (window.end < snapshot->today || (found && window.start >= current->start))
            continue;
        *current = window;
        found = true;
    }
    return found;
}

/* Clears the days of one window, except those that another one of the machine still needs. */
static void clear_days(const fb_snapshot_t *snapshot, uint32_t machine, fb_window_t ended,
                       fb_change_t *change)
{
    const fb_children_t *windows = fb_maintenance_windows(snapshot, machine);
    fb_day_t day = ended.start;
    while (day <= ended.end) {
        fb_day_t next = ended.end + 1; /* the first day on which another window begins */
        fb_day_t covered = day - 1;    /* the last day that a window which holds `day` has */
        for (uint32_t i = 0; i < windows->count; i++) {
            fb_window_t other = fb_maintenance_window(snapshot, windows->ids[i]);
            if (other.id == ended.id || other.end < day)
                continue;
            if (other.start <= day)
                covered = other.end > covered ? other.end : covered;
            else if (other.start < next)
                next = other.start;
        }
        if (covered >= day) {
            day = covered + 1;
            continue;
        }
        fb_change_days(change, FB_PLANE_MAINTENANCE, machine, day, next - 1, false);
        day = next;
    }
}

/* The first of the windows that have days after `day`; its id is 0 where there is none. */
static fb_window_t next_window(const fb_snapshot_t *snapshot, const fb_children_t *windows,
                               fb_day_t day)
{
    fb_window_t next = {.id = 0};
    for (uint32_t i = 0; i < windows->count; i++) {
        fb_window_t window = fb_maintenance_window(snapshot, windows->ids[i]);
        if (window.end > day && (next.id == 0 || window.start < next.start))
            next = window;
    }
    return next;
}

void fb_maintenance_end_all(const fb_snapshot_t *snapshot, uint32_t machine, fb_change_t *change)
{
    const fb_children_t *windows = fb_maintenance_windows(snapshot, machine);
    fb_day_t cleared = FB_DAY_MIN - 1; /* up to this day */
    if (windows == NULL)
        return;
    /* Windows overlap: each day is cleared once, whatever their number. */
    for (;;) {
        fb_window_t window = next_window(snapshot, windows, cleared);
        if (window.id == 0)
            break;
        fb_day_t from = window.start > cleared ? window.start : cleared + 1;
        fb_change_days(change, FB_PLANE_MAINTENANCE, machine, from, window.end, false);
        cleared = window.end;
    }
    for (uint32_t i = 0; i < windows->count; i++)
        fb_change_delete(change, FB_MAINTENANCE, windows->ids[i]);
}

/* --- reads ------------------------------------------------------------------------------- */

/* The window of the path, which must be one of the machine of the path. */
static fb_code_t require_window(const fb_snapshot_t *snapshot, const fb_args_t *args,
                                const fb_row_t **row, fb_error_t *error)
{
    const fb_row_t *machine;
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, args->ids[0], &machine, error);
    if (code != FB_OK)
        return code;
    *row = fb_snapshot_row(snapshot, FB_MAINTENANCE, args->ids[1]);
    if (*row != NULL && fb_row_value(*row, fields, WINDOW_MACHINE).number == args->ids[0])
        return FB_OK;
    return fb_fail(error, FB_NOT_FOUND, "machine %u has no window %u", args->ids[0], args->ids[1]);
}

static fb_code_t render_list(const fb_snapshot_t *snapshot, const fb_args_t *args,
                             fb_buffer_t *body, fb_error_t *error)
{
    const fb_row_t *machine;
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, args->ids[0], &machine, error);
    if (code != FB_OK)
        return code;
    const fb_children_t *windows = fb_maintenance_windows(snapshot, args->ids[0]);
    fb_buffer_put_literal(body, "{\"windows\":[");
    for (uint32_t i = 0; windows != NULL && i < windows->count; i++) {
        if (i > 0)
            fb_buffer_put_char(body, ',');
        const fb_row_t *row = fb_snapshot_row(snapshot, FB_MAINTENANCE, windows->ids[i]);
        fb_put_row(snapshot, FB_MAINTENANCE, row, body);
    }
    fb_buffer_put_literal(body, "]}");
    return FB_OK;
}

static fb_code_t render_one(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                            fb_error_t *error)
{
    const fb_row_t *row;
    fb_code_t code = require_window(snapshot, args, &row, error);
    if (code == FB_OK)
        fb_put_row(snapshot, FB_MAINTENANCE, row, body);
    return code;
}

static uint64_t stamp(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    return fb_machine_changed(snapshot, args->ids[0]);
}

static const fb_view_t views[] = {
    {"/v1/machines/{id}/maintenance", "the windows of a machine", NULL, 0, render_list, stamp,
     FB_SOURCE_SNAPSHOT},
    {"/v1/machines/{id}/maintenance/{window}", "one window", NULL, 0, render_one, stamp,
     FB_SOURCE_SNAPSHOT},
};

/* --- writes ------------------------------------------------------------------------------ */

enum { BODY_START, BODY_END, BODY_DURATION, BODY_REASON, BODY_OVERRIDE };

static const fb_field_t create_body[] = {
    [BODY_START] = {"start_date", "the first day; today if not given", FB_DAY_MIN, FB_DAY_MAX,
                    FB_KIND_DATE, 0},
    [BODY_END] = {"end_date", "the last day; or give duration_days", FB_DAY_MIN, FB_DAY_MAX,
                  FB_KIND_DATE, 0},
    [BODY_DURATION] = {"duration_days", "how many days; or give end_date", 1, FB_WINDOW_DAYS_MAX,
                       FB_KIND_INTEGER, 0},
    [BODY_REASON] = {"reason", "why", 0, 1000, FB_KIND_TEXT, FB_NULLABLE | FB_MULTILINE},
    [BODY_OVERRIDE] = {"override", "also over days that are booked", 0, 1, FB_KIND_BOOLEAN, 0},
};

static fb_code_t read_window(const fb_snapshot_t *snapshot, const fb_args_t *args,
                             fb_window_t *window, fb_error_t *error)
{
    const fb_value_t *start = &args->values[BODY_START], *end = &args->values[BODY_END];
    const fb_value_t *duration = &args->values[BODY_DURATION];
    window->start = start->given ? (fb_day_t)start->number : snapshot->today;
    if (end->given == duration->given)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("end_date"),
                             "give either end_date or duration_days%s",
                             end->given ? ", not both" : "");
    int64_t last = end->given ? end->number : window->start + duration->number - 1;
    if (last < window->start)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("end_date"),
                             "must not be before start_date%s",
                             start->given ? "" : ", which is today unless it is given");
    if (last - window->start + 1 > FB_WINDOW_DAYS_MAX)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("end_date"),
                             "a window lasts at most %d days", FB_WINDOW_DAYS_MAX);
    if (last > FB_DAY_MAX)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("duration_days"),
                             "the window must end by 2399-12-31");
    window->end = (fb_day_t)last;
    return FB_OK;
}

static fb_code_t check_bookings(const fb_snapshot_t *snapshot, uint32_t machine,
                                const fb_window_t *window, fb_error_t *error)
{
    char date[FB_DAY_TEXT_BYTES], orders[FB_BOOKINGS_NAMED_BYTES];
    fb_day_t day = window->start;
    while (day <= window->end && !fb_snapshot_has_day(snapshot, FB_PLANE_BOOKED, day, machine))
        day++;
    if (day > window->end)
        return FB_OK;
    size_t count = fb_bookings_name(snapshot, machine, window->start, window->end, false, orders,
                                    sizeof(orders));
    fb_day_format(day, date);
    return fb_fail_field(error, FB_CONFLICT, FB_SLICE("start_date"),
                         "machine %u is booked on %.*s%s%s; \"override\": true puts it in "
                         "maintenance all the same",
                         machine, FB_DAY_TEXT_BYTES, date, count > 0 ? ", by " : "",
                         count > 0 ? orders : "");
}

static fb_code_t plan_create(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    const fb_row_t *machine;
    fb_window_t window = {0};
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, args->ids[0], &machine, error);
    if (code == FB_OK)
        code = read_window(snapshot, args, &window, error);
    if (code == FB_OK && !args->values[BODY_OVERRIDE].number)
        code = check_bookings(snapshot, machine->id, &window, error);
    if (code != FB_OK)
        return code;
    const fb_children_t *windows = fb_maintenance_windows(snapshot, machine->id);
    uint32_t last = snapshot->families[FB_MAINTENANCE].last_id;
    if (last == UINT32_MAX || (windows != NULL && windows->count >= FB_WINDOWS_A_MACHINE))
        return fb_fail(error, FB_CONFLICT, "machine %u has %u windows already; end some first",
                       machine->id, windows ? windows->count : 0);
    const fb_value_t *reason = &args->values[BODY_REASON];
    fb_value_t values[FB_FIELDS_MAX] = {
        [WINDOW_MACHINE] = {.given = true, .number = machine->id},
        [WINDOW_START] = {.given = true, .number = window.start},
        [WINDOW_END] = {.given = true, .number = window.end},
        [WINDOW_REASON] = {.given = true,
                           .null = !reason->given || reason->null,
                           .text = reason->text},
        [WINDOW_CREATED] = {.given = true, .number = args->now},
    };
    fb_change_put(&plan->change, FB_MAINTENANCE, last + 1, values);
    fb_change_days(&plan->change, FB_PLANE_MAINTENANCE, machine->id, window.start, window.end,
                   true);
    plan->ids[0] = machine->id;
    plan->ids[1] = last + 1;
    return FB_OK;
}

static fb_code_t plan_end(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                          fb_error_t *error)
{
    const fb_row_t *row;
    fb_code_t code = require_window(snapshot, args, &row, error);
    if (code != FB_OK)
        return code;
    clear_days(snapshot, args->ids[0], fb_maintenance_window(snapshot, row->id), &plan->change);
    fb_change_delete(&plan->change, FB_MAINTENANCE, row->id);
    return FB_OK;
}

static const fb_command_t commands[] = {
    {"POST", "/v1/machines/{id}/maintenance", "puts a machine in maintenance", create_body,
     FB_COUNT(create_body), FB_BODY_NEW, FB_ANSWER_CREATED, &views[1], &views[0], plan_create},
    {"DELETE", "/v1/machines/{id}/maintenance/{window}", "ends a window", NULL, 0, FB_BODY_NEW,
     FB_ANSWER_EMPTY, NULL, &views[1], plan_end},
};

const fb_resource_t fb_maintenance = {
    .name = "maintenance",
    .row_name = "window",
    .topic = "maintenance",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_COUNT(fields),
    .views = views,
    .view_count = FB_COUNT(views),
    .commands = commands,
    .command_count = FB_COUNT(commands),
};
