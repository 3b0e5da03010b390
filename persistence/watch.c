/* SPDX-License-Identifier: MIT */
#include "persistence/watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "persistence/keys.h"
#include "persistence/redis_link.h"

#define SILENCE_MS     1000 /* then a PING; and as much again for its answer */
#define BACKOFF_MS_MIN 10
#define BACKOFF_MS_MAX 1000

struct fb_watch {
    fb_watch_sink_t sink;
    fb_redis_link_t *link;
    char channel[FB_FLEET_NAME_BYTES_MAX + 32];
    int wake_fd;
    atomic_bool stopping;
    bool lost; /* was told to the log */
    pthread_t thread;
};

/* Takes the next word off `text`; false where it is not followed by a blank, or is too long. */
static bool take_word(fb_slice_t *text, char *word, size_t bytes_max)
{
    const char *end = memchr(text->at, ' ', text->len);
    size_t len = end != NULL ? (size_t)(end - text->at) : 0;
    if (end == NULL || len > bytes_max)
        return false;
    memcpy(word, text->at, len);
    word[len] = '\0';
    *text = (fb_slice_t){end + 1, text->len - len - 1};
    return true;
}

/* As take_word, for exactly so many hexadecimal digits, or where `optional` none. */
static bool take_hex(fb_slice_t *text, char *word, size_t digits, bool optional)
{
    return take_word(text, word, digits) && strspn(word, "0123456789abcdef") == strlen(word) &&
           (strlen(word) == digits || (optional && word[0] == '\0'));
}

bool fb_publication_parse(fb_slice_t text, fb_publication_t *publication)
{
    char revision[24];
    fb_entry_t *entry = &publication->entry;
    if (text.len == 0 || !take_hex(&text, publication->epoch, FB_EPOCH_BYTES, false) ||
        !take_word(&text, revision, sizeof(revision) - 1) ||
        !fb_slice_to_u64(fb_slice(revision), INT64_MAX, &entry->revision) ||
        !take_hex(&text, entry->chain, FB_CHAIN_BYTES, false) ||
        !take_hex(&text, entry->sum, FB_SUM_BYTES, true) ||
        !take_hex(&text, entry->command, FB_COMMAND_BYTES, false))
        return false;
    entry->payload = text;
    return true;
}

/* "STALE AUTHOR MICROSECONDS" */
static bool parse_rival(fb_slice_t text, uint32_t *author, uint64_t *took_us)
{
    char kind[8], digits[FB_AUTHOR_BYTES + 1];
    if (text.len == 0 || !take_word(&text, kind, sizeof(kind) - 1) || strcmp(kind, "STALE") != 0 ||
        !take_hex(&text, digits, FB_AUTHOR_BYTES, false) ||
        !fb_slice_to_u64(text, INT64_MAX, took_us))
        return false;
    *author = (uint32_t)strtoul(digits, NULL, 16);
    return true;
}

static void on_message(fb_watch_t *watch, const redisReply *text)
{
    fb_publication_t publication;
    uint32_t author;
    uint64_t took_us;
    bool is_text = text->type == REDIS_REPLY_STRING;
    const fb_slice_t said = {text->str, is_text ? text->len : 0};
    if (fb_publication_parse(said, &publication))
        watch->sink.on_publication(watch->sink.context, &publication);
    else if (parse_rival(said, &author, &took_us))
        watch->sink.on_rival(watch->sink.context, author, took_us);
    else
        watch->sink.on_doubt(watch->sink.context); /* another epoch, or nothing that we know */
}

/* Pushes are arrays of three ("message", "subscribe") or two ("pong"). */
static fb_code_t on_push(fb_watch_t *watch, const redisReply *push, fb_error_t *error)
{
    if (push->type == REDIS_REPLY_ERROR)
        return fb_redis_link_refused(watch->link, (fb_slice_t){push->str, push->len}, error);
    if (push->type != REDIS_REPLY_ARRAY || push->elements < 2 ||
        push->element[0]->type != REDIS_REPLY_STRING)
        return fb_fail(error, FB_UNAVAILABLE, "Redis at %s sends what is no message",
                       fb_redis_link_name(watch->link));
    const char *kind = push->element[0]->str;
    if (push->elements == 3 && strcmp(kind, "message") == 0)
        on_message(watch, push->element[2]);
    else if (push->elements == 3 && strcmp(kind, "subscribe") == 0)
        watch->sink.on_doubt(watch->sink.context); /* from here on, nothing is missed unnoticed */
    return FB_OK;
}

