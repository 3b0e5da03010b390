/* SPDX-License-Identifier: MIT */
#include "server/metrics.h"

#include "resources/registry.h"
#include "tests/unit/random.h"

static const fb_view_t *one_machine(void)
{
    return &fb_machines.views[1];
}

static bool has_line(const fb_buffer_t *out, const char *line)
{
    size_t len = strlen(line);
    const char *at = out->at, *end = out->at + out->len;
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(next); /* each line is ended */
        if ((size_t)(next - at) == len && memcmp(at, line, len) == 0)
            return true;
        at = next + 1;
    }
    return false;
}

static void assert_line(const fb_buffer_t *out, const char *line)
{
    if (!has_line(out, line))
        fail_msg("no line %s in\n%.*s", line, FB_PRINT(fb_buffer_slice(out)));
}

static void every_view_and_command_has_its_own_number(void **state)
{
    (void)state;
    bool taken[FB_ROUTES_MAX] = {true};
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        const fb_resource_t *resource = fb_registry_resource(family);
        for (unsigned i = 0; i < resource->view_count + resource->command_count; i++) {
            const void *route = i < resource->view_count
                                    ? (const void *)&resource->views[i]
                                    : (const void *)&resource->commands[i - resource->view_count];
            unsigned number = fb_metrics_route(route);
            assert_in_range(number, 1, FB_ROUTES_MAX - 1);
            assert_false(taken[number]);
            assert_int_equal(fb_metrics_route(route), number);
            taken[number] = true;
        }
    }
    assert_int_equal(fb_metrics_route(NULL), 0);
    assert_int_equal(fb_metrics_route(taken), 0);
}

static void requests_of_all_loops_are_added_up_by_route_and_class_of_status(void **state)
{
    (void)state;
    fb_loop_metrics_t *loops = calloc(2, sizeof(*loops));
    const fb_loop_metrics_t *both[] = {&loops[0], &loops[1]};
    fb_buffer_t out = {0};
    unsigned route = fb_metrics_route(one_machine());
    fb_metrics_request(&loops[0], route, 200, 40000);
    fb_metrics_request(&loops[1], route, 200, 50000);
    fb_metrics_request(&loops[1], route, 304, 50001);
    fb_metrics_request(&loops[1], route, 404, 700000);
    fb_metrics_request(&loops[0], route, 503, 6000000000);
    fb_metrics_request(&loops[0], 0, 404, 1);
    fb_metrics_put_requests(&out, both, 2);
#define LABELS "method=\"GET\",route=\"/v1/machines/{id}\""
    assert_line(&out, "# TYPE fleetbit_requests_total counter");
    assert_line(&out, "fleetbit_requests_total{" LABELS ",status=\"2xx\"} 2");
    assert_line(&out, "fleetbit_requests_total{" LABELS ",status=\"3xx\"} 1");
    assert_line(&out, "fleetbit_requests_total{" LABELS ",status=\"4xx\"} 1");
    assert_line(&out, "fleetbit_requests_total{" LABELS ",status=\"5xx\"} 1");
    assert_line(&out, "fleetbit_requests_total{method=\"\",route=\"\",status=\"4xx\"} 1");
    assert_line(&out, "# TYPE fleetbit_request_duration_seconds histogram");
#define BUCKET "fleetbit_request_duration_seconds_bucket{" LABELS ",le="
    assert_line(&out, BUCKET "\"5e-05\"} 2"); /* a bound belongs to its bucket */
    assert_line(&out, BUCKET "\"0.0001\"} 3");
    assert_line(&out, BUCKET "\"0.0005\"} 3");
    assert_line(&out, BUCKET "\"0.001\"} 4");
    assert_line(&out, BUCKET "\"5\"} 4");
    assert_line(&out, BUCKET "\"+Inf\"} 5");
    assert_line(&out, "fleetbit_request_duration_seconds_count{" LABELS "} 5");
    const char *sum = memmem(out.at, out.len, "seconds_sum{" LABELS "} ", strlen(LABELS) + 14);
    assert_non_null(sum);
    double seconds = strtod(sum + strlen(LABELS) + 14, NULL);
    assert_true(seconds > 6.00084 && seconds < 6.000841);
    fb_buffer_dispose(&out);
    free(loops);
}

