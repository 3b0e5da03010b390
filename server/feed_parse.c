/* SPDX-License-Identifier: MIT */
#include "server/feed_parse.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/memory.h"

#define CAPACITY_MAX      INT64_C(1000000000)
#define TIME_BYTES        19 /* YYYY-MM-DDTHH:MM:SS */
#define CLOCK_AT          11 /* HH:MM:SS within it */
#define SHOWN_BYTES       40 /* of a wrong value, in a reason */
#define WELL_FORMED_BYTES 80

/* Where an element of the document stands. */
enum { ROOT, OUTPUT, BASE, PLAN, ZONE, LEVELS };

typedef struct {
    const char *elements[LEVELS];
    const char *base_id, *plan_id, *start, *end; /* attributes */
} vocabulary_t;

static const vocabulary_t vocabularies[] = {
    {{"planList", "output", "base_plan", "plan", "zone"},
     "base_plan_id",
     "plan_id",
     "plan_start_date",
     "plan_end_date"},
    {{"eventList", "output", "base_event", "event", "zone"},
     "base_event_id",
     "event_id",
     "event_start_date",
     "event_end_date"},
};

typedef struct {
    char at[FB_PLAN_TITLE_BYTES_MAX];
    size_t len;
    bool given;
} text_t;

/* A local date-time. */
typedef struct {
    char text[TIME_BYTES];
    fb_day_t day;
    bool given;
} moment_t;

struct fb_feed_parser {
    fb_feed_sink_t sink;
    XML_Parser xml;
    const vocabulary_t *words; /* NULL before the root */
    unsigned depth;            /* elements that are open */
    unsigned known;            /* of these, from the root on, those that are known */
    uint64_t taken;            /* bytes */
    fb_error_t *error;         /* of the call that is under way */

    text_t base_id, sell_mode, title, organizer;
    char base_fault[FB_FEED_REASON_BYTES]; /* what is wrong with all plans of the base; "": nothing
                                            */

    text_t plan_id;
    moment_t start, end, sell_from, sell_to;
    bool is_sold_out;
    int64_t min_price, max_price;
    unsigned zone_count;
    fb_buffer_t zones;
    char fault[FB_FEED_REASON_BYTES]; /* what is wrong with the plan, first; "": nothing */
};

/* --- values ------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void fault(char *reason, const char *format, ...)
{
    va_list arguments;
    if (reason[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(reason, FB_FEED_REASON_BYTES, format, arguments);
    va_end(arguments);
}

/* The value of an attribute, or NULL. */
static const char *find(const XML_Char **attributes, const char *name)
{
    for (; *attributes != NULL; attributes += 2) {
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    }
    return NULL;
}

/* Copies a text of at most `max` bytes; a control character, which XML may hold as a reference,
 * becomes a space. False where it is longer: then its beginning is there. */
static bool copy_text(const char *value, size_t max, text_t *text)
{
    size_t len = value != NULL ? strlen(value) : 0;
    bool fits = len <= max;
    text->given = value != NULL;
    text->len = fits ? len : fb_slice_utf8_prefix((fb_slice_t){value, max});
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)value[i];
        text->at[i] = c < 0x20 || c == 0x7F ? ' ' : (char)c;
    }
    return fits;
}

/* An id, which must be there and may not be empty. */
static void read_id(const char *value, const char *name, text_t *id, char *reason)
{
    bool fits = copy_text(value, FB_PLAN_ID_BYTES_MAX, id);
    if (id->len == 0)
        fault(reason, "%s is missing", name);
    else if (!fits)
        fault(reason, "%s has more than %d bytes", name, FB_PLAN_ID_BYTES_MAX);
}

static bool is_clock(const char *text)
{
    const char *const most = "23:59:59";
    for (unsigned i = 0; i < 8; i++) {
        if (i % 3 == 2 ? text[i] != ':' : text[i] < '0' || text[i] > '9')
            return false;
    }
    return memcmp(text, most, 2) <= 0 && text[3] <= '5' && text[6] <= '5';
}

