/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* Driving a hub: how long to sleep, when to be woken, who is told what in which
 * order, and that no call goes on for ever. */

#include "../kit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct kit kit;

static void setup(void) {
  kit_init(&kit);
  kit_hub(&kit);
}

static void teardown(void) {
  kit_end(&kit);
}

static weir_hub_info hub_info(void) {
  weir_hub_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_hub_get_info(kit.hub, &info), WEIR_OK);
  return info;
}

/* Attach one that stands at the head, with nothing to be told. */
static weir_subscriber *attach(const char *key, const char *name,
                               uint32_t heartbeat) {
  weir_attach_options options = kit_attach_options(key, name);
  weir_subscriber *subscriber;

  options.heartbeat = heartbeat;
  options.stall = 0;
  options.start = WEIR_FROM_HEAD;
  subscriber = kit_attach_with(&kit, &options);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  return subscriber;
}

/* --- Sleeping ------------------------------------------------------------- */

START_TEST(a_host_may_sleep_until_there_is_something_to_do) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;

  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  subscriber = attach("a", "s", 0);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  kit_publish(stream, "x", "y");
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), 0);
  kit_expect_notices(&kit, "s readable");
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  weir_subscriber_release(subscriber);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  weir_stream_release(stream);
}
END_TEST

/* Sleeping as long as it says wakes up exactly at each time, for every time
 * from now to far away. */
START_TEST(the_sleep_is_never_too_long) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;
  const uint64_t ms = UINT64_C(1) << _i;
  const uint64_t due = kit.now + ms;
  int sleeps = 0;
  int sleep;

  options.first_event = ms;
  stream = kit_open_with(&kit, &options);
  while (kit.now < due) {
    sleep = weir_hub_get_timeout(kit.hub);
    ck_assert_int_gt(sleep, 0);
    ck_assert_uint_le(kit.now + (uint64_t)sleep, due);
    kit_expect_notices(&kit, "");
    kit_pass(&kit, (uint64_t)sleep);
    sleeps += 1;
  }
  kit_expect_notices(&kit, "p expired first_event");
  /* One for each level of the wheel, or each INT_MAX. */
  ck_assert_int_le(sleeps, 12 + (int)(ms / INT_MAX));
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_sleep_fits_in_an_int) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;

  options.first_event = UINT64_C(1) << 60;
  stream = kit_open_with(&kit, &options);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), INT_MAX);
  weir_stream_release(stream);
}
END_TEST

START_TEST(times_at_the_end_of_time_never_come) {
  static const uint64_t times[] = {UINT64_MAX, INT64_MAX,
                                   (uint64_t)INT64_MAX - 1000000};
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;

  options.first_event = times[_i];
  options.lifetime = times[_i];
  options.linger = times[_i];
  stream = kit_open_with(&kit, &options);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  ck_assert_int_eq(weir_stream_end(stream, "", 0, 0, NULL), WEIR_OK);
  (void)kit_count(&kit, WEIR_NOTICE_ENDED);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  weir_stream_release(stream);
}
END_TEST

/* */
START_TEST(a_clock_that_steps_back_has_stood_still) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;
  int i;

  options.first_event = 1000;
  stream = kit_open_with(&kit, &options);
  kit_pass(&kit, 600);
  for (i = 0; i < 100; ++i) {
    kit.now -= 1000;
    kit_pass(&kit, 0);
    kit_expect_notices(&kit, "");
    ck_assert_int_gt(weir_hub_get_timeout(kit.hub), 0);
    ck_assert_int_le(weir_hub_get_timeout(kit.hub), 400);
  }
  kit.now += 100 * 1000;
  kit_pass(&kit, 399);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "p expired first_event");
  weir_stream_release(stream);
}
END_TEST

START_TEST(a_clock_at_the_end_of_time_is_no_harm) {
  weir_open_options options = kit_open_options("a", "p");
  weir_stream *stream;

  options.first_event = 1000;
  stream = kit_open_with(&kit, &options);
  kit.now = UINT64_MAX;
  kit_pass(&kit, 0);
  kit_expect_notices(&kit, "p expired first_event");
  kit_publish(stream, "x", "y");
  kit_pass(&kit, 0);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  weir_stream_release(stream);
  /* Also for a hub that begins there. */
  teardown();
  kit_init(&kit);
  kit.now = UINT64_MAX;
  kit_hub(&kit);
  stream = kit_open_with(&kit, &options);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  weir_stream_release(stream);
}
END_TEST

/* --- Waking up ------------------------------------------------------------ */

