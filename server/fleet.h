/* SPDX-License-Identifier: MIT */
#pragma once

#include "cache/shelf.h"
#include "persistence/store.h"
#include "resources/idempotency.h"
#include "server/metrics.h"
#include "server/news.h"

/* One fleet in this process: its store, the shelf with its snapshots, and the way of a write from
 * commands to the next snapshot. It belongs to one thread, the writer's (or that of `seed`).
 *
 *     create ──► load ──► commit, catch_up, set_today ... ──► destroy
 *
 * Every snapshot that is put on the shelf is one state of the log: in all of them position, rows,
 * days and indexes agree. */
typedef struct fb_fleet fb_fleet_t;

#define FB_ETAG_BYTES 18 /* 16 hexadecimal digits in quotes */

/* One write: a command and, afterwards, its answer. */
typedef struct fb_write {
    const fb_command_t *command;
    fb_args_t args;                          /* owned */
    char *if_match;                          /* owned: the If-Match field; NULL: none */
    fb_idempotency_t *key;                   /* owned: the Idempotency-Key; NULL: none */
    uint64_t deadline_ms;                    /* monotonic; after it the write is given up */
    struct fb_write *next;                   /* in the writer's queue */
    void (*on_done)(struct fb_write *write); /* once, on the writer's thread */
    void *context;                           /* of on_done */
    /* the answer */
    fb_buffer_t body;     /* what the command shows, at the write's own revision */
    fb_buffer_t location; /* FB_ANSWER_CREATED, _ACCEPTED: the path of the thing */
    char etag[FB_ETAG_BYTES + 1];
    uint32_t ids[FB_PATH_IDS_MAX]; /* those of the path of what it shows */
    bool is_replay;                /* it was done before: the answer is what came of that */
    fb_position_t position;        /* the write's own revision; where it failed, the one it saw */
    fb_error_t error;              /* its code is FB_OK where the write landed */
} fb_write_t;

/* Nothing but the code of its error: the texts of one are long, and say nothing without a code. */
void fb_write_init(fb_write_t *write, const fb_command_t *command);
void fb_write_dispose(fb_write_t *write);

/* The strong validator of a body (RFC 9110, section 8.8.3): XXH3 of its bytes, so that it is the
 * same on every instance. */
void fb_etag(fb_slice_t body, char etag[FB_ETAG_BYTES + 1]);
/* Does an If-Match or If-None-Match field ("*" or a list) name this validator? Weak ones only
 * where `weak` (RFC 9110, sections 13.1.1 and 13.1.2). */
bool fb_etag_matches(fb_slice_t field, const char *etag, bool weak);

/* What became of the coherence with Redis and the other instances. */
typedef struct {
    uint64_t news_total;           /* changes of others that a publication brought */
    uint64_t log_total;            /* changes of others that were read from the log */
    uint64_t stale_total;          /* own batches that came second, and were planned again */
    uint64_t reloads_total;        /* the log could not be followed */
    uint64_t lost_revisions_total; /* acknowledged or shown, and missing when Redis came back */
    uint64_t sum_faults_total;     /* changes after which the state was not what their author had */
    bool sum_differs;              /* is it so now? */
} fb_fleet_stats_t;

/* Takes the store over; borrows the shelf and the rules. */
fb_fleet_t *fb_fleet_create(fb_store_t **store, fb_shelf_t *shelf, const fb_rules_t *rules);
/* What it measures for others to read at any time. */
typedef struct {
    fb_counter_t head_revision; /* of the log, when its head was last seen */
    fb_histogram_t commits;     /* how long Redis took for those that it answered */
} fb_fleet_meter_t;

/* What the fleet tells its owner, on the thread that it belongs to; each may be NULL. */
typedef struct {
    void (*on_snapshot)(void *context); /* a new one was put on the shelf */
    /* The store works on a batch: called once it is sent, and again when the nanoseconds that it
     * returns have passed without an answer. */
    uint64_t (*on_waiting)(void *context);
    void *context;
    fb_fleet_meter_t *meter;
} fb_fleet_hooks_t;

/* Before the first load. `news` (borrowed; NULL: none) says what others commit. */
void fb_fleet_connect(fb_fleet_t *fleet, fb_news_t *news, const fb_fleet_hooks_t *hooks);
/* No reader of the shelf may be left, and nothing may be put on it afterwards. */
void fb_fleet_destroy(fb_fleet_t **fleet);

fb_shelf_t *fb_fleet_shelf(const fb_fleet_t *fleet);
const fb_snapshot_t *fb_fleet_current(const fb_fleet_t *fleet);
/* The number that the shelf gave the current snapshot: what fb_shelf_reached is held against. */
uint64_t fb_fleet_shelf_number(const fb_fleet_t *fleet);
const fb_fleet_stats_t *fb_fleet_stats(const fb_fleet_t *fleet);
/* Names this process among those that write to the fleet: the first 8 digits of its command ids.
 * Random where nothing is set; before the first load. */
void fb_fleet_set_author(fb_fleet_t *fleet, uint32_t author);
uint32_t fb_fleet_author(const fb_fleet_t *fleet);
/* When it is our turn to write (CLOCK_MONOTONIC); see turns.h. */
uint64_t fb_fleet_turn_ns(const fb_fleet_t *fleet);
/* What the store says an acknowledgement is worth. */
fb_code_t fb_fleet_durability(fb_fleet_t *fleet, bool *fsynced, fb_slice_t *sentence,
                              fb_error_t *error);

/* Cold start, and again whenever the log cannot be followed: notes the head, loads everything,
 * applies the log from the noted head on, and puts the first (or next) snapshot on the shelf. */
fb_code_t fb_fleet_load(fb_fleet_t *fleet, fb_error_t *error);
/* Compares heads, and reads what others have written since; where the log does not continue this
 * state, begins a new epoch (unless somebody else has) and loads anew. */
fb_code_t fb_fleet_catch_up(fb_fleet_t *fleet, fb_error_t *error);
/* What there was to hear. */
typedef struct {
    bool something;
    bool asked_redis; /* it left a doubt, so heads were compared */
} fb_hearing_t;

/* Applies what the news bring, as far as it continues this state; catches up where it does not. */
fb_code_t fb_fleet_hear(fb_fleet_t *fleet, fb_hearing_t *hearing, fb_error_t *error);
/* The date has turned: a new snapshot of the same revision. */
void fb_fleet_set_today(fb_fleet_t *fleet, fb_day_t today);

/* Plans the writes, each upon the ones before it, and commits them together (in several batches
 * where they touch very many days). Afterwards each write has its own answer, and the snapshot that
 * shows what landed is on the shelf. FB_UNAVAILABLE or FB_OUTCOME_UNKNOWN where Redis was lost on
 * the way, FB_CONTENDED where other instances wrote first until `deadline_ms`, which bounds the
 * repetitions: the writes that could not be settled have such an error. */
fb_code_t fb_fleet_commit(fb_fleet_t *fleet, fb_write_t *const *writes, size_t count,
                          uint64_t deadline_ms, fb_error_t *error);

/* Within on_waiting: is it worth while to plan ahead now? Not where others write as well, for then
 * it is their turn next; nor where the plan is full, or what is under way may not land. */
bool fb_fleet_may_plan_ahead(const fb_fleet_t *fleet);
/* Within on_waiting: plans writes as if what is under way had landed already. Each call has those
 * of the call before, and more behind them; how many are planned. An fb_fleet_commit of just these
 * sends them at once where nothing came between, and plans them anew where something did. */
size_t fb_fleet_plan_ahead(fb_fleet_t *fleet, fb_write_t *const *writes, size_t count);
