/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/persistence/redis_subject.h"

/* What survives the end of Redis, and what another run of it means. */

static fb_code_t follow(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    fb_position_t *position = context;
    (void)error;
    assert_int_equal(entry->revision, ++position->revision);
    fb_chain_next(position->chain, entry->command, entry->payload, position->chain);
    assert_string_equal(entry->chain, position->chain);
    return FB_OK;
}

/* Cause: whoever had seen more than a Redis that came back knows would have shown other states
 * under the tokens that are given out next. */
static void the_first_commit_to_another_run_of_redis_begins_an_epoch(void **state)
{
    (void)state;
    is_private = false;
    subject_t subject = begin(5000);
    fb_store_t *other = open_store("f", "", 5000);
    fb_position_t head;
    put(&subject, "[]");
    restart_redis(&subject);
    assert_code(FB_STALE, commit_text(subject.store, &subject.position, "[]", error));
    assert_ok(other->vtable->head(other, &head, error));
    assert_string_not_equal(head.epoch, subject.position.epoch);
    assert_string_equal(head.chain, subject.position.chain);
    assert_int_equal(head.since, 1);
    strcpy(subject.position.epoch, head.epoch);
    put(&subject, "[]");
    /* The next instance finds the epoch of this run. */
    assert_ok(commit_text(other, &subject.position, "[]", error));
    assert_int_equal(subject.position.revision, 3);
    other->vtable->destroy(other);
    end(&subject);
}

/* Cause: a replica that becomes a master keeps its connections. */
static void each_commit_looks_whether_the_head_is_of_its_run(void **state)
{
    (void)state;
    is_private = false;
    subject_t subject = begin(5000);
    fb_position_t head;
    put(&subject, "[]");
    answer(outside, "HSET fb:{f}:head run 0123");
    assert_code(FB_STALE, commit_text(subject.store, &subject.position, "[]", error));
    assert_code(FB_STALE, commit_text(subject.store, &subject.position, "[]", error));
    assert_ok(subject.store->vtable->head(subject.store, &head, error));
    assert_string_not_equal(head.epoch, subject.position.epoch);
    assert_int_equal(head.since, 1);
    strcpy(subject.position.epoch, head.epoch);
    put(&subject, "[]");
    end(&subject);
}

/* Cause: without it, whether Redis has lost something in a restart could not be told. */
static void who_may_not_ask_for_the_run_writes_nothing(void **state)
{
    (void)state;
    is_private = false;
    subject_t subject = begin(5000);
    end(&subject);
    answer(outside, "ACL SETUSER u reset on >pw ~* &* +@all -info");
    subject.store = open_store("f", "?user=u&password=pw", 5000);
    assert_code(FB_UNAVAILABLE, commit_text(subject.store, &subject.position, "[]", error));
    end(&subject);
}

/* Cause: Redis refuses even the readings of a MULTI while it has no memory for writes. */
static void a_redis_without_memory_can_be_read(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    fb_store_t *store = subject.store;
    fb_position_t head, from = subject.position;
    size_t count;
    put(&subject, "[]");
    answer(outside, "CONFIG SET maxmemory 1");
    assert_code(FB_UNAVAILABLE, commit_text(store, &subject.position, "[]", error));
    assert_ok(store->vtable->read(store, 0, 10, follow, &from, &count, &head, error));
    assert_int_equal(count, 1);
    answer(outside, "CONFIG SET maxmemory 0");
    put(&subject, "[]");
    end(&subject);
}

static void a_redis_of_our_own_keeps_its_epoch(void **state)
{
    (void)state;
    is_private = true;
    subject_t subject = begin(5000);
    put(&subject, "[]");
    restart_redis(&subject);
    put(&subject, "[]");
    end(&subject);
}

#define KILLS 6

/* Kills Redis again and again, but each time only once it has answered after the last: on a slow
 * machine a start takes longer than any pause, and one that is killed while it loads its file
 * never gets there. */
static atomic_bool killing, answered;
static atomic_uint kills;

