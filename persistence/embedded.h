/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/slice.h"

/* Files of the tree that the build puts into the program: see embedded.c.in. */
fb_slice_t fb_embedded_commit_lua(void); /* persistence/commit.lua */
fb_slice_t fb_embedded_queue_lua(void);  /* persistence/queue.lua */
fb_slice_t fb_embedded_lease_lua(void);  /* persistence/lease.lua */
fb_slice_t fb_embedded_redis_conf(void); /* conf/redis.conf */
