/* SPDX-License-Identifier: MIT */
#include "resources/equipment.h"

#include "base/assert.h"
#include "resources/cursor.h"
#include "resources/listing.h"

#define UPDATED_BY_BYTES_MAX 100
#define NOTE_BYTES_MAX       1000
#define INSTANT_MAX          (((fb_instant_t)FB_DAY_MAX + 1) * 86400000 - 1)

const char *const fb_equipment_states[FB_EQUIPMENT_STATES] = {"green", "yellow", "red"};

/* Each is a member of the row and of what is reported. */
#define STATUS_FIELD(flags)                                                                        \
    {                                                                                              \
        "status", "green, yellow or red", 1, 16, FB_KIND_TEXT, flags                               \
    }
#define UPDATED_AT_FIELD                                                                           \
    {                                                                                              \
        "updated_at", "when it was reported", 0, INT64_MAX, FB_KIND_INSTANT, FB_ASSIGNED           \
    }
#define UPDATED_BY_FIELD                                                                           \
    {                                                                                              \
        "updated_by", "who reported it", 1, UPDATED_BY_BYTES_MAX, FB_KIND_TEXT, FB_REQUIRED        \
    }
#define NOTE_FIELD                                                                                 \
    {                                                                                              \
        "note", "free text", 0, NOTE_BYTES_MAX, FB_KIND_TEXT, FB_NULLABLE | FB_MULTILINE           \
    }

static const fb_field_t fields[] = {
    [FB_EQUIPMENT_STATUS] = STATUS_FIELD(FB_REQUIRED | FB_FACET),
    [FB_EQUIPMENT_UPDATED_AT] = UPDATED_AT_FIELD,
    [FB_EQUIPMENT_UPDATED_BY] = UPDATED_BY_FIELD,
    [FB_EQUIPMENT_NOTE] = NOTE_FIELD,
};

static const fb_bitmap_t no_machines = {0};

static const fb_bitmap_t *machines_in(const fb_snapshot_t *snapshot, fb_slice_t status)
{
    const fb_bitmap_t *rows =
        fb_snapshot_facet(snapshot, FB_EQUIPMENT, FB_EQUIPMENT_STATUS, status);
    return rows != NULL ? rows : &no_machines;
}

static fb_code_t check_status(fb_slice_t status, fb_error_t *error)
{
    for (unsigned i = 0; i < FB_EQUIPMENT_STATES; i++) {
        if (fb_slice_is(status, fb_equipment_states[i]))
            return FB_OK;
    }
    return fb_fail_field(error, FB_INVALID, FB_SLICE("status"), "must be green, yellow or red");
}

fb_code_t fb_equipment_find(const fb_snapshot_t *snapshot, fb_slice_t status,
                            const fb_bitmap_t **machines, fb_error_t *error)
{
    *machines = machines_in(snapshot, status);
    return check_status(status, error);
}

void fb_equipment_retire(const fb_snapshot_t *snapshot, uint32_t machine, fb_change_t *change)
{
    if (fb_snapshot_row(snapshot, FB_EQUIPMENT, machine) != NULL)
        fb_change_delete(change, FB_EQUIPMENT, machine);
}

/* --- reads ------------------------------------------------------------------------------- */

enum { LIST_STATUS, LIST_LIMIT, LIST_CURSOR };

static const fb_field_t list_query[] = {
    [LIST_STATUS] = FB_STATUS_FIELD,
    [LIST_LIMIT] = FB_LIMIT_FIELD,
    [LIST_CURSOR] = FB_CURSOR_FIELD,
};

static const fb_field_t history_query[] = {
    [FB_HISTORY_FROM] = {"from", "the first instant; the beginning if not given", 0, INSTANT_MAX,
                         FB_KIND_INSTANT, 0},
    [FB_HISTORY_TO] = {"to", "the last instant; now if not given", 0, INSTANT_MAX, FB_KIND_INSTANT,
                       0},
    [FB_HISTORY_LIMIT] = {"limit", "the most entries on a page; 100 if not given", 1, 1000,
                          FB_KIND_INTEGER, 0},
    [FB_HISTORY_CURSOR] = FB_CURSOR_FIELD,
};

