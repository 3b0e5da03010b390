/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/persistence/fixture.h"

/* The program itself, as a process that starts a private Redis and waits to be killed:
 *
 *     test_private_redis --hold DIRECTORY     prints the pid of the redis-server */
static int hold(const char *directory)
{
    fb_private_redis_t *redis;
    fb_error_t error = {0};
    if (fb_private_redis_start(directory, NULL, &redis, &error) != FB_OK) {
        fprintf(stderr, "%s\n", error.detail);
        return 1;
    }
    printf("%ld\n", (long)fb_private_redis_pid(redis));
    fflush(stdout);
    pause();
    return 0;
}

/* Starts such a process; `*redis` is the pid of its redis-server. */
static pid_t start_holder(const char *directory, pid_t *redis)
{
    int pipes[2];
    char text[32] = {0};
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        execl("/proc/self/exe", "test_private_redis", "--hold", directory, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    assert_true(read(pipes[0], text, sizeof(text) - 1) > 0);
    close(pipes[0]);
    *redis = (pid_t)strtol(text, NULL, 10);
    assert_true(*redis > 0);
    return pid;
}

/* One that nobody has reaped yet is gone too. */
static bool lives(pid_t pid)
{
    char path[40], state = 'Z';
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    if (file != NULL && fscanf(file, "%*d %*s %c", &state) != 1)
        state = 'Z';
    if (file != NULL)
        fclose(file);
    return state != 'Z';
}

static void assert_gone_within(pid_t pid, unsigned ms)
{
    uint64_t deadline = fb_clock_monotonic_ms() + ms;
    while (lives(pid)) {
        if (fb_clock_monotonic_ms() >= deadline)
            fail_msg("process %ld still lives", (long)pid);
        pause_ms(5);
    }
}

/* Waits until another process than `old` answers; its pid. */
static pid_t wait_for_another(fb_private_redis_t *redis, pid_t old)
{
    uint64_t deadline = fb_clock_monotonic_ms() + 10000;
    fb_redis_link_t *link = link_create(fb_private_redis_url(redis));
    fb_error_t error;
    for (bool fresh, answered = false; !answered;) {
        fb_slice_t words[] = {FB_SLICE("PING")};
        redisReply *reply = NULL;
        pid_t pid = fb_private_redis_pid(redis);
        answered = pid != 0 && pid != old && fb_redis_link_open(link, &fresh, &error) == FB_OK &&
                   fb_redis_link_call(link, words, 1, &reply, &error) == FB_OK;
        freeReplyObject(reply);
        assert_true(fb_clock_monotonic_ms() < deadline);
        pause_ms(5);
    }
    fb_redis_link_destroy(&link);
    return fb_private_redis_pid(redis);
}

static const char *answer_once(fb_private_redis_t *redis, const char *command)
{
    fb_redis_link_t *link = link_create(fb_private_redis_url(redis));
    const char *text = answer(link, command);
    fb_redis_link_destroy(&link);
    return text;
}

/* DIR/appendonlydir/NAME of the file that ends so. */
static void find_file(const char *directory, const char *ending, char path[600])
{
    char folder[300];
    bool found = false;
    snprintf(folder, sizeof(folder), "%s/appendonlydir", directory);
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        size_t len = strlen(entry->d_name), tail = strlen(ending);
        if (len >= tail && strcmp(entry->d_name + len - tail, ending) == 0) {
            snprintf(path, 600, "%s/%s", folder, entry->d_name);
            found = true;
        }
    }
    closedir(entries);
    assert_true(found);
}

static int make_directory(void **state)
{
    char *directory = malloc(32);
    directory_create(directory);
    *state = directory;
    return 0;
}

static int remove_directory(void **state)
{
    directory_remove(*state);
    free(*state);
    return 0;
}

