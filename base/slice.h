/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that somebody else owns. `at` may be NULL only where `len` is 0. */
typedef struct {
    const char *at;
    size_t len;
} fb_slice_t;

#define FB_SLICE(literal) ((fb_slice_t){(literal), sizeof(literal) - 1})
/* For printf's "%.*s". */
#define FB_PRINT(slice) (int)(slice).len, (slice).at

static inline fb_slice_t fb_slice(const char *text)
{
    return (fb_slice_t){text, strlen(text)};
}

static inline bool fb_slice_equal(fb_slice_t a, fb_slice_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool fb_slice_is(fb_slice_t a, const char *text)
{
    return fb_slice_equal(a, fb_slice(text));
}

/* A decimal number without sign, space or leading zero, at most `max`; false for all else. */
bool fb_slice_to_u64(fb_slice_t text, uint64_t max, uint64_t *number);
/* A decimal number with an optional minus, without a leading zero or a minus zero; false for all
 * else. */
bool fb_slice_to_i64(fb_slice_t text, int64_t *number);
/* Is it well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
bool fb_slice_is_utf8(fb_slice_t text);
/* How many bytes of it, from its beginning, are well-formed UTF-8. */
size_t fb_slice_utf8_prefix(fb_slice_t text);
