/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The whole: a client that is cut off anywhere, and comes back with the last id
 * it saw, gets every event once, in order, or is told what it missed. */

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kit kit;

static void setup(void) {
  kit_init(&kit);
}

static void teardown(void) {
  kit_end(&kit);
}

/* --- A client that is not easily satisfied -------------------------------- */

/* What is published as event seq: some short, some of several lines, some
 * empty, all different. */
static void data_of(uint64_t seq, char data[128]) {
  static const char *const tails[] = {"", "\nsecond\n\nfourth", "\r\n",
                                      ": x\nid: 1\n\ndata: y", "\xc3\xa9"};

  snprintf(data, 128, "%llu%s%.*s", (unsigned long long)seq,
           tails[seq % (sizeof tails / sizeof tails[0])], (int)(seq % 7),
           "ooooooo");
}

static uint64_t publish(weir_stream *stream, uint64_t seq) {
  char data[128];

  data_of(seq, data);
  ck_assert_uint_eq(kit_publish(stream, "x", data), seq);
  return seq;
}

/* Line ends as a client sees them. */
static void normalize(char *text) {
  char *to = text;

  for (; *text != '\0'; ++text) {
    if (*text == '\r') {
      *to++ = '\n';
      text += text[1] == '\n';
    } else {
      *to++ = *text;
    }
  }
  *to = '\0';
}

/* What one client has seen over all its connections. */
struct witness {
  struct kit_client client;
  uint64_t
      position; /* everything up to here was received, or said to be lost */
  uint64_t received;
  uint64_t lost;
  uint64_t signals;
  bool greeted; /* on this connection */
  bool any;     /* it has had a connection */
  bool done;
};

static void witness_init(struct witness *witness) {
  memset(witness, 0, sizeof *witness);
  kit_client_init(&witness->client, "");
}

static uint64_t seq_of(const char *id) {
  const char *hyphen = strrchr(id, '-');

  kit_need(hyphen != NULL);
  return strtoull(hyphen + 1, NULL, 10);
}

/* Invariants 1 to 3, for one event. */
static void look_at(struct witness *witness, const struct kit_event *event) {
  char want[128];

  kit_need(!witness->done);
  if (strcmp(event->type, "weir.gap") == 0) {
    kit_need(!witness->any || seq_of(event->id) > witness->position);
    witness->lost += seq_of(event->id) - witness->position;
    witness->position = seq_of(event->id);
  } else if (strcmp(event->type, "weir.ready") == 0) {
    kit_need(!witness->greeted);
    if (!witness->any && witness->position == 0) {
      /* It came without a cursor, and begins where it is put. */
      witness->position = seq_of(event->id);
      witness->lost = witness->position;
    }
    kit_need(seq_of(event->id) == witness->position);
    witness->greeted = true;
    witness->any = true;
  } else if (strcmp(event->type, "x") == 0 ||
             strcmp(event->type, "weir.done") == 0) {
    kit_need(witness->greeted);
    kit_need(seq_of(event->id) == witness->position + 1);
    witness->position += 1;
    witness->received += 1;
    witness->done = event->type[0] == 'w';
    if (!witness->done) {
      data_of(witness->position, want);
      normalize(want);
      kit_need(strcmp(event->data, want) == 0);
    }
  } else {
    /* What is no event of the log moves no cursor. */
    kit_need(witness->greeted);
    kit_need(seq_of(event->id) == witness->position);
    witness->signals += 1;
  }
}

static void witness_feed(struct witness *witness, const void *bytes,
                         size_t len) {
  size_t i;

  kit_client_feed(&witness->client, bytes, len);
  for (i = 0; i < witness->client.count; ++i) {
    look_at(witness, &witness->client.events[i]);
  }
  kit_client_forget(&witness->client);
}

static void witness_cut(struct witness *witness) {
  kit_client_end(&witness->client);
  witness->greeted = false;
}

static void witness_free(struct witness *witness) {
  kit_client_free(&witness->client);
}

/* --- A run of 200 events -------------------------------------------------- */

enum { EVENTS = 200 };

/* What comes between two events: signals, and silence with heartbeats. */
static void between(weir_stream *stream, uint64_t seq) {
  if (seq % 5 == 0) {
    kit_signal(stream, "typing", "on");
  }
  if (seq % 9 == 0) {
    kit_pass(&kit, 12000);
  }
}

