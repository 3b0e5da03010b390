/* SPDX-License-Identifier: MIT */
#include "server/problem.h"

#include <jansson.h>

#include "resources/args.h"
#include "tests/unit/random.h"

static void every_code_has_the_status_that_the_interface_promises(void **state)
{
    (void)state;
    static const struct {
        fb_code_t code;
        int status;
    } promised[] = {
        {FB_OK, 200},
        {FB_MALFORMED, 400},
        {FB_NOT_FOUND, 404},
        {FB_METHOD_NOT_ALLOWED, 405},
        {FB_TIMED_OUT, 408},
        {FB_CONFLICT, 409},
        {FB_OTHER_EPOCH, 409},
        {FB_PRECONDITION_FAILED, 412},
        {FB_BODY_TOO_LARGE, 413},
        {FB_TARGET_TOO_LONG, 414},
        {FB_MEDIA_TYPE, 415},
        {FB_INVALID, 422},
        {FB_TOO_MANY, 429},
        {FB_QUEUE_FULL, 503},
        {FB_UNAVAILABLE, 503},
        {FB_BEHIND, 503},
        {FB_CONTENDED, 503},
        {FB_OUTCOME_UNKNOWN, 503},
    };
    int expected[FB_CODE_COUNT];
    for (int code = 0; code < FB_CODE_COUNT; code++)
        expected[code] = 500;
    for (size_t i = 0; i < sizeof(promised) / sizeof(promised[0]); i++)
        expected[promised[i].code] = promised[i].status;
    for (int code = 0; code < FB_CODE_COUNT; code++) {
        fb_status_t status = fb_status_of_code((fb_code_t)code);
        if (status.code != expected[code])
            fail_msg("%s is %d", fb_code_name((fb_code_t)code), status.code);
        assert_true(strlen(status.reason) > 1);
    }
}

static void every_success_has_its_status(void **state)
{
    (void)state;
    assert_int_equal(fb_status_of_success(FB_SUCCESS_OK).code, 200);
    assert_int_equal(fb_status_of_success(FB_SUCCESS_CREATED).code, 201);
    assert_int_equal(fb_status_of_success(FB_SUCCESS_EMPTY).code, 204);
    assert_int_equal(fb_status_of_success(FB_SUCCESS_NOT_MODIFIED).code, 304);
}

/* RFC 9110, section 10.2.3: for 503, and 429 (RFC 6585, section 4). */
static void what_may_be_tried_again_says_when(void **state)
{
    (void)state;
    for (int code = 0; code < FB_CODE_COUNT; code++) {
        int status = fb_status_of_code((fb_code_t)code).code;
        assert_int_equal(fb_problem_retry_after_s((fb_code_t)code) > 0,
                         status == 503 || status == 429);
    }
}

static json_t *parse_problem(const fb_error_t *error, const fb_resource_t *owner,
                             fb_slice_t request_id)
{
    fb_buffer_t body = {0};
    json_error_t fault;
    fb_problem_put(&body, error, owner, request_id);
    json_t *problem =
        json_loadb(body.at, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &fault);
    if (problem == NULL)
        fail_msg("%.*s: %s", FB_PRINT(fb_buffer_slice(&body)), fault.text);
    fb_buffer_dispose(&body);
    return problem;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    return text;
}

static void the_problem_of_a_part_has_no_request_id(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_buffer_t body = {0};
    fb_fail_field(&error, FB_INVALID, FB_SLICE("status"), "must be \"green\"");
    fb_problem_put_part(&body, &error);
    assert_true(fb_slice_is(
        fb_buffer_slice(&body),
        "{\"type\":\"/problems/invalid\",\"title\":\"The request is well-formed but not valid\","
        "\"status\":422,\"detail\":\"status: must be \\\"green\\\"\",\"errors\":["
        "{\"field\":\"status\",\"detail\":\"must be \\\"green\\\"\"}]}"));
    fb_buffer_dispose(&body);
}

