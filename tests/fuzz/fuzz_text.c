/* SPDX-License-Identifier: MIT */
#include "base/assert.h"
#include "base/date.h"
#include "base/json.h"
#include "tests/fuzz/fuzz.h"

/* The readers of base/ on any bytes: what they accept, the writers give back byte by byte. */

static void read_date(fb_slice_t text)
{
    fb_day_t date;
    char back[FB_DAY_TEXT_BYTES];
    if (fb_day_parse(text, &date) != FB_DATE_OK)
        return;
    fb_day_format(date, back);
    fb_assert(fb_slice_equal(text, (fb_slice_t){back, sizeof(back)}));
}

static void read_instant(fb_slice_t text)
{
    fb_instant_t instant, loose = 0;
    char back[FB_INSTANT_TEXT_BYTES];
    fb_date_result_t read = fb_instant_read(text, &loose);
    if (!fb_instant_parse(text, &instant))
        return;
    fb_assert(read == FB_DATE_OK && loose == instant);
    fb_instant_format(instant, back);
    fb_assert(fb_slice_equal(text, (fb_slice_t){back, sizeof(back)}));
}

static void read_numbers(fb_slice_t text)
{
    uint64_t natural;
    int64_t integer;
    fb_buffer_t back = {0};
    if (fb_slice_to_u64(text, UINT64_MAX, &natural)) {
        fb_buffer_put_u64(&back, natural);
        fb_assert(fb_slice_equal(text, fb_buffer_slice(&back)));
        back.len = 0;
    }
    if (fb_slice_to_i64(text, &integer)) {
        fb_buffer_put_i64(&back, integer);
        fb_assert(fb_slice_equal(text, fb_buffer_slice(&back)));
    }
    fb_buffer_dispose(&back);
}

static void read_object(fb_slice_t text)
{
    fb_error_t error = {0};
    json_t *object = NULL;
    fb_code_t code = fb_json_parse_object(text, &object, &error);
    fb_assert((code == FB_OK) == (object != NULL));
    fb_assert(code == error.code);
    fb_assert(fb_slice_is_utf8(fb_slice(error.detail)));
    json_decref(object);
}

/* A written string is read back as it was, or with U+FFFD where it was no UTF-8. */
static void write_string(fb_slice_t text)
{
    json_error_t fault;
    fb_buffer_t written = {0};
    fb_json_put_string(&written, text);
    json_t *string = json_loadb(written.at, written.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);
    fb_assert(json_is_string(string));
    fb_slice_t read = {json_string_value(string), json_string_length(string)};
    fb_assert(!fb_slice_is_utf8(text) || fb_slice_equal(text, read));
    json_decref(string);
    fb_buffer_dispose(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fb_slice_t text = {(const char *)data, size};
    read_date(text);
    read_instant(text);
    read_numbers(text);
    read_object(text);
    write_string(text);
    return 0;
}
