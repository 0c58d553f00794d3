/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The file log without memory. Every allocation of a life fails in turn, alone,
 * or with all that come after it. A call that fails has changed nothing; it
 * works when there is memory again; and at the end no byte is left. */

#include "../filebench.h"

#include <stdio.h>
#include <string.h>

#include "file_segment.h"

static struct filebench bench;

/* Whether memory has failed once; and what is still to come until it does. */
static bool has_failed;
static size_t countdown;

static void arm(void) {
  bench.memory.fail_at = countdown == 0 ? 0 : bench.memory.calls + countdown;
}

/* There is memory, while something else is done. */
static void pause_failing(void) {
  const struct kit_memory *memory = &bench.memory;

  if (memory->fail_at != 0) {
    has_failed = has_failed || memory->calls >= memory->fail_at;
    countdown = memory->calls < memory->fail_at
                    ? memory->fail_at - memory->calls
                : memory->fail_on ? 1
                                  : 0;
  }
  bench.memory.fail_at = 0;
}

/* There is memory again, for good. */
static void recover(void) {
  pause_failing();
  countdown = 0;
}

/* Everything that is known of the log without reading it, as text: streams by
 * their generation, which are small numbers here. */
static void probe(char text[2048]) {
  char lines[10][160] = {{0}};
  weir_log_file_stream stream;
  weir_log_file_info info;
  uint64_t at = 0;
  size_t len = 0;
  size_t i;

  text[0] = '\0';
  if (bench.log == NULL) {
    return;
  }
  stream.size = sizeof stream;
  while (weir_log_file_next_stream(bench.log, &at, &stream) == WEIR_OK) {
    ck_assert_uint_lt(stream.generation, 10);
    snprintf(lines[stream.generation], sizeof lines[0],
             "%llu of %.*s: epoch %llu trimmed %llu last %llu ended %llu %s\n",
             (unsigned long long)stream.generation, (int)stream.key_len,
             (const char *)stream.key, (unsigned long long)stream.epoch,
             (unsigned long long)stream.trimmed,
             (unsigned long long)stream.last, (unsigned long long)stream.ended,
             stream.newest ? "newest" : "hidden");
  }
  for (i = 0; i < 10; ++i) {
    len += (size_t)snprintf(text + len, 2048 - len, "%s", lines[i]);
  }
  info = fb_info(&bench);
  snprintf(text + len, 2048 - len, "appends %llu events %llu streams %llu\n",
           (unsigned long long)info.appends, (unsigned long long)info.events,
           (unsigned long long)info.streams);
}

/* Do something, until it is done. */
#define STEP(wanted, call)               \
  do {                                   \
    char before_[2048];                  \
    char after_[2048];                   \
    int rv_;                             \
    probe(before_);                      \
    arm();                               \
    rv_ = (call);                        \
    pause_failing();                     \
    if (rv_ == WEIR_ENOMEM) {            \
      ck_assert(has_failed);             \
      probe(after_);                     \
      ck_assert_str_eq(after_, before_); \
      recover();                         \
      rv_ = (call);                      \
    }                                    \
    ck_assert_int_eq(rv_, wanted);       \
  } while (0)

/* --- Steps -----------------------------------------------------------------*/

/* Rounds, which are gone on with when there is memory again. */
static void rounds(void) {
  arm();
  if (fb_rounds(&bench) != WEIR_OK) {
    recover();
    ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  }
  pause_failing();
}

/* A call that may wait for them: its answer. */
static int answer_of(const struct fb_call *call) {
  if (call->answers == 0) {
    pause_failing();
    rounds();
  }
  ck_assert_uint_eq(call->answers, 1);
  return call->result;
}

static int create(const char *key, uint64_t generation, uint64_t epoch,
                  struct weir__handle **handle) {
  struct fb_call call;
  int rv;

  fb_start_create(&bench, &call, key, generation, epoch);
  rv = answer_of(&call);
  *handle = call.handle;
  return rv;
}

static int take(const char *key, uint64_t generation, uint64_t epoch,
                struct weir__handle **handle) {
  struct fb_call call;
  int rv;

  fb_start_take(&bench, &call, key, generation, epoch);
  rv = answer_of(&call);
  *handle = call.handle;
  return rv;
}

static int append(struct weir__handle *handle, uint64_t epoch, uint64_t first,
                  uint64_t last, uint32_t flags) {
  struct fb_call call;

  fb_start_append(&bench, &call, handle, epoch, first, last, flags);
  return answer_of(&call);
}

