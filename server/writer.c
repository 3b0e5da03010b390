/* SPDX-License-Identifier: MIT */
/* Phases of the thread, and what is legal in each:
 *
 *     loading    submit refuses (FB_UNAVAILABLE); nothing is on the shelf
 *     serving    submit queues; redis_up says whether it refuses
 *     stopping   submit refuses; what was queued is still committed and answered
 *
 * Where a write is, from submit to on_done; each batch has the place of the one before it:
 *
 *     queue ──► ahead ──► now ──► settled ──► on_done
 *       │  ▲      │        ▲
 *       │  └──────┘        │      ahead: planned while `now` is in Redis; goes back to the queue
 *       └──────────────────┘      where something other than writing is to be done first
 */
#include "server/writer.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#define BATCH_MAX        512
#define TICK_MS          1000 /* without news for so long, heads are compared */
#define NUDGE_MS         5    /* between comparisons that loops ask for */
#define RETRY_MS_MIN     50   /* between attempts to reach Redis */
#define RETRY_MS_MAX     1000
#define WAIT_ON_LOOPS_MS 100 /* then it looks again whether all loops have the snapshot */
/* Between looks at the queue while Redis works on a batch. Oftener would take the processor from
 * Redis; a commit that takes less time has none for planning. */
#define LOOK_NS 1000000

typedef struct {
    fb_write_t *writes[BATCH_MAX];
    size_t count;
} batch_t;

struct fb_writer {
    fb_fleet_t *fleet;
    fb_news_t *news;
    fb_watch_t *watch; /* for the news */
    fb_writer_config_t config;
    fb_writer_state_t state;
    uint64_t sign_ms; /* when Redis, or another instance, last told us something */
    batch_t now;      /* what is being committed */
    batch_t ahead;    /* what is planned meanwhile: it comes next */
    batch_t settled;  /* what is yet to be answered */
    pthread_t thread;
    bool started;
    sem_t taken;           /* posted by loops */
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    fb_write_t *first, **last;
    size_t queued;
    bool has_news; /* the news have something */
    bool nudged;   /* heads are to be compared at once, or at nudge_ns */
    uint64_t nudge_ns;
    bool ready;
    bool stopping;
};

static void set_u64(atomic_uint_fast64_t *number, uint64_t value)
{
    atomic_store_explicit(number, value, memory_order_relaxed);
}

static void add_u64(atomic_uint_fast64_t *number, uint64_t value)
{
    atomic_fetch_add_explicit(number, value, memory_order_relaxed);
}

static bool redis_up(const fb_writer_t *writer)
{
    return atomic_load_explicit(&writer->state.redis_up, memory_order_relaxed);
}

static void note_contact(fb_writer_t *writer, bool up, const fb_error_t *error)
{
    if (up)
        set_u64(&writer->state.contact_ms, fb_clock_monotonic_ms());
    if (up == redis_up(writer))
        return;
    atomic_store_explicit(&writer->state.redis_up, up, memory_order_relaxed);
    if (up)
        fb_log_info("Redis answers; writes are taken");
    else
        fb_log_error("Redis does not answer, writes get 503 until it does: %s", error->detail);
}

/* After a conversation with Redis that began at `begun_ms`. */
static void note_outcome(fb_writer_t *writer, fb_code_t code, uint64_t begun_ms,
                         const fb_error_t *error)
{
    bool is_away = code == FB_UNAVAILABLE || code == FB_OUTCOME_UNKNOWN;
    note_contact(writer, !is_away, error);
    /* Who sees this sees the snapshot that the comparison found, too. */
    if (code == FB_OK)
        atomic_store_explicit(&writer->state.compared_ms, begun_ms, memory_order_release);
    writer->sign_ms = fb_clock_monotonic_ms();
}

/* --- the queue --------------------------------------------------------------------------- */

fb_code_t fb_writer_submit(fb_writer_t *writer, fb_write_t *write, fb_error_t *error)
{
    fb_code_t code = FB_OK;
    write->next = NULL;
    write->deadline_ms = fb_clock_monotonic_ms() + writer->config.deadline_ms;
    pthread_mutex_lock(&writer->mutex);
    if (!writer->ready || writer->stopping || !redis_up(writer)) {
        code = fb_fail(error, FB_UNAVAILABLE, "writes are not taken now: %s",
                       writer->stopping ? "this instance is ending"
                       : writer->ready  ? "Redis does not answer"
                                        : "the fleet is being loaded");
    } else if (writer->queued >= writer->config.queue_max) {
        code = fb_fail(error, FB_QUEUE_FULL, "%zu writes are waiting already", writer->queued);
    } else {
        *writer->last = write;
        writer->last = &write->next;
        set_u64(&writer->state.queued, ++writer->queued);
    }
    pthread_mutex_unlock(&writer->mutex);
    /* Not under the mutex, which the writer wants first of all when it wakes. */
    if (code == FB_OK)
        pthread_cond_signal(&writer->wake);
    return code;
}

