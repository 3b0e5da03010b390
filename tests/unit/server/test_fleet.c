/* SPDX-License-Identifier: MIT */
#include "server/fleet.h"

#include "resources/machines.h"
#include "resources/orders.h"
#include "tests/unit/server/commit_fixture.h"

static void an_instance_that_starts_shows_what_was_written(void **state)
{
    (void)state;
    instance_t instance = found();
    assert_int_equal(instance_now(&instance)->position.revision, 0);
    assert_all_same(&instance, 1);
    batch_t batch = {.count = 0};
    add_machine(&batch, "A");
    add_machine(&batch, "B \\\"\u00fc\\\"");
    add(&batch, "POST", "/v1/machines/1/maintenance",
        "{\"duration_days\":30,\"reason\":\"a\\nb\"}");
    add(&batch, "POST", "/v1/machines/2/maintenance", "{\"duration_days\":3,\"reason\":\"\"}");
    add(&batch, "PATCH", "/v1/machines/2", "{\"price_per_day\":0.01,\"description\":\"\"}");
    add(&batch, "DELETE", "/v1/machines/1", NULL);
    must_commit(&instance, &batch);
    clear(&batch);
    assert_all_same(&instance, 1);
    instance_t late = join();
    assert_int_equal(instance_now(&late)->position.revision, 6);
    assert_int_equal(instance_now(&late)->families[FB_MACHINES].last_id, 2);
    assert_int_equal(instance_now(&late)->families[FB_MAINTENANCE].last_id, 2);
    create_machine(&late, "C");
    assert_non_null(fb_snapshot_row(instance_now(&late), FB_MACHINES, 3));
    instance_dispose(&late);
    instance_dispose(&instance);
}

static void catching_up_follows_the_log_and_makes_no_snapshot_without_news(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    fb_error_t error = {0};
    for (uint64_t revision = 1; revision <= 10; revision++) {
        char inventory_id[16];
        snprintf(inventory_id, sizeof(inventory_id), "%llu", (unsigned long long)revision);
        create_machine(&instances[0], inventory_id);
        assert_int_equal(instance_now(&instances[1])->position.revision, revision - 1);
        assert_int_equal(fb_fleet_catch_up(instances[1].fleet, &error), FB_OK);
        const fb_snapshot_t *now = instance_now(&instances[1]);
        uint64_t number = fb_fleet_shelf_number(instances[1].fleet);
        assert_int_equal(now->position.revision, revision);
        assert_int_equal(number, revision + 1);
        assert_int_equal(fb_fleet_catch_up(instances[1].fleet, &error), FB_OK);
        assert_ptr_equal(instance_now(&instances[1]), now);
        assert_int_equal(fb_fleet_shelf_number(instances[1].fleet), number);
        fb_shelf_reclaim(instances[1].shelf);
    }
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

static void without_redis_the_last_state_stays(void **state)
{
    (void)state;
    instance_t instance = found(), other = join();
    fb_error_t error = {0};
    create_machine(&instance, "A");
    create_machine(&other, "B");
    const fb_snapshot_t *before = instance_now(&instance);
    instance.lossy->deaf = true;
    assert_int_equal(fb_fleet_catch_up(instance.fleet, &error), FB_UNAVAILABLE);
    assert_int_equal(fb_fleet_load(instance.fleet, &error), FB_UNAVAILABLE);
    assert_ptr_equal(instance_now(&instance), before);
    instance.lossy->deaf = false;
    error = (fb_error_t){0};
    assert_int_equal(fb_fleet_catch_up(instance.fleet, &error), FB_OK);
    assert_int_equal(instance_now(&instance)->position.revision, 2);
    instance_dispose(&instance);
    instance_dispose(&other);
}

static void the_date_turns_without_a_revision(void **state)
{
    (void)state;
    instance_t instance = found();
    create_machine(&instance, "A");
    fb_day_t today = instance_now(&instance)->today;
    fb_fleet_set_today(instance.fleet, today + 1);
    fb_shelf_reclaim(instance.shelf);
    assert_int_equal(instance_now(&instance)->today, today + 1);
    assert_int_equal(instance_now(&instance)->position.revision, 1);
    create_machine(&instance, "B");
    assert_int_equal(instance_now(&instance)->today, today + 1);
    assert_int_equal(times_in_log("crane"), 2);
    instance_dispose(&instance);
}

/* The memory of Redis was lost, or somebody put another fleet in its place: the state is that one,
 * under another epoch, and no stamp of an answer that is another now has stayed. */
static void another_epoch_is_loaded_anew(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "/v1/machines",
        "/v1/machines/1",
        "/v1/machines/1/maintenance",
        "/v1/availability/calendar?from=2000-01-01&to=2000-01-31",
        "/v1/availability",
        "/v1/machines/1/calendar?from=2000-01-01&to=2000-01-31",
    };
    instance_t instance = found();
    fb_buffer_t body = {0}, before[FB_COUNT(targets)] = {{0}};
    uint64_t stamps[FB_COUNT(targets)], stamp;
    fb_error_t error = {0};
    create_machine(&instance, "A");
    create_machine(&instance, "B");
    fb_position_t old = instance_now(&instance)->position;
    uint64_t serial = instance_now(&instance)->serial;
    for (size_t i = 0; i < FB_COUNT(targets); i++)
        fleet_read(instance_now(&instance), targets[i], &before[i], &stamps[i], &error);
    instance_t other = found();
    create_machine(&other, "C");
    instance.lossy->inner->vtable->destroy(instance.lossy->inner);
    instance.lossy->inner = store_create(0);
    assert_int_equal(fb_fleet_catch_up(instance.fleet, &error), FB_OK);
    assert_int_equal(instance_now(&instance)->position.revision, 1);
    assert_string_not_equal(instance_now(&instance)->position.epoch, old.epoch);
    assert_true(instance_now(&instance)->serial > serial);
    assert_all_same(&instance, 1);
    for (size_t i = 0; i < FB_COUNT(targets); i++) {
        assert_int_equal(fleet_read(instance_now(&instance), targets[i], &body, &stamp, &error),
                         FB_OK);
        if (stamp == stamps[i])
            assert_same_text(&body, &before[i]);
        fb_buffer_dispose(&before[i]);
    }
    fb_buffer_dispose(&body);
    create_machine(&instance, "D");
    assert_all_same(&instance, 1);
    instance_dispose(&instance);
    instance_dispose(&other);
}

