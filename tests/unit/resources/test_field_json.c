/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "tests/unit/resources/field_fixture.h"

/* The kinds whose value is JSON, and is kept as a text. */
static const fb_field_t items = {"items", "", 1, FB_EXACT_MAX, FB_KIND_NUMBERS, FB_REQUIRED};
static const fb_field_t key = {"key", "", 1, 10, FB_KIND_KEY, 0};
static const fb_field_t decimal = {"decimal", "", 0, 0, FB_KIND_DECIMAL, 0};
static const fb_field_t other = {"other", "", 0, 0, FB_KIND_JSON, 0};

static void assert_made(const fb_field_t *field, const char *json, const char *expected)
{
    fb_error_t error;
    fb_value_t value;
    fb_buffer_t out = {0};
    if (from_json(field, json, &value, &error) != FB_OK)
        fail_msg("%s: %s", json, error.detail);
    assert_true(value.given && !value.null && fb_slice_is(value.text, expected));
    fb_field_put_json(field, &value, &out);
    assert_true(fb_slice_is(fb_buffer_slice(&out), expected));
    out.len = 0;
    fb_field_put_text(field, &value, &out);
    assert_true(fb_slice_is(fb_buffer_slice(&out), expected));
    assert_true(fb_field_from_text(field, fb_buffer_slice(&out), &value));
    assert_true(fb_slice_is(value.text, expected));
    fb_buffer_dispose(&out);
}

static void numbers_are_whole_and_none_comes_twice(void **state)
{
    (void)state;
    assert_made(&items, "[7]", "[7]");
    assert_made(&items, " [ 9 , 7.0 , 1e3 ] ", "[9,7,1000]");
    assert_made(&items, "[9007199254740991]", "[9007199254740991]");
    assert_refused(&items, "[]", "must have 1 to 1000 numbers, not 0");
    assert_refused(&items, "[1,2,1]", "has 1 twice");
    assert_refused(&items, "[1.5]", "must be a whole number");
    assert_refused(&items, "[0]", "must be between 1 and 9007199254740991");
    assert_refused(&items, "[9007199254740992]", "must be between 1 and 9007199254740991");
    assert_refused(&items, "[9007199254740993]", "must be between 1 and 9007199254740991");
    assert_refused(&items, "[1,\"2\"]", "must have numbers alone");
    assert_refused(&items, "[[1]]", "must have numbers alone");
    assert_refused(&items, "[null]", "must have numbers alone");
    assert_refused(&items, "7", "must be an array of numbers");
    assert_refused(&items, "null", "must not be null");
}

static void there_are_a_thousand_numbers_at_most(void **state)
{
    (void)state;
    for (unsigned count = FB_NUMBERS_MAX; count <= FB_NUMBERS_MAX + 1; count++) {
        json_t *array = json_array(), *made;
        fb_error_t error = {0};
        fb_value_t value;
        for (unsigned i = 0; i < count; i++)
            json_array_append_new(array, json_real(count - i));
        fb_code_t code = fb_field_from_json(&items, array, &made, &value, &error);
        assert_int_equal(code, count > FB_NUMBERS_MAX ? FB_INVALID : FB_OK);
        if (code == FB_OK) {
            int64_t number_;
            fb_slice_t rest = value.text;
            assert_int_equal(fb_numbers_count(value.text), count);
            for (unsigned i = 0; i < count; i++) {
                assert_true(fb_numbers_next(&rest, &number_));
                assert_int_equal(number_, count - i);
            }
            assert_false(fb_numbers_next(&rest, &number_));
        }
        json_decref(made);
        json_decref(array);
    }
}

static void a_key_is_a_number_or_a_text_and_stays_which(void **state)
{
    (void)state;
    assert_made(&key, "7", "7");
    assert_made(&key, "-7", "-7");
    assert_made(&key, "7.0", "7");
    assert_made(&key, "\"7\"", "\"7\"");
    assert_made(&key, "\"M\\u00fchle\"", "\"Mühle\"");
    assert_made(&key, "\"a\\\"\\\\\"", "\"a\\\"\\\\\"");
    assert_made(&key, "-9007199254740991", "-9007199254740991");
    assert_refused(&key, "9007199254740993",
                   "must be between -9007199254740991 and 9007199254740991");
    assert_refused(&key, "1.5", "must be a whole number");
    assert_refused(&key, "\"\"", "must not be empty");
    assert_refused(&key, "\"12345678901\"", "must be at most 10 bytes of UTF-8, not 11");
    assert_refused(&key, "\"a\\u0000\"", "must not contain control characters");
    assert_refused(&key, "\"a\\n\"", "must not contain control characters");
    assert_refused(&key, "[1]", "must be a whole number or a string");
    assert_refused(&key, "true", "must be a whole number or a string");
    assert_refused(&key, "null", "must not be null");
}

