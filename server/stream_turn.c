/* SPDX-License-Identifier: MIT */
/* What the streams of a loop do between two of its turns. Whatever there is to do, it is at most
 * FB_STREAM_SENDS_A_TURN sends, so that reads of others come in between. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "server/stream_internal.h"

#define SECOND_MS     1000
#define ENDING_TURNS  100 /* for what was read to come back */
#define AHEAD_WAIT_MS 10  /* how often those that are ahead are looked at */

/* --- a new snapshot ---------------------------------------------------------------------- */

/* Which families have events behind the mark; all where the journal does not say. */
static uint32_t changed_families(const fb_events_t *events, fb_event_mark_t mark)
{
    uint32_t families = 0;
    if (!fb_events_reach(events, mark))
        return UINT32_MAX;
    for (uint64_t number = fb_events_after(events, mark); number < events->end; number++)
        families |= UINT32_C(1) << fb_events_get(events, number)->family;
    return families;
}

static void wake(fb_streams_t *streams, fb_stream_topics_t *topics, fb_event_mark_t before)
{
    h2o_linklist_t woken;
    h2o_linklist_init_anchor(&woken);
    h2o_linklist_insert_list(&woken, &topics->idle); /* some may go back at once */
    topics->newest = streams->reached;
    while (!h2o_linklist_is_empty(&woken)) {
        fb_stream_client_t *client = fb_stream_client_at(woken.next);
        fb_stream_unlink(client);
        client->mark = before;
        client->exact_to = streams->reached.revision;
        fb_stream_settle(client);
    }
}

/* The epoch is another one: what a client has had must be part of the history still. */
static void check_history(fb_stream_client_t *client)
{
    const fb_streams_t *streams = client->loop->streams;
    const fb_position_t *position = &client->loop->snapshot->position;
    if (client->place == FB_STREAM_AHEAD || client->resync != NULL || client->is_over ||
        fb_position_includes(position, streams->epoch, client->mark.revision))
        return;
    fb_stream_must_resync(client, "other-epoch");
    fb_stream_unlink(client);
    fb_stream_settle(client);
}

static bool has_looked(const fb_streams_t *streams)
{
    const fb_position_t *position = &streams->loop->snapshot->position;
    return streams->reached.revision == position->revision &&
           strcmp(streams->epoch, position->epoch) == 0;
}

void fb_streams_look(fb_streams_t *streams)
{
    const fb_snapshot_t *snapshot = streams->loop->snapshot;
    fb_event_mark_t before = streams->reached;
    if (has_looked(streams))
        return;
    bool is_other_epoch = strcmp(streams->epoch, snapshot->position.epoch) != 0;
    uint32_t families = is_other_epoch ? UINT32_MAX : changed_families(&snapshot->events, before);
    streams->reached = (fb_event_mark_t){snapshot->position.revision, FB_EVENT_PLACE_END};
    for (fb_stream_topics_t *topics = streams->topics; topics != NULL; topics = topics->next) {
        if ((topics->families & families) != 0)
            wake(streams, topics, before);
    }
    if (!is_other_epoch)
        return;
    fb_streams_drop_pages(streams);
    fb_streams_drop_shared(streams);
    fb_streams_each(streams, check_history);
    memcpy(streams->epoch, snapshot->position.epoch, sizeof(streams->epoch));
}

/* --- those that are behind --------------------------------------------------------------- */

static fb_stream_chunk_t *resync(fb_streams_t *streams, fb_stream_client_t *client)
{
    const fb_snapshot_t *snapshot = streams->loop->snapshot;
    streams->text.len = 0;
    fb_stream_put_resync(&snapshot->position, client->resync, &streams->text);
    client->mark = streams->reached;
    client->exact_to = streams->reached.revision;
    client->resync = NULL;
    client->catches_up = false;
    fb_count(&streams->loop->metrics.stream_resyncs, 1);
    return fb_stream_chunk(fb_buffer_slice(&streams->text), client->mark);
}

