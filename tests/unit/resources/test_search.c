/* SPDX-License-Identifier: MIT */
#include "base/date.h"
#include "tests/unit/resources/plans_fleet.h"

#define PAIRS     250
#define DAYS      30 /* on which plans start */
#define KEPT      40 /* answers whose stamps are watched */
#define TARGET    200
#define KOLKATA_S 19800 /* east of UTC, always */

/* What there must be: every plan that was ever online, with its latest values. */
typedef struct {
    plan_t plans[PAIRS + 1]; /* by their numbers */
    uint32_t count;
    uint32_t number_of[PAIRS];   /* 0: not kept */
    uint64_t touched[PAIRS + 1]; /* the round in which it was put last */
    uint64_t round;
} world_t;

/* Local times, both included. */
typedef struct {
    bool has_from, has_to;
    int64_t from, to; /* local seconds since 1970 */
} span_t;

static int64_t seconds_of(fb_local_t local)
{
    return (int64_t)local.day * 86400 + local.second;
}

static bool is_wanted(const plan_t *plan, const span_t *span)
{
    return (!span->has_from || seconds_of(plan->start) >= span->from) &&
           (!span->has_to || seconds_of(plan->end) <= span->to);
}

static plan_t chance_plan(chance_t *chance, uint32_t pair)
{
    static const char *const titles[] = {"Camela", "M\xC3\xBChle", "", "Pantomima Full"};
    static const char *const modes[] = {"online", "online", "online", "offline"};
    plan_t plan = plan_of("", "");
    /* The inner ids repeat under different bases. */
    snprintf(plan.base, sizeof(plan.base), "%u", pair / 5);
    snprintf(plan.plan, sizeof(plan.plan), "%u", pair % 5);
    plan.title = titles[chance_below(chance, FB_COUNT(titles))];
    plan.mode = modes[chance_below(chance, FB_COUNT(modes))];
    plan.start.day = TODAY + (fb_day_t)chance_below(chance, DAYS);
    /* Few times, so that they meet those that are asked for. */
    plan.start.second = (int)chance_below(chance, 4) * 21600;
    int64_t end = seconds_of(plan.start) + chance_below(chance, 12) * INT64_C(21600);
    plan.end = (fb_local_t){(fb_day_t)(end / 86400), (int)(end % 86400)};
    plan.least = chance_below(chance, 5) == 0 ? -1 : chance_between(chance, 0, 3000);
    plan.most = plan.least < 0 ? -1 : plan.least + chance_below(chance, 3000);
    return plan;
}

/* A batch of the feed. */
static void put_some(world_t *world, fb_stage_t *stage, chance_t *chance)
{
    plan_t plans[20];
    size_t put, wanted = 0;
    unsigned count = 1 + chance_below(chance, 20);
    uint32_t first = chance_below(chance, PAIRS);
    world->round++;
    for (unsigned i = 0; i < count; i++) {
        uint32_t pair = (first + i) % PAIRS;
        plans[i] = chance_plan(chance, pair);
        bool is_new = world->number_of[pair] == 0;
        wanted += plan_differs(fb_stage_view(stage), plans[i]);
        if (is_new && strcmp(plans[i].mode, "online") != 0)
            continue;
        if (is_new)
            world->number_of[pair] = ++world->count;
        world->plans[world->number_of[pair]] = plans[i];
        world->touched[world->number_of[pair]] = world->round;
    }
    fb_code_t code = plans_put(stage, plans, count, &put);
    assert_int_equal(code, wanted > 0 ? FB_OK : FB_CONFLICT);
    assert_int_equal(put, wanted);
    for (unsigned i = 0; i < count; i++) { /* what putting them has made */
        uint32_t number = world->number_of[(first + i) % PAIRS];
        if (number != 0)
            world->plans[number] = plans[i];
    }
}

