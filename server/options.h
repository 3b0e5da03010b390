/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "base/error.h"

/* What a run is told: by flags, which win over FLEETBIT_* environment variables, which win over
 * the configuration file, which wins over the defaults. One table in options.c drives all four, and
 * the help. Durations are in milliseconds here; in text they carry a unit (250ms, 30s, 24h). Sizes
 * in text may carry k, M or G (of 1,024). */
#define FB_LISTEN_MAX   8
#define FB_TYPES_MAX    256
#define FB_SETTINGS_MAX 64
#define FB_VERIFY_MAX   64

/* Where a setting came from; the strongest last. */
typedef enum {
    FB_FROM_DEFAULT,
    FB_FROM_FILE,
    FB_FROM_ENVIRONMENT,
    FB_FROM_FLAG,
    FB_FROM_DATA_FLAG, /* no `redis`, because --data says so */
} fb_options_from_t;

typedef struct {
    char *listen[FB_LISTEN_MAX]; /* listen: HOST:PORT each; 127.0.0.1:8080 */
    unsigned listen_count;
    char *admin;      /* admin: HOST:PORT; 127.0.0.1:8081; "off" for none */
    char *redis;      /* redis: a URL; NULL: a private redis-server in `data` */
    char *data;       /* data: a directory; ./data */
    char *fleet;      /* fleet: a name; default */
    uint64_t threads; /* threads: loops, 1 to 64; as many as there are processors, at most 4 */
    bool demo;        /* demo: 1,000 machines where the fleet is empty */
    char *zone;       /* zone: IANA time zone of the fleet's dates; UTC */
    char *types[FB_TYPES_MAX]; /* types: the machine types that there are */
    unsigned type_count;
    char *log_level;                 /* log.level: error, warning, info, debug; info */
    char *log_format;                /* log.format: of the lines of serve: json, text; json */
    char *log_access;                /* log.access: a file, or "-": stdout; NULL: none */
    uint64_t limits_connections;     /* limits.connections: 0: what the file limit leaves */
    uint64_t limits_body_bytes;      /* limits.body_bytes: 1M; at most 16M */
    uint64_t limits_request_ms;      /* limits.request_timeout: to send a request; 10s */
    uint64_t limits_idle_ms;         /* limits.idle_timeout: a kept connection; 75s */
    uint64_t limits_stall_ms;        /* limits.stall_timeout: a reader that takes nothing; 30s */
    uint64_t limits_lame_duck_ms;    /* limits.lame_duck: from SIGTERM on all is still served; 0s */
    uint64_t limits_drain_ms;        /* limits.drain_timeout: from then to the end; 10s */
    uint64_t limits_min_revision_ms; /* limits.min_revision_wait: for a revision; 1s */
    uint64_t limits_streams;         /* limits.streams: event streams at once; 20000 */
    uint64_t memo_bytes;             /* memo.bytes: finished answers, each loop; 64M */
    uint64_t writer_queue;           /* writer.queue: writes that wait; 4096 */
    uint64_t writer_deadline_ms;     /* writer.deadline: until a write is given up; 5s */
    uint64_t redis_timeout_ms;       /* redis_timeout: one call; 2s */
    uint64_t redis_log_length;       /* log.length: entries of the log kept; 100000 */
    uint64_t history_length;         /* history.length: entries a machine keeps; 10000; 0: all */
    uint64_t history_age_ms;         /* history.age: for how long; 0s: for ever */
    uint64_t orders_workers;         /* orders.workers: in hand at a time; 1000; 0: none */
    uint64_t orders_processing_ms;   /* orders.processing_time: of each; 0s */
    uint64_t orders_claim_ms;        /* orders.claim_after: silence of another instance; 10s */
    uint64_t orders_recent;          /* orders.recent: past ones in the snapshot; 100000 */
    uint64_t orders_pending;         /* orders.pending: that wait; 1000000 */
    uint64_t idempotency_keys;       /* idempotency.keys: that are remembered; 100000 */
    char *feed_url;                  /* feed.url: of a provider's plans; NULL: none */
    uint64_t feed_interval_ms;       /* feed.interval: from one fetch to the next; 30s */
    uint64_t feed_timeout_ms;        /* feed.timeout: a whole fetch; 30s */
    uint64_t feed_connect_ms;        /* feed.connect_timeout: of it, to connect; 5s */
    uint64_t feed_bytes;             /* feed.bytes: of a document; 64M */
    bool require_fsync;              /* require: "fsync" or "none"; none */
    char *redis_server;              /* redis_server: the program; redis-server */
    /* seed alone */
    uint64_t seed_machines; /* --machines; required there */
    uint64_t seed_days;     /* --days: days from today on that maintenance is spread over; 730 */
    /* import alone */
    char *import_file; /* FILE; required there */
    /* verify alone */
    char *instances[FB_VERIFY_MAX]; /* --instance: URLs of admin listeners; that of this host */
    unsigned instance_count;
    /* order alone */
    char *order_url;            /* --url: of a server; http://127.0.0.1:8080 */
    uint64_t order_requests;    /* --requests: orders to place; 100 */
    uint64_t order_concurrency; /* --concurrency: at once; 10 */
    char *order_user;           /* --user: who orders; 1 */
    char *order_items;          /* --items: numbers with commas between them; 1 */
    char *order_start;          /* --start-date, NULL: none */
    char *order_end;            /* --end-date, NULL: none */
    bool order_wait;            /* --wait: until all are at their end */
    /* What was read, for fb_options_print. */
    char *conf;                    /* --conf or FLEETBIT_CONF: the file; NULL: none */
    uint8_t from[FB_SETTINGS_MAX]; /* fb_options_from_t, in the order of the table */
} fb_options_t;

/* Which flags a subcommand takes. check-config takes those of serve. */
typedef enum {
    FB_OPTIONS_SERVE = 1,
    FB_OPTIONS_SEED = 2,
    FB_OPTIONS_CHECK = 4,
    FB_OPTIONS_VERIFY = 8,
    FB_OPTIONS_ORDER = 16,
    FB_OPTIONS_IMPORT = 32,
} fb_options_for_t;

/* Reads all four sources. `argv` begins after the subcommand. FB_CONFIG names the flag, variable or
 * line of the file that is wrong; `options` then holds nothing. A list of a stronger source takes
 * the place of the weaker's. --data without --redis means a private redis-server there, whatever
 * the weaker sources have as `redis`. A variable or key that is empty (in the file: null) counts as
 * not set. A FLEETBIT_* variable that is no setting is a warning in the log, as container platforms
 * make such; all else that is unknown is an error. */
fb_code_t fb_options_read(fb_options_t *options, fb_options_for_t command, int argc, char **argv,
                          fb_error_t *error);
void fb_options_dispose(fb_options_t *options);

/* The flags of a subcommand, each with its variable, its key in the file and its default. */
void fb_options_usage(FILE *out, fb_options_for_t command);
/* All settings as YAML, as the file would hold them, each with where it came from. No password is
 * shown. */
void fb_options_print(FILE *out, const fb_options_t *options);
