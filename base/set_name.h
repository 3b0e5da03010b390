/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#define FB_SET_NAME_EXTRA_BYTES 4 /* that it is longer than the name of the rows, at most */

/* The name of the set of ids of the rows that are named so, by the one rule that commit.lua has,
 * too: the plural ("factory" is "factories", "status" is "statuses", all else gets an "s"); but
 * "order" is "order_ids", for its plural is the name of the queue. Writes it with its NUL into
 * `set_name`, which has `bytes`: enough for the name, FB_SET_NAME_EXTRA_BYTES and the NUL. */
void fb_set_name(const char *row_name, char *set_name, size_t bytes);
