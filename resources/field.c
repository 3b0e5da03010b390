/* SPDX-License-Identifier: MIT */
#include "resources/field.h"

#include <math.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/json_raw.h"

int fb_field_find(const fb_field_t *fields, unsigned count, fb_slice_t name)
{
    for (unsigned i = 0; i < count; i++) {
        if (fb_slice_is(name, fields[i].name))
            return (int)i;
    }
    return -1;
}

static fb_slice_t name_of(const fb_field_t *field)
{
    return fb_slice(field->name);
}

static bool is_blank(fb_slice_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != ' ' && text.at[i] != '\t' && text.at[i] != '\n' && text.at[i] != '\r')
            return false;
    }
    return true;
}

static bool has_control(fb_slice_t text, bool multiline)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        bool line = c == '\n' || c == '\r' || c == '\t';
        if ((c < 0x20 && !(multiline && line)) || c == 0x7F)
            return true;
    }
    return false;
}

static fb_code_t check_text(const fb_field_t *field, fb_slice_t text, fb_error_t *error)
{
    if ((int64_t)text.len < field->min || (field->min > 0 && is_blank(text)))
        return fb_fail_field(error, FB_INVALID, name_of(field), "must not be empty");
    if ((int64_t)text.len > field->max)
        return fb_fail_field(error, FB_INVALID, name_of(field),
                             "must be at most %lld bytes of UTF-8, not %zu", (long long)field->max,
                             text.len);
    if (has_control(text, (field->flags & FB_MULTILINE) != 0))
        return fb_fail_field(error, FB_INVALID, name_of(field),
                             "must not contain control characters");
    return FB_OK;
}

static void put_money(fb_buffer_t *buffer, int64_t minor)
{
    uint64_t magnitude = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;
    if (minor < 0)
        fb_buffer_put_char(buffer, '-');
    fb_buffer_put_u64(buffer, magnitude / 100);
    fb_buffer_put_char(buffer, '.');
    fb_buffer_put_char(buffer, (char)('0' + magnitude / 10 % 10));
    fb_buffer_put_char(buffer, (char)('0' + magnitude % 10));
}

/* "1250" or "12.50", as an error shows the bounds of a field. */
static void put_bound(fb_buffer_t *buffer, const fb_field_t *field, int64_t bound)
{
    fb_value_t value = {.number = bound};
    if (fb_kind_is_text(field->kind)) /* of each of its numbers */
        fb_buffer_put_i64(buffer, bound);
    else
        fb_field_put_text(field, &value, buffer);
}

static fb_code_t fail_range(const fb_field_t *field, fb_error_t *error)
{
    fb_buffer_t bounds = {0};
    put_bound(&bounds, field, field->min);
    fb_buffer_put_literal(&bounds, " and ");
    put_bound(&bounds, field, field->max);
    fb_fail_field(error, FB_INVALID, name_of(field), "must be between %.*s",
                  FB_PRINT(fb_buffer_slice(&bounds)));
    fb_buffer_dispose(&bounds);
    return error->code;
}

static fb_code_t check_number(const fb_field_t *field, int64_t number, fb_error_t *error)
{
    bool within = number >= field->min && number <= field->max;
    return within ? FB_OK : fail_range(field, error);
}

static fb_code_t read_date(const fb_field_t *field, fb_slice_t text, fb_code_t shape_code,
                           fb_value_t *value, fb_error_t *error)
{
    fb_day_t day = 0;
    switch (fb_day_parse(text, &day)) {
    case FB_DATE_OK:
        break;
    case FB_DATE_SHAPE:
        return fb_fail_field(error, shape_code, name_of(field),
                             "must be a date of the form YYYY-MM-DD");
    case FB_DATE_NO_SUCH_DAY:
        return fb_fail_field(error, FB_INVALID, name_of(field), "%.*s is not a day of the calendar",
                             FB_PRINT(text));
    }
    value->number = day;
    return check_number(field, day, error);
}

