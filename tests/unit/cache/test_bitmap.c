/* SPDX-License-Identifier: MIT */
#include "cache/bitmap.h"

#include "tests/unit/cache/random.h"

/* The numbers that the tests use lie in three windows: at the beginning, around the border between
 * two leaves of the table of pages, and at the end. The model has a byte for each. */
#define WINDOW (3 * FB_BITMAP_PAGE_BITS + 100)
#define MODEL  (3 * WINDOW)
#define LEAF   (FB_TABLE_LEAF_KEYS * FB_BITMAP_PAGE_BITS)

typedef struct {
    fb_bitmap_t bitmap;
    uint8_t has[MODEL];
} version_t;

static uint32_t number_at(uint32_t i)
{
    static const uint32_t starts[] = {0, LEAF - WINDOW / 2, UINT32_MAX - WINDOW + 1};
    return starts[i / WINDOW] + i % WINDOW;
}

/* The place of the least number >= `number` that the model has; MODEL if there is none. */
static uint32_t place_of(uint32_t number)
{
    uint32_t low = 0, high = MODEL;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (number_at(middle) < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A place near the border of a page or of a word, or any. */
static uint32_t chance_place(chance_t *chance)
{
    uint32_t i = chance_below(chance, MODEL);
    if (chance_below(chance, 3) == 0)
        i = place_of(number_at(i) / FB_BITMAP_PAGE_BITS * FB_BITMAP_PAGE_BITS);
    else if (chance_below(chance, 3) == 0)
        i = place_of(number_at(i) / 64 * 64);
    return (i + chance_below(chance, 3)) % MODEL;
}

static void version_put(version_t *version, fb_build_t *build, uint32_t i, bool set)
{
    assert_int_equal(fb_bitmap_put(&version->bitmap, build, number_at(i), set),
                     version->has[i] != set);
    version->has[i] = set;
}

static void version_check(const version_t *version)
{
    const fb_bitmap_t *bitmap = &version->bitmap;
    uint32_t number = 0, pages = 0, page = UINT32_MAX;
    uint64_t count = 0;
    for (uint32_t i = 0; i < MODEL; i++) {
        if (!version->has[i])
            continue;
        assert_true(count == 0 || number != 0);
        assert_true(fb_bitmap_next(bitmap, &number));
        assert_int_equal(number, number_at(i));
        pages += number / FB_BITMAP_PAGE_BITS != page;
        page = number / FB_BITMAP_PAGE_BITS;
        count++;
        number++;
    }
    assert_int_equal(bitmap->count, count);
    assert_int_equal(bitmap->pages.count, pages);
    uint32_t stays = number;
    if (count == 0 || number != 0)
        assert_false(fb_bitmap_next(bitmap, &number));
    assert_int_equal(number, stays);
}

static void an_empty_bitmap_has_nothing(void **state)
{
    (void)state;
    fb_bitmap_t bitmap = {0};
    uint32_t number = 0;
    assert_false(fb_bitmap_has(&bitmap, 0));
    assert_false(fb_bitmap_has(&bitmap, UINT32_MAX));
    assert_false(fb_bitmap_next(&bitmap, &number));
    fb_build_t *build = fb_build_create();
    assert_false(fb_bitmap_put(&bitmap, build, 5, false));
    fb_bitmap_clear(&bitmap, build);
    assert_int_equal(build_finish(&build), 0);
    const fb_bitmap_filter_t filter = {.all = &bitmap};
    assert_int_equal(fb_bitmap_count(&filter), 0);
    assert_int_equal(fb_bitmap_select(&filter, 0, &number, 1, NULL), 0);
    assert_int_equal(fb_bitmap_select_down(&filter, UINT32_MAX, &number, 1), 0);
    assert_true(fb_bitmap_gap(&bitmap, &number));
    assert_int_equal(number, 0);
    uint64_t passed = 1;
    assert_int_equal(fb_bitmap_select(&filter, 0, &number, 1, &passed), 0);
    assert_int_equal(passed, 0);
}

static void a_page_without_a_bit_goes(void **state)
{
    (void)state;
    fb_bitmap_t bitmap = {0};
    fb_build_t *build = fb_build_create();
    assert_true(fb_bitmap_put(&bitmap, build, 8191, true));
    assert_true(fb_bitmap_put(&bitmap, build, 8192, true));
    assert_int_equal(bitmap.pages.count, 2);
    assert_int_equal(build_finish(&build), 0);

    build = fb_build_create();
    assert_true(fb_bitmap_put(&bitmap, build, 8191, false));
    assert_int_equal(bitmap.pages.count, 1);
    assert_false(fb_bitmap_has(&bitmap, 8191));
    assert_true(fb_bitmap_has(&bitmap, 8192));
    assert_int_equal(build_finish(&build), 2); /* the page and the leaf that had it */

    build = fb_build_create();
    assert_true(fb_bitmap_put(&bitmap, build, 8192, false));
    assert_null(bitmap.pages.root);
    assert_int_equal(build_finish(&build), 2);
}

static void the_pages_that_are_there_come_in_their_order(void **state)
{
    (void)state;
    static const uint32_t numbers[] = {3, 2 * FB_BITMAP_PAGE_BITS + 64, UINT32_MAX};
    fb_bitmap_t bitmap = {0};
    fb_build_t *build = fb_build_create();
    uint32_t page = 0;
    assert_null(fb_bitmap_page(&bitmap, &page));
    for (size_t i = 0; i < 3; i++)
        fb_bitmap_put(&bitmap, build, numbers[i], true);
    for (size_t i = 0; i < 3; i++, page++) {
        const uint64_t *words = fb_bitmap_page(&bitmap, &page);
        assert_non_null(words);
        assert_int_equal(page, numbers[i] / FB_BITMAP_PAGE_BITS);
        assert_int_equal(words[numbers[i] % FB_BITMAP_PAGE_BITS / 64],
                         (uint64_t)1 << numbers[i] % 64);
    }
    assert_null(fb_bitmap_page(&bitmap, &page));
    fb_bitmap_clear(&bitmap, build);
    assert_int_equal(build_finish(&build), 0);
}

static void what_changes_nothing_copies_nothing(void **state)
{
    (void)state;
    fb_bitmap_t bitmap = {0};
    fb_build_t *build = fb_build_create();
    fb_bitmap_put(&bitmap, build, 100, true);
    assert_int_equal(build_finish(&build), 0);
    build = fb_build_create();
    const fb_bitmap_t before = bitmap;
    assert_false(fb_bitmap_put(&bitmap, build, 100, true));
    assert_false(fb_bitmap_put(&bitmap, build, 101, false));
    assert_false(fb_bitmap_put(&bitmap, build, 900000, false));
    assert_memory_equal(&bitmap, &before, sizeof(before));
    assert_int_equal(build_finish(&build), 0);
    build = fb_build_create();
    fb_bitmap_clear(&bitmap, build);
    assert_int_equal(build_finish(&build), 2);
}

static void a_random_program_agrees_with_an_array_of_bytes(void **state)
{
    (void)state;
    enum { BUILDS = 150, CHANGES_MAX = 400 };
    chance_t chance = chance_init();
    versions_t versions = {0};
    version_t *current = calloc(1, sizeof(*current));
    fb_build_t *build = fb_build_create();
    versions_push(&versions, &build, current);
    for (int i = 0; i < BUILDS; i++) {
        build = fb_build_create();
        version_t *next = malloc(sizeof(*next));
        *next = *current;
        uint32_t sets_of_8 = i / 15 % 2 == 0 ? 7 : 1;
        for (uint32_t n = chance_below(&chance, CHANGES_MAX); n > 0; n--) {
            bool set = chance_below(&chance, 8) < sets_of_8;
            uint32_t number = number_at(chance_place(&chance));
            if (!set && !fb_bitmap_next(&next->bitmap, &number))
                continue;
            version_put(next, build, place_of(number), set);
            assert_int_equal(fb_bitmap_has(&next->bitmap, number), set);
        }
        if (chance_below(&chance, 4) == 0) {
            version_check(next);
            fb_build_abort(&build);
            free(next);
            version_check(current);
            continue;
        }
        versions_push(&versions, &build, next);
        current = next;
        for (size_t kept = 0; kept < versions.count; kept++)
            version_check(versions.at[kept].state);
    }
    build = fb_build_create();
    fb_bitmap_t last = current->bitmap;
    fb_bitmap_clear(&last, build);
    assert_int_equal(last.count, 0);
    versions_dispose(&versions, &build);
}

static void a_load_takes_the_bits_in_the_order_of_setbit(void **state)
{
    (void)state;
    enum { BYTES = 5 * FB_BITMAP_PAGE_BITS / 8 };
    static uint8_t bytes[BYTES];
    chance_t chance = chance_init();
    for (int round = 0; round < 40; round++) {
        size_t len = chance_below(&chance, 4) == 0 ? 1024 * (size_t)chance_below(&chance, 5)
                                                   : chance_below(&chance, BYTES);
        /* Pages of chance, of nothing and of all. */
        for (size_t at = 0, kind = 0; at < len; at++) {
            kind = at % 1024 == 0 ? chance_below(&chance, 3) : kind;
            bytes[at] = kind == 0 ? 0 : kind == 1 ? 0xFF : (uint8_t)chance_u64(&chance);
        }
        fb_bitmap_t bitmap = {0}, by_bit = {0};
        fb_build_t *build = fb_build_create();
        fb_bitmap_load(&bitmap, build, bytes, len);
        for (uint32_t n = 0; n < BYTES * 8; n++) {
            bool set = n / 8 < len && (bytes[n / 8] >> (7 - n % 8) & 1) != 0;
            assert_int_equal(fb_bitmap_has(&bitmap, n), set);
            if (set)
                fb_bitmap_put(&by_bit, build, n, true);
        }
        assert_int_equal(bitmap.count, by_bit.count);
        assert_int_equal(bitmap.pages.count, by_bit.pages.count);
        assert_int_equal(bitmap.pages.levels, by_bit.pages.levels);
        fb_bitmap_clear(&bitmap, build);
        fb_bitmap_clear(&by_bit, build);
        assert_int_equal(build_finish(&build), 0);
    }
}

/* Sets bits as a day has them: none at all, a few, runs over a page's borders, nearly all. */
static void version_fill(version_t *version, fb_build_t *build, chance_t *chance)
{
    uint32_t kind = chance_below(chance, 5);
    if (kind == 1) {
        for (int n = 0; n < 50; n++)
            version_put(version, build, chance_place(chance), true);
    } else if (kind >= 2) {
        uint32_t percent = kind == 4 ? 95 : chance_below(chance, 30);
        for (uint32_t i = 0; i < MODEL; i++) {
            if (chance_below(chance, 100) < percent)
                version_put(version, build, i, true);
        }
        for (uint32_t i = chance_place(chance), n = chance_below(chance, 20000); n > 0; n--)
            version_put(version, build, (i + n) % MODEL, kind == 2);
    }
}

#define OPERANDS_MAX 200

typedef struct {
    const version_t *all, *also, *without[OPERANDS_MAX];
    const fb_bitmap_t *without_bitmaps[OPERANDS_MAX];
    uint32_t without_count;
} question_t;

/* The same downwards, from a number that need not pass. */
static void check_down(const fb_bitmap_filter_t *filter, const uint32_t *expected, uint32_t count,
                       chance_t *chance)
{
    static uint32_t found[MODEL];
    for (int round = 0; round < 20; round++) {
        uint32_t from = round == 0 ? UINT32_MAX : number_at(chance_place(chance)), rest = count;
        uint32_t max = chance_below(chance, chance_below(chance, 2) == 0 ? 10 : MODEL);
        while (rest > 0 && expected[rest - 1] > from)
            rest--;
        size_t wanted = rest < max ? rest : max;
        assert_int_equal(fb_bitmap_select_down(filter, from, found, max), wanted);
        for (size_t i = 0; i < wanted; i++)
            assert_int_equal(found[i], expected[rest - 1 - i]);
    }
}

static void question_check(const question_t *question, chance_t *chance)
{
    static uint32_t expected[MODEL], found[MODEL];
    uint32_t count = 0;
    for (uint32_t i = 0; i < MODEL; i++) {
        bool passes = question->all->has[i] && (!question->also || question->also->has[i]);
        for (uint32_t n = 0; n < question->without_count && passes; n++)
            passes = !question->without[n] || !question->without[n]->has[i];
        if (passes)
            expected[count++] = number_at(i);
    }
    const fb_bitmap_filter_t filter = {
        .all = &question->all->bitmap,
        .also = question->also ? &question->also->bitmap : NULL,
        .without = question->without_bitmaps,
        .without_count = question->without_count,
    };
    assert_int_equal(fb_bitmap_count(&filter), count);
    assert_int_equal(fb_bitmap_select(&filter, 0, found, MODEL, NULL), count);
    assert_memory_equal(found, expected, count * sizeof(*found));
    assert_int_equal(fb_bitmap_select(&filter, 0, found, 0, NULL), 0);
    uint64_t passed = UINT64_MAX;
    assert_int_equal(fb_bitmap_select(&filter, 0, found, 0, &passed), 0);
    assert_int_equal(passed, count);
    for (int round = 0; round < 30; round++) {
        uint32_t from = number_at(chance_place(chance)), first = 0;
        uint32_t max = chance_below(chance, chance_below(chance, 2) == 0 ? 10 : MODEL);
        while (first < count && expected[first] < from)
            first++;
        uint32_t rest = count - first < max ? count - first : max;
        assert_int_equal(fb_bitmap_select(&filter, from, found, max, NULL), rest);
        assert_memory_equal(found, expected + first, rest * sizeof(*found));
        memset(found, 0, rest * sizeof(*found));
        passed = UINT64_MAX;
        assert_int_equal(fb_bitmap_select(&filter, from, found, max, &passed), rest);
        assert_memory_equal(found, expected + first, rest * sizeof(*found));
        assert_int_equal(passed, count);
    }
    check_down(&filter, expected, count, chance);
}

/* The greatest number up to each place that the set has not. */
static void gaps_agree_with_sets_computed_naively(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    for (int round = 0; round < 12; round++) {
        version_t *set = calloc(1, sizeof(*set));
        fb_build_t *build = fb_build_create();
        version_fill(set, build, &chance);
        for (uint32_t i = 0; round % 3 == 0 && i < WINDOW; i++) /* whole pages, from 0 on */
            version_put(set, build, i, true);
        uint32_t gap = 0;
        bool is_there = false;
        for (uint32_t i = 0; i < MODEL; i++) {
            uint32_t number = number_at(i);
            if (i % WINDOW == 0 && i > 0) { /* between the windows is nothing */
                gap = number - 1;
                is_there = true;
            }
            if (!set->has[i]) {
                gap = number;
                is_there = true;
            }
            uint32_t found = number;
            assert_int_equal(fb_bitmap_gap(&set->bitmap, &found), is_there);
            assert_int_equal(found, is_there ? gap : number);
        }
        fb_bitmap_clear(&set->bitmap, build);
        assert_int_equal(build_finish(&build), 0);
        free(set);
    }
}

static void filters_agree_with_sets_computed_naively(void **state)
{
    (void)state;
    enum { SETS = 12, ROUNDS = 60 };
    chance_t chance = chance_init();
    version_t *sets = calloc(SETS, sizeof(*sets));
    fb_build_t *build = fb_build_create();
    for (int i = 0; i < SETS; i++) {
        version_fill(&sets[i], build, &chance);
        version_check(&sets[i]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        /* Few operands for the most part, else hardly anything passes. */
        uint32_t operands_max = round % 10 == 0 ? OPERANDS_MAX : 8;
        uint32_t variety = 1 + chance_below(&chance, SETS);
        question_t question = {.all = &sets[chance_below(&chance, SETS)]};
        if (chance_below(&chance, 2) == 0)
            question.also = &sets[chance_below(&chance, SETS)];
        question.without_count = chance_below(&chance, operands_max + 1);
        for (uint32_t n = 0; n < question.without_count; n++) {
            if (chance_below(&chance, 4) == 0)
                continue;
            question.without[n] = &sets[chance_below(&chance, variety)];
            question.without_bitmaps[n] = &question.without[n]->bitmap;
        }
        question_check(&question, &chance);
    }
    for (int i = 0; i < SETS; i++)
        fb_bitmap_clear(&sets[i].bitmap, build);
    assert_int_equal(build_finish(&build), 0);
    free(sets);
}

static void a_filter_of_nulls_passes_all(void **state)
{
    (void)state;
    enum { OPERANDS = 300 };
    static const fb_bitmap_t *const nulls[OPERANDS];
    fb_bitmap_t bitmap = {0};
    fb_build_t *build = fb_build_create();
    fb_bitmap_put(&bitmap, build, 0, true);
    fb_bitmap_put(&bitmap, build, UINT32_MAX, true);
    const fb_bitmap_filter_t filter = {&bitmap, NULL, nulls, OPERANDS};
    uint32_t numbers[3];
    assert_int_equal(fb_bitmap_count(&filter), 2);
    assert_int_equal(fb_bitmap_select(&filter, 0, numbers, 3, NULL), 2);
    assert_int_equal(numbers[0], 0);
    assert_int_equal(numbers[1], UINT32_MAX);
    assert_int_equal(fb_bitmap_select(&filter, UINT32_MAX, numbers, 3, NULL), 1);
    assert_int_equal(numbers[0], UINT32_MAX);
    assert_int_equal(fb_bitmap_select_down(&filter, UINT32_MAX, numbers, 3), 2);
    assert_int_equal(numbers[0], UINT32_MAX);
    assert_int_equal(numbers[1], 0);
    assert_int_equal(fb_bitmap_select_down(&filter, 0, numbers, 3), 1);
    fb_build_abort(&build);
}

/* Each operand takes one number away: none may be lost, however many there are. */
static void every_one_of_many_operands_counts(void **state)
{
    (void)state;
    enum { OPERANDS = 800, FIRST = LEAF - OPERANDS / 2 };
    static fb_bitmap_t all, days[OPERANDS];
    static const fb_bitmap_t *without[OPERANDS];
    static uint32_t numbers[OPERANDS];
    fb_build_t *build = fb_build_create();
    for (uint32_t i = 0; i < OPERANDS; i++) {
        fb_bitmap_put(&all, build, FIRST + i, true);
        fb_bitmap_put(&days[i], build, FIRST + i, true);
        without[i] = &days[i];
    }
    for (uint32_t n = 0; n <= OPERANDS; n++) {
        const fb_bitmap_filter_t filter = {&all, NULL, without, n};
        assert_int_equal(fb_bitmap_count(&filter), OPERANDS - n);
        assert_int_equal(fb_bitmap_select(&filter, 0, numbers, OPERANDS, NULL), OPERANDS - n);
        for (uint32_t i = n; i < OPERANDS; i++)
            assert_int_equal(numbers[i - n], FIRST + i);
    }
    /* All of them on one page. */
    for (uint32_t i = 0; i < OPERANDS; i++)
        fb_bitmap_put(&days[i], build, FIRST, true);
    const fb_bitmap_filter_t filter = {&all, &days[0], without + 1, OPERANDS - 1};
    assert_int_equal(fb_bitmap_count(&filter), 0);
    fb_build_abort(&build);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_bitmap_has_nothing),
        cmocka_unit_test(a_page_without_a_bit_goes),
        cmocka_unit_test(the_pages_that_are_there_come_in_their_order),
        cmocka_unit_test(what_changes_nothing_copies_nothing),
        cmocka_unit_test(a_random_program_agrees_with_an_array_of_bytes),
        cmocka_unit_test(a_load_takes_the_bits_in_the_order_of_setbit),
        cmocka_unit_test(gaps_agree_with_sets_computed_naively),
        cmocka_unit_test(filters_agree_with_sets_computed_naively),
        cmocka_unit_test(a_filter_of_nulls_passes_all),
        cmocka_unit_test(every_one_of_many_operands_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
