/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* A redis-server of our own in a directory, on a unix socket, with the settings of conf/redis.conf:
 *
 *     DIR/redis.sock        where it listens (mode 700)
 *     DIR/appendonlydir/    its data: this is what to back up
 *     DIR/redis.conf        its settings, written at each start; to start it by hand:
 *                           cd DIR && redis-server redis.conf
 *     DIR/redis.log         what it says; DIR/redis.log.1 is what it said before that
 *     DIR/lock              locked while we or our redis-server live; holds our pid
 *
 * It ends with us, however we end (PR_SET_PDEATHSIG), and is started again when it ends without us:
 * a supervisor thread waits for it. A Ctrl-C in the terminal does not reach it. */
typedef struct fb_private_redis fb_private_redis_t;

typedef struct {
    const char *binary; /* a path, or a name to look for in PATH; NULL: redis-server */
    /* How long to wait for a predecessor that is just ending, for the first answer (a large file
     * takes its time), and for its end before it is killed. 0: 10 s, 10 min, 10 s. */
    unsigned lock_wait_ms, ready_wait_ms, stop_wait_ms;
    /* Asked some times a second while the start waits: true gives it up. NULL: never. */
    bool (*is_cancelled)(void *context);
    void *context;
} fb_private_redis_options_t;

/* Returns FB_OK once it answers. `directory` is made (mode 0700) where it is missing. FB_IN_USE
 * names the process that has it; FB_CONFIG, FB_IO: it cannot be used, or there is no such binary;
 * FB_UNAVAILABLE: it ended, with the last lines of its log, did not answer in time, or the start
 * was cancelled.
 * `options` may be NULL. */
fb_code_t fb_private_redis_start(const char *directory, const fb_private_redis_options_t *options,
                                 fb_private_redis_t **redis, fb_error_t *error);
/* Ends it orderly, or by force when it takes too long. Nothing of it runs any more. NULL is
 * allowed. */
void fb_private_redis_stop(fb_private_redis_t **redis);

/* unix:///DIR/redis.sock, for fb_store_redis_create. */
const char *fb_private_redis_url(const fb_private_redis_t *redis);
/* From any thread: how often this process has started one again. */
uint64_t fb_private_redis_restarts(void);
/* Its process now; 0 while there is none. */
pid_t fb_private_redis_pid(fb_private_redis_t *redis);
