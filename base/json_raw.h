/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* JSON as it was written, for values that must come out as they came in: a reader into numbers
 * would make 0.1 of 0.10 and 100 of 1e2. It goes through the text once, and makes no tree: that
 * takes a tenth of the time. */
#define FB_JSON_RAW_DEPTH_MAX 64

/* Is the text one JSON value (RFC 8259), in UTF-8, of that depth at most, its numbers within the
 * range of a double? FB_MALFORMED says where it is not. Members that occur twice are not looked
 * for. */
fb_code_t fb_json_raw_check(fb_slice_t text, fb_error_t *error);

/* --- of a text that is not known yet: as strict as fb_json_raw_check, at what has been read --- */

typedef struct {
    const char *begin, *at, *end;
    unsigned depth;
    uint64_t objects; /* a bit for each depth: is it an object? */
} fb_json_reader_t;

/* Reads the value that comes next: that of the member which has the name with that number. */
typedef fb_code_t (*fb_json_read_t)(fb_json_reader_t *reader, unsigned name, void *context,
                                    fb_error_t *error);

/* Borrows the text. */
void fb_json_raw_begin(fb_json_reader_t *reader, fb_slice_t text);
/* An object: `read` is called for each member. `*found` has a bit for each name that was there, and
 * none where the value is no object. FB_MALFORMED for a member of another name, and for one that
 * occurs twice. */
fb_code_t fb_json_raw_object(fb_json_reader_t *reader, const char *const *names, unsigned count,
                             fb_json_read_t read, void *context, unsigned *found,
                             fb_error_t *error);
/* An array of numbers: appends it without the whitespace between them, and says how many there are.
 * FB_INVALID of `field` where the value is something else. */
fb_code_t fb_json_raw_numbers(fb_json_reader_t *reader, fb_slice_t field, fb_buffer_t *buffer,
                              size_t *count, fb_error_t *error);
/* Any value, as it stands there. */
fb_code_t fb_json_raw_value(fb_json_reader_t *reader, fb_slice_t *value, fb_error_t *error);
/* Nothing may come behind the value. */
fb_code_t fb_json_raw_end_of_text(fb_json_reader_t *reader, fb_error_t *error);

/* --- of a text that is known to be JSON ----------------------------------------------------- */

/* Takes the first element off an array; false at its end, and where it is none. `*rest` is the
 * array at first, and what follows upon the element afterwards. */
bool fb_json_raw_next(fb_slice_t *rest, fb_slice_t *element);
/* Where the value that begins at `at` ends, within a longer text. */
const char *fb_json_raw_end(const char *at);
