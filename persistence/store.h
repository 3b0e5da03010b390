/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "base/position.h"
#include "base/slice.h"
#include "persistence/notes.h"

/* The contract of what keeps a fleet for ever: one log of changes, and the state they add up to.
 * store_redis.c is the real one; store_memory.c is for tests and bench of this contract.
 *
 * The log's entries are the revisions, dense from 1. An entry's payload is the JSON array of the
 * operations of one change, which the store applies to its state in the same step:
 *
 *     ["put", "machine", 42, {"label": "Digger 7", ...}]            the row, whole: all its fields
 *     ["put", "status", 42, {"status": "red", ...}, "history", MS]  and an entry of its history
 *     ["delete", "machine", 42]                                     the row goes, its id stays used
 *     ["days", "maintenance", 42, "2026-11-21", 10, 1]              10 days' bits of 42 set to 1
 *     ["days", "booked", [7, 9], "2026-11-21", 10, 1]               the same of several
 *     ["archive", "order", [7, 9]]                                  the rows stay, but a load does
 *                                                                   not bring them (one id, or an
 *                                                                   array) until they are put
 * again; the ids count as used
 *     ["queue", "orders", 7]                                        the id goes into that queue
 *
 * All values of a row are texts, and it has at least one field; with a history, at most
 * FB_HISTORY_FIELDS_MAX. Names
 * of rows, planes and histories are [a-z][a-z0-9_-]{0,31}; ids are 1 to 2^32 - 1; dates are those
 * of base/date.h (1970-01-01 to 2399-12-31), to which the days of an operation are confined. A
 * change may have no operation. A store knows no domain: only these operations.
 *
 * A history keeps what a row was: so many entries, and none that is older than the newest by more
 * than so many milliseconds, as the store was told when it was made; or some more, for it is
 * trimmed, roughly, when an entry is added. It stays when the row goes. MS is the instant of the
 * entry, in milliseconds since 1970, at most FB_HISTORY_MS_MAX. The instants of one row should not
 * go back: an entry whose instant does comes behind the others all the same, under a later one.
 *
 * Not thread-safe: a store belongs to the thread that uses it (the writer's, or one that reads).
 * Every call blocks; each wait within it (to connect, for the next bytes of an answer) is at most
 * the store's own timeout, so that a long load goes on as long as data comes. */
typedef struct fb_store fb_store_t;

#define FB_COMMAND_BYTES         32 /* hexadecimal digits: the author's, then random ones */
#define FB_AUTHOR_BYTES          8  /* hexadecimal digits: which process it is of */
#define FB_SCHEMA_VERSION        1
#define FB_STORE_BATCH_MAX       1024       /* changes a commit */
#define FB_STORE_BATCH_BYTES_MAX (64 << 20) /* of their payloads together */

/* One entry of the log. */
typedef struct {
    uint64_t revision;
    char chain[FB_CHAIN_BYTES + 1];     /* fb_chain_next(chain before, command, payload) */
    char command[FB_COMMAND_BYTES + 1]; /* by which its author finds it again */
    char sum[FB_SUM_BYTES + 1];         /* of the state after it; "": not known */
    fb_slice_t payload;
} fb_entry_t;

/* What a load brings. All slices are borrowed for the call. */
typedef struct {
    void *context;
    /* A row: the texts of the asked fields in their order, `at` NULL where the row has none. */
    fb_code_t (*on_row)(void *context, size_t family, uint32_t id, const fb_slice_t *texts,
                        fb_error_t *error);
    /* The bitmap of a day, as Redis keeps it (bit 7 - n % 8 of byte n / 8). `date`: YYYY-MM-DD. */
    fb_code_t (*on_day)(void *context, size_t plane, fb_slice_t date, fb_slice_t bytes,
                        fb_error_t *error);
    /* The highest id that the family ever gave out. */
    void (*on_last_id)(void *context, size_t family, uint32_t id);
    /* Others need the cores meanwhile: take a little longer, and leave them room. */
    bool gently;
} fb_store_sink_t;

/* The place of an entry in a history: its instant, and its number within that millisecond. */
typedef struct {
    uint64_t ms, number;
} fb_history_mark_t;

#define FB_HISTORY_NUMBER_MAX UINT64_MAX
#define FB_HISTORY_MS_MAX     99999999999999
#define FB_HISTORY_FIELDS_MAX 500
#define FB_HISTORY_PAGE_MAX   1024 /* entries: what Redis reads in some tenths of a millisecond */

typedef struct {
    const char *name;           /* "history": fb:{f}:history:42 */
    uint32_t id;                /* of the row */
    fb_history_mark_t from, to; /* both are included */
    size_t max;                 /* entries, 1 to FB_HISTORY_PAGE_MAX */
    const char *const *fields;
    size_t field_count;
} fb_history_question_t;

