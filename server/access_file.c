/* SPDX-License-Identifier: MIT */
#include "server/access_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define FILE_MODE  0640
#define WAIT_MS    100
#define SETTLED_MS 1000 /* without a failure, until it is said that it works again */

static bool is_stdout(const fb_access_file_t *file)
{
    return strcmp(file->path, "-") == 0;
}

/* O_NONBLOCK, so that a pipe without a reader is an error and no hang; then it may block. */
static int open_path(const fb_access_file_t *file)
{
    if (is_stdout(file))
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                  FILE_MODE);
    int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
    if (flags >= 0)
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    return fd;
}

static bool ends_torn(const fb_access_file_t *file)
{
    struct stat status;
    char last = '\n';
    if (is_stdout(file) || fstat(file->fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        status.st_size == 0)
        return false;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool is_read = pread(fd, &last, 1, status.st_size - 1) == 1;
    close(fd);
    return is_read && last != '\n';
}

static fb_code_t take_path(fb_access_file_t *file, fb_error_t *error)
{
    int fd = open_path(file);
    if (fd < 0)
        return fb_fail(error, FB_CONFIG, "log.access: %.200s cannot be opened: %s",
                       is_stdout(file) ? "stdout" : file->path, strerror(errno));
    if (file->fd >= 0)
        close(file->fd);
    file->fd = fd;
    file->rest_len = 0;
    file->rest_is_line = false;
    if (ends_torn(file))
        file->rest[file->rest_len++] = '\n';
    return FB_OK;
}

fb_code_t fb_access_file_open(fb_access_file_t *file, const char *path, atomic_bool *is_over,
                              fb_error_t *error)
{
    *file = (fb_access_file_t){.path = path, .fd = -1, .is_over = is_over};
    return take_path(file, error);
}

static void lose_rest(fb_access_file_t *file)
{
    fb_count(&file->lost, file->rest_is_line ? 1 : 0);
    file->rest_len = 0;
    file->rest_is_line = false;
}

fb_code_t fb_access_file_reopen(fb_access_file_t *file, fb_error_t *error)
{
    bool was_torn = file->rest_len > 0 && file->rest_is_line;
    if (is_stdout(file))
        return FB_OK;
    fb_code_t code = take_path(file, error);
    if (code == FB_OK && was_torn)
        fb_count(&file->lost, 1);
    return code;
}

/* The kernel takes all, or it fails: then less than `len`, and errno says why. */
static size_t write_all(const fb_access_file_t *file, const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (atomic_load_explicit(file->is_over, memory_order_relaxed)) {
            errno = EINTR;
            break;
        }
        ssize_t written = write(file->fd, bytes + done, len - done);
        if (written > 0) {
            done += (size_t)written;
        } else if (written == 0) {
            errno = EIO;
            break;
        } else if (errno == EAGAIN) {
            /* Somebody else made stdout so. */
            struct pollfd poller = {.fd = file->fd, .events = POLLOUT};
            poll(&poller, 1, WAIT_MS);
        } else if (errno != EINTR) {
            break;
        }
    }
    return done;
}

static void note_failure(fb_access_file_t *file, int failure)
{
    if (failure == EINTR)
        return;
    if (!file->fails)
        fb_log_error("the access log %.200s cannot be written: %s; its lines are dropped, and "
                     "counted",
                     file->path, strerror(failure));
    file->fails = true;
    file->failed_ms = fb_clock_monotonic_ms();
}

static void note_success(fb_access_file_t *file)
{
    if (!file->fails || fb_clock_monotonic_ms() - file->failed_ms < SETTLED_MS)
        return;
    file->fails = false;
    fb_log_info("the access log %.200s is written again", file->path);
}

static bool write_rest(fb_access_file_t *file)
{
    size_t done = write_all(file, file->rest, file->rest_len);
    file->rest_len -= done;
    if (file->rest_len > 0) {
        int failure = errno;
        memmove(file->rest, file->rest + done, file->rest_len);
        note_failure(file, failure);
        return false;
    }
    fb_count(&file->lines, file->rest_is_line ? 1 : 0);
    file->rest_is_line = false;
    return true;
}

static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t lines = 0;
    const char *end = bytes + len;
    for (const char *at = bytes; at < end; lines++)
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    return lines;
}

bool fb_access_file_write(fb_access_file_t *file, const char *bytes, size_t len, uint64_t lines)
{
    if (file->rest_len > 0 && !write_rest(file)) {
        fb_count(&file->lost, lines);
        return false;
    }
    size_t done = write_all(file, bytes, len);
    if (done == len) {
        fb_count(&file->lines, lines);
        note_success(file);
        return true;
    }
    int failure = errno;
    uint64_t missing = lines > 0 ? count_lines(bytes + done, len - done) : 0;
    fb_count(&file->lines, lines - missing);
    if (done > 0 && bytes[done - 1] != '\n') {
        const char *end = memchr(bytes + done, '\n', len - done);
        file->rest_len = (size_t)(end + 1 - (bytes + done));
        file->rest_is_line = lines > 0;
        memcpy(file->rest, bytes + done, file->rest_len);
        missing -= file->rest_is_line ? 1 : 0;
    }
    fb_count(&file->lost, missing);
    note_failure(file, failure);
    return done > 0;
}

void fb_access_file_close(fb_access_file_t *file)
{
    lose_rest(file);
    close(file->fd);
    file->fd = -1;
}
