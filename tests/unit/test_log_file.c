/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The file log, call by call: what is stored, and what is left of it after
 * whatever may happen to files. */

#include "../conformance.h"
#include "../filebench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "file_store.h"

static struct filebench bench;

static void setup(void) {
  fb_init(&bench);
}

static void teardown(void) {
  fb_end(&bench);
}

#define expect(key, text) ck_assert_str_eq(fb_contents(&bench, key), text)

/* --- A life ----------------------------------------------------------------*/

START_TEST(round_trip) {
  struct weir__handle *handle;

  bench.options.sync = _i % 3;
  bench.real = _i >= 3;
  fb_open(&bench);
  expect("k", "none");
  fb_write(&bench, "k", 7, 3);
  expect("k", "7:3 | 1-3");
  fb_reopen(&bench);
  expect("k", "7:3 *:3 | 1-3");
  ck_assert_int_eq(fb_take(&bench, "k", 7, 8, &handle), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, handle, 8, 4, 9, WEIR_RECORD_END),
                   WEIR_LOG_YES);
  weir__handle_release(handle);
  expect("k", "7:3 *:3 8:9 ended | 1-9");
  fb_reopen(&bench);
  expect("k", "7:3 *:3 8:9 ended | 1-9");
  ck_assert_int_eq(fb_create(&bench, "f", 0, 9, &handle), WEIR_LOG_YES);
  ck_assert_int_eq(
      fb_append(&bench, handle, 9, 1, 3, WEIR_RECORD_END | WEIR_RECORD_FAILED),
      WEIR_LOG_YES);
  weir__handle_release(handle);
  expect("f", "9:3 failed | 1-3");
  fb_reopen(&bench);
  expect("f", "9:3 failed | 1-3");
}
END_TEST

/* --- Writers ---------------------------------------------------------------*/

/* Append events first to last of a stream that has a handle. */
static void append(struct weir__handle *handle, uint64_t epoch, uint64_t first,
                   uint64_t last) {
  ck_assert_int_eq(fb_append(&bench, handle, epoch, first, last, 0),
                   WEIR_LOG_YES);
}

static struct weir__handle *create(const char *key, uint64_t epoch) {
  struct weir__handle *handle;

  ck_assert_int_eq(fb_create(&bench, key, 0, epoch, &handle), WEIR_LOG_YES);
  return handle;
}

/* What the older writer has under way is void, wherever it stands: in the same
 * segment, or in the one before. */
START_TEST(take_with_an_append_under_way) {
  struct weir__handle *old;
  struct weir__handle *handle;
  struct fb_call appended;
  struct fb_call taken;
  int i;

  fb_open(&bench);
  ck_assert_int_eq(fb_create(&bench, "a", 0, 1, &old), WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, old, 1, 1, _i == 0 ? 4 : 33, 0),
                   WEIR_LOG_YES);
  if (_i == 0) {
    fb_start_append(&bench, &appended, old, 1, 5, 7, 0);
  } else {
    fb_start_append(&bench, &appended, old, 1, 34, 36, WEIR_RECORD_END);
  }
  fb_start_take(&bench, &taken, "a", 1, 9);
  ck_assert_uint_eq(appended.answers + taken.answers, 0);
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  ck_assert_int_eq(appended.result, WEIR_EFENCED);
  ck_assert_int_eq(taken.result, WEIR_LOG_YES);
  ck_assert_int_eq(fb_append(&bench, old, 1, 5, 5, 0), WEIR_EFENCED);
  handle = taken.handle;
  weir__handle_release(old);
  for (i = 0; i < 3; ++i) {
    if (_i == 0) {
      expect("a", i == 0 ? "1:4 9:4 | 1-4" : "1:4 9:4 *:4 | 1-4");
    } else {
      expect("a", i == 0 ? "1:33 9:33 | 1-33" : "1:33 9:33 *:33 | 1-33");
    }
    weir__handle_release(handle);
    handle = NULL;
    if (i == 0) {
      fb_kill(&bench);
      fb_open(&bench);
    } else {
      fb_reopen(&bench);
    }
  }
}
END_TEST

/* However often a stream is taken over, its events can be read, or are said to
 * be gone: what a reader is shown of epochs has to agree with what events say.
 * Epochs without events are forgotten first. */
START_TEST(many_epochs) {
  struct weir__handle *handle;
  const struct fb_counts *counts = &bench.counts;
  uint64_t epoch;
  uint64_t last = 1;
  const uint64_t every = _i == 0 ? 1 : 10; /* how many of them write */

  fb_open(&bench);
  fb_write(&bench, "a", 1, 1);
  for (epoch = 2; epoch < 350; ++epoch) {
    ck_assert_int_eq(fb_take(&bench, "a", 1, epoch, &handle), WEIR_LOG_YES);
    if (epoch % every == 0) {
      last += 1;
      append(handle, epoch, last, last);
    }
    weir__handle_release(handle);
    if (epoch % 11 == 0) {
      (void)fb_contents(&bench, "a");
      ck_assert_uint_eq(counts->trimmed + counts->present, last);
    }
    if (epoch % 37 == 0) {
      fb_reopen(&bench);
    } else if (epoch % 17 == 0) {
      fb_kill(&bench);
      fb_open(&bench);
    }
    if (epoch % 11 == 0) {
      (void)fb_contents(&bench, "a");
      ck_assert_uint_eq(counts->trimmed + counts->present, last);
    }
  }
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(counts->lost, 0);
  if (_i != 0) {
    ck_assert_uint_eq(counts->present, last);
  } else {
    ck_assert_uint_ge(counts->present, WEIR__EPOCHS_MOST - 4);
  }
}
END_TEST

/* The verdict on a cursor of "a", and whether the client is told of a loss. */
static int judge(uint64_t epoch, uint64_t seq, bool *gap) {
  const weir_cursor cursor = {epoch, seq};
  struct kit_bytes bytes = {NULL, 0, 0};
  char text[WEIR_CURSOR_MAX + 1];
  weir_subscriber *reader;
  int verdict;
  size_t len;

  ck_assert_int_eq(weir_cursor_format(&cursor, WEIR_CURSOR_EPOCH, text,
                                      WEIR_CURSOR_MAX, &len),
                   WEIR_OK);
  text[len] = '\0';
  reader = kit_attach(&bench.kit, "a", text, &verdict);
  ck_assert_int_eq(kit_pull(reader, &bytes), WEIR_EAGAIN);
  kit_bytes_add(&bytes, "", 1);
  *gap = strstr(bytes.data, "event: weir.gap\n") != NULL;
  kit_bytes_free(&bytes);
  weir_subscriber_release(reader);
  return verdict;
}

/* When there are too many, the second goes, with its events; whoever stood
 * there is told so. One of them is what an open begins with and nobody takes.
 */
