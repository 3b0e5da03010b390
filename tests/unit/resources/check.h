/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/resources/model.h"

/* Holds what a snapshot answers against what the model says. */

static inline void target_day(fb_buffer_t *target, const char *name, fb_day_t day)
{
    fb_day_format(day, fb_buffer_reserve(target, FB_DAY_TEXT_BYTES + strlen(name)) + strlen(name));
    memcpy(target->at + target->len, name, strlen(name));
    target->len += FB_DAY_TEXT_BYTES + strlen(name);
}

/* How the model writes a row of a list. */
typedef void put_row_t(const model_t *model, uint32_t id, fb_buffer_t *out);

/* Walks a list from its first page to its last: `target` (with its "?" and at least one parameter)
 * must show exactly `ids`, `limit` on a page, each page after `prefix`. */
static inline void check_pages(const fb_snapshot_t *snapshot, const model_t *model,
                               const char *target, const char *prefix, put_row_t *put,
                               const uint32_t *ids, size_t count, size_t limit)
{
    fb_buffer_t body = {0}, expected = {0}, page = {0};
    fb_error_t error;
    fb_slice_t cursor = {NULL, 0};
    size_t shown = 0;
    do {
        page.len = 0;
        fb_buffer_printf(&page, "%s&limit=%zu%s%.*s", target, limit, cursor.len ? "&cursor=" : "",
                         FB_PRINT(cursor));
        fb_buffer_put_char(&page, '\0');
        assert_int_equal(fleet_read(snapshot, page.at, &body, NULL, &error), FB_OK);
        expected.len = 0;
        fb_buffer_printf(&expected, "{%s\"machines\":[", prefix);
        for (size_t i = 0; i < limit && shown < count; i++, shown++) {
            fb_buffer_put_text(&expected, i > 0 ? "," : "");
            put(model, ids[shown], &expected);
        }
        fb_buffer_put_literal(&expected, "],\"next\":");
        cursor = page_cursor(fb_buffer_slice(&body));
        if (shown < count)
            fb_buffer_printf(&expected, "\"%.*s\"}", FB_PRINT(cursor));
        else
            fb_buffer_put_literal(&expected, "null}");
        assert_same_text(&body, &expected);
    } while (shown < count);
    fb_buffer_dispose(&page);
    fb_buffer_dispose(&expected);
    fb_buffer_dispose(&body);
}

/* The machines that are free on all these days; of all days where `from` is after `to`. */
static inline size_t model_free(const model_t *model, fb_day_t from, fb_day_t to, const char *type,
                                uint32_t *ids)
{
    size_t count = 0;
    for (uint32_t i = 0; i < model->machine_count; i++) {
        if (model_is_free(model, MODEL_FIRST + 1 + i, from, to, type))
            ids[count++] = MODEL_FIRST + 1 + i;
    }
    return count;
}

static inline void put_text_end(fb_buffer_t *target, const char *type)
{
    if (type != NULL)
        fb_buffer_printf(target, "&type=%s", type);
    fb_buffer_put_char(target, '\0');
}

/* The machines in that state (NULL: any), of that type (NULL: any). */
static inline size_t model_in_status(const model_t *model, const char *status, const char *type,
                                     uint32_t *ids)
{
    size_t count = 0;
    for (uint32_t i = 0; i < model->machine_count; i++) {
        const char *is = model->machines[i].status;
        if (is != NULL && (status == NULL || strcmp(is, status) == 0) &&
            (type == NULL || strcmp(model->machines[i].type, type) == 0))
            ids[count++] = MODEL_FIRST + 1 + i;
    }
    return count;
}

static inline void check_list(const fb_snapshot_t *snapshot, const model_t *model,
                              const char *status, const char *type, size_t limit)
{
    uint32_t ids[MODEL_MACHINES];
    fb_buffer_t target = {0};
    fb_buffer_put_text(&target, "/v1/machines?");
    if (status != NULL)
        fb_buffer_printf(&target, "&status=%s", status);
    put_text_end(&target, type);
    size_t count = status != NULL ? model_in_status(model, status, type, ids)
                                  : model_free(model, 1, 0, type, ids);
    check_pages(snapshot, model, target.at, "", model_put_machine, ids, count, limit);
    fb_buffer_dispose(&target);
}

/* `from` 0: today, without a parameter; `to` 0: the one date. */
static inline void check_availability(const fb_snapshot_t *snapshot, const model_t *model,
                                      fb_day_t from, fb_day_t to, const char *type, size_t limit)
{
    uint32_t ids[MODEL_MACHINES];
    fb_buffer_t target = {0}, prefix = {0};
    fb_day_t first = from == 0 ? model->today : from, last = to == 0 ? first : to;
    fb_buffer_put_text(&target, "/v1/availability?");
    if (from != 0)
        target_day(&target, to == 0 ? "&date=" : "&from=", from);
    if (to != 0)
        target_day(&target, "&to=", to);
    put_text_end(&target, type);
    size_t count = model_free(model, first, last, type, ids);
    fb_buffer_put_text(&prefix, to == 0 ? "\"date\":" : "\"from\":");
    fb_json_put_day(&prefix, first);
    if (to != 0) {
        fb_buffer_put_text(&prefix, ",\"to\":");
        fb_json_put_day(&prefix, last);
    }
    fb_buffer_printf(&prefix, ",\"count\":%zu,", count);
    fb_buffer_put_char(&prefix, '\0');
    check_pages(snapshot, model, target.at, prefix.at, model_put_machine, ids, count, limit);
    fb_buffer_dispose(&prefix);
    fb_buffer_dispose(&target);
}

