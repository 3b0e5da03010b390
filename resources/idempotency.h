/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/resource.h"

/* The keys of commands that were done (Idempotency-Key, draft-ietf-httpapi-idempotency-key-header):
 * who repeats one, because its answer was lost, is told what came of the first one.
 *
 * Its row is put by the very change that does the command, so that one is never there without the
 * other. The rows are a ring: each put takes the slot after the newest row, at the end of the ring
 * a new one while it may grow, else slot 1.
 *
 *     slot     1   2   3   4   5
 *     number  11  12  13   9  10      the newest is 13: the next one is 14, in slot 4
 *
 * Numbers ascend along the slots with one break, so the newest is found by halving, and nothing
 * else has to be kept. That is so however large the ring may be: each change looks at its own
 * limit, and only at the end of the ring. */
enum {
    FB_IDEMPOTENCY_KEY,         /* PATH KEY; null: it was too old, and is in another slot now */
    FB_IDEMPOTENCY_FINGERPRINT, /* of the body: XXH3-128, in hexadecimal digits */
    FB_IDEMPOTENCY_FIRST_ID,    /* the ids of the path that shows what was done; null: none */
    FB_IDEMPOTENCY_SECOND_ID,
    FB_IDEMPOTENCY_NUMBER, /* 1, 2, ... */
    FB_IDEMPOTENCY_CREATED,
    FB_IDEMPOTENCY_FIELDS,
};

#define FB_IDEMPOTENCY_KEYS_DEFAULT 100000
#define FB_IDEMPOTENCY_AGE_MS       ((fb_instant_t)86400000) /* after which a key is not known */
#define FB_IDEMPOTENCY_KEY_BYTES    100                      /* at most */
#define FB_IDEMPOTENCY_PATH_BYTES   100                      /* at most */
#define FB_IDEMPOTENCY_PRINT_BYTES  32

/* A request with a key, as its row knows it. */
typedef struct {
    char key[FB_IDEMPOTENCY_PATH_BYTES + 1 + FB_IDEMPOTENCY_KEY_BYTES + 1];
    char fingerprint[FB_IDEMPOTENCY_PRINT_BYTES + 1];
} fb_idempotency_t;

/* Reads the header field: a string of RFC 8941, section 3.3.3, or the same without its quotes, of 1
 * to FB_IDEMPOTENCY_KEY_BYTES visible ASCII characters. Parameters are passed over. FB_MALFORMED
 * names the field. `path` and `ids` are those of the command. */
fb_code_t fb_idempotency_read(fb_idempotency_t *request, const char *path, const uint32_t *ids,
                              fb_slice_t field, fb_slice_t body, fb_error_t *error);

/* Was it done before? `*known` says so, and `ids` what came of it. FB_INVALID where the key came
 * with another body. */
fb_code_t fb_idempotency_find(const fb_snapshot_t *snapshot, const fb_idempotency_t *request,
                              fb_instant_t now, bool *known, uint32_t ids[FB_PATH_IDS_MAX],
                              fb_error_t *error);
/* Adds to the change that does it (texts are borrowed) what makes it known. It is not known yet. */
void fb_idempotency_put(const fb_snapshot_t *snapshot, const fb_idempotency_t *request,
                        const uint32_t ids[FB_PATH_IDS_MAX], fb_instant_t now, fb_change_t *change);
