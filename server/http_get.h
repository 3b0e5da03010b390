/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* A client for what one instance asks of another: GET, over libcurl. A connection is kept from one
 * request to the next. Neither redirects nor the proxies of the environment are followed. */
typedef struct fb_http fb_http_t;

#define FB_HTTP_BODY_BYTES_MAX (16 << 20) /* of an answer */

/* What is the same for all our requests, of a handle of libcurl (CURL). */
void fb_http_configure(void *curl, unsigned connect_ms, unsigned total_ms);
/* Says what is wrong, of an answer that is not what was asked for: its status, and the detail of
 * its problem document (RFC 9457), if that is what it is. FB_IO. */
fb_code_t fb_http_refused(long status, fb_slice_t body, fb_error_t *error);

/* `connect_ms` bounds the making of a connection, `total_ms` a whole request. */
fb_http_t *fb_http_create(unsigned connect_ms, unsigned total_ms);
void fb_http_destroy(fb_http_t **http);

/* Is it an http:// or https:// URL with a host? FB_CONFIG says what it is not. */
fb_code_t fb_http_check_url(const char *url, fb_error_t *error);
/* Replaces `body` by that of a 200. FB_UNAVAILABLE: there was no whole answer in time; FB_IO: it
 * has another status, and the detail says what the problem document says. */
fb_code_t fb_http_get(fb_http_t *http, const char *url, fb_buffer_t *body, fb_error_t *error);
