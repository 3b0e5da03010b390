/* SPDX-License-Identifier: MIT */
#include "resources/stage.h"

#include "resources/machines.h"
#include "tests/unit/resources/check_status.h"
#include "tests/unit/resources/dump.h"
#include "tests/unit/resources/program.h"

#define STEPS_MAX 8 /* of one stage */

/* A fleet, its model, and a second fleet that knows of the first only what the log says. */
typedef struct {
    chance_t chance;
    model_t *model, *saved;
    history_t history, replica;
    fb_buffer_t shown[HISTORY_MAX]; /* what each snapshot of the history holds */
    fb_buffer_t payloads[STEPS_MAX];
    size_t payload_count;
    fb_instant_t now;
} program_t;

static void program_create(program_t *program, size_t kept)
{
    *program = (program_t){
        .chance = chance_init(),
        .model = calloc(1, sizeof(model_t)),
        .saved = calloc(1, sizeof(model_t)),
        .history = history_create(kept),
        .replica = history_create(1),
        .now = NOON,
    };
    program->model->today = TODAY;
    fb_stage_t *stage = fb_stage_begin(history_now(&program->history));
    fb_stage_raise_last_id(stage, FB_MACHINES, MODEL_FIRST);
    history_push(&program->history, &stage);
    stage = fb_stage_begin(history_now(&program->replica));
    fb_stage_raise_last_id(stage, FB_MACHINES, MODEL_FIRST);
    history_push(&program->replica, &stage);
}

static void program_dispose(program_t *program)
{
    for (size_t i = 0; i < HISTORY_MAX; i++)
        fb_buffer_dispose(&program->shown[i]);
    for (size_t i = 0; i < STEPS_MAX; i++)
        fb_buffer_dispose(&program->payloads[i]);
    history_dispose(&program->history);
    history_dispose(&program->replica);
    free(program->model);
    free(program->saved);
}

/* One day of a plane: these machines and no others. */
static void check_day(const fb_snapshot_t *snapshot, const model_t *model, fb_plane_id_t plane,
                      fb_day_t day)
{
    const fb_bitmap_t *set = fb_snapshot_day(snapshot, plane, day);
    uint64_t count = 0;
    for (uint32_t i = 0; i < model->machine_count; i++) {
        uint32_t id = MODEL_FIRST + 1 + i;
        bool expected = plane == FB_PLANE_MAINTENANCE ? model_in_maintenance(model, id, day)
                                                      : model_is_booked(model, id, day);
        assert_int_equal(set != NULL && fb_bitmap_has(set, id), expected);
        count += expected;
    }
    assert_int_equal(set != NULL ? set->count : 0, count);
}

static fb_day_t chance_day(chance_t *chance)
{
    return (fb_day_t)chance_between(chance, TODAY - 15, TODAY + 60);
}

/* The index of the inventory numbers, and the views, all of them with some arguments. */
static void check_views(const fb_snapshot_t *snapshot, const model_t *model, chance_t *chance)
{
    const char *types[] = {NULL, "excavator", "crane", "dumper"};
    const char *type = types[chance_below(chance, 4)];
    size_t limit = 1 + chance_below(chance, 100);
    fb_day_t from = chance_day(chance), to = from + (fb_day_t)chance_below(chance, 20);
    uint32_t id = MODEL_FIRST + 1 + chance_below(chance, model->machine_count + 1);
    char text[16];
    for (uint32_t n = 0; n < MODEL_NUMBERS; n++) {
        snprintf(text, sizeof(text), "INV-%u", n);
        assert_int_equal(
            fb_snapshot_find(snapshot, FB_MACHINES, FB_MACHINE_INVENTORY_ID, fb_slice(text)),
            model_owner(model, n));
    }
    const char *states[] = {NULL, "green", "yellow", "red"};
    check_list(snapshot, model, NULL, type, limit);
    check_list(snapshot, model, states[1 + chance_below(chance, 3)], type, limit);
    check_states(snapshot, model, states[chance_below(chance, 4)], limit);
    check_availability(snapshot, model, from, 0, type, limit);
    check_availability(snapshot, model, from, to, type, limit);
    check_availability(snapshot, model, 0, 0, type, limit);
    check_calendar(snapshot, model, from, to, type);
    if (model_has(model, id))
        check_machine_calendar(snapshot, model, id, from, to);
}

