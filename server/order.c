/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "resources/orders.h"
#include "server/http_get.h"
#include "server/load.h"
#include "server/options.h"
#include "server/problem.h"
#include "server/progress.h"
#include "server/run.h"

#define PATH       "/v1/orders"
#define AMOUNT     "100.00"
#define STATUS_MAX 600
#define PAUSE_MS   20 /* until orders that were not at their end are looked at again */
#define QUANTILES  5

static volatile sig_atomic_t interrupted;

typedef struct {
    fb_buffer_t body; /* of each order */
    fb_progress_t progress;
    uint64_t wanted, sent, answered;
    double seconds;
    uint64_t statuses[STATUS_MAX]; /* 0: no answer */
    fb_error_t refusal;            /* the first one */
    uint32_t *took_us;             /* of each that was answered */
    uint32_t *ids;                 /* of those that were taken: of those that are open, later */
    uint64_t taken;
    /* waiting: a round asks for the open ones in their order, until one is not at its end */
    char path[40];
    uint64_t asked, kept, lost;
    uint64_t ended[FB_ORDER_STATES];
} run_t;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static bool is_cancelled(void *context)
{
    (void)context;
    return interrupted != 0;
}

/* --- placing them -------------------------------------------------------------------------- */

static void put_body(const fb_options_t *options, fb_buffer_t *body)
{
    fb_slice_t user = fb_slice(options->order_user);
    int64_t number;
    fb_buffer_put_literal(body, "{\"user_id\":");
    if (fb_slice_to_i64(user, &number) && number >= -FB_EXACT_MAX && number <= FB_EXACT_MAX)
        fb_buffer_put_slice(body, user);
    else
        fb_json_put_string(body, user);
    fb_buffer_printf(body, ",\"item_ids\":[%s],\"total_amount\":" AMOUNT, options->order_items);
    if (options->order_start != NULL)
        fb_buffer_printf(body, ",\"start_date\":\"%s\"", options->order_start);
    if (options->order_end != NULL)
        fb_buffer_printf(body, ",\"end_date\":\"%s\"", options->order_end);
    fb_buffer_put_char(body, '}');
}

static bool next_order(void *context, fb_load_request_t *request)
{
    run_t *run = context;
    if (run->sent == run->wanted)
        return false;
    *request = (fb_load_request_t){PATH, fb_buffer_slice(&run->body), run->sent++};
    return true;
}

static uint32_t id_of(fb_slice_t body)
{
    json_t *order = json_loadb(body.at ? body.at : "", body.len, 0, NULL);
    json_int_t id = json_integer_value(json_object_get(order, "id"));
    json_decref(order);
    return id > 0 && id <= UINT32_MAX ? (uint32_t)id : 0;
}

static void on_order(void *context, const fb_load_answer_t *answer)
{
    run_t *run = context;
    run->statuses[answer->status > 0 && answer->status < STATUS_MAX ? answer->status : 0]++;
    run->took_us[run->answered++] =
        answer->took_us < UINT32_MAX ? (uint32_t)answer->took_us : UINT32_MAX;
    if (answer->status == fb_status_of_success(FB_SUCCESS_ACCEPTED).code) {
        uint32_t id = id_of(answer->body);
        if (id != 0)
            run->ids[run->taken++] = id;
    } else if (run->refusal.code == FB_OK && answer->status == 0) {
        fb_fail(&run->refusal, FB_UNAVAILABLE, "%s", answer->reason);
    } else if (run->refusal.code == FB_OK) {
        fb_http_refused(answer->status, answer->body, &run->refusal);
    }
    fb_progress_show(&run->progress, run->answered);
}

/* --- waiting for them ---------------------------------------------------------------------- */

static bool next_question(void *context, fb_load_request_t *request)
{
    run_t *run = context;
    if (run->asked == run->taken || run->kept > 0)
        return false;
    uint64_t number = run->asked++;
    snprintf(run->path, sizeof(run->path), PATH "/%u", run->ids[number]);
    *request = (fb_load_request_t){run->path, {NULL, 0}, number};
    return true;
}

/* The state that it has come to its end in; FB_ORDER_STATES where it has not, or does not say. */
static unsigned end_of(fb_slice_t body)
{
    json_t *order = json_loadb(body.at ? body.at : "", body.len, 0, NULL);
    const char *status = json_string_value(json_object_get(order, "status"));
    unsigned state = FB_ORDER_IS_COMPLETED;
    while (status != NULL && state < FB_ORDER_STATES && strcmp(status, fb_order_states[state]) != 0)
        state++;
    json_decref(order);
    return status != NULL ? state : FB_ORDER_STATES;
}

/* An id that is 0 has been settled. */
static void on_state(void *context, const fb_load_answer_t *answer)
{
    run_t *run = context;
    bool is_there = answer->status == fb_status_of_success(FB_SUCCESS_OK).code;
    unsigned state = is_there ? end_of(answer->body) : FB_ORDER_STATES;
    if (is_there && state == FB_ORDER_STATES) {
        run->kept++;
        return;
    }
    if (is_there)
        run->ended[state]++;
    else
        run->lost++;
    run->ids[answer->number] = 0;
    fb_progress_show(&run->progress, ++run->answered);
}

