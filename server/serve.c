/* SPDX-License-Identifier: MIT */
/* The life of a server:
 *
 *     listen ─► loops ─► Redis ─► writer (loads) ─► ready ... SIGTERM ─► leaving ─► draining ─►
 *     the feed is given up, orders in hand go back ─► writer's last batch ─► loops end ─► Redis
 * ends
 *
 * Loops come first, so that /livez answers while a large fleet is being loaded. */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "resources/registry.h"
#include "server/feed.h"
#include "server/history_times.h"
#include "server/home.h"
#include "server/library.h"
#include "server/listen.h"
#include "server/loop.h"
#include "server/run.h"
#include "server/synthetic.h"

#define FILES_KEPT_FREE 64 /* of the file limit: for all that is no connection */
#define DEMO_MACHINES   1000
#define DEMO_DAYS       90
#define POLL_MS         20
#define SETTLE_MS       2000 /* how often the log says what it has left out */
#define CONNECT_MS      5    /* more than a client's ACK of our SYN-ACK is on its way */

typedef struct {
    const fb_options_t *options;
    fb_server_t server;
    fb_home_t home;
    int listeners[FB_LISTEN_MAX];
    unsigned listener_count;
    sigset_t signals;
} serving_t;

/* --- listening --------------------------------------------------------------------------- */

static fb_code_t listen_all(serving_t *serving, fb_error_t *error)
{
    const fb_options_t *options = serving->options;
    for (unsigned i = 0; i < options->listen_count; i++) {
        fb_code_t code = fb_listen(options->listen[i], &serving->listeners[i], error);
        if (code != FB_OK)
            return code;
        serving->listener_count++;
    }
    serving->server.listeners = serving->listeners;
    serving->server.listener_count = serving->listener_count;
    serving->server.admin_listener = -1;
    if (strcmp(options->admin, "off") == 0)
        return FB_OK;
    return fb_listen(options->admin, &serving->server.admin_listener, error);
}

/* Is there an access log, and has it stdout? */
static bool logs_to_stdout(const serving_t *serving)
{
    const char *path = serving->options->log_access;
    return path != NULL && strcmp(path, "-") == 0;
}

/* To stdout; where that belongs to the access log, as messages of the log. */
static void announce_at(const serving_t *serving, const char *what, int listener)
{
    char name[64];
    fb_listen_name(listener, name, sizeof(name));
    if (logs_to_stdout(serving))
        fb_log_info("%s http://%s", what, name);
    else
        printf("%s http://%s\n", what, name);
}

static void announce(const serving_t *serving)
{
    for (unsigned i = 0; i < serving->listener_count; i++)
        announce_at(serving, "listening on", serving->listeners[i]);
    if (serving->server.admin_listener >= 0)
        announce_at(serving, "admin on", serving->server.admin_listener);
    fflush(stdout);
}

/* The loops have duplicates of their own: a socket listens until the last one is closed. */
static void close_listeners(serving_t *serving)
{
    while (serving->listener_count > 0)
        close(serving->listeners[--serving->listener_count]);
    if (serving->server.admin_listener >= 0)
        close(serving->server.admin_listener);
    serving->server.admin_listener = -1;
}

static fb_code_t set_limits(serving_t *serving, fb_error_t *error)
{
    const fb_options_t *options = serving->options;
    size_t files = fb_listen_raise_file_limit();
    size_t most = files > FILES_KEPT_FREE ? files - FILES_KEPT_FREE : 0;
    size_t wanted = options->limits_connections;
    if (most < options->threads || wanted > most)
        return fb_fail(error, FB_CONFIG,
                       "the limit of open files, %zu, leaves room for %zu connections only", files,
                       most);
    fb_server_t *server = &serving->server;
    server->connections_max = wanted ? wanted : most;
    server->body_bytes_max = options->limits_body_bytes;
    server->memo_bytes_max = options->memo_bytes;
    server->writer_queue_max = options->writer_queue;
    server->redis_timeout_ms = options->redis_timeout_ms;
    server->request_ms = options->limits_request_ms;
    server->idle_ms = options->limits_idle_ms;
    server->stall_ms = options->limits_stall_ms;
    server->drain_ms = options->limits_drain_ms;
    server->lame_duck_ms = options->limits_lame_duck_ms;
    server->streams_max = options->limits_streams;
    server->min_revision_wait_ms = options->limits_min_revision_ms;
    return FB_OK;
}

