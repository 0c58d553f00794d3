/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The pace of a connection: heartbeats, patience with a client that takes
 * nothing, the age of a connection, and what a slow one misses. */

#include "../kit.h"

#include <stdio.h>
#include <string.h>

#include "reader.h"

static struct kit kit;
static weir_stream *stream;

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
}

static void teardown(void) {
  weir_stream_release(stream);
  kit_end(&kit);
}

static weir_hub_info hub_info(void) {
  weir_hub_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_hub_get_info(kit.hub, &info), WEIR_OK);
  return info;
}

static weir_subscriber_info info_of(const weir_subscriber *subscriber) {
  weir_subscriber_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_subscriber_get_info(subscriber, &info), WEIR_OK);
  return info;
}

/* Attach, and let the client take its greeting. */
static weir_subscriber *attach(const weir_attach_options *options) {
  weir_subscriber *subscriber = kit_attach_with(&kit, options);

  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  kit_expect_notices(&kit, "");
  return subscriber;
}

/* Let the client see n bytes, and take them. */
static void take(weir_subscriber *subscriber, size_t n) {
  weir_bytes run;
  size_t count;

  ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count), WEIR_OK);
  ck_assert_uint_ge(run.len, n);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, n), WEIR_OK);
}

/* --- Heartbeats ----------------------------------------------------------- */

START_TEST(r57_a_heartbeat_every_twelve_seconds_of_silence) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  int i;

  options.flags = _i != 0 ? WEIR_ATTACH_PING : 0;
  subscriber = attach(&options);
  for (i = 1; i <= 60000; ++i) {
    kit_pass(&kit, 1);
    if (i % 12000 != 0) {
      kit_expect_notices(&kit, "");
    } else {
      kit_expect_notices(&kit, "s readable");
      kit_expect_frames(subscriber, WEIR_EAGAIN, _i != 0 ? "ping" : ":");
    }
  }
  ck_assert_uint_eq(hub_info().heartbeats, 5);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(r57_zero_is_off) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;

  options.heartbeat = 0;
  options.heartbeat_jitter = 1200;
  subscriber = attach(&options);
  kit_pass(&kit, 86400000);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(r57_no_heartbeat_after_the_end) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  kit_pass(&kit, 11999);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_expect_notices(&kit, "s closing; ended 1");
  kit_pass(&kit, 1);
  kit_expect_frames(subscriber, WEIR_EDONE, "done@1 ok");
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  kit_expect_frames(subscriber, WEIR_EDONE, "");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(race28_nor_after_the_last_frame_of_a_connection) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  kit_pass(&kit, 12000);
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EDONE, "closing expired");
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(every_byte_puts_the_heartbeat_off) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  kit_pass(&kit, 6000);
  kit_publish(stream, "x", "y");
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@1 y");
  kit_pass(&kit, 11999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, ":");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_heartbeat_gives_way_to_an_event) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  kit_pass(&kit, 12000);
  kit_expect_notices(&kit, "s readable");
  kit_publish(stream, "x", "y");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@1 y");
  kit_pass(&kit, 11999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, ":");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(race27_no_heartbeat_while_a_frame_is_half_taken) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);
  struct kit_bytes bytes = {NULL, 0, 0};

  kit_publish(stream, "x", "y");
  kit_expect_notices(&kit, "s readable");
  take(subscriber, 5);
  kit_bytes_add(&bytes, "id: ~", 5);
  kit_pass(&kit, 12000);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
  memcpy(bytes.data, "id: a", 5);
  kit_expect_text(bytes.data, bytes.len, "x@1 y");
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
}
END_TEST

