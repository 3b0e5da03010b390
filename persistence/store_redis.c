/* SPDX-License-Identifier: MIT */
#include "persistence/store_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/memory.h"
#include "persistence/embedded.h"
#include "persistence/store_redis_internal.h"

#define READ_CHUNK 100 /* entries of the log that are asked for at once */
#define STR_(x)    #x
#define STR(x)     STR_(x)

static const char chain_zero[] = "00000000000000000000000000000000";

static fb_slice_t reply_slice(const redisReply *reply)
{
    return (fb_slice_t){reply->str, reply->len};
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

static bool is_array(const redisReply *reply, size_t elements)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == elements;
}

static bool is_hex(const redisReply *reply, size_t len)
{
    return is_text(reply) && reply->len == len && strspn(reply->str, "0123456789abcdef") == len;
}

fb_code_t fb_store_redis_open(fb_store_redis_t *self, fb_error_t *error)
{
    bool fresh;
    fb_code_t code = fb_redis_link_open(self->link, &fresh, error);
    if (fresh)
        self->has_library = false;
    return code;
}

/* Opens the link for a call of commit.lua, which is loaded once a connection. Reading does without
 * it, so that a Redis that takes no writes now (OOM, READONLY, ...) can still be read. */
static fb_code_t open_for_call(fb_store_redis_t *self, fb_error_t *error)
{
    redisReply *reply = NULL;
    fb_slice_t words[] = {FB_SLICE("FUNCTION"), FB_SLICE("LOAD"), FB_SLICE("REPLACE"),
                          fb_embedded_commit_lua()};
    fb_code_t code = fb_store_redis_open(self, error);
    if (code != FB_OK || self->has_library)
        return code;
    fb_redis_link_append(self->link, words, 4);
    code = fb_redis_link_flush(self->link, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, &reply, error);
    /* Who may not load functions may find it loaded by somebody who may: the call will tell. */
    bool forbidden =
        code == FB_OK && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOPERM ", 7) == 0;
    if (code == FB_OK && reply->type == REDIS_REPLY_ERROR && !forbidden)
        code = fb_redis_link_refused(self->link, reply_slice(reply), error);
    self->has_library = code == FB_OK;
    freeReplyObject(reply);
    return code;
}

/* From schema, epoch, revision and chain, as Redis keeps them. */
static fb_code_t read_head(const fb_store_redis_t *self, const redisReply *reply,
                           fb_position_t *head, fb_error_t *error)
{
    if (!is_array(reply, 4) || !is_text(reply->element[0]) ||
        !is_hex(reply->element[1], FB_EPOCH_BYTES) || !is_text(reply->element[2]) ||
        !is_hex(reply->element[3], FB_CHAIN_BYTES) ||
        !fb_slice_to_u64(reply_slice(reply->element[2]), INT64_MAX, &head->revision))
        return fb_fail(error, FB_CONFIG, "%s in Redis at %s is not the head of a fleet",
                       self->head_key, fb_redis_link_name(self->link));
    fb_slice_t schema = reply_slice(reply->element[0]);
    if (!fb_slice_is(schema, STR(FB_SCHEMA_VERSION)))
        return fb_fail(error, FB_CONFIG,
                       "%s in Redis at %s has schema version %.*s; this fleetbit knows only %d",
                       self->head_key, fb_redis_link_name(self->link), FB_PRINT(schema),
                       FB_SCHEMA_VERSION);
    memcpy(head->epoch, reply->element[1]->str, FB_EPOCH_BYTES + 1);
    memcpy(head->chain, reply->element[3]->str, FB_CHAIN_BYTES + 1);
    return FB_OK;
}

static bool is_empty_head(const redisReply *reply)
{
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_NIL)
            return false;
    }
    return true;
}

static void random_epoch(char epoch[FB_EPOCH_BYTES + 1])
{
    uint32_t number;
    fb_assert(getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number));
    snprintf(epoch, FB_EPOCH_BYTES + 1, "%08x", number);
}

