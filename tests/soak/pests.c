/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Half of them ask for the stream with the most bytes and never read any. The
 * others send what is no request, or too much of one, and may be told so, but
 * not that the server has failed. */

#define _GNU_SOURCE
#include "soak.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define PAUSE 1000
#define BYTES_MOST 40000

struct pest {
  struct watcher watcher; /* first */
  bool reads;
  bool is_there;
  uint64_t due; /* to come, or to go */
  char answer[16];
  size_t answer_len;
};

static struct pest *pests;
static size_t pest_count;

static void go(struct pest *pest) {
  cut(&pest->watcher);
  pest->is_there = false;
  pest->due = soak.now + below(2 * PAUSE);
}

/* How it begins is all that matters. */
static void check_answer(const struct pest *pest) {
  const char *status = pest->answer + strlen("HTTP/1.1 ");

  if (memcmp(pest->answer, "HTTP/1.1 ", 9) != 0 ||
      (*status != '2' && *status != '4' && strncmp(status, "501", 3) != 0 &&
       strncmp(status, "505", 3) != 0)) {
    die("who sends garbage is answered: %s", pest->answer);
  }
}

static void happened(struct watcher *watcher, unsigned events) {
  struct pest *pest = (struct pest *)(void *)watcher;
  ssize_t n;
  size_t i;

  (void)events;
  if (!pest->reads) {
    /* Only that it is over is heard of. */
    soak.resets += 1;
    go(pest);
    return;
  }
  n = recv(watcher->fd, soak.buffer, sizeof soak.buffer, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    go(pest);
    return;
  }
  for (i = 0; (ssize_t)i < n && pest->answer_len < 12; ++i) {
    pest->answer[pest->answer_len++] = soak.buffer[i];
    if (pest->answer_len == 12) {
      check_answer(pest);
    }
  }
}

static size_t add_garbage(char *bytes, size_t len) {
  size_t i;

  for (i = 0; i < len; ++i) {
    bytes[i] = (char)below(256);
  }
  return len;
}

/* A request for a stream; of none, if there is none. */
static size_t ask(char *bytes, const char *fields) {
  const struct generation *generation = current(0);

  return (size_t)snprintf(
      bytes, 256, "GET /streams/%s HTTP/1.1\r\nHost: soak\r\n%s\r\n",
      generation == NULL ? "none" : generation->key, fields);
}

static size_t make_garbage(char *bytes) {
  size_t len;
  size_t i;

  switch (below(7)) {
    case 0:
      return add_garbage(bytes, 1 + below(3000));
    case 1:
      return 1 + below(ask(bytes, "") - 1);
    case 2:
      len = ask(bytes, "Cookie: ") - 4;
      memset(bytes + len, 'x', BYTES_MOST - len);
      return BYTES_MOST;
    case 3:
      len = (size_t)snprintf(bytes, 256,
                             "POST /streams/none/events HTTP/1.1\r\nHost: x\r\n"
                             "Transfer-Encoding: chunked\r\n\r\nfffg\r\n");
      return len + add_garbage(bytes + len, below(100));
    case 4:
      len = ask(bytes, "Last-Event-ID: ") - 4;
      for (i = 1 + below(200); i != 0; --i) {
        bytes[len++] = (char)('!' + below('~' - '!' + 1));
      }
      memcpy(bytes + len, "\r\n\r\n", 4);
      return len + 4;
    case 5:
      len = ask(bytes, "");
      return len + add_garbage(bytes + len, below(10000));
    default:
      len = ask(bytes, "");
      bytes[below(len)] = (char)below(256);
      return len;
  }
}

static void come(struct pest *pest) {
  static char bytes[BYTES_MOST];
  size_t len;

  pest->is_there = true;
  pest->answer_len = 0;
  memset(pest->answer, 0, sizeof pest->answer);
  pest->due = pest->reads ? soak.now + below(2 * PAUSE) : UINT64_MAX;
  watch(&pest->watcher, pest->reads ? EPOLLIN : 0, pest->reads ? 0 : 4096);
  len = pest->reads ? make_garbage(bytes) : ask(bytes, "");
  soak.pests += 1;
  if (!say(&pest->watcher, bytes, len)) {
    go(pest);
  }
}

void pests_begin(size_t count) {
  size_t i;

  pests = calloc(count, sizeof *pests);
  if (pests == NULL) {
    die("out of memory");
  }
  pest_count = count;
  for (i = 0; i < count; ++i) {
    pests[i].watcher.happened = happened;
    pests[i].watcher.fd = -1;
    pests[i].reads = i % 2 == 0;
    pests[i].due = soak.now + below(4 * PAUSE);
  }
}

void pests_turn(void) {
  size_t i;

  for (i = 0; i < pest_count; ++i) {
    if (pests[i].due > soak.now) {
      continue;
    }
    if (pests[i].is_there) {
      go(&pests[i]);
    } else {
      come(&pests[i]);
    }
  }
}

void pests_end(void) {
  size_t i;

  for (i = 0; i < pest_count; ++i) {
    cut(&pests[i].watcher);
  }
  free(pests);
}
