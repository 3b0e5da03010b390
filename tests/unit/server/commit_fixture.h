/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/fleet.h"
#include "tests/unit/resources/dump.h"
#include "tests/unit/server/lossy_store.h"
#include "tests/unit/server/redis_fixture.h"

/* Instances of a fleet without a server: each has its own store, shelf and snapshots, and all have
 * one Redis. */

#define BATCH_MAX 32

typedef struct {
    fb_write_t writes[BATCH_MAX];
    fb_write_t *pointers[BATCH_MAX];
    size_t count;
} batch_t;

/* What is planned while another batch is under way. */
typedef struct {
    fb_fleet_t *fleet;
    batch_t *next; /* NULL: nothing */
    size_t calls;  /* how often it was planned */
    bool may;      /* was it worth while, the last time? */
    fb_fleet_meter_t meter;
} ahead_t;

typedef struct {
    ahead_t *ahead;  /* the fleet's */
    lossy_t *lossy;  /* likewise */
    fb_news_t *news; /* the fleet's; nobody brings it any but the test */
    fb_shelf_t *shelf;
    fb_fleet_t *fleet;
} instance_t;

static inline void on_arrival(void *context)
{
    (void)context;
}

/* In two steps, as if some of them had come a little later. */
static inline uint64_t on_waiting(void *context)
{
    ahead_t *ahead = context;
    if (ahead->next != NULL) {
        batch_t *next = ahead->next;
        ahead->calls++;
        ahead->may = fb_fleet_may_plan_ahead(ahead->fleet);
        fb_fleet_plan_ahead(ahead->fleet, next->pointers, (next->count + 1) / 2);
        fb_fleet_plan_ahead(ahead->fleet, next->pointers, next->count);
    }
    return 1000000000;
}

static inline instance_t instance_create(uint64_t log_length)
{
    instance_t instance = {.ahead = fb_alloc_zero(1, sizeof(ahead_t)),
                           .lossy = fb_alloc_zero(1, sizeof(lossy_t)),
                           .shelf = fb_shelf_create()};
    fb_store_t *store = &instance.lossy->store;
    fb_error_t error = {0};
    instance.lossy->store.vtable = &lossy_vtable;
    instance.lossy->inner = store_create(log_length);
    instance.fleet = fb_fleet_create(&store, instance.shelf, &fleet_rules);
    assert_null(store);
    instance.news = fb_news_create(0, on_arrival, NULL);
    instance.ahead->fleet = instance.fleet;
    const fb_fleet_hooks_t hooks = {NULL, on_waiting, instance.ahead, &instance.ahead->meter};
    fb_fleet_connect(instance.fleet, instance.news, &hooks);
    if (fb_fleet_load(instance.fleet, &error) != FB_OK)
        fail_msg("%s", error.detail);
    return instance;
}

static inline void instance_dispose(instance_t *instance)
{
    fb_fleet_destroy(&instance->fleet);
    fb_news_destroy(&instance->news);
    fb_shelf_destroy(&instance->shelf);
    free(instance->ahead);
}

static inline const fb_snapshot_t *instance_now(const instance_t *instance)
{
    return fb_fleet_current(instance->fleet);
}

/* One more instance of the fleet of this test. */
static inline instance_t join(void)
{
    return instance_create(0);
}

/* The first instance of a new fleet. */
static inline instance_t found(void)
{
    fleets++;
    return join();
}

/* --- writes ------------------------------------------------------------------------------- */

static inline fb_write_t *add(batch_t *batch, const char *method, const char *path,
                              const char *body)
{
    fb_route_t route;
    fb_error_t error = {0};
    assert_true(batch->count < BATCH_MAX);
    fb_write_t *write = &batch->writes[batch->count];
    *write = (fb_write_t){.command = NULL};
    assert_int_equal(fb_registry_route(fb_slice(method), fb_slice(path), &route, &error), FB_OK);
    write->command = route.command;
    memcpy(write->args.ids, route.ids, sizeof(route.ids));
    write->args.id_count = route.id_count;
    if (body != NULL &&
        fb_args_read_body(&write->args, write->command->body, write->command->body_count, NULL, 0,
                          write->command->body_mode, fb_slice(body), &error) != FB_OK)
        fail_msg("%s: %s", body, error.detail);
    batch->pointers[batch->count++] = write;
    return write;
}