static void check_all(const fb_snapshot_t *snapshot, const model_t *model, chance_t *chance)
{
    for (uint32_t i = 0; i < model->machine_count; i++)
        check_machine(snapshot, model, MODEL_FIRST + 1 + i);
    for (uint32_t id = 1; id <= model->window_count; id++)
        check_window(snapshot, model, id);
    for (fb_day_t day = MODEL_DAY; day < MODEL_DAY + MODEL_DAYS; day++) {
        check_day(snapshot, model, FB_PLANE_MAINTENANCE, day);
        check_day(snapshot, model, FB_PLANE_BOOKED, day);
    }
    check_views(snapshot, model, chance);
    assert_int_equal(snapshot->families[FB_MACHINES].last_id, MODEL_FIRST + model->machine_count);
    assert_int_equal(snapshot->families[FB_MAINTENANCE].last_id, model->window_count);
    assert_int_equal(snapshot->today, model->today);
}

/* A plan is a pure function: what it says before the write is what the write does. */
static void plan_ahead(const fb_stage_t *stage, const step_t *step, fb_instant_t now,
                       written_t *planned)
{
    fb_args_t args = {0};
    fb_plan_t plan = {0};
    fleet_plan(fb_stage_view(stage), now, step->method, step->path, fb_slice(step->body), &args,
               &plan, &planned->error);
    if (planned->error.code == FB_OK)
        fb_change_encode(&plan.change, &planned->payload);
    fb_change_dispose(&plan.change);
    fb_args_dispose(&args);
}

/* Orders will do this: days are booked, or free again, without regard to maintenance. */
static void program_book(program_t *program, fb_stage_t *stage, fb_buffer_t *payload)
{
    uint32_t id = chance_machine(&program->chance, program->model);
    fb_day_t from = chance_day(&program->chance);
    fb_day_t to = from + (fb_day_t)chance_below(&program->chance, 6);
    bool set = chance_below(&program->chance, 2) == 0;
    fb_change_t change = {0};
    if (!model_has(program->model, id))
        return;
    fb_change_days(&change, FB_PLANE_BOOKED, id, from, to, set);
    fb_change_days(&change, FB_PLANE_BOOKED, id, to, from - 1, set); /* no day at all */
    assert_int_equal(change.count, 1);
    for (fb_day_t day = from; day <= to; day++)
        model_machine(program->model, id)->booked[model_place(day)] = set;
    payload->len = 0;
    fb_change_encode(&change, payload);
    fb_stage_apply(stage, &change);
    fb_change_dispose(&change);
    program->payload_count++;
}

static void move_position(fb_stage_t *stage)
{
    fb_position_t position = fb_stage_view(stage)->position;
    position.revision++;
    fb_stage_set_position(stage, &position);
}

static void program_step(program_t *program, fb_stage_t *stage)
{
    step_t step;
    fb_buffer_t *payload = &program->payloads[program->payload_count];
    program->now += chance_below(&program->chance, 5000);
    if (chance_below(&program->chance, 12) == 0) {
        program_book(program, stage, payload);
        return;
    }
    step_random(&step, &program->chance, program->model, program->now);
    written_t written = {.payload = *payload}, planned = {0};
    plan_ahead(stage, &step, program->now, &planned);
    fleet_write(stage, program->now, step.method, step.path, step.body, &written);
    *payload = written.payload;
    if (written.error.code != step.code)
        fail_msg("%s %s %s: %s (%s)", step.method, step.path, step.body,
                 fb_code_name(written.error.code), written.error.detail);
    assert_string_equal(planned.error.detail, written.error.detail);
    assert_same_text(&planned.payload, &written.payload);
    if (step.code == FB_OK) {
        program->payload_count++;
        if (strcmp(step.method, "DELETE") != 0)
            assert_memory_equal(written.ids, step.ids, sizeof(step.ids));
        check_machine(fb_stage_view(stage), program->model, step.touched);
    } else {
        assert_error(&written.error, step.code, step.field);
    }
    fb_buffer_dispose(&planned.payload);
}

