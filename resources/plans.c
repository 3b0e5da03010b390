/* SPDX-License-Identifier: MIT */
#include "resources/plans.h"

#include <stdlib.h>

#include "base/assert.h"
#include "resources/listing.h"

#define TIME_BYTES      8  /* HH:MM:SS */
#define DATE_TIME_BYTES 19 /* YYYY-MM-DDTHH:MM:SS */

/* The bar is behind the prices: a search shows what is before it. */
static const fb_field_t fields[] = {
    [FB_PLAN_UUID] = {"id", "a UUID, the same for ever", FB_UUID_TEXT_BYTES, FB_UUID_TEXT_BYTES,
                      FB_KIND_TEXT, FB_ASSIGNED | FB_UNIQUE},
    [FB_PLAN_TITLE] = {"title", "what it is called", 0, FB_PLAN_TITLE_BYTES_MAX, FB_KIND_TEXT,
                       FB_ASSIGNED},
    [FB_PLAN_START_DATE] = {"start_date", "the local day of its start", FB_DAY_MIN, FB_DAY_MAX,
                            FB_KIND_DATE, FB_ASSIGNED | FB_PARENT},
    [FB_PLAN_START_TIME] = {"start_time", "the local time of its start", TIME_BYTES, TIME_BYTES,
                            FB_KIND_TEXT, FB_ASSIGNED},
    [FB_PLAN_END_DATE] = {"end_date", "the local day of its end", FB_DAY_MIN, FB_DAY_MAX,
                          FB_KIND_DATE, FB_ASSIGNED},
    [FB_PLAN_END_TIME] = {"end_time", "the local time of its end", TIME_BYTES, TIME_BYTES,
                          FB_KIND_TEXT, FB_ASSIGNED},
    [FB_PLAN_MIN_PRICE] = {"min_price", "of its zones", 0, FB_PLAN_PRICE_MAX, FB_KIND_MONEY,
                           FB_ASSIGNED | FB_NULLABLE},
    [FB_PLAN_MAX_PRICE] = {"max_price", "of its zones", 0, FB_PLAN_PRICE_MAX, FB_KIND_MONEY,
                           FB_ASSIGNED | FB_NULLABLE},
    [FB_PLAN_BASE] = {"base_id", "of the provider; with plan_id, which plan it is", 1,
                      FB_PLAN_ID_BYTES_MAX, FB_KIND_TEXT, FB_ASSIGNED},
    [FB_PLAN_PLAN] = {"plan_id", "of the provider", 1, FB_PLAN_ID_BYTES_MAX, FB_KIND_TEXT,
                      FB_ASSIGNED},
    [FB_PLAN_SELL_MODE] = {"sell_mode", "\"online\", or what else the provider says", 0,
                           FB_PLAN_ID_BYTES_MAX, FB_KIND_TEXT, FB_ASSIGNED},
    [FB_PLAN_SELL_FROM] = {"sell_from", "local: when its sale begins", DATE_TIME_BYTES,
                           DATE_TIME_BYTES, FB_KIND_TEXT, FB_ASSIGNED | FB_NULLABLE},
    [FB_PLAN_SELL_TO] = {"sell_to", "local: when its sale ends", DATE_TIME_BYTES, DATE_TIME_BYTES,
                         FB_KIND_TEXT, FB_ASSIGNED | FB_NULLABLE},
    [FB_PLAN_SOLD_OUT] = {"sold_out", "whether nothing of it is left", 0, 1, FB_KIND_BOOLEAN,
                          FB_ASSIGNED},
    [FB_PLAN_ORGANIZER] = {"organizer_company_id", "of the provider", 1, FB_PLAN_ID_BYTES_MAX,
                           FB_KIND_TEXT, FB_ASSIGNED | FB_NULLABLE},
    [FB_PLAN_ZONES] = {"zones", "places, their capacity and their price", 0, 0, FB_KIND_JSON,
                       FB_ASSIGNED},
};

_Static_assert(FB_COUNT(fields) == FB_PLAN_FIELDS, "every field has its line");

/* e042b051-342a-4d9d-8b86-0d8ffaaf5c73, made once at random. Whoever has the id of a plan has it
 * for ever: this must never change. */
static const uint8_t space[FB_UUID_BYTES] = {0xe0, 0x42, 0xb0, 0x51, 0x34, 0x2a, 0x4d, 0x9d,
                                             0x8b, 0x86, 0x0d, 0x8f, 0xfa, 0xaf, 0x5c, 0x73};

/* A base id may have the colon behind which the other one begins. */
static size_t put_base(char *name, fb_slice_t base)
{
    char *at = name;
    for (size_t i = 0; i < base.len; i++) {
        if (base.at[i] == ':')
            at = mempcpy(at, "%3A", 3);
        else if (base.at[i] == '%')
            at = mempcpy(at, "%25", 3);
        else
            *at++ = base.at[i];
    }
    return (size_t)(at - name);
}

void fb_plan_uuid(fb_slice_t base, fb_slice_t plan, char uuid[FB_UUID_TEXT_BYTES + 1])
{
    char name[4 * FB_PLAN_ID_BYTES_MAX + 2];
    fb_assert(base.len <= FB_PLAN_ID_BYTES_MAX && plan.len <= FB_PLAN_ID_BYTES_MAX);
    size_t len = put_base(name, base);
    name[len++] = ':';
    memcpy(name + len, plan.at, plan.len);
    fb_uuid_of_name(space, (fb_slice_t){name, len + plan.len}, uuid);
}

