/* SPDX-License-Identifier: MIT */
#include "tests/unit/server/access_fixture.h"

#include <pthread.h>

#define SMALL   ((size_t)4096)
#define STEPS   200000
#define THREADS 300000

/* What the texts of the record with a number are: bytes, lengths and all follow from it. */
typedef struct {
    char id[FB_ACCESS_ID_BYTES_MAX], method[64], target[3000], traceparent[FB_TRACEPARENT_BYTES];
    fb_client_t client;
    fb_access_t access;
} sample_t;

static void make_sample(sample_t *sample, uint64_t number)
{
    chance_t chance = {number};
    sample->access = usual_access();
    sample->access.id = (fb_slice_t){sample->id, chance_below(&chance, sizeof(sample->id) + 1)};
    sample->access.method = (fb_slice_t){sample->method, chance_below(&chance, 12)};
    if (chance_below(&chance, 50) == 0)
        sample->access.method.len = chance_below(&chance, sizeof(sample->method) + 1);
    sample->access.target = (fb_slice_t){sample->target, chance_below(&chance, 60)};
    if (chance_below(&chance, 20) == 0)
        sample->access.target.len = chance_below(&chance, sizeof(sample->target) + 1);
    memset(sample->id, 'a' + (int)(number % 26), sizeof(sample->id));
    memset(sample->method, 'A' + (int)(number % 26), sizeof(sample->method));
    for (size_t i = 0; i < sample->access.target.len; i++)
        sample->target[i] = (char)(number + i);
    sample->client = (fb_client_t){.len = (uint8_t)chance_below(&chance, FB_CLIENT_BYTES)};
    memset(sample->client.text, '0' + (int)(number % 10), sample->client.len);
    sample->access.client = &sample->client;
    sample->access.traceparent = number % 3 == 0 ? sample->traceparent : NULL;
    memset(sample->traceparent, 'a' + (int)(number % 5), sizeof(sample->traceparent));
    sample->access.body_bytes = number;
    sample->access.status = (unsigned)(number % 1000);
}

static size_t at_most(size_t len, size_t most)
{
    return len < most ? len : most;
}

static void assert_text(const char *at, const char *expected, size_t len)
{
    assert_memory_equal(at, expected, len);
    for (size_t i = len; i < fb_access_padded(len); i++)
        assert_int_equal(at[i], '0');
}

static void assert_record(const fb_access_record_t *record, uint64_t number)
{
    static sample_t sample;
    make_sample(&sample, number);
    const fb_access_t *access = &sample.access;
    size_t target_len = at_most(access->target.len, FB_ACCESS_TARGET_BYTES_MAX);
    size_t method_len = at_most(access->method.len, FB_ACCESS_METHOD_BYTES_MAX);
    assert_int_equal(record->ended_ns, number);
    assert_int_equal(record->duration_ns, 12345);
    assert_int_equal(record->body_bytes, number);
    assert_int_equal(record->status, number % 1000);
    assert_int_equal(record->version, 0x101);
    assert_int_equal(record->route, 1);
    assert_int_equal(record->client_len, sample.client.len);
    assert_int_equal(record->id_len, access->id.len);
    assert_int_equal(record->target_bytes, access->target.len);
    assert_int_equal(record->method_len,
                     at_most(access->method.len, FB_ACCESS_METHOD_BYTES_MAX + 1));
    const char *at = record->texts;
    assert_memory_equal(at, sample.client.text, sample.client.len);
    at += fb_access_client_room(sample.client.len);
    assert_text(at, sample.id, access->id.len);
    at += fb_access_padded(access->id.len);
    assert_text(at, sample.target, target_len);
    at += fb_access_padded(target_len);
    uint64_t word = 0;
    if (method_len <= 8)
        memcpy(&word, sample.method, method_len);
    else
        assert_memory_equal(at, sample.method, method_len);
    assert_int_equal(record->method, word);
    assert_int_equal(record->has_traceparent, number % 3 == 0);
    if (method_len > 8)
        at += FB_ACCESS_METHOD_BYTES_MAX;
    if (record->has_traceparent) {
        assert_text(at, sample.traceparent, FB_TRACEPARENT_BYTES);
        at += FB_ACCESS_TRACE_ROOM;
    }
    assert_ptr_equal(at, (const char *)record + record->size);
}

