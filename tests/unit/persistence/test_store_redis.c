/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/picture.h"
#include "tests/unit/persistence/redis_subject.h"

/* What is true of the store in Redis alone: its keys and its faults. */

/* The run_id of this Redis, and what follows it. */
static const char *run_id(void)
{
    const char *at = strstr(answer(outside, "INFO server"), "run_id:");
    assert_non_null(at);
    return at + strlen("run_id:");
}

static void keys_are_as_redis_cli_shows_them(void **state)
{
    (void)state;
    char command[200], expected[400];
    subject_t subject = begin(5000);
    put(&subject, one_put);
    put(&subject, "[[\"days\",\"maintenance\",42,\"2026-11-21\",2,1]]");
    snprintf(expected, sizeof(expected),
             "schema 1 epoch %s revision 2 chain %s sum 0000000000000002 since 0 run %.40s "
             "last_id:machine 42 first_day:maintenance 2026-11-21 "
             "last_day:maintenance 2026-11-22",
             subject.position.epoch, subject.position.chain, run_id());
    assert_string_equal(answer(outside, "HGETALL fb:{f}:head"), expected);
    assert_string_equal(answer(outside, "HGETALL fb:{f}:machine:42"), "label Digger 7");
    assert_string_equal(answer(outside, "TYPE fb:{f}:machines"), "string");
    assert_string_equal(answer(outside, "BITPOS fb:{f}:machines 1"), "42");
    assert_string_equal(answer(outside, "BITPOS fb:{f}:maintenance:2026-11-21 1"), "42");
    assert_string_equal(answer(outside, "BITCOUNT fb:{f}:maintenance:2026-11-22"), "1");
    assert_string_equal(answer(outside, "TYPE fb:{f}:log"), "stream");
    assert_string_equal(answer(outside, "DBSIZE"), "6");

    redisReply *entries = ask(outside, "XRANGE fb:{f}:log 1-0 1-0");
    snprintf(command, sizeof(command), "%032x", 1);
    assert_int_equal(entries->elements, 1);
    assert_string_equal(entries->element[0]->element[0]->str, "1-0");
    redisReply *fields = entries->element[0]->element[1];
    assert_int_equal(fields->elements, 8);
    assert_string_equal(fields->element[0]->str, "chain");
    assert_string_equal(fields->element[2]->str, "command");
    assert_string_equal(fields->element[3]->str, command);
    assert_string_equal(fields->element[4]->str, "sum");
    assert_string_equal(fields->element[5]->str, "0000000000000001");
    assert_string_equal(fields->element[6]->str, "change");
    assert_string_equal(fields->element[7]->str, one_put);
    freeReplyObject(entries);
    end(&subject);
}

static void a_row_that_vanished_is_not_loaded(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    put(&subject, one_put);
    put(&subject, "[[\"put\",\"machine\",43,{\"label\":\"b\",\"extra\":\"c\",\"price\":\"\"}]]");
    answer(outside, "DEL fb:{f}:machine:42");
    assert_picture(subject.store, "machine 43: \"b\" - \"\"\nlast machine 43\n");
    end(&subject);
}

static fb_code_t refuse_row(void *context, size_t family, uint32_t id, const fb_slice_t *texts,
                            fb_error_t *error)
{
    (void)context;
    (void)family;
    (void)texts;
    return fb_fail(error, FB_CONFLICT, "not %u", id);
}

static void a_load_that_is_given_up_leaves_the_store_usable(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    fb_buffer_t payload = {0};
    for (unsigned id = 1; id <= 5000; id++)
        fb_buffer_printf(&payload, "%s[\"put\",\"machine\",%u,{\"label\":\"m%u\"}]",
                         id > 1 ? "," : "[", id, id);
    fb_buffer_put(&payload, "]", 2);
    put(&subject, payload.at);
    fb_buffer_dispose(&payload);
    picture_t picture = {0};
    fb_store_sink_t sink = {&picture, refuse_row, picture_on_day, picture_on_last_id, true};
    fb_store_t *store = subject.store;
    assert_code(FB_CONFLICT, store->vtable->load(store, &picture_schema, &sink, error));
    fb_buffer_dispose(&picture.last_ids);
    put(&subject, "[]");
    char *text = picture_of(store);
    assert_non_null(strstr(text, "machine 5000: \"m5000\" - -\n"));
    free(text);
    end(&subject);
}

