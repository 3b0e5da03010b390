/* SPDX-License-Identifier: MIT */
#pragma once

#include <time.h>

#include "base/date.h"

/* The wall clock, for what users read. */
fb_instant_t fb_clock_now(void);
/* The monotonic clock, for timers and durations. */
uint64_t fb_clock_monotonic_ns(void);
uint64_t fb_clock_monotonic_ms(void);
/* A time or a duration in nanoseconds, as the system calls want it. */
static inline struct timespec fb_clock_timespec(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
}
