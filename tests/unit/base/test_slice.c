/* SPDX-License-Identifier: MIT */
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/random.h"

static void slices_are_equal_by_their_bytes(void **state)
{
    (void)state;
    assert_true(fb_slice_equal(FB_SLICE("a\0b"), (fb_slice_t){"a\0b", 3}));
    assert_false(fb_slice_equal(FB_SLICE("a\0b"), FB_SLICE("a\0c")));
    assert_false(fb_slice_equal(FB_SLICE("ab"), FB_SLICE("abc")));
    assert_true(fb_slice_equal((fb_slice_t){NULL, 0}, FB_SLICE("")));
    assert_true(fb_slice_is(FB_SLICE("machine"), "machine"));
    assert_false(fb_slice_is(FB_SLICE("machine\0"), "machine"));
}

static void the_greatest_number_is_read_and_one_more_is_not(void **state)
{
    (void)state;
    uint64_t number = 0;
    assert_true(fb_slice_to_u64(FB_SLICE("18446744073709551615"), UINT64_MAX, &number));
    assert_true(number == UINT64_MAX);
    assert_false(fb_slice_to_u64(FB_SLICE("18446744073709551616"), UINT64_MAX, &number));
    assert_false(fb_slice_to_u64(FB_SLICE("18446744073709551620"), UINT64_MAX, &number));
    assert_false(fb_slice_to_u64(FB_SLICE("99999999999999999999"), UINT64_MAX, &number));
    assert_false(fb_slice_to_u64(FB_SLICE("184467440737095516150"), UINT64_MAX, &number));
    assert_true(fb_slice_to_u64(FB_SLICE("1000"), 1000, &number));
    assert_int_equal(number, 1000);
    assert_false(fb_slice_to_u64(FB_SLICE("1001"), 1000, &number));
    assert_int_equal(number, 1000);
    assert_true(fb_slice_to_u64(FB_SLICE("0"), 0, &number));
    assert_int_equal(number, 0);
}

static void both_ends_of_the_integers_are_read_and_no_further(void **state)
{
    (void)state;
    int64_t number = 0;
    assert_true(fb_slice_to_i64(FB_SLICE("9223372036854775807"), &number));
    assert_true(number == INT64_MAX);
    assert_true(fb_slice_to_i64(FB_SLICE("-9223372036854775808"), &number));
    assert_true(number == INT64_MIN);
    assert_false(fb_slice_to_i64(FB_SLICE("9223372036854775808"), &number));
    assert_false(fb_slice_to_i64(FB_SLICE("-9223372036854775809"), &number));
    assert_true(fb_slice_to_i64(FB_SLICE("-1"), &number));
    assert_int_equal(number, -1);
    assert_true(fb_slice_to_i64(FB_SLICE("0"), &number));
    assert_int_equal(number, 0);
}

static void what_is_no_plain_decimal_number_is_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",    "-",   "--1", "+1", " 1",   "1 ", "01",  "00", "-0",
        "-01", "1.0", "1e3", "a",  "0x10", "1,", "1_0", "/",  ":",
    };
    uint64_t natural = 77;
    int64_t integer = -77;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_false(fb_slice_to_u64(fb_slice(refused[i]), UINT64_MAX, &natural));
        assert_false(fb_slice_to_i64(fb_slice(refused[i]), &integer));
    }
    assert_false(fb_slice_to_u64(FB_SLICE("-1"), UINT64_MAX, &natural));
    assert_false(fb_slice_to_u64(FB_SLICE("1\0"), UINT64_MAX, &natural));
    assert_false(fb_slice_to_u64((fb_slice_t){NULL, 0}, UINT64_MAX, &natural));
    assert_false(fb_slice_to_i64((fb_slice_t){NULL, 0}, &integer));
    assert_int_equal(natural, 77);
    assert_int_equal(integer, -77);
}

static void a_row_of_digits_is_a_number_if_no_greater_text_wise(void **state)
{
    (void)state;
    chance_t random = chance_init();
    for (int i = 0; i < 300000; i++) {
        char text[32], most_text[32];
        uint64_t most = chance_u64(&random) >> chance_between(&random, 0, 63), number = 0;
        size_t len = (size_t)chance_between(&random, 1, 21);
        for (size_t d = 0; d < len; d++)
            text[d] = (char)('0' + chance_between(&random, 0, 9));
        if (chance_between(&random, 0, 3) == 0)
            len = (size_t)snprintf(text, sizeof(text), "%llu",
                                   (unsigned long long)(most + chance_u64(&random) % 3 - 1));
        size_t most_len =
            (size_t)snprintf(most_text, sizeof(most_text), "%llu", (unsigned long long)most);
        bool valid = (text[0] != '0' || len == 1) &&
                     (len < most_len || (len == most_len && memcmp(text, most_text, len) <= 0));
        text[len] = '\0';
        assert_int_equal(fb_slice_to_u64((fb_slice_t){text, len}, most, &number), valid);
        if (valid)
            assert_true(number == strtoull(text, NULL, 10));
    }
}

