/* SPDX-License-Identifier: MIT */
#include "resources/row.h"

#include <jansson.h>
#include <string.h>

#include "tests/unit/random.h"

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static const fb_field_t fields[] = {
    {"label", "", 1, 200, FB_KIND_TEXT, FB_REQUIRED},
    {"price", "", 0, 1000, FB_KIND_MONEY, FB_NULLABLE},
    {"note", "", 0, 4000, FB_KIND_TEXT, FB_NULLABLE},
    {"busy", "", 0, 1, FB_KIND_BOOLEAN, 0},
    {"day", "", 0, FB_DAY_MAX, FB_KIND_DATE, 0},
    {"count", "", INT64_MIN, INT64_MAX, FB_KIND_INTEGER, 0},
    {"created", "", 0, INT64_MAX, FB_KIND_INSTANT, 0},
    {"items", "", 0, INT64_MAX, FB_KIND_NUMBERS, FB_NULLABLE | FB_OMITTED},
    {"user", "", 1, 100, FB_KIND_KEY, FB_NULLABLE},
    {"why", "", 0, 100, FB_KIND_TEXT, FB_NULLABLE | FB_OMITTED},
};

/* A row in a block that the caller frees. */
static const fb_row_t *create_row(unsigned count, unsigned split, uint32_t id,
                                  const fb_value_t *values, uint64_t changed)
{
    void **garbage;
    size_t garbage_count;
    fb_build_t *build = fb_build_create();
    const fb_row_t *row = fb_row_create(build, "id", fields, count, split, id, values, changed);
    fb_build_seal(&build, &garbage, &garbage_count);
    assert_int_equal(garbage_count, 0);
    free(garbage);
    return row;
}

static void a_row_is_rendered_around_the_place_of_its_computed_members(void **state)
{
    (void)state;
    const fb_value_t values[] = {{.text = FB_SLICE("Digger \"7\"")},
                                 {.number = 1205},
                                 {.null = true},
                                 {.number = 1},
                                 {.number = 20778},
                                 {.number = -3},
                                 {.number = 1795262400123},
                                 {.text = FB_SLICE("[7,-9]")},
                                 {.text = FB_SLICE("\"A\\\"nn\"")},
                                 {.null = true}};
    static const struct {
        unsigned count, split;
        const char *head, *tail;
    } samples[] = {
        {0, 0, "{\"id\":4294967295", "}"},
        {1, 0, "{\"id\":4294967295", ",\"label\":\"Digger \\\"7\\\"\"}"},
        {1, 1, "{\"id\":4294967295,\"label\":\"Digger \\\"7\\\"\"", "}"},
        {3, 2, "{\"id\":4294967295,\"label\":\"Digger \\\"7\\\"\",\"price\":12.05",
         ",\"note\":null}"},
        {7, 3, "{\"id\":4294967295,\"label\":\"Digger \\\"7\\\"\",\"price\":12.05,\"note\":null",
         ",\"busy\":true,\"day\":\"2026-11-21\",\"count\":-3,"
         "\"created\":\"2026-11-21T12:00:00.123Z\"}"},
        {10, 7,
         "{\"id\":4294967295,\"label\":\"Digger \\\"7\\\"\",\"price\":12.05,\"note\":null,"
         "\"busy\":true,\"day\":\"2026-11-21\",\"count\":-3,"
         "\"created\":\"2026-11-21T12:00:00.123Z\"",
         ",\"items\":[7,-9],\"user\":\"A\\\"nn\"}"},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        unsigned count = samples[i].count;
        const fb_row_t *row = create_row(count, samples[i].split, UINT32_MAX, values, 17);
        assert_int_equal(row->id, UINT32_MAX);
        assert_int_equal(row->changed, 17);
        assert_true(fb_slice_is(fb_row_json_head(row, count), samples[i].head));
        assert_true(fb_slice_is(fb_row_json_tail(row, count), samples[i].tail));
        free((void *)row);
    }
}

