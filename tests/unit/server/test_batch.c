/* SPDX-License-Identifier: MIT */
#include "server/batch.h"

#include "resources/equipment.h"
#include "resources/orders.h"
#include "tests/unit/server/commit_fixture.h"

/* Items and their results, each with the comma before it. */
#define REPORT(id, status)                                                                         \
    ",{\"machine_id\":" #id ",\"status\":\"" status "\",\"updated_by\":\"Ann\"}"
#define SHOWN(id, status)                                                                          \
    ",{\"machine_id\":" #id ",\"status\":\"" status                                                \
    "\",\"updated_at\":\"\",\"updated_by\":\"Ann\",\"note\":null}"
#define NOT_FOUND(id)                                                                              \
    ",{\"machine_id\":" #id ",\"error\":{\"type\":\"/problems/not-found\","                        \
    "\"title\":\"There is no such thing\",\"status\":404,"                                         \
    "\"detail\":\"there is no machine " #id "\",\"errors\":[]}}"
#define FAILED(id, name, title, status, field, why)                                                \
    ",{\"machine_id\":" #id ",\"error\":{\"type\":\"/problems/" name "\",\"title\":\"" title       \
    "\",\"status\":" #status ",\"detail\":\"" field ": " why "\",\"errors\":[{\"field\":\"" field  \
    "\",\"detail\":\"" why "\"}]}}"
#define INVALID(id, field, why)                                                                    \
    FAILED(id, "invalid", "The request is well-formed but not valid", 422, field, why)
#define MALFORMED(id, field, why)                                                                  \
    FAILED(id, "malformed", "The request is malformed", 400, field, why)
#define NO_STATUS "must be green, yellow or red"

/* A new fleet with machines 1 to `count`. */
static instance_t with_machines(unsigned count)
{
    instance_t instance = found();
    for (unsigned i = 1; i <= count; i++) {
        char number[16];
        snprintf(number, sizeof(number), "M-%u", i);
        create_machine(&instance, number);
    }
    return instance;
}

static fb_write_t *add_body(batch_t *batch, const char *body)
{
    return add(batch, "POST", "/v1/status", body);
}

static fb_write_t *add_reports(batch_t *batch, const char *items)
{
    fb_buffer_t body = {0};
    fb_buffer_printf(&body, "[%s]", items + 1);
    fb_buffer_put_char(&body, '\0');
    fb_write_t *write = add_body(batch, body.at);
    fb_buffer_dispose(&body);
    return write;
}

/* The times in an answer are those of the writer: a text without them. */
static void assert_results(const fb_write_t *write, const char *expected)
{
    static const char member[] = "\"updated_at\":\"";
    fb_buffer_t text = {0}, whole = {0};
    fb_slice_t rest = fb_buffer_slice(&write->body);
    const char *found;
    while ((found = memmem(rest.at, rest.len, member, sizeof(member) - 1)) != NULL) {
        size_t past = (size_t)(found - rest.at) + sizeof(member) - 1;
        fb_buffer_put(&text, rest.at, past);
        rest.at += past + FB_INSTANT_TEXT_BYTES;
        rest.len -= past + FB_INSTANT_TEXT_BYTES;
    }
    fb_buffer_put_slice(&text, rest);
    fb_buffer_printf(&whole, "{\"results\":[%s]}", expected + 1);
    assert_same_text(&text, &whole);
    fb_buffer_dispose(&text);
    fb_buffer_dispose(&whole);
}

static void all_items_of_a_request_are_one_revision(void **state)
{
    (void)state;
    instance_t instance = with_machines(3);
    batch_t batch = {.count = 0};
    add_reports(&batch, REPORT(2, "red") REPORT(1, "green") REPORT(3, "red"));
    must_commit(&instance, &batch);
    assert_int_equal(instance_now(&instance)->position.revision, 4);
    assert_int_equal(batch.writes[0].position.revision, 4);
    assert_results(&batch.writes[0], SHOWN(2, "red") SHOWN(1, "green") SHOWN(3, "red"));
    assert_all_same(&instance, 1);
    clear(&batch);
    instance_dispose(&instance);
}

