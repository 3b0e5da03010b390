/* SPDX-License-Identifier: MIT */
#include "base/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/random.h"

#define MS_PER_DAY 86400000LL

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static void days_count_up_by_one_over_nine_centuries(void **state)
{
    (void)state;
    fb_day_t expected = fb_day_from_civil(1600, 1, 1);
    for (int year = 1600; year <= 2500; year++) {
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= days_in_month(year, month); day++) {
                int back_year, back_month, back_day;
                assert_int_equal(fb_day_from_civil(year, month, day), expected);
                fb_day_to_civil(expected, &back_year, &back_month, &back_day);
                assert_int_equal(back_year, year);
                assert_int_equal(back_month, month);
                assert_int_equal(back_day, day);
                expected++;
            }
        }
    }
}

static void the_days_with_names_are_where_they_are_promised(void **state)
{
    (void)state;
    assert_int_equal(fb_day_from_civil(1970, 1, 1), 0);
    assert_int_equal(fb_day_from_civil(1969, 12, 31), -1);
    assert_int_equal(fb_day_from_civil(2000, 3, 1), 11017);
    assert_int_equal(fb_day_from_civil(1970, 1, 1), FB_DAY_MIN);
    assert_int_equal(fb_day_from_civil(2399, 12, 31), FB_DAY_MAX);
    assert_int_equal(fb_day_from_civil(0, 1, 1), -719528);
}

static fb_date_result_t parse(const char *text, fb_day_t *date)
{
    return fb_day_parse(fb_slice(text), date);
}

static void a_text_is_a_date_exactly_if_the_calendar_has_the_day(void **state)
{
    (void)state;
    chance_t random = chance_init();
    for (int i = 0; i < 200000; i++) {
        int year = (int)chance_between(&random, 0, 9999);
        int month = (int)chance_between(&random, 0, 13);
        int day = (int)chance_between(&random, 0, 32);
        bool exists = month >= 1 && month <= 12 && day >= 1 && day <= days_in_month(year, month);
        char text[32], back[FB_DAY_TEXT_BYTES];
        fb_day_t date = 12345;
        snprintf(text, sizeof(text), "%04d-%02d-%02d", year, month, day);
        assert_int_equal(parse(text, &date), exists ? FB_DATE_OK : FB_DATE_NO_SUCH_DAY);
        if (!exists) {
            assert_int_equal(date, 12345);
            continue;
        }
        assert_int_equal(date, fb_day_from_civil(year, month, day));
        fb_day_format(date, back);
        assert_memory_equal(back, text, sizeof(back));
    }
}

static void what_has_not_the_shape_of_a_date_is_told_apart(void **state)
{
    (void)state;
    static const char *const shapeless[] = {
        "",           "2026",       "2026-11-2",   "2026-11-021", "26-11-21",   "2026/11/21",
        "2026-11/21", "2026-1a-21", "a026-11-21",  "2026-11-2x",  "+026-11-21", "2026-11--1",
        " 2026-11-2", "2026-11-2 ", "2026-11-21Z", "20261121",    "tomorrow",   "2026-W47-6",
    };
    fb_day_t date = 7;
    for (size_t i = 0; i < sizeof(shapeless) / sizeof(shapeless[0]); i++)
        assert_int_equal(parse(shapeless[i], &date), FB_DATE_SHAPE);
    assert_int_equal(fb_day_parse((fb_slice_t){NULL, 0}, &date), FB_DATE_SHAPE);
    assert_int_equal(parse("2026-02-29", &date), FB_DATE_NO_SUCH_DAY);
    assert_int_equal(parse("1900-02-29", &date), FB_DATE_NO_SUCH_DAY);
    assert_int_equal(parse("2026-00-10", &date), FB_DATE_NO_SUCH_DAY);
    assert_int_equal(date, 7);
    assert_int_equal(parse("2000-02-29", &date), FB_DATE_OK);
}

