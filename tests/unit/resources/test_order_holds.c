/* SPDX-License-Identifier: MIT */
#include "resources/orders.h"

#include "tests/unit/resources/orders_fleet.h"

/* Orders that hold their days, and what days that are booked keep others from. */

#define BOOKING(item, from, to)                                                                    \
    "{\"user_id\":7,\"item_ids\":[" #item "],\"total_amount\":1,\"start_date\":\"" from            \
    "\",\"end_date\":\"" to "\"}"

static void a_hold_keeps_the_days_until_it_is_confirmed(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(HELD));
    assert_payload(fleet, "[[\"put\",\"order\",1,{\"user_id\":\"7\",\"item_ids\":\"[1,2]\","
                          "\"total_amount\":\"12.50\",\"status\":\"PENDING\","
                          "\"created_at\":\"2026-11-21T12:00:00.000Z\","
                          "\"start_date\":\"2026-11-23\",\"end_date\":\"2026-11-25\","
                          "\"hold_until\":\"2026-11-21T12:01:00.000Z\"}],"
                          "[\"days\",\"booked\",[1,2],\"2026-11-23\",3,1]]");
    assert_booked(fleet, 1, ".111.");
    assert_int_equal(fb_orders_oldest_pending(fleet->view), 0);
    assert_int_equal(fb_orders_held(fleet->view)->count, 1);
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 1), FB_CONFLICT);
    assert_int_equal(ask_fleet(fleet, &fb_orders_requeue, 1, 1), FB_CONFLICT);
    fleet->now += 9;
    write_ok(fleet, "POST", "/v1/orders/1/confirm", "");
    assert_order(fleet->view, 1,
                 HEAD(1, "PENDING") ",\"started_at\":null,\"completed_at\":null" DATES
                                    ",\"confirmed_at\":" AT(009) "}");
    assert_non_null(memmem(fleet->written.payload.at, fleet->written.payload.len,
                           "[\"queue\",\"orders\",1]", 20));
    assert_booked(fleet, 1, ".111.");
    assert_int_equal(fb_orders_oldest_pending(fleet->view), 1);
    assert_int_equal(fb_orders_held(fleet->view)->count, 0);
    write_fails(fleet, "POST", "/v1/orders/1/confirm", "", FB_CONFLICT, NULL,
                "order 1 has no hold to confirm");
    assert_int_equal(ask_fleet(fleet, &fb_orders_requeue, 1, 1), FB_OK);
    assert_payload(fleet, "[[\"queue\",\"orders\",1]]");
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 1), FB_OK);
    assert_int_equal(fb_order_state(fb_snapshot_row(fleet->view, FB_ORDERS, 1)),
                     FB_ORDER_IS_PROCESSING);
    assert_booked(fleet, 2, ".111.");
}

static void a_hold_needs_its_days_free(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(HELD));
    write_fails(fleet, "POST", "/v1/orders",
                "{\"user_id\":7,\"item_ids\":[3,2],\"total_amount\":1,\"hold_seconds\":9,"
                "\"start_date\":\"2026-11-25\",\"end_date\":\"2026-11-26\"}",
                FB_CONFLICT, "start_date", "machine 2 is booked on 2026-11-25 (order 1)");
    create(fleet, BOOKING(2, "2026-11-25", "2026-11-26")); /* without one it is tried later */
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 2, 2), FB_OK);
    assert_int_equal(fb_order_state(fb_snapshot_row(fleet->view, FB_ORDERS, 2)),
                     FB_ORDER_IS_REJECTED);
}

static void a_hold_that_is_over_is_nobodys(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(HELD));
    fleet->now += 59999;
    assert_int_equal(ask_fleet(fleet, &fb_orders_expire, 1, 1), FB_CONFLICT);
    fleet->now++;
    write_fails(fleet, "POST", "/v1/orders/1/confirm", "", FB_CONFLICT, NULL,
                "the hold of order 1 is over");
    write_fails(fleet, "POST", "/v1/orders/1/start", "", FB_CONFLICT, NULL,
                "the hold of order 1 is over");
    assert_int_equal(ask_fleet(fleet, &fb_orders_expire, 1, 1), FB_OK);
    assert_order(fleet->view, 1,
                 HEAD(1, "CANCELLED") ",\"started_at\":null,\"completed_at\":"
                                      "\"2026-11-21T12:01:00.000Z\",\"reason\":\"the hold of its "
                                      "days was over\"" DATES "}");
    assert_booked(fleet, 1, ".....");
    assert_int_equal(fb_orders_held(fleet->view)->count, 0);
    assert_int_equal(ask_fleet(fleet, &fb_orders_expire, 1, 1), FB_CONFLICT);
}