/* The second fleet reads what the stage has put in the log: each entry once, or twice. */
static void replicate(program_t *program)
{
    fb_stage_t *stage = fb_stage_begin(history_now(&program->replica));
    for (size_t i = 0; i < program->payload_count; i++) {
        fb_change_t change = {0};
        fb_error_t error = {0};
        fb_buffer_t again = {0};
        assert_int_equal(fb_change_decode(&change, fb_buffer_slice(&program->payloads[i]), &error),
                         FB_OK);
        fb_change_encode(&change, &again);
        assert_same_text(&again, &program->payloads[i]);
        for (uint32_t times = chance_below(&program->chance, 3) == 0 ? 2 : 1; times > 0; times--)
            fb_stage_apply(stage, &change);
        fb_change_dispose(&change);
        fb_buffer_dispose(&again);
    }
    fb_stage_set_position(stage, &history_now(&program->history)->position);
    fb_stage_set_today(stage, history_now(&program->history)->today);
    history_push(&program->replica, &stage);
}

static void check_replica(program_t *program)
{
    fb_buffer_t one = {0}, other = {0};
    dump(history_now(&program->history), false, &one);
    dump(history_now(&program->replica), false, &other);
    assert_same_text(&one, &other);
    fb_buffer_dispose(&one);
    fb_buffer_dispose(&other);
}

/* Snapshots that are kept show what they showed. */
static void check_history(program_t *program, size_t kept)
{
    fb_buffer_t now = {0};
    dump(program->history.at[kept], true, &now);
    assert_same_text(&now, &program->shown[kept]);
    fb_buffer_dispose(&now);
}

static void program_seal(program_t *program, fb_stage_t **stage)
{
    move_position(*stage);
    if (program->history.count == program->history.kept) {
        fb_buffer_t oldest = program->shown[0];
        check_history(program, 0);
        memmove(&program->shown[0], &program->shown[1],
                (program->history.kept - 1) * sizeof(program->shown[0]));
        program->shown[program->history.kept - 1] = oldest;
    }
    history_push(&program->history, stage);
    dump(history_now(&program->history), true, &program->shown[program->history.count - 1]);
    replicate(program);
}

/* One stage: some steps, then it is sealed or aborted. */
static void program_round(program_t *program)
{
    fb_stage_t *stage = fb_stage_begin(history_now(&program->history));
    program->payload_count = 0;
    *program->saved = *program->model;
    if (chance_below(&program->chance, 10) == 0 && program->model->today < TODAY + 40) {
        program->model->today += (fb_day_t)chance_below(&program->chance, 3);
        fb_stage_set_today(stage, program->model->today);
    }
    for (uint32_t n = chance_below(&program->chance, STEPS_MAX); n > 0; n--)
        program_step(program, stage);
    if (program->model->machine_count > 0)
        check_views(fb_stage_view(stage), program->model, &program->chance);
    if (chance_below(&program->chance, 4) == 0) {
        fb_stage_abort(&stage);
        *program->model = *program->saved;
        check_history(program, program->history.count - 1);
        return;
    }
    program_seal(program, &stage);
}

