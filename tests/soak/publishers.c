/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* One for each stream, on a connection of its own: it begins a stream,
 * publishes and signals, ends it, and begins the next. What an event says
 * follows from its stream and its number, so nobody has to remember it. */

#define _GNU_SOURCE
#include "soak.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* ms from one request of a publisher to its next, on average. */
#define PAUSE 400
#define BATCH_MOST 4

/* Bytes of an event, at most; of the first stream's, which is more than sockets
 * hold. */
#define TEXT_MOST 400
#define FAT_MOST 16000
#define EVENTS_LEAST 40
#define EVENTS_MOST 120

enum doing { NOTHING, OPENING, PUBLISHING, SIGNALLING, ENDING, DONE };

struct publisher {
  struct watcher watcher; /* first */
  enum doing doing;
  struct generation *generation; /* NULL: there has to be a new one */
  uint64_t due;
  uint64_t last; /* of the events that it is to have */
  char answer[1024];
  size_t answer_len;
};

static struct publisher publishers[STREAMS];
static struct generation *generations;
static unsigned generation_count;
static uint64_t bytes_sent;
static char noise[2 * FAT_MOST];

struct generation *current(size_t stream) {
  struct generation *generation = publishers[stream].generation;

  return generation != NULL && generation->epoch[0] != '\0' ? generation : NULL;
}

/* Some have lines. */
static bool has_lines(uint64_t seq) {
  return seq % 7 == 0;
}

const char *text_of(const struct generation *generation, uint64_t seq,
                    size_t *len) {
  static char text[FAT_MOST + 32];
  const uint64_t mix = (generation->number * 1000003u + seq) * 2654435761u;
  const size_t from = (size_t)(mix >> 8) % (sizeof noise - FAT_MOST);
  const size_t most = (size_t)(mix >> 24) % generation->text_most;
  const int n = snprintf(text, sizeof text, "%s %llu ", generation->key,
                         (unsigned long long)seq);

  memcpy(text + n, noise + from, most);
  *len = (size_t)n + most;
  if (has_lines(seq) && most != 0) {
    text[(size_t)n + most / 2] = '\n';
  }
  return text;
}

bool may_be_gone(const struct generation *generation, uint64_t seq) {
  if (seq == 0 || seq > generation->sent) {
    return seq == 0;
  }
  /* A log keeps more of an event than its data, and drops a quarter of all at
   * once. */
  return soak.has_log
             ? bytes_sent - generation->sent_bytes[seq] >= KEEP_BYTES / 4
             : generation->sent >= seq + HISTORY_EVENTS;
}

static void request(struct publisher *publisher, enum doing doing,
                    const char *method, const char *what, const char *body,
                    size_t len) {
  static char bytes[BATCH_MOST * (FAT_MOST + 32) + 256];
  const int n = snprintf(bytes, sizeof bytes,
                         "%s /streams/%s%s HTTP/1.1\r\nHost: soak\r\n"
                         "Content-Length: %zu\r\n\r\n",
                         method, publisher->generation->key, what, len);

  memcpy(bytes + n, body, len);
  publisher->doing = doing;
  publisher->answer_len = 0;
  publisher->due = soak.now + below(2 * PAUSE);
  if (!say(&publisher->watcher, bytes, (size_t)n + len)) {
    die("the publisher of %s is cut off", publisher->generation->key);
  }
}

static void begin(struct publisher *publisher) {
  struct generation *generation = calloc(1, sizeof *generation);

  if (generation == NULL) {
    die("out of memory");
  }
  generation->next = generations;
  generations = generation;
  generation->number = generation_count++;
  snprintf(generation->key, sizeof generation->key, "stream-%u",
           generation->number);
  generation->text_most = publisher == publishers ? FAT_MOST : TEXT_MOST;
  publisher->generation = generation;
  publisher->last =
      EVENTS_LEAST + below(EVENTS_MOST - EVENTS_LEAST - BATCH_MOST);
  request(publisher, OPENING, "PUT", "", "", 0);
}

/* The next event of a generation, behind those that are in a body already. */
static size_t add_event(struct generation *generation, char *body) {
  size_t len;
  const char *text = text_of(generation, ++generation->sent, &len);

  bytes_sent += len;
  generation->sent_bytes[generation->sent] = bytes_sent;
  memcpy(body, text, len);
  return len;
}

static void publish(struct publisher *publisher) {
  struct generation *generation = publisher->generation;
  static char body[BATCH_MOST * (FAT_MOST + 32)];
  size_t count = below(2) == 0 ? 1 : 1 + below(BATCH_MOST);
  size_t len = add_event(generation, body);

  if (has_lines(generation->sent)) {
    request(publisher, PUBLISHING, "POST", "/events?type=delta", body, len);
    return;
  }
  while (--count != 0 && !has_lines(generation->sent + 1)) {
    body[len++] = '\n';
    len += add_event(generation, body + len);
  }
  request(publisher, PUBLISHING, "POST", "/events?type=delta&split=lines", body,
          len);
}

