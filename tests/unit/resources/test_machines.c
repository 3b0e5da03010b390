/* SPDX-License-Identifier: MIT */
#include "resources/machines.h"

#include "tests/unit/resources/fleet.h"

#define DIGGER "{\"label\":\"Digger\",\"inventory_id\":\"D-1\",\"type\":\"excavator\"}"
#define CRANE  "{\"label\":\"Crane\",\"inventory_id\":\"C-1\",\"type\":\"crane\"}"

typedef struct {
    history_t history;
    fb_stage_t *stage; /* of the test: sealed in the end */
    const fb_snapshot_t *view;
} fleet_t;

static int set_up(void **state)
{
    fleet_t *fleet = calloc(1, sizeof(*fleet));
    fleet->history = history_create(1);
    fleet->stage = fb_stage_begin(history_now(&fleet->history));
    fleet->view = fb_stage_view(fleet->stage);
    *state = fleet;
    return 0;
}

static int tear_down(void **state)
{
    fleet_t *fleet = *state;
    history_push(&fleet->history, &fleet->stage);
    history_dispose(&fleet->history);
    free(fleet);
    return 0;
}

static void a_new_machine_shows_all_its_members(void **state)
{
    fleet_t *fleet = *state;
    assert_int_equal(must_write(fleet->stage, "POST", "/v1/machines", DIGGER), 1);
    assert_reads(fleet->view, "/v1/machines/1",
                 "{\"id\":1,\"label\":\"Digger\",\"inventory_id\":\"D-1\",\"type\":\"excavator\","
                 "\"price_per_day\":null,\"description\":null,\"in_maintenance\":false,"
                 "\"maintenance_start_date\":null,\"maintenance_end_date\":null,"
                 "\"creation_date\":\"2026-11-21T12:00:00.000Z\","
                 "\"updated_at\":\"2026-11-21T12:00:00.000Z\"}");
    must_write(fleet->stage, "POST", "/v1/machines",
               "{\"label\":\"Cr\\u00e4ne\",\"inventory_id\":\"C-1\",\"type\":\"crane\","
               "\"price_per_day\":1250.5,\"description\":\"two\\nlines\"}");
    assert_reads(fleet->view, "/v1/machines/2",
                 "{\"id\":2,\"label\":\"Cräne\",\"inventory_id\":\"C-1\",\"type\":\"crane\","
                 "\"price_per_day\":1250.50,\"description\":\"two\\nlines\","
                 "\"in_maintenance\":false,"
                 "\"maintenance_start_date\":null,\"maintenance_end_date\":null,"
                 "\"creation_date\":\"2026-11-21T12:00:00.000Z\","
                 "\"updated_at\":\"2026-11-21T12:00:00.000Z\"}");
}

static void what_is_no_machine_is_refused(void **state)
{
    fleet_t *fleet = *state;
    fb_stage_t *stage = fleet->stage;
    const char *path = "/v1/machines";
    assert_write_fails(stage, "POST", path, "{}", FB_INVALID, "label");
    assert_write_fails(stage, "POST", path, "{\"label\":\"a\",\"inventory_id\":\"b\"}", FB_INVALID,
                       "type");
    assert_write_fails(stage, "POST", path,
                       "{\"label\":\"a\",\"inventory_id\":\"b\",\"type\":\"submarine\"}",
                       FB_INVALID, "type");
    assert_write_fails(stage, "POST", path,
                       "{\"label\":\"a\",\"inventory_id\":\" \",\"type\":\"crane\"}", FB_INVALID,
                       "inventory_id");
    assert_write_fails(stage, "POST", path,
                       "{\"label\":\"a\",\"inventory_id\":\"b\",\"type\":\"crane\","
                       "\"price_per_day\":0.001}",
                       FB_INVALID, "price_per_day");
    assert_write_fails(stage, "POST", path,
                       "{\"label\":\"a\",\"inventory_id\":\"b\",\"type\":\"crane\","
                       "\"in_maintenance\":true}",
                       FB_INVALID, "in_maintenance");
    assert_write_fails(stage, "POST", path,
                       "{\"label\":\"a\",\"inventory_id\":\"b\",\"type\":\"crane\",\"color\":1}",
                       FB_MALFORMED, "color");
    assert_write_fails(stage, "POST", path, "machine", FB_MALFORMED, NULL);
    assert_write_fails(stage, "PATCH", "/v1/machines/1", "{}", FB_NOT_FOUND, NULL);
    assert_write_fails(stage, "PUT", "/v1/machines/1", CRANE, FB_NOT_FOUND, NULL);
    assert_write_fails(stage, "DELETE", "/v1/machines/1", "", FB_NOT_FOUND, NULL);
    assert_reads(fleet->view, path, "{\"machines\":[],\"next\":null}");
    assert_int_equal(fleet->view->families[FB_MACHINES].last_id, 0);
}

