/* SPDX-License-Identifier: MIT */
#pragma once

#include <ftw.h>
#include <unistd.h>

#include "base/log.h"
#include "persistence/private_redis.h"
#include "persistence/store_redis.h"
#include "tests/unit/random.h"

/* One private Redis for all tests of a program; each test has a fleet of its own in it. */

static char directory[32];
static fb_private_redis_t *redis;
static unsigned fleets; /* how many tests have begun */

static inline int remove_one(const char *path, const struct stat *status, int kind,
                             struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static inline void directory_remove(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline int group_set_up(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_log_set_level(FB_LOG_ERROR);
    strcpy(directory, "/tmp/fleetbit-XXXXXX");
    assert_non_null(mkdtemp(directory));
    if (fb_private_redis_start(directory, NULL, &redis, &error) != FB_OK)
        fail_msg("%s", error.detail);
    return 0;
}

static inline int group_tear_down(void **state)
{
    (void)state;
    fb_private_redis_stop(&redis);
    directory_remove(directory);
    return 0;
}

/* A store of the fleet of this test, whose log keeps so many entries (0: all). */
static inline fb_store_t *store_create(uint64_t log_length)
{
    char name[16];
    fb_store_t *store;
    fb_error_t error = {0};
    snprintf(name, sizeof(name), "fleet-%u", fleets);
    const fb_store_redis_options_t options = {.url = fb_private_redis_url(redis),
                                              .fleet = name,
                                              .timeout_ms = 5000,
                                              .log_length = log_length};
    if (fb_store_redis_create(&options, &store, &error) != FB_OK)
        fail_msg("%s", error.detail);
    return store;
}