static void a_hold_is_started_rejected_or_cancelled_like_any_order(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, ORDER(HELD));
    write_ok(fleet, "POST", "/v1/orders/1/start", "");
    assert_booked(fleet, 1, ".111.");
    assert_int_equal(fb_orders_held(fleet->view)->count, 0);
    write_ok(fleet, "DELETE", "/v1/orders/1", "");
    create(fleet, ORDER(HELD));
    write_ok(fleet, "POST", "/v1/orders/2/reject", "");
    assert_booked(fleet, 1, ".....");
    create(fleet, ORDER(HELD));
    write_ok(fleet, "DELETE", "/v1/orders/3", "");
    assert_booked(fleet, 1, ".....");
    assert_int_equal(fb_orders_held(fleet->view)->count, 0);
}

/* --- what bookings keep others from --------------------------------------------------------- */

static void maintenance_over_a_booking_names_the_orders(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, BOOKING(1, "2026-11-23", "2026-11-24"));
    create(fleet, BOOKING(1, "2026-11-26", "2026-11-26"));
    create(fleet, BOOKING(1, "2026-12-26", "2026-12-26"));
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 3), FB_OK);
    write_fails(fleet, "POST", "/v1/machines/1/maintenance", "{\"duration_days\":4}", FB_CONFLICT,
                "start_date",
                "machine 1 is booked on 2026-11-23, by order 1; \"override\": true puts it in "
                "maintenance all the same");
    write_fails(fleet, "POST", "/v1/machines/1/maintenance", "{\"duration_days\":7}", FB_CONFLICT,
                "start_date",
                "machine 1 is booked on 2026-11-23, by orders 1 and 2; \"override\": true puts it "
                "in maintenance all the same");
    write_ok(fleet, "POST", "/v1/machines/1/maintenance", "{\"duration_days\":2}");
    write_ok(fleet, "POST", "/v1/machines/1/maintenance",
             "{\"duration_days\":7,\"override\":true}");
    assert_booked(fleet, 1, ".11.2");
}

static void a_machine_that_is_booked_is_not_retired(void **state)
{
    fleet_t *fleet = *state;
    create(fleet, BOOKING(1, "2026-11-21", "2026-11-21"));
    create(fleet, BOOKING(2, "2026-11-21", "2026-11-21"));
    create(fleet, "{\"user_id\":7,\"item_ids\":[3],\"total_amount\":1}");
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 3), FB_OK);
    write_ok(fleet, "DELETE", "/v1/machines/3", ""); /* what has no dates books nothing */
    write_fails(fleet, "DELETE", "/v1/machines/1", "", FB_CONFLICT, NULL,
                "machine 1 is booked today or later, or not yet back: see order 1");
    assert_int_equal(ask_fleet(fleet, &fb_orders_finish, 1, 1), FB_OK);
    write_fails(fleet, "DELETE", "/v1/machines/1", "", FB_CONFLICT, NULL,
                "machine 1 is booked today or later, or not yet back: see order 1");
    fb_stage_set_today(fleet->stage, TODAY + 1);
    write_ok(fleet, "DELETE", "/v1/machines/1", "");
    write_fails(
        fleet, "DELETE", "/v1/machines/2", "", FB_CONFLICT, NULL,
        "machine 2 is booked today or later, or not yet back: see order 2"); /* in processing still
                                                                              */
    write_ok(fleet, "DELETE", "/v1/orders/2", "");
    write_ok(fleet, "DELETE", "/v1/machines/2", "");
}

