/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/reply.h"

/* Answers /livez and /readyz, on both listeners; false for every other path. */
bool fb_health_answer(fb_exchange_t *exchange, fb_slice_t path);
