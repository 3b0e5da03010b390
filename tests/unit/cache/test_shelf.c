/* SPDX-License-Identifier: MIT */
#include "cache/shelf.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/unit/cache/random.h"

static uint64_t put_number(fb_shelf_t *shelf, uint64_t number, size_t garbage_count)
{
    uint64_t *snapshot = malloc(sizeof(*snapshot));
    *snapshot = number;
    void **garbage = garbage_count == 0 ? NULL : malloc(garbage_count * sizeof(*garbage));
    for (size_t i = 0; i < garbage_count; i++)
        garbage[i] = malloc(100);
    return fb_shelf_put(shelf, snapshot, garbage, garbage_count);
}

static uint64_t taken_number(fb_reader_t *reader)
{
    return *(const uint64_t *)fb_shelf_take(reader);
}

static void a_take_before_the_first_put_is_null(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    fb_reader_t *reader = fb_shelf_reader_create(shelf);
    assert_null(fb_shelf_current(shelf));
    assert_null(fb_shelf_take(reader));
    assert_int_equal(fb_shelf_reached(shelf), 0);
    fb_shelf_reader_destroy(&reader);
    assert_null(reader);
    fb_shelf_destroy(&shelf);
    assert_null(shelf);
}

static void snapshots_are_numbered_from_one_and_the_newest_is_taken(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    fb_reader_t *reader = fb_shelf_reader_create(shelf);
    for (uint64_t number = 1; number <= 5; number++) {
        assert_int_equal(put_number(shelf, number, 0), number);
        assert_int_equal(*(const uint64_t *)fb_shelf_current(shelf), number);
    }
    assert_int_equal(taken_number(reader), 5);
    assert_int_equal(fb_shelf_reached(shelf), 5);
    fb_shelf_reader_destroy(&reader);
    fb_shelf_destroy(&shelf);
}

static void what_a_reader_pins_is_held_back_until_its_next_take(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    fb_reader_t *slow = fb_shelf_reader_create(shelf), *quick = fb_shelf_reader_create(shelf);
    put_number(shelf, 1, 0);
    const uint64_t *pinned = fb_shelf_take(slow);
    put_number(shelf, 2, 10);
    put_number(shelf, 3, 20);
    assert_int_equal(taken_number(quick), 3);
    assert_int_equal(fb_shelf_reached(shelf), 1);
    assert_int_equal(fb_shelf_reclaim(shelf), 32);
    assert_int_equal(*pinned, 1);

    assert_int_equal(taken_number(slow), 3);
    assert_int_equal(fb_shelf_reached(shelf), 3);
    assert_int_equal(fb_shelf_reclaim(shelf), 0);
    put_number(shelf, 4, 5);
    assert_int_equal(fb_shelf_reclaim(shelf), 6);
    fb_shelf_reader_destroy(&slow);
    fb_shelf_reader_destroy(&quick);
    assert_int_equal(fb_shelf_reclaim(shelf), 0);
    fb_shelf_destroy(&shelf);
}

static void without_readers_nothing_waits(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    assert_int_equal(fb_shelf_reached(shelf), UINT64_MAX);
    put_number(shelf, 1, 3);
    put_number(shelf, 2, 3);
    assert_int_equal(fb_shelf_reclaim(shelf), 0);
    assert_int_equal(*(const uint64_t *)fb_shelf_current(shelf), 2);
    fb_shelf_destroy(&shelf);
}

static void a_new_reader_holds_back_all_until_its_first_take(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    put_number(shelf, 1, 0);
    fb_reader_t *reader = fb_shelf_reader_create(shelf);
    put_number(shelf, 2, 1);
    assert_int_equal(fb_shelf_reached(shelf), 0);
    assert_int_equal(fb_shelf_reclaim(shelf), 2);
    assert_int_equal(taken_number(reader), 2);
    assert_int_equal(fb_shelf_reclaim(shelf), 0);
    fb_shelf_reader_destroy(&reader);

    /* So does the next one in its place. */
    reader = fb_shelf_reader_create(shelf);
    assert_int_equal(fb_shelf_reached(shelf), 0);
    put_number(shelf, 3, 1);
    assert_int_equal(fb_shelf_reclaim(shelf), 2);
    fb_shelf_reader_destroy(&reader);
    assert_int_equal(fb_shelf_reclaim(shelf), 0);
    fb_shelf_destroy(&shelf);
}