static void a_route_without_a_request_has_no_samples(void **state)
{
    (void)state;
    fb_loop_metrics_t *loop = calloc(1, sizeof(*loop));
    const fb_loop_metrics_t *one[] = {loop};
    fb_buffer_t out = {0};
    fb_metrics_put_requests(&out, one, 1);
    fb_slice_t text = fb_buffer_slice(&out);
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.at[i] == '\n';
    assert_int_equal(lines, 4); /* HELP and TYPE of two metrics */
    fb_buffer_dispose(&out);
    free(loop);
}

/* The buckets against a naive count, under many durations. */
static void a_duration_falls_into_the_first_bucket_that_holds_it(void **state)
{
    (void)state;
    static const double bounds[] = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                    0.025,   0.05,   0.1,     0.25,   0.5,   1,      2.5,   5};
    _Static_assert(FB_DURATION_BUCKETS == 16, "the bounds of all buckets");
    chance_t chance = chance_init();
    fb_loop_metrics_t *loop = calloc(1, sizeof(*loop));
    uint64_t expected[FB_DURATION_BUCKETS + 1] = {0}, sum = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t ns = chance_u64(&chance) >> (30 + chance_below(&chance, 30));
        unsigned bucket = 0;
        while (bucket < FB_DURATION_BUCKETS && (double)ns > bounds[bucket] * 1e9)
            bucket++;
        expected[bucket]++;
        sum += ns;
        fb_metrics_request(loop, 3, 200, ns);
    }
    for (unsigned bucket = 0; bucket <= FB_DURATION_BUCKETS; bucket++)
        assert_int_equal(fb_count_read(&loop->routes[3].durations[bucket]), expected[bucket]);
    assert_int_equal(fb_count_read(&loop->routes[3].duration_ns), sum);
    assert_int_equal(fb_count_read(&loop->routes[3].requests[2]), 20000);
    free(loop);
}

static void a_sample_is_written_as_the_text_format_has_it(void **state)
{
    (void)state;
    fb_buffer_t out = {0};
    fb_metrics_put_head(&out, "fleetbit_things", "gauge", "How many things.");
    fb_metrics_put(&out, "fleetbit_things", NULL, 0);
    fb_metrics_put(&out, "fleetbit_things", "kind=\"a\"", 9007199254740992.0);
    fb_metrics_put(&out, "fleetbit_things", "kind=\"b\"", -0.5);
    fb_buffer_put_char(&out, '\0');
    assert_string_equal(out.at, "# HELP fleetbit_things How many things.\n"
                                "# TYPE fleetbit_things gauge\n"
                                "fleetbit_things 0\n"
                                "fleetbit_things{kind=\"a\"} 9007199254740992\n"
                                "fleetbit_things{kind=\"b\"} -0.5\n");
    fb_buffer_dispose(&out);
}

static void a_histogram_is_cumulated_and_in_seconds(void **state)
{
    (void)state;
    fb_histogram_t histogram = {0};
    fb_buffer_t out = {0};
    fb_histogram_duration(&histogram, 0);
    fb_histogram_duration(&histogram, 250000000);
    fb_histogram_duration(&histogram, 250000001);
    fb_histogram_duration(&histogram, UINT64_C(60000000000));
    fb_metrics_put_durations(&out, "a_seconds", "How long.", &histogram);
    assert_line(&out, "# HELP a_seconds How long.");
    assert_line(&out, "# TYPE a_seconds histogram");
    assert_line(&out, "a_seconds_bucket{le=\"5e-05\"} 1");
    assert_line(&out, "a_seconds_bucket{le=\"0.1\"} 1");
    assert_line(&out, "a_seconds_bucket{le=\"0.25\"} 2");
    assert_line(&out, "a_seconds_bucket{le=\"0.5\"} 3");
    assert_line(&out, "a_seconds_bucket{le=\"5\"} 3");
    assert_line(&out, "a_seconds_bucket{le=\"+Inf\"} 4");
    assert_line(&out, "a_seconds_sum 60.500000000999997");
    assert_line(&out, "a_seconds_count 4");
    fb_buffer_dispose(&out);
}

