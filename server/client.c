/* SPDX-License-Identifier: MIT */
#include "server/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

static int put(fb_client_t *client, const char *format, int family, const void *address,
               in_port_t port) __attribute__((format(printf, 2, 0)));
static int put(fb_client_t *client, const char *format, int family, const void *address,
               in_port_t port)
{
    char host[INET6_ADDRSTRLEN];
    if (inet_ntop(family, address, host, sizeof(host)) == NULL)
        return 0;
    return snprintf(client->text, sizeof(client->text), format, host, ntohs(port));
}

void fb_client_read(fb_client_t *client, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
    socklen_t size = sizeof(peer);
    int len = 0;
    *client = (fb_client_t){.len = 0};
    if (getpeername(fd, &peer.any, &size) != 0)
        return;
    if (peer.any.sa_family == AF_INET)
        len = put(client, "%s:%u", AF_INET, &peer.v4.sin_addr, peer.v4.sin_port);
    else if (peer.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.v6.sin6_addr))
        len = put(client, "%s:%u", AF_INET, &peer.v6.sin6_addr.s6_addr[12], peer.v6.sin6_port);
    else if (peer.any.sa_family == AF_INET6)
        len = put(client, "[%s]:%u", AF_INET6, &peer.v6.sin6_addr, peer.v6.sin6_port);
    client->len = len < FB_CLIENT_BYTES ? (uint8_t)len : 0;
}
