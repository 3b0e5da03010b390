/* SPDX-License-Identifier: MIT */
#include "persistence/private_redis.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "persistence/redis_link.h"
#include "persistence/redis_process.h"

#define LOCK_WAIT_MS    10000
#define READY_WAIT_MS   600000
#define STOP_WAIT_MS    10000
#define READY_POLL_MS   20
#define PING_TIMEOUT_MS 2000
#define PROGRESS_MS     2000
#define BACKOFF_MS_MIN  50
#define BACKOFF_MS_MAX  2000
#define HEALTHY_MS      10000 /* who has lived so long begins with the least backoff again */

/* Two threads meet here: the caller's, which starts and stops, and the supervisor, which alone
 * starts processes (PR_SET_PDEATHSIG is about the thread that did) and reaps them.
 *
 *     phase        the supervisor, when the process ends      begins with
 *     STARTING     ends, and leaves the reason to start       fb_private_redis_start
 *     RUNNING      starts it again, after the backoff         the first answer
 *     STOPPING     ends                                       fb_private_redis_stop */
typedef enum { STARTING, RUNNING, STOPPING } phase_t;

static atomic_uint_fast64_t restarts;

struct fb_private_redis {
    char *directory;
    char *binary;
    char url[FB_REDIS_URL_TEXT_BYTES];
    unsigned stop_wait_ms;
    fb_redis_process_t process; /* the supervisor's */
    pthread_t supervisor;

    pthread_mutex_t mutex; /* over all below */
    pthread_cond_t changed;
    phase_t phase;
    bool ended;       /* the supervisor is at its end */
    pid_t pid;        /* 0: none. Reaped only under the mutex, so that it is no other's meanwhile */
    fb_error_t error; /* why it ended, while STARTING */
};

/* A redis-server that is killed while it writes to its file leaves a part of a transaction at the
 * end, with which the next one refuses to start. What it was writing was not fsynced, and so not
 * acknowledged to anybody: to cut it off is right, and is said. */
static bool has_torn_end(const fb_slice_t said)
{
    static const char sign[] = "Unexpected end of file reading the append only file";
    return memmem(said.at, said.len, sign, sizeof(sign) - 1) != NULL;
}

static void wait_until(fb_private_redis_t *redis, uint64_t deadline_ms)
{
    const struct timespec until = fb_clock_timespec(deadline_ms * 1000000);
    pthread_cond_clockwait(&redis->changed, &redis->mutex, CLOCK_MONOTONIC, &until);
}

/* What Redis says in a line of its log, without process and time before it ("7:M ... # "). */
static fb_slice_t text_of_line(fb_slice_t line)
{
    for (size_t i = 0; i + 3 <= line.len && i < 48; i++) {
        if (memcmp(line.at + i, " # ", 3) == 0 || memcmp(line.at + i, " * ", 3) == 0)
            return (fb_slice_t){line.at + i + 3, line.len - i - 3};
    }
    return line;
}

/* Why it ended, as it said itself: its last words for `error`, what it said before for the log. */
static void report_words(fb_private_redis_t *redis, int status, fb_error_t *error)
{
    fb_buffer_t said = {0};
    fb_redis_process_tail(&redis->process, &said);
    if (said.len == 0)
        fb_buffer_put_literal(&said, "it said nothing");
    redis->process.repair = !redis->process.repair && has_torn_end(fb_buffer_slice(&said));
    size_t at = 0;
    for (const char *end; (end = memchr(said.at + at, '\n', said.len - at)) != NULL;
         at = (size_t)(end - said.at) + 1) {
        fb_slice_t line = {said.at + at, (size_t)(end - said.at) - at};
        fb_log_info("private redis: %.*s", FB_PRINT(text_of_line(line)));
    }
    fb_slice_t last = text_of_line((fb_slice_t){said.at + at, said.len - at});
    fb_fail(error, FB_UNAVAILABLE, "private redis in %s ended with status %d: %.*s",
            redis->directory, status, FB_PRINT(last));
    fb_buffer_dispose(&said);
}

/* Starts the process and waits for its end; with the mutex, which it gives back meanwhile. */
static void run_once(fb_private_redis_t *redis, fb_error_t *error)
{
    pid_t pid;
    if (fb_redis_process_spawn(&redis->process, &pid, error) != FB_OK) {
        redis->process.repair = false;
        return;
    }
    redis->pid = pid;
    fb_log_info("private redis: process %ld in %s", (long)pid, redis->directory);
    pthread_mutex_unlock(&redis->mutex);
    siginfo_t info;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&redis->mutex);
    int status = 0;
    waitpid(pid, &status, 0);
    redis->pid = 0;
    if (redis->phase == STOPPING)
        return;
    if (!WIFSIGNALED(status)) {
        report_words(redis, WEXITSTATUS(status), error);
    } else {
        redis->process.repair = false;
        fb_fail(error, FB_UNAVAILABLE, "private redis in %s: signal %d ended process %ld",
                redis->directory, WTERMSIG(status), (long)pid);
    }
}

