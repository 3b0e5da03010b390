/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/log.h"
#include "persistence/private_redis.h"
#include "resources/registry.h"
#include "server/dispatch.h"
#include "server/feed_metrics.h"
#include "server/h2_guard.h"
#include "server/health.h"
#include "server/orders_metrics.h"
#include "server/reply.h"
#include "server/status.h"

static double seconds_since(const atomic_uint_fast64_t *then_ms)
{
    uint64_t then = atomic_load_explicit(then_ms, memory_order_relaxed);
    uint64_t now = fb_clock_monotonic_ms();
    return then > 0 && now > then ? (double)(now - then) / 1e3 : 0;
}

static double number(const atomic_uint_fast64_t *value)
{
    return (double)atomic_load_explicit(value, memory_order_relaxed);
}

static void put_writer(fb_buffer_t *out, const fb_writer_state_t *writer, double queue_max)
{
    const fb_sample_t samples[] = {
        {"fleetbit_revision", "gauge", "The revision of the newest snapshot.",
         number(&writer->revision)},
        {"fleetbit_snapshot_age_seconds", "gauge",
         "Since the newest snapshot was made; without changes it grows.",
         seconds_since(&writer->snapshot_ms)},
        {"fleetbit_writer_queue", "gauge", "Writes that wait for the writer.",
         number(&writer->queued)},
        {"fleetbit_writer_queue_limit", "gauge", "How many may wait: writer.queue.", queue_max},
        {"fleetbit_writer_cpu_seconds_total", "counter", "CPU time of the writer's thread.",
         fb_metrics_thread_seconds(&writer->clock)},
        {"fleetbit_writer_batches_total", "counter", "Batches that went to Redis.",
         number(&writer->batches_total)},
        {"fleetbit_writes_landed_total", "counter", "Writes that were acknowledged.",
         number(&writer->landed_total)},
        {"fleetbit_writes_failed_total", "counter",
         "Writes that Redis did not take, or whose outcome is not known.",
         number(&writer->failed_total)},
    };
    fb_metrics_put_samples(out, samples, sizeof(samples) / sizeof(samples[0]));
    fb_metrics_put_sizes(out, "fleetbit_writer_batch_writes", "Writes of a batch.",
                         &writer->batch_writes);
    fb_metrics_put_durations(out, "fleetbit_writer_batch_duration_seconds",
                             "From a batch being taken to its being in the log, or not.",
                             &writer->batches);
}

static void put_redis(fb_buffer_t *out, const fb_writer_state_t *writer)
{
    const fb_sample_t samples[] = {
        {"fleetbit_redis_up", "gauge", "Does Redis answer?",
         atomic_load_explicit(&writer->redis_up, memory_order_relaxed) ? 1 : 0},
        {"fleetbit_redis_contact_age_seconds", "gauge", "Since Redis last answered.",
         seconds_since(&writer->contact_ms)},
        {"fleetbit_redis_restarts_total", "counter",
         "How often the private redis-server ended and was started again.",
         (double)fb_private_redis_restarts()},
    };
    fb_metrics_put_samples(out, samples, FB_COUNT(samples));
    fb_metrics_put_durations(out, "fleetbit_redis_commit_duration_seconds",
                             "From a commit being sent to Redis to its answer.",
                             &writer->fleet.commits);
}

static void put_log(fb_buffer_t *out, const fb_server_t *server)
{
    const fb_writer_state_t *writer = fb_writer_state(server->writer);
    double revision = number(&writer->revision), head = number(&writer->fleet.head_revision);
    const fb_sample_t samples[] = {
        {"fleetbit_log_lag_revisions", "gauge",
         "Revisions of the log, when its head was last seen, that are not shown yet.",
         head > revision ? head - revision : 0},
        {"fleetbit_log_compared_age_seconds", "gauge",
         "Since it was last certain that all of the log is shown.",
         seconds_since(&writer->compared_ms)},
        {"fleetbit_log_entries", "gauge", "Entries of the log in Redis, when it was last asked.",
         (double)server->log_length.entries},
    };
    fb_metrics_put_samples(out, samples, FB_COUNT(samples) - (server->log_length.is_known ? 0 : 1));
}

