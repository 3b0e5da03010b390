/* SPDX-License-Identifier: MIT */
#include "cache/map.h"

#include "tests/unit/cache/random.h"

/* Texts are numbers here, and the row of an id is the number of its text. */
#define TEXTS 2000
#define IDS   (4 * TEXTS)

static uint32_t text_of[IDS];

typedef uint64_t hash_t(uint32_t text);

/* What a lookup knows: the text, and the hash in use. */
typedef struct {
    uint32_t text;
    hash_t *hash;
    uint32_t gone; /* an id whose row is no longer there, so that nobody may ask for its hash */
} lookup_t;

/* The finalizer of SplitMix64 (Steele and others, "Fast Splittable Pseudorandom Number Generators",
 * 2014). */
static uint64_t hash_well(uint32_t text)
{
    uint64_t hash = text * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9u;
    hash = (hash ^ hash >> 27) * 0x94D049BB133111EBu;
    return hash ^ hash >> 31;
}

/* Many texts with one hash. */
static uint64_t hash_weakly(uint32_t text)
{
    return hash_well(text % 13);
}

static uint64_t hash_to_one(uint32_t text)
{
    (void)text;
    return 0xFFFFFFFFFFFFFFFFu;
}

/* Alike but for the bits of the last levels: long ways down without a fork. */
static uint64_t hash_deeply(uint32_t text)
{
    return (uint64_t)text << 53 | (hash_well(text % 3) & 0xFF);
}

static bool same(const void *context, uint32_t id)
{
    const lookup_t *lookup = context;
    return text_of[id] == lookup->text;
}

static uint64_t hash_of(const void *context, uint32_t id)
{
    const lookup_t *lookup = context;
    assert_int_not_equal(id, lookup->gone);
    return lookup->hash(text_of[id]);
}

static fb_map_key_t key_of(const lookup_t *lookup)
{
    return (fb_map_key_t){lookup->hash(lookup->text), same, hash_of, lookup};
}

static uint32_t get(const fb_map_t *map, hash_t *hash, uint32_t text)
{
    const lookup_t lookup = {text, hash, 0};
    const fb_map_key_t key = key_of(&lookup);
    return fb_map_get(map, &key);
}

static uint32_t put(fb_map_t *map, fb_build_t *build, hash_t *hash, uint32_t text, uint32_t id)
{
    const lookup_t lookup = {text, hash, get(map, hash, text)};
    const fb_map_key_t key = key_of(&lookup);
    text_of[id] = text;
    return fb_map_put(map, build, &key, id);
}

static uint32_t take_out(fb_map_t *map, fb_build_t *build, hash_t *hash, uint32_t text)
{
    const lookup_t lookup = {text, hash, get(map, hash, text)};
    const fb_map_key_t key = key_of(&lookup);
    return fb_map_remove(map, build, &key);
}

static size_t nodes_of(const fb_map_t *map)
{
    fb_map_t copy = *map;
    fb_build_t *build = fb_build_create();
    fb_map_clear(&copy, build);
    return build_forget(&build);
}

static void an_empty_map_has_nothing(void **state)
{
    (void)state;
    fb_map_t map = {0};
    fb_build_t *build = fb_build_create();
    assert_int_equal(get(&map, hash_well, 1), 0);
    assert_int_equal(take_out(&map, build, hash_well, 1), 0);
    fb_map_clear(&map, build);
    assert_null(map.root);
    assert_int_equal(build_finish(&build), 0);
}

static void a_put_is_seen_by_a_get_and_not_by_an_older_copy(void **state)
{
    (void)state;
    fb_map_t first = {0};
    fb_build_t *build = fb_build_create();
    assert_int_equal(put(&first, build, hash_well, 70, 1), 0);
    assert_int_equal(put(&first, build, hash_well, 71, 2), 0);
    assert_int_equal(build_finish(&build), 0);

    fb_map_t second = first;
    build = fb_build_create();
    assert_int_equal(put(&second, build, hash_well, 70, 3), 1);
    assert_int_equal(take_out(&second, build, hash_well, 71), 2);
    assert_int_equal(get(&second, hash_well, 70), 3);
    assert_int_equal(get(&second, hash_well, 71), 0);
    assert_int_equal(second.count, 1);
    assert_int_equal(get(&first, hash_well, 70), 1);
    assert_int_equal(get(&first, hash_well, 71), 2);
    assert_int_equal(first.count, 2);
    fb_build_abort(&build);

    size_t nodes = nodes_of(&first);
    build = fb_build_create();
    fb_map_clear(&first, build);
    assert_int_equal(first.count, 0);
    assert_int_equal(build_finish(&build), nodes);
}

static void what_changes_nothing_copies_nothing(void **state)
{
    (void)state;
    fb_map_t map = {0};
    fb_build_t *build = fb_build_create();
    for (uint32_t text = 0; text < 100; text++)
        put(&map, build, hash_well, text, text + 1);
    assert_int_equal(build_finish(&build), 0);

    build = fb_build_create();
    const fb_map_t before = map;
    for (uint32_t text = 0; text < 100; text++)
        assert_int_equal(put(&map, build, hash_well, text, text + 1), text + 1);
    for (uint32_t text = 100; text < 200; text++)
        assert_int_equal(take_out(&map, build, hash_well, text), 0);
    assert_memory_equal(&map, &before, sizeof(map));
    assert_int_equal(build_finish(&build), 0);

    build = fb_build_create();
    for (uint32_t text = 0; text < 100; text++)
        assert_int_equal(take_out(&map, build, hash_well, text), text + 1);
    assert_null(map.root);
    assert_int_not_equal(build_finish(&build), 0);
}