START_TEST(a_forgotten_epoch) {
  uint64_t epochs_of[WEIR__EPOCHS_MOST + 1] = {0};
  const uint64_t last = WEIR__EPOCHS_MOST - 1 + (uint64_t)_i;
  weir_stream_info info;
  weir_stream *stream;
  uint64_t seq;
  bool gap;

  fb_open(&bench);
  for (seq = 1; seq <= last; ++seq) {
    if (seq > 1) {
      fb_reopen(&bench);
    }
    stream = kit_open(&bench.kit, "a");
    (void)fb_rounds(&bench);
    kit_pass(&bench.kit, 0);
    (void)fb_rounds(&bench);
    ck_assert_uint_eq(kit_publish(stream, "x", "y"), seq);
    (void)fb_rounds(&bench);
    info.size = sizeof info;
    ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
    epochs_of[seq] = info.epoch;
    weir_stream_release(stream);
  }
  ck_assert_int_eq(judge(epochs_of[2], 2, &gap),
                   _i == 0 ? WEIR_VERDICT_RESUMED : WEIR_VERDICT_FOREIGN);
  ck_assert_int_eq(gap, _i != 0);
  ck_assert_int_eq(judge(epochs_of[1], 1, &gap),
                   _i == 0 ? WEIR_VERDICT_RESUMED : WEIR_VERDICT_EVICTED);
  ck_assert_int_eq(gap, _i != 0);
  ck_assert_int_eq(judge(epochs_of[3], 3, &gap), WEIR_VERDICT_RESUMED);
  ck_assert(!gap);
}
END_TEST

/* --- Segments --------------------------------------------------------------*/

/* Of those that the log counts. */
static uint64_t bytes_of_segments(void) {
  uint64_t sum = 0;
  uint64_t size;
  size_t n;

  for (n = 0; n < fb_info(&bench).segments; ++n) {
    (void)fb_segment(&bench, n, &size);
    sum += size;
  }
  return sum;
}

/* Streams in turn, over many segments, with what each of them is left by. */
START_TEST(many_segments) {
  struct weir__handle *handles[3];
  uint64_t seq;
  size_t i;

  bench.options.sync = _i / 3;
  fb_open(&bench);
  handles[0] = create("a", 1);
  handles[1] = create("b", 2);
  handles[2] = create("c", 3);
  for (seq = 1; seq <= 300; ++seq) {
    append(handles[0], 1, seq, seq);
    append(handles[1 + seq % 2], 2 + seq % 2, (seq + 1) / 2, (seq + 1) / 2);
  }
  for (i = 0; i < 3; ++i) {
    weir__handle_release(handles[i]);
  }
  ck_assert_uint_gt(fb_info(&bench).segments, 10);
  ck_assert_uint_eq(fb_info(&bench).bytes, bytes_of_segments());
  expect("a", "1:300 | 1-300");
  if (_i % 3 == 0) {
    fb_reopen(&bench);
  } else if (_i % 3 == 1) {
    fb_kill(&bench);
    fb_open(&bench);
  } else {
    (void)fb_rounds(&bench);
    ck_assert_int_eq(weir_log_file_get_timeout(bench.log) == 0, 0);
    fb_cut(&bench);
    fb_open(&bench);
  }
  if (_i % 3 != 2 || _i == 2) {
    expect("a", "1:300 *:300 | 1-300");
    expect("b", "2:150 *:150 | 1-150");
    expect("c", "3:150 *:150 | 1-150");
  }
  ck_assert(!fb_said(&bench, "damaged"));
}
END_TEST

/* A batch that needs a segment of its own comes while the next one has been
 * made already. */
START_TEST(batch_larger_than_a_segment) {
  struct weir__handle *handle;

  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 20); /* more than half of it: the next one is made */
  (void)fb_rounds(&bench);
  append(handle, 1, 21, 200);
  append(handle, 1, 201, 201);
  append(handle, 1, 202, 240);
  weir__handle_release(handle);
  expect("a", "1:240 | 1-240");
  fb_kill(&bench);
  fb_open(&bench);
  expect("a", "1:240 *:240 | 1-240");
}
END_TEST

/* Segments go as they age, one after the other. */
static void let_go(void) {
  bench.wall += 2000;
  (void)fb_rounds(&bench);
  bench.kit.now += 1100;
  (void)fb_rounds(&bench);
}

/* What streams have to have is more than may be kept: it is not carried round
 * and round, and nothing goes, of those that live and of those that have ended.
 */
START_TEST(retention_of_many_streams) {
  const bool ended = _i % 2 != 0;
  char key[8];
  uint64_t i;

  bench.options.sync = _i / 2;
  bench.options.keep_bytes = (uint64_t)256 * 1024;
  fb_open(&bench);
  for (i = 1; i <= 1500; ++i) {
    struct weir__handle *handle;

    snprintf(key, sizeof key, "k%u", (unsigned)i);
    handle = create(key, i);
    ck_assert_int_eq(
        fb_append(&bench, handle, i, 1, 1, ended ? WEIR_RECORD_END : 0),
        WEIR_LOG_YES);
    weir__handle_release(handle);
  }
  (void)fb_rounds(&bench);
  ck_assert_int_ne(weir_log_file_get_timeout(bench.log), 0);
  fb_reopen(&bench);
  for (i = 1; i <= 1500; ++i) {
    snprintf(key, sizeof key, "k%u", (unsigned)i);
    (void)fb_contents(&bench, key);
    ck_assert(bench.counts.exists);
    ck_assert_uint_eq(bench.counts.present, 1);
  }
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
}
END_TEST

/* A close lets nothing go. */
START_TEST(retention_is_not_for_a_close) {
  bench.options.keep_bytes = 65536;
  bench.options.keep_age = 1000;
  bench.options.keep_ended = 1000;
  bench.options.segment_bytes = 65536;
  bench.frame_len = 600;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 80);
  bench.wall += 2000;
  bench.kit.now += 2000;
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  bench.wall -= 2000;
  fb_open(&bench);
  expect("a", "1:80 *:80 | 1-80");
}
END_TEST

/* There is no room for what has to be carried on: that is tried again after a
 * second, not at once, and a close does not wait for it. */
START_TEST(retention_on_a_full_disk) {
  bench.options.sync = _i;
  bench.options.keep_age = 1000;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 30);
  fb_reopen(&bench);
  bench.disk.room = 0;
  bench.wall += 2000;
  ck_assert_int_eq(fb_rounds(&bench), WEIR_EFULL);
  ck_assert_int_eq(weir_log_file_get_timeout(bench.log), 1000);
  ck_assert_uint_eq(fb_info(&bench).failures, 1);
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
  if (_i % 2 == 0) {
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
    bench.disk.room = UINT64_MAX;
    fb_open(&bench);
  }
  bench.disk.room = UINT64_MAX;
  bench.kit.now += 1000;
  ck_assert_int_eq(fb_rounds(&bench), WEIR_OK);
  ck_assert_uint_gt(fb_info(&bench).removed, 0);
  fb_reopen(&bench);
  expect("a", "1:30 *:30 *:30 trimmed 30 |");
}
END_TEST

/* What is hidden goes with its segment, unless somebody has it; what is not is
 * carried on, also when it has ended. */