static void read_done(void *owner, int result, const weir_answer *answer,
                      struct weir__handle *handle) {
  int *came = owner;

  (void)answer;
  (void)handle;
  *came = result;
}

static int read_from(struct weir__handle *handle, uint64_t after) {
  struct weir__call *place;
  int came = 0;

  ck_assert_int_eq(weir__log_read(handle, after, (uint64_t)WEIR_SEQ_MAX, 65536,
                                  read_done, &came, &place),
                   WEIR_OK);
  return came;
}

/* --- Lives -----------------------------------------------------------------*/

static void begin(size_t nth, bool all_after, int sync) {
  fb_init(&bench);
  bench.options.sync = sync;
  bench.memory.fail_on = all_after;
  countdown = nth;
  has_failed = false;
}

/* Close the log, which may be without memory for its last rounds: what was
 * acknowledged stays all the same. */
static void close_log(void) {
  int rv;

  arm();
  rv = fb_close(&bench);
  pause_failing();
  ck_assert(rv == WEIR_OK || (rv == WEIR_ENOMEM && has_failed));
}

#define expect(key, text) ck_assert_str_eq(fb_contents(&bench, key), text)

/* Some of everything, over several segments; and what is there after a
 * restart, with indexes or (killed) without. Returns whether memory failed. */
static bool write_and_read(size_t nth, bool all_after, int sync, bool killed) {
  struct weir__handle *a;
  struct weir__handle *b;
  struct weir__handle *c;
  uint64_t epoch;

  begin(nth, all_after, sync);
  STEP(WEIR_OK, fb_try(&bench));
  STEP(WEIR_LOG_YES, create("a", 0, 1, &a));
  STEP(WEIR_LOG_YES, append(a, 1, 1, 3, 0));
  STEP(WEIR_LOG_YES, read_from(a, 0));
  STEP(WEIR_LOG_YES, append(a, 1, 4, 60, 0));
  rounds();
  STEP(WEIR_LOG_YES, read_from(a, 50));
  STEP(WEIR_LOG_YES, create("b", 0, 2, &b));
  STEP(WEIR_LOG_YES, append(b, 2, 1, 20, 0));
  STEP(WEIR_LOG_YES, append(b, 2, 21, 40, WEIR_RECORD_END));
  STEP(WEIR_LOG_YES, create("b", 2, 3, &c));
  weir__handle_release(c);
  for (epoch = 4; epoch < 8; ++epoch) {
    weir__handle_release(a);
    STEP(WEIR_LOG_YES, take("a", 1, epoch, &a));
  }
  STEP(WEIR_LOG_YES, fb_trim(&bench, a, 2));
  STEP(WEIR_LOG_YES, append(a, 7, 61, 61, 0));
  weir__handle_release(a);
  weir__handle_release(b);
  rounds();
  if (killed) {
    fb_kill(&bench);
  } else {
    close_log();
  }
  STEP(WEIR_OK, fb_try(&bench));
  STEP(WEIR_LOG_YES, fb_lookup(&bench, "a", &a));
  STEP(WEIR_LOG_YES, read_from(a, 2));
  weir__handle_release(a);
  recover();
  expect("a", "1:60 4:60 5:60 6:60 7:61 *:61 trimmed 2 | 3-61");
  expect("b", "3:0 *:0 |");
  fb_end(&bench);
  return has_failed;
}

START_TEST(a_life) {
  const bool killed = _i % 2 != 0;
  const bool all_after = _i / 2 % 2 != 0;
  const int sync = _i / 4;
  size_t nth;

  for (nth = 1; write_and_read(nth, all_after, sync, killed); ++nth) {
    ck_assert_uint_lt(nth, 1000);
  }
  ck_assert_uint_gt(nth, 30);
}
END_TEST

/* What goes by age, and what is carried on from there. */
static bool let_go(size_t nth, bool all_after) {
  struct weir__handle *a;
  int i;

  begin(nth, all_after, WEIR_SYNC_ALWAYS);
  bench.options.keep_age = 1000;
  fb_open(&bench);
  ck_assert_int_eq(create("a", 0, 1, &a), WEIR_LOG_YES);
  ck_assert_int_eq(append(a, 1, 1, 60, 0), WEIR_LOG_YES);
  fb_write(&bench, "b", 2, 50);
  bench.wall += 2000;
  for (i = 0; i < 20; ++i) {
    rounds();
    bench.kit.now += 1100;
  }
  ck_assert_uint_gt(fb_info(&bench).removed, 0);
  STEP(WEIR_LOG_YES, append(a, 1, 61, 62, 0));
  weir__handle_release(a);
  recover();
  expect("a", "1:62 trimmed 60 | 61-62");
  fb_cut(&bench);
  fb_open(&bench);
  expect("a", "1:62 *:62 trimmed 60 | 61-62");
  fb_end(&bench);
  return has_failed;
}