static fb_code_t redis_head(fb_store_t *store, fb_position_t *head, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    fb_slice_t read[] = {FB_SLICE("HMGET"), fb_slice(self->head_key), FB_SLICE("schema"),
                         FB_SLICE("epoch"), FB_SLICE("revision"),     FB_SLICE("chain")};
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK)
        code = fb_redis_link_call(self->link, read, 6, &reply, error);
    if (code == FB_OK && is_empty_head(reply)) {
        char epoch[FB_EPOCH_BYTES + 1];
        random_epoch(epoch);
        fb_slice_t init[] = {
            FB_SLICE("FCALL"),        FB_SLICE("fleetbit_init_1"),      FB_SLICE("1"),
            fb_slice(self->head_key), FB_SLICE(STR(FB_SCHEMA_VERSION)), fb_slice(epoch),
            fb_slice(chain_zero)};
        freeReplyObject(reply);
        reply = NULL;
        code = open_for_call(self, error);
        if (code == FB_OK)
            code = fb_redis_link_call(self->link, init, 7, &reply, error);
    }
    if (code == FB_OK)
        code = read_head(self, reply, head, error);
    freeReplyObject(reply);
    return code;
}

static void append_commit(fb_store_redis_t *self, const fb_position_t *expected,
                          const fb_entry_t *entries, size_t count)
{
    fb_slice_t *words = fb_alloc((9 + 3 * count) * sizeof(*words));
    fb_buffer_t numbers = {0};
    fb_buffer_put_u64(&numbers, expected->revision);
    size_t split = numbers.len;
    fb_buffer_put_u64(&numbers, self->log_length);
    words[0] = FB_SLICE("FCALL");
    words[1] = FB_SLICE("fleetbit_commit_1");
    words[2] = FB_SLICE("1");
    words[3] = fb_slice(self->head_key);
    words[4] = FB_SLICE(STR(FB_SCHEMA_VERSION));
    words[5] = fb_slice(expected->epoch);
    words[6] = (fb_slice_t){numbers.at, split};
    words[7] = fb_slice(expected->chain);
    words[8] = (fb_slice_t){numbers.at + split, numbers.len - split};
    for (size_t i = 0; i < count; i++) {
        words[9 + 3 * i] = fb_slice(entries[i].chain);
        words[10 + 3 * i] = fb_slice(entries[i].command);
        words[11 + 3 * i] = entries[i].payload;
    }
    fb_redis_link_append(self->link, words, 9 + 3 * count);
    fb_buffer_dispose(&numbers);
    free(words);
}

static fb_code_t commit_answer(fb_store_redis_t *self, const fb_position_t *expected,
                               const redisReply *reply, fb_error_t *error)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return fb_redis_link_refused(self->link, reply_slice(reply), error);
    if (reply->type == REDIS_REPLY_STATUS && fb_slice_is(reply_slice(reply), "OK"))
        return FB_OK;
    if (is_array(reply, 4) && is_text(reply->element[0]) &&
        fb_slice_is(reply_slice(reply->element[0]), "STALE"))
        return fb_fail(error, FB_STALE, "the log's head is %s.%s, not %s.%llu",
                       is_text(reply->element[1]) ? reply->element[1]->str : "",
                       is_text(reply->element[2]) ? reply->element[2]->str : "", expected->epoch,
                       (unsigned long long)expected->revision);
    return fb_fail(error, FB_OUTCOME_UNKNOWN, "Redis at %s gave an answer that no commit gives",
                   fb_redis_link_name(self->link));
}

static fb_code_t redis_commit(fb_store_t *store, const fb_position_t *expected,
                              const fb_entry_t *entries, size_t count, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    fb_code_t code = fb_store_check_commit(expected, entries, count, error);
    if (code == FB_OK)
        code = open_for_call(self, error);
    if (code != FB_OK)
        return code;
    append_commit(self, expected, entries, count);
    code = fb_redis_link_flush(self->link, error);
    if (code != FB_OK)
        return code;
    code = fb_redis_link_reply(self->link, &reply, error);
    if (code == FB_UNAVAILABLE) {
        /* It was sent whole: Redis may have run it, or may yet. */
        error->code = FB_OUTCOME_UNKNOWN;
        return FB_OUTCOME_UNKNOWN;
    }
    if (code == FB_OK)
        code = commit_answer(self, expected, reply, error);
    freeReplyObject(reply);
    return code;
}

