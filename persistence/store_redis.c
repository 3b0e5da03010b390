/* SPDX-License-Identifier: MIT */
#include "persistence/store_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "persistence/embedded.h"
#include "persistence/store_redis_internal.h"

#define READ_CHUNK  250 /* entries of the log that are asked for at once */
#define HEAD_FIELDS 6
#define STR_(x)     #x
#define STR(x)      STR_(x)

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

static void random_epoch(char epoch[FB_EPOCH_BYTES + 1])
{
    uint32_t number;
    fb_assert(getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number));
    snprintf(epoch, FB_EPOCH_BYTES + 1, "%08x", number);
}

/* Calls fleetbit_begin_epoch_1: `ended` and `run` as commit.lua says. `*reply` is the head. */
static fb_code_t call_begin_epoch(fb_store_redis_t *self, const char *ended, fb_slice_t run,
                                  redisReply **reply, fb_error_t *error)
{
    char epoch[FB_EPOCH_BYTES + 1];
    random_epoch(epoch);
    fb_slice_t words[] = {FB_SLICE("FCALL"),
                          FB_SLICE("fleetbit_begin_epoch_1"),
                          FB_SLICE("1"),
                          fb_slice(self->head_key),
                          fb_slice(ended),
                          fb_slice(epoch),
                          run};
    fb_code_t code = fb_redis_link_call(self->link, words, 7, reply, error);
    if (code == FB_OK && is_array(*reply, HEAD_FIELDS) && is_text((*reply)->element[1]) &&
        strcmp((*reply)->element[1]->str, epoch) == 0)
        fb_log_warning("epoch %s begins at revision %s", epoch,
                       is_text((*reply)->element[2]) ? (*reply)->element[2]->str : "");
    return code;
}

/* Which run of Redis this is: its run_id; nothing where it does not say. */
static fb_slice_t run_of(const redisReply *info)
{
    const char *at = info->type == REDIS_REPLY_STRING ? strstr(info->str, "\r\nrun_id:") : NULL;
    if (at == NULL)
        return FB_SLICE("");
    at += strlen("\r\nrun_id:");
    return (fb_slice_t){at, strcspn(at, "\r\n")};
}

static fb_code_t load_library(fb_store_redis_t *self, fb_error_t *error)
{
    redisReply *reply = NULL;
    fb_slice_t words[] = {FB_SLICE("FUNCTION"), FB_SLICE("LOAD"), FB_SLICE("REPLACE"),
                          fb_embedded_commit_lua()};
    fb_redis_link_append(self->link, words, 4);
    fb_code_t code = fb_redis_link_flush(self->link, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, &reply, error);
    /* Who may not load functions may find it loaded by somebody who may: the call will tell. */
    bool forbidden =
        code == FB_OK && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOPERM ", 7) == 0;
    if (code == FB_OK && reply->type == REDIS_REPLY_ERROR && !forbidden)
        code = fb_redis_link_refused(self->link, reply_slice(reply), error);
    freeReplyObject(reply);
    return code;
}

/* Asks which run of Redis this connection is of. `*info` holds its text. */
static fb_code_t ask_run(fb_store_redis_t *self, redisReply **info, fb_slice_t *run,
                         fb_error_t *error)
{
    fb_slice_t words[] = {FB_SLICE("INFO"), FB_SLICE("server")};
    *run = FB_SLICE("");
    fb_redis_link_append(self->link, words, 2);
    fb_code_t code = fb_redis_link_flush(self->link, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, info, error);
    if (code == FB_OK)
        *run = run_of(*info);
    return code;
}

/* A connection ends with the run of Redis that it was made to. So what is found out here, before
 * its first commit, holds for all of its commits. */
static fb_code_t begin_run(fb_store_redis_t *self, fb_error_t *error)
{
    redisReply *info = NULL, *head = NULL;
    fb_slice_t run;
    if (self->is_private)
        return FB_OK;
    fb_code_t code = ask_run(self, &info, &run, error);
    if (code == FB_OK && run.len > 0)
        code = call_begin_epoch(self, "", run, &head, error);
    freeReplyObject(info);
    freeReplyObject(head);
    return code;
}

/* Opens the link for a call of commit.lua, which is loaded once a connection. Reading does without
 * it, so that a Redis that takes no writes now (OOM, READONLY, ...) can still be read. */
static fb_code_t open_for_call(fb_store_redis_t *self, fb_error_t *error)
{
    fb_code_t code = fb_store_redis_open(self, error);
    if (code != FB_OK || self->has_library)
        return code;
    code = load_library(self, error);
    if (code == FB_OK)
        code = begin_run(self, error);
    self->has_library = code == FB_OK;
    return code;
}

/* The sum and `since` of a head, which one that an early version made does not have. */
static void read_head_extras(const redisReply *reply, fb_position_t *head)
{
    head->sum[0] = '\0';
    head->since = 0;
    if (is_hex(reply->element[4], FB_SUM_BYTES))
        memcpy(head->sum, reply->element[4]->str, FB_SUM_BYTES + 1);
    if (is_text(reply->element[5]))
        fb_slice_to_u64(reply_slice(reply->element[5]), INT64_MAX, &head->since);
}

