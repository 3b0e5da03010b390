/* SPDX-License-Identifier: MIT */
#include "persistence/store_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "persistence/embedded.h"
#include "persistence/store_redis_internal.h"

#define READ_CHUNK_FIRST 16         /* entries of the log that are asked for at once, at first; */
#define READ_CHUNK       250        /* and at most, */
#define READ_BYTES       (4u << 20) /* where those before let expect no more than this of them */
#define HEAD_FIELDS      7
#define STR_(x)          #x
#define STR(x)           STR_(x)

static const char chain_zero[] = "00000000000000000000000000000000";

static bool is_array(const redisReply *reply, size_t elements)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == elements;
}

static bool is_hex(const redisReply *reply, size_t len)
{
    return fb_reply_is_text(reply) && reply->len == len &&
           strspn(reply->str, "0123456789abcdef") == len;
}

fb_code_t fb_store_redis_open(fb_store_redis_t *self, fb_error_t *error)
{
    bool fresh;
    fb_code_t code = fb_redis_link_open(self->link, &fresh, error);
    if (fresh)
        self->has_library = self->has_queues = self->has_leases = false;
    return code;
}

static void random_epoch(char epoch[FB_EPOCH_BYTES + 1])
{
    uint32_t number;
    fb_assert(getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number));
    snprintf(epoch, FB_EPOCH_BYTES + 1, "%08x", number);
}

/* Calls fleetbit_begin_epoch_3: `ended` and `run` as commit.lua says. `*reply` is the head. */
static fb_code_t call_begin_epoch(fb_store_redis_t *self, const char *ended, fb_slice_t run,
                                  redisReply **reply, fb_error_t *error)
{
    char epoch[FB_EPOCH_BYTES + 1];
    random_epoch(epoch);
    fb_slice_t words[] = {FB_SLICE("FCALL"),
                          FB_SLICE("fleetbit_begin_epoch_3"),
                          FB_SLICE("1"),
                          fb_slice(self->head_key),
                          fb_slice(ended),
                          fb_slice(epoch),
                          run};
    fb_code_t code = fb_redis_link_call(self->link, words, 7, reply, error);
    if (code == FB_OK && is_array(*reply, HEAD_FIELDS) && fb_reply_is_text((*reply)->element[1]) &&
        strcmp((*reply)->element[1]->str, epoch) == 0)
        fb_log_warning("epoch %s begins at revision %s", epoch,
                       fb_reply_is_text((*reply)->element[2]) ? (*reply)->element[2]->str : "");
    return code;
}

fb_code_t fb_store_redis_load_library(fb_store_redis_t *self, fb_slice_t library, fb_error_t *error)
{
    redisReply *reply = NULL;
    fb_slice_t words[] = {FB_SLICE("FUNCTION"), FB_SLICE("LOAD"), FB_SLICE("REPLACE"), library};
    fb_redis_link_append(self->link, words, 4);
    fb_code_t code = fb_redis_link_flush(self->link, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, &reply, error);
    /* Who may not load functions may find it loaded by somebody who may: the call will tell. */
    bool forbidden =
        code == FB_OK && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOPERM ", 7) == 0;
    if (code == FB_OK && reply->type == REDIS_REPLY_ERROR && !forbidden)
        code = fb_redis_link_refused(self->link, fb_reply_slice(reply), error);
    freeReplyObject(reply);
    return code;
}

/* Asks Redis for its run_id, which it has another one of after each start. */
static fb_code_t ask_run(fb_store_redis_t *self, fb_error_t *error)
{
    fb_slice_t words[] = {FB_SLICE("INFO"), FB_SLICE("server")};
    static const char name[] = "\r\nrun_id:";
    redisReply *info = NULL;
    fb_code_t code = fb_redis_link_call(self->link, words, 2, &info, error);
    if (code != FB_OK)
        return code;
    const char *at = info->type == REDIS_REPLY_STRING ? strstr(info->str, name) : NULL;
    const char *run = at != NULL ? at + strlen(name) : "";
    snprintf(self->run, sizeof(self->run), "%.*s", (int)strcspn(run, "\r\n"), run);
    freeReplyObject(info);
    if (self->run[0] == '\0')
        return fb_fail(error, FB_CONFIG, "Redis at %s does not say its run_id",
                       fb_redis_link_name(self->link));
    return FB_OK;
}