static void sizes_fall_into_powers_of_two(void **state)
{
    (void)state;
    fb_histogram_t histogram = {0};
    fb_buffer_t out = {0};
    for (uint64_t size = 0; size <= 2000; size++)
        fb_histogram_size(&histogram, size);
    fb_metrics_put_sizes(&out, "a_writes", "How many.", &histogram);
    assert_line(&out, "a_writes_bucket{le=\"1\"} 2");
    assert_line(&out, "a_writes_bucket{le=\"2\"} 3");
    assert_line(&out, "a_writes_bucket{le=\"4\"} 5");
    assert_line(&out, "a_writes_bucket{le=\"512\"} 513");
    assert_line(&out, "a_writes_bucket{le=\"1024\"} 1025");
    assert_line(&out, "a_writes_bucket{le=\"+Inf\"} 2001");
    assert_line(&out, "a_writes_sum 2001000");
    fb_buffer_dispose(&out);
}

static void the_time_of_a_thread_grows_while_it_works(void **state)
{
    (void)state;
    fb_counter_t clock = 0;
    assert_true(fb_metrics_thread_seconds(&clock) == 0);
    fb_metrics_note_thread(&clock);
    double before = fb_metrics_thread_seconds(&clock), now = before;
    for (unsigned i = 0; i < 1000000000 && now < before + 0.01; i++)
        now = fb_metrics_thread_seconds(&clock);
    assert_true(before > 0 && now >= before + 0.01);
}

static double process_sample(const fb_buffer_t *out, const char *name)
{
    char line[80];
    int len = snprintf(line, sizeof(line), "\n%s ", name);
    const char *found = memmem(out->at, out->len, line, (size_t)len);
    if (found == NULL)
        fail_msg("no %s", name);
    return strtod(found + len, NULL);
}

static void the_process_is_measured(void **state)
{
    (void)state;
    fb_buffer_t out = {0};
    fb_metrics_put_process(&out);
    double now = (double)fb_clock_now() / 1000, start = process_sample(&out, "process_start_time_"
                                                                             "seconds");
    fb_buffer_put_char(&out, '\0');
    assert_true(start > now - 3600 && start < now + 2);
    assert_true(process_sample(&out, "process_resident_memory_bytes") > 1e6);
    assert_true(process_sample(&out, "process_virtual_memory_bytes") >=
                process_sample(&out, "process_resident_memory_bytes"));
    assert_true(process_sample(&out, "process_threads") >= 1);
    assert_true(process_sample(&out, "process_open_fds") >= 3);
    assert_true(process_sample(&out, "process_max_fds") >=
                process_sample(&out, "process_open_fds"));
    assert_true(process_sample(&out, "process_cpu_seconds_total") < 3600);
    fb_buffer_dispose(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_view_and_command_has_its_own_number),
        cmocka_unit_test(requests_of_all_loops_are_added_up_by_route_and_class_of_status),
        cmocka_unit_test(a_route_without_a_request_has_no_samples),
        cmocka_unit_test(a_duration_falls_into_the_first_bucket_that_holds_it),
        cmocka_unit_test(a_sample_is_written_as_the_text_format_has_it),
        cmocka_unit_test(a_histogram_is_cumulated_and_in_seconds),
        cmocka_unit_test(sizes_fall_into_powers_of_two),
        cmocka_unit_test(the_time_of_a_thread_grows_while_it_works),
        cmocka_unit_test(the_process_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
