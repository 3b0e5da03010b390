/* SPDX-License-Identifier: MIT */
#include "resources/registry.h"
#include "server/home.h"
#include "server/progress.h"
#include "server/run.h"
#include "server/synthetic.h"

typedef struct {
    fb_home_t *home;
    fb_progress_t progress;
} seeding_t;

static fb_code_t commit(void *context, fb_write_t *const *writes, size_t count, fb_error_t *error)
{
    seeding_t *seeding = context;
    return fb_home_commit(seeding->home, writes, count, error);
}

static void show_progress(void *context, uint32_t done)
{
    seeding_t *seeding = context;
    fb_progress_show(&seeding->progress, done);
}

static fb_code_t seed(fb_home_t *home, const fb_options_t *options, void *context,
                      fb_error_t *error)
{
    (void)context;
    seeding_t seeding = {.home = home};
    uint32_t total = (uint32_t)options->seed_machines;
    const fb_snapshot_t *before = fb_fleet_current(home->fleet);
    uint32_t last = before->families[FB_MACHINES].last_id;
    const fb_synthetic_t synthetic = {&home->rules, before->today, (uint32_t)options->seed_days,
                                      false};
    if (UINT32_MAX - last < options->seed_machines)
        return fb_fail(error, FB_CONFIG, "the fleet has room for %u more machines",
                       UINT32_MAX - last);
    fb_progress_begin(&seeding.progress, "machines", total);
    fb_code_t code =
        fb_synthetic_create(&synthetic, last + 1, total, commit, show_progress, &seeding, error);
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
    return fb_home_run(options, seed, NULL);
}
