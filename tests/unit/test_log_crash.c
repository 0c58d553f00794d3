/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The crash simulator. A hub lives on a file log: streams begin, are taken
 * over, are published to, trimmed, replaced, end; clients come, read and go;
 * the log is closed, killed, and has its power cut. After everything that it
 * changes on its disk the time stops, and each state in which a power cut could
 * leave that disk is opened by another hub, which has to keep every promise
 * that was made: what was acknowledged with WEIR_SYNC_ALWAYS is there, nothing
 * is there that was never published, no number of an epoch is given twice, no
 * client that resumes misses an event in silence, and all can go on.
 *
 * A few seconds of that by default; WEIR_LONG=1 looks at every change and every
 * subset, which takes half an hour. WEIR_SEED is where another world begins. */

#include "../filebench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../witness.h"

#define KEYS 4
#define CLIENTS 6
#define MINUTE UINT64_C(60000)
#define HOUR (60 * MINUTE)

static const char *const keys[KEYS] = {"a", "b", "c", "d"};

/* --- What has been promised ------------------------------------------------*/

/* A generation that a producer has been told of. */
struct promise {
  size_t key;
  uint64_t generation;
  uint64_t trimmed; /* at most so much of it may be missing */
  bool purged;      /* all of it may be */
  bool ended;       /* it has been acknowledged that it has */
};

/* The producer of a key. */
struct producer {
  weir_stream *stream;
  bool is_open;
  uint64_t generation;
  uint64_t epoch;
  uint64_t next; /* number of the next event */
};

struct client {
  size_t key;
  struct witness witness;
  weir_subscriber *subscriber;
};

static struct {
  struct filebench bench;
  struct facts facts;
  struct promise promises[1024];
  size_t promise_count;
  struct producer producers[KEYS];
  struct client clients[CLIENTS];
  uint64_t seed;
  int phase;   /* of a round: 0 none, 1 begun, 2 run */
  bool faulty; /* something has been made to fail in this life */
  size_t ops;
  /* How much is looked at. */
  unsigned one_in; /* of the changes */
  size_t sectors;
  size_t subsets;
  unsigned nested_in; /* of the states, one is itself stopped at each change */
} world;

/* What was looked at. */
static struct {
  size_t ops;
  size_t points;
  size_t states;
  size_t nested;
  size_t verdicts[10];
} sum;

static uint64_t draw(uint64_t below) {
  return sim_draw(&world.seed) % below;
}

static struct promise *promise_of(uint64_t generation) {
  size_t i;

  for (i = 0; i < world.promise_count; ++i) {
    if (world.promises[i].generation == generation) {
      return &world.promises[i];
    }
  }
  return NULL;
}

/* What retention has taken may be missing. */
static void note_retention(void) {
  weir_log_file_stream stream;
  bool there[sizeof world.promises / sizeof world.promises[0]];
  struct promise *promise;
  uint64_t at = 0;
  size_t i;

  if (world.bench.log == NULL) {
    return;
  }
  memset(there, 0, sizeof there);
  stream.size = sizeof stream;
  while (weir_log_file_next_stream(world.bench.log, &at, &stream) == WEIR_OK) {
    promise = promise_of(stream.generation);
    if (promise != NULL) {
      there[promise - world.promises] = true;
      promise->trimmed = weir__max(promise->trimmed, stream.trimmed);
    }
  }
  for (i = 0; i < world.promise_count; ++i) {
    world.promises[i].purged = world.promises[i].purged || !there[i];
  }
}

/* --- What is left ----------------------------------------------------------*/

/* Two hubs after a crash: the second one after a crash of the first. */
static struct filebench probes[2];

/* They keep everything, so that what is missing was not there. */
static void set_up(struct filebench *bench) {
  fb_init(bench);
  bench->options.sync = world.bench.options.sync;
  bench->options.keep_age = 0;
  bench->options.keep_ended = 0;
}

static int attach(struct filebench *bench, size_t key, struct witness *witness,
                  weir_subscriber **subscriber) {
  int verdict;

  *subscriber = kit_attach(&bench->kit, keys[key], witness->last_id, &verdict);
  ck_assert_int_ne(verdict, WEIR_VERDICT_MALFORMED);
  witness_connect(witness);
  return verdict;
}

