/* SPDX-License-Identifier: MIT */
#include "server/access_line.h"

#include <inttypes.h>

#include <jansson.h>

#include "base/memory.h"
#include "tests/unit/server/access_fixture.h"

#define NOON_NS   INT64_C(1795262400000000000) /* 2026-11-21T12:00:00Z */
#define SECOND_NS INT64_C(1000000000)

static const char *const routes[] = {"/v1/machines/{id}", "/v1/availability", NULL};

typedef struct {
    fb_access_ring_t *ring;
    fb_access_line_t *line;
    char *text; /* of the last one, on the heap, so that a sanitizer sees what goes beyond */
} lines_t;

static int setup(void **state)
{
    lines_t *lines = fb_alloc_zero(1, sizeof(*lines));
    lines->ring = fb_access_ring_create(4096);
    lines->line = fb_access_line_create(routes);
    lines->text = fb_alloc(FB_ACCESS_LINE_BYTES_MAX + 1);
    fb_access_line_set_offset(lines->line, NOON_NS);
    *state = lines;
    return 0;
}

static int teardown(void **state)
{
    lines_t *lines = *state;
    fb_access_ring_destroy(&lines->ring);
    fb_access_line_destroy(&lines->line);
    assert_null(lines->line);
    free(lines->text);
    free(lines);
    return 0;
}

/* The line of an access that ended so long after noon. */
static const char *line_of(lines_t *lines, const fb_access_t *access, uint64_t ended_ns)
{
    put_access(lines->ring, access, ended_ns);
    fb_access_ring_look(lines->ring);
    const fb_access_record_t *record = fb_access_ring_first(lines->ring);
    *fb_access_line_put(lines->line, record, lines->text) = '\0';
    fb_access_ring_pass(lines->ring, record);
    assert_true(strlen(lines->text) + 64 < FB_ACCESS_LINE_BYTES_MAX);
    for (const char *at = lines->text; at[1] != '\0'; at++)
        assert_in_range(*at, ' ', '~');
    assert_int_equal(lines->text[strlen(lines->text) - 1], '\n');
    return lines->text;
}

static json_t *parse(const char *line)
{
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (object == NULL)
        fail_msg("%s: %s", error.text, line);
    return object;
}

/* Each character of the member is a byte of what was put. */
static void assert_bytes(const json_t *object, const char *member, const char *bytes, size_t len)
{
    const json_t *text = json_object_get(object, member);
    const unsigned char *at = (const unsigned char *)json_string_value(text);
    const unsigned char *end = at + json_string_length(text);
    for (size_t i = 0; i < len; i++) {
        unsigned value = *at++;
        if (value >= 0x80)
            value = (value & 0x1F) << 6 | (*at++ & 0x3F);
        assert_int_equal(value, (unsigned char)bytes[i]);
    }
    assert_ptr_equal(at, end);
}

static void assert_line(lines_t *lines, const fb_access_t *access, const char *expected)
{
    assert_string_equal(line_of(lines, access, 123456789), expected);
}

static void a_usual_access_has_all_members(void **state)
{
    fb_access_t access = usual_access();
    assert_line(*state, &access,
                "{\"time\":\"2026-11-21T12:00:00.123456Z\",\"request_id\":\"0123456789abcdef\","
                "\"client\":\"192.0.2.1:51234\",\"protocol\":\"HTTP/1.1\",\"method\":\"GET\","
                "\"target\":\"/v1/machines/42\",\"route\":\"/v1/machines/{id}\",\"status\":200,"
                "\"body_bytes\":310,\"duration_us\":12}\n");
    access.version = 0x200;
    access.route = 2;
    access.method = FB_SLICE("OPTIONS");
    access.target = FB_SLICE("*");
    assert_line(*state, &access,
                "{\"time\":\"2026-11-21T12:00:00.123456Z\",\"request_id\":\"0123456789abcdef\","
                "\"client\":\"192.0.2.1:51234\",\"protocol\":\"HTTP/2\",\"method\":\"OPTIONS\","
                "\"target\":\"*\",\"route\":\"/v1/availability\",\"status\":200,"
                "\"body_bytes\":310,\"duration_us\":12}\n");
}

