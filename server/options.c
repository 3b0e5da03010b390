/* SPDX-License-Identifier: MIT */
#include "server/options.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/date.h"
#include "base/log.h"
#include "persistence/redis_url.h"
#include "server/address.h"
#include "server/feed_notes.h"
#include "server/http_get.h"
#include "server/options_internal.h"
#include "server/settings_file.h"
#include "server/suggest.h"

/* --- what the table below refers to ------------------------------------------------------ */

static uint64_t processors(void)
{
    cpu_set_t set;
    long count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                              : sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > 4 ? 4 : (uint64_t)count;
}

static fb_code_t check_name(const char *text, const char *letters, const char *what,
                            fb_error_t *reason)
{
    size_t len = strlen(text);
    if (len <= 64 && strspn(text, letters) == len)
        return FB_OK;
    return fb_fail(reason, FB_CONFIG, "\"%.64s\" is not 1 to 64 of %s", text, what);
}

static fb_code_t check_fleet(const char *text, fb_error_t *reason)
{
    return check_name(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
                      "A to Z, a to z, 0 to 9, _ and -", reason);
}

static fb_code_t check_type(const char *text, fb_error_t *reason)
{
    return check_name(text, "abcdefghijklmnopqrstuvwxyz0123456789_-", "a to z, 0 to 9, _ and -",
                      reason);
}

static fb_code_t check_listen(const char *text, fb_error_t *reason)
{
    fb_address_t address;
    return fb_address_parse(text, &address, reason);
}

static fb_code_t check_admin(const char *text, fb_error_t *reason)
{
    return strcmp(text, "off") == 0 ? FB_OK : check_listen(text, reason);
}

static fb_code_t check_log_level(const char *text, fb_error_t *reason)
{
    if (fb_log_level_parse(text) >= 0)
        return FB_OK;
    return fb_fail(reason, FB_CONFIG, "\"%.60s\" is not error, warning, info or debug", text);
}

static fb_code_t check_log_format(const char *text, fb_error_t *reason)
{
    if (fb_log_format_parse(text) >= 0)
        return FB_OK;
    return fb_fail(reason, FB_CONFIG, "\"%.60s\" is not json or text", text);
}

static fb_code_t check_items(const char *text, fb_error_t *reason)
{
    size_t len = strlen(text);
    bool is_list = len > 0 && strspn(text, "0123456789,") == len && strstr(text, ",,") == NULL &&
                   text[0] != ',' && text[len - 1] != ',';
    return is_list ? FB_OK : fb_fail(reason, FB_CONFIG, "\"%.60s\" is not like 7,9", text);
}

static fb_code_t check_date(const char *text, fb_error_t *reason)
{
    fb_day_t day;
    if (fb_day_parse(fb_slice(text), &day) == FB_DATE_OK)
        return FB_OK;
    return fb_fail(reason, FB_CONFIG, "\"%.60s\" is no date as 2027-01-31 is", text);
}

static fb_code_t check_redis(const char *text, fb_error_t *reason)
{
    fb_redis_url_t url;
    fb_code_t code = fb_redis_url_parse(text, &url, reason);
    fb_redis_url_dispose(&url);
    return code;
}

static void show_redis(const char *text, fb_buffer_t *shown)
{
    fb_redis_url_t url;
    fb_error_t error = {0};
    char safe[FB_REDIS_URL_TEXT_BYTES];
    fb_assert(fb_redis_url_parse(text, &url, &error) == FB_OK);
    fb_redis_url_format_safe(&url, safe);
    fb_buffer_put_text(shown, safe);
    fb_redis_url_dispose(&url);
}

/* What plant-hire firms let and what stands in factories. */
#define TYPES_DEFAULT                                                                              \
    "excavator,mini_excavator,wheel_loader,backhoe_loader,skid_steer,loader,bulldozer,grader,"     \
    "scraper,roller,compactor,paver,trencher,dump_truck,dumper,truck,van,tractor,trailer,"         \
    "tower_crane,mobile_crane,crane,hoist,forklift,reach_truck,telehandler,boom_lift,"             \
    "scissor_lift,concrete_mixer,concrete_pump,mixer,crusher,screener,drilling_rig,drill,saw,"     \
    "grinder,breaker,generator,compressor,pump,welder,light_tower,heater,dehumidifier,press,"      \
    "lathe,milling_machine,cnc_machine,laser_cutter,injection_molder,printer,robot,conveyor,"      \
    "packaging_machine,palletizer"

