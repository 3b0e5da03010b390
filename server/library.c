/* SPDX-License-Identifier: MIT */
#include "server/library.h"

#include <dlfcn.h>
#include <elf.h>
#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <h2o.h>

#include "base/assert.h"

_Static_assert(H2O_VERSION_MAJOR == 2 && H2O_VERSION_MINOR == 2 && H2O_VERSION_PATCH == 5 &&
                   H2O_LIBRARY_VERSION_MAJOR == 0 && H2O_LIBRARY_VERSION_MINOR == 13 &&
                   H2O_LIBRARY_VERSION_PATCH == 5,
               "functions of exactly this libh2o are replaced, and its private structures known");

#define LIBRARY_FILE "libh2o-evloop.so.0.13.5"

static struct {
    const char *name;
    const void *ours, *theirs;
} replaced[FB_LIBRARY_REPLACED_MAX];

static unsigned replaced_count;

void *fb_library_replace(const char *name, const void *ours)
{
    void *theirs = dlsym(RTLD_NEXT, name);
    fb_assert(replaced_count < FB_LIBRARY_REPLACED_MAX);
    replaced[replaced_count].name = name;
    replaced[replaced_count].ours = ours;
    replaced[replaced_count++].theirs = theirs;
    return theirs;
}

/* What a call of the function from within the library reaches: the entry of its jump table. */
static const void *reached_from(const struct link_map *map, const char *name)
{
    const ElfW(Rela) *relocations = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    size_t bytes = 0;
    bool with_addends = false;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        const void *at = (const void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_JMPREL)
            relocations = at;
        else if (entry->d_tag == DT_SYMTAB)
            symbols = at;
        else if (entry->d_tag == DT_STRTAB)
            names = at;
        else if (entry->d_tag == DT_PLTRELSZ)
            bytes = entry->d_un.d_val;
        else if (entry->d_tag == DT_PLTREL)
            with_addends = entry->d_un.d_val == DT_RELA;
    }
    if (relocations == NULL || symbols == NULL || names == NULL || !with_addends)
        return NULL;
    for (size_t i = 0; i < bytes / sizeof(*relocations); i++) {
        const ElfW(Sym) *symbol = &symbols[ELF64_R_SYM(relocations[i].r_info)];
        if (strcmp(names + symbol->st_name, name) == 0)
            return *(void *const *)(map->l_addr + relocations[i].r_offset);
    }
    return NULL;
}

fb_code_t fb_library_check(fb_error_t *error)
{
    Dl_info found;
    struct link_map *map = NULL;
    char path[PATH_MAX];
    const void *known = dlsym(RTLD_DEFAULT, "h2o_http1_accept"); /* which nobody replaces */
    if (known == NULL || dladdr1(known, &found, (void **)&map, RTLD_DL_LINKMAP) == 0)
        return fb_fail(error, FB_CONFIG, "libh2o is not a shared library of this process");
    const char *file = realpath(map->l_name, path);
    const char *name = file != NULL ? strrchr(file, '/') : NULL;
    if (name == NULL || strcmp(name + 1, LIBRARY_FILE) != 0)
        return fb_fail(error, FB_CONFIG, "%s is loaded, but " LIBRARY_FILE " is needed",
                       map->l_name);
    for (unsigned i = 0; i < replaced_count; i++) {
        if (replaced[i].theirs == NULL || reached_from(map, replaced[i].name) != replaced[i].ours)
            return fb_fail(error, FB_CONFIG, "%s does not call our %s", name + 1, replaced[i].name);
    }
    return FB_OK;
}