/* Each run of a Redis that others use, too, has its own epoch. A connection is to one run; that the
 * head is of the same one, each commit looks: a replica that becomes a master, or the other way
 * round, keeps its connections. */
static fb_code_t begin_run(fb_store_redis_t *self, fb_error_t *error)
{
    redisReply *head = NULL;
    fb_code_t code = ask_run(self, error);
    if (code == FB_OK && !self->is_private)
        code = call_begin_epoch(self, "", fb_slice(self->run), &head, error);
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
    code = fb_store_redis_load_library(self, fb_embedded_commit_lua(), error);
    if (code == FB_OK)
        code = begin_run(self, error);
    self->has_library = code == FB_OK;
    return code;
}

/* "EPOCH REVISION EPOCH REVISION ...", as far as it is that. */
static void read_former(fb_slice_t text, fb_position_t *head)
{
    size_t at = 0;
    for (unsigned i = 0; i < FB_FORMER_MAX; i++) {
        fb_former_t *former = &head->former[i];
        uint64_t until;
        const char *epoch = text.at + at;
        if (text.len - at < FB_EPOCH_BYTES + 2 || epoch[FB_EPOCH_BYTES] != ' ' ||
            strspn(epoch, "0123456789abcdef") != FB_EPOCH_BYTES)
            return;
        at += FB_EPOCH_BYTES + 1;
        const char *blank = memchr(text.at + at, ' ', text.len - at);
        size_t end = blank != NULL ? (size_t)(blank - text.at) : text.len;
        if (!fb_slice_to_u64((fb_slice_t){text.at + at, end - at}, INT64_MAX, &until))
            return;
        memcpy(former->epoch, epoch, FB_EPOCH_BYTES);
        former->until = until;
        at = blank != NULL ? end + 1 : end;
    }
}

/* The sum, `since` and former epochs of a head, which one that an early version made does not
 * have. */
static void read_head_extras(const redisReply *reply, fb_position_t *head)
{
    if (is_hex(reply->element[4], FB_SUM_BYTES))
        memcpy(head->sum, reply->element[4]->str, FB_SUM_BYTES + 1);
    if (fb_reply_is_text(reply->element[5]))
        fb_slice_to_u64(fb_reply_slice(reply->element[5]), INT64_MAX, &head->since);
    if (fb_reply_is_text(reply->element[6]))
        read_former(fb_reply_slice(reply->element[6]), head);
}

