/* SPDX-License-Identifier: MIT */
/* The clients of event streams: opens them all, then changes the status of a machine, again and
 * again, and measures how long after the answer to that each stream has the event.
 *
 *     streams --port PORT --count N [--stalled N] [--rounds N] [--pause MS] [--pid PID]
 *
 * The machine must be there, with id 1. Those that are stalled never read. Prints one line of JSON,
 * times in milliseconds; with the PID of the server what each stream takes of its memory, too.
 * Connects to 127.0.0.1. */
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/yardstick.h"

#define EVENTS_MAX     512
#define READ_BYTES     65536
#define NOTE_BYTES     100
#define WAIT_MS        20000
#define STALLED_BUFFER 4096

typedef struct {
    int fd;
    unsigned matched; /* bytes of the mark that the last read ended with */
    unsigned seen;    /* marks */
} stream_t;

static struct {
    const char *port, *pid;
    unsigned count, stalled, rounds, pause_ms;
} options = {.count = 10000, .rounds = 20, .pause_ms = 200};

static stream_t *streams;
static double *delays;
static size_t delay_count;
static int poller, writer;
static double answered_ms; /* 0: not yet */
static double *early;      /* of a round: when events came, before the answer */
static unsigned early_count;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static double resident_bytes(void)
{
    char path[64];
    unsigned long all, pages = 0;
    snprintf(path, sizeof(path), "/proc/%s/statm", options.pid);
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%lu %lu", &all, &pages) != 2)
        yardstick_fail("cannot read", path);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int connect_to_server(int buffer)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port =
                                      htons((uint16_t)yardstick_number(options.port, 65535)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0)
        yardstick_fail("cannot make", "a socket");
    if (buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        yardstick_fail("cannot connect to port", options.port);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        yardstick_fail("cannot send to port", options.port);
}

static void watch(int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0)
        yardstick_fail("cannot watch", "a socket");
}

/* How often the mark ends in what came. */
static unsigned count_marks(stream_t *stream, const char *mark, const char *bytes, size_t len)
{
    unsigned found = 0;
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != mark[stream->matched])
            stream->matched = bytes[i] == mark[0] ? 1 : 0;
        else if (mark[++stream->matched] == '\0') {
            stream->matched = 0;
            found++;
        }
    }
    return found;
}

/* Reads what is there of one stream; returns how many marks came. */
static unsigned read_stream(stream_t *stream, const char *mark)
{
    static char bytes[READ_BYTES];
    ssize_t got = recv(stream->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        yardstick_fail("a stream ended at port", options.port);
    unsigned found = got > 0 ? count_marks(stream, mark, bytes, (size_t)got) : 0;
    stream->seen += found;
    return found;
}

static void note_delay(double at_ms)
{
    if (answered_ms == 0)
        early[early_count++] = at_ms;
    else
        delays[delay_count++] = at_ms > answered_ms ? at_ms - answered_ms : 0;
}

static void read_answer(void)
{
    static char bytes[READ_BYTES];
    ssize_t got = recv(writer, bytes, sizeof(bytes), 0);
    if (got < 12 || memcmp(bytes, "HTTP/1.1 200", 12) != 0)
        yardstick_fail("a change was refused at port", options.port);
    answered_ms = now_ms();
    for (unsigned i = 0; i < early_count; i++)
        note_delay(early[i]);
    early_count = 0;
}

/* Until so many marks have come, and the writer has its answer. */
static void gather(size_t wanted, const char *mark, bool is_timed)
{
    struct epoll_event events[EVENTS_MAX];
    size_t found = 0;
    double until_ms = now_ms() + WAIT_MS;
    while (found < wanted || (is_timed && answered_ms == 0)) {
        int count = epoll_wait(poller, events, EVENTS_MAX, 1000);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                read_answer();
                continue;
            }
            unsigned came = read_stream(events[i].data.ptr, mark);
            found += came;
            for (; is_timed && came > 0; came--)
                note_delay(now_ms());
        }
        if (now_ms() > until_ms)
            yardstick_fail("not all streams have got all at port", options.port);
    }
}

