/* SPDX-License-Identifier: MIT */
#include "tests/unit/persistence/contract.h"
#include "tests/unit/persistence/picture.h"

/* The contract of store.h: each case runs against the store in memory and the one in Redis. Its
 * histories are in test_store_history.c. */

static void assert_head(subject_t *subject)
{
    fb_position_t head;
    fb_store_t *store = subject->store;
    assert_ok(store->vtable->head(store, &head, error));
    assert_string_equal(head.epoch, subject->position.epoch);
    assert_int_equal(head.revision, subject->position.revision);
    assert_string_equal(head.chain, subject->position.chain);
}

static void a_new_fleet_has_a_head_at_zero(void **state)
{
    subject_t subject = begin(state, 0);
    assert_int_equal(subject.position.revision, 0);
    assert_string_equal(subject.position.chain, "00000000000000000000000000000000");
    assert_int_equal(strlen(subject.position.epoch), FB_EPOCH_BYTES);
    assert_int_equal(strspn(subject.position.epoch, "0123456789abcdef"), FB_EPOCH_BYTES);
    assert_head(&subject);
    assert_picture(subject.store, "");
    subject_t other = begin(state, 0);
    assert_string_not_equal(subject.position.epoch, other.position.epoch);
    end(&other);
    end(&subject);
}

static void a_commit_moves_the_head(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"put\",\"machine\",1,{\"label\":\"a\"}]]");
    assert_int_equal(subject.position.revision, 1);
    assert_head(&subject);
    put(&subject, "[]");
    assert_int_equal(subject.position.revision, 2);
    assert_head(&subject);
    end(&subject);
}

static void a_wrong_expectation_is_stale(void **state)
{
    const char *payload = "[[\"put\",\"machine\",1,{\"label\":\"wrong\"}]]";
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"put\",\"machine\",1,{\"label\":\"right\"}]]");
    fb_position_t wrong = subject.position;
    wrong.revision++;
    assert_code(FB_STALE, commit_text(subject.store, &wrong, payload, error));
    wrong.revision = 0;
    assert_code(FB_STALE, commit_text(subject.store, &wrong, payload, error));
    wrong = subject.position;
    wrong.chain[0] = wrong.chain[0] == '0' ? '1' : '0';
    assert_code(FB_STALE, commit_text(subject.store, &wrong, payload, error));
    wrong = subject.position;
    wrong.epoch[7] = wrong.epoch[7] == '0' ? '1' : '0';
    assert_code(FB_STALE, commit_text(subject.store, &wrong, payload, error));
    assert_head(&subject);
    assert_picture(subject.store, "machine 1: \"right\" - -\nlast machine 1\n");
    end(&subject);
}

