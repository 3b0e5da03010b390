/* SPDX-License-Identifier: MIT */
#include "persistence/redis_link.h"
#include "server/fleet.h"
#include "tests/unit/server/commit_fixture.h"

/* How an instance follows the others: by publications, by the log, and by loading anew. */

/* "fb:{fleet-N}:" */
static const char *fleet_prefix(void)
{
    static char prefix[32];
    snprintf(prefix, sizeof(prefix), "fb:{fleet-%u}:", fleets);
    return prefix;
}

/* A command to Redis behind the back of all instances, its words parted by single blanks. */
static void run_command(char *command)
{
    fb_slice_t words[16];
    size_t count = 0;
    fb_redis_url_t url;
    fb_error_t error = {0};
    redisReply *reply = NULL;
    bool fresh;
    for (char *word = strtok(command, " "); word != NULL; word = strtok(NULL, " "))
        words[count++] = fb_slice(word);
    assert_int_equal(fb_redis_url_parse(fb_private_redis_url(redis), &url, &error), FB_OK);
    fb_redis_link_t *link = fb_redis_link_create(&url, 5000);
    if (fb_redis_link_open(link, &fresh, &error) != FB_OK ||
        fb_redis_link_call(link, words, count, &reply, &error) != FB_OK)
        fail_msg("%s", error.detail);
    freeReplyObject(reply);
    fb_redis_link_destroy(&link);
}

/* The publications of all that is in the log. */
#define CHANGES_MAX 64

typedef struct {
    fb_publication_t items[CHANGES_MAX];
    char payloads[CHANGES_MAX][512];
    size_t count;
} heard_t;

static fb_code_t on_change(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    heard_t *heard = context;
    (void)error;
    assert_true(heard->count < CHANGES_MAX);
    snprintf(heard->payloads[heard->count], sizeof(heard->payloads[0]), "%.*s",
             FB_PRINT(entry->payload));
    heard->items[heard->count].entry = *entry;
    heard->items[heard->count].entry.payload = fb_slice(heard->payloads[heard->count]);
    heard->count++;
    return FB_OK;
}

static heard_t *listen_to(const instance_t *instance)
{
    heard_t *heard = calloc(1, sizeof(*heard));
    fb_store_t *store = instance->lossy->inner;
    fb_error_t error = {0};
    fb_position_t head;
    size_t count;
    assert_int_equal(
        store->vtable->read(store, 0, CHANGES_MAX, on_change, heard, &count, &head, &error), FB_OK);
    for (size_t i = 0; i < heard->count; i++)
        memcpy(heard->items[i].epoch, head.epoch, sizeof(head.epoch));
    return heard;
}

static void tell(instance_t *instance, const fb_publication_t *publication)
{
    fb_watch_sink_t sink = fb_news_sink(instance->news);
    sink.on_publication(sink.context, publication);
}

/* Hears what was told; says whether there was anything. */
static bool hear(instance_t *instance)
{
    fb_hearing_t hearing;
    fb_error_t error = {0};
    if (fb_fleet_hear(instance->fleet, &hearing, &error) != FB_OK)
        fail_msg("%s", error.detail);
    fb_shelf_reclaim(instance->shelf);
    return hearing.something;
}

static uint64_t revision_of(const instance_t *instance)
{
    return instance_now(instance)->position.revision;
}

/* How many commits were timed. */
static uint64_t commits_of(const instance_t *instance)
{
    uint64_t count = 0;
    for (unsigned i = 0; i <= FB_DURATION_BUCKETS; i++)
        count += fb_count_read(&instance->ahead->meter.commits.buckets[i]);
    return count;
}

/* The head of the log is known before what leads to it. */
static void the_head_of_the_log_is_seen_also_where_it_cannot_be_followed(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_hearing_t hearing;
    instance_t author = found(), reader = join();
    create_machine(&author, "A");
    create_machine(&author, "B");
    heard_t *heard = listen_to(&author);
    tell(&reader, &heard->items[1]);
    reader.lossy->deaf = true;
    assert_int_not_equal(fb_fleet_hear(reader.fleet, &hearing, &error), FB_OK);
    assert_int_equal(revision_of(&reader), 0);
    assert_int_equal(fb_count_read(&reader.ahead->meter.head_revision), 2);
    free(heard);
    instance_dispose(&author);
    instance_dispose(&reader);
}

static void what_is_published_needs_no_redis(void **state)
{
    (void)state;
    instance_t author = found(), reader = join();
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof(id), "M%d", i);
        create_machine(&author, id);
    }
    heard_t *heard = listen_to(&author);
    assert_false(hear(&reader));
    reader.lossy->deaf = true;
    for (size_t i = 0; i < heard->count; i++)
        tell(&reader, &heard->items[i]);
    assert_true(hear(&reader));
    assert_int_equal(revision_of(&reader), 5);
    assert_int_equal(fb_fleet_stats(reader.fleet)->news_total, 5);
    /* What comes twice is known already. */
    for (size_t i = 0; i < heard->count; i++)
        tell(&reader, &heard->items[i]);
    assert_true(hear(&reader));
    assert_int_equal(fb_fleet_stats(reader.fleet)->news_total, 5);
    assert_int_equal(fb_fleet_stats(reader.fleet)->log_total, 0);
    assert_int_equal(fb_count_read(&reader.ahead->meter.head_revision), 5);
    assert_int_equal(commits_of(&reader), 0);
    assert_int_equal(commits_of(&author), 5);
    assert_all_same(&reader, 1);
    free(heard);
    instance_dispose(&author);
    instance_dispose(&reader);
}

