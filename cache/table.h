/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "cache/build.h"

#define FB_TABLE_LEAF_KEYS 64 /* slots of a node */

/* A persistent table from 32-bit keys to pointers: a radix tree with 64 slots a node.
 *
 *     levels 2:      root [ 0 | 1 | ... | 63 ]          key bits 11..6
 *                          |
 *                         leaf [ 0 | 1 | ... | 63 ]     key bits 5..0: the values
 *
 * The struct is a value: copying it is taking a snapshot. A put copies the nodes on the way to its
 * key (512 bytes a level; a million dense keys are 4 levels) and shares all others. NULL stands
 * for "no value"; nodes without a value go, and there are no more levels than the greatest key
 * needs. The table never owns its values.
 *
 * Within one build, only the copy that was changed last may be read or changed: its fresh nodes are
 * written in place, under the eyes of a copy taken since the build began.
 *
 * Expected often: get, next (by every page of a list). A zeroed table is empty. */
typedef struct {
    void *root;      /* NULL if empty */
    uint32_t levels; /* 0 if empty, at most 6 */
    uint32_t count;  /* keys with a value */
} fb_table_t;

const void *fb_table_get(const fb_table_t *table, uint32_t key);
/* The value of the least key >= `*key`, which it is set to; NULL if there is none, and then `*key`
 * stays. A walk over all ends there or behind the key UINT32_MAX, whose successor is 0. */
const void *fb_table_next(const fb_table_t *table, uint32_t *key);
/* The 64 values (or NULL) of the keys from `key - key % 64` on; NULL if none of them has one. For
 * going through several tables in step, at one search for each in 64 keys. Borrowed. */
const void *const *fb_table_leaf(const fb_table_t *table, uint32_t key);
/* Sets, or with a NULL `value` removes; returns the value before, which stays the caller's. Nothing
 * is copied where that is `value` already. */
const void *fb_table_put(fb_table_t *table, fb_build_t *build, uint32_t key, const void *value);
/* Retires all nodes and leaves the table empty; the values are the caller's. */
void fb_table_clear(fb_table_t *table, fb_build_t *build);