START_TEST(retention_of_what_is_hidden) {
  struct weir__handle *handle;
  struct weir__handle *held = NULL;
  uint64_t weight;

  bench.options.keep_age = 1000;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 1);
  if (_i != 0) {
    ck_assert_int_eq(fb_lookup(&bench, "a", &held), WEIR_LOG_YES);
  }
  fb_write(&bench, "b", 2, 1);
  handle = create("e", 5);
  ck_assert_int_eq(
      fb_append(&bench, handle, 5, 1, 1,
                WEIR_RECORD_END | (_i == 1 ? WEIR_RECORD_FAILED : 0)),
      WEIR_LOG_YES);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_create(&bench, "a", 1, 3, &handle), WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_write(&bench, "c", 4, 60);
  /* Storage hears only in a run of what has been let go of. */
  ck_assert_int_eq(weir_hub_run(bench.kit.hub), WEIR_OK);
  let_go();
  ck_assert_uint_gt(fb_info(&bench).removed, 0);
  ck_assert_uint_eq(fb_info(&bench).streams, 4 + (uint64_t)_i);
  weir__handle_release(held);
  weight = bench.log->weight;
  fb_reopen(&bench);
  ck_assert_uint_eq(bench.log->weight, weight + (3 + (uint64_t)_i) * 2 * 16);
  expect("a", "3:0 *:0 |");
  expect("b", "2:1 *:1 trimmed 1 |");
  expect("e", _i == 1 ? "5:1 trimmed 1 failed |" : "5:1 trimmed 1 ended |");
  ck_assert_uint_eq(fb_info(&bench).streams, 4 + (uint64_t)_i);
}
END_TEST

/* What is carried on may come to stand in two segments: both have to be safe
 * before what they stand for goes. */
START_TEST(retention_over_two_segments) {
  char key[8];
  uint64_t i;

  bench.options.keep_age = 1000;
  bench.options.segment_bytes = 8192;
  fb_open(&bench);
  for (i = 1; i <= 40; ++i) {
    snprintf(key, sizeof key, "k%u", (unsigned)i);
    fb_write(&bench, key, i, 1);
  }
  bench.options.segment_bytes = 4096;
  fb_reopen(&bench);
  fb_write(&bench, "a", 90, 30);
  (void)fb_rounds(&bench);
  bench.wall += 2000;
  /* One of them cannot be synced. */
  simdisk_fail(&bench.disk, SIM_SYNC, (size_t)_i, SIM_KEEP, 0);
  while (fb_info(&bench).removed == 0) {
    (void)fb_rounds(&bench);
    bench.kit.now += 1100;
  }
  fb_cut(&bench);
  fb_open(&bench);
  for (i = 1; i <= 40; ++i) {
    snprintf(key, sizeof key, "k%u", (unsigned)i);
    ck_assert_str_ne(fb_contents(&bench, key), "none");
  }
}
END_TEST

/* What tells a directory from one of somebody else's is a head: the last one
 * stays until there is another. */
START_TEST(retention_of_the_last_head) {
  struct weir__handle *handle;
  unsigned char *bytes;
  uint64_t size;
  size_t n;

  bench.options.keep_age = 1000;
  bench.options.keep_ended = 500;
  fb_open(&bench);
  handle = create("a", 1);
  ck_assert_int_eq(fb_append(&bench, handle, 1, 1, 30, WEIR_RECORD_END),
                   WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_reopen(&bench);
  n = bench.disk.name_count;
  fb_write(&bench, "b", 2, 30);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  ck_assert_uint_gt(bench.disk.name_count, n);
  for (; n < bench.disk.name_count; ++n) {
    bytes = fb_segment(&bench, n, &size);
    bytes[30] ^= 1;
    bytes[size - 30] ^= 1;
  }
  bench.wall += 800;
  fb_open(&bench);
  ck_assert(fb_said(&bench, "its head is damaged"));
  bench.wall += 500;
  bench.kit.now += 1100;
  (void)fb_rounds(&bench);
  expect("a", "none");
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
  if (_i == 1) {
    fb_write(&bench, "c", 3, 1);
    (void)fb_rounds(&bench);
    ck_assert_uint_gt(fb_info(&bench).removed, 0);
  }
  fb_reopen(&bench);
  expect("b", "none");
  expect("c", _i == 1 ? "3:1 *:1 | 1" : "none");
}
END_TEST

/* A file that cannot be removed is tried again, and no newer one goes before
 * it: else it would be there, and what comes after it not. */
START_TEST(retention_that_fails) {
  bench.options.keep_age = 1000;
  fb_open(&bench);
  fb_write(&bench, "a", 1, 120);
  ck_assert_uint_gt(fb_info(&bench).segments, 3);
  simdisk_fail_on(&bench.disk, _i == 0 ? SIM_REMOVE : SIM_SYNC_NAMES, 1,
                  SIM_ERROR, EIO);
  let_go();
  ck_assert_uint_eq(fb_info(&bench).removed, 0);
  ck_assert_uint_gt(fb_info(&bench).failures, 0);
  fb_kill(&bench);
  fb_open(&bench);
  (void)fb_contents(&bench, "a");
  ck_assert_uint_eq(bench.counts.lost, 0);
  ck_assert_uint_eq(bench.counts.trimmed + bench.counts.present, 120);
  let_go();
  ck_assert_uint_gt(fb_info(&bench).removed, 0);
}
END_TEST

/* --- Damage ----------------------------------------------------------------*/

/* Two streams in turn, five events each, one sync after the other; then the
 * process dies. All of it is in one segment, whose records run to its end. */
static void two_streams(void) {
  struct weir__handle *a;
  struct weir__handle *b;
  uint64_t seq;

  fb_open(&bench);
  a = create("a", 1);
  b = create("b", 2);
  for (seq = 1; seq <= 5; ++seq) {
    append(a, 1, seq, seq);
    append(b, 2, seq, seq);
  }
  weir__handle_release(a);
  weir__handle_release(b);
  fb_kill(&bench);
}

static void flip(uint64_t at) {
  uint64_t size;

  fb_segment(&bench, 0, &size)[at] ^= 0x10;
}

/* What it comes to is the same after a restart. */
static void expect_both(const char *a, const char *b) {
  int i;

  for (i = 0; i < 3; ++i) {
    expect("a", a);
    expect("b", b);
    fb_reopen(&bench);
  }
}

/* Rows: what is hit, and what is left. */
static const struct {
  uint64_t generation;
  uint64_t seq;
  uint64_t at; /* in the record */
  const char *a;
  const char *b;
  const char *said;
} hits[] = {
    /* A payload, or a head, that others follow. */
    {1, 3, 70, "1:5 *:5 | 1-2 !3 4-5", "2:5 *:5 | 1-5", "damaged in 1 places"},
    {1, 3, 20, "1:5 *:5 | 1-2 !3 4-5", "2:5 *:5 | 1-5", "damaged in 1 places"},
    {1, 3, 0, "1:5 *:5 | 1-2 !3 4-5", "2:5 *:5 | 1-5", "damaged in 1 places"},
    {1, 3, 4, "1:5 *:5 | 1-2 !3 4-5", "2:5 *:5 | 1-5", "damaged in 1 places"},
    {1, 1, 70, "1:5 *:5 | !1 2-5", "2:5 *:5 | 1-5", "damaged in 1 places"},
    /* The last of its stream, but not of all: whose it was is known from its
     * head. Without that it may have been anybody's of whom nothing comes after
     * it. */
    {1, 5, 70, "1:5 *:5 | 1-4 !5", "2:5 *:5 | 1-5", "damaged in 1 places"},
    {1, 5, 20, "1:5 *:5 | 1-4 !5", "2:5 *:5 | 1-5", "damaged in 1 places"},
    {1, 5, 0, "1:5 *:5 | 1-4 !5", "2:5 *:5 | 1-5", "damaged in 1 places"},
    {2, 4, 20, "1:5 *:5 | 1-5", "2:5 *:5 | 1-3 !4 5", "damaged in 1 places"},
    /* The last of all: it might as well not have been written. */
    {2, 5, 70, "1:5 *:5 | 1-5", "2:4 *:4 | 1-4", "cut off 104 bytes"},
    {2, 5, 20, "1:5 *:5 | 1-5", "2:4 *:4 | 1-4", "cut off 104 bytes"},
};

START_TEST(damage_to_one_event) {
  two_streams();
  flip(fb_find(&bench, 0, hits[_i].generation, hits[_i].seq) + hits[_i].at);
  fb_open(&bench);
  ck_assert(fb_said(&bench, hits[_i].said));
  expect_both(hits[_i].a, hits[_i].b);
}
END_TEST

/* The first record of this kind and (small) generation. */
static uint64_t find_kind(int kind, uint64_t generation) {
  uint64_t size;
  const unsigned char *bytes = fb_segment(&bench, 0, &size);
  uint64_t at;

  for (at = 64; at + 64 <= size; at += 8) {
    if (bytes[at + 12] == kind && bytes[at + 16] == generation &&
        memcmp(bytes + at + 17, "\0\0\0\0\0\0", 7) == 0) {
      return at;
    }
  }
  ck_abort_msg("no record of kind %d", kind);
  return 0;
}

/* What a stream began with: without it nobody knows the key. */
START_TEST(damage_to_a_beginning) {
  two_streams();
  flip(find_kind(2, 2) + (_i == 0 ? 20 : 70));
  fb_open(&bench);
  ck_assert(fb_said(&bench, "5 records of streams whose beginning is lost") ||
            fb_said(&bench, "6 records of streams whose beginning is lost"));
  expect_both("1:5 *:5 | 1-5", "none");
}
END_TEST

/* A taking over that is lost shows in the events of the new epoch, also where
 * others of the same numbers were void. */
START_TEST(damage_to_a_taking_over) {
  struct weir__handle *handle;

  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 3);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_take(&bench, "a", 1, 9, &handle), WEIR_LOG_YES);
  append(handle, 9, 4, 4);
  append(handle, 9, 5, 5);
  weir__handle_release(handle);
  fb_kill(&bench);
  flip(find_kind(3, 1) + 8);
  fb_open(&bench);
  expect_both("1:3 9:5 *:5 | 1-5", "none");
}
END_TEST

