/* SPDX-License-Identifier: MIT */
#include "base/json_raw.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *at)
{
    while (is_space(*at))
        at++;
    return at;
}

static const char *string_end(const char *at)
{
    for (at++; *at != '"'; at++)
        at += *at == '\\' ? 1 : 0;
    return at + 1;
}

/* Behind a number, true, false or null. */
static const char *plain_end(const char *at)
{
    while (*at != ',' && *at != ']' && *at != '}' && *at != '\0' && !is_space(*at))
        at++;
    return at;
}

const char *fb_json_raw_end(const char *at)
{
    size_t depth = 0;
    if (*at == '"')
        return string_end(at);
    if (*at != '{' && *at != '[')
        return plain_end(at);
    do {
        if (*at == '"') {
            at = string_end(at);
            continue;
        }
        depth += *at == '{' || *at == '[' ? 1 : 0;
        depth -= *at == '}' || *at == ']' ? 1 : 0;
        at++;
    } while (depth > 0);
    return at;
}

/* Goes through an object or an array: the next value, and the name before it in an object. `at` is
 * the place behind the bracket at first; false at the end. */
static bool next(const char **at, bool is_object, fb_slice_t *name, fb_slice_t *value)
{
    const char *begin = skip_space(*at);
    if (*begin == ',')
        begin = skip_space(begin + 1);
    if (*begin == '}' || *begin == ']')
        return false;
    if (is_object) {
        const char *end = string_end(begin);
        *name = (fb_slice_t){begin + 1, (size_t)(end - begin - 2)};
        begin = skip_space(skip_space(end) + 1); /* behind the colon */
    }
    const char *end = fb_json_raw_end(begin);
    *value = (fb_slice_t){begin, (size_t)(end - begin)};
    *at = end;
    return true;
}

/* The place behind its bracket; NULL where it is neither. */
static const char *open(fb_slice_t value, bool *is_object)
{
    const char *at = skip_space(value.at);
    *is_object = *at == '{';
    return *at == '{' || *at == '[' ? at + 1 : NULL;
}

bool fb_json_raw_member(fb_slice_t object, const char *name, fb_slice_t *value)
{
    bool is_object;
    fb_slice_t found;
    const char *at = open(object, &is_object);
    while (at != NULL && is_object && next(&at, true, &found, value)) {
        if (fb_slice_is(found, name))
            return true;
    }
    return false;
}

size_t fb_json_raw_count(fb_slice_t value)
{
    bool is_object;
    size_t count = 0;
    fb_slice_t name, item;
    const char *at = open(value, &is_object);
    while (at != NULL && next(&at, is_object, &name, &item))
        count++;
    return count;
}

bool fb_json_raw_are_numbers(fb_slice_t array, size_t *count)
{
    bool is_object;
    fb_slice_t name, item;
    const char *at = open(array, &is_object);
    *count = 0;
    if (at == NULL || is_object)
        return false;
    while (next(&at, false, &name, &item)) {
        if (item.at[0] != '-' && (item.at[0] < '0' || item.at[0] > '9'))
            return false;
        (*count)++;
    }
    return true;
}

void fb_json_raw_put(fb_buffer_t *buffer, fb_slice_t value)
{
    const char *at = value.at, *end = value.at + value.len;
    while (at < end) {
        const char *from = at;
        if (is_space(*at)) {
            at++;
            continue;
        }
        at = *at == '"' ? string_end(at) : at + 1;
        fb_buffer_put(buffer, from, (size_t)(at - from));
    }
}
