/* SPDX-License-Identifier: MIT */
#include "base/json_raw.h"

#include <jansson.h>

#include "tests/unit/random.h"

#define FLAGS (JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL)

/* In a block of just its length, so that a byte read beyond it is seen by a sanitizer. */
static bool is_json(fb_slice_t text)
{
    fb_error_t error = {0};
    char *copy = malloc(text.len + 1);
    memcpy(copy + 1, text.at, text.len);
    fb_code_t code = fb_json_raw_check((fb_slice_t){copy + 1, text.len}, &error);
    free(copy);
    assert_true(code == FB_OK || code == FB_MALFORMED);
    assert_int_equal(code, error.code);
    return code == FB_OK;
}

static const char *const texts_of_json[] = {
    "0",
    "-0",
    "10",
    "-1.50",
    "1e2",
    "1E+5",
    "1e-400",
    "0.10",
    "98765432109876543210",
    "1.7976931348623157e308",
    "true",
    "false",
    "null",
    "\"\"",
    " [ ] ",
    "{}",
    "\t{\"a\":\r\n[]}",
    "[1,[2,{\"b\":null}],\"c\"]",
    "\"\\u00e9\\uD83D\\uDE00\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0000\"",
    "\"M\xC3\xBChle\"",
    "{\"a\":1,\"a\":2}",
    "[[[[[[[[[[1]]]]]]]]]]",
};
static const char *const other_texts[] = {
    "",
    " ",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1e",
    "1e+",
    "0x1",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e309",
    "-1e400",
    "[1e999999999999999999999]",
    "tru",
    "truee",
    "nul",
    "True",
    "'a'",
    "\"",
    "\"a",
    "\"\n\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12G4\"",
    "\"\\uD800\"",
    "\"\\uDC00\"",
    "\"\\uD800\\u0041\"",
    "\"\\uD800x\"",
    "\"\xFF\"",
    "\"\xC3\"",
    "\"\xC0\x80\"",
    "\"\xED\xA0\x80\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{",
    "}",
    "{1:2}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{\"a\":1]",
    "{,}",
    "{\"a\" 1}",
    "{}{}",
    "[] x",
    "1 2",
    "\xEF\xBB\xBF{}",
    "/* */ 1",
    "[1] //",
};

static void what_is_json_is_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts_of_json) / sizeof(texts_of_json[0]); i++) {
        if (!is_json(fb_slice(texts_of_json[i])))
            fail_msg("%s is not read", texts_of_json[i]);
    }
    for (size_t i = 0; i < sizeof(other_texts) / sizeof(other_texts[0]); i++) {
        if (is_json(fb_slice(other_texts[i])))
            fail_msg("%s is read", other_texts[i]);
    }
    assert_false(is_json((fb_slice_t){"[1]\0", 4}));
    assert_false(is_json((fb_slice_t){"\"\0\"", 3}));
}

static void the_depth_is_bounded(void **state)
{
    (void)state;
    for (size_t depth = FB_JSON_RAW_DEPTH_MAX - 1; depth <= FB_JSON_RAW_DEPTH_MAX + 1; depth++) {
        fb_buffer_t arrays = {0}, objects = {0};
        for (size_t i = 0; i < depth; i++) {
            fb_buffer_put_char(&arrays, '[');
            fb_buffer_put_text(&objects, "{\"a\":");
        }
        fb_buffer_put_char(&objects, '1');
        for (size_t i = 0; i < depth; i++) {
            fb_buffer_put_char(&arrays, ']');
            fb_buffer_put_char(&objects, '}');
        }
        assert_int_equal(is_json(fb_buffer_slice(&arrays)), depth <= FB_JSON_RAW_DEPTH_MAX);
        assert_int_equal(is_json(fb_buffer_slice(&objects)), depth <= FB_JSON_RAW_DEPTH_MAX);
        fb_buffer_dispose(&arrays);
        fb_buffer_dispose(&objects);
    }
}

static void a_long_number_is_held_against_the_range_of_a_double(void **state)
{
    (void)state;
    fb_buffer_t text = {0};
    for (size_t digits = 290; digits < 330; digits++) {
        text.len = 0;
        for (size_t i = 0; i < digits; i++)
            fb_buffer_put_char(&text, '1');
        assert_int_equal(is_json(fb_buffer_slice(&text)), digits <= 309);
        fb_buffer_put_literal(&text, "e-20");
        assert_int_equal(is_json(fb_buffer_slice(&text)), digits <= 329);
    }
    fb_buffer_dispose(&text);
}

/* --- against jansson ---------------------------------------------------------------------- */

