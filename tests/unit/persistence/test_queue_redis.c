/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "tests/unit/persistence/picture.h"
#include "tests/unit/persistence/redis_subject.h"

/* What is true in Redis alone of queues and of the operations that came with them: their keys,
 * their faults, and what survives a loss. */

static const fb_queue_t ann = {"orders", "ann"}, bob = {"orders", "bob"};

static void take(subject_t *subject, const fb_queue_t *who, const char *expected)
{
    fb_queue_job_t jobs[10];
    size_t count;
    fb_buffer_t text = {0};
    fb_store_t *store = subject->store;
    assert_ok(store->vtable->queue_take(store, who, 10, jobs, &count, error));
    for (size_t i = 0; i < count; i++)
        fb_buffer_printf(&text, "%s%u", i > 0 ? " " : "", jobs[i].id);
    fb_buffer_put_char(&text, '\0');
    assert_string_equal(text.at, expected);
    fb_buffer_dispose(&text);
}

static void assert_info(subject_t *subject, uint64_t length, uint64_t pending)
{
    fb_queue_info_t info;
    assert_ok(subject->store->vtable->queue_info(subject->store, &ann, &info, error));
    assert_int_equal(info.length, length);
    assert_int_equal(info.pending, pending);
}

static const char job_7[] = "[[\"queue\",\"orders\",7]]";

static void keys_are_as_redis_cli_shows_them(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    put(&subject, "[[\"put\",\"order\",7,{\"status\":\"PENDING\"}],[\"queue\",\"orders\",7]]");
    assert_string_equal(answer(outside, "HGETALL fb:{f}:order:7"), "status PENDING");
    assert_string_equal(answer(outside, "BITPOS fb:{f}:order_ids 1"), "7");
    assert_string_equal(answer(outside, "HGET fb:{f}:head last_id:order"), "7");
    redisReply *entries = ask(outside, "XRANGE fb:{f}:orders - +");
    assert_int_equal(entries->elements, 1);
    assert_int_equal(entries->element[0]->element[1]->elements, 2);
    assert_string_equal(entries->element[0]->element[1]->element[0]->str, "id");
    assert_string_equal(entries->element[0]->element[1]->element[1]->str, "7");
    freeReplyObject(entries);
    take(&subject, &ann, "7");
    assert_string_equal(answer(outside, "XGROUP DESTROY fb:{f}:orders orders"), "1");
    put(&subject, "[[\"archive\",\"order\",7]]");
    assert_string_equal(answer(outside, "EXISTS fb:{f}:order:7"), "1");
    assert_string_equal(answer(outside, "GETBIT fb:{f}:order_ids 7"), "0");
    assert_string_equal(answer(outside, "HGET fb:{f}:head archived:order"), "1");
    end(&subject);
}

static void a_day_that_nobody_has_needs_no_key(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    put(&subject, "[[\"days\",\"booked\",[1,2,1000],\"2026-11-21\",2,1]]");
    put(&subject, "[[\"days\",\"booked\",[1,2],\"2026-11-21\",1,0]]");
    put(&subject, "[[\"days\",\"booked\",[1,2,1000],\"2026-11-22\",2,0]]");
    assert_string_equal(answer(outside, "BITPOS fb:{f}:booked:2026-11-21 1"), "1000");
    assert_string_equal(answer(outside, "EXISTS fb:{f}:booked:2026-11-22"), "0");
    assert_string_equal(answer(outside, "EXISTS fb:{f}:booked:2026-11-23"), "0");
    /* Enough of them for a mask. */
    for (int bit = 1; bit >= 0; bit--) {
        fb_buffer_t payload = {0};
        for (int id = 1; id < 100; id += 2)
            fb_buffer_printf(&payload, "%s%d", id > 1 ? "," : "[[\"days\",\"booked\",[", id);
        fb_buffer_printf(&payload, "],\"2026-11-22\",2,%d]]", bit);
        fb_buffer_put_char(&payload, '\0');
        put(&subject, payload.at);
        fb_buffer_dispose(&payload);
        assert_string_equal(answer(outside, "DBSIZE"), bit == 1 ? "5" : "3");
    }
    end(&subject);
}

/* --- two at once -------------------------------------------------------------------------- */

#define JOBS_MAX 600
#define IDLE_MS  400

typedef struct {
    fb_store_t *store;
    fb_queue_t who;
    bool was_slow; /* so that others may have taken it for dead */
    unsigned char seen[JOBS_MAX + 1];
} claimer_t;

