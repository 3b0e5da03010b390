/* SPDX-License-Identifier: MIT */
#include "server/setting.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

#define YAML_COLUMNS_MAX 90

typedef struct {
    const char *name;
    uint64_t factor;
} unit_t;

/* The largest first, as what is written uses the first that leaves no rest. */
static const unit_t durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                   {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const unit_t sizes[] = {{"G", 1 << 30}, {"M", 1 << 20}, {"k", 1 << 10}, {"", 1}, {NULL, 0}};

static const char *const booleans[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};

static void *member(const fb_setting_t *setting, void *base)
{
    return (char *)base + setting->offset;
}

static const void *member_const(const fb_setting_t *setting, const void *base)
{
    return (const char *)base + setting->offset;
}

/* --- text to value ----------------------------------------------------------------------- */

static fb_code_t unexpected(const fb_setting_t *setting, const char *text, fb_error_t *reason)
{
    fb_buffer_t expected = {0};
    fb_setting_put_expected(setting, &expected);
    fb_code_t code = fb_fail(reason, FB_CONFIG, "\"%.60s\" is not %.*s", text,
                             FB_PRINT(fb_buffer_slice(&expected)));
    fb_buffer_dispose(&expected);
    return code;
}

static fb_code_t parse_number(const fb_setting_t *setting, const char *text, uint64_t *number,
                              fb_error_t *reason)
{
    const unit_t plain[] = {{"", 1}, {NULL, 0}};
    const unit_t *unit = plain;
    size_t digits = strspn(text, "0123456789");
    if (setting->automatic != NULL && strcmp(text, "auto") == 0) {
        *number = setting->automatic();
        return FB_OK;
    }
    if (setting->kind == FB_SETTING_DURATION)
        unit = durations;
    else if (setting->kind == FB_SETTING_SIZE)
        unit = sizes;
    bool any_case = setting->kind == FB_SETTING_SIZE;
    while (unit->name != NULL && (any_case ? strcasecmp : strcmp)(text + digits, unit->name) != 0)
        unit++;
    if (unit->name == NULL ||
        !fb_slice_to_u64((fb_slice_t){text, digits}, setting->max / unit->factor, number) ||
        *number * unit->factor < setting->min)
        return unexpected(setting, text, reason);
    *number *= unit->factor;
    return FB_OK;
}

static fb_code_t parse_bool(const fb_setting_t *setting, const char *text, bool *value,
                            fb_error_t *reason)
{
    bool has_words = setting->words[0] != NULL;
    const char *const *words = has_words ? setting->words : booleans;
    size_t count = has_words ? 2 : sizeof(booleans) / sizeof(*booleans);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            *value = i % 2 == 1;
            return FB_OK;
        }
    }
    return unexpected(setting, text, reason);
}

static fb_code_t check_text(const fb_setting_t *setting, const char *text, fb_error_t *reason)
{
    size_t len = strlen(text);
    if (len == 0)
        return fb_fail(reason, FB_CONFIG, "it is empty");
    if (len > FB_SETTING_TEXT_BYTES_MAX)
        return fb_fail(reason, FB_CONFIG, "it is longer than %d bytes", FB_SETTING_TEXT_BYTES_MAX);
    if (!fb_slice_is_utf8(fb_slice(text)))
        return fb_fail(reason, FB_CONFIG, "it is not UTF-8");
    for (size_t i = 0; i < len; i++) {
        if (iscntrl((unsigned char)text[i]))
            return fb_fail(reason, FB_CONFIG, "it holds a control character");
    }
    return setting->check != NULL ? setting->check(text, reason) : FB_OK;
}

static fb_code_t check_list(const fb_setting_t *setting, const char *const *texts, size_t count,
                            fb_error_t *reason)
{
    if (count == 0)
        return fb_fail(reason, FB_CONFIG, "the list is empty");
    if (count > setting->max)
        return fb_fail(reason, FB_CONFIG, "there are %zu items, at most %u are allowed", count,
                       (unsigned)setting->max);
    for (size_t i = 0; i < count; i++) {
        if (texts[i][0] == '\0')
            return fb_fail(reason, FB_CONFIG, "an item of the list is empty");
        fb_code_t code = check_text(setting, texts[i], reason);
        if (code != FB_OK)
            return code;
        for (size_t j = 0; setting->is_unique && j < i; j++) {
            if (strcmp(texts[i], texts[j]) == 0)
                return fb_fail(reason, FB_CONFIG, "\"%s\" is there twice", texts[i]);
        }
    }
    return FB_OK;
}

