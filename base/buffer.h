/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "base/slice.h"

/* Bytes that grow at the end. A zeroed one is empty and ready; the text has no terminating NUL. */
typedef struct {
    char *at;
    size_t len;
    size_t capacity;
} fb_buffer_t;

void fb_buffer_dispose(fb_buffer_t *buffer);
/* Makes room for `extra` more bytes, at least twice as much as there was. */
void fb_buffer_grow(fb_buffer_t *buffer, size_t extra);

/* Makes room for `extra` more bytes and returns where they go; the caller adds to `len`. */
static inline char *fb_buffer_reserve(fb_buffer_t *buffer, size_t extra)
{
    if (buffer->at == NULL || buffer->capacity - buffer->len < extra)
        fb_buffer_grow(buffer, extra);
    return buffer->at + buffer->len;
}

static inline void fb_buffer_put(fb_buffer_t *buffer, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    memcpy(fb_buffer_reserve(buffer, len), bytes, len);
    buffer->len += len;
}

static inline void fb_buffer_put_slice(fb_buffer_t *buffer, fb_slice_t slice)
{
    fb_buffer_put(buffer, slice.at, slice.len);
}

static inline void fb_buffer_put_text(fb_buffer_t *buffer, const char *text)
{
    fb_buffer_put(buffer, text, strlen(text));
}

static inline void fb_buffer_put_char(fb_buffer_t *buffer, char c)
{
    *fb_buffer_reserve(buffer, 1) = c;
    buffer->len++;
}

void fb_buffer_put_u64(fb_buffer_t *buffer, uint64_t number);
void fb_buffer_put_i64(fb_buffer_t *buffer, int64_t number);
void fb_buffer_printf(fb_buffer_t *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline fb_slice_t fb_buffer_slice(const fb_buffer_t *buffer)
{
    return (fb_slice_t){buffer->at, buffer->len};
}

#define fb_buffer_put_literal(buffer, literal)                                                     \
    fb_buffer_put((buffer), (literal), sizeof(literal) - 1)
