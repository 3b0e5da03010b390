/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_BYTES_MAX (1024 * 1024)

/* Gives one file to the fuzzer, in a block of exactly its size, so that a sanitizer sees a read
 * past its end. */
static void replay(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    uint8_t *room = fb_alloc(INPUT_BYTES_MAX);
    size_t size = fread(room, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    uint8_t *input = fb_realloc(room, size > 0 ? size : 1);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(input, size);
    free(input);
}

/* Goes through a corpus; the last line tells the count as cmocka would, for ./dev test. */
int main(int argc, char **argv)
{
    unsigned count = 0;
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        replay(argv[1], entry->d_name);
        count++;
    }
    closedir(folder);
    printf("[  PASSED  ] %u test(s).\n", count);
    return count > 0 ? 0 : 1;
}
