/* SPDX-License-Identifier: MIT */
#pragma once

#include "persistence/store.h"
#include "resources/archive.h"
#include "server/patience.h"

/* Reads what the answer still takes of the archived rows (resources/archive.h), a page at a time,
 * and completes its body. FB_UNAVAILABLE where the patience is over, FB_DIVERGED where a row cannot
 * be read; besides these what the store and the family say. */
#define FB_ARCHIVE_PAGE_MIN 16

fb_code_t fb_archive_fetch(fb_archive_ask_t *ask, const fb_resource_t *resource, fb_store_t *store,
                           const fb_patience_t *patience, fb_error_t *error);
