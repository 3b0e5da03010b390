/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/resources/fleet.h"

/* The naive model of a fleet: plain arrays. Ids of machines begin where a leaf of the table of rows
 * and a page of the bitmaps end, so that the programs go over both borders. */
#define MODEL_FIRST    8100 /* the last id before the first machine */
#define MODEL_MACHINES 300
#define MODEL_WINDOWS  1500
#define MODEL_NUMBERS  200          /* inventory numbers in use */
#define MODEL_DAY      (TODAY - 30) /* the first of the days that windows are laid on */
#define MODEL_DAYS     160

typedef struct {
    bool exists;
    unsigned label, description; /* indexes of model_texts */
    uint32_t inventory;          /* "INV-7" */
    const char *type;
    int price; /* in minor units; -1: none */
    fb_instant_t created, updated;
    uint16_t maintenance[MODEL_DAYS]; /* how many windows lie on the day */
    bool booked[MODEL_DAYS];
    const char *status; /* NULL: none was reported */
    unsigned reporter, note;
    fb_instant_t reported;
} model_machine_t;

typedef struct {
    bool exists;
    uint32_t machine;
    fb_day_t start, end;
    unsigned reason;
    fb_instant_t created;
} model_window_t;

typedef struct {
    model_machine_t machines[MODEL_MACHINES]; /* by id - MODEL_FIRST - 1 */
    model_window_t windows[MODEL_WINDOWS];    /* by id - 1 */
    uint32_t machine_count, window_count;     /* that ever were */
    fb_day_t today;
} model_t;

/* Texts as a request may write them, and as every answer writes them. The first is null. */
static const struct {
    const char *asked, *answered;
} model_texts[] = {
    {"null", "null"},
    {"\"Digger 7\"", "\"Digger 7\""},
    {"\"M\\u00fchle \\\"\\u00d6\\\" \\/\"", "\"Mühle \\\"Ö\\\" /\""},
    {"\"back\\\\slash\"", "\"back\\\\slash\""},
    {"\"\\ud83d\\ude9c on tracks\"", "\"🚜 on tracks\""},
    {"\"one\\u000atwo\\tthree\"", "\"one\\ntwo\\tthree\""}, /* only where lines are allowed */
    {"\"\"", "\"\""},                                       /* only where nothing is allowed */
};
static const char *const model_states[] = {"green", "yellow", "red"};
#define MODEL_STATES 3
#define MODEL_LABELS 5 /* from 1 */
#define MODEL_NOTES  7 /* from 0 */

static inline model_machine_t *model_machine(model_t *model, uint32_t id)
{
    uint32_t place = id - MODEL_FIRST - 1;
    return place < model->machine_count ? &model->machines[place] : NULL;
}

static inline bool model_has(const model_t *model, uint32_t id)
{
    const model_machine_t *machine = model_machine((model_t *)model, id);
    return machine != NULL && machine->exists;
}

/* The day's place in the arrays of a machine. */
static inline uint32_t model_place(fb_day_t day)
{
    assert_true(day >= MODEL_DAY && day < MODEL_DAY + MODEL_DAYS);
    return (uint32_t)(day - MODEL_DAY);
}

static inline bool model_in_maintenance(const model_t *model, uint32_t id, fb_day_t day)
{
    return model_machine((model_t *)model, id)->maintenance[model_place(day)] > 0;
}

static inline bool model_is_booked(const model_t *model, uint32_t id, fb_day_t day)
{
    return model_machine((model_t *)model, id)->booked[model_place(day)];
}

/* Is it free on all these days, and of that type (NULL: any)? */
static inline bool model_is_free(const model_t *model, uint32_t id, fb_day_t from, fb_day_t to,
                                 const char *type)
{
    const model_machine_t *machine = model_machine((model_t *)model, id);
    bool is_free = machine->exists && (type == NULL || strcmp(type, machine->type) == 0);
    for (fb_day_t day = from; is_free && day <= to; day++)
        is_free = !model_in_maintenance(model, id, day) && !model_is_booked(model, id, day);
    return is_free;
}

/* The window of today, or else the next one; NULL if there is none. */
static inline const model_window_t *model_current(const model_t *model, uint32_t id)
{
    const model_window_t *current = NULL;
    for (uint32_t i = 0; i < model->window_count; i++) {
        const model_window_t *window = &model->windows[i];
        bool counts = window->exists && window->machine == id && window->end >= model->today;
        if (counts && (current == NULL || window->start < current->start))
            current = window;
    }
    return current;
}

