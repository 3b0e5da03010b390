/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"
#include "server/waiting.h"

/* Answers a view that has said FB_ARCHIVED, out of the loop's snapshot and Redis, later. Takes the
 * arguments over. */
void fb_archive_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_args_t *args);
