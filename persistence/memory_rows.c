/* SPDX-License-Identifier: MIT */
#include "persistence/memory_rows.h"

#include <stdlib.h>

#include "base/memory.h"

typedef struct {
    uint32_t id;
    json_t *fields;
    bool is_archived;
} row_t;

struct fb_memory_family {
    char *name;
    row_t *rows; /* by id */
    size_t count, capacity;
    uint32_t last_id;
};
typedef struct fb_memory_family family_t;

void fb_memory_rows_dispose(fb_memory_rows_t *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        for (size_t k = 0; k < rows->at[i].count; k++)
            json_decref(rows->at[i].rows[k].fields);
        free(rows->at[i].rows);
        free(rows->at[i].name);
    }
    free(rows->at);
    *rows = (fb_memory_rows_t){0};
}

static family_t *family_of(fb_memory_rows_t *rows, const char *name)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (strcmp(rows->at[i].name, name) == 0)
            return &rows->at[i];
    }
    rows->at = fb_realloc(rows->at, (rows->count + 1) * sizeof(rows->at[0]));
    family_t *family = &rows->at[rows->count++];
    *family = (family_t){.name = fb_strdup(name)};
    return family;
}

/* Where the row is, or belongs. */
static size_t place_of(const family_t *family, uint32_t id)
{
    size_t low = 0, high = family->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (family->rows[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static row_t *find_row(const family_t *family, uint32_t id)
{
    size_t place = place_of(family, id);
    bool is_there = place < family->count && family->rows[place].id == id;
    return is_there ? &family->rows[place] : NULL;
}

static row_t *add_row(family_t *family, uint32_t id)
{
    size_t place = place_of(family, id);
    if (family->count == family->capacity) {
        family->capacity = family->capacity == 0 ? 16 : family->capacity * 2;
        family->rows = fb_realloc(family->rows, family->capacity * sizeof(row_t));
    }
    row_t *row = &family->rows[place];
    memmove(row + 1, row, (family->count - place) * sizeof(*row));
    family->count++;
    *row = (row_t){.id = id};
    return row;
}

static void use_id(family_t *family, uint32_t id)
{
    if (id > family->last_id)
        family->last_id = id;
}

void fb_memory_row_put(fb_memory_rows_t *rows, const char *row_name, uint32_t id, json_t *fields)
{
    family_t *family = family_of(rows, row_name);
    row_t *row = find_row(family, id);
    if (row == NULL)
        row = add_row(family, id);
    json_decref(row->fields);
    row->fields = json_incref(fields);
    row->is_archived = false;
    use_id(family, id);
}

void fb_memory_row_delete(fb_memory_rows_t *rows, const char *row_name, uint32_t id)
{
    family_t *family = family_of(rows, row_name);
    row_t *row = find_row(family, id);
    if (row == NULL)
        return;
    json_decref(row->fields);
    family->count--;
    memmove(row, row + 1, (size_t)(family->rows + family->count - row) * sizeof(*row));
}

void fb_memory_row_archive(fb_memory_rows_t *rows, const char *row_name, uint32_t id)
{
    family_t *family = family_of(rows, row_name);
    row_t *row = find_row(family, id);
    if (row != NULL)
        row->is_archived = true;
    use_id(family, id);
}

/* The texts of the fields that are asked for. */
static void texts_of(const row_t *row, const fb_store_family_t *asked, fb_slice_t *texts)
{
    for (size_t i = 0; i < asked->field_count; i++) {
        const json_t *value = json_object_get(row->fields, asked->fields[i]);
        texts[i] = (fb_slice_t){json_string_value(value), json_string_length(value)};
    }
}

fb_code_t fb_memory_rows_load(fb_memory_rows_t *rows, const fb_store_schema_t *schema, size_t index,
                              const fb_store_sink_t *sink, fb_error_t *error)
{
    const fb_store_family_t *asked = &schema->families[index];
    const family_t *family = family_of(rows, asked->row_name);
    fb_slice_t *texts = fb_alloc_zero(asked->field_count + 1, sizeof(*texts));
    fb_code_t code = FB_OK;
    if (family->last_id > 0)
        sink->on_last_id(sink->context, index, family->last_id);
    for (size_t i = 0; code == FB_OK && i < family->count; i++) {
        if (family->rows[i].is_archived)
            continue;
        texts_of(&family->rows[i], asked, texts);
        code = sink->on_row(sink->context, index, family->rows[i].id, texts, error);
    }
    free(texts);
    return code;
}

fb_code_t fb_memory_rows_read(fb_memory_rows_t *rows, const fb_store_family_t *asked,
                              const uint32_t *ids, size_t count,
                              fb_code_t (*on_row)(void *context, uint32_t id,
                                                  const fb_slice_t *texts, fb_error_t *error),
                              void *context, fb_error_t *error)
{
    const family_t *family = family_of(rows, asked->row_name);
    fb_slice_t *texts = fb_alloc_zero(asked->field_count + 1, sizeof(*texts));
    fb_code_t code = FB_OK;
    for (size_t i = 0; code == FB_OK && i < count; i++) {
        const row_t *row = find_row(family, ids[i]);
        if (row == NULL)
            continue;
        texts_of(row, asked, texts);
        code = on_row(context, ids[i], texts, error);
    }
    free(texts);
    return code;
}
