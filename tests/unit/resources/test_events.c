/* SPDX-License-Identifier: MIT */
#include "resources/events.h"

#include "tests/unit/resources/fleet.h"

#define EPOCH "0123abcd"

/* --- a naive journal: all that ever happened, as the log has it ----------------------------- */

typedef struct {
    uint64_t revision, serial;
    uint32_t place, id;
    unsigned family;
    bool deleted, is_last;
    fb_buffer_t data; /* of the row, as it was */
    fb_buffer_t text;
} model_event_t;

typedef struct {
    model_event_t *at;
    size_t count, capacity;
    uint64_t begun; /* the revision at which the journal began */
    uint64_t base;  /* the number of its first event */
} model_t;

static void model_add(model_t *model, const model_event_t *event)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity ? 2 * model->capacity : 64;
        model->at = realloc(model->at, model->capacity * sizeof(*model->at));
    }
    model->at[model->count++] = *event;
}

static void model_cut(model_t *model, size_t count)
{
    while (model->count > count) {
        fb_buffer_dispose(&model->at[--model->count].text);
        fb_buffer_dispose(&model->at[model->count].data);
    }
}

static void model_dispose(model_t *model)
{
    model_cut(model, 0);
    free(model->at);
}

/* The text of an event as HTML, section 9.2.6, has it; of the state as it is now. */
static void model_text(const fb_snapshot_t *snapshot, model_event_t *event)
{
    char path[80];
    fb_error_t error;
    snprintf(path, sizeof(path), "/v1/machines/%u/status", event->id);
    if (event->deleted)
        fb_buffer_printf(&event->data, "{\"machine_id\":%u,\"deleted\":true}", event->id);
    else
        assert_int_equal(fleet_read(snapshot, path, &event->data, NULL, &error), FB_OK);
    fb_buffer_printf(&event->text, "event: status\ndata: %.*s\nid: " EPOCH ".%llu.%u\n\n",
                     FB_PRINT(fb_buffer_slice(&event->data)), (unsigned long long)event->revision,
                     event->place);
}

static size_t model_bytes(const model_event_t *event)
{
    return sizeof(fb_event_t) + event->text.len;
}

/* --- programs ------------------------------------------------------------------------------ */

#define MACHINES 12

typedef struct {
    chance_t chance;
    model_t model;
    history_t history;
    uint32_t note_bytes; /* of a report: how long it is */
} program_t;

static void set_revision(fb_stage_t *stage, uint64_t revision)
{
    fb_position_t position = fb_stage_view(stage)->position;
    memcpy(position.epoch, EPOCH, sizeof(EPOCH));
    position.revision = revision;
    fb_stage_set_position(stage, &position);
}

static void program_create(program_t *program, uint64_t revision)
{
    *program = (program_t){.chance = chance_init(), .history = history_create(3)};
    fb_stage_t *stage = fb_stage_begin(history_now(&program->history));
    for (uint32_t id = 1; id <= MACHINES; id++) {
        char body[100];
        snprintf(body, sizeof(body),
                 "{\"label\":\"M\",\"inventory_id\":\"M-%u\",\"type\":\"crane\"}", id);
        must_write(stage, "POST", "/v1/machines", body);
    }
    set_revision(stage, revision);
    fb_stage_begin_events(stage, revision);
    program->model.begun = revision;
    program->model.base = fb_stage_view(stage)->events.end;
    history_push(&program->history, &stage);
}

static void program_dispose(program_t *program)
{
    model_dispose(&program->model);
    history_dispose(&program->history);
}

static void put_report(program_t *program, fb_change_t *change, uint32_t id, const char *note)
{
    const fb_value_t values[FB_FIELDS_MAX] = {
        {.text = FB_SLICE("red")},
        {.number = NOON + chance_below(&program->chance, 3)},
        {.text = FB_SLICE("Ann")},
        {.text = {note, program->note_bytes}},
    };
    fb_change_put(change, FB_EQUIPMENT, id, values);
}

/* The place of an event is counted over all parts of a change. */
static void expect_event(program_t *program, const fb_snapshot_t *snapshot, uint32_t id,
                         bool deleted, uint32_t place)
{
    model_event_t event = {
        .revision = snapshot->position.revision,
        .serial = snapshot->serial,
        .place = place,
        .id = id,
        .family = FB_EQUIPMENT,
        .deleted = deleted,
    };
    model_text(snapshot, &event);
    model_add(&program->model, &event);
}

