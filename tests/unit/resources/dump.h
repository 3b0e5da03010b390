/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/checksum.h"
#include "tests/unit/resources/fleet.h"

/* All that a snapshot holds, as one text: to see whether two fleets are the same, and whether one
 * stays what it was. With `stamps`, also what tells two snapshots of one content apart. */

static inline void dump_stamp(fb_buffer_t *out, bool stamps, uint64_t stamp)
{
    if (stamps)
        fb_buffer_printf(out, " @%llu", (unsigned long long)stamp);
    fb_buffer_put_char(out, '\n');
}

static inline void dump_set(fb_buffer_t *out, const fb_bitmap_t *set)
{
    uint64_t count = 0;
    for (uint32_t n = 0; fb_bitmap_next(set, &n); n++, count++)
        fb_buffer_printf(out, " %u", n);
    assert_int_equal(set->count, count);
}

static inline void dump_index(const fb_snapshot_t *snapshot, unsigned family, unsigned f,
                              bool stamps, fb_buffer_t *out)
{
    static const char *const texts[] = {"crane", "dumper", "excavator", "forklift",
                                        "green", "yellow", "red"};
    const fb_field_t *field = &fb_registry_resource(family)->fields[f];
    const fb_index_t *index = &snapshot->families[family].indexes[f];
    for (unsigned i = 0; (field->flags & FB_FACET) && i < FB_COUNT(texts); i++) {
        const fb_bitmap_t *rows = fb_snapshot_facet(snapshot, family, f, fb_slice(texts[i]));
        fb_buffer_printf(out, "%s", texts[i]);
        if (rows != NULL)
            dump_set(out, rows);
        dump_stamp(out, stamps, rows != NULL);
    }
    const fb_children_t *children;
    uint32_t parent = 0;
    if (!(field->flags & FB_PARENT))
        return;
    for (; (children = fb_table_next(&index->children, &parent)) != NULL; parent++) {
        if (children->count == 0 && !stamps)
            continue;
        fb_buffer_printf(out, "of %u:", parent);
        for (uint32_t i = 0; i < children->count; i++)
            fb_buffer_printf(out, " %u", children->ids[i]);
        dump_stamp(out, stamps, children->changed);
    }
}

static inline void dump_row(const fb_snapshot_t *snapshot, unsigned family, const fb_row_t *row,
                            bool stamps, fb_buffer_t *out)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    fb_buffer_put_slice(out, fb_row_json_head(row, resource->field_count));
    fb_buffer_put_literal(out, " | ");
    fb_buffer_put_slice(out, fb_row_json_tail(row, resource->field_count));
    for (unsigned f = 0; f < resource->field_count; f++) {
        fb_value_t value = fb_row_value(row, resource->fields, f);
        fb_buffer_put_text(out, value.null ? " -" : " ");
        if (!value.null)
            fb_field_put_text(&resource->fields[f], &value, out);
        if ((resource->fields[f].flags & FB_UNIQUE) && !value.null)
            assert_int_equal(fb_snapshot_find(snapshot, family, f, value.text), row->id);
    }
    dump_stamp(out, stamps, row->changed);
}

static inline void dump_family(const fb_snapshot_t *snapshot, unsigned family, bool stamps,
                               fb_buffer_t *out)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    const fb_family_t *rows = &snapshot->families[family];
    const fb_row_t *row;
    uint32_t count = 0;
    assert_int_equal(rows->sum, fb_checksum_family(snapshot, family));
    fb_buffer_printf(out, "%s up to %u:", resource->name, rows->last_id);
    dump_set(out, &rows->exists);
    dump_stamp(out, stamps, rows->changed);
    for (uint32_t id = 0; (row = fb_table_next(&rows->rows, &id)) != NULL; id++, count++) {
        assert_int_equal(row->id, id);
        assert_true(fb_bitmap_has(&rows->exists, id));
        dump_row(snapshot, family, row, stamps, out);
    }
    assert_int_equal(rows->exists.count, count);
    for (unsigned f = 0; f < resource->field_count; f++) {
        dump_index(snapshot, family, f, stamps, out);
        if ((resource->fields[f].flags & (FB_UNIQUE | FB_NULLABLE)) == FB_UNIQUE)
            assert_int_equal(rows->indexes[f].unique.count, count);
    }
}

static inline void dump(const fb_snapshot_t *snapshot, bool stamps, fb_buffer_t *out)
{
    char date[FB_DAY_TEXT_BYTES];
    out->len = 0;
    fb_day_format(snapshot->today, date);
    fb_buffer_printf(out, "%.*s %llu %s", FB_DAY_TEXT_BYTES, date,
                     (unsigned long long)snapshot->position.revision, snapshot->position.chain);
    if (stamps)
        dump_stamp(out, stamps, snapshot->serial);
    dump_stamp(out, stamps, snapshot->today_changed);
    fb_buffer_printf(out, "sum %016llx", (unsigned long long)fb_snapshot_sum(snapshot));
    dump_stamp(out, false, 0);
    for (unsigned family = 0; family < fb_registry_count(); family++)
        dump_family(snapshot, family, stamps, out);
    for (int plane = 0; plane < FB_PLANE_COUNT; plane++) {
        const fb_plane_day_t *found;
        uint32_t day = 0;
        assert_int_equal(snapshot->plane_sums[plane],
                         fb_checksum_plane(snapshot, (fb_plane_id_t)plane));
        for (; (found = fb_table_next(&snapshot->planes[plane], &day)) != NULL; day++) {
            if (found->machines.count == 0 && !stamps)
                continue;
            fb_day_format((fb_day_t)day, date);
            fb_buffer_printf(out, "%s %.*s:", fb_plane_names[plane], FB_DAY_TEXT_BYTES, date);
            dump_set(out, &found->machines);
            dump_stamp(out, stamps, found->changed);
        }
    }
}
