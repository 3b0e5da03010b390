/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whose turn it is to write, where several instances do at the same time.
 *
 * Any of them may write at any time: the Function lets one through and tells the others STALE. But
 * who is told so has planned in vain, and who has just written is the quickest to write again. So
 * instances that have work wait for each other, by nothing but what they see published: after the
 * commit of one author, the next in the order of their ids (which wraps around) goes at once, the
 * one after it once the time of a commit has passed, and so on; the author itself goes last. Who
 * neither wrote nor tried for a while is not waited for. Who then breaks in and comes second is
 * announced by the Function, with the time that its commits take, and has its turn from there on:
 * who is further from Redis gets a longer one, and one that is twice as long each time that it
 * comes second all the same, since what it takes there and back is not always the same.
 *
 * A pure calculation; times are CLOCK_MONOTONIC. One that writes alone never waits. */
#define FB_TURNS_AUTHORS_MAX 16 /* beyond them the one that was silent longest is forgotten */
#define FB_TURNS_ACTIVE_NS   200000000 /* who has not written for so long is not waited for */
#define FB_TURNS_SLOT_NS_MIN 200000
#define FB_TURNS_SLOT_NS_MAX 10000000
#define FB_TURNS_FAR         2 /* times as long as ours: then it is further from Redis */
#define FB_TURNS_MISSES_MAX  4
#define FB_TURNS_WAIT_NS_MAX 60000000 /* for one of the others */

typedef struct {
    uint32_t self;
    uint32_t last; /* the author of the newest commit that was seen */
    uint64_t last_ns;
    uint64_t slot_ns; /* about the time of a commit */
    struct {
        uint32_t id;
        uint64_t slot_ns; /* the time of its commits; 0: not known, about that of ours */
        unsigned misses;  /* of one that is further from Redis: how often it came second of late */
        uint64_t seen_ns;
    } authors[FB_TURNS_AUTHORS_MAX]; /* others, in the order of their ids */
    unsigned count;
} fb_turns_t;

void fb_turns_init(fb_turns_t *turns, uint32_t self);
/* A commit of somebody, ourselves included, was seen. */
void fb_turns_saw(fb_turns_t *turns, uint32_t author, uint64_t now_ns);
/* Somebody wants to write, and was too late; its commits take so long (0: not known). */
void fb_turns_wants(fb_turns_t *turns, uint32_t author, uint64_t took_ns, uint64_t now_ns);
/* A commit of our own took so long. */
void fb_turns_took(fb_turns_t *turns, uint64_t ns);
/* Does nobody else write now, so that no turn need be waited for? */
bool fb_turns_is_alone(const fb_turns_t *turns, uint64_t now_ns);
/* When it is our turn: at once where that is not in the future. */
uint64_t fb_turns_next_ns(const fb_turns_t *turns, uint64_t now_ns);