static void *claim_all(void *context)
{
    claimer_t *claimer = context;
    fb_store_t *store = claimer->store;
    size_t count = 1;
    while (count > 0) {
        fb_queue_job_t jobs[7];
        uint64_t begun_ms = fb_clock_monotonic_ms();
        assert_ok(
            store->vtable->queue_claim(store, &claimer->who, IDLE_MS, 7, jobs, &count, error));
        for (size_t i = 0; i < count; i++)
            claimer->seen[jobs[i].id]++;
        assert_ok(store->vtable->queue_done(store, &claimer->who, jobs, count, error));
        claimer->was_slow |= fb_clock_monotonic_ms() - begun_ms >= IDLE_MS;
    }
    return NULL;
}

static void two_that_claim_at_once_get_each_job_once(void **state)
{
    (void)state;
    bool was_slow = true;
    while (was_slow) {
        subject_t subject = begin(5000);
        fb_store_t *store = subject.store;
        fb_queue_job_t jobs[JOBS_MAX];
        size_t count;
        pthread_t threads[2];
        claimer_t claimers[2] = {{.store = open_store("f", "", 5000), .who = ann},
                                 {.store = open_store("f", "", 5000), .who = bob}};
        fb_buffer_t payload = {0};
        for (unsigned id = 1; id <= JOBS_MAX; id++)
            fb_buffer_printf(&payload, "%s[\"queue\",\"orders\",%u]", id > 1 ? "," : "[", id);
        fb_buffer_put(&payload, "]", 2);
        put(&subject, payload.at);
        fb_buffer_dispose(&payload);
        const fb_queue_t dead = {"orders", "dead"};
        assert_ok(store->vtable->queue_take(store, &dead, JOBS_MAX, jobs, &count, error));
        assert_int_equal(count, JOBS_MAX);
        pause_ms(IDLE_MS);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, claim_all, &claimers[i]), 0);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        was_slow = claimers[0].was_slow || claimers[1].was_slow;
        for (unsigned id = 1; id <= JOBS_MAX && !was_slow; id++)
            assert_int_equal(claimers[0].seen[id] + claimers[1].seen[id], 1);
        assert_info(&subject, 0, 0);
        for (size_t i = 0; i < 2; i++)
            claimers[i].store->vtable->destroy(claimers[i].store);
        end(&subject);
    }
}

static void who_is_dead_and_has_nothing_is_forgotten(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    fb_store_t *store = subject.store;
    fb_queue_job_t jobs[10];
    size_t count;
    put(&subject, job_7);
    take(&subject, &ann, "7");
    for (size_t left = 2; left >= 1; left--) { /* her job first, then herself */
        assert_ok(store->vtable->queue_claim(store, &bob, 0, 10, jobs, &count, error));
        redisReply *consumers = ask(outside, "XINFO CONSUMERS fb:{f}:orders orders");
        assert_int_equal(consumers->elements, left);
        freeReplyObject(consumers);
    }
    end(&subject);
}

/* --- losses ------------------------------------------------------------------------------- */

static void a_queue_that_is_gone_is_made_again(void **state)
{
    (void)state;
    static const char *const losses[] = {"FLUSHALL", "DEL fb:{f}:orders",
                                         "XGROUP DESTROY fb:{f}:orders orders"};
    for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
        subject_t subject = begin(5000);
        fb_store_t *store = subject.store;
        fb_queue_job_t jobs[10] = {{{1, 1}, 1}};
        size_t count;
        put(&subject, job_7);
        take(&subject, &ann, "7");
        answer(outside, losses[i]);
        assert_ok(store->vtable->queue_done(store, &ann, jobs, 1, error));
        answer(outside, "DEL fb:{f}:orders");
        assert_ok(store->vtable->queue_leave(store, &ann, error));
        answer(outside, "DEL fb:{f}:orders");
        assert_info(&subject, 0, 0);
        assert_ok(store->vtable->queue_claim(store, &ann, 0, 10, jobs, &count, error));
        answer(outside, "DEL fb:{f}:orders");
        assert_string_not_equal(answer(outside, "XADD fb:{f}:orders * id 8"), "");
        assert_info(&subject, 1, 0);
        take(&subject, &ann, "8");
        end(&subject);
    }
}

