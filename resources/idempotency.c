/* SPDX-License-Identifier: MIT */
#include "resources/idempotency.h"

#include <stdio.h>

#include <xxhash.h>

#include "base/assert.h"
#include "resources/registry.h"

#define FIELD_NAME "Idempotency-Key"

static const fb_field_t fields[] = {
    [FB_IDEMPOTENCY_KEY] = {"key", "the path of the command and its key", 1,
                            sizeof(((fb_idempotency_t *)0)->key) - 1, FB_KIND_TEXT,
                            FB_ASSIGNED | FB_NULLABLE | FB_UNIQUE},
    [FB_IDEMPOTENCY_FINGERPRINT] = {"fingerprint", "of its body", FB_IDEMPOTENCY_PRINT_BYTES,
                                    FB_IDEMPOTENCY_PRINT_BYTES, FB_KIND_TEXT,
                                    FB_ASSIGNED | FB_NULLABLE},
    [FB_IDEMPOTENCY_FIRST_ID] = {"first_id", "what it was about", 1, UINT32_MAX, FB_KIND_INTEGER,
                                 FB_ASSIGNED | FB_NULLABLE | FB_OMITTED},
    [FB_IDEMPOTENCY_SECOND_ID] = {"second_id", "the second id of that path", 1, UINT32_MAX,
                                  FB_KIND_INTEGER, FB_ASSIGNED | FB_NULLABLE | FB_OMITTED},
    [FB_IDEMPOTENCY_NUMBER] = {"number", "how many keys there were with it", 1, INT64_MAX,
                               FB_KIND_INTEGER, FB_ASSIGNED},
    [FB_IDEMPOTENCY_CREATED] = {"created_at", "when it was done", 0, INT64_MAX, FB_KIND_INSTANT,
                                FB_ASSIGNED},
};

/* --- the header field ---------------------------------------------------------------------- */

static bool is_visible(char c)
{
    return c > ' ' && c <= '~';
}

/* What is within the quotes, as it is written there: two texts that differ are two keys. */
static bool read_string(fb_slice_t field, fb_slice_t *key)
{
    size_t at = 1;
    while (at < field.len && field.at[at] != '"') {
        at += field.at[at] == '\\' ? 1 : 0;
        if (at == field.len || !is_visible(field.at[at]))
            return false;
        at++;
    }
    *key = (fb_slice_t){field.at + 1, at - 1};
    return at < field.len && (at + 1 == field.len || field.at[at + 1] == ';');
}

/* What RFC 8941 has a meaning for may be a list, or a key with parameters: no bare key. */
static bool read_bare(fb_slice_t field, fb_slice_t *key)
{
    *key = field;
    for (size_t at = 0; at < field.len; at++) {
        if (!is_visible(field.at[at]) || memchr("\",;\\", field.at[at], 4) != NULL)
            return false;
    }
    return true;
}

fb_code_t fb_idempotency_read(fb_idempotency_t *request, const char *path, const uint32_t *ids,
                              fb_slice_t field, fb_slice_t body, fb_error_t *error)
{
    fb_slice_t key;
    bool is_string = field.len > 0 && field.at[0] == '"';
    bool good = is_string ? read_string(field, &key) : read_bare(field, &key);
    if (!good || key.len == 0 || key.len > FB_IDEMPOTENCY_KEY_BYTES)
        return fb_fail_field(error, FB_MALFORMED, FB_SLICE(FIELD_NAME),
                             "must be a string in quotes, of 1 to %d visible ASCII characters",
                             FB_IDEMPOTENCY_KEY_BYTES);
    fb_buffer_t text = {0};
    fb_registry_put_path(&text, path, ids);
    fb_assert(text.len <= FB_IDEMPOTENCY_PATH_BYTES);
    snprintf(request->key, sizeof(request->key), "%.*s %.*s", FB_PRINT(fb_buffer_slice(&text)),
             FB_PRINT(key));
    fb_buffer_dispose(&text);
    XXH128_hash_t print = XXH3_128bits(body.at, body.len);
    snprintf(request->fingerprint, sizeof(request->fingerprint), "%016llx%016llx",
             (unsigned long long)print.high64, (unsigned long long)print.low64);
    return FB_OK;
}

/* --- the ring ------------------------------------------------------------------------------ */

static int64_t number_of(const fb_row_t *row, unsigned field)
{
    return fb_row_value(row, fields, field).number;
}

/* A row that somebody took out by hand is older than all others. */
static int64_t number_at(const fb_snapshot_t *snapshot, uint32_t slot)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_IDEMPOTENCY, slot);
    return row != NULL ? number_of(row, FB_IDEMPOTENCY_NUMBER) : 0;
}

/* The slot of the newest row: the last one of those that are not older than that of slot 1. There
 * is one. */
