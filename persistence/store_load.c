/* SPDX-License-Identifier: MIT */
#include "persistence/store_redis_internal.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/date.h"
#include "base/memory.h"
#include "base/set_name.h"

/* A load asks for many keys ahead of the answers, so that Redis is never idle: rows by HGETALL
 * (which costs Redis less than HMGET of every field), days by GET. */
#define ROWS_AHEAD        2000 /* commands under way at most; half of them go out at a time */
#define ROWS_AHEAD_GENTLY 64   /* so that Redis works for some tenths of a millisecond at a time */
#define DAYS_AHEAD        32
#define FAMILIES_MAX      64
#define FIELDS_MAX        256

typedef struct {
    fb_store_redis_t *self;
    const fb_store_schema_t *schema;
    const fb_store_sink_t *sink;
    redisReply *sets[FAMILIES_MAX]; /* GET of the bitmap of ids, one a family */
    redisReply *head;               /* HGETALL of the head */
} load_t;

/* The next id in a bitmap, as Redis keeps it, that is >= `from`; false if there is none. */
static bool next_id(const redisReply *set, uint64_t from, uint64_t *id)
{
    size_t at = (size_t)(from / 8);
    size_t len = set->type == REDIS_REPLY_STRING ? set->len : 0;
    if (at >= len)
        return false;
    unsigned byte = (unsigned char)set->str[at] & (0xFFu >> (from % 8));
    while (byte == 0 && ++at < len)
        byte = (unsigned char)set->str[at];
    if (byte == 0)
        return false;
    *id = (uint64_t)at * 8 + (unsigned)__builtin_clz(byte) - 24;
    return true;
}

/* ---- Rows --------------------------------------------------------------------------------- */

/* What the parser of replies makes of HGETALL: no objects, but the texts of the asked fields, one
 * after the other in `bytes`. */
typedef struct {
    const fb_store_family_t *family;
    fb_buffer_t bytes;
    size_t pairs;                 /* of the reply; 0: there is no such row */
    bool failed;                  /* `bytes` is an error of Redis */
    size_t field;                 /* the one whose value comes next; field_count: none of ours */
    uint16_t guesses[FIELDS_MAX]; /* which field the last row had at a place: mostly the same */
    struct {
        size_t at, len;
        bool there;
    } texts[FIELDS_MAX];
} row_parser_t;

static bool is_field(const row_parser_t *parser, size_t field, const char *name, size_t len)
{
    return field < parser->family->field_count &&
           strncmp(parser->family->fields[field], name, len) == 0 &&
           parser->family->fields[field][len] == '\0';
}

static size_t find_field(row_parser_t *parser, size_t place, const char *name, size_t len)
{
    size_t count = parser->family->field_count;
    uint16_t *guess = &parser->guesses[place < FIELDS_MAX ? place : FIELDS_MAX - 1];
    if (is_field(parser, *guess, name, len))
        return *guess;
    for (size_t field = 0; field < count; field++) {
        if (is_field(parser, field, name, len)) {
            *guess = (uint16_t)field;
            return field;
        }
    }
    return count;
}

static void *on_text(const redisReadTask *task, char *text, size_t len)
{
    row_parser_t *parser = task->privdata;
    if (task->type == REDIS_REPLY_ERROR) {
        parser->failed = true;
        parser->bytes.len = 0;
        fb_buffer_put(&parser->bytes, text, len);
    } else if (task->parent != NULL && task->idx % 2 == 0) {
        parser->field = find_field(parser, (size_t)task->idx / 2, text, len);
    } else if (task->parent != NULL && parser->field < parser->family->field_count) {
        parser->texts[parser->field].at = parser->bytes.len;
        parser->texts[parser->field].len = len;
        parser->texts[parser->field].there = true;
        fb_buffer_put(&parser->bytes, text, len);
    }
    return parser;
}

static void *on_array(const redisReadTask *task, int elements)
{
    row_parser_t *parser = task->privdata;
    parser->pairs = (size_t)elements / 2;
    return parser;
}

static void *on_integer(const redisReadTask *task, long long integer)
{
    (void)integer;
    return task->privdata;
}

static void *on_nil(const redisReadTask *task)
{
    return task->privdata;
}

static void on_free(void *object)
{
    (void)object;
}

static redisReplyObjectFunctions row_functions = {on_text, on_array, on_integer, on_nil, on_free};

