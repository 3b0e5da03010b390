/* SPDX-License-Identifier: MIT */
#include "resources/cursor.h"

#include "tests/unit/resources/check.h"

static const fb_field_t query[] = {
    {"type", "", 1, 64, FB_KIND_TEXT, 0},
    {"date", "", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, 0},
    FB_LIMIT_FIELD,
    FB_CURSOR_FIELD,
};
enum { TYPE, DATE, LIMIT, CURSOR };
#define PATH "/v1/things"

/* The cursor that a list with these arguments gives out after a row; without its quotes. */
static void make_cursor(const char *path, const fb_args_t *args, uint64_t place,
                        char text[FB_CURSOR_TEXT_BYTES + 1])
{
    fb_buffer_t out = {0};
    fb_cursor_put(&out, query, FB_COUNT(query), path, args, place);
    assert_int_equal(out.len, FB_CURSOR_TEXT_BYTES + 2);
    assert_true(out.at[0] == '"' && out.at[out.len - 1] == '"');
    memcpy(text, out.at + 1, FB_CURSOR_TEXT_BYTES);
    text[FB_CURSOR_TEXT_BYTES] = '\0';
    fb_buffer_dispose(&out);
}

/* The place after which the page begins; 0 where the cursor is refused. */
static uint64_t read_cursor(const char *path, fb_args_t *args, const char *text)
{
    uint64_t after;
    fb_error_t error = {0};
    args->values[CURSOR] = (fb_value_t){.given = true, .text = fb_slice(text)};
    if (fb_cursor_read(query, FB_COUNT(query), path, args, &after, &error) == FB_OK) {
        assert_true(after > 0);
        return after;
    }
    assert_error(&error, FB_MALFORMED, "cursor");
    return 0;
}

static void a_cursor_leads_back_to_its_place(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    for (int round = 0; round < 5000; round++) {
        char text[FB_CURSOR_TEXT_BYTES + 1];
        fb_args_t args = {.id_count = chance_below(&chance, 2), .ids = {chance_below(&chance, 9)}};
        uint64_t place = chance_u64(&chance) >> chance_below(&chance, 64);
        place = place == 0 ? UINT64_MAX : place;
        if (chance_below(&chance, 2) == 0)
            args.values[TYPE] = (fb_value_t){.given = true, .text = FB_SLICE("crane")};
        if (chance_below(&chance, 2) == 0)
            args.values[DATE] = (fb_value_t){.given = true, .number = TODAY};
        make_cursor(PATH, &args, place, text);
        assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_"),
                         FB_CURSOR_TEXT_BYTES);
        /* Another size of the page is allowed on the way. */
        args.values[LIMIT] = (fb_value_t){.given = true, .number = 1 + round % 1000};
        assert_true(read_cursor(PATH, &args, text) == place);
    }
}

static void without_a_cursor_a_list_begins_at_its_beginning(void **state)
{
    (void)state;
    fb_args_t args = {0};
    uint64_t after = 7;
    fb_error_t error = {0};
    assert_int_equal(fb_cursor_read(query, FB_COUNT(query), PATH, &args, &after, &error), FB_OK);
    assert_int_equal(after, 0);
    assert_int_equal(fb_cursor_limit(query, FB_COUNT(query), &args), FB_LIMIT_DEFAULT);
    args.values[LIMIT] = (fb_value_t){.given = true, .number = 1};
    assert_int_equal(fb_cursor_limit(query, FB_COUNT(query), &args), 1);
    /* A view that has neither parameter. */
    after = 7;
    assert_int_equal(fb_cursor_read(query, 2, PATH, &args, &after, &error), FB_OK);
    assert_int_equal(after, 0);
    assert_int_equal(fb_cursor_limit(query, 2, &args), FB_LIMIT_DEFAULT);
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    for (int round = 0; round < 500; round++) {
        char text[FB_CURSOR_TEXT_BYTES + 1];
        fb_args_t args = {0};
        make_cursor(PATH, &args, 1 + chance_below(&chance, 1000000), text);
        for (size_t bit = 0; bit < 8 * (size_t)FB_CURSOR_TEXT_BYTES; bit++) {
            text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
            assert_int_equal(read_cursor(PATH, &args, text), 0);
            text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        }
        assert_int_not_equal(read_cursor(PATH, &args, text), 0);
    }
}

