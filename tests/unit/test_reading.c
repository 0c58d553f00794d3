/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Reading from a log: what a client gets of what storage has, what it shares
 * with others, and what it is told when storage has lost something, or says
 * what cannot be. */

#include "../bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bench bench;
static struct testlog *const storage = &bench.log;
static struct kit *const a = &bench.a;
static struct kit *const b = &bench.b;

static void setup(void) {
  bench_init(&bench);
}

static void teardown(void) {
  bench_end(&bench);
}

/* n events in storage, of a writer that is gone. Returns its epoch. */
static uint64_t write_and_leave(size_t n) {
  weir_stream *stream = bench_open(&bench, b, "k");
  const uint64_t epoch = bench_info(stream).epoch;

  bench_publish(&bench, stream, n);
  weir_stream_release(stream);
  kit_end(b);
  kit_hub(b);
  return epoch;
}

/* A new client on the first hub: what it sees. */
static void expect_all(int rv, const char *text) {
  weir_subscriber *reader = bench_attach(&bench, a, "k", NULL);

  ck_assert_ptr_nonnull(reader);
  bench_expect(&bench, reader, rv, text);
  weir_subscriber_release(reader);
}

/* One that comes back: its verdict, and what it sees. */
static void expect_resumed(uint64_t epoch, uint64_t seq, int want,
                           const char *text) {
  int verdict;
  weir_subscriber *reader = bench_resume(&bench, a, "k", epoch, seq, &verdict);

  ck_assert_int_eq(verdict, want);
  bench_expect(&bench, reader, WEIR_EAGAIN, text);
  weir_subscriber_release(reader);
}

/* Pull what a reader has, wherever it comes from; returns the data of its
 * events in a row, each an `x`, after checking that their numbers rise by one
 * from `after` on. */
static uint64_t drain(weir_subscriber *reader, uint64_t after) {
  struct kit_client client;
  size_t before = 0;
  int quiet = 0;
  size_t i;

  kit_client_init(&client, "");
  while (quiet < 2) {
    (void)kit_client_read(&client, reader);
    bench_rest(&bench);
    quiet = client.count == before ? quiet + 1 : 0;
    before = client.count;
  }
  for (i = 0; i < client.count; ++i) {
    if (strcmp(client.events[i].type, "x") == 0) {
      after += 1;
      ck_assert_uint_eq(strtoull(client.events[i].data, NULL, 10), after);
      ck_assert_uint_eq(
          strtoull(strchr(client.events[i].id, '-') + 1, NULL, 10), after);
    }
  }
  kit_client_free(&client);
  return after;
}

/* --- Cursors and what storage has ---------------------------------------- */

/* A cursor is exclusive, at every position, and whatever the block it is in. */
START_TEST(r06_what_follows_a_cursor) {
  const uint64_t last = 130;
  weir_subscriber *reader;
  uint64_t epoch;
  uint64_t seq;
  int verdict;

  storage->encoded = (_i & 1) != 0;
  storage->later = (_i & 2) != 0;
  bench_hubs(&bench);
  epoch = write_and_leave(last);
  for (seq = 0; seq <= last; ++seq) {
    kit_end(a);
    kit_hub(a);
    reader = bench_resume(&bench, a, "k", epoch, seq, &verdict);
    ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
    ck_assert_uint_eq(drain(reader, seq), last);
    weir_subscriber_release(reader);
  }
}
END_TEST

/* What becomes of a cursor after a crash that lost events: nothing that was
 * given to one event is given to another, so no cursor means what it did not
 * mean before. */
START_TEST(race14_a_crash_that_lost_events) {
  weir_stream *stream;
  uint64_t before;
  uint64_t after;

  bench_hubs(&bench);
  before = write_and_leave(3);
  testlog_crash(storage, "k", 2);
  stream = bench_open(&bench, b, "k");
  after = bench_info(stream).epoch;
  bench_publish(&bench, stream, 2);
  ck_assert_uint_eq(bench_info(stream).last, 4);
  expect_resumed(before, 0, WEIR_VERDICT_RESUMED,
                 "ready@0 resumed; x@1 1; x@2 2; x@3 3; x@4 4");
  expect_resumed(before, 2, WEIR_VERDICT_RESUMED,
                 "ready@2 resumed; x@3 3; x@4 4");
  /* From its 3 on, what this client has is void. */
  expect_resumed(before, 3, WEIR_VERDICT_REWOUND,
                 "gap@2 rewound 3 3-4; ready@2 rewound; x@3 3; x@4 4");
  expect_resumed(before, 4, WEIR_VERDICT_REWOUND,
                 "gap@2 rewound 4 3-4; ready@2 rewound; x@3 3; x@4 4");
  expect_resumed(after, 2, WEIR_VERDICT_RESUMED,
                 "ready@2 resumed; x@3 3; x@4 4");
  expect_resumed(after, 4, WEIR_VERDICT_RESUMED, "ready@4 resumed");
  expect_resumed(after, 5, WEIR_VERDICT_AHEAD,
                 "gap@0 ahead 5 1-4; ready@0 ahead; x@1 1; x@2 2; x@3 3; "
                 "x@4 4");
  expect_resumed(12345, 3, WEIR_VERDICT_FOREIGN,
                 "gap@0 foreign 3 1-4; ready@0 foreign; x@1 1; x@2 2; x@3 3; "
                 "x@4 4");
  weir_stream_release(stream);
}
END_TEST

/* One that lost all that was left: nothing is trimmed beyond what there is. */
START_TEST(race14_a_crash_that_lost_all_that_was_left) {
  weir_stream *stream;
  weir_subscriber *reader;
  uint64_t before;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  before = bench_info(stream).epoch;
  bench_publish(&bench, stream, 5);
  ck_assert_int_eq(weir_stream_trim(stream, 4), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(stream);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@4 fresh; x@5 5");
  kit_end(b);
  kit_hub(b);
  testlog_find(storage, "k")->trimmed = 2;
  testlog_crash(storage, "k", 2);
  stream = bench_open(&bench, b, "k");
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 6), WEIR_OK);
  bench_expect(&bench, reader, WEIR_EDONE, "closing unavailable");
  weir_subscriber_release(reader);
  expect_all(WEIR_EAGAIN, "ready@2 fresh");
  bench_publish(&bench, stream, 1);
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 3), WEIR_OK);
  expect_resumed(before, 5, WEIR_VERDICT_REWOUND,
                 "gap@2 rewound 5 3-2; ready@2 rewound; x@3 3");
  weir_stream_release(stream);
}
END_TEST

/* The head is restored when a log is opened: numbers go on. */
START_TEST(f04_the_head_is_restored) {
  weir_stream *stream;

  bench_hubs(&bench);
  (void)write_and_leave(5);
  stream = bench_open(&bench, a, "k");
  ck_assert_uint_eq(bench_info(stream).last, 5);
  ck_assert_uint_eq(bench_info(stream).joined, 1);
  ck_assert_uint_eq(kit_publish(stream, "x", "6"), 6);
  expect_all(WEIR_EAGAIN,
             "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; x@5 5; x@6 6");
  weir_stream_release(stream);
}
END_TEST

/* Retention: cursors at it and beyond are good, those before it are told of the
 * loss, with the place from which it goes on. */
START_TEST(r60_what_retention_took) {
  uint64_t epoch;

  bench_hubs(&bench);
  epoch = write_and_leave(5);
  testlog_retain(storage, "k", 3);
  expect_all(WEIR_EAGAIN, "ready@3 fresh; x@4 4; x@5 5");
  expect_resumed(epoch, 3, WEIR_VERDICT_RESUMED,
                 "ready@3 resumed; x@4 4; x@5 5");
  expect_resumed(epoch, 2, WEIR_VERDICT_EVICTED,
                 "gap@3 evicted 2 4-5; ready@3 evicted; x@4 4; x@5 5");
  expect_resumed(epoch, 0, WEIR_VERDICT_EVICTED,
                 "gap@3 evicted 0 4-5; ready@3 evicted; x@4 4; x@5 5");
}
END_TEST

/* Trimming is storage's; what it forgot is known when it has answered. */
START_TEST(trimming_a_log) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->later = _i != 0;
  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_publish(&bench, stream, 5);
  ck_assert_int_eq(weir_stream_trim(stream, 6), WEIR_EINVAL);
  ck_assert_int_eq(weir_stream_trim(stream, 2), WEIR_OK);
  ck_assert_int_eq(weir_stream_trim(stream, 3), WEIR_OK);
  ck_assert_uint_eq(bench_info(stream).trimmed, _i != 0 ? 0 : 3);
  bench_rest(&bench);
  ck_assert_uint_eq(storage->calls[TESTLOG_TRIM], 2);
  ck_assert_uint_eq(bench_info(stream).trimmed, 3);
  ck_assert_uint_eq(testlog_find(storage, "k")->trimmed, 3);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; gap@3 evicted 0 4-5; x@4 4; x@5 5");
  testlog_fail(storage, TESTLOG_TRIM, 1, TESTLOG_REFUSE, WEIR_ELOG);
  ck_assert_int_eq(weir_stream_trim(stream, 5), WEIR_OK);
  bench_rest(&bench);
  ck_assert_uint_eq(bench_info(stream).trimmed, 3);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* What follows a reader goes while it reads: it is told, and goes on behind. */
START_TEST(race15_retention_overtakes_a_reader) {
  weir_subscriber *reader;
  uint64_t epoch;
  int verdict;

  storage->later = true;
  storage->slow = true;
  storage->most = 2;
  bench_hubs(&bench);
  epoch = write_and_leave(9);
  reader = bench_resume(&bench, a, "k", epoch, 0, &verdict);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 resumed");
  /* The read is under way when the events go. */
  testlog_retain(storage, "k", _i == 0 ? 4 : 9);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               _i == 0 ? "gap@4 evicted 0 5-9; x@5 5; x@6 6; x@7 7; x@8 8; "
                         "x@9 9"
                       : "gap@9 evicted 0 10-9");
  weir_subscriber_release(reader);
}
END_TEST

/* --- Loss that is declared ----------------------------------------------- */

START_TEST(r10_declared_loss_is_a_gap) {
  static const struct {
    uint64_t after;
    uint64_t to;
    size_t most;
    const char *want;
  } rows[] = {
      {0, 2, 0,
       "ready@0 fresh; gap@2 evicted 0 3-6; x@3 3; x@4 4; x@5 5; "
       "x@6 6"},
      {2, 4, 0,
       "ready@0 fresh; x@1 1; x@2 2; gap@4 evicted 2 5-6; x@5 5; "
       "x@6 6"},
      {2, 4, 1,
       "ready@0 fresh; x@1 1; x@2 2; gap@4 evicted 2 5-6; x@5 5; "
       "x@6 6"},
      {4, 6, 0,
       "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; "
       "gap@6 evicted 4 7-6"},
      {0, 6, 0, "ready@0 fresh; gap@6 evicted 0 7-6"},
      {5, 6, 2,
       "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; x@5 5; "
       "gap@6 evicted 5 7-6"},
  };

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  (void)write_and_leave(6);
  testlog_lose(storage, "k", rows[_i / 2].after, rows[_i / 2].to);
  storage->most = rows[_i / 2].most;
  expect_all(WEIR_EAGAIN, rows[_i / 2].want);
  ck_assert_uint_eq(bench_hub_info(a).log_errors, 0);
  /* And again, out of memory. */
  expect_all(WEIR_EAGAIN, rows[_i / 2].want);
}
END_TEST

