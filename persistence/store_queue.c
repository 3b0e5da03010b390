/* SPDX-License-Identifier: MIT */
#include "persistence/store_redis_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "persistence/embedded.h"

#define ARGUMENTS_MAX (FB_QUEUE_PAGE_MAX + 3)
#define FCALL_WORDS   4

/* Reading of queues does without the library; and none of its functions needs the epoch that
 * writing begins. */
static fb_code_t open_for_queues(fb_store_redis_t *self, fb_error_t *error)
{
    fb_code_t code = fb_store_redis_open(self, error);
    if (code != FB_OK || self->has_queues)
        return code;
    code = fb_store_redis_load_library(self, fb_embedded_queue_lua(), error);
    self->has_queues = code == FB_OK;
    /* An answer may have been lost with the connection before: the jobs in it are ours. */
    fb_mark_format((fb_history_mark_t){0, 0}, self->own_jobs_after);
    return code;
}

/* Calls one of queue.lua, whose first argument is the group. */
static fb_code_t call(fb_store_redis_t *self, const char *function, const fb_queue_t *queue,
                      const fb_slice_t *arguments, size_t count, redisReply **reply,
                      fb_error_t *error)
{
    fb_slice_t words[FCALL_WORDS + 1 + ARGUMENTS_MAX];
    fb_buffer_t key = {0};
    fb_assert(count <= ARGUMENTS_MAX);
    fb_keys_put(&self->keys, &key, queue->queue);
    const fb_slice_t head[FCALL_WORDS + 1] = {FB_SLICE("FCALL"), fb_slice(function), FB_SLICE("1"),
                                              fb_buffer_slice(&key), fb_slice(queue->queue)};
    memcpy(words, head, sizeof(head));
    memcpy(words + FCALL_WORDS + 1, arguments, count * sizeof(words[0]));
    fb_code_t code = open_for_queues(self, error);
    if (code == FB_OK)
        code = fb_redis_link_call(self->link, words, FCALL_WORDS + 1 + count, reply, error);
    fb_buffer_dispose(&key);
    return code;
}

/* From the element `first` on: mark and id of each job. */
static bool read_jobs(const redisReply *reply, size_t first, size_t max, fb_queue_job_t *jobs,
                      size_t *count)
{
    if ((reply->elements - first) % 2 != 0 || (reply->elements - first) / 2 > max)
        return false;
    for (size_t i = first; i < reply->elements; i += 2) {
        fb_queue_job_t *job = &jobs[(*count)++];
        uint64_t id;
        if (!fb_reply_to_mark(reply->element[i], &job->mark) ||
            !fb_reply_is_text(reply->element[i + 1]) ||
            !fb_slice_to_u64(fb_reply_slice(reply->element[i + 1]), UINT32_MAX, &id))
            return false;
        job->id = (uint32_t)id;
    }
    return true;
}

static fb_code_t take_jobs(fb_store_redis_t *self, const fb_queue_t *queue, const redisReply *reply,
                           size_t first, size_t max, fb_queue_job_t *jobs, size_t *count,
                           fb_error_t *error)
{
    bool is_ours = reply->type == REDIS_REPLY_ARRAY && reply->elements >= first &&
                   reply->element[0]->type == REDIS_REPLY_INTEGER;
    if (is_ours && reply->element[0]->integer > 0)
        fb_log_warning("%s%s in Redis had %lld entries that are no jobs: they are gone",
                       self->keys.prefix, queue->queue, reply->element[0]->integer);
    if (is_ours && read_jobs(reply, first, max, jobs, count))
        return FB_OK;
    *count = 0;
    return fb_fail(error, FB_CONFIG, "Redis at %s gave an answer that no queue gives",
                   fb_redis_link_name(self->link));
}

fb_code_t fb_store_redis_queue_take(fb_store_t *store, const fb_queue_t *queue, size_t max,
                                    fb_queue_job_t *jobs, size_t *count, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    char number[24];
    *count = 0;
    fb_assert(max >= 1 && max <= FB_QUEUE_PAGE_MAX);
    snprintf(number, sizeof(number), "%zu", max);
    fb_code_t code = open_for_queues(self, error);
    if (code != FB_OK)
        return code;
    const fb_slice_t arguments[] = {fb_slice(queue->consumer), fb_slice(number),
                                    fb_slice(self->own_jobs_after)};
    code = call(self, "fleetbit_queue_take_1", queue, arguments, 3, &reply, error);
    if (code == FB_OK)
        code = take_jobs(self, queue, reply, 2, max, jobs, count, error);
    if (code == FB_OK && fb_reply_is_text(reply->element[1]))
        snprintf(self->own_jobs_after, sizeof(self->own_jobs_after), "%s", reply->element[1]->str);
    freeReplyObject(reply);
    return code;
}

