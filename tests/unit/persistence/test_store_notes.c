/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/contract.h"

/* The contract of store.h, as far as it is about leases and notes: each case runs against the store
 * in memory and the one in Redis. */

#define LONG_MS 3600000

static bool take(subject_t *subject, const char *name, const char *owner, uint64_t ms)
{
    const fb_lease_t lease = {name, owner, ms};
    bool is_held = false;
    assert_ok(subject->store->vtable->lease_take(subject->store, &lease, &is_held, error));
    return is_held;
}

static void leave(subject_t *subject, const char *owner)
{
    const fb_lease_t lease = {"feed_lease", owner, 1};
    assert_ok(subject->store->vtable->lease_leave(subject->store, &lease, error));
}

static void one_alone_has_a_lease(void **state)
{
    subject_t subject = begin(state, 0);
    assert_true(take(&subject, "feed_lease", "ann", LONG_MS));
    assert_false(take(&subject, "feed_lease", "bob", LONG_MS));
    assert_true(take(&subject, "feed_lease", "ann", LONG_MS));
    assert_true(take(&subject, "other_lease", "bob", LONG_MS));
    assert_false(take(&subject, "feed_lease", "bob", LONG_MS));
    end(&subject);
}

static void a_lease_that_is_over_is_anybodys(void **state)
{
    subject_t subject = begin(state, 0);
    assert_true(take(&subject, "feed_lease", "ann", 1));
    pause_ms(20);
    assert_true(take(&subject, "feed_lease", "bob", LONG_MS));
    assert_false(take(&subject, "feed_lease", "ann", LONG_MS));
    end(&subject);
}

static void a_lease_that_is_taken_again_lasts_from_then_on(void **state)
{
    subject_t subject = begin(state, 0);
    assert_true(take(&subject, "feed_lease", "ann", LONG_MS));
    assert_true(take(&subject, "feed_lease", "ann", 1));
    pause_ms(20);
    assert_true(take(&subject, "feed_lease", "bob", 1));
    pause_ms(20);
    assert_true(take(&subject, "feed_lease", "bob", LONG_MS));
    assert_false(take(&subject, "feed_lease", "ann", LONG_MS));
    end(&subject);
}

static void only_its_owner_gives_a_lease_back(void **state)
{
    subject_t subject = begin(state, 0);
    leave(&subject, "ann");
    assert_true(take(&subject, "feed_lease", "ann", LONG_MS));
    leave(&subject, "bob");
    assert_false(take(&subject, "feed_lease", "bob", LONG_MS));
    leave(&subject, "ann");
    assert_true(take(&subject, "feed_lease", "bob", LONG_MS));
    leave(&subject, "ann");
    assert_false(take(&subject, "feed_lease", "ann", LONG_MS));
    end(&subject);
}

/* --- notes ------------------------------------------------------------------------------- */

static const char *const fields[] = {"status", "error", "bytes"};
static const fb_notes_t all = {"feed", fields, 3}, two = {"feed", fields + 1, 2},
                        others = {"others", fields, 3};

static void on_notes(void *context, const fb_slice_t *texts)
{
    fb_buffer_t *shown = context;
    for (size_t i = 0; i < 3; i++)
        fb_buffer_printf(shown, "%.*s|", texts[i].at != NULL ? (int)texts[i].len : 1,
                         texts[i].at != NULL ? texts[i].at : "-");
}

static void assert_notes(subject_t *subject, const fb_notes_t *notes, const char *expected)
{
    fb_buffer_t shown = {0};
    assert_ok(subject->store->vtable->notes_read(subject->store, notes, on_notes, &shown, error));
    fb_buffer_put_char(&shown, '\0');
    assert_string_equal(shown.at, expected);
    fb_buffer_dispose(&shown);
}

static void put_notes(subject_t *subject, const fb_notes_t *notes, const char *const *texts)
{
    fb_slice_t slices[3];
    for (size_t i = 0; i < notes->count; i++)
        slices[i] = fb_slice(texts[i]);
    assert_ok(subject->store->vtable->notes_put(subject->store, notes, slices, error));
}

static void notes_are_what_was_put_last(void **state)
{
    subject_t subject = begin(state, 0);
    const char *const first[] = {"200", "", "17"}, *const second[] = {"cut \xC3\xB6"
                                                                      "ff",
                                                                      "5"};
    assert_notes(&subject, &all, "-|-|-|");
    put_notes(&subject, &two, second);
    assert_notes(&subject, &all,
                 "-|cut \xC3\xB6"
                 "ff|5|");
    put_notes(&subject, &all, first);
    assert_notes(&subject, &all, "200||17|");
    put_notes(&subject, &two, second);
    assert_notes(&subject, &all,
                 "200|cut \xC3\xB6"
                 "ff|5|");
    assert_notes(&subject, &others, "-|-|-|");
    end(&subject);
}

static void neither_changes_the_head(void **state)
{
    subject_t subject = begin(state, 0);
    const char *const texts[] = {"200", "", "17"};
    fb_position_t head;
    put(&subject, "[[\"put\",\"machine\",1,{\"label\":\"a\"}]]");
    put_notes(&subject, &all, texts);
    assert_true(take(&subject, "feed_lease", "ann", LONG_MS));
    assert_ok(subject.store->vtable->head(subject.store, &head, error));
    assert_memory_equal(&head, &subject.position, sizeof(head));
    end(&subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(one_alone_has_a_lease),
        BOTH(a_lease_that_is_over_is_anybodys),
        BOTH(a_lease_that_is_taken_again_lasts_from_then_on),
        BOTH(only_its_owner_gives_a_lease_back),
        BOTH(notes_are_what_was_put_last),
        BOTH(neither_changes_the_head),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
