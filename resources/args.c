/* SPDX-License-Identifier: MIT */
#include "resources/args.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"

void fb_args_dispose(fb_args_t *args)
{
    fb_buffer_dispose(&args->decoded);
    free(args->items.values);
    free(args->items.is_wrong);
    json_decref(args->body);
    *args = (fb_args_t){0};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Appends the decoded text to `into`, which has room for it and therefore stays where it is. */
static bool percent_decode(fb_slice_t text, fb_buffer_t *into, fb_slice_t *decoded)
{
    size_t start = into->len;
    if (memchr(text.at, '%', text.len) == NULL && memchr(text.at, '+', text.len) == NULL) {
        memcpy(into->at + start, text.at, text.len);
        into->len += text.len;
        *decoded = (fb_slice_t){into->at + start, text.len};
        return true;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.at[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        into->at[into->len++] = c;
    }
    *decoded = (fb_slice_t){into->at + start, into->len - start};
    return true;
}

static fb_slice_t cut(fb_slice_t *rest, char separator)
{
    const char *found = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
    size_t len = found ? (size_t)(found - rest->at) : rest->len;
    fb_slice_t part = {rest->at, len};
    size_t past = found ? len + 1 : len;
    *rest = (fb_slice_t){rest->at + past, rest->len - past};
    return part;
}

static fb_code_t read_parameter(fb_args_t *args, const fb_field_t *fields, unsigned count,
                                fb_slice_t pair, fb_error_t *error)
{
    fb_slice_t raw = pair, name, text;
    fb_slice_t raw_name = cut(&raw, '=');
    if (!percent_decode(raw_name, &args->decoded, &name) ||
        !percent_decode(raw, &args->decoded, &text))
        return fb_fail_field(error, FB_MALFORMED, raw_name, "the percent-encoding is broken");
    int index = fb_field_find(fields, count, name);
    if (index < 0)
        return fb_fail_field(error, FB_MALFORMED, name, "there is no such query parameter here");
    if (args->values[index].given)
        return fb_fail_field(error, FB_MALFORMED, name, "the query parameter occurs twice");
    return fb_field_from_query(&fields[index], text, &args->values[index], error);
}

static fb_code_t check_required(const fb_value_t *values, const fb_field_t *fields, unsigned count,
                                fb_error_t *error)
{
    for (unsigned f = 0; f < count; f++) {
        if ((fields[f].flags & FB_REQUIRED) && !values[f].given)
            fb_fail_field(error, FB_INVALID, fb_slice(fields[f].name), FB_ARGS_REQUIRED);
    }
    return error->code;
}

fb_code_t fb_args_read_query(fb_args_t *args, const fb_field_t *fields, unsigned count,
                             fb_slice_t query, fb_error_t *error)
{
    fb_assert(count <= FB_FIELDS_MAX);
    if (query.len > 0)
        fb_buffer_reserve(&args->decoded, query.len);
    while (query.len > 0) {
        fb_slice_t pair = cut(&query, '&');
        if (pair.len == 0)
            continue;
        fb_code_t code = read_parameter(args, fields, count, pair, error);
        if (code != FB_OK)
            return code;
    }
    return check_required(args->values, fields, count, error);
}

typedef struct {
    const fb_field_t *fields;
    unsigned count;
    const fb_field_t *read_only;
    unsigned read_only_count;
    fb_body_mode_t mode;
    uint32_t own_id; /* of the thing at the path; 0: none */
} body_table_t;

/* What the JSON calls the id of the path. */
static const char *own_id_name(const body_table_t *table)
{
    for (unsigned f = 0; f < table->count; f++) {
        if (table->fields[f].flags & FB_OWN_ID)
            return table->fields[f].name;
    }
    return "id";
}

static bool is_shown(const body_table_t *table, fb_slice_t name)
{
    return fb_field_find(table->fields, table->count, name) >= 0 ||
           fb_field_find(table->read_only, table->read_only_count, name) >= 0 ||
           (table->mode != FB_BODY_EACH && fb_slice_is(name, own_id_name(table)));
}

/* RFC 9110, section 9.3.4: what is sent must be a state of the thing at the path. */
static void check_id(const body_table_t *table, fb_slice_t name, const json_t *json,
                     fb_error_t *error)
{
    uint32_t own = table->own_id;
    if (own != 0 && (!json_is_number(json) || json_number_value(json) != own))
        fb_fail_field(error, FB_INVALID, name, "must be %u, as in the path", own);
}

/* Where the value is a text that had to be made, the object keeps that in the place of what it was
 * made from. */
static void read_value(const fb_field_t *field, json_t *object, const json_t *json,
                       fb_value_t *value, fb_error_t *error)
{
    json_t *made;
    fb_field_from_json(field, json, &made, value, error);
    if (made != NULL)
        fb_assert(json_object_set_new_nocheck(object, field->name, made) == 0);
}

static void read_member(const body_table_t *table, fb_slice_t name, json_t *object,
                        const json_t *json, fb_value_t *values, fb_error_t *error)
{
    int index = fb_field_find(table->fields, table->count, name);
    if (index >= 0 && !(table->fields[index].flags & FB_ASSIGNED))
        read_value(&table->fields[index], object, json, &values[index], error);
    else if (table->mode != FB_BODY_REPLACE)
        fb_fail_field(error, FB_INVALID, name, "is set by the server");
    else if (fb_slice_is(name, own_id_name(table)))
        check_id(table, name, json, error);
}

static fb_code_t read_object(const body_table_t *table, json_t *object, fb_value_t *values,
                             fb_error_t *error)
{
    const char *name;
    json_t *json;
    /* What nobody knows comes first, so that the code does not hang on the order of members. */
    json_object_foreach(object, name, json)
    {
        if (!is_shown(table, fb_slice(name)))
            fb_fail_field(error, FB_MALFORMED, fb_slice(name), "there is no such member here");
    }
    json_object_foreach(object, name, json)
    {
        if (is_shown(table, fb_slice(name)))
            read_member(table, fb_slice(name), object, json, values, error);
    }
    if (error->code == FB_OK && table->mode != FB_BODY_MERGE)
        check_required(values, table->fields, table->count, error);
    return error->code;
}

/* --- bodies that are arrays --------------------------------------------------------------- */

static fb_code_t read_item(const fb_items_t *items, json_t *json, fb_value_t *values,
                           fb_error_t *error)
{
    const body_table_t table = {
        .fields = items->fields, .count = items->field_count, .mode = FB_BODY_EACH};
    if (!json_is_object(json))
        return fb_fail(error, FB_INVALID, "the item is not an object");
    return read_object(&table, json, values, error);
}

static fb_code_t read_items(fb_args_t *args, const fb_field_t *fields, unsigned count,
                            fb_slice_t body, fb_error_t *error)
{
    fb_error_t fault; /* of one item: worked out again when it is asked for */
    size_t index;
    json_t *json;
    fb_items_t *items = &args->items;
    if (fb_json_parse_array(body, &args->body, error) != FB_OK)
        return error->code;
    size_t length = json_array_size(args->body);
    if (length == 0 || length > FB_ITEMS_MAX)
        return fb_fail(error, FB_INVALID, "the array must have 1 to %d items, not %zu",
                       FB_ITEMS_MAX, length);
    *items = (fb_items_t){.fields = fields, .field_count = count, .count = (unsigned)length};
    items->values = fb_alloc_zero(length * count, sizeof(*items->values));
    items->is_wrong = fb_alloc_zero(length, sizeof(*items->is_wrong));
    json_array_foreach(args->body, index, json)
    {
        fault.code = FB_OK;
        items->is_wrong[index] =
            read_item(items, json, items->values + index * count, &fault) != FB_OK;
    }
    return FB_OK;
}

fb_code_t fb_args_item(const fb_args_t *args, unsigned index, fb_args_t *item, fb_error_t *error)
{
    const fb_items_t *items = &args->items;
    size_t bytes = items->field_count * sizeof(fb_value_t);
    fb_assert(index < items->count);
    memcpy(item->ids, args->ids, sizeof(item->ids));
    item->id_count = args->id_count;
    item->family = args->family;
    item->now = args->now;
    if (!items->is_wrong[index]) {
        memcpy(item->values, items->values + (size_t)index * items->field_count, bytes);
        return FB_OK;
    }
    fb_value_t values[FB_FIELDS_MAX] = {0};
    json_t *json = json_array_get(args->body, index);
    json_t *made, *id = json_object_get(json, items->fields[0].name);
    memset(item->values, 0, bytes);
    error->code = FB_OK;
    if (id == NULL ||
        fb_field_from_json(&items->fields[0], id, &made, &item->values[0], error) != FB_OK)
        item->values[0] = (fb_value_t){0};
    error->code = FB_OK;
    fb_assert(read_item(items, json, values, error) != FB_OK);
    return error->code;
}

fb_code_t fb_args_read_body(fb_args_t *args, const fb_field_t *fields, unsigned count,
                            const fb_field_t *read_only, unsigned read_only_count,
                            fb_body_mode_t mode, fb_slice_t body, fb_error_t *error)
{
    const body_table_t table = {
        .fields = fields,
        .count = count,
        .read_only = read_only,
        .read_only_count = read_only_count,
        .mode = mode,
        .own_id = args->id_count > 0 ? args->ids[args->id_count - 1] : 0,
    };
    fb_assert(count <= FB_FIELDS_MAX);
    if (mode == FB_BODY_EACH)
        return read_items(args, fields, count, body, error);
    if (mode == FB_BODY_OPTIONAL && body.len == 0)
        return check_required(args->values, fields, count, error);
    fb_code_t code = fb_json_parse_object(body, &args->body, error);
    return code == FB_OK ? read_object(&table, args->body, args->values, error) : code;
}
