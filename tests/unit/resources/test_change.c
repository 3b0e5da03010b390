/* SPDX-License-Identifier: MIT */
#include "resources/change.h"

#include "tests/unit/resources/fleet.h"

static void assert_payload(const fb_change_t *change, const char *expected)
{
    fb_buffer_t payload = {0};
    fb_change_encode(change, &payload);
    assert_text(fb_buffer_slice(&payload), expected);
    fb_buffer_dispose(&payload);
}

static void a_change_is_written_as_the_store_reads_it(void **state)
{
    (void)state;
    const fb_value_t machine[FB_FIELDS_MAX] = {
        {.text = FB_SLICE("Digger \"7\"")},
        {.text = FB_SLICE("D-7")},
        {.text = FB_SLICE("crane")},
        {.number = 1250},
        {.null = true},
        {.number = NOON},
        {.number = NOON + 1},
    };
    fb_change_t change = {0};
    assert_payload(&change, "[]");
    fb_change_put(&change, FB_MACHINES, 42, machine);
    fb_change_delete(&change, FB_MAINTENANCE, UINT32_MAX);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 42, TODAY, TODAY + 9, true);
    fb_change_days(&change, FB_PLANE_BOOKED, 1, FB_DAY_MIN, FB_DAY_MIN, false);
    fb_change_days(&change, FB_PLANE_BOOKED, 1, TODAY, TODAY - 1, true);
    assert_payload(&change,
                   "[[\"put\",\"machine\",42,{\"label\":\"Digger \\\"7\\\"\","
                   "\"inventory_id\":\"D-7\",\"type\":\"crane\",\"price_per_day\":\"12.50\","
                   "\"creation_date\":\"2026-11-21T12:00:00.000Z\","
                   "\"updated_at\":\"2026-11-21T12:00:00.001Z\"}],"
                   "[\"delete\",\"window\",4294967295],"
                   "[\"days\",\"maintenance\",42,\"2026-11-21\",10,1],"
                   "[\"days\",\"booked\",1,\"1970-01-01\",1,0]]");
    fb_change_dispose(&change);
    assert_null(change.ops);
}

static void a_row_with_a_history_says_where_and_when(void **state)
{
    (void)state;
    const fb_value_t report[FB_FIELDS_MAX] = {
        {.text = FB_SLICE("red")},
        {.number = NOON + 5},
        {.text = FB_SLICE("Ann")},
        {.null = true},
    };
    fb_change_t change = {0};
    fb_change_put(&change, FB_EQUIPMENT, 42, report);
    fb_change_delete(&change, FB_EQUIPMENT, 7);
    assert_payload(&change, "[[\"put\",\"status\",42,{\"status\":\"red\","
                            "\"updated_at\":\"2026-11-21T12:00:00.005Z\",\"updated_by\":\"Ann\"},"
                            "\"history\",1795262400005],[\"delete\",\"status\",7]]");
    fb_change_dispose(&change);
}

static void neighbours_that_differ_in_the_id_alone_are_written_as_one(void **state)
{
    (void)state;
    fb_change_t change = {0};
    for (uint32_t id = 9; id >= 7; id--)
        fb_change_days(&change, FB_PLANE_BOOKED, id, TODAY, TODAY + 9, true);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 7, TODAY, TODAY + 9, true);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 7, TODAY + 1, TODAY + 10, true);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 7, TODAY + 1, TODAY + 9, true);
    fb_change_days(&change, FB_PLANE_MAINTENANCE, 8, TODAY + 1, TODAY + 9, false);
    fb_change_archive(&change, FB_ORDERS, 3);
    fb_change_archive(&change, FB_ORDERS, UINT32_MAX);
    fb_change_archive(&change, FB_MACHINES, 3);
    fb_change_queue(&change, FB_ORDERS, 5);
    fb_change_queue(&change, FB_ORDERS, 6);
    fb_change_delete(&change, FB_MACHINES, 1);
    fb_change_delete(&change, FB_MACHINES, 2);
    assert_payload(&change, "[[\"days\",\"booked\",[9,8,7],\"2026-11-21\",10,1],"
                            "[\"days\",\"maintenance\",7,\"2026-11-21\",10,1],"
                            "[\"days\",\"maintenance\",7,\"2026-11-22\",10,1],"
                            "[\"days\",\"maintenance\",7,\"2026-11-22\",9,1],"
                            "[\"days\",\"maintenance\",8,\"2026-11-22\",9,0],"
                            "[\"archive\",\"order\",[3,4294967295]],"
                            "[\"archive\",\"machine\",3],"
                            "[\"queue\",\"orders\",5],[\"queue\",\"orders\",6],"
                            "[\"delete\",\"machine\",1],[\"delete\",\"machine\",2]]");
    fb_change_dispose(&change);
}

