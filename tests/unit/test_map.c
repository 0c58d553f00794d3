/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The hash table: against a model, through growth and shrinking, with nodes
 * that collide, and with allocations that fail. */

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"

static struct weir__secret secret;

/* A number below bound. */
static size_t draw(uint64_t *chance, size_t bound) {
  *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (size_t)(*chance >> 33) % bound;
}

/* What is kept: its key is the number's bytes, or a text. */
struct item {
  struct weir__node node;
  uint32_t number;
  bool inside;
  unsigned visits;
};

static void set_key(struct item *item, uint32_t number) {
  memset(item, 0xdd, sizeof *item);
  item->number = number;
  item->inside = false;
  item->visits = 0;
  item->node.key = &item->number;
  item->node.key_len = sizeof item->number;
}

static struct item *item_of(struct weir__node *node) {
  return (struct item *)(void *)((char *)node - offsetof(struct item, node));
}

/* --- The hash ------------------------------------------------------------- */

enum { WORDS = sizeof secret.words / sizeof secret.words[0] };

/* A secret as a number has it. */
static void make_secret(struct weir__secret *made, uint64_t chance) {
  size_t i;

  for (i = 0; i < WORDS; ++i) {
    made->words[i] = draw(&chance, 1u << 16);
    made->words[i] = made->words[i] << 24 | draw(&chance, 1u << 24);
    made->words[i] = made->words[i] << 24 | draw(&chance, 1u << 24);
  }
}

/* What a map makes of a key. */
static uint32_t hash_of(const struct weir__secret *with, const void *key,
                        size_t len) {
  static const weir_allocator allocator = {0};
  struct weir__map map;
  struct item item;

  weir__map_init(&map, &allocator, with);
  set_key(&item, 0);
  item.node.key = key;
  item.node.key_len = (uint32_t)len;
  kit_need(weir__map_insert(&map, &item.node) == WEIR_OK);
  kit_need(weir__map_find(&map, key, len) == &item.node);
  weir__map_free(&map);
  return item.node.hash;
}

/* The bytes that a key is hashed as, from the end of the blocks before the last
 * on: those of the last block, then the others. Returns their number. */
static size_t blocks_of(const unsigned char *key, size_t len,
                        unsigned char blocks[WEIR__KEY_MOST]) {
  const size_t before = len <= 16 ? 0 : (len - 1) / 16 * 16;

  memset(blocks, 0, 16);
  if (len >= 16) {
    memcpy(blocks, key + len - 16, 16);
  } else if (len >= 8) {
    memcpy(blocks, key, 8);
    memcpy(blocks + 8, key + len - 8, 8);
  } else if (len >= 4) {
    memcpy(blocks, key, 4);
    memcpy(blocks + 4, key + len - 4, 4);
  } else if (len != 0) {
    blocks[0] = key[0];
    blocks[1] = key[len / 2];
    blocks[2] = key[len - 1];
  }
  memcpy(blocks + 16, key, before);
  return 16 + before;
}

/* The same as in the header, byte by byte. */
static uint32_t hash_by_words(const struct weir__secret *with,
                              const unsigned char *key, size_t len) {
  const uint64_t *r = with->words;
  unsigned char blocks[WEIR__KEY_MOST];
  const size_t count = blocks_of(key, len, blocks);
  uint64_t sum = 0;
  size_t i;

  for (i = 0; i < count; i += 8) {
    const uint64_t m = r[4 + i / 8];
    uint32_t s[2] = {0, 0};
    size_t n;

    for (n = 0; n < 8; ++n) {
      s[n / 4] |= (uint32_t)blocks[i + n] << n % 4 * 8;
    }
    s[0] += (uint32_t)m;
    s[1] += (uint32_t)(m >> 32);
    sum += (uint64_t)s[0] * s[1];
  }
  sum = r[0] + r[1] * len + (r[2] + (uint32_t)sum) * (r[3] + (sum >> 32));
  return (uint32_t)(sum >> 32);
}

/* Secrets and keys at the ends of what there is, and any. */
static void make_extreme_secret(struct weir__secret *made, int kind) {
  size_t i;

  make_secret(made, 11);
  for (i = 0; i < WORDS && kind < 3; ++i) {
    made->words[i] = kind == 0   ? 0
                     : kind == 1 ? UINT64_MAX
                                 : made->words[i] | UINT32_MAX;
  }
}

