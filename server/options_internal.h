/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/options.h"
#include "server/setting.h"

/* The table of options.c, for options_show.c: the setting with that number, or NULL after the last.
 * Its place in fb_options_t.from has the same number. */
const fb_setting_t *fb_options_setting(size_t number);
/* Does that subcommand take the setting as a flag? */
bool fb_options_is_flag(const fb_setting_t *setting, fb_options_for_t command);
/* The length of "limits" in "limits.idle_timeout"; 0 where the key is in no group. */
size_t fb_options_group_length(const char *key);
