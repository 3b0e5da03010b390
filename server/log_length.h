/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/metrics.h"
#include "server/readers.h"

/* How many entries the log in Redis has, for the metrics: a reader asks it when they are looked at,
 * and what it finds is shown from the next time on. Belongs to the loop of the admin listener. */
typedef struct {
    fb_read_job_t job;
    fb_code_t code; /* this and `found` are the reader's, until it has come back */
    uint64_t found;
    uint64_t entries;
    bool is_asked; /* it has not come back yet */
    bool is_known;
} fb_log_length_t;

/* Asks, unless it is being asked. */
void fb_log_length_ask(fb_log_length_t *length, fb_readers_t *readers,
                       h2o_multithread_receiver_t *receiver);
