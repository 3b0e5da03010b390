/* SPDX-License-Identifier: MIT */
#pragma once

#include <h2o.h>

/* How answers leave: the last steps of libh2o, where ours are shorter. */

/* Answers with a head that is ready: of HTTP/1 all bytes up to the blank line, of HTTP/2 a header
 * block. It stays where it is until the request is disposed of, as the body does; of a HEAD
 * request and of an answer without a body, `body` is empty. An HTTP/1 connection is kept open:
 * that it is must stand in the head. The request may be gone when this returns. */
void fb_send_ready(h2o_req_t *req, int status, h2o_iovec_t head, h2o_iovec_t body);
