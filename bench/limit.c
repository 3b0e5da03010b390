/* SPDX-License-Identifier: MIT */
/* The yardstick: what one core can answer over HTTP/1.1 at all, if nobody has to think about it.
 * One loop on epoll, one read and one write a turn; a request is over at its blank line, nothing
 * else of it is looked at, and each gets the same bytes.
 *
 *     limit --listen PORT --answer FILE
 *
 * FILE is a whole response, status line, headers and body. Listens at 127.0.0.1 (port 0: any free
 * one) and says so on stdout as fleetbit does. Requests with a body are not for it. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/yardstick.h"

#define EVENTS_MAX   256
#define READ_BYTES   16384
#define COPIES_BYTES 65536 /* answers to requests that came together leave together */

typedef struct {
    int fd;
    unsigned matched; /* how many bytes of the blank line the last read ended with */
    size_t owed;      /* bytes of answers that are still to be sent */
    bool writing;     /* waits until it can send */
} conn_t;

static struct {
    char *bytes; /* the answer, `copies` times */
    size_t len, copies;
} answer;

static int poller;

static void read_answer(const char *name)
{
    struct stat info;
    FILE *file = fopen(name, "rb");
    if (file == NULL || fstat(fileno(file), &info) != 0 || info.st_size == 0)
        yardstick_fail("cannot read", name);
    answer.len = (size_t)info.st_size;
    answer.copies = answer.len < COPIES_BYTES ? COPIES_BYTES / answer.len : 1;
    answer.bytes = malloc(answer.len * answer.copies);
    if (answer.bytes == NULL || fread(answer.bytes, 1, answer.len, file) != answer.len)
        yardstick_fail("cannot read", name);
    for (size_t i = 1; i < answer.copies; i++)
        memcpy(answer.bytes + i * answer.len, answer.bytes, answer.len);
    fclose(file);
}

/* ---- A connection --------------------------------------------------------------------------- */

static void watch(conn_t *conn, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    if (epoll_ctl(poller, operation, conn->fd, &event) != 0)
        yardstick_fail("epoll_ctl", strerror(errno));
}

static void close_conn(conn_t *conn)
{
    close(conn->fd);
    free(conn);
}

/* How many heads end in these bytes. A blank line may be spread over reads. */
static size_t count_heads(conn_t *conn, const char *bytes, size_t len)
{
    static const char blank[] = "\r\n\r\n";
    size_t heads = 0;
    for (size_t i = 0; i < len;) {
        if (conn->matched == 0) {
            const char *next = memchr(bytes + i, '\r', len - i);
            if (next == NULL)
                break;
            i = (size_t)(next - bytes);
        }
        if (bytes[i] == blank[conn->matched])
            conn->matched++;
        else
            conn->matched = bytes[i] == '\r';
        i++;
        if (conn->matched == 4) {
            heads++;
            conn->matched = 0;
        }
    }
    return heads;
}

/* Sends what is owed, as far as the socket takes it; false if the connection is gone. */
static bool send_owed(conn_t *conn)
{
    while (conn->owed > 0) {
        /* An answer of which a part is sent goes on behind that part. */
        size_t from = (answer.len - conn->owed % answer.len) % answer.len;
        size_t len = answer.len * answer.copies - from;
        if (len > conn->owed)
            len = conn->owed;
        ssize_t sent = send(conn->fd, answer.bytes + from, len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent > 0)
            conn->owed -= (size_t)sent;
        if (sent < (ssize_t)len)
            break;
    }
    if ((conn->owed > 0) != conn->writing) {
        conn->writing = conn->owed > 0;
        /* Who does not take the answers is not read from. */
        watch(conn, EPOLL_CTL_MOD, conn->writing ? EPOLLOUT : EPOLLIN);
    }
    return true;
}

static void on_event(conn_t *conn)
{
    static char bytes[READ_BYTES];
    if (!conn->writing) {
        ssize_t len = recv(conn->fd, bytes, sizeof(bytes), 0);
        if (len < 0 && errno == EAGAIN)
            return;
        if (len <= 0) {
            close_conn(conn);
            return;
        }
        conn->owed += count_heads(conn, bytes, (size_t)len) * answer.len;
    }
    if (!send_owed(conn))
        close_conn(conn);
}

static void on_accept(int listener)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    conn_t *conn = calloc(1, sizeof(*conn));
    if (conn == NULL)
        yardstick_fail("out of memory", strerror(errno));
    conn->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    watch(conn, EPOLL_CTL_ADD, EPOLLIN);
}

/* ---- The program ---------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"answer", required_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    unsigned port = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'l')
            port = (unsigned)yardstick_number(optarg, 65535);
        else if (option == 'a')
            read_answer(optarg);
        else
            exit(2);
    }
    if (optind < argc || answer.bytes == NULL)
        yardstick_fail("usage", "limit --listen PORT --answer FILE");
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event accepting = {.events = EPOLLIN, .data.ptr = NULL};
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = yardstick_listen(port);
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &accepting) != 0)
        yardstick_fail("epoll", strerror(errno));
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                on_accept(listener);
            else
                on_event(events[i].data.ptr);
        }
    }
}
