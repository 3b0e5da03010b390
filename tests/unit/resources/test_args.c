/* SPDX-License-Identifier: MIT */
#include "resources/args.h"

#include "tests/unit/resources/fleet.h"

enum { LABEL, COUNT, PRICE, NOTE, DAY, CREATED };

static const fb_field_t fields[] = {
    [LABEL] = {"label", "", 1, 20, FB_KIND_TEXT, FB_REQUIRED},
    [COUNT] = {"count", "", 1, 1000, FB_KIND_INTEGER, FB_REQUIRED},
    [PRICE] = {"price", "", 0, 100000, FB_KIND_MONEY, FB_NULLABLE},
    [NOTE] = {"note", "", 0, 50, FB_KIND_TEXT, FB_NULLABLE | FB_MULTILINE},
    [DAY] = {"day", "", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, 0},
    [CREATED] = {"created", "", 0, INT64_MAX, FB_KIND_INSTANT, FB_ASSIGNED},
};
static const fb_field_t shown[] = {
    {"busy", "", 0, 1, FB_KIND_BOOLEAN, FB_ASSIGNED},
};

static fb_code_t read_body(fb_args_t *args, fb_body_mode_t mode, fb_slice_t body, fb_error_t *error)
{
    *args = (fb_args_t){0};
    *error = (fb_error_t){0};
    fb_code_t code = fb_args_read_body(args, fields, FB_COUNT(fields), shown, FB_COUNT(shown), mode,
                                       body, error);
    assert_int_equal(code, error->code);
    return code;
}

static void refuse(fb_body_mode_t mode, const char *body, fb_code_t code, const char *field)
{
    fb_args_t args;
    fb_error_t error;
    read_body(&args, mode, fb_slice(body), &error);
    assert_error(&error, code, field);
    fb_args_dispose(&args);
}

static void accept(fb_body_mode_t mode, const char *body, fb_args_t *args)
{
    fb_error_t error;
    if (read_body(args, mode, fb_slice(body), &error) != FB_OK)
        fail_msg("%s: %s", body, error.detail);
}

#define MUST "\"label\":\"Digger\",\"count\":3"

static void a_body_gives_the_values_of_its_members(void **state)
{
    (void)state;
    fb_args_t args;
    accept(FB_BODY_NEW, " {\"day\":\"2026-11-21\", \"price\":12.5,\"note\":null," MUST "}\n",
           &args);
    assert_text(args.values[LABEL].text, "Digger");
    assert_int_equal(args.values[COUNT].number, 3);
    assert_int_equal(args.values[PRICE].number, 1250);
    assert_true(args.values[NOTE].given && args.values[NOTE].null);
    assert_int_equal(args.values[DAY].number, TODAY);
    assert_false(args.values[CREATED].given);
    fb_args_dispose(&args);
    assert_null(args.body);
    accept(FB_BODY_NEW, "{" MUST "}", &args);
    assert_false(args.values[PRICE].given || args.values[NOTE].given || args.values[DAY].given);
    fb_args_dispose(&args);
}

static void what_is_not_json_is_malformed(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        " ",
        "{",
        "{\"label\":}",
        "{\"label\":\"a\",}",
        "{'label':1}",
        "{label:1}",
        "{\"a\":01}",
        "{\"label\":\"\t\"}",
        "{\"label\":\"a}",
        "{} {}",
        "{\"label\":NaN}",
        "{\"label\":\"\\x\"}",
        "{\"label\":\"\\ud800\"}",
        "{\"label\\u0000\":1}",
        "\xEF\xBB\xBF{}",
    };
    for (size_t i = 0; i < FB_COUNT(bodies); i++)
        refuse(FB_BODY_NEW, bodies[i], FB_MALFORMED, NULL);
}

static void what_is_not_utf8_is_malformed(void **state)
{
    (void)state;
    refuse(FB_BODY_NEW, "{\"label\":\"a\xFF\"}", FB_MALFORMED, NULL);
    refuse(FB_BODY_NEW, "{\"label\":\"\xC3(\"}", FB_MALFORMED, NULL);
    refuse(FB_BODY_NEW, "{\"label\":\"\xED\xA0\x80\"}", FB_MALFORMED, NULL);
    refuse(FB_BODY_NEW, "{\"label\":\"\xC0\xAF\"}", FB_MALFORMED, NULL);
    refuse(FB_BODY_NEW, "{\"la\xFF\":1}", FB_MALFORMED, NULL);
}

