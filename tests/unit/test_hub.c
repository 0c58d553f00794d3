/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The hub without a log: which stream an open gets, what becomes of an ended
 * one, draining, counters, traces, and what is left when the hub has gone. */

#include "../bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generation.h"

static struct kit kit;

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
}

static void teardown(void) {
  kit_end(&kit);
}

/* Once more, with options changed. */
static void again(void) {
  weir_hub_free(kit.hub);
  kit_hub(&kit);
}

static weir_stream_info info_of(const weir_stream *stream) {
  weir_stream_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  return info;
}

static weir_hub_info hub_info(void) {
  weir_hub_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_hub_get_info(kit.hub, &info), WEIR_OK);
  return info;
}

static int open_as(const char *key, const char *name, int32_t policy,
                   uint32_t flags, weir_stream **stream) {
  weir_open_options options = kit_open_options(key, name);

  options.on_duplicate = policy;
  options.flags = flags;
  return weir_hub_open(kit.hub, &options, stream);
}

static int verdict_of(const char *key, const char *cursor) {
  int verdict = WEIR_VERDICT_PENDING;

  weir_subscriber_release(kit_attach(&kit, key, cursor, &verdict));
  return verdict;
}

static void end(weir_stream *stream) {
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
}

/* --- Making a hub --------------------------------------------------------- */

START_TEST(a_hub_has_defaults) {
  weir_hub_options options;
  weir_hub *hub = NULL;

  weir_hub_options_init(&options, sizeof options);
  ck_assert_uint_eq(options.size, sizeof options);
  ck_assert_uint_eq(options.prefix_len, 5);
  ck_assert_mem_eq(options.prefix, "weir.", 5);
  ck_assert_uint_eq(options.max_streams, 1000000);
  ck_assert_uint_eq(options.max_subscribers, 1000000);
  ck_assert_uint_eq(options.max_stream_subscribers, 0);
  ck_assert_uint_eq(options.max_client_subscribers, 6);
  ck_assert_uint_eq(options.max_event_bytes, 1048576);
  ck_assert_uint_eq(options.max_event_lines, 100000);
  ck_assert_uint_eq(options.max_pending, 4096);
  ck_assert_uint_eq(options.max_resident, 268435456);
  ck_assert_uint_eq(options.history_bytes, 8388608);
  ck_assert_uint_eq(options.history_events, 0);
  ck_assert_uint_eq(options.history_age, 0);
  ck_assert_uint_eq(options.signal_ring, 64);
  ck_assert_uint_eq(options.recheck, 12000);
  ck_assert_int_eq(weir_hub_new(NULL, &hub), WEIR_OK);
  ck_assert_int_eq(weir_hub_get_timeout(hub), -1);
  weir_hub_free(hub);
  weir_hub_free(NULL);
}
END_TEST

static void spoil(weir_hub_options *options, weir_allocator *allocator,
                  weir_log *log, int row) {
  switch (row) {
    case 0:
      options->size = sizeof options->size;
      break;
    case 1:
      options->flags = 0x80;
      break;
    case 2:
      options->cursor_format = 2;
      break;
    case 3:
      options->cursor_format = -1;
      break;
    case 4:
      options->max_event_lines = 0;
      break;
    case 5:
      options->max_event_lines = 100001;
      break;
    case 6:
      options->signal_ring = 0;
      break;
    case 7:
      options->signal_ring = 65537;
      break;
    case 8:
      options->prefix_len = 65;
      break;
    case 9:
      allocator->free = NULL;
      break;
    case 10:
      allocator->alloc = NULL;
      break;
    case 11:
      allocator->size = 0;
      break;
    default:
      /* A log without functions. */
      options->log = log;
      break;
  }
}

START_TEST(options_that_cannot_be_are_refused) {
  weir_allocator allocator = kit.memory.allocator;
  weir_hub_options options = kit.options;
  const size_t live = kit.memory.live;
  char prefix[65];
  weir_hub *hub = NULL;
  weir_log log;

  memset(prefix, 'p', sizeof prefix);
  weir_log_init(&log, sizeof log);
  options.allocator = &allocator;
  options.prefix = prefix;
  options.prefix_len = 64;
  ck_assert_int_eq(weir_hub_new(&options, &hub), WEIR_OK);
  weir_hub_free(hub);
  hub = NULL;
  spoil(&options, &allocator, &log, _i);
  ck_assert_int_eq(weir_hub_new(&options, &hub), WEIR_EINVAL);
  ck_assert_ptr_null(hub);
  ck_assert_uint_eq(kit.memory.live, live);
}
END_TEST

static int broken_entropy(void *user, void *dst, size_t len) {
  int *left = user;

  memset(dst, 7, len);
  return (*left)-- == 0 ? WEIR_OK : 1;
}

START_TEST(without_random_bits_there_is_no_hub) {
  const size_t live = kit.memory.live;
  weir_hub_options options = kit.options;
  weir_hub *hub = NULL;
  int left = _i;

  options.entropy = broken_entropy;
  options.entropy_user = &left;
  ck_assert_int_eq(weir_hub_new(&options, &hub), WEIR_EENTROPY);
  ck_assert_ptr_null(hub);
  ck_assert_uint_eq(kit.memory.live, live);
}
END_TEST

