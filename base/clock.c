/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

fb_instant_t fb_clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (fb_instant_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t fb_clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t fb_clock_monotonic_ms(void)
{
    return fb_clock_monotonic_ns() / 1000000u;
}