/* An entry, borrowed for the call: the texts of the asked fields in their order, `at` NULL where it
 * has none. */
typedef struct {
    fb_history_mark_t mark;
    const fb_slice_t *texts;
} fb_history_entry_t;

/* What there is of a history; all 0 where there is none. */
typedef struct {
    uint64_t added; /* entries that it ever had */
    uint64_t length;
    fb_history_mark_t oldest; /* the entry that is left; where `length` is not 0 */
} fb_history_info_t;

/* A job of a queue: an id that a commit has put there, with the place by which Redis knows it. */
typedef struct {
    fb_history_mark_t mark;
    uint32_t id;
} fb_queue_job_t;

#define FB_QUEUE_PAGE_MAX 1024 /* jobs of one call */

/* Who takes jobs out of which queue. */
typedef struct {
    const char *queue;    /* "orders": the stream fb:{f}:orders, with the group of the same name */
    const char *consumer; /* this instance among all that take from it */
} fb_queue_t;

typedef struct {
    uint64_t length;  /* jobs that are not done */
    uint64_t pending; /* of these, those that somebody has */
} fb_queue_info_t;

/* What there is to load. */
typedef struct {
    const char *row_name; /* "machine": fb:{f}:machine:42 */
    /* "machines": fb:{f}:machines, the bitmap of the ids that exist. Always as
     * base/set_name.h makes it of the row_name, for an operation carries the row_name alone. */
    const char *set_name;
    const char *const *fields;
    size_t field_count;
} fb_store_family_t;

typedef struct {
    const fb_store_family_t *families;
    size_t family_count;
    const char *const *planes; /* "maintenance", "booked" */
    size_t plane_count;
} fb_store_schema_t;

/* Who has something else to do while a commit is on its way. */
typedef struct {
    void *context;
    /* Called by the store once the commit is sent, and again when the nanoseconds that it returns
     * have passed without an answer. It must not use the store. */
    uint64_t (*on_waiting)(void *context);
} fb_store_waiter_t;

/* Each of these returns FB_UNAVAILABLE where the store cannot be reached, or is not willing now;
 * the next call tries to reach it again. FB_CONFIG where what it holds is not a fleet that this
 * fleetbit knows (another schema version, keys of a wrong type). */