/* So does that it was taken over after events that are lost. */
START_TEST(damage_before_a_taking_over) {
  struct weir__handle *handle;

  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 1);
  append(handle, 1, 2, 2);
  append(handle, 1, 3, 3);
  weir__handle_release(handle);
  ck_assert_int_eq(fb_take(&bench, "a", 1, 9, &handle), WEIR_LOG_YES);
  weir__handle_release(handle);
  fb_write(&bench, "b", 2, 1);
  fb_kill(&bench);
  flip(fb_find(&bench, 0, 1, 2) + 20);
  flip(fb_find(&bench, 0, 1, 3) + 20);
  fb_open(&bench);
  expect_both("1:3 9:3 *:3 | 1 !2-3", "2:1 *:1 | 1");
}
END_TEST

/* What is destroyed takes nothing else with it: a whole sector. */
START_TEST(damage_to_a_sector) {
  uint64_t size;
  unsigned char *bytes;

  two_streams();
  bytes = fb_segment(&bench, 0, &size);
  memset(bytes + 512, _i == 0 ? 0 : 0xff, 512);
  fb_open(&bench);
  ck_assert(fb_said(&bench, "damaged"));
  expect_both("1:5 *:5 | 1 !2-4 5", "2:5 *:5 | !1-3 4-5");
}
END_TEST

/* The head of a segment stands at its end too. */
START_TEST(damage_to_a_head) {
  uint64_t size;
  unsigned char *bytes;

  two_streams();
  bytes = fb_segment(&bench, 0, &size);
  if (_i % 2 == 0) {
    bytes[20] ^= 1;
  } else {
    bytes[size - 64 + 20] ^= 1;
  }
  if (_i >= 2) {
    fb_open(&bench);
    fb_reopen(&bench);
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
    fb_segment(&bench, 0, &size)[20] ^= 1;
  }
  fb_open(&bench);
  expect_both("1:5 *:5 | 1-5", "2:5 *:5 | 1-5");
  ck_assert_uint_eq(bench.reports.len, 0);
}
END_TEST

/* Both: nothing of it can be read. What may have been in it is declared lost.
 */
START_TEST(damage_to_both_heads) {
  struct weir__handle *a;
  uint64_t size;
  unsigned char *bytes;

  fb_open(&bench);
  a = create("a", 1);
  fb_write(&bench, "b", 2, 2);
  append(a, 1, 1, 30);
  append(a, 1, 31, 35);
  weir__handle_release(a);
  ck_assert_uint_eq(fb_info(&bench).segments, 2);
  fb_kill(&bench);
  bytes = fb_segment(&bench, (size_t)_i, &size);
  bytes[30] ^= 1;
  bytes[size - 30] ^= 1;
  fb_open(&bench);
  ck_assert(fb_said(&bench, "its head is damaged"));
  if (_i == 0) {
    /* The next one says what the stream was before it. */
    expect_both("1:35 *:35 trimmed 30 | 31-35", "none");
  } else {
    /* Nobody knows how much is lost. One event at least may be. */
    expect_both("1:31 *:31 | 1-30 !31", "2:3 *:3 | 1-2 !3");
  }
}
END_TEST

/* An empty segment goes, unless nothing else says that this is a log. */
START_TEST(damage_to_all_heads_but_that_of_an_empty_segment) {
  const struct weir__head head = {WEIR__FILE_VERSION, 2, 77, bench.wall};
  unsigned char empty[4096] = {0};
  struct weir__crc32c crc;
  uint64_t size;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 2);
  fb_kill(&bench);
  fb_segment(&bench, 0, &size)[30] ^= 1;
  fb_segment(&bench, 0, &size)[size - 30] ^= 1;
  weir__crc32c_init(&crc, WEIR__CRC32C_WIDE);
  weir__head_write(&crc, &head, empty);
  weir__head_write(&crc, &head, empty + sizeof empty - WEIR__HEAD_SIZE);
  simdisk_put(&bench.disk, "weir-0000000000000002.log", empty, sizeof empty);
  fb_open(&bench);
  fb_reopen(&bench);
  ck_assert_str_eq(fb_contents(&bench, "a"), "none");
  ck_assert_uint_eq(fb_info(&bench).segments, 2);
}
END_TEST

START_TEST(damage_to_all_heads) {
  uint64_t size;
  unsigned char *bytes;

  two_streams();
  bytes = fb_segment(&bench, 0, &size);
  bytes[30] ^= 1;
  bytes[size - 30] ^= 1;
  ck_assert_int_eq(fb_try(&bench), WEIR_EFORMAT);
  ck_assert(fb_said(&bench, "there is no segment with a head that is one"));
}
END_TEST

