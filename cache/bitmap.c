/* SPDX-License-Identifier: MIT */
#include "cache/bitmap.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"

#define PAGE_BITS   FB_BITMAP_PAGE_BITS
#define PAGE_WORDS  FB_BITMAP_PAGE_WORDS
#define PAGE_BYTES  (PAGE_WORDS * sizeof(uint64_t))
#define PAGES_MAX   (UINT32_MAX / PAGE_BITS + 1)
#define LEAF_PAGES  FB_TABLE_LEAF_KEYS
#define BLOCK_WORDS 16

/* Compiled once for each of these processors and chosen when the program is loaded; a sanitizer is
 * not ready that early. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(FB_SANITIZED)
#define EACH_PROCESSOR __attribute__((target_clones("default", "popcnt", "avx2")))
#else
#define EACH_PROCESSOR
#endif

static uint64_t bit_of(uint32_t number)
{
    return (uint64_t)1 << number % 64;
}

static unsigned word_of(uint32_t number)
{
    return number % PAGE_BITS / 64;
}

bool fb_bitmap_has(const fb_bitmap_t *bitmap, uint32_t number)
{
    const uint64_t *page = fb_table_get(&bitmap->pages, number / PAGE_BITS);
    return page != NULL && (page[word_of(number)] & bit_of(number)) != 0;
}

/* Is there no bit in the page but this one, which is? */
static bool is_alone(const uint64_t *page, uint32_t number)
{
    uint64_t others = page[word_of(number)] ^ bit_of(number);
    for (unsigned i = 0; i < PAGE_WORDS && others == 0; i++) {
        if (i != word_of(number))
            others = page[i];
    }
    return others == 0;
}

bool fb_bitmap_put(fb_bitmap_t *bitmap, fb_build_t *build, uint32_t number, bool set)
{
    const uint64_t *page = fb_table_get(&bitmap->pages, number / PAGE_BITS);
    if (set == (page != NULL && (page[word_of(number)] & bit_of(number)) != 0))
        return false;
    uint64_t *next = NULL;
    if (page == NULL) {
        next = fb_build_alloc(build, PAGE_BYTES);
        memset(next, 0, PAGE_BYTES);
    } else if (!set && is_alone(page, number)) {
        fb_build_retire(build, page);
    } else {
        next = fb_build_own(build, page, PAGE_BYTES);
    }
    if (next != NULL)
        next[word_of(number)] ^= bit_of(number);
    fb_table_put(&bitmap->pages, build, number / PAGE_BITS, next);
    if (set)
        bitmap->count++;
    else
        bitmap->count--;
    return true;
}

bool fb_bitmap_next(const fb_bitmap_t *bitmap, uint32_t *number)
{
    uint32_t at = *number / PAGE_BITS;
    const uint64_t *page;
    while ((page = fb_table_next(&bitmap->pages, &at)) != NULL) {
        uint32_t from = at == *number / PAGE_BITS ? *number % PAGE_BITS : 0;
        uint64_t mask = ~(bit_of(from) - 1);
        for (unsigned i = word_of(from); i < PAGE_WORDS; i++, mask = UINT64_MAX) {
            if ((page[i] & mask) != 0) {
                *number = at * PAGE_BITS + i * 64 + (unsigned)__builtin_ctzll(page[i] & mask);
                return true;
            }
        }
        at++;
    }
    return false;
}

bool fb_bitmap_gap(const fb_bitmap_t *bitmap, uint32_t *number)
{
    uint32_t at = *number;
    for (;;) {
        const uint64_t *page = fb_table_get(&bitmap->pages, at / PAGE_BITS);
        if (page == NULL) {
            *number = at;
            return true;
        }
        uint64_t mask = bit_of(at) | (bit_of(at) - 1);
        for (unsigned i = word_of(at) + 1; i-- > 0; mask = UINT64_MAX) {
            uint64_t free_bits = ~page[i] & mask;
            if (free_bits != 0) {
                *number =
                    at / PAGE_BITS * PAGE_BITS + i * 64 + 63 - (unsigned)__builtin_clzll(free_bits);
                return true;
            }
        }
        if (at < PAGE_BITS)
            return false;
        at = at / PAGE_BITS * PAGE_BITS - 1;
    }
}

