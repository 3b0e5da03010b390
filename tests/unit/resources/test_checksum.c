/* SPDX-License-Identifier: MIT */
#include "resources/checksum.h"

#include "resources/machines.h"
#include "tests/unit/resources/dump.h"
#include "tests/unit/resources/program.h"

static void assert_sums_hold(const fb_snapshot_t *snapshot)
{
    for (unsigned family = 0; family < fb_registry_count(); family++)
        assert_int_equal(snapshot->families[family].sum, fb_checksum_family(snapshot, family));
    for (int plane = 0; plane < FB_PLANE_COUNT; plane++)
        assert_int_equal(snapshot->plane_sums[plane],
                         fb_checksum_plane(snapshot, (fb_plane_id_t)plane));
}

/* Machines of one operation are set together, day by day: it must be as if each came alone. Their
 * ids lie on both sides of a page's border, some come twice, and days overlap. */
static void days_of_several_machines_are_as_if_each_came_alone(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    history_t together = history_create(1), alone = history_create(1);
    fb_stage_t *one = fb_stage_begin(history_now(&together));
    fb_stage_t *other = fb_stage_begin(history_now(&alone));
    for (int round = 0; round < 2000; round++) {
        fb_change_t change = {0};
        for (uint32_t group = 1 + chance_below(&chance, 2); group > 0; group--) {
            fb_day_t from = TODAY + (fb_day_t)chance_below(&chance, 6);
            fb_day_t to = from + (fb_day_t)chance_below(&chance, 3);
            bool set = chance_below(&chance, 5) < (round / 100 % 2 == 0 ? 3 : 1);
            for (uint32_t n = 1 + chance_below(&chance, 8); n > 0; n--)
                fb_change_days(&change, FB_PLANE_BOOKED,
                               FB_BITMAP_PAGE_BITS - 4 + chance_below(&chance, 8), from, to, set);
        }
        fb_stage_apply(one, &change);
        for (size_t i = 0; i < change.count; i++) {
            const fb_change_t part = {.ops = &change.ops[i], .count = 1};
            fb_stage_apply(other, &part);
        }
        fb_change_dispose(&change);
        assert_int_equal(fb_stage_view(one)->plane_sums[FB_PLANE_BOOKED],
                         fb_stage_view(other)->plane_sums[FB_PLANE_BOOKED]);
        assert_sums_hold(fb_stage_view(one));
    }
    history_push(&together, &one);
    history_push(&alone, &other);
    history_dispose(&together);
    history_dispose(&alone);
}

/* --- random programs --------------------------------------------------------------------- */

/* Some requests upon the newest snapshot; aborted at times. */
static void write_some(history_t *history, model_t *model, chance_t *chance)
{
    model_t saved = *model;
    fb_stage_t *stage = fb_stage_begin(history_now(history));
    for (uint32_t n = chance_below(chance, 12); n > 0; n--) {
        step_t step;
        written_t written = {0};
        step_random(&step, chance, model, NOON);
        assert_int_equal(fleet_write(stage, NOON, step.method, step.path, step.body, &written),
                         step.code);
        fb_buffer_dispose(&written.payload);
        if (chance_below(chance, 4) == 0)
            assert_sums_hold(fb_stage_view(stage));
    }
    if (chance_below(chance, 5) == 0) {
        uint64_t sum = fb_snapshot_sum(history_now(history));
        fb_stage_abort(&stage);
        *model = saved;
        assert_int_equal(fb_snapshot_sum(history_now(history)), sum);
    } else {
        history_push(history, &stage);
    }
    assert_sums_hold(history_now(history));
}

static void history_of_chance(history_t *history, model_t *model, chance_t *chance, int rounds)
{
    *model = (model_t){.today = TODAY};
    fb_stage_t *stage = fb_stage_begin(history_now(history));
    fb_stage_raise_last_id(stage, FB_MACHINES, MODEL_FIRST);
    history_push(history, &stage);
    while (rounds-- > 0)
        write_some(history, model, chance);
}

static void the_kept_sums_are_those_of_all_that_is_there(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    history_t history = history_create(2);
    model_t *model = calloc(1, sizeof(*model));
    history_of_chance(&history, model, &chance, 400);
    assert_true(model->machine_count > 93); /* over a page of the bitmaps */
    assert_int_not_equal(history_now(&history)->plane_sums[FB_PLANE_MAINTENANCE], 0);
    free(model);
    history_dispose(&history);
}

/* --- what a load brings ------------------------------------------------------------------ */

static void load_row(fb_stage_t *stage, unsigned family, const fb_row_t *row)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    fb_value_t values[FB_FIELDS_MAX];
    for (unsigned f = 0; f < resource->field_count; f++)
        values[f] = fb_row_value(row, resource->fields, f);
    fb_stage_put(stage, family, row->id, values);
}

