/* SPDX-License-Identifier: MIT */
#include "server/memo.h"

#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/assert.h"
#include "base/memory.h"

#define SLOTS (2 * FB_MEMO_ENTRIES_MAX) /* open addressing, at most half full */
#define SEEN  (FB_MEMO_ENTRIES_MAX / 4) /* targets that it remembers to have been asked for */

struct fb_memo {
    fb_memo_entry_t *slots[SLOTS];
    uint64_t seed; /* so that nobody outside can choose targets that collide */
    size_t bytes_max;
    size_t hand; /* the slot at which the next eviction looks first */
    size_t entries, bytes;
    uint16_t seen[SEEN]; /* by some bits of a target's hash, some others */
    fb_loop_metrics_t *metrics;
};

fb_memo_t *fb_memo_create(size_t bytes_max, fb_loop_metrics_t *metrics)
{
    fb_memo_t *memo = fb_alloc_zero(1, sizeof(*memo));
    memo->bytes_max = bytes_max;
    memo->metrics = metrics;
    fb_assert(getrandom(&memo->seed, sizeof(memo->seed), 0) == sizeof(memo->seed));
    return memo;
}

void fb_memo_destroy(fb_memo_t **memo)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if ((*memo)->slots[i] != NULL)
            h2o_mem_release_shared((*memo)->slots[i]);
    }
    free(*memo);
    *memo = NULL;
}

static size_t home(const fb_memo_entry_t *entry)
{
    return entry->hash % SLOTS;
}

static void account(fb_memo_t *memo, ptrdiff_t bytes, int entries)
{
    memo->bytes += (size_t)bytes;
    memo->entries += (size_t)entries;
    fb_count_set(&memo->metrics->memo_bytes, memo->bytes);
    fb_count_set(&memo->metrics->memo_entries, memo->entries);
}

/* Empties a slot and moves back those behind it that stand away from their home because of it
 * (Knuth, The Art of Computer Programming, vol. 3, section 6.4, algorithm R). */
static void remove_slot(fb_memo_t *memo, size_t slot)
{
    fb_memo_entry_t *gone = memo->slots[slot];
    account(memo, -(ptrdiff_t)gone->bytes, -1);
    h2o_mem_release_shared(gone);
    for (size_t next = slot;;) {
        next = (next + 1) % SLOTS;
        if (memo->slots[next] == NULL)
            break;
        size_t from_home = (next + SLOTS - home(memo->slots[next])) % SLOTS;
        size_t from_hole = (next + SLOTS - slot) % SLOTS;
        if (from_home < from_hole)
            continue;
        memo->slots[slot] = memo->slots[next];
        slot = next;
    }
    memo->slots[slot] = NULL;
}

fb_memo_entry_t *fb_memo_find(fb_memo_t *memo, fb_slice_t target, const fb_snapshot_t *snapshot)
{
    uint64_t hash = XXH3_64bits_withSeed(target.at, target.len, memo->seed);
    for (size_t slot = hash % SLOTS; memo->slots[slot] != NULL; slot = (slot + 1) % SLOTS) {
        fb_memo_entry_t *entry = memo->slots[slot];
        if (entry->hash != hash || entry->target.len != target.len ||
            memcmp(entry->target.base, target.at, target.len) != 0)
            continue;
        if (entry->serial != snapshot->serial) {
            if (entry->view->stamp(snapshot, &entry->args) != entry->stamp) {
                fb_count(&memo->metrics->memo_stale, 1);
                remove_slot(memo, slot);
                break;
            }
            entry->serial = snapshot->serial;
        }
        entry->recent = true;
        fb_count(&memo->metrics->memo_hits, 1);
        return entry;
    }
    fb_count(&memo->metrics->memo_misses, 1);
    return NULL;
}

static void evict_one(fb_memo_t *memo)
{
    for (;;) {
        memo->hand = (memo->hand + 1) % SLOTS;
        fb_memo_entry_t *entry = memo->slots[memo->hand];
        if (entry == NULL)
            continue;
        if (!entry->recent)
            break;
        entry->recent = false;
    }
    remove_slot(memo, memo->hand);
    fb_count(&memo->metrics->memo_evicted, 1);
}

static bool is_full(const fb_memo_t *memo, size_t bytes)
{
    return memo->entries > 0 &&
           (memo->bytes + bytes > memo->bytes_max || memo->entries >= FB_MEMO_ENTRIES_MAX);
}

/* Was it asked for lately? From now on it was. */
static bool note_seen(fb_memo_t *memo, uint64_t hash)
{
    uint16_t *seen = &memo->seen[hash >> 32 & (SEEN - 1)];
    uint16_t tag = (uint16_t)(hash >> 48);
    bool was_seen = *seen == tag;
    *seen = tag;
    return was_seen;
}

static void on_entry_dispose(void *chunk)
{
    fb_memo_entry_t *entry = chunk;
    fb_args_dispose(&entry->args);
    free(entry->body.base);
}

static fb_memo_entry_t *create_entry(fb_slice_t target, fb_args_t *args, fb_buffer_t *body)
{
    fb_memo_entry_t *entry =
        h2o_mem_alloc_shared(NULL, sizeof(*entry) + target.len, on_entry_dispose);
    *entry = (fb_memo_entry_t){.args = *args};
    entry->target = h2o_iovec_init((char *)(entry + 1), target.len);
    memcpy(entry->target.base, target.at, target.len);
    *args = (fb_args_t){0};
    /* Views reserve about what they need; what they did not is given back. */
    if (body->capacity - body->len > body->len / 8) {
        body->at = fb_realloc(body->at, body->len);
        body->capacity = body->len;
    }
    entry->body = h2o_iovec_init(body->at, body->len);
    entry->bytes = sizeof(*entry) + target.len + body->capacity + entry->args.decoded.capacity;
    *body = (fb_buffer_t){0};
    return entry;
}

fb_memo_entry_t *fb_memo_put(fb_memo_t *memo, fb_slice_t target, const fb_snapshot_t *snapshot,
                             const fb_view_t *view, fb_args_t *args, unsigned route,
                             fb_buffer_t *body)
{
    fb_memo_entry_t *entry = create_entry(target, args, body);
    entry->hash = XXH3_64bits_withSeed(target.at, target.len, memo->seed);
    entry->serial = snapshot->serial;
    entry->stamp = view->stamp(snapshot, &entry->args);
    entry->view = view;
    entry->route = route;
    fb_etag((fb_slice_t){entry->body.base, entry->body.len}, entry->etag);
    fb_head_tails_write(entry->head_tails, entry->body.len, entry->etag);

    if (entry->bytes > memo->bytes_max / 8)
        return entry;
    if (is_full(memo, entry->bytes) && !note_seen(memo, entry->hash))
        return entry;
    while (is_full(memo, entry->bytes))
        evict_one(memo);
    size_t slot = home(entry);
    while (memo->slots[slot] != NULL)
        slot = (slot + 1) % SLOTS;
    memo->slots[slot] = entry;
    account(memo, (ptrdiff_t)entry->bytes, 1);
    h2o_mem_addref_shared(entry);
    return entry;
}
