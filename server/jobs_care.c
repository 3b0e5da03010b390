/* SPDX-License-Identifier: MIT */
/* What belongs to no instance: each looks after it, at moments of its own. */
#include "base/clock.h"
#include "base/random.h"
#include "resources/orders.h"
#include "server/jobs_internal.h"

#define INFO_MS          1000  /* between questions about the length of the queue */
#define LOOKS_MAX        10000 /* orders that are looked at in a turn: some milliseconds */
#define ARCHIVE_AGAIN_MS 10000 /* after which those that were not past are looked at again */
#define SHORT_TIMES      2     /* the queue was too short: it was no moment in between */
#define TIDY_MIN         1000  /* entries that nobody needs */

/* --- holds ------------------------------------------------------------------------------- */

static void expire(fb_jobs_t *jobs, const fb_snapshot_t *snapshot)
{
    uint32_t ids[FB_ORDERS_TAKE_MAX];
    unsigned count = 0;
    fb_instant_t now = fb_clock_now();
    const fb_bitmap_t *held = fb_orders_held(snapshot);
    if (jobs->is_asked[FB_JOBS_EXPIRE])
        return;
    for (uint32_t id = 1; count < FB_ORDERS_TAKE_MAX && fb_bitmap_next(held, &id); id++) {
        const fb_row_t *order = fb_snapshot_row(snapshot, FB_ORDERS, id);
        if (fb_order_value(order, FB_ORDER_HOLD_UNTIL).number <= now)
            ids[count++] = id;
    }
    if (count > 0)
        fb_jobs_submit(jobs, FB_JOBS_EXPIRE, ids, NULL, count);
}

/* --- orders that are past ---------------------------------------------------------------- */

/* Those at their end, past or not. */
static uint64_t count_ended(const fb_snapshot_t *snapshot)
{
    uint64_t count = 0;
    for (int state = FB_ORDER_IS_COMPLETED; state < FB_ORDER_STATES; state++)
        count += fb_orders_in(snapshot, (fb_order_state_t)state)->count;
    return count;
}

/* Never the last ones that were taken, whatever the others wait for. It is at its end where there
 * are no others, or it has all that are wanted. */
static unsigned pick_past(fb_jobs_t *jobs, const fb_snapshot_t *snapshot, uint64_t wanted,
                          uint32_t ids[FB_ORDERS_TAKE_MAX])
{
    const fb_family_t *orders = &snapshot->families[FB_ORDERS];
    uint64_t most = wanted < FB_ORDERS_TAKE_MAX ? wanted : FB_ORDERS_TAKE_MAX;
    uint32_t *id = &jobs->archive_from;
    unsigned count = 0;
    bool has_more = true;
    for (unsigned looks = 0; looks < LOOKS_MAX && count < most; looks++, ++*id) {
        has_more =
            fb_bitmap_next(&orders->exists, id) && *id + jobs->config.recent <= orders->last_id;
        if (!has_more)
            break;
        if (fb_order_is_past(snapshot, fb_snapshot_row(snapshot, FB_ORDERS, *id)))
            ids[count++] = *id;
    }
    jobs->archive_goes_on = has_more && count < wanted;
    return count;
}

/* `slack`: it is begun with more than that, and ended at none. */
static void archive(fb_jobs_t *jobs, const fb_snapshot_t *snapshot, uint64_t slack, uint64_t now_ms)
{
    uint32_t ids[FB_ORDERS_TAKE_MAX];
    uint64_t ended = count_ended(snapshot);
    if (jobs->is_asked[FB_JOBS_ARCHIVE] || ended <= jobs->config.recent + slack)
        return;
    /* Begun anew before its end, it would never come to those behind many that are not past. */
    bool is_again = now_ms >= jobs->archive_again_ms && !jobs->archive_goes_on;
    if (is_again || snapshot->today != jobs->archive_day) {
        jobs->archive_from = 1;
        jobs->archive_again_ms = now_ms + ARCHIVE_AGAIN_MS;
        jobs->archive_day = snapshot->today;
    }
    unsigned count = pick_past(jobs, snapshot, ended - jobs->config.recent, ids);
    if (count > 0)
        fb_jobs_submit(jobs, FB_JOBS_ARCHIVE, ids, NULL, count);
}

