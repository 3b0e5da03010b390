/* SPDX-License-Identifier: MIT */
#include "server/settings_file.h"

#include "tests/unit/server/files.h"

static fb_code_t read_bytes(const void *bytes, size_t len, fb_settings_file_t *settings,
                            fb_error_t *error)
{
    file_t file = file_of(bytes, len);
    *error = (fb_error_t){0};
    fb_code_t code = fb_settings_file_read(file.path, settings, error);
    file_remove(&file);
    assert_int_equal(code, error->code);
    if (code != FB_OK) {
        assert_int_equal(code, FB_CONFIG);
        assert_null(settings->entries);
        assert_non_null(strstr(error->detail, file.path));
    }
    return code;
}

static void assert_entry(const fb_settings_entry_t *entry, const char *key, fb_settings_kind_t kind,
                         size_t line, const char *values)
{
    char joined[256] = "";
    for (size_t i = 0; i < entry->value_count; i++) {
        strcat(joined, i ? "|" : "");
        strcat(joined, entry->values[i]);
    }
    assert_string_equal(entry->key, key);
    assert_int_equal(entry->kind, kind);
    assert_int_equal(entry->line, line);
    assert_string_equal(joined, values);
}

static void a_file_is_its_keys_with_their_lines(void **state)
{
    (void)state;
    static const char text[] = "# A comment.\n"
                               "threads: 4\n"
                               "limits:\n"
                               "  drain_timeout: 10s\n"
                               "  idle_timeout: \"5 m\"\n"
                               "types: [excavator, 'tower crane']\n"
                               "listen:\n"
                               "  - 127.0.0.1:80\n"
                               "  - \"[::1]:80\"\n"
                               "redis: ~\n"
                               "data:\n"
                               "fleet: \"\"\n"
                               "zone: 'null'\n"
                               "log: {level: debug}\n"
                               "memo: {}\n"
                               "none: []\n";
    fb_settings_file_t file;
    fb_error_t error;
    assert_int_equal(read_bytes(text, sizeof(text) - 1, &file, &error), FB_OK);
    const fb_settings_entry_t *entry = file.entries;
    assert_entry(entry++, "threads", FB_SETTINGS_SCALAR, 2, "4");
    assert_entry(entry++, "limits", FB_SETTINGS_MAPPING, 3, "");
    assert_entry(entry++, "limits.drain_timeout", FB_SETTINGS_SCALAR, 4, "10s");
    assert_entry(entry++, "limits.idle_timeout", FB_SETTINGS_SCALAR, 5, "5 m");
    assert_entry(entry++, "types", FB_SETTINGS_LIST, 6, "excavator|tower crane");
    assert_entry(entry++, "listen", FB_SETTINGS_LIST, 7, "127.0.0.1:80|[::1]:80");
    assert_entry(entry++, "redis", FB_SETTINGS_NOTHING, 10, "");
    assert_entry(entry++, "data", FB_SETTINGS_NOTHING, 11, "");
    assert_entry(entry++, "fleet", FB_SETTINGS_SCALAR, 12, "");
    assert_entry(entry++, "zone", FB_SETTINGS_SCALAR, 13, "null");
    assert_entry(entry++, "log", FB_SETTINGS_MAPPING, 14, "");
    assert_entry(entry++, "log.level", FB_SETTINGS_SCALAR, 14, "debug");
    assert_entry(entry++, "memo", FB_SETTINGS_MAPPING, 15, "");
    assert_entry(entry++, "none", FB_SETTINGS_LIST, 16, "");
    assert_int_equal(file.count, (size_t)(entry - file.entries));
    fb_settings_file_dispose(&file);
    assert_null(file.entries);
}

static void a_file_of_nothing_holds_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "# only this\n", "---\n", "--- ~\n", "{}\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        fb_settings_file_t file;
        fb_error_t error;
        assert_int_equal(read_bytes(texts[i], strlen(texts[i]), &file, &error), FB_OK);
        assert_int_equal(file.count, 0);
        fb_settings_file_dispose(&file);
    }
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *found;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", ":3: a: the key is in line 1 already"},
        {"g:\n  a: 1\n  a: 2\n", ":3: g.a: the key is in line 2 already"},
        {"a: &x 1\n", ":1: anchors and aliases"},
        {"a: 1\nb: *x\n", ":2: anchors and aliases"},
        {"a: &x [1]\n", ":1: anchors and aliases"},
        {"g: &x\n  a: 1\n", ":1: anchors and aliases"},
        {"&x a: 1\n", ":1: anchors and aliases"},
        {"g:\n  <<: *x\n", ":2: anchors and aliases"},
        {"a: !!str 1\n", ":1: tags (!)"},
        {"a: !!seq [1]\n", ":1: tags (!)"},
        {"!x {a: 1}\n", ":1: tags (!)"},
        {"a: \"x\\0y\"\n", ":1: it holds a NUL"},
        {"g:\n  a:\n    b: 1\n", ":2: g.a: no mapping may stand here"},
        {"a:\n  - 1\n  - [2]\n", ":3: a: an item of the list is no text"},
        {"a:\n  - 1\n  -\n", ": a: an item of the list is no text"},
        {"a:\n  - b: 1\n", ":2: a: an item of the list is no text"},
        {"a.b: 1\n", ":1: a.b: a key has no dot"},
        {"[a]: 1\n", ":1: a key is a text"},
        {"a: 1\n---\nb: 2\n", ":2: the file holds a second document"},
        {"a: 1\n---\n", ":2: the file holds a second document"},
        {"- a\n", ":1: the file is no mapping"},
        {"a\n", ":1: the file is no mapping"},
        {"a: 1\n  b: 2\n", ":2: it is no YAML: mapping values are not allowed"},
        {"a: [1\nb: 2\n", "it is no YAML: while parsing a flow"},
        {"a: \"x\n", "it is no YAML: while scanning a quoted scalar"},
        {"a:\n\tb: 1\n", ":2: it is no YAML"},
        {"a: \xff\n", "it is no YAML: invalid"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fb_settings_file_t file;
        fb_error_t error;
        assert_int_equal(read_bytes(cases[i].text, strlen(cases[i].text), &file, &error),
                         FB_CONFIG);
        if (strstr(error.detail, cases[i].found) == NULL)
            fail_msg("case %zu: \"%s\" is not in \"%s\"", i, cases[i].found, error.detail);
    }
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    fb_settings_file_t file;
    fb_error_t error = {0};
    assert_int_equal(fb_settings_file_read("/nowhere/x.yaml", &file, &error), FB_CONFIG);
    assert_string_equal(error.detail,
                        "the configuration file /nowhere/x.yaml: No such file or directory");
    assert_int_equal(fb_settings_file_read("/", &file, &error), FB_CONFIG);
    assert_string_equal(error.detail, "the configuration file /: Is a directory");
}