static void a_visitor_holds_back_what_it_sees_and_nobody_waits_for_it(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    fb_reader_t *reader = fb_shelf_reader_create(shelf), *visitor = fb_shelf_visitor_create(shelf);
    assert_null(fb_shelf_visit(visitor));
    put_number(shelf, 1, 0);
    assert_int_equal(taken_number(reader), 1);
    const uint64_t *seen = fb_shelf_visit(visitor);
    assert_int_equal(*seen, 1);
    put_number(shelf, 2, 5);
    put_number(shelf, 3, 5);
    assert_int_equal(taken_number(reader), 3);
    assert_int_equal(fb_shelf_reached(shelf), 3);
    assert_int_equal(fb_shelf_reclaim(shelf), 12);
    assert_int_equal(*seen, 1);

    /* A second visit lets go of the first one. */
    assert_int_equal(*(const uint64_t *)fb_shelf_visit(visitor), 3);
    assert_int_equal(fb_shelf_reclaim(shelf), 0);
    put_number(shelf, 4, 5);
    assert_int_equal(taken_number(reader), 4);
    assert_int_equal(fb_shelf_reclaim(shelf), 6);
    fb_shelf_leave(visitor);
    assert_int_equal(fb_shelf_reclaim(shelf), 0);
    fb_shelf_reader_destroy(&reader);
    assert_int_equal(fb_shelf_reached(shelf), UINT64_MAX);
    fb_shelf_reader_destroy(&visitor);
    fb_shelf_destroy(&shelf);
}

static void a_visitor_holds_nothing_before_its_first_visit(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    put_number(shelf, 1, 0);
    fb_reader_t *visitor = fb_shelf_visitor_create(shelf);
    put_number(shelf, 2, 1);
    assert_int_equal(fb_shelf_reached(shelf), UINT64_MAX);
    assert_int_equal(fb_shelf_reclaim(shelf), 0);
    assert_int_equal(*(const uint64_t *)fb_shelf_visit(visitor), 2);
    fb_shelf_reader_destroy(&visitor);

    /* Nor does it leave anything to the reader in its place, or the other way round. */
    fb_reader_t *reader = fb_shelf_reader_create(shelf);
    assert_int_equal(fb_shelf_reached(shelf), 0);
    fb_shelf_reader_destroy(&reader);
    fb_shelf_destroy(&shelf);
}

static void there_is_room_for_so_many_readers(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    fb_reader_t *readers[FB_SHELF_READERS_MAX];
    for (size_t i = 0; i < FB_SHELF_READERS_MAX; i++) {
        readers[i] = fb_shelf_reader_create(shelf);
        assert_non_null(readers[i]);
    }
    assert_null(fb_shelf_reader_create(shelf));
    fb_shelf_reader_destroy(&readers[17]);
    readers[17] = fb_shelf_reader_create(shelf);
    assert_non_null(readers[17]);
    for (size_t i = 0; i < FB_SHELF_READERS_MAX; i++)
        fb_shelf_reader_destroy(&readers[i]);
    fb_shelf_destroy(&shelf);
}

static void destroying_the_shelf_frees_what_waits(void **state)
{
    (void)state;
    fb_shelf_t *shelf = fb_shelf_create();
    fb_reader_t *reader = fb_shelf_reader_create(shelf);
    for (uint64_t number = 1; number <= 100; number++)
        put_number(shelf, number, 7);
    assert_int_equal(fb_shelf_reclaim(shelf), 99 + 100 * 7);
    fb_shelf_reader_destroy(&reader);
    fb_shelf_destroy(&shelf); /* the sanitizer finds what is left */
    assert_null(shelf);
}

/* A snapshot of parts which it shares with those before it. */
#define PARTS 16

typedef struct {
    uint64_t born;
    uint64_t check; /* ~born as long as it lives */
} part_t;

typedef struct {
    uint64_t number;
    const part_t *parts[PARTS];
    uint64_t check;
} fleet_t;

typedef struct {
    fb_shelf_t *shelf;
    atomic_bool stop;
    atomic_uint_fast64_t faults; /* cmocka may fail on its own thread only */
    atomic_uint_fast64_t takes;
} stage_t;

static bool fleet_is_sound(const fleet_t *fleet, uint64_t number_min)
{
    bool sound = fleet->number >= number_min && fleet->check == ~fleet->number;
    for (size_t i = 0; i < PARTS; i++) {
        const part_t *part = fleet->parts[i];
        sound = sound && part->check == ~part->born && part->born <= fleet->number;
    }
    return sound;
}

/* Takes `takes` times, or until the end where that is 0, and looks at all that it can see. */
static void read_along(stage_t *stage, fb_reader_t *reader, uint64_t takes)
{
    uint64_t number_min = 1;
    for (uint64_t n = 1; n != takes + 1 && !atomic_load(&stage->stop); n++) {
        const fleet_t *fleet = fb_shelf_take(reader);
        for (uint64_t looks = 0; looks < n % 4 + 1; looks++) {
            if (!fleet_is_sound(fleet, number_min))
                atomic_fetch_add(&stage->faults, 1);
            if (n % 16 == 0)
                sched_yield();
        }
        number_min = fleet->number;
        atomic_fetch_add_explicit(&stage->takes, 1, memory_order_relaxed);
    }
}

static void *on_reader(void *context)
{
    stage_t *stage = context;
    fb_reader_t *reader = fb_shelf_reader_create(stage->shelf);
    read_along(stage, reader, 0);
    fb_shelf_reader_destroy(&reader);
    return NULL;
}

static void *on_passer_by(void *context)
{
    stage_t *stage = context;
    for (uint64_t n = 0; !atomic_load(&stage->stop); n++) {
        fb_reader_t *reader = fb_shelf_reader_create(stage->shelf);
        read_along(stage, reader, 1 + n % 5);
        fb_shelf_reader_destroy(&reader);
    }
    return NULL;
}