/* F13. Up to a tenth sooner by default, drawn for each connection. */
START_TEST(f13_heartbeats_of_many_do_not_coincide) {
  static const struct {
    uint32_t heartbeat;
    uint32_t jitter;
    uint64_t least;
  } rows[] = {{12000, 1200, 10800}, {1000, 999, 1}};
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscribers[50];
  uint64_t seen[50] = {0};
  uint64_t most = 0;
  uint64_t least = UINT64_MAX;
  weir_notice notice;
  uint64_t ms;
  int i;

  options.heartbeat = rows[_i].heartbeat;
  options.heartbeat_jitter = rows[_i].jitter;
  for (i = 0; i < 50; ++i) {
    options.user = &seen[i];
    subscribers[i] = attach(&options);
  }
  for (ms = 1; ms <= rows[_i].heartbeat; ++ms) {
    kit_pass(&kit, 1);
    for (notice = kit_next(&kit); notice.kind != 0; notice = kit_next(&kit)) {
      ck_assert_uint_eq(*(uint64_t *)notice.user, 0);
      *(uint64_t *)notice.user = ms;
    }
  }
  for (i = 0; i < 50; ++i) {
    ck_assert_uint_ge(seen[i], rows[_i].least);
    most = seen[i] > most ? seen[i] : most;
    least = seen[i] < least ? seen[i] : least;
    weir_subscriber_release(subscribers[i]);
  }
  ck_assert_uint_gt(most - least, (rows[_i].heartbeat - rows[_i].least) / 2);
}
END_TEST

/* --- Patience ------------------------------------------------------------- */

START_TEST(f12_a_client_that_takes_nothing_is_cut_off) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  weir_bytes run;
  size_t count;

  options.heartbeat = 0;
  options.stall = 5000;
  subscriber = _i == 0 ? kit_attach_with(&kit, &options) : attach(&options);
  if (_i != 0) {
    kit_pass(&kit, 100000); /* nothing to take is no fault of the client's */
    kit_publish(stream, "x", "y");
  }
  kit_expect_notices(&kit, "s readable");
  if (_i == 2) {
    ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count),
                     WEIR_OK);
  }
  kit_pass(&kit, 4999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "s abort -30");
  ck_assert_uint_eq(hub_info().stalled, 1);
  ck_assert_uint_eq(hub_info().subscribers, 0);
  ck_assert_uint_eq(info_of(subscriber).attached, 0);
  if (_i != 2) {
    kit_expect_frames(subscriber, WEIR_EGONE, "");
  } else {
    /* What is in flight stays. */
    kit_expect_frames(subscriber, WEIR_EGONE, "x@1 y");
  }
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_byte_now_and_then_is_progress) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  int i;

  options.heartbeat = 0;
  options.stall = 5000;
  subscriber = attach(&options);
  kit_publish(stream, "x", "12345678901234567890");
  kit_expect_notices(&kit, "s readable");
  for (i = 0; i < 20; ++i) {
    kit_pass(&kit, 4999);
    take(subscriber, 1);
  }
  kit_pass(&kit, 4999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "s abort -30");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_heartbeat_that_is_not_taken_is_no_progress) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);
  weir_bytes run;
  size_t count;

  kit_pass(&kit, 12000);
  kit_expect_notices(&kit, "s readable");
  ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count), WEIR_OK);
  kit_pass(&kit, 29999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "s abort -30");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(patience_without_end_is_possible) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;

  options.stall = 0;
  subscriber = kit_attach_with(&kit, &options);
  kit_expect_notices(&kit, "s readable");
  kit_pass(&kit, 86400000);
  kit_expect_notices(&kit, "");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(who_does_not_take_the_close_is_cut_off) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  if (_i == 0) {
    ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
    kit_expect_notices(&kit, "s closing");
  } else {
    ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
    kit_expect_notices(&kit, "s closing; ended 1");
  }
  take(subscriber, 1);
  kit_pass(&kit, 29999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "s abort -30");
  weir_subscriber_release(subscriber);
}
END_TEST

/* A write that was in flight ends after the client has left, or was cut off:
 * that is nobody's fault any more. */
START_TEST(who_has_left_is_not_cut_off) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  kit_publish(stream, "x", "y");
  take(subscriber, 1);
  if (_i == 0) {
    weir_subscriber_detach(subscriber);
  } else {
    kit_pass(&kit, 30000);
    kit_expect_notices(&kit, "s abort -30");
  }
  take(subscriber, 1);
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  ck_assert_uint_eq(hub_info().stalled, (uint64_t)_i);
  weir_subscriber_release(subscriber);
}
END_TEST

