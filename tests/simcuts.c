/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "simdisk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit.h"

/* Items of which the last one that came to the disk counts: the versions of a
 * sector, of a size; or one change of a name. */
struct simunit {
  size_t *items;
  size_t count;
};

static void *make(size_t size) {
  void *made = calloc(1, size + 1);

  kit_need(made != NULL);
  return made;
}

/* --- What there is to choose from ------------------------------------------*/

static bool belong_together(const struct simitem *a, const struct simitem *b) {
  return a->kind == b->kind && a->kind != SIM_ITEM_NAME && a->file == b->file &&
         (a->kind == SIM_ITEM_SIZE || a->at == b->at);
}

static void add_to_unit(struct simcuts *cuts, size_t item) {
  const struct simitem *items = cuts->disk->items;
  struct simunit *unit;
  size_t i = 0;

  while (i < cuts->unit_count &&
         !belong_together(&items[cuts->units[i].items[0]], &items[item])) {
    i += 1;
  }
  unit = &cuts->units[i];
  if (i == cuts->unit_count) {
    cuts->unit_count += 1;
    cuts->sector_count += items[item].kind == SIM_ITEM_SECTOR;
  }
  unit->items = realloc(unit->items, (unit->count + 1) * sizeof unit->items[0]);
  kit_need(unit->items != NULL);
  unit->items[unit->count++] = item;
}

void simcuts_init(struct simcuts *cuts, const struct simdisk *disk) {
  size_t i;

  memset(cuts, 0, sizeof *cuts);
  cuts->disk = disk;
  cuts->sectors = 12;
  cuts->subsets = 256;
  cuts->seed = 1;
  cuts->units = make(disk->item_count * sizeof cuts->units[0]);
  cuts->chosen = make(disk->item_count);
  cuts->combinations = 65536;
  for (i = 0; i < disk->item_count; ++i) {
    add_to_unit(cuts, i);
  }
}

void simcuts_free(struct simcuts *cuts) {
  size_t i;

  for (i = 0; i < cuts->unit_count; ++i) {
    free(cuts->units[i].items);
  }
  free(cuts->units);
  free(cuts->chosen);
  free(cuts->seen);
  memset(cuts, 0, sizeof *cuts);
}

/* --- One choice ------------------------------------------------------------*/

/* One of the sectors that did not come to the disk did so in part. */
static void tear(struct simcuts *cuts) {
  const struct simitem *item;
  size_t candidates = 0;
  size_t pick;
  size_t i;

  cuts->torn = cuts->disk->item_count;
  for (i = 0; i < cuts->disk->item_count; ++i) {
    candidates +=
        cuts->disk->items[i].kind == SIM_ITEM_SECTOR && !cuts->chosen[i];
  }
  if (candidates == 0) {
    return;
  }
  pick = (size_t)(sim_draw(&cuts->seed) % candidates);
  for (i = 0; i < cuts->disk->item_count; ++i) {
    item = &cuts->disk->items[i];
    if (item->kind == SIM_ITEM_SECTOR && !cuts->chosen[i] && pick-- == 0) {
      cuts->torn = i;
      cuts->torn_at = item->from +
                      (size_t)(sim_draw(&cuts->seed) % (item->to - item->from));
    }
  }
}

/* Of each unit, the version of this number: 0 is what was synced. */
static void choose_version(struct simcuts *cuts, const struct simunit *unit,
                           size_t version) {
  if (version != 0) {
    cuts->chosen[unit->items[version - 1]] = 1;
  }
}

static void choose_combination(struct simcuts *cuts, uint64_t number) {
  size_t i;

  memset(cuts->chosen, 0, cuts->disk->item_count);
  for (i = 0; i < cuts->unit_count; ++i) {
    choose_version(cuts, &cuts->units[i],
                   (size_t)(number % (cuts->units[i].count + 1)));
    number /= cuts->units[i].count + 1;
  }
}

/* Of each unit, what it was or what it has become. */
static void choose_whole(struct simcuts *cuts, uint64_t number) {
  size_t i;

  memset(cuts->chosen, 0, cuts->disk->item_count);
  for (i = 0; i < cuts->unit_count; ++i, number /= 2) {
    choose_version(cuts, &cuts->units[i],
                   number % 2 == 0 ? 0 : cuts->units[i].count);
  }
}

static void choose_prefix(struct simcuts *cuts, uint64_t number) {
  memset(cuts->chosen, 0, cuts->disk->item_count);
  memset(cuts->chosen, 1, (size_t)number);
}

