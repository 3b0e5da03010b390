/* SPDX-License-Identifier: MIT */
#include "server/synthetic.h"

#include "resources/machines.h"
#include "resources/maintenance.h"
#include "tests/unit/resources/fleet.h"

static const fb_synthetic_t synthetic = {&fleet_rules, TODAY, 90, true};

/* The change that a write plans upon a snapshot, as text. */
static void plan_text(const fb_snapshot_t *snapshot, fb_write_t *write, fb_buffer_t *text)
{
    fb_plan_t plan = {0};
    write->args.now = NOON;
    if (write->command->plan(snapshot, &write->args, &plan, &write->error) != FB_OK)
        fail_msg("%s", write->error.detail);
    text->len = 0;
    fb_change_encode(&plan.change, text);
    fb_change_dispose(&plan.change);
}

static void a_machine_is_the_same_whenever_it_is_made(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_buffer_t one = {0}, other = {0};
    for (uint32_t n = 1; n < 500; n++) {
        fb_write_t first = {0}, second = {0}, next = {0};
        fb_synthetic_machine(&synthetic, n, &first);
        fb_synthetic_machine(&synthetic, n + 1, &next);
        fb_synthetic_machine(&synthetic, n, &second);
        plan_text(history_now(&history), &first, &one);
        plan_text(history_now(&history), &second, &other);
        assert_same_text(&one, &other);
        plan_text(history_now(&history), &next, &other);
        assert_false(fb_slice_equal(fb_buffer_slice(&one), fb_buffer_slice(&other)));
        fb_write_dispose(&first);
        fb_write_dispose(&second);
        fb_write_dispose(&next);
    }
    fb_buffer_dispose(&one);
    fb_buffer_dispose(&other);
    history_dispose(&history);
}

/* It is written down here, so that a change of the generator does not go unnoticed: measurements
 * are compared over versions. */
static void machine_one_is_always_this_one(void **state)
{
    (void)state;
    fb_write_t write = {0};
    fb_buffer_t text = {0};
    history_t history = history_create(1);
    fb_synthetic_machine(&synthetic, 1, &write);
    plan_text(history_now(&history), &write, &text);
    assert_text(fb_buffer_slice(&text),
                "[[\"put\",\"machine\",1,{\"label\":\"Excavator Brandt & Lowe 690\","
                "\"inventory_id\":\"FB-0000001\",\"type\":\"excavator\","
                "\"price_per_day\":\"25.50\","
                "\"creation_date\":\"2026-11-21T12:00:00.000Z\","
                "\"updated_at\":\"2026-11-21T12:00:00.000Z\"}]]");
    fb_buffer_dispose(&text);
    fb_write_dispose(&write);
    history_dispose(&history);
}

/* --- a whole fleet ------------------------------------------------------------------------ */

typedef struct {
    history_t history;
    size_t calls, writes;
    size_t fail_call;  /* this call fails; 0: none */
    size_t fail_write; /* this write gets an error; 0: none */
    uint32_t done;
} target_t;

static void apply_items(fb_stage_t *stage, fb_write_t *write)
{
    fb_args_t item = {0};
    for (unsigned i = 0; i < write->args.items.count; i++) {
        fb_plan_t plan = {0};
        assert_int_equal(fb_args_item(&write->args, i, &item, &write->error), FB_OK);
        assert_int_equal(write->command->plan(fb_stage_view(stage), &item, &plan, &write->error),
                         FB_OK);
        fb_stage_apply_part(stage, &plan.change);
        fb_change_dispose(&plan.change);
    }
    fb_stage_apply_end(stage);
}

/* Commits to the history, as a fleet would. */
static fb_code_t on_commit(void *context, fb_write_t *const *writes, size_t count,
                           fb_error_t *error)
{
    target_t *target = context;
    assert_in_range(count, 1, FB_SYNTHETIC_BATCH);
    if (++target->calls == target->fail_call)
        return fb_fail(error, FB_UNAVAILABLE, "call %zu", target->calls);
    fb_stage_t *stage = fb_stage_begin(history_now(&target->history));
    for (size_t i = 0; i < count; i++) {
        fb_plan_t plan = {0};
        writes[i]->args.now = NOON;
        if (writes[i]->command->body_mode == FB_BODY_EACH) {
            apply_items(stage, writes[i]);
            continue;
        }
        writes[i]->command->plan(fb_stage_view(stage), &writes[i]->args, &plan, &writes[i]->error);
        if (++target->writes == target->fail_write)
            fb_fail(&writes[i]->error, FB_CONFLICT, "write %zu", target->writes);
        if (writes[i]->error.code == FB_OK)
            fb_stage_apply(stage, &plan.change);
        memcpy(writes[i]->ids, plan.ids, sizeof(plan.ids));
        fb_change_dispose(&plan.change);
    }
    history_push(&target->history, &stage);
    return FB_OK;
}

static void on_progress(void *context, uint32_t done)
{
    target_t *target = context;
    assert_true(done > target->done);
    target->done = done;
}

/* Where the machines stand in a fleet that has others must not matter: `before` ids are used. */
static target_t create_fleet(uint32_t before, uint32_t first, uint32_t count)
{
    target_t target = {.history = history_create(1)};
    fb_error_t error = {0};
    fb_stage_t *stage = fb_stage_begin(history_now(&target.history));
    fb_stage_raise_last_id(stage, FB_MACHINES, before);
    history_push(&target.history, &stage);
    if (fb_synthetic_create(&synthetic, first, count, on_commit, on_progress, &target, &error) !=
        FB_OK)
        fail_msg("%s", error.detail);
    assert_int_equal(target.done, count);
    return target;
}

