/* SPDX-License-Identifier: MIT */
#include "persistence/store_memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/date.h"
#include "base/memory.h"
#include "persistence/keys.h"
#include "persistence/memory_history.h"
#include "persistence/memory_notes.h"
#include "persistence/memory_queue.h"
#include "persistence/memory_rows.h"

typedef struct {
    fb_day_t day;
    unsigned char *bytes; /* as Redis keeps a bitmap */
    size_t len;
} day_t;

typedef struct {
    char *name;
    day_t *days; /* by date */
    size_t count, capacity;
} plane_t;

typedef struct {
    fb_store_t store;
    fb_position_t head;
    uint64_t log_length;
    fb_entry_t *log; /* its payloads are owned */
    size_t log_count, log_capacity;
    fb_memory_rows_t rows;
    plane_t *planes;
    size_t plane_count;
    fb_memory_histories_t histories;
    fb_memory_queues_t queues;
    fb_memory_notes_t notes;
} memory_t;

static memory_t *memory(fb_store_t *store)
{
    return (memory_t *)store;
}

/* Makes room for one more element at `at` of an array, and returns it, zeroed. */
static void *insert(void **array, size_t *count, size_t *capacity, size_t at, size_t size)
{
    if (*count == *capacity) {
        *capacity = *capacity == 0 ? 16 : *capacity * 2;
        *array = fb_realloc(*array, *capacity * size);
    }
    char *place = (char *)*array + at * size;
    memmove(place + size, place, (*count - at) * size);
    memset(place, 0, size);
    (*count)++;
    return place;
}

/* ---- Days --------------------------------------------------------------------------------- */

static plane_t *get_plane(memory_t *self, const char *name)
{
    for (size_t i = 0; i < self->plane_count; i++) {
        if (strcmp(self->planes[i].name, name) == 0)
            return &self->planes[i];
    }
    self->planes = fb_realloc(self->planes, (self->plane_count + 1) * sizeof(*self->planes));
    plane_t *plane = &self->planes[self->plane_count++];
    *plane = (plane_t){.name = fb_strdup(name)};
    return plane;
}

static day_t *get_day(plane_t *plane, fb_day_t date)
{
    size_t low = 0, high = plane->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (plane->days[middle].day < date)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == plane->count || plane->days[low].day != date) {
        void *days = plane->days;
        insert(&days, &plane->count, &plane->capacity, low, sizeof(day_t));
        plane->days = days;
        plane->days[low].day = date;
    }
    return &plane->days[low];
}

static void set_bit(plane_t *plane, fb_day_t date, uint32_t id, bool bit)
{
    day_t *day = get_day(plane, date);
    size_t at = id / 8;
    unsigned mask = 0x80u >> (id % 8);
    if (at >= day->len) {
        day->bytes = fb_realloc(day->bytes, at + 1);
        memset(day->bytes + day->len, 0, at + 1 - day->len);
        day->len = at + 1;
    }
    if (bit)
        day->bytes[at] = (unsigned char)(day->bytes[at] | mask);
    else
        day->bytes[at] = (unsigned char)(day->bytes[at] & ~mask);
}

/* ---- Operations --------------------------------------------------------------------------- */

static bool is_name(const json_t *value)
{
    return json_is_string(value) && fb_keys_is_name(json_string_value(value));
}

static bool is_integer(const json_t *value, json_int_t least, json_int_t greatest)
{
    return json_is_integer(value) && json_integer_value(value) >= least &&
           json_integer_value(value) <= greatest;
}

static bool is_row(json_t *fields)
{
    const char *name;
    json_t *value;
    if (!json_is_object(fields) || json_object_size(fields) == 0)
        return false;
    json_object_foreach(fields, name, value)
    {
        if (name[0] == '\0' || !json_is_string(value))
            return false;
    }
    return true;
}

/* Of a put: is the history well named, and what goes there? */
static bool is_event(const json_t *op)
{
    return is_name(json_array_get(op, 4)) &&
           is_integer(json_array_get(op, 5), 0, FB_HISTORY_MS_MAX) &&
           json_object_size(json_array_get(op, 3)) <= FB_HISTORY_FIELDS_MAX;
}

