/* SPDX-License-Identifier: MIT */
#include "server/feed_pass.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"
#include "server/feed_notes.h"

#define SEEN_MIN 1024 /* bytes */

struct fb_feed_pass {
    fb_feed_parser_t *parser;
    fb_feed_batches_t batches;
    fb_feed_found_t found;
    fb_reader_t *visitor;
    const fb_snapshot_t *snapshot; /* NULL while it is not pinned */
    fb_error_t failure;            /* of on_batch */

    unsigned char *seen; /* a bit for each row that the document has had */
    size_t seen_bytes;

    /* the batch */
    fb_value_t *values; /* of FB_PLANS_PUT_MAX plans; `at` of a text is its place in `texts` + 1 */
    unsigned count;
    fb_buffer_t texts;
};

/* --- rows that were seen ------------------------------------------------------------------ */

/* Notes the row; false where it was noted before. */
static bool see(fb_feed_pass_t *pass, uint32_t number)
{
    size_t byte = number / 8;
    unsigned char bit = (unsigned char)(1u << number % 8);
    if (byte >= pass->seen_bytes) {
        size_t bytes = byte * 2 < SEEN_MIN ? SEEN_MIN : byte * 2;
        pass->seen = fb_realloc(pass->seen, bytes);
        memset(pass->seen + pass->seen_bytes, 0, bytes - pass->seen_bytes);
        pass->seen_bytes = bytes;
    }
    if (pass->seen[byte] & bit)
        return false;
    pass->seen[byte] |= bit;
    return true;
}

static const fb_snapshot_t *snapshot_of(fb_feed_pass_t *pass)
{
    if (pass->snapshot == NULL)
        pass->snapshot = fb_shelf_visit(pass->visitor);
    fb_assert(pass->snapshot != NULL);
    return pass->snapshot;
}

static void unpin(fb_feed_pass_t *pass)
{
    fb_shelf_leave(pass->visitor);
    pass->snapshot = NULL;
}

/* --- the batch --------------------------------------------------------------------------- */

static const fb_value_t *plan_at(const fb_feed_pass_t *pass, unsigned plan)
{
    return pass->values + plan * FB_PLAN_FIELDS;
}

/* The text of a value of the batch, whose place may still move. */
static fb_slice_t text_in(const fb_feed_pass_t *pass, const fb_value_t *value)
{
    return (fb_slice_t){pass->texts.at + (uintptr_t)value->text.at - 1, value->text.len};
}

static bool is_in_batch(const fb_feed_pass_t *pass, fb_slice_t uuid)
{
    for (unsigned i = 0; i < pass->count; i++) {
        if (fb_slice_equal(text_in(pass, plan_at(pass, i) + FB_PLAN_UUID), uuid))
            return true;
    }
    return false;
}

static void add(fb_feed_pass_t *pass, const fb_value_t *values)
{
    if (pass->values == NULL)
        pass->values =
            fb_alloc((size_t)FB_PLANS_PUT_MAX * FB_PLAN_FIELDS * sizeof(pass->values[0]));
    fb_value_t *kept = pass->values + pass->count++ * FB_PLAN_FIELDS;
    memcpy(kept, values, FB_PLAN_FIELDS * sizeof(kept[0]));
    for (unsigned i = 0; i < FB_PLAN_FIELDS; i++) {
        if (values[i].text.at == NULL)
            continue;
        fb_buffer_put_slice(&pass->texts, values[i].text);
        kept[i].text.at = (const char *)(uintptr_t)(pass->texts.len - values[i].text.len + 1);
    }
}

static bool is_full(const fb_feed_pass_t *pass, const fb_value_t *next)
{
    size_t bytes = pass->texts.len;
    for (unsigned i = 0; i < FB_PLAN_FIELDS; i++)
        bytes += next[i].text.len;
    return pass->count == FB_PLANS_PUT_MAX || (pass->count > 0 && bytes > FB_PLANS_PUT_BYTES_MAX);
}

/* What the batch has put is there now, and is known by its rows. */
static void see_batch(fb_feed_pass_t *pass, const char (*uuids)[FB_UUID_TEXT_BYTES], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const fb_slice_t uuid = {uuids[i], FB_UUID_TEXT_BYTES};
        uint32_t number = fb_snapshot_find(snapshot_of(pass), FB_PLANS, FB_PLAN_UUID, uuid);
        if (number != 0)
            see(pass, number);
    }
}

