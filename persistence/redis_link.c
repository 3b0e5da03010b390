/* SPDX-License-Identifier: MIT */
#include "persistence/redis_link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"

#define RECEIVE_BYTES 65536
/* hiredis moves what it has not parsed yet to the front after almost every reply: in small
 * portions, that costs little. */
#define FEED_BYTES 4096

struct fb_redis_link {
    fb_redis_url_t url;
    struct timeval timeout;
    char name[FB_REDIS_URL_TEXT_BYTES];
    redisContext *context; /* NULL if not connected */
    fb_buffer_t output;    /* commands that are not sent yet */
    char *input;           /* RECEIVE_BYTES, of which [input_at .. input_end) is not fed yet */
    size_t input_at, input_end;
};

fb_redis_link_t *fb_redis_link_create(const fb_redis_url_t *url, unsigned timeout_ms)
{
    fb_assert(timeout_ms >= 1);
    fb_redis_link_t *link = fb_alloc_zero(1, sizeof(*link));
    link->url = *url;
    link->timeout.tv_sec = (time_t)(timeout_ms / 1000);
    link->timeout.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000;
    fb_redis_url_format_safe(url, link->name);
    link->input = fb_alloc(RECEIVE_BYTES);
    return link;
}

void fb_redis_link_destroy(fb_redis_link_t **link)
{
    fb_redis_link_t *gone = *link;
    *link = NULL;
    if (gone == NULL)
        return;
    fb_redis_link_close(gone);
    fb_buffer_dispose(&gone->output);
    fb_redis_url_dispose(&gone->url);
    free(gone->input);
    free(gone);
}

const char *fb_redis_link_name(const fb_redis_link_t *link)
{
    return link->name;
}

void fb_redis_link_close(fb_redis_link_t *link)
{
    if (link->context != NULL)
        redisFree(link->context);
    link->context = NULL;
    link->output.len = 0;
    link->input_at = link->input_end = 0;
}

/* Closes the link and says why. */
static fb_code_t lost(fb_redis_link_t *link, const char *reason, fb_error_t *error)
{
    /* The reason may stand in the context that goes now. */
    fb_code_t code = fb_fail(error, FB_UNAVAILABLE, "Redis at %s: %s", link->name, reason);
    fb_redis_link_close(link);
    return code;
}

/* An idle connection has nothing to read: if it has, it is its end (or nonsense). */
static bool is_stale(const fb_redis_link_t *link)
{
    struct pollfd poller = {.fd = link->context->fd, .events = POLLIN | POLLRDHUP};
    return poll(&poller, 1, 0) != 0;
}

static fb_code_t connect_context(fb_redis_link_t *link, fb_error_t *error)
{
    const fb_redis_url_t *url = &link->url;
    link->context = url->is_unix ? redisConnectUnixWithTimeout(url->path, link->timeout)
                                 : redisConnectWithTimeout(url->host, url->port, link->timeout);
    fb_assert(link->context != NULL);
    if (link->context->err != 0)
        return lost(link, link->context->errstr, error);
    if (redisSetTimeout(link->context, link->timeout) != REDIS_OK)
        return lost(link, link->context->errstr, error);
    fcntl(link->context->fd, F_SETFD, FD_CLOEXEC); /* hiredis does not */
    if (!url->is_unix)
        redisEnableKeepAlive(link->context);
    /* Keep the parser's buffer between replies: loads would allocate it anew all the time. */
    link->context->reader->maxbuf = 0;
    return FB_OK;
}

static fb_code_t call_and_forget(fb_redis_link_t *link, const fb_slice_t *words, size_t count,
                                 fb_error_t *error)
{
    redisReply *reply = NULL;
    fb_code_t code = fb_redis_link_call(link, words, count, &reply, error);
    freeReplyObject(reply);
    return code;
}

