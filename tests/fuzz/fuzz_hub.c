/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The API: bytes become calls on a hub, without a log or with one that answers
 * when it is told to, and readers who come and go. A plain list of what was
 * published says what they may be given. */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../testlog.h"
#include "reader.h"

#define CALLS_MOST 400
#define READERS 4
#define STREAMS 4
#define FACTS 2048
#define DATA_MOST 1200

/* ms that storage is waited for. */
#define DEADLINE 10000

/* An event that was published: its data is its index, and so many zeros. */
struct fact {
  weir_cursor cursor; /* 0-0: not known yet */
  int zeros;
};

struct world {
  struct kit kit;
  struct testlog log;
  bool has_log;
  struct fuzz_input input;
  weir_stream *streams[STREAMS];
  struct fuzz_reader readers[READERS];
  bool has_failed; /* the log */
  uint64_t began;
  struct fact facts[FACTS];
  size_t fact_count;
};

static const char *const keys[] = {"a", "b"};

static const char *choose_key(struct world *world) {
  return keys[fuzz_byte(&world->input) & 1];
}

/* --- What may be said to a reader
 * -------------------------------------------*/

static size_t write_data(char data[DATA_MOST], size_t i, int zeros) {
  return (size_t)snprintf(data, DATA_MOST, "%zu:%0*d", i, zeros, 0);
}

/* It was published, and nothing else under this id. */
static void check_event(void *user, const struct kit_event *event,
                        const weir_cursor *cursor) {
  struct world *world = user;
  struct fact *fact;
  char data[DATA_MOST];
  size_t i;

  if (strncmp(event->type, "weir.", 5) == 0) {
    return;
  }
  i = (size_t)strtoul(event->data, NULL, 10);
  kit_need(i < world->fact_count);
  fact = &world->facts[i];
  kit_need(fuzz_same(event->data, event->data_len, data,
                     write_data(data, i, fact->zeros)));
  if (fact->cursor.seq == 0) {
    fact->cursor = *cursor;
    for (i = 0; i < world->fact_count; ++i) {
      kit_need(&world->facts[i] == fact ||
               world->facts[i].cursor.seq != cursor->seq ||
               world->facts[i].cursor.epoch != cursor->epoch);
    }
  }
  ck_assert_uint_eq(fact->cursor.seq, cursor->seq);
  ck_assert_uint_eq(fact->cursor.epoch, cursor->epoch);
}

/* --- Calls -----------------------------------------------------------------*/

/* What it may return: an error that has a name, or what storage refused with.
 */
static bool is_known(int rv) {
  return (rv <= WEIR_OK && rv >= WEIR_EACCESS) || rv == WEIR_EHOST;
}

static void open_stream(struct world *world) {
  const uint8_t how = fuzz_byte(&world->input);
  const size_t i = how % STREAMS;
  weir_open_options options = kit_open_options(choose_key(world), "");
  int rv;

  weir_stream_release(world->streams[i]);
  world->streams[i] = NULL;
  options.on_duplicate = (how >> 2) % 3;
  options.flags = (how >> 4) == 15   ? WEIR_OPEN_LOOK
                  : (how >> 4) == 14 ? WEIR_OPEN_EXISTING
                  : (how >> 4) == 13 ? WEIR_OPEN_UNENDED
                                     : 0;
  if ((how >> 4) == 12) {
    weir_open_options_set_answer(&options);
    options.abandoned = 1000;
    options.on_abandoned = WEIR_ACTION_END;
  }
  options.linger = (how >> 4) == 11 ? 1 : options.linger;
  rv = weir_hub_open(world->kit.hub, &options, &world->streams[i]);
  kit_need(is_known(rv) && (rv == WEIR_OK) == (world->streams[i] != NULL));
}

