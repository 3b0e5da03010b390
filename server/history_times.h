/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/store.h"
#include "resources/equipment.h"

/* What was counted of histories when they were asked for last: a history that is asked for again is
 * read only as far back as where its newest entry was then.
 *
 *     oldest ······ upto ────── (newest now)
 *     └─ counted ─┘ └─ to be read ─┘
 *
 * It holds while the history begins with the same entry: what is dropped later spoils it. Of one
 * machine in FB_HISTORY_TIMES, the last one that was asked for. For all readers, under a mutex that
 * is held for a copy. */
#define FB_HISTORY_TIMES 1024

typedef struct {
    uint32_t machine;               /* 0: none */
    char epoch[FB_EPOCH_BYTES + 1]; /* in another one, entries may have been lost */
    fb_history_mark_t oldest, upto;
    uint64_t times[FB_EQUIPMENT_STATES + 1]; /* milliseconds in each state between the two */
} fb_history_counted_t;

typedef struct fb_history_times fb_history_times_t;

fb_history_times_t *fb_history_times_create(void);
void fb_history_times_destroy(fb_history_times_t **times);

/* What is known of the machine in that epoch; false: nothing. */
bool fb_history_times_find(fb_history_times_t *times, uint32_t machine, const char *epoch,
                           fb_history_counted_t *counted);
/* Keeps it, unless more is known already. */
void fb_history_times_keep(fb_history_times_t *times, const fb_history_counted_t *counted);

static inline bool fb_history_mark_equal(fb_history_mark_t a, fb_history_mark_t b)
{
    return a.ms == b.ms && a.number == b.number;
}

static inline bool fb_history_mark_before(fb_history_mark_t a, fb_history_mark_t b)
{
    return a.ms < b.ms || (a.ms == b.ms && a.number < b.number);
}
