/* SPDX-License-Identifier: MIT */
#include "server/peer.h"

#include "resources/checksum.h"
#include "tests/unit/resources/fleet.h"

#define DIGGER(n) "{\"label\":\"Digger\",\"inventory_id\":\"D-" #n "\",\"type\":\"crane\"}"

static fb_subject_t subject_of(const char *name)
{
    fb_subject_t subjects[FB_SUBJECTS_MAX];
    unsigned count = fb_subjects(subjects);
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(subjects[i].name, name) == 0)
            return subjects[i];
    }
    fail_msg("there is no %s", name);
    return subjects[0];
}

static void the_things_of_a_subject_add_up_to_its_sum(void **state)
{
    (void)state;
    static const char *const names[] = {"machines", "windows", "maintenance", "booked"};
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    must_write(stage, "POST", "/v1/machines", DIGGER(1));
    must_write(stage, "POST", "/v1/machines", DIGGER(2));
    must_write(stage, "POST", "/v1/machines/2/maintenance", "{\"duration_days\":5}");
    const fb_snapshot_t *now = fb_stage_view(stage);
    for (unsigned i = 0; i < FB_COUNT(names); i++) {
        fb_subject_t subject = subject_of(names[i]);
        fb_thing_t thing;
        uint64_t sum = 0;
        for (uint32_t key = 0; fb_thing_next(now, &subject, key, &thing); key = thing.key + 1)
            sum += thing.sum;
        if (subject.is_plane)
            assert_int_equal(sum, now->plane_sums[subject.number]);
        else
            assert_int_equal(sum + fb_checksum_last_id(now->families[subject.number].last_id),
                             now->families[subject.number].sum);
    }
    fb_stage_abort(&stage);
    history_dispose(&history);
}

static void what_was_written_has_another_stamp_even_if_it_is_as_before(void **state)
{
    (void)state;
    fb_subject_t machines = subject_of("machines"), days = subject_of("maintenance");
    history_t history = history_create(3);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    must_write(stage, "POST", "/v1/machines", DIGGER(1));
    must_write(stage, "POST", "/v1/machines/1/maintenance", "{\"duration_days\":1}");
    history_push(&history, &stage);
    const fb_snapshot_t *before = history_now(&history);
    stage = fb_stage_begin(before);
    must_write(stage, "POST", "/v1/machines", DIGGER(2));
    must_write(stage, "DELETE", "/v1/machines/2", "");
    must_write(stage, "POST", "/v1/machines/1/maintenance",
               "{\"start_date\":\"2026-12-01\",\"duration_days\":1}");
    must_write(stage, "DELETE", "/v1/machines/1/maintenance/2", "");
    history_push(&history, &stage);
    const fb_snapshot_t *after = history_now(&history);
    assert_int_equal(fb_thing_stamp(before, &machines, 1), fb_thing_stamp(after, &machines, 1));
    assert_int_not_equal(fb_thing_stamp(before, &machines, 2), fb_thing_stamp(after, &machines, 2));
    assert_int_equal(fb_thing_stamp(before, &machines, 3), fb_thing_stamp(after, &machines, 3));
    assert_int_equal(fb_thing_stamp(before, &days, TODAY), fb_thing_stamp(after, &days, TODAY));
    assert_int_not_equal(fb_thing_stamp(before, &days, TODAY + 10),
                         fb_thing_stamp(after, &days, TODAY + 10));
    assert_int_equal(fb_thing_stamp(before, &days, TODAY + 11),
                     fb_thing_stamp(after, &days, TODAY + 11));
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_things_of_a_subject_add_up_to_its_sum),
        cmocka_unit_test(what_was_written_has_another_stamp_even_if_it_is_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