/* What is said to be lost is there until it has been passed on, like what is
 * read, however little may be kept. */
START_TEST(r10_declared_loss_stays_until_it_is_said) {
  a->options.history_bytes = 1;
  storage->later = _i != 0;
  bench_hubs(&bench);
  (void)write_and_leave(6);
  testlog_lose(storage, "k", 2, 4);
  expect_all(WEIR_EAGAIN,
             "ready@0 fresh; x@1 1; x@2 2; gap@4 evicted 2 5-6; x@5 5; "
             "x@6 6");
  ck_assert_uint_eq(bench_hub_info(a).log_errors, 0);
}
END_TEST

/* Across blocks. */
START_TEST(r10_declared_loss_of_blocks) {
  weir_subscriber *reader;
  uint64_t epoch;
  int verdict;

  bench_hubs(&bench);
  epoch = write_and_leave(200);
  testlog_lose(storage, "k", 10, 150);
  reader = bench_resume(&bench, a, "k", epoch, 10, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  ck_assert_uint_eq(drain(reader, 150), 200);
  weir_subscriber_release(reader);
  reader = bench_resume(&bench, a, "k", epoch, 148, &verdict);
  ck_assert_uint_eq(drain(reader, 150), 200);
  weir_subscriber_release(reader);
}
END_TEST

/* --- What cannot be ------------------------------------------------------ */

static void bend_hole(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)epochs;
  memmove(records + 2, records + 3,
          (answer->record_count - 3) * sizeof *records);
  answer->record_count -= 1;
}

static void bend_first(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)epochs;
  (void)records;
  answer->records += 1;
  answer->record_count -= 1;
}

static void bend_repeat(weir_answer *answer, weir_epoch *epochs,
                        weir_record *records) {
  (void)answer;
  (void)epochs;
  records[3] = records[2];
}

static void bend_disorder(weir_answer *answer, weir_epoch *epochs,
                          weir_record *records) {
  const weir_record record = records[2];

  (void)answer;
  (void)epochs;
  records[2] = records[3];
  records[3] = record;
}

static void bend_before(weir_answer *answer, weir_epoch *epochs,
                        weir_record *records) {
  (void)answer;
  (void)epochs;
  records[0].seq -= 1;
}

static void bend_beyond(weir_answer *answer, weir_epoch *epochs,
                        weir_record *records) {
  (void)epochs;
  records[answer->record_count - 1].seq += 1000;
  answer->lost_through = UINT64_MAX;
}

static void bend_empty(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)epochs;
  (void)records;
  answer->record_count = 0;
}

static void bend_null(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)epochs;
  (void)records;
  answer->records = NULL;
}

static void bend_record_size(weir_answer *answer, weir_epoch *epochs,
                             weir_record *records) {
  (void)answer;
  (void)epochs;
  records[0].size = 0;
}

static void bend_record_epoch(weir_answer *answer, weir_epoch *epochs,
                              weir_record *records) {
  (void)answer;
  (void)epochs;
  records[1].epoch ^= 1;
}

static void bend_end(weir_answer *answer, weir_epoch *epochs,
                     weir_record *records) {
  (void)answer;
  (void)epochs;
  records[1].flags = WEIR_RECORD_END;
}

static void bend_type(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)answer;
  (void)epochs;
  records[1].frame = NULL;
  records[1].type = "a\nid: 9";
  records[1].type_len = 7;
}

static void bend_null_data(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  (void)answer;
  (void)epochs;
  records[1].frame = NULL;
  records[1].data = NULL;
  records[1].data_len = 5;
}

static void bend_utf8(weir_answer *answer, weir_epoch *epochs,
                      weir_record *records) {
  (void)answer;
  (void)epochs;
  records[1].frame = NULL;
  records[1].data = "\xff";
  records[1].data_len = 1;
}

static void bend_frame_id(weir_answer *answer, weir_epoch *epochs,
                          weir_record *records) {
  (void)answer;
  (void)epochs;
  records[1].frame = "id: 2\ndata: 2\n\n";
  records[1].frame_len = 15;
}

static void bend_frame_cut(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  static const char text[] = "id: b-2\ndata: 2\n";

  (void)answer;
  (void)epochs;
  records[1].frame = records[1].frame != NULL ? records[1].frame : text;
  records[1].frame_len =
      records[1].frame_len != 0 ? records[1].frame_len - 1 : sizeof text - 1;
}

static void bend_state(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  (void)epochs;
  (void)records;
  answer->trimmed = answer->last + 1;
}

static void bend_generation(weir_answer *answer, weir_epoch *epochs,
                            weir_record *records) {
  (void)answer;
  (void)records;
  epochs[0].epoch ^= 1;
}

static void bend_null_type(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  (void)answer;
  (void)epochs;
  records[1].frame = NULL;
  records[1].type = NULL;
  records[1].type_len = 1;
}

static void bend_one_size(weir_answer *answer, weir_epoch *epochs,
                          weir_record *records) {
  (void)answer;
  (void)epochs;
  records[1].size = 0;
}

/* Records of a newer header, with nothing in what nobody knows: all are right.
 */
static void bend_longer(weir_answer *answer, weir_epoch *epochs,
                        weir_record *records) {
  static struct {
    weir_record known;
    uint64_t unknown;
  } longer[8];
  size_t i;

  (void)epochs;
  ck_assert_uint_le(answer->record_count, 8);
  for (i = 0; i < answer->record_count; ++i) {
    longer[i].known = records[i];
    longer[i].known.size = sizeof longer[i];
  }
  answer->records = &longer[0].known;
}

/* Rows: what is wrong with an answer, and how many of its events can be
 * believed. */
static const struct {
  testlog_bend *bend;
  unsigned sound;
} wrong_reads[] = {
    {bend_hole, 2},         {bend_first, 0},    {bend_repeat, 3},
    {bend_disorder, 2},     {bend_before, 0},   {bend_beyond, 5},
    {bend_empty, 0},        {bend_null, 0},     {bend_record_size, 0},
    {bend_record_epoch, 1}, {bend_end, 1},      {bend_type, 1},
    {bend_null_data, 1},    {bend_utf8, 1},     {bend_frame_id, 1},
    {bend_frame_cut, 1},    {bend_state, 0},    {bend_generation, 0},
    {bend_null_type, 1},    {bend_one_size, 1}, {bend_longer, 6}};
#define WRONG_READS ((int)(sizeof wrong_reads / sizeof wrong_reads[0]))

/* A hole, a repetition, disorder, or anything else that cannot be is an error
 * of the log: nothing from there on is believed. Whoever waits for it is told
 * to come back, and keeps its cursor; whoever got something asks again, and the
 * next answer may be right. */
START_TEST(f23_an_answer_that_cannot_be_moves_no_cursor) {
  const bool sound = wrong_reads[_i / 4].sound != 0;
  weir_subscriber *reader;
  weir_subscriber *other;
  uint64_t epoch;
  int verdict;

  storage->later = (_i & 1) != 0;
  storage->encoded = (_i & 2) != 0;
  bench_hubs(&bench);
  epoch = write_and_leave(6);
  reader = bench_resume(&bench, a, "k", epoch, 0, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  bench_rest(&bench); /* the look of whoever comes first */
  other = bench_resume(&bench, a, "k", epoch, 2, &verdict);
  testlog_plan_bend(storage, TESTLOG_READ, 1, wrong_reads[_i / 4].bend);
  if (storage->later) {
    kit_expect_frames(other, WEIR_EAGAIN, "ready@2 resumed");
  }
  if (sound) {
    bench_expect(&bench, reader, WEIR_EAGAIN,
                 "ready@0 resumed; x@1 1; x@2 2; x@3 3; x@4 4; x@5 5; x@6 6");
  } else {
    bench_expect(&bench, reader, WEIR_EDONE,
                 "ready@0 resumed; closing unavailable");
  }
  /* They shared the block, and its fate. */
  if (storage->later && !sound) {
    bench_expect(&bench, other, WEIR_EDONE, "closing unavailable");
  } else {
    bench_expect(&bench, other, WEIR_EAGAIN,
                 storage->later
                     ? "x@3 3; x@4 4; x@5 5; x@6 6"
                     : "ready@2 resumed; x@3 3; x@4 4; x@5 5; x@6 6");
  }
  ck_assert_uint_eq(storage->calls[TESTLOG_READ],
                    wrong_reads[_i / 4].sound == 6 ? 2
                    : sound || !storage->later     ? 3
                                                   : 2);
  weir_subscriber_release(reader);
  weir_subscriber_release(other);
  expect_all(WEIR_EAGAIN,
             "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; x@5 5; x@6 6");
}
END_TEST

/* Records that end before their flags, and what the stack had there before. */
static void bend_older(weir_answer *answer, weir_epoch *epochs,
                       weir_record *records) {
  enum { SIZE = offsetof(weir_record, flags) };
  volatile unsigned char before[4096];
  size_t i;

  (void)epochs;
  for (i = 0; i < sizeof before; ++i) {
    before[i] = 0xff;
  }
  for (i = 0; i < answer->record_count; ++i) {
    records[i].size = SIZE;
    memmove((char *)records + i * SIZE, &records[i], SIZE);
  }
}

/* What an older log does not know of is zero. */
START_TEST(records_of_an_older_log) {
  storage->later = (_i & 1) != 0;
  storage->encoded = (_i & 2) != 0;
  bench_hubs(&bench);
  (void)write_and_leave(6);
  testlog_plan_bend(storage, TESTLOG_READ, 1, bend_older); /* a look */
  testlog_plan_bend(storage, TESTLOG_READ, 2, bend_older);
  expect_all(WEIR_EAGAIN,
             "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; x@5 5; x@6 6");
  ck_assert_uint_eq(bench_hub_info(a).log_errors, 0);
}
END_TEST

/* The same at the head, where a look brings what another has written. */
START_TEST(f23_a_look_that_cannot_be_moves_no_cursor) {
  weir_subscriber *reader;
  uint64_t epoch;
  size_t i;
  int verdict;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  epoch = write_and_leave(2);
  reader = bench_resume(&bench, a, "k", epoch, 2, &verdict);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@2 resumed");
  for (i = 3; i <= 8; ++i) {
    char data[2] = {(char)('0' + i), '\0'};
    testlog_write(storage, "k", "x", data);
  }
  testlog_plan_bend(storage, TESTLOG_READ, 1, wrong_reads[_i / 2].bend);
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 8), WEIR_OK);
  if (wrong_reads[_i / 2].sound != 0 ||
      wrong_reads[_i / 2].bend == bend_empty) {
    /* What it did not bring is asked for by its number. */
    bench_expect(&bench, reader, WEIR_EAGAIN,
                 "x@3 3; x@4 4; x@5 5; x@6 6; x@7 7; x@8 8");
  } else {
    bench_expect(&bench, reader, WEIR_EDONE, "closing unavailable");
  }
  weir_subscriber_release(reader);
  reader = bench_resume(&bench, a, "k", epoch, 2, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@2 resumed; x@3 3; x@4 4; x@5 5; x@6 6; x@7 7; x@8 8");
  weir_subscriber_release(reader);
}
END_TEST

