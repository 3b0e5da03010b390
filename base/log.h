/* SPDX-License-Identifier: MIT */
#pragma once

typedef enum { FB_LOG_ERROR, FB_LOG_WARNING, FB_LOG_INFO, FB_LOG_DEBUG } fb_log_level_t;

/* Lines above `level` are dropped; FB_LOG_INFO until set. Before any thread starts. */
void fb_log_set_level(fb_log_level_t level);
/* Reads "error", "warning", "info" or "debug"; -1 for all else. */
int fb_log_level_parse(const char *name);

/* One line to stderr: instant, level, text. Whole lines, from any thread; never on the path of a
 * read. Longer than 1,000 bytes is cut and says so. */
void fb_log(fb_log_level_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define fb_log_error(...)   fb_log(FB_LOG_ERROR, __VA_ARGS__)
#define fb_log_warning(...) fb_log(FB_LOG_WARNING, __VA_ARGS__)
#define fb_log_info(...)    fb_log(FB_LOG_INFO, __VA_ARGS__)
#define fb_log_debug(...)   fb_log(FB_LOG_DEBUG, __VA_ARGS__)
