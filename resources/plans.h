/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/registry.h"

/* The plans of a provider: one row for each pair of a base id and a plan id, since a plan id alone
 * repeats under other bases. A plan is kept from the first time that it is seen for sale online,
 * for ever, with its latest values.
 *
 * Dates and times are local ones, without a zone, as the provider gives them. Dates are from
 * FB_DAY_MIN to FB_DAY_MAX, times from 00:00:00 to 23:59:59. */
enum {
    FB_PLAN_UUID, /* of the pair: fb_plan_uuid */
    FB_PLAN_TITLE,
    FB_PLAN_START_DATE,
    FB_PLAN_START_TIME, /* "HH:MM:SS" */
    FB_PLAN_END_DATE,
    FB_PLAN_END_TIME,
    FB_PLAN_MIN_PRICE, /* of its zones; null where it has none */
    FB_PLAN_MAX_PRICE,
    FB_PLAN_BASE,
    FB_PLAN_PLAN,
    FB_PLAN_SELL_MODE, /* "online", or what else the provider says */
    FB_PLAN_SELL_FROM, /* "YYYY-MM-DDTHH:MM:SS", or null */
    FB_PLAN_SELL_TO,
    FB_PLAN_SOLD_OUT,
    FB_PLAN_ORGANIZER, /* the id of a company, or null */
    FB_PLAN_ZONES,     /* JSON: [{"zone_id","name","capacity","price","numbered"}], as the document
                          has them; the id of one may repeat */
    FB_PLAN_FIELDS,
};

#define FB_PLAN_ONLINE          "online"
#define FB_PLAN_ID_BYTES_MAX    64 /* of a base, a plan, a company, a sell mode */
#define FB_PLAN_TITLE_BYTES_MAX 500
#define FB_PLAN_ZONES_MAX       1000
#define FB_PLAN_PRICE_MAX       INT64_C(100000000000) /* minor units */
#define FB_PLANS_PUT_MAX        1000                  /* plans of one command */
#define FB_PLANS_PUT_BYTES_MAX  (4 << 20)             /* of their texts, but for the first plan */

/* The id of a plan: a UUID of version 5 (RFC 9562, section 5.5) of the name BASE:PLAN in the
 * namespace of fleetbit's plans, in lower case, with a NUL behind it. Within BASE a colon is %3A,
 * and a percent sign %25, so that each pair has a name of its own. */
void fb_plan_uuid(fb_slice_t base, fb_slice_t plan, char uuid[FB_UUID_TEXT_BYTES + 1]);

/* The value of a field of a plan's row, borrowed from it. */
fb_value_t fb_plan_value(const fb_row_t *plan, unsigned field);

/* Would fb_plans_put put it: is it new and online, or other than the row that there is? `values`
 * are FB_PLAN_FIELDS, null where they are, and checked: every text is UTF-8 without control
 * characters and within its limit, FB_PLAN_ZONES without whitespace between its tokens, and the
 * end is not before the start. */
bool fb_plan_differs(const fb_snapshot_t *snapshot, const fb_value_t *values);

/* Puts those plans that differ; FB_CONFLICT where none does. Of a pair that occurs twice the last
 * one counts. Without a path: what fetches the feed asks for it (fb_plans_ask). */
extern const fb_command_t fb_plans_put;

/* Fills zeroed arguments of fb_plans_put: 1 to FB_PLANS_PUT_MAX plans, each of FB_PLAN_FIELDS
 * values, one behind the other. The array (of fb_alloc) becomes the arguments'; what its texts
 * borrow from must outlive the command: `args->decoded` may have it, once it does not grow. */
void fb_plans_ask(fb_args_t *args, fb_value_t *values, unsigned count);