static void a_body_that_is_no_object_is_invalid(void **state)
{
    (void)state;
    refuse(FB_BODY_NEW, "[]", FB_INVALID, NULL);
    refuse(FB_BODY_NEW, "\"label\"", FB_INVALID, NULL);
    refuse(FB_BODY_NEW, "5", FB_INVALID, NULL);
    refuse(FB_BODY_MERGE, "null", FB_INVALID, NULL);
}

static void a_member_that_occurs_twice_is_malformed_and_named(void **state)
{
    (void)state;
    refuse(FB_BODY_NEW, "{" MUST ",\"label\":\"Drill\"}", FB_MALFORMED, "label");
    refuse(FB_BODY_NEW, "{" MUST ",\"count\" : 3}", FB_MALFORMED, "count");
    refuse(FB_BODY_MERGE, "{\"note\":null,\"note\":null}", FB_MALFORMED, "note");
}

/* Ten thousand arrays, each in the one before it. */
static void a_depth_of_ten_thousand_is_malformed(void **state)
{
    (void)state;
    enum { DEPTH = 10000 };
    static const char *const kinds[] = {"[]", "{}"};
    for (size_t kind = 0; kind < FB_COUNT(kinds); kind++) {
        fb_buffer_t body = {0};
        fb_args_t args;
        fb_error_t error;
        fb_buffer_put_literal(&body, "{\"note\":");
        for (int i = 0; i < DEPTH; i++)
            fb_buffer_put_text(&body, kind == 0 ? "[" : "{\"a\":");
        fb_buffer_put_text(&body, "1");
        for (int i = 0; i < DEPTH; i++)
            fb_buffer_put_char(&body, kinds[kind][1]);
        fb_buffer_put_char(&body, '}');
        read_body(&args, FB_BODY_MERGE, fb_buffer_slice(&body), &error);
        assert_error(&error, FB_MALFORMED, NULL);
        fb_args_dispose(&args);
        fb_buffer_dispose(&body);
    }
}

static void a_number_beyond_its_range_is_named(void **state)
{
    (void)state;
    refuse(FB_BODY_MERGE, "{\"count\":1001}", FB_INVALID, "count");
    refuse(FB_BODY_MERGE, "{\"count\":0}", FB_INVALID, "count");
    refuse(FB_BODY_MERGE, "{\"count\":99999999999999999999}", FB_INVALID, "count");
    refuse(FB_BODY_MERGE, "{\"count\":1e308}", FB_INVALID, "count");
    refuse(FB_BODY_MERGE, "{\"price\":1e308}", FB_INVALID, "price");
    refuse(FB_BODY_MERGE, "{\"price\":1000.01}", FB_INVALID, "price");
    /* No double holds these. */
    refuse(FB_BODY_MERGE, "{\"note\":\"a\",\"price\":1e309}", FB_MALFORMED, "price");
    refuse(FB_BODY_MERGE, "{\"count\":-1e999,\"note\":\"a\"}", FB_MALFORMED, "count");
}

static void a_member_that_is_not_known_is_malformed(void **state)
{
    (void)state;
    refuse(FB_BODY_NEW, "{" MUST ",\"colour\":1}", FB_MALFORMED, "colour");
    refuse(FB_BODY_REPLACE, "{" MUST ",\"Label\":\"a\"}", FB_MALFORMED, "Label");
    refuse(FB_BODY_MERGE, "{\"\":1}", FB_MALFORMED, "");
    refuse(FB_BODY_MERGE, "{\"lab\\u0065l \":1}", FB_MALFORMED, "label ");
}