/* Nothing that fails for want of random bits leaves a trace. */
START_TEST(without_random_bits_no_generation_begins) {
  weir_open_options options = kit_open_options("a", "new");
  weir_stream *old = NULL;
  weir_stream *stream = NULL;
  char cursor[WEIR_CURSOR_MAX];
  int left = 5;

  weir_hub_free(kit.hub);
  kit.options.entropy = broken_entropy;
  kit.options.entropy_user = &left;
  kit_hub(&kit);
  if (_i != 0) {
    ck_assert_int_eq(open_as("a", "old", WEIR_DUPLICATE_JOIN, 0, &old),
                     WEIR_OK);
    kit_publish(old, "x", "y");
    strcpy(cursor, kit_cursor(old, 2));
  }
  if (_i == 2) {
    end(old);
    kit_expect_notices(&kit, "old ended 2");
  }
  left = 0;
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream), WEIR_EENTROPY);
  ck_assert_ptr_null(stream);
  kit_expect_notices(&kit, "");
  if (_i == 0) {
    ck_assert_uint_eq(hub_info().streams, 0);
  } else {
    ck_assert_int_eq(info_of(old).status,
                     _i == 1 ? WEIR_STREAM_LIVE : WEIR_STREAM_ENDED);
    ck_assert_int_eq(verdict_of("a", NULL), WEIR_VERDICT_FRESH);
    ck_assert_int_eq(verdict_of("a", cursor),
                     _i == 1 ? WEIR_VERDICT_AHEAD : WEIR_VERDICT_FINISHED);
  }
  left = 1;
  ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream), WEIR_OK);
  weir_stream_release(stream);
  weir_stream_release(old);
}
END_TEST

/* --- Keys ----------------------------------------------------------------- */

START_TEST(keys_are_text_of_1_to_255_bytes) {
  static const struct {
    const char *key;
    size_t len;
    int error;
  } rows[] = {
      {"", 0, WEIR_EINVAL},
      {"a", 1, WEIR_OK},
      {"a b/c?d#e%", 10, WEIR_OK},
      {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, WEIR_OK},
      {"a\0b", 3, WEIR_EINVAL},
      {"a\nb", 3, WEIR_EINVAL},
      {"a\rb", 3, WEIR_EINVAL},
      {"a\tb", 3, WEIR_EINVAL},
      {"\x1f", 1, WEIR_EINVAL},
      {"\x7f", 1, WEIR_EINVAL},
      {"\xff", 1, WEIR_EUTF8},
      {"\xc3", 1, WEIR_EUTF8},
  };
  weir_open_options open = kit_open_options("", NULL);
  weir_attach_options attach = kit_attach_options("", NULL);
  weir_subscriber *subscriber = NULL;
  weir_stream *stream = NULL;
  int verdict;

  open.key = rows[_i].key;
  open.key_len = rows[_i].len;
  attach.key = rows[_i].key;
  attach.key_len = rows[_i].len;
  ck_assert_int_eq(weir_hub_open(kit.hub, &open, &stream), rows[_i].error);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &attach, &subscriber, &verdict),
                   rows[_i].error);
  ck_assert_uint_eq(hub_info().streams, rows[_i].error == WEIR_OK);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(keys_have_a_limit) {
  weir_open_options options = kit_open_options("", NULL);
  weir_stream *stream;
  char key[256];
  size_t n;

  memset(key, 'k', sizeof key);
  options.key = key;
  for (n = 254; n <= 256; ++n) {
    options.key_len = n;
    stream = NULL;
    ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream),
                     n <= 255 ? WEIR_OK : WEIR_EINVAL);
    weir_stream_release(stream);
  }
}
END_TEST

START_TEST(opens_that_cannot_be_are_refused) {
  weir_open_options options = kit_open_options("a", NULL);
  weir_stream *stream = NULL;

  switch (_i) {
    case 0:
      options.size = sizeof options.size;
      break;
    case 1:
      options.on_duplicate = -1;
      break;
    case 2:
      options.on_duplicate = 3;
      break;
    case 3:
      options.flags = 0x80;
      break;
    case 4:
      options.flags = WEIR_OPEN_SHARED; /* with whom, without a log? */
      break;
    case 5:
      options.on_first_event = 3;
      break;
    case 6:
      options.on_idle = 3;
      break;
    case 7:
      options.on_lifetime = 3;
      break;
    default:
      options.on_abandoned = 3;
      break;
  }
  ck_assert_int_eq(weir_hub_open(kit.hub, &options, &stream), WEIR_EINVAL);
  ck_assert_ptr_null(stream);
  ck_assert_uint_eq(hub_info().streams, 0);
}
END_TEST

/* --- Opening -------------------------------------------------------------- */

/* What an open gives, for what there is: no stream, a live one, an ended. */
enum { NONE, LIVE, ENDED };
enum { NEW = 1, JOINED = 2 }; /* besides errors */

static const struct open_row {
  int32_t policy;
  uint32_t flags;
  int want[3];
} open_rows[] = {
    {WEIR_DUPLICATE_JOIN, 0, {NEW, JOINED, NEW}},
    {WEIR_DUPLICATE_JOIN,
     WEIR_OPEN_EXISTING,
     {WEIR_ENOENT, JOINED, WEIR_EENDED}},
    {WEIR_DUPLICATE_JOIN, WEIR_OPEN_UNENDED, {NEW, JOINED, WEIR_EENDED}},
    {WEIR_DUPLICATE_JOIN, WEIR_OPEN_LOOK, {WEIR_ENOENT, JOINED, JOINED}},
    {WEIR_DUPLICATE_REPLACE, 0, {NEW, NEW, NEW}},
    {WEIR_DUPLICATE_REPLACE,
     WEIR_OPEN_EXISTING,
     {WEIR_ENOENT, NEW, WEIR_EENDED}},
    {WEIR_DUPLICATE_REPLACE, WEIR_OPEN_UNENDED, {NEW, NEW, WEIR_EENDED}},
    {WEIR_DUPLICATE_REJECT, 0, {NEW, WEIR_EEXISTS, NEW}},
    {WEIR_DUPLICATE_REJECT,
     WEIR_OPEN_EXISTING,
     {WEIR_ENOENT, WEIR_EEXISTS, WEIR_EENDED}},
    {WEIR_DUPLICATE_REJECT,
     WEIR_OPEN_UNENDED,
     {NEW, WEIR_EEXISTS, WEIR_EENDED}},
};

