/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/fixture.h"

#include "persistence/keys.h"

static void assert_key(fb_buffer_t *buffer, const char *expected)
{
    assert_int_equal(buffer->len, strlen(expected));
    assert_memory_equal(buffer->at, expected, buffer->len);
    buffer->len = 0;
}

static void keys_stand_as_the_readme_lists_them(void **state)
{
    (void)state;
    fb_keys_t keys;
    fb_buffer_t buffer = {0};
    assert_ok(fb_keys_init(&keys, "yard_7-b", error));
    fb_keys_put(&keys, &buffer, "head");
    assert_key(&buffer, "fb:{yard_7-b}:head");
    fb_keys_put_row(&keys, &buffer, "machine", UINT32_MAX);
    assert_key(&buffer, "fb:{yard_7-b}:machine:4294967295");
    fb_keys_put_set(&keys, &buffer, "machine");
    assert_key(&buffer, "fb:{yard_7-b}:machines");
    fb_keys_put_set(&keys, &buffer, "status");
    assert_key(&buffer, "fb:{yard_7-b}:statuses");
    fb_keys_put_set(&keys, &buffer, "factory");
    assert_key(&buffer, "fb:{yard_7-b}:factories");
    fb_keys_put_row(&keys, &buffer, "history", 42);
    assert_key(&buffer, "fb:{yard_7-b}:history:42");
    fb_keys_put_day(&keys, &buffer, "booked", FB_SLICE("2026-11-21"));
    assert_key(&buffer, "fb:{yard_7-b}:booked:2026-11-21");
    fb_buffer_dispose(&buffer);
}

static void a_fleet_name_is_checked(void **state)
{
    (void)state;
    fb_keys_t keys;
    char longest[66];
    memset(longest, 'x', sizeof(longest));
    longest[64] = '\0';
    assert_ok(fb_keys_init(&keys, longest, error));
    longest[64] = 'x';
    longest[65] = '\0';
    assert_code(FB_CONFIG, fb_keys_init(&keys, longest, error));
    assert_code(FB_CONFIG, fb_keys_init(&keys, "", error));
    assert_code(FB_CONFIG, fb_keys_init(&keys, "a}b", error));
    assert_code(FB_CONFIG, fb_keys_init(&keys, "a b", error));
    assert_code(FB_CONFIG, fb_keys_init(&keys, "fl\xc3\xb6te", error));
}

static void a_name_of_rows_is_short_and_plain(void **state)
{
    (void)state;
    assert_true(fb_keys_is_name("a"));
    assert_true(fb_keys_is_name("machine_2-b"));
    assert_true(fb_keys_is_name("abcdefghijklmnopqrstuvwxyzabcdef"));
    assert_false(fb_keys_is_name("abcdefghijklmnopqrstuvwxyzabcdefg"));
    assert_false(fb_keys_is_name(""));
    assert_false(fb_keys_is_name("2a"));
    assert_false(fb_keys_is_name("Machine"));
    assert_false(fb_keys_is_name("a:b"));
}

static void a_chain_is_the_hash_of_all_before_it(void **state)
{
    (void)state;
    char zeros[FB_CHAIN_BYTES + 1], command[FB_COMMAND_BYTES + 1];
    char one[FB_CHAIN_BYTES + 1], other[FB_CHAIN_BYTES + 1];
    memset(zeros, '0', FB_CHAIN_BYTES);
    memset(command, 'a', FB_COMMAND_BYTES);
    zeros[FB_CHAIN_BYTES] = command[FB_COMMAND_BYTES] = '\0';
    /* XXH3_128bits of the 66 bytes in one piece, canonical (what "xxhsum -H2" prints). */
    fb_chain_next(zeros, command, FB_SLICE("[]"), one);
    assert_string_equal(one, "3c9ca13a413f68f9025e8c8588b7a945");
    fb_chain_next(zeros, command, FB_SLICE("[ ]"), other);
    assert_string_not_equal(one, other);
    fb_chain_next(one, command, FB_SLICE("[]"), other);
    assert_string_not_equal(one, other);
    fb_chain_next(zeros, command, (fb_slice_t){NULL, 0}, other);
    assert_int_equal(strlen(other), FB_CHAIN_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_stand_as_the_readme_lists_them),
        cmocka_unit_test(a_fleet_name_is_checked),
        cmocka_unit_test(a_name_of_rows_is_short_and_plain),
        cmocka_unit_test(a_chain_is_the_hash_of_all_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