/* The texts are of the parser, until the next row. */
static fb_code_t receive_row(fb_redis_link_t *link, row_parser_t *parser,
                             fb_slice_t texts[FIELDS_MAX], bool *there, fb_error_t *error)
{
    void *object;
    size_t count = parser->family->field_count;
    parser->bytes.len = 0;
    parser->pairs = 0;
    parser->field = count;
    for (size_t i = 0; i < count; i++)
        parser->texts[i].there = false;
    fb_code_t code = fb_redis_link_receive(link, &object, error);
    if (code != FB_OK)
        return code;
    if (parser->failed)
        return fb_redis_link_refused(link, fb_buffer_slice(&parser->bytes), error);
    *there = parser->pairs > 0;
    const char *base = parser->bytes.at != NULL ? parser->bytes.at : "";
    for (size_t i = 0; i < count; i++)
        texts[i] = parser->texts[i].there
                       ? (fb_slice_t){base + parser->texts[i].at, parser->texts[i].len}
                       : (fb_slice_t){NULL, 0};
    return FB_OK;
}

static void ask_row(fb_store_redis_t *self, const char *row_name, uint32_t id, fb_buffer_t *key)
{
    key->len = 0;
    fb_keys_put_row(&self->keys, key, row_name, id);
    fb_slice_t words[] = {FB_SLICE("HGETALL"), fb_buffer_slice(key)};
    fb_redis_link_append(self->link, words, 2);
}

static fb_code_t load_row(const load_t *load, size_t family, uint32_t id, row_parser_t *parser,
                          fb_error_t *error)
{
    fb_slice_t texts[FIELDS_MAX];
    bool there; /* or deleted since its bit was read */
    fb_code_t code = receive_row(load->self->link, parser, texts, &there, error);
    if (code != FB_OK || !there)
        return code;
    return load->sink->on_row(load->sink->context, family, id, texts, error);
}

static fb_code_t pump_rows(const load_t *load, size_t family, row_parser_t *parser,
                           fb_buffer_t *key, fb_error_t *error)
{
    const redisReply *set = load->sets[family];
    const char *row_name = load->schema->families[family].row_name;
    uint64_t asked = 0, answered = 0;
    size_t ahead = 0, ahead_max = load->sink->gently ? ROWS_AHEAD_GENTLY : ROWS_AHEAD;
    bool more = next_id(set, 0, &asked);
    bool waiting = next_id(set, 0, &answered);
    fb_code_t code = FB_OK;
    while (code == FB_OK && waiting) {
        if (more && ahead <= ahead_max / 2) {
            for (; more && ahead < ahead_max; ahead++) {
                ask_row(load->self, row_name, (uint32_t)asked, key);
                more = next_id(set, asked + 1, &asked);
            }
            code = fb_redis_link_flush(load->self->link, error);
        }
        if (code == FB_OK)
            code = load_row(load, family, (uint32_t)answered, parser, error);
        ahead--;
        waiting = next_id(set, answered + 1, &answered);
    }
    return code;
}

/* The replies go to this parser now; returns those to whom they went. */
static redisReplyObjectFunctions *begin_rows(fb_redis_link_t *link, row_parser_t *parser)
{
    redisReader *reader = fb_redis_link_reader(link);
    redisReplyObjectFunctions *before = reader->fn;
    fb_assert(parser->family->field_count <= FIELDS_MAX);
    reader->fn = &row_functions;
    reader->privdata = parser;
    return before;
}

/* A failure closes the link: answers that nobody waits for any more must not be taken for those of
 * the next call. The reader goes with it. */
static void end_rows(fb_redis_link_t *link, row_parser_t *parser, fb_code_t code,
                     redisReplyObjectFunctions *before)
{
    if (code == FB_OK) {
        fb_redis_link_reader(link)->fn = before;
        fb_redis_link_reader(link)->privdata = NULL;
    } else {
        fb_redis_link_close(link);
    }
    fb_buffer_dispose(&parser->bytes);
}

static fb_code_t load_rows(const load_t *load, size_t family, fb_error_t *error)
{
    row_parser_t parser = {.family = &load->schema->families[family]};
    fb_buffer_t key = {0};
    redisReplyObjectFunctions *before = begin_rows(load->self->link, &parser);
    fb_code_t code = pump_rows(load, family, &parser, &key, error);
    end_rows(load->self->link, &parser, code, before);
    fb_buffer_dispose(&key);
    return code;
}

