/* SPDX-License-Identifier: MIT */
#include "tests/unit/resources/field_fixture.h"

static const fb_field_t price = {"price", "", 0, 100000000000, FB_KIND_MONEY, FB_NULLABLE};
static const fb_field_t balance = {"balance", "", -500, 500, FB_KIND_MONEY, 0};
static const fb_field_t number = {"number", "", -3, 1000, FB_KIND_INTEGER, 0};
static const fb_field_t any_number = {"any_number", "", INT64_MIN, INT64_MAX, FB_KIND_INTEGER, 0};
static const fb_field_t flag = {"flag", "", 0, 1, FB_KIND_BOOLEAN, 0};
static const fb_field_t label = {"label", "", 1, 10, FB_KIND_TEXT, 0};
static const fb_field_t note = {"note", "", 0, 10, FB_KIND_TEXT, FB_NULLABLE | FB_MULTILINE};
static const fb_field_t date = {"date", "", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, 0};
static const fb_field_t moment = {"moment",        "", 0, (int64_t)FB_DAY_MAX * 86400000,
                                  FB_KIND_INSTANT, 0};
static const fb_field_t instant = {"instant", "", 0, INT64_MAX, FB_KIND_INSTANT, FB_ASSIGNED};

static void assert_number(const fb_field_t *field, const char *json, int64_t expected)
{
    fb_error_t error;
    fb_value_t value;
    if (from_json(field, json, &value, &error) != FB_OK)
        fail_msg("%s: %s", json, error.detail);
    assert_true(value.given && !value.null);
    assert_true(value.number == expected);
}

static void a_field_is_found_by_its_whole_name(void **state)
{
    (void)state;
    const fb_field_t fields[] = {price, number, label};
    assert_int_equal(fb_field_find(fields, 3, FB_SLICE("price")), 0);
    assert_int_equal(fb_field_find(fields, 3, FB_SLICE("label")), 2);
    assert_int_equal(fb_field_find(fields, 2, FB_SLICE("label")), -1);
    assert_int_equal(fb_field_find(fields, 3, FB_SLICE("lab")), -1);
    assert_int_equal(fb_field_find(fields, 3, FB_SLICE("labels")), -1);
    assert_int_equal(fb_field_find(fields, 3, FB_SLICE("")), -1);
    assert_int_equal(fb_field_find(NULL, 0, FB_SLICE("label")), -1);
}

static void every_cent_up_to_a_thousand_survives_the_way_there_and_back(void **state)
{
    (void)state;
    for (int cents = 0; cents <= 100000; cents++) {
        char text[32];
        fb_value_t value = {.number = cents}, back;
        fb_buffer_t out = {0};
        snprintf(text, sizeof(text), "%d.%02d", cents / 100, cents % 100);
        assert_number(&price, text, cents);
        fb_field_put_json(&price, &value, &out);
        fb_field_put_text(&price, &value, &out);
        assert_int_equal(out.len, 2 * strlen(text));
        assert_memory_equal(out.at, text, strlen(text));
        assert_memory_equal(out.at + strlen(text), text, strlen(text));
        assert_true(fb_field_from_text(&price, fb_slice(text), &back));
        assert_int_equal(back.number, cents);
        fb_buffer_dispose(&out);
    }
}

static void money_takes_other_ways_to_write_the_same_number(void **state)
{
    (void)state;
    assert_number(&price, "12", 1200);
    assert_number(&price, "12.5", 1250);
    assert_number(&price, "12.500000", 1250);
    assert_number(&price, "1.25e1", 1250);
    assert_number(&price, "125e-2", 125);
    assert_number(&price, "-0", 0);
    assert_number(&price, "-0.00", 0);
    assert_number(&price, "1000000000", 100000000000);
    assert_number(&price, "999999999.99", 99999999999);
    assert_number(&balance, "-5", -500);
    assert_number(&balance, "-0.01", -1);
}