static const char *const malformed[] = {
    "",
    "x",
    "{}",
    "null",
    "\"put\"",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"}]",
    "[null]",
    "[1]",
    "[[]]",
    "[{}]",
    "[{\"1\":\"put\"}]",
    "[[null,\"machine\",5]]",
    "[[\"patch\",\"machine\",5,{\"label\":\"a\"}]]",
    "[[\"put\",\"machine\",5]]",
    "[[\"put\",\"machine\",5,{}]]",
    "[[\"put\",\"machine\",5,[]]]",
    "[[\"put\",\"machine\",5,[\"a\"]]]",
    "[[\"put\",\"machine\",5,\"a\"]]",
    "[[\"put\",\"machine\",5,{\"label\":7}]]",
    "[[\"put\",\"machine\",5,{\"label\":null}]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\",\"tags\":[\"b\"]}]]",
    "[[\"put\",\"machine\",5,{\"\":\"a\"}]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},1]]",
    "[[\"put\",\"machine\",0,{\"label\":\"a\"}]]",
    "[[\"put\",\"machine\",-1,{\"label\":\"a\"}]]",
    "[[\"put\",\"machine\",4294967296,{\"label\":\"a\"}]]",
    "[[\"put\",\"machine\",1.5,{\"label\":\"a\"}]]",
    "[[\"put\",\"machine\",\"5\",{\"label\":\"a\"}]]",
    "[[\"put\",\"\",5,{\"label\":\"a\"}]]",
    "[[\"put\",\"Machine\",5,{\"label\":\"a\"}]]",
    "[[\"put\",\"a:b\",5,{\"label\":\"a\"}]]",
    "[[\"put\",5,5,{\"label\":\"a\"}]]",
    "[[\"put\",\"abcdefghijklmnopqrstuvwxyzabcdefg\",5,{\"label\":\"a\"}]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"history\"]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"history\",1,1]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"\",1]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"His:tory\",1]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},null,1]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"history\",null]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"history\",-1]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"history\",1.5]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"history\",\"1\"]]",
    "[[\"put\",\"machine\",5,{\"label\":\"a\"},\"history\",100000000000000]]",
    "[[\"put\",\"machine\",5,{},\"history\",1]]",
    "[[\"delete\",\"machine\"]]",
    "[[\"delete\",\"machine\",1,{}]]",
    "[[\"delete\",\"machine\",null]]",
    "[[\"days\",\"booked\",5,\"2026-11-21\",1]]",
    "[[\"days\",\"booked\",5,\"2026-11-21\",1,1,1]]",
    "[[\"days\",\"booked\",5,\"2026-11-21\",1,2]]",
    "[[\"days\",\"booked\",5,\"2026-11-21\",1,true]]",
    "[[\"days\",\"booked\",5,\"2026-11-21\",0,1]]",
    "[[\"days\",\"booked\",5,\"2026-11-21\",157055,1]]",
    "[[\"days\",\"booked\",5,\"2026-02-29\",1,1]]",
    "[[\"days\",\"booked\",5,\"2026-13-01\",1,1]]",
    "[[\"days\",\"booked\",5,\"2026-00-01\",1,1]]",
    "[[\"days\",\"booked\",5,\"2026-04-31\",1,1]]",
    "[[\"days\",\"booked\",5,\"2026-04-00\",1,1]]",
    "[[\"days\",\"booked\",5,\"2026-4-1\",1,1]]",
    "[[\"days\",\"booked\",5,\"20261121\",1,1]]",
    "[[\"days\",\"booked\",5,\"2026-11-21T00:00\",1,1]]",
    "[[\"days\",\"booked\",5,20261121,1,1]]",
    "[[\"days\",\"booked\",5,\"1969-12-31\",1,1]]",
    "[[\"days\",\"booked\",5,\"2100-02-29\",1,1]]",
    "[[\"days\",\"booked\",5,\"2399-12-31\",2,1]]",
    "[[\"days\",\"booked\",5,\"2400-01-01\",1,1]]",
    "[[\"days\",\"booked\",[],\"2026-11-21\",1,1]]",
    "[[\"days\",\"booked\",{\"a\":5},\"2026-11-21\",1,1]]",
    "[[\"days\",\"booked\",[5,0],\"2026-11-21\",1,1]]",
    "[[\"days\",\"booked\",[5,4294967296],\"2026-11-21\",1,1]]",
    "[[\"days\",\"booked\",[5,null],\"2026-11-21\",1,1]]",
    "[[\"days\",\"booked\",[null,5],\"2026-11-21\",1,1]]",
    "[[\"days\",\"booked\",[5,\"6\"],\"2026-11-21\",1,1]]",
    "[[\"days\",\"booked\",[5,[6]],\"2026-11-21\",1,1]]",
    "[[\"days\",\"booked\",[5,6.5],\"2026-11-21\",1,1]]",
    "[[\"delete\",\"machine\",[1]]]",
    "[[\"put\",\"machine\",[5],{\"label\":\"a\"}]]",
    "[[\"archive\",\"machine\"]]",
    "[[\"archive\",\"machine\",0]]",
    "[[\"archive\",\"machine\",[]]]",
    "[[\"archive\",\"machine\",[1,-1]]]",
    "[[\"archive\",\"machine\",1,1]]",
    "[[\"archive\",\"Machine\",1]]",
    "[[\"queue\",\"jobs\"]]",
    "[[\"queue\",\"jobs\",0]]",
    "[[\"queue\",\"jobs\",[1]]]",
    "[[\"queue\",\"jobs\",1,1]]",
    "[[\"queue\",\"Jobs\",1]]",
    "[[\"delete\",\"machine\",1],[\"delete\",\"machine\",2],[\"delete\"]]",
};

