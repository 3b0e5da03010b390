/* SPDX-License-Identifier: MIT */
#include "server/jobs_internal.h"

#include <semaphore.h>

#include "base/memory.h"
#include "resources/orders.h"
#include "tests/unit/resources/fleet.h"
#include "tests/unit/server/redis_fixture.h"

/* The thread that works the queue, with a writer and a Redis, but without a server. */

#define ORDER "{\"user_id\":1,\"item_ids\":[1],\"total_amount\":1}"

/* --- a queue whose answers are lost -------------------------------------------------------- */

typedef struct {
    fb_store_t store;
    fb_store_t *inner;
    chance_t chance;
    unsigned one_in; /* of so many calls one fails; 0: none does */
    unsigned failures;
} shaky_t;

/* Done or not, a call that fails has lost its connection: the next one makes another. */
static bool fails(shaky_t *shaky)
{
    if (shaky->one_in == 0 || chance_below(&shaky->chance, shaky->one_in) != 0)
        return false;
    shaky->failures++;
    return true;
}

static bool is_done_all_the_same(shaky_t *shaky)
{
    return chance_below(&shaky->chance, 2) == 0;
}

static fb_code_t lose(shaky_t *shaky, fb_error_t *error)
{
    shaky->inner->vtable->destroy(shaky->inner);
    shaky->inner = store_create(0);
    *error = (fb_error_t){0};
    return fb_fail(error, FB_UNAVAILABLE, "lost");
}

static fb_code_t shaky_take(fb_store_t *store, const fb_queue_t *queue, size_t max,
                            fb_queue_job_t *jobs, size_t *count, fb_error_t *error)
{
    shaky_t *shaky = (shaky_t *)store;
    bool loses = fails(shaky);
    if (!loses || is_done_all_the_same(shaky)) {
        fb_code_t code =
            shaky->inner->vtable->queue_take(shaky->inner, queue, max, jobs, count, error);
        if (!loses)
            return code;
    }
    *count = 0;
    return lose(shaky, error);
}

static fb_code_t shaky_claim(fb_store_t *store, const fb_queue_t *queue, uint64_t idle_ms,
                             size_t max, fb_queue_job_t *jobs, size_t *count, fb_error_t *error)
{
    shaky_t *shaky = (shaky_t *)store;
    bool loses = fails(shaky);
    if (!loses || is_done_all_the_same(shaky)) {
        fb_code_t code = shaky->inner->vtable->queue_claim(shaky->inner, queue, idle_ms, max, jobs,
                                                           count, error);
        if (!loses)
            return code;
    }
    *count = 0;
    return lose(shaky, error);
}

static fb_code_t shaky_done(fb_store_t *store, const fb_queue_t *queue, const fb_queue_job_t *jobs,
                            size_t count, fb_error_t *error)
{
    shaky_t *shaky = (shaky_t *)store;
    bool loses = fails(shaky);
    if (!loses || is_done_all_the_same(shaky)) {
        fb_code_t code = shaky->inner->vtable->queue_done(shaky->inner, queue, jobs, count, error);
        if (!loses)
            return code;
    }
    return lose(shaky, error);
}

static fb_code_t shaky_leave(fb_store_t *store, const fb_queue_t *queue, fb_error_t *error)
{
    shaky_t *shaky = (shaky_t *)store;
    return shaky->inner->vtable->queue_leave(shaky->inner, queue, error);
}

static fb_code_t shaky_info(fb_store_t *store, const fb_queue_t *queue, fb_queue_info_t *info,
                            fb_error_t *error)
{
    shaky_t *shaky = (shaky_t *)store;
    return shaky->inner->vtable->queue_info(shaky->inner, queue, info, error);
}

static void shaky_destroy(fb_store_t *store)
{
    shaky_t *shaky = (shaky_t *)store;
    shaky->inner->vtable->destroy(shaky->inner);
    free(shaky);
}

static const fb_store_vtable_t shaky_vtable = {
    .queue_take = shaky_take,
    .queue_claim = shaky_claim,
    .queue_done = shaky_done,
    .queue_leave = shaky_leave,
    .queue_info = shaky_info,
    .destroy = shaky_destroy,
};