/* One operation of a family with a topic. */
static void add_op(program_t *program, fb_stage_t *stage, uint32_t place, const char *note)
{
    fb_change_t part = {0};
    uint32_t id = 1 + chance_below(&program->chance, MACHINES);
    bool deletes = chance_below(&program->chance, 5) == 0;
    if (deletes)
        fb_change_delete(&part, FB_EQUIPMENT, id);
    else
        put_report(program, &part, id, note);
    /* What has no event takes no place. */
    fb_change_days(&part, FB_PLANE_BOOKED, id, TODAY, TODAY + 2, deletes);
    fb_stage_apply_part(stage, &part);
    fb_change_dispose(&part);
    expect_event(program, fb_stage_view(stage), id, deletes, place);
}

static void add_revision(program_t *program, fb_stage_t *stage, uint32_t ops, const char *note)
{
    set_revision(stage, fb_stage_view(stage)->position.revision + 1);
    for (uint32_t place = 1; place <= ops; place++)
        add_op(program, stage, place, note);
    fb_stage_apply_end(stage);
    if (ops == 0)
        return;
    model_event_t *last = &program->model.at[program->model.count - 1];
    fb_slice_t text = fb_buffer_slice(&last->text);
    last->is_last = true;
    while (text.at[text.len - 1] != '.')
        text.len--;
    last->text.len = text.len - 1;
    fb_buffer_put_text(&last->text, "\n\n");
}

/* How many of the events, counted from the last, the bounds let stay. The event that was added last
 * was longer by its place while it was weighed, so at the bound of bytes one less may be there. */
static void check_bounds(const model_t *model, const fb_events_t *events)
{
    size_t kept = (size_t)(events->end - events->first), bytes = 0;
    assert_true(kept <= FB_EVENTS_MAX && events->bytes <= FB_EVENTS_BYTES_MAX);
    for (size_t i = 0; i < kept; i++)
        bytes += model_bytes(&model->at[model->count - 1 - i]);
    assert_int_equal(events->bytes, bytes);
    assert_int_equal(events->table.count, kept);
    assert_int_equal(events->end, model->base + model->count);
    if (kept == model->count) {
        assert_int_equal(events->from_revision, model->begun);
        return;
    }
    const model_event_t *dropped = &model->at[model->count - 1 - kept];
    assert_int_equal(events->from_revision, dropped->revision);
    assert_true(kept == FB_EVENTS_MAX || bytes + model_bytes(dropped) + 64 > FB_EVENTS_BYTES_MAX);
}

static void check_event(const model_t *model, const fb_snapshot_t *snapshot, uint64_t number)
{
    const fb_event_t *event = fb_events_get(&snapshot->events, number);
    const model_event_t *expected = &model->at[number - model->base];
    assert_int_equal(event->revision, expected->revision);
    assert_int_equal(event->place, expected->place);
    assert_int_equal(event->family, expected->family);
    assert_int_equal(event->id, expected->id);
    assert_int_equal(event->deleted, expected->deleted);
    assert_int_equal(event->is_last, expected->is_last);
    if (!fb_slice_equal((fb_slice_t){event->text, event->len}, fb_buffer_slice(&expected->text)))
        fail_msg("\n is: %.*s\nnot: %.*s", (int)event->len, event->text,
                 FB_PRINT(fb_buffer_slice(&expected->text)));
    fb_event_mark_t mark = fb_event_mark(event);
    assert_int_equal(mark.revision, expected->revision);
    assert_int_equal(mark.place, expected->is_last ? FB_EVENT_PLACE_END : expected->place);
    assert_int_equal(fb_events_after(&snapshot->events, mark), number + 1);
}

/* What is said of the thing last, it says as well; of a row, in the same snapshot. */
static bool model_is_newest(const model_t *model, uint64_t number)
{
    const model_event_t *event = &model->at[number - model->base], *last = event;
    for (const model_event_t *later = event; later < model->at + model->count; later++)
        last = later->id == event->id ? later : last;
    return last->deleted == event->deleted && (last->deleted || last->serial == event->serial) &&
           fb_slice_equal(fb_buffer_slice(&event->data), fb_buffer_slice(&last->data));
}