static void money_that_is_none_is_refused(void **state)
{
    (void)state;
    const char *decimals = "must have at most two decimals";
    const char *bounds = "must be between 0.00 and 1000000000.00";
    assert_refused(&price, "0.001", decimals);
    assert_refused(&price, "12.345", decimals);
    assert_refused(&price, "0.005", decimals);
    assert_refused(&price, "1e-300", decimals);
    assert_refused(&price, "999999999.999", decimals);
    assert_refused(&price, "-0.01", bounds);
    assert_refused(&price, "1e308", bounds);
    assert_refused(&price, "-1e308", bounds);
    assert_refused(&price, "1000000000.01", bounds);
    assert_refused(&price, "9007199254740993", bounds);
    assert_refused(&balance, "-5.01", "must be between -5.00 and 5.00");
    assert_refused(&price, "\"12.50\"", "must be a number");
    assert_refused(&price, "true", "must be a number");
    assert_refused(&price, "[1]", "must be a number");
    assert_refused(&balance, "null", "must not be null");
}

static void integers_are_whole_and_within_their_range(void **state)
{
    (void)state;
    const char *bounds = "must be between -3 and 1000";
    assert_number(&number, "-3", -3);
    assert_number(&number, "1000", 1000);
    assert_number(&number, "1e3", 1000);
    assert_number(&number, "7.0", 7);
    assert_number(&number, "-0.0", 0);
    assert_number(&any_number, "9007199254740991", 9007199254740991);
    assert_refused(&number, "-4", bounds);
    assert_refused(&number, "1001", bounds);
    assert_refused(&number, "1e300", bounds);
    assert_refused(&number, "-99999999999999999999999", bounds);
    assert_refused(&number, "0.5", "must be a whole number");
    assert_refused(&number, "1000.0000001", "must be a whole number");
    assert_refused(&number, "\"5\"", "must be a number");
    assert_refused(&number, "{}", "must be a number");
}

static void booleans_are_true_or_false(void **state)
{
    (void)state;
    assert_number(&flag, "true", 1);
    assert_number(&flag, "false", 0);
    assert_refused(&flag, "1", "must be true or false");
    assert_refused(&flag, "\"true\"", "must be true or false");
    assert_refused(&flag, "null", "must not be null");
}

static void dates_are_days_of_the_calendar(void **state)
{
    (void)state;
    const char *shape = "must be a date of the form YYYY-MM-DD";
    const char *kind = "must be a date of the form YYYY-MM-DD, as a string";
    const char *bounds = "must be between 1970-01-01 and 2399-12-31";
    assert_number(&date, "\"1970-01-01\"", 0);
    assert_number(&date, "\"2028-02-29\"", fb_day_from_civil(2028, 2, 29));
    assert_number(&date, "\"2399-12-31\"", FB_DAY_MAX);
    assert_refused(&date, "\"2026-02-30\"", "2026-02-30 is not a day of the calendar");
    assert_refused(&date, "\"2026-02-29\"", "2026-02-29 is not a day of the calendar");
    assert_refused(&date, "\"2026-00-10\"", "2026-00-10 is not a day of the calendar");
    assert_refused(&date, "\"2026-13-01\"", "2026-13-01 is not a day of the calendar");
    assert_refused(&date, "\"2026-1-1\"", shape);
    assert_refused(&date, "\"\"", shape);
    assert_refused(&date, "\"2026-11-21T00:00:00Z\"", shape);
    assert_refused(&date, "\" 2026-11-2\"", shape);
    assert_refused(&date, "\"1969-12-31\"", bounds);
    assert_refused(&date, "\"2400-01-01\"", bounds);
    assert_refused(&date, "20261121", kind);
    assert_refused(&date, "null", "must not be null");
}

