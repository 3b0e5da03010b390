/* SPDX-License-Identifier: MIT */
#include "persistence/store.h"

#include "base/assert.h"

fb_code_t fb_store_check_commit(const fb_position_t *expected, const fb_entry_t *entries,
                                size_t count, fb_error_t *error)
{
    const char *chain = expected->chain;
    size_t bytes = 0;
    fb_assert(count >= 1 && count <= FB_STORE_BATCH_MAX);
    fb_assert(strlen(expected->epoch) == FB_EPOCH_BYTES);
    for (size_t i = 0; i < count; i++) {
        char next[FB_CHAIN_BYTES + 1];
        fb_assert(entries[i].revision == expected->revision + 1 + i);
        fb_chain_next(chain, entries[i].command, entries[i].payload, next);
        fb_assert(memcmp(next, entries[i].chain, sizeof(next)) == 0);
        chain = entries[i].chain;
        bytes += entries[i].payload.len;
    }
    if (bytes > FB_STORE_BATCH_BYTES_MAX)
        return fb_fail(error, FB_BODY_TOO_LARGE,
                       "%zu changes of %zu bytes; a commit has at most %d", count, bytes,
                       FB_STORE_BATCH_BYTES_MAX);
    return FB_OK;
}