static void publish(struct world *world, weir_stream *stream) {
  const size_t count = 1 + fuzz_byte(&world->input) % 3;
  const int zeros = fuzz_byte(&world->input) * 4 + 1;
  char data[3][DATA_MOST];
  weir_event events[3];
  weir_stream_info info;
  struct fact *fact;
  uint64_t last = 0;
  size_t i;
  int rv;

  if (world->fact_count + count > FACTS) {
    return;
  }
  for (i = 0; i < count; ++i) {
    fact = &world->facts[world->fact_count + i];
    memset(fact, 0, sizeof *fact);
    fact->zeros = zeros;
    weir_event_init(&events[i], sizeof events[i]);
    events[i].type = "x";
    events[i].type_len = 1;
    events[i].data = data[i];
    events[i].data_len = write_data(data[i], world->fact_count + i, zeros);
    events[i].tag = i + 1;
  }
  world->fact_count += count;
  rv = weir_stream_publish(stream, events, count, &last);
  kit_need(is_known(rv));
  if (rv == WEIR_OK) {
    /* From now on their numbers are theirs; those that a log has to give the
     * epoch for are seen later. */
    info.size = sizeof info;
    ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
    for (i = 0; i < count && !world->has_log; ++i) {
      fact = &world->facts[world->fact_count - count + i];
      fact->cursor.epoch = info.epoch;
      fact->cursor.seq = last - count + 1 + i;
    }
    kit_need(last >= count);
  } else {
    ck_assert_uint_eq(last, 0);
    if (!world->has_log) {
      /* It was never published: no number may be seen with it. */
      world->fact_count -= count;
    }
  }
}

static void use_stream(struct world *world) {
  const uint8_t how = fuzz_byte(&world->input);
  weir_stream *stream = world->streams[how % STREAMS];
  const weir_event signal = kit_make_event("signal", "now");
  weir_stream_info info;
  uint64_t seq = 0;
  uint64_t before = 0;
  int rv = WEIR_OK;

  info.size = sizeof info;
  if (weir_stream_get_info(stream, &info) == WEIR_OK) {
    before = info.last;
    kit_need(info.trimmed <= info.last &&
             (info.ended == 0 || info.ended == info.last));
  }
  switch (how >> 2) {
    case 0:
      rv = weir_stream_end(stream, "ok", 2, 9, &seq);
      break;
    case 1:
      rv = weir_stream_fail(stream, "code", 4, "message", 7, 9, &seq);
      break;
    case 2:
      rv = weir_stream_cancel(stream, "why", how & 3);
      break;
    case 3:
    case 4:
      rv = weir_stream_trim(stream, fuzz_byte(&world->input) % (before + 2));
      break;
    case 5:
    case 6:
    case 7:
    case 8:
      rv = weir_stream_signal(stream, &signal, &seq);
      break;
    case 9:
      weir_stream_release(stream);
      world->streams[how % STREAMS] = NULL;
      return;
    default:
      publish(world, stream);
      return;
  }
  kit_need(is_known(rv));
  info.size = sizeof info;
  if (weir_stream_get_info(stream, &info) == WEIR_OK) {
    kit_need(info.last >= before || info.status == WEIR_STREAM_REFUSED ||
             world->has_log);
  }
}

/* What becomes of a cursor, without a log. -1: of one of an earlier run, that
 * is not known here. */
static int judge(struct world *world, const char *key,
                 const weir_request *request) {
  weir_open_options look = kit_open_options(key, "");
  weir_stream *stream = NULL;
  weir_stream_info info;
  weir_cursor cursor;
  int rv = weir_cursor_parse(WEIR_CURSOR_EPOCH, request->header,
                             request->header_len, &cursor);

  look.flags = WEIR_OPEN_LOOK;
  if (weir_hub_open(world->kit.hub, &look, &stream) != WEIR_OK) {
    return rv == WEIR_OK ? -1 : WEIR_VERDICT_UNKNOWN;
  }
  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  weir_stream_release(stream);
  if (rv == WEIR_EABSENT) {
    /* There is nothing to come, ever, when the end is gone, too. */
    return info.ended != 0 && info.trimmed == info.ended ? WEIR_VERDICT_FINISHED
                                                         : WEIR_VERDICT_FRESH;
  }
  return rv != WEIR_OK                                 ? WEIR_VERDICT_MALFORMED
         : cursor.epoch != info.epoch                  ? -1
         : cursor.seq > info.last                      ? WEIR_VERDICT_AHEAD
         : info.ended != 0 && cursor.seq == info.ended ? WEIR_VERDICT_FINISHED
         : cursor.seq < info.trimmed                   ? WEIR_VERDICT_EVICTED
                                                       : WEIR_VERDICT_RESUMED;
}

