/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/date.h"
#include "resources/snapshot.h"

/* What one command does to the fleet, as a list of operations; also the payload of one entry of
 * the log (see persistence/store.h for its JSON). Each operation says what is so afterwards, not
 * what to add: applying one twice is the same as applying it once. */
typedef enum {
    FB_OP_PUT,
    FB_OP_DELETE,
    FB_OP_DAYS,
    FB_OP_ARCHIVE, /* the row leaves the snapshot; Redis keeps it */
    FB_OP_QUEUE,   /* its id goes into the queue of its family; the state is as before */
} fb_op_kind_t;

typedef struct {
    fb_op_kind_t kind;
    unsigned subject; /* a family, or for FB_OP_DAYS a plane */
    uint32_t id;
    fb_day_t from;            /* FB_OP_DAYS */
    uint32_t days;            /* FB_OP_DAYS: how many */
    bool set;                 /* FB_OP_DAYS: to this */
    const fb_value_t *values; /* FB_OP_PUT: all fields, kept by the change; texts are borrowed */
} fb_op_t;

typedef struct fb_change_block fb_change_block_t;

typedef struct {
    fb_op_t *ops;
    size_t count, capacity;
    fb_change_block_t *blocks; /* owned: the values of its rows */
    json_t *decoded;           /* owned: the texts of a change that was read from the log */
    json_t *kept;              /* owned: those that a plan has made (fb_change_keep) */
} fb_change_t;

void fb_change_dispose(fb_change_t *change);

void fb_change_put(fb_change_t *change, unsigned family, uint32_t id, const fb_value_t *values);
void fb_change_delete(fb_change_t *change, unsigned family, uint32_t id);
void fb_change_archive(fb_change_t *change, unsigned family, uint32_t id);
void fb_change_queue(fb_change_t *change, unsigned family, uint32_t id);
/* Both ends included; nothing where `to` is before `from`. */
void fb_change_days(fb_change_t *change, fb_plane_id_t plane, uint32_t id, fb_day_t from,
                    fb_day_t to, bool set);

/* How many operations, from this one on, say the same of one id each: they are one in the log. Of
 * days that are booked or freed a change may have a thousand. */
size_t fb_change_group(const fb_change_t *change, size_t first);

/* Keeps a copy of a text (UTF-8) for as long as the change: what a value of it may borrow. */
fb_slice_t fb_change_keep(fb_change_t *change, fb_slice_t text);

/* Appends the operations of a payload, with commas between them: a change in parts is one payload.
 * Neighbours that differ in their ids alone are written as one, with an array of these. */
void fb_change_encode_ops(const fb_change_t *change, fb_buffer_t *payload);
/* The payload. */
void fb_change_encode(const fb_change_t *change, fb_buffer_t *payload);
/* Reads a payload into a zeroed change; FB_DIVERGED where it is none of ours. */
fb_code_t fb_change_decode(fb_change_t *change, fb_slice_t payload, fb_error_t *error);
