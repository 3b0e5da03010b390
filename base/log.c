/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

#define WAIT_MS            100 /* for a stderr that takes nothing, unless a request waits */
#define INSTANCE_BYTES_MAX 32
/* What a byte becomes at most in JSON: \u001f. */
#define ESCAPED_BYTES_MAX 6

static const char *const level_names[FB_LOG_LEVELS] = {"error", "warning", "info", "debug"};
static const char cut_mark[] = " [cut]";
static const fb_log_about_t nothing = {{NULL, 0}, {NULL, 0}};

/* A message that has been written of late. */
typedef struct {
    const char *format; /* NULL: none */
    fb_log_level_t level;
    uint64_t begun_ms;
    uint32_t written;
    uint64_t left_out;
} repeat_t;

static fb_log_level_t level_max = FB_LOG_INFO;
static fb_log_format_t line_format = FB_LOG_TEXT;
static char instance_name[INSTANCE_BYTES_MAX + 1];
static uint32_t repeats_max = FB_LOG_REPEATS_MAX;

static atomic_uint_fast64_t messages[FB_LOG_LEVELS], dropped;

/* One line at a time; it guards what follows. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static repeat_t repeats[FB_LOG_FORMATS_MAX];
static uint64_t dropped_told;

void fb_log_set_level(fb_log_level_t level)
{
    level_max = level;
}

void fb_log_set_format(fb_log_format_t format)
{
    line_format = format;
}

void fb_log_set_instance(const char *instance)
{
    snprintf(instance_name, sizeof(instance_name), "%s", instance);
}

void fb_log_set_repeats_max(uint32_t most)
{
    repeats_max = most;
}

int fb_log_level_parse(const char *name)
{
    for (int i = 0; i < FB_LOG_LEVELS; i++) {
        if (strcmp(name, level_names[i]) == 0)
            return i;
    }
    return -1;
}

const char *fb_log_level_name(fb_log_level_t level)
{
    return level_names[level];
}

int fb_log_format_parse(const char *name)
{
    return strcmp(name, "text") == 0 ? FB_LOG_TEXT : strcmp(name, "json") == 0 ? FB_LOG_JSON : -1;
}

uint64_t fb_log_messages(fb_log_level_t level)
{
    return atomic_load_explicit(&messages[level], memory_order_relaxed);
}

uint64_t fb_log_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

/* --- a line ------------------------------------------------------------------------------ */

/* A buffer on the stack, which is never outgrown: nothing is allocated. */
typedef struct {
    char bytes[ESCAPED_BYTES_MAX * (FB_LOG_MESSAGE_BYTES_MAX + sizeof(cut_mark)) +
               FB_LOG_LINE_BYTES_MAX];
    fb_buffer_t out;
} line_t;

/* So short that it ends with a whole character. */
static size_t whole_length(const char *text, size_t len)
{
    while (len > 0 && ((unsigned char)text[len - 1] & 0xC0) == 0x80)
        len--;
    return len > 0 && (unsigned char)text[len - 1] >= 0xC0 ? len - 1 : len;
}

/* Cuts a message to at most `most` bytes; there is room for the mark behind it. */
static size_t cut(char *text, size_t most)
{
    size_t len = whole_length(text, most);
    memcpy(text + len, cut_mark, sizeof(cut_mark));
    return len + sizeof(cut_mark) - 1;
}

static void put_member(fb_buffer_t *out, const char *name, fb_slice_t text)
{
    if (text.len == 0)
        return;
    fb_buffer_put_char(out, ',');
    fb_json_put_string(out, fb_slice(name));
    fb_buffer_put_char(out, ':');
    fb_json_put_string(out, text);
}

static void put_json(fb_buffer_t *out, const fb_log_about_t *about, fb_log_level_t level,
                     const char *instant, fb_slice_t message)
{
    fb_buffer_put_literal(out, "{\"time\":\"");
    fb_buffer_put(out, instant, FB_INSTANT_TEXT_BYTES);
    fb_buffer_put_literal(out, "\",\"level\":\"");
    fb_buffer_put_text(out, level_names[level]);
    fb_buffer_put_char(out, '"');
    put_member(out, "message", message);
    if (message.len == 0)
        fb_buffer_put_literal(out, ",\"message\":\"\"");
    put_member(out, "request_id", about->request_id);
    put_member(out, "traceparent", about->traceparent);
    put_member(out, "instance", fb_slice(instance_name));
    fb_buffer_put_literal(out, "}\n");
}

/* What is no UTF-8 becomes U+FFFD, and a text from outside stays one line. */
static void put_text(fb_buffer_t *out, const fb_log_about_t *about, fb_log_level_t level,
                     const char *instant, fb_slice_t message)
{
    fb_buffer_put(out, instant, FB_INSTANT_TEXT_BYTES);
    fb_buffer_put_char(out, ' ');
    fb_buffer_put_text(out, level_names[level]);
    fb_buffer_put_char(out, ' ');
    size_t begin = out->len;
    while (message.len > 0) {
        size_t len = fb_slice_utf8_prefix(message);
        fb_buffer_put(out, message.at, len);
        message = (fb_slice_t){message.at + len, message.len - len};
        if (message.len == 0)
            break;
        fb_buffer_put_literal(out, "\xEF\xBF\xBD");
        message = (fb_slice_t){message.at + 1, message.len - 1};
    }
    for (size_t i = begin; i < out->len; i++) {
        if ((unsigned char)out->at[i] < 0x20 || out->at[i] == 0x7F)
            out->at[i] = ' ';
    }
    if (about->request_id.len > 0)
        fb_buffer_printf(out, " request_id=%.*s", FB_PRINT(about->request_id));
    if (about->traceparent.len > 0)
        fb_buffer_printf(out, " traceparent=%.*s", FB_PRINT(about->traceparent));
    fb_buffer_put_char(out, '\n');
}

