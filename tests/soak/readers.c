/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Clients as browsers are: each reads a stream, is cut off, comes back with its
 * last id after `retry`, reads to the end, is told to stop, and goes to the run
 * that the stream is in by then. Every frame is compared with what has been
 * published. */

#define _GNU_SOURCE
#include "soak.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* They come in at most so many at once, so that none waits for the kernel. */
#define COMING_MOST 500

/* Bytes until a cut takes effect, and ms at most. */
#define CUT_BYTES 700
#define CUT_TIME 1000

/* Those who sip, each at a pace of its own: one of so many, and half of those
 * of the stream with the most bytes; how often (ms), and how many bytes at
 * most, out of a buffer that holds few. */
#define SLOW 49
#define SIP_PAUSE 250
#define SIP_MOST 20000
#define SIP_BUFFER 16384

#define RETRY 1000 /* ms, if nothing was heard of it */

/* One of so many is away for longer, up to so many ms: some of what it misses
 * is gone by then. */
#define AWAY_ONE_OF 20
#define AWAY_MOST 9000

#define HEAD_MOST 2048

enum place { AWAY, COMING, READING, STOPPED };

struct reader {
  struct watcher watcher; /* first */
  enum place place;
  struct generation *generation; /* NULL: it needs one */
  struct kit_client client;
  struct kit_bytes head; /* of the response */
  uint64_t at;           /* it has all up to here */
  bool has_begun;        /* the connection has said where it stands */
  bool has_gap;          /* the same, of a loss */
  bool is_over;          /* it has seen the end */
  bool is_closing;       /* it was told that the connection ends */
  bool is_cut;
  bool is_slow;
  bool has_arrived;
  size_t sip;    /* bytes at a time */
  size_t budget; /* bytes until it is cut, if it is to be */
  uint64_t due;  /* to come, to sip, to be cut */
};

static struct reader *readers;
static size_t reader_count;
static size_t coming;
static size_t connected;
static size_t arrived; /* that have been connected once */
static double to_cut;
static uint64_t last_turn;

_Noreturn static void wrong(const struct reader *reader, const char *what,
                            const struct kit_event *event) {
  die("reader %td of %s, which has %llu: %s%s%s%s%s%s%.300s", reader - readers,
      reader->generation->key, (unsigned long long)reader->at, what,
      event != NULL ? ": " : "", event != NULL ? event->type : "",
      event != NULL ? " " : "", event != NULL ? event->id : "",
      event != NULL ? " " : "", event != NULL ? event->data : "");
}

/* --- What it is told -------------------------------------------------------*/

static bool is_type(const struct kit_event *event, const char *type) {
  return strcmp(event->type, type) == 0;
}

/* The number in an id, which is the stream's. */
static uint64_t seq_of(const struct reader *reader,
                       const struct kit_event *event) {
  const size_t len = strlen(reader->generation->epoch);

  if (strncmp(event->id, reader->generation->epoch, len) != 0 ||
      event->id[len] != '-') {
    wrong(reader, "an id of elsewhere", event);
  }
  return strtoull(event->id + len + 1, NULL, 10);
}

static bool has_verdict(const struct kit_event *event, const char *verdict) {
  char mark[40];

  snprintf(mark, sizeof mark, "\"verdict\":\"%s\"", verdict);
  return strstr(event->data, mark) != NULL;
}

/* A loss goes forward, over what may be gone. */
static void take_gap(struct reader *reader, const struct kit_event *event) {
  const uint64_t seq = seq_of(reader, event);

  if (!has_verdict(event, "evicted") || seq <= reader->at ||
      !may_be_gone(reader->generation, seq)) {
    wrong(reader, "a loss that cannot be", event);
  }
  reader->at = seq;
  reader->has_gap = !reader->has_begun;
  soak.gaps += 1;
}

static void take_ready(struct reader *reader, const struct kit_event *event) {
  const uint64_t seq = seq_of(reader, event);
  const bool is_fresh = reader->at == 0 && has_verdict(event, "fresh");

  if (reader->has_begun ||
      (is_fresh ? !may_be_gone(reader->generation, seq)
                : seq != reader->at ||
                      !has_verdict(event,
                                   reader->has_gap ? "evicted" : "resumed"))) {
    wrong(reader, "this is not where it stands", event);
  }
  reader->at = seq;
  reader->has_begun = true;
}

