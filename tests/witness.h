/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_WITNESS_H
#define WEIR_WITNESS_H

/* Clients that remember what they were given, and what was published for them
 * to be given: after whatever has happened to a log it can be said whether they
 * have missed something in silence. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/weir.h>

/* Everything that was published, each with bytes of its own: fact number id,
 * from 1. */
struct fact {
  uint64_t generation;
  uint64_t epoch;
  uint64_t seq;
  uint32_t batch; /* the first fact of those that were published with it */
  bool acked;
};

struct facts {
  struct fact *list;
  size_t count;
  size_t cap;
};

/* Add one, of a batch (0: it is the first of one); fails if its epoch has given
 * that number already. */
uint32_t facts_add(struct facts *facts, uint64_t generation, uint64_t epoch,
                   uint64_t seq, uint32_t batch);
void facts_free(struct facts *facts);

/* The data of a fact, of which every second one is longer than 100 bytes and
 * some are longer than a segment. */
#define FACT_MOST 6000
size_t fact_data(uint32_t id, char dst[FACT_MOST]);

/* The most numbers of a generation that are remembered. */
#define WITNESS_MOST 512

/* What stands for a number instead of a fact. */
#define WITNESS_NOTHING 0u
#define WITNESS_LOST 0xffffffffu /* the client was told that it is lost */
#define WITNESS_END 0xfffffffeu  /* the end of its generation */

struct witness {
  const struct facts *facts;
  uint64_t generation; /* 0: it has had no connection */
  char last_id[WEIR_CURSOR_MAX + 1];
  uint64_t at; /* the number in that */
  uint32_t held[WITNESS_MOST];
  bool ended; /* it has seen the end of its generation */
  /* Of this connection. */
  bool has_begun; /* there was a `ready` */
  bool has_gap;   /* there was a gap */
};

void witness_init(struct witness *witness, const struct facts *facts);

/* A connection begins. */
void witness_connect(struct witness *witness);

/* It has been given these bytes, which are whole frames: fails if anything in
 * them is not what was published, or is skipped in silence. */
void witness_feed(struct witness *witness, const char *bytes, size_t len);

/* Read a subscriber until it has nothing more. */
int witness_read(struct witness *witness, weir_subscriber *subscriber);

/* Fails if a witness who began anew has had a part of a batch, of which the
 * rest is neither lost nor there. */
void witness_expect_whole(const struct witness *witness);

/* Fails if a witness has missed something in silence that another, who began
 * anew, has had; or holds something else. */
void witness_compare(const struct witness *witness,
                     const struct witness *other);

#endif /* WEIR_WITNESS_H */