/* What is reported twice is what was reported last; each result is of its own moment. */
static void the_order_of_the_items_is_kept(void **state)
{
    (void)state;
    instance_t instance = with_machines(2);
    batch_t batch = {.count = 0};
    add_reports(&batch, REPORT(1, "red") REPORT(2, "red") REPORT(1, "yellow") REPORT(1, "green"));
    must_commit(&instance, &batch);
    assert_results(&batch.writes[0],
                   SHOWN(1, "red") SHOWN(2, "red") SHOWN(1, "yellow") SHOWN(1, "green"));
    const fb_snapshot_t *now = instance_now(&instance);
    assert_true(fb_bitmap_has(
        fb_snapshot_facet(now, FB_EQUIPMENT, FB_EQUIPMENT_STATUS, FB_SLICE("green")), 1));
    /* All of them are events, and only the last one ends the revision. */
    assert_int_equal(now->events.end - now->events.first, 2 + 4);
    for (uint32_t i = 0; i < 4; i++) {
        const fb_event_t *event = fb_events_get(&now->events, now->events.end - 4 + i);
        assert_int_equal(event->revision, 3);
        assert_int_equal(event->place, i + 1);
        assert_int_equal(event->is_last, i == 3);
        assert_int_equal(fb_event_is_newest(now, event), i == 1 || i == 3);
    }
    assert_all_same(&instance, 1);
    clear(&batch);
    instance_dispose(&instance);
}

static void an_item_that_fails_leaves_the_others(void **state)
{
    (void)state;
    static const struct {
        const char *item, *result;
    } pairs[] = {
        {REPORT(9, "red"), NOT_FOUND(9)},
        {REPORT(1, "green"), SHOWN(1, "green")},
        {REPORT(2, "blue"), INVALID(2, "status", NO_STATUS)},
        {",{\"machine_id\":2,\"status\":\"red\"}", INVALID(2, "updated_by", "is required")},
        {",{\"machine_id\":\"2\"}", INVALID(null, "machine_id", "must be a number")},
        {",{\"machine_id\":2,\"status\":\"red\",\"updated_by\":\"Ann\",\"id\":1}",
         MALFORMED(2, "id", "there is no such member here")},
        {REPORT(2, "red"), SHOWN(2, "red")},
    };
    instance_t instance = with_machines(2);
    batch_t batch = {.count = 0};
    fb_buffer_t items = {0}, results = {0};
    for (size_t i = 0; i < FB_COUNT(pairs); i++) {
        fb_buffer_put_text(&items, pairs[i].item);
        fb_buffer_put_text(&results, pairs[i].result);
    }
    fb_buffer_put_char(&items, '\0');
    fb_buffer_put_char(&results, '\0');
    add_reports(&batch, items.at);
    must_commit(&instance, &batch);
    assert_results(&batch.writes[0], results.at);
    assert_int_equal(instance_now(&instance)->position.revision, 3);
    assert_all_same(&instance, 1);
    fb_buffer_dispose(&items);
    fb_buffer_dispose(&results);
    clear(&batch);
    instance_dispose(&instance);
}

static void a_request_of_which_nothing_succeeds_commits_nothing(void **state)
{
    (void)state;
    instance_t instance = with_machines(1);
    batch_t batch = {.count = 0};
    const fb_snapshot_t *before = instance_now(&instance);
    add_reports(&batch, REPORT(9, "red") REPORT(1, "blue"));
    must_commit(&instance, &batch);
    assert_results(&batch.writes[0], NOT_FOUND(9) INVALID(1, "status", NO_STATUS));
    assert_ptr_equal(instance_now(&instance), before);
    assert_int_equal(batch.writes[0].position.revision, before->position.revision);
    assert_int_equal(before->position.revision, 1);
    clear(&batch);
    /* Beside others it stays so, and they have their own revisions. */
    add_machine(&batch, "A");
    add_reports(&batch, REPORT(9, "red"));
    add_machine(&batch, "B");
    must_commit(&instance, &batch);
    assert_int_equal(batch.writes[1].position.revision, 2);
    assert_int_equal(instance_now(&instance)->position.revision, 3);
    assert_results(&batch.writes[1], NOT_FOUND(9));
    assert_all_same(&instance, 1);
    clear(&batch);
    instance_dispose(&instance);
}

/* While Redis is away, nobody knows whether what failed would still fail. */
static void failures_that_cannot_be_confirmed_are_no_answer(void **state)
{
    (void)state;
    instance_t instance = with_machines(1);
    batch_t batch = {.count = 0};
    add_reports(&batch, REPORT(9, "red"));
    instance.lossy->deaf = true;
    assert_int_equal(commit(&instance, &batch, 200), FB_UNAVAILABLE);
    assert_int_equal(batch.writes[0].error.code, FB_UNAVAILABLE);
    clear(&batch);
    instance_dispose(&instance);
}