static bool is_id(const json_t *value)
{
    return is_integer(value, 1, UINT32_MAX);
}

/* One id, or several. */
static bool is_ids(json_t *value)
{
    size_t i;
    json_t *id;
    json_array_foreach(value, i, id)
    {
        if (!is_id(id))
            return false;
    }
    return json_array_size(value) > 0 || is_id(value);
}

static bool is_days(json_t *op)
{
    fb_day_t day;
    const json_t *date = json_array_get(op, 3), *count = json_array_get(op, 4);
    return json_array_size(op) == 6 && json_is_string(date) &&
           fb_day_parse(fb_slice(json_string_value(date)), &day) == FB_DATE_OK &&
           day >= FB_DAY_MIN && is_integer(count, 1, FB_DAY_MAX + 1) &&
           day + json_integer_value(count) - 1 <= FB_DAY_MAX &&
           is_integer(json_array_get(op, 5), 0, 1) && is_ids(json_array_get(op, 2));
}

static bool is_operation(json_t *op)
{
    size_t size = json_array_size(op);
    json_t *ids = json_array_get(op, 2);
    if (size < 3 || !json_is_string(json_array_get(op, 0)) || !is_name(json_array_get(op, 1)))
        return false;
    const char *kind = json_string_value(json_array_get(op, 0));
    if (strcmp(kind, "put") == 0)
        return is_id(ids) && (size == 4 || (size == 6 && is_event(op))) &&
               is_row(json_array_get(op, 3));
    if (strcmp(kind, "delete") == 0 || strcmp(kind, "queue") == 0)
        return size == 3 && is_id(ids);
    if (strcmp(kind, "archive") == 0)
        return size == 3 && is_ids(ids);
    return strcmp(kind, "days") == 0 && is_days(op);
}

static void apply_days(memory_t *self, const char *name, uint32_t id, json_t *op)
{
    fb_day_t day = 0;
    json_int_t count = json_integer_value(json_array_get(op, 4));
    bool bit = json_integer_value(json_array_get(op, 5)) == 1;
    plane_t *plane = get_plane(self, name);
    fb_day_parse(fb_slice(json_string_value(json_array_get(op, 3))), &day);
    for (json_int_t i = 0; i < count; i++)
        set_bit(plane, day + (fb_day_t)i, id, bit);
}

/* The operation, of one of its ids. */
static void apply(memory_t *self, uint32_t id, json_t *op)
{
    const char *kind = json_string_value(json_array_get(op, 0));
    const char *name = json_string_value(json_array_get(op, 1));
    if (strcmp(kind, "put") == 0) {
        fb_memory_row_put(&self->rows, name, id, json_array_get(op, 3));
        if (json_array_size(op) == 6)
            fb_memory_history_append(&self->histories, json_string_value(json_array_get(op, 4)), id,
                                     (uint64_t)json_integer_value(json_array_get(op, 5)),
                                     json_array_get(op, 3));
    } else if (strcmp(kind, "delete") == 0) {
        fb_memory_row_delete(&self->rows, name, id);
    } else if (strcmp(kind, "archive") == 0) {
        fb_memory_row_archive(&self->rows, name, id);
    } else if (strcmp(kind, "queue") == 0) {
        fb_memory_queue_add(&self->queues, name, id);
    } else {
        apply_days(self, name, id, op);
    }
}

static void apply_all(memory_t *self, json_t *ops)
{
    size_t i;
    json_t *op;
    json_array_foreach(ops, i, op)
    {
        json_t *ids = json_array_get(op, 2);
        for (size_t k = 0; k < json_array_size(ids); k++)
            apply(self, (uint32_t)json_integer_value(json_array_get(ids, k)), op);
        if (json_is_integer(ids))
            apply(self, (uint32_t)json_integer_value(ids), op);
    }
}

