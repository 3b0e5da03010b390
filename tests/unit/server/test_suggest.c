/* SPDX-License-Identifier: MIT */
#include "server/suggest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *suggested(const char *word)
{
    static const char *const names[] = {"serve", "seed", "check-config", "version", "help"};
    fb_suggest_t suggest = {.word = fb_slice(word)};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        fb_suggest_offer(&suggest, names[i]);
    return suggest.name;
}

static void one_slip_of_each_kind_is_understood(void **state)
{
    (void)state;
    assert_string_equal(suggested("serve"), "serve");
    assert_string_equal(suggested("srve"), "serve");
    assert_string_equal(suggested("serrve"), "serve");
    assert_string_equal(suggested("sarve"), "serve");
    assert_string_equal(suggested("sevre"), "serve");
    assert_string_equal(suggested("seeed"), "seed");
    assert_string_equal(suggested("checkconfig"), "check-config");
    assert_string_equal(suggested("chek_confg"), "check-config");
}

static void what_is_far_from_all_names_gets_no_suggestion(void **state)
{
    (void)state;
    char word[200] = "";
    assert_null(suggested(""));
    assert_null(suggested("se"));
    assert_null(suggested("import"));
    assert_null(suggested("serving-all"));
    memset(word, 'x', sizeof(word) - 1);
    assert_null(suggested(word));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slip_of_each_kind_is_understood),
        cmocka_unit_test(what_is_far_from_all_names_gets_no_suggestion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
