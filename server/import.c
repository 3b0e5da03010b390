/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/json_raw.h"
#include "base/memory.h"
#include "base/set_name.h"
#include "resources/registry.h"
#include "server/home.h"
#include "server/progress.h"
#include "server/run.h"

/* The seed files of the old system: {"factories": [{"factory": {...}}], "sprockets": [{...}]}. An
 * item is what a POST takes that makes one, of each family whose rows clients call by a noun. */
#define FILE_BYTES_MAX ((size_t)1 << 30)
#define BATCH_ITEMS    1000
#define BATCH_BYTES    ((size_t)8 << 20) /* of items; one may be larger */
#define NAME_BYTES     64
#define READ_BYTES     65536

typedef struct {
    char name[NAME_BYTES]; /* "factories" */
    fb_route_t route;      /* of the POST */
    fb_slice_t items;      /* `at` is NULL where the file has none of them */
} kind_t;

typedef struct {
    const char *path;
    fb_buffer_t text;
    kind_t kinds[FB_FAMILY_COUNT];
    const char *names[FB_FAMILY_COUNT];
    unsigned kind_count;
    uint64_t total, imported, refused;
    fb_progress_t progress;
    /* those that are to be committed together */
    fb_write_t writes[BATCH_ITEMS];
    fb_write_t *pointers[BATCH_ITEMS];
    uint64_t numbers[BATCH_ITEMS]; /* of the items */
    size_t count, bytes;
} import_t;

/* --- the file ---------------------------------------------------------------------------- */