static void make_extreme_key(unsigned char *key, int kind) {
  uint64_t chance = 7;
  size_t i;

  for (i = 0; i < WEIR__KEY_MOST; ++i) {
    key[i] = (unsigned char)(kind == 0   ? 0
                             : kind == 1 ? 0xff
                                         : draw(&chance, 256));
  }
}

/* With vectors and without, at each length and alignment: so many bytes behind
 * the key are not its own,
 * and behind them memory ends; so do some before it. */
START_TEST(hash_is_that_of_the_header) {
  enum { SECRETS = 4, KEYS = 3, AROUND = 16 };
  const size_t behind = (size_t)_i;
  unsigned char bytes[WEIR__KEY_MOST];
  unsigned char *end = kit_fence(AROUND + WEIR__KEY_MOST + behind);
  unsigned char *key;
  struct weir__secret with;
  uint32_t want;
  size_t len;
  int i;

  end += AROUND + WEIR__KEY_MOST;
  for (i = 0; i < SECRETS * KEYS; ++i) {
    make_extreme_secret(&with, i % SECRETS);
    make_extreme_key(bytes, i / SECRETS);
    for (len = 0; len <= sizeof bytes; ++len) {
      key = end - len;
      memset(key - AROUND, 0x5a, AROUND);
      memcpy(key, bytes, len);
      memset(end, 0xa5, behind);
      want = hash_by_words(&with, bytes, len);
      if (hash_of(&with, key, len) != want ||
          weir__key_hash(&with, key, len) != want ||
          weir__key_hash_plain(&with, key, len) != want) {
        ck_abort_msg("secret %d, key %d, length %zu", i % SECRETS, i / SECRETS,
                     len);
      }
    }
  }
}
END_TEST

