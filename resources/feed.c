/* SPDX-License-Identifier: MIT */
#include "resources/registry.h"

/* What became of the last fetches of the provider's feed (server/feed.h). It has no rows: it is of
 * no revision. */
static const fb_view_t views[] = {
    {.path = "/v1/feed",
     .about = "when the feed last succeeded, and what was skipped and why",
     .source = FB_SOURCE_FEED},
};

const fb_resource_t fb_feed = {
    .name = "feed",
    .views = views,
    .view_count = FB_COUNT(views),
};