static void *supervise(void *context)
{
    fb_private_redis_t *redis = context;
    uint64_t backoff_ms = BACKOFF_MS_MIN;
    pthread_mutex_lock(&redis->mutex);
    while (redis->phase != STOPPING) {
        uint64_t started_ms = fb_clock_monotonic_ms();
        fb_error_t error = {0};
        run_once(redis, &error);
        if (redis->phase == STOPPING)
            break;
        uint64_t now_ms = fb_clock_monotonic_ms();
        if (redis->process.repair) {
            fb_log_warning("to be repaired: %s", error.detail);
            fb_log_warning("private redis: cutting an unfinished write, which was never "
                           "acknowledged, off the end of its append-only file");
            continue;
        }
        redis->error = error;
        if (redis->phase == STARTING)
            break;
        if (now_ms - started_ms >= HEALTHY_MS)
            backoff_ms = BACKOFF_MS_MIN;
        atomic_fetch_add_explicit(&restarts, 1, memory_order_relaxed);
        fb_log_error("%s; starting it again in %llu ms", error.detail,
                     (unsigned long long)backoff_ms);
        while (redis->phase != STOPPING && fb_clock_monotonic_ms() < now_ms + backoff_ms)
            wait_until(redis, now_ms + backoff_ms);
        backoff_ms = backoff_ms * 2 < BACKOFF_MS_MAX ? backoff_ms * 2 : BACKOFF_MS_MAX;
    }
    redis->ended = true;
    pthread_cond_broadcast(&redis->changed);
    pthread_mutex_unlock(&redis->mutex);
    return NULL;
}

/* ---- Starting ----------------------------------------------------------------------------- */

/* A number of INFO persistence, "0" where it is not there. */
static double info_number(const redisReply *info, const char *name)
{
    const char *at = info->type == REDIS_REPLY_STRING ? strstr(info->str, name) : NULL;
    return at != NULL ? strtod(at + strlen(name), NULL) : 0;
}

static void log_progress(fb_redis_link_t *link)
{
    bool fresh;
    fb_error_t error = {0};
    redisReply *info = NULL;
    fb_slice_t words[] = {FB_SLICE("INFO"), FB_SLICE("persistence")};
    if (fb_redis_link_open(link, &fresh, &error) != FB_OK ||
        fb_redis_link_call(link, words, 2, &info, &error) != FB_OK)
        return;
    if (info_number(info, "\r\nloading:") > 0)
        fb_log_info("private redis: loading, %.0f %% done, about %.0f s to go",
                    info_number(info, "loading_loaded_perc:"),
                    info_number(info, "loading_eta_seconds:"));
    freeReplyObject(info);
}

/* Asks it once: PING is refused while it loads. A repaired one takes its strict setting back. */
static bool answers(fb_redis_link_t *link, fb_error_t *error)
{
    bool fresh;
    redisReply *reply = NULL;
    fb_slice_t ping[] = {FB_SLICE("PING")};
    fb_slice_t strict[] = {FB_SLICE("CONFIG"), FB_SLICE("SET"), FB_SLICE("aof-load-truncated"),
                           FB_SLICE("no")};
    if (fb_redis_link_open(link, &fresh, error) != FB_OK ||
        fb_redis_link_call(link, ping, 1, &reply, error) != FB_OK)
        return false;
    freeReplyObject(reply);
    if (fb_redis_link_call(link, strict, 4, &reply, error) != FB_OK)
        return false;
    freeReplyObject(reply);
    return true;
}

/* Until it answers (RUNNING), or the supervisor has given up, or the time is over. */
static fb_code_t wait_ready(fb_private_redis_t *redis, unsigned wait_ms,
                            const fb_private_redis_options_t *with, fb_error_t *error)
{
    fb_redis_url_t url;
    fb_error_t last = {0};
    fb_assert(fb_redis_url_parse(redis->url, &url, &last) == FB_OK);
    fb_redis_link_t *link = fb_redis_link_create(&url, PING_TIMEOUT_MS);
    uint64_t now_ms = fb_clock_monotonic_ms();
    uint64_t deadline_ms = now_ms + wait_ms, progress_ms = now_ms + PROGRESS_MS;
    bool ready = false, ended = false;
    for (;;) {
        ready = answers(link, &last);
        now_ms = fb_clock_monotonic_ms();
        pthread_mutex_lock(&redis->mutex);
        if (ready)
            redis->phase = RUNNING;
        else if (!redis->ended && now_ms < deadline_ms)
            wait_until(redis, now_ms + READY_POLL_MS);
        ended = redis->ended;
        pthread_mutex_unlock(&redis->mutex);
        if (ready || ended || now_ms >= deadline_ms || fb_private_redis_cancelled(with))
            break;
        if (now_ms >= progress_ms) {
            log_progress(link);
            progress_ms = now_ms + PROGRESS_MS;
        }
    }
    fb_redis_link_destroy(&link);
    if (ended) {
        *error = redis->error;
        return error->code;
    }
    if (!ready && now_ms < deadline_ms)
        return fb_fail(error, FB_UNAVAILABLE, "the start of the private redis was given up");
    if (!ready)
        return fb_fail(error, FB_UNAVAILABLE,
                       "private redis in %s does not answer after %u ms: %.150s", redis->directory,
                       wait_ms, last.detail);
    return FB_OK;
}