/* YYYY-MM-DDTHH:MM:SS, without a zone. */
static void read_moment(const char *value, const char *name, bool required, moment_t *moment,
                        char *reason)
{
    moment->given = value != NULL && value[0] != '\0';
    if (!moment->given) {
        if (required)
            fault(reason, "%s is missing", name);
        return;
    }
    fb_date_result_t result = FB_DATE_SHAPE;
    if (strlen(value) == TIME_BYTES && value[FB_DAY_TEXT_BYTES] == 'T' &&
        is_clock(value + CLOCK_AT))
        result = fb_day_parse((fb_slice_t){value, FB_DAY_TEXT_BYTES}, &moment->day);
    if (result == FB_DATE_SHAPE)
        fault(reason, "%s is \"%.*s\", not like 2027-01-31T20:00:00", name, SHOWN_BYTES, value);
    else if (result == FB_DATE_NO_SUCH_DAY)
        fault(reason, "%s is \"%.*s\": there is no such day", name, SHOWN_BYTES, value);
    else if (moment->day < FB_DAY_MIN || moment->day > FB_DAY_MAX)
        fault(reason, "%s is \"%.*s\", not in 1970 to 2399", name, SHOWN_BYTES, value);
    else
        memcpy(moment->text, value, TIME_BYTES);
}

