/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/options.h"

/* Exit codes of the program, documented in the README. */
typedef enum {
    FB_EXIT_OK = 0,
    FB_EXIT_FAILED = 1,      /* what was asked for did not succeed */
    FB_EXIT_USAGE = 2,       /* flags, variables or the configuration file are wrong */
    FB_EXIT_UNAVAILABLE = 3, /* Redis cannot be reached or does not start */
    FB_EXIT_IN_USE = 4,      /* the address or the directory is somebody else's */
} fb_exit_t;

/* The exit code of an error. */
fb_exit_t fb_exit_of(fb_code_t code);

/* Runs until SIGTERM or SIGINT. Announces on stdout, one line each, where it listens. */
fb_exit_t fb_serve(const fb_options_t *options);
/* Adds a synthetic fleet to the fleet that is there. */
fb_exit_t fb_seed(const fb_options_t *options);
