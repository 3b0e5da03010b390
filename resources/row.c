/* SPDX-License-Identifier: MIT */
#include "resources/row.h"

#include "base/assert.h"

#define SLOTS_BYTES(count) (sizeof(fb_row_t) + (size_t)(count) * sizeof(fb_slot_t))

/* The buffer holds JSON from here on; texts that are escaped there follow it. */
typedef struct {
    fb_buffer_t bytes;
    fb_slot_t slots[FB_FIELDS_MAX];
    uint32_t base; /* where `bytes` will begin within the row */
} draft_t;

static void put_member(draft_t *draft, const fb_field_t *field, const fb_value_t *value,
                       fb_slot_t *slot)
{
    fb_buffer_t *bytes = &draft->bytes;
    fb_buffer_put_literal(bytes, ",\"");
    fb_buffer_put_text(bytes, field->name);
    fb_buffer_put_literal(bytes, "\":");
    size_t start = bytes->len;
    fb_field_put_json(field, value, bytes);
    slot->number = value->number;
    if (field->kind != FB_KIND_TEXT || value->null)
        return;
    bool verbatim = bytes->len - start == value->text.len + 2;
    slot->text.len = (uint32_t)value->text.len;
    slot->text.at = verbatim ? draft->base + (uint32_t)start + 1 : 0;
}

static void put_escaped_texts(draft_t *draft, const fb_field_t *fields, unsigned count,
                              const fb_value_t *values)
{
    for (unsigned f = 0; f < count; f++) {
        if (fields[f].kind != FB_KIND_TEXT || values[f].null || draft->slots[f].text.at != 0)
            continue;
        draft->slots[f].text.at = draft->base + (uint32_t)draft->bytes.len;
        fb_buffer_put_slice(&draft->bytes, values[f].text);
    }
}

const fb_row_t *fb_row_create(fb_build_t *build, const fb_field_t *fields, unsigned count,
                              unsigned split, uint32_t id, const fb_value_t *values,
                              uint64_t changed)
{
    draft_t draft = {.base = (uint32_t)SLOTS_BYTES(count)};
    uint32_t given = 0, head = 0;
    fb_assert(count <= FB_FIELDS_MAX && split <= count);
    fb_buffer_put_literal(&draft.bytes, "{\"id\":");
    fb_buffer_put_u64(&draft.bytes, id);
    for (unsigned f = 0; f < count; f++) {
        if (f == split)
            head = (uint32_t)draft.bytes.len;
        put_member(&draft, &fields[f], &values[f], &draft.slots[f]);
        given |= values[f].null ? 0 : 1u << f;
    }
    if (split == count)
        head = (uint32_t)draft.bytes.len;
    fb_buffer_put_char(&draft.bytes, '}');
    uint32_t tail = (uint32_t)draft.bytes.len - head;
    put_escaped_texts(&draft, fields, count, values);

    fb_row_t *row = fb_build_alloc(build, draft.base + draft.bytes.len);
    *row = (fb_row_t){
        .changed = changed, .id = id, .given = given, .json_head = head, .json_tail = tail};
    memcpy(row->slots, draft.slots, count * sizeof(fb_slot_t));
    memcpy((char *)row + draft.base, draft.bytes.at, draft.bytes.len);
    fb_buffer_dispose(&draft.bytes);
    return row;
}

fb_value_t fb_row_value(const fb_row_t *row, const fb_field_t *fields, unsigned field)
{
    const fb_slot_t *slot = &row->slots[field];
    if (!(row->given & (1u << field)))
        return (fb_value_t){.given = true, .null = true};
    if (fields[field].kind == FB_KIND_TEXT)
        return (fb_value_t){.given = true,
                            .text = {(const char *)row + slot->text.at, slot->text.len}};
    return (fb_value_t){.given = true, .number = slot->number};
}

fb_slice_t fb_row_json_head(const fb_row_t *row, unsigned field_count)
{
    return (fb_slice_t){(const char *)row + SLOTS_BYTES(field_count), row->json_head};
}

fb_slice_t fb_row_json_tail(const fb_row_t *row, unsigned field_count)
{
    const char *head = (const char *)row + SLOTS_BYTES(field_count);
    return (fb_slice_t){head + row->json_head, row->json_tail};
}
