/* SPDX-License-Identifier: MIT */
#include "server/address.h"

#include <stdio.h>

static bool is_host(fb_slice_t host, bool bracketed)
{
    if (host.len >= FB_ADDRESS_HOST_BYTES || (bracketed && host.len == 0))
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.at[i];
        if (c <= ' ' || c == 0x7f || c == '[' || c == ']' || c == '/' || (c == ':' && !bracketed))
            return false;
    }
    return true;
}

fb_code_t fb_address_parse(const char *text, fb_address_t *address, fb_error_t *error)
{
    uint64_t port;
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return fb_fail(error, FB_CONFIG, "\"%.80s\" is no HOST:PORT, as 127.0.0.1:8080 is", text);
    if (!fb_slice_to_u64(fb_slice(colon + 1), UINT16_MAX, &port))
        return fb_fail(error, FB_CONFIG, "\"%.80s\" does not end in a port from 0 to %d", text,
                       UINT16_MAX);
    fb_slice_t host = {text, (size_t)(colon - text)};
    bool bracketed = host.len >= 2 && text[0] == '[' && colon[-1] == ']';
    if (bracketed)
        host = (fb_slice_t){text + 1, host.len - 2};
    if (!is_host(host, bracketed))
        return fb_fail(error, FB_CONFIG,
                       "\"%.80s\" does not begin with a host (an IPv6 address stands in brackets)",
                       text);
    snprintf(address->host, sizeof(address->host), "%.*s", FB_PRINT(host));
    snprintf(address->port, sizeof(address->port), "%u", (unsigned)port);
    return FB_OK;
}
