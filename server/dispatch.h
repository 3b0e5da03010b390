/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/loop.h"
#include "server/reply.h"

/* Where a request goes in: the memo first; then, for what it does not know, the route, the
 * arguments, and a view or the writer. Registered as the one handler of the public listeners. */
void fb_dispatch_register(fb_loop_t *loop, h2o_hostconf_t *host);

/* Health, metrics and what there is to see of the state, on the admin listener. */
void fb_admin_register(fb_loop_t *loop, h2o_hostconf_t *host);

/* Answers a request, or hands it to the writer, now that the loop shows what it asks for. */
void fb_dispatch_go_on(fb_exchange_t *exchange);

/* The answers of writes, as the writer's thread hands them back: the receiver of the loop. */
void fb_dispatch_on_answers(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