static void a_problem_has_the_members_of_rfc_9457_and_names_its_fields(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_fail_field(&error, FB_INVALID, FB_SLICE("limit"), "must be between %d and %d", 1, 1000);
    fb_fail_field(&error, FB_INVALID, FB_SLICE("from"), "is required");
    json_t *problem = parse_problem(&error, NULL, FB_SLICE("abc-1"));
    assert_int_equal(json_object_size(problem), 6);
    assert_string_equal(text_of(problem, "type"), "/problems/invalid");
    assert_string_equal(text_of(problem, "title"), "The request is well-formed but not valid");
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), 422);
    assert_string_equal(text_of(problem, "detail"), "limit: must be between 1 and 1000");
    assert_string_equal(text_of(problem, "request_id"), "abc-1");
    const json_t *errors = json_object_get(problem, "errors");
    assert_int_equal(json_array_size(errors), 2);
    assert_string_equal(text_of(json_array_get(errors, 0), "field"), "limit");
    assert_string_equal(text_of(json_array_get(errors, 0), "detail"), "must be between 1 and 1000");
    assert_string_equal(text_of(json_array_get(errors, 1), "field"), "from");
    assert_string_equal(text_of(json_array_get(errors, 1), "detail"), "is required");
    json_decref(problem);
}

static void a_problem_without_fields_has_an_empty_list(void **state)
{
    (void)state;
    for (int code = 1; code < FB_CODE_COUNT; code++) {
        char type[80];
        fb_error_t error = {0};
        fb_fail(&error, (fb_code_t)code, "it went wrong");
        json_t *problem = parse_problem(&error, NULL, FB_SLICE(""));
        snprintf(type, sizeof(type), "/problems/%s", fb_code_name((fb_code_t)code));
        assert_string_equal(text_of(problem, "type"), type);
        assert_string_equal(text_of(problem, "detail"), "it went wrong");
        assert_string_equal(text_of(problem, "request_id"), "");
        assert_true(json_is_array(json_object_get(problem, "errors")));
        assert_int_equal(json_array_size(json_object_get(problem, "errors")), 0);
        json_decref(problem);
    }
}

static void at_most_eight_fields_are_named(void **state)
{
    (void)state;
    fb_error_t error = {0};
    for (int i = 0; i < 20; i++)
        fb_fail_field(&error, FB_INVALID, FB_SLICE("any"), "%d", i);
    json_t *problem = parse_problem(&error, NULL, FB_SLICE("x"));
    const json_t *errors = json_object_get(problem, "errors");
    assert_int_equal(json_array_size(errors), FB_ERROR_FIELDS_MAX);
    assert_string_equal(text_of(json_array_get(errors, FB_ERROR_FIELDS_MAX - 1), "detail"), "7");
    json_decref(problem);
}

/* What an error repeats of a request may be any bytes. */
static void a_problem_is_json_whatever_it_repeats(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    for (int round = 0; round < 5000; round++) {
        char bytes[600];
        fb_error_t error = {0};
        uint32_t len = chance_below(&chance, sizeof(bytes));
        bool any = chance_below(&chance, 2) == 0;
        for (uint32_t i = 0; i < len; i++)
            bytes[i] =
                any ? (char)chance_u64(&chance) : "\"\\\n\xC3\xBC%"[chance_below(&chance, 6)];
        fb_slice_t text = {bytes, len}, part = {bytes, len / 2};
        if (chance_below(&chance, 2) == 0)
            fb_fail(&error, FB_NOT_FOUND, "there is nothing at %.*s", FB_PRINT(text));
        else
            fb_fail_field(&error, FB_MALFORMED, part, "is not \"%.*s\"", FB_PRINT(text));
        json_t *problem = parse_problem(&error, NULL, part);
        assert_int_equal(json_object_size(problem), 6);
        json_decref(problem);
    }
}

