/* SPDX-License-Identifier: MIT */
#pragma once

#include <jansson.h>

#include "base/buffer.h"
#include "base/error.h"

/* Reads one JSON text (RFC 8259) that is an object: UTF-8, no duplicate member, depth at most that
 * of jansson (2,048), numbers within the range of a double. FB_MALFORMED says where it is not,
 * FB_INVALID that it is no object. Numbers all arrive as reals. The caller owns `*object`. */
fb_code_t fb_json_parse_object(fb_slice_t text, json_t **object, fb_error_t *error);
/* As fb_json_parse_object, of one that is an array. */
fb_code_t fb_json_parse_array(fb_slice_t text, json_t **array, fb_error_t *error);

/* Appends `text` (UTF-8; what is not becomes U+FFFD) as a JSON string with its quotes. */
void fb_json_put_string(fb_buffer_t *buffer, fb_slice_t text);