#define SECOND_MS ((uint64_t)1000)
#define HOUR_MS   (3600 * SECOND_MS)
#define DAY_MS    (24 * HOUR_MS)
#define KIB       ((uint64_t)1 << 10)
#define MIB       ((uint64_t)1 << 20)
#define GIB       ((uint64_t)1 << 30)

#define SERVE (FB_OPTIONS_SERVE | FB_OPTIONS_CHECK)
#define SEED  FB_OPTIONS_SEED
#define MAKES (SEED | FB_OPTIONS_IMPORT)
#define BOTH  (SERVE | MAKES)
#define ALL   (BOTH | FB_OPTIONS_VERIFY)

#define AT(field)   .offset = offsetof(fb_options_t, field)
#define TEXT(field) .kind = FB_SETTING_TEXT, AT(field)
#define BOOL(field) .kind = FB_SETTING_BOOL, AT(field)
#define LIST(field, count, most)                                                                   \
    .kind = FB_SETTING_LIST, AT(field), .count_offset = offsetof(fb_options_t, count), .max = (most)
#define NUMBER(of_kind, field, least, most)                                                        \
    .kind = FB_SETTING_##of_kind, AT(field), .min = (least), .max = (most)
#define FLAG(name, value, who) .flag = (name), .argument = (value), .commands = (who)

