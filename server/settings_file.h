/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

/* A configuration file, as YAML has it and before anybody knows what its keys mean: a mapping whose
 * values are scalars, lists of scalars, or mappings of those.
 *
 *     threads: 4                  {"threads", SCALAR, 1, {"4"}}
 *     limits:                     {"limits", MAPPING, 2}
 *       drain_timeout: 10s        {"limits.drain_timeout", SCALAR, 3, {"10s"}}
 *     types: [excavator, crane]   {"types", LIST, 4, {"excavator", "crane"}}
 *     redis: null                 {"redis", NOTHING, 5}
 */
#define FB_SETTINGS_FILE_BYTES_MAX (1U << 20)
#define FB_SETTINGS_ENTRIES_MAX    256
#define FB_SETTINGS_VALUES_MAX     4096

typedef enum {
    FB_SETTINGS_NOTHING, /* a key without a value, or null */
    FB_SETTINGS_SCALAR,
    FB_SETTINGS_LIST,
    FB_SETTINGS_MAPPING,
} fb_settings_kind_t;

typedef struct {
    char *key;
    fb_settings_kind_t kind;
    size_t line; /* from 1 */
    char **values;
    size_t value_count;
} fb_settings_entry_t;

typedef struct {
    fb_settings_entry_t *entries; /* in the order of the file; no key is twice */
    size_t count;
} fb_settings_file_t;

/* FB_CONFIG names file and line: it cannot be read, is too large, is no YAML, has a key twice, an
 * anchor, an alias, a tag, a second document, or goes deeper than the above. */
fb_code_t fb_settings_file_read(const char *path, fb_settings_file_t *file, fb_error_t *error);
void fb_settings_file_dispose(fb_settings_file_t *file);

/* "fleetbit.yaml:12", for errors: of a long path the end. */
#define FB_SETTINGS_PLACE_BYTES 128
void fb_settings_file_place(const char *path, size_t line, char place[FB_SETTINGS_PLACE_BYTES]);
