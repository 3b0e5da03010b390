/* SPDX-License-Identifier: MIT */
/* Who holds the same state as whom:
 *
 *     what Redis holds, loaded here  ── its checksum ──►  that of the head of the log
 *     an instance at revision R      ── its checksum ──►  that of entry R of the log
 *                                    ── its rows ──────►  those of Redis, where one of both differs
 *
 * So an instance can be judged at the revision at which it is, while others write. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "persistence/redis_url.h"
#include "persistence/store_redis.h"
#include "server/run.h"
#include "server/verify_internal.h"

#define CONNECT_MS 2000
#define REQUEST_MS 5000

void fb_verify_pause(void)
{
    usleep(FB_VERIFY_POLL_MS * 1000);
}

/* --- Redis ------------------------------------------------------------------------------- */

/* The Redis of somebody else; or the socket of a private one, which the server of its directory
 * has started. */
static fb_code_t redis_url(const fb_options_t *options, char text[FB_REDIS_URL_TEXT_BYTES],
                           fb_error_t *error)
{
    char directory[PATH_MAX];
    fb_redis_url_t url = {.is_unix = true};
    if (options->redis != NULL) {
        snprintf(text, FB_REDIS_URL_TEXT_BYTES, "%s", options->redis);
        return FB_OK;
    }
    if (realpath(options->data, directory) == NULL)
        return fb_fail(error, FB_CONFIG, "%.200s: there is no such directory", options->data);
    int len = snprintf(url.path, sizeof(url.path), "%s/redis.sock", directory);
    if (len >= (int)sizeof(url.path))
        return fb_fail(error, FB_CONFIG, "%.200s: the path of its redis.sock is too long",
                       directory);
    fb_redis_url_format_safe(&url, text);
    return FB_OK;
}

static fb_code_t open_redis(fb_verifier_t *verifier, const fb_options_t *options, fb_error_t *error)
{
    char url[FB_REDIS_URL_TEXT_BYTES];
    fb_store_t *store = NULL;
    const fb_store_redis_options_t store_options = {
        .url = url,
        .fleet = options->fleet,
        .timeout_ms = (unsigned)options->redis_timeout_ms,
        .log_length = options->redis_log_length,
    };
    verifier->rules = (fb_rules_t){.machine_types = (const char *const *)options->types,
                                   .machine_type_count = options->type_count};
    fb_code_t code = redis_url(options, url, error);
    if (code == FB_OK)
        code = fb_store_redis_create(&store_options, &verifier->log, error);
    if (code == FB_OK)
        code = fb_store_redis_create(&store_options, &store, error);
    if (code == FB_OK) {
        verifier->fleet = fb_fleet_create(&store, verifier->shelf, &verifier->rules);
        code = fb_fleet_load(verifier->fleet, error);
    }
    return code;
}

static void close_redis(fb_verifier_t *verifier)
{
    if (verifier->fleet != NULL)
        fb_fleet_destroy(&verifier->fleet);
    if (verifier->log != NULL)
        verifier->log->vtable->destroy(verifier->log);
    fb_shelf_destroy(&verifier->shelf);
}

/* What the log says of a revision. */
typedef struct {
    bool is_known;
    char chain[FB_CHAIN_BYTES + 1];
    char sum[FB_SUM_BYTES + 1]; /* "": it does not say */
} record_t;

static fb_code_t on_entry(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    record_t *record = context;
    (void)error;
    record->is_known = true;
    memcpy(record->chain, entry->chain, sizeof(record->chain));
    memcpy(record->sum, entry->sum, sizeof(record->sum));
    return FB_OK;
}

static fb_code_t find_record(fb_verifier_t *verifier, uint64_t revision, record_t *record,
                             fb_error_t *error)
{
    const fb_position_t *position = &fb_fleet_current(verifier->fleet)->position;
    fb_position_t head;
    size_t count;
    *record = (record_t){.is_known = false};
    if (revision == position->revision) {
        record->is_known = true;
        memcpy(record->chain, position->chain, sizeof(record->chain));
        memcpy(record->sum, position->sum, sizeof(record->sum));
        return FB_OK;
    }
    if (revision == 0)
        return FB_OK;
    fb_code_t code = verifier->log->vtable->read(verifier->log, revision - 1, 1, on_entry, record,
                                                 &count, &head, error);
    if (code != FB_TRIMMED && code != FB_DIVERGED)
        return code;
    *error = (fb_error_t){0};
    return FB_OK;
}