static fb_code_t ping(fb_watch_t *watch, fb_error_t *error)
{
    const fb_slice_t words[] = {FB_SLICE("PING")};
    fb_redis_link_append(watch->link, words, 1);
    return fb_redis_link_flush(watch->link, error);
}

static fb_code_t subscribe(fb_watch_t *watch, fb_error_t *error)
{
    bool fresh;
    fb_redis_link_close(watch->link);
    fb_code_t code = fb_redis_link_open(watch->link, &fresh, error);
    if (code != FB_OK)
        return code;
    const fb_slice_t words[] = {FB_SLICE("SUBSCRIBE"), fb_slice(watch->channel)};
    fb_redis_link_append(watch->link, words, 2);
    return fb_redis_link_flush(watch->link, error);
}

/* Until the connection is lost, or we are to end (FB_OK). */
static fb_code_t listen_on(fb_watch_t *watch, uint64_t *backoff_ms, fb_error_t *error)
{
    bool asked = false; /* for a sign of life */
    fb_code_t code = subscribe(watch, error);
    while (code == FB_OK && !atomic_load(&watch->stopping)) {
        redisReply *push = NULL;
        code = fb_redis_link_await(watch->link, watch->wake_fd, SILENCE_MS, &push, error);
        if (code == FB_OK && push != NULL) {
            code = on_push(watch, push, error);
            asked = false;
            *backoff_ms = code == FB_OK ? BACKOFF_MS_MIN : *backoff_ms;
            if (watch->lost && code == FB_OK)
                fb_log_info("publications of Redis are heard again");
            watch->lost = watch->lost && code != FB_OK;
        } else if (code == FB_OK && asked && !atomic_load(&watch->stopping)) {
            code = fb_fail(error, FB_UNAVAILABLE, "Redis at %s gives no sign of life",
                           fb_redis_link_name(watch->link));
        } else if (code == FB_OK && !atomic_load(&watch->stopping)) {
            code = ping(watch, error);
            asked = true;
        }
        freeReplyObject(push);
    }
    return code;
}

static void *run(void *context)
{
    fb_watch_t *watch = context;
    uint64_t backoff_ms = BACKOFF_MS_MIN;
    while (!atomic_load(&watch->stopping)) {
        fb_error_t error = {0};
        if (listen_on(watch, &backoff_ms, &error) == FB_OK)
            break;
        if (!watch->lost)
            fb_log_warning("publications are not heard, the log is read instead: %s", error.detail);
        watch->lost = true;
        watch->sink.on_doubt(watch->sink.context);
        struct pollfd poller = {.fd = watch->wake_fd, .events = POLLIN};
        poll(&poller, 1, (int)backoff_ms);
        backoff_ms = backoff_ms * 2 < BACKOFF_MS_MAX ? backoff_ms * 2 : BACKOFF_MS_MAX;
    }
    return NULL;
}

static void dispose(fb_watch_t *watch)
{
    if (watch->wake_fd >= 0)
        close(watch->wake_fd);
    fb_redis_link_destroy(&watch->link);
    free(watch);
}

fb_code_t fb_watch_start(const fb_watch_options_t *options, const fb_watch_sink_t *sink,
                         fb_watch_t **watch, fb_error_t *error)
{
    fb_redis_url_t url;
    fb_keys_t keys;
    fb_code_t code = fb_keys_init(&keys, options->fleet, error);
    if (code == FB_OK)
        code = fb_redis_url_parse(options->url, &url, error);
    if (code != FB_OK)
        return code;
    fb_watch_t *self = fb_alloc_zero(1, sizeof(*self));
    self->sink = *sink;
    snprintf(self->channel, sizeof(self->channel), "%sinvalidate", keys.prefix);
    self->link = fb_redis_link_create(&url, options->timeout_ms);
    fb_redis_url_dispose(&url);
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failure = self->wake_fd < 0 ? errno : fb_thread_start(&self->thread, run, self);
    if (failure != 0) {
        dispose(self);
        return fb_fail(error, FB_IO, "cannot watch Redis: %s", strerror(failure));
    }
    *watch = self;
    return FB_OK;
}

void fb_watch_stop(fb_watch_t **watch)
{
    fb_watch_t *gone = *watch;
    *watch = NULL;
    if (gone == NULL)
        return;
    atomic_store(&gone->stopping, true);
    eventfd_write(gone->wake_fd, 1);
    pthread_join(gone->thread, NULL);
    dispose(gone);
}
