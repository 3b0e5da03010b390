/* SPDX-License-Identifier: MIT */
#include "resources/orders.h"

#include "tests/unit/resources/orders_fleet.h"

/* Every step of an order, and every refusal. */

/* --- taking orders ------------------------------------------------------------------------- */

static void an_order_is_pending_and_queued(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(""));
    assert_payload(fleet,
                   "[[\"put\",\"order\",1,{\"user_id\":\"7\",\"item_ids\":\"[1,2]\","
                   "\"total_amount\":\"12.50\",\"status\":\"PENDING\","
                   "\"created_at\":\"2026-11-21T12:00:00.000Z\"}],[\"queue\",\"orders\",1]]");
    assert_order(fleet->view, 1, HEAD(1, "PENDING") ",\"started_at\":null,\"completed_at\":null}");
    create(fleet, ORDER(",\"start_date\":null,\"end_date\":null,\"hold_seconds\":null"));
    create(fleet, "{\"user_id\":\"Ann\",\"item_ids\":[9007199254740991],\"total_amount\":0}");
    assert_order(fleet->view, 3,
                 "{\"id\":3,\"user_id\":\"Ann\",\"item_ids\":[9007199254740991],"
                 "\"total_amount\":0.00,\"status\":\"PENDING\","
                 "\"created_at\":\"2026-11-21T12:00:00.000Z\",\"started_at\":null,"
                 "\"completed_at\":null}");
    assert_int_equal(fb_orders_in(fleet->view, FB_ORDER_IS_PENDING)->count, 3);
    assert_int_equal(fb_orders_oldest_pending(fleet->view), 1);
}

static void the_old_path_answers_as_the_old_system_did(void **state)
{
    fleet_t *fleet = *state;
    fb_route_t route;
    fb_error_t error = {0};
    fb_buffer_t body = {0};
    const fb_args_t args = {.ids = {1}, .id_count = 1};
    write_ok(fleet, "POST", "/create_order", ORDER(""));
    assert_int_equal(fb_registry_route(FB_SLICE("POST"), FB_SLICE("/create_order"), &route, &error),
                     FB_OK);
    assert_int_equal(route.command->answer, FB_ANSWER_CREATED);
    assert_string_equal(route.command->shows->path, "/get_order/{id}");
    assert_int_equal(route.command->shows->render(fleet->view, &args, &body, &error), FB_OK);
    assert_text(fb_buffer_slice(&body),
                "{\"message\":\"Order created successfully!\",\"data\":" HEAD(
                    1, "PENDING") ",\"started_at\":null,\"completed_at\":null}}");
    fb_buffer_dispose(&body);
}

static void what_is_no_order_is_refused(void **state)
{
    fleet_t *fleet = *state;
    static const struct {
        const char *body, *field;
    } bad[] = {
        {"{\"item_ids\":[1],\"total_amount\":1}", "user_id"},
        {"{\"user_id\":1,\"total_amount\":1}", "item_ids"},
        {"{\"user_id\":1,\"item_ids\":[1]}", "total_amount"},
        {"{\"user_id\":true,\"item_ids\":[1],\"total_amount\":1}", "user_id"},
        {"{\"user_id\":1.5,\"item_ids\":[1],\"total_amount\":1}", "user_id"},
        {"{\"user_id\":\"\",\"item_ids\":[1],\"total_amount\":1}", "user_id"},
        {"{\"user_id\":1,\"item_ids\":[],\"total_amount\":1}", "item_ids"},
        {"{\"user_id\":1,\"item_ids\":[1,2,1],\"total_amount\":1}", "item_ids"},
        {"{\"user_id\":1,\"item_ids\":[\"1\"],\"total_amount\":1}", "item_ids"},
        {"{\"user_id\":1,\"item_ids\":[0],\"total_amount\":1}", "item_ids"},
        {"{\"user_id\":1,\"item_ids\":1,\"total_amount\":1}", "item_ids"},
        {"{\"user_id\":1,\"item_ids\":[1],\"total_amount\":-0.01}", "total_amount"},
        {"{\"user_id\":1,\"item_ids\":[1],\"total_amount\":0.001}", "total_amount"},
        {"{\"user_id\":1,\"item_ids\":[1],\"total_amount\":\"1\"}", "total_amount"},
        {ORDER(",\"status\":\"COMPLETED\""), "status"},
        {ORDER(",\"start_date\":\"2026-11-23\""), "end_date"},
        {ORDER(",\"end_date\":\"2026-11-23\",\"start_date\":null"), "start_date"},
        {ORDER(",\"start_date\":\"2026-11-20\",\"end_date\":\"2026-11-23\""), "start_date"},
        {ORDER(",\"start_date\":\"2026-11-23\",\"end_date\":\"2026-11-22\""), "end_date"},
        {ORDER(",\"start_date\":\"2026-11-21\",\"end_date\":\"2027-11-22\""), "end_date"},
        {ORDER(",\"start_date\":\"2026-02-30\",\"end_date\":\"2026-11-22\""), "start_date"},
        {ORDER(",\"hold_seconds\":60"), "hold_seconds"},
        {ORDER(DATES ",\"hold_seconds\":0"), "hold_seconds"},
        {ORDER(DATES ",\"hold_seconds\":901"), "hold_seconds"},
        {"{\"user_id\":1,\"item_ids\":[3,4],\"total_amount\":1" DATES "}", "item_ids"},
    };
    for (unsigned i = 0; i < FB_COUNT(bad); i++) {
        assert_write_fails(fleet->stage, "POST", "/v1/orders", bad[i].body, FB_INVALID,
                           bad[i].field);
        assert_write_fails(fleet->stage, "POST", "/create_order", bad[i].body, FB_INVALID,
                           bad[i].field);
    }
    assert_int_equal(fleet->view->families[FB_ORDERS].last_id, 0);
    create(fleet, ORDER(",\"start_date\":\"2026-11-21\",\"end_date\":\"2027-11-21\""));
}

