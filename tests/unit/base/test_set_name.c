/* SPDX-License-Identifier: MIT */
#include "base/set_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_name_of_rows_has_that_of_its_set(void **state)
{
    (void)state;
    static const struct {
        const char *row_name, *set_name;
    } names[] = {
        {"machine", "machines"},
        {"window", "windows"},
        {"status", "statuses"},
        {"order", "order_ids"},
        {"order_total", "order_totals"},
        {"idempotency", "idempotencies"},
        {"factory", "factories"},
        {"sprocket", "sprockets"},
        {"plan", "plans"},
        {"a", "as"},
        {"s", "ses"},
        {"y", "ies"},
        {"inventory", "inventories"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char set_name[40];
        fb_set_name(names[i].row_name, set_name,
                    strlen(names[i].row_name) + FB_SET_NAME_EXTRA_BYTES + 1);
        assert_string_equal(set_name, names[i].set_name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_of_rows_has_that_of_its_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
