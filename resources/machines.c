/* SPDX-License-Identifier: MIT */
#include "resources/machines.h"

#include "resources/bookings.h"
#include "resources/cursor.h"
#include "resources/equipment.h"
#include "resources/listing.h"
#include "resources/maintenance.h"

#define TYPES_NAMED_BYTES 120          /* of the list of types in an error */
#define PRICE_MAX         100000000000 /* a thousand millions, in minor units */

static const fb_field_t fields[] = {
    [FB_MACHINE_LABEL] = {"label", "what people call it", 1, 200, FB_KIND_TEXT, FB_REQUIRED},
    [FB_MACHINE_INVENTORY_ID] = {"inventory_id", "the owner's own number; unique in the fleet", 1,
                                 100, FB_KIND_TEXT, FB_REQUIRED | FB_UNIQUE},
    [FB_MACHINE_TYPE] = {"type", "one of the fleet's types", 1, 64, FB_KIND_TEXT,
                         FB_REQUIRED | FB_FACET},
    [FB_MACHINE_PRICE] = {"price_per_day", "in the fleet's currency", 0, PRICE_MAX, FB_KIND_MONEY,
                          FB_NULLABLE},
    [FB_MACHINE_DESCRIPTION] = {"description", "free text", 0, 4000, FB_KIND_TEXT,
                                FB_NULLABLE | FB_MULTILINE},
    [FB_MACHINE_CREATED] = {"creation_date", "when it was created", 0, INT64_MAX, FB_KIND_INSTANT,
                            FB_ASSIGNED},
    [FB_MACHINE_UPDATED] = {"updated_at", "when it was last written", 0, INT64_MAX, FB_KIND_INSTANT,
                            FB_ASSIGNED},
};

static const fb_field_t computed[] = {
    {"in_maintenance", "is it in maintenance today?", 0, 1, FB_KIND_BOOLEAN, FB_ASSIGNED},
    {"maintenance_start_date", "of the window of today, or of the next one", FB_DAY_MIN, FB_DAY_MAX,
     FB_KIND_DATE, FB_ASSIGNED | FB_NULLABLE},
    {"maintenance_end_date", "the last day of that window", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE,
     FB_ASSIGNED | FB_NULLABLE},
};

static const fb_bitmap_t no_machines = {0};

static void put_computed(const fb_snapshot_t *snapshot, const fb_row_t *row, fb_buffer_t *body)
{
    bool in_maintenance =
        fb_snapshot_has_day(snapshot, FB_PLANE_MAINTENANCE, snapshot->today, row->id);
    fb_window_t window;
    bool has_window = fb_maintenance_current(snapshot, row->id, &window);
    if (!in_maintenance && !has_window) { /* most machines: all at once */
        fb_buffer_put_literal(body, ",\"in_maintenance\":false,\"maintenance_start_date\":null,"
                                    "\"maintenance_end_date\":null");
        return;
    }
    fb_buffer_put_literal(body, ",\"in_maintenance\":");
    fb_buffer_put_text(body, in_maintenance ? "true" : "false");
    if (!has_window) {
        fb_buffer_put_literal(body,
                              ",\"maintenance_start_date\":null,\"maintenance_end_date\":null");
        return;
    }
    fb_buffer_put_literal(body, ",\"maintenance_start_date\":");
    fb_json_put_day(body, window.start);
    fb_buffer_put_literal(body, ",\"maintenance_end_date\":");
    fb_json_put_day(body, window.end);
}

fb_code_t fb_machine_check_type(const fb_snapshot_t *snapshot, fb_slice_t type, fb_error_t *error)
{
    const fb_rules_t *rules = snapshot->rules;
    for (unsigned i = 0; i < rules->machine_type_count; i++) {
        if (fb_slice_is(type, rules->machine_types[i]))
            return FB_OK;
    }
    /* A type that was taken out of the configuration stays with the machines that have it. */
    if (fb_snapshot_facet(snapshot, FB_MACHINES, FB_MACHINE_TYPE, type) != NULL)
        return FB_OK;
    fb_buffer_t known = {0};
    unsigned named = 0;
    for (; named < rules->machine_type_count && known.len < TYPES_NAMED_BYTES; named++) {
        fb_buffer_put_text(&known, named ? ", " : "");
        fb_buffer_put_text(&known, rules->machine_types[named]);
    }
    if (named < rules->machine_type_count)
        fb_buffer_printf(&known, " and %u more", rules->machine_type_count - named);
    int shown = type.len > 64 ? 64 : (int)type.len;
    fb_fail_field(error, FB_INVALID, FB_SLICE("type"),
                  "\"%.*s\" is none of the fleet's types: %.*s", shown, type.at,
                  FB_PRINT(fb_buffer_slice(&known)));
    fb_buffer_dispose(&known);
    return error->code;
}

