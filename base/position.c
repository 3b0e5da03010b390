/* SPDX-License-Identifier: MIT */
#include "base/position.h"

#include <string.h>

bool fb_position_includes(const fb_position_t *position, const char *epoch, uint64_t revision)
{
    if (strcmp(position->epoch, epoch) == 0)
        return true;
    for (unsigned i = 0; i < FB_FORMER_MAX; i++) {
        if (strcmp(position->former[i].epoch, epoch) == 0 && *epoch != '\0')
            return revision <= position->former[i].until;
    }
    return false;
}
