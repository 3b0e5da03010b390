/* SPDX-License-Identifier: MIT */
#include "server/jobs.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/thread.h"
#include "resources/orders.h"
#include "server/jobs_internal.h"

#define PAUSE_MS_MIN 10 /* after a failure */
#define PAUSE_MS_MAX 1000
#define SLACK_MAX    1000
#define NEVER_MS     ((uint64_t)1 << 43) /* some centuries */

void fb_jobs_pause(fb_jobs_pause_t *pause)
{
    uint64_t pause_ms = pause->pause_ms == 0 ? PAUSE_MS_MIN : pause->pause_ms * 2;
    pause->pause_ms = pause_ms < PAUSE_MS_MAX ? pause_ms : PAUSE_MS_MAX;
    pause->until_ms = fb_clock_monotonic_ms() + pause->pause_ms;
}

/* --- what wakes it ----------------------------------------------------------------------- */

void fb_jobs_published(fb_jobs_t *jobs, const fb_snapshot_t *snapshot)
{
    uint32_t last_id = snapshot->families[FB_ORDERS].last_id;
    uint64_t held = fb_orders_held(snapshot)->count;
    /* A new one, or one that is held no more; all else it is answered, or sees at its next tick. */
    bool has_new = last_id != jobs->seen_last_id || held < jobs->seen_held;
    jobs->seen_last_id = last_id;
    jobs->seen_held = held;
    if (!has_new)
        return;
    pthread_mutex_lock(&jobs->mutex);
    jobs->has_new = true;
    pthread_cond_signal(&jobs->wake);
    pthread_mutex_unlock(&jobs->mutex);
}

void fb_jobs_end(fb_jobs_t *jobs)
{
    pthread_mutex_lock(&jobs->mutex);
    jobs->ends = true;
    pthread_cond_signal(&jobs->wake);
    pthread_mutex_unlock(&jobs->mutex);
}

typedef struct {
    fb_jobs_command_t *answered;
    bool ends;
} call_t;

/* Waits until there is something to do, at most until `until_ms`; while it ends, for answers. */
static call_t wait_for_call(fb_jobs_t *jobs, bool was_ending, uint64_t until_ms)
{
    const struct timespec until = fb_clock_timespec(until_ms * 1000000);
    pthread_mutex_lock(&jobs->mutex);
    while (jobs->answered == NULL && (!jobs->has_new || was_ending) && jobs->ends == was_ending &&
           fb_clock_monotonic_ms() < until_ms)
        pthread_cond_clockwait(&jobs->wake, &jobs->mutex, CLOCK_MONOTONIC, &until);
    const call_t call = {jobs->answered, jobs->ends};
    jobs->may_have_more |= jobs->has_new;
    if (jobs->has_new && jobs->length == 0)
        jobs->length = 1; /* it is not known any more: the next tick asks */
    jobs->answered = NULL;
    jobs->has_new = false;
    pthread_mutex_unlock(&jobs->mutex);
    return call;
}

static void earlier(uint64_t *until_ms, uint64_t ms)
{
    *until_ms = ms < *until_ms ? ms : *until_ms;
}

/* When there is something to do, whatever happens. */
static uint64_t next_ms(const fb_jobs_t *jobs, uint64_t now_ms)
{
    uint64_t until_ms = jobs->tick_ms;
    if (fb_jobs_may(&jobs->writing, now_ms))
        earlier(&until_ms, jobs->due_ms);
    else
        earlier(&until_ms, jobs->writing.until_ms);
    if (jobs->ended_count > 0 && fb_jobs_may(&jobs->asking, now_ms))
        earlier(&until_ms, jobs->ended_ms + FB_JOBS_TELL_MS);
    return until_ms;
}

/* --- the thread -------------------------------------------------------------------------- */

/* What was answered, and what follows from it for those who belong to no instance. */
static void settle_all(fb_jobs_t *jobs, fb_jobs_command_t *answered, bool ends)
{
    bool was_answered[FB_JOBS_ASKS] = {false};
    while (answered != NULL) {
        fb_jobs_command_t *next = answered->next;
        was_answered[answered->ask] |= answered->write.error.code == FB_OK;
        fb_jobs_settle(jobs, answered);
        answered = next;
    }
    for (int ask = FB_JOBS_EXPIRE; ask < FB_JOBS_ASKS && !ends; ask++) {
        if (was_answered[ask])
            fb_jobs_care_on(jobs, (fb_jobs_ask_t)ask, fb_clock_monotonic_ms());
    }
}

