/* SPDX-License-Identifier: MIT */
#include "server/patience.h"

#include "base/clock.h"

fb_code_t fb_patience_check(const fb_patience_t *patience, const char *what, fb_error_t *error)
{
    bool given_up = patience->is_given_up != NULL && atomic_load(patience->is_given_up);
    if (!given_up && fb_clock_monotonic_ms() < patience->deadline_ms)
        return FB_OK;
    return fb_fail(error, FB_UNAVAILABLE, "Redis did not give %s in time", what);
}
