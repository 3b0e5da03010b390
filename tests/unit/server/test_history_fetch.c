/* SPDX-License-Identifier: MIT */
#include "server/history_fetch.h"

#include <jansson.h>
#include <string.h>

#include "base/memory.h"
#include "persistence/store_memory.h"
#include "resources/equipment.h"
#include "resources/registry.h"
#include "tests/unit/random.h"

/* The history of machine 1, in the store in memory, held against a naive model of it. */

#define EVENTS_MAX 4000

typedef struct {
    uint64_t ms;
    unsigned state;
} event_t;

static fb_store_t *store;
static fb_position_t position;
static event_t events[EVENTS_MAX];
static size_t event_count;

static void commit(const char *payload)
{
    fb_error_t error = {0};
    fb_entry_t entry = {.revision = position.revision + 1, .payload = fb_slice(payload)};
    snprintf(entry.command, sizeof(entry.command), "%032llx", (unsigned long long)entry.revision);
    fb_chain_next(position.chain, entry.command, entry.payload, entry.chain);
    assert_int_equal(store->vtable->commit(store, &position, &entry, 1, NULL, &error), FB_OK);
    position.revision++;
    memcpy(position.chain, entry.chain, sizeof(position.chain));
}

static void report(uint64_t ms, unsigned state)
{
    fb_buffer_t payload = {0};
    char at[FB_INSTANT_TEXT_BYTES];
    fb_instant_format((fb_instant_t)ms, at);
    fb_buffer_printf(&payload,
                     "[[\"put\",\"status\",1,{\"status\":\"%s\",\"updated_at\":\"%.*s\","
                     "\"updated_by\":\"n%zu\"},\"history\",%llu]]",
                     fb_equipment_states[state], FB_INSTANT_TEXT_BYTES, at, event_count,
                     (unsigned long long)ms);
    fb_buffer_put_char(&payload, '\0');
    commit(payload.at);
    fb_buffer_dispose(&payload);
    events[event_count++] = (event_t){ms, state};
}

static void begin(uint64_t history_length)
{
    fb_error_t error = {0};
    store = fb_store_memory_create(10, history_length, 0);
    event_count = 0;
    assert_int_equal(store->vtable->head(store, &position, &error), FB_OK);
}

static void end(void)
{
    store->vtable->destroy(store);
}

static fb_history_ask_t ask_of(void)
{
    return (fb_history_ask_t){.resource = fb_registry_resource(FB_EQUIPMENT),
                              .machine = 1,
                              .limit = 100,
                              .patience = {.deadline_ms = UINT64_MAX}};
}

