/* SPDX-License-Identifier: MIT */
/* A hundred thousand lines a second are formatted beside the loop that they speak of. So what can
 * be is prepared: the text of the second, and what stands around method and route; and copies have
 * sizes that the compiler knows, beyond the end of what is copied. */
#include "server/access_line.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/date.h"
#include "base/memory.h"

#define SECOND_NS UINT64_C(1000000000)

/* A text that is copied whole, with what is behind it. */
#define PIECE_BYTES 128
typedef struct {
    unsigned len;
    char text[PIECE_BYTES];
} piece_t;

#define SECOND_BYTES 29 /* {"time":"2026-11-21T12:00:00. */

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
static const struct {
    unsigned version;
    const char *name;
} protocols[] = {{0x101, "HTTP/1.1"}, {0x200, "HTTP/2"}, {0x100, "HTTP/1.0"}};

#define METHODS   (sizeof(methods) / sizeof(*methods))
#define PROTOCOLS (sizeof(protocols) / sizeof(*protocols))
#define ROUTES    256

struct fb_access_line {
    int64_t offset_ns;
    uint64_t second_ns; /* wall clock: the begin of the second whose text this is */
    char second[32];
    uint64_t method_words[METHODS];
    uint64_t method; /* of the last request that was found, its method, version, and piece */
    unsigned version;
    const piece_t *request;
    piece_t requests[PROTOCOLS][METHODS]; /* from client to target */
    piece_t routes[ROUTES];               /* from target to status */
};

/* --- putting ----------------------------------------------------------------------------- */

