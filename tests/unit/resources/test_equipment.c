/* SPDX-License-Identifier: MIT */
#include "resources/equipment.h"

#include "tests/unit/resources/fleet.h"

#define CRANE(n)  "{\"label\":\"Crane\",\"inventory_id\":\"C-" #n "\",\"type\":\"crane\"}"
#define DUMPER(n) "{\"label\":\"Dumper\",\"inventory_id\":\"D-" #n "\",\"type\":\"dumper\"}"

#define NOTHING "\"status\":null,\"updated_at\":null,\"updated_by\":null,\"note\":null}"
#define RED     "{\"status\":\"red\",\"updated_by\":\"Ann\"}"

/* Machines 1 (a crane), 2 (a dumper) and 3 (a crane). */
static history_t three_machines(fb_stage_t **stage)
{
    history_t history = history_create(1);
    *stage = fb_stage_begin(history_now(&history));
    must_write(*stage, "POST", "/v1/machines", CRANE(1));
    must_write(*stage, "POST", "/v1/machines", DUMPER(2));
    must_write(*stage, "POST", "/v1/machines", CRANE(3));
    return history;
}

static void end(history_t *history, fb_stage_t **stage)
{
    fb_stage_abort(stage);
    history_dispose(history);
}

static void report(fb_stage_t *stage, fb_instant_t now, uint32_t machine, const char *status)
{
    char path[80], body[120];
    written_t written = {0};
    snprintf(path, sizeof(path), "/v1/machines/%u/status", machine);
    snprintf(body, sizeof(body), "{\"status\":\"%s\",\"updated_by\":\"Ann\"}", status);
    if (fleet_write(stage, now, "PUT", path, body, &written) != FB_OK)
        fail_msg("%s", written.error.detail);
    fb_buffer_dispose(&written.payload);
}

static void a_machine_that_reported_nothing_has_no_state(void **state)
{
    (void)state;
    fb_stage_t *stage;
    history_t history = three_machines(&stage);
    const fb_snapshot_t *now = fb_stage_view(stage);
    assert_reads(now, "/v1/machines/2/status", "{\"machine_id\":2," NOTHING);
    assert_read_fails(now, "/v1/machines/4/status", FB_NOT_FOUND, NULL);
    assert_reads(now, "/v1/status",
                 "{\"counts\":{\"green\":0,\"yellow\":0,\"red\":0,\"unknown\":3},\"count\":0,"
                 "\"machines\":[],\"next\":null}");
    end(&history, &stage);
}

static void a_report_is_shown_with_its_time_and_its_author(void **state)
{
    (void)state;
    fb_stage_t *stage;
    written_t written = {0};
    history_t history = three_machines(&stage);
    fleet_write(stage, NOON + 7, "PUT", "/v1/machines/2/status",
                "{\"status\":\"yellow\",\"updated_by\":\"Ann\",\"note\":\"oil\\nlow\"}", &written);
    assert_text(fb_buffer_slice(&written.payload),
                "[[\"put\",\"status\",2,{\"status\":\"yellow\","
                "\"updated_at\":\"2026-11-21T12:00:00.007Z\",\"updated_by\":\"Ann\","
                "\"note\":\"oil\\nlow\"},\"history\",1795262400007]]");
    assert_reads(fb_stage_view(stage), "/v1/machines/2/status",
                 "{\"machine_id\":2,\"status\":\"yellow\","
                 "\"updated_at\":\"2026-11-21T12:00:00.007Z\",\"updated_by\":\"Ann\","
                 "\"note\":\"oil\\nlow\"}");
    /* What is not said again is gone. */
    fleet_write(stage, NOON + 8, "PUT", "/v1/machines/2/status", RED, &written);
    assert_reads(fb_stage_view(stage), "/v1/machines/2/status",
                 "{\"machine_id\":2,\"status\":\"red\",\"updated_at\":\"2026-11-21T12:00:00.008Z\","
                 "\"updated_by\":\"Ann\",\"note\":null}");
    fb_buffer_dispose(&written.payload);
    end(&history, &stage);
}

