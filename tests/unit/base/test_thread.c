/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void *blocked(void *context)
{
    pthread_sigmask(SIG_BLOCK, NULL, context);
    return NULL;
}

static void a_thread_takes_no_signals_and_its_maker_still_does(void **state)
{
    (void)state;
    pthread_t thread;
    sigset_t theirs, before, after;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(fb_thread_start(&thread, blocked, &theirs), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_int_equal(sigismember(&theirs, numbers[i]), 1);
        assert_int_equal(sigismember(&after, numbers[i]), sigismember(&before, numbers[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_takes_no_signals_and_its_maker_still_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
