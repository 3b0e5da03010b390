/* SPDX-License-Identifier: MIT */
#include "server/traceparent.h"

/* Lower-case hexadecimal digits, and not all of them zeros unless those are allowed, up to `end`.
 */
static bool is_hexadecimal(const char *at, const char *end, bool may_be_zero)
{
    for (; at < end; at++) {
        bool is_digit = *at >= '0' && *at <= '9';
        if (!is_digit && (*at < 'a' || *at > 'f'))
            return false;
        may_be_zero = may_be_zero || *at != '0';
    }
    return may_be_zero;
}

bool fb_traceparent_is_valid(fb_slice_t text)
{
    const char *at = text.at;
    return text.len == FB_TRACEPARENT_BYTES && memcmp(at, "00-", 3) == 0 && at[35] == '-' &&
           at[52] == '-' && is_hexadecimal(at + 3, at + 35, false) &&
           is_hexadecimal(at + 36, at + 52, false) && is_hexadecimal(at + 53, at + 55, true);
}