static void machines_that_there_are_not_are_named(void **state)
{
    fleet_t *fleet = *state;
    write_fails(fleet, "POST", "/v1/orders",
                "{\"user_id\":1,\"item_ids\":[9,1],\"total_amount\":1" DATES "}", FB_INVALID,
                "item_ids", "the fleet has no machine 9");
    write_fails(fleet, "POST", "/v1/orders",
                "{\"user_id\":1,\"item_ids\":[9,1,4294967297],\"total_amount\":1" DATES "}",
                FB_INVALID, "item_ids", "the fleet has no machines 9 and 4294967297");
    write_fails(fleet, "POST", "/v1/orders",
                "{\"user_id\":1,\"item_ids\":[9,8,7,6,5,4,1],\"total_amount\":1" DATES "}",
                FB_INVALID, "item_ids", "the fleet has no machines 9, 8, 7, 6, 5 and 1 more");
}

static void too_many_orders_that_wait_are_refused(void **state)
{
    (void)state;
    fb_rules_t few = fleet_rules;
    few.orders_pending_max = 2;
    fb_snapshot_t *snapshot = fb_snapshot_create(&few, 1, TODAY);
    fb_stage_t *stage = fb_stage_begin(snapshot);
    must_write(stage, "POST", "/v1/orders", ORDER(""));
    must_write(stage, "POST", "/v1/orders", ORDER(""));
    assert_write_fails(stage, "POST", "/v1/orders", ORDER(""), FB_QUEUE_FULL, NULL);
    must_write(stage, "DELETE", "/v1/orders/1", "");
    must_write(stage, "POST", "/v1/orders", ORDER(""));
    assert_write_fails(stage, "POST", "/v1/orders", ORDER(""), FB_QUEUE_FULL, NULL);
    fb_stage_abort(&stage);
    fb_snapshot_destroy(&snapshot);
}

static void too_many_holds_are_refused(void **state)
{
    fleet_t *fleet = *state;
    fb_value_t values[FB_FIELDS_MAX];
    create(fleet, ORDER(HELD));
    const fb_row_t *row = fb_snapshot_row(fleet->view, FB_ORDERS, 1);
    for (unsigned f = 0; f < FB_ORDER_FIELDS; f++)
        values[f] = fb_order_value(row, f);
    for (uint32_t id = 2; id <= FB_ORDER_HOLDS_MAX; id++)
        fb_stage_put(fleet->stage, FB_ORDERS, id, values);
    assert_write_fails(fleet->stage, "POST", "/v1/orders",
                       "{\"user_id\":1,\"item_ids\":[3],\"total_amount\":1" HELD "}", FB_QUEUE_FULL,
                       NULL);
    create(fleet, ORDER(""));
    write_ok(fleet, "POST", "/v1/orders/5/confirm", "");
    write_ok(fleet, "POST", "/v1/orders",
             "{\"user_id\":1,\"item_ids\":[3],\"total_amount\":1" HELD "}");
}

