/* SPDX-License-Identifier: MIT */
#include "resources/archive.h"

#include <stdlib.h>

void fb_archive_ask_dispose(fb_archive_ask_t *ask)
{
    fb_args_dispose(&ask->args);
    free(ask->ids);
    fb_buffer_dispose(&ask->kept);
    fb_buffer_dispose(&ask->body);
    *ask = (fb_archive_ask_t){0};
}