typedef struct {
    /* The head of the log; a fleet that is new gets its head (with a random epoch) first. */
    fb_code_t (*head)(fb_store_t *store, fb_position_t *head, fb_error_t *error);
    /* Appends `entries[0 .. count-1]` and applies them, all or none, durable when it returns
     * FB_OK; FB_STALE where the head is not `expected` (epoch, revision and chain);
     * FB_OUTCOME_UNKNOWN where the answer was lost: it may have landed, or may still.
     * FB_UNAVAILABLE: it has not landed and will not. FB_INTERNAL where a payload is not as above,
     * FB_BODY_TOO_LARGE beyond FB_STORE_BATCH_BYTES_MAX. `waiter` (NULL: none) waits with it; a
     * commit that was not sent has not called it. */
    fb_code_t (*commit)(fb_store_t *store, const fb_position_t *expected, const fb_entry_t *entries,
                        size_t count, const fb_store_waiter_t *waiter, fb_error_t *error);
    /* The entries after `revision`, at most `max`, oldest first, to `on_entry` (which may fail and
     * so end it); `*count` says how many it took, `*head` is the head of that same moment, and set
     * before an entry is handed on.
     * FB_TRIMMED where the log no longer has the next one; FB_DIVERGED where it ends before
     * `revision`, or is not there. Writes nothing, not even the head of a new fleet. */
    fb_code_t (*read)(fb_store_t *store, uint64_t revision, size_t max,
                      fb_code_t (*on_entry)(void *context, const fb_entry_t *entry,
                                            fb_error_t *error),
                      void *context, size_t *count, fb_position_t *head, fb_error_t *error);
    /* The log does not continue what somebody has shown of the epoch `ended`: begins a new one, so
     * that no token names two states, unless the head has left `ended` already. `*head` is the head
     * afterwards: the same state in another epoch, and the one that ended among the former ones. */
    fb_code_t (*begin_epoch)(fb_store_t *store, const char *ended, fb_position_t *head,
                             fb_error_t *error);
    /* All rows, days and last ids. Others may write meanwhile: what comes may be newer than a head
     * noted before, never older, and applying the log from that head on makes it exact. */
    fb_code_t (*load)(fb_store_t *store, const fb_store_schema_t *schema,
                      const fb_store_sink_t *sink, fb_error_t *error);
    /* A page of a history, newest first, to `on_entry` (which may fail and so end it); `*count`
     * says how many it took, `*info` what there is of the history afterwards: what was dropped
     * before the page was read, it counts. Writes nothing. */
    fb_code_t (*history)(fb_store_t *store, const fb_history_question_t *question,
                         fb_code_t (*on_entry)(void *context, const fb_history_entry_t *entry,
                                               fb_error_t *error),
                         void *context, size_t *count, fb_history_info_t *info, fb_error_t *error);
    /* Those of the rows that there are, archived or not, to `on_row`, in the order of `ids` (at
     * most FB_HISTORY_PAGE_MAX). Writes nothing. */
    fb_code_t (*rows)(fb_store_t *store, const fb_store_family_t *family, const uint32_t *ids,
                      size_t count,
                      fb_code_t (*on_row)(void *context, uint32_t id, const fb_slice_t *texts,
                                          fb_error_t *error),
                      void *context, fb_error_t *error);
    /* Jobs that nobody has, oldest first: at most `max` (1 to FB_QUEUE_PAGE_MAX), into `jobs`. They
     * are the consumer's until they are done. Also a sign that the consumer lives. Does not wait
     * for any. After the store has lost its connection, and with it perhaps an answer, those come
     * first that the consumer has already: so the same job may come twice. */
    fb_code_t (*queue_take)(fb_store_t *store, const fb_queue_t *queue, size_t max,
                            fb_queue_job_t *jobs, size_t *count, fb_error_t *error);
    /* As queue_take, jobs of consumers that have given no sign for `idle_ms`; a consumer without
     * a sign and without a job is forgotten. The consumer has given a sign by this, too, and with
     * a `max` of 0 nothing but that. */
    fb_code_t (*queue_claim)(fb_store_t *store, const fb_queue_t *queue, uint64_t idle_ms,
                             size_t max, fb_queue_job_t *jobs, size_t *count, fb_error_t *error);
    /* They leave the queue, whoever has them: at most FB_QUEUE_PAGE_MAX. */
    fb_code_t (*queue_done)(fb_store_t *store, const fb_queue_t *queue, const fb_queue_job_t *jobs,
                            size_t count, fb_error_t *error);
    /* The consumer goes: what it has not done goes into the queue again, for the others. */
    fb_code_t (*queue_leave)(fb_store_t *store, const fb_queue_t *queue, fb_error_t *error);
    fb_code_t (*queue_info)(fb_store_t *store, const fb_queue_t *queue, fb_queue_info_t *info,
                            fb_error_t *error);
    /* Takes the lease where nobody has it, and makes it last from now on where the owner has it;
     * `*is_held` says whether he has it now. */
    fb_code_t (*lease_take)(fb_store_t *store, const fb_lease_t *lease, bool *is_held,
                            fb_error_t *error);
    /* Gives it back, where the owner has it. */
    fb_code_t (*lease_leave)(fb_store_t *store, const fb_lease_t *lease, fb_error_t *error);
    /* Sets these fields, all or none, and leaves the others as they are. */
    fb_code_t (*notes_put)(fb_store_t *store, const fb_notes_t *notes, const fb_slice_t *texts,
                           fb_error_t *error);
    /* The texts of these fields in their order, `at` NULL where there is none, to `on_notes`, which
     * borrows them for the call. Writes nothing. */
    fb_code_t (*notes_read)(fb_store_t *store, const fb_notes_t *notes,
                            void (*on_notes)(void *context, const fb_slice_t *texts), void *context,
                            fb_error_t *error);
    /* What an acknowledgement is worth here, in one sentence for the log at start (the store's,
     * until the next call). */
    fb_code_t (*durability)(fb_store_t *store, bool *fsynced, fb_slice_t *sentence,
                            fb_error_t *error);
    /* How many entries the log has. */
    fb_code_t (*log_length)(fb_store_t *store, uint64_t *entries, fb_error_t *error);
    void (*destroy)(fb_store_t *store);
} fb_store_vtable_t;

struct fb_store {
    const fb_store_vtable_t *vtable;
};

/* The chain hash of an entry: XXH3 (128 bits, canonical, hexadecimal) of the chain before it, its
 * command id and its payload. The chain before revision 1 is 32 zeros. */
void fb_chain_next(const char *chain, const char *command, fb_slice_t payload,
                   char next[FB_CHAIN_BYTES + 1]);

/* What every store checks of a commit before anything else: its bounds (FB_BODY_TOO_LARGE), and by
 * assertion that the revisions and chains follow upon `expected`. */
fb_code_t fb_store_check_commit(const fb_position_t *expected, const fb_entry_t *entries,
                                size_t count, fb_error_t *error);