static fb_code_t read_instant(const fb_field_t *field, fb_slice_t text, fb_value_t *value,
                              fb_error_t *error)
{
    switch (fb_instant_read(text, &value->number)) {
    case FB_DATE_OK:
        break;
    case FB_DATE_SHAPE:
        return fb_fail_field(error, FB_MALFORMED, name_of(field),
                             "must be an instant of the form YYYY-MM-DDTHH:MM:SS, with Z or an "
                             "offset like %%2B01:00 behind it");
    case FB_DATE_NO_SUCH_DAY:
        return fb_fail_field(error, FB_INVALID, name_of(field),
                             "%.*s is not an instant of the calendar", FB_PRINT(text));
    }
    return check_number(field, value->number, error);
}

static fb_code_t read_money(const fb_field_t *field, double real, fb_value_t *value,
                            fb_error_t *error)
{
    if (fabs(real) > FB_EXACT_MAX / 100.0)
        return fail_range(field, error);
    int64_t minor = llround(real * 100);
    /* A decimal with two places and its nearest double name each other, so this is exact. */
    if ((double)minor / 100.0 != real)
        return fb_fail_field(error, FB_INVALID, name_of(field), "must have at most two decimals");
    value->number = minor;
    return check_number(field, minor, error);
}

static fb_code_t read_integer(const fb_field_t *field, double real, fb_value_t *value,
                              fb_error_t *error)
{
    if (fabs(real) > FB_EXACT_MAX)
        return fail_range(field, error);
    if (real != floor(real))
        return fb_fail_field(error, FB_INVALID, name_of(field), "must be a whole number");
    value->number = (int64_t)real;
    return check_number(field, value->number, error);
}

/* --- texts that are JSON ------------------------------------------------------------------ */

bool fb_numbers_next(fb_slice_t *rest, int64_t *number)
{
    size_t len = 0;
    if (rest->len == 0)
        return false;
    fb_slice_t text = {rest->at + 1, rest->len - 1}; /* behind the bracket, or a comma */
    while (len < text.len && text.at[len] != ',' && text.at[len] != ']')
        len++;
    if (!fb_slice_to_i64((fb_slice_t){text.at, len}, number))
        return false;
    *rest = (fb_slice_t){text.at + len, text.len - len};
    return true;
}

size_t fb_numbers_count(fb_slice_t json)
{
    size_t count = 0;
    int64_t number;
    while (fb_numbers_next(&json, &number))
        count++;
    return count;
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return one < other ? -1 : one > other;
}

static fb_code_t check_twice(const fb_field_t *field, int64_t *numbers, size_t count,
                             fb_error_t *error)
{
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    for (size_t i = 1; i < count; i++) {
        if (numbers[i] == numbers[i - 1])
            return fb_fail_field(error, FB_INVALID, name_of(field), "has %lld twice",
                                 (long long)numbers[i]);
    }
    return FB_OK;
}

static fb_code_t read_numbers(const fb_field_t *field, const json_t *json, fb_buffer_t *text,
                              fb_error_t *error)
{
    int64_t numbers[FB_NUMBERS_MAX];
    size_t count = json_array_size(json);
    if (count == 0 || count > FB_NUMBERS_MAX)
        return fb_fail_field(error, FB_INVALID, name_of(field),
                             "must have 1 to %d numbers, not %zu", FB_NUMBERS_MAX, count);
    fb_buffer_put_char(text, '[');
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(json, i);
        fb_value_t value;
        if (!json_is_number(item))
            return fb_fail_field(error, FB_INVALID, name_of(field), "must have numbers alone");
        if (read_integer(field, json_number_value(item), &value, error) != FB_OK)
            return error->code;
        numbers[i] = value.number;
        fb_buffer_put_text(text, i > 0 ? "," : "");
        fb_buffer_put_i64(text, value.number);
    }
    fb_buffer_put_char(text, ']');
    return check_twice(field, numbers, count, error);
}

static fb_code_t read_key(const fb_field_t *field, const json_t *json, fb_buffer_t *text,
                          fb_error_t *error)
{
    static const fb_field_t any = {"", "", -FB_EXACT_MAX, FB_EXACT_MAX, FB_KIND_INTEGER, 0};
    fb_slice_t string = {json_string_value(json), json_string_length(json)};
    if (json_is_string(json)) {
        fb_json_put_string(text, string);
        return check_text(field, string, error);
    }
    fb_field_t number = any;
    fb_value_t value = {.given = true};
    number.name = field->name;
    fb_code_t code = read_integer(&number, json_number_value(json), &value, error);
    if (code == FB_OK)
        fb_buffer_put_i64(text, value.number);
    return code;
}

