/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

static fb_instant_t libc_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (fb_instant_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void the_wall_clock_agrees_with_libc(void **state)
{
    (void)state;
    fb_instant_t before = libc_now(), seen = fb_clock_now(), after = libc_now();
    assert_true(before <= seen && seen <= after);
}

static void the_monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    uint64_t before = fb_clock_monotonic_ns();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = fb_clock_monotonic_ns();
        assert_true(now >= before);
        before = now;
    }
}

static void milliseconds_and_nanoseconds_are_of_one_clock(void **state)
{
    (void)state;
    const struct timespec nap = {.tv_nsec = 5000000};
    uint64_t ns = fb_clock_monotonic_ns();
    uint64_t ms = fb_clock_monotonic_ms();
    assert_true(ms >= ns / 1000000);
    assert_true(ms <= fb_clock_monotonic_ns() / 1000000);
    nanosleep(&nap, NULL);
    assert_true(fb_clock_monotonic_ms() - ms >= 4);
    assert_true(fb_clock_monotonic_ns() - ns >= 5000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wall_clock_agrees_with_libc),
        cmocka_unit_test(the_monotonic_clock_never_goes_back),
        cmocka_unit_test(milliseconds_and_nanoseconds_are_of_one_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