static void texts_are_bounded_and_hold_no_control_characters(void **state)
{
    (void)state;
    fb_error_t error;
    fb_value_t value;
    assert_int_equal(from_json(&label, "\"M\\u00fchle\"", &value, &error), FB_OK);
    assert_true(fb_slice_is(value.text, "Mühle"));
    assert_int_equal(from_json(&label, "\"1234567890\"", &value, &error), FB_OK);
    assert_refused(&label, "\"12345678901\"", "must be at most 10 bytes of UTF-8, not 11");
    assert_refused(&label, "\"123456789ü\"", "must be at most 10 bytes of UTF-8, not 11");
    assert_refused(&label, "\"\"", "must not be empty");
    assert_refused(&label, "\" \\t \"", "must not be empty");
    assert_refused(&label, "\"a\\u0001\"", "must not contain control characters");
    assert_refused(&label, "\"a\\nb\"", "must not contain control characters");
    assert_refused(&label, "\"a\\u007f\"", "must not contain control characters");
    assert_refused(&label, "5", "must be a string");
    assert_refused(&label, "null", "must not be null");
    assert_int_equal(from_json(&note, "\"a\\n\\tb\\r\"", &value, &error), FB_OK);
    assert_true(fb_slice_is(value.text, "a\n\tb\r"));
    assert_int_equal(from_json(&note, "\"\"", &value, &error), FB_OK);
    assert_int_equal(value.text.len, 0);
    assert_refused(&note, "\"a\\u001b\"", "must not contain control characters");
    assert_int_equal(from_json(&note, "null", &value, &error), FB_OK);
    assert_true(value.given && value.null);
}

/* --- queries ------------------------------------------------------------------------------ */

static void assert_query(const fb_field_t *field, const char *text, fb_code_t expected,
                         int64_t read)
{
    fb_error_t error = {0};
    fb_value_t value;
    fb_code_t code = fb_field_from_query(field, fb_slice(text), &value, &error);
    if (code != expected)
        fail_msg("%s=%s is %s: %s", field->name, text, fb_code_name(code), error.detail);
    assert_int_equal(code, error.code);
    if (code == FB_OK && field->kind == FB_KIND_TEXT)
        assert_true(fb_slice_is(value.text, text));
    else if (code == FB_OK)
        assert_true(value.number == read);
    else
        assert_string_equal(error.fields[0].field, field->name);
    assert_true(value.given);
}

static void a_query_without_the_form_is_malformed_and_one_beyond_the_range_invalid(void **state)
{
    (void)state;
    assert_query(&number, "1000", FB_OK, 1000);
    assert_query(&number, "-3", FB_OK, -3);
    assert_query(&number, "1001", FB_INVALID, 0);
    assert_query(&number, "99999999999999999999999", FB_INVALID, 0);
    assert_query(&number, "-99999999999999999999999", FB_INVALID, 0);
    assert_query(&number, "9223372036854775808", FB_INVALID, 0);
    assert_query(&number, "", FB_MALFORMED, 0);
    assert_query(&number, "-", FB_MALFORMED, 0);
    assert_query(&number, "1.0", FB_MALFORMED, 0);
    assert_query(&number, "007", FB_MALFORMED, 0);
    assert_query(&number, "-0", FB_MALFORMED, 0);
    assert_query(&number, "ten", FB_MALFORMED, 0);
    assert_query(&number, "00000000000000000000000", FB_MALFORMED, 0);
    assert_query(&number, "9999999999999999999999x", FB_MALFORMED, 0);
    assert_query(&moment, "2026-11-21T12:00:00.123Z", FB_OK, 1795262400123);
    assert_query(&moment, "2026-11-21T12:00:00 01:00", FB_OK, 1795258800000);
    assert_query(&moment, "1970-01-01T00:00:00+00:01", FB_INVALID, 0);
    assert_query(&moment, "2026-02-30T12:00:00Z", FB_INVALID, 0);
    assert_query(&moment, "2026-11-21T24:00:00Z", FB_INVALID, 0);
    assert_query(&moment, "2026-11-21", FB_MALFORMED, 0);
    assert_query(&moment, "1795262400123", FB_MALFORMED, 0);
    assert_query(&date, "2026-11-21", FB_OK, 20778);
    assert_query(&date, "2026-02-30", FB_INVALID, 0);
    assert_query(&date, "2400-01-01", FB_INVALID, 0);
    assert_query(&date, "21.11.2026", FB_MALFORMED, 0);
    assert_query(&date, "", FB_MALFORMED, 0);
    assert_query(&flag, "true", FB_OK, 1);
    assert_query(&flag, "false", FB_OK, 0);
    assert_query(&flag, "1", FB_MALFORMED, 0);
    assert_query(&label, "M\xC3\xBChle", FB_OK, 0);
    assert_query(&label, "", FB_INVALID, 0);
    assert_query(&label, "12345678901", FB_INVALID, 0);
    assert_query(&label, "a\x01", FB_INVALID, 0);
    assert_query(&label, "a\xC3", FB_MALFORMED, 0);
    assert_query(&label, "\xED\xA0\x80", FB_MALFORMED, 0);
    assert_query(&label, "\xC0\xAF", FB_MALFORMED, 0);
}

