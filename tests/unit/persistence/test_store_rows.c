/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/contract.h"
#include "tests/unit/persistence/picture.h"

/* The contract of store.h, as far as it is about single rows and those that are archived: each case
 * runs against the store in memory and the one in Redis. */

typedef struct {
    picture_t picture;
    size_t fail_after;
} rows_t;

static fb_code_t on_row(void *context, uint32_t id, const fb_slice_t *texts, fb_error_t *error)
{
    rows_t *rows = context;
    if (rows->fail_after-- == 0)
        return fb_fail(error, FB_CONFLICT, "enough");
    return picture_on_row(&rows->picture, 0, id, texts, error);
}

static void assert_rows(subject_t *subject, const uint32_t *ids, size_t count, const char *expected)
{
    rows_t rows = {.fail_after = SIZE_MAX};
    fb_store_t *store = subject->store;
    assert_ok(store->vtable->rows(store, picture_families, ids, count, on_row, &rows, error));
    fb_buffer_put_char(&rows.picture.text, '\0');
    assert_string_equal(rows.picture.text.at, expected);
    fb_buffer_dispose(&rows.picture.text);
}

static const char three[] = "[[\"put\",\"machine\",1,{\"label\":\"a\",\"price\":\"\"}],"
                            "[\"put\",\"machine\",2,{\"label\":\"b\",\"other\":\"x\"}],"
                            "[\"put\",\"machine\",70000,{\"note\":\"c\"}]]";

static void rows_come_in_the_order_in_which_they_are_asked_for(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, three);
    assert_rows(&subject, (const uint32_t[]){70000, 3, 1, UINT32_MAX, 2, 1}, 6,
                "machine 70000: - \"c\" -\n"
                "machine 1: \"a\" - \"\"\n"
                "machine 2: \"b\" - -\n"
                "machine 1: \"a\" - \"\"\n");
    assert_rows(&subject, NULL, 0, "");
    assert_rows(&subject, (const uint32_t[]){3}, 1, "");
    end(&subject);
}

static void many_rows_come_at_once(void **state)
{
    subject_t subject = begin(state, 0);
    fb_buffer_t payload = {0}, expected = {0};
    uint32_t ids[FB_HISTORY_PAGE_MAX];
    for (uint32_t i = 0; i < FB_HISTORY_PAGE_MAX; i++) {
        ids[i] = 1000000 - i;
        fb_buffer_printf(&payload, "%s[\"put\",\"machine\",%u,{\"label\":\"%0500u\"}]",
                         i > 0 ? "," : "[", ids[i], i);
        fb_buffer_printf(&expected, "machine %u: \"%0500u\" - -\n", ids[i], i);
    }
    fb_buffer_put(&payload, "]", 2);
    fb_buffer_put_char(&expected, '\0');
    put(&subject, payload.at);
    assert_rows(&subject, ids, FB_HISTORY_PAGE_MAX, expected.at);
    fb_buffer_dispose(&payload);
    fb_buffer_dispose(&expected);
    end(&subject);
}

static void who_has_enough_leaves_the_store_usable(void **state)
{
    subject_t subject = begin(state, 0);
    fb_store_t *store = subject.store;
    rows_t rows = {.fail_after = 1};
    const uint32_t ids[] = {1, 2, 70000};
    put(&subject, three);
    assert_code(FB_CONFLICT,
                store->vtable->rows(store, picture_families, ids, 3, on_row, &rows, error));
    fb_buffer_dispose(&rows.picture.text);
    put(&subject, "[[\"delete\",\"machine\",2]]");
    assert_rows(&subject, ids, 3, "machine 1: \"a\" - \"\"\nmachine 70000: - \"c\" -\n");
    end(&subject);
}

static void an_archived_row_is_there_but_not_loaded(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, three);
    put(&subject, "[[\"archive\",\"machine\",[70000,1]]]");
    assert_picture(subject.store, "machine 2: \"b\" - -\nlast machine 70000\n");
    assert_rows(&subject, (const uint32_t[]){1, 2, 70000}, 3,
                "machine 1: \"a\" - \"\"\n"
                "machine 2: \"b\" - -\n"
                "machine 70000: - \"c\" -\n");
    put(&subject, "[[\"archive\",\"machine\",2],[\"archive\",\"machine\",2]]");
    assert_picture(subject.store, "last machine 70000\n");
    end(&subject);
}

