/* SPDX-License-Identifier: MIT */
#include "resources/listing.h"
#include "tests/unit/resources/fleet.h"

#define LENGTHS "Length of actual, goal, and time data must be the same."

static fb_buffer_t body_of(const char *actual, const char *goal, const char *time)
{
    fb_buffer_t body = {0};
    fb_buffer_printf(&body,
                     "{\"factory\":{\"chart_data\":{\"sprocket_production_actual\":%s,"
                     "\"sprocket_production_goal\":%s,\"time\":%s}}}",
                     actual, goal, time);
    fb_buffer_put_char(&body, '\0');
    return body;
}

static void assert_refused(const char *body, fb_code_t code, const char *detail)
{
    fb_route_t route;
    fb_args_t args = {0};
    fb_error_t error = {0};
    fb_registry_route(FB_SLICE("POST"), FB_SLICE("/v1/factories"), &route, &error);
    fb_registry_begin_args(&route, &args);
    fb_registry_read_body(&route, fb_slice(body), &args, &error);
    if (error.code != code || strcmp(error.detail, detail) != 0)
        fail_msg("%s\n is: %s\nnot: %s", body, error.detail, detail);
    fb_args_dispose(&args);
}

static void a_chart_is_shown_as_it_was_given(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    uint32_t id = must_write(stage, "POST", "/v1/factories",
                             " { \"factory\" :{\"chart_data\":{ \"time\":[1 ,\n2.50],\n"
                             "\"sprocket_production_goal\":[-0,1E+5],"
                             "\"sprocket_production_\\u0061ctual\":[0.10,12345678901234567890]}}}");
    assert_int_equal(id, 1);
    assert_reads(fb_stage_view(stage), "/v1/factories/1",
                 "{\"id\":1,\"chart_data\":{\"sprocket_production_actual\":[0.10,"
                 "12345678901234567890],\"sprocket_production_goal\":[-0,1E+5],"
                 "\"time\":[1,2.50]}}");
    history_push(&history, &stage);
    history_dispose(&history);
}

static void what_is_no_chart_is_refused_in_the_old_words(void **state)
{
    (void)state;
    static const char *const structures[] = {
        "{}",
        "[]",
        "1",
        "null",
        "\"factory\"",
        "{\"factory\":{}}",
        "{\"factory\":[]}",
        "{\"factory\":{\"chart_data\":{}}}",
        "{\"factory\":{\"chart_data\":null}}",
        "{\"factory\":{\"chart_data\":{\"time\":[1],\"sprocket_production_goal\":[1]}}}",
    };
    static const struct {
        const char *actual, *goal, *time;
        fb_code_t code;
        const char *detail;
    } charts[] = {
        {"[1,2]", "[1]", "[1]", FB_MALFORMED, LENGTHS},
        {"[1]", "[1,2]", "[1]", FB_MALFORMED, LENGTHS},
        {"[1]", "[1]", "[]", FB_MALFORMED, LENGTHS},
        {"[]", "[]", "[]", FB_INVALID, "chart_data: must have 1 to 100000 points, not 0"},
        {"[\"1\"]", "[1]", "[1]", FB_INVALID,
         "sprocket_production_actual: must be an array of numbers"},
        {"[1]", "[[1]]", "[1]", FB_INVALID,
         "sprocket_production_goal: must be an array of numbers"},
        {"[1]", "[1]", "[NaN]", FB_INVALID, "time: must be an array of numbers"},
        {"[1]", "[1]", "1", FB_INVALID, "time: must be an array of numbers"},
        {"[1]", "[1]", "[1],\"more\":1", FB_MALFORMED, "more: there is no such member here"},
        {"[1]", "[1]", "[1],\"ti\\u006De\":[1]", FB_MALFORMED,
         "ti\\u006De: the member occurs twice"},
    };
    for (size_t i = 0; i < FB_COUNT(structures); i++)
        assert_refused(structures[i], FB_MALFORMED, "Invalid JSON structure.");
    for (size_t i = 0; i < FB_COUNT(charts); i++) {
        fb_buffer_t body = body_of(charts[i].actual, charts[i].goal, charts[i].time);
        assert_refused(body.at, charts[i].code, charts[i].detail);
        fb_buffer_dispose(&body);
    }
    assert_refused("{\"factory\":{\"chart_data\":{}},\"x\":1}", FB_MALFORMED,
                   "Invalid JSON structure.");
    assert_refused("{\"x\":1}", FB_MALFORMED, "x: there is no such member here");
}

static void put_ones(fb_buffer_t *array, size_t count)
{
    array->len = 0;
    fb_buffer_put_char(array, '[');
    for (size_t i = 0; i < count; i++)
        fb_buffer_put_text(array, i > 0 ? ",1" : "1");
    fb_buffer_put_char(array, ']');
    fb_buffer_put_char(array, '\0');
}

