/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/feed_internal.h"
#include "server/feed_pass.h"

#define READ_BYTES 65536

typedef struct {
    fb_feed_t *feed;
    fb_feed_pass_t *pass;
    int spool;
    fb_feed_printer_t printer;
    bool is_read;  /* the pass has all that was spooled, for it is not the document of before */
    bool is_whole; /* the document is there to its end: what differs may be committed */
    bool has_more; /* it differs in more than one batch */
    char epoch[FB_EPOCH_BYTES + 1]; /* of the log when it was begun */
} turn_t;

/* --- the file ---------------------------------------------------------------------------- */

/* A file without a name. Where none can be made, as on a root that is read only, it is in memory,
 * and its size is bounded by feed.bytes. -1: errno says why. */
static int make_spool(void)
{
    char path[256];
    const char *folder = getenv("TMPDIR");
    int length = snprintf(path, sizeof(path), "%s/fleetbit-feed-XXXXXX",
                          folder != NULL && folder[0] != '\0' ? folder : P_tmpdir);
    int file = length < (int)sizeof(path) ? mkostemp(path, O_CLOEXEC) : -1;
    if (file >= 0)
        unlink(path);
    else
        file = memfd_create("fleetbit-feed", MFD_CLOEXEC);
    return file;
}

static fb_code_t spool(const turn_t *turn, fb_slice_t bytes, fb_error_t *error)
{
    while (bytes.len > 0) {
        ssize_t written = write(turn->spool, bytes.at, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fb_fail(error, FB_IO, "the document cannot be spooled: %s", strerror(errno));
        bytes = (fb_slice_t){bytes.at + written, bytes.len - (size_t)written};
    }
    return FB_OK;
}

/* --- batches ----------------------------------------------------------------------------- */

/* On the writer's thread. */
static void on_done(fb_write_t *write)
{
    fb_feed_t *feed = write->context;
    pthread_mutex_lock(&feed->mutex);
    feed->is_answered = true;
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->mutex);
}

static bool is_answered(fb_feed_t *feed)
{
    const struct timespec until = fb_clock_timespec(feed->care_ms * 1000000);
    int waited = 0;
    pthread_mutex_lock(&feed->mutex);
    while (!feed->is_answered && waited == 0)
        waited = pthread_cond_clockwait(&feed->wake, &feed->mutex, CLOCK_MONOTONIC, &until);
    bool is_it = feed->is_answered;
    feed->is_answered = false;
    pthread_mutex_unlock(&feed->mutex);
    return is_it;
}

/* The writer answers in any case, also while we are ending. Whether the lease is still ours counts
 * for the next batch. */
static void await_answer(fb_feed_t *feed)
{
    fb_error_t error = {0};
    while (!is_answered(feed))
        fb_feed_keep_lease(feed, false, &error);
}

/* From the first batch on, until the last one has landed, the plans are of no one document: nobody
 * may hold that of before for unchanged, whoever goes on from here. */
static fb_code_t forget_document(fb_feed_t *feed, fb_error_t *error)
{
    const fb_feed_validators_t *known = &feed->notes.validators;
    bool is_known = known->etag[0] != '\0' || known->last_modified[0] != '\0';
    fb_feed_forget(feed);
    return is_known ? fb_feed_notes_put(&feed->notes, feed->store, error) : FB_OK;
}

static fb_code_t submit(fb_feed_t *feed, fb_value_t *values, unsigned count, fb_buffer_t *texts,
                        fb_error_t *error)
{
    fb_write_t write;
    fb_write_init(&write, &fb_plans_put);
    fb_plans_ask(&write.args, values, count);
    write.args.decoded = *texts;
    write.on_done = on_done;
    write.context = feed;
    fb_code_t code = fb_feed_keep_lease(feed, true, error);
    if (code == FB_OK)
        code = forget_document(feed, error);
    if (code == FB_OK)
        code = fb_writer_submit(feed->writer, &write, error);
    if (code == FB_OK) {
        await_answer(feed);
        code = write.error.code;
        if (code == FB_OK)
            fb_count(&feed->state.changed, count);
        else if (code == FB_CONFLICT)
            code = FB_OK; /* somebody has put them meanwhile */
        else
            *error = write.error;
    }
    fb_write_dispose(&write);
    return code;
}

