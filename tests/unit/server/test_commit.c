/* SPDX-License-Identifier: MIT */
#include "resources/machines.h"
#include "tests/unit/server/commit_fixture.h"

/* --- batches ------------------------------------------------------------------------------ */

static void each_write_of_a_batch_is_planned_upon_the_ones_before_it(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    add_machine(&batch, "A");
    add_machine(&batch, "A");
    add(&batch, "POST", "/v1/machines/1/maintenance", "{\"duration_days\":2}");
    add(&batch, "PATCH", "/v1/machines/1", "{\"label\":\"N\"}");
    add(&batch, "DELETE", "/v1/machines/7", NULL);
    add(&batch, "DELETE", "/v1/machines/1/maintenance/1", NULL);
    assert_int_equal(commit(&instance, &batch, 5000), FB_OK);
    static const struct {
        fb_code_t code;
        uint64_t revision; /* its own; where it failed, the one that it saw */
        const char *location;
    } expected[] = {
        {FB_OK, 1, "/v1/machines/1"},
        {FB_CONFLICT, 1, ""},
        {FB_OK, 2, "/v1/machines/1/maintenance/1"},
        {FB_OK, 3, ""},
        {FB_NOT_FOUND, 3, ""},
        {FB_OK, 4, ""},
    };
    for (size_t i = 0; i < FB_COUNT(expected); i++) {
        const fb_write_t *write = &batch.writes[i];
        assert_int_equal(write->error.code, expected[i].code);
        assert_int_equal(write->position.revision, expected[i].revision);
        assert_text(fb_buffer_slice(&write->location), expected[i].location);
        assert_int_equal(write->body.len > 0, i == 0 || i == 2 || i == 3);
        assert_int_equal(write->etag[0] != '\0', write->body.len > 0);
    }
    assert_int_equal(instance_now(&instance)->position.revision, 4);
    assert_memory_equal(&batch.writes[5].position, &instance_now(&instance)->position,
                        sizeof(fb_position_t));
    /* An answer shows its own revision: machine 1 was in maintenance when it was patched. */
    assert_non_null(
        memmem(batch.writes[3].body.at, batch.writes[3].body.len, "\"in_maintenance\":true", 21));
    assert_all_same(&instance, 1);
    clear(&batch);
    instance_dispose(&instance);
}

static void the_answer_of_a_write_is_what_a_read_shows(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    fb_buffer_t body = {0};
    fb_error_t error;
    char etag[FB_ETAG_BYTES + 1];
    add_machine(&batch, "A");
    must_commit(&instance, &batch);
    assert_int_equal(fleet_read(instance_now(&instance), "/v1/machines/1", &body, NULL, &error),
                     FB_OK);
    assert_same_text(&body, &batch.writes[0].body);
    fb_etag(fb_buffer_slice(&body), etag);
    assert_string_equal(etag, batch.writes[0].etag);
    fb_buffer_dispose(&body);
    clear(&batch);
    instance_dispose(&instance);
}

static void a_batch_without_a_change_is_not_sent(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    const fb_snapshot_t *before = instance_now(&instance);
    add(&batch, "DELETE", "/v1/machines/1", NULL);
    add(&batch, "DELETE", "/v1/machines/2", NULL);
    assert_int_equal(commit(&instance, &batch, 5000), FB_OK);
    assert_int_equal(batch.writes[0].error.code, FB_NOT_FOUND);
    assert_int_equal(batch.writes[1].error.code, FB_NOT_FOUND);
    assert_int_equal(instance.lossy->commits, 0);
    assert_ptr_equal(instance_now(&instance), before);
    clear(&batch);
    instance_dispose(&instance);
}

/* --- several instances -------------------------------------------------------------------- */

