/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/slice.h"

/* The field by which a request says of which trace it is part: W3C Trace Context (level 1), section
 * 3.2. It is only written to the logs. */
#define FB_TRACEPARENT_BYTES 55 /* "00-" trace-id "-" parent-id "-" trace-flags */

/* Is it one of version 00? */
bool fb_traceparent_is_valid(fb_slice_t text);
