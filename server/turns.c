/* SPDX-License-Identifier: MIT */
#include "server/turns.h"

#include <string.h>

void fb_turns_init(fb_turns_t *turns, uint32_t self)
{
    *turns = (fb_turns_t){.self = self, .last = self, .slot_ns = 1000000};
}

static void forget(fb_turns_t *turns, unsigned at)
{
    turns->count--;
    memmove(&turns->authors[at], &turns->authors[at + 1],
            (turns->count - at) * sizeof(turns->authors[0]));
}

static void forget_oldest(fb_turns_t *turns)
{
    unsigned oldest = 0;
    for (unsigned i = 1; i < turns->count; i++) {
        if (turns->authors[i].seen_ns < turns->authors[oldest].seen_ns)
            oldest = i;
    }
    forget(turns, oldest);
}

/* The place of an author among the others, which it is given where it has none. */
static unsigned place_of(fb_turns_t *turns, uint32_t author)
{
    unsigned at = 0;
    if (turns->count == FB_TURNS_AUTHORS_MAX) {
        while (at < turns->count && turns->authors[at].id != author)
            at++;
        if (at < turns->count)
            return at;
        forget_oldest(turns);
        at = 0;
    }
    while (at < turns->count && turns->authors[at].id < author)
        at++;
    if (at < turns->count && turns->authors[at].id == author)
        return at;
    memmove(&turns->authors[at + 1], &turns->authors[at],
            (turns->count - at) * sizeof(turns->authors[0]));
    turns->count++;
    turns->authors[at].id = author;
    turns->authors[at].slot_ns = 0;
    turns->authors[at].misses = 0;
    return at;
}

void fb_turns_wants(fb_turns_t *turns, uint32_t author, uint64_t took_ns, uint64_t now_ns)
{
    if (author == turns->self)
        return;
    unsigned at = place_of(turns, author);
    turns->authors[at].seen_ns = now_ns;
    turns->authors[at].slot_ns = took_ns + took_ns / 4;
    if (took_ns > FB_TURNS_FAR * turns->slot_ns && turns->authors[at].misses < FB_TURNS_MISSES_MAX)
        turns->authors[at].misses++;
}

void fb_turns_saw(fb_turns_t *turns, uint32_t author, uint64_t now_ns)
{
    turns->last = author;
    turns->last_ns = now_ns;
    if (author == turns->self)
        return;
    unsigned at = place_of(turns, author);
    turns->authors[at].seen_ns = now_ns;
    if (turns->authors[at].misses > 0)
        turns->authors[at].misses--;
}

void fb_turns_took(fb_turns_t *turns, uint64_t ns)
{
    uint64_t slot_ns = (7 * turns->slot_ns + ns) / 8;
    if (slot_ns < FB_TURNS_SLOT_NS_MIN)
        slot_ns = FB_TURNS_SLOT_NS_MIN;
    turns->slot_ns = slot_ns < FB_TURNS_SLOT_NS_MAX ? slot_ns : FB_TURNS_SLOT_NS_MAX;
}

static bool is_active(const fb_turns_t *turns, unsigned at, uint64_t now_ns)
{
    return now_ns < turns->authors[at].seen_ns + FB_TURNS_ACTIVE_NS;
}

bool fb_turns_is_alone(const fb_turns_t *turns, uint64_t now_ns)
{
    for (unsigned i = 0; i < turns->count; i++) {
        if (is_active(turns, i, now_ns))
            return false;
    }
    return true;
}

uint64_t fb_turns_next_ns(const fb_turns_t *turns, uint64_t now_ns)
{
    uint64_t wait_ns = 0; /* for those active ones whose turn comes before ours */
    for (unsigned i = 0; i < turns->count; i++) {
        uint32_t id = turns->authors[i].id;
        /* How far behind the last author, on the circle of all ids; the last one itself is all
         * the way around. */
        uint32_t theirs = id - turns->last - 1, ours = turns->self - turns->last - 1;
        uint64_t slot_ns = turns->authors[i].slot_ns << turns->authors[i].misses;
        slot_ns = slot_ns > turns->slot_ns ? slot_ns : turns->slot_ns;
        if (theirs < ours && is_active(turns, i, now_ns))
            wait_ns += slot_ns < FB_TURNS_WAIT_NS_MAX ? slot_ns : FB_TURNS_WAIT_NS_MAX;
    }
    return turns->last_ns + wait_ns;
}
