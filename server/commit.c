/* SPDX-License-Identifier: MIT */
/* The way of a batch of writes into the log.
 *
 *     writer    plan n │ send n, plan n + 1 ......... │ seal n, send n + 1, answer n, plan n + 2 ..
 *     Redis            │ apply n, fsync ............. │ apply n + 1, fsync ........................
 *
 * While Redis works on a batch, its owner may plan the next one ahead, upon the stage of this one
 * (fb_fleet_plan_ahead). Only one is ever on its way. What becomes of it:
 *
 *     plan ──► commit ──► OK ───────────► seal, on the shelf, answers
 *      ▲          │
 *      │          ├─ STALE: others wrote. Follow the log, plan again.
 *      │          └─ no answer: it may have landed, or may still. Follow the log until it shows:
 *      │               our command at the planned revision: it landed, the planned answers hold;
 *      └────────────── another command there: it never will; plan again;
 *                      nothing there yet: send the very same entries again (only one of the two
 *                      can land, since both extend the same revision).
 *
 * Whatever is not OK at once drops what was planned ahead of it. And so does all that puts another
 * snapshot on the shelf: a plan holds for the one that it was made upon, and no other.
 */
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"
#include "server/fleet_internal.h"

#define PAUSE_MS_MIN 1
#define PAUSE_MS_MAX 100

static void pause_ms(uint64_t ms)
{
    const struct timespec pause = fb_clock_timespec(ms * 1000000);
    nanosleep(&pause, NULL);
}

static bool still_expected(const fb_fleet_t *fleet, const fb_batch_t *batch)
{
    const fb_position_t *position = &fleet->current->position;
    return position->revision == batch->expected.revision &&
           strcmp(position->epoch, batch->expected.epoch) == 0 &&
           strcmp(position->chain, batch->expected.chain) == 0;
}

typedef enum { LANDED, PLAN_AGAIN, SEND_AGAIN, CANNOT_TELL, NEVER_TOLD } outcome_t;

/* Follows the log to see what became of a batch. */
static outcome_t find_outcome(fb_fleet_t *fleet, const fb_batch_t *batch, fb_error_t *error)
{
    fb_followed_t followed;
    *error = (fb_error_t){0};
    if (fb_fleet_follow(fleet, batch->entries[0].command, &followed, error) != FB_OK)
        return CANNOT_TELL;
    if (followed.found)
        return LANDED;
    if (followed.reloaded)
        return NEVER_TOLD;
    return still_expected(fleet, batch) ? SEND_AGAIN : PLAN_AGAIN;
}

/* Somebody else came first. What has been published since is mostly all that is missing. */
static bool has_heard_why(fb_fleet_t *fleet, const fb_batch_t *batch)
{
    fb_hearing_t hearing;
    fb_error_t error = {0};
    fleet->stats.stale_total++;
    return fb_fleet_hear(fleet, &hearing, &error) == FB_OK && !still_expected(fleet, batch);
}

static fb_code_t send(fb_fleet_t *fleet, const fb_batch_t *batch, fb_error_t *error)
{
    const fb_store_waiter_t waiter = {fleet->hooks.context, fleet->hooks.on_waiting};
    uint64_t begun_ns = fb_clock_monotonic_ns();
    fb_code_t code =
        fleet->store->vtable->commit(fleet->store, &batch->expected, batch->entries, batch->count,
                                     waiter.on_waiting != NULL ? &waiter : NULL, error);
    uint64_t now_ns = fb_clock_monotonic_ns();
    fleet->under_way = NULL;
    if (code == FB_OK && fleet->hooks.meter != NULL)
        fb_histogram_duration(&fleet->hooks.meter->commits, now_ns - begun_ns);
    if (code == FB_OK) {
        fb_turns_took(&fleet->turns, now_ns - begun_ns);
        fb_turns_saw(&fleet->turns, fleet->author, now_ns);
    } else {
        fb_batch_dispose(&fleet->ahead);
    }
    return code;
}

static fb_code_t give_up(bool in_doubt, fb_error_t *error)
{
    *error = (fb_error_t){0};
    return fb_fail(error, in_doubt ? FB_OUTCOME_UNKNOWN : FB_CONTENDED, "%s",
                   in_doubt ? "Redis was lost while the write was on its way to it"
                            : "other instances wrote first until the time for this write was over");
}

