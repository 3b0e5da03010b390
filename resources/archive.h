/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/resource.h"

/* Rows that have left the snapshot (fb_change_archive): Redis has them, and a reader's thread reads
 * them when somebody asks. Such a row does not change any more; if it is put again, it is back in
 * the snapshot.
 *
 *     loop    render: FB_ARCHIVED ─► begin: what the snapshot has of the answer, and what it lacks
 *     reader  the ids, a page at a time ─► add, of each row that there is ─► end
 *     loop    the body is sent, and not kept
 */
#define FB_ARCHIVE_READS_MAX 5000 /* ids that one request asks for: then its page ends early */

/* A request on this way. `ids`, `kept` and `body` are owned. */
typedef struct {
    const fb_view_t *view;
    fb_args_t args;    /* owned */
    uint32_t *ids;     /* that are read, descending: none of them is in the snapshot */
    unsigned id_count; /* 1 to FB_ARCHIVE_READS_MAX */
    unsigned wanted;   /* rows that the answer still takes; 0: it needs no more of them */
    fb_buffer_t kept;  /* what the family keeps of the snapshot, for `add` and `end` */
    fb_buffer_t body;
} fb_archive_ask_t;

/* How the views of a family answer with such rows. `begin` fills all but view and arguments. `add`
 * gets all fields of each row that there is, in the order of the ids. `end` comes once all were
 * read, or `wanted` is 0: the body is complete then, or there is an error. */
struct fb_archive {
    void (*begin)(const fb_snapshot_t *snapshot, fb_archive_ask_t *ask);
    void (*add)(fb_archive_ask_t *ask, uint32_t id, const fb_value_t *values);
    fb_code_t (*end)(fb_archive_ask_t *ask, fb_error_t *error);
};

void fb_archive_ask_dispose(fb_archive_ask_t *ask);
