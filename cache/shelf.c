/* SPDX-License-Identifier: MIT */
#include "cache/shelf.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

/* The phases of a snapshot, and who may touch it:
 *
 *     current    put has published its entry       every reader may take it
 *     waiting    the next put has queued it        readers that took it before still read it;
 *                                                  nobody takes it any more
 *     freed      reclaim saw every pin above it    nobody
 *
 * Why nothing is freed under a reader. It takes in two steps: it loads `current`, then it stores
 * the number of what it loaded as its pin. Reclamation frees only what is numbered below every pin.
 *
 * 1. Between the two steps the pin still holds an older number, p. What the reader loads now is
 *    numbered q >= p, since one thread's loads of one atomic never go back. Whatever pin the
 *    writer sees, p or an older one, is at most q, so q is not freed. Nor need the writer see the
 *    new pin soon: an old pin holds back more, never less.
 * 2. The store of the pin is a release, and the writer's load of it an acquire. Once the writer
 *    sees pin q, all that the reader did with older snapshots has happened before, and so before
 *    they are freed.
 * 3. The store of `current` is a release, and the reader's load an acquire: the reader sees the
 *    snapshot as it was finished.
 * 4. A new reader has no older number yet. Its pin is 0, which holds back everything, and the lock
 *    orders its creation against the writer's look at the pins. Either the writer looks later and
 *    sees the 0; or it has looked before, and then its last store of `current` happened before the
 *    reader's first load: that reader loads the current entry or a later one, which are never
 *    among those that may be freed.
 * 5. A visitor that has left has no older number either. It visits under the lock, as a new reader
 *    comes (4): the writer looks later and sees its pin, or has looked before, and what the visitor
 *    loads is not among those that may be freed. Its leaving is a store as in 2.
 *
 * So neither side needs sequential consistency, and a take has no lock and no read-modify-write. */

#define CACHE_LINE_BYTES 64
#define NOTHING          UINT64_MAX /* the pin of a visitor that has left */

/* A snapshot with its number. Readers see the first two fields, which no one changes once it is
 * published; the others are the writer's. */
typedef struct entry {
    uint64_t number;
    const void *snapshot;
    struct entry *next; /* the one that was current after it; NULL if it is current itself */
    void **garbage;     /* blocks that it shows and its successor does not */
    size_t garbage_count;
} entry_t;

/* On a cache line of its own, as each loop writes its pin at each take. */
struct fb_reader {
    alignas(CACHE_LINE_BYTES) atomic_uint_fast64_t pin;
    fb_shelf_t *shelf;
    bool used; /* under the shelf's lock, as what follows */
    bool is_visitor;
};

struct fb_shelf {
    alignas(CACHE_LINE_BYTES) _Atomic(entry_t *) current; /* number 0, without snapshot, at first */
    alignas(CACHE_LINE_BYTES) entry_t *oldest; /* from here by `next` to the current one */
    size_t waiting;                            /* blocks in the entries before the current one */
    pthread_mutex_t lock;                      /* who is a reader */
    fb_reader_t readers[FB_SHELF_READERS_MAX];
};

static entry_t *entry_create(uint64_t number, const void *snapshot)
{
    entry_t *entry = fb_alloc_zero(1, sizeof(*entry));
    entry->number = number;
    entry->snapshot = snapshot;
    return entry;
}

static size_t entry_blocks(const entry_t *entry)
{
    return entry->garbage_count + (entry->snapshot != NULL);
}

static void entry_destroy(entry_t *entry)
{
    for (size_t i = 0; i < entry->garbage_count; i++)
        free(entry->garbage[i]);
    free(entry->garbage);
    free((void *)entry->snapshot);
    free(entry);
}

fb_shelf_t *fb_shelf_create(void)
{
    fb_shelf_t *shelf = aligned_alloc(CACHE_LINE_BYTES, sizeof(*shelf));
    fb_assert(shelf != NULL);
    shelf->oldest = entry_create(0, NULL);
    shelf->waiting = 0;
    atomic_init(&shelf->current, shelf->oldest);
    fb_assert(pthread_mutex_init(&shelf->lock, NULL) == 0);
    for (size_t i = 0; i < FB_SHELF_READERS_MAX; i++) {
        atomic_init(&shelf->readers[i].pin, 0);
        shelf->readers[i].shelf = shelf;
        shelf->readers[i].used = shelf->readers[i].is_visitor = false;
    }
    return shelf;
}