static void each_wrong_member_is_named(void **state)
{
    (void)state;
    fb_args_t args;
    fb_error_t error;
    const char *body = "{\"label\":\"\",\"count\":0,\"price\":0.001,\"day\":\"2026-02-30\"}";
    assert_int_equal(read_body(&args, FB_BODY_NEW, fb_slice(body), &error), FB_INVALID);
    assert_int_equal(error.field_count, 4);
    for (unsigned named = 0; named < 4; named++) {
        int index = fb_field_find(fields, FB_COUNT(fields), fb_slice(error.fields[named].field));
        assert_true(index >= 0 && index != NOTE && index != CREATED);
        for (unsigned other = 0; other < named; other++)
            assert_string_not_equal(error.fields[named].field, error.fields[other].field);
    }
    fb_args_dispose(&args);
}

static void a_new_or_replaced_thing_needs_what_is_required(void **state)
{
    (void)state;
    fb_args_t args;
    fb_error_t error;
    assert_int_equal(read_body(&args, FB_BODY_NEW, FB_SLICE("{}"), &error), FB_INVALID);
    assert_int_equal(error.field_count, 2);
    assert_string_equal(error.fields[0].field, "label");
    assert_string_equal(error.fields[1].field, "count");
    fb_args_dispose(&args);
    refuse(FB_BODY_REPLACE, "{\"label\":\"Digger\"}", FB_INVALID, "count");
    refuse(FB_BODY_NEW, "{\"label\":null,\"count\":3}", FB_INVALID, "label");
    refuse(FB_BODY_NEW, "{\"label\":\"a\\u0000b\",\"count\":3}", FB_INVALID, "label");
    accept(FB_BODY_MERGE, "{}", &args);
    fb_args_dispose(&args);
}

static void what_the_server_assigns_is_passed_over_in_a_put_alone(void **state)
{
    (void)state;
    static const char *const assigned[] = {"id", "created", "busy"};
    fb_args_t args;
    char body[100];
    for (size_t i = 0; i < FB_COUNT(assigned); i++) {
        snprintf(body, sizeof(body), "{" MUST ",\"%s\":{\"any\":[1]}}", assigned[i]);
        refuse(FB_BODY_NEW, body, FB_INVALID, assigned[i]);
        refuse(FB_BODY_MERGE, body, FB_INVALID, assigned[i]);
        accept(FB_BODY_REPLACE, body, &args);
        assert_false(args.values[CREATED].given);
        fb_args_dispose(&args);
    }
}

/* --- bodies that are arrays --------------------------------------------------------------- */

enum { EACH_ID, EACH_LABEL, EACH_CREATED, EACH_NOTE };

static const fb_field_t each_fields[] = {
    [EACH_ID] = {"machine_id", "", 1, UINT32_MAX, FB_KIND_INTEGER, FB_REQUIRED},
    [EACH_LABEL] = {"label", "", 1, 20, FB_KIND_TEXT, FB_REQUIRED},
    [EACH_CREATED] = {"created", "", 0, INT64_MAX, FB_KIND_INSTANT, FB_ASSIGNED},
    [EACH_NOTE] = {"note", "", 0, 50, FB_KIND_TEXT, FB_NULLABLE},
};

static fb_code_t read_each(fb_args_t *args, fb_slice_t body, fb_error_t *error)
{
    *args = (fb_args_t){0};
    *error = (fb_error_t){0};
    fb_code_t code = fb_args_read_body(args, each_fields, FB_COUNT(each_fields), NULL, 0,
                                       FB_BODY_EACH, body, error);
    assert_int_equal(code, error->code);
    return code;
}

static void each_item_of_an_array_has_its_own_values(void **state)
{
    (void)state;
    fb_args_t args, item = {0};
    fb_error_t error;
    assert_int_equal(read_each(&args,
                               FB_SLICE("[{\"machine_id\":7,\"label\":\"a\",\"note\":\"b\"},"
                                        "{\"label\":\"c\",\"machine_id\":4294967295}]"),
                               &error),
                     FB_OK);
    args.ids[0] = 5;
    args.id_count = 1;
    args.now = NOON;
    assert_int_equal(args.items.count, 2);
    assert_int_equal(fb_args_item(&args, 0, &item, &error), FB_OK);
    assert_int_equal(item.values[EACH_ID].number, 7);
    assert_text(item.values[EACH_LABEL].text, "a");
    assert_text(item.values[EACH_NOTE].text, "b");
    assert_int_equal(fb_args_item(&args, 1, &item, &error), FB_OK);
    assert_int_equal(item.values[EACH_ID].number, UINT32_MAX);
    assert_text(item.values[EACH_LABEL].text, "c");
    assert_false(item.values[EACH_NOTE].given);
    assert_true(item.ids[0] == 5 && item.id_count == 1 && item.now == NOON);
    fb_args_dispose(&args);
}

