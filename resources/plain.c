/* SPDX-License-Identifier: MIT */
#include "resources/plain.h"

#include "base/set_name.h"
#include "resources/cursor.h"
#include "resources/listing.h"
#include "resources/registry.h"

#define NAME_BYTES 64 /* of a set of rows */

const fb_field_t fb_plain_query[FB_PLAIN_QUERY_COUNT] = {
    [FB_PLAIN_LIMIT] = {"limit", "the most of them on a page; 1,000 if not given", 1,
                        FB_PAGE_ROWS_MAX, FB_KIND_INTEGER, 0},
    [FB_PLAIN_CURSOR] = FB_CURSOR_FIELD,
};

fb_code_t fb_plain_list(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                        fb_error_t *error)
{
    const fb_resource_t *resource = fb_registry_resource(args->family);
    const fb_bitmap_filter_t filter = {.all = &snapshot->families[args->family].exists};
    fb_args_t asked = *args;
    char name[NAME_BYTES];
    fb_page_t page;
    if (!asked.values[FB_PLAIN_LIMIT].given)
        asked.values[FB_PLAIN_LIMIT] = (fb_value_t){.given = true, .number = FB_PAGE_ROWS_MAX};
    if (fb_page_find(snapshot, args->family, &filter, &resource->views[0], &asked, false, &page,
                     error) != FB_OK)
        return error->code;
    fb_set_name(resource->row_name, name, sizeof(name));
    fb_buffer_reserve(body, page.bytes);
    fb_buffer_put_char(body, '{');
    fb_page_put(snapshot, &page, name, body);
    fb_buffer_put_char(body, '}');
    return FB_OK;
}

uint64_t fb_plain_list_stamp(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    return snapshot->families[args->family].changed;
}

fb_code_t fb_plain_one(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                       fb_error_t *error)
{
    const fb_row_t *row;
    fb_code_t code = fb_require_row(snapshot, args->family, args->ids[0], &row, error);
    if (code == FB_OK)
        fb_put_row(snapshot, args->family, row, body);
    return code;
}

uint64_t fb_plain_one_stamp(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, args->family, args->ids[0]);
    return row != NULL ? row->changed : UINT64_MAX;
}

static void put(const fb_args_t *args, uint32_t id, fb_plan_t *plan)
{
    fb_value_t values[FB_FIELDS_MAX];
    unsigned count = fb_registry_resource(args->family)->field_count;
    for (unsigned f = 0; f < count; f++) {
        values[f] = args->values[f];
        values[f].null = values[f].null || !values[f].given;
    }
    fb_change_put(&plan->change, args->family, id, values);
    plan->ids[0] = id;
}

fb_code_t fb_plain_create(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                          fb_error_t *error)
{
    uint32_t last = snapshot->families[args->family].last_id;
    if (last == UINT32_MAX)
        return fb_fail(error, FB_CONFLICT, "all %u ids are used", UINT32_MAX);
    put(args, last + 1, plan);
    return FB_OK;
}

fb_code_t fb_plain_replace(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                           fb_error_t *error)
{
    const fb_row_t *row;
    fb_code_t code = fb_require_row(snapshot, args->family, args->ids[0], &row, error);
    if (code == FB_OK)
        put(args, row->id, plan);
    return code;
}
