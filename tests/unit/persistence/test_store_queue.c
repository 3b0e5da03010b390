/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/contract.h"

/* The contract of store.h, as far as it is about queues: each case runs against the store in memory
 * and the one in Redis. */

static const fb_queue_t ann = {"orders", "ann"}, bob = {"orders", "bob"}, eve = {"orders", "eve"};

typedef struct {
    fb_queue_job_t jobs[FB_QUEUE_PAGE_MAX];
    size_t count;
} page_t;

static void assert_ids(const page_t *page, const char *expected)
{
    fb_buffer_t text = {0};
    for (size_t i = 0; i < page->count; i++)
        fb_buffer_printf(&text, "%s%u", i > 0 ? " " : "", page->jobs[i].id);
    fb_buffer_put_char(&text, '\0');
    assert_string_equal(text.at, expected);
    fb_buffer_dispose(&text);
}

static page_t take(subject_t *subject, const fb_queue_t *who, size_t max, const char *expected)
{
    fb_store_t *store = subject->store;
    page_t page;
    assert_ok(store->vtable->queue_take(store, who, max, page.jobs, &page.count, error));
    assert_ids(&page, expected);
    return page;
}

static page_t claim(subject_t *subject, const fb_queue_t *who, uint64_t idle_ms, size_t max,
                    const char *expected)
{
    fb_store_t *store = subject->store;
    page_t page;
    assert_ok(store->vtable->queue_claim(store, who, idle_ms, max, page.jobs, &page.count, error));
    assert_ids(&page, expected);
    return page;
}

static void done(subject_t *subject, const fb_queue_t *who, const page_t *page)
{
    fb_store_t *store = subject->store;
    assert_ok(store->vtable->queue_done(store, who, page->jobs, page->count, error));
}

static void leave(subject_t *subject, const fb_queue_t *who)
{
    assert_ok(subject->store->vtable->queue_leave(subject->store, who, error));
}

static void assert_info(subject_t *subject, uint64_t length, uint64_t pending)
{
    fb_store_t *store = subject->store;
    fb_queue_info_t info;
    assert_ok(store->vtable->queue_info(store, &ann, &info, error));
    assert_int_equal(info.length, length);
    assert_int_equal(info.pending, pending);
}

static void put_jobs(subject_t *subject, unsigned from, unsigned to)
{
    fb_buffer_t payload = {0};
    for (unsigned id = from; id <= to; id++)
        fb_buffer_printf(&payload, "%s[\"queue\",\"orders\",%u]", id > from ? "," : "[", id);
    fb_buffer_put(&payload, "]", 2);
    put(subject, payload.at);
    fb_buffer_dispose(&payload);
}

static void jobs_are_taken_once_and_in_their_order(void **state)
{
    subject_t subject = begin(state, 0);
    put_jobs(&subject, 1, 5);
    page_t first = take(&subject, &ann, 2, "1 2");
    page_t second = take(&subject, &bob, 2, "3 4");
    assert_info(&subject, 5, 4);
    put(&subject, "[[\"queue\",\"orders\",4294967295],[\"queue\",\"others\",6]]");
    page_t third = take(&subject, &ann, 100, "5 4294967295");
    take(&subject, &ann, 100, "");
    done(&subject, &ann, &first);
    assert_info(&subject, 4, 4);
    done(&subject, &ann, &second); /* whoever has them */
    done(&subject, &ann, &third);
    done(&subject, &ann, &third);
    assert_info(&subject, 0, 0);
    end(&subject);
}

static void a_queue_that_nobody_has_used_is_empty(void **state)
{
    subject_t subject = begin(state, 0);
    const page_t none = {.count = 0}, unknown = {.jobs = {{{7, 7}, 7}}, .count = 1};
    assert_info(&subject, 0, 0);
    done(&subject, &ann, &none);
    done(&subject, &ann, &unknown);
    leave(&subject, &ann);
    claim(&subject, &ann, 0, 10, "");
    take(&subject, &ann, 10, "");
    assert_info(&subject, 0, 0);
    put_jobs(&subject, 1, 1);
    assert_info(&subject, 1, 0);
    take(&subject, &bob, 10, "1");
    end(&subject);
}

