/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "resources/stage.h"
#include "server/batch.h"
#include "server/fleet.h"
#include "server/schema.h"
#include "server/turns.h"

/* What fleet.c (loading, following the log) and commit.c (writing it) share. */
struct fb_fleet {
    fb_store_t *store;
    fb_shelf_t *shelf;
    const fb_rules_t *rules;
    uint64_t hash_seed;
    uint64_t random_state; /* of the pauses of those who lost a race */
    uint32_t author;
    fb_turns_t turns;
    fb_fleet_stats_t stats;
    fb_news_t *news; /* NULL: none */
    fb_news_batch_t heard;
    fb_fleet_hooks_t hooks;
    const fb_batch_t *under_way;  /* that the next one may be planned upon; NULL: there is none */
    fb_batch_t ahead;             /* planned upon it */
    const fb_snapshot_t *current; /* what the shelf has; NULL before the first load */
    uint64_t shelf_number;        /* of `current` */
    fb_store_schema_t schema;
    fb_store_family_t families[FB_FAMILIES_MAX];
    unsigned family_ids[FB_FAMILIES_MAX]; /* of the schema's families: their numbers here */
    fb_schema_names_t names[FB_FAMILIES_MAX];
};

/* Seals the stage and makes it the current snapshot. */
void fb_fleet_put_on_shelf(fb_fleet_t *fleet, fb_stage_t **stage);

/* Entries on their way from the log, or from publications, into a stage. */
typedef struct {
    fb_fleet_t *fleet;
    fb_stage_t *stage;   /* NULL until the first entry: then the next snapshot is begun */
    const char *command; /* the command id that is looked for; NULL: none */
    bool found;
    bool is_load; /* the state is not what the log's authors had before its end is reached */
} fb_reading_t;

/* Applies one entry, which must continue the state: FB_DIVERGED. */
fb_code_t fb_fleet_apply(fb_reading_t *reading, const fb_entry_t *entry, fb_error_t *error);
/* Applies what the log has, up to its head, and takes on the head's epoch. FB_DIVERGED, FB_TRIMMED
 * where the log does not continue the state. */
fb_code_t fb_fleet_read_log(fb_reading_t *reading, fb_error_t *error);
/* Holds the state against the checksum of its position: what differs is an alarm. */
void fb_fleet_check_sum(fb_fleet_t *fleet, const fb_snapshot_t *snapshot);
void fb_fleet_sum_text(const fb_snapshot_t *snapshot, char text[FB_SUM_BYTES + 1]);
/* The head of the log has been seen. */
void fb_fleet_saw_head(fb_fleet_t *fleet, uint64_t revision);
/* The author of a command: the first 8 digits of its id. */
uint32_t fb_fleet_author_of(const char *command);

/* What following the log came upon. */
typedef struct {
    bool found;    /* the command that was looked for */
    bool reloaded; /* the log could not be followed: what was in it is not known */
} fb_followed_t;

/* As fb_fleet_catch_up; looks for the command of that id (NULL: for none). */
fb_code_t fb_fleet_follow(fb_fleet_t *fleet, const char *command, fb_followed_t *followed,
                          fb_error_t *error);