/* Whatever is wrong with an index, the records are read instead. */
START_TEST(damage_to_an_index) {
  struct simdisk sound;
  uint64_t size;
  uint64_t from;
  uint64_t at;

  two_streams();
  fb_open(&bench);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  simdisk_copy(&bench.disk, &sound);
  (void)fb_segment(&bench, 0, &size);
  from = fb_find(&bench, 0, 2, 5) + 104;
  for (at = from; at < size; ++at) {
    fb_segment(&bench, 0, &size)[at] ^= (unsigned char)(1 + at % 255);
    fb_open(&bench);
    expect("a", "1:5 *:5 | 1-5");
    expect("b", "2:5 *:5 | 1-5");
    /* And it gets one again. */
    fb_forget(&bench);
    fb_reopen(&bench);
    ck_assert_uint_eq(bench.reports.len, 0);
    expect("a", "1:5 *:5 | 1-5");
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
    fb_set_disk(&bench, &sound);
  }
  simdisk_free(&sound);
}
END_TEST

/* --- Any damage ------------------------------------------------------------*/

static const char *const keys[] = {"a", "b", "c"};
static uint64_t full[3]; /* how many events each of them has had */

/* Three streams in turn: two segments and some; then the process dies. */
static void three_streams(void) {
  struct weir__handle *handles[3];
  uint64_t seq;
  size_t i;

  fb_open(&bench);
  for (i = 0; i < 3; ++i) {
    handles[i] = create(keys[i], i + 1);
    full[i] = 30;
  }
  for (seq = 1; seq <= 30; ++seq) {
    for (i = 0; i < 3; ++i) {
      append(handles[i], i + 1, seq, seq);
    }
  }
  for (i = 0; i < 3; ++i) {
    weir__handle_release(handles[i]);
  }
  (void)fb_rounds(&bench);
  fb_kill(&bench);
}

/* After some damage: every event is there, or is declared lost; or, at most one
 * of them, was cut off as a torn tail. Only one stream has lost something. */
static void expect_little_loss(const char *what, uint64_t where) {
  const bool is_cut = fb_said(&bench, "cut off");
  const bool has_orphans = fb_said(&bench, "beginning is lost");
  const struct fb_counts *counts = &bench.counts;
  unsigned hit = 0;
  size_t i;

  for (i = 0; i < 3; ++i) {
    (void)fb_contents(&bench, keys[i]);
    if (!counts->exists) {
      ck_assert_msg(has_orphans, "%s %llu: no %s", what,
                    (unsigned long long)where, keys[i]);
      hit += 1;
      continue;
    }
    ck_assert_uint_eq(counts->trimmed + counts->present + counts->lost,
                      counts->last);
    ck_assert_msg(
        counts->last >= full[i] || (is_cut && counts->last + 1 == full[i]),
        "%s %llu: %s ends with %llu", what, (unsigned long long)where, keys[i],
        (unsigned long long)counts->last);
    hit += counts->present < full[i];
  }
  ck_assert_msg(hit <= 1, "%s %llu: %u streams are hit", what,
                (unsigned long long)where, hit);
  ck_assert(hit == 0 || bench.reports.len != 0 || fb_info(&bench).lost != 0);
}

/* And then it goes on. */
static void expect_going_on(void) {
  struct weir__handle *handle;

  fb_write(&bench, "new", 99, 2);
  expect("new", "99:2 | 1-2");
  if (strcmp(fb_contents(&bench, "b"), "none") != 0) {
    ck_assert_int_eq(fb_take(&bench, "b", 2, 98, &handle), WEIR_LOG_YES);
    append(handle, 98, bench.counts.last + 1, bench.counts.last + 1);
    weir__handle_release(handle);
  }
}

/* Every byte in turn; 1 in n of them, so that it does not take too long. */
START_TEST(damage_to_any_byte) {
  const uint64_t step = _i == 0 ? 5 : 7;
  struct simdisk sound;
  uint64_t size;
  uint64_t at;
  size_t file;

  three_streams();
  if (_i == 1) {
    fb_open(&bench);
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  }
  simdisk_copy(&bench.disk, &sound);
  for (file = 0; simdisk_name(&sound, file) != NULL; ++file) {
    (void)fb_segment(&bench, file, &size);
    for (at = file; at < size; at += step) {
      fb_segment(&bench, file, &size)[at] ^= (unsigned char)(1 + at % 255);
      fb_forget(&bench);
      fb_open(&bench);
      expect_little_loss("byte", (uint64_t)file << 32 | at);
      expect_going_on();
      ck_assert_int_eq(fb_close(&bench), WEIR_OK);
      fb_set_disk(&bench, &sound);
    }
  }
  simdisk_free(&sound);
}
END_TEST

/* --- Faults ----------------------------------------------------------------*/

/* One that does what a hub does: after a refusal it takes its stream over, and
 * goes on where that stands. */
struct writer {
  const char *key;
  uint64_t generation; /* 0: it has not been created */
  uint64_t epoch;
  struct weir__handle *handle; /* NULL: it has been refused something */
  uint64_t acked;
  uint64_t tried;
};

static uint64_t epochs; /* that were given */

/* Be somebody who may write. */
static bool begin(struct writer *writer) {
  struct weir__handle *handle;
  const uint64_t epoch = ++epochs;
  int rv;

  if (writer->handle != NULL) {
    return true;
  }
  rv = writer->generation == 0
           ? fb_create(&bench, writer->key, 0, epoch, &handle)
           : fb_take(&bench, writer->key, writer->generation, epoch, &handle);
  if (rv != WEIR_LOG_YES) {
    ck_assert_int_lt(rv, 0);
    ck_assert_ptr_null(handle);
    return false;
  }
  writer->generation = writer->generation == 0 ? epoch : writer->generation;
  writer->epoch = epoch;
  writer->handle = handle;
  return true;
}

static void leave(struct writer *writer) {
  weir__handle_release(writer->handle);
  writer->handle = NULL;
}

static void write_some(struct writer *writer, uint64_t count) {
  const uint64_t first = writer->acked + 1;
  int rv;

  if (!begin(writer)) {
    return;
  }
  rv = fb_append(&bench, writer->handle, writer->epoch, first,
                 first + count - 1, 0);
  writer->tried = first + count - 1;
  if (rv == WEIR_LOG_YES) {
    writer->acked += count;
  } else {
    ck_assert_int_lt(rv, 0);
    leave(writer);
  }
}

/* What can be read now. */
static void expect_written(const struct writer *writer, bool may_lose) {
  const struct fb_counts *counts = &bench.counts;

  (void)fb_contents(&bench, writer->key);
  if (writer->generation == 0 || (may_lose && !counts->exists)) {
    return;
  }
  ck_assert(counts->exists);
  ck_assert_uint_eq(counts->present + counts->lost + counts->trimmed,
                    counts->last);
  if (!may_lose) {
    ck_assert_uint_eq(counts->lost, 0);
    ck_assert_uint_ge(counts->last, writer->acked);
    ck_assert_uint_le(counts->last, weir__max(writer->tried, writer->acked));
  }
}

static void no_matter(void *owner, int result, const weir_answer *answer,
                      struct weir__handle *handle) {
  unsigned *answers = owner;

  (void)result;
  (void)answer;
  (void)handle;
  *answers += 1;
}

/* Read the first of it, whatever comes of that. */
static void read_some(const struct writer *writer) {
  struct weir__call *place;
  unsigned answers = 0;

  if (writer->handle != NULL) {
    ck_assert_int_eq(weir__log_read(writer->handle, 0, writer->acked, 4096,
                                    no_matter, &answers, &place),
                     WEIR_OK);
    ck_assert_uint_eq(answers, 1);
  }
}

