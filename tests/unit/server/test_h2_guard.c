/* SPDX-License-Identifier: MIT */

/* Each test attacks a real server with raw frames. Without server/h2_guard.c every one of them
 * fails, most by ending or hanging the process. */

#include "tests/unit/server/h2o_fixture.h"

#include <h2o/cache_digests.h>

#include "server/h2_guard.h"
#include "tests/unit/random.h"

#define SMALL_BUFFER 4096
#define BODY         60000U /* more than such a buffer takes, less than the first window */

static atomic_uint digests_loaded;

/* Takes the place of the library's decoder of the header cache-digest. */
void h2o_cache_digests_load_header(h2o_cache_digests_t **digests, const char *value, size_t len)
{
    (void)digests, (void)value, (void)len;
    atomic_fetch_add(&digests_loaded, 1);
}

static int open_http2(fixture_t *fixture, uint32_t window_bytes)
{
    int fd = wire_connect(fixture->port, 0, 0);
    wire_start_http2(fd, window_bytes);
    return fd;
}

/* A client that takes little, of a server that keeps little: what is sent to it is not written. */
static int open_narrow(fixture_t *fixture, uint32_t window_bytes)
{
    fixture->send_bytes = SMALL_BUFFER;
    fixture_start(fixture);
    int fd = wire_connect(fixture->port, SMALL_BUFFER, 1000);
    wire_start_http2(fd, window_bytes);
    return fd;
}

static void assert_answered(int fd, uint32_t stream)
{
    wire_frame_t frame;
    wire_send_u32(fd, WINDOW_UPDATE, 0, 1 << 20);
    wire_request(fd, stream, "/");
    assert_true(wire_await(fd, &frame, HEADERS, stream));
    assert_int_equal(frame.payload[0], 0x88); /* HPACK for the status 200 */
}

static void assert_closed_for(int fd, uint32_t error)
{
    wire_frame_t frame;
    assert_true(wire_await(fd, &frame, GOAWAY, 0));
    assert_int_equal(wire_u32(frame.payload + 4), error);
    assert_true(wire_await_close(fd, WIRE_WAIT_MS));
}

static void the_library_calls_the_guard(void **state)
{
    fb_error_t error = {0};
    (void)state;
    assert_int_equal(fb_h2_guard_check(&error), FB_OK);
}

/* Cause: update_stream_output_window asserts that a stream whose window becomes positive is not
 * being written, which one in its last state is. */
