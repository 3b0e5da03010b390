/* SPDX-License-Identifier: MIT */
#include "cache/table.h"

#include "tests/unit/cache/random.h"

/* Values are addresses in here; nobody looks at what is there. */
static const char things[4096];

/* Keys on both sides of every border between levels. */
static const uint32_t borders[] = {
    0,          63,
    64,         4095,
    4096,       (1u << 18) - 1,
    1u << 18,   (1u << 24) - 1,
    1u << 24,   (1u << 30) - 1,
    1u << 30,   UINT32_MAX - 64,
    UINT32_MAX,
};
#define BORDERS (sizeof(borders) / sizeof(borders[0]))

static uint32_t levels_for(uint32_t key)
{
    uint32_t levels = 1;
    while (levels < 6 && key >> 6 * levels != 0)
        levels++;
    return levels;
}

static void an_empty_table_has_nothing(void **state)
{
    (void)state;
    fb_table_t table = {0};
    for (size_t i = 0; i < BORDERS; i++) {
        uint32_t key = borders[i];
        assert_null(fb_table_get(&table, key));
        assert_null(fb_table_leaf(&table, key));
        assert_null(fb_table_next(&table, &key));
        assert_int_equal(key, borders[i]);
    }
    fb_build_t *build = fb_build_create();
    assert_null(fb_table_put(&table, build, 0, NULL));
    fb_table_clear(&table, build);
    assert_null(table.root);
    assert_int_equal(build_finish(&build), 0);
}

static void a_put_is_seen_by_a_get_and_not_by_an_older_copy(void **state)
{
    (void)state;
    fb_table_t first = {0};
    fb_build_t *build = fb_build_create();
    assert_null(fb_table_put(&first, build, 42, &things[1]));
    assert_null(fb_table_put(&first, build, 43, &things[2]));
    assert_int_equal(build_finish(&build), 0);

    fb_table_t second = first;
    build = fb_build_create();
    assert_ptr_equal(fb_table_put(&second, build, 42, &things[3]), &things[1]);
    assert_ptr_equal(fb_table_put(&second, build, 43, NULL), &things[2]);
    assert_ptr_equal(fb_table_get(&second, 42), &things[3]);
    assert_null(fb_table_get(&second, 43));
    assert_int_equal(second.count, 1);
    assert_ptr_equal(fb_table_get(&first, 42), &things[1]);
    assert_ptr_equal(fb_table_get(&first, 43), &things[2]);
    assert_int_equal(first.count, 2);

    fb_build_abort(&build);
    assert_ptr_equal(fb_table_get(&first, 43), &things[2]);
    build = fb_build_create();
    fb_table_clear(&first, build);
    assert_int_equal(build_finish(&build), 1);
}

static void levels_grow_and_shrink_with_the_greatest_key(void **state)
{
    (void)state;
    fb_table_t table = {0};
    fb_build_t *build = fb_build_create();
    for (size_t i = 0; i < BORDERS; i++) {
        assert_null(fb_table_put(&table, build, borders[i], &things[i]));
        assert_int_equal(table.levels, levels_for(borders[i]));
        assert_int_equal(table.count, i + 1);
    }
    uint32_t key = 0;
    for (size_t i = 0; i < BORDERS; i++) {
        assert_ptr_equal(fb_table_get(&table, borders[i]), &things[i]);
        assert_ptr_equal(fb_table_next(&table, &key), &things[i]);
        assert_int_equal(key, borders[i]);
        key++;
    }
    assert_int_equal(key, 0);
    for (size_t i = BORDERS; i-- > 0;) {
        assert_int_equal(table.levels, levels_for(borders[i]));
        assert_ptr_equal(fb_table_put(&table, build, borders[i], NULL), &things[i]);
    }
    assert_int_equal(table.levels, 0);
    assert_null(table.root);
    assert_int_equal(build_finish(&build), 0);
}