/* An event that storage has lost without a word is not passed over, ever; who
 * is before it gets as far as that, and who is past it goes on. */
START_TEST(f23_a_hole_that_stays) {
  uint64_t epoch;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  epoch = write_and_leave(6);
  testlog_drop(storage, "k", (_i & 2) != 0 ? 3 : 6);
  expect_all(WEIR_EDONE,
             (_i & 2) != 0 ? "ready@0 fresh; x@1 1; x@2 2; closing unavailable"
                           : "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; "
                             "x@5 5; closing unavailable");
  if ((_i & 2) != 0) {
    expect_resumed(epoch, 4, WEIR_VERDICT_RESUMED,
                   "ready@4 resumed; x@5 5; x@6 6");
    bench_restart(&bench);
    expect_resumed(epoch, 4, WEIR_VERDICT_RESUMED,
                   "ready@4 resumed; x@5 5; x@6 6");
  }
}
END_TEST

/* Reads that storage refuses, or does not answer. */
START_TEST(a_read_that_fails) {
  static const struct {
    int what;
    int value;
  } rows[] = {{TESTLOG_REFUSE, WEIR_ELOG},
              {TESTLOG_REFUSE, 0},
              {TESTLOG_REFUSE, WEIR_EUNKNOWN},
              {TESTLOG_RETURN, WEIR_ELOG},
              {TESTLOG_RETURN, 0},
              {TESTLOG_CONFUSE, 17}};
  weir_subscriber *reader;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  (void)write_and_leave(2);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_rest(&bench);
  testlog_fail(storage, TESTLOG_READ, 1, rows[_i / 2].what, rows[_i / 2].value);
  bench_expect(&bench, reader, WEIR_EDONE,
               "ready@0 fresh; closing unavailable");
  ck_assert_uint_eq(bench_hub_info(a).log_errors, 1);
  weir_subscriber_release(reader);
  expect_all(WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
}
END_TEST

START_TEST(a_read_that_is_not_answered) {
  weir_subscriber *reader;

  storage->later = true;
  bench_hubs(&bench);
  (void)write_and_leave(2);
  reader = bench_attach(&bench, a, "k", NULL);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh");
  bench.a.now += 10000;
  kit_pass(a, 0);
  kit_expect_frames(reader, WEIR_EDONE, "closing unavailable");
  weir_subscriber_release(reader);
}
END_TEST

/* Storage loses what a reader asks it for, and says so at once. */
START_TEST(what_is_lost_while_it_is_read) {
  weir_subscriber *reader;
  uint64_t epoch;
  int verdict;

  bench_hubs(&bench);
  epoch = write_and_leave(10);
  reader = bench_resume(&bench, a, "k", epoch, 7 + (uint64_t)_i, &verdict);
  testlog_crash(storage, "k", 7);
  testlog_take(storage, "k");
  bench_expect(
      &bench, reader, _i == 0 ? WEIR_EAGAIN : WEIR_EDONE,
      _i == 0 ? "ready@7 resumed" : "ready@8 resumed; closing unavailable");
  if (_i == 0) {
    testlog_write(storage, "k", "x", "8");
    ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 8), WEIR_OK);
    bench_expect(&bench, reader, WEIR_EAGAIN, "x@8 8");
  }
  weir_subscriber_release(reader);
}
END_TEST

/* --- Sharing ------------------------------------------------------------- */

/* Any number of clients that come back after a restart cost one read of each
 * block. */
START_TEST(f11_readers_share_what_is_read) {
  weir_subscriber *readers[60];
  uint64_t epoch;
  size_t i;
  int verdict;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  epoch = write_and_leave(200);
  storage->calls[TESTLOG_READ] = 0;
  storage->delivered = 0;
  for (i = 0; i < 60; ++i) {
    readers[i] = bench_resume(&bench, a, "k", epoch, i, &verdict);
  }
  /* All of them ask before any is answered. */
  for (i = 0; i < 60; ++i) {
    (void)kit_skip(readers[i]);
  }
  for (i = 0; i < 60; ++i) {
    if (storage->later) {
      ck_assert_uint_eq(drain(readers[i], i), 200);
    }
    weir_subscriber_release(readers[i]);
  }
  ck_assert_uint_eq(storage->delivered, 200);
  /* A block, the three behind it at once, and the look of the first. */
  ck_assert_uint_eq(storage->calls[TESTLOG_READ], 3);
}
END_TEST

/* Storage that gives few events at a time is asked again, for what it has not
 * given: no event twice. */
START_TEST(r24_reads_are_paged) {
  weir_subscriber *reader;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  (void)write_and_leave(10);
  storage->most = 3;
  reader = bench_attach(&bench, a, "k", NULL);
  bench_rest(&bench);
  storage->calls[TESTLOG_READ] = 0;
  storage->delivered = 0;
  ck_assert_uint_eq(drain(reader, 0), 10);
  ck_assert_uint_eq(storage->calls[TESTLOG_READ], 4);
  ck_assert_uint_eq(storage->delivered, 10);
  weir_subscriber_release(reader);
}
END_TEST

/* A reader in the middle of a block of large events does not wait for all those
 * before it. */
START_TEST(a_large_block_is_not_read_for_one_event) {
  weir_subscriber *reader;
  weir_stream *stream;
  weir_event event;
  uint64_t epoch;
  char *data = malloc(20000);
  int verdict;
  size_t i;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  epoch = bench_info(stream).epoch;
  memset(data, 'd', 20000);
  event = kit_make_event("x", "");
  event.data = data;
  event.data_len = 20000;
  for (i = 0; i < 64; ++i) {
    ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  }
  bench_rest(&bench);
  weir_stream_release(stream);
  reader = bench_resume(&bench, a, "k", epoch, 62, &verdict);
  bench_rest(&bench);
  storage->calls[TESTLOG_READ] = 0;
  do {
    (void)kit_skip(reader);
    bench_rest(&bench);
  } while (bench_hub_info(a).delivered != 2);
  ck_assert_uint_le(storage->calls[TESTLOG_READ], 3);
  weir_subscriber_release(reader);
  free(data);
}
END_TEST

/* What has been read stays in memory as long as there is room for it, and there
 * is less of that for what one reader alone has passed; what has to go is read
 * again. */
START_TEST(pages_are_a_cache) {
  static const struct {
    uint64_t bytes;
    bool shared;
    size_t again;
  } rows[] = {
      {1000000, false, 0}, {1000, false, 3},  {1000, true, 3},
      {100000, false, 3},  {100000, true, 0},
  };
  weir_subscriber *other = NULL;
  weir_subscriber *reader;
  uint64_t epoch;
  size_t reads;
  int verdict;
  int i;

  a->options.history_bytes = rows[_i].bytes;
  bench_hubs(&bench);
  epoch = write_and_leave(500);
  if (rows[_i].shared) {
    other = bench_resume(&bench, a, "k", epoch, 500, &verdict);
  }
  for (i = 0; i < 2; ++i) {
    reader = bench_attach(&bench, a, "k", NULL);
    reads = storage->calls[TESTLOG_READ];
    ck_assert_uint_eq(drain(reader, 0), 500);
    reads = storage->calls[TESTLOG_READ] - reads;
    weir_subscriber_release(reader);
    /* The first block, four at once, and what is left. */
    ck_assert_uint_eq(reads, i == 0 ? 3 : rows[_i].again);
  }
  weir_subscriber_release(other);
}
END_TEST

/* That is about what storage has brought. What this hub has put in itself stays
 * as long as there is room for it. */
START_TEST(what_was_written_here_is_kept) {
  weir_subscriber *reader;
  weir_stream *stream;
  weir_event event;
  size_t reads;
  int i;

  a->options.history_bytes = 100000;
  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 100);
  weir_stream_release(stream);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 500);
  weir_stream_release(stream);
  /* The first hub takes itself for the writer until storage says no. */
  stream = bench_open(&bench, a, "k");
  weir_event_init(&event, sizeof event);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_EFENCED);
  bench_rest(&bench);
  weir_stream_release(stream);
  for (i = 0; i < 2; ++i) {
    reader = bench_attach(&bench, a, "k", NULL);
    reads = storage->calls[TESTLOG_READ];
    ck_assert_uint_eq(drain(reader, 0), 600);
    /* From 101 on: what is left of that block, four at once, and the rest. */
    ck_assert_uint_eq(storage->calls[TESTLOG_READ] - reads, 3);
    weir_subscriber_release(reader);
  }
}
END_TEST

/* Time for what was kept for somebody who has not come. */
static void wait_in_vain(void) {
  bench.a.now += 10000;
  kit_pass(a, 0);
  bench_rest(&bench);
}

/* What was read for clients that have gone is not kept for long, whether they
 * went before storage had answered, after, or when they had begun to read. */
START_TEST(who_has_gone_keeps_nothing) {
  static const uint64_t events = 2560;
  static const uint64_t bytes = 20000;
  weir_subscriber *stay[2];
  weir_subscriber *reader;
  uint64_t epoch;
  uint64_t seq;
  int verdict;

  a->options.history_bytes = bytes;
  bench_hubs(&bench);
  epoch = write_and_leave(events);
  stay[0] = bench_resume(&bench, a, "k", epoch, events, &verdict);
  stay[1] = bench_resume(&bench, a, "k", epoch, events, &verdict);
  storage->later = true;
  for (seq = 40; seq < events; seq += 64) {
    reader = bench_resume(&bench, a, "k", epoch, seq, &verdict);
    (void)kit_skip(reader);
    if (_i > 0) {
      bench_rest(&bench);
    }
    if (_i > 1) {
      (void)kit_skip(reader);
    }
    weir_subscriber_release(reader);
    bench_rest(&bench);
  }
  wait_in_vain();
  ck_assert_uint_gt(bench_hub_info(a).resident, bytes / 2);
  ck_assert_uint_lt(bench_hub_info(a).resident, bytes * 2);
  weir_subscriber_release(stay[0]);
  weir_subscriber_release(stay[1]);
}
END_TEST

/* What has come for those who are there stays until they have it, whatever the
 * limit. If the host is late it goes, and is read again. */
