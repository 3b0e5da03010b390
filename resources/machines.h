/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"

/* What other families need of machines. The order is that of the fields' table. */
enum {
    FB_MACHINE_LABEL,
    FB_MACHINE_INVENTORY_ID,
    FB_MACHINE_TYPE,
    FB_MACHINE_PRICE,
    FB_MACHINE_DESCRIPTION,
    FB_MACHINE_CREATED,
    FB_MACHINE_UPDATED,
};

/* The parameter of every list of machines. */
#define FB_TYPE_FIELD                                                                              \
    {                                                                                              \
        "type", "only machines of this type", 1, 64, FB_KIND_TEXT, 0                               \
    }

/* FB_INVALID, naming the field, where the fleet has no such type. */
fb_code_t fb_machine_check_type(const fb_snapshot_t *snapshot, fb_slice_t type, fb_error_t *error);
/* The machines of that type: an empty set where there are none. */
const fb_bitmap_t *fb_machines_of_type(const fb_snapshot_t *snapshot, fb_slice_t type);
/* The filter of every list and count of machines: those that exist and, where `type` is given, are
 * of that type, which is checked. */
fb_code_t fb_machines_filter(const fb_snapshot_t *snapshot, const fb_value_t *type,
                             fb_bitmap_filter_t *filter, fb_error_t *error);
/* The stamp of all that the JSON of machines shows, their windows and the day included. */
uint64_t fb_machines_changed(const fb_snapshot_t *snapshot);
/* As fb_machines_changed, of one machine alone. */
uint64_t fb_machine_changed(const fb_snapshot_t *snapshot, uint32_t id);