/* The item's own errors; its id is there where it can be read. */
static void a_wrong_item_leaves_the_others_as_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *item;
        fb_code_t code;
        const char *field;
        uint32_t id; /* 0: it cannot be read */
    } wrong[] = {
        {"7", FB_INVALID, NULL, 0},
        {"null", FB_INVALID, NULL, 0},
        {"[]", FB_INVALID, NULL, 0},
        {"\"\"", FB_INVALID, NULL, 0},
        {"{}", FB_INVALID, "machine_id", 0},
        {"{\"label\":\"a\"}", FB_INVALID, "machine_id", 0},
        {"{\"machine_id\":9}", FB_INVALID, "label", 9},
        {"{\"machine_id\":9,\"label\":5}", FB_INVALID, "label", 9},
        {"{\"machine_id\":\"9\",\"label\":\"a\"}", FB_INVALID, "machine_id", 0},
        {"{\"machine_id\":null,\"label\":\"a\"}", FB_INVALID, "machine_id", 0},
        {"{\"machine_id\":0,\"label\":\"a\"}", FB_INVALID, "machine_id", 0},
        {"{\"machine_id\":1.5,\"label\":\"a\"}", FB_INVALID, "machine_id", 0},
        {"{\"machine_id\":4294967296,\"label\":\"a\"}", FB_INVALID, "machine_id", 0},
        {"{\"machine_id\":9,\"label\":\"a\",\"colour\":1}", FB_MALFORMED, "colour", 9},
        {"{\"machine_id\":9,\"label\":\"a\",\"id\":9}", FB_MALFORMED, "id", 9},
        {"{\"machine_id\":9,\"label\":\"a\",\"created\":1}", FB_INVALID, "created", 9},
    };
    for (size_t i = 0; i < FB_COUNT(wrong); i++) {
        fb_args_t args, item = {0};
        fb_error_t error;
        char body[200];
        snprintf(body, sizeof(body),
                 "[{\"machine_id\":7,\"label\":\"a\"},%s,{\"machine_id\":8,\"label\":\"b\"}]",
                 wrong[i].item);
        assert_int_equal(read_each(&args, fb_slice(body), &error), FB_OK);
        assert_int_equal(fb_args_item(&args, 0, &item, &error), FB_OK);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(fb_args_item(&args, 1, &item, &error), wrong[i].code);
            assert_error(&error, wrong[i].code, wrong[i].field);
            assert_int_equal(item.values[EACH_ID].given ? item.values[EACH_ID].number : 0,
                             wrong[i].id);
            assert_false(item.values[EACH_LABEL].given);
        }
        error = (fb_error_t){0};
        assert_int_equal(fb_args_item(&args, 2, &item, &error), FB_OK);
        assert_int_equal(item.values[EACH_ID].number, 8);
        fb_args_dispose(&args);
    }
}

static void an_array_has_one_to_a_thousand_items(void **state)
{
    (void)state;
    for (unsigned count = 999; count <= 1002; count++) {
        fb_buffer_t body = {0};
        fb_args_t args;
        fb_error_t error;
        for (unsigned i = 0; i < count; i++)
            fb_buffer_printf(&body, "%c{\"machine_id\":%u,\"label\":\"a\"}", i ? ',' : '[', i + 1);
        fb_buffer_put_char(&body, ']');
        fb_code_t code = read_each(&args, fb_buffer_slice(&body), &error);
        assert_int_equal(code, count > FB_ITEMS_MAX ? FB_INVALID : FB_OK);
        assert_int_equal(args.items.count, count > FB_ITEMS_MAX ? 0 : count);
        fb_args_dispose(&args);
        fb_buffer_dispose(&body);
    }
}