static void attach(struct world *world) {
  const uint8_t how = fuzz_byte(&world->input);
  struct fuzz_reader *reader = &world->readers[how % READERS];
  const char *key = choose_key(world);
  weir_attach_options options = kit_attach_options(key, "");
  weir_subscriber *subscriber = NULL;
  weir_request request;
  struct fuzz_bytes made_up = fuzz_copy(NULL, 0);
  int verdict = -1;
  int want;
  int rv;

  fuzz_reader_end(reader);
  weir_request_init(&request, sizeof request);
  request.header = reader->client.last_id;
  request.header_len = strlen(reader->client.last_id);
  if ((how >> 4) == 15) {
    free(made_up.data);
    made_up = fuzz_some(&world->input, 40);
    request.header = made_up.data;
    request.header_len = made_up.len;
  }
  options.request = &request;
  options.start = (how >> 4) == 14 ? WEIR_FROM_HEAD : WEIR_FROM_START;
  options.flags = (how >> 4) == 13   ? WEIR_ATTACH_PING
                  : (how >> 4) == 12 ? WEIR_ATTACH_STRICT
                                     : 0;
  options.client = "someone";
  options.client_len = (how & 4) != 0 ? 7 : 0;
  options.on_duplicate = (how >> 4) % 3;
  want = world->has_log ? -1 : judge(world, key, &request);
  rv = weir_hub_attach(world->kit.hub, &options, &subscriber, &verdict);
  kit_need(is_known(rv));
  if (rv == WEIR_OK) {
    ck_assert_msg(want == -1 || verdict == want, "verdict %d, not %d", verdict,
                  want);
    kit_need((subscriber == NULL) == (verdict == WEIR_VERDICT_FINISHED ||
                                      verdict == WEIR_VERDICT_UNKNOWN));
    kit_need(world->has_log || verdict != WEIR_VERDICT_PENDING);
  } else {
    kit_need(subscriber == NULL && verdict == -1);
  }
  if (subscriber != NULL) {
    fuzz_reader_begin(reader, subscriber);
  }
  free(made_up.data);
}

static void use_reader(struct world *world) {
  const uint8_t how = fuzz_byte(&world->input);
  struct fuzz_reader *reader = &world->readers[how % READERS];
  const weir_event signal = kit_make_event("signal", "you");
  int rv;

  if (reader->subscriber == NULL) {
    return;
  }
  switch (how >> 4) {
    case 0:
      fuzz_reader_end(reader);
      break;
    case 1:
      weir_subscriber_detach(reader->subscriber);
      break;
    case 2:
      (void)weir_subscriber_close(reader->subscriber, NULL, 0, 0);
      break;
    case 3:
      (void)weir_subscriber_signal(reader->subscriber, &signal);
      break;
    case 4:
    case 5:
    case 6:
      rv = fuzz_reader_take(reader, 1 + (size_t)fuzz_byte(&world->input),
                            (how & 4) != 0);
      kit_need(is_known(rv));
      break;
    default:
      do {
        rv = fuzz_reader_take(reader, 4096, (how & 4) != 0);
      } while (rv == WEIR_OK);
      kit_need(is_known(rv));
      break;
  }
}

static void use_log(struct world *world) {
  const uint8_t how = fuzz_byte(&world->input);
  const size_t waiting = testlog_waiting(&world->log);
  static const int results[] = {WEIR_EIO, WEIR_EUNKNOWN, WEIR_EFULL,
                                WEIR_EHOST};

  if (!world->has_log) {
    return;
  }
  if ((how & 1) == 0 && waiting != 0) {
    testlog_deliver(&world->log, (how >> 1) % waiting);
  } else if ((how >> 4) == 15 && world->log.plan_count < 8) {
    world->has_failed = true;
    testlog_fail(&world->log, (how >> 1) % TESTLOG_KINDS,
                 1 + (size_t)(how >> 3 & 1), TESTLOG_REFUSE,
                 results[fuzz_byte(&world->input) & 3]);
  } else {
    testlog_deliver_all(&world->log);
  }
}

static void call(struct world *world) {
  const uint8_t what = fuzz_byte(&world->input);
  weir_notice notice;
  weir_hub_info info;

  switch (what % 16) {
    case 0:
    case 1:
      open_stream(world);
      break;
    case 2:
    case 3:
      attach(world);
      break;
    case 4:
    case 5:
    case 6:
    case 7:
      use_stream(world);
      break;
    case 8:
    case 9:
    case 10:
      use_reader(world);
      break;
    case 11:
    case 12:
      use_log(world);
      break;
    case 13:
      world->kit.now += fuzz_number(&world->input, 1 + (what >> 7));
      (void)weir_hub_get_timeout(world->kit.hub);
      break;
    case 14:
      notice.size = sizeof notice;
      while (weir_hub_next(world->kit.hub, &notice) == WEIR_OK) {
        kit_need(notice.kind != 0);
      }
      break;
    default:
      info.size = sizeof info;
      ck_assert_int_eq(weir_hub_get_info(world->kit.hub, &info), WEIR_OK);
      kit_need(info.subscribers <= READERS + info.pending + info.attaches);
      if (what >> 4 == 15) {
        (void)weir_hub_drain(world->kit.hub, 10, 0);
      } else {
        (void)weir_hub_hint(world->kit.hub, choose_key(world), 1, what >> 4);
      }
      break;
  }
}

