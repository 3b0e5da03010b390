/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "server/http_get.h"
#include "server/run.h"

#define PROBE_MS 2000 /* from the start of the connection to the last byte */

fb_exit_t fb_health_probe(const char *url)
{
    fb_error_t error = {0};
    fb_buffer_t body = {0};
    fb_buffer_t message = {0};
    fb_code_t code = fb_http_check_url(url, &error);
    if (code == FB_OK) {
        fb_http_t *http = fb_http_create(PROBE_MS, PROBE_MS);
        code = fb_http_get(http, url, &body, &error);
        fb_http_destroy(&http);
    }
    if (code != FB_OK) {
        fb_buffer_printf(&message, "%.200s: %s", url, error.detail);
        fb_buffer_put_char(&message, '\0');
        fb_print_error(code == FB_CONFIG ? error.detail : message.at);
    }
    fb_buffer_dispose(&message);
    fb_buffer_dispose(&body);
    return code == FB_OK ? FB_EXIT_OK : code == FB_CONFIG ? FB_EXIT_USAGE : FB_EXIT_FAILED;
}