/* The operations of a payload, or NULL where it is not as the contract says. */
static json_t *decode(fb_slice_t payload)
{
    json_t *ops = json_loadb(payload.at, payload.len, JSON_ALLOW_NUL, NULL);
    bool valid = json_is_array(ops);
    for (size_t i = 0; valid && i < json_array_size(ops); i++)
        valid = is_operation(json_array_get(ops, i));
    if (valid)
        return ops;
    json_decref(ops);
    return NULL;
}

/* ---- The contract ------------------------------------------------------------------------- */

static fb_code_t memory_head(fb_store_t *store, fb_position_t *head, fb_error_t *error)
{
    (void)error;
    *head = memory(store)->head;
    return FB_OK;
}

static void append_entry(memory_t *self, const fb_entry_t *entry)
{
    void *log = self->log;
    fb_entry_t *kept =
        insert(&log, &self->log_count, &self->log_capacity, self->log_count, sizeof(*kept));
    self->log = log;
    *kept = *entry;
    char *copy = fb_alloc(entry->payload.len + 1);
    memcpy(copy, entry->payload.at, entry->payload.len);
    kept->payload.at = copy;
    self->head.revision = entry->revision;
    memcpy(self->head.chain, entry->chain, sizeof(self->head.chain));
    memcpy(self->head.sum, entry->sum, sizeof(self->head.sum));
}

static void trim_log(memory_t *self)
{
    if (self->log_length == 0 || self->log_count <= self->log_length)
        return;
    size_t gone = self->log_count - (size_t)self->log_length;
    for (size_t i = 0; i < gone; i++)
        free((char *)(uintptr_t)self->log[i].payload.at);
    self->log_count -= gone;
    memmove(self->log, self->log + gone, self->log_count * sizeof(self->log[0]));
}

static fb_code_t memory_commit(fb_store_t *store, const fb_position_t *expected,
                               const fb_entry_t *entries, size_t count,
                               const fb_store_waiter_t *waiter, fb_error_t *error)
{
    memory_t *self = memory(store);
    fb_code_t code = fb_store_check_commit(expected, entries, count, error);
    if (code != FB_OK)
        return code;
    if (waiter != NULL)
        waiter->on_waiting(waiter->context);
    if (self->head.revision != expected->revision ||
        strcmp(self->head.epoch, expected->epoch) != 0 ||
        strcmp(self->head.chain, expected->chain) != 0)
        return fb_fail(error, FB_STALE, "the log's head is %s.%llu, not %s.%llu", self->head.epoch,
                       (unsigned long long)self->head.revision, expected->epoch,
                       (unsigned long long)expected->revision);
    json_t **changes = fb_alloc_zero(count, sizeof(*changes));
    for (size_t i = 0; code == FB_OK && i < count; i++) {
        changes[i] = decode(entries[i].payload);
        if (changes[i] == NULL)
            code = fb_fail(error, FB_INTERNAL, "change %zu is no array of operations", i + 1);
    }
    for (size_t i = 0; code == FB_OK && i < count; i++) {
        apply_all(self, changes[i]);
        append_entry(self, &entries[i]);
    }
    for (size_t i = 0; i < count; i++)
        json_decref(changes[i]);
    free(changes);
    trim_log(self);
    return code;
}

static fb_code_t memory_read(fb_store_t *store, uint64_t revision, size_t max,
                             fb_code_t (*on_entry)(void *context, const fb_entry_t *entry,
                                                   fb_error_t *error),
                             void *context, size_t *count, fb_position_t *head, fb_error_t *error)
{
    memory_t *self = memory(store);
    uint64_t trimmed = self->head.revision - self->log_count; /* the last that is gone */
    fb_code_t code = FB_OK;
    *count = 0;
    *head = self->head;
    if (revision > self->head.revision)
        return fb_fail(error, FB_DIVERGED, "the log ends with revision %llu, before %llu",
                       (unsigned long long)self->head.revision, (unsigned long long)revision);
    if (revision < trimmed)
        return fb_fail(error, FB_TRIMMED, "the log no longer has revision %llu",
                       (unsigned long long)(revision + 1));
    for (size_t i = (size_t)(revision - trimmed); i < self->log_count && *count < max; i++) {
        code = on_entry(context, &self->log[i], error);
        if (code != FB_OK)
            break;
        (*count)++;
    }
    return code;
}

