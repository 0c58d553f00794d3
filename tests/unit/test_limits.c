/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* A hub at the ends of what may be asked of it: without limits, without an
 * allocator of its own, with random bits that are all zero or fail, and with
 * arguments that only a host in error gives. */

#include "../bench.h"

#include <stdio.h>
#include <string.h>

#include "control.h"
#include "core.h"

static struct bench bench;
static struct kit *const kit = &bench.a;

static void setup(void) {
  bench_init(&bench);
}

static void teardown(void) {
  bench_end(&bench);
}

/* 0 is no limit, with a log and without. */
START_TEST(nothing_is_limited) {
  weir_subscriber *subscriber;
  weir_stream *stream;
  char text[4096];
  int i;

  kit->options.max_streams = 0;
  kit->options.max_subscribers = 0;
  kit->options.max_event_bytes = 0;
  kit->options.max_pending = 0;
  kit->options.max_resident = 0;
  kit->options.history_bytes = 0;
  kit->options.history_events = 0;
  kit->options.log = _i == 0 ? NULL : &bench.log.log;
  kit_hub(kit);
  stream = kit_open(kit, "a");
  subscriber = kit_attach(kit, "a", NULL, NULL);
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = '\0';
  for (i = 0; i < 100; ++i) {
    kit_publish(stream, "x", text);
  }
  bench_rest(&bench);
  ck_assert_uint_eq(bench_info(stream).last, 100);
  ck_assert_uint_eq(bench_info(stream).trimmed, 0);
  ck_assert_uint_gt(bench_info(stream).resident, 100 * sizeof text);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* An end is never too large. */
START_TEST(an_end_has_its_room) {
  weir_subscriber *subscriber;
  weir_stream *stream;

  kit->options.log = NULL;
  kit->options.max_event_bytes = 4;
  kit_hub(kit);
  stream = kit_open(kit, "a");
  subscriber = kit_attach(kit, "a", NULL, NULL);
  ck_assert_int_eq(weir_stream_end(stream, "a reason", 8, 7, NULL), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@0 fresh; done@1 a reason");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(memory_of_the_system) {
  weir_hub_options options;
  weir_hub *hub = NULL;

  weir_hub_options_init(&options, sizeof options);
  ck_assert_ptr_null(options.allocator);
  ck_assert_int_eq(weir_hub_new(&options, &hub), WEIR_OK);
  weir_hub_free(hub);
  kit_hub(kit);
}
END_TEST

/* A hub that has been freed is gone, as long as a handle keeps it. */
START_TEST(freed_twice) {
  weir_stream *stream;

  kit->options.log = NULL;
  kit_hub(kit);
  stream = kit_open(kit, "a");
  weir_hub_free(kit->hub);
  weir_hub_free(kit->hub);
  kit->hub = NULL;
  weir_stream_release(stream);
}
END_TEST

static int drawn;

static int zeros(void *user, void *dst, size_t len) {
  (void)user;
  memset(dst, 0, len);
  return drawn;
}

/* No epoch is 0, and no stream begins without one. */
START_TEST(random_bits) {
  weir_open_options options = kit_open_options("b", "p");
  weir_stream *stream;
  weir_stream *second = NULL;

  kit->options.entropy = zeros;
  drawn = 1;
  bench_hubs(&bench);
  stream = bench_open(&bench, kit, "a");
  ck_assert_uint_eq(bench_info(stream).epoch, 1);
  drawn = 0;
  ck_assert_int_eq(weir_hub_open(kit->hub, &options, &second), WEIR_EENTROPY);
  ck_assert_ptr_null(second);
  weir_stream_release(stream);
}
END_TEST

/* What a client says it has seen may be any bytes: what is no cursor is not
 * repeated to it. */
START_TEST(a_zero_is_no_cursor) {
  weir_resolution resolution;
  struct weir__scheme scheme;
  struct weir__out out;
  char text[512];
  size_t len = 0;

  memset(&scheme, 0, sizeof scheme);
  memset(&resolution, 0, sizeof resolution);
  scheme.key = "a";
  scheme.key_len = 1;
  scheme.prefix = "w.";
  scheme.prefix_len = 2;
  resolution.verdict = WEIR_VERDICT_MALFORMED;
  resolution.position.epoch = 1;
  weir__out_init(&out, text, sizeof text);
  weir__put_gap(&out, &scheme, &resolution, 0, "ab\0cd", 5);
  ck_assert_int_eq(weir__out_end(&out, &len), WEIR_OK);
  ck_assert_ptr_null(memchr(text, '\0', len));
  text[len] = '\0';
  ck_assert_ptr_nonnull(strstr(text, "\"requested\":null"));
  kit_hub(kit);
}
END_TEST

START_TEST(arguments_of_other_sizes) {
  weir_http_options options;
  weir_response response;
  weir_attach_options attach = kit_attach_options("a", NULL);
  weir_subscriber *subscriber = NULL;
  weir_resolution resolution;
  weir_state state;

  kit_hub(kit);
  weir_http_options_init(&options, sizeof options);
  ck_assert_int_eq(
      weir_http_attach(kit->hub, &attach, &options, &subscriber, NULL),
      WEIR_EINVAL);
  response.size = sizeof response.size;
  ck_assert_int_eq(
      weir_http_attach(kit->hub, &attach, &options, &subscriber, &response),
      WEIR_EINVAL);
  ck_assert_ptr_null(subscriber);
  memset(&state, 0, sizeof state);
  state.size = 3;
  resolution.size = sizeof resolution;
  ck_assert_int_eq(weir_cursor_resolve(&state, NULL, WEIR_EABSENT, NULL,
                                       WEIR_FROM_START, &resolution),
                   WEIR_EINVAL);
}
END_TEST

static int publish_size(weir_stream *stream, size_t size) {
  static char data[4000];
  weir_event event = kit_make_event("x", "");

  memset(data, 'd', sizeof data);
  event.data = data;
  event.data_len = size;
  return weir_stream_publish(stream, &event, 1, NULL);
}

/* Memory is full of streams that live, to the last page. Nothing is let in, but
 * all goes on that makes room: readers come, are told, and go, and what ends
 * can be dropped. */
START_TEST(a_full_hub_goes_on) {
  enum { MOST = 200 };
  weir_attach_options options = kit_attach_options("0", "r");
  weir_event signal = kit_make_event("x", "y");
  weir_subscriber *reader;
  weir_stream *streams[MOST];
  uint64_t limit;
  char key[8];
  size_t large = 0;
  size_t count;
  size_t i;

  kit->options.log = NULL;
  kit->options.max_resident = 65536;
  kit_hub(kit);
  for (count = 0; count < MOST; ++count) {
    (void)snprintf(key, sizeof key, "%zu", count);
    streams[count] = kit_open(kit, key);
    if (publish_size(streams[count], 4000) == WEIR_OK) {
      large += 1;
    } else if (publish_size(streams[count], 1) != WEIR_OK) {
      break;
    }
  }
  ck_assert_uint_gt(large, 10);
  limit = bench_hub_info(kit).resident;
  ((struct weir__core *)(void *)kit->hub)->options.max_resident = limit;
  reader = kit_attach_with(kit, &options);
  ck_assert_int_eq(weir_subscriber_signal(reader, &signal), WEIR_ERESIDENT);
  ck_assert_int_eq(weir_stream_signal(streams[0], &signal, NULL),
                   WEIR_ERESIDENT);
  (void)kit_skip(reader);
  kit_count(kit, 0);
  kit_pass(kit, 12000);
  kit_expect_notices(kit, "r readable");
  kit_expect_frames(reader, WEIR_EAGAIN, ":");
  ck_assert_int_eq(weir_subscriber_close(reader, NULL, 0, 0), WEIR_OK);
  kit_expect_frames(reader, WEIR_EDONE, "closing expired");
  weir_subscriber_release(reader);
  ck_assert_int_eq(publish_size(streams[1], 1), WEIR_ERESIDENT);
  for (i = 0; i < large; ++i) {
    ck_assert_int_eq(weir_stream_end(streams[i], "ok", 2, 0, NULL), WEIR_OK);
    ck_assert_uint_le(bench_hub_info(kit).resident, limit + limit / 16);
  }
  ck_assert_int_eq(publish_size(streams[large], 4000), WEIR_OK);
  ck_assert_uint_le(bench_hub_info(kit).resident, limit);
  for (i = 0; i <= count; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

static TCase *limits(void) {
  TCase *tcase = tcase_create("limits");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, nothing_is_limited, 0, 2);
  tcase_add_test(tcase, an_end_has_its_room);
  tcase_add_test(tcase, a_full_hub_goes_on);
  tcase_add_test(tcase, memory_of_the_system);
  tcase_add_test(tcase, freed_twice);
  tcase_add_test(tcase, random_bits);
  tcase_add_test(tcase, a_zero_is_no_cursor);
  tcase_add_test(tcase, arguments_of_other_sizes);
  return tcase;
}

KIT_MAIN("limits", limits())