/* As logs have them that were written before the family had a history. */
static void a_row_without_its_history_is_still_read(void **state)
{
    (void)state;
    fb_change_t change = {0};
    fb_error_t error = {0};
    assert_int_equal(fb_change_decode(&change,
                                      FB_SLICE("[[\"put\",\"status\",42,{\"status\":\"red\","
                                               "\"updated_at\":\"2026-11-21T12:00:00.005Z\","
                                               "\"updated_by\":\"Ann\"}]]"),
                                      &error),
                     FB_OK);
    assert_int_equal(change.count, 1);
    assert_int_equal(change.ops[0].subject, FB_EQUIPMENT);
    assert_int_equal(change.ops[0].values[1].number, NOON + 5);
    fb_change_dispose(&change);
}

/* --- random changes ----------------------------------------------------------------------- */

static fb_value_t chance_value(chance_t *chance, const fb_field_t *field)
{
    static const char *const texts[] = {"", "crane", "Mühle", "\"", "\\n\n", "{}", "🚜", "null"};
    static const char *const numbers[] = {"[7]", "[1,9007199254740991]"};
    static const char *const keys[] = {"7", "-7", "\"7\"", "\"M\\\\\\\"ühle\""};
    static const char *const decimals[] = {"0.1", "-7", "1e+22"};
    static const char *const others[] = {"[]", "{\"a\":[0.10,1E2,12345678901234567890]}"};
    int64_t most = field->kind == FB_KIND_INSTANT ? (int64_t)FB_DAY_MAX * 86400000 : field->max;
    fb_value_t value = {.given = true, .null = chance_below(chance, 6) == 0};
    if (field->kind == FB_KIND_TEXT)
        value.text = fb_slice(texts[chance_below(chance, FB_COUNT(texts))]);
    else if (field->kind == FB_KIND_NUMBERS)
        value.text = fb_slice(numbers[chance_below(chance, FB_COUNT(numbers))]);
    else if (field->kind == FB_KIND_KEY)
        value.text = fb_slice(keys[chance_below(chance, FB_COUNT(keys))]);
    else if (field->kind == FB_KIND_DECIMAL)
        value.text = fb_slice(decimals[chance_below(chance, FB_COUNT(decimals))]);
    else if (field->kind == FB_KIND_JSON)
        value.text = fb_slice(others[chance_below(chance, FB_COUNT(others))]);
    else
        value.number = chance_between(chance, field->min, most);
    return value;
}

static unsigned chance_family(chance_t *chance)
{
    unsigned family;
    do {
        family = chance_below(chance, fb_registry_count());
    } while (fb_registry_resource(family)->row_name == NULL);
    return family;
}

static uint32_t chance_id(chance_t *chance)
{
    return (uint32_t)(chance_u64(chance) >> (32 + chance_below(chance, 31))) | 1;
}

