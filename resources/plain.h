/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/resource.h"

/* Families whose rows are only kept and shown: what their tables of views and commands point to.
 * Which family it is about, the arguments say.
 *
 * The first view of such a family is its list, with FB_PLAIN_QUERY. Without a limit a page has as
 * many rows as there can be on one, for clients that do not know of pages. */
enum { FB_PLAIN_LIMIT, FB_PLAIN_CURSOR, FB_PLAIN_QUERY_COUNT };
extern const fb_field_t fb_plain_query[FB_PLAIN_QUERY_COUNT];

/* {"sprockets": [...], "next": ...}: the set of rows under its own name. */
fb_code_t fb_plain_list(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                        fb_error_t *error);
uint64_t fb_plain_list_stamp(const fb_snapshot_t *snapshot, const fb_args_t *args);
/* The row of the path. */
fb_code_t fb_plain_one(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                       fb_error_t *error);
uint64_t fb_plain_one_stamp(const fb_snapshot_t *snapshot, const fb_args_t *args);

/* A row of the values of the body, which has the table of the row: a new one, or the one of the
 * path. What is not given is null. */
fb_code_t fb_plain_create(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                          fb_error_t *error);
fb_code_t fb_plain_replace(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                           fb_error_t *error);