START_TEST(retention) {
  size_t nth;

  for (nth = 1; let_go(nth, _i != 0); ++nth) {
    ck_assert_uint_lt(nth, 1000);
  }
  ck_assert_uint_gt(nth, 5);
}
END_TEST

/* A log that is opened with damage in it: the same is found. */
static bool with_damage(size_t nth, bool all_after, int damage) {
  static const char *const found[] = {
      /* To an index: its records are there. */
      "1:40 *:40 | 1-40",
      /* To an event's head: of others, more may be lost. */
      "1:32 *:32 | 1-8 !9 10-32",
      /* To a taking over: its events say that it was. */
      "1:30 4:32 *:32 | 1-32",
  };
  struct weir__handle *a;
  unsigned char *bytes;
  uint64_t size;
  uint64_t at;

  begin(nth, all_after, WEIR_SYNC_ALWAYS);
  bench.options.segment_bytes = 16384;
  fb_open(&bench);
  fb_write(&bench, "b", 2, 8);
  ck_assert_int_eq(fb_create(&bench, "a", 0, 1, &a), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, a, 1, 1, 8, 0), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, a, 1, 9, 30, 0), WEIR_LOG_YES);
  if (damage == 0) {
    ck_assert_int_eq(fb_append(&bench, a, 1, 31, 40, 0), WEIR_LOG_YES);
    weir__handle_release(a);
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
    bytes = fb_segment(&bench, 0, &size);
    bytes[size - 200] ^= 1;
  } else {
    if (damage == 2) {
      weir__handle_release(a);
      ck_assert_int_eq(fb_take(&bench, "a", 1, 4, &a), WEIR_LOG_YES);
    }
    ck_assert_int_eq(fb_append(&bench, a, damage == 2 ? 4 : 1, 31, 32, 0),
                     WEIR_LOG_YES);
    weir__handle_release(a);
    fb_kill(&bench);
    at = damage == 1 ? fb_find(&bench, 0, 1, 9)
                     : fb_find(&bench, 0, 1, 30) + weir__record_length(40);
    fb_segment(&bench, 0, &size)[at + 20] ^= 1;
  }
  STEP(WEIR_OK, fb_try(&bench));
  recover();
  expect("a", found[damage]);
  expect("b", damage == 0 ? "2:8 *:8 | 1-8" : "2:9 *:9 | 1-8 !9");
  fb_end(&bench);
  return has_failed;
}

START_TEST(damage) {
  size_t nth;

  for (nth = 1; with_damage(nth, _i % 2 != 0, _i / 2); ++nth) {
    ck_assert_uint_lt(nth, 1000);
  }
  ck_assert_uint_gt(nth, 5);
}
END_TEST

/* A third epoch, of which nothing says that it began but its event; or one that
 * says of events before it that they were, since they are lost. */
static bool with_loss(size_t nth, bool all_after, int loss) {
  struct weir__handle *a;
  uint64_t size;
  uint64_t seq;
  uint64_t at;

  begin(nth, all_after, WEIR_SYNC_ALWAYS);
  fb_open(&bench);
  ck_assert_int_eq(fb_create(&bench, "a", 0, 1, &a), WEIR_LOG_YES);
  for (seq = 1; seq <= 3; ++seq) {
    ck_assert_int_eq(fb_append(&bench, a, 1, seq, seq, 0), WEIR_LOG_YES);
  }
  weir__handle_release(a);
  ck_assert_int_eq(fb_take(&bench, "a", 1, 4, &a), WEIR_LOG_YES);
  if (loss == 0) {
    weir__handle_release(a);
    ck_assert_int_eq(fb_take(&bench, "a", 1, 5, &a), WEIR_LOG_YES);
    ck_assert_int_eq(fb_append(&bench, a, 5, 4, 4, 0), WEIR_LOG_YES);
    at = fb_find(&bench, 0, 1, 4) - weir__record_length(0);
    fb_segment(&bench, 0, &size)[at + 20] ^= 1;
  } else {
    for (seq = 1; seq <= 3; ++seq) {
      at = fb_find(&bench, 0, 1, seq);
      fb_segment(&bench, 0, &size)[at + 20] ^= 1;
    }
  }
  weir__handle_release(a);
  fb_write(&bench, "b", 2, 1);
  fb_kill(&bench);
  STEP(WEIR_OK, fb_try(&bench));
  recover();
  expect("a", loss == 0 ? "1:3 4:3 5:4 *:4 | 1-4" : "1:3 4:3 *:3 | !1-3");
  fb_end(&bench);
  return has_failed;
}

