/* SPDX-License-Identifier: MIT */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What the yardsticks have in common. */
#define YARDSTICK_BACKLOG 1024

/* Ends the program, which says its name and what went wrong. */
static inline void yardstick_fail(const char *what, const char *name)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, name);
    exit(1);
}

/* A whole number of an argument, 0 to `max`. */
static inline unsigned long long yardstick_number(const char *text, unsigned long long max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > max)
        yardstick_fail("no number, or one out of range", text);
    return value;
}

/* A socket that listens at 127.0.0.1 (port 0: any free one), which it says on stdout. */
static inline int yardstick_listen(unsigned port)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, YARDSTICK_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        yardstick_fail("cannot listen", strerror(errno));
    printf("listening on http://127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}
