/* SPDX-License-Identifier: MIT */
#include "resources/args.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"

void fb_args_dispose(fb_args_t *args)
{
    fb_buffer_dispose(&args->decoded);
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

static fb_code_t check_required(const fb_args_t *args, const fb_field_t *fields, unsigned count,
                                fb_error_t *error)
{
    for (unsigned f = 0; f < count; f++) {
        if ((fields[f].flags & FB_REQUIRED) && !args->values[f].given)
            fb_fail_field(error, FB_INVALID, fb_slice(fields[f].name), "is required");
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
    return check_required(args, fields, count, error);
}

typedef struct {
    const fb_field_t *fields;
    unsigned count;
    const fb_field_t *read_only;
    unsigned read_only_count;
    fb_body_mode_t mode;
} body_table_t;

static bool is_shown(const body_table_t *table, fb_slice_t name)
{
    return fb_slice_is(name, "id") || fb_field_find(table->fields, table->count, name) >= 0 ||
           fb_field_find(table->read_only, table->read_only_count, name) >= 0;
}

/* RFC 9110, section 9.3.4: what is sent must be a state of the thing at the path. */
static void check_id(const fb_args_t *args, const json_t *json, fb_error_t *error)
{
    uint32_t own = args->id_count > 0 ? args->ids[args->id_count - 1] : 0;
    if (own != 0 && (!json_is_number(json) || json_number_value(json) != own))
        fb_fail_field(error, FB_INVALID, FB_SLICE("id"), "must be %u, as in the path", own);
}

static void read_member(fb_args_t *args, const body_table_t *table, fb_slice_t name,
                        const json_t *json, fb_error_t *error)
{
    int index = fb_field_find(table->fields, table->count, name);
    if (index >= 0 && !(table->fields[index].flags & FB_ASSIGNED))
        fb_field_from_json(&table->fields[index], json, &args->values[index], error);
    else if (table->mode != FB_BODY_REPLACE)
        fb_fail_field(error, FB_INVALID, name, "is set by the server");
    else if (fb_slice_is(name, "id"))
        check_id(args, json, error);
}

fb_code_t fb_args_read_body(fb_args_t *args, const fb_field_t *fields, unsigned count,
                            const fb_field_t *read_only, unsigned read_only_count,
                            fb_body_mode_t mode, fb_slice_t body, fb_error_t *error)
{
    const body_table_t table = {fields, count, read_only, read_only_count, mode};
    const char *name;
    json_t *json;
    fb_assert(count <= FB_FIELDS_MAX);
    fb_code_t code = fb_json_parse_object(body, &args->body, error);
    if (code != FB_OK)
        return code;
    /* What nobody knows comes first, so that the code does not hang on the order of members. */
    json_object_foreach(args->body, name, json)
    {
        if (!is_shown(&table, fb_slice(name)))
            fb_fail_field(error, FB_MALFORMED, fb_slice(name), "there is no such member here");
    }
    json_object_foreach(args->body, name, json)
    {
        if (is_shown(&table, fb_slice(name)))
            read_member(args, &table, fb_slice(name), json, error);
    }
    if (error->code == FB_OK && mode != FB_BODY_MERGE)
        check_required(args, fields, count, error);
    return error->code;
}
