/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "server/fleet.h"

/* The heads of answers out of the memo. Nearly all of one is known before the request comes:
 *
 *     common                                              id     tail
 *     HTTP/1.1 200 OK, Date, …, content-type, x-request-id: …    Content-Length, etag
 *
 * What is common is written once a second and snapshot, a tail once an entry. For HTTP/2 a head is
 * a header block (RFC 7541) that neither reads nor changes the dynamic table, so that it is the
 * same for every connection: some 100 bytes more, and no search of the table for each field. */
typedef enum { FB_HEAD_HTTP1, FB_HEAD_HTTP2, FB_HEAD_PROTOCOLS } fb_head_protocol_t;

#define FB_HEAD_ID_BYTES_MAX     128
#define FB_HEAD_DATE_BYTES       29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */
#define FB_HEAD_REVISION_MAX     40 /* bytes of "epoch.revision" */
#define FB_HEAD_COMMON_BYTES_MAX 320
#define FB_HEAD_TAIL_BYTES_MAX   72
#define FB_HEAD_BYTES_MAX                                                                          \
    (FB_HEAD_COMMON_BYTES_MAX + 2 + FB_HEAD_ID_BYTES_MAX + FB_HEAD_TAIL_BYTES_MAX)

typedef struct {
    uint16_t len;
    char bytes[FB_HEAD_COMMON_BYTES_MAX];
} fb_head_common_t;

/* Of one loop. */
typedef struct {
    int64_t date_s;
    uint64_t serial;
    fb_head_common_t whole[FB_HEAD_PROTOCOLS];        /* 200 */
    fb_head_common_t not_modified[FB_HEAD_PROTOCOLS]; /* 304 */
} fb_heads_t;

/* Of one answer, for one protocol. */
typedef struct {
    uint8_t len, etag_at; /* a 304 has only what begins there: it has no Content-Length */
    char bytes[FB_HEAD_TAIL_BYTES_MAX];
} fb_head_tail_t;

/* The server's name in its answers. */
#define FB_HEAD_SERVER "fleetbit"

/* Writes what is common anew. `date`: FB_HEAD_DATE_BYTES of an IMF-fixdate (RFC 9110, 5.6.7). */
void fb_heads_write(fb_heads_t *heads, int64_t date_s, const char *date, uint64_t serial,
                    fb_slice_t revision);

void fb_head_tails_write(fb_head_tail_t tails[FB_HEAD_PROTOCOLS], size_t body_bytes,
                         const char etag[FB_ETAG_BYTES]);

/* Writes a head, at most FB_HEAD_BYTES_MAX bytes, and returns how many. */
size_t fb_head_write(char *head, const fb_heads_t *heads, fb_head_protocol_t protocol,
                     bool not_modified, fb_slice_t id,
                     const fb_head_tail_t tails[FB_HEAD_PROTOCOLS]);
