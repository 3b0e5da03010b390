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

char *fb_buffer_reserve(fb_buffer_t *buffer, size_t extra)
{
    fb_assert(extra <= SIZE_MAX / 2 - buffer->len);
    if (buffer->at == NULL || buffer->capacity - buffer->len < extra) {
        size_t capacity = buffer->capacity < 128 ? 256 : buffer->capacity * 2;
        while (capacity - buffer->len < extra)
            capacity *= 2;
        buffer->at = fb_realloc(buffer->at, capacity);
        buffer->capacity = capacity;
    }
    return buffer->at + buffer->len;
}

void fb_buffer_put(fb_buffer_t *buffer, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    memcpy(fb_buffer_reserve(buffer, len), bytes, len);
    buffer->len += len;
}

void fb_buffer_put_slice(fb_buffer_t *buffer, fb_slice_t slice)
{
    fb_buffer_put(buffer, slice.at, slice.len);
}

void fb_buffer_put_text(fb_buffer_t *buffer, const char *text)
{
    fb_buffer_put(buffer, text, strlen(text));
}

void fb_buffer_put_char(fb_buffer_t *buffer, char c)
{
    *fb_buffer_reserve(buffer, 1) = c;
    buffer->len++;
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
