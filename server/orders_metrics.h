/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/snapshot.h"
#include "server/jobs.h"

/* The orders as Prometheus metrics: what the snapshot says of them, which is the same on every
 * instance, and what this one does about it. `snapshot` is NULL before the fleet is loaded. */
void fb_orders_metrics_put(fb_buffer_t *out, const fb_snapshot_t *snapshot, const fb_jobs_t *jobs);
