/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/contract.h"

/* The contract of store.h, as far as it is about histories and former epochs: each case runs
 * against the store in memory and the one in Redis. */

static const char *const fields[] = {"status", "note"};

/* What a page brings, as one text: "MS-NUMBER status note" for each entry, a line each. */
typedef struct {
    fb_buffer_t text;
    size_t fail_after;
    fb_history_mark_t last;
} page_t;

static fb_code_t on_entry(void *context, const fb_history_entry_t *entry, fb_error_t *error)
{
    page_t *page = context;
    if (page->fail_after-- == 0)
        return fb_fail(error, FB_CONFLICT, "enough");
    fb_buffer_printf(&page->text, "%llu-%llu", (unsigned long long)entry->mark.ms,
                     (unsigned long long)entry->mark.number);
    for (size_t i = 0; i < 2; i++)
        fb_buffer_printf(&page->text, " %.*s",
                         entry->texts[i].at != NULL ? (int)entry->texts[i].len : 1,
                         entry->texts[i].at != NULL ? entry->texts[i].at : "-");
    fb_buffer_put_char(&page->text, '\n');
    page->last = entry->mark;
    return FB_OK;
}

static const fb_history_mark_t beginning = {0, 0};
static const fb_history_mark_t end_of_time = {FB_HISTORY_MS_MAX, FB_HISTORY_NUMBER_MAX};

static fb_history_question_t question_of(uint32_t id, fb_history_mark_t from, fb_history_mark_t to,
                                         size_t max)
{
    return (fb_history_question_t){.name = "history",
                                   .id = id,
                                   .from = from,
                                   .to = to,
                                   .max = max,
                                   .fields = fields,
                                   .field_count = 2};
}

/* The page must be just this. */
static fb_history_info_t assert_page(subject_t *subject, const fb_history_question_t *question,
                                     const char *expected)
{
    page_t page = {.fail_after = SIZE_MAX};
    fb_history_info_t info;
    fb_store_t *store = subject->store;
    size_t count, lines = 0;
    assert_ok(store->vtable->history(store, question, on_entry, &page, &count, &info, error));
    fb_buffer_put_char(&page.text, '\0');
    assert_string_equal(page.text.at, expected);
    for (const char *at = expected; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(count, lines);
    fb_buffer_dispose(&page.text);
    return info;
}

static fb_history_info_t assert_history(subject_t *subject, uint32_t id, const char *expected)
{
    const fb_history_question_t all = question_of(id, beginning, end_of_time, 1000);
    return assert_page(subject, &all, expected);
}

static void report(subject_t *subject, uint32_t id, const char *status, uint64_t ms)
{
    char payload[200];
    snprintf(payload, sizeof(payload),
             "[[\"put\",\"status\",%u,{\"status\":\"%s\"},\"history\",%llu]]", id, status,
             (unsigned long long)ms);
    put(subject, payload);
}

static void a_put_with_a_history_is_there_as_it_was(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"put\",\"status\",42,{\"status\":\"red\",\"note\":\"oil\"},\"history\","
                  "1763733600123],[\"put\",\"machine\",42,{\"label\":\"a\"}]]");
    put(&subject, "[[\"put\",\"status\",42,{\"status\":\"green\"},\"history\",1763733600124],"
                  "[\"put\",\"status\",7,{\"status\":\"yellow\",\"note\":\"\"},\"history\",5]]");
    fb_history_info_t info =
        assert_history(&subject, 42, "1763733600124-0 green -\n1763733600123-0 red oil\n");
    assert_int_equal(info.added, 2);
    assert_int_equal(info.length, 2);
    assert_int_equal(info.oldest.ms, 1763733600123);
    assert_int_equal(info.oldest.number, 0);
    info = assert_history(&subject, 7, "5-0 yellow \n");
    assert_int_equal(info.length, 1);
    info = assert_history(&subject, 8, "");
    assert_int_equal(info.added, 0);
    assert_int_equal(info.length, 0);
    end(&subject);
}

static void entries_of_one_instant_are_numbered(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"put\",\"status\",1,{\"status\":\"a\"},\"history\",10],"
                  "[\"put\",\"status\",1,{\"status\":\"b\"},\"history\",10]]");
    report(&subject, 1, "c", 10);
    report(&subject, 1, "d", 11);
    assert_history(&subject, 1, "11-0 d -\n10-2 c -\n10-1 b -\n10-0 a -\n");
    end(&subject);
}

