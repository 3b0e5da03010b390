/* SPDX-License-Identifier: MIT */
#include "cache/map.h"

#include <string.h>

#include "base/assert.h"

#define SLOT_BITS 5
#define HASH_BITS 64

/* Where a bit stands in one of the maps, the slot has a child, or an id; never both. A node below
 * the root has two ids or more, or a child: one id alone moves up into the slot of its parent.
 *
 * At the bottom, where the hash has no bits left, `child_map` is 0, `id_map` is the number of ids
 * (two or more), and these ascend. So the shape of a map depends on nothing but its content. */
typedef struct node {
    uint32_t child_map;
    uint32_t id_map;
    const struct node *children[]; /* in the order of their bits; behind them, the ids in theirs */
} node_t;

/* Bits set (Warren, "Hacker's Delight", section 5-1): without the instruction, which not every
 * x86-64 has, the compiler would call a function. */
static unsigned count_bits(uint32_t bits)
{
    bits -= bits >> 1 & 0x55555555u;
    bits = (bits & 0x33333333u) + (bits >> 2 & 0x33333333u);
    bits = (bits + (bits >> 4)) & 0x0F0F0F0Fu;
    return bits * 0x01010101u >> 24;
}

static uint32_t bit_of(uint64_t hash, unsigned shift)
{
    return (uint32_t)1 << (hash >> shift & ((1 << SLOT_BITS) - 1));
}

/* The slots in use before that of `bit`. */
static unsigned rank_of(uint32_t map, uint32_t bit)
{
    return count_bits(map & (bit - 1));
}

static const uint32_t *ids_of(const node_t *node)
{
    return (const uint32_t *)(node->children + count_bits(node->child_map));
}

static size_t size_of(unsigned children, unsigned ids)
{
    return sizeof(node_t) + children * sizeof(node_t *) + ids * sizeof(uint32_t);
}

static node_t *node_create(fb_build_t *build, uint32_t child_map, uint32_t id_map, size_t size)
{
    node_t *node = fb_build_alloc(build, size);
    node->child_map = child_map;
    node->id_map = id_map;
    return node;
}

static node_t *bottom_create(fb_build_t *build, uint32_t count)
{
    return node_create(build, 0, count, size_of(0, count));
}

/* Where `id` is among the ascending ids of a bottom node, or would be. */
static uint32_t bottom_find(const node_t *node, uint32_t id)
{
    const uint32_t *ids = ids_of(node);
    uint32_t at = 0;
    while (at < node->id_map && ids[at] < id)
        at++;
    return at;
}

static uint32_t bottom_get(const node_t *node, const fb_map_key_t *key)
{
    const uint32_t *ids = ids_of(node);
    for (uint32_t i = 0; i < node->id_map; i++) {
        if (key->same(key->context, ids[i]))
            return ids[i];
    }
    return 0;
}

static const node_t *bottom_add(fb_build_t *build, const node_t *node, uint32_t id)
{
    uint32_t at = bottom_find(node, id);
    const uint32_t *from = ids_of(node);
    fb_assert(at == node->id_map || from[at] != id);
    node_t *next = bottom_create(build, node->id_map + 1);
    uint32_t *to = (uint32_t *)ids_of(next);
    memcpy(to, from, at * sizeof(*to));
    to[at] = id;
    memcpy(to + at + 1, from + at, (node->id_map - at) * sizeof(*to));
    fb_build_retire(build, node);
    return next;
}

/* The ids that are left are one or more. */
static const node_t *bottom_remove(fb_build_t *build, const node_t *node, uint32_t id)
{
    uint32_t at = bottom_find(node, id);
    const uint32_t *from = ids_of(node);
    fb_assert(at < node->id_map && from[at] == id);
    node_t *next = bottom_create(build, node->id_map - 1);
    uint32_t *to = (uint32_t *)ids_of(next);
    memcpy(to, from, at * sizeof(*to));
    memcpy(to + at, from + at + 1, (node->id_map - at - 1) * sizeof(*to));
    fb_build_retire(build, node);
    return next;
}

