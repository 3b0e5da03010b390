/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/store.h"

/* The leases and the notes of the store in memory. A zeroed one has none. */
typedef struct {
    struct fb_memory_lease *leases;
    size_t lease_count;
    struct fb_memory_note *notes;
    size_t note_count;
} fb_memory_notes_t;

void fb_memory_notes_dispose(fb_memory_notes_t *notes);

/* Those of the contract. */
bool fb_memory_lease_take(fb_memory_notes_t *notes, const fb_lease_t *lease);
void fb_memory_lease_leave(fb_memory_notes_t *notes, const fb_lease_t *lease);
void fb_memory_notes_put(fb_memory_notes_t *notes, const fb_notes_t *which,
                         const fb_slice_t *texts);
void fb_memory_notes_read(const fb_memory_notes_t *notes, const fb_notes_t *which,
                          void (*on_notes)(void *context, const fb_slice_t *texts), void *context);
