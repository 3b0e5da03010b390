/* SPDX-License-Identifier: MIT */
#include "server/feed_notes.h"

#include <curl/curl.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/json_raw.h"
#include "resources/field.h"

#define NAME "feed"

enum {
    URL,
    INSTANCE,
    FETCHED_AT,
    SUCCEEDED_AT,
    STATUS,
    FAILURES,
    ERROR,
    BYTES,
    PLANS,
    CHANGED,
    SKIPPED,
    SKIPS,
    ETAG,
    LAST_MODIFIED,
    SOURCE,
    EPOCH,
    FIELDS
};

static const char *const fields[FIELDS] = {
    [URL] = "url",
    [INSTANCE] = "instance",
    [FETCHED_AT] = "fetched_at",
    [SUCCEEDED_AT] = "succeeded_at",
    [STATUS] = "status",
    [FAILURES] = "failures",
    [ERROR] = "error",
    [BYTES] = "bytes",
    [PLANS] = "plans",
    [CHANGED] = "changed",
    [SKIPPED] = "skipped",
    [SKIPS] = "skipped_plans",
    [ETAG] = "etag",
    [LAST_MODIFIED] = "last_modified",
    [SOURCE] = "source",
    [EPOCH] = "epoch",
};
static const fb_notes_t all = {NAME, fields, FIELDS};

void fb_feed_notes_dispose(fb_feed_notes_t *notes)
{
    fb_buffer_dispose(&notes->skips);
}

/* --- what is a text and what is a number -------------------------------------------------- */

typedef struct {
    unsigned field;
    char *at;
    size_t size;
} text_t;

typedef struct {
    unsigned field;
    uint64_t *at;
} number_t;

#define TEXTS   7
#define NUMBERS 6

static void members(fb_feed_notes_t *notes, text_t texts[TEXTS], number_t numbers[NUMBERS])
{
    const text_t the_texts[TEXTS] = {
        {URL, notes->url, sizeof(notes->url)},
        {INSTANCE, notes->instance, sizeof(notes->instance)},
        {ERROR, notes->error, sizeof(notes->error)},
        {ETAG, notes->validators.etag, sizeof(notes->validators.etag)},
        {LAST_MODIFIED, notes->validators.last_modified, sizeof(notes->validators.last_modified)},
        {SOURCE, notes->source, sizeof(notes->source)},
        {EPOCH, notes->epoch, sizeof(notes->epoch)},
    };
    const number_t the_numbers[NUMBERS] = {
        {STATUS, &notes->status}, {FAILURES, &notes->failures}, {BYTES, &notes->bytes},
        {PLANS, &notes->plans},   {CHANGED, &notes->changed},   {SKIPPED, &notes->skipped},
    };
    memcpy(texts, the_texts, sizeof(the_texts));
    memcpy(numbers, the_numbers, sizeof(the_numbers));
}

typedef struct {
    fb_feed_notes_t *notes;
    bool found;
} reading_t;

/* They are shown as they stand there. */
static bool are_skips(fb_slice_t text)
{
    fb_error_t error = {0};
    return text.len > 0 && text.at[0] == '[' && fb_json_raw_check(text, &error) == FB_OK;
}

/* What somebody else has written there must not break us: what is not as it should be counts as
 * not there. */
static void on_notes(void *context, const fb_slice_t *values)
{
    reading_t *reading = context;
    fb_feed_notes_t *notes = reading->notes;
    const fb_buffer_t skips = notes->skips;
    text_t texts[TEXTS];
    number_t numbers[NUMBERS];
    *notes = (fb_feed_notes_t){.skips = skips};
    notes->skips.len = 0;
    members(notes, texts, numbers);
    for (unsigned i = 0; i < TEXTS; i++) {
        fb_slice_t text = values[texts[i].field];
        if (text.at != NULL && text.len < texts[i].size && memchr(text.at, '\0', text.len) == NULL)
            memcpy(texts[i].at, text.at, text.len);
    }
    for (unsigned i = 0; i < NUMBERS; i++) {
        if (values[numbers[i].field].at != NULL)
            fb_slice_to_u64(values[numbers[i].field], INT64_MAX, numbers[i].at);
    }
    fb_instant_parse(values[FETCHED_AT], &notes->fetched_at);
    fb_instant_parse(values[SUCCEEDED_AT], &notes->succeeded_at);
    if (are_skips(values[SKIPS]))
        fb_buffer_put_slice(&notes->skips, values[SKIPS]);
    reading->found = values[URL].at != NULL;
}

fb_code_t fb_feed_notes_read(fb_feed_notes_t *notes, fb_store_t *store, bool *found,
                             fb_error_t *error)
{
    reading_t reading = {notes, false};
    fb_code_t code = store->vtable->notes_read(store, &all, on_notes, &reading, error);
    *found = reading.found;
    return code;
}