static void turn(fb_jobs_t *jobs)
{
    uint64_t now_ms = fb_clock_monotonic_ms();
    fb_jobs_see(jobs);
    fb_jobs_tell(jobs, now_ms, false);
    if (now_ms >= jobs->tick_ms)
        fb_jobs_care(jobs, now_ms);
    fb_jobs_take(jobs, now_ms);
    fb_jobs_see(jobs);
    fb_jobs_ask(jobs, fb_clock_monotonic_ms());
}

static void *run(void *context)
{
    fb_jobs_t *jobs = context;
    call_t call = {0};
    fb_metrics_note_thread(&jobs->state.clock);
    while (!call.ends || jobs->under_way > 0) {
        uint64_t until_ms = call.ends ? NEVER_MS : next_ms(jobs, fb_clock_monotonic_ms());
        call = wait_for_call(jobs, call.ends, until_ms);
        settle_all(jobs, call.answered, call.ends);
        if (!call.ends)
            turn(jobs);
    }
    fb_jobs_see(jobs);
    fb_jobs_leave(jobs);
    return NULL;
}

fb_jobs_t *fb_jobs_create(const fb_jobs_config_t *config)
{
    fb_jobs_t *jobs = fb_alloc_zero(1, sizeof(*jobs));
    fb_assert(config->workers <= FB_JOBS_WORKERS_MAX);
    jobs->config = *config;
    jobs->queue = (fb_queue_t){fb_orders.queue, config->name};
    jobs->hand = fb_alloc_zero(config->workers + 1, sizeof(*jobs->hand));
    fb_count_set(&jobs->state.workers, config->workers);
    jobs->due_ms = UINT64_MAX;
    jobs->length = 1;
    jobs->archive_from = jobs->requeue_from = 1;
    fb_assert(getrandom(&jobs->random_state, sizeof(jobs->random_state), 0) ==
              sizeof(jobs->random_state));
    uint64_t slack = config->recent / 10 < SLACK_MAX ? config->recent / 10 : SLACK_MAX;
    /* So that mostly one instance, always the same, does what all could do. */
    jobs->slack = slack + fb_random_next(&jobs->random_state) % (slack + 1);
    pthread_mutex_init(&jobs->mutex, NULL);
    pthread_cond_init(&jobs->wake, NULL);
    return jobs;
}

fb_code_t fb_jobs_start(fb_jobs_t *jobs, fb_writer_t *writer, fb_shelf_t *shelf, fb_store_t **store,
                        fb_error_t *error)
{
    jobs->writer = writer;
    jobs->store = *store;
    *store = NULL;
    jobs->visitor = fb_shelf_visitor_create(shelf);
    fb_assert(jobs->visitor != NULL);
    int failure = fb_thread_start(&jobs->thread, run, jobs);
    jobs->started = failure == 0;
    if (failure != 0)
        return fb_fail(error, FB_IO, "the thread of orders cannot be started: %s",
                       strerror(failure));
    return FB_OK;
}

void fb_jobs_stop(fb_jobs_t *jobs)
{
    fb_jobs_end(jobs);
    if (jobs->started)
        pthread_join(jobs->thread, NULL);
    jobs->started = false;
    if (jobs->visitor != NULL)
        fb_shelf_reader_destroy(&jobs->visitor);
    if (jobs->store != NULL)
        jobs->store->vtable->destroy(jobs->store);
    jobs->store = NULL;
}

void fb_jobs_destroy(fb_jobs_t **jobs)
{
    fb_jobs_t *gone = *jobs;
    fb_assert(!gone->started);
    pthread_mutex_destroy(&gone->mutex);
    pthread_cond_destroy(&gone->wake);
    free(gone->hand);
    free(gone);
    *jobs = NULL;
}

const fb_jobs_state_t *fb_jobs_state(const fb_jobs_t *jobs)
{
    return &jobs->state;
}