/* Returns how many bytes it got. */
static size_t serve(fb_streams_t *streams, fb_stream_client_t *client)
{
    fb_stream_chunk_t *chunk = NULL;
    if (!streams->loop->leaving) {
        chunk = client->resync != NULL ? resync(streams, client) : fb_stream_next(streams, client);
        if (chunk == NULL)
            return 0; /* it waits for the log */
        client->mark = chunk->to;
        if (chunk->len == 0) {
            h2o_mem_release_shared(chunk);
            fb_stream_settle(client);
            return 0;
        }
    }
    size_t bytes = chunk != NULL ? chunk->len : 0;
    fb_stream_send(client, chunk);
    return bytes;
}

static void serve_some(fb_streams_t *streams, unsigned *sends)
{
    size_t bytes = 0;
    streams->scans = 0;
    while (*sends > 0 && bytes < FB_STREAM_BYTES_A_TURN &&
           streams->scans < FB_STREAM_SCANS_A_TURN && !h2o_linklist_is_empty(&streams->behind)) {
        fb_stream_client_t *client = fb_stream_client_at(streams->behind.next);
        fb_stream_unlink(client);
        bytes += serve(streams, client);
        --*sends;
    }
    if (h2o_linklist_is_empty(&streams->behind))
        fb_streams_drop_shared(streams);
}

/* --- those that are ahead ---------------------------------------------------------------- */

static void nudge(fb_streams_t *streams, uint64_t compared_ms, uint64_t now_ms)
{
    bool is_due = compared_ms <= streams->newest_ms && streams->nudged_ms <= streams->newest_ms;
    if (!is_due || now_ms <= streams->newest_ms)
        return;
    streams->nudged_ms = now_ms;
    fb_writer_nudge(streams->loop->server->writer);
}

static void judge_ahead(fb_streams_t *streams, bool must_judge, uint64_t compared_ms,
                        uint64_t now_ms)
{
    h2o_linklist_t *next;
    if (h2o_linklist_is_empty(&streams->ahead))
        return;
    for (h2o_linklist_t *at = streams->ahead.next; at != &streams->ahead; at = next) {
        fb_stream_client_t *client = fb_stream_client_at(at);
        next = at->next;
        if (!fb_stream_is_ahead(client, compared_ms, now_ms)) {
            fb_stream_unlink(client);
            fb_stream_settle(client);
        } else if (!must_judge) {
            break; /* they are in the order of their arrival: the others are not late either */
        }
    }
    nudge(streams, compared_ms, now_ms);
}

/* --- heartbeats -------------------------------------------------------------------------- */

static void beat(fb_stream_client_t *client, fb_stream_chunk_t *idle, fb_stream_chunk_t *other)
{
    bool is_idle = client->place == FB_STREAM_IDLE;
    if (client->chunk != NULL || client->is_over || client->place == FB_STREAM_BEHIND)
        return; /* it is being sent something, or will be soon */
    if (is_idle) {
        fb_stream_unlink(client);
        client->mark = client->loop->streams->reached;
    }
    fb_stream_chunk_t *chunk = is_idle ? idle : other;
    h2o_mem_addref_shared(chunk);
    fb_stream_send(client, chunk);
}

/* A comment, and for those that have all there is where they stand: whose topics are quiet must
 * not fall off the log. */
static void beat_some(fb_streams_t *streams, unsigned *sends)
{
    if (h2o_linklist_is_empty(&streams->beating))
        return;
    fb_buffer_t *text = &streams->text;
    text->len = 0;
    fb_buffer_put_literal(text, ":\n\n");
    fb_stream_chunk_t *other = fb_stream_chunk(fb_buffer_slice(text), streams->reached);
    text->len = 0;
    fb_buffer_put_literal(text, ":\nid: ");
    fb_event_token_put(streams->epoch, streams->reached, text);
    fb_buffer_put_literal(text, "\n\n");
    fb_stream_chunk_t *idle = fb_stream_chunk(fb_buffer_slice(text), streams->reached);
    for (; *sends > 0 && !h2o_linklist_is_empty(&streams->beating); --*sends) {
        h2o_linklist_t *at = streams->beating.next;
        h2o_linklist_unlink(at);
        h2o_linklist_insert(&streams->ring[streams->ring_at], at);
        beat(H2O_STRUCT_FROM_MEMBER(fb_stream_client_t, beat, at), idle, other);
    }
    h2o_mem_release_shared(idle);
    h2o_mem_release_shared(other);
}

