/* SPDX-License-Identifier: MIT */
#include "base/assert.h"
#include "server/stream_internal.h"

/* What a chunk is made of, while it is made. */
typedef struct {
    fb_streams_t *streams;
    uint32_t families;
    fb_event_mark_t from, first, to;
    uint32_t events, dropped;
    bool has_first, is_full;
} making_t;

/* --- chunks ------------------------------------------------------------------------------ */

static fb_stream_chunk_t *create(fb_slice_t before, fb_slice_t text)
{
    fb_stream_chunk_t *chunk =
        h2o_mem_alloc_shared(NULL, sizeof(*chunk) + before.len + text.len, NULL);
    *chunk = (fb_stream_chunk_t){.len = before.len + text.len};
    if (before.len > 0)
        memcpy(chunk->bytes, before.at, before.len);
    if (text.len > 0)
        memcpy(chunk->bytes + before.len, text.at, text.len);
    return chunk;
}

fb_stream_chunk_t *fb_stream_chunk(fb_slice_t text, fb_event_mark_t mark)
{
    fb_stream_chunk_t *chunk = create((fb_slice_t){NULL, 0}, text);
    chunk->from = chunk->first = chunk->to = mark;
    return chunk;
}

void fb_stream_put_resync(const fb_position_t *position, const char *reason, fb_buffer_t *text)
{
    fb_event_mark_t mark = {position->revision, FB_EVENT_PLACE_END};
    fb_buffer_printf(text, "event: resync\ndata: {\"reason\":\"%s\"}\nid: ", reason);
    fb_event_token_put(position->epoch, mark, text);
    fb_buffer_put_literal(text, "\n\n");
}

static fb_stream_chunk_t *finish(const making_t *making)
{
    fb_buffer_t before = {0};
    if (making->dropped > 0)
        fb_buffer_printf(&before, "event: conflated\ndata: {\"dropped\":%u}\n\n", making->dropped);
    fb_stream_chunk_t *chunk =
        create(fb_buffer_slice(&before), fb_buffer_slice(&making->streams->text));
    fb_buffer_dispose(&before);
    chunk->from = making->from;
    chunk->first = making->has_first ? making->first : making->to;
    chunk->to = making->to;
    chunk->events = making->events;
    chunk->dropped = making->dropped;
    return chunk;
}

/* Is it one of the topics? Then it may be the first one. */
static bool is_wanted(making_t *making, unsigned family, uint64_t revision, uint32_t place)
{
    if ((making->families >> family & 1) == 0)
        return false;
    if (!making->has_first)
        making->first = (fb_event_mark_t){revision, place};
    making->has_first = true;
    return true;
}

/* --- from the journal -------------------------------------------------------------------- */

/* Returns the number of the first event that is not in it. */
static uint64_t put_events(making_t *making, const fb_snapshot_t *snapshot, bool conflates)
{
    const fb_events_t *events = &snapshot->events;
    fb_buffer_t *text = &making->streams->text;
    uint64_t number = fb_events_after(events, making->from);
    uint64_t end =
        events->end - number > FB_STREAM_SCAN_MAX ? number + FB_STREAM_SCAN_MAX : events->end;
    const uint64_t begun = number;
    text->len = 0;
    for (; number < end; number++) {
        const fb_event_t *event = fb_events_get(events, number);
        if (is_wanted(making, event->family, event->revision, event->place)) {
            if (conflates && !fb_event_is_newest(snapshot, event)) {
                making->dropped++;
            } else if (text->len > 0 && text->len + event->len > FB_STREAM_SEND_BYTES_MAX) {
                making->is_full = true;
                break;
            } else {
                fb_buffer_put(text, event->text, event->len);
                making->events++;
            }
        }
        making->to = fb_event_mark(event);
    }
    making->streams->scans += (unsigned)(number - begun);
    if (number == events->end)
        making->to = (fb_event_mark_t){snapshot->position.revision, FB_EVENT_PLACE_END};
    return number;
}

/* Has the journal more than FB_STREAM_LAG_BYTES_MAX for these topics, `bytes` before that number
 * included? */
static bool lags(fb_streams_t *streams, uint32_t families, uint64_t number, size_t bytes)
{
    const fb_events_t *events = &streams->loop->snapshot->events;
    unsigned left = FB_STREAM_SCAN_MAX;
    for (; number < events->end && left > 0; number++, left--, streams->scans++) {
        const fb_event_t *event = fb_events_get(events, number);
        bytes += (families >> event->family & 1) != 0 ? event->len : 0;
        if (bytes > FB_STREAM_LAG_BYTES_MAX)
            return true;
    }
    return false;
}

static fb_stream_chunk_t *from_journal(fb_streams_t *streams, const fb_stream_client_t *client)
{
    const fb_snapshot_t *snapshot = streams->loop->snapshot;
    const making_t begun = {.streams = streams,
                            .families = client->topics->families,
                            .from = client->mark,
                            .to = client->mark};
    making_t making = begun;
    uint64_t number = put_events(&making, snapshot, false);
    if (making.is_full && client->mark.revision >= client->exact_to &&
        lags(streams, making.families, number, streams->text.len)) {
        making = begun;
        put_events(&making, snapshot, true);
    }
    return finish(&making);
}

/* --- from the log ------------------------------------------------------------------------ */

static bool is_event(const fb_op_t *op)
{
    bool is_of_row = op->kind == FB_OP_PUT || op->kind == FB_OP_DELETE;
    return is_of_row && fb_registry_resource(op->subject)->topic != NULL;
}

