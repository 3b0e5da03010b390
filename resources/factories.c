/* SPDX-License-Identifier: MIT */
#include "base/json.h"
#include "base/json_raw.h"
#include "resources/plain.h"
#include "resources/registry.h"

/* A factory's chart: three arrays of one length, kept as they were written. The faults have the
 * words of the system that this one took the place of. */
#define POINTS_MAX 100000

static const fb_field_t fields[] = {
    {"chart_data", "sprockets made and to be made, at which times", 0, 0, FB_KIND_JSON,
     FB_REQUIRED},
};

static const char *const series[] = {"sprocket_production_actual", "sprocket_production_goal",
                                     "time"};

static fb_code_t fail_structure(fb_error_t *error)
{
    return fb_fail(error, FB_MALFORMED, "Invalid JSON structure.");
}

/* The three arrays, without the whitespace between their numbers. */
static fb_code_t read_chart(fb_slice_t chart, fb_buffer_t *text, fb_error_t *error)
{
    size_t counts[FB_COUNT(series)];
    fb_slice_t arrays[FB_COUNT(series)];
    for (unsigned i = 0; i < FB_COUNT(series); i++) {
        if (!fb_json_raw_member(chart, series[i], &arrays[i]))
            return fail_structure(error);
        if (!fb_json_raw_are_numbers(arrays[i], &counts[i]))
            return fb_fail_field(error, FB_INVALID, fb_slice(series[i]),
                                 "must be an array of numbers");
    }
    if (fb_json_raw_count(chart) != FB_COUNT(series))
        return fail_structure(error);
    if (counts[0] != counts[1] || counts[0] != counts[2])
        return fb_fail(error, FB_INVALID,
                       "Length of actual, goal, and time data must be the same.");
    if (counts[0] == 0 || counts[0] > POINTS_MAX)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("chart_data"),
                             "must have 1 to %d points, not %zu", POINTS_MAX, counts[0]);
    for (unsigned i = 0; i < FB_COUNT(series); i++) {
        fb_buffer_printf(text, "%s\"%s\":", i == 0 ? "{" : ",", series[i]);
        fb_json_raw_put(text, arrays[i]);
    }
    fb_buffer_put_char(text, '}');
    return FB_OK;
}

/* {"factory": {"chart_data": {...}}} */
static fb_code_t read_body(fb_args_t *args, fb_slice_t body, fb_error_t *error)
{
    fb_slice_t factory, chart;
    json_t *checked;
    if (fb_json_parse_object(body, &checked, error) != FB_OK)
        return error->code;
    json_decref(checked);
    if (!fb_json_raw_member(body, "factory", &factory) || fb_json_raw_count(body) != 1 ||
        !fb_json_raw_member(factory, "chart_data", &chart) || fb_json_raw_count(factory) != 1)
        return fail_structure(error);
    if (read_chart(chart, &args->decoded, error) != FB_OK)
        return error->code;
    args->values[0] = (fb_value_t){.given = true, .text = fb_buffer_slice(&args->decoded)};
    return FB_OK;
}

static const fb_view_t views[] = {
    {"/v1/factories", "the factories, by id", fb_plain_query, FB_PLAIN_QUERY_COUNT, fb_plain_list,
     fb_plain_list_stamp, FB_SOURCE_SNAPSHOT},
    {"/v1/factories/{id}", "one factory", NULL, 0, fb_plain_one, fb_plain_one_stamp,
     FB_SOURCE_SNAPSHOT},
};

static const fb_command_t commands[] = {
    {"POST", "/v1/factories", "creates a factory", fields, FB_COUNT(fields), FB_BODY_NEW,
     FB_ANSWER_CREATED, &views[1], &views[0], fb_plain_create},
};

const fb_resource_t fb_factories = {
    .name = "factories",
    .row_name = "factory",
    .noun = "Factory",
    .read_body = read_body,
    .topic = "factory",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_COUNT(fields),
    .views = views,
    .view_count = FB_COUNT(views),
    .commands = commands,
    .command_count = FB_COUNT(commands),
};
