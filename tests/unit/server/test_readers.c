/* SPDX-License-Identifier: MIT */
#include "server/readers.h"

#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "tests/unit/random.h"

/* The queue between the loops and the readers; what a job does with its store is its own. This
 * test's thread is the loop. */

static h2o_evloop_t *evloop;
static h2o_multithread_queue_t *queue;
static h2o_multithread_receiver_t receiver;
static sem_t running, go_on;

static unsigned done, undone;
static pthread_t loop_thread;

static void on_done(fb_read_job_t *job, fb_code_t code)
{
    assert_true(pthread_equal(pthread_self(), loop_thread));
    assert_true(code == FB_OK || code == FB_UNAVAILABLE);
    done += code == FB_OK;
    undone += code == FB_UNAVAILABLE;
    free(job);
}

static void run_soon(fb_read_job_t *job, fb_store_t *store)
{
    (void)job;
    assert_non_null(store);
    assert_false(pthread_equal(pthread_self(), loop_thread));
}

static void run_later(fb_read_job_t *job, fb_store_t *store)
{
    run_soon(job, store);
    sem_post(&running);
    while (sem_wait(&go_on) != 0)
        continue;
}

static fb_code_t submit(fb_readers_t *readers, void (*run)(fb_read_job_t *, fb_store_t *))
{
    fb_error_t error = {0};
    fb_read_job_t *job = fb_alloc_zero(1, sizeof(*job));
    *job = (fb_read_job_t){.receiver = &receiver, .run = run, .on_done = on_done};
    fb_code_t code = fb_readers_submit(readers, job, &error);
    assert_int_equal(error.code, code);
    if (code != FB_OK)
        free(job);
    return code;
}

static void turn_until(unsigned count)
{
    while (done + undone < count)
        h2o_evloop_run(evloop, 1000);
    assert_int_equal(done + undone, count);
}

static fb_readers_t *start(void)
{
    const fb_store_redis_options_t options = {
        .url = "unix:///nowhere/redis.sock", .fleet = "f", .timeout_ms = 100};
    fb_error_t error = {0};
    fb_readers_t *readers = fb_readers_create();
    done = undone = 0;
    assert_int_equal(fb_readers_start(readers, &options, &error), FB_OK);
    return readers;
}

static void jobs_run_elsewhere_and_come_back_to_their_loop(void **state)
{
    (void)state;
    fb_readers_t *readers = start();
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(submit(readers, run_soon), FB_OK);
    turn_until(500);
    assert_int_equal(done, 500);
    assert_int_equal(fb_count_read(&fb_readers_state(readers)->queued), 0);
    fb_readers_stop(readers);
    fb_readers_destroy(&readers);
    assert_null(readers);
}

/* All readers are at work, none of which ends before go_on. */
static void occupy(fb_readers_t *readers)
{
    for (unsigned i = 0; i < FB_READERS; i++)
        assert_int_equal(submit(readers, run_later), FB_OK);
    for (unsigned i = 0; i < FB_READERS; i++) {
        while (sem_wait(&running) != 0)
            continue;
    }
}

static void only_so_many_wait(void **state)
{
    (void)state;
    fb_readers_t *readers = start();
    occupy(readers);
    for (unsigned i = 1; i <= FB_READERS_QUEUE_MAX; i++)
        assert_int_equal(submit(readers, run_soon), FB_OK);
    assert_int_equal(fb_count_read(&fb_readers_state(readers)->queued), FB_READERS_QUEUE_MAX);
    assert_int_equal(submit(readers, run_soon), FB_QUEUE_FULL);
    for (unsigned i = 0; i < FB_READERS; i++)
        sem_post(&go_on);
    turn_until(FB_READERS_QUEUE_MAX + FB_READERS);
    assert_int_equal(undone, 0);
    assert_int_equal(submit(readers, run_soon), FB_OK);
    turn_until(FB_READERS_QUEUE_MAX + FB_READERS + 1);
    fb_readers_stop(readers);
    uint64_t waited = 0, ran = 0;
    const fb_readers_state_t *seen = fb_readers_state(readers);
    for (unsigned i = 0; i <= FB_DURATION_BUCKETS; i++) {
        waited += fb_count_read(&seen->waiting.buckets[i]);
        ran += fb_count_read(&seen->running.buckets[i]);
    }
    assert_int_equal(fb_count_read(&seen->refused), 1);
    assert_int_equal(waited, FB_READERS_QUEUE_MAX + FB_READERS + 1);
    assert_int_equal(ran, waited);
    fb_readers_destroy(&readers);
}

static void *let_go(void *context)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    (void)context;
    nanosleep(&pause, NULL);
    for (unsigned i = 0; i < FB_READERS; i++)
        sem_post(&go_on);
    return NULL;
}

static void those_that_wait_at_the_end_come_back_undone(void **state)
{
    (void)state;
    pthread_t thread;
    fb_readers_t *readers = start();
    occupy(readers);
    for (unsigned i = 1; i <= 10; i++)
        assert_int_equal(submit(readers, run_soon), FB_OK);
    assert_int_equal(pthread_create(&thread, NULL, let_go, NULL), 0);
    fb_readers_stop(readers);
    pthread_join(thread, NULL);
    assert_int_equal(submit(readers, run_soon), FB_UNAVAILABLE);
    turn_until(10 + FB_READERS);
    assert_int_equal(undone, 10);
    assert_int_equal(done, FB_READERS);
    fb_readers_destroy(&readers);
}

static void none_is_taken_before_the_start(void **state)
{
    (void)state;
    fb_readers_t *readers = fb_readers_create();
    assert_int_equal(submit(readers, run_soon), FB_UNAVAILABLE);
    fb_readers_stop(readers);
    fb_readers_destroy(&readers);
}

static int begin_loop(void **state)
{
    (void)state;
    loop_thread = pthread_self();
    sem_init(&running, 0, 0);
    sem_init(&go_on, 0, 0);
    evloop = h2o_evloop_create();
    queue = h2o_multithread_create_queue(evloop);
    h2o_multithread_register_receiver(queue, &receiver, fb_readers_on_done);
    return 0;
}

static int end_loop(void **state)
{
    (void)state;
    h2o_multithread_unregister_receiver(queue, &receiver);
    h2o_multithread_destroy_queue(queue);
    h2o_evloop_run(evloop, 0);
    h2o_evloop_destroy(evloop);
    free(queue); /* which the library closes, but never frees */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_elsewhere_and_come_back_to_their_loop),
        cmocka_unit_test(only_so_many_wait),
        cmocka_unit_test(those_that_wait_at_the_end_come_back_undone),
        cmocka_unit_test(none_is_taken_before_the_start),
    };
    return cmocka_run_group_tests(tests, begin_loop, end_loop);
}
