/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "server/reply.h"

/* The history of a machine, out of Redis: a reader thread fetches it (server/readers.h), so the
 * loop goes on meanwhile. */

/* Answers a view with FB_SOURCE_HISTORY, now or later. */
void fb_history_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query);
