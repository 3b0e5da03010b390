/* SPDX-License-Identifier: MIT */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "resources/orders.h"
#include "server/jobs_internal.h"

#define TELL_COUNT 512 /* so many entries at their end do not wait for others */

/* After each conversation with the queue. */
static bool note(fb_jobs_t *jobs, fb_code_t code, const fb_error_t *error)
{
    if (code == FB_OK) {
        jobs->is_known = true;
        if (jobs->is_away)
            fb_log_info("the queue of orders is worked again");
        jobs->is_away = false;
        fb_jobs_go_on(&jobs->asking);
        return true;
    }
    fb_jobs_pause(&jobs->asking);
    if (!jobs->is_away)
        fb_log_error("the queue of orders is not worked: %s", error->detail);
    jobs->is_away = true;
    return false;
}

static unsigned most_of(const fb_jobs_t *jobs)
{
    unsigned room = fb_jobs_room(jobs);
    return room < FB_QUEUE_PAGE_MAX ? room : FB_QUEUE_PAGE_MAX;
}

/* Jobs in hand whose orders wait. */
static unsigned waiting_in_hand(const fb_jobs_t *jobs)
{
    unsigned count = 0;
    for (unsigned i = 0; i < jobs->config.workers; i++)
        count += jobs->hand[i].state == FB_JOB_NEW || jobs->hand[i].state == FB_JOB_WAITS;
    return count;
}

void fb_jobs_take(fb_jobs_t *jobs, uint64_t now_ms)
{
    fb_queue_job_t entries[FB_QUEUE_PAGE_MAX];
    fb_error_t error = {0};
    size_t count = 0;
    unsigned most = most_of(jobs);
    bool is_worth = jobs->must_look || jobs->waiting > waiting_in_hand(jobs);
    if (!jobs->may_have_more || most == 0 || !is_worth || !fb_jobs_may(&jobs->asking, now_ms))
        return;
    jobs->must_look = false;
    fb_code_t code =
        jobs->store->vtable->queue_take(jobs->store, &jobs->queue, most, entries, &count, &error);
    if (!note(jobs, code, &error))
        return;
    jobs->may_have_more = count == most;
    fb_jobs_add(jobs, entries, count);
}

void fb_jobs_claim(fb_jobs_t *jobs, uint64_t now_ms)
{
    fb_queue_job_t entries[FB_QUEUE_PAGE_MAX];
    fb_error_t error = {0};
    size_t count = 0;
    if (!fb_jobs_may(&jobs->asking, now_ms))
        return;
    fb_code_t code = jobs->store->vtable->queue_claim(
        jobs->store, &jobs->queue, jobs->config.claim_ms, most_of(jobs), entries, &count, &error);
    if (!note(jobs, code, &error) || count == 0)
        return;
    fb_log_info("%zu orders of an instance that is silent are taken over", count);
    fb_count(&jobs->state.claimed, count);
    fb_jobs_add(jobs, entries, count);
}

void fb_jobs_tell(fb_jobs_t *jobs, uint64_t now_ms, bool at_once)
{
    fb_error_t error = {0};
    bool is_time =
        at_once || jobs->ended_count >= TELL_COUNT || now_ms >= jobs->ended_ms + FB_JOBS_TELL_MS;
    if (jobs->ended_count == 0 || !is_time || !fb_jobs_may(&jobs->asking, now_ms))
        return;
    fb_code_t code = jobs->store->vtable->queue_done(jobs->store, &jobs->queue, jobs->ended,
                                                     jobs->ended_count, &error);
    if (note(jobs, code, &error))
        jobs->ended_count = 0;
}

bool fb_jobs_measure(fb_jobs_t *jobs, uint64_t now_ms)
{
    fb_error_t error = {0};
    fb_queue_info_t info;
    if (!fb_jobs_may(&jobs->asking, now_ms))
        return false;
    fb_code_t code = jobs->store->vtable->queue_info(jobs->store, &jobs->queue, &info, &error);
    if (!note(jobs, code, &error))
        return false;
    jobs->length = info.length;
    fb_count_set(&jobs->state.queue_length, info.length);
    return true;
}

/* Those of orders that do not wait any more, to the front. */
static size_t sort_out(fb_jobs_t *jobs, fb_queue_job_t *entries, size_t count)
{
    size_t over = 0;
    const fb_snapshot_t *snapshot = fb_shelf_visit(jobs->visitor);
    for (size_t i = 0; i < count; i++) {
        uint32_t id = entries[i].id;
        const fb_row_t *order = fb_snapshot_row(snapshot, FB_ORDERS, id);
        bool waits = order != NULL ? fb_order_state(order) == FB_ORDER_IS_PENDING
                                   : id > snapshot->families[FB_ORDERS].last_id;
        if (!waits)
            entries[over++] = entries[i];
    }
    fb_shelf_leave(jobs->visitor);
    return over;
}

void fb_jobs_tidy(fb_jobs_t *jobs, uint64_t now_ms)
{
    fb_queue_job_t entries[FB_QUEUE_PAGE_MAX];
    fb_error_t error = {0};
    const fb_store_vtable_t *store = jobs->store->vtable;
    size_t count = 0;
    if (!fb_jobs_may(&jobs->asking, now_ms))
        return;
    fb_code_t code =
        store->queue_take(jobs->store, &jobs->queue, FB_QUEUE_PAGE_MAX, entries, &count, &error);
    size_t over = code == FB_OK ? sort_out(jobs, entries, count) : 0;
    if (over > 0)
        code = store->queue_done(jobs->store, &jobs->queue, entries, over, &error);
    if (code == FB_OK)
        code = store->queue_leave(jobs->store, &jobs->queue, &error);
    note(jobs, code, &error);
}

void fb_jobs_leave(fb_jobs_t *jobs)
{
    fb_error_t error = {0};
    if (!jobs->is_known || jobs->config.workers == 0)
        return;
    fb_jobs_tell(jobs, fb_clock_monotonic_ms(), true);
    fb_code_t code = jobs->store->vtable->queue_leave(jobs->store, &jobs->queue, &error);
    if (code != FB_OK)
        fb_log_warning("orders in hand are left to whoever claims them: %s", error.detail);
}
