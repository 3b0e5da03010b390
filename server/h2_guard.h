/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The faults of libh2o 2.2.5's HTTP/2 are closed from outside: h2_guard.c defines functions of the
 * library again, and the library calls them instead of its own. What each is for stands there.
 * It works in every loop of the process without being started, where the linker takes it up:
 * in a program that uses any function of this header. */

enum {
    FB_H2_RESETS_PER_SECOND = 100,       /* of a connection, for as long as it likes … */
    FB_H2_RESETS_BURST = 1000,           /* … and so many at once */
    FB_H2_FIELDS_MAX = 128,              /* header fields of a request */
    FB_H2_HEADER_BYTES_MAX = 64 * 1024,  /* of a request, as sent */
    FB_H2_UNREAD_BYTES_MAX = 512 * 1024, /* answers that a connection makes us keep */
    FB_H2_BODIES_MAX = 4,                /* of fb_bodies_usual, being received on a connection */
};

/* What h2o_send_error_generic is told of a body that is declared too long: the same in HTTP/1, by
 * the library, and in HTTP/2, by us. */
#define FB_H2_TOO_LARGE "request entity is too large"

typedef struct {
    uint64_t resets;           /* streams reset, by either side */
    uint64_t closed_resets;    /* connections closed: too many of them */
    uint64_t closed_unread;    /* … it sends, and does not read the answers */
    uint64_t closed_headers;   /* … too many header fields, or too many bytes of them */
    uint64_t closed_fragments; /* … parts of header fields of different streams, or of a connection
                                  that goes away */
    uint64_t refused_bodies;   /* too long by themselves, or all those of a connection */
    uint64_t skipped_frames;   /* of types that HTTP/2 does not know */
    uint64_t refused_upgrades; /* to HTTP/2 after a shutdown had begun: answered in HTTP/1.1 */
} fb_h2_guard_stats_t;

/* What happened since the process started, in all loops. From any thread. */
void fb_h2_guard_stats(fb_h2_guard_stats_t *stats);

typedef struct st_h2o_context_t h2o_context_t;
/* Is a connection of the context between its upgrade to HTTP/2 and the end of its 101? Then no
 * graceful shutdown may begin (h2o_context_request_shutdown). On the thread of the context. */
bool fb_h2_guard_is_upgrading(const h2o_context_t *ctx);