START_TEST(who_is_there_gets_what_it_asked_for) {
  enum { READERS = 60 };
  static const uint64_t bytes = 10000;
  weir_subscriber *readers[READERS];
  uint64_t epoch;
  size_t reads;
  int verdict;
  size_t i;

  a->options.history_bytes = bytes;
  bench_hubs(&bench);
  epoch = write_and_leave(64 * READERS);
  storage->later = true;
  for (i = 0; i < READERS; ++i) {
    readers[i] = bench_resume(&bench, a, "k", epoch, 64 * i, &verdict);
    (void)kit_skip(readers[i]);
  }
  bench_rest(&bench);
  /* However often the limit is looked at meanwhile. */
  for (i = 0; i < 8; ++i) {
    testlog_write(storage, "k", "x", "more");
    ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 64 * READERS + i + 1),
                     WEIR_OK);
    bench_rest(&bench);
  }
  ck_assert_uint_gt(bench_hub_info(a).resident, 10 * bytes);
  reads = storage->calls[TESTLOG_READ];
  if (_i == 1) {
    wait_in_vain();
    ck_assert_uint_lt(bench_hub_info(a).resident, 2 * bytes);
    for (i = 0; i < READERS; ++i) {
      (void)kit_skip(readers[i]);
    }
    bench_rest(&bench);
  }
  for (i = 0; i < READERS; ++i) {
    (void)kit_skip(readers[i]);
  }
  ck_assert_uint_ge(bench_hub_info(a).delivered, 64 * READERS);
  if (_i == 0) {
    ck_assert_uint_eq(storage->calls[TESTLOG_READ], reads);
  }
  for (i = 0; i < READERS; ++i) {
    weir_subscriber_release(readers[i]);
  }
}
END_TEST

/* What has been stored may go, also what grows still: however many streams are
 * open, or have just ended, another can be published to, and all are read. */