/* --- the texts of Redis ------------------------------------------------------------------- */

static void assert_text_refused(const fb_field_t *field, const char *text)
{
    fb_value_t value;
    if (fb_field_from_text(field, fb_slice(text), &value))
        fail_msg("\"%s\" is read as a %s", text, field->name);
}

static void a_text_that_was_never_written_is_not_read(void **state)
{
    (void)state;
    static const char *const no_money[] = {"",
                                           "5",
                                           "5.0",
                                           "5.000",
                                           ".50",
                                           "005.00",
                                           "5,00",
                                           "-0.00",
                                           "--5.00",
                                           "5.0x",
                                           "5.-1",
                                           "+5.00",
                                           " 5.00",
                                           "1e2.00",
                                           "92233720368547758.08",
                                           "99999999999999999999.00"};
    static const char *const no_number[] = {
        "", "-", "-0", "01", "1.0", " 1", "9223372036854775808"};
    static const char *const no_flag[] = {"", "2", "-1", "true", "01"};
    static const char *const no_date[] = {"", "2026-02-30", "2026-1-1", "2026-11-21 "};
    static const char *const no_instant[] = {"", "2026-11-21", "2026-11-21T12:00:00Z",
                                             "2026-11-21T24:00:00.000Z",
                                             "2026-11-21T12:00:00.000+00:00"};
    for (size_t i = 0; i < sizeof(no_money) / sizeof(no_money[0]); i++)
        assert_text_refused(&price, no_money[i]);
    for (size_t i = 0; i < sizeof(no_number) / sizeof(no_number[0]); i++)
        assert_text_refused(&number, no_number[i]);
    for (size_t i = 0; i < sizeof(no_flag) / sizeof(no_flag[0]); i++)
        assert_text_refused(&flag, no_flag[i]);
    for (size_t i = 0; i < sizeof(no_date) / sizeof(no_date[0]); i++)
        assert_text_refused(&date, no_date[i]);
    for (size_t i = 0; i < sizeof(no_instant) / sizeof(no_instant[0]); i++)
        assert_text_refused(&instant, no_instant[i]);
}

static fb_value_t chance_value(chance_t *chance, const fb_field_t *field)
{
    static const char *const texts[] = {"", "a", "M\xC3\xBChle", "\"quoted\"", "back\\slash\n"};
    fb_value_t value = {.given = true};
    switch (field->kind) {
    case FB_KIND_INTEGER:
    case FB_KIND_MONEY:
        value.number = (int64_t)chance_u64(chance) >> chance_below(chance, 64);
        break;
    case FB_KIND_BOOLEAN:
        value.number = chance_below(chance, 2);
        break;
    case FB_KIND_TEXT:
        value.text = fb_slice(texts[chance_below(chance, 5)]);
        break;
    case FB_KIND_DATE:
        value.number = chance_between(chance, FB_DAY_MIN, FB_DAY_MAX);
        break;
    case FB_KIND_NUMBERS:
    case FB_KIND_KEY:
    case FB_KIND_DECIMAL:
    case FB_KIND_JSON:
        fail_msg("not among these programs");
        break;
    case FB_KIND_INSTANT:
        value.number = chance_between(chance, 0, (int64_t)FB_DAY_MAX * 86400000);
        break;
    }
    return value;
}

