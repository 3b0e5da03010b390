/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/buffer.h"

/* What a loop counts. One thread writes, any may read: relaxed atomics without a locked
 * instruction. */
typedef atomic_uint_fast64_t fb_counter_t;

static inline void fb_count(fb_counter_t *counter, uint64_t more)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + more, memory_order_relaxed);
}

static inline void fb_count_set(fb_counter_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static inline uint64_t fb_count_read(const fb_counter_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The time of the processor that a thread has used: it writes its clock, anyone reads the time. */
void fb_metrics_note_thread(fb_counter_t *clock);
/* 0 where the thread has not begun, or has ended. */
double fb_metrics_thread_seconds(const fb_counter_t *clock);

/* Durations in nanoseconds, or sizes; in buckets that are not cumulated, the last of them "beyond".
 */
#define FB_DURATION_BUCKETS 16
#define FB_SIZE_BUCKETS     11 /* up to 1, 2, 4, ... 1,024 */

typedef struct {
    fb_counter_t buckets[FB_DURATION_BUCKETS + 1];
    fb_counter_t sum;
} fb_histogram_t;

void fb_histogram_duration(fb_histogram_t *histogram, uint64_t ns);
void fb_histogram_size(fb_histogram_t *histogram, uint64_t size);

/* Routes are numbered: 0 is "no route", then the views and commands in the registry's order. */
#define FB_ROUTES_MAX     96
#define FB_STATUS_CLASSES 6 /* index: the first digit of the status */

typedef struct {
    fb_counter_t requests[FB_STATUS_CLASSES];
    fb_counter_t durations[FB_DURATION_BUCKETS + 1]; /* not cumulated; the last is "beyond" */
    fb_counter_t duration_ns;
} fb_route_metrics_t;

typedef struct {
    fb_route_metrics_t routes[FB_ROUTES_MAX];
    fb_counter_t clock; /* of its thread */
    fb_counter_t turns_total;
    fb_counter_t connections_total;
    fb_counter_t stream_clients, stream_events, stream_conflated, stream_resyncs, stream_catch_ups;
    fb_counter_t memo_hits, memo_misses, memo_stale, memo_evicted, memo_entries, memo_bytes;
} fb_loop_metrics_t;

/* Counts one answered request. */
void fb_metrics_request(fb_loop_metrics_t *metrics, unsigned route, int status,
                        uint64_t duration_ns);

/* The number of a view or a command, by its address in the registry. */
unsigned fb_metrics_route(const void *view_or_command);
/* The path of a route, as "/v1/machines/{id}"; NULL where there is none of that number. */
const char *fb_metrics_route_path(unsigned route);

/* Appends one sample of the Prometheus text format (version 0.0.4), with its HELP and TYPE lines
 * before it. `labels` NULL: none. */
void fb_metrics_put_head(fb_buffer_t *out, const char *name, const char *type, const char *help);
void fb_metrics_put(fb_buffer_t *out, const char *name, const char *labels, double value);
/* A metric of one sample. */
typedef struct {
    const char *name, *type, *help;
    double value;
} fb_sample_t;

void fb_metrics_put_samples(fb_buffer_t *out, const fb_sample_t *samples, size_t count);
/* Appends a histogram whose first `count` buckets (at most FB_DURATION_BUCKETS; one more is
 * "beyond") end at these bounds in seconds, and of whose sum so many are a second; `bounds` NULL:
 * of sizes, up to 1, 2, 4, ... */
void fb_metrics_put_histogram(fb_buffer_t *out, const char *name, const char *help,
                              const fb_histogram_t *histogram, const double *bounds, unsigned count,
                              double a_second);
/* Appends a whole histogram of durations, in seconds, or of sizes. */
void fb_metrics_put_durations(fb_buffer_t *out, const char *name, const char *help,
                              const fb_histogram_t *histogram);
void fb_metrics_put_sizes(fb_buffer_t *out, const char *name, const char *help,
                          const fb_histogram_t *histogram);
/* Appends the requests and durations of all loops together, by route. */
void fb_metrics_put_requests(fb_buffer_t *out, const fb_loop_metrics_t *const *loops,
                             unsigned count);
/* Appends process_* as the Prometheus client libraries name them, from /proc/self. */
void fb_metrics_put_process(fb_buffer_t *out);