static void a_random_program_agrees_with_plain_arrays(void **state)
{
    (void)state;
    enum { ROUNDS = 700, KEPT = 6 };
    program_t program;
    program_create(&program, KEPT);
    for (size_t i = 0; i < 2; i++)
        dump(program.history.at[i], true, &program.shown[i]);
    for (int round = 0; round < ROUNDS; round++) {
        program_round(&program);
        check_replica(&program);
        check_history(&program, chance_below(&program.chance, (uint32_t)program.history.count));
        if (round % 10 == 9 || round == ROUNDS - 1) {
            check_all(history_now(&program.history), program.model, &program.chance);
            check_all(history_now(&program.replica), program.model, &program.chance);
        }
    }
    assert_true(program.model->machine_count > 93); /* over a page of the bitmaps */
    assert_true(program.model->window_count > 100);
    program_dispose(&program);
}

/* --- a load while others write ----------------------------------------------------------- */

/* One snapshot at random from the noted head on: what a load reads is as new as that, or newer. */
static const fb_snapshot_t *chance_state(chance_t *chance, const history_t *history, size_t head)
{
    return history->at[head + chance_below(chance, (uint32_t)(history->count - head))];
}

static void load_row(fb_stage_t *stage, const fb_snapshot_t *source, unsigned family, uint32_t id)
{
    const fb_resource_t *resource = fb_registry_resource(family);
    const fb_row_t *row = fb_snapshot_row(source, family, id);
    fb_value_t values[FB_FIELDS_MAX];
    if (row == NULL)
        return;
    for (unsigned f = 0; f < resource->field_count; f++)
        values[f] = fb_row_value(row, resource->fields, f);
    fb_stage_put(stage, family, id, values);
}

static void load_day(fb_stage_t *stage, const fb_snapshot_t *source, fb_plane_id_t plane,
                     fb_day_t day)
{
    uint8_t bytes[(MODEL_FIRST + MODEL_MACHINES) / 8 + 1] = {0};
    const fb_bitmap_t *set = fb_snapshot_day(source, plane, day);
    for (uint32_t id = 0; set != NULL && fb_bitmap_next(set, &id); id++)
        bytes[id / 8] |= (uint8_t)(0x80 >> id % 8);
    if (set != NULL)
        fb_stage_load_day(stage, plane, day, (fb_slice_t){(const char *)bytes, sizeof(bytes)});
}

/* All that a load brings, each thing as it was at some time since the head, in any order; some come
 * twice. The order: a permutation of `count` places by a step that is prime to it. */
static void load(fb_stage_t *stage, chance_t *chance, const history_t *history, size_t head)
{
    enum { STATES = MODEL_MACHINES, WINDOWS = STATES + MODEL_MACHINES };
    enum { DAYS = WINDOWS + MODEL_WINDOWS, ALL = 3301 /* a prime */ };
    _Static_assert(DAYS + FB_PLANE_COUNT * MODEL_DAYS <= ALL, "all things have a place");
    uint32_t place = chance_below(chance, ALL), stride = 1 + chance_below(chance, ALL - 1);
    for (uint32_t i = 0; i < ALL; i++, place = (place + stride) % ALL) {
        const fb_snapshot_t *source = chance_state(chance, history, head);
        for (uint32_t times = chance_below(chance, 10) == 0 ? 2 : 1; times > 0; times--) {
            if (place < STATES)
                load_row(stage, source, FB_MACHINES, MODEL_FIRST + 1 + place);
            else if (place < WINDOWS)
                load_row(stage, source, FB_EQUIPMENT, MODEL_FIRST + 1 + place - STATES);
            else if (place < DAYS)
                load_row(stage, source, FB_MAINTENANCE, place - WINDOWS + 1);
            else if (place < DAYS + FB_PLANE_COUNT * MODEL_DAYS)
                load_day(stage, source, (place - DAYS) % FB_PLANE_COUNT,
                         MODEL_DAY + (fb_day_t)((place - DAYS) / FB_PLANE_COUNT));
        }
    }
    for (unsigned family = 0; family < fb_registry_count(); family++)
        fb_stage_raise_last_id(stage, family,
                               chance_state(chance, history, head)->families[family].last_id);
}