START_TEST(r49_what_an_open_gives) {
  const struct open_row *row = &open_rows[_i / 3];
  const int there = _i % 3;
  const int want = row->want[there];
  weir_stream *before = NULL;
  weir_stream *stream = NULL;
  int rv;

  if (there != NONE) {
    before = kit_open(&kit, "a");
    kit_publish(before, "x", "y");
  }
  if (there == ENDED) {
    end(before);
  }
  rv = open_as("a", "p", row->policy, row->flags, &stream);
  if (want < 0) {
    ck_assert_int_eq(rv, want);
    ck_assert_ptr_null(stream);
  } else {
    ck_assert_int_eq(rv, WEIR_OK);
    ck_assert_uint_eq(info_of(stream).joined, want == JOINED);
    ck_assert_uint_eq(info_of(stream).last,
                      want == NEW ? 0 : info_of(before).last);
    ck_assert(before == NULL ||
              (info_of(stream).generation == info_of(before).generation) ==
                  (want == JOINED));
  }
  /* Whoever was there is left alone, unless he was replaced. */
  if (there == LIVE) {
    ck_assert_int_eq(info_of(before).status,
                     want == NEW ? WEIR_STREAM_ENDED : WEIR_STREAM_LIVE);
  }
  ck_assert_uint_eq(hub_info().streams, want > 0 || there != NONE);
  weir_stream_release(before);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r48_two_opens_begin_one_generation) {
  weir_stream *first = kit_open(&kit, "a");
  weir_stream *second = kit_open(&kit, "a");
  weir_subscriber *a = kit_attach(&kit, "a", NULL, NULL);
  weir_subscriber *b = kit_attach(&kit, "a", NULL, NULL);

  ck_assert_uint_eq(hub_info().opens, 1);
  ck_assert_uint_eq(info_of(first).generation, info_of(second).generation);
  kit_publish(first, "x", "1");
  kit_publish(second, "x", "2");
  kit_expect_frames(a, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  kit_expect_frames(b, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2");
  weir_subscriber_release(a);
  weir_subscriber_release(b);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* Invariant 8: however often a client comes back, nothing begins. */
START_TEST(inv08_attaching_begins_nothing) {
  weir_stream *stream;
  int i;

  for (i = 0; i < 10; ++i) {
    ck_assert_int_eq(verdict_of("a", i % 2 ? NULL : "b-7"),
                     WEIR_VERDICT_UNKNOWN);
  }
  ck_assert_uint_eq(hub_info().opens, 0);
  ck_assert_uint_eq(hub_info().streams, 0);
  stream = kit_open(&kit, "a");
  for (i = 0; i < 10; ++i) {
    (void)verdict_of("a", i % 2 ? NULL : kit_cursor(stream, 0));
  }
  end(stream);
  for (i = 0; i < 10; ++i) {
    (void)verdict_of("a", i % 2 ? NULL : kit_cursor(stream, 0));
  }
  ck_assert_uint_eq(hub_info().opens, 1);
  ck_assert_uint_eq(hub_info().streams, 1);
  weir_stream_release(stream);
}
END_TEST

/* R45, R46: with no event, and with some. */
START_TEST(r45_the_replaced_one_ends_with_a_reason) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *old = NULL;
  weir_stream *new = NULL;
  weir_subscriber *subscriber;
  const weir_event late = kit_make_event("x", "late");
  int i;

  ck_assert_int_eq(open_as("a", "old", WEIR_DUPLICATE_JOIN, 0, &old), WEIR_OK);
  for (i = 0; i < 2 * _i; ++i) {
    kit_publish(old, "x", "y");
  }
  subscriber = kit_attach_with(&kit, &options);
  ck_assert_int_eq(open_as("a", "new", WEIR_DUPLICATE_REPLACE, 0, &new),
                   WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(old, &late, 1, NULL), WEIR_EENDED);
  kit_publish(new, "x", "new");
  kit_expect_frames(
      subscriber, WEIR_EDONE,
      _i == 0 ? "ready@0 fresh; done@1 replaced_by_new_stream"
              : "ready@0 fresh; x@1 y; x@2 y; done@3 replaced_by_new_stream");
  kit_expect_notices(&kit, _i == 0 ? "old cancelled; old ended 1"
                                   : "old cancelled; old ended 3");
  ck_assert_uint_eq(info_of(old).failed, 0);
  weir_subscriber_release(subscriber);
  weir_stream_release(old);
  weir_stream_release(new);
}
END_TEST

/* R47, R-19, R-21: A, B and C, one replacing the other before anybody has
 * looked; what becomes of the older is nothing to the newest. */
START_TEST(r47_what_is_old_leaves_the_newest_alone) {
  static const char *const names[] = {"A", "B", "C"};
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscribers[3];
  weir_stream *streams[3];
  int i;

  for (i = 0; i < 3; ++i) {
    streams[i] = NULL;
    ck_assert_int_eq(
        open_as("a", names[i], WEIR_DUPLICATE_REPLACE, 0, &streams[i]),
        WEIR_OK);
    kit_publish(streams[i], "x", names[i]);
    subscribers[i] = kit_attach_with(&kit, &options);
  }
  ck_assert_uint_eq(hub_info().streams, 1);
  for (i = 0; i < 2; ++i) {
    ck_assert_int_eq(weir_stream_cancel(streams[i], NULL, 0), WEIR_EENDED);
    weir_stream_release(streams[i]);
  }
  kit_expect_frames(subscribers[0], WEIR_EDONE,
                    "ready@0 fresh; x@1 A; done@2 replaced_by_new_stream");
  kit_expect_frames(subscribers[1], WEIR_EDONE,
                    "ready@0 fresh; x@1 B; done@2 replaced_by_new_stream");
  for (i = 0; i < 2; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  /* Beyond everything that lingers. */
  kit_pass(&kit, 10000000);
  kit_expect_frames(subscribers[2], WEIR_EGONE, "");
  ck_assert_uint_eq(hub_info().streams, 1);
  ck_assert_uint_eq(kit_publish(streams[2], "x", "C"), 2);
  weir_subscriber_release(subscribers[2]);
  weir_stream_release(streams[2]);
}
END_TEST

START_TEST(streams_have_a_limit) {
  weir_stream *streams[4] = {NULL, NULL, NULL, NULL};
  const char *const keys[] = {"a", "b", "c", "d"};
  weir_stream *again_a = NULL;
  int i;

  kit.options.max_streams = 3;
  again();
  for (i = 0; i < 4; ++i) {
    ck_assert_int_eq(
        open_as(keys[i], NULL, WEIR_DUPLICATE_JOIN, 0, &streams[i]),
        i < 3 ? WEIR_OK : WEIR_ESTREAMS);
  }
  /* What is there can be joined and replaced all the same. */
  ck_assert_int_eq(open_as("a", NULL, WEIR_DUPLICATE_JOIN, 0, &again_a),
                   WEIR_OK);
  weir_stream_release(again_a);
  ck_assert_int_eq(open_as("a", NULL, WEIR_DUPLICATE_REPLACE, 0, &again_a),
                   WEIR_OK);
  weir_stream_release(again_a);
  end(streams[1]);
  ck_assert_int_eq(open_as("d", NULL, WEIR_DUPLICATE_JOIN, 0, &streams[3]),
                   WEIR_ESTREAMS);
  kit_pass(&kit, 600000);
  ck_assert_int_eq(open_as("d", NULL, WEIR_DUPLICATE_JOIN, 0, &streams[3]),
                   WEIR_OK);
  for (i = 0; i < 4; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* --- What is remembered of an end ----------------------------------------- */

START_TEST(r68_who_has_seen_the_end_is_finished) {
  weir_stream *old = kit_open(&kit, "a");
  weir_stream *new;
  char seen[WEIR_CURSOR_MAX];
  char before[WEIR_CURSOR_MAX];

  kit_publish(old, "x", "y");
  strcpy(before, kit_cursor(old, 1));
  strcpy(seen, kit_cursor(old, 2));
  end(old);
  ck_assert_int_eq(verdict_of("a", seen), WEIR_VERDICT_FINISHED);
  ck_assert_int_eq(verdict_of("a", before), WEIR_VERDICT_RESUMED);
  kit_pass(&kit, 300000);
  /* Also when the next one runs, for as long as the old one lingers. */
  new = kit_open(&kit, "a");
  kit_publish(new, "x", "1");
  kit_publish(new, "x", "2");
  ck_assert_int_eq(verdict_of("a", seen), WEIR_VERDICT_FINISHED);
  ck_assert_int_eq(verdict_of("a", before), WEIR_VERDICT_FOREIGN);
  kit_pass(&kit, 299999);
  ck_assert_int_eq(verdict_of("a", seen), WEIR_VERDICT_FINISHED);
  kit_pass(&kit, 1);
  ck_assert_int_eq(verdict_of("a", seen), WEIR_VERDICT_FOREIGN);
  ck_assert_int_eq(verdict_of("a", kit_cursor(new, 2)), WEIR_VERDICT_RESUMED);
  ck_assert_uint_eq(hub_info().verdicts[WEIR_VERDICT_FINISHED], 3);
  weir_stream_release(old);
  weir_stream_release(new);
}
END_TEST

START_TEST(only_the_last_end_is_remembered) {
  weir_stream *streams[3];
  char seen[2][WEIR_CURSOR_MAX];
  int i;

  for (i = 0; i < 2; ++i) {
    streams[i] = kit_open(&kit, "a");
    strcpy(seen[i], kit_cursor(streams[i], 1));
    end(streams[i]);
  }
  ck_assert_int_eq(verdict_of("a", seen[0]), WEIR_VERDICT_FINISHED);
  streams[2] = kit_open(&kit, "a");
  ck_assert_int_eq(verdict_of("a", seen[0]), WEIR_VERDICT_FOREIGN);
  ck_assert_int_eq(verdict_of("a", seen[1]), WEIR_VERDICT_FINISHED);
  for (i = 0; i < 3; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* F08: the key says which stream it is, and the cursor never does. */
START_TEST(f08_a_cursor_of_another_stream_fails_closed) {
  weir_stream *a = kit_open(&kit, "a");
  weir_stream *b = kit_open(&kit, "b");
  weir_subscriber *subscriber;

  kit_publish(a, "x", "secret of a");
  kit_publish(b, "x", "of b");
  kit_publish(b, "x", "of b");
  subscriber = kit_attach(&kit, "b", kit_cursor(a, 1), NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "gap@0 foreign 1 1-2; ready@0 foreign; x@1 of b; x@2 of b");
  weir_subscriber_release(subscriber);
  weir_stream_release(a);
  weir_stream_release(b);
}
END_TEST

/* --- Draining ------------------------------------------------------------- */

START_TEST(a_hub_that_drains_takes_nobody_in) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = NULL;
  weir_stream *stream = kit_open(&kit, "a");
  weir_stream *other = NULL;
  int verdict;

  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 0), WEIR_OK);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   WEIR_EDRAINING);
  ck_assert_ptr_null(subscriber);
  /* Nor does it say what it does not have: another may have it. */
  options = kit_attach_options("b", "s");
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &subscriber, &verdict),
                   WEIR_EDRAINING);
  ck_assert_int_eq(open_as("a", NULL, WEIR_DUPLICATE_JOIN, 0, &other),
                   WEIR_EDRAINING);
  ck_assert_int_eq(open_as("b", NULL, WEIR_DUPLICATE_JOIN, 0, &other),
                   WEIR_EDRAINING);
  ck_assert_ptr_null(other);
  /* Who is at work may finish. */
  kit_publish(stream, "x", "y");
  end(stream);
  weir_stream_release(stream);
}
END_TEST

/* R29: told in band, with time to come back elsewhere; nothing of the log is
 * lost or skipped by that. */
START_TEST(r29_a_client_that_is_drained_knows_where_it_stands) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  struct kit_client client;
  weir_subscriber *subscriber = kit_attach_with(&kit, &options);

  kit_publish(stream, "x", "1");
  kit_client_init(&client, "");
  ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EAGAIN);
  kit_publish(stream, "x", "2");
  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 0), WEIR_OK);
  kit_pass(&kit, 0);
  kit_pass(&kit, 0);
  kit_expect_notices(&kit, "s closing");
  ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EDONE);
  ck_assert_str_eq(client.events[client.count - 1].type, "weir.closing");
  ck_assert_ptr_nonnull(
      strstr(client.events[client.count - 1].data, "\"reason\":\"draining\""));
  ck_assert_str_eq(client.last_id, kit_cursor(stream, 1));
  ck_assert(client.retry >= 1000 && client.retry <= 1500);
  kit_client_free(&client);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* F13: over ten seconds, evenly, and the hub says how many are left. */