/* Under each of these secrets, keys that differ in one bit do not collide. */
START_TEST(every_bit_of_a_key_counts) {
  enum { LONGEST = 40 };
  unsigned char key[LONGEST];
  struct weir__secret with;
  uint64_t chance = (uint64_t)_i + 1;
  uint32_t hash;
  size_t len;
  size_t bit;

  make_secret(&with, chance);
  for (len = 1; len <= LONGEST; ++len) {
    for (bit = 0; bit < len; ++bit) {
      key[bit] = (unsigned char)draw(&chance, 256);
    }
    hash = hash_of(&with, key, len);
    for (bit = 0; bit < len * 8; ++bit) {
      key[bit / 8] ^= (unsigned char)(1u << bit % 8);
      if (hash_of(&with, key, len) == hash) {
        ck_abort_msg("length %zu, bit %zu", len, bit);
      }
      key[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
  }
}
END_TEST

/* Two keys at each length and alignment, with other bytes around: they are the
 * same until any one bit of them differs. */
START_TEST(keys_are_compared_to_their_last_bit) {
  unsigned char bytes[256];
  unsigned char moved[256 + 16 + 1];
  uint64_t chance = 9;
  size_t at;
  size_t len;
  size_t i;

  for (len = 0; len < sizeof bytes; ++len) {
    bytes[len] = (unsigned char)draw(&chance, 256);
  }
  for (len = 0; len < 256; ++len) {
    const unsigned char *key = kit_fenced(bytes, len);

    for (at = 0; at < 16; ++at) {
      memset(moved, (int)at + 1, sizeof moved);
      memcpy(moved + at, bytes, len);
      if (!weir__key_same(key, moved + at, len) ||
          !weir__key_same(moved + at, key, len) ||
          !weir__key_same_plain(moved + at, key, len)) {
        ck_abort_msg("length %zu at %zu: not the same", len, at);
      }
      for (i = 0; i < len; ++i) {
        moved[at + i] ^= (unsigned char)(1u << i % 8);
        if (weir__key_same(key, moved + at, len) ||
            weir__key_same(moved + at, key, len) ||
            weir__key_same_plain(moved + at, key, len)) {
          ck_abort_msg("length %zu at %zu: byte %zu", len, at, i);
        }
        moved[at + i] ^= (unsigned char)(1u << i % 8);
      }
    }
  }
}
END_TEST

/* Eight tags, of which some are the one that is sought, and others nearly. */
START_TEST(tags_are_found) {
  static const uint8_t near[] = {0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff};
  enum { NEAR = sizeof near / sizeof near[0] };
  uint64_t chance = 10;
  int round;

  for (round = 0; round < 20000; ++round) {
    const uint8_t tag = near[draw(&chance, NEAR)];
    uint8_t tags[8];
    uint64_t found;
    uint64_t plain;
    unsigned i;

    for (i = 0; i < 8; ++i) {
      tags[i] = near[draw(&chance, NEAR)];
    }
    found = weir__key_tags(tags, tag);
    plain = weir__key_tags_plain(tags, tag);
    for (i = 0; i < 8; ++i) {
      const uint64_t one =
          found >> i * WEIR__KEY_TAG_BITS & ((1u << WEIR__KEY_TAG_BITS) - 1);

      ck_assert((one != 0) == (tags[i] == tag));
      ck_assert((plain >> 8 * i & 0xff) == (tags[i] == tag ? 0x80 : 0));
    }
  }
}
END_TEST

/* Another secret, another hash: whoever does not know it cannot choose keys. */
START_TEST(hash_depends_on_the_secret_as_far_as_the_key_goes) {
  static const char key[] = "0123456789abcdefghi";
  const uint32_t hash = hash_of(&secret, key, 19);
  size_t i;

  for (i = 0; i < WORDS; ++i) {
    struct weir__secret other = secret;

    other.words[i] ^= UINT64_C(1) << 40;
    ck_assert((hash_of(&other, key, 19) != hash) == (i < 4 + 4));
  }
}
END_TEST

/* The bound, of keys that are hard to tell apart: under 20,000 secrets two of
 * them agree in the bits that choose a bucket, in those of the tag, and in
 * both, as often as they should, give or take five times the deviation of that.
 */
START_TEST(keys_collide_no_more_than_the_bound) {
  static const struct {
    const char *a;
    const char *b;
    size_t a_len;
    size_t b_len;
  } pairs[] = {
      {"", "\0", 0, 1},
      {"\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0", 7, 8},
      {"\0\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0\0", 8, 9},
      {"stream-1", "stream-2", 8, 8},
      {"aaaa", "aaa\xe1", 4, 4},
      {"abcdefgh", "efghabcd", 8, 8},
      {"abcdefghABCDEFGH", "ABCDEFGHabcdefgh", 16, 16},
      {"stream-1", "stream-1stream-1", 8, 16},
  };
  enum { SECRETS = 20000 };
  size_t low = 0;
  size_t tags = 0;
  size_t both = 0;
  uint64_t i;

  for (i = 0; i < SECRETS; ++i) {
    struct weir__secret other;
    uint32_t differ;

    make_secret(&other, i * 2 + 1);
    differ = hash_of(&other, pairs[_i].a, pairs[_i].a_len) ^
             hash_of(&other, pairs[_i].b, pairs[_i].b_len);
    low += (differ & 0x7f) == 0;
    tags += differ >> 25 == 0;
    both += (differ & 0xe000007f) == 0;
  }
  /* 156 each, and 20. */
  ck_assert_uint_ge(low, 156 - 62);
  ck_assert_uint_le(low, 156 + 62);
  ck_assert_uint_ge(tags, 156 - 62);
  ck_assert_uint_le(tags, 156 + 62);
  ck_assert_uint_le(both, 20 + 22);
}
END_TEST

/* Keys as there are many of: as evenly as if they had been drawn. Of 64 cells
 * with 1000 each, chi-square is 63, give or take 11. */
START_TEST(alike_keys_are_spread) {
  static const char *const fronts[] = {"stream-", "000000000000000000000", "",
                                       "0a1b2c3d-0000-4000-8000-"};
  size_t low[64] = {0};
  size_t high[64] = {0};
  double squares[2] = {0, 0};
  char key[64];
  unsigned long i;

  for (i = 0; i < 64000; ++i) {
    const size_t len =
        (size_t)snprintf(key, sizeof key, "%s%012lx", fronts[_i], i);
    const uint32_t hash = hash_of(&secret, key, len);

    low[hash % 64] += 1;
    high[hash >> 26] += 1;
  }
  for (i = 0; i < 64; ++i) {
    squares[0] += ((double)low[i] - 1000) * ((double)low[i] - 1000) / 1000;
    squares[1] += ((double)high[i] - 1000) * ((double)high[i] - 1000) / 1000;
  }
  ck_assert_msg(squares[0] < 130 && squares[1] < 130, "%g, %g", squares[0],
                squares[1]);
}
END_TEST

/* --- Where the secret comes from --- */

static size_t asked;

static int count_bytes(void *user, void *dst, size_t len) {
  size_t *left = user;

  ck_assert_uint_le(len, 256); /* as much as getentropy gives */
  memset(dst, 0x5a, len);
  asked += len;
  return (*left)-- != 0;
}

START_TEST(secret_is_drawn_to_its_last_byte) {
  struct weir__secret drawn;
  size_t calls;
  size_t left = SIZE_MAX;
  size_t i;

  memset(&drawn, 0, sizeof drawn);
  asked = 0;
  ck_assert_int_eq(weir__secret_draw(&drawn, count_bytes, &left), WEIR_OK);
  calls = SIZE_MAX - left;
  ck_assert_uint_eq(asked, sizeof drawn);
  for (i = 0; i < WORDS; ++i) {
    ck_assert(drawn.words[i] == UINT64_C(0x5a5a5a5a5a5a5a5a));
  }
  for (i = 0; i < calls; ++i) {
    left = i;
    ck_assert_int_eq(weir__secret_draw(&drawn, count_bytes, &left),
                     WEIR_EENTROPY);
  }
}
END_TEST

/* --- Small cases ---------------------------------------------------------- */

START_TEST(empty_map_has_nothing) {
  struct kit_memory memory;
  struct weir__map map;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  ck_assert_ptr_null(weir__map_find(&map, "a", 1));
  ck_assert_ptr_null(weir__map_find(&map, NULL, 0));
  ck_assert_ptr_null(weir__map_any(&map));
  ck_assert_uint_eq(map.count, 0);
  ck_assert_uint_eq(memory.calls, 0);
  weir__map_free(&map);
  weir__map_free(&map); /* again */
}
END_TEST

/* A find may be for any bytes; what is longer than a key can be is not looked
 * at, since there is no secret to hash it with. */
START_TEST(keys_that_are_too_long_are_not_there) {
  static const char text[WEIR__KEY_MOST];
  struct kit_memory memory;
  struct weir__map map;
  struct item item;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  set_key(&item, 0);
  item.node.key = text;
  item.node.key_len = WEIR__KEY_MOST;
  ck_assert_int_eq(weir__map_insert(&map, &item.node), WEIR_OK);
  ck_assert_ptr_eq(weir__map_find(&map, text, WEIR__KEY_MOST), &item.node);
  ck_assert_ptr_null(weir__map_find(&map, text, WEIR__KEY_MOST + 1));
  ck_assert_ptr_null(weir__map_find(&map, text, SIZE_MAX));
  weir__map_remove(&map, &item.node);
  weir__map_free(&map);
}
END_TEST

/* Keys that are nearly the same, or parts of each other. */
START_TEST(keys_are_bytes_with_a_length) {
  static const struct {
    const char *key;
    uint32_t len;
  } keys[] = {{"", 0},         {"\0", 1},      {"\0\0", 2},
              {"a", 1},        {"a\0", 2},     {"ab", 2},
              {"abcdefgh", 8}, {"abcdefg", 7}, {"abcdefghi", 9},
              {"ABCDEFGH", 8}, {"\xff", 1}};
  enum { KEYS = sizeof keys / sizeof keys[0] };
  struct kit_memory memory;
  struct weir__map map;
  struct item items[KEYS];
  size_t i;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < KEYS; ++i) {
    set_key(&items[i], 0);
    items[i].node.key = keys[i].key;
    items[i].node.key_len = keys[i].len;
    ck_assert_ptr_null(weir__map_find(&map, keys[i].key, keys[i].len));
    ck_assert_int_eq(weir__map_insert(&map, &items[i].node), WEIR_OK);
  }
  for (i = 0; i < KEYS; ++i) {
    ck_assert_ptr_eq(weir__map_find(&map, keys[i].key, keys[i].len),
                     &items[i].node);
    weir__map_remove(&map, &items[i].node);
    ck_assert_ptr_null(weir__map_find(&map, keys[i].key, keys[i].len));
  }
  weir__map_free(&map);
  ck_assert_uint_eq(memory.live, 0);
}
END_TEST

START_TEST(replaced_node_stands_for_the_other) {
  enum { MANY = 300 };
  static struct item items[MANY];
  static struct item others[MANY];
  struct kit_memory memory;
  struct weir__map map;
  uint32_t i;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < MANY; ++i) {
    set_key(&items[i], i);
    ck_assert_int_eq(weir__map_insert(&map, &items[i].node), WEIR_OK);
  }
  for (i = 0; i < MANY; ++i) {
    set_key(&others[i], i);
    weir__map_replace(&map, &items[i].node, &others[i].node);
    memset(&items[i], 0xdd, sizeof items[i]); /* nobody looks at it now */
    ck_assert_ptr_eq(weir__map_find(&map, &i, sizeof i), &others[i].node);
    ck_assert_uint_eq(map.count, MANY);
  }
  for (i = 0; i < MANY; ++i) {
    ck_assert_ptr_eq(weir__map_find(&map, &i, sizeof i), &others[i].node);
    weir__map_remove(&map, &others[i].node);
  }
  weir__map_free(&map);
  ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* --- Many ----------------------------------------------------------------- */

enum { MOST = 20000 };
static struct item items[MOST];

/* Every number inside is found, no other is. */
static void check_all(const struct weir__map *map, uint32_t count) {
  uint32_t i;

  for (i = 0; i < count; ++i) {
    struct weir__node *want = items[i].inside ? &items[i].node : NULL;

    if (weir__map_find(map, &i, sizeof i) != want) {
      ck_abort_msg("%lu of %lu %s", (unsigned long)i, (unsigned long)map->count,
                   want != NULL ? "is lost" : "has come from nowhere");
    }
  }
}

/* By one bucket at a time, and never far from what it should be. */
static void check_shape(const struct weir__map *map) {
  if (map->buckets != 0 &&
      (map->level > map->buckets || map->buckets >= 2 * map->level ||
       (map->level & (map->level - 1)) != 0)) {
    ck_abort_msg("level %zu, buckets %zu", map->level, map->buckets);
  }
  if (map->count > 3 * map->buckets || map->count < map->buckets) {
    ck_abort_msg("%zu in %zu buckets", map->count, map->buckets);
  }
}

START_TEST(grows_and_shrinks) {
  struct kit_memory memory;
  struct weir__map map;
  size_t buckets;
  uint32_t i;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < MOST; ++i) {
    set_key(&items[i], i);
  }
  for (i = 0; i < MOST; ++i) {
    buckets = map.buckets;
    ck_assert(weir__map_insert(&map, &items[i].node) == WEIR_OK);
    items[i].inside = true;
    if (map.buckets > buckets + 1 || map.count != i + 1) {
      ck_abort_msg("grew from %zu to %zu", buckets, map.buckets);
    }
    check_shape(&map);
    if (i % 1009 == 0 || i < 200) {
      check_all(&map, i + 2 < MOST ? i + 2 : MOST);
    }
  }
  check_all(&map, MOST);
  /* Out again in another order. */
  for (i = 0; i < MOST; ++i) {
    struct item *item = &items[(uint64_t)i * 7919 % MOST];

    buckets = map.buckets;
    weir__map_remove(&map, &item->node);
    item->inside = false;
    if (map.buckets + 1 < buckets || map.count != MOST - 1 - i) {
      ck_abort_msg("shrank from %zu to %zu", buckets, map.buckets);
    }
    check_shape(&map);
    if (i % 1009 == 0 || i > MOST - 200) {
      check_all(&map, MOST);
    }
  }
  ck_assert_uint_eq(map.count, 0);
  ck_assert_ptr_null(weir__map_any(&map));
  /* All but the list of segments has been given back by now. */
  ck_assert_uint_lt(memory.live, 64 * 1024);
  weir__map_free(&map);
  ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* Freed while it is full, and used again. */
START_TEST(free_leaves_an_empty_map) {
  struct kit_memory memory;
  struct weir__map map;
  uint32_t i;
  int round;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (round = 0; round < 3; ++round) {
    for (i = 0; i < 1000; ++i) {
      set_key(&items[i], i);
      ck_assert(weir__map_insert(&map, &items[i].node) == WEIR_OK);
    }
    weir__map_free(&map);
    ck_assert_uint_eq(memory.live, 0);
    ck_assert_uint_eq(map.count, 0);
    ck_assert_ptr_null(weir__map_any(&map));
    i = 1;
    ck_assert_ptr_null(weir__map_find(&map, &i, sizeof i));
  }
}
END_TEST

/* Nodes that hash alike share a bucket and run over. Equal hashes are had by
 * trying: 32 bits, of which the lower ones choose the bucket. */
START_TEST(nodes_that_collide_are_all_found) {
  enum { WANTED = 40, BITS = 9 };
  static struct item some[WANTED];
  struct kit_memory memory;
  struct weir__map map;
  struct item probe;
  uint32_t number = 0;
  size_t count = 0;
  size_t i;
  size_t n;

  kit_memory_init(&memory);
  while (count < WANTED) {
    weir__map_init(&map, &memory.allocator, &secret);
    set_key(&probe, number++);
    ck_assert(weir__map_insert(&map, &probe.node) == WEIR_OK);
    weir__map_free(&map);
    if ((probe.node.hash & ((1u << BITS) - 1)) == 5) {
      set_key(&some[count++], probe.number);
    }
  }
  /* All in one bucket as long as there are fewer than 2^BITS. */
  weir__map_init(&map, &memory.allocator, &secret);
  for (n = 0; n < WANTED; ++n) {
    ck_assert_int_eq(weir__map_insert(&map, &some[n].node), WEIR_OK);
    for (i = 0; i < WANTED; ++i) {
      ck_assert(weir__map_find(&map, &some[i].number, 4) ==
                (i <= n ? &some[i].node : NULL));
    }
  }
  /* Replaced and removed at the front, in the middle, at the back. */
  for (n = 0; n < WANTED; ++n) {
    struct item *gone = &some[n * 17 % WANTED];
    struct item other;

    set_key(&other, gone->number);
    weir__map_replace(&map, &gone->node, &other.node);
    ck_assert_ptr_eq(weir__map_find(&map, &gone->number, 4), &other.node);
    weir__map_replace(&map, &other.node, &gone->node);
    weir__map_remove(&map, &gone->node);
    gone->inside = true; /* has been removed */
    for (i = 0; i < WANTED; ++i) {
      ck_assert(weir__map_find(&map, &some[i].number, 4) ==
                (some[i].inside ? NULL : &some[i].node));
    }
  }
  ck_assert_uint_eq(map.count, 0);
  weir__map_free(&map);
  ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* Two keys of one hash, found by trying 400,000. */
START_TEST(keys_of_one_hash_are_told_apart) {
  static const char keys[2][9] = {"frkjleaq", "wgiozynx"};
  struct kit_memory memory;
  struct weir__map map;
  struct item some[2];
  int i;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < 2; ++i) {
    set_key(&some[i], 0);
    some[i].node.key = keys[i];
    some[i].node.key_len = 8;
    ck_assert_ptr_null(weir__map_find(&map, keys[i], 8));
    ck_assert_int_eq(weir__map_insert(&map, &some[i].node), WEIR_OK);
    ck_assert_uint_eq(some[i].node.hash, 0x78610a73);
  }
  for (i = 0; i < 2; ++i) {
    ck_assert_ptr_eq(weir__map_find(&map, keys[i], 8), &some[i].node);
  }
  weir__map_remove(&map, &some[0].node);
  ck_assert_ptr_null(weir__map_find(&map, keys[0], 8));
  ck_assert_ptr_eq(weir__map_find(&map, keys[1], 8), &some[1].node);
  weir__map_free(&map);
  ck_assert_uint_eq(memory.live, 0);
}
END_TEST

START_TEST(any_takes_it_apart) {
  struct kit_memory memory;
  struct weir__map map;
  struct weir__node *node;
  uint32_t count = 0;
  uint32_t i;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < 2000; ++i) {
    set_key(&items[i], i);
    items[i].inside = true;
    ck_assert(weir__map_insert(&map, &items[i].node) == WEIR_OK);
  }
  for (node = weir__map_any(&map); node != NULL; node = weir__map_any(&map)) {
    ck_assert(item_of(node)->inside);
    item_of(node)->inside = false;
    weir__map_remove(&map, node);
    count += 1;
  }
  ck_assert_uint_eq(count, 2000);
  weir__map_free(&map);
  ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* --- Visits --------------------------------------------------------------- */

static void count_visit(void *user, struct weir__node *node) {
  size_t *visits = user;

  *visits += 1;
  item_of(node)->visits += 1;
}

START_TEST(visit_sees_each_once_while_nothing_changes) {
  static const uint32_t counts[] = {0, 1, 2, 3, 6, 7, 95, 96, 97, 1000, 5000};
  struct kit_memory memory;
  struct weir__map map;
  size_t visits = 0;
  size_t bucket;
  uint32_t i;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < counts[_i]; ++i) {
    set_key(&items[i], i);
    ck_assert(weir__map_insert(&map, &items[i].node) == WEIR_OK);
  }
  for (bucket = map.buckets; bucket > 0; --bucket) {
    weir__map_visit(&map, bucket - 1, count_visit, &visits);
  }
  /* What is no bucket has nothing. */
  weir__map_visit(&map, map.buckets, count_visit, &visits);
  weir__map_visit(&map, SIZE_MAX, count_visit, &visits);
  ck_assert_uint_eq(visits, counts[_i]);
  for (i = 0; i < counts[_i]; ++i) {
    ck_assert(items[i].visits == 1);
  }
  weir__map_free(&map);
}
END_TEST