/* --- The end ---------------------------------------------------------------*/

/* Storage answers all there is to answer. */
static void settle(struct world *world) {
  weir_notice notice;

  notice.size = sizeof notice;
  do {
    if (world->has_log) {
      testlog_deliver_all(&world->log);
    }
    while (weir_hub_next(world->kit.hub, &notice) == WEIR_OK) {
    }
  } while (world->has_log && testlog_waiting(&world->log) != 0);
}

/* Who reads all that there is comes to the last event. */
static void read_all(struct world *world, const char *key) {
  weir_open_options look = kit_open_options(key, "");
  weir_attach_options options = kit_attach_options(key, "");
  struct fuzz_reader reader;
  weir_subscriber *subscriber = NULL;
  weir_stream *stream = NULL;
  weir_stream_info info;
  int verdict;
  int rv;

  look.flags = WEIR_OPEN_LOOK;
  (void)weir_hub_open(world->kit.hub, &look, &stream);
  settle(world);
  info.size = sizeof info;
  if (weir_stream_get_info(stream, &info) != WEIR_OK ||
      info.status == WEIR_STREAM_REFUSED || info.last == info.trimmed ||
      weir_hub_attach(world->kit.hub, &options, &subscriber, &verdict) !=
          WEIR_OK) {
    weir_stream_release(stream);
    return;
  }
  fuzz_reader_init(&reader);
  reader.check = check_event;
  reader.user = world;
  kit_need(subscriber != NULL);
  fuzz_reader_begin(&reader, subscriber);
  do {
    settle(world);
    do {
      rv = fuzz_reader_take(&reader, 4096, true);
    } while (rv == WEIR_OK);
  } while (world->has_log && testlog_waiting(&world->log) != 0);
  ck_assert_int_eq(rv, info.ended != 0 ? WEIR_EDONE : WEIR_EAGAIN);
  ck_assert_uint_eq(reader.at, info.last);
  fuzz_reader_free(&reader);
  weir_stream_release(stream);
}

static void finish(struct world *world) {
  size_t i;

  /* Of storage that has failed, or was given up, nothing is known. */
  settle(world);
  if (!world->has_failed && world->kit.now - world->began < DEADLINE) {
    read_all(world, keys[0]);
    read_all(world, keys[1]);
  }
  for (i = 0; i < STREAMS; ++i) {
    weir_stream_release(world->streams[i]);
  }
  for (i = 0; i < READERS; ++i) {
    while (world->readers[i].subscriber != NULL &&
           fuzz_reader_take(&world->readers[i], 4096, false) == WEIR_OK) {
    }
    fuzz_reader_free(&world->readers[i]);
  }
  if (world->has_log) {
    while (testlog_waiting(&world->log) != 0) {
      testlog_deliver_all(&world->log);
    }
  }
  weir_hub_free(world->kit.hub);
  world->kit.hub = NULL;
  if (world->has_log) {
    testlog_end(&world->log);
  }
  ck_assert_uint_eq(world->kit.memory.live, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct world world;
  size_t i;
  int calls;
  uint8_t how;

  memset(&world, 0, sizeof world);
  world.input.p = data;
  world.input.left = size;
  how = fuzz_byte(&world.input);
  kit_init(&world.kit);
  world.began = world.kit.now;
  world.has_log = (how & 1) != 0;
  if (world.has_log) {
    testlog_init(&world.log);
    world.log.later = (how & 2) != 0;
    world.log.slow = (how & 4) != 0;
    world.log.encoded = (how & 8) != 0;
    world.kit.options.log = &world.log.log;
  }
  world.kit.options.history_events = (how & 16) != 0 ? 5 : 0;
  world.kit.options.history_bytes = (how & 32) != 0 ? 4096 : 1 << 20;
  world.kit.options.signal_ring = (how & 64) != 0 ? 1 : 64;
  world.kit.options.max_client_subscribers = 2;
  kit_hub(&world.kit);
  for (i = 0; i < READERS; ++i) {
    fuzz_reader_init(&world.readers[i]);
    world.readers[i].check = check_event;
    world.readers[i].user = &world;
  }
  for (calls = 0; calls < CALLS_MOST && world.input.left != 0; ++calls) {
    call(&world);
  }
  finish(&world);
  return 0;
}