static void the_points_are_bounded(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_buffer_t array = {0};
    put_ones(&array, 100000);
    fb_buffer_t body = body_of(array.at, array.at, array.at);
    must_write(stage, "POST", "/v1/factories", body.at);
    fb_buffer_dispose(&body);
    put_ones(&array, 100001);
    body = body_of(array.at, array.at, array.at);
    assert_refused(body.at, FB_INVALID, "chart_data: must have 1 to 100000 points, not 100001");
    fb_buffer_dispose(&body);
    fb_buffer_dispose(&array);
    history_push(&history, &stage);
    history_dispose(&history);
}

/* --- families that are only kept and shown ------------------------------------------------- */

static void put_sprocket(fb_stage_t *stage, const char *method, const char *path, unsigned teeth,
                         fb_buffer_t *shown)
{
    char body[120];
    snprintf(body, sizeof(body),
             "{\"teeth\":%u,\"pitch_diameter\":0.10,\"outside_diameter\":1e2,\"pitch\":-0.5}",
             teeth);
    uint32_t id = must_write(stage, method, path, body);
    shown->len = 0;
    fb_buffer_printf(shown,
                     "{\"id\":%u,\"teeth\":%u,\"pitch_diameter\":0.1,"
                     "\"outside_diameter\":100,\"pitch\":-0.5}",
                     id, teeth);
    fb_buffer_put_char(shown, '\0');
}

static void a_sprocket_is_created_replaced_and_read_under_both_names(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_buffer_t shown = {0}, list = {0};
    put_sprocket(stage, "POST", "/v1/sprocket", 5, &shown);
    assert_reads(fb_stage_view(stage), "/v1/sprockets/1", shown.at);
    put_sprocket(stage, "PUT", "/v1/sprocket/1", 6, &shown);
    assert_reads(fb_stage_view(stage), "/v1/sprocket/1", shown.at);
    fb_buffer_printf(&list, "{\"sprockets\":[%s],\"next\":null}", shown.at);
    fb_buffer_put_char(&list, '\0');
    assert_reads(fb_stage_view(stage), "/v1/sprockets", list.at);
    assert_reads(fb_stage_view(stage), "/v1/sprocket?limit=1", list.at);
    assert_read_fails(fb_stage_view(stage), "/v1/sprockets/2", FB_NOT_FOUND, NULL);
    assert_write_fails(stage, "PUT", "/v1/sprockets/2",
                       "{\"teeth\":1,\"pitch\":1,\"pitch_diameter\":1,\"outside_diameter\":1}",
                       FB_NOT_FOUND, NULL);
    assert_write_fails(stage, "POST", "/v1/sprockets", "{\"teeth\":1}", FB_INVALID,
                       "pitch_diameter");
    assert_write_fails(stage, "POST", "/v1/sprockets", "{\"teeth\":-1}", FB_INVALID, "teeth");
    assert_write_fails(stage, "POST", "/v1/sprockets", "{\"teeth\":1.5}", FB_INVALID, "teeth");
    assert_write_fails(stage, "POST", "/v1/sprockets", "{\"pitch\":\"1\"}", FB_INVALID, "pitch");
    fb_buffer_dispose(&shown);
    fb_buffer_dispose(&list);
    history_push(&history, &stage);
    history_dispose(&history);
}

static void a_cursor_goes_on_under_both_names(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_buffer_t shown = {0}, page = {0}, other = {0};
    fb_error_t error;
    char target[120];
    for (unsigned i = 0; i < 5; i++)
        put_sprocket(stage, "POST", "/v1/sprockets", 10 + i, &shown);
    const fb_snapshot_t *now = fb_stage_view(stage);
    assert_int_equal(fleet_read(now, "/v1/sprocket?limit=2", &page, NULL, &error), FB_OK);
    fb_slice_t cursor = page_cursor(fb_buffer_slice(&page));
    assert_true(cursor.len > 0);
    snprintf(target, sizeof(target), "/v1/sprockets?limit=3&cursor=%.*s", FB_PRINT(cursor));
    assert_int_equal(fleet_read(now, target, &other, NULL, &error), FB_OK);
    assert_non_null(memmem(other.at, other.len, "\"id\":5", 6));
    assert_null(memmem(other.at, other.len, "\"id\":2", 6));
    snprintf(target, sizeof(target), "/v1/factories?cursor=%.*s", FB_PRINT(cursor));
    assert_read_fails(now, target, FB_MALFORMED, "cursor");
    fb_buffer_dispose(&shown);
    fb_buffer_dispose(&page);
    fb_buffer_dispose(&other);
    history_push(&history, &stage);
    history_dispose(&history);
}

static uint64_t stamp_of(const fb_snapshot_t *snapshot, const char *target)
{
    fb_buffer_t body = {0};
    fb_error_t error;
    uint64_t stamp = 0;
    assert_int_equal(fleet_read(snapshot, target, &body, &stamp, &error), FB_OK);
    fb_buffer_dispose(&body);
    return stamp;
}

