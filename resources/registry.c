/* SPDX-License-Identifier: MIT */
#include "resources/registry.h"

#include <stdio.h>

#include "base/assert.h"

#define OWN_PATH_BYTES_MAX 512

static const fb_resource_t *const resources[] = {
    [FB_MACHINES] = &fb_machines,
    [FB_MAINTENANCE] = &fb_maintenance,
    [FB_AVAILABILITY] = &fb_availability,
    [FB_EQUIPMENT] = &fb_equipment,
    [FB_ORDERS] = &fb_orders,
    [FB_ORDER_TOTALS] = &fb_order_totals,
    [FB_IDEMPOTENCY] = &fb_idempotency,
    [FB_FACTORIES] = &fb_factories,
    [FB_SPROCKETS] = &fb_sprockets,
    [FB_PLANS] = &fb_plans,
    [FB_SEARCH] = &fb_search,
    [FB_FEED] = &fb_feed,
};

_Static_assert(FB_COUNT(resources) == FB_FAMILY_COUNT, "every family has its line");
_Static_assert(FB_FAMILY_COUNT <= FB_FAMILIES_MAX, "a snapshot has room for every family");

unsigned fb_registry_count(void)
{
    return FB_FAMILY_COUNT;
}

const fb_resource_t *fb_registry_resource(unsigned family)
{
    fb_assert(family < FB_FAMILY_COUNT);
    return resources[family];
}

int fb_registry_family(fb_slice_t row_name)
{
    for (unsigned i = 0; i < FB_FAMILY_COUNT; i++) {
        if (resources[i]->row_name != NULL && fb_slice_is(row_name, resources[i]->row_name))
            return (int)i;
    }
    return -1;
}

int fb_registry_queue(fb_slice_t queue)
{
    for (unsigned i = 0; i < FB_FAMILY_COUNT; i++) {
        if (resources[i]->queue != NULL && fb_slice_is(queue, resources[i]->queue))
            return (int)i;
    }
    return -1;
}

#define UUID_PATTERN "{uuid}"

static bool is_uuid_pattern(const char *pattern)
{
    return strncmp(pattern, UUID_PATTERN, sizeof(UUID_PATTERN) - 1) == 0;
}

static bool match_id(fb_slice_t segment, unsigned ids, fb_route_t *route)
{
    uint64_t id;
    if (!fb_slice_to_u64(segment, UINT32_MAX, &id) || id == 0)
        return false;
    fb_assert(ids < FB_PATH_IDS_MAX);
    route->ids[ids] = (uint32_t)id;
    return true;
}

static bool match_uuid(fb_slice_t segment, fb_route_t *route)
{
    if (!fb_uuid_is_text(segment))
        return false;
    memcpy(route->uuid, segment.at, FB_UUID_TEXT_BYTES);
    return true;
}

/* Does the path fit the pattern? An {id} takes a positive decimal number of 32 bits, a {uuid} one
 * in lower case: all else is a path that does not exist. */
static bool match(const char *pattern, fb_slice_t path, fb_route_t *route)
{
    size_t at = 0;
    unsigned ids = 0;
    route->uuid[0] = '\0';
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (at == path.len || path.at[at++] != *pattern++)
                return false;
            continue;
        }
        size_t start = at;
        while (at < path.len && path.at[at] != '/')
            at++;
        fb_slice_t segment = {path.at + start, at - start};
        bool is_uuid = is_uuid_pattern(pattern);
        if (!(is_uuid ? match_uuid(segment, route) : match_id(segment, ids, route)))
            return false;
        ids += is_uuid ? 0 : 1;
        pattern = strchr(pattern, '}') + 1;
    }
    route->id_count = ids;
    return at == path.len;
}

static bool is_read(fb_slice_t method)
{
    return fb_slice_is(method, "GET") || fb_slice_is(method, "HEAD");
}

/* Is it the method by which the view is asked? */
static bool asks(fb_slice_t method, const fb_view_t *view)
{
    return view->source == FB_SOURCE_POSTED ? fb_slice_is(method, "POST") : is_read(method);
}

static bool match_resource(const fb_resource_t *resource, fb_slice_t method, fb_slice_t path,
                           fb_route_t *route)
{
    unsigned commands = is_read(method) ? 0 : resource->command_count;
    for (unsigned i = 0; i < resource->view_count; i++) {
        const fb_view_t *view = &resource->views[i];
        if (!asks(method, view) || !match(view->path, path, route))
            continue;
        route->resource = resource;
        route->view = view;
        return true;
    }
    for (unsigned i = 0; i < commands; i++) {
        const fb_command_t *command = &resource->commands[i];
        if (!fb_slice_is(method, command->method) || !match(command->path, path, route))
            continue;
        route->resource = resource;
        route->command = command;
        return true;
    }
    return false;
}