/* From the last bucket down, with others removed between two: those that stay
 * are seen, some perhaps twice. */
START_TEST(visit_sees_those_that_stay) {
  enum { MANY = 3000 };
  uint64_t chance = (uint64_t)_i + 1;
  struct kit_memory memory;
  struct weir__map map;
  size_t visits = 0;
  size_t bucket;
  uint32_t i;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < MANY; ++i) {
    set_key(&items[i], i);
    items[i].inside = true;
    ck_assert(weir__map_insert(&map, &items[i].node) == WEIR_OK);
  }
  for (bucket = map.buckets; bucket > 0; --bucket) {
    int gone;

    weir__map_visit(&map, bucket - 1, count_visit, &visits);
    for (gone = 0; gone < 2; ++gone) {
      struct item *item = &items[draw(&chance, MANY)];

      if (item->inside) {
        weir__map_remove(&map, &item->node);
        item->inside = false;
      }
    }
  }
  ck_assert_uint_lt(map.count, MANY / 2 + MANY / 4);
  for (i = 0; i < MANY; ++i) {
    if (items[i].inside && items[i].visits == 0) {
      ck_abort_msg("seed %d: %lu stayed and was not seen", _i,
                   (unsigned long)i);
    }
  }
  weir__map_free(&map);
}
END_TEST

