/* SPDX-License-Identifier: MIT */
#include "base/plural.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_word_has_its_plural(void **state)
{
    (void)state;
    static const struct {
        const char *word, *plural;
    } words[] = {
        {"machine", "machines"},
        {"window", "windows"},
        {"status", "statuses"},
        {"order", "orders"},
        {"factory", "factories"},
        {"sprocket", "sprockets"},
        {"plan", "plans"},
        {"a", "as"},
        {"s", "ses"},
        {"y", "ies"},
        {"inventory", "inventories"},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char plural[32];
        fb_plural(words[i].word, plural, strlen(words[i].word) + FB_PLURAL_EXTRA_BYTES + 1);
        assert_string_equal(plural, words[i].plural);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_has_its_plural),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
