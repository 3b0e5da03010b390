/* SPDX-License-Identifier: MIT */
#include "server/feed_fetch.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"

#define LONG_MS   60000
#define BYTES_MAX 100000
#define BOMB      (50 << 20)

/* --- a provider: it answers each connection in its turn with the same bytes ----------------- */

typedef struct {
    int listener, port;
    pthread_t thread;
    fb_slice_t answer;
    bool hangs;  /* after the answer, until it is told to end */
    bool floods; /* repeats the answer until its client goes */
    unsigned connections;
    char request[4096]; /* the last one */
    sem_t was_asked;
} provider_t;

static bool read_request(provider_t *provider, int client)
{
    size_t len = 0;
    memset(provider->request, 0, sizeof(provider->request));
    while (strstr(provider->request, "\r\n\r\n") == NULL) {
        ssize_t got = recv(client, provider->request + len, sizeof(provider->request) - 1 - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
    }
    return true;
}

static void answer(const provider_t *provider, int client)
{
    do {
        fb_slice_t rest = provider->answer;
        while (rest.len > 0) {
            ssize_t sent = send(client, rest.at, rest.len, MSG_NOSIGNAL);
            if (sent <= 0)
                return;
            rest = (fb_slice_t){rest.at + sent, rest.len - (size_t)sent};
        }
    } while (provider->floods);
    char byte;
    if (provider->hangs)
        recv(client, &byte, 1, 0);
}

static void *serve(void *context)
{
    provider_t *provider = context;
    int client;
    while ((client = accept(provider->listener, NULL, NULL)) >= 0) {
        if (read_request(provider, client)) {
            provider->connections++;
            sem_post(&provider->was_asked);
            answer(provider, client);
        }
        close(client);
    }
    return NULL;
}

static void provider_begin(provider_t *provider, fb_slice_t with)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    provider->answer = with;
    provider->listener = socket(AF_INET, SOCK_STREAM, 0);
    sem_init(&provider->was_asked, 0, 0);
    assert_int_equal(bind(provider->listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(provider->listener, 16), 0);
    assert_int_equal(getsockname(provider->listener, (struct sockaddr *)&at, &len), 0);
    provider->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&provider->thread, NULL, serve, provider), 0);
}

static void provider_end(provider_t *provider)
{
    shutdown(provider->listener, SHUT_RDWR);
    pthread_join(provider->thread, NULL);
    close(provider->listener);
    sem_destroy(&provider->was_asked);
}

/* --- a fetch ----------------------------------------------------------------------------- */

typedef struct {
    fb_buffer_t body;
    uint64_t bytes;
    bool refuses;
    fb_code_t code;
    fb_error_t error;
    fb_feed_answer_t answer;
} fetched_t;

static fb_code_t on_bytes(void *context, fb_slice_t bytes, fb_error_t *error)
{
    fetched_t *fetched = context;
    fetched->bytes += bytes.len;
    if (fetched->body.len < BYTES_MAX)
        fb_buffer_put_slice(&fetched->body, bytes);
    return fetched->refuses ? fb_fail(error, FB_MALFORMED, "not this") : FB_OK;
}

static fb_code_t on_tick(void *context, fb_error_t *error)
{
    (void)context;
    (void)error;
    return FB_OK;
}

static const fb_feed_validators_t nothing;

static void fetch_with(fetched_t *fetched, const char *url, const fb_feed_validators_t *known,
                       unsigned total_ms)
{
    const fb_feed_source_t source = {url, LONG_MS, total_ms, BYTES_MAX};
    const fb_feed_receiver_t receiver = {fetched, on_bytes, on_tick};
    fb_feed_fetch_t *fetch = fb_feed_fetch_create(&source);
    fetched->code = fb_feed_fetch_get(fetch, known, &receiver, &fetched->answer, &fetched->error);
    fb_feed_fetch_destroy(&fetch);
    fb_buffer_put_char(&fetched->body, '\0');
}

