/* SPDX-License-Identifier: MIT */
#include "server/waiting.h"

#include "base/clock.h"

static fb_waiting_t *waiting_at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(fb_waiting_t, link, link);
}

/* From here on it is the reader's alone. */
static void give_up(fb_waiting_t *waiting)
{
    h2o_linklist_unlink(&waiting->link);
    waiting->exchange.req = NULL;
    atomic_store(&waiting->is_given_up, true);
}

/* The request may go while it is answered; its disposer must not look back here. */
static fb_exchange_t let_go(fb_waiting_t *waiting)
{
    fb_exchange_t exchange = waiting->exchange;
    *exchange.anchor = NULL;
    give_up(waiting);
    exchange.seen_ns = fb_clock_monotonic_ns();
    return exchange;
}

static void on_request_gone(void *chunk)
{
    fb_waiting_t *waiting = *(void **)chunk;
    if (waiting != NULL)
        give_up(waiting);
}

static void destroy(fb_waiting_t *waiting)
{
    fb_buffer_dispose(&waiting->body);
    waiting->destroy(waiting);
}

static void run(fb_read_job_t *job, fb_store_t *store)
{
    fb_waiting_t *waiting = H2O_STRUCT_FROM_MEMBER(fb_waiting_t, job, job);
    waiting->fetch(waiting, store);
}

static void on_done(fb_read_job_t *job, fb_code_t code)
{
    fb_waiting_t *waiting = H2O_STRUCT_FROM_MEMBER(fb_waiting_t, job, job);
    if (code != FB_OK)
        fb_fail(&waiting->error, code, "Redis is not read any more: this instance is ending");
    if (waiting->exchange.req != NULL) {
        fb_exchange_t exchange = let_go(waiting);
        if (waiting->error.code == FB_OK)
            fb_reply_read(&exchange, (fb_slice_t){waiting->revision, waiting->revision_len},
                          &waiting->body);
        else
            fb_reply_problem(&exchange, &waiting->error, NULL);
    }
    destroy(waiting);
}

void fb_waiting_submit(fb_waiting_t *waiting, fb_exchange_t *exchange)
{
    fb_loop_t *loop = exchange->loop;
    fb_error_t error = {0};
    waiting->patience.deadline_ms = fb_clock_monotonic_ms() + loop->server->redis_timeout_ms;
    waiting->patience.is_given_up = &waiting->is_given_up;
    waiting->job = (fb_read_job_t){.receiver = &loop->reads, .run = run, .on_done = on_done};
    memcpy(waiting->revision, loop->revision, loop->revision_len);
    waiting->revision_len = loop->revision_len;
    exchange->anchor = h2o_mem_alloc_shared(&exchange->req->pool, sizeof(void *), on_request_gone);
    *exchange->anchor = NULL;
    waiting->exchange = *exchange;
    if (fb_readers_submit(loop->server->readers, &waiting->job, &error) != FB_OK) {
        destroy(waiting);
        fb_reply_problem(exchange, &error, NULL);
        return;
    }
    *exchange->anchor = waiting;
    h2o_linklist_insert(&loop->waiting, &waiting->link);
}

/* --- those who wait ---------------------------------------------------------------------- */

static bool is_anybody_waiting(const fb_loop_t *loop)
{
    return loop->waiting.next != &loop->waiting;
}

void fb_waiting_turn(fb_loop_t *loop, uint64_t now_ms)
{
    while (is_anybody_waiting(loop)) {
        fb_waiting_t *waiting = waiting_at(loop->waiting.next);
        fb_error_t error = {0};
        if (waiting->patience.deadline_ms > now_ms)
            return;
        const char *what = waiting->what;
        fb_exchange_t exchange = let_go(waiting);
        fb_fail(&error, FB_UNAVAILABLE, "Redis did not give %s in time", what);
        fb_reply_problem(&exchange, &error, NULL);
    }
}

int32_t fb_waiting_wait_ms(const fb_loop_t *loop, int32_t most_ms)
{
    if (!is_anybody_waiting(loop))
        return most_ms;
    uint64_t now_ms = fb_clock_monotonic_ms();
    uint64_t deadline_ms = waiting_at(loop->waiting.next)->patience.deadline_ms;
    uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    return wait_ms < (uint64_t)most_ms ? (int32_t)wait_ms : most_ms;
}
