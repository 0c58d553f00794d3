/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Encoding one event. The limit is a memcpy of the same output. What is read
 * and what is written go through rings of 256 KiB, as they would in a server
 * that has more to do than to encode one event again and again. */

#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weir/weir.h>

#define RING ((size_t)256 * 1024)
#define SLACK ((size_t)8 * 1024)

/* Bytes that one turn encodes, more or less. */
#define TURN ((size_t)64 * 1024 * 1024)
#define EVENTS_MOST ((size_t)1000000)

static const char id[] = "mfzwizltorswk-123456";
static const char type[] = "delta";

struct work {
  size_t data_len;
  size_t out_len; /* of the whole frame */
  size_t events;  /* of one turn */
  uint32_t flags;
  unsigned char *data;   /* a ring of them */
  unsigned char *frames; /* a ring of what they are encoded */
  unsigned char *out;
};

static double run_weir(void *user) {
  const struct work *work = user;
  const double before = cpu_ns();
  weir_frame frame;
  size_t from = 0;
  size_t to = 0;
  size_t len = 0;
  size_t i;

  weir_frame_init(&frame, sizeof frame);
  frame.type = type;
  frame.type_len = sizeof type - 1;
  frame.data_len = work->data_len;
  frame.flags = work->flags;
  for (i = 0; i < work->events; ++i) {
    frame.data = work->data + from;
    if (weir_frame_encode_event(&frame, id, sizeof id - 1, work->out + to,
                                RING + SLACK - to, &len) != WEIR_OK ||
        len != work->out_len) {
      die("encode");
    }
    from += work->data_len;
    from = from + work->data_len <= RING ? from : 0;
    to += len;
    to = to + len <= RING ? to : 0;
  }
  keep(work->out);
  return (cpu_ns() - before) / (double)work->events;
}

static double run_copy(void *user) {
  const struct work *work = user;
  const double before = cpu_ns();
  const size_t len = work->out_len;
  size_t at = 0;
  size_t i;

  for (i = 0; i < work->events; ++i) {
    memcpy(work->out + at, work->frames + at, len);
    keep(work->out);
    at += len;
    at = at + len <= RING ? at : 0;
  }
  return (cpu_ns() - before) / (double)work->events;
}

/* Text of that length, with a line break every so many bytes; 0 for none. */
static void fill(unsigned char *data, size_t len, size_t line) {
  size_t i;

  for (i = 0; i < len; ++i) {
    data[i] = (unsigned char)("The quick brown fox jumps over it. "[i % 35]);
    if (line != 0 && i % line == line - 1 && i + 1 < len) {
      data[i] = '\n';
    }
  }
}

/* Fill the rings as the work will find them. */
static void prepare(struct work *work, size_t line) {
  weir_frame frame;
  size_t at;

  for (at = 0; at + work->data_len <= RING; at += work->data_len) {
    fill(work->data + at, work->data_len, line);
  }
  weir_frame_init(&frame, sizeof frame);
  frame.type = type;
  frame.type_len = sizeof type - 1;
  frame.data = work->data;
  frame.data_len = work->data_len;
  if (weir_frame_encode_event(&frame, id, sizeof id - 1, work->frames, RING,
                              &work->out_len) != WEIR_OK) {
    die("encode");
  }
  for (at = 0; at + work->out_len <= RING; at += work->out_len) {
    memcpy(work->frames + at, work->frames, work->out_len);
  }
  work->events = TURN / work->out_len;
  work->events = work->events < EVENTS_MOST ? work->events : EVENTS_MOST;
}

static void *ring_new(void) {
  return memset(must(aligned_alloc(4096, RING + SLACK)), 0, RING + SLACK);
}

static void measure_encode(const char *name, size_t len, size_t line,
                           uint32_t flags, double bar) {
  struct work work = {0};
  const struct entry entries[] = {{"weir", run_weir, &work},
                                  {"memcpy", run_copy, &work}};
  struct row row = {name, "ns/event", LIMIT, bar, true, 0, entries, 2};

  work.data_len = len;
  work.flags = flags;
  work.data = ring_new();
  work.frames = ring_new();
  work.out = ring_new();
  prepare(&work, line);
  row.against = bar == 0 ? NOBODY : LIMIT;
  row_print(&row);
  free(work.data);
  free(work.frames);
  free(work.out);
}

void bench_encode(void) {
  static const struct {
    size_t len;
    size_t line;
    double bar;
    const char *name;
  } rows[] = {
      {32, 0, 2.5, "32 B"},
      {256, 0, 1.4, "256 B"},
      {4096, 0, 1.25, "4 KiB"},
      {65536, 0, 1.25, "64 KiB"},
      {256, 80, 3, "256 B, lines of 80"},
      {4096, 80, 2.5, "4 KiB, lines of 80"},
  };
  char name[64];
  size_t i;

  group_print("encode one event");
  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    measure_encode(rows[i].name, rows[i].len, rows[i].line, WEIR_FRAME_BYTES,
                   rows[i].bar);
  }
  for (i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
    (void)snprintf(name, sizeof name, "%s, UTF-8 checked", rows[i].name);
    measure_encode(name, rows[i].len, rows[i].line, 0, 0);
  }
}