START_TEST(many_streams_need_little_memory) {
  enum { STREAMS = 100 };
  static const uint64_t most = 20000;
  weir_stream *streams[STREAMS];
  weir_subscriber *reader;
  char key[16];
  size_t round;
  size_t i;

  a->options.max_resident = most;
  storage->later = _i == 1;
  bench_hub(&bench);
  for (i = 0; i < STREAMS; ++i) {
    (void)snprintf(key, sizeof key, "k%zu", i);
    streams[i] = bench_open(&bench, a, key);
  }
  for (round = 0; round < 3; ++round) {
    for (i = 0; i < STREAMS; ++i) {
      bench_publish(&bench, streams[i], 1);
      ck_assert_uint_le(bench_hub_info(a).resident, most);
    }
  }
  for (i = 0; i < STREAMS; ++i) {
    ck_assert_int_eq(weir_stream_end(streams[i], "done", 4, 0, NULL), WEIR_OK);
    bench_rest(&bench);
  }
  for (i = 0; i < STREAMS; ++i) {
    (void)snprintf(key, sizeof key, "k%zu", i);
    reader = bench_attach(&bench, a, key, NULL);
    ck_assert_uint_eq(drain(reader, 0), 3);
    weir_subscriber_release(reader);
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* How often the hub wants to be run in an hour in which nothing happens. */
static size_t count_turns(void) {
  const uint64_t end = a->now + 3600000;
  size_t turns = 0;
  int timeout = weir_hub_get_timeout(a->hub);

  for (; timeout >= 0 && a->now + (uint64_t)timeout < end; ++turns) {
    kit_pass(a, (uint64_t)timeout);
    timeout = weir_hub_get_timeout(a->hub);
  }
  return turns;
}

/* A stream that is beyond its limit for good, because it grows still or is
 * being read, costs nothing while nothing happens; and once it has ended it
 * goes. */
START_TEST(what_has_to_stay_is_not_looked_at_for_ever) {
  weir_attach_options options = kit_attach_options("k", "r");
  weir_subscriber *readers[20] = {NULL};
  weir_stream *stream;
  weir_bytes bytes[4];
  size_t count;
  size_t i;

  options.heartbeat = 0;
  options.stall = 0;
  a->options.history_bytes = 1000;
  storage->log.flags = WEIR_LOG_SOLE; /* or it would be asked now and then */
  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  for (i = 0; i < 20; ++i) {
    bench_publish(&bench, stream, 1000);
    if (_i == 1) {
      readers[i] = kit_attach_with(a, &options);
      (void)weir_subscriber_peek(readers[i], bytes, 4, &count);
    }
  }
  ck_assert_uint_gt(bench_info(stream).resident, 1000);
  ck_assert_uint_le(count_turns(), _i == 0 ? 1 : 2);
  ck_assert_int_eq(weir_stream_end(stream, "done", 4, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  if (_i == 0) {
    ck_assert_uint_le(bench_info(stream).resident, 1000);
  }
  for (i = 0; i < 20; ++i) {
    weir_subscriber_release(readers[i]);
  }
  weir_stream_release(stream);
}
END_TEST

/* Storage may be slower than what has come is kept for. */
START_TEST(what_comes_late_is_kept_from_then_on) {
  weir_attach_options options = kit_attach_options("k", "r");
  weir_subscriber *reader;
  size_t reads;
  size_t i;

  options.heartbeat = 0;
  options.stall = 0;
  storage->log.deadline = 60000;
  a->options.history_bytes = 1000;
  a->options.recheck = 0;
  bench_hubs(&bench);
  (void)write_and_leave(640);
  reader = kit_attach_with(a, &options);
  storage->later = true;
  reads = storage->calls[TESTLOG_READ];
  for (i = 0; i < 4; ++i) {
    (void)kit_skip(reader);
    (void)weir_hub_get_timeout(a->hub);
    a->now += 30000;
    testlog_deliver_all(storage);
    kit_pass(a, 0);
  }
  (void)kit_skip(reader);
  ck_assert_uint_eq(bench_hub_info(a).delivered, 640);
  ck_assert_uint_eq(storage->calls[TESTLOG_READ] - reads, 4);
  weir_subscriber_release(reader);
}
END_TEST

/* A batch of which an event is refused leaves what is there alone, also while
 * somebody reads it. */
START_TEST(a_refused_batch_costs_nothing) {
  static char data[60001];
  weir_event events[2];
  weir_subscriber *reader;
  weir_stream *stream;
  weir_bytes bytes[4];
  uint64_t resident;
  size_t reads;
  size_t count;

  memset(data, 'd', sizeof data - 1);
  a->options.max_event_bytes = 50000;
  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  bench_publish(&bench, stream, 20);
  reader = bench_attach(&bench, a, "k", NULL);
  ck_assert_int_eq(weir_subscriber_peek(reader, bytes, 4, &count), WEIR_OK);
  resident = bench_info(stream).resident;
  events[0] = kit_make_event("x", "1");
  events[1] = kit_make_event("x", data);
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL), WEIR_ETOOBIG);
  ck_assert_uint_eq(bench_info(stream).resident, resident);
  reads = storage->calls[TESTLOG_READ];
  ck_assert_uint_eq(drain(reader, 0), 20);
  ck_assert_uint_eq(storage->calls[TESTLOG_READ], reads);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* A look at the cache that was to come and is not needed any more is no other
 * timer of the stream. */
START_TEST(a_look_that_is_not_needed) {
  static char big[60001];
  static char small[1001];
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *reader;
  weir_subscriber *other;
  weir_event events[2];
  weir_stream *stream;
  int verdict;
  size_t i;

  memset(big, 'b', sizeof big - 1);
  memset(small, 's', sizeof small - 1);
  events[0] = kit_make_event("x", small);
  a->options.history_bytes = 65536;
  options.lifetime = _i == 0 ? 0 : 3600000;
  options.on_lifetime = WEIR_ACTION_END;
  bench_hub(&bench);
  stream = kit_open_with(a, &options);
  for (i = 0; i < 200; ++i) {
    ck_assert_int_eq(weir_stream_publish(stream, events, 1, NULL), WEIR_OK);
  }
  other = bench_resume(&bench, a, "k", bench_info(stream).epoch, 200, &verdict);
  reader = bench_attach(&bench, a, "k", NULL);
  storage->later = true;
  (void)kit_skip(reader);
  bench_rest(&bench); /* What it wants has come, and it does not come for it. */
  a->now += 5;
  events[0] = kit_make_event("x", big);
  events[1] = kit_make_event("x", "1");
  ck_assert_int_eq(weir_stream_publish(stream, events, 2, NULL), WEIR_OK);
  bench_rest(&bench);
  kit_count(a, 0);
  bench_pass(&bench, 20000);
  ck_assert_uint_eq(kit_count(a, WEIR_NOTICE_EXPIRED), 0);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  weir_subscriber_release(reader);
  weir_subscriber_release(other);
  weir_stream_release(stream);
}
END_TEST

/* A stream of its own stands in nobody's way: what it has stored makes room for
 * what follows, be that one event or a page that is to become a larger one. */
START_TEST(what_is_stored_makes_room_for_the_next) {
  static char data[1000001];
  weir_stream *stream;
  weir_stream *other;
  weir_event event;
  size_t i;

  memset(data, 'd', sizeof data - 1);
  data[_i == 0 ? 1000000 : 100] = '\0';
  event = kit_make_event("x", data);
  a->options.max_resident = _i == 0 ? 1500000 : 40000;
  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  for (i = 0; i < (_i == 0 ? 50u : 1000u); ++i) {
    ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  }
  /* Not while it is on its way: */
  storage->later = true;
  other = kit_open(a, "o");
  bench_rest(&bench);
  event = kit_make_event("x", data);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(other, &event, 1, NULL),
                   _i == 0 ? WEIR_ERESIDENT : WEIR_OK);
  bench_rest(&bench);
  ck_assert_int_eq(weir_stream_publish(other, &event, 1, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(other);
  weir_stream_release(stream);
}
END_TEST

/* A slow client costs one page: what it has been shown stays where it is, what
 * it has not been shown may go and is read again. */
START_TEST(a_slow_reader_costs_a_page) {
  weir_subscriber *reader;
  weir_stream *stream;
  weir_bytes bytes[4];
  struct kit_bytes copy = {NULL, 0, 0};
  struct kit_client client;
  size_t count;
  size_t i;

  a->options.history_bytes = 4096;
  bench_hub(&bench);
  stream = bench_open(&bench, a, "k");
  reader = bench_attach(&bench, a, "k", NULL);
  bench_publish(&bench, stream, 50);
  ck_assert_int_eq(weir_subscriber_peek(reader, bytes, 4, &count), WEIR_OK);
  for (i = 0; i < count; ++i) {
    kit_bytes_add(&copy, bytes[i].base, bytes[i].len);
  }
  bench_publish(&bench, stream, 2000);
  ck_assert_uint_lt(bench_info(stream).resident, 2 * 32768);
  kit_client_init(&client, "");
  for (i = 0; i < count; ++i) {
    kit_client_feed(&client, bytes[i].base, bytes[i].len);
    ck_assert_int_eq(memcmp(bytes[i].base, copy.data, bytes[i].len), 0);
    memmove(copy.data, copy.data + bytes[i].len, copy.len - bytes[i].len);
    copy.len -= bytes[i].len;
  }
  ck_assert_uint_eq(copy.len, 0);
  kit_bytes_free(&copy);
  for (i = 0; i < count; ++i) {
    ck_assert_int_eq(weir_subscriber_consume(reader, bytes[i].len), WEIR_OK);
  }
  ck_assert_uint_eq(drain(reader, client.count - 1), 2050);
  kit_client_free(&client);
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* --- Behind an end ------------------------------------------------------- */

/* Another writer's stream of n events that has ended. Returns its epoch. */
static uint64_t write_and_end(size_t n) {
  weir_stream *stream = bench_open(&bench, b, "k");
  const uint64_t epoch = bench_info(stream).epoch;

  bench_publish(&bench, stream, n);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(stream);
  kit_end(b);
  kit_hub(b);
  return epoch;
}

/* Who comes after the end of what another has written reads what is in memory
 * already; storage is asked once each time whether there is a new one. */
START_TEST(readers_behind_an_end_share_it) {
  weir_subscriber *readers[10];
  uint64_t resident;
  size_t reads;
  size_t i;

  storage->later = _i == 1;
  bench_hubs(&bench);
  (void)write_and_end(200);
  readers[0] = bench_attach(&bench, a, "k", NULL);
  ck_assert_uint_eq(drain(readers[0], 0), 200);
  reads = storage->calls[TESTLOG_READ];
  resident = bench_hub_info(a).resident;
  storage->modes[WEIR_LOG_LOOKUP] = 0;
  for (i = 1; i < 10; ++i) {
    readers[i] = bench_attach(&bench, a, "k", NULL);
    ck_assert_uint_eq(drain(readers[i], 0), 200);
    ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], i);
  }
  ck_assert_uint_eq(storage->calls[TESTLOG_READ], reads);
  ck_assert_uint_eq(bench_hub_info(a).resident, resident);
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
  for (i = 0; i < 10; ++i) {
    weir_subscriber_release(readers[i]);
  }
}
END_TEST

/* Those who come at the same time share what is asked, too; but what was asked
 * before somebody came is not for him. */
START_TEST(readers_behind_an_end_ask_together) {
  weir_subscriber *readers[10];
  weir_stream *stream;
  int verdict;
  size_t i;

  bench_hubs(&bench);
  (void)write_and_end(1);
  weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
  bench_rest(&bench);
  storage->later = true;
  storage->modes[WEIR_LOG_LOOKUP] = 0;
  readers[0] = kit_attach(a, "k", NULL, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  storage->later = false;
  stream = kit_open(b, "k");
  storage->later = true;
  for (i = 1; i < 10; ++i) {
    readers[i] = kit_attach(a, "k", NULL, &verdict);
    ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  }
  bench_rest(&bench);
  /* The first one, one for the others, and b's; then that of the new one. */
  ck_assert_uint_eq(storage->modes[WEIR_LOG_LOOKUP], 4);
  bench_expect(&bench, readers[0], WEIR_EDONE,
               "ready@0 fresh; x@1 1; done@2 ok");
  for (i = 1; i < 10; ++i) {
    bench_expect(&bench, readers[i], WEIR_EAGAIN, "ready@0 fresh");
  }
  for (i = 0; i < 10; ++i) {
    weir_subscriber_release(readers[i]);
  }
  weir_stream_release(stream);
}
END_TEST

/* Whatever storage says of the key is what who comes gets. */
START_TEST(behind_an_end_is_what_storage_says) {
  weir_subscriber *reader;
  weir_stream *stream;
  uint64_t epoch;
  int verdict;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  epoch = write_and_end(3);
  weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
  bench_rest(&bench);
  switch (_i / 2) {
    case 0: /* another has begun */
      stream = bench_open(&bench, b, "k");
      bench_publish(&bench, stream, 1);
      weir_stream_release(stream);
      expect_resumed(epoch, 3, WEIR_VERDICT_FOREIGN,
                     "gap@0 foreign 3 1-1; ready@0 foreign; x@1 1");
      break;
    case 1: /* nothing is left */
      testlog_forget(storage, "k");
      reader = bench_resume(&bench, a, "k", epoch, 3, &verdict);
      ck_assert_ptr_null(reader);
      ck_assert_int_eq(verdict, WEIR_VERDICT_UNKNOWN);
      ck_assert_uint_eq(bench_hub_info(a).streams, 0);
      break;
    case 2: /* some of it is gone */
      testlog_retain(storage, "k", 2);
      reader = bench_resume(&bench, a, "k", epoch, 1, &verdict);
      ck_assert_int_eq(verdict, WEIR_VERDICT_EVICTED);
      bench_expect(&bench, reader, WEIR_EDONE,
                   "gap@2 evicted 1 3-4; ready@2 evicted; x@3 3; done@4 ok");
      weir_subscriber_release(reader);
      break;
    default: /* a crash has lost the end */
      testlog_crash(storage, "k", 2);
      expect_resumed(epoch, 2, WEIR_VERDICT_RESUMED, "ready@2 resumed");
      break;
  }
}
END_TEST

/* If it does not say, nobody knows. */
START_TEST(behind_an_end_storage_may_fail) {
  static const int errors[] = {WEIR_ELOG, WEIR_EEXISTS};
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *reader = NULL;
  weir_subscriber_info info;
  int verdict;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  (void)write_and_end(1);
  weir_subscriber_release(bench_attach(&bench, a, "k", NULL));
  bench_rest(&bench);
  testlog_fail(storage, TESTLOG_OPEN, 1, TESTLOG_REFUSE, errors[_i / 2]);
  info.size = sizeof info;
  info.error = weir_hub_attach(a->hub, &options, &reader, &verdict);
  bench_rest(&bench);
  if (reader != NULL) {
    ck_assert_int_eq(weir_subscriber_get_info(reader, &info), WEIR_OK);
  }
  ck_assert_int_eq(info.error, WEIR_ELOG);
  weir_subscriber_release(reader);
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_subscriber_release(reader);
  ck_assert_uint_eq(bench_hub_info(a).streams, 1);
}
END_TEST

/* --- Replay and live ----------------------------------------------------- */

/* An append during the replay comes after it, once. */
START_TEST(race01_an_append_during_the_replay) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->later = true;
  bench_hubs(&bench);
  (void)write_and_leave(3);
  stream = bench_open(&bench, a, "k");
  reader = bench_attach(&bench, a, "k", NULL);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh");
  kit_publish(stream, "x", "4");
  ck_assert_uint_eq(testlog_waiting(storage), 2);
  testlog_deliver(storage, (size_t)_i);
  kit_expect_frames(reader, WEIR_EAGAIN, _i == 0 ? "x@1 1; x@2 2; x@3 3" : "");
  kit_publish(stream, "x", "5");
  bench_expect(&bench, reader, WEIR_EAGAIN,
               _i == 0 ? "x@4 4; x@5 5" : "x@1 1; x@2 2; x@3 3; x@4 4; x@5 5");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* The end comes during the replay: it is an event of the log as any other. */
START_TEST(race05_an_end_during_the_replay) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->later = true;
  bench_hubs(&bench);
  (void)write_and_leave(3);
  stream = bench_open(&bench, a, "k");
  reader = bench_attach(&bench, a, "k", NULL);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  testlog_deliver(storage, 1);
  kit_expect_frames(reader, WEIR_EAGAIN, "");
  bench_expect(&bench, reader, WEIR_EDONE, "x@1 1; x@2 2; x@3 3; done@4 ok");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* Cut anywhere, and come back to a process that has all from storage: each
 * event once. */
START_TEST(r07_cut_at_every_byte) {
  struct kit_client client;
  weir_subscriber *reader;
  weir_request request;
  weir_attach_options options = kit_attach_options("k", NULL);
  weir_bytes bytes;
  size_t count;
  size_t total;
  size_t cut;
  size_t i;
  size_t n;
  int verdict;

  storage->encoded = (_i & 1) != 0;
  bench_hubs(&bench);
  (void)write_and_leave(12);
  reader = bench_attach(&bench, a, "k", NULL);
  ck_assert_uint_eq(drain(reader, 0), 12);
  weir_subscriber_release(reader);
  total = (size_t)bench_hub_info(a).bytes;
  options.request = &request;
  for (cut = 0; cut <= total; ++cut) {
    kit_client_init(&client, "");
    reader = bench_attach(&bench, a, "k", NULL);
    for (n = cut;
         n != 0 && weir_subscriber_peek(reader, &bytes, 1, &count) == WEIR_OK;
         n -= count) {
      count = n < bytes.len ? n : bytes.len;
      kit_client_feed(&client, bytes.base, count);
      ck_assert_int_eq(weir_subscriber_consume(reader, count), WEIR_OK);
    }
    weir_subscriber_release(reader);
    kit_client_end(&client);
    if (cut % 16 == 0) {
      bench_restart(&bench);
    }
    weir_request_init(&request, sizeof request);
    request.header = client.last_id;
    request.header_len = strlen(client.last_id);
    ck_assert_int_eq(weir_hub_attach(a->hub, &options, &reader, &verdict),
                     WEIR_OK);
    ck_assert_int_eq(kit_client_read(&client, reader), WEIR_EAGAIN);
    weir_subscriber_release(reader);
    for (i = 0, n = 0; i < client.count; ++i) {
      if (strcmp(client.events[i].type, "x") == 0) {
        ck_assert_uint_eq(strtoull(client.events[i].data, NULL, 10), ++n);
      } else {
        ck_assert_str_eq(client.events[i].type, "weir.ready");
      }
    }
    ck_assert_uint_eq(n, 12);
    kit_client_free(&client);
  }
}
END_TEST

/* --- Events that were, and are no more ----------------------------------- */

/* This hub is the writer; another takes over after a crash of storage that lost
 * some of its events. Readers who have those are sent away, to be told of it
 * when they come back; those who have not go on with the events that now have
 * these numbers. What was shown stays where it is. */
START_TEST(f01_events_are_lost_under_readers) {
  weir_subscriber *beyond;
  weir_subscriber *slow;
  weir_subscriber *reader;
  weir_stream *stream;
  weir_stream *second;
  weir_bytes bytes;
  char copy[2000];
  size_t count;
  uint64_t epoch;
  int verdict;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  stream = bench_open(&bench, a, "k");
  epoch = bench_info(stream).epoch;
  bench_publish(&bench, stream, 3);
  reader = bench_resume(&bench, a, "k", epoch, 2, &verdict);
  slow = bench_attach(&bench, a, "k", NULL);
  beyond = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, beyond, WEIR_EAGAIN,
               "ready@0 fresh; x@1 1; x@2 2; x@3 3");
  ck_assert_int_eq(weir_subscriber_peek(slow, &bytes, 1, &count), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(slow, bytes.len), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_peek(slow, &bytes, 1, &count), WEIR_OK);
  ck_assert_uint_lt(bytes.len, sizeof copy);
  memcpy(copy, bytes.base, bytes.len);
  testlog_crash(storage, "k", 2);
  second = bench_open(&bench, b, "k");
  kit_publish(second, "y", "3");
  kit_publish(second, "y", "4");
  bench_rest(&bench);
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 4), WEIR_OK);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_FENCED);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@2 resumed; y@3 3; y@4 4");
  bench_expect(&bench, beyond, WEIR_EDONE, "closing unavailable");
  ck_assert_int_eq(memcmp(copy, bytes.base, bytes.len), 0);
  bench_expect(&bench, slow, WEIR_EDONE,
               "x@1 1; x@2 2; x@3 3; closing unavailable");
  weir_subscriber_release(beyond);
  beyond = bench_resume(&bench, a, "k", epoch, 3, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_REWOUND);
  bench_expect(&bench, beyond, WEIR_EAGAIN,
               "gap@2 rewound 3 3-4; ready@2 rewound; y@3 3; y@4 4");
  weir_subscriber_release(beyond);
  weir_subscriber_release(slow);
  weir_subscriber_release(reader);
  weir_stream_release(second);
  weir_stream_release(stream);
}
END_TEST

