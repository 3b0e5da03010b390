/* SPDX-License-Identifier: MIT */
#include "base/date.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"

#define DAYS_PER_ERA  146097 /* 400 years */
#define EPOCH_SHIFT   719468 /* from 0000-03-01 to 1970-01-01 */
#define MS_PER_DAY    86400000
#define YEAR_TEXT_MAX 9999

/* Both directions count years from 1 March, so that a leap day is the last of its year: Howard
 * Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil and civil_from_days. */
fb_day_t fb_day_from_civil(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = (y >= 0 ? y : y - 399) / 400;
    int year_of_era = y - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - EPOCH_SHIFT;
}

void fb_day_to_civil(fb_day_t date, int *year, int *month, int *day)
{
    int z = date + EPOCH_SHIFT;
    int era = (z >= 0 ? z : z - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int doe = z - era * DAYS_PER_ERA;
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int shifted_month = (5 * doy + 2) / 153;
    *day = doy - (153 * shifted_month + 2) / 5 + 1;
    *month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    *year = yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

/* `count` digits as a number, or -1. */
static int digits(const char *text, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static void put_digits(char *text, int count, int value)
{
    for (int i = count - 1; i >= 0; i--) {
        text[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

fb_date_result_t fb_day_parse(fb_slice_t text, fb_day_t *date)
{
    if (text.len != FB_DAY_TEXT_BYTES || text.at[4] != '-' || text.at[7] != '-')
        return FB_DATE_SHAPE;
    int year = digits(text.at, 4), month = digits(text.at + 5, 2), day = digits(text.at + 8, 2);
    if (year < 0 || month < 0 || day < 0)
        return FB_DATE_SHAPE;
    if (month < 1 || month > 12 || day < 1)
        return FB_DATE_NO_SUCH_DAY;
    fb_day_t parsed = fb_day_from_civil(year, month, day);
    int back_year, back_month, back_day;
    fb_day_to_civil(parsed, &back_year, &back_month, &back_day);
    if (back_year != year || back_month != month || back_day != day)
        return FB_DATE_NO_SUCH_DAY;
    *date = parsed;
    return FB_DATE_OK;
}

void fb_day_format(fb_day_t date, char *text)
{
    int year, month, day;
    fb_day_to_civil(date, &year, &month, &day);
    fb_assert(year >= 0 && year <= YEAR_TEXT_MAX);
    put_digits(text, 4, year);
    text[4] = '-';
    put_digits(text + 5, 2, month);
    text[7] = '-';
    put_digits(text + 8, 2, day);
}

void fb_instant_format(fb_instant_t instant, char *text)
{
    int64_t day = instant / MS_PER_DAY;
    int ms = (int)(instant % MS_PER_DAY);
    if (ms < 0) {
        ms += MS_PER_DAY;
        day--;
    }
    fb_day_format((fb_day_t)day, text);
    text[10] = 'T';
    put_digits(text + 11, 2, ms / 3600000);
    text[13] = ':';
    put_digits(text + 14, 2, ms / 60000 % 60);
    text[16] = ':';
    put_digits(text + 17, 2, ms / 1000 % 60);
    text[19] = '.';
    put_digits(text + 20, 3, ms % 1000);
    text[23] = 'Z';
}

bool fb_instant_parse(fb_slice_t text, fb_instant_t *instant)
{
    fb_day_t day;
    if (text.len != FB_INSTANT_TEXT_BYTES ||
        fb_day_parse((fb_slice_t){text.at, FB_DAY_TEXT_BYTES}, &day) != FB_DATE_OK)
        return false;
    const char *t = text.at;
    if (t[10] != 'T' || t[13] != ':' || t[16] != ':' || t[19] != '.' || t[23] != 'Z')
        return false;
    int hour = digits(t + 11, 2), minute = digits(t + 14, 2), second = digits(t + 17, 2);
    int ms = digits(t + 20, 3);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 || ms < 0)
        return false;
    *instant = (fb_instant_t)day * MS_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1000 + ms;
    return true;
}

#define CLOCK_BYTES  19 /* YYYY-MM-DDTHH:MM:SS */
#define OFFSET_BYTES 6  /* +HH:MM */

/* "Z", or an offset in minutes. */
static fb_date_result_t read_offset(fb_slice_t text, int *minutes)
{
    *minutes = 0;
    if (text.len == 1 && (text.at[0] == 'Z' || text.at[0] == 'z'))
        return FB_DATE_OK;
    if (text.len != OFFSET_BYTES || text.at[3] != ':' || memchr("+- ", text.at[0], 3) == NULL)
        return FB_DATE_SHAPE;
    int hour = digits(text.at + 1, 2), minute = digits(text.at + 4, 2);
    if (hour < 0 || minute < 0)
        return FB_DATE_SHAPE;
    if (hour > 23 || minute > 59)
        return FB_DATE_NO_SUCH_DAY;
    *minutes = (hour * 60 + minute) * (text.at[0] == '-' ? -1 : 1);
    return FB_DATE_OK;
}

/* What begins with a point: the milliseconds of its decimals; `len` says how many bytes it has, 0
 * where it is none. */
static int read_decimals(fb_slice_t text, size_t *len)
{
    int ms = 0, worth = 100;
    *len = 0;
    if (text.len < 2 || text.at[0] != '.')
        return 0;
    size_t at = 1;
    for (; at < text.len && text.at[at] >= '0' && text.at[at] <= '9'; at++, worth /= 10)
        ms += (text.at[at] - '0') * worth;
    *len = at > 1 ? at : 0;
    return ms;
}

/* Is it the midnight in UTC at which a month begins? Leap seconds are before one (ITU-R TF.460). */
static bool begins_month(fb_instant_t instant)
{
    int year, month, day;
    fb_day_to_civil((fb_day_t)(instant / MS_PER_DAY), &year, &month, &day);
    return instant % MS_PER_DAY == 0 && day == 1;
}

fb_date_result_t fb_instant_read(fb_slice_t text, fb_instant_t *instant)
{
    fb_day_t day = 0;
    size_t decimals;
    int offset_minutes;
    const char *t = text.at;
    if (text.len <= CLOCK_BYTES || (t[10] != 'T' && t[10] != 't') || t[13] != ':' || t[16] != ':')
        return FB_DATE_SHAPE;
    int hour = digits(t + 11, 2), minute = digits(t + 14, 2), second = digits(t + 17, 2);
    int ms = read_decimals((fb_slice_t){t + CLOCK_BYTES, text.len - CLOCK_BYTES}, &decimals);
    size_t clock = CLOCK_BYTES + decimals;
    fb_date_result_t date = fb_day_parse((fb_slice_t){t, FB_DAY_TEXT_BYTES}, &day);
    fb_date_result_t zone = read_offset((fb_slice_t){t + clock, text.len - clock}, &offset_minutes);
    if (date == FB_DATE_SHAPE || zone == FB_DATE_SHAPE || hour < 0 || minute < 0 || second < 0)
        return FB_DATE_SHAPE;
    if (date != FB_DATE_OK || zone != FB_DATE_OK || hour > 23 || minute > 59 || second > 60)
        return FB_DATE_NO_SUCH_DAY;
    int64_t minutes = hour * 60 + minute - offset_minutes;
    fb_instant_t whole = (fb_instant_t)day * MS_PER_DAY + (minutes * 60 + second) * 1000;
    if (second == 60 && !begins_month(whole))
        return FB_DATE_NO_SUCH_DAY;
    *instant = whole + ms;
    return FB_DATE_OK;
}

/* libc takes a name that it cannot load for UTC without a word: see whether it is the file of a
 * zone (RFC 8536, section 3.1), and not a folder or a list of zones. */
static bool is_zone_file(const char *path)
{
    char magic[4];
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    bool zone = fread(magic, 1, sizeof(magic), file) == sizeof(magic) &&
                memcmp(magic, "TZif", sizeof(magic)) == 0;
    fclose(file);
    return zone;
}

fb_code_t fb_zone_set(const char *name, fb_error_t *error)
{
    char path[256];
    int len = snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
    bool strange = name[0] == '\0' || name[0] == '/' || strstr(name, "..") != NULL;
    bool utc = strcmp(name, "UTC") == 0;
    if (strange || len >= (int)sizeof(path) || (!utc && !is_zone_file(path)))
        return fb_fail(error, FB_CONFIG, "unknown time zone \"%s\" (no %s)", name, path);
    fb_assert(setenv("TZ", name, 1) == 0);
    tzset();
    return FB_OK;
}

fb_day_t fb_zone_day(fb_instant_t instant)
{
    return fb_zone_local(instant).day;
}

fb_local_t fb_zone_local(fb_instant_t instant)
{
    time_t seconds = (time_t)(instant >= 0 ? instant / 1000 : (instant - 999) / 1000);
    struct tm local;
    fb_assert(localtime_r(&seconds, &local) != NULL);
    return (fb_local_t){
        .day = fb_day_from_civil(local.tm_year + 1900, local.tm_mon + 1, local.tm_mday),
        .second = (local.tm_hour * 60 + local.tm_min) * 60 + local.tm_sec,
    };
}
