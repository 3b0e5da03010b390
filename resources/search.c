/* SPDX-License-Identifier: MIT */
#include "resources/cursor.h"
#include "resources/listing.h"
#include "resources/plans.h"

/* The search of plans, with the paths and the answers of the system that this one took the place
 * of. A plan begins on one day and ends then or later: those that begin within the time asked for
 * are found by their days, and only these are looked at. */
#define TIME_BYTES      8
#define EVENT_BYTES     300 /* of most plans */
#define AROUND_BYTES    128
#define STAMP_DAYS_MAX  400                      /* whose stamps are compared one by one */
#define INSTANT_MIN     INT64_C(-62167219200000) /* 0000-01-01T00:00:00Z */
#define INSTANT_MAX     INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */
#define MS_PER_SECOND   1000
#define SECONDS_PER_DAY 86400

enum { SEARCH_STARTS_AT, SEARCH_ENDS_AT, SEARCH_LIMIT, SEARCH_CURSOR };

static const fb_field_t search_query[] = {
    [SEARCH_STARTS_AT] = {"starts_at", "they start then or later", INSTANT_MIN, INSTANT_MAX,
                          FB_KIND_INSTANT, 0},
    [SEARCH_ENDS_AT] = {"ends_at", "they end then or before", INSTANT_MIN, INSTANT_MAX,
                        FB_KIND_INSTANT, 0},
    [SEARCH_LIMIT] = {"limit", "the most plans on a page; 1,000 if not given", 1, FB_PAGE_ROWS_MAX,
                      FB_KIND_INTEGER, 0},
    [SEARCH_CURSOR] = FB_CURSOR_FIELD,
};

static const fb_view_t views[1];

/* --- the question ------------------------------------------------------------------------- */

typedef struct {
    fb_local_t from, to; /* both included */
    uint64_t after;      /* the place at which the page before ended; 0: there is none */
    size_t limit;
} question_t;

/* Where a plan is in the order of all: by the day of its start, then by its number. */
static uint64_t place_of(fb_day_t day, uint32_t number)
{
    return (uint64_t)day << 32 | number;
}

static const fb_local_t first_of_all = {FB_DAY_MIN, 0};
static const fb_local_t last_of_all = {FB_DAY_MAX, SECONDS_PER_DAY - 1};

/* Plans are exact to the second: one that starts in the second of `starts_at` starts before what is
 * below a second there. */
static void read_times(const fb_args_t *args, question_t *question)
{
    const fb_value_t *start = &args->values[SEARCH_STARTS_AT];
    const fb_value_t *end = &args->values[SEARCH_ENDS_AT];
    question->from = start->given ? fb_zone_local(start->number + MS_PER_SECOND - 1) : first_of_all;
    question->to = end->given ? fb_zone_local(end->number) : last_of_all;
    if (question->from.day < FB_DAY_MIN)
        question->from = first_of_all;
    if (question->to.day > FB_DAY_MAX)
        question->to = last_of_all;
}

static fb_code_t read_question(const fb_args_t *args, question_t *question, fb_error_t *error)
{
    const fb_value_t *start = &args->values[SEARCH_STARTS_AT];
    const fb_value_t *end = &args->values[SEARCH_ENDS_AT];
    const fb_value_t *limit = &args->values[SEARCH_LIMIT];
    if (start->given && end->given && end->number < start->number)
        return fb_fail_field(error, FB_INVALID, FB_SLICE("ends_at"),
                             "must not be before starts_at");
    read_times(args, question);
    question->limit = limit->given ? (size_t)limit->number : FB_PAGE_ROWS_MAX;
    return fb_cursor_read(search_query, FB_COUNT(search_query), views[0].path, args,
                          &question->after, error);
}

/* --- the page ----------------------------------------------------------------------------- */

typedef struct {
    const fb_row_t *rows[FB_PAGE_ROWS_MAX];
    size_t count;
    uint64_t end; /* the place of the last one */
    bool more;    /* there is a next page */
} page_t;

/* Of HH:MM:SS. */
static int second_of(fb_slice_t time)
{
    int digits[TIME_BYTES];
    for (int i = 0; i < TIME_BYTES; i++)
        digits[i] = time.at[i] - '0';
    return ((digits[0] * 10 + digits[1]) * 60 + digits[3] * 10 + digits[4]) * 60 + digits[6] * 10 +
           digits[7];
}

/* `day` is that of its start, and within the days asked for. */
static bool is_found(const fb_row_t *plan, fb_day_t day, const question_t *question)
{
    const fb_local_t *from = &question->from, *to = &question->to;
    if (day == from->day && second_of(fb_plan_value(plan, FB_PLAN_START_TIME).text) < from->second)
        return false;
    fb_day_t end = (fb_day_t)fb_plan_value(plan, FB_PLAN_END_DATE).number;
    return end < to->day ||
           (end == to->day && second_of(fb_plan_value(plan, FB_PLAN_END_TIME).text) <= to->second);
}

/* Plans that begin within the days asked for, on their way from memory into the caches: of very
 * many plans each one that is looked at is a miss otherwise, and the misses come one after the
 * other. */
