/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/args.h"

/* A cursor names the place at which a page ended and the question that the page answered: 15 bytes
 * in base64url (RFC 4648 section 5). The place is the last id, or what else the list is in the
 * order of. Ids only grow, so a list that goes on after one neither skips nor repeats a row while
 * others are added. One that was altered, or made for another question, is refused. */
#define FB_CURSOR_TEXT_BYTES 20

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

/* Appends the cursor, as a JSON string; the place is not 0. */
void fb_cursor_put(fb_buffer_t *buffer, const fb_field_t *query, unsigned count, const char *path,
                   const fb_args_t *args, uint64_t last);
/* The place after which the page begins: 0 where no cursor is given. */
fb_code_t fb_cursor_read(const fb_field_t *query, unsigned count, const char *path,
                         const fb_args_t *args, uint64_t *after, fb_error_t *error);
/* The `limit` parameter, or the default. */
size_t fb_cursor_limit(const fb_field_t *query, unsigned count, const fb_args_t *args);