/* A mark at random: where the log was, is, or never will be. */
static void check_mark(program_t *program, const fb_snapshot_t *snapshot)
{
    const model_t *model = &program->model;
    uint64_t last = snapshot->position.revision;
    fb_event_mark_t mark = {
        .revision = (uint64_t)chance_between(&program->chance, 0, (int64_t)last + 3),
        .place = chance_below(&program->chance, 2) ? FB_EVENT_PLACE_END
                                                   : chance_below(&program->chance, 6),
    };
    const size_t dropped = (size_t)(snapshot->events.first - model->base);
    size_t first = dropped;
    while (first < model->count &&
           (model->at[first].revision < mark.revision ||
            (model->at[first].revision == mark.revision && model->at[first].place <= mark.place)))
        first++;
    assert_int_equal(fb_events_after(&snapshot->events, mark), model->base + first);
    bool reaches = fb_events_reach(&snapshot->events, mark);
    uint64_t from = snapshot->events.from_revision;
    bool is_whole = mark.place == FB_EVENT_PLACE_END;
    assert_int_equal(reaches, mark.revision > from || (mark.revision == from && is_whole));
    /* What it says it has, it has: nothing that was dropped lies behind the mark. */
    for (size_t i = 0; reaches && i < dropped; i++)
        assert_true(model->at[i].revision < mark.revision ||
                    (model->at[i].revision == mark.revision && model->at[i].place <= mark.place));
}

static void check(program_t *program)
{
    const fb_snapshot_t *snapshot = history_now(&program->history);
    const fb_events_t *events = &snapshot->events;
    check_bounds(&program->model, events);
    uint64_t step = 1 + (events->end - events->first) / 200;
    for (uint64_t number = events->first; number < events->end; number += step) {
        check_event(&program->model, snapshot, number);
        assert_int_equal(fb_event_is_newest(snapshot, fb_events_get(events, number)),
                         model_is_newest(&program->model, number));
    }
    if (events->first < events->end)
        check_event(&program->model, snapshot, events->end - 1);
    for (int i = 0; i < 20; i++)
        check_mark(program, snapshot);
}

/* Rounds of some revisions each; every fourth comes to nothing. */
static void run(program_t *program, int rounds, uint32_t revisions, uint32_t ops, const char *note,
                int check_every)
{
    for (int round = 0; round < rounds; round++) {
        const fb_events_t before = history_now(&program->history)->events;
        fb_stage_t *stage = fb_stage_begin(history_now(&program->history));
        size_t count = program->model.count;
        for (uint32_t n = chance_below(&program->chance, revisions + 1); n > 0; n--)
            add_revision(program, stage, chance_below(&program->chance, ops + 1), note);
        if (chance_below(&program->chance, 4) == 0) {
            fb_stage_abort(&stage);
            model_cut(&program->model, count);
            const fb_events_t *after = &history_now(&program->history)->events;
            assert_memory_equal(&before, after, sizeof(before));
        } else {
            history_push(&program->history, &stage);
        }
        if (round % check_every == 0 || round == rounds - 1)
            check(program);
    }
}

static void a_random_program_agrees_with_a_list_of_all_that_happened(void **state)
{
    (void)state;
    program_t program;
    program_create(&program, 7);
    program.note_bytes = 3;
    run(&program, 300, 4, 6, "any", 1);
    assert_int_equal(history_now(&program.history)->events.first, program.model.base);
    program_dispose(&program);
}

static void no_more_than_so_many_events_are_kept(void **state)
{
    (void)state;
    program_t program;
    program_create(&program, 1000);
    program.note_bytes = 1;
    while (program.model.count < FB_EVENTS_MAX + FB_EVENTS_MAX / 8)
        run(&program, 10, 10, 200, "n", 10);
    const fb_events_t *events = &history_now(&program.history)->events;
    assert_int_equal(events->end - events->first, FB_EVENTS_MAX);
    run(&program, 50, 3, 5, "n", 5);
    program_dispose(&program);
}

static void no_more_than_so_many_bytes_are_kept(void **state)
{
    (void)state;
    static char note[1000];
    program_t program;
    memset(note, 'n', sizeof(note));
    program_create(&program, 0);
    program.note_bytes = sizeof(note);
    while (program.model.count < FB_EVENTS_BYTES_MAX / sizeof(note) + 4000)
        run(&program, 10, 10, 200, note, 10);
    const fb_events_t *events = &history_now(&program.history)->events;
    assert_true(events->end - events->first < FB_EVENTS_MAX && events->first > program.model.base);
    run(&program, 50, 3, 5, note, 5);
    program_dispose(&program);
}

/* --- one thing at a time ------------------------------------------------------------------- */

static fb_slice_t text_of(const fb_snapshot_t *snapshot, uint64_t number)
{
    const fb_event_t *event = fb_events_get(&snapshot->events, number);
    return (fb_slice_t){event->text, event->len};
}

#define CRANE(n) "{\"label\":\"C\",\"inventory_id\":\"C-" #n "\",\"type\":\"crane\"}"
#define SHOWN                                                                                      \
    "\"label\":\"C\",\"inventory_id\":\"C-1\",\"type\":\"crane\",\"price_per_day\":null,"          \
    "\"description\":null,\"in_maintenance\":false,\"maintenance_start_date\":null,"               \
    "\"maintenance_end_date\":null,\"creation_date\":\"2026-11-21T12:00:00.000Z\","                \
    "\"updated_at\":\"2026-11-21T12:00:00.000Z\"}"