static void an_instant_is_written_as_libc_would(void **state)
{
    (void)state;
    chance_t random = chance_init();
    const fb_instant_t first = fb_day_from_civil(0, 1, 1) * MS_PER_DAY;
    const fb_instant_t last = (fb_day_from_civil(9999, 12, 31) + 1) * MS_PER_DAY - 1;
    const fb_instant_t borders[] = {first, -1001, -1000, -999, -1, 0, 1, 999, 1000, last};
    const int border_count = (int)(sizeof(borders) / sizeof(borders[0]));
    for (int i = 0; i < 100000; i++) {
        fb_instant_t instant = i < border_count ? borders[i] : chance_between(&random, first, last),
                     back;
        int64_t ms = ((instant % 1000) + 1000) % 1000;
        time_t seconds = (time_t)((instant - ms) / 1000);
        struct tm utc;
        char expected[64], written[FB_INSTANT_TEXT_BYTES];
        assert_non_null(gmtime_r(&seconds, &utc));
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec, (int)ms);
        fb_instant_format(instant, written);
        assert_memory_equal(written, expected, sizeof(written));
        assert_true(fb_instant_parse((fb_slice_t){written, sizeof(written)}, &back));
        assert_int_equal(back, instant);
    }
}

static void only_what_would_be_written_is_read_as_an_instant(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "2026-11-21",
        "2026-11-21T05:06:07Z",
        "2026-11-21t05:06:07.089Z",
        "2026-11-21T05:06:07.089z",
        "2026-11-21 05:06:07.089Z",
        "2026-11-21T05:06:07,089Z",
        "2026-11-21T24:00:00.000Z",
        "2026-11-21T05:60:00.000Z",
        "2026-12-31T23:59:60.000Z",
        "2026-02-30T00:00:00.000Z",
        "2026-11-21T05:06:07.089+00:00",
        "2026-11-21T05:06:07.0899",
        "2026-11-21T05:06:07.089ZZ",
        "2026-11-21T-5:06:07.089Z",
    };
    fb_instant_t instant = 5;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_false(fb_instant_parse(fb_slice(refused[i]), &instant));
    assert_int_equal(instant, 5);
    assert_true(fb_instant_parse(fb_slice("2026-11-21T05:06:07.089Z"), &instant));
    assert_int_equal(instant, 1795237567089);
}

static void an_instant_is_read_as_others_write_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        fb_date_result_t result;
        fb_instant_t instant;
    } texts[] = {
        {"2026-11-21T05:06:07.089Z", FB_DATE_OK, 1795237567089},
        {"2026-11-21t05:06:07.089z", FB_DATE_OK, 1795237567089},
        {"2026-11-21T05:06:07Z", FB_DATE_OK, 1795237567000},
        {"2026-11-21T05:06:07.5Z", FB_DATE_OK, 1795237567500},
        {"2026-11-21T05:06:07.08999999999Z", FB_DATE_OK, 1795237567089},
        {"2026-11-21T05:06:07+00:00", FB_DATE_OK, 1795237567000},
        {"2026-11-21T05:06:07-00:00", FB_DATE_OK, 1795237567000},
        {"2026-11-21T06:51:07+01:45", FB_DATE_OK, 1795237567000},
        {"2026-11-21T06:51:07 01:45", FB_DATE_OK, 1795237567000},
        {"2026-11-20T19:06:07.25-10:00", FB_DATE_OK, 1795237567250},
        {"2026-11-22T05:05:07+23:59", FB_DATE_OK, 1795237567000},
        {"1969-12-31T23:59:59.999Z", FB_DATE_OK, -1},
        {"0000-01-01T00:00:00Z", FB_DATE_OK, -62167219200000},
        {"2016-12-31T23:59:60Z", FB_DATE_OK, 1483228800000},
        {"2016-12-31T23:59:60.5Z", FB_DATE_OK, 1483228800500},
        {"1990-12-31T15:59:60-08:00", FB_DATE_OK, 662688000000},
        {"1972-07-01T01:59:60 02:00", FB_DATE_OK, 78796800000},
        {"", FB_DATE_SHAPE, 0},
        {"2026-11-21", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07", FB_DATE_SHAPE, 0},
        {"2026-11-21 05:06:07Z", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06Z", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07.Z", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07,5Z", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07.5", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07ZZ", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07+0100", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07+01", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07+1:000", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06:07*01:00", FB_DATE_SHAPE, 0},
        {"2026-11-21T05:06: 7Z", FB_DATE_SHAPE, 0},
        {"2026-11-21T+5:06:07Z", FB_DATE_SHAPE, 0},
        {"2026-02-29T05:06:07Z", FB_DATE_NO_SUCH_DAY, 0},
        {"2026-11-21T24:00:00Z", FB_DATE_NO_SUCH_DAY, 0},
        {"2026-11-21T05:60:00Z", FB_DATE_NO_SUCH_DAY, 0},
        {"2016-12-31T22:59:60Z", FB_DATE_NO_SUCH_DAY, 0},
        {"2016-12-30T23:59:60Z", FB_DATE_NO_SUCH_DAY, 0},
        {"2016-12-31T23:59:60+01:00", FB_DATE_NO_SUCH_DAY, 0},
        {"2016-12-31T23:59:61Z", FB_DATE_NO_SUCH_DAY, 0},
        {"2026-11-21T05:06:07+24:00", FB_DATE_NO_SUCH_DAY, 0},
        {"2026-11-21T05:06:07+01:60", FB_DATE_NO_SUCH_DAY, 0},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        fb_instant_t instant = 0;
        if (fb_instant_read(fb_slice(texts[i].text), &instant) != texts[i].result)
            fail_msg("%s", texts[i].text);
        assert_int_equal(instant, texts[i].instant);
    }
}

/* The sanitizer sees whether it looks behind the end; what we write is read the same. */
static void an_instant_cut_anywhere_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"2026-11-21T05:06:07.089Z", "2026-11-21T05:06:07.089+01:00",
                                        "2026-11-21T05:06:07-01:00"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t len = strlen(texts[i]);
        for (size_t cut = 0; cut < len; cut++) {
            fb_instant_t instant = 5;
            char *text = malloc(cut > 0 ? cut : 1);
            memcpy(text, texts[i], cut);
            assert_int_equal(fb_instant_read((fb_slice_t){text, cut}, &instant), FB_DATE_SHAPE);
            assert_int_equal(instant, 5);
            free(text);
        }
    }
}