/* --- processing ---------------------------------------------------------------------------- */

static void an_order_is_taken_and_finished(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(DATES));
    assert_booked(fleet, 1, ".....");
    fleet->now += 10;
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 1), FB_OK);
    assert_order(fleet->view, 1,
                 HEAD(1, "PROCESSING") ",\"started_at\":" AT(010) ",\"completed_at\":null" DATES
                                                                  ",\"worker\":\"here\"}");
    assert_booked(fleet, 1, ".111.");
    assert_booked(fleet, 2, ".111.");
    assert_booked(fleet, 3, ".....");
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 1), FB_CONFLICT);
    fleet->now += 25;
    assert_int_equal(ask_fleet(fleet, &fb_orders_finish, 1, 1), FB_OK);
    assert_order(fleet->view, 1,
                 HEAD(1, "COMPLETED") ",\"started_at\":" AT(010) ",\"completed_at\":" AT(035) DATES
                 "}");
    assert_booked(fleet, 1, ".111.");
    assert_int_equal(ask_fleet(fleet, &fb_orders_finish, 1, 1), FB_CONFLICT);
    assert_reads(fleet->view, "/metrics",
                 "{\"avg_processing_time\":\"0.0250\",\"pending_count\":0,\"processed_count\":1,"
                 "\"processing_count\":0,\"total_orders\":1}");
}

static void what_is_in_the_way_rejects_an_order(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(DATES));
    create(fleet, ORDER(DATES));
    create(fleet, "{\"user_id\":7,\"item_ids\":[2,3],\"total_amount\":1,"
                  "\"start_date\":\"2026-11-25\",\"end_date\":\"2026-11-26\"}");
    create(fleet, "{\"user_id\":7,\"item_ids\":[2,3],\"total_amount\":1,"
                  "\"start_date\":\"2026-11-26\",\"end_date\":\"2026-11-26\"}");
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 4), FB_OK);
    assert_booked(fleet, 1, ".111.");
    assert_booked(fleet, 2, ".1114");
    assert_booked(fleet, 3, "....4");
    assert_order(
        fleet->view, 2,
        HEAD(2, "REJECTED") ",\"started_at\":" AT(000) ",\"completed_at\":" AT(
            000) ",\"reason\":\"machine 1 is booked on 2026-11-23 (order 1), machine 1 is booked "
                 "on 2026-11-24 (order 1), machine 1 is booked on 2026-11-25 (order 1), machine 2 "
                 "is booked on 2026-11-23 (order 1), machine 2 is booked on 2026-11-24 (order 1) "
                 "and 1 more\"" DATES "}");
    const fb_row_t *third = fb_snapshot_row(fleet->view, FB_ORDERS, 3);
    assert_text(fb_order_value(third, FB_ORDER_REASON).text,
                "machine 2 is booked on 2026-11-25 (order 1)");
}

static void a_machine_in_maintenance_or_retired_rejects_an_order(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(DATES));
    create(fleet, "{\"user_id\":7,\"item_ids\":[3],\"total_amount\":1" DATES "}");
    write_ok(fleet, "POST", "/v1/machines/1/maintenance",
             "{\"start_date\":\"2026-11-25\",\"duration_days\":1}");
    write_ok(fleet, "DELETE", "/v1/machines/3", "");
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 2), FB_OK);
    const fb_row_t *one = fb_snapshot_row(fleet->view, FB_ORDERS, 1);
    const fb_row_t *two = fb_snapshot_row(fleet->view, FB_ORDERS, 2);
    assert_text(fb_order_value(one, FB_ORDER_REASON).text,
                "machine 1 is in maintenance on 2026-11-25");
    assert_text(fb_order_value(two, FB_ORDER_REASON).text, "the fleet has no machine 3");
    assert_int_equal(fb_order_metrics(fleet->view).of[FB_TOTAL_REJECTED], 2);
    assert_booked(fleet, 2, ".....");
}

/* Orders of 300 machines for 366 days, each for days of its own: two have more than one command may
 * set or clear. */
