/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/slice.h"

/* "Did you mean ...?": finds the name that a mistyped word was probably meant to be.
 *
 *     fb_suggest_t suggest = {.word = word};
 *     for each name: fb_suggest_offer(&suggest, name);
 *     if (suggest.name != NULL) ...
 */
typedef struct {
    fb_slice_t word;
    const char *name; /* the nearest name so far that is near enough; NULL: none is */
    unsigned distance;
} fb_suggest_t;

/* Names are near that a letter in three was added, dropped, changed or swapped to get. Keeps
 * `name`, not a copy. */
void fb_suggest_offer(fb_suggest_t *suggest, const char *name);
