/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"

static void zeroed_memory_is_zero_and_grown_memory_keeps_its_bytes(void **state)
{
    (void)state;
    char *block = fb_alloc_zero(100, 10);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(block[i], 0);
    memset(block, 'k', 1000);
    block = fb_realloc(block, 100000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(block[i], 'k');
    free(block);
}

static void a_copied_text_is_another_text(void **state)
{
    (void)state;
    char text[] = "plate compactor";
    char *copy = fb_strdup(text);
    text[0] = 'P';
    assert_string_equal(copy, "plate compactor");
    free(copy);
}

/* Runs `act` in a child without stderr and returns how it ended, as waitpid tells it; its last
 * words go to `words` (at most `size`, with NUL). */
static int end_of_child(void (*act)(void), char *words, size_t size)
{
    int pipe_ends[2], status;
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        close(pipe_ends[0]);
        act();
        _exit(0);
    }
    close(pipe_ends[1]);
    size_t len = 0;
    for (ssize_t got; (got = read(pipe_ends[0], words + len, size - 1 - len)) > 0;)
        len += (size_t)got;
    words[len] = '\0';
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void break_a_promise(void)
{
    int days = 3;
    fb_assert(days > 0);
    fb_assert(days < 0);
}

static void a_broken_promise_ends_the_process_and_names_the_place(void **state)
{
    (void)state;
    char words[16384];
    int status = end_of_child(break_a_promise, words, sizeof(words));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(words, "assertion failed: days < 0 ("));
    assert_non_null(strstr(words, "test_memory.c:"));
}

static void ask_for_too_much(void)
{
    volatile size_t size = SIZE_MAX / 4;
    char *block = fb_alloc(size);
    block[0] = 'x';
}

static void grow_by_too_much(void)
{
    volatile size_t size = SIZE_MAX / 4;
    char *block = fb_realloc(NULL, size);
    block[0] = 'x';
}

static void without_memory_the_process_ends(void **state)
{
    (void)state;
    char words[16384];
    int status = end_of_child(ask_for_too_much, words, sizeof(words));
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(strlen(words) > 0);
    status = end_of_child(grow_by_too_much, words, sizeof(words));
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(strlen(words) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_memory_is_zero_and_grown_memory_keeps_its_bytes),
        cmocka_unit_test(a_copied_text_is_another_text),
        cmocka_unit_test(a_broken_promise_ends_the_process_and_names_the_place),
        cmocka_unit_test(without_memory_the_process_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
