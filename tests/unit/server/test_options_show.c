/* SPDX-License-Identifier: MIT */
#include "tests/unit/server/options_fixture.h"

static void no_password_is_shown(void **state)
{
    (void)state;
    fb_options_t options = read_well("--redis redis://ann:sesame@10.0.0.1:6380/2");
    assert_printed(&options, "redis: \"redis://ann:***@10.0.0.1:6380/2\"  # flag --redis\n");
    char *text = printed(&options);
    assert_null(strstr(text, "sesame"));
    free(text);
    assert_string_equal(options.redis, "redis://ann:sesame@10.0.0.1:6380/2");
    fb_options_dispose(&options);

    static const char *const wrong[] = {
        "--redis http://ann:sesame@h", "--redis redis://ann:sesame@h:port",
        "--redis redis://ann:sesame/@h", "redis://ann:sesame@h", "--reids=redis://ann:sesame@h"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        fb_error_t error;
        assert_int_equal(read_for(FB_OPTIONS_SERVE, &options, wrong[i], &error), FB_CONFIG);
        assert_null(strstr(error.detail, "sesame"));
    }
    assert_file_refused("redis: http://ann:sesame@h\n",
                        ":1: redis: Redis URL: it is redis://[user:password@]host[:port][/db] or "
                        "unix:///path");
}

/* The values alone, without where they came from. */
static char *values(const char *arguments)
{
    fb_options_t options = read_well(arguments);
    char *text = printed(&options);
    fb_options_dispose(&options);
    for (char *hash = text; (hash = strstr(hash, "  # ")) != NULL;)
        memmove(hash, strchr(hash, '\n'), strlen(strchr(hash, '\n')) + 1);
    return text;
}

static void what_is_printed_can_be_read_again(void **state)
{
    (void)state;
    char arguments[128];
    setenv("FLEETBIT_DATA", "a: b", 1);
    setenv("FLEETBIT_REDIS_SERVER", "null", 1);
    setenv("FLEETBIT_ZONE", "[a] \"b\" \\c: #d, 'e'", 1);
    setenv("FLEETBIT_LISTEN", "[::1]:80,:0,a:1", 1);
    setenv("FLEETBIT_LIMITS_IDLE_TIMEOUT", "90s", 1);
    setenv("FLEETBIT_LIMITS_BODY_BYTES", "1025", 1);
    setenv("FLEETBIT_REDIS", "unix:///run/a.sock", 1);
    char *first = values("");
    assert_non_null(strstr(first, "  idle_timeout: 90s\n"));
    assert_non_null(strstr(first, "  body_bytes: 1025\n"));
    clear_environment(NULL);
    file_t file = file_of(first, strlen(first));
    snprintf(arguments, sizeof(arguments), "--conf %s", file.path);
    char *second = values(arguments);
    assert_string_equal(first, second);
    file_remove(&file);
    free(first);
    free(second);
}

static void the_file_of_the_tree_holds_the_defaults(void **state)
{
    (void)state;
    char *defaults = values("");
    char *file = values("--conf " FB_SOURCE_DIR "/conf/fleetbit.yaml");
    assert_string_equal(file, defaults);

    /* And every setting: each key that is printed stands at the start of a line of it. */
    char line[512];
    size_t keys = 0, settings = 0;
    FILE *input = fopen(FB_SOURCE_DIR "/conf/fleetbit.yaml", "r");
    assert_non_null(input);
    while (fgets(line, sizeof(line), input) != NULL)
        keys += line[strspn(line, " ")] != '#' && strchr(line, ':') != NULL;
    fclose(input);
    for (const char *at = defaults; (at = strchr(at, ':')) != NULL; at++)
        settings += at[1] == ' ' || at[1] == '\n';
    assert_int_equal(keys, settings);
    free(defaults);
    free(file);
}

static void the_help_lists_what_a_subcommand_takes(void **state)
{
    (void)state;
    static const char *const serve[] = {"--conf FILE",
                                        "--listen HOST:PORT",
                                        "--admin HOST:PORT",
                                        "--redis URL",
                                        "--data DIR",
                                        "--fleet NAME",
                                        "--threads N",
                                        "--demo ",
                                        "--zone ZONE",
                                        "--access-log PATH",
                                        "FLEETBIT_LISTEN",
                                        "[./data]",
                                        "limits.idle_timeout",
                                        "FLEETBIT_LIMITS_IDLE_TIMEOUT",
                                        "[75s]"};
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    fb_options_usage(out, FB_OPTIONS_SERVE);
    fclose(out);
    for (size_t i = 0; i < sizeof(serve) / sizeof(*serve); i++) {
        if (strstr(text, serve[i]) == NULL)
            fail_msg("\"%s\" is not in the help", serve[i]);
    }
    assert_null(strstr(text, "--machines"));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 0, 100);
    free(text);

    out = open_memstream(&text, &len);
    fb_options_usage(out, FB_OPTIONS_SEED);
    fclose(out);
    assert_non_null(strstr(text, "--machines N"));
    assert_non_null(strstr(text, "--days D"));
    assert_null(strstr(text, "--listen"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_password_is_shown, clear_environment),
        cmocka_unit_test_setup(what_is_printed_can_be_read_again, clear_environment),
        cmocka_unit_test_setup(the_file_of_the_tree_holds_the_defaults, clear_environment),
        cmocka_unit_test_setup(the_help_lists_what_a_subcommand_takes, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
