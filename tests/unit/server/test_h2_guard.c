/* SPDX-License-Identifier: MIT */

/* Each test attacks a real server with raw frames. Without server/h2_guard.c every one of them
 * fails, most by ending or hanging the process. */

#include "tests/unit/server/h2o_fixture.h"

#include <h2o/cache_digests.h>

#include "server/h2_guard.h"
#include "server/library.h"

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
    assert_int_equal(fb_library_check(&error), FB_OK);
}

/* Cause: update_stream_output_window asserts that a stream whose window becomes positive is not
 * being written, which one in its last state is. */
static void a_window_that_opens_during_the_last_write_does_not_abort(void **state)
{
    wire_frame_t frame;
    int fd = fixture_open_narrow(*state, FIXTURE_BODY);
    wire_request(fd, 1, "/bytes/60000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send_u32(fd, WINDOW_UPDATE, 1, 1);
    assert_int_equal(wire_await_body(fd, 1), FIXTURE_BODY);
    wire_assert_answered(fd, 3);
}

/* Cause: the same, by way of the initial window, which changes those of all streams. */
static void settings_that_open_windows_during_the_last_write_do_not_abort(void **state)
{
    wire_frame_t frame;
    int fd = fixture_open_narrow(*state, FIXTURE_BODY);
    wire_request(fd, 1, "/bytes/60000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send_window(fd, FIXTURE_BODY - 1);
    wire_send_window(fd, INT32_MAX);
    wire_send_window(fd, 0);
    wire_send_window(fd, INT32_MAX);
    assert_int_equal(wire_await_body(fd, 1), FIXTURE_BODY);
    wire_assert_answered(fd, 3);
}

/* Cause: the same; a stream that is reset during a write also lives on in its last state. */
static void a_window_that_opens_after_a_reset_does_not_abort(void **state)
{
    wire_frame_t frame;
    int fd = fixture_open_narrow(*state, FIXTURE_BODY);
    wire_request(fd, 1, "/stream/60000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send_u32(fd, RST_STREAM, 1, CANCEL);
    wire_send_window(fd, FIXTURE_BODY + 1);
    wire_assert_answered(fd, 3);
}

/* Cause: update_idle_timeout asserts that nothing waits when nothing runs, but a stream in its last
 * state has stopped to count as running, and does not start what waits before it is written. */
static void requests_that_wait_for_a_last_write_do_not_abort(void **state)
{
    wire_frame_t frame;
    uint8_t block[160], both[320];
    size_t len;
    ((fixture_t *)*state)->config.http2.max_concurrent_requests_per_connection = 1;
    int fd = fixture_open_narrow(*state, FIXTURE_BODY);
    len = wire_put(both, HEADERS, END_STREAM | END_HEADERS, 1, block,
                   wire_put_block(block, "GET", "/bytes/60000"));
    len += wire_put(both + len, HEADERS, END_STREAM | END_HEADERS, 3, block,
                    wire_put_block(block, "GET", "/"));
    wire_write(fd, both, len);
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    wire_send(fd, PING, 0, 0, "12345678", 8);
    assert_int_equal(wire_await_body(fd, 1), FIXTURE_BODY);
    assert_true(wire_await(fd, &frame, HEADERS, 3));
    wire_assert_answered(fd, 5);
}

static sem_t request_has_come, client_is_gone;

static void answer_nobody(fixture_t *fixture, h2o_req_t *req)
{
    (void)fixture;
    sem_post(&request_has_come);
    while (sem_wait(&client_is_gone) != 0)
        continue;
    fixture_answer(req, 20, H2O_SEND_STATE_FINAL, NULL);
}

/* Cause: a write that fails closes the streams of a connection that still counts as open, and each
 * one that goes begins a request that waits for it. */
static void requests_that_wait_for_a_write_that_fails_do_not_abort(void **state)
{
    fixture_t *fixture = *state;
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC}; /* to be connected to it is a reset */
    uint8_t block[160], both[320];
    assert_int_equal(sem_init(&request_has_come, 0, 0), 0);
    assert_int_equal(sem_init(&client_is_gone, 0, 0), 0);
    fixture->on_hold = answer_nobody;
    fixture->config.http2.max_concurrent_requests_per_connection = 1;
    fixture_start(fixture);
    int fd = open_http2(fixture, FIXTURE_BODY);
    size_t len = wire_put(both, HEADERS, END_STREAM | END_HEADERS, 1, block,
                          wire_put_block(block, "GET", "/hold"));
    len += wire_put(both + len, HEADERS, END_STREAM | END_HEADERS, 3, block,
                    wire_put_block(block, "GET", "/"));
    wire_write(fd, both, len);
    while (sem_wait(&request_has_come) != 0)
        continue;
    assert_int_equal(connect(fd, &nobody, sizeof(nobody)), 0);
    sem_post(&client_is_gone);
    wire_assert_answered(open_http2(fixture, FIXTURE_BODY), 1);
    sem_destroy(&request_has_come);
    sem_destroy(&client_is_gone);
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
    int fd = open_http2(fixture, FIXTURE_BODY);
    wire_request(fd, 1, "/hold");
    size_t len = wire_put_block(block, "GET", "/");
    wire_send(fd, HEADERS, END_STREAM, 3, block, len - 1);
    wire_assert_answered(open_http2(fixture, FIXTURE_BODY), 1);
    fixture_call(fixture, fixture_shut_down);
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
    int fd = fixture_open_narrow(fixture, 1 << 20);
    wire_send_u32(fd, WINDOW_UPDATE, 0, 1 << 20);
    wire_request(fd, 1, "/bytes/200000");
    assert_true(wire_await(fd, &frame, HEADERS, 1));
    fixture_call(fixture, fixture_shut_down);
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
    int fd = open_http2(fixture, FIXTURE_BODY);
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
    int fd = open_http2(*state, FIXTURE_BODY);
    reset_streams(fd, 1, FB_H2_RESETS_BURST - 1, RST_STREAM, CANCEL);
    wire_assert_answered(fd, 2 * FB_H2_RESETS_BURST + 1);
}

/* Cause: expect_default prints each frame that it does not know. */
static void an_unknown_frame_is_skipped_in_silence(void **state)
{
    fixture_start(*state);
    FILE *printed = tmpfile();
    int saved = dup(STDERR_FILENO), fd = open_http2(*state, FIXTURE_BODY);
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
    int fd = fixture_open_narrow(*state, 1 << 20);
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
    int fd = fixture_open_narrow(*state, FIXTURE_BODY);
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
    int fd = open_http2(*state, FIXTURE_BODY);
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
    int fd = open_http2(*state, FIXTURE_BODY);
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
    int fd = open_http2(*state, FIXTURE_BODY);
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
    int fd = open_http2(fixture, FIXTURE_BODY);
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
    int fd = open_http2(fixture, FIXTURE_BODY);
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
    int fd = open_http2(fixture, FIXTURE_BODY);
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
    wire_assert_answered(fd, 3);
}

static void a_hundred_streams_at_once_are_answered(void **state)
{
    fixture_start(*state);
    int fd = open_http2(*state, FIXTURE_BODY);
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
    assert_int_equal(bytes, 100 * FIXTURE_BODY);
    wire_assert_answered(fd, 201);
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
        ATTACK(requests_that_wait_for_a_write_that_fails_do_not_abort),
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
        ATTACK(a_hundred_streams_at_once_are_answered),
    };
    cmocka_set_test_filter(getenv("FB_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