START_TEST(f13_draining_spreads_the_closings) {
  weir_attach_options options = kit_attach_options("", "s");
  weir_subscriber *subscribers[500];
  weir_stream *streams[100];
  uint64_t left = 500;
  char key[16];
  int i;

  for (i = 0; i < 500; ++i) {
    snprintf(key, sizeof key, "%d", i % 100);
    if (i < 100) {
      streams[i] = kit_open(&kit, key);
    }
    options.key = key;
    options.key_len = strlen(key);
    subscribers[i] = kit_attach_with(&kit, &options);
    ck_assert_int_eq(kit_skip(subscribers[i]), WEIR_EAGAIN);
  }
  ck_assert_int_eq(weir_hub_drain(kit.hub, 10000, 0), WEIR_OK);
  ck_assert_uint_eq(hub_info().subscribers, 500);
  for (i = 0; i < 10; ++i) {
    while (weir_hub_get_timeout(kit.hub) == 0) {
      kit_pass(&kit, 0);
      left -= kit_count(&kit, WEIR_NOTICE_CLOSING);
    }
    ck_assert_uint_eq(hub_info().subscribers, left);
    /* A tenth each second: 50, give or take. */
    ck_assert_int_ge((int)left, 500 - i * 50 - 60);
    ck_assert_int_le((int)left, 500 - i * 50 + 60);
    kit_pass(&kit, 1000);
  }
  left -= kit_count(&kit, WEIR_NOTICE_CLOSING);
  ck_assert_uint_eq(left, 0);
  ck_assert_uint_eq(hub_info().subscribers, 0);
  for (i = 0; i < 500; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  for (i = 0; i < 100; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* However often it has been replaced. */
START_TEST(those_of_a_replaced_stream_are_drained_too) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *old = kit_open(&kit, "a");
  weir_stream *newer[3] = {NULL, NULL, NULL};
  weir_subscriber *subscriber = kit_attach_with(&kit, &options);
  int i;

  for (i = 0; i <= _i; ++i) {
    ck_assert_int_eq(open_as("a", NULL, WEIR_DUPLICATE_REPLACE, 0, &newer[i]),
                     WEIR_OK);
  }
  /* The second call is what counts; it begins anew. */
  ck_assert_int_eq(weir_hub_drain(kit.hub, 5000, 0), WEIR_OK);
  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 0), WEIR_OK);
  kit_pass(&kit, 0);
  kit_pass(&kit, 0);
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@0 fresh; closing draining");
  weir_subscriber_release(subscriber);
  weir_stream_release(old);
  for (i = 0; i <= _i; ++i) {
    weir_stream_release(newer[i]);
  }
}
END_TEST

