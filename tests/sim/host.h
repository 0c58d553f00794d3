/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_HOST_H
#define SIM_HOST_H

/* One process: a hub with its clock and its memory, its turns, and its death.
 * The next process in its place is another host. */

#include <weir/weir.h>

#include "chance.h"
#include "memory.h"
#include "model.h"

struct port;
struct conn;

struct host {
  struct host *next; /* all there ever were */
  unsigned number;
  unsigned place; /* in world.hosts */
  bool up;        /* clients can connect */
  bool draining;
  weir_hub *hub; /* NULL: freed, or dead */
  struct memory memory;
  struct port *port; /* NULL without storage */
  struct chance chance;
  int64_t skew;         /* of its clock */
  uint64_t sampled;     /* the latest time that the hub was told */
  uint64_t deadline;    /* of storage calls */
  uint64_t memory_most; /* bytes of pages; 0: any */
  uint64_t turn;        /* the turn that is planned */
  bool polling;         /* it takes notices with weir_hub_next */
  bool telling;         /* in a notice */
  bool dead;
  uint64_t scarce_until;
  unsigned opening[MODEL_KEYS]; /* opens under way */
  struct conn *conns;
};

/* Start a process in a place. */
struct host *host_begin(unsigned place);

/* Something has been done with its hub, or something is to be done. */
void host_touch(struct host *host);

/* Memory is, or was a short time ago, hard to get. */
bool host_is_scarce(const struct host *host);

/* How far the hub's time can have come, and how far it has. */
uint64_t host_clock(const struct host *host);
uint64_t host_sampled(const struct host *host);

uint64_t host_deadline(const struct host *host);
const weir_hub *host_hub(const struct host *host);
const void *host_port(const struct host *host);
bool host_is_opening(const struct host *host, unsigned key);

/* May it show a client out for this reason? */
bool host_may_close(const struct host *host, const char *reason);

/* A shared stream has grown: tell the others, perhaps. */
void host_hint(struct host *host, const struct generation *generation);

/* Without storage: weir has ended a generation. */
struct fact *host_learn_end(struct generation *generation);

/* All trouble is over: there is memory, and time passes. */
void host_heal(struct host *host);

/* Shut it down in an orderly way: nothing is left. */
void host_shut(struct host *host);

void host_free_all(void);

#endif /* SIM_HOST_H */
