/* SPDX-License-Identifier: MIT */
#pragma once

#include "cache/build.h"

#include <stdint.h>

/* A persistent hash map from texts to ids: a hash array mapped trie (Bagwell, "Ideal Hash Trees",
 * 2001) with 32 slots a node, which keeps its children and its ids apart (Steindorfer and Vinju,
 * "Optimizing Hash-Array Mapped Tries", 2015): 8 bytes a child, 4 an id. It keeps no keys: an id
 * leads to its row, and the row has the text; so a million entries cost some 10 bytes each.
 *
 *     node: [ bitmap of the children, bitmap of the ids | child, child, ... | id, id, ... ]
 *
 * Level n looks at bits 5n .. 5n + 4 of the hash. Ids whose texts have the same 64-bit hash share a
 * node at the bottom and are told apart by `same` alone. A removal takes away the nodes that are no
 * longer needed: the shape depends on the content only, not on its history. The caller seeds the
 * hash so that nobody outside can choose collisions.
 *
 * The struct is a value, as that of a table; zeroed is empty. Ids are never 0. */
typedef struct {
    void *root; /* NULL if empty */
    uint32_t count;
} fb_map_t;

/* What a lookup knows about its key: its hash, and whether an id is the one that is meant; and the
 * hash of an id that is already inside, for when two of them must be parted. */
typedef struct {
    uint64_t hash;
    bool (*same)(const void *context, uint32_t id);
    uint64_t (*hash_of)(const void *context, uint32_t id);
    const void *context;
} fb_map_key_t;

/* The id, or 0. */
uint32_t fb_map_get(const fb_map_t *map, const fb_map_key_t *key);
/* Sets the id of the key; returns the one before, or 0. May ask for the hash of ids that are
 * inside, but never for that of the one before, whose row may be gone. */
uint32_t fb_map_put(fb_map_t *map, fb_build_t *build, const fb_map_key_t *key, uint32_t id);
/* Removes the key; returns the id that it had, or 0. */
uint32_t fb_map_remove(fb_map_t *map, fb_build_t *build, const fb_map_key_t *key);
/* Retires all nodes and leaves it empty. */
void fb_map_clear(fb_map_t *map, fb_build_t *build);
