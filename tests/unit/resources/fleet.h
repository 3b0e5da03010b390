/* SPDX-License-Identifier: MIT */
#pragma once

#include <string.h>

#include "base/json.h"
#include "resources/registry.h"
#include "resources/stage.h"
#include "tests/unit/random.h"

/* What the tests of this folder have in common: a fleet without a server. Requests are texts, as
 * the server would get them; snapshots are kept and freed as the shelf would do it. */

#define TODAY ((fb_day_t)20778) /* 2026-11-21 */
#define NOON  ((fb_instant_t)TODAY * 86400000 + 43200000)

static const char *const fleet_types[] = {"excavator", "crane", "dumper"};
static const fb_rules_t fleet_rules = {.machine_types = fleet_types,
                                       .machine_type_count = FB_COUNT(fleet_types)};

#define assert_text(slice, expected)                                                               \
    do {                                                                                           \
        fb_slice_t slice_ = (slice);                                                               \
        fb_slice_t expected_ = fb_slice(expected);                                                 \
        if (!fb_slice_equal(slice_, expected_))                                                    \
            fail_msg("\n is: %.*s\nnot: %.*s", FB_PRINT(slice_), FB_PRINT(expected_));             \
    } while (0)

#define assert_same_text(a, b)                                                                     \
    do {                                                                                           \
        fb_slice_t a_ = fb_buffer_slice(a), b_ = fb_buffer_slice(b);                               \
        if (!fb_slice_equal(a_, b_))                                                               \
            fail_msg("\n one: %.*s\nother: %.*s", FB_PRINT(a_), FB_PRINT(b_));                     \
    } while (0)

/* --- the snapshots of a fleet, oldest first ------------------------------------------------- */

#define HISTORY_MAX 128

typedef struct {
    fb_snapshot_t *at[HISTORY_MAX];
    void **garbage[HISTORY_MAX]; /* what its successor no longer shows */
    size_t garbage_count[HISTORY_MAX];
    size_t count, kept; /* at most `kept` of them stay */
} history_t;

static inline history_t history_create(size_t kept)
{
    history_t history = {.kept = kept, .count = 1};
    assert_true(kept >= 1 && kept <= HISTORY_MAX);
    history.at[0] = fb_snapshot_create(&fleet_rules, 0x5EED, TODAY);
    return history;
}

static inline const fb_snapshot_t *history_now(const history_t *history)
{
    return history->at[history->count - 1];
}

static inline void history_drop(history_t *history)
{
    for (size_t i = 0; i < history->garbage_count[0]; i++)
        free(history->garbage[0][i]);
    free(history->garbage[0]);
    free(history->at[0]);
    size_t rest = --history->count;
    memmove(&history->at[0], &history->at[1], rest * sizeof(history->at[0]));
    memmove(&history->garbage[0], &history->garbage[1], rest * sizeof(history->garbage[0]));
    memmove(&history->garbage_count[0], &history->garbage_count[1],
            rest * sizeof(history->garbage_count[0]));
}

/* Seals the stage, which was begun upon the newest snapshot. */
static inline void history_push(history_t *history, fb_stage_t **stage)
{
    size_t last = history->count - 1;
    fb_snapshot_t *next =
        fb_stage_seal(stage, &history->garbage[last], &history->garbage_count[last]);
    if (history->count == history->kept)
        history_drop(history);
    history->at[history->count++] = next;
}

static inline void history_dispose(history_t *history)
{
    while (history->count > 1)
        history_drop(history);
    fb_snapshot_destroy(&history->at[0]);
}

/* --- requests ----------------------------------------------------------------------------- */

/* Cuts the path off a target; what is behind the "?" remains. */
static inline fb_slice_t cut_path(fb_slice_t *target)
{
    const char *mark = memchr(target->at, '?', target->len);
    fb_slice_t path = {target->at, mark ? (size_t)(mark - target->at) : target->len};
    size_t past = mark ? path.len + 1 : path.len;
    *target = (fb_slice_t){mark ? target->at + past : NULL, target->len - past};
    return path;
}

static inline fb_code_t read_target(const char *target, fb_route_t *route, fb_args_t *args,
                                    fb_error_t *error)
{
    fb_slice_t query = fb_slice(target);
    fb_slice_t path = cut_path(&query);
    fb_code_t code = fb_registry_route(FB_SLICE("GET"), path, route, error);
    if (code != FB_OK)
        return code;
    return fb_registry_read_args(route, query, args, error);
}

