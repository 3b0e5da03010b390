/* SPDX-License-Identifier: MIT */
#include "server/news.h"

#include <pthread.h>
#include <string.h>

#include "tests/unit/random.h"

static unsigned arrivals;

static void on_arrival(void *context)
{
    assert_null(context);
    arrivals++;
}

static void publish(const fb_watch_sink_t *sink, uint64_t revision, const char *payload)
{
    const fb_publication_t publication = {
        .epoch = "0011aabb",
        .entry = {.revision = revision, .payload = fb_slice(payload)},
    };
    sink->on_publication(sink->context, &publication);
}

static void what_arrives_is_taken_in_its_order(void **state)
{
    (void)state;
    fb_news_t *news = fb_news_create(0xaabbccdd, on_arrival, NULL);
    fb_watch_sink_t sink = fb_news_sink(news);
    fb_news_batch_t batch = {.at = 0};
    fb_publication_t publication;
    chance_t chance = chance_init();
    uint64_t put = 0, taken = 0;
    char payload[64];
    arrivals = 0;
    assert_false(fb_news_take(news, &batch));
    while (taken < 5000) {
        for (unsigned i = chance_below(&chance, 9); i > 0; i--) {
            put++;
            snprintf(payload, sizeof(payload), "%.*s%llu", (int)(put % 20), "abcdefghijklmnopqrst",
                     (unsigned long long)put);
            publish(&sink, put, payload);
        }
        assert_int_equal(arrivals, put);
        assert_int_equal(fb_news_take(news, &batch), put > taken);
        assert_false(batch.doubt);
        while (fb_news_next(&batch, &publication)) {
            taken++;
            snprintf(payload, sizeof(payload), "%.*s%llu", (int)(taken % 20),
                     "abcdefghijklmnopqrst", (unsigned long long)taken);
            assert_int_equal(publication.entry.revision, taken);
            assert_string_equal(publication.epoch, "0011aabb");
            assert_true(fb_slice_is(publication.entry.payload, payload));
        }
        assert_int_equal(taken, put);
    }
    fb_news_batch_dispose(&batch);
    fb_news_destroy(&news);
}

static void what_overflows_leaves_a_doubt(void **state)
{
    (void)state;
    fb_news_t *news = fb_news_create(0xaabbccdd, on_arrival, NULL);
    fb_watch_sink_t sink = fb_news_sink(news);
    fb_news_batch_t batch = {.at = 0};
    fb_publication_t publication;
    for (uint64_t i = 0; i <= FB_NEWS_MAX + 5; i++)
        publish(&sink, i, "[]");
    assert_true(fb_news_take(news, &batch));
    assert_true(batch.doubt);
    assert_false(fb_news_next(&batch, &publication));
    publish(&sink, 1, "[]"); /* from here on it goes on */
    assert_true(fb_news_take(news, &batch));
    assert_false(batch.doubt);
    assert_true(fb_news_next(&batch, &publication));

    char *large = calloc(1, (1 << 20) + 1);
    memset(large, 'x', 1 << 20);
    for (uint64_t i = 0; i < (FB_NEWS_BYTES_MAX >> 20) + 1; i++)
        publish(&sink, i, large);
    assert_true(fb_news_take(news, &batch));
    assert_true(batch.doubt);
    assert_int_equal(batch.bytes.len, 0);
    free(large);
    fb_news_batch_dispose(&batch);
    fb_news_destroy(&news);
}

static void what_is_ones_own_is_no_news(void **state)
{
    (void)state;
    fb_news_t *news = fb_news_create(0xaabbccdd, on_arrival, NULL);
    fb_watch_sink_t sink = fb_news_sink(news);
    fb_news_batch_t batch = {.at = 0};
    const fb_publication_t own = {.entry = {.command = "aabbccdd000000000000000000000000"}};
    arrivals = 0;
    sink.on_publication(sink.context, &own);
    assert_int_equal(arrivals, 0);
    assert_false(fb_news_take(news, &batch));
    fb_news_destroy(&news);
}

static void rivals_are_heard_up_to_a_bound(void **state)
{
    (void)state;
    fb_news_t *news = fb_news_create(0xaabbccdd, on_arrival, NULL);
    fb_watch_sink_t sink = fb_news_sink(news);
    fb_news_batch_t batch = {.at = 0};
    for (uint32_t i = 0; i < FB_NEWS_RIVALS_MAX + 9; i++)
        sink.on_rival(sink.context, i, 10 * i);
    assert_true(fb_news_take(news, &batch));
    assert_int_equal(batch.rival_count, FB_NEWS_RIVALS_MAX);
    assert_int_equal(batch.rivals[3].author, 3);
    assert_int_equal(batch.rivals[3].took_us, 30);
    assert_false(batch.doubt);
    assert_false(fb_news_take(news, &batch));
    fb_news_batch_dispose(&batch);
    fb_news_destroy(&news);
}

static void *doubt_later(void *context)
{
    const fb_watch_sink_t *sink = context;
    sink->on_doubt(sink->context);
    return NULL;
}

static void who_waits_is_woken_or_gives_up(void **state)
{
    (void)state;
    fb_news_t *news = fb_news_create(0xaabbccdd, on_arrival, NULL);
    fb_watch_sink_t sink = fb_news_sink(news);
    pthread_t thread;
    assert_false(fb_news_wait(news, fb_clock_monotonic_ns() + 1000000));
    assert_int_equal(pthread_create(&thread, NULL, doubt_later, &sink), 0);
    assert_true(fb_news_wait(news, fb_clock_monotonic_ns() + 60000000000));
    pthread_join(thread, NULL);
    assert_true(fb_news_wait(news, 0));
    fb_news_destroy(&news);
    fb_news_destroy(&news);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_arrives_is_taken_in_its_order),
        cmocka_unit_test(what_overflows_leaves_a_doubt),
        cmocka_unit_test(what_is_ones_own_is_no_news),
        cmocka_unit_test(rivals_are_heard_up_to_a_bound),
        cmocka_unit_test(who_waits_is_woken_or_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