/* --- the writer's messages --------------------------------------------------------------- */

static void wake_loops(fb_server_t *server)
{
    for (unsigned i = 0; i < server->loop_count; i++)
        fb_loop_wake(server->loops[i]);
}

static void on_published(void *context)
{
    const fb_server_t *server = context;
    wake_loops(context);
    fb_jobs_published(server->jobs, fb_shelf_current(server->shelf));
}

static void on_ready(void *context)
{
    fb_server_t *server = context;
    atomic_store(&server->ready, true);
    fb_log_info("ready");
}

/* --- the demo ---------------------------------------------------------------------------- */

typedef struct {
    fb_writer_t *writer;
    sem_t done;
} demo_t;

static void on_demo_write(fb_write_t *write)
{
    demo_t *demo = write->context;
    sem_post(&demo->done);
}

static fb_code_t submit_all(void *context, fb_write_t *const *writes, size_t count,
                            fb_error_t *error)
{
    demo_t *demo = context;
    fb_code_t code = FB_OK;
    size_t submitted = 0;
    while (code == FB_OK && submitted < count) {
        writes[submitted]->on_done = on_demo_write;
        writes[submitted]->context = demo;
        code = fb_writer_submit(demo->writer, writes[submitted], error);
        submitted += code == FB_OK ? 1 : 0;
    }
    for (size_t i = 0; i < submitted; i++) {
        while (sem_wait(&demo->done) != 0)
            continue;
    }
    return code;
}

/* Fills an empty fleet; one that has, or ever had, a machine is left as it is. */
static fb_code_t make_demo(serving_t *serving, fb_error_t *error)
{
    demo_t demo = {.writer = serving->server.writer};
    fb_reader_t *reader = fb_shelf_reader_create(serving->server.shelf);
    fb_assert(reader != NULL);
    const fb_snapshot_t *snapshot = fb_shelf_take(reader);
    const fb_synthetic_t synthetic = {&serving->home.rules, snapshot->today, DEMO_DAYS, true};
    bool is_empty = snapshot->families[FB_MACHINES].last_id == 0;
    fb_shelf_reader_destroy(&reader);
    if (!is_empty)
        return FB_OK;
    fb_assert(sem_init(&demo.done, 0, 0) == 0);
    fb_code_t code =
        fb_synthetic_create(&synthetic, 1, DEMO_MACHINES, submit_all, NULL, &demo, error);
    sem_destroy(&demo.done);
    if (code == FB_OK)
        fb_log_info("demo: %d machines", DEMO_MACHINES);
    if (code != FB_CONFLICT)
        return code;
    fb_log_warning("demo: somebody else fills the fleet at the same time; what there is, stays");
    *error = (fb_error_t){0};
    return FB_OK;
}

/* --- the life of a server ---------------------------------------------------------------- */

/* Is SIGHUP for logrotate? Else it ends us, as SIGTERM does. */
static bool rotates_log(const serving_t *serving)
{
    return serving->options->log_access != NULL && !logs_to_stdout(serving);
}

/* Waits for a signal that ends us, at most so long; 0: none came. */
static int wait_for_signal(const serving_t *serving, uint64_t ms)
{
    const struct timespec wait = fb_clock_timespec(ms * 1000000);
    int signal = sigtimedwait(&serving->signals, NULL, &wait);
    bool is_rotation = signal == SIGHUP && rotates_log(serving);
    if (is_rotation)
        fb_access_log_reopen(serving->server.access_log);
    return signal > 0 && !is_rotation ? signal : 0;
}

/* Has one come that nobody has waited for yet? It stays pending. */
static bool is_signal_pending(void *context)
{
    const serving_t *serving = context;
    sigset_t pending;
    if (sigpending(&pending) != 0)
        return false;
    return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1 ||
           (sigismember(&pending, SIGHUP) == 1 && !rotates_log(serving));
}

