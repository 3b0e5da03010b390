/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "server/run.h"
#include "server/verify_internal.h"

#define SHOWN_MAX     20   /* of each family and plane */
#define SUSPECTED_MAX 1000 /* more are counted only */

typedef struct {
    uint32_t key;
    bool has_peer, has_own;
    fb_thing_t peer, own; /* own: that of Redis */
    uint64_t stamp;       /* of own */
} suspect_t;

/* One walk over the things of a subject on both sides. */
typedef struct {
    fb_verifier_t *verifier;
    const fb_peer_t *peer;
    const fb_subject_t *subject;
    fb_peer_page_t page;
    uint64_t first, last; /* revisions of the peer's pages */
    size_t count;
    uint64_t more; /* beyond SUSPECTED_MAX */
    suspect_t suspects[SUSPECTED_MAX];
} walk_t;

static void suspect(walk_t *walk, const fb_thing_t *peer, const fb_thing_t *own)
{
    if (peer != NULL && own != NULL && peer->sum == own->sum)
        return;
    if (walk->count == SUSPECTED_MAX) {
        walk->more++;
        return;
    }
    suspect_t *new = &walk->suspects[walk->count++];
    *new = (suspect_t){.key = peer ? peer->key : own->key, .has_peer = peer, .has_own = own};
    if (peer != NULL)
        new->peer = *peer;
    if (own != NULL)
        new->own = *own;
    new->stamp = fb_thing_stamp(fb_fleet_current(walk->verifier->fleet), walk->subject, new->key);
}

/* Holds the page, which begins at `key`, against what Redis has there. */
static void compare_page(walk_t *walk, uint32_t key)
{
    const fb_snapshot_t *snapshot = fb_fleet_current(walk->verifier->fleet);
    const fb_peer_page_t *page = &walk->page;
    size_t i = 0;
    for (;;) {
        fb_thing_t own;
        bool has_own = fb_thing_next(snapshot, walk->subject, key, &own) && own.key <= page->end;
        const fb_thing_t *peer = i < page->count ? &page->things[i] : NULL;
        if (!has_own && peer == NULL)
            return;
        bool takes_own = has_own && (peer == NULL || own.key <= peer->key);
        bool takes_peer = peer != NULL && (!has_own || peer->key <= own.key);
        suspect(walk, takes_peer ? peer : NULL, takes_own ? &own : NULL);
        i += takes_peer;
        key = takes_own ? own.key : peer->key;
        if (key++ == UINT32_MAX)
            return;
    }
}

static fb_code_t walk_all(walk_t *walk, fb_error_t *error)
{
    const fb_position_t *position = &fb_fleet_current(walk->verifier->fleet)->position;
    uint32_t key = 0;
    do {
        fb_code_t code = fb_peer_page(walk->peer, walk->subject, key, &walk->page, error);
        if (code != FB_OK)
            return code;
        if (strcmp(walk->page.epoch, position->epoch) != 0 ||
            walk->page.revision < position->revision)
            return fb_fail(error, FB_IO, "it has loaded another state meanwhile");
        if (key == 0)
            walk->first = walk->page.revision;
        walk->last = walk->page.revision;
        compare_page(walk, key);
        key = walk->page.end + 1;
    } while (walk->page.end != UINT32_MAX);
    return FB_OK;
}

/* The pages are as new as what was loaded of Redis, or newer. So what nobody has written since then
 * was the same at the revision of its page: there the peer is wrong. All else says nothing. */
static void drop_moved(walk_t *walk)
{
    const fb_snapshot_t *snapshot = fb_fleet_current(walk->verifier->fleet);
    size_t kept = 0;
    for (size_t i = 0; i < walk->count; i++) {
        const suspect_t *item = &walk->suspects[i];
        if (fb_thing_stamp(snapshot, walk->subject, item->key) == item->stamp)
            walk->suspects[kept++] = *item;
    }
    walk->count = kept;
}

static void put_key(const walk_t *walk, uint32_t key, fb_buffer_t *line)
{
    if (!walk->subject->is_plane) {
        fb_buffer_put_u64(line, key);
        return;
    }
    fb_day_format((fb_day_t)key, fb_buffer_reserve(line, FB_DAY_TEXT_BYTES));
    line->len += FB_DAY_TEXT_BYTES;
}

