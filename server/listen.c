/* SPDX-License-Identifier: MIT */
#include "server/listen.h"

#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "server/address.h"

#define BACKLOG       4096
#define RECEIVE_BYTES 262144 /* the library reads at once what the kernel has: this bounds it */

/* An IPv6 socket takes IPv4 connections too only where all addresses were asked for: then
 * "0.0.0.0:8080" and "[::]:8080" can both be listened at. */
static int open_socket(const struct addrinfo *info, bool both)
{
    int one = 1, only = both ? 0 : 1, receive_bytes = RECEIVE_BYTES;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes)) == 0 &&
        (info->ai_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0) &&
        bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

/* May another address of the same name do? Not where this one is taken: half of a name's clients
 * would come to somebody else. */
static bool may_try_next(int reason)
{
    return reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL;
}

/* A name with addresses of both kinds is listened at its IPv4 address, because all clients try
 * that one. For all addresses, IPv6 comes first: it takes both. */
static int open_first(const struct addrinfo *infos, bool all_addresses)
{
    const int order[] = {all_addresses ? AF_INET6 : AF_INET, all_addresses ? AF_INET : AF_INET6};
    int reason = EADDRNOTAVAIL;
    for (unsigned i = 0; i < 2; i++) {
        for (const struct addrinfo *info = infos; info != NULL; info = info->ai_next) {
            if (info->ai_family != order[i])
                continue;
            int fd = open_socket(info, all_addresses);
            if (fd >= 0)
                return fd;
            reason = errno;
            if (!may_try_next(reason))
                break;
        }
        if (!may_try_next(reason))
            break;
    }
    errno = reason;
    return -1;
}

static fb_code_t code_of(int reason)
{
    switch (reason) {
    case EADDRINUSE:
        return FB_IN_USE;
    case EACCES:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return FB_CONFIG;
    default:
        return FB_IO;
    }
}

static const char *text_of(int reason)
{
    switch (reason) {
    case EADDRINUSE:
        return "somebody else listens there";
    case EACCES:
        return "this user may not listen at that port";
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        return "it is no address of this machine";
    default:
        return strerror(reason);
    }
}

fb_code_t fb_listen(const char *address, int *fd, fb_error_t *error)
{
    fb_address_t parts;
    fb_code_t code = fb_address_parse(address, &parts, error);
    if (code != FB_OK)
        return code;
    struct addrinfo *infos = NULL;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    const char *host = parts.host[0] != '\0' ? parts.host : NULL;
    /* A bare system has no /etc/hosts; the name is known all the same (RFC 6761, section 6.3). */
    if (host != NULL && strcasecmp(host, "localhost") == 0)
        host = "127.0.0.1";
    int failed = getaddrinfo(host, parts.port, &hints, &infos);
    if (failed != 0) {
        bool is_wrong = failed == EAI_NONAME || failed == EAI_FAMILY || failed == EAI_NODATA ||
                        failed == EAI_ADDRFAMILY;
        const char *reason = failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed);
        return fb_fail(error, is_wrong ? FB_CONFIG : FB_IO, "cannot listen at %s: %s", address,
                       reason);
    }
    int opened = open_first(infos, host == NULL);
    int reason = errno;
    freeaddrinfo(infos);
    if (opened < 0)
        return fb_fail(error, code_of(reason), "cannot listen at %s: %s", address, text_of(reason));
    *fd = opened;
    return FB_OK;
}

void fb_listen_refuse_new(int fd)
{
    /* Drops a TCP segment with SYN and without ACK (RFC 9293, section 3.1: the flags are its byte
     * 13). The filter also is that of connections accepted later, to which nobody sends one. */
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {.len = sizeof(steps) / sizeof(steps[0]), .filter = steps};
    /* Where the system forbids it, a client that connects in the last microseconds is cut off. */
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void fb_listen_name(int fd, char *name, size_t size)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    char host[NI_MAXHOST], port[NI_MAXSERV];
    int failed = getsockname(fd, (struct sockaddr *)&address, &len);
    if (failed == 0)
        failed = getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), port,
                             sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
    fb_assert(failed == 0);
    bool bracketed = address.ss_family == AF_INET6;
    int written =
        snprintf(name, size, "%s%s%s:%s", bracketed ? "[" : "", host, bracketed ? "]" : "", port);
    fb_assert(written > 0 && (size_t)written < size);
}

size_t fb_listen_raise_file_limit(void)
{
    struct rlimit limit;
    fb_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        limit = raised;
    return (size_t)limit.rlim_cur;
}