static void what_is_no_array_of_items_is_refused_whole(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        fb_code_t code;
        const char *field;
    } wrong[] = {
        {"[]", FB_INVALID, NULL},
        {"{}", FB_INVALID, NULL},
        {"{\"machine_id\":7,\"label\":\"a\"}", FB_INVALID, NULL},
        {"null", FB_INVALID, NULL},
        {"7", FB_INVALID, NULL},
        {"", FB_MALFORMED, NULL},
        {"[", FB_MALFORMED, NULL},
        {"[{}", FB_MALFORMED, NULL},
        {"[{}] []", FB_MALFORMED, NULL},
        {"[{\"label\":1,\"label\":1}]", FB_MALFORMED, "label"},
        {"[{\"machine_id\":1e999}]", FB_MALFORMED, "machine_id"},
    };
    for (size_t i = 0; i < FB_COUNT(wrong); i++) {
        fb_args_t args;
        fb_error_t error;
        read_each(&args, fb_slice(wrong[i].body), &error);
        assert_error(&error, wrong[i].code, wrong[i].field);
        fb_args_dispose(&args);
    }
}

/* The id of the path may have another name in the body than "id". */
static void the_id_of_the_path_goes_by_the_name_of_the_table(void **state)
{
    (void)state;
    static const fb_field_t named[] = {
        {"machine_id", "", 1, UINT32_MAX, FB_KIND_INTEGER, FB_ASSIGNED | FB_OWN_ID},
        {"label", "", 1, 20, FB_KIND_TEXT, FB_REQUIRED},
    };
    static const struct {
        fb_body_mode_t mode;
        const char *body;
        fb_code_t code;
        const char *field;
    } bodies[] = {
        {FB_BODY_REPLACE, "{\"label\":\"a\",\"machine_id\":7}", FB_OK, NULL},
        {FB_BODY_REPLACE, "{\"label\":\"a\",\"machine_id\":8}", FB_INVALID, "machine_id"},
        {FB_BODY_REPLACE, "{\"label\":\"a\",\"machine_id\":null}", FB_INVALID, "machine_id"},
        {FB_BODY_REPLACE, "{\"label\":\"a\",\"id\":7}", FB_MALFORMED, "id"},
        {FB_BODY_NEW, "{\"label\":\"a\",\"machine_id\":7}", FB_INVALID, "machine_id"},
    };
    for (size_t i = 0; i < FB_COUNT(bodies); i++) {
        fb_args_t args = {.ids = {7}, .id_count = 1};
        fb_error_t error = {0};
        fb_code_t code = fb_args_read_body(&args, named, FB_COUNT(named), NULL, 0, bodies[i].mode,
                                           fb_slice(bodies[i].body), &error);
        assert_int_equal(code, bodies[i].code);
        if (code != FB_OK)
            assert_error(&error, code, bodies[i].field);
        fb_args_dispose(&args);
    }
}

/* --- queries ------------------------------------------------------------------------------ */

static fb_code_t read_query(fb_args_t *args, const char *query, fb_error_t *error)
{
    static const fb_field_t query_fields[] = {
        {"type", "", 1, 20, FB_KIND_TEXT, 0},
        {"limit", "", 1, 1000, FB_KIND_INTEGER, 0},
        {"from", "", FB_DAY_MIN, FB_DAY_MAX, FB_KIND_DATE, FB_REQUIRED},
    };
    *args = (fb_args_t){0};
    *error = (fb_error_t){0};
    fb_slice_t text = {query, query != NULL ? strlen(query) : 0};
    fb_code_t code = fb_args_read_query(args, query_fields, FB_COUNT(query_fields), text, error);
    assert_int_equal(code, error->code);
    return code;
}

static void refuse_query(const char *query, fb_code_t code, const char *field)
{
    fb_args_t args;
    fb_error_t error;
    read_query(&args, query, &error);
    if (error.code != code)
        fail_msg("?%s is %s: %s", query, fb_code_name(error.code), error.detail);
    assert_error(&error, code, field);
    fb_args_dispose(&args);
}

