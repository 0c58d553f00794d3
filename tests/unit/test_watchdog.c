/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* The watchdogs of a stream: first event, idle, lifetime, abandoned. Each fires
 * at its time, once, and does what its action says. */

#include "../kit.h"

#include <stdio.h>
#include <string.h>

static struct kit kit;

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
}

static void teardown(void) {
  kit_end(&kit);
}

static weir_stream_info info_of(const weir_stream *stream) {
  weir_stream_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  return info;
}

/* The times and the actions, in the order of rows. */
enum { FIRST, IDLE, LIFETIME, ABANDONED, DOGS };

static void set(weir_open_options *options, int dog, uint64_t ms,
                int32_t action) {
  switch (dog) {
    case FIRST:
      options->first_event = ms;
      options->on_first_event = action;
      break;
    case IDLE:
      options->idle = ms;
      options->on_idle = action;
      break;
    case LIFETIME:
      options->lifetime = ms;
      options->on_lifetime = action;
      break;
    default:
      options->abandoned = ms;
      options->on_abandoned = action;
      break;
  }
}

static const char *const notices[] = {"p expired first_event", "p expired idle",
                                      "p expired lifetime", "p abandoned"};
static const char *const reasons[] = {"first_event_timeout", "idle_timeout",
                                      "lifetime_timeout", "abandoned"};

/* Every watchdog with every action: 4999 is not yet, 5000 is, and then never
 * again. */
START_TEST(each_fires_at_its_time_with_its_action) {
  const int dog = _i / 3;
  const int32_t action = _i % 3;
  const uint64_t last = dog == IDLE ? 1 : 0;
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;
  weir_subscriber *subscriber;
  char want[128];

  set(&options, dog, 5000, action);
  stream = kit_open_with(&kit, &options);
  if (dog == IDLE) {
    kit_pass(&kit, 100000); /* there is no idling before the first event */
    kit_publish(stream, "x", "y");
  }
  kit_pass(&kit, 4999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  snprintf(want, sizeof want, action == 0 ? "%s" : "%s; p ended %d",
           notices[dog], (int)last + 1);
  kit_expect_notices(&kit, want);
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(info_of(stream).status,
                   action == 0 ? WEIR_STREAM_LIVE : WEIR_STREAM_ENDED);
  ck_assert_uint_eq(info_of(stream).failed, action == WEIR_ACTION_FAIL);
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, last), NULL);
  snprintf(want, sizeof want, "ready@%d resumed%s%s%s%s%s", (int)last,
           action == WEIR_ACTION_END    ? "; done@"
           : action == WEIR_ACTION_FAIL ? "; failed@"
                                        : "",
           action == 0 ? ""
           : last == 0 ? "1"
                       : "2",
           action == 0 ? "" : " ", action == 0 ? "" : reasons[dog],
           action == WEIR_ACTION_FAIL ? " " : "");
  kit_expect_frames(subscriber, action == 0 ? WEIR_EAGAIN : WEIR_EDONE, want);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(off_is_the_default) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;

  ck_assert_uint_eq(options.first_event, 0);
  ck_assert_uint_eq(options.idle, 0);
  ck_assert_uint_eq(options.lifetime, 0);
  ck_assert_uint_eq(options.abandoned, 0);
  ck_assert_uint_eq(options.linger, 600000);
  stream = kit_open_with(&kit, &options);
  kit_pass(&kit, UINT64_C(1) << 40);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  weir_stream_release(stream);
}
END_TEST

/* R55, R56, K8: the numbers of an answer that types itself out. */
START_TEST(r55_an_answer_has_35_seconds_to_begin) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;

  weir_open_options_set_answer(&options);
  ck_assert_uint_eq(options.first_event, 35000);
  ck_assert_uint_eq(options.idle, 55000);
  stream = kit_open_with(&kit, &options);
  kit_pass(&kit, 34999);
  kit_expect_notices(&kit, "");
  if (_i != 0) {
    /* R-25: at the same tick, either, and never both. */
    kit.now += 1;
    kit_publish(stream, "x", "y");
    kit_pass(&kit, 0);
    kit_expect_notices(&kit, "");
    kit_pass(&kit, 54999);
    kit_expect_notices(&kit, "");
    ck_assert_int_eq(info_of(stream).status, WEIR_STREAM_LIVE);
  } else {
    kit_pass(&kit, 1);
    kit_expect_notices(&kit, "p expired first_event; p ended 1");
    ck_assert_uint_eq(info_of(stream).failed, 1);
  }
  weir_stream_release(stream);
}
END_TEST