/* Of an ended stream nothing is left, not even the end: what is known of it. */
static void know_ended(struct filebench *bench, size_t key,
                       struct witness *witness) {
  weir_log_file_stream stream;
  uint64_t at = 0;

  stream.size = sizeof stream;
  do {
    ck_assert_int_eq(weir_log_file_next_stream(bench->log, &at, &stream),
                     WEIR_OK);
  } while (stream.newest == 0 || stream.key_len != 1 ||
           memcmp(stream.key, keys[key], 1) != 0);
  kit_need(stream.ended != 0 && stream.trimmed == stream.ended);
  witness->generation = stream.generation;
  witness->ended = true;
  for (at = 1; at <= stream.ended; ++at) {
    witness->held[at] = WITNESS_LOST;
  }
}

/* Somebody who reads everything of a key. */
static weir_subscriber *attach_anew(struct filebench *bench, size_t key,
                                    struct witness *witness) {
  weir_subscriber *subscriber;
  int verdict;

  witness_init(witness, &world.facts);
  verdict = attach(bench, key, witness, &subscriber);
  if (verdict == WEIR_VERDICT_FRESH) {
    (void)witness_read(witness, subscriber);
  } else if (verdict == WEIR_VERDICT_FINISHED) {
    know_ended(bench, key, witness);
  } else {
    ck_assert_int_eq(verdict, WEIR_VERDICT_UNKNOWN);
  }
  return subscriber;
}

/* Everything that was acknowledged is there. */
static void expect_acknowledged(size_t key, const struct witness *all) {
  const struct promise *newest = NULL;
  const struct fact *fact;
  size_t i;

  for (i = 0; i < world.promise_count; ++i) {
    if (world.promises[i].key == key) {
      newest = &world.promises[i];
    }
  }
  if (newest == NULL || newest->purged) {
    return;
  }
  kit_need(all->generation != 0);
  if (all->generation != newest->generation) {
    /* It may be one whose beginning nobody has been told of yet. */
    kit_need(promise_of(all->generation) == NULL);
    return;
  }
  for (i = 0; i < world.facts.count; ++i) {
    fact = &world.facts.list[i];
    if (fact->generation == all->generation && fact->acked &&
        fact->seq > newest->trimmed && all->held[fact->seq] != i + 1) {
      ck_abort_msg("fact %zu was acknowledged, and is not there", i + 1);
    }
  }
  kit_need(!newest->ended || all->ended);
}

/* A client comes back. */
static void resume(struct filebench *bench, size_t key, struct client *client,
                   const struct witness *all) {
  const bool always = bench->options.sync == WEIR_SYNC_ALWAYS;
  struct witness *witness = &client->witness;
  const uint64_t generation = witness->generation;
  const int verdict = attach(bench, key, witness, &client->subscriber);
  int rv;

  ck_assert_int_ne(verdict, WEIR_VERDICT_PENDING);
  sum.verdicts[verdict] += 1;
  switch (verdict) {
    case WEIR_VERDICT_FINISHED:
      /* It has seen the end, or that there is nothing left of it. */
      kit_need(witness->ended || (generation == 0 && all->ended) ||
               witness->held[witness->at] == WITNESS_LOST);
      return;
    case WEIR_VERDICT_UNKNOWN:
      ck_assert_uint_eq(all->generation, 0);
      return;
    case WEIR_VERDICT_AHEAD:
      ck_abort_msg("a client is ahead");
      return;
    case WEIR_VERDICT_REWOUND:
      kit_need(!always);
      break;
    case WEIR_VERDICT_FOREIGN:
      /* Or what made it void is gone too. */
      kit_need(generation != all->generation || all->held[1] == WITNESS_LOST);
      break;
    default:
      break;
  }
  rv = witness_read(witness, client->subscriber);
  /* Of what has ended nobody waits for more. */
  ck_assert_int_eq(rv, all->ended ? WEIR_EDONE : WEIR_EAGAIN);
  witness_compare(witness, all);
}

/* Until neither the log nor the hub has anything to do: has this been stored?
 */
