/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/options.h"
#include "server/setting.h"

/* The table of options.c, for its neighbours: the setting with that number, or NULL after the last.
 * Its place in fb_options_t.from has the same number. */
const fb_setting_t *fb_options_setting(size_t number);
/* Does that subcommand take the setting as a flag? */
bool fb_options_is_flag(const fb_setting_t *setting, fb_options_for_t command);
/* The length of "limits" in "limits.idle_timeout"; 0 where the key is in no group. */
size_t fb_options_group_length(const char *key);

/* --- options_flags.c ----------------------------------------------------------------------- */

#define FB_OPTIONS_GIVEN_MAX 64 /* flags of one command line */

typedef struct {
    const fb_setting_t *setting;
    const char *text;
} fb_options_given_flag_t;

typedef struct {
    fb_options_given_flag_t flags[FB_OPTIONS_GIVEN_MAX];
    unsigned count;
} fb_options_given_t;

/* The setting with that flag, or NULL. */
const fb_setting_t *fb_options_flag(fb_slice_t flag);
/* Takes a command line apart; it is borrowed. FB_CONFIG where it is not such as the command takes.
 */
fb_code_t fb_options_take_flags(fb_options_for_t command, int argc, char **argv,
                                fb_options_given_t *given, fb_error_t *error);
/* What was given for a flag; NULL: it was not. */
const char *fb_options_given_text(const fb_options_given_t *given, const char *flag);