#define PUT(to, literal)                                                                           \
    ((char *)memcpy((to), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

static inline char *put_piece(char *to, const piece_t *piece)
{
    memcpy(to, piece->text, 64);
    if (piece->len > 64)
        memcpy(to + 64, piece->text + 64, PIECE_BYTES - 64);
    return to + piece->len;
}

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

static inline char *put_pair(char *to, uint32_t number)
{
    memcpy(to, pairs + 2 * (size_t)number, 2);
    return to + 2;
}

static char *put_large(char *to, uint64_t number);

static inline char *put_number(char *to, uint64_t number)
{
    uint32_t small = (uint32_t)number;
    if (number >= 10000)
        return put_large(to, number);
    if (small < 10) {
        *to = (char)('0' + small);
        return to + 1;
    }
    if (small < 100)
        return put_pair(to, small);
    if (small >= 1000)
        return put_pair(put_pair(to, small / 100), small % 100);
    *to = (char)('0' + small / 100);
    return put_pair(to + 1, small % 100);
}

static char *put_large(char *to, uint64_t number)
{
    uint32_t last = (uint32_t)(number % 10000);
    to = put_number(to, number / 10000);
    return put_pair(put_pair(to, last / 100), last % 100);
}

/* --- texts from outside ------------------------------------------------------------------ */

typedef signed char bytes_t __attribute__((vector_size(16)));

/* Which bytes are a control character, a quote, a backslash, or no ASCII (below zero, then)? */
static inline bytes_t find_odd(bytes_t bytes)
{
    return (bytes < ' ') | (bytes == '"') | (bytes == '\\') | (bytes == 0x7F);
}

static char *put_escaped(char *to, const char *text, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '"' || byte == '\\') {
            *to++ = '\\';
            *to++ = (char)byte;
        } else if (byte >= ' ' && byte <= '~') {
            *to++ = (char)byte;
        } else {
            to = PUT(to, "\\u00");
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    }
    return to;
}

/* Reads the text with its padding, and writes as much. */
static inline char *put_text(char *to, const char *text, size_t len)
{
    bytes_t bytes, odd = {0};
    uint64_t halves[2];
    for (size_t i = 0; i < len; i += 16) {
        memcpy(&bytes, text + i, 16);
        memcpy(to + i, &bytes, 16);
        odd |= find_odd(bytes);
    }
    memcpy(halves, &odd, 16);
    return (halves[0] | halves[1]) == 0 ? to + len : put_escaped(to, text, len);
}

/* At the end of its record. */
static char *put_traceparent(char *to, const fb_access_record_t *record)
{
    const char *text = (const char *)record + record->size - FB_ACCESS_TRACE_ROOM;
    to = PUT(to, ",\"traceparent\":\"");
    memcpy(to, text, FB_TRACEPARENT_BYTES);
    to[FB_TRACEPARENT_BYTES] = '"';
    return to + FB_TRACEPARENT_BYTES + 1;
}

/* --- the parts of a line ----------------------------------------------------------------- */

static void turn_second(fb_access_line_t *line, int64_t wall_ns)
{
    char instant[FB_INSTANT_TEXT_BYTES];
    uint64_t now_ns = wall_ns > 0 ? (uint64_t)wall_ns : 0;
    line->second_ns = now_ns - now_ns % SECOND_NS;
    fb_instant_format((fb_instant_t)(line->second_ns / 1000000), instant);
    char *to = PUT(line->second, "{\"time\":\"");
    memcpy(to, instant, FB_INSTANT_TEXT_BYTES - 4);
}

static inline char *put_time(fb_access_line_t *line, uint64_t monotonic_ns, char *to)
{
    int64_t wall_ns = (int64_t)monotonic_ns + line->offset_ns;
    if ((uint64_t)wall_ns - line->second_ns >= SECOND_NS)
        turn_second(line, wall_ns);
    uint32_t us = (uint32_t)((uint64_t)wall_ns - line->second_ns) / 1000;
    memcpy(to, line->second, sizeof(line->second));
    to = put_pair(to + SECOND_BYTES, us / 10000);
    return put_pair(put_pair(to, us / 100 % 100), us % 100);
}

/* Without the quote at its end. */
static inline char *put_client(char *to, const char *client, size_t len)
{
    if (len == 0)
        return PUT(to, "\",\"client\":null");
    to = PUT(to, "\",\"client\":\"");
    memcpy(to, client, 32);
    if (len > 32)
        memcpy(to + 32, client + 32, 16);
    to[len] = '"';
    return to + len + 1;
}

/* The piece between client and target; NULL for a request that is not as nearly all are. */
static const piece_t *find_request(fb_access_line_t *line, const fb_access_record_t *record)
{
    for (unsigned p = 0; p < PROTOCOLS; p++) {
        for (unsigned m = 0; m < METHODS; m++) {
            if (protocols[p].version != record->version || line->method_words[m] != record->method)
                continue;
            line->version = record->version;
            line->method = record->method;
            line->request = &line->requests[p][m];
            return line->request;
        }
    }
    return NULL;
}

static char *put_method(char *to, const fb_access_record_t *record, const char *text)
{
    size_t len = record->method_len;
    bool is_cut = len > FB_ACCESS_METHOD_BYTES_MAX;
    if (len == 0)
        return PUT(to, "null");
    *to++ = '"';
    to = put_escaped(to, len > 8 ? text : (const char *)&record->method, len - is_cut);
    return stpcpy(to, is_cut ? "\\u2026\"" : "\"");
}

static char *put_odd_request(char *to, const fb_access_record_t *record, const char *target)
{
    size_t target_len = record->target_bytes;
    bool is_cut = target_len > FB_ACCESS_TARGET_BYTES_MAX;
    size_t shown_len = is_cut ? FB_ACCESS_TARGET_BYTES_MAX : target_len;
    to = PUT(to, ",\"protocol\":");
    const char *name = "null";
    for (unsigned i = 0; i < PROTOCOLS; i++) {
        if (protocols[i].version == record->version)
            name = protocols[i].name;
    }
    bool is_known = *name == 'H';
    to = stpcpy(stpcpy(stpcpy(to, is_known ? "\"" : ""), name), is_known ? "\"" : "");
    to = put_method(PUT(to, ",\"method\":"), record, target + fb_access_padded(shown_len));
    if (target_len == 0)
        return PUT(to, ",\"target\":null");
    to = put_escaped(PUT(to, ",\"target\":\""), target, shown_len);
    *to++ = '"';
    return is_cut ? put_number(PUT(to, ",\"target_bytes\":"), target_len) : to;
}

char *fb_access_line_put(fb_access_line_t *line, const fb_access_record_t *record, char *to)
{
    const char *client = record->texts;
    const char *id = client + fb_access_client_room(record->client_len);
    const char *target = id + fb_access_padded(record->id_len);
    to = PUT(put_time(line, record->ended_ns, to), "Z\",\"request_id\":\"");
    to = put_text(to, id, record->id_len);
    to = put_client(to, client, record->client_len);
    const piece_t *request = line->request;
    if (record->method != line->method || record->version != line->version)
        request = find_request(line, record);
    if (request != NULL && record->target_bytes - 1 < FB_ACCESS_TARGET_BYTES_MAX) {
        to = put_text(put_piece(to, request), target, record->target_bytes);
        *to++ = '"';
    } else {
        to = put_odd_request(to, record, target);
    }
    to = put_piece(to, &line->routes[record->route]);
    to = put_number(to, record->status);
    to = put_number(PUT(to, ",\"body_bytes\":"), record->body_bytes);
    to = put_number(PUT(to, ",\"duration_us\":"), record->duration_ns / 1000);
    if (record->has_traceparent)
        to = put_traceparent(to, record);
    return PUT(to, "}\n");
}

char *fb_access_line_put_dropped(fb_access_line_t *line, uint64_t now_ns, uint64_t dropped,
                                 char *to)
{
    to = PUT(put_time(line, now_ns, to), "Z\",\"dropped\":");
    return PUT(put_number(to, dropped), "}\n");
}

void fb_access_line_set_offset(fb_access_line_t *line, int64_t offset_ns)
{
    line->offset_ns = offset_ns;
}

/* --- making ------------------------------------------------------------------------------ */

static piece_t piece_of(const char *format, const char *first, const char *second)
    __attribute__((format(printf, 1, 0)));
static piece_t piece_of(const char *format, const char *first, const char *second)
{
    piece_t piece = {0};
    int len = snprintf(piece.text, sizeof(piece.text), format, first, second);
    fb_assert(len > 0 && (size_t)len < sizeof(piece.text));
    piece.len = (unsigned)len;
    return piece;
}

fb_access_line_t *fb_access_line_create(const char *const *routes)
{
    fb_access_line_t *line = fb_alloc_zero(1, sizeof(*line));
    unsigned known = 1;
    for (unsigned m = 0; m < METHODS; m++) {
        memcpy(&line->method_words[m], methods[m], strlen(methods[m]));
        for (unsigned p = 0; p < PROTOCOLS; p++)
            line->requests[p][m] = piece_of(",\"protocol\":\"%s\",\"method\":\"%s\",\"target\":\"",
                                            protocols[p].name, methods[m]);
    }
    for (; routes[known - 1] != NULL; known++) {
        fb_assert(known < ROUTES);
        line->routes[known] = piece_of(",\"route\":\"%s\",\"status\":%s", routes[known - 1], "");
    }
    line->routes[0] = piece_of(",\"route\":null,\"status\":%s%s", "", "");
    for (; known < ROUTES; known++)
        line->routes[known] = line->routes[0];
    turn_second(line, 0);
    return line;
}

void fb_access_line_destroy(fb_access_line_t **line)
{
    free(*line);
    *line = NULL;
}
