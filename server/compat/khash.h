/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Stands in for the klib header of this name, which h2o/http2_internal.h includes and Debian's
 * libh2o-dev leaves out. Here tables are read only: looked up, and walked from 0 to kh_end with
 * kh_exist. A table is n_buckets wide, a power of two; a key starts at its hash and moves on by
 * 1, 2, 3, … buckets; each bucket has two bits in `flags`, 16 buckets to a word:
 *
 *     0  live        1  deleted        2  never used */
typedef uint32_t khint_t;
typedef khint_t khiter_t;

#define kh_state(h, i)     ((h)->flags[(i) >> 4] >> (((i)&15U) << 1) & 3U)
#define kh_exist(h, i)     (kh_state(h, i) == 0)
#define kh_end(h)          ((h)->n_buckets)
#define kh_val(h, i)       ((h)->vals[i])
#define kh_size(h)         ((h)->size)
#define khash_t(name)      kh_##name##_t
#define kh_get(name, h, k) kh_get_##name(h, k)

#define KHASH_MAP_INIT_INT64(name, value_t)                                                        \
    typedef struct kh_##name##_s {                                                                 \
        khint_t n_buckets, size, n_occupied, upper_bound;                                          \
        uint32_t *flags;                                                                           \
        uint64_t *keys;                                                                            \
        value_t *vals;                                                                             \
    } kh_##name##_t;                                                                               \
    static inline khiter_t kh_get_##name(const kh_##name##_t *h, uint64_t key)                     \
    {                                                                                              \
        khint_t mask = h->n_buckets - 1;                                                           \
        khint_t at = (khint_t)(key >> 33 ^ key ^ key << 11) & mask;                                \
        for (khint_t step = 1; step <= h->n_buckets && kh_state(h, at) < 2; step++) {              \
            if (kh_exist(h, at) && h->keys[at] == key)                                             \
                return at;                                                                         \
            at = (at + step) & mask;                                                               \
        }                                                                                          \
        return kh_end(h);                                                                          \
    }