static void a_malformed_payload_spoils_its_whole_batch(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"put\",\"machine\",1,{\"label\":\"old\"}],[\"put\",\"machine\",2,"
                  "{\"label\":\"old\"}],[\"days\",\"booked\",1,\"2026-11-21\",1,1]]");
    char *before = picture_of(subject.store);
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        const char *batch[] = {
            "[[\"put\",\"machine\",1,{\"label\":\"new\"}],[\"put\",\"machine\",9,{\"label\":\"\"}]"
            "]",
            malformed[i],
            "[[\"delete\",\"machine\",2],[\"days\",\"booked\",1,\"2026-11-20\",3,0]]",
        };
        fb_error_t error = {0};
        fb_code_t code = commit_texts(subject.store, &subject.position, 0, batch, 3, &error);
        if (code != FB_INTERNAL)
            fail_msg("%s: %s %s", malformed[i], fb_code_name(code), error.detail);
        assert_head(&subject);
    }
    assert_picture(subject.store, before);
    free(before);
    put(&subject, "[[\"put\",\"machine\",1,{\"label\":\"newer\"}]]");
    end(&subject);
}

typedef struct {
    fb_position_t position;
    size_t fail_after; /* entries; SIZE_MAX: never */
    size_t count;
    fb_position_t head;
    fb_buffer_t payloads;
} reading_t;

static fb_code_t on_entry(void *context, const fb_entry_t *entry, fb_error_t *error)
{
    reading_t *reading = context;
    char next[FB_CHAIN_BYTES + 1], command[FB_COMMAND_BYTES + 1];
    if (reading->count == reading->fail_after)
        return fb_fail(error, FB_CONFLICT, "enough");
    reading->count++;
    reading->position.revision++;
    assert_int_equal(entry->revision, reading->position.revision);
    snprintf(command, sizeof(command), "%08x%024llx", 0, (unsigned long long)entry->revision);
    assert_string_equal(entry->command, command);
    fb_chain_next(reading->position.chain, command, entry->payload, next);
    assert_string_equal(entry->chain, next);
    memcpy(reading->position.chain, next, sizeof(next));
    fb_buffer_put_slice(&reading->payloads, entry->payload);
    return FB_OK;
}

