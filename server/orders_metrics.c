/* SPDX-License-Identifier: MIT */
#include "server/orders_metrics.h"

#include "base/clock.h"
#include "resources/orders.h"

/* Since the oldest order that waits was taken; 0 where none does. */
static double oldest_seconds(const fb_snapshot_t *snapshot)
{
    uint32_t id = snapshot != NULL ? fb_orders_oldest_pending(snapshot) : 0;
    if (id == 0)
        return 0;
    const fb_row_t *order = fb_snapshot_row(snapshot, FB_ORDERS, id);
    fb_instant_t created = fb_order_value(order, FB_ORDER_CREATED).number, now = fb_clock_now();
    return now > created ? (double)(now - created) / 1e3 : 0;
}

static void put_states(fb_buffer_t *out, const fb_order_metrics_t *orders)
{
    fb_metrics_put_head(out, "fleetbit_orders", "gauge", "Orders that are open.");
    fb_metrics_put(out, "fleetbit_orders", "status=\"pending\"", (double)orders->pending);
    fb_metrics_put(out, "fleetbit_orders", "status=\"processing\"", (double)orders->processing);
    fb_metrics_put_head(out, "fleetbit_orders_ended_total", "counter",
                        "Orders that came to their end, by the whole fleet.");
    fb_metrics_put(out, "fleetbit_orders_ended_total", "status=\"completed\"",
                   (double)orders->of[FB_TOTAL_COMPLETED]);
    fb_metrics_put(out, "fleetbit_orders_ended_total", "status=\"rejected\"",
                   (double)orders->of[FB_TOTAL_REJECTED]);
    fb_metrics_put(out, "fleetbit_orders_ended_total", "status=\"cancelled\"",
                   (double)orders->of[FB_TOTAL_CANCELLED]);
}

static void put_processing(fb_buffer_t *out, const fb_order_metrics_t *orders)
{
    fb_histogram_t histogram = {0};
    double bounds[FB_ORDER_BUCKETS];
    uint64_t beyond = orders->of[FB_TOTAL_COMPLETED];
    for (unsigned i = 0; i < FB_ORDER_BUCKETS; i++) {
        bounds[i] = fb_order_buckets_ms[i] / 1e3;
        fb_count_set(&histogram.buckets[i], orders->of[FB_TOTAL_BUCKETS + i]);
        beyond -= orders->of[FB_TOTAL_BUCKETS + i];
    }
    fb_count_set(&histogram.buckets[FB_ORDER_BUCKETS], beyond);
    fb_count_set(&histogram.sum, orders->of[FB_TOTAL_PROCESSING_MS]);
    fb_metrics_put_histogram(out, "fleetbit_order_processing_seconds",
                             "From started_at to completed_at of the orders that were completed.",
                             &histogram, bounds, FB_ORDER_BUCKETS, 1e3);
}

_Static_assert(FB_ORDER_BUCKETS <= FB_DURATION_BUCKETS, "a histogram has room for the buckets");

void fb_orders_metrics_put(fb_buffer_t *out, const fb_snapshot_t *snapshot, const fb_jobs_t *jobs)
{
    fb_order_metrics_t orders = {0};
    const fb_jobs_state_t *state = fb_jobs_state(jobs);
    if (snapshot != NULL)
        orders = fb_order_metrics(snapshot);
    put_states(out, &orders);
    put_processing(out, &orders);
    const fb_sample_t samples[] = {
        {"fleetbit_orders_created_total", "counter", "Orders that the fleet ever took.",
         (double)orders.total},
        {"fleetbit_orders_oldest_pending_seconds", "gauge",
         "Since the oldest order that waits was taken; without one, 0.", oldest_seconds(snapshot)},
        {"fleetbit_orders_in_hand", "gauge", "Orders that this instance has in hand.",
         (double)fb_count_read(&state->in_hand)},
        {"fleetbit_orders_in_hand_limit", "gauge", "How many it may have: orders.workers.",
         (double)fb_count_read(&state->workers)},
        {"fleetbit_orders_claimed_total", "counter",
         "Orders that this instance took over from one that was silent.",
         (double)fb_count_read(&state->claimed)},
        {"fleetbit_orders_requeued_total", "counter",
         "Orders that the queue had lost, and that this instance put there again.",
         (double)fb_count_read(&state->requeued)},
        {"fleetbit_orders_archived_total", "counter",
         "Orders that this instance took out of memory: Redis has them.",
         (double)fb_count_read(&state->archived)},
        {"fleetbit_orders_queue", "gauge",
         "Entries of the queue of orders in Redis, when it was last asked.",
         (double)fb_count_read(&state->queue_length)},
        {"fleetbit_orders_cpu_seconds_total", "counter",
         "CPU time of the thread that works the queue.", fb_metrics_thread_seconds(&state->clock)},
    };
    fb_metrics_put_samples(out, samples, sizeof(samples) / sizeof(samples[0]));
}
