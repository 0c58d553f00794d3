/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "world.h"

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 8
#define BURST_MOST 1000
#define DATA_MOST 65536

static void *count_alloc(void *user, size_t size) {
  struct world *world = user;

  world->live += size;
  return malloc(size);
}

static void count_free(void *user, void *memory, size_t size) {
  struct world *world = user;

  world->live -= size;
  free(memory);
}

static uint64_t read_clock(void *user) {
  const struct world *world = user;

  return world->now;
}

void world_pull(struct world *world, weir_subscriber *subscriber) {
  weir_bytes runs[RUNS];
  size_t count;
  size_t len;
  size_t i;

  while (weir_subscriber_peek(subscriber, runs, RUNS, &count) == WEIR_OK) {
    len = 0;
    for (i = 0; i < count; ++i) {
      len += runs[i].len;
    }
    world->sent += len;
    world->pulls += 1;
    (void)weir_subscriber_consume(subscriber, len);
  }
}

/* The user pointer of a subscriber whose socket is full. */
static char full;

static void notify(void *user, const weir_notice *notice) {
  struct world *world = user;
  weir_bytes runs[RUNS];
  size_t count;

  if (notice->user == &full) {
    (void)weir_subscriber_peek(notice->subscriber, runs, RUNS, &count);
  } else if (notice->kind == WEIR_NOTICE_READABLE ||
             notice->kind == WEIR_NOTICE_CLOSING) {
    world_pull(world, notice->subscriber);
  }
}

void world_begin(struct world *world, const weir_hub_options *options,
                 size_t streams, size_t subscribers) {
  weir_allocator allocator = {sizeof allocator, world, count_alloc, count_free};
  weir_hub_options own;

  weir_hub_options_init(&own, sizeof own);
  if (options != NULL) {
    own = *options;
  }
  memset(world, 0, sizeof *world);
  world->now = 1000000;
  own.allocator = &allocator;
  own.clock = read_clock;
  own.clock_user = world;
  own.notify = notify;
  own.notify_user = world;
  if (weir_hub_new(&own, &world->hub) != WEIR_OK) {
    die("hub");
  }
  world->streams = must(calloc(streams + 1, sizeof *world->streams));
  world->subscribers =
      must(calloc(subscribers + 1, sizeof *world->subscribers));
}

static size_t put_key(char key[32], size_t number) {
  return (size_t)snprintf(key, 32, "stream-%zu", number);
}

void world_open(struct world *world) {
  weir_open_options options;
  char key[32];

  weir_open_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = put_key(key, world->stream_count);
  if (weir_hub_open(world->hub, &options,
                    &world->streams[world->stream_count]) != WEIR_OK) {
    die("open");
  }
  world->stream_count += 1;
}

void world_attach(struct world *world) {
  weir_attach_options options;
  char key[32];
  int verdict;

  weir_attach_options_init(&options, sizeof options);
  options.key = key;
  options.key_len = put_key(key, world->subscriber_count % world->stream_count);
  options.start = WEIR_FROM_START;
  options.user = world->subscriber_count < world->stalled ? &full : NULL;
  if (weir_hub_attach(world->hub, &options,
                      &world->subscribers[world->subscriber_count],
                      &verdict) != WEIR_OK) {
    die("attach");
  }
  world->subscriber_count += 1;
}

void world_publish(struct world *world, size_t stream, size_t count,
                   size_t len) {
  static weir_event events[BURST_MOST];
  static char data[DATA_MOST];
  size_t i;

  if (data[0] == '\0') {
    memset(data, 'x', sizeof data);
  }
  for (i = 0; i < count; ++i) {
    weir_event_init(&events[i], sizeof events[i]);
    events[i].type = "delta";
    events[i].type_len = 5;
    events[i].data = data;
    events[i].data_len = len;
  }
  if (weir_stream_publish(world->streams[stream], events, count, NULL) !=
      WEIR_OK) {
    die("publish");
  }
}

void world_run(struct world *world) {
  do {
    (void)weir_hub_run(world->hub);
  } while (weir_hub_get_timeout(world->hub) == 0);
}

void world_end(struct world *world) {
  size_t i;

  for (i = 0; i < world->subscriber_count; ++i) {
    weir_subscriber_release(world->subscribers[i]);
  }
  for (i = 0; i < world->stream_count; ++i) {
    weir_stream_release(world->streams[i]);
  }
  weir_hub_free(world->hub);
  free(world->streams);
  free(world->subscribers);
}