static const fb_field_t stream_query[] = {
    [FB_STREAM_TOPICS] = {"topics", "only events of these topics, with commas between them", 0, 200,
                          FB_KIND_TEXT, 0},
    [FB_STREAM_LAST_EVENT_ID] = {"last_event_id",
                                 "the last event that was seen: what came after it follows", 0, 64,
                                 FB_KIND_TEXT, 0},
};

static const fb_view_t views[4];

/* Those who have not reported anything are unknown. */
static void put_counts(const fb_snapshot_t *snapshot, fb_buffer_t *body)
{
    const fb_bitmap_t *reported = &snapshot->families[FB_EQUIPMENT].exists;
    const fb_bitmap_filter_t unknown = {
        .all = &snapshot->families[FB_MACHINES].exists, .without = &reported, .without_count = 1};
    fb_buffer_put_literal(body, "\"counts\":{");
    for (unsigned i = 0; i < FB_EQUIPMENT_STATES; i++) {
        const fb_bitmap_t *rows = machines_in(snapshot, fb_slice(fb_equipment_states[i]));
        fb_buffer_printf(body, "\"%s\":%llu,", fb_equipment_states[i],
                         (unsigned long long)rows->count);
    }
    fb_buffer_put_literal(body, "\"unknown\":");
    fb_buffer_put_u64(body, fb_bitmap_count(&unknown));
    fb_buffer_put_char(body, '}');
}

static fb_code_t render_list(const fb_snapshot_t *snapshot, const fb_args_t *args,
                             fb_buffer_t *body, fb_error_t *error)
{
    const fb_value_t *status = &args->values[LIST_STATUS];
    fb_bitmap_filter_t filter = {.all = &snapshot->families[FB_EQUIPMENT].exists};
    fb_page_t page;
    if (status->given && fb_equipment_find(snapshot, status->text, &filter.all, error) != FB_OK)
        return error->code;
    if (fb_page_find(snapshot, FB_EQUIPMENT, &filter, &views[0], args, true, &page, error) != FB_OK)
        return error->code;
    fb_buffer_reserve(body, page.bytes);
    fb_buffer_put_char(body, '{');
    put_counts(snapshot, body);
    fb_buffer_put_literal(body, ",\"count\":");
    fb_buffer_put_u64(body, page.count);
    fb_buffer_put_char(body, ',');
    fb_page_put(snapshot, &page, "machines", body);
    fb_buffer_put_char(body, '}');
    return FB_OK;
}

static uint64_t stamp_list(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    uint64_t states = snapshot->families[FB_EQUIPMENT].changed;
    uint64_t machines = snapshot->families[FB_MACHINES].changed; /* how many are unknown */
    (void)args;
    return fb_latest(states, machines);
}

static fb_code_t render_one(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                            fb_error_t *error)
{
    const fb_row_t *machine, *row = fb_snapshot_row(snapshot, FB_EQUIPMENT, args->ids[0]);
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, args->ids[0], &machine, error);
    if (code != FB_OK)
        return code;
    if (row != NULL)
        fb_put_row(snapshot, FB_EQUIPMENT, row, body);
    else
        fb_buffer_printf(body,
                         "{\"machine_id\":%u,\"status\":null,\"updated_at\":null,"
                         "\"updated_by\":null,\"note\":null}",
                         machine->id);
    return FB_OK;
}

static uint64_t stamp_one(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_EQUIPMENT, args->ids[0]);
    if (fb_snapshot_row(snapshot, FB_MACHINES, args->ids[0]) == NULL)
        return UINT64_MAX;
    return row != NULL ? row->changed : 0;
}

static const fb_view_t views[] = {
    {"/v1/status", "how many machines are in each state, and which", list_query,
     FB_COUNT(list_query), render_list, stamp_list, FB_SOURCE_SNAPSHOT},
    {"/v1/machines/{id}/status", "the state of a machine", NULL, 0, render_one, stamp_one,
     FB_SOURCE_SNAPSHOT},
    {"/v1/machines/{id}/history", "the states that a machine was in, the newest first",
     history_query, FB_COUNT(history_query), NULL, NULL, FB_SOURCE_HISTORY},
    {"/v1/stream", "every change as it happens, as server-sent events", stream_query,
     FB_COUNT(stream_query), NULL, NULL, FB_SOURCE_EVENTS},
};

