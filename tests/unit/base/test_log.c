/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/date.h"
#include "base/memory.h"
#include "tests/unit/random.h"

#define CAPTURED_BYTES_MAX (4 * 1024 * 1024)

typedef struct {
    FILE *file;
    int stderr_kept;
    char *text;
} capture_t;

/* From here to `capture_end`, stderr goes to a file. */
static capture_t capture_begin(void)
{
    capture_t capture = {.file = tmpfile(), .stderr_kept = dup(STDERR_FILENO)};
    assert_non_null(capture.file);
    assert_true(dup2(fileno(capture.file), STDERR_FILENO) >= 0);
    return capture;
}

/* Returns what was written; the caller frees it. */
static char *capture_end(capture_t *capture)
{
    dup2(capture->stderr_kept, STDERR_FILENO);
    close(capture->stderr_kept);
    char *text = fb_alloc(CAPTURED_BYTES_MAX + 1);
    rewind(capture->file);
    text[fread(text, 1, CAPTURED_BYTES_MAX, capture->file)] = '\0';
    fclose(capture->file);
    return text;
}

/* Each test begins with text, and without a limit. */
static int reset(void **state)
{
    (void)state;
    fb_log_settle(true);
    fb_log_set_level(FB_LOG_INFO);
    fb_log_set_format(FB_LOG_TEXT);
    fb_log_set_repeats_max(UINT32_MAX);
    return 0;
}

static void a_line_has_an_instant_a_level_and_the_text(void **state)
{
    (void)state;
    capture_t capture = capture_begin();
    fb_log_warning("redis is %s, %d tries", "away", 3);
    char *line = capture_end(&capture);
    fb_instant_t instant;
    assert_true(fb_instant_parse((fb_slice_t){line, FB_INSTANT_TEXT_BYTES}, &instant));
    assert_string_equal(line + FB_INSTANT_TEXT_BYTES, " warning redis is away, 3 tries\n");
    free(line);
}

static void lines_above_the_level_are_dropped(void **state)
{
    (void)state;
    capture_t capture = capture_begin();
    fb_log_debug("not yet");
    fb_log_set_level(FB_LOG_ERROR);
    fb_log_warning("not any more");
    fb_log_error("one");
    fb_log_set_level(FB_LOG_DEBUG);
    fb_log_debug("two");
    fb_log_set_level(FB_LOG_INFO);
    fb_log_info("three");
    char *lines = capture_end(&capture);
    assert_null(strstr(lines, "not "));
    const char *one = strstr(lines, " error one\n"), *two = strstr(lines, " debug two\n");
    assert_true(one != NULL && two > one && strstr(two, " info three\n") != NULL);
    free(lines);
}

static void levels_and_formats_are_read_by_their_names(void **state)
{
    (void)state;
    assert_int_equal(fb_log_level_parse("error"), FB_LOG_ERROR);
    assert_int_equal(fb_log_level_parse("warning"), FB_LOG_WARNING);
    assert_int_equal(fb_log_level_parse("info"), FB_LOG_INFO);
    assert_int_equal(fb_log_level_parse("debug"), FB_LOG_DEBUG);
    assert_int_equal(fb_log_level_parse(""), -1);
    assert_int_equal(fb_log_level_parse("Info"), -1);
    assert_int_equal(fb_log_level_parse("information"), -1);
    assert_string_equal(fb_log_level_name(FB_LOG_WARNING), "warning");
    assert_int_equal(fb_log_format_parse("json"), FB_LOG_JSON);
    assert_int_equal(fb_log_format_parse("text"), FB_LOG_TEXT);
    assert_int_equal(fb_log_format_parse("JSON"), -1);
}

static void a_text_of_any_bytes_stays_one_line(void **state)
{
    (void)state;
    chance_t random = chance_init();
    for (int round = 0; round < 500; round++) {
        char text[1400];
        size_t len = (size_t)chance_between(&random, 0, sizeof(text) - 1);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)chance_between(&random, 1, chance_between(&random, 0, 1) ? 255 : 40);
        text[len] = '\0';
        capture_t capture = capture_begin();
        fb_log_info("%s", text);
        char *line = capture_end(&capture);
        size_t written = strlen(line);
        assert_true(written > 0 && line[written - 1] == '\n');
        assert_ptr_equal(strchr(line, '\n'), line + written - 1);
        for (size_t i = 0; i + 1 < written; i++)
            assert_true((unsigned char)line[i] >= 0x20);
        free(line);
    }
}

static void a_message_of_the_length_is_whole_and_a_longer_one_is_cut_and_says_so(void **state)
{
    (void)state;
    const size_t prefix = FB_INSTANT_TEXT_BYTES + strlen(" info ");
    char text[1300];
    for (size_t len = 0; len < sizeof(text); len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        capture_t capture = capture_begin();
        fb_log_info("%s", text);
        char *line = capture_end(&capture);
        size_t written = strlen(line);
        if (len <= FB_LOG_MESSAGE_BYTES_MAX) {
            assert_int_equal(written, prefix + len + 1);
            assert_null(strstr(line, "[cut]"));
        } else {
            assert_int_equal(written, prefix + FB_LOG_MESSAGE_BYTES_MAX + strlen(" [cut]") + 1);
            assert_string_equal(line + written - 8, "x [cut]\n");
        }
        free(line);
    }
}

