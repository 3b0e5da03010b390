/* SPDX-License-Identifier: MIT */
#include "server/turns.h"

#include "tests/unit/random.h"

#define MS 1000000ULL

static void who_writes_alone_never_waits(void **state)
{
    (void)state;
    fb_turns_t turns;
    fb_turns_init(&turns, 7);
    assert_true(fb_turns_next_ns(&turns, 5 * MS) <= 5 * MS);
    assert_true(fb_turns_is_alone(&turns, 5 * MS));
    fb_turns_saw(&turns, 7, 6 * MS);
    assert_true(fb_turns_next_ns(&turns, 6 * MS) <= 6 * MS);
}

static void turns_go_round_by_id(void **state)
{
    (void)state;
    fb_turns_t turns;
    fb_turns_init(&turns, 20);
    fb_turns_took(&turns, 1 * MS);
    fb_turns_saw(&turns, 10, 100 * MS);
    fb_turns_saw(&turns, 30, 100 * MS);
    uint64_t slot = turns.slot_ns;
    /* after 30 comes 10, then we */
    assert_int_equal(fb_turns_next_ns(&turns, 100 * MS), 100 * MS + slot);
    fb_turns_saw(&turns, 10, 101 * MS);
    assert_int_equal(fb_turns_next_ns(&turns, 101 * MS), 101 * MS);
    fb_turns_saw(&turns, 20, 102 * MS);
    assert_int_equal(fb_turns_next_ns(&turns, 102 * MS), 102 * MS + 2 * slot);
}

static void who_is_silent_is_not_waited_for(void **state)
{
    (void)state;
    fb_turns_t turns;
    fb_turns_init(&turns, 20);
    fb_turns_saw(&turns, 30, 1 * MS);
    fb_turns_saw(&turns, 20, 2 * MS);
    assert_true(fb_turns_next_ns(&turns, 2 * MS) > 2 * MS);
    assert_false(fb_turns_is_alone(&turns, 2 * MS));
    uint64_t later = 1 * MS + FB_TURNS_ACTIVE_NS;
    fb_turns_saw(&turns, 20, later);
    assert_true(fb_turns_is_alone(&turns, later));
    assert_int_equal(fb_turns_next_ns(&turns, later), later);
}

static void who_came_second_gets_a_turn(void **state)
{
    (void)state;
    fb_turns_t turns;
    fb_turns_init(&turns, 20);
    fb_turns_saw(&turns, 20, 2 * MS);
    fb_turns_wants(&turns, 40, 0, 2 * MS);
    assert_int_equal(turns.last, 20);
    assert_int_equal(fb_turns_next_ns(&turns, 2 * MS), 2 * MS + turns.slot_ns);
}

static void who_is_further_from_redis_gets_a_longer_turn(void **state)
{
    (void)state;
    fb_turns_t turns;
    fb_turns_init(&turns, 20);
    fb_turns_took(&turns, 1 * MS);
    fb_turns_saw(&turns, 20, 2 * MS);
    fb_turns_wants(&turns, 40, 8 * MS, 2 * MS);
    assert_int_equal(fb_turns_next_ns(&turns, 2 * MS), 22 * MS);
    fb_turns_wants(&turns, 40, 8 * MS, 2 * MS); /* it was not enough */
    assert_int_equal(fb_turns_next_ns(&turns, 2 * MS), 42 * MS);
    fb_turns_saw(&turns, 40, 2 * MS);
    fb_turns_saw(&turns, 40, 2 * MS);
    fb_turns_saw(&turns, 20, 2 * MS);
    assert_int_equal(fb_turns_next_ns(&turns, 2 * MS), 12 * MS);
    fb_turns_wants(&turns, 40, 60000 * MS, 2 * MS);
    assert_int_equal(fb_turns_next_ns(&turns, 2 * MS), 2 * MS + FB_TURNS_WAIT_NS_MAX);
    fb_turns_wants(&turns, 40, 1, 2 * MS); /* not shorter than ours */
    assert_int_equal(fb_turns_next_ns(&turns, 2 * MS), 2 * MS + turns.slot_ns);
}

static void the_length_of_a_turn_is_bounded(void **state)
{
    (void)state;
    fb_turns_t turns;
    fb_turns_init(&turns, 1);
    for (int i = 0; i < 200; i++)
        fb_turns_took(&turns, 1);
    assert_int_equal(turns.slot_ns, FB_TURNS_SLOT_NS_MIN);
    for (int i = 0; i < 200; i++)
        fb_turns_took(&turns, 60000 * MS);
    assert_int_equal(turns.slot_ns, FB_TURNS_SLOT_NS_MAX);
}

static void of_too_many_authors_the_most_silent_are_forgotten(void **state)
{
    (void)state;
    fb_turns_t turns;
    chance_t chance = chance_init();
    fb_turns_init(&turns, 1);
    for (uint64_t i = 1; i <= 1000; i++) {
        fb_turns_saw(&turns, 2 + chance_below(&chance, 1000), i);
        assert_true(turns.count <= FB_TURNS_AUTHORS_MAX);
        for (unsigned k = 0; k < turns.count; k++) {
            assert_true(k == 0 || turns.authors[k - 1].id < turns.authors[k].id);
            assert_true(turns.authors[k].seen_ns + 200 > i);
        }
    }
}

/* A naive model of Redis: whoever comes first of those who know the newest revision wins. All hear
 * of it after `delay`. Each has always something to write. */
#define WRITERS 4

static void all_who_always_write_get_their_share(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    fb_turns_t turns[WRITERS];
    unsigned wins[WRITERS] = {0};
    uint64_t now = 1000 * MS;
    for (uint32_t i = 0; i < WRITERS; i++)
        fb_turns_init(&turns[i], (uint32_t)chance_u64(&chance));
    for (unsigned round = 0; round < 4000; round++) {
        unsigned first = 0;
        uint64_t when[WRITERS];
        for (unsigned i = 0; i < WRITERS; i++) {
            when[i] = fb_turns_next_ns(&turns[i], now);
            when[i] = (when[i] > now ? when[i] : now) + chance_below(&chance, 100000);
            if (when[i] < when[first])
                first = i;
        }
        for (unsigned i = 0; i < WRITERS; i++) {
            /* Those who tried before they could hear of it come second, and are announced. */
            for (unsigned k = 0; i != first && when[i] < when[first] + 300000 && k < WRITERS; k++)
                fb_turns_wants(&turns[k], turns[i].self, 500000, when[i]);
        }
        now = when[first] + 500000;
        wins[first]++;
        for (unsigned i = 0; i < WRITERS; i++)
            fb_turns_saw(&turns[i], turns[first].self, now);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        print_message("writer %u: %u\n", i, wins[i]);
        assert_true(wins[i] > 4000 / WRITERS * 8 / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_writes_alone_never_waits),
        cmocka_unit_test(turns_go_round_by_id),
        cmocka_unit_test(who_is_silent_is_not_waited_for),
        cmocka_unit_test(who_came_second_gets_a_turn),
        cmocka_unit_test(who_is_further_from_redis_gets_a_longer_turn),
        cmocka_unit_test(the_length_of_a_turn_is_bounded),
        cmocka_unit_test(of_too_many_authors_the_most_silent_are_forgotten),
        cmocka_unit_test(all_who_always_write_get_their_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
