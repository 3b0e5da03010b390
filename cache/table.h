/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "cache/build.h"

/* A persistent table from 32-bit keys to pointers: a radix tree with 64 slots a node.
 *
 *     levels 2:      root [ 0 | 1 | ... | 63 ]          key bits 11..6
 *                          |
 *                         leaf [ 0 | 1 | ... | 63 ]     key bits 5..0: the values
 *
 * The struct is a value: copying it is taking a snapshot. A put copies the nodes on the way to its
 * key (512 bytes a level; a million dense keys are 4 levels) and shares all others. NULL stands
 * for "no value"; nodes without a value go. The table never owns its values.
 *
 * Expected often: get, next (by every page of a list). A zeroed table is empty. */
typedef struct {
    void *root;      /* NULL if empty */
    uint32_t levels; /* 0 if empty, at most 6 */
    uint32_t count;  /* keys with a value */
} fb_table_t;

const void *fb_table_get(const fb_table_t *table, uint32_t key);
/* The value of the least key >= `*key`, which it is set to; NULL if there is none. */
const void *fb_table_next(const fb_table_t *table, uint32_t *key);
/* Sets, or with a NULL `value` removes; returns the value before, which stays the caller's. */
const void *fb_table_put(fb_table_t *table, fb_build_t *build, uint32_t key, const void *value);
/* Retires all nodes and leaves the table empty; the values are the caller's. */
void fb_table_clear(fb_table_t *table, fb_build_t *build);