/* One batch until it is settled, or until the deadline. `*again` asks for a new plan. */
static fb_code_t settle(fb_fleet_t *fleet, fb_batch_t *batch, uint64_t deadline_ms, bool *again,
                        fb_error_t *error)
{
    uint64_t wait_ms = PAUSE_MS_MIN;
    bool in_doubt = false; /* a copy of the batch is somewhere on its way */
    *again = false;
    for (;;) {
        fb_code_t code = send(fleet, batch, error);
        if (code == FB_OK) {
            fb_fleet_put_on_shelf(fleet, &batch->stage);
            return FB_OK;
        }
        if (code == FB_UNAVAILABLE && !in_doubt)
            return code;
        bool can_follow = code == FB_STALE || code == FB_OUTCOME_UNKNOWN || code == FB_UNAVAILABLE;
        if (!can_follow && in_doubt)
            error->code = FB_OUTCOME_UNKNOWN;
        if (!can_follow)
            return error->code;
        in_doubt = in_doubt || code == FB_OUTCOME_UNKNOWN;
        /* In doubt, only the log is asked: it tells our own commands from those of others. */
        *again = !in_doubt && code == FB_STALE && has_heard_why(fleet, batch);
        if (*again)
            return FB_OK;
        if (fb_clock_monotonic_ms() >= deadline_ms)
            return give_up(in_doubt, error);
        outcome_t outcome = find_outcome(fleet, batch, error);
        if (outcome == LANDED)
            return FB_OK;
        if (outcome == NEVER_TOLD && in_doubt)
            return fb_fail(error, FB_OUTCOME_UNKNOWN,
                           "the log was cut while the write was on its way to it");
        if (outcome == PLAN_AGAIN || outcome == NEVER_TOLD) {
            *again = true;
            return FB_OK;
        }
        if (outcome == CANNOT_TELL && !in_doubt) {
            error->code = FB_UNAVAILABLE;
            return error->code;
        }
        if (fb_clock_monotonic_ms() >= deadline_ms)
            return give_up(in_doubt, error);
        *error = (fb_error_t){0};
        pause_ms(wait_ms);
        wait_ms = wait_ms * 2 < PAUSE_MS_MAX ? wait_ms * 2 : PAUSE_MS_MAX;
    }
}

static void sleep_until(uint64_t until_ns)
{
    const struct timespec until = fb_clock_timespec(until_ns);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* Until it is our turn; what is published meanwhile is heard. Those who lost a race more than once
 * wait for a random part of a turn, too, so that they do not meet again. */
static void await_turn(fb_fleet_t *fleet, unsigned attempt)
{
    unsigned parts = attempt < 8 ? attempt : 8;
    uint64_t extra_ns =
        parts > 0 ? fb_random_next(&fleet->random_state) % (fleet->turns.slot_ns / 4 * parts) : 0;
    for (;;) {
        fb_hearing_t hearing;
        fb_error_t error = {0};
        uint64_t now_ns = fb_clock_monotonic_ns();
        uint64_t until_ns = fb_turns_next_ns(&fleet->turns, now_ns) + extra_ns;
        if (now_ns >= until_ns)
            return;
        if (fleet->news == NULL)
            sleep_until(until_ns);
        else if (fb_news_wait(fleet->news, until_ns) &&
                 fb_fleet_hear(fleet, &hearing, &error) != FB_OK)
            return; /* the attempt itself will tell */
    }
}

/* All plans failed. That holds only if they were made upon the newest state: `*again` asks for new
 * ones where others have written since. */
static fb_code_t confirm_failures(fb_fleet_t *fleet, bool *again, fb_error_t *error)
{
    fb_followed_t followed;
    uint64_t serial = fleet->current->serial;
    fb_code_t code = fb_fleet_follow(fleet, NULL, &followed, error);
    *again = code == FB_OK && fleet->current->serial != serial;
    return code;
}

/* Errors that were found upon a state which is not, or may not be, that of the fleet. What is wrong
 * with a request in itself stays. */
static void forget_state_errors(fb_write_t *const *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fb_code_t code = writes[i]->error.code;
        if (code == FB_NOT_FOUND || code == FB_CONFLICT || code == FB_PRECONDITION_FAILED)
            writes[i]->error = (fb_error_t){0};
    }
}

