/* SPDX-License-Identifier: MIT */
#include "base/json_raw.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

/* A number of fewer places before its point is within the range of a double, which has 308. */
#define PLACES_SAFE 300

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* --- is it JSON? ------------------------------------------------------------------------- */

typedef fb_json_reader_t reader_t;

_Static_assert(FB_JSON_RAW_DEPTH_MAX <= 64, "a bit for each depth");

/* '\0' at the end: which is no part of JSON. */
static char peek(const reader_t *reader)
{
    return reader->at < reader->end ? *reader->at : '\0';
}

static char peek_token(reader_t *reader)
{
    while (is_space(peek(reader)))
        reader->at++;
    return peek(reader);
}

static bool take(reader_t *reader, char c)
{
    bool is_there = peek(reader) == c;
    reader->at += is_there ? 1 : 0;
    return is_there;
}

static bool take_word(reader_t *reader, const char *word)
{
    while (*word != '\0' && take(reader, *word))
        word++;
    return *word == '\0';
}

/* \uXXXX, from behind the u. */
static bool take_unit(reader_t *reader, unsigned *unit)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    *unit = 0;
    for (unsigned i = 0; i < 4; i++) {
        char c = peek(reader);
        const char *found = c != '\0' ? strchr(digits, c) : NULL;
        if (found == NULL)
            return false;
        unsigned value = (unsigned)(found - digits);
        *unit = *unit * 16 + (value < 16 ? value : value - 6);
        reader->at++;
    }
    return true;
}

/* From behind the backslash. Half a surrogate pair is no character (RFC 8259, section 8.2). */
static bool take_escape(reader_t *reader)
{
    unsigned unit;
    char c = peek(reader);
    if (c != '\0' && strchr("\"\\/bfnrt", c) != NULL) {
        reader->at++;
        return true;
    }
    if (!take(reader, 'u') || !take_unit(reader, &unit))
        return false;
    if (unit < 0xD800 || unit > 0xDFFF)
        return true;
    return unit <= 0xDBFF && take_word(reader, "\\u") && take_unit(reader, &unit) &&
           unit >= 0xDC00 && unit <= 0xDFFF;
}

static bool take_string(reader_t *reader)
{
    const char *begin = reader->at;
    unsigned char high = 0;
    if (!take(reader, '"'))
        return false;
    while (reader->at < reader->end && *reader->at != '"') {
        unsigned char c = (unsigned char)*reader->at;
        if (c < 0x20)
            return false;
        high |= c;
        reader->at++;
        if (c == '\\' && !take_escape(reader))
            return false;
    }
    fb_slice_t text = {begin, (size_t)(reader->at - begin)};
    if (high >= 0x80 && !fb_slice_is_utf8(text)) {
        reader->at = begin;
        return false;
    }
    return take(reader, '"');
}

static bool take_digits(reader_t *reader, size_t *count)
{
    const char *begin = reader->at;
    while (is_digit(peek(reader)))
        reader->at++;
    *count = (size_t)(reader->at - begin);
    return *count > 0;
}

static bool is_finite(fb_slice_t number)
{
    fb_buffer_t text = {0};
    fb_buffer_put_slice(&text, number);
    fb_buffer_put_char(&text, '\0');
    bool finite = !isinf(strtod(text.at, NULL));
    fb_buffer_dispose(&text);
    return finite;
}

/* Behind the e: how many places it moves the point to the right, or about as many. */
static bool take_exponent(reader_t *reader, size_t *places)
{
    size_t digits, value = 0;
    bool left = take(reader, '-');
    if (!left)
        take(reader, '+');
    const char *at = reader->at;
    if (!take_digits(reader, &digits))
        return false;
    for (; at < reader->at && value <= PLACES_SAFE; at++)
        value = value * 10 + (size_t)(*at - '0');
    *places = left ? 0 : value;
    return true;
}