/* Nor is it told of what was to be said before it left. */
START_TEST(who_has_left_is_not_told_of_being_cut_off) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_attach_options others = kit_attach_options("a", "t");
  weir_subscriber *first = attach(&options);
  weir_subscriber *second = attach(&others);

  kit_publish(stream, "x", "y");
  take(first, 1);
  take(second, 1);
  kit_count(&kit, 0);
  kit.now += 30000;
  ck_assert_ptr_eq(kit_next(&kit).subscriber, first);
  weir_subscriber_detach(second);
  kit_expect_notices(&kit, "");
  weir_subscriber_release(first);
  weir_subscriber_release(second);
}
END_TEST

/* the client is slow, the producer is not. */
START_TEST(race26_a_slow_client_is_not_an_idle_producer) {
  weir_open_options open = kit_open_options("b", "p");
  weir_attach_options options = kit_attach_options("b", "s");
  weir_subscriber *subscriber;
  weir_stream *watched;
  int i;

  open.idle = 20000;
  watched = kit_open_with(&kit, &open);
  subscriber = attach(&options);
  for (i = 0; i < 3; ++i) {
    kit_publish(watched, "x", "y");
    kit_expect_notices(&kit, i == 0 ? "s readable" : "");
    kit_pass(&kit, 9999);
  }
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 3);
  kit_expect_notices(&kit, "s abort -30");
  kit_pass(&kit, 20000 - 9999 - 4);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "p expired idle");
  weir_subscriber_release(subscriber);
  weir_stream_release(watched);
}
END_TEST

/* --- The age of a connection ---------------------------------------------- */