fb_code_t fb_redis_link_open(fb_redis_link_t *link, bool *fresh, fb_error_t *error)
{
    fb_assert(link->output.len == 0 && link->input_at == link->input_end);
    *fresh = false;
    if (link->context != NULL && is_stale(link))
        fb_redis_link_close(link);
    if (link->context != NULL)
        return FB_OK;

    *fresh = true;
    fb_code_t code = connect_context(link, error);
    if (code == FB_OK && link->url.password[0] != '\0') {
        bool named = link->url.user[0] != '\0';
        fb_slice_t words[3] = {FB_SLICE("AUTH")};
        words[1] = fb_slice(named ? link->url.user : link->url.password);
        words[2] = fb_slice(link->url.password);
        code = call_and_forget(link, words, named ? 3 : 2, error);
    }
    if (code == FB_OK && link->url.db != 0) {
        char digits[16];
        size_t at = sizeof(digits);
        for (uint32_t db = link->url.db; db > 0; db /= 10)
            digits[--at] = (char)('0' + db % 10);
        fb_slice_t words[2] = {FB_SLICE("SELECT"), {digits + at, sizeof(digits) - at}};
        code = call_and_forget(link, words, 2, error);
    }
    if (code != FB_OK)
        fb_redis_link_close(link);
    return code;
}

void fb_redis_link_append(fb_redis_link_t *link, const fb_slice_t *words, size_t count)
{
    fb_buffer_t *output = &link->output;
    fb_buffer_put_char(output, '*');
    fb_buffer_put_u64(output, count);
    for (size_t i = 0; i < count; i++) {
        fb_buffer_put_literal(output, "\r\n$");
        fb_buffer_put_u64(output, words[i].len);
        fb_buffer_put_literal(output, "\r\n");
        fb_buffer_put_slice(output, words[i]);
    }
    fb_buffer_put_literal(output, "\r\n");
}

fb_code_t fb_redis_link_flush(fb_redis_link_t *link, fb_error_t *error)
{
    size_t sent = 0;
    fb_assert(link->context != NULL);
    while (sent < link->output.len) {
        /* Not hiredis' own writing, which raises SIGPIPE. */
        ssize_t n =
            send(link->context->fd, link->output.at + sent, link->output.len - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (errno == EAGAIN)
            return lost(link, "it takes no more commands", error);
        else if (errno != EINTR)
            return lost(link, strerror(errno), error);
    }
    link->output.len = 0;
    return FB_OK;
}

/* Hands the parser the next bytes, and waits for some where none are left. */
static fb_code_t feed(fb_redis_link_t *link, fb_error_t *error)
{
    while (link->input_at == link->input_end) {
        ssize_t n = recv(link->context->fd, link->input, RECEIVE_BYTES, 0);
        if (n > 0) {
            link->input_at = 0;
            link->input_end = (size_t)n;
        } else if (n == 0) {
            return lost(link, "it closed the connection", error);
        } else if (errno == EAGAIN) {
            return lost(link, "no answer in time", error);
        } else if (errno != EINTR) {
            return lost(link, strerror(errno), error);
        }
    }
    size_t len = link->input_end - link->input_at;
    if (len > FEED_BYTES)
        len = FEED_BYTES;
    redisReader *reader = link->context->reader;
    if (redisReaderFeed(reader, link->input + link->input_at, len) != REDIS_OK)
        return lost(link, reader->errstr, error);
    link->input_at += len;
    return FB_OK;
}

fb_code_t fb_redis_link_receive(fb_redis_link_t *link, void **reply, fb_error_t *error)
{
    fb_assert(link->context != NULL && link->output.len == 0);
    *reply = NULL;
    for (;;) {
        if (redisReaderGetReply(link->context->reader, reply) != REDIS_OK)
            return lost(link, link->context->reader->errstr, error);
        if (*reply != NULL)
            return FB_OK;
        fb_code_t code = feed(link, error);
        if (code != FB_OK)
            return code;
    }
}

static uint64_t timeout_ns(const fb_redis_link_t *link)
{
    return (uint64_t)link->timeout.tv_sec * 1000000000 + (uint64_t)link->timeout.tv_usec * 1000;
}

fb_code_t fb_redis_link_attend(fb_redis_link_t *link, uint64_t (*on_waiting)(void *context),
                               void *context, fb_error_t *error)
{
    fb_assert(link->context != NULL && link->output.len == 0);
    uint64_t end_ns = fb_clock_monotonic_ns() + timeout_ns(link);
    while (link->input_at == link->input_end) {
        struct pollfd poller = {.fd = link->context->fd, .events = POLLIN};
        const struct timespec wait = fb_clock_timespec(on_waiting(context));
        if (ppoll(&poller, 1, &wait, NULL) > 0)
            break; /* also where the connection has ended: who reads will see it */
        if (fb_clock_monotonic_ns() >= end_ns)
            return lost(link, "no answer in time", error);
    }
    return FB_OK;
}

fb_code_t fb_redis_link_await(fb_redis_link_t *link, int wake_fd, int timeout_ms,
                              redisReply **reply, fb_error_t *error)
{
    fb_assert(link->context != NULL && link->output.len == 0);
    *reply = NULL;
    for (;;) {
        void *object = NULL;
        if (redisReaderGetReply(link->context->reader, &object) != REDIS_OK)
            return lost(link, link->context->reader->errstr, error);
        *reply = object;
        if (*reply != NULL)
            return FB_OK;
        if (link->input_at == link->input_end) {
            struct pollfd pollers[] = {{.fd = link->context->fd, .events = POLLIN},
                                       {.fd = wake_fd, .events = POLLIN}};
            if (poll(pollers, 2, timeout_ms) <= 0 || pollers[0].revents == 0)
                return FB_OK;
        }
        fb_code_t code = feed(link, error);
        if (code != FB_OK)
            return code;
    }
}

fb_code_t fb_redis_link_reply(fb_redis_link_t *link, redisReply **reply, fb_error_t *error)
{
    void *object;
    fb_code_t code = fb_redis_link_receive(link, &object, error);
    *reply = object;
    return code;
}

fb_code_t fb_redis_link_call(fb_redis_link_t *link, const fb_slice_t *words, size_t count,
                             redisReply **reply, fb_error_t *error)
{
    *reply = NULL;
    fb_redis_link_append(link, words, count);
    fb_code_t code = fb_redis_link_flush(link, error);
    if (code == FB_OK)
        code = fb_redis_link_reply(link, reply, error);
    if (code == FB_OK && (*reply)->type == REDIS_REPLY_ERROR) {
        code = fb_redis_link_refused(link, (fb_slice_t){(*reply)->str, (*reply)->len}, error);
        freeReplyObject(*reply);
        *reply = NULL;
    }
    return code;
}

static bool begins(fb_slice_t text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.at, prefix, len) == 0;
}