static void open_streams(void)
{
    static const char request[] = "GET /v1/stream?topics=status HTTP/1.1\r\nHost: localhost\r\n"
                                  "Accept: text/event-stream\r\nUser-Agent: bench/streams\r\n\r\n";
    for (unsigned i = 0; i < options.count; i++) {
        bool is_stalled = i >= options.count - options.stalled;
        streams[i].fd = connect_to_server(is_stalled ? STALLED_BUFFER : 0);
        send_all(streams[i].fd, request, sizeof(request) - 1);
        if (is_stalled)
            continue;
        watch(streams[i].fd, &streams[i]);
        if (i % 100 == 99 || i + 1 == options.count - options.stalled)
            gather(i % 100 + 1, "\nretry: ", false);
    }
}

static void change(unsigned round)
{
    char body[512], request[1024], note[NOTE_BYTES + 1];
    memset(note, 'x', NOTE_BYTES);
    note[NOTE_BYTES] = '\0';
    int len = snprintf(body, sizeof(body),
                       "{\"status\":\"%s\",\"updated_by\":\"bench\",\"note\":\"%u %s\"}",
                       round % 2 == 0 ? "green" : "red", round, note);
    int all = snprintf(request, sizeof(request),
                       "PUT /v1/machines/1/status HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                       len, body);
    answered_ms = 0;
    send_all(writer, request, (size_t)all);
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return a < b ? -1 : a > b;
}

static void pause_ms(unsigned ms)
{
    const struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},
        {"count", required_argument, NULL, 'c'},
        {"stalled", required_argument, NULL, 's'},
        {"rounds", required_argument, NULL, 'r'},
        {"pause", required_argument, NULL, 'w'},
        {"pid", required_argument, NULL, 'i'},
        {NULL, 0, NULL, 0},
    };
    int found;
    while ((found = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (found == 'p')
            options.port = optarg;
        else if (found == 'c')
            options.count = (unsigned)yardstick_number(optarg, UINT32_MAX);
        else if (found == 's')
            options.stalled = (unsigned)yardstick_number(optarg, UINT32_MAX);
        else if (found == 'r')
            options.rounds = (unsigned)yardstick_number(optarg, UINT32_MAX);
        else if (found == 'w')
            options.pause_ms = (unsigned)yardstick_number(optarg, UINT32_MAX);
        else if (found == 'i')
            options.pid = optarg;
        else
            exit(2);
    }
    if (options.port == NULL || options.count <= options.stalled)
        yardstick_fail("usage:", "streams --port PORT --count N [--stalled N] [--rounds N]");
}

int main(int argc, char **argv)
{
    struct rlimit files;
    read_options(argc, argv);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    unsigned readers = options.count - options.stalled;
    streams = calloc(options.count, sizeof(*streams));
    early = calloc(options.count + 1, sizeof(*early));
    delays = calloc((size_t)readers * options.rounds + 1, sizeof(*delays));
    poller = epoll_create1(0);
    writer = connect_to_server(0);
    if (streams == NULL || early == NULL || delays == NULL || poller < 0)
        yardstick_fail("no memory for", "the streams");
    double before = options.pid != NULL ? resident_bytes() : 0;
    open_streams();
    double after = options.pid != NULL ? resident_bytes() : 0;
    watch(writer, NULL);
    for (unsigned round = 0; round < options.rounds; round++) {
        change(round);
        gather(readers, "event: status\n", true);
        pause_ms(options.pause_ms);
    }
    qsort(delays, delay_count, sizeof(*delays), compare);
    printf("{\"streams\":%u,\"stalled\":%u,\"changes\":%u", options.count, options.stalled,
           options.rounds);
    if (delay_count > 0)
        printf(",\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f", delays[delay_count / 2],
               delays[delay_count * 99 / 100], delays[delay_count - 1]);
    if (options.pid != NULL)
        printf(",\"bytes_each\":%.0f,\"bytes_each_after\":%.0f", (after - before) / options.count,
               (resident_bytes() - before) / options.count);
    printf("}\n");
    return 0;
}
