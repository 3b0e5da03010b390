/* SPDX-License-Identifier: MIT */
#include "persistence/store_redis_internal.h"

/* What CONFIG GET says of a setting; "" where it says nothing. */
static const char *setting(const redisReply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        if (fb_reply_is_text(reply->element[i]) && fb_reply_is_text(reply->element[i + 1]) &&
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

fb_code_t fb_store_redis_durability(fb_store_t *store, bool *fsynced, fb_slice_t *sentence,
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
