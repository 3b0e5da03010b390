/* SPDX-License-Identifier: MIT */
#include "resources/idempotency.h"

#include "tests/unit/resources/fleet.h"

#define KEYS     40 /* that the random program knows */
#define RING_MAX 50

#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const uint32_t no_ids[FB_PATH_IDS_MAX];

static fb_idempotency_t request_of(const char *key, const char *body)
{
    fb_idempotency_t request;
    fb_error_t error = {0};
    if (fb_idempotency_read(&request, "/v1/machines", no_ids, fb_slice(key), fb_slice(body),
                            &error) != FB_OK)
        fail_msg("%s: %s", key, error.detail);
    return request;
}

static void a_key_is_a_string_or_the_same_without_quotes(void **state)
{
    (void)state;
    static const struct {
        const char *field, *key;
    } good[] = {
        {"\"a\"", "a"},
        {"a", "a"},
        {"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
        {"\"a,b;c\"", "a,b;c"},
        {"\"a\\\"b\"", "a\\\"b"},
        {"\"a\";v=1", "a"},
        {"\"!~\"", "!~"},
        {"\"" HUNDRED "\"", HUNDRED},
        {HUNDRED, HUNDRED},
    };
    static const char *const wrong[] = {
        "",       "\"\"",       "\"",   "\"a",     "a\"",          "\"a\"b",    "\"a\", \"b\"",
        "a,b",    "a;b",        "a b",  "\"a b\"", "\"\xc3\xa4\"", "\xc3\xa4",  "\"\t\"",
        "\"\\",   "\"a\\\"",    "a\\b", "\x7f",    "\"\x7f\"",     HUNDRED "x", "\"" HUNDRED "x\"",
        "\" a\"", "\"\\\xff\"",
    };
    for (size_t i = 0; i < FB_COUNT(good); i++) {
        fb_idempotency_t request = request_of(good[i].field, "{}");
        assert_memory_equal(request.key, "/v1/machines ", 13);
        assert_string_equal(request.key + 13, good[i].key);
    }
    for (size_t i = 0; i < FB_COUNT(wrong); i++) {
        fb_idempotency_t request;
        fb_error_t error = {0};
        fb_idempotency_read(&request, "/v1/machines", no_ids, fb_slice(wrong[i]), FB_SLICE("{}"),
                            &error);
        if (error.code != FB_MALFORMED)
            fail_msg("%s was taken", wrong[i]);
        assert_error(&error, FB_MALFORMED, "Idempotency-Key");
    }
}

static void a_key_is_that_of_its_path_and_a_fingerprint_that_of_its_body(void **state)
{
    (void)state;
    static const uint32_t ids[] = {7, 4294967295};
    fb_idempotency_t one = request_of("a", "{}"), other = request_of("\"a\"", "{ }"), third;
    fb_error_t error = {0};
    assert_string_equal(one.key, other.key);
    assert_string_not_equal(one.fingerprint, other.fingerprint);
    assert_int_equal(strlen(one.fingerprint), FB_IDEMPOTENCY_PRINT_BYTES);
    fb_idempotency_read(&third, "/v1/machines/{id}/maintenance/{id}", ids, FB_SLICE("a"),
                        FB_SLICE("{}"), &error);
    assert_string_equal(third.key, "/v1/machines/7/maintenance/4294967295 a");
    assert_string_equal(third.fingerprint, one.fingerprint);
}

/* --- the ring, and a model of it ------------------------------------------------------------- */

typedef struct {
    unsigned key, body; /* key KEYS: none any more */
    uint32_t ids[FB_PATH_IDS_MAX];
    fb_instant_t created;
} entry_t;

typedef struct {
    fb_rules_t rules;
    fb_snapshot_t *snapshot; /* of the beginning */
    fb_stage_t *stage;
    fb_instant_t now;
    entry_t slots[RING_MAX]; /* the model: where each is, and where the next one goes */
    uint32_t count, next;
    int64_t number;
} ring_t;

static fb_idempotency_t numbered(unsigned key, unsigned body)
{
    char name[16], text[16];
    snprintf(name, sizeof(name), "\"k%u\"", key);
    snprintf(text, sizeof(text), "{%u}", body);
    return request_of(name, text);
}

static void ring_begin(ring_t *ring, uint64_t max)
{
    *ring = (ring_t){.rules = fleet_rules, .now = NOON};
    ring->rules.idempotency_keys_max = max;
    ring->snapshot = fb_snapshot_create(&ring->rules, 0x5EED, TODAY);
    ring->stage = fb_stage_begin(ring->snapshot);
}

static void ring_end(ring_t *ring)
{
    fb_stage_abort(&ring->stage);
    free(ring->snapshot);
}

/* -1 where it is in none. */
static int model_slot(const ring_t *ring, unsigned key)
{
    for (uint32_t i = 0; i < ring->count; i++) {
        if (ring->slots[i].key == key)
            return (int)i;
    }
    return -1;
}

static void model_put(ring_t *ring, unsigned key, unsigned body, const uint32_t *ids)
{
    int before = model_slot(ring, key);
    if (before >= 0)
        ring->slots[before].key = KEYS;
    if (ring->next == ring->count && ring->count < ring->rules.idempotency_keys_max)
        ring->count++;
    else if (ring->next == ring->count)
        ring->next = 0;
    ring->slots[ring->next++] = (entry_t){key, body, {ids[0], ids[1]}, ring->now};
    ring->number++;
}

static void put(ring_t *ring, unsigned key, unsigned body, const uint32_t *ids)
{
    fb_change_t change = {0};
    fb_idempotency_t request = numbered(key, body);
    fb_idempotency_put(fb_stage_view(ring->stage), &request, ids, ring->now, &change);
    fb_stage_apply(ring->stage, &change);
    fb_change_dispose(&change);
    model_put(ring, key, body, ids);
}

static bool check_key(const fb_snapshot_t *snapshot, const ring_t *ring, unsigned key,
                      unsigned body)
{
    uint32_t ids[FB_PATH_IDS_MAX] = {99, 99};
    bool known;
    fb_error_t error = {0};
    fb_idempotency_t request = numbered(key, body);
    int slot = model_slot(ring, key);
    const entry_t *entry = slot < 0 ? NULL : &ring->slots[slot];
    bool is_known = entry != NULL && ring->now - entry->created < 86400000;
    fb_code_t code = fb_idempotency_find(snapshot, &request, ring->now, &known, ids, &error);
    assert_int_equal(known, is_known);
    assert_int_equal(code, is_known && entry->body != body ? FB_INVALID : FB_OK);
    if (code != FB_OK)
        assert_error(&error, FB_INVALID, "Idempotency-Key");
    else if (is_known)
        assert_memory_equal(ids, entry->ids, sizeof(ids));
    return is_known;
}

/* The rows are in the slots of the model, and a load in any order finds what they say. */
static void check_rows(ring_t *ring, chance_t *chance)
{
    const fb_snapshot_t *view = fb_stage_view(ring->stage);
    const fb_field_t *fields = fb_idempotency.fields;
    fb_snapshot_t *empty = fb_snapshot_create(&ring->rules, 7, TODAY);
    fb_stage_t *loaded = fb_stage_begin(empty);
    uint32_t first = ring->count > 0 ? chance_below(chance, ring->count) : 0;
    int64_t newest = 0;
    assert_int_equal(view->families[FB_IDEMPOTENCY].last_id, ring->count);
    for (uint32_t i = 0; i < ring->count; i++) {
        uint32_t slot = (first + i) % ring->count;
        const fb_row_t *row = fb_snapshot_row(view, FB_IDEMPOTENCY, slot + 1);
        fb_value_t values[FB_FIELDS_MAX];
        assert_non_null(row);
        for (unsigned f = 0; f < FB_IDEMPOTENCY_FIELDS; f++)
            values[f] = fb_row_value(row, fields, f);
        assert_int_equal(values[FB_IDEMPOTENCY_KEY].null, ring->slots[slot].key == KEYS);
        assert_int_equal(values[FB_IDEMPOTENCY_CREATED].number, ring->slots[slot].created);
        if (values[FB_IDEMPOTENCY_NUMBER].number > newest)
            newest = values[FB_IDEMPOTENCY_NUMBER].number;
        fb_stage_put(loaded, FB_IDEMPOTENCY, slot + 1, values);
    }
    assert_int_equal(newest, ring->number);
    for (unsigned key = 0; key < KEYS; key++)
        check_key(fb_stage_view(loaded), ring, key, 0);
    fb_stage_abort(&loaded);
    free(empty);
}

static void the_ring_agrees_with_a_plain_array(void **state)
{
    (void)state;
    chance_t chance = chance_init();
    ring_t ring;
    ring_begin(&ring, 1);
    unsigned puts = 0, replays = 0;
    for (int step = 0; step < 20000; step++) {
        unsigned key = chance_below(&chance, KEYS), body = chance_below(&chance, 2);
        const uint32_t ids[] = {chance_below(&chance, 4), chance_below(&chance, 4)};
        ring.now += chance_below(&chance, 3600000);
        if (chance_below(&chance, 100) == 0) /* it is another instance, with another limit */
            ring.rules.idempotency_keys_max = 1 + chance_below(&chance, RING_MAX);
        if (check_key(fb_stage_view(ring.stage), &ring, key, body)) {
            replays++;
        } else {
            put(&ring, key, body, ids);
            puts++;
        }
        if (chance_below(&chance, 50) == 0)
            check_rows(&ring, &chance);
    }
    assert_true(puts > 1000 && replays > 1000);
    ring_end(&ring);
}

static void a_ring_grows_only_at_its_end_and_never_shrinks(void **state)
{
    (void)state;
    ring_t ring;
    chance_t chance = {1};
    ring_begin(&ring, 3);
    for (unsigned key = 0; key < 5; key++) /* 3 and 4 took slots 1 and 2 */
        put(&ring, key, 0, no_ids);
    assert_int_equal(ring.count, 3);
    ring.rules.idempotency_keys_max = 5;
    put(&ring, 5, 0, no_ids); /* slot 3: the end */
    assert_int_equal(fb_stage_view(ring.stage)->families[FB_IDEMPOTENCY].last_id, 3);
    put(&ring, 6, 0, no_ids);
    assert_int_equal(fb_stage_view(ring.stage)->families[FB_IDEMPOTENCY].last_id, 4);
    ring.rules.idempotency_keys_max = 1;
    for (unsigned key = 7; key < 20; key++) {
        put(&ring, key, 0, no_ids);
        check_rows(&ring, &chance);
    }
    assert_int_equal(fb_stage_view(ring.stage)->families[FB_IDEMPOTENCY].last_id, 4);
    ring_end(&ring);
}

static void a_key_is_forgotten_after_a_day(void **state)
{
    (void)state;
    ring_t ring;
    static const uint32_t ids[] = {5, 6};
    ring_begin(&ring, 10);
    put(&ring, 1, 0, ids);
    put(&ring, 2, 0, ids);
    ring.now += 86399999;
    assert_true(check_key(fb_stage_view(ring.stage), &ring, 1, 0));
    assert_true(check_key(fb_stage_view(ring.stage), &ring, 1, 1));
    ring.now += 1;
    assert_false(check_key(fb_stage_view(ring.stage), &ring, 1, 0));
    assert_false(check_key(fb_stage_view(ring.stage), &ring, 1, 1));
    /* Done again, it is in a new slot, and the old one has no key. */
    put(&ring, 1, 1, no_ids);
    assert_true(check_key(fb_stage_view(ring.stage), &ring, 1, 1));
    fb_value_t key = fb_row_value(fb_snapshot_row(fb_stage_view(ring.stage), FB_IDEMPOTENCY, 1),
                                  fb_idempotency.fields, FB_IDEMPOTENCY_KEY);
    assert_true(key.null);
    ring_end(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_a_string_or_the_same_without_quotes),
        cmocka_unit_test(a_key_is_that_of_its_path_and_a_fingerprint_that_of_its_body),
        cmocka_unit_test(the_ring_agrees_with_a_plain_array),
        cmocka_unit_test(a_ring_grows_only_at_its_end_and_never_shrinks),
        cmocka_unit_test(a_key_is_forgotten_after_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
