/* SPDX-License-Identifier: MIT */
#include "resources/plain.h"
#include "resources/registry.h"

static const fb_field_t fields[] = {
    {"teeth", "how many it has", 1, 1000000, FB_KIND_INTEGER, FB_REQUIRED},
    {"pitch_diameter", "in the unit of the factory", 0, 0, FB_KIND_DECIMAL, FB_REQUIRED},
    {"outside_diameter", "in the unit of the factory", 0, 0, FB_KIND_DECIMAL, FB_REQUIRED},
    {"pitch", "in the unit of the factory", 0, 0, FB_KIND_DECIMAL, FB_REQUIRED},
};

static const fb_view_t views[] = {
    {"/v1/sprockets", "the sprockets, by id", fb_plain_query, FB_PLAIN_QUERY_COUNT, fb_plain_list,
     fb_plain_list_stamp, FB_SOURCE_SNAPSHOT},
    {"/v1/sprockets/{id}", "one sprocket", NULL, 0, fb_plain_one, fb_plain_one_stamp,
     FB_SOURCE_SNAPSHOT},
};

static const fb_command_t commands[] = {
    {"POST", "/v1/sprockets", "creates a sprocket", fields, FB_COUNT(fields), FB_BODY_NEW,
     FB_ANSWER_CREATED, &views[1], &views[0], fb_plain_create},
    {"PUT", "/v1/sprockets/{id}", "replaces a sprocket", fields, FB_COUNT(fields), FB_BODY_REPLACE,
     FB_ANSWER_SHOWN, &views[1], &views[1], fb_plain_replace},
};

const fb_resource_t fb_sprockets = {
    .name = "sprockets",
    .row_name = "sprocket",
    .noun = "Sprocket",
    .path = "/v1/sprockets",
    .alias = "/v1/sprocket",
    .topic = "sprocket",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_COUNT(fields),
    .views = views,
    .view_count = FB_COUNT(views),
    .commands = commands,
    .command_count = FB_COUNT(commands),
};