static void *kill_redis(void *context)
{
    chance_t *chance = context;
    while (killing) {
        if (!atomic_exchange(&answered, false)) {
            pause_ms(1);
            continue;
        }
        pause_ms(chance_below(chance, 300));
        pid_t pid = fb_private_redis_pid(redis);
        if (pid > 0 && kill(pid, SIGKILL) == 0)
            kills++;
        /* What it answered before this was its last. */
        while (killing && fb_private_redis_pid(redis) == pid)
            pause_ms(1);
        answered = false;
    }
    return NULL;
}

/* A commit whose outcome is open: looks until it is known whether `hoped` came true. */
static void settle(subject_t *subject, const fb_position_t *hoped)
{
    fb_store_t *store = subject->store;
    fb_position_t head;
    fb_error_t error = {0};
    uint64_t deadline = fb_clock_monotonic_ms() + 30000;
    while (store->vtable->head(store, &head, &error) != FB_OK) {
        assert_int_equal(error.code, FB_UNAVAILABLE);
        assert_true(fb_clock_monotonic_ms() < deadline);
        pause_ms(10);
    }
    if (head.revision == subject->position.revision) {
        assert_string_equal(head.chain, subject->position.chain);
    } else {
        assert_int_equal(head.revision, hoped->revision);
        assert_string_equal(head.chain, hoped->chain);
        subject->position = *hoped;
    }
}

static void what_was_acknowledged_survives_every_kill_of_redis(void **state)
{
    (void)state;
    is_private = true;
    chance_t chance = chance_init();
    subject_t subject = begin(5000);
    fb_store_t *store = subject.store;
    fb_position_t from = subject.position;
    pthread_t killer;
    char padded[2048];
    const char *payloads[FB_STORE_BATCH_MAX];
    unsigned acknowledged = 0, open = 0;
    snprintf(padded, sizeof(padded), "[[\"put\",\"machine\",1,{\"label\":\"%01900d\"}]]", 7);
    for (size_t i = 0; i < FB_STORE_BATCH_MAX; i++)
        payloads[i] = padded;
    chance_t killer_chance = {chance.state ^ 77};
    killing = true;
    answered = false;
    assert_int_equal(pthread_create(&killer, NULL, kill_redis, &killer_chance), 0);
    while (kills < KILLS) {
        fb_error_t error = {0};
        fb_position_t hoped = subject.position;
        size_t count = 1 + chance_below(&chance, chance_below(&chance, 2) ? 3 : 500);
        fb_code_t code = commit_texts(store, &subject.position, 1, payloads, count, &error);
        if (code == FB_OK) {
            acknowledged++;
            answered = true;
            continue;
        }
        if (code != FB_UNAVAILABLE && code != FB_OUTCOME_UNKNOWN)
            fail_msg("%s: %s", fb_code_name(code), error.detail);
        open += code == FB_OUTCOME_UNKNOWN;
        /* Where it would be, had it landed. */
        for (size_t i = 0; i < count; i++) {
            char command[FB_COMMAND_BYTES + 1];
            hoped.revision++;
            snprintf(command, sizeof(command), "%08x%024llx", 1,
                     (unsigned long long)hoped.revision);
            fb_chain_next(hoped.chain, command, fb_slice(padded), hoped.chain);
        }
        settle(&subject, &hoped);
    }
    killing = false;
    pthread_join(killer, NULL);
    settle(&subject, &subject.position);
    print_message("%u commits acknowledged, %u left open, %llu revisions\n", acknowledged, open,
                  (unsigned long long)subject.position.revision);
    assert_true(acknowledged > 0);
    size_t count = 1;
    fb_position_t head;
    while (count > 0)
        assert_ok(
            store->vtable->read(store, from.revision, 1000, follow, &from, &count, &head, error));
    assert_int_equal(from.revision, subject.position.revision);
    assert_string_equal(from.chain, subject.position.chain);
    end(&subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_commit_to_another_run_of_redis_begins_an_epoch),
        cmocka_unit_test(each_commit_looks_whether_the_head_is_of_its_run),
        cmocka_unit_test(who_may_not_ask_for_the_run_writes_nothing),
        cmocka_unit_test(a_redis_without_memory_can_be_read),
        cmocka_unit_test(a_redis_of_our_own_keeps_its_epoch),
        cmocka_unit_test(what_was_acknowledged_survives_every_kill_of_redis),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
