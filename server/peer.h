/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/http_get.h"
#include "server/state.h"

/* Another instance, as its admin listener shows it: what status.json says, and the pages of
 * /state. What it answers is not trusted to be well-formed. */

/* What a checksum is of: the rows of a family, or the days of a plane. */
typedef struct {
    char name[FB_STATE_NAME_BYTES];
    bool is_plane;
    unsigned number; /* of the family, or of the plane */
} fb_subject_t;

#define FB_SUBJECTS_MAX (FB_FAMILIES_MAX + FB_PLANE_COUNT)
_Static_assert(FB_SUBJECTS_MAX <= 32, "a set of subjects has 32 bits");

/* All that there are; returns how many. */
unsigned fb_subjects(fb_subject_t subjects[FB_SUBJECTS_MAX]);

/* A row or a day. */
typedef struct {
    uint32_t key; /* the id, or the day */
    uint64_t sum;
    uint64_t machines; /* of a day */
} fb_thing_t;

/* The first thing of a snapshot from `key` on; false where there is none. */
bool fb_thing_next(const fb_snapshot_t *snapshot, const fb_subject_t *subject, uint32_t key,
                   fb_thing_t *thing);
/* Of a thing that may not be there: another one in a later snapshot says that it was written in
 * between, whatever it is now. */
uint64_t fb_thing_stamp(const fb_snapshot_t *snapshot, const fb_subject_t *subject, uint32_t key);

typedef struct {
    bool is_loaded; /* what follows is there */
    char epoch[FB_EPOCH_BYTES + 1];
    char chain[FB_CHAIN_BYTES + 1];
    uint64_t revision, total;
    uint64_t
        sums[FB_SUBJECTS_MAX]; /* in the order of fb_subjects; 0 of one that it does not know */
} fb_peer_status_t;

typedef struct {
    char epoch[FB_EPOCH_BYTES + 1];
    uint64_t revision;
    fb_thing_t things[FB_STATE_LIMIT_MAX];
    size_t count;
    uint32_t end; /* the page has all things up to this key; UINT32_MAX: there are no more */
} fb_peer_page_t;

typedef struct {
    const char *url;   /* of its admin listener; borrowed */
    const char *fleet; /* that it should serve; borrowed */
    fb_http_t *http;   /* borrowed */
} fb_peer_t;

/* FB_UNAVAILABLE: it does not answer; FB_IO: not as it should, or it serves another fleet. */
fb_code_t fb_peer_status(const fb_peer_t *peer, fb_peer_status_t *status, fb_error_t *error);
/* The things from `key` on, as many as it gives at once. */
fb_code_t fb_peer_page(const fb_peer_t *peer, const fb_subject_t *subject, uint32_t key,
                       fb_peer_page_t *page, fb_error_t *error);