static void load_day(fb_stage_t *stage, fb_plane_id_t plane, fb_day_t day, const fb_bitmap_t *set)
{
    uint8_t bytes[(MODEL_FIRST + MODEL_MACHINES) / 8 + 1] = {0};
    for (uint32_t id = 0; fb_bitmap_next(set, &id); id++)
        bytes[id / 8] |= (uint8_t)(0x80 >> id % 8);
    fb_stage_load_day(stage, plane, day, (fb_slice_t){(const char *)bytes, sizeof(bytes)});
}

/* A half of the rows and days, by the lowest bit of id and date. */
static void load_half(fb_stage_t *stage, const fb_snapshot_t *source, uint32_t half)
{
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        const fb_row_t *row;
        const fb_table_t *rows = &source->families[family].rows;
        for (uint32_t id = 1; (row = fb_table_next(rows, &id)) != NULL; id++) {
            if (id % 2 == half)
                load_row(stage, family, row);
        }
        fb_stage_raise_last_id(stage, family, source->families[family].last_id);
    }
    for (int plane = 0; plane < FB_PLANE_COUNT; plane++) {
        const fb_plane_day_t *found;
        uint32_t day = 0;
        for (; (found = fb_table_next(&source->planes[plane], &day)) != NULL; day++) {
            if (day % 2 == half)
                load_day(stage, (fb_plane_id_t)plane, (fb_day_t)day, &found->machines);
        }
    }
}

/* A load in this order of halves; another process would have another seed, date and serial. */
static uint64_t sum_of_load(const fb_snapshot_t *source, const uint32_t *halves, size_t count)
{
    static const fb_rules_t other_rules = {.machine_types = fleet_types, .machine_type_count = 1};
    fb_snapshot_t *first = fb_snapshot_create(&other_rules, 0xC0FFEE, TODAY + 3);
    fb_stage_t *stage = fb_stage_begin(first);
    for (size_t i = 0; i < count; i++)
        load_half(stage, source, halves[i]);
    void **garbage;
    size_t garbage_count;
    fb_snapshot_t *loaded = fb_stage_seal(&stage, &garbage, &garbage_count);
    uint64_t sum = fb_snapshot_sum(loaded);
    assert_sums_hold(loaded);
    assert_int_equal(garbage_count, 0);
    free(garbage);
    free(first);
    fb_snapshot_destroy(&loaded);
    return sum;
}

static void a_load_in_any_order_comes_to_the_sum_of_the_changes(void **state)
{
    (void)state;
    static const uint32_t orders[][4] = {{0, 1, 0, 1}, {1, 0, 0, 1}, {1, 1, 1, 0}};
    chance_t chance = chance_init();
    history_t history = history_create(1);
    model_t *model = calloc(1, sizeof(*model));
    history_of_chance(&history, model, &chance, 60);
    uint64_t sum = fb_snapshot_sum(history_now(&history));
    for (size_t i = 0; i < FB_COUNT(orders); i++) {
        assert_int_equal(sum_of_load(history_now(&history), orders[i], 2 + i % 3), sum);
    }
    assert_int_not_equal(sum_of_load(history_now(&history), orders[0], 1), sum);
    free(model);
    history_dispose(&history);
}

/* --- one thing at a time ----------------------------------------------------------------- */

#define DIGGER(n) "{\"label\":\"Digger\",\"inventory_id\":\"D-" #n "\",\"type\":\"crane\"}"

/* Sums of a stage after each of its changes, all different. */
typedef struct {
    uint64_t sums[16];
    size_t count;
} seen_t;

static void assert_new(seen_t *seen, const fb_stage_t *stage)
{
    uint64_t sum = fb_snapshot_sum(fb_stage_view(stage));
    assert_sums_hold(fb_stage_view(stage));
    for (size_t i = 0; i < seen->count; i++)
        assert_int_not_equal(seen->sums[i], sum);
    assert_true(seen->count < FB_COUNT(seen->sums));
    seen->sums[seen->count++] = sum;
}

static void change_days(fb_stage_t *stage, fb_plane_id_t plane, uint32_t id, fb_day_t day, bool set)
{
    fb_change_t change = {0};
    fb_change_days(&change, plane, id, day, day, set);
    fb_stage_apply(stage, &change);
    fb_change_dispose(&change);
}

static void every_single_difference_shows(void **state)
{
    (void)state;
    history_t history = history_create(1);
    seen_t seen = {0};
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    assert_new(&seen, stage);
    must_write(stage, "POST", "/v1/machines", DIGGER(1));
    assert_new(&seen, stage);
    must_write(stage, "POST", "/v1/machines", DIGGER(2));
    assert_new(&seen, stage);
    must_write(stage, "PATCH", "/v1/machines/2", "{\"label\":\"Drill\"}");
    assert_new(&seen, stage);
    fb_stage_raise_last_id(stage, FB_MACHINES, 3);
    assert_new(&seen, stage);
    fb_stage_raise_last_id(stage, FB_MAINTENANCE, 3); /* the same number, another family */
    assert_new(&seen, stage);
    change_days(stage, FB_PLANE_BOOKED, 1, TODAY, true);
    assert_new(&seen, stage);
    change_days(stage, FB_PLANE_BOOKED, 1, TODAY, false);
    change_days(stage, FB_PLANE_MAINTENANCE, 1, TODAY, true); /* the same bit, another plane */
    assert_new(&seen, stage);
    change_days(stage, FB_PLANE_MAINTENANCE, 1, TODAY, false);
    change_days(stage, FB_PLANE_MAINTENANCE, 1, TODAY + 1, true); /* another day */
    assert_new(&seen, stage);
    change_days(stage, FB_PLANE_MAINTENANCE, 1, TODAY + 1, false);
    change_days(stage, FB_PLANE_MAINTENANCE, 1 + FB_BITMAP_PAGE_BITS, TODAY + 1, true);
    assert_new(&seen, stage); /* the same bit of another page */
    fb_stage_abort(&stage);
    history_dispose(&history);
}

