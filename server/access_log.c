/* SPDX-License-Identifier: MIT */
#include "server/access_log.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "server/access_file.h"

#define WRITE_BYTES  ((size_t)256 << 10) /* a write has at most so many */
#define ROUND_BYTES  ((size_t)128 << 10) /* that a round should have */
#define INTERRUPT_MS 10

struct fb_access_log {
    char *path;
    fb_access_ring_t **rings;
    unsigned ring_count;
    fb_access_line_t *line;
    fb_access_file_t file;
    char *out;
    size_t out_len, round_bytes;
    uint64_t out_lines;
    uint64_t told; /* of what was dropped, what the log has said */
    unsigned pause_ms;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool reopens, ends, has_ended; /* under the mutex */
    atomic_bool is_over;           /* what is not written by now is dropped */
};

/* --- what was dropped -------------------------------------------------------------------- */

fb_access_counts_t fb_access_log_counts(const fb_access_log_t *log)
{
    fb_access_counts_t counts = {0, 0};
    if (log == NULL)
        return counts;
    counts.lines = fb_count_read(&log->file.lines);
    counts.dropped = fb_count_read(&log->file.lost);
    for (unsigned i = 0; i < log->ring_count; i++)
        counts.dropped += fb_count_read(&log->rings[i]->dropped);
    return counts;
}

static void tell_dropped(fb_access_log_t *log)
{
    char text[FB_ACCESS_LINE_BYTES_MAX];
    uint64_t dropped = fb_access_log_counts(log).dropped;
    if (dropped == log->told)
        return;
    char *end =
        fb_access_line_put_dropped(log->line, fb_clock_monotonic_ns(), dropped - log->told, text);
    if (fb_access_file_write(&log->file, text, (size_t)(end - text), 0))
        log->told = dropped;
}

/* --- a round ----------------------------------------------------------------------------- */

static void flush(fb_access_log_t *log)
{
    tell_dropped(log);
    if (log->out_len > 0 || log->file.rest_len > 0)
        fb_access_file_write(&log->file, log->out, log->out_len, log->out_lines);
    log->round_bytes += log->out_len;
    log->out_len = 0;
    log->out_lines = 0;
}

static void take(fb_access_log_t *log, fb_access_ring_t *ring)
{
    const fb_access_record_t *record;
    fb_access_ring_look(ring);
    while ((record = fb_access_ring_first(ring)) != NULL) {
        if (log->out_len > WRITE_BYTES - FB_ACCESS_LINE_BYTES_MAX)
            flush(log);
        char *end = fb_access_line_put(log->line, record, log->out + log->out_len);
        log->out_len = (size_t)(end - log->out);
        log->out_lines++;
        fb_access_ring_pass(ring, record);
    }
}

static void set_offset(fb_access_log_t *log)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
    fb_access_line_set_offset(log->line, wall_ns - (int64_t)fb_clock_monotonic_ns());
}

static void take_all(fb_access_log_t *log)
{
    log->round_bytes = 0;
    set_offset(log);
    for (unsigned i = 0; i < log->ring_count; i++)
        take(log, log->rings[i]);
    flush(log);
}

static void reopen(fb_access_log_t *log)
{
    fb_error_t error = {0};
    if (fb_access_file_reopen(&log->file, &error) == FB_OK)
        fb_log_info("the access log is opened anew");
    else
        fb_log_error("%s; the access log goes on in the file that it has", error.detail);
}

/* --- the thread -------------------------------------------------------------------------- */

/* Short rounds under load: each keeps a loop from its processor for a moment only, and takes what
 * is still in the caches. */
static void set_pause(fb_access_log_t *log)
{
    if (log->round_bytes > ROUND_BYTES && log->pause_ms / 2 >= FB_ACCESS_PAUSE_MS_MIN)
        log->pause_ms /= 2;
    else if (log->round_bytes < ROUND_BYTES / 4 && log->pause_ms < FB_ACCESS_PAUSE_MS)
        log->pause_ms += FB_ACCESS_PAUSE_MS_MIN;
}

/* Is it to go on? Takes whether it is to reopen. */
static bool wait_for_next(fb_access_log_t *log, bool *reopens)
{
    uint64_t until_ns = fb_clock_monotonic_ns() + (uint64_t)log->pause_ms * 1000000;
    const struct timespec until = fb_clock_timespec(until_ns);
    pthread_mutex_lock(&log->mutex);
    if (!log->ends && !log->reopens)
        pthread_cond_clockwait(&log->changed, &log->mutex, CLOCK_MONOTONIC, &until);
    bool goes_on = !log->ends;
    *reopens = log->reopens;
    log->reopens = false;
    pthread_mutex_unlock(&log->mutex);
    return goes_on;
}

