/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"

/* The checksums of single rows and days, page by page: by them one finds where two instances
 * differ. See resources/checksum.h.
 *
 *     family=machines&after=41&limit=1000
 *         {"epoch": ..., "revision": ..., "rows": [{"id": 42, "sum": "..."}, ...], "next": 1041}
 *     plane=booked&after=2026-11-21&limit=1000
 *         {..., "days": [{"date": "2026-11-22", "sum": "...", "machines": 3}, ...], "next": null}
 *
 * `next` is the `after` of the page that follows, or null. A page of days may be shorter than its
 * limit and not the last: how much is hashed for one answer is bounded. Days without a machine do
 * not show. */
#define FB_STATE_LIMIT_MAX  1000
#define FB_STATE_NAME_BYTES 64

/* The name of a family as the key of its ids in Redis has it, "machines"; false where it has no
 * rows. */
bool fb_state_family_name(unsigned family, char name[FB_STATE_NAME_BYTES]);

/* Appends the page that the query asks for. */
fb_code_t fb_state_put(const fb_snapshot_t *snapshot, fb_slice_t query, fb_buffer_t *body,
                       fb_error_t *error);
