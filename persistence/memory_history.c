/* SPDX-License-Identifier: MIT */
#include "persistence/memory_history.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/memory.h"

typedef struct {
    fb_history_mark_t mark;
    json_t *fields;
} event_t;

typedef struct fb_memory_history {
    char *name;
    uint32_t id;
    event_t *events; /* by mark */
    size_t count;
    uint64_t added;
} history_t;

static history_t *find(const fb_memory_histories_t *histories, const char *name, uint32_t id)
{
    for (size_t i = 0; i < histories->count; i++) {
        if (histories->at[i].id == id && strcmp(histories->at[i].name, name) == 0)
            return &histories->at[i];
    }
    return NULL;
}

static history_t *find_or_make(fb_memory_histories_t *histories, const char *name, uint32_t id)
{
    history_t *history = find(histories, name, id);
    if (history != NULL)
        return history;
    histories->at = fb_realloc(histories->at, (histories->count + 1) * sizeof(*history));
    history = &histories->at[histories->count++];
    *history = (history_t){.name = fb_strdup(name), .id = id};
    return history;
}

static void trim(const fb_memory_histories_t *histories, history_t *history)
{
    uint64_t newest = history->events[history->count - 1].mark.ms;
    uint64_t length = histories->length, age_ms = histories->age_ms;
    size_t gone = length > 0 && history->count > length ? history->count - (size_t)length : 0;
    while (age_ms > 0 && newest > age_ms && history->events[gone].mark.ms < newest - age_ms)
        gone++;
    for (size_t i = 0; i < gone; i++)
        json_decref(history->events[i].fields);
    history->count -= gone;
    memmove(history->events, history->events + gone, history->count * sizeof(history->events[0]));
}

void fb_memory_history_append(fb_memory_histories_t *histories, const char *name, uint32_t id,
                              uint64_t ms, json_t *fields)
{
    history_t *history = find_or_make(histories, name, id);
    fb_history_mark_t mark = {ms, 0};
    if (history->count > 0 && history->events[history->count - 1].mark.ms >= ms) {
        mark = history->events[history->count - 1].mark;
        mark.number++;
    }
    history->events = fb_realloc(history->events, (history->count + 1) * sizeof(event_t));
    history->events[history->count++] = (event_t){mark, json_incref(fields)};
    history->added++;
    trim(histories, history);
}

static bool is_before(fb_history_mark_t a, fb_history_mark_t b)
{
    return a.ms < b.ms || (a.ms == b.ms && a.number < b.number);
}

static bool is_asked(const fb_history_question_t *question, fb_history_mark_t mark)
{
    return !is_before(mark, question->from) && !is_before(question->to, mark);
}

fb_code_t fb_memory_history_read(
    const fb_memory_histories_t *histories, const fb_history_question_t *question,
    fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry, fb_error_t *error),
    void *context, size_t *count, fb_history_info_t *info, fb_error_t *error)
{
    const history_t *history = find(histories, question->name, question->id);
    fb_assert(question->max >= 1 && question->max <= FB_HISTORY_PAGE_MAX);
    *count = 0;
    *info = (fb_history_info_t){0};
    if (history == NULL)
        return FB_OK;
    *info = (fb_history_info_t){history->added, history->count, history->events[0].mark};
    fb_slice_t *texts = fb_alloc_zero(question->field_count + 1, sizeof(*texts));
    fb_code_t code = FB_OK;
    for (size_t i = history->count; code == FB_OK && i-- > 0 && *count < question->max;) {
        const event_t *event = &history->events[i];
        if (!is_asked(question, event->mark))
            continue;
        for (size_t k = 0; k < question->field_count; k++) {
            const json_t *value = json_object_get(event->fields, question->fields[k]);
            texts[k] = (fb_slice_t){json_string_value(value), json_string_length(value)};
        }
        const fb_history_entry_t entry = {event->mark, texts};
        code = on_entry(context, &entry, error);
        *count += code == FB_OK ? 1 : 0;
    }
    free(texts);
    return code;
}

void fb_memory_histories_dispose(fb_memory_histories_t *histories)
{
    for (size_t i = 0; i < histories->count; i++) {
        history_t *history = &histories->at[i];
        for (size_t k = 0; k < history->count; k++)
            json_decref(history->events[k].fields);
        free(history->events);
        free(history->name);
    }
    free(histories->at);
    *histories = (fb_memory_histories_t){0};
}
