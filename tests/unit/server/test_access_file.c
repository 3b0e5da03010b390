/* SPDX-License-Identifier: MIT */
#include "server/access_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/random.h"
#include "tests/unit/server/capture.h"
#include "tests/unit/server/files.h"

#define TEXT_BYTES 65536
#define STEPS      3000

static atomic_bool is_over;
static fb_access_file_t file;

/* A write beyond the limit of files fails, and does not end the test. */
static int setup(void **state)
{
    (void)state;
    atomic_store(&is_over, false);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

static void open_well(const char *path)
{
    fb_error_t error = {0};
    assert_int_equal(fb_access_file_open(&file, path, &is_over, &error), FB_OK);
}

static bool write_text(const char *text, uint64_t lines)
{
    return fb_access_file_write(&file, text, strlen(text), lines);
}

static void assert_content(const char *path, const char *expected)
{
    static char text[TEXT_BYTES];
    int fd = open(path, O_RDONLY);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    assert_in_range(len, 0, sizeof(text) - 2);
    text[len] = '\0';
    close(fd);
    assert_string_equal(text, expected);
}

static void assert_counts(uint64_t lines, uint64_t lost)
{
    assert_int_equal(fb_count_read(&file.lines), lines);
    assert_int_equal(fb_count_read(&file.lost), lost);
}

/* Files of this process get no longer; 0: as long as they want. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_new_file_is_for_its_owner_and_group(void **state)
{
    (void)state;
    char path[64];
    struct stat status;
    snprintf(path, sizeof(path), "/tmp/fleetbit-test-access-%d", (int)getpid());
    mode_t before = umask(0);
    open_well(path);
    umask(before);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_true(write_text("a\nb\n", 2));
    assert_content(path, "a\nb\n");
    assert_counts(2, 0);
    fb_access_file_close(&file);
    open_well(path);
    assert_true(write_text("c\n", 1));
    assert_content(path, "a\nb\nc\n");
    fb_access_file_close(&file);
    assert_int_equal(unlink(path), 0);
}

static void a_path_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    fb_error_t error = {0};
    assert_int_equal(fb_access_file_open(&file, "/nowhere/a.log", &is_over, &error), FB_CONFIG);
    assert_string_equal(error.detail,
                        "log.access: /nowhere/a.log cannot be opened: No such file or directory");
}

static void a_pipe_without_a_reader_is_an_error_and_no_hang(void **state)
{
    (void)state;
    fb_error_t error = {0};
    char path[64];
    snprintf(path, sizeof(path), "/tmp/fleetbit-test-pipe-%d", (int)getpid());
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(fb_access_file_open(&file, path, &is_over, &error), FB_CONFIG);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    open_well(path);
    assert_int_equal(fcntl(file.fd, F_GETFL) & O_NONBLOCK, 0);
    fb_access_file_close(&file);
    close(reader);
    assert_int_equal(unlink(path), 0);
}

static void a_line_that_a_crash_has_torn_is_ended(void **state)
{
    (void)state;
    file_t torn = file_of("whole\nto", 8);
    open_well(torn.path);
    assert_true(write_text("a\n", 1));
    assert_content(torn.path, "whole\nto\na\n");
    assert_counts(1, 0);
    fb_access_file_close(&file);
    file_remove(&torn);
}

static void a_write_that_fails_within_a_line_is_finished_later(void **state)
{
    (void)state;
    file_t target = file_of("", 0);
    capture_t *capture = capture_begin();
    open_well(target.path);
    limit_files(9);
    assert_true(write_text("first\nsecond\nthird\nfourth\n", 4));
    assert_content(target.path, "first\nsec");
    assert_counts(1, 2);
    assert_false(write_text("fifth\n", 1));
    assert_counts(1, 3);
    limit_files(0);
    assert_true(write_text("sixth\n", 1));
    assert_content(target.path, "first\nsecond\nsixth\n");
    assert_counts(3, 3);
    assert_int_equal(capture_count(capture, "cannot be written: File too large"), 1);
    capture_end(capture);
    fb_access_file_close(&file);
    file_remove(&target);
}

static void a_failure_is_said_once_and_so_is_its_end(void **state)
{
    (void)state;
    file_t target = file_of("", 0);
    capture_t *capture = capture_begin();
    open_well(target.path);
    for (int round = 1; round <= 2; round++) {
        limit_files(1);
        for (int i = 0; i < 3; i++)
            write_text("line\n", 1);
        limit_files(0);
        usleep(1100000);
        assert_true(write_text("line\n", 1));
        assert_true(write_text("line\n", 1));
        assert_int_equal(capture_count(capture, "cannot be written"), round);
        assert_int_equal(capture_count(capture, "is written again"), round);
    }
    capture_end(capture);
    fb_access_file_close(&file);
    file_remove(&target);
}

static void a_full_device_loses_all_and_counts_it(void **state)
{
    (void)state;
    capture_t *capture = capture_begin();
    open_well("/dev/full");
    for (int i = 0; i < 10; i++)
        assert_false(write_text("a\nb\nc\n", 3));
    assert_counts(0, 30);
    assert_int_equal(capture_count(capture, "cannot be written: No space left on device"), 1);
    capture_end(capture);
    fb_access_file_close(&file);
}

static void a_file_that_was_renamed_is_left_for_a_new_one(void **state)
{
    (void)state;
    char renamed[80];
    fb_error_t error = {0};
    file_t target = file_of("", 0);
    snprintf(renamed, sizeof(renamed), "%s.1", target.path);
    open_well(target.path);
    assert_true(write_text("old\n", 1));
    assert_int_equal(rename(target.path, renamed), 0);
    assert_true(write_text("still old\n", 1));
    assert_int_equal(fb_access_file_reopen(&file, &error), FB_OK);
    assert_true(write_text("new\n", 1));
    assert_content(renamed, "old\nstill old\n");
    assert_content(target.path, "new\n");
    assert_counts(3, 0);
    fb_access_file_close(&file);
    assert_int_equal(unlink(renamed), 0);
    file_remove(&target);
}

/* Whatever fails where: each line is there once and whole, or counted. */
static void no_line_is_torn_wherever_writes_fail(void **state)
{
    (void)state;
    static char text[TEXT_BYTES * 8];
    chance_t chance = chance_init();
    file_t target = file_of("", 0);
    capture_t *capture = capture_begin();
    uint64_t put = 0, found = 0, last = 0;
    open_well(target.path);
    for (int i = 0; i < STEPS; i++) {
        char lines[512] = "";
        struct stat status;
        uint64_t count = 1 + chance_below(&chance, 5);
        assert_int_equal(fstat(file.fd, &status), 0);
        if (chance_below(&chance, 2) == 0)
            limit_files((rlim_t)status.st_size + chance_below(&chance, 60) + 1);
        for (uint64_t k = 0; k < count; k++)
            sprintf(lines + strlen(lines), "%llu is a line\n", (unsigned long long)++put);
        write_text(lines, count);
        limit_files(0);
    }
    assert_true(write_text("0 is a line\n", 0));
    capture_end(capture);
    assert_int_equal(fb_count_read(&file.lines) + fb_count_read(&file.lost), put);
    fb_access_file_close(&file);
    FILE *input = fopen(target.path, "r");
    while (fgets(text, sizeof(text), input) != NULL) {
        char *rest;
        uint64_t number = strtoull(text, &rest, 10);
        assert_string_equal(rest, " is a line\n");
        assert_true(number > last || number == 0);
        last = number;
        found += number != 0;
    }
    fclose(input);
    assert_int_equal(found, fb_count_read(&file.lines));
    assert_in_range(found, put / 10, put - put / 10);
    file_remove(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_new_file_is_for_its_owner_and_group, setup),
        cmocka_unit_test_setup(a_path_that_cannot_be_opened_is_named, setup),
        cmocka_unit_test_setup(a_pipe_without_a_reader_is_an_error_and_no_hang, setup),
        cmocka_unit_test_setup(a_line_that_a_crash_has_torn_is_ended, setup),
        cmocka_unit_test_setup(a_write_that_fails_within_a_line_is_finished_later, setup),
        cmocka_unit_test_setup(a_failure_is_said_once_and_so_is_its_end, setup),
        cmocka_unit_test_setup(a_full_device_loses_all_and_counts_it, setup),
        cmocka_unit_test_setup(a_file_that_was_renamed_is_left_for_a_new_one, setup),
        cmocka_unit_test_setup(no_line_is_torn_wherever_writes_fail, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
