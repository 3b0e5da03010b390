/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

void fb_buffer_dispose(fb_buffer_t *buffer)
{
    free(buffer->at);
    *buffer = (fb_buffer_t){0};
}

void fb_buffer_grow(fb_buffer_t *buffer, size_t extra)
{
    fb_assert(extra <= SIZE_MAX / 4 - buffer->len);
    size_t capacity = buffer->capacity < 128 ? 256 : buffer->capacity * 2;
    if (capacity - buffer->len < extra)
        capacity = buffer->len + extra;
    buffer->at = fb_realloc(buffer->at, capacity);
    buffer->capacity = capacity;
}

void fb_buffer_put_u64(fb_buffer_t *buffer, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    fb_buffer_put(buffer, digits + at, sizeof(digits) - at);
}

void fb_buffer_put_i64(fb_buffer_t *buffer, int64_t number)
{
    if (number < 0)
        fb_buffer_put_char(buffer, '-');
    fb_buffer_put_u64(buffer, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

void fb_buffer_printf(fb_buffer_t *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    fb_assert(needed >= 0);
    size_t room = (size_t)needed + 1;
    char *at = fb_buffer_reserve(buffer, room);
    va_start(args, format);
    vsnprintf(at, room, format, args);
    va_end(args);
    buffer->len += (size_t)needed;
}
