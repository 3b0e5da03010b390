/* SPDX-License-Identifier: MIT */
#pragma once

#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "persistence/private_redis.h"
#include "persistence/redis_link.h"
#include "persistence/store_memory.h"
#include "persistence/store_redis.h"
#include "tests/unit/random.h"

/* What the tests of this folder have in common: chance, directories, a Redis of their own, and
 * commits with their chains. */

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        fb_error_t ok_error_ = {0};                                                                \
        fb_error_t *error = &ok_error_;                                                            \
        fb_code_t ok_code_ = (call);                                                               \
        if (ok_code_ != FB_OK)                                                                     \
            fail_msg("%s: %s: %s", #call, fb_code_name(ok_code_), ok_error_.detail);               \
    } while (0)

#define assert_code(expected, call)                                                                \
    do {                                                                                           \
        fb_error_t code_error_ = {0};                                                              \
        fb_error_t *error = &code_error_;                                                          \
        fb_code_t code_ = (call);                                                                  \
        if (code_ != (expected))                                                                   \
            fail_msg("%s: %s: %s", #call, fb_code_name(code_), code_error_.detail);                \
        assert_int_equal(code_error_.code, expected);                                              \
    } while (0)

static inline void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static inline void directory_create(char path[32])
{
    strcpy(path, "/tmp/fleetbit-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static inline int directory_remove_one(const char *path, const struct stat *status, int kind,
                                       struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline void directory_remove(const char *path)
{
    assert_int_equal(nftw(path, directory_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* A link to the Redis of a URL, for a look from the outside. */
static inline fb_redis_link_t *link_create(const char *url)
{
    fb_redis_url_t parsed;
    assert_ok(fb_redis_url_parse(url, &parsed, error));
    return fb_redis_link_create(&parsed, 5000);
}

/* Runs a command, its words parted by single blanks; the reply is the caller's. */
static inline redisReply *ask(fb_redis_link_t *link, const char *command)
{
    fb_slice_t words[16];
    size_t count = 0;
    bool fresh;
    redisReply *reply;
    for (const char *at = command; at != NULL;) {
        size_t len = strcspn(at, " ");
        assert_true(count < 16);
        words[count++] = (fb_slice_t){at, len};
        at = at[len] == ' ' ? at + len + 1 : NULL;
    }
    assert_ok(fb_redis_link_open(link, &fresh, error));
    fb_redis_link_append(link, words, count);
    assert_ok(fb_redis_link_flush(link, error));
    assert_ok(fb_redis_link_reply(link, &reply, error));
    return reply;
}

/* The answer as one text: elements parted by blanks, "-" for nil. Static: until the next call. */
static inline const char *answer(fb_redis_link_t *link, const char *command)
{
    static fb_buffer_t text;
    redisReply *reply = ask(link, command);
    redisReply *all[] = {reply};
    redisReply **elements = reply->type == REDIS_REPLY_ARRAY ? reply->element : all;
    size_t count = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 1;
    fb_buffer_dispose(&text);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fb_buffer_put_char(&text, ' ');
        if (elements[i]->type == REDIS_REPLY_INTEGER)
            fb_buffer_put_i64(&text, elements[i]->integer);
        else if (elements[i]->type == REDIS_REPLY_NIL || elements[i]->str == NULL)
            fb_buffer_put_char(&text, '-');
        else
            fb_buffer_put(&text, elements[i]->str, elements[i]->len);
    }
    fb_buffer_put_char(&text, '\0');
    freeReplyObject(reply);
    return text.at;
}

/* Who waits with the commits that follow; NULL: nobody. */
static const fb_store_waiter_t *waiter;

/* One commit of the payloads upon `*position`, which moves with it if it lands. The command ids
 * are the revisions, but for their first digits, which are `author`. */
static inline fb_code_t commit_texts(fb_store_t *store, fb_position_t *position, unsigned author,
                                     const char *const *payloads, size_t count, fb_error_t *error)
{
    fb_entry_t entries[FB_STORE_BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        fb_entry_t *entry = &entries[i];
        entry->revision = position->revision + 1 + i;
        entry->payload = fb_slice(payloads[i]);
        snprintf(entry->command, sizeof(entry->command), "%08x%024llx", author,
                 (unsigned long long)entry->revision);
        fb_chain_next(i > 0 ? entries[i - 1].chain : position->chain, entry->command,
                      entry->payload, entry->chain);
        snprintf(entry->sum, sizeof(entry->sum), "%016llx", (unsigned long long)entry->revision);
    }
    fb_code_t code = store->vtable->commit(store, position, entries, count, waiter, error);
    if (code == FB_OK) {
        position->revision += count;
        memcpy(position->chain, entries[count - 1].chain, sizeof(position->chain));
        memcpy(position->sum, entries[count - 1].sum, sizeof(position->sum));
    }
    return code;
}

static inline fb_code_t commit_text(fb_store_t *store, fb_position_t *position, const char *payload,
                                    fb_error_t *error)
{
    return commit_texts(store, position, 0, &payload, 1, error);
}
