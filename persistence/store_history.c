/* SPDX-License-Identifier: MIT */
#include "persistence/store_redis_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

#define FIELDS_MAX 256

bool fb_reply_to_mark(const redisReply *reply, fb_history_mark_t *mark)
{
    if (!fb_reply_is_text(reply))
        return false;
    const char *dash = memchr(reply->str, '-', reply->len);
    if (dash == NULL)
        return false;
    size_t split = (size_t)(dash - reply->str);
    return fb_slice_to_u64((fb_slice_t){reply->str, split}, UINT64_MAX, &mark->ms) &&
           fb_slice_to_u64((fb_slice_t){dash + 1, reply->len - split - 1}, UINT64_MAX,
                           &mark->number);
}

void fb_mark_format(fb_history_mark_t mark, char text[FB_MARK_BYTES])
{
    snprintf(text, FB_MARK_BYTES, "%llu-%llu", (unsigned long long)mark.ms,
             (unsigned long long)mark.number);
}

/* Reads one entry of XREVRANGE: [id, [field, value, ...]]. */
static bool parse_entry(const fb_history_question_t *question, const redisReply *reply,
                        fb_history_entry_t *entry, fb_slice_t *texts)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        !fb_reply_to_mark(reply->element[0], &entry->mark) ||
        reply->element[1]->type != REDIS_REPLY_ARRAY || reply->element[1]->elements % 2 != 0)
        return false;
    for (size_t i = 0; i < question->field_count; i++)
        texts[i] = (fb_slice_t){NULL, 0};
    for (size_t i = 0; i < reply->element[1]->elements; i += 2) {
        const redisReply *field = reply->element[1]->element[i];
        const redisReply *value = reply->element[1]->element[i + 1];
        if (!fb_reply_is_text(field) || !fb_reply_is_text(value))
            return false;
        for (size_t k = 0; k < question->field_count; k++) {
            if (fb_slice_is(fb_reply_slice(field), question->fields[k]))
                texts[k] = fb_reply_slice(value);
        }
    }
    entry->texts = texts;
    return true;
}

static fb_code_t hand_on(const fb_store_redis_t *self, const fb_history_question_t *question,
                         const redisReply *entries,
                         fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry,
                                               fb_error_t *error),
                         void *context, size_t *count, fb_error_t *error)
{
    for (size_t i = 0; i < entries->elements; i++) {
        fb_slice_t texts[FIELDS_MAX];
        fb_history_entry_t entry;
        if (!parse_entry(question, entries->element[i], &entry, texts))
            return fb_fail(error, FB_CONFIG, "%s%s:%u in Redis at %s has a strange entry",
                           self->keys.prefix, question->name, question->id,
                           fb_redis_link_name(self->link));
        fb_code_t code = on_entry(context, &entry, error);
        if (code != FB_OK)
            return code;
        ++*count;
    }
    return FB_OK;
}

/* From XINFO STREAM, which fails where there is no such key. */
static bool read_info(const redisReply *reply, fb_history_info_t *info)
{
    bool has_length = false, has_added = false, has_oldest = false;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *value = reply->element[i + 1];
        if (!fb_reply_is_text(name))
            return false;
        if (strcmp(name->str, "length") == 0 && value->type == REDIS_REPLY_INTEGER) {
            info->length = (uint64_t)value->integer;
            has_length = true;
        } else if (strcmp(name->str, "entries-added") == 0 && value->type == REDIS_REPLY_INTEGER) {
            info->added = (uint64_t)value->integer;
            has_added = true;
        } else if (strcmp(name->str, "recorded-first-entry-id") == 0) {
            has_oldest = fb_reply_to_mark(value, &info->oldest);
            /* Somebody may have added one by hand that is no instant of ours. */
            if (info->oldest.ms > FB_HISTORY_MS_MAX)
                info->oldest.ms = FB_HISTORY_MS_MAX;
        }
    }
    return has_length && has_added && has_oldest;
}

