/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* The names of a fleet's keys, as ARCHITECTURE.md lists them; commit.lua builds the same ones.
 * All keys of a fleet share the hash tag {f}, and so one slot of a Redis Cluster.
 *
 *     fb:{f}:head            fb:{f}:ROW:ID          one row (a hash)
 *     fb:{f}:log             fb:{f}:ROWs            the ids that a load brings (a bitmap):
 *                                                   base/set_name.h
 *     fb:{f}:invalidate      fb:{f}:PLANE:DATE      one day of a plane (a bitmap)
 *                            fb:{f}:HISTORY:ID      what became of one row (a stream)
 *                            fb:{f}:QUEUE           ids that wait for a consumer (a stream)
 *                            fb:{f}:LEASE           who may do what one alone should (a string)
 *                            fb:{f}:NOTES           what belongs to no revision (a hash)
 */
#define FB_FLEET_NAME_BYTES_MAX 64
#define FB_KEY_NAME_BYTES_MAX   32 /* ROW, PLANE, HISTORY: [a-z][a-z0-9_-]* */

typedef struct {
    char prefix[FB_FLEET_NAME_BYTES_MAX + 8]; /* "fb:{f}:" */
} fb_keys_t;

/* FB_CONFIG where `fleet` is not [A-Za-z0-9_-]{1,64}. */
fb_code_t fb_keys_init(fb_keys_t *keys, const char *fleet, fb_error_t *error);
bool fb_keys_is_name(const char *name);

/* Each of these appends one key to `buffer`. */
void fb_keys_put(const fb_keys_t *keys, fb_buffer_t *buffer, const char *name);
/* Of a history, too. */
void fb_keys_put_row(const fb_keys_t *keys, fb_buffer_t *buffer, const char *row_name, uint32_t id);
void fb_keys_put_set(const fb_keys_t *keys, fb_buffer_t *buffer, const char *row_name);
void fb_keys_put_day(const fb_keys_t *keys, fb_buffer_t *buffer, const char *plane,
                     fb_slice_t date);
