/* SPDX-License-Identifier: MIT */
#include "resources/plans.h"

#include "tests/unit/resources/plans_fleet.h"

static fb_stage_t *begin(history_t *history)
{
    *history = history_create(1);
    return fb_stage_begin(history_now(history));
}

static void end(history_t *history, fb_stage_t **stage)
{
    history_push(history, stage);
    history_dispose(history);
}

/* Whoever has the id of a plan has it for ever: these are written down. (Python's uuid.uuid5 makes
 * the same of them in the namespace e042b051-342a-4d9d-8b86-0d8ffaaf5c73.) */
static void a_pair_has_the_same_id_for_ever(void **state)
{
    (void)state;
    char uuid[FB_UUID_TEXT_BYTES + 1], longest[2][FB_PLAN_ID_BYTES_MAX + 1] = {0};
    fb_plan_uuid(FB_SLICE("291"), FB_SLICE("1591"), uuid);
    assert_string_equal(uuid, "2b4a84dd-0d1d-56db-ae02-6f9fb13e0dbd");
    fb_plan_uuid(FB_SLICE("a:%b"), FB_SLICE("c:%d"), uuid);
    assert_string_equal(uuid, "49ebe317-2499-51bf-86ae-023f9a280fec"); /* a%3A%25b:c:%d */
    memset(longest[0], 'a', FB_PLAN_ID_BYTES_MAX);
    memset(longest[1], 'b', FB_PLAN_ID_BYTES_MAX);
    fb_plan_uuid(fb_slice(longest[0]), fb_slice(longest[1]), uuid);
    assert_string_equal(uuid, "ad2ecdf2-9f54-5089-a573-681ce2385086");
}

static void a_plan_is_shown_with_its_zones_under_its_id(void **state)
{
    (void)state;
    history_t history;
    fb_stage_t *stage = begin(&history);
    plan_t plan = plan_of("291", "1591");
    must_put(stage, &plan, 1, 1);
    assert_reads(fb_stage_view(stage), "/v1/plans/2b4a84dd-0d1d-56db-ae02-6f9fb13e0dbd",
                 "{\"number\":1,\"id\":\"2b4a84dd-0d1d-56db-ae02-6f9fb13e0dbd\","
                 "\"title\":\"Camela\",\"start_date\":\"2026-11-21\",\"start_time\":\"21:00:00\","
                 "\"end_date\":\"2026-11-21\",\"end_time\":\"22:00:00\",\"min_price\":15.00,"
                 "\"max_price\":20.00,\"base_id\":\"291\",\"plan_id\":\"1591\","
                 "\"sell_mode\":\"online\",\"sell_from\":\"2026-07-01T00:00:00\","
                 "\"sell_to\":null,\"sold_out\":false,\"organizer_company_id\":null,"
                 "\"zones\":" ZONE "}");
    assert_read_fails(fb_stage_view(stage), "/v1/plans/2b4a84dd-0d1d-56db-ae02-6f9fb13e0dbe",
                      FB_NOT_FOUND, NULL);
    assert_read_fails(fb_stage_view(stage), "/v1/plans/1", FB_NOT_FOUND, NULL);
    assert_read_fails(fb_stage_view(stage), "/v1/plans/2B4A84DD-0D1D-56DB-AE02-6F9FB13E0DBD",
                      FB_NOT_FOUND, NULL);
    end(&history, &stage);
}

static void a_plan_that_was_never_online_is_not_kept_and_one_that_was_stays(void **state)
{
    (void)state;
    history_t history;
    fb_stage_t *stage = begin(&history);
    plan_t plans[] = {plan_of("1", "1"), plan_of("1", "2")};
    size_t put;
    plans[0].mode = "offline";
    assert_false(plan_differs(fb_stage_view(stage), plans[0]));
    assert_true(plan_differs(fb_stage_view(stage), plans[1]));
    must_put(stage, plans, 2, 1);
    plans[0].mode = "ONLINE"; /* it is another word */
    assert_int_equal(plans_put(stage, plans, 2, &put), FB_CONFLICT);
    plans[1].mode = "offline";
    plans[1].title = "Off";
    must_put(stage, plans, 2, 1);
    const fb_row_t *row = fb_snapshot_row(fb_stage_view(stage), FB_PLANS, 1);
    assert_text(fb_plan_value(row, FB_PLAN_TITLE).text, "Off");
    assert_text(fb_plan_value(row, FB_PLAN_SELL_MODE).text, "offline");
    assert_null(fb_snapshot_row(fb_stage_view(stage), FB_PLANS, 2));
    end(&history, &stage);
}

