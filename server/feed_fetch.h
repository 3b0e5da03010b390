/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

/* One HTTP client for a provider's feed, over libcurl: at most FB_FEED_REDIRECTS_MAX redirects, to
 * http and https alone; gzip, of which what it decompresses to is bounded; no proxy of the
 * environment. */
#define FB_FEED_REDIRECTS_MAX       5
#define FB_FEED_HEADERS_BYTES_MAX   (256 << 10) /* of all answers of a fetch */
#define FB_FEED_ETAG_BYTES          256         /* of validators that are longer, none is kept */
#define FB_FEED_LAST_MODIFIED_BYTES 64
#define FB_FEED_TICK_MS             250

typedef struct {
    const char *url;
    unsigned connect_ms; /* to make a connection */
    unsigned total_ms;   /* a whole fetch */
    uint64_t bytes_max;  /* of a document, decompressed */
} fb_feed_source_t;

/* By which a provider knows whether we have the document already (RFC 9110, section 8.8). */
typedef struct {
    char etag[FB_FEED_ETAG_BYTES]; /* "": none */
    char last_modified[FB_FEED_LAST_MODIFIED_BYTES];
} fb_feed_validators_t;

typedef struct {
    unsigned status;   /* 0: none came */
    bool has_document; /* the status is 200 */
    uint64_t bytes;    /* of the document */
    fb_feed_validators_t validators;
} fb_feed_answer_t;

/* Who a fetch belongs to, on its thread. */
typedef struct {
    void *context;
    /* The next piece of the document; an error ends the fetch. */
    fb_code_t (*on_bytes)(void *context, fb_slice_t bytes, fb_error_t *error);
    /* At least every FB_FEED_TICK_MS; an error ends the fetch. */
    fb_code_t (*on_tick)(void *context, fb_error_t *error);
} fb_feed_receiver_t;

typedef struct fb_feed_fetch fb_feed_fetch_t;

/* Borrows the URL. */
fb_feed_fetch_t *fb_feed_fetch_create(const fb_feed_source_t *source);
void fb_feed_fetch_destroy(fb_feed_fetch_t **fetch);
/* The fetch that is under way ends at once, and so does each later one. From any thread. */
void fb_feed_fetch_end(fb_feed_fetch_t *fetch);

/* FB_OK: the status is 200, and all of the document was handed on; or it is 304, and there is none,
 * for it is still the one of `known`. FB_UNAVAILABLE: no whole answer came in time, or it was
 * ended; FB_IO: it is another answer, or larger than it may be; besides these what the receiver
 * says. */
fb_code_t fb_feed_fetch_get(fb_feed_fetch_t *fetch, const fb_feed_validators_t *known,
                            const fb_feed_receiver_t *receiver, fb_feed_answer_t *answer,
                            fb_error_t *error);
