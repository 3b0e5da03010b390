/* SPDX-License-Identifier: MIT */
#include "server/feed_metrics.h"

#include <stdio.h>

#include "base/clock.h"

static const char *const outcomes[FB_FEED_OUTCOMES] = {
    [FB_FEED_READ] = "read",
    [FB_FEED_UNCHANGED] = "unchanged",
    [FB_FEED_FAILED] = "failed",
    [FB_FEED_ABANDONED] = "abandoned",
};

static double age_seconds(const fb_feed_state_t *state)
{
    fb_instant_t succeeded = (fb_instant_t)fb_count_read(&state->succeeded_at);
    fb_instant_t now = fb_clock_now();
    return succeeded != 0 && now > succeeded ? (double)(now - succeeded) / 1e3 : 0;
}

void fb_feed_metrics_put(fb_buffer_t *out, const fb_feed_t *feed)
{
    static const fb_feed_state_t no_state;
    const fb_feed_state_t *state = feed != NULL ? fb_feed_state(feed) : &no_state;
    char label[32];
    fb_metrics_put_head(out, "fleetbit_feed_fetches_total", "counter",
                        "Fetches of the feed by this instance.");
    for (int i = 0; i < FB_FEED_OUTCOMES; i++) {
        snprintf(label, sizeof(label), "outcome=\"%s\"", outcomes[i]);
        fb_metrics_put(out, "fleetbit_feed_fetches_total", label,
                       (double)fb_count_read(&state->fetches[i]));
    }
    const fb_sample_t samples[] = {
        {"fleetbit_feed_interval_seconds", "gauge",
         "From one fetch to the next: feed.interval; 0 where no feed is set.",
         feed != NULL ? (double)fb_feed_config(feed)->interval_ms / 1e3 : 0},
        {"fleetbit_feed_age_seconds", "gauge",
         "Since any instance last read the feed; before that, since this one began.",
         age_seconds(state)},
        {"fleetbit_feed_lease", "gauge", "Is it this instance that fetches the feed?",
         (double)fb_count_read(&state->has_lease)},
        {"fleetbit_feed_failures", "gauge", "Fetches that failed in turn, by any instance.",
         (double)fb_count_read(&state->failures)},
        {"fleetbit_feed_plans", "gauge", "Plans of the last document.",
         (double)fb_count_read(&state->plans)},
        {"fleetbit_feed_skipped", "gauge", "Plans of it that could not be kept: see /v1/feed.",
         (double)fb_count_read(&state->skipped)},
        {"fleetbit_feed_changed_total", "counter",
         "Plans that this instance put, since they were new or changed.",
         (double)fb_count_read(&state->changed)},
        {"fleetbit_feed_cpu_seconds_total", "counter", "CPU time of the thread of the feed.",
         fb_metrics_thread_seconds(&state->clock)},
    };
    fb_metrics_put_samples(out, samples, sizeof(samples) / sizeof(samples[0]));
    fb_metrics_put_durations(out, "fleetbit_feed_fetch_duration_seconds",
                             "Fetches of the feed, with all that followed from them.",
                             &state->durations);
}