static void put_side(const walk_t *walk, const char *who, bool has, const fb_thing_t *thing,
                     fb_buffer_t *line)
{
    fb_buffer_printf(line, "%s has ", who);
    if (!has) {
        fb_buffer_put_literal(line, "none");
        return;
    }
    fb_buffer_printf(line, "%016llx", (unsigned long long)thing->sum);
    if (walk->subject->is_plane)
        fb_buffer_printf(line, " (%llu machines)", (unsigned long long)thing->machines);
}

static void print_differences(const walk_t *walk, const char *blamed)
{
    const char *name = walk->subject->name;
    for (size_t i = 0; i < walk->count && i < SHOWN_MAX; i++) {
        const suspect_t *item = &walk->suspects[i];
        fb_buffer_t line = {0};
        fb_buffer_printf(&line, "different %s %s ", blamed, name);
        put_key(walk, item->key, &line);
        fb_buffer_put_literal(&line, ": ");
        put_side(walk, walk->peer->url, item->has_peer, &item->peer, &line);
        fb_buffer_put_literal(&line, ", ");
        put_side(walk, "redis", item->has_own, &item->own, &line);
        printf("%.*s\n", FB_PRINT(fb_buffer_slice(&line)));
        fb_buffer_dispose(&line);
    }
    if (walk->count > SHOWN_MAX)
        printf("different %s %s: %llu more\n", blamed, name,
               (unsigned long long)(walk->count - SHOWN_MAX + walk->more));
}

static void print_moves(const walk_t *walk)
{
    fb_buffer_t note = {0};
    if (walk->first == walk->last)
        return;
    fb_buffer_printf(&note,
                     "%s: it went from revision %llu to %llu while its %s were read; what was "
                     "written in between is left out",
                     walk->peer->url, (unsigned long long)walk->first,
                     (unsigned long long)walk->last, walk->subject->name);
    fb_buffer_put_char(&note, '\0');
    fb_print_error(note.at);
    fb_buffer_dispose(&note);
}

/* Waits until the peer is at the revision of what is loaded, or beyond: then so are its pages. */
static fb_code_t await_revision(const fb_verifier_t *verifier, const fb_peer_t *peer,
                                fb_error_t *error)
{
    const fb_position_t *position = &fb_fleet_current(verifier->fleet)->position;
    uint64_t deadline_ms = fb_clock_monotonic_ms() + FB_VERIFY_WAIT_MS;
    for (;;) {
        fb_peer_status_t status;
        fb_code_t code = fb_peer_status(peer, &status, error);
        if (code != FB_OK)
            return code;
        if (status.is_loaded && strcmp(status.epoch, position->epoch) == 0 &&
            status.revision >= position->revision)
            return FB_OK;
        if (fb_clock_monotonic_ms() > deadline_ms)
            return fb_fail(error, FB_IO, "it does not come to revision %llu",
                           (unsigned long long)position->revision);
        fb_verify_pause();
    }
}

static fb_code_t drill_subject(walk_t *walk, const char *blamed, fb_error_t *error)
{
    fb_code_t code = await_revision(walk->verifier, walk->peer, error);
    walk->count = 0;
    walk->more = 0;
    if (code == FB_OK)
        code = walk_all(walk, error);
    if (code != FB_OK)
        return code;
    code = fb_verify_refresh(walk->verifier, error);
    if (code != FB_OK)
        return code;
    drop_moved(walk);
    print_differences(walk, blamed);
    print_moves(walk);
    return FB_OK;
}

fb_code_t fb_verify_drill(fb_verifier_t *verifier, const fb_peer_t *peer, uint32_t subjects,
                          const char *blamed, fb_error_t *error)
{
    fb_code_t code = FB_OK;
    size_t shown = 0;
    walk_t *walk = fb_alloc(sizeof(*walk));
    for (unsigned i = 0; i < verifier->subject_count && code == FB_OK; i++) {
        if (!(subjects & 1u << i))
            continue;
        *walk = (walk_t){.verifier = verifier, .peer = peer, .subject = &verifier->subjects[i]};
        code = drill_subject(walk, blamed, error);
        shown += walk->count;
    }
    free(walk);
    if (code == FB_OK && subjects != 0 && shown == 0)
        code = fb_fail(error, FB_IO,
                       "no single row or day can be shown to differ: it may be the "
                       "last id given out, or something that is being written");
    return code;
}