static void a_traceparent_is_at_the_end(void **state)
{
    fb_access_t access = usual_access();
    access.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    access.method = FB_SLICE("SUBSCRIBE");
    assert_line(*state, &access,
                "{\"time\":\"2026-11-21T12:00:00.123456Z\",\"request_id\":\"0123456789abcdef\","
                "\"client\":\"192.0.2.1:51234\",\"protocol\":\"HTTP/1.1\","
                "\"method\":\"SUBSCRIBE\",\"target\":\"/v1/machines/42\","
                "\"route\":\"/v1/machines/{id}\",\"status\":200,\"body_bytes\":310,"
                "\"duration_us\":12,\"traceparent\":"
                "\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}\n");
}

static void what_is_not_known_is_null(void **state)
{
    static const fb_client_t nobody = {.len = 0};
    const fb_access_t access = {.id = FB_SLICE("i"), .client = &nobody, .status = 400};
    assert_line(*state, &access,
                "{\"time\":\"2026-11-21T12:00:00.123456Z\",\"request_id\":\"i\",\"client\":null,"
                "\"protocol\":null,\"method\":null,\"target\":null,\"route\":null,\"status\":400,"
                "\"body_bytes\":0,\"duration_us\":12}\n");
}

static void methods_are_shown_whatever_they_are(void **state)
{
    static const char long_one[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJK";
    static const char *const methods[] = {"GET",      "HEAD",      "POST", "PUT", "PATCH", "DELETE",
                                          "OPTIONS",  "G",         "GE",   "GOT", "GETS",  "TRACE",
                                          "PROPFIND", "PROPPATCH", "get",  "G\"T"};
    fb_access_t access = usual_access();
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        access.method = fb_slice(methods[i]);
        access.version = i % 2 ? 0x100 : 0x101;
        json_t *object = parse(line_of(*state, &access, 0));
        assert_bytes(object, "method", methods[i], strlen(methods[i]));
        assert_string_equal(json_string_value(json_object_get(object, "protocol")),
                            i % 2 ? "HTTP/1.0" : "HTTP/1.1");
        assert_string_equal(json_string_value(json_object_get(object, "target")),
                            "/v1/machines/42");
        json_decref(object);
    }
    access.method = fb_slice(long_one);
    json_t *object = parse(line_of(*state, &access, 0));
    assert_string_equal(json_string_value(json_object_get(object, "method")),
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF\xE2\x80\xA6");
    json_decref(object);
}

static void every_byte_at_every_place_can_be_had_back(void **state)
{
    char target[40], id[20];
    fb_access_t access = usual_access();
    for (unsigned byte = 0; byte < 256; byte++) {
        for (unsigned place = 0; place < sizeof(target); place++) {
            memset(target, 'x', sizeof(target));
            memset(id, 'y', sizeof(id));
            target[place] = id[place % sizeof(id)] = (char)byte;
            access.target = (fb_slice_t){target, sizeof(target)};
            access.id = (fb_slice_t){id, sizeof(id)};
            const char *line = line_of(*state, &access, 0);
            json_t *object = parse(line);
            assert_bytes(object, "target", target, sizeof(target));
            assert_bytes(object, "request_id", id, sizeof(id));
            assert_int_equal(json_object_size(object), 10);
            json_decref(object);
            bool is_plain = byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
            assert_int_equal(strchr(line, '\\') == NULL, is_plain);
        }
    }
}

static void random_targets_of_every_length_can_be_had_back(void **state)
{
    chance_t chance = chance_init();
    char target[FB_ACCESS_TARGET_BYTES_MAX];
    fb_access_t access = usual_access();
    for (size_t len = 1; len <= sizeof(target); len++) {
        bool is_odd = chance_below(&chance, 2) == 0;
        for (size_t i = 0; i < len; i++)
            target[i] =
                (char)(is_odd ? chance_below(&chance, 256) : 'a' + chance_below(&chance, 26));
        access.target = (fb_slice_t){target, len};
        json_t *object = parse(line_of(*state, &access, 0));
        assert_bytes(object, "target", target, len);
        assert_null(json_object_get(object, "target_bytes"));
        json_decref(object);
    }
}

static void a_longer_target_is_cut_and_says_so(void **state)
{
    char target[FB_ACCESS_TARGET_BYTES_MAX + 1];
    fb_access_t access = usual_access();
    memset(target, 0xFF, sizeof(target));
    access.target = (fb_slice_t){target, sizeof(target)};
    json_t *object = parse(line_of(*state, &access, 0));
    assert_bytes(object, "target", target, FB_ACCESS_TARGET_BYTES_MAX);
    assert_int_equal(json_integer_value(json_object_get(object, "target_bytes")),
                     FB_ACCESS_TARGET_BYTES_MAX + 1);
    json_decref(object);
}

static void assert_number(lines_t *lines, uint64_t number)
{
    char expected[64];
    fb_access_t access = usual_access();
    access.body_bytes = number;
    snprintf(expected, sizeof(expected), "\"body_bytes\":%" PRIu64 ",", number);
    const char *line = line_of(lines, &access, 0);
    if (strstr(line, expected) == NULL)
        fail_msg("%s is not in %s", expected, line);
}

static void numbers_are_written_in_full(void **state)
{
    chance_t chance = chance_init();
    for (uint64_t i = 0; i < 11000; i++)
        assert_number(*state, i);
    for (uint64_t power = 10000; power < UINT64_MAX / 10; power *= 10) {
        assert_number(*state, power - 1);
        assert_number(*state, power);
        assert_number(*state, power + 1);
    }
    assert_number(*state, UINT64_MAX);
    for (int i = 0; i < 20000; i++)
        assert_number(*state, chance_u64(&chance) >> chance_below(&chance, 64));
}

static void assert_time(lines_t *lines, uint64_t ended_ns, const char *expected)
{
    fb_access_t access = usual_access();
    json_t *object = parse(line_of(lines, &access, ended_ns));
    assert_string_equal(json_string_value(json_object_get(object, "time")), expected);
    json_decref(object);
}

static void the_time_follows_the_clock_in_both_directions(void **state)
{
    lines_t *lines = *state;
    assert_time(lines, 0, "2026-11-21T12:00:00.000000Z");
    assert_time(lines, 999, "2026-11-21T12:00:00.000000Z");
    assert_time(lines, 1000, "2026-11-21T12:00:00.000001Z");
    assert_time(lines, SECOND_NS - 1, "2026-11-21T12:00:00.999999Z");
    assert_time(lines, SECOND_NS, "2026-11-21T12:00:01.000000Z");
    assert_time(lines, 12 * 3600 * SECOND_NS, "2026-11-22T00:00:00.000000Z");
    fb_access_line_set_offset(lines->line, NOON_NS - SECOND_NS / 2);
    assert_time(lines, 0, "2026-11-21T11:59:59.500000Z");
    fb_access_line_set_offset(lines->line, 0);
    assert_time(lines, 7654321, "1970-01-01T00:00:00.007654Z");
}

static void what_was_dropped_has_a_line(void **state)
{
    lines_t *lines = *state;
    *fb_access_line_put_dropped(lines->line, 5000, 123456, lines->text) = '\0';
    assert_string_equal(lines->text,
                        "{\"time\":\"2026-11-21T12:00:00.000005Z\",\"dropped\":123456}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_usual_access_has_all_members, setup, teardown),
        cmocka_unit_test_setup_teardown(a_traceparent_is_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_known_is_null, setup, teardown),
        cmocka_unit_test_setup_teardown(methods_are_shown_whatever_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(every_byte_at_every_place_can_be_had_back, setup, teardown),
        cmocka_unit_test_setup_teardown(random_targets_of_every_length_can_be_had_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_longer_target_is_cut_and_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_are_written_in_full, setup, teardown),
        cmocka_unit_test_setup_teardown(the_time_follows_the_clock_in_both_directions, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_dropped_has_a_line, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
