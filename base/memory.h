/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/* As malloc, calloc and realloc, but without memory the process ends: a server that cannot
 * allocate cannot keep its promises, and its supervisor starts it again. */
void *fb_alloc(size_t size);
void *fb_alloc_zero(size_t count, size_t size);
void *fb_realloc(void *block, size_t size);
char *fb_strdup(const char *text);