static void the_calendar_says_which_order_has_a_day(void **state)
{
    fleet_t *fleet = *state;
    static const char calendar[] = "/v1/machines/2/calendar?from=2026-11-22&to=2026-11-24";
    uint64_t stamp, later;
    fb_error_t error;
    fb_buffer_t body = {0};
    create(fleet, BOOKING(2, "2026-11-23", "2026-11-23"));
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 1), FB_OK);
    assert_int_equal(ask_fleet(fleet, &fb_orders_finish, 1, 1), FB_OK);
    assert_reads(fleet->view, calendar,
                 "{\"machine_id\":2,\"from\":\"2026-11-22\",\"to\":\"2026-11-24\",\"days\":["
                 "{\"date\":\"2026-11-22\",\"available\":true,\"maintenance\":false,"
                 "\"booked\":false,\"windows\":[],\"order_id\":null},"
                 "{\"date\":\"2026-11-23\",\"available\":false,\"maintenance\":false,"
                 "\"booked\":true,\"windows\":[],\"order_id\":1},"
                 "{\"date\":\"2026-11-24\",\"available\":true,\"maintenance\":false,"
                 "\"booked\":false,\"windows\":[],\"order_id\":null}]}");
    /* It leaves the snapshot: the day stays booked, and the answer is another one. */
    assert_int_equal(ask_fleet(fleet, &fb_orders_archive, 1, 1), FB_CONFLICT);
    fb_stage_set_today(fleet->stage, TODAY + 3);
    history_push(&fleet->history, &fleet->stage);
    assert_int_equal(fleet_read(history_now(&fleet->history), calendar, &body, &stamp, &error),
                     FB_OK);
    fleet->stage = fb_stage_begin(history_now(&fleet->history));
    fleet->view = fb_stage_view(fleet->stage);
    assert_int_equal(ask_fleet(fleet, &fb_orders_archive, 1, 1), FB_OK);
    assert_payload(fleet, "[[\"archive\",\"order\",1]]");
    assert_int_equal(fleet_read(fleet->view, calendar, &body, &later, &error), FB_OK);
    assert_true(later > stamp);
    assert_non_null(memmem(body.at, body.len, "\"booked\":true,\"windows\":[],\"order_id\":null",
                           strlen("\"booked\":true,\"windows\":[],\"order_id\":null")));
    fb_buffer_dispose(&body);
}

/* --- may these be booked? ------------------------------------------------------------------ */

static void assert_check(const fleet_t *fleet, const char *body, fb_code_t code,
                         const char *expected)
{
    fb_route_t route;
    fb_error_t error = {0};
    fb_args_t args = {0};
    fb_buffer_t answer = {0};
    assert_int_equal(
        fb_registry_route(FB_SLICE("POST"), FB_SLICE("/v1/availability/check"), &route, &error),
        FB_OK);
    assert_int_equal(route.view->source, FB_SOURCE_POSTED);
    fb_code_t is = fb_args_read_body(&args, route.view->query, route.view->query_count, NULL, 0,
                                     FB_BODY_NEW, fb_slice(body), &error);
    if (is == FB_OK)
        is = route.view->render(fleet->view, &args, &answer, &error);
    assert_int_equal(is, code);
    if (code == FB_OK)
        assert_text(fb_buffer_slice(&answer), expected);
    else
        assert_string_equal(error.fields[0].field, expected);
    fb_args_dispose(&args);
    fb_buffer_dispose(&answer);
}

static void a_check_says_what_is_in_the_way(void **state)
{
    fleet_t *fleet = *state;
    assert_check(fleet, "{\"item_ids\":[1,2]" DATES "}", FB_OK,
                 "{\"available\":true,\"count\":0,\"conflicts\":[]}");
    create(fleet, BOOKING(2, "2026-11-25", "2026-11-26"));
    assert_int_equal(ask_fleet(fleet, &fb_orders_take, 1, 1), FB_OK);
    write_ok(fleet, "POST", "/v1/machines/2/maintenance",
             "{\"start_date\":\"2026-11-24\",\"duration_days\":2,\"override\":true}");
    write_ok(fleet, "POST", "/v1/machines/1/maintenance",
             "{\"start_date\":\"2026-11-23\",\"duration_days\":1}");
    assert_check(fleet, "{\"item_ids\":[2,1,3]" DATES "}", FB_OK,
                 "{\"available\":false,\"count\":3,\"conflicts\":["
                 "{\"machine_id\":2,\"date\":\"2026-11-24\",\"maintenance\":true,"
                 "\"booked\":false,\"order_id\":null},"
                 "{\"machine_id\":2,\"date\":\"2026-11-25\",\"maintenance\":true,"
                 "\"booked\":true,\"order_id\":1},"
                 "{\"machine_id\":1,\"date\":\"2026-11-23\",\"maintenance\":true,"
                 "\"booked\":false,\"order_id\":null}]}");
    static const struct {
        const char *body, *field;
    } bad[] = {
        {"{\"item_ids\":[1]}", "start_date"},
        {"{\"item_ids\":[4]" DATES "}", "item_ids"},
        {"{\"item_ids\":[1,1]" DATES "}", "item_ids"},
        {"{\"item_ids\":[1],\"start_date\":\"2026-11-20\",\"end_date\":\"2026-11-22\"}",
         "start_date"},
        {"{\"item_ids\":[1],\"start_date\":\"2026-11-22\",\"end_date\":\"2026-11-21\"}",
         "end_date"},
        {"{\"item_ids\":[1],\"start_date\":\"2026-11-21\",\"end_date\":\"2027-11-22\"}",
         "end_date"},
    };
    for (unsigned i = 0; i < FB_COUNT(bad); i++)
        assert_check(fleet, bad[i].body, FB_INVALID, bad[i].field);
}