static inline void model_put_machine(const model_t *model, uint32_t id, fb_buffer_t *out)
{
    const model_machine_t *machine = model_machine((model_t *)model, id);
    const model_window_t *window = model_current(model, id);
    fb_buffer_printf(out, "{\"id\":%u,\"label\":%s,\"inventory_id\":\"INV-%u\",\"type\":\"%s\"", id,
                     model_texts[machine->label].answered, machine->inventory, machine->type);
    if (machine->price < 0)
        fb_buffer_put_literal(out, ",\"price_per_day\":null");
    else
        fb_buffer_printf(out, ",\"price_per_day\":%d.%02d", machine->price / 100,
                         machine->price % 100);
    fb_buffer_printf(out, ",\"description\":%s,\"in_maintenance\":%s,\"maintenance_start_date\":",
                     model_texts[machine->description].answered,
                     model_in_maintenance(model, id, model->today) ? "true" : "false");
    if (window == NULL) {
        fb_buffer_put_literal(out, "null,\"maintenance_end_date\":null");
    } else {
        fb_json_put_day(out, window->start);
        fb_buffer_put_literal(out, ",\"maintenance_end_date\":");
        fb_json_put_day(out, window->end);
    }
    fb_buffer_put_literal(out, ",\"creation_date\":");
    fb_json_put_instant(out, machine->created);
    fb_buffer_put_literal(out, ",\"updated_at\":");
    fb_json_put_instant(out, machine->updated);
    fb_buffer_put_char(out, '}');
}

static inline void model_put_status(const model_t *model, uint32_t id, fb_buffer_t *out)
{
    const model_machine_t *machine = model_machine((model_t *)model, id);
    fb_buffer_printf(out, "{\"machine_id\":%u,\"status\":", id);
    if (machine->status == NULL) {
        fb_buffer_put_literal(out, "null,\"updated_at\":null,\"updated_by\":null,\"note\":null}");
        return;
    }
    fb_buffer_printf(out, "\"%s\",\"updated_at\":", machine->status);
    fb_json_put_instant(out, machine->reported);
    fb_buffer_printf(out, ",\"updated_by\":\"worker %u\",\"note\":%s}", machine->reporter,
                     model_texts[machine->note].answered);
}

static inline void model_put_window(const model_t *model, uint32_t id, fb_buffer_t *out)
{
    const model_window_t *window = &model->windows[id - 1];
    fb_buffer_printf(out, "{\"id\":%u,\"machine_id\":%u,\"start_date\":", id, window->machine);
    fb_json_put_day(out, window->start);
    fb_buffer_put_literal(out, ",\"end_date\":");
    fb_json_put_day(out, window->end);
    fb_buffer_printf(out,
                     ",\"reason\":%s,\"creation_date\":", model_texts[window->reason].answered);
    fb_json_put_instant(out, window->created);
    fb_buffer_put_char(out, '}');
}

/* The windows of a machine; or of one day of it. */
static inline void model_put_windows(const model_t *model, uint32_t machine, fb_day_t day,
                                     fb_buffer_t *out)
{
    const char *separator = "";
    for (uint32_t id = 1; id <= model->window_count; id++) {
        const model_window_t *window = &model->windows[id - 1];
        bool on_day = day == 0 || (window->start <= day && window->end >= day);
        if (!window->exists || window->machine != machine || !on_day)
            continue;
        fb_buffer_put_text(out, separator);
        if (day == 0)
            model_put_window(model, id, out);
        else
            fb_buffer_put_u64(out, id);
        separator = ",";
    }
}

/* A machine that there is or was, seldom one that never was. */
static inline uint32_t chance_machine(chance_t *chance, const model_t *model)
{
    uint32_t id = 0;
    if (model->machine_count == 0 || chance_below(chance, 40) == 0)
        return chance_below(chance, 2) == 0 ? 7 : MODEL_FIRST + model->machine_count + 1;
    for (int tries = 0; tries < 6; tries++) {
        id = MODEL_FIRST + 1 + chance_below(chance, model->machine_count);
        if (model_has(model, id))
            break;
    }
    return id;
}

/* The machine that has that number, or 0. */
static inline uint32_t model_owner(const model_t *model, uint32_t inventory)
{
    for (uint32_t i = 0; i < model->machine_count; i++) {
        if (model->machines[i].exists && model->machines[i].inventory == inventory)
            return MODEL_FIRST + 1 + i;
    }
    return 0;
}

static inline void model_end(model_t *model, model_window_t *window)
{
    for (fb_day_t day = window->start; day <= window->end; day++)
        model_machine(model, window->machine)->maintenance[model_place(day)]--;
    window->exists = false;
}
