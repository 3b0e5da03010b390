/* SPDX-License-Identifier: MIT */
#include "server/history_fetch.h"

#include <xxhash.h>

#include "base/assert.h"
#include "base/base64url.h"
#include "base/clock.h"
#include "base/json.h"
#include "resources/equipment.h"

#define CURSOR_WORDS 4  /* the mark, the end of the range, the tag */
#define CURSOR_BYTES 33 /* a whole number of groups */
#define UNKNOWN      FB_EQUIPMENT_STATES

_Static_assert(FB_HISTORY_LIMIT_MAX < FB_HISTORY_PAGE_MAX, "a page and one entry more");

/* What has been found so far. */
typedef struct {
    const fb_history_ask_t *ask;
    fb_instant_t now;
    uint64_t begin_ms, end_ms; /* of the range */
    bool has_end;              /* not yet: it is now, or the newest entry, whatever is later */
    fb_history_info_t info;
    fb_buffer_t entries;
    size_t shown;
    fb_history_mark_t shown_last;
    bool has_more;
    bool shows, counts; /* what the entries that come now are for */
    size_t counted;
    fb_history_mark_t counted_last;
    bool has_until;
    uint64_t until_ms; /* so far back it is counted; the next state lasted until then */
    uint64_t times[FB_EQUIPMENT_STATES + 1];
    bool has_known, has_met; /* it was counted before; and so far back it is counted again */
    fb_history_counted_t known, counting; /* counting: what is to be known of it */
} found_t;

/* --- the cursor -------------------------------------------------------------------------- */

/* A fingerprint of the question and of the place: not a secret, since the place is none. */
static uint64_t tag(const fb_history_ask_t *ask, const uint64_t *words)
{
    const uint64_t question[] = {
        ask->machine,
        ask->has_from,
        ask->has_to,
        ask->has_from ? (uint64_t)ask->from : 0,
        ask->has_to ? (uint64_t)ask->to : 0,
        words[0],
        words[1],
        words[2],
    };
    return XXH3_64bits(question, sizeof(question));
}

static void put_cursor(const found_t *found, fb_buffer_t *body)
{
    uint8_t bytes[CURSOR_BYTES] = {0};
    uint64_t words[CURSOR_WORDS] = {found->shown_last.ms, found->shown_last.number, found->end_ms};
    words[3] = tag(found->ask, words);
    memcpy(bytes, words, sizeof(words));
    fb_buffer_put_char(body, '"');
    fb_base64url_put(body, bytes, sizeof(bytes));
    fb_buffer_put_char(body, '"');
}

static bool decode(fb_slice_t text, uint64_t words[CURSOR_WORDS])
{
    uint8_t bytes[CURSOR_BYTES];
    if (!fb_base64url_read(text, bytes, sizeof(bytes)))
        return false;
    memcpy(words, bytes, CURSOR_WORDS * sizeof(*words));
    return bytes[CURSOR_BYTES - 1] == 0;
}

static fb_code_t read_cursor(fb_history_ask_t *ask, fb_slice_t text, fb_error_t *error)
{
    uint64_t words[CURSOR_WORDS];
    if (!decode(text, words) || words[3] != tag(ask, words) || words[2] > FB_HISTORY_MS_MAX)
        return fb_fail_field(error, FB_MALFORMED, FB_SLICE("cursor"),
                             "is not one that this history gave out for this question");
    ask->has_before = true;
    ask->before = (fb_history_mark_t){words[0], words[1]};
    ask->until = (fb_instant_t)words[2];
    return FB_OK;
}

/* --- the question ------------------------------------------------------------------------ */

static fb_code_t refuse_range(fb_error_t *error)
{
    return fb_fail_field(error, FB_INVALID, FB_SLICE("from"), "must not be after to");
}

fb_code_t fb_history_ask_read(fb_history_ask_t *ask, const fb_resource_t *resource,
                              const fb_args_t *args, fb_error_t *error)
{
    const fb_value_t *values = args->values;
    *ask = (fb_history_ask_t){
        .resource = resource,
        .machine = args->ids[0],
        .has_from = values[FB_HISTORY_FROM].given,
        .has_to = values[FB_HISTORY_TO].given,
        .from = values[FB_HISTORY_FROM].number,
        .to = values[FB_HISTORY_TO].number,
        .limit = 100,
    };
    if (values[FB_HISTORY_LIMIT].given)
        ask->limit = (size_t)values[FB_HISTORY_LIMIT].number;
    if (ask->has_from && ask->has_to && ask->from > ask->to)
        return refuse_range(error);
    if (values[FB_HISTORY_CURSOR].given)
        return read_cursor(ask, values[FB_HISTORY_CURSOR].text, error);
    return FB_OK;
}

