/* SPDX-License-Identifier: MIT */
#include "resources/orders.h"

#include "tests/unit/resources/orders_fleet.h"

/* The list of orders, and single ones, of which some have left the snapshot: what is read of the
 * archive comes from a second stage that has them all. */

typedef struct {
    fleet_t *fleet;
    fb_snapshot_t *empty;
    fb_stage_t *redis;
    fb_buffer_t body;
} world_t;

static int begin(void **state)
{
    world_t *world = calloc(1, sizeof(*world));
    set_up((void **)&world->fleet);
    world->empty = fb_snapshot_create(&fleet_rules, 1, TODAY);
    world->redis = fb_stage_begin(world->empty);
    *state = world;
    return 0;
}

static int end(void **state)
{
    world_t *world = *state;
    fb_stage_abort(&world->redis);
    fb_snapshot_destroy(&world->empty);
    tear_down((void **)&world->fleet);
    fb_buffer_dispose(&world->body);
    free(world);
    return 0;
}

/* An order in that state of a user, as a load brings it; or one that is in the archive. */
static void put_order(world_t *world, uint32_t id, fb_order_state_t state, const char *user,
                      bool archived)
{
    const fb_value_t none = {.given = true, .null = true};
    fb_value_t values[FB_FIELDS_MAX];
    for (unsigned f = 0; f < FB_ORDER_FIELDS; f++)
        values[f] = none;
    values[FB_ORDER_USER] = (fb_value_t){.given = true, .text = fb_slice(user)};
    values[FB_ORDER_ITEMS] = (fb_value_t){.given = true, .text = FB_SLICE("[1]")};
    values[FB_ORDER_AMOUNT] = (fb_value_t){.given = true, .number = 100};
    values[FB_ORDER_STATUS] = (fb_value_t){.given = true, .text = fb_slice(fb_order_states[state])};
    values[FB_ORDER_CREATED] = (fb_value_t){.given = true, .number = NOON};
    fb_stage_put(world->redis, FB_ORDERS, id, values);
    if (!archived)
        fb_stage_put(world->fleet->stage, FB_ORDERS, id, values);
    fb_stage_raise_last_id(world->fleet->stage, FB_ORDERS, id);
}

/* The ids on a page, "9 8 7", and the cursor behind it ("": none). */
static void read_page(world_t *world, const char *target, char *ids, size_t bytes, char *cursor)
{
    fb_error_t error;
    json_error_t fault;
    json_t *order;
    size_t i;
    if (orders_read(world->fleet->view, fb_stage_view(world->redis), target, &world->body,
                    &error) != FB_OK)
        fail_msg("%s: %s", target, error.detail);
    json_t *page = json_loadb(world->body.at, world->body.len, JSON_REJECT_DUPLICATES, &fault);
    assert_non_null(page);
    assert_int_equal(json_object_size(page), 2);
    ids[0] = '\0';
    json_array_foreach(json_object_get(page, "orders"), i, order)
    {
        size_t len = strlen(ids);
        snprintf(ids + len, bytes - len, "%s%lld", i > 0 ? " " : "",
                 (long long)json_integer_value(json_object_get(order, "id")));
    }
    const char *next = json_string_value(json_object_get(page, "next"));
    snprintf(cursor, 65, "%s", next != NULL ? next : "");
    json_decref(page);
}

/* All pages from the first one, with a bar between them. */
static void assert_pages(world_t *world, const char *target, const char *expected)
{
    char ids[2000], cursor[65] = "", page[300];
    fb_buffer_t all = {0};
    do {
        snprintf(page, sizeof(page), "%s%s%s", target, cursor[0] ? "&cursor=" : "", cursor);
        read_page(world, page, ids, sizeof(ids), cursor);
        fb_buffer_printf(&all, "%s%s", ids, cursor[0] ? "|" : "");
    } while (cursor[0] != '\0');
    assert_text(fb_buffer_slice(&all), expected);
    fb_buffer_dispose(&all);
}

