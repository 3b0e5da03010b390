/* SPDX-License-Identifier: MIT */
#pragma once

#include "cache/build.h"
#include "resources/field.h"

/* One row of a family: one immutable block, shared by all snapshots that show it.
 *
 *     [ header | a slot a field | JSON head | JSON tail | texts that JSON had to escape ]
 *
 * The JSON is rendered once. What depends on the day (`in_maintenance`) is not in it: it goes
 * between head and tail, written by its family when a view shows the row. Texts are kept within
 * the JSON wherever they stand there as they are. */
typedef union {
    int64_t number;
    struct {
        uint32_t at; /* from the row's beginning */
        uint32_t len;
    } text;
} fb_slot_t;

typedef struct {
    uint64_t changed; /* the serial of the snapshot in which this row was put */
    uint32_t id;
    uint32_t given;     /* bit f: field f is not null */
    uint32_t json_head; /* bytes: {"id":42,... up to where the computed members go */
    uint32_t json_tail; /* bytes: ,...} the rest */
    fb_slot_t slots[];
} fb_row_t;

/* A row of these values in a fresh block of the build. `split` is the index of the field before
 * which the computed members go (`count`: at the end). */
const fb_row_t *fb_row_create(fb_build_t *build, const fb_field_t *fields, unsigned count,
                              unsigned split, uint32_t id, const fb_value_t *values,
                              uint64_t changed);

/* The value of a field, borrowed from the row. */
fb_value_t fb_row_value(const fb_row_t *row, const fb_field_t *fields, unsigned field);

/* The two parts of its JSON. */
fb_slice_t fb_row_json_head(const fb_row_t *row, unsigned field_count);
fb_slice_t fb_row_json_tail(const fb_row_t *row, unsigned field_count);
