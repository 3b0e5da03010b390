/* SPDX-License-Identifier: MIT */
#include "server/bodies.h"

#include "resources/registry.h"
#include "tests/unit/random.h"

#define USUAL ((size_t)1 << 20)
#define MIB   ((size_t)1 << 20)

static void a_family_may_have_larger_bodies_than_others(void **state)
{
    (void)state;
    assert_int_equal(fb_bodies_max(NULL, USUAL), USUAL);
    assert_int_equal(fb_bodies_max(&fb_machines, USUAL), USUAL);
    assert_int_equal(fb_bodies_max(&fb_sprockets, USUAL), USUAL);
    assert_int_equal(fb_bodies_max(&fb_factories, USUAL), 8 * MIB);
    assert_int_equal(fb_bodies_max(&fb_factories, 16 * MIB), 16 * MIB);
}

static void the_target_says_whose_body_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        size_t max;
    } samples[] = {
        {"/v1/factories", 8 * MIB},
        {"/v1/factories?a=/", 8 * MIB},
        {"/v1/factories/1", 8 * MIB},
        {"/v1/factoriesx", USUAL},
        {"/v1/sprockets", USUAL},
        {"/?/v1/factories", USUAL},
        {"", USUAL},
    };
    for (size_t i = 0; i < FB_COUNT(samples); i++) {
        h2o_req_t req = {0};
        req.input.path = h2o_iovec_init(samples[i].target, strlen(samples[i].target));
        assert_int_equal(fb_bodies_max_at(&req, USUAL), samples[i].max);
    }
}

static void bodies_that_wait_have_room_together(void **state)
{
    (void)state;
    fb_error_t error = {0};
    size_t kept[16], none, count = 0;
    while (count < 16 && fb_bodies_wait(8 * MIB, USUAL, &kept[count], &error) == FB_OK)
        assert_int_equal(kept[count++], 8 * MIB);
    assert_int_equal(count, FB_BODIES_LARGE_MAX / (8 * MIB));
    assert_int_equal(error.code, FB_QUEUE_FULL);
    fb_bodies_leave(kept[--count]);
    assert_int_equal(fb_bodies_wait(8 * MIB + 1, USUAL, &none, &error), FB_QUEUE_FULL);
    assert_int_equal(none, 0);
    /* The usual ones are bounded by the queue of the writer. */
    assert_int_equal(fb_bodies_wait(USUAL, USUAL, &none, &error), FB_OK);
    assert_int_equal(none, 0);
    fb_bodies_leave(none);
    assert_int_equal(fb_bodies_wait(8 * MIB, USUAL, &kept[count++], &error), FB_OK);
    while (count > 0)
        fb_bodies_leave(kept[--count]);
}

/* Where no loop of the server runs, the library's bound is what it was set to. */
static void another_thread_has_the_bound_of_its_configuration(void **state)
{
    (void)state;
    h2o_globalconf_t config = {.max_request_entity_size = 77};
    assert_int_equal(fb_bodies_usual(&config), 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_may_have_larger_bodies_than_others),
        cmocka_unit_test(the_target_says_whose_body_it_is),
        cmocka_unit_test(bodies_that_wait_have_room_together),
        cmocka_unit_test(another_thread_has_the_bound_of_its_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