static void *on_visitor(void *context)
{
    stage_t *stage = context;
    fb_reader_t *visitor = fb_shelf_visitor_create(stage->shelf);
    uint64_t number_min = 1;
    for (uint64_t n = 0; !atomic_load(&stage->stop); n++) {
        const fleet_t *fleet = fb_shelf_visit(visitor);
        for (uint64_t looks = 0; looks < n % 4 + 1; looks++) {
            if (!fleet_is_sound(fleet, number_min))
                atomic_fetch_add(&stage->faults, 1);
            sched_yield();
        }
        number_min = fleet->number;
        if (n % 3 != 0)
            fb_shelf_leave(visitor);
        atomic_fetch_add_explicit(&stage->takes, 1, memory_order_relaxed);
    }
    fb_shelf_reader_destroy(&visitor);
    return NULL;
}

static part_t *part_create(fb_build_t *build, uint64_t born)
{
    part_t *part = fb_build_alloc(build, sizeof(*part));
    *part = (part_t){born, ~born};
    return part;
}

/* Puts the next fleet, with a few parts of its own. */
static uint64_t put_fleet(fb_shelf_t *shelf, chance_t *chance)
{
    const fleet_t *before = fb_shelf_current(shelf);
    fb_build_t *build = fb_build_create();
    fleet_t *fleet = malloc(sizeof(*fleet));
    *fleet = before != NULL ? *before : (fleet_t){0};
    fleet->number++;
    fleet->check = ~fleet->number;
    for (size_t i = 0; i < PARTS; i++) {
        if (before == NULL || chance_below(chance, 5) == 0) {
            fb_build_retire(build, fleet->parts[i]);
            fleet->parts[i] = part_create(build, fleet->number);
        }
    }
    void **garbage;
    size_t count;
    fb_build_seal(&build, &garbage, &count);
    return fb_shelf_put(shelf, fleet, garbage, count);
}

static void no_reader_ever_sees_a_freed_block(void **state)
{
    (void)state;
    enum {
        READERS = 4,
        PASSERS_BY = 2,
        VISITORS = 2,
        RUN_MS = 1000,
        PUTS_MIN = 50,
        WAITING_MAX = 10000
    };
    mallopt(M_PERTURB, 0xA5); /* freed blocks lose their content, without a sanitizer too */
    chance_t chance = chance_init();
    stage_t stage = {.shelf = fb_shelf_create()};
    uint64_t number = put_fleet(stage.shelf, &chance);
    pthread_t threads[READERS + PASSERS_BY + VISITORS];
    for (size_t i = 0; i < READERS + PASSERS_BY + VISITORS; i++) {
        void *(*run)(void *) = i < READERS                ? on_reader
                               : i < READERS + PASSERS_BY ? on_passer_by
                                                          : on_visitor;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &stage), 0);
    }

    uint64_t end_ms = fb_clock_monotonic_ms() + RUN_MS;
    while (fb_clock_monotonic_ms() < end_ms || number < PUTS_MIN) {
        while (fb_shelf_reclaim(stage.shelf) > WAITING_MAX)
            sched_yield();
        assert_int_equal(put_fleet(stage.shelf, &chance), number + 1);
        number++;
        if (chance_below(&chance, 50) == 0)
            sched_yield();
    }
    while (fb_shelf_reached(stage.shelf) < number)
        sched_yield();
    atomic_store(&stage.stop, true);
    for (size_t i = 0; i < READERS + PASSERS_BY + VISITORS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    /* Not before: who has just come holds back all until its first take. */
    assert_int_equal(fb_shelf_reclaim(stage.shelf), 0);
    mallopt(M_PERTURB, 0);

    print_message("%llu puts, %llu takes\n", (unsigned long long)number,
                  (unsigned long long)atomic_load(&stage.takes));
    assert_int_equal(atomic_load(&stage.faults), 0);
    assert_true(atomic_load(&stage.takes) > READERS);
    const fleet_t *last = fb_shelf_current(stage.shelf);
    for (size_t i = 0; i < PARTS; i++)
        free((void *)last->parts[i]);
    fb_shelf_destroy(&stage.shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_take_before_the_first_put_is_null),
        cmocka_unit_test(snapshots_are_numbered_from_one_and_the_newest_is_taken),
        cmocka_unit_test(what_a_reader_pins_is_held_back_until_its_next_take),
        cmocka_unit_test(without_readers_nothing_waits),
        cmocka_unit_test(a_new_reader_holds_back_all_until_its_first_take),
        cmocka_unit_test(a_visitor_holds_back_what_it_sees_and_nobody_waits_for_it),
        cmocka_unit_test(a_visitor_holds_nothing_before_its_first_visit),
        cmocka_unit_test(there_is_room_for_so_many_readers),
        cmocka_unit_test(destroying_the_shelf_frees_what_waits),
        cmocka_unit_test(no_reader_ever_sees_a_freed_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
