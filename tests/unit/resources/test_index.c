/* SPDX-License-Identifier: MIT */
#include "resources/index.h"

#include "resources/bookings.h"
#include "resources/machines.h"
#include "resources/maintenance.h"
#include "resources/unique.h"
#include "tests/unit/resources/fleet.h"

/* Rows are put as a load puts them: nothing keeps two machines from having one number. The windows
 * of maintenance have a parent, which no command ever changes; here it does. */
#define ROWS    200
#define NUMBERS 60
#define PARENTS 20

typedef struct {
    uint32_t number[ROWS + 1];   /* of the machines; 0: there is no such row */
    const char *type[ROWS + 1];  /* of the machines */
    uint32_t parent[ROWS + 1];   /* of the windows; 0: there is no such row */
    uint32_t owner[NUMBERS + 1]; /* the machine that a number leads to; 0: none */
} model_t;

static void put_machine(fb_stage_t *stage, model_t *model, uint32_t id, uint32_t number,
                        const char *type)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    fb_value_t values[FB_FIELDS_MAX] = {
        [FB_MACHINE_LABEL] = {.text = FB_SLICE("any")},
        [FB_MACHINE_INVENTORY_ID] = {.text = fb_slice(text)},
        [FB_MACHINE_TYPE] = {.text = fb_slice(type)},
        [FB_MACHINE_PRICE] = {.null = true},
        [FB_MACHINE_DESCRIPTION] = {.null = true},
    };
    fb_stage_put(stage, FB_MACHINES, id, values);
    /* Removing takes the number only from the row that has it; the one put last has it. */
    if (model->number[id] != 0 && model->owner[model->number[id]] == id)
        model->owner[model->number[id]] = 0;
    model->number[id] = number;
    model->type[id] = type;
    model->owner[number] = id;
}

static void put_window(fb_stage_t *stage, model_t *model, uint32_t id, uint32_t parent)
{
    const fb_value_t values[FB_FIELDS_MAX] = {
        {.number = parent}, {.number = TODAY}, {.number = TODAY}, {.null = true}, {.number = NOON}};
    fb_stage_put(stage, FB_MAINTENANCE, id, values);
    model->parent[id] = parent;
}

static void delete_row(fb_stage_t *stage, model_t *model, unsigned family, uint32_t id)
{
    fb_change_t change = {0};
    fb_change_delete(&change, family, id);
    fb_stage_apply(stage, &change);
    fb_change_dispose(&change);
    if (family == FB_MAINTENANCE) {
        model->parent[id] = 0;
        return;
    }
    if (model->number[id] != 0 && model->owner[model->number[id]] == id)
        model->owner[model->number[id]] = 0;
    model->number[id] = 0;
}

static void check_numbers(const fb_snapshot_t *snapshot, const model_t *model)
{
    uint32_t owned = 0;
    for (uint32_t number = 1; number <= NUMBERS; number++) {
        char text[16];
        snprintf(text, sizeof(text), "%u", number);
        assert_int_equal(
            fb_snapshot_find(snapshot, FB_MACHINES, FB_MACHINE_INVENTORY_ID, fb_slice(text)),
            model->owner[number]);
        owned += model->owner[number] != 0;
    }
    assert_int_equal(snapshot->families[FB_MACHINES].indexes[FB_MACHINE_INVENTORY_ID].unique.count,
                     owned);
}

static void check_types(const fb_snapshot_t *snapshot, const model_t *model)
{
    for (size_t t = 0; t < FB_COUNT(fleet_types); t++) {
        const fb_bitmap_t *rows =
            fb_snapshot_facet(snapshot, FB_MACHINES, FB_MACHINE_TYPE, fb_slice(fleet_types[t]));
        uint64_t count = 0;
        for (uint32_t id = 1; id <= ROWS; id++) {
            bool has = model->number[id] != 0 && strcmp(model->type[id], fleet_types[t]) == 0;
            assert_int_equal(rows != NULL && fb_bitmap_has(rows, id), has);
            count += has;
        }
        assert_int_equal(rows != NULL ? rows->count : 0, count);
    }
}

static void check_parents(const fb_snapshot_t *snapshot, const model_t *model)
{
    for (uint32_t parent = 1; parent <= PARENTS; parent++) {
        const fb_children_t *children = fb_maintenance_windows(snapshot, parent);
        uint32_t count = 0;
        for (uint32_t id = 1; id <= ROWS; id++) {
            if (model->parent[id] != parent)
                continue;
            assert_non_null(children);
            assert_true(count < children->count);
            assert_int_equal(children->ids[count++], id);
        }
        assert_int_equal(children != NULL ? children->count : 0, count);
    }
}

