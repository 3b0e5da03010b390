/* SPDX-License-Identifier: MIT */
#pragma once

#include <string.h>

#include "server/access_ring.h"
#include "tests/unit/random.h"

static const fb_client_t someone = {"192.0.2.1:51234", 15};

/* A usual access, to be changed. */
static inline fb_access_t usual_access(void)
{
    return (fb_access_t){
        .id = FB_SLICE("0123456789abcdef"),
        .method = FB_SLICE("GET"),
        .target = FB_SLICE("/v1/machines/42"),
        .client = &someone,
        .body_bytes = 310,
        .version = 0x101,
        .status = 200,
        .route = 1,
    };
}

static inline void put_access(fb_access_ring_t *ring, const fb_access_t *access, uint64_t ended_ns)
{
    fb_access_ring_begin(ring, access);
    fb_access_ring_end(ring, ended_ns, 12345);
}