/* Those that are planned ahead count as queued until they are committed; under the mutex. */
static void note_dequeued(fb_writer_t *writer, size_t count)
{
    writer->queued -= count;
    set_u64(&writer->state.queued, writer->queued);
}

/* Takes from the queue what the batch has room for; under the mutex. */
static void take_batch(fb_writer_t *writer, batch_t *batch)
{
    while (batch->count < BATCH_MAX && writer->first != NULL) {
        fb_write_t *write = writer->first;
        writer->first = write->next;
        write->next = NULL;
        batch->writes[batch->count++] = write;
    }
    if (writer->first == NULL)
        writer->last = &writer->first;
}

/* Puts those from `kept` on back to where they came from. */
static void give_back(fb_writer_t *writer, batch_t *batch, size_t kept)
{
    if (batch->count == kept)
        return;
    pthread_mutex_lock(&writer->mutex);
    if (writer->first == NULL)
        writer->last = &batch->writes[batch->count - 1]->next;
    while (batch->count > kept) {
        fb_write_t *write = batch->writes[--batch->count];
        write->next = writer->first;
        writer->first = write;
    }
    pthread_mutex_unlock(&writer->mutex);
}

/* What the thread is woken for. */
typedef struct {
    bool news, nudge, stopping; /* stopping: no more writes will come */
} call_t;

/* Waits until there is something to do, at most until `until_ns`: news, or writes and our turn. */
static call_t wait_for_call(fb_writer_t *writer, uint64_t until_ns)
{
    call_t call = {0};
    pthread_mutex_lock(&writer->mutex);
    while (!writer->stopping && !writer->has_news) {
        uint64_t wake_ns = until_ns;
        if (writer->nudged)
            wake_ns = writer->nudge_ns < wake_ns ? writer->nudge_ns : wake_ns;
        if (writer->first != NULL) {
            uint64_t turn_ns = fb_fleet_turn_ns(writer->fleet);
            wake_ns = turn_ns < wake_ns ? turn_ns : wake_ns;
        }
        uint64_t now_ns = fb_clock_monotonic_ns();
        if (now_ns >= wake_ns)
            break;
        const struct timespec wake = fb_clock_timespec(wake_ns);
        pthread_cond_clockwait(&writer->wake, &writer->mutex, CLOCK_MONOTONIC, &wake);
    }
    call.news = writer->has_news;
    uint64_t now_ns = fb_clock_monotonic_ns();
    call.nudge = writer->nudged && now_ns >= writer->nudge_ns;
    if (call.nudge) {
        writer->nudged = false;
        writer->nudge_ns = now_ns + NUDGE_MS * 1000000ULL;
    }
    writer->has_news = false;
    call.stopping = writer->stopping;
    pthread_mutex_unlock(&writer->mutex);
    return call;
}

/* All that wait, as many as go into one batch. */
static void take_all(fb_writer_t *writer)
{
    pthread_mutex_lock(&writer->mutex);
    take_batch(writer, &writer->now);
    note_dequeued(writer, writer->now.count);
    pthread_mutex_unlock(&writer->mutex);
}

static void take_ahead(fb_writer_t *writer)
{
    pthread_mutex_lock(&writer->mutex);
    take_batch(writer, &writer->ahead);
    pthread_mutex_unlock(&writer->mutex);
}

/* What was planned ahead comes next. */
static void take_planned(fb_writer_t *writer)
{
    pthread_mutex_lock(&writer->mutex);
    writer->now = writer->ahead;
    writer->ahead.count = 0;
    note_dequeued(writer, writer->now.count);
    pthread_mutex_unlock(&writer->mutex);
}

/* The writes that wait, if it is our turn. */
static void take_writes(fb_writer_t *writer)
{
    pthread_mutex_lock(&writer->mutex);
    if (writer->stopping || fb_fleet_turn_ns(writer->fleet) <= fb_clock_monotonic_ns()) {
        take_batch(writer, &writer->now);
        note_dequeued(writer, writer->now.count);
    }
    pthread_mutex_unlock(&writer->mutex);
}

