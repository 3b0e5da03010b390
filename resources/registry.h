/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/resource.h"

/* All families, in the order of this list: a family's number is its place in it. A new family is
 * its file, a line here, and its line in registry.c. */
typedef enum {
    FB_MACHINES,
    FB_MAINTENANCE,
    FB_AVAILABILITY,
    FB_EQUIPMENT,
    FB_ORDERS,
    FB_ORDER_TOTALS,
    FB_IDEMPOTENCY,
    FB_FACTORIES,
    FB_SPROCKETS,
    FB_PLANS,
    FB_SEARCH,
    FB_FEED,
    FB_FAMILY_COUNT,
} fb_family_id_t;

extern const fb_resource_t fb_machines;
extern const fb_resource_t fb_maintenance;
extern const fb_resource_t fb_availability;
extern const fb_resource_t fb_equipment;
extern const fb_resource_t fb_orders;
extern const fb_resource_t fb_order_totals;
extern const fb_resource_t fb_idempotency;
extern const fb_resource_t fb_factories;
extern const fb_resource_t fb_sprockets;
extern const fb_resource_t fb_plans;
extern const fb_resource_t fb_search;
extern const fb_resource_t fb_feed;

unsigned fb_registry_count(void);
const fb_resource_t *fb_registry_resource(unsigned family);
/* The family whose rows are named so in Redis and in the log, or -1. */
int fb_registry_family(fb_slice_t row_name);
/* The family whose queue is named so, or -1. */
int fb_registry_queue(fb_slice_t queue);

/* What a method and a path lead to: a view (GET, HEAD) or a command. */
typedef struct {
    const fb_resource_t *resource;
    unsigned family; /* its number */
    const fb_view_t *view;
    const fb_command_t *command;
    uint32_t ids[FB_PATH_IDS_MAX];
    unsigned id_count;
    char uuid[FB_UUID_TEXT_BYTES + 1]; /* empty: there is none in the path */
    char allow[64];                    /* the methods of the path, as the Allow field has them */
} fb_route_t;

/* FB_NOT_FOUND where no path matches, FB_METHOD_NOT_ALLOWED where one does but not with this
 * method (`route->allow` says which). `path` is without the query. */
fb_code_t fb_registry_route(fb_slice_t method, fb_slice_t path, fb_route_t *route,
                            fb_error_t *error);

/* Begins the arguments of a route: its family, and the {id}s and the {uuid} of its path. */
void fb_registry_begin_args(const fb_route_t *route, fb_args_t *args);
/* Reads what a route to a view is asked with: the {id}s of its path, and the query by its table. */
fb_code_t fb_registry_read_args(const fb_route_t *route, fb_slice_t query, fb_args_t *args,
                                fb_error_t *error);

/* Reads the body of a route to a command, or to a view that is asked by POST, by its table or by
 * the family itself, into arguments that have begun. */
fb_code_t fb_registry_read_body(const fb_route_t *route, fb_slice_t body, fb_args_t *args,
                                fb_error_t *error);

/* The family that a request target belongs to by its beginning, whether there is something at it or
 * not; NULL where none says that it is its own (fb_resource_t.path). */
const fb_resource_t *fb_registry_owner(fb_slice_t target);

/* Appends `path` with its {id}s filled in; a {uuid} stays. */
void fb_registry_put_path(fb_buffer_t *buffer, const char *path, const uint32_t *ids);
