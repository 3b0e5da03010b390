/* SPDX-License-Identifier: MIT */
#pragma once

#include <h2o.h>

#include "resources/resource.h"

/* Bodies that are larger than limits.body_bytes, of the families that take such
 * (fb_resource_t.body_bytes).
 *
 * The library has one bound for all bodies, max_request_entity_size, which it looks at when a head,
 * or another piece of a body, has come: so it is set each time, for the request in question. Only
 * who declares the length of a body (Content-Length) may send a large one. Those that are being
 * received have together at most FB_BODIES_LARGE_MAX bytes, whoever sends them, and so have those
 * of the writes that wait: what is beyond is answered 503. */
#define FB_BODIES_LARGE_MAX ((size_t)64 << 20)

/* The most bytes that a body of the family may have (NULL: of none), where `usual` is
 * limits.body_bytes. */
size_t fb_bodies_max(const fb_resource_t *resource, size_t usual);
/* That of a request, by its path. */
size_t fb_bodies_max_at(const h2o_req_t *req, size_t usual);

/* The bound of this thread's loop is `config`'s; where this was never called, it is not touched. */
void fb_bodies_init(h2o_globalconf_t *config, size_t usual);
/* The bound of a request without a large body. */
size_t fb_bodies_usual(const h2o_globalconf_t *config);
/* The bound of a request that declares a length (SIZE_MAX: none), whose head has just been read.
 * Keeps room for a large one until the request is over. */
size_t fb_bodies_bound(h2o_req_t *req, size_t declared);
/* Is that all which the request whose body was just refused would have needed: room? */
bool fb_bodies_lacks_room(const h2o_req_t *req);

/* Keeps room for the body of a write that will wait: how much, to be given back by fb_bodies_leave;
 * FB_QUEUE_FULL where there is none. From any thread. */
fb_code_t fb_bodies_wait(size_t bytes, size_t usual, size_t *kept, fb_error_t *error);
void fb_bodies_leave(size_t kept);
