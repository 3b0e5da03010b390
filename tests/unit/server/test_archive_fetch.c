/* SPDX-License-Identifier: MIT */
#include "server/archive_fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

/* A store that has every third row, and a family whose answer is the numbers of its rows. */

typedef struct {
    fb_store_t base;
    unsigned calls, asked; /* for rows */
    fb_code_t code;
    atomic_bool *gives_up; /* with the first call; NULL: it does not */
} fake_store_t;

static fb_code_t fake_rows(fb_store_t *store, const fb_store_family_t *family, const uint32_t *ids,
                           size_t count,
                           fb_code_t (*on_row)(void *context, uint32_t id, const fb_slice_t *texts,
                                               fb_error_t *error),
                           void *context, fb_error_t *error)
{
    fake_store_t *fake = (fake_store_t *)store;
    fb_code_t code = FB_OK;
    char text[16];
    assert_string_equal(family->row_name, "thing");
    assert_string_equal(family->set_name, "things");
    assert_int_equal(family->field_count, 1);
    assert_string_equal(family->fields[0], "number");
    assert_in_range(count, 1, FB_HISTORY_PAGE_MAX);
    fake->calls++;
    fake->asked += (unsigned)count;
    if (fake->gives_up != NULL)
        atomic_store(fake->gives_up, true);
    if (fake->code != FB_OK)
        return fb_fail(error, fake->code, "the store does not answer");
    for (size_t i = 0; i < count && code == FB_OK; i++) {
        snprintf(text, sizeof(text), "%s%u", ids[i] == 6003 ? "x" : "", ids[i]);
        const fb_slice_t texts[] = {fb_slice(text)};
        if (ids[i] % 3 == 0)
            code = on_row(context, ids[i], texts, error);
    }
    return code;
}

static const fb_store_vtable_t vtable = {.rows = fake_rows};

/* Takes even numbers only, as a list with a filter does. */
static void add(fb_archive_ask_t *ask, uint32_t id, const fb_value_t *values)
{
    assert_int_equal(values[0].number, id);
    assert_true(ask->wanted > 0);
    if (id % 2 != 0)
        return;
    fb_buffer_printf(&ask->kept, "%u ", id);
    ask->wanted--;
}

static fb_code_t end(fb_archive_ask_t *ask, fb_error_t *error)
{
    if (ask->kept.len == 0)
        return fb_fail(error, FB_NOT_FOUND, "there is none");
    fb_buffer_put(&ask->body, ask->kept.at, ask->kept.len);
    return FB_OK;
}

static const fb_archive_t archive = {.add = add, .end = end};
static const fb_field_t fields[] = {
    {"number", "a number", 0, UINT32_MAX, FB_KIND_INTEGER, FB_REQUIRED}};
static const fb_resource_t things = {
    .row_name = "thing", .archive = &archive, .fields = fields, .field_count = 1};

static const fb_patience_t patient = {UINT64_MAX, NULL};

/* `count` ids from `first` downwards. */
static fb_archive_ask_t ask_of(uint32_t first, unsigned count, unsigned wanted)
{
    fb_archive_ask_t ask = {.wanted = wanted, .id_count = count};
    ask.ids = malloc(count * sizeof(*ask.ids));
    assert_non_null(ask.ids);
    for (unsigned i = 0; i < count; i++)
        ask.ids[i] = first - i;
    return ask;
}

static void rows_come_in_the_order_of_the_ids_as_many_as_are_wanted(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fake_store_t store = {.base = {&vtable}};
    fb_archive_ask_t ask = ask_of(100, 100, 5);
    assert_int_equal(fb_archive_fetch(&ask, &things, &store.base, &patient, &error), FB_OK);
    assert_true(fb_slice_is(fb_buffer_slice(&ask.body), "96 90 84 78 72 "));
    assert_int_equal(ask.wanted, 0);
    /* A page is no smaller than that, and none is read once there are enough. */
    assert_int_equal(store.asked, 2 * FB_ARCHIVE_PAGE_MIN);
    fb_archive_ask_dispose(&ask);
}

static void all_are_read_where_there_are_not_so_many(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fake_store_t store = {.base = {&vtable}};
    fb_archive_ask_t ask = ask_of(FB_ARCHIVE_READS_MAX, FB_ARCHIVE_READS_MAX, 2000);
    assert_int_equal(fb_archive_fetch(&ask, &things, &store.base, &patient, &error), FB_OK);
    assert_int_equal(store.asked, FB_ARCHIVE_READS_MAX);
    assert_int_equal(ask.wanted, 2000 - FB_ARCHIVE_READS_MAX / 6);
    assert_true(store.calls <= 1 + FB_ARCHIVE_READS_MAX / FB_HISTORY_PAGE_MAX);
    fb_archive_ask_dispose(&ask);
}

static void a_row_that_is_not_there_is_what_the_family_says(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fake_store_t store = {.base = {&vtable}};
    fb_archive_ask_t ask = ask_of(7, 1, 1);
    assert_int_equal(fb_archive_fetch(&ask, &things, &store.base, &patient, &error), FB_NOT_FOUND);
    assert_int_equal(error.code, FB_NOT_FOUND);
    fb_archive_ask_dispose(&ask);
}

static void a_row_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fake_store_t store = {.base = {&vtable}};
    fb_archive_ask_t ask = ask_of(6003, 1, 1);
    assert_int_equal(fb_archive_fetch(&ask, &things, &store.base, &patient, &error), FB_DIVERGED);
    assert_non_null(strstr(error.detail, "thing:6003"));
    fb_archive_ask_dispose(&ask);
}

static void what_the_store_says_is_handed_on(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fake_store_t store = {.base = {&vtable}, .code = FB_UNAVAILABLE};
    fb_archive_ask_t ask = ask_of(100, 100, 50);
    assert_int_equal(fb_archive_fetch(&ask, &things, &store.base, &patient, &error),
                     FB_UNAVAILABLE);
    assert_int_equal(store.calls, 1);
    fb_archive_ask_dispose(&ask);
}

static void who_has_waited_too_long_or_left_gets_nothing(void **state)
{
    (void)state;
    fb_error_t error = {0};
    atomic_bool is_given_up = false;
    fake_store_t store = {.base = {&vtable}};
    fb_archive_ask_t ask = ask_of(100, 100, 50);
    const fb_patience_t over = {fb_clock_monotonic_ms(), NULL};
    assert_int_equal(fb_archive_fetch(&ask, &things, &store.base, &over, &error), FB_UNAVAILABLE);
    assert_int_equal(store.calls, 0);

    /* Between two pages. */
    const fb_patience_t leaving = {UINT64_MAX, &is_given_up};
    store.gives_up = &is_given_up;
    assert_int_equal(fb_archive_fetch(&ask, &things, &store.base, &leaving, &error),
                     FB_UNAVAILABLE);
    assert_int_equal(store.calls, 1);
    fb_archive_ask_dispose(&ask);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_in_the_order_of_the_ids_as_many_as_are_wanted),
        cmocka_unit_test(all_are_read_where_there_are_not_so_many),
        cmocka_unit_test(a_row_that_is_not_there_is_what_the_family_says),
        cmocka_unit_test(a_row_that_cannot_be_read_is_told),
        cmocka_unit_test(what_the_store_says_is_handed_on),
        cmocka_unit_test(who_has_waited_too_long_or_left_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