/* Reads one entry of XRANGE: [id, [field, value, ...]]. */
static bool parse_entry(const redisReply *reply, fb_entry_t *entry)
{
    bool chain = false, command = false, change = false;
    if (!is_array(reply, 2) || !is_text(reply->element[0]) ||
        reply->element[1]->type != REDIS_REPLY_ARRAY || reply->element[1]->elements % 2 != 0)
        return false;
    fb_slice_t id = reply_slice(reply->element[0]);
    if (id.len < 3 || memcmp(id.at + id.len - 2, "-0", 2) != 0 ||
        !fb_slice_to_u64((fb_slice_t){id.at, id.len - 2}, INT64_MAX, &entry->revision))
        return false;
    for (size_t i = 0; i < reply->element[1]->elements; i += 2) {
        const redisReply *field = reply->element[1]->element[i];
        const redisReply *value = reply->element[1]->element[i + 1];
        if (!is_text(field) || !is_text(value))
            return false;
        if (strcmp(field->str, "chain") == 0 && is_hex(value, FB_CHAIN_BYTES)) {
            memcpy(entry->chain, value->str, FB_CHAIN_BYTES + 1);
            chain = true;
        } else if (strcmp(field->str, "command") == 0 && is_hex(value, FB_COMMAND_BYTES)) {
            memcpy(entry->command, value->str, FB_COMMAND_BYTES + 1);
            command = true;
        } else if (strcmp(field->str, "change") == 0) {
            entry->payload = reply_slice(value);
            change = true;
        }
    }
    return chain && command && change;
}

/* The revision of the head, and at most `max` entries after `revision`: in this order, so that
 * entries which the head tells of must be there. */
static fb_code_t fetch_entries(fb_store_redis_t *self, uint64_t revision, size_t max,
                               redisReply **head, redisReply **entries, fb_error_t *error)
{
    fb_buffer_t numbers = {0};
    fb_buffer_put_u64(&numbers, revision + 1);
    size_t split = numbers.len;
    fb_buffer_put_u64(&numbers, max);
    fb_slice_t ask_head[] = {FB_SLICE("HGET"), fb_slice(self->head_key), FB_SLICE("revision")};
    fb_slice_t ask_log[] = {FB_SLICE("XRANGE"),  fb_slice(self->log_key),
                            {numbers.at, split}, FB_SLICE("+"),
                            FB_SLICE("COUNT"),   {numbers.at + split, numbers.len - split}};
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK) {
        fb_redis_link_append(self->link, ask_head, 3);
        fb_redis_link_append(self->link, ask_log, 6);
        code = fb_redis_link_flush(self->link, error);
    }
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, head, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, entries, error);
    if (code == FB_OK && (*head)->type == REDIS_REPLY_ERROR)
        code = fb_redis_link_refused(self->link, reply_slice(*head), error);
    else if (code == FB_OK && (*entries)->type == REDIS_REPLY_ERROR)
        code = fb_redis_link_refused(self->link, reply_slice(*entries), error);
    fb_buffer_dispose(&numbers);
    return code;
}

static fb_code_t check_reach(const redisReply *head, const redisReply *entries, uint64_t revision,
                             fb_error_t *error)
{
    uint64_t last = 0;
    if (is_text(head))
        fb_slice_to_u64(reply_slice(head), INT64_MAX, &last);
    if (last < revision)
        return fb_fail(error, FB_DIVERGED, "the log ends with revision %llu, before %llu",
                       (unsigned long long)last, (unsigned long long)revision);
    if (last > revision && entries->elements == 0)
        return fb_fail(error, FB_TRIMMED, "the log no longer has revision %llu",
                       (unsigned long long)(revision + 1));
    return FB_OK;
}

static fb_code_t redis_read(fb_store_t *store, uint64_t revision, size_t max,
                            fb_code_t (*on_entry)(void *context, const fb_entry_t *entry,
                                                  fb_error_t *error),
                            void *context, size_t *count, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    bool more = true;
    fb_code_t code = FB_OK;
    *count = 0;
    while (code == FB_OK && more && *count < max) {
        size_t chunk = max - *count < READ_CHUNK ? max - *count : READ_CHUNK;
        redisReply *head = NULL, *entries = NULL;
        code = fetch_entries(self, revision, chunk, &head, &entries, error);
        if (code == FB_OK)
            code = check_reach(head, entries, revision, error);
        more = code == FB_OK && entries->elements == chunk;
        for (size_t i = 0; code == FB_OK && i < entries->elements; i++) {
            fb_entry_t entry;
            if (!parse_entry(entries->element[i], &entry))
                code = fb_fail(error, FB_CONFIG, "%s in Redis at %s has a strange entry",
                               self->log_key, fb_redis_link_name(self->link));
            else if (entry.revision != revision + 1)
                code = fb_fail(error, FB_TRIMMED, "the log no longer has revision %llu",
                               (unsigned long long)(revision + 1));
            else
                code = on_entry(context, &entry, error);
            if (code == FB_OK) {
                revision++;
                (*count)++;
            }
        }
        freeReplyObject(head);
        freeReplyObject(entries);
    }
    return code;
}