/* From schema, epoch, revision, chain, sum and since, as Redis keeps them. */
static fb_code_t read_head(const fb_store_redis_t *self, const redisReply *reply,
                           fb_position_t *head, fb_error_t *error)
{
    if (!is_array(reply, HEAD_FIELDS) || !is_text(reply->element[0]) ||
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
    read_head_extras(reply, head);
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

/* HMGET of the head. */
#define HEAD_WORDS 8
static void head_words(const fb_store_redis_t *self, fb_slice_t words[HEAD_WORDS])
{
    const fb_slice_t ask[HEAD_WORDS] = {
        FB_SLICE("HMGET"),    fb_slice(self->head_key), FB_SLICE("schema"), FB_SLICE("epoch"),
        FB_SLICE("revision"), FB_SLICE("chain"),        FB_SLICE("sum"),    FB_SLICE("since")};
    memcpy(words, ask, sizeof(ask));
}

/* Makes the head of a fleet that has none; `*reply` is the head. */
static fb_code_t call_init(fb_store_redis_t *self, redisReply **reply, fb_error_t *error)
{
    char epoch[FB_EPOCH_BYTES + 1];
    redisReply *info = NULL;
    fb_slice_t run;
    random_epoch(epoch);
    fb_code_t code = open_for_call(self, error);
    if (code == FB_OK)
        code = ask_run(self, &info, &run, error);
    if (code == FB_OK) {
        fb_slice_t init[] = {FB_SLICE("FCALL"),
                             FB_SLICE("fleetbit_init_1"),
                             FB_SLICE("1"),
                             fb_slice(self->head_key),
                             FB_SLICE(STR(FB_SCHEMA_VERSION)),
                             fb_slice(epoch),
                             fb_slice(chain_zero),
                             run};
        code = fb_redis_link_call(self->link, init, 8, reply, error);
    }
    freeReplyObject(info);
    return code;
}

static fb_code_t redis_head(fb_store_t *store, fb_position_t *head, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    fb_slice_t words[HEAD_WORDS];
    head_words(self, words);
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK)
        code = fb_redis_link_call(self->link, words, HEAD_WORDS, &reply, error);
    if (code == FB_OK && is_empty_head(reply)) {
        freeReplyObject(reply);
        reply = NULL;
        code = call_init(self, &reply, error);
    }
    if (code == FB_OK)
        code = read_head(self, reply, head, error);
    freeReplyObject(reply);
    return code;
}

static fb_code_t redis_begin_epoch(fb_store_t *store, const char *ended, fb_position_t *head,
                                   fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    fb_code_t code = open_for_call(self, error);
    if (code == FB_OK)
        code = call_begin_epoch(self, ended, FB_SLICE(""), &reply, error);
    bool is_new = code == FB_OK && is_empty_head(reply);
    if (code == FB_OK && !is_new)
        code = read_head(self, reply, head, error);
    freeReplyObject(reply);
    return is_new ? redis_head(store, head, error) : code;
}

static void append_commit(fb_store_redis_t *self, const fb_position_t *expected,
                          const fb_entry_t *entries, size_t count)
{
    fb_slice_t *words = fb_alloc((9 + 4 * count) * sizeof(*words));
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
        words[9 + 4 * i] = fb_slice(entries[i].chain);
        words[10 + 4 * i] = fb_slice(entries[i].command);
        words[11 + 4 * i] = fb_slice(entries[i].sum);
        words[12 + 4 * i] = entries[i].payload;
    }
    fb_redis_link_append(self->link, words, 9 + 4 * count);
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
    entry->sum[0] = '\0';
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
        } else if (strcmp(field->str, "sum") == 0 && is_hex(value, FB_SUM_BYTES)) {
            memcpy(entry->sum, value->str, FB_SUM_BYTES + 1);
        } else if (strcmp(field->str, "change") == 0) {
            entry->payload = reply_slice(value);
            change = true;
        }
    }
    return chain && command && change;
}

/* Asks for the head and at most `max` entries after `revision`, of one moment: MULTI and EXEC, so
 * that what the head tells of must be there, and no other epoch can begin between the two. */
static fb_code_t ask_entries(fb_store_redis_t *self, uint64_t revision, size_t max,
                             fb_error_t *error)
{
    fb_buffer_t numbers = {0};
    fb_buffer_put_u64(&numbers, revision + 1);
    size_t split = numbers.len;
    fb_buffer_put_u64(&numbers, max);
    fb_slice_t multi[] = {FB_SLICE("MULTI")}, exec[] = {FB_SLICE("EXEC")};
    fb_slice_t ask_head[HEAD_WORDS];
    fb_slice_t ask_log[] = {FB_SLICE("XRANGE"),  fb_slice(self->log_key),
                            {numbers.at, split}, FB_SLICE("+"),
                            FB_SLICE("COUNT"),   {numbers.at + split, numbers.len - split}};
    head_words(self, ask_head);
    fb_redis_link_append(self->link, multi, 1);
    fb_redis_link_append(self->link, ask_head, HEAD_WORDS);
    fb_redis_link_append(self->link, ask_log, 6);
    fb_redis_link_append(self->link, exec, 1);
    fb_buffer_dispose(&numbers);
    return fb_redis_link_flush(self->link, error);
}

