/* SPDX-License-Identifier: MIT */
#include "server/batch.h"

#include "tests/unit/server/commit_fixture.h"

/* Requests with an Idempotency-Key, on their way into the log. */

#define INSTANCES 3

static const char machine_body[] = "{\"label\":\"M\",\"inventory_id\":\"%s\",\"type\":\"crane\"}";

static fb_write_t *add_keyed(batch_t *batch, const char *key, const char *path, const char *body)
{
    fb_error_t error = {0};
    fb_write_t *write = add(batch, "POST", path, body);
    write->key = fb_alloc(sizeof(*write->key));
    if (fb_idempotency_read(write->key, write->command->path, write->args.ids, fb_slice(key),
                            fb_slice(body), &error) != FB_OK)
        fail_msg("%s", error.detail);
    return write;
}

static fb_write_t *add_keyed_machine(batch_t *batch, const char *key, const char *inventory_id)
{
    char body[120];
    snprintf(body, sizeof(body), machine_body, inventory_id);
    return add_keyed(batch, key, "/v1/machines", body);
}

static void assert_created(const fb_write_t *write, const char *location, bool is_replay)
{
    assert_int_equal(write->error.code, FB_OK);
    assert_int_equal(write->is_replay, is_replay);
    assert_text(fb_buffer_slice(&write->location), location);
    assert_true(write->etag[0] == '"');
}

static void a_repeated_write_is_answered_and_not_done(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    const fb_write_t *first = add_keyed_machine(&batch, "a", "A");
    const fb_write_t *again = add_keyed_machine(&batch, "a", "A"); /* in the same batch */
    const fb_write_t *other = add_keyed_machine(&batch, "b", "B");
    must_commit(&instance, &batch);
    assert_created(first, "/v1/machines/1", false);
    assert_created(again, "/v1/machines/1", true);
    assert_created(other, "/v1/machines/2", false);
    assert_same_text(&first->body, &again->body);
    assert_string_equal(first->etag, again->etag);
    assert_int_equal(instance_now(&instance)->position.revision, 2);
    clear(&batch);
    /* Alone, it changes nothing; and it shows what the thing is now. */
    add(&batch, "PATCH", "/v1/machines/1", "{\"label\":\"new\"}");
    must_commit(&instance, &batch);
    clear(&batch);
    again = add_keyed_machine(&batch, "\"a\"", "A");
    must_commit(&instance, &batch);
    assert_created(again, "/v1/machines/1", true);
    assert_non_null(memmem(again->body.at, again->body.len, "\"new\"", 5));
    assert_int_equal(instance_now(&instance)->position.revision, 3);
    assert_int_equal(again->position.revision, 3);
    assert_all_same(&instance, 1);
    clear(&batch);
    instance_dispose(&instance);
}

static void another_body_a_thing_that_has_gone_and_a_failure(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    add_keyed_machine(&batch, "a", "A");
    add_keyed_machine(&batch, "a", "B");
    add(&batch, "DELETE", "/v1/machines/1", NULL);
    add_keyed_machine(&batch, "a", "A");
    assert_int_equal(commit(&instance, &batch, 1000), FB_OK);
    assert_error(&batch.writes[1].error, FB_INVALID, "Idempotency-Key");
    assert_error(&batch.writes[3].error, FB_NOT_FOUND, NULL);
    clear(&batch);
    /* What failed is not remembered: it may succeed later. */
    add_machine(&batch, "C");
    add_keyed_machine(&batch, "c", "C");
    assert_int_equal(commit(&instance, &batch, 1000), FB_OK);
    assert_error(&batch.writes[1].error, FB_CONFLICT, "inventory_id");
    clear(&batch);
    add(&batch, "DELETE", "/v1/machines/2", NULL);
    const fb_write_t *now = add_keyed_machine(&batch, "c", "C");
    must_commit(&instance, &batch);
    assert_created(now, "/v1/machines/3", false);
    assert_all_same(&instance, 1);
    clear(&batch);
    instance_dispose(&instance);
}

static void a_key_that_is_known_wins_over_if_match(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    add_keyed_machine(&batch, "a", "A")->if_match = strdup("*");
    add_keyed_machine(&batch, "a", "A")->if_match = strdup("\"another\"");
    must_commit(&instance, &batch);
    assert_created(&batch.writes[1], "/v1/machines/1", true);
    clear(&batch);
    add_keyed_machine(&batch, "b", "B")->if_match = strdup("\"another\"");
    assert_int_equal(commit(&instance, &batch, 1000), FB_OK);
    assert_int_equal(batch.writes[0].error.code, FB_PRECONDITION_FAILED);
    clear(&batch);
    instance_dispose(&instance);
}

#define REPORTS                                                                                    \
    "[{\"machine_id\":1,\"status\":\"red\",\"updated_by\":\"Ann\"},"                               \
    "{\"machine_id\":9,\"status\":\"red\",\"updated_by\":\"Ann\"}]"

