/* SPDX-License-Identifier: MIT */
#include "server/log_length.h"

static fb_log_length_t *length_of(fb_read_job_t *job)
{
    return H2O_STRUCT_FROM_MEMBER(fb_log_length_t, job, job);
}

static void run(fb_read_job_t *job, fb_store_t *store)
{
    fb_error_t error = {0};
    fb_log_length_t *length = length_of(job);
    length->code = store->vtable->log_length(store, &length->found, &error);
}

static void on_done(fb_read_job_t *job, fb_code_t code)
{
    fb_log_length_t *length = length_of(job);
    length->is_asked = false;
    if (code != FB_OK || length->code != FB_OK)
        return;
    length->entries = length->found;
    length->is_known = true;
}

void fb_log_length_ask(fb_log_length_t *length, fb_readers_t *readers,
                       h2o_multithread_receiver_t *receiver)
{
    fb_error_t error = {0};
    if (length->is_asked)
        return;
    length->job = (fb_read_job_t){.receiver = receiver, .run = run, .on_done = on_done};
    length->is_asked = fb_readers_submit(readers, &length->job, &error) == FB_OK;
}