static void step(fb_stage_t *stage, model_t *model, chance_t *chance)
{
    uint32_t id = 1 + chance_below(chance, ROWS);
    switch (chance_below(chance, 5)) {
    case 0:
    case 1:
        put_machine(stage, model, id, 1 + chance_below(chance, NUMBERS),
                    fleet_types[chance_below(chance, FB_COUNT(fleet_types))]);
        break;
    case 2:
        delete_row(stage, model, FB_MACHINES, id);
        break;
    case 3:
        put_window(stage, model, id, 1 + chance_below(chance, PARENTS));
        break;
    case 4:
        delete_row(stage, model, FB_MAINTENANCE, id);
        break;
    }
}

static void a_random_program_agrees_with_plain_arrays(void **state)
{
    (void)state;
    enum { ROUNDS = 1500 };
    chance_t chance = chance_init();
    history_t history = history_create(3);
    model_t models[3] = {{.number = {0}}}; /* of the snapshots that are kept */
    for (int round = 0; round < ROUNDS; round++) {
        model_t next = models[history.count - 1];
        fb_stage_t *stage = fb_stage_begin(history_now(&history));
        for (uint32_t n = chance_below(&chance, 8); n > 0; n--)
            step(stage, &next, &chance);
        check_numbers(fb_stage_view(stage), &next);
        check_types(fb_stage_view(stage), &next);
        check_parents(fb_stage_view(stage), &next);
        if (chance_below(&chance, 4) == 0) {
            fb_stage_abort(&stage);
        } else {
            if (history.count == 3)
                memmove(&models[0], &models[1], 2 * sizeof(models[0]));
            history_push(&history, &stage);
            models[history.count - 1] = next;
        }
        for (size_t kept = 0; kept < history.count; kept++) {
            check_numbers(history.at[kept], &models[kept]);
            check_types(history.at[kept], &models[kept]);
            check_parents(history.at[kept], &models[kept]);
        }
    }
    history_dispose(&history);
}

/* While a log is applied to rows that were loaded later than its first entry: number 1 goes from
 * machine 1 to machine 2, and machine 2 was loaded when it had the number already. */
static void a_number_that_two_rows_have_for_a_moment_ends_with_the_right_one(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        history_t history = history_create(1);
        model_t model = {.number = {0}};
        fb_stage_t *stage = fb_stage_begin(history_now(&history));
        put_machine(stage, &model, order == 0 ? 1 : 2, 1, "crane");
        put_machine(stage, &model, order == 0 ? 2 : 1, 1, "crane");
        put_machine(stage, &model, 1, 7, "crane"); /* the log begins */
        put_machine(stage, &model, 2, 1, "crane");
        check_numbers(fb_stage_view(stage), &model);
        assert_int_equal(model.owner[1], 2);
        assert_int_equal(model.owner[7], 1);
        delete_row(stage, &model, FB_MACHINES, 2);
        check_numbers(fb_stage_view(stage), &model);
        history_push(&history, &stage);
        history_dispose(&history);
    }
}

/* Else whoever knows the seed chooses numbers that collide. */
static void the_hash_of_a_number_depends_on_the_seed(void **state)
{
    (void)state;
    uint64_t hashes[2];
    for (uint64_t seed = 0; seed < 2; seed++) {
        fb_snapshot_t *snapshot = fb_snapshot_create(&fleet_rules, seed, TODAY);
        fb_unique_t unique =
            fb_unique(snapshot, FB_MACHINES, FB_MACHINE_INVENTORY_ID, FB_SLICE("INV-1"));
        hashes[seed] = fb_unique_key(&unique).hash;
        fb_snapshot_destroy(&snapshot);
    }
    assert_true(hashes[0] != hashes[1]);
}

static void a_type_that_nobody_has_any_more_stays_as_an_empty_set(void **state)
{
    (void)state;
    history_t history = history_create(1);
    model_t model = {.number = {0}};
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    put_machine(stage, &model, 1, 1, "forklift");
    put_machine(stage, &model, 1, 1, "crane");
    const fb_bitmap_t *rows =
        fb_snapshot_facet(fb_stage_view(stage), FB_MACHINES, FB_MACHINE_TYPE, FB_SLICE("forklift"));
    assert_non_null(rows);
    assert_int_equal(rows->count, 0);
    assert_null(
        fb_snapshot_facet(fb_stage_view(stage), FB_MACHINES, FB_MACHINE_TYPE, FB_SLICE("fork")));
    history_push(&history, &stage);
    history_dispose(&history);
}

