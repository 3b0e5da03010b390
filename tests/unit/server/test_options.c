/* SPDX-License-Identifier: MIT */
#include "server/options.h"

#include "tests/unit/server/options_fixture.h"

/* --- sources ----------------------------------------------------------------------------- */

static void without_a_word_the_defaults_hold(void **state)
{
    (void)state;
    fb_options_t options = read_well("");
    assert_int_equal(options.listen_count, 1);
    assert_string_equal(options.listen[0], "127.0.0.1:8080");
    assert_string_equal(options.admin, "127.0.0.1:8081");
    assert_null(options.redis);
    assert_string_equal(options.data, "./data");
    assert_string_equal(options.fleet, "default");
    assert_in_range(options.threads, 1, 4);
    assert_false(options.demo);
    assert_string_equal(options.zone, "UTC");
    assert_in_range(options.type_count, 40, 60);
    assert_string_equal(options.types[0], "excavator");
    assert_string_equal(options.log_level, "info");
    assert_null(options.log_access);
    assert_int_equal(options.limits_connections, 0);
    assert_int_equal(options.limits_body_bytes, 1048576);
    assert_int_equal(options.limits_request_ms, 10000);
    assert_int_equal(options.limits_idle_ms, 75000);
    assert_int_equal(options.limits_stall_ms, 30000);
    assert_int_equal(options.limits_min_revision_ms, 1000);
    assert_int_equal(options.limits_lame_duck_ms, 0);
    assert_int_equal(options.limits_drain_ms, 10000);
    assert_int_equal(options.memo_bytes, 67108864);
    assert_int_equal(options.writer_queue, 4096);
    assert_int_equal(options.writer_deadline_ms, 5000);
    assert_int_equal(options.redis_timeout_ms, 2000);
    assert_int_equal(options.redis_log_length, 100000);
    assert_int_equal(options.history_length, 10000);
    assert_int_equal(options.history_age_ms, 0);
    assert_int_equal(options.orders_workers, 1000);
    assert_int_equal(options.orders_processing_ms, 0);
    assert_int_equal(options.orders_claim_ms, 10000);
    assert_int_equal(options.orders_recent, 100000);
    assert_int_equal(options.orders_pending, 1000000);
    assert_int_equal(options.idempotency_keys, 100000);
    assert_false(options.require_fsync);
    assert_string_equal(options.redis_server, "redis-server");
    assert_int_equal(options.seed_days, 730);
    assert_null(options.conf);
    fb_options_dispose(&options);
    assert_null(options.fleet);
}

static void flags_win_over_variables_over_the_file_over_the_defaults(void **state)
{
    (void)state;
    char arguments[160];
    static const char text[] = "threads: 5\nfleet: file\nzone: Europe/Berlin\nlisten: a:1\n";
    file_t file = file_of(text, sizeof(text) - 1);
    setenv("FLEETBIT_FLEET", "variable", 1);
    setenv("FLEETBIT_ZONE", "Europe/Paris", 1);
    setenv("FLEETBIT_CONF", file.path, 1);
    snprintf(arguments, sizeof(arguments), "--zone Asia/Tokyo");
    fb_options_t options = read_well(arguments);
    assert_int_equal(options.threads, 5);
    assert_string_equal(options.fleet, "variable");
    assert_string_equal(options.zone, "Asia/Tokyo");
    assert_string_equal(options.admin, "127.0.0.1:8081");
    assert_string_equal(options.conf, file.path);

    snprintf(arguments, sizeof(arguments), "threads: 5  # file %s\n", file.path);
    assert_printed(&options, arguments);
    assert_printed(&options, "fleet: variable  # environment FLEETBIT_FLEET\n");
    assert_printed(&options, "zone: Asia/Tokyo  # flag --zone\n");
    assert_printed(&options, "admin: 127.0.0.1:8081  # default\n");
    fb_options_dispose(&options);
    file_remove(&file);
}

static void a_list_takes_the_place_of_the_weaker_one(void **state)
{
    (void)state;
    fb_options_t options = read_file_well("listen:\n  - a:1\n  - b:2\n  - c:3\n");
    assert_int_equal(options.listen_count, 3);
    assert_string_equal(options.listen[2], "c:3");
    fb_options_dispose(&options);

    setenv("FLEETBIT_LISTEN", "d:4, e:5", 1);
    options = read_file_well("listen:\n  - a:1\n  - b:2\n  - c:3\n");
    assert_int_equal(options.listen_count, 2);
    assert_string_equal(options.listen[0], "d:4");
    assert_string_equal(options.listen[1], "e:5");
    assert_null(options.listen[2]);
    fb_options_dispose(&options);

    options = read_well("--listen [::1]:6 --demo --listen=:7");
    assert_int_equal(options.listen_count, 2);
    assert_string_equal(options.listen[0], "[::1]:6");
    assert_string_equal(options.listen[1], ":7");
    assert_true(options.demo);
    fb_options_dispose(&options);

    options = read_file_well("types: crane\n");
    assert_int_equal(options.type_count, 1);
    assert_string_equal(options.types[0], "crane");
    fb_options_dispose(&options);
}

