/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "server/run.h"

void fb_print_error(const char *text)
{
    fputs("fleetbit: ", stderr);
    for (; *text != '\0'; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, stderr);
    fputc('\n', stderr);
}

fb_exit_t fb_exit_of(fb_code_t code)
{
    switch (code) {
    case FB_OK:
        return FB_EXIT_OK;
    case FB_CONFIG:
        return FB_EXIT_USAGE;
    case FB_UNAVAILABLE:
        return FB_EXIT_UNAVAILABLE;
    case FB_IN_USE:
        return FB_EXIT_IN_USE;
    default:
        return FB_EXIT_FAILED;
    }
}