static json_t *fetch(const fb_history_ask_t *ask, fb_instant_t now)
{
    fb_buffer_t body = {0};
    fb_error_t error = {0};
    if (fb_history_fetch(ask, store, now, &body, &error) != FB_OK)
        fail_msg("%s", error.detail);
    json_t *answer = json_loadb(body.at, body.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(answer);
    fb_buffer_dispose(&body);
    return answer;
}

static fb_code_t fetch_code(const fb_history_ask_t *ask, fb_instant_t now)
{
    fb_buffer_t body = {0};
    fb_error_t error = {0};
    fb_code_t code = fb_history_fetch(ask, store, now, &body, &error);
    assert_int_equal(body.len, 0);
    assert_int_equal(code, error.code);
    return code;
}

static uint64_t instant_of(const json_t *text)
{
    fb_instant_t instant;
    assert_true(fb_instant_parse(fb_slice(json_string_value(text)), &instant));
    return (uint64_t)instant;
}

/* Milliseconds of a state. */
static uint64_t time_of(const json_t *answer, const char *state)
{
    const json_t *times = json_object_get(answer, "time_in_state");
    return (uint64_t)(json_number_value(json_object_get(times, state)) * 1000 + 0.5);
}

/* Reads the `next` of an answer back into the ask, as the query of the next request has it. */
static fb_code_t go_on(fb_history_ask_t *ask, const char *cursor)
{
    fb_error_t error = {0};
    fb_args_t args = {.ids = {ask->machine}, .id_count = 1};
    char epoch[sizeof(ask->epoch)];
    memcpy(epoch, ask->epoch, sizeof(epoch));
    args.values[FB_HISTORY_FROM] = (fb_value_t){.given = ask->has_from, .number = ask->from};
    args.values[FB_HISTORY_TO] = (fb_value_t){.given = ask->has_to, .number = ask->to};
    args.values[FB_HISTORY_LIMIT] = (fb_value_t){.given = true, .number = (int64_t)ask->limit};
    args.values[FB_HISTORY_CURSOR] = (fb_value_t){.given = true, .text = fb_slice(cursor)};
    fb_code_t code = fb_history_ask_read(ask, ask->resource, &args, &error);
    ask->patience.deadline_ms = UINT64_MAX;
    memcpy(ask->epoch, epoch, sizeof(epoch));
    return code;
}

/* --- against a naive model --------------------------------------------------------------- */

/* Each millisecond for itself: the state that the last event before it set. */
static void naive_times(uint64_t from, uint64_t to, uint64_t times[FB_EQUIPMENT_STATES + 1])
{
    memset(times, 0, (FB_EQUIPMENT_STATES + 1) * sizeof(*times));
    size_t next = 0;
    for (uint64_t ms = 0; ms < to; ms++) {
        while (next < event_count && events[next].ms <= ms)
            next++;
        if (ms >= from)
            times[next > 0 ? events[next - 1].state : FB_EQUIPMENT_STATES]++;
    }
}

static void assert_times(const json_t *answer, uint64_t from, uint64_t to)
{
    uint64_t times[FB_EQUIPMENT_STATES + 1];
    naive_times(from, to, times);
    for (unsigned i = 0; i < FB_EQUIPMENT_STATES; i++)
        assert_int_equal(time_of(answer, fb_equipment_states[i]), times[i]);
    assert_int_equal(time_of(answer, "unknown"), times[FB_EQUIPMENT_STATES]);
}

/* All pages of the ask show just the events of the range, each page the same times. */
static void assert_pages(fb_history_ask_t ask, uint64_t from, uint64_t to, fb_instant_t now)
{
    size_t next = event_count;
    uint64_t end_ms = to < (uint64_t)now ? to : (uint64_t)now;
    while (next > 0 && events[next - 1].ms > to)
        next--;
    for (;;) {
        json_t *answer = fetch(&ask, now);
        const json_t *page = json_object_get(answer, "history"), *cursor;
        assert_times(answer, from, end_ms);
        assert_int_equal(instant_of(json_object_get(answer, "to")), to);
        for (size_t i = 0; i < json_array_size(page); i++) {
            const json_t *entry = json_array_get(page, i);
            char by[24];
            assert_true(next > 0);
            snprintf(by, sizeof(by), "n%zu", --next);
            assert_string_equal(json_string_value(json_object_get(entry, "updated_by")), by);
            assert_int_equal(instant_of(json_object_get(entry, "updated_at")), events[next].ms);
            assert_true(json_is_null(json_object_get(entry, "note")));
        }
        cursor = json_object_get(answer, "next");
        bool is_last = next == 0 || events[next - 1].ms < from;
        assert_int_equal(json_is_null(cursor), is_last);
        if (!is_last) {
            assert_int_equal(json_array_size(page), ask.limit);
            assert_int_equal(go_on(&ask, json_string_value(cursor)), FB_OK);
        }
        json_decref(answer);
        if (is_last)
            return;
    }
}

static void every_range_shows_its_entries_and_the_times_between_them(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    for (unsigned round = 0; round < 20; round++) {
        uint64_t ms = 1000 + chance_below(&chance, 100);
        size_t count = chance_below(&chance, round % 4 == 0 ? 3000 : 40);
        begin(0);
        for (size_t i = 0; i < count; i++) {
            ms += chance_below(&chance, 4) == 0 ? 0 : chance_below(&chance, 3);
            report(ms, chance_below(&chance, FB_EQUIPMENT_STATES));
        }
        for (unsigned k = 0; k < 20; k++) {
            fb_history_ask_t ask = ask_of();
            fb_instant_t now = (fb_instant_t)ms + chance_below(&chance, 50);
            uint64_t from = count > 0 ? events[0].ms : (uint64_t)now, to = (uint64_t)now;
            ask.limit = 1 + chance_below(&chance, k % 2 ? 10 : 1000);
            if (chance_below(&chance, 3) > 0) {
                ask.has_from = true;
                ask.from = chance_between(&chance, 900, now);
                from = (uint64_t)ask.from;
            }
            if (chance_below(&chance, 3) > 0) {
                ask.has_to = true;
                ask.to = chance_between(&chance, ask.has_from ? ask.from : 900, now + 20);
                to = (uint64_t)ask.to;
            }
            assert_pages(ask, from, to, now);
        }
        end();
    }
}

/* --- what was counted before ------------------------------------------------------------- */

static char *body_of(const fb_history_ask_t *ask, fb_instant_t now)
{
    fb_buffer_t body = {0};
    fb_error_t error = {0};
    assert_int_equal(fb_history_fetch(ask, store, now, &body, &error), FB_OK);
    fb_buffer_put_char(&body, '\0');
    return body.at;
}

/* Entries are added and dropped, all is lost now and then, and ranges end anywhere: what was
 * counted before must never show. */
static void what_was_counted_before_changes_no_answer(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    fb_history_times_t *times = fb_history_times_create();
    for (unsigned round = 0; round < 30; round++) {
        uint64_t ms = 1000 + chance_below(&chance, 3) + round % 2 * 5000;
        begin(round % 3 == 0 ? 0 : 1 + chance_below(&chance, 1500));
        for (unsigned step = 0; step < 60 && event_count < EVENTS_MAX - 100; step++) {
            for (uint32_t i = chance_below(&chance, chance_below(&chance, 3) == 0 ? 100 : 4); i > 0;
                 i--) {
                ms += chance_below(&chance, 3);
                report(ms, chance_below(&chance, FB_EQUIPMENT_STATES));
            }
            fb_history_ask_t ask = ask_of();
            fb_instant_t now = (fb_instant_t)ms + chance_below(&chance, 5);
            ask.limit = 1 + chance_below(&chance, 150);
            snprintf(ask.epoch, sizeof(ask.epoch), "%08x", round / 2);
            ask.has_from = chance_below(&chance, 4) == 0;
            ask.from = chance_between(&chance, 900, chance_below(&chance, 2) ? 1000 : now);
            ask.has_to = chance_below(&chance, 4) == 0;
            ask.to = chance_between(&chance, ask.has_from ? ask.from : 900, now + 5);
            for (unsigned page = 0; page < 3; page++) {
                ask.times = NULL;
                char *expected = body_of(&ask, now);
                ask.times = times;
                char *body = body_of(&ask, now);
                assert_string_equal(body, expected);
                json_t *answer = json_loads(body, 0, NULL);
                const char *next = json_string_value(json_object_get(answer, "next"));
                bool is_last = next == NULL;
                if (!is_last)
                    assert_int_equal(go_on(&ask, next), FB_OK);
                json_decref(answer);
                free(expected);
                free(body);
                if (is_last)
                    break;
            }
        }
        end();
    }
    fb_history_times_destroy(&times);
}

/* --- one by one -------------------------------------------------------------------------- */

static void a_machine_that_reported_nothing_was_never_known(void **state)
{
    (void)state;
    begin(0);
    fb_history_ask_t ask = ask_of();
    json_t *answer = fetch(&ask, 5000);
    assert_int_equal(json_array_size(json_object_get(answer, "history")), 0);
    assert_true(json_is_null(json_object_get(answer, "from")));
    assert_int_equal(instant_of(json_object_get(answer, "to")), 5000);
    assert_int_equal(time_of(answer, "unknown"), 0);
    assert_int_equal(json_integer_value(json_object_get(answer, "dropped")), 0);
    assert_true(json_is_null(json_object_get(answer, "kept_from")));
    json_decref(answer);
    ask.has_from = true;
    ask.from = 1500;
    answer = fetch(&ask, 5000);
    assert_int_equal(time_of(answer, "unknown"), 3500);
    json_decref(answer);
    end();
}

static void what_was_dropped_is_said(void **state)
{
    (void)state;
    begin(10);
    for (uint64_t i = 0; i < 25; i++)
        report(1000 + i * 10, (unsigned)i % 3);
    fb_history_ask_t ask = ask_of();
    ask.has_from = true;
    ask.from = 1000;
    json_t *answer = fetch(&ask, 1300);
    assert_int_equal(json_array_size(json_object_get(answer, "history")), 10);
    assert_int_equal(json_integer_value(json_object_get(answer, "dropped")), 15);
    assert_int_equal(instant_of(json_object_get(answer, "kept_from")), 1150);
    assert_int_equal(time_of(answer, "unknown"), 150); /* nobody knows any more */
    json_decref(answer);
    end();
}

static void a_range_must_not_end_before_it_begins(void **state)
{
    (void)state;
    begin(0);
    fb_history_ask_t ask = ask_of();
    ask.has_from = true;
    ask.from = 5001;
    assert_int_equal(fetch_code(&ask, 5000), FB_INVALID);
    report(5002, 0); /* by an instance whose clock is ahead */
    json_t *answer = fetch(&ask, 5000);
    assert_int_equal(json_array_size(json_object_get(answer, "history")), 1);
    assert_int_equal(instant_of(json_object_get(answer, "to")), 5002);
    json_decref(answer);
    end();
}

static void pages_go_on_while_entries_are_added(void **state)
{
    (void)state;
    begin(0);
    for (uint64_t i = 0; i < 30; i++)
        report(1000 + i / 4, 0);
    fb_history_ask_t ask = ask_of();
    ask.limit = 7;
    for (size_t shown = 0, left = 30; shown < 30;) {
        json_t *answer = fetch(&ask, 2000 + (fb_instant_t)shown);
        const json_t *page = json_object_get(answer, "history");
        assert_int_equal(instant_of(json_object_get(answer, "to")), 2000);
        for (size_t i = 0; i < json_array_size(page); i++, shown++) {
            char by[24];
            snprintf(by, sizeof(by), "n%zu", --left);
            assert_string_equal(
                json_string_value(json_object_get(json_array_get(page, i), "updated_by")), by);
        }
        report(2001 + shown, 1);
        const json_t *next = json_object_get(answer, "next");
        if (left > 0)
            assert_int_equal(go_on(&ask, json_string_value(next)), FB_OK);
        json_decref(answer);
    }
    end();
}

static void a_cursor_holds_for_its_question_alone(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    begin(0);
    for (uint64_t i = 0; i < 10; i++)
        report(1000 + i, 0);
    fb_history_ask_t first = ask_of();
    first.limit = 3;
    json_t *answer = fetch(&first, 2000);
    const char *cursor = json_string_value(json_object_get(answer, "next"));
    char altered[64];
    fb_history_ask_t ask = first;
    assert_int_equal(go_on(&ask, cursor), FB_OK);
    ask = first;
    ask.limit = 5; /* no part of the question */
    assert_int_equal(go_on(&ask, cursor), FB_OK);
    for (unsigned other = 0; other < 3; other++) {
        ask = first;
        ask.machine += other == 0;
        ask.has_from = other == 1;
        ask.has_to = other == 2;
        ask.to = 5000;
        assert_int_equal(go_on(&ask, cursor), FB_MALFORMED);
    }
    for (unsigned i = 0; i < 1000; i++) {
        size_t at = chance_below(&chance, (uint32_t)strlen(cursor));
        strcpy(altered, cursor);
        altered[at] = (char)(' ' + chance_below(&chance, 95));
        ask = first;
        assert_int_equal(go_on(&ask, altered), strcmp(altered, cursor) == 0 ? FB_OK : FB_MALFORMED);
    }
    altered[0] = '\0';
    assert_int_equal(go_on(&ask, altered), FB_MALFORMED);
    json_decref(answer);
    end();
}

static void who_has_waited_too_long_or_left_gets_nothing(void **state)
{
    (void)state;
    atomic_bool is_given_up = true;
    begin(0);
    report(1000, 0);
    fb_history_ask_t ask = ask_of();
    ask.patience.deadline_ms = fb_clock_monotonic_ms();
    assert_int_equal(fetch_code(&ask, 2000), FB_UNAVAILABLE);
    ask = ask_of();
    ask.patience.is_given_up = &is_given_up;
    assert_int_equal(fetch_code(&ask, 2000), FB_UNAVAILABLE);
    end();
}

static void an_entry_that_is_no_state_is_told(void **state)
{
    (void)state;
    begin(0);
    commit("[[\"put\",\"status\",1,{\"status\":\"red\",\"updated_at\":\"soon\","
           "\"updated_by\":\"n\"},\"history\",5]]");
    fb_history_ask_t ask = ask_of();
    assert_int_equal(fetch_code(&ask, 2000), FB_CONFIG);
    end();
}

/* --- very long ones ---------------------------------------------------------------------- */

/* As many entries as are asked for, each of a millisecond before; counts the questions. */
static unsigned questions;

static fb_code_t endless_history(
    fb_store_t *self, const fb_history_question_t *question,
    fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry, fb_error_t *error),
    void *context, size_t *count, fb_history_info_t *info, fb_error_t *error)
{
    static const fb_slice_t texts[] = {
        {"red", 3}, {"2026-11-21T00:00:00.000Z", FB_INSTANT_TEXT_BYTES}, {"n", 1}, {NULL, 0}};
    (void)self;
    questions++;
    *info = (fb_history_info_t){1000000, 1000000, {1, 0}};
    for (*count = 0; *count < question->max; ++*count) {
        uint64_t top = question->to.ms < 1000000 ? question->to.ms : 1000000;
        const fb_history_entry_t entry = {{top - *count, 0}, texts};
        fb_code_t code = on_entry(context, &entry, error);
        if (code != FB_OK)
            return code;
    }
    return FB_OK;
}