START_TEST(wake_is_called_once_until_the_host_has_come) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *first = attach("a", "1", 0);
  weir_subscriber *second = attach("a", "2", 0);

  (void)weir_hub_get_timeout(kit.hub);
  kit.wakes = 0;
  kit_publish(stream, "x", "y");
  ck_assert_uint_eq(kit.wakes, 1);
  kit_publish(stream, "x", "y");
  kit_signal(stream, "s", "");
  ck_assert_int_eq(weir_subscriber_close(second, NULL, 0, 0), WEIR_OK);
  ck_assert_uint_eq(kit.wakes, 1);
  if (_i == 0) {
    kit_expect_notices(&kit, "1 readable; 2 closing");
  } else {
    kit_pass(&kit, 0);
    kit_expect_notices(&kit, "1 readable; 2 closing");
  }
  ck_assert_uint_eq(kit.wakes, 1);
  ck_assert_int_eq(kit_skip(first), WEIR_EAGAIN);
  kit_publish(stream, "x", "y");
  ck_assert_uint_eq(kit.wakes, 2);
  weir_subscriber_release(first);
  weir_subscriber_release(second);
  weir_stream_release(stream);
}
END_TEST

START_TEST(everything_that_makes_work_wakes) {
  weir_attach_options options = kit_attach_options("a", "s");
  const weir_event own = kit_make_event("x", "y");
  weir_event tagged = own;
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = attach("a", "s", 0);
  weir_subscriber *other = NULL;

  tagged.tag = 1;
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  kit.wakes = 0;
  switch (_i) {
    case 0:
      kit_publish(stream, "x", "y");
      break;
    case 1:
      kit_signal(stream, "x", "y");
      break;
    case 2:
      ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
      break;
    case 3:
      ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
      break;
    case 4:
      ck_assert_int_eq(weir_stream_end(stream, "", 0, 0, NULL), WEIR_OK);
      break;
    case 5:
      ck_assert_int_eq(weir_stream_cancel(stream, NULL, 0), WEIR_OK);
      break;
    case 6:
      other = kit_attach_with(&kit, &options);
      break;
    case 7:
      ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 0), WEIR_OK);
      break;
    default:
      ck_assert_int_eq(weir_stream_publish(stream, &tagged, 1, NULL), WEIR_OK);
      break;
  }
  ck_assert_uint_eq(kit.wakes, 1);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), 0);
  weir_subscriber_release(other);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* Time does not wake: the host knows it from the timeout. */
START_TEST(time_wakes_nobody) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = attach("a", "s", 1000);
  int i;

  kit_expect_notices(&kit, "");
  kit.wakes = 0;
  for (i = 0; i < 10; ++i) {
    kit.now += 1000;
    ck_assert_int_eq(weir_hub_get_timeout(kit.hub), 0);
    if (_i == 0) {
      kit_pass(&kit, 0);
    }
    kit_expect_notices(&kit, "s readable");
    kit_expect_frames(subscriber, WEIR_EAGAIN, ":");
  }
  ck_assert_uint_eq(kit.wakes, 0);
  kit_publish(stream, "x", "y");
  ck_assert_uint_eq(kit.wakes, 1);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* Who sleeps in one thread while others call has to be told that the time is
 * nearer, of which there is no notice. */
START_TEST(a_nearer_deadline_wakes) {
  static const struct {
    uint64_t lifetime;
    unsigned wakes;
  } rows[] = {{50000, 1}, {60000, 0}, {50000, 0}, {40000, 1}, {1, 1}};
  weir_open_options options = kit_open_options("a", "a");
  weir_stream *streams[6];
  char key[] = "a";
  unsigned i;

  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  kit.wakes = 0;
  for (i = 0; i < 5; ++i) {
    key[0] = (char)('a' + i);
    options.key = key;
    options.lifetime = rows[i].lifetime;
    streams[i] = kit_open_with(&kit, &options);
    ck_assert_uint_eq(kit.wakes, rows[i].wakes);
    kit.wakes = 0;
    /* Once is enough, until it asks again. */
    ck_assert_int_gt(weir_hub_get_timeout(kit.hub), 0);
    ck_assert_uint_eq(kit.wakes, 0);
  }
  /* Whoever is awake is not woken. */
  kit_expect_notices(&kit, "");
  key[0] = 'z';
  options.lifetime = 1;
  streams[5] = kit_open_with(&kit, &options);
  ck_assert_uint_eq(kit.wakes, 0);
  for (i = 0; i < 6; ++i) {
    ck_assert_int_eq(weir_stream_end(streams[i], "", 0, 0, NULL), WEIR_OK);
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* --- Telling -------------------------------------------------------------- */

START_TEST(without_a_callback_notices_wait) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = attach("a", "s", 0);

  kit_publish(stream, "x", "y");
  kit_pass(&kit, 0);
  kit_pass(&kit, 0);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), 0);
  kit_expect_notices(&kit, "s readable");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(next_says_when_there_is_none) {
  weir_notice notice;

  memset(&notice, 0x55, sizeof notice);
  notice.size = 0;
  ck_assert_int_eq(weir_hub_next(kit.hub, &notice), WEIR_EINVAL);
  notice.size = sizeof notice.size;
  ck_assert_int_eq(weir_hub_next(kit.hub, &notice), WEIR_EINVAL);
  ck_assert_int_eq(weir_hub_next(kit.hub, NULL), WEIR_EINVAL);
  notice.size = sizeof notice;
  ck_assert_int_eq(weir_hub_next(kit.hub, &notice), WEIR_EAGAIN);
  ck_assert_int_eq(notice.kind, 0x55555555);
}
END_TEST

