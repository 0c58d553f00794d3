/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The reference server beside a bare loop of writes and nchan, each in a
 * process of its own, with its clients in another, over loopback. */

#include "crowd.h"
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BURST 64
#define SERVERS 3

/* Events in a turn of single ones. */
#define SINGLES 5

struct side {
  struct server server;
  struct crowd *crowd;
  size_t clients;
  int (*start)(struct server *server);
  const char *log;
  int missing;
};

static size_t clients_most(void) {
  struct rlimit limit;

  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    die("getrlimit");
  }
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur > 10200 ? 10000 : (size_t)limit.rlim_cur - 200;
}

static int start_weir(struct server *server) {
  return server_start_weir(server, NULL);
}

static void begin_sides(struct side *sides, size_t clients) {
  static int (*const starts[SERVERS])(struct server *) = {
      start_weir, server_start_bare, server_start_nchan};
  int i;

  memset(sides, 0, SERVERS * sizeof *sides);
  for (i = 0; i < SERVERS; ++i) {
    sides[i].clients = clients;
    sides[i].start = starts[i];
    sides[i].missing = starts[i](&sides[i].server) != 0;
  }
}

/* One after the other, since a machine has only so many ports. */
static void fill_sides(struct side *sides) {
  int i;

  for (i = 0; i < SERVERS; ++i) {
    if (!sides[i].missing) {
      server_publish(&sides[i].server, 1); /* so that the stream is there */
      sides[i].crowd = crowd_come(&sides[i].server, sides[i].clients, NULL);
      crowd_wait(sides[i].crowd, 0);
      server_calm(&sides[i].server);
    }
  }
}

static void end_sides(struct side *sides) {
  int i;

  for (i = 0; i < SERVERS; ++i) {
    if (sides[i].crowd != NULL) {
      crowd_go(sides[i].crowd);
    }
    server_stop(&sides[i].server);
  }
}

/* Publish, and wait until everybody has it. */
static void deliver(struct side *side, size_t count) {
  const uint64_t before = crowd_events(side->crowd);

  server_publish(&side->server, count);
  crowd_wait(side->crowd, before + count * side->clients);
}

static double run_singles(void *user) {
  struct side *side = user;
  double before;
  int i;

  if (side->missing) {
    return -1;
  }
  before = server_cpu(&side->server);
  for (i = 0; i < SINGLES; ++i) {
    deliver(side, 1);
  }
  return (server_cpu(&side->server) - before) /
         (double)(SINGLES * side->clients);
}

static double run_burst(void *user) {
  struct side *side = user;
  double before;

  if (side->missing) {
    return -1;
  }
  before = server_cpu(&side->server);
  deliver(side, BURST);
  return (server_cpu(&side->server) - before) / (double)(BURST * side->clients);
}

static void sides_print(const char *name, const char *unit, struct side *sides,
                        double (*run)(void *), enum against against, double bar,
                        int rounds) {
  const struct entry entries[SERVERS] = {{"weir", run, &sides[0]},
                                         {"bare loop", run, &sides[1]},
                                         {"nchan", run, &sides[2]}};
  const struct row row = {name, unit,   against, bar,
                          true, rounds, entries, SERVERS};

  row_print(&row);
}

static void measure_delivery(size_t clients) {
  struct side sides[SERVERS];
  char name[64];

  begin_sides(sides, clients);
  fill_sides(sides);
  (void)snprintf(name, sizeof name, "one event to %zu", clients);
  sides_print(name, "ns/event", sides, run_singles, LIMIT, 1.08, 11);
  (void)snprintf(name, sizeof name, "64 at once to %zu", clients);
  sides_print(name, "ns/event", sides, run_burst, LIMIT, 1.3, 5);
  end_sides(sides);
}

/* --- Latency ---------------------------------------------------------------*/

#define LISTENERS ((size_t)1000)

/* So many events, one each so many us: a tenth of what a server that needs 5 us
 * for each delivery could bear. */
#define LATENCY_EVENTS 20
#define LATENCY_STEP 50000

static void spread(struct side *side) {
  const uint64_t before = crowd_events(side->crowd);
  int i;

  crowd_forget(side->crowd);
  for (i = 0; i < LATENCY_EVENTS; ++i) {
    server_publish(&side->server, 1);
    (void)usleep(LATENCY_STEP);
  }
  crowd_wait(side->crowd, before + LATENCY_EVENTS * side->clients);
}

static double run_p50(void *user) {
  struct side *side = user;

  if (side->missing) {
    return -1;
  }
  spread(side);
  return crowd_latency(side->crowd, 0.5);
}

static double run_p99(void *user) {
  struct side *side = user;

  if (side->missing) {
    return -1;
  }
  spread(side);
  return crowd_latency(side->crowd, 0.99);
}

static void measure_latency(void) {
  struct side sides[SERVERS];

  begin_sides(sides, LISTENERS);
  fill_sides(sides);
  sides_print("publish to receipt, 1000 readers, p50", "us wall", sides,
              run_p50, NOBODY, 0, 5);
  sides_print("publish to receipt, 1000 readers, p99", "us wall", sides,
              run_p99, NOBODY, 0, 5);
  end_sides(sides);
}