static void the_same_id_may_wait_twice(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"queue\",\"orders\",7],[\"queue\",\"orders\",7]]");
    page_t both = take(&subject, &ann, 10, "7 7");
    both.count = 1;
    done(&subject, &ann, &both);
    assert_info(&subject, 1, 1);
    end(&subject);
}

static void what_a_silent_one_has_is_claimed_once(void **state)
{
    subject_t subject = begin(state, 0);
    put_jobs(&subject, 1, 6);
    take(&subject, &eve, 5, "1 2 3 4 5");
    claim(&subject, &ann, 3600000, 10, "");
    pause_ms(20);
    page_t first = claim(&subject, &ann, 20, 2, "1 2");
    assert_info(&subject, 6, 5);
    done(&subject, &ann, &first);
    page_t second = claim(&subject, &bob, 20, 10, "3 4 5");
    claim(&subject, &bob, 20, 10, "");
    done(&subject, &bob, &second);
    take(&subject, &eve, 10, "6"); /* who was forgotten may come back */
    assert_info(&subject, 1, 1);
    end(&subject);
}

/* Cause: Redis 7.0 takes an empty reading for no sign of life. A round counts only if the machine
 * was quick enough that the sign was fresh. */
static void who_only_asks_lives(void **state)
{
    subject_t subject = begin(state, 0);
    fb_store_t *store = subject.store;
    unsigned signs = 0;
    for (uint32_t idle_ms = 50; signs < 2; idle_ms += 50) {
        page_t none, claimed;
        char id[12];
        snprintf(id, sizeof(id), "%u", idle_ms);
        put_jobs(&subject, idle_ms, idle_ms);
        take(&subject, &ann, 1, id);
        pause_ms(idle_ms);
        uint64_t begun_ms = fb_clock_monotonic_ms();
        if (signs == 0)
            take(&subject, &ann, 10, "");
        else
            assert_ok(store->vtable->queue_claim(store, &ann, 3600000, 10, none.jobs, &none.count,
                                                 error));
        assert_ok(store->vtable->queue_claim(store, &bob, idle_ms, 10, claimed.jobs, &claimed.count,
                                             error));
        if (fb_clock_monotonic_ms() - begun_ms < idle_ms) {
            assert_int_equal(claimed.count, 0);
            signs++;
        }
        leave(&subject, &ann);
        done(&subject, &bob, &claimed);
        for (page_t rest = {.count = 1}; rest.count > 0; done(&subject, &bob, &rest))
            assert_ok(store->vtable->queue_take(store, &bob, 10, rest.jobs, &rest.count, error));
    }
    end(&subject);
}

static void nobody_claims_his_own(void **state)
{
    subject_t subject = begin(state, 0);
    put_jobs(&subject, 1, 2);
    take(&subject, &ann, 10, "1 2");
    claim(&subject, &ann, 0, 10, "");
    claim(&subject, &bob, 0, 0, ""); /* a sign of life, and nothing else */
    claim(&subject, &bob, 0, 1, "1");
    claim(&subject, &ann, 0, 10, "1");
    end(&subject);
}

static void who_leaves_gives_back_what_he_has(void **state)
{
    subject_t subject = begin(state, 0);
    put_jobs(&subject, 1, 4);
    take(&subject, &ann, 2, "1 2");
    page_t other = take(&subject, &bob, 1, "3");
    leave(&subject, &ann);
    assert_info(&subject, 4, 1);
    take(&subject, &bob, 10, "4 1 2");
    done(&subject, &bob, &other);
    leave(&subject, &ann);
    leave(&subject, &bob);
    assert_info(&subject, 3, 0);
    take(&subject, &ann, 10, "4 1 2");
    end(&subject);
}

static void thousands_of_jobs_go_back_and_come_in_pages(void **state)
{
    subject_t subject = begin(state, 0);
    fb_store_t *store = subject.store;
    page_t page;
    put_jobs(&subject, 1, 2500);
    for (size_t taken = 0; taken < 2500; taken += page.count) {
        assert_ok(store->vtable->queue_take(store, &ann, FB_QUEUE_PAGE_MAX, page.jobs, &page.count,
                                            error));
        assert_int_equal(page.count, 2500 - taken < 1024 ? 2500 - taken : 1024);
    }
    leave(&subject, &ann);
    assert_info(&subject, 2500, 0);
    for (unsigned id = 1; id <= 2500;) {
        assert_ok(store->vtable->queue_take(store, &bob, FB_QUEUE_PAGE_MAX, page.jobs, &page.count,
                                            error));
        for (size_t i = 0; i < page.count; i++)
            assert_int_equal(page.jobs[i].id, id++);
        done(&subject, &bob, &page);
    }
    assert_info(&subject, 0, 0);
    end(&subject);
}