/* As it was planned ahead, if that still holds; else anew. */
static void plan(fb_fleet_t *fleet, fb_batch_t *batch, fb_write_t *const *writes, size_t count)
{
    if (fb_batch_holds(&fleet->ahead, fleet->current, writes, count)) {
        *batch = fleet->ahead;
        fleet->ahead = (fb_batch_t){0};
        return;
    }
    fb_batch_dispose(&fleet->ahead);
    fb_batch_begin(batch, fleet->current);
    fb_batch_add(batch, fleet->author, writes, count);
}

/* Commits as many of the writes, from the first on, as make one batch: `*done` of them. */
static fb_code_t commit_some(fb_fleet_t *fleet, fb_write_t *const *writes, size_t count,
                             bool are_last, uint64_t deadline_ms, size_t *done, fb_error_t *error)
{
    for (unsigned attempt = 0;; attempt++) {
        fb_batch_t batch;
        bool again = false;
        plan(fleet, &batch, writes, count);
        *done = batch.planned;
        fleet->under_way = are_last && batch.planned == count ? &batch : NULL;
        fb_code_t code = batch.count > 0 ? settle(fleet, &batch, deadline_ms, &again, error)
                                         : confirm_failures(fleet, &again, error);
        fleet->under_way = NULL;
        fb_batch_dispose(&batch);
        if (code != FB_OK)
            forget_state_errors(writes, *done);
        if (code != FB_OK || !again)
            return code;
        if (fb_clock_monotonic_ms() >= deadline_ms)
            return fb_fail(error, FB_CONTENDED, "other instances wrote first %u times",
                           attempt + 1);
        await_turn(fleet, attempt);
    }
}

bool fb_fleet_may_plan_ahead(const fb_fleet_t *fleet)
{
    return fleet->under_way != NULL && !fb_batch_is_full(&fleet->ahead) &&
           fb_turns_is_alone(&fleet->turns, fb_clock_monotonic_ns());
}

size_t fb_fleet_plan_ahead(fb_fleet_t *fleet, fb_write_t *const *writes, size_t count)
{
    fb_batch_t *ahead = &fleet->ahead;
    if (fleet->under_way == NULL || count == 0)
        return 0;
    if (ahead->serial == 0)
        fb_batch_begin(ahead, fb_stage_view(fleet->under_way->stage));
    fb_assert(ahead->planned <= count);
    fb_batch_add(ahead, fleet->author, writes + ahead->planned, count - ahead->planned);
    return ahead->planned;
}

static void fail_all(fb_write_t *const *writes, size_t count, const fb_error_t *error)
{
    for (size_t i = 0; i < count; i++) {
        if (writes[i]->error.code == FB_OK)
            writes[i]->error = *error;
    }
}

fb_code_t fb_fleet_commit(fb_fleet_t *fleet, fb_write_t *const *writes, size_t count,
                          uint64_t deadline_ms, fb_error_t *error)
{
    size_t most = count, done = 0;
    fb_assert(count <= FB_STORE_BATCH_MAX);
    for (size_t at = 0; at < count; at += done) {
        size_t left = count - at;
        fb_error_t fault = {0};
        fb_code_t code = commit_some(fleet, writes + at, left < most ? left : most, left <= most,
                                     deadline_ms, &done, &fault);
        bool is_away = code == FB_UNAVAILABLE || code == FB_OUTCOME_UNKNOWN;
        bool is_over = is_away || code == FB_CONTENDED;
        if (code != FB_OK && !is_over && done > 1) {
            /* Redis refused them for what one of them does (a key of a wrong type, say). Nothing
             * has landed: let each go by itself, so that only that one fails. */
            most = 1;
            done = 0;
            continue;
        }
        if (code != FB_OK)
            fail_all(writes + at, done, &fault);
        if (is_over) {
            fault.code = is_away ? FB_UNAVAILABLE : code; /* what follows was never sent */
            for (size_t i = at + done; i < count; i++)
                writes[i]->error = (fb_error_t){0};
            fail_all(writes + at + done, count - at - done, &fault);
            *error = fault;
            error->code = code;
            return code;
        }
    }
    return FB_OK;
}
