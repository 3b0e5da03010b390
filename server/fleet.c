/* SPDX-License-Identifier: MIT */
#include "server/fleet_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "resources/registry.h"
#include "resources/stage.h"

#define LOADS_MAX   3  /* until one is not overtaken by the log's trimming, or another epoch */
#define RELOAD_NICE 19 /* a reload beside a serving snapshot leaves the cores to the loops */

/* Those families that have rows, as the store asks for them. */
static void make_schema(fb_fleet_t *fleet)
{
    size_t count = 0;
    for (unsigned i = 0; i < fb_registry_count(); i++) {
        const fb_resource_t *resource = fb_registry_resource(i);
        if (resource->row_name == NULL)
            continue;
        fleet->family_ids[count] = i;
        fb_schema_family(resource, &fleet->names[count], &fleet->families[count]);
        count++;
    }
    fleet->schema = (fb_store_schema_t){fleet->families, count, fb_plane_names, FB_PLANE_COUNT};
}

fb_fleet_t *fb_fleet_create(fb_store_t **store, fb_shelf_t *shelf, const fb_rules_t *rules)
{
    fb_fleet_t *fleet = fb_alloc_zero(1, sizeof(*fleet));
    fleet->store = *store;
    fleet->rules = rules;
    fleet->shelf = shelf;
    fb_assert(getrandom(&fleet->hash_seed, sizeof(fleet->hash_seed), 0) ==
              sizeof(fleet->hash_seed));
    fb_assert(getrandom(&fleet->author, sizeof(fleet->author), 0) == sizeof(fleet->author));
    fleet->random_state = fleet->hash_seed ^ fleet->author;
    fb_turns_init(&fleet->turns, fleet->author);
    make_schema(fleet);
    *store = NULL;
    return fleet;
}

void fb_fleet_destroy(fb_fleet_t **fleet)
{
    fb_fleet_t *gone = *fleet;
    fb_batch_dispose(&gone->ahead);
    if (gone->current != NULL) {
        /* The shelf frees the block of the last snapshot, so a copy is what is taken apart. */
        fb_snapshot_t *last = fb_alloc(sizeof(*last));
        *last = *gone->current;
        fb_snapshot_destroy(&last);
    }
    fb_news_batch_dispose(&gone->heard);
    gone->store->vtable->destroy(gone->store);
    free(gone);
    *fleet = NULL;
}

void fb_fleet_connect(fb_fleet_t *fleet, fb_news_t *news, const fb_fleet_hooks_t *hooks)
{
    fb_assert(fleet->current == NULL);
    fleet->news = news;
    fleet->hooks = *hooks;
}

fb_shelf_t *fb_fleet_shelf(const fb_fleet_t *fleet)
{
    return fleet->shelf;
}

const fb_snapshot_t *fb_fleet_current(const fb_fleet_t *fleet)
{
    return fleet->current;
}

uint64_t fb_fleet_shelf_number(const fb_fleet_t *fleet)
{
    return fleet->shelf_number;
}

const fb_fleet_stats_t *fb_fleet_stats(const fb_fleet_t *fleet)
{
    return &fleet->stats;
}

uint32_t fb_fleet_author(const fb_fleet_t *fleet)
{
    return fleet->author;
}

void fb_fleet_set_author(fb_fleet_t *fleet, uint32_t author)
{
    fb_assert(fleet->current == NULL);
    fleet->author = author;
    fb_turns_init(&fleet->turns, author);
}

uint64_t fb_fleet_turn_ns(const fb_fleet_t *fleet)
{
    return fb_turns_next_ns(&fleet->turns, fb_clock_monotonic_ns());
}

fb_code_t fb_fleet_durability(fb_fleet_t *fleet, bool *fsynced, fb_slice_t *sentence,
                              fb_error_t *error)
{
    return fleet->store->vtable->durability(fleet->store, fsynced, sentence, error);
}

/* --- the shelf --------------------------------------------------------------------------- */

static void put_on_shelf(fb_fleet_t *fleet, fb_snapshot_t *next, void **garbage, size_t count)
{
    fleet->current = next;
    fleet->shelf_number = fb_shelf_put(fleet->shelf, next, garbage, count);
    if (fleet->hooks.on_snapshot != NULL)
        fleet->hooks.on_snapshot(fleet->hooks.context);
}

void fb_fleet_put_on_shelf(fb_fleet_t *fleet, fb_stage_t **stage)
{
    void **garbage;
    size_t count;
    fb_snapshot_t *next = fb_stage_seal(stage, &garbage, &count);
    put_on_shelf(fleet, next, garbage, count);
}

void fb_fleet_set_today(fb_fleet_t *fleet, fb_day_t today)
{
    fb_stage_t *stage = fb_stage_begin(fleet->current);
    fb_stage_set_today(stage, today);
    fb_fleet_put_on_shelf(fleet, &stage);
}

