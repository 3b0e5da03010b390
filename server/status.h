/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/reply.h"

/* What the admin listener says of the instance and of its state: /status.json, and /state?... (see
 * state.h). All of one answer is of one snapshot. */
void fb_status_answer(fb_exchange_t *exchange);
void fb_status_answer_state(fb_exchange_t *exchange);
