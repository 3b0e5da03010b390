/* SPDX-License-Identifier: MIT */
#include "server/client.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* The far end of a connection to a listener of `family`, made by a socket of `own` to `host`. */
static void assert_client(int family, const char *listen_at, int own, const char *host,
                          const char *expected)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 from = {0};
    socklen_t len = sizeof(v6), from_len = sizeof(from);
    fb_client_t client;
    char text[64];
    int listener = socket(family, SOCK_STREAM, 0), fd = socket(own, SOCK_STREAM, 0);
    assert_int_equal(inet_pton(AF_INET6, listen_at, &v6.sin6_addr), 1);
    assert_int_equal(bind(listener, (struct sockaddr *)&v6, sizeof(v6)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&v6, &len), 0);
    v4.sin_port = v6.sin6_port;
    if (own == AF_INET) {
        assert_int_equal(inet_pton(AF_INET, host, &v4.sin_addr), 1);
        assert_int_equal(connect(fd, (struct sockaddr *)&v4, sizeof(v4)), 0);
    } else {
        assert_int_equal(connect(fd, (struct sockaddr *)&v6, sizeof(v6)), 0);
    }
    int accepted = accept(listener, NULL, NULL);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&from, &from_len), 0);
    fb_client_read(&client, accepted);
    /* The port is at the same place of both kinds of address. */
    snprintf(text, sizeof(text), expected, ntohs(from.sin6_port));
    assert_string_equal(client.text, text);
    assert_int_equal(client.len, strlen(text));
    close(accepted);
    close(fd);
    close(listener);
}

static void an_ipv6_address_has_brackets(void **state)
{
    (void)state;
    assert_client(AF_INET6, "::1", AF_INET6, NULL, "[::1]:%u");
}

static void an_ipv4_address_is_one_at_every_listener(void **state)
{
    (void)state;
    assert_client(AF_INET6, "::", AF_INET, "127.0.0.1", "127.0.0.1:%u");
}

static void who_is_not_connected_has_no_name(void **state)
{
    (void)state;
    fb_client_t client;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    fb_client_read(&client, fd);
    assert_int_equal(client.len, 0);
    close(fd);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fb_client_read(&client, pair[0]);
    assert_int_equal(client.len, 0);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ipv6_address_has_brackets),
        cmocka_unit_test(an_ipv4_address_is_one_at_every_listener),
        cmocka_unit_test(who_is_not_connected_has_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
