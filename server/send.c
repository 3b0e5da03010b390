/* SPDX-License-Identifier: MIT */
/* Three shortcuts through libh2o 2.2.5, which server/library.h makes sure it is.
 *
 * The head of an HTTP/1 answer:
 *   The library's last stage of a response writes the head with sprintf (two fifths of all that a
 *   request costs outside of the kernel), unless it has been sent already. We say that it has, and
 *   send it as the first part of the body.
 * h2o_hpack_flatten_response:
 *   Encodes each field by a search of the connection's dynamic table, into which each new request
 *   id goes, and a field of another answer out. Here a block that is ready goes out as it is.
 *   And it never heeds SETTINGS_HEADER_TABLE_SIZE, so that a client with a table of less than 4,096
 *   bytes can read no answer. Here the table gets the size that the client wants, and the block
 *   begins with saying so (RFC 7541, section 4.2).
 * h2o_socket_write:
 *   Calls writev, which goes through the file layer. sendmsg does the same in 5 % less time of a
 *   whole request. What the socket does not take the library's own goes on with. */
#include "server/send.h"

#include <sys/socket.h>

#include <h2o/http2.h>

#include "server/compat/khash.h"

#include <h2o/http2_internal.h>

#include "base/assert.h"
#include "server/library.h"

#define PARTS_MAX 16 /* of one sendmsg: answers have two */

static struct {
    __typeof__(&h2o_hpack_flatten_response) flatten_response;
    __typeof__(&h2o_socket_write) write;
} library;

/* The beginning of the library's st_h2o_http1_finalostream_t. */
typedef struct {
    h2o_ostream_t super;
    int sent_headers;
} http1_final_t;

/* The name of the one header field of a response whose block is ready: the value is the block. */
static h2o_iovec_t ready_block = {H2O_STRLIT("")};

void fb_send_ready(h2o_req_t *req, int status, h2o_iovec_t head, h2o_iovec_t body)
{
    static h2o_generator_t generator = {NULL, NULL};
    h2o_iovec_t parts[] = {head, body};
    size_t count = body.len > 0 ? 2 : 1;
    req->res.status = status;
    req->res.content_length =
        body.len; /* not that it were sent: it keeps the chunked coding away */
    if (req->version >= 0x200) {
        h2o_vector_reserve(&req->pool, &req->res.headers, 1);
        req->res.headers.entries[0] = (h2o_header_t){&ready_block, NULL, head};
        req->res.headers.size = 1;
        h2o_start_response(req, &generator);
        h2o_send(req, parts + 1, count - 1, H2O_SEND_STATE_FINAL);
        return;
    }
    h2o_start_response(req, &generator);
    fb_assert(req->_ostr_top->next == NULL); /* there is no filter: this is the last stage */
    H2O_STRUCT_FROM_MEMBER(http1_final_t, super, req->_ostr_top)->sent_headers = 1;
    h2o_send(req, parts, count, H2O_SEND_STATE_FINAL);
}

static void put_ready(h2o_buffer_t **buf, uint32_t stream_id, size_t max_frame_size,
                      h2o_iovec_t block)
{
    size_t frame_bytes = H2O_HTTP2_FRAME_HEADER_SIZE + block.len;
    uint8_t *frame = (uint8_t *)h2o_buffer_reserve(buf, frame_bytes).base;
    fb_assert(block.len <= max_frame_size); /* which is never below 16,384: RFC 9113, 6.5.2 */
    h2o_http2_encode_frame_header(frame, block.len, H2O_HTTP2_FRAME_TYPE_HEADERS,
                                  H2O_HTTP2_FRAME_FLAG_END_HEADERS, (int32_t)stream_id);
    memcpy(frame + H2O_HTTP2_FRAME_HEADER_SIZE, block.base, block.len);
    (*buf)->size += frame_bytes;
}

#define SIZE_UPDATE_BYTES_MAX 4

/* Makes the table as small as the client wants it, empty. Writes the dynamic table size update
 * (RFC 7541, section 6.3: an integer with a prefix of 5 bits); 0 where nothing has changed. */
