/* SPDX-License-Identifier: MIT */
#include "tests/unit/cache/random.h"

static void a_fresh_block_is_owned_until_the_build_ends(void **state)
{
    (void)state;
    fb_build_t *build = fb_build_create();
    char *block = fb_build_alloc(build, 1);
    assert_true(fb_build_owns(build, block));
    assert_false(fb_build_owns(build, block + 1));
    assert_false(fb_build_owns(build, NULL));
    assert_ptr_equal(fb_build_own(build, block, 1), block);
    assert_int_equal(build_forget(&build), 0);
    assert_null(build);

    build = fb_build_create();
    assert_false(fb_build_owns(build, block));
    fb_build_abort(&build);
    assert_null(build);
    free(block);
}

static void a_foreign_block_is_copied_and_retired(void **state)
{
    (void)state;
    uint64_t *old = malloc(1024 * sizeof(*old));
    for (uint64_t i = 0; i < 1024; i++)
        old[i] = i;
    fb_build_t *build = fb_build_create();
    uint64_t *copy = fb_build_own(build, old, 1024 * sizeof(*old));
    assert_ptr_not_equal(copy, old);
    assert_memory_equal(copy, old, 1024 * sizeof(*old));
    assert_true(fb_build_owns(build, copy));
    assert_false(fb_build_owns(build, old));

    void **garbage;
    size_t count;
    fb_build_seal(&build, &garbage, &count);
    assert_int_equal(count, 1);
    assert_ptr_equal(garbage[0], old);
    free(garbage);
    free(old);
    free(copy);
}

static void an_aborted_build_frees_what_is_fresh_and_nothing_else(void **state)
{
    (void)state;
    int *old = malloc(sizeof(*old));
    *old = 7;
    fb_build_t *build = fb_build_create();
    for (size_t size = 1; size < 20000; size += 97)
        memset(fb_build_alloc(build, size), 0xA5, size);
    fb_build_retire(build, old);
    fb_build_abort(&build);
    assert_int_equal(*old, 7);
    free(old);
}

static void a_retired_fresh_block_is_gone_and_no_garbage(void **state)
{
    (void)state;
    fb_build_t *build = fb_build_create();
    void *first = fb_build_alloc(build, 512);
    void *second = fb_build_alloc(build, 512);
    fb_build_retire(build, first);
    fb_build_retire(build, NULL);
    assert_false(fb_build_owns(build, first));
    assert_true(fb_build_owns(build, second));
    assert_int_equal(build_forget(&build), 0);
    free(second);
}

static void garbage_is_handed_over_in_full_and_in_order(void **state)
{
    (void)state;
    enum { BLOCKS = 1000 };
    void *blocks[BLOCKS];
    fb_build_t *build = fb_build_create();
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(16);
        fb_build_retire(build, blocks[i]);
    }
    void **garbage;
    size_t count;
    fb_build_seal(&build, &garbage, &count);
    assert_int_equal(count, BLOCKS);
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_ptr_equal(garbage[i], blocks[i]);
        free(blocks[i]);
    }
    free(garbage);
}

/* Blocks of all sizes come and go; the list of those that are there is the model. */
static void a_random_program_owns_exactly_its_blocks(void **state)
{
    (void)state;
    enum { BLOCKS = 4000, STEPS = 60000 };
    static void *blocks[BLOCKS], *foreign[BLOCKS];
    chance_t chance = chance_init();
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = NULL;
        foreign[i] = malloc(1 + chance_below(&chance, 300));
    }
    fb_build_t *build = fb_build_create();
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = chance_below(&chance, BLOCKS);
        if (blocks[i] != NULL) {
            assert_true(fb_build_owns(build, blocks[i]));
            fb_build_retire(build, blocks[i]);
            blocks[i] = NULL;
        } else {
            uint32_t size_max = chance_below(&chance, 20) == 0 ? 9000 : 600;
            size_t size = 1 + chance_below(&chance, size_max);
            blocks[i] = fb_build_alloc(build, size);
            memset(blocks[i], step, size);
        }
        assert_false(fb_build_owns(build, foreign[i]));
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_true(blocks[i] == NULL || fb_build_owns(build, blocks[i]));
        assert_false(fb_build_owns(build, foreign[i]));
        free(foreign[i]);
    }
    fb_build_abort(&build);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_block_is_owned_until_the_build_ends),
        cmocka_unit_test(a_foreign_block_is_copied_and_retired),
        cmocka_unit_test(an_aborted_build_frees_what_is_fresh_and_nothing_else),
        cmocka_unit_test(a_retired_fresh_block_is_gone_and_no_garbage),
        cmocka_unit_test(garbage_is_handed_over_in_full_and_in_order),
        cmocka_unit_test(a_random_program_owns_exactly_its_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