/* From schema, epoch, revision, chain, sum, since and former, as Redis keeps them. */
static fb_code_t read_head(const fb_store_redis_t *self, const redisReply *reply,
                           fb_position_t *head, fb_error_t *error)
{
    memset(head, 0, sizeof(*head)); /* so that equal ones have equal bytes */
    if (!is_array(reply, HEAD_FIELDS) || !fb_reply_is_text(reply->element[0]) ||
        !is_hex(reply->element[1], FB_EPOCH_BYTES) || !fb_reply_is_text(reply->element[2]) ||
        !is_hex(reply->element[3], FB_CHAIN_BYTES) ||
        !fb_slice_to_u64(fb_reply_slice(reply->element[2]), INT64_MAX, &head->revision))
        return fb_fail(error, FB_CONFIG, "%s in Redis at %s is not the head of a fleet",
                       self->head_key, fb_redis_link_name(self->link));
    fb_slice_t schema = fb_reply_slice(reply->element[0]);
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
#define HEAD_WORDS 9
static void head_words(const fb_store_redis_t *self, fb_slice_t words[HEAD_WORDS])
{
    const fb_slice_t ask[HEAD_WORDS] = {
        FB_SLICE("HMGET"), fb_slice(self->head_key), FB_SLICE("schema"),
        FB_SLICE("epoch"), FB_SLICE("revision"),     FB_SLICE("chain"),
        FB_SLICE("sum"),   FB_SLICE("since"),        FB_SLICE("former")};
    memcpy(words, ask, sizeof(ask));
}

/* Makes the head of a fleet that has none; `*reply` is the head. */
static fb_code_t call_init(fb_store_redis_t *self, redisReply **reply, fb_error_t *error)
{
    char epoch[FB_EPOCH_BYTES + 1];
    random_epoch(epoch);
    fb_code_t code = open_for_call(self, error);
    if (code == FB_OK) {
        fb_slice_t init[] = {FB_SLICE("FCALL"),
                             FB_SLICE("fleetbit_init_3"),
                             FB_SLICE("1"),
                             fb_slice(self->head_key),
                             FB_SLICE(STR(FB_SCHEMA_VERSION)),
                             fb_slice(epoch),
                             fb_slice(chain_zero),
                             fb_slice(self->run)};
        code = fb_redis_link_call(self->link, init, 8, reply, error);
    }
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
    fb_position_t now = {.revision = 0};
    fb_code_t code = open_for_call(self, error);
    /* Nobody else begins one: another epoch there than the one that ends is a former one, which
     * came back with a former state. */
    if (code == FB_OK && self->is_private)
        code = redis_head(store, &now, error);
    if (code == FB_OK)
        code = call_begin_epoch(self, self->is_private ? now.epoch : ended, FB_SLICE(""), &reply,
                                error);
    bool is_new = code == FB_OK && is_empty_head(reply);
    if (code == FB_OK && !is_new)
        code = read_head(self, reply, head, error);
    freeReplyObject(reply);
    return is_new ? redis_head(store, head, error) : code;
}

#define HEAD_OF_COMMIT 13 /* words before those of the entries */

static void append_commit(fb_store_redis_t *self, const fb_position_t *expected,
                          const fb_entry_t *entries, size_t count)
{
    const uint64_t numbers[] = {expected->revision, self->took_us, self->log_length,
                                self->history_length, self->history_age_ms};
    char texts[5][24];
    for (size_t i = 0; i < 5; i++)
        snprintf(texts[i], sizeof(texts[i]), "%llu", (unsigned long long)numbers[i]);
    fb_slice_t *words = fb_alloc((HEAD_OF_COMMIT + 4 * count) * sizeof(*words));
    words[0] = FB_SLICE("FCALL");
    words[1] = FB_SLICE("fleetbit_commit_3");
    words[2] = FB_SLICE("1");
    words[3] = fb_slice(self->head_key);
    words[4] = FB_SLICE(STR(FB_SCHEMA_VERSION));
    words[5] = fb_slice(expected->epoch);
    words[6] = fb_slice(texts[0]);
    words[7] = fb_slice(expected->chain);
    words[8] = self->is_private ? FB_SLICE("") : fb_slice(self->run);
    for (size_t i = 1; i < 5; i++)
        words[8 + i] = fb_slice(texts[i]);
    for (size_t i = 0; i < count; i++) {
        fb_slice_t *of_entry = &words[HEAD_OF_COMMIT + 4 * i];
        of_entry[0] = fb_slice(entries[i].chain);
        of_entry[1] = fb_slice(entries[i].command);
        of_entry[2] = fb_slice(entries[i].sum);
        of_entry[3] = entries[i].payload;
    }
    fb_redis_link_append(self->link, words, HEAD_OF_COMMIT + 4 * count);
    free(words);
}

static fb_code_t commit_answer(fb_store_redis_t *self, const fb_position_t *expected,
                               const redisReply *reply, fb_error_t *error)
{
    if (reply->type == REDIS_REPLY_ERROR)
        return fb_redis_link_refused(self->link, fb_reply_slice(reply), error);
    if (reply->type == REDIS_REPLY_STATUS && fb_slice_is(fb_reply_slice(reply), "OK"))
        return FB_OK;
    if (is_array(reply, 4) && fb_reply_is_text(reply->element[0]) &&
        fb_slice_is(fb_reply_slice(reply->element[0]), "STALE"))
        return fb_fail(error, FB_STALE, "the log's head is %s.%s, not %s.%llu",
                       fb_reply_is_text(reply->element[1]) ? reply->element[1]->str : "",
                       fb_reply_is_text(reply->element[2]) ? reply->element[2]->str : "",
                       expected->epoch, (unsigned long long)expected->revision);
    if (is_array(reply, 1) && fb_reply_is_text(reply->element[0]) &&
        fb_slice_is(fb_reply_slice(reply->element[0]), "RUN")) {
        self->has_library = false; /* so that the next call begins an epoch first */
        return fb_fail(error, FB_STALE, "the log is of another run than Redis at %s",
                       fb_redis_link_name(self->link));
    }
    return fb_fail(error, FB_OUTCOME_UNKNOWN, "Redis at %s gave an answer that no commit gives",
                   fb_redis_link_name(self->link));
}

static fb_code_t redis_commit(fb_store_t *store, const fb_position_t *expected,
                              const fb_entry_t *entries, size_t count,
                              const fb_store_waiter_t *waiter, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    redisReply *reply = NULL;
    fb_code_t code = fb_store_check_commit(expected, entries, count, error);
    if (code == FB_OK)
        code = open_for_call(self, error);
    if (code != FB_OK)
        return code;
    uint64_t begun_ns = fb_clock_monotonic_ns();
    append_commit(self, expected, entries, count);
    code = fb_redis_link_flush(self->link, error);
    if (code != FB_OK)
        return code;
    if (waiter != NULL)
        code = fb_redis_link_attend(self->link, waiter->on_waiting, waiter->context, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, &reply, error);
    if (code == FB_UNAVAILABLE) {
        /* It was sent whole: Redis may have run it, or may yet. */
        error->code = FB_OUTCOME_UNKNOWN;
        return FB_OUTCOME_UNKNOWN;
    }
    self->took_us = (fb_clock_monotonic_ns() - begun_ns) / 1000;
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
    if (!is_array(reply, 2) || !fb_reply_is_text(reply->element[0]) ||
        reply->element[1]->type != REDIS_REPLY_ARRAY || reply->element[1]->elements % 2 != 0)
        return false;
    fb_slice_t id = fb_reply_slice(reply->element[0]);
    if (id.len < 3 || memcmp(id.at + id.len - 2, "-0", 2) != 0 ||
        !fb_slice_to_u64((fb_slice_t){id.at, id.len - 2}, INT64_MAX, &entry->revision))
        return false;
    for (size_t i = 0; i < reply->element[1]->elements; i += 2) {
        const redisReply *field = reply->element[1]->element[i];
        const redisReply *value = reply->element[1]->element[i + 1];
        if (!fb_reply_is_text(field) || !fb_reply_is_text(value))
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
            entry->payload = fb_reply_slice(value);
            change = true;
        }
    }
    return chain && command && change;
}

