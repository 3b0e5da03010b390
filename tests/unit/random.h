/* SPDX-License-Identifier: MIT */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/random.h"

/* Chance for the random programs of all tests. */
typedef struct {
    uint64_t state;
} chance_t;

/* From the seed in FB_SEED, or a new one; prints it. */
static inline chance_t chance_init(void)
{
    const char *given = getenv("FB_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : fb_clock_monotonic_ns();
    print_message("FB_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return (chance_t){seed};
}

static inline uint64_t chance_u64(chance_t *chance)
{
    return fb_random_next(&chance->state);
}

/* From 0 to `bound` - 1. */
static inline uint32_t chance_below(chance_t *chance, uint32_t bound)
{
    return (uint32_t)((chance_u64(chance) >> 32) * bound >> 32);
}

/* From `least` to `most`, both included. */
static inline int64_t chance_between(chance_t *chance, int64_t least, int64_t most)
{
    uint64_t width = (uint64_t)most - (uint64_t)least + 1;
    uint64_t offset = width == 0 ? chance_u64(chance) : chance_u64(chance) % width;
    return (int64_t)((uint64_t)least + offset);
}
