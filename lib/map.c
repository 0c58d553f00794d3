/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "map.h"

#include "util.h"

/* A bucket fills a cache line: a byte of each hash in front says which of the
 * nodes are worth a look, all of them at a glance. What does not fit is chained
 * on by its own link. */
#define BUCKET_NODES 6
#define LINE 64

struct weir__bucket {
  uint8_t tag[BUCKET_NODES];
  uint8_t used;
  struct weir__node *node[BUCKET_NODES];
  struct weir__node *more; /* NULL unless used is BUCKET_NODES */
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

/* Where a key ends, what is added to its hash has two words of the secret. */
_Static_assert(WEIR__MAP_KEY_MOST % 8 == 0, "the last word has no secret");

/* Eight bytes, the first of them lowest: a form that compilers know. */
static inline uint64_t load_le(const unsigned char *p) {
  return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
         (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
         (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

/* The last bytes of a key, fewer than eight. Where the key has eight, they are
 * read with what is before them. */
static inline uint64_t load_rest(const unsigned char *p, size_t left,
                                 size_t len) {
  unsigned char rest[8] = {0};

  if (len >= 8) {
    return load_le(p + left - 8) >> 8 * (8 - left);
  }
  memcpy(rest, p, left);
  return load_le(rest);
}

/* What eight bytes of a key add to its hash. */
static inline uint64_t mix(const uint64_t *secret, uint64_t word) {
  return (secret[0] + (uint32_t)word) * (secret[1] + (word >> 32));
}

/* A permutation of all words: alike keys, which the sum puts at even distances,
 * do not fall in step with the buckets. */
static inline uint32_t scatter(uint32_t word) {
  word = (word ^ word >> 16) * UINT32_C(0x45d9f3b);
  return word ^ word >> 16;
}

/* A key is its length, and words of 32 bits with zeros behind its end. Of two
 * keys one of these differs, and what it is multiplied with is nowhere else. */
static inline uint32_t hash_of(const struct weir__map *map, const void *key,
                               size_t len) {
  const unsigned char *p = key;
  const uint64_t *secret = map->secret->words;
  uint64_t sum = secret[0] + secret[1] * len;
  size_t left = len;

  for (; left >= 8; left -= 8, p += 8) {
    secret += 2;
    sum += mix(secret, load_le(p));
  }
  if (left != 0) {
    sum += mix(secret + 2, load_rest(p, left, len));
  }
  return scatter((uint32_t)(sum >> 32));
}

static uint8_t tag_of(uint32_t hash) {
  return (uint8_t)(hash >> 24);
}

/* The greatest power of 2 that is not above n. */
static size_t floor2(size_t n) {
  size_t power = 1;

  while (power <= n / 2) {
    power *= 2;
  }
  return power;
}

static struct weir__bucket *bucket_at(const struct weir__map *map, size_t i) {
  uintptr_t segment = (uintptr_t)map->segments[i / SEGMENT_BUCKETS];

  segment = (segment + LINE - 1) / LINE * LINE;
  return (struct weir__bucket *)segment + i % SEGMENT_BUCKETS;
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
  unsigned char *dst = (unsigned char *)secret->words;
  size_t left = sizeof secret->words;
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
    weir__free(map->allocator, map->segments[i], SEGMENT_SIZE);
  }
  weir__free(map->allocator, map->segments,
             map->segment_cap * sizeof *map->segments);
  map->segments = NULL;
  map->segment_cap = 0;
  map->buckets = 0;
  map->count = 0;
}

static bool is_key(const struct weir__node *node, uint32_t hash,
                   const void *key, size_t key_len) {
  return node->hash == hash &&
         weir__same(node->key, node->key_len, key, key_len);
}

/* Bits that say which nodes of a bucket may have this hash: bit 8 * i + 7
 * stands for number i (Mycroft, 1987; those above a true one may be wrong). */
static uint64_t find_tags(const struct weir__bucket *bucket, uint32_t hash) {
  const uint64_t ones = UINT64_C(0x0101010101010101);
  /* The tags, `used`, and a byte of nobody's. */
  const uint64_t word = load_le((const unsigned char *)(const void *)bucket) ^
                        ones * tag_of(hash);
  const uint64_t used = (UINT64_C(1) << 8 * bucket->used) - 1;

  return (word - ones) & ~word & ones << 7 & used;
}

struct weir__node *weir__map_find(const struct weir__map *map, const void *key,
                                  size_t key_len) {
  const struct weir__bucket *bucket;
  struct weir__node *node;
  uint64_t tags;
  uint32_t hash;

  if (map->count == 0) {
    return NULL;
  }
  hash = hash_of(map, key, key_len);
  bucket = bucket_at(map, index_of(map, hash));
  for (tags = find_tags(bucket, hash); tags != 0; tags &= tags - 1) {
    node = bucket->node[weir__lowest_bit(tags) / 8];
    if (is_key(node, hash, key, key_len)) {
      return node;
    }
  }
  node = bucket->more;
  while (node != NULL && !is_key(node, hash, key, key_len)) {
    node = node->next;
  }
  return node;
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
  map->segments[have] = weir__alloc(map->allocator, SEGMENT_SIZE);
  if (map->segments[have] == NULL) {
    return false;
  }
  memset(map->segments[have], 0, SEGMENT_SIZE);
  return true;
}

static void set_buckets(struct weir__map *map, size_t buckets) {
  map->buckets = buckets;
  map->level = floor2(buckets);
}

static void put(struct weir__map *map, struct weir__node *node) {
  struct weir__bucket *bucket = bucket_at(map, index_of(map, node->hash));

  node->next = NULL;
  if (bucket->used < BUCKET_NODES) {
    bucket->tag[bucket->used] = tag_of(node->hash);
    bucket->node[bucket->used] = node;
    bucket->used += 1;
  } else {
    node->next = bucket->more;
    bucket->more = node;
  }
}

/* Empty a bucket: its nodes, as a list. */
static struct weir__node *empty(struct weir__bucket *bucket) {
  struct weir__node *list = bucket->more;

  while (bucket->used != 0) {
    bucket->used -= 1;
    bucket->node[bucket->used]->next = list;
    list = bucket->node[bucket->used];
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
  split = map->buckets == 0 ? 0 : map->buckets - floor2(map->buckets);
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
    weir__free(map->allocator, map->segments[map->buckets / SEGMENT_BUCKETS],
               SEGMENT_SIZE);
  }
}

int weir__map_insert(struct weir__map *map, struct weir__node *node) {
  /* Without memory a table that has buckets becomes fuller than it should. */
  if (map->count >= map->buckets * NODES_MOST && !grow(map) &&
      map->buckets == 0) {
    return WEIR_ENOMEM;
  }
  node->hash = hash_of(map, node->key, node->key_len);
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

/* Where a node stands in its bucket; `used` if it ran over. */
static unsigned find_place(const struct weir__bucket *bucket,
                           const struct weir__node *node) {
  unsigned i = 0;

  while (i < bucket->used && bucket->node[i] != node) {
    i += 1;
  }
  return i;
}

void weir__map_remove(struct weir__map *map, struct weir__node *node) {
  struct weir__bucket *bucket = bucket_at(map, index_of(map, node->hash));
  struct weir__node *filler;
  const unsigned i = find_place(bucket, node);

  if (i == bucket->used) {
    *find_link(&bucket->more, node) = node->next;
  } else if (bucket->more != NULL) {
    filler = bucket->more;
    bucket->more = filler->next;
    bucket->node[i] = filler;
    bucket->tag[i] = tag_of(filler->hash);
  } else {
    bucket->used -= 1;
    bucket->node[i] = bucket->node[bucket->used];
    bucket->tag[i] = bucket->tag[bucket->used];
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
  if (i == bucket->used) {
    *find_link(&bucket->more, old) = node;
  } else {
    bucket->node[i] = node;
  }
}

struct weir__node *weir__map_any(const struct weir__map *map) {
  size_t i = map->buckets;

  while (i > 0 && bucket_at(map, i - 1)->used == 0) {
    i -= 1;
  }
  return i == 0 ? NULL : bucket_at(map, i - 1)->node[0];
}

void weir__map_visit(const struct weir__map *map, size_t i,
                     void (*visit)(void *user, struct weir__node *node),
                     void *user) {
  const struct weir__bucket *bucket;
  struct weir__node *node;
  unsigned n;

  if (i < map->buckets) {
    bucket = bucket_at(map, i);
    for (n = 0; n < bucket->used; ++n) {
      visit(user, bucket->node[n]);
    }
    for (node = bucket->more; node != NULL; node = node->next) {
      visit(user, node);
    }
  }
}