/* Their bits are on several pages, and come in no order. */
static void machines_far_apart_are_looked_at_alike(void **state)
{
    fleet_t *fleet = *state;
    fb_obstacle_t obstacles[20];
    fb_change_t change = {0};
    static const uint32_t machines[] = {8191, 3, 8192, 100000, 1, 8193};
    fb_change_days(&change, FB_PLANE_BOOKED, 8192, TODAY, TODAY + 1, true);
    fb_change_days(&change, FB_PLANE_BOOKED, 3, TODAY + 1, TODAY + 3, true);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 100000, TODAY + 2, TODAY + 2, true);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 8191, TODAY, TODAY, true);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 8191 + 8192, TODAY, TODAY + 9, true);
    fb_stage_apply(fleet->stage, &change);
    fb_change_dispose(&change);
    size_t count = fb_bookings_check(fleet->view, FB_SLICE("[8191,3,8192,100000,1,8193]"), TODAY,
                                     TODAY + 2, obstacles, 20);
    size_t found = 0;
    for (unsigned i = 0; i < FB_COUNT(machines); i++) {
        for (fb_day_t day = TODAY; day <= TODAY + 2; day++) {
            bool booked = fb_snapshot_has_day(fleet->view, FB_PLANE_BOOKED, day, machines[i]);
            bool in_maintenance =
                fb_snapshot_has_day(fleet->view, FB_PLANE_MAINTENANCE, day, machines[i]);
            if (!booked && !in_maintenance)
                continue;
            assert_true(found < count);
            assert_int_equal(obstacles[found].machine, machines[i]);
            assert_int_equal(obstacles[found].day, day);
            assert_int_equal(obstacles[found].is_booked, booked);
            assert_int_equal(obstacles[found].in_maintenance, in_maintenance);
            assert_int_equal(obstacles[found++].order, 0);
        }
    }
    assert_int_equal(count, 6);
    assert_int_equal(found, count);
}

static void a_check_lists_a_thousand_conflicts_and_counts_them_all(void **state)
{
    fleet_t *fleet = *state;
    fb_buffer_t body = {0};
    static const char *const machines[] = {"1", "2", "3"};
    for (unsigned i = 0; i < 3; i++) {
        char path[60];
        snprintf(path, sizeof(path), "/v1/machines/%s/maintenance", machines[i]);
        write_ok(fleet, "POST", path, "{\"duration_days\":400}");
    }
    fb_route_t route;
    fb_error_t error = {0};
    fb_args_t args = {0};
    const fb_slice_t question = FB_SLICE("{\"item_ids\":[1,2,3],\"start_date\":\"2026-11-21\","
                                         "\"end_date\":\"2027-11-21\"}");
    assert_int_equal(
        fb_registry_route(FB_SLICE("POST"), FB_SLICE("/v1/availability/check"), &route, &error),
        FB_OK);
    assert_int_equal(fb_args_read_body(&args, route.view->query, route.view->query_count, NULL, 0,
                                       FB_BODY_NEW, question, &error),
                     FB_OK);
    assert_int_equal(route.view->render(fleet->view, &args, &body, &error), FB_OK);
    const char head[] = "{\"available\":false,\"count\":1098,";
    assert_memory_equal(body.at, head, sizeof(head) - 1);
    size_t listed = 0;
    const char *at = body.at, *end = body.at + body.len;
    while ((at = memmem(at, (size_t)(end - at), "machine_id", 10)) != NULL) {
        listed++;
        at++;
    }
    assert_int_equal(listed, 1000);
    fb_args_dispose(&args);
    fb_buffer_dispose(&body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hold_keeps_the_days_until_it_is_confirmed),
        TEST(a_hold_needs_its_days_free),
        TEST(a_hold_that_is_over_is_nobodys),
        TEST(a_hold_is_started_rejected_or_cancelled_like_any_order),
        TEST(maintenance_over_a_booking_names_the_orders),
        TEST(a_machine_that_is_booked_is_not_retired),
        TEST(the_calendar_says_which_order_has_a_day),
        TEST(a_check_says_what_is_in_the_way),
        TEST(machines_far_apart_are_looked_at_alike),
        TEST(a_check_lists_a_thousand_conflicts_and_counts_them_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
