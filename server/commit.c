/* SPDX-License-Identifier: MIT */
/* The way of a batch of writes into the log.
 *
 *     plan ──► commit ──► OK ───────────► seal, on the shelf, answers
 *      ▲          │
 *      │          ├─ STALE: others wrote. Follow the log, plan again.
 *      │          └─ no answer: it may have landed, or may still. Follow the log until it shows:
 *      │               our command at the planned revision: it landed, the planned answers hold;
 *      └────────────── another command there: it never will; plan again;
 *                      nothing there yet: send the very same entries again (only one of the two
 *                      can land, since both extend the same revision).
 */
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "server/fleet_internal.h"

#define PAUSE_MS_MIN    1
#define PAUSE_MS_MAX    100
#define FB_AUTHOR_BYTES 8      /* of a command id: which process it is of; the rest is random */
#define BATCH_DAYS_MAX  100000 /* bits that a batch sets or clears: Redis does nothing meanwhile */

/* One attempt: what was planned upon one snapshot. */
typedef struct {
    fb_stage_t *stage; /* NULL once it is settled */
    fb_position_t expected;
    fb_entry_t *entries;
    fb_buffer_t *payloads; /* those of the entries */
    size_t count;
    size_t planned; /* writes: those that failed, too */
    uint64_t days;  /* bits of days that the entries touch */
} batch_t;

void fb_write_dispose(fb_write_t *write)
{
    fb_args_dispose(&write->args);
    free(write->if_match);
    fb_buffer_dispose(&write->body);
    fb_buffer_dispose(&write->location);
}

static void random_command(uint32_t author, char command[FB_COMMAND_BYTES + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[(FB_COMMAND_BYTES - FB_AUTHOR_BYTES) / 2];
    fb_assert(getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes));
    for (unsigned i = 0; i < FB_AUTHOR_BYTES; i++)
        command[i] = hex[author >> (28 - 4 * i) & 15];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        command[FB_AUTHOR_BYTES + 2 * i] = hex[bytes[i] >> 4];
        command[FB_AUTHOR_BYTES + 2 * i + 1] = hex[bytes[i] & 15];
    }
    command[FB_COMMAND_BYTES] = '\0';
}

static void reset_answer(fb_write_t *write)
{
    write->error = (fb_error_t){0};
    write->body.len = 0;
    write->location.len = 0;
    write->etag[0] = '\0';
}

/* RFC 9110, section 13.1.1: against the thing as it is just before this write. */
static fb_code_t check_if_match(const fb_snapshot_t *snapshot, const fb_write_t *write,
                                fb_error_t *error)
{
    char etag[FB_ETAG_BYTES + 1];
    fb_buffer_t body = {0};
    if (write->if_match == NULL)
        return FB_OK;
    const fb_view_t *view = write->command->match;
    fb_args_t args = {.id_count = write->args.id_count};
    memcpy(args.ids, write->args.ids, sizeof(args.ids));
    fb_code_t code = view->render(snapshot, &args, &body, error);
    if (code == FB_OK) {
        fb_etag(fb_buffer_slice(&body), etag);
        if (!fb_etag_matches(fb_slice(write->if_match), etag, false))
            code = fb_fail(error, FB_PRECONDITION_FAILED,
                           "If-Match names another state than the current one, %s", etag);
    }
    fb_buffer_dispose(&body);
    return code;
}

/* Renders what the write leaves behind, as the stage shows it now. */
static void render_answer(const fb_snapshot_t *snapshot, fb_write_t *write, const fb_plan_t *plan)
{
    const fb_command_t *command = write->command;
    fb_args_t args = {.id_count = FB_PATH_IDS_MAX};
    memcpy(args.ids, plan->ids, sizeof(args.ids));
    memcpy(write->ids, plan->ids, sizeof(write->ids));
    write->position = snapshot->position;
    if (command->answer == FB_ANSWER_EMPTY)
        return;
    fb_error_t error = {0};
    fb_assert(command->shows->render(snapshot, &args, &write->body, &error) == FB_OK);
    fb_etag(fb_buffer_slice(&write->body), write->etag);
    if (command->answer == FB_ANSWER_CREATED)
        fb_registry_put_path(&write->location, command->shows->path, plan->ids);
}

static uint64_t days_of(const fb_change_t *change)
{
    uint64_t days = 0;
    for (size_t i = 0; i < change->count; i++)
        days += change->ops[i].kind == FB_OP_DAYS ? change->ops[i].days : 0;
    return days;
}

