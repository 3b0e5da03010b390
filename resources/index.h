/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/snapshot.h"

/* The indexes of a family, as the flags of its fields ask for them (FB_UNIQUE, FB_FACET,
 * FB_PARENT). Only a stage calls these: `next` is its own snapshot.
 *
 * While a log is applied to rows that were loaded later than its first entry, two rows can have
 * the same unique text for a moment: the one put last has it, and removing takes it only from the
 * row that has it. */
void fb_index_add(fb_snapshot_t *next, fb_build_t *build, unsigned family, const fb_row_t *row);
/* The row is still in the table of rows. */
void fb_index_remove(fb_snapshot_t *next, fb_build_t *build, unsigned family, const fb_row_t *row);
/* Retires all indexes of the family. */
void fb_index_clear(fb_snapshot_t *next, fb_build_t *build, unsigned family);
