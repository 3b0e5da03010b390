/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "persistence/keys.h"
#include "persistence/redis_link.h"
#include "persistence/store.h"

/* What store_redis.c, store_load.c and store_durability.c share. */
typedef struct {
    fb_store_t store;
    fb_keys_t keys;
    char head_key[sizeof(((fb_keys_t *)0)->prefix) + 8];
    char log_key[sizeof(((fb_keys_t *)0)->prefix) + 8];
    uint64_t log_length, history_length, history_age_ms;
    fb_redis_link_t *link;
    bool is_private;
    char run[64];       /* run_id of the Redis that the link is to */
    uint64_t took_us;   /* the last commit, to its answer; 0: there was none */
    bool has_library;   /* over this connection: commit.lua is loaded, the epoch is of its run */
    fb_buffer_t text;   /* the sentence of durability */
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

/* The `history` of the contract. */
fb_code_t fb_store_redis_history(
    fb_store_t *store, const fb_history_question_t *question,
    fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry, fb_error_t *error),
    void *context, size_t *count, fb_history_info_t *info, fb_error_t *error);

/* The `log_length` of the contract. */
fb_code_t fb_store_redis_log_length(fb_store_t *store, uint64_t *entries, fb_error_t *error);

/* The `load` of the contract. */
fb_code_t fb_store_redis_load(fb_store_t *store, const fb_store_schema_t *schema,
                              const fb_store_sink_t *sink, fb_error_t *error);

/* The `durability` of the contract. */
fb_code_t fb_store_redis_durability(fb_store_t *store, bool *fsynced, fb_slice_t *sentence,
                                    fb_error_t *error);