/* --- Random --------------------------------------------------------------- */

START_TEST(agrees_with_the_model) {
  enum { KEYS = 700 };
  static struct item twins[KEYS];
  uint64_t chance = (uint64_t)_i + 1;
  struct kit_memory memory;
  struct weir__map map;
  size_t count = 0;
  size_t drift = 50;
  uint32_t i;
  int round;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < KEYS; ++i) {
    set_key(&items[i], i);
    set_key(&twins[i], i);
  }
  for (round = 0; round < 60000; ++round) {
    struct item *item;

    if (round % 3000 == 0) {
      drift = 15 + draw(&chance, 70); /* more come, or more go */
    }
    i = (uint32_t)draw(&chance, KEYS);
    item = items[i].inside ? &items[i] : twins[i].inside ? &twins[i] : NULL;
    if (weir__map_find(&map, &i, sizeof i) !=
        (item == NULL ? NULL : &item->node)) {
      ck_abort_msg("seed %d, round %d", _i, round);
    }
    if (item == NULL) {
      if (draw(&chance, 100) < drift) {
        item = draw(&chance, 2) == 0 ? &items[i] : &twins[i];
        ck_assert(weir__map_insert(&map, &item->node) == WEIR_OK);
        item->inside = true;
        count += 1;
      }
    } else if (draw(&chance, 100) >= drift) {
      weir__map_remove(&map, &item->node);
      item->inside = false;
      count -= 1;
    } else {
      struct item *twin = item == &items[i] ? &twins[i] : &items[i];

      weir__map_replace(&map, &item->node, &twin->node);
      item->inside = false;
      twin->inside = true;
    }
    if (map.count != count) {
      ck_abort_msg("seed %d, round %d: the count", _i, round);
    }
    check_shape(&map);
  }
  weir__map_free(&map);
  ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* --- Without memory ------------------------------------------------------- */