/* --- Counters and traces -------------------------------------------------- */

START_TEST(counters_count) {
  weir_attach_options options = kit_attach_options("a", NULL);
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *first = kit_attach(&kit, "a", NULL, NULL);
  weir_subscriber *second = kit_attach(&kit, "a", "b-1", NULL);
  weir_subscriber *refused = NULL;
  weir_hub_info info;
  int verdict;

  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  kit_signal(stream, "s", "");
  kit_expect_frames(first, WEIR_EAGAIN, "ready@0 fresh; x@1 1; x@2 2; s");
  kit_pass(&kit, 12000);
  kit_expect_frames(first, WEIR_EAGAIN, ":");
  weir_subscriber_release(second);
  options.on_duplicate = 7;
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &refused, &verdict),
                   WEIR_EINVAL);
  options.on_duplicate = WEIR_CLIENT_REJECT;
  options.client = "c";
  options.client_len = 1;
  second = kit_attach_with(&kit, &options);
  ck_assert_int_eq(weir_hub_attach(kit.hub, &options, &refused, &verdict),
                   WEIR_EEXISTS);
  info = hub_info();
  ck_assert_uint_eq(info.streams, 1);
  ck_assert_uint_eq(info.subscribers, 2);
  ck_assert_uint_eq(info.pending, 0);
  ck_assert_uint_gt(info.resident, 0);
  ck_assert_uint_eq(info.calls, 0);
  ck_assert_uint_eq(info.opens, 1);
  ck_assert_uint_eq(info.ends, 0);
  ck_assert_uint_eq(info.attaches, 3);
  ck_assert_uint_eq(info.detaches, 1);
  ck_assert_uint_eq(info.events, 2);
  ck_assert_uint_eq(info.signals, 1);
  ck_assert_uint_eq(info.dropped, 0);
  ck_assert_uint_gt(info.bytes, 100);
  ck_assert_uint_eq(info.delivered, 2);
  ck_assert_uint_eq(info.heartbeats, 1);
  ck_assert_uint_eq(info.gaps, 1);
  ck_assert_uint_eq(info.refused, 1);
  ck_assert_uint_eq(info.verdicts[WEIR_VERDICT_FRESH], 2);
  ck_assert_uint_eq(info.verdicts[WEIR_VERDICT_FOREIGN], 1);
  weir_subscriber_release(first);
  weir_subscriber_release(second);
  end(stream);
  weir_stream_release(stream);
  kit_pass(&kit, 600000);
  info = hub_info();
  ck_assert_uint_eq(info.streams, 0);
  ck_assert_uint_eq(info.subscribers, 0);
  ck_assert_uint_eq(info.resident, 0);
  ck_assert_uint_eq(info.ends, 1);
  ck_assert_uint_eq(info.attaches, info.detaches);
}
END_TEST

/* What a trace said, in words. */
static struct kit_bytes traced;

