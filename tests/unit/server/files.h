/* SPDX-License-Identifier: MIT */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A file of this test alone, which `file_remove` takes away. */
typedef struct {
    char path[64];
} file_t;

static inline file_t file_of(const void *bytes, size_t len)
{
    file_t file = {"/tmp/fleetbit-test-XXXXXX"};
    int fd = mkstemp(file.path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
    return file;
}

static inline void file_remove(const file_t *file)
{
    assert_int_equal(unlink(file->path), 0);
}
