/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Where the current snapshot stands for all to take, and where the old ones go.
 *
 *     writer                                   reader (a loop; one thread each)
 *     fb_shelf_put(next, garbage) ---------->  fb_shelf_take: the newest snapshot
 *     fb_shelf_reclaim: frees the snapshots    its pin says: "I read nothing older than this"
 *     and garbage older than every pin
 *
 * Snapshots are numbered by the shelf in the order in which they are put: 1, 2, ... A reader pins
 * one snapshot at a time; taking the newest lets go of the one before. No lock, no
 * read-modify-write on the reader's side: two loads and a store.
 * One thread (the writer's) calls put, current and reclaim; all others only take.
 *
 * A visitor is a reader that nobody waits for: it looks at a snapshot now and then, and while it
 * does so, it holds back reclamation as the others do. So it should look for moments only.
 *
 * What waits has no bound of its own: a reader that stops taking holds back all that follows. The
 * writer keeps it bounded by waiting with the next put while reclaim answers too much. */
#define FB_SHELF_READERS_MAX 72

typedef struct fb_shelf fb_shelf_t;
typedef struct fb_reader fb_reader_t;

fb_shelf_t *fb_shelf_create(void);
/* After all readers are gone: frees what waits to be freed and the current snapshot block itself;
 * the blocks that the current snapshot shows are the caller's. */
void fb_shelf_destroy(fb_shelf_t **shelf);

/* A new reader, which at first holds back all reclamation until its first take. NULL where there
 * are FB_SHELF_READERS_MAX already. From any thread. */
fb_reader_t *fb_shelf_reader_create(fb_shelf_t *shelf);
/* A new visitor, which holds nothing between leave and visit. It counts as a reader. */
fb_reader_t *fb_shelf_visitor_create(fb_shelf_t *shelf);
/* It holds nothing any more. */
void fb_shelf_reader_destroy(fb_reader_t **reader);

/* Makes `snapshot` (one malloc block, taken over) the current one and queues the one before it,
 * with the `count` blocks of `garbage` (array taken over), to be freed. Returns its number. */
uint64_t fb_shelf_put(fb_shelf_t *shelf, const void *snapshot, void **garbage, size_t count);
/* The current snapshot for the writer's own use; NULL before the first put. */
const void *fb_shelf_current(const fb_shelf_t *shelf);

/* The newest snapshot, pinned by this reader until its next take; NULL before the first put. On one
 * thread at a time for a reader. */
const void *fb_shelf_take(fb_reader_t *reader);
/* The newest snapshot, pinned by this visitor until it leaves; NULL before the first put. On one
 * thread at a time for a visitor. */
const void *fb_shelf_visit(fb_reader_t *visitor);
void fb_shelf_leave(fb_reader_t *visitor);
/* The number of the snapshot that all readers but visitors have reached: 0 where one has not taken
 * yet, UINT64_MAX without readers. From any thread. */
uint64_t fb_shelf_reached(const fb_shelf_t *shelf);
/* Frees what no reader can see any more; returns how many blocks (snapshots and garbage) still
 * wait. */
size_t fb_shelf_reclaim(fb_shelf_t *shelf);