static void a_fleet_has_its_machines_and_their_windows(void **state)
{
    (void)state;
    enum { MACHINES = 3500, BEFORE = 17 };
    target_t target = create_fleet(BEFORE, 1, MACHINES);
    const fb_snapshot_t *now = history_now(&target.history);
    uint32_t in_maintenance = 0, windows = 0;
    assert_int_equal(now->families[FB_MACHINES].exists.count, MACHINES);
    assert_int_equal(now->families[FB_EQUIPMENT].exists.count, MACHINES);
    for (uint32_t n = 1; n <= MACHINES; n++) {
        const fb_children_t *of_machine = fb_maintenance_windows(now, BEFORE + n);
        unsigned expected = fb_synthetic_windows(&synthetic, n);
        assert_int_equal(of_machine != NULL ? of_machine->count : 0, expected);
        assert_true(expected <= FB_SYNTHETIC_WINDOWS_MAX);
        in_maintenance += expected > 0;
        windows += expected;
        for (unsigned i = 0; i < expected; i++) {
            fb_window_t window = fb_maintenance_window(now, of_machine->ids[i]);
            assert_in_range(window.start, TODAY, TODAY + 89);
            assert_in_range(window.end, window.start, window.start + 30);
        }
    }
    /* One in eight, within five standard deviations. */
    assert_in_range(in_maintenance, MACHINES / 8 - 100, MACHINES / 8 + 100);
    assert_int_equal(now->families[FB_MAINTENANCE].exists.count, windows);
    history_dispose(&target.history);
}

static void a_fleet_that_is_made_in_two_parts_is_the_same(void **state)
{
    (void)state;
    target_t whole = create_fleet(0, 1, 1500), parts = create_fleet(0, 1, 700);
    fb_error_t error = {0};
    parts.done = 0;
    assert_int_equal(fb_synthetic_create(&synthetic, 701, 800, on_commit, NULL, &parts, &error),
                     FB_OK);
    for (uint32_t id = 1; id <= 1500; id++) {
        const fb_row_t *one = fb_snapshot_row(history_now(&whole.history), FB_MACHINES, id);
        const fb_row_t *other = fb_snapshot_row(history_now(&parts.history), FB_MACHINES, id);
        unsigned count = fb_machines.field_count;
        assert_true(fb_slice_equal(fb_row_json_head(one, count), fb_row_json_head(other, count)));
        assert_true(fb_slice_equal(fb_row_json_tail(one, count), fb_row_json_tail(other, count)));
    }
    for (fb_day_t day = TODAY; day < TODAY + 120; day++) {
        const fb_bitmap_t *one =
            fb_snapshot_day(history_now(&whole.history), FB_PLANE_MAINTENANCE, day);
        const fb_bitmap_t *other =
            fb_snapshot_day(history_now(&parts.history), FB_PLANE_MAINTENANCE, day);
        assert_int_equal(one == NULL, other == NULL);
        for (uint32_t id = 1; one != NULL && id <= 1500; id++)
            assert_int_equal(fb_bitmap_has(one, id), fb_bitmap_has(other, id));
    }
    history_dispose(&whole.history);
    history_dispose(&parts.history);
}

static void no_days_are_no_windows(void **state)
{
    (void)state;
    const fb_synthetic_t bare = {&fleet_rules, TODAY, 0, false};
    for (uint32_t n = 1; n < 1000; n++)
        assert_int_equal(fb_synthetic_windows(&bare, n), 0);
    target_t target = {.history = history_create(1)};
    fb_error_t error = {0};
    assert_int_equal(fb_synthetic_create(&bare, 1, 0, on_commit, on_progress, &target, &error),
                     FB_OK);
    assert_int_equal(target.calls, 0);
    assert_int_equal(fb_synthetic_create(&bare, 1, 1001, on_commit, on_progress, &target, &error),
                     FB_OK);
    assert_int_equal(target.calls, 2);
    assert_int_equal(target.done, 1001);
    history_dispose(&target.history);
}

/* Whichever call or write fails, the whole ends with its error, and nothing is leaked. */
static void the_first_failure_ends_it(void **state)
{
    (void)state;
    for (size_t fail = 1; fail <= 5; fail++) {
        target_t target = {.history = history_create(1), .fail_call = fail};
        fb_error_t error = {0};
        fb_code_t code =
            fb_synthetic_create(&synthetic, 1, 2500, on_commit, on_progress, &target, &error);
        assert_int_equal(code, FB_UNAVAILABLE);
        assert_int_equal(error.code, FB_UNAVAILABLE);
        assert_int_equal(target.calls, fail);
        history_dispose(&target.history);
        target = (target_t){.history = history_create(1), .fail_write = fail * 400};
        error = (fb_error_t){0};
        code = fb_synthetic_create(&synthetic, 1, 2500, on_commit, on_progress, &target, &error);
        assert_int_equal(code, FB_CONFLICT);
        assert_int_equal(error.code, FB_CONFLICT);
        assert_true(target.done < 2500);
        history_dispose(&target.history);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_is_the_same_whenever_it_is_made),
        cmocka_unit_test(machine_one_is_always_this_one),
        cmocka_unit_test(a_fleet_has_its_machines_and_their_windows),
        cmocka_unit_test(a_fleet_that_is_made_in_two_parts_is_the_same),
        cmocka_unit_test(no_days_are_no_windows),
        cmocka_unit_test(the_first_failure_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