/* Texts that JSON keeps as they are, and texts that it does not. */
static fb_slice_t chance_text(chance_t *chance, char *text)
{
    static const char *const parts[] = {"a",  "Digger", " ",  "ü",    "水",   "🚜",
                                        "\"", "\\",     "\n", "\x01", "\x7F", "/"};
    text[0] = '\0';
    uint32_t kinds = chance_below(chance, 2) == 0 ? 6 : 12;
    for (uint32_t n = chance_below(chance, 12); n > 0; n--)
        strcat(text, parts[chance_below(chance, kinds)]);
    return fb_slice(text);
}

static bool same_value(const fb_field_t *field, const fb_value_t *a, const fb_value_t *b)
{
    if (a->null || b->null)
        return a->null == b->null;
    return fb_kind_is_text(field->kind) ? fb_slice_equal(a->text, b->text) : a->number == b->number;
}

static bool is_omitted(unsigned field, const fb_value_t *value)
{
    return value->null && (fields[field].flags & FB_OMITTED);
}

/* The JSON of a key or of numbers is the value itself. */
static bool is_that_json(const json_t *json, fb_slice_t text)
{
    json_error_t fault;
    json_t *expected = json_loadb(text.at, text.len, JSON_DECODE_ANY, &fault);
    bool is_same = json_equal(json, expected);
    json_decref(expected);
    return is_same;
}

/* What a parser finds in the JSON is what the value shows. */
static void check_json(const fb_row_t *row, unsigned count, const fb_value_t *values)
{
    fb_slice_t head = fb_row_json_head(row, count), tail = fb_row_json_tail(row, count);
    fb_buffer_t whole = {0};
    json_error_t fault;
    fb_buffer_put_slice(&whole, head);
    fb_buffer_put_slice(&whole, tail);
    json_t *object = json_loadb(whole.at, whole.len, JSON_REJECT_DUPLICATES, &fault);
    assert_non_null(object);
    size_t shown = count + 1;
    for (unsigned f = 0; f < count; f++)
        shown -= is_omitted(f, &values[f]);
    assert_int_equal(json_object_size(object), shown);
    assert_int_equal(json_integer_value(json_object_get(object, "id")), row->id);
    for (unsigned f = 0; f < count; f++) {
        const json_t *json = json_object_get(object, fields[f].name);
        fb_buffer_t text = {0};
        fb_field_put_text(&fields[f], &values[f], &text);
        if (is_omitted(f, &values[f]))
            assert_null(json);
        else if (values[f].null)
            assert_true(json_is_null(json));
        else if (fb_kind_is_json(fields[f].kind))
            assert_true(is_that_json(json, values[f].text));
        else if (fields[f].kind == FB_KIND_INTEGER)
            assert_true(json_integer_value(json) == values[f].number);
        else if (fields[f].kind == FB_KIND_MONEY)
            assert_true(json_number_value(json) == (double)values[f].number / 100);
        else if (fields[f].kind == FB_KIND_BOOLEAN)
            assert_int_equal(json_is_true(json), values[f].number);
        else
            assert_true(fb_slice_is(fb_buffer_slice(&text), json_string_value(json)));
        fb_buffer_dispose(&text);
    }
    json_decref(object);
    /* What has no row is rendered in the same way. */
    fb_buffer_t again = {0};
    fb_row_put_json(&again, "id", fields, count, row->id, values);
    assert_true(fb_slice_equal(fb_buffer_slice(&again), fb_buffer_slice(&whole)));
    fb_buffer_dispose(&again);
    fb_buffer_dispose(&whole);
}

