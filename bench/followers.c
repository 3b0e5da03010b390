/* SPDX-License-Identifier: MIT */
/* Follows many event streams at once, and says when a revision has reached all of them.
 *
 *     followers --port PORT --streams N [--stalled N] [--target TARGET]
 *
 * Connects to 127.0.0.1 over HTTP/1.1. Prints "following N" once each stream has named the revision
 * from which on it follows, and then, for each later revision that all have received, one line:
 *
 *     REVISION FIRST LAST      when the first and the last stream had it, CLOCK_MONOTONIC in ns
 *
 * The first --stalled streams read nothing after their beginning, and are not waited for. Ends when
 * a stream that it follows does. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/yardstick.h"

#define EVENTS_MAX   1024
#define READ_BYTES   65536
#define TALLIES      4096 /* revisions that some have and others have not yet */
#define TARGET_BYTES 1024

typedef struct {
    int fd;
    bool has_begun, is_stalled;
    unsigned matched;      /* bytes of "\nid: " that were just read */
    unsigned points;       /* '.' in the token that is being read */
    uint64_t number;       /* behind the last of them */
    uint64_t revision;     /* the last one whose end was seen */
    uint64_t new_revision; /* of the token that is being read */
} follower_t;

typedef struct {
    uint64_t revision, first_ns, last_ns;
    unsigned count;
} tally_t;

static tally_t tallies[TALLIES];
static unsigned wanted, begun, total;
static uint64_t now_ns;

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void count(uint64_t revision)
{
    tally_t *tally = &tallies[revision % TALLIES];
    if (tally->revision != revision)
        *tally = (tally_t){.revision = revision, .first_ns = now_ns};
    tally->last_ns = now_ns;
    if (++tally->count != wanted)
        return;
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", revision, tally->first_ns, tally->last_ns);
    fflush(stdout);
}

/* A token has ended. One with a place (two points) is not the end of its revision. */
static void on_token(follower_t *follower)
{
    uint64_t revision = follower->points == 1 ? follower->number : 0;
    if (follower->points == 0 || follower->points > 2)
        yardstick_fail("the stream says", "an id that is no revision token");
    if (!follower->has_begun) {
        follower->has_begun = true;
        follower->revision = follower->points == 1 ? follower->number : follower->new_revision;
        if (++begun == total) {
            printf("following %u\n", total);
            fflush(stdout);
        }
    } else if (revision > follower->revision) {
        follower->revision = revision;
        if (!follower->is_stalled)
            count(revision);
    }
}

static void read_byte(follower_t *follower, char byte)
{
    static const char mark[] = "\nid: ";
    const unsigned whole = sizeof(mark) - 1;
    if (follower->matched < whole) {
        bool fits = byte == mark[follower->matched];
        follower->matched = fits ? follower->matched + 1 : byte == '\n';
        follower->points = 0;
        follower->number = follower->new_revision = 0;
        return;
    }
    if (byte == '.') {
        follower->new_revision = follower->number;
        follower->points++;
        follower->number = 0;
    } else if (byte >= '0' && byte <= '9') {
        follower->number = follower->number * 10 + (uint64_t)(byte - '0');
    } else if (byte == '\n') {
        on_token(follower);
        follower->matched = 1;
    }
}

static void on_readable(int poller, follower_t *follower)
{
    static char bytes[READ_BYTES];
    ssize_t got = recv(follower->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        yardstick_fail("a stream ended", got < 0 ? strerror(errno) : "by the server");
    if (!follower->has_begun && follower->revision == 0 && memcmp(bytes, "HTTP/1.1 200", 12) != 0)
        yardstick_fail("a stream was refused", "not with 200");
    now_ns = clock_ns();
    for (ssize_t i = 0; i < got; i++)
        read_byte(follower, bytes[i]);
    if (follower->is_stalled && follower->has_begun)
        epoll_ctl(poller, EPOLL_CTL_DEL, follower->fd, NULL);
}

static int connect_to(unsigned port, const char *target)
{
    char request[TARGET_BYTES + 64];
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n", target);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        send(fd, request, (size_t)len, MSG_NOSIGNAL) != len)
        yardstick_fail("cannot connect", strerror(errno));
    return fd;
}

static _Noreturn void follow(unsigned port, const char *target, unsigned stalled)
{
    struct epoll_event events[EVENTS_MAX];
    int poller = epoll_create1(EPOLL_CLOEXEC);
    follower_t *followers = calloc(total, sizeof(*followers));
    if (poller < 0 || followers == NULL)
        yardstick_fail("cannot follow", strerror(errno));
    for (unsigned i = 0; i < total; i++) {
        followers[i] = (follower_t){.fd = connect_to(port, target), .is_stalled = i < stalled};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &followers[i]};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, followers[i].fd, &event) != 0)
            yardstick_fail("epoll_ctl", strerror(errno));
    }
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++)
            on_readable(poller, events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    static const struct option flags[] = {{"port", required_argument, NULL, 'p'},
                                          {"streams", required_argument, NULL, 'n'},
                                          {"stalled", required_argument, NULL, 's'},
                                          {"target", required_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    unsigned port = 0, stalled = 0;
    const char *target = "/v1/stream";
    int flag;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        if (flag == 'p')
            port = (unsigned)strtoul(optarg, NULL, 10);
        else if (flag == 'n')
            total = (unsigned)strtoul(optarg, NULL, 10);
        else if (flag == 's')
            stalled = (unsigned)strtoul(optarg, NULL, 10);
        else if (flag == 't')
            target = optarg;
        else
            return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (port == 0 || total <= stalled || strlen(target) > TARGET_BYTES)
        yardstick_fail("usage",
                       "followers --port PORT --streams N [--stalled N] [--target TARGET]");
    wanted = total - stalled;
    follow(port, target, stalled);
}