START_TEST(notices_come_in_the_order_of_what_happened) {
  weir_open_options options = kit_open_options("b", "b");
  weir_stream *a = kit_open(&kit, "a");
  weir_stream *b = kit_open_with(&kit, &options);
  weir_subscriber *first = attach("a", "1", 0);
  weir_subscriber *second = attach("b", "2", 0);
  weir_subscriber *third = attach("a", "3", 0);

  kit_publish(b, "x", "y");
  kit_publish(a, "x", "y");
  ck_assert_int_eq(weir_stream_end(b, "", 0, 0, NULL), WEIR_OK);
  kit_expect_notices(&kit, "2 closing; 1 readable; 3 readable; b ended 2");
  weir_subscriber_release(first);
  weir_subscriber_release(second);
  weir_subscriber_release(third);
  weir_stream_release(a);
  weir_stream_release(b);
}
END_TEST

/* A producer who publishes on being told that an event is stored. */
static struct {
  weir_stream *stream;
  unsigned notices;
  unsigned events;
  int again; /* what weir_hub_run said inside */
} busy;

static void publish_again(void *user, const weir_notice *notice) {
  weir_event event = kit_make_event("x", "y");

  (void)user;
  ck_assert_int_eq(notice->kind, WEIR_NOTICE_STORED);
  busy.notices += 1;
  if (busy.events < 20000) {
    busy.events += 1;
    event.tag = busy.events;
    ck_assert_int_eq(weir_stream_publish(busy.stream, &event, 1, NULL),
                     WEIR_OK);
  }
  busy.again = weir_hub_run(kit.hub);
}

START_TEST(run_comes_to_an_end_though_its_callback_does_not) {
  weir_event event = kit_make_event("x", "y");
  unsigned runs = 0;

  weir_hub_free(kit.hub);
  kit.options.notify = publish_again;
  kit_hub(&kit);
  memset(&busy, 0, sizeof busy);
  busy.stream = kit_open(&kit, "a");
  event.tag = 1;
  ck_assert_int_eq(weir_stream_publish(busy.stream, &event, 1, NULL), WEIR_OK);
  for (; weir_hub_get_timeout(kit.hub) == 0; ++runs) {
    const unsigned before = busy.notices;

    kit_pass(&kit, 0);
    ck_assert_uint_le(busy.notices - before, 8192);
    ck_assert_int_eq(busy.again, WEIR_EBUSY);
  }
  ck_assert_uint_eq(busy.notices, 20001);
  ck_assert_uint_ge(runs, 3);
  weir_stream_release(busy.stream);
}
END_TEST

/* Everybody gets his turn, also beside one who has always more to say. */
static unsigned turns[2];

static void count_turns(void *user, const weir_notice *notice) {
  (void)user;
  turns[notice->user != NULL] += 1;
}

START_TEST(who_has_much_to_say_does_not_keep_others_waiting) {
  weir_open_options options = kit_open_options("a", NULL);
  weir_event event = kit_make_event("x", "y");
  weir_stream *one;
  weir_stream *other;
  int i;

  weir_hub_free(kit.hub);
  kit.options.notify = count_turns;
  kit_hub(&kit);
  one = kit_open_with(&kit, &options);
  options = kit_open_options("b", "b");
  other = kit_open_with(&kit, &options);
  event.tag = 1;
  for (i = 0; i < 10000; ++i) {
    ck_assert_int_eq(weir_stream_publish(one, &event, 1, NULL), WEIR_OK);
  }
  ck_assert_int_eq(weir_stream_publish(other, &event, 1, NULL), WEIR_OK);
  kit_pass(&kit, 0);
  ck_assert_uint_eq(turns[1], 1);
  ck_assert_uint_lt(turns[0], 10000);
  while (weir_hub_get_timeout(kit.hub) == 0) {
    kit_pass(&kit, 0);
  }
  ck_assert_uint_eq(turns[0], 10000);
  weir_stream_release(one);
  weir_stream_release(other);
}
END_TEST

/* Five thousand heartbeats in one millisecond: a few thousand a call, none
 * forgotten, none twice. */