static void items_are_planned_again_upon_what_others_wrote(void **state)
{
    (void)state;
    instance_t instances[] = {with_machines(2), join()};
    batch_t batch = {.count = 0};
    add(&batch, "DELETE", "/v1/machines/1", NULL);
    must_commit(&instances[1], &batch);
    clear(&batch);
    add_reports(&batch, REPORT(1, "red") REPORT(2, "red"));
    must_commit(&instances[0], &batch);
    assert_results(&batch.writes[0], NOT_FOUND(1) SHOWN(2, "red"));
    assert_int_equal(batch.writes[0].position.revision, 4);
    assert_all_same(instances, 2);
    clear(&batch);
    for (int i = 0; i < 2; i++)
        instance_dispose(&instances[i]);
}

static void if_match_is_held_against_the_list(void **state)
{
    (void)state;
    instance_t instance = with_machines(1);
    batch_t batch = {.count = 0};
    fb_buffer_t body = {0};
    fb_error_t error;
    char etag[FB_ETAG_BYTES + 1];
    fleet_read(instance_now(&instance), "/v1/status", &body, NULL, &error);
    fb_etag(fb_buffer_slice(&body), etag);
    for (int i = 0; i < 2; i++)
        add_reports(&batch, REPORT(1, "red"))->if_match = strdup(etag);
    assert_int_equal(commit(&instance, &batch, 5000), FB_OK);
    assert_int_equal(batch.writes[0].error.code, FB_OK);
    assert_int_equal(batch.writes[1].error.code, FB_PRECONDITION_FAILED);
    assert_int_equal(instance_now(&instance)->position.revision, 2);
    fb_buffer_dispose(&body);
    clear(&batch);
    instance_dispose(&instance);
}

/* A list of which some is in Redis alone is not known to be as it was; a thing that is there alone
 * does not change any more, whatever it is held against. */
static void if_match_is_not_held_against_what_is_archived(void **state)
{
    (void)state;
    static const char order[] = "{\"user_id\":1,\"item_ids\":[1],\"total_amount\":1}";
    instance_t instance = with_machines(0);
    batch_t batch = {.count = 0};
    const uint32_t first = 1;
    add(&batch, "POST", "/v1/orders", order);
    add(&batch, "DELETE", "/v1/orders/1", NULL);
    fb_write_t *archive = &batch.writes[batch.count];
    batch.pointers[batch.count++] = archive;
    fb_write_init(archive, &fb_orders_archive);
    fb_orders_ask(&archive->args, &first, 1, NULL);
    must_commit(&instance, &batch);
    clear(&batch);
    add(&batch, "POST", "/v1/orders", order)->if_match = strdup("\"any\"");
    add(&batch, "POST", "/v1/orders", order)->if_match = strdup("*");
    add(&batch, "DELETE", "/v1/orders/1", NULL)->if_match = strdup("\"any\"");
    add(&batch, "POST", "/create_order", order)->if_match = strdup("*");
    assert_int_equal(commit(&instance, &batch, 5000), FB_OK);
    assert_int_equal(batch.writes[0].error.code, FB_PRECONDITION_FAILED);
    assert_int_equal(batch.writes[1].error.code, FB_OK);
    assert_int_equal(batch.writes[1].ids[0], 2);
    assert_int_equal(batch.writes[2].error.code, FB_CONFLICT);
    assert_int_equal(batch.writes[3].error.code, FB_PRECONDITION_FAILED);
    clear(&batch);
    instance_dispose(&instance);
}

/* --- bounds -------------------------------------------------------------------------------- */

static void put_many(fb_buffer_t *body, unsigned count, const char *note)
{
    body->len = 0;
    for (unsigned i = 0; i < count; i++)
        fb_buffer_printf(body,
                         "%c{\"machine_id\":1,\"status\":\"red\",\"updated_by\":\"A\","
                         "\"note\":\"%s\"}",
                         i ? ',' : '[', note);
    fb_buffer_put_literal(body, "]");
    fb_buffer_put_char(body, '\0');
}