/* Some of everything, over a few segments. false: the log could not be opened.
 */
static bool live(struct writer *writers) {
  uint64_t i;

  if (fb_try(&bench) != WEIR_OK) {
    return false;
  }
  for (i = 0; i < 12; ++i) {
    write_some(&writers[0], 3);
    write_some(&writers[1], 1 + i % 3 * 6);
    read_some(&writers[0]);
    (void)fb_rounds(&bench);
    bench.kit.now += 1100;
    if (i == 5) {
      leave(&writers[0]);
    }
  }
  leave(&writers[0]);
  leave(&writers[1]);
  return true;
}

/* A generation that was refused hides nothing. */
START_TEST(create_that_fails) {
  struct weir__handle *handle;

  fb_open(&bench);
  fb_write(&bench, "a", 1, 2);
  simdisk_fail(&bench.disk, SIM_SYNC, 1, SIM_KEEP, 0);
  ck_assert_int_lt(fb_create(&bench, "a", 1, 9, &handle), 0);
  ck_assert_ptr_null(handle);
  expect("a", "1:2 | 1-2");
  ck_assert_int_eq(fb_create(&bench, "a", 1, 10, &handle), WEIR_LOG_YES);
  weir__handle_release(handle);
  expect("a", "10:0 |");
  fb_kill(&bench);
  fb_open(&bench);
  expect("a", "10:0 *:0 |");
}
END_TEST

/* Let the log and the hub do what there is to do. */
static void settle(void) {
  do {
    (void)fb_rounds(&bench);
    (void)kit_count(&bench.kit, 0);
  } while (weir_log_file_get_timeout(bench.log) == 0);
}

/* The disk is full: what does not fit fails in the open, what is stored can be
 * read, and when there is room new streams work, without a restart. */
