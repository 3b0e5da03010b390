/* SPDX-License-Identifier: MIT */
#include "server/load.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "server/http_get.h"
#include "server/problem.h"

#define CONNECT_MS     5000
#define TOTAL_MS       60000
#define POLL_MS        100
#define BODY_BYTES_MAX (1 << 20) /* of an answer; what is beyond is of no interest */

/* One connection's. */
typedef struct slot {
    CURL *curl;
    fb_load_request_t request;
    fb_buffer_t url, body;
    char reason[CURL_ERROR_SIZE];
    bool is_busy;
} slot_t;

struct fb_load {
    const char *base;
    CURLM *multi;
    struct curl_slist *headers;
    slot_t *slots;
    unsigned count, busy;
};

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    slot_t *slot = context;
    if (slot->body.len + size * count <= BODY_BYTES_MAX)
        fb_buffer_put(&slot->body, bytes, size * count);
    return size * count;
}

static void slot_init(slot_t *slot)
{
    slot->curl = curl_easy_init();
    fb_assert(slot->curl != NULL);
    fb_http_configure(slot->curl, CONNECT_MS, TOTAL_MS);
    curl_easy_setopt(slot->curl, CURLOPT_ERRORBUFFER, slot->reason);
    curl_easy_setopt(slot->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(slot->curl, CURLOPT_WRITEDATA, slot);
    curl_easy_setopt(slot->curl, CURLOPT_PRIVATE, slot);
    curl_easy_setopt(slot->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
}

fb_load_t *fb_load_create(const char *url, unsigned connections)
{
    fb_load_t *load = fb_alloc_zero(1, sizeof(*load));
    fb_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    load->base = url;
    load->count = connections;
    load->multi = curl_multi_init();
    load->headers = curl_slist_append(NULL, "Content-Type: application/json");
    fb_assert(load->multi != NULL && load->headers != NULL);
    curl_multi_setopt(load->multi, CURLMOPT_MAXCONNECTS, (long)connections);
    load->slots = fb_alloc_zero(connections, sizeof(*load->slots));
    for (unsigned i = 0; i < connections; i++)
        slot_init(&load->slots[i]);
    return load;
}

void fb_load_destroy(fb_load_t **load)
{
    fb_load_t *gone = *load;
    for (unsigned i = 0; i < gone->count; i++) {
        curl_easy_cleanup(gone->slots[i].curl);
        fb_buffer_dispose(&gone->slots[i].url);
        fb_buffer_dispose(&gone->slots[i].body);
    }
    curl_multi_cleanup(gone->multi);
    curl_slist_free_all(gone->headers);
    curl_global_cleanup();
    free(gone->slots);
    free(gone);
    *load = NULL;
}

static void set_url(const fb_load_t *load, slot_t *slot, const char *path)
{
    size_t len = strlen(load->base);
    slot->url.len = 0;
    fb_buffer_put(&slot->url, load->base, load->base[len - 1] == '/' ? len - 1 : len);
    fb_buffer_put(&slot->url, path, strlen(path) + 1);
    curl_easy_setopt(slot->curl, CURLOPT_URL, slot->url.at);
}

static void start(fb_load_t *load, slot_t *slot)
{
    const fb_load_request_t *request = &slot->request;
    slot->body.len = 0;
    slot->reason[0] = '\0';
    set_url(load, slot, request->path);
    if (request->body.at != NULL) {
        curl_easy_setopt(slot->curl, CURLOPT_HTTPHEADER, load->headers);
        curl_easy_setopt(slot->curl, CURLOPT_POSTFIELDSIZE, (long)request->body.len);
        curl_easy_setopt(slot->curl, CURLOPT_POSTFIELDS, request->body.at);
    } else {
        curl_easy_setopt(slot->curl, CURLOPT_HTTPHEADER, NULL);
        curl_easy_setopt(slot->curl, CURLOPT_HTTPGET, 1L);
    }
    slot->is_busy = true;
    load->busy++;
    fb_assert(curl_multi_add_handle(load->multi, slot->curl) == CURLM_OK);
}

static void stop(fb_load_t *load, slot_t *slot)
{
    curl_multi_remove_handle(load->multi, slot->curl);
    slot->is_busy = false;
    load->busy--;
}

/* The time is libcurl's: others that were looked at before do not count. */
static void answer(fb_load_t *load, slot_t *slot, CURLcode result, const fb_load_hooks_t *hooks)
{
    fb_load_answer_t given = {
        .number = slot->request.number,
        .reason = slot->reason[0] ? slot->reason : curl_easy_strerror(result),
        .body = fb_buffer_slice(&slot->body),
    };
    curl_off_t took_us = 0;
    curl_easy_getinfo(slot->curl, CURLINFO_TOTAL_TIME_T, &took_us);
    given.took_us = (uint64_t)took_us;
    if (result == CURLE_OK)
        curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &given.status);
    stop(load, slot);
    hooks->on_answer(hooks->context, &given);
}

static void take_answers(fb_load_t *load, const fb_load_hooks_t *hooks)
{
    const CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(load->multi, &left)) != NULL) {
        slot_t *slot;
        CURLcode result = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        answer(load, slot, result, hooks);
    }
}

static void start_what_can(fb_load_t *load, const fb_load_hooks_t *hooks)
{
    for (unsigned i = 0; i < load->count && load->busy < load->count; i++) {
        slot_t *slot = &load->slots[i];
        if (slot->is_busy)
            continue;
        if (!hooks->next(hooks->context, &slot->request))
            return;
        start(load, slot);
    }
}

void fb_load_run(fb_load_t *load, const fb_load_hooks_t *hooks)
{
    int running;
    start_what_can(load, hooks);
    while (load->busy > 0 && !hooks->is_cancelled(hooks->context)) {
        unsigned before = load->busy;
        fb_assert(curl_multi_perform(load->multi, &running) == CURLM_OK);
        take_answers(load, hooks);
        if (before == load->busy)
            curl_multi_poll(load->multi, NULL, 0, POLL_MS, NULL);
        start_what_can(load, hooks);
    }
    for (unsigned i = 0; i < load->count && load->busy > 0; i++) {
        if (load->slots[i].is_busy)
            stop(load, &load->slots[i]);
    }
}

static fb_code_t not_ready(const fb_load_t *load, long status, const slot_t *slot,
                           fb_error_t *error)
{
    fb_error_t why = {0};
    fb_http_refused(status, fb_buffer_slice(&slot->body), &why);
    return fb_fail(error, FB_UNAVAILABLE, "%s/readyz: %s", load->base, why.detail);
}

fb_code_t fb_load_check(fb_load_t *load, fb_error_t *error)
{
    slot_t *slot = &load->slots[0];
    struct curl_header *revision;
    long status = 0;
    slot->body.len = 0;
    set_url(load, slot, "/readyz");
    CURLcode result = curl_easy_perform(slot->curl);
    if (result != CURLE_OK)
        return fb_fail(error, FB_UNAVAILABLE, "%s: %.200s", load->base,
                       slot->reason[0] ? slot->reason : curl_easy_strerror(result));
    curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != fb_status_of_success(FB_SUCCESS_OK).code)
        return not_ready(load, status, slot, error);
    if (curl_easy_header(slot->curl, "Fleetbit-Revision", 0, CURLH_HEADER, -1, &revision) !=
        CURLHE_OK)
        return fb_fail(error, FB_UNAVAILABLE, "%s: what answers there is no fleetbit", load->base);
    return FB_OK;
}
