/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "server/reply.h"

/* The history of a machine, out of Redis: a reader thread fetches it (server/readers.h), so the
 * loop goes on meanwhile.
 *
 *     answer ──► waiting ──► (reader: fetch) ──► answered
 *                   ├── its client leaves: nobody is answered
 *                   └── Redis does not answer within its timeout: FB_UNAVAILABLE
 *
 * Both leave the job to the reader, which gives it up at its next step. */

/* Answers a view with FB_SOURCE_HISTORY, now or later. */
void fb_history_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query);

/* The loop's turn: answers those who have waited for too long. */
void fb_history_turn(fb_loop_t *loop, uint64_t now_ms);
/* How long the loop may wait, at most `most_ms`. */
int32_t fb_history_wait_ms(const fb_loop_t *loop, int32_t most_ms);
