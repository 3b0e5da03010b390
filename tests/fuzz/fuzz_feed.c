/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "server/feed_parse.h"
#include "tests/fuzz/fuzz.h"

/* A provider's document of any bytes: what is read of it does not depend on the pieces in which it
 * comes, and each plan is as fb_plan_differs asks for. */

static void check_text(const fb_value_t *value, size_t max)
{
    fb_assert(value->null == (value->text.at == NULL));
    fb_assert(value->text.len <= max && fb_slice_is_utf8(value->text));
    for (size_t i = 0; i < value->text.len; i++)
        fb_assert((unsigned char)value->text.at[i] >= 0x20 && value->text.at[i] != 0x7F);
}

static void check_zones(const fb_value_t *values)
{
    fb_error_t error = {0};
    json_t *zones = NULL;
    fb_assert(fb_json_parse_array(values[FB_PLAN_ZONES].text, &zones, &error) == FB_OK);
    size_t count = json_array_size(zones);
    fb_assert(count <= FB_PLAN_ZONES_MAX);
    fb_assert(values[FB_PLAN_MIN_PRICE].null == (count == 0));
    fb_assert(values[FB_PLAN_MAX_PRICE].null == (count == 0));
    fb_assert(values[FB_PLAN_MIN_PRICE].number <= values[FB_PLAN_MAX_PRICE].number);
    fb_assert(values[FB_PLAN_MAX_PRICE].number <= FB_PLAN_PRICE_MAX);
    json_decref(zones);
}

static void on_plan(void *context, const fb_value_t *values)
{
    fb_buffer_t *seen = context;
    const unsigned ids[] = {FB_PLAN_BASE, FB_PLAN_PLAN, FB_PLAN_SELL_MODE, FB_PLAN_ORGANIZER};
    int64_t start = values[FB_PLAN_START_DATE].number, end = values[FB_PLAN_END_DATE].number;
    for (unsigned i = 0; i < FB_COUNT(ids); i++)
        check_text(&values[ids[i]], FB_PLAN_ID_BYTES_MAX);
    check_text(&values[FB_PLAN_TITLE], FB_PLAN_TITLE_BYTES_MAX);
    check_zones(values);
    fb_assert(FB_DAY_MIN <= start && start <= end && end <= FB_DAY_MAX);
    fb_assert(start < end ||
              memcmp(values[FB_PLAN_START_TIME].text.at, values[FB_PLAN_END_TIME].text.at, 8) <= 0);
    for (unsigned i = 0; i < FB_PLAN_FIELDS; i++)
        fb_buffer_printf(seen, "%.*s %lld|", FB_PRINT(values[i].text), (long long)values[i].number);
}

static void on_skip(void *context, const fb_feed_skip_t *skip)
{
    fb_assert(skip->base.len <= FB_PLAN_ID_BYTES_MAX && skip->plan.len <= FB_PLAN_ID_BYTES_MAX);
    fb_buffer_printf(context, "%.*s:%.*s %s|", FB_PRINT(skip->base), FB_PRINT(skip->plan),
                     skip->reason);
}

/* All that was read, and how it ended. */
static fb_buffer_t read_in(fb_slice_t document, size_t piece)
{
    fb_buffer_t seen = {0};
    fb_error_t error = {0};
    const fb_feed_sink_t sink = {&seen, on_plan, on_skip};
    fb_feed_parser_t *parser = fb_feed_parser_create(&sink);
    fb_code_t code = FB_OK;
    for (size_t at = 0; code == FB_OK && at < document.len; at += piece) {
        size_t len = document.len - at < piece ? document.len - at : piece;
        code = fb_feed_parser_put(parser, (fb_slice_t){document.at + at, len}, &error);
    }
    if (code == FB_OK)
        code = fb_feed_parser_end(parser, &error);
    fb_assert(code == FB_OK || code == FB_MALFORMED || code == FB_INVALID);
    fb_assert(code == error.code && fb_slice_is_utf8(fb_slice(error.detail)));
    fb_feed_parser_destroy(&parser);
    fb_buffer_printf(&seen, "%d", (int)code);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const fb_slice_t document = {(const char *)data, size};
    fb_buffer_t whole = read_in(document, SIZE_MAX / 2), pieces = read_in(document, 1);
    fb_assert(fb_slice_equal(fb_buffer_slice(&whole), fb_buffer_slice(&pieces)));
    fb_buffer_dispose(&whole);
    fb_buffer_dispose(&pieces);
    return 0;
}
