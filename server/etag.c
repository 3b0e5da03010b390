/* SPDX-License-Identifier: MIT */
#include <xxhash.h>

#include "server/fleet.h"

/* The same hash by the widest instructions that this processor has. */
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#endif

void fb_etag(fb_slice_t body, char etag[FB_ETAG_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t hash = XXH3_64bits(body.at, body.len);
    etag[0] = '"';
    for (unsigned i = 0; i < 16; i++)
        etag[1 + i] = digits[hash >> (60 - 4 * i) & 15];
    etag[17] = '"';
    etag[18] = '\0';
}

static fb_slice_t trim(fb_slice_t text)
{
    while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text = (fb_slice_t){text.at + 1, text.len - 1};
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

bool fb_etag_matches(fb_slice_t field, const char *etag, bool weak)
{
    if (fb_slice_is(trim(field), "*"))
        return true;
    /* Our validators hold no comma, so a list can be cut at commas: a foreign one that holds some
     * is cut into parts of which none is ours. */
    while (field.len > 0) {
        const char *comma = memchr(field.at, ',', field.len);
        size_t len = comma ? (size_t)(comma - field.at) : field.len;
        fb_slice_t item = trim((fb_slice_t){field.at, len});
        if (weak && item.len > 2 && item.at[0] == 'W' && item.at[1] == '/')
            item = (fb_slice_t){item.at + 2, item.len - 2};
        if (fb_slice_is(item, etag))
            return true;
        size_t past = comma ? len + 1 : len;
        field = (fb_slice_t){field.at + past, field.len - past};
    }
    return false;
}
