/* SPDX-License-Identifier: MIT */
#include "resources/listing.h"

#include "base/assert.h"
#include "resources/cursor.h"
#include "resources/registry.h"

#define AROUND_BYTES   256 /* of a page without its rows */
#define COMPUTED_BYTES 100 /* of the computed members of most rows */

void fb_put_row(const fb_snapshot_t *snapshot, unsigned family, const fb_row_t *row,
                fb_buffer_t *body)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    fb_buffer_put_slice(body, fb_row_json_head(row, resource->field_count));
    if (resource->put_computed != NULL)
        resource->put_computed(snapshot, row, body);
    fb_buffer_put_slice(body, fb_row_json_tail(row, resource->field_count));
}

fb_code_t fb_require_row(const fb_snapshot_t *snapshot, unsigned family, uint32_t id,
                         const fb_row_t **row, fb_error_t *error)
{
    *row = fb_snapshot_row(snapshot, family, id);
    if (*row != NULL)
        return FB_OK;
    return fb_fail(error, FB_NOT_FOUND, "there is no %s %u", fb_registry_resource(family)->row_name,
                   id);
}

/* The rows of ascending ids, as far as they have room: the leaves of the table are looked up once
 * in 64 ids. */
static void find_rows(const fb_table_t *rows, unsigned field_count, const uint32_t *ids,
                      fb_page_t *page)
{
    const void *const *leaf = NULL;
    for (size_t i = 0; i < page->row_count; i++) {
        if (i == 0 || ids[i] / FB_TABLE_LEAF_KEYS != ids[i - 1] / FB_TABLE_LEAF_KEYS)
            leaf = fb_table_leaf(rows, ids[i]);
        fb_assert(leaf != NULL && leaf[ids[i] % FB_TABLE_LEAF_KEYS] != NULL);
        page->rows[i] = leaf[ids[i] % FB_TABLE_LEAF_KEYS];
        size_t bytes = fb_row_json_head(page->rows[i], field_count).len +
                       fb_row_json_tail(page->rows[i], field_count).len + COMPUTED_BYTES;
        if (i > 0 && page->bytes + bytes > FB_PAGE_BYTES_MAX) {
            page->more = true;
            page->row_count = i;
            return;
        }
        page->bytes += bytes;
    }
}

fb_code_t fb_page_find(const fb_snapshot_t *snapshot, unsigned family,
                       const fb_bitmap_filter_t *filter, const fb_view_t *view,
                       const fb_args_t *args, bool counted, fb_page_t *page, fb_error_t *error)
{
    uint32_t ids[FB_PAGE_ROWS_MAX + 1];
    uint64_t after;
    fb_code_t code =
        fb_cursor_read(view->query, view->query_count, view->path, args, &after, error);
    if (code != FB_OK)
        return code;
    size_t limit = fb_cursor_limit(view->query, view->query_count, args);
    fb_assert(limit <= FB_PAGE_ROWS_MAX);
    page->family = family;
    page->view = view;
    page->args = args;
    page->bytes = AROUND_BYTES;
    /* One more than the page shows whether there is a next one; behind the last id is nothing. */
    size_t wanted = after >= UINT32_MAX ? 0 : limit + 1;
    uint32_t from = after >= UINT32_MAX ? UINT32_MAX : (uint32_t)after + 1;
    size_t found = fb_bitmap_select(filter, from, ids, wanted, counted ? &page->count : NULL);
    page->more = found > limit;
    page->row_count = page->more ? limit : found;
    find_rows(&snapshot->families[family].rows, fb_registry_resource(family)->field_count, ids,
              page);
    return FB_OK;
}

void fb_page_put(const fb_snapshot_t *snapshot, const fb_page_t *page, const char *member,
                 fb_buffer_t *body)
{
    const fb_view_t *view = page->view;
    fb_buffer_put_char(body, '"');
    fb_buffer_put_text(body, member);
    fb_buffer_put_literal(body, "\":[");
    for (size_t i = 0; i < page->row_count; i++) {
        if (i > 0)
            fb_buffer_put_char(body, ',');
        fb_put_row(snapshot, page->family, page->rows[i], body);
    }
    fb_buffer_put_literal(body, "],\"next\":");
    if (page->more)
        fb_cursor_put(body, view->query, view->query_count, view->path, page->args,
                      page->rows[page->row_count - 1]->id);
    else
        fb_buffer_put_literal(body, "null");
}
