/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/position.h"
#include "cache/table.h"
#include "resources/field.h"
#include "resources/row.h"

/* The journal: what has happened to the fleet last, as events that are ready to be sent. It is part
 * of the snapshot: a loop that takes a new one finds behind the events that it knows those that led
 * to it, whether this instance wrote them or followed the log. What is older than the journal is
 * in the log.
 *
 * Every row of a family with a topic that is put or deleted is an event, numbered in the order of
 * the log. Its `id`, by which a client resumes, is the revision token; where one revision has
 * several events, all but the last add their place in it: "epoch.revision.place". So a token that
 * names a whole revision is the same thing everywhere. */
#define FB_EVENTS_MAX       65536
#define FB_EVENTS_BYTES_MAX ((size_t)16 << 20)

/* A row whose JSON is longer is not shown by its events: {"id":7,"too_large":true} says that it is
 * to be read. So no thing takes the place of all others in the journal, nor in what a client is
 * sent.
 */
#define FB_EVENT_ROW_BYTES_MAX ((size_t)64 << 10)

typedef struct fb_snapshot fb_snapshot_t;

/* One of them, in a block of the snapshot. */
typedef struct {
    uint64_t revision;
    uint64_t changed; /* the serial of the snapshot that first shows it */
    uint32_t place;   /* in its revision, from 1 */
    uint32_t id;      /* of the row */
    uint32_t len;
    uint8_t family;
    bool deleted; /* the row went */
    bool is_last; /* of its revision */
    char text[];  /* as a stream has it (HTML, section 9.2.6): the fields, and an empty line */
} fb_event_t;

typedef struct {
    fb_table_t table;       /* number % FB_EVENTS_MAX -> fb_event_t */
    uint64_t first, end;    /* the numbers that there are */
    uint64_t bytes;         /* of them together */
    uint64_t from_revision; /* all events of the revisions after this one are here */
} fb_events_t;

/* A place between two events: behind the one of that place, or behind all of a revision. */
typedef struct {
    uint64_t revision;
    uint32_t place; /* FB_EVENT_PLACE_END: all of it */
} fb_event_mark_t;

#define FB_EVENT_PLACE_END UINT32_MAX

/* What a client resumes with: a mark, and the epoch that it is of. */
typedef struct {
    char epoch[FB_EPOCH_BYTES + 1];
    fb_event_mark_t mark;
} fb_event_token_t;

#define FB_EVENT_TOKEN_BYTES_MAX 40 /* as a text */

/* Reads "epoch.revision" or "epoch.revision.place"; false where it is neither. */
bool fb_event_token_read(fb_slice_t text, fb_event_token_t *token);
void fb_event_token_put(const char *epoch, fb_event_mark_t mark, fb_buffer_t *text);
/* The epoch in which a revision of this history was made, as far as the position remembers. */
const char *fb_event_epoch(const fb_position_t *position, uint64_t revision);
/* Does the one come before the other? */
static inline bool fb_event_mark_is_before(fb_event_mark_t one, fb_event_mark_t other)
{
    return one.revision != other.revision ? one.revision < other.revision : one.place < other.place;
}

/* Are all events behind the mark in the journal? */
bool fb_events_reach(const fb_events_t *events, fb_event_mark_t mark);
/* The number of the first event behind the mark; `end` where there is none. */
uint64_t fb_events_after(const fb_events_t *events, fb_event_mark_t mark);
/* The event of a number from `first` to before `end`. */
const fb_event_t *fb_events_get(const fb_events_t *events, uint64_t number);
/* Behind this event. */
fb_event_mark_t fb_event_mark(const fb_event_t *event);
/* Does it show its thing as it is now? Not where a later event of the journal says otherwise. */
bool fb_event_is_newest(const fb_snapshot_t *snapshot, const fb_event_t *event);

/* Appends the text of an event: the row of the id as the snapshot shows it, or that it went. */
void fb_event_put(const fb_snapshot_t *snapshot, unsigned family, uint32_t id, uint64_t revision,
                  uint32_t place, fb_buffer_t *text);
/* As fb_event_put, where the log says what the row was, and not the snapshot; NULL: it went. The
 * computed members are those that the snapshot has now. */
void fb_event_put_row(const fb_snapshot_t *snapshot, unsigned family, uint32_t id,
                      const fb_row_t *row, const char *epoch, uint64_t revision, uint32_t place,
                      fb_buffer_t *text);
/* Makes an event's text the last one of its revision: its id loses the place. Returns its length.
 */
size_t fb_event_end_revision(char *text, size_t len);

/* For the stage. */
typedef struct fb_build fb_build_t;
fb_event_t *fb_events_add(fb_events_t *events, fb_build_t *build, const fb_event_t *event,
                          fb_slice_t text);
void fb_events_shorten(fb_events_t *events, fb_event_t *event, size_t len);
void fb_events_clear(fb_events_t *events, fb_build_t *build);
