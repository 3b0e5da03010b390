/* SPDX-License-Identifier: MIT */
#pragma once

#include <pthread.h>

/* Starts a thread that takes no signals: they are for the threads that the program chose for them.
 * 0, or the errno of the failure. */
int fb_thread_start(pthread_t *thread, void *(*run)(void *context), void *context);