/* --- rows that are archived --------------------------------------------------------------- */

static fb_code_t plan_orders(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                             fb_error_t *error)
{
    (void)args;
    (void)error;
    for (uint32_t i = 1; i <= 3; i++) {
        fb_value_t values[FB_FIELDS_MAX] = {{.number = 0}};
        for (unsigned f = 0; f < FB_ORDER_FIELDS; f++)
            values[f].null = true;
        values[FB_ORDER_STATUS] = (fb_value_t){.text = FB_SLICE("COMPLETED")};
        values[FB_ORDER_ITEMS] = (fb_value_t){.text = FB_SLICE("[7,9]")};
        uint32_t id = snapshot->families[FB_ORDERS].last_id + i;
        fb_change_put(&plan->change, FB_ORDERS, id, values);
        fb_change_queue(&plan->change, FB_ORDERS, id);
    }
    return FB_OK;
}

/* The first one and the last. */
static fb_code_t plan_archive(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                              fb_error_t *error)
{
    (void)args;
    (void)error;
    fb_change_archive(&plan->change, FB_ORDERS, 1);
    fb_change_archive(&plan->change, FB_ORDERS, snapshot->families[FB_ORDERS].last_id);
    return FB_OK;
}

static void run_plan(instance_t *instance,
                     fb_code_t (*plan)(const fb_snapshot_t *snapshot, const fb_args_t *args,
                                       fb_plan_t *plan, fb_error_t *error))
{
    const fb_command_t command = {.plan = plan, .answer = FB_ANSWER_EMPTY};
    batch_t *batch = calloc(1, sizeof(*batch));
    fb_write_init(&batch->writes[0], &command);
    batch->pointers[0] = &batch->writes[0];
    batch->count = 1;
    must_commit(instance, batch);
    clear(batch);
    free(batch);
}

/* By the checksums `fleetbit verify` judges: of the state at the head of the log, of an instance
 * that follows it, and of what Redis holds. */
