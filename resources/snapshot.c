/* SPDX-License-Identifier: MIT */
#include "resources/snapshot.h"

#include "resources/registry.h"
#include "resources/unique.h"

const char *const fb_plane_names[FB_PLANE_COUNT] = {
    [FB_PLANE_MAINTENANCE] = "maintenance",
    [FB_PLANE_BOOKED] = "booked",
};

const fb_row_t *fb_snapshot_row(const fb_snapshot_t *snapshot, unsigned family, uint32_t id)
{
    return fb_table_get(&snapshot->families[family].rows, id);
}

uint32_t fb_snapshot_find(const fb_snapshot_t *snapshot, unsigned family, unsigned field,
                          fb_slice_t text)
{
    fb_unique_t unique = fb_unique(snapshot, family, field, text);
    fb_map_key_t key = fb_unique_key(&unique);
    return fb_map_get(&snapshot->families[family].indexes[field].unique, &key);
}

const fb_bitmap_t *fb_snapshot_facet(const fb_snapshot_t *snapshot, unsigned family, unsigned field,
                                     fb_slice_t text)
{
    const fb_facets_t *facets = snapshot->families[family].indexes[field].facets;
    for (uint32_t i = 0; facets != NULL && i < facets->count; i++) {
        const fb_facet_t *entry = &facets->entries[i];
        if (fb_slice_equal(text, (fb_slice_t){entry->text, entry->len}))
            return &entry->rows;
    }
    return NULL;
}

const fb_children_t *fb_snapshot_children(const fb_snapshot_t *snapshot, unsigned family,
                                          unsigned field, uint32_t parent)
{
    return fb_table_get(&snapshot->families[family].indexes[field].children, parent);
}

const fb_children_t *fb_snapshot_next_children(const fb_snapshot_t *snapshot, unsigned family,
                                               unsigned field, uint32_t *parent)
{
    return fb_table_next(&snapshot->families[family].indexes[field].children, parent);
}

uint32_t fb_children_place(const fb_children_t *children, uint32_t id)
{
    uint32_t low = 0, high = children->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (children->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const fb_bitmap_t *fb_snapshot_given(const fb_snapshot_t *snapshot, unsigned family, unsigned field)
{
    return &snapshot->families[family].indexes[field].given;
}

const fb_bitmap_t *fb_snapshot_day(const fb_snapshot_t *snapshot, fb_plane_id_t plane, fb_day_t day)
{
    const fb_plane_day_t *found = fb_table_get(&snapshot->planes[plane], (uint32_t)day);
    return found ? &found->machines : NULL;
}

bool fb_snapshot_has_day(const fb_snapshot_t *snapshot, fb_plane_id_t plane, fb_day_t day,
                         uint32_t machine)
{
    const fb_bitmap_t *machines = fb_snapshot_day(snapshot, plane, day);
    return machines != NULL && fb_bitmap_has(machines, machine);
}

uint64_t fb_snapshot_days_changed(const fb_snapshot_t *snapshot, fb_day_t from, fb_day_t to)
{
    uint64_t changed = 0;
    for (int plane = 0; plane < FB_PLANE_COUNT; plane++) {
        uint32_t day = (uint32_t)from;
        const fb_plane_day_t *found;
        while ((found = fb_table_next(&snapshot->planes[plane], &day)) && day <= (uint32_t)to) {
            changed = found->changed > changed ? found->changed : changed;
            day++;
        }
    }
    return changed;
}