static inline void check_calendar(const fb_snapshot_t *snapshot, const model_t *model,
                                  fb_day_t from, fb_day_t to, const char *type)
{
    uint32_t ids[MODEL_MACHINES];
    fb_buffer_t target = {0}, body = {0}, expected = {0};
    fb_error_t error;
    fb_buffer_put_text(&target, "/v1/availability/calendar?");
    target_day(&target, "from=", from);
    target_day(&target, "&to=", to);
    put_text_end(&target, type);
    fb_buffer_put_text(&expected, "{");
    target_day(&expected, "\"from\":\"", from);
    target_day(&expected, "\",\"to\":\"", to);
    fb_buffer_put_text(&expected, "\",\"days\":[");
    for (fb_day_t day = from; day <= to; day++) {
        target_day(&expected, day > from ? ",{\"date\":\"" : "{\"date\":\"", day);
        fb_buffer_printf(&expected, "\",\"available\":%zu}",
                         model_free(model, day, day, type, ids));
    }
    fb_buffer_put_text(&expected, "]}");
    assert_int_equal(fleet_read(snapshot, target.at, &body, NULL, &error), FB_OK);
    assert_same_text(&body, &expected);
    fb_buffer_dispose(&target);
    fb_buffer_dispose(&body);
    fb_buffer_dispose(&expected);
}

static inline void check_machine_calendar(const fb_snapshot_t *snapshot, const model_t *model,
                                          uint32_t id, fb_day_t from, fb_day_t to)
{
    fb_buffer_t target = {0}, body = {0}, expected = {0};
    fb_error_t error;
    fb_buffer_printf(&target, "/v1/machines/%u/calendar?", id);
    target_day(&target, "from=", from);
    target_day(&target, "&to=", to);
    fb_buffer_put_char(&target, '\0');
    fb_buffer_printf(&expected, "{\"machine_id\":%u,", id);
    target_day(&expected, "\"from\":\"", from);
    target_day(&expected, "\",\"to\":\"", to);
    fb_buffer_put_text(&expected, "\",\"days\":[");
    for (fb_day_t day = from; day <= to; day++) {
        target_day(&expected, day > from ? ",{\"date\":\"" : "{\"date\":\"", day);
        fb_buffer_printf(&expected,
                         "\",\"available\":%s,\"maintenance\":%s,\"booked\":%s,\"windows\":[",
                         model_is_free(model, id, day, day, NULL) ? "true" : "false",
                         model_in_maintenance(model, id, day) ? "true" : "false",
                         model_is_booked(model, id, day) ? "true" : "false");
        model_put_windows(model, id, day, &expected);
        fb_buffer_put_text(&expected, "],\"order_id\":null}");
    }
    fb_buffer_put_text(&expected, "]}");
    assert_int_equal(fleet_read(snapshot, target.at, &body, NULL, &error), FB_OK);
    assert_same_text(&body, &expected);
    fb_buffer_dispose(&target);
    fb_buffer_dispose(&body);
    fb_buffer_dispose(&expected);
}

/* The thing at a path, or that there is none. */
static inline void check_one(const fb_snapshot_t *snapshot, const fb_buffer_t *expected,
                             const char *path)
{
    fb_buffer_t body = {0};
    fb_error_t error;
    fleet_read(snapshot, path, &body, NULL, &error);
    assert_int_equal(error.code, expected->len > 0 ? FB_OK : FB_NOT_FOUND);
    if (expected->len > 0)
        assert_same_text(&body, expected);
    fb_buffer_dispose(&body);
}

/* A machine, its windows and its state. */
static inline void check_machine(const fb_snapshot_t *snapshot, const model_t *model, uint32_t id)
{
    fb_buffer_t expected = {0};
    char path[80];
    if (model_has(model, id))
        model_put_machine(model, id, &expected);
    snprintf(path, sizeof(path), "/v1/machines/%u", id);
    check_one(snapshot, &expected, path);
    expected.len = 0;
    if (model_has(model, id)) {
        fb_buffer_put_text(&expected, "{\"windows\":[");
        model_put_windows(model, id, 0, &expected);
        fb_buffer_put_text(&expected, "]}");
    }
    snprintf(path, sizeof(path), "/v1/machines/%u/maintenance", id);
    check_one(snapshot, &expected, path);
    expected.len = 0;
    if (model_has(model, id))
        model_put_status(model, id, &expected);
    snprintf(path, sizeof(path), "/v1/machines/%u/status", id);
    check_one(snapshot, &expected, path);
    fb_buffer_dispose(&expected);
}

static inline void check_window(const fb_snapshot_t *snapshot, const model_t *model, uint32_t id)
{
    fb_buffer_t expected = {0};
    char path[80];
    const model_window_t *window = &model->windows[id - 1];
    if (window->exists)
        model_put_window(model, id, &expected);
    snprintf(path, sizeof(path), "/v1/machines/%u/maintenance/%u", window->machine, id);
    check_one(snapshot, &expected, path);
    fb_buffer_dispose(&expected);
}