static void the_ends_of_a_range_are_part_of_it(void **state)
{
    subject_t subject = begin(state, 0);
    for (uint64_t ms = 10; ms <= 50; ms += 10) {
        report(&subject, 1, "a", ms);
        report(&subject, 1, "b", ms);
    }
    fb_history_question_t question =
        question_of(1, (fb_history_mark_t){20, 0}, (fb_history_mark_t){40, 0}, 1000);
    assert_page(&subject, &question, "40-0 a -\n30-1 b -\n30-0 a -\n20-1 b -\n20-0 a -\n");
    question.from.number = 1;
    question.to.number = 1;
    assert_page(&subject, &question, "40-1 b -\n40-0 a -\n30-1 b -\n30-0 a -\n20-1 b -\n");
    question.max = 2;
    fb_history_info_t info = assert_page(&subject, &question, "40-1 b -\n40-0 a -\n");
    assert_int_equal(info.length, 10); /* of all of it */
    question.to = (fb_history_mark_t){39, FB_HISTORY_NUMBER_MAX};
    assert_page(&subject, &question, "30-1 b -\n30-0 a -\n");
    question = question_of(1, (fb_history_mark_t){21, 0}, (fb_history_mark_t){29, 0}, 1000);
    assert_page(&subject, &question, "");
    question = question_of(1, (fb_history_mark_t){40, 0}, (fb_history_mark_t){20, 0}, 1000);
    assert_page(&subject, &question, "");
    end(&subject);
}

/* Cause: an entry that could not be added would fail a commit that has written already. */
static void an_instant_that_goes_back_comes_behind_all_the_same(void **state)
{
    subject_t subject = begin(state, 0);
    page_t page = {.fail_after = SIZE_MAX};
    fb_history_info_t info;
    fb_store_t *store = subject.store;
    size_t count;
    report(&subject, 1, "first", 4000000000000);
    report(&subject, 1, "second", 1000);
    const fb_history_question_t all = question_of(1, beginning, end_of_time, 1000);
    assert_ok(store->vtable->history(store, &all, on_entry, &page, &count, &info, error));
    fb_buffer_put_char(&page.text, '\0');
    assert_string_equal(page.text.at, "4000000000000-1 second -\n4000000000000-0 first -\n");
    assert_int_equal(info.length, 2);
    fb_buffer_dispose(&page.text);
    end(&subject);
}

static void a_history_stays_when_its_row_goes(void **state)
{
    subject_t subject = begin(state, 0);
    report(&subject, 1, "a", 1);
    put(&subject, "[[\"delete\",\"status\",1]]");
    assert_history(&subject, 1, "1-0 a -\n");
    end(&subject);
}

static void whoever_takes_the_entries_may_end_it(void **state)
{
    subject_t subject = begin(state, 0);
    page_t page = {.fail_after = 2};
    fb_history_info_t info;
    fb_store_t *store = subject.store;
    size_t count;
    for (uint64_t ms = 1; ms <= 5; ms++)
        report(&subject, 1, "a", ms);
    const fb_history_question_t all = question_of(1, beginning, end_of_time, 1000);
    assert_code(FB_CONFLICT,
                store->vtable->history(store, &all, on_entry, &page, &count, &info, error));
    assert_int_equal(count, 2);
    fb_buffer_dispose(&page.text);
    assert_history(&subject, 1, "5-0 a -\n4-0 a -\n3-0 a -\n2-0 a -\n1-0 a -\n");
    end(&subject);
}

/* ---- What is kept ------------------------------------------------------------------------- */

