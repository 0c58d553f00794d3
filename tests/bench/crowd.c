/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "crowd.h"

#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLES ((size_t)1 << 18)
#define EVENTS_AT_ONCE 256
#define CONNECTS_AT_ONCE 32

/* s to wait for what should be there long before. */
#define PATIENCE 120

/* What both processes see. */
struct crowd {
  pid_t pid;
  size_t count;
  atomic_size_t connected; /* that have got something */
  _Atomic uint64_t events;
  atomic_size_t samples;
  uint32_t latency[SAMPLES]; /* us */
};

/* The process of the crowd. */
struct clients {
  struct crowd *crowd;
  int epoll;
  unsigned char *greeted; /* by descriptor */
  char buffer[256 * 1024];
};

static void note_latency(struct crowd *crowd, const char *stamp, double now) {
  const size_t i = crowd->samples;
  const double sent = (double)strtoull(stamp, NULL, 10);

  if (i < SAMPLES) {
    crowd->latency[i] = (uint32_t)((now - sent) / 1000);
    crowd->samples = i + 1;
  }
}

/* Read what there is: count the ends of events. */
static void receive(struct clients *clients, int fd) {
  struct crowd *crowd = clients->crowd;
  const ssize_t n = recv(fd, clients->buffer, sizeof clients->buffer, 0);
  const char *end = clients->buffer + n;
  const char *p = clients->buffer;
  uint64_t events = 0;
  double now;

  if (n <= 0) {
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
      (void)close(fd);
    }
    return;
  }
  now = wall_ns();
  while (p < end && (p = memchr(p, EVENT_MARK, (size_t)(end - p))) != NULL) {
    if (p - clients->buffer >= EVENT_BYTES) {
      note_latency(crowd, p + 1 - EVENT_BYTES, now);
    }
    events += 1;
    p += 1;
  }
  if (!clients->greeted[fd]) {
    clients->greeted[fd] = 1;
    crowd->connected += 1;
  }
  if (events != 0) {
    crowd->events += events;
  }
}

static void serve(struct clients *clients, int ms) {
  struct epoll_event events[EVENTS_AT_ONCE];
  int n = epoll_wait(clients->epoll, events, EVENTS_AT_ONCE, ms);
  int i;

  for (i = 0; i < n; ++i) {
    receive(clients, events[i].data.fd);
  }
}

static void connect_one(struct clients *clients, const struct server *server,
                        const char *last_id) {
  const struct linger reset = {1, 0};
  const int fd = server_connect(server, last_id);
  struct epoll_event event;

  if (fd < 0 || fd >= 65536) {
    die("connect");
  }
  /* So that the next crowd has its ports. */
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  (void)fcntl(fd, F_SETFL, O_NONBLOCK);
  memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  event.data.fd = fd;
  (void)epoll_ctl(clients->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void be_clients(struct crowd *crowd, const struct server *server,
                       const char *last_id) {
  struct clients *clients = must(calloc(1, sizeof *clients));
  size_t i;

  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  clients->crowd = crowd;
  clients->epoll = epoll_create1(0);
  clients->greeted = must(calloc(65536, 1));
  for (i = 0; i < crowd->count; ++i) {
    connect_one(clients, server, last_id);
    if (i % CONNECTS_AT_ONCE == 0) {
      serve(clients, 0);
    }
  }
  for (;;) {
    serve(clients, -1);
  }
}

struct crowd *crowd_come(const struct server *server, size_t count,
                         const char *last_id) {
  struct crowd *crowd = mmap(NULL, sizeof *crowd, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  pid_t pid;

  if (crowd == MAP_FAILED) {
    die("mmap");
  }
  crowd->count = count;
  pid = fork();
  if (pid < 0) {
    die("fork");
  }
  if (pid == 0) {
    be_clients(crowd, server, last_id);
  }
  crowd->pid = pid;
  return crowd;
}

void crowd_wait(struct crowd *crowd, uint64_t events) {
  const double limit = wall_ns() + PATIENCE * 1e9;

  while (crowd->connected < crowd->count || crowd->events < events) {
    if (wall_ns() > limit) {
      die("the clients wait in vain");
    }
    (void)usleep(500);
  }
}

uint64_t crowd_events(const struct crowd *crowd) {
  return crowd->events;
}

static int compare(const void *a, const void *b) {
  const uint32_t x = *(const uint32_t *)a;
  const uint32_t y = *(const uint32_t *)b;

  return (x > y) - (x < y);
}

double crowd_latency(const struct crowd *crowd, double part) {
  const size_t count = crowd->samples;
  uint32_t *sorted = must(malloc((count + 1) * sizeof *sorted));
  double value;

  memcpy(sorted, crowd->latency, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, compare);
  value = count == 0 ? 0 : sorted[(size_t)((double)(count - 1) * part)];
  free(sorted);
  return value;
}

void crowd_forget(struct crowd *crowd) {
  crowd->samples = 0;
}

void crowd_go(struct crowd *crowd) {
  (void)kill(crowd->pid, SIGKILL);
  (void)waitpid(crowd->pid, NULL, 0);
  (void)munmap(crowd, sizeof *crowd);
}