START_TEST(full_disk) {
  static char data[5000];
  weir_subscriber_info info;
  weir_subscriber *subscriber;
  weir_stream *stream;
  int i;

  bench.options.sync = _i % 3;
  bench.disk.full_error = _i < 3 ? ENOSPC : EDQUOT;
  fb_open(&bench);
  stream = kit_open(&bench.kit, "a");
  settle();
  (void)kit_publish(stream, "x", "one");
  settle();
  subscriber = kit_attach(&bench.kit, "a", NULL, NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh; x@1 one");
  bench.disk.room = 0;
  memset(data, 'x', sizeof data - 1);
  (void)weir_stream_publish(stream,
                            &(weir_event){.size = sizeof(weir_event),
                                          .data = data,
                                          .data_len = sizeof data - 1},
                            1, NULL);
  settle();
  kit_expect_frames(subscriber, WEIR_EDONE, "failed log_refused ");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
  bench.disk.room = UINT64_MAX;
  bench.kit.now += 2000;
  settle();
  stream = kit_open(&bench.kit, "b");
  settle();
  (void)kit_publish(stream, "x", data);
  (void)kit_publish(stream, "x", "two");
  settle();
  weir_stream_release(stream);
  for (i = 0; i < 2; ++i) {
    subscriber = kit_attach(&bench.kit, "a", NULL, NULL);
    kit_expect_frames(subscriber, WEIR_EDONE,
                      "ready@0 fresh; x@1 one; failed@2 log_refused ");
    weir_subscriber_release(subscriber);
    subscriber = kit_attach(&bench.kit, "b", NULL, NULL);
    info.size = sizeof info;
    ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
    ck_assert_int_eq(weir_subscriber_get_info(subscriber, &info), WEIR_OK);
    ck_assert_uint_eq(info.events, 2);
    weir_subscriber_release(subscriber);
    fb_reopen(&bench);
  }
}
END_TEST

/* Rows: faults. */
static const struct {
  int kind;
  int what;
  int value;
} faults[] = {
    {SIM_ANY, SIM_ERROR, EIO},       {SIM_ANY, SIM_ERROR, ENOSPC},
    {SIM_ANY, SIM_ERROR, EDQUOT},    {SIM_ANY, SIM_ERROR, ENOMEM},
    {SIM_ANY, SIM_ERROR, EACCES},    {SIM_READ, SIM_SHORT, 0},
    {SIM_WRITE, SIM_SHORT, 0},       {SIM_READ, SIM_ERROR, EINTR},
    {SIM_WRITE, SIM_ERROR, EINTR},   {SIM_SYNC, SIM_ERROR, EINTR},
    {SIM_OPEN, SIM_ERROR, EINTR},    {SIM_MAKE, SIM_ERROR, EINTR},
    {SIM_RESERVE, SIM_ERROR, EINTR}, {SIM_TRUNCATE, SIM_ERROR, EINTR},
    {SIM_RENAME, SIM_ERROR, EINTR},  {SIM_SYNC_NAMES, SIM_ERROR, EINTR},
    {SIM_SYNC, SIM_KEEP, 0},         {SIM_SYNC, SIM_DROP, 0},
    {SIM_OPEN, SIM_ERROR, EMFILE},   {SIM_OPEN, SIM_ERROR, ENFILE},
    {SIM_MAKE, SIM_ERROR, EMFILE},   {SIM_ANY, SIM_VANISH, 0},
};
/* What a segment was to have of a stream did not come there: when older ones
 * go, it is carried on all the same. */
START_TEST(carried_after_a_fault) {
  struct weir__handle *handle;

  bench.options.keep_age = 1000;
  fb_open(&bench);
  handle = create("a", 1);
  append(handle, 1, 1, 30);
  simdisk_fail(&bench.disk, SIM_SYNC, 2, SIM_KEEP, 0);
  ck_assert_int_lt(fb_append(&bench, handle, 1, 31, 60, 0), 0);
  weir__handle_release(handle);
  fb_write(&bench, "b", 2, 20);
  (void)fb_rounds(&bench);
  bench.wall += 2000;
  while (fb_info(&bench).removed == 0) {
    ck_assert_int_eq(weir_log_file_begin(bench.log), WEIR_OK);
    weir_log_file_run(bench.log);
    ck_assert_int_eq(weir_log_file_end(bench.log), WEIR_OK);
  }
  fb_cut(&bench);
  fb_open(&bench);
  expect("a", "1:30 *:30 trimmed 30 |");
}
END_TEST

#define FAULTS ((int)(sizeof faults / sizeof faults[0]))

static void plan_fault(int fault, size_t nth, bool go_on) {
  const int kind = faults[fault].kind;
  const int what = faults[fault].what;
  const int value = faults[fault].value;

  if (!go_on) {
    simdisk_fail(&bench.disk, kind, nth, what, value);
  } else if (value == EINTR) {
    /* Signals that never stop would be another matter. */
    simdisk_fail_some(&bench.disk, kind, nth, 5, what, value);
  } else {
    simdisk_fail_on(&bench.disk, kind, nth, what, value);
  }
}

/* One fault, at call number nth. false: there are not so many calls. */
static bool with_fault(int fault, size_t nth, int sync, bool go_on, int end) {
  struct writer writers[3] = {{"a", 0, 0, NULL, 0, 0},
                              {"b", 0, 0, NULL, 0, 0},
                              {"c", 0, 0, NULL, 0, 0}};
  const int what = faults[fault].what;
  const int kind = faults[fault].kind;
  bool may_lose =
      what == SIM_VANISH ||
      (sync != WEIR_SYNC_ALWAYS && (what == SIM_DROP || what == SIM_KEEP));
  size_t before;
  bool reached;
  size_t i;

  fb_init(&bench);
  bench.options.sync = sync;
  fb_open(&bench);
  write_some(&writers[0], 2);
  leave(&writers[0]);
  fb_kill(&bench);
  before = kind == SIM_ANY ? bench.disk.calls : bench.disk.calls_of[kind];
  plan_fault(fault, nth, go_on);
  if (!live(writers)) {
    ck_assert_int_ne(faults[fault].value, EINTR);
    simdisk_heal(&bench.disk);
    fb_open(&bench);
  }
  reached = (kind == SIM_ANY ? bench.disk.calls : bench.disk.calls_of[kind]) >=
            before + nth;
  if (faults[fault].value == EINTR) {
    ck_assert_uint_eq(fb_info(&bench).failures, 0);
  }
  simdisk_heal(&bench.disk);
  /* All is well again: without a restart everything goes on. */
  bench.kit.now += 1100;
  (void)fb_rounds(&bench);
  may_lose = may_lose || fb_said(&bench, "cannot be read");
  for (i = 0; i < 3; ++i) {
    uint64_t acked = writers[i].acked;

    expect_written(&writers[i], may_lose);
    if (writers[i].generation != 0 && !bench.counts.exists) {
      writers[i] = (struct writer){writers[i].key, 0, 0, NULL, 0, 0};
      acked = 0;
    } else if (bench.counts.last < acked) {
      ck_assert(may_lose);
      acked = bench.counts.last;
      writers[i].acked = acked;
    }
    if (what == SIM_VANISH) {
      /* That it has gone may be seen only now. */
      write_some(&writers[i], 1);
      acked = writers[i].acked;
    }
    write_some(&writers[i], 2);
    ck_assert_uint_eq(writers[i].acked, acked + 2);
    leave(&writers[i]);
    expect_written(&writers[i], may_lose);
  }
  ck_assert_uint_eq(bench.disk.resyncs, 0);
  if (end == 0) {
    (void)fb_close(&bench);
  } else if (end == 1 || sync != WEIR_SYNC_ALWAYS) {
    fb_kill(&bench);
  } else {
    fb_cut(&bench);
  }
  fb_open(&bench);
  for (i = 0; i < 3; ++i) {
    expect_written(&writers[i], may_lose);
  }
  fb_end(&bench);
  return reached;
}

START_TEST(faults_at_every_call) {
  size_t nth = 1;
  int sync;
  int end;

  for (sync = WEIR_SYNC_ALWAYS; sync <= WEIR_SYNC_NEVER; ++sync) {
    for (end = 0; end < 3; ++end) {
      for (nth = 1; with_fault(_i, nth, sync, false, end); ++nth) {
        (void)with_fault(_i, nth, sync, true, end);
      }
      ck_assert_uint_gt(nth, 3);
    }
  }
}
END_TEST

/* A segment in the middle that is damaged, or has gone, takes what was in it
 * and no more. */
START_TEST(damage_to_the_middle) {
  struct weir__handle *a;
  uint64_t size;
  unsigned char *bytes;

  fb_open(&bench);
  a = create("a", 1);
  append(a, 1, 1, 30);
  append(a, 1, 31, 230);
  append(a, 1, 231, 233);
  weir__handle_release(a);
  ck_assert_uint_eq(fb_info(&bench).segments, 3);
  ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  if (_i == 0) {
    bytes = fb_segment(&bench, 1, &size);
    bytes[30] ^= 1;
    bytes[size - 30] ^= 1;
  } else {
    simdisk_remove(&bench.disk, simdisk_name(&bench.disk, 1));
  }
  fb_open(&bench);
  expect_both("1:233 *:233 | 1-30 !31-230 231-233", "none");
}
END_TEST

/* While it is read, what of it was open stays so: more segments than files. */
START_TEST(damage_to_the_middle_meanwhile) {
  struct weir__handle *a;
  uint64_t size;
  unsigned char *bytes;
  uint64_t i;

  fb_open(&bench);
  a = create("a", 1);
  for (i = 0; i < 70; ++i) {
    append(a, 1, i * 30 + 1, i * 30 + 30);
  }
  weir__handle_release(a);
  fb_reopen(&bench);
  ck_assert_uint_eq(fb_info(&bench).segments, 70);
  bytes = fb_segment(&bench, 2, &size);
  if (_i == 0) {
    bytes[size - WEIR__TRAILER_SIZE - 1] ^= 1;
  } else if (_i == 1) {
    simdisk_remove(&bench.disk, simdisk_name(&bench.disk, 2));
  } else {
    simdisk_resize(&bench.disk, simdisk_name(&bench.disk, 2), 0);
  }
  expect("a", "1:2100 *:2100 | 1-60 !61-90 91-2100");
  fb_reopen(&bench);
  expect("a", _i == 0 ? "1:2100 *:2100 | 1-2100"
                      : "1:2100 *:2100 | 1-60 !61-90 91-2100");
}
END_TEST

/* Where events stand cannot be read: they are lost, and no others. */
START_TEST(damage_to_places) {
  static const char *const want[] = {
      "1:1000 *:1000 | 1-256 !257-512 513-1000",
      "1:1000 *:1000 | !1-1000",
  };
  const uint64_t places = 1000 * 4;
  struct weir__handle *a;
  uint64_t size;

  bench.options.segment_bytes = 1 << 20;
  fb_open(&bench);
  a = create("a", 1);
  append(a, 1, 1, 1000);
  weir__handle_release(a);
  fb_reopen(&bench);
  fb_write(&bench, "b", 2, 1);
  fb_reopen(&bench);
  expect("a", "1:1000 *:1000 | 1-1000");
  expect("b", "2:1 *:1 | 1");
  (void)fb_segment(&bench, 0, &size);
  size -= WEIR__TRAILER_SIZE + WEIR__ENTRY_SIZE + 80 + places;
  if (_i == 0) {
    bench.disk.bad = size + 500 * 4;
  } else {
    simdisk_resize(&bench.disk, simdisk_name(&bench.disk, 0), size);
  }
  expect("a", want[_i]);
}
END_TEST

/* Records that cannot be read are no torn tail. */
START_TEST(unreadable_end) {
  struct weir__handle *a;
  struct weir__handle *b;
  uint64_t seq;
  int i;

  bench.options.segment_bytes = 16384;
  fb_open(&bench);
  a = create("a", 1);
  b = create("b", 2);
  for (seq = 1; seq <= 30; ++seq) {
    append(a, 1, seq, seq);
    append(b, 2, seq, seq);
  }
  weir__handle_release(a);
  weir__handle_release(b);
  fb_kill(&bench);
  bench.disk.bad = 5000; /* of about 6600 */
  for (i = 0; i < 2; ++i) {
    fb_forget(&bench);
    fb_open(&bench);
    ck_assert(fb_said(&bench, "cannot be read everywhere"));
    (void)fb_contents(&bench, "a");
    ck_assert_uint_gt(bench.counts.last, 10);
    ck_assert_uint_eq(bench.counts.present + 1, bench.counts.last);
    (void)fb_contents(&bench, "b");
    ck_assert_uint_eq(bench.counts.present + 1, bench.counts.last);
    ck_assert_uint_eq(bench.counts.lost, 1);
    ck_assert_int_eq(fb_close(&bench), WEIR_OK);
  }
  bench.disk.bad = 0;
  fb_open(&bench);
  expect_both("1:30 *:30 | 1-30", "2:30 *:30 | 1-30");
}
END_TEST

/* Who begins anew while the old generation cannot be read is the newer one all
 * the same. */
START_TEST(unreadable_generation) {
  struct weir__handle *handle;

  fb_open(&bench);
  fb_write(&bench, "b", 2, 1);
  fb_write(&bench, "a", 1, 3);
  fb_kill(&bench);
  bench.disk.bad = 300;
  fb_open(&bench);
  expect("a", "none");
  bench.disk.bad = 0;
  ck_assert_int_eq(fb_create(&bench, "a", 0, 9, &handle), WEIR_LOG_YES);
  append(handle, 9, 1, 1);
  weir__handle_release(handle);
  fb_kill(&bench);
  fb_open(&bench);
  expect("a", "9:1 *:1 | 1");
}
END_TEST

/* What cannot be read when a log is opened is left as it is: it may be another
 * time. */
START_TEST(unreadable_at_open) {
  const uint64_t day = 86400000;
  size_t nth = 1;
  bool reached;

  three_streams();
  do {
    const size_t before = bench.disk.calls_of[SIM_READ];

    simdisk_fail_on(&bench.disk, SIM_READ, nth, SIM_ERROR, EIO);
    fb_forget(&bench);
    if (fb_try(&bench) == WEIR_OK) {
      bench.wall += day / 2;
      (void)fb_rounds(&bench);
      (void)fb_close(&bench);
      bench.wall -= day / 2;
    } else {
      ck_assert(fb_said(&bench, "no segment with a head that is one"));
    }
    reached = bench.disk.calls_of[SIM_READ] >= before + nth;
    simdisk_heal(&bench.disk);
    fb_open(&bench);
    expect("a", "1:30 *:30 | 1-30");
    expect("b", "2:30 *:30 | 1-30");
    expect("c", "3:30 *:30 | 1-30");
    fb_kill(&bench);
    nth += 1;
  } while (reached);
  ck_assert_uint_gt(nth, 10);
}
END_TEST

/* --- The conformance kit ---------------------------------------------------*/

static int conformance_make(void *user, weir_log *log) {
  const int which = *(const int *)user;

  fb_init(&bench);
  bench.options.sync = which % 3;
  bench.options.segment_bytes = which % 2 == 0 ? 4096 : 1048576;
  bench.real = which >= 6;
  fb_open(&bench);
  kit_end(&bench.kit);
  *log = bench.table;
  return 1;
}

static void conformance_destroy(void *user, weir_log *log) {
  (void)user;
  (void)log;
  fb_end(&bench);
}

static int conformance_reopen(void *user, weir_log *log) {
  (void)user;
  fb_reopen(&bench);
  kit_end(&bench.kit);
  *log = bench.table;
  return 1;
}

/* A third of a round, so that there are calls during one. */
static void conformance_pump(void *user, weir_log *log) {
  (void)user;
  (void)log;
  if (weir_log_file_end(bench.log) == WEIR_EINVAL &&
      weir_log_file_begin(bench.log) == WEIR_EBUSY) {
    weir_log_file_run(bench.log);
  }
}

static void conformance_report(void *user, const char *check,
                               const char *problem) {
  (void)user;
  ck_assert_msg(problem == NULL, "%s: %s", check, problem);
}

START_TEST(conforms) {
  const struct conformance subject = {&_i,
                                      0,
                                      1000,
                                      conformance_make,
                                      conformance_destroy,
                                      conformance_reopen,
                                      conformance_pump,
                                      conformance_report};

  ck_assert_uint_eq(conformance_run(&subject), 0);
}
END_TEST

static TCase *lives(void) {
  TCase *tcase = tcase_create("lives");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, round_trip, 0, 6);
  return tcase;
}

