/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "resources/orders.h"
#include "server/history_times.h"
#include "server/jobs_internal.h"

#define REFUSED_MS 1000 /* between attempts for an order that is refused by itself */

unsigned fb_jobs_room(const fb_jobs_t *jobs)
{
    return jobs->config.workers - jobs->in_hand;
}

static void note_in_hand(fb_jobs_t *jobs, int more)
{
    jobs->in_hand = (unsigned)((int)jobs->in_hand + more);
    fb_count_set(&jobs->state.in_hand, jobs->in_hand);
}

/* Another job of the order in hand; NULL: there is none. */
static const fb_job_t *find_order(const fb_jobs_t *jobs, uint32_t id)
{
    for (unsigned i = 0; i < jobs->config.workers; i++) {
        const fb_job_t *job = &jobs->hand[i];
        if (job->state != FB_JOB_NONE && job->entry.id == id)
            return job;
    }
    return NULL;
}

/* After a lost connection the queue gives once more what we have. */
static bool is_known(const fb_jobs_t *jobs, const fb_job_t *other, const fb_queue_job_t *entry)
{
    if (other != NULL && fb_history_mark_equal(other->entry.mark, entry->mark))
        return true;
    for (size_t i = 0; i < jobs->ended_count; i++) {
        if (fb_history_mark_equal(jobs->ended[i].mark, entry->mark))
            return true;
    }
    return false;
}

void fb_jobs_add(fb_jobs_t *jobs, const fb_queue_job_t *entries, size_t count)
{
    unsigned place = 0;
    fb_assert(count <= fb_jobs_room(jobs));
    for (size_t i = 0; i < count; i++) {
        const fb_job_t *other = find_order(jobs, entries[i].id);
        if (is_known(jobs, other, &entries[i]))
            continue;
        while (jobs->hand[place].state != FB_JOB_NONE)
            place++;
        /* A second entry of an order says nothing new. */
        jobs->hand[place] = (fb_job_t){.entry = entries[i],
                                       .state = other != NULL ? FB_JOB_ENDED : FB_JOB_NEW,
                                       .is_to_see = true};
        note_in_hand(jobs, 1);
    }
}

/* --- looking ----------------------------------------------------------------------------- */

static void see_one(const fb_jobs_t *jobs, const fb_snapshot_t *snapshot, fb_job_t *job)
{
    uint32_t id = job->entry.id;
    const fb_row_t *order = fb_snapshot_row(snapshot, FB_ORDERS, id);
    job->is_to_see = false;
    if (order == NULL) {
        /* Archived, or we are behind, or there never was one. */
        bool is_later = id > snapshot->families[FB_ORDERS].last_id;
        job->state = is_later && !job->is_current ? FB_JOB_WAITS : FB_JOB_ENDED;
        return;
    }
    switch (fb_order_state(order)) {
    case FB_ORDER_IS_PENDING:
        /* A hold is confirmed before it gets an entry. */
        job->state = job->is_current && !fb_order_value(order, FB_ORDER_HOLD_UNTIL).null
                         ? FB_JOB_ENDED
                         : FB_JOB_WAITS;
        break;
    case FB_ORDER_IS_PROCESSING:
        /* By us, or by one whose job has come to us; finishing it for an instance that is still
         * there does no harm, for its time is over by then. */
        job->state = fb_order_value(order, FB_ORDER_WORKER).null ? FB_JOB_ENDED : FB_JOB_OURS;
        job->due = fb_order_value(order, FB_ORDER_STARTED).number +
                   (fb_instant_t)jobs->config.processing_ms;
        break;
    case FB_ORDER_IS_COMPLETED:
    case FB_ORDER_IS_REJECTED:
    case FB_ORDER_IS_CANCELLED:
    case FB_ORDER_STATES:
        job->state = FB_JOB_ENDED;
        break;
    }
}

static void let_go(fb_jobs_t *jobs, fb_job_t *job)
{
    if (jobs->ended_count == FB_QUEUE_PAGE_MAX)
        return;
    if (jobs->ended_count == 0)
        jobs->ended_ms = fb_clock_monotonic_ms();
    jobs->ended[jobs->ended_count++] = job->entry;
    job->state = FB_JOB_NONE;
    note_in_hand(jobs, -1);
}

