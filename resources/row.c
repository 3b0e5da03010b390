/* SPDX-License-Identifier: MIT */
#include "resources/row.h"

#include "base/assert.h"
#include "base/json_raw.h"

#define COPY_MARK      '\\' /* no JSON value begins with it */
#define COPY_BYTES     (1 + sizeof(uint32_t))
#define LENGTHS_WIDE   2    /* of head and tail, before the places of a wide row */
#define EXPECTED_BYTES 1024 /* of most rows: one allocation while they are rendered */

static const uint16_t *narrow_places(const fb_row_t *row)
{
    return (const uint16_t *)(const void *)(row + 1);
}

static const uint32_t *wide_numbers(const fb_row_t *row)
{
    return (const uint32_t *)(const void *)(row + 1);
}

static bool is_wide(const fb_row_t *row)
{
    return row->json_head == FB_ROW_WIDE;
}

/* --- reading ----------------------------------------------------------------------------- */

/* The text of a number or instant, which ends before a quote, a comma or the last brace. */
static fb_slice_t plain_text(const char *at)
{
    size_t len = 0;
    if (*at == '"')
        at++;
    while (at[len] != '"' && at[len] != ',' && at[len] != '}')
        len++;
    return (fb_slice_t){at, len};
}

static fb_slice_t text_at(const char *at)
{
    uint32_t len;
    if (*at == COPY_MARK) {
        memcpy(&len, at + 1, sizeof(len));
        return (fb_slice_t){at + COPY_BYTES, len};
    }
    /* A text that JSON keeps as it is holds no quote. */
    const char *end = rawmemchr(at + 1, '"');
    return (fb_slice_t){at + 1, (size_t)(end - at - 1)};
}

/* Of a value that is JSON itself. */
static fb_slice_t json_at(const char *at)
{
    return (fb_slice_t){at, (size_t)(fb_json_raw_end(at) - at)};
}

static int two_digits(const char *at)
{
    return (at[0] - '0') * 10 + at[1] - '0';
}

/* Windows are asked for theirs by every machine that is shown: what we have written ourselves needs
 * no checks. */
static fb_day_t day_at(const char *at)
{
    int year = two_digits(at) * 100 + two_digits(at + 2);
    return fb_day_from_civil(year, two_digits(at + 5), two_digits(at + 8));
}

/* NULL: the JSON leaves it out. */
static const char *value_at(const fb_row_t *row, unsigned field)
{
    size_t place =
        is_wide(row) ? wide_numbers(row)[LENGTHS_WIDE + field] : narrow_places(row)[field];
    return place != 0 ? (const char *)row + place : NULL;
}

fb_value_t fb_row_value(const fb_row_t *row, const fb_field_t *fields, unsigned field)
{
    const char *at = value_at(row, field);
    fb_value_t value = {.given = true, .null = at == NULL || *at == 'n'};
    if (value.null)
        return value;
    switch (fields[field].kind) {
    case FB_KIND_TEXT:
        value.text = text_at(at);
        break;
    case FB_KIND_NUMBERS:
    case FB_KIND_KEY:
    case FB_KIND_DECIMAL:
    case FB_KIND_JSON:
        value.text = json_at(at);
        break;
    case FB_KIND_BOOLEAN:
        value.number = *at == 't';
        break;
    case FB_KIND_DATE:
        value.number = day_at(at + 1);
        break;
    case FB_KIND_INTEGER:
    case FB_KIND_MONEY:
    case FB_KIND_INSTANT:
        fb_assert(fb_field_from_text(&fields[field], plain_text(at), &value));
        value.text = (fb_slice_t){NULL, 0};
        break;
    }
    return value;
}

bool fb_row_has(const fb_row_t *row, const fb_field_t *fields, unsigned field,
                const fb_value_t *value)
{
    const char *at = value_at(row, field);
    /* An array, or an object, that begins with a whole one is that one. */
    if (fields[field].kind == FB_KIND_JSON && at != NULL && !value->null)
        return strncmp(at, value->text.at, value->text.len) == 0;
    fb_value_t own = fb_row_value(row, fields, field);
    if (own.null || value->null)
        return own.null == value->null;
    return fb_kind_is_text(fields[field].kind) ? fb_slice_equal(own.text, value->text)
                                               : own.number == value->number;
}

/* --- making ------------------------------------------------------------------------------ */

/* The JSON, and behind it the copies; the places are counted from the JSON's beginning,
 * 0 where there is none. */
typedef struct {
    fb_buffer_t bytes;
    size_t head, tail;
    size_t places[FB_FIELDS_MAX];
    bool escaped[FB_FIELDS_MAX];
} draft_t;