EACH_PROCESSOR
static uint64_t count_bits(const uint64_t *words, unsigned used)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < used; i++)
        count += (uint64_t)__builtin_popcountll(words[i]);
    return count;
}

/* The eight bytes at `bytes` as a word of ours: within each, SETBIT's first bit is the highest. */
static uint64_t load_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    word = le64toh(word);
    word = (word >> 4 & 0x0F0F0F0F0F0F0F0Fu) | (word & 0x0F0F0F0F0F0F0F0Fu) << 4;
    word = (word >> 2 & 0x3333333333333333u) | (word & 0x3333333333333333u) << 2;
    return (word >> 1 & 0x5555555555555555u) | (word & 0x5555555555555555u) << 1;
}

void fb_bitmap_load(fb_bitmap_t *bitmap, fb_build_t *build, const uint8_t *bytes, size_t len)
{
    fb_assert(bitmap->count == 0 && bitmap->pages.root == NULL);
    fb_assert(len <= PAGES_MAX * PAGE_BYTES);
    for (size_t at = 0; at < len; at += PAGE_BYTES) {
        uint8_t padded[PAGE_BYTES] = {0};
        memcpy(padded, bytes + at, len - at < PAGE_BYTES ? len - at : PAGE_BYTES);
        uint64_t words[PAGE_WORDS];
        for (unsigned i = 0; i < PAGE_WORDS; i++)
            words[i] = load_word(padded + i * sizeof(uint64_t));
        uint64_t count = count_bits(words, PAGE_WORDS);
        if (count == 0)
            continue;
        uint64_t *page = fb_build_alloc(build, PAGE_BYTES);
        memcpy(page, words, PAGE_BYTES);
        fb_table_put(&bitmap->pages, build, (uint32_t)(at / PAGE_BYTES), page);
        bitmap->count += count;
    }
}

void fb_bitmap_clear(fb_bitmap_t *bitmap, fb_build_t *build)
{
    const void *page;
    for (uint32_t at = 0; (page = fb_table_next(&bitmap->pages, &at)) != NULL; at++)
        fb_build_retire(build, page);
    fb_table_clear(&bitmap->pages, build);
    bitmap->count = 0;
}

const uint64_t *fb_bitmap_page(const fb_bitmap_t *bitmap, uint32_t *page)
{
    return fb_table_next(&bitmap->pages, page);
}

/* The pages of a filter's answer, one after the other. The leaves of the operands' tables are
 * looked up once in 64 pages. */
#define OPERANDS_ON_STACK 128

typedef struct {
    const fb_bitmap_filter_t *filter;
    uint64_t page;     /* the next one to look at */
    uint64_t leaf_end; /* the first page behind those of the leaves below */
    uint32_t left;     /* pages of `all` that may be yet to come */
    const void *const *all;
    const void *const *also;
    const void *const **leaves; /* of `without`; those that are not there are left out */
    size_t leaf_count;
    const uint64_t **pages; /* room for those of one page number */
    const void *room[2 * OPERANDS_ON_STACK];
} walk_t;

static void walk_init(walk_t *walk, const fb_bitmap_filter_t *filter, uint32_t from)
{
    walk->filter = filter;
    walk->page = walk->leaf_end = from / PAGE_BITS;
    walk->left = filter->all->pages.count;
    walk->all = walk->also = NULL;
    walk->leaf_count = 0;
    size_t room = filter->without_count;
    const void **at = walk->room;
    if (room > OPERANDS_ON_STACK)
        at = fb_alloc(2 * room * sizeof(*at));
    walk->leaves = (const void *const **)at;
    walk->pages = (const uint64_t **)(at + room);
}

static void walk_dispose(walk_t *walk)
{
    if ((const void **)walk->leaves != walk->room)
        free(walk->leaves);
}