/* An instant that is that local time in Kolkata, in any notation. */
static void put_instant(char *text, size_t room, int64_t local, chance_t *chance)
{
    static const struct {
        const char *text;
        int seconds;
    } offsets[] = {{"Z", 0}, {"%2B05:30", 19800}, {"-03:00", -10800}, {"%2b14:00", 50400}};
    uint32_t i = chance_below(chance, FB_COUNT(offsets));
    char shown[FB_INSTANT_TEXT_BYTES];
    fb_instant_format((local - KOLKATA_S + offsets[i].seconds) * 1000, shown);
    snprintf(text, room, "%.19s%s", shown, offsets[i].text);
}

/* A question that the fleet in Kolkata is asked, and what it means there. */
static span_t chance_question(chance_t *chance, char target[TARGET])
{
    span_t span = {.has_from = chance_below(chance, 4) > 0, .has_to = chance_below(chance, 4) > 0};
    int64_t first = (int64_t)(TODAY - 2) * 86400;
    span.from = first + chance_below(chance, 4 * (DAYS + 4)) * INT64_C(21600) +
                chance_between(chance, -1, 1);
    span.to = span.from + chance_below(chance, 4 * DAYS) * INT64_C(21600) + 2;
    char from[60], to[60];
    put_instant(from, sizeof(from), span.from, chance);
    put_instant(to, sizeof(to), span.to, chance);
    snprintf(target, TARGET, "/search?%s%s%s%s", span.has_from ? "starts_at=" : "",
             span.has_from ? from : "", span.has_to ? "&ends_at=" : "", span.has_to ? to : "");
    return span;
}

/* The number of the next plan in the order of all, behind `*day` and `*number`; 0 at the end. */
static uint32_t next_wanted(const world_t *world, const span_t *span, fb_day_t *day,
                            uint32_t number)
{
    uint32_t best = 0;
    for (uint32_t n = 1; n <= world->count; n++) {
        const plan_t *plan = &world->plans[n];
        bool is_behind = plan->start.day > *day || (plan->start.day == *day && n > number);
        if (is_behind && is_wanted(plan, span) &&
            (best == 0 || plan->start.day < world->plans[best].start.day))
            best = n;
    }
    if (best != 0)
        *day = world->plans[best].start.day;
    return best;
}

static void read_or_fail(const fb_snapshot_t *snapshot, const char *target, fb_buffer_t *body)
{
    fb_error_t error;
    if (fleet_read(snapshot, target, body, NULL, &error) != FB_OK)
        fail_msg("%s: %s", target, error.detail);
}

/* The cursor of a page, or an empty text; the page is whole, whatever is in it. */
static void read_next(const fb_buffer_t *body, char cursor[64])
{
    static const char mark[] = "],\"next\":\"", begin[] = "{\"data\":{\"events\":[";
    static const char ending[] = "},\"error\":null}";
    assert_memory_equal(body->at, begin, sizeof(begin) - 1);
    assert_memory_equal(body->at + body->len - sizeof(ending) + 1, ending, sizeof(ending) - 1);
    const char *found = memmem(body->at, body->len, mark, sizeof(mark) - 1);
    cursor[0] = '\0';
    if (found != NULL)
        snprintf(cursor, 64, "%.*s", (int)strcspn(found + sizeof(mark) - 1, "\""),
                 found + sizeof(mark) - 1);
}

/* All pages, one after the other, are what the model says, and each but the last one is full. */
static void check_walk(const world_t *world, const fb_snapshot_t *snapshot, const char *target,
                       const span_t *span, size_t limit)
{
    char page[TARGET + 100], cursor[64] = "";
    fb_buffer_t body = {0}, expected = {0};
    fb_day_t day = FB_DAY_MIN;
    uint32_t number = 0;
    do {
        snprintf(page, sizeof(page), "%s&limit=%zu%s%s", target, limit, cursor[0] ? "&cursor=" : "",
                 cursor);
        read_or_fail(snapshot, page, &body);
        read_next(&body, cursor);
        expected.len = 0;
        fb_buffer_put_literal(&expected, "{\"data\":{\"events\":[");
        for (size_t i = 0; i < limit; i++) {
            number = next_wanted(world, span, &day, number);
            if (number == 0)
                break;
            fb_buffer_put_text(&expected, i > 0 ? "," : "");
            put_expected(&world->plans[number], &expected);
        }
        fb_day_t after = day;
        bool more = number != 0 && next_wanted(world, span, &after, number) != 0;
        if (more)
            fb_buffer_printf(&expected, "],\"next\":\"%s\"},\"error\":null}", cursor);
        else
            fb_buffer_put_literal(&expected, "]},\"error\":null}");
        assert_same_text(&body, &expected);
        assert_int_equal(more, cursor[0] != '\0');
    } while (cursor[0] != '\0');
    fb_buffer_dispose(&body);
    fb_buffer_dispose(&expected);
}