static void next_passes_over_what_is_empty(void **state)
{
    (void)state;
    fb_table_t table = {0};
    fb_build_t *build = fb_build_create();
    for (size_t i = 0; i < BORDERS; i++) {
        fb_table_put(&table, build, borders[i], &things[i]);
        for (size_t from = 0; from < BORDERS; from++) {
            uint32_t key = borders[from];
            assert_ptr_equal(fb_table_next(&table, &key), from <= i ? &things[i] : NULL);
            assert_int_equal(key, borders[from <= i ? i : from]);
        }
        fb_table_put(&table, build, borders[i], NULL);
    }
    assert_int_equal(build_finish(&build), 0);
}

static void a_leaf_shows_the_64_keys_around_one(void **state)
{
    (void)state;
    fb_table_t table = {0};
    fb_build_t *build = fb_build_create();
    fb_table_put(&table, build, 130, &things[1]);
    fb_table_put(&table, build, 191, &things[2]);
    fb_table_put(&table, build, 5000, &things[3]);
    const void *const *leaf = fb_table_leaf(&table, 128);
    assert_ptr_equal(leaf, fb_table_leaf(&table, 191));
    for (unsigned i = 0; i < FB_TABLE_LEAF_KEYS; i++)
        assert_ptr_equal(leaf[i], i == 2 ? &things[1] : i == 63 ? &things[2] : NULL);
    assert_null(fb_table_leaf(&table, 127));
    assert_null(fb_table_leaf(&table, 192));
    fb_table_clear(&table, build);
    assert_int_equal(build_finish(&build), 0);
}

static void what_changes_nothing_copies_nothing(void **state)
{
    (void)state;
    fb_table_t table = {0};
    fb_build_t *build = fb_build_create();
    fb_table_put(&table, build, 70000, &things[1]);
    assert_int_equal(build_finish(&build), 0);

    fb_table_t next = table;
    build = fb_build_create();
    assert_ptr_equal(fb_table_put(&next, build, 70000, &things[1]), &things[1]);
    assert_null(fb_table_put(&next, build, 70001, NULL));
    assert_null(fb_table_put(&next, build, UINT32_MAX, NULL));
    assert_memory_equal(&next, &table, sizeof(table));
    assert_false(fb_build_owns(build, next.root));
    assert_int_equal(build_finish(&build), 0);

    build = fb_build_create();
    fb_table_clear(&table, build);
    assert_int_equal(build_finish(&build), 3);
}

/* The model: the pairs in the order of their keys. */
#define MODEL_MAX 3000

typedef struct {
    fb_table_t table;
    uint32_t count;
    uint32_t keys[MODEL_MAX];
    const void *values[MODEL_MAX];
} version_t;

