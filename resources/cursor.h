/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/args.h"

/* A cursor names the last id of a page and the question that the page answered: 12 bytes in
 * base64url (RFC 4648 section 5). Ids only grow, so a list that goes on after an id neither skips
 * nor repeats a row while others are added. One that was altered, or made for another question, is
 * refused. */
#define FB_CURSOR_TEXT_BYTES 16

/* The `cursor` parameter of a list; `limit` and `cursor` are no part of the question. */
#define FB_CURSOR_FIELD                                                                            \
    {                                                                                              \
        "cursor", "where the page before ended: its `next`", 1, 64, FB_KIND_TEXT, 0                \
    }
#define FB_LIMIT_FIELD                                                                             \
    {                                                                                              \
        "limit", "the most machines on a page; 100 if not given", 1, 1000, FB_KIND_INTEGER, 0      \
    }
#define FB_LIMIT_DEFAULT 100

/* Appends the cursor, as a JSON string. */
void fb_cursor_put(fb_buffer_t *buffer, const fb_field_t *query, unsigned count, const char *path,
                   const fb_args_t *args, uint32_t last_id);
/* The id after which the page begins: 0 where no cursor is given. */
fb_code_t fb_cursor_read(const fb_field_t *query, unsigned count, const char *path,
                         const fb_args_t *args, uint32_t *after, fb_error_t *error);
/* The `limit` parameter, or the default. */
size_t fb_cursor_limit(const fb_field_t *query, unsigned count, const fb_args_t *args);
