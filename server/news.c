/* SPDX-License-Identifier: MIT */
#include "server/news.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"

struct fb_news {
    char author[FB_AUTHOR_BYTES + 1];
    void (*on_arrival)(void *context);
    void *context;
    pthread_mutex_t mutex; /* over all below */
    pthread_cond_t arrived;
    fb_buffer_t bytes; /* publications one after the other, each with its payload behind it */
    size_t count;
    bool doubt;
    fb_rival_t rivals[FB_NEWS_RIVALS_MAX];
    unsigned rival_count;
};

static void arrive(fb_news_t *news)
{
    pthread_cond_signal(&news->arrived);
    pthread_mutex_unlock(&news->mutex);
    news->on_arrival(news->context);
}

static void on_publication(void *context, const fb_publication_t *publication)
{
    fb_news_t *news = context;
    fb_slice_t payload = publication->entry.payload;
    if (memcmp(publication->entry.command, news->author, FB_AUTHOR_BYTES) == 0)
        return;
    pthread_mutex_lock(&news->mutex);
    size_t bytes = news->bytes.len + sizeof(*publication) + payload.len;
    if (news->count >= FB_NEWS_MAX || bytes > FB_NEWS_BYTES_MAX) {
        news->doubt = true;
        news->count = 0;
        news->bytes.len = 0;
    } else if (!news->doubt || news->count > 0) {
        fb_buffer_put(&news->bytes, publication, sizeof(*publication));
        fb_buffer_put_slice(&news->bytes, payload);
        news->count++;
    }
    arrive(news);
}

static void on_rival(void *context, uint32_t author, uint64_t took_us)
{
    fb_news_t *news = context;
    pthread_mutex_lock(&news->mutex);
    if (news->rival_count < FB_NEWS_RIVALS_MAX)
        news->rivals[news->rival_count++] = (fb_rival_t){author, took_us};
    arrive(news);
}

static void on_doubt(void *context)
{
    fb_news_t *news = context;
    pthread_mutex_lock(&news->mutex);
    news->doubt = true;
    arrive(news);
}

fb_news_t *fb_news_create(uint32_t author, void (*on_arrival)(void *context), void *context)
{
    fb_news_t *news = fb_alloc_zero(1, sizeof(*news));
    snprintf(news->author, sizeof(news->author), "%08x", author);
    news->on_arrival = on_arrival;
    news->context = context;
    pthread_mutex_init(&news->mutex, NULL);
    pthread_cond_init(&news->arrived, NULL);
    return news;
}

void fb_news_destroy(fb_news_t **news)
{
    fb_news_t *gone = *news;
    *news = NULL;
    if (gone == NULL)
        return;
    pthread_cond_destroy(&gone->arrived);
    pthread_mutex_destroy(&gone->mutex);
    fb_buffer_dispose(&gone->bytes);
    free(gone);
}

fb_watch_sink_t fb_news_sink(fb_news_t *news)
{
    return (fb_watch_sink_t){news, on_publication, on_rival, on_doubt};
}

static bool is_something(const fb_news_t *news)
{
    return news->count > 0 || news->doubt || news->rival_count > 0;
}

bool fb_news_take(fb_news_t *news, fb_news_batch_t *batch)
{
    fb_buffer_t used = batch->bytes;
    used.len = 0;
    *batch = (fb_news_batch_t){.bytes = used};
    pthread_mutex_lock(&news->mutex);
    bool something = is_something(news);
    if (something) {
        batch->bytes = news->bytes;
        batch->doubt = news->doubt;
        batch->rival_count = news->rival_count;
        memcpy(batch->rivals, news->rivals, sizeof(batch->rivals));
        news->bytes = used;
        news->count = 0;
        news->doubt = false;
        news->rival_count = 0;
    }
    pthread_mutex_unlock(&news->mutex);
    return something;
}

bool fb_news_next(fb_news_batch_t *batch, fb_publication_t *publication)
{
    if (batch->at >= batch->bytes.len)
        return false;
    memcpy(publication, batch->bytes.at + batch->at, sizeof(*publication));
    batch->at += sizeof(*publication);
    publication->entry.payload.at = batch->bytes.at + batch->at;
    batch->at += publication->entry.payload.len;
    return true;
}

void fb_news_batch_dispose(fb_news_batch_t *batch)
{
    fb_buffer_dispose(&batch->bytes);
    *batch = (fb_news_batch_t){0};
}

bool fb_news_wait(fb_news_t *news, uint64_t until_ns)
{
    const struct timespec until = fb_clock_timespec(until_ns);
    pthread_mutex_lock(&news->mutex);
    while (!is_something(news)) {
        if (pthread_cond_clockwait(&news->arrived, &news->mutex, CLOCK_MONOTONIC, &until) ==
            ETIMEDOUT)
            break;
    }
    bool something = is_something(news);
    pthread_mutex_unlock(&news->mutex);
    return something;
}