static void a_load_while_others_write_is_made_exact_by_the_log(void **state)
{
    (void)state;
    enum { REVISIONS = HISTORY_MAX - 3, LOADS = 30 };
    program_t program;
    fb_buffer_t log[REVISIONS] = {{0}}, expected = {0}, loaded = {0};
    program_create(&program, HISTORY_MAX);
    size_t first = program.history.count - 1; /* the snapshot before revision 1 */
    for (size_t revision = 0; revision < REVISIONS; revision++) {
        fb_stage_t *stage = fb_stage_begin(history_now(&program.history));
        program.payload_count = 0;
        while (program.payload_count == 0)
            program_step(&program, stage);
        fb_buffer_put_slice(&log[revision], fb_buffer_slice(&program.payloads[0]));
        move_position(stage);
        history_push(&program.history, &stage);
    }
    dump(history_now(&program.history), false, &expected);
    for (int i = 0; i < LOADS; i++) {
        size_t head = chance_below(&program.chance, REVISIONS + 1);
        history_t fresh = history_create(1);
        fb_stage_t *stage = fb_stage_begin(history_now(&fresh));
        load(stage, &program.chance, &program.history, first + head);
        for (size_t revision = head; revision < REVISIONS; revision++) {
            fb_change_t change = {0};
            fb_error_t error = {0};
            assert_int_equal(fb_change_decode(&change, fb_buffer_slice(&log[revision]), &error),
                             FB_OK);
            fb_stage_apply(stage, &change);
            fb_change_dispose(&change);
        }
        fb_stage_set_position(stage, &history_now(&program.history)->position);
        history_push(&fresh, &stage);
        dump(history_now(&fresh), false, &loaded);
        assert_same_text(&loaded, &expected);
        history_dispose(&fresh);
    }
    for (size_t revision = 0; revision < REVISIONS; revision++)
        fb_buffer_dispose(&log[revision]);
    fb_buffer_dispose(&expected);
    fb_buffer_dispose(&loaded);
    program_dispose(&program);
}

/* --- one thing at a time ------------------------------------------------------------------ */

static void an_empty_fleet_holds_nothing(void **state)
{
    (void)state;
    history_t history = history_create(1);
    const fb_snapshot_t *snapshot = history_now(&history);
    assert_int_equal(snapshot->serial, 1);
    assert_int_equal(snapshot->today, TODAY);
    assert_int_equal(snapshot->position.revision, 0);
    assert_reads(snapshot, "/v1/machines", "{\"machines\":[],\"next\":null}");
    assert_reads(snapshot, "/v1/availability",
                 "{\"date\":\"2026-11-21\",\"count\":0,\"machines\":[],\"next\":null}");
    assert_read_fails(snapshot, "/v1/machines/1", FB_NOT_FOUND, NULL);
    void **blocks;
    size_t count;
    fb_snapshot_blocks(snapshot, &blocks, &count);
    assert_int_equal(count, 0);
    free(blocks);
    history_dispose(&history);
}

static void every_snapshot_has_the_next_serial(void **state)
{
    (void)state;
    history_t history = history_create(2);
    for (uint64_t serial = 2; serial < 6; serial++) {
        fb_stage_t *stage = fb_stage_begin(history_now(&history));
        fb_stage_abort(&stage);
        assert_null(stage);
        stage = fb_stage_begin(history_now(&history));
        assert_int_equal(fb_stage_view(stage)->serial, serial);
        history_push(&history, &stage);
        assert_null(stage);
        assert_int_equal(history_now(&history)->serial, serial);
    }
    history_dispose(&history);
}

#define DIGGER(n) "{\"label\":\"Digger\",\"inventory_id\":\"D-" #n "\",\"type\":\"crane\"}"