static bool has_writes(fb_writer_t *writer)
{
    pthread_mutex_lock(&writer->mutex);
    bool any = writer->first != NULL;
    pthread_mutex_unlock(&writer->mutex);
    return any;
}

/* Is there something else to do than to write? */
static bool is_called(fb_writer_t *writer)
{
    pthread_mutex_lock(&writer->mutex);
    bool called = writer->has_news || writer->nudged;
    pthread_mutex_unlock(&writer->mutex);
    return called || fb_zone_day(fb_clock_now()) != fb_fleet_current(writer->fleet)->today;
}

void fb_writer_nudge(fb_writer_t *writer)
{
    pthread_mutex_lock(&writer->mutex);
    writer->nudged = true;
    pthread_mutex_unlock(&writer->mutex);
    pthread_cond_signal(&writer->wake);
}

/* On the watch's thread. */
static void on_news(void *context)
{
    fb_writer_t *writer = context;
    pthread_mutex_lock(&writer->mutex);
    writer->has_news = true;
    pthread_mutex_unlock(&writer->mutex);
    pthread_cond_signal(&writer->wake);
}

/* --- snapshots on their way to the loops ------------------------------------------------- */

void fb_writer_taken(fb_writer_t *writer)
{
    sem_post(&writer->taken);
}

static void wait_for_loops(fb_writer_t *writer, uint64_t number)
{
    while (fb_shelf_reached(fb_fleet_shelf(writer->fleet)) < number) {
        const struct timespec until =
            fb_clock_timespec(fb_clock_monotonic_ns() + WAIT_ON_LOOPS_MS * 1000000ULL);
        sem_clockwait(&writer->taken, CLOCK_MONOTONIC, &until);
    }
}

/* Called by the fleet with each new snapshot: the loops may take it while we go on. */
static void on_snapshot(void *context)
{
    fb_writer_t *writer = context;
    /* Before any loop has the first one: who reads "ready" may write at once. */
    if (!writer->ready) {
        fb_error_t none = {0};
        note_contact(writer, true, &none);
        writer->sign_ms = fb_clock_monotonic_ms();
        pthread_mutex_lock(&writer->mutex);
        writer->ready = true;
        pthread_mutex_unlock(&writer->mutex);
    }
    set_u64(&writer->state.snapshot_ms, fb_clock_monotonic_ms());
    set_u64(&writer->state.revision, fb_fleet_current(writer->fleet)->position.revision);
    fb_tally_take(&writer->state.tally, fb_fleet_current(writer->fleet));
    writer->config.on_published(writer->config.context);
}

/* After anything that may have put a snapshot on the shelf: all loops have it when it returns. */
static void publish(fb_writer_t *writer)
{
    const fb_fleet_stats_t *stats = fb_fleet_stats(writer->fleet);
    fb_writer_state_t *state = &writer->state;
    wait_for_loops(writer, fb_fleet_shelf_number(writer->fleet));
    fb_shelf_reclaim(fb_fleet_shelf(writer->fleet));
    while (sem_trywait(&writer->taken) == 0)
        continue; /* what loops said of these snapshots */
    set_u64(&state->news_total, stats->news_total);
    set_u64(&state->log_total, stats->log_total);
    set_u64(&state->stale_total, stats->stale_total);
    set_u64(&state->reloads_total, stats->reloads_total);
    set_u64(&state->lost_revisions_total, stats->lost_revisions_total);
    set_u64(&state->sum_faults_total, stats->sum_faults_total);
    atomic_store_explicit(&state->sum_differs, stats->sum_differs, memory_order_relaxed);
}

static void turn_day(fb_writer_t *writer)
{
    fb_day_t today = fb_zone_day(fb_clock_now());
    if (today == fb_fleet_current(writer->fleet)->today)
        return;
    fb_fleet_set_today(writer->fleet, today);
    publish(writer);
}

/* --- the thread -------------------------------------------------------------------------- */

/* Redis is away: what still waits has not been sent, and need not wait to be told. */
static void refuse_waiting(fb_writer_t *writer, const fb_error_t *error)
{
    batch_t *batch = &writer->now;
    for (take_all(writer); batch->count > 0; take_all(writer)) {
        add_u64(&writer->state.failed_total, batch->count);
        while (batch->count > 0) {
            fb_write_t *write = batch->writes[--batch->count];
            write->error = *error;
            write->error.code = FB_UNAVAILABLE;
            write->on_done(write);
        }
    }
}