/* Does the path begin with these segments? */
static bool begins_with(fb_slice_t path, const char *segments)
{
    size_t len = segments != NULL ? strlen(segments) : 0;
    return len > 0 && path.len >= len && memcmp(path.at, segments, len) == 0 &&
           (path.len == len || path.at[len] == '/' || path.at[len] == '?');
}

const fb_resource_t *fb_registry_owner(fb_slice_t target)
{
    for (unsigned i = 0; i < FB_FAMILY_COUNT; i++) {
        if (begins_with(target, resources[i]->path) || begins_with(target, resources[i]->alias))
            return resources[i];
    }
    return NULL;
}

/* The path of a thing that has another name, under its own. */
static fb_slice_t own_path(const fb_resource_t *resource, fb_slice_t path, char *text)
{
    if (!begins_with(path, resource->alias) || path.len > OWN_PATH_BYTES_MAX / 2)
        return path;
    size_t len = strlen(resource->alias);
    int made = snprintf(text, OWN_PATH_BYTES_MAX, "%s%.*s", resource->path, (int)(path.len - len),
                        path.at + len);
    return (fb_slice_t){text, (size_t)made};
}

static void allow(fb_route_t *route, const char *method)
{
    size_t len = strlen(route->allow);
    if (strstr(route->allow, method) != NULL)
        return;
    snprintf(route->allow + len, sizeof(route->allow) - len, "%s%s", len ? ", " : "", method);
}

/* The methods that the path takes, for one that it does not. */
static void allow_resource(const fb_resource_t *resource, fb_slice_t path, fb_route_t *route)
{
    for (unsigned i = 0; i < resource->view_count; i++) {
        if (!match(resource->views[i].path, path, route))
            continue;
        if (resource->views[i].source == FB_SOURCE_POSTED) {
            allow(route, "POST");
            continue;
        }
        allow(route, "GET");
        allow(route, "HEAD");
    }
    for (unsigned i = 0; i < resource->command_count; i++) {
        if (match(resource->commands[i].path, path, route))
            allow(route, resource->commands[i].method);
    }
}

fb_code_t fb_registry_route(fb_slice_t method, fb_slice_t path, fb_route_t *route,
                            fb_error_t *error)
{
    char text[OWN_PATH_BYTES_MAX];
    *route = (fb_route_t){0};
    for (unsigned i = 0; i < FB_FAMILY_COUNT; i++) {
        route->family = i;
        if (match_resource(resources[i], method, own_path(resources[i], path, text), route))
            return FB_OK;
    }
    for (unsigned i = 0; i < FB_FAMILY_COUNT; i++)
        allow_resource(resources[i], own_path(resources[i], path, text), route);
    int shown = path.len > 200 ? 200 : (int)path.len;
    if (route->allow[0] == '\0')
        return fb_fail(error, FB_NOT_FOUND, "there is nothing at %.*s", shown, path.at);
    return fb_fail(error, FB_METHOD_NOT_ALLOWED, "%.*s takes %s", shown, path.at, route->allow);
}

void fb_registry_begin_args(const fb_route_t *route, fb_args_t *args)
{
    args->family = route->family;
    memcpy(args->ids, route->ids, sizeof(args->ids));
    args->id_count = route->id_count;
    memcpy(args->uuid, route->uuid, sizeof(args->uuid));
}

fb_code_t fb_registry_read_args(const fb_route_t *route, fb_slice_t query, fb_args_t *args,
                                fb_error_t *error)
{
    const fb_view_t *view = route->view;
    fb_registry_begin_args(route, args);
    return fb_args_read_query(args, view->query, view->query_count, query, error);
}

fb_code_t fb_registry_read_body(const fb_route_t *route, fb_slice_t body, fb_args_t *args,
                                fb_error_t *error)
{
    const fb_resource_t *resource = route->resource;
    const fb_command_t *command = route->command;
    if (command == NULL)
        return fb_args_read_body(args, route->view->query, route->view->query_count, NULL, 0,
                                 FB_BODY_NEW, body, error);
    if (resource->read_body != NULL)
        return resource->read_body(args, body, error);
    return fb_args_read_body(args, command->body, command->body_count, resource->computed,
                             resource->computed_count, command->body_mode, body, error);
}

void fb_registry_put_path(fb_buffer_t *buffer, const char *path, const uint32_t *ids)
{
    while (*path != '\0') {
        if (*path != '{' || is_uuid_pattern(path)) {
            fb_buffer_put_char(buffer, *path++);
            continue;
        }
        fb_buffer_put_u64(buffer, *ids++);
        path = strchr(path, '}') + 1;
    }
}
