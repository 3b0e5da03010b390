/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/snapshot.h"

/* How a FB_UNIQUE field is found in its map: the map holds ids alone, the texts are in the rows. */
typedef struct {
    const fb_snapshot_t *snapshot;
    const fb_field_t *fields;
    unsigned family, field;
    fb_slice_t text;
} fb_unique_t;

fb_unique_t fb_unique(const fb_snapshot_t *snapshot, unsigned family, unsigned field,
                      fb_slice_t text);
/* The key borrows `unique`. */
fb_map_key_t fb_unique_key(const fb_unique_t *unique);