/* The bytes that a client gets who is there from the beginning to the end. */
static void record(struct kit_bytes *bytes, char end_cursor[WEIR_CURSOR_MAX]) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;
  uint64_t seq;

  options.flags = WEIR_ATTACH_PING;
  subscriber = kit_attach_with(&kit, &options);
  for (seq = 1; seq <= EVENTS; ++seq) {
    publish(stream, seq);
    ck_assert_int_eq(kit_pull(subscriber, bytes), WEIR_EAGAIN);
    between(stream, seq);
    ck_assert_int_eq(kit_pull(subscriber, bytes), WEIR_EAGAIN);
  }
  strcpy(end_cursor, kit_cursor(stream, EVENTS + 1));
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  ck_assert_int_eq(kit_pull(subscriber, bytes), WEIR_EDONE);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}

/* R07, R-33, invariants 1 to 3: cut after every byte, come back, and have all
 * of it, each once. */
START_TEST(r07_cut_at_every_byte) {
  struct kit_bytes bytes = {NULL, 0, 0};
  char end_cursor[WEIR_CURSOR_MAX];
  struct witness before;
  struct witness after;
  weir_subscriber *subscriber;
  char buffer[4096];
  size_t len;
  size_t n;
  int verdict;

  kit_hub(&kit);
  record(&bytes, end_cursor);
  ck_assert_uint_gt(bytes.len, 10000);
  witness_init(&before);
  for (n = 0; n <= bytes.len; ++n) {
    if (n != 0) {
      witness_feed(&before, bytes.data + n - 1, 1);
    }
    subscriber = kit_attach(&kit, "a", before.client.last_id, &verdict);
    if (before.done) {
      ck_assert_int_eq(verdict, WEIR_VERDICT_FINISHED);
      ck_assert_ptr_null(subscriber);
      continue;
    }
    /* A new client object with what the old one knows. */
    witness_init(&after);
    kit_client_free(&after.client);
    kit_client_init(&after.client, before.client.last_id);
    after.position = before.position;
    while (weir_subscriber_read(subscriber, buffer, sizeof buffer, &len) ==
           WEIR_OK) {
      witness_feed(&after, buffer, len);
    }
    ck_assert(after.done);
    ck_assert_uint_eq(after.lost, 0);
    ck_assert_uint_eq(before.received + after.received, EVENTS + 1);
    ck_assert_str_eq(after.client.last_id, end_cursor);
    witness_free(&after);
    weir_subscriber_release(subscriber);
  }
  ck_assert(before.done);
  /* A signal in the silence takes the place of the heartbeat. */
  ck_assert_uint_eq(before.signals, EVENTS / 5 + EVENTS / 9 - EVENTS / 45);
  witness_free(&before);
  kit_bytes_free(&bytes);
}
END_TEST

/* R04, invariants 4 and 10: whatever is replayed is what was sent live, to the
 * byte, from every position. */
START_TEST(inv10_replay_equals_live) {
  struct kit_bytes live = {NULL, 0, 0};
  struct kit_bytes replay = {NULL, 0, 0};
  weir_stream *stream;
  weir_subscriber *subscriber;
  size_t starts[EVENTS + 1];
  uint64_t seq;
  const char *frame;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  for (seq = 1; seq <= EVENTS; ++seq) {
    starts[seq - 1] = live.len;
    publish(stream, seq);
    ck_assert_int_eq(kit_pull(subscriber, &live), WEIR_EAGAIN);
  }
  starts[EVENTS] = live.len;
  weir_subscriber_release(subscriber);
  for (seq = 0; seq <= EVENTS; ++seq) {
    subscriber = kit_attach(&kit, "a", kit_cursor(stream, seq), NULL);
    replay.len = 0;
    ck_assert_int_eq(kit_pull(subscriber, &replay), WEIR_EAGAIN);
    frame = strstr(replay.data, "\n\n") + 2; /* behind `ready` */
    ck_assert_uint_eq(replay.len - (size_t)(frame - replay.data),
                      live.len - starts[seq]);
    ck_assert_mem_eq(frame, live.data + starts[seq], live.len - starts[seq]);
    weir_subscriber_release(subscriber);
  }
  kit_bytes_free(&live);
  kit_bytes_free(&replay);
  weir_stream_release(stream);
}
END_TEST