static void what_is_empty_counts_as_not_set(void **state)
{
    (void)state;
    setenv("FLEETBIT_THREADS", "", 1);
    setenv("FLEETBIT_CONF", "", 1);
    fb_options_t options = read_file_well("fleet:\nlimits:\nlog:\n  level: ~\nredis: null\n");
    assert_string_equal(options.fleet, "default");
    assert_string_equal(options.log_level, "info");
    assert_null(options.redis);
    assert_printed(&options, "fleet: default  # default\n");
    fb_options_dispose(&options);
}

static void a_file_that_is_asked_for_must_be_there(void **state)
{
    (void)state;
    assert_refused("--conf /nowhere/a.yaml",
                   "the configuration file /nowhere/a.yaml: No such file or directory");
    setenv("FLEETBIT_CONF", "/nowhere/b.yaml", 1);
    assert_refused("", "the configuration file /nowhere/b.yaml: No such file or directory");
}

static void data_on_the_command_line_means_a_redis_of_its_own(void **state)
{
    (void)state;
    setenv("FLEETBIT_REDIS", "redis://10.0.0.1", 1);
    fb_options_t options = read_well("--data ./there");
    assert_null(options.redis);
    assert_string_equal(options.data, "./there");
    assert_printed(&options, "redis: null  # flag --data\n");
    fb_options_dispose(&options);

    setenv("FLEETBIT_DATA", "./there", 1);
    options = read_well("");
    assert_string_equal(options.redis, "redis://10.0.0.1");
    assert_string_equal(options.data, "./there");
    fb_options_dispose(&options);

    const char *both = "--redis and --data exclude each other: --data is where fleetbit keeps a "
                       "Redis of its own";
    assert_refused("--redis redis://h --data ./d", both);
    assert_refused_for(FB_OPTIONS_SEED, "--machines 1 --data ./d --redis redis://h", both);
}

/* --- kinds ------------------------------------------------------------------------------- */

static void each_kind_is_read(void **state)
{
    (void)state;
    fb_options_t options =
        read_file_well("require: fsync\ndemo: yes\nredis_timeout: 250ms\nadmin: off\n"
                       "threads: auto\n"
                       "limits: {body_bytes: 16M, request_timeout: 5m, idle_timeout: 24h,\n"
                       "  stall_timeout: 1d, drain_timeout: 0s, connections: 1000000,\n"
                       "  min_revision_wait: 1h, lame_duck: 1500ms}\n"
                       "memo:\n  bytes: 64G\nwriter:\n  queue: 1\nlog:\n  length: 1\n"
                       "history: {length: 0, age: 365d}\n"
                       "orders: {workers: 0, processing_time: 24h, claim_after: 1s, recent: 0,\n"
                       "  pending: 1}\nidempotency:\n  keys: 10000000\n");
    assert_true(options.require_fsync);
    assert_true(options.demo);
    assert_int_equal(options.redis_timeout_ms, 250);
    assert_string_equal(options.admin, "off");
    assert_int_equal(options.limits_body_bytes, 16 << 20);
    assert_int_equal(options.limits_request_ms, 300000);
    assert_int_equal(options.limits_idle_ms, 86400000);
    assert_int_equal(options.limits_stall_ms, 86400000);
    assert_int_equal(options.limits_drain_ms, 0);
    assert_int_equal(options.limits_min_revision_ms, 3600000);
    assert_int_equal(options.limits_lame_duck_ms, 1500);
    assert_int_equal(options.history_length, 0);
    assert_true(options.history_age_ms == (uint64_t)365 * 86400000);
    assert_int_equal(options.orders_workers, 0);
    assert_int_equal(options.orders_processing_ms, 86400000);
    assert_int_equal(options.orders_claim_ms, 1000);
    assert_int_equal(options.orders_recent, 0);
    assert_int_equal(options.orders_pending, 1);
    assert_int_equal(options.idempotency_keys, 10000000);
    assert_int_equal(options.limits_connections, 1000000);
    assert_true(options.memo_bytes == (uint64_t)64 << 30);
    assert_printed(&options, "  drain_timeout: 0s  #");
    assert_printed(&options, "  lame_duck: 1500ms  #");
    assert_printed(&options, "  idle_timeout: 1d  #");
    assert_printed(&options, "  request_timeout: 5m  #");
    assert_printed(&options, "redis_timeout: 250ms  #");
    assert_printed(&options, "require: fsync  #");
    fb_options_dispose(&options);

    setenv("FLEETBIT_MEMO_BYTES", "65536", 1);
    setenv("FLEETBIT_DEMO", "1", 1);
    setenv("FLEETBIT_LIMITS_BODY_BYTES", "64K", 1);
    options = read_well("");
    assert_int_equal(options.memo_bytes, 65536);
    assert_int_equal(options.limits_body_bytes, 65536);
    assert_true(options.demo);
    assert_printed(&options, "  bytes: 64k  #");
    fb_options_dispose(&options);
    options = read_well("--demo=false");
    assert_false(options.demo);
    fb_options_dispose(&options);
}