static void what_was_read_can_be_sent_back(void **state)
{
    (void)state;
    fb_stage_t *stage;
    history_t history = three_machines(&stage);
    fb_buffer_t body = {0};
    fb_error_t error;
    report(stage, NOON, 3, "green");
    fleet_read(fb_stage_view(stage), "/v1/machines/3/status", &body, NULL, &error);
    fb_buffer_put_char(&body, '\0');
    must_write(stage, "PUT", "/v1/machines/3/status", body.at);
    assert_write_fails(stage, "PUT", "/v1/machines/2/status", body.at, FB_INVALID, "machine_id");
    fb_buffer_dispose(&body);
    end(&history, &stage);
}

static void what_is_no_report_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        fb_code_t code;
        const char *field;
    } wrong[] = {
        {"{\"updated_by\":\"Ann\"}", FB_INVALID, "status"},
        {"{\"status\":\"red\"}", FB_INVALID, "updated_by"},
        {"{\"status\":\"blue\",\"updated_by\":\"Ann\"}", FB_INVALID, "status"},
        {"{\"status\":\"Red\",\"updated_by\":\"Ann\"}", FB_INVALID, "status"},
        {"{\"status\":\"\",\"updated_by\":\"Ann\"}", FB_INVALID, "status"},
        {"{\"status\":null,\"updated_by\":\"Ann\"}", FB_INVALID, "status"},
        {"{\"status\":1,\"updated_by\":\"Ann\"}", FB_INVALID, "status"},
        {"{\"status\":\"red\",\"updated_by\":\"\"}", FB_INVALID, "updated_by"},
        {"{\"status\":\"red\",\"updated_by\":\" \"}", FB_INVALID, "updated_by"},
        {"{\"status\":\"red\",\"updated_by\":\"a\\nb\"}", FB_INVALID, "updated_by"},
        {"{\"status\":\"red\",\"updated_by\":\"Ann\",\"note\":5}", FB_INVALID, "note"},
        {"{\"status\":\"red\",\"updated_by\":\"Ann\",\"colour\":1}", FB_MALFORMED, "colour"},
        {"{\"status\":\"red\",\"updated_by\":\"Ann\",\"id\":1}", FB_MALFORMED, "id"},
        {"{\"status\":\"red\",\"updated_by\":\"Ann\",\"status\":\"red\"}", FB_MALFORMED, "status"},
        {"{\"status\":\"red\",\"updated_by\":\"Ann\",\"machine_id\":2}", FB_INVALID, "machine_id"},
        {"{\"status\":\"red\",\"updated_by\":\"Ann\",\"machine_id\":\"1\"}", FB_INVALID,
         "machine_id"},
        {"[]", FB_INVALID, NULL},
        {"", FB_MALFORMED, NULL},
    };
    fb_stage_t *stage;
    history_t history = three_machines(&stage);
    for (size_t i = 0; i < FB_COUNT(wrong); i++)
        assert_write_fails(stage, "PUT", "/v1/machines/1/status", wrong[i].body, wrong[i].code,
                           wrong[i].field);
    assert_write_fails(stage, "PUT", "/v1/machines/4/status", RED, FB_NOT_FOUND, NULL);
    assert_reads(fb_stage_view(stage), "/v1/machines/1/status", "{\"machine_id\":1," NOTHING);
    end(&history, &stage);
}

static void texts_have_their_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *member;
        int most;
    } texts[] = {{"updated_by", 100}, {"note", 1000}};
    fb_stage_t *stage;
    history_t history = three_machines(&stage);
    for (size_t i = 0; i < FB_COUNT(texts); i++) {
        for (int more = 0; more < 2; more++) {
            char body[1200];
            bool is_note = i == 1;
            snprintf(body, sizeof(body), "{\"status\":\"red\",%s\"%s\":\"%0*d\"}",
                     is_note ? "\"updated_by\":\"Ann\"," : "", texts[i].member,
                     texts[i].most + more, 0);
            if (more == 0)
                must_write(stage, "PUT", "/v1/machines/1/status", body);
            else
                assert_write_fails(stage, "PUT", "/v1/machines/1/status", body, FB_INVALID,
                                   texts[i].member);
        }
    }
    end(&history, &stage);
}

