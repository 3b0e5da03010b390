/* SPDX-License-Identifier: MIT */
#include "resources/snapshot.h"

#include "resources/machines.h"
#include "tests/unit/resources/check.h"
#include "tests/unit/resources/program.h"

#define ENTRIES 150

/* What a memo keeps: an answer, and the stamp by which it knows that the answer still holds. */
typedef struct {
    const fb_view_t *view;
    char target[200];
    fb_buffer_t body;
    uint64_t stamp;
    bool kept;
} entry_t;

static void add_parameter(entry_t *entry, const fb_field_t *field, chance_t *chance)
{
    size_t len = strlen(entry->target);
    char *rest = entry->target + len, date[FB_DAY_TEXT_BYTES];
    size_t room = sizeof(entry->target) - len;
    fb_day_t least = strcmp(field->name, "to") == 0 ? TODAY + 5 : TODAY - 15;
    fb_day_t most = strcmp(field->name, "from") == 0 ? TODAY + 5 : TODAY + 50;
    const char *text =
        strcmp(field->name, "type") == 0 ? fleet_types[chance_below(chance, 3)] : "green";
    switch (field->kind) {
    case FB_KIND_DATE:
        fb_day_format((fb_day_t)chance_between(chance, least, most), date);
        snprintf(rest, room, "&%s=%.*s", field->name, FB_DAY_TEXT_BYTES, date);
        break;
    case FB_KIND_INTEGER:
        snprintf(rest, room, "&%s=%u", field->name, 1 + chance_below(chance, 40));
        break;
    default:
        snprintf(rest, room, "&%s=%s", field->name, text);
    }
}

/* Any view of the registry with any of its parameters but the cursor. */
static void entry_init(entry_t *entry, const fb_view_t *view, const model_t *model,
                       chance_t *chance)
{
    uint32_t window = 1 + chance_below(chance, model->window_count + 1);
    uint32_t machine = chance_machine(chance, model);
    if (window <= model->window_count && strstr(view->path, "{window}") != NULL)
        machine = model->windows[window - 1].machine;
    fb_buffer_t path = {0};
    fb_registry_put_path(&path, view->path, (const uint32_t[]){machine, window});
    entry->view = view;
    entry->kept = false;
    snprintf(entry->target, sizeof(entry->target), "%.*s?", FB_PRINT(fb_buffer_slice(&path)));
    fb_buffer_dispose(&path);
    for (unsigned f = 0; f < view->query_count; f++) {
        const fb_field_t *field = &view->query[f];
        bool wanted = (field->flags & FB_REQUIRED) || chance_below(chance, 3) == 0;
        if (wanted && strcmp(field->name, "cursor") != 0)
            add_parameter(entry, field, chance);
    }
}

/* The next page of an answer, where it has one. */
static void entry_follow(entry_t *next, const entry_t *entry)
{
    const fb_slice_t body = fb_buffer_slice(&entry->body);
    if (memmem(body.at, body.len, "\"next\":\"", 8) == NULL || strstr(entry->target, "cursor"))
        return;
    next->view = entry->view;
    next->kept = false;
    int len = snprintf(next->target, sizeof(next->target), "%s&cursor=%.*s", entry->target,
                       FB_PRINT(page_cursor(body)));
    assert_true(len < (int)sizeof(next->target));
}

/* Does the memo's rule hold? An answer whose stamp has not moved is still the right one. */
static bool entry_check(entry_t *entry, const fb_snapshot_t *snapshot, fb_buffer_t *body)
{
    fb_error_t error;
    uint64_t stamp = 0;
    fb_code_t code = fleet_read(snapshot, entry->target, body, &stamp, &error);
    bool holds = entry->kept && stamp == entry->stamp;
    if (holds) {
        assert_int_equal(code, FB_OK);
        assert_same_text(body, &entry->body);
    }
    entry->kept = code == FB_OK;
    entry->stamp = stamp;
    entry->body.len = 0;
    fb_buffer_put_slice(&entry->body, fb_buffer_slice(body));
    return holds;
}

/* Of those that are answered from a snapshot. */
static const fb_view_t *view_at(uint32_t number)
{
    for (unsigned family = 0;; family = (family + 1) % fb_registry_count()) {
        const fb_resource_t *resource = fb_registry_resource(family);
        for (unsigned i = 0; i < resource->view_count; i++) {
            const fb_view_t *view = &resource->views[i];
            if (view->source == FB_SOURCE_SNAPSHOT && number-- == 0)
                return view;
        }
    }
}

