/* SPDX-License-Identifier: MIT */
#include "tests/unit/server/h2o_fixture.h"

#include "base/clock.h"
#include "server/sweep.h"

#define STALL_MS     300
#define REQUEST_MS   300
#define LONG_MS      (3 * STALL_MS)
#define RATE         10000 /* bytes a second: 3,000 in a span */
#define WRITES       3
#define SMALL_BUFFER 4096

static fb_conns_t conns;
static atomic_uint closes;
static fb_conn_t *asked; /* the connection of the last request for /hold */

static void on_closed(void *data)
{
    assert_ptr_equal(data, &conns);
    atomic_fetch_add(&closes, 1);
}

static void on_accept(fixture_t *fixture, h2o_socket_t *sock)
{
    (void)fixture;
    fb_conns_add(&conns, sock);
}

static void on_turn(fixture_t *fixture)
{
    (void)fixture;
    fb_conns_sweep(&conns, fb_clock_monotonic_ms());
}

static void on_hold(fixture_t *fixture, h2o_req_t *req)
{
    (void)fixture;
    asked = fb_conn_of(req);
}

static int start(void **state)
{
    fb_conns_limits_t limits = {STALL_MS, RATE, REQUEST_MS, WRITES};
    fb_conns_init(&conns, &limits, on_closed, &conns);
    atomic_store(&closes, 0);
    fixture_setup(state);
    fixture_t *fixture = *state;
    fixture->on_accept = on_accept;
    fixture->on_turn = on_turn;
    fixture->on_hold = on_hold;
    fixture->send_bytes = SMALL_BUFFER;
    fixture_start(fixture);
    return 0;
}

static int stop(void **state)
{
    int failed = fixture_teardown(state);
    if (failed == 0)
        fb_conns_dispose(&conns);
    return failed;
}

static fb_conns_counts_t counts(void)
{
    fb_conns_counts_t now;
    fb_conns_counts(&conns, &now);
    return now;
}

static int open_http1(void **state, const char *bytes)
{
    int fd = wire_connect(((fixture_t *)*state)->port, SMALL_BUFFER, 0);
    wire_write(fd, bytes, strlen(bytes));
    return fd;
}

static int open_http2(void **state)
{
    int fd = wire_connect(((fixture_t *)*state)->port, SMALL_BUFFER, 0);
    wire_start_http2(fd, 1 << 20);
    wire_send_u32(fd, WINDOW_UPDATE, 0, 1 << 20);
    return fd;
}

/* Reads the head of an answer in HTTP/1, and a body of `len` bytes. */
static void read_answer(int fd, size_t len)
{
    char head[1024], body[256];
    size_t n = 0;
    do {
        assert_true(n < sizeof(head) - 1 && wire_read_all(fd, head + n, 1, WIRE_WAIT_MS));
        head[++n] = '\0';
    } while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0);
    assert_memory_equal(head, "HTTP/1.1 200", 12);
    assert_true(len <= sizeof(body) && wire_read_all(fd, body, len, WIRE_WAIT_MS));
}

/* What is sent is neither read nor closed for longer than any limit. */
static void assert_left_alone(void)
{
    usleep(LONG_MS * 1000);
    assert_int_equal(atomic_load(&closes), 0);
    assert_int_equal(counts().slow_readers + counts().slow_requests, 0);
}

static void assert_reader_is_closed(int fd)
{
    assert_true(wire_await_close(fd, WIRE_WAIT_MS));
    assert_int_equal(counts().slow_readers, 1);
    assert_int_equal(counts().slow_requests, 0);
}