/* Every setting there is. Those of a group ("limits.") stand together. */
static const fb_setting_t settings[] = {
    {"conf", FLAG("--conf", "FILE", ALL), TEXT(conf), .is_not_in_file = true,
     .help = "the configuration file, YAML"},
    {"listen", FLAG("--listen", "HOST:PORT", SERVE), LIST(listen, listen_count, FB_LISTEN_MAX),
     .initial = "127.0.0.1:8080", .check = check_listen,
     .help = "where HTTP is served; up to 8 times; no HOST: at all addresses"},
    {"admin", FLAG("--admin", "HOST:PORT", SERVE), TEXT(admin), .initial = "127.0.0.1:8081",
     .check = check_admin, .help = "where the operator's pages and metrics are, or \"off\""},
    {"redis", FLAG("--redis", "URL", ALL), TEXT(redis), .check = check_redis, .show = show_redis,
     .help = "redis://[user:password@]host[:port][/db] or unix:///path; without one, fleetbit "
             "starts a Redis of its own"},
    {"data", FLAG("--data", "DIR", ALL), TEXT(data), .initial = "./data",
     .help = "the directory of that Redis of its own"},
    {"fleet", FLAG("--fleet", "NAME", ALL), TEXT(fleet), .initial = "default", .check = check_fleet,
     .help = "which fleet; its keys in Redis begin with fb:{NAME}:"},
    {"threads", FLAG("--threads", "N", SERVE), NUMBER(INTEGER, threads, 1, 64), .initial = "auto",
     .automatic = processors, .help = "event loops; auto: one for each processor, at most 4"},
    {"demo", FLAG("--demo", NULL, SERVE), BOOL(demo), .initial = "false",
     .help = "makes 1,000 machines where the fleet is empty"},
    {"zone", FLAG("--zone", "ZONE", BOTH), TEXT(zone), .initial = "UTC",
     .help = "the time zone of the fleet's dates, as Europe/Berlin"},
    {"types", LIST(types, type_count, FB_TYPES_MAX), .initial = TYPES_DEFAULT, .check = check_type,
     .is_unique = true, .help = "the types that a machine may have"},
    {"require", BOOL(require_fsync), .words = {"none", "fsync"}, .initial = "none",
     .help = "fsync: refuses a Redis whose acknowledged writes a crash could undo"},
    {"redis_server", TEXT(redis_server), .initial = "redis-server",
     .help = "the program of the Redis of its own"},
    {"redis_timeout", NUMBER(DURATION, redis_timeout_ms, 1, HOUR_MS), .initial = "2s",
     .help = "how long a call to Redis may take"},
    {"log.level", TEXT(log_level), .initial = "info", .check = check_log_level,
     .help = "what is written to stderr: error, warning, info or debug"},
    {"log.format", TEXT(log_format), .initial = "json", .check = check_log_format,
     .help = "the lines of serve on stderr: json, or text, for people"},
    {"log.access", FLAG("--access-log", "PATH", SERVE), TEXT(log_access),
     .help = "where each answer gets a line of JSON: a file, or \"-\" for stdout; without one, "
             "nowhere"},
    {"log.length", NUMBER(INTEGER, redis_log_length, 1, 1000000000), .initial = "100000",
     .help = "how many changes the log in Redis keeps; who lags further loads everything"},
    {"history.length", NUMBER(INTEGER, history_length, 0, 1000000000), .initial = "10000",
     .help = "how many entries the history of a machine keeps; 0: all"},
    {"history.age", NUMBER(DURATION, history_age_ms, 0, 36525 * DAY_MS), .initial = "0s",
     .help = "how old they get before they go; 0s: they never do"},
    {"orders.workers", NUMBER(INTEGER, orders_workers, 0, 1000), .initial = "1000",
     .help = "how many orders this instance processes at a time; 0: none, workers outside do"},
    {"orders.processing_time", NUMBER(DURATION, orders_processing_ms, 0, DAY_MS), .initial = "0s",
     .help = "how long an order is PROCESSING before it is COMPLETED"},
    {"orders.claim_after", NUMBER(DURATION, orders_claim_ms, SECOND_MS, HOUR_MS), .initial = "10s",
     .help = "how long an instance is silent before others take over its orders"},
    {"orders.recent", NUMBER(INTEGER, orders_recent, 0, 10000000), .initial = "100000",
     .help = "how many orders that are past stay in memory; older ones are read from Redis"},
    {"orders.pending", NUMBER(INTEGER, orders_pending, 1, 10000000), .initial = "1000000",
     .help = "how many orders may wait to be processed"},
    {"idempotency.keys", NUMBER(INTEGER, idempotency_keys, 1000, 10000000), .initial = "100000",
     .help = "how many values of Idempotency-Key are remembered"},
    {"feed.url", FLAG("--feed", "URL", SERVE), TEXT(feed_url), .check = fb_http_check_url,
     .show = fb_feed_show_url,
     .help = "where the plans of a provider are fetched; without one, nowhere"},
    {"feed.interval", NUMBER(DURATION, feed_interval_ms, SECOND_MS, DAY_MS), .initial = "30s",
     .help = "how long from one fetch to the next"},
    {"feed.timeout", NUMBER(DURATION, feed_timeout_ms, 1, HOUR_MS), .initial = "30s",
     .help = "how long a fetch may take"},
    {"feed.connect_timeout", NUMBER(DURATION, feed_connect_ms, 1, HOUR_MS), .initial = "5s",
     .help = "how long of that the connection may take"},
    {"feed.bytes", NUMBER(SIZE, feed_bytes, KIB, 1 * GIB), .initial = "64M",
     .help = "how large a provider's document may be, decompressed"},
    {"limits.connections", NUMBER(INTEGER, limits_connections, 0, 1000000), .initial = "0",
     .help = "open connections; 0: as many as the limit of open files leaves"},
    {"limits.body_bytes", NUMBER(SIZE, limits_body_bytes, KIB, 16 * MIB), .initial = "1M",
     .help = "how large the body of a request may be; that of a factory, 8M at least"},
    {"limits.request_timeout", NUMBER(DURATION, limits_request_ms, 1, DAY_MS), .initial = "10s",
     .help = "how long a client may take to send a request"},
    {"limits.idle_timeout", NUMBER(DURATION, limits_idle_ms, 1, DAY_MS), .initial = "75s",
     .help = "how long a connection without a request is kept"},
    {"limits.stall_timeout", NUMBER(DURATION, limits_stall_ms, 1, DAY_MS), .initial = "30s",
     .help = "how long a client may take nothing of its response"},
    {"limits.min_revision_wait", NUMBER(DURATION, limits_min_revision_ms, 0, HOUR_MS),
     .initial = "1s",
     .help = "how long a request waits for the revision that it asks for, and at the start for the "
             "fleet to be loaded"},
    {"limits.streams", NUMBER(INTEGER, limits_streams, 0, 1000000), .initial = "20000",
     .help = "how many event streams there may be at once; further ones are refused"},
    {"limits.lame_duck", NUMBER(DURATION, limits_lame_duck_ms, 0, DAY_MS), .initial = "0s",
     .help = "how long from SIGTERM on everything is still served, while clients are asked to go"},
    {"limits.drain_timeout", NUMBER(DURATION, limits_drain_ms, 0, DAY_MS), .initial = "10s",
     .help = "how long running requests have after that"},
    {"memo.bytes", NUMBER(SIZE, memo_bytes, 64 * KIB, 64 * GIB), .initial = "64M",
     .help = "memory for finished answers, each event loop"},
    {"writer.queue", NUMBER(INTEGER, writer_queue, 1, 1000000), .initial = "4096",
     .help = "how many writes may wait"},
    {"writer.deadline", NUMBER(DURATION, writer_deadline_ms, 1, HOUR_MS), .initial = "5s",
     .help = "after how long a write that waits is given up"},
    {NULL, FLAG("--machines", "N", SEED), NUMBER(INTEGER, seed_machines, 1, 1000000),
     .help = "how many machines to add; required"},
    {NULL, FLAG("--days", "D", SEED), NUMBER(INTEGER, seed_days, 1, 3650), .initial = "730",
     .help = "over how many days from today on maintenance is spread"},
    {NULL, FLAG("--file", "FILE", FB_OPTIONS_IMPORT), TEXT(import_file),
     .help = "what to import; the flag may be left out; - is stdin"},
    {NULL, FLAG("--instance", "URL", FB_OPTIONS_VERIFY),
     LIST(instances, instance_count, FB_VERIFY_MAX), .initial = "http://127.0.0.1:8081",
     .check = fb_http_check_url, .is_unique = true,
     .help = "the admin listener of an instance; up to 64 times"},
    {NULL, FLAG("--url", "URL", FB_OPTIONS_ORDER), TEXT(order_url),
     .initial = "http://127.0.0.1:8080", .check = fb_http_check_url, .help = "the server"},
    {NULL, FLAG("--requests", "N", FB_OPTIONS_ORDER), NUMBER(INTEGER, order_requests, 1, 10000000),
     .initial = "100", .help = "how many orders to place"},
    {NULL, FLAG("--concurrency", "C", FB_OPTIONS_ORDER),
     NUMBER(INTEGER, order_concurrency, 1, 1000), .initial = "10",
     .help = "how many at once, each over a connection of its own"},
    {NULL, FLAG("--user", "ID", FB_OPTIONS_ORDER), TEXT(order_user), .initial = "1",
     .help = "who orders: a number or a text"},
    {NULL, FLAG("--items", "IDS", FB_OPTIONS_ORDER), TEXT(order_items), .initial = "1",
     .check = check_items, .help = "what is ordered: numbers, with commas between them"},
    {NULL, FLAG("--start-date", "DATE", FB_OPTIONS_ORDER), TEXT(order_start), .check = check_date,
     .help = "the first day of a booking; then the items are machines"},
    {NULL, FLAG("--end-date", "DATE", FB_OPTIONS_ORDER), TEXT(order_end), .check = check_date,
     .help = "its last day"},
    {NULL, FLAG("--wait", NULL, FB_OPTIONS_ORDER), BOOL(order_wait), .initial = "false",
     .help = "waits until all of them have been processed"},
};
#define SETTINGS (sizeof(settings) / sizeof(*settings))
_Static_assert(SETTINGS <= FB_SETTINGS_MAX, "fb_options_t.from has no room for all settings");

