/* SPDX-License-Identifier: MIT */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/random.h"

static void an_object_is_read_and_its_numbers_are_reals(void **state)
{
    (void)state;
    fb_error_t error = {0};
    json_t *object = NULL;
    fb_slice_t text = FB_SLICE("{\"label\": \"B\\u00e4r\", \"price\": 12, \"none\": null, "
                               "\"list\": [1.5, true]}");
    assert_int_equal(fb_json_parse_object(text, &object, &error), FB_OK);
    assert_int_equal(error.code, FB_OK);
    assert_string_equal(json_string_value(json_object_get(object, "label")), "Bär");
    assert_true(json_is_real(json_object_get(object, "price")));
    assert_true(json_real_value(json_object_get(object, "price")) == 12.0);
    assert_true(json_is_null(json_object_get(object, "none")));
    assert_int_equal(json_array_size(json_object_get(object, "list")), 2);
    json_decref(object);
}

static fb_code_t code_of(fb_slice_t text, fb_error_t *error)
{
    json_t *object = (json_t *)error; /* anything but NULL */
    *error = (fb_error_t){0};
    fb_code_t code = fb_json_parse_object(text, &object, error);
    if (code == FB_OK)
        json_decref(object);
    else
        assert_null(object);
    assert_int_equal(error->code, code);
    assert_true(fb_slice_is_utf8(fb_slice(error->detail)));
    return code;
}

static void what_is_not_json_is_malformed_and_says_where(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{} x",
        "{\"a\":NaN}",
        "{\"a\":\"\\ud800\"}",
        "\xEF\xBB\xBF{}",
        "{\"\xC3\"}",
        "{\"a\":+1}",
        "{\"a\":\"\n\"}",
        " ",
    };
    fb_error_t error;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        assert_int_equal(code_of(fb_slice(malformed[i]), &error), FB_MALFORMED);
        assert_non_null(strstr(error.detail, "(line 1, column "));
    }
    assert_int_equal(code_of(FB_SLICE("{\n\n  \"a\": x}"), &error), FB_MALFORMED);
    assert_non_null(strstr(error.detail, "(line 3, column "));
    /* jansson would quote half of the character here. */
    assert_int_equal(code_of(FB_SLICE("{\"a\": \"\\ud8ä\"}"), &error), FB_MALFORMED);
    assert_non_null(strstr(error.detail, "invalid escape (line 1, column "));
    assert_int_equal(code_of(FB_SLICE(""), &error), FB_MALFORMED);
    assert_int_equal(code_of((fb_slice_t){NULL, 0}, &error), FB_MALFORMED);
}

static void json_that_is_no_object_is_invalid(void **state)
{
    (void)state;
    static const char *const others[] = {"[]", "[{}]", "1", "-0.5e3", "\"{}\"", "null", "true"};
    fb_error_t error;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(code_of(fb_slice(others[i]), &error), FB_INVALID);
}

static void assert_names(const char *text, const char *field)
{
    fb_error_t error;
    assert_int_equal(code_of(fb_slice(text), &error), FB_MALFORMED);
    assert_int_equal(error.field_count, 1);
    assert_string_equal(error.fields[0].field, field);
}

static void a_member_that_occurs_twice_is_named(void **state)
{
    (void)state;
    assert_names("{\"label\": 1, \"label\": 2}", "label");
    assert_names("{\"label\": 1, \"type\": 2, \"label\": 3}", "label");
    assert_names("{\"type\": 1, \"a\": {\"b\": 1, \"b\": 2}}", "b");
    assert_names("{\"äöüß\": \"x\", \"äöüß\" : 2}", "äöüß");
    /* jansson names only short members. */
    assert_names("{\"maintenance_start_date\": 1, \"maintenance_start_date\": 2}",
                 "maintenance_start_date");
}

static void a_member_whose_number_is_too_great_is_named(void **state)
{
    (void)state;
    assert_names("{\"price\": 1e999}", "price");
    assert_names("{\"a\": \"b:\", \"price\" : -1e400, \"c\": 1}", "price");
    /* A colon or a quote within a string names nothing. */
    assert_names("{\"list\": [\"x:\", \"\\\":\", 1, 1e999]}", "list");
}

