/* SPDX-License-Identifier: MIT */
#include "server/access_log.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "tests/unit/server/access_fixture.h"
#include "tests/unit/server/capture.h"
#include "tests/unit/server/files.h"

#define LOOPS        4
#define EACH         50000
#define PIPE_BYTES   1048576
#define LINE_AT_MOST 400

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static fb_access_log_t *log_to(const char *path, unsigned loops)
{
    fb_access_log_t *log = NULL;
    fb_error_t error = {0};
    assert_int_equal(fb_access_log_create(path, loops, &log, &error), FB_OK);
    return log;
}

typedef struct {
    fb_access_ring_t *ring;
    uint64_t number, count;
} loop_t;

static void *produce(void *context)
{
    const loop_t *loop = context;
    fb_access_t access = usual_access();
    access.status = 100 + (unsigned)loop->number;
    for (uint64_t i = 0; i < loop->count; i++) {
        access.body_bytes = i;
        put_access(loop->ring, &access, fb_clock_monotonic_ns());
    }
    return NULL;
}

static bool has_counts(const fb_access_log_t *log, uint64_t lines, uint64_t dropped)
{
    fb_access_counts_t counts = fb_access_log_counts(log);
    return counts.lines == lines && counts.dropped == dropped;
}

static void await_counts(const fb_access_log_t *log, uint64_t lines, uint64_t dropped)
{
    uint64_t deadline_ms = fb_clock_monotonic_ms() + 20000;
    while (!has_counts(log, lines, dropped) && fb_clock_monotonic_ms() < deadline_ms)
        usleep(1000);
    assert_true(has_counts(log, lines, dropped));
}

static void lines_of_several_loops_are_whole_and_in_the_order_of_each(void **state)
{
    (void)state;
    file_t target = file_of("", 0);
    fb_access_log_t *log = log_to(target.path, LOOPS);
    loop_t loops[LOOPS];
    pthread_t threads[LOOPS];
    uint64_t next[LOOPS] = {0}, lines = 0, dropped = 0;
    char line[LINE_AT_MOST];
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i] = (loop_t){fb_access_log_ring(log, i), i, EACH};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &loops[i]), 0);
    }
    for (unsigned i = 0; i < LOOPS; i++)
        pthread_join(threads[i], NULL);
    fb_access_log_destroy(&log);
    assert_null(log);
    FILE *input = fopen(target.path, "r");
    while (fgets(line, sizeof(line), input) != NULL) {
        unsigned long long bytes, more;
        unsigned status;
        if (sscanf(line, "{\"time\":\"%*[^\"]\",\"dropped\":%llu}\n", &more) == 1) {
            dropped += more;
            continue;
        }
        const char *rest = strstr(line, ",\"status\":");
        assert_non_null(rest);
        assert_int_equal(sscanf(rest, ",\"status\":%u,\"body_bytes\":%llu,", &status, &bytes), 2);
        assert_in_range(status, 100, 100 + LOOPS - 1);
        assert_in_range(bytes, next[status - 100], EACH - 1);
        next[status - 100] = bytes + 1;
        lines++;
    }
    fclose(input);
    assert_int_equal(lines + dropped, LOOPS * EACH);
    assert_true(lines >= EACH);
    file_remove(&target);
}

static void a_line_is_there_soon_and_the_wall_clock_is_right(void **state)
{
    (void)state;
    file_t target = file_of("", 0);
    fb_access_log_t *log = log_to(target.path, 1);
    fb_access_t access = usual_access();
    char line[LINE_AT_MOST], text[FB_INSTANT_TEXT_BYTES];
    fb_instant_t before = fb_clock_now(), instant;
    put_access(fb_access_log_ring(log, 0), &access, fb_clock_monotonic_ns());
    await_counts(log, 1, 0);
    FILE *input = fopen(target.path, "r");
    assert_non_null(fgets(line, sizeof(line), input));
    fclose(input);
    memcpy(text, line + strlen("{\"time\":\""), sizeof(text));
    text[sizeof(text) - 1] = 'Z';
    assert_true(fb_instant_parse((fb_slice_t){text, sizeof(text)}, &instant));
    assert_in_range(instant, before - 2, fb_clock_now());
    fb_access_log_destroy(&log);
    file_remove(&target);
}

static void a_full_device_costs_lines_and_nothing_else(void **state)
{
    (void)state;
    capture_t *capture = capture_begin();
    fb_access_log_t *log = log_to("/dev/full", 1);
    loop_t loop = {fb_access_log_ring(log, 0), 0, 1000};
    produce(&loop);
    await_counts(log, 0, 1000);
    produce(&loop);
    await_counts(log, 0, 2000);
    fb_access_log_destroy(&log);
    assert_int_equal(capture_count(capture, "cannot be written: No space left on device"), 1);
    assert_int_equal(capture_count(capture, "ends without 2000 lines"), 1);
    capture_end(capture);
}

typedef struct {
    char path[64];
    int reader;
} fifo_t;

static fifo_t fifo_of(void)
{
    fifo_t fifo;
    snprintf(fifo.path, sizeof(fifo.path), "/tmp/fleetbit-test-fifo-%d", (int)getpid());
    assert_int_equal(mkfifo(fifo.path, 0600), 0);
    fifo.reader = open(fifo.path, O_RDONLY | O_NONBLOCK);
    assert_true(fifo.reader >= 0);
    return fifo;
}

static void fifo_remove(const fifo_t *fifo)
{
    close(fifo->reader);
    assert_int_equal(unlink(fifo->path), 0);
}

