/* SPDX-License-Identifier: MIT */
#include "server/run.h"

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