static void lock(const fb_shelf_t *shelf)
{
    fb_assert(pthread_mutex_lock((pthread_mutex_t *)&shelf->lock) == 0);
}

static void unlock(const fb_shelf_t *shelf)
{
    fb_assert(pthread_mutex_unlock((pthread_mutex_t *)&shelf->lock) == 0);
}

/* Of all readers, or of those that are waited for. */
static uint64_t least_pin(const fb_shelf_t *shelf, bool with_visitors)
{
    uint64_t least = UINT64_MAX;
    lock(shelf);
    for (size_t i = 0; i < FB_SHELF_READERS_MAX; i++) {
        const fb_reader_t *reader = &shelf->readers[i];
        if (!reader->used || (reader->is_visitor && !with_visitors))
            continue;
        uint64_t pin = atomic_load_explicit(&reader->pin, memory_order_acquire);
        if (pin < least)
            least = pin;
    }
    unlock(shelf);
    return least;
}

void fb_shelf_destroy(fb_shelf_t **shelf)
{
    fb_assert(least_pin(*shelf, true) == UINT64_MAX);
    fb_assert(fb_shelf_reclaim(*shelf) == 0);
    entry_destroy((*shelf)->oldest);
    fb_assert(pthread_mutex_destroy(&(*shelf)->lock) == 0);
    free(*shelf);
    *shelf = NULL;
}

static fb_reader_t *reader_create(fb_shelf_t *shelf, bool is_visitor)
{
    fb_reader_t *reader = NULL;
    lock(shelf);
    for (size_t i = 0; i < FB_SHELF_READERS_MAX && reader == NULL; i++) {
        if (!shelf->readers[i].used)
            reader = &shelf->readers[i];
    }
    if (reader != NULL) {
        reader->used = true;
        reader->is_visitor = is_visitor;
        atomic_store_explicit(&reader->pin, is_visitor ? NOTHING : 0, memory_order_relaxed);
    }
    unlock(shelf);
    return reader;
}

fb_reader_t *fb_shelf_reader_create(fb_shelf_t *shelf)
{
    return reader_create(shelf, false);
}

fb_reader_t *fb_shelf_visitor_create(fb_shelf_t *shelf)
{
    return reader_create(shelf, true);
}

void fb_shelf_reader_destroy(fb_reader_t **reader)
{
    const fb_shelf_t *shelf = (*reader)->shelf;
    lock(shelf);
    fb_assert((*reader)->used);
    (*reader)->used = false;
    unlock(shelf);
    *reader = NULL;
}

uint64_t fb_shelf_put(fb_shelf_t *shelf, const void *snapshot, void **garbage, size_t count)
{
    fb_assert(snapshot != NULL);
    entry_t *before = atomic_load_explicit(&shelf->current, memory_order_relaxed);
    entry_t *entry = entry_create(before->number + 1, snapshot);
    before->next = entry;
    before->garbage = garbage;
    before->garbage_count = count;
    shelf->waiting += entry_blocks(before);
    atomic_store_explicit(&shelf->current, entry, memory_order_release);
    return entry->number;
}

const void *fb_shelf_current(const fb_shelf_t *shelf)
{
    return atomic_load_explicit(&shelf->current, memory_order_relaxed)->snapshot;
}

const void *fb_shelf_take(fb_reader_t *reader)
{
    const entry_t *entry = atomic_load_explicit(&reader->shelf->current, memory_order_acquire);
    const void *snapshot = entry->snapshot;
    atomic_store_explicit(&reader->pin, entry->number, memory_order_release);
    return snapshot;
}

const void *fb_shelf_visit(fb_reader_t *visitor)
{
    lock(visitor->shelf);
    const void *snapshot = fb_shelf_take(visitor);
    unlock(visitor->shelf);
    return snapshot;
}

void fb_shelf_leave(fb_reader_t *visitor)
{
    atomic_store_explicit(&visitor->pin, NOTHING, memory_order_release);
}

uint64_t fb_shelf_reached(const fb_shelf_t *shelf)
{
    return least_pin(shelf, false);
}

size_t fb_shelf_reclaim(fb_shelf_t *shelf)
{
    uint64_t reached = least_pin(shelf, true);
    while (shelf->oldest->next != NULL && shelf->oldest->number < reached) {
        entry_t *entry = shelf->oldest;
        shelf->oldest = entry->next;
        shelf->waiting -= entry_blocks(entry);
        entry_destroy(entry);
    }
    return shelf->waiting;
}