static fb_slice_t instant_text(fb_instant_t instant, char *text)
{
    if (instant == 0)
        return FB_SLICE("");
    fb_instant_format(instant, text);
    return (fb_slice_t){text, FB_INSTANT_TEXT_BYTES};
}

fb_code_t fb_feed_notes_put(const fb_feed_notes_t *notes, fb_store_t *store, fb_error_t *error)
{
    fb_feed_notes_t copy = *notes; /* whose members are looked at alone */
    fb_slice_t values[FIELDS];
    char instants[2][FB_INSTANT_TEXT_BYTES], decimals[NUMBERS][24];
    text_t texts[TEXTS];
    number_t numbers[NUMBERS];
    members(&copy, texts, numbers);
    for (unsigned i = 0; i < TEXTS; i++)
        values[texts[i].field] = fb_slice(texts[i].at);
    for (unsigned i = 0; i < NUMBERS; i++) {
        snprintf(decimals[i], sizeof(decimals[i]), "%llu", (unsigned long long)*numbers[i].at);
        values[numbers[i].field] = fb_slice(decimals[i]);
    }
    values[FETCHED_AT] = instant_text(notes->fetched_at, instants[0]);
    values[SUCCEEDED_AT] = instant_text(notes->succeeded_at, instants[1]);
    values[SKIPS] = notes->skips.len > 0 ? fb_buffer_slice(&notes->skips) : FB_SLICE("");
    return store->vtable->notes_put(store, &all, values, error);
}

/* --- the JSON ---------------------------------------------------------------------------- */

static void put_text(fb_buffer_t *body, const char *before, const char *text)
{
    fb_buffer_put_text(body, before);
    if (text[0] != '\0')
        fb_json_put_string(body, fb_slice(text));
    else
        fb_buffer_put_literal(body, "null");
}

static void put_instant(fb_buffer_t *body, const char *before, fb_instant_t instant)
{
    fb_buffer_put_text(body, before);
    if (instant != 0)
        fb_json_put_instant(body, instant);
    else
        fb_buffer_put_literal(body, "null");
}

void fb_feed_notes_render(const fb_feed_notes_t *notes, fb_buffer_t *body)
{
    put_text(body, "{\"url\":", notes->url);
    put_text(body, ",\"instance\":", notes->instance);
    put_instant(body, ",\"fetched_at\":", notes->fetched_at);
    put_instant(body, ",\"succeeded_at\":", notes->succeeded_at);
    fb_buffer_put_literal(body, ",\"status\":");
    if (notes->status != 0)
        fb_buffer_put_u64(body, notes->status);
    else
        fb_buffer_put_literal(body, "null");
    put_text(body, ",\"error\":", notes->error);
    fb_buffer_printf(body,
                     ",\"failures\":%llu,\"bytes\":%llu,\"plans\":%llu,\"changed\":%llu,"
                     "\"skipped\":%llu,\"skipped_plans\":",
                     (unsigned long long)notes->failures, (unsigned long long)notes->bytes,
                     (unsigned long long)notes->plans, (unsigned long long)notes->changed,
                     (unsigned long long)notes->skipped);
    fb_buffer_put_slice(body,
                        notes->skips.len > 0 ? fb_buffer_slice(&notes->skips) : FB_SLICE("[]"));
    fb_buffer_put_char(body, '}');
}

/* --- the URL ----------------------------------------------------------------------------- */

void fb_feed_show_url(const char *url, fb_buffer_t *shown)
{
    char *text = NULL;
    CURLU *parsed = curl_url();
    fb_assert(parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK);
    curl_url_set(parsed, CURLUPART_USER, NULL, 0);
    curl_url_set(parsed, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(parsed, CURLUPART_QUERY, NULL, 0);
    curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0);
    fb_assert(curl_url_get(parsed, CURLUPART_URL, &text, 0) == CURLUE_OK);
    fb_buffer_put_text(shown, text);
    curl_free(text);
    curl_url_cleanup(parsed);
}

/* Another version may understand what this one passes over. */
static void hash_source(const char *url, char source[FB_FEED_SOURCE_BYTES])
{
    fb_buffer_t text = {0};
    fb_buffer_printf(&text, "%s %s", FB_VERSION, url);
    XXH128_hash_t hash = XXH3_128bits(text.at, text.len);
    snprintf(source, FB_FEED_SOURCE_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    fb_buffer_dispose(&text);
}

void fb_feed_notes_begin(fb_feed_notes_t *notes, const char *url)
{
    fb_buffer_t text = {0};
    fb_feed_show_url(url, &text);
    fb_buffer_put_char(&text, '\0');
    snprintf(notes->url, sizeof(notes->url), "%s", text.at);
    fb_buffer_dispose(&text);
    hash_source(url, notes->source);
}

bool fb_feed_notes_are_of(const fb_feed_notes_t *notes, const char *url)
{
    char source[FB_FEED_SOURCE_BYTES];
    hash_source(url, source);
    return strcmp(source, notes->source) == 0;
}
