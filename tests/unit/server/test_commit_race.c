/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "resources/machines.h"
#include "tests/unit/server/commit_fixture.h"

/* Several instances write at once. */
#define INSTANCES 3

/* One write of a random program, and what was said of it. */
typedef struct {
    char inventory_id[24];
    fb_code_t said;
} promise_t;

typedef struct {
    chance_t chance;
    instance_t instances[INSTANCES];
    promise_t promises[4000];
    size_t count;
} program_t;

/* A number of its own, or one that others want, too. */
static void promise_number(program_t *program, promise_t *promise)
{
    if (chance_below(&program->chance, 4) == 0)
        snprintf(promise->inventory_id, sizeof(promise->inventory_id), "shared-%u.",
                 chance_below(&program->chance, 60));
    else
        snprintf(promise->inventory_id, sizeof(promise->inventory_id), "own-%zu.", program->count);
}

static void add_some(program_t *program, batch_t *batch)
{
    for (uint32_t n = 1 + chance_below(&program->chance, 4); n > 0; n--) {
        promise_t *promise = &program->promises[program->count];
        promise_number(program, promise);
        program->count++;
        add_machine(batch, promise->inventory_id);
    }
}

static void commit_one(program_t *program, instance_t *instance, batch_t *batch, promise_t *first)
{
    fb_code_t code = commit(instance, batch, chance_below(&program->chance, 3) == 0 ? 0 : 100);
    assert_true(code == FB_OK || code == FB_UNAVAILABLE || code == FB_OUTCOME_UNKNOWN ||
                code == FB_CONTENDED);
    for (size_t i = 0; i < batch->count; i++) {
        /* An error was judged upon the writes before it: it stands if they do. */
        first[i].said = code == FB_OK ? batch->writes[i].error.code : code;
        assert_true(first[i].said == code || first[i].said == FB_CONFLICT);
    }
}

/* One batch after the other, each planned while the one before was on its way. */
static void commit_some(program_t *program)
{
    instance_t *instance = &program->instances[chance_below(&program->chance, INSTANCES)];
    batch_t batches[3] = {{.count = 0}};
    promise_t *firsts[3];
    size_t count = 1 + chance_below(&program->chance, 3);
    for (size_t i = 0; i < count; i++) {
        firsts[i] = &program->promises[program->count];
        add_some(program, &batches[i]);
    }
    for (size_t i = 0; i < count; i++) {
        instance->ahead->next = i + 1 < count ? &batches[i + 1] : NULL;
        commit_one(program, instance, &batches[i], firsts[i]);
        /* Somebody comes in between, now and then. */
        if (chance_below(&program->chance, 4) == 0) {
            fb_error_t error = {0};
            fb_fleet_catch_up(instance->fleet, &error);
        }
    }
    for (size_t i = 0; i < count; i++)
        clear(&batches[i]);
}

/* What was acknowledged is there once; what was refused is not there; what is unknown is there at
 * most once. Of all who wanted one number, at most one has it. */
static void check_promises(const program_t *program, size_t *said)
{
    log_t log = log_read();
    for (size_t i = 0; i < program->count; i++) {
        const promise_t *promise = &program->promises[i];
        unsigned times = times_in(&log, promise->inventory_id);
        said[promise->said]++;
        assert_true(times <= 1);
        if (promise->said == FB_OK || promise->said == FB_CONFLICT)
            assert_int_equal(times, 1);
        else if (promise->said == FB_UNAVAILABLE && promise->inventory_id[0] == 'o')
            assert_int_equal(times, 0);
    }
    for (size_t i = 0; i < program->count; i++) {
        for (size_t j = 0; j < i && program->promises[i].said == FB_OK; j++)
            assert_true(
                program->promises[j].said != FB_OK ||
                strcmp(program->promises[i].inventory_id, program->promises[j].inventory_id) != 0);
    }
    fb_buffer_dispose(&log.payloads);
}

static void no_promise_is_broken_whatever_is_lost_on_the_way(void **state)
{
    (void)state;
    enum { ROUNDS = 300 };
    program_t *program = calloc(1, sizeof(*program));
    size_t said[FB_CODE_COUNT] = {0};
    program->chance = chance_init();
    for (size_t i = 0; i < INSTANCES; i++)
        program->instances[i] = i == 0 ? found() : join();
    for (size_t i = 0; i < INSTANCES; i++)
        program->instances[i].lossy->chance = &program->chance;
    for (int round = 0; round < ROUNDS; round++)
        commit_some(program);
    for (int calls = 0; calls < 10; calls++) { /* what is late arrives */
        for (size_t i = 0; i < INSTANCES; i++) {
            fb_error_t error = {0};
            fb_fleet_catch_up(program->instances[i].fleet, &error);
        }
    }
    assert_all_same(program->instances, INSTANCES);
    check_promises(program, said);
    /* The program has seen all of it. */
    assert_true(said[FB_OK] > 0 && said[FB_CONFLICT] > 0 && said[FB_UNAVAILABLE] > 0);
    assert_true(said[FB_OUTCOME_UNKNOWN] > 0);
    for (size_t i = 0; i < INSTANCES; i++)
        instance_dispose(&program->instances[i]);
    free(program);
}

