/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

/* The world: one in a process, which is over with it. Everything that is in it
 * can be reached from here. */

#include "agenda.h"
#include "chance.h"
#include "model.h"
#include "plan.h"
#include "trace.h"

/* What there was, for a line of figures. */
struct tally {
  uint64_t steps;
  uint64_t connections;
  uint64_t events;
  uint64_t signals;
  uint64_t deliveries; /* events that came to a client */
  uint64_t bytes;      /* that did */
  uint64_t calls;      /* of storage */
  uint64_t wrongs;     /* of them that went wrong somehow */
  uint64_t deaths;
  uint64_t scarce; /* allocations that failed */
  uint64_t gaps;   /* that clients were told of */
  uint64_t ends;   /* that clients saw */
  uint64_t ms;     /* of virtual time */
  uint64_t hash;
  uint64_t verdicts[10];
};

#define WORLD_HOSTS 2

struct world {
  struct plan plan;
  struct agenda agenda;
  struct model model;
  struct tally tally;
  uint64_t step;
  bool healed; /* no more trouble, and nobody begins anything */
  struct host *hosts[WORLD_HOSTS];
  unsigned host_count;
  struct client *clients;
  struct producer *producers;
};

extern struct world world;

/* Run the world of a plan to its end. */
void world_run(const struct plan *plan);

/* Draw: is there to be trouble of this kind now? */
#define TROUBLE(chance, name, permille) \
  (HAS(name) && !world.healed && chance_permille(chance, permille))

#endif /* SIM_WORLD_H */