static void every_family_with_a_topic_has_its_events(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    set_revision(stage, 1);
    must_write(stage, "POST", "/v1/machines", CRANE(1));
    set_revision(stage, 2);
    must_write(stage, "PUT", "/v1/machines/1/status",
               "{\"status\":\"red\",\"updated_by\":\"Ann\"}");
    set_revision(stage, 3);
    must_write(stage, "POST", "/v1/machines/1/maintenance",
               "{\"start_date\":\"2026-12-01\","
               "\"duration_days\":1}");
    set_revision(stage, 4);
    must_write(stage, "DELETE", "/v1/machines/1", "");
    const fb_snapshot_t *now = fb_stage_view(stage);
    static const char *const expected[] = {
        "event: machine\ndata: {\"id\":1," SHOWN "\nid: " EPOCH ".1\n\n",
        "event: status\ndata: {\"machine_id\":1,\"status\":\"red\","
        "\"updated_at\":\"2026-11-21T12:00:00.000Z\",\"updated_by\":\"Ann\",\"note\":null}"
        "\nid: " EPOCH ".2\n\n",
        "event: maintenance\ndata: {\"id\":1,\"machine_id\":1,\"start_date\":\"2026-12-01\","
        "\"end_date\":\"2026-12-01\",\"reason\":null,"
        "\"creation_date\":\"2026-11-21T12:00:00.000Z\"}\nid: " EPOCH ".3\n\n",
        "event: maintenance\ndata: {\"id\":1,\"deleted\":true}\nid: " EPOCH ".4.1\n\n",
        "event: status\ndata: {\"machine_id\":1,\"deleted\":true}\nid: " EPOCH ".4.2\n\n",
        "event: machine\ndata: {\"id\":1,\"deleted\":true}\nid: " EPOCH ".4\n\n",
    };
    assert_int_equal(now->events.end, FB_COUNT(expected));
    for (size_t i = 0; i < FB_COUNT(expected); i++)
        assert_text(text_of(now, i), expected[i]);
    history_push(&history, &stage);
    history_dispose(&history);
}

static void only_the_last_event_of_a_thing_is_its_newest(void **state)
{
    (void)state;
    history_t history = history_create(2);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    set_revision(stage, 1);
    must_write(stage, "POST", "/v1/machines", CRANE(1));
    history_push(&history, &stage);
    const fb_event_t *created = fb_events_get(&history_now(&history)->events, 0);
    assert_true(fb_event_is_newest(history_now(&history), created));
    stage = fb_stage_begin(history_now(&history));
    set_revision(stage, 2);
    must_write(stage, "PATCH", "/v1/machines/1", "{\"label\":\"D\"}");
    history_push(&history, &stage);
    assert_false(fb_event_is_newest(history_now(&history), created));
    const fb_event_t *changed = fb_events_get(&history_now(&history)->events, 1);
    assert_true(fb_event_is_newest(history_now(&history), changed));
    history_dispose(&history);
}

static void a_journal_that_begins_anew_has_nothing_of_before(void **state)
{
    (void)state;
    history_t history = history_create(1);
    fb_stage_t *stage = fb_stage_begin(history_now(&history));
    set_revision(stage, 1);
    must_write(stage, "POST", "/v1/machines", CRANE(1));
    set_revision(stage, 900);
    fb_stage_begin_events(stage, 900);
    const fb_events_t *events = &fb_stage_view(stage)->events;
    assert_int_equal(events->first, events->end);
    assert_int_equal(events->bytes, 0);
    assert_true(fb_events_reach(events, (fb_event_mark_t){900, FB_EVENT_PLACE_END}));
    assert_false(fb_events_reach(events, (fb_event_mark_t){899, FB_EVENT_PLACE_END}));
    assert_int_equal(fb_events_after(events, (fb_event_mark_t){0, 0}), events->end);
    history_push(&history, &stage);
    history_dispose(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_with_a_topic_has_its_events),
        cmocka_unit_test(only_the_last_event_of_a_thing_is_its_newest),
        cmocka_unit_test(a_journal_that_begins_anew_has_nothing_of_before),
        cmocka_unit_test(a_random_program_agrees_with_a_list_of_all_that_happened),
        cmocka_unit_test(no_more_than_so_many_events_are_kept),
        cmocka_unit_test(no_more_than_so_many_bytes_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
