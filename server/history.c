/* SPDX-License-Identifier: MIT */
#include "server/history.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "server/history_fetch.h"

/* It outlives its request where the client leaves, or is answered before it is done. */
typedef struct {
    fb_read_job_t job;
    h2o_linklist_t link;    /* of the loop, while its client waits */
    fb_exchange_t exchange; /* `req` is NULL once nobody waits */
    fb_history_ask_t ask;
    atomic_bool is_given_up;
    char revision[FB_REVISION_BYTES_MAX]; /* that the loop showed before: it has all up to there */
    size_t revision_len;
    fb_buffer_t body;
    fb_error_t error;
} pending_t;

static pending_t *pending_at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(pending_t, link, link);
}

/* From here on the job is the reader's alone. */
static void give_up(pending_t *pending)
{
    h2o_linklist_unlink(&pending->link);
    pending->exchange.req = NULL;
    atomic_store(&pending->is_given_up, true);
}

static void on_request_gone(void *chunk)
{
    pending_t *pending = *(void **)chunk;
    if (pending != NULL)
        give_up(pending);
}

static void free_pending(pending_t *pending)
{
    fb_buffer_dispose(&pending->body);
    free(pending);
}

/* On a reader's thread. */
static void run(fb_read_job_t *job, fb_store_t *store)
{
    pending_t *pending = H2O_STRUCT_FROM_MEMBER(pending_t, job, job);
    fb_history_fetch(&pending->ask, store, fb_clock_now(), &pending->body, &pending->error);
}

static void on_done(fb_read_job_t *job, fb_code_t code)
{
    pending_t *pending = H2O_STRUCT_FROM_MEMBER(pending_t, job, job);
    if (code != FB_OK)
        fb_fail(&pending->error, code, "Redis is not read any more: this instance is ending");
    if (pending->exchange.req != NULL) {
        /* The request may go while it is answered; its disposer must not look back here. */
        fb_exchange_t exchange = pending->exchange;
        *exchange.anchor = NULL;
        give_up(pending);
        exchange.seen_ns = fb_clock_monotonic_ns();
        if (pending->error.code == FB_OK)
            fb_reply_read(&exchange, (fb_slice_t){pending->revision, pending->revision_len},
                          &pending->body);
        else
            fb_reply_problem(&exchange, &pending->error, NULL);
    }
    free_pending(pending);
}

static fb_code_t read_question(fb_history_ask_t *ask, const fb_exchange_t *exchange,
                               const fb_route_t *route, fb_slice_t query, fb_error_t *error)
{
    const fb_snapshot_t *snapshot = exchange->loop->snapshot;
    fb_args_t args = {0};
    fb_code_t code = fb_registry_read_args(route, query, &args, error);
    if (code == FB_OK)
        code = fb_history_ask_read(ask, route->resource, &args, error);
    fb_args_dispose(&args);
    /* A machine that was retired keeps its history. */
    if (code == FB_OK && ask->machine > snapshot->families[FB_MACHINES].last_id)
        code = fb_fail(error, FB_NOT_FOUND, "there never was a machine %u", ask->machine);
    return code;
}

void fb_history_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query)
{
    fb_loop_t *loop = exchange->loop;
    fb_error_t error = {0};
    pending_t *pending = fb_alloc_zero(1, sizeof(*pending));
    if (read_question(&pending->ask, exchange, route, query, &error) != FB_OK) {
        free_pending(pending);
        fb_reply_problem(exchange, &error, NULL);
        return;
    }
    pending->ask.deadline_ms = fb_clock_monotonic_ms() + loop->server->redis_timeout_ms;
    memcpy(pending->ask.epoch, loop->snapshot->position.epoch, sizeof(pending->ask.epoch));
    pending->ask.times = loop->server->history_times;
    pending->ask.is_given_up = &pending->is_given_up;
    pending->job = (fb_read_job_t){.receiver = &loop->reads, .run = run, .on_done = on_done};
    memcpy(pending->revision, loop->revision, loop->revision_len);
    pending->revision_len = loop->revision_len;
    exchange->anchor = h2o_mem_alloc_shared(&exchange->req->pool, sizeof(void *), on_request_gone);
    *exchange->anchor = NULL;
    pending->exchange = *exchange;
    if (fb_readers_submit(loop->server->readers, &pending->job, &error) != FB_OK) {
        free_pending(pending);
        fb_reply_problem(exchange, &error, NULL);
        return;
    }
    *exchange->anchor = pending;
    h2o_linklist_insert(&loop->histories, &pending->link);
}

/* --- those who wait ---------------------------------------------------------------------- */

static bool is_anybody_waiting(const fb_loop_t *loop)
{
    return loop->histories.next != &loop->histories;
}

void fb_history_turn(fb_loop_t *loop, uint64_t now_ms)
{
    while (is_anybody_waiting(loop)) {
        pending_t *pending = pending_at(loop->histories.next);
        fb_exchange_t exchange = pending->exchange;
        fb_error_t error = {0};
        if (pending->ask.deadline_ms > now_ms)
            return;
        *exchange.anchor = NULL;
        give_up(pending);
        exchange.seen_ns = fb_clock_monotonic_ns();
        fb_fail(&error, FB_UNAVAILABLE, "Redis did not give the history in time");
        fb_reply_problem(&exchange, &error, NULL);
    }
}

int32_t fb_history_wait_ms(const fb_loop_t *loop, int32_t most_ms)
{
    if (!is_anybody_waiting(loop))
        return most_ms;
    uint64_t now_ms = fb_clock_monotonic_ms();
    uint64_t deadline_ms = pending_at(loop->histories.next)->ask.deadline_ms;
    uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    return wait_ms < (uint64_t)most_ms ? (int32_t)wait_ms : most_ms;
}
