/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "persistence/watch.h"
#include "tests/unit/persistence/redis_subject.h"

/* What a watch hears, and when it says that it may have missed something. */

typedef struct {
    pthread_mutex_t mutex;
    unsigned doubts, publications, rivals;
    uint32_t rival;
    uint64_t took_us;
    fb_position_t position; /* of the last publication */
    char payload[200];
} ear_t;

static void on_publication(void *context, const fb_publication_t *publication)
{
    ear_t *ear = context;
    const fb_entry_t *entry = &publication->entry;
    pthread_mutex_lock(&ear->mutex);
    ear->publications++;
    ear->position.revision = entry->revision;
    memcpy(ear->position.epoch, publication->epoch, sizeof(ear->position.epoch));
    memcpy(ear->position.chain, entry->chain, sizeof(ear->position.chain));
    memcpy(ear->position.sum, entry->sum, sizeof(ear->position.sum));
    snprintf(ear->payload, sizeof(ear->payload), "%.*s", FB_PRINT(entry->payload));
    pthread_mutex_unlock(&ear->mutex);
}

static void on_rival(void *context, uint32_t author, uint64_t took_us)
{
    ear_t *ear = context;
    pthread_mutex_lock(&ear->mutex);
    ear->rivals++;
    ear->rival = author;
    ear->took_us = took_us;
    pthread_mutex_unlock(&ear->mutex);
}

static void on_doubt(void *context)
{
    ear_t *ear = context;
    pthread_mutex_lock(&ear->mutex);
    ear->doubts++;
    pthread_mutex_unlock(&ear->mutex);
}

static ear_t copy(ear_t *ear)
{
    pthread_mutex_lock(&ear->mutex);
    ear_t now = *ear;
    pthread_mutex_unlock(&ear->mutex);
    return now;
}

/* Waits until `member` of the ear is `count`. */
#define AWAIT(ear, member, count)                                                                  \
    do {                                                                                           \
        uint64_t deadline_ms_ = fb_clock_monotonic_ms() + 30000;                                   \
        while (copy(ear).member < (count)) {                                                       \
            assert_true(fb_clock_monotonic_ms() < deadline_ms_);                                   \
            pause_ms(1);                                                                           \
        }                                                                                          \
        assert_int_equal(copy(ear).member, count);                                                 \
    } while (0)

static fb_watch_t *watch(ear_t *ear)
{
    fb_watch_t *watch;
    const fb_watch_options_t options = {fb_private_redis_url(redis), "f", 5000};
    const fb_watch_sink_t sink = {ear, on_publication, on_rival, on_doubt};
    *ear = (ear_t){.doubts = 0};
    pthread_mutex_init(&ear->mutex, NULL);
    assert_ok(fb_watch_start(&options, &sink, &watch, error));
    AWAIT(ear, doubts, 1); /* before it was there, anything may have happened */
    return watch;
}

static void every_change_is_published_once(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    ear_t ear;
    fb_watch_t *watching = watch(&ear);
    const char *batch[] = {one_put, "[ ]"};
    assert_ok(commit_texts(subject.store, &subject.position, 7, batch, 2, error));
    AWAIT(&ear, publications, 2);
    assert_string_equal(ear.payload, "[ ]");
    assert_string_equal(ear.position.epoch, subject.position.epoch);
    assert_string_equal(ear.position.chain, subject.position.chain);
    assert_string_equal(ear.position.sum, subject.position.sum);
    assert_int_equal(ear.position.revision, 2);
    fb_watch_stop(&watching);
    assert_null(watching);
    assert_int_equal(ear.doubts, 1);
    end(&subject);
}

static void who_comes_second_is_announced(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    ear_t ear;
    fb_position_t before = subject.position;
    fb_watch_t *watching = watch(&ear);
    const char *texts[] = {one_put};
    put(&subject, "[]");
    assert_code(FB_STALE, commit_texts(subject.store, &before, 0x1234abcd, texts, 1, error));
    AWAIT(&ear, rivals, 1);
    assert_int_equal(ear.rival, 0x1234abcd);
    assert_true(ear.took_us > 0); /* as long as the put before took */
    fb_watch_stop(&watching);
    end(&subject);
}

