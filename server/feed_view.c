/* SPDX-License-Identifier: MIT */
#include "server/feed_view.h"

#include <stdlib.h>

#include "base/memory.h"
#include "server/feed.h"
#include "server/feed_notes.h"

typedef struct {
    fb_waiting_t waiting;
    const fb_feed_t *feed; /* NULL: none is configured */
} pending_t;

static void destroy(fb_waiting_t *waiting)
{
    free(H2O_STRUCT_FROM_MEMBER(pending_t, waiting, waiting));
}

static void fetch(fb_waiting_t *waiting, fb_store_t *store)
{
    const pending_t *pending = H2O_STRUCT_FROM_MEMBER(pending_t, waiting, waiting);
    fb_feed_notes_t notes = {.status = 0};
    bool found = false;
    fb_code_t code = fb_feed_notes_read(&notes, store, &found, &waiting->error);
    if (code == FB_OK && !found && pending->feed == NULL)
        code = fb_fail(&waiting->error, FB_NOT_FOUND, "there is no feed: feed.url is not set");
    if (code == FB_OK && !found)
        fb_feed_notes_begin(&notes, fb_feed_config(pending->feed)->source.url);
    if (code == FB_OK)
        fb_feed_notes_render(&notes, &waiting->body);
    fb_feed_notes_dispose(&notes);
}

void fb_feed_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query)
{
    fb_error_t error = {0};
    fb_args_t args = {0};
    fb_code_t code = fb_registry_read_args(route, query, &args, &error);
    fb_args_dispose(&args);
    if (code != FB_OK) {
        fb_reply_problem(exchange, &error, NULL);
        return;
    }
    pending_t *pending = fb_alloc_zero(1, sizeof(*pending));
    pending->feed = exchange->loop->server->feed;
    pending->waiting.what = "the state of the feed";
    pending->waiting.fetch = fetch;
    pending->waiting.destroy = destroy;
    fb_waiting_submit(&pending->waiting, exchange);
}
