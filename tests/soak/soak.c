/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* soak SERVER [--readers N] [--seconds N] [--seed N] [--log]: see README. */

#define _GNU_SOURCE
#include "soak.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256
#define TURN 10 /* ms */

/* One of so many of the readers is none. */
#define PESTS 50

/* What the server's memory may grow by between the middle and the end of a run:
 * KiB, and a part of what it is. */
#define GROWTH_KIB 2048
#define GROWTH_PART 50

struct soak soak = {.epoll = -1};

static char directory[] = "/tmp/weir-soak-XXXXXX";
static bool has_directory;
static uint64_t seed = 1;

/* --- What the parts share --------------------------------------------------*/

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *walk) {
  (void)status;
  (void)type;
  (void)walk;
  return remove(path);
}

static void remove_log(void) {
  if (has_directory) {
    (void)nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
  }
}

void die(const char *format, ...) {
  va_list list;

  fputs("soak: ", stderr);
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fputs("\n", stderr);
  if (soak.pid != 0) {
    (void)kill(soak.pid, SIGKILL);
    (void)waitpid(soak.pid, NULL, 0);
  }
  remove_log();
  exit(1);
}

/* What the kit calls where something does not hold. */
void _ck_assert_failed(const char *file, int line, const char *expr,
                       const char *msg, ...) {
  die("%s:%d: %s: %s", file, line, expr, msg != NULL ? msg : "");
}

void _mark_point(const char *file, int line) {
  (void)file;
  (void)line;
}

/* SplitMix64. */
uint64_t below(uint64_t limit) {
  uint64_t x = seed += 0x9e3779b97f4a7c15u;

  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return (x ^ x >> 31) % limit;
}

static uint64_t clock_ms(void) {
  struct timespec now;

  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void watch(struct watcher *watcher, unsigned events, int receive_buffer) {
  struct sockaddr_in address;
  struct epoll_event event;

  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)soak.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memset(&event, 0, sizeof event);
  event.events = events;
  event.data.ptr = watcher;
  watcher->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (watcher->fd < 0 ||
      (receive_buffer != 0 &&
       setsockopt(watcher->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
                  sizeof receive_buffer) != 0) ||
      connect(watcher->fd, (const struct sockaddr *)&address, sizeof address) !=
          0 ||
      epoll_ctl(soak.epoll, EPOLL_CTL_ADD, watcher->fd, &event) != 0) {
    die("connecting: %s", strerror(errno));
  }
}

bool say(const struct watcher *watcher, const char *bytes, size_t len) {
  return send(watcher->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) ==
         (ssize_t)len;
}

void cut(struct watcher *watcher) {
  const struct linger reset = {1, 0};

  if (watcher->fd >= 0) {
    (void)setsockopt(watcher->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)close(watcher->fd);
    watcher->fd = -1;
  }
}

/* --- The server ------------------------------------------------------------*/

static void start_server(const char *program) {
  char events[32];
  char bytes[32];
  char linger[32];
  const char *arguments[] = {program,
                             "--listen",
                             "127.0.0.1:0",
                             "--history-events",
                             events,
                             "--linger",
                             linger,
                             "--keep-ended",
                             linger,
                             "--keep-bytes",
                             bytes,
                             "--stall",
                             "3s",
                             "--heartbeat",
                             soak.has_log ? "0" : "2s",
                             "--retry",
                             "500ms",
                             "--retry-jitter",
                             "500ms",
                             "--request-timeout",
                             "3s",
                             soak.has_log ? "--log" : NULL,
                             directory,
                             NULL};
  char line[128];
  int out[2];
  ssize_t n = 0;

  snprintf(events, sizeof events, "%d", HISTORY_EVENTS);
  snprintf(bytes, sizeof bytes, "%u", KEEP_BYTES);
  snprintf(linger, sizeof linger, "%dms", LINGER);
  if (soak.has_log) {
    has_directory = mkdtemp(directory) != NULL;
  }
  if (pipe(out) != 0 || (soak.pid = fork()) < 0) {
    soak.pid = 0;
    die("starting the server: %s", strerror(errno));
  }
  if (soak.pid == 0) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(out[1], STDOUT_FILENO);
    (void)close(out[0]);
    (void)close(out[1]);
    execv(program, (char *const *)(uintptr_t)arguments);
    _exit(127);
  }
  (void)close(out[1]);
  n = read(out[0], line, sizeof line - 1);
  (void)close(out[0]);
  line[n > 0 ? n : 0] = '\0';
  if (sscanf(line, "listening on http://127.0.0.1:%d", &soak.port) != 1) {
    die("%s does not begin: %s", program, line);
  }
}