uint32_t fb_map_get(const fb_map_t *map, const fb_map_key_t *key)
{
    const node_t *node = map->root;
    for (unsigned shift = 0; node != NULL; shift += SLOT_BITS) {
        if (shift >= HASH_BITS)
            return bottom_get(node, key);
        uint32_t bit = bit_of(key->hash, shift);
        if ((node->id_map & bit) != 0) {
            uint32_t id = ids_of(node)[rank_of(node->id_map, bit)];
            return key->same(key->context, id) ? id : 0;
        }
        if ((node->child_map & bit) == 0)
            return 0;
        node = node->children[rank_of(node->child_map, bit)];
    }
    return 0;
}

/* The slots of one kind, without the item at `at` where `had`, with `item` there where not NULL. */
static void splice(void *to, const void *from, unsigned count, unsigned at, bool had,
                   const void *item, size_t item_size)
{
    char *target = to;
    const char *source = from;
    memcpy(target, source, at * item_size);
    target += at * item_size;
    source += at * item_size;
    if (item != NULL) {
        memcpy(target, item, item_size);
        target += item_size;
    }
    if (had)
        source += item_size;
    memcpy(target, source, (count - at - had) * item_size);
}

/* The node with `child` (or NULL), or `id` (or 0), or neither in the slot of `bit`, whatever was
 * there before; in place where it is fresh and its size stays. NULL where nothing is left. */
static const node_t *with_slot(fb_build_t *build, const node_t *node, uint32_t bit,
                               const node_t *child, uint32_t id)
{
    uint32_t child_map = (node->child_map & ~bit) | (child != NULL ? bit : 0);
    uint32_t id_map = (node->id_map & ~bit) | (id != 0 ? bit : 0);
    unsigned children = count_bits(node->child_map), ids = count_bits(node->id_map);
    unsigned child_rank = rank_of(child_map, bit), id_rank = rank_of(id_map, bit);
    if (child_map == node->child_map && id_map == node->id_map) {
        node_t *own = fb_build_own(build, node, size_of(children, ids));
        if (child != NULL)
            own->children[child_rank] = child;
        if (id != 0)
            ((uint32_t *)ids_of(own))[id_rank] = id;
        return own;
    }
    node_t *next = NULL;
    if (child_map != 0 || id_map != 0) {
        size_t size = size_of(count_bits(child_map), count_bits(id_map));
        next = node_create(build, child_map, id_map, size);
        splice(next->children, node->children, children, child_rank, (node->child_map & bit) != 0,
               child != NULL ? &child : NULL, sizeof(child));
        splice((uint32_t *)ids_of(next), ids_of(node), ids, id_rank, (node->id_map & bit) != 0,
               id != 0 ? &id : NULL, sizeof(id));
    }
    fb_build_retire(build, node);
    return next;
}

/* A node that parts two ids whose hashes are the same below `shift`. */
static const node_t *part(fb_build_t *build, unsigned shift, uint64_t hash_a, uint32_t a,
                          uint64_t hash_b, uint32_t b)
{
    if (shift >= HASH_BITS) {
        node_t *node = bottom_create(build, 2);
        uint32_t *ids = (uint32_t *)ids_of(node);
        ids[0] = a < b ? a : b;
        ids[1] = a < b ? b : a;
        return node;
    }
    uint32_t bit_a = bit_of(hash_a, shift), bit_b = bit_of(hash_b, shift);
    if (bit_a == bit_b) {
        const node_t *child = part(build, shift + SLOT_BITS, hash_a, a, hash_b, b);
        node_t *node = node_create(build, bit_a, 0, size_of(1, 0));
        node->children[0] = child;
        return node;
    }
    node_t *node = node_create(build, 0, bit_a | bit_b, size_of(0, 2));
    uint32_t *ids = (uint32_t *)ids_of(node);
    ids[bit_a < bit_b ? 0 : 1] = a;
    ids[bit_a < bit_b ? 1 : 0] = b;
    return node;
}

