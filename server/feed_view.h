/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "server/waiting.h"

/* Answers a view with FB_SOURCE_FEED out of the notes in Redis, now or later. FB_NOT_FOUND where no
 * feed is configured, and none ever was. */
void fb_feed_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query);