/* `message` has room for the mark of a cut. */
static void put_line(line_t *line, const fb_log_about_t *about, fb_log_level_t level, char *message,
                     size_t len)
{
    char instant[FB_INSTANT_TEXT_BYTES];
    fb_instant_format(fb_clock_now(), instant);
    for (;;) {
        line->out = (fb_buffer_t){line->bytes, 0, sizeof(line->bytes)};
        if (line_format == FB_LOG_JSON)
            put_json(&line->out, about, level, instant, (fb_slice_t){message, len});
        else
            put_text(&line->out, about, level, instant, (fb_slice_t){message, len});
        if (line->out.len <= FB_LOG_LINE_BYTES_MAX || len < 2 * sizeof(cut_mark))
            return;
        len = cut(message, (len - sizeof(cut_mark)) / 2); /* nearly all of it was escaped */
    }
}

/* One write, so that lines do not mix with those of other processes. A pipe that says it has room
 * takes a whole line, and a stderr that is gone is no reason to stop. */
static bool can_write(int wait_ms)
{
    struct pollfd place = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&place, 1, wait_ms) != 0;
}

static bool write_line(const line_t *line)
{
    if (!can_write(0)) {
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
        return false;
    }
    ssize_t written = write(STDERR_FILENO, line->out.at, line->out.len);
    (void)written;
    return true;
}

static bool say_list(const fb_log_about_t *about, fb_log_level_t level, const char *format,
                     va_list args) __attribute__((format(printf, 3, 0)));
static bool say_list(const fb_log_about_t *about, fb_log_level_t level, const char *format,
                     va_list args)
{
    char message[FB_LOG_MESSAGE_BYTES_MAX + 1 + sizeof(cut_mark)];
    line_t line;
    int needed = vsnprintf(message, FB_LOG_MESSAGE_BYTES_MAX + 1, format, args);
    size_t len = needed > 0 ? (size_t)needed : 0;
    if (len > FB_LOG_MESSAGE_BYTES_MAX)
        len = cut(message, FB_LOG_MESSAGE_BYTES_MAX);
    put_line(&line, about, level, message, len);
    return write_line(&line);
}

/* A message about this log itself. */
static bool say(fb_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool say(fb_log_level_t level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool said = say_list(&nothing, level, format, args);
    va_end(args);
    return said;
}

/* --- what repeats itself ----------------------------------------------------------------- */

static void tell_left_out(repeat_t *repeat)
{
    if (repeat->left_out > 0)
        say(repeat->level, "left out %llu times: %s", (unsigned long long)repeat->left_out,
            repeat->format);
    *repeat = (repeat_t){0};
}

static void settle(uint64_t now_ms, bool all)
{
    for (unsigned i = 0; i < FB_LOG_FORMATS_MAX; i++) {
        repeat_t *repeat = &repeats[i];
        if (repeat->format != NULL && (all || now_ms - repeat->begun_ms >= FB_LOG_REPEATS_MS))
            tell_left_out(repeat);
    }
}

/* The one of the format, a free one, or the one that began first. */
static repeat_t *find_repeat(const char *format)
{
    repeat_t *best = &repeats[0];
    for (unsigned i = 0; i < FB_LOG_FORMATS_MAX; i++) {
        if (repeats[i].format == format)
            return &repeats[i];
        if (best->format != NULL &&
            (repeats[i].format == NULL || repeats[i].begun_ms < best->begun_ms))
            best = &repeats[i];
    }
    return best;
}

/* Is the message to be written? */
static bool admit(fb_log_level_t level, const char *format, uint64_t now_ms)
{
    settle(now_ms, false);
    repeat_t *repeat = find_repeat(format);
    if (repeat->format != format) {
        tell_left_out(repeat);
        *repeat = (repeat_t){.format = format, .level = level, .begun_ms = now_ms};
    }
    if (repeat->written < repeats_max) {
        repeat->written++;
        return true;
    }
    repeat->left_out++;
    return false;
}

static void tell_dropped(void)
{
    uint64_t count = fb_log_dropped() - dropped_told;
    if (count > 0 && can_write(0) &&
        say(FB_LOG_WARNING, "%llu lines of this log were dropped: stderr took none",
            (unsigned long long)count))
        dropped_told += count;
}

/* --- from outside ------------------------------------------------------------------------ */

static void write_message(const fb_log_about_t *about, fb_log_level_t level, const char *format,
                          va_list args) __attribute__((format(printf, 3, 0)));
static void write_message(const fb_log_about_t *about, fb_log_level_t level, const char *format,
                          va_list args)
{
    atomic_fetch_add_explicit(&messages[level], 1, memory_order_relaxed);
    pthread_mutex_lock(&mutex);
    if (admit(level, format, fb_clock_monotonic_ms())) {
        tell_dropped();
        say_list(about, level, format, args);
    }
    pthread_mutex_unlock(&mutex);
}

void fb_log(fb_log_level_t level, const char *format, ...)
{
    va_list args;
    if (level > level_max)
        return;
    can_write(WAIT_MS); /* before the mutex, for others do not wait */
    va_start(args, format);
    write_message(&nothing, level, format, args);
    va_end(args);
}

void fb_log_request(const fb_log_about_t *about, fb_log_level_t level, const char *format, ...)
{
    va_list args;
    if (level > level_max)
        return;
    va_start(args, format);
    write_message(about, level, format, args);
    va_end(args);
}

void fb_log_settle(bool all)
{
    pthread_mutex_lock(&mutex);
    settle(fb_clock_monotonic_ms(), all);
    tell_dropped();
    pthread_mutex_unlock(&mutex);
}
