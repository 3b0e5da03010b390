/* SPDX-License-Identifier: MIT */
#include "server/instance.h"

#include <sys/random.h>

#include "base/assert.h"
#include "base/clock.h"

void fb_instance_init(fb_instance_t *instance, const fb_options_t *options)
{
    fb_redis_url_t url;
    fb_error_t error = {0};
    *instance = (fb_instance_t){.fleet = options->fleet, .begun_ms = fb_clock_monotonic_ms()};
    uint32_t *number = &instance->number;
    fb_assert(getrandom(number, sizeof(*number), 0) == (ssize_t)sizeof(*number));
    snprintf(instance->id, sizeof(instance->id), "%08x", *number);
    if (options->redis == NULL) {
        instance->data = options->data;
        return;
    }
    fb_assert(fb_redis_url_parse(options->redis, &url, &error) == FB_OK);
    fb_redis_url_format_safe(&url, instance->redis);
    fb_redis_url_dispose(&url);
}
