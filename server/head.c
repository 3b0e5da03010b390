/* SPDX-License-Identifier: MIT */
#include "server/head.h"

#include <h2o.h>
#include <h2o/http2.h>

#include "server/compat/khash.h"

#include <h2o/http2_internal.h>

#include "base/assert.h"
#include "server/problem.h"

/* A text that grows in room that is known to be enough. */
typedef struct {
    char *at;
} pen_t;

static void put(pen_t *pen, const char *bytes, size_t len)
{
    memcpy(pen->at, bytes, len);
    pen->at += len;
}

static void put_text(pen_t *pen, const char *text)
{
    put(pen, text, strlen(text));
}

#define NUMBER_DIGITS_MAX 20

static fb_slice_t decimal(size_t number, char digits[NUMBER_DIGITS_MAX])
{
    char *at = digits + NUMBER_DIGITS_MAX;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (fb_slice_t){at, (size_t)(digits + NUMBER_DIGITS_MAX - at)};
}

/* --- HTTP/1 ------------------------------------------------------------------------------ */

static void put_line(pen_t *pen, const char *name, const char *value, size_t len)
{
    put_text(pen, name);
    put(pen, value, len);
    put_text(pen, "\r\n");
}

static void write_http1(pen_t *pen, fb_status_t status, bool has_body, const char *date,
                        fb_slice_t revision)
{
    char digits[NUMBER_DIGITS_MAX];
    fb_slice_t code = decimal((size_t)status.code, digits);
    put_text(pen, "HTTP/1.1 ");
    put(pen, code.at, code.len);
    put_text(pen, " ");
    put_text(pen, status.reason);
    put_text(pen, "\r\n");
    put_line(pen, "Date: ", date, FB_HEAD_DATE_BYTES);
    put_text(pen, "Connection: keep-alive\r\nServer: " FB_HEAD_SERVER "\r\n");
    put_line(pen, "fleetbit-revision: ", revision.at, revision.len);
    put_text(pen, "cache-control: no-cache\r\n");
    if (has_body)
        put_text(pen, "content-type: application/json\r\n");
    put_text(pen, "x-request-id: ");
}

/* --- HTTP/2 ------------------------------------------------------------------------------ */

/* The static table of RFC 7541, appendix A. */
enum {
    AT_STATUS = 8,
    AT_CACHE_CONTROL = 24,
    AT_CONTENT_LENGTH = 28,
    AT_CONTENT_TYPE = 31,
    AT_DATE = 33,
    AT_ETAG = 34,
    AT_SERVER = 54,
};

/* A literal field without indexing (6.2.2): its name as an integer with a prefix of 4 bits (5.1).
 */
static void put_name(pen_t *pen, unsigned static_index)
{
    if (static_index < 15) {
        *pen->at++ = (char)static_index;
        return;
    }
    *pen->at++ = 15;
    *pen->at++ = (char)(static_index - 15);
}

/* A string literal (5.2), Huffman coded where that is shorter. */
static void put_string(pen_t *pen, const char *bytes, size_t len)
{
    pen->at += h2o_hpack_encode_string((uint8_t *)pen->at, bytes, len);
}

/* A string literal as it is. */
static void put_raw(pen_t *pen, const char *bytes, size_t len)
{
    if (len < 127) {
        *pen->at++ = (char)len;
    } else {
        fb_assert(len < 127 + 128);
        *pen->at++ = 127;
        *pen->at++ = (char)(len - 127);
    }
    put(pen, bytes, len);
}

static void put_known(pen_t *pen, unsigned static_index, const char *value, size_t len)
{
    put_name(pen, static_index);
    put_string(pen, value, len);
}

static void put_other_name(pen_t *pen, const char *name)
{
    put_name(pen, 0);
    put_string(pen, name, strlen(name));
}

