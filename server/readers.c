/* SPDX-License-Identifier: MIT */
#include "server/readers.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"

typedef struct {
    fb_readers_t *readers;
    fb_store_t *store;
    pthread_t thread;
} worker_t;

struct fb_readers {
    worker_t workers[FB_READERS];
    unsigned count; /* of those that run */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    fb_read_job_t *first, **last; /* what follows is under the mutex */
    size_t queued;
    bool accepts, ends;
    fb_readers_state_t state; /* written under the mutex */
};

static void give_back(fb_read_job_t *job)
{
    h2o_multithread_send_message(job->receiver, &job->message);
}

/* Under the mutex. */
static fb_read_job_t *take(fb_readers_t *readers)
{
    fb_read_job_t *job = readers->first;
    if (job == NULL)
        return NULL;
    readers->first = job->next;
    if (readers->first == NULL)
        readers->last = &readers->first;
    fb_count_set(&readers->state.queued, --readers->queued);
    return job;
}

static void *work(void *context)
{
    worker_t *worker = context;
    fb_readers_t *readers = worker->readers;
    pthread_mutex_lock(&readers->mutex);
    while (!readers->ends) {
        fb_read_job_t *job = take(readers);
        if (job == NULL) {
            pthread_cond_wait(&readers->wake, &readers->mutex);
            continue;
        }
        uint64_t begun_ns = fb_clock_monotonic_ns();
        fb_histogram_duration(&readers->state.waiting, begun_ns - job->submitted_ns);
        pthread_mutex_unlock(&readers->mutex);
        job->run(job, worker->store);
        uint64_t ended_ns = fb_clock_monotonic_ns();
        job->did_run = true;
        give_back(job);
        pthread_mutex_lock(&readers->mutex);
        fb_histogram_duration(&readers->state.running, ended_ns - begun_ns);
    }
    pthread_mutex_unlock(&readers->mutex);
    return NULL;
}

fb_readers_t *fb_readers_create(void)
{
    fb_readers_t *readers = fb_alloc_zero(1, sizeof(*readers));
    readers->last = &readers->first;
    pthread_mutex_init(&readers->mutex, NULL);
    pthread_cond_init(&readers->wake, NULL);
    return readers;
}

static fb_code_t start_worker(fb_readers_t *readers, const fb_store_redis_options_t *options,
                              fb_error_t *error)
{
    worker_t *worker = &readers->workers[readers->count];
    fb_code_t code = fb_store_redis_create(options, &worker->store, error);
    if (code != FB_OK)
        return code;
    worker->readers = readers;
    int failure = fb_thread_start(&worker->thread, work, worker);
    if (failure != 0) {
        worker->store->vtable->destroy(worker->store);
        return fb_fail(error, FB_IO, "a reader's thread cannot be started: %s", strerror(failure));
    }
    readers->count++;
    return FB_OK;
}

fb_code_t fb_readers_start(fb_readers_t *readers, const fb_store_redis_options_t *options,
                           fb_error_t *error)
{
    fb_code_t code = FB_OK;
    while (code == FB_OK && readers->count < FB_READERS)
        code = start_worker(readers, options, error);
    pthread_mutex_lock(&readers->mutex);
    readers->accepts = code == FB_OK;
    pthread_mutex_unlock(&readers->mutex);
    return code;
}

void fb_readers_stop(fb_readers_t *readers)
{
    fb_read_job_t *job;
    pthread_mutex_lock(&readers->mutex);
    readers->accepts = false;
    readers->ends = true;
    while ((job = take(readers)) != NULL)
        give_back(job);
    pthread_cond_broadcast(&readers->wake);
    pthread_mutex_unlock(&readers->mutex);
    while (readers->count > 0) {
        worker_t *worker = &readers->workers[--readers->count];
        pthread_join(worker->thread, NULL);
        worker->store->vtable->destroy(worker->store);
    }
}

void fb_readers_destroy(fb_readers_t **readers)
{
    fb_assert((*readers)->count == 0);
    pthread_mutex_destroy(&(*readers)->mutex);
    pthread_cond_destroy(&(*readers)->wake);
    free(*readers);
    *readers = NULL;
}

fb_code_t fb_readers_submit(fb_readers_t *readers, fb_read_job_t *job, fb_error_t *error)
{
    fb_code_t code = FB_OK;
    job->message = (h2o_multithread_message_t){{NULL, NULL}};
    job->next = NULL;
    job->did_run = false;
    job->submitted_ns = fb_clock_monotonic_ns();
    pthread_mutex_lock(&readers->mutex);
    if (!readers->accepts) {
        code = fb_fail(error, FB_UNAVAILABLE, "Redis is not read now: this instance is %s",
                       readers->ends ? "ending" : "starting");
    } else if (readers->queued >= FB_READERS_QUEUE_MAX) {
        code = fb_fail(error, FB_QUEUE_FULL, "%zu reads of Redis are waiting already",
                       readers->queued);
        fb_count(&readers->state.refused, 1);
    } else {
        *readers->last = job;
        readers->last = &job->next;
        fb_count_set(&readers->state.queued, ++readers->queued);
        pthread_cond_signal(&readers->wake);
    }
    pthread_mutex_unlock(&readers->mutex);
    return code;
}

const fb_readers_state_t *fb_readers_state(const fb_readers_t *readers)
{
    return &readers->state;
}

void fb_readers_on_done(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        fb_read_job_t *job = H2O_STRUCT_FROM_MEMBER(fb_read_job_t, message.link, messages->next);
        h2o_linklist_unlink(&job->message.link);
        job->on_done(job, job->did_run ? FB_OK : FB_UNAVAILABLE);
    }
}
