/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/resources/step.h"

/* Random programs of commands: see step.h. */

/* Members of a machine at random; those that a request must have, if `all`. */
static inline void step_members(step_t *step, chance_t *chance, const model_t *model, bool all,
                                model_machine_t *machine)
{
    if (all || chance_below(chance, 3) == 0) {
        machine->label = 1 + chance_below(chance, MODEL_LABELS - 1);
        step_add(step, ",\"label\":%s", model_texts[machine->label].asked);
    }
    if (all || chance_below(chance, 3) == 0) {
        machine->inventory = chance_below(chance, MODEL_NUMBERS);
        step_add(step, ",\"inventory_id\":\"INV-%u\"", machine->inventory);
    }
    bool unknown = false;
    if (all || chance_below(chance, 3) == 0) {
        unknown = chance_below(chance, 25) == 0;
        machine->type = unknown ? "submarine" : fleet_types[chance_below(chance, 3)];
        step_add(step, ",\"type\":\"%s\"", machine->type);
    }
    if (chance_below(chance, 2) == 0) {
        machine->price = (int)chance_below(chance, 100001) - 1;
        if (machine->price < 0)
            step_add(step, ",\"price_per_day\":null");
        else
            step_add(step, ",\"price_per_day\":%d.%02d", machine->price / 100,
                     machine->price % 100);
    }
    if (chance_below(chance, 2) == 0) {
        machine->description = chance_below(chance, MODEL_NOTES);
        step_add(step, ",\"description\":%s", model_texts[machine->description].asked);
    }
    if (unknown)
        step_fails(step, FB_INVALID, "type");
    uint32_t owner = model_owner(model, machine->inventory);
    if (owner != 0 && owner != step->ids[0])
        step_fails(step, FB_CONFLICT, "inventory_id");
}

static inline void step_create(step_t *step, chance_t *chance, model_t *model, fb_instant_t now)
{
    model_machine_t machine = {.exists = true, .price = -1, .created = now, .updated = now};
    assert_true(model->machine_count < MODEL_MACHINES);
    snprintf(step->method, sizeof(step->method), "POST");
    snprintf(step->path, sizeof(step->path), "/v1/machines");
    step->ids[0] = MODEL_FIRST + model->machine_count + 1;
    step_members(step, chance, model, true, &machine);
    step_close(step);
    if (step->code != FB_OK)
        return;
    step->touched = step->ids[0];
    model->machines[model->machine_count++] = machine;
}

/* PUT: what is not given is null; PATCH: it stays. */
static inline void step_update(step_t *step, chance_t *chance, model_t *model, fb_instant_t now)
{
    bool put = chance_below(chance, 3) == 0;
    uint32_t id = step->ids[0] = chance_machine(chance, model);
    model_machine_t machine = {.type = "crane"};
    snprintf(step->method, sizeof(step->method), put ? "PUT" : "PATCH");
    snprintf(step->path, sizeof(step->path), "/v1/machines/%u", id);
    if (!model_has(model, id))
        step_fails(step, FB_NOT_FOUND, NULL);
    else
        machine = *model_machine(model, id);
    if (put) {
        machine.price = -1;
        machine.description = 0;
        step_add(step, ",\"in_maintenance\":false,\"creation_date\":null");
    }
    step_members(step, chance, model, put, &machine);
    step_close(step);
    machine.updated = now;
    if (step->code != FB_OK)
        return;
    step->touched = id;
    *model_machine(model, id) = machine;
}

static inline void step_retire(step_t *step, chance_t *chance, model_t *model)
{
    uint32_t id = chance_machine(chance, model);
    snprintf(step->method, sizeof(step->method), "DELETE");
    snprintf(step->path, sizeof(step->path), "/v1/machines/%u", id);
    if (!model_has(model, id)) {
        step_fails(step, FB_NOT_FOUND, NULL);
        return;
    }
    for (uint32_t i = 0; i < model->window_count; i++) {
        if (model->windows[i].exists && model->windows[i].machine == id)
            model_end(model, &model->windows[i]);
    }
    model_machine(model, id)->exists = false;
    model_machine(model, id)->status = NULL;
    step->touched = id;
}

/* A report of a state, of one that there is mostly. */
static inline void step_status(step_t *step, chance_t *chance, model_t *model, fb_instant_t now)
{
    uint32_t id = step->ids[0] = chance_machine(chance, model);
    bool unknown = chance_below(chance, 25) == 0;
    const char *status = unknown ? "blue" : model_states[chance_below(chance, MODEL_STATES)];
    unsigned who = chance_below(chance, 100), note = 0;
    snprintf(step->method, sizeof(step->method), "PUT");
    snprintf(step->path, sizeof(step->path), "/v1/machines/%u/status", id);
    step_add(step, ",\"updated_by\":\"worker %u\",\"status\":\"%s\"", who, status);
    if (chance_below(chance, 2) == 0) {
        note = chance_below(chance, MODEL_NOTES);
        step_add(step, ",\"note\":%s", model_texts[note].asked);
    }
    if (chance_below(chance, 4) == 0)
        step_add(step, ",\"machine_id\":%u,\"updated_at\":\"long ago\"", id);
    step_close(step);
    if (!model_has(model, id))
        step_fails(step, FB_NOT_FOUND, NULL);
    if (unknown)
        step_fails(step, FB_INVALID, "status");
    if (step->code != FB_OK)
        return;
    model_machine_t *machine = model_machine(model, id);
    machine->reported = machine->status && machine->reported > now ? machine->reported : now;
    machine->status = status;
    machine->reporter = who;
    machine->note = note;
    step->touched = id;
}