static inline fb_write_t *add_machine(batch_t *batch, const char *inventory_id)
{
    char body[120];
    snprintf(body, sizeof(body), "{\"label\":\"M\",\"inventory_id\":\"%s\",\"type\":\"crane\"}",
             inventory_id);
    return add(batch, "POST", "/v1/machines", body);
}

static inline void clear(batch_t *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        fb_write_dispose(&batch->writes[i]);
    batch->count = 0;
}

static inline fb_code_t commit(instance_t *instance, batch_t *batch, unsigned patience_ms)
{
    fb_error_t error = {0};
    uint64_t deadline_ms = fb_clock_monotonic_ms() + patience_ms;
    fb_code_t code =
        fb_fleet_commit(instance->fleet, batch->pointers, batch->count, deadline_ms, &error);
    assert_int_equal(code, error.code);
    fb_shelf_reclaim(instance->shelf);
    return code;
}

static inline void must_commit(instance_t *instance, batch_t *batch)
{
    assert_int_equal(commit(instance, batch, 10000), FB_OK);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->writes[i].error.code != FB_OK)
            fail_msg("write %zu: %s", i, batch->writes[i].error.detail);
    }
}

static inline void create_machine(instance_t *instance, const char *inventory_id)
{
    batch_t *batch = calloc(1, sizeof(*batch));
    add_machine(batch, inventory_id);
    must_commit(instance, batch);
    clear(batch);
    free(batch);
}

/* --- what the log says -------------------------------------------------------------------- */

typedef struct {
    fb_buffer_t payloads;
    uint64_t revision; /* of the last one */
} log_t;

static inline fb_code_t on_entry(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    log_t *log = context;
    (void)error;
    assert_int_equal(entry->revision, ++log->revision); /* dense */
    fb_buffer_put_slice(&log->payloads, entry->payload);
    return FB_OK;
}

static inline log_t log_read(void)
{
    fb_store_t *store = store_create(0);
    log_t log = {.revision = 0};
    size_t count;
    fb_position_t head;
    fb_error_t error = {0};
    do {
        if (store->vtable->read(store, log.revision, 1000, on_entry, &log, &count, &head, &error) !=
            FB_OK)
            fail_msg("%s", error.detail);
    } while (count == 1000);
    store->vtable->destroy(store);
    return log;
}

static inline unsigned times_in(const log_t *log, const char *text)
{
    unsigned times = 0;
    size_t len = strlen(text);
    const char *at = log->payloads.at, *found;
    if (at == NULL)
        return 0;
    const char *end = at + log->payloads.len;
    while (at < end && (found = memmem(at, (size_t)(end - at), text, len)) != NULL) {
        times++;
        at = found + len;
    }
    return times;
}

static inline unsigned times_in_log(const char *text)
{
    log_t log = log_read();
    unsigned times = times_in(&log, text);
    fb_buffer_dispose(&log.payloads);
    return times;
}

/* Every instance that has caught up shows what one that has just started shows. */
static inline void assert_all_same(instance_t *instances, size_t count)
{
    instance_t fresh = join();
    fb_buffer_t expected = {0}, shown = {0};
    dump(instance_now(&fresh), false, &expected);
    for (size_t i = 0; i < count; i++) {
        fb_error_t error = {0};
        instances[i].lossy->chance = NULL;
        instances[i].lossy->deaf = false;
        if (fb_fleet_catch_up(instances[i].fleet, &error) != FB_OK)
            fail_msg("%s", error.detail);
        dump(instance_now(&instances[i]), false, &shown);
        assert_same_text(&shown, &expected);
    }
    fb_buffer_dispose(&shown);
    fb_buffer_dispose(&expected);
    instance_dispose(&fresh);
}