static void an_unknown_type_is_answered_with_the_known_ones(void **state)
{
    fleet_t *fleet = *state;
    fb_error_t error = {0};
    assert_int_equal(fb_machine_check_type(fleet->view, FB_SLICE("crane"), &error), FB_OK);
    assert_int_equal(fb_machine_check_type(fleet->view, FB_SLICE("cran"), &error), FB_INVALID);
    assert_string_equal(error.fields[0].detail,
                        "\"cran\" is none of the fleet's types: excavator, crane, dumper");
    assert_read_fails(fleet->view, "/v1/machines?type=cran", FB_INVALID, "type");
}

/* A type that was taken out of the configuration stays with the machines that have it. */
static void a_type_that_machines_have_stays_known(void **state)
{
    fleet_t *fleet = *state;
    const fb_rules_t fewer = {.machine_types = fleet_types, .machine_type_count = 1};
    must_write(fleet->stage, "POST", "/v1/machines", CRANE);
    fb_snapshot_t later = *fleet->view;
    fb_error_t error = {0};
    later.rules = &fewer;
    assert_int_equal(fb_machine_check_type(&later, FB_SLICE("crane"), &error), FB_OK);
    assert_int_equal(fb_machine_check_type(&later, FB_SLICE("excavator"), &error), FB_OK);
    assert_int_equal(fb_machine_check_type(&later, FB_SLICE("dumper"), &error), FB_INVALID);
    assert_int_equal(fb_machines_of_type(&later, FB_SLICE("crane"))->count, 1);
    assert_int_equal(fb_machines_of_type(&later, FB_SLICE("excavator"))->count, 0);
    assert_int_equal(fb_machines_of_type(&later, FB_SLICE("dumper"))->count, 0);
}

static void a_second_inventory_id_is_a_conflict_that_names_the_first(void **state)
{
    fleet_t *fleet = *state;
    written_t written = {0};
    must_write(fleet->stage, "POST", "/v1/machines", CRANE);
    must_write(fleet->stage, "POST", "/v1/machines", DIGGER);
    fleet_write(fleet->stage, NOON, "POST", "/v1/machines", CRANE, &written);
    assert_error(&written.error, FB_CONFLICT, "inventory_id");
    assert_string_equal(written.error.fields[0].detail,
                        "\"C-1\" is already that of machine 1 (/v1/machines/1)");
    assert_write_fails(fleet->stage, "PATCH", "/v1/machines/2", "{\"inventory_id\":\"C-1\"}",
                       FB_CONFLICT, "inventory_id");
    assert_write_fails(fleet->stage, "PUT", "/v1/machines/2", CRANE, FB_CONFLICT, "inventory_id");
    /* Its own is none; another case is another one; a retired machine gives its own back. */
    must_write(fleet->stage, "PUT", "/v1/machines/1", CRANE);
    must_write(fleet->stage, "PATCH", "/v1/machines/2", "{\"inventory_id\":\"c-1\"}");
    must_write(fleet->stage, "DELETE", "/v1/machines/1", "");
    assert_int_equal(must_write(fleet->stage, "POST", "/v1/machines", CRANE), 3);
    fb_buffer_dispose(&written.payload);
}

static void a_patch_changes_what_it_names_and_a_put_all(void **state)
{
    fleet_t *fleet = *state;
    written_t written = {0};
    must_write(fleet->stage, "POST", "/v1/machines",
               "{\"label\":\"Crane\",\"inventory_id\":\"C-1\",\"type\":\"crane\","
               "\"price_per_day\":5,\"description\":\"old\"}");
    fleet_write(fleet->stage, NOON + 1500, "PATCH", "/v1/machines/1",
                "{\"description\":null,\"label\":\"Kran\"}", &written);
    assert_int_equal(written.error.code, FB_OK);
    const char *patched =
        "{\"id\":1,\"label\":\"Kran\",\"inventory_id\":\"C-1\",\"type\":\"crane\","
        "\"price_per_day\":5.00,\"description\":null,\"in_maintenance\":false,"
        "\"maintenance_start_date\":null,\"maintenance_end_date\":null,"
        "\"creation_date\":\"2026-11-21T12:00:00.000Z\","
        "\"updated_at\":\"2026-11-21T12:00:01.500Z\"}";
    assert_reads(fleet->view, "/v1/machines/1", patched);
    /* What was read can be sent back: all that it shows but the time of the write stays. */
    fleet_write(fleet->stage, NOON + 1500, "PUT", "/v1/machines/1", patched, &written);
    assert_int_equal(written.error.code, FB_OK);
    assert_reads(fleet->view, "/v1/machines/1", patched);
    fleet_write(fleet->stage, NOON + 2000, "PUT", "/v1/machines/1", DIGGER, &written);
    assert_int_equal(written.error.code, FB_OK);
    assert_reads(fleet->view, "/v1/machines/1",
                 "{\"id\":1,\"label\":\"Digger\",\"inventory_id\":\"D-1\",\"type\":\"excavator\","
                 "\"price_per_day\":null,\"description\":null,\"in_maintenance\":false,"
                 "\"maintenance_start_date\":null,\"maintenance_end_date\":null,"
                 "\"creation_date\":\"2026-11-21T12:00:00.000Z\","
                 "\"updated_at\":\"2026-11-21T12:00:02.000Z\"}");
    assert_write_fails(fleet->stage, "PATCH", "/v1/machines/1", "{\"label\":null}", FB_INVALID,
                       "label");
    assert_write_fails(fleet->stage, "PATCH", "/v1/machines/1", "{\"updated_at\":\"now\"}",
                       FB_INVALID, "updated_at");
    assert_write_fails(fleet->stage, "PUT", "/v1/machines/1", "{\"label\":\"a\"}", FB_INVALID,
                       "inventory_id");
    fb_buffer_dispose(&written.payload);
}

