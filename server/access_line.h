/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/access_ring.h"

/* The lines of the access log, JSON each:
 *
 *     {"time":"2026-11-21T12:00:00.123456Z","request_id":"4a0d5bc0de7f5c1a",
 *      "client":"127.0.0.1:51234","protocol":"HTTP/1.1","method":"GET","target":"/v1/machines/42",
 *      "route":"/v1/machines/{id}","status":200,"body_bytes":310,"duration_us":12}
 *
 * `traceparent` follows where the request has a valid one (server/traceparent.h).
 *
 * `time` is when the answer was handed to the socket. `client`, `protocol`, `method`, `target` and
 * `route` are null where they are not known. A target that was cut is followed by `target_bytes`,
 * its whole length; a method that was cut ends in U+2026. What is no printable ASCII stands as
 * \u0000 to \u00ff, one for each byte, whatever it meant: so a line is ASCII, valid JSON, and the
 * bytes can be had back. */
typedef struct fb_access_line fb_access_line_t;

/* What a line takes at most, with what is written beyond its end on the way. */
#define FB_ACCESS_LINE_BYTES_MAX                                                                   \
    (6 * (FB_ACCESS_TARGET_BYTES_MAX + FB_ACCESS_ID_BYTES_MAX + FB_ACCESS_METHOD_BYTES_MAX) + 1024)
#define FB_ACCESS_ROUTE_BYTES_MAX 96

/* `routes` are the paths of the routes from 1 on, ended by NULL; each has at most
 * FB_ACCESS_ROUTE_BYTES_MAX bytes, none of which JSON would escape. They are copied. */
fb_access_line_t *fb_access_line_create(const char *const *routes);
void fb_access_line_destroy(fb_access_line_t **line);

/* Wall clock minus monotonic clock, from now on. */
void fb_access_line_set_offset(fb_access_line_t *line, int64_t offset_ns);
/* Writes the line of a record, and its newline; there is room for FB_ACCESS_LINE_BYTES_MAX. Returns
 * its end. */
char *fb_access_line_put(fb_access_line_t *line, const fb_access_record_t *record, char *to);
/* Likewise {"time":...,"dropped":N}, of the monotonic time. */
char *fb_access_line_put_dropped(fb_access_line_t *line, uint64_t now_ns, uint64_t dropped,
                                 char *to);