static const fb_setting_t *find_key(const char *key)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (settings[i].key != NULL && !settings[i].is_not_in_file &&
            strcmp(settings[i].key, key) == 0)
            return &settings[i];
    }
    return NULL;
}

const fb_setting_t *fb_options_setting(size_t number)
{
    return number < SETTINGS ? &settings[number] : NULL;
}

bool fb_options_is_flag(const fb_setting_t *setting, fb_options_for_t command)
{
    return setting->flag != NULL && (setting->commands & command) != 0;
}

size_t fb_options_group_length(const char *key)
{
    const char *dot = strchr(key, '.');
    return dot != NULL ? (size_t)(dot - key) : 0;
}

static bool is_group(const char *key)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        if (settings[i].key != NULL && fb_options_group_length(settings[i].key) == strlen(key) &&
            strncmp(settings[i].key, key, strlen(key)) == 0)
            return true;
    }
    return false;
}

static uint8_t *from_of(fb_options_t *options, const fb_setting_t *setting)
{
    return &options->from[setting - settings];
}

/* --- the file ---------------------------------------------------------------------------- */

static fb_code_t unknown_key(const char *place, const char *key, fb_error_t *error)
{
    fb_suggest_t suggest = {.word = fb_slice(key)};
    for (size_t i = 0; i < SETTINGS; i++) {
        const char *name = settings[i].key;
        if (name == NULL || settings[i].is_not_in_file)
            continue;
        size_t group = fb_options_group_length(name);
        /* Whoever left the group out means exactly that one. */
        if (group > 0 && strcmp(name + group + 1, key) == 0)
            suggest = (fb_suggest_t){.word = suggest.word, .name = name};
        fb_suggest_offer(&suggest, name);
    }
    if (suggest.name == NULL)
        return fb_fail(error, FB_CONFIG, "%s: %.60s: there is no such setting", place, key);
    return fb_fail(error, FB_CONFIG, "%s: %.60s: there is no such setting; is it %s?", place, key,
                   suggest.name);
}