static uint32_t newest_slot(const fb_snapshot_t *snapshot)
{
    uint32_t low = 1, high = snapshot->families[FB_IDEMPOTENCY].last_id;
    int64_t first = number_at(snapshot, 1);
    while (low < high) {
        uint32_t middle = high - (high - low) / 2;
        if (number_at(snapshot, middle) >= first)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static uint32_t next_slot(const fb_snapshot_t *snapshot, int64_t *number)
{
    uint32_t last = snapshot->families[FB_IDEMPOTENCY].last_id;
    uint64_t max = snapshot->rules->idempotency_keys_max;
    *number = 1;
    if (last == 0)
        return 1;
    uint32_t newest = newest_slot(snapshot);
    *number = number_at(snapshot, newest) + 1;
    bool has_end = newest == last && last >= (max > 0 ? max : FB_IDEMPOTENCY_KEYS_DEFAULT);
    return has_end ? 1 : newest + 1;
}

static bool is_too_old(const fb_row_t *row, fb_instant_t now)
{
    return now - number_of(row, FB_IDEMPOTENCY_CREATED) >= FB_IDEMPOTENCY_AGE_MS;
}

static uint32_t slot_of(const fb_snapshot_t *snapshot, const fb_idempotency_t *request)
{
    return fb_snapshot_find(snapshot, FB_IDEMPOTENCY, FB_IDEMPOTENCY_KEY, fb_slice(request->key));
}

fb_code_t fb_idempotency_find(const fb_snapshot_t *snapshot, const fb_idempotency_t *request,
                              fb_instant_t now, bool *known, uint32_t ids[FB_PATH_IDS_MAX],
                              fb_error_t *error)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_IDEMPOTENCY, slot_of(snapshot, request));
    *known = row != NULL && !is_too_old(row, now);
    if (!*known)
        return FB_OK;
    if (!fb_slice_is(fb_row_value(row, fields, FB_IDEMPOTENCY_FINGERPRINT).text,
                     request->fingerprint))
        return fb_fail_field(error, FB_INVALID, FB_SLICE(FIELD_NAME),
                             "was given before, with another body: a new request has a new key");
    for (unsigned i = 0; i < FB_PATH_IDS_MAX; i++)
        ids[i] = (uint32_t)number_of(row, FB_IDEMPOTENCY_FIRST_ID + i);
    return FB_OK;
}

static fb_value_t number_value(int64_t number)
{
    return (fb_value_t){.given = true, .number = number};
}

/* Its key is known again soon, in another slot: of two rows, it is that one's. */
static void take_key(const fb_snapshot_t *snapshot, uint32_t slot, fb_change_t *change)
{
    const fb_row_t *row = fb_snapshot_row(snapshot, FB_IDEMPOTENCY, slot);
    fb_value_t values[FB_FIELDS_MAX];
    for (unsigned f = 0; f < FB_COUNT(fields); f++)
        values[f] = (fb_value_t){.given = true, .null = true};
    values[FB_IDEMPOTENCY_NUMBER] = fb_row_value(row, fields, FB_IDEMPOTENCY_NUMBER);
    values[FB_IDEMPOTENCY_CREATED] = fb_row_value(row, fields, FB_IDEMPOTENCY_CREATED);
    fb_change_put(change, FB_IDEMPOTENCY, slot, values);
}

void fb_idempotency_put(const fb_snapshot_t *snapshot, const fb_idempotency_t *request,
                        const uint32_t ids[FB_PATH_IDS_MAX], fb_instant_t now, fb_change_t *change)
{
    fb_value_t values[FB_FIELDS_MAX];
    int64_t number;
    uint32_t before = slot_of(snapshot, request), slot = next_slot(snapshot, &number);
    if (before != 0 && before != slot)
        take_key(snapshot, before, change);
    values[FB_IDEMPOTENCY_KEY] = (fb_value_t){.given = true, .text = fb_slice(request->key)};
    values[FB_IDEMPOTENCY_FINGERPRINT] =
        (fb_value_t){.given = true, .text = fb_slice(request->fingerprint)};
    for (unsigned i = 0; i < FB_PATH_IDS_MAX; i++) {
        values[FB_IDEMPOTENCY_FIRST_ID + i] = number_value(ids[i]);
        values[FB_IDEMPOTENCY_FIRST_ID + i].null = ids[i] == 0;
    }
    values[FB_IDEMPOTENCY_NUMBER] = number_value(number);
    values[FB_IDEMPOTENCY_CREATED] = number_value(now);
    fb_change_put(change, FB_IDEMPOTENCY, slot, values);
}

const fb_resource_t fb_idempotency = {
    .name = "idempotency",
    .row_name = "idempotency",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_COUNT(fields),
};
