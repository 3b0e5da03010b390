/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How far something is that takes a while, on stderr: a bar that is drawn over itself on a
 * terminal; elsewhere a line every tenth. */
typedef struct {
    const char *things; /* what is counted: "machines" */
    uint64_t total;
    uint64_t begun_ms; /* monotonic */
    int shown_percent;
    bool is_terminal;
    bool is_open; /* the terminal's line has not ended */
} fb_progress_t;

/* `total` is at least 1. */
void fb_progress_begin(fb_progress_t *progress, const char *things, uint64_t total);
void fb_progress_show(fb_progress_t *progress, uint64_t done);
/* Ends the line of a bar that did not become full. */
void fb_progress_end(fb_progress_t *progress);
double fb_progress_seconds(const fb_progress_t *progress);