const fb_bitmap_t *fb_machines_of_type(const fb_snapshot_t *snapshot, fb_slice_t type)
{
    const fb_bitmap_t *rows = fb_snapshot_facet(snapshot, FB_MACHINES, FB_MACHINE_TYPE, type);
    return rows ? rows : &no_machines;
}

fb_code_t fb_machines_filter(const fb_snapshot_t *snapshot, const fb_value_t *type,
                             fb_bitmap_filter_t *filter, fb_error_t *error)
{
    *filter = (fb_bitmap_filter_t){.all = &snapshot->families[FB_MACHINES].exists};
    if (!type->given)
        return FB_OK;
    filter->also = fb_machines_of_type(snapshot, type->text);
    return fb_machine_check_type(snapshot, type->text, error);
}

uint64_t fb_machines_changed(const fb_snapshot_t *snapshot)
{
    uint64_t machines = snapshot->families[FB_MACHINES].changed;
    uint64_t windows = snapshot->families[FB_MAINTENANCE].changed;
    return fb_latest(fb_latest(machines, windows), snapshot->today_changed);
}

uint64_t fb_machine_changed(const fb_snapshot_t *snapshot, uint32_t id)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_MACHINES, id);
    const fb_children_t *windows = fb_maintenance_windows(snapshot, id);
    if (row == NULL)
        return UINT64_MAX;
    return fb_latest(fb_latest(row->changed, windows ? windows->changed : 0),
                     snapshot->today_changed);
}

/* --- reads ------------------------------------------------------------------------------- */

enum { LIST_TYPE, LIST_STATUS, LIST_LIMIT, LIST_CURSOR };

static const fb_field_t list_query[] = {
    [LIST_TYPE] = FB_TYPE_FIELD,
    [LIST_STATUS] = FB_STATUS_FIELD,
    [LIST_LIMIT] = FB_LIMIT_FIELD,
    [LIST_CURSOR] = FB_CURSOR_FIELD,
};

static const fb_view_t views[2];

static fb_code_t render_list(const fb_snapshot_t *snapshot, const fb_args_t *args,
                             fb_buffer_t *body, fb_error_t *error)
{
    const fb_value_t *status = &args->values[LIST_STATUS];
    fb_bitmap_filter_t filter;
    if (fb_machines_filter(snapshot, &args->values[LIST_TYPE], &filter, error) != FB_OK)
        return error->code;
    if (status->given && fb_equipment_find(snapshot, status->text, &filter.all, error) != FB_OK)
        return error->code;
    fb_page_t page;
    if (fb_page_find(snapshot, FB_MACHINES, &filter, &views[0], args, false, &page, error) != FB_OK)
        return error->code;
    fb_buffer_reserve(body, page.bytes);
    fb_buffer_put_char(body, '{');
    fb_page_put(snapshot, &page, "machines", body);
    fb_buffer_put_char(body, '}');
    return FB_OK;
}

static uint64_t stamp_list(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    uint64_t machines = fb_machines_changed(snapshot);
    uint64_t states = snapshot->families[FB_EQUIPMENT].changed;
    return args->values[LIST_STATUS].given ? fb_latest(machines, states) : machines;
}

static fb_code_t render_one(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                            fb_error_t *error)
{
    const fb_row_t *row;
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, args->ids[0], &row, error);
    if (code == FB_OK)
        fb_put_row(snapshot, FB_MACHINES, row, body);
    return code;
}

static uint64_t stamp_one(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    return fb_machine_changed(snapshot, args->ids[0]);
}

static const fb_view_t views[] = {
    {"/v1/machines", "the machines, by id", list_query, FB_COUNT(list_query), render_list,
     stamp_list, FB_SOURCE_SNAPSHOT},
    {"/v1/machines/{id}", "one machine", NULL, 0, render_one, stamp_one, FB_SOURCE_SNAPSHOT},
};

/* --- writes ------------------------------------------------------------------------------ */

static fb_code_t check_inventory_id(const fb_snapshot_t *snapshot, uint32_t own_id,
                                    fb_slice_t inventory_id, fb_error_t *error)
{
    uint32_t first = fb_snapshot_find(snapshot, FB_MACHINES, FB_MACHINE_INVENTORY_ID, inventory_id);
    if (first == 0 || first == own_id)
        return FB_OK;
    return fb_fail_field(error, FB_CONFLICT, FB_SLICE("inventory_id"),
                         "\"%.*s\" is already that of machine %u (/v1/machines/%u)",
                         FB_PRINT(inventory_id), first, first);
}

