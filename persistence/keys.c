/* SPDX-License-Identifier: MIT */
#include "persistence/keys.h"

#include <stdio.h>

#include "base/set_name.h"

static bool is_fleet_name(const char *fleet)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t len = strlen(fleet);
    return len >= 1 && len <= FB_FLEET_NAME_BYTES_MAX && strspn(fleet, allowed) == len;
}

fb_code_t fb_keys_init(fb_keys_t *keys, const char *fleet, fb_error_t *error)
{
    if (!is_fleet_name(fleet))
        return fb_fail(error, FB_CONFIG,
                       "the name of a fleet is 1 to %d letters, digits, \"_\" or \"-\"",
                       FB_FLEET_NAME_BYTES_MAX);
    snprintf(keys->prefix, sizeof(keys->prefix), "fb:{%s}:", fleet);
    return FB_OK;
}

bool fb_keys_is_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= FB_KEY_NAME_BYTES_MAX && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

void fb_keys_put(const fb_keys_t *keys, fb_buffer_t *buffer, const char *name)
{
    fb_buffer_put_text(buffer, keys->prefix);
    fb_buffer_put_text(buffer, name);
}

void fb_keys_put_row(const fb_keys_t *keys, fb_buffer_t *buffer, const char *row_name, uint32_t id)
{
    fb_keys_put(keys, buffer, row_name);
    fb_buffer_put_char(buffer, ':');
    fb_buffer_put_u64(buffer, id);
}

void fb_keys_put_set(const fb_keys_t *keys, fb_buffer_t *buffer, const char *row_name)
{
    char set_name[FB_KEY_NAME_BYTES_MAX + FB_SET_NAME_EXTRA_BYTES + 1];
    fb_set_name(row_name, set_name, sizeof(set_name));
    fb_keys_put(keys, buffer, set_name);
}

void fb_keys_put_day(const fb_keys_t *keys, fb_buffer_t *buffer, const char *plane, fb_slice_t date)
{
    fb_keys_put(keys, buffer, plane);
    fb_buffer_put_char(buffer, ':');
    fb_buffer_put_slice(buffer, date);
}