static void accept_query(const char *query, const char *type, int64_t limit)
{
    fb_args_t args;
    fb_error_t error;
    if (read_query(&args, query, &error) != FB_OK)
        fail_msg("?%s: %s", query, error.detail);
    assert_int_equal(args.values[0].given, type != NULL);
    if (type != NULL)
        assert_text(args.values[0].text, type);
    assert_int_equal(args.values[1].given, limit != 0);
    assert_int_equal(args.values[1].number, limit);
    assert_int_equal(args.values[2].number, TODAY);
    fb_args_dispose(&args);
}

#define FROM "from=2026-11-21"

static void a_query_is_decoded(void **state)
{
    (void)state;
    accept_query(FROM, NULL, 0);
    accept_query("limit=1&" FROM "&type=crane", "crane", 1);
    accept_query(FROM "&limit=1000", NULL, 1000);
    accept_query("&&" FROM "&", NULL, 0);
    accept_query(FROM "&type=a+b%20c", "a b c", 0);
    accept_query(FROM "&type=%C3%bc%26%3D%2b%25", "ü&=+%", 0);
    accept_query(FROM "&t%79pe=%61", "a", 0);
    accept_query("%66rom=2026%2d11-21&type=a=b", "a=b", 0);
}

static void a_query_that_is_not_understood_is_malformed_and_names_its_parameter(void **state)
{
    (void)state;
    refuse_query(FROM "&colour=red", FB_MALFORMED, "colour");
    refuse_query(FROM "&Limit=5", FB_MALFORMED, "Limit");
    refuse_query(FROM "&limit%00=5", FB_MALFORMED, "limit");
    refuse_query(FROM "&=5", FB_MALFORMED, "");
    refuse_query(FROM "&limit=5&limit=5", FB_MALFORMED, "limit");
    refuse_query(FROM "&limit=5&li%6dit=6", FB_MALFORMED, "limit");
    refuse_query(FROM "&limit=ten", FB_MALFORMED, "limit");
    refuse_query(FROM "&limit", FB_MALFORMED, "limit");
    refuse_query(FROM "&limit=%31%", FB_MALFORMED, "limit");
    refuse_query(FROM "&type=%", FB_MALFORMED, "type");
    refuse_query(FROM "&type=%4", FB_MALFORMED, "type");
    refuse_query(FROM "&type=%zz", FB_MALFORMED, "type");
    refuse_query(FROM "&type=%-1", FB_MALFORMED, "type");
    refuse_query(FROM "&ty%pe=1", FB_MALFORMED, "ty%pe");
    refuse_query(FROM "&type=%ff", FB_MALFORMED, "type");
    refuse_query(FROM "&type=%C3", FB_MALFORMED, "type");
    refuse_query("from=tomorrow", FB_MALFORMED, "from");
}

static void a_query_of_no_allowed_value_is_invalid_and_names_its_parameter(void **state)
{
    (void)state;
    refuse_query(FROM "&limit=0", FB_INVALID, "limit");
    refuse_query(FROM "&limit=1001", FB_INVALID, "limit");
    refuse_query(FROM "&limit=-5", FB_INVALID, "limit");
    refuse_query(FROM "&limit=99999999999999999999", FB_INVALID, "limit");
    refuse_query(FROM "&type=", FB_INVALID, "type");
    refuse_query(FROM "&type=%00", FB_INVALID, "type");
    refuse_query(FROM "&type=a%0Ab", FB_INVALID, "type");
    refuse_query("from=2026-02-30", FB_INVALID, "from");
    refuse_query("from=1969-12-31", FB_INVALID, "from");
    refuse_query("limit=5", FB_INVALID, "from");
    refuse_query("", FB_INVALID, "from");
    refuse_query(NULL, FB_INVALID, "from");
}

static void a_view_without_parameters_takes_none(void **state)
{
    (void)state;
    fb_args_t args = {0};
    fb_error_t error = {0};
    assert_int_equal(fb_args_read_query(&args, NULL, 0, FB_SLICE(""), &error), FB_OK);
    fb_args_read_query(&args, NULL, 0, FB_SLICE("limit=5"), &error);
    assert_error(&error, FB_MALFORMED, "limit");
    fb_args_dispose(&args);
}