static void note(void *user, const weir_trace *trace) {
  static const char *const kinds[] = {"",    "attach", "detach", "open",
                                      "end", "log",    "abort"};
  char text[256];
  int n;

  (void)user;
  ck_assert_uint_eq(trace->size, sizeof *trace);
  n = snprintf(text, sizeof text, "%s%s %.*s", traced.len == 0 ? "" : "; ",
               kinds[trace->kind], (int)trace->key_len,
               (const char *)trace->key);
  kit_bytes_add(&traced, text, (size_t)n);
  if (trace->kind == WEIR_TRACE_ATTACH) {
    n = snprintf(text, sizeof text, " %s %s \"%.*s\" %llu",
                 (const char *)trace->user, weir_verdict_name(trace->verdict),
                 (int)trace->text_len, (const char *)trace->text,
                 (unsigned long long)trace->seq);
    kit_bytes_add(&traced, text, (size_t)n);
  } else if (trace->kind == WEIR_TRACE_DETACH) {
    n = snprintf(text, sizeof text, " %s %llu", (const char *)trace->user,
                 (unsigned long long)trace->seq);
    kit_bytes_add(&traced, text, (size_t)n);
  } else if (trace->error != WEIR_OK) {
    n = snprintf(text, sizeof text, " %d", trace->error);
    kit_bytes_add(&traced, text, (size_t)n);
  }
}

static void expect_traces(const char *text) {
  kit_bytes_add(&traced, NULL, 0);
  ck_assert_str_eq(traced.data, text);
  kit_bytes_free(&traced);
}

/* F14: a host sees who comes back, from where, and how far he gets. */
START_TEST(f14_traces_tell_of_coming_and_going) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_request request;
  weir_stream *stream;
  weir_subscriber *subscriber;
  weir_bytes runs[3];
  size_t count;

  kit.options.trace = note;
  again();
  stream = kit_open(&kit, "a");
  expect_traces("open a");
  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  subscriber = kit_attach_with(&kit, &options);
  expect_traces("attach a s fresh \"\" 0");
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_uint_eq(count, 2);
  ck_assert_int_eq(
      weir_subscriber_consume(subscriber, runs[0].len + runs[1].len / 2),
      WEIR_OK);
  weir_subscriber_detach(subscriber);
  expect_traces("detach a s 1");
  weir_subscriber_release(subscriber);
  expect_traces("");
  weir_request_init(&request, sizeof request);
  request.header = "no cursor";
  request.header_len = 9;
  options.request = &request;
  options.stall = 5000;
  subscriber = kit_attach_with(&kit, &options);
  expect_traces("attach a s malformed \"no cursor\" 0");
  kit_pass(&kit, 5000);
  expect_traces("abort a -30; detach a s 0");
  weir_subscriber_release(subscriber);
  end(stream);
  expect_traces("end a");
  weir_stream_release(stream);
}
END_TEST

/* But who is told that a client leaves may let go of it there. */
static size_t told;

static void let_go(void *user, const weir_trace *trace) {
  weir_subscriber **subscriber = user;

  if (trace->kind == WEIR_TRACE_DETACH) {
    told += 1;
    if (*subscriber != NULL) {
      weir_subscriber_detach(*subscriber);
      weir_subscriber_release(*subscriber);
      *subscriber = NULL;
    }
  }
}

START_TEST(a_client_that_leaves_is_let_go_of_when_that_is_told) {
  weir_subscriber *subscriber = NULL;
  weir_subscriber *other;
  weir_stream *stream;
  weir_notice notice = {.size = sizeof notice};

  told = 0;
  kit.options.trace = let_go;
  kit.options.trace_user = &subscriber;
  again();
  stream = kit_open(&kit, "a");
  kit_publish(stream, "x", "1");
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  other = subscriber;
  if (_i != 0) {
    kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh; x@1 1");
  }
  if (_i == 2) {
    end(stream);
    kit_expect_frames(other, WEIR_EGONE, "done@2 ok");
  } else {
    ck_assert_int_eq(weir_subscriber_close(other, NULL, 0, 0), WEIR_OK);
  }
  ck_assert_ptr_null(subscriber);
  ck_assert_uint_eq(told, 1);
  ck_assert_uint_eq(hub_info().subscribers, 0);
  ck_assert_uint_eq(hub_info().detaches, 1);
  while (weir_hub_next(kit.hub, &notice) == WEIR_OK) {
    ck_assert_ptr_null(notice.subscriber);
  }
  weir_stream_release(stream);
}
END_TEST

/* A trace is told in mid-operation: nothing may be called from it. */
static int called[16];

static void call_everything(void *user, const weir_trace *trace) {
  static weir_stream *stream; /* of the first open */
  weir_event event = kit_make_event("x", "y");
  weir_open_options open = kit_open_options("b", NULL);
  weir_attach_options attach = kit_attach_options("a", NULL);
  weir_subscriber **subscriber = user;
  weir_notice notice;
  weir_bytes run;
  size_t count;
  char byte;
  int verdict;
  int n = 0;

  if (trace->kind != WEIR_TRACE_END) {
    return;
  }
  notice.size = sizeof notice;
  called[n++] = weir_hub_run(kit.hub);
  called[n++] = weir_hub_next(kit.hub, &notice);
  called[n++] = weir_hub_open(kit.hub, &open, &stream);
  called[n++] = weir_hub_attach(kit.hub, &attach, subscriber, &verdict);
  called[n++] = weir_hub_hint(kit.hub, "a", 1, 7);
  called[n++] = weir_hub_drain(kit.hub, 0, 0);
  called[n++] = weir_subscriber_peek(*subscriber, &run, 1, &count);
  called[n++] = weir_subscriber_read(*subscriber, &byte, 1, &count);
  called[n++] = weir_subscriber_signal(*subscriber, &event);
  called[n++] = weir_subscriber_close(*subscriber, NULL, 0, 0);
  called[n++] = 0;
}