/* A step of any kind: a command, a booking, a new day. */
static void change_something(fb_stage_t *stage, model_t *model, chance_t *chance)
{
    written_t written = {0};
    fb_change_t change = {0};
    step_t step;
    uint32_t kind = chance_below(chance, 20);
    if (kind == 0 && model->today < TODAY + 30) {
        fb_stage_set_today(stage, ++model->today);
    } else if (kind < 3) {
        fb_day_t from = (fb_day_t)chance_between(chance, TODAY - 15, TODAY + 50);
        fb_change_days(&change, FB_PLANE_BOOKED, chance_machine(chance, model), from, from + 2,
                       chance_below(chance, 2) == 0);
        fb_stage_apply(stage, &change);
        fb_change_dispose(&change);
    } else {
        step_random(&step, chance, model, NOON);
        fleet_write(stage, NOON, step.method, step.path, step.body, &written);
        fb_buffer_dispose(&written.payload);
    }
}

static void an_answer_whose_stamp_stays_is_still_the_right_one(void **state)
{
    (void)state;
    enum { SNAPSHOTS = 500 };
    static entry_t entries[ENTRIES];
    chance_t chance = chance_init();
    model_t *model = calloc(1, sizeof(*model));
    history_t history = history_create(1);
    fb_buffer_t body = {0};
    size_t held = 0, changed = 0;
    model->today = TODAY;
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_stage_raise_last_id(stage, FB_MACHINES, MODEL_FIRST);
    history_push(&history, &stage);
    for (uint32_t n = 0; n < ENTRIES; n++)
        entry_init(&entries[n], view_at(n), model, &chance);
    for (int i = 0; i < SNAPSHOTS; i++) {
        stage = fb_stage_begin(history_now(&history));
        for (uint32_t n = i < 40 ? 4 : chance_below(&chance, 2) + 1; n > 0; n--)
            change_something(stage, model, &chance);
        history_push(&history, &stage);
        for (uint32_t n = 0; n < ENTRIES; n++) {
            bool holds = entry_check(&entries[n], history_now(&history), &body);
            held += holds;
            changed += !holds;
            if (!entries[n].kept || chance_below(&chance, 50) == 0)
                entry_init(&entries[n], view_at(n), model, &chance);
            else if (chance_below(&chance, 4) == 0)
                entry_follow(&entries[(n + 1) % ENTRIES], &entries[n]);
        }
    }
    /* Neither rule is empty: some answers held, and some did not. */
    assert_true(held > 1000 && changed > 1000);
    for (uint32_t n = 0; n < ENTRIES; n++)
        fb_buffer_dispose(&entries[n].body);
    memset(entries, 0, sizeof(entries));
    fb_buffer_dispose(&body);
    history_dispose(&history);
    free(model);
}

/* --- what a change does not touch --------------------------------------------------------- */

#define CRANE(n) "{\"label\":\"Crane\",\"inventory_id\":\"C-" #n "\",\"type\":\"crane\"}"

/* Two machines, each with one window: 1 in December, 2 in January. */
static history_t two_machines(void)
{
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    must_write(stage, "POST", "/v1/machines", CRANE(1));
    must_write(stage, "POST", "/v1/machines", CRANE(2));
    must_write(stage, "POST", "/v1/machines/1/maintenance",
               "{\"start_date\":\"2026-12-10\",\"duration_days\":3}");
    must_write(stage, "POST", "/v1/machines/2/maintenance",
               "{\"start_date\":\"2027-01-10\",\"duration_days\":3}");
    history_push(&history, &stage);
    return history;
}

static void change(history_t *history, const char *method, const char *path, const char *body)
{
    fb_stage_t *stage = fb_stage_begin(history_now(history));
    must_write(stage, method, path, body);
    history_push(history, &stage);
}

static uint64_t stamp_of(const history_t *history, const char *target)
{
    uint64_t stamp = 0, again = 0;
    fb_buffer_t body = {0};
    fb_error_t error;
    fleet_read(history_now(history), target, &body, &stamp, &error);
    fleet_read(history_now(history), target, &body, &again, &error);
    assert_int_equal(stamp, again);
    fb_buffer_dispose(&body);
    return stamp;
}

static const char *const of_machine_2[] = {
    "/v1/machines/2",
    "/v1/machines/2/maintenance",
    "/v1/machines/2/maintenance/2",
    "/v1/machines/2/calendar?from=2027-01-01&to=2027-01-31",
};

/* Holds the stamps of some targets before and after a command: all stay, or all move. */
static void assert_stamps(history_t *history, const char *const *targets, size_t count, bool stay,
                          const char *method, const char *path, const char *body)
{
    uint64_t stamps[8];
    assert_true(count <= 8);
    for (size_t i = 0; i < count; i++)
        stamps[i] = stamp_of(history, targets[i]);
    change(history, method, path, body);
    for (size_t i = 0; i < count; i++) {
        if ((stamp_of(history, targets[i]) == stamps[i]) != stay)
            fail_msg("%s %s %s the stamp of %s", method, path, stay ? "moves" : "leaves",
                     targets[i]);
    }
}