static void put_space(chance_t *chance, fb_buffer_t *text)
{
    if (chance_below(chance, 4) == 0)
        fb_buffer_put_char(text, " \t\r\n"[chance_below(chance, 4)]);
}

static void put_value(chance_t *chance, unsigned depth, fb_buffer_t *text)
{
    static const char *const plain[] = {
        "0",
        "-0",
        "12",
        "1.25",
        "-3e5",
        "1E-7",
        "1e308",
        "1e309",
        "18446744073709551616",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\"",
        "\"\\n\\u0041\"",
        "\"\\ud83d\\ude00\"",
        "\"\xC3\xA9\"",
        "\"\xF0\x9F\x98\x80\"",
        "\"\\\"\"",
        "\"\\\\\"",
    };
    static const char *const names[] = {"\"a\"", "\"b\"", "\"\\u0063\"", "\"\"", "\"\xC3\xA9\""};
    unsigned kind = chance_below(chance, depth == 0 ? 3 : 6);
    put_space(chance, text);
    if (kind < 3) {
        fb_buffer_put_text(text, plain[chance_below(chance, sizeof(plain) / sizeof(plain[0]))]);
    } else {
        bool is_object = kind == 3;
        unsigned count = chance_below(chance, 5);
        fb_buffer_put_char(text, is_object ? '{' : '[');
        for (unsigned i = 0; i < count; i++) {
            fb_buffer_put_text(text, i > 0 ? "," : "");
            put_space(chance, text);
            if (is_object)
                fb_buffer_printf(text, "%s:", names[chance_below(chance, 5)]);
            put_value(chance, depth - 1, text);
        }
        fb_buffer_put_char(text, is_object ? '}' : ']');
    }
    put_space(chance, text);
}

/* Something of it is changed, put in or taken out. */
static void spoil(chance_t *chance, fb_buffer_t *text)
{
    static const char bytes[] = "{}[]\",:\\ue+-.0123456789tfn \n\x80\xC3\xFF\x01";
    size_t at = chance_below(chance, (uint32_t)text->len);
    char byte = bytes[chance_below(chance, sizeof(bytes) - 1)];
    switch (chance_below(chance, 4)) {
    case 0:
        text->at[at] = byte;
        break;
    case 1:
        memmove(text->at + at, text->at + at + 1, text->len - at - 1);
        text->len--;
        break;
    case 2:
        fb_buffer_put_char(text, ' ');
        memmove(text->at + at + 1, text->at + at, text->len - at - 1);
        text->at[at] = byte;
        break;
    default:
        text->len = at;
        break;
    }
}

static void random_documents_are_read_as_jansson_reads_them(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    fb_buffer_t text = {0};
    size_t read = 0, refused = 0;
    for (int round = 0; round < 200000; round++) {
        text.len = 0;
        put_value(&chance, chance_below(&chance, 5), &text);
        for (unsigned faults = chance_below(&chance, 3); faults > 0 && text.len > 0; faults--)
            spoil(&chance, &text);
        json_t *json = text.len > 0 ? json_loadb(text.at, text.len, FLAGS, NULL) : NULL;
        if (is_json(fb_buffer_slice(&text)) != (json != NULL))
            fail_msg("%.*s: jansson %s it", FB_PRINT(fb_buffer_slice(&text)),
                     json != NULL ? "reads" : "refuses");
        read += json != NULL ? 1 : 0;
        refused += json == NULL ? 1 : 0;
        json_decref(json);
    }
    assert_true(read > 10000 && refused > 10000);
    fb_buffer_dispose(&text);
}

/* --- objects and arrays ------------------------------------------------------------------- */

static const char *const names[] = {"time", "a", "b"};

static fb_code_t note(fb_json_reader_t *reader, unsigned name, void *context, fb_error_t *error)
{
    fb_slice_t *values = context;
    return fb_json_raw_value(reader, &values[name], error);
}

static fb_code_t read_members(const char *text, fb_slice_t *values, unsigned *found,
                              fb_error_t *error)
{
    fb_json_reader_t reader;
    *error = (fb_error_t){0};
    fb_json_raw_begin(&reader, fb_slice(text));
    if (fb_json_raw_object(&reader, names, 3, note, values, found, error) == FB_OK)
        fb_json_raw_end_of_text(&reader, error);
    return error->code;
}