/* NULL where there is none to be fetched. */
static fb_feed_t *make_feed(const serving_t *serving)
{
    const fb_options_t *options = serving->options;
    const fb_feed_config_t config = {
        .name = serving->server.instance.id,
        .source = {.url = options->feed_url,
                   .connect_ms = (unsigned)options->feed_connect_ms,
                   .total_ms = (unsigned)options->feed_timeout_ms,
                   .bytes_max = options->feed_bytes},
        .interval_ms = options->feed_interval_ms,
    };
    return options->feed_url != NULL ? fb_feed_create(&config) : NULL;
}

static void start_loops(serving_t *serving)
{
    fb_server_t *server = &serving->server;
    const fb_writer_config_t config = {
        .queue_max = serving->options->writer_queue,
        .deadline_ms = serving->options->writer_deadline_ms,
        .on_published = on_published,
        .on_ready = on_ready,
        .context = server,
    };
    server->shelf = fb_shelf_create();
    server->writer = fb_writer_create(&config);
    server->readers = fb_readers_create();
    const fb_jobs_config_t jobs = {
        .name = server->instance.id,
        .workers = (unsigned)serving->options->orders_workers,
        .processing_ms = serving->options->orders_processing_ms,
        .claim_ms = serving->options->orders_claim_ms,
        .recent = serving->options->orders_recent,
    };
    server->jobs = fb_jobs_create(&jobs);
    server->feed = make_feed(serving);
    server->history_times = fb_history_times_create();
    unsigned threads = (unsigned)serving->options->threads;
    server->loop_total = threads;
    for (unsigned i = 0; i < threads; i++) {
        server->loops[i] = fb_loop_create(server, i);
        server->loop_count++;
    }
}

/* Clients are asked to go while all they still send is served, so that none of them sends a request
 * on a connection that is being closed. Not where none was ever asked to come. */
static void leave(serving_t *serving)
{
    fb_server_t *server = &serving->server;
    uint64_t now_ms = fb_clock_monotonic_ms(), until_ms = now_ms + server->lame_duck_ms;
    if (!atomic_load(&server->ready))
        return;
    atomic_store(&server->leaving, true);
    wake_loops(server);
    while (now_ms < until_ms && wait_for_signal(serving, until_ms - now_ms) == 0)
        now_ms = fb_clock_monotonic_ms();
}

static fb_code_t start_jobs(serving_t *serving, fb_error_t *error)
{
    fb_server_t *server = &serving->server;
    fb_store_t *store = NULL;
    fb_code_t code = fb_store_redis_create(&serving->home.store, &store, error);
    if (code != FB_OK)
        return code;
    return fb_jobs_start(server->jobs, server->writer, server->shelf, &store, error);
}

static fb_code_t start_feed(serving_t *serving, fb_error_t *error)
{
    fb_server_t *server = &serving->server;
    fb_store_t *store = NULL;
    if (server->feed == NULL)
        return FB_OK;
    fb_code_t code = fb_store_redis_create(&serving->home.store, &store, error);
    if (code != FB_OK)
        return code;
    return fb_feed_start(server->feed, server->writer, server->shelf, &store, error);
}

static fb_code_t run(serving_t *serving, fb_error_t *error)
{
    int signal = 0;
    const fb_options_t *options = serving->options;
    fb_code_t code = fb_home_open(&serving->home, serving->server.shelf, options, is_signal_pending,
                                  serving, error);
    if (code != FB_OK && is_signal_pending(serving))
        return FB_OK; /* it was given up because we are to end */
    if (code == FB_OK) {
        code = fb_home_check_durability(&serving->home, options, error);
        if (code == FB_UNAVAILABLE) {
            fb_log_error("%s", error->detail);
            *error = (fb_error_t){0};
            code = FB_OK;
        }
    }
    if (code != FB_OK)
        return code;
    fb_fleet_set_author(serving->home.fleet, serving->server.instance.number);
    code = fb_readers_start(serving->server.readers, &serving->home.store, error);
    if (code != FB_OK)
        return code;
    code =
        fb_writer_start(serving->server.writer, serving->home.fleet, &serving->home.watch, error);
    if (code != FB_OK)
        return code;
    code = start_jobs(serving, error);
    if (code == FB_OK)
        code = start_feed(serving, error);
    if (code != FB_OK)
        return code;
    while (signal == 0 && !atomic_load(&serving->server.ready))
        signal = wait_for_signal(serving, POLL_MS);
    if (signal == 0 && options->demo)
        code = make_demo(serving, error);
    while (signal == 0 && code == FB_OK) {
        signal = wait_for_signal(serving, SETTLE_MS);
        fb_log_settle(false);
    }
    if (signal != 0) {
        fb_log_info("%s: leaving", signal == SIGTERM  ? "SIGTERM"
                                   : signal == SIGINT ? "SIGINT"
                                                      : "SIGHUP");
        leave(serving);
    }
    return code;
}