/* Encoded once: readers are shown the same memory. */
START_TEST(inv10_readers_share_the_bytes) {
  weir_stream *stream;
  weir_subscriber *subscribers[10];
  const void *base = NULL;
  weir_bytes run;
  size_t count;
  int i;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  publish(stream, 1);
  for (i = 0; i < 10; ++i) {
    subscribers[i] = kit_attach(&kit, "a", NULL, NULL);
    ck_assert_int_eq(weir_subscriber_peek(subscribers[i], &run, 1, &count),
                     WEIR_OK);
    ck_assert_int_eq(weir_subscriber_consume(subscribers[i], run.len), WEIR_OK);
    ck_assert_int_eq(weir_subscriber_peek(subscribers[i], &run, 1, &count),
                     WEIR_OK);
    ck_assert(base == NULL || base == run.base);
    base = run.base;
  }
  for (i = 0; i < 10; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  weir_stream_release(stream);
}
END_TEST

/* --- While it runs -------------------------------------------------------- */

/* A connection of which the client gets a part. */
struct wire {
  struct witness witness;
  weir_subscriber *subscriber; /* NULL: not connected */
  size_t budget;               /* bytes to the cut */
};

static void connect(struct wire *wire) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_request request;
  int verdict;

  weir_request_init(&request, sizeof request);
  request.header = wire->witness.client.last_id;
  request.header_len = strlen(wire->witness.client.last_id);
  options.request = &request;
  options.flags = WEIR_ATTACH_PING;
  wire->subscriber = NULL;
  ck_assert_int_eq(
      weir_hub_attach(kit.hub, &options, &wire->subscriber, &verdict), WEIR_OK);
}

/* The transport breaks; the host hears of it. */
static void cut(struct wire *wire) {
  witness_cut(&wire->witness);
  weir_subscriber_release(wire->subscriber);
  wire->subscriber = NULL;
}

/* Send what there is, as long as the connection lasts. */
static int transfer(struct wire *wire) {
  char buffer[512];
  size_t len = 0;
  int rv = WEIR_OK;

  while (rv == WEIR_OK && wire->budget != 0) {
    rv = weir_subscriber_read(
        wire->subscriber, buffer,
        wire->budget < sizeof buffer ? wire->budget : sizeof buffer, &len);
    if (rv == WEIR_OK) {
      witness_feed(&wire->witness, buffer, len);
      wire->budget -= len;
    }
  }
  if (wire->budget == 0) {
    cut(wire);
  }
  return rv;
}

/* One run, in which the first connection breaks after so many bytes; the client
 * is away for some events, comes back in mid-run, and stays. Returns how many
 * bytes it was sent. */
static uint64_t run_with_cut(size_t budget) {
  enum { SHORT = 40 };
  struct wire wire;
  weir_stream *stream;
  uint64_t sent;
  uint64_t seq;

  memset(&wire, 0, sizeof wire);
  witness_init(&wire.witness);
  stream = kit_open(&kit, "a");
  wire.budget = budget;
  connect(&wire);
  for (seq = 1; seq <= SHORT; ++seq) {
    publish(stream, seq);
    if (wire.subscriber != NULL) {
      (void)transfer(&wire);
    }
    between(stream, seq);
    if (wire.subscriber != NULL) {
      (void)transfer(&wire);
    } else if (seq % 3 == 0) {
      wire.budget = SIZE_MAX;
      connect(&wire);
    }
  }
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  while (!wire.witness.done) {
    if (wire.subscriber == NULL) {
      wire.budget = SIZE_MAX;
      connect(&wire);
    }
    (void)transfer(&wire);
  }
  ck_assert_uint_eq(wire.witness.received, SHORT + 1);
  ck_assert_uint_eq(wire.witness.lost, 0);
  sent = SIZE_MAX - wire.budget;
  weir_subscriber_release(wire.subscriber);
  witness_free(&wire.witness);
  weir_stream_release(stream);
  return sent;
}

/* R05, R25, R-1, R-2: for every number of bytes. */
START_TEST(r25_cut_at_every_byte_of_a_live_run) {
  size_t whole;
  size_t n;

  kit_hub(&kit);
  whole = (size_t)run_with_cut(SIZE_MAX);
  ck_assert_uint_gt(whole, 2000);
  for (n = 1; n < whole; ++n) {
    (void)run_with_cut(n);
  }
}
END_TEST

/* connections that break after so many bytes each still get ahead, as
 * long as an event fits between the greeting and the break. */