/* Each of these changes one value, and none of them is overlooked. */
static void change_one(plan_t *plan, unsigned change)
{
    static const char more[] =
        "[{\"zone_id\":\"40\",\"name\":\"Platea\",\"capacity\":243,\"price\":20.00,"
        "\"numbered\":true},{\"zone_id\":\"40\"}]";
    switch (change) {
    case 0:
        plan->title = "Camel";
        break;
    case 1:
        plan->start.day--;
        break;
    case 2:
        plan->start.second--;
        break;
    case 3:
        plan->end.day++;
        break;
    case 4:
        plan->end.second++;
        break;
    case 5:
        plan->least = -1;
        break;
    case 6:
        plan->most++;
        break;
    case 7:
        plan->mode = "offline";
        break;
    case 8:
        plan->sold_out = true;
        break;
    case 9:
        plan->zones = "[]";
        break;
    default:
        plan->zones = more;
    }
}

static void what_differs_in_any_value_is_put_and_what_does_not_is_not(void **state)
{
    (void)state;
    for (unsigned change = 0; change <= 10; change++) {
        history_t history;
        size_t put;
        fb_stage_t *stage = begin(&history);
        plan_t plan = plan_of("7", "8");
        must_put(stage, &plan, 1, 1);
        assert_false(plan_differs(fb_stage_view(stage), plan));
        assert_int_equal(plans_put(stage, &plan, 1, &put), FB_CONFLICT);
        change_one(&plan, change);
        assert_true(plan_differs(fb_stage_view(stage), plan));
        must_put(stage, &plan, 1, 1);
        assert_false(plan_differs(fb_stage_view(stage), plan));
        assert_int_equal(plans_put(stage, &plan, 1, &put), FB_CONFLICT);
        assert_int_equal(fb_stage_view(stage)->families[FB_PLANS].rows.count, 1);
        end(&history, &stage);
    }
}

static void of_a_pair_that_comes_twice_the_last_one_counts(void **state)
{
    (void)state;
    history_t history;
    fb_stage_t *stage = begin(&history);
    /* The inner id alone names nothing: 1:2 and 2:2 are two plans. */
    plan_t plans[] = {plan_of("1", "2"), plan_of("2", "2"), plan_of("1", "2"), plan_of("3", "2"),
                      plan_of("3", "2")};
    plans[0].title = "first";
    plans[2].title = "last";
    plans[4].mode = "offline"; /* it was online before */
    must_put(stage, plans, 5, 3);
    const fb_snapshot_t *now = fb_stage_view(stage);
    assert_int_equal(now->families[FB_PLANS].rows.count, 3);
    assert_text(fb_plan_value(fb_snapshot_row(now, FB_PLANS, 1), FB_PLAN_BASE).text, "2");
    assert_text(fb_plan_value(fb_snapshot_row(now, FB_PLANS, 2), FB_PLAN_TITLE).text, "last");
    assert_text(fb_plan_value(fb_snapshot_row(now, FB_PLANS, 3), FB_PLAN_SELL_MODE).text,
                "offline");
    end(&history, &stage);
}

static void a_thousand_plans_are_one_command(void **state)
{
    (void)state;
    history_t history;
    size_t put;
    fb_stage_t *stage = begin(&history);
    plan_t *plans = fb_alloc_zero(FB_PLANS_PUT_MAX, sizeof(*plans));
    for (unsigned i = 0; i < FB_PLANS_PUT_MAX; i++) {
        plans[i] = plan_of("b", "");
        snprintf(plans[i].plan, sizeof(plans[i].plan), "%u", i);
        plans[i].start.day = plans[i].end.day = FB_DAY_MIN + (fb_day_t)i % 2;
    }
    must_put(stage, plans, FB_PLANS_PUT_MAX, FB_PLANS_PUT_MAX);
    assert_int_equal(plans_put(stage, plans, FB_PLANS_PUT_MAX, &put), FB_CONFLICT);
    uint32_t day = 0;
    const fb_children_t *children =
        fb_snapshot_next_children(fb_stage_view(stage), FB_PLANS, FB_PLAN_START_DATE, &day);
    assert_int_equal(day, FB_DAY_MIN);
    assert_int_equal(children->count, FB_PLANS_PUT_MAX / 2);
    for (uint32_t i = 0; i < children->count; i++)
        assert_int_equal(children->ids[i], 1 + 2 * i);
    free(plans);
    end(&history, &stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_has_the_same_id_for_ever),
        cmocka_unit_test(a_plan_is_shown_with_its_zones_under_its_id),
        cmocka_unit_test(a_plan_that_was_never_online_is_not_kept_and_one_that_was_stays),
        cmocka_unit_test(what_differs_in_any_value_is_put_and_what_does_not_is_not),
        cmocka_unit_test(of_a_pair_that_comes_twice_the_last_one_counts),
        cmocka_unit_test(a_thousand_plans_are_one_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
