/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

/* What kind of world a seed stands for: how many there are of everybody, and
 * which troubles they have. Half of the troubles at random, so that each also
 * comes alone. Shrinking takes them away one by one. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Troubles, and what else makes the world richer. */
#define PLAN_FEATURES(X)                                                  \
  X(LOG, "log")             /* there is storage */                        \
  X(PARTIAL, "partial")     /* sockets take part of what they get */      \
  X(STALL, "stall")         /* clients stop reading for a while */        \
  X(RESET, "reset")         /* connections break, at any byte */          \
  X(SILENT, "silent")       /* and nobody tells the server */             \
  X(DELAY, "delay")         /* the network takes its time */              \
  X(LATER, "later")         /* storage answers later, in any order */     \
  X(TWICE, "twice")         /* storage answers twice */                   \
  X(WRONG, "wrong")         /* storage answers nonsense */                \
  X(NEVER, "never")         /* storage does not answer, or too late */    \
  X(REFUSE, "refuse")       /* storage refuses */                         \
  X(LOST, "lost")           /* storage has lost something, and says so */ \
  X(TRIM, "trim")           /* events are forgotten on purpose */         \
  X(JUMP, "jump")           /* clocks jump */                             \
  X(MEMORY, "memory")       /* memory runs out */                         \
  X(DIE, "die")             /* processes die and come back */             \
  X(CRASH, "crash")         /* and storage forgets what was last */       \
  X(REENTER, "reenter")     /* notices are answered with calls */         \
  X(REPLACE, "replace")     /* producers replace one another */           \
  X(CANCEL, "cancel")       /* producers are cancelled */                 \
  X(SIGNAL, "signal")       /* signals are sent */                        \
  X(HOSTILE, "hostile")     /* clients send cursors they never got */     \
  X(LIMITS, "limits")       /* limits are low */                          \
  X(DUPLICATE, "duplicate") /* clients have names, some the same */       \
  X(EXPIRE, "expire")       /* watchdogs, lifetimes, heartbeats */        \
  X(DRAIN, "drain")         /* servers are shut down in an orderly way */ \
  X(NODES, "nodes")         /* two servers on one storage */              \
  X(SHARED, "shared")       /* storage numbers the events */              \
  X(ENVELOPE, "envelope")   /* events travel in JSON */                   \
  X(ASYNC, "async")         /* writes are under way for a while */

enum {
#define PLAN_BIT(name, text) PLAN_BIT_##name,
  PLAN_FEATURES(PLAN_BIT)
#undef PLAN_BIT
      PLAN_BITS
};

#define HAS(name) \
  ((world.plan.features & ((uint32_t)1 << PLAN_BIT_##name)) != 0)

struct plan {
  uint64_t seed;
  uint64_t steps;
  uint32_t features;
  unsigned clients;
  unsigned keys;
  unsigned producers;
  /* The rest follows from the seed. */
  const char *prefix;
  unsigned pace;           /* ms between the acts of a producer, about */
  size_t event_bytes;      /* at most */
  uint64_t history_events; /* without storage; 0 is any number */
  uint64_t history_bytes;
  bool encoded; /* storage gives back frames */
};

/* What the world of a seed is like. */
void plan_draw(struct plan *plan, uint64_t seed);

const char *plan_feature(unsigned bit);

/* A line that says what is in it. */
void plan_describe(const struct plan *plan, char *text, size_t size);

#endif /* SIM_PLAN_H */