/* --- one entry --------------------------------------------------------------------------- */

static unsigned state_of(fb_slice_t text)
{
    for (unsigned i = 0; i < FB_EQUIPMENT_STATES; i++) {
        if (fb_slice_is(text, fb_equipment_states[i]))
            return i;
    }
    return UNKNOWN;
}

/* The instant `ms` may be ahead of our clock: that of another instance may be. */
static uint64_t later_of_now(const found_t *found, uint64_t ms)
{
    return found->now > 0 && (uint64_t)found->now > ms ? (uint64_t)found->now : ms;
}

/* From `ms` on it was in that state. What is still to come is not counted. */
static void count_state(found_t *found, unsigned state, uint64_t ms)
{
    uint64_t begin_ms = ms > found->begin_ms ? ms : found->begin_ms;
    if (!found->has_until) {
        uint64_t newest_ms = later_of_now(found, ms);
        found->until_ms = newest_ms < found->end_ms ? newest_ms : found->end_ms;
        found->has_until = true;
    }
    if (begin_ms < found->until_ms) {
        found->times[state] += found->until_ms - begin_ms;
        found->until_ms = begin_ms;
    }
}

static void count_entry(found_t *found, const fb_history_entry_t *entry)
{
    unsigned state = state_of(entry->texts[FB_EQUIPMENT_STATUS]);
    uint64_t until_now = found->times[state];
    count_state(found, state, entry->mark.ms);
    found->counted_last = entry->mark;
    if (found->counted++ == 0) { /* what follows the newest one is not over yet */
        found->counting.upto = entry->mark;
        found->counting.times[state] = until_now - found->times[state];
    }
    found->has_met = found->has_known && fb_history_mark_equal(entry->mark, found->known.upto);
}

static fb_code_t show(found_t *found, const fb_history_entry_t *entry, fb_error_t *error)
{
    const fb_resource_t *resource = found->ask->resource;
    fb_buffer_t *out = &found->entries;
    if (found->shown == found->ask->limit) {
        found->has_more = true;
        return FB_OK;
    }
    for (unsigned i = 0; i < resource->field_count; i++) {
        const fb_field_t *field = &resource->fields[i];
        fb_value_t value = {.given = true, .null = entry->texts[i].at == NULL};
        if (value.null ? (field->flags & FB_NULLABLE) == 0
                       : !fb_field_from_text(field, entry->texts[i], &value))
            return fb_fail(error, FB_CONFIG,
                           "the history of machine %u in Redis has an entry "
                           "whose %s is strange",
                           found->ask->machine, field->name);
        fb_buffer_printf(out, "%s\"%s\":",
                         i > 0              ? ","
                         : found->shown > 0 ? ",{"
                                            : "{",
                         field->name);
        fb_field_put_json(field, &value, out);
    }
    fb_buffer_put_char(out, '}');
    found->shown++;
    found->shown_last = entry->mark;
    return FB_OK;
}

static fb_code_t on_entry(void *context, const fb_history_entry_t *entry, fb_error_t *error)
{
    found_t *found = context;
    if (!found->has_end)
        found->end_ms = later_of_now(found, entry->mark.ms);
    found->has_end = true;
    if (found->counts && !found->has_met)
        count_entry(found, entry);
    return found->shows ? show(found, entry, error) : FB_OK;
}

/* --- asking the store -------------------------------------------------------------------- */

/* The place before a mark; false where it is the first one there is. */
static bool step_back(fb_history_mark_t *mark)
{
    if (mark->number > 0) {
        mark->number--;
        return true;
    }
    if (mark->ms == 0)
        return false;
    *mark = (fb_history_mark_t){mark->ms - 1, FB_HISTORY_NUMBER_MAX};
    return true;
}