static bool settle(struct filebench *bench, uint64_t tag) {
  bool stored = false;
  weir_notice notice;

  do {
    ck_assert_int_eq(fb_rounds(bench), WEIR_OK);
    for (notice = kit_next(&bench->kit); notice.kind != 0;
         notice = kit_next(&bench->kit)) {
      if (notice.kind == WEIR_NOTICE_STORED && notice.tag == tag) {
        ck_assert_int_eq(notice.error, WEIR_OK);
        stored = true;
      }
    }
  } while (weir_log_file_get_timeout(bench->log) == 0);
  return stored;
}

/* Whoever comes now can go on. */
static void append_next(struct filebench *bench, size_t key) {
  char data[FACT_MOST];
  weir_stream *stream = kit_open(&bench->kit, keys[key]);
  weir_stream_info info;
  weir_event event;
  uint64_t last;
  uint32_t id;

  (void)settle(bench, 0);
  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  ck_assert_int_eq(info.status, WEIR_STREAM_LIVE);
  id = facts_add(&world.facts, info.generation, info.epoch, info.last + 1, 0);
  weir_event_init(&event, sizeof event);
  event.data = data;
  event.data_len = fact_data(id, data);
  event.tag = id;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, &last), WEIR_OK);
  ck_assert_uint_eq(last, info.last + 1);
  kit_need(settle(bench, id));
  weir_stream_release(stream);
}

/* All that has to hold of a key. */
static void expect_key(struct filebench *bench, size_t key) {
  static struct client clients[CLIENTS];
  static struct witness all;
  weir_subscriber *reader = attach_anew(bench, key, &all);
  bool begins_anew;
  size_t i;

  witness_expect_whole(&all);
  if (bench->options.sync == WEIR_SYNC_ALWAYS) {
    expect_acknowledged(key, &all);
  }
  for (i = 0; i < CLIENTS; ++i) {
    if (world.clients[i].key == key) {
      clients[i].witness = world.clients[i].witness;
      clients[i].subscriber = NULL;
      resume(bench, key, &clients[i], &all);
    }
  }
  begins_anew = reader == NULL || all.ended;
  append_next(bench, key);
  if (begins_anew) {
    weir_subscriber_release(reader);
    reader = attach_anew(bench, key, &all);
  }
  (void)witness_read(&all, reader);
  for (i = 0; i < CLIENTS; ++i) {
    if (world.clients[i].key != key) {
      continue;
    }
    if (clients[i].subscriber != NULL && !begins_anew) {
      (void)witness_read(&clients[i].witness, clients[i].subscriber);
      witness_compare(&clients[i].witness, &all);
    }
    weir_subscriber_release(clients[i].subscriber);
  }
  weir_subscriber_release(reader);
}

static void expect_cuts(const struct simdisk *disk, size_t depth);

static void stop_in_recovery(void *user) {
  sum.nested += 1;
  expect_cuts(&((struct filebench *)user)->disk, 1);
}

/* One state of a disk, which is in the probe. */
static void expect_state(struct filebench *bench, size_t depth) {
  const size_t facts = world.facts.count;
  size_t key;

  sum.states += 1;
  bench->wall = world.bench.wall;
  bench->kit.now = world.bench.kit.now;
  bench->chance = sum.states * UINT64_C(0x9e3779b97f4a7c15);
  bench->kit.chance = bench->chance ^ 42;
  if (depth == 0 && sum.states % world.nested_in == 0) {
    bench->disk.changed = stop_in_recovery;
    bench->disk.changed_user = bench;
  }
  fb_open(bench);
  bench->disk.changed = NULL;
  /* A crash is no damage, but for an index that was being written. */
  kit_need(!fb_said(bench, "damaged in") && !fb_said(bench, "lost"));
  for (key = 0; key < KEYS; ++key) {
    expect_key(bench, key);
  }
  kit_need(bench->options.sync != WEIR_SYNC_ALWAYS || fb_info(bench).lost == 0);
  ck_assert_int_eq(fb_close(bench), WEIR_OK);
  world.facts.count = facts;
}

