/* SPDX-License-Identifier: MIT */
#include "server/feed.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/thread.h"
#include "server/feed_internal.h"

#define LOADING_MS      100 /* until it looks again for the first snapshot */
#define PAUSE_INTERVALS 10

bool fb_feed_wait(fb_feed_t *feed, uint64_t until_ms)
{
    const struct timespec until = fb_clock_timespec(until_ms * 1000000);
    pthread_mutex_lock(&feed->mutex);
    while (!feed->ends && fb_clock_monotonic_ms() < until_ms)
        pthread_cond_clockwait(&feed->wake, &feed->mutex, CLOCK_MONOTONIC, &until);
    bool goes_on = !feed->ends;
    pthread_mutex_unlock(&feed->mutex);
    return goes_on;
}

static void show(fb_feed_t *feed)
{
    fb_feed_state_t *state = &feed->state;
    fb_count_set(&state->has_lease, feed->is_ours);
    fb_count_set(&state->plans, feed->notes.plans);
    fb_count_set(&state->skipped, feed->notes.skipped);
    fb_count_set(&state->failures, feed->notes.failures);
    if (feed->notes.succeeded_at != 0)
        fb_count_set(&state->succeeded_at, (uint64_t)feed->notes.succeeded_at);
}

/* --- when -------------------------------------------------------------------------------- */

/* From one fetch to the next. */
static uint64_t pause_ms(fb_feed_t *feed)
{
    uint64_t interval_ms = feed->config.interval_ms, pause = interval_ms;
    uint64_t most = PAUSE_INTERVALS * interval_ms;
    if (feed->notes.failures == 0)
        return interval_ms;
    most = most < FB_FEED_PAUSE_MS_MAX ? most : FB_FEED_PAUSE_MS_MAX;
    most = most > interval_ms ? most : interval_ms;
    for (uint64_t i = 1; i < feed->notes.failures && pause < most; i++)
        pause *= 2;
    pause = pause < most ? pause : most;
    return pause - pause / 4 + fb_random_next(&feed->random_state) % (pause / 2 + 1);
}

/* Whoever had the lease before may have fetched a moment ago. Clocks of two machines differ: so
 * never later than after a whole pause. */
static void find_next(fb_feed_t *feed)
{
    uint64_t pause = pause_ms(feed), now_ms = fb_clock_monotonic_ms();
    fb_instant_t due = feed->notes.fetched_at + (fb_instant_t)pause, now = fb_clock_now();
    uint64_t left = due > now ? (uint64_t)(due - now) : 0;
    feed->next_ms = now_ms + (left < pause ? left : pause);
    if (!fb_feed_notes_are_of(&feed->notes, feed->config.source.url))
        feed->next_ms = now_ms;
}

void fb_feed_forget(fb_feed_t *feed)
{
    feed->notes.validators = (fb_feed_validators_t){0};
    fb_feed_print_dispose(&feed->print);
}

/* --- the lease --------------------------------------------------------------------------- */

static void note_lease(fb_feed_t *feed, bool is_ours)
{
    if (is_ours != feed->is_ours)
        fb_log_info(is_ours ? "this instance fetches the feed"
                            : "this instance does not fetch the feed any more");
    feed->is_ours = is_ours;
    fb_count_set(&feed->state.has_lease, is_ours);
}

fb_code_t fb_feed_keep_lease(fb_feed_t *feed, bool now, fb_error_t *error)
{
    const fb_lease_t lease = {FB_FEED_LEASE, feed->config.name, feed->lease_ms};
    uint64_t now_ms = fb_clock_monotonic_ms();
    bool is_ours = false;
    bool was_over = feed->renewed_ms == 0 || now_ms - feed->renewed_ms >= feed->lease_ms;
    if (!now && now_ms < feed->care_ms)
        return FB_OK;
    fb_code_t code = feed->store->vtable->lease_take(feed->store, &lease, &is_ours, error);
    feed->care_ms = fb_clock_monotonic_ms() + feed->lease_ms / 3;
    if (is_ours)
        feed->renewed_ms = now_ms;
    note_lease(feed, code == FB_OK && is_ours);
    if (code != FB_OK || (is_ours && !was_over))
        return code;
    feed->has_notes = false;
    fb_feed_print_dispose(&feed->print);
    return fb_fail(error, FB_STALE, "another instance fetches the feed, or did meanwhile");
}

/* Who gets the lease goes on from the notes; who has it not shows them. */
static void care(fb_feed_t *feed)
{
    fb_error_t error = {0};
    bool found;
    fb_code_t code = fb_feed_keep_lease(feed, true, &error);
    if ((code != FB_OK && code != FB_STALE) || feed->has_notes)
        return;
    error = (fb_error_t){0};
    feed->has_notes = fb_feed_notes_read(&feed->notes, feed->store, &found, &error) == FB_OK;
    if (!feed->has_notes)
        return;
    find_next(feed);
    show(feed);
}

/* --- the thread -------------------------------------------------------------------------- */