static void it_answers_with_the_promised_settings(void **state)
{
    char path[100];
    fb_private_redis_t *redis;
    struct stat status;
    snprintf(path, sizeof(path), "%s/data", (char *)*state);
    assert_ok(fb_private_redis_start(path, NULL, &redis, error));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    snprintf(path, sizeof(path), "%s/data/redis.sock", (char *)*state);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_string_equal(answer_once(redis, "CONFIG GET appendonly"), "appendonly yes");
    assert_string_equal(answer_once(redis, "CONFIG GET appendfsync"), "appendfsync always");
    assert_string_equal(answer_once(redis, "CONFIG GET aof-load-truncated"),
                        "aof-load-truncated no");
    assert_string_equal(answer_once(redis, "CONFIG GET no-appendfsync-on-rewrite"),
                        "no-appendfsync-on-rewrite no");
    assert_string_equal(answer_once(redis, "CONFIG GET save"), "save ");
    assert_string_equal(answer_once(redis, "CONFIG GET port"), "port 0");
    fb_private_redis_stop(&redis);
}

static void it_keeps_its_data_over_a_stop(void **state)
{
    fb_private_redis_t *redis;
    char path[100];
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    pid_t pid = fb_private_redis_pid(redis);
    assert_string_equal(answer_once(redis, "SET key value"), "OK");
    fb_private_redis_stop(&redis);
    assert_null(redis);
    assert_false(lives(pid));
    snprintf(path, sizeof(path), "%s/redis.sock", (char *)*state);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    assert_string_equal(answer_once(redis, "GET key"), "value");
    fb_private_redis_stop(&redis);
    fb_private_redis_stop(&redis);
}

static void a_second_server_is_refused_and_told_who_is_there(void **state)
{
    fb_private_redis_t *redis, *second;
    fb_private_redis_options_t options = {.lock_wait_ms = 200};
    fb_error_t fault = {0};
    pid_t redis_pid;
    char expected[50];
    pid_t holder = start_holder(*state, &redis_pid);
    uint64_t before = fb_clock_monotonic_ms();
    assert_int_equal(fb_private_redis_start(*state, &options, &second, &fault), FB_IN_USE);
    assert_true(fb_clock_monotonic_ms() - before >= 200);
    assert_null(second);
    snprintf(expected, sizeof(expected), "process %ld,", (long)holder);
    assert_non_null(strstr(fault.detail, expected));
    assert_true(lives(redis_pid));
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    /* A successor waits for the redis-server that is just ending. */
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    assert_false(lives(redis_pid));
    fb_private_redis_stop(&redis);
}

static void it_ends_with_a_process_that_is_killed(void **state)
{
    char path[100];
    pid_t redis_pid;
    pid_t holder = start_holder(*state, &redis_pid);
    snprintf(path, sizeof(path), "%s/lock", (char *)*state);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_not_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    uint64_t deadline = fb_clock_monotonic_ms() + 5000;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        assert_true(fb_clock_monotonic_ms() < deadline);
        pause_ms(5);
    }
    assert_gone_within(redis_pid, 1000);
    close(fd);
}

static void the_lock_lives_as_long_as_its_redis(void **state)
{
    fb_private_redis_t *redis;
    fb_private_redis_options_t options = {.lock_wait_ms = 300};
    pid_t redis_pid;
    pid_t holder = start_holder(*state, &redis_pid);
    /* It does not end before it has done this. */
    fb_slice_t busy[] = {FB_SLICE("EVAL"), FB_SLICE("for i = 1, 400000000 do end"), FB_SLICE("0")};
    char url[100];
    bool fresh;
    snprintf(url, sizeof(url), "unix://%s/redis.sock", (char *)*state);
    fb_redis_link_t *link = link_create(url);
    assert_ok(fb_redis_link_open(link, &fresh, error));
    fb_redis_link_append(link, busy, 3);
    assert_ok(fb_redis_link_flush(link, error));
    pause_ms(50);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_code(FB_IN_USE, fb_private_redis_start(*state, &options, &redis, error));
    assert_true(lives(redis_pid));
    fb_redis_link_destroy(&link);
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    fb_private_redis_stop(&redis);
}

static void it_comes_back_with_its_data_when_it_is_killed(void **state)
{
    fb_private_redis_t *redis;
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    pid_t pid = fb_private_redis_pid(redis);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_not_equal(answer_once(redis, "INCR key"), "-");
        assert_int_equal(kill(pid, SIGKILL), 0);
        pid = wait_for_another(redis, pid);
    }
    assert_string_equal(answer_once(redis, "GET key"), "3");
    fb_private_redis_stop(&redis);
    assert_false(lives(pid));
}