/* Every state in which a power cut may leave this disk. */
static void expect_cuts(const struct simdisk *disk, size_t depth) {
  struct filebench *bench = &probes[depth];
  struct simcuts cuts;

  set_up(bench);
  simcuts_init(&cuts, disk);
  cuts.sectors = depth == 0 ? world.sectors : 3;
  cuts.subsets = depth == 0 ? world.subsets : 8;
  cuts.combinations = 4096;
  cuts.seed = sum.points + 1;
  while (simcuts_next(&cuts, &bench->disk)) {
    expect_state(bench, depth);
    fb_end(bench);
    set_up(bench);
  }
  simcuts_free(&cuts);
  fb_end(bench);
}

static void stop(void *user) {
  (void)user;
  sum.points += 1;
  note_retention();
  if (draw(world.one_in) == 0) {
    expect_cuts(&world.bench.disk, 0);
  }
}

/* --- A life ----------------------------------------------------------------*/

/* What a call came to is a success, unless something has been made to fail. */
static bool is_good(int error) {
  kit_need(error == WEIR_OK || world.faulty);
  return error == WEIR_OK;
}

static void set_producer(struct producer *producer) {
  struct promise *promise;
  weir_stream_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(producer->stream, &info), WEIR_OK);
  if (info.status != WEIR_STREAM_LIVE) {
    return;
  }
  producer->is_open = true;
  producer->generation = info.generation;
  producer->epoch = info.epoch;
  producer->next = info.last + info.pending + 1;
  if (promise_of(info.generation) == NULL) {
    ck_assert_uint_lt(world.promise_count,
                      sizeof world.promises / sizeof world.promises[0]);
    promise = &world.promises[world.promise_count++];
    memset(promise, 0, sizeof *promise);
    promise->key = (size_t)(producer - world.producers);
    promise->generation = info.generation;
  }
}

static void leave(struct producer *producer) {
  weir_stream_release(producer->stream);
  memset(producer, 0, sizeof *producer);
}

static void take_notices(void) {
  struct producer *producer;
  weir_notice notice;

  for (notice = kit_next(&world.bench.kit); notice.kind != 0;
       notice = kit_next(&world.bench.kit)) {
    producer = notice.stream != NULL ? notice.user : NULL;
    switch (notice.kind) {
      case WEIR_NOTICE_OPENED:
        if (is_good(notice.error)) {
          set_producer(producer);
        } else {
          leave(producer);
        }
        break;
      case WEIR_NOTICE_STORED:
        world.facts.list[notice.tag - 1].acked = is_good(notice.error);
        break;
      case WEIR_NOTICE_ENDED:
        if (is_good(notice.error)) {
          promise_of(producer->generation)->ended = true;
        }
        leave(producer);
        break;
      default:
        break;
    }
  }
}

static void open_stream(size_t key, int32_t on_duplicate) {
  struct producer *producer = &world.producers[key];
  weir_open_options options = kit_open_options(keys[key], NULL);

  leave(producer);
  options.user = producer;
  options.on_duplicate = on_duplicate;
  if (is_good(
          weir_hub_open(world.bench.kit.hub, &options, &producer->stream))) {
    set_producer(producer);
  }
}

static void publish(struct producer *producer) {
  static char data[5][FACT_MOST];
  weir_event events[5];
  const size_t count = 1 + (size_t)(draw(5) * draw(2));
  uint32_t first = 0;
  uint64_t last;
  size_t i;

  for (i = 0; i < count; ++i) {
    const uint32_t id = facts_add(&world.facts, producer->generation,
                                  producer->epoch, producer->next + i, first);

    first = first == 0 ? id : first;
    weir_event_init(&events[i], sizeof events[i]);
    events[i].data = data[i];
    events[i].data_len = fact_data(id, data[i]);
    events[i].tag = id;
  }
  if (is_good(weir_stream_publish(producer->stream, events, count, &last))) {
    producer->next += count;
    ck_assert_uint_eq(last + 1, producer->next);
  } else {
    producer->is_open = false;
  }
}