/* Once every loop has the snapshot that shows them. */
static void answer_settled(fb_writer_t *writer)
{
    batch_t *settled = &writer->settled;
    if (settled->count == 0)
        return;
    publish(writer);
    for (size_t i = 0; i < settled->count; i++) {
        fb_code_t outcome = settled->writes[i]->error.code;
        if (outcome == FB_OK)
            add_u64(&writer->state.landed_total, 1);
        else if (outcome == FB_UNAVAILABLE || outcome == FB_OUTCOME_UNKNOWN)
            add_u64(&writer->state.failed_total, 1);
        settled->writes[i]->on_done(settled->writes[i]);
    }
    settled->count = 0;
}

/* Redis works on a batch: answers the one before, and plans what has come since. */
static uint64_t on_waiting(void *context)
{
    fb_writer_t *writer = context;
    batch_t *ahead = &writer->ahead;
    answer_settled(writer);
    if (has_writes(writer) && fb_fleet_may_plan_ahead(writer->fleet) && !is_called(writer)) {
        take_ahead(writer);
        give_back(writer, ahead, fb_fleet_plan_ahead(writer->fleet, ahead->writes, ahead->count));
    }
    return LOOK_NS;
}

static void commit_batch(fb_writer_t *writer, fb_error_t *error)
{
    batch_t *now = &writer->now;
    uint64_t begun_ns = fb_clock_monotonic_ns();
    fb_code_t code =
        fb_fleet_commit(writer->fleet, now->writes, now->count, now->writes[0]->deadline_ms, error);
    note_outcome(writer, code, begun_ns / 1000000, error);
    add_u64(&writer->state.batches_total, 1);
    fb_histogram_size(&writer->state.batch_writes, now->count);
    fb_histogram_duration(&writer->state.batches, fb_clock_monotonic_ns() - begun_ns);
    answer_settled(writer); /* the one before, if this one was never sent */
    writer->settled = *now;
    now->count = 0;
}

/* One batch after the other, as long as the next one has been planned, and nothing else calls. The
 * answers of one leave when the next is on its way. */
static void commit_batches(fb_writer_t *writer)
{
    fb_error_t error = {0};
    while (writer->now.count > 0) {
        commit_batch(writer, &error);
        if (writer->ahead.count == 0 || !redis_up(writer) || is_called(writer))
            break;
        take_planned(writer);
    }
    answer_settled(writer);
    give_back(writer, &writer->ahead, 0);
    if (!redis_up(writer))
        refuse_waiting(writer, &error);
}

static void follow_log(fb_writer_t *writer)
{
    fb_error_t error = {0};
    uint64_t begun_ms = fb_clock_monotonic_ms();
    fb_code_t code = fb_fleet_catch_up(writer->fleet, &error);
    if (code != FB_OK && code != FB_UNAVAILABLE)
        fb_log_error("following the log: %s", error.detail);
    note_outcome(writer, code, begun_ms, &error);
    publish(writer);
}

static void hear(fb_writer_t *writer)
{
    fb_hearing_t hearing;
    fb_error_t error = {0};
    uint64_t begun_ms = fb_clock_monotonic_ms();
    fb_code_t code = fb_fleet_hear(writer->fleet, &hearing, &error);
    if (code != FB_OK && code != FB_UNAVAILABLE)
        fb_log_error("following the log: %s", error.detail);
    if (!hearing.something)
        return; /* a commit has heard it already */
    /* What is published says that Redis is there, but not that it would take writes of ours. */
    if (hearing.asked_redis)
        note_outcome(writer, code, begun_ms, &error);
    else if (redis_up(writer))
        note_contact(writer, true, &error);
    writer->sign_ms = fb_clock_monotonic_ms();
    publish(writer);
}

