/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "resources/registry.h"
#include "server/home.h"
#include "server/progress.h"
#include "server/run.h"
#include "server/synthetic.h"

#define COMMIT_DEADLINE_MS 30000

typedef struct {
    fb_fleet_t *fleet;
    fb_progress_t progress;
} seeding_t;

static fb_code_t commit(void *context, fb_write_t *const *writes, size_t count, fb_error_t *error)
{
    seeding_t *seeding = context;
    uint64_t deadline_ms = fb_clock_monotonic_ms() + COMMIT_DEADLINE_MS;
    fb_code_t code = fb_fleet_commit(seeding->fleet, writes, count, deadline_ms, error);
    fb_shelf_reclaim(fb_fleet_shelf(seeding->fleet));
    return code;
}

static void show_progress(void *context, uint32_t done)
{
    seeding_t *seeding = context;
    fb_progress_show(&seeding->progress, done);
}

static fb_code_t seed(const fb_options_t *options, fb_home_t *home, fb_error_t *error)
{
    seeding_t seeding = {.fleet = home->fleet};
    uint32_t total = (uint32_t)options->seed_machines;
    fb_code_t code = fb_fleet_load(home->fleet, error);
    if (code != FB_OK)
        return code;
    const fb_snapshot_t *before = fb_fleet_current(home->fleet);
    uint32_t last = before->families[FB_MACHINES].last_id;
    const fb_synthetic_t synthetic = {&home->rules, before->today, (uint32_t)options->seed_days,
                                      false};
    if (UINT32_MAX - last < options->seed_machines)
        return fb_fail(error, FB_CONFIG, "the fleet has room for %u more machines",
                       UINT32_MAX - last);
    fb_progress_begin(&seeding.progress, "machines", total);
    code = fb_synthetic_create(&synthetic, last + 1, total, commit, show_progress, &seeding, error);
    const fb_snapshot_t *after = fb_fleet_current(home->fleet);
    fb_progress_end(&seeding.progress);
    uint32_t made = after->families[FB_MACHINES].last_id - last;
    fprintf(stderr, "%u machines added in %.1f s; the fleet has %u, at revision %s.%llu\n", made,
            fb_progress_seconds(&seeding.progress), after->families[FB_MACHINES].rows.count,
            after->position.epoch, (unsigned long long)after->position.revision);
    return code;
}

fb_exit_t fb_seed(const fb_options_t *options)
{
    fb_error_t error = {0};
    fb_home_t home = {0};
    fb_shelf_t *shelf = fb_shelf_create();
    fb_log_set_level((fb_log_level_t)fb_log_level_parse(options->log_level));
    fb_code_t code = fb_zone_set(options->zone, &error);
    if (code == FB_OK)
        code = fb_home_open(&home, shelf, options, NULL, NULL, &error);
    if (code == FB_OK)
        code = fb_home_check_durability(&home, options, &error);
    if (code == FB_OK)
        code = seed(options, &home, &error);
    fb_home_dispose(&home);
    fb_shelf_destroy(&shelf);
    if (code != FB_OK)
        fprintf(stderr, "fleetbit seed: %s\n", error.detail);
    return fb_exit_of(code);
}