/* Whatever characters a text has and however they are encoded, it arrives. */
static void a_text_arrives_however_it_is_encoded(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "Z", "0", " ", "+",  "&", "=",  "%",
                                             "?", "#", "/", "ü", "水", "🚜", "\"", "<"};
    chance_t chance = chance_init();
    for (int round = 0; round < 5000; round++) {
        char text[40] = "x";
        fb_buffer_t query = {0};
        fb_buffer_put_text(&query, FROM "&type=x");
        for (uint32_t n = chance_below(&chance, 5); n > 0; n--) {
            const char *character = characters[chance_below(&chance, FB_COUNT(characters))];
            strcat(text, character);
            bool plain = strchr("aZ0", character[0]) != NULL && chance_below(&chance, 2) == 0;
            if (character[0] == ' ' && chance_below(&chance, 2) == 0)
                fb_buffer_put_char(&query, '+');
            else if (plain)
                fb_buffer_put_text(&query, character);
            else
                for (const char *c = character; *c != '\0'; c++)
                    fb_buffer_printf(&query, chance_below(&chance, 2) ? "%%%02x" : "%%%02X",
                                     (unsigned char)*c);
        }
        fb_buffer_put_char(&query, '\0');
        if (strlen(text) <= 20)
            accept_query(query.at, text, 0);
        else
            refuse_query(query.at, FB_INVALID, "type");
        fb_buffer_dispose(&query);
    }
}

/* The way that percent signs are cut off at the end must not read beyond it. */
static void any_bytes_are_read_or_refused(void **state)
{
    (void)state;
    static const char alphabet[] = "%%%&=+aflmtyperi012\xC3\xBC-";
    chance_t chance = chance_init();
    for (int round = 0; round < 20000; round++) {
        size_t len = chance_below(&chance, 24);
        char *query = malloc(len + 1);
        fb_args_t args = {0};
        fb_error_t error = {0};
        for (size_t i = 0; i < len; i++)
            query[i] = alphabet[chance_below(&chance, sizeof(alphabet) - 1)];
        query = realloc(query, len > 0 ? len : 1); /* the sanitizer sees its very end */
        fb_code_t code = fb_args_read_query(&args, fields, 1, (fb_slice_t){query, len}, &error);
        assert_int_equal(code, error.code);
        assert_true(code == FB_OK || code == FB_MALFORMED || code == FB_INVALID);
        assert_true(code == FB_OK || error.field_count == 1);
        fb_args_dispose(&args);
        free(query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_gives_the_values_of_its_members),
        cmocka_unit_test(what_is_not_json_is_malformed),
        cmocka_unit_test(what_is_not_utf8_is_malformed),
        cmocka_unit_test(a_body_that_is_no_object_is_invalid),
        cmocka_unit_test(a_member_that_occurs_twice_is_malformed_and_named),
        cmocka_unit_test(a_depth_of_ten_thousand_is_malformed),
        cmocka_unit_test(a_number_beyond_its_range_is_named),
        cmocka_unit_test(a_member_that_is_not_known_is_malformed),
        cmocka_unit_test(each_wrong_member_is_named),
        cmocka_unit_test(a_new_or_replaced_thing_needs_what_is_required),
        cmocka_unit_test(what_the_server_assigns_is_passed_over_in_a_put_alone),
        cmocka_unit_test(each_item_of_an_array_has_its_own_values),
        cmocka_unit_test(a_wrong_item_leaves_the_others_as_they_are),
        cmocka_unit_test(an_array_has_one_to_a_thousand_items),
        cmocka_unit_test(what_is_no_array_of_items_is_refused_whole),
        cmocka_unit_test(the_id_of_the_path_goes_by_the_name_of_the_table),
        cmocka_unit_test(a_query_is_decoded),
        cmocka_unit_test(a_query_that_is_not_understood_is_malformed_and_names_its_parameter),
        cmocka_unit_test(a_query_of_no_allowed_value_is_invalid_and_names_its_parameter),
        cmocka_unit_test(a_view_without_parameters_takes_none),
        cmocka_unit_test(a_text_arrives_however_it_is_encoded),
        cmocka_unit_test(any_bytes_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
