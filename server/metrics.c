/* SPDX-License-Identifier: MIT */
#include "server/metrics.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "resources/registry.h"

static const double bucket_seconds[FB_DURATION_BUCKETS] = {
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
    0.025,   0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,
};
static const uint64_t bucket_ns[FB_DURATION_BUCKETS] = {
    50000,    100000,   250000,    500000,    1000000,   2500000,    5000000,    10000000,
    25000000, 50000000, 100000000, 250000000, 500000000, 1000000000, 2500000000, 5000000000,
};

static unsigned bucket_of(uint64_t duration_ns)
{
    unsigned bucket = 0;
    while (bucket < FB_DURATION_BUCKETS && duration_ns > bucket_ns[bucket])
        bucket++;
    return bucket;
}

void fb_metrics_request(fb_loop_metrics_t *metrics, unsigned route, int status,
                        uint64_t duration_ns)
{
    fb_route_metrics_t *counters = &metrics->routes[route];
    fb_count(&counters->requests[(unsigned)status / 100], 1);
    fb_count(&counters->durations[bucket_of(duration_ns)], 1);
    fb_count(&counters->duration_ns, duration_ns);
}

void fb_histogram_duration(fb_histogram_t *histogram, uint64_t ns)
{
    fb_count(&histogram->buckets[bucket_of(ns)], 1);
    fb_count(&histogram->sum, ns);
}

void fb_histogram_size(fb_histogram_t *histogram, uint64_t size)
{
    unsigned bucket = 0;
    while (bucket < FB_SIZE_BUCKETS && size > (uint64_t)1 << bucket)
        bucket++;
    fb_count(&histogram->buckets[bucket], 1);
    fb_count(&histogram->sum, size);
}

void fb_metrics_note_thread(fb_counter_t *clock)
{
    clockid_t id;
    fb_assert(pthread_getcpuclockid(pthread_self(), &id) == 0);
    fb_count_set(clock, (uint64_t)(int64_t)id);
}

