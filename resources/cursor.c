/* SPDX-License-Identifier: MIT */
#include "resources/cursor.h"

#include <xxhash.h>

#include "base/base64url.h"

#define CURSOR_BYTES 12

/* A fingerprint of the question and the id: not a secret, since the place in a list is none. */
static uint64_t tag(const fb_field_t *query, unsigned count, const char *path,
                    const fb_args_t *args, uint32_t id)
{
    fb_buffer_t question = {0};
    fb_buffer_put_text(&question, path);
    fb_buffer_put(&question, args->ids, args->id_count * sizeof(args->ids[0]));
    for (unsigned f = 0; f < count; f++) {
        bool apart = strcmp(query[f].name, "cursor") == 0 || strcmp(query[f].name, "limit") == 0;
        if (apart || !args->values[f].given)
            continue;
        fb_buffer_put_char(&question, '\0');
        fb_buffer_put_text(&question, query[f].name);
        fb_buffer_put_char(&question, '=');
        fb_field_put_text(&query[f], &args->values[f], &question);
    }
    uint64_t hash = XXH3_64bits_withSeed(question.at, question.len, id);
    fb_buffer_dispose(&question);
    return hash;
}

void fb_cursor_put(fb_buffer_t *buffer, const fb_field_t *query, unsigned count, const char *path,
                   const fb_args_t *args, uint32_t last_id)
{
    uint8_t bytes[CURSOR_BYTES];
    uint64_t hash = tag(query, count, path, args, last_id);
    memcpy(bytes, &last_id, sizeof(last_id));
    memcpy(bytes + sizeof(last_id), &hash, sizeof(hash));
    fb_buffer_put_char(buffer, '"');
    fb_base64url_put(buffer, bytes, sizeof(bytes));
    fb_buffer_put_char(buffer, '"');
}

fb_code_t fb_cursor_read(const fb_field_t *query, unsigned count, const char *path,
                         const fb_args_t *args, uint32_t *after, fb_error_t *error)
{
    uint8_t bytes[CURSOR_BYTES];
    uint64_t hash;
    int field = fb_field_find(query, count, FB_SLICE("cursor"));
    *after = 0;
    if (field < 0 || !args->values[field].given)
        return FB_OK;
    if (fb_base64url_read(args->values[field].text, bytes, sizeof(bytes))) {
        memcpy(after, bytes, sizeof(*after));
        memcpy(&hash, bytes + sizeof(*after), sizeof(hash));
        if (*after != 0 && hash == tag(query, count, path, args, *after))
            return FB_OK;
    }
    return fb_fail_field(error, FB_MALFORMED, FB_SLICE("cursor"),
                         "is not one that this list gave out for this question");
}

size_t fb_cursor_limit(const fb_field_t *query, unsigned count, const fb_args_t *args)
{
    int field = fb_field_find(query, count, FB_SLICE("limit"));
    if (field < 0 || !args->values[field].given)
        return FB_LIMIT_DEFAULT;
    return (size_t)args->values[field].number;
}
