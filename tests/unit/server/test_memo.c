/* SPDX-License-Identifier: MIT */
#include "server/memo.h"

#include "tests/unit/random.h"

#define PLENTY ((size_t)1 << 30)

/* Views of a fleet that is nothing but stamps: the stamp of thing n, which is the {id}. */
#define THINGS 64

static uint64_t stamps[THINGS];
static unsigned stamps_asked;

static uint64_t stamp_of_thing(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    assert_true(snapshot->serial > 0);
    stamps_asked++;
    return stamps[args->ids[0]];
}

static const fb_view_t thing_view = {.path = "/things/{id}", .stamp = stamp_of_thing};

typedef struct {
    fb_memo_t *memo;
    fb_loop_metrics_t *metrics;
    fb_snapshot_t snapshot;
} memo_t;

static memo_t memo_create(size_t bytes_max)
{
    memo_t memo = {.metrics = calloc(1, sizeof(fb_loop_metrics_t)), .snapshot = {.serial = 1}};
    memo.memo = fb_memo_create(bytes_max, memo.metrics);
    memset(stamps, 0, sizeof(stamps));
    return memo;
}

static void memo_dispose(memo_t *memo)
{
    fb_memo_destroy(&memo->memo);
    assert_null(memo->memo);
    free(memo->metrics);
}

/* Answers `target` with `body`; the caller's reference is the answer's. */
static fb_memo_entry_t *put(memo_t *memo, const char *target, uint32_t thing, const char *body,
                            size_t padding)
{
    fb_args_t args = {.ids = {thing}, .id_count = 1};
    fb_buffer_t text = {0};
    char etag[FB_ETAG_BYTES + 1];
    fb_buffer_put_text(&args.decoded, "decoded"); /* the entry owns what the arguments own */
    fb_buffer_put_text(&text, body);
    memset(fb_buffer_reserve(&text, padding), ' ', padding);
    text.len += padding;
    fb_etag(fb_buffer_slice(&text), etag);
    fb_memo_entry_t *entry =
        fb_memo_put(memo->memo, fb_slice(target), &memo->snapshot, &thing_view, &args, 5, &text);
    assert_null(text.at);
    assert_null(args.decoded.at);
    assert_string_equal(entry->etag, etag);
    assert_int_equal(entry->route, 5);
    assert_int_equal(entry->body.len, strlen(body) + padding);
    return entry;
}

static void put_and_release(memo_t *memo, const char *target, uint32_t thing, const char *body,
                            size_t padding)
{
    h2o_mem_release_shared(put(memo, target, thing, body, padding));
}

/* Is it found, and is it this body? */
static bool finds(memo_t *memo, const char *target, const char *body)
{
    fb_memo_entry_t *entry = fb_memo_find(memo->memo, fb_slice(target), &memo->snapshot);
    if (entry == NULL)
        return false;
    assert_int_equal(entry->target.len, strlen(target));
    assert_memory_equal(entry->target.base, target, strlen(target));
    assert_true(entry->body.len >= strlen(body));
    assert_memory_equal(entry->body.base, body, strlen(body));
    return true;
}

static void assert_counts(const memo_t *memo, uint64_t hits, uint64_t misses, uint64_t stale,
                          uint64_t entries)
{
    assert_int_equal(fb_count_read(&memo->metrics->memo_hits), hits);
    assert_int_equal(fb_count_read(&memo->metrics->memo_misses), misses);
    assert_int_equal(fb_count_read(&memo->metrics->memo_stale), stale);
    assert_int_equal(fb_count_read(&memo->metrics->memo_entries), entries);
}

static void an_answer_is_found_by_the_bytes_of_its_target(void **state)
{
    (void)state;
    memo_t memo = memo_create(PLENTY);
    assert_false(finds(&memo, "/a", ""));
    put_and_release(&memo, "/a", 0, "A", 0);
    put_and_release(&memo, "/a?", 0, "B", 0);
    put_and_release(&memo, "", 0, "", 0);
    assert_true(finds(&memo, "/a", "A"));
    assert_true(finds(&memo, "/a?", "B"));
    assert_true(finds(&memo, "", ""));
    assert_false(finds(&memo, "/A", ""));
    assert_false(finds(&memo, "/a?x", ""));
    assert_counts(&memo, 3, 3, 0, 3);
    memo_dispose(&memo);
}

