/* SPDX-License-Identifier: MIT */
#include "persistence/store.h"

/* The state of a streaming hash is declared by this part of the header alone; Debian's library
 * and its header are of one version. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "base/assert.h"

void fb_chain_next(const char *chain, const char *command, fb_slice_t payload,
                   char next[FB_CHAIN_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    XXH3_state_t state;
    XXH128_canonical_t hash;
    fb_assert(strlen(chain) == FB_CHAIN_BYTES && strlen(command) == FB_COMMAND_BYTES);
    XXH3_INITSTATE(&state);
    XXH3_128bits_reset(&state);
    XXH3_128bits_update(&state, chain, FB_CHAIN_BYTES);
    XXH3_128bits_update(&state, command, FB_COMMAND_BYTES);
    XXH3_128bits_update(&state, payload.at, payload.len);
    XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(&state));
    for (size_t i = 0; i < sizeof(hash.digest); i++) {
        next[2 * i] = digits[hash.digest[i] >> 4];
        next[2 * i + 1] = digits[hash.digest[i] & 15];
    }
    next[FB_CHAIN_BYTES] = '\0';
}