/* What was asked for: `*both` is the head and the entries. */
static fb_code_t receive_entries(fb_store_redis_t *self, redisReply **both, fb_error_t *error)
{
    fb_code_t code = FB_OK;
    fb_error_t refused = {0}; /* the first refusal says why; EXEC only that there was one */
    for (int i = 0; code == FB_OK && i < 4; i++) {
        freeReplyObject(*both);
        *both = NULL;
        code = fb_redis_link_reply(self->link, both, error);
        if (code == FB_OK && (*both)->type == REDIS_REPLY_ERROR && refused.code == FB_OK)
            fb_fail(&refused, FB_IO, "%s", (*both)->str);
    }
    if (code == FB_OK && refused.code != FB_OK)
        return fb_redis_link_refused(self->link, fb_slice(refused.detail), error);
    if (code == FB_OK && !is_array(*both, 2))
        return fb_fail(error, FB_UNAVAILABLE, "Redis at %s gave an answer that no EXEC gives",
                       fb_redis_link_name(self->link));
    return code;
}

static fb_code_t check_reach(const fb_position_t *head, const redisReply *entries,
                             uint64_t revision, fb_error_t *error)
{
    if (head->revision < revision)
        return fb_fail(error, FB_DIVERGED, "the log ends with revision %llu, before %llu",
                       (unsigned long long)head->revision, (unsigned long long)revision);
    if (head->revision > revision && entries->elements == 0)
        return fb_fail(error, FB_TRIMMED, "the log no longer has revision %llu",
                       (unsigned long long)(revision + 1));
    return FB_OK;
}

/* Hands the entries on; `*revision` is that of the last one. */
static fb_code_t
hand_on(const fb_store_redis_t *self, const redisReply *entries, uint64_t *revision,
        fb_code_t (*on_entry)(void *context, const fb_entry_t *entry, fb_error_t *error),
        void *context, fb_error_t *error)
{
    for (size_t i = 0; i < entries->elements; i++) {
        fb_entry_t entry;
        fb_code_t code;
        if (!parse_entry(entries->element[i], &entry))
            code = fb_fail(error, FB_CONFIG, "%s in Redis at %s has a strange entry", self->log_key,
                           fb_redis_link_name(self->link));
        else if (entry.revision != *revision + 1)
            code = fb_fail(error, FB_TRIMMED, "the log no longer has revision %llu",
                           (unsigned long long)(*revision + 1));
        else
            code = on_entry(context, &entry, error);
        if (code != FB_OK)
            return code;
        ++*revision;
    }
    return FB_OK;
}

static fb_code_t check_entries(const fb_store_redis_t *self, const redisReply *both,
                               uint64_t revision, fb_position_t *head, fb_error_t *error)
{
    if (is_array(both->element[0], HEAD_FIELDS) && is_empty_head(both->element[0]))
        return fb_fail(error, FB_DIVERGED, "Redis at %s has no such fleet any more",
                       fb_redis_link_name(self->link));
    fb_code_t code = read_head(self, both->element[0], head, error);
    return code == FB_OK ? check_reach(head, both->element[1], revision, error) : code;
}

static fb_code_t redis_read(fb_store_t *store, uint64_t revision, size_t max,
                            fb_code_t (*on_entry)(void *context, const fb_entry_t *entry,
                                                  fb_error_t *error),
                            void *context, size_t *count, fb_position_t *head, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    uint64_t at = revision;
    size_t chunk = max < READ_CHUNK ? max : READ_CHUNK;
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK)
        code = ask_entries(self, at, chunk, error);
    *count = 0;
    for (bool more = true; code == FB_OK && more;) {
        redisReply *both = NULL;
        code = receive_entries(self, &both, error);
        if (code == FB_OK)
            code = check_entries(self, both, at, head, error);
        size_t left = max - *count - chunk;
        more = code == FB_OK && left > 0 && both->element[1]->elements == chunk;
        /* Redis reads the next ones while these are handed on. */
        if (more)
            code = ask_entries(self, at + chunk, left < READ_CHUNK ? left : READ_CHUNK, error);
        fb_code_t taken = code;
        if (code == FB_OK)
            taken = hand_on(self, both->element[1], &at, on_entry, context, error);
        if (more && code == FB_OK && taken != FB_OK)
            fb_redis_link_close(self->link); /* with the answer that nobody wants any more */
        code = taken;
        *count = (size_t)(at - revision);
        chunk = left < READ_CHUNK ? left : READ_CHUNK;
        freeReplyObject(both);
    }
    return code;
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
    .begin_epoch = redis_begin_epoch,
    .load = fb_store_redis_load,
    .durability = fb_store_redis_durability,
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
    self->is_private = options->is_private;
    self->link = fb_redis_link_create(&url, options->timeout_ms);
    fb_redis_url_dispose(&url);
    *store = &self->store;
    return FB_OK;
}
