/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/assert.h"
#include "resources/archive.h"
#include "resources/registry.h"
#include "resources/stage.h"
#include "tests/fuzz/fuzz.h"

/* A request upon a small fleet: `METHOD TARGET`, a line end, a body. Reads must give the same body
 * twice; a change must survive the log: what is decoded from its payload encodes to the same. */

#define TODAY ((fb_day_t)20778)

static const char *const types[] = {"crane", "pump"};
static const fb_rules_t rules = {.machine_types = types, .machine_type_count = FB_COUNT(types)};

/* Everything about one request that is not the fleet. */
typedef struct {
    fb_slice_t method, path, query, body;
} request_t;

static fb_slice_t cut(fb_slice_t *rest, char separator)
{
    const char *found = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
    fb_slice_t part = {rest->at, found ? (size_t)(found - rest->at) : rest->len};
    size_t past = found ? part.len + 1 : part.len;
    *rest = (fb_slice_t){rest->at + past, rest->len - past};
    return part;
}

static request_t parse(fb_slice_t input)
{
    fb_slice_t line = cut(&input, '\n');
    request_t request = {.method = cut(&line, ' '), .body = input};
    request.path = cut(&line, '?');
    request.query = line;
    return request;
}

static void check_log(const fb_change_t *change)
{
    fb_buffer_t payload = {0}, again = {0};
    fb_change_t decoded = {0};
    fb_error_t error = {0};
    fb_change_encode(change, &payload);
    fb_assert(fb_change_decode(&decoded, fb_buffer_slice(&payload), &error) == FB_OK);
    fb_change_encode(&decoded, &again);
    fb_assert(fb_slice_equal(fb_buffer_slice(&payload), fb_buffer_slice(&again)));
    fb_change_dispose(&decoded);
    fb_buffer_dispose(&payload);
    fb_buffer_dispose(&again);
}

/* As the server does it: each item upon the ones before it, all of them one change. */
static fb_code_t plan_items(fb_stage_t *stage, const fb_command_t *command, const fb_args_t *args,
                            fb_plan_t *plan, fb_error_t *error)
{
    fb_args_t item = {0};
    for (unsigned i = 0; i < args->items.count; i++) {
        size_t before = plan->change.count;
        fb_code_t code = fb_args_item(args, i, &item, error);
        if (code == FB_OK)
            code = command->plan(fb_stage_view(stage), &item, plan, error);
        fb_assert(code == error->code && fb_slice_is_utf8(fb_slice(error->detail)));
        fb_assert(item.values[0].given || code != FB_OK);
        if (code != FB_OK)
            plan->change.count = before;
        *error = (fb_error_t){0};
    }
    return FB_OK;
}

static void write_thing(fb_stage_t *stage, const fb_route_t *route, const request_t *request,
                        fb_args_t *args, fb_error_t *error)
{
    const fb_command_t *command = route->command;
    fb_plan_t plan = {0};
    fb_code_t code = FB_OK;
    if (command->body != NULL)
        code = fb_registry_read_body(route, request->body, args, error);
    if (code == FB_OK && command->body_mode == FB_BODY_EACH)
        code = plan_items(stage, command, args, &plan, error);
    else if (code == FB_OK)
        code = command->plan(fb_stage_view(stage), args, &plan, error);
    if (code == FB_OK) {
        check_log(&plan.change);
        fb_stage_apply(stage, &plan.change);
    }
    fb_change_dispose(&plan.change);
}

/* As if Redis had none of the rows that are asked for. */
static void read_archive(const fb_snapshot_t *snapshot, const fb_route_t *route,
                         const fb_args_t *args)
{
    fb_error_t error = {0};
    fb_archive_ask_t ask = {.view = route->view, .args = *args};
    const fb_archive_t *archive = route->resource->archive;
    archive->begin(snapshot, &ask);
    fb_assert(ask.id_count >= 1 && ask.id_count <= FB_ARCHIVE_READS_MAX && ask.wanted > 0);
    if (archive->end(&ask, &error) == FB_OK)
        fb_assert(ask.body.len > 0 && fb_slice_is_utf8(fb_buffer_slice(&ask.body)));
    ask.args = (fb_args_t){0}; /* they were lent */
    fb_archive_ask_dispose(&ask);
}

static void read_thing(const fb_snapshot_t *snapshot, const fb_route_t *route,
                       const request_t *request, fb_args_t *args, fb_error_t *error)
{
    const fb_view_t *view = route->view;
    fb_buffer_t first = {0}, second = {0};
    bool is_posted = view->source == FB_SOURCE_POSTED;
    fb_code_t code =
        is_posted ? fb_registry_read_body(route, request->body, args, error)
                  : fb_args_read_query(args, view->query, view->query_count, request->query, error);
    bool is_pure = is_posted || view->source == FB_SOURCE_SNAPSHOT;
    if (code == FB_OK && is_pure)
        code = view->render(snapshot, args, &first, error);
    if (code == FB_ARCHIVED)
        read_archive(snapshot, route, args);
    if (code == FB_OK && is_pure) {
        fb_assert(view->render(snapshot, args, &second, error) == FB_OK);
        fb_assert(fb_slice_equal(fb_buffer_slice(&first), fb_buffer_slice(&second)));
        fb_assert(fb_slice_is_utf8(fb_buffer_slice(&first)));
        fb_assert(is_posted || view->stamp(snapshot, args) == view->stamp(snapshot, args));
    }
    fb_buffer_dispose(&first);
    fb_buffer_dispose(&second);
}

