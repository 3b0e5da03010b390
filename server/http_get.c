/* SPDX-License-Identifier: MIT */
#include "server/http_get.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "server/problem.h"

struct fb_http {
    CURL *curl;
    fb_buffer_t *body; /* of the request that is under way */
    char reason[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    fb_http_t *http = context;
    if (count > FB_HTTP_BODY_BYTES_MAX - http->body->len)
        return 0; /* which ends the transfer */
    fb_buffer_put(http->body, bytes, size * count);
    return size * count;
}

void fb_http_configure(void *curl, unsigned connect_ms, unsigned total_ms)
{
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)total_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "fleetbit/" FB_VERSION);
}

fb_http_t *fb_http_create(unsigned connect_ms, unsigned total_ms)
{
    fb_http_t *http = fb_alloc_zero(1, sizeof(*http));
    fb_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    http->curl = curl_easy_init();
    fb_assert(http->curl != NULL);
    fb_http_configure(http->curl, connect_ms, total_ms);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, http->reason);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, http);
    return http;
}

void fb_http_destroy(fb_http_t **http)
{
    if (*http == NULL)
        return;
    curl_easy_cleanup((*http)->curl);
    curl_global_cleanup();
    free(*http);
    *http = NULL;
}

fb_code_t fb_http_check_url(const char *url, fb_error_t *error)
{
    char *scheme = NULL, *host = NULL;
    CURLU *parsed = curl_url();
    fb_assert(parsed != NULL);
    bool good = curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(parsed);
    if (good)
        return FB_OK;
    /* What lies before an "@", or behind a "?", may be secret. */
    size_t len = strcspn(url, "?#");
    const char *at = memrchr(url, '@', len), *shown = at != NULL ? at + 1 : url;
    return fb_fail(error, FB_CONFIG, "\"%.*s\" is no URL as http://127.0.0.1:8081 is",
                   (int)(url + len - shown), shown);
}

fb_code_t fb_http_refused(long status, fb_slice_t body, fb_error_t *error)
{
    json_t *problem = json_loadb(body.at ? body.at : "", body.len, 0, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    fb_code_t code = fb_fail(error, FB_IO, "it answers with status %ld%s%.200s", status,
                             detail ? ": " : "", detail ? detail : "");
    json_decref(problem);
    return code;
}

fb_code_t fb_http_get(fb_http_t *http, const char *url, fb_buffer_t *body, fb_error_t *error)
{
    long status = 0;
    body->len = 0;
    http->body = body;
    http->reason[0] = '\0';
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    CURLcode result = curl_easy_perform(http->curl);
    if (result == CURLE_WRITE_ERROR)
        return fb_fail(error, FB_IO, "its answer has more than %d bytes", FB_HTTP_BODY_BYTES_MAX);
    if (result != CURLE_OK)
        return fb_fail(error, FB_UNAVAILABLE, "%.200s",
                       http->reason[0] ? http->reason : curl_easy_strerror(result));
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != fb_status_of_success(FB_SUCCESS_OK).code)
        return fb_http_refused(status, fb_buffer_slice(body), error);
    return FB_OK;
}
