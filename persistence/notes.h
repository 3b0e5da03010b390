/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/slice.h"

/* What instances agree upon beside the log: it belongs to no revision. See store.h. */

/* The right to do what one alone should: fb:{f}:NAME is its owner, for so long. */
typedef struct {
    const char *name;  /* "feed_lease" */
    const char *owner; /* this instance among all */
    uint64_t ms;       /* from now on; at least 1 */
} fb_lease_t;

#define FB_NOTES_MAX 32 /* fields of one call */

/* Notes that belong to no revision: the hash fb:{f}:NAME. */
typedef struct {
    const char *name;
    const char *const *fields;
    size_t count; /* 1 to FB_NOTES_MAX */
} fb_notes_t;
