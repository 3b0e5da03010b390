/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/redis_url.h"
#include "server/options.h"

/* What an instance says of itself: written before the loops start. */
#define FB_INSTANCE_BYTES 8 /* hexadecimal digits */

typedef struct {
    uint32_t number;                /* random: another one at each start */
    char id[FB_INSTANCE_BYTES + 1]; /* the number, as command ids begin with it */
    const char *fleet;
    const char *data;                    /* the directory of a private Redis; NULL: there is none */
    char redis[FB_REDIS_URL_TEXT_BYTES]; /* somebody else's, without its password; "": private */
    uint64_t begun_ms;                   /* monotonic */
} fb_instance_t;

/* Borrows the options. */
void fb_instance_init(fb_instance_t *instance, const fb_options_t *options);
