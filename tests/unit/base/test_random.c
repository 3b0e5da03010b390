/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A synthetic fleet is the same everywhere only if these numbers are: the first ones after the
 * seed 1234567 as other implementations of the algorithm give them. */
static void the_sequence_is_that_of_the_algorithm(void **state)
{
    (void)state;
    static const uint64_t expected[] = {
        6457827717110365317u, 3203168211198807973u,  9817491932198370423u,
        4593380528125082431u, 16408922859458223821u,
    };
    uint64_t seed = 1234567;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_true(fb_random_next(&seed) == expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sequence_is_that_of_the_algorithm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
