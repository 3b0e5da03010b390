/* SPDX-License-Identifier: MIT */
#include "server/options_internal.h"

#define COLUMN       26 /* where the right column of the help begins */
#define INITIAL_MAX  48 /* a longer default is not in the help */
#define SOURCE_SHOWN 200

/* --- the help ---------------------------------------------------------------------------- */

/* The words of `text` from COLUMN on, as many lines as it takes. */
static void print_wrapped(FILE *out, const char *left, const char *text)
{
    size_t column = (size_t)fprintf(out, "  %s", left);
    const size_t width = 98;
    bool is_first = true;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (is_first ? column + 1 > COLUMN : column + 1 + word > width) {
            fputc('\n', out);
            column = 0;
        }
        bool at_start = is_first || column == 0;
        int blanks = at_start ? (int)(COLUMN - column) : 1;
        column += (size_t)fprintf(out, "%*s%.*s", blanks, "", (int)word, text);
        text += word;
        text += strspn(text, " ");
        is_first = false;
    }
    fputc('\n', out);
}

static void put_initial(const fb_setting_t *setting, fb_buffer_t *text)
{
    if (setting->initial == NULL || strlen(setting->initial) > INITIAL_MAX ||
        (setting->kind == FB_SETTING_BOOL && setting->words[0] == NULL))
        return;
    fb_buffer_printf(text, " [%s]", setting->initial);
}

static void print_flag(FILE *out, const fb_setting_t *setting)
{
    char left[64], variable[FB_SETTING_VARIABLE_BYTES];
    fb_buffer_t right = {0};
    snprintf(left, sizeof(left), "%s%s%s", setting->flag, setting->argument ? " " : "",
             setting->argument ? setting->argument : "");
    fb_buffer_put_text(&right, setting->help);
    put_initial(setting, &right);
    fb_buffer_put_char(&right, '\0');
    print_wrapped(out, left, right.at);
    if (setting->key != NULL) {
        fb_setting_variable(setting, variable);
        fprintf(out, "%*s%s%s%s\n", COLUMN, "", variable, setting->is_not_in_file ? "" : ", ",
                setting->is_not_in_file ? "" : setting->key);
    }
    fb_buffer_dispose(&right);
}

static void print_key(FILE *out, const fb_setting_t *setting)
{
    char variable[FB_SETTING_VARIABLE_BYTES];
    fb_buffer_t right = {0};
    fb_buffer_put_text(&right, setting->help);
    put_initial(setting, &right);
    fb_buffer_put_char(&right, '\0');
    print_wrapped(out, setting->key, right.at);
    fb_setting_variable(setting, variable);
    fprintf(out, "%*s%s\n", COLUMN, "", variable);
    fb_buffer_dispose(&right);
}

/* Does it take a configuration file? */
static bool has_file(fb_options_for_t command)
{
    const fb_setting_t *setting;
    for (size_t i = 0; (setting = fb_options_setting(i)) != NULL; i++) {
        if (setting->is_not_in_file && fb_options_is_flag(setting, command))
            return true;
    }
    return false;
}

void fb_options_usage(FILE *out, fb_options_for_t command)
{
    const fb_setting_t *setting;
    bool with_file = has_file(command);
    fprintf(out, "Flags%s:\n",
            with_file ? ", each with its environment variable and its key in the configuration file"
                      : "");
    for (size_t i = 0; (setting = fb_options_setting(i)) != NULL; i++) {
        if (fb_options_is_flag(setting, command))
            print_flag(out, setting);
    }
    if (!with_file)
        return;
    fputs("\nSettings of the configuration file or the environment alone:\n", out);
    for (size_t i = 0; (setting = fb_options_setting(i)) != NULL; i++) {
        if (setting->flag == NULL)
            print_key(out, setting);
    }
    fputs(
        "\nFlags win over the environment, which wins over the file. A key \"limits.idle_timeout\" "
        "is\nidle_timeout in the mapping limits. Lists have commas in the environment.\n",
        out);
}

/* --- the settings as they are ------------------------------------------------------------ */

static void put_source(const fb_options_t *options, size_t number, fb_buffer_t *yaml)
{
    const fb_setting_t *setting = fb_options_setting(number);
    char variable[FB_SETTING_VARIABLE_BYTES];
    switch ((fb_options_from_t)options->from[number]) {
    case FB_FROM_DEFAULT:
        fb_buffer_put_literal(yaml, "default");
        break;
    case FB_FROM_FILE:
        fb_buffer_printf(yaml, "file %.*s", SOURCE_SHOWN, options->conf);
        break;
    case FB_FROM_ENVIRONMENT:
        fb_setting_variable(setting, variable);
        fb_buffer_printf(yaml, "environment %s", variable);
        break;
    case FB_FROM_FLAG:
        fb_buffer_printf(yaml, "flag %s", setting->flag);
        break;
    case FB_FROM_DATA_FLAG:
        fb_buffer_put_literal(yaml, "flag --data");
        break;
    }
}

void fb_options_print(FILE *out, const fb_options_t *options)
{
    const fb_setting_t *setting;
    const char *group = "";
    for (size_t i = 0; (setting = fb_options_setting(i)) != NULL; i++) {
        fb_buffer_t yaml = {0};
        if (setting->key == NULL || setting->is_not_in_file)
            continue;
        size_t len = fb_options_group_length(setting->key);
        if (len > 0 && strncmp(group, setting->key, len + 1) != 0) {
            fb_buffer_printf(&yaml, "%.*s:\n", (int)len, setting->key);
            group = setting->key;
        }
        fb_buffer_printf(&yaml, "%s%s: ", len > 0 ? "  " : "",
                         setting->key + (len > 0 ? len + 1 : 0));
        fb_setting_put_yaml(setting, options, &yaml);
        fb_buffer_put_literal(&yaml, "  # ");
        put_source(options, i, &yaml);
        fprintf(out, "%.*s\n", FB_PRINT(fb_buffer_slice(&yaml)));
        fb_buffer_dispose(&yaml);
    }
}
