/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

/* Where a Redis is, and as whom we come:
 *
 *     redis://[[user]:password@]host[:port][/db]       IPv6 in brackets; port 6379, db 0
 *     unix:///path[?db=N][&user=U][&password=P]
 *
 * User, password and path may hold percent-encoded bytes (RFC 3986, section 2.1). */
#define FB_REDIS_PATH_BYTES_MAX 107 /* sockaddr_un.sun_path, without its NUL */
#define FB_REDIS_URL_TEXT_BYTES 1024

typedef struct {
    bool is_unix;
    uint16_t port;
    uint32_t db;
    char host[254];
    char path[FB_REDIS_PATH_BYTES_MAX + 1];
    char user[129];     /* "": Redis' default user */
    char password[513]; /* "": none; dispose wipes it */
} fb_redis_url_t;

/* FB_CONFIG where it is no such URL, or one that is not supported. The detail never repeats what
 * might be a password. */
fb_code_t fb_redis_url_parse(const char *text, fb_redis_url_t *url, fb_error_t *error);
void fb_redis_url_dispose(fb_redis_url_t *url);
/* For logs and errors: the password shows as "***". Without one, it can be parsed again. */
void fb_redis_url_format_safe(const fb_redis_url_t *url, char text[FB_REDIS_URL_TEXT_BYTES]);