static void what_is_taken_back_leaves_the_sum_that_was(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    must_write(stage, "POST", "/v1/machines", DIGGER(1));
    fb_stage_raise_last_id(stage, FB_MACHINES, 2);
    fb_stage_raise_last_id(stage, FB_MAINTENANCE, 1);
    uint64_t sum = fb_snapshot_sum(fb_stage_view(stage));
    fb_change_t change = {0};
    fb_value_t values[FB_FIELDS_MAX];
    const fb_row_t *row = fb_snapshot_row(fb_stage_view(stage), FB_MACHINES, 1);
    for (unsigned f = 0; f < fb_machines.field_count; f++)
        values[f] = fb_row_value(row, fb_machines.fields, f);
    values[FB_MACHINE_INVENTORY_ID].text = FB_SLICE("D-2");
    fb_change_put(&change, FB_MACHINES, 2, values);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 2, TODAY, TODAY + 30, true);
    fb_stage_apply(stage, &change);
    fb_stage_apply(stage, &change); /* twice is once */
    assert_int_not_equal(fb_snapshot_sum(fb_stage_view(stage)), sum);
    fb_change_dispose(&change);
    must_write(stage, "DELETE", "/v1/machines/2", "");
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 2, TODAY, TODAY + 30, false);
    fb_stage_apply(stage, &change);
    fb_change_dispose(&change);
    assert_int_equal(fb_snapshot_sum(fb_stage_view(stage)), sum);
    assert_sums_hold(fb_stage_view(stage));
    history_push(&history, &stage);
    history_dispose(&history);
}

static void a_day_that_is_loaded_anew_replaces_the_one_before(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_stage_load_day(stage, FB_PLANE_BOOKED, TODAY, FB_SLICE("\x00\xFF"));
    uint64_t sum = fb_snapshot_sum(fb_stage_view(stage));
    fb_stage_load_day(stage, FB_PLANE_BOOKED, TODAY, FB_SLICE("\x00\x01"));
    assert_int_not_equal(fb_snapshot_sum(fb_stage_view(stage)), sum);
    fb_stage_load_day(stage, FB_PLANE_BOOKED, TODAY, FB_SLICE("\x00\xFF\x00\x00"));
    assert_int_equal(fb_snapshot_sum(fb_stage_view(stage)), sum);
    fb_stage_load_day(stage, FB_PLANE_BOOKED, TODAY, FB_SLICE("\x00"));
    assert_int_equal(fb_snapshot_sum(fb_stage_view(stage)), 0);
    history_push(&history, &stage);
    history_dispose(&history);
}

/* Instances of different processes, and later releases, must come to the same numbers: a change of
 * these is a change of the format. */
static void the_sum_of_a_known_state_stays_what_it_is(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    assert_int_equal(fb_snapshot_sum(fb_stage_view(stage)), 0);
    must_write(stage, "POST", "/v1/machines", DIGGER(1));
    must_write(stage, "POST", "/v1/machines/1/maintenance", "{\"duration_days\":3}");
    const fb_snapshot_t *now = fb_stage_view(stage);
    assert_int_equal(now->families[FB_MACHINES].sum, 0xac8fab9f28810bdbu);
    assert_int_equal(now->families[FB_MAINTENANCE].sum, 0x45a79477a4de8d91u);
    assert_int_equal(now->plane_sums[FB_PLANE_MAINTENANCE], 0xa6a96e08207b04e0u);
    assert_int_equal(now->plane_sums[FB_PLANE_BOOKED], 0);
    assert_int_equal(fb_snapshot_sum(now), 0x3971cbbc947ef63fu);
    history_push(&history, &stage);
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_single_difference_shows),
        cmocka_unit_test(what_is_taken_back_leaves_the_sum_that_was),
        cmocka_unit_test(a_day_that_is_loaded_anew_replaces_the_one_before),
        cmocka_unit_test(days_of_several_machines_are_as_if_each_came_alone),
        cmocka_unit_test(the_sum_of_a_known_state_stays_what_it_is),
        cmocka_unit_test(the_kept_sums_are_those_of_all_that_is_there),
        cmocka_unit_test(a_load_in_any_order_comes_to_the_sum_of_the_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
