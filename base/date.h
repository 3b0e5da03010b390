/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "base/slice.h"

/* A civil date: days since 1970-01-01 in the proleptic Gregorian calendar. It has no zone and
 * never passes through an instant. */
typedef int32_t fb_day_t;

/* An instant: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted (POSIX). */
typedef int64_t fb_instant_t;

#define FB_DAY_TEXT_BYTES     10 /* YYYY-MM-DD */
#define FB_INSTANT_TEXT_BYTES 24 /* YYYY-MM-DDTHH:MM:SS.mmmZ */

/* The days that the calendars of a fleet hold: 1970-01-01 to 2399-12-31. */
#define FB_DAY_MIN ((fb_day_t)0)
#define FB_DAY_MAX ((fb_day_t)157053)

fb_day_t fb_day_from_civil(int year, int month, int day);
void fb_day_to_civil(fb_day_t date, int *year, int *month, int *day);

typedef enum { FB_DATE_OK, FB_DATE_SHAPE, FB_DATE_NO_SUCH_DAY } fb_date_result_t;
/* Reads YYYY-MM-DD (RFC 3339, full-date): not of that shape, or of it but no day of the calendar
 * (30 February), are told apart. */
fb_date_result_t fb_day_parse(fb_slice_t text, fb_day_t *date);
/* Writes FB_DAY_TEXT_BYTES bytes, no NUL. Years 0000 to 9999. */
void fb_day_format(fb_day_t date, char *text);

/* Writes FB_INSTANT_TEXT_BYTES bytes, no NUL (RFC 3339, UTC, milliseconds). */
void fb_instant_format(fb_instant_t instant, char *text);
/* Reads what fb_instant_format writes, and nothing else. */
bool fb_instant_parse(fb_slice_t text, fb_instant_t *instant);
/* Reads an instant as others write it (RFC 3339, date-time): in UTC ("Z") or with an offset, with
 * any number of decimals, of which those below a millisecond are dropped. A space may stand for
 * the plus of the offset: that is what a query makes of one that was not encoded. A leap second
 * (23:59:60 in UTC, at the end of a month) is the second after it, as POSIX counts. */
fb_date_result_t fb_instant_read(fb_slice_t text, fb_instant_t *instant);

/* Makes `name` (an IANA time zone) the fleet's zone of this process; once, before any thread. */
fb_code_t fb_zone_set(const char *name, fb_error_t *error);
/* The civil date in the fleet's zone at an instant. */
fb_day_t fb_zone_day(fb_instant_t instant);

/* A local time: what a clock on a wall shows, to the second. */
typedef struct {
    fb_day_t day;
    int second; /* since midnight */
} fb_local_t;
/* The local time in the fleet's zone at an instant; what is below a second is dropped. */
fb_local_t fb_zone_local(fb_instant_t instant);
