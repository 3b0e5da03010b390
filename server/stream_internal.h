/* SPDX-License-Identifier: MIT */
#pragma once

#include "server/stream.h"

/* What the files of the streams share. */
#define FB_STREAM_SEND_BYTES_MAX 65536       /* of a chunk; one event may be larger */
#define FB_STREAM_LAG_BYTES_MAX  (256 << 10) /* of events of its topics, until it is conflated */
#define FB_STREAM_UNSENT_BYTES   (32 << 10)  /* of a client in the kernel: who is slow is seen */
#define FB_STREAM_SCAN_MAX       4096        /* events that are looked at for one chunk */
#define FB_STREAM_SENDS_A_TURN   64          /* then other sockets have their turn */
#define FB_STREAM_BYTES_A_TURN   (1 << 20)   /* as well */
#define FB_STREAM_SCANS_A_TURN   16384       /* events that are looked at: as well */
#define FB_STREAM_RENDER_SCANS   16          /* for which an event of the log counts */
#define FB_STREAM_SHARED         4           /* chunks that a set of topics keeps for others */
#define FB_STREAM_HEARTBEAT_S    10          /* clients are told at least so often that we live */
#define FB_STREAM_RETRY_MS       2000  /* clients come back after this, and as much by chance */
#define FB_STREAM_PAGES          8     /* of the log that a loop keeps */
#define FB_STREAM_READS_MAX      4     /* pages that are being read at once */
#define FB_STREAM_PAGE_ENTRIES   64    /* at most: as many as should fit, by those before */
#define FB_STREAM_PAGE_FIRST     8     /* before there were any */
#define FB_STREAM_PAGE_BYTES     65536 /* of entries; the last one may go beyond */
#define FB_STREAM_WOKEN_A_PAGE   64    /* clients that may ask for another page after one */
#define FB_STREAM_SHUT_MS        2000  /* for the last bytes, once the instance leaves */

/* A run of events, an h2o-shared block. It serves whoever stands from `from` on, before `first`. */
typedef struct {
    fb_event_mark_t from, first, to;
    uint32_t events, dropped;
    size_t len;
    char bytes[];
} fb_stream_chunk_t;

/* A set of topics that clients have. */
typedef struct fb_stream_topics {
    struct fb_stream_topics *next;
    uint32_t families; /* bits */
    size_t clients;
    fb_event_mark_t newest; /* who stands here, or beyond, has all there is */
    h2o_linklist_t idle;    /* clients; they stand at fb_streams_t.reached, whatever their mark */
    fb_stream_chunk_t *shared[FB_STREAM_SHARED];
    unsigned shared_at;
} fb_stream_topics_t;

typedef enum {
    FB_STREAM_NOWHERE, /* it is being sent something, or it is over */
    FB_STREAM_IDLE,
    FB_STREAM_BEHIND,
    FB_STREAM_AHEAD,
    FB_STREAM_WAITS, /* for a page */
} fb_stream_place_t;

/* A client: an h2o-shared block of its request, whose end is its own. */
typedef struct {
    h2o_generator_t generator;
    fb_loop_t *loop;
    h2o_req_t *req;
    fb_stream_topics_t *topics;
    h2o_linklist_t link; /* in a list by `place` */
    h2o_linklist_t beat; /* in the ring */
    fb_event_mark_t mark;
    uint64_t exact_to;             /* up to this revision it is not conflated */
    fb_stream_chunk_t *chunk;      /* what it is being sent */
    const char *resync;            /* the reason; NULL: it need not */
    const fb_event_token_t *token; /* while it is ahead */
    uint64_t begun_ns, bytes;
    fb_slice_t id, method, target; /* for the access log */
    const char *traceparent;       /* likewise */
    uint8_t place, route;
    bool is_over;     /* its end is being sent */
    bool catches_up;  /* it reads the log */
    bool has_arrived; /* it has had all there was, once */
} fb_stream_client_t;