static fb_code_t put_one(const fb_setting_t *setting, void *base, const char *text,
                         fb_error_t *reason)
{
    fb_code_t code;
    bool boolean = false;
    uint64_t number = 0;
    char **place;
    code = check_text(setting, text, reason);
    if (code != FB_OK)
        return code;
    switch (setting->kind) {
    case FB_SETTING_TEXT:
        place = member(setting, base);
        free(*place);
        *place = fb_strdup(text);
        return FB_OK;
    case FB_SETTING_BOOL:
        code = parse_bool(setting, text, &boolean, reason);
        if (code == FB_OK)
            *(bool *)member(setting, base) = boolean;
        return code;
    default:
        code = parse_number(setting, text, &number, reason);
        if (code == FB_OK)
            *(uint64_t *)member(setting, base) = number;
        return code;
    }
}

static fb_code_t put_list(const fb_setting_t *setting, void *base, const char *const *texts,
                          size_t count, fb_error_t *reason)
{
    char **items = member(setting, base);
    fb_code_t code = check_list(setting, texts, count, reason);
    if (code != FB_OK)
        return code;
    fb_setting_dispose(setting, base);
    for (size_t i = 0; i < count; i++)
        items[i] = fb_strdup(texts[i]);
    *(unsigned *)((char *)base + setting->count_offset) = (unsigned)count;
    return FB_OK;
}

fb_code_t fb_setting_put(const fb_setting_t *setting, void *base, const char *const *texts,
                         size_t count, const char *where, fb_error_t *error)
{
    fb_error_t reason = {0};
    fb_code_t code;
    if (setting->kind == FB_SETTING_LIST) {
        code = put_list(setting, base, texts, count, &reason);
    } else {
        fb_assert(count == 1);
        code = put_one(setting, base, texts[0], &reason);
    }
    return code == FB_OK ? FB_OK : fb_fail(error, code, "%s: %s", where, reason.detail);
}

static char *trim(char *text)
{
    text += strspn(text, " ");
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == ' ')
        text[--len] = '\0';
    return text;
}

fb_code_t fb_setting_put_text(const fb_setting_t *setting, void *base, const char *text,
                              const char *where, fb_error_t *error)
{
    if (setting->kind != FB_SETTING_LIST)
        return fb_setting_put(setting, base, &text, 1, where, error);
    size_t count = 0;
    char *copy = fb_strdup(text), *rest = copy, *item;
    const char **items = fb_alloc_zero(strlen(text) + 1, sizeof(*items));
    while ((item = strsep(&rest, ",")) != NULL)
        items[count++] = trim(item);
    fb_code_t code = fb_setting_put(setting, base, items, count, where, error);
    free(items);
    free(copy);
    return code;
}

void fb_setting_dispose(const fb_setting_t *setting, void *base)
{
    char **texts = member(setting, base);
    unsigned one = 1, *count = &one;
    if (setting->kind == FB_SETTING_LIST)
        count = (unsigned *)((char *)base + setting->count_offset);
    else if (setting->kind != FB_SETTING_TEXT)
        return;
    for (unsigned i = 0; i < *count; i++) {
        free(texts[i]);
        texts[i] = NULL;
    }
    *count = 0;
}

/* --- value to text ----------------------------------------------------------------------- */

static void put_with_unit(const unit_t *unit, uint64_t number, fb_buffer_t *text)
{
    if (number == 0)
        unit = unit == durations ? durations + 3 : sizes + 3;
    while (number % unit->factor != 0)
        unit++;
    fb_buffer_put_u64(text, number / unit->factor);
    fb_buffer_put_text(text, unit->name);
}

static void put_number(const fb_setting_t *setting, uint64_t number, fb_buffer_t *text)
{
    if (setting->kind == FB_SETTING_DURATION)
        put_with_unit(durations, number, text);
    else if (setting->kind == FB_SETTING_SIZE)
        put_with_unit(sizes, number, text);
    else
        fb_buffer_put_u64(text, number);
}

/* Is it a text, and the same text, where it stands in YAML without quotes, in a list too? */
static bool is_plain(fb_slice_t text)
{
    static const char *const no_texts[] = {"null", "Null", "NULL"};
    for (unsigned i = 0; i < sizeof(no_texts) / sizeof(*no_texts); i++) {
        if (fb_slice_is(text, no_texts[i]))
            return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool inner = i > 0 && i + 1 < text.len && (c == ':' || c == '-' || c == '@' || c == '%');
        if (!inner && !isalnum((unsigned char)c) && c != '_' && c != '.' && c != '/')
            return false;
    }
    return text.len > 0;
}