static void a_gap_is_filled_from_the_log(void **state)
{
    (void)state;
    instance_t author = found(), reader = join();
    create_machine(&author, "A");
    create_machine(&author, "B");
    create_machine(&author, "C");
    heard_t *heard = listen_to(&author);
    tell(&reader, &heard->items[2]);
    assert_true(hear(&reader));
    assert_int_equal(revision_of(&reader), 3);
    assert_int_equal(fb_fleet_stats(reader.fleet)->log_total, 3);
    assert_all_same(&reader, 1);
    free(heard);
    instance_dispose(&author);
    instance_dispose(&reader);
}

/* What is published is a hint: a message that does not fit is not believed, but looked into. */
static void what_does_not_fit_is_held_against_the_log(void **state)
{
    (void)state;
    instance_t author = found(), reader = join();
    create_machine(&author, "A");
    heard_t *heard = listen_to(&author);
    fb_publication_t wrong_chain = heard->items[0], wrong_epoch = heard->items[0];
    wrong_chain.entry.chain[0] ^= 1;
    tell(&reader, &wrong_chain);
    assert_true(hear(&reader));
    assert_int_equal(revision_of(&reader), 1);
    assert_int_equal(fb_fleet_stats(reader.fleet)->log_total, 1);
    create_machine(&author, "B");
    wrong_epoch.epoch[0] ^= 1;
    tell(&reader, &wrong_epoch);
    assert_true(hear(&reader));
    assert_int_equal(revision_of(&reader), 2);
    tell(&reader, &wrong_chain); /* an old one does no harm */
    assert_true(hear(&reader));
    assert_int_equal(fb_fleet_stats(reader.fleet)->reloads_total, 0);
    assert_all_same(&reader, 1);
    free(heard);
    instance_dispose(&author);
    instance_dispose(&reader);
}

static void a_new_epoch_of_the_same_state_is_taken_on_without_a_load(void **state)
{
    (void)state;
    instance_t author = found(), reader = join();
    fb_store_t *store = author.lossy->inner;
    fb_position_t head;
    fb_error_t error = {0};
    create_machine(&author, "A");
    assert_int_equal(fb_fleet_catch_up(reader.fleet, &error), FB_OK);
    assert_int_equal(
        store->vtable->begin_epoch(store, instance_now(&author)->position.epoch, &head, &error),
        FB_OK);
    fb_watch_sink_t sink = fb_news_sink(reader.news);
    sink.on_doubt(sink.context);
    assert_true(hear(&reader));
    assert_string_equal(instance_now(&reader)->position.epoch, head.epoch);
    assert_int_equal(revision_of(&reader), 1);
    create_machine(&author, "B"); /* its first attempt comes second */
    assert_string_equal(instance_now(&author)->position.epoch, head.epoch);
    assert_int_equal(fb_fleet_stats(author.fleet)->stale_total, 1);
    assert_int_equal(fb_fleet_stats(reader.fleet)->reloads_total, 0);
    assert_int_equal(fb_fleet_stats(author.fleet)->reloads_total, 0);
    instance_dispose(&author);
    instance_dispose(&reader);
}

/* Takes the last change of a machine back, as a Redis does that comes back without it. */
static void lose_last(const instance_t *from, const fb_position_t *back, unsigned id)
{
    char command[600];
    snprintf(command, sizeof(command), "HSET %shead revision %llu chain %s sum %s", fleet_prefix(),
             (unsigned long long)back->revision, back->chain, back->sum);
    run_command(command);
    snprintf(command, sizeof(command), "XDEL %slog %llu-0", fleet_prefix(),
             (unsigned long long)revision_of(from));
    run_command(command);
    snprintf(command, sizeof(command), "XSETID %slog %llu-0", fleet_prefix(),
             (unsigned long long)back->revision);
    run_command(command);
    snprintf(command, sizeof(command), "DEL %smachine:%u", fleet_prefix(), id);
    run_command(command);
    snprintf(command, sizeof(command), "SETBIT %smachines %u 0", fleet_prefix(), id);
    run_command(command);
    snprintf(command, sizeof(command), "HSET %shead last_id:machine %u", fleet_prefix(), id - 1);
    run_command(command);
}