static void the_newest_orders_come_first(void **state)
{
    world_t *world = *state;
    assert_pages(world, "/v1/orders?limit=2", "");
    put_order(world, 1, FB_ORDER_IS_PENDING, "7", false);
    assert_pages(world, "/v1/orders?limit=1", "1");
    put_order(world, 2, FB_ORDER_IS_COMPLETED, "\"7\"", false);
    put_order(world, 3, FB_ORDER_IS_PENDING, "\"Ann \\\"B\\\"\"", false);
    put_order(world, 4, FB_ORDER_IS_PROCESSING, "77", false);
    put_order(world, 5, FB_ORDER_IS_PENDING, "7", false);
    assert_pages(world, "/v1/orders?", "5 4 3 2 1");
    assert_pages(world, "/v1/orders?limit=2", "5 4|3 2|1");
    assert_pages(world, "/v1/orders?limit=5", "5 4 3 2 1");
    assert_pages(world, "/v1/orders?status=PENDING&limit=3", "5 3 1");
    assert_pages(world, "/v1/orders?status=PENDING&limit=1", "5|3|1");
    assert_pages(world, "/v1/orders?status=CANCELLED", "");
    assert_pages(world, "/v1/orders?user_id=7&limit=2", "5 2|1");
    assert_pages(world, "/v1/orders?user_id=Ann+%22B%22", "3");
    assert_pages(world, "/v1/orders?user_id=nobody", "");
    assert_pages(world, "/v1/orders?user_id=7&status=COMPLETED", "2");
    assert_read_fails(world->fleet->view, "/v1/orders?status=pending", FB_INVALID, "status");
    assert_read_fails(world->fleet->view, "/v1/orders?limit=0", FB_INVALID, "limit");
    assert_read_fails(world->fleet->view, "/v1/orders?cursor=AAAA", FB_MALFORMED, "cursor");
}

static void orders_of_the_archive_are_merged_in(void **state)
{
    world_t *world = *state;
    /* 1 to 12: every third one is in memory still. */
    for (uint32_t id = 1; id <= 12; id++)
        put_order(world, id, id == 9 ? FB_ORDER_IS_PENDING : FB_ORDER_IS_COMPLETED,
                  id % 2 == 0 ? "2" : "1", id % 3 != 0);
    assert_pages(world, "/v1/orders?", "12 11 10 9 8 7 6 5 4 3 2 1");
    assert_pages(world, "/v1/orders?limit=5", "12 11 10 9 8|7 6 5 4 3|2 1");
    assert_pages(world, "/v1/orders?limit=1", "12|11|10|9|8|7|6|5|4|3|2|1");
    assert_pages(world, "/v1/orders?status=COMPLETED&limit=4", "12 11 10 8|7 6 5 4|3 2 1");
    assert_pages(world, "/v1/orders?status=PENDING", "9");
    assert_pages(world, "/v1/orders?status=REJECTED", "");
    assert_pages(world, "/v1/orders?user_id=2&limit=2", "12 10|8 6|4 2|");
    assert_pages(world, "/v1/orders?user_id=1&status=COMPLETED", "11 7 5 3 1");
}

static void a_page_within_the_snapshot_needs_no_archive(void **state)
{
    world_t *world = *state;
    fb_error_t error;
    for (uint32_t id = 1; id <= 20; id++)
        put_order(world, id, FB_ORDER_IS_COMPLETED, "1", id <= 10);
    fleet_read(world->fleet->view, "/v1/orders?limit=10", &world->body, NULL, &error);
    assert_int_equal(error.code, FB_OK);
    assert_true(page_cursor(fb_buffer_slice(&world->body)).len > 0);
    fleet_read(world->fleet->view, "/v1/orders?limit=11", &world->body, NULL, &error);
    assert_int_equal(error.code, FB_ARCHIVED);
    fleet_read(world->fleet->view, "/v1/orders?limit=11&status=PROCESSING", &world->body, NULL,
               &error);
    assert_int_equal(error.code, FB_OK);
}

