/* SPDX-License-Identifier: MIT */
#pragma once

#include <jansson.h>

#include "persistence/store.h"

/* The histories of the store in memory. A zeroed one is empty, and keeps all. */
typedef struct {
    struct fb_memory_history *at;
    size_t count;
    uint64_t length; /* entries that each of them keeps; 0: all */
    uint64_t age_ms; /* for how long; 0: for ever */
} fb_memory_histories_t;

void fb_memory_histories_dispose(fb_memory_histories_t *histories);
/* Keeps a reference of the fields. */
void fb_memory_history_append(fb_memory_histories_t *histories, const char *name, uint32_t id,
                              uint64_t ms, json_t *fields);
/* The `history` of the contract. */
fb_code_t fb_memory_history_read(
    const fb_memory_histories_t *histories, const fb_history_question_t *question,
    fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry, fb_error_t *error),
    void *context, size_t *count, fb_history_info_t *info, fb_error_t *error);
