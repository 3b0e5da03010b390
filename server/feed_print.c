/* SPDX-License-Identifier: MIT */
#include "server/feed_print.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

void fb_feed_print_dispose(fb_feed_print_t *print)
{
    free(print->blocks);
    *print = (fb_feed_print_t){0};
}

void fb_feed_printer_begin(fb_feed_printer_t *printer, const fb_feed_print_t *known)
{
    *printer = (fb_feed_printer_t){.known = known, .is_same = known->bytes > 0};
    printer->state = XXH3_createState();
    fb_assert(printer->state != NULL);
    XXH3_128bits_reset(printer->state);
}

static void end_block(fb_feed_printer_t *printer)
{
    fb_feed_print_t *print = &printer->print;
    const fb_feed_print_t *known = printer->known;
    XXH128_hash_t hash = XXH3_128bits_digest(printer->state);
    if (print->count == print->capacity) {
        print->capacity = print->capacity == 0 ? 64 : print->capacity * 2;
        print->blocks = fb_realloc(print->blocks, print->capacity * sizeof(print->blocks[0]));
    }
    if (print->count >= known->count || !XXH128_isEqual(hash, known->blocks[print->count]))
        printer->is_same = false;
    print->blocks[print->count++] = hash;
    XXH3_128bits_reset(printer->state);
    printer->in_block = 0;
}

void fb_feed_printer_put(fb_feed_printer_t *printer, fb_slice_t bytes)
{
    printer->print.bytes += bytes.len;
    while (bytes.len > 0) {
        size_t room = FB_FEED_BLOCK_BYTES - printer->in_block;
        size_t len = bytes.len < room ? bytes.len : room;
        XXH3_128bits_update(printer->state, bytes.at, len);
        printer->in_block += len;
        bytes = (fb_slice_t){bytes.at + len, bytes.len - len};
        if (printer->in_block == FB_FEED_BLOCK_BYTES)
            end_block(printer);
    }
}

bool fb_feed_printer_end(fb_feed_printer_t *printer)
{
    if (printer->in_block > 0)
        end_block(printer);
    printer->is_same = printer->is_same && printer->print.bytes == printer->known->bytes;
    return printer->is_same;
}

void fb_feed_printer_dispose(fb_feed_printer_t *printer)
{
    XXH3_freeState(printer->state);
    fb_feed_print_dispose(&printer->print);
}