static void the_time_of_a_state_never_goes_back(void **state)
{
    (void)state;
    fb_stage_t *stage;
    written_t written = {0};
    history_t history = three_machines(&stage);
    report(stage, NOON + 500, 1, "green");
    fleet_write(stage, NOON, "PUT", "/v1/machines/1/status", RED, &written);
    assert_reads(fb_stage_view(stage), "/v1/machines/1/status",
                 "{\"machine_id\":1,\"status\":\"red\",\"updated_at\":\"2026-11-21T12:00:00.500Z\","
                 "\"updated_by\":\"Ann\",\"note\":null}");
    const char *end_of_payload = "\"history\",1795262400500]]";
    assert_non_null(
        memmem(written.payload.at, written.payload.len, end_of_payload, strlen(end_of_payload)));
    /* That of another machine has nothing to do with it. */
    report(stage, NOON, 2, "red");
    assert_reads(fb_stage_view(stage), "/v1/machines/2/status",
                 "{\"machine_id\":2,\"status\":\"red\",\"updated_at\":\"2026-11-21T12:00:00.000Z\","
                 "\"updated_by\":\"Ann\",\"note\":null}");
    fb_buffer_dispose(&written.payload);
    end(&history, &stage);
}

#define ROW(id, status)                                                                            \
    "{\"machine_id\":" #id ",\"status\":\"" status                                                 \
    "\",\"updated_at\":\"2026-11-21T12:00:00.000Z\",\"updated_by\":\"Ann\",\"note\":null}"

static void lists_are_by_state(void **state)
{
    (void)state;
    fb_stage_t *stage;
    history_t history = three_machines(&stage);
    const fb_snapshot_t *now = fb_stage_view(stage);
    report(stage, NOON, 1, "green");
    report(stage, NOON, 2, "red");
    assert_reads(now, "/v1/status",
                 "{\"counts\":{\"green\":1,\"yellow\":0,\"red\":1,\"unknown\":1},\"count\":2,"
                 "\"machines\":[" ROW(1, "green") "," ROW(2, "red") "],\"next\":null}");
    assert_reads(now, "/v1/status?status=red",
                 "{\"counts\":{\"green\":1,\"yellow\":0,\"red\":1,\"unknown\":1},\"count\":1,"
                 "\"machines\":[" ROW(2, "red") "],\"next\":null}");
    assert_reads(now, "/v1/status?status=yellow",
                 "{\"counts\":{\"green\":1,\"yellow\":0,\"red\":1,\"unknown\":1},\"count\":0,"
                 "\"machines\":[],\"next\":null}");
    assert_reads(now, "/v1/machines?status=red&type=crane", "{\"machines\":[],\"next\":null}");
    assert_reads(now, "/v1/machines?status=yellow", "{\"machines\":[],\"next\":null}");
    static const char *const lists[] = {"/v1/status", "/v1/machines"};
    for (size_t i = 0; i < FB_COUNT(lists); i++) {
        char target[80];
        snprintf(target, sizeof(target), "%s?status=blue", lists[i]);
        assert_read_fails(now, target, FB_INVALID, "status");
        snprintf(target, sizeof(target), "%s?status=unknown", lists[i]);
        assert_read_fails(now, target, FB_INVALID, "status");
        snprintf(target, sizeof(target), "%s?status=", lists[i]);
        assert_read_fails(now, target, FB_INVALID, "status");
    }
    assert_read_fails(now, "/v1/status?type=crane", FB_MALFORMED, "type");
    assert_read_fails(now, "/v1/status?limit=1001", FB_INVALID, "limit");
    assert_read_fails(now, "/v1/status?cursor=AAAA", FB_MALFORMED, "cursor");
    end(&history, &stage);
}