static void what_is_archived_makes_no_difference(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    static const unsigned loaded[] = {3, 1, 4, 3};
    for (size_t step = 0; step < FB_COUNT(loaded); step++) {
        run_plan(&instances[step / 2], step % 2 == 0 ? plan_orders : plan_archive);
        assert_all_same(instances, 2);
        instance_t late = join();
        const fb_snapshot_t *now = instance_now(&late);
        char sum[FB_SUM_BYTES + 1];
        snprintf(sum, sizeof(sum), "%016llx", (unsigned long long)fb_snapshot_sum(now));
        assert_string_equal(now->position.sum, sum);
        for (size_t i = 0; i < 2; i++)
            assert_true(fb_snapshot_sum(instance_now(&instances[i])) == fb_snapshot_sum(now));
        assert_int_equal(now->families[FB_ORDERS].exists.count, loaded[step]);
        assert_int_equal(now->families[FB_ORDERS].last_id, step < 2 ? 3 : 6);
        instance_dispose(&late);
    }
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

/* --- a log that was cut ------------------------------------------------------------------- */

/* Redis lost what it had acknowledged, and others wrote since: the epoch is the same, the log is
 * not. Whether it is longer or shorter now, the state is that of the log. */
static void a_log_that_does_not_continue_the_state_is_loaded_anew(void **state)
{
    (void)state;
    for (int longer = 0; longer < 2; longer++) {
        instance_t instance = found();
        fb_error_t error = {0};
        create_machine(&instance, "A");
        create_machine(&instance, "B");
        strcpy(instance.lossy->epoch, instance_now(&instance)->position.epoch);
        instance_t other = found();
        create_machine(&other, "A");
        if (longer) {
            create_machine(&other, "C");
            create_machine(&other, "D");
        }
        instance.lossy->inner->vtable->destroy(instance.lossy->inner);
        instance.lossy->inner = store_create(0);
        assert_int_equal(fb_fleet_catch_up(instance.fleet, &error), FB_OK);
        const fb_snapshot_t *now = instance_now(&instance);
        assert_int_equal(now->position.revision, longer ? 3 : 1);
        assert_int_equal(fb_snapshot_find(now, FB_MACHINES, FB_MACHINE_INVENTORY_ID, FB_SLICE("B")),
                         0);
        assert_all_same(&instance, 1);
        instance_dispose(&instance);
        instance_dispose(&other);
    }
}

static void on_before_load(void *context)
{
    instance_t *other = context;
    batch_t batch = {.count = 0};
    add(&batch, "PATCH", "/v1/machines/1", "{\"inventory_id\":\"Z\"}");
    add_machine(&batch, "A");
    add(&batch, "DELETE", "/v1/machines/2", NULL);
    add(&batch, "POST", "/v1/machines/3/maintenance", "{\"duration_days\":9}");
    add(&batch, "POST", "/v1/machines/1/maintenance", "{\"duration_days\":3}");
    add(&batch, "DELETE", "/v1/machines/3", NULL);
    must_commit(other, &batch);
    clear(&batch);
}

static void what_others_write_during_a_load_is_in_it(void **state)
{
    (void)state;
    instance_t other = found(), instance = join();
    fb_error_t error = {0};
    create_machine(&other, "A");
    create_machine(&other, "B");
    instance.lossy->before_load = on_before_load;
    instance.lossy->context = &other;
    assert_int_equal(fb_fleet_load(instance.fleet, &error), FB_OK);
    assert_int_equal(instance_now(&instance)->position.revision, 8);
    assert_all_same(&instance, 1);
    create_machine(&instance, "C");
    assert_all_same(&instance, 1);
    instance_dispose(&instance);
    instance_dispose(&other);
}

/* So many that the log no longer has what was before them. */
static void write_many(instance_t *instance, const char *prefix)
{
    for (int round = 0; round < 10; round++) {
        batch_t batch = {.count = 0};
        for (int i = 0; i < BATCH_MAX; i++) {
            char inventory_id[40];
            snprintf(inventory_id, sizeof(inventory_id), "%s-%d-%d", prefix, round, i);
            add_machine(&batch, inventory_id);
        }
        must_commit(instance, &batch);
        clear(&batch);
    }
}

static fb_code_t on_any_entry(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    (void)context, (void)entry, (void)error;
    return FB_OK;
}

static void assert_cut(const instance_t *instance, uint64_t revision)
{
    fb_store_t *store = instance->lossy->inner;
    fb_error_t error = {0};
    size_t count;
    fb_position_t head;
    assert_int_equal(
        store->vtable->read(store, revision, 1, on_any_entry, NULL, &count, &head, &error),
        FB_TRIMMED);
}

/* An instance by which the log keeps little. */
static instance_t join_short(void)
{
    return instance_create(1);
}

static void who_is_so_far_behind_that_the_log_was_cut_loads_and_plans_again(void **state)
{
    (void)state;
    fleets++;
    instance_t instances[] = {join_short(), join_short()};
    batch_t batch = {.count = 0};
    write_many(&instances[0], "M");
    assert_cut(&instances[0], instance_now(&instances[1])->position.revision);
    add_machine(&batch, "behind");
    add_machine(&batch, "M-3-3");
    assert_int_equal(commit(&instances[1], &batch, 10000), FB_OK);
    assert_int_equal(batch.writes[0].error.code, FB_OK);
    assert_int_equal(batch.writes[0].position.revision, 10 * BATCH_MAX + 1);
    assert_error(&batch.writes[1].error, FB_CONFLICT, "inventory_id");
    assert_all_same(instances, 2);
    clear(&batch);
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

typedef struct {
    instance_t *other;
    unsigned attempts;
} rival_t;

static void on_before_commit(void *context)
{
    rival_t *rival = context;
    if (++rival->attempts == 2) /* much was written since the first one */
        write_many(rival->other, "M");
}

/* Whether the batch stood in the part that was cut cannot be told any more. */
static void a_lost_answer_and_a_log_that_was_cut_are_unknown(void **state)
{
    (void)state;
    fleets++;
    static const fate_t script[] = {LOST};
    instance_t instance = join_short(), other = join_short();
    rival_t rival = {.other = &other};
    batch_t batch = {.count = 0};
    instance.lossy->before_commit = on_before_commit;
    instance.lossy->context = &rival;
    instance.lossy->script = script;
    instance.lossy->script_length = 1;
    add_machine(&batch, "lost");
    assert_int_equal(commit(&instance, &batch, 10000), FB_OUTCOME_UNKNOWN);
    assert_cut(&instance, 0);
    assert_int_equal(instance_now(&instance)->position.revision, 10 * BATCH_MAX);
    assert_all_same(&instance, 1);
    clear(&batch);
    instance_dispose(&instance);
    instance_dispose(&other);
}

static void a_log_of_more_than_a_thousand_entries_is_followed_to_its_end(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    fb_error_t error = {0};
    for (int i = 0; i < 4; i++) {
        char prefix[16];
        snprintf(prefix, sizeof(prefix), "P%d", i);
        write_many(&instances[0], prefix);
    }
    assert_int_equal(fb_fleet_catch_up(instances[1].fleet, &error), FB_OK);
    assert_int_equal(instance_now(&instances[1])->position.revision, 40 * BATCH_MAX);
    assert_int_equal(fb_fleet_shelf_number(instances[1].fleet), 2); /* in one step */
    assert_all_same(instances, 2);
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_instance_that_starts_shows_what_was_written),
        cmocka_unit_test(catching_up_follows_the_log_and_makes_no_snapshot_without_news),
        cmocka_unit_test(without_redis_the_last_state_stays),
        cmocka_unit_test(the_date_turns_without_a_revision),
        cmocka_unit_test(another_epoch_is_loaded_anew),
        cmocka_unit_test(what_is_archived_makes_no_difference),
        cmocka_unit_test(a_log_that_does_not_continue_the_state_is_loaded_anew),
        cmocka_unit_test(what_others_write_during_a_load_is_in_it),
        cmocka_unit_test(who_is_so_far_behind_that_the_log_was_cut_loads_and_plans_again),
        cmocka_unit_test(a_lost_answer_and_a_log_that_was_cut_are_unknown),
        cmocka_unit_test(a_log_of_more_than_a_thousand_entries_is_followed_to_its_end),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
