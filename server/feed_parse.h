/* SPDX-License-Identifier: MIT */
#pragma once

#include "resources/plans.h"

/* Reads a provider's document as it comes, in pieces of any size; what it needs of memory does not
 * depend on its length. Two vocabularies of the same document are in the field:
 *
 *     planList / output / base_plan / plan / zone     eventList / output / base_event / event /
 * zone base_plan_id, plan_id,                          base_event_id, event_id, plan_start_date,
 * plan_end_date                  event_start_date, event_end_date
 *
 * Attributes come in any order; attributes and elements that it does not know, these with all that
 * is in them, it passes over. A plan that cannot be kept is skipped, and the others go on; what is
 * no such document fails as a whole. There are no entities: a document type declaration is refused
 * where it begins. */
#define FB_FEED_DEPTH_MAX       64        /* of elements within each other */
#define FB_FEED_TAG_BYTES_MAX   (1 << 20) /* of one tag, comment or the like */
#define FB_FEED_REASON_BYTES    160
#define FB_FEED_ZONE_NAME_BYTES 200 /* at most */

/* A plan that was passed over. Texts are borrowed for the call; ids are cut at their limit. */
typedef struct {
    fb_slice_t base, plan;
    const char *reason;
} fb_feed_skip_t;

typedef struct {
    void *context;
    /* FB_PLAN_FIELDS values, checked as fb_plan_differs asks for; borrowed for the call. */
    void (*on_plan)(void *context, const fb_value_t *values);
    void (*on_skip)(void *context, const fb_feed_skip_t *skip);
} fb_feed_sink_t;

typedef struct fb_feed_parser fb_feed_parser_t;

fb_feed_parser_t *fb_feed_parser_create(const fb_feed_sink_t *sink);
void fb_feed_parser_destroy(fb_feed_parser_t **parser);

/* FB_MALFORMED: it is not well-formed, has a document type declaration, or is beyond a bound;
 * FB_INVALID: it is another document. After an error there is nothing more to be read. */
fb_code_t fb_feed_parser_put(fb_feed_parser_t *parser, fb_slice_t bytes, fb_error_t *error);
/* There is no more: is that the end of the document? */
fb_code_t fb_feed_parser_end(fb_feed_parser_t *parser, fb_error_t *error);
