/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/persistence/fixture.h"

/* What a load brings, as one text that can be compared: a line for each row, each day that has a
 * bit, and each last id. */
typedef struct {
    fb_buffer_t text, last_ids;
} picture_t;

static const char *const machine_fields[] = {"label", "note", "price"};
static const char *const window_fields[] = {"reason"};
static const fb_store_family_t picture_families[] = {
    {"machine", "machines", machine_fields, 3},
    {"window", "windows", window_fields, 1},
};
static const char *const picture_planes[] = {"maintenance", "booked"};
static const fb_store_schema_t picture_schema = {picture_families, 2, picture_planes, 2};

static inline fb_code_t picture_on_row(void *context, size_t family, uint32_t id,
                                       const fb_slice_t *texts, fb_error_t *error)
{
    fb_buffer_t *text = &((picture_t *)context)->text;
    (void)error;
    fb_buffer_printf(text, "%s %u:", picture_families[family].row_name, id);
    for (size_t i = 0; i < picture_families[family].field_count; i++) {
        if (texts[i].at == NULL) {
            fb_buffer_put_literal(text, " -");
        } else {
            fb_buffer_put_literal(text, " \"");
            fb_buffer_put_slice(text, texts[i]);
            fb_buffer_put_char(text, '"');
        }
    }
    fb_buffer_put_char(text, '\n');
    return FB_OK;
}

static inline fb_code_t picture_on_day(void *context, size_t plane, fb_slice_t date,
                                       fb_slice_t bytes, fb_error_t *error)
{
    fb_buffer_t *text = &((picture_t *)context)->text;
    bool empty = true;
    (void)error;
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        if (((unsigned char)bytes.at[bit / 8] >> (7 - bit % 8) & 1) == 0)
            continue;
        if (empty)
            fb_buffer_printf(text, "%s %.*s:", picture_planes[plane], FB_PRINT(date));
        fb_buffer_printf(text, " %zu", bit);
        empty = false;
    }
    if (!empty)
        fb_buffer_put_char(text, '\n');
    return FB_OK;
}

static inline void picture_on_last_id(void *context, size_t family, uint32_t id)
{
    fb_buffer_printf(&((picture_t *)context)->last_ids, "last %s %u\n",
                     picture_families[family].row_name, id);
}

/* The caller frees the text. */
static inline char *picture_of(fb_store_t *store)
{
    picture_t picture = {0};
    fb_store_sink_t sink = {&picture, picture_on_row, picture_on_day, picture_on_last_id, false};
    assert_ok(store->vtable->load(store, &picture_schema, &sink, error));
    fb_buffer_put_slice(&picture.text, fb_buffer_slice(&picture.last_ids));
    fb_buffer_put_char(&picture.text, '\0');
    fb_buffer_dispose(&picture.last_ids);
    return picture.text.at;
}

static inline void assert_picture(fb_store_t *store, const char *expected)
{
    char *text = picture_of(store);
    assert_string_equal(text, expected);
    free(text);
}
