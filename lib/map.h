/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__MAP_H
#define WEIR__MAP_H

/* A hash table from keys of bytes to the objects that hold them. The hash is
 * chosen by random bits that nobody outside knows, so that nobody can choose
 * keys that collide. The table grows by one bucket at a time (linear hashing:
 * Litwin, 1980), so that no insertion waits for the rest.
 *
 * The hash is Multilinear-HM (Lemire and Kaser, "Strongly universal string
 * hashing is fast", 2014; the trick of the pairs is Motzkin's): with r random
 * words of 64 bits and s the key's words of 32 bits, the upper half of
 *
 *   r[0] + r[1] * length + sum of (r[2i+2] + s[2i]) * (r[2i+3] + s[2i+1])
 *
 * mod 2^64. It is strongly universal: over all r, the hashes of two different
 * keys are any two numbers of 32 bits with the same probability, 2^-64, so that
 * any n bits of them, as those that choose a bucket, agree with 2^-n and no
 * more. (Let the keys differ in length, or else in a word, by d, whose 32 lower
 * bits are not all 0. Let all r be known but r[0] and the one that is
 * multiplied with d: that product is still anything in the upper half, and the
 * hashes differ by it; and with r[0] the first is anything, too. What permutes
 * all numbers, as map.c does in the end, changes nothing about that.) That
 * holds for keys that are chosen without knowing hashes. None is told; a hub
 * that is drained shows its readers out in their order, but then it lets nobody
 * in. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/base.h>

/* To be embedded in what is kept. The key's bytes belong to the owner and stay
 * while it is in the map. */
struct weir__node {
  struct weir__node *next; /* in a bucket that runs over */
  const void *key;
  uint32_t key_len;
  uint32_t hash;
};

/* The longest key, in bytes. */
#define WEIR__MAP_KEY_MOST 512

/* Random bits, to be shared by maps. */
struct weir__secret {
  uint64_t words[2 + WEIR__MAP_KEY_MOST / 4];
};

struct weir__bucket;

struct weir__map {
  const weir_allocator *allocator;
  const struct weir__secret *secret;
  size_t count;
  size_t buckets; /* in use */
  size_t level;   /* a power of 2: level <= buckets < 2 * level */
  struct weir__bucket **segments;
  size_t segment_cap;
};

/* Draw them from a source as that of weir_hub_options, some 200 bytes at a
 * time. WEIR_OK or WEIR_EENTROPY. */
int weir__secret_draw(struct weir__secret *secret,
                      int (*entropy)(void *user, void *dst, size_t len),
                      void *user);

/* The secret stays the caller's, and as it is while the map is used. Nothing is
 * allocated until the first insertion. */
void weir__map_init(struct weir__map *map, const weir_allocator *allocator,
                    const struct weir__secret *secret);

/* Free the table. What was in it is the caller's. */
void weir__map_free(struct weir__map *map);

struct weir__node *weir__map_find(const struct weir__map *map, const void *key,
                                  size_t key_len);

/* Insert a node whose key is not in the map and whose key and key_len (at most
 * WEIR__MAP_KEY_MOST) are set.
 * WEIR_OK or WEIR_ENOMEM. */
int weir__map_insert(struct weir__map *map, struct weir__node *node);

/* Remove a node that is in the map. */
void weir__map_remove(struct weir__map *map, struct weir__node *node);

/* Put a node in the place of another of the same key. */
void weir__map_replace(struct weir__map *map, struct weir__node *old,
                       struct weir__node *node);

/* Any node, NULL if the map is empty: to take it apart. */
struct weir__node *weir__map_any(const struct weir__map *map);

/* Hand the nodes of one bucket (of map->buckets) to visit, which leaves the map
 * alone. Whoever visits the buckets from the last down to 0, and inserts
 * nothing meanwhile, sees every node that stays, some perhaps twice. */
void weir__map_visit(const struct weir__map *map, size_t bucket,
                     void (*visit)(void *user, struct weir__node *node),
                     void *user);

#endif /* WEIR__MAP_H */