static void kolkata(void)
{
    fb_error_t error = {0};
    assert_int_equal(fb_zone_set("Asia/Kolkata", &error), FB_OK);
}

static void a_search_finds_what_a_naive_one_finds(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    world_t *world = calloc(1, sizeof(*world));
    history_t history = history_create(2);
    kolkata();
    for (int round = 0; round < 150; round++) {
        fb_stage_t *stage = fb_stage_begin(history_now(&history));
        for (uint32_t n = 1 + chance_below(&chance, 3); n > 0; n--)
            put_some(world, stage, &chance);
        history_push(&history, &stage);
        for (int i = 0; i < 8; i++) {
            char target[TARGET];
            span_t span = chance_question(&chance, target);
            size_t limit = chance_below(&chance, 2) == 0 ? 1000 : 1 + chance_below(&chance, 30);
            check_walk(world, history_now(&history), target, &span, limit);
        }
    }
    assert_true(world->count > PAIRS / 2);
    history_dispose(&history);
    free(world);
}

/* Is the plan of that number on the page? */
static bool is_on(const fb_buffer_t *body, const plan_t *plan)
{
    return memmem(body->at, body->len, plan->uuid, FB_UUID_TEXT_BYTES) != NULL;
}

/* Pages while plans change: what stays as it is for the whole walk is seen exactly once, and what
 * is not asked for, never. */
static void walk_changing(world_t *world, history_t *history, chance_t *chance)
{
    char target[TARGET], page[TARGET + 100], cursor[64] = "";
    unsigned seen[PAIRS + 1] = {0};
    uint64_t begun = world->round;
    uint32_t there = world->count;
    fb_buffer_t body = {0};
    span_t span = chance_question(chance, target);
    do {
        snprintf(page, sizeof(page), "%s&limit=%u%s%s", target, 1 + chance_below(chance, 20),
                 cursor[0] ? "&cursor=" : "", cursor);
        read_or_fail(history_now(history), page, &body);
        read_next(&body, cursor);
        for (uint32_t n = 1; n <= world->count; n++) {
            seen[n] += is_on(&body, &world->plans[n]);
            assert_true(!is_on(&body, &world->plans[n]) || is_wanted(&world->plans[n], &span));
        }
        fb_stage_t *stage = fb_stage_begin(history_now(history));
        put_some(world, stage, chance);
        history_push(history, &stage);
    } while (cursor[0] != '\0');
    for (uint32_t n = 1; n <= there; n++) {
        if (world->touched[n] <= begun)
            assert_int_equal(seen[n], is_wanted(&world->plans[n], &span));
    }
    fb_buffer_dispose(&body);
}

static void a_walk_neither_skips_nor_repeats_what_stays_while_plans_change(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    world_t *world = calloc(1, sizeof(*world));
    history_t history = history_create(1);
    kolkata();
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    for (int i = 0; i < 40; i++)
        put_some(world, stage, &chance);
    history_push(&history, &stage);
    for (int i = 0; i < 150; i++)
        walk_changing(world, &history, &chance);
    history_dispose(&history);
    free(world);
}