static bool all_quiet(const fb_server_t *server)
{
    for (unsigned i = 0; i < server->loop_count; i++) {
        if (!atomic_load(&server->loops[i]->quiet))
            return false;
    }
    return true;
}

/* Who is about to connect comes in; the loops take all who wait there before they drain. */
static void refuse_new(serving_t *serving)
{
    const struct timespec wait = {0, CONNECT_MS * 1000000L};
    for (unsigned i = 0; i < serving->listener_count; i++)
        fb_listen_refuse_new(serving->listeners[i]);
    if (serving->server.admin_listener >= 0)
        fb_listen_refuse_new(serving->server.admin_listener);
    nanosleep(&wait, NULL);
    close_listeners(serving);
}

static void end(serving_t *serving)
{
    fb_server_t *server = &serving->server;
    fb_jobs_end(server->jobs);
    if (server->feed != NULL)
        fb_feed_end(server->feed);
    refuse_new(serving);
    fb_log_info("draining");
    uint64_t deadline_ms = fb_clock_monotonic_ms() + server->drain_ms;
    atomic_store(&server->draining, true);
    atomic_store(&server->leaving, true);
    wake_loops(server);
    while (!all_quiet(server) && fb_clock_monotonic_ms() < deadline_ms)
        wait_for_signal(serving, POLL_MS);
    /* The loops still run: they must take the last snapshot and the last answers. */
    fb_jobs_stop(server->jobs);
    if (server->feed != NULL)
        fb_feed_stop(server->feed);
    fb_writer_stop(server->writer);
    fb_readers_stop(server->readers);
    /* They see it by themselves soon: one that has ended must not be woken. */
    atomic_store(&server->ended, true);
    for (unsigned i = 0; i < server->loop_count; i++)
        fb_loop_destroy(&server->loops[i]);
    fb_writer_destroy(&server->writer);
    fb_readers_destroy(&server->readers);
    fb_jobs_destroy(&server->jobs);
    fb_feed_destroy(&server->feed);
    fb_history_times_destroy(&server->history_times);
    fb_home_dispose(&serving->home);
    fb_shelf_destroy(&server->shelf);
    if (server->access_log != NULL)
        fb_access_log_destroy(&server->access_log);
    fb_log_info("ended");
}

/* All threads leave these to the main thread, which waits for them. */
static void block_signals(serving_t *serving)
{
    sigemptyset(&serving->signals);
    sigaddset(&serving->signals, SIGTERM);
    sigaddset(&serving->signals, SIGINT);
    sigaddset(&serving->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &serving->signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

fb_exit_t fb_serve(const fb_options_t *options)
{
    serving_t serving = {.options = options};
    fb_error_t error = {0};
    fb_log_set_level((fb_log_level_t)fb_log_level_parse(options->log_level));
    fb_instance_init(&serving.server.instance, options);
    fb_log_set_instance(serving.server.instance.id);
    block_signals(&serving);
    fb_code_t code = fb_library_check(&error);
    if (code == FB_OK)
        code = fb_zone_set(options->zone, &error);
    if (code == FB_OK)
        code = set_limits(&serving, &error);
    if (code == FB_OK)
        code = listen_all(&serving, &error);
    if (code == FB_OK && options->log_access != NULL)
        code = fb_access_log_create(options->log_access, (unsigned)options->threads,
                                    &serving.server.access_log, &error);
    if (code == FB_OK) {
        start_loops(&serving);
        announce(&serving);
        code = run(&serving, &error);
        end(&serving);
    }
    close_listeners(&serving);
    if (code != FB_OK)
        fb_log_error("%s", error.detail);
    fb_log_settle(true);
    return fb_exit_of(code);
}