START_TEST(race30_short_connections_get_ahead) {
  struct wire wire;
  weir_stream *stream;
  uint64_t seq;
  int connections;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  for (seq = 1; seq <= EVENTS; ++seq) {
    publish(stream, seq);
  }
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  witness_init(&wire.witness);
  for (connections = 0; !wire.witness.done; ++connections) {
    ck_assert_int_le(connections, EVENTS + 1);
    wire.budget = 300 + (size_t)_i * 97;
    connect(&wire);
    if (transfer(&wire) == WEIR_EDONE) {
      cut(&wire);
    }
  }
  ck_assert_uint_eq(wire.witness.received, EVENTS + 1);
  witness_free(&wire.witness);
  weir_stream_release(stream);
}
END_TEST

/* R25: events that come while old ones are being replayed, n bytes at a time.
 */
START_TEST(r25_events_during_a_replay) {
  struct witness witness;
  weir_subscriber *subscriber;
  weir_stream *stream;
  char buffer[256];
  uint64_t last = 0;
  size_t len;
  int rv;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  while (last < 50) {
    last = publish(stream, last + 1);
  }
  witness_init(&witness);
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  do {
    rv = weir_subscriber_read(subscriber, buffer, (size_t)_i, &len);
    if (rv == WEIR_OK) {
      witness_feed(&witness, buffer, len);
    }
    if (last < 100) {
      last = publish(stream, last + 1);
    }
  } while (rv == WEIR_OK);
  ck_assert_int_eq(rv, WEIR_EAGAIN);
  ck_assert_uint_eq(witness.position, 100);
  ck_assert_uint_eq(witness.received, 100);
  witness_free(&witness);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* --- Anything that can happen --------------------------------------------- */

struct chance {
  uint64_t state;
};

static uint32_t draw(struct chance *chance, uint32_t bound) {
  chance->state = chance->state * UINT64_C(6364136223846793005) + 1442695041;
  return (uint32_t)(chance->state >> 33) % bound;
}

/* What happens to the producer. */
static void produce(struct chance *chance, weir_stream *stream,
                    uint64_t *last) {
  switch (draw(chance, 6)) {
    case 0:
      kit_signal(stream, "typing", "on");
      break;
    case 1:
      kit_pass(&kit, draw(chance, 15000));
      break;
    case 2:
      if (draw(chance, 10) == 0) {
        ck_assert_int_eq(weir_stream_trim(stream, draw(chance, 9) * *last / 10),
                         WEIR_OK);
      }
      break;
    default:
      *last = publish(stream, *last + 1);
      break;
  }
}

/* What happens to one of the connections. */
static void consume(struct chance *chance, struct wire *wire) {
  if (wire->subscriber == NULL) {
    if (draw(chance, 3) == 0 && !wire->witness.done) {
      wire->budget = 1 + draw(chance, 5000);
      connect(wire);
    }
    return;
  }
  switch (draw(chance, 12)) {
    case 0:
      cut(wire);
      break;
    case 1:
      (void)weir_subscriber_close(wire->subscriber, NULL, 0, 0);
      break;
    default:
      if (transfer(wire) == WEIR_EDONE || wire->subscriber == NULL) {
        if (wire->subscriber != NULL) {
          cut(wire);
        }
      }
      break;
  }
}

/* Some clients on one stream with a short memory, each cut off, closed, slow or
 * away at random: each sees every event once, or is told of its loss. */
START_TEST(inv02_nothing_is_skipped_in_silence) {
  struct chance chance = {(uint64_t)_i};
  struct wire wires[4];
  weir_stream *stream;
  uint64_t last = 0;
  uint64_t lost = 0;
  int i;

  kit.chance += (uint64_t)_i;
  kit.options.history_events = 20 + draw(&chance, 60);
  kit.options.signal_ring = 4;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  for (i = 0; i < 4; ++i) {
    memset(&wires[i], 0, sizeof wires[i]);
    witness_init(&wires[i].witness);
  }
  while (last < 300) {
    produce(&chance, stream, &last);
    consume(&chance, &wires[draw(&chance, 4)]);
  }
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  for (i = 0; i < 4; ++i) {
    while (!wires[i].witness.done) {
      wires[i].budget = SIZE_MAX;
      if (wires[i].subscriber == NULL) {
        connect(&wires[i]);
      }
      (void)transfer(&wires[i]);
      cut(&wires[i]);
    }
    ck_assert_uint_eq(wires[i].witness.position, last + 1);
    ck_assert_uint_eq(wires[i].witness.received + wires[i].witness.lost,
                      last + 1);
    lost += wires[i].witness.lost;
    witness_free(&wires[i].witness);
    weir_subscriber_release(wires[i].subscriber);
  }
  (void)lost;
  weir_stream_release(stream);
}
END_TEST

/* F11: a reader that takes nothing costs no memory, whatever is published. */
START_TEST(f11_a_slow_client_has_no_queue) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  weir_stream *stream;
  size_t most = 0;
  size_t before;
  uint64_t seq;

  kit.options.history_events = 100;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  options.stall = 0;
  subscriber = kit_attach_with(&kit, &options);
  for (seq = 1; seq <= 1000; ++seq) {
    publish(stream, seq);
    kit_signal(stream, "s", "");
    most = kit.memory.live > most ? kit.memory.live : most;
  }
  before = most;
  for (; seq <= 20000; ++seq) {
    publish(stream, seq);
    kit_signal(stream, "s", "");
    ck_assert_uint_le(kit.memory.live, before + 40000);
  }
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* --- The seed's own stories ----------------------------------------------- */

/* AQ3, R03: an event, three frames without an id, and a drop. */
START_TEST(r03_frames_without_an_id_move_no_cursor) {
  struct kit_client client;
  weir_subscriber *subscriber;
  weir_stream *stream;
  uint64_t seq;
  int i;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  for (seq = 1; seq <= 5; ++seq) {
    publish(stream, seq);
  }
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  for (i = 0; i < 3; ++i) {
    kit_signal(stream, "job.status", "{}");
  }
  kit_client_init(&client, "");
  ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EAGAIN);
  ck_assert_uint_eq(client.count, 9);
  ck_assert_str_eq(client.last_id, kit_cursor(stream, 5));
  kit_client_free(&client);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* AQ 1 to 4, R05: events 1 to 6, a frame without an id, a drop; meanwhile 7 and
 * 8 are stored. */
START_TEST(r05_what_came_meanwhile_comes_first) {
  weir_subscriber *subscriber;
  weir_stream *stream;
  uint64_t seq;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  for (seq = 1; seq <= 6; ++seq) {
    kit_publish(stream, "x", "y");
  }
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 5), NULL);
  kit_signal(stream, "job.status", "{}");
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "ready@5 resumed; x@6 y; job.status {}");
  weir_subscriber_release(subscriber);
  kit_publish(stream, "x", "7");
  kit_publish(stream, "x", "8");
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 6), NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@6 resumed; x@7 7; x@8 8");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* R06, F03: a cursor is exclusive, and one at the head gets nothing again. */
START_TEST(f03_a_client_at_the_head_gets_nothing_twice) {
  weir_subscriber *subscriber;
  weir_stream *stream;
  int i;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  publish(stream, 1);
  for (i = 0; i < 5; ++i) {
    subscriber = kit_attach(&kit, "a", kit_cursor(stream, 1), NULL);
    kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@1 resumed");
    weir_subscriber_release(subscriber);
  }
  weir_stream_release(stream);
}
END_TEST