static void an_answer_goes_when_its_own_stamp_moves_and_not_before(void **state)
{
    (void)state;
    memo_t memo = memo_create(PLENTY);
    put_and_release(&memo, "/a", 1, "A", 0);
    put_and_release(&memo, "/b", 2, "B", 0);
    memo.snapshot.serial++;
    stamps[1] = memo.snapshot.serial;
    assert_true(finds(&memo, "/b", "B"));
    assert_false(finds(&memo, "/a", "A"));
    assert_counts(&memo, 1, 1, 1, 1);
    assert_false(finds(&memo, "/a", "A"));
    put_and_release(&memo, "/a", 1, "A2", 0);
    assert_true(finds(&memo, "/a", "A2"));
    assert_counts(&memo, 2, 2, 1, 2);
    memo_dispose(&memo);
}

static void a_stamp_is_looked_up_once_a_snapshot(void **state)
{
    (void)state;
    memo_t memo = memo_create(PLENTY);
    put_and_release(&memo, "/a", 1, "A", 0);
    stamps_asked = 0;
    for (int i = 0; i < 10; i++)
        assert_true(finds(&memo, "/a", "A"));
    assert_int_equal(stamps_asked, 0);
    memo.snapshot.serial++;
    for (int i = 0; i < 10; i++)
        assert_true(finds(&memo, "/a", "A"));
    assert_int_equal(stamps_asked, 1);
    memo_dispose(&memo);
}

static void an_answer_that_is_being_sent_outlives_its_place(void **state)
{
    (void)state;
    memo_t memo = memo_create(PLENTY);
    fb_memo_entry_t *stale = put(&memo, "/stale", 1, "stale", 0);
    fb_memo_entry_t *kept = put(&memo, "/kept", 2, "kept", 0);
    memo.snapshot.serial++;
    stamps[1] = 1;
    assert_false(finds(&memo, "/stale", ""));
    assert_memory_equal(stale->body.base, "stale", 5);
    assert_memory_equal(stale->args.decoded.at, "decoded", 7);
    h2o_mem_release_shared(stale);
    fb_memo_destroy(&memo.memo);
    assert_memory_equal(kept->body.base, "kept", 4);
    assert_memory_equal(kept->target.base, "/kept", 5);
    h2o_mem_release_shared(kept);
    free(memo.metrics);
}

static void an_answer_that_would_take_much_of_the_room_is_not_kept(void **state)
{
    (void)state;
    memo_t memo = memo_create(80000);
    fb_memo_entry_t *entry = put(&memo, "/large", 1, "L", 10000);
    assert_int_equal(entry->body.len, 10001);
    assert_counts(&memo, 0, 0, 0, 0);
    h2o_mem_release_shared(entry);
    assert_false(finds(&memo, "/large", ""));
    put_and_release(&memo, "/small", 1, "S", 5000);
    assert_true(finds(&memo, "/small", "S"));
    memo_dispose(&memo);
    memo = memo_create(0);
    put_and_release(&memo, "/a", 1, "A", 0);
    assert_false(finds(&memo, "/a", ""));
    memo_dispose(&memo);
}

static uint64_t ever_kept(const memo_t *memo)
{
    return fb_count_read(&memo->metrics->memo_entries) +
           fb_count_read(&memo->metrics->memo_evicted);
}

/* Where the memo is full, it keeps an answer the second time that it gets one. */
static void put_until_kept(memo_t *memo, const char *target, const char *body, size_t padding)
{
    uint64_t before = ever_kept(memo);
    put_and_release(memo, target, 0, body, padding);
    if (ever_kept(memo) == before)
        put_and_release(memo, target, 0, body, padding);
    assert_int_equal(ever_kept(memo), before + 1);
}

