/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The making of one snapshot from the one before it.
 *
 * Persistent structures (table, bitmap, map) share their blocks between snapshots. A change never
 * touches a block that an earlier snapshot can see: it asks the build whether the block is its
 * own, and if it is not, copies it first and retires the old one.
 *
 *     fresh:    blocks allocated by this build. Nobody else sees them yet: they may be written in
 *               place; an aborted build frees them.
 *     garbage:  blocks that the snapshot before still shows and the next one no longer does. A
 *               sealed build hands them to the cache, which frees them once no reader is left.
 *
 * Expected often: fb_build_alloc, fb_build_owns (once a touched block), fb_build_retire. */
typedef struct fb_build fb_build_t;

fb_build_t *fb_build_create(void);
/* Frees every fresh block: nothing has happened. */
void fb_build_abort(fb_build_t **build);

/* A block of the snapshot being made, not cleared; freed by free() in the end. The allocator is
 * asked for exactly `size` bytes (16 where it is less). */
void *fb_build_alloc(fb_build_t *build, size_t size);
/* Was it allocated by this build, so that it may be written in place? */
bool fb_build_owns(const fb_build_t *build, const void *block);
/* The next snapshot no longer shows `block` (NULL is allowed). A fresh block is freed at once. Once
 * for a block: the build does not look for it in its garbage. */
void fb_build_retire(fb_build_t *build, const void *block);
/* `block` itself where it is fresh, else a fresh copy of its `size` bytes; retires the old one. */
void *fb_build_own(fb_build_t *build, const void *block, size_t size);

/* Ends the build: what was fresh now belongs to the snapshot, and the caller owns the list of
 * garbage: `*garbage` (freed with free()) holds `*count` blocks. */
void fb_build_seal(fb_build_t **build, void ***garbage, size_t *count);
