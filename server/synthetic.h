/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/fleet.h"

/* A synthetic fleet: machine n is always the same one, by a generator that is seeded with n; only
 * its windows of maintenance are laid from today on. */
typedef struct {
    const fb_rules_t *rules;
    fb_day_t today;
    uint32_t days;   /* over which maintenance is spread */
    bool has_states; /* each machine has reported one */
} fb_synthetic_t;

#define FB_SYNTHETIC_WINDOWS_MAX 3

/* Fills a zeroed write with the command that creates machine n (1, 2, ...). */
void fb_synthetic_machine(const fb_synthetic_t *synthetic, uint32_t n, fb_write_t *write);
/* How many windows machine n has: most have none. */
unsigned fb_synthetic_windows(const fb_synthetic_t *synthetic, uint32_t n);
/* Fills a zeroed write with the command that gives the machine with this id its k-th window. */
void fb_synthetic_window(const fb_synthetic_t *synthetic, uint32_t n, unsigned k, uint32_t id,
                         fb_write_t *write);

/* Hands over up to FB_SYNTHETIC_BATCH writes; returns once each has its answer. */
typedef fb_code_t (*fb_synthetic_commit_t)(void *context, fb_write_t *const *writes, size_t count,
                                           fb_error_t *error);
#define FB_SYNTHETIC_BATCH 1000

/* Creates machines first, first + 1, ... (`count` of them) with their windows, in batches;
 * `on_progress` (NULL: none) is told how many machines are done. */
fb_code_t fb_synthetic_create(const fb_synthetic_t *synthetic, uint32_t first, uint32_t count,
                              fb_synthetic_commit_t commit,
                              void (*on_progress)(void *context, uint32_t done), void *context,
                              fb_error_t *error);
