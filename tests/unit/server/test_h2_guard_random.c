/* SPDX-License-Identifier: MIT */
#include "tests/unit/server/h2o_fixture.h"

#include "server/h2_guard.h"
#include "server/library.h"
#include "tests/unit/random.h"

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
    static const uint32_t windows[] = {
        0, 1, 16384, FIXTURE_BODY - 1, FIXTURE_BODY, FIXTURE_BODY + 1, 65535, INT32_MAX};
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
 * reads. Without server/h2_guard.c this ends the process within a second. */
static void random_frames_neither_end_nor_hang_the_server(void **state)
{
    enum { CONNECTIONS = 2000, TURNS = 40, OPEN = 16 };
    fixture_t *fixture = *state;
    chance_t chance = chance_init();
    uint8_t bytes[8 * 256];
    fixture->config.http2.max_concurrent_requests_per_connection =
        1 + chance_below(&chance, 4) * 33;
    fixture->config.max_request_entity_size = 1000;
    fixture->send_bytes = FIXTURE_SMALL_BUFFER;
    fixture_start(fixture);
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = wire_connect(fixture->port, FIXTURE_SMALL_BUFFER, 1000);
        uint32_t next = 1;
        wire_start_http2(fd, FIXTURE_BODY);
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
    wire_frame_t frame;
    int fd = wire_connect(fixture->port, 0, 0);
    wire_start_http2(fd, FIXTURE_BODY);
    wire_request(fd, 1, "/");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
}

int main(void)
{
    fb_error_t error = {0};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_frames_neither_end_nor_hang_the_server,
                                        fixture_setup, fixture_teardown),
    };
    if (fb_library_check(&error) != FB_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