static void each_second(fb_streams_t *streams, uint64_t now_ms)
{
    if (now_ms < streams->beat_ms)
        return;
    streams->beat_ms += SECOND_MS;
    if (streams->beat_ms <= now_ms) /* it was idle, or held up */
        streams->beat_ms = now_ms + SECOND_MS;
    streams->ring_at = (streams->ring_at + 1) % FB_STREAM_HEARTBEAT_S;
    h2o_linklist_insert_list(&streams->beating, &streams->ring[streams->ring_at]);
    fb_streams_try_again(streams, SIZE_MAX);
}

/* --- the end ----------------------------------------------------------------------------- */

static void end_client(fb_stream_client_t *client)
{
    if (client->place == FB_STREAM_BEHIND)
        return;
    fb_stream_unlink(client);
    fb_stream_settle(client);
}

/* Who does not take its last bytes holds up the end of the instance. */
static void shut_client(fb_stream_client_t *client)
{
    if (client->req->version < 0x200 && (client->chunk != NULL || client->is_over))
        fb_conn_shut(fb_conn_of(client->req));
}

static void leave(fb_streams_t *streams, uint64_t now_ms)
{
    if (streams->left_ms == 0) {
        streams->left_ms = now_ms;
        fb_streams_each(streams, end_client);
    } else if (now_ms - streams->left_ms >= FB_STREAM_SHUT_MS) {
        streams->left_ms = now_ms;
        fb_streams_each(streams, shut_client);
    }
}

/* --- for the loop ------------------------------------------------------------------------ */

void fb_streams_turn(fb_loop_t *loop, bool is_new_snapshot, uint64_t compared_ms)
{
    fb_streams_t *streams = loop->streams;
    unsigned sends = FB_STREAM_SENDS_A_TURN;
    uint64_t now_ms = fb_clock_monotonic_ms();
    bool must_judge = is_new_snapshot || compared_ms != streams->compared_ms;
    if (streams->count == 0)
        return;
    if (is_new_snapshot)
        fb_streams_look(streams);
    if (loop->leaving)
        leave(streams, now_ms);
    else
        judge_ahead(streams, must_judge, compared_ms, now_ms);
    streams->compared_ms = compared_ms;
    serve_some(streams, &sends);
    each_second(streams, now_ms);
    beat_some(streams, &sends);
}

static bool is_empty(const h2o_linklist_t *list)
{
    return list->next == list;
}

bool fb_streams_have_work(const fb_loop_t *loop, bool is_new_snapshot, uint64_t now_ms)
{
    const fb_streams_t *streams = loop->streams;
    return streams->count > 0 && (is_new_snapshot || loop->leaving || now_ms >= streams->beat_ms ||
                                  !is_empty(&streams->behind) || !is_empty(&streams->beating) ||
                                  !is_empty(&streams->ahead));
}

int32_t fb_streams_wait_ms(const fb_loop_t *loop, int32_t most_ms)
{
    const fb_streams_t *streams = loop->streams;
    if (!is_empty(&streams->behind) || !is_empty(&streams->beating))
        return 0;
    return !is_empty(&streams->ahead) && most_ms > AHEAD_WAIT_MS ? AHEAD_WAIT_MS : most_ms;
}

void fb_streams_destroy(fb_loop_t *loop)
{
    fb_streams_t *streams = loop->streams;
    for (int i = 0; i < ENDING_TURNS && streams->reads > 0; i++)
        h2o_evloop_run(loop->context.loop, 1);
    fb_assert(streams->count == 0 && streams->reads == 0);
    fb_streams_drop_pages(streams);
    fb_buffer_dispose(&streams->text);
    free(streams);
    loop->streams = NULL;
}
