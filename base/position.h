/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#define FB_EPOCH_BYTES 8  /* hexadecimal digits */
#define FB_CHAIN_BYTES 32 /* hexadecimal digits: XXH3, 128 bits */
#define FB_SUM_BYTES   16 /* hexadecimal digits: fb_snapshot_sum */

/* A place in the log of changes, which names one state for ever: texts end with NUL. What users
 * see of it, the revision token, is `epoch.revision`. */
typedef struct {
    char epoch[FB_EPOCH_BYTES + 1];
    char chain[FB_CHAIN_BYTES + 1];
    char sum[FB_SUM_BYTES + 1]; /* of the state, as its author worked it out; "": not known */
    uint64_t revision;          /* 0: nothing was ever written */
    uint64_t since;             /* the revision at which the epoch began */
} fb_position_t;
