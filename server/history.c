/* SPDX-License-Identifier: MIT */
#include "server/history.h"

void fb_history_answer(fb_exchange_t *exchange, const fb_route_t *route, fb_slice_t query)
{
    fb_error_t error = {0};
    (void)route, (void)query;
    fb_fail(&error, FB_UNAVAILABLE, "not here yet");
    fb_reply_problem(exchange, &error, NULL);
}