static TCase *conformance(void) {
  TCase *tcase = tcase_create("conformance");

  tcase_set_timeout(tcase, 60);
  tcase_add_loop_test(tcase, conforms, 0, 9);
  return tcase;
}

static TCase *writers(void) {
  TCase *tcase = tcase_create("writers");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, take_with_an_append_under_way, 0, 2);
  tcase_add_loop_test(tcase, many_epochs, 0, 2);
  tcase_add_loop_test(tcase, a_forgotten_epoch, 0, 2);
  return tcase;
}

static TCase *segments(void) {
  TCase *tcase = tcase_create("segments");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, many_segments, 0, 9);
  tcase_add_test(tcase, batch_larger_than_a_segment);
  tcase_add_loop_test(tcase, retention_of_many_streams, 0, 6);
  tcase_add_test(tcase, retention_is_not_for_a_close);
  tcase_add_loop_test(tcase, retention_on_a_full_disk, 0, 3);
  tcase_add_loop_test(tcase, retention_of_what_is_hidden, 0, 2);
  tcase_add_loop_test(tcase, retention_of_the_last_head, 0, 2);
  tcase_add_loop_test(tcase, retention_over_two_segments, 1, 8);
  tcase_add_loop_test(tcase, retention_that_fails, 0, 2);
  return tcase;
}

static TCase *damage(void) {
  TCase *tcase = tcase_create("damage");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, damage_to_one_event, 0,
                      sizeof hits / sizeof hits[0]);
  tcase_add_loop_test(tcase, damage_to_a_beginning, 0, 2);
  tcase_add_test(tcase, damage_to_a_taking_over);
  tcase_add_test(tcase, damage_before_a_taking_over);
  tcase_add_loop_test(tcase, damage_to_a_sector, 0, 2);
  tcase_add_loop_test(tcase, damage_to_a_head, 0, 4);
  tcase_add_loop_test(tcase, damage_to_both_heads, 0, 2);
  tcase_add_test(tcase, damage_to_all_heads_but_that_of_an_empty_segment);
  tcase_add_test(tcase, damage_to_all_heads);
  tcase_add_test(tcase, damage_to_an_index);
  tcase_add_loop_test(tcase, damage_to_the_middle, 0, 2);
  tcase_add_loop_test(tcase, damage_to_the_middle_meanwhile, 0, 3);
  tcase_add_loop_test(tcase, damage_to_places, 0, 2);
  tcase_add_test(tcase, unreadable_end);
  tcase_add_test(tcase, unreadable_generation);
  tcase_add_test(tcase, unreadable_at_open);
  return tcase;
}

static TCase *any_damage(void) {
  TCase *tcase = tcase_create("any damage");

  tcase_set_timeout(tcase, 600);
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, damage_to_any_byte, 0, 2);
  return tcase;
}

static TCase *failed(void) {
  TCase *tcase = tcase_create("failed");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, carried_after_a_fault);
  tcase_add_test(tcase, create_that_fails);
  tcase_add_loop_test(tcase, full_disk, 0, 6);
  return tcase;
}

static TCase *failing(void) {
  TCase *tcase = tcase_create("faults");

  tcase_set_timeout(tcase, 600);
  tcase_add_loop_test(tcase, faults_at_every_call, 0, FAULTS);
  return tcase;
}

KIT_MAIN("log_file", conformance(), lives(), writers(), segments(), damage(),
         any_damage(), failed(), failing())