static void what_redis_has_lost_is_counted_and_begins_one_epoch(void **state)
{
    (void)state;
    instance_t instances[] = {found(), join(), join()};
    fb_error_t error = {0};
    create_machine(&instances[0], "A");
    create_machine(&instances[0], "B");
    assert_int_equal(fb_fleet_catch_up(instances[1].fleet, &error), FB_OK);
    const fb_position_t back = instance_now(&instances[1])->position;
    create_machine(&instances[0], "C");
    assert_int_equal(fb_fleet_catch_up(instances[2].fleet, &error), FB_OK);
    lose_last(&instances[0], &back, 3);
    /* Two have shown revision 3; only the first to notice begins an epoch. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(fb_fleet_catch_up(instances[i].fleet, &error), FB_OK);
    const char *epoch = instance_now(&instances[0])->position.epoch;
    assert_string_not_equal(epoch, back.epoch);
    for (int i = 0; i < 3; i++) {
        const fb_fleet_stats_t *stats = fb_fleet_stats(instances[i].fleet);
        assert_string_equal(instance_now(&instances[i])->position.epoch, epoch);
        assert_int_equal(revision_of(&instances[i]), 2);
        assert_int_equal(instance_now(&instances[i])->position.since, 2);
        assert_int_equal(stats->lost_revisions_total, i == 1 ? 0 : 1);
        assert_int_equal(stats->reloads_total, i == 1 ? 0 : 1);
        assert_int_equal(stats->sum_faults_total, 0);
    }
    create_machine(&instances[1], "C");
    assert_all_same(instances, 3);
    for (int i = 0; i < 3; i++)
        instance_dispose(&instances[i]);
}

static void a_state_that_is_not_its_authors_is_an_alarm(void **state)
{
    (void)state;
    instance_t author = found();
    char command[200];
    create_machine(&author, "A");
    snprintf(command, sizeof(command), "HSET %smachine:1 label forged", fleet_prefix());
    run_command(command);
    instance_t reader = join(); /* loads what nobody has written */
    assert_true(fb_fleet_stats(reader.fleet)->sum_differs);
    assert_int_equal(fb_fleet_stats(reader.fleet)->sum_faults_total, 1);
    assert_false(fb_fleet_stats(author.fleet)->sum_differs);
    create_machine(&author, "B");
    heard_t *heard = listen_to(&author);
    tell(&reader, &heard->items[1]);
    assert_true(hear(&reader));
    assert_int_equal(fb_fleet_stats(reader.fleet)->sum_faults_total, 2);
    /* What the author has written over is right again. */
    batch_t batch = {.count = 0};
    add(&batch, "PATCH", "/v1/machines/1", "{\"label\":\"N\"}");
    must_commit(&author, &batch);
    clear(&batch);
    fb_error_t error = {0};
    assert_int_equal(fb_fleet_catch_up(reader.fleet, &error), FB_OK);
    assert_false(fb_fleet_stats(reader.fleet)->sum_differs);
    assert_int_equal(fb_fleet_stats(reader.fleet)->sum_faults_total, 2);
    free(heard);
    instance_dispose(&author);
    instance_dispose(&reader);
}

/* Who learns of an epoch together with its entries. */
static void events_carry_the_epoch_in_which_they_were_made(void **state)
{
    (void)state;
    fb_error_t error = {0};
    fb_position_t head;
    char ids[2][40];
    instance_t author = found(), reader = join();
    create_machine(&author, "A");
    fb_position_t before = instance_now(&author)->position;
    fb_store_t *store = author.lossy->inner;
    assert_int_equal(store->vtable->begin_epoch(store, before.epoch, &head, &error), FB_OK);
    assert_int_equal(fb_fleet_catch_up(author.fleet, &error), FB_OK);
    create_machine(&author, "B");
    assert_string_not_equal(head.epoch, before.epoch);
    assert_int_equal(fb_fleet_catch_up(reader.fleet, &error), FB_OK);
    snprintf(ids[0], sizeof(ids[0]), "\nid: %s.1\n\n", before.epoch);
    snprintf(ids[1], sizeof(ids[1]), "\nid: %s.2\n\n", head.epoch);
    const fb_events_t *events = &instance_now(&reader)->events;
    assert_int_equal(events->end - events->first, 2);
    for (unsigned i = 0; i < 2; i++) {
        const fb_event_t *event = fb_events_get(events, events->first + i);
        size_t len = strlen(ids[i]);
        assert_true(event->len > len);
        assert_memory_equal(event->text + event->len - len, ids[i], len);
    }
    assert_string_equal(instance_now(&reader)->position.epoch, head.epoch);
    assert_string_equal(instance_now(&reader)->position.former[0].epoch, before.epoch);
    instance_dispose(&author);
    instance_dispose(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_published_needs_no_redis),
        cmocka_unit_test(the_head_of_the_log_is_seen_also_where_it_cannot_be_followed),
        cmocka_unit_test(a_gap_is_filled_from_the_log),
        cmocka_unit_test(what_does_not_fit_is_held_against_the_log),
        cmocka_unit_test(a_new_epoch_of_the_same_state_is_taken_on_without_a_load),
        cmocka_unit_test(what_redis_has_lost_is_counted_and_begins_one_epoch),
        cmocka_unit_test(a_state_that_is_not_its_authors_is_an_alarm),
        cmocka_unit_test(events_carry_the_epoch_in_which_they_were_made),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