/* --- loading ----------------------------------------------------------------------------- */

typedef struct {
    fb_fleet_t *fleet;
    fb_stage_t *stage;
} loading_t;

static fb_code_t on_row(void *context, size_t family, uint32_t id, const fb_slice_t *texts,
                        fb_error_t *error)
{
    loading_t *loading = context;
    unsigned number = loading->fleet->family_ids[family];
    const fb_resource_t *resource = fb_registry_resource(number);
    fb_value_t values[FB_FIELDS_MAX];
    fb_code_t code = fb_schema_values(resource, id, texts, values, error);
    if (code == FB_OK)
        fb_stage_put(loading->stage, number, id, values);
    return code;
}

static fb_code_t on_day(void *context, size_t plane, fb_slice_t date, fb_slice_t bytes,
                        fb_error_t *error)
{
    loading_t *loading = context;
    fb_day_t day;
    if (fb_day_parse(date, &day) != FB_DATE_OK || day < FB_DAY_MIN || day > FB_DAY_MAX)
        return fb_fail(error, FB_DIVERGED, "Redis has a bitmap for the date \"%.*s\"",
                       FB_PRINT(date));
    fb_stage_load_day(loading->stage, (fb_plane_id_t)plane, day, bytes);
    return FB_OK;
}

static void on_last_id(void *context, size_t family, uint32_t id)
{
    loading_t *loading = context;
    fb_stage_raise_last_id(loading->stage, loading->fleet->family_ids[family], id);
}

/* Notes the head, loads all, applies the log from the noted head on. */
static fb_code_t load_stage(fb_fleet_t *fleet, fb_stage_t *stage, fb_error_t *error)
{
    const fb_store_vtable_t *store = fleet->store->vtable;
    fb_position_t head;
    loading_t loading = {fleet, stage};
    const fb_store_sink_t sink = {&loading, on_row, on_day, on_last_id, fleet->current != NULL};
    fb_reading_t reading = {.fleet = fleet, .stage = stage, .is_load = true};
    fb_code_t code = store->head(fleet->store, &head, error);
    if (code == FB_OK)
        code = store->load(fleet->store, &fleet->schema, &sink, error);
    if (code != FB_OK)
        return code;
    fb_stage_set_position(stage, &head);
    fb_stage_begin_events(stage, head.revision);
    code = fb_fleet_read_log(&reading, error);
    if (code == FB_OK)
        fb_fleet_check_sum(fleet, fb_stage_view(stage));
    return code;
}

static fb_stage_t *begin_empty(fb_fleet_t *fleet)
{
    fb_day_t today = fb_zone_day(fb_clock_now());
    fb_snapshot_t *empty = fb_snapshot_create(fleet->rules, fleet->hash_seed, today);
    if (fleet->current != NULL)
        empty->serial = fleet->current->serial;
    empty->today_changed = empty->serial + 1;
    fb_stage_t *stage = fb_stage_begin(empty);
    free(empty);
    return stage;
}

typedef struct {
    fb_fleet_t *fleet;
    fb_stage_t *stage;
    fb_error_t *error;
    fb_code_t code;
} load_task_t;

static void load_task(load_task_t *task)
{
    for (int attempt = 0; attempt < LOADS_MAX; attempt++) {
        *task->error = (fb_error_t){0};
        task->stage = begin_empty(task->fleet);
        task->code = load_stage(task->fleet, task->stage, task->error);
        if (task->code == FB_OK)
            return;
        fb_stage_abort(&task->stage);
        if (task->code != FB_TRIMMED && task->code != FB_DIVERGED)
            return;
    }
}

static void *run_load_task(void *context)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), RELOAD_NICE); /* of this thread alone, on Linux */
    load_task(context);
    return NULL;
}

fb_code_t fb_fleet_load(fb_fleet_t *fleet, fb_error_t *error)
{
    void **old_blocks = NULL, **none;
    size_t old_count = 0, none_count;
    load_task_t task = {.fleet = fleet, .error = error};
    pthread_t thread;
    /* Nothing waits for the first load but itself; later ones are beside what is being served. */
    if (fleet->current == NULL || pthread_create(&thread, NULL, run_load_task, &task) != 0)
        load_task(&task);
    else
        pthread_join(thread, NULL);
    if (task.code != FB_OK)
        return task.code;
    if (fleet->current != NULL)
        fb_snapshot_blocks(fleet->current, &old_blocks, &old_count);
    fb_snapshot_t *next = fb_stage_seal(&task.stage, &none, &none_count);
    fb_assert(none_count == 0);
    free(none);
    put_on_shelf(fleet, next, old_blocks, old_count);
    return FB_OK;
}
