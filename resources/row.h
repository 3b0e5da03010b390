/* SPDX-License-Identifier: MIT */
#pragma once

#include "cache/build.h"
#include "resources/field.h"

/* One row of a family: one immutable block, shared by all snapshots that show it.
 *
 *     [ header | a place a field | JSON head | JSON tail | texts that JSON had to escape ]
 *
 * The JSON is rendered once. What depends on the day (`in_maintenance`) is not in it: it goes
 * between head and tail, written by its family when a view shows the row.
 *
 * The memory of a fleet is mostly rows, so they hold nothing twice: values are read back from the
 * JSON. The place of a field, counted from the row's beginning, is where its value begins there;
 * for a text that JSON had to escape it is behind the JSON, where the text is as it was:
 *
 *     [ '\' | its length, 4 bytes | text ]
 *
 * The place of a value that the JSON leaves out (FB_OMITTED) is 0.
 *
 * Places are of 16 bits. In a row that is too long for them all of them, and before them the
 * lengths of head and tail, are of 32 bits; then `json_head` is FB_ROW_WIDE. */
#define FB_ROW_WIDE UINT16_MAX

typedef struct {
    uint64_t changed; /* the serial of the snapshot in which this row was put */
    uint32_t id;
    uint16_t json_head; /* bytes: {"id":42,... up to where the computed members go */
    uint16_t json_tail; /* bytes: ,...} the rest */
} fb_row_t;

/* A row of these values in a fresh block of the build. `id_name` is what the JSON calls the id;
 * `split` is the index of the field before
 * which the computed members go (`count`: at the end). */
const fb_row_t *fb_row_create(fb_build_t *build, const char *id_name, const fb_field_t *fields,
                              unsigned count, unsigned split, uint32_t id, const fb_value_t *values,
                              uint64_t changed);

/* Appends the JSON that such a row has, but for computed members. */
void fb_row_put_json(fb_buffer_t *json, const char *id_name, const fb_field_t *fields,
                     unsigned count, uint32_t id, const fb_value_t *values);

/* The value of a field, borrowed from the row. */
fb_value_t fb_row_value(const fb_row_t *row, const fb_field_t *fields, unsigned field);

/* What lies before the JSON of a row with so many fields. */
static inline size_t fb_row_base_bytes(bool wide, unsigned field_count)
{
    size_t places = wide ? (2 + (size_t)field_count) * sizeof(uint32_t)
                         : (size_t)field_count * sizeof(uint16_t);
    return sizeof(fb_row_t) + places;
}

/* Is that the value of a field? Of a text that is JSON an array or an object, without the cost of
 * looking for its end. */
bool fb_row_has(const fb_row_t *row, const fb_field_t *fields, unsigned field,
                const fb_value_t *value);

/* The two parts of its JSON; the tail lies behind the head. */
static inline fb_slice_t fb_row_json_head(const fb_row_t *row, unsigned field_count)
{
    bool wide = row->json_head == FB_ROW_WIDE;
    const uint32_t *lengths = (const uint32_t *)(const void *)(row + 1);
    const char *json = (const char *)row + fb_row_base_bytes(wide, field_count);
    return (fb_slice_t){json, wide ? lengths[0] : row->json_head};
}

static inline fb_slice_t fb_row_json_tail(const fb_row_t *row, unsigned field_count)
{
    bool wide = row->json_head == FB_ROW_WIDE;
    const uint32_t *lengths = (const uint32_t *)(const void *)(row + 1);
    fb_slice_t head = fb_row_json_head(row, field_count);
    return (fb_slice_t){head.at + head.len, wide ? lengths[1] : row->json_tail};
}
