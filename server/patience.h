/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>

#include "base/error.h"

/* For how long a read of Redis is wanted: whoever reads in several steps looks before each. */
typedef struct {
    uint64_t deadline_ms;           /* monotonic: then it fails */
    const atomic_bool *is_given_up; /* nobody waits any more: then it fails, too; NULL: never */
} fb_patience_t;

/* FB_UNAVAILABLE once it is over; `what` is "the history", say. */
fb_code_t fb_patience_check(const fb_patience_t *patience, const char *what, fb_error_t *error);