void fb_jobs_see(fb_jobs_t *jobs)
{
    const fb_snapshot_t *snapshot = fb_shelf_visit(jobs->visitor);
    if (snapshot != NULL) {
        jobs->waiting =
            fb_orders_in(snapshot, FB_ORDER_IS_PENDING)->count - fb_orders_held(snapshot)->count;
        jobs->processing = fb_orders_in(snapshot, FB_ORDER_IS_PROCESSING)->count;
    }
    for (unsigned i = 0; i < jobs->config.workers && jobs->in_hand > 0; i++) {
        fb_job_t *job = &jobs->hand[i];
        if (job->state == FB_JOB_NONE)
            continue;
        if (job->state != FB_JOB_ENDED && job->is_to_see && job->asked == 0 && snapshot != NULL)
            see_one(jobs, snapshot, job);
        if (job->state == FB_JOB_ENDED && job->asked == 0)
            let_go(jobs, job);
    }
    fb_shelf_leave(jobs->visitor);
}

/* --- asking ------------------------------------------------------------------------------ */

/* On the writer's thread. */
static void on_done(fb_write_t *write)
{
    fb_jobs_command_t *command = write->context;
    fb_jobs_t *jobs = command->jobs;
    pthread_mutex_lock(&jobs->mutex);
    command->next = jobs->answered;
    jobs->answered = command;
    pthread_cond_signal(&jobs->wake);
    pthread_mutex_unlock(&jobs->mutex);
}

static void destroy(fb_jobs_command_t *command)
{
    fb_write_dispose(&command->write);
    free(command);
}

bool fb_jobs_submit(fb_jobs_t *jobs, fb_jobs_ask_t ask, const uint32_t *ids, const uint16_t *places,
                    unsigned count)
{
    static const fb_command_t *const commands[FB_JOBS_ASKS] = {
        [FB_JOBS_TAKE] = &fb_orders_take,       [FB_JOBS_FINISH] = &fb_orders_finish,
        [FB_JOBS_EXPIRE] = &fb_orders_expire,   [FB_JOBS_REQUEUE] = &fb_orders_requeue,
        [FB_JOBS_ARCHIVE] = &fb_orders_archive,
    };
    fb_error_t error = {0};
    unsigned place_count = places != NULL ? count : 0;
    fb_jobs_command_t *command =
        fb_alloc(sizeof(*command) + place_count * sizeof(command->places[0]));
    fb_write_init(&command->write, commands[ask]);
    fb_orders_ask(&command->write.args, ids, count, ask == FB_JOBS_TAKE ? jobs->config.name : NULL);
    command->write.on_done = on_done;
    command->write.context = command;
    command->jobs = jobs;
    command->ask = ask;
    command->count = count;
    command->place_count = place_count;
    for (unsigned i = 0; i < place_count; i++)
        command->places[i] = places[i];
    /* The answer may come before we go on here. */
    for (unsigned i = 0; i < place_count; i++)
        jobs->hand[places[i]].asked++;
    jobs->is_asked[ask] = true;
    jobs->under_way++;
    if (fb_writer_submit(jobs->writer, &command->write, &error) == FB_OK)
        return true;
    for (unsigned i = 0; i < place_count; i++)
        jobs->hand[places[i]].asked--;
    jobs->is_asked[ask] = false;
    jobs->under_way--;
    fb_jobs_pause(&jobs->writing);
    destroy(command);
    return false;
}

/* The jobs of one command. */
typedef struct {
    uint32_t ids[FB_ORDERS_TAKE_MAX];
    uint16_t places[FB_ORDERS_TAKE_MAX];
    unsigned count;
} group_t;

_Static_assert(FB_JOBS_WORKERS_MAX <= FB_ORDERS_TAKE_MAX, "a command holds a whole hand");

static void put(group_t *group, const fb_jobs_t *jobs, unsigned place)
{
    group->ids[group->count] = jobs->hand[place].entry.id;
    group->places[group->count++] = (uint16_t)place;
}

/* Where the processing takes no time, both commands go together: the writer plans the second upon
 * the first, and both are in one commit. */
static bool submit_group(fb_jobs_t *jobs, fb_jobs_ask_t ask, const group_t *group)
{
    if (!fb_jobs_submit(jobs, ask, group->ids, group->places, group->count))
        return false;
    if (ask == FB_JOBS_TAKE && jobs->config.processing_ms == 0)
        fb_jobs_submit(jobs, FB_JOBS_FINISH, group->ids, group->places, group->count);
    return true;
}