static fb_code_t make_url(fb_private_redis_t *redis, fb_error_t *error)
{
    fb_redis_url_t url = {.is_unix = true};
    int len = snprintf(url.path, sizeof(url.path), "%s/redis.sock", redis->directory);
    if (len >= (int)sizeof(url.path))
        return fb_fail(error, FB_CONFIG,
                       "the path of a unix socket has at most %d bytes, and %s/redis.sock has %d: "
                       "choose a shorter directory",
                       FB_REDIS_PATH_BYTES_MAX, redis->directory, len);
    fb_redis_url_format_safe(&url, redis->url);
    return FB_OK;
}

static fb_code_t start_supervisor(fb_private_redis_t *redis, fb_error_t *error)
{
    int failure = fb_thread_start(&redis->supervisor, supervise, redis);
    if (failure != 0)
        return fb_fail(error, FB_IO, "cannot start a thread: %s", strerror(failure));
    return FB_OK;
}

static void dispose(fb_private_redis_t *redis)
{
    if (redis->process.lock_fd >= 0)
        close(redis->process.lock_fd);
    pthread_cond_destroy(&redis->changed);
    pthread_mutex_destroy(&redis->mutex);
    free(redis->directory);
    free(redis->binary);
    free(redis);
}

static unsigned given_or(unsigned given, unsigned otherwise)
{
    return given != 0 ? given : otherwise;
}

fb_code_t fb_private_redis_start(const char *directory, const fb_private_redis_options_t *options,
                                 fb_private_redis_t **redis, fb_error_t *error)
{
    const fb_private_redis_options_t none = {0};
    const fb_private_redis_options_t *with = options != NULL ? options : &none;
    const char *binary = with->binary != NULL ? with->binary : "redis-server";
    fb_private_redis_t *self = fb_alloc_zero(1, sizeof(*self));
    *redis = NULL;
    self->process.lock_fd = -1;
    self->stop_wait_ms = given_or(with->stop_wait_ms, STOP_WAIT_MS);
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->changed, NULL);
    fb_code_t code = fb_redis_process_find(binary, &self->binary, error);
    if (code == FB_OK)
        code = fb_redis_process_directory(directory, &self->directory, error);
    if (code == FB_OK)
        code = make_url(self, error);
    if (code == FB_OK)
        code = fb_redis_process_lock(self->directory, given_or(with->lock_wait_ms, LOCK_WAIT_MS),
                                     with, &self->process.lock_fd, error);
    if (code == FB_OK)
        code = fb_redis_process_configure(self->directory, error);
    if (code == FB_OK) {
        self->process.binary = self->binary;
        self->process.directory = self->directory;
        code = start_supervisor(self, error);
    }
    if (code != FB_OK) {
        dispose(self);
        return code;
    }
    code = wait_ready(self, given_or(with->ready_wait_ms, READY_WAIT_MS), with, error);
    if (code != FB_OK)
        fb_private_redis_stop(&self);
    *redis = self;
    return code;
}

/* ---- Stopping ----------------------------------------------------------------------------- */

void fb_private_redis_stop(fb_private_redis_t **redis)
{
    fb_private_redis_t *gone = *redis;
    *redis = NULL;
    if (gone == NULL)
        return;
    uint64_t deadline_ms = fb_clock_monotonic_ms() + gone->stop_wait_ms;
    pthread_mutex_lock(&gone->mutex);
    gone->phase = STOPPING;
    pthread_cond_broadcast(&gone->changed);
    if (gone->pid > 0)
        kill(gone->pid, SIGTERM);
    while (!gone->ended && fb_clock_monotonic_ms() < deadline_ms)
        wait_until(gone, deadline_ms);
    if (gone->pid > 0) {
        fb_log_warning("private redis: process %ld has not ended in %u ms and is killed",
                       (long)gone->pid, gone->stop_wait_ms);
        kill(-gone->pid, SIGKILL); /* its group: also a process that rewrites its file */
    }
    pthread_mutex_unlock(&gone->mutex);
    pthread_join(gone->supervisor, NULL);
    char path[FB_REDIS_PATH_BYTES_MAX + 1];
    snprintf(path, sizeof(path), "%s/redis.sock", gone->directory);
    unlink(path);
    dispose(gone);
}

const char *fb_private_redis_url(const fb_private_redis_t *redis)
{
    return redis->url;
}

uint64_t fb_private_redis_restarts(void)
{
    return atomic_load_explicit(&restarts, memory_order_relaxed);
}

pid_t fb_private_redis_pid(fb_private_redis_t *redis)
{
    pthread_mutex_lock(&redis->mutex);
    pid_t pid = redis->pid;
    pthread_mutex_unlock(&redis->mutex);
    return pid;
}