/* It ends when it is told to, and has nothing to complain of. */
static void stop_server(void) {
  int status = -1;

  (void)kill(soak.pid, SIGTERM);
  if (waitpid(soak.pid, &status, 0) != soak.pid || status != 0) {
    soak.pid = 0;
    die("the server ended with status %x", (unsigned)status);
  }
  soak.pid = 0;
}

/* KiB that are its own. */
static unsigned long memory(void) {
  unsigned long kib = 0;
  char name[64];
  char line[256];
  FILE *file;

  snprintf(name, sizeof name, "/proc/%d/status", (int)soak.pid);
  file = fopen(name, "r");
  while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL) {
    (void)sscanf(line, "RssAnon: %lu", &kib);
  }
  if (file == NULL || kib == 0) {
    die("the server is gone");
  }
  (void)fclose(file);
  return kib;
}

/* Its descriptors; files of the log apart, of which each may have one. */
static size_t descriptors(size_t *of_log) {
  char name[300];
  char target[300];
  const struct dirent *entry;
  DIR *list;
  size_t count = 0;
  ssize_t n;

  snprintf(name, sizeof name, "/proc/%d/fd", (int)soak.pid);
  list = opendir(name);
  if (list == NULL) {
    die("the server is gone");
  }
  *of_log = 0;
  while ((entry = readdir(list)) != NULL) {
    snprintf(name, sizeof name, "/proc/%d/fd/%s", (int)soak.pid, entry->d_name);
    n = readlink(name, target, sizeof target);
    if (n > 0 && has_directory && (size_t)n > strlen(directory) &&
        memcmp(target, directory, strlen(directory)) == 0) {
      *of_log += 1;
    } else {
      count += n > 0;
    }
  }
  (void)closedir(list);
  return count;
}

/* Files of the log. */
static size_t log_files(void) {
  const struct dirent *entry;
  DIR *list = has_directory ? opendir(directory) : NULL;
  size_t count = 0;

  while (list != NULL && (entry = readdir(list)) != NULL) {
    count += entry->d_name[0] != '.';
  }
  if (list != NULL) {
    (void)closedir(list);
  }
  return count;
}

/* A counter of the server's, once the answer with all of them is there. */
static uint64_t counter(const char *stats, const char *name) {
  char mark[64];
  const char *p;

  snprintf(mark, sizeof mark, "\"%s\":", name);
  p = strstr(stats, mark);
  if (p == NULL) {
    die("there is no %s in %s", name, stats);
  }
  return strtoull(p + strlen(mark), NULL, 10);
}

static void ask_stats(char *stats, size_t cap) {
  static const char request[] =
      "GET /stats HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n";
  struct watcher watcher = {NULL, -1};
  size_t len = 0;
  ssize_t n;

  watch(&watcher, 0, 0);
  (void)say(&watcher, request, sizeof request - 1);
  while ((n = recv(watcher.fd, stats + len, cap - 1 - len, 0)) > 0) {
    len += (size_t)n;
  }
  stats[len] = '\0';
  cut(&watcher);
}

/* --- A run -----------------------------------------------------------------*/

static void turn(void) {
  struct epoll_event events[EVENTS_AT_ONCE];
  const int n = epoll_wait(soak.epoll, events, EVENTS_AT_ONCE, TURN);
  struct watcher *watcher;
  size_t of_log;
  int i;

  soak.now = clock_ms();
  for (i = 0; i < n; ++i) {
    watcher = events[i].data.ptr;
    if (watcher->fd >= 0) {
      watcher->happened(watcher, events[i].events);
    }
  }
  publishers_turn();
  readers_turn();
  pests_turn();
  if (soak.now - soak.moved > PATIENCE) {
    die("nothing has come for a minute; %zu readers are connected, the server "
        "has "
        "%zu descriptors",
        readers_connected(), descriptors(&of_log));
  }
}

/* What the memory is, in a time: the mean of what it is every second. */
static unsigned long run_until(uint64_t end, size_t *most_connected) {
  uint64_t next = soak.now;
  size_t of_log;
  unsigned long sum = 0;
  unsigned long count = 0;

  while (soak.now < end) {
    turn();
    if (soak.now >= next) {
      next = soak.now + 1000;
      sum += memory();
      count += 1;
      if (getenv("SOAK_VERBOSE") != NULL) {
        printf("%lu KiB, %zu descriptors, %zu connected, %llu events\n",
               memory(), descriptors(&of_log), readers_connected(),
               (unsigned long long)soak.events);
      }
      if (readers_connected() > *most_connected) {
        *most_connected = readers_connected();
      }
    }
  }
  return sum / (count == 0 ? 1 : count);
}