static void answer(fb_stage_t *stage, const request_t *request)
{
    fb_route_t route;
    fb_error_t error = {0};
    fb_args_t args = {.now = 1795240000000};
    if (fb_registry_route(request->method, request->path, &route, &error) == FB_OK) {
        fb_registry_begin_args(&route, &args);
        if (route.view != NULL)
            read_thing(fb_stage_view(stage), &route, request, &args, &error);
        else
            write_thing(stage, &route, request, &args, &error);
    }
    fb_assert(fb_slice_is_utf8(fb_slice(error.detail)));
    fb_args_dispose(&args);
}

/* The body may be the payload of an entry of somebody else's log. */
static void decode(fb_slice_t payload)
{
    fb_change_t change = {0};
    fb_error_t error = {0};
    if (fb_change_decode(&change, payload, &error) == FB_OK)
        check_log(&change);
    fb_change_dispose(&change);
}

/* No request puts one. */
static void put_plan(fb_stage_t *stage)
{
    static const char payload[] =
        "[[\"put\",\"plan\",1,{\"id\":\"2b4a84dd-0d1d-56db-ae02-6f9fb13e0dbd\","
        "\"title\":\"Camela\",\"start_date\":\"2026-11-21\",\"start_time\":\"21:00:00\","
        "\"end_date\":\"2026-11-22\",\"end_time\":\"01:00:00\",\"min_price\":\"15.00\","
        "\"max_price\":\"20.00\",\"base_id\":\"291\",\"plan_id\":\"1591\","
        "\"sell_mode\":\"online\",\"sold_out\":\"0\",\"zones\":\"[]\"}]]";
    fb_change_t change = {0};
    fb_error_t error = {0};
    fb_assert(fb_change_decode(&change, FB_SLICE(payload), &error) == FB_OK);
    fb_stage_apply(stage, &change);
    fb_change_dispose(&change);
}

static fb_stage_t *make_fleet(fb_snapshot_t *empty)
{
    static const char *const requests[] = {
        "POST /v1/machines\n{\"label\":\"a\",\"inventory_id\":\"A\",\"type\":\"crane\"}",
        "POST /v1/machines\n{\"label\":\"b\",\"inventory_id\":\"B\",\"type\":\"pump\"}",
        "POST /v1/machines/1/maintenance\n{\"duration_days\":3}",
        "POST /v1/machines/2/maintenance\n{\"start_date\":\"2026-12-01\",\"duration_days\":40}",
        "POST /create_order\n{\"user_id\":\"a\",\"item_ids\":[7],\"total_amount\":1}",
        "DELETE /v1/orders/1\n",
        "POST /v1/orders\n{\"user_id\":1,\"item_ids\":[1],\"total_amount\":1,\"hold_seconds\":9,"
        "\"start_date\":\"2026-11-26\",\"end_date\":\"2026-11-27\"}",
        "POST /v1/orders\n{\"user_id\":1,\"item_ids\":[2],\"total_amount\":1,"
        "\"start_date\":\"2026-11-26\",\"end_date\":\"2026-11-27\"}",
        "POST /v1/orders/3/start\n",
    };
    fb_change_t archived = {0};
    fb_stage_t *stage = fb_stage_begin(empty);
    for (unsigned i = 0; i < FB_COUNT(requests); i++) {
        request_t request = parse(fb_slice(requests[i]));
        answer(stage, &request);
    }
    put_plan(stage);
    fb_change_archive(&archived, FB_ORDERS, 1);
    fb_stage_apply(stage, &archived);
    fb_change_dispose(&archived);
    fb_assert(fb_stage_view(stage)->families[FB_MAINTENANCE].rows.count == 2);
    fb_assert(fb_stage_view(stage)->families[FB_ORDERS].rows.count == 2);
    fb_assert(fb_stage_view(stage)->families[FB_PLANS].rows.count == 1);
    return stage;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void **garbage;
    size_t count;
    request_t request = parse((fb_slice_t){(const char *)data, size});
    fb_snapshot_t *empty = fb_snapshot_create(&rules, 1, TODAY);
    fb_stage_t *stage = make_fleet(empty);
    answer(stage, &request);
    decode(request.body);
    fb_snapshot_t *next = fb_stage_seal(&stage, &garbage, &count);
    fb_assert(count == 0);
    free(garbage);
    fb_snapshot_destroy(&next);
    free(empty);
    return 0;
}