static void depth_beyond_the_most_is_refused(void **state)
{
    (void)state;
    fb_error_t error;
    fb_buffer_t text = {0};
    for (int i = 0; i < 100000; i++)
        fb_buffer_put_literal(&text, "{\"a\":");
    assert_int_equal(code_of(fb_buffer_slice(&text), &error), FB_MALFORMED);
    text.len = 0;
    for (int i = 0; i < 1000; i++)
        fb_buffer_put_literal(&text, "{\"a\":");
    fb_buffer_put_literal(&text, "1");
    for (int i = 0; i < 1000; i++)
        fb_buffer_put_literal(&text, "}");
    assert_int_equal(code_of(fb_buffer_slice(&text), &error), FB_OK);
    fb_buffer_dispose(&text);
}

static void assert_written(fb_slice_t text, const char *expected)
{
    fb_buffer_t written = {0};
    fb_json_put_string(&written, text);
    assert_true(fb_slice_is(fb_buffer_slice(&written), expected));
    fb_buffer_dispose(&written);
}

static void a_string_is_written_with_its_escapes(void **state)
{
    (void)state;
    assert_written((fb_slice_t){NULL, 0}, "\"\"");
    assert_written(FB_SLICE("plain"), "\"plain\"");
    assert_written(FB_SLICE("\"\\/"), "\"\\\"\\\\/\"");
    assert_written(FB_SLICE("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
    assert_written(FB_SLICE("\0\x01\x1F "), "\"\\u0000\\u0001\\u001f \"");
    assert_written(FB_SLICE("ä€😀"), "\"ä€😀\"");
}

static void what_is_no_utf8_becomes_the_replacement_character(void **state)
{
    (void)state;
    assert_written(FB_SLICE("\xFF"), "\"\xEF\xBF\xBD\"");
    assert_written(FB_SLICE("a\xC3z"), "\"a\xEF\xBF\xBDz\"");
    assert_written(FB_SLICE("ä\xE2\x82"), "\"ä\xEF\xBF\xBD\xEF\xBF\xBD\"");
    assert_written(FB_SLICE("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void a_written_string_is_read_back_as_it_was(void **state)
{
    (void)state;
    static const char *const pieces[] = {"\"", "\\", "a",    "/",   "\n", "\x01", "ä",
                                         "€",  "😀",  "\x7F", "\\u", "\t", "\xC3", "\xF0\x9F"};
    chance_t random = chance_init();
    for (int i = 0; i < 50000; i++) {
        fb_buffer_t text = {0}, written = {0};
        for (int64_t count = chance_between(&random, 0, 12); count > 0; count--)
            fb_buffer_put_text(&text, pieces[chance_between(&random, 0, 13)]);
        fb_slice_t slice = fb_buffer_slice(&text);
        fb_json_put_string(&written, slice);
        json_t *string = json_loadb(written.at, written.len, JSON_DECODE_ANY, NULL);
        assert_true(json_is_string(string));
        fb_slice_t read = {json_string_value(string), json_string_length(string)};
        if (fb_slice_is_utf8(slice))
            assert_true(fb_slice_equal(read, slice));
        else
            assert_non_null(strstr(json_string_value(string), "\xEF\xBF\xBD"));
        json_decref(string);
        fb_buffer_dispose(&text);
        fb_buffer_dispose(&written);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_read_and_its_numbers_are_reals),
        cmocka_unit_test(what_is_not_json_is_malformed_and_says_where),
        cmocka_unit_test(json_that_is_no_object_is_invalid),
        cmocka_unit_test(a_member_that_occurs_twice_is_named),
        cmocka_unit_test(a_member_whose_number_is_too_great_is_named),
        cmocka_unit_test(depth_beyond_the_most_is_refused),
        cmocka_unit_test(a_string_is_written_with_its_escapes),
        cmocka_unit_test(what_is_no_utf8_becomes_the_replacement_character),
        cmocka_unit_test(a_written_string_is_read_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