/* All of it ends: the readers have what there is, and nothing is left behind.
 */
static void end_run(size_t before) {
  char stats[8192];
  uint64_t limit;
  size_t count;
  size_t of_log;

  soak.is_ending = true;
  while (!publishers_are_done() || !readers_are_done()) {
    turn();
  }
  pests_end();
  readers_end();
  publishers_end();
  limit = clock_ms() + PATIENCE;
  do {
    (void)usleep(200000);
    ask_stats(stats, sizeof stats);
    count = descriptors(&of_log);
    if (clock_ms() > limit) {
      die("%zu descriptors, %zu before; %zu of %zu files of the log; %s", count,
          before, of_log, log_files(), stats);
    }
  } while (counter(stats, "connections") != 1 ||
           counter(stats, "subscribers") != 0 ||
           counter(stats, "streams") != 0 || counter(stats, "pending") != 0 ||
           counter(stats, "log_calls") != 0 ||
           counter(stats, "resident_bytes") != 0 || count != before ||
           of_log > log_files());
  if (counter(stats, "opens_total") != publishers_generations() ||
      counter(stats, "ends_total") != publishers_generations() ||
      counter(stats, "attaches_total") != counter(stats, "detaches_total") ||
      counter(stats, "gaps_total") < soak.gaps) {
    die("of %u streams and %llu gaps is counted: %s", publishers_generations(),
        (unsigned long long)soak.gaps, stats);
  }
}

static void run(const char *program, size_t count, uint64_t seconds) {
  uint64_t began;
  unsigned long middle;
  unsigned long end;
  size_t connected = 0;
  size_t before;
  size_t of_log;

  start_server(program);
  soak.epoll = epoll_create1(EPOLL_CLOEXEC);
  soak.now = soak.moved = clock_ms();
  before = descriptors(&of_log);
  publishers_begin();
  readers_begin(count - count / PESTS);
  pests_begin(count / PESTS);
  while (!readers_have_come()) {
    turn();
  }
  began = soak.now;
  (void)run_until(began + seconds * 1000 * 2 / 5, &connected);
  middle = run_until(began + seconds * 1000 * 3 / 5, &connected);
  (void)run_until(began + seconds * 1000 * 4 / 5, &connected);
  end = run_until(began + seconds * 1000, &connected);
  end_run(before);
  printf(
      "soak%s: %llu s, %zu readers, %llu cuts, %llu returns, "
      "%llu events, %llu signals, %llu gaps, %llu late, %llu resets, "
      "%llu pests; memory %lu -> %lu KiB, descriptors %zu -> %zu\n",
      soak.has_log ? " with a log" : "",
      (unsigned long long)(clock_ms() - began) / 1000, connected,
      (unsigned long long)soak.cuts, (unsigned long long)soak.returns,
      (unsigned long long)soak.events, (unsigned long long)soak.signals,
      (unsigned long long)soak.gaps, (unsigned long long)soak.late,
      (unsigned long long)soak.resets, (unsigned long long)soak.pests, middle,
      end, before, descriptors(&of_log));
  if (end > middle + middle / GROWTH_PART + GROWTH_KIB) {
    die("the server's memory has grown");
  }
  stop_server();
  (void)close(soak.epoll);
  remove_log();
}

static void raise_limit(size_t wanted) {
  struct rlimit limit;

  (void)getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < wanted) {
    die("NOT TESTED: %zu descriptors are needed; the hard limit is %llu",
        wanted, (unsigned long long)limit.rlim_cur);
  }
}

int main(int argc, char **argv) {
  size_t readers = 10000;
  uint64_t seconds = 60;
  uint64_t *number;
  int i;

  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  for (i = 2; i < argc; ++i) {
    number = strcmp(argv[i], "--readers") == 0   ? &readers
             : strcmp(argv[i], "--seconds") == 0 ? &seconds
             : strcmp(argv[i], "--seed") == 0    ? &seed
                                                 : NULL;
    soak.has_log = soak.has_log || strcmp(argv[i], "--log") == 0;
    if (number != NULL && i + 1 < argc) {
      *number = strtoull(argv[++i], NULL, 10);
    }
  }
  if (argc < 2 || readers < STREAMS) {
    die("soak SERVER [--readers N] [--seconds N] [--seed N] [--log]");
  }
  raise_limit(readers + 1000);
  run(argv[1], readers, seconds);
  return 0;
}