static void put_yaml_text(const fb_setting_t *setting, const char *text, fb_buffer_t *yaml)
{
    fb_buffer_t shown = {0};
    if (setting->show != NULL)
        setting->show(text, &shown);
    else
        fb_buffer_put_text(&shown, text);
    if (is_plain(fb_buffer_slice(&shown))) {
        fb_buffer_put_slice(yaml, fb_buffer_slice(&shown));
    } else {
        fb_buffer_put_char(yaml, '"');
        for (size_t i = 0; i < shown.len; i++) {
            if (shown.at[i] == '"' || shown.at[i] == '\\')
                fb_buffer_put_char(yaml, '\\');
            fb_buffer_put_char(yaml, shown.at[i]);
        }
        fb_buffer_put_char(yaml, '"');
    }
    fb_buffer_dispose(&shown);
}

static size_t column(const fb_buffer_t *text)
{
    const char *newline = text->len > 0 ? memrchr(text->at, '\n', text->len) : NULL;
    return newline != NULL ? (size_t)(text->at + text->len - newline - 1) : text->len;
}

static void put_yaml_list(const fb_setting_t *setting, const void *base, fb_buffer_t *yaml)
{
    char *const *items = member_const(setting, base);
    unsigned count = *(const unsigned *)((const char *)base + setting->count_offset);
    fb_buffer_put_char(yaml, '[');
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            fb_buffer_put_char(yaml, ',');
        if (i > 0 && column(yaml) + strlen(items[i]) > YAML_COLUMNS_MAX)
            fb_buffer_put_text(yaml, "\n   ");
        if (i > 0)
            fb_buffer_put_char(yaml, ' ');
        put_yaml_text(setting, items[i], yaml);
    }
    fb_buffer_put_char(yaml, ']');
}

void fb_setting_put_yaml(const fb_setting_t *setting, const void *base, fb_buffer_t *yaml)
{
    const void *value = member_const(setting, base);
    const char *text;
    bool boolean;
    switch (setting->kind) {
    case FB_SETTING_TEXT:
        text = *(char *const *)value;
        if (text == NULL)
            fb_buffer_put_literal(yaml, "null");
        else
            put_yaml_text(setting, text, yaml);
        break;
    case FB_SETTING_BOOL:
        boolean = *(const bool *)value;
        fb_buffer_put_text(yaml, (setting->words[0] ? setting->words : booleans)[boolean]);
        break;
    case FB_SETTING_LIST:
        put_yaml_list(setting, base, yaml);
        break;
    default:
        put_number(setting, *(const uint64_t *)value, yaml);
    }
}

void fb_setting_put_expected(const fb_setting_t *setting, fb_buffer_t *text)
{
    const char *const *words = setting->words[0] != NULL ? setting->words : booleans;
    switch (setting->kind) {
    case FB_SETTING_TEXT:
        fb_buffer_put_literal(text, "a text");
        return;
    case FB_SETTING_LIST:
        fb_buffer_put_literal(text, "a list of texts");
        return;
    case FB_SETTING_BOOL:
        fb_buffer_printf(text, "%s or %s", words[0], words[1]);
        return;
    case FB_SETTING_INTEGER:
        fb_buffer_put_literal(text, "a whole number");
        break;
    case FB_SETTING_DURATION:
        fb_buffer_put_literal(text, "a duration (a whole number with ms, s, m, h or d)");
        break;
    case FB_SETTING_SIZE:
        fb_buffer_put_literal(text, "a size (a whole number, also with k, M or G)");
        break;
    }
    fb_buffer_put_literal(text, " from ");
    put_number(setting, setting->min, text);
    fb_buffer_put_literal(text, " to ");
    put_number(setting, setting->max, text);
    if (setting->automatic != NULL)
        fb_buffer_put_literal(text, ", or auto");
}

void fb_setting_variable(const fb_setting_t *setting, char variable[FB_SETTING_VARIABLE_BYTES])
{
    int len = snprintf(variable, FB_SETTING_VARIABLE_BYTES, "FLEETBIT_%s", setting->key);
    fb_assert(len > 0 && len < FB_SETTING_VARIABLE_BYTES);
    for (; *variable != '\0'; variable++)
        *variable = *variable == '.' ? '_' : (char)toupper((unsigned char)*variable);
}
