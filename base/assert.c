/* SPDX-License-Identifier: MIT */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void fb_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "fleetbit: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}
