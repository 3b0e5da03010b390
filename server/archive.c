/* SPDX-License-Identifier: MIT */
#include "server/archive.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "server/archive_fetch.h"

typedef struct {
    fb_waiting_t waiting;
    fb_archive_ask_t ask;
    const fb_resource_t *resource;
} pending_t;

static void destroy(fb_waiting_t *waiting)
{
    pending_t *pending = H2O_STRUCT_FROM_MEMBER(pending_t, waiting, waiting);
    fb_archive_ask_dispose(&pending->ask);
    free(pending);
}

static void fetch(fb_waiting_t *waiting, fb_store_t *store)
{
    pending_t *pending = H2O_STRUCT_FROM_MEMBER(pending_t, waiting, waiting);
    if (fb_archive_fetch(&pending->ask, pending->resource, store, &waiting->patience,
                         &waiting->error) != FB_OK)
        return;
    waiting->body = pending->ask.body;
    pending->ask.body = (fb_buffer_t){0};
}

void fb_archive_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_args_t *args)
{
    pending_t *pending = fb_alloc_zero(1, sizeof(*pending));
    fb_assert(route->resource->archive != NULL);
    pending->resource = route->resource;
    pending->ask.view = route->view;
    pending->ask.args = *args;
    *args = (fb_args_t){0};
    route->resource->archive->begin(exchange->loop->snapshot, &pending->ask);
    pending->waiting.what = "all that was asked for";
    pending->waiting.fetch = fetch;
    pending->waiting.destroy = destroy;
    fb_waiting_submit(&pending->waiting, exchange);
}
