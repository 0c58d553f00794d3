/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Finding an object by its key of 36 bytes, in no order that a cache could
 * guess. The limit knows where the object is, and only looks whether it is the
 * right one. Weir's hash has a secret key; those of the peers have none. */

#include "map.h"
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_glib
/* Its headers are not written for our warnings. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <glib.h>
#pragma GCC diagnostic pop
#endif
#if defined(__has_include) && __has_include(<uthash.h>)
#define HAVE_UTHASH 1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <uthash.h>
#endif

#define KEY 36

struct object {
  struct weir__node node;
  char key[KEY + 1];
};

#ifdef HAVE_UTHASH
struct ut_object {
  UT_hash_handle hh;
  char key[KEY + 1];
};
#endif

struct work {
  size_t count;
  size_t finds;
  struct object **objects;
  struct object **order; /* in which they are sought */
  char (*keys)[KEY + 1]; /* those of order, as a request brings them */
  struct weir__map map;
#ifdef HAVE_glib
  GHashTable *table;
#endif
#ifdef HAVE_UTHASH
  struct ut_object *head;
#endif
};

/* Each way to find, as a turn of its own: the same loop around another call. */
#define TURN(name, find)                              \
  static double name(void *user) {                    \
    struct work *work = user;                         \
    const double before = cpu_ns();                   \
    const char *key;                                  \
    const void *found;                                \
    size_t at = 0;                                    \
    size_t i;                                         \
                                                      \
    for (i = 0; i < work->finds; ++i) {               \
      key = work->keys[at];                           \
      find;                                           \
      if (found == NULL) {                            \
        die("find");                                  \
      }                                               \
      at = at + 1 < work->count ? at + 1 : 0;         \
    }                                                 \
    return (cpu_ns() - before) / (double)work->finds; \
  }

TURN(run_weir, found = weir__map_find(&work->map, key, KEY))
TURN(run_limit, {
  found = work->order[at];
  found = memcmp(work->order[at]->key, key, KEY) == 0 ? found : NULL;
})
#ifdef HAVE_glib
TURN(run_glib, found = g_hash_table_lookup(work->table, key))
#endif
#ifdef HAVE_UTHASH
TURN(run_uthash, {
  struct ut_object *object;

  HASH_FIND(hh, work->head, key, KEY, object);
  found = object;
})
#endif

static void shuffle(struct object **objects, size_t count) {
  uint64_t seed = 2;
  struct object *object;
  size_t i;
  size_t j;

  for (i = count - 1; i > 0; --i) {
    j = draw_below(&seed, i + 1);
    object = objects[i];
    objects[i] = objects[j];
    objects[j] = object;
  }
}

#ifdef HAVE_UTHASH

static void add_uthash(struct work *work, const char *key) {
  struct ut_object *object = must(calloc(1, sizeof *object));

  memcpy(object->key, key, KEY + 1);
  HASH_ADD(hh, work->head, key[0], KEY, object);
}

static void end_uthash(struct work *work) {
  struct ut_object *object;

  while (work->head != NULL) {
    object = work->head;
    HASH_DEL(work->head, object);
    free(object);
  }
}

#else
#define add_uthash(work, key) ((void)(work))
#define end_uthash(work) ((void)(work))
#endif

static void add(struct work *work, size_t i, uint64_t *seed) {
  struct object *object = must(calloc(1, sizeof *object));
  const uint64_t a = draw(seed);
  const uint64_t b = draw(seed);

  (void)snprintf(object->key, sizeof object->key, "%08x-%04x-%04x-%04x-%012llx",
                 (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
                 (unsigned)(a & 0xffff), (unsigned)(b >> 48),
                 (unsigned long long)(b & 0xffffffffffff));
  object->node.key = object->key;
  object->node.key_len = KEY;
  if (weir__map_insert(&work->map, &object->node) != WEIR_OK) {
    die("insert");
  }
#ifdef HAVE_glib
  (void)g_hash_table_insert(work->table, object->key, object);
#endif
  add_uthash(work, object->key);
  work->objects[i] = object;
  work->order[i] = object;
}

static void begin(struct work *work) {
  static const weir_allocator allocator = {0};
  static struct weir__secret secret;
  uint64_t seed = 1;
  size_t i;

  for (i = 0; i < sizeof secret.words / sizeof secret.words[0]; ++i) {
    secret.words[i] = draw(&seed);
  }
  weir__map_init(&work->map, &allocator, &secret);
#ifdef HAVE_glib
  work->table = g_hash_table_new(g_str_hash, g_str_equal);
#endif
  work->objects = must(calloc(work->count, sizeof *work->objects));
  work->order = must(calloc(work->count, sizeof *work->order));
  work->keys = must(calloc(work->count, sizeof *work->keys));
  work->finds = work->count < 1000000 ? 1000000 : work->count;
  for (i = 0; i < work->count; ++i) {
    add(work, i, &seed);
  }
  shuffle(work->order, work->count);
  for (i = 0; i < work->count; ++i) {
    memcpy(work->keys[i], work->order[i]->key, KEY + 1);
  }
}

static void end(struct work *work) {
  size_t i;

  weir__map_free(&work->map);
#ifdef HAVE_glib
  g_hash_table_destroy(work->table);
#endif
  end_uthash(work);
  for (i = 0; i < work->count; ++i) {
    free(work->objects[i]);
  }
  free(work->objects);
  free(work->order);
  free(work->keys);
}

static void measure_lookup(const char *name, size_t count, double bar) {
  struct work work = {0};
  const struct entry entries[] = {
      {"weir", run_weir, &work},
      {"one miss", run_limit, &work},
#ifdef HAVE_glib
      {"glib", run_glib, &work},
#endif
#ifdef HAVE_UTHASH
      {"uthash", run_uthash, &work},
#endif
  };
  const struct row row = {
      name, "ns/find", PEERS,   bar,
      true, 0,         entries, sizeof entries / sizeof entries[0]};

  work.count = count;
  begin(&work);
  row_print(&row);
  end(&work);
}

void bench_lookup(void) {
  group_print("find a key of 36 bytes");
  measure_lookup("1 k", 1000, 2);
  measure_lookup("100 k", 100000, 1.3);
  measure_lookup("1 M", 1000000, 1.3);
}