START_TEST(race25_first_event_and_its_deadline_in_one_tick) {
  const weir_event event = kit_make_event("x", "y");
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;

  weir_open_options_set_answer(&options);
  stream = kit_open_with(&kit, &options);
  if (_i == 0) {
    kit.now += 35000;
    ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
    kit_pass(&kit, 0);
    kit_expect_notices(&kit, "");
    ck_assert_uint_eq(info_of(stream).last, 1);
  } else {
    kit_pass(&kit, 35000);
    ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_EENDED);
    kit_expect_notices(&kit, "p expired first_event; p ended 1");
    ck_assert_uint_eq(info_of(stream).failed, 1);
  }
  weir_stream_release(stream);
}
END_TEST

/* R56, K7: heartbeats every 12 s are no progress, nor are signals. */
START_TEST(r56_only_events_are_progress) {
  weir_open_options options = kit_open_options("a", "p");
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  weir_stream *stream;
  int i;

  weir_open_options_set_answer(&options);
  stream = kit_open_with(&kit, &options);
  kit_publish(stream, "x", "y");
  subscriber = kit_attach_with(&kit, &attach);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  for (i = 1; i <= 4; ++i) {
    kit_pass(&kit, 12000);
    kit_expect_notices(&kit, "s readable");
    kit_expect_frames(subscriber, WEIR_EAGAIN, ":");
  }
  kit_pass(&kit, 6999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "p expired idle; s closing; p ended 2");
  kit_expect_frames(subscriber, WEIR_EDONE, "failed@2 idle_timeout ");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(every_event_puts_idling_off) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;
  int i;

  options.idle = 1000;
  stream = kit_open_with(&kit, &options);
  for (i = 0; i < 50; ++i) {
    kit_publish(stream, "x", "y");
    kit_pass(&kit, 999);
    kit_signal(stream, "s", "");
  }
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "p expired idle");
  /* And an event starts it again. */
  kit_publish(stream, "x", "y");
  kit_pass(&kit, 1000);
  kit_expect_notices(&kit, "p expired idle");
  weir_stream_release(stream);
}
END_TEST

START_TEST(nothing_fires_after_the_end) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;
  int dog;

  for (dog = 0; dog < DOGS; ++dog) {
    set(&options, dog, 5000, WEIR_ACTION_FAIL);
  }
  options.linger = 20000;
  stream = kit_open_with(&kit, &options);
  kit_publish(stream, "x", "y");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_expect_notices(&kit, "p ended 2");
  kit_pass(&kit, 19999);
  kit_expect_notices(&kit, "");
  weir_stream_release(stream);
}
END_TEST

/* R31: nobody, with or without an event, and without a client. */
START_TEST(r31_a_ghost_fails_once) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;

  options.first_event = 300000;
  options.idle = 300000;
  options.on_first_event = WEIR_ACTION_FAIL;
  options.on_idle = WEIR_ACTION_FAIL;
  stream = kit_open_with(&kit, &options);
  if (_i != 0) {
    kit_publish(stream, "x", "y");
  }
  /* The producer is gone without a word. */
  weir_stream_release(stream);
  options.flags = WEIR_OPEN_LOOK;
  stream = kit_open_with(&kit, &options);
  kit_pass(&kit, 299999);
  ck_assert_int_eq(info_of(stream).status, WEIR_STREAM_LIVE);
  kit_pass(&kit, 1);
  ck_assert_int_eq(info_of(stream).status, WEIR_STREAM_ENDED);
  ck_assert_uint_eq(info_of(stream).failed, 1);
  ck_assert_uint_eq(info_of(stream).last, (uint64_t)_i + 1);
  weir_stream_release(stream);
}
END_TEST

/* R43: without a client, for so long. Whoever comes and goes starts it anew. */
START_TEST(r43_a_stream_can_notice_that_nobody_reads) {
  weir_open_options options = kit_open_options("a", "p");
  weir_subscriber *first;
  weir_subscriber *second;
  weir_stream *stream;

  options.abandoned = 1500;
  stream = kit_open_with(&kit, &options);
  kit_pass(&kit, 1499);
  first = kit_attach(&kit, "a", NULL, NULL);
  kit_pass(&kit, 10000);
  second = kit_attach(&kit, "a", NULL, NULL);
  weir_subscriber_detach(first);
  kit_pass(&kit, 10000);
  ck_assert_uint_eq(kit_count(&kit, WEIR_NOTICE_ABANDONED), 0);
  weir_subscriber_detach(second);
  kit_pass(&kit, 1499);
  kit_expect_notices(&kit, "");
  /* R-23: back at the same tick. */
  kit.now += 1;
  weir_subscriber_release(second);
  second = kit_attach(&kit, "a", NULL, NULL);
  kit_pass(&kit, 0);
  ck_assert_uint_eq(kit_count(&kit, WEIR_NOTICE_ABANDONED), 0);
  weir_subscriber_release(second);
  kit_pass(&kit, 1500);
  kit_expect_notices(&kit, "p abandoned");
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  weir_subscriber_release(first);
  weir_stream_release(stream);
}
END_TEST