/* A page of the log, which a reader reads and decodes. */
typedef struct {
    fb_read_job_t job;
    fb_loop_t *loop;
    h2o_linklist_t waiting; /* clients */
    uint64_t after, until;  /* the revisions of its entries: behind the one, up to the other */
    uint64_t used;          /* the larger, the later */
    size_t wanted;          /* entries that are asked for */
    bool is_read;
    fb_code_t code;
    fb_position_t head;
    size_t count, bytes;
    struct {
        uint64_t revision;
        fb_change_t change;
    } entries[FB_STREAM_PAGE_ENTRIES];
} fb_stream_page_t;

/* Those of a loop. */
typedef struct fb_streams {
    fb_loop_t *loop;
    size_t count;
    h2o_linklist_t behind, ahead;
    h2o_linklist_t wants_page; /* none can be read for them now */
    h2o_linklist_t ring[FB_STREAM_HEARTBEAT_S], beating;
    unsigned ring_at;
    uint64_t beat_ms;               /* monotonic: when the next place of the ring has its turn */
    fb_event_mark_t reached;        /* of the snapshot that was looked at last */
    char epoch[FB_EPOCH_BYTES + 1]; /* of it */
    uint64_t newest_ms, nudged_ms;  /* monotonic: as in fb_parking_t, of those that are ahead */
    uint64_t compared_ms;           /* by which those that are ahead were judged last */
    uint64_t left_ms;               /* monotonic: since when the instance leaves; 0: it does not */
    fb_stream_topics_t *topics;
    fb_stream_page_t *pages[FB_STREAM_PAGES];
    unsigned reads;
    size_t wanted; /* entries of the next page */
    uint64_t uses;
    unsigned scans; /* in this turn */
    bool shares;    /* some topics keep chunks */
    fb_buffer_t text;
} fb_streams_t;

/* --- stream_client.c --- */
fb_stream_topics_t *fb_stream_topics_get(fb_streams_t *streams, uint32_t families);
void fb_stream_topics_release(fb_streams_t *streams, fb_stream_topics_t *topics);
/* Takes it out of its list. */
void fb_stream_unlink(fb_stream_client_t *client);
void fb_stream_link(fb_stream_client_t *client, h2o_linklist_t *list, fb_stream_place_t place);
fb_stream_client_t *fb_stream_client_at(h2o_linklist_t *link);
/* Puts a client that is in no list where it belongs. */
void fb_stream_settle(fb_stream_client_t *client);
/* Sends a chunk, whose reference it takes over; NULL: the end. The client may be gone then. */
void fb_stream_send(fb_stream_client_t *client, fb_stream_chunk_t *chunk);
/* Judges a client that is, or may be, ahead: it goes on, must resync, or (true) waits. */
bool fb_stream_is_ahead(fb_stream_client_t *client, uint64_t compared_ms, uint64_t now_ms);
void fb_stream_must_resync(fb_stream_client_t *client, const char *reason);
/* Calls `visit` for all clients. */
void fb_streams_each(fb_streams_t *streams, void (*visit)(fb_stream_client_t *client));

/* --- stream_turn.c --- */
/* Wakes those for whom the loop's snapshot has something, if that was not looked at yet. */
void fb_streams_look(fb_streams_t *streams);

/* --- stream_chunk.c --- */
fb_stream_chunk_t *fb_stream_chunk(fb_slice_t text, fb_event_mark_t mark);
void fb_stream_put_resync(const fb_position_t *position, const char *reason, fb_buffer_t *text);
/* What the client gets next, a reference; NULL: it waits for a page of the log, in a list. Of no
 * length where there is nothing of its topics up to `to`. */
fb_stream_chunk_t *fb_stream_next(fb_streams_t *streams, fb_stream_client_t *client);
void fb_streams_drop_shared(fb_streams_t *streams);

/* --- stream_log.c --- */
/* The page that has the next entry behind the client's mark; NULL: it waits for one, in a list. */
fb_stream_page_t *fb_stream_page(fb_streams_t *streams, fb_stream_client_t *client);
/* Those that no page could be read for may try again, at most so many. */
void fb_streams_try_again(fb_streams_t *streams, size_t most);
/* What was read is of another history now. */
void fb_streams_drop_pages(fb_streams_t *streams);