static void put_member(draft_t *draft, const fb_field_t *field, const fb_value_t *value, unsigned f)
{
    fb_buffer_t *bytes = &draft->bytes;
    if (value->null && (field->flags & FB_OMITTED))
        return;
    fb_buffer_put_literal(bytes, ",\"");
    fb_buffer_put_text(bytes, field->name);
    fb_buffer_put_literal(bytes, "\":");
    draft->places[f] = bytes->len;
    fb_field_put_json(field, value, bytes);
    bool is_text = field->kind == FB_KIND_TEXT && !value->null;
    draft->escaped[f] = is_text && bytes->len - draft->places[f] != value->text.len + 2;
}

static void put_copy(draft_t *draft, fb_slice_t text, unsigned f)
{
    fb_assert(text.len <= UINT32_MAX);
    uint32_t len = (uint32_t)text.len;
    draft->places[f] = draft->bytes.len;
    fb_buffer_put_char(&draft->bytes, COPY_MARK);
    fb_buffer_put(&draft->bytes, &len, sizeof(len));
    fb_buffer_put_slice(&draft->bytes, text);
}

static void put_members(draft_t *draft, const char *id_name, const fb_field_t *fields,
                        unsigned count, unsigned split, uint32_t id, const fb_value_t *values)
{
    fb_buffer_t *bytes = &draft->bytes;
    fb_buffer_put_literal(bytes, "{\"");
    fb_buffer_put_text(bytes, id_name);
    fb_buffer_put_literal(bytes, "\":");
    fb_buffer_put_u64(bytes, id);
    for (unsigned f = 0; f < count; f++) {
        if (f == split)
            draft->head = bytes->len;
        put_member(draft, &fields[f], &values[f], f);
    }
    if (split == count)
        draft->head = bytes->len;
    fb_buffer_put_char(bytes, '}');
    draft->tail = bytes->len - draft->head;
}

void fb_row_put_json(fb_buffer_t *json, const char *id_name, const fb_field_t *fields,
                     unsigned count, uint32_t id, const fb_value_t *values)
{
    draft_t draft = {.bytes = *json};
    put_members(&draft, id_name, fields, count, count, id, values);
    *json = draft.bytes;
}

static void render(draft_t *draft, const char *id_name, const fb_field_t *fields, unsigned count,
                   unsigned split, uint32_t id, const fb_value_t *values)
{
    fb_buffer_reserve(&draft->bytes, EXPECTED_BYTES);
    put_members(draft, id_name, fields, count, split, id, values);
    for (unsigned f = 0; f < count; f++) {
        if (draft->escaped[f])
            put_copy(draft, values[f].text, f);
    }
}

static void put_lengths_and_places(fb_row_t *row, const draft_t *draft, unsigned count, bool wide)
{
    size_t base = fb_row_base_bytes(wide, count);
    if (!wide) {
        uint16_t *places = (uint16_t *)(void *)(row + 1);
        row->json_head = (uint16_t)draft->head;
        row->json_tail = (uint16_t)draft->tail;
        for (unsigned f = 0; f < count; f++)
            places[f] = draft->places[f] ? (uint16_t)(base + draft->places[f]) : 0;
        return;
    }
    uint32_t *numbers = (uint32_t *)(void *)(row + 1);
    row->json_head = FB_ROW_WIDE;
    numbers[0] = (uint32_t)draft->head;
    numbers[1] = (uint32_t)draft->tail;
    for (unsigned f = 0; f < count; f++)
        numbers[LENGTHS_WIDE + f] = draft->places[f] ? (uint32_t)(base + draft->places[f]) : 0;
}

const fb_row_t *fb_row_create(fb_build_t *build, const char *id_name, const fb_field_t *fields,
                              unsigned count, unsigned split, uint32_t id, const fb_value_t *values,
                              uint64_t changed)
{
    draft_t draft = {0};
    fb_assert(count <= FB_FIELDS_MAX && split <= count);
    render(&draft, id_name, fields, count, split, id, values);
    bool wide = fb_row_base_bytes(false, count) + draft.bytes.len >= FB_ROW_WIDE;
    size_t base = fb_row_base_bytes(wide, count);
    fb_assert(draft.bytes.len <= UINT32_MAX - base);

    fb_row_t *row = fb_build_alloc(build, base + draft.bytes.len);
    *row = (fb_row_t){.changed = changed, .id = id};
    put_lengths_and_places(row, &draft, count, wide);
    memcpy((char *)row + base, draft.bytes.at, draft.bytes.len);
    fb_buffer_dispose(&draft.bytes);
    return row;
}
