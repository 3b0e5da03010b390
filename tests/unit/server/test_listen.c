/* SPDX-License-Identifier: MIT */
#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/address.h"

static int listen_well(const char *address)
{
    int fd = -1;
    fb_error_t error = {0};
    if (fb_listen(address, &fd, &error) != FB_OK)
        fail_msg("%s", error.detail);
    assert_true(fd >= 0);
    return fd;
}

static void assert_refused(const char *address, fb_code_t code, const char *detail)
{
    int fd = -1;
    fb_error_t error = {0};
    assert_int_equal(fb_listen(address, &fd, &error), code);
    assert_int_equal(error.code, code);
    assert_string_equal(error.detail, detail);
    assert_int_equal(fd, -1);
}

static int port_of(int fd)
{
    char name[64];
    fb_listen_name(fd, name, sizeof(name));
    return atoi(strrchr(name, ':') + 1);
}

/* Does a client come in at that address and port? */
static bool can_connect(const char *host, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    bool is_v6 = strchr(host, ':') != NULL;
    assert_int_equal(inet_pton(is_v6 ? AF_INET6 : AF_INET, host,
                               is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr),
                     1);
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    bool connected = connect(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                             is_v6 ? sizeof(v6) : sizeof(v4)) == 0;
    close(fd);
    return connected;
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    bool has = bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;
    close(fd);
    return has;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void port_0_is_a_free_port_that_clients_reach(void **state)
{
    (void)state;
    char name[64], expected[64];
    int fd = listen_well("127.0.0.1:0");
    int port = port_of(fd);
    assert_in_range(port, 1, 65535);
    fb_listen_name(fd, name, sizeof(name));
    snprintf(expected, sizeof(expected), "127.0.0.1:%d", port);
    assert_string_equal(name, expected);
    assert_true(can_connect("127.0.0.1", port));
    close(fd);
    assert_false(can_connect("127.0.0.1", port));
}

static void the_socket_is_as_the_loops_need_it(void **state)
{
    (void)state;
    int fd = listen_well("127.0.0.1:0");
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_REUSEADDR), 1);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_REUSEPORT), 0);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
}

static void an_address_that_is_taken_is_in_use(void **state)
{
    (void)state;
    char address[64], detail[160];
    int fd = listen_well("127.0.0.1:0");
    fb_listen_name(fd, address, sizeof(address));
    snprintf(detail, sizeof(detail), "cannot listen at %s: somebody else listens there", address);
    assert_refused(address, FB_IN_USE, detail);
    /* All addresses include the one that is taken, and no half of them will do. */
    snprintf(address, sizeof(address), ":%d", port_of(fd));
    snprintf(detail, sizeof(detail), "cannot listen at %s: somebody else listens there", address);
    assert_refused(address, FB_IN_USE, detail);
    close(fd);
    close(listen_well(address));
    if (!has_ipv6())
        return;
    fd = listen_well("[::1]:0");
    snprintf(address, sizeof(address), ":%d", port_of(fd));
    snprintf(detail, sizeof(detail), "cannot listen at %s: somebody else listens there", address);
    assert_refused(address, FB_IN_USE, detail);
    close(fd);
}

static void an_address_that_connections_linger_at_can_be_taken_again(void **state)
{
    (void)state;
    char address[64];
    struct sockaddr_in to;
    socklen_t len = sizeof(to);
    int fd = listen_well("127.0.0.1:0");
    fb_listen_name(fd, address, sizeof(address));
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, len), 0);
    int server = accept(fd, NULL, NULL);
    assert_true(server >= 0);
    close(server); /* who closes first keeps the port in TIME_WAIT */
    close(client);
    close(fd);
    close(listen_well(address));
}

static int connect_within(int port, int timeout_ms)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void who_is_connected_stays_so_when_new_ones_are_refused(void **state)
{
    (void)state;
    char bytes[4];
    int fd = listen_well("127.0.0.1:0"), port = port_of(fd);
    int accepted_before = connect_within(port, 1000), waiting = connect_within(port, 1000);
    int served = accept(fd, NULL, NULL);
    assert_true(accepted_before >= 0 && waiting >= 0 && served >= 0);
    fb_listen_refuse_new(fd);
    assert_int_equal(connect_within(port, 200), -1);
    assert_int_equal(send(accepted_before, "one", 3, 0), 3);
    assert_int_equal(recv(served, bytes, 4, 0), 3);
    assert_int_equal(send(waiting, "two", 3, 0), 3);
    int late = accept(fd, NULL, NULL);
    assert_true(late >= 0);
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
    assert_int_equal(recv(late, bytes, 4, 0), 3);
    assert_int_equal(send(late, "answer", 6, 0), 6);
    assert_int_equal(recv(waiting, bytes, 4, 0), 4);
    close(accepted_before), close(waiting), close(served), close(late);
}

