/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "server/access_line.h"

/* Where the lines of the access log go: a file, or stdout. A write may fail in the middle of a
 * line, as on a full disk; what was begun of one is kept, and finished before anything else is
 * written, so no line is torn. Of one thread, but for the counters. */
typedef struct {
    const char *path; /* borrowed; "-" is stdout */
    int fd;
    size_t rest_len;
    bool rest_is_line; /* the rest is of a line that counts */
    bool fails;
    uint64_t failed_ms;       /* monotonic: when it last did */
    atomic_bool *is_over;     /* once it is set, a write that a signal interrupts is given up */
    fb_counter_t lines, lost; /* that were written; that never will be */
    char rest[FB_ACCESS_LINE_BYTES_MAX];
} fb_access_file_t;

/* Opens for appending, and makes it (0640) where it is not there. FB_CONFIG says why not. A last
 * line that a crash has torn is ended before the first one of ours. */
fb_code_t fb_access_file_open(fb_access_file_t *file, const char *path, atomic_bool *is_over,
                              fb_error_t *error);
/* Opens the path anew, since the file may have been renamed. On an error it goes on in the one that
 * it has. */
fb_code_t fb_access_file_reopen(fb_access_file_t *file, fb_error_t *error);
/* Writes whole lines, which count for `lines` together (0: they are not to be counted), or loses
 * those that cannot be written. The first failure, and that it works again, are in the log.
 * Returns whether the first of them is, or will be, in the file. */
bool fb_access_file_write(fb_access_file_t *file, const char *bytes, size_t len, uint64_t lines);
void fb_access_file_close(fb_access_file_t *file);