static void what_is_no_cursor_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "A",
        "AAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAA==",
        "AAAAAAAAAAAAAAAAAAA+",
        "AAAAAAAAAAAAAAAAAAA/",
        "AAAAAAAAAAAAAAAAAAA ",
        "null",
        "____________________",
    };
    fb_args_t args = {0};
    for (size_t i = 0; i < FB_COUNT(texts); i++)
        assert_int_equal(read_cursor(PATH, &args, texts[i]), 0);
    char text[FB_CURSOR_TEXT_BYTES + 1];
    make_cursor(PATH, &args, 5, text);
    text[FB_CURSOR_TEXT_BYTES - 1] = '\0';
    assert_int_equal(read_cursor(PATH, &args, text), 0);
    make_cursor(PATH, &args, 0, text); /* no row has this id */
    assert_int_equal(read_cursor(PATH, &args, text), 0);
}

static void a_cursor_of_another_question_is_refused(void **state)
{
    (void)state;
    char text[FB_CURSOR_TEXT_BYTES + 1];
    fb_args_t args = {.ids = {4}, .id_count = 1}, other;
    args.values[TYPE] = (fb_value_t){.given = true, .text = FB_SLICE("crane")};
    args.values[DATE] = (fb_value_t){.given = true, .number = TODAY};
    make_cursor(PATH, &args, 5, text);
    assert_int_equal(read_cursor(PATH, &args, text), 5);
    assert_int_equal(read_cursor(PATH "s", &args, text), 0);
    other = args;
    other.ids[0] = 5;
    assert_int_equal(read_cursor(PATH, &other, text), 0);
    other = args;
    other.id_count = 0;
    assert_int_equal(read_cursor(PATH, &other, text), 0);
    other = args;
    other.values[TYPE].text = FB_SLICE("crank");
    assert_int_equal(read_cursor(PATH, &other, text), 0);
    other = args;
    other.values[TYPE].given = false;
    assert_int_equal(read_cursor(PATH, &other, text), 0);
    other = args;
    other.values[DATE].number++;
    assert_int_equal(read_cursor(PATH, &other, text), 0);
    other = args;
    other.values[DATE].given = false;
    assert_int_equal(read_cursor(PATH, &other, text), 0);
}

static void nothing_comes_after_the_last_id(void **state)
{
    (void)state;
    static const char body[] = "{\"label\":\"M\",\"inventory_id\":\"1\",\"type\":\"crane\"}";
    const fb_view_t *view = &fb_machines.views[0];
    const fb_args_t args = {.id_count = 0};
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_buffer_t target = {0};
    must_write(stage, "POST", "/v1/machines", body);
    fb_buffer_put_literal(&target, "/v1/machines?cursor=");
    size_t quote = target.len;
    fb_cursor_put(&target, view->query, view->query_count, view->path, &args, UINT32_MAX);
    memmove(target.at + quote, target.at + quote + 1, FB_CURSOR_TEXT_BYTES);
    target.at[quote + FB_CURSOR_TEXT_BYTES] = '\0';
    assert_reads(fb_stage_view(stage), target.at, "{\"machines\":[],\"next\":null}");
    fb_buffer_dispose(&target);
    history_push(&history, &stage);
    history_dispose(&history);
}

/* --- walks -------------------------------------------------------------------------------- */

#define MACHINES_MAX 3000

typedef struct {
    chance_t chance;
    history_t history;
    uint32_t created;
    bool exists[MACHINES_MAX + 1];
    bool is_crane[MACHINES_MAX + 1];
    bool stayed[MACHINES_MAX + 1]; /* there since the walk began */
} walk_t;

static void create_machine(walk_t *walk, fb_stage_t *stage)
{
    char body[100];
    bool is_crane = chance_below(&walk->chance, 2) == 0;
    snprintf(body, sizeof(body), "{\"label\":\"M\",\"inventory_id\":\"%u\",\"type\":\"%s\"}",
             walk->created, is_crane ? "crane" : "dumper");
    uint32_t id = must_write(stage, "POST", "/v1/machines", body);
    assert_int_equal(id, ++walk->created);
    walk->exists[id] = true;
    walk->is_crane[id] = is_crane;
}