static void a_row_gives_back_its_values_and_its_json_says_the_same(void **state)
{
    (void)state;
    static const char *const lists[] = {"[1]", "[-7,0,9223372036854775807]"};
    static const char *const keys[] = {"7", "-12", "\"a\"", "\"\\\\\"", "\"\\\"],}\""};
    chance_t chance = chance_init();
    for (int round = 0; round < 5000; round++) {
        char texts[3][100], copies[3][100];
        fb_value_t values[FIELDS] = {
            {.text = chance_text(&chance, texts[0])},
            {.number = chance_below(&chance, 100000)},
            {.text = chance_text(&chance, texts[1])},
            {.number = chance_below(&chance, 2)},
            {.number = chance_between(&chance, 0, FB_DAY_MAX)},
            {.number = (int64_t)chance_u64(&chance)},
            {.number = chance_between(&chance, 0, (int64_t)FB_DAY_MAX * 86400000)},
            {.text = fb_slice(lists[chance_below(&chance, 2)])},
            {.text = fb_slice(keys[chance_below(&chance, 5)])},
            {.text = chance_text(&chance, texts[2])},
        };
        unsigned count = chance_below(&chance, FIELDS + 1);
        for (unsigned f = 0; f < count; f++)
            values[f].null = chance_below(&chance, 5) == 0;
        const fb_row_t *row = create_row(count, chance_below(&chance, count + 1),
                                         1 + chance_below(&chance, 1000), values, 1);
        memcpy(copies, texts, sizeof(texts));
        memset(texts, '?', sizeof(texts)); /* a row borrows nothing */
        values[0].text.at = copies[0];
        values[2].text.at = copies[1];
        values[9].text.at = copies[2];
        for (unsigned f = 0; f < count; f++) {
            fb_value_t value = fb_row_value(row, fields, f);
            assert_true(value.given);
            assert_true(same_value(&fields[f], &value, &values[f]));
        }
        check_json(row, count, values);
        free((void *)row);
    }
}

/* A text of so many bytes, none or the last of which must be escaped. */
static fb_slice_t long_text(char *text, size_t len, bool escaped)
{
    memset(text, 'x', len);
    if (escaped)
        text[len - 1] = '"';
    return (fb_slice_t){text, len};
}

/* Places of 16 bits end at 64 KiB, and so do lengths: on both sides of that, and far beyond, with
 * the long text in the head, in the tail, or in neither, but as a copy behind them. */
static void a_row_may_be_of_any_length(void **state)
{
    (void)state;
    enum { LONG_MAX_BYTES = 3 << 20 };
    static const size_t lengths[] = {100, 32700, 65000, 65535, 65536, 131072, LONG_MAX_BYTES};
    char *text = malloc(LONG_MAX_BYTES);
    for (unsigned i = 0; i < 7 * 2 * 3; i++) {
        bool escaped = i / 7 % 2 == 1;
        unsigned split = i / 14; /* before label, before price, before note */
        size_t len = lengths[i % 7];
        fb_value_t values[FIELDS] = {
            {.text = FB_SLICE("a \"label\"")},
            {.number = 100000},
            {.text = long_text(text, len, escaped)},
            {.number = 1},
            {.number = 20778},
            {.number = INT64_MIN},
            {.number = 1795262400123},
            {.text = FB_SLICE("[1]")},
            {.text = FB_SLICE("\"a\"")},
            {.null = true},
        };
        const fb_row_t *row = create_row(FIELDS, split, UINT32_MAX, values, UINT64_MAX);
        assert_int_equal(row->changed, UINT64_MAX);
        for (unsigned f = 0; f < FIELDS; f++) {
            fb_value_t value = fb_row_value(row, fields, f);
            assert_true(same_value(&fields[f], &value, &values[f]));
        }
        check_json(row, FIELDS, values);
        free((void *)row);
    }
    free(text);
}

/* Byte by byte around the length at which places get wide. */
static void a_row_grows_over_the_border_of_its_places(void **state)
{
    (void)state;
    char *text = malloc(70000);
    unsigned wide = 0;
    for (size_t len = 65300; len < 65600; len++) {
        fb_value_t values[] = {{.text = long_text(text, len, false)}, {.null = true}};
        const fb_row_t *row = create_row(2, (unsigned)(len % 3), 7, values, 1);
        wide += row->json_head == FB_ROW_WIDE;
        fb_value_t value = fb_row_value(row, fields, 0);
        assert_true(fb_slice_equal(value.text, values[0].text));
        assert_true(fb_row_value(row, fields, 1).null);
        check_json(row, 2, values);
        free((void *)row);
    }
    assert_true(wide > 0 && wide < 300);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_rendered_around_the_place_of_its_computed_members),
        cmocka_unit_test(a_row_gives_back_its_values_and_its_json_says_the_same),
        cmocka_unit_test(a_row_may_be_of_any_length),
        cmocka_unit_test(a_row_grows_over_the_border_of_its_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
