/* SPDX-License-Identifier: MIT */
#include "server/fleet.h"
#include "tests/unit/random.h"

static void the_same_bytes_have_the_same_validator_everywhere(void **state)
{
    (void)state;
    static const struct {
        const char *body, *etag;
    } samples[] = {
        /* XXH3 (64 bits, seed 0), as xxhsum -H3 prints it. */
        {"", "\"2d06800538d394c2\""},
        {"a", "\"e6c632b61e964e1f\""},
        {"{\"machines\":[],\"next\":null}", NULL},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        char etag[FB_ETAG_BYTES + 1], again[FB_ETAG_BYTES + 1];
        fb_etag(fb_slice(samples[i].body), etag);
        fb_etag(fb_slice(samples[i].body), again);
        assert_int_equal(strlen(etag), FB_ETAG_BYTES);
        assert_string_equal(etag, again);
        if (samples[i].etag != NULL)
            assert_string_equal(etag, samples[i].etag);
    }
}

static void another_byte_is_another_validator(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    for (int round = 0; round < 2000; round++) {
        char body[300], etag[FB_ETAG_BYTES + 1], other[FB_ETAG_BYTES + 1];
        uint32_t len = 1 + chance_below(&chance, sizeof(body));
        for (uint32_t i = 0; i < len; i++)
            body[i] = (char)chance_u64(&chance);
        fb_etag((fb_slice_t){body, len}, etag);
        uint32_t bit = chance_below(&chance, len * 8);
        body[bit / 8] = (char)(body[bit / 8] ^ 1 << bit % 8);
        fb_etag((fb_slice_t){body, len}, other);
        assert_string_not_equal(etag, other);
    }
}

#define OURS "\"0123456789abcdef\""

static void a_field_names_a_validator_alone_in_a_list_or_as_any(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        bool strong, weak; /* does it match under strong and under weak comparison? */
    } samples[] = {
        {OURS, true, true},
        {"*", true, true},
        {" * ", true, true},
        {"  " OURS "\t", true, true},
        {"\"a\"," OURS, true, true},
        {OURS " , \"a\"", true, true},
        {"\"a\", \"b\" ,\t" OURS ",\"c\"", true, true},
        {"\"a,b\", " OURS, true, true}, /* a foreign one may hold a comma */
        {"," OURS ",", true, true},
        {"W/" OURS, false, true},
        {"\"a\", W/" OURS, false, true},
        {"w/" OURS, false, false},
        {"W/ " OURS, false, false},
        {"W/W/" OURS, false, false},
        {"", false, false},
        {" ", false, false},
        {",", false, false},
        {"\"\"", false, false},
        {"0123456789abcdef", false, false},
        {"\"0123456789abcde\"", false, false},
        {"\"0123456789abcdef", false, false},
        {"\"0123456789ABCDEF\"", false, false},
        {"\"*\"", false, false},
        {"*, " OURS "x", false, false},
        {"\"a\" " OURS, false, false},
        {"W/", false, false},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        fb_slice_t field = fb_slice(samples[i].field);
        if (fb_etag_matches(field, OURS, false) != samples[i].strong)
            fail_msg("If-Match: %s", samples[i].field);
        if (fb_etag_matches(field, OURS, true) != samples[i].weak)
            fail_msg("If-None-Match: %s", samples[i].field);
    }
}

/* Lists of foreign validators, with ours at a random place or nowhere. */
static void a_list_of_any_length_is_searched_to_its_end(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    for (int round = 0; round < 2000; round++) {
        fb_buffer_t field = {0};
        uint32_t count = 1 + chance_below(&chance, 40);
        uint32_t place = chance_below(&chance, 2 * count);
        for (uint32_t i = 0; i < count; i++) {
            fb_buffer_put_text(&field, i > 0 ? "," : "");
            fb_buffer_put_text(&field, chance_below(&chance, 2) == 0 ? " " : "");
            fb_buffer_put_text(&field, chance_below(&chance, 3) == 0 && i != place ? "W/" : "");
            if (i == place)
                fb_buffer_put_text(&field, OURS);
            else
                fb_buffer_printf(&field, "\"%016llx\"", (unsigned long long)chance_u64(&chance));
        }
        assert_int_equal(fb_etag_matches(fb_buffer_slice(&field), OURS, false), place < count);
        assert_int_equal(fb_etag_matches(fb_buffer_slice(&field), OURS, true), place < count);
        fb_buffer_dispose(&field);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bytes_have_the_same_validator_everywhere),
        cmocka_unit_test(another_byte_is_another_validator),
        cmocka_unit_test(a_field_names_a_validator_alone_in_a_list_or_as_any),
        cmocka_unit_test(a_list_of_any_length_is_searched_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
