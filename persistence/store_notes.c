/* SPDX-License-Identifier: MIT */
#include "persistence/store_redis_internal.h"

#include <stdio.h>

#include "base/assert.h"
#include "persistence/embedded.h"

/* Reading of notes does without the library; and its functions need no epoch. */
static fb_code_t open_for_leases(fb_store_redis_t *self, fb_error_t *error)
{
    fb_code_t code = fb_store_redis_open(self, error);
    if (code != FB_OK || self->has_leases)
        return code;
    code = fb_store_redis_load_library(self, fb_embedded_lease_lua(), error);
    self->has_leases = code == FB_OK;
    return code;
}

/* Calls one of lease.lua; what it answers is a number. */
static fb_code_t call(fb_store_redis_t *self, const char *function, const fb_lease_t *lease,
                      fb_slice_t ms, bool *is_one, fb_error_t *error)
{
    fb_buffer_t key = {0};
    redisReply *reply = NULL;
    fb_keys_put(&self->keys, &key, lease->name);
    const fb_slice_t words[] = {
        FB_SLICE("FCALL"),     fb_slice(function),     FB_SLICE("1"),
        fb_buffer_slice(&key), fb_slice(lease->owner), ms,
    };
    fb_code_t code = open_for_leases(self, error);
    if (code == FB_OK)
        code = fb_redis_link_call(self->link, words, ms.len > 0 ? 6 : 5, &reply, error);
    *is_one = code == FB_OK && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    freeReplyObject(reply);
    fb_buffer_dispose(&key);
    return code;
}

fb_code_t fb_store_redis_lease_take(fb_store_t *store, const fb_lease_t *lease, bool *is_held,
                                    fb_error_t *error)
{
    char ms[24];
    fb_assert(lease->ms > 0);
    snprintf(ms, sizeof(ms), "%llu", (unsigned long long)lease->ms);
    return call(fb_store_redis(store), "fleetbit_lease_take_1", lease, fb_slice(ms), is_held,
                error);
}

fb_code_t fb_store_redis_lease_leave(fb_store_t *store, const fb_lease_t *lease, fb_error_t *error)
{
    bool was_held;
    return call(fb_store_redis(store), "fleetbit_lease_leave_1", lease, (fb_slice_t){0}, &was_held,
                error);
}

fb_code_t fb_store_redis_notes_put(fb_store_t *store, const fb_notes_t *notes,
                                   const fb_slice_t *texts, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    fb_slice_t words[2 + 2 * FB_NOTES_MAX];
    fb_buffer_t key = {0};
    redisReply *reply = NULL;
    fb_assert(notes->count >= 1 && notes->count <= FB_NOTES_MAX);
    fb_keys_put(&self->keys, &key, notes->name);
    words[0] = FB_SLICE("HSET");
    words[1] = fb_buffer_slice(&key);
    for (size_t i = 0; i < notes->count; i++) {
        words[2 + 2 * i] = fb_slice(notes->fields[i]);
        words[3 + 2 * i] = texts[i];
    }
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK)
        code = fb_redis_link_call(self->link, words, 2 + 2 * notes->count, &reply, error);
    freeReplyObject(reply);
    fb_buffer_dispose(&key);
    return code;
}

static bool read_texts(const redisReply *reply, size_t count, fb_slice_t *texts)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const redisReply *text = reply->element[i];
        texts[i] = fb_reply_is_text(text) ? fb_reply_slice(text) : (fb_slice_t){0};
    }
    return true;
}

fb_code_t fb_store_redis_notes_read(fb_store_t *store, const fb_notes_t *notes,
                                    void (*on_notes)(void *context, const fb_slice_t *texts),
                                    void *context, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    fb_slice_t words[2 + FB_NOTES_MAX], texts[FB_NOTES_MAX];
    fb_buffer_t key = {0};
    redisReply *reply = NULL;
    fb_assert(notes->count >= 1 && notes->count <= FB_NOTES_MAX);
    fb_keys_put(&self->keys, &key, notes->name);
    words[0] = FB_SLICE("HMGET");
    words[1] = fb_buffer_slice(&key);
    for (size_t i = 0; i < notes->count; i++)
        words[2 + i] = fb_slice(notes->fields[i]);
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK)
        code = fb_redis_link_call(self->link, words, 2 + notes->count, &reply, error);
    if (code == FB_OK && !read_texts(reply, notes->count, texts))
        code = fb_fail(error, FB_CONFIG, "Redis at %s gave an answer that no notes give",
                       fb_redis_link_name(self->link));
    if (code == FB_OK)
        on_notes(context, texts);
    freeReplyObject(reply);
    fb_buffer_dispose(&key);
    return code;
}