static fb_code_t wrong_kind(const fb_setting_t *setting, const fb_settings_entry_t *entry,
                            const char *where, fb_error_t *error)
{
    fb_buffer_t expected = {0};
    fb_setting_put_expected(setting, &expected);
    fb_code_t code = fb_fail(error, FB_CONFIG, "%s: %s stands where %.*s should", where,
                             entry->kind == FB_SETTINGS_LIST ? "a list" : "a mapping",
                             FB_PRINT(fb_buffer_slice(&expected)));
    fb_buffer_dispose(&expected);
    return code;
}

static fb_code_t apply_entry(fb_options_t *options, const fb_settings_entry_t *entry,
                             fb_error_t *error)
{
    const fb_setting_t *setting = find_key(entry->key);
    char place[FB_SETTINGS_PLACE_BYTES], where[FB_SETTINGS_PLACE_BYTES + 64];
    fb_settings_file_place(options->conf, entry->line, place);
    snprintf(where, sizeof(where), "%s: %.60s", place, entry->key);
    if (setting == NULL && !is_group(entry->key))
        return unknown_key(place, entry->key, error);
    if (entry->kind == FB_SETTINGS_NOTHING)
        return FB_OK;
    if (setting == NULL)
        return entry->kind == FB_SETTINGS_MAPPING
                   ? FB_OK
                   : fb_fail(error, FB_CONFIG,
                             "%s: its settings should stand in lines of their "
                             "own, indented",
                             where);
    if (entry->kind == FB_SETTINGS_MAPPING ||
        (entry->kind == FB_SETTINGS_LIST && setting->kind != FB_SETTING_LIST))
        return wrong_kind(setting, entry, where, error);
    fb_code_t code = fb_setting_put(setting, options, (const char *const *)entry->values,
                                    entry->value_count, where, error);
    if (code == FB_OK)
        *from_of(options, setting) = FB_FROM_FILE;
    return code;
}

static fb_code_t apply_file(fb_options_t *options, fb_error_t *error)
{
    fb_settings_file_t file;
    fb_code_t code = fb_settings_file_read(options->conf, &file, error);
    if (code != FB_OK)
        return code;
    for (size_t i = 0; i < file.count && code == FB_OK; i++)
        code = apply_entry(options, &file.entries[i], error);
    fb_settings_file_dispose(&file);
    return code;
}

/* --- the environment --------------------------------------------------------------------- */

static fb_code_t apply_variable(fb_options_t *options, const fb_setting_t *setting,
                                fb_error_t *error)
{
    char variable[FB_SETTING_VARIABLE_BYTES];
    if (setting->key == NULL)
        return FB_OK;
    fb_setting_variable(setting, variable);
    const char *text = getenv(variable);
    if (text == NULL || *text == '\0')
        return FB_OK;
    fb_code_t code = fb_setting_put_text(setting, options, text, variable, error);
    if (code == FB_OK)
        *from_of(options, setting) = FB_FROM_ENVIRONMENT;
    return code;
}

/* Appends a variable that is no setting, and the one that it might be. */
static void put_unknown(const char *entry, fb_buffer_t *unknown)
{
    static const char prefix[] = "FLEETBIT_";
    char names[SETTINGS][FB_SETTING_VARIABLE_BYTES];
    size_t len = strcspn(entry, "="), skipped = sizeof(prefix) - 1;
    if (strncmp(entry, prefix, skipped) != 0)
        return;
    /* Where the tests find the program. */
    if (fb_slice_is((fb_slice_t){entry, len}, "FLEETBIT_BIN"))
        return;
    fb_suggest_t suggest = {.word = {entry + skipped, len - skipped}};
    for (size_t i = 0; i < SETTINGS; i++) {
        if (settings[i].key == NULL)
            continue;
        fb_setting_variable(&settings[i], names[i]);
        if (fb_slice_is((fb_slice_t){entry, len}, names[i]))
            return;
        fb_suggest_offer(&suggest, names[i] + skipped);
    }
    fb_buffer_printf(unknown, "%s%.*s", unknown->len > 0 ? ", " : "", (int)len, entry);
    if (suggest.name != NULL)
        fb_buffer_printf(unknown, " (is it %s%s?)", prefix, suggest.name);
}

