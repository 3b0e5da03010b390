/* SPDX-License-Identifier: MIT */
#include "server/history.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "server/history_fetch.h"

typedef struct {
    fb_waiting_t waiting;
    fb_history_ask_t ask;
} pending_t;

static void destroy(fb_waiting_t *waiting)
{
    free(H2O_STRUCT_FROM_MEMBER(pending_t, waiting, waiting));
}

static void fetch(fb_waiting_t *waiting, fb_store_t *store)
{
    pending_t *pending = H2O_STRUCT_FROM_MEMBER(pending_t, waiting, waiting);
    pending->ask.patience = waiting->patience;
    fb_history_fetch(&pending->ask, store, fb_clock_now(), &waiting->body, &waiting->error);
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
        free(pending);
        fb_reply_problem(exchange, &error, NULL);
        return;
    }
    memcpy(pending->ask.epoch, loop->snapshot->position.epoch, sizeof(pending->ask.epoch));
    pending->ask.times = loop->server->history_times;
    pending->waiting.what = "the history";
    pending->waiting.fetch = fetch;
    pending->waiting.destroy = destroy;
    fb_waiting_submit(&pending->waiting, exchange);
}