/* Its entries first: what was dropped before they were read is part of the information. */
static fb_code_t send_question(fb_store_redis_t *self, const fb_history_question_t *question,
                               fb_error_t *error)
{
    char from[FB_MARK_BYTES], to[FB_MARK_BYTES], max[24];
    fb_buffer_t key = {0};
    fb_keys_put_row(&self->keys, &key, question->name, question->id);
    fb_mark_format(question->from, from);
    fb_mark_format(question->to, to);
    snprintf(max, sizeof(max), "%zu", question->max);
    const fb_slice_t page[] = {FB_SLICE("XREVRANGE"), fb_buffer_slice(&key), fb_slice(to),
                               fb_slice(from),        FB_SLICE("COUNT"),     fb_slice(max)};
    const fb_slice_t info[] = {FB_SLICE("XINFO"), FB_SLICE("STREAM"), fb_buffer_slice(&key)};
    fb_redis_link_append(self->link, page, 6);
    fb_redis_link_append(self->link, info, 3);
    fb_buffer_dispose(&key);
    return fb_redis_link_flush(self->link, error);
}

static fb_code_t receive_entries(fb_store_redis_t *self, redisReply **entries, fb_error_t *error)
{
    fb_code_t code = fb_redis_link_reply(self->link, entries, error);
    if (code == FB_OK && (*entries)->type == REDIS_REPLY_ERROR)
        code = fb_redis_link_refused(self->link, fb_reply_slice(*entries), error);
    else if (code == FB_OK && (*entries)->type != REDIS_REPLY_ARRAY)
        code = fb_fail(error, FB_CONFIG, "Redis at %s gave no entries",
                       fb_redis_link_name(self->link));
    return code;
}

static fb_code_t receive_info(fb_store_redis_t *self, fb_history_info_t *info, fb_error_t *error)
{
    redisReply *reply = NULL;
    fb_code_t code = fb_redis_link_reply(self->link, &reply, error);
    bool is_error = code == FB_OK && reply->type == REDIS_REPLY_ERROR;
    *info = (fb_history_info_t){0};
    if (is_error && strcmp(reply->str, "ERR no such key") != 0)
        code = fb_redis_link_refused(self->link, fb_reply_slice(reply), error);
    else if (code == FB_OK && !is_error &&
             (reply->type != REDIS_REPLY_ARRAY || !read_info(reply, info)))
        code = fb_fail(error, FB_CONFIG, "Redis at %s does not tell what there is of a stream",
                       fb_redis_link_name(self->link));
    freeReplyObject(reply);
    return code;
}

fb_code_t fb_store_redis_history(
    fb_store_t *store, const fb_history_question_t *question,
    fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry, fb_error_t *error),
    void *context, size_t *count, fb_history_info_t *info, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *entries = NULL;
    fb_assert(question->field_count <= FIELDS_MAX);
    fb_assert(question->max >= 1 && question->max <= FB_HISTORY_PAGE_MAX);
    *count = 0;
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK)
        code = send_question(self, question, error);
    if (code == FB_OK) {
        code = receive_entries(self, &entries, error);
        /* The other answer must not be taken for that of the next call. */
        if (code != FB_OK)
            fb_redis_link_close(self->link);
    }
    if (code == FB_OK)
        code = receive_info(self, info, error);
    if (code == FB_OK)
        code = hand_on(self, question, entries, on_entry, context, count, error);
    freeReplyObject(entries);
    return code;
}

fb_code_t fb_store_redis_log_length(fb_store_t *store, uint64_t *entries, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    fb_slice_t words[] = {FB_SLICE("XLEN"), fb_slice(self->log_key)};
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK)
        code = fb_redis_link_call(self->link, words, 2, &reply, error);
    if (code == FB_OK && reply->type == REDIS_REPLY_INTEGER)
        *entries = (uint64_t)reply->integer;
    else if (code == FB_OK)
        code = fb_fail(error, FB_CONFIG, "Redis at %s does not say how long %s is",
                       fb_redis_link_name(self->link), self->log_key);
    freeReplyObject(reply);
    return code;
}
