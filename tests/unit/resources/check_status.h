/* SPDX-License-Identifier: MIT */
#pragma once

#include "tests/unit/resources/check.h"

/* GET /v1/status, with its filter (NULL: none). */
static inline void check_states(const fb_snapshot_t *snapshot, const model_t *model,
                                const char *status, size_t limit)
{
    uint32_t ids[MODEL_MACHINES];
    fb_buffer_t target = {0}, prefix = {0};
    size_t known = 0;
    fb_buffer_put_text(&prefix, "\"counts\":{");
    for (unsigned i = 0; i < MODEL_STATES; i++) {
        size_t count = model_in_status(model, model_states[i], NULL, ids);
        fb_buffer_printf(&prefix, "\"%s\":%zu,", model_states[i], count);
        known += count;
    }
    fb_buffer_printf(&prefix, "\"unknown\":%zu}", model_free(model, 1, 0, NULL, ids) - known);
    size_t count = model_in_status(model, status, NULL, ids);
    fb_buffer_printf(&prefix, ",\"count\":%zu,", count);
    fb_buffer_put_char(&prefix, '\0');
    fb_buffer_put_text(&target, "/v1/status?");
    if (status != NULL)
        fb_buffer_printf(&target, "status=%s", status);
    fb_buffer_put_char(&target, '\0');
    check_pages(snapshot, model, target.at, prefix.at, model_put_status, ids, count, limit);
    fb_buffer_dispose(&prefix);
    fb_buffer_dispose(&target);
}
