/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/feed.h"

/* The feed as Prometheus metrics; of an instance without one (NULL), how often nothing happened. */
void fb_feed_metrics_put(fb_buffer_t *out, const fb_feed_t *feed);
