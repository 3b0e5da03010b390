/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/change.h"

/* The next snapshot while it is being made: the writer's alone.
 *
 *     begin ── apply ── apply ── ... ──► seal: the next snapshot, immutable from now on
 *                                   └──► abort: nothing has happened
 *
 * Between two applies the stage can be read as the snapshot that it would be, so commands of one
 * batch are planned each upon the ones before it. */
typedef struct fb_stage fb_stage_t;

/* An empty fleet, as a first snapshot to begin from; freed with free(). */
fb_snapshot_t *fb_snapshot_create(const fb_rules_t *rules, uint64_t hash_seed, fb_day_t today);

fb_stage_t *fb_stage_begin(const fb_snapshot_t *current);
void fb_stage_abort(fb_stage_t **stage);
/* The caller owns the next snapshot (one block, free()) and the garbage: the blocks that the one
 * before still shows and this one does not. */
fb_snapshot_t *fb_stage_seal(fb_stage_t **stage, void ***garbage, size_t *garbage_count);

/* What the stage shows now. */
const fb_snapshot_t *fb_stage_view(const fb_stage_t *stage);

/* Applies a change: the one that leads to the position of the stage, which is set before. */
void fb_stage_apply(fb_stage_t *stage, const fb_change_t *change);
/* The same in parts: each can be read before the next one is planned. The end makes them one. */
void fb_stage_apply_part(fb_stage_t *stage, const fb_change_t *part);
void fb_stage_apply_end(fb_stage_t *stage);
void fb_stage_set_position(fb_stage_t *stage, const fb_position_t *position);
void fb_stage_set_today(fb_stage_t *stage, fb_day_t today);

/* For a load: whole rows and whole days, as they come. */
void fb_stage_put(fb_stage_t *stage, unsigned family, uint32_t id, const fb_value_t *values);
void fb_stage_load_day(fb_stage_t *stage, fb_plane_id_t plane, fb_day_t day, fb_slice_t bytes);
/* The journal begins: it has the events of the revisions after this one. */
void fb_stage_begin_events(fb_stage_t *stage, uint64_t revision);
/* Ids up to this one are used. */
void fb_stage_raise_last_id(fb_stage_t *stage, unsigned family, uint32_t id);

/* All blocks that a snapshot shows, but for its own (array: free()): what becomes garbage when the
 * next snapshot shares nothing with it. */
void fb_snapshot_blocks(const fb_snapshot_t *snapshot, void ***blocks, size_t *count);
/* Frees all that a snapshot shows, and itself. For the end of the process and for tests: no other
 * snapshot that shares blocks with it may be left. */
void fb_snapshot_destroy(fb_snapshot_t **snapshot);