static void an_answer_whose_stamp_stays_is_still_the_right_one(void **state)
{
    (void)state;
    struct {
        char target[TARGET];
        fb_buffer_t body;
        uint64_t stamp;
    } kept[KEPT] = {0};
    chance_t chance = chance_init();
    world_t *world = calloc(1, sizeof(*world));
    history_t history = history_create(1);
    fb_buffer_t body = {0};
    size_t held = 0, moved = 0;
    kolkata();
    for (int i = 0; i < KEPT; i++)
        chance_question(&chance, kept[i].target);
    for (int round = 0; round < 300; round++) {
        fb_stage_t *stage = fb_stage_begin(history_now(&history));
        put_some(world, stage, &chance);
        history_push(&history, &stage);
        for (int i = 0; i < KEPT; i++) {
            fb_error_t error;
            uint64_t stamp = 0;
            assert_int_equal(
                fleet_read(history_now(&history), kept[i].target, &body, &stamp, &error), FB_OK);
            if (round > 0 && stamp == kept[i].stamp)
                assert_same_text(&body, &kept[i].body);
            held += stamp == kept[i].stamp;
            moved += stamp != kept[i].stamp;
            kept[i].stamp = stamp;
            kept[i].body.len = 0;
            fb_buffer_put_slice(&kept[i].body, fb_buffer_slice(&body));
        }
    }
    assert_true(held > 100 && moved > 100);
    for (int i = 0; i < KEPT; i++)
        fb_buffer_dispose(&kept[i].body);
    fb_buffer_dispose(&body);
    history_dispose(&history);
    free(world);
}

/* --- times -------------------------------------------------------------------------------- */

/* Finds the plan, or does not. */
static void assert_found(const fb_snapshot_t *snapshot, bool found, const char *query)
{
    char target[TARGET];
    fb_buffer_t body = {0};
    snprintf(target, sizeof(target), "/search?%s", query);
    read_or_fail(snapshot, target, &body);
    if ((memmem(body.at, body.len, "Camela", 6) != NULL) != found)
        fail_msg("%s: %.*s", target, FB_PRINT(fb_buffer_slice(&body)));
    fb_buffer_dispose(&body);
}

static fb_local_t local_of(int year, int month, int day, int second)
{
    return (fb_local_t){fb_day_from_civil(year, month, day), second};
}

static void times_are_those_of_the_zone_of_the_fleet(void **state)
{
    (void)state;
    fb_error_t error = {0};
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    plan_t plan = plan_of("1", "1");
    plan.start = local_of(2026, 7, 1, 0);
    plan.end = local_of(2026, 12, 31, 86399);
    must_put(stage, &plan, 1, 1);
    history_push(&history, &stage);
    const fb_snapshot_t *now = history_now(&history);
    assert_int_equal(fb_zone_set("Europe/Berlin", &error), FB_OK);
    assert_found(now, true, "");
    /* Summer: two hours before UTC. Both ends are included. */
    assert_found(now, true, "starts_at=2026-06-30T22:00:00Z");
    assert_found(now, true, "starts_at=2026-07-01T00:00:00%2B02:00");
    assert_found(now, true, "starts_at=2026-07-01T00:00:00+02:00");
    assert_found(now, true, "starts_at=2026-06-30t17:00:00.000-05:00");
    assert_found(now, true, "starts_at=2026-06-30T21:59:59.999Z");
    assert_found(now, false, "starts_at=2026-06-30T22:00:00.001Z");
    assert_found(now, false, "starts_at=2026-07-01T00:00:00Z");
    /* Winter: one hour. */
    assert_found(now, true, "ends_at=2026-12-31T22:59:59Z");
    assert_found(now, true, "ends_at=2026-12-31T22:59:59.999Z");
    assert_found(now, false, "ends_at=2026-12-31T22:59:58.999Z");
    /* A leap second is the second after it. */
    assert_found(now, true, "starts_at=2026-06-30T22:00:00Z&ends_at=2026-12-31T23:59:60Z");
    assert_found(now, false, "ends_at=2026-11-30T23:59:60Z");
    assert_found(now, false, "starts_at=2026-06-30T23:59:60Z");
    /* Far away. */
    assert_found(now, true, "starts_at=0000-01-01T00:00:00Z&ends_at=9999-12-31T23:59:59Z");
    assert_found(now, false, "starts_at=9999-12-31T23:59:59Z");
    assert_found(now, false, "ends_at=1969-12-31T22:00:00Z");
    assert_found(now, false, "starts_at=2026-06-30T22:00:00Z&ends_at=2026-06-30T22:00:00Z");
    history_dispose(&history);
}