/* GET: replaces what is in `body`; `stamp` (NULL: none) is that of the answer. */
static inline fb_code_t fleet_read(const fb_snapshot_t *snapshot, const char *target,
                                   fb_buffer_t *body, uint64_t *stamp, fb_error_t *error)
{
    fb_route_t route;
    fb_args_t args = {0};
    body->len = 0;
    *error = (fb_error_t){0};
    fb_code_t code = read_target(target, &route, &args, error);
    if (code == FB_OK && route.view->render != NULL) {
        code = route.view->render(snapshot, &args, body, error);
        if (stamp != NULL)
            *stamp = route.view->stamp(snapshot, &args);
    }
    fb_args_dispose(&args);
    assert_int_equal(code, error->code);
    return code;
}

static inline void assert_reads(const fb_snapshot_t *snapshot, const char *target,
                                const char *expected)
{
    fb_error_t error;
    fb_buffer_t body = {0};
    if (fleet_read(snapshot, target, &body, NULL, &error) != FB_OK)
        fail_msg("%s: %s", target, error.detail);
    assert_text(fb_buffer_slice(&body), expected);
    fb_buffer_dispose(&body);
}

/* Is refused with this code, and names this field first (NULL: none). */
static inline void assert_error(const fb_error_t *error, fb_code_t code, const char *field)
{
    if (error->code != code)
        fail_msg("%s, not %s: %s", fb_code_name(error->code), fb_code_name(code), error->detail);
    assert_int_equal(error->field_count > 0, field != NULL);
    if (field != NULL)
        assert_string_equal(error->fields[0].field, field);
    assert_true(error->detail[0] != '\0');
}

static inline void assert_read_fails(const fb_snapshot_t *snapshot, const char *target,
                                     fb_code_t code, const char *field)
{
    fb_error_t error;
    fb_buffer_t body = {0};
    fleet_read(snapshot, target, &body, NULL, &error);
    assert_error(&error, code, field);
    fb_buffer_dispose(&body);
}

/* The cursor that ends a page, or an empty text. */
static inline fb_slice_t page_cursor(fb_slice_t body)
{
    static const char mark[] = "\"next\":";
    const char *found = memmem(body.at, body.len, mark, sizeof(mark) - 1);
    assert_non_null(found);
    found += sizeof(mark) - 1;
    if (*found != '"')
        return (fb_slice_t){found, 0};
    const char *end = memchr(found + 1, '"', (size_t)(body.at + body.len - found - 1));
    return (fb_slice_t){found + 1, (size_t)(end - found - 1)};
}

/* What a command did. */
typedef struct {
    fb_error_t error;
    fb_buffer_t payload; /* of its change, as the log has it */
    uint32_t ids[FB_PATH_IDS_MAX];
} written_t;

static inline fb_code_t fleet_plan(const fb_snapshot_t *snapshot, fb_instant_t now,
                                   const char *method, const char *path, fb_slice_t body,
                                   fb_args_t *args, fb_plan_t *plan, fb_error_t *error)
{
    fb_route_t route;
    fb_code_t code = fb_registry_route(fb_slice(method), fb_slice(path), &route, error);
    if (code != FB_OK)
        return code;
    const fb_command_t *command = route.command;
    fb_registry_begin_args(&route, args);
    if (command->body != NULL)
        code = fb_registry_read_body(&route, body, args, error);
    args->now = now;
    return code == FB_OK ? command->plan(snapshot, args, plan, error) : code;
}

/* Plans a command upon what the stage shows now, and applies it. The payload is replaced. */
static inline fb_code_t fleet_write(fb_stage_t *stage, fb_instant_t now, const char *method,
                                    const char *path, const char *body, written_t *written)
{
    fb_args_t args = {0};
    fb_plan_t plan = {0};
    written->error = (fb_error_t){0};
    written->payload.len = 0;
    fb_code_t code = fleet_plan(fb_stage_view(stage), now, method, path, fb_slice(body), &args,
                                &plan, &written->error);
    assert_int_equal(code, written->error.code);
    if (code == FB_OK) {
        fb_change_encode(&plan.change, &written->payload);
        fb_stage_apply(stage, &plan.change);
        memcpy(written->ids, plan.ids, sizeof(written->ids));
    }
    fb_change_dispose(&plan.change);
    fb_args_dispose(&args);
    return code;
}

/* Writes that must succeed; returns the last id of the path that shows it. */
static inline uint32_t must_write(fb_stage_t *stage, const char *method, const char *path,
                                  const char *body)
{
    written_t written = {0};
    if (fleet_write(stage, NOON, method, path, body, &written) != FB_OK)
        fail_msg("%s %s %s: %s", method, path, body, written.error.detail);
    fb_buffer_dispose(&written.payload);
    return written.ids[1] != 0 ? written.ids[1] : written.ids[0];
}

static inline void assert_write_fails(fb_stage_t *stage, const char *method, const char *path,
                                      const char *body, fb_code_t code, const char *field)
{
    written_t written = {0};
    fleet_write(stage, NOON, method, path, body, &written);
    assert_error(&written.error, code, field);
    fb_buffer_dispose(&written.payload);
}
