/* SPDX-License-Identifier: MIT */
#pragma once

#include <string.h>

#include "base/memory.h"
#include "persistence/store.h"
#include "tests/unit/random.h"

/* A store whose commits, and their answers, can be lost on the way. */

/* What becomes of one commit. */
typedef enum {
    PASSES,      /* it arrives, and so does its answer */
    LOST,        /* it never arrives: FB_OUTCOME_UNKNOWN */
    ANSWER_LOST, /* it lands: FB_OUTCOME_UNKNOWN */
    LATE,        /* FB_OUTCOME_UNKNOWN, and it arrives some calls later */
    REFUSED,     /* FB_UNAVAILABLE, and it never arrives */
    FATE_COUNT,
} fate_t;

/* A store that delivers to another one. */
typedef struct lossy {
    fb_store_t store;
    fb_store_t *inner;
    const fate_t *script; /* of the commits to come; after them all pass */
    size_t script_length;
    chance_t *chance;   /* decides instead, where there is one */
    unsigned delay;     /* calls until a late commit arrives */
    bool deaf;          /* head, read and load get FB_UNAVAILABLE */
    unsigned commits;   /* how many were tried */
    unsigned late_left; /* calls until `late` arrives; 0: there is none */
    fb_position_t late_expected;
    fb_entry_t *late;
    size_t late_count;
    void (*before_commit)(void *context); /* NULL: nothing */
    void (*before_load)(void *context);   /* NULL: nothing */
    void *context;
    char epoch[FB_EPOCH_BYTES + 1]; /* the head is of this one; "": of its own */
} lossy_t;

static inline void late_forget(lossy_t *lossy)
{
    for (size_t i = 0; i < lossy->late_count; i++)
        free((char *)(uintptr_t)lossy->late[i].payload.at);
    free(lossy->late);
    lossy->late = NULL;
    lossy->late_count = 0;
    lossy->late_left = 0;
}

static inline void late_keep(lossy_t *lossy, const fb_position_t *expected,
                             const fb_entry_t *entries, size_t count)
{
    late_forget(lossy);
    lossy->late = fb_alloc(count * sizeof(*entries));
    memcpy(lossy->late, entries, count * sizeof(*entries));
    for (size_t i = 0; i < count; i++) {
        char *copy = fb_alloc(entries[i].payload.len);
        memcpy(copy, entries[i].payload.at, entries[i].payload.len);
        lossy->late[i].payload.at = copy;
    }
    lossy->late_expected = *expected;
    lossy->late_count = count;
    lossy->late_left = 1 + (lossy->chance ? chance_below(lossy->chance, 6) : lossy->delay);
}

/* A call passes: what is late may arrive now. Nobody hears what becomes of it. */
static inline void late_tick(lossy_t *lossy)
{
    fb_error_t error = {0};
    if (lossy->late_left == 0 || --lossy->late_left > 0)
        return;
    lossy->inner->vtable->commit(lossy->inner, &lossy->late_expected, lossy->late,
                                 lossy->late_count, NULL, &error);
    late_forget(lossy);
}

static inline bool is_deaf(lossy_t *lossy, fb_error_t *error)
{
    late_tick(lossy);
    bool deaf = lossy->deaf || (lossy->chance && chance_below(lossy->chance, 10) == 0);
    if (deaf)
        fb_fail(error, FB_UNAVAILABLE, "deaf");
    return deaf;
}

static inline fb_code_t on_head(fb_store_t *store, fb_position_t *head, fb_error_t *error)
{
    lossy_t *lossy = (lossy_t *)store;
    if (is_deaf(lossy, error))
        return FB_UNAVAILABLE;
    fb_code_t code = lossy->inner->vtable->head(lossy->inner, head, error);
    if (lossy->epoch[0] != '\0')
        strcpy(head->epoch, lossy->epoch);
    return code;
}

static inline fb_code_t on_read(fb_store_t *store, uint64_t revision, size_t max,
                                fb_code_t (*on_entry)(void *, const fb_entry_t *, fb_error_t *),
                                void *context, size_t *count, fb_position_t *head,
                                fb_error_t *error)
{
    lossy_t *lossy = (lossy_t *)store;
    if (is_deaf(lossy, error))
        return FB_UNAVAILABLE;
    fb_code_t code = lossy->inner->vtable->read(lossy->inner, revision, max, on_entry, context,
                                                count, head, error);
    if (lossy->epoch[0] != '\0')
        strcpy(head->epoch, lossy->epoch);
    return code;
}

static inline fb_code_t on_begin_epoch(fb_store_t *store, const char *ended, fb_position_t *head,
                                       fb_error_t *error)
{
    lossy_t *lossy = (lossy_t *)store;
    if (is_deaf(lossy, error))
        return FB_UNAVAILABLE;
    return lossy->inner->vtable->begin_epoch(lossy->inner, ended, head, error);
}

static inline fb_code_t on_load(fb_store_t *store, const fb_store_schema_t *schema,
                                const fb_store_sink_t *sink, fb_error_t *error)
{
    lossy_t *lossy = (lossy_t *)store;
    if (is_deaf(lossy, error))
        return FB_UNAVAILABLE;
    if (lossy->before_load != NULL)
        lossy->before_load(lossy->context);
    return lossy->inner->vtable->load(lossy->inner, schema, sink, error);
}

static inline fate_t next_fate(lossy_t *lossy)
{
    if (lossy->chance != NULL)
        return chance_below(lossy->chance, 2) == 0 ? PASSES
                                                   : chance_below(lossy->chance, FATE_COUNT);
    if (lossy->script_length == 0)
        return PASSES;
    lossy->script_length--;
    return *lossy->script++;
}

static inline fb_code_t on_commit(fb_store_t *store, const fb_position_t *expected,
                                  const fb_entry_t *entries, size_t count,
                                  const fb_store_waiter_t *waiter, fb_error_t *error)
{
    lossy_t *lossy = (lossy_t *)store;
    fb_error_t unheard = {0};
    lossy->commits++;
    late_tick(lossy);
    if (lossy->before_commit != NULL)
        lossy->before_commit(lossy->context);
    switch (next_fate(lossy)) {
    case PASSES:
        return lossy->inner->vtable->commit(lossy->inner, expected, entries, count, waiter, error);
    case REFUSED:
        return fb_fail(error, FB_UNAVAILABLE, "refused");
    case ANSWER_LOST:
        lossy->inner->vtable->commit(lossy->inner, expected, entries, count, waiter, &unheard);
        break;
    case LATE:
        late_keep(lossy, expected, entries, count);
        /* fall through */
    case LOST:
    case FATE_COUNT:
        if (waiter != NULL)
            waiter->on_waiting(waiter->context);
        break;
    }
    return fb_fail(error, FB_OUTCOME_UNKNOWN, "lost");
}

static inline fb_code_t on_durability(fb_store_t *store, bool *fsynced, fb_slice_t *sentence,
                                      fb_error_t *error)
{
    lossy_t *lossy = (lossy_t *)store;
    return lossy->inner->vtable->durability(lossy->inner, fsynced, sentence, error);
}

static inline void on_destroy(fb_store_t *store)
{
    lossy_t *lossy = (lossy_t *)store;
    late_forget(lossy);
    lossy->inner->vtable->destroy(lossy->inner);
    free(lossy);
}

static const fb_store_vtable_t lossy_vtable = {
    .head = on_head,
    .commit = on_commit,
    .read = on_read,
    .begin_epoch = on_begin_epoch,
    .load = on_load,
    .durability = on_durability,
    .destroy = on_destroy,
};