/* Of one machine or of several, whose neighbours differ in the id or in something else, too. */
static void chance_days(chance_t *chance, fb_change_t *change, fb_day_t from, fb_day_t to)
{
    fb_plane_id_t plane = chance_below(chance, FB_PLANE_COUNT);
    bool set = chance_below(chance, 2) == 0;
    for (uint32_t n = 1 + chance_below(chance, 5); n > 0; n--) {
        fb_change_days(change, plane, chance_id(chance), from, to, set);
        switch (chance_below(chance, 12)) {
        case 0:
            plane = chance_below(chance, FB_PLANE_COUNT);
            break;
        case 1:
            set = !set;
            break;
        case 2:
            from = (fb_day_t)chance_between(chance, FB_DAY_MIN, to);
            break;
        case 3:
            to = (fb_day_t)chance_between(chance, from, FB_DAY_MAX);
            break;
        }
    }
}

static void chance_change(chance_t *chance, fb_change_t *change)
{
    for (uint32_t n = chance_below(chance, 7); n > 0; n--) {
        unsigned family = chance_family(chance);
        const fb_resource_t *resource = fb_registry_resource(family);
        fb_value_t values[FB_FIELDS_MAX];
        fb_day_t from = (fb_day_t)chance_between(chance, FB_DAY_MIN, FB_DAY_MAX);
        fb_day_t to = (fb_day_t)chance_between(chance, from, FB_DAY_MAX);
        switch (chance_below(chance, 5)) {
        case 0:
            for (unsigned f = 0; f < resource->field_count; f++)
                values[f] = chance_value(chance, &resource->fields[f]);
            fb_change_put(change, family, chance_id(chance), values);
            break;
        case 1:
            fb_change_delete(change, family, chance_id(chance));
            break;
        case 2:
            chance_days(chance, change, from, to);
            break;
        case 3:
            for (uint32_t k = chance_below(chance, 4); k > 0; k--)
                fb_change_archive(change, family, chance_id(chance));
            break;
        case 4:
            fb_change_queue(change, FB_ORDERS, chance_id(chance));
            break;
        }
    }
}

static void assert_same_op(const fb_op_t *a, const fb_op_t *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->subject, b->subject);
    assert_int_equal(a->id, b->id);
    if (a->kind == FB_OP_DAYS) {
        assert_int_equal(a->from, b->from);
        assert_int_equal(a->days, b->days);
        assert_int_equal(a->set, b->set);
    }
    const fb_resource_t *resource = fb_registry_resource(a->kind == FB_OP_PUT ? a->subject : 0);
    for (unsigned f = 0; a->kind == FB_OP_PUT && f < resource->field_count; f++) {
        assert_int_equal(a->values[f].null, b->values[f].null);
        if (a->values[f].null)
            continue;
        if (fb_kind_is_text(resource->fields[f].kind))
            assert_true(fb_slice_equal(a->values[f].text, b->values[f].text));
        else
            assert_true(a->values[f].number == b->values[f].number);
    }
}

static void what_is_encoded_is_decoded_to_the_same_operations(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    for (int round = 0; round < 3000; round++) {
        fb_change_t change = {0}, decoded = {0};
        fb_buffer_t payload = {0}, again = {0};
        fb_error_t error = {0};
        chance_change(&chance, &change);
        fb_change_encode(&change, &payload);
        if (fb_change_decode(&decoded, fb_buffer_slice(&payload), &error) != FB_OK)
            fail_msg("%.*s: %s", FB_PRINT(fb_buffer_slice(&payload)), error.detail);
        assert_int_equal(decoded.count, change.count);
        for (size_t i = 0; i < change.count; i++)
            assert_same_op(&change.ops[i], &decoded.ops[i]);
        fb_change_encode(&decoded, &again);
        assert_same_text(&payload, &again);
        fb_change_dispose(&change);
        fb_change_dispose(&decoded);
        fb_buffer_dispose(&payload);
        fb_buffer_dispose(&again);
    }
}

