/* SPDX-License-Identifier: MIT */
#pragma once

#include <hiredis.h>

#include "persistence/redis_url.h"

/* A blocking connection to Redis that is made when it is needed, and again after it was lost.
 *
 *     fb_redis_link_open      before each exchange: connects, AUTH, SELECT, where that is to do
 *     fb_redis_link_append    gathers commands
 *     fb_redis_link_flush     sends them
 *     fb_redis_link_reply     one reply for each command, in their order
 *
 * A failure closes the link: what was under way is lost, and the next open begins anew. Each wait
 * (for the connection, for the next bytes, for room to send) is at most the timeout.
 * Belongs to one thread. */
typedef struct fb_redis_link fb_redis_link_t;

fb_redis_link_t *fb_redis_link_create(const fb_redis_url_t *url, unsigned timeout_ms);
void fb_redis_link_destroy(fb_redis_link_t **link);
/* The URL, as fb_redis_url_format_safe shows it. */
const char *fb_redis_link_name(const fb_redis_link_t *link);

/* `*fresh` says whether it is a new connection. FB_UNAVAILABLE. */
fb_code_t fb_redis_link_open(fb_redis_link_t *link, bool *fresh, fb_error_t *error);
void fb_redis_link_close(fb_redis_link_t *link);

void fb_redis_link_append(fb_redis_link_t *link, const fb_slice_t *words, size_t count);
/* After FB_UNAVAILABLE Redis has not got the last of the commands whole, and so will not run it. */
fb_code_t fb_redis_link_flush(fb_redis_link_t *link, fb_error_t *error);
/* `*reply` is the caller's (freeReplyObject) and may be an error of Redis. FB_UNAVAILABLE. */
fb_code_t fb_redis_link_reply(fb_redis_link_t *link, redisReply **reply, fb_error_t *error);
/* Waits for the first bytes of a reply, for one who has something else to do meanwhile: calls
 * `on_waiting` at once, and again each time that the nanoseconds which it returns have passed.
 * FB_UNAVAILABLE. */
fb_code_t fb_redis_link_attend(fb_redis_link_t *link, uint64_t (*on_waiting)(void *context),
                               void *context, fb_error_t *error);
/* Append, flush, reply of one command; an error of Redis fails as fb_redis_link_refused. */
fb_code_t fb_redis_link_call(fb_redis_link_t *link, const fb_slice_t *words, size_t count,
                             redisReply **reply, fb_error_t *error);
/* Fails with the text of an error of Redis: FB_UNAVAILABLE, and the link closes, where Redis is not
 * able or not willing now (LOADING, READONLY, OOM, NOPERM, ...); FB_CONFIG where it is no Redis 7,
 * or keys are not as fleetbit keeps them; FB_INTERNAL for all else. */
fb_code_t fb_redis_link_refused(fb_redis_link_t *link, fb_slice_t text, fb_error_t *error);

/* For what Redis sends unasked (pub/sub): the next of it, or NULL where none came within
 * `timeout_ms`, or something can be read at `wake_fd`. FB_UNAVAILABLE. */
fb_code_t fb_redis_link_await(fb_redis_link_t *link, int wake_fd, int timeout_ms,
                              redisReply **reply, fb_error_t *error);

/* The parser of the replies, for one that takes them over (redisReplyObjectFunctions). */
redisReader *fb_redis_link_reader(fb_redis_link_t *link);
/* As fb_redis_link_reply, for such a parser: what it made of a reply, not owned. */
fb_code_t fb_redis_link_receive(fb_redis_link_t *link, void **reply, fb_error_t *error);
