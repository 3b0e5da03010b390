/* SPDX-License-Identifier: MIT */
#include "server/history_times.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct fb_history_times {
    pthread_mutex_t mutex;
    fb_history_counted_t slots[FB_HISTORY_TIMES];
};

fb_history_times_t *fb_history_times_create(void)
{
    fb_history_times_t *times = fb_alloc_zero(1, sizeof(*times));
    pthread_mutex_init(&times->mutex, NULL);
    return times;
}

void fb_history_times_destroy(fb_history_times_t **times)
{
    pthread_mutex_destroy(&(*times)->mutex);
    free(*times);
    *times = NULL;
}

bool fb_history_times_find(fb_history_times_t *times, uint32_t machine, const char *epoch,
                           fb_history_counted_t *counted)
{
    pthread_mutex_lock(&times->mutex);
    *counted = times->slots[machine % FB_HISTORY_TIMES];
    pthread_mutex_unlock(&times->mutex);
    return counted->machine == machine && strcmp(counted->epoch, epoch) == 0;
}

void fb_history_times_keep(fb_history_times_t *times, const fb_history_counted_t *counted)
{
    pthread_mutex_lock(&times->mutex);
    fb_history_counted_t *slot = &times->slots[counted->machine % FB_HISTORY_TIMES];
    bool is_less = slot->machine == counted->machine && strcmp(slot->epoch, counted->epoch) == 0 &&
                   fb_history_mark_equal(slot->oldest, counted->oldest) &&
                   fb_history_mark_before(counted->upto, slot->upto);
    if (!is_less)
        *slot = *counted;
    pthread_mutex_unlock(&times->mutex);
}