static void act(struct publisher *publisher) {
  struct generation *generation = publisher->generation;

  if (generation == NULL) {
    begin(publisher);
  } else if (soak.is_ending || generation->sent >= publisher->last) {
    generation->ended = ++generation->sent;
    generation->sent_bytes[generation->sent] = bytes_sent;
    generation->ended_at = soak.now;
    request(publisher, ENDING, "POST", "/end?reason=done", "", 0);
  } else if (below(20) == 0) {
    request(publisher, SIGNALLING, "POST", "/signals?type=signal", "now", 3);
  } else {
    publish(publisher);
  }
}

/* The value of a member of an answer, which is text. */
static const char *member(const char *answer, const char *name, size_t *len) {
  const char *p = strstr(answer, name);

  if (p == NULL) {
    die("an answer without %s: %s", name, answer);
  }
  p += strlen(name);
  *len = strcspn(p, "\"");
  return p;
}

static void take_answer(struct publisher *publisher) {
  static const char *const wanted[] = {"", "201", "201", "202", "200"};
  struct generation *generation = publisher->generation;
  const char *answer = publisher->answer;
  const char *value;
  char id[48];
  size_t len;

  if (strncmp(answer + 9, wanted[publisher->doing], 3) != 0) {
    die("the publisher of %s is told: %s", generation->key, answer);
  }
  if (publisher->doing == OPENING) {
    value = member(answer, "\"epoch\":\"", &len);
    if (len >= sizeof generation->epoch) {
      die("an epoch: %s", answer);
    }
    memcpy(generation->epoch, value, len);
  } else if (publisher->doing != SIGNALLING) {
    value = member(answer, "\"id\":\"", &len);
    snprintf(id, sizeof id, "%s-%llu", generation->epoch,
             (unsigned long long)generation->sent);
    if (len != strlen(id) || memcmp(value, id, len) != 0) {
      die("%s should be stored, and the answer is: %s", id, answer);
    }
  }
  if (publisher->doing == ENDING) {
    publisher->generation = NULL;
  }
  publisher->doing =
      soak.is_ending && publisher->doing == ENDING ? DONE : NOTHING;
  soak.moved = soak.now;
}

/* Whether an answer is complete. */
static bool is_whole(const char *answer, size_t len) {
  const char *body = strstr(answer, "\r\n\r\n");
  const char *length = strstr(answer, "Content-Length: ");

  return body != NULL && length != NULL &&
         len >= (size_t)(body + 4 - answer) + strtoull(length + 16, NULL, 10);
}

static void happened(struct watcher *watcher, unsigned events) {
  struct publisher *publisher = (struct publisher *)(void *)watcher;
  const size_t room = sizeof publisher->answer - 1 - publisher->answer_len;
  const ssize_t n = recv(watcher->fd, publisher->answer + publisher->answer_len,
                         room, MSG_DONTWAIT);

  (void)events;
  if (n < 0 && errno == EAGAIN) {
    return;
  }
  if (n <= 0 && publisher->doing == DONE) {
    cut(watcher);
    return;
  }
  if (n <= 0 || publisher->doing == NOTHING) {
    die("the publisher of stream %td %s", publisher - publishers,
        n <= 0 ? "is cut off" : "is told what it has not asked");
  }
  publisher->answer_len += (size_t)n;
  publisher->answer[publisher->answer_len] = '\0';
  if (is_whole(publisher->answer, publisher->answer_len)) {
    take_answer(publisher);
  }
}

void publishers_begin(void) {
  size_t i;

  for (i = 0; i < sizeof noise; ++i) {
    noise[i] = (char)(' ' + below('~' - ' ' + 1));
  }
  memset(publishers, 0, sizeof publishers);
  for (i = 0; i < STREAMS; ++i) {
    publishers[i].watcher.happened = happened;
    publishers[i].due = soak.now + below(2 * PAUSE);
    watch(&publishers[i].watcher, EPOLLIN, 0);
  }
}

void publishers_turn(void) {
  size_t i;

  for (i = 0; i < STREAMS; ++i) {
    if (publishers[i].doing != NOTHING || publishers[i].due > soak.now) {
      continue;
    }
    if (soak.is_ending && publishers[i].generation == NULL) {
      publishers[i].doing = DONE;
    } else {
      act(&publishers[i]);
    }
  }
}

bool publishers_are_done(void) {
  size_t i = 0;

  while (i < STREAMS && publishers[i].doing == DONE) {
    i += 1;
  }
  return i == STREAMS;
}

unsigned publishers_generations(void) {
  return generation_count;
}

void publishers_end(void) {
  struct generation *next;
  size_t i;

  for (i = 0; i < STREAMS; ++i) {
    cut(&publishers[i].watcher);
  }
  for (; generations != NULL; generations = next) {
    next = generations->next;
    free(generations);
  }
}
