/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "base/slice.h"

/* The log of messages, on stderr; a line each:
 *
 *     {"time":"2026-11-21T12:00:00.123Z","level":"error","message":"Redis does not answer",
 *      "request_id":"4a0d5bc0de7f5c1a","traceparent":"00-...","instance":"c1cdd73a"}
 *
 * or, as text, "2026-11-21T12:00:00.123Z error Redis does not answer". What is not known is not
 * there. Lines are UTF-8, whole and bounded, from any thread, and nothing is allocated for them.
 *
 * A message that repeats itself, by its format, is written FB_LOG_REPEATS_MAX times within
 * FB_LOG_REPEATS_MS; then a line says how often it was left out. Where stderr takes nothing, lines
 * are dropped, and a later one says how many: who writes a log never waits long for its reader. */
#define FB_LOG_REPEATS_MAX       10
#define FB_LOG_REPEATS_MS        10000
#define FB_LOG_FORMATS_MAX       64   /* that are remembered: of more, the oldest is forgotten */
#define FB_LOG_MESSAGE_BYTES_MAX 1000 /* a longer one is cut and says so */
#define FB_LOG_LINE_BYTES_MAX    4096 /* which a pipe takes whole (PIPE_BUF) */
#define FB_LOG_LEVELS            4

typedef enum { FB_LOG_ERROR, FB_LOG_WARNING, FB_LOG_INFO, FB_LOG_DEBUG } fb_log_level_t;
typedef enum { FB_LOG_TEXT, FB_LOG_JSON } fb_log_format_t;

/* Which request a message is about; empty where it is not known. */
typedef struct {
    fb_slice_t request_id, traceparent;
} fb_log_about_t;

/* These four before any thread starts. Lines above `level` are dropped; FB_LOG_INFO until set. */
void fb_log_set_level(fb_log_level_t level);
/* FB_LOG_TEXT until set: of a command for people. */
void fb_log_set_format(fb_log_format_t format);
/* Who writes: a member of each line of JSON. Copied, up to 32 bytes. */
void fb_log_set_instance(const char *instance);
/* How often instead of FB_LOG_REPEATS_MAX; UINT32_MAX: without a limit. */
void fb_log_set_repeats_max(uint32_t most);

/* Reads "error", "warning", "info" or "debug"; -1 for all else. */
int fb_log_level_parse(const char *name);
const char *fb_log_level_name(fb_log_level_t level);
/* Reads "text" or "json"; -1 for all else. */
int fb_log_format_parse(const char *name);

/* `format` is a literal: by its address repetitions are known. */
void fb_log(fb_log_level_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* From a loop, about a request: never waits for whoever reads stderr. */
void fb_log_request(const fb_log_about_t *about, fb_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says what has been left out, where its time is over; a line of any message does so, too. `all`:
 * also where it is not, for we are ending. */
void fb_log_settle(bool all);

/* Since the start, from any thread: the messages of a level that were to be written, also those
 * that were left out; and the lines that stderr did not take. */
uint64_t fb_log_messages(fb_log_level_t level);
uint64_t fb_log_dropped(void);

#define fb_log_error(...)   fb_log(FB_LOG_ERROR, __VA_ARGS__)
#define fb_log_warning(...) fb_log(FB_LOG_WARNING, __VA_ARGS__)
#define fb_log_info(...)    fb_log(FB_LOG_INFO, __VA_ARGS__)
#define fb_log_debug(...)   fb_log(FB_LOG_DEBUG, __VA_ARGS__)