static void take_event(struct reader *reader, const struct kit_event *event) {
  const bool is_end = is_type(event, "weir.done");
  const char *text;
  size_t len;

  if (seq_of(reader, event) != reader->at + 1 ||
      reader->at + 1 > reader->generation->sent ||
      is_end != (reader->at + 1 == reader->generation->ended)) {
    wrong(reader, "this is not what follows", event);
  }
  reader->at += 1;
  soak.events += 1;
  if (is_end) {
    reader->is_over = true;
    return;
  }
  text = text_of(reader->generation, reader->at, &len);
  if (!is_type(event, "delta") || event->data_len != len ||
      memcmp(event->data, text, len) != 0) {
    wrong(reader, "this is not what was published", event);
  }
}

static void take(struct reader *reader, const struct kit_event *event) {
  if (is_type(event, "weir.gap")) {
    take_gap(reader, event);
  } else if (is_type(event, "weir.ready")) {
    take_ready(reader, event);
  } else if (!reader->has_begun || reader->is_over) {
    wrong(reader, "nothing may come here", event);
  } else if (is_type(event, "signal") || is_type(event, "weir.closing")) {
    if (seq_of(reader, event) != reader->at) {
      wrong(reader, "a frame without an id has one", event);
    }
    soak.signals += is_type(event, "signal");
    reader->is_closing = is_type(event, "weir.closing");
  } else {
    take_event(reader, event);
  }
}

/* --- Its connections -------------------------------------------------------*/

/* It goes, and comes again in so many ms. */
static void go(struct reader *reader, uint64_t pause) {
  cut(&reader->watcher);
  kit_client_end(&reader->client);
  kit_bytes_free(&reader->head);
  coming -= reader->place == COMING;
  connected -= reader->place == READING;
  reader->place = AWAY;
  reader->due = soak.now + pause;
}

/* A browser is told by `retry`. */
static void go_and_return(struct reader *reader) {
  const uint64_t retry = reader->client.retry;
  const uint64_t more = below(AWAY_ONE_OF) == 0 ? below(AWAY_MOST) : 0;

  go(reader, (retry == UINT64_MAX ? RETRY : retry) + more);
}

/* It knows nothing of the stream's next run. */
static void forget(struct reader *reader) {
  kit_client_free(&reader->client);
  kit_client_init(&reader->client, "");
  reader->at = 0;
  reader->is_over = false;
  reader->generation = NULL;
}

static void come(struct reader *reader) {
  const char *id = reader->client.last_id;
  char request[512];
  int n;

  if (reader->generation == NULL) {
    reader->generation = current((size_t)(reader - readers) % STREAMS);
    if (reader->generation == NULL) {
      if (soak.is_ending) {
        reader->place = STOPPED;
      }
      return;
    }
  }
  n = snprintf(request, sizeof request,
               "GET /streams/%s HTTP/1.1\r\nHost: soak\r\n"
               "Accept: text/event-stream\r\n%s%s%s\r\n",
               reader->generation->key, *id != '\0' ? "Last-Event-ID: " : "",
               id, *id != '\0' ? "\r\n" : "");
  reader->has_begun = false;
  reader->has_gap = false;
  reader->is_closing = false;
  reader->is_cut = false;
  reader->place = COMING;
  coming += 1;
  soak.returns += *id != '\0';
  watch(&reader->watcher, reader->is_slow ? 0 : EPOLLIN,
        reader->is_slow ? SIP_BUFFER : 0);
  if (!say(&reader->watcher, request, (size_t)n)) {
    soak.resets += 1;
    go_and_return(reader);
  } else if (reader->is_slow) {
    reader->due = soak.now + SIP_PAUSE;
  }
}

/* The head is there: 200, or it has seen the end, or came long after it. */
static void take_head(struct reader *reader) {
  const char *status = reader->head.data + strlen("HTTP/1.1 ");

  soak.moved = soak.now;
  if (strncmp(status, "200", 3) == 0 &&
      strstr(reader->head.data, "text/event-stream") != NULL &&
      !reader->is_over) {
    kit_bytes_free(&reader->head);
    reader->place = READING;
    coming -= 1;
    connected += 1;
    arrived += !reader->has_arrived;
    reader->has_arrived = true;
    return;
  }
  if (strncmp(status, "404", 3) == 0 && reader->generation->ended_at != 0 &&
      reader->generation->ended_at + LINGER <= soak.now) {
    soak.late += !reader->is_over;
  } else if (strncmp(status, "204", 3) != 0 || !reader->is_over) {
    wrong(reader, reader->head.data, NULL);
  }
  go(reader, 0);
  forget(reader);
}

