/* SPDX-License-Identifier: MIT */
/* The yardstick of a range of days: how fast this machine reads and writes the bytes of its
 * bitmaps, if nothing is done with them.
 *
 *     memory --pool BYTES --copy BYTES --seconds SECONDS
 *
 * Copies, from anywhere in a pool as large as all bitmaps of a fleet, as many bytes as one request
 * must read, again and again. Prints, as one line of JSON, how often, and in how much CPU. */
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/yardstick.h"

#define PAGE_BYTES 1024 /* of a bitmap */

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static char *allocate(size_t bytes, char content)
{
    char *area = malloc(bytes);
    if (area == NULL)
        yardstick_fail("cannot allocate", strerror(errno));
    memset(area, content, bytes); /* so that all of its pages are there */
    return area;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"pool", required_argument, NULL, 'p'},
        {"copy", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    size_t pool_bytes = 0, copy_bytes = 0;
    double seconds = 1;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'p')
            pool_bytes = yardstick_number(optarg, SIZE_MAX);
        else if (option == 'c')
            copy_bytes = yardstick_number(optarg, SIZE_MAX);
        else if (option == 's')
            seconds = strtod(optarg, NULL);
        else
            exit(2);
    }
    if (copy_bytes == 0 || pool_bytes < copy_bytes) {
        fputs("usage: memory --pool BYTES --copy BYTES --seconds SECONDS\n", stderr);
        exit(2);
    }
    char *pool = allocate(pool_bytes, 1), *copy = allocate(copy_bytes, 2);
    uint64_t places = (pool_bytes - copy_bytes) / PAGE_BYTES + 1, state = 88172645463325252;
    uint64_t copies = 0, checked = 0, begun = cpu_ns(), now = begun;
    while (now - begun < (uint64_t)(seconds * 1e9)) {
        memcpy(copy, pool + next_random(&state) % places * PAGE_BYTES, copy_bytes);
        checked += (uint64_t)copy[copies % copy_bytes]; /* so that no copy can be left out */
        copies++;
        now = cpu_ns();
    }
    if (checked != copies)
        return 1;
    printf("{\"requests\": %llu, \"cpu_seconds\": %.9f}\n", (unsigned long long)copies,
           (double)(now - begun) / 1e9);
}