static void a_change_of_one_machine_leaves_the_stamps_of_the_others(void **state)
{
    (void)state;
    history_t history = two_machines();
    const size_t count = FB_COUNT(of_machine_2);
    assert_stamps(&history, of_machine_2, count, true, "PATCH", "/v1/machines/1",
                  "{\"label\":\"A\"}");
    assert_stamps(&history, of_machine_2, count, true, "PUT", "/v1/machines/1", CRANE(3));
    assert_stamps(&history, of_machine_2, count, true, "POST", "/v1/machines/1/maintenance",
                  "{\"duration_days\":5}");
    assert_stamps(&history, of_machine_2, count, true, "DELETE", "/v1/machines/1/maintenance/3",
                  "");
    assert_stamps(&history, of_machine_2, count, true, "POST", "/v1/machines", CRANE(4));
    assert_stamps(&history, of_machine_2, count, true, "DELETE", "/v1/machines/1", "");
    history_dispose(&history);
}

static void a_change_of_a_machine_moves_its_own_stamps(void **state)
{
    (void)state;
    history_t history = two_machines();
    const size_t count = FB_COUNT(of_machine_2);
    assert_stamps(&history, of_machine_2, count, false, "PATCH", "/v1/machines/2",
                  "{\"label\":\"A\"}");
    assert_stamps(&history, of_machine_2, count, false, "POST", "/v1/machines/2/maintenance",
                  "{\"start_date\":\"2027-01-11\",\"duration_days\":9}");
    assert_stamps(&history, of_machine_2, count, false, "DELETE", "/v1/machines/2/maintenance/3",
                  "");
    assert_stamps(&history, of_machine_2, count, false, "DELETE", "/v1/machines/2", "");
    for (size_t i = 0; i < count; i++)
        assert_true(stamp_of(&history, of_machine_2[i]) == UINT64_MAX);
    history_dispose(&history);
}

static void a_window_moves_the_calendars_of_its_own_days_alone(void **state)
{
    (void)state;
    static const char *const others[] = {
        "/v1/availability/calendar?from=2027-01-01&to=2027-01-31",
        "/v1/availability/calendar?from=2026-12-01&to=2026-12-19&type=crane",
        "/v1/machines/2/calendar?from=2026-12-24&to=2026-12-31",
    };
    static const char *const own[] = {
        "/v1/availability/calendar?from=2026-12-23&to=2026-12-24",
        "/v1/availability/calendar?from=2026-12-01&to=2026-12-20&type=crane",
        "/v1/machines/1/calendar?from=2026-12-20&to=2026-12-20",
        "/v1/availability?date=2026-12-21",
        "/v1/machines?type=crane",
        "/v1/machines/1",
    };
    history_t history = two_machines();
    const char *body = "{\"start_date\":\"2026-12-20\",\"duration_days\":4}";
    assert_stamps(&history, others, FB_COUNT(others), true, "POST", "/v1/machines/1/maintenance",
                  body);
    assert_stamps(&history, others, FB_COUNT(others), true, "DELETE",
                  "/v1/machines/1/maintenance/3", "");
    assert_stamps(&history, own, FB_COUNT(own), false, "POST", "/v1/machines/1/maintenance", body);
    assert_stamps(&history, own, FB_COUNT(own), false, "DELETE", "/v1/machines/1/maintenance/4",
                  "");
    history_dispose(&history);
}

/* Status changes are frequent, and availability is what most ask for. */
static void a_state_moves_what_shows_states_and_nothing_else(void **state)
{
    (void)state;
    static const char *const staying[] = {
        "/v1/availability",
        "/v1/availability?from=2026-12-01&to=2026-12-31&type=crane",
        "/v1/availability/calendar?from=2026-12-01&to=2026-12-31",
        "/v1/machines?type=crane",
        "/v1/machines/1",
        "/v1/machines/1/calendar?from=2026-12-01&to=2026-12-31",
        "/v1/machines/1/maintenance",
        "/v1/machines/2/status",
    };
    static const char *const moving[] = {
        "/v1/machines/1/status",
        "/v1/status",
        "/v1/status?status=red",
        "/v1/machines?status=green&type=crane",
    };
    static const char *const reports[] = {
        "{\"status\":\"red\",\"updated_by\":\"w\"}",
        "{\"status\":\"red\",\"updated_by\":\"w\"}", /* again: it is news, too */
        "{\"status\":\"green\",\"updated_by\":\"w\"}",
    };
    history_t history = two_machines();
    for (size_t i = 0; i < FB_COUNT(reports); i++) {
        const char *path = "/v1/machines/1/status";
        assert_stamps(&history, staying, FB_COUNT(staying), true, "PUT", path, reports[i]);
        assert_stamps(&history, moving, FB_COUNT(moving), false, "PUT", path, reports[i]);
    }
    /* Of what was not reported, too, more is unknown now. */
    assert_stamps(&history, moving + 1, 2, false, "POST", "/v1/machines", CRANE(3));
    assert_stamps(&history, moving, 1, true, "POST", "/v1/machines", CRANE(4));
    assert_stamps(&history, moving, 1, true, "PATCH", "/v1/machines/1", "{\"label\":\"A\"}");
    assert_stamps(&history, moving, FB_COUNT(moving), false, "DELETE", "/v1/machines/1", "");
    assert_true(stamp_of(&history, moving[0]) == UINT64_MAX);
    history_dispose(&history);
}