static void choose_subset(struct simcuts *cuts) {
  const uint64_t kind = sim_draw(&cuts->seed) % 3;
  size_t count;
  size_t i;

  memset(cuts->chosen, 0, cuts->disk->item_count);
  for (i = 0; i < cuts->unit_count; ++i) {
    count = cuts->units[i].count;
    /* Much, little, or anything of it. */
    if (kind == 2 || (sim_draw(&cuts->seed) % 4 == 0) == (kind == 0)) {
      choose_version(cuts, &cuts->units[i],
                     (size_t)(sim_draw(&cuts->seed) % (count + 1)));
    } else {
      choose_version(cuts, &cuts->units[i], kind == 0 ? count : 0);
    }
  }
}

/* --- The disk that it leaves -----------------------------------------------*/

static bool touches(const struct simitem *item, const char *name) {
  return name[0] != '\0' &&
         (strcmp(item->name, name) == 0 || strcmp(item->old, name) == 0);
}

/* A change of a name comes to the disk only after those before it of the same
 * names. */
static bool is_possible(const struct simcuts *cuts, size_t i) {
  const struct simitem *items = cuts->disk->items;
  size_t before;

  for (before = 0; before < i; ++before) {
    if (items[before].kind == SIM_ITEM_NAME &&
        (touches(&items[before], items[i].name) ||
         touches(&items[before], items[i].old)) &&
        !cuts->chosen[before]) {
      return false;
    }
  }
  return true;
}

struct names {
  struct simname list[256];
  size_t count;
};

static void set_name(struct names *names, const char *text,
                     struct simfile *file) {
  size_t i = 0;

  while (i < names->count && strcmp(names->list[i].text, text) != 0) {
    i += 1;
  }
  if (i == names->count) {
    kit_need(i < sizeof names->list / sizeof names->list[0]);
    names->count += 1;
    strcpy(names->list[i].text, text);
  }
  names->list[i].file = file;
}

static void choose_names(struct simcuts *cuts, struct names *names) {
  const struct simdisk *disk = cuts->disk;
  const struct simitem *item;
  size_t i;

  names->count = 0;
  for (i = 0; i < disk->disk_name_count; ++i) {
    set_name(names, disk->disk_names[i].text, disk->disk_names[i].file);
  }
  for (i = 0; i < disk->item_count; ++i) {
    item = &disk->items[i];
    if (item->kind != SIM_ITEM_NAME || !cuts->chosen[i]) {
      continue;
    }
    if (!is_possible(cuts, i)) {
      cuts->chosen[i] = 0;
      continue;
    }
    if (item->old[0] != '\0') {
      set_name(names, item->old, NULL);
    }
    set_name(names, item->name, item->file);
  }
}

/* The bytes of a file after the cut; *size of them. */
static unsigned char *make_bytes(const struct simcuts *cuts,
                                 const struct simfile *file, uint64_t *size) {
  const struct simdisk *disk = cuts->disk;
  unsigned char *bytes = make((size_t)file->cap);
  const struct simitem *item;
  size_t i;

  if (file->cap != 0) {
    memcpy(bytes, file->disk, (size_t)file->cap);
  }
  *size = file->disk_size;
  for (i = 0; i < disk->item_count; ++i) {
    item = &disk->items[i];
    if (item->file != file || item->kind == SIM_ITEM_NAME) {
      continue;
    }
    if (i == cuts->torn) {
      memcpy(bytes + item->at, item->bytes, cuts->torn_at);
    } else if (cuts->chosen[i] && item->kind == SIM_ITEM_SECTOR) {
      memcpy(bytes + item->at, item->bytes, SIM_SECTOR);
    } else if (cuts->chosen[i]) {
      *size = item->at;
    }
  }
  return bytes;
}

static uint64_t mix(uint64_t hash, const void *data, size_t len) {
  const unsigned char *p = data;
  uint64_t word;

  for (; len != 0; p += sizeof word) {
    word = 0;
    memcpy(&word, p, len < sizeof word ? len : sizeof word);
    hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
    hash ^= hash >> 29;
    len -= len < sizeof word ? len : sizeof word;
  }
  return hash;
}

