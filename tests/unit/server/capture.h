/* SPDX-License-Identifier: MIT */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the log of messages says: from `capture_begin` on, stderr is a pipe, which has no limit of
 * the length of files. */
typedef struct {
    int kept, reader;
    size_t len;
    char text[65536];
} capture_t;

static inline capture_t *capture_begin(void)
{
    int ends[2];
    capture_t *capture = calloc(1, sizeof(*capture));
    if (capture == NULL || pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
        abort();
    capture->kept = dup(STDERR_FILENO);
    capture->reader = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return capture;
}

/* How often `text` was said. */
static inline unsigned capture_count(capture_t *capture, const char *text)
{
    unsigned count = 0;
    ssize_t len;
    while ((len = read(capture->reader, capture->text + capture->len,
                       sizeof(capture->text) - 1 - capture->len)) > 0)
        capture->len += (size_t)len;
    for (const char *at = capture->text; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static inline void capture_end(capture_t *capture)
{
    dup2(capture->kept, STDERR_FILENO);
    close(capture->kept);
    close(capture->reader);
    free(capture);
}
