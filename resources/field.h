/* SPDX-License-Identifier: MIT */
#pragma once

#include <jansson.h>

#include "base/buffer.h"
#include "base/date.h"
#include "base/error.h"

/* A field is one member of a resource, of a request body, or one parameter of a query. Its line in
 * a table drives all that is done with it: JSON in and out, validation, the Redis hash, the index,
 * and the documents made from the tables. */

typedef enum {
    FB_KIND_INTEGER, /* JSON: a number without a fraction */
    FB_KIND_MONEY,   /* JSON: a number with at most two decimals; kept in minor units */
    FB_KIND_BOOLEAN, /* kept as 0 or 1 */
    FB_KIND_TEXT,    /* UTF-8 without control characters (but see FB_MULTILINE) */
    FB_KIND_DATE,    /* YYYY-MM-DD; kept as fb_day_t */
    FB_KIND_INSTANT, /* RFC 3339, UTC, milliseconds; kept as fb_instant_t */
    FB_KIND_NUMBERS, /* JSON: an array of 1 to FB_NUMBERS_MAX whole numbers, none of them twice;
                        kept as its JSON, "[7,9]" */
    FB_KIND_KEY,     /* JSON: a whole number or a string, by which others know a thing; kept as its
                        JSON, so that it is shown as it was given */
    FB_KIND_DECIMAL, /* JSON: a number; kept as its JSON, the shortest that reads as the same double
                      */
    FB_KIND_JSON,    /* an array or an object; kept as its JSON, as it was written. Only
                        `read_body` of a resource reads it. */
} fb_kind_t;

#define FB_NUMBERS_MAX 1000
/* Up to here each whole number has a double of its own (RFC 8259, section 6): what is beyond may
 * not be the number that was sent. */
#define FB_EXACT_MAX 9007199254740991

enum {
    FB_REQUIRED = 1 << 0,  /* a new row, or a query, must give it */
    FB_NULLABLE = 1 << 1,  /* null is a value of it */
    FB_ASSIGNED = 1 << 2,  /* the server sets it; no request does */
    FB_MULTILINE = 1 << 3, /* a text that may hold tabs and line ends */
    FB_UNIQUE = 1 << 4,    /* index: text -> the one row that has it */
    FB_FACET = 1 << 5,     /* index: text -> the set of rows that have it */
    FB_PARENT = 1 << 6,    /* index: the id of another row, or a day -> the rows that
                              belong to it */
    FB_OWN_ID = 1 << 7,    /* of a body: what the JSON calls the id of the path, if not "id" */
    FB_OMITTED = 1 << 8,   /* the JSON of a row leaves it out where it is null */
    FB_GIVEN = 1 << 9,     /* index: the set of rows in which it is not null */
};

#define FB_FIELDS_MAX 16

typedef struct {
    const char *name;
    const char *about; /* one phrase, for the documents */
    int64_t min, max;  /* of the number (minor units, days), of each of FB_KIND_NUMBERS, or of a
                          text's length in bytes */
    fb_kind_t kind;
    unsigned flags;
} fb_field_t;

/* The value of one field. Texts are borrowed. */
typedef struct {
    bool given; /* the request named it */
    bool null;
    int64_t number;  /* all kinds but texts */
    fb_slice_t text; /* FB_KIND_TEXT, or the JSON that is kept */
} fb_value_t;

/* Is its value a text that is JSON, and shown as it is? */
static inline bool fb_kind_is_json(fb_kind_t kind)
{
    return kind == FB_KIND_NUMBERS || kind == FB_KIND_KEY || kind == FB_KIND_DECIMAL ||
           kind == FB_KIND_JSON;
}
/* Is the value a text, and not a number? */
static inline bool fb_kind_is_text(fb_kind_t kind)
{
    return kind == FB_KIND_TEXT || fb_kind_is_json(kind);
}

/* Takes the next number off the JSON of FB_KIND_NUMBERS; false at its end. `rest` is the whole text
 * at first. */
bool fb_numbers_next(fb_slice_t *rest, int64_t *number);
/* How many there are. */
size_t fb_numbers_count(fb_slice_t json);

/* The index of the field of that name, or -1. */
int fb_field_find(const fb_field_t *fields, unsigned count, fb_slice_t name);

/* Each reads a value and checks it against its field. What has not the form of its kind is
 * FB_INVALID in JSON and FB_MALFORMED in a query; what has, but is no allowed value (30 February,
 * out of range), is FB_INVALID in both. A text borrows from what it was read from; of the kinds
 * whose text is JSON, fb_field_from_json makes it in `*made`, which becomes the caller's (NULL for
 * all others), and a query has none. */
fb_code_t fb_field_from_json(const fb_field_t *field, const json_t *json, json_t **made,
                             fb_value_t *value, fb_error_t *error);
fb_code_t fb_field_from_query(const fb_field_t *field, fb_slice_t text, fb_value_t *value,
                              fb_error_t *error);

/* The text of a field in Redis: numbers in decimal, money with two decimals, dates and instants as
 * in JSON, booleans 0 or 1. Reading what writing did not write is false. */
void fb_field_put_text(const fb_field_t *field, const fb_value_t *value, fb_buffer_t *buffer);
bool fb_field_from_text(const fb_field_t *field, fb_slice_t text, fb_value_t *value);

/* The JSON of a value. */
void fb_field_put_json(const fb_field_t *field, const fb_value_t *value, fb_buffer_t *buffer);
/* The JSON of a date or of an instant, with its quotes. */
void fb_json_put_day(fb_buffer_t *buffer, fb_day_t day);
void fb_json_put_instant(fb_buffer_t *buffer, fb_instant_t instant);
