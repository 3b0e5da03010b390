/* SPDX-License-Identifier: MIT */
#pragma once

#include <pthread.h>

#include "resources/registry.h"
#include "server/jobs.h"

/* What the parts of the thread share: jobs.c (its life), jobs_hand.c (what it has in hand),
 * jobs_queue.c (the queue in Redis), jobs_care.c (what belongs to no instance). All is of its
 * thread, but for what is under the mutex. */
#define FB_JOBS_TELL_MS                                                                            \
    20 /* entries at their end wait for others, so that the queue hears of many */

typedef enum { FB_JOB_NONE, FB_JOB_NEW, FB_JOB_WAITS, FB_JOB_OURS, FB_JOB_ENDED } fb_job_state_t;

typedef struct {
    fb_queue_job_t entry;
    fb_job_state_t state;
    unsigned asked;    /* commands under way that name it */
    bool is_to_see;    /* something has happened to it: the snapshot is to be looked at */
    bool is_current;   /* the snapshot shows at least the state in which the entry was made */
    bool is_alone;     /* a command with others in it was refused: it goes by itself */
    uint64_t again_ms; /* monotonic: before that it is not asked for once more */
    fb_instant_t due;  /* OURS: when it is to be finished */
} fb_job_t;

typedef enum {
    FB_JOBS_TAKE,
    FB_JOBS_FINISH,
    FB_JOBS_EXPIRE,
    FB_JOBS_REQUEUE,
    FB_JOBS_ARCHIVE,
    FB_JOBS_ASKS,
} fb_jobs_ask_t;

/* A command on its way to the writer and back. */
typedef struct fb_jobs_command {
    fb_write_t write;
    struct fb_jobs_command *next;
    struct fb_jobs *jobs;
    fb_jobs_ask_t ask;
    unsigned count;       /* orders */
    unsigned place_count; /* of jobs in hand: as many, or 0 */
    uint16_t places[];
} fb_jobs_command_t;

/* A pause that doubles with each failure. */
typedef struct {
    uint64_t until_ms, pause_ms; /* monotonic; 0: none */
} fb_jobs_pause_t;

struct fb_jobs {
    fb_jobs_config_t config;
    fb_jobs_state_t state;
    fb_queue_t queue;
    fb_writer_t *writer;
    fb_store_t *store;
    fb_shelf_t *shelf;
    fb_reader_t *visitor;
    pthread_t thread;
    bool started;

    /* the hand */
    fb_job_t *hand;     /* config.workers places */
    unsigned in_hand;   /* of them that are not NONE */
    unsigned under_way; /* commands that the writer has */
    fb_jobs_pause_t writing;
    uint64_t due_ms; /* monotonic: when the next of ours is due; UINT64_MAX: none */

    /* the queue */
    fb_jobs_pause_t asking;
    bool is_known;  /* to the queue */
    bool is_away;   /* the queue could not be asked the last time */
    bool must_look; /* whatever the snapshot shows: an instance that ended gives back orders that
                       it had begun */
    bool may_have_more;                      /* jobs that nobody has */
    fb_queue_job_t ended[FB_QUEUE_PAGE_MAX]; /* to be told to the queue */
    size_t ended_count;
    uint64_t ended_ms; /* monotonic: since when there are some */
    uint64_t length;   /* of the queue, when it was last asked; 1 at first, since it is not known */

    /* the snapshot, as it was looked at last */
    uint64_t waiting;    /* orders that are PENDING and not held */
    uint64_t processing; /* by whomever */

    /* what belongs to no instance */
    bool is_asked[FB_JOBS_ASKS]; /* such a command is under way */
    uint64_t random_state;
    uint64_t tick_ms, info_ms; /* monotonic: the next one */
    uint32_t archive_from;     /* ids below have been looked at */
    uint64_t archive_again_ms; /* monotonic: then it begins from the first one again, */
    bool archive_goes_on;      /* unless it has not come to its end */
    fb_day_t archive_day;
    uint64_t slack;       /* how many more than config.recent there may be */
    unsigned short_times; /* how often in turn the queue was too short */
    uint64_t missing;     /* entries that are to be made again */
    uint32_t requeue_from;

    /* on the writer's thread alone */
    uint32_t seen_last_id;
    uint64_t seen_held;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    fb_jobs_command_t *answered;
    bool has_new; /* the snapshot has orders that wait */
    bool ends;
};

void fb_jobs_pause(fb_jobs_pause_t *pause);
static inline void fb_jobs_go_on(fb_jobs_pause_t *pause)
{
    *pause = (fb_jobs_pause_t){0};
}
static inline bool fb_jobs_may(const fb_jobs_pause_t *pause, uint64_t now_ms)
{
    return now_ms >= pause->until_ms;
}

/* --- jobs_hand.c ------------------------------------------------------------------------- */

/* Puts jobs that the queue has given into the hand, which has room. */
void fb_jobs_add(fb_jobs_t *jobs, const fb_queue_job_t *entries, size_t count);
unsigned fb_jobs_room(const fb_jobs_t *jobs);
/* Looks at the snapshot for all that something has happened to, and moves what is at its end out of
 * the hand, as far as there is room. */
void fb_jobs_see(fb_jobs_t *jobs);
/* Asks the writer for all that is due. */
void fb_jobs_ask(fb_jobs_t *jobs, uint64_t now_ms);
/* An answer of the writer, which is freed. */
void fb_jobs_settle(fb_jobs_t *jobs, fb_jobs_command_t *command);
/* Submits a command with these ids (`places` NULL: of nothing in hand); false: the writer does not
 * take it now. */
bool fb_jobs_submit(fb_jobs_t *jobs, fb_jobs_ask_t ask, const uint32_t *ids, const uint16_t *places,
                    unsigned count);

/* --- jobs_queue.c ------------------------------------------------------------------------ */

/* Takes what there is room for, if it is worth asking. */
void fb_jobs_take(fb_jobs_t *jobs, uint64_t now_ms);
/* Gives a sign of life, and takes over from those who give none. */
void fb_jobs_claim(fb_jobs_t *jobs, uint64_t now_ms);
/* Tells the queue what is at its end: at once, or where some have waited. */
void fb_jobs_tell(fb_jobs_t *jobs, uint64_t now_ms, bool at_once);
/* Asks for its length; false: it did not answer. */
bool fb_jobs_measure(fb_jobs_t *jobs, uint64_t now_ms);
/* Drops entries of orders that need nobody any more, where no instance takes them. */
void fb_jobs_tidy(fb_jobs_t *jobs, uint64_t now_ms);
void fb_jobs_leave(fb_jobs_t *jobs);

/* --- jobs_care.c ------------------------------------------------------------------------- */

/* Each tick: holds, orders that are past, lost entries. */
void fb_jobs_care(fb_jobs_t *jobs, uint64_t now_ms);
/* After such a command: goes on where it had more than one could hold. */
void fb_jobs_care_on(fb_jobs_t *jobs, fb_jobs_ask_t ask, uint64_t now_ms);