/* Until it succeeds or the server ends. */
static bool load(fb_writer_t *writer)
{
    uint64_t wait_ms = RETRY_MS_MIN;
    for (;;) {
        fb_error_t error = {0};
        uint64_t begun_ms = fb_clock_monotonic_ms();
        if (fb_fleet_load(writer->fleet, &error) == FB_OK) {
            const fb_snapshot_t *first = fb_fleet_current(writer->fleet);
            fb_log_info("loaded revision %s.%llu in %llu ms", first->position.epoch,
                        (unsigned long long)first->position.revision,
                        (unsigned long long)(fb_clock_monotonic_ms() - begun_ms));
            return true;
        }
        fb_log_error("loading the fleet: %s", error.detail);
        pthread_mutex_lock(&writer->mutex);
        const struct timespec until =
            fb_clock_timespec(fb_clock_monotonic_ns() + wait_ms * 1000000);
        while (!writer->stopping && pthread_cond_clockwait(&writer->wake, &writer->mutex,
                                                           CLOCK_MONOTONIC, &until) != ETIMEDOUT)
            continue;
        bool stopping = writer->stopping;
        pthread_mutex_unlock(&writer->mutex);
        if (stopping)
            return false;
        wait_ms = wait_ms * 2 < RETRY_MS_MAX ? wait_ms * 2 : RETRY_MS_MAX;
    }
}

static void become_ready(fb_writer_t *writer)
{
    publish(writer);
    writer->config.on_ready(writer->config.context);
}

/* When heads are compared, if nothing is heard until then. */
static uint64_t next_comparison_ms(const fb_writer_t *writer, uint64_t retry_ms)
{
    return redis_up(writer) ? writer->sign_ms + TICK_MS : fb_clock_monotonic_ms() + retry_ms;
}

static void *run(void *argument)
{
    fb_writer_t *writer = argument;
    bool ended = false;
    uint64_t retry_ms = RETRY_MS_MIN;
    fb_metrics_note_thread(&writer->state.clock);
    if (!load(writer))
        return NULL;
    become_ready(writer);
    while (!ended) {
        uint64_t comparison_ms = next_comparison_ms(writer, retry_ms);
        call_t call = wait_for_call(writer, comparison_ms * 1000000);
        turn_day(writer);
        /* What others have written comes first: plans upon an older state would be in vain. */
        if (call.news && !call.stopping)
            hear(writer);
        take_writes(writer);
        if (writer->now.count > 0)
            commit_batches(writer);
        else if (call.nudge || (!call.stopping && fb_clock_monotonic_ms() >= comparison_ms))
            follow_log(writer);
        ended = call.stopping && !has_writes(writer);
        if (call.nudge)
            writer->config.on_published(writer->config.context);
        retry_ms = redis_up(writer)              ? RETRY_MS_MIN
                   : retry_ms * 2 < RETRY_MS_MAX ? retry_ms * 2
                                                 : RETRY_MS_MAX;
    }
    return NULL;
}

fb_writer_t *fb_writer_create(const fb_writer_config_t *config)
{
    fb_writer_t *writer = fb_alloc_zero(1, sizeof(*writer));
    writer->config = *config;
    writer->last = &writer->first;
    fb_assert(sem_init(&writer->taken, 0, 0) == 0);
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->wake, NULL);
    return writer;
}

fb_code_t fb_writer_start(fb_writer_t *writer, fb_fleet_t *fleet, const fb_watch_options_t *watch,
                          fb_error_t *error)
{
    writer->fleet = fleet;
    writer->news = fb_news_create(fb_fleet_author(writer->fleet), on_news, writer);
    const fb_watch_sink_t sink = fb_news_sink(writer->news);
    const fb_fleet_hooks_t hooks = {on_snapshot, on_waiting, writer, &writer->state.fleet};
    fb_code_t code = fb_watch_start(watch, &sink, &writer->watch, error);
    if (code != FB_OK)
        return code;
    fb_fleet_connect(fleet, writer->news, &hooks);
    fb_assert(pthread_create(&writer->thread, NULL, run, writer) == 0);
    writer->started = true;
    return FB_OK;
}

void fb_writer_stop(fb_writer_t *writer)
{
    pthread_mutex_lock(&writer->mutex);
    writer->stopping = true;
    pthread_cond_broadcast(&writer->wake);
    pthread_mutex_unlock(&writer->mutex);
    if (writer->started)
        pthread_join(writer->thread, NULL);
    writer->started = false;
    fb_watch_stop(&writer->watch);
}

void fb_writer_destroy(fb_writer_t **writer)
{
    fb_writer_t *gone = *writer;
    fb_assert(!gone->started);
    fb_news_destroy(&gone->news);
    pthread_cond_destroy(&gone->wake);
    pthread_mutex_destroy(&gone->mutex);
    sem_destroy(&gone->taken);
    free(gone);
    *writer = NULL;
}

const fb_writer_state_t *fb_writer_state(const fb_writer_t *writer)
{
    return &writer->state;
}