static fb_code_t on_batch(void *context, fb_value_t *values, unsigned count, fb_buffer_t *texts,
                          fb_error_t *error)
{
    turn_t *turn = context;
    turn->has_more |= !turn->is_whole;
    if (!turn->has_more)
        return submit(turn->feed, values, count, texts, error);
    free(values);
    fb_buffer_dispose(texts);
    return FB_OK;
}

/* --- reading ----------------------------------------------------------------------------- */

static fb_code_t on_tick(void *context, fb_error_t *error)
{
    const turn_t *turn = context;
    return fb_feed_keep_lease(turn->feed, false, error);
}

static void begin_pass(turn_t *turn)
{
    const fb_feed_batches_t batches = {turn, on_batch};
    fb_feed_pass_destroy(&turn->pass);
    turn->pass = fb_feed_pass_create(turn->feed->visitor, &batches);
}

/* All that is in the file by now. */
static fb_code_t read_spool(turn_t *turn, fb_error_t *error)
{
    char bytes[READ_BYTES];
    fb_code_t code = FB_OK;
    off_t at = 0;
    ssize_t len = 1;
    turn->is_read = true;
    begin_pass(turn);
    while (code == FB_OK && len > 0) {
        len = pread(turn->spool, bytes, sizeof(bytes), at);
        if (len < 0)
            return fb_fail(error, FB_IO, "the document cannot be read again: %s", strerror(errno));
        at += len;
        code = fb_feed_pass_put(turn->pass, (fb_slice_t){bytes, (size_t)len}, error);
        if (code == FB_OK && !fb_feed_wait(turn->feed, 0))
            code = fb_fail(error, FB_STALE, "this instance is ending");
        if (code == FB_OK)
            code = on_tick(turn, error);
    }
    return code;
}

static fb_code_t on_bytes(void *context, fb_slice_t bytes, fb_error_t *error)
{
    turn_t *turn = context;
    fb_code_t code = spool(turn, bytes, error);
    fb_feed_printer_put(&turn->printer, bytes);
    if (code != FB_OK || turn->printer.is_same)
        return code;
    return turn->is_read ? fb_feed_pass_put(turn->pass, bytes, error) : read_spool(turn, error);
}

/* To its end, and once more where it differs in more than one batch. */
static fb_code_t end_reading(turn_t *turn, fb_error_t *error)
{
    fb_code_t code = FB_OK;
    if (!turn->is_read)
        code = read_spool(turn, error);
    if (code == FB_OK)
        code = fb_feed_pass_end(turn->pass, error);
    turn->is_whole = code == FB_OK;
    if (code == FB_OK && turn->has_more) {
        turn->has_more = false;
        code = read_spool(turn, error);
        if (code == FB_OK)
            code = fb_feed_pass_end(turn->pass, error);
    }
    return code == FB_OK ? fb_feed_pass_flush(turn->pass, error) : code;
}

static fb_code_t read_document(turn_t *turn, const fb_feed_validators_t *known,
                               fb_feed_answer_t *answer, fb_error_t *error)
{
    const fb_feed_receiver_t receiver = {turn, on_bytes, on_tick};
    fb_feed_printer_begin(&turn->printer, &turn->feed->print);
    fb_code_t code = fb_feed_fetch_get(turn->feed->fetch, known, &receiver, answer, error);
    if (code == FB_OK && answer->has_document && !fb_feed_printer_end(&turn->printer))
        code = end_reading(turn, error);
    return code;
}

/* --- notes ------------------------------------------------------------------------------- */

/* By what the document of before is known. A Redis that begins another epoch may have lost plans of
 * it. */
static void find_known(turn_t *turn, fb_feed_validators_t *known)
{
    fb_feed_t *feed = turn->feed;
    const fb_snapshot_t *snapshot = fb_shelf_visit(feed->visitor);
    memcpy(turn->epoch, snapshot->position.epoch, sizeof(turn->epoch));
    fb_shelf_leave(feed->visitor);
    if (!fb_feed_notes_are_of(&feed->notes, feed->config.source.url) ||
        strcmp(turn->epoch, feed->notes.epoch) != 0)
        fb_feed_forget(feed);
    *known = feed->notes.validators;
}