static void the_first_and_the_last_day_are_found(void **state)
{
    (void)state;
    fb_error_t error = {0};
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    plan_t plans[] = {plan_of("1", "1"), plan_of("1", "2")};
    plans[0].start = plans[0].end = (fb_local_t){FB_DAY_MIN, 0};
    plans[1].start = plans[1].end = (fb_local_t){FB_DAY_MAX, 86399};
    must_put(stage, plans, 2, 2);
    history_push(&history, &stage);
    const fb_snapshot_t *now = history_now(&history);
    assert_int_equal(fb_zone_set("UTC", &error), FB_OK);
    assert_found(now, true, "ends_at=1970-01-01T00:00:00Z");
    assert_found(now, true, "starts_at=1969-12-31T23:59:59Z&ends_at=1970-01-02T00:00:00Z");
    assert_found(now, false, "starts_at=1970-01-01T00:00:01Z&ends_at=2399-12-31T23:59:58Z");
    assert_found(now, true, "starts_at=2399-12-31T23:59:59Z");
    assert_found(now, false, "starts_at=2400-01-01T00:00:00Z");
    history_dispose(&history);
}

static void what_is_no_question_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *query, *field;
        fb_code_t code;
    } samples[] = {
        {"starts_at=", "starts_at", FB_MALFORMED},
        {"starts_at=tomorrow", "starts_at", FB_MALFORMED},
        {"starts_at=2026-07-01", "starts_at", FB_MALFORMED},
        {"starts_at=2026-07-01T00:00:00", "starts_at", FB_MALFORMED},
        {"starts_at=2026-07-01 00:00:00Z", "starts_at", FB_MALFORMED},
        {"ends_at=2026-07-01T00:00Z", "ends_at", FB_MALFORMED},
        {"ends_at=2026-02-29T00:00:00Z", "ends_at", FB_INVALID},
        {"ends_at=2026-07-01T24:00:00Z", "ends_at", FB_INVALID},
        {"ends_at=2026-07-01T23:59:60Z", "ends_at", FB_INVALID},
        {"ends_at=0000-01-01T00:00:00%2B01:00", "ends_at", FB_INVALID},
        {"starts_at=2026-07-02T00:00:00Z&ends_at=2026-07-01T23:59:59.999Z", "ends_at", FB_INVALID},
        {"starts_at=2026-07-02T00:00:00Z&ends_at=2026-07-02T00:00:00%2B00:01", "ends_at",
         FB_INVALID},
        {"limit=0", "limit", FB_INVALID},
        {"limit=1001", "limit", FB_INVALID},
        {"limit=x", "limit", FB_MALFORMED},
        {"cursor=x", "cursor", FB_MALFORMED},
        {"starts=2026-07-01T00:00:00Z", "starts", FB_MALFORMED},
    };
    fb_error_t error = {0};
    history_t history = history_create(1);
    assert_int_equal(fb_zone_set("UTC", &error), FB_OK);
    for (size_t i = 0; i < FB_COUNT(samples); i++) {
        char target[TARGET];
        snprintf(target, sizeof(target), "/search?%s", samples[i].query);
        assert_read_fails(history_now(&history), target, samples[i].code, samples[i].field);
    }
    assert_reads(history_now(&history), "/search", "{\"data\":{\"events\":[]},\"error\":null}");
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_finds_what_a_naive_one_finds),
        cmocka_unit_test(a_walk_neither_skips_nor_repeats_what_stays_while_plans_change),
        cmocka_unit_test(an_answer_whose_stamp_stays_is_still_the_right_one),
        cmocka_unit_test(times_are_those_of_the_zone_of_the_fleet),
        cmocka_unit_test(the_first_and_the_last_day_are_found),
        cmocka_unit_test(what_is_no_question_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