static void what_is_written_for_redis_is_read_back(void **state)
{
    (void)state;
    const fb_field_t *fields[] = {&price, &any_number, &flag, &label, &date, &instant};
    const int64_t edges[] = {0, -1, 1, -100, INT64_MAX, INT64_MAX - 7, -INT64_MAX, INT64_MIN};
    chance_t chance = chance_init();
    fb_buffer_t out = {0};
    for (int round = 0; round < 20000; round++) {
        const fb_field_t *field = fields[chance_below(&chance, 6)];
        fb_value_t value = chance_value(&chance, field), back;
        if (round < 16) {
            field = fields[round / 8];
            value = (fb_value_t){.given = true, .number = edges[round % 8]};
        }
        out.len = 0;
        fb_field_put_text(field, &value, &out);
        if (!fb_field_from_text(field, fb_buffer_slice(&out), &back))
            fail_msg("%s: %.*s is not read", field->name, FB_PRINT(fb_buffer_slice(&out)));
        assert_true(back.given && !back.null);
        if (field->kind == FB_KIND_TEXT)
            assert_true(fb_slice_equal(back.text, value.text));
        else
            assert_true(back.number == value.number);
    }
    fb_buffer_dispose(&out);
}

static void json_shows_each_kind_in_its_way(void **state)
{
    (void)state;
    const struct {
        const fb_field_t *field;
        fb_value_t value;
        const char *json;
    } samples[] = {
        {&price, {.number = 1250}, "12.50"},
        {&balance, {.number = -5}, "-0.05"},
        {&balance, {.number = -250}, "-2.50"},
        {&price, {.null = true, .number = 7}, "null"},
        {&number, {.number = -3}, "-3"},
        {&flag, {.number = 1}, "true"},
        {&flag, {.number = 0}, "false"},
        {&label, {.text = FB_SLICE("a \"b\"")}, "\"a \\\"b\\\"\""},
        {&note, {.null = true}, "null"},
        {&date, {.number = 20778}, "\"2026-11-21\""},
        {&instant, {.number = 1795262400123}, "\"2026-11-21T12:00:00.123Z\""},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        fb_buffer_t out = {0};
        fb_field_put_json(samples[i].field, &samples[i].value, &out);
        if (!fb_slice_is(fb_buffer_slice(&out), samples[i].json))
            fail_msg("%.*s is not %s", FB_PRINT(fb_buffer_slice(&out)), samples[i].json);
        fb_buffer_dispose(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_is_found_by_its_whole_name),
        cmocka_unit_test(every_cent_up_to_a_thousand_survives_the_way_there_and_back),
        cmocka_unit_test(money_takes_other_ways_to_write_the_same_number),
        cmocka_unit_test(money_that_is_none_is_refused),
        cmocka_unit_test(integers_are_whole_and_within_their_range),
        cmocka_unit_test(booleans_are_true_or_false),
        cmocka_unit_test(dates_are_days_of_the_calendar),
        cmocka_unit_test(texts_are_bounded_and_hold_no_control_characters),
        cmocka_unit_test(a_query_without_the_form_is_malformed_and_one_beyond_the_range_invalid),
        cmocka_unit_test(a_text_that_was_never_written_is_not_read),
        cmocka_unit_test(what_is_written_for_redis_is_read_back),
        cmocka_unit_test(json_shows_each_kind_in_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