static void a_change_shares_what_it_does_not_touch(void **state)
{
    (void)state;
    history_t history = history_create(2);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    must_write(stage, "POST", "/v1/machines", DIGGER(1));
    must_write(stage, "POST", "/v1/machines", DIGGER(2));
    must_write(stage, "POST", "/v1/machines/2/maintenance", "{\"duration_days\":3}");
    history_push(&history, &stage);
    const fb_snapshot_t *before = history_now(&history);
    stage = fb_stage_begin(before);
    must_write(stage, "PATCH", "/v1/machines/1", "{\"label\":\"Drill\"}");
    history_push(&history, &stage);
    const fb_snapshot_t *after = history_now(&history);
    assert_ptr_not_equal(fb_snapshot_row(before, FB_MACHINES, 1),
                         fb_snapshot_row(after, FB_MACHINES, 1));
    assert_ptr_equal(fb_snapshot_row(before, FB_MACHINES, 2),
                     fb_snapshot_row(after, FB_MACHINES, 2));
    assert_ptr_equal(fb_snapshot_day(before, FB_PLANE_MAINTENANCE, TODAY),
                     fb_snapshot_day(after, FB_PLANE_MAINTENANCE, TODAY));
    assert_ptr_equal(before->families[FB_MAINTENANCE].rows.root,
                     after->families[FB_MAINTENANCE].rows.root);
    history_dispose(&history);
}

/* A stage may make and unmake a thing before anybody has seen it. */
static void what_comes_and_goes_within_a_stage_leaves_only_its_id(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    for (int i = 0; i < 3; i++) {
        char path[80];
        uint32_t id = must_write(stage, "POST", "/v1/machines", DIGGER(1));
        assert_int_equal(id, i + 1);
        snprintf(path, sizeof(path), "/v1/machines/%u/maintenance", id);
        must_write(stage, "POST", path, "{\"duration_days\":30}");
        snprintf(path, sizeof(path), "/v1/machines/%u", id);
        must_write(stage, "DELETE", path, "");
    }
    history_push(&history, &stage);
    const fb_snapshot_t *snapshot = history_now(&history);
    assert_reads(snapshot, "/v1/machines", "{\"machines\":[],\"next\":null}");
    assert_int_equal(snapshot->families[FB_MACHINES].last_id, 3);
    assert_int_equal(snapshot->families[FB_MAINTENANCE].last_id, 3);
    assert_int_equal(snapshot->families[FB_MACHINES].rows.count, 0);
    assert_int_equal(fb_snapshot_day(snapshot, FB_PLANE_MAINTENANCE, TODAY)->count, 0);
    history_dispose(&history);
}

static void a_last_id_never_falls(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    fb_stage_raise_last_id(stage, FB_MACHINES, 40);
    fb_stage_raise_last_id(stage, FB_MACHINES, 7);
    assert_int_equal(must_write(stage, "POST", "/v1/machines", DIGGER(1)), 41);
    fb_change_t change = {0};
    fb_change_delete(&change, FB_MACHINES, 99); /* of a log: it came and went */
    fb_stage_apply(stage, &change);
    fb_change_dispose(&change);
    assert_int_equal(must_write(stage, "POST", "/v1/machines", DIGGER(2)), 100);
    history_push(&history, &stage);
    stage = fb_stage_begin(history_now(&history));
    fb_stage_raise_last_id(stage, FB_MACHINES, UINT32_MAX - 1);
    assert_int_equal(must_write(stage, "POST", "/v1/machines", DIGGER(3)), UINT32_MAX);
    assert_write_fails(stage, "POST", "/v1/machines", DIGGER(4), FB_CONFLICT, NULL);
    assert_reads(fb_stage_view(stage), "/v1/availability?limit=1000&type=dumper",
                 "{\"date\":\"2026-11-21\",\"count\":0,\"machines\":[],\"next\":null}");
    history_push(&history, &stage);
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_fleet_holds_nothing),
        cmocka_unit_test(every_snapshot_has_the_next_serial),
        cmocka_unit_test(a_change_shares_what_it_does_not_touch),
        cmocka_unit_test(what_comes_and_goes_within_a_stage_leaves_only_its_id),
        cmocka_unit_test(a_last_id_never_falls),
        cmocka_unit_test(a_random_program_agrees_with_plain_arrays),
        cmocka_unit_test(a_load_while_others_write_is_made_exact_by_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
