/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/snapshot.h"
#include "server/metrics.h"

/* How many events each family has had, whoever wrote them: counted once, as the snapshots come, and
 * not by the loops, which all see them. */
typedef struct {
    fb_counter_t events[FB_FAMILIES_MAX];
    uint64_t end; /* the first one that is not counted yet */
} fb_tally_t;

/* Counts the events of a new snapshot that the one before did not have. After a load there are none
 * before it. */
void fb_tally_take(fb_tally_t *tally, const fb_snapshot_t *snapshot);
