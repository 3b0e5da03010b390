/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/uuid.h"
#include "resources/field.h"

#define FB_PATH_IDS_MAX 2

/* What is said of a field that was not given, though it must be. */
#define FB_ARGS_REQUIRED "is required"

#define FB_ITEMS_MAX 1000

/* What FB_BODY_EACH reads: an array of objects, each by the same table. What is wrong with one is
 * its own affair; it is worked out when somebody asks (fb_args_item). */
typedef struct {
    const fb_field_t *fields; /* the table; the first one is the id of the thing */
    unsigned field_count;
    unsigned count;
    fb_value_t *values; /* owned: of one item after the other, in the order of the table */
    bool *is_wrong;     /* owned: of each item */
} fb_items_t;

/* What a view or a command is asked with, parsed and checked by the table of its fields. */
typedef struct {
    uint32_t ids[FB_PATH_IDS_MAX]; /* the {id}s of the path */
    unsigned id_count;
    char uuid[FB_UUID_TEXT_BYTES + 1]; /* the {uuid} of the path, or empty */
    unsigned family;                   /* that the route leads to */
    fb_value_t values[FB_FIELDS_MAX];  /* of the query, or of the body, in the order of its table */
    fb_items_t items;                  /* of a body with FB_BODY_EACH, which has no values */
    fb_instant_t now;                  /* commands: when the writer took it; views: 0 */
    fb_buffer_t decoded;               /* owned: texts of a query, percent-decoded */
    json_t *body;                      /* owned: texts of a body */
} fb_args_t;

void fb_args_dispose(fb_args_t *args);

/* Reads the query of a target (after the "?"; `at` NULL: none) by the table: a parameter it does
 * not know, or one that occurs twice, is FB_MALFORMED; a required one that is missing,
 * FB_INVALID. Percent-encoding as RFC 3986, and "+" for a space. */
fb_code_t fb_args_read_query(fb_args_t *args, const fb_field_t *fields, unsigned count,
                             fb_slice_t query, fb_error_t *error);

typedef enum {
    FB_BODY_NEW,      /* POST: required members must be there */
    FB_BODY_REPLACE,  /* PUT: as FB_BODY_NEW, but members that the server assigns are passed over,
                         so that what was read can be sent back */
    FB_BODY_MERGE,    /* PATCH: JSON merge patch (RFC 7396); only what is given changes */
    FB_BODY_OPTIONAL, /* as FB_BODY_NEW, or nothing at all where no member is required */
    FB_BODY_EACH,     /* an array of 1 to FB_ITEMS_MAX objects, each as with FB_BODY_NEW */
} fb_body_mode_t;

/* Reads a body by the table (borrowed with FB_BODY_EACH). `read_only` are further members that the
 * thing shows when it is read: FB_BODY_REPLACE passes over them, for the others they are
 * FB_INVALID. A member that neither table knows is FB_MALFORMED. */
fb_code_t fb_args_read_body(fb_args_t *args, const fb_field_t *fields, unsigned count,
                            const fb_field_t *read_only, unsigned read_only_count,
                            fb_body_mode_t mode, fb_slice_t body, fb_error_t *error);

/* One item, with the ids and the time of them all: `item` (zeroed at first, to be used for one item
 * after the other) borrows its texts, and is not disposed. Where the item is not as the table says,
 * that error, and of the values none but the first, if that can be read. */
fb_code_t fb_args_item(const fb_args_t *args, unsigned index, fb_args_t *item, fb_error_t *error);
