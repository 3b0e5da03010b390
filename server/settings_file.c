/* SPDX-License-Identifier: MIT */
#include "server/settings_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/assert.h"
#include "base/buffer.h"
#include "base/memory.h"

#define PATH_SHOWN_MAX 100

/* The events of libyaml, not its documents: a document has lost its anchors and tags, and has
 * already expanded what they stand for. */
typedef struct {
    const char *path;
    yaml_parser_t parser;
    fb_settings_file_t *file;
    fb_error_t *error;
} reader_t;

void fb_settings_file_place(const char *path, size_t line, char place[FB_SETTINGS_PLACE_BYTES])
{
    size_t len = strlen(path);
    bool is_long = len > PATH_SHOWN_MAX;
    snprintf(place, FB_SETTINGS_PLACE_BYTES, "%s%s:%zu", is_long ? "..." : "",
             is_long ? path + len - PATH_SHOWN_MAX : path, line);
}

static fb_code_t wrong(reader_t *reader, size_t line, const char *what, const char *about)
{
    char place[FB_SETTINGS_PLACE_BYTES];
    fb_settings_file_place(reader->path, line, place);
    return fb_fail(reader->error, FB_CONFIG, "%s: %.60s%s%s", place, about, *about ? ": " : "",
                   what);
}

static size_t line_of(const yaml_event_t *event)
{
    return event->start_mark.line + 1;
}

static fb_code_t no_yaml(reader_t *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    char what[160];
    snprintf(what, sizeof(what), "it is no YAML: %s%s%s", parser->context ? parser->context : "",
             parser->context ? ", " : "", parser->problem ? parser->problem : "unreadable");
    return wrong(reader, parser->problem_mark.line + 1, what, "");
}

/* The next event; what configuration files are not to have is refused here, wherever it stands. */
static fb_code_t next(reader_t *reader, yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    const char *what = NULL;
    if (!yaml_parser_parse(&reader->parser, event))
        return no_yaml(reader);
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL)
            what = "it holds a NUL";
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL || event->type == YAML_ALIAS_EVENT)
        what = "anchors and aliases (& and *) are not supported; a text may stand in quotes";
    else if (tag != NULL)
        what = "tags (!) are not supported; a text may stand in quotes";
    if (what == NULL)
        return FB_OK;
    fb_code_t code = wrong(reader, line_of(event), what, "");
    yaml_event_delete(event);
    return code;
}

static const char *scalar(const yaml_event_t *event)
{
    return (const char *)event->data.scalar.value;
}

static bool is_nothing(const yaml_event_t *event)
{
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL"};
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (unsigned i = 0; i < sizeof(nothing) / sizeof(*nothing); i++) {
        if (strcmp(scalar(event), nothing[i]) == 0)
            return true;
    }
    return false;
}

static void add_value(fb_settings_entry_t *entry, const char *value)
{
    entry->values = fb_realloc(entry->values, (entry->value_count + 1) * sizeof(*entry->values));
    entry->values[entry->value_count++] = fb_strdup(value);
}

/* The items of a list, after its start. */
static fb_code_t read_items(reader_t *reader, fb_settings_entry_t *entry)
{
    for (;;) {
        yaml_event_t event;
        fb_code_t code = next(reader, &event);
        if (code != FB_OK)
            return code;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!end && (event.type != YAML_SCALAR_EVENT || is_nothing(&event)))
            code = wrong(reader, line_of(&event), "an item of the list is no text", entry->key);
        else if (!end && entry->value_count == FB_SETTINGS_VALUES_MAX)
            code = wrong(reader, line_of(&event), "the list is too long", entry->key);
        else if (!end)
            add_value(entry, scalar(&event));
        yaml_event_delete(&event);
        if (end || code != FB_OK)
            return code;
    }
}

static fb_code_t add_entry(reader_t *reader, const char *group, const yaml_event_t *event,
                           fb_settings_entry_t **added)
{
    fb_settings_file_t *file = reader->file;
    fb_buffer_t key = {0};
    fb_code_t code = FB_OK;
    if (event->type != YAML_SCALAR_EVENT)
        return wrong(reader, line_of(event), "a key is a text", group ? group : "");
    if (strchr(scalar(event), '.') != NULL)
        return wrong(reader, line_of(event),
                     "a key has no dot: what follows it stands in a mapping of its own",
                     scalar(event));
    if (file->count == FB_SETTINGS_ENTRIES_MAX)
        return wrong(reader, line_of(event), "there are too many keys", "");
    fb_buffer_printf(&key, "%s%s%s", group ? group : "", group ? "." : "", scalar(event));
    fb_buffer_put_char(&key, '\0');
    for (size_t i = 0; i < file->count && code == FB_OK; i++) {
        char what[64];
        snprintf(what, sizeof(what), "the key is in line %zu already", file->entries[i].line);
        if (strcmp(file->entries[i].key, key.at) == 0)
            code = wrong(reader, line_of(event), what, key.at);
    }
    if (code == FB_OK) {
        *added = &file->entries[file->count++];
        **added = (fb_settings_entry_t){.key = fb_strdup(key.at), .line = line_of(event)};
    }
    fb_buffer_dispose(&key);
    return code;
}