static void note_document(turn_t *turn, const fb_feed_answer_t *answer)
{
    fb_feed_notes_t *notes = &turn->feed->notes;
    const fb_feed_found_t *found = fb_feed_pass_found(turn->pass);
    bool has_other_skips =
        !fb_slice_equal(fb_buffer_slice(&notes->skips), fb_buffer_slice(&found->skips)) ||
        notes->skipped != found->skipped;
    notes->bytes = answer->bytes;
    notes->plans = found->plans;
    notes->changed = found->differ;
    notes->skipped = found->skipped;
    notes->skips.len = 0;
    fb_buffer_put_slice(&notes->skips, fb_buffer_slice(&found->skips));
    fb_feed_print_dispose(&turn->feed->print);
    turn->feed->print = turn->printer.print;
    turn->printer.print = (fb_feed_print_t){0};
    if (found->differ > 0)
        fb_log_info("the feed has %llu plans, of which %llu are new or changed",
                    (unsigned long long)found->plans, (unsigned long long)found->differ);
    if (found->skipped > 0 && has_other_skips)
        fb_log_warning("%llu plans of the feed were skipped: %.*s",
                       (unsigned long long)found->skipped,
                       FB_PRINT(fb_buffer_slice(&found->skips)));
}

static void note_success(turn_t *turn, const fb_feed_answer_t *answer)
{
    fb_feed_notes_t *notes = &turn->feed->notes;
    if (notes->failures > 0)
        fb_log_info("the feed is there again, after %llu failures",
                    (unsigned long long)notes->failures);
    notes->succeeded_at = notes->fetched_at;
    notes->failures = 0;
    notes->error[0] = '\0';
    notes->changed = 0;
    if (!answer->has_document)
        return;
    notes->validators = answer->validators;
    memcpy(notes->epoch, turn->epoch, sizeof(notes->epoch));
    if (turn->is_read)
        note_document(turn, answer);
}

static void note_failure(fb_feed_t *feed, const fb_error_t *error)
{
    fb_feed_notes_t *notes = &feed->notes;
    if (notes->failures++ == 0)
        fb_log_warning("the feed %s could not be read: %s", notes->url, error->detail);
    snprintf(notes->error, sizeof(notes->error), "%s", error->detail);
}

static fb_feed_outcome_t note(turn_t *turn, const fb_feed_answer_t *answer, fb_code_t code,
                              const fb_error_t *error)
{
    fb_feed_t *feed = turn->feed;
    fb_feed_notes_t *notes = &feed->notes;
    if (!feed->is_ours || code == FB_STALE || (code != FB_OK && !fb_feed_wait(feed, 0)))
        return FB_FEED_ABANDONED;
    fb_feed_notes_begin(notes, feed->config.source.url);
    snprintf(notes->instance, sizeof(notes->instance), "%s", feed->config.name);
    notes->fetched_at = fb_clock_now();
    notes->status = answer->status;
    if (code != FB_OK) {
        note_failure(feed, error);
        return FB_FEED_FAILED;
    }
    note_success(turn, answer);
    return answer->has_document ? FB_FEED_READ : FB_FEED_UNCHANGED;
}

fb_feed_outcome_t fb_feed_turn(fb_feed_t *feed, fb_error_t *error)
{
    turn_t turn = {.feed = feed, .spool = make_spool()};
    fb_feed_answer_t answer = {0};
    fb_feed_validators_t known;
    fb_code_t code;
    find_known(&turn, &known);
    if (turn.spool < 0)
        code = fb_fail(error, FB_IO, "there is no file to spool the document: %s", strerror(errno));
    else
        code = read_document(&turn, &known, &answer, error);
    fb_feed_outcome_t outcome = note(&turn, &answer, code, error);
    fb_feed_pass_destroy(&turn.pass);
    fb_feed_printer_dispose(&turn.printer);
    if (turn.spool >= 0)
        close(turn.spool);
    return outcome;
}