static const fb_resource_t machines = {.name = "machines"};
static const fb_resource_t sprockets = {.name = "sprockets", .noun = "Sprocket"};
static const fb_resource_t search = {.name = "search", .errors = FB_ERRORS_DATA};

static void assert_message(const fb_error_t *error, int status, const char *message)
{
    json_t *problem = parse_problem(error, &sprockets, FB_SLICE("abc-1"));
    assert_int_equal(json_object_size(problem), 7);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), status);
    assert_int_equal(fb_status_of(error, &sprockets).code, status);
    assert_string_equal(text_of(problem, "message"), message);
    json_decref(problem);
}

static void clients_of_another_system_read_a_message_in_its_words(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_fail(&error, FB_NOT_FOUND, "there is no sprocket 7");
    assert_message(&error, 404, "Sprocket not found");
    error = (fb_error_t){0};
    fb_fail_field(&error, FB_INVALID, FB_SLICE("teeth"), FB_ARGS_REQUIRED);
    fb_fail_field(&error, FB_INVALID, FB_SLICE("pitch"), FB_ARGS_REQUIRED);
    assert_message(&error, 400, "Missing required field: teeth");
    error = (fb_error_t){0};
    fb_fail_field(&error, FB_INVALID, FB_SLICE("teeth"), "must be between 1 and 9");
    assert_message(&error, 400, "teeth: must be between 1 and 9");
    for (int code = 1; code < FB_CODE_COUNT; code++) {
        int status = fb_status_of_code((fb_code_t)code).code;
        if (code == FB_NOT_FOUND)
            continue;
        fb_fail(&error, (fb_code_t)code, "a \"fault\"");
        assert_message(&error, status == 422 ? 400 : status, "a \"fault\"");
        assert_int_equal(fb_status_of(&error, NULL).code, status);
        assert_int_equal(fb_status_of(&error, &machines).code, status);
    }
    assert_string_equal(fb_problem_type(NULL), "application/problem+json");
    assert_string_equal(fb_problem_type(&machines), "application/problem+json");
    assert_string_equal(fb_problem_type(&sprockets), "application/problem+json");
}

static void others_read_no_problem_but_data_that_is_not_there(void **state)
{
    (void)state;
    for (int code = 1; code < FB_CODE_COUNT; code++) {
        fb_error_t error = {0};
        int status = fb_status_of_code((fb_code_t)code).code;
        fb_fail_field(&error, (fb_code_t)code, FB_SLICE("ends_at"), "is \"%s\"", "no\ninstant");
        json_t *object = parse_problem(&error, &search, FB_SLICE("abc-1"));
        const json_t *shown = json_object_get(object, "error");
        assert_int_equal(json_object_size(object), 2);
        assert_true(json_is_null(json_object_get(object, "data")));
        assert_int_equal(json_object_size(shown), 2);
        assert_string_equal(text_of(shown, "code"), fb_code_name((fb_code_t)code));
        assert_string_equal(text_of(shown, "message"), "ends_at: is \"no\ninstant\"");
        assert_int_equal(fb_status_of(&error, &search).code, status == 422 ? 400 : status);
        json_decref(object);
    }
    assert_string_equal(fb_problem_type(&search), "application/json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_the_status_that_the_interface_promises),
        cmocka_unit_test(every_success_has_its_status),
        cmocka_unit_test(what_may_be_tried_again_says_when),
        cmocka_unit_test(the_problem_of_a_part_has_no_request_id),
        cmocka_unit_test(a_problem_has_the_members_of_rfc_9457_and_names_its_fields),
        cmocka_unit_test(a_problem_without_fields_has_an_empty_list),
        cmocka_unit_test(clients_of_another_system_read_a_message_in_its_words),
        cmocka_unit_test(others_read_no_problem_but_data_that_is_not_there),
        cmocka_unit_test(at_most_eight_fields_are_named),
        cmocka_unit_test(a_problem_is_json_whatever_it_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