/* R43, K5: detach is the default, the others are one option away. */
START_TEST(r43_what_becomes_of_the_work_is_the_hosts_choice) {
  static const int32_t actions[] = {WEIR_ACTION_NOTICE, WEIR_ACTION_END,
                                    WEIR_ACTION_FAIL};
  static const char *const want[] = {"p abandoned", "p abandoned; p ended 1",
                                     "p abandoned; p ended 1"};
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;

  options.abandoned = 1;
  options.on_abandoned = actions[_i];
  stream = kit_open_with(&kit, &options);
  weir_subscriber_release(kit_attach(&kit, "a", NULL, NULL));
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, want[_i]);
  weir_stream_release(stream);
}
END_TEST

/* R59: four of a stream do not disturb one another. */
START_TEST(r59_watchdogs_are_independent) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;
  int dog;

  for (dog = 0; dog < DOGS; ++dog) {
    set(&options, dog, (uint64_t)(dog + 1) * 1000, WEIR_ACTION_NOTICE);
  }
  stream = kit_open_with(&kit, &options);
  kit_pass(&kit, 999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "p expired first_event");
  kit_publish(stream, "x", "y");
  kit_pass(&kit, 1999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "p expired idle; p expired lifetime");
  kit_pass(&kit, 1000);
  kit_expect_notices(&kit, "p abandoned");
  kit_pass(&kit, 1000000);
  kit_expect_notices(&kit, "");
  weir_stream_release(stream);
}
END_TEST

/* R-37: a laptop that slept for an hour. Everything fires once, in the order
 * of its time. */
static struct kit_bytes told;

static void tell(void *user, const weir_notice *notice) {
  char text[64];
  int n = snprintf(text, sizeof text, "%s%s%u", told.len == 0 ? "" : " ",
                   (const char *)notice->user, notice->kind);

  (void)user;
  kit_bytes_add(&told, text, (size_t)n);
}