START_TEST(f25_a_connection_can_be_closed_by_its_age) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;

  options.heartbeat = 0;
  options.lifetime = 3600000;
  subscriber = attach(&options);
  kit_publish(stream, "x", "1");
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@1 1");
  kit_pass(&kit, 3599999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_publish(stream, "x", "2");
  kit_expect_notices(&kit, "s closing");
  kit_expect_frames(subscriber, WEIR_EDONE, "closing expired");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(f25_but_is_not_by_default) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;

  options.heartbeat = 0;
  subscriber = attach(&options);
  kit_pass(&kit, UINT64_C(1) << 50);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(ages_are_drawn_for_each_connection) {
  static const struct {
    uint64_t lifetime;
    uint64_t jitter;
    uint64_t least;
  } rows[] = {{10000, 3000, 7000}, {1000, 999, 1}, {1000, 0, 1000}};
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscribers[50];
  uint64_t first = UINT64_MAX;
  uint64_t last = 0;
  uint64_t ms;
  int i;

  options.heartbeat = 0;
  options.lifetime = rows[_i].lifetime;
  options.lifetime_jitter = rows[_i].jitter;
  for (i = 0; i < 50; ++i) {
    subscribers[i] = attach(&options);
  }
  for (ms = 1; ms <= rows[_i].lifetime; ++ms) {
    kit_pass(&kit, 1);
    if (kit_count(&kit, WEIR_NOTICE_CLOSING) != 0) {
      first = ms < first ? ms : first;
      last = ms;
    }
  }
  ck_assert_uint_eq(hub_info().subscribers, 0);
  ck_assert_uint_ge(first, rows[_i].least);
  ck_assert_uint_ge(last - first, (rows[_i].lifetime - rows[_i].least) / 2);
  for (i = 0; i < 50; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

/* --- What a slow client misses -------------------------------------------- */

static void publish_upto(uint64_t last) {
  char data[24];
  uint64_t seq = 0;
  weir_stream_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  for (seq = info.last; seq < last;) {
    snprintf(data, sizeof data, "%llu", (unsigned long long)seq + 1);
    seq = kit_publish(stream, "x", data);
  }
}

START_TEST(inv02_a_slow_client_is_told_of_a_gap) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  publish_upto(3);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@1 1; x@2 2; x@3 3");
  publish_upto(8);
  /* Up to the last that it has, and one more. */
  ck_assert_int_eq(weir_stream_trim(stream, 3), WEIR_OK);
  if (_i != 0) {
    ck_assert_int_eq(weir_stream_trim(stream, 4), WEIR_OK);
  }
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    _i != 0 ? "gap@4 evicted 3 5-8; x@5 5; x@6 6; x@7 7; x@8 8"
                            : "x@4 4; x@5 5; x@6 6; x@7 7; x@8 8");
  ck_assert_uint_eq(hub_info().gaps, (uint64_t)_i);
  weir_subscriber_release(subscriber);
}
END_TEST

/* what it was being shown is still there, the rest is not. */
START_TEST(race15_what_is_shown_comes_before_the_gap) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_bytes run;
  size_t count;

  publish_upto(3);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, 3), WEIR_OK);
  kit_bytes_add(&bytes, "id:", 3);
  publish_upto(9);
  ck_assert_int_eq(weir_stream_trim(stream, 7), WEIR_OK);
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
  kit_expect_text(bytes.data, bytes.len,
                  "x@1 1; x@2 2; x@3 3; gap@7 evicted 3 8-9; x@8 8; x@9 9");
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_gap_that_was_not_taken_moves_no_position) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);
  weir_bytes runs[3];
  size_t count;

  publish_upto(4);
  ck_assert_int_eq(weir_stream_trim(stream, 2), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_uint_eq(count, 2);
  ck_assert_uint_eq(info_of(subscriber).position.seq, 0);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[0].len - 1),
                   WEIR_OK);
  ck_assert_uint_eq(info_of(subscriber).position.seq, 0);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, 1), WEIR_OK);
  ck_assert_uint_eq(info_of(subscriber).position.seq, 2);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[1].len), WEIR_OK);
  ck_assert_uint_eq(info_of(subscriber).position.seq, 4);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_drop_after_a_gap_loses_and_repeats_nothing) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);
  struct kit_client client;
  weir_bytes runs[3];
  size_t count;

  publish_upto(9);
  ck_assert_int_eq(weir_stream_trim(stream, 7), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  kit_client_init(&client, kit_cursor(stream, 0));
  kit_client_feed(&client, runs[0].base, runs[0].len);
  kit_client_end(&client);
  ck_assert_str_eq(client.events[0].type, "weir.gap");
  ck_assert_str_eq(client.last_id, kit_cursor(stream, 7));
  weir_subscriber_release(subscriber);
  subscriber = kit_attach(&kit, "a", client.last_id, NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@7 resumed; x@8 8; x@9 9");
  weir_subscriber_release(subscriber);
  kit_client_free(&client);
}
END_TEST

START_TEST(signals_from_within_a_gap_come_behind_it) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  publish_upto(1);
  kit_signal(stream, "s", "after 1");
  publish_upto(5);
  kit_signal(stream, "s", "after 5");
  publish_upto(9);
  ck_assert_int_eq(weir_stream_trim(stream, 7), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "gap@7 evicted 0 8-9; s after 1; s after 5; x@8 8; x@9 9");
  weir_subscriber_release(subscriber);
}
END_TEST

/* Without memory for the gap nothing is shown, and nothing forgotten: the host
 * may try again, and is told to in a second. */
START_TEST(a_gap_for_which_there_is_no_memory_comes_later) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;

  options.heartbeat = 0;
  subscriber = attach(&options);
  publish_upto(2);
  kit_expect_notices(&kit, "s readable");
  ck_assert_int_eq(weir_stream_trim(stream, 1), WEIR_OK);
  kit.memory.fail_at = kit.memory.calls + 1;
  kit.memory.fail_on = true;
  kit_expect_frames(subscriber, WEIR_ENOMEM, "");
  kit_expect_frames(subscriber, WEIR_ENOMEM, "");
  kit.memory.fail_at = 0;
  kit_pass(&kit, 999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "gap@1 evicted 0 2-2; x@2 2");
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(race29_who_missed_the_end_is_told_on_coming_back) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = attach(&options);

  publish_upto(2);
  kit_expect_notices(&kit, "s readable");
  take(subscriber, 1);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_pass(&kit, 30000);
  kit_expect_notices(&kit, "ended 3; s abort -30");
  weir_subscriber_release(subscriber);
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 0), NULL);
  kit_expect_frames(subscriber, WEIR_EDONE,
                    "ready@0 resumed; x@1 1; x@2 2; done@3 ok");
  weir_subscriber_release(subscriber);
}
END_TEST

