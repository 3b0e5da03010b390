/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

#include "base/buffer.h"
#include "persistence/private_redis.h"

/* The parts of private_redis.c that deal with the system: its files, and one process. */

/* The absolute path of a program, malloc'd; FB_CONFIG where there is none. */
fb_code_t fb_redis_process_find(const char *name, char **path, fb_error_t *error);

/* Makes the directory (its parent must be there); `*path` is its absolute path, malloc'd. */
fb_code_t fb_redis_process_directory(const char *directory, char **path, fb_error_t *error);
/* Is the start that has these options to be given up? */
bool fb_private_redis_cancelled(const fb_private_redis_options_t *options);
/* Locks DIR/lock and writes our pid into it. FB_IN_USE after `wait_ms`, or when it is cancelled. */
fb_code_t fb_redis_process_lock(const char *directory, unsigned wait_ms,
                                const fb_private_redis_options_t *options, int *lock_fd,
                                fb_error_t *error);
/* Writes DIR/redis.conf. */
fb_code_t fb_redis_process_configure(const char *directory, fb_error_t *error);

/* One run of redis-server. */
typedef struct {
    const char *binary;
    const char *directory;
    int lock_fd;    /* it inherits the lock */
    bool repair;    /* let it cut a torn end off its file */
    off_t log_from; /* how long its log was before this run; set by spawn */
} fb_redis_process_t;

/* Starts it; the thread that calls must live as long as the process shall. FB_IO. */
fb_code_t fb_redis_process_spawn(fb_redis_process_t *process, pid_t *pid, fb_error_t *error);
/* Appends the last lines that this run has logged, oldest first, with newlines between them. */
void fb_redis_process_tail(const fb_redis_process_t *process, fb_buffer_t *text);