START_TEST(race37_a_jump_in_time_fires_all_once_in_order) {
  static const uint64_t times[] = {35000, 12000, 55000, 20000};
  static const char *const names[] = {"35:", "12:", "55:", "20:"};
  weir_open_options options = kit_open_options("", "");
  weir_attach_options attach = kit_attach_options("12", "beat:");
  weir_subscriber *subscriber;
  weir_stream *streams[4];
  char key[16];
  int i;

  weir_hub_free(kit.hub);
  kit.options.notify = tell;
  kit_hub(&kit);
  for (i = 0; i < 4; ++i) {
    snprintf(key, sizeof key, "%d", (int)times[i] / 1000);
    options.key = key;
    options.key_len = strlen(key);
    options.user = (void *)(uintptr_t)names[i];
    options.first_event = times[i];
    streams[i] = kit_open_with(&kit, &options);
  }
  attach.heartbeat = 30000;
  subscriber = kit_attach_with(&kit, &attach);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  kit_pass(&kit, 3600000);
  ck_assert_str_eq(told.data, "12:18 20:18 beat:2 35:18 55:18");
  kit_expect_frames(subscriber, WEIR_EAGAIN, ":");
  kit_pass(&kit, 3600000);
  ck_assert_str_eq(told.data, "12:18 20:18 beat:2 35:18 55:18 beat:2");
  kit_bytes_free(&told);
  weir_subscriber_release(subscriber);
  for (i = 0; i < 4; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* Within one stream too: the earlier of two decides. */
START_TEST(race37_the_earlier_watchdog_ends_the_stream) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;
  weir_subscriber *subscriber;

  options.first_event = _i == 0 ? 35000 : 55000;
  options.on_first_event = WEIR_ACTION_FAIL;
  options.lifetime = _i == 0 ? 55000 : 35000;
  options.on_lifetime = WEIR_ACTION_END;
  stream = kit_open_with(&kit, &options);
  kit_pass(&kit, 300000);
  kit_expect_notices(&kit, _i == 0 ? "p expired first_event; p ended 1"
                                   : "p expired lifetime; p ended 1");
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  kit_expect_frames(subscriber, WEIR_EDONE,
                    _i == 0 ? "ready@0 fresh; failed@1 first_event_timeout "
                            : "ready@0 fresh; done@1 lifetime_timeout");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* R-19, invariant 9: the times of a stream that was replaced are nothing to its
 * successor. */
START_TEST(inv09_stale_times_do_not_hit_the_successor) {
  weir_open_options options = kit_open_options("a", "old");
  weir_stream *old;
  weir_stream *new;
  int dog;

  for (dog = 0; dog < DOGS; ++dog) {
    set(&options, dog, 5000, WEIR_ACTION_FAIL);
  }
  options.linger = 3000;
  old = kit_open_with(&kit, &options);
  kit_pass(&kit, 4999);
  options = kit_open_options("a", "new");
  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  new = kit_open_with(&kit, &options);
  kit_expect_notices(&kit, "old cancelled; old ended 1");
  kit_pass(&kit, 1000000);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(info_of(new).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(kit_publish(new, "x", "y"), 1);
  weir_stream_release(old);
  weir_stream_release(new);
}
END_TEST

/* Who joins is told too, and does not set what another has set. */
START_TEST(the_first_open_sets_the_times) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *first;
  weir_stream *second;

  options.idle = 1000;
  options.on_idle = WEIR_ACTION_END;
  first = kit_open_with(&kit, &options);
  options = kit_open_options("a", "q");
  options.idle = 5;
  second = kit_open_with(&kit, &options);
  kit_publish(second, "x", "y");
  kit_pass(&kit, 999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit,
                     "p expired idle; q expired idle; p ended 2; q ended 2");
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* R39: an end without an event is for the host to tell apart. */
START_TEST(r39_an_end_without_events_is_visible) {
  weir_stream *stream = kit_open(&kit, "a");

  ck_assert_int_eq(weir_stream_end(stream, "no_content", 10, 0, NULL), WEIR_OK);
  ck_assert_uint_eq(info_of(stream).events, 0);
  ck_assert_uint_eq(info_of(stream).ended, 1);
  weir_stream_release(stream);
}
END_TEST

/* R41: whatever a producer does or forgets, its clients hear of an end. */
START_TEST(r41_every_way_ends_in_an_end) {
  weir_open_options options = kit_open_options("a", "p");
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  weir_stream *stream;
  struct kit_client client;
  int i;

  weir_open_options_set_answer(&options);
  stream = kit_open_with(&kit, &options);
  subscriber = kit_attach_with(&kit, &attach);
  kit_client_init(&client, "");
  for (i = 0; i < _i; ++i) {
    kit_publish(stream, "x", "y");
  }
  weir_stream_release(stream);
  for (i = 0; i < 6 && kit_client_read(&client, subscriber) == WEIR_EAGAIN;
       ++i) {
    kit_pass(&kit, 12000);
  }
  ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EDONE);
  ck_assert_str_eq(client.events[client.count - 1].type, "weir.failed");
  kit_client_free(&client);
  weir_subscriber_release(subscriber);
}
END_TEST

static TCase *dogs(void) {
  TCase *tcase = tcase_create("dogs");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, each_fires_at_its_time_with_its_action, 0, 12);
  tcase_add_test(tcase, off_is_the_default);
  tcase_add_loop_test(tcase, r55_an_answer_has_35_seconds_to_begin, 0, 2);
  tcase_add_loop_test(tcase, race25_first_event_and_its_deadline_in_one_tick, 0,
                      2);
  tcase_add_test(tcase, r56_only_events_are_progress);
  tcase_add_test(tcase, every_event_puts_idling_off);
  tcase_add_test(tcase, nothing_fires_after_the_end);
  tcase_add_loop_test(tcase, r31_a_ghost_fails_once, 0, 2);
  tcase_add_test(tcase, r43_a_stream_can_notice_that_nobody_reads);
  tcase_add_loop_test(tcase, r43_what_becomes_of_the_work_is_the_hosts_choice,
                      0, 3);
  tcase_add_test(tcase, r59_watchdogs_are_independent);
  tcase_add_test(tcase, race37_a_jump_in_time_fires_all_once_in_order);
  tcase_add_loop_test(tcase, race37_the_earlier_watchdog_ends_the_stream, 0, 2);
  tcase_add_test(tcase, inv09_stale_times_do_not_hit_the_successor);
  tcase_add_test(tcase, the_first_open_sets_the_times);
  tcase_add_test(tcase, r39_an_end_without_events_is_visible);
  tcase_add_loop_test(tcase, r41_every_way_ends_in_an_end, 0, 3);
  return tcase;
}

KIT_MAIN("watchdog", dogs())
