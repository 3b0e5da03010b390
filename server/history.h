/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "server/waiting.h"

/* Answers a view with FB_SOURCE_HISTORY out of Redis, now or later. */
void fb_history_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query);