/* A fleet that follows the log begins a new epoch where it cannot: that is for instances to decide.
 * So it follows only where the log is seen to go on. */
fb_code_t fb_verify_refresh(fb_verifier_t *verifier, fb_error_t *error)
{
    const fb_position_t *own = &fb_fleet_current(verifier->fleet)->position;
    fb_position_t head;
    record_t next = {.is_known = false};
    fb_code_t code = verifier->log->vtable->head(verifier->log, &head, error);
    bool same_epoch = code == FB_OK && strcmp(head.epoch, own->epoch) == 0;
    if (code != FB_OK || (same_epoch && strcmp(head.chain, own->chain) == 0))
        return code;
    if (same_epoch && head.revision > own->revision)
        code = find_record(verifier, own->revision + 1, &next, error);
    if (code == FB_OK)
        code = next.is_known ? fb_fleet_catch_up(verifier->fleet, error)
                             : fb_fleet_load(verifier->fleet, error);
    fb_shelf_reclaim(verifier->shelf);
    return code;
}

/* --- verdicts ---------------------------------------------------------------------------- */

static void print_verdict(const char *verdict, const char *who, const char *epoch,
                          uint64_t revision, uint64_t sum, const char *reason)
{
    printf("%s %s %s.%llu %016llx%s%s\n", verdict, who, epoch, (unsigned long long)revision,
           (unsigned long long)sum, *reason ? ": " : "", reason);
}

static void print_note(const char *who, const char *text)
{
    fb_buffer_t line = {0};
    fb_buffer_printf(&line, "%s: %s", who, text);
    fb_buffer_put_char(&line, '\0');
    fb_print_error(line.at);
    fb_buffer_dispose(&line);
}

static bool is_sum(uint64_t sum, const char *text)
{
    char digits[FB_SUM_BYTES + 1];
    snprintf(digits, sizeof(digits), "%016llx", (unsigned long long)sum);
    return strcmp(digits, text) == 0;
}

static void judge_redis(fb_verifier_t *verifier)
{
    const fb_snapshot_t *snapshot = fb_fleet_current(verifier->fleet);
    const fb_position_t *position = &snapshot->position;
    uint64_t sum = fb_snapshot_sum(snapshot);
    char reason[80] = "";
    if (position->sum[0] == '\0')
        print_note("redis", "the log does not say which checksum its head has");
    else
        verifier->is_faulty = !is_sum(sum, position->sum);
    verifier->target = position->revision;
    verifier->different += verifier->is_faulty;
    if (verifier->is_faulty)
        snprintf(reason, sizeof(reason), "the log says %s", position->sum);
    print_verdict(verifier->is_faulty ? "different" : "equal", "redis", position->epoch,
                  position->revision, sum, reason);
}

/* --- an instance ------------------------------------------------------------------------- */

/* An instance, and what the log says of the revision at which it is. */
typedef struct {
    const fb_peer_t *peer;
    fb_peer_status_t status;
    fb_error_t error; /* of the instance: it does not answer */
    record_t record;
} meeting_t;

static bool is_in_epoch(const fb_verifier_t *verifier, const meeting_t *meeting)
{
    const fb_position_t *position = &fb_fleet_current(verifier->fleet)->position;
    return meeting->status.is_loaded && strcmp(meeting->status.epoch, position->epoch) == 0;
}

static bool is_at_revision(const fb_verifier_t *verifier, const meeting_t *meeting)
{
    const fb_position_t *position = &fb_fleet_current(verifier->fleet)->position;
    return is_in_epoch(verifier, meeting) && meeting->status.revision == position->revision;
}

