/* SPDX-License-Identifier: MIT */
#include "base/json.h"

/* The last string, or with `member` the last name of a member, that begins before `position` in a
 * text that is well-formed up to there; empty where there is none. */
static fb_slice_t last_string(fb_slice_t text, int position, bool member)
{
    fb_slice_t string = FB_SLICE(""), name = FB_SLICE("");
    size_t end = position < 0 || (size_t)position > text.len ? text.len : (size_t)position;
    for (size_t i = 0; i < end; i++) {
        if (text.at[i] == ':')
            name = string;
        if (text.at[i] != '"')
            continue;
        size_t start = ++i;
        while (i < end && text.at[i] != '"')
            i += text.at[i] == '\\' ? 2 : 1;
        string = (fb_slice_t){text.at + start, (i < end ? i : end) - start};
    }
    return member ? name : string;
}

static fb_code_t fail_syntax(fb_slice_t text, const json_error_t *fault, fb_error_t *error)
{
    enum json_error_code kind = json_error_code(fault);
    if (kind == json_error_duplicate_key)
        return fb_fail_field(error, FB_MALFORMED, last_string(text, fault->position, false),
                             "the member occurs twice");
    if (kind == json_error_numeric_overflow)
        return fb_fail_field(error, FB_MALFORMED, last_string(text, fault->position, true),
                             "the number is beyond the range of a double");
    /* What jansson quotes of the text may end within a character. */
    const char *quote = strstr(fault->text, " near '");
    bool whole = quote == NULL || fb_slice_is_utf8(fb_slice(fault->text));
    int shown = (int)(whole ? strlen(fault->text) : (size_t)(quote - fault->text));
    return fb_fail(error, FB_MALFORMED, "the body is not JSON: %.*s (line %d, column %d)", shown,
                   fault->text, fault->line, fault->column);
}

static fb_code_t parse(fb_slice_t text, json_type type, const char *name, json_t **parsed,
                       fb_error_t *error)
{
    json_error_t fault;
    *parsed = NULL;
    if (text.len == 0)
        return fb_fail(error, FB_MALFORMED, "the body is empty; a JSON %s is expected", name);
    size_t flags =
        JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
    json_t *value = json_loadb(text.at, text.len, flags, &fault);
    if (value == NULL)
        return fail_syntax(text, &fault, error);
    if (json_typeof(value) != type) {
        json_decref(value);
        return fb_fail(error, FB_INVALID, "the body is JSON, but not an %s", name);
    }
    *parsed = value;
    return FB_OK;
}

fb_code_t fb_json_parse_object(fb_slice_t text, json_t **object, fb_error_t *error)
{
    return parse(text, JSON_OBJECT, "object", object, error);
}

fb_code_t fb_json_parse_array(fb_slice_t text, json_t **array, fb_error_t *error)
{
    return parse(text, JSON_ARRAY, "array", array, error);
}

static size_t sequence_length(fb_slice_t rest)
{
    size_t most = rest.len < 4 ? rest.len : 4;
    for (size_t length = 2; length <= most; length++) {
        if (fb_slice_is_utf8((fb_slice_t){rest.at, length}))
            return length;
    }
    return 0;
}

static void put_escaped(fb_buffer_t *buffer, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *form = short_forms; *form != '\0'; form += 2) {
        if ((unsigned char)form[0] == c) {
            fb_buffer_put_char(buffer, '\\');
            fb_buffer_put_char(buffer, form[1]);
            return;
        }
    }
    fb_buffer_put_literal(buffer, "\\u00");
    fb_buffer_put_char(buffer, hex[c >> 4]);
    fb_buffer_put_char(buffer, hex[c & 15]);
}

void fb_json_put_string(fb_buffer_t *buffer, fb_slice_t text)
{
    size_t plain = 0; /* from here on, not copied yet, and nothing to escape */
    fb_buffer_put_char(buffer, '"');
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.at[i];
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        size_t length = c < 0x80 ? 0 : sequence_length((fb_slice_t){text.at + i, text.len - i});
        if (length > 0) {
            i += length;
            continue;
        }
        fb_buffer_put(buffer, text.at + plain, i - plain);
        if (c < 0x80)
            put_escaped(buffer, c);
        else
            fb_buffer_put_literal(buffer, "\xEF\xBF\xBD");
        plain = ++i;
    }
    if (plain < text.len)
        fb_buffer_put(buffer, text.at + plain, text.len - plain);
    fb_buffer_put_char(buffer, '"');
}