static void put_events(fb_buffer_t *out, const fb_writer_state_t *writer)
{
    char label[64];
    fb_metrics_put_head(out, "fleetbit_events_total", "counter",
                        "Changes of the things of a topic, whoever made them.");
    for (unsigned i = 0; i < fb_registry_count(); i++) {
        const char *topic = fb_registry_resource(i)->topic;
        if (topic == NULL)
            continue;
        snprintf(label, sizeof(label), "topic=\"%s\"", topic);
        fb_metrics_put(out, "fleetbit_events_total", label, number(&writer->tally.events[i]));
    }
}

static void put_readers(fb_buffer_t *out, const fb_readers_state_t *readers)
{
    const fb_sample_t samples[] = {
        {"fleetbit_readers_queue", "gauge", "Reads of Redis that wait for a thread.",
         number(&readers->queued)},
        {"fleetbit_readers_queue_limit", "gauge", "How many may wait.", FB_READERS_QUEUE_MAX},
        {"fleetbit_readers_refused_total", "counter", "Reads that found no room in the queue.",
         number(&readers->refused)},
    };
    fb_metrics_put_samples(out, samples, FB_COUNT(samples));
    fb_metrics_put_durations(out, "fleetbit_readers_wait_duration_seconds",
                             "How long reads of Redis waited for a thread.", &readers->waiting);
    fb_metrics_put_durations(out, "fleetbit_readers_job_duration_seconds",
                             "How long reads of Redis took then.", &readers->running);
}

static void put_messages(fb_buffer_t *out)
{
    char label[32];
    fb_metrics_put_head(out, "fleetbit_messages_total", "counter",
                        "Messages for the log on stderr, also those that were left out.");
    for (int i = 0; i < FB_LOG_LEVELS; i++) {
        snprintf(label, sizeof(label), "level=\"%s\"", fb_log_level_name((fb_log_level_t)i));
        fb_metrics_put(out, "fleetbit_messages_total", label,
                       (double)fb_log_messages((fb_log_level_t)i));
    }
    const fb_sample_t dropped = {"fleetbit_messages_dropped_total", "counter",
                                 "Lines of it that stderr did not take.", (double)fb_log_dropped()};
    fb_metrics_put_samples(out, &dropped, 1);
}

/* Each with the number of its loop. */
static void put_each_loop(fb_buffer_t *out, const fb_server_t *server)
{
    char label[32];
    fb_metrics_put_head(out, "fleetbit_loop_cpu_seconds_total", "counter",
                        "CPU time of an event loop's thread.");
    for (unsigned i = 0; i < server->loop_count; i++) {
        snprintf(label, sizeof(label), "loop=\"%u\"", i);
        fb_metrics_put(out, "fleetbit_loop_cpu_seconds_total", label,
                       fb_metrics_thread_seconds(&server->loops[i]->metrics.clock));
    }
    fb_metrics_put_head(out, "fleetbit_loop_turns_total", "counter",
                        "How often an event loop looked for what there is to do.");
    for (unsigned i = 0; i < server->loop_count; i++) {
        snprintf(label, sizeof(label), "loop=\"%u\"", i);
        fb_metrics_put(out, "fleetbit_loop_turns_total", label,
                       number(&server->loops[i]->metrics.turns_total));
    }
}

static void put_coherence(fb_buffer_t *out, const fb_writer_state_t *writer)
{
    const fb_sample_t samples[] = {
        {"fleetbit_news_total", "counter", "Changes of other instances that a publication brought.",
         number(&writer->news_total)},
        {"fleetbit_log_read_total", "counter",
         "Changes of other instances that were read from the log.", number(&writer->log_total)},
        {"fleetbit_stale_total", "counter",
         "Batches that came second to another instance, and were planned again.",
         number(&writer->stale_total)},
        {"fleetbit_reloads_total", "counter",
         "How often the log did not continue the state, and all was loaded anew.",
         number(&writer->reloads_total)},
        {"fleetbit_lost_revisions_total", "counter",
         "Revisions that this instance had shown and Redis has lost.",
         number(&writer->lost_revisions_total)},
        {"fleetbit_checksum_faults_total", "counter",
         "Changes after which the state was not what their author had.",
         number(&writer->sum_faults_total)},
        {"fleetbit_checksum_differs", "gauge",
         "Does the state differ from that of the log? See fleetbit verify.",
         atomic_load_explicit(&writer->sum_differs, memory_order_relaxed) ? 1 : 0},
    };
    fb_metrics_put_samples(out, samples, sizeof(samples) / sizeof(samples[0]));
}