/* What a machine must be, whoever writes it. */
static fb_code_t check(const fb_snapshot_t *snapshot, uint32_t id, const fb_value_t *values,
                       fb_error_t *error)
{
    fb_code_t code = fb_machine_check_type(snapshot, values[FB_MACHINE_TYPE].text, error);
    if (code != FB_OK)
        return code;
    return check_inventory_id(snapshot, id, values[FB_MACHINE_INVENTORY_ID].text, error);
}

static fb_code_t put(const fb_snapshot_t *snapshot, uint32_t id, fb_value_t *values,
                     fb_instant_t now, fb_plan_t *plan, fb_error_t *error)
{
    for (unsigned f = 0; f < FB_COUNT(fields); f++)
        values[f].null = values[f].null || !values[f].given;
    values[FB_MACHINE_UPDATED] = (fb_value_t){.given = true, .number = now};
    fb_code_t code = check(snapshot, id, values, error);
    if (code != FB_OK)
        return code;
    fb_change_put(&plan->change, FB_MACHINES, id, values);
    plan->ids[0] = id;
    return FB_OK;
}

static fb_code_t plan_create(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    fb_value_t values[FB_FIELDS_MAX];
    uint32_t last = snapshot->families[FB_MACHINES].last_id;
    memcpy(values, args->values, sizeof(values));
    values[FB_MACHINE_CREATED] = (fb_value_t){.given = true, .number = args->now};
    if (last == UINT32_MAX)
        return fb_fail(error, FB_CONFLICT, "all %u ids of machines are used", UINT32_MAX);
    return put(snapshot, last + 1, values, args->now, plan, error);
}

/* PUT: what the body does not give is null; PATCH: it stays. */
static fb_code_t update(const fb_snapshot_t *snapshot, const fb_args_t *args, bool merge,
                        fb_plan_t *plan, fb_error_t *error)
{
    fb_value_t values[FB_FIELDS_MAX];
    const fb_row_t *row;
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, args->ids[0], &row, error);
    if (code != FB_OK)
        return code;
    memcpy(values, args->values, sizeof(values));
    for (unsigned f = 0; f < FB_COUNT(fields); f++) {
        bool kept = (merge && !values[f].given) || (fields[f].flags & FB_ASSIGNED);
        if (kept)
            values[f] = fb_row_value(row, fields, f);
    }
    return put(snapshot, row->id, values, args->now, plan, error);
}

static fb_code_t plan_replace(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                              fb_error_t *error)
{
    return update(snapshot, args, false, plan, error);
}

static fb_code_t plan_patch(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                            fb_error_t *error)
{
    return update(snapshot, args, true, plan, error);
}

/* A customer counts on it. */
static fb_code_t check_orders(const fb_snapshot_t *snapshot, uint32_t machine, fb_error_t *error)
{
    char orders[FB_BOOKINGS_NAMED_BYTES];
    size_t count = fb_bookings_name(snapshot, machine, snapshot->today, FB_DAY_MAX, true, orders,
                                    sizeof(orders));
    if (count == 0)
        return FB_OK;
    return fb_fail(error, FB_CONFLICT,
                   "machine %u is booked today or later, or not yet back: see %s", machine, orders);
}

static fb_code_t plan_retire(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    const fb_row_t *row;
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, args->ids[0], &row, error);
    if (code == FB_OK)
        code = check_orders(snapshot, row->id, error);
    if (code != FB_OK)
        return code;
    fb_maintenance_end_all(snapshot, row->id, &plan->change);
    fb_equipment_retire(snapshot, row->id, &plan->change);
    fb_change_delete(&plan->change, FB_MACHINES, row->id);
    return FB_OK;
}

static const fb_command_t commands[] = {
    {"POST", "/v1/machines", "creates a machine", fields, FB_COUNT(fields), FB_BODY_NEW,
     FB_ANSWER_CREATED, &views[1], &views[0], plan_create},
    {"PUT", "/v1/machines/{id}", "replaces a machine", fields, FB_COUNT(fields), FB_BODY_REPLACE,
     FB_ANSWER_SHOWN, &views[1], &views[1], plan_replace},
    {"PATCH", "/v1/machines/{id}", "changes some members of a machine", fields, FB_COUNT(fields),
     FB_BODY_MERGE, FB_ANSWER_SHOWN, &views[1], &views[1], plan_patch},
    {"DELETE", "/v1/machines/{id}", "retires a machine: its id is never used again", NULL, 0,
     FB_BODY_NEW, FB_ANSWER_EMPTY, NULL, &views[1], plan_retire},
};

const fb_resource_t fb_machines = {
    .name = "machines",
    .row_name = "machine",
    .topic = "machine",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed = computed,
    .computed_count = FB_COUNT(computed),
    .computed_at = FB_MACHINE_CREATED,
    .put_computed = put_computed,
    .views = views,
    .view_count = FB_COUNT(views),
    .commands = commands,
    .command_count = FB_COUNT(commands),
};
