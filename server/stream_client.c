/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "server/stream_internal.h"

/* --- sets of topics ---------------------------------------------------------------------- */

fb_stream_topics_t *fb_stream_topics_get(fb_streams_t *streams, uint32_t families)
{
    fb_stream_topics_t *topics = streams->topics;
    while (topics != NULL && topics->families != families)
        topics = topics->next;
    if (topics == NULL) {
        topics = fb_alloc_zero(1, sizeof(*topics));
        topics->families = families;
        topics->newest = streams->reached;
        h2o_linklist_init_anchor(&topics->idle);
        topics->next = streams->topics;
        streams->topics = topics;
    }
    topics->clients++;
    return topics;
}

void fb_stream_topics_release(fb_streams_t *streams, fb_stream_topics_t *topics)
{
    fb_stream_topics_t **at = &streams->topics;
    if (--topics->clients > 0)
        return;
    while (*at != topics)
        at = &(*at)->next;
    *at = topics->next;
    for (unsigned i = 0; i < FB_STREAM_SHARED; i++) {
        if (topics->shared[i] != NULL)
            h2o_mem_release_shared(topics->shared[i]);
    }
    free(topics);
}

/* --- lists ------------------------------------------------------------------------------- */

fb_stream_client_t *fb_stream_client_at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(fb_stream_client_t, link, link);
}

void fb_stream_unlink(fb_stream_client_t *client)
{
    if (client->place != FB_STREAM_NOWHERE)
        h2o_linklist_unlink(&client->link);
    client->place = FB_STREAM_NOWHERE;
}

void fb_stream_link(fb_stream_client_t *client, h2o_linklist_t *list, fb_stream_place_t place)
{
    fb_assert(client->place == FB_STREAM_NOWHERE);
    h2o_linklist_insert(list, &client->link);
    client->place = (uint8_t)place;
}

void fb_stream_settle(fb_stream_client_t *client)
{
    fb_streams_t *streams = client->loop->streams;
    if (client->chunk != NULL || client->is_over)
        return; /* when that has gone */
    bool is_behind = fb_event_mark_is_before(client->mark, client->topics->newest);
    if (client->loop->leaving || client->resync != NULL || is_behind) {
        fb_stream_link(client, &streams->behind, FB_STREAM_BEHIND);
        return;
    }
    client->has_arrived = true;
    fb_stream_link(client, &client->topics->idle, FB_STREAM_IDLE);
}

static void visit_list(h2o_linklist_t *list, void (*visit)(fb_stream_client_t *client))
{
    h2o_linklist_t *next;
    for (h2o_linklist_t *at = list->next; at != list; at = next) {
        next = at->next;
        visit(H2O_STRUCT_FROM_MEMBER(fb_stream_client_t, beat, at));
    }
}

void fb_streams_each(fb_streams_t *streams, void (*visit)(fb_stream_client_t *client))
{
    for (unsigned i = 0; i < FB_STREAM_HEARTBEAT_S; i++)
        visit_list(&streams->ring[i], visit);
    visit_list(&streams->beating, visit);
}

/* --- sending ----------------------------------------------------------------------------- */

void fb_stream_send(fb_stream_client_t *client, fb_stream_chunk_t *chunk)
{
    fb_loop_t *loop = client->loop;
    if (chunk == NULL) {
        client->is_over = true;
        h2o_send(client->req, NULL, 0, H2O_SEND_STATE_FINAL);
        return;
    }
    fb_assert(client->chunk == NULL && chunk->len > 0);
    h2o_iovec_t body = {chunk->bytes, chunk->len};
    client->chunk = chunk;
    client->bytes += chunk->len;
    fb_count(&loop->metrics.stream_events, chunk->events);
    fb_count(&loop->metrics.stream_conflated, chunk->dropped);
    h2o_send(client->req, &body, 1, H2O_SEND_STATE_IN_PROGRESS);
}

/* --- ahead ------------------------------------------------------------------------------- */

void fb_stream_must_resync(fb_stream_client_t *client, const char *reason)
{
    client->resync = reason;
    client->mark = client->loop->streams->reached;
}

static bool is_known_epoch(const fb_position_t *position, const char *epoch)
{
    bool is_known = strcmp(position->epoch, epoch) == 0;
    for (unsigned i = 0; i < FB_FORMER_MAX && !is_known; i++)
        is_known = strcmp(position->former[i].epoch, epoch) == 0;
    return is_known;
}

bool fb_stream_is_ahead(fb_stream_client_t *client, uint64_t compared_ms, uint64_t now_ms)
{
    const fb_position_t *position = &client->loop->snapshot->position;
    const fb_event_token_t *token = client->token;
    uint64_t arrived_ms = client->begun_ns / 1000000;
    bool is_late = now_ms - arrived_ms >= client->loop->server->min_revision_wait_ms;
    if (fb_position_includes(position, token->epoch, token->mark.revision)) {
        bool is_shown = token->mark.revision <= position->revision;
        if (!is_shown && !is_late)
            return true;
        client->exact_to = position->revision;
        if (is_shown)
            client->mark = token->mark;
        else
            fb_stream_must_resync(client, "ahead");
    } else {
        /* Somebody may have begun a new epoch of which this instance does not know yet. */
        bool is_known = is_known_epoch(position, token->epoch) || compared_ms > arrived_ms;
        if (!is_known && !is_late)
            return true;
        fb_stream_must_resync(client, "other-epoch");
    }
    return false;
}
