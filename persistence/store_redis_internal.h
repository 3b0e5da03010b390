/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "persistence/keys.h"
#include "persistence/redis_link.h"
#include "persistence/store.h"

#define FB_MARK_BYTES 48 /* "MS-NUMBER", with its NUL */

/* What store_redis.c and the other files of this store share. */
typedef struct {
    fb_store_t store;
    fb_keys_t keys;
    char head_key[sizeof(((fb_keys_t *)0)->prefix) + 8];
    char log_key[sizeof(((fb_keys_t *)0)->prefix) + 8];
    uint64_t log_length, history_length, history_age_ms;
    fb_redis_link_t *link;
    bool is_private;
    char run[64];     /* run_id of the Redis that the link is to */
    uint64_t took_us; /* the last commit, to its answer; 0: there was none */
    bool has_library; /* over this connection: commit.lua is loaded, the epoch is of its run */
    bool has_queues;  /* the same of queue.lua */
    bool has_leases;  /* and of lease.lua */
    char own_jobs_after[FB_MARK_BYTES]; /* then: what the consumer has before it, it was told */
    fb_buffer_t text;                   /* the sentence of durability */
    size_t entry_bytes; /* of the log, on average, as they were read last; 0: not known */
} fb_store_redis_t;

static inline fb_store_redis_t *fb_store_redis(fb_store_t *store)
{
    return (fb_store_redis_t *)store;
}

static inline bool fb_reply_is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

static inline fb_slice_t fb_reply_slice(const redisReply *reply)
{
    return (fb_slice_t){reply->str, reply->len};
}

/* Opens the link, for reading. */
fb_code_t fb_store_redis_open(fb_store_redis_t *self, fb_error_t *error);
/* Loads a library of Functions into Redis; FB_OK, too, where this user may not. */
fb_code_t fb_store_redis_load_library(fb_store_redis_t *self, fb_slice_t library,
                                      fb_error_t *error);

/* "MS-NUMBER": the id of an entry of a stream. */
bool fb_reply_to_mark(const redisReply *reply, fb_history_mark_t *mark);
void fb_mark_format(fb_history_mark_t mark, char text[FB_MARK_BYTES]);

/* The `history` of the contract. */
fb_code_t fb_store_redis_history(
    fb_store_t *store, const fb_history_question_t *question,
    fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry, fb_error_t *error),
    void *context, size_t *count, fb_history_info_t *info, fb_error_t *error);

/* The `rows` of the contract. */
fb_code_t fb_store_redis_rows(fb_store_t *store, const fb_store_family_t *family,
                              const uint32_t *ids, size_t count,
                              fb_code_t (*on_row)(void *context, uint32_t id,
                                                  const fb_slice_t *texts, fb_error_t *error),
                              void *context, fb_error_t *error);

/* The `queue_take` to `queue_info` of the contract. */
fb_code_t fb_store_redis_queue_take(fb_store_t *store, const fb_queue_t *queue, size_t max,
                                    fb_queue_job_t *jobs, size_t *count, fb_error_t *error);
fb_code_t fb_store_redis_queue_claim(fb_store_t *store, const fb_queue_t *queue, uint64_t idle_ms,
                                     size_t max, fb_queue_job_t *jobs, size_t *count,
                                     fb_error_t *error);
fb_code_t fb_store_redis_queue_done(fb_store_t *store, const fb_queue_t *queue,
                                    const fb_queue_job_t *jobs, size_t count, fb_error_t *error);
fb_code_t fb_store_redis_queue_leave(fb_store_t *store, const fb_queue_t *queue, fb_error_t *error);
fb_code_t fb_store_redis_queue_info(fb_store_t *store, const fb_queue_t *queue,
                                    fb_queue_info_t *info, fb_error_t *error);

/* The `lease_take` to `notes_read` of the contract. */
fb_code_t fb_store_redis_lease_take(fb_store_t *store, const fb_lease_t *lease, bool *is_held,
                                    fb_error_t *error);
fb_code_t fb_store_redis_lease_leave(fb_store_t *store, const fb_lease_t *lease, fb_error_t *error);
fb_code_t fb_store_redis_notes_put(fb_store_t *store, const fb_notes_t *notes,
                                   const fb_slice_t *texts, fb_error_t *error);
fb_code_t fb_store_redis_notes_read(fb_store_t *store, const fb_notes_t *notes,
                                    void (*on_notes)(void *context, const fb_slice_t *texts),
                                    void *context, fb_error_t *error);

/* The `log_length` of the contract. */
fb_code_t fb_store_redis_log_length(fb_store_t *store, uint64_t *entries, fb_error_t *error);

/* The `load` of the contract. */
fb_code_t fb_store_redis_load(fb_store_t *store, const fb_store_schema_t *schema,
                              const fb_store_sink_t *sink, fb_error_t *error);

/* The `durability` of the contract. */
fb_code_t fb_store_redis_durability(fb_store_t *store, bool *fsynced, fb_slice_t *sentence,
                                    fb_error_t *error);