static void what_is_asked_for_once_takes_the_place_of_nothing(void **state)
{
    (void)state;
    enum { KEPT = 40, ONCE = 10000 };
    memo_t memo = memo_create((size_t)KEPT * 2000);
    char target[32];
    for (int i = 0; i < KEPT; i++) {
        snprintf(target, sizeof(target), "/kept/%d", i);
        put_and_release(&memo, target, 0, target, 1300);
    }
    for (int i = 0; i < ONCE; i++) {
        snprintf(target, sizeof(target), "/once/%d", i);
        fb_memo_entry_t *entry = put(&memo, target, 0, target, 1300);
        assert_memory_equal(entry->body.base, target, strlen(target)); /* it is the answer yet */
        h2o_mem_release_shared(entry);
    }
    /* It knows targets by some bits of their hashes, and may take one for another. */
    uint64_t taken_for_another = fb_count_read(&memo.metrics->memo_evicted);
    assert_true(taken_for_another < ONCE / 1000);
    put_until_kept(&memo, "/again", "again", 1300);
    assert_true(finds(&memo, "/again", "again"));
    assert_true(fb_count_read(&memo.metrics->memo_evicted) > taken_for_another);
    memo_dispose(&memo);
}

/* CLOCK: the hand passes over what was asked for since it last came by. */
static void what_is_asked_for_all_the_time_stays(void **state)
{
    (void)state;
    memo_t memo = memo_create(60000);
    put_and_release(&memo, "/hot", 0, "hot", 0);
    for (int i = 0; i < 2000; i++) {
        char target[32];
        assert_true(finds(&memo, "/hot", "hot"));
        snprintf(target, sizeof(target), "/cold/%d", i);
        put_until_kept(&memo, target, "cold", 500);
    }
    assert_true(fb_count_read(&memo.metrics->memo_evicted) > 1800);
    memo_dispose(&memo);
}

static void what_is_not_asked_for_any_more_goes_in_the_end(void **state)
{
    (void)state;
    enum { KEPT = 40 };
    memo_t memo = memo_create((size_t)KEPT * 2000);
    char target[32];
    for (int i = 0; i < KEPT; i++) {
        snprintf(target, sizeof(target), "/old/%d", i);
        put_and_release(&memo, target, 0, target, 500);
        assert_true(finds(&memo, target, target));
    }
    /* Enough for the hand to pass twice: at first it only takes note that nobody asks for them. */
    for (int i = 0; i < 20 * KEPT; i++) {
        snprintf(target, sizeof(target), "/new/%d", i);
        put_until_kept(&memo, target, target, 500);
    }
    for (int i = 0; i < KEPT; i++) {
        snprintf(target, sizeof(target), "/old/%d", i);
        assert_false(finds(&memo, target, target));
    }
    memo_dispose(&memo);
}

static void there_are_never_more_entries_than_promised(void **state)
{
    (void)state;
    enum { PUTS = FB_MEMO_ENTRIES_MAX + 1000 };
    memo_t memo = memo_create((size_t)16 << 30);
    size_t found = 0;
    for (int i = 0; i < PUTS; i++) {
        char target[32];
        snprintf(target, sizeof(target), "/%d", i);
        put_until_kept(&memo, target, target, 0);
        assert_true(fb_count_read(&memo.metrics->memo_entries) <= FB_MEMO_ENTRIES_MAX);
    }
    assert_int_equal(fb_count_read(&memo.metrics->memo_entries), FB_MEMO_ENTRIES_MAX);
    assert_int_equal(fb_count_read(&memo.metrics->memo_evicted), PUTS - FB_MEMO_ENTRIES_MAX);
    for (int i = 0; i < PUTS; i++) {
        char target[32];
        snprintf(target, sizeof(target), "/%d", i);
        found += finds(&memo, target, target);
    }
    assert_int_equal(found, FB_MEMO_ENTRIES_MAX);
    memo_dispose(&memo);
}

/* --- random programs ---------------------------------------------------------------------- */

#define TARGETS_MAX 60000

/* What was last put for each target; 0: nothing, or what is there is known to be stale. */
typedef struct {
    uint32_t version[TARGETS_MAX];
    uint64_t stamp[TARGETS_MAX];
} model_t;

static uint32_t thing_of(uint32_t target)
{
    return target % THINGS;
}

static void text_of(uint32_t target, uint32_t version, char text[48], bool body)
{
    if (body)
        snprintf(text, 48, "answer %u of %u.", version, target);
    else
        snprintf(text, 48, "/thing/%u?filter=%x", thing_of(target), target);
}

