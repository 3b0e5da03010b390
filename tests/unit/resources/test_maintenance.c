/* SPDX-License-Identifier: MIT */
#include "resources/maintenance.h"

#include "resources/machines.h"
#include "tests/unit/resources/fleet.h"

#define PATH  "/v1/machines/1/maintenance"
#define CRANE "{\"label\":\"Crane\",\"inventory_id\":\"C-1\",\"type\":\"crane\"}"
#define DRILL "{\"label\":\"Drill\",\"inventory_id\":\"D-1\",\"type\":\"dumper\"}"

typedef struct {
    history_t history;
    fb_stage_t *stage; /* of the test: sealed in the end; it has the machines 1 and 2 */
    const fb_snapshot_t *view;
} fleet_t;

static int set_up(void **state)
{
    fleet_t *fleet = calloc(1, sizeof(*fleet));
    fleet->history = history_create(1);
    fleet->stage = fb_stage_begin(history_now(&fleet->history));
    fleet->view = fb_stage_view(fleet->stage);
    must_write(fleet->stage, "POST", "/v1/machines", CRANE);
    must_write(fleet->stage, "POST", "/v1/machines", DRILL);
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

/* The days of machine 1 from today on: "M" is one in maintenance. */
static void assert_days(const fleet_t *fleet, const char *expected)
{
    char days[64] = "";
    size_t count = strlen(expected);
    for (size_t i = 0; i < count; i++) {
        const fb_bitmap_t *set =
            fb_snapshot_day(fleet->view, FB_PLANE_MAINTENANCE, TODAY + (fb_day_t)i);
        days[i] = set != NULL && fb_bitmap_has(set, 1) ? 'M' : '.';
        assert_false(set != NULL && fb_bitmap_has(set, 2));
    }
    assert_string_equal(days, expected);
}

/* A window of machine 1, in days from today on. */
static uint32_t add_window(fleet_t *fleet, int start, int days)
{
    char body[100], date[FB_DAY_TEXT_BYTES];
    fb_day_format(TODAY + start, date);
    snprintf(body, sizeof(body), "{\"start_date\":\"%.*s\",\"duration_days\":%d}",
             FB_DAY_TEXT_BYTES, date, days);
    return must_write(fleet->stage, "POST", PATH, body);
}

static void end_window(fleet_t *fleet, uint32_t id)
{
    char path[80];
    snprintf(path, sizeof(path), PATH "/%u", id);
    must_write(fleet->stage, "DELETE", path, "");
}

static void a_window_is_given_by_its_end_or_its_duration(void **state)
{
    fleet_t *fleet = *state;
    must_write(fleet->stage, "POST", PATH, "{\"end_date\":\"2026-11-22\",\"reason\":\"oil\"}");
    must_write(fleet->stage, "POST", PATH, "{\"start_date\":\"2026-11-24\",\"duration_days\":1}");
    assert_days(fleet, "MM.M..");
    assert_reads(fleet->view, PATH,
                 "{\"windows\":[{\"id\":1,\"machine_id\":1,\"start_date\":\"2026-11-21\","
                 "\"end_date\":\"2026-11-22\",\"reason\":\"oil\","
                 "\"creation_date\":\"2026-11-21T12:00:00.000Z\"},"
                 "{\"id\":2,\"machine_id\":1,\"start_date\":\"2026-11-24\","
                 "\"end_date\":\"2026-11-24\",\"reason\":null,"
                 "\"creation_date\":\"2026-11-21T12:00:00.000Z\"}]}");
    assert_reads(fleet->view, PATH "/2",
                 "{\"id\":2,\"machine_id\":1,\"start_date\":\"2026-11-24\","
                 "\"end_date\":\"2026-11-24\",\"reason\":null,"
                 "\"creation_date\":\"2026-11-21T12:00:00.000Z\"}");
    assert_reads(fleet->view, "/v1/machines/2/maintenance", "{\"windows\":[]}");
    assert_read_fails(fleet->view, "/v1/machines/2/maintenance/2", FB_NOT_FOUND, NULL);
    assert_read_fails(fleet->view, "/v1/machines/3/maintenance", FB_NOT_FOUND, NULL);
}

static void what_is_no_window_is_refused(void **state)
{
    fleet_t *fleet = *state;
    static const struct {
        const char *body;
        fb_code_t code;
        const char *field;
    } samples[] = {
        {"{}", FB_INVALID, "end_date"},
        {"{\"start_date\":\"2026-11-21\"}", FB_INVALID, "end_date"},
        {"{\"end_date\":\"2026-11-21\",\"duration_days\":1}", FB_INVALID, "end_date"},
        {"{\"start_date\":\"2026-11-21\",\"end_date\":\"2026-11-20\"}", FB_INVALID, "end_date"},
        {"{\"end_date\":\"2026-11-20\"}", FB_INVALID, "end_date"},
        {"{\"start_date\":\"2026-02-30\",\"duration_days\":1}", FB_INVALID, "start_date"},
        {"{\"start_date\":\"today\",\"duration_days\":1}", FB_INVALID, "start_date"},
        {"{\"start_date\":null,\"duration_days\":1}", FB_INVALID, "start_date"},
        {"{\"duration_days\":0}", FB_INVALID, "duration_days"},
        {"{\"duration_days\":3661}", FB_INVALID, "duration_days"},
        {"{\"duration_days\":1.5}", FB_INVALID, "duration_days"},
        {"{\"duration_days\":\"3\"}", FB_INVALID, "duration_days"},
        {"{\"start_date\":\"2026-01-01\",\"end_date\":\"2036-01-09\"}", FB_INVALID, "end_date"},
        {"{\"start_date\":\"2399-12-31\",\"duration_days\":2}", FB_INVALID, "duration_days"},
        {"{\"duration_days\":1,\"machine_id\":2}", FB_MALFORMED, "machine_id"},
        {"{\"duration_days\":1,\"override\":1}", FB_INVALID, "override"},
        {"{\"duration_days\":1,\"id\":7}", FB_INVALID, "id"},
    };
    for (size_t i = 0; i < FB_COUNT(samples); i++)
        assert_write_fails(fleet->stage, "POST", PATH, samples[i].body, samples[i].code,
                           samples[i].field);
    assert_write_fails(fleet->stage, "POST", "/v1/machines/3/maintenance", "{\"duration_days\":1}",
                       FB_NOT_FOUND, NULL);
    assert_days(fleet, "......");
    assert_int_equal(fleet->view->families[FB_MAINTENANCE].last_id, 0);
}

static void the_longest_window_and_the_last_day_are_allowed(void **state)
{
    fleet_t *fleet = *state;
    must_write(fleet->stage, "POST", PATH,
               "{\"start_date\":\"2026-01-01\",\"end_date\":\"2036-01-08\"}");
    must_write(fleet->stage, "POST", PATH, "{\"start_date\":\"2399-12-30\",\"duration_days\":2}");
    must_write(fleet->stage, "POST", PATH, "{\"start_date\":\"1970-01-01\",\"duration_days\":1}");
    fb_window_t window = fb_maintenance_window(fleet->view, 1);
    assert_int_equal(window.end - window.start + 1, FB_WINDOW_DAYS_MAX);
    assert_int_equal(fb_maintenance_window(fleet->view, 2).end, FB_DAY_MAX);
    assert_int_equal(fb_maintenance_window(fleet->view, 3).start, FB_DAY_MIN);
    assert_int_equal(fb_snapshot_day(fleet->view, FB_PLANE_MAINTENANCE, FB_DAY_MAX)->count, 1);
    assert_int_equal(fb_snapshot_day(fleet->view, FB_PLANE_MAINTENANCE, FB_DAY_MIN)->count, 1);
    assert_int_equal(fleet->view->planes[FB_PLANE_MAINTENANCE].count, FB_WINDOW_DAYS_MAX + 3);
    for (uint32_t id = 1; id <= 3; id++)
        end_window(fleet, id);
    assert_int_equal(fb_snapshot_day(fleet->view, FB_PLANE_MAINTENANCE, FB_DAY_MAX)->count, 0);
    assert_int_equal(fb_snapshot_day(fleet->view, FB_PLANE_MAINTENANCE, FB_DAY_MIN)->count, 0);
    assert_int_equal(fb_snapshot_day(fleet->view, FB_PLANE_MAINTENANCE, TODAY)->count, 0);
}

static void a_window_that_ends_leaves_the_days_of_the_others(void **state)
{
    fleet_t *fleet = *state;
    uint32_t whole = add_window(fleet, 0, 12);
    uint32_t first = add_window(fleet, 1, 3);
    uint32_t inner = add_window(fleet, 2, 1);
    uint32_t touching = add_window(fleet, 4, 1);
    uint32_t last = add_window(fleet, 8, 6);
    assert_days(fleet, "MMMMMMMMMMMMMM.");
    end_window(fleet, whole);
    assert_days(fleet, ".MMMM...MMMMMM.");
    end_window(fleet, first);
    assert_days(fleet, "..M.M...MMMMMM.");
    end_window(fleet, touching);
    assert_days(fleet, "..M.....MMMMMM.");
    whole = add_window(fleet, 0, 15);
    assert_int_equal(whole, 6);
    end_window(fleet, last);
    end_window(fleet, inner);
    assert_days(fleet, "MMMMMMMMMMMMMMM");
    end_window(fleet, whole);
    assert_days(fleet, "...............");
}

static void two_windows_of_the_same_days_end_one_after_the_other(void **state)
{
    fleet_t *fleet = *state;
    uint32_t one = add_window(fleet, 1, 2), other = add_window(fleet, 1, 2);
    end_window(fleet, one);
    assert_days(fleet, ".MM.");
    assert_write_fails(fleet->stage, "DELETE", PATH "/1", "", FB_NOT_FOUND, NULL);
    assert_write_fails(fleet->stage, "DELETE", "/v1/machines/2/maintenance/2", "", FB_NOT_FOUND,
                       NULL);
    assert_days(fleet, ".MM.");
    end_window(fleet, other);
    assert_days(fleet, "....");
    assert_int_equal(add_window(fleet, 0, 1), 3); /* an id is never used again */
}

static void assert_current(const fleet_t *fleet, bool today, const char *start, const char *end)
{
    char expected[200];
    fb_buffer_t body = {0};
    fb_error_t error;
    snprintf(expected, sizeof(expected),
             "\"in_maintenance\":%s,\"maintenance_start_date\":%s,\"maintenance_end_date\":%s,",
             today ? "true" : "false", start, end);
    assert_int_equal(fleet_read(fleet->view, "/v1/machines/1", &body, NULL, &error), FB_OK);
    if (memmem(body.at, body.len, expected, strlen(expected)) == NULL)
        fail_msg("%s is not in %.*s", expected, FB_PRINT(fb_buffer_slice(&body)));
    fb_buffer_dispose(&body);
}

static void a_machine_shows_the_window_of_today_or_the_next_one(void **state)
{
    fleet_t *fleet = *state;
    uint32_t past = add_window(fleet, -10, 10);
    assert_current(fleet, false, "null", "null");
    uint32_t later = add_window(fleet, 20, 2);
    assert_current(fleet, false, "\"2026-12-11\"", "\"2026-12-12\"");
    uint32_t next = add_window(fleet, 1, 40);
    assert_current(fleet, false, "\"2026-11-22\"", "\"2026-12-31\"");
    uint32_t today = add_window(fleet, 0, 1);
    assert_current(fleet, true, "\"2026-11-21\"", "\"2026-11-21\"");
    uint32_t since = add_window(fleet, -3, 4);
    assert_current(fleet, true, "\"2026-11-18\"", "\"2026-11-21\"");
    end_window(fleet, today);
    assert_current(fleet, true, "\"2026-11-18\"", "\"2026-11-21\"");
    fb_stage_set_today(fleet->stage, TODAY + 1);
    assert_current(fleet, true, "\"2026-11-22\"", "\"2026-12-31\"");
    end_window(fleet, next);
    assert_current(fleet, false, "\"2026-12-11\"", "\"2026-12-12\"");
    fb_stage_set_today(fleet->stage, TODAY + 22);
    assert_current(fleet, false, "null", "null");
    end_window(fleet, since);
    end_window(fleet, past);
    end_window(fleet, later);
}

static void a_window_over_a_booked_day_needs_an_override(void **state)
{
    fleet_t *fleet = *state;
    written_t written = {0};
    fb_change_t change = {0};
    fb_change_days(&change, FB_PLANE_BOOKED, 1, TODAY + 3, TODAY + 4, true);
    fb_change_days(&change, FB_PLANE_BOOKED, 2, TODAY, TODAY + 1, true);
    fb_stage_apply(fleet->stage, &change);
    fb_change_dispose(&change);
    fleet_write(fleet->stage, NOON, "POST", PATH, "{\"duration_days\":10}", &written);
    assert_error(&written.error, FB_CONFLICT, "start_date");
    assert_non_null(strstr(written.error.detail, "machine 1 is booked on 2026-11-24; "));
    assert_write_fails(fleet->stage, "POST", PATH, "{\"duration_days\":4,\"override\":false}",
                       FB_CONFLICT, "start_date");
    assert_days(fleet, "......");
    must_write(fleet->stage, "POST", PATH, "{\"duration_days\":3}");
    assert_days(fleet, "MMM...");
    must_write(fleet->stage, "POST", PATH, "{\"duration_days\":5,\"override\":true}");
    assert_days(fleet, "MMMMM.");
    assert_true(fb_bitmap_has(fb_snapshot_day(fleet->view, FB_PLANE_BOOKED, TODAY + 3), 1));
    fb_buffer_dispose(&written.payload);
}

static void a_machine_has_a_thousand_windows_at_most(void **state)
{
    fleet_t *fleet = *state;
    for (int i = 0; i < FB_WINDOWS_A_MACHINE; i++)
        add_window(fleet, i % 50, 2);
    assert_write_fails(fleet->stage, "POST", PATH, "{\"duration_days\":1}", FB_CONFLICT, NULL);
    must_write(fleet->stage, "POST", "/v1/machines/2/maintenance",
               "{\"start_date\":\"2027-06-01\",\"duration_days\":1}");
    end_window(fleet, 500);
    add_window(fleet, 0, 1);
    assert_write_fails(fleet->stage, "POST", PATH, "{\"duration_days\":1}", FB_CONFLICT, NULL);
    must_write(fleet->stage, "DELETE", "/v1/machines/1", "");
    assert_int_equal(fleet->view->families[FB_MAINTENANCE].exists.count, 1);
    assert_int_equal(fb_snapshot_day(fleet->view, FB_PLANE_MAINTENANCE, TODAY)->count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_window_is_given_by_its_end_or_its_duration),
        TEST(what_is_no_window_is_refused),
        TEST(the_longest_window_and_the_last_day_are_allowed),
        TEST(a_window_that_ends_leaves_the_days_of_the_others),
        TEST(two_windows_of_the_same_days_end_one_after_the_other),
        TEST(a_machine_shows_the_window_of_today_or_the_next_one),
        TEST(a_window_over_a_booked_day_needs_an_override),
        TEST(a_machine_has_a_thousand_windows_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
