/* SPDX-License-Identifier: MIT */
#pragma once

#include <string.h>

#include "cache/build.h"
#include "tests/unit/random.h"

/* What the random programs of this folder have in common: the versions that they keep. */

/* The versions that a program keeps, oldest first. A version is a copy of the structure and of its
 * model, in one malloc block, and must go on showing its content until it is dropped. */
#define VERSIONS_MAX 8

typedef struct {
    struct {
        void *state;
        void **garbage; /* what its successor no longer shows */
        size_t garbage_count;
    } at[VERSIONS_MAX];
    size_t count;
} versions_t;

/* Drops the oldest one, and with it the blocks that no later one shows. */
static inline void versions_drop(versions_t *versions)
{
    for (size_t i = 0; i < versions->at[0].garbage_count; i++)
        free(versions->at[0].garbage[i]);
    free(versions->at[0].garbage);
    free(versions->at[0].state);
    versions->count--;
    memmove(&versions->at[0], &versions->at[1], versions->count * sizeof(versions->at[0]));
}

/* Seals the build that made `state` (taken over) out of the newest version. */
static inline void versions_push(versions_t *versions, fb_build_t **build, void *state)
{
    void **garbage;
    size_t garbage_count;
    fb_build_seal(build, &garbage, &garbage_count);
    if (versions->count > 0) {
        versions->at[versions->count - 1].garbage = garbage;
        versions->at[versions->count - 1].garbage_count = garbage_count;
    } else {
        assert_null(garbage);
    }
    if (versions->count == VERSIONS_MAX)
        versions_drop(versions);
    versions->at[versions->count].state = state;
    versions->at[versions->count].garbage = NULL;
    versions->at[versions->count].garbage_count = 0;
    versions->count++;
}

/* Ends the program: `build` has cleared the structure of the newest version. */
static inline void versions_dispose(versions_t *versions, fb_build_t **build)
{
    versions_push(versions, build, NULL);
    while (versions->count > 0)
        versions_drop(versions);
}

/* How many blocks a build has retired, which is given up without having freed any of them. */
static inline size_t build_forget(fb_build_t **build)
{
    void **garbage;
    size_t count;
    fb_build_seal(build, &garbage, &count);
    free(garbage);
    return count;
}

/* As the last reader would: ends the build and frees what it has retired. How many blocks? */
static inline size_t build_finish(fb_build_t **build)
{
    void **garbage;
    size_t count;
    fb_build_seal(build, &garbage, &count);
    for (size_t i = 0; i < count; i++)
        free(garbage[i]);
    free(garbage);
    return count;
}
