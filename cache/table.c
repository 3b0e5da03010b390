/* SPDX-License-Identifier: MIT */
#include "cache/table.h"

#include "base/assert.h"

#define SLOT_BITS  6
#define SLOTS      FB_TABLE_LEAF_KEYS
#define LEVELS_MAX 6 /* 32 bits; the root of level 6 uses 4 of its slots */

/* A slot of a leaf is a value, one of a higher level a node of the level below; the leaves are
 * level 0. No node is without a slot in use. */
typedef struct {
    const void *slots[SLOTS];
} node_t;

static unsigned slot_of(uint32_t key, uint32_t level)
{
    return key >> level * SLOT_BITS & (SLOTS - 1);
}

/* Are there levels enough for this key? */
static bool reaches(uint32_t levels, uint32_t key)
{
    return levels == LEVELS_MAX || key >> levels * SLOT_BITS == 0;
}

const void *const *fb_table_leaf(const fb_table_t *table, uint32_t key)
{
    const node_t *node = table->root;
    if (node == NULL || !reaches(table->levels, key))
        return NULL;
    fb_assert(table->levels - 1 < LEVELS_MAX);
    for (uint32_t level = table->levels - 1; level > 0 && node != NULL; level--)
        node = node->slots[slot_of(key, level)];
    return node != NULL ? node->slots : NULL;
}

const void *fb_table_get(const fb_table_t *table, uint32_t key)
{
    const void *const *leaf = fb_table_leaf(table, key);
    return leaf != NULL ? leaf[slot_of(key, 0)] : NULL;
}

/* The value of the least key >= `*key` under `node`; where there is none, `*key` becomes the first
 * key behind it. 64 bits, as that may be one too many for 32. */
static const void *next_under(const node_t *node, uint32_t level, uint64_t *key)
{
    uint64_t at = *key >> level * SLOT_BITS;
    for (unsigned slot = at & (SLOTS - 1); slot < SLOTS; slot++) {
        const void *found = node->slots[slot];
        if (found != NULL && level > 0)
            found = next_under(found, level - 1, key);
        if (found != NULL)
            return found;
        at++;
        *key = at << level * SLOT_BITS;
    }
    return NULL;
}

const void *fb_table_next(const fb_table_t *table, uint32_t *key)
{
    if (table->root == NULL || !reaches(table->levels, *key))
        return NULL;
    uint64_t at = *key;
    const void *found = next_under(table->root, table->levels - 1, &at);
    if (found != NULL)
        *key = (uint32_t)at;
    return found;
}

static node_t *node_create(fb_build_t *build)
{
    node_t *node = fb_build_alloc(build, sizeof(*node));
    *node = (node_t){{NULL}};
    return node;
}

static void set(fb_table_t *table, fb_build_t *build, uint32_t key, const void *value)
{
    while (!reaches(table->levels, key) || table->levels == 0) {
        if (table->root != NULL) {
            node_t *above = node_create(build);
            above->slots[0] = table->root;
            table->root = above;
        }
        table->levels++;
    }
    const void *root = table->root;
    const void **link = &root;
    for (uint32_t level = table->levels; level > 0; level--) {
        node_t *node =
            *link != NULL ? fb_build_own(build, *link, sizeof(*node)) : node_create(build);
        *link = node;
        link = &node->slots[slot_of(key, level - 1)];
    }
    *link = value;
    table->root = (void *)root;
}

/* Is there no slot in use but this one? */
static bool is_alone(const node_t *node, unsigned slot)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (node->slots[i] != NULL && i != slot)
            return false;
    }
    return true;
}

/* Takes away root nodes that hold the first slot alone: the levels depend on the content only. */
static void shrink(fb_table_t *table, fb_build_t *build)
{
    while (table->levels > 1 && is_alone(table->root, 0)) {
        const node_t *root = table->root;
        table->root = (void *)root->slots[0];
        table->levels--;
        fb_build_retire(build, root);
    }
}

/* Removes a key that is there. */
static void unset(fb_table_t *table, fb_build_t *build, uint32_t key)
{
    const node_t *path[LEVELS_MAX] = {NULL};
    const node_t *node = table->root;
    for (uint32_t level = table->levels; level > 0; level--) {
        path[level - 1] = node;
        node = node->slots[slot_of(key, level - 1)];
    }
    uint32_t level = 0;
    while (level < table->levels && is_alone(path[level], slot_of(key, level)))
        fb_build_retire(build, path[level++]);
    if (level == table->levels) {
        table->root = NULL;
        table->levels = 0;
        return;
    }
    node_t *below = NULL;
    for (; level < table->levels; level++) {
        node_t *own = fb_build_own(build, path[level], sizeof(*own));
        own->slots[slot_of(key, level)] = below;
        below = own;
    }
    table->root = below;
    shrink(table, build);
}

const void *fb_table_put(fb_table_t *table, fb_build_t *build, uint32_t key, const void *value)
{
    const void **leaf = (const void **)fb_table_leaf(table, key);
    const void *before = leaf != NULL ? leaf[slot_of(key, 0)] : NULL;
    if (before == value)
        return before;
    if (value == NULL) {
        unset(table, build, key);
        table->count--;
        return before;
    }
    /* The way to a fresh leaf is fresh too. */
    if (leaf != NULL && fb_build_owns(build, leaf))
        leaf[slot_of(key, 0)] = value;
    else
        set(table, build, key, value);
    table->count += before == NULL;
    return before;
}

static void retire_under(fb_build_t *build, const node_t *node, uint32_t level)
{
    for (unsigned i = 0; i < SLOTS && level > 0; i++) {
        if (node->slots[i] != NULL)
            retire_under(build, node->slots[i], level - 1);
    }
    fb_build_retire(build, node);
}

void fb_table_clear(fb_table_t *table, fb_build_t *build)
{
    if (table->root != NULL)
        retire_under(build, table->root, table->levels - 1);
    *table = (fb_table_t){0};
}
