/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "server/reply.h"

/* Server-sent events (HTML, section 9.2): every change of every family with a topic, from the
 * journal of the snapshot (resources/events.h), or from the log where a client resumes further
 * back. All of it belongs to the loop.
 *
 *     arrives ──► ahead, of a revision or an epoch that is not known here yet ──► behind, or resync
 *
 *     idle ──(events of its topics)──► behind ──(a chunk)──► is sent it ──► idle, or behind
 *                                       │  ▲
 *                (not in the journal)   ▼  │   (a page of the log is there)
 *                                       waits
 *
 * What is sent is encoded once: events are texts already, a chunk is a run of them for one set of
 * topics, and all clients that stand at the same place share it. Of a client there is nothing but
 * its mark and the one chunk that it is being sent. */

/* Answers a view with FB_SOURCE_EVENTS: begins a stream, or refuses it. */
void fb_stream_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query);

/* Where the loop has streams (`loop->streams`): is there anything to do for them after this turn?
 */
bool fb_streams_have_work(const fb_loop_t *loop, bool is_new_snapshot, uint64_t now_ms);
/* Then, in a callback of the library: sends what there is to send, a bounded part of it.
 * `compared_ms` is the writer's, read before the snapshot was taken. */
void fb_streams_turn(fb_loop_t *loop, bool is_new_snapshot, uint64_t compared_ms);
/* How long the next turn may wait, at most `most_ms`. */
int32_t fb_streams_wait_ms(const fb_loop_t *loop, int32_t most_ms);
/* The loop ends, and has no stream any more. */
void fb_streams_destroy(fb_loop_t *loop);
