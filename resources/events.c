/* SPDX-License-Identifier: MIT */
#include "resources/events.h"

#include "base/assert.h"
#include "resources/listing.h"
#include "resources/registry.h"

/* --- finding ----------------------------------------------------------------------------- */

bool fb_events_reach(const fb_events_t *events, fb_event_mark_t mark)
{
    /* Of the first revision that is not whole here, some of the last events may be missing too. */
    return mark.revision > events->from_revision ||
           (mark.revision == events->from_revision && mark.place == FB_EVENT_PLACE_END);
}

const fb_event_t *fb_events_get(const fb_events_t *events, uint64_t number)
{
    fb_assert(number >= events->first && number < events->end);
    return fb_table_get(&events->table, (uint32_t)(number % FB_EVENTS_MAX));
}

static bool is_behind(const fb_event_t *event, fb_event_mark_t mark)
{
    return fb_event_mark_is_before(mark, (fb_event_mark_t){event->revision, event->place});
}

uint64_t fb_events_after(const fb_events_t *events, fb_event_mark_t mark)
{
    uint64_t from = events->first, to = events->end;
    while (from < to) {
        uint64_t middle = from + (to - from) / 2;
        if (is_behind(fb_events_get(events, middle), mark))
            to = middle;
        else
            from = middle + 1;
    }
    return from;
}

fb_event_mark_t fb_event_mark(const fb_event_t *event)
{
    uint32_t place = event->is_last ? FB_EVENT_PLACE_END : event->place;
    return (fb_event_mark_t){event->revision, place};
}

static bool is_too_large(const fb_resource_t *resource, const fb_row_t *row)
{
    return fb_row_json_head(row, resource->field_count).len +
               fb_row_json_tail(row, resource->field_count).len >
           FB_EVENT_ROW_BYTES_MAX;
}

/* In the place of a row: what is to be said of it. */
static void put_remark(const fb_resource_t *resource, uint32_t id, const char *remark,
                       fb_buffer_t *text)
{
    fb_buffer_printf(text, "{\"%s\":%u,\"%s\":true}", fb_resource_id_name(resource), id, remark);
}

/* Is this what the event says? */
static bool says_too_large(const fb_event_t *event, fb_slice_t data)
{
    fb_buffer_t remark = {0};
    put_remark(fb_registry_resource(event->family), event->id, "too_large", &remark);
    bool it_does = fb_slice_equal(fb_buffer_slice(&remark), data);
    fb_buffer_dispose(&remark);
    return it_does;
}

/* Is this row in the event's text, or the remark that stands for it? */
static bool shows(const fb_event_t *event, const fb_row_t *row)
{
    const fb_resource_t *resource = fb_registry_resource(event->family);
    fb_slice_t head = fb_row_json_head(row, resource->field_count);
    fb_slice_t tail = fb_row_json_tail(row, resource->field_count);
    const char *data = event->text + strlen("event: ") + strlen(resource->topic) + 1;
    fb_assert(memcmp(data, "data: ", 6) == 0);
    data += 6;
    const char *end = rawmemchr(data, '\n');
    if (is_too_large(resource, row))
        return says_too_large(event, (fb_slice_t){data, (size_t)(end - data)});
    return head.len + tail.len <= (size_t)(end - data) && memcmp(data, head.at, head.len) == 0 &&
           memcmp(end - tail.len, tail.at, tail.len) == 0;
}

bool fb_event_is_newest(const fb_snapshot_t *snapshot, const fb_event_t *event)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, event->family, event->id);
    bool is_archived = row == NULL && fb_registry_resource(event->family)->archive != NULL;
    if (is_archived) /* it changes no more; of several events of it the last one is */
        return true;
    if (row == NULL || event->deleted)
        return row == NULL && event->deleted;
    /* Of several changes in one snapshot each has its serial. */
    return row->changed == event->changed && shows(event, row);
}

/* --- tokens ------------------------------------------------------------------------------ */

