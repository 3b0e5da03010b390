/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/snapshot.h"

/* The checksum of a state: two instances that have the same one hold the same (but for a
 * coincidence of 1 in 2^64), however they came there: by changes, by a load, by the log.
 *
 *     total ── family ── rows: XXH3 of the JSON, with the id
 *        │         └──── the last id, where one was given out
 *        └──── plane ─── days: pages of 8,192 machines: XXH3 of the words, with their place
 *
 * Each sum is that of its parts modulo 2^64, so a change takes off what was and adds what is.
 * Serial, today, rules and hash seed have no part in it. A family that never had a row, or a plane
 * without a bit, adds nothing: a fleet that uses neither keeps its checksum when a release brings
 * one.
 *
 * It finds what went wrong by accident; who can choose the data can make two states agree. */

uint64_t fb_checksum_row(const fb_row_t *row, unsigned field_count);
uint64_t fb_checksum_last_id(uint32_t last_id);
/* Of the page in which a number lies; 0 where it has no bit. */
uint64_t fb_checksum_page(const fb_bitmap_t *machines, fb_day_t day, uint32_t number);
/* Of all pages of a day. */
uint64_t fb_checksum_day(const fb_bitmap_t *machines, fb_day_t day);

/* What the snapshot keeps as `sum` and `plane_sums`, worked out again from all that it holds. */
uint64_t fb_checksum_family(const fb_snapshot_t *snapshot, unsigned family);
uint64_t fb_checksum_plane(const fb_snapshot_t *snapshot, fb_plane_id_t plane);
