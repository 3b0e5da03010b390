/* SPDX-License-Identifier: MIT */
#include "resources/events.h"

#include "tests/unit/resources/fleet.h"

static void check_written(const char *text, uint64_t revision, uint32_t place)
{
    fb_event_token_t token = {0};
    fb_buffer_t written = {0};
    assert_true(fb_event_token_read(fb_slice(text), &token));
    assert_string_equal(token.epoch, "0123abcd");
    assert_int_equal(token.mark.revision, revision);
    assert_int_equal(token.mark.place, place);
    fb_event_token_put(token.epoch, token.mark, &written);
    assert_text(fb_buffer_slice(&written), text);
    assert_true(written.len < FB_EVENT_TOKEN_BYTES_MAX);
    fb_buffer_dispose(&written);
}

static void a_token_is_read_as_it_is_written(void **state)
{
    (void)state;
    check_written("0123abcd.0", 0, FB_EVENT_PLACE_END);
    check_written("0123abcd.7", 7, FB_EVENT_PLACE_END);
    check_written("0123abcd.7.1", 7, 1);
    check_written("0123abcd.9223372036854775807.4294967294", INT64_MAX, UINT32_MAX - 1);
}

static void what_is_no_token_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "0123abcd",
        "0123abcd.",
        ".1",
        "0123abc.1",
        "0123abcdd.1",
        "0123ABCD.1",
        "0123abcg.1",
        "0123abcd 1",
        "0123abcd.x",
        "0123abcd.-1",
        "0123abcd.01",
        "0123abcd.1.",
        "0123abcd.1.0",
        "0123abcd.0.1",
        "0123abcd.1.01",
        "0123abcd.1.2.3",
        "0123abcd.1 ",
        "0123abcd..1",
        "0123abcd.9223372036854775808",
        "0123abcd.1.4294967295",
        "0123abcd.18446744073709551616",
    };
    fb_event_token_t token;
    (void)state;
    for (size_t i = 0; i < FB_COUNT(bad); i++) {
        if (fb_event_token_read(fb_slice(bad[i]), &token))
            fail_msg("a token: \"%s\"", bad[i]);
    }
}

static void marks_are_in_the_order_of_the_log(void **state)
{
    static const fb_event_mark_t marks[] = {
        {0, FB_EVENT_PLACE_END}, {1, 1}, {1, 2}, {1, FB_EVENT_PLACE_END}, {2, 1},
    };
    (void)state;
    for (size_t i = 0; i < FB_COUNT(marks); i++) {
        for (size_t j = 0; j < FB_COUNT(marks); j++)
            assert_int_equal(fb_event_mark_is_before(marks[i], marks[j]), i < j);
    }
}

static void the_epoch_of_a_revision_is_the_one_it_was_made_in(void **state)
{
    (void)state;
    const fb_position_t position = {
        .epoch = "cccccccc",
        .revision = 30,
        .former = {{"bbbbbbbb", 20}, {"aaaaaaaa", 10}},
    };
    assert_string_equal(fb_event_epoch(&position, 30), "cccccccc");
    assert_string_equal(fb_event_epoch(&position, 21), "cccccccc");
    assert_string_equal(fb_event_epoch(&position, 20), "bbbbbbbb");
    assert_string_equal(fb_event_epoch(&position, 11), "bbbbbbbb");
    assert_string_equal(fb_event_epoch(&position, 10), "aaaaaaaa");
    assert_string_equal(fb_event_epoch(&position, 1), "aaaaaaaa");
    for (uint64_t revision = 0; revision <= 30; revision++)
        assert_true(fb_position_includes(&position, fb_event_epoch(&position, revision), revision));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_read_as_it_is_written),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(marks_are_in_the_order_of_the_log),
        cmocka_unit_test(the_epoch_of_a_revision_is_the_one_it_was_made_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