/* Up to the end of the head; returns how many bytes are its. */
static size_t feed_head(struct reader *reader, const char *bytes, size_t len) {
  const size_t before = reader->head.len;
  const char *end;

  kit_bytes_add(&reader->head, bytes, len);
  end = strstr(reader->head.data, "\r\n\r\n");
  if (end == NULL) {
    if (reader->head.len > HEAD_MOST) {
      wrong(reader, "a head without an end", NULL);
    }
    return len;
  }
  len = (size_t)(end + 4 - reader->head.data) - before;
  reader->head.data[before + len] = '\0';
  take_head(reader);
  return len;
}

static void feed(struct reader *reader, const char *bytes, size_t len) {
  size_t i;

  if (reader->place == COMING) {
    i = feed_head(reader, bytes, len);
    bytes += i;
    len -= i;
  }
  if (reader->place != READING) {
    return;
  }
  kit_client_feed(&reader->client, bytes, len);
  for (i = 0; i < reader->client.count; ++i) {
    take(reader, &reader->client.events[i]);
  }
  soak.moved = i != 0 ? soak.now : soak.moved;
  kit_client_forget(&reader->client);
}

static void receive(struct reader *reader, size_t most) {
  ssize_t n;

  if (reader->is_cut && most > reader->budget) {
    most = reader->budget;
  }
  n = most == 0 ? 0 : recv(reader->watcher.fd, soak.buffer, most, MSG_DONTWAIT);
  if (n < 0) {
    if (errno != EAGAIN) {
      soak.resets += 1;
      go_and_return(reader);
    }
    return;
  }
  if (n == 0 && most != 0) {
    /* The server says when it goes. */
    if (!reader->is_over && !reader->is_closing) {
      wrong(reader, "the stream breaks off", NULL);
    }
    go_and_return(reader);
    return;
  }
  reader->budget -= reader->is_cut ? (size_t)n : 0;
  feed(reader, soak.buffer, (size_t)n);
  if (reader->is_cut && reader->budget == 0 && reader->place != AWAY) {
    soak.cuts += 1;
    go_and_return(reader);
  }
}

static void happened(struct watcher *watcher, unsigned events) {
  (void)events;
  receive((struct reader *)(void *)watcher, sizeof soak.buffer);
}

/* --- All of them -----------------------------------------------------------*/

/* A random tenth in a second. */
static void cut_some(void) {
  struct reader *reader;

  last_turn = last_turn == 0 ? soak.now : last_turn;
  to_cut += (double)connected * (double)(soak.now - last_turn) / 10000;
  last_turn = soak.now;
  for (; to_cut >= 1; to_cut -= 1) {
    reader = &readers[below(reader_count)];
    if ((reader->place == COMING || reader->place == READING) &&
        !reader->is_cut && !reader->is_slow) {
      reader->is_cut = true;
      reader->budget = below(CUT_BYTES);
      reader->due = soak.now + CUT_TIME;
    }
  }
}

static void turn(struct reader *reader) {
  if (reader->place == STOPPED || reader->due > soak.now) {
    return;
  }
  if (reader->place == AWAY) {
    if (coming < COMING_MOST) {
      come(reader);
    }
  } else if (reader->is_slow) {
    reader->due = soak.now + (soak.is_ending ? 0 : SIP_PAUSE);
    receive(reader, soak.is_ending ? sizeof soak.buffer : reader->sip);
  } else if (reader->is_cut) {
    soak.cuts += 1;
    go_and_return(reader);
  }
}

void readers_begin(size_t count) {
  size_t i;

  readers = calloc(count, sizeof *readers);
  if (readers == NULL) {
    die("out of memory");
  }
  reader_count = count;
  for (i = 0; i < count; ++i) {
    readers[i].watcher.happened = happened;
    readers[i].watcher.fd = -1;
    readers[i].is_slow = i % SLOW == 0 || i % (2 * STREAMS) == 0;
    readers[i].sip = 1 + below(SIP_MOST);
    kit_client_init(&readers[i].client, "");
  }
}

void readers_turn(void) {
  size_t i;

  if (!soak.is_ending && readers_have_come()) {
    cut_some();
  }
  for (i = 0; i < reader_count; ++i) {
    turn(&readers[i]);
  }
}

bool readers_are_done(void) {
  size_t i = 0;

  while (i < reader_count && readers[i].place == STOPPED) {
    i += 1;
  }
  return i == reader_count;
}

void readers_end(void) {
  size_t i;

  for (i = 0; i < reader_count; ++i) {
    kit_client_free(&readers[i].client);
  }
  free(readers);
}

size_t readers_connected(void) {
  return connected;
}

bool readers_have_come(void) {
  return arrived == reader_count;
}