/* --- entries that the queue has lost ------------------------------------------------------- */

/* Of orders that have waited longer than anybody may be silent. */
static void requeue(fb_jobs_t *jobs, const fb_snapshot_t *snapshot)
{
    uint32_t ids[FB_ORDERS_TAKE_MAX];
    unsigned count = 0;
    fb_instant_t old = fb_clock_now() - (fb_instant_t)jobs->config.claim_ms;
    const fb_bitmap_t *pending = fb_orders_in(snapshot, FB_ORDER_IS_PENDING);
    uint32_t *id = &jobs->requeue_from;
    if (jobs->is_asked[FB_JOBS_REQUEUE])
        return;
    for (; count < FB_ORDERS_TAKE_MAX && count < jobs->missing; ++*id) {
        if (!fb_bitmap_next(pending, id))
            break;
        const fb_row_t *order = fb_snapshot_row(snapshot, FB_ORDERS, *id);
        if (fb_order_value(order, FB_ORDER_CREATED).number > old)
            break;
        if (fb_order_value(order, FB_ORDER_HOLD_UNTIL).null)
            ids[count++] = *id;
    }
    jobs->missing = count < FB_ORDERS_TAKE_MAX ? 0 : jobs->missing - count;
    if (count > 0)
        fb_jobs_submit(jobs, FB_JOBS_REQUEUE, ids, NULL, count);
}

/* Has the oldest order that waits done so for too long? */
static bool waits_too_long(const fb_jobs_t *jobs, const fb_snapshot_t *snapshot)
{
    uint32_t id = fb_orders_oldest_pending(snapshot);
    if (id == 0)
        return false;
    fb_instant_t created =
        fb_order_value(fb_snapshot_row(snapshot, FB_ORDERS, id), FB_ORDER_CREATED).number;
    return created + (fb_instant_t)jobs->config.claim_ms < fb_clock_now();
}

/* Orders up to that id that an instance is to take, or works on: each has an entry until it is at
 * its end. */
static uint64_t count_entries(const fb_snapshot_t *snapshot, uint32_t last_id)
{
    const fb_bitmap_t *pending = fb_orders_in(snapshot, FB_ORDER_IS_PENDING);
    const fb_bitmap_t *processing = fb_orders_in(snapshot, FB_ORDER_IS_PROCESSING);
    const fb_bitmap_t *held = fb_orders_held(snapshot);
    uint64_t count = pending->count - held->count;
    for (uint32_t id = last_id; fb_bitmap_next(pending, &id); id++)
        count -= id > last_id && !fb_bitmap_has(held, id);
    uint32_t id = 1;
    for (unsigned looks = 0; looks < LOOKS_MAX && fb_bitmap_next(processing, &id); looks++, id++) {
        const fb_row_t *order = fb_snapshot_row(snapshot, FB_ORDERS, id);
        count += id <= last_id && !fb_order_value(order, FB_ORDER_WORKER).null;
    }
    return count;
}

/* `last_id` is of before the queue was counted: what is open now and was there then has had its
 * entry all the time. */
static void look_for_lost(fb_jobs_t *jobs, const fb_snapshot_t *snapshot, uint32_t last_id)
{
    uint64_t entries = count_entries(snapshot, last_id);
    bool is_short = jobs->length < entries && waits_too_long(jobs, snapshot);
    jobs->short_times = is_short ? jobs->short_times + 1 : 0;
    if (jobs->short_times < SHORT_TIMES || jobs->is_asked[FB_JOBS_REQUEUE])
        return;
    jobs->missing = entries - jobs->length;
    jobs->requeue_from = 1;
    jobs->short_times = 0;
    requeue(jobs, snapshot);
}

/* Orders that their instance, or whoever has claimed them, would have finished long ago: their
 * entries were lost together with it. */
