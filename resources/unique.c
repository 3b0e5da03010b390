/* SPDX-License-Identifier: MIT */
#include "resources/unique.h"

#include <xxhash.h>

#include "base/assert.h"
#include "resources/registry.h"

static fb_slice_t text_of(const fb_unique_t *unique, uint32_t id)
{
    const fb_row_t *row = fb_snapshot_row(unique->snapshot, unique->family, id);
    fb_assert(row != NULL);
    return fb_row_value(row, unique->fields, unique->field).text;
}

static uint64_t hash(const fb_unique_t *unique, fb_slice_t text)
{
    return XXH3_64bits_withSeed(text.at, text.len, unique->snapshot->hash_seed);
}

static bool same(const void *context, uint32_t id)
{
    const fb_unique_t *unique = context;
    return fb_slice_equal(unique->text, text_of(unique, id));
}

static uint64_t hash_of(const void *context, uint32_t id)
{
    const fb_unique_t *unique = context;
    return hash(unique, text_of(unique, id));
}

fb_unique_t fb_unique(const fb_snapshot_t *snapshot, unsigned family, unsigned field,
                      fb_slice_t text)
{
    const fb_field_t *fields = fb_registry_resource(family)->fields;
    return (fb_unique_t){snapshot, fields, family, field, text};
}

fb_map_key_t fb_unique_key(const fb_unique_t *unique)
{
    return (fb_map_key_t){hash(unique, unique->text), same, hash_of, unique};
}
