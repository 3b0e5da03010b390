/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_BYTES_MAX 1000

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static fb_log_level_t level_max = FB_LOG_INFO;

void fb_log_set_level(fb_log_level_t level)
{
    level_max = level;
}

int fb_log_level_parse(const char *name)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, level_names[i]) == 0)
            return i;
    }
    return -1;
}

void fb_log(fb_log_level_t level, const char *format, ...)
{
    static const char cut_mark[] = " [cut]";
    char line[LINE_BYTES_MAX + sizeof(cut_mark) + 1];
    if (level > level_max)
        return;
    fb_instant_format(fb_clock_now(), line);
    int len = FB_INSTANT_TEXT_BYTES;
    len += snprintf(line + len, (size_t)(LINE_BYTES_MAX - len), " %s ", level_names[level]);
    va_list args;
    va_start(args, format);
    len += vsnprintf(line + len, (size_t)(LINE_BYTES_MAX - len), format, args);
    va_end(args);
    if (len >= LINE_BYTES_MAX) {
        memcpy(line + LINE_BYTES_MAX - 1, cut_mark, sizeof(cut_mark));
        len = LINE_BYTES_MAX - 1 + (int)sizeof(cut_mark) - 1;
    }
    /* A line of a text from outside stays one line. */
    for (int i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    }
    line[len++] = '\n';
    /* One write, so that lines of several threads do not mix; stderr that is gone is no reason
     * to stop. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)len);
    (void)written;
}