static void a_machine_takes_its_state_with_it(void **state)
{
    (void)state;
    fb_stage_t *stage;
    written_t written = {0};
    history_t history = three_machines(&stage);
    report(stage, NOON, 1, "green");
    report(stage, NOON, 2, "red");
    fleet_write(stage, NOON, "DELETE", "/v1/machines/2", "", &written);
    assert_text(fb_buffer_slice(&written.payload),
                "[[\"delete\",\"status\",2],[\"delete\",\"machine\",2]]");
    assert_reads(fb_stage_view(stage), "/v1/status",
                 "{\"counts\":{\"green\":1,\"yellow\":0,\"red\":0,\"unknown\":1},\"count\":1,"
                 "\"machines\":[" ROW(1, "green") "],\"next\":null}");
    assert_read_fails(fb_stage_view(stage), "/v1/machines/2/status", FB_NOT_FOUND, NULL);
    assert_write_fails(stage, "PUT", "/v1/machines/2/status", RED, FB_NOT_FOUND, NULL);
    /* One that reported nothing has nothing to take. */
    fleet_write(stage, NOON, "DELETE", "/v1/machines/3", "", &written);
    assert_text(fb_buffer_slice(&written.payload), "[[\"delete\",\"machine\",3]]");
    fb_buffer_dispose(&written.payload);
    end(&history, &stage);
}

static void a_machine_does_not_show_its_state(void **state)
{
    (void)state;
    fb_stage_t *stage;
    history_t history = three_machines(&stage);
    fb_buffer_t before = {0}, after = {0};
    fb_error_t error;
    fleet_read(fb_stage_view(stage), "/v1/machines/1", &before, NULL, &error);
    report(stage, NOON, 1, "green");
    fleet_read(fb_stage_view(stage), "/v1/machines/1", &after, NULL, &error);
    assert_same_text(&before, &after);
    fb_buffer_dispose(&before);
    fb_buffer_dispose(&after);
    end(&history, &stage);
}

static fb_code_t read_query(const char *target, fb_route_t *route, fb_args_t *args,
                            fb_error_t *error)
{
    *args = (fb_args_t){0};
    *error = (fb_error_t){0};
    return read_target(target, route, args, error);
}

static void the_history_and_the_stream_have_their_parameters(void **state)
{
    (void)state;
    fb_route_t route;
    fb_args_t args;
    fb_error_t error;
    assert_int_equal(read_query("/v1/machines/42/history?from=2026-11-21T12:00:00Z"
                                "&to=2026-11-21T13:00:00.5%2B01:00&limit=7&cursor=abc",
                                &route, &args, &error),
                     FB_OK);
    assert_int_equal(route.view->source, FB_SOURCE_HISTORY);
    assert_int_equal(args.ids[0], 42);
    assert_int_equal(args.values[FB_HISTORY_FROM].number, NOON);
    assert_int_equal(args.values[FB_HISTORY_TO].number, NOON + 500);
    assert_int_equal(args.values[FB_HISTORY_LIMIT].number, 7);
    assert_text(args.values[FB_HISTORY_CURSOR].text, "abc");
    fb_args_dispose(&args);
    read_query("/v1/machines/42/history?from=yesterday", &route, &args, &error);
    assert_error(&error, FB_MALFORMED, "from");
    fb_args_dispose(&args);
    read_query("/v1/machines/42/history?to=2400-01-01T00:00:00Z", &route, &args, &error);
    assert_error(&error, FB_INVALID, "to");
    fb_args_dispose(&args);
    assert_int_equal(
        read_query("/v1/stream?topics=machine,status&last_event_id=a.7", &route, &args, &error),
        FB_OK);
    assert_int_equal(route.view->source, FB_SOURCE_EVENTS);
    assert_text(args.values[FB_STREAM_TOPICS].text, "machine,status");
    assert_text(args.values[FB_STREAM_LAST_EVENT_ID].text, "a.7");
    fb_args_dispose(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_that_reported_nothing_has_no_state),
        cmocka_unit_test(a_report_is_shown_with_its_time_and_its_author),
        cmocka_unit_test(what_was_read_can_be_sent_back),
        cmocka_unit_test(what_is_no_report_is_refused),
        cmocka_unit_test(texts_have_their_bounds),
        cmocka_unit_test(the_time_of_a_state_never_goes_back),
        cmocka_unit_test(lists_are_by_state),
        cmocka_unit_test(a_machine_takes_its_state_with_it),
        cmocka_unit_test(a_machine_does_not_show_its_state),
        cmocka_unit_test(the_history_and_the_stream_have_their_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
