/* SPDX-License-Identifier: MIT */
#include "server/home.h"

#include "base/clock.h"
#include "base/log.h"

#define COMMIT_DEADLINE_MS 30000

fb_code_t fb_home_open(fb_home_t *home, fb_shelf_t *shelf, const fb_options_t *options,
                       bool (*is_cancelled)(void *context), void *context, fb_error_t *error)
{
    fb_code_t code = FB_OK;
    fb_store_t *store = NULL;
    home->rules = (fb_rules_t){.machine_types = (const char *const *)options->types,
                               .machine_type_count = options->type_count,
                               .orders_pending_max = options->orders_pending,
                               .idempotency_keys_max = options->idempotency_keys};
    const fb_private_redis_options_t private_options = {
        .binary = options->redis_server, .is_cancelled = is_cancelled, .context = context};
    if (options->redis == NULL)
        code = fb_private_redis_start(options->data, &private_options, &home->private_redis, error);
    if (code != FB_OK)
        return code;
    home->store = (fb_store_redis_options_t){
        .url = options->redis ? options->redis : fb_private_redis_url(home->private_redis),
        .fleet = options->fleet,
        .timeout_ms = (unsigned)options->redis_timeout_ms,
        .log_length = options->redis_log_length,
        .history_length = options->history_length,
        .history_age_ms = options->history_age_ms,
        .is_private = options->redis == NULL,
    };
    code = fb_store_redis_create(&home->store, &store, error);
    /* The private one, too: its socket is there for others. */
    home->watch = (fb_watch_options_t){home->store.url, home->store.fleet, home->store.timeout_ms};
    if (code == FB_OK)
        home->fleet = fb_fleet_create(&store, shelf, &home->rules);
    return code;
}

fb_code_t fb_home_check_durability(fb_home_t *home, const fb_options_t *options, fb_error_t *error)
{
    bool fsynced = false;
    fb_slice_t sentence = FB_SLICE("");
    fb_code_t code = fb_fleet_durability(home->fleet, &fsynced, &sentence, error);
    if (code != FB_OK)
        return code;
    fb_log_info("durability: %.*s", FB_PRINT(sentence));
    if (options->require_fsync && !fsynced)
        return fb_fail(error, FB_CONFIG, "require: fsync is set, but %.*s", FB_PRINT(sentence));
    return FB_OK;
}

void fb_home_dispose(fb_home_t *home)
{
    if (home->fleet != NULL)
        fb_fleet_destroy(&home->fleet);
    fb_private_redis_stop(&home->private_redis);
}

static fb_code_t open_loaded(fb_home_t *home, fb_shelf_t *shelf, const fb_options_t *options,
                             fb_error_t *error)
{
    if (fb_zone_set(options->zone, error) != FB_OK ||
        fb_home_open(home, shelf, options, NULL, NULL, error) != FB_OK ||
        fb_home_check_durability(home, options, error) != FB_OK)
        return error->code;
    return fb_fleet_load(home->fleet, error);
}

fb_exit_t fb_home_run(const fb_options_t *options,
                      fb_code_t (*run)(fb_home_t *home, const fb_options_t *options, void *context,
                                       fb_error_t *error),
                      void *context)
{
    fb_error_t error = {0};
    fb_home_t home = {0};
    fb_shelf_t *shelf = fb_shelf_create();
    fb_log_set_level((fb_log_level_t)fb_log_level_parse(options->log_level));
    fb_code_t code = open_loaded(&home, shelf, options, &error);
    if (code == FB_OK)
        code = run(&home, options, context, &error);
    fb_home_dispose(&home);
    fb_shelf_destroy(&shelf);
    if (code != FB_OK)
        fb_print_error(error.detail);
    return fb_exit_of(code);
}

fb_code_t fb_home_commit(fb_home_t *home, fb_write_t *const *writes, size_t count,
                         fb_error_t *error)
{
    uint64_t deadline_ms = fb_clock_monotonic_ms() + COMMIT_DEADLINE_MS;
    fb_code_t code = fb_fleet_commit(home->fleet, writes, count, deadline_ms, error);
    fb_shelf_reclaim(fb_fleet_shelf(home->fleet));
    return code;
}
