/* SPDX-License-Identifier: MIT */
#include "tests/unit/resources/check.h"

/* Ten machines in two types; a snapshot of it, and a model that is told the same. */
typedef struct {
    history_t history;
    model_t *model;
    const fb_snapshot_t *now;
} fleet_t;

static void set_days(fb_change_t *change, model_t *model, fb_plane_id_t plane, uint32_t id,
                     fb_day_t from, fb_day_t to)
{
    fb_change_days(change, plane, id, from, to, true);
    for (fb_day_t day = from; day <= to; day++) {
        if (plane == FB_PLANE_BOOKED)
            model_machine(model, id)->booked[model_place(day)] = true;
        else
            model_machine(model, id)->maintenance[model_place(day)] = 1;
    }
}

static int set_up(void **state)
{
    fleet_t *fleet = calloc(1, sizeof(*fleet));
    fleet->history = history_create(1);
    fleet->model = calloc(1, sizeof(*fleet->model));
    fleet->model->today = TODAY;
    fb_stage_t *stage = fb_stage_begin(history_now(&fleet->history));
    fb_stage_raise_last_id(stage, FB_MACHINES, MODEL_FIRST);
    for (uint32_t i = 0; i < 10; i++) {
        char body[100];
        const char *type = i % 3 == 0 ? "crane" : "dumper";
        snprintf(body, sizeof(body),
                 "{\"label\":\"Digger 7\",\"inventory_id\":\"INV-%u\",\"type\":\"%s\"}", i, type);
        must_write(stage, "POST", "/v1/machines", body);
        fleet->model->machines[fleet->model->machine_count++] = (model_machine_t){.exists = true,
                                                                                  .label = 1,
                                                                                  .inventory = i,
                                                                                  .type = type,
                                                                                  .price = -1,
                                                                                  .created = NOON,
                                                                                  .updated = NOON};
    }
    fb_change_t change = {0};
    set_days(&change, fleet->model, FB_PLANE_BOOKED, MODEL_FIRST + 1, TODAY, TODAY + 3);
    set_days(&change, fleet->model, FB_PLANE_BOOKED, MODEL_FIRST + 2, TODAY + 2, TODAY + 2);
    set_days(&change, fleet->model, FB_PLANE_BOOKED, MODEL_FIRST + 4, TODAY + 90, TODAY + 91);
    fb_stage_apply(stage, &change);
    fb_change_dispose(&change);
    history_push(&fleet->history, &stage);
    fleet->now = history_now(&fleet->history);
    *state = fleet;
    return 0;
}

static int tear_down(void **state)
{
    fleet_t *fleet = *state;
    history_dispose(&fleet->history);
    free(fleet->model);
    free(fleet);
    return 0;
}

static void a_machine_that_is_booked_on_one_day_of_a_range_is_not_free(void **state)
{
    fleet_t *fleet = *state;
    const char *types[] = {NULL, "crane", "dumper", "excavator"};
    for (size_t t = 0; t < FB_COUNT(types); t++) {
        for (int from = -3; from < 6; from++) {
            for (int days = 0; days < 5; days++)
                check_availability(fleet->now, fleet->model, TODAY + from, TODAY + from + days,
                                   types[t], 3);
            check_availability(fleet->now, fleet->model, TODAY + from, 0, types[t], 1000);
            check_calendar(fleet->now, fleet->model, TODAY + from, TODAY + 92, types[t]);
        }
        check_availability(fleet->now, fleet->model, TODAY - 3, TODAY + 92, types[t], 2);
    }
}

static void without_a_date_it_is_today(void **state)
{
    fleet_t *fleet = *state;
    check_availability(fleet->now, fleet->model, 0, 0, NULL, 100);
    check_availability(fleet->now, fleet->model, 0, 0, "crane", 1);
    fb_stage_t *stage = fb_stage_begin(fleet->now);
    fb_stage_set_today(stage, TODAY + 4);
    fleet->model->today = TODAY + 4;
    check_availability(fb_stage_view(stage), fleet->model, 0, 0, NULL, 100);
    fb_stage_abort(&stage);
}

static void the_count_is_the_whole_count_whatever_the_page(void **state)
{
    fleet_t *fleet = *state;
    for (size_t limit = 1; limit <= 11; limit++) {
        char target[60];
        fb_buffer_t body = {0};
        fb_error_t error;
        snprintf(target, sizeof(target), "/v1/availability?date=2026-11-21&limit=%zu", limit);
        assert_int_equal(fleet_read(fleet->now, target, &body, NULL, &error), FB_OK);
        static const char beginning[] = "{\"date\":\"2026-11-21\",\"count\":9,\"machines\":[";
        assert_memory_equal(body.at, beginning, sizeof(beginning) - 1);
        assert_int_equal(page_cursor(fb_buffer_slice(&body)).len, limit < 9 ? 20 : 0);
        fb_buffer_dispose(&body);
    }
}

