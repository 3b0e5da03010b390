/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/fleet.h"
#include "server/peer.h"

/* What verify.c (who agrees with whom) and verify_drill.c (in which rows and days not) share.
 *
 * On stdout stands one line for each participant, which begins with its verdict, and one for each
 * difference:
 *
 *     equal redis 4a0d5bc0.1255 de7f5c1a8ded852b
 *     different http://127.0.0.1:8081 4a0d5bc0.1255 5dcba8f50dce2d35: ...
 *     different http://127.0.0.1:8081 machines 42: http://127.0.0.1:8081 has ..., redis has none
 *     unreachable http://127.0.0.1:8082
 */
#define FB_VERIFY_WAIT_MS 5000 /* for an instance to come to the revision of Redis */
#define FB_VERIFY_POLL_MS 50

typedef struct {
    fb_shelf_t *shelf;
    fb_fleet_t *fleet; /* all that Redis holds */
    fb_rules_t rules;
    fb_store_t *log; /* a second connection, for single entries */
    fb_subject_t subjects[FB_SUBJECTS_MAX];
    unsigned subject_count;
    uint64_t target;   /* the revision that Redis had at the beginning: all must come to it */
    bool is_faulty;    /* the rows and days of Redis do not add up to what the log says */
    bool is_explained; /* it was shown by which of them */
    unsigned different, unreachable;
} fb_verifier_t;

void fb_verify_pause(void);
/* Brings what is loaded up to the head of Redis. Never writes to Redis. */
fb_code_t fb_verify_refresh(fb_verifier_t *verifier, fb_error_t *error);

/* Prints in which things of these subjects (bit i: subject i) the peer is not as Redis is, at most
 * 20 of each; `blamed` is whom the lines speak of. What is written meanwhile is left out. The error
 * is one of the peer, of Redis, or that nothing was found. */
fb_code_t fb_verify_drill(fb_verifier_t *verifier, const fb_peer_t *peer, uint32_t subjects,
                          const char *blamed, fb_error_t *error);
