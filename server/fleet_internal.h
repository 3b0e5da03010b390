/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "resources/stage.h"
#include "server/fleet.h"

/* What fleet.c (loading, following the log) and commit.c (writing it) share. */
struct fb_fleet {
    fb_store_t *store;
    fb_shelf_t *shelf;
    const fb_rules_t *rules;
    uint64_t hash_seed;
    const fb_snapshot_t *current; /* what the shelf has; NULL before the first load */
    uint64_t shelf_number;        /* of `current` */
    fb_store_schema_t schema;
    fb_store_family_t families[FB_FAMILIES_MAX];
    unsigned family_ids[FB_FAMILIES_MAX]; /* of the schema's families: their numbers here */
    const char *fields[FB_FAMILIES_MAX][FB_FIELDS_MAX];
    char set_names[FB_FAMILIES_MAX][64];
};

/* Seals the stage and makes it the current snapshot. */
void fb_fleet_put_on_shelf(fb_fleet_t *fleet, fb_stage_t **stage);

/* What following the log came upon. */
typedef struct {
    bool found;    /* the command that was looked for */
    bool reloaded; /* the log could not be followed: what was in it is not known */
} fb_followed_t;

/* As fb_fleet_catch_up; looks for the command of that id (NULL: for none). */
fb_code_t fb_fleet_follow(fb_fleet_t *fleet, const char *command, fb_followed_t *followed,
                          fb_error_t *error);