static fb_code_t read_text(import_t *import, fb_error_t *error)
{
    bool is_stdin = strcmp(import->path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(import->path, "re");
    if (file == NULL)
        return fb_fail(error, FB_IO, "%s cannot be opened: %s", import->path, strerror(errno));
    size_t got = 0;
    do {
        got = fread(fb_buffer_reserve(&import->text, READ_BYTES), 1, READ_BYTES, file);
        import->text.len += got;
    } while (got > 0 && import->text.len <= FILE_BYTES_MAX);
    if (ferror(file))
        fb_fail(error, FB_IO, "%s cannot be read: %s", import->path, strerror(errno));
    else if (import->text.len > FILE_BYTES_MAX)
        fb_fail(error, FB_IO, "%s is longer than %zu bytes", import->path, FILE_BYTES_MAX);
    if (!is_stdin)
        fclose(file);
    return error->code;
}

static void find_kinds(import_t *import)
{
    for (unsigned family = 0; family < fb_registry_count(); family++) {
        fb_error_t error = {0};
        const fb_resource_t *resource = fb_registry_resource(family);
        kind_t *kind = &import->kinds[import->kind_count];
        if (resource->noun == NULL)
            continue;
        fb_set_name(resource->row_name, kind->name, sizeof(kind->name));
        fb_assert(fb_registry_route(FB_SLICE("POST"), fb_slice(resource->path), &kind->route,
                                    &error) == FB_OK);
        import->names[import->kind_count++] = kind->name;
    }
}

static fb_code_t read_items(fb_json_reader_t *reader, unsigned name, void *context,
                            fb_error_t *error)
{
    import_t *import = context;
    kind_t *kind = &import->kinds[name];
    fb_slice_t rest, item;
    if (fb_json_raw_value(reader, &kind->items, error) != FB_OK)
        return error->code;
    if (kind->items.at[0] != '[')
        return fb_fail_field(error, FB_MALFORMED, fb_slice(kind->name), "must be an array");
    for (rest = kind->items; fb_json_raw_next(&rest, &item);)
        import->total++;
    return FB_OK;
}

static fb_code_t read_file(import_t *import, fb_error_t *error)
{
    fb_json_reader_t reader;
    fb_error_t fault = {0};
    unsigned found;
    if (read_text(import, error) != FB_OK)
        return error->code;
    find_kinds(import);
    fb_json_raw_begin(&reader, fb_buffer_slice(&import->text));
    if (fb_json_raw_object(&reader, import->names, import->kind_count, read_items, import, &found,
                           &fault) == FB_OK)
        fb_json_raw_end_of_text(&reader, &fault);
    if (fault.code != FB_OK)
        return fb_fail(error, FB_MALFORMED, "%s is no seed file: %s", import->path, fault.detail);
    if (found == 0)
        return fb_fail(error, FB_MALFORMED,
                       "%s is no seed file: {\"factories\": [...], \"sprockets\": [...]}, or one "
                       "of both, is expected",
                       import->path);
    return FB_OK;
}

/* --- its items --------------------------------------------------------------------------- */

static void refuse(import_t *import, const kind_t *kind, uint64_t number, const fb_error_t *error)
{
    char text[NAME_BYTES + FB_ERROR_DETAIL_BYTES + 40];
    import->refused++;
    fb_progress_end(&import->progress);
    snprintf(text, sizeof(text), "%s, item %llu: %s", kind->name, (unsigned long long)number,
             error->detail);
    fb_print_error(text);
}

/* Commits what was gathered. Where Redis is lost, what is not known to have landed is left. */
static fb_code_t commit(import_t *import, fb_home_t *home, const kind_t *kind, fb_error_t *error)
{
    if (import->count == 0)
        return FB_OK;
    fb_home_commit(home, import->pointers, import->count, error);
    for (size_t i = 0; i < import->count; i++) {
        fb_write_t *write = &import->writes[i];
        if (write->error.code == FB_OK)
            import->imported++;
        else if (error->code == FB_OK)
            refuse(import, kind, import->numbers[i], &write->error);
        fb_write_dispose(write);
    }
    import->count = import->bytes = 0;
    fb_progress_show(&import->progress, import->imported + import->refused);
    return error->code;
}

static void gather(import_t *import, const kind_t *kind, uint64_t number, fb_slice_t item)
{
    fb_error_t fault = {0};
    fb_write_t *write = &import->writes[import->count];
    fb_write_init(write, kind->route.command);
    fb_registry_begin_args(&kind->route, &write->args);
    if (fb_registry_read_body(&kind->route, item, &write->args, &fault) != FB_OK) {
        refuse(import, kind, number, &fault);
        fb_write_dispose(write);
        return;
    }
    import->pointers[import->count] = write;
    import->numbers[import->count++] = number;
    import->bytes += item.len;
}

static fb_code_t import_kind(import_t *import, fb_home_t *home, const kind_t *kind,
                             fb_error_t *error)
{
    fb_slice_t rest = kind->items, item;
    uint64_t number = 0;
    while (error->code == FB_OK && fb_json_raw_next(&rest, &item)) {
        gather(import, kind, ++number, item);
        if (import->count == BATCH_ITEMS || import->bytes >= BATCH_BYTES)
            commit(import, home, kind, error);
    }
    return error->code == FB_OK ? commit(import, home, kind, error) : error->code;
}

static fb_code_t import_all(fb_home_t *home, const fb_options_t *options, void *context,
                            fb_error_t *error)
{
    (void)options;
    import_t *import = context;
    fb_progress_begin(&import->progress, "items", import->total > 0 ? import->total : 1);
    for (unsigned i = 0; i < import->kind_count && error->code == FB_OK; i++) {
        if (import->kinds[i].items.at != NULL)
            import_kind(import, home, &import->kinds[i], error);
    }
    fb_progress_end(&import->progress);
    uint64_t left = import->total - import->imported - import->refused;
    fprintf(stderr, "%llu of %llu items imported, %llu refused, %llu left\n",
            (unsigned long long)import->imported, (unsigned long long)import->total,
            (unsigned long long)import->refused, (unsigned long long)left);
    return error->code;
}

fb_exit_t fb_import(const fb_options_t *options)
{
    fb_error_t error = {0};
    fb_exit_t exit_code = FB_EXIT_FAILED;
    import_t *import = fb_alloc_zero(1, sizeof(*import));
    import->path = options->import_file;
    if (read_file(import, &error) != FB_OK)
        fb_print_error(error.detail);
    else
        exit_code = fb_home_run(options, import_all, import);
    if (exit_code == FB_EXIT_OK && import->imported < import->total)
        exit_code = FB_EXIT_FAILED;
    fb_buffer_dispose(&import->text);
    free(import);
    return exit_code;
}
