/* SPDX-License-Identifier: MIT */
#include "server/traceparent.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char usual[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

static void those_of_version_00_are_valid(void **state)
{
    (void)state;
    assert_true(fb_traceparent_is_valid(fb_slice(usual)));
    assert_true(fb_traceparent_is_valid(
        FB_SLICE("00-00000000000000000000000000000001-1000000000000000-00")));
    assert_true(fb_traceparent_is_valid(
        FB_SLICE("00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-ff")));
}

static void all_others_are_not(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7--01",
        " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_false(fb_traceparent_is_valid(fb_slice(wrong[i])));
}

/* Any one byte that is no digit of its place makes it another text. */
static void every_byte_counts(void **state)
{
    (void)state;
    for (size_t at = 0; at < FB_TRACEPARENT_BYTES; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[sizeof(usual)];
            memcpy(text, usual, sizeof(usual));
            text[at] = (char)byte;
            bool is_digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
            bool is_fixed = at < 3 || at == 35 || at == 52;
            bool expected = is_fixed ? byte == usual[at] : is_digit;
            fb_slice_t slice = {text, FB_TRACEPARENT_BYTES};
            assert_int_equal(fb_traceparent_is_valid(slice), expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_of_version_00_are_valid),
        cmocka_unit_test(all_others_are_not),
        cmocka_unit_test(every_byte_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
