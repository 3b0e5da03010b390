/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/args.h"
#include "resources/change.h"

/* Where the answer of a read comes from. */
typedef enum {
    FB_SOURCE_SNAPSHOT, /* `render` */
    FB_SOURCE_HISTORY,  /* Redis, by a thread that may wait for it: server/history.h */
    FB_SOURCE_FEED,     /* Redis, too: server/feed_view.h */
    FB_SOURCE_EVENTS,   /* the journal, for as long as the client stays: server/stream.h */
    FB_SOURCE_POSTED,   /* `render`, of what is asked in the body of a POST: `query` is the table of
                           its members, and the answer is not kept */
} fb_source_t;

/* A read: a pure function of a snapshot and its arguments. No I/O, no clock, no lock. */
typedef struct {
    const char *path; /* "/v1/machines/{id}" */
    const char *about;
    const fb_field_t *query; /* the parameters it takes */
    unsigned query_count;
    /* Appends the body to `body`. FB_ARCHIVED: the answer has rows that have left the snapshot, and
     * resources/archive.h says how they get into it; `body` has nothing then. */
    fb_code_t (*render)(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_buffer_t *body,
                        fb_error_t *error);
    /* Of all that `render` reads: while it stays the same, so does the body. */
    uint64_t (*stamp)(const fb_snapshot_t *snapshot, const fb_args_t *args);
    fb_source_t source; /* FB_SOURCE_HISTORY, _FEED, _EVENTS: `render` and `stamp` are NULL;
                           FB_SOURCE_POSTED: `stamp` is */
} fb_view_t;

/* What a command leaves behind, and how that is answered. */
typedef enum {
    FB_ANSWER_CREATED,  /* 201 with Location, and what `shows` renders */
    FB_ANSWER_ACCEPTED, /* 202, the same */
    FB_ANSWER_SHOWN,    /* with what `shows` renders */
    FB_ANSWER_EMPTY,
    FB_ANSWER_RESULTS, /* FB_BODY_EACH: with one result an item, in their order: what `shows`
                          renders, or the item's error */
} fb_answer_t;

/* What a command plans: the change, and the thing it is about. */
typedef struct {
    fb_change_t change;
    uint32_t ids[FB_PATH_IDS_MAX]; /* the {id}s of the path that shows it afterwards */
} fb_plan_t;

/* A write: a pure function from a snapshot and arguments to a change, or to an error. With
 * FB_BODY_EACH the writer calls `plan` for each item, upon the ones before it: all that succeed are
 * one change, and what fails leaves the others as they are. */
typedef struct {
    const char *method;
    const char *path;
    const char *about;
    const fb_field_t *body; /* NULL: takes none */
    unsigned body_count;
    fb_body_mode_t body_mode;
    fb_answer_t answer;
    const fb_view_t *shows; /* the view of the thing that is answered */
    const fb_view_t *match; /* what If-Match is held against (RFC 9110, section 13.1.1): the view of
                               the command's own path, or of the thing that it acts on; NULL: there
                               is nothing, and it does not hold */
    fb_code_t (*plan)(const fb_snapshot_t *snapshot, const fb_args_t *args, fb_plan_t *plan,
                      fb_error_t *error);
} fb_command_t;

typedef struct fb_archive fb_archive_t; /* resources/archive.h */

/* The form of the errors of a family, for the clients of the system that it took the place of. */
typedef enum {
    FB_ERRORS_PROBLEM, /* RFC 9457; with a noun, a `message` in the words of that system too */
    FB_ERRORS_DATA,    /* {"data": null, "error": {"code": "...", "message": "..."}} */
} fb_errors_t;

/* One family of things, all of it: the last lines of its file. */
typedef struct {
    const char *name;         /* label of the metrics */
    const char *noun;         /* for clients of systems that this one took the place of, who read a
                                 `message`: "Sprocket created", "Sprocket not found"; NULL: none */
    fb_errors_t errors;       /* who reads another form than problems, or a noun, knows no 422 */
    const char *path, *alias; /* what its paths begin with, and what else may stand there. With a
                                 noun, another form of errors, an alias or body_bytes the first is
                                 required; NULL: none */
    /* Reads the bodies of its commands, where tables cannot say what they are; NULL: they can. */
    fb_code_t (*read_body)(fb_args_t *args, fb_slice_t body, fb_error_t *error);
    size_t body_bytes;    /* of a body, at most, where limits.body_bytes is less; 0: never */
    const char *row_name; /* of a row's key in Redis, fb:{f}:machine:42; the set of the ids
                             that exist has a name made of it (base/set_name.h). NULL: no rows */
    const char *id_name;  /* of the id in the JSON; NULL: "id" */
    const char *topic;    /* of its events; NULL: it has none */
    const char *history;  /* each put is also appended to fb:{f}:HISTORY:ID; NULL: it is not */
    unsigned history_at;  /* then: the field that says when, which never goes back */
    const char *queue;    /* the stream fb:{f}:QUEUE that fb_change_queue appends ids to; NULL */
    /* Which rows FB_PARENT indexes; NULL: all. A function of the row alone. */
    bool (*holds)(const fb_row_t *row);
    const fb_archive_t *archive; /* NULL: its rows are never archived */
    const fb_field_t *fields;    /* those that are stored, in the order of the JSON */
    unsigned field_count;
    const fb_field_t *computed; /* those that a view works out */
    unsigned computed_count;
    unsigned computed_at; /* the index of the field before which they stand in the JSON */
    /* Appends the computed members, each with a comma before it. */
    void (*put_computed)(const fb_snapshot_t *snapshot, const fb_row_t *row, fb_buffer_t *body);
    const fb_view_t *views;
    unsigned view_count;
    const fb_command_t *commands;
    unsigned command_count;
} fb_resource_t;

static inline const char *fb_resource_id_name(const fb_resource_t *resource)
{
    return resource->id_name != NULL ? resource->id_name : "id";
}

#define FB_COUNT(array) (unsigned)(sizeof(array) / sizeof((array)[0]))
