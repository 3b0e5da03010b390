/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/position.h"

static const fb_position_t position = {
    .epoch = "cccccccc",
    .revision = 30,
    .since = 20,
    .former = {{"bbbbbbbb", 20}, {"aaaaaaaa", 10}},
};

static void every_revision_of_its_own_epoch_is_included(void **state)
{
    (void)state;
    assert_true(fb_position_includes(&position, "cccccccc", 0));
    assert_true(fb_position_includes(&position, "cccccccc", 30));
    assert_true(fb_position_includes(&position, "cccccccc", 31)); /* it lies ahead */
}

static void a_former_epoch_is_included_up_to_where_it_ended(void **state)
{
    (void)state;
    assert_true(fb_position_includes(&position, "bbbbbbbb", 20));
    assert_false(fb_position_includes(&position, "bbbbbbbb", 21)); /* lost */
    assert_true(fb_position_includes(&position, "aaaaaaaa", 0));
    assert_true(fb_position_includes(&position, "aaaaaaaa", 10));
    assert_false(fb_position_includes(&position, "aaaaaaaa", 11));
}

static void no_other_epoch_is_included(void **state)
{
    (void)state;
    assert_false(fb_position_includes(&position, "dddddddd", 0));
    assert_false(fb_position_includes(&position, "", 0)); /* there are no more than two */
    assert_false(fb_position_includes(&position, "aaaaaaa", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_revision_of_its_own_epoch_is_included),
        cmocka_unit_test(a_former_epoch_is_included_up_to_where_it_ended),
        cmocka_unit_test(no_other_epoch_is_included),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