/* 2,000 reports, one each 10 ms from 10 on, 50 a change. */
static fb_history_info_t report_many(subject_t *subject)
{
    fb_history_info_t info;
    fb_store_t *store = subject->store;
    size_t count;
    page_t page = {.fail_after = SIZE_MAX};
    for (uint64_t i = 0; i < 40; i++) {
        fb_buffer_t payload = {0};
        for (uint64_t k = 1; k <= 50; k++)
            fb_buffer_printf(&payload,
                             "%s[\"put\",\"status\",1,{\"status\":\"a\"},\"history\",%llu]",
                             k > 1 ? "," : "[", (unsigned long long)(i * 50 + k) * 10);
        fb_buffer_put(&payload, "]", 2);
        put(subject, payload.at);
        fb_buffer_dispose(&payload);
    }
    /* Those that are left are the newest ones, without a gap. */
    fb_history_question_t question = question_of(1, beginning, end_of_time, 1000);
    uint64_t next = 20000, left = 0;
    do {
        assert_ok(store->vtable->history(store, &question, on_entry, &page, &count, &info, error));
        page.text.len = 0;
        left += count;
        next -= count * 10;
        if (count > 0)
            question.to = (fb_history_mark_t){page.last.ms - 1, FB_HISTORY_NUMBER_MAX};
    } while (count > 0);
    assert_int_equal(info.added, 2000);
    assert_int_equal(info.length, left);
    assert_int_equal(info.oldest.ms, page.last.ms);
    assert_int_equal(info.oldest.ms, next + 10);
    fb_buffer_dispose(&page.text);
    return info;
}

/* Redis keeps whole blocks of a hundred entries. */
#define SOME_MORE 200

static void a_history_keeps_so_many_entries(void **state)
{
    history_length = 150;
    subject_t subject = begin(state, 0);
    fb_history_info_t info = report_many(&subject);
    assert_in_range(info.length, 150, 150 + SOME_MORE);
    end(&subject);
    history_length = 0;
}

static void a_history_keeps_its_entries_for_so_long(void **state)
{
    history_age_ms = 4000; /* the last 400 */
    subject_t subject = begin(state, 0);
    fb_history_info_t info = report_many(&subject);
    assert_in_range(info.length, 400, 401 + SOME_MORE);
    end(&subject);
    history_age_ms = 0;
}

static void a_history_keeps_what_neither_bound_takes(void **state)
{
    static const uint64_t bounds[][2] = {{300, 1000}, {100, 12000}};
    for (size_t i = 0; i < 2; i++) {
        history_length = bounds[i][0];
        history_age_ms = bounds[i][1];
        subject_t subject = begin(state, 0);
        fb_history_info_t info = report_many(&subject);
        assert_in_range(info.length, 100, 101 + SOME_MORE);
        end(&subject);
    }
    history_length = history_age_ms = 0;
}

static void a_history_without_bounds_keeps_all(void **state)
{
    subject_t subject = begin(state, 0);
    fb_history_info_t info = report_many(&subject);
    assert_int_equal(info.length, 2000);
    end(&subject);
}

/* ---- Former epochs ------------------------------------------------------------------------ */

static void the_head_remembers_the_epochs_that_have_ended(void **state)
{
    subject_t subject = begin(state, 0);
    fb_store_t *store = subject.store;
    fb_position_t head = subject.position;
    char epochs[12][FB_EPOCH_BYTES + 1];
    assert_string_equal(head.former[0].epoch, "");
    for (unsigned i = 0; i < 12; i++) {
        strcpy(epochs[i], head.epoch);
        put(&subject, "[]");
        assert_ok(store->vtable->begin_epoch(store, epochs[i], &head, error));
        strcpy(subject.position.epoch, head.epoch);
        for (unsigned k = 0; k < FB_FORMER_MAX; k++) {
            bool there = k <= i;
            assert_string_equal(head.former[k].epoch, there ? epochs[i - k] : "");
            assert_int_equal(head.former[k].until, there ? i - k + 1 : 0);
        }
    }
    fb_position_t again;
    assert_ok(store->vtable->head(store, &again, error));
    assert_memory_equal(&again, &head, sizeof(head));
    assert_true(fb_position_includes(&head, epochs[11], 12));
    assert_false(fb_position_includes(&head, epochs[11], 13));
    assert_true(fb_position_includes(&head, epochs[4], 5));
    assert_false(fb_position_includes(&head, epochs[3], 4)); /* too long ago */
    end(&subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_put_with_a_history_is_there_as_it_was),
        BOTH(entries_of_one_instant_are_numbered),
        BOTH(the_ends_of_a_range_are_part_of_it),
        BOTH(an_instant_that_goes_back_comes_behind_all_the_same),
        BOTH(a_history_stays_when_its_row_goes),
        BOTH(whoever_takes_the_entries_may_end_it),
        BOTH(a_history_keeps_so_many_entries),
        BOTH(a_history_keeps_its_entries_for_so_long),
        BOTH(a_history_keeps_what_neither_bound_takes),
        BOTH(a_history_without_bounds_keeps_all),
        BOTH(the_head_remembers_the_epochs_that_have_ended),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