/* Of 0.1 that is 0.1, and not the 17 digits of its nearest double. */
static void read_decimal(const json_t *json, fb_buffer_t *text)
{
    char digits[32];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, json_number_value(json));
        if (strtod(digits, NULL) == json_number_value(json))
            break;
    }
    fb_buffer_put_text(text, digits);
}

static fb_code_t read_json(const fb_field_t *field, const json_t *json, json_t **made,
                           fb_value_t *value, fb_error_t *error)
{
    fb_buffer_t text = {0};
    fb_code_t code = FB_OK;
    if (field->kind == FB_KIND_DECIMAL)
        read_decimal(json, &text);
    else
        code = field->kind == FB_KIND_NUMBERS ? read_numbers(field, json, &text, error)
                                              : read_key(field, json, &text, error);
    if (code == FB_OK) {
        *made = json_stringn_nocheck(text.at, text.len);
        value->text = (fb_slice_t){json_string_value(*made), json_string_length(*made)};
    }
    fb_buffer_dispose(&text);
    return code;
}

static bool others_from_text(fb_slice_t text)
{
    fb_error_t error;
    error.code = FB_OK;
    bool has_others = text.len > 0 && (text.at[0] == '{' || text.at[0] == '[');
    return has_others && fb_json_raw_check(text, &error) == FB_OK;
}

