/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/store.h"

typedef struct {
    const char *url;   /* see redis_url.h */
    const char *fleet; /* see keys.h */
    /* The longest wait for Redis to accept a connection or to go on with an answer. A commit on a
     * slow disk waits for its fsync: some seconds are sensible. At least 1. */
    unsigned timeout_ms;
    uint64_t log_length; /* how many entries the log keeps, at least; 0: all */
    /* Nobody else writes to this Redis: if it loses something, this process notices. Where others
     * do, one of them may have seen more than is left after a restart of Redis, and whoever writes
     * first could not know: so the first commit after a restart begins a new epoch. */
    bool is_private;
    uint64_t history_length; /* how many entries a history keeps, or some more; 0: all */
    uint64_t history_age_ms; /* how old they get, at least, before they go; 0: they never do */
} fb_store_redis_options_t;

/* A store in Redis 7.0 or later. Nothing is contacted yet: the first call connects, and a call
 * after a failure does so again. FB_CONFIG where the URL or the name of the fleet is wrong.
 * The texts of `options` are copied. The caller owns `*store` (its destroy). */
fb_code_t fb_store_redis_create(const fb_store_redis_options_t *options, fb_store_t **store,
                                fb_error_t *error);
