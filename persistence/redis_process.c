/* SPDX-License-Identifier: MIT */
#include "persistence/redis_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "persistence/embedded.h"

#define LOCK_POLL_MS  50
#define LOG_BYTES_MAX (16 << 20) /* beyond it, a new start begins a new redis.log */
#define TAIL_BYTES    4096
#define TAIL_LINES    3
#define NICE          5 /* reads go first: a write waits for an fsync anyway */

extern char **environ;

/* Opens DIR/name, not as one of the three standard descriptors, which the child replaces. */
static int open_in(const char *directory, const char *name, int flags)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return higher;
}

static bool is_program(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

fb_code_t fb_redis_process_find(const char *name, char **path, fb_error_t *error)
{
    const char *search = getenv("PATH");
    if (strchr(name, '/') != NULL) {
        *path = realpath(name, NULL);
        if (*path == NULL || !is_program(*path)) {
            free(*path);
            *path = NULL;
            return fb_fail(error, FB_CONFIG, "%s is not a program that can be run", name);
        }
        return FB_OK;
    }
    for (const char *at = search != NULL ? search : "/usr/bin:/bin"; *at != '\0';) {
        size_t len = strcspn(at, ":");
        char candidate[PATH_MAX];
        int written = snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)len, at, name);
        if (len > 0 && written < (int)sizeof(candidate) && is_program(candidate)) {
            *path = realpath(candidate, NULL);
            if (*path != NULL)
                return FB_OK;
        }
        at += at[len] == ':' ? len + 1 : len;
    }
    return fb_fail(
        error, FB_CONFIG,
        "there is no %s in PATH: install Redis 7.0 or later, or name the URL of one that "
        "runs",
        name);
}

fb_code_t fb_redis_process_directory(const char *directory, char **path, fb_error_t *error)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return fb_fail(error, FB_IO, "cannot make the directory %s: %s", directory,
                       strerror(errno));
    struct stat status;
    *path = realpath(directory, NULL);
    if (*path == NULL || stat(*path, &status) != 0 || !S_ISDIR(status.st_mode) ||
        access(*path, R_OK | W_OK | X_OK) != 0) {
        int reason = *path != NULL && !S_ISDIR(status.st_mode) ? ENOTDIR : errno;
        free(*path);
        *path = NULL;
        return fb_fail(error, FB_IO, "cannot use the directory %s: %s", directory,
                       strerror(reason));
    }
    return FB_OK;
}

/* The pid in a lock file, or 0. */
static long read_pid(int fd)
{
    char text[32] = {0};
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    return len > 0 ? strtol(text, NULL, 10) : 0;
}

bool fb_private_redis_cancelled(const fb_private_redis_options_t *options)
{
    return options->is_cancelled != NULL && options->is_cancelled(options->context);
}

fb_code_t fb_redis_process_lock(const char *directory, unsigned wait_ms,
                                const fb_private_redis_options_t *options, int *lock_fd,
                                fb_error_t *error)
{
    uint64_t deadline = fb_clock_monotonic_ms() + wait_ms;
    const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
    int fd = open_in(directory, "lock", O_RDWR | O_CREAT);
    if (fd < 0)
        return fb_fail(error, FB_IO, "cannot open %s/lock: %s", directory, strerror(errno));
    for (bool told = false; flock(fd, LOCK_EX | LOCK_NB) != 0; told = true) {
        fb_code_t code = FB_OK;
        if (errno != EWOULDBLOCK && errno != EINTR)
            code = fb_fail(error, FB_IO, "cannot lock %s/lock: %s", directory, strerror(errno));
        else if (fb_clock_monotonic_ms() >= deadline || fb_private_redis_cancelled(options))
            code = fb_fail(error, FB_IN_USE,
                           "process %ld, or the redis-server that it started, uses %s",
                           read_pid(fd), directory);
        if (code != FB_OK) {
            close(fd);
            return code;
        }
        if (!told)
            fb_log_info("waiting for %s/lock, which process %ld holds", directory, read_pid(fd));
        nanosleep(&pause, NULL);
    }
    char text[32];
    int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len) {
        fb_code_t code =
            fb_fail(error, FB_IO, "cannot write %s/lock: %s", directory, strerror(errno));
        close(fd);
        return code;
    }
    *lock_fd = fd;
    return FB_OK;
}

fb_code_t fb_redis_process_configure(const char *directory, fb_error_t *error)
{
    static const char private_part[] =
        "\n# What makes it a private one. This file is written anew at each start.\n"
        "port 0\n"
        "unixsocket redis.sock\n"
        "unixsocketperm 700\n"
        "dir .\n"
        "logfile redis.log\n"
        "daemonize no\n"
        "supervised no\n";
    fb_slice_t common = fb_embedded_redis_conf();
    int fd = open_in(directory, "redis.conf", O_WRONLY | O_CREAT | O_TRUNC);
    fb_buffer_t text = {0};
    fb_buffer_put_slice(&text, common);
    fb_buffer_put_literal(&text, private_part);
    bool written = fd >= 0 && write(fd, text.at, text.len) == (ssize_t)text.len;
    fb_code_t code = FB_OK;
    if (!written)
        code = fb_fail(error, FB_IO, "cannot write %s/redis.conf: %s", directory, strerror(errno));
    if (fd >= 0)
        close(fd);
    fb_buffer_dispose(&text);
    return code;
}

