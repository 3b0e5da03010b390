/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"

/* Windows of maintenance: each belongs to one machine and lasts from its first day to its last,
 * both included. They may overlap; the bitmaps of the days hold their union. */
#define FB_WINDOW_DAYS_MAX   3660
#define FB_WINDOWS_A_MACHINE 1000

typedef struct {
    uint32_t id;
    fb_day_t start, end;
} fb_window_t;

/* The windows of a machine; NULL where there never were any. */
const fb_children_t *fb_maintenance_windows(const fb_snapshot_t *snapshot, uint32_t machine);
fb_window_t fb_maintenance_window(const fb_snapshot_t *snapshot, uint32_t window);
/* The window of today (of several, the one that began first), or else the next one. */
bool fb_maintenance_current(const fb_snapshot_t *snapshot, uint32_t machine, fb_window_t *current);
/* Adds what ends all windows of a machine. */
void fb_maintenance_end_all(const fb_snapshot_t *snapshot, uint32_t machine, fb_change_t *change);
