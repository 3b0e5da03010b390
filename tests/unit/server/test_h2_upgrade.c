/* SPDX-License-Identifier: MIT */
#include "tests/unit/server/h2o_fixture.h"

#include "server/h2_guard.h"

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
    wire_assert_answered(fd, 3);
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
    fixture_call(*state, fixture_shut_down);
    wire_write(fd, upgrade + 20, sizeof(upgrade) - 1 - 20);
    assert_status_line(fd, "HTTP/1.1 200");
}

static bool upgrading;

static void look_for_upgrades(fixture_t *fixture)
{
    upgrading = fb_h2_guard_is_upgrading(&fixture->context);
}

/* Until the kernels of both sides take no more, half a second long: what the one dropped for want
 * of room, the other sends again. The client reads it before the 101. */
static void fill_the_buffers(fixture_t *fixture)
{
    static const char zeros[1024];
    for (int full = 0; full < 50; full++) {
        while (send(h2o_socket_get_fd(fixture->last), zeros, sizeof(zeros), MSG_DONTWAIT) > 0)
            full = 0;
        usleep(10000);
    }
}

static void accept_all(fixture_t *fixture)
{
    while (fixture->last == NULL)
        h2o_evloop_run(fixture->context.loop, 1);
}

/* Cause: the same. Here the 101 finds no room in the kernel. */
static void an_upgrade_that_is_not_written_can_be_seen(void **state)
{
    fixture_t *fixture = *state;
    wire_frame_t frame;
    fixture->send_bytes = 4096;
    fixture_start(fixture);
    int fd = wire_connect(fixture->port, 4096, 0);
    fixture_call(fixture, accept_all);
    fixture_call(fixture, fill_the_buffers);
    wire_write(fd, upgrade, sizeof(upgrade) - 1);
    for (int i = 0; i < 100 && !upgrading; i++)
        fixture_call(fixture, look_for_upgrades);
    assert_true(upgrading);
    for (uint8_t byte = 0; byte != 'H';)
        assert_true(wire_read_all(fd, &byte, 1, WIRE_WAIT_MS));
    read_to_the_end_of_the_head(fd);
    for (int i = 0; i < 100 && upgrading; i++)
        fixture_call(fixture, look_for_upgrades);
    assert_false(upgrading);
    fixture_call(fixture, fixture_shut_down);
    assert_true(wire_await(fd, &frame, GOAWAY, 0));
}

int main(void)
{
#define ATTACK(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        ATTACK(an_upgrade_leads_to_http2_and_its_guard),
        ATTACK(an_upgrade_during_a_shutdown_is_answered_in_http1),
        ATTACK(an_upgrade_that_is_not_written_can_be_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
