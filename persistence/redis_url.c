/* SPDX-License-Identifier: MIT */
#include "persistence/redis_url.h"

#include <stdio.h>

#include "base/buffer.h"

#define PORT_DEFAULT 6379

static bool starts_with(fb_slice_t text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.at, prefix, len) == 0;
}

static fb_slice_t skip(fb_slice_t text, size_t count)
{
    return (fb_slice_t){text.at + count, text.len - count};
}

/* Splits at the first byte of `stops`: what is before it, and from it on (empty if none is there).
 */
static fb_slice_t split(fb_slice_t text, const char *stops, fb_slice_t *rest)
{
    size_t len = 0;
    while (len < text.len && strchr(stops, text.at[len]) == NULL)
        len++;
    *rest = skip(text, len);
    return (fb_slice_t){text.at, len};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX; `what` names the part in the error. */
static fb_code_t decode(fb_slice_t text, char *decoded, size_t size, const char *what,
                        fb_error_t *error)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int c = (unsigned char)text.at[i];
        if (c == '%') {
            int high = text.len - i > 2 ? hex_value(text.at[i + 1]) : -1;
            int low = text.len - i > 2 ? hex_value(text.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return fb_fail(error, FB_CONFIG, "Redis URL: a \"%%\" in the %s is not encoded",
                               what);
            c = high * 16 + low;
            i += 2;
        }
        if (c == 0)
            return fb_fail(error, FB_CONFIG, "Redis URL: the %s holds a NUL", what);
        if (len + 1 >= size)
            return fb_fail(error, FB_CONFIG, "Redis URL: the %s is longer than %zu bytes", what,
                           size - 1);
        decoded[len++] = (char)c;
    }
    decoded[len] = '\0';
    return FB_OK;
}

static fb_code_t parse_db(fb_slice_t text, fb_redis_url_t *url, fb_error_t *error)
{
    uint64_t db;
    if (!fb_slice_to_u64(text, INT32_MAX, &db))
        return fb_fail(error, FB_CONFIG, "Redis URL: the database is not a number");
    url->db = (uint32_t)db;
    return FB_OK;
}

static fb_code_t parse_userinfo(fb_slice_t text, fb_redis_url_t *url, fb_error_t *error)
{
    fb_slice_t password;
    fb_slice_t user = split(text, ":", &password);
    if (password.len < 2)
        return fb_fail(error, FB_CONFIG, "Redis URL: there is a user, but no password");
    fb_code_t code = decode(user, url->user, sizeof(url->user), "user", error);
    if (code != FB_OK)
        return code;
    return decode(skip(password, 1), url->password, sizeof(url->password), "password", error);
}

static fb_code_t parse_host(fb_slice_t text, fb_redis_url_t *url, fb_error_t *error)
{
    fb_slice_t host, port;
    uint64_t number = PORT_DEFAULT;
    if (text.len > 0 && text.at[0] == '[') {
        host = split(skip(text, 1), "]", &port);
        if (port.len == 0)
            return fb_fail(error, FB_CONFIG, "Redis URL: a \"]\" is missing");
        port = skip(port, 1);
    } else {
        host = split(text, ":", &port);
    }
    if (host.len == 0 || memchr(host.at, '%', host.len) != NULL)
        return fb_fail(error, FB_CONFIG, "Redis URL: there is no host");
    if (port.len > 0 &&
        (port.at[0] != ':' || !fb_slice_to_u64(skip(port, 1), UINT16_MAX, &number) || number == 0))
        return fb_fail(
            error, FB_CONFIG,
            "Redis URL: the port is not a number from 1 to %d (an IPv6 address stands in "
            "brackets)",
            UINT16_MAX);
    url->port = (uint16_t)number;
    return decode(host, url->host, sizeof(url->host), "host", error);
}

static fb_code_t parse_tcp(fb_slice_t rest, fb_redis_url_t *url, fb_error_t *error)
{
    fb_slice_t db;
    fb_slice_t authority = split(rest, "/?#", &db);
    const char *at = memrchr(authority.at, '@', authority.len);
    if (db.len > 0 && (memchr(db.at, '@', db.len) != NULL || db.at[0] != '/'))
        return fb_fail(error, FB_CONFIG,
                       "Redis URL: after the host comes \"/DB\" or nothing (in a password, "
                       "percent-encode \"/\", \"?\" and \"#\")");
    if (at != NULL) {
        size_t len = (size_t)(at - authority.at);
        fb_code_t code = parse_userinfo((fb_slice_t){authority.at, len}, url, error);
        if (code != FB_OK)
            return code;
        authority = skip(authority, len + 1);
    }
    fb_code_t code = parse_host(authority, url, error);
    if (code == FB_OK && db.len > 1)
        code = parse_db(skip(db, 1), url, error);
    return code;
}

