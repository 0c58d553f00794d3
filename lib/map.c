/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "map.h"

#include "util.h"

/* A bucket fills a cache line: a byte of each hash in front says which of the
 * nodes are worth a look, all of them at a glance. The bytes that belong to no
 * node are 0, those that do are not, and come first. What does not fit is
 * chained on by its own link. */
#define BUCKET_NODES 6
#define LINE 64

struct weir__bucket {
  uint8_t tag[8];
  struct weir__node *node[BUCKET_NODES];
  struct weir__node *more; /* NULL unless the others are in use */
};

/* Buckets come by the segment, and a segment never moves. */
#define SEGMENT_BUCKETS 32
#define SEGMENT_SIZE (SEGMENT_BUCKETS * sizeof(struct weir__bucket) + LINE)

/* Split a bucket when there are more nodes than this for each, and merge two
 * when there are fewer than that. */
#define NODES_MOST 3
#define NODES_LEAST 1

/* Asked for at once; what getentropy gives is 256. */
#define DRAW 208

static uint8_t tag_of(uint32_t hash) {
  return (uint8_t)(hash >> 24 | 1);
}

/* The greatest power of 2 that is not above n; of 0 it is 1. */
static size_t floor2(size_t n) {
  return (size_t)1 << weir__highest_bit(n | 1);
}

static struct weir__bucket *bucket_at(const struct weir__map *map, size_t i) {
  return map->segments[i / SEGMENT_BUCKETS] + i % SEGMENT_BUCKETS;
}

/* A segment begins at a cache line, and has its memory's address in front. */
static struct weir__bucket *new_segment(const weir_allocator *allocator) {
  void *memory = weir__alloc(allocator, SEGMENT_SIZE);
  void **segment;

  if (memory == NULL) {
    return NULL;
  }
  memset(memory, 0, SEGMENT_SIZE);
  segment = (void **)(((uintptr_t)memory + LINE) / LINE * LINE);
  segment[-1] = memory;
  return (struct weir__bucket *)(void *)segment;
}

static void free_segment(const weir_allocator *allocator,
                         struct weir__bucket *segment) {
  weir__free(allocator, ((void **)(void *)segment)[-1], SEGMENT_SIZE);
}

/* Buckets below `buckets - level` have been split: their nodes are told apart
 * by one bit more. */
static size_t index_of(const struct weir__map *map, uint32_t hash) {
  const size_t i = hash & (map->level * 2 - 1);

  /* No branch, since nobody could foresee it. */
  return i - (map->level & ((size_t)0 - (size_t)(i >= map->buckets)));
}

int weir__secret_draw(struct weir__secret *secret,
                      int (*entropy)(void *user, void *dst, size_t len),
                      void *user) {
  unsigned char *dst = (unsigned char *)secret;
  size_t left = sizeof *secret;
  size_t n;

  for (; left != 0; left -= n, dst += n) {
    n = left < DRAW ? left : DRAW;
    if (entropy(user, dst, n) != 1) {
      return WEIR_EENTROPY;
    }
  }
  return WEIR_OK;
}

void weir__map_init(struct weir__map *map, const weir_allocator *allocator,
                    const struct weir__secret *secret) {
  memset(map, 0, sizeof *map);
  map->allocator = allocator;
  map->secret = secret;
}

static size_t segments_for(size_t buckets) {
  return (buckets + SEGMENT_BUCKETS - 1) / SEGMENT_BUCKETS;
}

void weir__map_free(struct weir__map *map) {
  size_t i;

  for (i = 0; i < segments_for(map->buckets); ++i) {
    free_segment(map->allocator, map->segments[i]);
  }
  weir__free(map->allocator, map->segments,
             map->segment_cap * sizeof *map->segments);
  map->segments = NULL;
  map->segment_cap = 0;
  map->buckets = 0;
  map->count = 0;
}

WEIR__KEY_INLINE bool is_key(const struct weir__node *node, const void *key,
                             size_t key_len) {
  return node->key_len == key_len && weir__key_same(node->key, key, key_len);
}

/* Among those of a bucket that ran over. */
static struct weir__node *find_more(struct weir__node *node, const void *key,
                                    size_t key_len) {
  while (node != NULL && !is_key(node, key, key_len)) {
    node = node->next;
  }
  return node;
}

struct weir__node *weir__map_find(const struct weir__map *map, const void *key,
                                  size_t key_len) {
  const struct weir__bucket *bucket;
  struct weir__node *node;
  uint64_t tags;
  uint32_t hash;

  /* A longer key is nobody's, and there is no secret to hash it with. */
  if (map->count == 0 || key_len > WEIR__KEY_MOST) {
    return NULL;
  }
  hash = weir__key_hash(map->secret, key, key_len);
  bucket = bucket_at(map, index_of(map, hash));
  tags = weir__key_tags(bucket->tag, tag_of(hash));
  for (; tags != 0; tags &= tags - 1) {
    node = bucket->node[weir__lowest_bit(tags) / WEIR__KEY_TAG_BITS];
    if (WEIR__KEY_MOSTLY(is_key(node, key, key_len))) {
      return node;
    }
  }
  return find_more(bucket->more, key, key_len);
}

/* Room for bucket number map->buckets. */
static bool make_room(struct weir__map *map) {
  const size_t have = segments_for(map->buckets);
  struct weir__bucket **segments;
  size_t cap;

  if (map->buckets % SEGMENT_BUCKETS != 0) {
    return true;
  }
  if (have == map->segment_cap) {
    cap = have == 0 ? 4 : have * 2;
    segments = weir__alloc(map->allocator, cap * sizeof *segments);
    if (segments == NULL) {
      return false;
    }
    weir__copy(segments, map->segments, have * sizeof *segments);
    weir__free(map->allocator, map->segments,
               map->segment_cap * sizeof *segments);
    map->segments = segments;
    map->segment_cap = cap;
  }
  map->segments[have] = new_segment(map->allocator);
  return map->segments[have] != NULL;
}

