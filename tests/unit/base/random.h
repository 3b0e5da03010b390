/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/random.h"

/* Random numbers for tests. The seed is printed; FB_SEED in the environment sets it. */
typedef struct {
    uint64_t state;
} random_t;

static inline random_t random_start(const char *test)
{
    const char *given = getenv("FB_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_nsec;
    printf("%s: FB_SEED=%llu\n", test, (unsigned long long)seed);
    fflush(stdout);
    return (random_t){seed};
}

static inline uint64_t random_next(random_t *random)
{
    return fb_random_next(&random->state);
}

/* From `least` to `most`, both included. */
static inline int64_t random_between(random_t *random, int64_t least, int64_t most)
{
    uint64_t width = (uint64_t)most - (uint64_t)least + 1;
    uint64_t offset = width == 0 ? random_next(random) : random_next(random) % width;
    return (int64_t)((uint64_t)least + offset);
}
