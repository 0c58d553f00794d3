/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__MAP_H
#define WEIR__MAP_H

/* A hash table from keys of bytes to the objects that hold them. The hash is
 * chosen by random bits that nobody outside knows, so that nobody can choose
 * keys that collide. The table grows by one bucket at a time (linear hashing:
 * Litwin, 1980), so that no insertion waits for the rest.
 *
 * The hash (key.h) says the same of two keys no more often than chance would
 * have it. That holds for keys that are chosen without knowing hashes. None is
 * told; a hub that is drained shows its readers out in their order, but then it
 * lets nobody in. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/base.h>

#include "key.h"

/* To be embedded in what is kept. The key's bytes belong to the owner and stay
 * while it is in the map. */
struct weir__node {
  struct weir__node *next; /* in a bucket that runs over */
  const void *key;
  uint32_t key_len;
  uint32_t hash;
};

struct weir__bucket;

struct weir__map {
  const weir_allocator *allocator;
  const struct weir__secret *secret;
  size_t count;
  size_t buckets; /* in use */
  size_t end;     /* those from here on are empty, and maybe more */
  size_t level;   /* a power of 2: level <= buckets < 2 * level */
  struct weir__bucket **segments;
  size_t segment_cap;
};

/* Draw one from a source as that of weir_hub_options, some 200 bytes at a
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

/* The node with this key, which may be of any length; NULL if there is none. */
struct weir__node *weir__map_find(const struct weir__map *map, const void *key,
                                  size_t key_len);

/* Insert a node whose key is not in the map and whose key and key_len (at most
 * WEIR__KEY_MOST) are set. WEIR_OK or WEIR_ENOMEM. */
int weir__map_insert(struct weir__map *map, struct weir__node *node);

/* Remove a node that is in the map. */
void weir__map_remove(struct weir__map *map, struct weir__node *node);

/* Put a node in the place of another of the same key. */
void weir__map_replace(struct weir__map *map, struct weir__node *old,
                       struct weir__node *node);

/* Any node, NULL if the map is empty: to take it apart, which takes no longer
 * than putting it together. */
struct weir__node *weir__map_any(struct weir__map *map);

/* Hand the nodes of one bucket (of map->buckets) to visit, which leaves the map
 * alone. Whoever visits the buckets from the last down to 0, and inserts
 * nothing meanwhile, sees every node that stays, some perhaps twice. */
void weir__map_visit(const struct weir__map *map, size_t bucket,
                     void (*visit)(void *user, struct weir__node *node),
                     void *user);

#endif /* WEIR__MAP_H */
