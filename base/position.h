/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FB_EPOCH_BYTES 8  /* hexadecimal digits */
#define FB_CHAIN_BYTES 32 /* hexadecimal digits: XXH3, 128 bits */
#define FB_SUM_BYTES   16 /* hexadecimal digits: fb_snapshot_sum */

/* An epoch that has ended: its revisions up to `until` are part of the history, later ones were
 * lost. */
typedef struct {
    char epoch[FB_EPOCH_BYTES + 1]; /* "": none */
    uint64_t until;
} fb_former_t;

#define FB_FORMER_MAX 8 /* epochs that are remembered */

/* A place in the log of changes, which names one state for ever: texts end with NUL. What users
 * see of it, the revision token, is `epoch.revision`. */
typedef struct {
    char epoch[FB_EPOCH_BYTES + 1];
    char chain[FB_CHAIN_BYTES + 1];
    char sum[FB_SUM_BYTES + 1]; /* of the state, as its author worked it out; "": not known */
    uint64_t revision;          /* 0: nothing was ever written */
    uint64_t since;             /* the revision at which the epoch began */
    fb_former_t former[FB_FORMER_MAX]; /* the epochs before it, the newest first */
} fb_position_t;

/* Does the history that leads here have the revision of that epoch? Also where it lies ahead, in
 * the epoch of the position. */
bool fb_position_includes(const fb_position_t *position, const char *epoch, uint64_t revision);