static void a_batch_ends_once_it_has_so_many_rows(void **state)
{
    (void)state;
    instance_t instance = with_machines(1);
    batch_t writes = {.count = 0};
    fb_buffer_t body = {0};
    put_many(&body, FB_ITEMS_MAX, "n");
    for (int i = 0; i < 8; i++)
        add_body(&writes, body.at);
    fb_batch_t batch;
    fb_batch_begin(&batch, instance_now(&instance));
    size_t taken = fb_batch_add(&batch, 1, writes.pointers, writes.count);
    assert_int_equal(taken, FB_BATCH_ROWS_MAX / FB_ITEMS_MAX);
    assert_int_equal(batch.rows, FB_BATCH_ROWS_MAX);
    assert_true(fb_batch_is_full(&batch));
    assert_int_equal(fb_batch_add(&batch, 1, writes.pointers + taken, 1), 0);
    fb_batch_dispose(&batch);
    /* They are several batches, then. */
    must_commit(&instance, &writes);
    assert_int_equal(instance_now(&instance)->position.revision, 9);
    assert_all_same(&instance, 1);
    fb_buffer_dispose(&body);
    clear(&writes);
    instance_dispose(&instance);
}

static void a_batch_ends_once_it_has_so_many_bytes(void **state)
{
    (void)state;
    static char note[1001];
    instance_t instance = with_machines(1);
    batch_t *writes = calloc(1, sizeof(*writes));
    fb_buffer_t body = {0};
    memset(note, 'n', sizeof(note) - 1);
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        char label[120];
        snprintf(label, sizeof(label),
                 "{\"label\":\"M\",\"inventory_id\":\"B-%u\",\"type\":\"crane\"}", i);
        add(writes, "POST", "/v1/machines", label);
    }
    fb_batch_t batch;
    fb_batch_begin(&batch, instance_now(&instance));
    assert_int_equal(fb_batch_add(&batch, 1, writes->pointers, 1), 1);
    assert_true(batch.bytes > 100 && batch.bytes < 400 && !fb_batch_is_full(&batch));
    assert_int_equal(batch.bytes, batch.entries[0].payload.len);
    batch.bytes = FB_BATCH_BYTES_MAX;
    assert_true(fb_batch_is_full(&batch));
    assert_int_equal(fb_batch_add(&batch, 1, writes->pointers + 1, 1), 0);
    fb_batch_dispose(&batch);
    put_many(&body, FB_ITEMS_MAX, note);
    clear(writes);
    for (int i = 0; i < 20; i++)
        add_body(writes, body.at);
    assert_int_equal(commit(&instance, writes, 10000), FB_OK);
    assert_int_equal(instance_now(&instance)->position.revision, 21);
    fb_buffer_dispose(&body);
    clear(writes);
    free(writes);
    instance_dispose(&instance);
}

/* --- random batches ------------------------------------------------------------------------ */

#define MACHINES 20

typedef struct {
    const char *status[MACHINES + 3]; /* by id; NULL: none */
    bool exists[MACHINES + 3];
    uint64_t revision;
    size_t reports; /* that landed */
} model_t;

static void check_status(const instance_t *instance, const model_t *model)
{
    for (uint32_t id = 1; id <= MACHINES; id++) {
        const fb_row_t *row = fb_snapshot_row(instance_now(instance), FB_EQUIPMENT, id);
        assert_int_equal(row != NULL, model->exists[id] && model->status[id] != NULL);
        if (row == NULL)
            continue;
        fb_value_t value =
            fb_row_value(row, fb_registry_resource(FB_EQUIPMENT)->fields, FB_EQUIPMENT_STATUS);
        assert_true(fb_slice_is(value.text, model->status[id]));
    }
}

/* An item, and what its result must begin with. */
static bool put_item(chance_t *chance, model_t *model, fb_buffer_t *body, char *result, size_t size)
{
    static const char *const states[] = {"green", "yellow", "red", "blue"};
    uint32_t id = 1 + chance_below(chance, MACHINES + 2);
    const char *status = states[chance_below(chance, 20) == 0 ? 3 : chance_below(chance, 3)];
    bool wrong = chance_below(chance, 20) == 0;
    fb_buffer_printf(body, "{\"machine_id\":%u,\"status\":\"%s\",\"updated_by\":%s}", id, status,
                     wrong ? "7" : "\"Ann\"");
    bool lands = !wrong && model->exists[id] && strcmp(status, "blue") != 0;
    if (lands)
        model->status[id] = status;
    if (lands)
        snprintf(result, size, "{\"machine_id\":%u,\"status\":\"%s\"", id, status);
    else
        snprintf(result, size, "{\"machine_id\":%u,\"error\":{", id);
    return lands;
}