/* Until it can be judged, or some seconds have passed. The codes are those of Redis. */
static fb_code_t meet(fb_verifier_t *verifier, meeting_t *meeting, fb_error_t *error)
{
    uint64_t deadline_ms = fb_clock_monotonic_ms() + FB_VERIFY_WAIT_MS;
    for (;;) {
        if (fb_peer_status(meeting->peer, &meeting->status, &meeting->error) != FB_OK)
            return FB_OK;
        fb_code_t code = fb_verify_refresh(verifier, error);
        meeting->record = (record_t){.is_known = false};
        if (code == FB_OK && is_in_epoch(verifier, meeting))
            code = find_record(verifier, meeting->status.revision, &meeting->record, error);
        bool has_come = meeting->status.revision >= verifier->target;
        if (code != FB_OK || fb_clock_monotonic_ms() >= deadline_ms)
            return code;
        if (is_at_revision(verifier, meeting) ||
            (has_come && meeting->record.is_known && meeting->record.sum[0] != '\0'))
            return FB_OK;
        fb_verify_pause();
    }
}

/* Why the two states are not to be compared; NULL where they are. */
static const char *reason_of(const fb_verifier_t *verifier, const meeting_t *meeting, char *text,
                             size_t size)
{
    const fb_position_t *position = &fb_fleet_current(verifier->fleet)->position;
    const fb_peer_status_t *status = &meeting->status;
    if (!is_in_epoch(verifier, meeting)) {
        snprintf(text, size, "redis is in epoch %s", position->epoch);
        return text;
    }
    if (status->revision < verifier->target) {
        snprintf(text, size, "it does not come to revision %llu of redis",
                 (unsigned long long)position->revision);
        return text;
    }
    if (!meeting->record.is_known)
        return "the log has no such revision";
    if (strcmp(status->chain, meeting->record.chain) != 0)
        return "it has come here by other changes than the log has";
    return NULL;
}

/* The subjects in which the two can differ: all, where they are not at the same revision. */
static uint32_t suspects_of(const fb_verifier_t *verifier, const meeting_t *meeting)
{
    const fb_snapshot_t *snapshot = fb_fleet_current(verifier->fleet);
    uint32_t suspects = 0;
    for (unsigned i = 0; i < verifier->subject_count; i++) {
        const fb_subject_t *subject = &verifier->subjects[i];
        uint64_t sum = subject->is_plane ? snapshot->plane_sums[subject->number]
                                         : snapshot->families[subject->number].sum;
        if (!is_at_revision(verifier, meeting) || sum != meeting->status.sums[i])
            suspects |= 1u << i;
    }
    return suspects;
}

static void put_names(const fb_verifier_t *verifier, uint32_t suspects, fb_buffer_t *text)
{
    const char *separator = "";
    for (unsigned i = 0; i < verifier->subject_count; i++) {
        if (!(suspects & 1u << i))
            continue;
        fb_buffer_printf(text, "%s%s", separator, verifier->subjects[i].name);
        separator = ", ";
    }
}

static fb_code_t drill(fb_verifier_t *verifier, const meeting_t *meeting, uint32_t suspects,
                       const char *blamed, fb_error_t *error)
{
    fb_error_t fault = {0};
    fb_code_t code = fb_verify_drill(verifier, meeting->peer, suspects, blamed, &fault);
    if (code == FB_OK)
        return FB_OK;
    print_note(meeting->peer->url, fault.detail);
    /* Was it the instance that failed, or Redis? Then it fails again. */
    return fb_verify_refresh(verifier, error);
}

/* It is as the log says. If Redis is not, it shows in which rows. */
static fb_code_t judge_equal(fb_verifier_t *verifier, const meeting_t *meeting, fb_error_t *error)
{
    const fb_peer_status_t *status = &meeting->status;
    print_verdict("equal", meeting->peer->url, status->epoch, status->revision, status->total, "");
    if (!verifier->is_faulty || verifier->is_explained)
        return FB_OK;
    verifier->is_explained = true;
    return drill(verifier, meeting, suspects_of(verifier, meeting), "redis", error);
}