static bool take_number(reader_t *reader)
{
    const char *begin = reader->at;
    size_t whole = 1, fraction, places = 0;
    take(reader, '-');
    if (!take(reader, '0') && !take_digits(reader, &whole))
        return false;
    if (take(reader, '.') && !take_digits(reader, &fraction))
        return false;
    if ((take(reader, 'e') || take(reader, 'E')) && !take_exponent(reader, &places))
        return false;
    if (whole + places <= PLACES_SAFE ||
        is_finite((fb_slice_t){begin, (size_t)(reader->at - begin)}))
        return true;
    reader->at = begin;
    return false;
}

static bool in_object(const reader_t *reader)
{
    return (reader->objects >> (reader->depth - 1) & 1) != 0;
}

static bool take_name(reader_t *reader)
{
    peek_token(reader);
    if (!take_string(reader))
        return false;
    peek_token(reader);
    return take(reader, ':');
}

/* A value that has no others in it, or the beginning of one that has. `*is_open`: what follows is
 * the first of these. */
static bool take_value(reader_t *reader, bool *is_open)
{
    char c = peek_token(reader);
    *is_open = false;
    if (c == '"')
        return take_string(reader);
    if (c == '-' || is_digit(c))
        return take_number(reader);
    if (c != '{' && c != '[')
        return take_word(reader, c == 't' ? "true" : c == 'f' ? "false" : "null");
    if (reader->depth == FB_JSON_RAW_DEPTH_MAX)
        return false;
    uint64_t bit = (uint64_t)1 << reader->depth++;
    reader->objects = c == '{' ? reader->objects | bit : reader->objects & ~bit;
    reader->at++;
    *is_open = peek_token(reader) != (c == '{' ? '}' : ']');
    return !*is_open || c == '[' || take_name(reader);
}

/* What follows upon a value, up to where the next one begins. `*is_over`: there is none. */
static bool take_rest(reader_t *reader, bool *is_over)
{
    for (*is_over = false; reader->depth > 0; reader->depth--) {
        char c = peek_token(reader);
        if (c == ',') {
            reader->at++;
            return !in_object(reader) || take_name(reader);
        }
        if (!take(reader, in_object(reader) ? '}' : ']'))
            return false;
    }
    *is_over = true;
    return true;
}

/* A whole value. */
static bool take_whole(reader_t *reader)
{
    bool is_open, is_over = false;
    while (!is_over) {
        if (!take_value(reader, &is_open) || (!is_open && !take_rest(reader, &is_over)))
            return false;
    }
    return true;
}

static fb_code_t fail_here(const reader_t *reader, fb_error_t *error)
{
    size_t line = 1, column = 1;
    for (const char *at = reader->begin; at < reader->at; at++) {
        column = *at == '\n' ? 1 : column + 1;
        line += *at == '\n' ? 1 : 0;
    }
    return fb_fail(error, FB_MALFORMED,
                   "this is not JSON, or not such as is read here: line %zu, "
                   "column %zu",
                   line, column);
}

void fb_json_raw_begin(reader_t *reader, fb_slice_t text)
{
    *reader = (reader_t){.begin = text.at, .at = text.at, .end = text.at + text.len};
}

fb_code_t fb_json_raw_value(reader_t *reader, fb_slice_t *value, fb_error_t *error)
{
    peek_token(reader);
    const char *begin = reader->at;
    if (!take_whole(reader))
        return fail_here(reader, error);
    *value = (fb_slice_t){begin, (size_t)(reader->at - begin)};
    return FB_OK;
}

fb_code_t fb_json_raw_end_of_text(reader_t *reader, fb_error_t *error)
{
    peek_token(reader);
    return reader->at == reader->end ? FB_OK : fail_here(reader, error);
}

fb_code_t fb_json_raw_check(fb_slice_t text, fb_error_t *error)
{
    reader_t reader;
    fb_slice_t value;
    fb_json_raw_begin(&reader, text);
    if (fb_json_raw_value(&reader, &value, error) != FB_OK)
        return error->code;
    return fb_json_raw_end_of_text(&reader, error);
}

/* --- into objects and arrays ------------------------------------------------------------- */

