/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/archive.h"
#include "resources/bookings.h"
#include "tests/unit/resources/fleet.h"

/* What the tests of orders have in common. */

/* A command of the workers, upon what the stage shows now; the payload is replaced. */
static inline fb_code_t orders_ask(fb_stage_t *stage, const fb_command_t *command, fb_instant_t now,
                                   const uint32_t *ids, unsigned count, written_t *written)
{
    fb_args_t args = {.now = now};
    fb_plan_t plan = {0};
    written->error = (fb_error_t){0};
    written->payload.len = 0;
    fb_orders_ask(&args, ids, count, command == &fb_orders_take ? "here" : NULL);
    fb_code_t code = command->plan(fb_stage_view(stage), &args, &plan, &written->error);
    assert_int_equal(code, written->error.code);
    if (code == FB_OK) {
        fb_change_encode(&plan.change, &written->payload);
        fb_stage_apply(stage, &plan.change);
    }
    fb_change_dispose(&plan.change);
    fb_args_dispose(&args);
    return code;
}

/* Reads as a client does that waits for the archive: rows that are not in the snapshot come from
 * `redis`, which has them all. */
static inline fb_code_t orders_read(const fb_snapshot_t *snapshot, const fb_snapshot_t *redis,
                                    const char *target, fb_buffer_t *body, fb_error_t *error)
{
    fb_archive_ask_t ask = {0};
    fb_route_t route;
    body->len = 0;
    *error = (fb_error_t){0};
    fb_code_t code = read_target(target, &route, &ask.args, error);
    if (code == FB_OK)
        code = route.view->render(snapshot, &ask.args, body, error);
    if (code == FB_ARCHIVED) {
        assert_int_equal(body->len, 0);
        *error = (fb_error_t){0};
        ask.view = route.view;
        route.resource->archive->begin(snapshot, &ask);
        assert_in_range(ask.id_count, 1, FB_ARCHIVE_READS_MAX);
        for (unsigned i = 0; i < ask.id_count && ask.wanted > 0; i++) {
            const fb_row_t *row = fb_snapshot_row(redis, FB_ORDERS, ask.ids[i]);
            fb_value_t values[FB_FIELDS_MAX];
            assert_true(i == 0 || ask.ids[i] < ask.ids[i - 1]);
            assert_null(fb_snapshot_row(snapshot, FB_ORDERS, ask.ids[i]));
            for (unsigned f = 0; row != NULL && f < FB_ORDER_FIELDS; f++)
                values[f] = fb_order_value(row, f);
            if (row != NULL)
                route.resource->archive->add(&ask, ask.ids[i], values);
        }
        code = route.resource->archive->end(&ask, error);
        fb_buffer_put_slice(body, fb_buffer_slice(&ask.body));
    }
    fb_archive_ask_dispose(&ask);
    assert_int_equal(code, error->code);
    return code;
}

static inline void assert_order(const fb_snapshot_t *snapshot, uint32_t id, const char *expected)
{
    char target[40];
    snprintf(target, sizeof(target), "/v1/orders/%u", id);
    assert_reads(snapshot, target, expected);
    snprintf(target, sizeof(target), "/get_order/%u", id);
    assert_reads(snapshot, target, expected);
}

/* --- a fleet of three machines ------------------------------------------------------------- */

#define ORDER(rest) "{\"user_id\":7,\"item_ids\":[1,2],\"total_amount\":12.5" rest "}"
#define DATES       ",\"start_date\":\"2026-11-23\",\"end_date\":\"2026-11-25\""
#define HELD        DATES ",\"hold_seconds\":60"

/* How the order that these ask for begins and goes on. */
#define HEAD(id, state)                                                                            \
    "{\"id\":" #id ",\"user_id\":7,\"item_ids\":[1,2],\"total_amount\":12.50,\"status\":\"" state  \
    "\",\"created_at\":\"2026-11-21T12:00:00.000Z\""
#define AT(ms) "\"2026-11-21T12:00:00." #ms "Z\""

typedef struct {
    history_t history;
    fb_stage_t *stage;
    const fb_snapshot_t *view;
    fb_instant_t now;
    written_t written;
} fleet_t;

static inline int set_up(void **state)
{
    fleet_t *fleet = calloc(1, sizeof(*fleet));
    char body[100];
    fleet->history = history_create(1);
    fleet->stage = fb_stage_begin(history_now(&fleet->history));
    fleet->view = fb_stage_view(fleet->stage);
    fleet->now = NOON;
    for (int i = 1; i <= 3; i++) {
        snprintf(body, sizeof(body), "{\"label\":\"m\",\"inventory_id\":\"%d\",\"type\":\"crane\"}",
                 i);
        must_write(fleet->stage, "POST", "/v1/machines", body);
    }
    *state = fleet;
    return 0;
}

static inline int tear_down(void **state)
{
    fleet_t *fleet = *state;
    history_push(&fleet->history, &fleet->stage);
    history_dispose(&fleet->history);
    fb_buffer_dispose(&fleet->written.payload);
    free(fleet);
    return 0;
}

static inline void write_ok(fleet_t *fleet, const char *method, const char *path, const char *body)
{
    if (fleet_write(fleet->stage, fleet->now, method, path, body, &fleet->written) != FB_OK)
        fail_msg("%s %s %s: %s", method, path, body, fleet->written.error.detail);
}

/* Fails, and says so. */
static inline void write_fails(fleet_t *fleet, const char *method, const char *path,
                               const char *body, fb_code_t code, const char *field,
                               const char *detail)
{
    fleet_write(fleet->stage, fleet->now, method, path, body, &fleet->written);
    assert_error(&fleet->written.error, code, field);
    const fb_error_t *error = &fleet->written.error;
    assert_string_equal(field != NULL ? error->fields[0].detail : error->detail, detail);
}

static inline void create(fleet_t *fleet, const char *body)
{
    write_ok(fleet, "POST", "/v1/orders", body);
}

static inline fb_code_t ask_fleet(fleet_t *fleet, const fb_command_t *command, uint32_t first,
                                  uint32_t last)
{
    uint32_t ids[10];
    unsigned count = 0;
    for (uint32_t id = first; id <= last; id++)
        ids[count++] = id;
    return orders_ask(fleet->stage, command, fleet->now, ids, count, &fleet->written);
}

/* The days from the 22nd to the 26th on which a machine is booked: ".111." */
static inline void assert_booked(const fleet_t *fleet, uint32_t machine, const char *expected)
{
    char days[6] = "";
    for (int i = 0; i < 5; i++) {
        uint32_t order = fb_booking_on(fleet->view, machine, TODAY + 1 + i);
        bool is_booked = fb_snapshot_has_day(fleet->view, FB_PLANE_BOOKED, TODAY + 1 + i, machine);
        assert_int_equal(is_booked, order != 0);
        days[i] = is_booked ? (char)('0' + order) : '.';
    }
    assert_string_equal(days, expected);
}

static inline void assert_payload(const fleet_t *fleet, const char *expected)
{
    assert_text(fb_buffer_slice(&fleet->written.payload), expected);
}