/* Machines come and go between two pages. */
static void change_fleet(walk_t *walk, uint32_t most)
{
    fb_stage_t *stage = fb_stage_begin(history_now(&walk->history));
    for (uint32_t n = chance_below(&walk->chance, most + 1); n > 0; n--) {
        uint32_t id = 1 + chance_below(&walk->chance, walk->created);
        if (walk->created < MACHINES_MAX && chance_below(&walk->chance, 2) == 0) {
            create_machine(walk, stage);
        } else if (walk->exists[id]) {
            char path[40];
            snprintf(path, sizeof(path), "/v1/machines/%u", id);
            must_write(stage, "DELETE", path, "");
            walk->exists[id] = walk->stayed[id] = false;
        }
    }
    history_push(&walk->history, &stage);
}

/* Notes the ids of a page, which go up from `last`; returns the last of them. */
static uint32_t read_page(const fb_buffer_t *body, uint32_t last, size_t limit, bool *seen)
{
    json_error_t fault;
    json_t *page = json_loadb(body->at, body->len, 0, &fault);
    const json_t *machines = json_object_get(page, "machines");
    assert_true(json_array_size(machines) <= limit);
    for (size_t i = 0; i < json_array_size(machines); i++) {
        json_int_t id = json_integer_value(json_object_get(json_array_get(machines, i), "id"));
        assert_true(id > last && id <= MACHINES_MAX);
        last = (uint32_t)id;
        seen[id] = true;
    }
    json_decref(page);
    return last;
}

/* From the first page to the last: whoever was there all the time is seen, once. */
static void walk_list(walk_t *walk, const char *target)
{
    bool cranes_only = strstr(target, "crane") != NULL;
    bool seen[MACHINES_MAX + 1] = {false};
    char page[200], cursor[FB_CURSOR_TEXT_BYTES + 1] = "";
    fb_buffer_t body = {0};
    fb_error_t error;
    uint32_t last = 0;
    memcpy(walk->stayed, walk->exists, sizeof(walk->stayed));
    do {
        uint32_t most = chance_below(&walk->chance, 3) == 0 ? 1000 : 40;
        size_t limit = 1 + chance_below(&walk->chance, most);
        snprintf(page, sizeof(page), "%s&limit=%zu%s%s", target, limit, cursor[0] ? "&cursor=" : "",
                 cursor);
        if (fleet_read(history_now(&walk->history), page, &body, NULL, &error) != FB_OK)
            fail_msg("%s: %s", page, error.detail);
        last = read_page(&body, last, limit, seen);
        fb_slice_t next = page_cursor(fb_buffer_slice(&body));
        snprintf(cursor, sizeof(cursor), "%.*s", FB_PRINT(next));
        if (cursor[0] != '\0')
            change_fleet(walk, 30);
    } while (cursor[0] != '\0');
    for (uint32_t id = 1; id <= walk->created; id++) {
        bool wanted = !cranes_only || walk->is_crane[id];
        if (walk->stayed[id] && wanted && !seen[id])
            fail_msg("%s skipped %u", target, id);
        if (!wanted && seen[id])
            fail_msg("%s showed %u", target, id);
    }
    fb_buffer_dispose(&body);
}

static void a_walk_neither_skips_nor_repeats_while_machines_come_and_go(void **state)
{
    (void)state;
    enum { WALKS = 25 };
    static const char *const targets[] = {"/v1/machines?",
                                          "/v1/machines?type=crane",
                                          "/v1/availability?",
                                          "/v1/availability?type=crane",
                                          "/v1/availability?date=2026-12-01",
                                          "/v1/availability?from=2026-12-01&to=2026-12-31"};
    walk_t *walk = calloc(1, sizeof(*walk));
    walk->chance = chance_init();
    walk->history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&walk->history));
    while (walk->created < 300)
        create_machine(walk, stage);
    history_push(&walk->history, &stage);
    for (int i = 0; i < WALKS && walk->created < MACHINES_MAX; i++)
        walk_list(walk, targets[chance_below(&walk->chance, FB_COUNT(targets))]);
    history_dispose(&walk->history);
    free(walk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cursor_leads_back_to_its_place),
        cmocka_unit_test(without_a_cursor_a_list_begins_at_its_beginning),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(what_is_no_cursor_is_refused),
        cmocka_unit_test(a_cursor_of_another_question_is_refused),
        cmocka_unit_test(nothing_comes_after_the_last_id),
        cmocka_unit_test(a_walk_neither_skips_nor_repeats_while_machines_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