static void create_large(fleet_t *fleet, int count, const char *rest)
{
    fb_buffer_t body = {0};
    const uint32_t machines = 300;
    for (uint32_t i = 4; i <= machines; i++) {
        char text[100];
        snprintf(text, sizeof(text), "{\"label\":\"m\",\"inventory_id\":\"%u\",\"type\":\"crane\"}",
                 i);
        write_ok(fleet, "POST", "/v1/machines", text);
    }
    for (int n = 0; n < count; n++) {
        body.len = 0;
        fb_buffer_put_literal(&body, "{\"user_id\":1,\"total_amount\":1,\"item_ids\":[");
        for (uint32_t i = 1; i <= machines; i++)
            fb_buffer_printf(&body, "%s%u", i > 1 ? "," : "", i);
        fb_buffer_put_literal(&body, "],\"start_date\":");
        fb_json_put_day(&body, TODAY + n * 366);
        fb_buffer_put_literal(&body, ",\"end_date\":");
        fb_json_put_day(&body, TODAY + n * 366 + 365);
        fb_buffer_printf(&body, "%s}", rest);
        fb_buffer_put_char(&body, '\0');
        create(fleet, body.at);
    }
    fb_buffer_dispose(&body);
}

static void one_take_sets_so_many_days_and_no_more(void **state)
{
    fleet_t *fleet = *state;
    create_large(fleet, 3, "");
    create(fleet, ORDER(""));
    for (uint32_t n = 1; n <= 3; n++) {
        assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 4), FB_OK);
        assert_int_equal(fb_orders_in(fleet->view, FB_ORDER_IS_PROCESSING)->count, n + n / 3);
    }
}

static void holds_that_are_over_free_so_many_days_at_a_time(void **state)
{
    fleet_t *fleet = *state;
    create_large(fleet, 3, ",\"hold_seconds\":60");
    fleet->now += 60000;
    for (uint32_t n = 1; n <= 3; n++) {
        assert_int_equal(ask_fleet(fleet, &fb_orders_expire, 1, 3), FB_OK);
        assert_int_equal(fb_orders_in(fleet->view, FB_ORDER_IS_CANCELLED)->count, n);
        assert_int_equal(fb_orders_held(fleet->view)->count, 3 - n);
    }
    assert_int_equal(ask_fleet(fleet, &fb_orders_expire, 1, 3), FB_CONFLICT);
}

static void an_order_that_is_asked_for_twice_is_taken_once(void **state)
{
    fleet_t *fleet = *state;
    const uint32_t ids[] = {2, 1, 2, 1, 9};
    create(fleet, ORDER(DATES));
    create(fleet, ORDER(""));
    assert_int_equal(
        orders_ask(fleet->stage, &fb_orders_take, NOON, ids, FB_COUNT(ids), &fleet->written),
        FB_OK);
    assert_int_equal(fb_orders_in(fleet->view, FB_ORDER_IS_PROCESSING)->count, 2);
}

/* --- somebody outside processes ------------------------------------------------------------ */

static void somebody_outside_starts_and_completes(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(DATES));
    write_fails(fleet, "POST", "/v1/orders/1/complete", "", FB_CONFLICT, NULL,
                "order 1 is PENDING");
    fleet->now += 5;
    write_ok(fleet, "POST", "/v1/orders/1/start", "");
    assert_order(fleet->view, 1,
                 HEAD(1, "PROCESSING") ",\"started_at\":" AT(005) ",\"completed_at\":null" DATES
                                                                  "}");
    assert_booked(fleet, 1, ".111.");
    assert_int_equal(ask_fleet(fleet, &fb_orders_finish, 1, 1),
                     FB_CONFLICT); /* it is none of ours */
    write_fails(fleet, "POST", "/v1/orders/1/start", "", FB_CONFLICT, NULL,
                "order 1 is PROCESSING");
    fleet->now -= 5; /* a clock that goes back */
    write_ok(fleet, "POST", "/v1/orders/1/complete", "");
    assert_order(fleet->view, 1,
                 HEAD(1, "COMPLETED") ",\"started_at\":" AT(005) ",\"completed_at\":" AT(005) DATES
                 "}");
    static const char *const verbs[] = {"start", "complete", "reject", "confirm"};
    for (unsigned i = 0; i < FB_COUNT(verbs); i++) {
        char path[60];
        snprintf(path, sizeof(path), "/v1/orders/1/%s", verbs[i]);
        write_fails(fleet, "POST", path, "", FB_CONFLICT, NULL, "order 1 is COMPLETED");
        snprintf(path, sizeof(path), "/v1/orders/2/%s", verbs[i]);
        write_fails(fleet, "POST", path, "", FB_NOT_FOUND, NULL, "there is no order 2");
    }
    write_fails(fleet, "DELETE", "/v1/orders/1", "", FB_CONFLICT, NULL, "order 1 is COMPLETED");
    write_fails(fleet, "DELETE", "/v1/orders/2", "", FB_NOT_FOUND, NULL, "there is no order 2");
}