/* --- a random program ----------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    uint32_t left = ((const fb_queue_job_t *)a)->id, right = ((const fb_queue_job_t *)b)->id;
    return left < right ? -1 : left > right;
}

/* What each of two stores gave, by their ids: who is claimed from first, is left to a store. */
static void assert_same_jobs(page_t pages[2])
{
    assert_int_equal(pages[0].count, pages[1].count);
    for (size_t i = 0; i < 2; i++)
        qsort(pages[i].jobs, pages[i].count, sizeof(pages[i].jobs[0]), by_id);
    for (size_t i = 0; i < pages[0].count; i++)
        assert_int_equal(pages[0].jobs[i].id, pages[1].jobs[i].id);
}

/* Some of the jobs, the same in both. */
static void done_with_some(chance_t *chance, subject_t subjects[2], const fb_queue_t *who,
                           page_t pages[2])
{
    uint32_t from = chance_below(chance, (uint32_t)pages[0].count + 1);
    for (size_t i = 0; i < 2; i++) {
        pages[i].count -= from;
        memmove(pages[i].jobs, pages[i].jobs + from, pages[i].count * sizeof(pages[i].jobs[0]));
        done(&subjects[i], who, &pages[i]);
    }
}

static void do_at_random(chance_t *chance, subject_t subjects[2], uint32_t *last_id)
{
    static const fb_queue_t *const consumers[] = {&ann, &bob, &eve};
    const fb_queue_t *who = consumers[chance_below(chance, 3)];
    uint32_t kind = chance_below(chance, 8), more = chance_below(chance, 20) + 1;
    uint64_t idle_ms = chance_below(chance, 2) == 0 ? 0 : 3600000;
    page_t pages[2] = {{.count = 0}, {.count = 0}};
    for (size_t i = 0; i < 2; i++) {
        fb_store_t *store = subjects[i].store;
        if (kind < 3)
            assert_ok(
                store->vtable->queue_take(store, who, more, pages[i].jobs, &pages[i].count, error));
        else if (kind < 5)
            assert_ok(store->vtable->queue_claim(store, who, idle_ms, FB_QUEUE_PAGE_MAX,
                                                 pages[i].jobs, &pages[i].count, error));
        else if (kind < 6)
            leave(&subjects[i], who);
        else
            put_jobs(&subjects[i], *last_id + 1, *last_id + more);
    }
    *last_id += kind >= 6 ? more : 0;
    assert_same_jobs(pages);
    done_with_some(chance, subjects, who, pages);
}

static void a_random_program_leaves_both_queues_equal(void **state)
{
    (void)state;
    void *memory = &memory_maker, *real = &redis_maker;
    subject_t subjects[2] = {begin(&memory, 0), begin(&real, 0)};
    chance_t chance = chance_init();
    uint32_t last_id = 0;
    for (unsigned step = 0; step < 2000; step++) {
        fb_queue_info_t info;
        do_at_random(&chance, subjects, &last_id);
        assert_ok(subjects[0].store->vtable->queue_info(subjects[0].store, &ann, &info, error));
        assert_info(&subjects[1], info.length, info.pending);
    }
    end(&subjects[0]);
    end(&subjects[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(jobs_are_taken_once_and_in_their_order),
        BOTH(a_queue_that_nobody_has_used_is_empty),
        BOTH(the_same_id_may_wait_twice),
        BOTH(what_a_silent_one_has_is_claimed_once),
        BOTH(who_only_asks_lives),
        BOTH(nobody_claims_his_own),
        BOTH(who_leaves_gives_back_what_he_has),
        BOTH(thousands_of_jobs_go_back_and_come_in_pages),
        cmocka_unit_test(a_random_program_leaves_both_queues_equal),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
