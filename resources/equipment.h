/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"

/* The state of the machines as workers and devices report it. A row has the id of its machine and
 * lives no longer than that; what was reported before is in the history, in Redis. */
enum {
    FB_EQUIPMENT_STATUS,
    FB_EQUIPMENT_UPDATED_AT, /* never goes back for a machine */
    FB_EQUIPMENT_UPDATED_BY,
    FB_EQUIPMENT_NOTE,
};

/* The states, in the order in which they are counted. */
#define FB_EQUIPMENT_STATES 3
extern const char *const fb_equipment_states[FB_EQUIPMENT_STATES];

/* The query of GET /v1/machines/{id}/history. */
enum { FB_HISTORY_FROM, FB_HISTORY_TO, FB_HISTORY_LIMIT, FB_HISTORY_CURSOR };
/* The query of GET /v1/stream. */
enum { FB_STREAM_TOPICS, FB_STREAM_LAST_EVENT_ID };

/* The parameter of every list of machines in one state. */
#define FB_STATUS_FIELD                                                                            \
    {                                                                                              \
        "status", "only machines in this state: green, yellow or red", 1, 16, FB_KIND_TEXT, 0      \
    }

/* The machines in that state, an empty set where there are none; FB_INVALID, naming the field,
 * where it is no state. */
fb_code_t fb_equipment_find(const fb_snapshot_t *snapshot, fb_slice_t status,
                            const fb_bitmap_t **machines, fb_error_t *error);
/* Adds what takes the state of a machine that is being retired. */
void fb_equipment_retire(const fb_snapshot_t *snapshot, uint32_t machine, fb_change_t *change);
