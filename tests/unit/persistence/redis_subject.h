/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/persistence/fixture.h"

/* A Redis of the tests' own, a look into it from the outside, and the fleet "f" in it. */

static char directory[32];
static fb_private_redis_t *redis;
static fb_redis_link_t *outside; /* as redis-cli looks into it */

typedef struct {
    fb_store_t *store;
    fb_position_t position;
} subject_t;

/* Nobody else writes to it: some tests say so. */
static bool is_private;

/* What the stores that are made from now on keep of a history. */
static uint64_t history_length, history_age_ms;

/* The options of the URL are "" or begin with "?". */
static inline fb_store_t *open_store(const char *fleet, const char *options, unsigned timeout_ms)
{
    char url[FB_REDIS_URL_TEXT_BYTES + 64];
    fb_store_t *store;
    snprintf(url, sizeof(url), "%s%s", fb_private_redis_url(redis), options);
    const fb_store_redis_options_t with = {.url = url,
                                           .fleet = fleet,
                                           .timeout_ms = timeout_ms,
                                           .is_private = is_private,
                                           .history_length = history_length,
                                           .history_age_ms = history_age_ms};
    assert_ok(fb_store_redis_create(&with, &store, error));
    return store;
}

/* The fleet "f", which is a new one. */
static inline subject_t begin(unsigned timeout_ms)
{
    subject_t subject = {.store = open_store("f", "", timeout_ms)};
    fb_store_t *store = subject.store;
    assert_string_equal(answer(outside, "FLUSHALL"), "OK");
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

/* Kills Redis, and waits until it is there again. */
static inline void restart_redis(subject_t *subject)
{
    pid_t pid = fb_private_redis_pid(redis);
    fb_position_t head;
    fb_error_t error = {0};
    assert_int_equal(kill(pid, SIGKILL), 0);
    while (fb_private_redis_pid(redis) == pid || fb_private_redis_pid(redis) == 0)
        pause_ms(1);
    while (subject->store->vtable->head(subject->store, &head, &error) != FB_OK)
        pause_ms(1);
    assert_string_equal(head.epoch, subject->position.epoch); /* reading begins none */
}

static const char one_put[] = "[[\"put\",\"machine\",42,{\"label\":\"Digger 7\"}]]";

static inline int start_redis(void **state)
{
    (void)state;
    directory_create(directory);
    assert_ok(fb_private_redis_start(directory, NULL, &redis, error));
    outside = link_create(fb_private_redis_url(redis));
    return 0;
}

static inline int stop_redis(void **state)
{
    (void)state;
    fb_redis_link_destroy(&outside);
    fb_private_redis_stop(&redis);
    directory_remove(directory);
    return 0;
}
