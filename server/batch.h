/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/stage.h"
#include "server/fleet.h"

/* Writes on their way into the log, planned each upon the ones before it, on a stage of their own.
 *
 *     begin ── add ── add ... ──► dispose
 *                        │
 *                        └──► its entries are in the log: the stage is sealed, and NULL here
 *
 * What it begins from is the current snapshot, or the stage of a batch that is under way: such a
 * plan holds only if that one lands. */
#define FB_BATCH_DAYS_MAX  100000             /* bits that it sets or clears, */
#define FB_BATCH_ROWS_MAX  5000               /* rows that it puts or deletes: Redis does nothing */
#define FB_BATCH_BYTES_MAX ((size_t)16 << 20) /* else meanwhile; and their payloads */

#define FB_BATCH_RANDOM_BYTES ((FB_COMMAND_BYTES - FB_AUTHOR_BYTES) / 2) /* of a command id */
#define FB_BATCH_RANDOMS      20                                         /* drawn at a time */

typedef struct {
    uint64_t serial;        /* of the snapshot that it is planned upon; 0: there is no batch */
    fb_position_t expected; /* of that snapshot */
    fb_stage_t *stage;      /* NULL once it is settled */
    fb_write_t *first;      /* of its writes */
    size_t planned;         /* writes: those that failed, too */
    fb_entry_t *entries;    /* of those that did not */
    fb_buffer_t *payloads;  /* those of the entries */
    size_t count, capacity;
    uint64_t days; /* bits of days that the entries touch */
    uint64_t rows; /* rows that they touch */
    size_t bytes;  /* of their payloads */
    uint8_t random[FB_BATCH_RANDOMS][FB_BATCH_RANDOM_BYTES];
    size_t random_left; /* of these, not used yet */
} fb_batch_t;

/* `base` is borrowed until the batch is settled or disposed. */
void fb_batch_begin(fb_batch_t *batch, const fb_snapshot_t *base);
/* Has it reached one of its bounds? */
bool fb_batch_is_full(const fb_batch_t *batch);
/* Plans more writes, and renders their answers; `author` signs them. Ends early once the batch is
 * full: how many it took. */
size_t fb_batch_add(fb_batch_t *batch, uint32_t author, fb_write_t *const *writes, size_t count);
/* Also of one that was never begun. */
void fb_batch_dispose(fb_batch_t *batch);

/* Is it these writes, planned upon the state as it is now? */
bool fb_batch_holds(const fb_batch_t *batch, const fb_snapshot_t *current,
                    fb_write_t *const *writes, size_t count);
