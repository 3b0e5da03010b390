/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/position.h"
#include "cache/bitmap.h"
#include "cache/map.h"
#include "resources/events.h"
#include "resources/row.h"

/* What a fleet is at one revision. Immutable once a stage has sealed it; see resources/stage.h for
 * how the next one is made of it.
 *
 * Stamps: `changed` is the serial of the snapshot in which a thing last changed. An answer that
 * was made from some things stays true as long as their stamps do. Nothing that has a stamp ever
 * disappears (an empty set stays as an empty block), so a stamp never falls back. */

#define FB_FAMILIES_MAX 16

typedef enum { FB_PLANE_MAINTENANCE, FB_PLANE_BOOKED, FB_PLANE_COUNT } fb_plane_id_t;
extern const char *const fb_plane_names[FB_PLANE_COUNT];

/* FB_FACET: the texts of a field, each with the rows that have it. */
typedef struct {
    const char *text; /* a block of its own, `len` bytes */
    size_t len;
    fb_bitmap_t rows;
} fb_facet_t;

typedef struct {
    uint32_t count;
    fb_facet_t entries[]; /* in the order of their appearance */
} fb_facets_t;

/* FB_PARENT: the rows that belong to one row of another family, or to one day; of FB_KIND_NUMBERS,
 * to one of several. Where the resource says which rows it holds on to (`holds`), only those. */
typedef struct {
    uint64_t changed;
    uint32_t count, capacity;
    uint32_t ids[]; /* ascending */
} fb_children_t;

/* The index of one field, by its flags. */
typedef union {
    fb_map_t unique;
    const fb_facets_t *facets; /* NULL: none yet */
    fb_table_t children;       /* parent -> fb_children_t */
    fb_bitmap_t given;         /* FB_GIVEN: the rows that have a value */
} fb_index_t;

typedef struct {
    fb_table_t rows; /* id -> fb_row_t */
    fb_bitmap_t exists;
    uint64_t changed;
    uint32_t last_id; /* the highest id that was ever given out */
    uint64_t sum;     /* of rows and last id: see resources/checksum.h */
    fb_index_t indexes[FB_FIELDS_MAX];
} fb_family_t;

/* One day of a plane: the machines that are in maintenance, or booked, on it. */
typedef struct {
    fb_bitmap_t machines;
    uint64_t changed;
} fb_plane_day_t;

/* The configured rules that plans and views need. */
typedef struct {
    const char *const *machine_types;
    unsigned machine_type_count;
    uint64_t orders_pending_max;   /* orders that wait; 0: FB_ORDERS_PENDING_DEFAULT */
    uint64_t idempotency_keys_max; /* keys that are remembered; 0: FB_IDEMPOTENCY_KEYS_DEFAULT */
} fb_rules_t;

typedef struct fb_snapshot {
    uint64_t serial; /* 1, 2, ... in this process; one more for each snapshot */
    fb_position_t position;
    fb_day_t today; /* in the fleet's zone */
    uint64_t today_changed;
    uint64_t hash_seed; /* of FB_UNIQUE indexes: random, so that nobody can choose collisions */
    const fb_rules_t *rules;
    fb_table_t planes[FB_PLANE_COUNT]; /* fb_day_t -> fb_plane_day_t */
    uint64_t plane_sums[FB_PLANE_COUNT];
    fb_family_t families[FB_FAMILIES_MAX];
    fb_events_t events;
} fb_snapshot_t;

/* The stamp of two things. */
static inline uint64_t fb_latest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* NULL where there is none. */
const fb_row_t *fb_snapshot_row(const fb_snapshot_t *snapshot, unsigned family, uint32_t id);
/* The id of the row whose FB_UNIQUE field has that text, or 0. */
uint32_t fb_snapshot_find(const fb_snapshot_t *snapshot, unsigned family, unsigned field,
                          fb_slice_t text);
/* The rows whose FB_FACET field has that text; NULL where no row ever had it. */
const fb_bitmap_t *fb_snapshot_facet(const fb_snapshot_t *snapshot, unsigned family, unsigned field,
                                     fb_slice_t text);
/* The rows whose FB_PARENT field is `parent`; NULL where there never were any. */
const fb_children_t *fb_snapshot_children(const fb_snapshot_t *snapshot, unsigned family,
                                          unsigned field, uint32_t parent);
/* Those of the least parent >= `*parent`, which it is set to; NULL where there is none. */
const fb_children_t *fb_snapshot_next_children(const fb_snapshot_t *snapshot, unsigned family,
                                               unsigned field, uint32_t *parent);
/* Where the id is among them, or would be. */
uint32_t fb_children_place(const fb_children_t *children, uint32_t id);
/* The rows whose FB_GIVEN field is not null. */
const fb_bitmap_t *fb_snapshot_given(const fb_snapshot_t *snapshot, unsigned family,
                                     unsigned field);
/* The bitmap of a day; NULL where it never had a bit. */
const fb_bitmap_t *fb_snapshot_day(const fb_snapshot_t *snapshot, fb_plane_id_t plane,
                                   fb_day_t day);
/* Has the machine its bit on that day? */
bool fb_snapshot_has_day(const fb_snapshot_t *snapshot, fb_plane_id_t plane, fb_day_t day,
                         uint32_t machine);
/* The stamp of a range of days over all planes. */
uint64_t fb_snapshot_days_changed(const fb_snapshot_t *snapshot, fb_day_t from, fb_day_t to);
/* The checksum of the state: see resources/checksum.h. */
uint64_t fb_snapshot_sum(const fb_snapshot_t *snapshot);