/* A block was asked for before that became known, and comes after it: nothing
 * of it is believed. */
START_TEST(f01_a_block_from_before_the_loss) {
  weir_subscriber *reader;
  weir_subscriber *other;
  weir_stream *second;
  char data[24];
  uint64_t epoch;
  uint64_t seq;
  int verdict;

  bench_hubs(&bench);
  epoch = write_and_leave(100);
  storage->later = true;
  reader = bench_resume(&bench, a, "k", epoch, 10, &verdict);
  bench_rest(&bench);
  other = bench_resume(&bench, a, "k", epoch, 70, &verdict);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@10 resumed");
  kit_expect_frames(other, WEIR_EAGAIN, "ready@70 resumed");
  ck_assert_uint_eq(testlog_waiting(storage), 2);
  testlog_crash(storage, "k", 20);
  storage->later = false;
  second = kit_open(b, "k");
  for (seq = 21; seq <= 70; ++seq) {
    snprintf(data, sizeof data, "%llu", (unsigned long long)seq);
    kit_publish(second, "x", data);
  }
  storage->later = true;
  storage->current = _i != 0;
  /* The first hub hears of it, and then gets what it had asked for. */
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 101), WEIR_OK);
  testlog_deliver(storage, 2);
  testlog_deliver(storage, 0);
  testlog_deliver(storage, 0);
  bench_rest(&bench);
  kit_expect_frames(other, WEIR_EDONE, "closing unavailable");
  ck_assert_uint_eq(drain(reader, 10), 70);
  weir_subscriber_release(reader);
  weir_subscriber_release(other);
  weir_stream_release(second);
}
END_TEST

/* --- Numbers with holes, and without epochs ------------------------------ */

/* A log whose numbers have holes says so, and takes over the promise that
 * nothing is missing. */
START_TEST(a_sparse_log) {
  weir_subscriber *reader;
  uint64_t epoch;
  uint64_t seq;
  int verdict;

  storage->log.flags = WEIR_LOG_SPARSE;
  storage->later = (_i & 1) != 0;
  storage->encoded = (_i & 2) != 0;
  storage->most = (_i & 4) != 0 ? 2 : 0;
  bench_hubs(&bench);
  epoch = write_and_leave(150);
  for (seq = 1; seq <= 150; ++seq) {
    if (seq % 40 != 3) {
      testlog_drop(storage, "k", seq);
    }
  }
  reader = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; x@3 3; x@43 43; x@83 83; x@123 123");
  weir_subscriber_release(reader);
  reader = bench_resume(&bench, a, "k", epoch, 43, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@43 resumed; x@83 83; x@123 123");
  /* Others write on. */
  testlog_write(storage, "k", "x", "151");
  storage->step = 20;
  testlog_write(storage, "k", "x", "171");
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 171), WEIR_OK);
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@151 151; x@171 171");
  weir_subscriber_release(reader);
  for (seq = 44; seq <= 60; seq += 8) {
    reader = bench_resume(&bench, a, "k", epoch, seq, &verdict);
    bench_expect(&bench, reader, WEIR_EAGAIN,
                 seq == 44   ? "ready@44 resumed; x@83 83; x@123 123; "
                               "x@151 151; x@171 171"
                 : seq == 52 ? "ready@52 resumed; x@83 83; x@123 123; "
                               "x@151 151; x@171 171"
                             : "ready@60 resumed; x@83 83; x@123 123; "
                               "x@151 151; x@171 171");
    weir_subscriber_release(reader);
  }
}
END_TEST

/* Where nobody knows how far an answer goes, readers that are far apart do not
 * wait for each other; each gets everything, in whatever order storage answers,
 * which is asked once for each. */
START_TEST(readers_of_a_sparse_log_are_apart) {
  enum { READERS = 10, APART = 300, LAST = READERS * APART };
  weir_subscriber *readers[READERS];
  struct kit_client client;
  uint64_t epoch;
  uint64_t seq;
  size_t reads;
  int verdict;
  size_t i;
  size_t j;

  storage->log.flags = WEIR_LOG_SPARSE;
  bench_hubs(&bench);
  epoch = write_and_leave(LAST);
  for (seq = 1; seq <= LAST; ++seq) {
    /* In one place nothing is left between two readers. */
    if (seq % 3 != 0 || (seq > 4 * APART && seq <= 5 * APART)) {
      testlog_drop(storage, "k", seq);
    }
  }
  storage->later = true;
  for (i = 0; i < READERS; ++i) {
    readers[i] = bench_resume(&bench, a, "k", epoch, i * APART, &verdict);
    (void)kit_skip(readers[i]);
  }
  reads = storage->calls[TESTLOG_READ];
  ck_assert_uint_ge(testlog_waiting(storage), READERS);
  while (_i == 1 && testlog_waiting(storage) != 0) {
    testlog_deliver(storage, testlog_waiting(storage) - 1);
  }
  bench_rest(&bench);
  for (i = 0; i < READERS; ++i) {
    kit_client_init(&client, "");
    for (j = 0; j < 30; ++j) {
      (void)kit_client_read(&client, readers[i]);
      bench_rest(&bench);
    }
    seq = i * APART;
    for (j = 0; j < client.count; ++j) {
      seq += seq == 4 * APART ? APART + 3 : 3;
      ck_assert_uint_eq(strtoull(client.events[j].data, NULL, 10), seq);
    }
    ck_assert_uint_eq(seq, LAST);
    kit_client_free(&client);
    weir_subscriber_release(readers[i]);
  }
  ck_assert_uint_eq(storage->calls[TESTLOG_READ] - reads, 0);
}
END_TEST

/* What such a log says is lost is lost, wherever it stands in an answer; the
 * numbers that it leaves out beside that are not. */
START_TEST(a_sparse_log_that_has_lost_something) {
  weir_subscriber *reader;
  weir_stream *stream;

  storage->log.flags = _i == 0 ? 0 : WEIR_LOG_SPARSE;
  storage->most = _i == 2 ? 4 : 0;
  bench_hubs(&bench);
  if (_i == 3) {
    stream = bench_open(&bench, b, "k");
    reader = bench_attach(&bench, a, "k", NULL);
    bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh");
    bench_publish(&bench, stream, 8);
    weir_stream_release(stream);
    testlog_lose(storage, "k", 3, 5);
    ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 8), WEIR_OK);
    bench_expect(
        &bench, reader, WEIR_EAGAIN,
        "x@1 1; x@2 2; x@3 3; gap@5 evicted 3 6-8; x@6 6; x@7 7; x@8 8");
  } else {
    (void)write_and_leave(8);
    testlog_lose(storage, "k", 3, 5);
    reader = bench_attach(&bench, a, "k", NULL);
    bench_expect(&bench, reader, WEIR_EAGAIN,
                 "ready@0 fresh; x@1 1; x@2 2; x@3 3; gap@5 evicted 3 6-8; "
                 "x@6 6; x@7 7; x@8 8");
  }
  weir_subscriber_release(reader);
}
END_TEST

/* Disorder is an error there too. */
START_TEST(a_sparse_log_in_disorder) {
  static testlog_bend *const bends[] = {bend_disorder, bend_repeat, bend_before,
                                        bend_beyond};

  storage->log.flags = WEIR_LOG_SPARSE;
  bench_hubs(&bench);
  (void)write_and_leave(6);
  testlog_plan_bend(storage, TESTLOG_READ, 2, bends[_i]);
  expect_all(WEIR_EDONE, "ready@0 fresh; closing unavailable");
  expect_all(WEIR_EAGAIN,
             "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; x@5 5; x@6 6");
}
END_TEST

/* Plain numbers as cursors, for storage whose ids are never reused. */
START_TEST(decimal_cursors) {
  weir_stream *stream;

  a->options.cursor_format = WEIR_CURSOR_DECIMAL;
  b->options.cursor_format = WEIR_CURSOR_DECIMAL;
  storage->encoded = _i != 0;
  bench_hubs(&bench);
  (void)write_and_leave(3);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  expect_resumed(0, 2, WEIR_VERDICT_RESUMED, "ready@2 resumed; x@3 3; x@4 4");
  expect_resumed(0, 4, WEIR_VERDICT_RESUMED, "ready@4 resumed");
  expect_resumed(0, 5, WEIR_VERDICT_AHEAD,
                 "gap@0 ahead 5 1-4; ready@0 ahead; x@1 1; x@2 2; x@3 3; "
                 "x@4 4");
  weir_stream_release(stream);
}
END_TEST

/* --- Answers that deny what was known ------------------------------------ */

static void bend_not_ended(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  (void)epochs;
  (void)records;
  answer->ended = 0;
}

static void bend_later_end(weir_answer *answer, weir_epoch *epochs,
                           weir_record *records) {
  (void)records;
  answer->last += 1;
  answer->ended = answer->last;
  epochs[answer->epoch_count - 1].last = answer->last;
}

static void bend_goes_on(weir_answer *answer, weir_epoch *epochs,
                         weir_record *records) {
  (void)records;
  answer->last += 1;
  answer->ended = 0;
  epochs[answer->epoch_count - 1].last = answer->last;
}

static void bend_taken_over(weir_answer *answer, weir_epoch *epochs,
                            weir_record *records) {
  (void)records;
  epochs[answer->epoch_count].epoch = 4711;
  epochs[answer->epoch_count].last = answer->last;
  answer->epoch_count += 1;
}

/* What has ended stays so, where it did, and nobody takes it over. */
START_TEST(f23_an_end_that_is_taken_back_moves_no_cursor) {
  testlog_bend *const bends[] = {bend_not_ended, bend_later_end, bend_goes_on,
                                 bend_taken_over};
  weir_stream *stream;

  storage->later = (_i & 1) != 0;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 2);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(stream);
  testlog_plan_bend(storage, TESTLOG_READ, 1, bends[_i / 2]);
  expect_all(WEIR_EDONE, "ready@0 fresh; closing unavailable");
  expect_all(WEIR_EDONE, "ready@0 fresh; x@1 1; x@2 2; done@3 ok");
}
END_TEST

static void bend_other_epoch(weir_answer *answer, weir_epoch *epochs,
                             weir_record *records) {
  (void)records;
  epochs[answer->epoch_count - 1].epoch ^= 1;
}

/* The epoch that was the newest never was, as it says: then what came with it
 * is not believed any more. Who was not there yet misses nothing. */