static void an_epoch_that_begins_is_a_doubt(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    ear_t ear;
    fb_position_t head;
    fb_watch_t *watching = watch(&ear);
    fb_store_t *store = subject.store;
    assert_ok(store->vtable->begin_epoch(store, subject.position.epoch, &head, error));
    AWAIT(&ear, doubts, 2);
    /* It was begun already: nothing happens, and nothing is said. */
    assert_ok(store->vtable->begin_epoch(store, subject.position.epoch, &head, error));
    answer(outside, "PUBLISH fb:{f}:invalidate nonsense");
    AWAIT(&ear, doubts, 3);
    assert_int_equal(ear.publications, 0);
    fb_watch_stop(&watching);
    end(&subject);
}

/* Cause: Redis cuts off who does not keep up, and tells nobody. */
static void who_is_cut_off_knows_at_once_and_listens_again(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    ear_t ear;
    fb_watch_t *watching = watch(&ear);
    assert_string_equal(answer(outside, "CLIENT KILL TYPE pubsub"), "1");
    AWAIT(&ear, doubts, 3); /* cut off; and heard again */
    put(&subject, "[]");
    AWAIT(&ear, publications, 1);
    fb_watch_stop(&watching);
    end(&subject);
}

/* Cause: a peer that vanished, or hangs, never ends the connection. */
static void a_redis_that_hangs_is_given_up(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    ear_t ear;
    fb_watch_t *watching = watch(&ear);
    pid_t pid = fb_private_redis_pid(redis);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    AWAIT(&ear, doubts, 2);
    assert_int_equal(kill(pid, SIGCONT), 0);
    while (copy(&ear).doubts < 3)
        pause_ms(1);
    put(&subject, "[]");
    AWAIT(&ear, publications, 1);
    fb_watch_stop(&watching);
    end(&subject);
}

static void a_silent_connection_is_kept(void **state)
{
    (void)state;
    subject_t subject = begin(5000);
    ear_t ear;
    fb_watch_t *watching = watch(&ear);
    pause_ms(2500); /* beyond a PING and the time for its answer */
    assert_int_equal(copy(&ear).doubts, 1);
    fb_watch_stop(&watching);
    end(&subject);
}

static void a_wrong_url_or_fleet_is_refused(void **state)
{
    (void)state;
    fb_watch_t *none = NULL;
    const fb_watch_sink_t sink = {NULL, on_publication, on_rival, on_doubt};
    fb_watch_options_t options = {"nonsense", "f", 100};
    assert_code(FB_CONFIG, fb_watch_start(&options, &sink, &none, error));
    options = (fb_watch_options_t){"unix:///nowhere", "a b", 100};
    assert_code(FB_CONFIG, fb_watch_start(&options, &sink, &none, error));
    assert_null(none);
    fb_watch_stop(&none);
}

static void what_is_no_publication_is_not_read(void **state)
{
    (void)state;
    static const char whole[] = "0011aabb 42 00000000000000000000000000000001 "
                                "0000000000000003 00000000000000000000000000000002 [1 2]";
    fb_publication_t publication;
    assert_true(fb_publication_parse(fb_slice(whole), &publication));
    assert_int_equal(publication.entry.revision, 42);
    assert_true(fb_slice_is(publication.entry.payload, "[1 2]"));
    /* Cut anywhere before its payload, it is none. */
    for (size_t len = 0; len < sizeof(whole) - sizeof("[1 2]"); len++)
        assert_false(fb_publication_parse((fb_slice_t){whole, len}, &publication));
    for (size_t at = 0; at < sizeof(whole) - sizeof("[1 2]"); at++) {
        char wrong[sizeof(whole)];
        memcpy(wrong, whole, sizeof(whole));
        wrong[at] = 'x';
        assert_false(fb_publication_parse(fb_slice(wrong), &publication));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_is_published_once),
        cmocka_unit_test(who_comes_second_is_announced),
        cmocka_unit_test(an_epoch_that_begins_is_a_doubt),
        cmocka_unit_test(who_is_cut_off_knows_at_once_and_listens_again),
        cmocka_unit_test(a_redis_that_hangs_is_given_up),
        cmocka_unit_test(a_silent_connection_is_kept),
        cmocka_unit_test(a_wrong_url_or_fleet_is_refused),
        cmocka_unit_test(what_is_no_publication_is_not_read),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