static void finish_lost(fb_jobs_t *jobs, const fb_snapshot_t *snapshot)
{
    uint32_t ids[FB_ORDERS_TAKE_MAX];
    unsigned count = 0;
    fb_instant_t begun =
        fb_clock_now() - (fb_instant_t)(jobs->config.processing_ms + 3 * jobs->config.claim_ms);
    const fb_bitmap_t *processing = fb_orders_in(snapshot, FB_ORDER_IS_PROCESSING);
    uint32_t id = 1;
    if (jobs->is_asked[FB_JOBS_FINISH] || jobs->config.workers == 0)
        return;
    for (unsigned looks = 0;
         looks < LOOKS_MAX && count < FB_ORDERS_TAKE_MAX && fb_bitmap_next(processing, &id);
         looks++, id++) {
        const fb_row_t *order = fb_snapshot_row(snapshot, FB_ORDERS, id);
        if (fb_order_value(order, FB_ORDER_STARTED).number > begun)
            break; /* those behind it were taken later, or nearly so */
        if (!fb_order_value(order, FB_ORDER_WORKER).null)
            ids[count++] = id;
    }
    if (count > 0)
        fb_jobs_submit(jobs, FB_JOBS_FINISH, ids, NULL, count);
}

/* --- when -------------------------------------------------------------------------------- */

static uint64_t some_of(fb_jobs_t *jobs, uint64_t most)
{
    return most > 0 ? fb_random_next(&jobs->random_state) % most : 0;
}

static void measure(fb_jobs_t *jobs, uint64_t now_ms)
{
    const fb_snapshot_t *snapshot = fb_shelf_visit(jobs->visitor);
    uint32_t last_id = snapshot->families[FB_ORDERS].last_id;
    fb_shelf_leave(jobs->visitor);
    jobs->info_ms = now_ms + INFO_MS + some_of(jobs, INFO_MS / 2);
    if (!fb_jobs_measure(jobs, now_ms))
        return;
    snapshot = fb_shelf_visit(jobs->visitor);
    look_for_lost(jobs, snapshot, last_id);
    finish_lost(jobs, snapshot);
    fb_shelf_leave(jobs->visitor);
    if (jobs->config.workers == 0 && jobs->length > 2 * jobs->waiting + TIDY_MIN)
        fb_jobs_tidy(jobs, now_ms);
}

void fb_jobs_care(fb_jobs_t *jobs, uint64_t now_ms)
{
    jobs->tick_ms = now_ms + FB_JOBS_TICK_MS * 3 / 4 + some_of(jobs, FB_JOBS_TICK_MS / 4);
    bool is_open = jobs->waiting > 0 || jobs->processing > 0 || jobs->length > 0;
    const fb_snapshot_t *snapshot = fb_shelf_visit(jobs->visitor);
    /* A fleet without orders gets no queue. */
    bool has_orders = snapshot != NULL && snapshot->families[FB_ORDERS].last_id > 0;
    if (has_orders && fb_jobs_may(&jobs->writing, now_ms)) {
        expire(jobs, snapshot);
        archive(jobs, snapshot, jobs->slack, now_ms);
    }
    fb_shelf_leave(jobs->visitor);
    if (!has_orders || !is_open)
        return;
    jobs->may_have_more = jobs->must_look = true;
    if (jobs->config.workers > 0)
        fb_jobs_claim(jobs, now_ms);
    if (now_ms >= jobs->info_ms)
        measure(jobs, now_ms);
}

void fb_jobs_care_on(fb_jobs_t *jobs, fb_jobs_ask_t ask, uint64_t now_ms)
{
    const fb_snapshot_t *snapshot = fb_shelf_visit(jobs->visitor);
    if (ask == FB_JOBS_EXPIRE)
        expire(jobs, snapshot);
    if (ask == FB_JOBS_ARCHIVE)
        archive(jobs, snapshot, 0, now_ms);
    if (ask == FB_JOBS_REQUEUE && jobs->missing > 0)
        requeue(jobs, snapshot);
    fb_shelf_leave(jobs->visitor);
}