/* Every allocation fails in turn, only it, or it and all later ones. A table
 * that has no bucket yet says so; one that has takes the node all the same. */
START_TEST(allocations_fail) {
  enum { MANY = 1200 };
  struct kit_memory memory;
  struct weir__map map;
  size_t calls;
  size_t at;
  uint32_t i;

  kit_memory_init(&memory);
  weir__map_init(&map, &memory.allocator, &secret);
  for (i = 0; i < MANY; ++i) {
    set_key(&items[i], i);
    ck_assert(weir__map_insert(&map, &items[i].node) == WEIR_OK);
  }
  calls = memory.calls;
  ck_assert_uint_gt(calls, 5);
  weir__map_free(&map);
  for (at = 1; at <= calls + 1; ++at) {
    kit_memory_init(&memory);
    memory.fail_at = at;
    memory.fail_on = _i != 0;
    weir__map_init(&map, &memory.allocator, &secret);
    for (i = 0; i < MANY; ++i) {
      const int rv = weir__map_insert(&map, &items[i].node);

      items[i].inside = rv == WEIR_OK;
      if (rv != WEIR_OK) {
        ck_assert_int_eq(rv, WEIR_ENOMEM);
        ck_assert_uint_le(at, 2);
        ck_assert_uint_eq(map.count, 0);
      }
    }
    check_all(&map, MANY);
    for (i = 0; i < MANY; i += 2) {
      if (items[i].inside) {
        weir__map_remove(&map, &items[i].node);
        items[i].inside = false;
      }
    }
    check_all(&map, MANY);
    /* When there is memory again, it goes on. */
    memory.fail_at = 0;
    for (i = 0; i < MANY; ++i) {
      if (!items[i].inside) {
        ck_assert(weir__map_insert(&map, &items[i].node) == WEIR_OK);
        items[i].inside = true;
      }
    }
    check_all(&map, MANY);
    ck_assert_uint_eq(map.count, MANY);
    weir__map_free(&map);
    ck_assert_uint_eq(memory.live, 0);
  }
}
END_TEST