/* Counts lines and what was dropped, as the reader of the pipe sees them. */
static void read_all(int fd, uint64_t *lines, uint64_t *dropped)
{
    static char text[PIPE_BYTES];
    static size_t kept;
    ssize_t len;
    while ((len = read(fd, text + kept, sizeof(text) - kept)) > 0) {
        char *at = text, *end, *all = text + kept + len;
        for (; (end = memchr(at, '\n', (size_t)(all - at))) != NULL; at = end + 1) {
            unsigned long long more;
            assert_int_equal(end[-1], '}');
            *end = '\0';
            if (sscanf(at, "{\"time\":\"%*[^\"]\",\"dropped\":%llu}", &more) == 1)
                *dropped += more;
            else
                (*lines)++;
        }
        kept = (size_t)(all - at);
        memmove(text, at, kept);
    }
}

static void who_does_not_read_blocks_no_loop_and_is_told_what_was_dropped(void **state)
{
    (void)state;
    fifo_t fifo = fifo_of();
    fb_access_log_t *log = log_to(fifo.path, 2);
    uint64_t lines = 0, dropped = 0, put = 0;
    uint64_t deadline_ms = fb_clock_monotonic_ms() + 30000;
    loop_t loop = {fb_access_log_ring(log, 1), 0, 1000};
    while (fb_access_log_counts(log).dropped < 10000) {
        produce(&loop);
        put += loop.count;
    }
    while (lines + dropped < put && fb_clock_monotonic_ms() < deadline_ms) {
        read_all(fifo.reader, &lines, &dropped);
        usleep(1000);
    }
    assert_int_equal(lines + dropped, put);
    assert_true(dropped >= 10000 && lines >= 10000);
    await_counts(log, lines, dropped);
    fb_access_log_destroy(&log);
    fifo_remove(&fifo);
}

static void the_end_does_not_wait_for_who_does_not_read(void **state)
{
    (void)state;
    fifo_t fifo = fifo_of();
    capture_t *capture = capture_begin();
    fb_access_log_t *log = log_to(fifo.path, 1);
    loop_t loop = {fb_access_log_ring(log, 0), 0, 10000};
    produce(&loop);
    uint64_t begun_ms = fb_clock_monotonic_ms();
    fb_access_log_destroy(&log);
    assert_in_range(fb_clock_monotonic_ms() - begun_ms, FB_ACCESS_END_MS, 3 * FB_ACCESS_END_MS);
    assert_int_equal(capture_count(capture, " ends without "), 1);
    assert_int_equal(capture_count(capture, "cannot be written"), 0);
    capture_end(capture);
    fifo_remove(&fifo);
}

static void a_reader_that_goes_costs_lines_and_one_message(void **state)
{
    (void)state;
    fifo_t fifo = fifo_of();
    capture_t *capture = capture_begin();
    fb_access_log_t *log = log_to(fifo.path, 1);
    loop_t loop = {fb_access_log_ring(log, 0), 0, 10};
    uint64_t lines = 0, dropped = 0;
    produce(&loop);
    await_counts(log, 10, 0);
    read_all(fifo.reader, &lines, &dropped);
    close(fifo.reader);
    produce(&loop);
    await_counts(log, 10, 10);
    fifo.reader = open(fifo.path, O_RDONLY | O_NONBLOCK);
    produce(&loop);
    await_counts(log, 20, 10);
    read_all(fifo.reader, &lines, &dropped);
    assert_int_equal(lines, 20);
    assert_int_equal(dropped, 10);
    fb_access_log_destroy(&log);
    assert_int_equal(capture_count(capture, "cannot be written: Broken pipe"), 1);
    capture_end(capture);
    fifo_remove(&fifo);
}

static void a_log_that_is_renamed_again_and_again_loses_no_line(void **state)
{
    (void)state;
    file_t target = file_of("", 0);
    fb_access_log_t *log = log_to(target.path, 1);
    loop_t loop = {fb_access_log_ring(log, 0), 0, 10000};
    char renamed[80], line[LINE_AT_MOST];
    uint64_t lines = 0;
    for (int i = 0; i < 5; i++) {
        snprintf(renamed, sizeof(renamed), "%s.%d", target.path, i);
        produce(&loop);
        assert_int_equal(rename(target.path, renamed), 0);
        fb_access_log_reopen(log);
        while (access(target.path, F_OK) != 0)
            usleep(1000);
    }
    fb_access_log_destroy(&log);
    for (int i = 0; i < 6; i++) {
        snprintf(renamed, sizeof(renamed), "%s.%d", target.path, i);
        const char *path = i < 5 ? renamed : target.path;
        FILE *input = fopen(path, "r");
        assert_non_null(input);
        while (fgets(line, sizeof(line), input) != NULL)
            lines++;
        fclose(input);
        unlink(path);
    }
    assert_int_equal(lines, 5 * loop.count);
}

static void without_a_log_nothing_is_counted(void **state)
{
    (void)state;
    assert_true(has_counts(NULL, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_several_loops_are_whole_and_in_the_order_of_each),
        cmocka_unit_test(a_line_is_there_soon_and_the_wall_clock_is_right),
        cmocka_unit_test(a_full_device_costs_lines_and_nothing_else),
        cmocka_unit_test(who_does_not_read_blocks_no_loop_and_is_told_what_was_dropped),
        cmocka_unit_test(the_end_does_not_wait_for_who_does_not_read),
        cmocka_unit_test(a_reader_that_goes_costs_lines_and_one_message),
        cmocka_unit_test(a_log_that_is_renamed_again_and_again_loses_no_line),
        cmocka_unit_test(without_a_log_nothing_is_counted),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
