/* SPDX-License-Identifier: MIT */
#include "base/uuid.h"

#include <openssl/evp.h>

#include "base/assert.h"
#include "base/buffer.h"

#define SHA1_BYTES 20

static bool is_hyphen_at(size_t place)
{
    return place == 8 || place == 13 || place == 18 || place == 23;
}

void fb_uuid_of_name(const uint8_t space[FB_UUID_BYTES], fb_slice_t name,
                     char uuid[FB_UUID_TEXT_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[SHA1_BYTES];
    fb_buffer_t whole = {0};
    fb_buffer_put(&whole, space, FB_UUID_BYTES);
    fb_buffer_put_slice(&whole, name);
    fb_assert(EVP_Digest(whole.at, whole.len, hash, NULL, EVP_sha1(), NULL) == 1);
    fb_buffer_dispose(&whole);
    hash[6] = (uint8_t)((hash[6] & 0x0F) | 0x50); /* the version */
    hash[8] = (uint8_t)((hash[8] & 0x3F) | 0x80); /* the variant */
    for (size_t at = 0, i = 0; at < FB_UUID_TEXT_BYTES; at++) {
        if (is_hyphen_at(at)) {
            uuid[at] = '-';
            continue;
        }
        uuid[at] = digits[i % 2 == 0 ? hash[i / 2] >> 4 : hash[i / 2] & 0x0F];
        i++;
    }
    uuid[FB_UUID_TEXT_BYTES] = '\0';
}

bool fb_uuid_is_text(fb_slice_t text)
{
    if (text.len != FB_UUID_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool fits = is_hyphen_at(i) ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (!fits)
            return false;
    }
    return true;
}