static void write_http2(pen_t *pen, fb_status_t status, bool has_body, const char *date,
                        fb_slice_t revision)
{
    char digits[NUMBER_DIGITS_MAX];
    fb_slice_t code = decimal((size_t)status.code, digits);
    put_name(pen, AT_STATUS);
    put_raw(pen, code.at, code.len);
    put_known(pen, AT_DATE, date, FB_HEAD_DATE_BYTES);
    put_known(pen, AT_SERVER, H2O_STRLIT(FB_HEAD_SERVER));
    put_other_name(pen, "fleetbit-revision");
    put_string(pen, revision.at, revision.len);
    put_known(pen, AT_CACHE_CONTROL, H2O_STRLIT("no-cache"));
    if (has_body)
        put_known(pen, AT_CONTENT_TYPE, H2O_STRLIT("application/json"));
    put_other_name(pen, "x-request-id");
}

/* --- both -------------------------------------------------------------------------------- */

static void write_common(fb_head_common_t common[FB_HEAD_PROTOCOLS], fb_success_t success,
                         const char *date, fb_slice_t revision)
{
    fb_status_t status = fb_status_of_success(success);
    bool has_body = success == FB_SUCCESS_OK;
    for (int protocol = 0; protocol < FB_HEAD_PROTOCOLS; protocol++) {
        pen_t pen = {common[protocol].bytes};
        if (protocol == FB_HEAD_HTTP1)
            write_http1(&pen, status, has_body, date, revision);
        else
            write_http2(&pen, status, has_body, date, revision);
        common[protocol].len = (uint16_t)(pen.at - common[protocol].bytes);
        fb_assert(common[protocol].len <= FB_HEAD_COMMON_BYTES_MAX);
    }
}

void fb_heads_write(fb_heads_t *heads, int64_t date_s, const char *date, uint64_t serial,
                    fb_slice_t revision)
{
    fb_assert(revision.len <= FB_HEAD_REVISION_MAX);
    heads->date_s = date_s;
    heads->serial = serial;
    write_common(heads->whole, FB_SUCCESS_OK, date, revision);
    write_common(heads->not_modified, FB_SUCCESS_NOT_MODIFIED, date, revision);
}

void fb_head_tails_write(fb_head_tail_t tails[FB_HEAD_PROTOCOLS], size_t body_bytes,
                         const char etag[FB_ETAG_BYTES])
{
    char digits[NUMBER_DIGITS_MAX];
    fb_slice_t length = decimal(body_bytes, digits);
    fb_head_tail_t *tail = &tails[FB_HEAD_HTTP1];
    pen_t pen = {tail->bytes};
    put_text(&pen, "\r\nContent-Length: ");
    put(&pen, length.at, length.len);
    tail->etag_at = (uint8_t)(pen.at - tail->bytes);
    put_text(&pen, "\r\netag: ");
    put(&pen, etag, FB_ETAG_BYTES);
    put_text(&pen, "\r\n\r\n");
    tail->len = (uint8_t)(pen.at - tail->bytes);

    tail = &tails[FB_HEAD_HTTP2];
    pen = (pen_t){tail->bytes};
    put_name(&pen, AT_CONTENT_LENGTH);
    put_raw(&pen, length.at, length.len);
    tail->etag_at = (uint8_t)(pen.at - tail->bytes);
    put_name(&pen, AT_ETAG);
    put_raw(&pen, etag, FB_ETAG_BYTES);
    tail->len = (uint8_t)(pen.at - tail->bytes);
}

size_t fb_head_write(char *head, const fb_heads_t *heads, fb_head_protocol_t protocol,
                     bool not_modified, fb_slice_t id,
                     const fb_head_tail_t tails[FB_HEAD_PROTOCOLS])
{
    const fb_head_common_t *common =
        not_modified ? &heads->not_modified[protocol] : &heads->whole[protocol];
    const fb_head_tail_t *tail = &tails[protocol];
    size_t tail_from = not_modified ? tail->etag_at : 0;
    pen_t pen = {head};
    put(&pen, common->bytes, common->len);
    if (protocol == FB_HEAD_HTTP1)
        put(&pen, id.at, id.len);
    else
        put_raw(&pen, id.at, id.len);
    put(&pen, tail->bytes + tail_from, tail->len - tail_from);
    return (size_t)(pen.at - head);
}
