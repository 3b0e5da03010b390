/* SPDX-License-Identifier: MIT */
#pragma once

#include <string.h>

#include "base/json.h"
#include "resources/field.h"
#include "tests/unit/random.h"

/* The JSON value of a field, as it stands in a request. */
static inline fb_code_t from_json(const fb_field_t *field, const char *json, fb_value_t *value,
                                  fb_error_t *error)
{
    static json_t *object, *made; /* what the value borrows from lives until the next call */
    char text[128];
    *error = (fb_error_t){0};
    json_decref(made);
    json_decref(object);
    made = NULL;
    snprintf(text, sizeof(text), "{\"it\":%s}", json);
    if (fb_json_parse_object(fb_slice(text), &object, error) != FB_OK)
        fail_msg("%s: %s", json, error->detail);
    fb_code_t code = fb_field_from_json(field, json_object_get(object, "it"), &made, value, error);
    assert_int_equal(code, error->code);
    return code;
}

static inline void assert_refused(const fb_field_t *field, const char *json, const char *detail)
{
    fb_error_t error;
    fb_value_t value;
    if (from_json(field, json, &value, &error) != FB_INVALID)
        fail_msg("%s is %s", json, fb_code_name(error.code));
    assert_string_equal(error.fields[0].field, field->name);
    assert_int_equal(error.field_count, 1);
    assert_string_equal(error.fields[0].detail, detail);
}