static void what_somebody_has_survives_the_end_of_redis(void **state)
{
    (void)state;
    is_private = true;
    subject_t subject = begin(5000);
    fb_store_t *store = subject.store;
    fb_queue_job_t jobs[10];
    size_t count;
    put(&subject, "[[\"queue\",\"orders\",1],[\"queue\",\"orders\",2],[\"queue\",\"orders\",3]]");
    assert_ok(store->vtable->queue_take(store, &ann, 2, jobs, &count, error));
    restart_redis(&subject);
    assert_info(&subject, 3, 2);
    take(&subject, &bob, "3");
    take(&subject, &ann, "");
    restart_redis(&subject);
    take(&subject, &ann, "1 2"); /* an answer may have been lost: once more */
    take(&subject, &ann, "");
    assert_ok(store->vtable->queue_done(store, &ann, jobs, 2, error));
    restart_redis(&subject);
    assert_info(&subject, 1, 1);
    assert_ok(store->vtable->queue_claim(store, &ann, 0, 10, jobs, &count, error));
    assert_int_equal(count, 1);
    assert_int_equal(jobs[0].id, 3);
    is_private = false;
    end(&subject);
}

/* Cause: they would be the consumer's, who knows nothing of them, as long as he lives. */
static void jobs_of_a_lost_answer_come_again(void **state)
{
    (void)state;
    subject_t subject = begin(200);
    fb_store_t *store = subject.store;
    fb_queue_job_t jobs[FB_QUEUE_PAGE_MAX];
    size_t count;
    pid_t pid = fb_private_redis_pid(redis);
    put(&subject, job_7);
    take(&subject, &ann, "7");
    put(&subject, "[[\"queue\",\"orders\",8],[\"queue\",\"orders\",9]]");
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_code(FB_UNAVAILABLE, store->vtable->queue_take(store, &ann, 10, jobs, &count, error));
    assert_int_equal(count, 0);
    assert_int_equal(kill(pid, SIGCONT), 0);
    /* It has run by the time it answers others: "3 pending, from, to, whose". */
    while (strncmp(answer(outside, "XPENDING fb:{f}:orders orders"), "3 ", 2) != 0)
        pause_ms(1);
    put(&subject, "[[\"queue\",\"orders\",10]]");
    assert_ok(store->vtable->queue_take(store, &ann, 2, jobs, &count, error));
    assert_int_equal(count, 2);
    assert_int_equal(jobs[1].id, 8);
    take(&subject, &ann, "9 10");
    take(&subject, &ann, "");
    end(&subject);
}

/* --- faults ------------------------------------------------------------------------------- */

static void what_is_no_job_is_done_away_with(void **state)
{
    (void)state;
    static const char *const entries[] = {
        "a b",   "id x",  "id 0",   "id 4294967296", "id ",    "id 7 b c",
        "id -1", "id 07", "id 1.5", "ID 7",          "id 1e3", "id 99999999999999999999"};
    subject_t subject = begin(5000);
    fb_store_t *store = subject.store;
    fb_queue_job_t jobs[100];
    size_t count;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
            char command[100];
            snprintf(command, sizeof(command), "XADD fb:{f}:orders * %s", entries[i]);
            assert_non_null(strchr(answer(outside, command), '-'));
        }
        put(&subject, job_7);
        if (round == 0) {
            assert_ok(store->vtable->queue_take(store, &ann, 100, jobs, &count, error));
        } else { /* somebody else has read them */
            freeReplyObject(ask(outside, "XREADGROUP GROUP orders eve STREAMS fb:{f}:orders >"));
            assert_ok(store->vtable->queue_claim(store, &ann, 0, 100, jobs, &count, error));
        }
        assert_int_equal(count, 1);
        assert_int_equal(jobs[0].id, 7);
        assert_info(&subject, 1, 1);
        assert_ok(store->vtable->queue_done(store, &ann, jobs, 1, error));
    }
    end(&subject);
}