static void one_order_of_the_archive_is_read(void **state)
{
    world_t *world = *state;
    fb_error_t error;
    put_order(world, 3, FB_ORDER_IS_COMPLETED, "1", true);
    static const char *const paths[] = {"/v1/orders/3", "/get_order/3"};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(orders_read(world->fleet->view, fb_stage_view(world->redis), paths[i],
                                     &world->body, &error),
                         FB_OK);
        assert_text(fb_buffer_slice(&world->body),
                    "{\"id\":3,\"user_id\":1,\"item_ids\":[1],\"total_amount\":1.00,"
                    "\"status\":\"COMPLETED\",\"created_at\":\"2026-11-21T12:00:00.000Z\","
                    "\"started_at\":null,\"completed_at\":null}");
    }
    /* An id that was used, of which Redis has no row. */
    assert_int_equal(orders_read(world->fleet->view, fb_stage_view(world->redis), "/v1/orders/2",
                                 &world->body, &error),
                     FB_NOT_FOUND);
    assert_read_fails(world->fleet->view, "/v1/orders/4", FB_NOT_FOUND, NULL);
    static const char *const verbs[] = {"start", "complete", "reject", "confirm"};
    for (unsigned i = 0; i < FB_COUNT(verbs); i++) {
        char path[60];
        snprintf(path, sizeof(path), "/v1/orders/3/%s", verbs[i]);
        write_fails(world->fleet, "POST", path, "", FB_CONFLICT, NULL,
                    "order 3 came to its end long ago");
    }
    write_fails(world->fleet, "DELETE", "/v1/orders/3", "", FB_CONFLICT, NULL,
                "order 3 came to its end long ago");
}

/* Its events are there still: better all of them than none. */
static void the_events_of_an_archived_order_count_as_the_newest(void **state)
{
    world_t *world = *state;
    fleet_t *fleet = world->fleet;
    uint64_t first = fleet->view->events.end;
    create(fleet, ORDER(""));
    write_ok(fleet, "DELETE", "/v1/orders/1", "");
    assert_int_equal(fleet->view->events.end, first + 2);
    assert_false(fb_event_is_newest(fleet->view, fb_events_get(&fleet->view->events, first)));
    assert_true(fb_event_is_newest(fleet->view, fb_events_get(&fleet->view->events, first + 1)));
    assert_int_equal(ask_fleet(fleet, &fb_orders_archive, 1, 1), FB_OK);
    assert_int_equal(fleet->view->events.end, first + 2); /* nothing has happened to it */
    assert_true(fb_event_is_newest(fleet->view, fb_events_get(&fleet->view->events, first + 1)));
}

/* How many pages, and how many orders they have. */
static void count_pages(world_t *world, const char *target, unsigned *pages, unsigned *orders)
{
    char cursor[65] = "", page[300];
    char *ids = malloc(100000);
    *pages = *orders = 0;
    do {
        snprintf(page, sizeof(page), "%s%s%s", target, cursor[0] ? "&cursor=" : "", cursor);
        read_page(world, page, ids, 100000, cursor);
        for (char *at = ids; *at != '\0'; at++)
            *orders += at == ids || at[-1] == ' ';
        ++*pages;
    } while (cursor[0] != '\0');
    free(ids);
}

static void a_page_ends_early_where_much_had_to_be_looked_at(void **state)
{
    world_t *world = *state;
    unsigned pages, orders;
    enum { COUNT = 25000, ARCHIVED = 12000 };
    for (uint32_t id = 1; id <= COUNT; id++)
        put_order(world, id, FB_ORDER_IS_COMPLETED, id % 5000 == 1 ? "1" : "2", id <= ARCHIVED);
    count_pages(world, "/v1/orders?user_id=1", &pages, &orders);
    assert_int_equal(orders, 5);
    assert_in_range(pages, 3, 5); /* 10,000 rows a page, and 5,000 of the archive */
    count_pages(world, "/v1/orders?user_id=3", &pages, &orders);
    assert_int_equal(orders, 0);
    assert_in_range(pages, 3, 5);
    count_pages(world, "/v1/orders?limit=1000", &pages, &orders);
    assert_int_equal(orders, COUNT);
    assert_int_equal(pages, COUNT / 1000);
    assert_pages(world, "/v1/orders?status=PENDING", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_newest_orders_come_first),
        TEST(orders_of_the_archive_are_merged_in),
        TEST(a_page_within_the_snapshot_needs_no_archive),
        TEST(one_order_of_the_archive_is_read),
        TEST(the_events_of_an_archived_order_count_as_the_newest),
        TEST(a_page_ends_early_where_much_had_to_be_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