static void a_decimal_is_the_shortest_text_of_its_double(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    fb_value_t value, back;
    assert_made(&decimal, "0.1", "0.1");
    assert_made(&decimal, "0.10", "0.1");
    assert_made(&decimal, "-0", "-0");
    assert_made(&decimal, "1e2", "100");
    assert_made(&decimal, "1E+22", "1e+22");
    assert_made(&decimal, "12345678901234567890", "1.2345678901234567e+19");
    assert_made(&decimal, "0.30000000000000004", "0.30000000000000004");
    assert_refused(&decimal, "\"1\"", "must be a number");
    assert_refused(&decimal, "[1]", "must be a number");
    assert_refused(&decimal, "null", "must not be null");
    static const char *const never[] = {"",   "0.10", "1e2",  "+1",
                                        "01", ".5",   "NaN",  "\"1\"",
                                        "1 ", "[1]",  "null", "100000000000000000000"};
    for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        assert_false(fb_field_from_text(&decimal, fb_slice(never[i]), &value));
    for (int round = 0; round < 20000; round++) {
        char text[64];
        double number_ =
            (double)(int64_t)chance_u64(&chance) / pow(10, (double)chance_below(&chance, 40));
        fb_error_t error;
        snprintf(text, sizeof(text), "%.17g", number_);
        assert_int_equal(from_json(&decimal, text, &value, &error), FB_OK);
        assert_true(fb_field_from_text(&decimal, value.text, &back));
        snprintf(text, sizeof(text), "%.*s", FB_PRINT(value.text));
        assert_true(strtod(text, NULL) == number_);
    }
}

/* Its own family reads it from a body; this is of what is in Redis. */
static void other_json_is_kept_whatever_it_is(void **state)
{
    (void)state;
    static const char *const good[] = {"[]", "{}", "{\"a\":[0.10,1E2,12345678901234567890]}"};
    static const char *const bad[] = {"", "1", "\"a\"", "null", "[", "[1]x", "[NaN]", "[1e999]"};
    fb_value_t value;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(fb_field_from_text(&other, fb_slice(good[i]), &value));
        assert_true(fb_slice_is(value.text, good[i]));
    }
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(fb_field_from_text(&other, fb_slice(bad[i]), &value));
}

static void json_that_was_never_written_is_not_read(void **state)
{
    (void)state;
    static const char *const lists[] = {"[1]2]", "[1,2",  ",1]",   "[1]]",   "[-1]",   "[,1]",
                                        "",      "[",     "[]",    "[1",     "[1,]",   "[1, 2]",
                                        "[01]",  "[1,1]", "[1.0]", "[0]",    " [1]",   "[1] ",
                                        "1",     "{}",    "null",  "[null]", "[\"1\"]"};
    static const char *const keys[] = {"",
                                       "\"",
                                       "\"\"",
                                       "a",
                                       "7.0",
                                       "07",
                                       "+7",
                                       "-0",
                                       "[7]",
                                       "\"\\u0041\"",
                                       " 7",
                                       "null",
                                       "{}",
                                       "1e2",
                                       "\"a\"b",
                                       "\"12345678901\"",
                                       "9007199254740992"};
    fb_value_t value;
    for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (fb_field_from_text(&items, fb_slice(lists[i]), &value))
            fail_msg("%s is read", lists[i]);
    }
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (fb_field_from_text(&key, fb_slice(keys[i]), &value))
            fail_msg("%s is read", keys[i]);
    }
}

/* Whatever bytes there are: they are refused, or are what would be written. */
static void random_json_is_refused_or_is_what_would_be_written(void **state)
{
    (void)state;
    static const char *const parts[] = {"[", "]",  ",",  "1", "7", "0",
                                        "-", "\"", "\\", "a", " ", "."};
    chance_t chance = chance_init();
    unsigned read = 0;
    for (int round = 0; round < 60000; round++) {
        char text[16] = "";
        const fb_field_t *field = round % 2 == 0 ? &items : &key;
        fb_value_t value;
        fb_error_t error;
        for (uint32_t n = 1 + chance_below(&chance, 7); n > 0; n--)
            strcat(text, parts[chance_below(&chance, 12)]);
        if (!fb_field_from_text(field, fb_slice(text), &value))
            continue;
        read++;
        assert_int_equal(from_json(field, text, &value, &error), FB_OK);
        assert_true(fb_slice_is(value.text, text));
    }
    assert_true(read > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_whole_and_none_comes_twice),
        cmocka_unit_test(there_are_a_thousand_numbers_at_most),
        cmocka_unit_test(a_key_is_a_number_or_a_text_and_stays_which),
        cmocka_unit_test(a_decimal_is_the_shortest_text_of_its_double),
        cmocka_unit_test(other_json_is_kept_whatever_it_is),
        cmocka_unit_test(json_that_was_never_written_is_not_read),
        cmocka_unit_test(random_json_is_refused_or_is_what_would_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
