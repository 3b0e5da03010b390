/* SPDX-License-Identifier: MIT */
#include "resources/index.h"

#include "base/assert.h"
#include "resources/registry.h"
#include "resources/unique.h"

#define FACETS_BYTES(count)   (sizeof(fb_facets_t) + (size_t)(count) * sizeof(fb_facet_t))
#define CHILDREN_BYTES(count) (sizeof(fb_children_t) + (size_t)(count) * sizeof(uint32_t))

static void unique_put(fb_snapshot_t *next, fb_build_t *build, unsigned family, unsigned field,
                       const fb_value_t *value, uint32_t id, bool add)
{
    fb_map_t *map = &next->families[family].indexes[field].unique;
    fb_unique_t unique = fb_unique(next, family, field, value->text);
    fb_map_key_t key = fb_unique_key(&unique);
    if (add)
        fb_map_put(map, build, &key, id);
    else if (fb_map_get(map, &key) == id)
        fb_map_remove(map, build, &key);
}

static fb_facets_t *facets_with_room(fb_build_t *build, const fb_facets_t *before, fb_slice_t text)
{
    uint32_t count = before ? before->count : 0;
    fb_facets_t *facets = fb_build_alloc(build, FACETS_BYTES(count + 1));
    char *copy = fb_build_alloc(build, text.len + 1);
    if (before != NULL)
        memcpy(facets, before, FACETS_BYTES(count));
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    facets->entries[count] = (fb_facet_t){.text = copy, .len = text.len};
    facets->count = count + 1;
    fb_build_retire(build, before);
    return facets;
}

static void facet_put(fb_index_t *index, fb_build_t *build, fb_slice_t text, uint32_t id, bool add)
{
    const fb_facets_t *before = index->facets;
    uint32_t i = 0;
    while (before != NULL && i < before->count &&
           !fb_slice_equal(text, (fb_slice_t){before->entries[i].text, before->entries[i].len}))
        i++;
    fb_facets_t *facets = before == NULL || i == before->count
                              ? facets_with_room(build, before, text)
                              : fb_build_own(build, before, FACETS_BYTES(before->count));
    fb_bitmap_put(&facets->entries[i].rows, build, id, add);
    index->facets = facets;
}

/* Where `id` is among the ids, or would be. */
static uint32_t child_place(const fb_children_t *children, uint32_t id)
{
    uint32_t low = 0, high = children ? children->count : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (children->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void child_put(fb_snapshot_t *next, fb_index_t *index, fb_build_t *build, uint32_t parent,
                      uint32_t id, bool add)
{
    const fb_children_t *before = fb_table_get(&index->children, parent);
    uint32_t count = before ? before->count : 0;
    uint32_t place = child_place(before, id);
    bool is_in = place < count && before->ids[place] == id;
    /* A child that changed in itself changes what its parent shows, too. */
    uint32_t grown = count + (add && !is_in ? 1 : 0) - (!add && is_in ? 1 : 0);
    fb_children_t *children = fb_build_alloc(build, CHILDREN_BYTES(grown));
    children->changed = next->serial;
    children->count = grown;
    for (uint32_t from = 0, to = 0; from < count; from++) {
        if (!add && before->ids[from] == id)
            continue;
        if (add && !is_in && from == place)
            to++;
        children->ids[to++] = before->ids[from];
    }
    if (add && !is_in)
        children->ids[place] = id;
    fb_table_put(&index->children, build, parent, children);
    fb_build_retire(build, before);
}

static void children_put(fb_snapshot_t *next, fb_build_t *build, unsigned family, unsigned field,
                         const fb_row_t *row, bool add)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    fb_index_t *index = &next->families[family].indexes[field];
    fb_value_t value = fb_row_value(row, resource->fields, field);
    int64_t parent = value.number;
    fb_slice_t rest = value.text;
    if (resource->holds != NULL && !resource->holds(row))
        return;
    if (resource->fields[field].kind != FB_KIND_NUMBERS) {
        child_put(next, index, build, (uint32_t)parent, row->id, add);
        return;
    }
    while (fb_numbers_next(&rest, &parent)) {
        if (parent <= UINT32_MAX) /* else it is the id of nothing */
            child_put(next, index, build, (uint32_t)parent, row->id, add);
    }
}

static void index_put(fb_snapshot_t *next, fb_build_t *build, unsigned family, const fb_row_t *row,
                      bool add)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    for (unsigned f = 0; f < resource->field_count; f++) {
        fb_index_t *index = &next->families[family].indexes[f];
        unsigned flags = resource->fields[f].flags;
        if ((flags & (FB_UNIQUE | FB_FACET | FB_PARENT | FB_GIVEN)) == 0)
            continue;
        fb_value_t value = fb_row_value(row, resource->fields, f);
        if (value.null)
            continue;
        if (flags & FB_UNIQUE)
            unique_put(next, build, family, f, &value, row->id, add);
        else if (flags & FB_FACET)
            facet_put(index, build, value.text, row->id, add);
        else if (flags & FB_PARENT)
            children_put(next, build, family, f, row, add);
        else
            fb_bitmap_put(&index->given, build, row->id, add);
    }
}

void fb_index_add(fb_snapshot_t *next, fb_build_t *build, unsigned family, const fb_row_t *row)
{
    index_put(next, build, family, row, true);
}

void fb_index_remove(fb_snapshot_t *next, fb_build_t *build, unsigned family, const fb_row_t *row)
{
    index_put(next, build, family, row, false);
}

static void clear_facets(fb_index_t *index, fb_build_t *build)
{
    const fb_facets_t *facets = index->facets;
    for (uint32_t i = 0; facets != NULL && i < facets->count; i++) {
        fb_bitmap_t rows = facets->entries[i].rows;
        fb_bitmap_clear(&rows, build);
        fb_build_retire(build, facets->entries[i].text);
    }
    fb_build_retire(build, facets);
    index->facets = NULL;
}

static void clear_children(fb_index_t *index, fb_build_t *build)
{
    uint32_t parent = 1; /* no id is 0: that is what follows upon the last one */
    const fb_children_t *children;
    for (; parent != 0 && (children = fb_table_next(&index->children, &parent)); parent++)
        fb_build_retire(build, children);
    fb_table_clear(&index->children, build);
}

void fb_index_clear(fb_snapshot_t *next, fb_build_t *build, unsigned family)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    for (unsigned f = 0; f < resource->field_count; f++) {
        fb_index_t *index = &next->families[family].indexes[f];
        unsigned flags = resource->fields[f].flags;
        if (flags & FB_UNIQUE)
            fb_map_clear(&index->unique, build);
        else if (flags & FB_FACET)
            clear_facets(index, build);
        else if (flags & FB_PARENT)
            clear_children(index, build);
        else if (flags & FB_GIVEN)
            fb_bitmap_clear(&index->given, build);
    }
}