/* --- an instance ---------------------------------------------------------------------------- */

typedef struct {
    fb_shelf_t *shelf;
    fb_fleet_t *fleet;
    fb_writer_t *writer;
    fb_jobs_t *jobs;
    fb_reader_t *visitor;
    shaky_t *shaky;
    sem_t ready;
} instance_t;

static void on_published(void *context)
{
    const instance_t *instance = context;
    fb_jobs_published(instance->jobs, fb_shelf_current(instance->shelf));
}

static void on_ready(void *context)
{
    instance_t *instance = context;
    sem_post(&instance->ready);
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        continue;
}

static instance_t *start(const fb_jobs_config_t *config, unsigned one_in)
{
    fb_error_t error = {0};
    char name[16];
    instance_t *instance = fb_alloc_zero(1, sizeof(*instance));
    const fb_writer_config_t writer = {1000, 5000, on_published, on_ready, instance};
    fb_store_t *store = store_create(0);
    sem_init(&instance->ready, 0, 0);
    instance->shelf = fb_shelf_create();
    instance->visitor = fb_shelf_visitor_create(instance->shelf);
    instance->fleet = fb_fleet_create(&store, instance->shelf, &fleet_rules);
    instance->jobs = fb_jobs_create(config);
    instance->writer = fb_writer_create(&writer);
    snprintf(name, sizeof(name), "fleet-%u", fleets);
    const fb_watch_options_t watch = {fb_private_redis_url(redis), name, 5000};
    assert_int_equal(fb_writer_start(instance->writer, instance->fleet, &watch, &error), FB_OK);
    wait_for(&instance->ready);
    instance->shaky = fb_alloc_zero(1, sizeof(*instance->shaky));
    instance->shaky->store.vtable = &shaky_vtable;
    instance->shaky->inner = store_create(0);
    instance->shaky->chance = chance_init();
    instance->shaky->one_in = one_in;
    fb_store_t *queue = &instance->shaky->store;
    assert_int_equal(
        fb_jobs_start(instance->jobs, instance->writer, instance->shelf, &queue, &error), FB_OK);
    assert_null(queue);
    return instance;
}

static void stop(instance_t **instance)
{
    instance_t *gone = *instance;
    fb_jobs_stop(gone->jobs);
    fb_writer_stop(gone->writer);
    fb_writer_destroy(&gone->writer);
    fb_jobs_destroy(&gone->jobs);
    fb_shelf_reader_destroy(&gone->visitor);
    fb_fleet_destroy(&gone->fleet);
    fb_shelf_destroy(&gone->shelf);
    sem_destroy(&gone->ready);
    free(gone);
    *instance = NULL;
}

static void on_done(fb_write_t *write)
{
    sem_post(write->context);
}

/* Waits until it is committed, and frees it. */
static void commit(const instance_t *instance, fb_write_t *write)
{
    sem_t done;
    fb_error_t error = {0};
    sem_init(&done, 0, 0);
    write->on_done = on_done;
    write->context = &done;
    assert_int_equal(fb_writer_submit(instance->writer, write, &error), FB_OK);
    wait_for(&done);
    assert_int_equal(write->error.code, FB_OK);
    sem_destroy(&done);
    fb_write_dispose(write);
}

static void post_order(const instance_t *instance)
{
    fb_route_t route;
    fb_write_t write;
    fb_error_t error = {0};
    assert_int_equal(fb_registry_route(FB_SLICE("POST"), FB_SLICE("/v1/orders"), &route, &error),
                     FB_OK);
    fb_write_init(&write, route.command);
    assert_int_equal(fb_args_read_body(&write.args, route.command->body, route.command->body_count,
                                       NULL, 0, route.command->body_mode, FB_SLICE(ORDER), &error),
                     FB_OK);
    commit(instance, &write);
}

static fb_order_metrics_t metrics_of(const instance_t *instance)
{
    fb_order_metrics_t metrics = fb_order_metrics(fb_shelf_visit(instance->visitor));
    fb_shelf_leave(instance->visitor);
    return metrics;
}

