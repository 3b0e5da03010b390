/* SPDX-License-Identifier: MIT */
#include "server/health.h"

bool fb_health_answer(fb_exchange_t *exchange, fb_slice_t path)
{
    fb_server_t *server = exchange->loop->server;
    fb_error_t error = {0};
    fb_buffer_t body = {0};
    bool live = fb_slice_is(path, "/livez"), ready = fb_slice_is(path, "/readyz");
    if (!live && !ready)
        return false;
    if (!fb_exchange_is_read(exchange)) {
        fb_fail(&error, FB_METHOD_NOT_ALLOWED, "%.*s takes GET, HEAD", FB_PRINT(path));
        fb_reply_problem(exchange, &error, "GET, HEAD");
        return true;
    }
    exchange->is_probe = true;
    if (ready && atomic_load_explicit(&server->leaving, memory_order_relaxed))
        fb_fail(&error, FB_UNAVAILABLE, "this instance is ending");
    else if (ready && exchange->loop->snapshot == NULL)
        fb_fail(&error, FB_UNAVAILABLE, "the fleet is being loaded");
    if (error.code != FB_OK) {
        fb_reply_problem(exchange, &error, NULL);
        return true;
    }
    fb_buffer_put_text(&body, live ? "live\n" : "ready\n");
    fb_reply_text(exchange, "text/plain; charset=utf-8", &body);
    return true;
}