/* A table that cannot grow, whose buckets run over with keys of all lengths,
 * the shortest last: each is found, and what differs in its last bit is not. */
START_TEST(buckets_run_over_with_keys_of_any_length) {
  static struct item some[WEIR__KEY_MOST + 1];
  unsigned char bytes[WEIR__KEY_MOST];
  struct kit_memory memory;
  struct weir__map map;
  uint64_t chance = 12;
  size_t len;

  for (len = 0; len < sizeof bytes; ++len) {
    bytes[len] = (unsigned char)draw(&chance, 256);
  }
  kit_memory_init(&memory);
  memory.fail_at = 3; /* there is one segment */
  memory.fail_on = true;
  weir__map_init(&map, &memory.allocator, &secret);
  for (len = WEIR__KEY_MOST + 1; len-- > 0;) {
    set_key(&some[len], 0);
    some[len].node.key = bytes;
    some[len].node.key_len = (uint32_t)len;
    kit_need(weir__map_insert(&map, &some[len].node) == WEIR_OK);
  }
  ck_assert_uint_eq(map.buckets, 32);
  for (len = 0; len <= WEIR__KEY_MOST; ++len) {
    ck_assert(weir__map_find(&map, bytes, len) == &some[len].node);
    if (len != 0) {
      unsigned char *other = kit_fenced(bytes, len);

      other[len - 1] ^= 0x80;
      ck_assert(weir__map_find(&map, other, len) == NULL);
    }
  }
  weir__map_free(&map);
  ck_assert_uint_eq(memory.live, 0);
}
END_TEST