START_TEST(nothing_may_be_called_from_a_trace) {
  weir_subscriber *subscriber = NULL;
  weir_stream *stream;
  int i;

  kit.options.trace = call_everything;
  kit.options.trace_user = &subscriber;
  again();
  stream = kit_open(&kit, "a");
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  end(stream);
  for (i = 0; i < 10; ++i) {
    ck_assert_int_eq(called[i], WEIR_EBUSY);
  }
  ck_assert_uint_eq(hub_info().streams, 1);
  ck_assert_uint_eq(hub_info().subscribers, 1);
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@0 fresh; done@1 ok");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

static weir_stream *of_trace;

static void call_the_stream(void *user, const weir_trace *trace) {
  weir_event event = kit_make_event("x", "y");
  int n = 0;

  (void)user;
  if (trace->kind == WEIR_TRACE_ATTACH) {
    called[n++] = weir_stream_publish(of_trace, &event, 1, NULL);
    called[n++] = weir_stream_signal(of_trace, &event, NULL);
    called[n++] = weir_stream_end(of_trace, "", 0, 0, NULL);
    called[n++] = weir_stream_fail(of_trace, "", 0, "", 0, 0, NULL);
    called[n++] = weir_stream_cancel(of_trace, NULL, 0);
    called[n++] = weir_stream_trim(of_trace, 0);
  }
}

START_TEST(nor_of_a_stream) {
  int i;

  kit.options.trace = call_the_stream;
  again();
  of_trace = kit_open(&kit, "a");
  weir_subscriber_release(kit_attach(&kit, "a", NULL, NULL));
  for (i = 0; i < 6; ++i) {
    ck_assert_int_eq(called[i], WEIR_EBUSY);
  }
  ck_assert_int_eq(info_of(of_trace).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(info_of(of_trace).last, 0);
  weir_stream_release(of_trace);
}
END_TEST

/* --- A hub that has gone -------------------------------------------------- */

static void expect_gone(weir_stream *stream, weir_subscriber *subscriber) {
  const weir_event event = kit_make_event("x", "y");
  weir_subscriber_info subscriber_info;
  weir_stream_info stream_info;
  weir_bytes run;
  size_t count;
  char byte;

  subscriber_info.size = sizeof subscriber_info;
  stream_info.size = sizeof stream_info;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_signal(stream, &event, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 0, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_fail(stream, "", 0, "", 0, 0, NULL), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_trim(stream, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_stream_get_info(stream, &stream_info), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count),
                   WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_read(subscriber, &byte, 1, &count),
                   WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &event), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_EGONE);
  ck_assert_int_eq(weir_subscriber_get_info(subscriber, &subscriber_info),
                   WEIR_EGONE);
  weir_subscriber_detach(subscriber);
}

static void free_hub(void) {
  weir_hub_free(kit.hub);
  kit.hub = NULL;
}

START_TEST(handles_outlive_their_hub) {
  weir_open_options open = kit_open_options("a", "p");
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_stream *stream = kit_open_with(&kit, &open);
  weir_subscriber *subscriber = kit_attach_with(&kit, &attach);
  weir_event event = kit_make_event("x", "y");

  event.tag = 1;
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  if (_i & 1) {
    ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_OK);
  }
  free_hub();
  expect_gone(stream, subscriber);
  ck_assert_ptr_eq(weir_stream_get_user(stream), open.user);
  ck_assert_ptr_eq(weir_subscriber_get_user(subscriber), attach.user);
  ck_assert_uint_ne(kit.memory.live, 0);
  if (_i & 2) {
    weir_stream_release(stream);
    weir_subscriber_release(subscriber);
  } else {
    weir_subscriber_release(subscriber);
    weir_stream_release(stream);
  }
  ck_assert_uint_eq(kit.memory.live, 0);
}
END_TEST

/* Also those of generations that the hub had forgotten: replaced twice, or
 * ended and lingered out. */
START_TEST(handles_of_what_was_forgotten_outlive_the_hub) {
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  weir_stream *newer[2] = {NULL, NULL};
  weir_subscriber *subscriber;

  attach.stall = 0;
  attach.client = "c";
  attach.client_len = 1;
  subscriber = kit_attach_with(&kit, &attach);
  if (_i == 0) {
    ck_assert_int_eq(open_as("a", NULL, WEIR_DUPLICATE_REPLACE, 0, &newer[0]),
                     WEIR_OK);
    ck_assert_int_eq(open_as("a", NULL, WEIR_DUPLICATE_REPLACE, 0, &newer[1]),
                     WEIR_OK);
  } else {
    end(stream);
    kit_pass(&kit, 600000);
    ck_assert_uint_eq(hub_info().streams, 0);
  }
  ck_assert_uint_eq(hub_info().subscribers, 1);
  free_hub();
  expect_gone(stream, subscriber);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
  weir_stream_release(newer[0]);
  weir_stream_release(newer[1]);
  ck_assert_uint_eq(kit.memory.live, 0);
}
END_TEST

/* What a client was told last can still be taken; then there is nothing. */
START_TEST(a_closing_frame_outlives_the_hub) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  free_hub();
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@0 fresh; closing expired");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_hub_that_has_gone_wakes_nobody) {
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;
  weir_bytes run;
  size_t count;
  unsigned wakes;

  attach.stall = 1000;
  subscriber = kit_attach_with(&kit, &attach);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count), WEIR_OK);
  kit_pass(&kit, 1000); /* the notice `abort` waits */
  free_hub();
  wakes = kit.wakes;
  ck_assert_int_eq(weir_subscriber_consume(subscriber, 1), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, run.len), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count),
                   WEIR_EGONE);
  ck_assert_uint_eq(kit.wakes, wakes);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(nor_for_an_attach_that_was_decided) {
  weir_attach_options options = kit_attach_options("a", "s");
  static struct bench bench;
  weir_subscriber *subscriber = NULL;
  weir_bytes run;
  size_t count;
  int verdict;
  unsigned wakes;

  bench_init(&bench);
  bench.log.later = true;
  bench_hub(&bench);
  ck_assert_int_eq(
      weir_hub_attach(bench.a.hub, &options, &subscriber, &verdict), WEIR_OK);
  ck_assert_int_eq(verdict, WEIR_VERDICT_PENDING);
  kit_pass(&bench.a, 0);
  testlog_deliver_all(&bench.log);
  kit_pass(&bench.a, 0); /* the notice `decided` waits */
  ck_assert_int_eq(weir_hub_get_timeout(bench.a.hub), 0);
  weir_hub_free(bench.a.hub);
  bench.a.hub = NULL;
  wakes = bench.a.wakes;
  ck_assert_int_ne(weir_subscriber_peek(subscriber, &run, 1, &count), WEIR_OK);
  ck_assert_uint_eq(bench.a.wakes, wakes);
  weir_subscriber_release(subscriber);
  bench_end(&bench);
}
END_TEST