static void check_results(const fb_write_t *write, char (*results)[80], size_t count)
{
    json_error_t fault;
    json_t *body = json_loadb(write->body.at, write->body.len, 0, &fault);
    json_t *all = json_object_get(body, "results");
    assert_int_equal(json_array_size(all), count);
    const char *at = write->body.at + strlen("{\"results\":[");
    const char *end = write->body.at + write->body.len;
    for (size_t i = 0; i < count; i++) {
        at = memmem(at, (size_t)(end - at), "{\"machine_id\":", strlen("{\"machine_id\":"));
        assert_non_null(at);
        if (memcmp(at, results[i], strlen(results[i])) != 0)
            fail_msg("%s: %.100s", results[i], at);
        at++;
    }
    json_decref(body);
}

static void one_random_batch(instance_t *instance, model_t *model, chance_t *chance)
{
    enum { WRITES = 4, ITEMS = 30 };
    static char results[WRITES][ITEMS][80];
    size_t counts[WRITES], write_count = 1 + chance_below(chance, WRITES);
    uint64_t revisions[WRITES];
    batch_t batch = {.count = 0};
    fb_buffer_t body = {0};
    for (size_t w = 0; w < write_count; w++) {
        bool any = false;
        counts[w] = 1 + chance_below(chance, ITEMS);
        body.len = 0;
        for (size_t i = 0; i < counts[w]; i++) {
            fb_buffer_put_char(&body, i > 0 ? ',' : '[');
            bool lands = put_item(chance, model, &body, results[w][i], sizeof(results[w][i]));
            model->reports += lands;
            any |= lands;
        }
        fb_buffer_put_char(&body, ']');
        fb_buffer_put_char(&body, '\0');
        add_body(&batch, body.at);
        model->revision += any;
        revisions[w] = model->revision;
    }
    must_commit(instance, &batch);
    for (size_t w = 0; w < write_count; w++) {
        check_results(&batch.writes[w], results[w], counts[w]);
        assert_int_equal(batch.writes[w].position.revision, revisions[w]);
    }
    fb_buffer_dispose(&body);
    clear(&batch);
}

static void random_batches_agree_with_a_plain_array(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    model_t model = {.revision = MACHINES};
    instance_t instances[] = {with_machines(MACHINES), join()};
    for (uint32_t id = 1; id <= MACHINES; id++)
        model.exists[id] = true;
    for (int round = 0; round < 150; round++) {
        instance_t *instance = &instances[chance_below(&chance, 2)];
        if (chance_below(&chance, 20) == 0) {
            batch_t batch = {.count = 0};
            uint32_t id = 1 + chance_below(&chance, MACHINES);
            char path[40];
            snprintf(path, sizeof(path), "/v1/machines/%u", id);
            add(&batch, "DELETE", path, NULL);
            assert_int_equal(commit(instance, &batch, 5000), FB_OK);
            assert_int_equal(batch.writes[0].error.code, model.exists[id] ? FB_OK : FB_NOT_FOUND);
            model.revision += model.exists[id];
            model.exists[id] = false;
            clear(&batch);
        }
        one_random_batch(instance, &model, &chance);
        check_status(instance, &model);
    }
    assert_int_equal(times_in_log("\"history\""), model.reports);
    assert_all_same(instances, 2);
    for (int i = 0; i < 2; i++)
        instance_dispose(&instances[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_items_of_a_request_are_one_revision),
        cmocka_unit_test(the_order_of_the_items_is_kept),
        cmocka_unit_test(an_item_that_fails_leaves_the_others),
        cmocka_unit_test(a_request_of_which_nothing_succeeds_commits_nothing),
        cmocka_unit_test(failures_that_cannot_be_confirmed_are_no_answer),
        cmocka_unit_test(items_are_planned_again_upon_what_others_wrote),
        cmocka_unit_test(if_match_is_held_against_the_list),
        cmocka_unit_test(if_match_is_not_held_against_what_is_archived),
        cmocka_unit_test(a_batch_ends_once_it_has_so_many_rows),
        cmocka_unit_test(a_batch_ends_once_it_has_so_many_bytes),
        cmocka_unit_test(random_batches_agree_with_a_plain_array),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