static void a_parent_without_children_keeps_its_stamp(void **state)
{
    (void)state;
    history_t history = history_create(1);
    model_t model = {.number = {0}};
    assert_null(fb_maintenance_windows(history_now(&history), 5));
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    put_window(stage, &model, 9, 5);
    history_push(&history, &stage);
    assert_int_equal(fb_maintenance_windows(history_now(&history), 5)->changed, 2);
    stage = fb_stage_begin(history_now(&history));
    put_window(stage, &model, 9, 6);
    history_push(&history, &stage);
    const fb_children_t *before = fb_maintenance_windows(history_now(&history), 5);
    const fb_children_t *after = fb_maintenance_windows(history_now(&history), 6);
    assert_int_equal(before->count, 0);
    assert_int_equal(before->changed, 3);
    assert_int_equal(after->count, 1);
    assert_int_equal(after->changed, 3);
    stage = fb_stage_begin(history_now(&history));
    put_window(stage, &model, 9, 6); /* the same child, changed in itself */
    history_push(&history, &stage);
    assert_int_equal(fb_maintenance_windows(history_now(&history), 5)->changed, 3);
    assert_int_equal(fb_maintenance_windows(history_now(&history), 6)->changed, 4);
    history_dispose(&history);
}

/* An order belongs to its machines as long as it holds their days. */
static void put_order(fb_stage_t *stage, uint32_t id, const char *items, fb_order_state_t order,
                      bool has_dates)
{
    fb_value_t values[FB_FIELDS_MAX];
    for (unsigned f = 0; f < FB_ORDER_FIELDS; f++)
        values[f] = (fb_value_t){.given = true, .null = true};
    values[FB_ORDER_USER] = (fb_value_t){.text = FB_SLICE("1")};
    values[FB_ORDER_ITEMS] = (fb_value_t){.text = fb_slice(items)};
    values[FB_ORDER_AMOUNT] = (fb_value_t){.number = 1};
    values[FB_ORDER_STATUS] = (fb_value_t){.text = fb_slice(fb_order_states[order])};
    values[FB_ORDER_CREATED] = (fb_value_t){.number = NOON};
    if (has_dates)
        values[FB_ORDER_START] = values[FB_ORDER_END] = (fb_value_t){.number = TODAY};
    fb_stage_put(stage, FB_ORDERS, id, values);
}

static void assert_orders(const fb_stage_t *stage, uint32_t machine, const char *expected)
{
    const fb_children_t *orders = fb_bookings_of(fb_stage_view(stage), machine);
    char ids[100] = "";
    for (uint32_t i = 0; orders != NULL && i < orders->count; i++)
        snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%u ", orders->ids[i]);
    assert_string_equal(ids, expected);
}

static void a_row_of_several_parents_is_a_child_of_each_while_it_holds_them(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    put_order(stage, 9, "[3,1]", FB_ORDER_IS_PROCESSING, true);
    put_order(stage, 4, "[1,2]", FB_ORDER_IS_COMPLETED, true);
    put_order(stage, 5, "[1]", FB_ORDER_IS_PENDING, true);
    put_order(stage, 6, "[1]", FB_ORDER_IS_PROCESSING, false);
    put_order(stage, 7, "[4294967297,4294967296]", FB_ORDER_IS_PROCESSING, true);
    assert_orders(stage, 1, "4 9 ");
    assert_orders(stage, 2, "4 ");
    assert_orders(stage, 3, "9 ");
    put_order(stage, 5, "[1]", FB_ORDER_IS_PROCESSING, true);
    put_order(stage, 9, "[2]", FB_ORDER_IS_PROCESSING, true);
    assert_orders(stage, 1, "4 5 ");
    assert_orders(stage, 2, "4 9 ");
    assert_orders(stage, 3, "");
    put_order(stage, 4, "[1,2]", FB_ORDER_IS_CANCELLED, true);
    assert_orders(stage, 1, "5 ");
    assert_orders(stage, 2, "9 ");
    assert_orders(stage, 0, "");
    history_push(&history, &stage);
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_program_agrees_with_plain_arrays),
        cmocka_unit_test(a_number_that_two_rows_have_for_a_moment_ends_with_the_right_one),
        cmocka_unit_test(the_hash_of_a_number_depends_on_the_seed),
        cmocka_unit_test(a_type_that_nobody_has_any_more_stays_as_an_empty_set),
        cmocka_unit_test(a_parent_without_children_keeps_its_stamp),
        cmocka_unit_test(a_row_of_several_parents_is_a_child_of_each_while_it_holds_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