static void an_order_that_cannot_be_booked_is_not_started(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, "{\"user_id\":7,\"item_ids\":[2],\"total_amount\":1,"
                  "\"start_date\":\"2026-11-25\",\"end_date\":\"2026-11-25\"}");
    create(fleet, ORDER(DATES));
    write_ok(fleet, "POST", "/v1/orders/1/start", "");
    write_fails(fleet, "POST", "/v1/orders/2/start", "", FB_CONFLICT, "start_date",
                "machine 2 is booked on 2026-11-25 (order 1)");
    assert_int_equal(fb_order_state(fb_snapshot_row(fleet->view, FB_ORDERS, 2)),
                     FB_ORDER_IS_PENDING);
    write_ok(fleet, "DELETE", "/v1/orders/1", "");
    write_ok(fleet, "POST", "/v1/orders/2/start", "");
    assert_booked(fleet, 2, ".222.");
}

static void an_order_is_rejected_with_or_without_a_reason(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(DATES));
    create(fleet, ORDER(""));
    create(fleet, ORDER(""));
    write_ok(fleet, "POST", "/v1/orders/1/start", "");
    write_ok(fleet, "POST", "/v1/orders/1/reject", "{\"reason\":\"no\\n\\\"credit\\\"\"}");
    assert_order(fleet->view, 1,
                 HEAD(1, "REJECTED") ",\"started_at\":" AT(000) ",\"completed_at\":" AT(
                     000) ",\"reason\":\"no\\n\\\"credit\\\"\"" DATES "}");
    assert_booked(fleet, 1, ".....");
    write_ok(fleet, "POST", "/v1/orders/2/reject", "");
    write_ok(fleet, "POST", "/v1/orders/3/reject", "{\"reason\":null}");
    assert_order(fleet->view, 3,
                 HEAD(3, "REJECTED") ",\"started_at\":" AT(000) ",\"completed_at\":" AT(000) "}");
    create(fleet, ORDER(""));
    write_fails(fleet, "POST", "/v1/orders/4/reject", "{\"reason\":7}", FB_INVALID, "reason",
                "must be a string");
    assert_write_fails(fleet->stage, "POST", "/v1/orders/4/reject", "{", FB_MALFORMED, NULL);
}

static void an_order_is_cancelled_once(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(DATES));
    create(fleet, ORDER(""));
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 1), FB_OK);
    fleet->now += 7;
    write_ok(fleet, "DELETE", "/v1/orders/1", "");
    write_ok(fleet, "DELETE", "/v1/orders/2", "");
    assert_order(fleet->view, 1,
                 HEAD(1, "CANCELLED") ",\"started_at\":" AT(000) ",\"completed_at\":" AT(007) DATES
                 "}");
    assert_order(fleet->view, 2,
                 HEAD(2, "CANCELLED") ",\"started_at\":null,\"completed_at\":" AT(007) "}");
    assert_booked(fleet, 1, ".....");
    write_fails(fleet, "DELETE", "/v1/orders/1", "", FB_CONFLICT, NULL, "order 1 is CANCELLED");
    assert_int_equal(fb_order_metrics(fleet->view).of[FB_TOTAL_CANCELLED], 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_order_is_pending_and_queued),
        TEST(the_old_path_answers_as_the_old_system_did),
        TEST(what_is_no_order_is_refused),
        TEST(machines_that_there_are_not_are_named),
        cmocka_unit_test(too_many_orders_that_wait_are_refused),
        TEST(too_many_holds_are_refused),
        TEST(an_order_is_taken_and_finished),
        TEST(what_is_in_the_way_rejects_an_order),
        TEST(a_machine_in_maintenance_or_retired_rejects_an_order),
        TEST(one_take_sets_so_many_days_and_no_more),
        TEST(holds_that_are_over_free_so_many_days_at_a_time),
        TEST(an_order_that_is_asked_for_twice_is_taken_once),
        TEST(somebody_outside_starts_and_completes),
        TEST(an_order_that_cannot_be_booked_is_not_started),
        TEST(an_order_is_rejected_with_or_without_a_reason),
        TEST(an_order_is_cancelled_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
