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

/* Those of one parent in a block that may be written and has room for one more. A day may have very
 * many: within one build the block grows in place, by half of itself at a time. */
static fb_children_t *own_children(fb_build_t *build, const fb_children_t *before)
{
    uint32_t count = before ? before->count : 0;
    bool is_own = before != NULL && fb_build_owns(build, before);
    if (is_own && count < before->capacity)
        return (fb_children_t *)before;
    uint32_t capacity = count + 1 + (is_own ? count / 2 : 0);
    fb_children_t *children = fb_build_alloc(build, CHILDREN_BYTES(capacity));
    if (count > 0)
        memcpy(children->ids, before->ids, count * sizeof(before->ids[0]));
    children->count = count;
    children->capacity = capacity;
    fb_build_retire(build, before);
    return children;
}

static void child_put(fb_snapshot_t *next, fb_index_t *index, fb_build_t *build, uint32_t parent,
                      uint32_t id, bool add)
{
    const fb_children_t *before = fb_table_get(&index->children, parent);
    fb_children_t *children = own_children(build, before);
    uint32_t place = fb_children_place(children, id);
    uint32_t *at = children->ids + place;
    size_t behind = (children->count - place) * sizeof(*at);
    bool is_in = place < children->count && *at == id;
    if (children != before)
        fb_table_put(&index->children, build, parent, children);
    /* A child that changed in itself changes what its parent shows, too. */
    children->changed = next->serial;
    if (add && !is_in) {
        memmove(at + 1, at, behind);
        *at = id;
        children->count++;
    } else if (!add && is_in) {
        memmove(at, at + 1, behind - sizeof(*at));
        children->count--;
    }
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
    uint32_t parent = 0; /* what follows upon the last one that there can be, too */
    const fb_children_t *children;
    while ((children = fb_table_next(&index->children, &parent)) != NULL) {
        fb_build_retire(build, children);
        if (++parent == 0)
            break;
    }
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