static void a_request_of_many_items_is_repeated_as_a_whole(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    create_machine(&instance, "A");
    const fb_write_t *first = add_keyed(&batch, "k", "/v1/status", REPORTS);
    const fb_write_t *again = add_keyed(&batch, "k", "/v1/status", REPORTS);
    must_commit(&instance, &batch);
    assert_same_text(&first->body, &again->body);
    assert_false(first->is_replay);
    assert_true(again->is_replay);
    assert_int_equal(instance_now(&instance)->position.revision, 2);
    assert_int_equal(times_in_log("\"history\""), 1);
    clear(&batch);
    /* What each is now; nothing is reported again. */
    add(&batch, "PUT", "/v1/machines/1/status", "{\"status\":\"green\",\"updated_by\":\"Bo\"}");
    again = add_keyed(&batch, "k", "/v1/status", REPORTS);
    must_commit(&instance, &batch);
    assert_non_null(memmem(again->body.at, again->body.len, "\"green\"", 7));
    assert_non_null(memmem(again->body.at, again->body.len, "not-found", 9));
    assert_int_equal(times_in_log("\"history\""), 2);
    assert_all_same(&instance, 1);
    clear(&batch);
    instance_dispose(&instance);
}

static void of_two_instances_with_one_key_only_one_does_it(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join()};
    batch_t batch = {.count = 0};
    add_keyed_machine(&batch, "a", "A");
    must_commit(&instances[0], &batch);
    assert_created(&batch.writes[0], "/v1/machines/1", false);
    clear(&batch);
    /* It has heard nothing of it: its commit comes second, and then it knows. */
    assert_int_equal(instance_now(&instances[1])->position.revision, 0);
    add_keyed_machine(&batch, "a", "A");
    must_commit(&instances[1], &batch);
    assert_created(&batch.writes[0], "/v1/machines/1", true);
    clear(&batch);
    assert_all_same(instances, 2);
    for (int i = 0; i < 2; i++)
        instance_dispose(&instances[i]);
}

static void a_repeated_write_is_not_answered_while_redis_is_away(void **state)
{
    (void)state;
    instance_t instance = found();
    batch_t batch = {.count = 0};
    add_keyed_machine(&batch, "a", "A");
    must_commit(&instance, &batch);
    clear(&batch);
    instance.lossy->deaf = true;
    add_keyed_machine(&batch, "a", "A");
    assert_int_equal(commit(&instance, &batch, 100), FB_UNAVAILABLE);
    assert_int_equal(batch.writes[0].error.code, FB_UNAVAILABLE);
    clear(&batch);
    instance_dispose(&instance);
}

/* A write is sent again until somebody says what came of it, at any instance, whatever is lost: it
 * is done once. */
static void every_key_ends_as_exactly_one_thing(void **state)
{
    (void)state;
    enum { WRITES = 400 };
    chance_t chance = chance_init();
    instance_t instances[INSTANCES];
    unsigned tries = 0, replays = 0;
    for (size_t i = 0; i < INSTANCES; i++)
        instances[i] = i == 0 ? found() : join();
    for (size_t i = 0; i < INSTANCES; i++)
        instances[i].lossy->chance = &chance;
    for (unsigned i = 0; i < WRITES; i++) {
        char name[16];
        fb_code_t code;
        snprintf(name, sizeof(name), "M-%u.", i);
        do {
            batch_t batch = {.count = 0};
            const fb_write_t *write = add_keyed_machine(&batch, name, name);
            commit(&instances[chance_below(&chance, INSTANCES)], &batch,
                   chance_below(&chance, 2) * 50);
            code = write->error.code;
            assert_true(code == FB_OK || code == FB_UNAVAILABLE || code == FB_OUTCOME_UNKNOWN ||
                        code == FB_CONTENDED);
            tries++;
            replays += write->is_replay && code == FB_OK;
            clear(&batch);
        } while (code != FB_OK);
    }
    for (size_t i = 0; i < INSTANCES; i++)
        instances[i].lossy->chance = NULL;
    for (unsigned i = 0; i < WRITES; i++) {
        char text[40];
        snprintf(text, sizeof(text), "\"inventory_id\":\"M-%u.\"", i);
        assert_int_equal(times_in_log(text), 1);
    }
    print_message("%u writes, sent %u times, %u of them repeated\n", WRITES, tries, replays);
    assert_true(replays > 0);
    assert_all_same(instances, INSTANCES);
    for (size_t i = 0; i < INSTANCES; i++)
        instance_dispose(&instances[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeated_write_is_answered_and_not_done),
        cmocka_unit_test(another_body_a_thing_that_has_gone_and_a_failure),
        cmocka_unit_test(a_key_that_is_known_wins_over_if_match),
        cmocka_unit_test(a_request_of_many_items_is_repeated_as_a_whole),
        cmocka_unit_test(of_two_instances_with_one_key_only_one_does_it),
        cmocka_unit_test(a_repeated_write_is_not_answered_while_redis_is_away),
        cmocka_unit_test(every_key_ends_as_exactly_one_thing),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