static void a_small_ring_keeps_all_texts_whole_and_in_order(void **state)
{
    (void)state;
    static sample_t sample;
    chance_t chance = chance_init();
    fb_access_ring_t *ring = fb_access_ring_create(SMALL);
    uint64_t put = 0, taken = 0, dropped = 0;
    for (int i = 0; i < STEPS; i++) {
        if (chance_below(&chance, 2) == 0) {
            make_sample(&sample, put);
            put_access(ring, &sample.access, put);
            uint64_t count = fb_count_read(&ring->dropped);
            put += count == dropped ? 1 : 0;
            dropped = count;
            continue;
        }
        fb_access_ring_look(ring);
        const fb_access_record_t *record = fb_access_ring_first(ring);
        assert_int_equal(record != NULL, taken < put);
        if (record == NULL)
            continue;
        assert_record(record, taken++);
        fb_access_ring_pass(ring, record);
    }
    assert_true(taken > STEPS / 3);
    assert_true(dropped > 100);
    fb_access_ring_destroy(&ring);
    assert_null(ring);
}

static void a_full_ring_drops_and_counts_until_there_is_room(void **state)
{
    (void)state;
    fb_access_ring_t *ring = fb_access_ring_create(SMALL);
    fb_access_t access = usual_access();
    uint64_t number = 0;
    while (fb_count_read(&ring->dropped) == 0)
        put_access(ring, &access, number++);
    assert_in_range(number, 10, SMALL / sizeof(fb_access_record_t));
    put_access(ring, &access, 1000);
    assert_int_equal(fb_count_read(&ring->dropped), 2);
    fb_access_ring_look(ring);
    for (uint64_t i = 0; i < 2; i++) {
        assert_int_equal(fb_access_ring_first(ring)->ended_ns, i);
        fb_access_ring_pass(ring, fb_access_ring_first(ring));
    }
    put_access(ring, &access, 2000);
    assert_int_equal(fb_count_read(&ring->dropped), 2);
    fb_access_ring_look(ring);
    uint64_t last = 0;
    for (const fb_access_record_t *record; (record = fb_access_ring_first(ring)) != NULL;) {
        last = record->ended_ns;
        fb_access_ring_pass(ring, record);
    }
    assert_int_equal(last, 2000);
    fb_access_ring_destroy(&ring);
}

static void what_is_begun_is_not_seen_before_its_end(void **state)
{
    (void)state;
    fb_access_ring_t *ring = fb_access_ring_create(SMALL);
    fb_access_t access = usual_access();
    fb_access_ring_begin(ring, &access);
    fb_access_ring_look(ring);
    assert_null(fb_access_ring_first(ring));
    fb_access_ring_end(ring, 7, 8);
    assert_null(fb_access_ring_first(ring));
    fb_access_ring_look(ring);
    assert_int_equal(fb_access_ring_first(ring)->ended_ns, 7);
    assert_int_equal(fb_access_ring_first(ring)->duration_ns, 8);
    fb_access_ring_destroy(&ring);
}

static void *produce(void *context)
{
    static sample_t sample;
    fb_access_ring_t *ring = context;
    for (uint64_t i = 0; i < THREADS; i++) {
        make_sample(&sample, i);
        put_access(ring, &sample.access, i);
    }
    return NULL;
}

static void two_threads_lose_nothing_that_is_not_counted(void **state)
{
    (void)state;
    pthread_t producer;
    fb_access_ring_t *ring = fb_access_ring_create(SMALL * 16);
    uint64_t taken = 0, next = 0, seen = 0;
    assert_int_equal(pthread_create(&producer, NULL, produce, ring), 0);
    while (taken + seen < THREADS) {
        seen = fb_count_read(&ring->dropped);
        fb_access_ring_look(ring);
        for (const fb_access_record_t *record; (record = fb_access_ring_first(ring)) != NULL;) {
            assert_in_range(record->ended_ns, next, THREADS - 1);
            assert_record(record, record->ended_ns);
            next = record->ended_ns + 1;
            taken++;
            fb_access_ring_pass(ring, record);
        }
    }
    pthread_join(producer, NULL);
    assert_int_equal(taken + fb_count_read(&ring->dropped), THREADS);
    assert_true(taken > 0);
    fb_access_ring_destroy(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_ring_keeps_all_texts_whole_and_in_order),
        cmocka_unit_test(a_full_ring_drops_and_counts_until_there_is_room),
        cmocka_unit_test(what_is_begun_is_not_seen_before_its_end),
        cmocka_unit_test(two_threads_lose_nothing_that_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
