/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdalign.h>

#include "base/assert.h"
#include "base/slice.h"
#include "server/client.h"
#include "server/metrics.h"
#include "server/traceparent.h"

/* The accesses of one loop on their way to the thread of the log: a ring of bytes between one
 * producer and one consumer, without a lock and without a system call.
 *
 *          tail                      head                        FB_ACCESS_RING_BYTES
 *     free  │ record │ record │ record │ (one being filled) │ free    │ spill │
 *
 * Positions only grow; a record stands at its position modulo the size of the ring, in one piece:
 * the last one before the end reaches into the spill, and the next begins as far behind the start.
 * What finds no room is dropped, and counted. */
#define FB_ACCESS_RING_BYTES ((size_t)4 << 20) /* of each loop: 30,000 usual accesses */

#define FB_ACCESS_TARGET_BYTES_MAX 1024 /* of a longer target, its beginning is kept */
#define FB_ACCESS_METHOD_BYTES_MAX 32   /* of a method, likewise */
#define FB_ACCESS_ID_BYTES_MAX     128

/* One access, as the loop sees it. Borrowed. */
typedef struct {
    fb_slice_t id, method, target; /* empty where it is not known */
    const char *traceparent;       /* FB_TRACEPARENT_BYTES; NULL: none */
    const fb_client_t *client;
    uint64_t body_bytes;
    unsigned version; /* as libh2o has it: 0x101 */
    unsigned status, route;
} fb_access_t;

/* As it lies in the ring. Texts follow: the client, in fb_access_client_room; then, each padded to
 * a multiple of 16 bytes with '0', the request id, the target, and a method of more than 8 bytes;
 * last, where there is one, the traceparent, in FB_ACCESS_TRACE_ROOM. */
typedef struct {
    uint64_t ended_ns; /* monotonic */
    uint64_t duration_ns;
    uint64_t body_bytes;
    uint64_t method;       /* up to 8 bytes, as they lie in memory, then zeros */
    uint32_t size;         /* of all, a multiple of 16 */
    uint32_t target_bytes; /* its whole length, of which FB_ACCESS_TARGET_BYTES_MAX are here */
    uint16_t status, version;
    uint8_t id_len, client_len, route;
    uint8_t method_len : 7; /* one more than FB_ACCESS_METHOD_BYTES_MAX: it was cut there */
    uint8_t has_traceparent : 1;
    char texts[];
} fb_access_record_t;

/* The word of a method is read as it lies in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first letter is the lowest byte");
#define FB_ACCESS_GET ((uint64_t)'G' | 'E' << 8 | 'T' << 16)

#define FB_ACCESS_TRACE_ROOM 64

#define FB_ACCESS_RECORD_BYTES_MAX                                                                 \
    (sizeof(fb_access_record_t) + FB_CLIENT_BYTES + FB_ACCESS_ID_BYTES_MAX +                       \
     FB_ACCESS_TARGET_BYTES_MAX + FB_ACCESS_METHOD_BYTES_MAX + FB_ACCESS_TRACE_ROOM)

typedef struct {
    /* The producer's. */
    alignas(64) atomic_uint_fast64_t head;
    uint64_t last;               /* where a record may begin, by what was last known of the tail */
    fb_access_record_t *filling; /* NULL: none */
    fb_counter_t dropped;
    char *bytes; /* these two are nobody's to change */
    size_t size;
    /* The consumer's. */
    alignas(64) atomic_uint_fast64_t tail;
    uint64_t head_seen;
} fb_access_ring_t;

/* `size` is a power of two, and at least 4,096. */
fb_access_ring_t *fb_access_ring_create(size_t size);
void fb_access_ring_destroy(fb_access_ring_t **ring);

static inline size_t fb_access_padded(size_t len)
{
    return (len + 15) & ~(size_t)15;
}

static inline size_t fb_access_client_room(size_t len)
{
    return len <= 32 ? 32 : 48;
}

/* --- the producer ------------------------------------------------------------------------ */