START_TEST(f23_a_lost_epoch_moves_no_cursor) {
  weir_stream *stream;

  storage->later = _i != 0;
  bench_hubs(&bench);
  (void)write_and_leave(1);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 1);
  weir_stream_release(stream);
  expect_all(WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  bench_restart(&bench);
  testlog_plan_bend(storage, TESTLOG_READ, 2, bend_other_epoch);
  expect_all(WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
}
END_TEST

/* Storage goes back behind a take-over, as a replica does that becomes the
 * primary: who was led by that goes on from before it, those who have what is
 * lost are told, and it can be written again. */
START_TEST(f01_a_takeover_is_lost) {
  const weir_event event = kit_make_event("x", "lost");
  weir_subscriber *readers[2];
  weir_stream *first;
  weir_stream *again;
  weir_stream *second;
  uint64_t epochs[2];
  int verdict;

  storage->later = _i % 2 == 1;
  bench_hubs(&bench);
  first = bench_open(&bench, a, "k");
  epochs[0] = bench_info(first).epoch;
  bench_publish(&bench, first, 1);
  second = bench_open(&bench, b, "k");
  epochs[1] = bench_info(second).epoch;
  if (_i < 2) {
    bench_publish(&bench, second, 2);
  }
  readers[0] = bench_resume(&bench, a, "k", epochs[0], 1, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  readers[1] = bench_attach(&bench, a, "k", NULL);
  bench_pass(&bench, 15000);
  bench_expect(
      &bench, readers[1], WEIR_EAGAIN,
      _i < 2 ? "ready@0 fresh; x@1 1; x@2 2; x@3 3" : "ready@0 fresh; x@1 1");
  testlog_untake(storage, "k");
  (void)weir_stream_publish(second, &event, 1, NULL);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(second).status, WEIR_STREAM_FENCED);
  again = bench_open(&bench, b, "k");
  kit_publish(again, "y", "2");
  bench_rest(&bench);
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 4), WEIR_OK);
  bench_rest(&bench);
  bench_expect(&bench, readers[0], WEIR_EAGAIN, "ready@1 resumed; y@2 2");
  if (_i < 2) {
    bench_expect(&bench, readers[1], WEIR_EDONE, "closing unavailable");
    weir_subscriber_release(readers[1]);
    readers[1] = bench_resume(&bench, a, "k", epochs[1], 3, &verdict);
    ck_assert_int_eq(verdict, WEIR_VERDICT_FOREIGN);
    bench_expect(&bench, readers[1], WEIR_EAGAIN,
                 "gap@0 foreign 3 1-2; ready@0 foreign; x@1 1; y@2 2");
  } else {
    bench_expect(&bench, readers[1], WEIR_EAGAIN, "y@2 2");
  }
  weir_subscriber_release(readers[0]);
  weir_subscriber_release(readers[1]);
  weir_stream_release(again);
  weir_stream_release(second);
  weir_stream_release(first);
}
END_TEST

/* The same, but nobody takes over again: the writer from before never heard of
 * the one that was lost, and goes on. */
START_TEST(f01_the_writer_before_goes_on) {
  weir_subscriber *reader;
  weir_stream *first;
  weir_stream *second;
  weir_stream *third;
  uint64_t epoch;
  int verdict;

  storage->later = _i % 2 == 1;
  bench_hubs(&bench);
  first = bench_open(&bench, a, "k");
  epoch = bench_info(first).epoch;
  bench_publish(&bench, first, 1);
  second = bench_open(&bench, b, "k");
  reader = bench_attach(&bench, b, "k", NULL);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  testlog_untake(storage, "k");
  kit_publish(first, "y", "2");
  bench_rest(&bench);
  ck_assert_int_eq(weir_hub_hint(b->hub, "k", 1, 2), WEIR_OK);
  bench_rest(&bench);
  bench_expect(&bench, reader, WEIR_EAGAIN, "y@2 2");
  ck_assert_int_eq(bench_info(second).status, WEIR_STREAM_FENCED);
  weir_subscriber_release(reader);
  reader = bench_resume(&bench, b, "k", epoch, 2, &verdict);
  ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  weir_subscriber_release(reader);
  /* And when it has ended, the next can begin there. */
  ck_assert_int_eq(weir_stream_end(first, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(second);
  weir_stream_release(first);
  third = bench_open(&bench, b, "k");
  ck_assert_uint_eq(bench_info(third).last, 0);
  weir_stream_release(third);
}
END_TEST

/* What was owed by the writer that is lost is owed no more when the one before
 * has ended it. */
START_TEST(f01_the_writer_before_ends_it) {
  const weir_event event = kit_make_event("x", "lost");
  weir_stream *first;
  weir_stream *second;
  size_t takes;

  bench_hubs(&bench);
  first = bench_open(&bench, a, "k");
  bench_publish(&bench, first, 1);
  second = bench_open(&bench, b, "k");
  testlog_untake(storage, "k");
  (void)weir_stream_publish(second, &event, 1, NULL);
  bench_rest(&bench);
  ck_assert_int_eq(weir_stream_end(first, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  ck_assert_int_eq(weir_stream_cancel(second, "stop", 4), WEIR_OK);
  weir_stream_release(second);
  weir_stream_release(first);
  bench_pass(&bench, 100000);
  takes = storage->modes[WEIR_LOG_TAKE];
  bench_pass(&bench, 1000000);
  bench_pass(&bench, 1000000);
  ck_assert_uint_eq(storage->modes[WEIR_LOG_TAKE], takes);
  ck_assert_uint_eq(bench_hub_info(b).streams, 0);
}
END_TEST

/* A look from before the loss comes when this hub has taken over itself: that
 * is old news. */
START_TEST(f01_a_look_from_before_the_loss) {
  weir_event event = kit_make_event("y", "2");
  weir_subscriber *reader;
  weir_stream *first;
  weir_stream *again;

  bench_hubs(&bench);
  first = bench_open(&bench, a, "k");
  bench_publish(&bench, first, 1);
  reader = bench_attach(&bench, a, "k", NULL);
  (void)testlog_take(storage, "k");
  testlog_write(storage, "k", "z", "lost");
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 2), WEIR_OK);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1; z@2 lost");
  storage->later = true;
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 3), WEIR_OK);
  ck_assert_uint_eq(testlog_waiting(storage), 1);
  testlog_untake(storage, "k");
  again = kit_open(a, "k");
  testlog_deliver(storage, 1);
  kit_pass(a, 0);
  ck_assert_int_eq(bench_info(again).status, WEIR_STREAM_LIVE);
  ck_assert_int_eq(weir_stream_publish(again, &event, 1, NULL), WEIR_OK);
  while (testlog_waiting(storage) > 1) {
    testlog_deliver(storage, 1);
    kit_pass(a, 0);
  }
  ck_assert_uint_eq(bench_info(again).last, 2);
  bench_rest(&bench);
  ck_assert_int_eq(bench_info(again).status, WEIR_STREAM_LIVE);
  weir_subscriber_release(reader);
  weir_stream_release(first);
  weir_stream_release(again);
}
END_TEST

/* A look is under way when another answer says that what it follows is lost:
 * what it brings has a hole before it, which is nobody's loss. */
START_TEST(f01_a_look_behind_the_loss) {
  weir_attach_options options = kit_attach_options("k", "s");
  weir_subscriber *readers[3];
  weir_request request;
  char text[WEIR_CURSOR_MAX];
  weir_cursor cursor;
  weir_stream *stream;
  int verdict;
  int i;

  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  bench_publish(&bench, stream, 3);
  weir_stream_release(stream);
  readers[0] = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, readers[0], WEIR_EAGAIN,
               "ready@0 fresh; x@1 1; x@2 2; x@3 3");
  storage->later = true;
  storage->slow = true;
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 4), WEIR_OK);
  testlog_crash(storage, "k", 2);
  cursor.epoch = testlog_take(storage, "k");
  cursor.seq = 2;
  weir_request_init(&request, sizeof request);
  ck_assert_int_eq(weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, text,
                                      sizeof text, &request.header_len),
                   WEIR_OK);
  request.header = text;
  options.request = &request;
  ck_assert_int_eq(weir_hub_attach(a->hub, &options, &readers[1], &verdict),
                   WEIR_OK);
  ck_assert_uint_eq(testlog_waiting(storage), 2);
  testlog_deliver(storage, 1);
  kit_pass(a, 0);
  for (i = 0; i < 3; ++i) {
    testlog_write(storage, "k", "y", "new");
  }
  storage->slow = false;
  storage->later = false;
  bench_rest(&bench);
  readers[2] = bench_attach(&bench, a, "k", NULL);
  bench_expect(&bench, readers[2], WEIR_EAGAIN,
               "ready@0 fresh; x@1 1; x@2 2; y@3 new; y@4 new; y@5 new");
  for (i = 0; i < 3; ++i) {
    weir_subscriber_release(readers[i]);
  }
}
END_TEST

/* Storage has lost an end, and another goes on where it was: who ended it does
 * not feed that end to those who come. */
START_TEST(f01_an_end_is_lost) {
  weir_subscriber *reader;
  weir_stream *first;
  weir_stream *second;
  int verdict;

  storage->later = _i != 0;
  bench_hubs(&bench);
  first = bench_open(&bench, a, "k");
  bench_publish(&bench, first, 1);
  ck_assert_int_eq(weir_stream_end(first, "ok", 2, 0, NULL), WEIR_OK);
  bench_rest(&bench);
  weir_stream_release(first);
  testlog_crash(storage, "k", 1);
  second = bench_open(&bench, b, "k");
  kit_publish(second, "y", "2");
  bench_rest(&bench);
  reader = bench_attach(&bench, a, "k", &verdict);
  bench_expect(&bench, reader, WEIR_EAGAIN, "ready@0 fresh; x@1 1; y@2 2");
  weir_subscriber_release(reader);
  weir_stream_release(second);
}
END_TEST

/* An event that is longer than this hub lets one be is none; 0 is no limit. */
START_TEST(a_limit_is_one_of_what_is_read_too) {
  weir_stream *stream;

  storage->later = (_i & 1) != 0;
  a->options.max_event_bytes = (_i & 2) != 0 ? 4 : 0;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  kit_publish(stream, "x", "1234");
  kit_publish(stream, "x", "12345");
  bench_rest(&bench);
  weir_stream_release(stream);
  if ((_i & 2) != 0) {
    expect_all(WEIR_EDONE, "ready@0 fresh; x@1 1234; closing unavailable");
  } else {
    expect_all(WEIR_EAGAIN, "ready@0 fresh; x@1 1234; x@2 12345");
  }
}
END_TEST

/* --- Blocks that are under way ------------------------------------------- */

/* Its reader has left, and then goes the hub, or not. */
START_TEST(a_block_that_nobody_waits_for) {
  weir_subscriber *reader;

  bench_hubs(&bench);
  (void)write_and_leave(10);
  storage->later = true;
  reader = bench_attach(&bench, a, "k", NULL);
  bench_rest(&bench);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@0 fresh");
  ck_assert_uint_eq(testlog_waiting(storage), 1);
  weir_subscriber_release(reader);
  if (_i == 0) {
    weir_hub_free(a->hub);
    a->hub = NULL;
    testlog_deliver(storage, 0);
    ck_assert_int_eq(storage->answered, WEIR_ESTALE);
    return;
  }
  testlog_deliver(storage, 0);
  ck_assert_int_eq(storage->answered, WEIR_OK);
  expect_all(WEIR_EAGAIN,
             "ready@0 fresh; x@1 1; x@2 2; x@3 3; x@4 4; x@5 5; x@6 6; x@7 7; "
             "x@8 8; x@9 9; x@10 10");
}
END_TEST

