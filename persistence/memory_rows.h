/* SPDX-License-Identifier: MIT */
#pragma once

#include <jansson.h>

#include "persistence/store.h"

/* The rows of the store in memory. A zeroed one has none. */
typedef struct {
    struct fb_memory_family *at;
    size_t count;
} fb_memory_rows_t;

void fb_memory_rows_dispose(fb_memory_rows_t *rows);
/* Keeps a reference of the fields. */
void fb_memory_row_put(fb_memory_rows_t *rows, const char *row_name, uint32_t id, json_t *fields);
void fb_memory_row_delete(fb_memory_rows_t *rows, const char *row_name, uint32_t id);
void fb_memory_row_archive(fb_memory_rows_t *rows, const char *row_name, uint32_t id);
/* The last id of a family and its rows, for the `load` of the contract. */
fb_code_t fb_memory_rows_load(fb_memory_rows_t *rows, const fb_store_schema_t *schema,
                              size_t family, const fb_store_sink_t *sink, fb_error_t *error);
/* The `rows` of the contract. */
fb_code_t fb_memory_rows_read(fb_memory_rows_t *rows, const fb_store_family_t *family,
                              const uint32_t *ids, size_t count,
                              fb_code_t (*on_row)(void *context, uint32_t id,
                                                  const fb_slice_t *texts, fb_error_t *error),
                              void *context, fb_error_t *error);
