/* SPDX-License-Identifier: MIT */
#include "resources/equipment.h"

#include "resources/registry.h"

static const fb_field_t stream_query[] = {
    [FB_STREAM_TOPICS] = {"topics", "of what, with commas between", 0, 256, FB_KIND_TEXT, 0},
    [FB_STREAM_LAST_EVENT_ID] = {"last_event_id", "go on behind this event", 0, 64, FB_KIND_TEXT,
                                 0},
};

static const fb_view_t views[] = {
    {
        .path = "/v1/stream",
        .about = "every change, as server-sent events",
        .query = stream_query,
        .query_count = FB_COUNT(stream_query),
        .source = FB_SOURCE_EVENTS,
    },
};

const fb_resource_t fb_equipment = {.name = "equipment", .views = views, .view_count = 1};
