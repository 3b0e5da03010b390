/* SPDX-License-Identifier: MIT */
#include "server/parking.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LINES_MAX 8

/* The fields of a request: `names[i]: values[i]`, until a name is NULL. */
static fb_code_t read_fields(const char *const (*fields)[2], fb_wanted_t *wanted, fb_error_t *error)
{
    h2o_iovec_t names[LINES_MAX];
    h2o_header_t lines[LINES_MAX];
    h2o_headers_t headers = {lines, 0, LINES_MAX};
    for (; fields[headers.size][0] != NULL; headers.size++) {
        const char *name = fields[headers.size][0], *value = fields[headers.size][1];
        assert_true(headers.size < LINES_MAX);
        names[headers.size] = h2o_iovec_init(name, strlen(name));
        lines[headers.size] =
            (h2o_header_t){&names[headers.size], NULL, h2o_iovec_init(value, strlen(value))};
    }
    *wanted = (fb_wanted_t){0};
    *error = (fb_error_t){0};
    return fb_wanted_read(&headers, wanted, error);
}

#define NAME "fleetbit-min-revision"

static void a_token_is_read_from_among_other_fields(void **state)
{
    (void)state;
    fb_wanted_t wanted;
    fb_error_t error;
    const char *const fields[][2] = {{"host", "a"},
                                     {"fleetbit-min-revisiom", "x"},
                                     {NAME, "0123abcd.18446744073709551615"},
                                     {"x-request-id", "7"},
                                     {NULL, NULL}};
    assert_int_equal(read_fields(fields, &wanted, &error), FB_OK);
    assert_string_equal(wanted.epoch, "0123abcd");
    assert_true(wanted.revision == UINT64_MAX);
}

static void blanks_after_it_do_not_count(void **state)
{
    (void)state;
    fb_wanted_t wanted;
    fb_error_t error;
    const char *const fields[][2] = {{NAME, "ffffffff.0 \t "}, {NULL, NULL}};
    assert_int_equal(read_fields(fields, &wanted, &error), FB_OK);
    assert_string_equal(wanted.epoch, "ffffffff");
    assert_int_equal(wanted.revision, 0);
}

static void two_lines_are_one_if_they_agree(void **state)
{
    (void)state;
    fb_wanted_t wanted;
    fb_error_t error;
    const char *fields[][2] = {
        {NAME, "01234567.8"}, {"host", "a"}, {NAME, "01234567.8"}, {NULL, NULL}};
    static const char *const others[] = {"01234567.9", "01234568.8", "01234567.80"};
    assert_int_equal(read_fields(fields, &wanted, &error), FB_OK);
    assert_int_equal(wanted.revision, 8);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        fields[2][1] = others[i];
        assert_int_equal(read_fields(fields, &wanted, &error), FB_MALFORMED);
        assert_int_equal(error.field_count, 1);
        assert_string_equal(error.fields[0].field, "Fleetbit-Min-Revision");
        assert_string_equal(error.fields[0].detail, "it is there twice, with two revisions");
    }
}

/* Every text that one byte more, less or other makes of a token is none, or another one. */
static void what_is_no_token_is_malformed(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        " ",
                                        ".",
                                        "0",
                                        "01234567",
                                        "01234567.",
                                        "01234567.x",
                                        "01234567.-",
                                        "01234567.+1",
                                        "01234567.01",
                                        "01234567 .1",
                                        "0123456.1",
                                        "012345678.1",
                                        "0123456g.1",
                                        "0123456F.1",
                                        " 1234567.1",
                                        "01234567.1.1",
                                        "01234567,1",
                                        "01234567.1, 01234567.1",
                                        "01234567.18446744073709551616"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fb_wanted_t wanted;
        fb_error_t error;
        const char *const fields[][2] = {{NAME, wrong[i]}, {NULL, NULL}};
        if (read_fields(fields, &wanted, &error) != FB_MALFORMED)
            fail_msg("\"%s\" is %s.%llu", wrong[i], wanted.epoch,
                     (unsigned long long)wanted.revision);
        assert_string_equal(error.fields[0].field, "Fleetbit-Min-Revision");
    }
}

static void a_long_value_is_shown_in_part(void **state)
{
    (void)state;
    fb_wanted_t wanted;
    fb_error_t error;
    char value[5000];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    const char *const fields[][2] = {{NAME, value}, {NULL, NULL}};
    assert_int_equal(read_fields(fields, &wanted, &error), FB_MALFORMED);
    value[100] = '\0';
    assert_non_null(strstr(error.detail, value));
    assert_true(strlen(error.detail) < 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_read_from_among_other_fields),
        cmocka_unit_test(blanks_after_it_do_not_count),
        cmocka_unit_test(two_lines_are_one_if_they_agree),
        cmocka_unit_test(what_is_no_token_is_malformed),
        cmocka_unit_test(a_long_value_is_shown_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
