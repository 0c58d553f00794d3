/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef BENCH_WORLD_H
#define BENCH_WORLD_H

/* A hub with streams and subscribers, a clock that stands still unless told
 * otherwise, memory that is counted, and a transport that takes everything and
 * sends nothing. */

#include <stddef.h>
#include <stdint.h>

#include <weir/weir.h>

struct world {
  weir_hub *hub;
  uint64_t now;
  weir_stream **streams;
  size_t stream_count;
  weir_subscriber **subscribers; /* number i reads stream i % stream_count */
  size_t subscriber_count;
  size_t stalled; /* those with a lower number take nothing */
  uint64_t sent;  /* bytes */
  uint64_t pulls; /* peeks that showed something */
  uint64_t live;  /* bytes that the hub has */
};

/* Nobody and nothing, with room for as many. options may be NULL. */
void world_begin(struct world *world, const weir_hub_options *options,
                 size_t streams, size_t subscribers);

/* One stream more, whose key is its number; one subscriber more, from the
 * start. */
void world_open(struct world *world);
void world_attach(struct world *world);

/* Publish so many events of len bytes at once. */
void world_publish(struct world *world, size_t stream, size_t count,
                   size_t len);

/* Hand out notices, and send what they say is there. */
void world_run(struct world *world);

/* Send a subscriber what there is for it. */
void world_pull(struct world *world, weir_subscriber *subscriber);

void world_end(struct world *world);

#endif /* BENCH_WORLD_H */
