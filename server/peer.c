/* SPDX-License-Identifier: MIT */
#include "server/peer.h"

#include <jansson.h>
#include <stdio.h>

#include "resources/checksum.h"

/* --- what there is to compare ------------------------------------------------------------ */

unsigned fb_subjects(fb_subject_t subjects[FB_SUBJECTS_MAX])
{
    unsigned count = 0;
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        if (fb_state_family_name(family, subjects[count].name)) {
            subjects[count].is_plane = false;
            subjects[count++].number = family;
        }
    }
    for (unsigned plane = 0; plane < FB_PLANE_COUNT; plane++) {
        fb_subject_t *subject = &subjects[count++];
        snprintf(subject->name, sizeof(subject->name), "%s", fb_plane_names[plane]);
        subject->is_plane = true;
        subject->number = plane;
    }
    return count;
}

static bool next_row(const fb_snapshot_t *snapshot, unsigned family, uint32_t key,
                     fb_thing_t *thing)
{
    const fb_row_t *row = fb_table_next(&snapshot->families[family].rows, &key);
    if (row == NULL)
        return false;
    unsigned field_count = fb_registry_resource(family)->field_count;
    *thing = (fb_thing_t){.key = key, .sum = fb_checksum_row(row, field_count)};
    return true;
}

/* Days without a machine are as if they were not there. */
static bool next_day(const fb_snapshot_t *snapshot, unsigned plane, uint32_t key, fb_thing_t *thing)
{
    const fb_plane_day_t *found;
    for (; (found = fb_table_next(&snapshot->planes[plane], &key)) != NULL; key++) {
        if (found->machines.count == 0)
            continue;
        *thing = (fb_thing_t){.key = key,
                              .sum = fb_checksum_day(&found->machines, (fb_day_t)key),
                              .machines = found->machines.count};
        return true;
    }
    return false;
}

bool fb_thing_next(const fb_snapshot_t *snapshot, const fb_subject_t *subject, uint32_t key,
                   fb_thing_t *thing)
{
    return subject->is_plane ? next_day(snapshot, subject->number, key, thing)
                             : next_row(snapshot, subject->number, key, thing);
}

uint64_t fb_thing_stamp(const fb_snapshot_t *snapshot, const fb_subject_t *subject, uint32_t key)
{
    if (subject->is_plane) {
        const fb_plane_day_t *day = fb_table_get(&snapshot->planes[subject->number], key);
        return day != NULL ? day->changed : 0;
    }
    const fb_family_t *family = &snapshot->families[subject->number];
    const fb_row_t *row = fb_table_get(&family->rows, key);
    if (row != NULL)
        return row->changed;
    /* An id is given out once: a row that is gone stays so. */
    return key <= family->last_id ? 0 : UINT64_MAX;
}

/* --- reading its answers ----------------------------------------------------------------- */

static bool read_hex(const json_t *json, size_t digits, char *text)
{
    const char *value = json_string_value(json);
    if (value == NULL || json_string_length(json) != digits ||
        strspn(value, "0123456789abcdef") != digits)
        return false;
    memcpy(text, value, digits + 1);
    return true;
}

static bool read_sum(const json_t *json, uint64_t *sum)
{
    char text[FB_SUM_BYTES + 1];
    unsigned long long number;
    if (!read_hex(json, FB_SUM_BYTES, text) || sscanf(text, "%llx", &number) != 1)
        return false;
    *sum = number;
    return true;
}

static bool read_number(const json_t *json, uint64_t max, uint64_t *number)
{
    if (!json_is_integer(json) || json_integer_value(json) < 0)
        return false;
    *number = (uint64_t)json_integer_value(json);
    return *number <= max;
}

/* GETs a JSON object; the caller owns it. */
static fb_code_t get_object(const fb_peer_t *peer, const fb_buffer_t *url, json_t **object,
                            fb_error_t *error)
{
    fb_buffer_t body = {0};
    fb_code_t code = fb_http_get(peer->http, url->at, &body, error);
    *object = NULL;
    if (code == FB_OK)
        *object = json_loadb(body.at ? body.at : "", body.len, JSON_REJECT_DUPLICATES, NULL);
    fb_buffer_dispose(&body);
    if (code == FB_OK && !json_is_object(*object)) {
        json_decref(*object);
        *object = NULL;
        return fb_fail(error, FB_IO, "its answer is no JSON object: is this its admin listener?");
    }
    return code;
}

/* The beginning of the URL of one of its pages. */
static void put_base(const fb_peer_t *peer, const char *path, fb_buffer_t *url)
{
    size_t len = strlen(peer->url);
    while (len > 0 && peer->url[len - 1] == '/')
        len--;
    fb_buffer_printf(url, "%.*s%s", (int)len, peer->url, path);
}

/* A sum for each subject that it knows. */
static bool read_sums(const json_t *checksum, uint64_t sums[FB_SUBJECTS_MAX])
{
    fb_subject_t subjects[FB_SUBJECTS_MAX];
    unsigned count = fb_subjects(subjects);
    for (unsigned i = 0; i < count; i++) {
        const json_t *group =
            json_object_get(checksum, subjects[i].is_plane ? "planes" : "families");
        const json_t *sum = json_object_get(group, subjects[i].name);
        sums[i] = 0;
        if (!json_is_object(group) || (sum != NULL && !read_sum(sum, &sums[i])))
            return false;
    }
    return true;
}