START_TEST(blocks_are_asked_for_in_any_order) {
  static const uint64_t afters[] = {70, 10, 130};
  static const uint64_t los[] = {64, 0, 128};
  static const uint64_t his[] = {128, 64, 150};
  weir_subscriber *readers[3];
  uint64_t epoch;
  size_t i;
  int verdict;

  bench_hubs(&bench);
  epoch = write_and_leave(150);
  storage->later = true;
  for (i = 0; i < 3; ++i) {
    readers[i] = bench_resume(&bench, a, "k", epoch, afters[i], &verdict);
    ck_assert_int_eq(verdict, WEIR_VERDICT_RESUMED);
  }
  bench_rest(&bench);
  for (i = 0; i < 3; ++i) {
    (void)kit_skip(readers[i]);
    ck_assert_uint_eq(storage->after, los[i]);
    ck_assert_uint_eq(storage->upto, his[i]);
  }
  ck_assert_uint_eq(testlog_waiting(storage), 3);
  bench_rest(&bench);
  for (i = 0; i < 3; ++i) {
    ck_assert_uint_eq(drain(readers[i], afters[i]), 150);
    weir_subscriber_release(readers[i]);
  }
}
END_TEST

/* The block itself is what says that events were lost, and that another writes:
 * nothing of it is believed. Who is told may let go of whom it likes. */
static weir_subscriber *victims[2];

static void release_victims(void *user, const weir_trace *trace) {
  (void)user;
  if (trace->kind == WEIR_TRACE_DETACH && victims[0] != NULL) {
    weir_subscriber_release(victims[1]);
    victims[1] = NULL;
  }
}

START_TEST(f01_a_block_tells_of_the_loss) {
  weir_subscriber *reader;
  uint64_t epoch;
  int verdict;

  if (_i == 1) {
    a->options.trace = release_victims;
  }
  bench_hubs(&bench);
  epoch = write_and_leave(100);
  storage->later = true;
  storage->slow = true;
  storage->current = true;
  reader = bench_resume(&bench, a, "k", epoch, 3, &verdict);
  victims[0] = bench_resume(&bench, a, "k", epoch, 90, &verdict);
  victims[1] = bench_resume(&bench, a, "k", epoch, 91, &verdict);
  bench_rest(&bench);
  kit_expect_frames(reader, WEIR_EAGAIN, "ready@3 resumed");
  testlog_crash(storage, "k", 5);
  testlog_take(storage, "k");
  testlog_write(storage, "k", "y", "6");
  bench_expect(&bench, reader, WEIR_EAGAIN, "x@4 4; x@5 5; y@6 6");
  bench_expect(&bench, victims[0], WEIR_EDONE,
               "ready@90 resumed; closing unavailable");
  if (_i == 0) {
    bench_expect(&bench, victims[1], WEIR_EDONE,
                 "ready@91 resumed; closing unavailable");
  }
  ck_assert((victims[1] == NULL) == (_i == 1));
  a->options.trace = NULL;
  weir_subscriber_release(reader);
  weir_subscriber_release(victims[0]);
  weir_subscriber_release(victims[1]);
  victims[0] = victims[1] = NULL;
}
END_TEST

/* A signal after a number that no event has, in a page that has events before
 * and behind it. */
START_TEST(a_signal_where_numbers_have_a_hole) {
  weir_open_options options = kit_open_options("k", "p");
  weir_subscriber *reader;
  weir_stream *stream;

  storage->log.flags = WEIR_LOG_SPARSE;
  bench_hub(&bench);
  options.flags = WEIR_OPEN_SHARED;
  stream = kit_open_with(a, &options);
  reader = bench_attach(&bench, a, "k", NULL);
  storage->step = 10;
  testlog_write(storage, "k", "x", "10");
  testlog_write(storage, "k", "x", "20");
  storage->step = 5;
  testlog_write(storage, "k", "x", "25");
  testlog_drop(storage, "k", 25);
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 25), WEIR_OK);
  ck_assert_uint_eq(bench_info(stream).last, 25);
  kit_signal(stream, "s", "");
  testlog_take(storage, "k");
  testlog_write(storage, "k", "x", "30");
  ck_assert_int_eq(weir_hub_hint(a->hub, "k", 1, 30), WEIR_OK);
  ck_assert_uint_eq(bench_info(stream).last, 30);
  bench_expect(&bench, reader, WEIR_EAGAIN,
               "ready@0 fresh; x@10 10; x@20 20; s; x@30 30");
  weir_subscriber_release(reader);
  weir_stream_release(stream);
}
END_TEST

/* Memory is so short that of the pages that a block makes each drives out the
 * one before it, and the reader wants the first: it is sent away, and not for
 * ever. */
START_TEST(f11_what_is_driven_out_at_once) {
  struct testlog_stream *stored;
  struct kit_client client;
  weir_subscriber *reader;
  weir_stream *stream;
  weir_event event;
  char data[480];
  uint64_t seq;
  int rv;

  kit_client_init(&client, "");
  a->options.max_resident = 2200;
  bench_hubs(&bench);
  stream = bench_open(&bench, b, "k");
  memset(data, 'd', sizeof data);
  event = kit_make_event("x", "");
  event.data = data;
  event.data_len = sizeof data;
  for (seq = 1; seq <= 30; ++seq) {
    ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  }
  weir_stream_release(stream);
  stored = testlog_find(storage, "k");
  for (seq = 3; seq <= 27; seq += 3) {
    testlog_drop(storage, "k", seq);
  }
  stored->lost_to = 27;
  reader = bench_attach(&bench, a, "k", NULL);
  storage->calls[TESTLOG_READ] = 0;
  rv = kit_client_read(&client, reader);
  ck_assert_int_eq(rv, WEIR_EDONE);
  ck_assert_uint_eq(client.count, 2);
  ck_assert_str_eq(client.events[1].type, "weir.closing");
  kit_client_free(&client);
  ck_assert_uint_eq(storage->calls[TESTLOG_READ], 5);
  weir_subscriber_release(reader);
}
END_TEST

static TCase *cursors(void) {
  TCase *tcase = tcase_create("cursors");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, r06_what_follows_a_cursor, 0, 4);
  tcase_add_test(tcase, race14_a_crash_that_lost_events);
  tcase_add_test(tcase, race14_a_crash_that_lost_all_that_was_left);
  tcase_add_test(tcase, f04_the_head_is_restored);
  tcase_add_test(tcase, r60_what_retention_took);
  tcase_add_loop_test(tcase, trimming_a_log, 0, 2);
  tcase_add_loop_test(tcase, race15_retention_overtakes_a_reader, 0, 2);
  tcase_add_loop_test(tcase, r07_cut_at_every_byte, 0, 2);
  tcase_add_loop_test(tcase, decimal_cursors, 0, 2);
  return tcase;
}

static TCase *losses(void) {
  TCase *tcase = tcase_create("losses");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, r10_declared_loss_is_a_gap, 0, 12);
  tcase_add_loop_test(tcase, r10_declared_loss_stays_until_it_is_said, 0, 2);
  tcase_add_test(tcase, r10_declared_loss_of_blocks);
  tcase_add_loop_test(tcase, f23_an_answer_that_cannot_be_moves_no_cursor, 0,
                      4 * WRONG_READS);
  tcase_add_loop_test(tcase, records_of_an_older_log, 0, 4);
  tcase_add_loop_test(tcase, f23_a_look_that_cannot_be_moves_no_cursor, 0,
                      2 * WRONG_READS);
  tcase_add_loop_test(tcase, f23_a_hole_that_stays, 0, 4);
  tcase_add_loop_test(tcase, a_read_that_fails, 0, 12);
  tcase_add_test(tcase, a_read_that_is_not_answered);
  tcase_add_loop_test(tcase, what_is_lost_while_it_is_read, 0, 2);
  tcase_add_loop_test(tcase, f01_events_are_lost_under_readers, 0, 2);
  tcase_add_loop_test(tcase, f01_a_block_from_before_the_loss, 0, 2);
  tcase_add_loop_test(tcase, a_sparse_log, 0, 8);
  tcase_add_loop_test(tcase, readers_of_a_sparse_log_are_apart, 0, 2);
  tcase_add_loop_test(tcase, a_sparse_log_that_has_lost_something, 0, 4);
  tcase_add_loop_test(tcase, a_sparse_log_in_disorder, 0, 4);
  return tcase;
}

static TCase *ends(void) {
  TCase *tcase = tcase_create("ends");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, readers_behind_an_end_share_it, 0, 2);
  tcase_add_test(tcase, readers_behind_an_end_ask_together);
  tcase_add_loop_test(tcase, behind_an_end_is_what_storage_says, 0, 8);
  tcase_add_loop_test(tcase, behind_an_end_storage_may_fail, 0, 4);
  return tcase;
}

static TCase *sharing(void) {
  TCase *tcase = tcase_create("sharing");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, f11_readers_share_what_is_read, 0, 2);
  tcase_add_loop_test(tcase, r24_reads_are_paged, 0, 2);
  tcase_add_loop_test(tcase, a_large_block_is_not_read_for_one_event, 0, 2);
  tcase_add_loop_test(tcase, pages_are_a_cache, 0, 5);
  tcase_add_test(tcase, what_was_written_here_is_kept);
  tcase_add_loop_test(tcase, who_has_gone_keeps_nothing, 0, 3);
  tcase_add_loop_test(tcase, who_is_there_gets_what_it_asked_for, 0, 2);
  tcase_add_loop_test(tcase, many_streams_need_little_memory, 0, 2);
  tcase_add_loop_test(tcase, what_has_to_stay_is_not_looked_at_for_ever, 0, 2);
  tcase_add_test(tcase, what_comes_late_is_kept_from_then_on);
  tcase_add_loop_test(tcase, what_is_stored_makes_room_for_the_next, 0, 2);
  tcase_add_test(tcase, a_refused_batch_costs_nothing);
  tcase_add_loop_test(tcase, a_look_that_is_not_needed, 0, 2);
  tcase_add_test(tcase, a_slow_reader_costs_a_page);
  tcase_add_loop_test(tcase, race01_an_append_during_the_replay, 0, 2);
  tcase_add_test(tcase, race05_an_end_during_the_replay);
  tcase_add_loop_test(tcase, f23_an_end_that_is_taken_back_moves_no_cursor, 0,
                      8);
  tcase_add_loop_test(tcase, f23_a_lost_epoch_moves_no_cursor, 0, 2);
  tcase_add_loop_test(tcase, a_limit_is_one_of_what_is_read_too, 0, 4);
  tcase_add_loop_test(tcase, a_block_that_nobody_waits_for, 0, 2);
  tcase_add_test(tcase, blocks_are_asked_for_in_any_order);
  tcase_add_loop_test(tcase, f01_a_block_tells_of_the_loss, 0, 2);
  tcase_add_loop_test(tcase, f01_a_takeover_is_lost, 0, 4);
  tcase_add_loop_test(tcase, f01_the_writer_before_goes_on, 0, 2);
  tcase_add_test(tcase, f01_the_writer_before_ends_it);
  tcase_add_test(tcase, f01_a_look_from_before_the_loss);
  tcase_add_test(tcase, f01_a_look_behind_the_loss);
  tcase_add_loop_test(tcase, f01_an_end_is_lost, 0, 2);
  tcase_add_test(tcase, a_signal_where_numbers_have_a_hole);
  tcase_add_test(tcase, f11_what_is_driven_out_at_once);
  return tcase;
}

KIT_MAIN("reading", cursors(), losses(), sharing(), ends())