static void pause_ms(uint64_t ms)
{
    const struct timespec pause = fb_clock_timespec(ms * 1000000);
    nanosleep(&pause, NULL);
}

static fb_queue_info_t queue_of_fleet(void)
{
    fb_store_t *store = store_create(0);
    const fb_queue_t queue = {"orders", "looker"};
    fb_queue_info_t info;
    fb_error_t error = {0};
    assert_int_equal(store->vtable->queue_info(store, &queue, &info, &error), FB_OK);
    store->vtable->destroy(store);
    return info;
}

#define WAIT_MS 30000

static void until_completed(const instance_t *instance, uint64_t count)
{
    uint64_t end_ms = fb_clock_monotonic_ms() + WAIT_MS;
    while (metrics_of(instance).of[FB_TOTAL_COMPLETED] < count) {
        assert_true(fb_clock_monotonic_ms() < end_ms);
        pause_ms(2);
    }
}

static void until_processing(const instance_t *instance, uint64_t count)
{
    uint64_t end_ms = fb_clock_monotonic_ms() + WAIT_MS;
    while (metrics_of(instance).processing < count) {
        assert_true(fb_clock_monotonic_ms() < end_ms);
        pause_ms(2);
    }
}

/* --- the tests ------------------------------------------------------------------------------ */

static void a_thread_that_was_never_started_ends(void **state)
{
    (void)state;
    const fb_jobs_config_t config = {.name = "ann", .workers = 3, .claim_ms = 1000};
    fb_jobs_t *jobs = fb_jobs_create(&config);
    fb_jobs_stop(jobs);
    fb_jobs_destroy(&jobs);
    assert_null(jobs);
}

static void orders_are_completed_and_leave_the_queue(void **state)
{
    (void)state;
    const fb_jobs_config_t config = {
        .name = "ann", .workers = 7, .claim_ms = 60000, .recent = 1000};
    fleets++;
    instance_t *instance = start(&config, 0);
    for (unsigned i = 0; i < 50; i++)
        post_order(instance);
    until_completed(instance, 50);
    fb_order_metrics_t metrics = metrics_of(instance);
    assert_int_equal(metrics.total, 50);
    assert_int_equal(metrics.pending + metrics.processing, 0);
    stop(&instance);
    assert_int_equal(queue_of_fleet().length, 0);
}

static void what_is_in_hand_at_the_end_is_given_back(void **state)
{
    (void)state;
    const fb_jobs_config_t config = {
        .name = "ann", .workers = 7, .claim_ms = 60000, .processing_ms = 3600000, .recent = 1000};
    fleets++;
    instance_t *instance = start(&config, 0);
    for (unsigned i = 0; i < 20; i++)
        post_order(instance);
    until_processing(instance, 7);
    assert_int_equal(metrics_of(instance).processing, 7);
    assert_int_equal(fb_count_read(&fb_jobs_state(instance->jobs)->in_hand), 7);
    stop(&instance);
    fb_queue_info_t info = queue_of_fleet();
    assert_int_equal(info.length, 20);
    assert_int_equal(info.pending, 0);

    /* For the next one there is no time to wait: those that had begun are at their end, too. */
    const fb_jobs_config_t next = {.name = "bob", .workers = 7, .claim_ms = 60000, .recent = 1000};
    instance = start(&next, 0);
    until_completed(instance, 20);
    stop(&instance);
    assert_int_equal(queue_of_fleet().length, 0);
}

/* Two instances, of whose questions to the queue many fail, done or not. */
static void whatever_the_queue_loses_each_order_is_completed_once(void **state)
{
    (void)state;
    const fb_jobs_config_t ann = {
        .name = "ann", .workers = 20, .claim_ms = 300, .processing_ms = 3, .recent = 10};
    const fb_jobs_config_t bob = {.name = "bob", .workers = 5, .claim_ms = 300, .recent = 10};
    enum { ORDERS = 200 };
    fleets++;
    instance_t *instances[] = {start(&ann, 4), start(&bob, 3)};
    for (unsigned i = 0; i < ORDERS; i++)
        post_order(instances[i % 2]);
    until_completed(instances[0], ORDERS);
    until_completed(instances[1], ORDERS);
    for (unsigned i = 0; i < 2; i++) {
        fb_order_metrics_t metrics = metrics_of(instances[i]);
        assert_int_equal(metrics.total, ORDERS);
        assert_int_equal(metrics.of[FB_TOTAL_COMPLETED], ORDERS);
        assert_int_equal(metrics.pending + metrics.processing, 0);
    }
    print_message("%u and %u failures\n", instances[0]->shaky->failures,
                  instances[1]->shaky->failures);
    assert_true(instances[0]->shaky->failures + instances[1]->shaky->failures > 0);
    stop(&instances[0]);
    stop(&instances[1]);
}

