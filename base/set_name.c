/* SPDX-License-Identifier: MIT */
#include "base/set_name.h"

#include <string.h>

#include "base/assert.h"

void fb_set_name(const char *row_name, char *set_name, size_t bytes)
{
    size_t kept = strlen(row_name);
    char last = kept > 0 ? row_name[kept - 1] : '\0';
    const char *ending = strcmp(row_name, "order") == 0 ? "_ids" : last == 's' ? "es" : "s";
    if (last == 'y') {
        ending = "ies";
        kept--;
    }
    fb_assert(kept + strlen(ending) < bytes);
    memcpy(set_name, row_name, kept);
    memcpy(set_name + kept, ending, strlen(ending) + 1);
}