/* Those that are `wanted` and ready, together; each that is alone by itself. */
static void ask_for(fb_jobs_t *jobs, fb_job_state_t wanted, fb_jobs_ask_t ask, uint64_t now_ms)
{
    group_t group;
    fb_instant_t now = fb_clock_now();
    group.count = 0;
    for (unsigned i = 0; i < jobs->config.workers; i++) {
        const fb_job_t *job = &jobs->hand[i];
        bool is_ready = job->state == wanted && job->asked == 0 && job->again_ms <= now_ms &&
                        (wanted != FB_JOB_OURS || job->due <= now);
        if (is_ready && !job->is_alone)
            put(&group, jobs, i);
        if (is_ready && job->is_alone) {
            group_t single;
            single.count = 0;
            put(&single, jobs, i);
            if (!submit_group(jobs, ask, &single))
                return;
        }
    }
    if (group.count > 0)
        submit_group(jobs, ask, &group);
}

static void note_due(fb_jobs_t *jobs, uint64_t now_ms)
{
    fb_instant_t now = fb_clock_now();
    jobs->due_ms = UINT64_MAX;
    for (unsigned i = 0; i < jobs->config.workers; i++) {
        const fb_job_t *job = &jobs->hand[i];
        if (job->state != FB_JOB_OURS || job->asked > 0)
            continue;
        uint64_t due_ms = job->due > now ? now_ms + (uint64_t)(job->due - now) : now_ms;
        due_ms = due_ms > job->again_ms ? due_ms : job->again_ms;
        jobs->due_ms = due_ms < jobs->due_ms ? due_ms : jobs->due_ms;
    }
}

void fb_jobs_ask(fb_jobs_t *jobs, uint64_t now_ms)
{
    jobs->due_ms = UINT64_MAX;
    if (jobs->in_hand == 0)
        return;
    if (fb_jobs_may(&jobs->writing, now_ms))
        ask_for(jobs, FB_JOB_OURS, FB_JOBS_FINISH, now_ms);
    if (fb_jobs_may(&jobs->writing, now_ms))
        ask_for(jobs, FB_JOB_WAITS, FB_JOBS_TAKE, now_ms);
    note_due(jobs, now_ms);
}

/* --- answers ----------------------------------------------------------------------------- */

/* Redis is away, or there is too much to do: so it is not about these orders. */
static bool is_passing(fb_code_t code)
{
    return code == FB_UNAVAILABLE || code == FB_OUTCOME_UNKNOWN || code == FB_CONTENDED;
}

/* A command with several orders was refused for one of them: from now on each goes by itself, and
 * the one that it is about only now and then, since the writes beside it suffer too. */
static void note_refusal(fb_job_t *job)
{
    if (job->is_alone)
        job->again_ms = fb_clock_monotonic_ms() + REFUSED_MS;
    job->is_alone = true;
}

void fb_jobs_settle(fb_jobs_t *jobs, fb_jobs_command_t *command)
{
    fb_code_t code = command->write.error.code;
    /* FB_CONFLICT: there was nothing to do, and the writer has made sure that it is up to date. */
    bool is_settled = code == FB_OK || code == FB_CONFLICT;
    bool is_refused = !is_settled && !is_passing(code);
    jobs->under_way--;
    jobs->is_asked[command->ask] = false;
    for (unsigned i = 0; i < command->place_count; i++) {
        fb_job_t *job = &jobs->hand[command->places[i]];
        job->asked--;
        job->is_to_see = true;
        job->is_current = job->is_current || is_settled;
        if (is_settled)
            job->is_alone = false;
        if (is_refused)
            note_refusal(job);
    }
    if (code == FB_OK && command->ask == FB_JOBS_REQUEUE)
        fb_count(&jobs->state.requeued, command->count);
    if (code == FB_OK && command->ask == FB_JOBS_ARCHIVE)
        fb_count(&jobs->state.archived, command->count);
    if (is_settled)
        fb_jobs_go_on(&jobs->writing);
    else if (!is_refused || command->place_count == 0)
        fb_jobs_pause(&jobs->writing);
    if (is_refused)
        fb_log_error("the work on orders could not be written: %s", command->write.error.detail);
    destroy(command);
}