fb_code_t fb_redis_link_refused(fb_redis_link_t *link, fb_slice_t text, fb_error_t *error)
{
    static const struct {
        const char *prefix;
        fb_code_t code;
        const char *hint;
    } refusals[] = {
        {"LOADING ", FB_UNAVAILABLE, ""},
        {"MASTERDOWN ", FB_UNAVAILABLE, ""},
        {"READONLY ", FB_UNAVAILABLE, ""},
        {"OOM ", FB_UNAVAILABLE, ""},
        {"NOPERM ", FB_UNAVAILABLE, ""},
        {"NOAUTH ", FB_UNAVAILABLE, ""},
        {"WRONGPASS ", FB_UNAVAILABLE, ""},
        {"MISCONF ", FB_UNAVAILABLE, ""},
        {"NOREPLICAS ", FB_UNAVAILABLE, ""},
        {"BUSY ", FB_UNAVAILABLE, ""},
        {"DENIED ", FB_UNAVAILABLE, ""},
        {"CLUSTERDOWN ", FB_UNAVAILABLE, ""},
        {"MOVED ", FB_UNAVAILABLE, ""},
        {"TRYAGAIN ", FB_UNAVAILABLE, ""},
        {"ERR max number of clients", FB_UNAVAILABLE, ""},
        {"ERR Function not found", FB_UNAVAILABLE, " (commit.lua is not loaded, or queue.lua)"},
        {"ERR AUTH ", FB_CONFIG, ""},
        {"ERR DB index", FB_CONFIG, ""},
        {"ERR unknown command", FB_CONFIG, " (fleetbit needs Redis 7.0 or later)"},
        {"WRONGTYPE ", FB_CONFIG, " (the keys of this fleet are not as fleetbit keeps them)"},
        {"DAMAGED ", FB_CONFIG, " (the keys of this fleet are not as fleetbit keeps them)"},
        {"SCHEMA ", FB_CONFIG, " (another version of fleetbit keeps this fleet)"},
    };
    fb_code_t code = FB_INTERNAL;
    const char *hint = "";
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (begins(text, refusals[i].prefix)) {
            code = refusals[i].code;
            hint = refusals[i].hint;
            break;
        }
    }
    fb_fail(error, code, "Redis at %s answers: %.*s%s", link->name, FB_PRINT(text), hint);
    if (code == FB_UNAVAILABLE)
        fb_redis_link_close(link);
    return code;
}

redisReader *fb_redis_link_reader(fb_redis_link_t *link)
{
    fb_assert(link->context != NULL);
    return link->context->reader;
}