/* --- threads ------------------------------------------------------------------------------ */

#define STEPS 60

typedef struct {
    instance_t instance;
    unsigned number;
    unsigned counted; /* its increments that landed */
    unsigned created;
    fb_code_t failed; /* anything that must not happen */
} worker_t;

/* The number that machine 1 has as its label, and the validator of what it shows. */
static unsigned read_counter(const instance_t *instance, char etag[FB_ETAG_BYTES + 1])
{
    fb_buffer_t body = {0};
    fb_error_t error;
    fleet_read(instance_now(instance), "/v1/machines/1", &body, NULL, &error);
    fb_etag(fb_buffer_slice(&body), etag);
    const fb_row_t *row = fb_snapshot_row(instance_now(instance), FB_MACHINES, 1);
    fb_value_t label = fb_row_value(row, fb_machines.fields, FB_MACHINE_LABEL);
    unsigned counter = (unsigned)strtoul(label.text.at, NULL, 10);
    fb_buffer_dispose(&body);
    return counter;
}

/* Adds one to the label, if nobody else has meanwhile; and creates a machine, come what may. */
static void count_one(worker_t *worker, unsigned step)
{
    batch_t batch = {.count = 0};
    char body[40], inventory_id[24], etag[FB_ETAG_BYTES + 1];
    snprintf(body, sizeof(body), "{\"label\":\"%u\"}", read_counter(&worker->instance, etag) + 1);
    fb_write_t *increment = add(&batch, "PATCH", "/v1/machines/1", body);
    increment->if_match = fb_strdup(etag);
    snprintf(inventory_id, sizeof(inventory_id), "w%u-%u.", worker->number, step);
    fb_write_t *creation = add_machine(&batch, inventory_id);
    fb_code_t code = commit(&worker->instance, &batch, 20000);
    if (code != FB_OK)
        worker->failed = code;
    if (creation->error.code != FB_OK)
        worker->failed = creation->error.code;
    if (increment->error.code != FB_OK && increment->error.code != FB_PRECONDITION_FAILED)
        worker->failed = increment->error.code;
    worker->counted += increment->error.code == FB_OK;
    worker->created += creation->error.code == FB_OK;
    clear(&batch);
}

static void *run_worker(void *argument)
{
    worker_t *worker = argument;
    for (unsigned step = 0; step < STEPS; step++)
        count_one(worker, step);
    return NULL;
}

static void threads_that_count_under_if_match_lose_no_increment(void **state)
{
    (void)state;
    worker_t workers[INSTANCES] = {{.number = 0}};
    pthread_t threads[INSTANCES];
    instance_t watching = found();
    batch_t batch = {.count = 0};
    char etag[FB_ETAG_BYTES + 1];
    unsigned counted = 0;
    add(&batch, "POST", "/v1/machines",
        "{\"label\":\"0\",\"inventory_id\":\"counter\",\"type\":\"crane\"}");
    must_commit(&watching, &batch);
    clear(&batch);
    for (unsigned i = 0; i < INSTANCES; i++)
        workers[i] = (worker_t){.instance = join(), .number = i};
    for (unsigned i = 0; i < INSTANCES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &workers[i]), 0);
    for (unsigned i = 0; i < INSTANCES; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].failed, FB_OK);
        assert_int_equal(workers[i].created, STEPS);
        counted += workers[i].counted;
    }
    fb_error_t error = {0};
    assert_int_equal(fb_fleet_catch_up(watching.fleet, &error), FB_OK);
    assert_int_equal(read_counter(&watching, etag), counted);
    assert_int_equal(instance_now(&watching)->position.revision, 1 + INSTANCES * STEPS + counted);
    assert_int_equal(instance_now(&watching)->families[FB_MACHINES].rows.count,
                     1 + INSTANCES * STEPS);
    assert_true(counted >= STEPS / 2);
    assert_all_same(&watching, 1);
    for (unsigned i = 0; i < INSTANCES; i++) {
        assert_all_same(&workers[i].instance, 1);
        instance_dispose(&workers[i].instance);
    }
    instance_dispose(&watching);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_promise_is_broken_whatever_is_lost_on_the_way),
        cmocka_unit_test(threads_that_count_under_if_match_lose_no_increment),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
