/* SPDX-License-Identifier: MIT */
#pragma once

/* Reading options as the program does, in an environment without settings. */

#include "server/options.h"
#include "tests/unit/server/files.h"

#define ARGUMENTS_MAX 16

/* No variable of the outside, nor of the test before, has a say. */
static inline int clear_environment(void **state)
{
    char name[80];
    (void)state;
    for (size_t i = 0; environ[i] != NULL;) {
        size_t len = strcspn(environ[i], "=");
        if (strncmp(environ[i], "FLEETBIT_", 9) != 0 || len >= sizeof(name)) {
            i++;
            continue;
        }
        snprintf(name, sizeof(name), "%.*s", (int)len, environ[i]);
        assert_int_equal(unsetenv(name), 0);
        i = 0;
    }
    return 0;
}

/* `arguments` are separated by blanks. */
static inline fb_code_t read_for(fb_options_for_t command, fb_options_t *options,
                                 const char *arguments, fb_error_t *error)
{
    char copy[1024], *rest = copy, *word, *argv[ARGUMENTS_MAX];
    int argc = 0;
    snprintf(copy, sizeof(copy), "%s", arguments);
    while ((word = strsep(&rest, " ")) != NULL) {
        assert_true(argc < ARGUMENTS_MAX);
        if (*word != '\0')
            argv[argc++] = word;
    }
    *error = (fb_error_t){0};
    return fb_options_read(options, command, argc, argv, error);
}

static inline fb_options_t read_well(const char *arguments)
{
    fb_options_t options;
    fb_error_t error;
    if (read_for(FB_OPTIONS_SERVE, &options, arguments, &error) != FB_OK)
        fail_msg("\"%s\": %s", arguments, error.detail);
    return options;
}

static inline void assert_refused_for(fb_options_for_t command, const char *arguments,
                                      const char *detail)
{
    fb_options_t options;
    fb_error_t error;
    assert_int_equal(read_for(command, &options, arguments, &error), FB_CONFIG);
    assert_int_equal(error.code, FB_CONFIG);
    assert_string_equal(error.detail, detail);
    assert_null(options.fleet);
    assert_int_equal(options.type_count, 0);
}

static inline void assert_refused(const char *arguments, const char *detail)
{
    assert_refused_for(FB_OPTIONS_SERVE, arguments, detail);
}

/* As assert_refused, of a file; `detail` is what follows the path. */
static inline void assert_file_refused(const char *text, const char *detail)
{
    char arguments[128], whole[512];
    file_t file = file_of(text, strlen(text));
    snprintf(arguments, sizeof(arguments), "--conf %s", file.path);
    snprintf(whole, sizeof(whole), "%s%s", file.path, detail);
    assert_refused(arguments, whole);
    file_remove(&file);
}

static inline fb_options_t read_file_well(const char *text)
{
    char arguments[128];
    file_t file = file_of(text, strlen(text));
    snprintf(arguments, sizeof(arguments), "--conf=%s", file.path);
    fb_options_t options = read_well(arguments);
    file_remove(&file);
    return options;
}

static inline char *printed(const fb_options_t *options)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    fb_options_print(out, options);
    assert_int_equal(fclose(out), 0);
    return text;
}

static inline void assert_printed(const fb_options_t *options, const char *line)
{
    char *text = printed(options);
    if (strstr(text, line) == NULL)
        fail_msg("\"%s\" is not in:\n%s", line, text);
    free(text);
}
