/* SPDX-License-Identifier: MIT */
#pragma once

#include <xxhash.h>

#include "base/slice.h"

/* By which a document is known again while it comes: the XXH3 (128 bits) of each of its blocks. So
 * one that is as before need not be parsed, and one that is not, from its first block on that
 * differs. */
#define FB_FEED_BLOCK_BYTES 65536

typedef struct {
    XXH128_hash_t *blocks;
    size_t count, capacity;
    uint64_t bytes; /* of the document; 0: none is known */
} fb_feed_print_t;

/* One that is being made, and what it is held against. */
typedef struct {
    fb_feed_print_t print;
    const fb_feed_print_t *known; /* borrowed */
    XXH3_state_t *state;          /* of the block that is not whole yet */
    size_t in_block;
    bool is_same; /* up to the last whole block */
} fb_feed_printer_t;

void fb_feed_print_dispose(fb_feed_print_t *print);

void fb_feed_printer_begin(fb_feed_printer_t *printer, const fb_feed_print_t *known);
void fb_feed_printer_put(fb_feed_printer_t *printer, fb_slice_t bytes);
/* The document is whole: is it the one that is known? */
bool fb_feed_printer_end(fb_feed_printer_t *printer);
/* Its print is the caller's, unless it is disposed of with it. */
void fb_feed_printer_dispose(fb_feed_printer_t *printer);