static void random_epoch(memory_t *self)
{
    uint32_t epoch;
    fb_assert(getrandom(&epoch, sizeof(epoch), 0) == (ssize_t)sizeof(epoch));
    snprintf(self->head.epoch, sizeof(self->head.epoch), "%08x", epoch);
    self->head.since = self->head.revision;
}

static fb_code_t memory_begin_epoch(fb_store_t *store, const char *ended, fb_position_t *head,
                                    fb_error_t *error)
{
    memory_t *self = memory(store);
    (void)error;
    if (strcmp(self->head.epoch, ended) == 0) {
        fb_former_t *former = self->head.former;
        memmove(former + 1, former, (FB_FORMER_MAX - 1) * sizeof(former[0]));
        former[0] = (fb_former_t){.until = self->head.revision};
        memcpy(former[0].epoch, self->head.epoch, sizeof(former[0].epoch));
        random_epoch(self);
    }
    *head = self->head;
    return FB_OK;
}

static fb_code_t load_plane(const plane_t *plane, size_t index, const fb_store_sink_t *sink,
                            fb_error_t *error)
{
    fb_code_t code = FB_OK;
    for (size_t i = 0; code == FB_OK && i < plane->count; i++) {
        char date[FB_DAY_TEXT_BYTES];
        fb_slice_t bytes = {(const char *)plane->days[i].bytes, plane->days[i].len};
        fb_day_format(plane->days[i].day, date);
        code = sink->on_day(sink->context, index, (fb_slice_t){date, sizeof(date)}, bytes, error);
    }
    return code;
}

static fb_code_t memory_load(fb_store_t *store, const fb_store_schema_t *schema,
                             const fb_store_sink_t *sink, fb_error_t *error)
{
    memory_t *self = memory(store);
    fb_code_t code = FB_OK;
    for (size_t i = 0; code == FB_OK && i < schema->family_count; i++)
        code = fb_memory_rows_load(&self->rows, schema, i, sink, error);
    for (size_t i = 0; code == FB_OK && i < schema->plane_count; i++)
        code = load_plane(get_plane(self, schema->planes[i]), i, sink, error);
    return code;
}

static fb_code_t memory_history(
    fb_store_t *store, const fb_history_question_t *question,
    fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry, fb_error_t *error),
    void *context, size_t *count, fb_history_info_t *info, fb_error_t *error)
{
    return fb_memory_history_read(&memory(store)->histories, question, on_entry, context, count,
                                  info, error);
}

static fb_code_t memory_rows(fb_store_t *store, const fb_store_family_t *asked, const uint32_t *ids,
                             size_t count,
                             fb_code_t (*on_row)(void *context, uint32_t id,
                                                 const fb_slice_t *texts, fb_error_t *error),
                             void *context, fb_error_t *error)
{
    return fb_memory_rows_read(&memory(store)->rows, asked, ids, count, on_row, context, error);
}

static fb_code_t memory_queue_take(fb_store_t *store, const fb_queue_t *queue, size_t max,
                                   fb_queue_job_t *jobs, size_t *count, fb_error_t *error)
{
    (void)error;
    *count = fb_memory_queue_take(&memory(store)->queues, queue, max, jobs);
    return FB_OK;
}

static fb_code_t memory_queue_claim(fb_store_t *store, const fb_queue_t *queue, uint64_t idle_ms,
                                    size_t max, fb_queue_job_t *jobs, size_t *count,
                                    fb_error_t *error)
{
    (void)error;
    *count = fb_memory_queue_claim(&memory(store)->queues, queue, idle_ms, max, jobs);
    return FB_OK;
}

static fb_code_t memory_queue_done(fb_store_t *store, const fb_queue_t *queue,
                                   const fb_queue_job_t *jobs, size_t count, fb_error_t *error)
{
    (void)error;
    fb_memory_queue_done(&memory(store)->queues, queue, jobs, count);
    return FB_OK;
}

static fb_code_t memory_queue_leave(fb_store_t *store, const fb_queue_t *queue, fb_error_t *error)
{
    (void)error;
    fb_memory_queue_leave(&memory(store)->queues, queue);
    return FB_OK;
}

