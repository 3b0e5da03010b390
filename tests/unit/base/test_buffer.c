/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/unit/random.h"

#define MODEL_BYTES_MAX 200000

static void assert_holds(const fb_buffer_t *buffer, const char *text)
{
    assert_true(fb_slice_is(fb_buffer_slice(buffer), text));
}

static void a_zeroed_buffer_is_empty_and_ready(void **state)
{
    (void)state;
    fb_buffer_t buffer = {0};
    assert_int_equal(fb_buffer_slice(&buffer).len, 0);
    fb_buffer_put(&buffer, NULL, 0);
    fb_buffer_put_slice(&buffer, (fb_slice_t){NULL, 0});
    assert_holds(&buffer, "");
    assert_non_null(fb_buffer_reserve(&buffer, 0));
    fb_buffer_put_literal(&buffer, "a\0b");
    assert_true(fb_slice_equal(fb_buffer_slice(&buffer), FB_SLICE("a\0b")));
    fb_buffer_dispose(&buffer);
    assert_null(buffer.at);
    assert_int_equal(buffer.len, 0);
    fb_buffer_put_text(&buffer, "again");
    assert_holds(&buffer, "again");
    fb_buffer_dispose(&buffer);
}

static void what_is_reserved_is_there_to_be_written(void **state)
{
    (void)state;
    fb_buffer_t buffer = {0};
    for (size_t extra = 1; extra < 100000; extra = extra * 3 + 1) {
        char *at = fb_buffer_reserve(&buffer, extra);
        assert_ptr_equal(at, buffer.at + buffer.len);
        assert_true(buffer.capacity - buffer.len >= extra);
        memset(at, 'x', extra);
        buffer.len += extra;
    }
    for (size_t i = 0; i < buffer.len; i++)
        assert_int_equal(buffer.at[i], 'x');
    fb_buffer_dispose(&buffer);
}

/* A block that was asked for as a whole is not larger than was asked for. */
static void a_first_reservation_takes_what_it_asks_for(void **state)
{
    (void)state;
    fb_buffer_t buffer = {0};
    fb_buffer_reserve(&buffer, 6600);
    assert_int_equal(buffer.capacity, 6600);
    char *at = buffer.at;
    for (int i = 0; i < 6600; i++)
        fb_buffer_put_char(&buffer, 'x');
    assert_ptr_equal(buffer.at, at);
    fb_buffer_put_char(&buffer, 'x'); /* from here on it doubles */
    assert_int_equal(buffer.capacity, 13200);
    fb_buffer_dispose(&buffer);
}

static void numbers_are_written_as_printf_writes_them(void **state)
{
    (void)state;
    chance_t random = chance_init();
    for (int i = 0; i < 100000; i++) {
        static const uint64_t borders[] = {0, 1, 9, 10, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX};
        uint64_t number =
            i < 7 ? borders[i] : chance_u64(&random) >> chance_between(&random, 0, 63);
        char expected[64];
        fb_buffer_t buffer = {0};
        snprintf(expected, sizeof(expected), "%" PRIu64 " %" PRId64, number, (int64_t)number);
        fb_buffer_put_u64(&buffer, number);
        fb_buffer_put_char(&buffer, ' ');
        fb_buffer_put_i64(&buffer, (int64_t)number);
        assert_holds(&buffer, expected);
        fb_buffer_dispose(&buffer);
    }
}

static void a_printed_text_of_any_length_is_whole(void **state)
{
    (void)state;
    for (int width = 0; width < 2000; width++) {
        fb_buffer_t buffer = {0};
        fb_buffer_put_literal(&buffer, "[");
        fb_buffer_printf(&buffer, "%*d%s", width, 7, "");
        fb_buffer_put_literal(&buffer, "]");
        assert_int_equal(buffer.len, (width > 0 ? width : 1) + 2);
        assert_memory_equal(buffer.at + buffer.len - 2, "7]", 2);
        fb_buffer_dispose(&buffer);
    }
}

/* One random step on both; returns the model's new length. */
static size_t step(chance_t *random, fb_buffer_t *buffer, char *model, size_t len)
{
    char text[512];
    size_t size = (size_t)chance_between(random, 0, sizeof(text) - 1);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)chance_between(random, 1, 255);
    text[size] = '\0';
    switch (chance_between(random, 0, 5)) {
    case 0:
        fb_buffer_put(buffer, text, size);
        break;
    case 1:
        fb_buffer_put_slice(buffer, (fb_slice_t){text, size});
        break;
    case 2:
        fb_buffer_put_text(buffer, text);
        break;
    case 3:
        fb_buffer_printf(buffer, "%s", text);
        break;
    case 4:
        memcpy(fb_buffer_reserve(buffer, size + 10), text, size);
        buffer->len += size;
        break;
    default:
        size = 1;
        fb_buffer_put_char(buffer, text[0]);
        break;
    }
    memcpy(model + len, text, size);
    return len + size;
}

static void a_buffer_holds_what_was_put_into_it_in_order(void **state)
{
    (void)state;
    chance_t random = chance_init();
    char *model = fb_alloc(MODEL_BYTES_MAX);
    for (int round = 0; round < 50; round++) {
        fb_buffer_t buffer = {0};
        size_t len = 0;
        while (len < MODEL_BYTES_MAX - 1000 && chance_between(&random, 0, 300) > 0) {
            len = step(&random, &buffer, model, len);
            assert_int_equal(buffer.len, len);
            assert_true(buffer.capacity >= buffer.len);
        }
        assert_true(fb_slice_equal(fb_buffer_slice(&buffer), (fb_slice_t){model, len}));
        fb_buffer_dispose(&buffer);
    }
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_buffer_is_empty_and_ready),
        cmocka_unit_test(what_is_reserved_is_there_to_be_written),
        cmocka_unit_test(a_first_reservation_takes_what_it_asks_for),
        cmocka_unit_test(numbers_are_written_as_printf_writes_them),
        cmocka_unit_test(a_printed_text_of_any_length_is_whole),
        cmocka_unit_test(a_buffer_holds_what_was_put_into_it_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