/* Asks, and where there is no answer, makes one. Returns whether there was. */
static bool ask(memo_t *memo, model_t *model, uint32_t target, uint32_t version, size_t padding)
{
    char name[48], body[48];
    text_of(target, 0, name, false);
    text_of(target, model->version[target], body, true);
    bool found = finds(memo, name, body);
    if (found) {
        assert_true(model->version[target] != 0);
        assert_int_equal(model->stamp[target], stamps[thing_of(target)]);
        return true;
    }
    text_of(target, version, body, true);
    put_and_release(memo, name, thing_of(target), body, padding);
    model->version[target] = version;
    model->stamp[target] = stamps[thing_of(target)];
    return false;
}

static void move_some_stamps(memo_t *memo, chance_t *chance)
{
    memo->snapshot.serial++;
    for (uint32_t n = chance_below(chance, 4); n > 0; n--)
        stamps[chance_below(chance, THINGS)] = memo->snapshot.serial;
}

/* With room for all, an answer is missing only where there never was one, or its stamp moved. The
 * table is nearly half full, so that many targets stand away from their home. */
static void with_room_for_all_it_agrees_with_an_array(void **state)
{
    (void)state;
    enum { STEPS = 400000 };
    chance_t chance = chance_init();
    memo_t memo = memo_create(PLENTY);
    model_t *model = calloc(1, sizeof(*model));
    uint64_t hits = 0, stale = 0, entries = 0;
    for (uint32_t step = 1; step <= STEPS; step++) {
        uint32_t target = chance_below(&chance, TARGETS_MAX);
        if (chance_below(&chance, 2000) == 0)
            move_some_stamps(&memo, &chance);
        bool there = model->version[target] != 0;
        bool holds = there && model->stamp[target] == stamps[thing_of(target)];
        stale += there && !holds;
        entries += !there;
        hits += holds;
        assert_int_equal(ask(&memo, model, target, step, 0), holds);
    }
    assert_counts(&memo, hits, STEPS - hits, stale, entries);
    assert_int_equal(fb_count_read(&memo.metrics->memo_evicted), 0);
    assert_true(hits > STEPS / 4 && stale > STEPS / 20 && entries > TARGETS_MAX * 9 / 10);
    free(model);
    memo_dispose(&memo);
}

static void with_little_room_what_it_finds_is_right_and_the_bounds_hold(void **state)
{
    (void)state;
    enum { STEPS = 60000, BYTES_MAX = 200000 };
    chance_t chance = chance_init();
    memo_t memo = memo_create(BYTES_MAX);
    model_t *model = calloc(1, sizeof(*model));
    uint64_t hits = 0;
    for (uint32_t step = 1; step <= STEPS; step++) {
        /* Few are asked for often, many seldom. */
        uint32_t target = chance_below(&chance, chance_below(&chance, 3) == 0 ? 5000 : 40);
        size_t padding = chance_below(&chance, 20) == 0 ? 30000 : chance_below(&chance, 2000);
        if (chance_below(&chance, 500) == 0)
            move_some_stamps(&memo, &chance);
        hits += ask(&memo, model, target, step, padding);
        uint64_t bytes = fb_count_read(&memo.metrics->memo_bytes);
        uint64_t entries = fb_count_read(&memo.metrics->memo_entries);
        assert_true(bytes <= BYTES_MAX);
        assert_true(entries * sizeof(fb_memo_entry_t) <= bytes);
        assert_int_equal(entries == 0, bytes == 0);
    }
    assert_true(hits > STEPS / 4);
    assert_true(fb_count_read(&memo.metrics->memo_evicted) > STEPS / 100);
    free(model);
    memo_dispose(&memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_found_by_the_bytes_of_its_target),
        cmocka_unit_test(an_answer_goes_when_its_own_stamp_moves_and_not_before),
        cmocka_unit_test(a_stamp_is_looked_up_once_a_snapshot),
        cmocka_unit_test(an_answer_that_is_being_sent_outlives_its_place),
        cmocka_unit_test(an_answer_that_would_take_much_of_the_room_is_not_kept),
        cmocka_unit_test(what_is_asked_for_once_takes_the_place_of_nothing),
        cmocka_unit_test(what_is_asked_for_all_the_time_stays),
        cmocka_unit_test(what_is_not_asked_for_any_more_goes_in_the_end),
        cmocka_unit_test(there_are_never_more_entries_than_promised),
        cmocka_unit_test(with_room_for_all_it_agrees_with_an_array),
        cmocka_unit_test(with_little_room_what_it_finds_is_right_and_the_bounds_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