static fb_code_t memory_queue_info(fb_store_t *store, const fb_queue_t *queue,
                                   fb_queue_info_t *info, fb_error_t *error)
{
    (void)error;
    *info = fb_memory_queue_info(&memory(store)->queues, queue);
    return FB_OK;
}

static fb_code_t memory_lease_take(fb_store_t *store, const fb_lease_t *lease, bool *is_held,
                                   fb_error_t *error)
{
    (void)error;
    *is_held = fb_memory_lease_take(&memory(store)->notes, lease);
    return FB_OK;
}

static fb_code_t memory_lease_leave(fb_store_t *store, const fb_lease_t *lease, fb_error_t *error)
{
    (void)error;
    fb_memory_lease_leave(&memory(store)->notes, lease);
    return FB_OK;
}

static fb_code_t memory_notes_put(fb_store_t *store, const fb_notes_t *notes,
                                  const fb_slice_t *texts, fb_error_t *error)
{
    (void)error;
    fb_memory_notes_put(&memory(store)->notes, notes, texts);
    return FB_OK;
}

static fb_code_t memory_notes_read(fb_store_t *store, const fb_notes_t *notes,
                                   void (*on_notes)(void *context, const fb_slice_t *texts),
                                   void *context, fb_error_t *error)
{
    (void)error;
    fb_memory_notes_read(&memory(store)->notes, notes, on_notes, context);
    return FB_OK;
}

static fb_code_t memory_durability(fb_store_t *store, bool *fsynced, fb_slice_t *sentence,
                                   fb_error_t *error)
{
    (void)store;
    (void)error;
    *fsynced = false;
    *sentence = FB_SLICE("an acknowledged write is gone with this process (store in memory)");
    return FB_OK;
}

static fb_code_t memory_log_length(fb_store_t *store, uint64_t *entries, fb_error_t *error)
{
    (void)error;
    *entries = memory(store)->log_count;
    return FB_OK;
}

static void memory_destroy(fb_store_t *store)
{
    memory_t *self = memory(store);
    for (size_t i = 0; i < self->plane_count; i++) {
        for (size_t k = 0; k < self->planes[i].count; k++)
            free(self->planes[i].days[k].bytes);
        free(self->planes[i].days);
        free(self->planes[i].name);
    }
    for (size_t i = 0; i < self->log_count; i++)
        free((char *)(uintptr_t)self->log[i].payload.at);
    fb_memory_rows_dispose(&self->rows);
    fb_memory_histories_dispose(&self->histories);
    fb_memory_queues_dispose(&self->queues);
    fb_memory_notes_dispose(&self->notes);
    free(self->log);
    free(self->planes);
    free(self);
}

static const fb_store_vtable_t memory_vtable = {
    .head = memory_head,
    .commit = memory_commit,
    .read = memory_read,
    .begin_epoch = memory_begin_epoch,
    .load = memory_load,
    .history = memory_history,
    .rows = memory_rows,
    .queue_take = memory_queue_take,
    .queue_claim = memory_queue_claim,
    .queue_done = memory_queue_done,
    .queue_leave = memory_queue_leave,
    .queue_info = memory_queue_info,
    .lease_take = memory_lease_take,
    .lease_leave = memory_lease_leave,
    .notes_put = memory_notes_put,
    .notes_read = memory_notes_read,
    .durability = memory_durability,
    .log_length = memory_log_length,
    .destroy = memory_destroy,
};

fb_store_t *fb_store_memory_create(uint64_t log_length, uint64_t history_length,
                                   uint64_t history_age_ms)
{
    memory_t *self = fb_alloc_zero(1, sizeof(*self));
    self->store.vtable = &memory_vtable;
    self->log_length = log_length;
    self->histories.length = history_length;
    self->histories.age_ms = history_age_ms;
    random_epoch(self);
    memset(self->head.sum, '0', FB_SUM_BYTES);
    memset(self->head.chain, '0', FB_CHAIN_BYTES);
    return &self->store;
}
