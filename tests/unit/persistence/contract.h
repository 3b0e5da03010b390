/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/persistence/fixture.h"

/* Cases that run against both stores: the one in memory, and the one in a Redis of the tests' own.
 * BOTH(case) lists one; start_redis and stop_redis are of the group. */

static char directory[32];
static fb_private_redis_t *redis;

typedef struct {
    fb_store_t *store;
    fb_position_t position; /* where the case thinks the head is */
} subject_t;

/* What the stores that are made from now on keep of a history. */
static uint64_t history_length, history_age_ms;

static inline fb_store_t *make_memory(uint64_t log_length)
{
    return fb_store_memory_create(log_length, history_length, history_age_ms);
}

/* In a fleet of its own. */
static inline fb_store_t *make_redis(uint64_t log_length)
{
    static unsigned count;
    char fleet[32];
    fb_store_t *store;
    snprintf(fleet, sizeof(fleet), "contract%u", count++);
    const fb_store_redis_options_t options = {.url = fb_private_redis_url(redis),
                                              .fleet = fleet,
                                              .timeout_ms = 5000,
                                              .log_length = log_length,
                                              .history_length = history_length,
                                              .history_age_ms = history_age_ms};
    assert_ok(fb_store_redis_create(&options, &store, error));
    return store;
}

typedef fb_store_t *(*make_t)(uint64_t log_length);

static inline make_t maker(void **state)
{
    return *(make_t *)*state;
}

static inline subject_t begin(void **state, uint64_t log_length)
{
    subject_t subject = {.store = maker(state)(log_length)};
    fb_store_t *store = subject.store;
    assert_ok(store->vtable->head(store, &subject.position, error));
    return subject;
}

static inline void end(subject_t *subject)
{
    subject->store->vtable->destroy(subject->store);
}

static inline void put(subject_t *subject, const char *payload)
{
    assert_ok(commit_text(subject->store, &subject->position, payload, error));
}

static inline int start_redis(void **state)
{
    (void)state;
    directory_create(directory);
    assert_ok(fb_private_redis_start(directory, NULL, &redis, error));
    return 0;
}

static inline int stop_redis(void **state)
{
    (void)state;
    fb_private_redis_stop(&redis);
    directory_remove(directory);
    return 0;
}

static make_t memory_maker = make_memory, redis_maker = make_redis;

#define BOTH(test)                                                                                 \
    {#test " (memory)", test, NULL, NULL, &memory_maker},                                          \
    {                                                                                              \
#test " (Redis)", test, NULL, NULL, &redis_maker                                           \
    }
