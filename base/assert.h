/* SPDX-License-Identifier: MIT */
#pragma once

/* A broken promise of our own code ends the process, in release builds too: a wrong state must
 * not be served or made durable. What the world does wrong is never asserted: see base/error.h. */
#define fb_assert(condition)                                                                       \
    ((condition) ? (void)0 : fb_assert_failed(#condition, __FILE__, __LINE__))

_Noreturn void fb_assert_failed(const char *condition, const char *file, int line);