static void fetch(fb_feed_t *feed)
{
    fb_error_t error = {0};
    uint64_t begun_ns = fb_clock_monotonic_ns();
    fb_feed_outcome_t outcome = fb_feed_turn(feed, &error);
    fb_count(&feed->state.fetches[outcome], 1);
    fb_histogram_duration(&feed->state.durations, fb_clock_monotonic_ns() - begun_ns);
    if (outcome == FB_FEED_ABANDONED)
        return;
    error = (fb_error_t){0};
    feed->next_ms = fb_clock_monotonic_ms() + pause_ms(feed);
    show(feed);
    if (fb_feed_notes_put(&feed->notes, feed->store, &error) != FB_OK)
        fb_log_warning("what became of the feed could not be noted: %s", error.detail);
}

static bool is_loaded(fb_feed_t *feed)
{
    bool is_there = fb_shelf_visit(feed->visitor) != NULL;
    fb_shelf_leave(feed->visitor);
    return is_there;
}

static void *run(void *context)
{
    fb_feed_t *feed = context;
    fb_metrics_note_thread(&feed->state.clock);
    fb_count_set(&feed->state.succeeded_at, (uint64_t)fb_clock_now());
    while (!is_loaded(feed)) {
        if (!fb_feed_wait(feed, fb_clock_monotonic_ms() + LOADING_MS))
            return NULL;
    }
    uint64_t until_ms = 0;
    while (fb_feed_wait(feed, until_ms)) {
        if (fb_clock_monotonic_ms() >= feed->care_ms)
            care(feed);
        bool may_fetch = feed->is_ours && feed->has_notes;
        if (may_fetch && fb_clock_monotonic_ms() >= feed->next_ms)
            fetch(feed);
        may_fetch = feed->is_ours && feed->has_notes;
        until_ms = may_fetch && feed->next_ms < feed->care_ms ? feed->next_ms : feed->care_ms;
    }
    return NULL;
}

fb_feed_t *fb_feed_create(const fb_feed_config_t *config)
{
    fb_feed_t *feed = fb_alloc_zero(1, sizeof(*feed));
    uint64_t lease_ms = config->interval_ms;
    feed->config = *config;
    lease_ms = lease_ms < FB_FEED_LEASE_MS_MAX ? lease_ms : FB_FEED_LEASE_MS_MAX;
    feed->lease_ms = lease_ms > FB_FEED_LEASE_MS_MIN ? lease_ms : FB_FEED_LEASE_MS_MIN;
    feed->fetch = fb_feed_fetch_create(&config->source);
    fb_assert(getrandom(&feed->random_state, sizeof(feed->random_state), 0) ==
              sizeof(feed->random_state));
    pthread_mutex_init(&feed->mutex, NULL);
    pthread_cond_init(&feed->wake, NULL);
    return feed;
}

fb_code_t fb_feed_start(fb_feed_t *feed, fb_writer_t *writer, fb_shelf_t *shelf, fb_store_t **store,
                        fb_error_t *error)
{
    feed->writer = writer;
    feed->store = *store;
    *store = NULL;
    feed->visitor = fb_shelf_visitor_create(shelf);
    fb_assert(feed->visitor != NULL);
    int failure = fb_thread_start(&feed->thread, run, feed);
    feed->started = failure == 0;
    if (failure != 0)
        return fb_fail(error, FB_IO, "the thread of the feed cannot be started: %s",
                       strerror(failure));
    return FB_OK;
}

void fb_feed_end(fb_feed_t *feed)
{
    pthread_mutex_lock(&feed->mutex);
    feed->ends = true;
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->mutex);
    fb_feed_fetch_end(feed->fetch);
}

void fb_feed_stop(fb_feed_t *feed)
{
    const fb_lease_t lease = {FB_FEED_LEASE, feed->config.name, feed->lease_ms};
    fb_error_t error = {0};
    fb_feed_end(feed);
    if (feed->started)
        pthread_join(feed->thread, NULL);
    feed->started = false;
    /* Where Redis is away, its time ends by itself. */
    if (feed->is_ours)
        feed->store->vtable->lease_leave(feed->store, &lease, &error);
    feed->is_ours = false;
    if (feed->visitor != NULL)
        fb_shelf_reader_destroy(&feed->visitor);
    if (feed->store != NULL)
        feed->store->vtable->destroy(feed->store);
    feed->store = NULL;
}

void fb_feed_destroy(fb_feed_t **feed)
{
    fb_feed_t *gone = *feed;
    if (gone == NULL)
        return;
    fb_assert(!gone->started);
    fb_feed_fetch_destroy(&gone->fetch);
    fb_feed_notes_dispose(&gone->notes);
    fb_feed_print_dispose(&gone->print);
    pthread_mutex_destroy(&gone->mutex);
    pthread_cond_destroy(&gone->wake);
    free(gone);
    *feed = NULL;
}

const fb_feed_config_t *fb_feed_config(const fb_feed_t *feed)
{
    return &feed->config;
}

const fb_feed_state_t *fb_feed_state(const fb_feed_t *feed)
{
    return &feed->state;
}