#define LOOKS_MAX    64
#define LOOKED_BYTES 256 /* of a row: up to the end of what is shown, mostly */
#define CACHE_LINE   64

typedef struct {
    size_t count;
    const fb_row_t *plans[LOOKS_MAX];
    fb_day_t days[LOOKS_MAX];
} looks_t;

static void prefetch(const fb_row_t *plan)
{
    for (size_t at = 0; at < LOOKED_BYTES; at += CACHE_LINE)
        __builtin_prefetch((const char *)plan + at);
}

/* False once the page is full, and there is more. */
static bool take_looks(looks_t *looks, const question_t *question, page_t *page)
{
    for (size_t i = 0; i < looks->count && !page->more; i++) {
        if (!is_found(looks->plans[i], looks->days[i], question))
            continue;
        page->more = page->count == question->limit;
        if (page->more)
            break;
        page->rows[page->count++] = looks->plans[i];
        page->end = place_of(looks->days[i], looks->plans[i]->id);
    }
    looks->count = 0;
    return !page->more;
}

static bool look_at_day(const fb_snapshot_t *snapshot, const question_t *question, fb_day_t day,
                        const fb_children_t *plans, looks_t *looks, page_t *page)
{
    bool goes_on = question->after >> 32 == (uint64_t)day;
    uint64_t after = goes_on ? (uint32_t)question->after : 0;
    uint32_t first = 0;
    if (after == UINT32_MAX)
        return true;
    if (after > 0)
        first = fb_children_place(plans, (uint32_t)after + 1);
    for (uint32_t i = first; i < plans->count; i++) {
        if (looks->count == LOOKS_MAX && !take_looks(looks, question, page))
            return false;
        looks->plans[looks->count] = fb_snapshot_row(snapshot, FB_PLANS, plans->ids[i]);
        looks->days[looks->count] = day;
        prefetch(looks->plans[looks->count++]);
    }
    return true;
}

static void find_page(const fb_snapshot_t *snapshot, const question_t *question, page_t *page)
{
    fb_day_t begin = (fb_day_t)(question->after >> 32);
    uint32_t day = (uint32_t)(begin > question->from.day ? begin : question->from.day);
    const fb_children_t *plans;
    looks_t looks = {.count = 0};
    page->count = 0;
    page->more = false;
    while ((plans = fb_snapshot_next_children(snapshot, FB_PLANS, FB_PLAN_START_DATE, &day)) &&
           (fb_day_t)day <= question->to.day &&
           look_at_day(snapshot, question, (fb_day_t)day, plans, &looks, page))
        day++;
    take_looks(&looks, question, page);
}

/* What a search shows of a plan is the head of its row, but for its first member: its number. */
static void put_event(const fb_row_t *plan, fb_buffer_t *body)
{
    fb_slice_t head = fb_row_json_head(plan, FB_PLAN_FIELDS);
    const char *comma = memchr(head.at, ',', head.len);
    fb_buffer_put_char(body, '{');
    fb_buffer_put(body, comma + 1, (size_t)(head.at + head.len - comma - 1));
    fb_buffer_put_char(body, '}');
}

static fb_code_t render(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                        fb_error_t *error)
{
    question_t question;
    page_t page;
    fb_code_t code = read_question(args, &question, error);
    if (code != FB_OK)
        return code;
    find_page(snapshot, &question, &page);
    fb_buffer_reserve(body, AROUND_BYTES + page.count * EVENT_BYTES);
    fb_buffer_put_literal(body, "{\"data\":{\"events\":[");
    for (size_t i = 0; i < page.count; i++) {
        if (i > 0)
            fb_buffer_put_char(body, ',');
        put_event(page.rows[i], body);
    }
    fb_buffer_put_char(body, ']');
    if (page.more) {
        fb_buffer_put_literal(body, ",\"next\":");
        fb_cursor_put(body, search_query, FB_COUNT(search_query), views[0].path, args, page.end);
    }
    fb_buffer_put_literal(body, "},\"error\":null}");
    return FB_OK;
}

/* Of the days on which it looks; of very many, that of all plans. */
static uint64_t stamp(const fb_snapshot_t *snapshot, const fb_args_t *args)
{
    question_t question;
    const fb_children_t *plans;
    uint64_t changed = 0;
    read_times(args, &question);
    if (question.to.day - question.from.day > STAMP_DAYS_MAX)
        return snapshot->families[FB_PLANS].changed;
    for (uint32_t day = (uint32_t)question.from.day;
         (plans = fb_snapshot_next_children(snapshot, FB_PLANS, FB_PLAN_START_DATE, &day)) &&
         (fb_day_t)day <= question.to.day;
         day++)
        changed = fb_latest(changed, plans->changed);
    return changed;
}

static const fb_view_t views[] = {
    {"/search", "the plans within a time, by the day of their start", search_query,
     FB_COUNT(search_query), render, stamp, FB_SOURCE_SNAPSHOT},
};

const fb_resource_t fb_search = {
    .name = "search",
    .errors = FB_ERRORS_DATA,
    .path = "/search",
    .views = views,
    .view_count = FB_COUNT(views),
};