/* R51, R53: slots and memory come back, however a connection went. */
START_TEST(r53_nothing_is_left_of_connections_that_came_to_nothing) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  size_t live;
  int i;

  options.client = "c";
  options.client_len = 1;
  subscriber = kit_attach_with(&kit, &options);
  weir_subscriber_release(subscriber);
  live = kit.memory.live;
  for (i = 0; i < 200; ++i) {
    subscriber = kit_attach_with(&kit, &options);
    if (i % 3 == 1) {
      (void)kit_count(&kit, WEIR_NOTICE_READABLE);
    } else if (i % 3 == 2) {
      ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
    }
    weir_subscriber_release(subscriber);
  }
  ck_assert_uint_eq(hub_info().subscribers, 0);
  ck_assert_uint_eq(kit.memory.live, live);
  kit_expect_notices(&kit, "");
  weir_stream_release(stream);
}
END_TEST

START_TEST(r51_nothing_is_left_of_streams_that_came_and_went) {
  static const int counts[] = {10, 1000, 10000};
  weir_open_options options = kit_open_options("", NULL);
  weir_stream **streams = malloc((size_t)counts[_i] * sizeof(weir_stream *));
  char key[16];
  int i;

  ck_assert_ptr_nonnull(streams);
  options.linger = 1000;
  options.idle = 55000;
  for (i = 0; i < counts[_i]; ++i) {
    snprintf(key, sizeof key, "%d", i);
    options.key = key;
    options.key_len = strlen(key);
    streams[i] = kit_open_with(&kit, &options);
    kit_publish(streams[i], "x", "y");
    weir_subscriber_release(kit_attach(&kit, key, NULL, NULL));
  }
  ck_assert_uint_eq(hub_info().streams, (uint64_t)counts[_i]);
  for (i = 0; i < counts[_i]; ++i) {
    end(streams[i]);
    weir_stream_release(streams[i]);
  }
  free(streams);
  kit_pass(&kit, 1000);
  while (weir_hub_get_timeout(kit.hub) == 0) {
    kit_pass(&kit, 0);
  }
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  ck_assert_uint_eq(hub_info().streams, 0);
  ck_assert_uint_eq(hub_info().resident, 0);
}
END_TEST

static TCase *hubs(void) {
  TCase *tcase = tcase_create("hubs");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, a_hub_has_defaults);
  tcase_add_loop_test(tcase, options_that_cannot_be_are_refused, 0, 13);
  tcase_add_loop_test(tcase, without_random_bits_there_is_no_hub, 0, 4);
  tcase_add_loop_test(tcase, without_random_bits_no_generation_begins, 0, 3);
  tcase_add_loop_test(tcase, keys_are_text_of_1_to_255_bytes, 0, 12);
  tcase_add_test(tcase, keys_have_a_limit);
  return tcase;
}

static TCase *opens(void) {
  TCase *tcase = tcase_create("opens");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, opens_that_cannot_be_are_refused, 0, 9);
  tcase_add_loop_test(tcase, r49_what_an_open_gives, 0,
                      3 * (int)(sizeof open_rows / sizeof open_rows[0]));
  tcase_add_test(tcase, r48_two_opens_begin_one_generation);
  tcase_add_test(tcase, inv08_attaching_begins_nothing);
  tcase_add_loop_test(tcase, r45_the_replaced_one_ends_with_a_reason, 0, 2);
  tcase_add_test(tcase, r47_what_is_old_leaves_the_newest_alone);
  tcase_add_test(tcase, streams_have_a_limit);
  tcase_add_test(tcase, r68_who_has_seen_the_end_is_finished);
  tcase_add_test(tcase, only_the_last_end_is_remembered);
  tcase_add_test(tcase, f08_a_cursor_of_another_stream_fails_closed);
  return tcase;
}

static TCase *drains(void) {
  TCase *tcase = tcase_create("drains");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, a_hub_that_drains_takes_nobody_in);
  tcase_add_test(tcase, r29_a_client_that_is_drained_knows_where_it_stands);
  tcase_add_test(tcase, f13_draining_spreads_the_closings);
  tcase_add_loop_test(tcase, those_of_a_replaced_stream_are_drained_too, 0, 3);
  return tcase;
}

static TCase *counters(void) {
  TCase *tcase = tcase_create("counters");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, counters_count);
  tcase_add_test(tcase, f14_traces_tell_of_coming_and_going);
  tcase_add_loop_test(
      tcase, a_client_that_leaves_is_let_go_of_when_that_is_told, 0, 3);
  tcase_add_test(tcase, nothing_may_be_called_from_a_trace);
  tcase_add_test(tcase, nor_of_a_stream);
  return tcase;
}

static TCase *frees(void) {
  TCase *tcase = tcase_create("frees");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, handles_outlive_their_hub, 0, 4);
  tcase_add_loop_test(tcase, handles_of_what_was_forgotten_outlive_the_hub, 0,
                      2);
  tcase_add_test(tcase, a_closing_frame_outlives_the_hub);
  tcase_add_test(tcase, a_hub_that_has_gone_wakes_nobody);
  tcase_add_test(tcase, nor_for_an_attach_that_was_decided);
  tcase_add_test(tcase,
                 r53_nothing_is_left_of_connections_that_came_to_nothing);
  tcase_add_loop_test(tcase, r51_nothing_is_left_of_streams_that_came_and_went,
                      0, 3);
  return tcase;
}

KIT_MAIN("hub", hubs(), opens(), drains(), counters(), frees())
