/* SPDX-License-Identifier: MIT */
#include "resources/checksum.h"

#include <endian.h>
#include <xxhash.h>

#include "resources/registry.h"

/* Seeds of rows are ids and those of pages are days and places: none of them is that large. */
#define LAST_ID_SEED ((uint64_t)1 << 63)

static uint64_t hash_number(uint64_t number, uint64_t seed)
{
    uint64_t bytes = htole64(number);
    return XXH3_64bits_withSeed(&bytes, sizeof(bytes), seed);
}

uint64_t fb_checksum_row(const fb_row_t *row, unsigned field_count)
{
    /* Head and tail lie one behind the other. */
    fb_slice_t head = fb_row_json_head(row, field_count);
    size_t len = head.len + fb_row_json_tail(row, field_count).len;
    return XXH3_64bits_withSeed(head.at, len, row->id);
}

uint64_t fb_checksum_last_id(uint32_t last_id)
{
    return last_id > 0 ? hash_number(last_id, LAST_ID_SEED) : 0;
}

/* A seed costs the hash of so many bytes half as much again: the place is mixed in afterwards. */
static uint64_t hash_page(const uint64_t *page, fb_day_t day, uint32_t place)
{
    uint64_t words[FB_BITMAP_PAGE_WORDS];
    for (unsigned i = 0; i < FB_BITMAP_PAGE_WORDS; i++)
        words[i] = htole64(page[i]);
    return hash_number(XXH3_64bits(words, sizeof(words)), (uint64_t)day << 32 | place);
}

uint64_t fb_checksum_page(const fb_bitmap_t *machines, fb_day_t day, uint32_t number)
{
    uint32_t wanted = number / FB_BITMAP_PAGE_BITS, place = wanted;
    const uint64_t *page = fb_bitmap_page(machines, &place);
    return page != NULL && place == wanted ? hash_page(page, day, place) : 0;
}

uint64_t fb_checksum_day(const fb_bitmap_t *machines, fb_day_t day)
{
    uint64_t sum = 0;
    const uint64_t *page;
    for (uint32_t place = 0; (page = fb_bitmap_page(machines, &place)) != NULL; place++)
        sum += hash_page(page, day, place);
    return sum;
}

uint64_t fb_checksum_family(const fb_snapshot_t *snapshot, unsigned family)
{
    const fb_family_t *rows = &snapshot->families[family];
    unsigned field_count = fb_registry_resource(family)->field_count;
    uint64_t sum = fb_checksum_last_id(rows->last_id);
    const fb_row_t *row;
    /* No id is 0: that is what follows upon the last one that there can be. */
    for (uint32_t id = 1; id != 0 && (row = fb_table_next(&rows->rows, &id)) != NULL; id++)
        sum += fb_checksum_row(row, field_count);
    return sum;
}

uint64_t fb_checksum_plane(const fb_snapshot_t *snapshot, fb_plane_id_t plane)
{
    uint64_t sum = 0;
    const fb_plane_day_t *found;
    uint32_t day = 0;
    for (; (found = fb_table_next(&snapshot->planes[plane], &day)) != NULL; day++)
        sum += fb_checksum_day(&found->machines, (fb_day_t)day);
    return sum;
}

/* What a family or a plane adds to the total: by the name that Redis knows it by, as numbers of
 * families change from one fleetbit to the next. */
static uint64_t part(uint64_t sum, const char *kind, const char *name)
{
    if (sum == 0)
        return 0;
    uint64_t seed = XXH3_64bits(kind, strlen(kind));
    return hash_number(sum, XXH3_64bits_withSeed(name, strlen(name), seed));
}

uint64_t fb_snapshot_sum(const fb_snapshot_t *snapshot)
{
    uint64_t total = 0;
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        const char *name = fb_registry_resource(family)->row_name;
        total += name != NULL ? part(snapshot->families[family].sum, "rows", name) : 0;
    }
    for (int plane = 0; plane < FB_PLANE_COUNT; plane++)
        total += part(snapshot->plane_sums[plane], "days", fb_plane_names[plane]);
    return total;
}