static void build(struct simcuts *cuts, struct simdisk *state, uint64_t *hash) {
  struct names names;
  unsigned char *bytes;
  uint64_t size;
  uint64_t sum = 0;
  size_t i;

  simdisk_init(state);
  choose_names(cuts, &names);
  for (i = 0; i < names.count; ++i) {
    if (names.list[i].file == NULL) {
      continue;
    }
    bytes = make_bytes(cuts, names.list[i].file, &size);
    simdisk_put(state, names.list[i].text, bytes, size);
    /* Whatever the order of names. */
    sum += mix(mix(size + 1, names.list[i].text, strlen(names.list[i].text)),
               bytes, (size_t)size);
    free(bytes);
  }
  *hash = sum;
}

/* --- One after the other ---------------------------------------------------*/

static bool put_hash(uint64_t *table, size_t cap, uint64_t hash) {
  size_t i = (size_t)hash & (cap - 1);

  while (table[i] != 0 && table[i] != hash) {
    i = (i + 1) & (cap - 1);
  }
  if (table[i] == hash) {
    return false;
  }
  table[i] = hash;
  return true;
}

/* Remember a state; false: it has been already. */
static bool is_new(struct simcuts *cuts, uint64_t hash) {
  const size_t cap = cuts->seen_cap == 0 ? 64 : cuts->seen_cap * 2;
  uint64_t *table;
  size_t i;

  if (cuts->seen_count * 2 >= cuts->seen_cap) {
    table = make(cap * sizeof *table);
    for (i = 0; i < cuts->seen_cap; ++i) {
      if (cuts->seen[i] != 0) {
        (void)put_hash(table, cap, cuts->seen[i]);
      }
    }
    free(cuts->seen);
    cuts->seen = table;
    cuts->seen_cap = cap;
  }
  if (!put_hash(cuts->seen, cuts->seen_cap, hash | 1)) {
    return false;
  }
  cuts->seen_count += 1;
  return true;
}

/* The product of one factor a unit; 0: more than is wanted. */
static uint64_t count_all(const struct simcuts *cuts, bool versions) {
  uint64_t product = 1;
  size_t i;

  for (i = 0; i < cuts->unit_count; ++i) {
    product *= versions ? cuts->units[i].count + 1 : 2;
    if (product > cuts->combinations) {
      return 0;
    }
  }
  return product;
}

static void begin(struct simcuts *cuts) {
  const bool few = cuts->sector_count <= cuts->sectors;
  uint64_t count = few ? count_all(cuts, true) : 0;

  cuts->is_exhaustive = count != 0;
  if (!cuts->is_exhaustive) {
    cuts->whole = few ? count_all(cuts, false) : 0;
    count = cuts->whole + cuts->disk->item_count + 1 + cuts->subsets;
  }
  /* Each choice comes as it is, and then with a torn sector. */
  cuts->end = count * 2;
}

static void choose(struct simcuts *cuts) {
  const uint64_t number = cuts->next / 2;

  if (cuts->next % 2 != 0) {
    tear(cuts);
    return;
  }
  cuts->torn = cuts->disk->item_count;
  if (cuts->is_exhaustive) {
    choose_combination(cuts, number);
  } else if (number < cuts->whole) {
    choose_whole(cuts, number);
  } else if (number - cuts->whole <= cuts->disk->item_count) {
    choose_prefix(cuts, number - cuts->whole);
  } else {
    choose_subset(cuts);
  }
}

bool simcuts_next(struct simcuts *cuts, struct simdisk *state) {
  uint64_t hash;

  if (cuts->end == 0) {
    begin(cuts);
  }
  for (; cuts->next < cuts->end; simdisk_free(state)) {
    choose(cuts);
    cuts->next += 1;
    build(cuts, state, &hash);
    if (is_new(cuts, hash)) {
      return true;
    }
  }
  return false;
}

const char *simcuts_describe(const struct simcuts *cuts) {
  static char text[256];
  size_t len = 0;
  size_t i;

  len += (size_t)snprintf(text, sizeof text, "cut %llu, of %zu items:",
                          (unsigned long long)cuts->next - 1,
                          cuts->disk->item_count);
  for (i = 0; i < cuts->disk->item_count && len + 8 < sizeof text; ++i) {
    if (cuts->chosen[i]) {
      len += (size_t)snprintf(text + len, sizeof text - len, " %zu", i);
    }
  }
  if (cuts->torn < cuts->disk->item_count && len + 32 < sizeof text) {
    (void)snprintf(text + len, sizeof text - len, ", %zu torn at %zu",
                   cuts->torn, cuts->torn_at);
  }
  return text;
}
