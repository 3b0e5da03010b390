/* SPDX-License-Identifier: MIT */
#include "server/parking.h"

#include "base/clock.h"
#include "server/dispatch.h"
#include "server/loop.h"
#include "server/reply.h"

#define SETTLED_A_TURN 256 /* then other sockets have their turn */

/* On the request's pool, which says when the request is gone. */
typedef struct {
    h2o_linklist_t link;
    fb_exchange_t exchange;
    fb_wanted_t wanted;
    uint64_t arrived_ms;
} parked_t;

typedef enum { WAITS, GOES_ON, OTHER_EPOCH, TOO_LATE } verdict_t;

/* --- the request field ------------------------------------------------------------------- */

static fb_code_t read_line(h2o_iovec_t line, fb_wanted_t *wanted)
{
    fb_slice_t text = {line.base, line.len};
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    for (size_t i = 0; i < FB_EPOCH_BYTES; i++) {
        char c = i < text.len ? text.at[i] : '\0';
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return FB_MALFORMED;
        wanted->epoch[i] = c;
    }
    if (text.len < FB_EPOCH_BYTES + 2 || text.at[FB_EPOCH_BYTES] != '.')
        return FB_MALFORMED;
    fb_slice_t digits = {text.at + FB_EPOCH_BYTES + 1, text.len - FB_EPOCH_BYTES - 1};
    return fb_slice_to_u64(digits, UINT64_MAX, &wanted->revision) ? FB_OK : FB_MALFORMED;
}

fb_code_t fb_wanted_read(const h2o_headers_t *headers, fb_wanted_t *wanted, fb_error_t *error)
{
    bool is_first = true;
    for (size_t i = 0; i < headers->size; i++) {
        const h2o_header_t *header = &headers->entries[i];
        fb_wanted_t line = {0};
        if (!fb_reply_is_min_revision(header->name))
            continue;
        if (read_line(header->value, &line) != FB_OK)
            return fb_fail_field(error, FB_MALFORMED, FB_SLICE("Fleetbit-Min-Revision"),
                                 "it must be a revision token as Fleetbit-Revision shows it, "
                                 "epoch.revision, not \"%.*s\"",
                                 (int)(header->value.len < 100 ? header->value.len : 100),
                                 header->value.base);
        if (!is_first &&
            (line.revision != wanted->revision || strcmp(line.epoch, wanted->epoch) != 0))
            return fb_fail_field(error, FB_MALFORMED, FB_SLICE("Fleetbit-Min-Revision"),
                                 "it is there twice, with two revisions");
        *wanted = line;
        is_first = false;
    }
    return FB_OK;
}

/* --- one request ------------------------------------------------------------------------- */

static bool is_any(const fb_wanted_t *wanted)
{
    return wanted->epoch[0] == '\0';
}

static verdict_t judge(const fb_snapshot_t *snapshot, const fb_wanted_t *wanted,
                       uint64_t arrived_ms, uint64_t compared_ms)
{
    if (snapshot == NULL)
        return WAITS;
    if (is_any(wanted))
        return GOES_ON;
    if (memcmp(snapshot->position.epoch, wanted->epoch, FB_EPOCH_BYTES) == 0)
        return snapshot->position.revision >= wanted->revision ? GOES_ON : WAITS;
    /* Somebody may have begun a new epoch of which this instance does not know yet. */
    return compared_ms > arrived_ms ? OTHER_EPOCH : WAITS;
}

static void refuse(fb_exchange_t *exchange, const fb_wanted_t *wanted, const char *why)
{
    const fb_loop_t *loop = exchange->loop;
    fb_error_t error = {0};
    if (loop->snapshot == NULL)
        fb_fail(&error, FB_UNAVAILABLE, "the fleet is being loaded%s", why);
    else
        fb_fail(&error, FB_BEHIND, "this instance shows revision %.*s, and %s.%llu is wanted%s",
                (int)loop->revision_len, loop->revision, wanted->epoch,
                (unsigned long long)wanted->revision, why);
    fb_reply_problem(exchange, &error, NULL);
}

static void refuse_epoch(fb_exchange_t *exchange, const fb_wanted_t *wanted)
{
    const fb_loop_t *loop = exchange->loop;
    fb_error_t error = {0};
    fb_fail_field(&error, FB_OTHER_EPOCH, FB_SLICE("Fleetbit-Min-Revision"),
                  "the fleet is at revision %.*s, which %s.%llu is no part of",
                  (int)loop->revision_len, loop->revision, wanted->epoch,
                  (unsigned long long)wanted->revision);
    fb_reply_problem(exchange, &error, NULL);
}

static void forget(parked_t *parked)
{
    fb_counter_t *count = &parked->exchange.loop->parking.count;
    h2o_linklist_unlink(&parked->link);
    fb_count_set(count, fb_count_read(count) - 1);
}

static void on_request_gone(void *chunk)
{
    parked_t *parked = chunk;
    if (h2o_linklist_is_linked(&parked->link))
        forget(parked);
}

static void park(fb_exchange_t *exchange, const fb_wanted_t *wanted)
{
    fb_loop_t *loop = exchange->loop;
    fb_parking_t *parking = &loop->parking;
    if (loop->server->min_revision_wait_ms == 0) {
        refuse(exchange, wanted, "");
        return;
    }
    if (fb_count_read(&parking->count) >= FB_PARKED_MAX) {
        refuse(exchange, wanted, "; too many requests wait for that already");
        return;
    }
    parked_t *parked = h2o_mem_alloc_shared(&exchange->req->pool, sizeof(*parked), on_request_gone);
    *parked = (parked_t){
        .exchange = *exchange,
        .wanted = *wanted,
        .arrived_ms = exchange->begun_ns / 1000000,
    };
    h2o_linklist_insert(&parking->waiting, &parked->link);
    fb_count(&parking->count, 1);
    parking->is_active = true;
    if (!is_any(wanted))
        parking->newest_ms = parked->arrived_ms;
}

