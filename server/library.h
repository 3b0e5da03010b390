/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

/* Functions of libh2o 2.2.5 that this program defines again. The library calls its exported
 * functions through its jump table, so one of the same name in the program takes its place. */
#define FB_LIBRARY_REPLACED_MAX 24

/* Says that `ours` takes the place of the library's function of that name, and returns the
 * library's own. To be called in a constructor. */
void *fb_library_replace(const char *name, const void *ours);

/* Whether all of them really take their place, and the library is the one they were written for;
 * else FB_CONFIG. Once at start. */
fb_code_t fb_library_check(fb_error_t *error);