static void an_unfinished_write_at_the_end_of_its_file_is_cut_off(void **state)
{
    char path[600];
    struct stat status;
    fb_private_redis_t *redis;
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    assert_string_equal(answer_once(redis, "SET key whole"), "OK");
    assert_string_equal(answer_once(redis, "SET key torn"), "OK");
    fb_private_redis_stop(&redis);
    find_file(*state, ".incr.aof", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size - 5), 0);
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    assert_string_equal(answer_once(redis, "GET key"), "whole");
    assert_string_equal(answer_once(redis, "CONFIG GET aof-load-truncated"),
                        "aof-load-truncated no");
    fb_private_redis_stop(&redis);
}

static void append_bytes(const char *path, const char *bytes)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    close(fd);
}

static void a_damaged_file_is_told_and_not_touched(void **state)
{
    char path[600];
    struct stat before, after;
    fb_private_redis_t *redis;
    fb_error_t fault = {0};
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    assert_string_equal(answer_once(redis, "SET key value"), "OK");
    fb_private_redis_stop(&redis);
    find_file(*state, ".incr.aof", path);
    append_bytes(path, "garbage\r\n");
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(fb_private_redis_start(*state, NULL, &redis, &fault), FB_UNAVAILABLE);
    assert_null(redis);
    assert_non_null(strstr(fault.detail, "Bad file format"));
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
}

static void one_that_cannot_start_is_tried_until_it_can(void **state)
{
    char path[600];
    struct stat status;
    fb_private_redis_t *redis;
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    assert_string_equal(answer_once(redis, "SET key value"), "OK");
    find_file(*state, ".incr.aof", path);
    assert_int_equal(stat(path, &status), 0);
    append_bytes(path, "garbage\r\n");
    pid_t pid = fb_private_redis_pid(redis);
    assert_int_equal(kill(pid, SIGKILL), 0);
    pause_ms(1000);
    assert_int_equal(truncate(path, status.st_size), 0);
    wait_for_another(redis, pid);
    assert_string_equal(answer_once(redis, "GET key"), "value");
    fb_private_redis_stop(&redis);
}

static void a_stop_between_two_attempts_does_not_wait(void **state)
{
    char path[600];
    fb_private_redis_t *redis;
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    assert_string_equal(answer_once(redis, "SET key value"), "OK");
    find_file(*state, ".incr.aof", path);
    append_bytes(path, "garbage\r\n");
    assert_int_equal(kill(fb_private_redis_pid(redis), SIGKILL), 0);
    pause_ms(1000);
    uint64_t before = fb_clock_monotonic_ms();
    fb_private_redis_stop(&redis);
    assert_true(fb_clock_monotonic_ms() - before < 500);
}

static void one_that_does_not_end_is_killed(void **state)
{
    fb_private_redis_t *redis;
    fb_private_redis_options_t options = {.stop_wait_ms = 200};
    assert_ok(fb_private_redis_start(*state, &options, &redis, error));
    pid_t pid = fb_private_redis_pid(redis);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    fb_private_redis_stop(&redis);
    assert_false(lives(pid));
}