START_TEST(losses) {
  size_t nth;

  for (nth = 1; with_loss(nth, _i % 2 != 0, _i / 2); ++nth) {
    ck_assert_uint_lt(nth, 1000);
  }
  ck_assert_uint_gt(nth, 5);
}
END_TEST

/* A segment without an index goes, since a sync of it has failed: what has to
 * stay of it is found by its runs. */
static bool let_go_distrusted(size_t nth, bool all_after) {
  struct weir__handle *c;
  int i;

  begin(nth, all_after, WEIR_SYNC_ALWAYS);
  bench.options.keep_age = 1000;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 10);
  fb_write(&bench, "b", 2, 5);
  ck_assert_int_eq(create("c", 0, 3, &c), WEIR_LOG_YES);
  simdisk_fail(&bench.disk, SIM_SYNC, 1, SIM_KEEP, 0);
  ck_assert_int_lt(fb_append(&bench, c, 3, 1, 1, 0), 0);
  weir__handle_release(c);
  fb_write(&bench, "d", 4, 2);
  bench.wall += 2000;
  for (i = 0; i < 20; ++i) {
    if (i == 10) {
      recover();
    }
    rounds();
    bench.kit.now += 1100;
  }
  ck_assert_uint_gt(fb_info(&bench).removed, 0);
  recover();
  expect("a", "1:10 trimmed 10 |");
  expect("b", "2:5 trimmed 5 |");
  fb_end(&bench);
  return has_failed;
}

START_TEST(retention_without_an_index) {
  size_t nth;

  for (nth = 1; let_go_distrusted(nth, _i != 0); ++nth) {
    ck_assert_uint_lt(nth, 1000);
  }
  ck_assert_uint_gt(nth, 5);
}
END_TEST

/* Damage where nobody knows whose it was: it is noted of a stream, too, that
 * has nothing in that segment. */
static bool with_suspicion(size_t nth, bool all_after) {
  struct weir__handle *b;
  uint64_t size;
  uint64_t at;

  begin(nth, all_after, WEIR_SYNC_ALWAYS);
  fb_open(&bench);
  fb_write(&bench, "a", 1, 30);
  ck_assert_int_eq(create("b", 0, 2, &b), WEIR_LOG_YES);
  ck_assert_int_eq(append(b, 2, 1, 8, 0), WEIR_LOG_YES);
  ck_assert_int_eq(append(b, 2, 9, 10, 0), WEIR_LOG_YES);
  weir__handle_release(b);
  fb_kill(&bench);
  at = fb_find(&bench, 1, 2, 5);
  fb_segment(&bench, 1, &size)[at + 20] ^= 1;
  STEP(WEIR_OK, fb_try(&bench));
  recover();
  expect("a", "1:31 *:31 | 1-30 !31");
  expect("b", "2:10 *:10 | 1-4 !5 6-10");
  fb_end(&bench);
  return has_failed;
}

START_TEST(suspicion) {
  size_t nth;

  for (nth = 1; with_suspicion(nth, _i != 0); ++nth) {
    ck_assert_uint_lt(nth, 1000);
  }
  ck_assert_uint_gt(nth, 5);
}
END_TEST

static TCase *oom(void) {
  TCase *tcase = tcase_create("oom");

  tcase_set_timeout(tcase, 60);
  tcase_add_loop_test(tcase, a_life, 0, 12);
  tcase_add_loop_test(tcase, retention, 0, 2);
  tcase_add_loop_test(tcase, retention_without_an_index, 0, 2);
  tcase_add_loop_test(tcase, damage, 0, 6);
  tcase_add_loop_test(tcase, losses, 0, 4);
  tcase_add_loop_test(tcase, suspicion, 0, 2);
  return tcase;
}

KIT_MAIN("log_oom", oom())