static uint32_t model_find(const version_t *version, uint32_t key)
{
    uint32_t low = 0, high = version->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (version->keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const void *model_put(version_t *version, uint32_t key, const void *value)
{
    uint32_t at = model_find(version, key);
    uint32_t *keys = version->keys + at;
    const void **values = version->values + at;
    const void *before = NULL;
    if (at < version->count && *keys == key) {
        before = *values;
        *values = value;
        if (value == NULL) {
            version->count--;
            memmove(keys, keys + 1, (version->count - at) * sizeof(*keys));
            memmove(values, values + 1, (version->count - at) * sizeof(*values));
        }
    } else if (value != NULL) {
        memmove(keys + 1, keys, (version->count - at) * sizeof(*keys));
        memmove(values + 1, values, (version->count - at) * sizeof(*values));
        version->count++;
        *keys = key;
        *values = value;
    }
    return before;
}

static size_t nodes_of(const fb_table_t *table)
{
    fb_table_t copy = *table;
    fb_build_t *build = fb_build_create();
    fb_table_clear(&copy, build);
    return build_forget(&build);
}

/* The nodes that the content needs: one a level for each beginning that its keys have. */
static size_t nodes_needed(const version_t *version)
{
    if (version->count == 0)
        return 0;
    uint32_t levels = levels_for(version->keys[version->count - 1]);
    size_t nodes = 0;
    for (uint32_t level = 1; level <= levels; level++) {
        nodes++;
        for (uint32_t i = 1; i < version->count; i++) {
            uint64_t before = version->keys[i - 1];
            nodes += before >> 6 * level != (uint64_t)version->keys[i] >> 6 * level;
        }
    }
    return nodes;
}

static void version_check(const version_t *version, chance_t *chance)
{
    const fb_table_t *table = &version->table;
    assert_int_equal(table->count, version->count);
    uint32_t key = 0;
    for (uint32_t i = 0; i < version->count; i++) {
        assert_ptr_equal(fb_table_next(table, &key), version->values[i]);
        assert_int_equal(key, version->keys[i]);
        assert_ptr_equal(fb_table_get(table, key), version->values[i]);
        key++;
    }
    if (version->count > 0)
        assert_int_equal(table->levels, levels_for(version->keys[version->count - 1]));
    if (version->count == 0 || key != 0)
        assert_null(fb_table_next(table, &key));
    for (int i = 0; i < 50; i++) {
        uint32_t from = (uint32_t)(chance_u64(chance) >> chance_below(chance, 64));
        uint32_t at = model_find(version, from), found = from;
        assert_ptr_equal(fb_table_next(table, &found),
                         at < version->count ? version->values[at] : NULL);
        assert_int_equal(found, at < version->count ? version->keys[at] : from);
        bool is_there = at < version->count && version->keys[at] == from;
        assert_ptr_equal(fb_table_get(table, from), is_there ? version->values[at] : NULL);
    }
}

static uint32_t chance_key(chance_t *chance)
{
    uint32_t near = chance_below(chance, 3) - 1;
    switch (chance_below(chance, 4)) {
    case 0:
        return chance_below(chance, 300);
    case 1:
        return borders[chance_below(chance, BORDERS)] + near;
    case 2:
        return (1u << 18) - 100 + chance_below(chance, 200);
    default:
        return (uint32_t)(chance_u64(chance) >> (32 + chance_below(chance, 32)));
    }
}

static void a_random_program_agrees_with_a_sorted_array(void **state)
{
    (void)state;
    enum { BUILDS = 600, CHANGES_MAX = 60 };
    chance_t chance = chance_init();
    versions_t versions = {0};
    version_t *current = calloc(1, sizeof(*current));
    fb_build_t *build = fb_build_create();
    versions_push(&versions, &build, current);
    for (int i = 0; i < BUILDS; i++) {
        build = fb_build_create();
        version_t *next = malloc(sizeof(*next));
        *next = *current;
        /* Phases in which it grows and phases in which it nearly empties. */
        uint32_t puts_of_8 = i / 50 % 2 == 0 ? 6 : 2;
        for (uint32_t n = chance_below(&chance, CHANGES_MAX); n > 0; n--) {
            uint32_t key = chance_key(&chance);
            const void *value = &things[chance_below(&chance, sizeof(things))];
            if (chance_below(&chance, 8) >= puts_of_8 || next->count == MODEL_MAX) {
                value = NULL;
                uint32_t at = model_find(next, key);
                if (at < next->count)
                    key = next->keys[at];
            }
            const void *before = fb_table_put(&next->table, build, key, value);
            assert_ptr_equal(before, model_put(next, key, value));
        }
        version_check(next, &chance);
        assert_int_equal(nodes_of(&next->table), nodes_needed(next));
        if (chance_below(&chance, 4) == 0) {
            fb_build_abort(&build);
            free(next);
            version_check(current, &chance);
            continue;
        }
        versions_push(&versions, &build, next);
        current = next;
        for (size_t kept = 0; kept < versions.count; kept++)
            version_check(versions.at[kept].state, &chance);
    }
    build = fb_build_create();
    fb_table_t last = current->table;
    fb_table_clear(&last, build);
    versions_dispose(&versions, &build);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_has_nothing),
        cmocka_unit_test(a_put_is_seen_by_a_get_and_not_by_an_older_copy),
        cmocka_unit_test(levels_grow_and_shrink_with_the_greatest_key),
        cmocka_unit_test(next_passes_over_what_is_empty),
        cmocka_unit_test(a_leaf_shows_the_64_keys_around_one),
        cmocka_unit_test(what_changes_nothing_copies_nothing),
        cmocka_unit_test(a_random_program_agrees_with_a_sorted_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