static void a_changed_byte_makes_another_instant_or_none(void **state)
{
    (void)state;
    chance_t random = chance_init();
    for (int i = 0; i < 200000; i++) {
        char text[FB_INSTANT_TEXT_BYTES], back[FB_INSTANT_TEXT_BYTES];
        fb_instant_t instant;
        fb_instant_format(chance_between(&random, 0, FB_DAY_MAX * MS_PER_DAY), text);
        text[chance_between(&random, 0, sizeof(text) - 1)] = (char)chance_between(&random, 1, 127);
        if (!fb_instant_parse((fb_slice_t){text, sizeof(text)}, &instant))
            continue;
        fb_instant_format(instant, back);
        assert_memory_equal(back, text, sizeof(back));
    }
}

/* The day of the month of the nth Sunday (from 1), or of the last one (0). */
static int sunday(int year, int month, int nth)
{
    /* 1970-01-04 was a Sunday. */
    int first = 1 + (int)(((3 - fb_day_from_civil(year, month, 1)) % 7 + 7) % 7);
    if (nth > 0)
        return first + 7 * (nth - 1);
    return first + 7 * ((days_in_month(year, month) - first) / 7);
}

typedef struct {
    const char *name;
    int winter_hours; /* east of UTC; one more in summer */
    int begin_month, begin_sunday, begin_utc_hour;
    int end_month, end_sunday, end_utc_hour;
} zone_rule_t;

/* As the laws say it: Directive 2000/84/EC, and 15 U.S.C. 260a in New York. */
static const zone_rule_t berlin = {"Europe/Berlin", 1, 3, 0, 1, 10, 0, 1};
static const zone_rule_t new_york = {"America/New_York", -5, 3, 2, 7, 11, 1, 6};

static fb_instant_t change_at(int year, int month, int nth, int utc_hour)
{
    return fb_day_from_civil(year, month, sunday(year, month, nth)) * MS_PER_DAY +
           utc_hour * 3600000LL;
}

static fb_local_t expected(const zone_rule_t *rule, int year, fb_instant_t instant)
{
    bool summer =
        instant >= change_at(year, rule->begin_month, rule->begin_sunday, rule->begin_utc_hour) &&
        instant < change_at(year, rule->end_month, rule->end_sunday, rule->end_utc_hour);
    fb_instant_t local = instant + (rule->winter_hours + (summer ? 1 : 0)) * 3600000LL;
    return (fb_local_t){(fb_day_t)(local / MS_PER_DAY), (int)(local % MS_PER_DAY / 1000)};
}

static void check_instant(const zone_rule_t *rule, int year, fb_instant_t instant)
{
    fb_local_t wanted = expected(rule, year, instant), local = fb_zone_local(instant);
    assert_int_equal(fb_zone_day(instant), wanted.day);
    assert_int_equal(local.day, wanted.day);
    assert_int_equal(local.second, wanted.second);
}

