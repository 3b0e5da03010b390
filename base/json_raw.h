/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

/* JSON as it was written, for values that must come out as they came in: a reader into numbers
 * would make 0.10 of 0.1 and 1e2 of 100. All of these take a text that is known to be well-formed
 * (fb_json_parse_object), and borrow from it. */

/* The value of the member of that name; false where the object has none (a name that is written
 * with escapes is not found). */
bool fb_json_raw_member(fb_slice_t object, const char *name, fb_slice_t *value);
/* How many members an object has, or elements an array. */
size_t fb_json_raw_count(fb_slice_t value);
/* Are all elements of the array numbers? `*count` says how many there are. False where it is no
 * array. */
bool fb_json_raw_are_numbers(fb_slice_t array, size_t *count);
/* Appends the value without the whitespace between its tokens. */
void fb_json_raw_put(fb_buffer_t *buffer, fb_slice_t value);
/* Where the value that begins at `at` ends, within a longer text. */
const char *fb_json_raw_end(const char *at);
