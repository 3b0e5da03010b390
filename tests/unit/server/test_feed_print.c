/* SPDX-License-Identifier: MIT */
#include "server/feed_print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define BYTES (3 * FB_FEED_BLOCK_BYTES + 17)

static char document[BYTES + 1];

static fb_feed_print_t print_of(size_t len)
{
    const fb_feed_print_t none = {0};
    fb_feed_printer_t printer;
    fb_feed_printer_begin(&printer, &none);
    fb_feed_printer_put(&printer, (fb_slice_t){document, len});
    assert_false(printer.is_same);
    assert_false(fb_feed_printer_end(&printer));
    fb_feed_print_t print = printer.print;
    printer.print = (fb_feed_print_t){0};
    fb_feed_printer_dispose(&printer);
    return print;
}

/* Is it the known one, in pieces of so many bytes? `*same` is how many bytes had come when it was
 * last held for it. */
static bool is_known(const fb_feed_print_t *known, size_t len, size_t piece, size_t *same)
{
    fb_feed_printer_t printer;
    fb_feed_printer_begin(&printer, known);
    *same = 0;
    for (size_t at = 0; at < len; at += piece) {
        size_t more = len - at < piece ? len - at : piece;
        fb_feed_printer_put(&printer, (fb_slice_t){document + at, more});
        if (printer.is_same)
            *same = at + more;
    }
    bool is_same = fb_feed_printer_end(&printer);
    fb_feed_printer_dispose(&printer);
    return is_same;
}

static void a_document_is_known_in_any_pieces(void **state)
{
    (void)state;
    const size_t pieces[] = {1, 1000, FB_FEED_BLOCK_BYTES, BYTES};
    fb_feed_print_t print = print_of(BYTES), empty = print_of(0);
    size_t same;
    for (size_t i = 0; i < 4; i++)
        assert_true(is_known(&print, BYTES, pieces[i], &same));
    assert_int_equal(print.bytes, BYTES);
    assert_false(is_known(&empty, 0, 1, &same));
    fb_feed_print_dispose(&print);
    fb_feed_print_dispose(&empty);
}

static void what_differs_is_seen_at_the_end_of_its_block(void **state)
{
    (void)state;
    fb_feed_print_t print = print_of(BYTES);
    size_t same;
    for (size_t at = 0; at < BYTES; at += 4099) {
        document[at]++;
        assert_false(is_known(&print, BYTES, 1, &same));
        assert_true(same <= at / FB_FEED_BLOCK_BYTES * FB_FEED_BLOCK_BYTES + FB_FEED_BLOCK_BYTES);
        assert_true(same >= at / FB_FEED_BLOCK_BYTES * FB_FEED_BLOCK_BYTES);
        document[at]--;
    }
    fb_feed_print_dispose(&print);
}

static void one_that_is_shorter_or_longer_is_another(void **state)
{
    (void)state;
    const size_t lengths[] = {0,         1,        FB_FEED_BLOCK_BYTES, 3 * FB_FEED_BLOCK_BYTES,
                              BYTES - 1, BYTES + 1};
    fb_feed_print_t print = print_of(BYTES), blocks = print_of(FB_FEED_BLOCK_BYTES);
    size_t same;
    for (size_t i = 0; i < 6; i++)
        assert_false(is_known(&print, lengths[i], 1000, &same));
    assert_false(is_known(&blocks, BYTES, 1000, &same));
    assert_true(is_known(&blocks, FB_FEED_BLOCK_BYTES, 1000, &same));
    fb_feed_print_dispose(&print);
    fb_feed_print_dispose(&blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_known_in_any_pieces),
        cmocka_unit_test(what_differs_is_seen_at_the_end_of_its_block),
        cmocka_unit_test(one_that_is_shorter_or_longer_is_another),
    };
    for (size_t i = 0; i < sizeof(document); i++)
        document[i] = (char)(i * 7 + i / 251);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