static void check_zone(const zone_rule_t *rule, chance_t *random)
{
    fb_error_t error = {0};
    assert_int_equal(fb_zone_set(rule->name, &error), FB_OK);
    for (int year = 2008; year <= 2037; year++) {
        fb_day_t first = fb_day_from_civil(year, 1, 2), last = fb_day_from_civil(year, 12, 30);
        for (fb_day_t day = first; day <= last; day++) {
            /* A moment before and at each hour around the midnight of the zone, and any moment. */
            fb_instant_t around = day * MS_PER_DAY - rule->winter_hours * 3600000LL;
            for (int hours = -2; hours <= 2; hours++) {
                fb_instant_t at = around + hours * 3600000LL;
                check_instant(rule, year, at);
                check_instant(rule, year, at - 1);
            }
            fb_instant_t any = day * MS_PER_DAY + chance_between(random, 0, MS_PER_DAY - 1);
            check_instant(rule, year, any);
        }
    }
}

static void the_day_in_berlin_follows_its_law(void **state)
{
    (void)state;
    chance_t random = chance_init();
    check_zone(&berlin, &random);
}

static void the_day_in_new_york_follows_its_law(void **state)
{
    (void)state;
    chance_t random = chance_init();
    check_zone(&new_york, &random);
}

static void the_day_that_apia_left_out_is_never_seen(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_instant_t jump;
    const fb_day_t before = fb_day_from_civil(2011, 12, 29);
    assert_int_equal(fb_zone_set("Pacific/Apia", &error), FB_OK);
    assert_true(fb_instant_parse(fb_slice("2011-12-30T10:00:00.000Z"), &jump));
    assert_int_equal(fb_zone_day(jump - 1), before);
    assert_int_equal(fb_zone_day(jump), before + 2);
    for (fb_instant_t at = jump - 2 * MS_PER_DAY; at < jump + 2 * MS_PER_DAY; at += 60000)
        assert_int_not_equal(fb_zone_day(at), before + 1);
}

static void utc_needs_no_zone_file_and_goes_back_beyond_1970(void **state)
{
    (void)state;
    fb_error_t error = {0};
    assert_int_equal(fb_zone_set("UTC", &error), FB_OK);
    assert_int_equal(fb_zone_day(0), 0);
    assert_int_equal(fb_zone_day(-1), -1);
    assert_int_equal(fb_zone_day(-MS_PER_DAY), -1);
    assert_int_equal(fb_zone_day(-MS_PER_DAY - 1), -2);
    assert_int_equal(fb_zone_local(-1).second, 86399);
    assert_int_equal(fb_zone_local(-1000).second, 86399);
    assert_int_equal(fb_zone_local(-1001).second, 86398);
}

static void what_is_no_zone_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    /* A folder and a list of zones are files there, too; libc would take them for UTC. */
    static const char *const refused[] = {
        "",
        "Europe",
        "Europe/Bonn",
        "zone.tab",
        "/etc/localtime",
        "../../../etc/passwd",
        "utc ",
        "Europe/../Europe/Berlin",
    };
    fb_error_t error = {0};
    char endless[600];
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    assert_int_equal(fb_zone_set("Pacific/Apia", &error), FB_OK);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        error = (fb_error_t){0};
        assert_int_equal(fb_zone_set(refused[i], &error), FB_CONFIG);
        assert_int_equal(error.code, FB_CONFIG);
        assert_non_null(strstr(error.detail, "unknown time zone"));
    }
    assert_int_equal(fb_zone_set(endless, &error), FB_CONFIG);
    assert_int_equal(fb_zone_day(11 * 3600000LL), 0);
    assert_int_equal(fb_zone_day(10 * 3600000LL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_count_up_by_one_over_nine_centuries),
        cmocka_unit_test(the_days_with_names_are_where_they_are_promised),
        cmocka_unit_test(a_text_is_a_date_exactly_if_the_calendar_has_the_day),
        cmocka_unit_test(what_has_not_the_shape_of_a_date_is_told_apart),
        cmocka_unit_test(an_instant_is_written_as_libc_would),
        cmocka_unit_test(only_what_would_be_written_is_read_as_an_instant),
        cmocka_unit_test(an_instant_is_read_as_others_write_it),
        cmocka_unit_test(an_instant_cut_anywhere_is_none),
        cmocka_unit_test(a_changed_byte_makes_another_instant_or_none),
        cmocka_unit_test(the_day_in_berlin_follows_its_law),
        cmocka_unit_test(the_day_in_new_york_follows_its_law),
        cmocka_unit_test(the_day_that_apia_left_out_is_never_seen),
        cmocka_unit_test(utc_needs_no_zone_file_and_goes_back_beyond_1970),
        cmocka_unit_test(what_is_no_zone_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