/* "true" or "false", or as XML Schema has it, too, 1 or 0; `value` NULL or empty: not given. */
static bool read_boolean(const char *value, const char *name, bool *given, char *reason)
{
    *given = value != NULL && value[0] != '\0';
    bool is_true = *given && (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
    if (*given && !is_true && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
        fault(reason, "%s is \"%.*s\", not true or false", name, SHOWN_BYTES, value);
    return is_true;
}

/* A decimal number, not negative, with no more than two decimals but for zeros; false for all
 * else. */
static bool read_price(const char *value, int64_t *minor)
{
    int64_t sum = 0;
    size_t decimals = 0;
    if (value[0] < '0' || value[0] > '9')
        return false;
    for (; *value >= '0' && *value <= '9' && sum <= FB_PLAN_PRICE_MAX; value++)
        sum = sum * 10 + (*value - '0');
    if (*value == '.') {
        for (value++; *value >= '0' && *value <= '9'; value++, decimals++) {
            if (decimals < 2)
                sum = sum * 10 + (*value - '0');
            else if (*value != '0')
                return false;
        }
        if (decimals == 0)
            return false;
    }
    for (; decimals < 2; decimals++)
        sum *= 10;
    *minor = sum;
    return *value == '\0' && sum <= FB_PLAN_PRICE_MAX;
}

/* --- elements ---------------------------------------------------------------------------- */

static void begin_base(fb_feed_parser_t *parser, const XML_Char **attributes)
{
    char *reason = parser->base_fault;
    reason[0] = '\0';
    read_id(find(attributes, parser->words->base_id), parser->words->base_id, &parser->base_id,
            reason);
    read_id(find(attributes, "sell_mode"), "sell_mode", &parser->sell_mode, reason);
    if (!copy_text(find(attributes, "title"), FB_PLAN_TITLE_BYTES_MAX, &parser->title))
        fault(reason, "title has more than %d bytes", FB_PLAN_TITLE_BYTES_MAX);
    if (!copy_text(find(attributes, "organizer_company_id"), FB_PLAN_ID_BYTES_MAX,
                   &parser->organizer))
        fault(reason, "organizer_company_id has more than %d bytes", FB_PLAN_ID_BYTES_MAX);
}

static void begin_plan(fb_feed_parser_t *parser, const XML_Char **attributes)
{
    const vocabulary_t *words = parser->words;
    char *reason = parser->fault;
    bool given;
    memcpy(reason, parser->base_fault, FB_FEED_REASON_BYTES);
    read_id(find(attributes, words->plan_id), words->plan_id, &parser->plan_id, reason);
    read_moment(find(attributes, words->start), words->start, true, &parser->start, reason);
    read_moment(find(attributes, words->end), words->end, true, &parser->end, reason);
    read_moment(find(attributes, "sell_from"), "sell_from", false, &parser->sell_from, reason);
    read_moment(find(attributes, "sell_to"), "sell_to", false, &parser->sell_to, reason);
    parser->is_sold_out = read_boolean(find(attributes, "sold_out"), "sold_out", &given, reason);
    if (reason[0] == '\0' && memcmp(parser->end.text, parser->start.text, TIME_BYTES) < 0)
        fault(reason, "%s is before %s", words->end, words->start);
    parser->zone_count = 0;
    parser->zones.len = 0;
    fb_buffer_put_char(&parser->zones, '[');
}

static void put_zone(fb_feed_parser_t *parser, const text_t *id, const text_t *name, int64_t price,
                     const char *rest)
{
    const fb_field_t money = {.kind = FB_KIND_MONEY};
    const fb_value_t value = {.number = price};
    fb_buffer_t *zones = &parser->zones;
    fb_buffer_put_text(zones, parser->zone_count > 0 ? ",{\"zone_id\":" : "{\"zone_id\":");
    fb_json_put_string(zones, (fb_slice_t){id->at, id->len});
    fb_buffer_put_literal(zones, ",\"name\":");
    if (name->given)
        fb_json_put_string(zones, (fb_slice_t){name->at, name->len});
    else
        fb_buffer_put_literal(zones, "null");
    fb_buffer_put_text(zones, rest); /* the capacity */
    fb_buffer_put_literal(zones, ",\"price\":");
    fb_field_put_json(&money, &value, zones);
}

static void begin_zone(fb_feed_parser_t *parser, const XML_Char **attributes)
{
    char *reason = parser->fault, capacity[48];
    const char *given_capacity = find(attributes, "capacity");
    const char *given_price = find(attributes, "price");
    text_t id, name;
    int64_t price = 0;
    uint64_t seats = 0;
    bool is_given;
    if (reason[0] == '\0' && parser->zone_count == FB_PLAN_ZONES_MAX)
        fault(reason, "it has more than %d zones", FB_PLAN_ZONES_MAX);
    if (reason[0] != '\0')
        return;
    read_id(find(attributes, "zone_id"), "zone_id", &id, reason);
    if (!copy_text(find(attributes, "name"), FB_FEED_ZONE_NAME_BYTES, &name))
        fault(reason, "the name of a zone has more than %d bytes", FB_FEED_ZONE_NAME_BYTES);
    if (given_price == NULL)
        fault(reason, "the price of a zone is missing");
    else if (!read_price(given_price, &price))
        fault(reason, "the price of a zone is \"%.*s\"", SHOWN_BYTES, given_price);
    if (given_capacity == NULL)
        snprintf(capacity, sizeof(capacity), ",\"capacity\":null");
    else if (!fb_slice_to_u64(fb_slice(given_capacity), CAPACITY_MAX, &seats))
        fault(reason, "the capacity of a zone is \"%.*s\"", SHOWN_BYTES, given_capacity);
    else
        snprintf(capacity, sizeof(capacity), ",\"capacity\":%llu", (unsigned long long)seats);
    bool is_numbered = read_boolean(find(attributes, "numbered"), "numbered", &is_given, reason);
    if (reason[0] != '\0')
        return;
    put_zone(parser, &id, &name, price, capacity);
    fb_buffer_put_text(&parser->zones, !is_given     ? ",\"numbered\":null}"
                                       : is_numbered ? ",\"numbered\":true}"
                                                     : ",\"numbered\":false}");
    if (parser->zone_count == 0 || price < parser->min_price)
        parser->min_price = price;
    if (parser->zone_count == 0 || price > parser->max_price)
        parser->max_price = price;
    parser->zone_count++;
}

static fb_value_t text_value(const char *at, size_t len, bool given)
{
    return (fb_value_t){
        .given = true, .null = !given, .text = {given ? at : NULL, given ? len : 0}};
}

static fb_value_t number_value(int64_t number, bool given)
{
    return (fb_value_t){.given = true, .null = !given, .number = given ? number : 0};
}

static fb_value_t value_of(const text_t *text)
{
    return text_value(text->at, text->len, text->len > 0);
}

static void end_plan(fb_feed_parser_t *parser)
{
    fb_value_t values[FB_PLAN_FIELDS];
    char uuid[FB_UUID_TEXT_BYTES + 1];
    const fb_slice_t base = {parser->base_id.at, parser->base_id.len};
    const fb_slice_t plan = {parser->plan_id.at, parser->plan_id.len};
    if (parser->fault[0] != '\0') {
        const fb_feed_skip_t skip = {base, plan, parser->fault};
        parser->sink.on_skip(parser->sink.context, &skip);
        return;
    }
    const moment_t *start = &parser->start, *end = &parser->end;
    bool has_zones = parser->zone_count > 0;
    fb_buffer_put_char(&parser->zones, ']');
    fb_plan_uuid(base, plan, uuid);
    values[FB_PLAN_UUID] = text_value(uuid, FB_UUID_TEXT_BYTES, true);
    values[FB_PLAN_TITLE] = text_value(parser->title.at, parser->title.len, true);
    values[FB_PLAN_START_DATE] = number_value(start->day, true);
    values[FB_PLAN_START_TIME] = text_value(start->text + CLOCK_AT, TIME_BYTES - CLOCK_AT, true);
    values[FB_PLAN_END_DATE] = number_value(end->day, true);
    values[FB_PLAN_END_TIME] = text_value(end->text + CLOCK_AT, TIME_BYTES - CLOCK_AT, true);
    values[FB_PLAN_MIN_PRICE] = number_value(parser->min_price, has_zones);
    values[FB_PLAN_MAX_PRICE] = number_value(parser->max_price, has_zones);
    values[FB_PLAN_BASE] = value_of(&parser->base_id);
    values[FB_PLAN_PLAN] = value_of(&parser->plan_id);
    values[FB_PLAN_SELL_MODE] = value_of(&parser->sell_mode);
    values[FB_PLAN_SELL_FROM] =
        text_value(parser->sell_from.text, TIME_BYTES, parser->sell_from.given);
    values[FB_PLAN_SELL_TO] = text_value(parser->sell_to.text, TIME_BYTES, parser->sell_to.given);
    values[FB_PLAN_SOLD_OUT] = number_value(parser->is_sold_out, true);
    values[FB_PLAN_ORGANIZER] = value_of(&parser->organizer);
    values[FB_PLAN_ZONES] = text_value(parser->zones.at, parser->zones.len, true);
    parser->sink.on_plan(parser->sink.context, values);
}

/* --- the document ------------------------------------------------------------------------ */

static void refuse(fb_feed_parser_t *parser)
{
    fb_assert(parser->error->code != FB_OK);
    XML_StopParser(parser->xml, XML_FALSE);
}

static void begin_root(fb_feed_parser_t *parser, const char *name)
{
    for (size_t i = 0; i < FB_COUNT(vocabularies) && parser->words == NULL; i++) {
        if (strcmp(name, vocabularies[i].elements[ROOT]) == 0)
            parser->words = &vocabularies[i];
    }
    if (parser->words != NULL)
        return;
    fb_fail(parser->error, FB_INVALID, "its root is <%.*s>, not <planList> or <eventList>",
            SHOWN_BYTES, name);
    refuse(parser);
}

static void XMLCALL on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    fb_feed_parser_t *parser = context;
    if (parser->depth == 0)
        begin_root(parser, name);
    if (parser->depth == FB_FEED_DEPTH_MAX) {
        fb_fail(parser->error, FB_MALFORMED, "it has more than %d elements within each other",
                FB_FEED_DEPTH_MAX);
        refuse(parser);
    }
    bool is_known = parser->error->code == FB_OK && parser->depth == parser->known &&
                    parser->known < LEVELS &&
                    strcmp(name, parser->words->elements[parser->known]) == 0;
    parser->depth++;
    if (!is_known)
        return;
    if (parser->known == BASE)
        begin_base(parser, attributes);
    else if (parser->known == PLAN)
        begin_plan(parser, attributes);
    else if (parser->known == ZONE)
        begin_zone(parser, attributes);
    parser->known++;
}

static void XMLCALL on_end(void *context, const XML_Char *name)
{
    fb_feed_parser_t *parser = context;
    (void)name;
    if (parser->known == parser->depth && --parser->known == PLAN)
        end_plan(parser);
    parser->depth--;
}

static void XMLCALL on_doctype(void *context, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_subset)
{
    fb_feed_parser_t *parser = context;
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_subset;
    fb_fail(parser->error, FB_MALFORMED,
            "it has a document type declaration, which may define entities");
    refuse(parser);
}

fb_feed_parser_t *fb_feed_parser_create(const fb_feed_sink_t *sink)
{
    fb_feed_parser_t *parser = fb_alloc_zero(1, sizeof(*parser));
    parser->sink = *sink;
    parser->xml = XML_ParserCreate(NULL);
    fb_assert(parser->xml != NULL);
    XML_SetUserData(parser->xml, parser);
    XML_SetElementHandler(parser->xml, on_start, on_end);
    XML_SetStartDoctypeDeclHandler(parser->xml, on_doctype);
    return parser;
}

void fb_feed_parser_destroy(fb_feed_parser_t **parser)
{
    if (*parser == NULL)
        return;
    XML_ParserFree((*parser)->xml);
    fb_buffer_dispose(&(*parser)->zones);
    free(*parser);
    *parser = NULL;
}

static fb_code_t take(fb_feed_parser_t *parser, fb_slice_t bytes, bool is_last, fb_error_t *error)
{
    fb_error_t own = {0};
    parser->error = &own;
    enum XML_Status status = XML_Parse(parser->xml, bytes.at, (int)bytes.len, is_last);
    parser->error = NULL;
    if (own.code != FB_OK) {
        *error = own;
        return own.code;
    }
    if (status != XML_STATUS_OK)
        return fb_fail(error, FB_MALFORMED, "it is not well-formed XML: %.*s, in line %lu",
                       WELL_FORMED_BYTES, XML_ErrorString(XML_GetErrorCode(parser->xml)),
                       (unsigned long)XML_GetCurrentLineNumber(parser->xml));
    return FB_OK;
}

fb_code_t fb_feed_parser_put(fb_feed_parser_t *parser, fb_slice_t bytes, fb_error_t *error)
{
    fb_code_t code = FB_OK;
    while (code == FB_OK && bytes.len > 0) {
        size_t len = bytes.len < FB_FEED_TAG_BYTES_MAX ? bytes.len : FB_FEED_TAG_BYTES_MAX;
        code = take(parser, (fb_slice_t){bytes.at, len}, false, error);
        parser->taken += len;
        bytes = (fb_slice_t){bytes.at + len, bytes.len - len};
        /* It keeps what is not whole yet. */
        uint64_t kept = parser->taken - (uint64_t)XML_GetCurrentByteIndex(parser->xml);
        if (code == FB_OK && kept > FB_FEED_TAG_BYTES_MAX)
            code = fb_fail(error, FB_MALFORMED, "it has a tag of more than %d bytes",
                           FB_FEED_TAG_BYTES_MAX);
    }
    return code;
}

fb_code_t fb_feed_parser_end(fb_feed_parser_t *parser, fb_error_t *error)
{
    return take(parser, FB_SLICE(""), true, error);
}