static double sum_of(const fb_server_t *server, size_t offset)
{
    double sum = 0;
    for (unsigned i = 0; i < server->loop_count; i++) {
        const char *metrics = (const char *)&server->loops[i]->metrics;
        sum += (double)fb_count_read((const fb_counter_t *)(const void *)(metrics + offset));
    }
    return sum;
}

static double parked_of(const fb_server_t *server)
{
    double sum = 0;
    for (unsigned i = 0; i < server->loop_count; i++)
        sum += (double)fb_count_read(&server->loops[i]->parking.count);
    return sum;
}

static void put_loops(fb_buffer_t *out, const fb_server_t *server)
{
#define SUM(member) sum_of(server, offsetof(fb_loop_metrics_t, member))
    const fb_sample_t samples[] = {
        {"fleetbit_loops", "gauge", "Event loops.", server->loop_count},
        {"fleetbit_connections_total", "counter", "Connections accepted.", SUM(connections_total)},
        {"fleetbit_parked", "gauge", "Requests that wait for a snapshot.", parked_of(server)},
        {"fleetbit_memo_hits_total", "counter", "Reads answered from the memo.", SUM(memo_hits)},
        {"fleetbit_memo_misses_total", "counter", "Reads that it could not answer.",
         SUM(memo_misses)},
        {"fleetbit_memo_stale_total", "counter", "Entries dropped because of a change.",
         SUM(memo_stale)},
        {"fleetbit_memo_evicted_total", "counter", "Entries dropped for want of room.",
         SUM(memo_evicted)},
        {"fleetbit_memo_entries", "gauge", "Entries of the memos.", SUM(memo_entries)},
        {"fleetbit_memo_bytes", "gauge", "Bytes of the memos.", SUM(memo_bytes)},
        {"fleetbit_memo_limit_bytes", "gauge", "How many they may have: memo.bytes of each loop.",
         (double)server->memo_bytes_max * server->loop_count},
        {"fleetbit_stream_clients", "gauge", "Event streams that are open.", SUM(stream_clients)},
        {"fleetbit_stream_events_total", "counter", "Events that streams were sent.",
         SUM(stream_events)},
        {"fleetbit_stream_conflated_total", "counter",
         "Events that streams were not sent, since they were slow and newer ones followed.",
         SUM(stream_conflated)},
        {"fleetbit_stream_resyncs_total", "counter",
         "Streams that were told to read everything anew.", SUM(stream_resyncs)},
        {"fleetbit_stream_catch_ups_total", "counter", "Streams that had to read the log in Redis.",
         SUM(stream_catch_ups)},
    };
#undef SUM
    fb_metrics_put_samples(out, samples, sizeof(samples) / sizeof(samples[0]));
}

static void put_connections(fb_buffer_t *out, const fb_server_t *server)
{
    fb_conns_counts_t sum = {0};
    fb_h2_guard_stats_t guard;
    fb_h2_guard_stats(&guard);
    for (unsigned i = 0; i < server->loop_count; i++) {
        fb_conns_counts_t counts;
        fb_conns_counts(&server->loops[i]->conns, &counts);
        sum.open += counts.open;
        sum.slow_readers += counts.slow_readers;
        sum.slow_requests += counts.slow_requests;
    }
    const fb_sample_t samples[] = {
        {"fleetbit_connections_open", "gauge", "Open connections.", (double)sum.open},
        {"fleetbit_connections_limit", "gauge", "How many there may be: limits.connections.",
         (double)server->connections_max},
        {"fleetbit_slow_readers_total", "counter",
         "Connections closed and streams reset that did not take their answer.",
         (double)sum.slow_readers},
        {"fleetbit_slow_requests_total", "counter",
         "Connections closed and streams reset that did not send all of a request.",
         (double)sum.slow_requests},
        {"fleetbit_http2_resets_total", "counter", "HTTP/2 streams reset, by either side.",
         (double)guard.resets},
        {"fleetbit_http2_closed_total", "counter",
         "HTTP/2 connections closed for what their clients did.",
         (double)(guard.closed_resets + guard.closed_unread + guard.closed_headers +
                  guard.closed_fragments)},
    };
    fb_metrics_put_samples(out, samples, sizeof(samples) / sizeof(samples[0]));
}