/* What CONFIG GET says of a setting; "" where it says nothing. */
static const char *setting(const redisReply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        if (is_text(reply->element[i]) && is_text(reply->element[i + 1]) &&
            strcmp(reply->element[i]->str, name) == 0)
            return reply->element[i + 1]->str;
    }
    return "";
}

static bool put_durability(fb_buffer_t *text, const redisReply *reply)
{
    const char *appendfsync = setting(reply, "appendfsync");
    const char *save = setting(reply, "save");
    bool appendonly = strcmp(setting(reply, "appendonly"), "yes") == 0;
    bool fsynced = appendonly && strcmp(appendfsync, "always") == 0;
    if (fsynced)
        fb_buffer_put_literal(text, "an acknowledged write is in the append-only file of Redis, "
                                    "fsynced");
    else if (appendonly)
        fb_buffer_printf(text,
                         "an acknowledged write survives the end of Redis, but a crash of its "
                         "machine loses %s (appendfsync %s)",
                         strcmp(appendfsync, "everysec") == 0 ? "up to two seconds"
                                                              : "what the kernel had not written",
                         appendfsync);
    else if (save[0] != '\0')
        fb_buffer_printf(text,
                         "an acknowledged write is only in the memory of Redis until its next "
                         "snapshot (appendonly no, save %s)",
                         save);
    else
        fb_buffer_put_literal(text, "an acknowledged write is only in the memory of Redis, and "
                                    "gone with it (appendonly no, no save)");
    if (appendonly && strcmp(setting(reply, "aof-load-truncated"), "no") != 0)
        fb_buffer_put_literal(text, "; a damaged end of that file is dropped in silence "
                                    "(aof-load-truncated yes)");
    const char *policy = setting(reply, "maxmemory-policy");
    if (strcmp(setting(reply, "maxmemory"), "0") != 0 && strncmp(policy, "allkeys-", 8) == 0)
        fb_buffer_printf(text,
                         "; when its memory is full, Redis throws writes away "
                         "(maxmemory-policy %s)",
                         policy);
    return fsynced;
}

static fb_code_t redis_durability(fb_store_t *store, bool *fsynced, fb_slice_t *sentence,
                                  fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    fb_slice_t words[] = {FB_SLICE("CONFIG"),     FB_SLICE("GET"),
                          FB_SLICE("appendonly"), FB_SLICE("appendfsync"),
                          FB_SLICE("save"),       FB_SLICE("aof-load-truncated"),
                          FB_SLICE("maxmemory"),  FB_SLICE("maxmemory-policy")};
    fb_code_t code = fb_store_redis_open(self, error);
    if (code != FB_OK)
        return code;
    fb_redis_link_append(self->link, words, 8);
    code = fb_redis_link_flush(self->link, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, &reply, error);
    if (code != FB_OK)
        return code;
    self->text.len = 0;
    *fsynced = false;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0)
        *fsynced = put_durability(&self->text, reply);
    else
        fb_buffer_printf(&self->text,
                         "what an acknowledged write is worth is not known: Redis does not show "
                         "its settings (%s)",
                         reply->type == REDIS_REPLY_ERROR ? reply->str : "CONFIG GET is empty");
    *sentence = fb_buffer_slice(&self->text);
    freeReplyObject(reply);
    return FB_OK;
}

static void redis_destroy(fb_store_t *store)
{
    fb_store_redis_t *self = fb_store_redis(store);
    fb_redis_link_destroy(&self->link);
    fb_buffer_dispose(&self->text);
    free(self);
}

static const fb_store_vtable_t redis_vtable = {
    .head = redis_head,
    .commit = redis_commit,
    .read = redis_read,
    .load = fb_store_redis_load,
    .durability = redis_durability,
    .destroy = redis_destroy,
};

fb_code_t fb_store_redis_create(const fb_store_redis_options_t *options, fb_store_t **store,
                                fb_error_t *error)
{
    fb_redis_url_t url;
    fb_keys_t keys;
    fb_code_t code = fb_keys_init(&keys, options->fleet, error);
    if (code == FB_OK)
        code = fb_redis_url_parse(options->url, &url, error);
    if (code != FB_OK)
        return code;
    fb_store_redis_t *self = fb_alloc_zero(1, sizeof(*self));
    self->store.vtable = &redis_vtable;
    self->keys = keys;
    snprintf(self->head_key, sizeof(self->head_key), "%shead", keys.prefix);
    snprintf(self->log_key, sizeof(self->log_key), "%slog", keys.prefix);
    self->log_length = options->log_length;
    self->link = fb_redis_link_create(&url, options->timeout_ms);
    fb_redis_url_dispose(&url);
    *store = &self->store;
    return FB_OK;
}
