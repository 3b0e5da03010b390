/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "server/access_ring.h"

/* The log of accesses: a line of JSON for each answer (server/access_line.h).
 *
 *     loop ─► ring ─┐
 *     loop ─► ring ─┼─► one thread: formats ─► large writes ─► a file or stdout
 *     loop ─► ring ─┘
 *
 * A loop copies what a line needs into its ring, which is bounded, and makes no system call: the
 * thread comes by itself, every FB_ACCESS_PAUSE_MS, and under load more often. So a target that
 * takes nothing blocks the thread alone. What finds no room in a ring, or cannot be written, is
 * dropped; the log says how many with a line of its own as soon as it can. The lines of one loop
 * are in the order of its answers; those of several loops are not sorted. */
#define FB_ACCESS_PAUSE_MS     50
#define FB_ACCESS_PAUSE_MS_MIN 5    /* under load */
#define FB_ACCESS_END_MS       1000 /* for what is there to be written at the end */

typedef struct fb_access_log fb_access_log_t;

typedef struct {
    uint64_t lines, dropped;
} fb_access_counts_t;

/* Opens `path` ("-": stdout), makes a ring for each of `loops`, starts the thread. FB_CONFIG says
 * why the path cannot be opened. SIGURG, which does nothing by default, is taken to interrupt a
 * write at the end; SIGPIPE must be ignored. */
fb_code_t fb_access_log_create(const char *path, unsigned loops, fb_access_log_t **log,
                               fb_error_t *error);
/* The ring of a loop, which is its only producer. */
fb_access_ring_t *fb_access_log_ring(fb_access_log_t *log, unsigned loop);
/* From any thread: the path is opened anew, after what is there has been written. */
void fb_access_log_reopen(fb_access_log_t *log);
/* From any thread; of no log, zeros. */
fb_access_counts_t fb_access_log_counts(const fb_access_log_t *log);
/* The loops have ended. Writes what is there, for FB_ACCESS_END_MS at most; a target that takes no
 * more by then is left, and the log of messages says how many lines it lacks. */
void fb_access_log_destroy(fb_access_log_t **log);