fb_code_t fb_store_redis_queue_claim(fb_store_t *store, const fb_queue_t *queue, uint64_t idle_ms,
                                     size_t max, fb_queue_job_t *jobs, size_t *count,
                                     fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    char idle[24], number[24];
    *count = 0;
    fb_assert(max <= FB_QUEUE_PAGE_MAX);
    snprintf(idle, sizeof(idle), "%llu", (unsigned long long)idle_ms);
    snprintf(number, sizeof(number), "%zu", max);
    const fb_slice_t arguments[] = {fb_slice(queue->consumer), fb_slice(idle), fb_slice(number)};
    fb_code_t code = call(self, "fleetbit_queue_claim_1", queue, arguments, 3, &reply, error);
    if (code == FB_OK)
        code = take_jobs(self, queue, reply, 1, max, jobs, count, error);
    freeReplyObject(reply);
    return code;
}

fb_code_t fb_store_redis_queue_done(fb_store_t *store, const fb_queue_t *queue,
                                    const fb_queue_job_t *jobs, size_t count, fb_error_t *error)
{
    redisReply *reply = NULL;
    char texts[FB_QUEUE_PAGE_MAX][FB_MARK_BYTES];
    fb_slice_t marks[FB_QUEUE_PAGE_MAX];
    fb_assert(count <= FB_QUEUE_PAGE_MAX);
    if (count == 0)
        return FB_OK;
    for (size_t i = 0; i < count; i++) {
        fb_mark_format(jobs[i].mark, texts[i]);
        marks[i] = fb_slice(texts[i]);
    }
    fb_code_t code =
        call(fb_store_redis(store), "fleetbit_queue_done_1", queue, marks, count, &reply, error);
    freeReplyObject(reply);
    return code;
}

fb_code_t fb_store_redis_queue_leave(fb_store_t *store, const fb_queue_t *queue, fb_error_t *error)
{
    redisReply *reply = NULL;
    const fb_slice_t consumer = fb_slice(queue->consumer);
    fb_code_t code =
        call(fb_store_redis(store), "fleetbit_queue_leave_1", queue, &consumer, 1, &reply, error);
    freeReplyObject(reply);
    return code;
}

/* Of XPENDING, whose first element is how many are pending; there is no group before the first
 * take. */
static fb_code_t receive_pending(fb_store_redis_t *self, uint64_t *pending, fb_error_t *error)
{
    redisReply *reply = NULL;
    fb_code_t code = fb_redis_link_reply(self->link, &reply, error);
    *pending = 0;
    if (code != FB_OK)
        return code;
    bool is_error = reply->type == REDIS_REPLY_ERROR;
    if (is_error && strncmp(reply->str, "NOGROUP ", 8) != 0)
        code = fb_redis_link_refused(self->link, fb_reply_slice(reply), error);
    else if (!is_error && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0)
        *pending = (uint64_t)reply->element[0]->integer;
    freeReplyObject(reply);
    return code;
}

static fb_code_t receive_length(fb_store_redis_t *self, uint64_t *length, fb_error_t *error)
{
    redisReply *reply = NULL;
    fb_code_t code = fb_redis_link_reply(self->link, &reply, error);
    if (code == FB_OK && reply->type == REDIS_REPLY_ERROR)
        code = fb_redis_link_refused(self->link, fb_reply_slice(reply), error);
    else if (code == FB_OK)
        *length = (uint64_t)reply->integer;
    /* The other answer must not be taken for that of the next call. */
    if (code != FB_OK)
        fb_redis_link_close(self->link);
    freeReplyObject(reply);
    return code;
}

fb_code_t fb_store_redis_queue_info(fb_store_t *store, const fb_queue_t *queue,
                                    fb_queue_info_t *info, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    fb_buffer_t key = {0};
    *info = (fb_queue_info_t){0};
    fb_code_t code = fb_store_redis_open(self, error);
    if (code != FB_OK)
        return code;
    fb_keys_put(&self->keys, &key, queue->queue);
    const fb_slice_t length[] = {FB_SLICE("XLEN"), fb_buffer_slice(&key)};
    const fb_slice_t pending[] = {FB_SLICE("XPENDING"), fb_buffer_slice(&key),
                                  fb_slice(queue->queue)};
    fb_redis_link_append(self->link, length, 2);
    fb_redis_link_append(self->link, pending, 3);
    fb_buffer_dispose(&key);
    code = fb_redis_link_flush(self->link, error);
    if (code == FB_OK)
        code = receive_length(self, &info->length, error);
    if (code == FB_OK)
        code = receive_pending(self, &info->pending, error);
    return code;
}
