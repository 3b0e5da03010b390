/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/memory.h"
#include "resources/plans.h"
#include "tests/unit/resources/fleet.h"

/* What the tests of plans have in common: plans as a feed has them, and what a search must show. */

typedef struct {
    char base[FB_PLAN_ID_BYTES_MAX + 1], plan[FB_PLAN_ID_BYTES_MAX + 1];
    const char *title, *mode, *zones;
    fb_local_t start, end;
    int64_t least, most; /* minor units; -1: it has no zone */
    bool sold_out;
    /* made of these */
    char uuid[FB_UUID_TEXT_BYTES + 1], start_time[16], end_time[16];
} plan_t;

#define ZONE                                                                                       \
    "[{\"zone_id\":\"40\",\"name\":\"Platea\",\"capacity\":243,\"price\":20.00,\"numbered\":true}" \
    "]"

static inline plan_t plan_of(const char *base, const char *id)
{
    plan_t plan = {
        .title = "Camela",
        .mode = "online",
        .zones = ZONE,
        .start = {TODAY, 75600},
        .end = {TODAY, 79200},
        .least = 1500,
        .most = 2000,
    };
    snprintf(plan.base, sizeof(plan.base), "%s", base);
    snprintf(plan.plan, sizeof(plan.plan), "%s", id);
    return plan;
}

static inline void put_time(char text[16], int second)
{
    snprintf(text, 16, "%02d:%02d:%02d", second / 3600, second / 60 % 60, second % 60);
}

static inline fb_value_t price_value(int64_t minor)
{
    return (fb_value_t){.null = minor < 0, .number = minor < 0 ? 0 : minor};
}

/* The values borrow from the plan. */
static inline void plan_values(plan_t *plan, fb_value_t *values)
{
    fb_plan_uuid(fb_slice(plan->base), fb_slice(plan->plan), plan->uuid);
    put_time(plan->start_time, plan->start.second);
    put_time(plan->end_time, plan->end.second);
    const fb_value_t all[FB_PLAN_FIELDS] = {
        [FB_PLAN_UUID] = {.text = fb_slice(plan->uuid)},
        [FB_PLAN_TITLE] = {.text = fb_slice(plan->title)},
        [FB_PLAN_START_DATE] = {.number = plan->start.day},
        [FB_PLAN_START_TIME] = {.text = fb_slice(plan->start_time)},
        [FB_PLAN_END_DATE] = {.number = plan->end.day},
        [FB_PLAN_END_TIME] = {.text = fb_slice(plan->end_time)},
        [FB_PLAN_MIN_PRICE] = price_value(plan->least),
        [FB_PLAN_MAX_PRICE] = price_value(plan->most),
        [FB_PLAN_BASE] = {.text = fb_slice(plan->base)},
        [FB_PLAN_PLAN] = {.text = fb_slice(plan->plan)},
        [FB_PLAN_SELL_MODE] = {.text = fb_slice(plan->mode)},
        [FB_PLAN_SELL_FROM] = {.text = FB_SLICE("2026-07-01T00:00:00")},
        [FB_PLAN_SELL_TO] = {.null = true},
        [FB_PLAN_SOLD_OUT] = {.number = plan->sold_out},
        [FB_PLAN_ORGANIZER] = {.null = true},
        [FB_PLAN_ZONES] = {.text = fb_slice(plan->zones)},
    };
    memcpy(values, all, sizeof(all));
}

static inline bool plan_differs(const fb_snapshot_t *snapshot, plan_t plan)
{
    fb_value_t values[FB_PLAN_FIELDS];
    plan_values(&plan, values);
    return fb_plan_differs(snapshot, values);
}

/* Puts plans as the feed does, upon what the stage shows now; `*put` is how many rows it put. */
static inline fb_code_t plans_put(fb_stage_t *stage, plan_t *plans, unsigned count, size_t *put)
{
    fb_args_t args = {.now = NOON};
    fb_plan_t plan = {0};
    fb_error_t error = {0};
    fb_value_t *values = fb_alloc_zero((size_t)count * FB_PLAN_FIELDS, sizeof(*values));
    for (unsigned i = 0; i < count; i++)
        plan_values(&plans[i], values + (size_t)i * FB_PLAN_FIELDS);
    fb_plans_ask(&args, values, count);
    fb_code_t code = fb_plans_put.plan(fb_stage_view(stage), &args, &plan, &error);
    assert_int_equal(code, error.code);
    *put = plan.change.count;
    if (code == FB_OK)
        fb_stage_apply(stage, &plan.change);
    fb_change_dispose(&plan.change);
    fb_args_dispose(&args);
    return code;
}

static inline void must_put(fb_stage_t *stage, plan_t *plans, unsigned count, size_t wanted)
{
    size_t put;
    assert_int_equal(plans_put(stage, plans, count, &put), FB_OK);
    assert_int_equal(put, wanted);
}

static inline void put_price(fb_buffer_t *out, int64_t minor)
{
    if (minor < 0)
        fb_buffer_put_literal(out, "null");
    else
        fb_buffer_printf(out, "%d.%02d", (int)(minor / 100), (int)(minor % 100));
}

/* What a search shows of it; its values were made. */
static inline void put_expected(const plan_t *plan, fb_buffer_t *out)
{
    char start[FB_DAY_TEXT_BYTES], end[FB_DAY_TEXT_BYTES];
    fb_day_format(plan->start.day, start);
    fb_day_format(plan->end.day, end);
    fb_buffer_printf(
        out,
        "{\"id\":\"%s\",\"title\":\"%s\",\"start_date\":\"%.10s\",\"start_time\":\"%s\","
        "\"end_date\":\"%.10s\",\"end_time\":\"%s\",\"min_price\":",
        plan->uuid, plan->title, start, plan->start_time, end, plan->end_time);
    put_price(out, plan->least);
    fb_buffer_put_literal(out, ",\"max_price\":");
    put_price(out, plan->most);
    fb_buffer_put_char(out, '}');
}