/* Asks for the head, at most `max` entries after `revision`, and the head again. Not in a MULTI,
 * which a Redis refuses that has no memory left for writes. */
static fb_code_t ask_entries(fb_store_redis_t *self, uint64_t revision, size_t max,
                             fb_error_t *error)
{
    fb_buffer_t numbers = {0};
    fb_buffer_put_u64(&numbers, revision + 1);
    size_t split = numbers.len;
    fb_buffer_put_u64(&numbers, max);
    fb_slice_t ask_head[HEAD_WORDS];
    fb_slice_t ask_log[] = {FB_SLICE("XRANGE"),  fb_slice(self->log_key),
                            {numbers.at, split}, FB_SLICE("+"),
                            FB_SLICE("COUNT"),   {numbers.at + split, numbers.len - split}};
    head_words(self, ask_head);
    fb_redis_link_append(self->link, ask_head, HEAD_WORDS);
    fb_redis_link_append(self->link, ask_log, 6);
    fb_redis_link_append(self->link, ask_head, HEAD_WORDS);
    fb_buffer_dispose(&numbers);
    return fb_redis_link_flush(self->link, error);
}

static fb_code_t receive_head(fb_store_redis_t *self, fb_position_t *head, fb_error_t *error)
{
    redisReply *reply = NULL;
    fb_code_t code = fb_redis_link_reply(self->link, &reply, error);
    if (code == FB_OK && reply->type == REDIS_REPLY_ERROR)
        code = fb_redis_link_refused(self->link, fb_reply_slice(reply), error);
    else if (code == FB_OK && is_array(reply, HEAD_FIELDS) && is_empty_head(reply))
        code = fb_fail(error, FB_DIVERGED, "Redis at %s has no such fleet any more",
                       fb_redis_link_name(self->link));
    else if (code == FB_OK)
        code = read_head(self, reply, head, error);
    freeReplyObject(reply);
    return code;
}

