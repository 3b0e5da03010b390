/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/date.h"

/* The wall clock, for what users read. */
fb_instant_t fb_clock_now(void);
/* The monotonic clock, for timers and durations. */
uint64_t fb_clock_monotonic_ns(void);
uint64_t fb_clock_monotonic_ms(void);
