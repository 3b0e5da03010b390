/* SPDX-License-Identifier: MIT */
#pragma once

#include "cache/table.h"

/* A persistent set of 32-bit numbers: a table of pages of 8,192 bits (1 KiB, plain 64-bit words).
 * A page without a bit is not there. The struct is a value, as that of a table; zeroed is empty.
 *
 *     bit n: page n / 8192, word n % 8192 / 64, bit n % 64
 *
 * Expected often: has; the counting and walking of "in this set and in none of those", which runs
 * a page at a time over all operands, so that each page is read once from memory. */
#define FB_BITMAP_PAGE_BITS  8192
#define FB_BITMAP_PAGE_WORDS (FB_BITMAP_PAGE_BITS / 64)

typedef struct {
    fb_table_t pages;
    uint64_t count; /* bits set */
} fb_bitmap_t;

bool fb_bitmap_has(const fb_bitmap_t *bitmap, uint32_t number);
/* Sets or clears one bit; false if it was so already (and nothing was copied). */
bool fb_bitmap_put(fb_bitmap_t *bitmap, fb_build_t *build, uint32_t number, bool set);
/* The least number >= `*number` in the set, which it is set to; false if there is none. */
bool fb_bitmap_next(const fb_bitmap_t *bitmap, uint32_t *number);
/* The greatest number <= `*number` that is not in the set, which it is set to; false if there is
 * none. */
bool fb_bitmap_gap(const fb_bitmap_t *bitmap, uint32_t *number);
/* Makes it hold exactly the bits of `bytes`, as Redis keeps a bitmap: bit n is the bit
 * 7 - n % 8 of byte n / 8 (SETBIT counts from the most significant bit). Only for an empty
 * bitmap. */
void fb_bitmap_load(fb_bitmap_t *bitmap, fb_build_t *build, const uint8_t *bytes, size_t len);
/* Retires all pages and leaves it empty. */
void fb_bitmap_clear(fb_bitmap_t *bitmap, fb_build_t *build);
/* The words of the page of the least number >= `*page` that has a bit, which it is set to; NULL if
 * there is none. Page numbers end far below UINT32_MAX. Borrowed. */
const uint64_t *fb_bitmap_page(const fb_bitmap_t *bitmap, uint32_t *page);
/* Has the page of the number, by its words, the number? */
static inline bool fb_bitmap_page_has(const uint64_t *words, uint32_t number)
{
    return words[number % FB_BITMAP_PAGE_BITS / 64] >> number % 64 & 1;
}

/* "In `all`, in `also` (NULL: no such condition), and in none of `without[0 .. n-1]`". Operands
 * may be NULL in `without`: they hold nothing. All are borrowed. */
typedef struct {
    const fb_bitmap_t *all;
    const fb_bitmap_t *also;
    const fb_bitmap_t *const *without;
    size_t without_count;
} fb_bitmap_filter_t;

/* How many numbers pass. */
uint64_t fb_bitmap_count(const fb_bitmap_filter_t *filter);
/* Writes the least `max` numbers >= `from` that pass, ascending; returns how many it wrote. Where
 * `count` is not NULL, also says how many pass in all, in the same walk. */
size_t fb_bitmap_select(const fb_bitmap_filter_t *filter, uint32_t from, uint32_t *numbers,
                        size_t max, uint64_t *count);
/* Writes the greatest `max` numbers <= `from` that pass, descending; returns how many it wrote. */
size_t fb_bitmap_select_down(const fb_bitmap_filter_t *filter, uint32_t from, uint32_t *numbers,
                             size_t max);
