/* SPDX-License-Identifier: MIT */
#include "server/access_ring.h"

#include <stdlib.h>

#include "base/memory.h"

/* Behind the ring: for the last record, and for what is read beyond a text. */
#define SPILL_BYTES (FB_ACCESS_RECORD_BYTES_MAX + 64)

_Static_assert(sizeof(fb_access_record_t) % 16 == 0, "texts are read sixteen bytes at a time");

fb_access_ring_t *fb_access_ring_create(size_t size)
{
    fb_assert(size >= 4096 && (size & (size - 1)) == 0);
    fb_access_ring_t *ring = aligned_alloc(alignof(fb_access_ring_t), sizeof(*ring));
    fb_assert(ring != NULL);
    memset(ring, 0, sizeof(*ring));
    ring->bytes = fb_alloc_zero(1, size + SPILL_BYTES);
    ring->size = size;
    ring->last = size - FB_ACCESS_RECORD_BYTES_MAX;
    return ring;
}

void fb_access_ring_destroy(fb_access_ring_t **ring)
{
    free((*ring)->bytes);
    free(*ring);
    *ring = NULL;
}

bool fb_access_ring_find_room(fb_access_ring_t *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    ring->last = tail + ring->size - FB_ACCESS_RECORD_BYTES_MAX;
    if (atomic_load_explicit(&ring->head, memory_order_relaxed) <= ring->last)
        return true;
    fb_count(&ring->dropped, 1);
    return false;
}

uint64_t fb_access_put_method(fb_slice_t method, char *text)
{
    uint64_t word = 0;
    size_t len = method.len;
    if (len > FB_ACCESS_METHOD_BYTES_MAX)
        len = FB_ACCESS_METHOD_BYTES_MAX;
    if (len > 0)
        memcpy(len <= sizeof(word) ? (char *)&word : text, method.at, len);
    return word;
}