double fb_metrics_thread_seconds(const fb_counter_t *clock)
{
    struct timespec used;
    clockid_t id = (clockid_t)(int64_t)fb_count_read(clock);
    if (id == 0 || clock_gettime(id, &used) != 0)
        return 0;
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Calls `visit` for every route in the order of their numbers; stops where it returns true. */
static unsigned each_route(bool (*visit)(void *context, unsigned number, const void *route,
                                         const char *method, const char *path),
                           void *context)
{
    unsigned number = 0;
    for (unsigned i = 0; i < fb_registry_count(); i++) {
        const fb_resource_t *resource = fb_registry_resource(i);
        for (unsigned v = 0; v < resource->view_count; v++) {
            const fb_view_t *view = &resource->views[v];
            if (visit(context, ++number, view, "GET", view->path))
                return number;
        }
        for (unsigned c = 0; c < resource->command_count; c++) {
            const fb_command_t *command = &resource->commands[c];
            if (visit(context, ++number, command, command->method, command->path))
                return number;
        }
    }
    fb_assert(number < FB_ROUTES_MAX);
    return 0;
}

static bool is_wanted(void *context, unsigned number, const void *route, const char *method,
                      const char *path)
{
    (void)number, (void)method, (void)path;
    return route == context;
}

unsigned fb_metrics_route(const void *view_or_command)
{
    return each_route(is_wanted, (void *)(uintptr_t)view_or_command);
}

typedef struct {
    unsigned number;
    const char *path;
} wanted_t;

static bool has_number(void *context, unsigned number, const void *route, const char *method,
                       const char *path)
{
    wanted_t *wanted = context;
    (void)route, (void)method;
    wanted->path = path;
    return number == wanted->number;
}

const char *fb_metrics_route_path(unsigned route)
{
    wanted_t wanted = {.number = route};
    return each_route(has_number, &wanted) != 0 ? wanted.path : NULL;
}

void fb_metrics_put_head(fb_buffer_t *out, const char *name, const char *type, const char *help)
{
    fb_buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void fb_metrics_put(fb_buffer_t *out, const char *name, const char *labels, double value)
{
    if (labels == NULL)
        fb_buffer_printf(out, "%s %.17g\n", name, value);
    else
        fb_buffer_printf(out, "%s{%s} %.17g\n", name, labels, value);
}

void fb_metrics_put_samples(fb_buffer_t *out, const fb_sample_t *samples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fb_metrics_put_head(out, samples[i].name, samples[i].type, samples[i].help);
        fb_metrics_put(out, samples[i].name, NULL, samples[i].value);
    }
}

void fb_metrics_put_histogram(fb_buffer_t *out, const char *name, const char *help,
                              const fb_histogram_t *histogram, const double *bounds, unsigned count,
                              double a_second)
{
    char line[128], label[48];
    uint64_t below = 0;
    fb_metrics_put_head(out, name, "histogram", help);
    snprintf(line, sizeof(line), "%s_bucket", name);
    for (unsigned b = 0; b < count; b++) {
        below += fb_count_read(&histogram->buckets[b]);
        snprintf(label, sizeof(label), "le=\"%g\"",
                 bounds != NULL ? bounds[b] : (double)((uint64_t)1 << b));
        fb_metrics_put(out, line, label, (double)below);
    }
    below += fb_count_read(&histogram->buckets[count]);
    fb_metrics_put(out, line, "le=\"+Inf\"", (double)below);
    snprintf(line, sizeof(line), "%s_sum", name);
    double sum = (double)fb_count_read(&histogram->sum);
    fb_metrics_put(out, line, NULL, sum / a_second);
    snprintf(line, sizeof(line), "%s_count", name);
    fb_metrics_put(out, line, NULL, (double)below);
}

void fb_metrics_put_durations(fb_buffer_t *out, const char *name, const char *help,
                              const fb_histogram_t *histogram)
{
    fb_metrics_put_histogram(out, name, help, histogram, bucket_seconds, FB_DURATION_BUCKETS, 1e9);
}

void fb_metrics_put_sizes(fb_buffer_t *out, const char *name, const char *help,
                          const fb_histogram_t *histogram)
{
    fb_metrics_put_histogram(out, name, help, histogram, NULL, FB_SIZE_BUCKETS, 1);
}

typedef struct {
    fb_buffer_t *out;
    const fb_loop_metrics_t *const *loops;
    unsigned count;
} requests_t;

static uint64_t sum_requests(const requests_t *requests, unsigned route, unsigned status_class)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < requests->count; i++)
        sum += fb_count_read(&requests->loops[i]->routes[route].requests[status_class]);
    return sum;
}

static bool put_requests(void *context, unsigned number, const void *route, const char *method,
                         const char *path)
{
    const requests_t *requests = context;
    (void)route;
    for (unsigned c = 1; c < FB_STATUS_CLASSES; c++) {
        char labels[256];
        uint64_t sum = sum_requests(requests, number, c);
        if (sum == 0)
            continue;
        snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",status=\"%uxx\"", method, path,
                 c);
        fb_metrics_put(requests->out, "fleetbit_requests_total", labels, (double)sum);
    }
    return false;
}

static bool put_durations(void *context, unsigned number, const void *route, const char *method,
                          const char *path)
{
    const requests_t *requests = context;
    uint64_t total = 0, sum_ns = 0, buckets[FB_DURATION_BUCKETS + 1] = {0};
    char labels[256];
    (void)route;
    for (unsigned i = 0; i < requests->count; i++) {
        const fb_route_metrics_t *counters = &requests->loops[i]->routes[number];
        for (unsigned b = 0; b <= FB_DURATION_BUCKETS; b++)
            buckets[b] += fb_count_read(&counters->durations[b]);
        sum_ns += fb_count_read(&counters->duration_ns);
    }
    for (unsigned b = 0; b <= FB_DURATION_BUCKETS; b++)
        total += buckets[b];
    if (total == 0)
        return false;
    uint64_t below = 0;
    for (unsigned b = 0; b <= FB_DURATION_BUCKETS; b++) {
        char bound[32] = "+Inf";
        below += buckets[b];
        if (b < FB_DURATION_BUCKETS)
            snprintf(bound, sizeof(bound), "%g", bucket_seconds[b]);
        snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",le=\"%s\"", method, path,
                 bound);
        fb_metrics_put(requests->out, "fleetbit_request_duration_seconds_bucket", labels,
                       (double)below);
    }
    snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\"", method, path);
    fb_metrics_put(requests->out, "fleetbit_request_duration_seconds_sum", labels,
                   (double)sum_ns / 1e9);
    fb_metrics_put(requests->out, "fleetbit_request_duration_seconds_count", labels, (double)total);
    return false;
}