/* The log, at its end; begins a new one where it has grown too long. */
static int open_log(fb_redis_process_t *process)
{
    struct stat status;
    int fd = open_in(process->directory, "redis.log", O_WRONLY | O_CREAT | O_APPEND);
    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size > LOG_BYTES_MAX) {
        char from[PATH_MAX], to[PATH_MAX];
        close(fd);
        snprintf(from, sizeof(from), "%s/redis.log", process->directory);
        snprintf(to, sizeof(to), "%s/redis.log.1", process->directory);
        rename(from, to);
        fd = open_in(process->directory, "redis.log", O_WRONLY | O_CREAT | O_APPEND);
    }
    process->log_from = fd >= 0 && fstat(fd, &status) == 0 ? status.st_size : 0;
    return fd;
}

/* All that the child needs, made before it begins: it may only make system calls. */
typedef struct {
    const char *binary, *directory;
    char *const *arguments;
    int lock_fd, log_fd, null_fd;
    pid_t parent;
    volatile int *failure; /* errno, written into the memory that it shares with us */
} birth_t;

static void reset_signals(void)
{
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &fresh, NULL); /* those that cannot be set are as they are */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_redis(const birth_t *birth)
{
    reset_signals();
    /* The signal comes when the thread ends that made us; if that was before this call, we have
     * another parent by now. */
    bool ready = prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == birth->parent &&
                 setpgid(0, 0) == 0 && chdir(birth->directory) == 0 &&
                 dup2(birth->null_fd, STDIN_FILENO) >= 0 &&
                 dup2(birth->log_fd, STDOUT_FILENO) >= 0 && dup2(birth->log_fd, STDERR_FILENO) >= 0;
    umask(0077);
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICE); /* if it may */
    /* Nothing else of ours outlives us: no socket, no file. Older kernels know no such call: then
     * what was not opened with O_CLOEXEC stays open. */
    syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
    if (ready && fcntl(birth->lock_fd, F_SETFD, 0) == 0)
        execve(birth->binary, birth->arguments, environ);
    *birth->failure = errno;
    _exit(127);
}

/* vfork: a fork would copy the page tables of a server that holds a fleet. Its own function, so
 * that no variable of the caller lives in registers across it. */
static __attribute__((noinline)) pid_t give_birth(const birth_t *birth)
{
    pid_t pid = vfork();
    if (pid == 0)
        become_redis(birth);
    return pid;
}

fb_code_t fb_redis_process_spawn(fb_redis_process_t *process, pid_t *pid, fb_error_t *error)
{
    char name[] = "redis-server", file[] = "redis.conf";
    char option[] = "--aof-load-truncated", yes[] = "yes";
    char *arguments[] = {name, file, process->repair ? option : NULL, yes, NULL};
    volatile int failure = 0;
    birth_t birth = {.binary = process->binary,
                     .directory = process->directory,
                     .arguments = arguments,
                     .lock_fd = process->lock_fd,
                     .log_fd = open_log(process),
                     .null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
                     .parent = getpid(),
                     .failure = &failure};
    fb_code_t code = FB_OK;
    if (birth.log_fd < 0 || birth.null_fd < 0) {
        code = fb_fail(error, FB_IO, "cannot open %s/redis.log: %s", process->directory,
                       strerror(errno));
    } else {
        *pid = give_birth(&birth);
        if (*pid < 0) {
            code = fb_fail(error, FB_IO, "cannot start a process: %s", strerror(errno));
        } else if (failure != 0) {
            waitpid(*pid, NULL, 0);
            code = fb_fail(error, FB_IO, "cannot run %s: %s", process->binary, strerror(failure));
        }
    }
    if (birth.log_fd >= 0)
        close(birth.log_fd);
    if (birth.null_fd >= 0)
        close(birth.null_fd);
    return code;
}

void fb_redis_process_tail(const fb_redis_process_t *process, fb_buffer_t *text)
{
    char bytes[TAIL_BYTES];
    struct stat status;
    ssize_t len = 0;
    int fd = open_in(process->directory, "redis.log", O_RDONLY);
    if (fd >= 0 && fstat(fd, &status) == 0) {
        off_t from = status.st_size - TAIL_BYTES;
        len = pread(fd, bytes, sizeof(bytes), from > process->log_from ? from : process->log_from);
    }
    if (fd >= 0)
        close(fd);
    while (len > 0 && bytes[len - 1] == '\n')
        len--;
    ssize_t at = len;
    for (int lines = 0; at > 0; at--) {
        if (bytes[at - 1] == '\n' && ++lines == TAIL_LINES)
            break;
    }
    fb_buffer_put(text, bytes + at, (size_t)(len - at));
}
