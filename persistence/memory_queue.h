/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/store.h"

/* The queues of the store in memory. A zeroed one is empty. */
typedef struct {
    struct fb_memory_queue *at;
    size_t count;
} fb_memory_queues_t;

void fb_memory_queues_dispose(fb_memory_queues_t *queues);
void fb_memory_queue_add(fb_memory_queues_t *queues, const char *name, uint32_t id);

/* Those of the contract. */
size_t fb_memory_queue_take(fb_memory_queues_t *queues, const fb_queue_t *who, size_t max,
                            fb_queue_job_t *jobs);
size_t fb_memory_queue_claim(fb_memory_queues_t *queues, const fb_queue_t *who, uint64_t idle_ms,
                             size_t max, fb_queue_job_t *jobs);
void fb_memory_queue_done(fb_memory_queues_t *queues, const fb_queue_t *who,
                          const fb_queue_job_t *jobs, size_t count);
void fb_memory_queue_leave(fb_memory_queues_t *queues, const fb_queue_t *who);
fb_queue_info_t fb_memory_queue_info(fb_memory_queues_t *queues, const fb_queue_t *who);