static size_t follow_table_size(h2o_hpack_header_table_t *table,
                                uint8_t update[SIZE_UPDATE_BYTES_MAX])
{
    const h2o_http2_conn_t *conn =
        H2O_STRUCT_FROM_MEMBER(h2o_http2_conn_t, _output_header_table, table);
    size_t wanted = conn->peer_settings.header_table_size, len = 0;
    if (wanted >= table->hpack_capacity)
        return 0;
    h2o_hpack_dispose_header_table(table);
    *table = (h2o_hpack_header_table_t){.hpack_capacity = wanted};
    if (wanted < 31) {
        update[len++] = (uint8_t)(0x20 | wanted);
        return len;
    }
    update[len++] = 0x20 | 31;
    for (wanted -= 31; wanted >= 128; wanted >>= 7)
        update[len++] = (uint8_t)(128 | (wanted & 127));
    update[len++] = (uint8_t)wanted;
    return len;
}

/* Puts bytes before the block of the frame at `start`. */
static void begin_block_with(h2o_buffer_t **buf, size_t start, size_t max_frame_size,
                             const uint8_t *bytes, size_t len)
{
    h2o_buffer_reserve(buf, len);
    uint8_t *frame = (uint8_t *)(*buf)->bytes + start;
    uint8_t *block = frame + H2O_HTTP2_FRAME_HEADER_SIZE;
    size_t block_len = (*buf)->size - start - H2O_HTTP2_FRAME_HEADER_SIZE, all = block_len + len;
    fb_assert(all <= max_frame_size); /* heads of ours are never half as long */
    memmove(block + len, block, block_len);
    memcpy(block, bytes, len);
    frame[0] = (uint8_t)(all >> 16);
    frame[1] = (uint8_t)(all >> 8);
    frame[2] = (uint8_t)all;
    (*buf)->size += len;
}

void h2o_hpack_flatten_response(h2o_buffer_t **buf, h2o_hpack_header_table_t *header_table,
                                uint32_t stream_id, size_t max_frame_size, h2o_res_t *res,
                                h2o_timestamp_t *ts, const h2o_iovec_t *server_name,
                                size_t content_length)
{
    uint8_t update[SIZE_UPDATE_BYTES_MAX];
    size_t update_len = follow_table_size(header_table, update), start = (*buf)->size;
    if (res->headers.size == 1 && res->headers.entries[0].name == &ready_block)
        put_ready(buf, stream_id, max_frame_size, res->headers.entries[0].value);
    else
        library.flatten_response(buf, header_table, stream_id, max_frame_size, res, ts, server_name,
                                 content_length);
    if (update_len > 0)
        begin_block_with(buf, start, max_frame_size, update, update_len);
}

/* Leaves out the first `sent` bytes of the parts; returns how many parts are left. */
static size_t skip(h2o_iovec_t *parts, size_t count, size_t sent)
{
    size_t gone = 0;
    while (gone < count && parts[gone].len <= sent)
        sent -= parts[gone++].len;
    memmove(parts, parts + gone, (count - gone) * sizeof(*parts));
    if (gone < count) {
        parts[0].base += sent;
        parts[0].len -= sent;
    }
    return count - gone;
}

void h2o_socket_write(h2o_socket_t *sock, h2o_iovec_t *bufs, size_t bufcnt, h2o_socket_cb cb)
{
    h2o_iovec_t parts[PARTS_MAX];
    if (sock->ssl != NULL || bufcnt > PARTS_MAX) {
        library.write(sock, bufs, bufcnt, cb);
        return;
    }
    memcpy(parts, bufs, bufcnt * sizeof(*parts)); /* the caller's may be constants */
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = bufcnt};
    ssize_t sent = sendmsg(h2o_socket_get_fd(sock), &message, MSG_NOSIGNAL);
    /* An error is what the library's own finds out again. */
    if (sent > 0) {
        sock->bytes_written += (size_t)sent;
        bufcnt = skip(parts, bufcnt, (size_t)sent);
    }
    library.write(sock, parts, bufcnt, cb);
}

__attribute__((constructor)) static void replace(void)
{
    *(void **)&library.flatten_response =
        fb_library_replace("h2o_hpack_flatten_response", (const void *)h2o_hpack_flatten_response);
    *(void **)&library.write =
        fb_library_replace("h2o_socket_write", (const void *)h2o_socket_write);
}
