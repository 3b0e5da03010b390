/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

/* A listening TCP socket at HOST:PORT ("127.0.0.1:8080", "[::1]:8080", ":8080" for all addresses,
 * port 0 for any free one): non-blocking, close-on-exec, SO_REUSEADDR, TCP_DEFER_ACCEPT off,
 * backlog 4,096. FB_IN_USE where somebody else listens there. */
fb_code_t fb_listen(const char *address, int *fd, fb_error_t *error);
/* Nobody connects from now on, and whoever is about to, does: an attempt gets no answer until the
 * socket is closed, and then it is refused. For all who share the socket. So nobody is connected
 * between the last accept and the close, who would be cut off. */
void fb_listen_refuse_new(int fd);
/* Where it listens, with the port that it got: "127.0.0.1:41234". */
void fb_listen_name(int fd, char *name, size_t size);

/* Raises the limit of open files to the most that is allowed and returns it. */
size_t fb_listen_raise_file_limit(void);