static void a_range_that_is_too_long_has_no_times(void **state)
{
    (void)state;
    static const fb_store_vtable_t endless = {.history = endless_history};
    fb_store_t self = {&endless};
    store = &self;
    questions = 0;
    fb_history_ask_t ask = ask_of();
    json_t *answer = fetch(&ask, 1000000);
    assert_true(json_is_null(json_object_get(answer, "time_in_state")));
    assert_int_equal(json_array_size(json_object_get(answer, "history")), 100);
    assert_in_range(questions, 1 + FB_HISTORY_COUNTED_MAX / FB_HISTORY_LIMIT_MAX,
                    2 + FB_HISTORY_COUNTED_MAX / FB_HISTORY_LIMIT_MAX);
    json_decref(answer);
}

static fb_store_t *counted_store;

static fb_code_t counting_history(
    fb_store_t *self, const fb_history_question_t *question,
    fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry, fb_error_t *error),
    void *context, size_t *count, fb_history_info_t *info, fb_error_t *error)
{
    (void)self;
    questions++;
    return counted_store->vtable->history(counted_store, question, on_entry, context, count, info,
                                          error);
}

static void a_long_history_is_counted_once(void **state)
{
    (void)state;
    static const fb_store_vtable_t counting = {.history = counting_history};
    fb_store_t self = {&counting};
    begin(0);
    for (uint64_t i = 0; i < 3900; i++)
        report(1000 + i, 0);
    counted_store = store;
    fb_history_ask_t ask = ask_of();
    ask.times = fb_history_times_create();
    for (unsigned turn = 0; turn < 3; turn++) {
        store = &self;
        questions = 0;
        json_decref(fetch(&ask, 10000));
        assert_int_equal(questions, turn == 0 ? 5 : 1);
        store = counted_store;
        for (uint64_t i = 0; i < 20; i++)
            report(6000 + turn, 1);
    }
    for (uint64_t i = 0; i < 30; i++)
        report(7000, 1);
    store = &self;
    questions = 0;
    ask.limit = 1;
    json_decref(fetch(&ask, 10000));
    assert_int_equal(questions, 2);
    store = counted_store;
    fb_history_times_destroy(&ask.times);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_shows_its_entries_and_the_times_between_them),
        cmocka_unit_test(what_was_counted_before_changes_no_answer),
        cmocka_unit_test(a_machine_that_reported_nothing_was_never_known),
        cmocka_unit_test(what_was_dropped_is_said),
        cmocka_unit_test(a_range_must_not_end_before_it_begins),
        cmocka_unit_test(pages_go_on_while_entries_are_added),
        cmocka_unit_test(a_cursor_holds_for_its_question_alone),
        cmocka_unit_test(who_has_waited_too_long_or_left_gets_nothing),
        cmocka_unit_test(an_entry_that_is_no_state_is_told),
        cmocka_unit_test(a_range_that_is_too_long_has_no_times),
        cmocka_unit_test(a_long_history_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