static fb_code_t parse_option(fb_slice_t option, fb_redis_url_t *url, fb_error_t *error)
{
    if (starts_with(option, "db="))
        return parse_db(skip(option, 3), url, error);
    if (starts_with(option, "user="))
        return decode(skip(option, 5), url->user, sizeof(url->user), "user", error);
    if (starts_with(option, "password="))
        return decode(skip(option, 9), url->password, sizeof(url->password), "password", error);
    return fb_fail(error, FB_CONFIG, "Redis URL: the options are db, user and password");
}

static fb_code_t parse_unix(fb_slice_t rest, fb_redis_url_t *url, fb_error_t *error)
{
    fb_slice_t options;
    fb_slice_t path = split(rest, "?", &options);
    if (path.len == 0 || path.at[0] != '/')
        return fb_fail(error, FB_CONFIG,
                       "Redis URL: the path of a unix socket is absolute "
                       "(unix:///run/redis.sock)");
    url->is_unix = true;
    fb_code_t code = decode(path, url->path, sizeof(url->path), "path", error);
    while (code == FB_OK && options.len > 0)
        code = parse_option(split(skip(options, 1), "&", &options), url, error);
    if (code == FB_OK && url->user[0] != '\0' && url->password[0] == '\0')
        code = fb_fail(error, FB_CONFIG, "Redis URL: there is a user, but no password");
    return code;
}

fb_code_t fb_redis_url_parse(const char *text, fb_redis_url_t *url, fb_error_t *error)
{
    fb_slice_t all = fb_slice(text);
    fb_code_t code;
    *url = (fb_redis_url_t){.port = PORT_DEFAULT};
    if (starts_with(all, "redis://"))
        code = parse_tcp(skip(all, 8), url, error);
    else if (starts_with(all, "unix://"))
        code = parse_unix(skip(all, 7), url, error);
    else if (starts_with(all, "sentinel://"))
        code = fb_fail(error, FB_CONFIG, "Redis URL: sentinel:// is not supported yet");
    else if (starts_with(all, "rediss://"))
        code = fb_fail(error, FB_CONFIG, "Redis URL: TLS (rediss://) is not supported");
    else
        code = fb_fail(error, FB_CONFIG,
                       "Redis URL: it is redis://[user:password@]host[:port][/db] or "
                       "unix:///path");
    if (code != FB_OK)
        fb_redis_url_dispose(url);
    return code;
}

void fb_redis_url_dispose(fb_redis_url_t *url)
{
    explicit_bzero(url, sizeof(*url));
}

static void put_encoded(fb_buffer_t *buffer, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "/-._~";
    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL)
            fb_buffer_put_char(buffer, *text);
        else
            fb_buffer_printf(buffer, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

void fb_redis_url_format_safe(const fb_redis_url_t *url, char text[FB_REDIS_URL_TEXT_BYTES])
{
    fb_buffer_t buffer = {0};
    bool secret = url->password[0] != '\0';
    if (url->is_unix) {
        fb_buffer_put_literal(&buffer, "unix://");
        put_encoded(&buffer, url->path);
        if (url->db != 0)
            fb_buffer_printf(&buffer, "?db=%u", url->db);
    } else {
        bool bracketed = strchr(url->host, ':') != NULL;
        fb_buffer_put_literal(&buffer, "redis://");
        put_encoded(&buffer, url->user);
        fb_buffer_put_text(&buffer, secret ? ":***@" : "");
        fb_buffer_printf(&buffer, bracketed ? "[%s]" : "%s", url->host);
        fb_buffer_printf(&buffer, ":%u/%u", url->port, url->db);
    }
    /* The parts are bounded: see fb_redis_url_t. */
    snprintf(text, FB_REDIS_URL_TEXT_BYTES, "%.*s", (int)buffer.len, buffer.at);
    fb_buffer_dispose(&buffer);
}
