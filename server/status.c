/* SPDX-License-Identifier: MIT */
#include "server/status.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "resources/orders.h"
#include "server/state.h"

static const char content_type[] = "application/json";

static void put_sum(fb_buffer_t *out, const char *separator, const char *name, uint64_t sum)
{
    fb_buffer_printf(out, "%s\"%s\":\"%016llx\"", separator, name, (unsigned long long)sum);
}

static void put_checksum(fb_buffer_t *out, const fb_snapshot_t *snapshot)
{
    const char *separator = "";
    char name[FB_STATE_NAME_BYTES];
    put_sum(out, "{", "total", fb_snapshot_sum(snapshot));
    fb_buffer_put_literal(out, ",\"families\":{");
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        if (!fb_state_family_name(family, name))
            continue;
        put_sum(out, separator, name, snapshot->families[family].sum);
        separator = ",";
    }
    fb_buffer_put_literal(out, "},\"planes\":{");
    for (int plane = 0; plane < FB_PLANE_COUNT; plane++)
        put_sum(out, plane > 0 ? "," : "", fb_plane_names[plane], snapshot->plane_sums[plane]);
    fb_buffer_put_literal(out, "}}");
}

static void put_snapshot(fb_buffer_t *out, const fb_snapshot_t *snapshot)
{
    if (snapshot == NULL) {
        fb_buffer_put_literal(out, ",\"epoch\":null,\"revision\":null,\"chain\":null,"
                                   "\"today\":null,\"checksum\":null");
        return;
    }
    const fb_position_t *position = &snapshot->position;
    fb_buffer_printf(out, ",\"epoch\":\"%s\",\"revision\":%llu,\"chain\":\"%s\",\"today\":",
                     position->epoch, (unsigned long long)position->revision, position->chain);
    fb_json_put_day(out, snapshot->today);
    fb_buffer_put_literal(out, ",\"checksum\":");
    put_checksum(out, snapshot);
}

static void put_text(fb_buffer_t *out, const char *text)
{
    if (text != NULL && *text != '\0')
        fb_json_put_string(out, fb_slice(text));
    else
        fb_buffer_put_literal(out, "null");
}

static void put_redis(fb_buffer_t *out, const fb_instance_t *instance,
                      const fb_writer_state_t *writer)
{
    bool up = atomic_load_explicit(&writer->redis_up, memory_order_relaxed);
    uint64_t contact_ms = fb_count_read(&writer->contact_ms), now_ms = fb_clock_monotonic_ms();
    fb_buffer_printf(out, ",\"redis\":{\"up\":%s,\"contact_age_ms\":", up ? "true" : "false");
    if (contact_ms == 0)
        fb_buffer_put_literal(out, "null");
    else
        fb_buffer_put_u64(out, now_ms > contact_ms ? now_ms - contact_ms : 0);
    fb_buffer_put_literal(out, ",\"url\":");
    put_text(out, instance->redis);
    fb_buffer_put_literal(out, ",\"data\":");
    put_text(out, instance->data);
    fb_buffer_put_char(out, '}');
}

static void put_coherence(fb_buffer_t *out, const fb_writer_state_t *writer)
{
    const struct {
        const char *name;
        const atomic_uint_fast64_t *value;
    } counts[] = {
        {"news_total", &writer->news_total},
        {"log_read_total", &writer->log_total},
        {"stale_total", &writer->stale_total},
        {"reloads_total", &writer->reloads_total},
        {"lost_revisions_total", &writer->lost_revisions_total},
        {"checksum_faults_total", &writer->sum_faults_total},
    };
    bool differs = atomic_load_explicit(&writer->sum_differs, memory_order_relaxed);
    fb_buffer_printf(out, ",\"coherence\":{\"checksum_differs\":%s", differs ? "true" : "false");
    for (size_t i = 0; i < FB_COUNT(counts); i++)
        fb_buffer_printf(out, ",\"%s\":%llu", counts[i].name,
                         (unsigned long long)fb_count_read(counts[i].value));
    fb_buffer_put_char(out, '}');
}

static uint64_t lag_of(const fb_writer_state_t *writer)
{
    uint64_t revision = fb_count_read(&writer->revision);
    uint64_t head = fb_count_read(&writer->fleet.head_revision);
    return head > revision ? head - revision : 0;
}

/* What of the log is not shown, as far as is known, and since when that is not certain. */
static void put_log(fb_buffer_t *out, const fb_writer_state_t *writer)
{
    uint64_t compared_ms = fb_count_read(&writer->compared_ms), now_ms = fb_clock_monotonic_ms();
    fb_buffer_printf(out, ",\"log\":{\"lag_revisions\":%llu,\"compared_age_ms\":",
                     (unsigned long long)lag_of(writer));
    if (compared_ms == 0)
        fb_buffer_put_literal(out, "null}");
    else
        fb_buffer_printf(out, "%llu}",
                         (unsigned long long)(now_ms > compared_ms ? now_ms - compared_ms : 0));
}