/* At most `max` entries, from `to` back to `from_ms`. */
static fb_code_t ask_store(found_t *found, fb_store_t *store, uint64_t from_ms,
                           fb_history_mark_t to, size_t max, size_t *count, fb_error_t *error)
{
    const fb_history_ask_t *ask = found->ask;
    const char *names[FB_FIELDS_MAX];
    for (unsigned i = 0; i < ask->resource->field_count; i++)
        names[i] = ask->resource->fields[i].name;
    const fb_history_question_t question = {
        .name = ask->resource->history,
        .id = ask->machine,
        .from = {from_ms, 0},
        .to = to,
        .max = max,
        .fields = names,
        .field_count = ask->resource->field_count,
    };
    *count = 0;
    fb_code_t code = fb_patience_check(&ask->patience, "the history", error);
    if (code != FB_OK)
        return code;
    return store->vtable->history(store, &question, on_entry, found, count, &found->info, error);
}

/* The page. Its entries are counted, too, where it is the first one. */
static fb_code_t fetch_page(found_t *found, fb_store_t *store, fb_error_t *error)
{
    const fb_history_ask_t *ask = found->ask;
    fb_history_mark_t to = {FB_HISTORY_MS_MAX, FB_HISTORY_NUMBER_MAX};
    size_t count = 0;
    if (found->has_end)
        to.ms = found->end_ms;
    if (ask->has_before)
        to = ask->before;
    if (ask->has_before && !step_back(&to))
        return FB_OK;
    found->shows = true;
    found->counts = !ask->has_before;
    fb_code_t code = ask_store(found, store, found->begin_ms, to, ask->limit + 1, &count, error);
    found->shows = false;
    if (!found->has_end)
        found->end_ms = later_of_now(found, 0);
    found->has_end = true;
    return code;
}

/* Reads on from where it is counted, back to that place, or to what is known. */
static fb_code_t count_back(found_t *found, fb_store_t *store, uint64_t from_ms, fb_error_t *error)
{
    fb_history_mark_t to = {found->end_ms, FB_HISTORY_NUMBER_MAX};
    size_t count = FB_HISTORY_LIMIT_MAX;
    fb_code_t code = FB_OK;
    while (code == FB_OK && count == FB_HISTORY_LIMIT_MAX && !found->has_met &&
           found->counted <= FB_HISTORY_COUNTED_MAX) {
        if (found->counted > 0)
            to = found->counted_last;
        if (found->counted > 0 && !step_back(&to))
            break;
        code = ask_store(found, store, from_ms, to, FB_HISTORY_LIMIT_MAX, &count, error);
    }
    return code;
}

static void count_anew(found_t *found)
{
    memset(found->times, 0, sizeof(found->times));
    memset(&found->counting, 0, sizeof(found->counting));
    found->counted = 0;
    found->has_until = found->has_known = found->has_met = false;
}

/* Adds what is known, where that still holds; else all is counted. */
static fb_code_t add_known(found_t *found, fb_store_t *store, fb_error_t *error)
{
    bool holds = found->has_met && fb_history_mark_equal(found->known.oldest, found->info.oldest);
    if (!holds) {
        count_anew(found);
        return count_back(found, store, found->begin_ms, error);
    }
    for (unsigned i = 0; i <= FB_EQUIPMENT_STATES; i++)
        found->times[i] += found->known.times[i];
    found->until_ms = found->known.oldest.ms;
    found->counted_last = found->known.oldest;
    return FB_OK;
}

/* For the next time, where all of the history was counted. */
static void keep_counted(found_t *found)
{
    fb_history_counted_t *counting = &found->counting;
    if (found->counted == 0 || !fb_history_mark_equal(found->counted_last, found->info.oldest) ||
        found->counted > FB_HISTORY_COUNTED_MAX)
        return;
    counting->machine = found->ask->machine;
    counting->oldest = found->info.oldest;
    memcpy(counting->epoch, found->ask->epoch, sizeof(counting->epoch));
    for (unsigned i = 0; i <= FB_EQUIPMENT_STATES; i++)
        counting->times[i] += found->times[i];
    fb_history_times_keep(found->ask->times, counting);
}

