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
    FB_EXIT_DIFFERENT = 5,   /* verify: not all hold the same */
    FB_EXIT_UNREACHABLE = 6, /* verify: an instance does not answer, and no difference was found;
                                order: there is no fleetbit at the URL */
} fb_exit_t;

/* The exit code of an error. */
fb_exit_t fb_exit_of(fb_code_t code);

/* A line on stderr. What a text from outside holds does not steer a terminal. */
void fb_print_error(const char *text);

/* Runs until SIGTERM or SIGINT. Announces on stdout, one line each, where it listens; on stderr
 * where the access log has stdout. */
fb_exit_t fb_serve(const fb_options_t *options);
/* Adds a synthetic fleet to the fleet that is there. */
fb_exit_t fb_seed(const fb_options_t *options);
/* Adds what is in a file to the fleet that is there. */
fb_exit_t fb_import(const fb_options_t *options);
/* Compares instances with each other, with Redis and with the log; prints what differs. */
fb_exit_t fb_verify(const fb_options_t *options);
/* Places orders, many at once, and prints how that went. */
fb_exit_t fb_order(const fb_options_t *options);
/* FB_EXIT_OK where a GET of the URL answers 200 within two seconds. */
fb_exit_t fb_health_probe(const char *url);
