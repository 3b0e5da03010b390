/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/store.h"
#include "resources/resource.h"

/* A family as a store knows it: names and texts. */
typedef struct {
    const char *fields[FB_FIELDS_MAX];
    char set_name[64];
} fb_schema_names_t;

/* Describes a family that has rows; `names` must outlive the description. */
void fb_schema_family(const fb_resource_t *resource, fb_schema_names_t *names,
                      fb_store_family_t *family);

/* The values of a row from its texts, one a field, `at` NULL where it has none; they borrow the
 * texts. FB_DIVERGED names the field that cannot be read. */
fb_code_t fb_schema_values(const fb_resource_t *resource, uint32_t id, const fb_slice_t *texts,
                           fb_value_t values[FB_FIELDS_MAX], fb_error_t *error);
