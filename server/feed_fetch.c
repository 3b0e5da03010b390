/* SPDX-License-Identifier: MIT */
#include "server/feed_fetch.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"
#include "server/http_get.h"
#include "server/problem.h"

struct fb_feed_fetch {
    fb_feed_source_t source;
    CURLM *multi;
    CURL *curl;
    atomic_bool ends;
    char reason[CURL_ERROR_SIZE];
    /* of the fetch that is under way */
    const fb_feed_receiver_t *receiver;
    fb_feed_answer_t *answer;
    size_t header_bytes;
    fb_error_t *error;
};

static bool is_status(unsigned status, fb_success_t success)
{
    return status == (unsigned)fb_status_of_success(success).code;
}

/* What is known of the answer by now. */
static void note_status(fb_feed_fetch_t *fetch)
{
    long status = 0;
    curl_easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &status);
    fetch->answer->status = (unsigned)status;
    fetch->answer->has_document = is_status((unsigned)status, FB_SUCCESS_OK);
}

static fb_code_t too_large(const fb_feed_fetch_t *fetch, fb_error_t *error)
{
    return fb_fail(error, FB_IO, "the document has more than feed.bytes, %llu bytes",
                   (unsigned long long)fetch->source.bytes_max);
}

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    fb_feed_fetch_t *fetch = context;
    (void)bytes;
    fetch->header_bytes += size * count;
    if (fetch->header_bytes <= FB_FEED_HEADERS_BYTES_MAX)
        return size * count;
    fb_fail(fetch->error, FB_IO, "its answer has more than %d bytes of header fields",
            FB_FEED_HEADERS_BYTES_MAX);
    return 0; /* which ends the transfer */
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
    fb_feed_fetch_t *fetch = context;
    size_t len = size * count;
    note_status(fetch);
    if (!fetch->answer->has_document)
        return len; /* of no interest: the status says enough */
    if (len > fetch->source.bytes_max - fetch->answer->bytes) {
        too_large(fetch, fetch->error);
        return 0;
    }
    fetch->answer->bytes += len;
    const fb_slice_t piece = {bytes, len};
    return fetch->receiver->on_bytes(fetch->receiver->context, piece, fetch->error) == FB_OK ? len
                                                                                             : 0;
}

fb_feed_fetch_t *fb_feed_fetch_create(const fb_feed_source_t *source)
{
    fb_feed_fetch_t *fetch = fb_alloc_zero(1, sizeof(*fetch));
    fetch->source = *source;
    fb_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    fetch->multi = curl_multi_init();
    CURL *curl = fetch->curl = curl_easy_init();
    fb_assert(fetch->multi != NULL && curl != NULL);
    fb_http_configure(curl, source->connect_ms, source->total_ms);
    curl_easy_setopt(curl, CURLOPT_URL, source->url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, fetch->reason);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)FB_FEED_REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)source->bytes_max);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, fetch);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, fetch);
    return fetch;
}

void fb_feed_fetch_destroy(fb_feed_fetch_t **fetch)
{
    if (*fetch == NULL)
        return;
    curl_easy_cleanup((*fetch)->curl);
    curl_multi_cleanup((*fetch)->multi);
    curl_global_cleanup();
    free(*fetch);
    *fetch = NULL;
}

void fb_feed_fetch_end(fb_feed_fetch_t *fetch)
{
    atomic_store(&fetch->ends, true);
    curl_multi_wakeup(fetch->multi);
}

/* --- validators -------------------------------------------------------------------------- */

static struct curl_slist *add_condition(struct curl_slist *fields, const char *name,
                                        const char *value)
{
    char field[FB_FEED_ETAG_BYTES + 32];
    if (value[0] == '\0')
        return fields;
    snprintf(field, sizeof(field), "%s: %s", name, value);
    return curl_slist_append(fields, field);
}

static void keep_header(CURL *curl, const char *name, char *text, size_t size)
{
    struct curl_header *header;
    text[0] = '\0';
    if (curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        strlen(header->value) < size)
        strcpy(text, header->value);
}

/* --- a fetch ----------------------------------------------------------------------------- */

/* Until it is over; an error is one of ours. */
static fb_code_t transfer(fb_feed_fetch_t *fetch, fb_error_t *error)
{
    int running = 1;
    while (true) {
        fb_assert(curl_multi_perform(fetch->multi, &running) == CURLM_OK);
        if (running == 0 || error->code != FB_OK)
            return error->code;
        curl_multi_poll(fetch->multi, NULL, 0, FB_FEED_TICK_MS, NULL);
        if (atomic_load(&fetch->ends))
            return fb_fail(error, FB_UNAVAILABLE, "it was given up: this instance is ending");
        fb_code_t code = fetch->receiver->on_tick(fetch->receiver->context, error);
        if (code != FB_OK)
            return code;
    }
}

/* What curl says of a transfer that is over. */
static fb_code_t result_of(fb_feed_fetch_t *fetch, fb_error_t *error)
{
    int left;
    const CURLMsg *message = curl_multi_info_read(fetch->multi, &left);
    fb_assert(message != NULL && message->msg == CURLMSG_DONE);
    CURLcode result = message->data.result;
    if (result == CURLE_OK)
        return FB_OK;
    if (result == CURLE_FILESIZE_EXCEEDED)
        return too_large(fetch, error);
    if (result == CURLE_TOO_MANY_REDIRECTS)
        return fb_fail(error, FB_IO, "it redirects more than %d times", FB_FEED_REDIRECTS_MAX);
    return fb_fail(error, FB_UNAVAILABLE, "%.200s",
                   fetch->reason[0] ? fetch->reason : curl_easy_strerror(result));
}

static fb_code_t check_status(const fb_feed_answer_t *answer, bool is_conditional,
                              fb_error_t *error)
{
    if (answer->has_document ||
        (is_conditional && is_status(answer->status, FB_SUCCESS_NOT_MODIFIED)))
        return FB_OK;
    return fb_http_refused((long)answer->status, (fb_slice_t){0}, error);
}

fb_code_t fb_feed_fetch_get(fb_feed_fetch_t *fetch, const fb_feed_validators_t *known,
                            const fb_feed_receiver_t *receiver, fb_feed_answer_t *answer,
                            fb_error_t *error)
{
    struct curl_slist *fields = add_condition(NULL, "If-None-Match", known->etag);
    fields = add_condition(fields, "If-Modified-Since", known->last_modified);
    *answer = (fb_feed_answer_t){0};
    fetch->receiver = receiver;
    fetch->answer = answer;
    fetch->header_bytes = 0;
    fetch->error = error;
    fetch->reason[0] = '\0';
    curl_easy_setopt(fetch->curl, CURLOPT_HTTPHEADER, fields);
    fb_assert(curl_multi_add_handle(fetch->multi, fetch->curl) == CURLM_OK);
    fb_code_t code = transfer(fetch, error);
    if (code == FB_OK)
        code = result_of(fetch, error);
    note_status(fetch);
    if (code == FB_OK)
        code = check_status(answer, fields != NULL, error);
    keep_header(fetch->curl, "ETag", answer->validators.etag, sizeof(answer->validators.etag));
    keep_header(fetch->curl, "Last-Modified", answer->validators.last_modified,
                sizeof(answer->validators.last_modified));
    /* A look-up of a name cannot be broken off; its thread ends by itself. */
    curl_easy_setopt(fetch->curl, CURLOPT_QUICK_EXIT, atomic_load(&fetch->ends) ? 1L : 0L);
    curl_multi_remove_handle(fetch->multi, fetch->curl);
    curl_slist_free_all(fields);
    return code;
}