static void warn_of_unknown_variables(void)
{
    fb_buffer_t unknown = {0};
    for (char **entry = environ; *entry != NULL; entry++)
        put_unknown(*entry, &unknown);
    if (unknown.len > 0)
        fb_log_warning("environment variables that are no settings have no effect: %.*s",
                       FB_PRINT(fb_buffer_slice(&unknown)));
    fb_buffer_dispose(&unknown);
}

/* --- the flags --------------------------------------------------------------------------- */

/* All texts of one flag together, as a list takes them. */
static fb_code_t apply_flag(fb_options_t *options, const fb_setting_t *setting,
                            const fb_options_given_t *given, fb_error_t *error)
{
    const char *texts[FB_OPTIONS_GIVEN_MAX];
    size_t count = 0;
    for (unsigned i = 0; i < given->count; i++) {
        if (given->flags[i].setting == setting)
            texts[count++] = given->flags[i].text;
    }
    if (count == 0)
        return FB_OK;
    fb_code_t code = fb_setting_put(setting, options, texts, count, setting->flag, error);
    if (code == FB_OK)
        *from_of(options, setting) = FB_FROM_FLAG;
    return code;
}

/* --- all sources ------------------------------------------------------------------------- */

static void apply_defaults(fb_options_t *options)
{
    fb_error_t error = {0};
    for (size_t i = 0; i < SETTINGS; i++) {
        const fb_setting_t *setting = &settings[i];
        if (setting->initial != NULL)
            fb_assert(fb_setting_put_text(setting, options, setting->initial, "", &error) == FB_OK);
    }
}

/* The file's name is needed before all others, and may be given by a variable or a flag. */
static fb_code_t apply_conf(fb_options_t *options, const fb_options_given_t *given,
                            fb_error_t *error)
{
    const fb_setting_t *conf = fb_options_flag(FB_SLICE("--conf"));
    fb_code_t code = apply_variable(options, conf, error);
    if (code == FB_OK)
        code = apply_flag(options, conf, given, error);
    if (code == FB_OK && options->conf != NULL)
        code = apply_file(options, error);
    return code;
}

fb_code_t fb_options_read(fb_options_t *options, fb_options_for_t command, int argc, char **argv,
                          fb_error_t *error)
{
    fb_options_given_t given = {.count = 0};
    const fb_setting_t *redis = find_key("redis");
    *options = (fb_options_t){.listen_count = 0};
    apply_defaults(options);
    fb_code_t code = fb_options_take_flags(command, argc, argv, &given, error);
    if (code == FB_OK)
        code = apply_conf(options, &given, error);
    for (size_t i = 0; i < SETTINGS && code == FB_OK; i++)
        code = apply_variable(options, &settings[i], error);
    for (size_t i = 0; i < SETTINGS && code == FB_OK; i++)
        code = apply_flag(options, &settings[i], &given, error);
    if (code == FB_OK && command == FB_OPTIONS_SEED && options->seed_machines == 0)
        code = fb_fail(error, FB_CONFIG, "--machines is missing: how many are to be made?");
    if (code == FB_OK && command == FB_OPTIONS_IMPORT && options->import_file == NULL)
        code = fb_fail(error, FB_CONFIG, "FILE is missing: what is to be imported?");
    if (code == FB_OK && fb_options_given_text(&given, "--data") && options->redis != NULL) {
        fb_setting_dispose(redis, options);
        *from_of(options, redis) = FB_FROM_DATA_FLAG;
    }
    if (code == FB_OK && command == FB_OPTIONS_SERVE)
        fb_log_set_format((fb_log_format_t)fb_log_format_parse(options->log_format));
    warn_of_unknown_variables();
    if (code != FB_OK)
        fb_options_dispose(options);
    return code;
}

void fb_options_dispose(fb_options_t *options)
{
    for (size_t i = 0; i < SETTINGS; i++)
        fb_setting_dispose(&settings[i], options);
}