/* Nothing has happened, and nothing will: `code` and a text of Redis. */
static void assert_refused(subject_t *subject, fb_code_t code, const char *text)
{
    fb_error_t error = {0};
    fb_code_t got = commit_text(subject->store, &subject->position,
                                "[[\"put\",\"machine\",1,{\"label\":\"a\"}],"
                                "[\"days\",\"booked\",1,\"2026-11-21\",2,1]]",
                                &error);
    if (got != code || strstr(error.detail, text) == NULL)
        fail_msg("%s: %s", fb_code_name(got), error.detail);
    assert_string_equal(answer(outside, "EXISTS fb:{f}:machine:1"), "0");
    assert_string_equal(answer(outside, "EXISTS fb:{f}:booked:2026-11-21"), "0");
}

static void keys_of_a_wrong_type_stop_a_commit_before_it_writes(void **state)
{
    (void)state;
    static const char *const keys[] = {"machines", "log", "booked:2026-11-22"};
    for (size_t i = 0; i < 3; i++) {
        char command[100];
        subject_t subject = begin(5000);
        snprintf(command, sizeof(command), "SADD fb:{f}:%s member", keys[i]);
        assert_string_equal(answer(outside, command), "1");
        assert_refused(&subject, FB_CONFIG, keys[i]);
        assert_string_equal(answer(outside, "HGET fb:{f}:head revision"), "0");
        end(&subject);
    }
}

static void a_put_makes_a_row_of_what_was_none(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    assert_string_equal(answer(outside, "SADD fb:{f}:machine:1 member"), "1");
    put(&subject, "[[\"put\",\"machine\",1,{\"label\":\"a\",\"type\":\"crane\"}]]");
    assert_string_equal(answer(outside, "HGET fb:{f}:machine:1 label"), "a");
    /* Other fields, as many as before. */
    put(&subject, "[[\"put\",\"machine\",1,{\"label\":\"b\",\"model\":\"m\"}]]");
    assert_string_equal(answer(outside, "HGET fb:{f}:machine:1 label"), "b");
    assert_string_equal(answer(outside, "HEXISTS fb:{f}:machine:1 type"), "0");
    assert_string_equal(answer(outside, "HLEN fb:{f}:machine:1"), "2");
    end(&subject);
}

static void a_log_ahead_of_its_head_stops_a_commit_before_it_writes(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    assert_string_equal(answer(outside, "XADD fb:{f}:log 1-0 a b"), "1-0");
    assert_refused(&subject, FB_CONFIG, "fb:{f}:log");
    end(&subject);
}

static void a_bit_beyond_what_redis_allows_stops_a_commit_before_it_writes(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    answer(outside, "CONFIG SET proto-max-bulk-len 1048576");
    assert_code(FB_CONFIG, commit_text(subject.store, &subject.position,
                                       "[[\"put\",\"machine\",1,{\"label\":\"a\"}],"
                                       "[\"put\",\"machine\",8388608,{\"label\":\"a\"}]]",
                                       error));
    assert_string_equal(answer(outside, "DBSIZE"), "1");
    put(&subject, "[[\"put\",\"machine\",8388607,{\"label\":\"a\"}]]");
    answer(outside, "CONFIG SET proto-max-bulk-len 536870912");
    end(&subject);
}

static void a_strange_head_is_refused(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "HSET fb:{f}:head schema 2",  "HSET fb:{f}:head epoch x", "HSET fb:{f}:head revision -1",
        "HDEL fb:{f}:head chain",     "HDEL fb:{f}:head schema",  "SET fb:{f}:head text",
        "HSET fb:{f}:head chain 0000"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        subject_t subject = begin(5000);
        fb_store_t *store = subject.store;
        answer(outside, commands[i]);
        assert_code(FB_CONFIG, store->vtable->head(store, &subject.position, error));
        end(&subject);
    }
    subject_t subject = begin(5000);
    answer(outside, "HSET fb:{f}:head schema 2");
    assert_refused(&subject, FB_CONFIG, "another version of fleetbit");
    end(&subject);
}