/* The members of one line of JSON, in their order, as "name name "; each is a text. */
static json_t *parse_line(const char *line, char names[200])
{
    const char *name;
    json_t *value, *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    *names = '\0';
    json_object_foreach(object, name, value)
    {
        assert_true(json_is_string(value));
        strcat(strcat(names, name), " ");
    }
    return object;
}

static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void a_line_of_json_says_who_when_what_and_about_which_request(void **state)
{
    (void)state;
    char names[200];
    const fb_log_about_t about = {FB_SLICE("a\"b"), FB_SLICE("00-x-y-01")};
    fb_instant_t instant;
    fb_log_set_format(FB_LOG_JSON);
    capture_t capture = capture_begin();
    fb_log_error("it is \"%s\"\n", "away");
    fb_log_set_instance("c1cdd73a");
    fb_log_request(&about, FB_LOG_WARNING, "a request");
    fb_log_request(&(fb_log_about_t){.request_id = FB_SLICE("1")}, FB_LOG_INFO, "%s", "");
    fb_log_set_instance("");
    char *lines = capture_end(&capture), *rest = lines;
    json_t *first = parse_line(strsep(&rest, "\n"), names);
    assert_string_equal(names, "time level message ");
    assert_true(fb_instant_parse(fb_slice(member(first, "time")), &instant));
    assert_string_equal(member(first, "level"), "error");
    assert_string_equal(member(first, "message"), "it is \"away\"\n");
    json_t *second = parse_line(strsep(&rest, "\n"), names);
    assert_string_equal(names, "time level message request_id traceparent instance ");
    assert_string_equal(member(second, "request_id"), "a\"b");
    assert_string_equal(member(second, "traceparent"), "00-x-y-01");
    assert_string_equal(member(second, "instance"), "c1cdd73a");
    json_t *third = parse_line(strsep(&rest, "\n"), names);
    assert_string_equal(names, "time level message request_id instance ");
    assert_string_equal(member(third, "message"), "");
    assert_string_equal(rest, "");
    json_decref(first);
    json_decref(second);
    json_decref(third);
    free(lines);
}

static void any_bytes_are_one_bounded_line_of_json(void **state)
{
    (void)state;
    char names[200], id[129];
    chance_t random = chance_init();
    fb_log_set_format(FB_LOG_JSON);
    memset(id, '"', sizeof(id) - 1);
    const fb_log_about_t about = {{id, sizeof(id) - 1}, {NULL, 0}};
    for (int round = 0; round < 500; round++) {
        char text[1400];
        size_t len = (size_t)chance_between(&random, 0, sizeof(text) - 1);
        int most = round % 3 == 0 ? 30 : 255;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)chance_between(&random, 1, most);
        text[len] = '\0';
        capture_t capture = capture_begin();
        fb_log_request(&about, FB_LOG_INFO, "%s", text);
        char *line = capture_end(&capture);
        size_t written = strlen(line);
        assert_in_range(written, 1, FB_LOG_LINE_BYTES_MAX);
        assert_ptr_equal(strchr(line, '\n'), line + written - 1);
        json_t *object = parse_line(line, names);
        assert_string_equal(names, "time level message request_id ");
        json_decref(object);
        free(line);
    }
}

static void a_message_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t before = 0; before < 8; before++) {
        char text[1200] = {0};
        memset(text, 'x', before);
        for (size_t i = before; i + 4 < sizeof(text); i += 4)
            memcpy(text + i, "\xF0\x9F\x9A\x9C", 4);
        capture_t capture = capture_begin();
        fb_log_info("%s", text);
        char *line = capture_end(&capture);
        assert_non_null(strstr(line, "\x9C [cut]\n"));
        assert_null(strstr(line, "\xEF\xBF\xBD"));
        free(line);
    }
}

static unsigned count_of(const char *text, const char *wanted)
{
    unsigned count = 0;
    while ((text = strstr(text, wanted)) != NULL) {
        count++;
        text++;
    }
    return count;
}

static void what_repeats_itself_is_left_out_and_said_so(void **state)
{
    (void)state;
    fb_log_set_repeats_max(FB_LOG_REPEATS_MAX);
    uint64_t errors = fb_log_messages(FB_LOG_ERROR);
    capture_t capture = capture_begin();
    for (int i = 0; i < 100; i++) {
        fb_log_error("again %d", i);
        if (i % 50 == 0)
            fb_log_info("something else %d", i);
    }
    fb_log_settle(false);
    fb_log_settle(true);
    fb_log_error("again %d", 100);
    fb_log_settle(true);
    char *lines = capture_end(&capture);
    assert_int_equal(count_of(lines, " error again "), FB_LOG_REPEATS_MAX + 1);
    assert_int_equal(count_of(lines, " something else "), 2);
    assert_int_equal(count_of(lines, "left out"), 1);
    assert_non_null(strstr(lines, " error left out 90 times: again %d\n"));
    assert_non_null(strstr(lines, " error again 100\n"));
    assert_int_equal(fb_log_messages(FB_LOG_ERROR) - errors, 101);
    free(lines);
}