static void assert_request_is_closed(int fd)
{
    assert_true(wire_await_close(fd, WIRE_WAIT_MS));
    assert_int_equal(counts().slow_readers, 0);
    assert_int_equal(counts().slow_requests, 1);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void an_idle_connection_is_left_alone(void **state)
{
    wire_frame_t frame;
    int one = open_http1(state, GET("/bytes/1")), two = open_http2(state),
        silent = open_http1(state, "");
    read_answer(one, 1);
    wire_request(two, 1, "/");
    assert_int_equal(wire_await_body(two, 1), 2);
    assert_left_alone();
    wire_write(one, GET("/bytes/1"), strlen(GET("/bytes/1")));
    read_answer(one, 1);
    wire_request(two, 3, "/");
    assert_true(wire_await(two, &frame, HEADERS, 3));
    wire_write(silent, GET("/bytes/1"), strlen(GET("/bytes/1")));
    read_answer(silent, 1);
}

static void a_request_that_waits_for_its_answer_is_left_alone(void **state)
{
    open_http1(state, GET("/hold"));
    wire_request(open_http2(state), 1, "/hold");
    assert_left_alone();
    assert_int_equal(counts().open, 2);
}

static void an_event_stream_that_is_read_is_left_alone(void **state)
{
    wire_frame_t frame;
    int one = open_http1(state, GET("/stream/10")), two = open_http2(state);
    wire_request(two, 1, "/stream/10");
    read_answer(one, 10);
    assert_true(wire_await(two, &frame, DATA, 1));
    assert_left_alone();
    assert_int_equal(counts().open, 2);
}

static void a_reader_that_takes_nothing_is_closed(void **state)
{
    int fd = open_http1(state, GET("/bytes/4000000"));
    usleep(LONG_MS * 1000);
    assert_reader_is_closed(fd);
}

static void a_reader_that_takes_nothing_is_closed_in_http2_too(void **state)
{
    int fd = open_http2(state);
    wire_request(fd, 1, "/bytes/1000000");
    usleep(LONG_MS * 1000);
    assert_reader_is_closed(fd);
}

/* Reads `bytes` every 20 ms, until the server closes. */
static void read_in_steps(int fd, size_t bytes, unsigned for_ms)
{
    char into[4096];
    for (unsigned ms = 0; ms < for_ms && atomic_load(&closes) == 0; ms += 20) {
        usleep(20000);
        assert_true(wire_read_all(fd, into, bytes, WIRE_WAIT_MS));
    }
}

static void a_reader_that_takes_a_trickle_is_closed(void **state)
{
    /* Small segments, or the kernel of the client acknowledges too seldom to be a trickle. */
    int fd = wire_connect(((fixture_t *)*state)->port, SMALL_BUFFER, 400);
    wire_write(fd, GET("/bytes/4000000"), strlen(GET("/bytes/4000000")));
    read_in_steps(fd, 100, 4 * LONG_MS);
    assert_reader_is_closed(fd);
}

static void a_reader_that_is_just_fast_enough_is_left_alone(void **state)
{
    int fd = open_http1(state, GET("/bytes/4000000"));
    read_in_steps(fd, 4000, LONG_MS);
    assert_int_equal(atomic_load(&closes), 0);
}

static void a_head_that_comes_too_slowly_is_closed(void **state)
{
    int fd = open_http1(state, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 100 && wire_write_some(fd, "a", 1, 0) == 1; i++)
        usleep(20000);
    assert_request_is_closed(fd);
}

static void a_body_that_comes_too_slowly_is_closed(void **state)
{
    int fd = open_http1(state, "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
    for (int i = 0; i < 100 && wire_write_some(fd, "a", 1, 0) == 1; i++)
        usleep(20000);
    assert_request_is_closed(fd);
}

static void chunks_that_come_too_slowly_are_closed(void **state)
{
    int fd = open_http1(state, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 100 && wire_write_some(fd, "1\r\na\r\n", 6, 0) == 6; i++)
        usleep(20000);
    assert_request_is_closed(fd);
}

static void a_connection_whose_requests_always_overlap_is_left_alone(void **state)
{
    int fd = open_http1(state, "GET /bytes/1 HTTP/1.1\r\n");
    for (int i = 0; i < LONG_MS / 20; i++) {
        static const char next[] = "\r\nGET /bytes/1 HTTP/1.1\r\n";
        wire_write(fd, next, sizeof(next) - 1);
        read_answer(fd, 1);
        usleep(20000);
    }
    assert_int_equal(atomic_load(&closes), 0);
}

static void part_of_a_frame_is_not_waited_for(void **state)
{
    int fd = open_http2(state);
    wire_write(fd, "\0\0\10\6", 4);
    assert_request_is_closed(fd);
}

static void part_of_the_preface_is_not_waited_for(void **state)
{
    assert_request_is_closed(open_http1(state, "PRI * HTTP/2.0\r\n"));
}

static void a_slow_body_of_a_stream_resets_the_stream_alone(void **state)
{
    wire_frame_t frame;
    uint8_t block[160];
    int fd = open_http2(state);
    wire_send(fd, HEADERS, END_HEADERS, 1, block, wire_put_block(block, "POST", "/"));
    wire_request(fd, 3, "/hold");
    wire_send(fd, DATA, 0, 1, "a", 1);
    assert_true(wire_await(fd, &frame, RST_STREAM, 1));
    assert_int_equal(wire_u32(frame.payload), CANCEL);
    wire_request(fd, 5, "/");
    assert_true(wire_await(fd, &frame, HEADERS, 5));
    assert_int_equal(counts().slow_requests, 1);
    assert_int_equal(atomic_load(&closes), 0);
}

static void a_window_that_stays_shut_resets_the_stream_alone(void **state)
{
    wire_frame_t frame;
    int fd = open_http2(state);
    wire_send_window(fd, 1000);
    wire_request(fd, 1, "/bytes/5000");
    wire_request(fd, 3, "/bytes/1000");
    assert_true(wire_await(fd, &frame, RST_STREAM, 1));
    assert_int_equal(wire_u32(frame.payload), CANCEL);
    wire_request(fd, 5, "/bytes/1000");
    assert_int_equal(wire_await_body(fd, 5), 1000);
    assert_int_equal(counts().slow_readers, 1);
    assert_int_equal(atomic_load(&closes), 0);
}

static void a_window_that_opens_in_time_is_left_alone(void **state)
{
    wire_frame_t frame;
    int fd = open_http2(state);
    wire_send_window(fd, 200);
    wire_request(fd, 1, "/bytes/100000");
    for (int i = 0; i < LONG_MS / 20; i++) {
        wire_send_u32(fd, WINDOW_UPDATE, 1, 1000);
        assert_true(wire_await(fd, &frame, DATA, 1));
        usleep(20000);
    }
    assert_int_equal(counts().slow_readers, 0);
}

static void a_window_that_opens_in_a_trickle_resets_the_stream(void **state)
{
    wire_frame_t frame;
    int fd = open_http2(state);
    wire_send_window(fd, 10);
    wire_request(fd, 1, "/bytes/100000");
    frame.type = DATA;
    for (int i = 0; i < 4 * LONG_MS / 20 && frame.type != RST_STREAM; i++) {
        wire_send_u32(fd, WINDOW_UPDATE, 1, 10);
        assert_true(wire_read(fd, &frame, WIRE_WAIT_MS));
        usleep(20000);
    }
    assert_int_equal(counts().slow_readers, 1);
}

/* Far below the rate, but each time all that there is to take. */
static void an_event_stream_that_waits_for_windows_is_left_alone(void **state)
{
    wire_frame_t frame;
    int fd = open_http2(state);
    wire_send_window(fd, 20);
    wire_request(fd, 1, "/events");
    for (int i = 0; i < LONG_MS / 50; i++) {
        assert_true(wire_await(fd, &frame, DATA, 1));
        usleep(50000);
        wire_send_u32(fd, WINDOW_UPDATE, 1, 20);
    }
    assert_int_equal(counts().slow_readers, 0);
}

static void await_closes(unsigned count)
{
    for (int i = 0; i < WIRE_WAIT_MS / 5 && atomic_load(&closes) != count; i++)
        usleep(5000);
    assert_int_equal(atomic_load(&closes), count);
}

static void closes_are_counted_and_told(void **state)
{
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = open_http1(state, GET("/bytes/1"));
        read_answer(fds[i], 1);
    }
    assert_int_equal(fb_conns_open(&conns), 5);
    shutdown(fds[1], SHUT_RDWR);
    shutdown(fds[4], SHUT_RDWR);
    await_closes(2);
    assert_int_equal(counts().open, 3);
}

static void shut_all(fixture_t *fixture)
{
    (void)fixture;
    fb_conns_shut_all(&conns);
}

static void all_can_be_shut(void **state)
{
    int one = open_http1(state, GET("/bytes/1")), two = open_http2(state);
    read_answer(one, 1);
    wire_request(two, 1, "/hold");
    wire_request(two, 3, "/");
    assert_int_equal(wire_await_body(two, 3), 2);
    fixture_call(*state, shut_all);
    assert_true(wire_await_close(one, WIRE_WAIT_MS));
    assert_true(wire_await_close(two, WIRE_WAIT_MS));
    await_closes(2);
}

static _Atomic uint64_t looked_ms; /* the time as close_idle is told it */

static void close_idle(fixture_t *fixture)
{
    (void)fixture;
    fb_conns_close_idle(&conns, atomic_load(&looked_ms));
}

static void close_idle_at(fixture_t *fixture, uint64_t now_ms)
{
    atomic_store(&looked_ms, now_ms);
    fixture_call(fixture, close_idle);
}

static void what_is_idle_can_be_closed(void **state)
{
    fixture_t *fixture = *state;
    int used = open_http1(state, GET("/bytes/1")), fresh = open_http1(state, "");
    int holding = open_http1(state, GET("/hold")), half = open_http1(state, "GET / HT");
    int http2 = open_http2(state);
    read_answer(used, 1);
    wire_request(http2, 1, "/");
    assert_int_equal(wire_await_body(http2, 1), 2);
    close_idle_at(fixture, 1000);
    close_idle_at(fixture, 1000 + FB_CONNS_IDLE_MS - 1);
    assert_int_equal(atomic_load(&closes), 0);
    close_idle_at(fixture, 1000 + FB_CONNS_IDLE_MS);
    assert_true(wire_await_close(used, WIRE_WAIT_MS));
    assert_true(wire_await_close(fresh, WIRE_WAIT_MS));
    assert_int_equal(atomic_load(&closes), 2);
    wire_write(half, "TP/1.1\r\n\r\n", strlen("TP/1.1\r\n\r\n"));
    read_answer(half, 2);
    wire_request(http2, 3, "/");
    assert_int_equal(wire_await_body(http2, 3), 2);
    (void)holding;
}

static void who_sends_a_request_now_and_then_is_not_idle(void **state)
{
    fixture_t *fixture = *state;
    int fd = open_http1(state, "");
    for (uint64_t i = 1; i < 10; i++) {
        wire_write(fd, GET("/"), strlen(GET("/")));
        read_answer(fd, 2);
        close_idle_at(fixture, i * FB_CONNS_IDLE_MS);
    }
    assert_int_equal(atomic_load(&closes), 0);
}

/* The request comes between a turn of the loop and the close. */
static int late_fd;

static void send_and_close_idle(fixture_t *fixture)
{
    wire_write(late_fd, GET("/"), strlen(GET("/")));
    fb_conns_close_idle(&conns, 1000 + 2 * FB_CONNS_IDLE_MS);
    (void)fixture;
}

static void a_request_that_the_loop_has_not_read_yet_is_answered(void **state)
{
    late_fd = open_http1(state, GET("/"));
    read_answer(late_fd, 2);
    close_idle_at(*state, 1000);
    fixture_call(*state, send_and_close_idle);
    read_answer(late_fd, 2);
    assert_int_equal(atomic_load(&closes), 0);
}

static void begin_writes(fixture_t *fixture)
{
    (void)fixture;
    for (int i = 0; i < WRITES; i++)
        assert_true(fb_conn_write_begin(asked));
    assert_false(fb_conn_write_begin(asked));
    fb_conn_write_end(asked);
    assert_true(fb_conn_write_begin(asked));
}

static void end_writes(fixture_t *fixture)
{
    (void)fixture;
    for (int i = 0; i < WRITES; i++)
        fb_conn_write_end(asked);
}

static void writes_are_bounded_and_outlive_their_connection(void **state)
{
    fixture_t *fixture = *state;
    int fd = open_http2(state);
    wire_request(fd, 1, "/hold");
    wire_request(fd, 3, "/");
    assert_int_equal(wire_await_body(fd, 3), 2);
    fixture_call(fixture, begin_writes);
    shutdown(fd, SHUT_RDWR);
    await_closes(1);
    assert_int_equal(counts().open, 0);
    fixture_call(fixture, end_writes);
}

#define SWEPT(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SWEPT(an_idle_connection_is_left_alone),
        SWEPT(a_request_that_waits_for_its_answer_is_left_alone),
        SWEPT(an_event_stream_that_is_read_is_left_alone),
        SWEPT(a_reader_that_takes_nothing_is_closed),
        SWEPT(a_reader_that_takes_nothing_is_closed_in_http2_too),
        SWEPT(a_reader_that_takes_a_trickle_is_closed),
        SWEPT(a_reader_that_is_just_fast_enough_is_left_alone),
        SWEPT(a_head_that_comes_too_slowly_is_closed),
        SWEPT(a_body_that_comes_too_slowly_is_closed),
        SWEPT(chunks_that_come_too_slowly_are_closed),
        SWEPT(a_connection_whose_requests_always_overlap_is_left_alone),
        SWEPT(part_of_a_frame_is_not_waited_for),
        SWEPT(part_of_the_preface_is_not_waited_for),
        SWEPT(a_slow_body_of_a_stream_resets_the_stream_alone),
        SWEPT(a_window_that_stays_shut_resets_the_stream_alone),
        SWEPT(a_window_that_opens_in_time_is_left_alone),
        SWEPT(a_window_that_opens_in_a_trickle_resets_the_stream),
        SWEPT(an_event_stream_that_waits_for_windows_is_left_alone),
        SWEPT(closes_are_counted_and_told),
        SWEPT(all_can_be_shut),
        SWEPT(what_is_idle_can_be_closed),
        SWEPT(who_sends_a_request_now_and_then_is_not_idle),
        SWEPT(a_request_that_the_loop_has_not_read_yet_is_answered),
        SWEPT(writes_are_bounded_and_outlive_their_connection),
    };
    cmocka_set_test_filter(getenv("FB_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