static fb_code_t receive_rows(fb_redis_link_t *link, row_parser_t *parser, const uint32_t *ids,
                              size_t count,
                              fb_code_t (*on_row)(void *context, uint32_t id,
                                                  const fb_slice_t *texts, fb_error_t *error),
                              void *context, fb_error_t *error)
{
    fb_code_t code = fb_redis_link_flush(link, error);
    for (size_t i = 0; code == FB_OK && i < count; i++) {
        fb_slice_t texts[FIELDS_MAX];
        bool there;
        code = receive_row(link, parser, texts, &there, error);
        if (code == FB_OK && there)
            code = on_row(context, ids[i], texts, error);
    }
    return code;
}

fb_code_t fb_store_redis_rows(fb_store_t *store, const fb_store_family_t *family,
                              const uint32_t *ids, size_t count,
                              fb_code_t (*on_row)(void *context, uint32_t id,
                                                  const fb_slice_t *texts, fb_error_t *error),
                              void *context, fb_error_t *error)
{
    fb_store_redis_t *self = fb_store_redis(store);
    row_parser_t parser = {.family = family};
    fb_buffer_t key = {0};
    fb_assert(count <= FB_HISTORY_PAGE_MAX);
    fb_code_t code = fb_store_redis_open(self, error);
    if (code != FB_OK)
        return code;
    for (size_t i = 0; i < count; i++)
        ask_row(self, family->row_name, ids[i], &key);
    redisReplyObjectFunctions *before = begin_rows(self->link, &parser);
    code = receive_rows(self->link, &parser, ids, count, on_row, context, error);
    end_rows(self->link, &parser, code, before);
    fb_buffer_dispose(&key);
    return code;
}

/* ---- Days --------------------------------------------------------------------------------- */

/* A date of the head, as "first_day:maintenance"; false where the plane never had a bit. */
static bool head_text(const load_t *load, const char *kind, const char *name, fb_slice_t *text)
{
    size_t kind_len = strlen(kind);
    for (size_t i = 0; i + 1 < load->head->elements; i += 2) {
        const redisReply *field = load->head->element[i];
        const redisReply *value = load->head->element[i + 1];
        if (strncmp(field->str, kind, kind_len) == 0 && strcmp(field->str + kind_len, name) == 0) {
            *text = (fb_slice_t){value->str, value->len};
            return true;
        }
    }
    return false;
}

static fb_code_t receive_day(const load_t *load, size_t plane, fb_day_t day, fb_error_t *error)
{
    redisReply *reply = NULL;
    char date[FB_DAY_TEXT_BYTES];
    fb_code_t code = fb_redis_link_reply(load->self->link, &reply, error);
    if (code != FB_OK)
        return code;
    fb_slice_t bytes = {reply->str, reply->len};
    fb_day_format(day, date);
    if (reply->type == REDIS_REPLY_ERROR)
        code = fb_redis_link_refused(load->self->link, bytes, error);
    else if (reply->type == REDIS_REPLY_STRING && bytes.len > 0)
        code = load->sink->on_day(load->sink->context, plane, (fb_slice_t){date, sizeof(date)},
                                  bytes, error);
    freeReplyObject(reply);
    return code;
}

static void ask_day(const load_t *load, const char *plane, fb_day_t day, fb_buffer_t *key)
{
    char date[FB_DAY_TEXT_BYTES];
    fb_day_format(day, date);
    key->len = 0;
    fb_keys_put_day(&load->self->keys, key, plane, (fb_slice_t){date, sizeof(date)});
    fb_slice_t words[] = {FB_SLICE("GET"), fb_buffer_slice(key)};
    fb_redis_link_append(load->self->link, words, 2);
}

static fb_code_t load_days(const load_t *load, size_t plane, fb_error_t *error)
{
    const char *name = load->schema->planes[plane];
    fb_slice_t first_text, last_text;
    fb_day_t first, last;
    fb_buffer_t key = {0};
    if (!head_text(load, "first_day:", name, &first_text) ||
        !head_text(load, "last_day:", name, &last_text))
        return FB_OK;
    if (fb_day_parse(first_text, &first) != FB_DATE_OK ||
        fb_day_parse(last_text, &last) != FB_DATE_OK || first < FB_DAY_MIN || last > FB_DAY_MAX)
        return fb_fail(error, FB_CONFIG, "%s in Redis at %s has strange days of \"%s\"",
                       load->self->head_key, fb_redis_link_name(load->self->link), name);
    fb_code_t code = FB_OK;
    fb_day_t asked = first;
    for (fb_day_t answered = first; code == FB_OK && answered <= last; answered++) {
        if (asked <= last && asked - answered <= DAYS_AHEAD / 2) {
            for (; asked <= last && asked - answered < DAYS_AHEAD; asked++)
                ask_day(load, name, asked, &key);
            code = fb_redis_link_flush(load->self->link, error);
        }
        if (code == FB_OK)
            code = receive_day(load, plane, answered, error);
    }
    fb_buffer_dispose(&key);
    return code;
}