static void a_retired_machine_is_gone_and_its_id_is_never_used_again(void **state)
{
    fleet_t *fleet = *state;
    must_write(fleet->stage, "POST", "/v1/machines", DIGGER);
    must_write(fleet->stage, "POST", "/v1/machines", CRANE);
    must_write(fleet->stage, "POST", "/v1/machines/2/maintenance", "{\"duration_days\":5}");
    must_write(fleet->stage, "DELETE", "/v1/machines/2", "");
    assert_read_fails(fleet->view, "/v1/machines/2", FB_NOT_FOUND, NULL);
    assert_read_fails(fleet->view, "/v1/machines/2/maintenance", FB_NOT_FOUND, NULL);
    assert_read_fails(fleet->view, "/v1/machines/2/maintenance/1", FB_NOT_FOUND, NULL);
    assert_read_fails(fleet->view, "/v1/machines/2/calendar?from=2026-11-21&to=2026-11-21",
                      FB_NOT_FOUND, NULL);
    assert_write_fails(fleet->stage, "PATCH", "/v1/machines/2", "{}", FB_NOT_FOUND, NULL);
    assert_write_fails(fleet->stage, "DELETE", "/v1/machines/2", "", FB_NOT_FOUND, NULL);
    assert_int_equal(fb_snapshot_day(fleet->view, FB_PLANE_MAINTENANCE, TODAY)->count, 0);
    assert_int_equal(fleet->view->families[FB_MAINTENANCE].exists.count, 0);
    assert_int_equal(must_write(fleet->stage, "POST", "/v1/machines", CRANE), 3);
}

static void a_list_is_filtered_by_its_parameters(void **state)
{
    fleet_t *fleet = *state;
    must_write(fleet->stage, "POST", "/v1/machines", DIGGER);
    assert_reads(fleet->view, "/v1/machines?type=crane", "{\"machines\":[],\"next\":null}");
    assert_reads(fleet->view, "/v1/machines?status=green", "{\"machines\":[],\"next\":null}");
    assert_read_fails(fleet->view, "/v1/machines?status=blue", FB_INVALID, "status");
    assert_read_fails(fleet->view, "/v1/machines?limit=0", FB_INVALID, "limit");
    assert_read_fails(fleet->view, "/v1/machines?limit=1001", FB_INVALID, "limit");
    assert_read_fails(fleet->view, "/v1/machines?page=2", FB_MALFORMED, "page");
    assert_read_fails(fleet->view, "/v1/machines?cursor=AAAAAAAAAAAAAAAA", FB_MALFORMED, "cursor");
    assert_read_fails(fleet->view, "/v1/machines/1?type=crane", FB_MALFORMED, "type");
}

static void a_list_shows_a_hundred_machines_unless_it_is_asked_for_more(void **state)
{
    fleet_t *fleet = *state;
    static const struct {
        const char *target;
        size_t shown;
    } samples[] = {
        {"/v1/machines", 100},
        {"/v1/availability", 100},
        {"/v1/machines?limit=1000", 1000},
        {"/v1/machines?limit=1", 1},
    };
    for (int i = 0; i < 1001; i++) {
        char body[100];
        snprintf(body, sizeof(body), "{\"label\":\"M\",\"inventory_id\":\"%d\",\"type\":\"crane\"}",
                 i);
        must_write(fleet->stage, "POST", "/v1/machines", body);
    }
    for (size_t i = 0; i < FB_COUNT(samples); i++) {
        fb_buffer_t body = {0};
        fb_error_t error;
        json_error_t fault;
        assert_int_equal(fleet_read(fleet->view, samples[i].target, &body, NULL, &error), FB_OK);
        json_t *page = json_loadb(body.at, body.len, 0, &fault);
        assert_int_equal(json_array_size(json_object_get(page, "machines")), samples[i].shown);
        assert_true(json_is_string(json_object_get(page, "next")));
        json_decref(page);
        fb_buffer_dispose(&body);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_machine_shows_all_its_members),
        TEST(what_is_no_machine_is_refused),
        TEST(an_unknown_type_is_answered_with_the_known_ones),
        TEST(a_type_that_machines_have_stays_known),
        TEST(a_second_inventory_id_is_a_conflict_that_names_the_first),
        TEST(a_patch_changes_what_it_names_and_a_put_all),
        TEST(a_retired_machine_is_gone_and_its_id_is_never_used_again),
        TEST(a_list_is_filtered_by_its_parameters),
        TEST(a_list_shows_a_hundred_machines_unless_it_is_asked_for_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