static void the_log_reads_back_with_its_chains(void **state)
{
    subject_t subject = begin(state, 0);
    reading_t reading = {.position = subject.position, .fail_after = SIZE_MAX};
    const char *texts[] = {"[]", "[[\"put\",\"machine\",1,{\"label\":\"\\u00e9 \\\"\\\\\"}]]",
                           "[ [\"delete\",\"machine\",1] ]\n"};
    size_t count;
    fb_position_t head;
    fb_store_t *store = subject.store;
    assert_ok(store->vtable->read(store, 0, 10, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, 0);
    put(&subject, texts[0]);
    assert_ok(commit_texts(store, &subject.position, 0, &texts[1], 2, error));
    assert_ok(store->vtable->read(store, 0, 2, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, 2);
    assert_ok(store->vtable->read(store, 2, 10, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, 1);
    assert_string_equal(reading.position.chain, subject.position.chain);
    assert_string_equal(head.epoch, subject.position.epoch);
    assert_int_equal(head.revision, 3);
    assert_string_equal(head.chain, subject.position.chain);
    assert_string_equal(head.sum, subject.position.sum);
    fb_buffer_put_char(&reading.payloads, '\0');
    assert_int_equal(strncmp(reading.payloads.at, texts[0], 2), 0);
    assert_int_equal(strncmp(reading.payloads.at + 2, texts[1], strlen(texts[1])), 0);
    assert_string_equal(reading.payloads.at + 2 + strlen(texts[1]), texts[2]);
    fb_buffer_dispose(&reading.payloads);
    end(&subject);
}

static void a_long_log_is_read_whole_or_as_far_as_wanted(void **state)
{
    const char *payloads[FB_STORE_BATCH_MAX];
    subject_t subject = begin(state, 0);
    fb_store_t *store = subject.store;
    reading_t reading = {.position = subject.position, .fail_after = SIZE_MAX};
    size_t count;
    fb_position_t head;
    for (size_t i = 0; i < FB_STORE_BATCH_MAX; i++)
        payloads[i] = "[[\"put\",\"machine\",7,{\"label\":\"seven\"}]]";
    assert_ok(commit_texts(store, &subject.position, 0, payloads, FB_STORE_BATCH_MAX, error));
    assert_ok(store->vtable->read(store, 0, 1000, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, 1000);
    assert_ok(store->vtable->read(store, 1000, 1000, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, FB_STORE_BATCH_MAX - 1000);
    assert_string_equal(reading.position.chain, subject.position.chain);
    fb_buffer_dispose(&reading.payloads);

    reading = (reading_t){.fail_after = 345};
    memset(reading.position.chain, '0', FB_CHAIN_BYTES);
    assert_code(FB_CONFLICT,
                store->vtable->read(store, 0, 900, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, 345);
    fb_buffer_dispose(&reading.payloads);
    end(&subject);
}

static void a_trimmed_log_says_so(void **state)
{
    const char *payloads[50];
    subject_t subject = begin(state, 100);
    fb_store_t *store = subject.store;
    reading_t reading = {.fail_after = SIZE_MAX};
    size_t count;
    fb_position_t head;
    for (size_t i = 0; i < 50; i++)
        payloads[i] = "[[\"put\",\"machine\",7,{\"label\":\"seven\"}]]";
    for (unsigned i = 0; i < 20; i++) {
        if (i == 18)
            reading.position = subject.position;
        assert_ok(commit_texts(store, &subject.position, 0, payloads, 50, error));
    }
    assert_code(FB_TRIMMED,
                store->vtable->read(store, 0, 10, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, 0);
    assert_ok(store->vtable->read(store, 900, 200, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, 100);
    assert_string_equal(reading.position.chain, subject.position.chain);
    fb_buffer_dispose(&reading.payloads);
    end(&subject);
}

static void a_log_that_ends_before_the_reader_says_so(void **state)
{
    subject_t subject = begin(state, 0);
    fb_store_t *store = subject.store;
    reading_t reading = {.position = subject.position, .fail_after = SIZE_MAX};
    size_t count;
    fb_position_t head;
    put(&subject, "[]");
    assert_ok(store->vtable->read(store, 1, 10, on_entry, &reading, &count, &head, error));
    assert_int_equal(count, 0);
    assert_code(FB_DIVERGED,
                store->vtable->read(store, 2, 10, on_entry, &reading, &count, &head, error));
    end(&subject);
}

static void an_epoch_ends_once(void **state)
{
    subject_t subject = begin(state, 0);
    fb_store_t *store = subject.store;
    fb_position_t first, again, before = subject.position;
    put(&subject, "[]");
    assert_ok(store->vtable->begin_epoch(store, before.epoch, &first, error));
    assert_string_not_equal(first.epoch, before.epoch);
    assert_int_equal(first.revision, 1);
    assert_int_equal(first.since, 1);
    assert_string_equal(first.chain, subject.position.chain);
    assert_string_equal(first.sum, subject.position.sum);
    /* Who comes later finds that it was done already. */
    assert_ok(store->vtable->begin_epoch(store, before.epoch, &again, error));
    assert_memory_equal(&again, &first, sizeof(first));
    assert_code(FB_STALE, commit_text(store, &subject.position, "[]", error));
    strcpy(subject.position.epoch, first.epoch);
    put(&subject, "[]");
    assert_ok(store->vtable->head(store, &again, error));
    assert_int_equal(again.since, 1);
    assert_int_equal(again.revision, 2);
    end(&subject);
}

static void a_load_gives_what_was_put(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"put\",\"machine\",3,{\"label\":\"M\\u00fcll \xe2\x82\xac \xf0\x9f\x9a\x9c "
                  "\\ud83d\\ude9c\",\"note\":\"\\\"quoted\\\" \\\\ \\n\\t\",\"price\":\"\"}],"
                  "[\"put\",\"machine\",1,{\"price\":\"12\",\"unknown\":\"x\",\"label\":\"one\"}],"
                  "[\"put\",\"window\",70000,{\"reason\":\"\"}]]");
    assert_picture(subject.store, "machine 1: \"one\" - \"12\"\n"
                                  "machine 3: \"M\xc3\xbcll \xe2\x82\xac \xf0\x9f\x9a\x9c "
                                  "\xf0\x9f\x9a\x9c\" \"\"quoted\" \\ \n\t\" \"\"\n"
                                  "window 70000: \"\"\n"
                                  "last machine 3\nlast window 70000\n");
    end(&subject);
}

static void a_put_replaces_the_whole_row(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"put\",\"machine\",1,{\"label\":\"a\",\"note\":\"b\",\"price\":\"c\"}]]");
    put(&subject, "[[\"put\",\"machine\",1,{\"note\":\"new\"}]]");
    assert_picture(subject.store, "machine 1: - \"new\" -\nlast machine 1\n");
    put(&subject, "[[\"delete\",\"machine\",1],[\"put\",\"machine\",1,{\"price\":\"1\"}],"
                  "[\"put\",\"machine\",2,{\"price\":\"2\"}],[\"delete\",\"machine\",2]]");
    assert_picture(subject.store, "machine 1: - - \"1\"\nlast machine 2\n");
    end(&subject);
}

static void last_ids_survive_deletes(void **state)
{
    subject_t subject = begin(state, 0);
    const char *batch[] = {"[[\"put\",\"machine\",9,{\"label\":\"nine\"}]]",
                           "[[\"put\",\"machine\",10,{\"label\":\"ten\"}],"
                           "[\"put\",\"machine\",4,{\"label\":\"four\"}]]"};
    assert_ok(commit_texts(subject.store, &subject.position, 0, batch, 2, error));
    put(&subject, "[[\"delete\",\"machine\",10],[\"delete\",\"machine\",9],"
                  "[\"delete\",\"machine\",4],[\"delete\",\"machine\",4000]]");
    assert_picture(subject.store, "last machine 10\n");
    put(&subject, "[[\"put\",\"machine\",8,{\"label\":\"eight\"}]]");
    assert_picture(subject.store, "machine 8: \"eight\" - -\nlast machine 10\n");
    end(&subject);
}

static void days_run_over_the_ends_of_months_and_years(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"days\",\"maintenance\",1,\"2027-12-30\",4,1],"
                  "[\"days\",\"maintenance\",2,\"2028-02-28\",3,1],"
                  "[\"days\",\"maintenance\",3,\"2027-02-28\",2,1],"
                  "[\"days\",\"booked\",2,\"2100-02-28\",2,1],"
                  "[\"days\",\"booked\",2,\"2000-02-29\",1,1]]");
    assert_picture(subject.store, "maintenance 2027-02-28: 3\n"
                                  "maintenance 2027-03-01: 3\n"
                                  "maintenance 2027-12-30: 1\n"
                                  "maintenance 2027-12-31: 1\n"
                                  "maintenance 2028-01-01: 1\n"
                                  "maintenance 2028-01-02: 1\n"
                                  "maintenance 2028-02-28: 2\n"
                                  "maintenance 2028-02-29: 2\n"
                                  "maintenance 2028-03-01: 2\n"
                                  "booked 2000-02-29: 2\n"
                                  "booked 2100-02-28: 2\n"
                                  "booked 2100-03-01: 2\n");
    end(&subject);
}

static void days_are_set_and_cleared(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"days\",\"booked\",7,\"2026-11-01\",5,1],"
                  "[\"days\",\"booked\",8,\"2026-11-03\",1,1]]");
    put(&subject, "[[\"days\",\"booked\",7,\"2026-10-30\",5,0],"
                  "[\"days\",\"maintenance\",7,\"2026-10-30\",5,0]]");
    assert_picture(subject.store, "booked 2026-11-03: 8\n"
                                  "booked 2026-11-04: 7\n"
                                  "booked 2026-11-05: 7\n");
    put(&subject, "[[\"days\",\"booked\",7,\"2026-11-03\",9,0],"
                  "[\"days\",\"booked\",8,\"2026-11-03\",1,0],"
                  "[\"days\",\"booked\",1,\"2026-11-03\",1,1]]");
    assert_picture(subject.store, "booked 2026-11-03: 1\n");
    end(&subject);
}

static void the_calendar_is_used_from_end_to_end(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"days\",\"booked\",1,\"1970-01-01\",1,1],"
                  "[\"days\",\"booked\",2,\"2399-12-30\",2,1],"
                  "[\"days\",\"maintenance\",3,\"1970-01-01\",157054,0]]");
    assert_picture(subject.store, "booked 1970-01-01: 1\n"
                                  "booked 2399-12-30: 2\n"
                                  "booked 2399-12-31: 2\n");
    end(&subject);
}

static void far_ids_have_their_rows_and_bits(void **state)
{
    subject_t subject = begin(state, 0);
    put(&subject, "[[\"put\",\"machine\",20000000,{\"label\":\"far\"}],"
                  "[\"put\",\"machine\",7,{\"label\":\"near\"}],"
                  "[\"put\",\"machine\",8,{\"label\":\"near\"}],"
                  "[\"days\",\"booked\",20000000,\"2026-11-21\",1,1]]");
    assert_picture(subject.store, "machine 7: \"near\" - -\nmachine 8: \"near\" - -\n"
                                  "machine 20000000: \"far\" - -\n"
                                  "booked 2026-11-21: 20000000\nlast machine 20000000\n");
    end(&subject);
}

static void a_row_of_very_many_fields_is_kept_whole(void **state)
{
    fb_buffer_t payload = {0};
    subject_t subject = begin(state, 0);
    fb_buffer_put_literal(&payload, "[[\"put\",\"machine\",1,{\"label\":\"wide\"");
    for (int i = 0; i < 20000; i++)
        fb_buffer_printf(&payload, ",\"f%d\":\"%d\"", i, i);
    fb_buffer_put_literal(&payload, ",\"price\":\"1\"}]]");
    fb_buffer_put_char(&payload, '\0');
    put(&subject, payload.at);
    assert_picture(subject.store, "machine 1: \"wide\" - \"1\"\nlast machine 1\n");
    fb_buffer_dispose(&payload);
    end(&subject);
}

static void a_commit_beyond_its_bound_is_refused(void **state)
{
    size_t len = FB_STORE_BATCH_BYTES_MAX / 2;
    char *half = malloc(len + 2);
    subject_t subject = begin(state, 0);
    memset(half, ' ', len + 2);
    half[len + 1] = '\0';
    const char *batch[] = {half, half};
    assert_code(FB_BODY_TOO_LARGE,
                commit_texts(subject.store, &subject.position, 0, batch, 2, error));
    assert_head(&subject);
    free(half);
    end(&subject);
}

static uint32_t chance_id(chance_t *chance)
{
    return 1 + chance_below(chance, chance_below(chance, 8) == 0 ? 5000 : 20);
}

/* One, or several: neighbours, strangers, some of them twice. */
static void put_random_ids(chance_t *chance, fb_buffer_t *text)
{
    uint32_t id = chance_id(chance), count = chance_below(chance, 3) * chance_below(chance, 200);
    if (count == 0)
        fb_buffer_put_u64(text, id);
    for (uint32_t i = 0; i < count; i++) {
        fb_buffer_printf(text, "%s%u", i == 0 ? "[" : ",", id);
        id = chance_below(chance, 8) == 0 ? chance_id(chance) : id + chance_below(chance, 3);
    }
    fb_buffer_put_text(text, count == 0 ? "" : "]");
}

/* One operation of a random program. */
static void put_random_operation(chance_t *chance, fb_buffer_t *text)
{
    static const char *const rows[] = {"machine", "window"};
    static const char *const fields[] = {"label", "note", "price", "reason", "other"};
    static const char *const texts[] = {"", "x", "\xc3\xa4", "a longer text", "\\\"", "\\u0041"};
    uint32_t id = chance_id(chance);
    switch (chance_below(chance, 5)) {
    case 0:
        fb_buffer_printf(text, "[\"delete\",\"%s\",%u]", rows[chance_below(chance, 2)], id);
        break;
    case 1:
        fb_buffer_printf(text, "[\"days\",\"%s\",", picture_planes[chance_below(chance, 2)]);
        put_random_ids(chance, text);
        fb_buffer_printf(text, ",\"20%02u-%02u-%02u\",%u,%u]", 26 + chance_below(chance, 3),
                         1 + chance_below(chance, 12), 1 + chance_below(chance, 28),
                         1 + chance_below(chance, 40), chance_below(chance, 3) > 0);
        break;
    case 2:
        fb_buffer_printf(text, "[\"archive\",\"%s\",", rows[chance_below(chance, 2)]);
        put_random_ids(chance, text);
        fb_buffer_put_char(text, ']');
        break;
    default:
        fb_buffer_printf(text, "[\"put\",\"%s\",%u,{", rows[chance_below(chance, 2)], id);
        for (uint32_t i = 0, first = chance_below(chance, 5); i <= chance_below(chance, 4); i++)
            fb_buffer_printf(text, "%s\"%s\":\"%s\"", i > 0 ? "," : "", fields[(first + i) % 5],
                             texts[chance_below(chance, 6)]);
        fb_buffer_put_literal(text, "}]");
    }
}

static void put_random_change(chance_t *chance, fb_buffer_t *text)
{
    text->len = 0;
    fb_buffer_put_char(text, '[');
    for (uint32_t i = 0, count = chance_below(chance, 5); i < count; i++) {
        fb_buffer_put_text(text, i > 0 ? "," : "");
        put_random_operation(chance, text);
    }
    fb_buffer_put_char(text, ']');
    fb_buffer_put_char(text, '\0');
}

static void a_random_program_leaves_both_stores_equal(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    fb_buffer_t texts[4] = {{0}};
    fb_store_t *memory = make_memory(0), *real = make_redis(0);
    fb_position_t in_memory, in_redis;
    assert_ok(memory->vtable->head(memory, &in_memory, error));
    assert_ok(real->vtable->head(real, &in_redis, error));
    for (unsigned step = 0; step < 1000; step++) {
        const char *payloads[4];
        size_t count = 1 + chance_below(&chance, 4);
        for (size_t i = 0; i < count; i++) {
            put_random_change(&chance, &texts[i]);
            payloads[i] = texts[i].at;
        }
        assert_ok(commit_texts(memory, &in_memory, 0, payloads, count, error));
        assert_ok(commit_texts(real, &in_redis, 0, payloads, count, error));
        assert_string_equal(in_memory.chain, in_redis.chain);
        if (step % 100 == 99) {
            char *expected = picture_of(memory);
            assert_picture(real, expected);
            free(expected);
        }
    }
    for (size_t i = 0; i < 4; i++)
        fb_buffer_dispose(&texts[i]);
    memory->vtable->destroy(memory);
    real->vtable->destroy(real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_new_fleet_has_a_head_at_zero),
        BOTH(a_commit_moves_the_head),
        BOTH(a_wrong_expectation_is_stale),
        BOTH(a_malformed_payload_spoils_its_whole_batch),
        BOTH(the_log_reads_back_with_its_chains),
        BOTH(a_long_log_is_read_whole_or_as_far_as_wanted),
        BOTH(a_trimmed_log_says_so),
        BOTH(a_log_that_ends_before_the_reader_says_so),
        BOTH(an_epoch_ends_once),
        BOTH(a_load_gives_what_was_put),
        BOTH(a_put_replaces_the_whole_row),
        BOTH(last_ids_survive_deletes),
        BOTH(days_run_over_the_ends_of_months_and_years),
        BOTH(days_are_set_and_cleared),
        BOTH(the_calendar_is_used_from_end_to_end),
        BOTH(far_ids_have_their_rows_and_bits),
        BOTH(a_row_of_very_many_fields_is_kept_whole),
        BOTH(a_commit_beyond_its_bound_is_refused),
        cmocka_unit_test(a_random_program_leaves_both_stores_equal),
    };
    return cmocka_run_group_tests(tests, start_redis, stop_redis);
}
