/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdio.h>

#include "base/assert.h"

static const struct {
    const char *name, *title;
} codes[] = {
#define FB_CODE_ROW(code, name, title) {name, title},
    FB_CODES(FB_CODE_ROW)
#undef FB_CODE_ROW
};

const char *fb_code_name(fb_code_t code)
{
    fb_assert(code < FB_CODE_COUNT);
    return codes[code].name;
}

const char *fb_code_title(fb_code_t code)
{
    fb_assert(code < FB_CODE_COUNT);
    return codes[code].title;
}

/* A text that vsnprintf cut may end within a character: drop what is left of it. */
static void cut_at_character(char *text, size_t size)
{
    size_t len = strlen(text);
    if (len + 1 < size)
        return;
    size_t start = len;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start > 0 && !fb_slice_is_utf8((fb_slice_t){text + start - 1, len - start + 1}))
        text[start - 1] = '\0';
}

/* What users sent may be no UTF-8, and an error repeats some of it. */
static void make_utf8(char *text, size_t size)
{
    cut_at_character(text, size);
    size_t len = strlen(text), at = 0;
    while ((at += fb_slice_utf8_prefix((fb_slice_t){text + at, len - at})) < len)
        text[at] = '?';
}

static void format_text(char *text, size_t size, const char *format, va_list args)
{
    vsnprintf(text, size, format, args);
    make_utf8(text, size);
}

fb_code_t fb_fail(fb_error_t *error, fb_code_t code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error->code = code;
    error->field_count = 0;
    format_text(error->detail, sizeof(error->detail), format, args);
    va_end(args);
    return code;
}

fb_code_t fb_fail_field(fb_error_t *error, fb_code_t code, fb_slice_t field, const char *format,
                        ...)
{
    char detail[FB_ERROR_DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    format_text(detail, sizeof(detail), format, args);
    va_end(args);
    if (error->code == FB_OK) {
        fb_fail(error, code, "%.*s: %s", FB_PRINT(field), detail);
    }
    if (error->field_count < FB_ERROR_FIELDS_MAX) {
        fb_error_field_t *entry = &error->fields[error->field_count];
        int room = (int)sizeof(entry->field) - 1;
        int shown = field.len < (size_t)room ? (int)field.len : room;
        snprintf(entry->field, sizeof(entry->field), "%.*s", shown, field.at);
        make_utf8(entry->field, sizeof(entry->field));
        memcpy(entry->detail, detail, sizeof(detail));
    }
    error->field_count++;
    return error->code;
}