/* Is there room for any record? Looks at the tail; if not, counts a record that is dropped. */
bool fb_access_ring_find_room(fb_access_ring_t *ring);
/* The word of a method in a record, or 0: then it is put to `text`. */
uint64_t fb_access_put_method(fb_slice_t method, char *text);

/* Most texts are shorter than what a call of memcpy costs. Returns where the next one goes. */
static inline char *fb_access_put_text(char *to, const char *from, size_t len)
{
    static const char padding[16] = {"0000000000000000"};
    size_t padded = fb_access_padded(len);
    if (len >= 16) {
        memcpy(to + padded - 16, padding, 16);
        for (size_t i = 0; i + 16 < len; i += 16)
            memcpy(to + i, from + i, 16);
        memcpy(to + len - 16, from + len - 16, 16);
    } else if (len > 0) {
        memcpy(to, padding, 16);
        memcpy(to, from, len);
    }
    return to + padded;
}

/* Copies an access, or drops it where there is no room for the largest. An end must follow. */
static inline void fb_access_ring_begin(fb_access_ring_t *ring, const fb_access_t *access)
{
    size_t target_len = access->target.len;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    fb_assert(access->id.len <= FB_ACCESS_ID_BYTES_MAX && ring->filling == NULL);
    if (head > ring->last && !fb_access_ring_find_room(ring))
        return;
    fb_access_record_t *record = (void *)(ring->bytes + (head & (ring->size - 1)));
    const fb_client_t *client = access->client;
    char *to = record->texts + fb_access_client_room(client->len);
    memcpy(record->texts, client->text, 32);
    if (client->len > 32)
        memcpy(record->texts + 32, client->text + 32, 16);
    record->body_bytes = access->body_bytes;
    record->target_bytes = (uint32_t)target_len;
    record->status = (uint16_t)access->status;
    record->version = (uint16_t)access->version;
    record->id_len = (uint8_t)access->id.len;
    record->client_len = client->len;
    record->route = (uint8_t)access->route;
    to = fb_access_put_text(to, access->id.at, access->id.len);
    if (target_len > FB_ACCESS_TARGET_BYTES_MAX)
        target_len = FB_ACCESS_TARGET_BYTES_MAX;
    to = fb_access_put_text(to, access->target.at, target_len);
    size_t method_len = access->method.len;
    if (method_len == 3 && memcmp(access->method.at, "GET", 3) == 0) {
        record->method = FB_ACCESS_GET;
    } else {
        record->method = fb_access_put_method(access->method, to);
        if (method_len > 8)
            to += FB_ACCESS_METHOD_BYTES_MAX;
        if (method_len > FB_ACCESS_METHOD_BYTES_MAX)
            method_len = FB_ACCESS_METHOD_BYTES_MAX + 1;
    }
    record->method_len = method_len & 0x7F;
    record->has_traceparent = access->traceparent != NULL;
    if (access->traceparent != NULL)
        to = fb_access_put_text(to, access->traceparent, FB_TRACEPARENT_BYTES);
    record->size = (uint32_t)(to - (char *)record);
    ring->filling = record;
}

/* Hands over what was begun. */
static inline void fb_access_ring_end(fb_access_ring_t *ring, uint64_t ended_ns,
                                      uint64_t duration_ns)
{
    fb_access_record_t *record = ring->filling;
    if (record == NULL)
        return;
    ring->filling = NULL;
    record->ended_ns = ended_ns;
    record->duration_ns = duration_ns;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + record->size, memory_order_release);
}

/* --- the consumer ------------------------------------------------------------------------ */

/* Takes notice of all that has been handed over until now. */
static inline void fb_access_ring_look(fb_access_ring_t *ring)
{
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
}
/* The oldest record that was noticed; NULL: none. */
static inline const fb_access_record_t *fb_access_ring_first(const fb_access_ring_t *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (tail == ring->head_seen)
        return NULL;
    return (const void *)(ring->bytes + (tail & (ring->size - 1)));
}
/* Gives the room of that record back. */
static inline void fb_access_ring_pass(fb_access_ring_t *ring, const fb_access_record_t *record)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + record->size, memory_order_release);
}
