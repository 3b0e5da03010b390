/* SPDX-License-Identifier: MIT */
/* How this instance follows the log, which is the truth, with the help of publications, which are
 * hints:
 *
 *     a publication of our epoch at revision + 1 ──► applied
 *     an older one                               ──► known already
 *     any other, a doubt, a second of silence    ──► heads are compared, the log is read
 *     the log does not continue our state        ──► a new epoch, and all is loaded anew
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/fleet_internal.h"

#define READ_ENTRIES 1000 /* of the log at a time */

void fb_fleet_saw_head(fb_fleet_t *fleet, uint64_t revision)
{
    if (fleet->hooks.meter != NULL)
        fb_count_set(&fleet->hooks.meter->head_revision, revision);
}

uint32_t fb_fleet_author_of(const char *command)
{
    char digits[FB_AUTHOR_BYTES + 1];
    snprintf(digits, sizeof(digits), "%.*s", FB_AUTHOR_BYTES, command);
    return (uint32_t)strtoul(digits, NULL, 16);
}

void fb_fleet_sum_text(const fb_snapshot_t *snapshot, char text[FB_SUM_BYTES + 1])
{
    snprintf(text, FB_SUM_BYTES + 1, "%016llx", (unsigned long long)fb_snapshot_sum(snapshot));
}

void fb_fleet_check_sum(fb_fleet_t *fleet, const fb_snapshot_t *snapshot)
{
    char sum[FB_SUM_BYTES + 1];
    const fb_position_t *position = &snapshot->position;
    if (position->sum[0] == '\0')
        return;
    fb_fleet_sum_text(snapshot, sum);
    bool differs = strcmp(sum, position->sum) != 0;
    fleet->stats.sum_faults_total += differs;
    if (differs && !fleet->stats.sum_differs)
        fb_log_error("the state of this instance has checksum %s at revision %s.%llu, but that of "
                     "its author had %s: fleetbit verify shows what differs",
                     sum, position->epoch, (unsigned long long)position->revision, position->sum);
    else if (!differs && fleet->stats.sum_differs)
        fb_log_info("the checksum of this instance agrees with the log again");
    fleet->stats.sum_differs = differs;
}

static const fb_position_t *position_of(const fb_reading_t *reading)
{
    return reading->stage != NULL ? &fb_stage_view(reading->stage)->position
                                  : &reading->fleet->current->position;
}

static void set_position(fb_reading_t *reading, const fb_position_t *position)
{
    if (reading->stage == NULL)
        reading->stage = fb_stage_begin(reading->fleet->current);
    fb_stage_set_position(reading->stage, position);
}

fb_code_t fb_fleet_apply(fb_reading_t *reading, const fb_entry_t *entry, fb_error_t *error)
{
    fb_fleet_t *fleet = reading->fleet;
    fb_change_t change = {0};
    fb_position_t position = *position_of(reading);
    fb_chain_next(position.chain, entry->command, entry->payload, position.chain);
    if (entry->revision != position.revision + 1 || strcmp(position.chain, entry->chain) != 0)
        return fb_fail(error, FB_DIVERGED, "entry %llu of the log does not continue %llu",
                       (unsigned long long)entry->revision, (unsigned long long)position.revision);
    fb_code_t code = fb_change_decode(&change, entry->payload, error);
    if (code == FB_OK) {
        position.revision = entry->revision;
        memcpy(position.sum, entry->sum, sizeof(position.sum));
        set_position(reading, &position);
        fb_stage_apply(reading->stage, &change);
        if (!reading->is_load)
            fb_fleet_check_sum(fleet, fb_stage_view(reading->stage));
        if (reading->command != NULL && strcmp(reading->command, entry->command) == 0)
            reading->found = true;
        uint32_t author = fb_fleet_author_of(entry->command);
        if (author != fleet->author)
            fb_turns_saw(&fleet->turns, author, fb_clock_monotonic_ns());
    }
    fb_change_dispose(&change);
    return code;
}

/* --- the log ----------------------------------------------------------------------------- */

typedef struct {
    fb_reading_t *reading;
    fb_position_t head;
} log_reading_t;

static bool is_same_epoch(const fb_position_t *one, const fb_position_t *other)
{
    return strcmp(one->epoch, other->epoch) == 0 && one->since == other->since;
}

/* Before the entries of an epoch that is new to us: their events carry its tokens. Should they not
 * continue our state, the stage is dropped with it. */
static void take_epoch(log_reading_t *log)
{
    fb_position_t position = *position_of(log->reading);
    if (is_same_epoch(&position, &log->head))
        return;
    memcpy(position.epoch, log->head.epoch, sizeof(position.epoch));
    memcpy(position.former, log->head.former, sizeof(position.former));
    position.since = log->head.since;
    set_position(log->reading, &position);
}

static fb_code_t on_entry(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    log_reading_t *log = context;
    log->reading->fleet->stats.log_total += !log->reading->is_load;
    take_epoch(log);
    return fb_fleet_apply(log->reading, entry, error);
}