void fb_metrics_put_requests(fb_buffer_t *out, const fb_loop_metrics_t *const *loops,
                             unsigned count)
{
    requests_t requests = {out, loops, count};
    fb_metrics_put_head(out, "fleetbit_requests_total", "counter",
                        "Requests that were answered, by route and class of status.");
    put_requests(&requests, 0, NULL, "", "");
    each_route(put_requests, &requests);
    fb_metrics_put_head(out, "fleetbit_request_duration_seconds", "histogram",
                        "From the whole request to the answer being handed to the socket.");
    put_durations(&requests, 0, NULL, "", "");
    each_route(put_durations, &requests);
}

static uint64_t open_files(void)
{
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count - 3; /* ".", ".." and the folder itself */
}

typedef struct {
    double cpu_seconds, start_seconds, resident_bytes, virtual_bytes, threads;
} process_t;

/* proc(5): /proc/PID/stat, fields 14, 15, 20, 22, 23 and 24; the name before them may hold spaces
 * and parentheses, so what counts begins after the last one. */
static bool read_process(process_t *process)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL)
        return false;
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    const char *rest = strrchr(text, ')');
    unsigned long user, system, threads, start, bytes, pages;
    if (rest == NULL ||
        sscanf(rest + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %lu %*d %lu "
               "%lu %lu",
               &user, &system, &threads, &start, &bytes, &pages) != 6)
        return false;
    double ticks = (double)sysconf(_SC_CLK_TCK);
    process->cpu_seconds = (double)(user + system) / ticks;
    process->threads = (double)threads;
    process->start_seconds = (double)start / ticks;
    process->virtual_bytes = (double)bytes;
    process->resident_bytes = (double)pages * (double)sysconf(_SC_PAGESIZE);
    return true;
}

static double boot_seconds(void)
{
    char line[256];
    double seconds = 0;
    FILE *file = fopen("/proc/stat", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "btime %lf", &seconds) == 1)
            break;
    }
    if (file != NULL)
        fclose(file);
    return seconds;
}

static double number_in(const char *path)
{
    double value = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lf", &value) != 1)
        value = 0; /* "max" */
    fclose(file);
    return value;
}

/* That of the control group, as a container has one (version 2, or 1), if it is less than what the
 * machine has. */
static double memory_limit(void)
{
    static const char *const paths[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    double limit = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    for (unsigned i = 0; i < FB_COUNT(paths); i++) {
        double value = number_in(paths[i]);
        limit = value > 0 && value < limit ? value : limit;
    }
    return limit;
}

void fb_metrics_put_process(fb_buffer_t *out)
{
    process_t process;
    struct rlimit files = {0};
    if (!read_process(&process))
        return;
    getrlimit(RLIMIT_NOFILE, &files);
    const fb_sample_t samples[] = {
        {"process_cpu_seconds_total", "counter", "User and system CPU time spent.",
         process.cpu_seconds},
        {"process_start_time_seconds", "gauge", "Start, since the Unix epoch.",
         boot_seconds() + process.start_seconds},
        {"process_resident_memory_bytes", "gauge", "Resident memory.", process.resident_bytes},
        {"process_virtual_memory_bytes", "gauge", "Virtual memory.", process.virtual_bytes},
        {"process_threads", "gauge", "Threads.", process.threads},
        {"fleetbit_memory_limit_bytes", "gauge",
         "Memory that there is: the limit of the control group, or that of the machine.",
         memory_limit()},
        {"process_open_fds", "gauge", "Open files and sockets.", (double)open_files()},
        {"process_max_fds", "gauge", "The limit of open files.", (double)files.rlim_cur},
    };
    fb_metrics_put_samples(out, samples, FB_COUNT(samples));
}
