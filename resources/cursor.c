/* SPDX-License-Identifier: MIT */
#include "resources/cursor.h"

#include <xxhash.h>

#include "base/base64url.h"

#define TAG_BYTES    7
#define CURSOR_BYTES (sizeof(uint64_t) + TAG_BYTES)

/* The place, and a fingerprint of the question with it: not a secret, since the place in a list is
 * none. */
static void encode(const fb_field_t *query, unsigned count, const char *path, const fb_args_t *args,
                   uint64_t place, uint8_t bytes[CURSOR_BYTES])
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
    uint64_t hash = XXH3_64bits_withSeed(question.at, question.len, place);
    fb_buffer_dispose(&question);
    memcpy(bytes, &place, sizeof(place));
    memcpy(bytes + sizeof(place), &hash, TAG_BYTES);
}

void fb_cursor_put(fb_buffer_t *buffer, const fb_field_t *query, unsigned count, const char *path,
                   const fb_args_t *args, uint64_t last)
{
    uint8_t bytes[CURSOR_BYTES];
    encode(query, count, path, args, last, bytes);
    fb_buffer_put_char(buffer, '"');
    fb_base64url_put(buffer, bytes, sizeof(bytes));
    fb_buffer_put_char(buffer, '"');
}

fb_code_t fb_cursor_read(const fb_field_t *query, unsigned count, const char *path,
                         const fb_args_t *args, uint64_t *after, fb_error_t *error)
{
    uint8_t bytes[CURSOR_BYTES], expected[CURSOR_BYTES];
    int field = fb_field_find(query, count, FB_SLICE("cursor"));
    *after = 0;
    if (field < 0 || !args->values[field].given)
        return FB_OK;
    if (fb_base64url_read(args->values[field].text, bytes, sizeof(bytes))) {
        memcpy(after, bytes, sizeof(*after));
        encode(query, count, path, args, *after, expected);
        if (*after != 0 && memcmp(bytes, expected, sizeof(bytes)) == 0)
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