fb_code_t fb_fleet_read_log(fb_reading_t *reading, fb_error_t *error)
{
    fb_fleet_t *fleet = reading->fleet;
    fb_store_t *store = fleet->store;
    log_reading_t log = {.reading = reading};
    const fb_position_t *head = &log.head;
    size_t count;
    do {
        fb_code_t code = store->vtable->read(store, position_of(reading)->revision, READ_ENTRIES,
                                             on_entry, &log, &count, &log.head, error);
        if (code != FB_OK)
            return code;
        fb_fleet_saw_head(fleet, head->revision);
    } while (count == READ_ENTRIES);
    const fb_position_t *position = position_of(reading);
    if (head->revision != position->revision || strcmp(head->chain, position->chain) != 0)
        return fb_fail(error, FB_DIVERGED, "the log has another revision %llu than this instance",
                       (unsigned long long)position->revision);
    /* The same state in another epoch: an instance that had seen more than the log has began it. */
    if (!is_same_epoch(position, head))
        set_position(reading, head);
    return FB_OK;
}

/* The log does not continue what we show, so some of it is gone: how much, the new epoch says. */
static void count_lost(fb_fleet_t *fleet, const fb_position_t *own, const fb_position_t *head)
{
    uint64_t lost = own->revision > head->since ? own->revision - head->since : 0;
    fleet->stats.lost_revisions_total += lost;
    if (lost > 0)
        fb_log_error("Redis has lost the revisions %llu to %llu of epoch %s, which this instance "
                     "had shown",
                     (unsigned long long)head->since + 1, (unsigned long long)own->revision,
                     own->epoch);
}

static fb_code_t reload(fb_fleet_t *fleet, fb_code_t reason, fb_error_t *error)
{
    fb_position_t head;
    const fb_position_t own = fleet->current->position;
    uint64_t begun_ms = fb_clock_monotonic_ms();
    fb_log_warning("loading the fleet anew: %s", error->detail);
    *error = (fb_error_t){0};
    /* Before the load: until then somebody may go on writing under tokens that we have shown for
     * other states. */
    fb_code_t code = fleet->store->vtable->begin_epoch(fleet->store, own.epoch, &head, error);
    if (code == FB_OK) {
        fb_fleet_saw_head(fleet, head.revision);
        code = fb_fleet_load(fleet, error);
    }
    if (code != FB_OK)
        return code;
    fleet->stats.reloads_total++;
    if (reason == FB_DIVERGED && strcmp(own.epoch, head.epoch) != 0)
        count_lost(fleet, &own, &head);
    const fb_position_t *position = &fleet->current->position;
    fb_log_info("loaded revision %s.%llu in %llu ms", position->epoch,
                (unsigned long long)position->revision,
                (unsigned long long)(fb_clock_monotonic_ms() - begun_ms));
    return FB_OK;
}

fb_code_t fb_fleet_follow(fb_fleet_t *fleet, const char *command, fb_followed_t *followed,
                          fb_error_t *error)
{
    fb_reading_t reading = {.fleet = fleet, .command = command};
    fb_code_t code = fb_fleet_read_log(&reading, error);
    *followed = (fb_followed_t){.found = code == FB_OK && reading.found};
    if (code == FB_OK) {
        if (reading.stage != NULL)
            fb_fleet_put_on_shelf(fleet, &reading.stage);
        return FB_OK;
    }
    if (reading.stage != NULL)
        fb_stage_abort(&reading.stage);
    if (code != FB_DIVERGED && code != FB_TRIMMED)
        return code;
    followed->reloaded = true;
    return reload(fleet, code, error);
}

fb_code_t fb_fleet_catch_up(fb_fleet_t *fleet, fb_error_t *error)
{
    fb_followed_t followed;
    return fb_fleet_follow(fleet, NULL, &followed, error);
}

/* --- publications ------------------------------------------------------------------------ */

/* One publication; false where it leaves a doubt. */
static bool hear_one(fb_reading_t *reading, const fb_publication_t *publication)
{
    const fb_position_t *position = position_of(reading);
    const fb_entry_t *entry = &publication->entry;
    fb_error_t error = {0};
    if (strcmp(publication->epoch, position->epoch) != 0)
        return false;
    if (entry->revision < position->revision)
        return true;
    fb_fleet_saw_head(reading->fleet, entry->revision);
    if (entry->revision == position->revision)
        return strcmp(entry->chain, position->chain) == 0;
    if (entry->revision > position->revision + 1 || fb_fleet_apply(reading, entry, &error) != FB_OK)
        return false;
    reading->fleet->stats.news_total++;
    return true;
}

fb_code_t fb_fleet_hear(fb_fleet_t *fleet, fb_hearing_t *hearing, fb_error_t *error)
{
    fb_publication_t publication;
    fb_reading_t reading = {.fleet = fleet};
    bool something = fleet->news != NULL && fb_news_take(fleet->news, &fleet->heard);
    *hearing = (fb_hearing_t){.something = something};
    if (!something)
        return FB_OK;
    hearing->asked_redis = fleet->heard.doubt;
    for (unsigned i = 0; i < fleet->heard.rival_count; i++) {
        const fb_rival_t *rival = &fleet->heard.rivals[i];
        fb_turns_wants(&fleet->turns, rival->author, rival->took_us * 1000,
                       fb_clock_monotonic_ns());
    }
    while (fb_news_next(&fleet->heard, &publication)) {
        if (!hear_one(&reading, &publication)) {
            hearing->asked_redis = true;
            break;
        }
    }
    if (reading.stage != NULL)
        fb_fleet_put_on_shelf(fleet, &reading.stage);
    return hearing->asked_redis ? fb_fleet_catch_up(fleet, error) : FB_OK;
}
