/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/picture.h"
#include "tests/unit/persistence/redis_subject.h"

/* What is true of histories in Redis alone: their keys and their faults; and of a store that only
 * reads. */

static const char report[] = "[[\"put\",\"status\",42,{\"status\":\"red\"},\"history\",1000]]";

static void histories_are_as_redis_cli_shows_them(void **state)
{
    (void)state;
    history_length = 1000;
    history_age_ms = 1;
    subject_t subject = begin(5000);
    put(&subject, report);
    assert_string_equal(answer(outside, "HGETALL fb:{f}:status:42"), "status red");
    assert_string_equal(answer(outside, "BITPOS fb:{f}:statuses 1"), "42");
    assert_string_equal(answer(outside, "HGET fb:{f}:head last_id:status"), "42");
    assert_string_equal(answer(outside, "TYPE fb:{f}:history:42"), "stream");
    assert_string_equal(answer(outside, "XLEN fb:{f}:history:42"), "1");
    redisReply *entries = ask(outside, "XRANGE fb:{f}:history:42 - +");
    assert_string_equal(entries->element[0]->element[0]->str, "1000-0");
    redisReply *entry = entries->element[0]->element[1];
    assert_int_equal(entry->elements, 2);
    assert_string_equal(entry->element[0]->str, "status");
    assert_string_equal(entry->element[1]->str, "red");
    freeReplyObject(entries);
    end(&subject);
    history_length = history_age_ms = 0;
}

/* Cause: what fails after the row is put cannot be rolled back. */
static void nothing_that_stands_in_the_place_of_a_history_stops_a_put(void **state)
{
    (void)state;
    static const struct {
        const char *before, *length, *first;
    } cases[] = {
        {"PING", "1", "1000-0"},
        {"XADD fb:{f}:history:42 99999999999999-5 a b", "2", "99999999999999-5"},
        {"XADD fb:{f}:history:42 18446744073709551615-18446744073709551615 a b", "1", "1000-0"},
        {"SADD fb:{f}:history:42 member", "1", "1000-0"},
        {"SET fb:{f}:history:42 text", "1", "1000-0"},
    };
    for (size_t keeping = 0; keeping < 4; keeping++) {
        history_length = keeping & 1 ? 1000 : 0;
        history_age_ms = keeping & 2 ? 100000000000000 : 0;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            subject_t subject = begin(5000);
            answer(outside, cases[i].before);
            put(&subject, report);
            assert_string_equal(answer(outside, "XLEN fb:{f}:history:42"), cases[i].length);
            redisReply *entries = ask(outside, "XRANGE fb:{f}:history:42 - + COUNT 1");
            assert_string_equal(entries->element[0]->element[0]->str, cases[i].first);
            freeReplyObject(entries);
            assert_string_equal(answer(outside, "HGET fb:{f}:status:42 status"), "red");
            assert_string_equal(answer(outside, "HGET fb:{f}:head revision"), "1");
            end(&subject);
        }
    }
    history_length = history_age_ms = 0;
}

static void an_entry_of_too_many_fields_is_refused_before_anything_is_written(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    for (int count = 500; count <= 501; count++) {
        fb_buffer_t payload = {0};
        for (int i = 0; i < count; i++)
            fb_buffer_printf(&payload, "%s\"f%d\":\"%d\"",
                             i > 0 ? "," : "[[\"put\",\"status\",42,{", i, i);
        fb_buffer_put_literal(&payload, "},\"history\",1]]");
        fb_buffer_put_char(&payload, '\0');
        if (count == 500)
            put(&subject, payload.at);
        else
            assert_code(FB_INTERNAL,
                        commit_text(subject.store, &subject.position, payload.at, error));
        fb_buffer_dispose(&payload);
    }
    assert_string_equal(answer(outside, "HLEN fb:{f}:status:42"), "500");
    assert_string_equal(answer(outside, "XLEN fb:{f}:history:42"), "1");
    end(&subject);
}

static void rights_to_histories_that_are_missing_stop_a_commit_before_it_writes(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    end(&subject);
    answer(outside, "ACL SETUSER u reset on >pw &* +@all ~fb:{f}:head ~fb:{f}:log ~fb:{f}:status*");
    subject.store = open_store("f", "?user=u&password=pw", 5000);
    assert_code(FB_UNAVAILABLE, commit_text(subject.store, &subject.position, report, error));
    assert_string_equal(answer(outside, "EXISTS fb:{f}:status:42 fb:{f}:log"), "0");
    end(&subject);
    answer(outside, "ACL SETUSER u ~fb:{f}:history:*");
    subject.store = open_store("f", "?user=u&password=pw", 5000);
    assert_ok(commit_text(subject.store, &subject.position, report, error));
    end(&subject);
}

static fb_code_t on_event(void *context, const fb_history_entry_t *entry, fb_error_t *error)
{
    (void)error;
    *(uint64_t *)context = entry->mark.ms;
    return FB_OK;
}

