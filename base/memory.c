/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void *fb_alloc(size_t size)
{
    void *block = malloc(size);
    fb_assert(block != NULL || size == 0);
    return block;
}

void *fb_alloc_zero(size_t count, size_t size)
{
    void *block = calloc(count, size);
    fb_assert(block != NULL || count == 0 || size == 0);
    return block;
}

void *fb_realloc(void *block, size_t size)
{
    void *moved = realloc(block, size);
    fb_assert(moved != NULL || size == 0);
    return moved;
}

char *fb_strdup(const char *text)
{
    char *copy = strdup(text);
    fb_assert(copy != NULL);
    return copy;
}