static void members_are_found_by_their_names(void **state)
{
    (void)state;
    fb_slice_t values[3];
    fb_error_t error;
    unsigned found;
    assert_int_equal(
        read_members(" {\"b\" : [1, {\"a\":2}] , \"t\\u0069me\":\"x\"} ", values, &found, &error),
        FB_OK);
    assert_int_equal(found, 1 | 4);
    assert_true(fb_slice_is(values[0], "\"x\"") && fb_slice_is(values[2], "[1, {\"a\":2}]"));
    assert_int_equal(read_members("{}", values, &found, &error), FB_OK);
    assert_int_equal(found, 0);
    assert_int_equal(read_members("[{\"a\":1}]", values, &found, &error), FB_OK);
    assert_int_equal(found, 0);
    assert_int_equal(read_members("{\"a\":1,\"c\":2}", values, &found, &error), FB_MALFORMED);
    assert_string_equal(error.detail, "c: there is no such member here");
    assert_int_equal(read_members("{\"a\":1,\"\\u0061\":2}", values, &found, &error), FB_MALFORMED);
    assert_string_equal(error.fields[0].detail, "the member occurs twice");
    static const char *const bad[] = {"{\"a\":1",   "{\"a\":1,}", "{\"a\"}",           "{a:1}",
                                      "{\"a\":1}}", "",           "{\"a\":1 \"b\":2}", "{\"a\":[}",
                                      "{\"a\0\":1}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_members(bad[i], values, &found, &error), FB_MALFORMED);
}

static fb_code_t read_numbers(const char *text, fb_buffer_t *made, size_t *count, fb_error_t *error)
{
    fb_json_reader_t reader;
    made->len = 0;
    *error = (fb_error_t){0};
    fb_json_raw_begin(&reader, fb_slice(text));
    if (fb_json_raw_numbers(&reader, FB_SLICE("time"), made, count, error) == FB_OK)
        fb_json_raw_end_of_text(&reader, error);
    return error->code;
}

static void numbers_stay_as_they_were_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *made;
        size_t count;
    } good[] = {
        {"[]", "[]", 0},
        {" [ \n ] ", "[]", 0},
        {"[ 0.10 ,1e2,\t-0,1E+5 ,\n12345678901234567890 ]",
         "[0.10,1e2,-0,1E+5,12345678901234567890]", 5},
    };
    static const char *const others[] = {"[1,\"2\"]", "[true]", "[null]", "[[1]]", "[1,[2]]",
                                         "{}",        "\"1\"",  "1",      "null",  "[NaN]",
                                         "[1,]",      "[,1]",   "[+1]"};
    static const char *const bad[] = {"[1", "[1 2]", "[01]", "[1e999]", "[1}", "[1],"};
    fb_buffer_t made = {0};
    fb_error_t error;
    size_t count;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(read_numbers(good[i].text, &made, &count, &error), FB_OK);
        assert_true(fb_slice_is(fb_buffer_slice(&made), good[i].made));
        assert_int_equal(count, good[i].count);
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(read_numbers(others[i], &made, &count, &error), FB_INVALID);
        assert_string_equal(error.detail, "time: must be an array of numbers");
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_numbers(bad[i], &made, &count, &error), FB_MALFORMED);
    fb_buffer_dispose(&made);
}

static void an_array_is_taken_apart(void **state)
{
    (void)state;
    static const char *const expected[] = {"1", "\"a,]\\\"\"", "{\"b\":[2,3]}", "[]", "null"};
    fb_slice_t rest = FB_SLICE(" [1 , \"a,]\\\"\",{\"b\":[2,3]},[],null ] "), element;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_true(fb_json_raw_next(&rest, &element));
        assert_true(fb_slice_is(element, expected[i]));
    }
    assert_false(fb_json_raw_next(&rest, &element));
    rest = FB_SLICE("[ ]");
    assert_false(fb_json_raw_next(&rest, &element));
    rest = FB_SLICE("{\"a\":1}");
    assert_false(fb_json_raw_next(&rest, &element));
}

static void a_fault_is_said_with_its_place(void **state)
{
    (void)state;
    fb_error_t error = {0};
    assert_int_equal(fb_json_raw_check(FB_SLICE("{\n \"a\": tru}"), &error), FB_MALFORMED);
    assert_non_null(strstr(error.detail, "line 2, column 10"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_is_known),
        cmocka_unit_test(the_depth_is_bounded),
        cmocka_unit_test(a_long_number_is_held_against_the_range_of_a_double),
        cmocka_unit_test(random_documents_are_read_as_jansson_reads_them),
        cmocka_unit_test(members_are_found_by_their_names),
        cmocka_unit_test(numbers_stay_as_they_were_written),
        cmocka_unit_test(an_array_is_taken_apart),
        cmocka_unit_test(a_fault_is_said_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
