/* SPDX-License-Identifier: MIT */
#include "server/fleet_internal.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "resources/registry.h"
#include "resources/stage.h"

#define READ_ENTRIES 1000 /* of the log at a time */

/* Those families that have rows, as the store asks for them. */
static void make_schema(fb_fleet_t *fleet)
{
    size_t count = 0;
    for (unsigned i = 0; i < fb_registry_count(); i++) {
        const fb_resource_t *resource = fb_registry_resource(i);
        if (resource->row_name == NULL)
            continue;
        for (unsigned f = 0; f < resource->field_count; f++)
            fleet->fields[count][f] = resource->fields[f].name;
        snprintf(fleet->set_names[count], sizeof(fleet->set_names[count]), "%ss",
                 resource->row_name);
        fleet->family_ids[count] = i;
        fleet->families[count] = (fb_store_family_t){
            .row_name = resource->row_name,
            .set_name = fleet->set_names[count],
            .fields = fleet->fields[count],
            .field_count = resource->field_count,
        };
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
    make_schema(fleet);
    *store = NULL;
    return fleet;
}

void fb_fleet_destroy(fb_fleet_t **fleet)
{
    fb_fleet_t *gone = *fleet;
    if (gone->current != NULL) {
        /* The shelf frees the block of the last snapshot, so a copy is what is taken apart. */
        fb_snapshot_t *last = fb_alloc(sizeof(*last));
        *last = *gone->current;
        fb_snapshot_destroy(&last);
    }
    gone->store->vtable->destroy(gone->store);
    free(gone);
    *fleet = NULL;
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

fb_code_t fb_fleet_durability(fb_fleet_t *fleet, bool *fsynced, fb_slice_t *sentence,
                              fb_error_t *error)
{
    return fleet->store->vtable->durability(fleet->store, fsynced, sentence, error);
}

/* --- reading the log --------------------------------------------------------------------- */

typedef struct {
    fb_stage_t *stage;
    const char *command; /* the command id that is looked for; NULL: none */
    bool *found;
} reading_t;

static fb_code_t on_entry(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    reading_t *reading = context;
    fb_change_t change = {0};
    fb_position_t position = fb_stage_view(reading->stage)->position;
    fb_chain_next(position.chain, entry->command, entry->payload, position.chain);
    if (entry->revision != position.revision + 1 || strcmp(position.chain, entry->chain) != 0)
        return fb_fail(error, FB_DIVERGED, "entry %llu of the log does not continue %llu",
                       (unsigned long long)entry->revision, (unsigned long long)position.revision);
    fb_code_t code = fb_change_decode(&change, entry->payload, error);
    if (code == FB_OK) {
        fb_stage_apply(reading->stage, &change);
        position.revision = entry->revision;
        fb_stage_set_position(reading->stage, &position);
        if (reading->command != NULL && strcmp(reading->command, entry->command) == 0)
            *reading->found = true;
    }
    fb_change_dispose(&change);
    return code;
}

/* Applies to the stage what the log has after it, up to its end. */
static fb_code_t read_log(fb_fleet_t *fleet, reading_t *reading, fb_error_t *error)
{
    size_t count;
    do {
        uint64_t revision = fb_stage_view(reading->stage)->position.revision;
        fb_code_t code = fleet->store->vtable->read(fleet->store, revision, READ_ENTRIES, on_entry,
                                                    reading, &count, error);
        if (code != FB_OK)
            return code;
    } while (count == READ_ENTRIES);
    return FB_OK;
}

void fb_fleet_put_on_shelf(fb_fleet_t *fleet, fb_stage_t **stage)
{
    void **garbage;
    size_t count;
    fb_snapshot_t *next = fb_stage_seal(stage, &garbage, &count);
    fleet->current = next;
    fleet->shelf_number = fb_shelf_put(fleet->shelf, next, garbage, count);
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
    for (unsigned f = 0; f < resource->field_count; f++) {
        const fb_field_t *field = &resource->fields[f];
        if (texts[f].at == NULL)
            values[f] = (fb_value_t){.given = true, .null = true};
        else if (!fb_field_from_text(field, texts[f], &values[f]))
            return fb_fail(error, FB_DIVERGED, "%s:%u in Redis has a wrong %s: \"%.*s\"",
                           resource->row_name, id, field->name, FB_PRINT(texts[f]));
    }
    fb_stage_put(loading->stage, number, id, values);
    return FB_OK;
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

static fb_code_t load_stage(fb_fleet_t *fleet, fb_stage_t *stage, fb_error_t *error)
{
    const fb_store_vtable_t *store = fleet->store->vtable;
    fb_position_t head;
    loading_t loading = {fleet, stage};
    const fb_store_sink_t sink = {&loading, on_row, on_day, on_last_id};
    reading_t reading = {.stage = stage};
    fb_code_t code = store->head(fleet->store, &head, error);
    if (code == FB_OK)
        code = store->load(fleet->store, &fleet->schema, &sink, error);
    if (code != FB_OK)
        return code;
    fb_stage_set_position(stage, &head);
    return read_log(fleet, &reading, error);
}

fb_code_t fb_fleet_load(fb_fleet_t *fleet, fb_error_t *error)
{
    void **old_blocks = NULL;
    size_t old_count = 0;
    fb_day_t today = fb_zone_day(fb_clock_now());
    fb_snapshot_t *empty = fb_snapshot_create(fleet->rules, fleet->hash_seed, today);
    if (fleet->current != NULL)
        empty->serial = fleet->current->serial;
    empty->today_changed = empty->serial + 1;
    fb_stage_t *stage = fb_stage_begin(empty);
    free(empty);
    fb_code_t code = load_stage(fleet, stage, error);
    if (code != FB_OK) {
        fb_stage_abort(&stage);
        return code;
    }
    if (fleet->current != NULL)
        fb_snapshot_blocks(fleet->current, &old_blocks, &old_count);
    void **none;
    size_t none_count;
    fb_snapshot_t *next = fb_stage_seal(&stage, &none, &none_count);
    fb_assert(none_count == 0);
    free(none);
    fleet->current = next;
    fleet->shelf_number = fb_shelf_put(fleet->shelf, next, old_blocks, old_count);
    return FB_OK;
}

fb_code_t fb_fleet_follow(fb_fleet_t *fleet, const char *command, fb_followed_t *followed,
                          fb_error_t *error)
{
    fb_position_t head;
    *followed = (fb_followed_t){0};
    fb_code_t code = fleet->store->vtable->head(fleet->store, &head, error);
    if (code != FB_OK)
        return code;
    const fb_position_t *own = &fleet->current->position;
    bool same = strcmp(head.epoch, own->epoch) == 0 && strcmp(head.chain, own->chain) == 0;
    if (same && head.revision == own->revision)
        return FB_OK;
    reading_t reading = {fb_stage_begin(fleet->current), command, &followed->found};
    if (strcmp(head.epoch, own->epoch) != 0)
        code = fb_fail(error, FB_DIVERGED, "the epoch is now %s", head.epoch);
    else if (head.revision <= own->revision)
        code = fb_fail(error, FB_DIVERGED, "the log went back from %llu to %llu",
                       (unsigned long long)own->revision, (unsigned long long)head.revision);
    else
        code = read_log(fleet, &reading, error);
    if (code == FB_OK) {
        fb_fleet_put_on_shelf(fleet, &reading.stage);
        return FB_OK;
    }
    fb_stage_abort(&reading.stage);
    if (code != FB_DIVERGED && code != FB_TRIMMED)
        return code;
    fb_log_warning("loading the fleet anew: %s", error->detail);
    *error = (fb_error_t){0};
    followed->reloaded = true;
    return fb_fleet_load(fleet, error);
}

fb_code_t fb_fleet_catch_up(fb_fleet_t *fleet, fb_error_t *error)
{
    fb_followed_t followed;
    return fb_fleet_follow(fleet, NULL, &followed, error);
}

void fb_fleet_set_today(fb_fleet_t *fleet, fb_day_t today)
{
    fb_stage_t *stage = fb_stage_begin(fleet->current);
    fb_stage_set_today(stage, today);
    fb_fleet_put_on_shelf(fleet, &stage);
}