static void a_stamp_is_that_of_what_is_shown(void **state)
{
    (void)state;
    static const char *const targets[] = {"/v1/sprockets/1", "/v1/sprocket/1", "/v1/sprockets",
                                          "/v1/sprocket"};
    history_t history = history_create(2);
    fb_buffer_t shown = {0}, chart = body_of("[1]", "[1]", "[1]");
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    put_sprocket(stage, "POST", "/v1/sprockets", 5, &shown);
    put_sprocket(stage, "POST", "/v1/sprockets", 5, &shown);
    history_push(&history, &stage);
    uint64_t before[FB_COUNT(targets)];
    for (size_t i = 0; i < FB_COUNT(targets); i++)
        before[i] = stamp_of(history_now(&history), targets[i]);
    stage = fb_stage_begin(history_now(&history));
    must_write(stage, "POST", "/v1/factories", chart.at); /* of another family: of none of these */
    history_push(&history, &stage);
    for (size_t i = 0; i < FB_COUNT(targets); i++)
        assert_int_equal(stamp_of(history_now(&history), targets[i]), before[i]);
    stage = fb_stage_begin(history_now(&history));
    put_sprocket(stage, "PUT", "/v1/sprocket/2", 6, &shown);
    history_push(&history, &stage);
    for (size_t i = 0; i < FB_COUNT(targets); i++)
        assert_int_equal(stamp_of(history_now(&history), targets[i]) != before[i], i >= 2);
    fb_buffer_dispose(&shown);
    fb_buffer_dispose(&chart);
    history_dispose(&history);
}

/* --- large rows ---------------------------------------------------------------------------- */

static void a_page_has_room_for_so_many_bytes(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_buffer_t array = {0}, page = {0};
    fb_error_t error;
    char target[120] = "/v1/factories";
    put_ones(&array, 100000); /* 600 kB a factory */
    fb_buffer_t body = body_of(array.at, array.at, array.at);
    for (unsigned i = 0; i < 40; i++)
        must_write(stage, "POST", "/v1/factories", body.at);
    unsigned pages = 0, last = 0;
    for (fb_slice_t cursor = {"", 1}; cursor.len > 0; pages++) {
        assert_int_equal(fleet_read(fb_stage_view(stage), target, &page, NULL, &error), FB_OK);
        assert_true(page.len <= FB_PAGE_BYTES_MAX);
        for (const char *at = page.at;
             (at = memmem(at, (size_t)(page.at + page.len - at), "\"id\":", 5)); at++)
            assert_int_equal(strtoul(at + 5, NULL, 10), ++last);
        cursor = page_cursor(fb_buffer_slice(&page));
        snprintf(target, sizeof(target), "/v1/factories?cursor=%.*s", FB_PRINT(cursor));
    }
    assert_int_equal(last, 40);
    assert_int_equal(pages, 2);
    fb_buffer_dispose(&array);
    fb_buffer_dispose(&body);
    fb_buffer_dispose(&page);
    history_push(&history, &stage);
    history_dispose(&history);
}

static const fb_event_t *last_event(const fb_snapshot_t *snapshot)
{
    return fb_events_get(&snapshot->events, snapshot->events.end - 1);
}

static void the_event_of_a_large_row_says_that_it_is_to_be_read(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_buffer_t array = {0};
    put_ones(&array, 20000);
    fb_buffer_t small = body_of("[1]", "[1]", "[1]"), large = body_of(array.at, array.at, array.at);
    must_write(stage, "POST", "/v1/factories", small.at);
    const fb_event_t *event = last_event(fb_stage_view(stage));
    assert_non_null(memmem(event->text, event->len, "data: {\"id\":1,\"chart_data\"", 26));
    assert_true(fb_event_is_newest(fb_stage_view(stage), event));
    must_write(stage, "POST", "/v1/factories", large.at);
    event = last_event(fb_stage_view(stage));
    assert_non_null(memmem(event->text, event->len, "data: {\"id\":2,\"too_large\":true}\n", 32));
    assert_true(event->len < 200);
    assert_true(fb_event_is_newest(fb_stage_view(stage), event));
    fb_buffer_dispose(&array);
    fb_buffer_dispose(&small);
    fb_buffer_dispose(&large);
    history_push(&history, &stage);
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chart_is_shown_as_it_was_given),
        cmocka_unit_test(what_is_no_chart_is_refused_in_the_old_words),
        cmocka_unit_test(the_points_are_bounded),
        cmocka_unit_test(a_sprocket_is_created_replaced_and_read_under_both_names),
        cmocka_unit_test(a_cursor_goes_on_under_both_names),
        cmocka_unit_test(a_stamp_is_that_of_what_is_shown),
        cmocka_unit_test(a_page_has_room_for_so_many_bytes),
        cmocka_unit_test(the_event_of_a_large_row_says_that_it_is_to_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