static void no_host_is_all_addresses(void **state)
{
    (void)state;
    int fd = listen_well(":0");
    assert_true(can_connect("127.0.0.1", port_of(fd)));
    if (has_ipv6())
        assert_true(can_connect("::1", port_of(fd)));
    close(fd);
}

static void a_name_is_listened_at_its_ipv4_address(void **state)
{
    (void)state;
    int fd = listen_well("localhost:0");
    assert_true(can_connect("127.0.0.1", port_of(fd)));
    close(fd);
}

static void an_ipv6_address_is_ipv6_alone(void **state)
{
    (void)state;
    char name[64], expected[64];
    if (!has_ipv6()) {
        assert_refused("[::1]:0", FB_CONFIG,
                       "cannot listen at [::1]:0: it is no address of this machine");
        return;
    }
    int fd = listen_well("[::1]:0");
    fb_listen_name(fd, name, sizeof(name));
    snprintf(expected, sizeof(expected), "[::1]:%d", port_of(fd));
    assert_string_equal(name, expected);
    assert_true(can_connect("::1", port_of(fd)));
    close(fd);
    /* So that both kinds can be listed side by side with one port. */
    int v4 = listen_well("0.0.0.0:0");
    snprintf(name, sizeof(name), "[::]:%d", port_of(v4));
    int v6 = listen_well(name);
    assert_true(can_connect("127.0.0.1", port_of(v4)));
    assert_true(can_connect("::1", port_of(v6)));
    close(v4);
    close(v6);
}

static void what_cannot_be_listened_at_is_named(void **state)
{
    (void)state;
    assert_refused("192.0.2.1:0", FB_CONFIG,
                   "cannot listen at 192.0.2.1:0: it is no address of this machine");
    assert_refused("8080", FB_CONFIG, "\"8080\" is no HOST:PORT, as 127.0.0.1:8080 is");
    int fd = -1;
    fb_error_t error = {0};
    fb_code_t code = fb_listen("no-such-host.invalid:0", &fd, &error);
    assert_true(code == FB_CONFIG || code == FB_IO); /* FB_IO: no name server answers */
    assert_memory_equal(error.detail, "cannot listen at no-such-host.invalid:0: ", 41);
}

static void host_and_port_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *port;
    } good[] = {{"127.0.0.1:8080", "127.0.0.1", "8080"},
                {":0", "", "0"},
                {"[::1]:65535", "::1", "65535"},
                {"[fe80::1%eth0]:1", "fe80::1%eth0", "1"},
                {"a-name.example:80", "a-name.example", "80"}};
    static const char *const bad[] = {"",        "8080",    "host",    "host:",      "host:x",
                                      "h:-1",    "h:65536", "h:080",   "h:80 ",      " h:80",
                                      "::1:80",  "[::1]",   "[::1]80", "[]:80",      "[::1:80",
                                      "::1]:80", "h/x:80",  "a b:80",  "[[::1]]:80", "h:+80"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        fb_address_t address;
        fb_error_t error = {0};
        assert_int_equal(fb_address_parse(good[i].text, &address, &error), FB_OK);
        assert_string_equal(address.host, good[i].host);
        assert_string_equal(address.port, good[i].port);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char quoted[32];
        fb_address_t address;
        fb_error_t error = {0};
        if (fb_address_parse(bad[i], &address, &error) != FB_CONFIG)
            fail_msg("\"%s\" is taken", bad[i]);
        snprintf(quoted, sizeof(quoted), "\"%s\" ", bad[i]);
        assert_memory_equal(error.detail, quoted, strlen(quoted));
    }
}

static void the_limit_of_files_is_raised_to_the_most(void **state)
{
    (void)state;
    struct rlimit before, after;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = {.rlim_cur = 64, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(fb_listen_raise_file_limit(), before.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(port_0_is_a_free_port_that_clients_reach),
        cmocka_unit_test(the_socket_is_as_the_loops_need_it),
        cmocka_unit_test(an_address_that_is_taken_is_in_use),
        cmocka_unit_test(an_address_that_connections_linger_at_can_be_taken_again),
        cmocka_unit_test(who_is_connected_stays_so_when_new_ones_are_refused),
        cmocka_unit_test(no_host_is_all_addresses),
        cmocka_unit_test(a_name_is_listened_at_its_ipv4_address),
        cmocka_unit_test(an_ipv6_address_is_ipv6_alone),
        cmocka_unit_test(what_cannot_be_listened_at_is_named),
        cmocka_unit_test(host_and_port_are_told_apart),
        cmocka_unit_test(the_limit_of_files_is_raised_to_the_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