/* The days of a new window, and how the request asks for them. */
static inline void step_days(step_t *step, chance_t *chance, model_window_t *window, fb_day_t today)
{
    char text[FB_DAY_TEXT_BYTES];
    bool is_long = chance_below(chance, 12) == 0;
    window->start = today;
    if (chance_below(chance, 4) > 0) {
        window->start = (fb_day_t)chance_between(chance, MODEL_DAY, TODAY + 40);
        fb_day_format(window->start, text);
        step_add(step, ",\"start_date\":\"%.*s\"", FB_DAY_TEXT_BYTES, text);
    }
    window->end = window->start + (fb_day_t)chance_below(chance, is_long ? 40 : 8);
    uint32_t how = chance_below(chance, 30);
    if (how == 0) {
        step_add(step, ",\"duration_days\":3,\"end_date\":\"2026-12-01\"");
        step_fails(step, FB_INVALID, "end_date");
    } else if (how == 1) {
        step_fails(step, FB_INVALID, "end_date");
    } else if (how < 15) {
        step_add(step, ",\"duration_days\":%d", window->end - window->start + 1);
    } else {
        bool before = how == 15;
        fb_day_format(before ? window->start - 1 : window->end, text);
        step_add(step, ",\"end_date\":\"%.*s\"", FB_DAY_TEXT_BYTES, text);
        if (before)
            step_fails(step, FB_INVALID, "end_date");
    }
}

static inline void step_window(step_t *step, chance_t *chance, model_t *model, fb_instant_t now)
{
    uint32_t id = chance_machine(chance, model);
    model_window_t window = {.exists = true, .machine = id, .created = now};
    assert_true(model->window_count < MODEL_WINDOWS);
    snprintf(step->method, sizeof(step->method), "POST");
    snprintf(step->path, sizeof(step->path), "/v1/machines/%u/maintenance", id);
    if (!model_has(model, id))
        step_fails(step, FB_NOT_FOUND, NULL);
    step_days(step, chance, &window, model->today);
    if (chance_below(chance, 2) == 0) {
        window.reason = chance_below(chance, MODEL_NOTES);
        step_add(step, ",\"reason\":%s", model_texts[window.reason].asked);
    }
    bool override = chance_below(chance, 3) == 0;
    if (override || chance_below(chance, 3) == 0)
        step_add(step, ",\"override\":%s", override ? "true" : "false");
    step_close(step);
    for (fb_day_t day = window.start; day <= window.end && !override && !step->code; day++) {
        if (model_is_booked(model, id, day))
            step_fails(step, FB_CONFLICT, "start_date");
    }
    if (step->code != FB_OK)
        return;
    for (fb_day_t day = window.start; day <= window.end; day++)
        model_machine(model, id)->maintenance[model_place(day)]++;
    model->windows[model->window_count++] = window;
    step->ids[0] = step->touched = id;
    step->ids[1] = model->window_count;
}

/* Mostly a window that there is, but perhaps under another machine. */
static inline void step_end(step_t *step, chance_t *chance, model_t *model)
{
    uint32_t id = 1 + chance_below(chance, model->window_count + 1);
    for (int tries = 0; tries < 30 && id <= model->window_count; tries++) {
        if (model->windows[id - 1].exists)
            break;
        id = 1 + chance_below(chance, model->window_count + 1);
    }
    model_window_t *window = id <= model->window_count ? &model->windows[id - 1] : NULL;
    uint32_t machine = window != NULL ? window->machine : chance_machine(chance, model);
    if (chance_below(chance, 12) == 0)
        machine = chance_machine(chance, model);
    snprintf(step->method, sizeof(step->method), "DELETE");
    snprintf(step->path, sizeof(step->path), "/v1/machines/%u/maintenance/%u", machine, id);
    if (window == NULL || !window->exists || window->machine != machine) {
        step_fails(step, FB_NOT_FOUND, NULL);
        return;
    }
    model_end(model, window);
    step->touched = machine;
}

/* One request at random, which the model follows where it lands. */
static inline void step_random(step_t *step, chance_t *chance, model_t *model, fb_instant_t now)
{
    uint32_t kind = chance_below(chance, 100);
    *step = (step_t){.code = FB_OK};
    if (model->machine_count < 8 || (kind < 15 && model->machine_count < MODEL_MACHINES))
        step_create(step, chance, model, now);
    else if (kind < 35)
        step_update(step, chance, model, now);
    else if (kind < 43)
        step_retire(step, chance, model);
    else if (kind < 57)
        step_status(step, chance, model, now);
    else if (kind < 81 && model->window_count < MODEL_WINDOWS)
        step_window(step, chance, model, now);
    else
        step_end(step, chance, model);
}
