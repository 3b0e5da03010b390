/* SPDX-License-Identifier: MIT */
#include "server/options_internal.h"
#include "server/suggest.h"

const fb_setting_t *fb_options_flag(fb_slice_t flag)
{
    const fb_setting_t *setting;
    for (size_t i = 0; (setting = fb_options_setting(i)) != NULL; i++) {
        if (setting->flag != NULL && fb_slice_is(flag, setting->flag))
            return setting;
    }
    return NULL;
}

const char *fb_options_given_text(const fb_options_given_t *given, const char *flag)
{
    for (unsigned i = 0; i < given->count; i++) {
        if (strcmp(given->flags[i].setting->flag, flag) == 0)
            return given->flags[i].text;
    }
    return NULL;
}

/* What is no flag may be a URL that lost its flag, and hold a password: it is not shown whole. */
static fb_code_t unknown_flag(fb_slice_t name, fb_options_for_t command, fb_error_t *error)
{
    const char *url = memmem(name.at, name.len, "://", 3);
    fb_suggest_t suggest = {.word = name};
    int shown = name.len > 60 ? 60 : (int)name.len;
    if (url != NULL)
        return fb_fail(error, FB_CONFIG, "unexpected argument %.*s...; is it the value of --redis?",
                       (int)(url - name.at) + 3, name.at);
    if (name.len < 2 || name.at[0] != '-')
        return fb_fail(error, FB_CONFIG, "unexpected argument \"%.*s\"", shown, name.at);
    const fb_setting_t *other = fb_options_flag(name);
    if (other != NULL)
        return fb_fail(error, FB_CONFIG, "%s: not a flag of this subcommand, but of %s",
                       other->flag,
                       other->commands & FB_OPTIONS_SERVE    ? "serve"
                       : other->commands & FB_OPTIONS_SEED   ? "seed"
                       : other->commands & FB_OPTIONS_VERIFY ? "verify"
                       : other->commands & FB_OPTIONS_IMPORT ? "import"
                                                             : "order");
    for (size_t i = 0; (other = fb_options_setting(i)) != NULL; i++) {
        if (fb_options_is_flag(other, command))
            fb_suggest_offer(&suggest, other->flag);
    }
    if (suggest.name == NULL)
        return fb_fail(error, FB_CONFIG, "%.*s: there is no such flag", shown, name.at);
    return fb_fail(error, FB_CONFIG, "%.*s: there is no such flag; is it %s?", shown, name.at,
                   suggest.name);
}

/* Takes one flag off the front of `argv`; `*taken` is 2 where its value was an argument too. */
static fb_code_t take_flag(fb_options_for_t command, int argc, char **argv,
                           fb_options_given_flag_t *given, int *taken, fb_error_t *error)
{
    if (command == FB_OPTIONS_IMPORT && (argv[0][0] != '-' || argv[0][1] == '\0')) {
        *given = (fb_options_given_flag_t){fb_options_flag(FB_SLICE("--file")), argv[0]};
        *taken = 1;
        return FB_OK;
    }
    fb_slice_t name = {argv[0], strcspn(argv[0], "=")};
    const fb_setting_t *setting = fb_options_flag(name);
    if (setting == NULL || !fb_options_is_flag(setting, command))
        return unknown_flag(name, command, error);
    *given = (fb_options_given_flag_t){setting, argv[0] + name.len + 1};
    *taken = 1;
    if (argv[0][name.len] == '=')
        return FB_OK;
    given->text = "true";
    if (setting->kind == FB_SETTING_BOOL)
        return FB_OK;
    if (argc < 2 || strncmp(argv[1], "--", 2) == 0)
        return fb_fail(error, FB_CONFIG, "%s: its value (%s) is missing", setting->flag,
                       setting->argument);
    given->text = argv[1];
    *taken = 2;
    return FB_OK;
}

fb_code_t fb_options_take_flags(fb_options_for_t command, int argc, char **argv,
                                fb_options_given_t *given, fb_error_t *error)
{
    int taken = 0;
    for (int i = 0; i < argc; i += taken) {
        fb_options_given_flag_t flag;
        fb_code_t code = take_flag(command, argc - i, argv + i, &flag, &taken, error);
        if (code != FB_OK)
            return code;
        if (flag.setting->kind != FB_SETTING_LIST &&
            fb_options_given_text(given, flag.setting->flag))
            return fb_fail(error, FB_CONFIG, "%s: it is there twice", flag.setting->flag);
        if (given->count == FB_OPTIONS_GIVEN_MAX)
            return fb_fail(error, FB_CONFIG, "there are more than %d flags", FB_OPTIONS_GIVEN_MAX);
        given->flags[given->count++] = flag;
    }
    if (fb_options_given_text(given, "--redis") && fb_options_given_text(given, "--data"))
        return fb_fail(error, FB_CONFIG,
                       "--redis and --data exclude each other: --data is where "
                       "fleetbit keeps a Redis of its own");
    return FB_OK;
}
