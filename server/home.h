/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/private_redis.h"
#include "persistence/store_redis.h"
#include "server/fleet.h"
#include "server/options.h"
#include "server/run.h"

/* Where a fleet lives: somebody else's Redis, or a private one that is started for it. */
typedef struct {
    fb_private_redis_t *private_redis; /* NULL: somebody else's */
    fb_fleet_t *fleet;
    fb_store_redis_options_t store; /* for more of them, which read it */
    fb_watch_options_t watch;       /* for what others write to it */
    fb_rules_t rules;
} fb_home_t;

/* Starts what has to be started; nothing is loaded yet. `home` is zeroed, and disposed of even
 * where this fails. Borrows the shelf and the options. `is_cancelled` (NULL: never) is asked while
 * it waits for a private Redis, and then FB_UNAVAILABLE or FB_IN_USE is returned. */
fb_code_t fb_home_open(fb_home_t *home, fb_shelf_t *shelf, const fb_options_t *options,
                       bool (*is_cancelled)(void *context), void *context, fb_error_t *error);
/* Says in the log what an acknowledgement is worth; FB_CONFIG where that is less than `require`
 * asks for. */
fb_code_t fb_home_check_durability(fb_home_t *home, const fb_options_t *options, fb_error_t *error);
void fb_home_dispose(fb_home_t *home);

/* --- for commands that write to a fleet and end -------------------------------------------- */

/* Opens the fleet that the options name, loads it, and calls `run`; the exit code of what that
 * returns. An error is printed. */
fb_exit_t fb_home_run(const fb_options_t *options,
                      fb_code_t (*run)(fb_home_t *home, const fb_options_t *options, void *context,
                                       fb_error_t *error),
                      void *context);
/* As fb_fleet_commit, on behalf of nobody who waits. */
fb_code_t fb_home_commit(fb_home_t *home, fb_write_t *const *writes, size_t count,
                         fb_error_t *error);