/* Is it what read_decimal has written? */
static bool decimal_from_text(fb_slice_t text)
{
    fb_buffer_t again = {0};
    json_t *json = json_loadb(text.at, text.len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
    if (json_is_number(json))
        read_decimal(json, &again);
    bool is_it = json_is_number(json) && fb_slice_equal(fb_buffer_slice(&again), text);
    fb_buffer_dispose(&again);
    json_decref(json);
    return is_it;
}

/* Is it what read_numbers has written? */
static bool numbers_from_text(const fb_field_t *field, fb_slice_t text)
{
    int64_t numbers[FB_NUMBERS_MAX];
    fb_error_t error;
    size_t count = 0;
    error.code = FB_OK;
    while (count < FB_NUMBERS_MAX && text.len > 0 && text.at[0] == (count == 0 ? '[' : ',') &&
           fb_numbers_next(&text, &numbers[count])) {
        if (numbers[count] < field->min || numbers[count] > field->max)
            return false;
        count++;
    }
    return count > 0 && fb_slice_is(text, "]") &&
           check_twice(field, numbers, count, &error) == FB_OK;
}

/* Is it what read_key has written? */
static bool key_from_text(const fb_field_t *field, fb_slice_t text)
{
    json_error_t fault;
    fb_error_t error;
    int64_t number;
    error.code = FB_OK;
    if (fb_slice_to_i64(text, &number))
        return number >= -FB_EXACT_MAX && number <= FB_EXACT_MAX;
    json_t *made = NULL, *json = json_loadb(text.at, text.len, JSON_DECODE_ANY, &fault);
    fb_value_t value;
    bool is_it = json_is_string(json) &&
                 fb_field_from_json(field, json, &made, &value, &error) == FB_OK &&
                 fb_slice_equal(value.text, text);
    json_decref(made);
    json_decref(json);
    return is_it;
}

static const char *kind_expected(fb_kind_t kind)
{
    switch (kind) {
    case FB_KIND_INTEGER:
    case FB_KIND_MONEY:
        return "a number";
    case FB_KIND_BOOLEAN:
        return "true or false";
    case FB_KIND_TEXT:
        return "a string";
    case FB_KIND_DATE:
        return "a date of the form YYYY-MM-DD, as a string";
    case FB_KIND_INSTANT:
        return "an instant of the form YYYY-MM-DDTHH:MM:SS.mmmZ, as a string";
    case FB_KIND_NUMBERS:
        return "an array of numbers";
    case FB_KIND_KEY:
        return "a whole number or a string";
    case FB_KIND_DECIMAL:
        return "a number";
    case FB_KIND_JSON:
        return "an array or an object";
    }
    fb_assert(false);
}

fb_code_t fb_field_from_json(const fb_field_t *field, const json_t *json, json_t **made,
                             fb_value_t *value, fb_error_t *error)
{
    fb_slice_t text = {json_string_value(json), json_string_length(json)};
    *value = (fb_value_t){.given = true};
    *made = NULL;
    if (json_is_null(json)) {
        value->null = true;
        if (field->flags & FB_NULLABLE)
            return FB_OK;
        return fb_fail_field(error, FB_INVALID, name_of(field), "must not be null");
    }
    if (json_is_number(json) && field->kind == FB_KIND_INTEGER)
        return read_integer(field, json_number_value(json), value, error);
    if (json_is_number(json) && field->kind == FB_KIND_MONEY)
        return read_money(field, json_number_value(json), value, error);
    if (json_is_boolean(json) && field->kind == FB_KIND_BOOLEAN) {
        value->number = json_is_true(json) ? 1 : 0;
        return FB_OK;
    }
    if (json_is_string(json) && field->kind == FB_KIND_TEXT) {
        value->text = text;
        return check_text(field, text, error);
    }
    if (json_is_string(json) && field->kind == FB_KIND_DATE)
        return read_date(field, text, FB_INVALID, value, error);
    bool is_key = json_is_string(json) || json_is_number(json);
    if ((json_is_array(json) && field->kind == FB_KIND_NUMBERS) ||
        (is_key && field->kind == FB_KIND_KEY) ||
        (json_is_number(json) && field->kind == FB_KIND_DECIMAL))
        return read_json(field, json, made, value, error);
    return fb_fail_field(error, FB_INVALID, name_of(field), "must be %s",
                         kind_expected(field->kind));
}

/* Is it a decimal number that has more digits than an int64_t holds? */
static bool is_beyond(fb_slice_t text)
{
    uint64_t head;
    size_t sign = text.len > 0 && text.at[0] == '-' ? 1 : 0;
    size_t digits = text.len - sign;
    if (digits < 19 || !fb_slice_to_u64((fb_slice_t){text.at + sign, 19}, UINT64_MAX, &head))
        return false;
    for (size_t i = sign + 19; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
    }
    return true;
}

fb_code_t fb_field_from_query(const fb_field_t *field, fb_slice_t text, fb_value_t *value,
                              fb_error_t *error)
{
    *value = (fb_value_t){.given = true, .text = text};
    switch (field->kind) {
    case FB_KIND_INTEGER:
        if (fb_slice_to_i64(text, &value->number))
            return check_number(field, value->number, error);
        if (is_beyond(text))
            return fail_range(field, error);
        break;
    case FB_KIND_DATE:
        return read_date(field, text, FB_MALFORMED, value, error);
    case FB_KIND_TEXT:
        if (!fb_slice_is_utf8(text))
            return fb_fail_field(error, FB_MALFORMED, name_of(field), "must be UTF-8");
        return check_text(field, text, error);
    case FB_KIND_BOOLEAN:
        value->number = fb_slice_is(text, "true");
        if (value->number || fb_slice_is(text, "false"))
            return FB_OK;
        break;
    case FB_KIND_INSTANT:
        return read_instant(field, text, value, error);
    case FB_KIND_MONEY:
    case FB_KIND_NUMBERS:
    case FB_KIND_KEY:
    case FB_KIND_DECIMAL:
    case FB_KIND_JSON:
        fb_assert(false);
    }
    return fb_fail_field(error, FB_MALFORMED, name_of(field), "must be %s",
                         kind_expected(field->kind));
}

void fb_field_put_text(const fb_field_t *field, const fb_value_t *value, fb_buffer_t *buffer)
{
    switch (field->kind) {
    case FB_KIND_INTEGER:
    case FB_KIND_BOOLEAN:
        fb_buffer_put_i64(buffer, value->number);
        break;
    case FB_KIND_MONEY:
        put_money(buffer, value->number);
        break;
    case FB_KIND_TEXT:
    case FB_KIND_NUMBERS:
    case FB_KIND_KEY:
    case FB_KIND_DECIMAL:
    case FB_KIND_JSON:
        fb_buffer_put_slice(buffer, value->text);
        break;
    case FB_KIND_DATE:
        fb_day_format((fb_day_t)value->number, fb_buffer_reserve(buffer, FB_DAY_TEXT_BYTES));
        buffer->len += FB_DAY_TEXT_BYTES;
        break;
    case FB_KIND_INSTANT:
        fb_instant_format(value->number, fb_buffer_reserve(buffer, FB_INSTANT_TEXT_BYTES));
        buffer->len += FB_INSTANT_TEXT_BYTES;
        break;
    }
}

static bool money_from_text(fb_slice_t text, int64_t *minor)
{
    uint64_t whole;
    bool negative = text.len > 0 && text.at[0] == '-';
    uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    if (negative)
        text = (fb_slice_t){text.at + 1, text.len - 1};
    if (text.len < 4 || text.at[text.len - 3] != '.' ||
        !fb_slice_to_u64((fb_slice_t){text.at, text.len - 3}, most / 100, &whole))
        return false;
    const char *two = text.at + text.len - 2;
    if (two[0] < '0' || two[0] > '9' || two[1] < '0' || two[1] > '9')
        return false;
    uint64_t magnitude = whole * 100 + (uint64_t)(two[0] - '0') * 10 + (uint64_t)(two[1] - '0');
    if (magnitude > most || (negative && magnitude == 0))
        return false;
    *minor = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool fb_field_from_text(const fb_field_t *field, fb_slice_t text, fb_value_t *value)
{
    fb_day_t day;
    *value = (fb_value_t){.given = true, .text = text};
    switch (field->kind) {
    case FB_KIND_INTEGER:
        return fb_slice_to_i64(text, &value->number);
    case FB_KIND_BOOLEAN:
        value->number = fb_slice_is(text, "1");
        return value->number == 1 || fb_slice_is(text, "0");
    case FB_KIND_MONEY:
        return money_from_text(text, &value->number);
    case FB_KIND_TEXT:
        return true;
    case FB_KIND_DATE:
        if (fb_day_parse(text, &day) != FB_DATE_OK)
            return false;
        value->number = day;
        return true;
    case FB_KIND_INSTANT:
        return fb_instant_parse(text, &value->number);
    case FB_KIND_NUMBERS:
        return numbers_from_text(field, text);
    case FB_KIND_KEY:
        return key_from_text(field, text);
    case FB_KIND_DECIMAL:
        return decimal_from_text(text);
    case FB_KIND_JSON:
        return others_from_text(text);
    }
    return false;
}

void fb_field_put_json(const fb_field_t *field, const fb_value_t *value, fb_buffer_t *buffer)
{
    if (value->null) {
        fb_buffer_put_literal(buffer, "null");
        return;
    }
    switch (field->kind) {
    case FB_KIND_TEXT:
        fb_json_put_string(buffer, value->text);
        break;
    case FB_KIND_BOOLEAN:
        fb_buffer_put_text(buffer, value->number ? "true" : "false");
        break;
    case FB_KIND_DATE:
        fb_json_put_day(buffer, (fb_day_t)value->number);
        break;
    case FB_KIND_INSTANT:
        fb_json_put_instant(buffer, value->number);
        break;
    case FB_KIND_INTEGER:
    case FB_KIND_MONEY:
    case FB_KIND_NUMBERS:
    case FB_KIND_KEY:
    case FB_KIND_DECIMAL:
    case FB_KIND_JSON:
        fb_field_put_text(field, value, buffer);
        break;
    }
}

void fb_json_put_day(fb_buffer_t *buffer, fb_day_t day)
{
    char *at = fb_buffer_reserve(buffer, FB_DAY_TEXT_BYTES + 2);
    at[0] = '"';
    fb_day_format(day, at + 1);
    at[FB_DAY_TEXT_BYTES + 1] = '"';
    buffer->len += FB_DAY_TEXT_BYTES + 2;
}

void fb_json_put_instant(fb_buffer_t *buffer, fb_instant_t instant)
{
    char *at = fb_buffer_reserve(buffer, FB_INSTANT_TEXT_BYTES + 2);
    at[0] = '"';
    fb_instant_format(instant, at + 1);
    at[FB_INSTANT_TEXT_BYTES + 1] = '"';
    buffer->len += FB_INSTANT_TEXT_BYTES + 2;
}