/* What is settled goes out of the list, and the next round begins. */
static void end_round(run_t *run)
{
    const struct timespec pause = fb_clock_timespec((uint64_t)PAUSE_MS * 1000000);
    uint64_t open = 0;
    for (uint64_t i = 0; i < run->taken; i++) {
        if (run->ids[i] != 0)
            run->ids[open++] = run->ids[i];
    }
    run->taken = open;
    run->asked = run->kept = 0;
    if (open > 0)
        nanosleep(&pause, NULL);
}

static void await_ends(fb_load_t *load, run_t *run)
{
    const fb_load_hooks_t hooks = {next_question, on_state, is_cancelled, run};
    uint64_t begun_ms = run->progress.begun_ms;
    run->answered = 0;
    if (run->taken == 0)
        return;
    fb_progress_begin(&run->progress, "orders at their end", run->taken);
    while (run->taken > 0 && !interrupted) {
        fb_load_run(load, &hooks);
        end_round(run);
    }
    fb_progress_end(&run->progress);
    run->progress.begun_ms = begun_ms;
}

/* --- the summary --------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return one < other ? -1 : one > other;
}

static void print_latencies(run_t *run)
{
    static const struct {
        const char *name;
        unsigned percent;
    } quantiles[QUANTILES] = {{"min", 0}, {"p50", 50}, {"p90", 90}, {"p99", 99}, {"max", 100}};
    if (run->answered == 0)
        return;
    qsort(run->took_us, run->answered, sizeof(*run->took_us), compare);
    printf("latency in ms:");
    for (unsigned i = 0; i < QUANTILES; i++) {
        uint64_t place = (run->answered - 1) * quantiles[i].percent / 100;
        printf("  %s %.3f", quantiles[i].name, run->took_us[place] / 1e3);
    }
    putchar('\n');
}

static void print_orders(run_t *run, unsigned connections)
{
    printf("%llu orders in %.3f s, %.0f a second, %u at once\n", (unsigned long long)run->answered,
           run->seconds, run->seconds > 0 ? (double)run->answered / run->seconds : 0.0,
           connections);
    for (unsigned i = 1; i < STATUS_MAX; i++) {
        if (run->statuses[i] > 0)
            printf("status %u: %llu\n", i, (unsigned long long)run->statuses[i]);
    }
    if (run->statuses[0] > 0)
        printf("without an answer: %llu\n", (unsigned long long)run->statuses[0]);
    if (run->refusal.code != FB_OK)
        printf("the first one that was not taken: %s\n", run->refusal.detail);
    print_latencies(run);
}

static void print_ends(const run_t *run)
{
    printf("at their end after %.3f s:", run->seconds);
    for (unsigned i = FB_ORDER_IS_COMPLETED; i < FB_ORDER_STATES; i++)
        printf("  %s %llu", fb_order_states[i], (unsigned long long)run->ended[i]);
    putchar('\n');
    if (run->taken > 0)
        printf("not at their end: %llu\n", (unsigned long long)run->taken);
    if (run->lost > 0)
        printf("could not be read: %llu\n", (unsigned long long)run->lost);
}

static fb_exit_t place(const fb_options_t *options, fb_load_t *load, run_t *run)
{
    const fb_load_hooks_t hooks = {next_order, on_order, is_cancelled, run};
    unsigned connections = (unsigned)options->order_concurrency;
    fb_progress_begin(&run->progress, "orders", run->wanted);
    fb_load_run(load, &hooks);
    fb_progress_end(&run->progress);
    run->seconds = fb_progress_seconds(&run->progress);
    uint64_t accepted = run->statuses[fb_status_of_success(FB_SUCCESS_ACCEPTED).code];
    print_orders(run, connections);
    if (options->order_wait) {
        await_ends(load, run);
        run->seconds = fb_progress_seconds(&run->progress);
        print_ends(run);
    }
    bool all = accepted == run->wanted && run->lost == 0 && !interrupted;
    return all ? FB_EXIT_OK : FB_EXIT_FAILED;
}

fb_exit_t fb_order(const fb_options_t *options)
{
    const struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    fb_error_t error = {0};
    run_t *run = fb_alloc_zero(1, sizeof(*run));
    fb_load_t *load = fb_load_create(options->order_url, (unsigned)options->order_concurrency);
    fb_exit_t exit_code = FB_EXIT_UNREACHABLE;
    run->wanted = options->order_requests;
    run->took_us = fb_alloc(run->wanted * sizeof(*run->took_us));
    run->ids = fb_alloc(run->wanted * sizeof(*run->ids));
    put_body(options, &run->body);
    /* Before the first order there is nothing to report: an interrupt ends it. */
    if (fb_load_check(load, &error) == FB_OK) {
        sigaction(SIGINT, &action, NULL);
        exit_code = place(options, load, run);
    } else {
        fb_print_error(error.detail);
    }
    fb_load_destroy(&load);
    fb_buffer_dispose(&run->body);
    free(run->took_us);
    free(run->ids);
    free(run);
    return exit_code;
}