enum { OPEN_ORDERS = 25000, PAST_ORDERS = 3 };

/* Many that somebody outside works on, and behind them some that are past. */
static fb_code_t plan_many(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                           fb_error_t *error)
{
    (void)snapshot;
    (void)args;
    (void)error;
    for (uint32_t id = 1; id <= OPEN_ORDERS + PAST_ORDERS; id++) {
        fb_value_t values[FB_FIELDS_MAX] = {{.number = 0}};
        for (unsigned f = 0; f < FB_ORDER_FIELDS; f++)
            values[f].null = true;
        fb_order_state_t status =
            id <= OPEN_ORDERS ? FB_ORDER_IS_PROCESSING : FB_ORDER_IS_COMPLETED;
        values[FB_ORDER_STATUS] = (fb_value_t){.text = fb_slice(fb_order_states[status])};
        values[FB_ORDER_ITEMS] = (fb_value_t){.text = FB_SLICE("[7]")};
        fb_change_put(&plan->change, FB_ORDERS, id, values);
    }
    return FB_OK;
}

static void settle_answers(fb_jobs_t *jobs)
{
    uint64_t end_ms = fb_clock_monotonic_ms() + WAIT_MS;
    while (jobs->under_way > 0) {
        assert_true(fb_clock_monotonic_ms() < end_ms);
        pthread_mutex_lock(&jobs->mutex);
        fb_jobs_command_t *answered = jobs->answered;
        jobs->answered = NULL;
        pthread_mutex_unlock(&jobs->mutex);
        if (answered != NULL)
            fb_jobs_settle(jobs, answered);
        pause_ms(1);
    }
}

/* However slow it is: each turn here comes when it could begin from the first order again. */
static void past_orders_behind_many_others_are_archived(void **state)
{
    (void)state;
    static const fb_command_t many = {.plan = plan_many, .answer = FB_ANSWER_EMPTY};
    const fb_jobs_config_t config = {
        .name = "ann", .workers = 0, .claim_ms = 60000, .recent = 1000000};
    const fb_jobs_config_t by_hand = {.name = "bob", .workers = 0, .claim_ms = 60000};
    fb_write_t write;
    fleets++;
    instance_t *instance = start(&config, 0);
    fb_write_init(&write, &many);
    commit(instance, &write);
    fb_jobs_t *jobs = fb_jobs_create(&by_hand);
    jobs->writer = instance->writer;
    jobs->visitor = fb_shelf_visitor_create(instance->shelf);
    jobs->store = store_create(0);
    uint64_t now_ms = fb_clock_monotonic_ms();
    for (unsigned turn = 0; turn < 4; turn++, now_ms += 60000)
        fb_jobs_care(jobs, now_ms);
    settle_answers(jobs);
    assert_int_equal(fb_count_read(&fb_jobs_state(jobs)->archived), PAST_ORDERS);
    const fb_snapshot_t *snapshot = fb_shelf_visit(instance->visitor);
    assert_int_equal(snapshot->families[FB_ORDERS].exists.count, OPEN_ORDERS);
    fb_shelf_leave(instance->visitor);
    fb_jobs_stop(jobs);
    fb_jobs_destroy(&jobs);
    stop(&instance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_was_never_started_ends),
        cmocka_unit_test(orders_are_completed_and_leave_the_queue),
        cmocka_unit_test(what_is_in_hand_at_the_end_is_given_back),
        cmocka_unit_test(whatever_the_queue_loses_each_order_is_completed_once),
        cmocka_unit_test(past_orders_behind_many_others_are_archived),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
