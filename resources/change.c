/* SPDX-License-Identifier: MIT */
#include "resources/change.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"
#include "resources/registry.h"

#define BLOCK_VALUES 64 /* rows have some ten values, and most changes few rows */

/* Values stay where they are, as operations point at them. */
struct fb_change_block {
    fb_change_block_t *next;
    size_t used;
    fb_value_t values[BLOCK_VALUES];
};

_Static_assert(FB_FIELDS_MAX <= BLOCK_VALUES, "a block has room for a row");

void fb_change_dispose(fb_change_t *change)
{
    for (fb_change_block_t *next, *block = change->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(change->ops);
    json_decref(change->decoded);
    json_decref(change->kept);
    *change = (fb_change_t){0};
}

static fb_op_t *add(fb_change_t *change, fb_op_kind_t kind, unsigned subject, uint32_t id)
{
    if (change->count == change->capacity) {
        change->capacity = change->capacity ? change->capacity * 2 : 4;
        change->ops = fb_realloc(change->ops, change->capacity * sizeof(fb_op_t));
    }
    fb_op_t *op = &change->ops[change->count++];
    op->kind = kind;
    op->subject = subject;
    op->id = id;
    return op;
}

static const fb_value_t *copy_values(fb_change_t *change, const fb_value_t *values, unsigned count)
{
    fb_change_block_t *block = change->blocks;
    if (block == NULL || block->used + count > BLOCK_VALUES) {
        block = fb_alloc(sizeof(*block));
        block->next = change->blocks;
        block->used = 0;
        change->blocks = block;
    }
    fb_value_t *copy = block->values + block->used;
    block->used += count;
    return memcpy(copy, values, count * sizeof(*values));
}

void fb_change_put(fb_change_t *change, unsigned family, uint32_t id, const fb_value_t *values)
{
    fb_op_t *op = add(change, FB_OP_PUT, family, id);
    op->values = copy_values(change, values, fb_registry_resource(family)->field_count);
}

void fb_change_delete(fb_change_t *change, unsigned family, uint32_t id)
{
    add(change, FB_OP_DELETE, family, id);
}

void fb_change_archive(fb_change_t *change, unsigned family, uint32_t id)
{
    add(change, FB_OP_ARCHIVE, family, id);
}

void fb_change_queue(fb_change_t *change, unsigned family, uint32_t id)
{
    add(change, FB_OP_QUEUE, family, id);
}

void fb_change_days(fb_change_t *change, fb_plane_id_t plane, uint32_t id, fb_day_t from,
                    fb_day_t to, bool set)
{
    if (to < from)
        return;
    fb_op_t *op = add(change, FB_OP_DAYS, plane, id);
    op->from = from;
    op->days = (uint32_t)(to - from + 1);
    op->set = set;
}

fb_slice_t fb_change_keep(fb_change_t *change, fb_slice_t text)
{
    json_t *copy = json_stringn_nocheck(text.at, text.len);
    if (change->kept == NULL)
        change->kept = json_array();
    fb_assert(json_array_append_new(change->kept, copy) == 0);
    return (fb_slice_t){json_string_value(copy), json_string_length(copy)};
}

static void encode_values(const fb_op_t *op, fb_buffer_t *payload)
{
    const fb_resource_t *resource = fb_registry_resource(op->subject);
    fb_buffer_t text = {0};
    char separator = '{';
    for (unsigned f = 0; f < resource->field_count; f++) {
        if (op->values[f].null)
            continue;
        fb_buffer_put_char(payload, separator);
        fb_json_put_string(payload, fb_slice(resource->fields[f].name));
        fb_buffer_put_char(payload, ':');
        text.len = 0;
        fb_field_put_text(&resource->fields[f], &op->values[f], &text);
        fb_json_put_string(payload, fb_buffer_slice(&text));
        separator = ',';
    }
    fb_buffer_put_text(payload, separator == '{' ? "{}" : "}");
    fb_buffer_dispose(&text);
}

/* A row with a history says where it is appended, and when. */
static void encode_history(const fb_op_t *op, fb_buffer_t *payload)
{
    const fb_resource_t *resource = fb_registry_resource(op->subject);
    if (resource->history == NULL || op->values[resource->history_at].null)
        return;
    fb_buffer_printf(payload, ",\"%s\",", resource->history);
    fb_buffer_put_i64(payload, op->values[resource->history_at].number);
}

static bool is_grouped(const fb_op_t *a, const fb_op_t *b)
{
    if (a->kind != b->kind || a->subject != b->subject)
        return false;
    return a->kind == FB_OP_ARCHIVE ||
           (a->kind == FB_OP_DAYS && a->from == b->from && a->days == b->days && a->set == b->set);
}

static void encode_ids(const fb_op_t *ops, size_t count, fb_buffer_t *payload)
{
    if (count == 1) {
        fb_buffer_put_u64(payload, ops->id);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        fb_buffer_put_char(payload, i == 0 ? '[' : ',');
        fb_buffer_put_u64(payload, ops[i].id);
    }
    fb_buffer_put_char(payload, ']');
}

/* The operation, of `count` ids. */
static void encode_op(const fb_op_t *op, size_t count, fb_buffer_t *payload)
{
    switch (op->kind) {
    case FB_OP_PUT:
        fb_buffer_printf(payload, "[\"put\",\"%s\",%u,",
                         fb_registry_resource(op->subject)->row_name, op->id);
        encode_values(op, payload);
        encode_history(op, payload);
        fb_buffer_put_char(payload, ']');
        break;
    case FB_OP_DELETE:
        fb_buffer_printf(payload, "[\"delete\",\"%s\",%u]",
                         fb_registry_resource(op->subject)->row_name, op->id);
        break;
    case FB_OP_DAYS:
        fb_buffer_printf(payload, "[\"days\",\"%s\",", fb_plane_names[op->subject]);
        encode_ids(op, count, payload);
        fb_buffer_put_char(payload, ',');
        fb_json_put_day(payload, op->from);
        fb_buffer_printf(payload, ",%u,%d]", op->days, op->set ? 1 : 0);
        break;
    case FB_OP_ARCHIVE:
        fb_buffer_printf(payload, "[\"archive\",\"%s\",",
                         fb_registry_resource(op->subject)->row_name);
        encode_ids(op, count, payload);
        fb_buffer_put_char(payload, ']');
        break;
    case FB_OP_QUEUE:
        fb_buffer_printf(payload, "[\"queue\",\"%s\",%u]", fb_registry_resource(op->subject)->queue,
                         op->id);
        break;
    }
}

size_t fb_change_group(const fb_change_t *change, size_t first)
{
    size_t end = first + 1;
    while (end < change->count && is_grouped(&change->ops[first], &change->ops[end]))
        end++;
    return end - first;
}

void fb_change_encode_ops(const fb_change_t *change, fb_buffer_t *payload)
{
    for (size_t i = 0, count; i < change->count; i += count) {
        count = fb_change_group(change, i);
        fb_buffer_put_text(payload, i > 0 ? "," : "");
        encode_op(&change->ops[i], count, payload);
    }
}

void fb_change_encode(const fb_change_t *change, fb_buffer_t *payload)
{
    fb_buffer_put_char(payload, '[');
    fb_change_encode_ops(change, payload);
    fb_buffer_put_char(payload, ']');
}

static fb_slice_t string_at(const json_t *array, size_t index)
{
    const json_t *item = json_array_get(array, index);
    return (fb_slice_t){json_string_value(item), json_string_length(item)};
}

static bool read_number(const json_t *item, uint32_t max, uint32_t *number)
{
    json_int_t value = json_integer_value(item);
    *number = (uint32_t)value;
    return json_is_integer(item) && value >= 0 && value <= max;
}

static bool number_at(const json_t *array, size_t index, uint32_t max, uint32_t *number)
{
    return read_number(json_array_get(array, index), max, number);
}

static bool read_id(const json_t *item, uint32_t *id)
{
    return read_number(item, UINT32_MAX, id) && *id != 0;
}

static bool id_at(const json_t *array, size_t index, uint32_t *id)
{
    return read_id(json_array_get(array, index), id);
}

/* How many ids there are: one, or an array of them. */
static size_t id_count_at(const json_t *array, size_t index)
{
    const json_t *item = json_array_get(array, index);
    return json_is_array(item) ? json_array_size(item) : 1;
}

/* The `i`th of them. */
static bool nth_id_at(const json_t *array, size_t index, size_t i, uint32_t *id)
{
    const json_t *item = json_array_get(array, index);
    return read_id(json_is_array(item) ? json_array_get(item, i) : item, id);
}

static bool decode_values(const fb_resource_t *resource, json_t *object, fb_value_t *values)
{
    unsigned found = 0;
    if (!json_is_object(object))
        return false;
    for (unsigned f = 0; f < resource->field_count; f++) {
        const json_t *item = json_object_get(object, resource->fields[f].name);
        values[f] = (fb_value_t){.given = true, .null = true};
        if (item == NULL)
            continue;
        found++;
        fb_slice_t text = {json_string_value(item), json_string_length(item)};
        if (!json_is_string(item) || !fb_field_from_text(&resource->fields[f], text, &values[f]))
            return false;
    }
    /* A field that is not ours would be lost by the next put: better not to go on. */
    return found == json_object_size(object);
}

/* What the operation says of its history must be what the row says. A log that was written before
 * the family had one says nothing. */
static bool decode_history(const fb_resource_t *resource, const json_t *item,
                           const fb_value_t *values)
{
    if (json_array_size(item) == 4)
        return true;
    const json_t *at = json_array_get(item, 5);
    return json_array_size(item) == 6 && resource->history != NULL &&
           fb_slice_is(string_at(item, 4), resource->history) && json_is_integer(at) &&
           !values[resource->history_at].null &&
           json_integer_value(at) == values[resource->history_at].number;
}

static bool decode_row_op(fb_change_t *change, const json_t *item)
{
    fb_value_t values[FB_FIELDS_MAX];
    uint32_t id;
    int family = fb_registry_family(string_at(item, 1));
    if (family < 0 || !id_at(item, 2, &id))
        return false;
    if (fb_slice_is(string_at(item, 0), "delete")) {
        fb_change_delete(change, (unsigned)family, id);
        return json_array_size(item) == 3;
    }
    const fb_resource_t *resource = fb_registry_resource((unsigned)family);
    if (!decode_values(resource, json_array_get(item, 3), values))
        return false;
    fb_change_put(change, (unsigned)family, id, values);
    return decode_history(resource, item, values);
}

static bool decode_days(fb_change_t *change, const json_t *item)
{
    uint32_t id, days, set;
    size_t count = id_count_at(item, 2);
    fb_day_t from;
    int plane = FB_PLANE_COUNT - 1;
    while (plane >= 0 && !fb_slice_is(string_at(item, 1), fb_plane_names[plane]))
        plane--;
    if (plane < 0 || !number_at(item, 5, 1, &set) || !number_at(item, 4, FB_DAY_MAX + 1, &days) ||
        days == 0 || fb_day_parse(string_at(item, 3), &from) != FB_DATE_OK || from < FB_DAY_MIN ||
        from > FB_DAY_MAX - (fb_day_t)days + 1)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!nth_id_at(item, 2, i, &id))
            return false;
        fb_change_days(change, (fb_plane_id_t)plane, id, from, from + (fb_day_t)days - 1, set == 1);
    }
    return count > 0 && json_array_size(item) == 6;
}

