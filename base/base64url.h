/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

/* base64url without padding (RFC 4648, section 5), of a number of bytes that three divides: so each
 * text has one reading, and each reading one text. */
#define FB_BASE64URL_TEXT_BYTES(count) ((count) / 3 * 4)

void fb_base64url_put(fb_buffer_t *text, const uint8_t *bytes, size_t count);
/* False where the text is not one of `count` bytes. */
bool fb_base64url_read(fb_slice_t text, uint8_t *bytes, size_t count);