/* A payload that was damaged is refused, or says something else that can be said again. */
static void a_damaged_payload_is_refused_or_understood_whole(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    size_t refused = 0;
    for (int round = 0; round < 20000; round++) {
        fb_change_t change = {0}, decoded = {0}, twice = {0};
        fb_buffer_t payload = {0}, again = {0};
        fb_error_t error = {0};
        chance_change(&chance, &change);
        fb_change_encode(&change, &payload);
        uint32_t at = chance_below(&chance, (uint32_t)payload.len);
        if (chance_below(&chance, 4) == 0)
            payload.len = at;
        else
            payload.at[at] = (char)("[]{},:\"0123456789abz\\\x80-"[chance_below(&chance, 23)]);
        fb_code_t code = fb_change_decode(&decoded, fb_buffer_slice(&payload), &error);
        assert_int_equal(code, error.code);
        if (code == FB_OK) {
            fb_change_encode(&decoded, &again);
            assert_int_equal(fb_change_decode(&twice, fb_buffer_slice(&again), &error), FB_OK);
            assert_int_equal(twice.count, decoded.count);
        } else {
            assert_int_equal(code, FB_DIVERGED);
            refused++;
        }
        fb_change_dispose(&change);
        fb_change_dispose(&decoded);
        fb_change_dispose(&twice);
        fb_buffer_dispose(&payload);
        fb_buffer_dispose(&again);
    }
    assert_true(refused > 10000);
}

static void assert_refused(const char *const *payloads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fb_change_t change = {0};
        fb_error_t error = {0};
        if (fb_change_decode(&change, fb_slice(payloads[i]), &error) != FB_DIVERGED)
            fail_msg("%s is understood", payloads[i]);
        assert_int_equal(error.code, FB_DIVERGED);
        fb_change_dispose(&change);
    }
}

#define AT_NOON "{\"status\":\"red\",\"updated_at\":\"2026-11-21T12:00:00.000Z\"}"

static void what_is_no_change_of_ours_is_refused(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "",
        "{}",
        "null",
        "[",
        "[] x",
        "[5]",
        "[[]]",
        "[{}]",
        "[\"put\"]",
        "[[\"sing\",\"machine\",1]]",
        "[[\"delete\",\"machine\",0]]",
        "[[\"delete\",\"machine\",-1]]",
        "[[\"delete\",\"machine\",4294967296]]",
        "[[\"delete\",\"machine\",1.0]]",
        "[[\"delete\",\"machine\",\"1\"]]",
        "[[\"delete\",\"machine\"]]",
        "[[\"delete\",\"machine\",1,2]]",
        "[[\"delete\",\"machines\",1]]",
        "[[\"delete\",\"availability\",1]]",
        "[[\"delete\",null,1]]",
        "[[\"delete\",\"machine\",1],[\"sing\"]]",
        "[[\"put\",\"machine\",1]]",
        "[[\"put\",\"machine\",1,[]]]",
        "[[\"put\",\"machine\",1,{\"colour\":\"red\"}]]",
        "[[\"put\",\"machine\",1,{\"label\":7}]]",
        "[[\"put\",\"machine\",1,{\"label\":null}]]",
        "[[\"put\",\"machine\",1,{\"price_per_day\":\"1250\"}]]",
        "[[\"put\",\"machine\",1,{\"updated_at\":\"today\"}]]",
        "[[\"put\",\"machine\",1,{\"label\":\"a\"},1]]",
        "[[\"put\",\"machine\",0,{\"label\":\"a\"}]]",
        "[[\"put\",\"machine\",1,{\"label\":\"a\"},\"history\",0]]",
        "[[\"put\",\"status\",1," AT_NOON ",\"history\"]]",
        "[[\"put\",\"status\",1," AT_NOON ",\"history\",1795262400001]]",
        "[[\"put\",\"status\",1," AT_NOON ",\"history\",1795262400000.0]]",
        "[[\"put\",\"status\",1," AT_NOON ",\"history\",\"1795262400000\"]]",
        "[[\"put\",\"status\",1," AT_NOON ",\"histories\",1795262400000]]",
        "[[\"put\",\"status\",1," AT_NOON ",null,1795262400000]]",
        "[[\"put\",\"status\",1," AT_NOON ",\"history\",1795262400000,1]]",
        "[[\"put\",\"status\",1,{\"status\":\"red\"},\"history\",0]]",
        "[[\"days\",\"maintenance\",1,\"2026-11-21\",0,1]]",
        "[[\"days\",\"maintenance\",1,\"2026-11-21\",-1,1]]",
        "[[\"days\",\"maintenance\",1,\"2026-11-21\",1,2]]",
        "[[\"days\",\"maintenance\",1,\"2026-11-21\",1,true]]",
        "[[\"days\",\"maintenance\",1,\"2026-11-21\",1]]",
        "[[\"days\",\"maintenance\",1,\"2026-11-21\",1,1,1]]",
        "[[\"days\",\"maintenance\",0,\"2026-11-21\",1,1]]",
        "[[\"days\",\"holiday\",1,\"2026-11-21\",1,1]]",
        "[[\"days\",\"maintenance\",1,\"2026-02-30\",1,1]]",
        "[[\"days\",\"maintenance\",1,\"1969-12-31\",1,1]]",
        "[[\"days\",\"maintenance\",1,\"2399-12-31\",2,1]]",
        "[[\"days\",\"maintenance\",1,\"2400-01-01\",1,1]]",
        "[[\"days\",\"maintenance\",1,\"1970-01-01\",157055,1]]",
        "[[\"days\",\"maintenance\",1,\"1970-01-01\",4294967296,1]]",
        "[[\"days\",\"maintenance\",1,20778,1,1]]",
    };
    assert_refused(payloads, FB_COUNT(payloads));
}

