/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/resource.h"

/* What views of several families share: rows as JSON, and pages of them. */

/* Appends the JSON of a row, its computed members included. */
void fb_put_row(const fb_snapshot_t *snapshot, unsigned family, const fb_row_t *row,
                fb_buffer_t *body);

/* FB_NOT_FOUND, naming the thing, where the family has no such row. */
fb_code_t fb_require_row(const fb_snapshot_t *snapshot, unsigned family, uint32_t id,
                         const fb_row_t **row, fb_error_t *error);

/* Appends `"machines":[...],"next":...`: the page of the rows that pass the filter which the
 * arguments of `view` ask for (its `limit` and `cursor`), under the name `member`. */
fb_code_t fb_put_page(const fb_snapshot_t *snapshot, unsigned family, const char *member,
                      const fb_bitmap_filter_t *filter, const fb_view_t *view,
                      const fb_args_t *args, fb_buffer_t *body, fb_error_t *error);