static fb_code_t judge_different(fb_verifier_t *verifier, const meeting_t *meeting,
                                 const char *reason, fb_error_t *error)
{
    const fb_peer_status_t *status = &meeting->status;
    uint32_t suspects = suspects_of(verifier, meeting);
    fb_buffer_t text = {0};
    verifier->different++;
    if (reason != NULL)
        fb_buffer_put_text(&text, reason);
    else if (suspects == 0)
        fb_buffer_printf(&text, "as redis, but the log says %s", meeting->record.sum);
    else if (is_at_revision(verifier, meeting))
        put_names(verifier, suspects, &text);
    else
        fb_buffer_printf(&text, "the log says %s", meeting->record.sum);
    fb_buffer_put_char(&text, '\0');
    print_verdict("different", meeting->peer->url, status->epoch, status->revision, status->total,
                  text.at);
    fb_buffer_dispose(&text);
    return reason == NULL ? drill(verifier, meeting, suspects, meeting->peer->url, error) : FB_OK;
}

/* Is there something that its state can be held against? */
static void check_comparable(const fb_verifier_t *verifier, meeting_t *meeting)
{
    if (meeting->error.code != FB_OK)
        return;
    if (!meeting->status.is_loaded)
        fb_fail(&meeting->error, FB_UNAVAILABLE, "its fleet is still being loaded");
    else if (meeting->record.is_known && meeting->record.sum[0] == '\0' &&
             !is_at_revision(verifier, meeting))
        fb_fail(&meeting->error, FB_IO,
                "it moves on, and the log does not say which checksum it should have");
}

static fb_code_t judge(fb_verifier_t *verifier, const fb_peer_t *peer, fb_error_t *error)
{
    char text[120];
    meeting_t meeting = {.peer = peer};
    fb_code_t code = meet(verifier, &meeting, error);
    if (code != FB_OK)
        return code;
    check_comparable(verifier, &meeting);
    if (meeting.error.code != FB_OK) {
        verifier->unreachable++;
        printf("unreachable %s\n", peer->url);
        print_note(peer->url, meeting.error.detail);
        return FB_OK;
    }
    const char *reason = reason_of(verifier, &meeting, text, sizeof(text));
    if (reason != NULL)
        return judge_different(verifier, &meeting, reason, error);
    bool is_as_log_says =
        meeting.record.sum[0] != '\0'
            ? is_sum(meeting.status.total, meeting.record.sum)
            : is_at_revision(verifier, &meeting) && suspects_of(verifier, &meeting) == 0;
    return is_as_log_says ? judge_equal(verifier, &meeting, error)
                          : judge_different(verifier, &meeting, NULL, error);
}

/* --- the command ------------------------------------------------------------------------- */

static fb_code_t verify(fb_verifier_t *verifier, const fb_options_t *options, fb_error_t *error)
{
    fb_code_t code = fb_zone_set(options->zone, error);
    if (code == FB_OK)
        code = open_redis(verifier, options, error);
    if (code != FB_OK)
        return code;
    judge_redis(verifier);
    fb_http_t *http = fb_http_create(CONNECT_MS, REQUEST_MS);
    for (unsigned i = 0; i < options->instance_count && code == FB_OK; i++) {
        const fb_peer_t peer = {options->instances[i], options->fleet, http};
        code = judge(verifier, &peer, error);
    }
    fb_http_destroy(&http);
    return code;
}

fb_exit_t fb_verify(const fb_options_t *options)
{
    fb_error_t error = {0};
    fb_verifier_t verifier = {.shelf = fb_shelf_create()};
    verifier.subject_count = fb_subjects(verifier.subjects);
    fb_log_set_level((fb_log_level_t)fb_log_level_parse(options->log_level));
    fb_code_t code = verify(&verifier, options, &error);
    close_redis(&verifier);
    if (code != FB_OK) {
        fb_print_error(error.detail);
        return fb_exit_of(code);
    }
    return verifier.different > 0     ? FB_EXIT_DIFFERENT
           : verifier.unreachable > 0 ? FB_EXIT_UNREACHABLE
                                      : FB_EXIT_OK;
}
