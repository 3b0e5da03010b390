/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/loop.h"

/* libh2o answers some requests before any handler sees them (a head that is broken or too long, a
 * body over the limit), as text/plain. Here such answers become problem documents: two functions
 * of the library are replaced, in the way that server/h2_guard.c explains.
 *
 * Called once by the thread of a loop: from then on the answers of this thread are ours. */
void fb_library_errors_init(fb_loop_t *loop);
