/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Who is at the other end of a connection: "192.0.2.1:51234", "[2001:db8::1]:51234", or nothing
 * where it is not known. All of `text` can be read. */
#define FB_CLIENT_BYTES 48
typedef struct {
    char text[FB_CLIENT_BYTES];
    uint8_t len;
} fb_client_t;

/* Asks for the peer of a socket. An IPv4 address that an IPv6 socket has accepted is shown as one.
 */
void fb_client_read(fb_client_t *client, int fd);