bool fb_parking_admit(fb_exchange_t *exchange)
{
    fb_wanted_t wanted = {0};
    fb_error_t error = {0};
    if (fb_wanted_read(&exchange->req->headers, &wanted, &error) != FB_OK) {
        fb_reply_problem(exchange, &error, NULL);
        return false;
    }
    if (judge(exchange->loop->snapshot, &wanted, 0, 0) == GOES_ON)
        return true;
    park(exchange, &wanted);
    return false;
}

void fb_parking_await_first(fb_exchange_t *exchange)
{
    const fb_wanted_t any = {0};
    park(exchange, &any);
}

/* The request may go, and `parked` with it, while it is answered. */
static void settle(parked_t *parked, verdict_t verdict, const char *why)
{
    fb_exchange_t exchange = parked->exchange;
    fb_wanted_t wanted = parked->wanted;
    forget(parked);
    exchange.seen_ns = fb_clock_monotonic_ns();
    exchange.loop->parking.has_answered = true;
    if (verdict == GOES_ON)
        fb_dispatch_go_on(&exchange);
    else if (verdict == OTHER_EPOCH)
        refuse_epoch(&exchange, &wanted);
    else
        refuse(&exchange, &wanted, why);
}

/* --- all of them ------------------------------------------------------------------------- */

void fb_parking_init(fb_parking_t *parking)
{
    h2o_linklist_init_anchor(&parking->waiting);
}

static parked_t *parked_at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(parked_t, link, link);
}

static bool is_empty(const fb_parking_t *parking)
{
    return parking->waiting.next == &parking->waiting;
}

static uint64_t deadline_of(const fb_loop_t *loop, h2o_linklist_t *link)
{
    return parked_at(link)->arrived_ms + loop->server->min_revision_wait_ms;
}

/* Those that need not wait go to a list of their own, from which they vanish when their requests
 * do: an answer can end others. */
static void settle_ready(fb_loop_t *loop, uint64_t compared_ms)
{
    fb_parking_t *parking = &loop->parking;
    h2o_linklist_t ready, *next;
    unsigned count = 0;
    h2o_linklist_init_anchor(&ready);
    for (h2o_linklist_t *link = parking->waiting.next; link != &parking->waiting; link = next) {
        const parked_t *parked = parked_at(link);
        next = link->next;
        if (judge(loop->snapshot, &parked->wanted, parked->arrived_ms, compared_ms) == WAITS)
            continue;
        if (count == SETTLED_A_TURN) {
            parking->has_more = true;
            break;
        }
        h2o_linklist_unlink(link);
        h2o_linklist_insert(&ready, link);
        count++;
    }
    while (!h2o_linklist_is_empty(&ready)) {
        parked_t *parked = parked_at(ready.next);
        settle(parked, judge(loop->snapshot, &parked->wanted, parked->arrived_ms, compared_ms), "");
    }
}

static void settle_late(fb_loop_t *loop, uint64_t now_ms)
{
    fb_parking_t *parking = &loop->parking;
    for (unsigned count = 0; count < SETTLED_A_TURN; count++) {
        if (is_empty(parking) || deadline_of(loop, parking->waiting.next) > now_ms)
            return;
        settle(parked_at(parking->waiting.next), TOO_LATE, "");
    }
    parking->has_more = true;
}

static bool must_nudge_again(const fb_parking_t *parking)
{
    return parking->newest_ms == parking->nudged_ms;
}

static void nudge(fb_loop_t *loop, uint64_t now_ms)
{
    fb_parking_t *parking = &loop->parking;
    bool is_due = parking->newest_ms > parking->nudged_ms ||
                  (must_nudge_again(parking) && now_ms > parking->nudged_ms);
    if (parking->newest_ms == 0 || !is_due)
        return;
    parking->nudged_ms = now_ms;
    fb_writer_nudge(loop->server->writer);
}

void fb_parking_turn(fb_loop_t *loop, bool is_new_snapshot, uint64_t compared_ms)
{
    fb_parking_t *parking = &loop->parking;
    bool must_judge = is_new_snapshot || parking->has_more || compared_ms != parking->compared_ms;
    uint64_t now_ms = fb_clock_monotonic_ms();
    parking->has_more = parking->has_answered = false;
    parking->compared_ms = compared_ms;
    if (must_judge)
        settle_ready(loop, compared_ms);
    settle_late(loop, now_ms);
    if (!is_empty(parking))
        nudge(loop, now_ms);
    parking->is_active = !is_empty(parking) || parking->has_answered;
}

int32_t fb_parking_wait_ms(const fb_loop_t *loop, int32_t most_ms)
{
    const fb_parking_t *parking = &loop->parking;
    if (parking->has_more || parking->has_answered)
        return 0; /* what was written between two turns is found to be so in the next one */
    if (is_empty(parking))
        return most_ms;
    if (parking->newest_ms != 0 && must_nudge_again(parking))
        return 1;
    uint64_t now_ms = fb_clock_monotonic_ms();
    uint64_t deadline_ms = deadline_of(loop, parking->waiting.next);
    uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    return wait_ms < (uint64_t)most_ms ? (int32_t)wait_ms : most_ms;
}

void fb_parking_end(fb_loop_t *loop)
{
    fb_parking_t *parking = &loop->parking;
    while (!is_empty(parking))
        settle(parked_at(parking->waiting.next), TOO_LATE, "; this instance is ending");
}
