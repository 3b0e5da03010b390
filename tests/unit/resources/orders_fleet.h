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