/* F10, R-38: a client that has seen no event has a cursor all the same. */
START_TEST(race38_f10_the_first_frame_gives_a_cursor) {
  struct kit_client client;
  weir_subscriber *subscriber;
  weir_stream *stream;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  kit_client_init(&client, "");
  ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EAGAIN);
  ck_assert_str_eq(client.last_id, kit_cursor(stream, 0));
  weir_subscriber_release(subscriber);
  kit_publish(stream, "x", "y");
  subscriber = kit_attach(&kit, "a", client.last_id, NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 resumed; x@1 y");
  kit_client_free(&client);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* F19: a host that has sent the state as of an event by other means makes the
 * cursor itself, and the client gets what follows. */
START_TEST(f19_a_snapshot_and_the_tail) {
  weir_stream_info info = {.size = sizeof info};
  char text[WEIR_CURSOR_MAX + 1] = "";
  weir_subscriber *subscriber;
  weir_stream *stream;
  weir_cursor as_of;
  size_t len;
  int i;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  for (i = 0; i < 3; ++i) {
    kit_publish(stream, "x", "y");
  }
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  as_of.epoch = info.epoch;
  as_of.seq = info.last;
  ck_assert_int_eq(weir_cursor_format(&as_of, WEIR_CURSOR_EPOCH, text,
                                      sizeof text - 1, &len),
                   WEIR_OK);
  kit_publish(stream, "x", "z");
  subscriber = kit_attach(&kit, "a", text, NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@3 resumed; x@4 z");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* R10, R60: a resume that cannot be exact says so, in its first frame. */
START_TEST(r60_an_inexact_resume_says_so) {
  weir_subscriber *subscriber;
  weir_stream *stream;
  uint64_t seq;

  kit.options.history_events = 3;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  for (seq = 1; seq <= 5; ++seq) {
    kit_publish(stream, "x", "y");
  }
  /* The oldest that is left is 3: 2 is good, 1 is not. */
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 2), NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "ready@2 resumed; x@3 y; x@4 y; x@5 y");
  weir_subscriber_release(subscriber);
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 1), NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "gap@2 evicted 1 3-5; ready@2 evicted; x@3 y; x@4 y; "
                    "x@5 y");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* the end of an earlier turn does not stop the replay of this one. */