/* A second window of the same machine over days that it is in maintenance on anyway. */
static void days_that_stay_as_they_are_keep_their_stamp(void **state)
{
    (void)state;
    static const char *const staying[] = {
        "/v1/availability/calendar?from=2026-12-01&to=2026-12-31",
        "/v1/machines/2/calendar?from=2026-12-01&to=2026-12-31",
    };
    history_t history = two_machines();
    assert_stamps(&history, staying, FB_COUNT(staying), true, "POST", "/v1/machines/1/maintenance",
                  "{\"start_date\":\"2026-12-11\",\"duration_days\":2}");
    assert_stamps(&history, staying, FB_COUNT(staying), true, "DELETE",
                  "/v1/machines/1/maintenance/3", "");
    history_dispose(&history);
}

static void a_new_day_moves_what_shows_today_and_no_calendar(void **state)
{
    (void)state;
    static const char *const moving[] = {"/v1/machines", "/v1/machines/1", "/v1/availability",
                                         "/v1/availability?date=2027-03-01"};
    static const char *const staying = "/v1/availability/calendar?from=2026-11-01&to=2026-12-31";
    history_t history = two_machines();
    uint64_t stamps[FB_COUNT(moving)], stays = stamp_of(&history, staying);
    for (size_t i = 0; i < FB_COUNT(moving); i++)
        stamps[i] = stamp_of(&history, moving[i]);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_stage_set_today(stage, TODAY + 1);
    history_push(&history, &stage);
    for (size_t i = 0; i < FB_COUNT(moving); i++)
        assert_true(stamp_of(&history, moving[i]) > stamps[i]);
    assert_int_equal(stamp_of(&history, staying), stays);
    history_dispose(&history);
}

static void what_there_never_was_is_not_found(void **state)
{
    (void)state;
    history_t history = two_machines();
    const fb_snapshot_t *snapshot = history_now(&history);
    assert_null(fb_snapshot_row(snapshot, FB_MACHINES, 3));
    assert_null(fb_snapshot_row(snapshot, FB_MACHINES, 0));
    assert_int_equal(
        fb_snapshot_find(snapshot, FB_MACHINES, FB_MACHINE_INVENTORY_ID, FB_SLICE("C-9")), 0);
    assert_int_equal(fb_snapshot_find(snapshot, FB_MACHINES, FB_MACHINE_INVENTORY_ID, FB_SLICE("")),
                     0);
    assert_null(fb_snapshot_facet(snapshot, FB_MACHINES, FB_MACHINE_TYPE, FB_SLICE("dumper")));
    assert_null(fb_snapshot_facet(snapshot, FB_MACHINES, FB_MACHINE_TYPE, FB_SLICE("cran")));
    assert_null(fb_snapshot_day(snapshot, FB_PLANE_MAINTENANCE, TODAY));
    assert_null(fb_snapshot_day(snapshot, FB_PLANE_BOOKED, TODAY + 19));
    assert_non_null(fb_snapshot_day(snapshot, FB_PLANE_MAINTENANCE, TODAY + 19));
    assert_int_equal(fb_snapshot_days_changed(snapshot, FB_DAY_MIN, TODAY), 0);
    assert_int_equal(fb_snapshot_days_changed(snapshot, FB_DAY_MIN, FB_DAY_MAX), 2);
    assert_int_equal(fb_snapshot_days_changed(snapshot, FB_DAY_MAX, FB_DAY_MIN), 0);
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_whose_stamp_stays_is_still_the_right_one),
        cmocka_unit_test(a_change_of_one_machine_leaves_the_stamps_of_the_others),
        cmocka_unit_test(a_change_of_a_machine_moves_its_own_stamps),
        cmocka_unit_test(a_window_moves_the_calendars_of_its_own_days_alone),
        cmocka_unit_test(a_state_moves_what_shows_states_and_nothing_else),
        cmocka_unit_test(days_that_stay_as_they_are_keep_their_stamp),
        cmocka_unit_test(a_new_day_moves_what_shows_today_and_no_calendar),
        cmocka_unit_test(what_there_never_was_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