/* From a provider that gives this answer. */
static provider_t fetch(fetched_t *fetched, fb_slice_t with, const fb_feed_validators_t *known,
                        unsigned total_ms, bool hangs)
{
    provider_t provider = {.hangs = hangs};
    char url[64];
    provider_begin(&provider, with);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/feed.xml", provider.port);
    fetch_with(fetched, url, known, total_ms);
    provider_end(&provider);
    return provider;
}

static void assert_fails(fb_slice_t with, fb_code_t code, unsigned status, const char *detail)
{
    fetched_t fetched = {.bytes = 0};
    fetch(&fetched, with, &nothing, LONG_MS, false);
    assert_int_equal(fetched.code, code);
    assert_int_equal(fetched.answer.status, status);
    assert_non_null(strstr(fetched.error.detail, detail));
    fb_buffer_dispose(&fetched.body);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\n"

static void a_document_comes_whole_with_its_validators(void **state)
{
    (void)state;
    fetched_t fetched = {.bytes = 0};
    provider_t provider =
        fetch(&fetched,
              FB_SLICE(OK_HEAD "ETag: W/\"7\"\r\nLast-Modified: Sat, 21 Nov 2026 20:00:00 GMT\r\n"
                               "Content-Length: 11\r\n\r\n<planList/>"),
              &nothing, LONG_MS, true);
    assert_int_equal(fetched.code, FB_OK);
    assert_int_equal(fetched.answer.status, 200);
    assert_true(fetched.answer.has_document);
    assert_int_equal(fetched.answer.bytes, 11);
    assert_string_equal(fetched.body.at, "<planList/>");
    assert_string_equal(fetched.answer.validators.etag, "W/\"7\"");
    assert_string_equal(fetched.answer.validators.last_modified, "Sat, 21 Nov 2026 20:00:00 GMT");
    assert_memory_equal(provider.request, "GET /feed.xml HTTP/1.1\r\n", 24);
    assert_non_null(strstr(provider.request, "\r\nUser-Agent: fleetbit/"));
    assert_non_null(strstr(provider.request, "\r\nAccept-Encoding: gzip\r\n"));
    assert_null(strstr(provider.request, "\r\nIf-"));
    fb_buffer_dispose(&fetched.body);
}

static void what_is_known_is_asked_for_under_a_condition(void **state)
{
    (void)state;
    const fb_feed_validators_t known = {"\"a, b\"", "Sat, 21 Nov 2026 20:00:00 GMT"};
    const fb_slice_t unchanged = FB_SLICE("HTTP/1.1 304 Not Modified\r\nETag: \"a, b\"\r\n\r\n");
    fetched_t fetched = {.bytes = 0};
    provider_t provider = fetch(&fetched, unchanged, &known, LONG_MS, true);
    assert_int_equal(fetched.code, FB_OK);
    assert_int_equal(fetched.answer.status, 304);
    assert_false(fetched.answer.has_document);
    assert_int_equal(fetched.bytes, 0);
    assert_non_null(strstr(provider.request, "\r\nIf-None-Match: \"a, b\"\r\n"));
    assert_non_null(
        strstr(provider.request, "\r\nIf-Modified-Since: Sat, 21 Nov 2026 20:00:00 GMT\r\n"));
    fb_buffer_dispose(&fetched.body);
    /* Nobody asked for that. */
    assert_fails(unchanged, FB_IO, 304, "it answers with status 304");
}

static void what_is_no_document_is_not_handed_on(void **state)
{
    (void)state;
    fetched_t fetched = {.bytes = 0};
    fetch(&fetched,
          FB_SLICE("HTTP/1.1 500 No\r\nContent-Length: 11\r\nETag: \"1\"\r\n\r\n<planList/>"),
          &nothing, LONG_MS, false);
    assert_int_equal(fetched.code, FB_IO);
    assert_int_equal(fetched.bytes, 0);
    assert_string_equal(fetched.error.detail, "it answers with status 500");
    fb_buffer_dispose(&fetched.body);
    assert_fails(FB_SLICE("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), FB_IO, 404, "404");
    assert_fails(FB_SLICE("HTTP/1.1 204 No\r\n\r\n"), FB_IO, 204, "204");
    assert_fails(FB_SLICE("HTTP/1.1 206 Part\r\nContent-Length: 11\r\n\r\n<planList/>"), FB_IO, 206,
                 "206");
    assert_fails(FB_SLICE("220 smtp.example ESMTP\r\n"), FB_UNAVAILABLE, 0, "HTTP");
    assert_fails(FB_SLICE(""), FB_UNAVAILABLE, 0, "Empty reply");
}

static void what_is_cut_off_fails(void **state)
{
    (void)state;
    assert_fails(FB_SLICE(OK_HEAD "Content-Length: 100\r\n\r\n<planList/>"), FB_UNAVAILABLE, 200,
                 "bytes remaining");
    assert_fails(FB_SLICE(OK_HEAD "Transfer-Encoding: chunked\r\n\r\nb\r\n<planList/>\r\n"),
                 FB_UNAVAILABLE, 200, "");
}

static void nobody_there_fails(void **state)
{
    (void)state;
    provider_t provider = {.hangs = false};
    fetched_t fetched = {.bytes = 0};
    char url[64];
    provider_begin(&provider, FB_SLICE(""));
    provider_end(&provider);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", provider.port);
    fetch_with(&fetched, url, &nothing, LONG_MS);
    assert_int_equal(fetched.code, FB_UNAVAILABLE);
    assert_non_null(strstr(fetched.error.detail, "onnect"));
    fb_buffer_dispose(&fetched.body);
}

static void who_is_too_slow_is_given_up(void **state)
{
    (void)state;
    const char *const answers[] = {"", "HTTP/1.1 200", OK_HEAD "Content-Length: 100\r\n\r\n<plan"};
    for (size_t i = 0; i < 3; i++) {
        fetched_t fetched = {.bytes = 0};
        fetch(&fetched, fb_slice(answers[i]), &nothing, 200, true);
        assert_int_equal(fetched.code, FB_UNAVAILABLE);
        assert_non_null(strstr(fetched.error.detail, "timed out"));
        fb_buffer_dispose(&fetched.body);
    }
}

static void redirects_are_few_and_to_http(void **state)
{
    (void)state;
    fetched_t fetched = {.bytes = 0};
    provider_t provider =
        fetch(&fetched,
              FB_SLICE("HTTP/1.1 302 Found\r\nLocation: /feed.xml\r\nContent-Length: 0\r\n"
                       "Connection: close\r\n\r\n"),
              &nothing, LONG_MS, false);
    assert_int_equal(fetched.code, FB_IO);
    assert_string_equal(fetched.error.detail, "it redirects more than 5 times");
    assert_int_equal(provider.connections, 1 + FB_FEED_REDIRECTS_MAX);
    fb_buffer_dispose(&fetched.body);
    assert_fails(FB_SLICE("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n"
                          "Content-Length: 0\r\n\r\n"),
                 FB_UNAVAILABLE, 302, "rotocol");
}

static void a_flood_ends_at_the_limit(void **state)
{
    (void)state;
    fetched_t fetched = {.bytes = 0};
    provider_t provider = {.floods = true};
    char url[64], head[] = OK_HEAD "Content-Length: 100001\r\n\r\n";
    assert_fails(fb_slice(head), FB_IO, 200, "more than feed.bytes, 100000 bytes");
    provider_begin(&provider, FB_SLICE(OK_HEAD "\r\n"));
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", provider.port);
    fetch_with(&fetched, url, &nothing, LONG_MS);
    provider_end(&provider);
    assert_int_equal(fetched.code, FB_IO);
    assert_non_null(strstr(fetched.error.detail, "more than feed.bytes, 100000 bytes"));
    assert_true(fetched.bytes <= BYTES_MAX);
    fb_buffer_dispose(&fetched.body);
}

static void a_flood_of_header_fields_ends_too(void **state)
{
    (void)state;
    fb_buffer_t text = {0};
    fb_buffer_put_literal(&text, OK_HEAD);
    while (text.len <= FB_FEED_HEADERS_BYTES_MAX)
        fb_buffer_put_literal(&text, "X-Field: 0123456789012345678901234567890123456789\r\n");
    assert_fails(fb_buffer_slice(&text), FB_IO, 200, "bytes of header fields");
    fb_buffer_dispose(&text);
}

/* An answer in gzip, of so many bytes. */
static void put_gzip(fb_buffer_t *text, unsigned bytes)
{
    char command[64];
    size_t len;
    fb_buffer_put_literal(text, OK_HEAD "Content-Encoding: gzip\r\n\r\n");
    snprintf(command, sizeof(command), "head -c %u /dev/zero | gzip -9", bytes);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while ((len = fread(fb_buffer_reserve(text, 4096), 1, 4096, pipe)) > 0)
        text->len += len;
    assert_int_equal(pclose(pipe), 0);
}

static void gzip_is_undone_and_bounded(void **state)
{
    (void)state;
    fb_buffer_t text = {0};
    fetched_t fetched = {.bytes = 0};
    put_gzip(&text, BYTES_MAX);
    assert_true(text.len < 1000);
    fetch(&fetched, fb_buffer_slice(&text), &nothing, LONG_MS, false);
    assert_int_equal(fetched.code, FB_OK);
    assert_int_equal(fetched.answer.bytes, BYTES_MAX);
    fb_buffer_dispose(&fetched.body);
    text.len = 0;
    put_gzip(&text, BOMB);
    assert_fails(fb_buffer_slice(&text), FB_IO, 200, "more than feed.bytes, 100000 bytes");
    fb_buffer_dispose(&text);
}

static void what_the_receiver_says_ends_it(void **state)
{
    (void)state;
    fetched_t fetched = {.refuses = true};
    fetch(&fetched, FB_SLICE(OK_HEAD "Content-Length: 100\r\n\r\n<planList/>"), &nothing, LONG_MS,
          true);
    assert_int_equal(fetched.code, FB_MALFORMED);
    assert_string_equal(fetched.error.detail, "not this");
    fb_buffer_dispose(&fetched.body);
}

typedef struct {
    fb_feed_fetch_t *fetch;
    fetched_t fetched;
} ending_t;

static void *fetch_until_the_end(void *context)
{
    ending_t *ending = context;
    const fb_feed_receiver_t receiver = {&ending->fetched, on_bytes, on_tick};
    ending->fetched.code = fb_feed_fetch_get(ending->fetch, &nothing, &receiver,
                                             &ending->fetched.answer, &ending->fetched.error);
    return NULL;
}

static void an_end_ends_it_at_once_and_for_good(void **state)
{
    (void)state;
    provider_t provider = {.hangs = true};
    ending_t ending = {.fetch = NULL};
    pthread_t thread;
    char url[64];
    provider_begin(&provider, FB_SLICE(OK_HEAD));
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", provider.port);
    const fb_feed_source_t source = {url, LONG_MS, 10 * LONG_MS, BYTES_MAX};
    ending.fetch = fb_feed_fetch_create(&source);
    assert_int_equal(pthread_create(&thread, NULL, fetch_until_the_end, &ending), 0);
    sem_wait(&provider.was_asked);
    fb_feed_fetch_end(ending.fetch);
    pthread_join(thread, NULL);
    assert_int_equal(ending.fetched.code, FB_UNAVAILABLE);
    assert_non_null(strstr(ending.fetched.error.detail, "ending"));
    ending.fetched.error = (fb_error_t){0};
    fetch_until_the_end(&ending);
    assert_int_equal(ending.fetched.code, FB_UNAVAILABLE);
    fb_feed_fetch_destroy(&ending.fetch);
    provider_end(&provider);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_comes_whole_with_its_validators),
        cmocka_unit_test(what_is_known_is_asked_for_under_a_condition),
        cmocka_unit_test(what_is_no_document_is_not_handed_on),
        cmocka_unit_test(what_is_cut_off_fails),
        cmocka_unit_test(nobody_there_fails),
        cmocka_unit_test(who_is_too_slow_is_given_up),
        cmocka_unit_test(redirects_are_few_and_to_http),
        cmocka_unit_test(a_flood_ends_at_the_limit),
        cmocka_unit_test(a_flood_of_header_fields_ends_too),
        cmocka_unit_test(gzip_is_undone_and_bounded),
        cmocka_unit_test(what_the_receiver_says_ends_it),
        cmocka_unit_test(an_end_ends_it_at_once_and_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
