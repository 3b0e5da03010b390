/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/store.h"

/* Listens to what all writers of a fleet publish, on a thread and a connection of its own.
 *
 *     connect ──► subscribe ──► on_doubt ──► on_publication ... ──► lost ──► (pause) ──► connect
 *
 * Publications are hints: each may be missing, come twice or out of order. Whoever gets one holds
 * it against what he has; the log is the truth. A connection that is silent for a second is asked
 * for a sign of life, and given up after another. */
typedef struct fb_watch fb_watch_t;

/* One change, as its commit published it. */
typedef struct {
    char epoch[FB_EPOCH_BYTES + 1];
    fb_entry_t entry; /* its payload is borrowed for the call */
} fb_publication_t;

/* Called on the watch's thread. They must not block: Redis cuts off who does not listen. */
typedef struct {
    void *context;
    void (*on_publication)(void *context, const fb_publication_t *publication);
    /* Somebody wanted to commit, and came second; its commits take so long. */
    void (*on_rival)(void *context, uint32_t author, uint64_t took_us);
    /* Something may have been missed, or cannot be told by a publication: heads should be
     * compared. */
    void (*on_doubt)(void *context);
} fb_watch_sink_t;

typedef struct {
    const char *url;     /* see redis_url.h */
    const char *fleet;   /* see keys.h */
    unsigned timeout_ms; /* of connecting, and of an answer that has begun */
} fb_watch_options_t;

/* FB_CONFIG where the URL or the name of the fleet is wrong. The texts are copied. */
fb_code_t fb_watch_start(const fb_watch_options_t *options, const fb_watch_sink_t *sink,
                         fb_watch_t **watch, fb_error_t *error);
/* No call of the sink is under way when it returns. */
void fb_watch_stop(fb_watch_t **watch);

/* Reads the text of a change's publication, as commit.lua makes it: "EPOCH REVISION CHAIN SUM
 * COMMAND PAYLOAD"; false where it is none. Borrows the payload. */
bool fb_publication_parse(fb_slice_t text, fb_publication_t *publication);