static void a_file_has_bounds(void **state)
{
    (void)state;
    const size_t most = FB_SETTINGS_FILE_BYTES_MAX;
    fb_settings_file_t file;
    fb_error_t error;
    char *text = malloc(most + 1);
    assert_non_null(text);

    memset(text, '\n', most + 1);
    assert_int_equal(read_bytes(text, most, &file, &error), FB_OK);
    fb_settings_file_dispose(&file);
    assert_int_equal(read_bytes(text, most + 1, &file, &error), FB_CONFIG);
    assert_non_null(strstr(error.detail, "is larger than 1048576 bytes"));

    int len = 0;
    for (int i = 0; i < FB_SETTINGS_ENTRIES_MAX; i++)
        len += sprintf(text + len, "k%d: 1\n", i);
    assert_int_equal(read_bytes(text, (size_t)len, &file, &error), FB_OK);
    assert_int_equal(file.count, FB_SETTINGS_ENTRIES_MAX);
    fb_settings_file_dispose(&file);
    len += sprintf(text + len, "k: 1\n");
    assert_int_equal(read_bytes(text, (size_t)len, &file, &error), FB_CONFIG);
    assert_non_null(strstr(error.detail, ":257: there are too many keys"));

    len = sprintf(text, "k:\n");
    for (int i = 0; i < FB_SETTINGS_VALUES_MAX; i++)
        len += sprintf(text + len, "- x\n");
    assert_int_equal(read_bytes(text, (size_t)len, &file, &error), FB_OK);
    assert_int_equal(file.entries[0].value_count, FB_SETTINGS_VALUES_MAX);
    fb_settings_file_dispose(&file);
    len += sprintf(text + len, "- x\n");
    assert_int_equal(read_bytes(text, (size_t)len, &file, &error), FB_CONFIG);
    assert_non_null(strstr(error.detail, ":4098: k: the list is too long"));

    memset(text, '[', most);
    memcpy(text, "k: ", 3);
    assert_int_equal(read_bytes(text, most, &file, &error), FB_CONFIG);
    free(text);
}

static void a_long_path_is_shown_by_its_end(void **state)
{
    (void)state;
    char path[4096], place[FB_SETTINGS_PLACE_BYTES];
    memset(path, 'd', sizeof(path));
    strcpy(path + sizeof(path) - 8, "/x.yaml");
    fb_settings_file_place(path, 12, place);
    assert_memory_equal(place, "...ddd", 6);
    assert_string_equal(place + strlen(place) - 10, "/x.yaml:12");
    fb_settings_file_place("x.yaml", 1, place);
    assert_string_equal(place, "x.yaml:1");
}

/* Whatever a file holds, it is read or refused with its name (see read_bytes). */
static void a_damaged_file_is_read_or_refused(void **state)
{
    (void)state;
    static const char sound[] = "listen: [\"[::1]:8080\", '127.0.0.1:80']\nlimits:\n  a: 1s\n"
                                "types:\n  - x\n  - y # z\nlog: {level: info, length: 5}\n";
    static const char spice[] = "&*!|>%@`[]{}:,-?#\"'\\\n \t\0\xff\xc3.~<";
    const char *given = getenv("FB_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : 20261121;
    unsigned read = 0, refused = 0;
    print_message("FB_SEED=%u\n", seed);
    srandom(seed);
    for (int i = 0; i < 3000; i++) {
        char text[sizeof(sound) - 1];
        fb_settings_file_t file;
        fb_error_t error;
        memcpy(text, sound, sizeof(text));
        for (long j = random() % 4; j >= 0; j--)
            text[(size_t)random() % sizeof(text)] = spice[(size_t)random() % (sizeof(spice) - 1)];
        if (read_bytes(text, sizeof(text), &file, &error) == FB_OK) {
            read++;
            fb_settings_file_dispose(&file);
        } else {
            refused++;
        }
    }
    assert_true(read > 0 && refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_its_keys_with_their_lines),
        cmocka_unit_test(a_file_of_nothing_holds_nothing),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(a_file_has_bounds),
        cmocka_unit_test(a_long_path_is_shown_by_its_end),
        cmocka_unit_test(a_damaged_file_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
