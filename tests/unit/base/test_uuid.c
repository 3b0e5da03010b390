/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/uuid.h"

/* RFC 9562, section 6.6: the namespace of domain names. */
static const uint8_t domains[FB_UUID_BYTES] = {0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
                                               0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};

static void the_uuid_of_a_name_is_that_of_the_rfc(void **state)
{
    (void)state;
    char uuid[FB_UUID_TEXT_BYTES + 1];
    /* RFC 9562, appendix A.4. */
    fb_uuid_of_name(domains, FB_SLICE("www.example.com"), uuid);
    assert_string_equal(uuid, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    assert_true(fb_uuid_is_text(fb_slice(uuid)));
    /* What uuid.uuid5 of Python's library makes of the empty name, and of one of many bytes. */
    fb_uuid_of_name(domains, FB_SLICE(""), uuid);
    assert_string_equal(uuid, "4ebd0208-8328-5d69-8c44-ec50939c0967");
    char name[1000];
    memset(name, 'a', sizeof(name));
    fb_uuid_of_name(domains, (fb_slice_t){name, sizeof(name)}, uuid);
    assert_string_equal(uuid, "062a6b1a-ddc3-5fcc-b238-790846e533d6");
}

static void what_is_no_text_of_a_uuid_is_told(void **state)
{
    (void)state;
    static const char text[] = "2ed6657d-e927-568b-95e1-2665a8aea6a2";
    static const char *const others[] = {
        "",
        "2ed6657d-e927-568b-95e1-2665a8aea6a",
        "2ed6657d-e927-568b-95e1-2665a8aea6a20",
        "2ED6657D-E927-568B-95E1-2665A8AEA6A2",
        "2ed6657de927-568b-95e1-2665a8aea6a2-",
        "{2ed6657d-e927-568b-95e1-2665a8aea6}",
    };
    assert_true(fb_uuid_is_text(fb_slice(text)));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(fb_uuid_is_text(fb_slice(others[i])));
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        char changed[sizeof(text)];
        memcpy(changed, text, sizeof(text));
        changed[i] = text[i] == '-' ? 'a' : 'g';
        assert_false(fb_uuid_is_text(fb_slice(changed)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_uuid_of_a_name_is_that_of_the_rfc),
        cmocka_unit_test(what_is_no_text_of_a_uuid_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