static void put_access_log(fb_buffer_t *out, const fb_server_t *server)
{
    fb_access_counts_t counts = fb_access_log_counts(server->access_log);
    const fb_sample_t samples[] = {
        {"fleetbit_access_log_lines_total", "counter", "Lines of the access log.",
         (double)counts.lines},
        {"fleetbit_access_log_dropped_total", "counter",
         "Lines that the access log lacks, for want of room or because it could not be written.",
         (double)counts.dropped},
    };
    fb_metrics_put_samples(out, samples, sizeof(samples) / sizeof(samples[0]));
}

static void answer_metrics(fb_exchange_t *exchange)
{
    fb_server_t *server = exchange->loop->server;
    const fb_writer_state_t *writer = fb_writer_state(server->writer);
    const fb_loop_metrics_t *loops[FB_LOOPS_MAX];
    fb_buffer_t out = {0};
    for (unsigned i = 0; i < server->loop_count; i++)
        loops[i] = &server->loops[i]->metrics;
    fb_metrics_put_head(
        &out, "fleetbit_info", "gauge",
        "Which version runs, for which fleet; its id is another one after each start.");
    char labels[160];
    snprintf(labels, sizeof(labels), "version=\"" FB_VERSION "\",fleet=\"%s\",id=\"%s\"",
             server->instance.fleet, server->instance.id);
    fb_metrics_put(&out, "fleetbit_info", labels, 1);
    put_writer(&out, writer, (double)server->writer_queue_max);
    put_redis(&out, writer);
    put_log(&out, server);
    put_coherence(&out, writer);
    put_events(&out, writer);
    put_readers(&out, fb_readers_state(server->readers));
    fb_orders_metrics_put(&out, exchange->loop->snapshot, server->jobs);
    fb_feed_metrics_put(&out, server->feed);
    put_loops(&out, server);
    put_each_loop(&out, server);
    put_connections(&out, server);
    put_access_log(&out, server);
    put_messages(&out);
    fb_metrics_put_requests(&out, loops, server->loop_count);
    fb_metrics_put_process(&out);
    fb_log_length_ask(&server->log_length, server->readers, &exchange->loop->reads);
    fb_reply_text(exchange, "text/plain; version=0.0.4; charset=utf-8", &out);
}

static const struct {
    const char *path;
    void (*answer)(fb_exchange_t *exchange);
} pages[] = {
    {"/metrics", answer_metrics},
    {"/status.json", fb_status_answer},
    {"/state", fb_status_answer_state},
};

static void answer_page(fb_exchange_t *exchange, fb_slice_t path)
{
    fb_error_t error = {0};
    size_t i = 0;
    while (i < sizeof(pages) / sizeof(*pages) && !fb_slice_is(path, pages[i].path))
        i++;
    if (i == sizeof(pages) / sizeof(*pages)) {
        fb_fail(&error, FB_NOT_FOUND,
                "the admin listener has /metrics, /status.json, /state, /livez and /readyz");
        fb_reply_problem(exchange, &error, NULL);
    } else if (!fb_exchange_is_read(exchange)) {
        fb_fail(&error, FB_METHOD_NOT_ALLOWED, "%s takes GET, HEAD", pages[i].path);
        fb_reply_problem(exchange, &error, "GET, HEAD");
    } else {
        pages[i].answer(exchange);
    }
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    fb_exchange_t exchange;
    size_t len = req->query_at == SIZE_MAX ? req->path.len : req->query_at;
    fb_slice_t path = {req->path.base, len};
    fb_exchange_begin(&exchange, fb_loop_of(handler), req);
    if (!fb_health_answer(&exchange, path))
        answer_page(&exchange, path);
    return 0;
}

void fb_admin_register(fb_loop_t *loop, h2o_hostconf_t *host)
{
    fb_loop_handle(loop, host, on_request);
}