static void a_key_that_is_no_queue_is_told(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    fb_store_t *store = subject.store;
    fb_queue_job_t jobs[10] = {{{1, 1}, 1}};
    fb_queue_info_t info;
    size_t count;
    assert_string_equal(answer(outside, "SET fb:{f}:orders text"), "OK");
    assert_code(FB_CONFIG, store->vtable->queue_take(store, &ann, 10, jobs, &count, error));
    assert_code(FB_CONFIG, store->vtable->queue_claim(store, &ann, 0, 10, jobs, &count, error));
    assert_code(FB_CONFIG, store->vtable->queue_done(store, &ann, jobs, 1, error));
    assert_code(FB_CONFIG, store->vtable->queue_leave(store, &ann, error));
    assert_code(FB_CONFIG, store->vtable->queue_info(store, &ann, &info, error));
    assert_string_equal(answer(outside, "GET fb:{f}:orders"), "text");
    assert_string_equal(answer(outside, "DEL fb:{f}:orders"), "1");
    put(&subject, job_7); /* no answer was left over */
    take(&subject, &ann, "7");
    end(&subject);
}

/* The commit fails, and has written nothing. */
static void assert_refused(subject_t *subject, fb_code_t code, const char *payload)
{
    assert_code(code, commit_text(subject->store, &subject->position, payload, error));
    assert_string_equal(answer(outside, "EXISTS fb:{f}:log fb:{f}:machine:1"), "0");
    assert_string_equal(answer(outside, "HGET fb:{f}:head revision"), "0");
}

static const char all_kinds[] = "[[\"put\",\"machine\",1,{\"label\":\"a\"}],"
                                "[\"days\",\"booked\",[1,2],\"2026-11-21\",2,1],"
                                "[\"archive\",\"machine\",[1,2]],[\"queue\",\"orders\",7]]";

static void keys_that_are_in_the_way_stop_a_commit_before_it_writes(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "SET fb:{f}:orders text",
        "SADD fb:{f}:orders member",
        "XADD fb:{f}:orders 18446744073709551615-1 id 1",
        "SADD fb:{f}:machines member",
        "SADD fb:{f}:booked:2026-11-22 member",
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        subject_t subject = begin(5000);
        answer(outside, commands[i]);
        assert_refused(&subject, FB_CONFIG, all_kinds);
        end(&subject);
    }
}

static void rights_that_are_missing_stop_a_commit_before_it_writes(void **state)
{
    (void)state;
    static const char *const rights[] = {"~* -xadd",
                                         "~* -bitfield",
                                         "~* -bitop",
                                         "~* -strlen",
                                         "~* -xinfo|stream",
                                         "~* -exists",
                                         "~fb:{f}:head ~fb:{f}:log ~fb:{f}:m* ~fb:{f}:b*"};
    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        char acl[200];
        subject_t subject = begin(5000);
        end(&subject);
        snprintf(acl, sizeof(acl), "ACL SETUSER u reset on >pw &* +@all %s", rights[i]);
        assert_string_equal(answer(outside, acl), "OK");
        subject.store = open_store("f", "?user=u&password=pw", 5000);
        assert_refused(&subject, FB_UNAVAILABLE, all_kinds);
        end(&subject);
    }
}

static void who_may_not_load_the_library_uses_the_one_that_is_there(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    put(&subject, job_7);
    answer(outside, "FUNCTION FLUSH");
    answer(outside, "ACL SETUSER u reset on >pw ~fb:{f}:* &fb:{f}:* +@all -function -config");
    fb_store_t *store = open_store("f", "?user=u&password=pw", 5000);
    fb_queue_job_t jobs[10];
    size_t count;
    assert_code(FB_UNAVAILABLE, store->vtable->queue_take(store, &bob, 10, jobs, &count, error));
    take(&subject, &ann, "7");
    assert_ok(store->vtable->queue_take(store, &bob, 10, jobs, &count, error));
    assert_int_equal(count, 0);
    store->vtable->destroy(store);
    end(&subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_as_redis_cli_shows_them),
        cmocka_unit_test(a_day_that_nobody_has_needs_no_key),
        cmocka_unit_test(two_that_claim_at_once_get_each_job_once),
        cmocka_unit_test(who_is_dead_and_has_nothing_is_forgotten),
        cmocka_unit_test(a_queue_that_is_gone_is_made_again),
        cmocka_unit_test(what_somebody_has_survives_the_end_of_redis),
        cmocka_unit_test(jobs_of_a_lost_answer_come_again),
        cmocka_unit_test(what_is_no_job_is_done_away_with),
        cmocka_unit_test(a_key_that_is_no_queue_is_told),
        cmocka_unit_test(keys_that_are_in_the_way_stop_a_commit_before_it_writes),
        cmocka_unit_test(rights_that_are_missing_stop_a_commit_before_it_writes),
        cmocka_unit_test(who_may_not_load_the_library_uses_the_one_that_is_there),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