/* Looks up the leaves that have the page; false where it passes none of that leaf's. */
static bool load_leaves(walk_t *walk)
{
    const fb_bitmap_filter_t *filter = walk->filter;
    uint32_t page = (uint32_t)walk->page;
    walk->all = fb_table_leaf(&filter->all->pages, page);
    walk->also = walk->all;
    if (filter->also != NULL && walk->all != NULL)
        walk->also = fb_table_leaf(&filter->also->pages, page);
    if (walk->also == NULL)
        return false;
    walk->leaf_count = 0;
    for (size_t i = 0; i < filter->without_count; i++) {
        if (filter->without[i] == NULL)
            continue;
        const void *const *leaf = fb_table_leaf(&filter->without[i]->pages, page);
        if (leaf != NULL)
            walk->leaves[walk->leaf_count++] = leaf;
    }
    return true;
}

/* Goes to the next leaf that has pages; false if there is none. */
static bool walk_leaf(walk_t *walk)
{
    for (;;) {
        uint32_t page = (uint32_t)walk->page;
        if (walk->page >= PAGES_MAX || fb_table_next(&walk->filter->all->pages, &page) == NULL)
            return false;
        walk->page = page;
        walk->leaf_end = page - page % LEAF_PAGES + LEAF_PAGES;
        if (load_leaves(walk))
            return true;
        walk->page = walk->leaf_end;
    }
}

/* How many words, in whole blocks, a page has up to its last bit: in the pages of a small fleet
 * few, and of what would be taken out of the others nothing need be read. */
static unsigned used_words(const uint64_t *page)
{
    unsigned used = PAGE_WORDS;
    for (; used > 0; used -= BLOCK_WORDS) {
        const uint64_t *block = page + used - BLOCK_WORDS;
        uint64_t any = 0;
        for (unsigned i = 0; i < BLOCK_WORDS; i += 4)
            any |= block[i] | block[i + 1] | block[i + 2] | block[i + 3];
        if (any != 0)
            break;
    }
    return used;
}

/* Four operands go into one pass, as the words come from the nearest cache again in each. */
__attribute__((always_inline)) static inline void
filter_words(uint64_t *restrict words, unsigned used, const uint64_t *all, const uint64_t *also,
             const uint64_t *const *without, size_t count)
{
    for (unsigned i = 0; i < used; i++)
        words[i] = all[i] & also[i];
    size_t at = 0;
    for (; at + 4 <= count; at += 4) {
        const uint64_t *a = without[at], *b = without[at + 1];
        const uint64_t *c = without[at + 2], *d = without[at + 3];
        for (unsigned i = 0; i < used; i++)
            words[i] &= ~(a[i] | b[i] | c[i] | d[i]);
    }
    for (; at < count; at++) {
        const uint64_t *a = without[at];
        for (unsigned i = 0; i < used; i++)
            words[i] &= ~a[i];
    }
}

/* What of `all` and `also` is in none of `without`. */
EACH_PROCESSOR
static void filter_page(uint64_t *restrict words, unsigned used, const uint64_t *all,
                        const uint64_t *also, const uint64_t *const *without, size_t count)
{
    /* Of a loop whose length it knows the compiler makes vectors: the pages of large fleets. */
    if (used == PAGE_WORDS)
        filter_words(words, PAGE_WORDS, all, also, without, count);
    else
        filter_words(words, used, all, also, without, count);
}

/* Writes what passes of one page of the leaves, as many words as are `used`; false where that is
 * nothing for certain. */
static bool walk_page(walk_t *walk, uint64_t *words, unsigned *used)
{
    unsigned slot = walk->page % LEAF_PAGES;
    if (walk->all[slot] == NULL)
        return false;
    walk->left--;
    if (walk->also[slot] == NULL)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < walk->leaf_count; i++) {
        if (walk->leaves[i][slot] != NULL)
            walk->pages[count++] = walk->leaves[i][slot];
    }
    *used = used_words(walk->all[slot]);
    filter_page(words, *used, walk->all[slot], walk->also[slot], walk->pages, count);
    return true;
}

/* Writes the words of the next page that may have bits, as many of them as are `used`, and its
 * number; false at the end. */
static bool walk_next(walk_t *walk, uint64_t *words, unsigned *used, uint32_t *number)
{
    for (;; walk->page++) {
        if (walk->left == 0 || (walk->page >= walk->leaf_end && !walk_leaf(walk)))
            return false;
        if (!walk_page(walk, words, used))
            continue;
        *number = (uint32_t)walk->page++;
        return true;
    }
}

