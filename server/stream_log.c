/* SPDX-License-Identifier: MIT */
/* Streams that begin further back than the journal read the log, a page at a time, through the
 * reader threads, which decode it too. Whoever needs the same entries shares the page: after a
 * restart all clients come back with nearly the same token. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "server/stream_internal.h"

/* --- on a reader's thread ---------------------------------------------------------------- */

static fb_code_t on_entry(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    fb_stream_page_t *page = context;
    if (page->bytes >= FB_STREAM_PAGE_BYTES || page->count == FB_STREAM_PAGE_ENTRIES)
        return FB_QUEUE_FULL; /* so far: the rest is for another page */
    fb_change_t *change = &page->entries[page->count].change;
    *change = (fb_change_t){0};
    fb_code_t code = fb_change_decode(change, entry->payload, error);
    if (code != FB_OK) {
        fb_change_dispose(change);
        return code;
    }
    page->entries[page->count++].revision = entry->revision;
    page->bytes += entry->payload.len;
    return FB_OK;
}

static void run(fb_read_job_t *job, fb_store_t *store)
{
    fb_stream_page_t *page = H2O_STRUCT_FROM_MEMBER(fb_stream_page_t, job, job);
    fb_error_t error = {0};
    size_t taken;
    page->code = store->vtable->read(store, page->after, page->wanted, on_entry, page, &taken,
                                     &page->head, &error);
    if (page->code == FB_QUEUE_FULL)
        page->code = FB_OK;
    page->until = page->after + page->count;
}

/* --- on the loop ------------------------------------------------------------------------- */

static void destroy(fb_stream_page_t *page)
{
    fb_assert(h2o_linklist_is_empty(&page->waiting));
    for (size_t i = 0; i < page->count; i++)
        fb_change_dispose(&page->entries[i].change);
    free(page);
}

static void drop(fb_streams_t *streams, unsigned place)
{
    if (streams->pages[place] == NULL || !streams->pages[place]->is_read)
        return;
    destroy(streams->pages[place]);
    streams->pages[place] = NULL;
}

void fb_streams_drop_pages(fb_streams_t *streams)
{
    for (unsigned i = 0; i < FB_STREAM_PAGES; i++)
        drop(streams, i);
}

static fb_stream_client_t *take_first(h2o_linklist_t *list)
{
    fb_stream_client_t *client = fb_stream_client_at(list->next);
    fb_stream_unlink(client);
    return client;
}

void fb_streams_try_again(fb_streams_t *streams, size_t most)
{
    for (; most > 0 && !h2o_linklist_is_empty(&streams->wants_page); most--)
        fb_stream_settle(take_first(&streams->wants_page));
}

/* An entry may be a change of one row, or of a thousand: what is asked for and does not fit, Redis
 * has read in vain. */
static size_t entries_that_fit(const fb_stream_page_t *page)
{
    size_t fit = FB_STREAM_PAGE_BYTES / (page->bytes / page->count + 1) + 1;
    return fit < FB_STREAM_PAGE_ENTRIES ? fit : FB_STREAM_PAGE_ENTRIES;
}

static void on_done(fb_read_job_t *job, fb_code_t code)
{
    fb_stream_page_t *page = H2O_STRUCT_FROM_MEMBER(fb_stream_page_t, job, job);
    fb_streams_t *streams = page->loop->streams;
    bool is_ours = code == FB_OK && strcmp(page->head.epoch, streams->epoch) == 0;
    /* Also where an entry cannot be read at all. */
    bool is_trimmed = is_ours && (page->code == FB_TRIMMED || page->code == FB_DIVERGED);
    bool is_good = is_ours && page->code == FB_OK && page->count > 0;
    page->is_read = true;
    streams->reads--;
    if (page->count > 0)
        streams->wanted = entries_that_fit(page);
    while (!h2o_linklist_is_empty(&page->waiting)) {
        fb_stream_client_t *client = take_first(&page->waiting);
        if (is_trimmed)
            fb_stream_must_resync(client, client->has_arrived ? "behind" : "trimmed");
        if (is_good || client->resync != NULL)
            fb_stream_settle(client);
        else /* Redis is away, or its log is not ours: the writer finds that out */
            fb_stream_link(client, &streams->wants_page, FB_STREAM_WAITS);
    }
    for (unsigned i = 0; i < FB_STREAM_PAGES && !is_good; i++) {
        if (streams->pages[i] == page)
            drop(streams, i);
    }
    if (is_good)
        fb_streams_try_again(streams, FB_STREAM_WOKEN_A_PAGE);
}

/* The place for another one; -1: all are being read. */
static int find_place(const fb_streams_t *streams)
{
    int found = -1;
    for (int i = 0; i < FB_STREAM_PAGES; i++) {
        const fb_stream_page_t *page = streams->pages[i];
        if (page == NULL)
            return i;
        if (page->is_read && (found < 0 || page->used < streams->pages[found]->used))
            found = i;
    }
    return found;
}

static fb_stream_page_t *begin(fb_streams_t *streams, uint64_t after)
{
    fb_error_t error = {0};
    int place = find_place(streams);
    if (place < 0 || streams->reads == FB_STREAM_READS_MAX)
        return NULL;
    fb_stream_page_t *page = fb_alloc(sizeof(*page));
    page->loop = streams->loop;
    page->after = page->until = after;
    page->used = ++streams->uses;
    page->wanted = streams->wanted;
    page->is_read = false;
    page->count = page->bytes = 0;
    page->head = (fb_position_t){0};
    page->job.receiver = &streams->loop->reads;
    page->job.run = run;
    page->job.on_done = on_done;
    h2o_linklist_init_anchor(&page->waiting);
    if (fb_readers_submit(streams->loop->server->readers, &page->job, &error) != FB_OK) {
        destroy(page);
        return NULL;
    }
    streams->reads++;
    drop(streams, (unsigned)place);
    streams->pages[place] = page;
    return page;
}

fb_stream_page_t *fb_stream_page(fb_streams_t *streams, fb_stream_client_t *client)
{
    fb_event_mark_t mark = client->mark;
    bool is_whole = mark.place == FB_EVENT_PLACE_END; /* as always at revision 0 */
    uint64_t after = is_whole ? mark.revision : mark.revision - 1;
    fb_stream_page_t *found = NULL;
    if (!client->catches_up)
        fb_count(&streams->loop->metrics.stream_catch_ups, 1);
    client->catches_up = true;
    for (unsigned i = 0; i < FB_STREAM_PAGES; i++) {
        fb_stream_page_t *page = streams->pages[i];
        if (page == NULL)
            continue;
        if (page->is_read && page->after <= after && after < page->until) {
            page->used = ++streams->uses;
            return page;
        }
        if (!page->is_read && page->after == after)
            found = page;
    }
    if (found == NULL)
        found = begin(streams, after);
    fb_stream_link(client, found != NULL ? &found->waiting : &streams->wants_page, FB_STREAM_WAITS);
    return NULL;
}
