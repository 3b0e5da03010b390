/* SPDX-License-Identifier: MIT */
#include "server/archive_fetch.h"

#include "base/assert.h"
#include "server/schema.h"

typedef struct {
    fb_archive_ask_t *ask;
    const fb_resource_t *resource;
} reading_t;

static fb_code_t on_row(void *context, uint32_t id, const fb_slice_t *texts, fb_error_t *error)
{
    const reading_t *reading = context;
    fb_value_t values[FB_FIELDS_MAX];
    if (reading->ask->wanted == 0)
        return FB_OK; /* the page had more than it takes */
    fb_code_t code = fb_schema_values(reading->resource, id, texts, values, error);
    if (code == FB_OK)
        reading->resource->archive->add(reading->ask, id, values);
    return code;
}

/* As many as are wanted, which are enough where all of them fit; never a few at a time. */
static unsigned page_of(const fb_archive_ask_t *ask, unsigned left)
{
    unsigned page = ask->wanted < FB_ARCHIVE_PAGE_MIN ? FB_ARCHIVE_PAGE_MIN : ask->wanted;
    if (page > FB_HISTORY_PAGE_MAX)
        page = FB_HISTORY_PAGE_MAX;
    return page < left ? page : left;
}

fb_code_t fb_archive_fetch(fb_archive_ask_t *ask, const fb_resource_t *resource, fb_store_t *store,
                           const fb_patience_t *patience, fb_error_t *error)
{
    reading_t reading = {ask, resource};
    fb_schema_names_t names;
    fb_store_family_t family;
    unsigned page;
    fb_assert(resource->archive != NULL && ask->id_count <= FB_ARCHIVE_READS_MAX);
    fb_schema_family(resource, &names, &family);
    for (unsigned at = 0; at < ask->id_count && ask->wanted > 0; at += page) {
        page = page_of(ask, ask->id_count - at);
        fb_code_t code = fb_patience_check(patience, "all that was asked for", error);
        if (code == FB_OK)
            code =
                store->vtable->rows(store, &family, ask->ids + at, page, on_row, &reading, error);
        if (code != FB_OK)
            return code;
    }
    return resource->archive->end(ask, error);
}