static void put_queues(fb_buffer_t *out, const fb_server_t *server)
{
    uint64_t parked = 0;
    for (unsigned i = 0; i < server->loop_count; i++)
        parked += fb_count_read(&server->loops[i]->parking.count);
    fb_buffer_printf(out, ",\"queues\":{\"writer\":%llu,\"readers\":%llu,\"parked\":%llu}",
                     (unsigned long long)fb_count_read(&fb_writer_state(server->writer)->queued),
                     (unsigned long long)fb_count_read(&fb_readers_state(server->readers)->queued),
                     (unsigned long long)parked);
}

/* Those of the fleet, and of these what this instance has in hand. */
static void put_orders(fb_buffer_t *out, const fb_loop_t *loop)
{
    const fb_jobs_state_t *jobs = fb_jobs_state(loop->server->jobs);
    fb_order_metrics_t orders = {0};
    if (loop->snapshot != NULL)
        orders = fb_order_metrics(loop->snapshot);
    fb_buffer_printf(out,
                     ",\"orders\":{\"pending\":%llu,\"processing\":%llu,\"in_hand\":%llu,"
                     "\"queue\":%llu}",
                     (unsigned long long)orders.pending, (unsigned long long)orders.processing,
                     (unsigned long long)fb_count_read(&jobs->in_hand),
                     (unsigned long long)fb_count_read(&jobs->queue_length));
}

static void put_clients(fb_buffer_t *out, const fb_server_t *server)
{
    uint64_t connections = 0;
    for (unsigned i = 0; i < server->loop_count; i++) {
        fb_conns_counts_t counts;
        fb_conns_counts(&server->loops[i]->conns, &counts);
        connections += counts.open;
    }
    fb_buffer_printf(out, ",\"clients\":{\"connections\":%llu,\"streams\":%zu}",
                     (unsigned long long)connections, atomic_load(&server->streams));
}

static void put_writer(fb_buffer_t *out, const fb_writer_state_t *writer)
{
    fb_buffer_printf(out,
                     ",\"writer\":{\"queued\":%llu,\"batches_total\":%llu,\"landed_total\":%llu,"
                     "\"failed_total\":%llu}",
                     (unsigned long long)fb_count_read(&writer->queued),
                     (unsigned long long)fb_count_read(&writer->batches_total),
                     (unsigned long long)fb_count_read(&writer->landed_total),
                     (unsigned long long)fb_count_read(&writer->failed_total));
}

static void put_instance(fb_buffer_t *out, const fb_loop_t *loop)
{
    const fb_server_t *server = loop->server;
    const fb_instance_t *instance = &server->instance;
    uint64_t age_ms = fb_clock_monotonic_ms() - instance->begun_ms;
    bool draining = atomic_load_explicit(&server->draining, memory_order_relaxed);
    fb_buffer_printf(out,
                     "{\"version\":\"" FB_VERSION "\",\"instance\":\"%s\",\"pid\":%d,"
                     "\"uptime_s\":%llu.%03llu,\"ready\":%s,\"draining\":%s,\"fleet\":",
                     instance->id, (int)getpid(), (unsigned long long)age_ms / 1000,
                     (unsigned long long)age_ms % 1000,
                     loop->snapshot != NULL && !draining ? "true" : "false",
                     draining ? "true" : "false");
    put_text(out, instance->fleet);
}

void fb_status_answer(fb_exchange_t *exchange)
{
    const fb_loop_t *loop = exchange->loop;
    const fb_server_t *server = loop->server;
    const fb_writer_state_t *writer = fb_writer_state(server->writer);
    fb_buffer_t out = {0};
    put_instance(&out, loop);
    put_snapshot(&out, loop->snapshot);
    put_redis(&out, &server->instance, writer);
    put_writer(&out, writer);
    put_coherence(&out, writer);
    put_log(&out, writer);
    put_queues(&out, server);
    put_orders(&out, loop);
    put_clients(&out, server);
    fb_buffer_printf(&out, ",\"loops\":%u}", server->loop_count);
    fb_reply_text(exchange, content_type, &out);
}

void fb_status_answer_state(fb_exchange_t *exchange)
{
    const fb_snapshot_t *snapshot = exchange->loop->snapshot;
    const h2o_req_t *req = exchange->req;
    fb_error_t error = {0};
    fb_buffer_t out = {0};
    fb_slice_t query = {NULL, 0};
    if (req->query_at < req->path.len)
        query = (fb_slice_t){req->path.base + req->query_at + 1, req->path.len - req->query_at - 1};
    if (snapshot == NULL)
        fb_fail(&error, FB_UNAVAILABLE, "the fleet is being loaded");
    else
        fb_state_put(snapshot, query, &out, &error);
    if (error.code == FB_OK) {
        fb_reply_text(exchange, content_type, &out);
        return;
    }
    fb_buffer_dispose(&out);
    fb_reply_problem(exchange, &error, NULL);
}
