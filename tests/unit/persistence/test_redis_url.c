/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/fixture.h"

static fb_redis_url_t parsed(const char *text)
{
    fb_redis_url_t url;
    assert_ok(fb_redis_url_parse(text, &url, error));
    return url;
}

static void assert_shown(const char *text, const char *expected)
{
    char shown[FB_REDIS_URL_TEXT_BYTES];
    fb_redis_url_t url = parsed(text);
    fb_redis_url_format_safe(&url, shown);
    assert_string_equal(shown, expected);
}

static void a_plain_url_has_the_default_port_and_database(void **state)
{
    (void)state;
    fb_redis_url_t url = parsed("redis://redis.example");
    assert_false(url.is_unix);
    assert_string_equal(url.host, "redis.example");
    assert_int_equal(url.port, 6379);
    assert_int_equal(url.db, 0);
    assert_string_equal(url.user, "");
    assert_string_equal(url.password, "");
    assert_int_equal(parsed("redis://h/").db, 0);
}

static void all_parts_are_read(void **state)
{
    (void)state;
    fb_redis_url_t url = parsed("redis://fleet:s%40c%3aret%2F%c3%a9@10.1.2.3:7000/12");
    assert_string_equal(url.user, "fleet");
    assert_string_equal(url.password, "s@c:ret/\xc3\xa9");
    assert_string_equal(url.host, "10.1.2.3");
    assert_int_equal(url.port, 7000);
    assert_int_equal(url.db, 12);
    url = parsed("redis://:a:b@c@h:1");
    assert_string_equal(url.user, "");
    assert_string_equal(url.password, "a:b@c");
    assert_string_equal(url.host, "h");
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
    (void)state;
    fb_redis_url_t url = parsed("redis://[2001:db8::7]:6380");
    assert_string_equal(url.host, "2001:db8::7");
    assert_int_equal(url.port, 6380);
    assert_int_equal(parsed("redis://[::1]/3").port, 6379);
    assert_code(FB_CONFIG, fb_redis_url_parse("redis://2001:db8::7", &url, error));
    assert_code(FB_CONFIG, fb_redis_url_parse("redis://[::1", &url, error));
    assert_code(FB_CONFIG, fb_redis_url_parse("redis://[::1]6380", &url, error));
}

static void a_unix_socket_has_a_path_and_options(void **state)
{
    (void)state;
    fb_redis_url_t url = parsed("unix:///run/my%20fleet/redis.sock?db=2&user=u&password=p%26q");
    assert_true(url.is_unix);
    assert_string_equal(url.path, "/run/my fleet/redis.sock");
    assert_int_equal(url.db, 2);
    assert_string_equal(url.user, "u");
    assert_string_equal(url.password, "p&q");
    assert_code(FB_CONFIG, fb_redis_url_parse("unix://run/redis.sock", &url, error));
    assert_code(FB_CONFIG, fb_redis_url_parse("unix:///r?user=u", &url, error));
    assert_code(FB_CONFIG, fb_redis_url_parse("unix:///r?tls=1", &url, error));
}

static void a_socket_path_that_the_kernel_would_cut_is_refused(void **state)
{
    (void)state;
    char text[200] = "unix:///";
    fb_redis_url_t url;
    memset(text + 8, 'x', 106);
    assert_int_equal(strlen(parsed(text).path), FB_REDIS_PATH_BYTES_MAX);
    text[8 + 106] = 'x';
    assert_code(FB_CONFIG, fb_redis_url_parse(text, &url, error));
}

static void what_is_no_redis_url_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "localhost:6379",
        "http://h",
        "rediss://h",
        "redis://",
        "redis://:6379",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:x",
        "redis://h:",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/1/2",
        "redis://h?db=1",
        "redis://user@h",
        "redis://user:@h",
        "redis://u:%zz@h",
        "redis://u:%4@h",
        "redis://u:%00@h",
        "redis://a%20b",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fb_redis_url_t url;
        assert_code(FB_CONFIG, fb_redis_url_parse(wrong[i], &url, error));
    }
}

static void a_sentinel_is_known_and_refused(void **state)
{
    (void)state;
    fb_redis_url_t url;
    fb_error_t error = {0};
    assert_int_equal(fb_redis_url_parse("sentinel://h:26379/fleet", &url, &error), FB_CONFIG);
    assert_non_null(strstr(error.detail, "not supported yet"));
}

static void no_error_repeats_a_password(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "redis://u:hunter2",           "redis://u:hunter2@",       "redis://u:hunter2/x@h",
        "redis://u:hunter2%@h",        "redis://u:hunter2@h:x",    "redis://hunter2@h",
        "redis://u:hunter2@[::1",      "redis://u:hunter2@h/x",    "redis:u:hunter2@h",
        "unix:///s?password=hunter2%", "unix:///s?passwd=hunter2", "sentinel://u:hunter2@h/f",
        "unix:u:hunter2@/s",           "unix:///s?db=hunter2",     "redis://u:hunter2?@h",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fb_redis_url_t url;
        fb_error_t error = {0};
        assert_int_equal(fb_redis_url_parse(wrong[i], &url, &error), FB_CONFIG);
        assert_null(strstr(error.detail, "hunter2"));
        assert_null(memmem(&url, sizeof(url), "hunter2", 7));
    }
}

static void a_url_is_shown_without_its_password(void **state)
{
    (void)state;
    assert_shown("redis://h", "redis://h:6379/0");
    assert_shown("redis://u:hunter2@[::1]:7/3", "redis://u:***@[::1]:7/3");
    assert_shown("redis://:hunter2@h", "redis://:***@h:6379/0");
    assert_shown("unix:///a%25b?password=hunter2&db=4", "unix:///a%25b?db=4");
}

static void the_longest_url_is_shown_whole(void **state)
{
    (void)state;
    char text[2000], shown[FB_REDIS_URL_TEXT_BYTES];
    fb_buffer_t buffer = {0};
    fb_buffer_put_literal(&buffer, "redis://");
    for (int i = 0; i < 128; i++)
        fb_buffer_put_literal(&buffer, "%20");
    fb_buffer_put_literal(&buffer, ":p@");
    for (int i = 0; i < 253; i++)
        fb_buffer_put_char(&buffer, 'h');
    fb_buffer_put_literal(&buffer, ":65535/2147483647");
    snprintf(text, sizeof(text), "%.*s", FB_PRINT(fb_buffer_slice(&buffer)));
    fb_redis_url_t url = parsed(text);
    fb_redis_url_format_safe(&url, shown);
    assert_string_equal(shown + strlen(shown) - 17, ":65535/2147483647");
    fb_buffer_dispose(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_url_has_the_default_port_and_database),
        cmocka_unit_test(all_parts_are_read),
        cmocka_unit_test(an_ipv6_address_stands_in_brackets),
        cmocka_unit_test(a_unix_socket_has_a_path_and_options),
        cmocka_unit_test(a_socket_path_that_the_kernel_would_cut_is_refused),
        cmocka_unit_test(what_is_no_redis_url_is_refused),
        cmocka_unit_test(a_sentinel_is_known_and_refused),
        cmocka_unit_test(no_error_repeats_a_password),
        cmocka_unit_test(a_url_is_shown_without_its_password),
        cmocka_unit_test(the_longest_url_is_shown_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