static void add_entry(batch_t *batch, uint32_t author, const fb_change_t *change)
{
    fb_position_t position = fb_stage_view(batch->stage)->position;
    fb_entry_t *entry = &batch->entries[batch->count];
    fb_buffer_t *payload = &batch->payloads[batch->count];
    batch->count++;
    batch->days += days_of(change);
    fb_change_encode(change, payload);
    random_command(author, entry->command);
    entry->payload = fb_buffer_slice(payload);
    entry->revision = ++position.revision;
    fb_chain_next(position.chain, entry->command, entry->payload, entry->chain);
    memcpy(position.chain, entry->chain, sizeof(position.chain));
    fb_stage_apply(batch->stage, change);
    fb_fleet_sum_text(fb_stage_view(batch->stage), entry->sum);
    memcpy(position.sum, entry->sum, sizeof(position.sum));
    fb_stage_set_position(batch->stage, &position);
}

static void plan_write(batch_t *batch, uint32_t author, fb_write_t *write)
{
    const fb_snapshot_t *snapshot = fb_stage_view(batch->stage);
    fb_plan_t plan = {0};
    reset_answer(write);
    write->position = snapshot->position;
    fb_code_t code = check_if_match(snapshot, write, &write->error);
    if (code == FB_OK)
        code = write->command->plan(snapshot, &write->args, &plan, &write->error);
    if (code == FB_OK) {
        add_entry(batch, author, &plan.change);
        render_answer(snapshot, write, &plan);
    }
    fb_change_dispose(&plan.change);
}

static void plan_batch(fb_fleet_t *fleet, batch_t *batch, fb_write_t *const *writes, size_t count)
{
    fb_instant_t now = fb_clock_now();
    *batch = (batch_t){
        .stage = fb_stage_begin(fleet->current),
        .expected = fleet->current->position,
        .entries = fb_alloc_zero(count, sizeof(fb_entry_t)),
        .payloads = fb_alloc_zero(count, sizeof(fb_buffer_t)),
    };
    while (batch->planned < count && batch->days < BATCH_DAYS_MAX) {
        fb_write_t *write = writes[batch->planned++];
        write->args.now = now;
        plan_write(batch, fleet->author, write);
    }
}

static void dispose_batch(batch_t *batch)
{
    if (batch->stage != NULL)
        fb_stage_abort(&batch->stage);
    for (size_t i = 0; i < batch->count; i++)
        fb_buffer_dispose(&batch->payloads[i]);
    free(batch->payloads);
    free(batch->entries);
    *batch = (batch_t){0};
}

static void pause_ms(uint64_t ms)
{
    const struct timespec pause = fb_clock_timespec(ms * 1000000);
    nanosleep(&pause, NULL);
}

static bool still_expected(const fb_fleet_t *fleet, const batch_t *batch)
{
    const fb_position_t *position = &fleet->current->position;
    return position->revision == batch->expected.revision &&
           strcmp(position->epoch, batch->expected.epoch) == 0 &&
           strcmp(position->chain, batch->expected.chain) == 0;
}

typedef enum { LANDED, PLAN_AGAIN, SEND_AGAIN, CANNOT_TELL, NEVER_TOLD } outcome_t;

/* Follows the log to see what became of a batch. */
static outcome_t find_outcome(fb_fleet_t *fleet, const batch_t *batch, fb_error_t *error)
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
static bool has_heard_why(fb_fleet_t *fleet, const batch_t *batch)
{
    fb_hearing_t hearing;
    fb_error_t error = {0};
    fleet->stats.stale_total++;
    return fb_fleet_hear(fleet, &hearing, &error) == FB_OK && !still_expected(fleet, batch);
}

static fb_code_t send(fb_fleet_t *fleet, const batch_t *batch, fb_error_t *error)
{
    uint64_t begun_ns = fb_clock_monotonic_ns();
    fb_code_t code = fleet->store->vtable->commit(fleet->store, &batch->expected, batch->entries,
                                                  batch->count, error);
    uint64_t now_ns = fb_clock_monotonic_ns();
    if (code == FB_OK) {
        fb_turns_took(&fleet->turns, now_ns - begun_ns);
        fb_turns_saw(&fleet->turns, fleet->author, now_ns);
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
static fb_code_t settle(fb_fleet_t *fleet, batch_t *batch, uint64_t deadline_ms, bool *again,
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

/* Commits as many of the writes, from the first on, as make one batch: `*done` of them. */
static fb_code_t commit_some(fb_fleet_t *fleet, fb_write_t *const *writes, size_t count,
                             uint64_t deadline_ms, size_t *done, fb_error_t *error)
{
    for (unsigned attempt = 0;; attempt++) {
        batch_t batch;
        bool again = false;
        plan_batch(fleet, &batch, writes, count);
        *done = batch.planned;
        fb_code_t code = batch.count > 0 ? settle(fleet, &batch, deadline_ms, &again, error)
                                         : confirm_failures(fleet, &again, error);
        dispose_batch(&batch);
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
        fb_code_t code =
            commit_some(fleet, writes + at, left < most ? left : most, deadline_ms, &done, &fault);
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
