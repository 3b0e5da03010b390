/* SPDX-License-Identifier: MIT */
#include "server/orders_metrics.h"

#include "resources/orders.h"
#include "tests/unit/resources/fleet.h"

static void assert_line(const fb_buffer_t *out, const char *line)
{
    fb_buffer_t wanted = {0};
    fb_buffer_printf(&wanted, "\n%s\n", line);
    if (memmem(out->at, out->len, wanted.at, wanted.len) == NULL)
        fail_msg("no line %s in\n%.*s", line, FB_PRINT(fb_buffer_slice(out)));
    fb_buffer_dispose(&wanted);
}

/* A million orders of a year each: 3.2e16 ms. */
static void times_of_years_are_added_up(void **state)
{
    (void)state;
    const fb_jobs_config_t config = {.name = "ann", .workers = 3};
    fb_jobs_t *jobs = fb_jobs_create(&config);
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_value_t values[FB_FIELDS_MAX] = {{.given = true}};
    fb_buffer_t out = {0};
    values[FB_TOTAL_COMPLETED].number = 1000000;
    values[FB_TOTAL_PROCESSING_MS].number = 31536000000000000;
    values[FB_TOTAL_BUCKETS].number = 1;
    fb_stage_put(stage, FB_ORDER_TOTALS, FB_ORDER_TOTALS_ID, values);
    fb_orders_metrics_put(&out, fb_stage_view(stage), jobs);
    assert_line(&out, "fleetbit_orders_ended_total{status=\"completed\"} 1000000");
    assert_line(&out, "fleetbit_order_processing_seconds_bucket{le=\"0.005\"} 1");
    assert_line(&out, "fleetbit_order_processing_seconds_bucket{le=\"300\"} 1");
    assert_line(&out, "fleetbit_order_processing_seconds_bucket{le=\"+Inf\"} 1000000");
    assert_line(&out, "fleetbit_order_processing_seconds_count 1000000");
    assert_line(&out, "fleetbit_order_processing_seconds_sum 31536000000000");
    assert_line(&out, "fleetbit_orders_in_hand_limit 3");
    fb_buffer_dispose(&out);
    fb_stage_abort(&stage);
    history_dispose(&history);
    fb_jobs_stop(jobs);
    fb_jobs_destroy(&jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_of_years_are_added_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