/* Cause: a put that replaces a row takes its bit for set already. */
static void an_archived_row_that_is_put_again_is_loaded_again(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, three);
    put(&subject, "[[\"archive\",\"machine\",[1,2]],[\"put\",\"machine\",1,{\"label\":\"new\"}]]");
    assert_picture(subject.store, "machine 1: \"new\" - -\nmachine 70000: - \"c\" -\n"
                                  "last machine 70000\n");
    put(&subject, "[[\"put\",\"machine\",2,{\"label\":\"b\",\"other\":\"y\"}]]");
    assert_picture(subject.store, "machine 1: \"new\" - -\nmachine 2: \"b\" - -\n"
                                  "machine 70000: - \"c\" -\nlast machine 70000\n");
    end(&subject);
}

static void an_archived_row_can_be_deleted(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, three);
    put(&subject, "[[\"archive\",\"machine\",[1,2]]]");
    put(&subject, "[[\"delete\",\"machine\",1]]");
    assert_picture(subject.store, "machine 70000: - \"c\" -\nlast machine 70000\n");
    assert_rows(&subject, (const uint32_t[]){1, 2}, 2, "machine 2: \"b\" - -\n");
    end(&subject);
}

static void the_id_of_an_archived_row_is_used(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"archive\",\"machine\",[9,4]]]");
    assert_picture(subject.store, "last machine 9\n");
    end(&subject);
}

static void days_of_several_are_set_and_cleared_at_once(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"days\",\"booked\",[9,7,40,8,7],\"2026-11-29\",3,1],"
                  "[\"days\",\"booked\",[39],\"2026-11-30\",1,1]]");
    assert_picture(subject.store, "booked 2026-11-29: 7 8 9 40\n"
                                  "booked 2026-11-30: 7 8 9 39 40\n"
                                  "booked 2026-12-01: 7 8 9 40\n");
    put(&subject, "[[\"days\",\"booked\",[7,9,40,41],\"2026-11-29\",2,0],"
                  "[\"days\",\"booked\",[5,7,8,9,40],\"2026-12-01\",9,0]]");
    assert_picture(subject.store, "booked 2026-11-29: 8\n"
                                  "booked 2026-11-30: 8 39\n");
    end(&subject);
}

/* Many ids that are no neighbours, on days that are longer or shorter than what they need. */
static void days_of_very_many_leave_all_others_as_they_are(void **state)
{
    subject_t subject = begin(state, 0);
    static const char *const far[] = {"", ",40000", ",20000000"};
    for (size_t i = 0; i < 3; i++) {
        fb_buffer_t ids = {0}, texts[2] = {{0}}, expected = {0};
        put(&subject, "[[\"days\",\"booked\",[3,4,30000],\"2026-11-21\",2,1],"
                      "[\"days\",\"booked\",[20000001],\"2026-11-22\",1,1],"
                      "[\"days\",\"booked\",[5],\"2026-11-23\",1,1]]");
        for (unsigned k = 0; k < 300; k++)
            fb_buffer_printf(&ids, "%s%u", k > 0 ? "," : "", 4 + 2 * k);
        for (unsigned bit = 0; bit < 2; bit++) {
            fb_buffer_printf(&texts[bit], "[[\"days\",\"booked\",[%.*s%s],\"2026-11-21\",4,%u]]",
                             FB_PRINT(fb_buffer_slice(&ids)), far[i], bit);
            fb_buffer_put_char(&texts[bit], '\0');
        }
        put(&subject, texts[1].at);
        char *picture = picture_of(subject.store);
        assert_non_null(strstr(picture, "booked 2026-11-21: 3 4 6 8 10 "));
        assert_non_null(strstr(picture, "booked 2026-11-23: 4 5 6 8 10 "));
        fb_buffer_printf(&expected, " 600 602%s%s\n", far[i][0] != '\0' ? " " : "",
                         far[i][0] != '\0' ? far[i] + 1 : "");
        fb_buffer_put_char(&expected, '\0');
        assert_non_null(strstr(strstr(picture, "booked 2026-11-24: 4 6 8 "), expected.at));
        free(picture);
        put(&subject, texts[0].at);
        assert_picture(subject.store, "booked 2026-11-21: 3 30000\n"
                                      "booked 2026-11-22: 3 30000 20000001\n"
                                      "booked 2026-11-23: 5\n");
        fb_buffer_dispose(&ids);
        fb_buffer_dispose(&texts[0]);
        fb_buffer_dispose(&texts[1]);
        fb_buffer_dispose(&expected);
    }
    end(&subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(rows_come_in_the_order_in_which_they_are_asked_for),
        BOTH(many_rows_come_at_once),
        BOTH(who_has_enough_leaves_the_store_usable),
        BOTH(an_archived_row_is_there_but_not_loaded),
        BOTH(an_archived_row_that_is_put_again_is_loaded_again),
        BOTH(an_archived_row_can_be_deleted),
        BOTH(the_id_of_an_archived_row_is_used),
        BOTH(days_of_several_are_set_and_cleared_at_once),
        BOTH(days_of_very_many_leave_all_others_as_they_are),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