fb_value_t fb_plan_value(const fb_row_t *plan, unsigned field)
{
    return fb_row_value(plan, fields, field);
}

/* --- what is put -------------------------------------------------------------------------- */

static const fb_row_t *row_of(const fb_snapshot_t *snapshot, const fb_value_t *values)
{
    uint32_t number = fb_snapshot_find(snapshot, FB_PLANS, FB_PLAN_UUID, values[FB_PLAN_UUID].text);
    return number != 0 ? fb_snapshot_row(snapshot, FB_PLANS, number) : NULL;
}

static bool is_same(const fb_row_t *row, const fb_value_t *values)
{
    for (unsigned f = 0; f < FB_PLAN_FIELDS; f++) {
        if (!fb_row_has(row, fields, f, &values[f]))
            return false;
    }
    return true;
}

static bool is_online(const fb_value_t *values)
{
    return fb_slice_is(values[FB_PLAN_SELL_MODE].text, FB_PLAN_ONLINE);
}

bool fb_plan_differs(const fb_snapshot_t *snapshot, const fb_value_t *values)
{
    const fb_row_t *row = row_of(snapshot, values);
    return row != NULL ? !is_same(row, values) : is_online(values);
}

void fb_plans_ask(fb_args_t *args, fb_value_t *values, unsigned count)
{
    fb_assert(count >= 1 && count <= FB_PLANS_PUT_MAX);
    args->items = (fb_items_t){
        .fields = fields, .field_count = FB_PLAN_FIELDS, .count = count, .values = values};
}

/* By their ids, and those of one pair in the order in which they are handed over. */
static int compare_plans(const void *a, const void *b)
{
    const fb_value_t *one = *(const fb_value_t *const *)a, *other = *(const fb_value_t *const *)b;
    int order = memcmp(one[FB_PLAN_UUID].text.at, other[FB_PLAN_UUID].text.at, FB_UUID_TEXT_BYTES);
    return order != 0 ? order : one < other ? -1 : one > other;
}

/* Marks what is to be put: of each pair the last one, if it differs from the row, or, where there
 * is none, if one of that pair is online. */
static void mark(const fb_snapshot_t *snapshot, const fb_args_t *args, bool *wanted)
{
    const fb_value_t *values = args->items.values, *sorted[FB_PLANS_PUT_MAX];
    unsigned count = args->items.count;
    bool online = false;
    for (unsigned i = 0; i < count; i++)
        sorted[i] = values + (size_t)i * FB_PLAN_FIELDS;
    qsort(sorted, count, sizeof(sorted[0]), compare_plans);
    for (unsigned i = 0; i < count; i++) {
        const fb_value_t *plan = sorted[i], *next = i + 1 < count ? sorted[i + 1] : NULL;
        size_t index = (size_t)(plan - values) / FB_PLAN_FIELDS;
        online |= is_online(plan);
        wanted[index] = false;
        if (next != NULL && fb_slice_equal(plan[FB_PLAN_UUID].text, next[FB_PLAN_UUID].text))
            continue;
        const fb_row_t *row = row_of(snapshot, plan);
        wanted[index] = row != NULL ? !is_same(row, plan) : online;
        online = false;
    }
}

static fb_code_t plan_put(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                          fb_error_t *error)
{
    bool wanted[FB_PLANS_PUT_MAX];
    uint32_t last = snapshot->families[FB_PLANS].last_id;
    mark(snapshot, args, wanted);
    for (unsigned i = 0; i < args->items.count; i++) {
        const fb_value_t *values = args->items.values + (size_t)i * FB_PLAN_FIELDS;
        if (!wanted[i])
            continue;
        const fb_row_t *row = row_of(snapshot, values);
        if (row == NULL && last == UINT32_MAX)
            return fb_fail(error, FB_CONFLICT, "all %u numbers are used", UINT32_MAX);
        fb_change_put(&plan->change, FB_PLANS, row != NULL ? row->id : ++last, values);
    }
    if (plan->change.count > 0)
        return FB_OK;
    return fb_fail(error, FB_CONFLICT, "none of the plans differs");
}

const fb_command_t fb_plans_put = {
    .about = "puts the plans of the feed that differ",
    .answer = FB_ANSWER_EMPTY,
    .plan = plan_put,
};

/* --- reads -------------------------------------------------------------------------------- */

static const fb_row_t *row_at(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    uint32_t number = fb_snapshot_find(snapshot, FB_PLANS, FB_PLAN_UUID, fb_slice(args->uuid));
    return number != 0 ? fb_snapshot_row(snapshot, FB_PLANS, number) : NULL;
}

static fb_code_t render_one(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                            fb_error_t *error)
{
    const fb_row_t *row = row_at(snapshot, args);
    if (row == NULL)
        return fb_fail(error, FB_NOT_FOUND, "there is no plan %s", args->uuid);
    fb_put_row(snapshot, FB_PLANS, row, body);
    return FB_OK;
}

static uint64_t stamp_one(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    const fb_row_t *row = row_at(snapshot, args);
    return row != NULL ? row->changed : UINT64_MAX;
}

static const fb_view_t views[] = {
    {"/v1/plans/{uuid}", "a plan, with its zones", NULL, 0, render_one, stamp_one,
     FB_SOURCE_SNAPSHOT},
};

const fb_resource_t fb_plans = {
    .name = "plans",
    .row_name = "plan",
    .id_name = "number",
    .topic = "plan",
    .fields = fields,
    .field_count = FB_COUNT(fields),
    .computed_at = FB_PLAN_BASE,
    .views = views,
    .view_count = FB_COUNT(views),
};
