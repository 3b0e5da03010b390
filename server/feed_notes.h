/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/date.h"
#include "persistence/store.h"
#include "server/feed_fetch.h"

/* What all instances know of the feed: the hash fb:{f}:feed, kept by whoever has the lease. It is
 * not in the log, so that a fetch of what is unchanged costs no commit. */
#define FB_FEED_SKIPS_SHOWN  20
#define FB_FEED_URL_BYTES    512
#define FB_FEED_SOURCE_BYTES 33

typedef struct {
    char url[FB_FEED_URL_BYTES];       /* as it may be shown: without user, password and query */
    char instance[64];                 /* that fetched last */
    fb_instant_t fetched_at;           /* 0: never */
    fb_instant_t succeeded_at;         /* 0: never */
    uint64_t status;                   /* of the last answer; 0: none came */
    uint64_t failures;                 /* in turn */
    char error[FB_ERROR_DETAIL_BYTES]; /* of the last fetch; "": none */
    /* Of the last document that was read: */
    uint64_t bytes, plans, changed, skipped;
    fb_buffer_t skips; /* JSON: the first FB_FEED_SKIPS_SHOWN of them */
    /* A document need not be read again where all of these are the same: */
    fb_feed_validators_t validators;
    char source[FB_FEED_SOURCE_BYTES]; /* a hash of the whole URL and of the reader's version */
    char epoch[FB_EPOCH_BYTES + 1];    /* of the log that has its plans */
} fb_feed_notes_t;

void fb_feed_notes_dispose(fb_feed_notes_t *notes);

/* Replaces `notes`, which are zeroed, or were read before; `*found` says whether there are any. */
fb_code_t fb_feed_notes_read(fb_feed_notes_t *notes, fb_store_t *store, bool *found,
                             fb_error_t *error);
fb_code_t fb_feed_notes_put(const fb_feed_notes_t *notes, fb_store_t *store, fb_error_t *error);

/* Appends the JSON of GET /v1/feed. */
void fb_feed_notes_render(const fb_feed_notes_t *notes, fb_buffer_t *body);
/* Sets `url` and `source` from the URL of the setting. */
void fb_feed_notes_begin(fb_feed_notes_t *notes, const char *url);
/* Are they of this URL, and of this version of the reader? */
bool fb_feed_notes_are_of(const fb_feed_notes_t *notes, const char *url);
/* Appends a URL without its user, password and query. */
void fb_feed_show_url(const char *url, fb_buffer_t *shown);
