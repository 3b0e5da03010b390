/* SPDX-License-Identifier: MIT */
#include "persistence/memory_queue.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"

typedef struct {
    fb_queue_job_t job;
    char *consumer; /* that has it; NULL: nobody */
} job_t;

typedef struct {
    char *name;
    uint64_t seen_ms;
} consumer_t;

struct fb_memory_queue {
    char *name;
    job_t *jobs; /* the oldest first */
    size_t count, capacity;
    uint64_t last; /* number of the last job */
    consumer_t *consumers;
    size_t consumer_count;
};

static void dispose_queue(struct fb_memory_queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        free(queue->jobs[i].consumer);
    for (size_t i = 0; i < queue->consumer_count; i++)
        free(queue->consumers[i].name);
    free(queue->jobs);
    free(queue->consumers);
    free(queue->name);
}

void fb_memory_queues_dispose(fb_memory_queues_t *queues)
{
    for (size_t i = 0; i < queues->count; i++)
        dispose_queue(&queues->at[i]);
    free(queues->at);
    *queues = (fb_memory_queues_t){0};
}

static struct fb_memory_queue *queue_of(fb_memory_queues_t *queues, const char *name)
{
    for (size_t i = 0; i < queues->count; i++) {
        if (strcmp(queues->at[i].name, name) == 0)
            return &queues->at[i];
    }
    queues->at = fb_realloc(queues->at, (queues->count + 1) * sizeof(*queues->at));
    struct fb_memory_queue *queue = &queues->at[queues->count++];
    *queue = (struct fb_memory_queue){.name = fb_strdup(name)};
    return queue;
}

static void add(struct fb_memory_queue *queue, uint32_t id)
{
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity == 0 ? 16 : queue->capacity * 2;
        queue->jobs = fb_realloc(queue->jobs, queue->capacity * sizeof(queue->jobs[0]));
    }
    queue->jobs[queue->count++] = (job_t){.job = {.mark = {1, queue->last++}, .id = id}};
}

void fb_memory_queue_add(fb_memory_queues_t *queues, const char *name, uint32_t id)
{
    add(queue_of(queues, name), id);
}

/* A sign of its life. */
static void see(struct fb_memory_queue *queue, const char *name)
{
    size_t at = 0;
    while (at < queue->consumer_count && strcmp(queue->consumers[at].name, name) != 0)
        at++;
    if (at == queue->consumer_count) {
        queue->consumers = fb_realloc(queue->consumers, (at + 1) * sizeof(queue->consumers[0]));
        queue->consumers[at].name = fb_strdup(name);
        queue->consumer_count++;
    }
    queue->consumers[at].seen_ms = fb_clock_monotonic_ms();
}

/* The first `max` jobs of that consumer (NULL: those that nobody has) become another's. */
static size_t hand_over(struct fb_memory_queue *queue, const char *from, const char *to, size_t max,
                        fb_queue_job_t *jobs)
{
    size_t count = 0;
    for (size_t i = 0; i < queue->count && count < max; i++) {
        job_t *job = &queue->jobs[i];
        if (from == NULL ? job->consumer != NULL
                         : job->consumer == NULL || strcmp(job->consumer, from) != 0)
            continue;
        free(job->consumer);
        job->consumer = fb_strdup(to);
        jobs[count++] = job->job;
    }
    return count;
}

size_t fb_memory_queue_take(fb_memory_queues_t *queues, const fb_queue_t *who, size_t max,
                            fb_queue_job_t *jobs)
{
    struct fb_memory_queue *queue = queue_of(queues, who->queue);
    see(queue, who->consumer);
    return hand_over(queue, NULL, who->consumer, max, jobs);
}

size_t fb_memory_queue_claim(fb_memory_queues_t *queues, const fb_queue_t *who, uint64_t idle_ms,
                             size_t max, fb_queue_job_t *jobs)
{
    struct fb_memory_queue *queue = queue_of(queues, who->queue);
    uint64_t now_ms = fb_clock_monotonic_ms();
    size_t count = 0;
    see(queue, who->consumer);
    for (size_t i = 0; i < queue->consumer_count; i++) {
        const consumer_t *consumer = &queue->consumers[i];
        if (strcmp(consumer->name, who->consumer) != 0 && now_ms - consumer->seen_ms >= idle_ms)
            count += hand_over(queue, consumer->name, who->consumer, max - count, jobs + count);
    }
    return count;
}

static void remove_job(struct fb_memory_queue *queue, size_t at)
{
    free(queue->jobs[at].consumer);
    queue->count--;
    memmove(&queue->jobs[at], &queue->jobs[at + 1], (queue->count - at) * sizeof(queue->jobs[0]));
}

void fb_memory_queue_done(fb_memory_queues_t *queues, const fb_queue_t *who,
                          const fb_queue_job_t *jobs, size_t count)
{
    struct fb_memory_queue *queue = queue_of(queues, who->queue);
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < queue->count && queue->jobs[at].job.mark.number != jobs[i].mark.number)
            at++;
        if (at < queue->count)
            remove_job(queue, at);
    }
}

void fb_memory_queue_leave(fb_memory_queues_t *queues, const fb_queue_t *who)
{
    struct fb_memory_queue *queue = queue_of(queues, who->queue);
    size_t left = queue->count;
    for (size_t i = 0; left > 0; left--) {
        uint32_t id = queue->jobs[i].job.id;
        if (queue->jobs[i].consumer == NULL ||
            strcmp(queue->jobs[i].consumer, who->consumer) != 0) {
            i++;
            continue;
        }
        remove_job(queue, i);
        add(queue, id);
    }
}

fb_queue_info_t fb_memory_queue_info(fb_memory_queues_t *queues, const fb_queue_t *who)
{
    const struct fb_memory_queue *queue = queue_of(queues, who->queue);
    fb_queue_info_t info = {.length = queue->count};
    for (size_t i = 0; i < queue->count; i++)
        info.pending += queue->jobs[i].consumer != NULL;
    return info;
}