static void a_removal_collapses_what_only_led_to_the_removed(void **state)
{
    (void)state;
    fb_map_t map = {0};
    fb_build_t *build = fb_build_create();
    put(&map, build, hash_to_one, 1, 1);
    assert_int_equal(nodes_of(&map), 1);
    put(&map, build, hash_to_one, 2, 2);
    assert_int_equal(nodes_of(&map), 14); /* 13 levels for 64 bits, and the bottom */
    put(&map, build, hash_to_one, 3, 3);
    assert_int_equal(nodes_of(&map), 14);
    assert_int_equal(take_out(&map, build, hash_to_one, 1), 1);
    assert_int_equal(nodes_of(&map), 14);
    assert_int_equal(take_out(&map, build, hash_to_one, 3), 3);
    assert_int_equal(nodes_of(&map), 1);
    assert_int_equal(get(&map, hash_to_one, 2), 2);
    assert_int_equal(take_out(&map, build, hash_to_one, 2), 2);
    assert_null(map.root);
    assert_int_equal(build_finish(&build), 0);
}

typedef struct {
    fb_map_t map;
    hash_t *hash;
    uint32_t ids[TEXTS]; /* the model: the id of each text, or 0 */
} version_t;

static void version_check(const version_t *version)
{
    uint32_t count = 0;
    for (uint32_t text = 0; text < TEXTS; text++) {
        assert_int_equal(get(&version->map, version->hash, text), version->ids[text]);
        count += version->ids[text] != 0;
    }
    assert_int_equal(version->map.count, count);
}

/* The same content put in another order makes a map of the same shape. */
static void version_check_shape(const version_t *version, chance_t *chance)
{
    fb_map_t other = {0};
    fb_build_t *build = fb_build_create();
    static const uint32_t steps[] = {1, 3, 7, 77, 1001, TEXTS - 1}; /* without a factor of TEXTS */
    uint32_t start = chance_below(chance, TEXTS), step = steps[chance_below(chance, 6)];
    for (uint32_t i = 0; i < TEXTS; i++) {
        uint32_t text = (start + i * step) % TEXTS;
        if (version->ids[text] != 0)
            put(&other, build, version->hash, text, version->ids[text]);
    }
    assert_int_equal(other.count, version->map.count);
    assert_int_equal(nodes_of(&other), nodes_of(&version->map));
    fb_build_abort(&build);
}

/* An id of no row that a version kept may still show. */
static uint32_t chance_id(chance_t *chance, const versions_t *versions, const version_t *next)
{
    for (;;) {
        uint32_t id = 1 + chance_below(chance, IDS - 1);
        bool used = next->ids[text_of[id]] == id;
        for (size_t i = 0; i < versions->count && !used; i++)
            used = ((const version_t *)versions->at[i].state)->ids[text_of[id]] == id;
        if (!used)
            return id;
    }
}

static void run_random_program(hash_t *hash, uint32_t texts)
{
    enum { BUILDS = 250, CHANGES_MAX = 60 };
    chance_t chance = chance_init();
    versions_t versions = {0};
    version_t *current = calloc(1, sizeof(*current));
    current->hash = hash;
    fb_build_t *build = fb_build_create();
    versions_push(&versions, &build, current);
    for (int i = 0; i < BUILDS; i++) {
        build = fb_build_create();
        version_t *next = malloc(sizeof(*next));
        *next = *current;
        uint32_t puts_of_8 = i / 25 % 2 == 0 ? 7 : 2;
        for (uint32_t n = chance_below(&chance, CHANGES_MAX); n > 0; n--) {
            uint32_t text = chance_below(&chance, texts);
            uint32_t before = next->ids[text], id = 0;
            if (chance_below(&chance, 8) < puts_of_8) {
                id = chance_id(&chance, &versions, next);
                assert_int_equal(put(&next->map, build, hash, text, id), before);
            } else {
                assert_int_equal(take_out(&next->map, build, hash, text), before);
            }
            next->ids[text] = id;
        }
        version_check(next);
        version_check_shape(next, &chance);
        if (chance_below(&chance, 4) == 0) {
            fb_build_abort(&build);
            free(next);
            version_check(current);
            continue;
        }
        versions_push(&versions, &build, next);
        current = next;
        for (size_t kept = 0; kept < versions.count; kept++)
            version_check(versions.at[kept].state);
    }
    build = fb_build_create();
    fb_map_t last = current->map;
    fb_map_clear(&last, build);
    versions_dispose(&versions, &build);
}

static void a_random_program_agrees_with_an_array(void **state)
{
    (void)state;
    run_random_program(hash_well, TEXTS);
    run_random_program(hash_well, 40);
}

static void a_random_program_with_collisions_agrees_with_an_array(void **state)
{
    (void)state;
    run_random_program(hash_weakly, 200);
    run_random_program(hash_to_one, 30);
}

static void a_random_program_of_deep_nodes_agrees_with_an_array(void **state)
{
    (void)state;
    run_random_program(hash_deeply, TEXTS);
    run_random_program(hash_deeply, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(a_put_is_seen_by_a_get_and_not_by_an_older_copy),
        cmocka_unit_test(what_changes_nothing_copies_nothing),
        cmocka_unit_test(a_removal_collapses_what_only_led_to_the_removed),
        cmocka_unit_test(a_random_program_agrees_with_an_array),
        cmocka_unit_test(a_random_program_with_collisions_agrees_with_an_array),
        cmocka_unit_test(a_random_program_of_deep_nodes_agrees_with_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