static void use_stream(size_t key) {
  struct producer *producer = &world.producers[key];
  const weir_event signal = kit_make_event("signal", "now");
  weir_stream_info info;

  if (producer->stream == NULL) {
    open_stream(key, WEIR_DUPLICATE_JOIN);
    return;
  }
  if (!producer->is_open) {
    return;
  }
  switch (draw(40)) {
    case 0:
      (void)is_good(weir_stream_end(producer->stream, "ok", 2, 0, NULL));
      producer->is_open = false;
      break;
    case 1:
      info.size = sizeof info;
      ck_assert_int_eq(weir_stream_get_info(producer->stream, &info), WEIR_OK);
      if (info.last != 0) {
        const uint64_t through = 1 + draw(info.last);
        struct promise *promise = promise_of(producer->generation);

        promise->trimmed = weir__max(promise->trimmed, through);
        (void)is_good(weir_stream_trim(producer->stream, through));
      }
      break;
    case 2:
      leave(producer);
      break;
    case 3:
      open_stream(key, WEIR_DUPLICATE_REPLACE);
      break;
    case 4:
    case 5:
      (void)is_good(weir_stream_signal(producer->stream, &signal, NULL));
      break;
    default:
      if (producer->next < 300) {
        publish(producer);
      } else {
        open_stream(key, WEIR_DUPLICATE_REPLACE);
      }
      break;
  }
}

static void use_client(struct client *client) {
  const uint64_t what = draw(8);
  int verdict;
  int rv;

  if (client->subscriber == NULL) {
    verdict = attach(&world.bench, client->key, &client->witness,
                     &client->subscriber);
    if (verdict == WEIR_VERDICT_FINISHED || what == 0) {
      /* Next time it is somebody else. */
      witness_init(&client->witness, &world.facts);
      weir_subscriber_release(client->subscriber);
      client->subscriber = NULL;
    }
    return;
  }
  rv = witness_read(&client->witness, client->subscriber);
  if (rv != WEIR_EAGAIN || what == 1) {
    weir_subscriber_release(client->subscriber);
    client->subscriber = NULL;
  }
}

/* A third of a round. */
static void go_round(void) {
  int rv;

  if (world.phase == 0) {
    rv = weir_log_file_begin(world.bench.log);
    if (rv == WEIR_EAGAIN) {
      return;
    }
    ck_assert_int_eq(rv, WEIR_OK);
  } else if (world.phase == 1) {
    weir_log_file_run(world.bench.log);
  } else {
    (void)is_good(weir_log_file_end(world.bench.log));
  }
  world.phase = (world.phase + 1) % 3;
}

/* All rounds that there are. */
static void go_rounds(void) {
  while (world.phase != 0) {
    go_round();
  }
  (void)is_good(fb_rounds(&world.bench));
}

static void let_go(void) {
  size_t i;

  for (i = 0; i < KEYS; ++i) {
    leave(&world.producers[i]);
  }
  for (i = 0; i < CLIENTS; ++i) {
    weir_subscriber_release(world.clients[i].subscriber);
    world.clients[i].subscriber = NULL;
  }
}

static void reopen(void) {
  simdisk_heal(&world.bench.disk);
  world.faulty = false;
  fb_open(&world.bench);
}

static void close_cleanly(void) {
  while (world.phase != 0) {
    go_round();
  }
  let_go();
  (void)is_good(fb_close(&world.bench));
  reopen();
}

/* The process dies: what it has not done it does not do. */
static void die(void) {
  let_go();
  simdisk_fail_on(&world.bench.disk, SIM_ANY, 1, SIM_ERROR, EIO);
  if (world.phase == 1) {
    weir_log_file_run(world.bench.log);
  }
  if (world.phase != 0) {
    (void)weir_log_file_end(world.bench.log);
  }
  world.phase = 0;
  (void)fb_close(&world.bench);
  simdisk_heal(&world.bench.disk);
}

/* The power fails, and the world goes on with what is left. */
static void cut_power(void) {
  struct simcuts cuts;
  struct simdisk left;
  uint64_t skip = draw(64);

  die();
  simcuts_init(&cuts, &world.bench.disk);
  cuts.seed = draw(1000000);
  ck_assert(simcuts_next(&cuts, &left));
  for (; skip > 0; --skip) {
    struct simdisk other;

    if (!simcuts_next(&cuts, &other)) {
      break;
    }
    simdisk_free(&left);
    simdisk_copy(&other, &left);
    simdisk_free(&other);
  }
  simcuts_free(&cuts);
  world.bench.disk.changed = NULL;
  fb_set_disk(&world.bench, &left);
  simdisk_free(&left);
  world.bench.disk.changed = stop;
}