/* An executable file in the directory. */
static void write_script(const char *directory, const char *text, char path[100])
{
    snprintf(path, 100, "%s/redis-script", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void a_start_waits_until_all_is_loaded(void **state)
{
    char path[100], command[3000];
    fb_private_redis_t *redis;
    fb_private_redis_options_t options = {.binary = path};
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    for (unsigned i = 0; i < 8; i++) {
        snprintf(command, sizeof(command), "SET key%u %02000u", i, i);
        assert_string_equal(answer_once(redis, command), "OK");
    }
    fb_private_redis_stop(&redis);
    write_script(*state,
                 "#!/bin/sh\nexec redis-server \"$@\" --key-load-delay 100000 "
                 "--loading-process-events-interval-bytes 1024\n",
                 path);
    uint64_t before = fb_clock_monotonic_ms();
    assert_ok(fb_private_redis_start(*state, &options, &redis, error));
    assert_true(fb_clock_monotonic_ms() - before >= 700);
    assert_int_equal(strlen(answer_once(redis, "GET key7")), 2000);
    fb_private_redis_stop(&redis);
}

static void one_that_does_not_answer_in_time_is_given_up(void **state)
{
    char path[100];
    fb_private_redis_t *redis;
    fb_private_redis_options_t options = {.binary = path, .ready_wait_ms = 300};
    write_script(*state, "#!/bin/sh\nexec sleep 60\n", path);
    assert_code(FB_UNAVAILABLE, fb_private_redis_start(*state, &options, &redis, error));
    assert_null(redis);
}

static void a_binary_that_is_missing_is_told(void **state)
{
    fb_private_redis_t *redis;
    fb_private_redis_options_t options = {.binary = "no-such-redis-server"};
    assert_code(FB_CONFIG, fb_private_redis_start(*state, &options, &redis, error));
    options.binary = "/nowhere/redis-server";
    assert_code(FB_CONFIG, fb_private_redis_start(*state, &options, &redis, error));
    options.binary = *state;
    assert_code(FB_CONFIG, fb_private_redis_start(*state, &options, &redis, error));
    options.binary = "/bin/false";
    assert_code(FB_UNAVAILABLE, fb_private_redis_start(*state, &options, &redis, error));
}

static void a_directory_that_cannot_be_used_is_told(void **state)
{
    char path[200];
    fb_private_redis_t *redis;
    snprintf(path, sizeof(path), "%s/none/data", (char *)*state);
    assert_code(FB_IO, fb_private_redis_start(path, NULL, &redis, error));
    snprintf(path, sizeof(path), "%s/%0100d", (char *)*state, 7);
    fb_error_t fault = {0};
    assert_int_equal(fb_private_redis_start(path, NULL, &redis, &fault), FB_CONFIG);
    assert_non_null(strstr(fault.detail, "shorter"));
    snprintf(path, sizeof(path), "%s/file", (char *)*state);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    assert_code(FB_IO, fb_private_redis_start(path, NULL, &redis, error));
}

/* What the child must not inherit, and what it must be. */
static void its_process_is_a_clean_one(void **state)
{
    char path[100], link[300];
    fb_private_redis_t *redis;
    sigset_t blocked;
    int leak = open("/dev/null", O_RDONLY);
    assert_true(leak >= 0);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    assert_ok(fb_private_redis_start(*state, NULL, &redis, error));
    pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
    pid_t pid = fb_private_redis_pid(redis);
    assert_int_equal(getpgid(pid), pid);
    snprintf(path, sizeof(path), "/proc/%ld/fd/%d", (long)pid, leak);
    ssize_t len = readlink(path, link, sizeof(link) - 1);
    assert_true(len < 0 || strncmp(link, "/dev/null", 9) != 0);
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    FILE *status = fopen(path, "r");
    assert_non_null(status);
    unsigned long long mask = 1;
    while (fgets(link, sizeof(link), status) != NULL)
        sscanf(link, "SigBlk: %llx", &mask);
    fclose(status);
    assert_int_equal(mask, 0);
    close(leak);
    fb_private_redis_stop(&redis);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--hold") == 0)
        return hold(argv[2]);
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(it_answers_with_the_promised_settings),
        IN_DIRECTORY(it_keeps_its_data_over_a_stop),
        IN_DIRECTORY(a_second_server_is_refused_and_told_who_is_there),
        IN_DIRECTORY(it_ends_with_a_process_that_is_killed),
        IN_DIRECTORY(the_lock_lives_as_long_as_its_redis),
        IN_DIRECTORY(it_comes_back_with_its_data_when_it_is_killed),
        IN_DIRECTORY(an_unfinished_write_at_the_end_of_its_file_is_cut_off),
        IN_DIRECTORY(a_damaged_file_is_told_and_not_touched),
        IN_DIRECTORY(one_that_cannot_start_is_tried_until_it_can),
        IN_DIRECTORY(a_stop_between_two_attempts_does_not_wait),
        IN_DIRECTORY(one_that_does_not_end_is_killed),
        IN_DIRECTORY(a_start_waits_until_all_is_loaded),
        IN_DIRECTORY(one_that_does_not_answer_in_time_is_given_up),
        IN_DIRECTORY(a_binary_that_is_missing_is_told),
        IN_DIRECTORY(a_directory_that_cannot_be_used_is_told),
        IN_DIRECTORY(its_process_is_a_clean_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
