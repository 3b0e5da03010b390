/* SPDX-License-Identifier: MIT */
#include "persistence/memory_notes.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"

struct fb_memory_lease {
    char *name, *owner;
    uint64_t until_ms; /* monotonic */
};

struct fb_memory_note {
    char *name, *field;
    fb_buffer_t text;
};

void fb_memory_notes_dispose(fb_memory_notes_t *notes)
{
    for (size_t i = 0; i < notes->lease_count; i++) {
        free(notes->leases[i].name);
        free(notes->leases[i].owner);
    }
    for (size_t i = 0; i < notes->note_count; i++) {
        free(notes->notes[i].name);
        free(notes->notes[i].field);
        fb_buffer_dispose(&notes->notes[i].text);
    }
    free(notes->leases);
    free(notes->notes);
    *notes = (fb_memory_notes_t){0};
}

static struct fb_memory_lease *lease_of(fb_memory_notes_t *notes, const char *name)
{
    for (size_t i = 0; i < notes->lease_count; i++) {
        if (strcmp(notes->leases[i].name, name) == 0)
            return &notes->leases[i];
    }
    notes->leases = fb_realloc(notes->leases, (notes->lease_count + 1) * sizeof(*notes->leases));
    struct fb_memory_lease *lease = &notes->leases[notes->lease_count++];
    *lease = (struct fb_memory_lease){.name = fb_strdup(name), .owner = fb_strdup("")};
    return lease;
}

static bool is_owned(const struct fb_memory_lease *lease, const char *owner)
{
    return lease->until_ms > fb_clock_monotonic_ms() && strcmp(lease->owner, owner) == 0;
}

bool fb_memory_lease_take(fb_memory_notes_t *notes, const fb_lease_t *lease)
{
    struct fb_memory_lease *found = lease_of(notes, lease->name);
    uint64_t now_ms = fb_clock_monotonic_ms();
    fb_assert(lease->ms > 0);
    if (found->until_ms > now_ms && !is_owned(found, lease->owner))
        return false;
    free(found->owner);
    found->owner = fb_strdup(lease->owner);
    found->until_ms = now_ms + lease->ms;
    return true;
}

void fb_memory_lease_leave(fb_memory_notes_t *notes, const fb_lease_t *lease)
{
    struct fb_memory_lease *found = lease_of(notes, lease->name);
    if (is_owned(found, lease->owner))
        found->until_ms = 0;
}

static struct fb_memory_note *find_note(const fb_memory_notes_t *notes, const char *name,
                                        const char *field)
{
    for (size_t i = 0; i < notes->note_count; i++) {
        struct fb_memory_note *note = &notes->notes[i];
        if (strcmp(note->name, name) == 0 && strcmp(note->field, field) == 0)
            return note;
    }
    return NULL;
}

static struct fb_memory_note *add_note(fb_memory_notes_t *notes, const char *name,
                                       const char *field)
{
    notes->notes = fb_realloc(notes->notes, (notes->note_count + 1) * sizeof(*notes->notes));
    struct fb_memory_note *note = &notes->notes[notes->note_count++];
    *note = (struct fb_memory_note){.name = fb_strdup(name), .field = fb_strdup(field)};
    return note;
}

void fb_memory_notes_put(fb_memory_notes_t *notes, const fb_notes_t *which, const fb_slice_t *texts)
{
    for (size_t i = 0; i < which->count; i++) {
        struct fb_memory_note *note = find_note(notes, which->name, which->fields[i]);
        if (note == NULL)
            note = add_note(notes, which->name, which->fields[i]);
        note->text.len = 0;
        fb_buffer_reserve(&note->text, 1); /* an empty text is one, too */
        fb_buffer_put_slice(&note->text, texts[i]);
    }
}

void fb_memory_notes_read(const fb_memory_notes_t *notes, const fb_notes_t *which,
                          void (*on_notes)(void *context, const fb_slice_t *texts), void *context)
{
    fb_slice_t texts[FB_NOTES_MAX];
    fb_assert(which->count >= 1 && which->count <= FB_NOTES_MAX);
    for (size_t i = 0; i < which->count; i++) {
        const struct fb_memory_note *note = find_note(notes, which->name, which->fields[i]);
        texts[i] = note != NULL ? fb_buffer_slice(&note->text) : (fb_slice_t){0};
    }
    on_notes(context, texts);
}