static void an_instance_that_is_behind_catches_up_and_plans_again(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    for (int i = 0; i < 20; i++) {
        char inventory_id[16];
        snprintf(inventory_id, sizeof(inventory_id), "INV-%d", i);
        create_machine(&instances[i % 2], inventory_id);
    }
    assert_int_equal(times_in_log("\"put\",\"machine\""), 20);
    assert_int_equal(instance_now(&instances[1])->position.revision, 20);
    assert_int_equal(instance_now(&instances[1])->families[FB_MACHINES].last_id, 20);
    assert_all_same(instances, 2);
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

static void the_second_of_two_with_one_inventory_id_learns_of_the_first(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    batch_t batch = {.count = 0};
    create_machine(&instances[0], "A");
    add_machine(&batch, "A");
    add_machine(&batch, "B");
    assert_int_equal(commit(&instances[1], &batch, 5000), FB_OK);
    assert_error(&batch.writes[0].error, FB_CONFLICT, "inventory_id");
    assert_int_equal(batch.writes[0].position.revision, 1);
    assert_int_equal(batch.writes[0].body.len, 0); /* of the first plan, which would have passed */
    assert_int_equal(batch.writes[0].location.len, 0);
    assert_int_equal(batch.writes[1].error.code, FB_OK);
    assert_int_equal(batch.writes[1].ids[0], 2);
    clear(&batch);
    assert_all_same(instances, 2);
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

static void what_fails_against_an_old_state_is_judged_again(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    batch_t batch = {.count = 0};
    fb_error_t error = {0};
    create_machine(&instances[0], "A");
    assert_int_equal(fb_fleet_catch_up(instances[1].fleet, &error), FB_OK);
    add(&batch, "DELETE", "/v1/machines/1", NULL);
    must_commit(&instances[0], &batch);
    clear(&batch);
    add_machine(&batch, "A"); /* free again, but the second instance does not know it */
    add_machine(&batch, "B");
    must_commit(&instances[1], &batch);
    assert_text(fb_buffer_slice(&batch.writes[0].location), "/v1/machines/2");
    clear(&batch);
    assert_all_same(instances, 2);
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

/* Cause: a batch without a change was never held against the head of the log. */
static void a_batch_of_failures_alone_is_judged_upon_the_newest_state(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    batch_t batch = {.count = 0};
    create_machine(&instances[0], "A");
    add(&batch, "DELETE", "/v1/machines/1", NULL); /* of which the second knows nothing yet */
    must_commit(&instances[1], &batch);
    clear(&batch);
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

/* Cause: the second write kept an error about the first, which had not landed. */
static void an_error_about_what_did_not_land_is_forgotten(void **state)
{
    (void)state;
    instance_t instance = found(), other = join();
    batch_t batch = {.count = 0};
    create_machine(&other, "B");
    instance.lossy->deaf = true;
    add_machine(&batch, "A");
    add_machine(&batch, "A");
    assert_int_equal(commit(&instance, &batch, 5000), FB_UNAVAILABLE);
    assert_int_equal(batch.writes[1].error.code, FB_UNAVAILABLE);
    clear(&batch);
    instance_dispose(&instance);
    instance_dispose(&other);
}

static void of_two_who_saw_the_same_state_one_writes(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    batch_t batch = {.count = 0};
    char etag[FB_ETAG_BYTES + 1];
    add_machine(&batch, "A");
    must_commit(&instances[0], &batch);
    strcpy(etag, batch.writes[0].etag);
    clear(&batch);
    fb_error_t error = {0};
    assert_int_equal(fb_fleet_catch_up(instances[1].fleet, &error), FB_OK);
    for (int i = 0; i < 2; i++) {
        char body[40];
        snprintf(body, sizeof(body), "{\"label\":\"by %d\"}", i);
        fb_write_t *write = add(&batch, "PATCH", "/v1/machines/1", body);
        write->if_match = fb_strdup(etag);
        assert_int_equal(commit(&instances[i], &batch, 5000), FB_OK);
        assert_int_equal(write->error.code, i == 0 ? FB_OK : FB_PRECONDITION_FAILED);
        clear(&batch);
    }
    assert_int_equal(times_in_log("\"by 0\""), 1);
    assert_int_equal(times_in_log("\"by 1\""), 0);
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

static void if_match_is_held_against_the_state_before_the_write(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    static const struct {
        const char *method, *path, *body, *if_match; /* NULL: that of the machine as it is now */
        fb_code_t code;
    } samples[] = {
        {"PATCH", "/v1/machines/1", "{\"label\":\"a\"}", "*", FB_OK},
        {"PATCH", "/v1/machines/1", "{\"label\":\"b\"}", NULL, FB_OK},
        {"PATCH", "/v1/machines/1", "{\"label\":\"c\"}", "\"0000000000000000\"",
         FB_PRECONDITION_FAILED},
        {"PATCH", "/v1/machines/9", "{\"label\":\"c\"}", "*", FB_NOT_FOUND},
        {"DELETE", "/v1/machines/1", NULL, "\"0000000000000000\"", FB_PRECONDITION_FAILED},
        {"DELETE", "/v1/machines/1", NULL, NULL, FB_OK},
        {"DELETE", "/v1/machines/1", NULL, "*", FB_NOT_FOUND},
    };
    create_machine(&instance, "A");
    for (size_t i = 0; i < FB_COUNT(samples); i++) {
        fb_write_t *write = add(&batch, samples[i].method, samples[i].path, samples[i].body);
        fb_buffer_t now = {0};
        fb_error_t error;
        char etag[FB_ETAG_BYTES + 1];
        fleet_read(instance_now(&instance), "/v1/machines/1", &now, NULL, &error);
        fb_etag(fb_buffer_slice(&now), etag);
        write->if_match = fb_strdup(samples[i].if_match != NULL ? samples[i].if_match : etag);
        assert_int_equal(commit(&instance, &batch, 5000), FB_OK);
        if (write->error.code != samples[i].code)
            fail_msg("%zu: %s", i, fb_code_name(write->error.code));
        clear(&batch);
        fb_buffer_dispose(&now);
    }
    instance_dispose(&instance);
}

/* --- answers that are lost ---------------------------------------------------------------- */

/* Whatever becomes of the first attempts: an answer says what happened, and it happened once. */
static void a_commit_whose_answer_is_lost_lands_exactly_once(void **state)
{
    (void)state;
    static const struct {
        fate_t script[4];
        size_t length;
        unsigned delay;
        fb_code_t code;
    } samples[] = {
        {{ANSWER_LOST}, 1, 0, FB_OK},
        {{LOST}, 1, 0, FB_OK},
        {{LOST, LOST, LOST}, 3, 0, FB_OK},
        {{LOST, ANSWER_LOST}, 2, 0, FB_OK},
        {{LOST, REFUSED, PASSES}, 3, 0, FB_OK}, /* refused, but the first might still land */
        {{LATE}, 1, 0, FB_OK},                  /* before the log is read */
        {{LATE}, 1, 1, FB_OK},                  /* before the second attempt */
        {{LATE, LOST}, 2, 2, FB_OK},
        {{LATE, LATE, LATE}, 3, 3, FB_OK},
        {{LATE, PASSES}, 2, 5, FB_OK}, /* after the second attempt has landed */
        {{REFUSED}, 1, 0, FB_UNAVAILABLE},
    };
    for (size_t i = 0; i < FB_COUNT(samples); i++) {
        instance_t instances[] = {found(), join()};
        batch_t batch = {.count = 0};
        create_machine(&instances[0], "before");
        fb_error_t error = {0};
        assert_int_equal(fb_fleet_catch_up(instances[1].fleet, &error), FB_OK);
        instances[1].lossy->script = samples[i].script;
        instances[1].lossy->script_length = samples[i].length;
        instances[1].lossy->delay = samples[i].delay;
        add_machine(&batch, "lost-1");
        add_machine(&batch, "lost-2");
        fb_code_t code = commit(&instances[1], &batch, 10000);
        if (code != samples[i].code)
            fail_msg("sample %zu: %s", i, fb_code_name(code));
        for (int calls = 0; calls < 8; calls++) /* what is late arrives */
            assert_int_equal(fb_fleet_catch_up(instances[1].fleet, &error), FB_OK);
        assert_int_equal(times_in_log("lost-1"), code == FB_OK);
        assert_int_equal(times_in_log("lost-2"), code == FB_OK);
        if (code == FB_OK) {
            fb_buffer_put_char(&batch.writes[1].body, '\0');
            assert_reads(instance_now(&instances[1]), "/v1/machines/3", batch.writes[1].body.at);
        }
        assert_all_same(instances, 2);
        clear(&batch);
        instance_dispose(&instances[0]);
        instance_dispose(&instances[1]);
    }
}

/* Another instance writes before each commit of the first. */
typedef struct {
    instance_t *other;
    unsigned left; /* how often */
    unsigned written;
} rival_t;

static void on_before_commit(void *context)
{
    rival_t *rival = context;
    char inventory_id[24];
    if (rival->left == 0)
        return;
    rival->left--;
    snprintf(inventory_id, sizeof(inventory_id), "rival-%u", ++rival->written);
    create_machine(rival->other, inventory_id);
}

static void who_always_comes_second_gives_up_in_the_end_and_has_written_nothing(void **state)
{
    (void)state;
    instance_t instance = found(), other = join();
    rival_t rival = {.other = &other, .left = UINT32_MAX};
    batch_t batch = {.count = 0};
    instance.lossy->before_commit = on_before_commit;
    instance.lossy->context = &rival;
    add_machine(&batch, "slow");
    assert_int_equal(commit(&instance, &batch, 200), FB_CONTENDED);
    assert_int_equal(times_in_log("slow"), 0);
    assert_int_equal(times_in_log("rival"), rival.written);
    rival.left = 5;
    assert_int_equal(commit(&instance, &batch, 10000), FB_OK);
    assert_int_equal(batch.writes[0].error.code, FB_OK);
    assert_int_equal(batch.writes[0].ids[0], rival.written + 1);
    assert_int_equal(times_in_log("slow"), 1);
    clear(&batch);
    instance_dispose(&instance);
    instance_dispose(&other);
}

/* The copy that is on its way extends a revision that somebody else has extended meanwhile. */
static void a_late_copy_of_an_overtaken_batch_does_not_land(void **state)
{
    (void)state;
    static const fate_t script[] = {LATE};
    instance_t instance = found(), other = join();
    rival_t rival = {.other = &other, .left = 1};
    batch_t batch = {.count = 0};
    fb_error_t error = {0};
    instance.lossy->before_commit = on_before_commit;
    instance.lossy->context = &rival;
    instance.lossy->script = script;
    instance.lossy->script_length = 1;
    instance.lossy->delay = 5;
    add_machine(&batch, "late");
    must_commit(&instance, &batch);
    for (int calls = 0; calls < 8; calls++)
        assert_int_equal(fb_fleet_catch_up(instance.fleet, &error), FB_OK);
    assert_int_equal(instance.lossy->late_left, 0);
    assert_int_equal(times_in_log("late"), 1);
    assert_int_equal(times_in_log("rival"), 1);
    clear(&batch);
    instance_dispose(&instance);
    instance_dispose(&other);
}

static void what_cannot_be_found_out_in_time_is_unknown(void **state)
{
    (void)state;
    static const fate_t scripts[2][20] = {
        {ANSWER_LOST},
        {LOST, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED},
    };
    for (size_t i = 0; i < 2; i++) {
        instance_t instance = found();
        batch_t batch = {.count = 0};
        instance.lossy->script = scripts[i];
        instance.lossy->script_length = i == 0 ? 1 : 10;
        instance.lossy->deaf = true;
        add_machine(&batch, "unknown");
        assert_int_equal(commit(&instance, &batch, 100), FB_OUTCOME_UNKNOWN);
        assert_int_equal(batch.writes[0].error.code, FB_OUTCOME_UNKNOWN);
        assert_int_equal(times_in_log("unknown"), i == 0);
        assert_int_equal(instance_now(&instance)->position.revision, 0);
        assert_all_same(&instance, 1);
        clear(&batch);
        instance_dispose(&instance);
    }
}

static void who_is_behind_and_hears_nothing_is_unavailable(void **state)
{
    (void)state;
    instance_t instance = found(), other = join();
    batch_t batch = {.count = 0};
    create_machine(&other, "A");
    instance.lossy->deaf = true;
    add_machine(&batch, "B");
    assert_int_equal(commit(&instance, &batch, 5000), FB_UNAVAILABLE);
    assert_int_equal(times_in_log("\"B\""), 0);
    clear(&batch);
    instance_dispose(&instance);
    instance_dispose(&other);
}

/* --- planning ahead ----------------------------------------------------------------------- */

/* Commits one batch, and has the other one planned meanwhile. */
static fb_code_t commit_and_plan(instance_t *instance, batch_t *batch, batch_t *next)
{
    instance->ahead->next = next;
    fb_code_t code = commit(instance, batch, 5000);
    instance->ahead->next = NULL;
    return code;
}

/* A machine, and what can only be planned upon it. */
static void add_pair(batch_t *batch, batch_t *next)
{
    add_machine(batch, "A");
    add(next, "PATCH", "/v1/machines/1", "{\"label\":\"N\"}");
    add_machine(next, "A");
    add_machine(next, "B");
}

static void assert_pair(const batch_t *next)
{
    assert_int_equal(next->writes[0].error.code, FB_OK);
    assert_int_equal(next->writes[1].error.code, FB_CONFLICT);
    assert_int_equal(next->writes[2].error.code, FB_OK);
    assert_int_equal(times_in_log("\"A\""), 2); /* put, and put again with another label */
    assert_int_equal(times_in_log("\"B\""), 1);
}

static void what_was_planned_ahead_is_sent_as_it_is(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0}, next = {.count = 0};
    add_pair(&batch, &next);
    assert_int_equal(commit_and_plan(&instance, &batch, &next), FB_OK);
    assert_true(instance.ahead->calls > 0 && instance.ahead->may);
    assert_int_equal(instance_now(&instance)->position.revision, 1);
    assert_int_equal(next.writes[0].position.revision, 2);
    next.writes[0].etag[0] = '!'; /* which another plan would write anew */
    assert_int_equal(commit(&instance, &next, 5000), FB_OK);
    assert_int_equal(next.writes[0].etag[0], '!');
    assert_int_equal(next.writes[2].position.revision, 3);
    assert_pair(&next);
    assert_all_same(&instance, 1);
    clear(&batch);
    clear(&next);
    instance_dispose(&instance);
}

static void what_was_planned_ahead_of_a_state_that_is_no_more_is_planned_again(void **state)
{
    (void)state;
    for (int heard = 0; heard < 2; heard++) {
        instance_t instances[] = {found(), join()};
        batch_t batch = {.count = 0}, next = {.count = 0};
        fb_error_t error = {0};
        add_pair(&batch, &next);
        assert_int_equal(commit_and_plan(&instances[0], &batch, &next), FB_OK);
        create_machine(&instances[1], "C");
        if (heard)
            assert_int_equal(fb_fleet_catch_up(instances[0].fleet, &error), FB_OK);
        assert_int_equal(commit(&instances[0], &next, 5000), FB_OK);
        assert_int_equal(next.writes[0].position.revision, 3);
        assert_int_equal(next.writes[2].ids[0], 3);
        assert_pair(&next);
        assert_all_same(instances, 2);
        clear(&batch);
        clear(&next);
        instance_dispose(&instances[0]);
        instance_dispose(&instances[1]);
    }
}

static void a_plan_ahead_is_of_just_these_writes(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0}, next = {.count = 0}, other = {.count = 0};
    add_pair(&batch, &next);
    assert_int_equal(commit_and_plan(&instance, &batch, &next), FB_OK);
    add_machine(&other, "C");
    must_commit(&instance, &other);
    assert_int_equal(commit(&instance, &next, 5000), FB_OK);
    assert_int_equal(next.writes[2].ids[0], 3);
    assert_pair(&next);
    assert_all_same(&instance, 1);
    clear(&batch);
    clear(&next);
    clear(&other);
    instance_dispose(&instance);
}

static void what_becomes_of_a_batch_holds_for_what_was_planned_upon_it(void **state)
{
    (void)state;
    static const fate_t fates[] = {LOST, ANSWER_LOST, LATE, REFUSED};
    for (size_t i = 0; i < FB_COUNT(fates); i++) {
        instance_t instance = found();
        batch_t batch = {.count = 0}, next = {.count = 0};
        instance.lossy->script = &fates[i];
        instance.lossy->script_length = 1;
        instance.lossy->delay = 1;
        add_pair(&batch, &next);
        fb_code_t code = commit_and_plan(&instance, &batch, &next);
        assert_int_equal(code, fates[i] == REFUSED ? FB_UNAVAILABLE : FB_OK);
        assert_int_equal(commit(&instance, &next, 5000), FB_OK);
        if (code == FB_OK) {
            assert_pair(&next);
        } else {
            assert_int_equal(next.writes[0].error.code, FB_NOT_FOUND);
            assert_int_equal(next.writes[1].error.code, FB_OK);
        }
        assert_all_same(&instance, 1);
        clear(&batch);
        clear(&next);
        instance_dispose(&instance);
    }
}

static void where_others_write_nothing_need_be_planned_ahead(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    batch_t batch = {.count = 0}, next = {.count = 0};
    fb_error_t error = {0};
    create_machine(&instances[1], "C");
    assert_int_equal(fb_fleet_catch_up(instances[0].fleet, &error), FB_OK);
    add_pair(&batch, &next);
    assert_int_equal(commit_and_plan(&instances[0], &batch, &next), FB_OK);
    assert_true(instances[0].ahead->calls > 0 && !instances[0].ahead->may);
    clear(&batch);
    clear(&next);
    instance_dispose(&instances[0]);
    instance_dispose(&instances[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_write_of_a_batch_is_planned_upon_the_ones_before_it),
        cmocka_unit_test(the_answer_of_a_write_is_what_a_read_shows),
        cmocka_unit_test(a_batch_without_a_change_is_not_sent),
        cmocka_unit_test(an_instance_that_is_behind_catches_up_and_plans_again),
        cmocka_unit_test(the_second_of_two_with_one_inventory_id_learns_of_the_first),
        cmocka_unit_test(what_fails_against_an_old_state_is_judged_again),
        cmocka_unit_test(a_batch_of_failures_alone_is_judged_upon_the_newest_state),
        cmocka_unit_test(an_error_about_what_did_not_land_is_forgotten),
        cmocka_unit_test(of_two_who_saw_the_same_state_one_writes),
        cmocka_unit_test(if_match_is_held_against_the_state_before_the_write),
        cmocka_unit_test(a_commit_whose_answer_is_lost_lands_exactly_once),
        cmocka_unit_test(who_always_comes_second_gives_up_in_the_end_and_has_written_nothing),
        cmocka_unit_test(a_late_copy_of_an_overtaken_batch_does_not_land),
        cmocka_unit_test(what_cannot_be_found_out_in_time_is_unknown),
        cmocka_unit_test(who_is_behind_and_hears_nothing_is_unavailable),
        cmocka_unit_test(what_was_planned_ahead_is_sent_as_it_is),
        cmocka_unit_test(what_was_planned_ahead_of_a_state_that_is_no_more_is_planned_again),
        cmocka_unit_test(a_plan_ahead_is_of_just_these_writes),
        cmocka_unit_test(what_becomes_of_a_batch_holds_for_what_was_planned_upon_it),
        cmocka_unit_test(where_others_write_nothing_need_be_planned_ahead),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
