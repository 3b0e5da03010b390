/* SPDX-License-Identifier: MIT */
#include "base/slice.h"

bool fb_slice_to_u64(fb_slice_t text, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (text.len == 0 || (text.len > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text.at[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value > max)
        return false;
    *number = value;
    return true;
}

bool fb_slice_to_i64(fb_slice_t text, int64_t *number)
{
    uint64_t magnitude;
    bool negative = text.len > 0 && text.at[0] == '-';
    uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    if (negative)
        text = (fb_slice_t){text.at + 1, text.len - 1};
    if (!fb_slice_to_u64(text, most, &magnitude) || (negative && magnitude == 0))
        return false;
    *number = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

/* The length of the sequence that `lead` begins, and the least code point it may stand for. */
static size_t utf8_length(unsigned char lead, uint32_t *least)
{
    if (lead >= 0xC2 && lead <= 0xDF) {
        *least = 0x80;
        return 2;
    }
    if ((lead & 0xF0) == 0xE0) {
        *least = 0x800;
        return 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *least = 0x10000;
        return 4;
    }
    return 0;
}

size_t fb_slice_utf8_prefix(fb_slice_t text)
{
    size_t at = 0;
    while (at < text.len) {
        const unsigned char *p = (const unsigned char *)text.at + at;
        if (*p < 0x80) {
            at++;
            continue;
        }
        uint32_t least = 0;
        size_t length = utf8_length(*p, &least);
        if (length == 0 || text.len - at < length)
            break;
        uint32_t point = *p & (0x7Fu >> length);
        bool continued = true;
        for (size_t i = 1; i < length; i++) {
            continued = continued && (p[i] & 0xC0) == 0x80;
            point = (point << 6) | (p[i] & 0x3Fu);
        }
        if (!continued || point < least || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
            break;
        at += length;
    }
    return at;
}

bool fb_slice_is_utf8(fb_slice_t text)
{
    return fb_slice_utf8_prefix(text) == text.len;
}
