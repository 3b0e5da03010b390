/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#define FB_ADDRESS_HOST_BYTES 254

/* What HOST:PORT says, before any name is resolved. */
typedef struct {
    char host[FB_ADDRESS_HOST_BYTES]; /* without brackets; "": all addresses */
    char port[6];                     /* 0 to 65535, in digits as getaddrinfo takes them */
} fb_address_t;

/* "127.0.0.1:8080", "[::1]:8080", "name:8080", ":8080". FB_CONFIG names the text. */
fb_code_t fb_address_parse(const char *text, fb_address_t *address, fb_error_t *error);
