/* SPDX-License-Identifier: MIT */
#include "server/state.h"

#include "base/set_name.h"
#include "resources/checksum.h"

#define BITMAP_PAGES_MAX 8192 /* hashed for one answer: about a millisecond */

enum { AT_FAMILY, AT_PLANE, AT_AFTER, AT_LIMIT };

static const fb_field_t fields[] = {
    {"family", "the rows of this family", 1, FB_STATE_NAME_BYTES, FB_KIND_TEXT, 0},
    {"plane", "the days of this plane", 1, FB_STATE_NAME_BYTES, FB_KIND_TEXT, 0},
    {"after", "only what comes after this id, or date", 1, FB_DAY_TEXT_BYTES, FB_KIND_TEXT, 0},
    {"limit", "how many at most", 1, FB_STATE_LIMIT_MAX, FB_KIND_INTEGER, 0},
};

bool fb_state_family_name(unsigned family, char name[FB_STATE_NAME_BYTES])
{
    const char *row_name = fb_registry_resource(family)->row_name;
    if (row_name != NULL)
        fb_set_name(row_name, name, FB_STATE_NAME_BYTES);
    return row_name != NULL;
}

static void put_head(const fb_snapshot_t *snapshot, const char *member, fb_buffer_t *body)
{
    fb_buffer_printf(body, "{\"epoch\":\"%s\",\"revision\":%llu,\"%s\":[", snapshot->position.epoch,
                     (unsigned long long)snapshot->position.revision, member);
}

static fb_code_t put_rows(const fb_snapshot_t *snapshot, unsigned family, const fb_args_t *args,
                          int64_t limit, fb_buffer_t *body, fb_error_t *error)
{
    const fb_table_t *rows = &snapshot->families[family].rows;
    unsigned field_count = fb_registry_resource(family)->field_count;
    const fb_value_t *after = &args->values[AT_AFTER];
    const char *separator = "";
    const fb_row_t *row = NULL;
    uint64_t last = 0;
    if (after->given && !fb_slice_to_u64(after->text, UINT32_MAX, &last))
        return fb_fail_field(error, FB_MALFORMED, FB_SLICE("after"), "is not an id");
    put_head(snapshot, "rows", body);
    uint32_t id = (uint32_t)last + 1; /* 0 behind the last one that there can be */
    for (; id != 0 && (row = fb_table_next(rows, &id)) != NULL && limit > 0; limit--, id++) {
        fb_buffer_printf(body, "%s{\"id\":%u,\"sum\":\"%016llx\"}", separator, id,
                         (unsigned long long)fb_checksum_row(row, field_count));
        separator = ",";
        last = id;
    }
    if (id != 0 && row != NULL)
        fb_buffer_printf(body, "],\"next\":%u}", (unsigned)last);
    else
        fb_buffer_put_literal(body, "],\"next\":null}");
    return FB_OK;
}

static void put_day(const fb_plane_day_t *found, fb_day_t day, fb_buffer_t *body)
{
    fb_buffer_put_literal(body, "{\"date\":");
    fb_json_put_day(body, day);
    fb_buffer_printf(body, ",\"sum\":\"%016llx\",\"machines\":%llu}",
                     (unsigned long long)fb_checksum_day(&found->machines, day),
                     (unsigned long long)found->machines.count);
}

static fb_code_t put_days(const fb_snapshot_t *snapshot, fb_plane_id_t plane, const fb_args_t *args,
                          int64_t limit, fb_buffer_t *body, fb_error_t *error)
{
    const fb_table_t *days = &snapshot->planes[plane];
    const fb_value_t *after = &args->values[AT_AFTER];
    const char *separator = "";
    const fb_plane_day_t *found;
    fb_day_t last = -1;
    uint32_t pages = 0;
    if (after->given && (fb_day_parse(after->text, &last) != FB_DATE_OK || last < FB_DAY_MIN))
        return fb_fail_field(error, FB_MALFORMED, FB_SLICE("after"), "is not a date");
    put_head(snapshot, "days", body);
    uint32_t day = (uint32_t)(last + 1);
    for (; (found = fb_table_next(days, &day)) != NULL; day++) {
        if (found->machines.count == 0)
            continue;
        if (limit == 0 || pages > BITMAP_PAGES_MAX)
            break;
        fb_buffer_put_text(body, separator);
        put_day(found, (fb_day_t)day, body);
        separator = ",";
        last = (fb_day_t)day;
        limit--;
        pages += found->machines.pages.count;
    }
    fb_buffer_put_literal(body, "],\"next\":");
    if (found != NULL)
        fb_json_put_day(body, last);
    else
        fb_buffer_put_literal(body, "null");
    fb_buffer_put_char(body, '}');
    return FB_OK;
}

static int find_family(fb_slice_t name)
{
    char known[FB_STATE_NAME_BYTES];
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        if (fb_state_family_name(family, known) && fb_slice_is(name, known))
            return (int)family;
    }
    return -1;
}

static int find_plane(fb_slice_t name)
{
    for (int plane = 0; plane < FB_PLANE_COUNT; plane++) {
        if (fb_slice_is(name, fb_plane_names[plane]))
            return plane;
    }
    return -1;
}

static fb_code_t put_page(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                          fb_error_t *error)
{
    const fb_value_t *family = &args->values[AT_FAMILY], *plane = &args->values[AT_PLANE];
    const fb_value_t *limit = &args->values[AT_LIMIT];
    int64_t most = limit->given ? limit->number : FB_STATE_LIMIT_MAX;
    if (family->given == plane->given)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("family"),
                             family->given ? "excludes plane" : "is missing, or plane");
    int number = family->given ? find_family(family->text) : find_plane(plane->text);
    if (number < 0)
        return fb_fail_field(error, FB_INVALID, fb_slice(family->given ? "family" : "plane"),
                             "there is none of that name");
    if (family->given)
        return put_rows(snapshot, (unsigned)number, args, most, body, error);
    return put_days(snapshot, (fb_plane_id_t)number, args, most, body, error);
}

fb_code_t fb_state_put(const fb_snapshot_t *snapshot, fb_slice_t query, fb_buffer_t *body,
                       fb_error_t *error)
{
    fb_args_t args = {0};
    fb_code_t code = fb_args_read_query(&args, fields, FB_COUNT(fields), query, error);
    if (code == FB_OK)
        code = put_page(snapshot, &args, body, error);
    fb_args_dispose(&args);
    return code;
}
