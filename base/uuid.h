/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "base/slice.h"

#define FB_UUID_BYTES      16
#define FB_UUID_TEXT_BYTES 36 /* 2ed6657d-e927-568b-95e1-2665a8aea6a2 */

/* The UUID of a name in a namespace (version 5: RFC 9562, section 5.5), as text in lower case with
 * a NUL behind it. The same name is the same UUID, for ever. */
void fb_uuid_of_name(const uint8_t space[FB_UUID_BYTES], fb_slice_t name,
                     char uuid[FB_UUID_TEXT_BYTES + 1]);
/* Is it the text of a UUID, of whatever version, in lower case? */
bool fb_uuid_is_text(fb_slice_t text);