static fb_code_t read_history(fb_store_t *store, uint64_t *last, fb_error_t *error)
{
    static const char *const fields[] = {"status"};
    const fb_history_question_t question = {.name = "history",
                                            .id = 42,
                                            .to = {FB_HISTORY_MS_MAX, 0},
                                            .max = 10,
                                            .fields = fields,
                                            .field_count = 1};
    fb_history_info_t info;
    size_t count;
    return store->vtable->history(store, &question, on_event, last, &count, &info, error);
}

static void a_key_that_is_no_history_is_told(void **state)
{
    (void)state;
    uint64_t last = 0;
    subject_t subject = begin(5000);
    assert_string_equal(answer(outside, "SADD fb:{f}:history:42 member"), "1");
    assert_code(FB_CONFIG, read_history(subject.store, &last, error));
    put(&subject, report); /* no answer was left over */
    assert_ok(read_history(subject.store, &last, error));
    assert_int_equal(last, 1000);
    end(&subject);
}

static fb_code_t on_entry(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    (void)error;
    *(uint64_t *)context = entry->revision;
    return FB_OK;
}

/* Readers beside the writer must not change anything, nor need the right to. */
static void a_store_that_only_reads_writes_nothing(void **state)
{
    (void)state;
    uint64_t last = 0;
    size_t count;
    fb_position_t head;
    subject_t subject = begin(5000);
    put(&subject, report);
    put(&subject, "[]");
    answer(outside, "FUNCTION FLUSH");
    answer(outside, "ACL SETUSER u reset on >pw ~fb:{f}:* +@read +@connection");
    fb_store_t *reader = open_store("f", "?user=u&password=pw", 5000);
    assert_ok(read_history(reader, &last, error));
    assert_int_equal(last, 1000);
    assert_ok(reader->vtable->read(reader, 0, 10, on_entry, &last, &count, &head, error));
    assert_int_equal(count, 2);
    assert_int_equal(last, 2);
    assert_string_equal(head.epoch, subject.position.epoch);
    assert_code(FB_DIVERGED,
                reader->vtable->read(reader, 3, 10, on_entry, &last, &count, &head, error));
    answer(outside, "XTRIM fb:{f}:log MAXLEN 1");
    assert_code(FB_TRIMMED,
                reader->vtable->read(reader, 0, 10, on_entry, &last, &count, &head, error));
    assert_int_equal(count, 0);
    assert_ok(reader->vtable->read(reader, 1, 10, on_entry, &last, &count, &head, error));
    assert_int_equal(count, 1);
    assert_string_equal(answer(outside, "FUNCTION LIST"), "");
    answer(outside, "FLUSHALL");
    assert_code(FB_DIVERGED,
                reader->vtable->read(reader, 0, 10, on_entry, &last, &count, &head, error));
    assert_string_equal(answer(outside, "DBSIZE"), "0");
    reader->vtable->destroy(reader);
    end(&subject);
}

static void a_strange_list_of_former_epochs_is_read_as_far_as_it_goes(void **state)
{
    (void)state;
    static const struct {
        const char *former;
        unsigned count;
    } cases[] = {
        {"0123abcd 7 89abcdef 3", 2},
        {"0123abcd 7 89abcdef", 1},
        {"0123abcd 7 89abcdef x", 1},
        {"0123abcd 7  89abcdef 3", 1},
        {"0123abc 7", 0},
        {"0123abcd -7", 0},
        {"x", 0},
        {"0123abcd 1 0123abce 1 0123abcf 1 0123abc0 1 0123abc1 1 0123abc2 1 0123abc3 1 0123abc4 1 "
         "0123abc5 1",
         FB_FORMER_MAX},
    };
    subject_t subject = begin(5000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fb_position_t head;
        unsigned count = 0;
        fb_slice_t words[] = {FB_SLICE("HSET"), FB_SLICE("fb:{f}:head"), FB_SLICE("former"),
                              fb_slice(cases[i].former)};
        redisReply *reply;
        assert_ok(fb_redis_link_call(outside, words, 4, &reply, error));
        freeReplyObject(reply);
        assert_ok(subject.store->vtable->head(subject.store, &head, error));
        while (count < FB_FORMER_MAX && head.former[count].epoch[0] != '\0')
            count++;
        assert_int_equal(count, cases[i].count);
    }
    end(&subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories_are_as_redis_cli_shows_them),
        cmocka_unit_test(nothing_that_stands_in_the_place_of_a_history_stops_a_put),
        cmocka_unit_test(an_entry_of_too_many_fields_is_refused_before_anything_is_written),
        cmocka_unit_test(rights_to_histories_that_are_missing_stop_a_commit_before_it_writes),
        cmocka_unit_test(a_key_that_is_no_history_is_told),
        cmocka_unit_test(a_store_that_only_reads_writes_nothing),
        cmocka_unit_test(a_strange_list_of_former_epochs_is_read_as_far_as_it_goes),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
