/* SPDX-License-Identifier: MIT */
#include "base/base64url.h"

#include "base/assert.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void fb_base64url_put(fb_buffer_t *text, const uint8_t *bytes, size_t count)
{
    fb_assert(count % 3 == 0);
    for (size_t i = 0; i < count; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            fb_buffer_put_char(text, digits[group >> shift & 63]);
    }
}

bool fb_base64url_read(fb_slice_t text, uint8_t *bytes, size_t count)
{
    fb_assert(count % 3 == 0);
    if (text.len != FB_BASE64URL_TEXT_BYTES(count))
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *digit = memchr(digits, text.at[i + k], sizeof(digits) - 1);
            if (digit == NULL)
                return false;
            group = group << 6 | (uint32_t)(digit - digits);
        }
        *bytes++ = (uint8_t)(group >> 16);
        *bytes++ = (uint8_t)(group >> 8);
        *bytes++ = (uint8_t)group;
    }
    return true;
}
