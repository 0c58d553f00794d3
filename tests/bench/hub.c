/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The hub in this process, with a transport that takes everything: what weir
 * itself costs, as it grows. */

#include "measure.h"
#include "world.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a subscriber is measured by: an object that a walk has to look at. */
#define OBJECT 256
#define LINE 64

#define EVENT 200
#define BURST 64

/* Deliveries in a turn, at least. */
#define DELIVERIES 200000

struct work {
  struct world world;
  unsigned char **objects; /* as many as there are subscribers */
  size_t object_count;
  size_t burst; /* events published before the loop turns */
};

/* Every line of every object, as often as somebody is delivered something. */
static double run_walk(void *user) {
  const struct work *work = user;
  const size_t count = work->object_count;
  const size_t turns = DELIVERIES / count + 1;
  const double before = cpu_ns();
  size_t i;
  size_t j;
  size_t k;

  for (i = 0; i < turns; ++i) {
    for (j = 0; j < count; ++j) {
      for (k = 0; k < OBJECT; k += LINE) {
        work->objects[j][k] += 1;
      }
    }
  }
  return (cpu_ns() - before) / (double)(turns * count);
}

/* Each stream's events, to each of its subscribers. */
static double run_delivery(void *user) {
  struct work *work = user;
  struct world *world = &work->world;
  const size_t turns = DELIVERIES / (world->subscriber_count * work->burst) + 1;
  const double before = cpu_ns();
  size_t i;
  size_t j;

  for (i = 0; i < turns; ++i) {
    for (j = 0; j < world->stream_count; ++j) {
      world_publish(world, j, work->burst, EVENT);
    }
    world_run(world);
  }
  return (cpu_ns() - before) /
         (double)(turns * world->subscriber_count * work->burst);
}

static void begin_work(struct work *work, size_t streams, size_t subscribers) {
  weir_hub_options options;
  size_t i;

  weir_hub_options_init(&options, sizeof options);
  options.history_bytes = 16384;
  options.max_resident = 0;
  options.max_subscribers = 0;
  options.max_streams = 0;
  world_begin(&work->world, &options, streams, subscribers);
  work->object_count = subscribers;
  work->objects = must(calloc(subscribers, sizeof *work->objects));
  for (i = 0; i < streams; ++i) {
    world_open(&work->world);
  }
  for (i = 0; i < subscribers; ++i) {
    work->objects[i] = must(calloc(1, OBJECT));
    world_attach(&work->world);
  }
  world_run(&work->world);
}

static void end_work(struct work *work) {
  size_t i;

  for (i = 0; i < work->object_count; ++i) {
    free(work->objects[i]);
  }
  free(work->objects);
  world_end(&work->world);
}

static void measure_delivery(size_t streams, size_t subscribers, size_t burst,
                             double bar) {
  static struct work work;
  const struct entry entries[] = {{"weir", run_delivery, &work},
                                  {"walk", run_walk, &work}};
  struct row row = {NULL, "ns/event", LIMIT, bar, true, 0, entries, 2};
  char name[64];

  work.burst = burst;
  begin_work(&work, streams, subscribers);
  (void)snprintf(name, sizeof name, "%zu streams, %zu readers, bursts of %zu",
                 streams, subscribers, burst);
  row.name = name;
  row.against = bar == 0 ? NOBODY : LIMIT;
  row_print(&row);
  end_work(&work);
}

/* --- Coming and going ------------------------------------------------------*/

#define COMERS ((size_t)20000)

static double attach_ns;
static double detach_ns;

/* So many come and go, to the last streams of the world. */
static void come_and_go(struct world *world) {
  const size_t before = world->subscriber_count;
  double begin = cpu_ns();
  size_t i;

  for (i = 0; i < COMERS; ++i) {
    world_attach(world);
  }
  attach_ns = (cpu_ns() - begin) / (double)COMERS;
  world_run(world);
  begin = cpu_ns();
  while (world->subscriber_count > before) {
    world->subscriber_count -= 1;
    weir_subscriber_release(world->subscribers[world->subscriber_count]);
  }
  detach_ns = (cpu_ns() - begin) / (double)COMERS;
}

static double run_attach(void *user) {
  come_and_go(user);
  return attach_ns;
}

static double run_detach(void *user) {
  come_and_go(user);
  return detach_ns;
}

static void measure_coming(size_t streams, size_t subscribers) {
  static struct world world;
  const struct entry attach[] = {{"weir", run_attach, &world}};
  const struct entry detach[] = {{"weir", run_detach, &world}};
  struct row row = {NULL, "ns", FIGURE, 1000, false, 0, attach, 1};
  weir_hub_options options;
  char name[64];

  weir_hub_options_init(&options, sizeof options);
  options.max_subscribers = 0;
  options.max_resident = 0;
  world_begin(&world, &options, streams, subscribers + COMERS);
  while (world.stream_count < streams) {
    world_open(&world);
    world_publish(&world, world.stream_count - 1, 1, EVENT);
  }
  while (world.subscriber_count < subscribers) {
    world_attach(&world);
  }
  world_run(&world);
  row.name = name;
  (void)snprintf(name, sizeof name, "attach, %zu streams, %zu there", streams,
                 subscribers);
  row_print(&row);
  (void)snprintf(name, sizeof name, "detach, %zu streams, %zu there", streams,
                 subscribers);
  row.entries = detach;
  row_print(&row);
  world_end(&world);
}

/* --- Pauses ----------------------------------------------------------------*/

struct pauses {
  size_t streams;
  double open;   /* the longest of each call */
  double expire; /* weir_hub_run while everything is due */
  double forget; /* the same while everything is let go */
};