static void a_question_that_makes_no_sense_is_refused(void **state)
{
    fleet_t *fleet = *state;
    static const struct {
        const char *query;
        fb_code_t code;
        const char *field;
    } samples[] = {
        {"date=2026-02-30", FB_INVALID, "date"},
        {"date=21.11.2026", FB_MALFORMED, "date"},
        {"date=", FB_MALFORMED, "date"},
        {"date=2026-11-21&from=2026-11-21&to=2026-11-22", FB_INVALID, "date"},
        {"date=2026-11-21&to=2026-11-22", FB_INVALID, "date"},
        {"from=2026-11-21", FB_INVALID, "to"},
        {"to=2026-11-21", FB_INVALID, "from"},
        {"from=2026-11-21&to=2026-11-20", FB_INVALID, "to"},
        {"from=2026-01-01&to=2027-01-02", FB_INVALID, "to"},
        {"from=1970-01-01&to=2399-12-31", FB_INVALID, "to"},
        {"type=submarine", FB_INVALID, "type"},
        {"type=", FB_INVALID, "type"},
        {"limit=0", FB_INVALID, "limit"},
        {"limit=1001", FB_INVALID, "limit"},
        {"status=green", FB_MALFORMED, "status"},
        {"date=2026-11-21&date=2026-11-21", FB_MALFORMED, "date"},
        {"date=%zz", FB_MALFORMED, "date"},
        {"cursor=x", FB_MALFORMED, "cursor"},
    };
    for (size_t i = 0; i < FB_COUNT(samples); i++) {
        char target[100];
        snprintf(target, sizeof(target), "/v1/availability?%s", samples[i].query);
        assert_read_fails(fleet->now, target, samples[i].code, samples[i].field);
    }
}

static void a_calendar_needs_a_range_of_at_most_366_days(void **state)
{
    fleet_t *fleet = *state;
    static const char *const paths[] = {"/v1/availability/calendar", "/v1/machines/8101/calendar"};
    for (size_t i = 0; i < FB_COUNT(paths); i++) {
        static const struct {
            const char *query;
            fb_code_t code;
            const char *field;
        } samples[] = {
            {"", FB_INVALID, "from"},
            {"?from=2026-11-21", FB_INVALID, "to"},
            {"?to=2026-11-21", FB_INVALID, "from"},
            {"?from=2026-11-21&to=2026-11-20", FB_INVALID, "to"},
            {"?from=2027-01-01&to=2028-01-02", FB_INVALID, "to"},
            {"?from=2027-02-29&to=2027-03-01", FB_INVALID, "from"},
            {"?date=2026-11-21", FB_MALFORMED, "date"},
        };
        char target[100];
        for (size_t n = 0; n < FB_COUNT(samples); n++) {
            snprintf(target, sizeof(target), "%s%s", paths[i], samples[n].query);
            assert_read_fails(fleet->now, target, samples[n].code, samples[n].field);
        }
        fb_buffer_t body = {0};
        fb_error_t error;
        snprintf(target, sizeof(target), "%s?from=2399-01-01&to=2399-12-31", paths[i]);
        assert_int_equal(fleet_read(fleet->now, target, &body, NULL, &error), FB_OK);
        snprintf(target, sizeof(target), "%s?from=2027-01-01&to=2028-01-01", paths[i]);
        assert_int_equal(fleet_read(fleet->now, target, &body, NULL, &error), FB_OK);
        fb_buffer_dispose(&body);
    }
    assert_read_fails(fleet->now, "/v1/availability/calendar?from=2026-11-21&to=2026-11-21&type=x",
                      FB_INVALID, "type");
    assert_read_fails(fleet->now, "/v1/machines/7/calendar?from=2026-11-21&to=2026-11-21",
                      FB_NOT_FOUND, NULL);
}

static void the_calendar_of_a_machine_says_what_takes_each_day(void **state)
{
    fleet_t *fleet = *state;
    fb_stage_t *stage = fb_stage_begin(fleet->now);
    must_write(stage, "POST", "/v1/machines/8101/maintenance",
               "{\"start_date\":\"2026-11-24\",\"duration_days\":2,\"override\":true}");
    must_write(stage, "POST", "/v1/machines/8101/maintenance",
               "{\"start_date\":\"2026-11-25\",\"duration_days\":1}");
    assert_reads(fb_stage_view(stage), "/v1/machines/8101/calendar?from=2026-11-23&to=2026-11-26",
                 "{\"machine_id\":8101,\"from\":\"2026-11-23\",\"to\":\"2026-11-26\",\"days\":["
                 "{\"date\":\"2026-11-23\",\"available\":false,\"maintenance\":false,"
                 "\"booked\":true,\"windows\":[],\"order_id\":null},"
                 "{\"date\":\"2026-11-24\",\"available\":false,\"maintenance\":true,"
                 "\"booked\":true,\"windows\":[1],\"order_id\":null},"
                 "{\"date\":\"2026-11-25\",\"available\":false,\"maintenance\":true,"
                 "\"booked\":false,\"windows\":[1,2],\"order_id\":null},"
                 "{\"date\":\"2026-11-26\",\"available\":true,\"maintenance\":false,"
                 "\"booked\":false,\"windows\":[],\"order_id\":null}]}");
    fb_stage_abort(&stage);
    check_machine_calendar(fleet->now, fleet->model, MODEL_FIRST + 1, TODAY - 2, TODAY + 20);
    check_machine_calendar(fleet->now, fleet->model, MODEL_FIRST + 3, TODAY - 2, TODAY + 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_that_is_booked_on_one_day_of_a_range_is_not_free),
        TEST(without_a_date_it_is_today),
        TEST(the_count_is_the_whole_count_whatever_the_page),
        TEST(a_question_that_makes_no_sense_is_refused),
        TEST(a_calendar_needs_a_range_of_at_most_366_days),
        TEST(the_calendar_of_a_machine_says_what_takes_each_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
