/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#define FB_PLURAL_EXTRA_BYTES 2 /* that a plural is longer than its word, at most */

/* The English plural of a word, by the one rule for the names of sets that commit.lua has, too:
 * "factory" is "factories", "status" is "statuses", all else gets an "s". Writes it with its NUL
 * into `plural`, which has `bytes`: enough for the word, FB_PLURAL_EXTRA_BYTES and the NUL. */
void fb_plural(const char *word, char *plural, size_t bytes);
