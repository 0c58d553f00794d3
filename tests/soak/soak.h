/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_SOAK_H
#define WEIR_SOAK_H

/* Load for the reference server, for minutes: see README. All of it is one
 * process with one loop, beside the server's. What does not hold is said, and
 * ends both. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../kit.h"

/* What the server is told, and what follows from it for what it may say. */
#define HISTORY_EVENTS 24   /* kept of a stream, without a log */
#define KEEP_BYTES 1048576u /* of the log */
#define LINGER 10000        /* ms that an ended stream is there */

/* ms to wait for what should be there long before. */
#define PATIENCE 60000

/* --- soak.c ----------------------------------------------------------------*/

/* Whoever waits for a descriptor. */
struct watcher {
  void (*happened)(struct watcher *watcher, unsigned events);
  int fd; /* -1: none */
};

struct soak {
  pid_t pid; /* of the server */
  int port;
  int epoll;
  bool has_log;
  bool is_ending; /* nothing new begins: all read to the end */
  uint64_t now;   /* ms */
  uint64_t moved; /* when something has last come of all this */
  char buffer[65536];
  /* What has been done and seen. */
  uint64_t cuts;
  uint64_t returns;
  uint64_t events;
  uint64_t signals;
  uint64_t gaps;
  uint64_t late;   /* found their stream gone, which had ended long before */
  uint64_t resets; /* by the server */
  uint64_t pests;
};
extern struct soak soak;

/* Say what is wrong, and end. */
_Noreturn void die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* A number below another. */
uint64_t below(uint64_t limit);

/* A connection to the server, of which events are to be heard. A receive buffer
 * of 0 is the system's own. */
void watch(struct watcher *watcher, unsigned events, int receive_buffer);

/* Send all of something small. false: the connection is broken. */
bool say(const struct watcher *watcher, const char *bytes, size_t len);

/* Cut the connection. */
void cut(struct watcher *watcher);

/* --- publishers.c ----------------------------------------------------------*/

/* One run of a stream. Its key is never used again. */
struct generation {
  struct generation *next; /* of all there have been */
  char key[32];
  char epoch[16];
  unsigned number;
  uint64_t sent;  /* events that the server has been given, its end too */
  uint64_t ended; /* the number of its end; 0: it has none */
  uint64_t ended_at;
  size_t text_most;         /* of an event's data, about */
  uint64_t sent_bytes[256]; /* of all streams' data, at each event */
};

#define STREAMS 100

/* The run that a stream is in; NULL: just none. */
struct generation *current(size_t stream);

/* The data of an event, until the next call. */
const char *text_of(const struct generation *generation, uint64_t seq,
                    size_t *len);

/* Whether the server may have forgotten all up to here. */
bool may_be_gone(const struct generation *generation, uint64_t seq);

void publishers_begin(void);
void publishers_turn(void);

/* Whether each has ended its stream and been told so. */
bool publishers_are_done(void);

/* Streams that there have been. */
unsigned publishers_generations(void);
void publishers_end(void);

/* --- readers.c -------------------------------------------------------------*/

void readers_begin(size_t count);
void readers_turn(void);
bool readers_are_done(void);
void readers_end(void);
size_t readers_connected(void);

/* Whether each of them has been connected. */
bool readers_have_come(void);

/* --- pests.c ---------------------------------------------------------------*/

/* Those who never read, and those who send garbage. */
void pests_begin(size_t count);
void pests_turn(void);
void pests_end(void);

#endif /* WEIR_SOAK_H */