static void hand_on(fb_feed_pass_t *pass)
{
    char(*uuids)[FB_UUID_TEXT_BYTES] = fb_alloc(pass->count * sizeof(*uuids));
    fb_value_t *values = pass->values;
    fb_buffer_t texts = pass->texts;
    unsigned count = pass->count;
    for (unsigned i = 0; i < count; i++)
        memcpy(uuids[i], text_in(pass, plan_at(pass, i) + FB_PLAN_UUID).at, FB_UUID_TEXT_BYTES);
    for (unsigned i = 0; i < count * FB_PLAN_FIELDS; i++) {
        if (values[i].text.at != NULL)
            values[i].text = text_in(pass, &values[i]);
    }
    pass->values = NULL;
    pass->texts = (fb_buffer_t){0};
    pass->count = 0;
    unpin(pass);
    if (pass->batches.on_batch(pass->batches.context, values, count, &texts, &pass->failure) ==
        FB_OK) {
        pass->found.differ += count;
        see_batch(pass, (const char(*)[FB_UUID_TEXT_BYTES])uuids, count);
    }
    free(uuids);
}

/* --- what the parser finds --------------------------------------------------------------- */

static void on_skip(void *context, const fb_feed_skip_t *skip)
{
    fb_feed_pass_t *pass = context;
    fb_buffer_t *skips = &pass->found.skips;
    pass->found.plans++;
    if (pass->found.skipped++ >= FB_FEED_SKIPS_SHOWN)
        return;
    skips->len -= skips->len > 0 ? 1 : 0; /* its "]" */
    fb_buffer_put_text(skips, skips->len > 0 ? ",{\"base_id\":" : "[{\"base_id\":");
    fb_json_put_string(skips, skip->base);
    fb_buffer_put_literal(skips, ",\"plan_id\":");
    fb_json_put_string(skips, skip->plan);
    fb_buffer_put_literal(skips, ",\"reason\":");
    fb_json_put_string(skips, fb_slice(skip->reason));
    fb_buffer_put_literal(skips, "}]");
}

static void on_plan(void *context, const fb_value_t *values)
{
    fb_feed_pass_t *pass = context;
    if (pass->failure.code != FB_OK)
        return;
    fb_slice_t uuid = values[FB_PLAN_UUID].text;
    uint32_t number = fb_snapshot_find(snapshot_of(pass), FB_PLANS, FB_PLAN_UUID, uuid);
    bool differs = fb_plan_differs(snapshot_of(pass), values);
    if ((number != 0 && !see(pass, number)) || (differs && is_in_batch(pass, uuid))) {
        const fb_feed_skip_t skip = {values[FB_PLAN_BASE].text, values[FB_PLAN_PLAN].text,
                                     "the document has it before already"};
        on_skip(pass, &skip);
        return;
    }
    pass->found.plans++;
    if (!differs)
        return;
    if (is_full(pass, values))
        hand_on(pass);
    if (pass->failure.code == FB_OK)
        add(pass, values);
}

fb_feed_pass_t *fb_feed_pass_create(fb_reader_t *visitor, const fb_feed_batches_t *batches)
{
    fb_feed_pass_t *pass = fb_alloc_zero(1, sizeof(*pass));
    const fb_feed_sink_t sink = {pass, on_plan, on_skip};
    pass->parser = fb_feed_parser_create(&sink);
    pass->batches = *batches;
    pass->visitor = visitor;
    return pass;
}

void fb_feed_pass_destroy(fb_feed_pass_t **pass)
{
    fb_feed_pass_t *gone = *pass;
    if (gone == NULL)
        return;
    fb_feed_parser_destroy(&gone->parser);
    fb_buffer_dispose(&gone->found.skips);
    fb_buffer_dispose(&gone->texts);
    free(gone->values);
    free(gone->seen);
    free(gone);
    *pass = NULL;
}

static fb_code_t settle(fb_feed_pass_t *pass, fb_code_t code, fb_error_t *error)
{
    unpin(pass);
    if (pass->failure.code == FB_OK)
        return code;
    *error = pass->failure;
    return error->code;
}

fb_code_t fb_feed_pass_put(fb_feed_pass_t *pass, fb_slice_t bytes, fb_error_t *error)
{
    return settle(pass, fb_feed_parser_put(pass->parser, bytes, error), error);
}

fb_code_t fb_feed_pass_end(fb_feed_pass_t *pass, fb_error_t *error)
{
    return settle(pass, fb_feed_parser_end(pass->parser, error), error);
}

fb_code_t fb_feed_pass_flush(fb_feed_pass_t *pass, fb_error_t *error)
{
    if (pass->count > 0)
        hand_on(pass);
    return settle(pass, FB_OK, error);
}

const fb_feed_found_t *fb_feed_pass_found(const fb_feed_pass_t *pass)
{
    return &pass->found;
}