static void a_window_that_opens_during_the_last_write_does_not_abort(void **state)
{
    wire_frame_t frame;
    int fd = open_narrow(*state, BODY);
    wire_request(fd, 1, "/bytes/60000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send_u32(fd, WINDOW_UPDATE, 1, 1);
    assert_int_equal(wire_await_body(fd, 1), BODY);
    assert_answered(fd, 3);
}

/* Cause: the same, by way of the initial window, which changes those of all streams. */
static void settings_that_open_windows_during_the_last_write_do_not_abort(void **state)
{
    wire_frame_t frame;
    int fd = open_narrow(*state, BODY);
    wire_request(fd, 1, "/bytes/60000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send_window(fd, BODY - 1);
    wire_send_window(fd, INT32_MAX);
    wire_send_window(fd, 0);
    wire_send_window(fd, INT32_MAX);
    assert_int_equal(wire_await_body(fd, 1), BODY);
    assert_answered(fd, 3);
}

/* Cause: the same; a stream that is reset during a write also lives on in its last state. */
static void a_window_that_opens_after_a_reset_does_not_abort(void **state)
{
    wire_frame_t frame;
    int fd = open_narrow(*state, BODY);
    wire_request(fd, 1, "/stream/60000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send_u32(fd, RST_STREAM, 1, CANCEL);
    wire_send_window(fd, BODY + 1);
    assert_answered(fd, 3);
}

/* Cause: update_idle_timeout asserts that nothing waits when nothing runs, but a stream in its last
 * state has stopped to count as running, and does not start what waits before it is written. */
static void requests_that_wait_for_a_last_write_do_not_abort(void **state)
{
    wire_frame_t frame;
    uint8_t block[160], both[320];
    size_t len;
    ((fixture_t *)*state)->config.http2.max_concurrent_requests_per_connection = 1;
    int fd = open_narrow(*state, BODY);
    len = wire_put(both, HEADERS, END_STREAM | END_HEADERS, 1, block,
                   wire_put_block(block, "GET", "/bytes/60000"));
    len += wire_put(both + len, HEADERS, END_STREAM | END_HEADERS, 3, block,
                    wire_put_block(block, "GET", "/"));
    wire_write(fd, both, len);
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send(fd, PING, 0, 0, "12345678", 8);
    assert_int_equal(wire_await_body(fd, 1), BODY);
    assert_true(wire_await(fd, &frame, HEADERS, 3));
    assert_answered(fd, 5);
}

static void shut_down(fixture_t *fixture)
{
    h2o_context_request_shutdown(&fixture->context);
}

static void nothing(fixture_t *fixture)
{
    (void)fixture;
}

/* Cause: expect_continuation_of_headers consumes nothing of a connection that is going away. */
static void a_continuation_after_goaway_does_not_hang_the_loop(void **state)
{
    fixture_t *fixture = *state;
    wire_frame_t frame;
    uint8_t block[160];
    fixture_start(fixture);
    int fd = open_http2(fixture, BODY);
    wire_request(fd, 1, "/hold");
    size_t len = wire_put_block(block, "GET", "/");
    wire_send(fd, HEADERS, END_STREAM, 3, block, len - 1);
    assert_answered(open_http2(fixture, BODY), 1);
    fixture_call(fixture, shut_down);
    do {
        assert_true(wire_await(fd, &frame, GOAWAY, 0));
    } while (wire_u32(frame.payload) == INT32_MAX);
    wire_send(fd, CONTINUATION, END_HEADERS, 3, block + len - 1, 1);
    assert_true(wire_await_close(fd, WIRE_WAIT_MS));
    fixture_call(fixture, nothing);
}

/* Cause: do_emit_writereq closes a connection that is going away when no stream runs, and does not
 * count those whose last bytes it has just begun to write. */
static void an_answer_is_whole_although_the_server_shuts_down(void **state)
{
    fixture_t *fixture = *state;
    wire_frame_t frame;
    int fd = open_narrow(fixture, 1 << 20);
    wire_send_u32(fd, WINDOW_UPDATE, 0, 1 << 20);
    wire_request(fd, 1, "/bytes/200000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    fixture_call(fixture, shut_down);
    usleep(1100 * 1000); /* until the second GOAWAY, from which on it is going away */
    fixture_call(fixture, nothing);
    assert_int_equal(wire_await_body(fd, 1), 200000);
    assert_true(wire_await_close(fd, WIRE_WAIT_MS));
}

/* Opens `count` streams and makes each be reset at once. */
static void reset_streams(int fd, uint32_t first, unsigned count, uint8_t type, uint32_t value)
{
    enum { PAIR = 64 };
    static uint8_t bytes[8192 * PAIR];
    uint8_t block[32], payload[4] = {0, 0, 0, (uint8_t)value};
    size_t block_len = wire_put_block(block, "GET", "/hold"), len = 0;
    assert_true(count * PAIR <= sizeof(bytes));
    for (unsigned i = 0; i < count; i++) {
        uint32_t stream = first + 2 * i;
        len += wire_put(bytes + len, HEADERS, END_STREAM | END_HEADERS, stream, block, block_len);
        len += wire_put(bytes + len, type, 0, stream, payload, sizeof(payload));
    }
    wire_write_some(fd, bytes, len, WIRE_WAIT_MS);
}

static void assert_resets_are_bounded(fixture_t *fixture, uint8_t type, uint32_t value)
{
    fb_h2_guard_stats_t before, after;
    fixture_start(fixture);
    fb_h2_guard_stats(&before);
    int fd = open_http2(fixture, BODY);
    reset_streams(fd, 1, 6000, type, value);
    assert_true(wire_await_close(fd, WIRE_WAIT_MS));
    fb_h2_guard_stats(&after);
    assert_int_equal(after.closed_resets, before.closed_resets + 1);
    assert_in_range(after.resets - before.resets, FB_H2_RESETS_BURST, 3000);
    assert_in_range(atomic_load(&fixture->requests), FB_H2_RESETS_BURST, 3000);
}

/* Cause: CVE-2023-44487; streams that the client resets do not count as concurrent. */
static void rapid_resets_close_the_connection(void **state)
{
    assert_resets_are_bounded(*state, RST_STREAM, CANCEL);
}

/* Cause: CVE-2025-8671; the same by frames upon which the server resets the stream. */
static void resets_that_the_server_is_made_to_do_close_the_connection(void **state)
{
    assert_resets_are_bounded(*state, WINDOW_UPDATE, 0);
}

static void a_burst_of_resets_is_tolerated(void **state)
{
    fixture_start(*state);
    int fd = open_http2(*state, BODY);
    reset_streams(fd, 1, FB_H2_RESETS_BURST - 1, RST_STREAM, CANCEL);
    assert_answered(fd, 2 * FB_H2_RESETS_BURST + 1);
}

/* Cause: expect_default prints each frame that it does not know. */
static void an_unknown_frame_is_skipped_in_silence(void **state)
{
    fixture_start(*state);
    FILE *printed = tmpfile();
    int saved = dup(STDERR_FILENO), fd = open_http2(*state, BODY);
    dup2(fileno(printed), STDERR_FILENO);
    wire_send(fd, EXTENSION, 0, 0, "a priority update", 17);
    wire_send(fd, 0xff, 0xff, 7, NULL, 0);
    wire_request(fd, 1, "/");
    wire_frame_t frame;
    int answered = wire_await(fd, &frame, HEADERS, 1);
    dup2(saved, STDERR_FILENO);
    assert_true(answered);
    assert_int_equal(lseek(fileno(printed), 0, SEEK_END), 0);
    fclose(printed);
    close(saved);
}

/* Cause: a connection that waits for its last write before it closes goes on to read, and keeps all
 * that comes. */
static void a_closing_connection_reads_no_more(void **state)
{
    enum { MUCH = 32 << 20 };
    static char bytes[1 << 20];
    wire_frame_t frame;
    int fd = open_narrow(*state, 1 << 20);
    wire_send_u32(fd, WINDOW_UPDATE, 0, 1 << 20);
    wire_request(fd, 1, "/bytes/1000000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send(fd, PING, 0, 1, "12345678", 8); /* of a stream: an error of the connection */
    size_t taken = 0, last;
    do {
        last = wire_write_some(fd, bytes, sizeof(bytes), 300);
        taken += last;
    } while (last == sizeof(bytes) && taken < MUCH);
    assert_in_range(taken, 0, MUCH / 2);
}

/* Cause: the library stops to read from a client that does not take 512 kB of answers, but answers
 * first all that it has read, which can be many times that. */
static void answers_that_nobody_reads_close_the_connection(void **state)
{
    enum { PINGS = 60000, PING_BYTES = 17 };
    static uint8_t bytes[PINGS * PING_BYTES];
    fb_h2_guard_stats_t before, after;
    size_t len = 0;
    int fd = open_narrow(*state, BODY);
    fb_h2_guard_stats(&before);
    while (len < sizeof(bytes))
        len += wire_put(bytes + len, PING, 0, 0, "12345678", 8);
    wire_write_some(fd, bytes, sizeof(bytes), 300);
    assert_true(wire_await_close(fd, 1000));
    fb_h2_guard_stats(&after);
    assert_int_equal(after.closed_unread, before.closed_unread + 1);
}

static size_t put_fields(uint8_t *at, unsigned count)
{
    size_t len = wire_put_block(at, "GET", "/");
    memset(at + len, 0x90, count - 3); /* the static table's accept-encoding */
    return len + count - 3;
}

/* Cause: h2o_hpack_parse_headers has no bound but the block's: 400 kB of references to the table
 * become 53 MB of request, on each of 100 streams. */
static void a_request_of_too_many_fields_closes_the_connection(void **state)
{
    uint8_t block[FB_H2_FIELDS_MAX + 16];
    fixture_start(*state);
    int fd = open_http2(*state, BODY);
    size_t len = put_fields(block, FB_H2_FIELDS_MAX);
    wire_frame_t frame;
    wire_send(fd, HEADERS, END_STREAM | END_HEADERS, 1, block, len);
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    len = put_fields(block, FB_H2_FIELDS_MAX + 1);
    wire_send(fd, HEADERS, END_STREAM | END_HEADERS, 3, block, len);
    assert_closed_for(fd, ENHANCE_YOUR_CALM);
}

/* A literal field `x` whose value has `len` bytes, of which `after` and the rest follow. */
static size_t put_long_field(uint8_t *at, size_t len)
{
    uint8_t head[] = {0x00,
                      1,
                      'x',
                      0x7f,
                      (uint8_t)((len - 127) | 128),
                      (uint8_t)((len - 127) >> 7 | 128),
                      (uint8_t)((len - 127) >> 14)};
    memcpy(at, head, sizeof(head));
    return sizeof(head);
}

static void send_long_request(int fd, uint32_t stream, size_t value_bytes)
{
    uint8_t block[256], fill[8192];
    memset(fill, 'v', sizeof(fill));
    size_t len = wire_put_block(block, "GET", "/");
    len += put_long_field(block + len, value_bytes);
    wire_send(fd, HEADERS, END_STREAM, stream, block, len);
    for (size_t n; value_bytes != 0; value_bytes -= n) {
        n = value_bytes < sizeof(fill) ? value_bytes : sizeof(fill);
        wire_send(fd, CONTINUATION, n == value_bytes ? END_HEADERS : 0, stream, fill, n);
    }
}

/* Cause: the same; the library takes 417,792 bytes of header fields. */
static void a_request_of_too_long_fields_closes_the_connection(void **state)
{
    wire_frame_t frame;
    fixture_start(*state);
    int fd = open_http2(*state, BODY);
    send_long_request(fd, 1, 60 * 1024);
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    send_long_request(fd, 3, 64 * 1024);
    assert_closed_for(fd, ENHANCE_YOUR_CALM);
}

/* Cause: the decoder of cache-digest makes 85 bytes of each that it is sent, for a push of which
 * this server has none. */
static void cache_digests_are_not_decoded(void **state)
{
    static const char field[] = "\x00\x0c"
                                "cache-digest"
                                "\x04"
                                "AfdA";
    uint8_t block[64];
    wire_frame_t frame;
    fixture_start(*state);
    int fd = open_http2(*state, BODY);
    size_t len = wire_put_block(block, "GET", "/");
    memcpy(block + len, field, sizeof(field) - 1);
    wire_send(fd, HEADERS, END_STREAM | END_HEADERS, 1, block, len + sizeof(field) - 1);
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    assert_int_equal(atomic_load(&digests_loaded), 0);
}

/* Cause: expect_continuation_of_headers takes the stream from the CONTINUATION. A second stream
 * ends with the first one's fields, and its body can be freed before it is used. */
static void a_continuation_of_another_stream_closes_the_connection(void **state)
{
    fixture_t *fixture = *state;
    uint8_t block[160];
    fixture_start(fixture);
    int fd = open_http2(fixture, BODY);
    size_t len = wire_put_block(block, "POST", "/");
    wire_send(fd, HEADERS, END_HEADERS, 1, block, len);
    wire_send(fd, HEADERS, 0, 3, "\x00\x01x\x01", 4);
    wire_send(fd, CONTINUATION, END_HEADERS, 1, "y", 1);
    assert_closed_for(fd, PROTOCOL_ERROR);
    assert_int_equal(atomic_load(&fixture->requests), 0);
}

/* Cause: max_request_entity_size bounds the body of a stream, of which there are 100. */
static void the_bodies_of_a_connection_are_bounded_together(void **state)
{
    fixture_t *fixture = *state;
    uint8_t block[160], body[15000] = {0};
    wire_frame_t frame;
    uint32_t last = 2 * FB_H2_BODIES_MAX + 1;
    fixture->config.max_request_entity_size = 64 * 1024;
    fixture_start(fixture);
    int fd = open_http2(fixture, BODY);
    size_t len = wire_put_block(block, "POST", "/");
    for (uint32_t stream = 1; stream <= last; stream += 2) {
        wire_send(fd, HEADERS, END_HEADERS, stream, block, len);
        for (int i = 0; i < 4; i++)
            wire_send(fd, DATA, 0, stream, body, sizeof(body));
    }
    assert_true(wire_await(fd, &frame, RST_STREAM, last));
    assert_int_equal(wire_u32(frame.payload), REFUSED_STREAM);
    wire_send(fd, DATA, END_STREAM, 1, body, 1);
    assert_true(wire_await(fd, &frame, DATA, 1));
    assert_memory_equal(frame.payload, "60001 ", 6);
}

/* Cause: handle_data_frame refuses a body that is too long with REFUSED_STREAM, upon which clients
 * try again; and it resets a stream that was answered before its body came. */
static void a_body_declared_too_long_is_answered_at_once(void **state)
{
    fixture_t *fixture = *state;
    uint8_t both[160 + 9 + 5000], block[160], body[5000] = {0};
    wire_frame_t frame;
    fixture->config.max_request_entity_size = 1000;
    fixture_start(fixture);
    int fd = open_http2(fixture, BODY);
    size_t len = wire_put_block(block, "POST", "/");
    memcpy(block + len,
           "\x0f\x0d\x04"
           "5000",
           7); /* content-length */
    len = wire_put(both, HEADERS, END_HEADERS, 1, block, len + 7);
    len += wire_put(both + len, DATA, END_STREAM, 1, body, sizeof(body));
    wire_write(fd, both, len);
    assert_true(wire_await(fd, &frame, WINDOW_UPDATE, 0));
    assert_int_equal(wire_u32(frame.payload), sizeof(body));
    assert_true(wire_await(fd, &frame, DATA, 1));
    assert_memory_equal(frame.payload, FB_H2_TOO_LARGE, frame.length);
    assert_true((frame.flags & END_STREAM) != 0);
    assert_int_equal(atomic_load(&fixture->requests), 0);
    assert_answered(fd, 3);
}

static const char upgrade[] = "GET /bytes/20 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, "
                              "HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAQAAP__\r\n"
                              "\r\n";

static void assert_status_line(int fd, const char *expected)
{
    char answer[13] = {0};
    assert_true(wire_read_all(fd, answer, 12, WIRE_WAIT_MS));
    assert_string_equal(answer, expected);
}

static void read_to_the_end_of_the_head(int fd)
{
    for (uint32_t last = 0; last != 0x0d0a0d0a;) {
        uint8_t byte;
        assert_true(wire_read_all(fd, &byte, 1, WIRE_WAIT_MS));
        last = last << 8 | byte;
    }
}

static void an_upgrade_leads_to_http2_and_its_guard(void **state)
{
    fb_h2_guard_stats_t before, after;
    fb_h2_guard_stats(&before);
    fixture_start(*state);
    int fd = wire_connect(((fixture_t *)*state)->port, 0, 0);
    wire_write(fd, upgrade, sizeof(upgrade) - 1);
    assert_status_line(fd, "HTTP/1.1 101");
    read_to_the_end_of_the_head(fd);
    wire_start_http2(fd, 65535);
    assert_int_equal(wire_await_body(fd, 1), 20);
    /* A frame that only the guard counts. */
    wire_send(fd, 0x77, 0, 0, "x", 1);
    assert_answered(fd, 3);
    fb_h2_guard_stats(&after);
    assert_int_equal(after.skipped_frames, before.skipped_frames + 1);
}

/* Cause: between an upgrade and its 101 a connection has no socket, which a graceful shutdown
 * uses. */
static void an_upgrade_during_a_shutdown_is_answered_in_http1(void **state)
{
    fixture_start(*state);
    int fd = wire_connect(((fixture_t *)*state)->port, 0, 0);
    wire_write(fd, upgrade, 20);
    fixture_call(*state, shut_down);
    wire_write(fd, upgrade + 20, sizeof(upgrade) - 1 - 20);
    assert_status_line(fd, "HTTP/1.1 200");
}

static void a_hundred_streams_at_once_are_answered(void **state)
{
    fixture_start(*state);
    int fd = open_http2(*state, BODY);
    wire_send_u32(fd, WINDOW_UPDATE, 0, 1 << 24);
    for (uint32_t stream = 1; stream < 200; stream += 2)
        wire_request(fd, stream, "/bytes/60000");
    wire_frame_t frame;
    size_t bytes = 0;
    for (unsigned ended = 0; ended < 100;) {
        assert_true(wire_read(fd, &frame, WIRE_WAIT_MS));
        bytes += frame.type == DATA ? frame.length : 0;
        ended += frame.type == DATA && (frame.flags & END_STREAM) != 0;
    }
    assert_int_equal(bytes, 100 * BODY);
    assert_answered(fd, 201);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* One of the last streams, or now and then one that does not exist yet or that is no client's. */
static uint32_t some_stream(chance_t *chance, uint32_t next)
{
    uint32_t back = 2 * (1 + chance_below(chance, 8));
    if (chance_below(chance, 40) == 0)
        return chance_below(chance, 4) + next;
    return next > back ? next - back : 1;
}

static size_t put_random_headers(uint8_t *at, chance_t *chance, uint32_t *next)
{
    static const char *const paths[] = {
        "/bytes/60000",  "/bytes/0",  "/bytes/16384", "/bytes/200000",
        "/stream/60000", "/stream/1", "/hold",        "/"};
    uint8_t block[160], flags = chance_below(chance, 16) == 0 ? 0 : END_HEADERS;
    uint32_t kind = chance_below(chance, 8), stream = *next;
    if (kind == 0) /* trailers */
        return wire_put(at, HEADERS, END_STREAM | END_HEADERS, some_stream(chance, *next),
                        "\x00\x01x\x01y", 5);
    size_t len = wire_put_block(block, kind == 1 ? "POST" : "GET", paths[chance_below(chance, 8)]);
    *next += 2;
    flags |= kind == 1 ? 0 : END_STREAM;
    size_t put = wire_put(at, HEADERS, flags, stream, block, len);
    if ((flags & END_HEADERS) == 0)
        put += wire_put(at + put, CONTINUATION, END_HEADERS, stream, "\x90", 1);
    return put;
}

static size_t put_random_frame(uint8_t *at, chance_t *chance, uint32_t *next)
{
    static const uint32_t windows[] = {0, 1, 16384, BODY - 1, BODY, BODY + 1, 65535, INT32_MAX};
    uint8_t payload[64] = {0, 4};
    uint32_t stream = some_stream(chance, *next);
    switch (chance_below(chance, 11)) {
    case 0:
        put_u32(payload + 2, windows[chance_below(chance, 8)]);
        return wire_put(at, SETTINGS, 0, 0, payload, 6);
    case 1:
        put_u32(payload, 1 + chance_below(chance, 70000));
        return wire_put(at, WINDOW_UPDATE, 0, stream, payload, 4);
    case 2:
        put_u32(payload, chance_below(chance, 20) == 0 ? 0 : 1 << 16);
        return wire_put(at, WINDOW_UPDATE, 0, 0, payload, 4);
    case 3:
        put_u32(payload, CANCEL);
        return wire_put(at, RST_STREAM, 0, stream, payload, 4);
    case 4:
        put_u32(payload, some_stream(chance, *next) | chance_below(chance, 2) << 31);
        return wire_put(at, PRIORITY, 0, stream, payload, 5);
    case 5:
        return wire_put(at, DATA, chance_below(chance, 2) ? END_STREAM : 0, stream, payload,
                        chance_below(chance, sizeof(payload)));
    case 6:
        return wire_put(at, PING, 0, 0, payload, 8);
    case 7:
        return wire_put(at, (uint8_t)(EXTENSION + chance_below(chance, 9)), 0, stream, payload, 3);
    default:
        return put_random_headers(at, chance, next);
    }
}

/* Frames that are each well-formed, in an order that makes no sense, from a client that seldom
 * reads. Finds both of the aborts above. */
static void random_frames_neither_end_nor_hang_the_server(void **state)
{
    enum { CONNECTIONS = 2000, TURNS = 40, OPEN = 16 };
    fixture_t *fixture = *state;
    chance_t chance = chance_init();
    uint8_t bytes[8 * 256];
    fixture->config.http2.max_concurrent_requests_per_connection =
        1 + chance_below(&chance, 4) * 33;
    fixture->config.max_request_entity_size = 1000;
    fixture->send_bytes = SMALL_BUFFER;
    fixture_start(fixture);
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = wire_connect(fixture->port, SMALL_BUFFER, 1000);
        uint32_t next = 1;
        wire_start_http2(fd, BODY);
        for (int turn = 0; turn < TURNS; turn++) {
            size_t len = 0;
            for (uint32_t frames = chance_below(&chance, 8); frames > 0; frames--)
                len += put_random_frame(bytes + len, &chance, &next);
            if (wire_write_some(fd, bytes, len, 5) < len)
                break;
            if (chance_below(&chance, 6) == 0)
                recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        }
        if (i % OPEN == OPEN - 1)
            wire_close_all();
    }
    assert_answered(open_http2(fixture, BODY), 1);
    fixture_call(fixture, shut_down);
    fixture_call(fixture, nothing);
}

#define ATTACK(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_calls_the_guard),
        ATTACK(a_window_that_opens_during_the_last_write_does_not_abort),
        ATTACK(settings_that_open_windows_during_the_last_write_do_not_abort),
        ATTACK(a_window_that_opens_after_a_reset_does_not_abort),
        ATTACK(requests_that_wait_for_a_last_write_do_not_abort),
        ATTACK(a_continuation_after_goaway_does_not_hang_the_loop),
        ATTACK(an_answer_is_whole_although_the_server_shuts_down),
        ATTACK(rapid_resets_close_the_connection),
        ATTACK(resets_that_the_server_is_made_to_do_close_the_connection),
        ATTACK(a_burst_of_resets_is_tolerated),
        ATTACK(an_unknown_frame_is_skipped_in_silence),
        ATTACK(a_closing_connection_reads_no_more),
        ATTACK(answers_that_nobody_reads_close_the_connection),
        ATTACK(a_request_of_too_many_fields_closes_the_connection),
        ATTACK(a_request_of_too_long_fields_closes_the_connection),
        ATTACK(cache_digests_are_not_decoded),
        ATTACK(a_continuation_of_another_stream_closes_the_connection),
        ATTACK(the_bodies_of_a_connection_are_bounded_together),
        ATTACK(a_body_declared_too_long_is_answered_at_once),
        ATTACK(an_upgrade_leads_to_http2_and_its_guard),
        ATTACK(an_upgrade_during_a_shutdown_is_answered_in_http1),
        ATTACK(a_hundred_streams_at_once_are_answered),
        ATTACK(random_frames_neither_end_nor_hang_the_server),
    };
    cmocka_set_test_filter(getenv("FB_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