static void set_buckets(struct weir__map *map, size_t buckets) {
  map->buckets = buckets;
  map->level = floor2(buckets);
}

/* How many nodes a bucket has, but for those that ran over. */
static unsigned used_in(const struct weir__bucket *bucket) {
  unsigned used = 0;

  while (bucket->tag[used] != 0) {
    used += 1;
  }
  return used;
}

static void put(struct weir__map *map, struct weir__node *node) {
  const size_t i = index_of(map, node->hash);
  struct weir__bucket *bucket = bucket_at(map, i);
  const unsigned used = used_in(bucket);

  map->end = map->end > i ? map->end : i + 1;
  node->next = NULL;
  if (used < BUCKET_NODES) {
    bucket->tag[used] = tag_of(node->hash);
    bucket->node[used] = node;
  } else {
    node->next = bucket->more;
    bucket->more = node;
  }
}

/* Empty a bucket: its nodes, as a list. */
static struct weir__node *empty(struct weir__bucket *bucket) {
  struct weir__node *list = bucket->more;
  unsigned i;

  for (i = used_in(bucket); i > 0; --i) {
    bucket->node[i - 1]->next = list;
    list = bucket->node[i - 1];
    bucket->tag[i - 1] = 0;
  }
  bucket->more = NULL;
  return list;
}

static void put_all(struct weir__map *map, struct weir__node *list) {
  struct weir__node *next;

  for (; list != NULL; list = next) {
    next = list->next;
    put(map, list);
  }
}

/* One bucket more: the next in line is split. */
static bool grow(struct weir__map *map) {
  size_t split;

  if (!make_room(map)) {
    return false;
  }
  /* Bucket b splits off from b without its highest bit. */
  split = map->buckets == 0 ? 0 : map->buckets - map->level;
  set_buckets(map, map->buckets + 1);
  put_all(map, empty(bucket_at(map, split)));
  return true;
}

/* One bucket less: the last is merged into the one that it was split from. */
static void shrink(struct weir__map *map) {
  struct weir__node *list = empty(bucket_at(map, map->buckets - 1));

  set_buckets(map, map->buckets - 1);
  put_all(map, list);
  if (map->buckets % SEGMENT_BUCKETS == 0) {
    free_segment(map->allocator, map->segments[map->buckets / SEGMENT_BUCKETS]);
  }
}

int weir__map_insert(struct weir__map *map, struct weir__node *node) {
  /* Without memory a table that has buckets becomes fuller than it should. */
  if (map->count >= map->buckets * NODES_MOST && !grow(map) &&
      map->buckets == 0) {
    return WEIR_ENOMEM;
  }
  node->hash = weir__key_hash(map->secret, node->key, node->key_len);
  put(map, node);
  map->count += 1;
  return WEIR_OK;
}

/* Where a node hangs in the chain of those that ran over. */
static struct weir__node **find_link(struct weir__node **link,
                                     const struct weir__node *node) {
  while (*link != node) {
    link = &(*link)->next;
  }
  return link;
}

/* Where a node stands in its bucket; BUCKET_NODES if it ran over. */
static unsigned find_place(const struct weir__bucket *bucket,
                           const struct weir__node *node) {
  unsigned i = 0;

  while (i < BUCKET_NODES && bucket->node[i] != node) {
    i += 1;
  }
  return i;
}

void weir__map_remove(struct weir__map *map, struct weir__node *node) {
  struct weir__bucket *bucket = bucket_at(map, index_of(map, node->hash));
  struct weir__node *filler;
  const unsigned i = find_place(bucket, node);
  unsigned last;

  if (i == BUCKET_NODES) {
    *find_link(&bucket->more, node) = node->next;
  } else if (bucket->more != NULL) {
    filler = bucket->more;
    bucket->more = filler->next;
    bucket->node[i] = filler;
    bucket->tag[i] = tag_of(filler->hash);
  } else {
    last = used_in(bucket) - 1;
    bucket->node[i] = bucket->node[last];
    bucket->tag[i] = bucket->tag[last];
    bucket->tag[last] = 0;
  }
  map->count -= 1;
  if (map->count < map->buckets * NODES_LEAST) {
    shrink(map);
  }
}

void weir__map_replace(struct weir__map *map, struct weir__node *old,
                       struct weir__node *node) {
  struct weir__bucket *bucket = bucket_at(map, index_of(map, old->hash));
  const unsigned i = find_place(bucket, old);

  node->hash = old->hash;
  node->next = old->next;
  if (i == BUCKET_NODES) {
    *find_link(&bucket->more, old) = node;
  } else {
    bucket->node[i] = node;
  }
}

struct weir__node *weir__map_any(struct weir__map *map) {
  map->end = map->end < map->buckets ? map->end : map->buckets;
  while (map->end > 0 && bucket_at(map, map->end - 1)->tag[0] == 0) {
    map->end -= 1;
  }
  return map->end == 0 ? NULL : bucket_at(map, map->end - 1)->node[0];
}

void weir__map_visit(const struct weir__map *map, size_t i,
                     void (*visit)(void *user, struct weir__node *node),
                     void *user) {
  const struct weir__bucket *bucket;
  struct weir__node *node;
  unsigned n;

  if (i < map->buckets) {
    bucket = bucket_at(map, i);
    for (n = 0; bucket->tag[n] != 0; ++n) {
      visit(user, bucket->node[n]);
    }
    for (node = bucket->more; node != NULL; node = node->next) {
      visit(user, node);
    }
  }
}
