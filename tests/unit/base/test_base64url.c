/* SPDX-License-Identifier: MIT */
#include "base/base64url.h"

#include <string.h>

#include "tests/unit/random.h"

#define BYTES_MAX 60

static fb_slice_t put(fb_buffer_t *text, const uint8_t *bytes, size_t count)
{
    text->len = 0;
    fb_base64url_put(text, bytes, count);
    return fb_buffer_slice(text);
}

/* RFC 4648, section 10, those without padding; and the two digits that base64 has otherwise. */
static void the_examples_of_the_rfc_are_as_they_stand_there(void **state)
{
    (void)state;
    fb_buffer_t text = {0};
    assert_true(fb_slice_is(put(&text, (const uint8_t *)"", 0), ""));
    assert_true(fb_slice_is(put(&text, (const uint8_t *)"foo", 3), "Zm9v"));
    assert_true(fb_slice_is(put(&text, (const uint8_t *)"foobar", 6), "Zm9vYmFy"));
    assert_true(fb_slice_is(put(&text, (const uint8_t *)"\xfb\xff\xfe", 3), "-__-"));
    fb_buffer_dispose(&text);
}

static void what_was_put_is_read(void **state)
{
    (void)state;
    fb_buffer_t text = {0};
    chance_t chance = chance_init();
    for (int i = 0; i < 10000; i++) {
        uint8_t bytes[BYTES_MAX], found[BYTES_MAX];
        size_t count = 3 * chance_below(&chance, BYTES_MAX / 3 + 1);
        for (size_t k = 0; k < count; k++)
            bytes[k] = (uint8_t)chance_below(&chance, 256);
        fb_slice_t put_text = put(&text, bytes, count);
        assert_int_equal(put_text.len, FB_BASE64URL_TEXT_BYTES(count));
        assert_true(fb_base64url_read(put_text, found, count));
        assert_memory_equal(found, bytes, count);
    }
    fb_buffer_dispose(&text);
}

static void what_is_no_such_text_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[6];
    const char *const wrong[] = {"",         "Zm9v",     "Zm9vYmF",  "Zm9vYmFyZ", "Zm9vYmF=",
                                 "Zm9vYm+y", "Zm9vYm/y", "Zm9v mFy", "Zm9vYm\nr"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(fb_base64url_read(fb_slice(wrong[i]), bytes, sizeof(bytes)));
    assert_false(fb_base64url_read((fb_slice_t){"Zm9vYm\0r", 8}, bytes, sizeof(bytes)));
    assert_true(fb_base64url_read(FB_SLICE("Zm9vYmFy"), bytes, sizeof(bytes)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc_are_as_they_stand_there),
        cmocka_unit_test(what_was_put_is_read),
        cmocka_unit_test(what_is_no_such_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