START_TEST(race34_an_older_end_stops_nothing) {
  weir_subscriber *subscriber;
  weir_stream *old;
  weir_stream *new;

  kit_hub(&kit);
  old = kit_open(&kit, "a");
  publish(old, 1);
  ck_assert_int_eq(weir_stream_end(old, "ok", 2, 0, NULL), WEIR_OK);
  new = kit_open(&kit, "a");
  kit_publish(new, "x", "1");
  kit_publish(new, "x", "2");
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  kit_publish(new, "x", "3");
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "ready@0 fresh; x@1 1; x@2 2; x@3 3");
  weir_subscriber_release(subscriber);
  weir_stream_release(old);
  weir_stream_release(new);
}
END_TEST

/* the end comes between a look at the stream and the attach,
 * with the last data, or while the last frame is half sent: it arrives. */
START_TEST(race04_the_end_is_never_missed) {
  struct witness witness;
  weir_subscriber *subscriber;
  weir_stream *stream;
  char buffer[64];
  uint64_t seq;
  size_t taken = 0;
  size_t len;
  int rv;

  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  for (seq = 1; seq <= 10; ++seq) {
    publish(stream, seq);
  }
  witness_init(&witness);
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  for (rv = WEIR_OK; rv != WEIR_EDONE; taken += 8) {
    if (taken == (size_t)_i * 8) {
      ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
    }
    rv = weir_subscriber_read(subscriber, buffer, 8, &len);
    if (rv == WEIR_OK) {
      witness_feed(&witness, buffer, len);
    }
  }
  ck_assert(witness.done);
  ck_assert_uint_eq(witness.received, 11);
  witness_free(&witness);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

static TCase *cuts(void) {
  TCase *tcase = tcase_create("cuts");

  tcase_set_timeout(tcase, 60);
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r07_cut_at_every_byte);
  tcase_add_test(tcase, r25_cut_at_every_byte_of_a_live_run);
  tcase_add_loop_test(tcase, race30_short_connections_get_ahead, 0, 8);
  tcase_add_loop_test(tcase, r25_events_during_a_replay, 1, 100);
  tcase_add_loop_test(tcase, inv02_nothing_is_skipped_in_silence, 0, 300);
  return tcase;
}

static TCase *bytes_case(void) {
  TCase *tcase = tcase_create("bytes");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, inv10_replay_equals_live);
  tcase_add_test(tcase, inv10_readers_share_the_bytes);
  tcase_add_test(tcase, f11_a_slow_client_has_no_queue);
  return tcase;
}

static TCase *stories(void) {
  TCase *tcase = tcase_create("stories");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r03_frames_without_an_id_move_no_cursor);
  tcase_add_test(tcase, r05_what_came_meanwhile_comes_first);
  tcase_add_test(tcase, f03_a_client_at_the_head_gets_nothing_twice);
  tcase_add_test(tcase, race38_f10_the_first_frame_gives_a_cursor);
  tcase_add_test(tcase, r60_an_inexact_resume_says_so);
  tcase_add_test(tcase, f19_a_snapshot_and_the_tail);
  tcase_add_test(tcase, race34_an_older_end_stops_nothing);
  tcase_add_loop_test(tcase, race04_the_end_is_never_missed, 0, 100);
  return tcase;
}

KIT_MAIN("resume", cuts(), bytes_case(), stories())
