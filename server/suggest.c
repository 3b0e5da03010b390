/* SPDX-License-Identifier: MIT */
#include "server/suggest.h"

#define NAME_BYTES_MAX 48

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* The optimal string alignment distance: insertions, deletions, substitutions and swaps of
 * neighbours, each counted once. Three rows of the table of all prefixes are enough. */
static unsigned distance(fb_slice_t a, fb_slice_t b)
{
    unsigned rows[3][NAME_BYTES_MAX + 1];
    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            bool same = a.at[i - 1] == b.at[j - 1];
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1));
            bool swapped =
                i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1];
            if (swapped && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    return rows[a.len % 3][b.len];
}

void fb_suggest_offer(fb_suggest_t *suggest, const char *name)
{
    fb_slice_t offered = fb_slice(name);
    if (suggest->word.len > NAME_BYTES_MAX || offered.len > NAME_BYTES_MAX)
        return;
    unsigned found = distance(suggest->word, offered);
    if (found * 3 > suggest->word.len || (suggest->name != NULL && found >= suggest->distance))
        return;
    suggest->name = name;
    suggest->distance = found;
}