/* What was asked for. `*again`: the head has moved between the two, so that it is not known of
 * which epoch the entries are. A failure closes the link where an answer is still to come. */
static fb_code_t receive_entries(fb_store_redis_t *self, redisReply **entries, fb_position_t *head,
                                 bool *again, fb_error_t *error)
{
    fb_position_t before;
    fb_code_t code = receive_head(self, &before, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(self->link, entries, error);
    if (code == FB_OK && (*entries)->type == REDIS_REPLY_ERROR)
        code = fb_redis_link_refused(self->link, fb_reply_slice(*entries), error);
    if (code != FB_OK) {
        fb_redis_link_close(self->link);
        return code;
    }
    code = receive_head(self, head, error);
    *again = code == FB_OK &&
             (before.revision != head->revision || strcmp(before.chain, head->chain) != 0 ||
              strcmp(before.epoch, head->epoch) != 0);
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

/* How many entries to ask for, of those that are left: a batch of reports is a thousand times as
 * long as a report. */
static size_t chunk_of(const fb_store_redis_t *self, size_t left)
{
    size_t most = self->entry_bytes > 0 ? READ_BYTES / self->entry_bytes : READ_CHUNK_FIRST;
    most = most > READ_CHUNK ? READ_CHUNK : most < 1 ? 1 : most;
    return left < most ? left : most;
}

/* Hands the entries on; `*revision` is that of the last one. */
static fb_code_t hand_on(fb_store_redis_t *self, const redisReply *entries, uint64_t *revision,
                         fb_code_t (*on_entry)(void *context, const fb_entry_t *entry,
                                               fb_error_t *error),
                         void *context, fb_error_t *error)
{
    size_t bytes = 0;
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
        bytes += entry.payload.len;
        ++*revision;
    }
    if (entries->elements > 0)
        self->entry_bytes = bytes / entries->elements + 1;
    return FB_OK;
}

static fb_code_t redis_read(fb_store_t *store, uint64_t revision, size_t max,
                            fb_code_t (*on_entry)(void *context, const fb_entry_t *entry,
                                                  fb_error_t *error),
                            void *context, size_t *count, fb_position_t *head, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    uint64_t at = revision;
    size_t chunk = chunk_of(self, max);
    fb_code_t code = fb_store_redis_open(self, error);
    if (code == FB_OK)
        code = ask_entries(self, at, chunk, error);
    *count = 0;
    for (bool more = true; code == FB_OK && more;) {
        redisReply *entries = NULL;
        bool again = false;
        code = receive_entries(self, &entries, head, &again, error);
        if (code == FB_OK && !again)
            code = check_reach(head, entries, at, error);
        size_t left = again ? max - *count : max - *count - chunk;
        size_t next = chunk_of(self, left);
        more = code == FB_OK && left > 0 && (again || entries->elements == chunk);
        /* Redis reads the next ones while these are handed on. */
        if (more)
            code = ask_entries(self, again ? at : at + chunk, next, error);
        fb_code_t taken = code;
        if (code == FB_OK && !again)
            taken = hand_on(self, entries, &at, on_entry, context, error);
        if (more && code == FB_OK && taken != FB_OK)
            fb_redis_link_close(self->link); /* with the answers that nobody wants any more */
        code = taken;
        *count = (size_t)(at - revision);
        chunk = next;
        freeReplyObject(entries);
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
    .history = fb_store_redis_history,
    .rows = fb_store_redis_rows,
    .queue_take = fb_store_redis_queue_take,
    .queue_claim = fb_store_redis_queue_claim,
    .queue_done = fb_store_redis_queue_done,
    .queue_leave = fb_store_redis_queue_leave,
    .queue_info = fb_store_redis_queue_info,
    .lease_take = fb_store_redis_lease_take,
    .lease_leave = fb_store_redis_lease_leave,
    .notes_put = fb_store_redis_notes_put,
    .notes_read = fb_store_redis_notes_read,
    .durability = fb_store_redis_durability,
    .log_length = fb_store_redis_log_length,
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
    self->history_length = options->history_length;
    self->history_age_ms = options->history_age_ms;
    self->is_private = options->is_private;
    self->link = fb_redis_link_create(&url, options->timeout_ms);
    fb_redis_url_dispose(&url);
    *store = &self->store;
    return FB_OK;
}