/* Puts `id` under `node`, in the place of the id `before` where that is not 0. */
static const node_t *put_under(fb_build_t *build, const node_t *node, unsigned shift,
                               const fb_map_key_t *key, uint32_t id, uint32_t before)
{
    if (shift >= HASH_BITS) {
        node = bottom_add(build, node, id);
        return before != 0 ? bottom_remove(build, node, before) : node;
    }
    uint32_t bit = bit_of(key->hash, shift);
    if ((node->child_map & bit) != 0) {
        const node_t *child = node->children[rank_of(node->child_map, bit)];
        const node_t *next = put_under(build, child, shift + SLOT_BITS, key, id, before);
        /* A child that could be changed in place is fresh, and so is the way to it. */
        return next == child ? node : with_slot(build, node, bit, next, 0);
    }
    if ((node->id_map & bit) == 0 || before != 0)
        return with_slot(build, node, bit, NULL, id);
    uint32_t other = ids_of(node)[rank_of(node->id_map, bit)];
    uint64_t other_hash = key->hash_of(key->context, other);
    fb_assert(other != id && bit_of(other_hash, shift) == bit);
    return with_slot(build, node, bit,
                     part(build, shift + SLOT_BITS, key->hash, id, other_hash, other), 0);
}

uint32_t fb_map_put(fb_map_t *map, fb_build_t *build, const fb_map_key_t *key, uint32_t id)
{
    fb_assert(id != 0);
    uint32_t before = fb_map_get(map, key);
    if (before == id)
        return before;
    if (map->root == NULL) {
        node_t *root = node_create(build, 0, bit_of(key->hash, 0), size_of(0, 1));
        *(uint32_t *)ids_of(root) = id;
        map->root = root;
    } else {
        map->root = (void *)put_under(build, map->root, 0, key, id, before);
    }
    map->count += before == 0;
    return before;
}

/* What a removal leaves of a node: a node, or the one id that was left of it, or nothing. */
typedef struct {
    const node_t *node; /* or NULL */
    uint32_t id;        /* or 0 */
} rest_t;

/* Removes the id `gone`, which is there, from under `node`. */
static rest_t remove_under(fb_build_t *build, const node_t *node, unsigned shift,
                           const fb_map_key_t *key, uint32_t gone)
{
    const node_t *next;
    if (shift >= HASH_BITS) {
        next = bottom_remove(build, node, gone);
        if (next->id_map > 1)
            return (rest_t){next, 0};
    } else {
        uint32_t bit = bit_of(key->hash, shift);
        rest_t rest = {NULL, 0};
        if ((node->child_map & bit) != 0) {
            const node_t *child = node->children[rank_of(node->child_map, bit)];
            rest = remove_under(build, child, shift + SLOT_BITS, key, gone);
            if (rest.node == child)
                return (rest_t){node, 0};
        }
        next = with_slot(build, node, bit, rest.node, rest.id);
        bool sole_id = next != NULL && next->child_map == 0 && count_bits(next->id_map) == 1;
        if (shift == 0 || !sole_id)
            return (rest_t){next, 0};
    }
    uint32_t id = *ids_of(next);
    fb_build_retire(build, next);
    return (rest_t){NULL, id};
}

uint32_t fb_map_remove(fb_map_t *map, fb_build_t *build, const fb_map_key_t *key)
{
    uint32_t gone = fb_map_get(map, key);
    if (gone == 0)
        return 0;
    map->root = (void *)remove_under(build, map->root, 0, key, gone).node;
    map->count--;
    return gone;
}

static void retire_under(fb_build_t *build, const node_t *node, unsigned shift)
{
    unsigned children = shift >= HASH_BITS ? 0 : count_bits(node->child_map);
    for (unsigned i = 0; i < children; i++)
        retire_under(build, node->children[i], shift + SLOT_BITS);
    fb_build_retire(build, node);
}

void fb_map_clear(fb_map_t *map, fb_build_t *build)
{
    if (map->root != NULL)
        retire_under(build, map->root, 0);
    *map = (fb_map_t){0};
}
