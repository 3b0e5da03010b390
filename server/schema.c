/* SPDX-License-Identifier: MIT */
#include "server/schema.h"

#include "base/set_name.h"

void fb_schema_family(const fb_resource_t *resource, fb_schema_names_t *names,
                      fb_store_family_t *family)
{
    for (unsigned f = 0; f < resource->field_count; f++)
        names->fields[f] = resource->fields[f].name;
    fb_set_name(resource->row_name, names->set_name, sizeof(names->set_name));
    *family = (fb_store_family_t){
        .row_name = resource->row_name,
        .set_name = names->set_name,
        .fields = names->fields,
        .field_count = resource->field_count,
    };
}

fb_code_t fb_schema_values(const fb_resource_t *resource, uint32_t id, const fb_slice_t *texts,
                           fb_value_t values[FB_FIELDS_MAX], fb_error_t *error)
{
    for (unsigned f = 0; f < resource->field_count; f++) {
        const fb_field_t *field = &resource->fields[f];
        if (texts[f].at == NULL)
            values[f] = (fb_value_t){.given = true, .null = true};
        else if (!fb_field_from_text(field, texts[f], &values[f]))
            return fb_fail(error, FB_DIVERGED, "%s:%u in Redis has a wrong %s: \"%.*s\"",
                           resource->row_name, id, field->name, FB_PRINT(texts[f]));
    }
    return FB_OK;
}
