/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "server/reply.h"

/* Server-sent events (HTML, section 9.2): every change of every family with a topic, from the
 * journal of the snapshot (resources/events.h), or from the log where a client resumes further back.
 * All of it belongs to the loop. */

/* Answers a view with FB_SOURCE_EVENTS: begins a stream, or refuses it. */
void fb_stream_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query);