/* --- writes ------------------------------------------------------------------------------ */

/* The row's fields stand behind the machine, in their order. */
enum { BODY_MACHINE, BODY_FIELDS };

static const fb_field_t one_body[] = {
    [BODY_MACHINE] = {"machine_id", "the machine", 1, UINT32_MAX, FB_KIND_INTEGER,
                      FB_ASSIGNED | FB_OWN_ID},
    [BODY_FIELDS + FB_EQUIPMENT_STATUS] = STATUS_FIELD(FB_REQUIRED),
    [BODY_FIELDS + FB_EQUIPMENT_UPDATED_AT] = UPDATED_AT_FIELD,
    [BODY_FIELDS + FB_EQUIPMENT_UPDATED_BY] = UPDATED_BY_FIELD,
    [BODY_FIELDS + FB_EQUIPMENT_NOTE] = NOTE_FIELD,
};

static const fb_field_t each_body[] = {
    [BODY_MACHINE] = {"machine_id", "the machine", 1, UINT32_MAX, FB_KIND_INTEGER, FB_REQUIRED},
    [BODY_FIELDS + FB_EQUIPMENT_STATUS] = STATUS_FIELD(FB_REQUIRED),
    [BODY_FIELDS + FB_EQUIPMENT_UPDATED_AT] = UPDATED_AT_FIELD,
    [BODY_FIELDS + FB_EQUIPMENT_UPDATED_BY] = UPDATED_BY_FIELD,
    [BODY_FIELDS + FB_EQUIPMENT_NOTE] = NOTE_FIELD,
};

/* What happened later stands later, whatever became of the clock. */
static fb_instant_t not_before(const fb_row_t *row, fb_instant_t now)
{
    fb_instant_t last = row != NULL ? fb_row_value(row, fields, FB_EQUIPMENT_UPDATED_AT).number : 0;
    return last > now ? last : now;
}

static fb_code_t report(const fb_snapshot_t *snapshot, const fb_args_t *args, uint32_t machine,
                        fb_plan_t *plan, fb_error_t *error)
{
    const fb_row_t *row, *before = fb_snapshot_row(snapshot, FB_EQUIPMENT, machine);
    fb_value_t values[FB_FIELDS_MAX];
    fb_code_t code = fb_require_row(snapshot, FB_MACHINES, machine, &row, error);
    if (code == FB_OK)
        code = check_status(args->values[BODY_FIELDS + FB_EQUIPMENT_STATUS].text, error);
    if (code != FB_OK)
        return code;
    memcpy(values, &args->values[BODY_FIELDS],
           sizeof(fields) / sizeof(fields[0]) * sizeof(*values));
    values[FB_EQUIPMENT_UPDATED_AT] =
        (fb_value_t){.given = true, .number = not_before(before, args->now)};
    values[FB_EQUIPMENT_NOTE].null |= !values[FB_EQUIPMENT_NOTE].given;
    fb_change_put(&plan->change, FB_EQUIPMENT, machine, values);
    plan->ids[0] = machine;
    return FB_OK;
}

static fb_code_t plan_one(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                          fb_error_t *error)
{
    return report(snapshot, args, args->ids[0], plan, error);
}

static fb_code_t plan_each(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                           fb_error_t *error)
{
    return report(snapshot, args, (uint32_t)args->values[BODY_MACHINE].number, plan, error);
}

static const fb_command_t commands[] = {
    {"PUT", "/v1/machines/{id}/status", "reports the state of a machine", one_body,
     FB_COUNT(one_body), FB_BODY_REPLACE, FB_ANSWER_SHOWN, &views[1], &views[1], plan_one},
    {"POST", "/v1/status", "reports the states of up to 1,000 machines", each_body,
     FB_COUNT(each_body), FB_BODY_EACH, FB_ANSWER_RESULTS, &views[1], &views[0], plan_each},
};

const fb_resource_t fb_equipment = {
    .name = "status",
    .row_name = "status",
    .id_name = "machine_id",
    .topic = "status",
    .history = "history",
    .history_at = FB_EQUIPMENT_UPDATED_AT,
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_COUNT(fields),
    .views = views,
    .view_count = FB_COUNT(views),
    .commands = commands,
    .command_count = FB_COUNT(commands),
};
