/* SPDX-License-Identifier: MIT */
#pragma once

/* A client that writes raw bytes: frames that no well-behaved library would send. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#define WIRE_WAIT_MS   4000
#define WIRE_FRAME_MAX 16384

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
enum { CONTINUATION = 9, EXTENSION = 0x10 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
enum { PROTOCOL_ERROR = 1, REFUSED_STREAM = 7, CANCEL = 8, ENHANCE_YOUR_CALM = 11 };

typedef struct {
    uint8_t type, flags;
    uint32_t stream, length;
    uint8_t payload[WIRE_FRAME_MAX];
} wire_frame_t;

/* The connections of a test, closed after it whether it passed or not. */
static struct {
    int fds[64];
    unsigned count;
} wire_open;

static inline void wire_close_all(void)
{
    while (wire_open.count != 0)
        close(wire_open.fds[--wire_open.count]);
}

/* The sizes of the client's receive buffer and segments; 0 leaves the system's own. */
static inline int wire_connect(int port, int receive_bytes, int segment_bytes)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_true(fd >= 0 && wire_open.count < sizeof(wire_open.fds) / sizeof(wire_open.fds[0]));
    wire_open.fds[wire_open.count++] = fd;
    if (receive_bytes != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    if (segment_bytes != 0)
        setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment_bytes, sizeof(segment_bytes));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static inline int wire_ready(int fd, short events, int wait_ms)
{
    struct pollfd polled = {.fd = fd, .events = events};
    return poll(&polled, 1, wait_ms) == 1;
}

/* How many bytes the peer took: fewer than `len` once it has closed, or has read nothing for
 * `wait_ms`. */
static inline size_t wire_write_some(int fd, const void *bytes, size_t len, int wait_ms)
{
    size_t done = 0;
    while (done < len && wire_ready(fd, POLLOUT, wait_ms)) {
        ssize_t n = send(fd, (const char *)bytes + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    return done;
}

static inline void wire_write(int fd, const void *bytes, size_t len)
{
    assert_int_equal(wire_write_some(fd, bytes, len, WIRE_WAIT_MS), len);
}

static inline size_t wire_put(uint8_t *at, uint8_t type, uint8_t flags, uint32_t stream,
                              const void *payload, size_t len)
{
    uint8_t head[9] = {(uint8_t)(len >> 16),
                       (uint8_t)(len >> 8),
                       (uint8_t)len,
                       type,
                       flags,
                       (uint8_t)(stream >> 24),
                       (uint8_t)(stream >> 16),
                       (uint8_t)(stream >> 8),
                       (uint8_t)stream};
    memcpy(at, head, sizeof(head));
    if (len != 0)
        memcpy(at + sizeof(head), payload, len);
    return sizeof(head) + len;
}

static inline void wire_send(int fd, uint8_t type, uint8_t flags, uint32_t stream,
                             const void *payload, size_t len)
{
    uint8_t frame[9 + WIRE_FRAME_MAX];
    wire_write(fd, frame, wire_put(frame, type, flags, stream, payload, len));
}

static inline void wire_send_u32(int fd, uint8_t type, uint32_t stream, uint32_t value)
{
    uint8_t payload[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                          (uint8_t)value};
    wire_send(fd, type, 0, stream, payload, sizeof(payload));
}

/* The setting 4: how much the server may send on each stream. */
static inline void wire_send_window(int fd, uint32_t bytes)
{
    uint8_t payload[6] = {0,
                          4,
                          (uint8_t)(bytes >> 24),
                          (uint8_t)(bytes >> 16),
                          (uint8_t)(bytes >> 8),
                          (uint8_t)bytes};
    wire_send(fd, SETTINGS, 0, 0, payload, sizeof(payload));
}

static inline void wire_start_http2(int fd, uint32_t window_bytes)
{
    wire_write(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    wire_send_window(fd, window_bytes);
}

/* HPACK: the method and scheme from the static table, the path as a literal (at most 126). */
static inline size_t wire_put_block(uint8_t *at, const char *method, const char *path)
{
    size_t len = strlen(path);
    at[0] = strcmp(method, "POST") == 0 ? 0x83 : 0x82;
    at[1] = 0x86;
    at[2] = 0x04;
    at[3] = (uint8_t)len;
    memcpy(at + 4, path, len);
    return 4 + len;
}

static inline void wire_request(int fd, uint32_t stream, const char *path)
{
    uint8_t block[160];
    size_t len = wire_put_block(block, "GET", path);
    wire_send(fd, HEADERS, END_STREAM | END_HEADERS, stream, block, len);
}

static inline int wire_read_all(int fd, void *into, size_t len, int wait_ms)
{
    for (size_t done = 0; done < len;) {
        if (!wire_ready(fd, POLLIN, wait_ms))
            return 0;
        ssize_t n = recv(fd, (char *)into + done, len - done, 0);
        if (n <= 0)
            return 0;
        done += (size_t)n;
    }
    return 1;
}

/* 0 at the end of the connection, or after `wait_ms` of silence. */
static inline int wire_read(int fd, wire_frame_t *frame, int wait_ms)
{
    uint8_t head[9];
    if (!wire_read_all(fd, head, sizeof(head), wait_ms))
        return 0;
    frame->length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    frame->type = head[3];
    frame->flags = head[4];
    frame->stream =
        (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
    assert_true(frame->length <= sizeof(frame->payload));
    return wire_read_all(fd, frame->payload, frame->length, wait_ms);
}

static inline uint32_t wire_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Reads on until a frame of the type and stream comes; false if none does. */
static inline int wire_await(int fd, wire_frame_t *frame, uint8_t type, uint32_t stream)
{
    while (wire_read(fd, frame, WIRE_WAIT_MS)) {
        if (frame->type == type && frame->stream == stream)
            return 1;
    }
    return 0;
}

/* The bytes of the body of `stream` up to its last frame; SIZE_MAX if that never comes. */
static inline size_t wire_await_body(int fd, uint32_t stream)
{
    wire_frame_t frame;
    size_t bytes = 0;
    while (wire_await(fd, &frame, DATA, stream)) {
        bytes += frame.length;
        if ((frame.flags & END_STREAM) != 0)
            return bytes;
    }
    return SIZE_MAX;
}

/* Whether the peer closed: reads and drops what still comes. */
static inline int wire_await_close(int fd, int wait_ms)
{
    char dropped[4096];
    while (wire_ready(fd, POLLIN, wait_ms)) {
        if (recv(fd, dropped, sizeof(dropped), 0) <= 0)
            return 1;
    }
    return 0;
}

/* One more request, which shows that the connection still works. */
static inline void wire_assert_answered(int fd, uint32_t stream)
{
    wire_frame_t frame;
    wire_send_u32(fd, WINDOW_UPDATE, 0, 1 << 20);
    wire_request(fd, stream, "/");
    assert_true(wire_await(fd, &frame, HEADERS, stream));
    assert_int_equal(frame.payload[0], 0x88); /* HPACK for the status 200 */
}