int main(void) {
  TCase *hash = tcase_create("hash");
  TCase *few = tcase_create("few");
  TCase *many = tcase_create("many");
  TCase *memory = tcase_create("memory");
  TCase *cases[4];

  make_secret(&secret, 1);
  tcase_add_loop_test(hash, hash_is_that_of_the_header, 0, 17);
  tcase_add_loop_test(hash, every_bit_of_a_key_counts, 0, 4);
  tcase_add_test(hash, keys_are_compared_to_their_last_bit);
  tcase_add_test(hash, tags_are_found);
  tcase_add_test(hash, hash_depends_on_the_secret_as_far_as_the_key_goes);
  tcase_add_loop_test(hash, keys_collide_no_more_than_the_bound, 0, 8);
  tcase_add_loop_test(hash, alike_keys_are_spread, 0, 4);
  tcase_add_test(hash, secret_is_drawn_to_its_last_byte);
  tcase_add_test(few, empty_map_has_nothing);
  tcase_add_test(few, keys_that_are_too_long_are_not_there);
  tcase_add_test(few, keys_are_bytes_with_a_length);
  tcase_add_test(few, replaced_node_stands_for_the_other);
  tcase_add_test(many, grows_and_shrinks);
  tcase_add_test(many, free_leaves_an_empty_map);
  tcase_add_test(many, nodes_that_collide_are_all_found);
  tcase_add_test(many, keys_of_one_hash_are_told_apart);
  tcase_add_test(many, any_takes_it_apart);
  tcase_add_loop_test(many, visit_sees_each_once_while_nothing_changes, 0, 11);
  tcase_add_loop_test(many, visit_sees_those_that_stay, 0, 4);
  tcase_add_loop_test(many, agrees_with_the_model, 0, 4);
  tcase_add_loop_test(memory, allocations_fail, 0, 2);
  tcase_add_test(memory, buckets_run_over_with_keys_of_any_length);
  cases[0] = hash;
  cases[1] = few;
  cases[2] = many;
  cases[3] = memory;
  return kit_main("map", cases, 4);
}