static double longer(double longest, double begin) {
  const double took = cpu_ns() - begin;

  return took > longest ? took : longest;
}

/* Everything fires at once, and is forgotten at once. */
static void pause_all(struct pauses *pauses) {
  struct world world;
  weir_open_options options;
  weir_stream *stream;
  double begin;
  char key[32];
  size_t i;

  memset(&world, 0, sizeof world);
  world_begin(&world, NULL, 0, 0);
  pauses->open = 0;
  pauses->expire = 0;
  pauses->forget = 0;
  for (i = 0; i < pauses->streams; ++i) {
    weir_open_options_init(&options, sizeof options);
    options.key = key;
    options.key_len = (size_t)snprintf(key, sizeof key, "stream-%zu", i);
    options.idle = 1000;
    options.first_event = 1000;
    options.on_first_event = WEIR_ACTION_FAIL;
    options.linger = 1000;
    begin = cpu_ns();
    if (weir_hub_open(world.hub, &options, &stream) != WEIR_OK) {
      die("open");
    }
    pauses->open = longer(pauses->open, begin);
    weir_stream_release(stream);
  }
  world.now += 1000;
  do {
    begin = cpu_ns();
    (void)weir_hub_run(world.hub);
    pauses->expire = longer(pauses->expire, begin);
  } while (weir_hub_get_timeout(world.hub) == 0);
  world.now += 1000;
  do {
    begin = cpu_ns();
    (void)weir_hub_run(world.hub);
    pauses->forget = longer(pauses->forget, begin);
  } while (weir_hub_get_timeout(world.hub) == 0);
  world_end(&world);
}

static double run_open(void *user) {
  struct pauses *pauses = user;

  pause_all(pauses);
  return pauses->open / 1000;
}

static double run_expire(void *user) {
  struct pauses *pauses = user;

  pause_all(pauses);
  return pauses->expire / 1000;
}

static double run_forget(void *user) {
  struct pauses *pauses = user;

  pause_all(pauses);
  return pauses->forget / 1000;
}

static void measure_pauses(size_t streams) {
  struct pauses pauses = {streams, 0, 0, 0};
  const struct entry open[] = {{"weir", run_open, &pauses}};
  const struct entry expire[] = {{"weir", run_expire, &pauses}};
  const struct entry forget[] = {{"weir", run_forget, &pauses}};
  struct row row = {NULL, "us", FIGURE, 1000, false, 5, open, 1};
  char name[64];

  row.name = name;
  (void)snprintf(name, sizeof name, "longest open, %zu streams", streams);
  row_print(&row);
  row.entries = expire;
  (void)snprintf(name, sizeof name, "longest run, %zu fail at once", streams);
  row_print(&row);
  row.entries = forget;
  (void)snprintf(name, sizeof name, "longest run, %zu forgotten", streams);
  row_print(&row);
}

/* --- Memory ----------------------------------------------------------------*/

#define IDLE ((size_t)10000)
#define OPEN ((size_t)100000)

#define READERS 100
#define STALLED 20

/* What is there after 3000 events of 4 KiB to 100 readers, some of which take
 * nothing. */
static double memory_of_stalled(size_t stalled) {
  struct world world;
  double live;
  int i;

  world_begin(&world, NULL, 1, READERS);
  world.stalled = stalled;
  world_open(&world);
  while (world.subscriber_count < READERS) {
    world_attach(&world);
  }
  for (i = 0; i < 3000; ++i) {
    world_run(&world);
    world_publish(&world, 0, 1, 4096);
  }
  world_run(&world);
  live = (double)world.live;
  world_end(&world);
  return live;
}

static void measure_memory(void) {
  struct world world;
  struct mallinfo2 heap;
  uint64_t before;

  world_begin(&world, NULL, 1, IDLE);
  world_open(&world);
  before = world.live;
  while (world.subscriber_count < IDLE) {
    world_attach(&world);
  }
  world_run(&world);
  figure_print("an idle subscriber", "bytes",
               (double)(world.live - before) / (double)IDLE, FIGURE, 256);
  world_end(&world);

  world_begin(&world, NULL, OPEN, 0);
  before = world.live;
  heap = mallinfo2();
  while (world.stream_count < OPEN) {
    world_open(&world);
    world_publish(&world, world.stream_count - 1, 3, 40);
  }
  figure_print("a stream with three events of 40 B", "bytes",
               (double)(world.live - before) / (double)OPEN, FIGURE, 1024);
  figure_print("the same with what malloc adds", "bytes",
               (double)(mallinfo2().uordblks - heap.uordblks) / (double)OPEN,
               FIGURE, 1024);
  world_end(&world);
  figure_print("a reader that takes nothing, of 20, 12 MB later", "bytes",
               (memory_of_stalled(STALLED) - memory_of_stalled(0)) / STALLED,
               NOBODY, 0);
}

void bench_hub(void) {
  size_t n;

  group_print("publish, and deliver to nowhere");
  for (n = 10; n <= 10000; n *= 10) {
    measure_delivery(1, n, 1, 0);
  }
  for (n = 10; n <= 10000; n *= 10) {
    measure_delivery(1, n, BURST, 0);
  }
  for (n = 1000; n <= 1000000; n *= 10) {
    measure_delivery(n / 10, n, 1, 2);
  }
  group_print("come and go");
  measure_coming(1, 10);
  measure_coming(100, 1000);
  measure_coming(100000, 1000000);
  group_print("pauses");
  for (n = 1000; n <= 100000; n *= 10) {
    measure_pauses(n);
  }
  group_print("memory that the library asks for");
  measure_memory();
}