static void what_a_kind_does_not_take_is_refused_with_its_place(void **state)
{
    (void)state;
#define DURATION "a duration (a whole number with ms, s, m, h or d) from "
#define SIZE     "a size (a whole number, also with k, M or G) from "
    static const struct {
        const char *variable, *text, *reason;
    } cases[] = {
        {"FLEETBIT_THREADS", "0", "\"0\" is not a whole number from 1 to 64, or auto"},
        {"FLEETBIT_THREADS", "65", "\"65\" is not a whole number from 1 to 64, or auto"},
        {"FLEETBIT_THREADS", "-1", "\"-1\" is not a whole number from 1 to 64, or auto"},
        {"FLEETBIT_THREADS", "2 ", "\"2 \" is not a whole number from 1 to 64, or auto"},
        {"FLEETBIT_THREADS", "4k", "\"4k\" is not a whole number from 1 to 64, or auto"},
        {"FLEETBIT_WRITER_QUEUE", "auto", "\"auto\" is not a whole number from 1 to 1000000"},
        {"FLEETBIT_WRITER_QUEUE", "99999999999999999999",
         "\"99999999999999999999\" is not a whole number from 1 to 1000000"},
        {"FLEETBIT_DEMO", "maybe", "\"maybe\" is not false or true"},
        {"FLEETBIT_REQUIRE", "true", "\"true\" is not none or fsync"},
        {"FLEETBIT_REDIS_TIMEOUT", "2", "\"2\" is not " DURATION "1ms to 1h"},
        {"FLEETBIT_REDIS_TIMEOUT", "0s", "\"0s\" is not " DURATION "1ms to 1h"},
        {"FLEETBIT_REDIS_TIMEOUT", "1.5s", "\"1.5s\" is not " DURATION "1ms to 1h"},
        {"FLEETBIT_REDIS_TIMEOUT", "61m", "\"61m\" is not " DURATION "1ms to 1h"},
        {"FLEETBIT_REDIS_TIMEOUT", "1S", "\"1S\" is not " DURATION "1ms to 1h"},
        {"FLEETBIT_LIMITS_DRAIN_TIMEOUT", "18446744073709551615d",
         "\"18446744073709551615d\" is not " DURATION "0s to 1d"},
        {"FLEETBIT_LIMITS_BODY_BYTES", "17M", "\"17M\" is not " SIZE "1k to 16M"},
        {"FLEETBIT_LIMITS_BODY_BYTES", "1MB", "\"1MB\" is not " SIZE "1k to 16M"},
        {"FLEETBIT_LOG_LEVEL", "loud", "\"loud\" is not error, warning, info or debug"},
        {"FLEETBIT_FLEET", "a b", "\"a b\" is not 1 to 64 of A to Z, a to z, 0 to 9, _ and -"},
        {"FLEETBIT_FLEET", "{a}", "\"{a}\" is not 1 to 64 of A to Z, a to z, 0 to 9, _ and -"},
        {"FLEETBIT_TYPES", "Crane", "\"Crane\" is not 1 to 64 of a to z, 0 to 9, _ and -"},
        {"FLEETBIT_TYPES", "crane,saw,crane", "\"crane\" is there twice"},
        {"FLEETBIT_TYPES", "crane,,saw", "an item of the list is empty"},
        {"FLEETBIT_LISTEN", "a:1,", "an item of the list is empty"},
        {"FLEETBIT_LISTEN", "8080", "\"8080\" is no HOST:PORT, as 127.0.0.1:8080 is"},
        {"FLEETBIT_LISTEN", "a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9",
         "there are 9 items, at most 8 are allowed"},
        {"FLEETBIT_ADMIN", "on", "\"on\" is no HOST:PORT, as 127.0.0.1:8080 is"},
        {"FLEETBIT_ZONE", "Europe/\x01", "it holds a control character"},
        {"FLEETBIT_DATA", "\xff", "it is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char detail[512];
        clear_environment(NULL);
        setenv(cases[i].variable, cases[i].text, 1);
        snprintf(detail, sizeof(detail), "%s: %s", cases[i].variable, cases[i].reason);
        assert_refused("", detail);
    }
}

static void names_have_64_letters_at_most(void **state)
{
    (void)state;
    char name[66] = "";
    memset(name, 'x', 64);
    setenv("FLEETBIT_FLEET", name, 1);
    setenv("FLEETBIT_TYPES", name, 1);
    fb_options_t options = read_well("");
    assert_string_equal(options.fleet, name);
    assert_string_equal(options.types[0], name);
    fb_options_dispose(&options);
    name[64] = 'x';
    setenv("FLEETBIT_TYPES", name, 1);
    fb_error_t error;
    assert_int_equal(read_for(FB_OPTIONS_SERVE, &options, "", &error), FB_CONFIG);
    assert_memory_equal(error.detail, "FLEETBIT_TYPES: ", 16);
}

/* --- flags ------------------------------------------------------------------------------- */

static void a_wrong_flag_is_named(void **state)
{
    (void)state;
    assert_refused("--thread 3", "--thread: there is no such flag; is it --threads?");
    assert_refused("--lsiten=a:1", "--lsiten: there is no such flag; is it --listen?");
    assert_refused("--unheard-of", "--unheard-of: there is no such flag");
    assert_refused("-x", "-x: there is no such flag");
    assert_refused("--", "--: there is no such flag");
    assert_refused("here", "unexpected argument \"here\"");
    assert_refused("--threads", "--threads: its value (N) is missing");
    assert_refused("--fleet --demo", "--fleet: its value (NAME) is missing");
    assert_refused("--fleet=", "--fleet: it is empty");
    assert_refused("--threads 2 --threads=3", "--threads: it is there twice");
    assert_refused("--demo --demo", "--demo: it is there twice");
    assert_refused("--demo=2", "--demo: \"2\" is not false or true");
    assert_refused("--threads x", "--threads: \"x\" is not a whole number from 1 to 64, or auto");
    assert_refused("--machines 3", "--machines: not a flag of this subcommand, but of seed");
    assert_refused("--listen a:1 --listen b", "--listen: \"b\" is no HOST:PORT, as "
                                              "127.0.0.1:8080 is");
    assert_refused_for(FB_OPTIONS_SEED, "--machines 1 --demo",
                       "--demo: not a flag of this subcommand, but of serve");
}

static void a_seed_says_how_many_machines(void **state)
{
    (void)state;
    fb_options_t options;
    fb_error_t error;
    setenv("FLEETBIT_DEMO", "true", 1);
    assert_int_equal(
        read_for(FB_OPTIONS_SEED, &options, "--machines 1000000 --days=30 --fleet f", &error),
        FB_OK);
    assert_int_equal(options.seed_machines, 1000000);
    assert_int_equal(options.seed_days, 30);
    assert_string_equal(options.fleet, "f");
    assert_true(options.demo);
    fb_options_dispose(&options);
    assert_refused_for(FB_OPTIONS_SEED, "", "--machines is missing: how many are to be made?");
    assert_refused_for(FB_OPTIONS_SEED, "--machines 0",
                       "--machines: \"0\" is not a whole number from 1 to 1000000");
}

static void check_config_takes_what_serve_takes(void **state)
{
    (void)state;
    fb_options_t options;
    fb_error_t error;
    assert_int_equal(read_for(FB_OPTIONS_CHECK, &options,
                              "--listen a:1 --admin off --redis redis://h --fleet f --threads 3 "
                              "--demo --zone UTC",
                              &error),
                     FB_OK);
    assert_int_equal(options.threads, 3);
    fb_options_dispose(&options);
}

/* --- the file ---------------------------------------------------------------------------- */

static void a_wrong_key_is_named_with_its_line(void **state)
{
    (void)state;
    assert_file_refused("\nthread: 3\n", ":2: thread: there is no such setting; is it threads?");
    assert_file_refused("colour: red\n", ":1: colour: there is no such setting");
    assert_file_refused("limits:\n  drain_timout: 1s\n",
                        ":2: limits.drain_timout: there is no such setting; is it "
                        "limits.drain_timeout?");
    assert_file_refused("drain_timeout: 1s\n", ":1: drain_timeout: there is no such setting; is "
                                               "it limits.drain_timeout?");
    assert_file_refused("unknown:\n", ":1: unknown: there is no such setting");
    assert_file_refused("conf: x\n", ":1: conf: there is no such setting");
    assert_file_refused("machines: 5\n", ":1: machines: there is no such setting");
    assert_file_refused("fleet: a\nfleet: b\n", ":2: fleet: the key is in line 1 already");
    assert_file_refused("threads: 4\nfleet: \"a b\"\n",
                        ":2: fleet: \"a b\" is not 1 to 64 of A to Z, a to z, 0 to 9, _ and -");
    assert_file_refused("fleet: \"\"\n", ":1: fleet: it is empty");
    assert_file_refused("types: []\n", ":1: types: the list is empty");
}

static void a_wrong_kind_is_named_with_its_line(void **state)
{
    (void)state;
    assert_file_refused("threads: [4]\n", ":1: threads: a list stands where a whole number from 1 "
                                          "to 64, or auto should");
    assert_file_refused("fleet:\n  name: x\n", ":1: fleet: a mapping stands where a text should");
    assert_file_refused("types: {a: 1}\n",
                        ":1: types: a mapping stands where a list of texts should");
    assert_file_refused("limits: 5\n",
                        ":1: limits: its settings should stand in lines of their own, indented");
    assert_file_refused("limits: [5]\n",
                        ":1: limits: its settings should stand in lines of their own, indented");
    assert_file_refused("fleet: &a x\nzone: *a\n",
                        ":1: anchors and aliases (& and *) are not supported; a text may stand in "
                        "quotes");
}

/* --- unknown variables ------------------------------------------------------------------- */

/* What the log gets while the options are read. */
static void read_logged(char *logged, size_t size)
{
    int saved = dup(STDERR_FILENO);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    fb_options_t options = read_well("");
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    fb_options_dispose(&options);
    rewind(file);
    logged[fread(logged, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void variables_that_are_no_settings_are_warned_of(void **state)
{
    (void)state;
    char logged[1024];
    setenv("FLEETBIT_BIN", "x", 1);
    setenv("FLEETBIT_THREADS", "3", 1);
    read_logged(logged, sizeof(logged));
    assert_string_equal(logged, "");

    setenv("FLEETBIT_PORT_8080_TCP", "tcp://10.0.0.1:8080", 1);
    read_logged(logged, sizeof(logged));
    assert_non_null(strstr(logged, "\"level\":\"warning\",\"message\":\"environment variables that "
                                   "are no settings have no effect: FLEETBIT_PORT_8080_TCP\"}\n"));
    setenv("FLEETBIT_LIMITS_IDLE_TIMOUT", "secret", 1);
    unsetenv("FLEETBIT_PORT_8080_TCP");
    read_logged(logged, sizeof(logged));
    assert_non_null(strstr(logged, "effect: FLEETBIT_LIMITS_IDLE_TIMOUT (is it "
                                   "FLEETBIT_LIMITS_IDLE_TIMEOUT?)\"}\n"));
    assert_null(strstr(logged, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_a_word_the_defaults_hold, clear_environment),
        cmocka_unit_test_setup(flags_win_over_variables_over_the_file_over_the_defaults,
                               clear_environment),
        cmocka_unit_test_setup(a_list_takes_the_place_of_the_weaker_one, clear_environment),
        cmocka_unit_test_setup(what_is_empty_counts_as_not_set, clear_environment),
        cmocka_unit_test_setup(a_file_that_is_asked_for_must_be_there, clear_environment),
        cmocka_unit_test_setup(data_on_the_command_line_means_a_redis_of_its_own,
                               clear_environment),
        cmocka_unit_test_setup(each_kind_is_read, clear_environment),
        cmocka_unit_test_setup(what_a_kind_does_not_take_is_refused_with_its_place,
                               clear_environment),
        cmocka_unit_test_setup(names_have_64_letters_at_most, clear_environment),
        cmocka_unit_test_setup(a_wrong_flag_is_named, clear_environment),
        cmocka_unit_test_setup(a_seed_says_how_many_machines, clear_environment),
        cmocka_unit_test_setup(check_config_takes_what_serve_takes, clear_environment),
        cmocka_unit_test_setup(a_wrong_key_is_named_with_its_line, clear_environment),
        cmocka_unit_test_setup(a_wrong_kind_is_named_with_its_line, clear_environment),
        cmocka_unit_test_setup(variables_that_are_no_settings_are_warned_of, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