static bool within(unsigned char byte, unsigned char least, unsigned char most)
{
    return byte >= least && byte <= most;
}

/* The grammar of RFC 3629, section 4, alternative by alternative; 0 if none fits. */
static size_t sequence_by_grammar(const unsigned char *p, size_t len)
{
    static const unsigned char rows[][5] = {
        /* bytes, first byte from and to, second byte from and to */
        {2, 0xC2, 0xDF, 0x80, 0xBF}, {3, 0xE0, 0xE0, 0xA0, 0xBF}, {3, 0xE1, 0xEC, 0x80, 0xBF},
        {3, 0xED, 0xED, 0x80, 0x9F}, {3, 0xEE, 0xEF, 0x80, 0xBF}, {4, 0xF0, 0xF0, 0x90, 0xBF},
        {4, 0xF1, 0xF3, 0x80, 0xBF}, {4, 0xF4, 0xF4, 0x80, 0x8F},
    };
    if (p[0] <= 0x7F)
        return 1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const unsigned char *row = rows[i];
        if (!within(p[0], row[1], row[2]) || len < row[0] || !within(p[1], row[3], row[4]))
            continue;
        if (row[0] >= 3 && !within(p[2], 0x80, 0xBF))
            return 0;
        if (row[0] == 4 && !within(p[3], 0x80, 0xBF))
            return 0;
        return row[0];
    }
    return 0;
}

static void check_utf8(const unsigned char *bytes, size_t len)
{
    bool expected = true;
    for (size_t at = 0, step; at < len && expected; at += step) {
        step = sequence_by_grammar(bytes + at, len - at);
        expected = step > 0;
    }
    if (fb_slice_is_utf8((fb_slice_t){(const char *)bytes, len}) != expected) {
        for (size_t i = 0; i < len; i++)
            print_error("%02x ", bytes[i]);
        fail_msg("should be %s", expected ? "UTF-8" : "no UTF-8");
    }
}

static void short_texts_are_utf8_exactly_by_the_grammar(void **state)
{
    (void)state;
    /* All texts of two bytes, and of four with the bytes at which an alternative begins or ends. */
    static const unsigned char edges[] = {
        0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0,
        0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFE, 0xFF,
    };
    const unsigned count = sizeof(edges);
    unsigned char text[4];
    for (unsigned i = 0; i < 0x10000; i++) {
        text[0] = (unsigned char)(i >> 8);
        text[1] = (unsigned char)(i & 0xFF);
        check_utf8(text, 1);
        check_utf8(text, 2);
    }
    for (unsigned i = 0; i < count * count * count * count; i++) {
        text[0] = edges[i % count];
        text[1] = edges[i / count % count];
        text[2] = edges[i / count / count % count];
        text[3] = edges[i / count / count / count];
        check_utf8(text, 3);
        check_utf8(text, 4);
    }
}

static size_t put_point(unsigned char *at, uint32_t point)
{
    if (point < 0x80) {
        at[0] = (unsigned char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        at[i] = (unsigned char)(0x80 | (point & 0x3F));
    at[0] = (unsigned char)((0xF00 >> len) | point);
    return len;
}

static void every_character_is_utf8_and_no_surrogate_is(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x110400; point++) {
        unsigned char text[4];
        size_t len = put_point(text, point);
        bool character = point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
        assert_int_equal(fb_slice_is_utf8((fb_slice_t){(char *)text, len}), character);
        if (len > 1)
            assert_false(fb_slice_is_utf8((fb_slice_t){(char *)text, len - 1}));
    }
    assert_true(fb_slice_is_utf8((fb_slice_t){NULL, 0}));
}

static void random_texts_are_utf8_exactly_by_the_grammar(void **state)
{
    (void)state;
    chance_t random = chance_init();
    for (int i = 0; i < 200000; i++) {
        unsigned char text[64];
        size_t len = 0;
        while (len < sizeof(text) - 4 && chance_between(&random, 0, 9) > 0)
            len += put_point(text + len,
                             (uint32_t)chance_u64(&random) >> chance_between(&random, 11, 31));
        if (len > 0 && chance_between(&random, 0, 1) == 0)
            text[chance_between(&random, 0, (int64_t)len - 1)] = (unsigned char)chance_u64(&random);
        check_utf8(text, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_equal_by_their_bytes),
        cmocka_unit_test(the_greatest_number_is_read_and_one_more_is_not),
        cmocka_unit_test(both_ends_of_the_integers_are_read_and_no_further),
        cmocka_unit_test(what_is_no_plain_decimal_number_is_refused),
        cmocka_unit_test(a_row_of_digits_is_a_number_if_no_greater_text_wise),
        cmocka_unit_test(short_texts_are_utf8_exactly_by_the_grammar),
        cmocka_unit_test(every_character_is_utf8_and_no_surrogate_is),
        cmocka_unit_test(random_texts_are_utf8_exactly_by_the_grammar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