static bool decode_archive(fb_change_t *change, const json_t *item)
{
    uint32_t id;
    size_t count = id_count_at(item, 2);
    int family = fb_registry_family(string_at(item, 1));
    if (family < 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!nth_id_at(item, 2, i, &id))
            return false;
        fb_change_archive(change, (unsigned)family, id);
    }
    return count > 0 && json_array_size(item) == 3;
}

static bool decode_queue(fb_change_t *change, const json_t *item)
{
    uint32_t id;
    int family = fb_registry_queue(string_at(item, 1));
    if (family < 0 || !id_at(item, 2, &id))
        return false;
    fb_change_queue(change, (unsigned)family, id);
    return json_array_size(item) == 3;
}

static bool decode_op(fb_change_t *change, const json_t *item)
{
    static const struct {
        const char *verb;
        bool (*decode)(fb_change_t *change, const json_t *item);
    } kinds[] = {
        {"put", decode_row_op},      {"delete", decode_row_op}, {"days", decode_days},
        {"archive", decode_archive}, {"queue", decode_queue},
    };
    for (size_t i = 0; i < FB_COUNT(kinds); i++) {
        if (fb_slice_is(string_at(item, 0), kinds[i].verb))
            return kinds[i].decode(change, item);
    }
    return false;
}

fb_code_t fb_change_decode(fb_change_t *change, fb_slice_t payload, fb_error_t *error)
{
    size_t index;
    const json_t *item;
    json_error_t fault;
    change->decoded = json_loadb(payload.at, payload.len, 0, &fault);
    if (!json_is_array(change->decoded))
        return fb_fail(error, FB_DIVERGED, "an entry of the log is no list of operations: %.100s",
                       change->decoded ? "not an array" : fault.text);
    json_array_foreach(change->decoded, index, item)
    {
        if (!decode_op(change, item))
            return fb_fail(error, FB_DIVERGED,
                           "operation %zu of an entry of the log is not one that this version "
                           "knows: was it written by a newer one?",
                           index + 1);
    }
    return FB_OK;
}