/* Of what comes, one call will fail. */
static void break_something(void) {
  simdisk_heal(&world.bench.disk);
  world.faulty = true;
  switch (draw(4)) {
    case 0:
      simdisk_fail(&world.bench.disk, SIM_SYNC, 1 + (size_t)draw(3), SIM_KEEP,
                   0);
      break;
    case 1:
      simdisk_fail(&world.bench.disk, SIM_WRITE, 1 + (size_t)draw(6), SIM_ERROR,
                   ENOSPC);
      break;
    default:
      simdisk_fail(&world.bench.disk, SIM_ANY, 1 + (size_t)draw(12), SIM_ERROR,
                   EIO);
      break;
  }
}

static void live(size_t ops) {
  uint64_t what;

  for (world.ops = 0; world.ops < ops; ++world.ops) {
    sum.ops += 1;
    what = draw(200);
    if (what < 90) {
      /* Now this one and now that, so that some are old when segments go. */
      use_stream(draw(24) == 0 ? (size_t)draw(KEYS) : world.ops / 100 % KEYS);
    } else if (what < 130) {
      use_client(&world.clients[draw(CLIENTS)]);
    } else if (what < 180) {
      go_round();
    } else if (what < 190) {
      go_rounds();
    } else if (what < 196) {
      const uint64_t ms = draw(20) == 0 ? 2 * HOUR : draw(2000);

      /* No call has to wait for its answer for so long. */
      go_rounds();
      take_notices();
      go_rounds();
      world.bench.kit.now += ms;
      world.bench.wall += ms;
    } else if (what == 196) {
      close_cleanly();
    } else if (what == 197) {
      cut_power();
      reopen();
    } else if (what == 198) {
      die();
      reopen();
    } else {
      break_something();
    }
    take_notices();
    note_retention();
  }
}

static void begin(int sync, uint64_t seed, bool is_long) {
  size_t i;

  memset(&world, 0, sizeof world);
  world.one_in = is_long ? 1 : 20;
  world.sectors = is_long ? 12 : 3;
  world.subsets = is_long ? 256 : 6;
  world.nested_in = is_long ? 500 : 200;
  set_up(&world.bench);
  world.bench.options.sync = sync;
  world.bench.options.keep_bytes = 6 * 4096;
  world.bench.options.keep_ended = HOUR;
  world.seed = seed;
  for (i = 0; i < CLIENTS; ++i) {
    world.clients[i].key = i % KEYS;
    witness_init(&world.clients[i].witness, &world.facts);
  }
  world.bench.disk.changed = stop;
  fb_open(&world.bench);
}

static void end(void) {
  while (world.phase != 0) {
    go_round();
  }
  let_go();
  fb_end(&world.bench);
  facts_free(&world.facts);
}

START_TEST(crashes) {
  const char *text = getenv("WEIR_SEED");
  const bool is_long = getenv("WEIR_LONG") != NULL;
  const uint64_t first = text == NULL ? 1 : strtoull(text, NULL, 10);
  const size_t *v = sum.verdicts;
  uint64_t seed;
  int sync;

  for (seed = first; seed < first + (is_long ? 1 : 2); ++seed) {
    for (sync = WEIR_SYNC_ALWAYS; sync <= WEIR_SYNC_NEVER; ++sync) {
      begin(sync, seed, is_long);
      live(is_long ? 2000 : 1000);
      end();
    }
  }
  printf(
      "crashes: %zu operations, %zu changes of the disk, %zu states after a "
      "power cut (%zu changes in a recovery); clients: %zu resumed, %zu "
      "rewound, %zu evicted, %zu foreign, %zu finished, %zu unknown\n",
      sum.ops, sum.points, sum.states, sum.nested, v[WEIR_VERDICT_RESUMED],
      v[WEIR_VERDICT_REWOUND], v[WEIR_VERDICT_EVICTED], v[WEIR_VERDICT_FOREIGN],
      v[WEIR_VERDICT_FINISHED], v[WEIR_VERDICT_UNKNOWN]);
  fflush(stdout);
}
END_TEST

static TCase *crash(void) {
  TCase *tcase = tcase_create("crash");

  tcase_set_timeout(tcase, 36000);
  tcase_add_test(tcase, crashes);
  return tcase;
}

KIT_MAIN("log_crash", crash())
