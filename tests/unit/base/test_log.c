/* SPDX-License-Identifier: MIT */
#include "base/log.h"

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

static void levels_are_read_by_their_names(void **state)
{
    (void)state;
    assert_int_equal(fb_log_level_parse("error"), FB_LOG_ERROR);
    assert_int_equal(fb_log_level_parse("warning"), FB_LOG_WARNING);
    assert_int_equal(fb_log_level_parse("info"), FB_LOG_INFO);
    assert_int_equal(fb_log_level_parse("debug"), FB_LOG_DEBUG);
    assert_int_equal(fb_log_level_parse(""), -1);
    assert_int_equal(fb_log_level_parse("Info"), -1);
    assert_int_equal(fb_log_level_parse("information"), -1);
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

static void a_long_line_is_cut_and_says_so_and_a_short_one_is_whole(void **state)
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
        if (prefix + len + 1 <= 1000) {
            assert_int_equal(written, prefix + len + 1);
            assert_null(strstr(line, "[cut]"));
        } else {
            assert_true(written <= 1000 + strlen(" [cut]"));
            assert_string_equal(line + written - 8, "x [cut]\n");
        }
        free(line);
    }
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
        cmocka_unit_test(a_line_has_an_instant_a_level_and_the_text),
        cmocka_unit_test(lines_above_the_level_are_dropped),
        cmocka_unit_test(levels_are_read_by_their_names),
        cmocka_unit_test(a_text_of_any_bytes_stays_one_line),
        cmocka_unit_test(a_long_line_is_cut_and_says_so_and_a_short_one_is_whole),
        cmocka_unit_test(lines_of_several_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