/* What is left of the range, as far as it is counted at all. */
static fb_code_t fetch_times(found_t *found, fb_store_t *store, fb_error_t *error)
{
    bool is_left = (found->ask->has_before || found->has_more) && !found->has_met;
    uint64_t from_ms = found->has_known ? found->known.upto.ms : found->begin_ms;
    fb_code_t code = FB_OK;
    found->counts = true;
    if (is_left)
        code = count_back(found, store, from_ms, error);
    if (code == FB_OK && found->has_known)
        code = add_known(found, store, error);
    if (code == FB_OK && found->ask->times != NULL)
        keep_counted(found);
    return code;
}

/* What was so when the range began. */
static fb_code_t fetch_before(found_t *found, fb_store_t *store, fb_error_t *error)
{
    fb_code_t code = FB_OK;
    size_t count;
    if (!found->ask->has_from)
        return FB_OK;
    if (found->begin_ms > 0) {
        const fb_history_mark_t to = {found->begin_ms - 1, FB_HISTORY_NUMBER_MAX};
        code = ask_store(found, store, 0, to, 1, &count, error);
    }
    count_state(found, UNKNOWN, found->begin_ms);
    return code;
}

/* --- the answer -------------------------------------------------------------------------- */

static void put_times(const found_t *found, fb_buffer_t *body)
{
    if (found->counted > FB_HISTORY_COUNTED_MAX) {
        fb_buffer_put_literal(body, "null");
        return;
    }
    for (unsigned i = 0; i <= FB_EQUIPMENT_STATES; i++)
        fb_buffer_printf(body, "%s\"%s\":%llu.%03u", i > 0 ? "," : "{",
                         i < FB_EQUIPMENT_STATES ? fb_equipment_states[i] : "unknown",
                         (unsigned long long)(found->times[i] / 1000),
                         (unsigned)(found->times[i] % 1000));
    fb_buffer_put_char(body, '}');
}

static void put_answer(const found_t *found, fb_buffer_t *body)
{
    const fb_history_ask_t *ask = found->ask;
    uint64_t added = found->info.added;
    fb_buffer_printf(body, "{\"%s\":%u,\"from\":", fb_resource_id_name(ask->resource),
                     ask->machine);
    if (ask->has_from)
        fb_json_put_instant(body, ask->from);
    else
        fb_buffer_put_literal(body, "null");
    fb_buffer_put_literal(body, ",\"to\":");
    fb_json_put_instant(body, (fb_instant_t)found->end_ms);
    fb_buffer_put_literal(body, ",\"history\":[");
    fb_buffer_put_slice(body, fb_buffer_slice(&found->entries));
    fb_buffer_put_literal(body, "],\"time_in_state\":");
    put_times(found, body);
    fb_buffer_put_literal(body, ",\"dropped\":");
    fb_buffer_put_u64(body, added > found->info.length ? added - found->info.length : 0);
    fb_buffer_put_literal(body, ",\"kept_from\":");
    if (found->info.length > 0)
        fb_json_put_instant(body, (fb_instant_t)found->info.oldest.ms);
    else
        fb_buffer_put_literal(body, "null");
    fb_buffer_put_literal(body, ",\"next\":");
    if (found->has_more)
        put_cursor(found, body);
    else
        fb_buffer_put_literal(body, "null");
    fb_buffer_put_char(body, '}');
}

fb_code_t fb_history_fetch(const fb_history_ask_t *ask, fb_store_t *store, fb_instant_t now,
                           fb_buffer_t *body, fb_error_t *error)
{
    found_t found = {.ask = ask, .now = now, .has_end = ask->has_to || ask->has_before};
    found.begin_ms = ask->has_from ? (uint64_t)ask->from : 0;
    found.end_ms = (uint64_t)(ask->has_before ? ask->until : ask->to);
    found.has_known = ask->times != NULL &&
                      fb_history_times_find(ask->times, ask->machine, ask->epoch, &found.known) &&
                      found.begin_ms <= found.known.oldest.ms &&
                      (!found.has_end || found.known.upto.ms <= found.end_ms);
    fb_code_t code = fetch_page(&found, store, error);
    if (code == FB_OK && found.begin_ms > found.end_ms)
        code = refuse_range(error);
    if (code == FB_OK)
        code = fetch_times(&found, store, error);
    if (code == FB_OK)
        code = fetch_before(&found, store, error);
    if (code == FB_OK)
        put_answer(&found, body);
    fb_buffer_dispose(&found.entries);
    return code;
}