/* Nothing is taken out of `all`: how many there are is known. */
static bool is_all(const fb_bitmap_filter_t *filter)
{
    return filter->also == NULL && filter->without_count == 0;
}

uint64_t fb_bitmap_count(const fb_bitmap_filter_t *filter)
{
    if (is_all(filter))
        return filter->all->count;
    walk_t walk;
    walk_init(&walk, filter, 0);
    uint64_t words[PAGE_WORDS];
    uint32_t page;
    unsigned used;
    uint64_t count = 0;
    while (walk_next(&walk, words, &used, &page))
        count += count_bits(words, used);
    walk_dispose(&walk);
    return count;
}

/* The numbers >= `from` of one page, at most `max`; returns how many it wrote. */
static size_t select_bits(const uint64_t *words, unsigned used, uint32_t page, uint32_t from,
                          uint32_t *numbers, size_t max)
{
    size_t count = 0;
    if (page < from / PAGE_BITS)
        return 0;
    unsigned first = page == from / PAGE_BITS ? word_of(from) : 0;
    uint64_t mask = page == from / PAGE_BITS ? ~(bit_of(from) - 1) : UINT64_MAX;
    for (unsigned i = first; i < used && count < max; i++, mask = UINT64_MAX) {
        for (uint64_t word = words[i] & mask; word != 0 && count < max; word &= word - 1)
            numbers[count++] = page * PAGE_BITS + i * 64 + (unsigned)__builtin_ctzll(word);
    }
    return count;
}

size_t fb_bitmap_select(const fb_bitmap_filter_t *filter, uint32_t from, uint32_t *numbers,
                        size_t max, uint64_t *count)
{
    walk_t walk;
    bool counting = count != NULL && !is_all(filter);
    walk_init(&walk, filter, counting ? 0 : from);
    uint64_t words[PAGE_WORDS], passed = 0;
    uint32_t page;
    unsigned used;
    size_t found = 0;
    while ((counting || found < max) && walk_next(&walk, words, &used, &page)) {
        found += select_bits(words, used, page, from, numbers + found, max - found);
        passed += counting ? count_bits(words, used) : 0;
    }
    walk_dispose(&walk);
    if (count != NULL)
        *count = counting ? passed : filter->all->count;
    return found;
}

/* The numbers <= `from` of one page, descending, at most `max`; returns how many it wrote. */
static size_t select_bits_down(const uint64_t *words, unsigned used, uint32_t page, uint32_t from,
                               uint32_t *numbers, size_t max)
{
    size_t count = 0;
    bool is_first = page == from / PAGE_BITS;
    unsigned last = is_first ? word_of(from) : PAGE_WORDS - 1;
    uint64_t mask = is_first ? bit_of(from) | (bit_of(from) - 1) : UINT64_MAX;
    for (unsigned i = last + 1; i-- > 0 && count < max; mask = UINT64_MAX) {
        uint64_t word = i < used ? words[i] & mask : 0;
        while (word != 0 && count < max) {
            unsigned bit = 63 - (unsigned)__builtin_clzll(word);
            numbers[count++] = page * PAGE_BITS + i * 64 + bit;
            word ^= (uint64_t)1 << bit;
        }
    }
    return count;
}

size_t fb_bitmap_select_down(const fb_bitmap_filter_t *filter, uint32_t from, uint32_t *numbers,
                             size_t max)
{
    walk_t walk;
    uint64_t words[PAGE_WORDS];
    unsigned used;
    size_t found = 0;
    walk_init(&walk, filter, from);
    for (bool at_leaf = false; found < max; walk.page--) {
        if (!at_leaf && !load_leaves(&walk))
            walk.page -= walk.page % LEAF_PAGES; /* none of its pages */
        else if (walk_page(&walk, words, &used))
            found += select_bits_down(words, used, (uint32_t)walk.page, from, numbers + found,
                                      max - found);
        if (walk.page == 0)
            break;
        at_leaf = walk.page % LEAF_PAGES != 0;
    }
    walk_dispose(&walk);
    return found;
}