static void ids_and_queues_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "[[\"days\",\"maintenance\",[],\"2026-11-21\",1,1]]",
        "[[\"days\",\"maintenance\",[1,0],\"2026-11-21\",1,1]]",
        "[[\"days\",\"maintenance\",[1,[2]],\"2026-11-21\",1,1]]",
        "[[\"days\",\"maintenance\",{\"1\":2},\"2026-11-21\",1,1]]",
        "[[\"days\",\"maintenance\",[1,2.0],\"2026-11-21\",1,1]]",
        "[[\"delete\",\"machine\",[1]]]",
        "[[\"put\",\"machine\",[1],{\"label\":\"a\"}]]",
        "[[\"archive\",\"order\"]]",
        "[[\"archive\",\"order\",0]]",
        "[[\"archive\",\"order\",[]]]",
        "[[\"archive\",\"order\",[1,4294967296]]]",
        "[[\"archive\",\"order\",1,2]]",
        "[[\"archive\",\"orders\",1]]",
        "[[\"queue\",\"orders\"]]",
        "[[\"queue\",\"orders\",0]]",
        "[[\"queue\",\"orders\",[1]]]",
        "[[\"queue\",\"orders\",1,1]]",
        "[[\"queue\",\"order\",1]]",
        "[[\"queue\",\"machines\",1]]",
    };
    assert_refused(payloads, FB_COUNT(payloads));
}

static void the_whole_calendar_is_one_operation(void **state)
{
    (void)state;
    fb_change_t change = {0};
    fb_error_t error = {0};
    assert_int_equal(fb_change_decode(&change,
                                      FB_SLICE("[[\"days\",\"booked\",7,\"1970-01-01\",157054,1]]"),
                                      &error),
                     FB_OK);
    assert_int_equal(change.ops[0].from, FB_DAY_MIN);
    assert_int_equal(change.ops[0].from + (fb_day_t)change.ops[0].days - 1, FB_DAY_MAX);
    fb_change_dispose(&change);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_written_as_the_store_reads_it),
        cmocka_unit_test(a_row_with_a_history_says_where_and_when),
        cmocka_unit_test(neighbours_that_differ_in_the_id_alone_are_written_as_one),
        cmocka_unit_test(a_row_without_its_history_is_still_read),
        cmocka_unit_test(what_is_encoded_is_decoded_to_the_same_operations),
        cmocka_unit_test(a_damaged_payload_is_refused_or_understood_whole),
        cmocka_unit_test(what_is_no_change_of_ours_is_refused),
        cmocka_unit_test(ids_and_queues_that_are_none_are_refused),
        cmocka_unit_test(the_whole_calendar_is_one_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
