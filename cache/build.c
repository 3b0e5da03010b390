/* SPDX-License-Identifier: MIT */
#include "cache/build.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

/* The fresh blocks are a hash set by pages of the address space: an entry holds a page's number and
 * one bit for every 16 bytes in it, set where a fresh block begins.
 *
 *     entry: [ address / 4096 | 256 bits ]
 *
 * Blocks of one build lie close together, so a few entries that stay in the processor's caches
 * answer for thousands of blocks; a set of pointers would miss them at each question during a bulk
 * load. An entry whose bits are all gone stays until the next growth, so that nothing is ever
 * taken out of a probe sequence. The set is as large as the memory that the build has touched
 * allows: at most 40 bytes a page, times four. */
#define PAGE_BYTES        4096
#define GRANULE_BYTES     16
#define PAGE_WORDS        (PAGE_BYTES / GRANULE_BYTES / 64)
#define CAPACITY_BITS_MIN 6

typedef struct {
    uintptr_t page; /* 0 if the entry is not in use */
    uint64_t blocks[PAGE_WORDS];
} entry_t;

struct fb_build {
    entry_t *entries;
    unsigned capacity_bits; /* there are 1 << capacity_bits entries */
    size_t used;            /* at most half of them */
    void **garbage;
    size_t garbage_count;
    size_t garbage_capacity;
};

static size_t capacity_of(const fb_build_t *build)
{
    return (size_t)1 << build->capacity_bits;
}

/* The entry of `page`, or the free one where it would go. Multiplicative hashing (Knuth, The Art of
 * Computer Programming, volume 3, section 6.4) with linear probing. */
static entry_t *find(const fb_build_t *build, uintptr_t page)
{
    size_t mask = capacity_of(build) - 1;
    size_t at = (size_t)(((uint64_t)page * 0x9E3779B97F4A7C15u) >> (64 - build->capacity_bits));
    while (build->entries[at].page != page && build->entries[at].page != 0)
        at = (at + 1) & mask;
    return &build->entries[at];
}

static unsigned granule_of(uintptr_t address)
{
    return (unsigned)(address % PAGE_BYTES / GRANULE_BYTES);
}

static bool entry_is_empty(const entry_t *entry)
{
    uint64_t any = 0;
    for (size_t i = 0; i < PAGE_WORDS; i++)
        any |= entry->blocks[i];
    return any == 0;
}

static void grow(fb_build_t *build)
{
    entry_t *entries = build->entries;
    size_t capacity = capacity_of(build);
    size_t kept = 0;
    for (size_t i = 0; i < capacity; i++)
        kept += !entry_is_empty(&entries[i]);
    /* Entries that have become empty are dropped here; where many are, the size may do. */
    if (kept > capacity / 4)
        build->capacity_bits++;
    build->entries = fb_alloc_zero(capacity_of(build), sizeof(entry_t));
    build->used = kept;
    for (size_t i = 0; i < capacity; i++) {
        if (!entry_is_empty(&entries[i]))
            *find(build, entries[i].page) = entries[i];
    }
    free(entries);
}

fb_build_t *fb_build_create(void)
{
    fb_build_t *build = fb_alloc_zero(1, sizeof(*build));
    build->capacity_bits = CAPACITY_BITS_MIN;
    build->entries = fb_alloc_zero(capacity_of(build), sizeof(entry_t));
    return build;
}

static void free_fresh(const entry_t *entry)
{
    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        for (uint64_t word = entry->blocks[i]; word != 0; word &= word - 1) {
            uintptr_t granule = i * 64 + (unsigned)__builtin_ctzll(word);
            free((void *)(entry->page * PAGE_BYTES + granule * GRANULE_BYTES));
        }
    }
}

void fb_build_abort(fb_build_t **build)
{
    for (size_t i = 0; i < capacity_of(*build); i++)
        free_fresh(&(*build)->entries[i]);
    free((*build)->entries);
    free((*build)->garbage);
    free(*build);
    *build = NULL;
}

void *fb_build_alloc(fb_build_t *build, size_t size)
{
    /* Less than a granule would not be aligned to one. */
    void *block = fb_alloc(size < GRANULE_BYTES ? GRANULE_BYTES : size);
    uintptr_t address = (uintptr_t)block;
    fb_assert(address % GRANULE_BYTES == 0);
    entry_t *entry = find(build, address / PAGE_BYTES);
    if (entry->page == 0) {
        if (build->used == capacity_of(build) / 2) {
            grow(build);
            entry = find(build, address / PAGE_BYTES);
        }
        entry->page = address / PAGE_BYTES;
        build->used++;
    }
    uint64_t bit = (uint64_t)1 << granule_of(address) % 64;
    fb_assert((entry->blocks[granule_of(address) / 64] & bit) == 0);
    entry->blocks[granule_of(address) / 64] |= bit;
    return block;
}

bool fb_build_owns(const fb_build_t *build, const void *block)
{
    uintptr_t address = (uintptr_t)block;
    const entry_t *entry = find(build, address / PAGE_BYTES);
    uint64_t word = entry->blocks[granule_of(address) / 64];
    return (word >> granule_of(address) % 64 & 1) != 0 && address % GRANULE_BYTES == 0;
}

void fb_build_retire(fb_build_t *build, const void *block)
{
    if (block == NULL)
        return;
    if (fb_build_owns(build, block)) {
        uintptr_t address = (uintptr_t)block;
        entry_t *entry = find(build, address / PAGE_BYTES);
        entry->blocks[granule_of(address) / 64] &= ~((uint64_t)1 << granule_of(address) % 64);
        free((void *)block);
        return;
    }
    if (build->garbage_count == build->garbage_capacity) {
        build->garbage_capacity = build->garbage_capacity == 0 ? 64 : build->garbage_capacity * 2;
        build->garbage =
            fb_realloc(build->garbage, build->garbage_capacity * sizeof(*build->garbage));
    }
    build->garbage[build->garbage_count++] = (void *)block;
}

void *fb_build_own(fb_build_t *build, const void *block, size_t size)
{
    if (fb_build_owns(build, block))
        return (void *)block;
    void *copy = fb_build_alloc(build, size);
    memcpy(copy, block, size);
    fb_build_retire(build, block);
    return copy;
}

void fb_build_seal(fb_build_t **build, void ***garbage, size_t *count)
{
    *garbage = (*build)->garbage;
    *count = (*build)->garbage_count;
    free((*build)->entries);
    free(*build);
    *build = NULL;
}