#define FIVE(text) text "0 %d", text "1 %d", text "2 %d", text "3 %d", text "4 %d"
#define FIFTY(text)                                                                                \
    FIVE(text "0"), FIVE(text "1"), FIVE(text "2"), FIVE(text "3"), FIVE(text "4"),                \
        FIVE(text "5"), FIVE(text "6"), FIVE(text "7"), FIVE(text "8"), FIVE(text "9")

static void more_messages_than_are_remembered_lose_none_unsaid(void **state)
{
    (void)state;
    static const char *const formats[] = {FIFTY("a"), FIFTY("b")};
    const unsigned each = FB_LOG_REPEATS_MAX + 7;
    fb_log_set_repeats_max(FB_LOG_REPEATS_MAX);
    capture_t capture = capture_begin();
    for (size_t f = 0; f < sizeof(formats) / sizeof(*formats); f++) {
        for (unsigned i = 0; i < each; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            fb_log_info(formats[f], i);
#pragma GCC diagnostic pop
        }
    }
    fb_log_settle(true);
    char *lines = capture_end(&capture);
    assert_int_equal(count_of(lines, " info left out 7 times: "), 100);
    assert_int_equal(count_of(lines, "\n"), 100 * (FB_LOG_REPEATS_MAX + 1));
    free(lines);
}

static void a_pipe_that_nobody_reads_delays_no_request_and_what_it_lacks_is_said(void **state)
{
    (void)state;
    static const fb_log_about_t about = {FB_SLICE("1"), {NULL, 0}};
    int ends[2], kept = dup(STDERR_FILENO);
    char text[65536 * 2 + 1];
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    uint64_t before = fb_log_dropped();
    for (int i = 0; i < 5000; i++)
        fb_log_request(&about, FB_LOG_INFO, "line %d", i);
    uint64_t dropped = fb_log_dropped() - before;
    ssize_t len = read(ends[0], text, sizeof(text) - 1);
    fb_log_request(&about, FB_LOG_INFO, "there again");
    ssize_t more = read(ends[0], text + len, sizeof(text) - 1 - (size_t)len);
    dup2(kept, STDERR_FILENO);
    assert_true(len > 0 && more > 0);
    text[len + more] = '\0';
    char said[100];
    snprintf(said, sizeof(said), " warning %llu lines of this log were dropped",
             (unsigned long long)dropped);
    assert_in_range(dropped, 1, 4999);
    assert_int_equal(count_of(text, " info line "), 5000 - dropped);
    assert_non_null(strstr(text, said));
    assert_non_null(strstr(text, "there again"));
    close(ends[0]);
    close(ends[1]);
    close(kept);
}

#define THREADS          4
#define LINES_PER_THREAD 500

static void *write_lines(void *argument)
{
    for (int i = 0; i < LINES_PER_THREAD; i++)
        fb_log_info("thread %d line %d %0*d", *(int *)argument, i, 1 + i % 300, 0);
    return NULL;
}

static void lines_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int numbers[THREADS], next[THREADS] = {0};
    capture_t capture = capture_begin();
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    char *lines = capture_end(&capture), *rest = lines;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        int thread, number, end = 0;
        int found = sscanf(line + FB_INSTANT_TEXT_BYTES, " info thread %d line %d %n", &thread,
                           &number, &end);
        assert_int_equal(found, 2);
        assert_int_equal(number, next[thread]++);
        size_t zeros = strspn(line + FB_INSTANT_TEXT_BYTES + end, "0");
        assert_int_equal(zeros, 1 + number % 300);
        assert_int_equal(line[FB_INSTANT_TEXT_BYTES + (size_t)end + zeros], '\0');
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES_PER_THREAD);
    free(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_has_an_instant_a_level_and_the_text, reset),
        cmocka_unit_test_setup(lines_above_the_level_are_dropped, reset),
        cmocka_unit_test_setup(levels_and_formats_are_read_by_their_names, reset),
        cmocka_unit_test_setup(a_text_of_any_bytes_stays_one_line, reset),
        cmocka_unit_test_setup(a_message_of_the_length_is_whole_and_a_longer_one_is_cut_and_says_so,
                               reset),
        cmocka_unit_test_setup(a_line_of_json_says_who_when_what_and_about_which_request, reset),
        cmocka_unit_test_setup(any_bytes_are_one_bounded_line_of_json, reset),
        cmocka_unit_test_setup(a_message_is_cut_between_characters, reset),
        cmocka_unit_test_setup(what_repeats_itself_is_left_out_and_said_so, reset),
        cmocka_unit_test_setup(more_messages_than_are_remembered_lose_none_unsaid, reset),
        cmocka_unit_test_setup(a_pipe_that_nobody_reads_delays_no_request_and_what_it_lacks_is_said,
                               reset),
        cmocka_unit_test_setup(lines_of_several_threads_do_not_mix, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
