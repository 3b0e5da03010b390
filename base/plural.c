/* SPDX-License-Identifier: MIT */
#include "base/plural.h"

#include <string.h>

#include "base/assert.h"

void fb_plural(const char *word, char *plural, size_t bytes)
{
    size_t len = strlen(word);
    char last = len > 0 ? word[len - 1] : '\0';
    const char *ending = last == 'y' ? "ies" : last == 's' ? "es" : "s";
    size_t kept = last == 'y' ? len - 1 : len;
    fb_assert(kept + strlen(ending) < bytes);
    memcpy(plural, word, kept);
    memcpy(plural + kept, ending, strlen(ending) + 1);
}
