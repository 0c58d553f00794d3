/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* paths NAME: go one hot path so many times, for callgrind to count (count.sh),
 * and say how many times that was. Without a name: all names. */

#include "map.h"
#include "measure.h"
#include "timer.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

#define READERS ((size_t)100)
#define TIMES ((size_t)2000)

/* What the paths need, made ready before anything is counted. */
static struct {
  weir_frame frame;
  unsigned char data[4096];
  unsigned char out[65536];
  struct weir__wheel wheel;
  struct weir__timer timers[1000];
  struct weir__map map;
  struct weir__node nodes[1000];
  char keys[1000][37];
  struct world world;
} all;

static const char id[] = "mfzwizltorswk-123456";

/* --- Encoding --- */

static void begin_encode(size_t len, size_t line) {
  size_t i;

  for (i = 0; i < len; ++i) {
    all.data[i] = line != 0 && i % line == line - 1 ? '\n' : 'x';
  }
  weir_frame_init(&all.frame, sizeof all.frame);
  all.frame.type = "delta";
  all.frame.type_len = 5;
  all.frame.data = all.data;
  all.frame.data_len = len;
}

static void begin_encode_32(void) {
  begin_encode(32, 0);
}

static void begin_encode_256(void) {
  begin_encode(256, 0);
}

static void begin_encode_4096(void) {
  begin_encode(4096, 0);
}

static void begin_encode_lines(void) {
  begin_encode(4096, 80);
}

static void go_encode(size_t i) {
  size_t len;

  (void)i;
  (void)weir_frame_encode_event(&all.frame, id, sizeof id - 1, all.out,
                                sizeof all.out, &len);
}

static void go_cursor(size_t i) {
  const weir_cursor cursor = {UINT64_C(0x123456789abcdef), 100000 + i};
  weir_cursor back;
  size_t len;

  (void)weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, all.out, sizeof all.out,
                           &len);
  (void)weir_cursor_parse(WEIR_CURSOR_EPOCH, all.out, len, &back);
}

static void begin_nothing(void) {
}

/* --- Timers and keys --- */

static void begin_timers(void) {
  size_t i;

  weir__wheel_init(&all.wheel, 1000);
  for (i = 0; i < 1000; ++i) {
    weir__timer_init(&all.timers[i], 0);
    weir__timer_start(&all.wheel, &all.timers[i], 13000 + i);
  }
}

static void go_rearm(size_t i) {
  weir__timer_start(&all.wheel, &all.timers[i * 7 % 1000], 14000 + i);
}

static void go_restart(size_t i) {
  weir__timer_stop(&all.wheel, &all.timers[i * 7 % 1000]);
  weir__timer_start(&all.wheel, &all.timers[i * 7 % 1000], 14000 + i);
}

static void begin_keys(void) {
  static const weir_allocator allocator = {0};
  static struct weir__secret secret;
  uint64_t seed = 1;
  size_t i;

  for (i = 0; i < sizeof secret.words / sizeof secret.words[0]; ++i) {
    secret.words[i] = draw(&seed);
  }
  weir__map_init(&all.map, &allocator, &secret);
  for (i = 0; i < 1000; ++i) {
    (void)snprintf(all.keys[i], sizeof all.keys[i], "%036zu", i);
    all.nodes[i].key = all.keys[i];
    all.nodes[i].key_len = 36;
    (void)weir__map_insert(&all.map, &all.nodes[i]);
  }
}

static void go_find(size_t i) {
  if (weir__map_find(&all.map, all.keys[i * 7 % 1000], 36) == NULL) {
    die("find");
  }
}

/* --- A hub --- */

static void begin_world(size_t readers) {
  world_begin(&all.world, NULL, 1, TIMES + READERS);
  world_open(&all.world);
  while (all.world.subscriber_count < readers) {
    world_attach(&all.world);
  }
  world_run(&all.world);
}

static void begin_publish(void) {
  begin_world(0);
}

static void go_publish(size_t i) {
  (void)i;
  world_publish(&all.world, 0, 1, 200);
}

static void begin_deliver(void) {
  begin_world(READERS);
}

static void go_deliver(size_t i) {
  (void)i;
  world_publish(&all.world, 0, 1, 200);
  world_run(&all.world);
}

static void begin_attach(void) {
  begin_world(0);
  world_publish(&all.world, 0, 1, 200);
}

static void go_attach(size_t i) {
  (void)i;
  world_attach(&all.world);
}

static void begin_replay(void) {
  begin_world(0);
  world_publish(&all.world, 0, 100, 200);
  while (all.world.subscriber_count < TIMES) {
    world_attach(&all.world);
  }
}

static void go_replay(size_t i) {
  world_pull(&all.world, all.world.subscribers[i]);
}

/* Named after what it is divided by: one event, call, or reader. */
static const struct path {
  const char *name;
  void (*begin)(void);
  void (*go)(size_t i);
  size_t units; /* of one time */
} paths[] = {
    {"encode-32", begin_encode_32, go_encode, 1},
    {"encode-256", begin_encode_256, go_encode, 1},
    {"encode-4096", begin_encode_4096, go_encode, 1},
    {"encode-4096-lines-of-80", begin_encode_lines, go_encode, 1},
    {"cursor-format-and-parse", begin_nothing, go_cursor, 1},
    {"timer-rearm", begin_timers, go_rearm, 1},
    {"timer-stop-and-start", begin_timers, go_restart, 1},
    {"find-key", begin_keys, go_find, 1},
    {"publish", begin_publish, go_publish, 1},
    {"publish-and-deliver-to-100", begin_deliver, go_deliver, READERS},
    {"attach", begin_attach, go_attach, 1},
    {"replay-100-events", begin_replay, go_replay, 1},
};

/* What is counted, by its name. */
void weir_bench_count(const struct path *path);
__attribute__((noinline)) void weir_bench_count(const struct path *path) {
  size_t i;

  for (i = 0; i < TIMES; ++i) {
    path->go(i);
  }
}

int main(int argc, char **argv) {
  size_t i;

  for (i = 0; i < sizeof paths / sizeof paths[0]; ++i) {
    if (argc < 2) {
      printf("%s\n", paths[i].name);
    } else if (strcmp(argv[1], paths[i].name) == 0) {
      paths[i].begin();
      weir_bench_count(&paths[i]);
      printf("%zu\n", TIMES * paths[i].units);
    }
  }
  return 0;
}