/* The pairs of a mapping, after its start: of the whole file where there is no `group`. */
static fb_code_t read_pairs(reader_t *reader, const char *group)
{
    for (;;) {
        yaml_event_t event;
        fb_settings_entry_t *entry = NULL;
        fb_code_t code = next(reader, &event);
        if (code != FB_OK)
            return code;
        bool end = event.type == YAML_MAPPING_END_EVENT;
        if (!end)
            code = add_entry(reader, group, &event, &entry);
        yaml_event_delete(&event);
        if (end || code != FB_OK)
            return code;
        code = next(reader, &event);
        if (code != FB_OK)
            return code;
        yaml_event_type_t type = event.type;
        if (type == YAML_SCALAR_EVENT && !is_nothing(&event)) {
            entry->kind = FB_SETTINGS_SCALAR;
            add_value(entry, scalar(&event));
        }
        yaml_event_delete(&event);
        if (type == YAML_SEQUENCE_START_EVENT) {
            entry->kind = FB_SETTINGS_LIST;
            code = read_items(reader, entry);
        } else if (type == YAML_MAPPING_START_EVENT && group != NULL) {
            code = wrong(reader, entry->line, "no mapping may stand here", entry->key);
        } else if (type == YAML_MAPPING_START_EVENT) {
            entry->kind = FB_SETTINGS_MAPPING;
            code = read_pairs(reader, entry->key);
        }
        if (code != FB_OK)
            return code;
    }
}

/* Takes an event of `wanted`, or one of `other`; says which. */
static fb_code_t expect(reader_t *reader, yaml_event_type_t wanted, yaml_event_type_t other,
                        const char *what, bool *is_wanted)
{
    yaml_event_t event;
    fb_code_t code = next(reader, &event);
    if (code != FB_OK)
        return code;
    bool nothing = event.type == YAML_SCALAR_EVENT && is_nothing(&event);
    *is_wanted = event.type == wanted;
    if (!*is_wanted && (event.type != other || (other == YAML_SCALAR_EVENT && !nothing)))
        code = wrong(reader, line_of(&event), what, "");
    yaml_event_delete(&event);
    return code;
}

static fb_code_t read_stream(reader_t *reader)
{
    static const char no_mapping[] = "the file is no mapping (\"key: value\" in each line)";
    static const char second[] = "the file holds a second document";
    bool is_wanted = false;
    fb_code_t code = expect(reader, YAML_STREAM_START_EVENT, YAML_NO_EVENT, "", &is_wanted);
    if (code == FB_OK)
        code = expect(reader, YAML_DOCUMENT_START_EVENT, YAML_STREAM_END_EVENT, "", &is_wanted);
    if (code != FB_OK || !is_wanted)
        return code;
    code = expect(reader, YAML_MAPPING_START_EVENT, YAML_SCALAR_EVENT, no_mapping, &is_wanted);
    if (code == FB_OK && is_wanted)
        code = read_pairs(reader, NULL);
    if (code == FB_OK)
        code = expect(reader, YAML_DOCUMENT_END_EVENT, YAML_NO_EVENT, "", &is_wanted);
    if (code == FB_OK)
        code = expect(reader, YAML_STREAM_END_EVENT, YAML_NO_EVENT, second, &is_wanted);
    return code;
}

static fb_code_t load(const char *path, fb_buffer_t *content, fb_error_t *error)
{
    FILE *input = fopen(path, "re");
    if (input == NULL)
        return fb_fail(error, FB_CONFIG, "the configuration file %.200s: %s", path,
                       strerror(errno));
    char *at = fb_buffer_reserve(content, FB_SETTINGS_FILE_BYTES_MAX + 1);
    content->len = fread(at, 1, FB_SETTINGS_FILE_BYTES_MAX + 1, input);
    int reason = ferror(input) ? errno : 0;
    fclose(input);
    if (reason != 0)
        return fb_fail(error, FB_CONFIG, "the configuration file %.200s: %s", path,
                       strerror(reason));
    if (content->len > FB_SETTINGS_FILE_BYTES_MAX)
        return fb_fail(error, FB_CONFIG, "the configuration file %.200s is larger than %u bytes",
                       path, FB_SETTINGS_FILE_BYTES_MAX);
    return FB_OK;
}

fb_code_t fb_settings_file_read(const char *path, fb_settings_file_t *file, fb_error_t *error)
{
    fb_buffer_t content = {0};
    reader_t reader = {.path = path, .file = file, .error = error};
    *file = (fb_settings_file_t){0};
    fb_code_t code = load(path, &content, error);
    if (code != FB_OK)
        goto out;
    int initialized = yaml_parser_initialize(&reader.parser);
    fb_assert(initialized);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)content.at, content.len);
    file->entries = fb_alloc_zero(FB_SETTINGS_ENTRIES_MAX, sizeof(*file->entries));
    code = read_stream(&reader);
    yaml_parser_delete(&reader.parser);
    if (code != FB_OK)
        fb_settings_file_dispose(file);
out:
    fb_buffer_dispose(&content);
    return code;
}

void fb_settings_file_dispose(fb_settings_file_t *file)
{
    for (size_t i = 0; i < file->count; i++) {
        fb_settings_entry_t *entry = &file->entries[i];
        for (size_t j = 0; j < entry->value_count; j++)
            free(entry->values[j]);
        free(entry->values);
        free(entry->key);
    }
    free(file->entries);
    *file = (fb_settings_file_t){0};
}
