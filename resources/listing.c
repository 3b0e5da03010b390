/* SPDX-License-Identifier: MIT */
#include "resources/listing.h"

#include "base/assert.h"
#include "resources/cursor.h"
#include "resources/registry.h"

#define PAGE_MAX 1000

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

fb_code_t fb_put_page(const fb_snapshot_t *snapshot, unsigned family, const char *member,
                      const fb_bitmap_filter_t *filter, const fb_view_t *view,
                      const fb_args_t *args, fb_buffer_t *body, fb_error_t *error)
{
    uint32_t ids[PAGE_MAX + 1], after;
    fb_code_t code =
        fb_cursor_read(view->query, view->query_count, view->path, args, &after, error);
    if (code != FB_OK)
        return code;
    size_t limit = fb_cursor_limit(view->query, view->query_count, args);
    fb_assert(limit <= PAGE_MAX);
    /* One more than the page shows whether there is a next one. */
    size_t found = after == UINT32_MAX ? 0 : fb_bitmap_select(filter, after + 1, ids, limit + 1);
    size_t shown = found < limit ? found : limit;
    fb_buffer_printf(body, "\"%s\":[", member);
    for (size_t i = 0; i < shown; i++) {
        if (i > 0)
            fb_buffer_put_char(body, ',');
        fb_put_row(snapshot, family, fb_snapshot_row(snapshot, family, ids[i]), body);
    }
    fb_buffer_put_literal(body, "],\"next\":");
    if (found > limit)
        fb_cursor_put(body, view->query, view->query_count, view->path, args, ids[shown - 1]);
    else
        fb_buffer_put_literal(body, "null");
    return FB_OK;
}
