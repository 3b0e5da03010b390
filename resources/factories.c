/* SPDX-License-Identifier: MIT */
#include "base/json_raw.h"
#include "resources/plain.h"
#include "resources/registry.h"

/* A factory's chart: three arrays of one length, kept as they were written. The faults have the
 * words of the system that this one took the place of. */
#define POINTS_MAX 100000
#define BODY_BYTES ((size_t)8 << 20) /* for each of their numbers 27 bytes */

static const fb_field_t fields[] = {
    {"chart_data", "sprockets made and to be made, at which times", 0, 0, FB_KIND_JSON,
     FB_REQUIRED},
};

enum { ACTUAL, GOAL, TIME, SERIES };
static const char *const series[SERIES] = {"sprocket_production_actual", "sprocket_production_goal",
                                           "time"};

/* What a body gives. */
typedef struct {
    fb_buffer_t arrays[SERIES];
    size_t counts[SERIES];
    size_t bytes; /* of the body */
} chart_t;

/* An object that has members of all these names, and no others. */
static fb_code_t read_object(fb_json_reader_t *reader, const char *const *names, unsigned count,
                             fb_json_read_t read, void *context, fb_error_t *error)
{
    unsigned found;
    if (fb_json_raw_object(reader, names, count, read, context, &found, error) == FB_OK &&
        found != (1u << count) - 1)
        fb_fail(error, FB_MALFORMED, "Invalid JSON structure.");
    return error->code;
}

static fb_code_t read_series(fb_json_reader_t *reader, unsigned name, void *context,
                             fb_error_t *error)
{
    chart_t *chart = context;
    fb_buffer_reserve(&chart->arrays[name], chart->bytes / SERIES);
    return fb_json_raw_numbers(reader, fb_slice(series[name]), &chart->arrays[name],
                               &chart->counts[name], error);
}

static fb_code_t read_chart(fb_json_reader_t *reader, unsigned name, void *context,
                            fb_error_t *error)
{
    (void)name;
    return read_object(reader, series, SERIES, read_series, context, error);
}

static fb_code_t read_factory(fb_json_reader_t *reader, unsigned name, void *context,
                              fb_error_t *error)
{
    (void)name;
    return read_object(reader, &fields[0].name, 1, read_chart, context, error);
}

static fb_code_t check_counts(const size_t *counts, fb_error_t *error)
{
    if (counts[GOAL] != counts[ACTUAL] || counts[TIME] != counts[ACTUAL])
        return fb_fail(error, FB_MALFORMED,
                       "Length of actual, goal, and time data must be the same.");
    if (counts[TIME] == 0 || counts[TIME] > POINTS_MAX)
        return fb_fail_field(error, FB_INVALID, fb_slice(fields[0].name),
                             "must have 1 to %d points, not %zu", POINTS_MAX, counts[TIME]);
    return FB_OK;
}

/* {"factory": {"chart_data": {...}}}: the three arrays, without the whitespace between their
 * numbers. */
static fb_code_t read_body(fb_args_t *args, fb_slice_t body, fb_error_t *error)
{
    static const char *const name = "factory";
    fb_json_reader_t reader;
    chart_t chart = {.bytes = body.len};
    fb_json_raw_begin(&reader, body);
    if (read_object(&reader, &name, 1, read_factory, &chart, error) == FB_OK &&
        fb_json_raw_end_of_text(&reader, error) == FB_OK)
        check_counts(chart.counts, error);
    for (unsigned i = 0; i < SERIES; i++) {
        fb_buffer_printf(&args->decoded, "%s\"%s\":", i == 0 ? "{" : ",", series[i]);
        fb_buffer_put_slice(&args->decoded, fb_buffer_slice(&chart.arrays[i]));
        fb_buffer_dispose(&chart.arrays[i]);
    }
    fb_buffer_put_char(&args->decoded, '}');
    args->values[0] = (fb_value_t){.given = true, .text = fb_buffer_slice(&args->decoded)};
    return error->code;
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
    .path = "/v1/factories",
    .read_body = read_body,
    .body_bytes = BODY_BYTES,
    .topic = "factory",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_COUNT(fields),
    .views = views,
    .view_count = FB_COUNT(views),
    .commands = commands,
    .command_count = FB_COUNT(commands),
};