static void a_head_that_is_gone_is_not_made_anew_beside_its_log(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    fb_store_t *store = subject.store;
    put(&subject, one_put);
    answer(outside, "DEL fb:{f}:head");
    assert_code(FB_STALE, commit_text(store, &subject.position, "[]", error));
    assert_code(FB_CONFIG, store->vtable->head(store, &subject.position, error));
    assert_string_equal(answer(outside, "EXISTS fb:{f}:head"), "0");
    end(&subject);
}

static void a_fleet_that_was_flushed_gets_another_epoch(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    fb_position_t head;
    fb_store_t *store = subject.store;
    put(&subject, one_put);
    answer(outside, "FLUSHALL");
    assert_code(FB_STALE, commit_text(store, &subject.position, "[]", error));
    assert_ok(store->vtable->head(store, &head, error));
    assert_int_equal(head.revision, 0);
    assert_string_not_equal(head.epoch, subject.position.epoch);
    end(&subject);
}

static void a_redis_that_is_not_willing_is_unavailable_and_heals(void **state)
{
    (void)state;
    static const struct {
        const char *before, *text, *after;
    } cases[] = {
        {"CONFIG SET maxmemory 1", "OOM", "CONFIG SET maxmemory 0"},
        {"CONFIG SET min-replicas-to-write 1", "NOREPLICAS", "CONFIG SET min-replicas-to-write 0"},
        {"REPLICAOF 127.0.0.1 1", "READONLY", "REPLICAOF NO ONE"},
        {"FUNCTION FLUSH", "commit.lua is not loaded", "PING"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        subject_t subject = begin(5000);
        answer(outside, cases[i].before);
        assert_refused(&subject, FB_UNAVAILABLE, cases[i].text);
        assert_picture(subject.store, ""); /* it can be read all the same */
        answer(outside, cases[i].after);
        put(&subject, one_put);
        end(&subject);
    }
}

static void rights_that_are_missing_stop_a_commit_before_it_writes(void **state)
{
    (void)state;
    static const char *const commands[] = {"setbit", "hset",    "hlen", "xadd",
                                           "del",    "publish", "xtrim"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char acl[200];
        subject_t subject = begin(5000);
        snprintf(acl, sizeof(acl), "ACL SETUSER u reset on >pw ~* &* +@all -%s", commands[i]);
        assert_string_equal(answer(outside, acl), "OK");
        end(&subject);
        subject.store = open_store("f", "?user=u&password=pw", 5000);
        assert_refused(&subject, FB_UNAVAILABLE, "NOPERM");
        end(&subject);
    }
}

static void who_may_not_load_functions_uses_those_that_are_there(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    answer(outside, "ACL SETUSER u reset on >pw ~fb:{f}:* &fb:{f}:* +@all -function -config");
    end(&subject);
    subject.store = open_store("f", "?user=u&password=pw", 5000);
    put(&subject, one_put);
    end(&subject);
}

static void a_wrong_password_is_told_without_it(void **state)
{
    (void)state;
    fb_position_t head;
    fb_error_t error = {0};
    answer(outside, "ACL SETUSER u reset on >pw ~* &* +@all");
    fb_store_t *store = open_store("f", "?user=u&password=hunter2", 5000);
    assert_int_equal(store->vtable->head(store, &head, &error), FB_UNAVAILABLE);
    assert_non_null(strstr(error.detail, "WRONGPASS"));
    assert_null(strstr(error.detail, "hunter2"));
    store->vtable->destroy(store);
}

static void databases_are_apart(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    fb_store_t *third = open_store("f", "?db=3", 5000), *none = open_store("f", "?db=99", 5000);
    fb_position_t head;
    put(&subject, one_put);
    assert_ok(third->vtable->head(third, &head, error));
    assert_int_equal(head.revision, 0);
    assert_string_not_equal(head.epoch, subject.position.epoch);
    assert_code(FB_CONFIG, none->vtable->head(none, &head, error));
    third->vtable->destroy(third);
    none->vtable->destroy(none);
    end(&subject);
}

static void nobody_there_is_unavailable(void **state)
{
    (void)state;
    fb_position_t head;
    fb_store_t *store;
    fb_store_redis_options_t options = {
        .url = "unix:///nowhere/redis.sock", .fleet = "f", .timeout_ms = 100};
    assert_ok(fb_store_redis_create(&options, &store, error));
    assert_code(FB_UNAVAILABLE, store->vtable->head(store, &head, error));
    assert_code(FB_UNAVAILABLE, store->vtable->head(store, &head, error));
    store->vtable->destroy(store);
    options.fleet = "a b";
    assert_code(FB_CONFIG, fb_store_redis_create(&options, &store, error));
    options = (fb_store_redis_options_t){.url = "nonsense", .fleet = "f", .timeout_ms = 100};
    assert_code(FB_CONFIG, fb_store_redis_create(&options, &store, error));
}

static void a_connection_that_was_cut_while_idle_is_made_again(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    for (unsigned i = 0; i < 3; i++) {
        put(&subject, "[]");
        assert_string_not_equal(answer(outside, "CLIENT KILL TYPE normal SKIPME yes"), "0");
    }
    put(&subject, "[]");
    assert_int_equal(subject.position.revision, 4);
    end(&subject);
}

typedef struct {
    unsigned calls, most; /* then Redis goes on */
    pid_t pid;
} waiting_t;

static uint64_t on_waiting(void *context)
{
    waiting_t *waiting = context;
    if (++waiting->calls == waiting->most)
        assert_int_equal(kill(waiting->pid, SIGCONT), 0);
    return 5000000;
}

static void who_waits_is_called_until_the_answer_is_there(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    waiting_t waiting = {.most = 4, .pid = fb_private_redis_pid(redis)};
    const fb_store_waiter_t caller = {&waiting, on_waiting};
    put(&subject, "[]");
    waiter = &caller;
    assert_int_equal(kill(waiting.pid, SIGSTOP), 0);
    put(&subject, one_put);
    assert_true(waiting.calls >= 4);
    waiting.calls = 0;
    fb_position_t wrong = subject.position;
    wrong.revision++;
    assert_code(FB_STALE, commit_text(subject.store, &wrong, one_put, error));
    assert_true(waiting.calls > 0);
    waiter = NULL;
    end(&subject);
}

static void an_answer_that_does_not_come_leaves_the_outcome_open(void **state)
{
    (void)state;
    for (int waits = 0; waits < 2; waits++) {
        subject_t subject = begin(200);
        fb_store_t *store = subject.store;
        waiting_t waiting = {.pid = fb_private_redis_pid(redis)};
        const fb_store_waiter_t caller = {&waiting, on_waiting};
        fb_position_t before = subject.position;
        put(&subject, "[]");
        assert_int_equal(kill(waiting.pid, SIGSTOP), 0);
        fb_position_t hoped = subject.position;
        waiter = waits ? &caller : NULL;
        assert_code(FB_OUTCOME_UNKNOWN, commit_text(store, &hoped, one_put, error));
        waiter = NULL;
        assert_true(waits ? waiting.calls > 1 : waiting.calls == 0);
        assert_code(FB_UNAVAILABLE, store->vtable->head(store, &before, error));
        assert_int_equal(kill(waiting.pid, SIGCONT), 0);
        pause_ms(100);
        /* It landed after all, and whoever tries again is told. */
        assert_code(FB_STALE, commit_text(store, &subject.position, one_put, error));
        assert_ok(store->vtable->head(store, &before, error));
        assert_int_equal(before.revision, 2);
        end(&subject);
    }
}

static void assert_durability(fb_store_t *store, bool expected, const char *text)
{
    bool fsynced;
    fb_slice_t sentence;
    assert_ok(store->vtable->durability(store, &fsynced, &sentence, error));
    assert_int_equal(fsynced, expected);
    if (memmem(sentence.at, sentence.len, text, strlen(text)) == NULL)
        fail_msg("%.*s", FB_PRINT(sentence));
}

/* After "appendonly yes" Redis keeps nothing until the file that it begins is whole. */
static void wait_for_file(void)
{
    while (strstr(answer(outside, "INFO persistence"), "aof_rewrite_in_progress:0") == NULL ||
           strstr(answer(outside, "INFO persistence"), "aof_rewrite_scheduled:0") == NULL)
        pause_ms(5);
}

static void durability_says_what_the_settings_are_worth(void **state)
{
    (void)state;
    static const struct {
        const char *setting;
        bool fsynced;
        const char *text;
    } cases[] = {
        {"PING", true, "fsynced"},
        {"CONFIG SET aof-load-truncated yes", true, "dropped in silence"},
        {"CONFIG SET aof-load-truncated no", true, "fsynced"},
        {"CONFIG SET appendfsync everysec", false, "two seconds"},
        {"CONFIG SET appendfsync no", false, "appendfsync no"},
        {"CONFIG SET maxmemory-policy allkeys-lru maxmemory 8gb", false, "throws writes away"},
        {"CONFIG SET maxmemory-policy noeviction maxmemory 0", false, "appendfsync no"},
        {"CONFIG SET appendonly no", false, "no save"},
        {"CONFIG SET save 3600_1", false, "save 3600 1"},
        {"CONFIG SET appendonly yes appendfsync always save _", true, "fsynced"},
    };
    subject_t subject = begin(5000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fb_slice_t save[] = {FB_SLICE("CONFIG"), FB_SLICE("SET"), FB_SLICE("save"),
                             FB_SLICE("3600 1")};
        fb_slice_t none[] = {FB_SLICE("CONFIG"), FB_SLICE("SET"), FB_SLICE("save"), FB_SLICE("")};
        redisReply *reply = NULL;
        char plain[200];
        snprintf(plain, sizeof(plain), "%s", cases[i].setting);
        if (strstr(plain, "save 3600_1") != NULL) {
            assert_ok(fb_redis_link_call(outside, save, 4, &reply, error));
        } else {
            if (strstr(plain, " save _") != NULL) {
                *strstr(plain, " save _") = '\0';
                assert_ok(fb_redis_link_call(outside, none, 4, &reply, error));
            }
            assert_string_not_equal(answer(outside, plain), "");
        }
        freeReplyObject(reply);
        assert_durability(subject.store, cases[i].fsynced, cases[i].text);
    }
    wait_for_file();
    end(&subject);
    answer(outside, "ACL SETUSER u reset on >pw ~* &* +@all -config");
    subject.store = open_store("f", "?user=u&password=pw", 5000);
    assert_durability(subject.store, false, "NOPERM");
    end(&subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_redis_cli_shows_them),
        cmocka_unit_test(a_row_that_vanished_is_not_loaded),
        cmocka_unit_test(a_load_that_is_given_up_leaves_the_store_usable),
        cmocka_unit_test(keys_of_a_wrong_type_stop_a_commit_before_it_writes),
        cmocka_unit_test(a_put_makes_a_row_of_what_was_none),
        cmocka_unit_test(a_log_ahead_of_its_head_stops_a_commit_before_it_writes),
        cmocka_unit_test(a_bit_beyond_what_redis_allows_stops_a_commit_before_it_writes),
        cmocka_unit_test(a_strange_head_is_refused),
        cmocka_unit_test(a_head_that_is_gone_is_not_made_anew_beside_its_log),
        cmocka_unit_test(a_fleet_that_was_flushed_gets_another_epoch),
        cmocka_unit_test(a_redis_that_is_not_willing_is_unavailable_and_heals),
        cmocka_unit_test(rights_that_are_missing_stop_a_commit_before_it_writes),
        cmocka_unit_test(who_may_not_load_functions_uses_those_that_are_there),
        cmocka_unit_test(a_wrong_password_is_told_without_it),
        cmocka_unit_test(databases_are_apart),
        cmocka_unit_test(nobody_there_is_unavailable),
        cmocka_unit_test(a_connection_that_was_cut_while_idle_is_made_again),
        cmocka_unit_test(who_waits_is_called_until_the_answer_is_there),
        cmocka_unit_test(an_answer_that_does_not_come_leaves_the_outcome_open),
        cmocka_unit_test(durability_says_what_the_settings_are_worth),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