/* Which of the names it is; `count` where it is none. `quoted` is a JSON string. */
static unsigned find_name(fb_slice_t quoted, const char *const *names, unsigned count)
{
    unsigned i = 0;
    json_t *decoded = NULL;
    fb_slice_t name = {quoted.at + 1, quoted.len - 2};
    if (memchr(name.at, '\\', name.len) != NULL) {
        decoded = json_loadb(quoted.at, quoted.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        name = (fb_slice_t){json_string_value(decoded), json_string_length(decoded)};
    }
    while (i < count && !fb_slice_is(name, names[i]))
        i++;
    json_decref(decoded);
    return i;
}

/* A name with its colon, and which one it is. */
static fb_code_t read_name(reader_t *reader, const char *const *names, unsigned count,
                           unsigned *found, unsigned *name, fb_error_t *error)
{
    peek_token(reader);
    const char *begin = reader->at;
    if (!take_string(reader))
        return fail_here(reader, error);
    fb_slice_t quoted = {begin, (size_t)(reader->at - begin)};
    fb_slice_t shown = {begin + 1, quoted.len - 2};
    *name = find_name(quoted, names, count);
    if (*name == count)
        return fb_fail_field(error, FB_MALFORMED, shown, "there is no such member here");
    if (*found >> *name & 1)
        return fb_fail_field(error, FB_MALFORMED, shown, "the member occurs twice");
    *found |= 1u << *name;
    peek_token(reader);
    return take(reader, ':') ? FB_OK : fail_here(reader, error);
}

fb_code_t fb_json_raw_object(reader_t *reader, const char *const *names, unsigned count,
                             fb_json_read_t read, void *context, unsigned *found, fb_error_t *error)
{
    unsigned name = 0;
    *found = 0;
    if (peek_token(reader) != '{') {
        fb_slice_t other;
        return fb_json_raw_value(reader, &other, error);
    }
    reader->at++;
    if (peek_token(reader) == '}') {
        reader->at++;
        return FB_OK;
    }
    do {
        if (read_name(reader, names, count, found, &name, error) != FB_OK ||
            read(reader, name, context, error) != FB_OK)
            return error->code;
        peek_token(reader);
    } while (take(reader, ','));
    return take(reader, '}') ? FB_OK : fail_here(reader, error);
}

fb_code_t fb_json_raw_numbers(reader_t *reader, fb_slice_t field, fb_buffer_t *buffer,
                              size_t *count, fb_error_t *error)
{
    char separator = peek_token(reader);
    *count = 0;
    if (separator != '[')
        return fb_fail_field(error, FB_INVALID, field, "must be an array of numbers");
    reader->at++;
    if (peek_token(reader) == ']') {
        reader->at++;
        fb_buffer_put_literal(buffer, "[]");
        return FB_OK;
    }
    do {
        char c = peek_token(reader);
        const char *begin = reader->at;
        if (c != '-' && !is_digit(c))
            return fb_fail_field(error, FB_INVALID, field, "must be an array of numbers");
        if (!take_number(reader))
            return fail_here(reader, error);
        fb_buffer_put_char(buffer, separator);
        fb_buffer_put(buffer, begin, (size_t)(reader->at - begin));
        separator = ',';
        ++*count;
        peek_token(reader);
    } while (take(reader, ','));
    fb_buffer_put_char(buffer, ']');
    return take(reader, ']') ? FB_OK : fail_here(reader, error);
}

/* --- of what is JSON --------------------------------------------------------------------- */

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

bool fb_json_raw_next(fb_slice_t *rest, fb_slice_t *element)
{
    const char *at = skip_space(rest->at), *end = rest->at + rest->len;
    if (*at != '[' && *at != ',')
        return false;
    at = skip_space(at + 1);
    if (*at == ']')
        return false;
    const char *behind = fb_json_raw_end(at);
    *element = (fb_slice_t){at, (size_t)(behind - at)};
    *rest = (fb_slice_t){behind, (size_t)(end - behind)};
    return true;
}
