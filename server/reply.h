/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/loop.h"
#include "server/problem.h"

/* What every response carries: Fleetbit-Revision, X-Request-Id, and while Redis is silent
 * Fleetbit-Staleness-Ms. The request is over when one of these returns. */
typedef struct fb_exchange {
    fb_loop_t *loop;
    h2o_req_t *req;
    uint64_t begun_ns; /* monotonic */
    uint64_t seen_ns;  /* monotonic: when it was last taken up; it may have waited since it began */
    unsigned route;    /* for the metrics */
    fb_slice_t id;     /* the request id: the client's own, or a new one */
    const char *traceparent; /* a valid one, FB_TRACEPARENT_BYTES; NULL: none */
    void **anchor;           /* on the request's pool: who must know when the request is gone */
    bool has_min_revision;   /* there is a Fleetbit-Min-Revision */
    bool is_probe;           /* of a health check: that it fails is no news */
} fb_exchange_t;

/* Begins: finds or makes the request id. */
void fb_exchange_begin(fb_exchange_t *exchange, fb_loop_t *loop, h2o_req_t *req);
/* Is the name of a request's field Fleetbit-Min-Revision? */
bool fb_reply_is_min_revision(const h2o_iovec_t *name);

/* Is it a GET or a HEAD? */
bool fb_exchange_is_read(const fb_exchange_t *exchange);

/* The answer of a view: 304 where If-None-Match names it, else 200. Keeps a reference of the entry
 * until it is sent. */
void fb_reply_entry(fb_exchange_t *exchange, fb_memo_entry_t *entry);

/* The answer of a read that is no entry of the memo, as fb_reply_entry: it shows the fleet at that
 * revision, at least. The text is copied, the body taken over. */
void fb_reply_read(fb_exchange_t *exchange, fb_slice_t revision, fb_buffer_t *body);

/* The answer of a write that landed. Takes over the body. */
void fb_reply_write(fb_exchange_t *exchange, fb_write_t *write);

/* A short text of our own: health and metrics. Takes the body over. */
void fb_reply_text(fb_exchange_t *exchange, const char *content_type, fb_buffer_t *body);

/* 204 with the methods that a path takes. `allow` is copied. */
void fb_reply_options(fb_exchange_t *exchange, const char *allow);

/* An answer without a length, which the caller sends bit by bit: status and header fields. The
 * request is counted now, with the time until its beginning; nothing is sent yet. */
void fb_reply_begin(fb_exchange_t *exchange, const char *content_type);
/* To a HEAD request for such an answer. */
void fb_reply_head(fb_exchange_t *exchange, const char *content_type);
/* The line of the access log for such an answer, at its end. */
void fb_reply_note_end(fb_loop_t *loop, const fb_access_t *access, uint64_t begun_ns);

/* An error. `allow` (NULL: none) is copied. */
void fb_reply_problem(fb_exchange_t *exchange, const fb_error_t *error, const char *allow);

/* For server/library_errors.c, which lets the library send: puts our header fields on a response
 * whose status is not set yet, counts it, and returns the problem document (on the request's
 * pool). */
const char *fb_reply_library_problem(fb_exchange_t *exchange, const fb_error_t *error);
/* Gives the body of a response the media type of an error, whatever it was named. */
void fb_reply_name_problem(h2o_req_t *req);