static uint32_t count_events(const fb_change_t *change)
{
    uint32_t count = 0;
    for (size_t i = 0; i < change->count; i++)
        count += is_event(&change->ops[i]) ? 1 : 0;
    return count;
}

static void put_op(making_t *making, fb_build_t *build, const fb_op_t *op, uint64_t revision,
                   uint32_t place, bool is_last)
{
    const fb_snapshot_t *snapshot = making->streams->loop->snapshot;
    const fb_resource_t *resource = fb_registry_resource(op->subject);
    const char *epoch = fb_event_epoch(&snapshot->position, revision);
    fb_buffer_t *text = &making->streams->text;
    const fb_row_t *row = NULL;
    size_t start = text->len;
    making->streams->scans += FB_STREAM_RENDER_SCANS;
    if (op->kind == FB_OP_PUT)
        row = fb_row_create(build, fb_resource_id_name(resource), resource->fields,
                            resource->field_count, resource->computed_at, op->id, op->values,
                            snapshot->serial);
    fb_event_put_row(snapshot, op->subject, op->id, row, epoch, revision, place, text);
    if (is_last)
        text->len = start + fb_event_end_revision(text->at + start, text->len - start);
    making->is_full = start > 0 && text->len > FB_STREAM_SEND_BYTES_MAX;
    if (making->is_full)
        text->len = start;
    else
        making->events++;
}

static void put_change(making_t *making, fb_build_t *build, uint64_t revision,
                       const fb_change_t *change)
{
    uint32_t place = 0, count = count_events(change);
    for (size_t i = 0; i < change->count && !making->is_full; i++) {
        const fb_op_t *op = &change->ops[i];
        if (!is_event(op))
            continue;
        fb_event_mark_t mark = {revision, ++place};
        if (!fb_event_mark_is_before(making->from, mark))
            continue;
        if (is_wanted(making, op->subject, revision, place))
            put_op(making, build, op, revision, place, place == count);
        if (!making->is_full)
            making->to = mark;
    }
    if (!making->is_full)
        making->to = (fb_event_mark_t){revision, FB_EVENT_PLACE_END};
}

static fb_stream_chunk_t *from_page(fb_streams_t *streams, const fb_stream_client_t *client,
                                    const fb_stream_page_t *page)
{
    fb_event_mark_t mark = client->mark;
    making_t making = {
        .streams = streams, .families = client->topics->families, .from = mark, .to = mark};
    fb_build_t *build = fb_build_create();
    streams->text.len = 0;
    for (size_t i = 0; i < page->count && !making.is_full; i++) {
        uint64_t revision = page->entries[i].revision;
        fb_event_mark_t end = {revision, FB_EVENT_PLACE_END};
        /* What the snapshot does not show yet comes with the journal. */
        if (revision > streams->reached.revision)
            break;
        if (fb_event_mark_is_before(mark, end))
            put_change(&making, build, revision, &page->entries[i].change);
    }
    fb_build_abort(&build);
    return finish(&making);
}

/* --- what comes next --------------------------------------------------------------------- */

static bool fits(const fb_stream_chunk_t *chunk, const fb_stream_client_t *client)
{
    return !fb_event_mark_is_before(client->mark, chunk->from) &&
           fb_event_mark_is_before(client->mark, chunk->first) &&
           (chunk->dropped == 0 || client->mark.revision >= client->exact_to);
}

static fb_stream_chunk_t *find_shared(const fb_stream_client_t *client)
{
    const fb_stream_topics_t *topics = client->topics;
    for (unsigned i = 0; i < FB_STREAM_SHARED; i++) {
        if (topics->shared[i] != NULL && fits(topics->shared[i], client))
            return topics->shared[i];
    }
    return NULL;
}

static void share(fb_streams_t *streams, fb_stream_topics_t *topics, fb_stream_chunk_t *chunk)
{
    fb_stream_chunk_t **at = &topics->shared[topics->shared_at++ % FB_STREAM_SHARED];
    if (*at != NULL)
        h2o_mem_release_shared(*at);
    *at = chunk;
    streams->shares = true;
}

fb_stream_chunk_t *fb_stream_next(fb_streams_t *streams, fb_stream_client_t *client)
{
    bool is_here = fb_events_reach(&streams->loop->snapshot->events, client->mark);
    if (is_here && client->catches_up) {
        client->exact_to = streams->reached.revision;
        client->catches_up = false;
    }
    fb_stream_chunk_t *chunk = find_shared(client);
    if (chunk == NULL && is_here) {
        chunk = from_journal(streams, client);
        share(streams, client->topics, chunk);
    } else if (chunk == NULL) {
        const fb_stream_page_t *page = fb_stream_page(streams, client);
        if (page == NULL)
            return NULL;
        chunk = from_page(streams, client, page);
        share(streams, client->topics, chunk);
    }
    fb_assert(chunk->len > 0 || fb_event_mark_is_before(client->mark, chunk->to));
    h2o_mem_addref_shared(chunk);
    return chunk;
}

void fb_streams_drop_shared(fb_streams_t *streams)
{
    if (!streams->shares)
        return;
    for (fb_stream_topics_t *topics = streams->topics; topics != NULL; topics = topics->next) {
        for (unsigned i = 0; i < FB_STREAM_SHARED; i++) {
            if (topics->shared[i] != NULL)
                h2o_mem_release_shared(topics->shared[i]);
            topics->shared[i] = NULL;
        }
    }
    streams->shares = false;
}