START_TEST(many_timers_of_one_tick_take_several_turns) {
  enum { MANY = 5000 };
  weir_subscriber **subscribers = malloc(MANY * sizeof(weir_subscriber *));
  weir_stream *stream = kit_open(&kit, "a");
  size_t told = 0;
  unsigned calls = 0;
  int i;

  ck_assert_ptr_nonnull(subscribers);
  for (i = 0; i < MANY; ++i) {
    subscribers[i] = attach("a", NULL, 1000);
  }
  kit.now += 1000;
  for (; weir_hub_get_timeout(kit.hub) == 0; ++calls) {
    kit_pass(&kit, 0);
    told += kit_count(&kit, WEIR_NOTICE_READABLE);
  }
  ck_assert_uint_eq(told, MANY);
  for (i = 0; i < MANY; ++i) {
    kit_expect_frames(subscribers[i], WEIR_EAGAIN, ":");
    weir_subscriber_release(subscribers[i]);
  }
  ck_assert_uint_eq(hub_info().heartbeats, MANY);
  weir_stream_release(stream);
  free(subscribers);
}
END_TEST

START_TEST(one_run_does_a_bounded_part_of_it) {
  enum { MANY = 5000 };
  weir_subscriber **subscribers = malloc(MANY * sizeof(weir_subscriber *));
  weir_stream *stream = kit_open(&kit, "a");
  unsigned runs = 0;
  int i;

  weir_stream_release(stream);
  weir_hub_free(kit.hub);
  kit.options.notify = count_turns;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  ck_assert_ptr_nonnull(subscribers);
  for (i = 0; i < MANY; ++i) {
    subscribers[i] = attach("a", NULL, 1000);
  }
  kit.now += 1000;
  turns[0] = 0;
  for (; weir_hub_get_timeout(kit.hub) == 0; ++runs) {
    const unsigned before = turns[0];

    kit_pass(&kit, 0);
    ck_assert_uint_le(turns[0] - before, 2500);
  }
  ck_assert_uint_eq(turns[0], MANY);
  for (i = 0; i < MANY; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  weir_stream_release(stream);
  free(subscribers);
}
END_TEST

/* A host that takes one notice at a time still sees time pass. */
START_TEST(time_passes_also_while_there_are_notices) {
  weir_open_options options = kit_open_options("b", "b");
  weir_event event = kit_make_event("x", "y");
  weir_stream *stream = kit_open(&kit, "a");
  weir_stream *watched;
  weir_notice notice;
  int i;

  options.first_event = 1000;
  watched = kit_open_with(&kit, &options);
  event.tag = 1;
  for (i = 0; i < 1000; ++i) {
    ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_OK);
  }
  kit.now += 1000;
  for (i = 0; i < 200; ++i) {
    notice = kit_next(&kit);
    if (notice.kind == WEIR_NOTICE_EXPIRED) {
      break;
    }
  }
  ck_assert_int_lt(i, 200);
  weir_stream_release(stream);
  weir_stream_release(watched);
}
END_TEST

static TCase *sleeps(void) {
  TCase *tcase = tcase_create("sleeps");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, a_host_may_sleep_until_there_is_something_to_do);
  tcase_add_loop_test(tcase, the_sleep_is_never_too_long, 0, 40);
  tcase_add_test(tcase, a_sleep_fits_in_an_int);
  tcase_add_loop_test(tcase, times_at_the_end_of_time_never_come, 0, 3);
  tcase_add_test(tcase, a_clock_that_steps_back_has_stood_still);
  tcase_add_test(tcase, a_clock_at_the_end_of_time_is_no_harm);
  return tcase;
}

static TCase *wakes(void) {
  TCase *tcase = tcase_create("wakes");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, wake_is_called_once_until_the_host_has_come, 0, 2);
  tcase_add_loop_test(tcase, everything_that_makes_work_wakes, 0, 9);
  tcase_add_loop_test(tcase, time_wakes_nobody, 0, 2);
  tcase_add_test(tcase, a_nearer_deadline_wakes);
  return tcase;
}

static TCase *tells(void) {
  TCase *tcase = tcase_create("tells");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, without_a_callback_notices_wait);
  tcase_add_test(tcase, next_says_when_there_is_none);
  tcase_add_test(tcase, notices_come_in_the_order_of_what_happened);
  tcase_add_test(tcase, run_comes_to_an_end_though_its_callback_does_not);
  tcase_add_test(tcase, who_has_much_to_say_does_not_keep_others_waiting);
  tcase_add_test(tcase, many_timers_of_one_tick_take_several_turns);
  tcase_add_test(tcase, one_run_does_a_bounded_part_of_it);
  tcase_add_test(tcase, time_passes_also_while_there_are_notices);
  return tcase;
}

KIT_MAIN("run", sleeps(), wakes(), tells())