static void *run(void *context)
{
    fb_access_log_t *log = context;
    bool goes_on = true, reopens = false;
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
    while (goes_on) {
        goes_on = wait_for_next(log, &reopens);
        take_all(log);
        if (reopens)
            reopen(log);
        set_pause(log);
    }
    flush(log); /* what the last round has dropped */
    pthread_mutex_lock(&log->mutex);
    log->has_ended = true;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
    return NULL;
}

/* --- from outside ------------------------------------------------------------------------ */

static void on_interrupt(int signal)
{
    (void)signal; /* that a call of the kernel ends is all it is for */
}

static fb_access_line_t *make_line(void)
{
    const char *routes[FB_ROUTES_MAX + 1] = {NULL};
    for (unsigned i = 0; i < FB_ROUTES_MAX && (i == 0 || routes[i - 1] != NULL); i++)
        routes[i] = fb_metrics_route_path(i + 1);
    return fb_access_line_create(routes);
}

static void dispose(fb_access_log_t *log)
{
    for (unsigned i = 0; i < log->ring_count; i++)
        fb_access_ring_destroy(&log->rings[i]);
    fb_access_line_destroy(&log->line);
    pthread_mutex_destroy(&log->mutex);
    pthread_cond_destroy(&log->changed);
    free(log->rings);
    free(log->out);
    free(log->path);
    free(log);
}

fb_code_t fb_access_log_create(const char *path, unsigned loops, fb_access_log_t **log,
                               fb_error_t *error)
{
    fb_access_log_t *made = fb_alloc_zero(1, sizeof(*made));
    made->path = fb_strdup(path);
    fb_code_t code = fb_access_file_open(&made->file, made->path, &made->is_over, error);
    if (code != FB_OK) {
        free(made->path);
        free(made);
        return code;
    }
    made->rings = fb_alloc_zero(loops, sizeof(fb_access_ring_t *));
    for (; made->ring_count < loops; made->ring_count++)
        made->rings[made->ring_count] = fb_access_ring_create(FB_ACCESS_RING_BYTES);
    made->line = make_line();
    made->out = fb_alloc(WRITE_BYTES);
    made->pause_ms = FB_ACCESS_PAUSE_MS;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->changed, NULL);
    const struct sigaction interrupt = {.sa_handler = on_interrupt}; /* without SA_RESTART */
    sigaction(SIGURG, &interrupt, NULL);
    int failure = fb_thread_start(&made->thread, run, made);
    if (failure != 0) {
        fb_access_file_close(&made->file);
        dispose(made);
        return fb_fail(error, FB_IO, "the thread of the access log cannot be started: %s",
                       strerror(failure));
    }
    *log = made;
    return FB_OK;
}

fb_access_ring_t *fb_access_log_ring(fb_access_log_t *log, unsigned loop)
{
    fb_assert(loop < log->ring_count);
    return log->rings[loop];
}

void fb_access_log_reopen(fb_access_log_t *log)
{
    pthread_mutex_lock(&log->mutex);
    log->reopens = true;
    pthread_cond_broadcast(&log->changed);
    pthread_mutex_unlock(&log->mutex);
}

/* Has the thread ended by then? Under the mutex. */
static bool await_end(fb_access_log_t *log, uint64_t ms)
{
    const struct timespec until = fb_clock_timespec(fb_clock_monotonic_ns() + ms * 1000000);
    int result = 0;
    while (!log->has_ended && result == 0)
        result = pthread_cond_clockwait(&log->changed, &log->mutex, CLOCK_MONOTONIC, &until);
    return log->has_ended;
}

/* The signal may come just before the call that it is for: it is sent until the thread is there. */
static bool end_thread(fb_access_log_t *log)
{
    pthread_mutex_lock(&log->mutex);
    log->ends = true;
    pthread_cond_broadcast(&log->changed);
    bool has_ended = await_end(log, FB_ACCESS_END_MS);
    atomic_store(&log->is_over, true);
    for (int i = 0; i < FB_ACCESS_END_MS / INTERRUPT_MS && !has_ended; i++) {
        pthread_kill(log->thread, SIGURG);
        has_ended = await_end(log, INTERRUPT_MS);
    }
    pthread_mutex_unlock(&log->mutex);
    return has_ended;
}

void fb_access_log_destroy(fb_access_log_t **log)
{
    fb_access_log_t *ended = *log;
    *log = NULL;
    if (!end_thread(ended)) {
        /* The kernel does not give it back, as from a disk that has hung. */
        fb_log_error("the access log %.200s does not end: it is left behind", ended->path);
        pthread_detach(ended->thread);
        return;
    }
    pthread_join(ended->thread, NULL);
    fb_access_file_close(&ended->file);
    uint64_t dropped = fb_access_log_counts(ended).dropped - ended->told;
    if (dropped > 0)
        fb_log_warning("the access log %.200s ends without %llu lines that could not be written",
                       ended->path, (unsigned long long)dropped);
    dispose(ended);
}