/* What is drawn is the upper half of SplitMix64: these are the first numbers
 * after 1234567 of its authors' program. A bound scales it. */
START_TEST(what_is_drawn_is_splitmix64) {
  static const uint32_t want[] = {1503580183, 745795716, 2285812965, 1069479744,
                                  3820500071};
  struct weir__core core = {0};
  size_t i;

  core.chance = 1234567;
  for (i = 0; i < sizeof want / sizeof want[0]; ++i) {
    ck_assert_uint_eq(weir__core_draw(&core, UINT32_MAX), want[i]);
  }
  core.chance = 1234567;
  for (i = 0; i < sizeof want / sizeof want[0]; ++i) {
    ck_assert_uint_eq(weir__core_draw(&core, 999),
                      (uint64_t)want[i] * 1000 >> 32);
  }
}
END_TEST

static TCase *heartbeats(void) {
  TCase *tcase = tcase_create("heartbeats");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, r57_a_heartbeat_every_twelve_seconds_of_silence, 0,
                      2);
  tcase_add_test(tcase, r57_zero_is_off);
  tcase_add_test(tcase, r57_no_heartbeat_after_the_end);
  tcase_add_test(tcase, race28_nor_after_the_last_frame_of_a_connection);
  tcase_add_test(tcase, every_byte_puts_the_heartbeat_off);
  tcase_add_test(tcase, a_heartbeat_gives_way_to_an_event);
  tcase_add_test(tcase, race27_no_heartbeat_while_a_frame_is_half_taken);
  tcase_add_loop_test(tcase, f13_heartbeats_of_many_do_not_coincide, 0, 2);
  tcase_add_test(tcase, what_is_drawn_is_splitmix64);
  return tcase;
}

static TCase *patience(void) {
  TCase *tcase = tcase_create("patience");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, f12_a_client_that_takes_nothing_is_cut_off, 0, 3);
  tcase_add_test(tcase, a_byte_now_and_then_is_progress);
  tcase_add_test(tcase, a_heartbeat_that_is_not_taken_is_no_progress);
  tcase_add_test(tcase, patience_without_end_is_possible);
  tcase_add_loop_test(tcase, who_does_not_take_the_close_is_cut_off, 0, 2);
  tcase_add_loop_test(tcase, who_has_left_is_not_cut_off, 0, 2);
  tcase_add_test(tcase, who_has_left_is_not_told_of_being_cut_off);
  tcase_add_test(tcase, race26_a_slow_client_is_not_an_idle_producer);
  return tcase;
}

static TCase *ages(void) {
  TCase *tcase = tcase_create("ages");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, f25_a_connection_can_be_closed_by_its_age);
  tcase_add_test(tcase, f25_but_is_not_by_default);
  tcase_add_loop_test(tcase, ages_are_drawn_for_each_connection, 0, 3);
  return tcase;
}

static TCase *gaps(void) {
  TCase *tcase = tcase_create("gaps");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, inv02_a_slow_client_is_told_of_a_gap, 0, 2);
  tcase_add_test(tcase, race15_what_is_shown_comes_before_the_gap);
  tcase_add_test(tcase, a_gap_that_was_not_taken_moves_no_position);
  tcase_add_test(tcase, a_drop_after_a_gap_loses_and_repeats_nothing);
  tcase_add_test(tcase, signals_from_within_a_gap_come_behind_it);
  tcase_add_test(tcase, a_gap_for_which_there_is_no_memory_comes_later);
  tcase_add_test(tcase, race29_who_missed_the_end_is_told_on_coming_back);
  return tcase;
}

KIT_MAIN("pace", heartbeats(), patience(), ages(), gaps())