/* --- Those who come back ---------------------------------------------------*/

static double storm(struct side *side) {
  const double before = server_cpu(&side->server);
  double used;

  side->crowd = crowd_come(&side->server, side->clients, side->server.last_id);
  crowd_wait(side->crowd, side->clients * BEHIND);
  used = server_cpu(&side->server) - before;
  if (crowd_events(side->crowd) != side->clients * BEHIND) {
    printf("%s: %llu events instead of %zu\n", side->server.name,
           (unsigned long long)crowd_events(side->crowd),
           side->clients * BEHIND);
  }
  crowd_go(side->crowd);
  side->crowd = NULL;
  server_calm(&side->server);
  return used / (double)(side->clients * BEHIND);
}

static double run_storm(void *user) {
  struct side *side = user;

  return side->missing ? -1 : storm(side);
}

static double reads_of_storm;

/* The server has been stopped and started again in between. */
static double run_restarted(void *user) {
  struct side *side = user;
  double used;

  if (side->log != NULL) {
    char id[sizeof side->server.last_id];

    memcpy(id, side->server.last_id, sizeof id);
    server_stop(&side->server);
    (void)server_start_weir(&side->server, side->log);
    memcpy(side->server.last_id, id, sizeof id);
  }
  used = storm(side);
  if (side->log != NULL) {
    reads_of_storm = server_stat(&side->server, "log_reads_total");
  }
  return used;
}

static void measure_storm(size_t clients) {
  struct side sides[SERVERS];
  char name[64];
  int i;

  begin_sides(sides, clients);
  for (i = 0; i < SERVERS; ++i) {
    if (!sides[i].missing) {
      server_fill(&sides[i].server);
    }
  }
  (void)snprintf(name, sizeof name, "%zu come back, 100 behind", clients);
  sides_print(name, "ns/event", sides, run_storm, LIMIT, 1.3, 5);
  end_sides(sides);
}

static void measure_restart(size_t clients) {
  char directory[] = "/tmp/weir-bench-XXXXXX";
  struct side sides[2] = {{.clients = clients}, {.clients = clients}};
  const struct entry entries[2] = {{"weir", run_restarted, &sides[0]},
                                   {"bare loop", run_restarted, &sides[1]}};
  const struct row row = {"the same after a restart, from the log",
                          "ns/event",
                          LIMIT,
                          1.6,
                          true,
                          5,
                          entries,
                          2};
  char command[64];

  if (mkdtemp(directory) == NULL) {
    die("mkdtemp");
  }
  sides[0].log = directory;
  (void)server_start_weir(&sides[0].server, directory);
  (void)server_start_bare(&sides[1].server);
  server_fill(&sides[0].server);
  server_fill(&sides[1].server);
  row_print(&row);
  figure_print("reads of the log for all of them", "reads", reads_of_storm,
               FIGURE, 4);
  server_stop(&sides[0].server);
  server_stop(&sides[1].server);
  (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
  (void)!system(command);
}

/* --- Memory ----------------------------------------------------------------*/

static double idle_memory(struct side *side) {
  double before;

  server_publish(&side->server, 1);
  before = server_memory(&side->server);
  side->crowd = crowd_come(&side->server, side->clients, NULL);
  crowd_wait(side->crowd, 0);
  server_calm(&side->server);
  return (server_memory(&side->server) - before) / (double)side->clients;
}

/* The whole server's, and how much more it is when all have come back once. */
static void measure_memory(size_t clients) {
  struct side sides[SERVERS];
  double idle;
  double before;
  int i;

  begin_sides(sides, clients);
  for (i = 0; i < SERVERS; ++i) {
    if (!sides[i].missing) {
      char name[64];

      idle = idle_memory(&sides[i]);
      (void)snprintf(name, sizeof name, "%s, an idle connection",
                     sides[i].server.name);
      figure_print(name, "bytes", idle, i == 0 ? FIGURE : NOBODY, 1024);
      before = server_memory(&sides[i].server);
      crowd_go(sides[i].crowd);
      server_calm(&sides[i].server);
      server_fill(&sides[i].server);
      sides[i].crowd =
          crowd_come(&sides[i].server, clients, sides[i].server.last_id);
      crowd_wait(sides[i].crowd, clients * BEHIND);
      server_calm(&sides[i].server);
      (void)snprintf(name, sizeof name, "%s, the same after a storm, more",
                     sides[i].server.name);
      figure_print(name, "KiB",
                   (server_memory(&sides[i].server) - before) / 1024,
                   i == 0 ? FIGURE : NOBODY, 256);
    }
  }
  end_sides(sides);
}

void bench_net(void) {
  const size_t clients = clients_most();

  group_print("deliver over loopback, one write each");
  measure_delivery(clients);
  group_print("latency at a tenth of what is possible");
  measure_latency();
  group_print("come back");
  measure_storm(clients);
  measure_restart(clients);
  group_print("memory of the whole server");
  measure_memory(clients);
}