bool fb_event_token_read(fb_slice_t text, fb_event_token_t *token)
{
    uint64_t place = FB_EVENT_PLACE_END;
    if (text.len < FB_EPOCH_BYTES + 2 || text.at[FB_EPOCH_BYTES] != '.')
        return false;
    for (size_t i = 0; i < FB_EPOCH_BYTES; i++) {
        char c = text.at[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        token->epoch[i] = c;
    }
    token->epoch[FB_EPOCH_BYTES] = '\0';
    fb_slice_t digits = {text.at + FB_EPOCH_BYTES + 1, text.len - FB_EPOCH_BYTES - 1};
    const char *dot = memchr(digits.at, '.', digits.len);
    if (dot != NULL) {
        fb_slice_t last = {dot + 1, (size_t)(digits.at + digits.len - (dot + 1))};
        digits.len = (size_t)(dot - digits.at);
        if (!fb_slice_to_u64(last, FB_EVENT_PLACE_END - 1, &place) || place == 0)
            return false;
    }
    token->mark.place = (uint32_t)place;
    /* Nothing happened in revision 0. */
    return fb_slice_to_u64(digits, INT64_MAX, &token->mark.revision) &&
           (token->mark.revision > 0 || place == FB_EVENT_PLACE_END);
}

void fb_event_token_put(const char *epoch, fb_event_mark_t mark, fb_buffer_t *text)
{
    fb_buffer_printf(text, "%s.%llu", epoch, (unsigned long long)mark.revision);
    if (mark.place != FB_EVENT_PLACE_END)
        fb_buffer_printf(text, ".%u", mark.place);
}

const char *fb_event_epoch(const fb_position_t *position, uint64_t revision)
{
    const char *epoch = position->epoch;
    for (unsigned i = 0; i < FB_FORMER_MAX; i++) {
        const fb_former_t *former = &position->former[i];
        if (former->epoch[0] == '\0' || revision > former->until)
            break;
        epoch = former->epoch;
    }
    return epoch;
}

/* --- their texts ------------------------------------------------------------------------- */

void fb_event_put(const fb_snapshot_t *snapshot, unsigned family, uint32_t id, uint64_t revision,
                  uint32_t place, fb_buffer_t *text)
{
    fb_event_put_row(snapshot, family, id, fb_snapshot_row(snapshot, family, id),
                     fb_event_epoch(&snapshot->position, revision), revision, place, text);
}

void fb_event_put_row(const fb_snapshot_t *snapshot, unsigned family, uint32_t id,
                      const fb_row_t *row, const char *epoch, uint64_t revision, uint32_t place,
                      fb_buffer_t *text)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    fb_buffer_put_literal(text, "event: ");
    fb_buffer_put_text(text, resource->topic);
    fb_buffer_put_literal(text, "\ndata: ");
    if (row == NULL)
        put_remark(resource, id, "deleted", text);
    else if (is_too_large(resource, row))
        put_remark(resource, id, "too_large", text);
    else
        fb_put_row(snapshot, family, row, text);
    fb_buffer_printf(text, "\nid: %s.%llu.%u\n\n", epoch, (unsigned long long)revision, place);
}

size_t fb_event_end_revision(char *text, size_t len)
{
    fb_assert(len > 2);
    size_t end = len - 2;
    while (text[end - 1] != '.')
        end--;
    memcpy(text + end - 1, "\n\n", 2);
    return end + 1;
}

/* --- the stage's ------------------------------------------------------------------------- */

static size_t bytes_of(const fb_event_t *event)
{
    return sizeof(*event) + event->len;
}

static void drop_first(fb_events_t *events, fb_build_t *build)
{
    const fb_event_t *event = fb_events_get(events, events->first);
    fb_table_put(&events->table, build, (uint32_t)(events->first % FB_EVENTS_MAX), NULL);
    events->first++;
    events->bytes -= bytes_of(event);
    events->from_revision = event->revision;
    fb_build_retire(build, event);
}

fb_event_t *fb_events_add(fb_events_t *events, fb_build_t *build, const fb_event_t *event,
                          fb_slice_t text)
{
    size_t bytes = sizeof(*event) + text.len;
    while (events->first < events->end && (events->end - events->first >= FB_EVENTS_MAX ||
                                           events->bytes + bytes > FB_EVENTS_BYTES_MAX))
        drop_first(events, build);
    fb_event_t *added = fb_build_alloc(build, bytes);
    *added = *event;
    added->len = (uint32_t)text.len;
    memcpy(added->text, text.at, text.len);
    fb_table_put(&events->table, build, (uint32_t)(events->end++ % FB_EVENTS_MAX), added);
    events->bytes += bytes;
    return added;
}

void fb_events_shorten(fb_events_t *events, fb_event_t *event, size_t len)
{
    events->bytes -= event->len - len;
    event->len = (uint32_t)len;
}

void fb_events_clear(fb_events_t *events, fb_build_t *build)
{
    while (events->first < events->end)
        drop_first(events, build);
}
