/* SPDX-License-Identifier: MIT */
#include "server/state.h"

#include "tests/unit/resources/fleet.h"

#define DIGGER(n) "{\"label\":\"Digger\",\"inventory_id\":\"D-" #n "\",\"type\":\"crane\"}"

static size_t occurrences(const fb_buffer_t *text, const char *part)
{
    size_t count = 0;
    const char *at = text->at;
    while ((at = memmem(at, (size_t)(text->at + text->len - at), part, strlen(part))) != NULL) {
        count++;
        at += strlen(part);
    }
    return count;
}

static void assert_page(const fb_snapshot_t *snapshot, const char *query, size_t things,
                        const char *next)
{
    fb_buffer_t page = {0}, end = {0};
    fb_error_t error = {0};
    if (fb_state_put(snapshot, fb_slice(query), &page, &error) != FB_OK)
        fail_msg("%s: %s", query, error.detail);
    fb_buffer_printf(&end, "],\"next\":%s}", next);
    assert_int_equal(occurrences(&page, "\"sum\":"), things);
    assert_true(page.len > end.len);
    assert_memory_equal(page.at + page.len - end.len, end.at, end.len);
    fb_buffer_dispose(&end);
    fb_buffer_dispose(&page);
}

static void rows_come_in_pages_of_the_limit(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    const fb_snapshot_t *now = fb_stage_view(stage);
    assert_page(now, "family=machines", 0, "null");
    must_write(stage, "POST", "/v1/machines", DIGGER(1));
    must_write(stage, "POST", "/v1/machines", DIGGER(2));
    must_write(stage, "POST", "/v1/machines", DIGGER(3));
    must_write(stage, "DELETE", "/v1/machines/2", "");
    assert_page(now, "family=machines", 2, "null");
    assert_page(now, "family=machines&limit=2", 2, "null");
    assert_page(now, "family=machines&limit=1", 1, "1");
    assert_page(now, "family=machines&limit=1&after=1", 1, "null");
    assert_page(now, "family=machines&after=2", 1, "null");
    assert_page(now, "family=machines&after=4294967295", 0, "null");
    fb_stage_raise_last_id(stage, FB_MACHINES, UINT32_MAX - 1);
    must_write(stage, "POST", "/v1/machines", DIGGER(4));
    assert_page(now, "family=machines&after=3", 1, "null");
    assert_page(now, "family=machines&limit=2", 2, "3");
    history_push(&history, &stage);
    history_dispose(&history);
}

/* Each of these days has a bitmap of 5,000 pages: two of them are more than one answer hashes. */
static void days_with_very_many_machines_come_in_short_pages(void **state)
{
    (void)state;
    enum { PAGES = 5000, DAYS = 5 };
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    for (uint32_t i = 0; i < PAGES; i++) {
        fb_change_t change = {0};
        fb_change_days(&change, FB_PLANE_BOOKED, 1 + i * FB_BITMAP_PAGE_BITS, TODAY,
                       TODAY + DAYS - 1, true);
        fb_stage_apply(stage, &change);
        fb_change_dispose(&change);
    }
    const fb_snapshot_t *now = fb_stage_view(stage);
    assert_page(now, "plane=booked", 2, "\"2026-11-22\"");
    assert_page(now, "plane=booked&limit=1", 1, "\"2026-11-21\"");
    assert_page(now, "plane=booked&after=2026-11-22", 2, "\"2026-11-24\"");
    assert_page(now, "plane=booked&after=2026-11-24", 1, "null");
    assert_page(now, "plane=maintenance", 0, "null");
    history_push(&history, &stage);
    history_dispose(&history);
}

/* Such a block stays, for its stamp; another instance that has loaded the same has none. */
static void a_day_that_was_emptied_does_not_show(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    must_write(stage, "POST", "/v1/machines", DIGGER(1));
    must_write(stage, "POST", "/v1/machines/1/maintenance", "{\"duration_days\":3}");
    assert_page(fb_stage_view(stage), "plane=maintenance", 3, "null");
    assert_page(fb_stage_view(stage), "plane=maintenance&limit=3", 3, "null");
    must_write(stage, "DELETE", "/v1/machines/1/maintenance/1", "");
    assert_page(fb_stage_view(stage), "plane=maintenance", 0, "null");
    history_push(&history, &stage);
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_in_pages_of_the_limit),
        cmocka_unit_test(days_with_very_many_machines_come_in_short_pages),
        cmocka_unit_test(a_day_that_was_emptied_does_not_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
