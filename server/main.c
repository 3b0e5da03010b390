/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <curl/curl.h>
#include <h2o/version.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <xxhash.h>
#include <yaml.h>

#include "base/date.h"
#include "server/options.h"
#include "server/run.h"
#include "server/suggest.h"

typedef struct {
    const char *name;
    const char *arguments;
    const char *help;
    /* Either it takes flags and runs with what they say, or it prints something. */
    fb_options_for_t options;
    fb_exit_t (*run)(const fb_options_t *options);
    fb_exit_t (*print)(int argc, char **argv);
} command_t;

static fb_exit_t check_config(const fb_options_t *options);
static fb_exit_t ask_health(int argc, char **argv);
static fb_exit_t print_version(int argc, char **argv);
static fb_exit_t print_help(int argc, char **argv);

static const command_t commands[] = {
    {.name = "serve",
     .arguments = "[FLAG...]",
     .options = FB_OPTIONS_SERVE,
     .run = fb_serve,
     .help = "Serves a fleet until SIGTERM or SIGINT."},
    {.name = "seed",
     .arguments = "--machines N [FLAG...]",
     .options = FB_OPTIONS_SEED,
     .run = fb_seed,
     .help = "Adds a synthetic fleet to the one that is there."},
    {.name = "import",
     .arguments = "FILE [FLAG...]",
     .options = FB_OPTIONS_IMPORT,
     .run = fb_import,
     .help = "Adds what is in a file: {\"factories\": [...], \"sprockets\": [...]}."},
    {.name = "verify",
     .arguments = "[--instance URL...] [FLAG...]",
     .options = FB_OPTIONS_VERIFY,
     .run = fb_verify,
     .help = "Compares instances with each other and with Redis; prints what differs."},
    {.name = "order",
     .arguments = "[--url URL] [FLAG...]",
     .options = FB_OPTIONS_ORDER,
     .run = fb_order,
     .help = "Places orders, many at once; prints how long they took and what became of them."},
    {.name = "health",
     .arguments = "[URL]",
     .print = ask_health,
     .help = "Succeeds where URL (http://127.0.0.1:8080/readyz) answers 200 within 2 s."},
    {.name = "check-config",
     .arguments = "[FLAG...]",
     .options = FB_OPTIONS_CHECK,
     .run = check_config,
     .help = "Prints the settings as serve would read them, and their source."},
    {.name = "version",
     .arguments = "",
     .print = print_version,
     .help = "Prints the versions of fleetbit and of its libraries."},
    {.name = "help",
     .arguments = "[COMMAND]",
     .print = print_help,
     .help = "Prints this, or what a command takes."},
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

static void print_overview(FILE *out)
{
    fputs("usage: fleetbit COMMAND [FLAG...]\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-14s%s\n", commands[i].name, commands[i].help);
    fputs(
        "\n`fleetbit COMMAND --help` lists the flags of a command.\n\n"
        "Exit codes: 0 done; 1 failed; 2 flags, environment or configuration file are wrong;\n"
        "3 Redis cannot be reached or does not start; 4 the address or the directory is in use;\n"
        "5 verify has found a difference; 6 verify cannot reach an instance, or order a server.\n",
        out);
}

static void print_usage(FILE *out, const command_t *command)
{
    fprintf(out, "usage: fleetbit %s%s%s\n\n%s\n", command->name, *command->arguments ? " " : "",
            command->arguments, command->help);
    if (command->options != 0) {
        fputc('\n', out);
        fb_options_usage(out, command->options);
    }
}

static const command_t *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static fb_exit_t unknown_command(const char *name)
{
    char text[160];
    fb_suggest_t suggest = {.word = fb_slice(name)};
    for (size_t i = 0; i < COMMANDS; i++)
        fb_suggest_offer(&suggest, commands[i].name);
    snprintf(text, sizeof(text), "%.40s: there is no such command; %s%s%s", name,
             suggest.name ? "is it " : "`fleetbit help` lists them",
             suggest.name ? suggest.name : "", suggest.name ? "?" : "");
    fb_print_error(text);
    return FB_EXIT_USAGE;
}

static fb_exit_t check_config(const fb_options_t *options)
{
    fb_error_t error = {0};
    if (fb_zone_set(options->zone, &error) != FB_OK) {
        fb_print_error(error.detail);
        return FB_EXIT_USAGE;
    }
    fb_options_print(stdout, options);
    return FB_EXIT_OK;
}

static fb_exit_t no_arguments(int argc, char **argv)
{
    char text[120];
    if (argc == 0)
        return FB_EXIT_OK;
    snprintf(text, sizeof(text), "unexpected argument \"%.60s\"", argv[0]);
    fb_print_error(text);
    return FB_EXIT_USAGE;
}

static fb_exit_t ask_health(int argc, char **argv)
{
    const char *url = argc > 0 ? argv[0] : "http://127.0.0.1:8080/readyz";
    if (argc > 1 && no_arguments(argc - 1, argv + 1) != FB_EXIT_OK)
        return FB_EXIT_USAGE;
    return fb_health_probe(url);
}

static fb_exit_t print_version(int argc, char **argv)
{
    if (no_arguments(argc, argv) != FB_EXIT_OK)
        return FB_EXIT_USAGE;
    unsigned xxhash = XXH_versionNumber();
    printf("fleetbit %s\nlibh2o %s\njansson %s\nlibyaml %s\nxxhash %u.%u.%u\n%s\n", FB_VERSION,
           H2O_VERSION, jansson_version_str(), yaml_get_version_string(), xxhash / 10000,
           xxhash / 100 % 100, xxhash % 100, OpenSSL_version(OPENSSL_VERSION));
    printf("libcurl %s\n", curl_version_info(CURLVERSION_NOW)->version);
    /* Builds with a sanitizer are without jemalloc. */
    const char *jemalloc = NULL;
    size_t size = sizeof(jemalloc);
    int (*control)(const char *, void *, size_t *, void *, size_t);
    *(void **)&control = dlsym(RTLD_DEFAULT, "mallctl");
    if (control != NULL && control("version", &jemalloc, &size, NULL, 0) == 0)
        printf("jemalloc %s\n", jemalloc);
    return FB_EXIT_OK;
}

static fb_exit_t print_help(int argc, char **argv)
{
    if (argc == 0) {
        print_overview(stdout);
        return FB_EXIT_OK;
    }
    const command_t *command = find_command(argv[0]);
    if (command == NULL)
        return unknown_command(argv[0]);
    if (no_arguments(argc - 1, argv + 1) != FB_EXIT_OK)
        return FB_EXIT_USAGE;
    print_usage(stdout, command);
    return FB_EXIT_OK;
}

static fb_exit_t run_with_options(const command_t *command, int argc, char **argv)
{
    fb_options_t options;
    fb_error_t error = {0};
    if (fb_options_read(&options, command->options, argc, argv, &error) != FB_OK) {
        fb_print_error(error.detail);
        fprintf(stderr, "`fleetbit %s --help` lists what there is.\n", command->name);
        return FB_EXIT_USAGE;
    }
    fb_exit_t exit_code = command->run(&options);
    fb_options_dispose(&options);
    return exit_code;
}

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

static fb_exit_t run(int argc, char **argv)
{
    if (argc == 0) {
        print_overview(stderr);
        return FB_EXIT_USAGE;
    }
    if (is_help(argv[0]))
        return print_help(0, NULL);
    if (strcmp(argv[0], "--version") == 0)
        return print_version(0, NULL);
    const command_t *command = find_command(argv[0]);
    if (command == NULL)
        return unknown_command(argv[0]);
    for (int i = 1; i < argc; i++) {
        if (is_help(argv[i])) {
            print_usage(stdout, command);
            return FB_EXIT_OK;
        }
    }
    if (command->options == 0)
        return command->print(argc - 1, argv + 1);
    return run_with_options(command, argc - 1, argv + 1);
}

/* What is closed would be the number of the next socket, which then gets what is written there. One
 * that cannot be written to takes its place, so that who writes is told. */
static void fill_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            exit(FB_EXIT_FAILED);
    }
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    fb_exit_t exit_code = run(argc - 1, argv + 1);
    /* What did not reach a full disk or a closed pipe was not printed. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code == FB_EXIT_OK) {
        fb_print_error("stdout could not be written");
        exit_code = FB_EXIT_FAILED;
    }
    return (int)exit_code;
}
