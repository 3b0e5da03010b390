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

/* A page of a list: the rows, found but not written yet. */
#define FB_PAGE_ROWS_MAX  1000
#define FB_PAGE_BYTES_MAX ((size_t)16 << 20) /* of rows, or one row that is larger */

typedef struct {
    unsigned family;
    const fb_view_t *view;
    const fb_args_t *args;
    uint64_t count;   /* how many rows pass the filter in all, where that was asked for */
    size_t row_count; /* on this page */
    bool more;        /* there is a next page */
    size_t bytes;     /* about as many as the page takes in JSON */
    const fb_row_t *rows[FB_PAGE_ROWS_MAX];
} fb_page_t;

/* Finds the page, of the rows that pass the filter, which the arguments of `view` ask for (its
 * `limit` and `cursor`), and that FB_PAGE_BYTES_MAX has room for. The page borrows the arguments.
 */
fb_code_t fb_page_find(const fb_snapshot_t *snapshot, unsigned family,
                       const fb_bitmap_filter_t *filter, const fb_view_t *view,
                       const fb_args_t *args, bool counted, fb_page_t *page, fb_error_t *error);

/* Appends `"machines":[...],"next":...`: the page under the name `member`. */
void fb_page_put(const fb_snapshot_t *snapshot, const fb_page_t *page, const char *member,
                 fb_buffer_t *body);
