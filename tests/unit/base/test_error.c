/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void every_code_has_a_name_and_a_title_of_its_own(void **state)
{
    (void)state;
    for (fb_code_t a = FB_OK; a < FB_CODE_COUNT; a++) {
        const char *name = fb_code_name(a), *title = fb_code_title(a);
        for (const char *c = name; *c != '\0'; c++)
            assert_true(islower((unsigned char)*c) || *c == '-');
        assert_true(strlen(name) > 0 && isupper((unsigned char)title[0]));
        assert_int_not_equal(title[strlen(title) - 1], '.');
        for (fb_code_t b = FB_OK; b < a; b++) {
            assert_string_not_equal(name, fb_code_name(b));
            assert_string_not_equal(title, fb_code_title(b));
        }
    }
    assert_string_equal(fb_code_name(FB_OK), "ok");
    assert_string_equal(fb_code_name(FB_OUTCOME_UNKNOWN), "outcome-unknown");
}

static void a_failure_is_filled_and_its_code_returned(void **state)
{
    (void)state;
    fb_error_t error = {0};
    assert_int_equal(fb_fail(&error, FB_CONFLICT, "machine %d is booked", 42), FB_CONFLICT);
    assert_int_equal(error.code, FB_CONFLICT);
    assert_string_equal(error.detail, "machine 42 is booked");
    assert_int_equal(error.field_count, 0);
}

static void a_failure_says_nothing_of_the_one_before_it(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_fail_field(&error, FB_INVALID, FB_SLICE("label"), "is empty");
    assert_int_equal(fb_fail(&error, FB_UNAVAILABLE, "no Redis"), FB_UNAVAILABLE);
    assert_string_equal(error.detail, "no Redis");
    assert_int_equal(error.field_count, 0);
}

static void wrong_fields_are_collected_and_the_first_one_speaks(void **state)
{
    (void)state;
    fb_error_t error = {0};
    assert_int_equal(fb_fail_field(&error, FB_INVALID, FB_SLICE("label"), "is empty"), FB_INVALID);
    assert_int_equal(fb_fail_field(&error, FB_MALFORMED, FB_SLICE("type"), "is %s", "odd"),
                     FB_INVALID);
    assert_string_equal(error.detail, "label: is empty");
    assert_int_equal(error.field_count, 2);
    assert_string_equal(error.fields[0].field, "label");
    assert_string_equal(error.fields[0].detail, "is empty");
    assert_string_equal(error.fields[1].field, "type");
    assert_string_equal(error.fields[1].detail, "is odd");
}

static void fields_beyond_the_most_are_counted_but_not_named(void **state)
{
    (void)state;
    fb_error_t error = {0};
    char name[32];
    for (unsigned i = 0; i < FB_ERROR_FIELDS_MAX + 5; i++) {
        snprintf(name, sizeof(name), "item_%u", i);
        fb_fail_field(&error, FB_INVALID, fb_slice(name), "no %u", i);
    }
    assert_int_equal(error.field_count, FB_ERROR_FIELDS_MAX + 5);
    for (unsigned i = 0; i < FB_ERROR_FIELDS_MAX; i++) {
        snprintf(name, sizeof(name), "item_%u", i);
        assert_string_equal(error.fields[i].field, name);
    }
}

static void a_field_after_a_plain_failure_keeps_what_was_said(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_fail(&error, FB_CONFLICT, "first");
    assert_int_equal(fb_fail_field(&error, FB_INVALID, FB_SLICE("f"), "second"), FB_CONFLICT);
    assert_string_equal(error.detail, "first");
    assert_int_equal(error.field_count, 1);
}

/* `text` is a beginning of `whole`, made of whole characters, and as long as `room` allows. */
static void assert_cut_well(const char *text, const char *whole, size_t room)
{
    size_t len = strlen(text), whole_len = strlen(whole);
    assert_true(fb_slice_is_utf8(fb_slice(text)));
    assert_memory_equal(text, whole, len);
    if (whole_len < room)
        assert_int_equal(len, whole_len);
    else
        assert_true(len < room && len + 4 >= room);
}

static void a_text_that_is_too_long_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "ä", "€", "😀"};
    for (size_t which = 0; which < 4; which++) {
        for (size_t lead = 0; lead < FB_ERROR_DETAIL_BYTES + 8; lead++) {
            char whole[1024];
            memset(whole, '.', lead);
            whole[lead] = '\0';
            for (int i = 0; i < 20; i++)
                strcat(whole, characters[which]);
            fb_error_t error = {0};
            fb_fail(&error, FB_INVALID, "%s", whole);
            assert_cut_well(error.detail, whole, sizeof(error.detail));
            fb_error_t of_field = {0};
            fb_fail_field(&of_field, FB_INVALID, fb_slice(whole), "%s", whole);
            assert_cut_well(of_field.fields[0].field, whole, sizeof(of_field.fields[0].field));
            assert_cut_well(of_field.fields[0].detail, whole, sizeof(of_field.fields[0].detail));
            assert_true(fb_slice_is_utf8(fb_slice(of_field.detail)));
        }
    }
}

static void a_field_ends_where_its_slice_ends(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_fail_field(&error, FB_INVALID, (fb_slice_t){"labelled", 5}, "no");
    assert_string_equal(error.fields[0].field, "label");
    assert_string_equal(error.detail, "label: no");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_and_a_title_of_its_own),
        cmocka_unit_test(a_failure_is_filled_and_its_code_returned),
        cmocka_unit_test(a_failure_says_nothing_of_the_one_before_it),
        cmocka_unit_test(wrong_fields_are_collected_and_the_first_one_speaks),
        cmocka_unit_test(fields_beyond_the_most_are_counted_but_not_named),
        cmocka_unit_test(a_field_after_a_plain_failure_keeps_what_was_said),
        cmocka_unit_test(a_text_that_is_too_long_is_cut_at_a_whole_character),
        cmocka_unit_test(a_field_ends_where_its_slice_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