static bool read_status(const json_t *object, fb_peer_status_t *status)
{
    const json_t *checksum = json_object_get(object, "checksum");
    status->is_loaded = !json_is_null(checksum);
    if (!status->is_loaded)
        return true;
    return read_hex(json_object_get(object, "epoch"), FB_EPOCH_BYTES, status->epoch) &&
           read_hex(json_object_get(object, "chain"), FB_CHAIN_BYTES, status->chain) &&
           read_number(json_object_get(object, "revision"), INT64_MAX, &status->revision) &&
           read_sum(json_object_get(checksum, "total"), &status->total) &&
           read_sums(checksum, status->sums);
}

fb_code_t fb_peer_status(const fb_peer_t *peer, fb_peer_status_t *status, fb_error_t *error)
{
    fb_buffer_t url = {0};
    json_t *object;
    put_base(peer, "/status.json", &url);
    fb_buffer_put_char(&url, '\0');
    fb_code_t code = get_object(peer, &url, &object, error);
    fb_buffer_dispose(&url);
    if (code != FB_OK)
        return code;
    const char *fleet = json_string_value(json_object_get(object, "fleet"));
    if (fleet == NULL || !read_status(object, status))
        code = fb_fail(error, FB_IO, "its status.json is not as a fleetbit writes it");
    else if (strcmp(fleet, peer->fleet) != 0)
        code =
            fb_fail(error, FB_IO, "it serves the fleet \"%.64s\", not \"%s\"", fleet, peer->fleet);
    json_decref(object);
    return code;
}

static bool read_key(const json_t *item, bool is_plane, uint32_t *key)
{
    const json_t *json = json_object_get(item, is_plane ? "date" : "id");
    uint64_t id;
    fb_day_t day;
    if (!is_plane && read_number(json, UINT32_MAX, &id)) {
        *key = (uint32_t)id;
        return true;
    }
    if (!is_plane || !json_is_string(json) ||
        fb_day_parse(fb_slice(json_string_value(json)), &day) != FB_DATE_OK || day < FB_DAY_MIN)
        return false;
    *key = (uint32_t)day;
    return true;
}

static bool read_thing(const json_t *item, bool is_plane, fb_thing_t *thing)
{
    *thing = (fb_thing_t){.key = 0};
    return read_key(item, is_plane, &thing->key) &&
           read_sum(json_object_get(item, "sum"), &thing->sum) &&
           (!is_plane ||
            read_number(json_object_get(item, "machines"), UINT32_MAX, &thing->machines));
}

/* Things ascend from `key` on, and where more are to come there is at least one. */
static bool read_page(const json_t *object, const fb_subject_t *subject, uint32_t key,
                      fb_peer_page_t *page)
{
    const json_t *items = json_object_get(object, subject->is_plane ? "days" : "rows");
    const json_t *next = json_object_get(object, "next");
    page->count = json_array_size(items);
    if (!read_hex(json_object_get(object, "epoch"), FB_EPOCH_BYTES, page->epoch) ||
        !read_number(json_object_get(object, "revision"), INT64_MAX, &page->revision) ||
        !json_is_array(items) || next == NULL || page->count > FB_STATE_LIMIT_MAX)
        return false;
    for (size_t i = 0; i < page->count; i++) {
        fb_thing_t *thing = &page->things[i];
        if (!read_thing(json_array_get(items, i), subject->is_plane, thing) || thing->key < key ||
            (i > 0 && thing->key <= thing[-1].key))
            return false;
    }
    if (!json_is_null(next) && page->count == 0)
        return false;
    page->end = json_is_null(next) ? UINT32_MAX : page->things[page->count - 1].key;
    return true;
}

fb_code_t fb_peer_page(const fb_peer_t *peer, const fb_subject_t *subject, uint32_t key,
                       fb_peer_page_t *page, fb_error_t *error)
{
    fb_buffer_t url = {0};
    json_t *object;
    put_base(peer, "/state?", &url);
    fb_buffer_printf(&url, "%s=%s&limit=%d", subject->is_plane ? "plane" : "family", subject->name,
                     FB_STATE_LIMIT_MAX);
    if (key > 0 && subject->is_plane) {
        fb_buffer_put_literal(&url, "&after=");
        fb_day_format((fb_day_t)key - 1, fb_buffer_reserve(&url, FB_DAY_TEXT_BYTES));
        url.len += FB_DAY_TEXT_BYTES;
    } else if (key > 0) {
        fb_buffer_printf(&url, "&after=%u", key - 1);
    }
    fb_buffer_put_char(&url, '\0');
    fb_code_t code = get_object(peer, &url, &object, error);
    fb_buffer_dispose(&url);
    if (code == FB_OK && !read_page(object, subject, key, page))
        code = fb_fail(error, FB_IO, "its pages of /state are not as a fleetbit writes them");
    json_decref(object);
    return code;
}