/* ---- All ---------------------------------------------------------------------------------- */

static fb_code_t receive_typed(const load_t *load, int type, redisReply **reply, fb_error_t *error)
{
    fb_code_t code = fb_redis_link_reply(load->self->link, reply, error);
    if (code != FB_OK)
        return code;
    if ((*reply)->type == REDIS_REPLY_ERROR)
        return fb_redis_link_refused(load->self->link, (fb_slice_t){(*reply)->str, (*reply)->len},
                                     error);
    fb_assert((*reply)->type == type || (*reply)->type == REDIS_REPLY_NIL);
    return FB_OK;
}

/* The bitmaps of ids first and the head after them, so that the last ids and the days of the head
 * are no older than what the bitmaps show. */
static fb_code_t load_outline(load_t *load, fb_error_t *error)
{
    fb_buffer_t key = {0};
    const fb_store_schema_t *schema = load->schema;
    for (size_t i = 0; i < schema->family_count; i++) {
        key.len = 0;
        fb_keys_put_set(&load->self->keys, &key, schema->families[i].row_name);
        fb_slice_t words[] = {FB_SLICE("GET"), fb_buffer_slice(&key)};
        fb_redis_link_append(load->self->link, words, 2);
    }
    fb_buffer_dispose(&key);
    fb_slice_t words[] = {FB_SLICE("HGETALL"), fb_slice(load->self->head_key)};
    fb_redis_link_append(load->self->link, words, 2);
    fb_code_t code = fb_redis_link_flush(load->self->link, error);
    for (size_t i = 0; code == FB_OK && i < schema->family_count; i++)
        code = receive_typed(load, REDIS_REPLY_STRING, &load->sets[i], error);
    if (code == FB_OK)
        code = receive_typed(load, REDIS_REPLY_ARRAY, &load->head, error);
    return code;
}

static fb_code_t load_last_ids(const load_t *load, fb_error_t *error)
{
    for (size_t i = 0; i < load->schema->family_count; i++) {
        fb_slice_t text;
        uint64_t id;
        if (!head_text(load, "last_id:", load->schema->families[i].row_name, &text))
            continue;
        if (!fb_slice_to_u64(text, UINT32_MAX, &id))
            return fb_fail(error, FB_CONFIG, "%s in Redis at %s has a strange last id",
                           load->self->head_key, fb_redis_link_name(load->self->link));
        load->sink->on_last_id(load->sink->context, i, (uint32_t)id);
    }
    return FB_OK;
}

/* The operations carry no other name than that of the rows. */
static void check_schema(const fb_store_schema_t *schema)
{
    fb_assert(schema->family_count <= FAMILIES_MAX);
    for (size_t i = 0; i < schema->family_count; i++) {
        const fb_store_family_t *family = &schema->families[i];
        char set_name[FB_KEY_NAME_BYTES_MAX + FB_SET_NAME_EXTRA_BYTES + 1];
        fb_assert(fb_keys_is_name(family->row_name));
        fb_set_name(family->row_name, set_name, sizeof(set_name));
        fb_assert(strcmp(family->set_name, set_name) == 0);
    }
    for (size_t i = 0; i < schema->plane_count; i++)
        fb_assert(fb_keys_is_name(schema->planes[i]));
}

fb_code_t fb_store_redis_load(fb_store_t *store, const fb_store_schema_t *schema,
                              const fb_store_sink_t *sink, fb_error_t *error)
{
    load_t load = {.self = fb_store_redis(store), .schema = schema, .sink = sink};
    check_schema(schema);
    fb_code_t code = fb_store_redis_open(load.self, error);
    if (code == FB_OK)
        code = load_outline(&load, error);
    if (code == FB_OK)
        code = load_last_ids(&load, error);
    for (size_t i = 0; code == FB_OK && i < schema->family_count; i++)
        code = load_rows(&load, i, error);
    for (size_t i = 0; code == FB_OK && i < schema->plane_count; i++)
        code = load_days(&load, i, error);
    /* Answers that nobody waits for any more must not be taken for those of the next call. */
    if (code != FB_OK)
        fb_redis_link_close(load.self->link);
    for (size_t i = 0; i < schema->family_count; i++)
        freeReplyObject(load.sets[i]);
    freeReplyObject(load.head);
    return code;
}
