/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* A subscriber handle without a log: what it shows, how its bytes are taken,
 * and when the host is told. */

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
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

static weir_subscriber_info info_of(const weir_subscriber *subscriber) {
  weir_subscriber_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_subscriber_get_info(subscriber, &info), WEIR_OK);
  return info;
}

/* Attach one that has taken its greeting, and stands at the head. */
static weir_subscriber *attach_at_head(void) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;

  options.start = WEIR_FROM_HEAD;
  options.heartbeat = 0;
  subscriber = kit_attach_with(&kit, &options);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  kit_expect_notices(&kit, "");
  return subscriber;
}

static void publish_many(int count) {
  char data[16];
  int i;

  for (i = 0; i < count; ++i) {
    snprintf(data, sizeof data, "%d", i);
    kit_publish(stream, "x", data);
  }
}

/* What all runs of bytes show, without consuming. */
static int look(weir_subscriber *subscriber, struct kit_bytes *bytes) {
  weir_bytes runs[8];
  size_t count = 0;
  size_t i;
  int rv = weir_subscriber_peek(subscriber, runs, 8, &count);

  bytes->len = 0;
  kit_bytes_add(bytes, NULL, 0);
  for (i = 0; rv == WEIR_OK && i < count; ++i) {
    ck_assert_uint_ne(runs[i].len, 0);
    kit_bytes_add(bytes, runs[i].base, runs[i].len);
  }
  return rv;
}

/* --- Taking bytes --------------------------------------------------------- */

/* Events, signals and an end: more runs than can be shown at once. */
static weir_subscriber *mixed(void) {
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  kit_signal(stream, "s", "0");
  publish_many(40);
  kit_signal(stream, "s", "1");
  kit_signal(stream, "s", "2");
  publish_many(3);
  kit_signal(stream, "s", "3");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  return subscriber;
}

/* At most n bytes, by peek and consume or by read. */
static int take(weir_subscriber *subscriber, struct kit_bytes *bytes, size_t n,
                bool by_read) {
  char buffer[256];
  weir_bytes runs[3];
  size_t count;
  size_t len;
  size_t i;
  int rv;

  if (by_read) {
    rv = weir_subscriber_read(subscriber, buffer, n, &len);
    if (rv == WEIR_OK) {
      ck_assert(len >= 1 && len <= n);
      kit_bytes_add(bytes, buffer, len);
    }
    return rv;
  }
  rv = weir_subscriber_peek(subscriber, runs, 3, &count);
  for (i = 0, len = 0; rv == WEIR_OK && i < count && n != 0; ++i) {
    runs[i].len = runs[i].len < n ? runs[i].len : n;
    kit_bytes_add(bytes, runs[i].base, runs[i].len);
    len += runs[i].len;
    n -= runs[i].len;
  }
  return rv == WEIR_OK ? weir_subscriber_consume(subscriber, len) : rv;
}

START_TEST(any_number_of_bytes_can_be_taken) {
  struct kit_bytes whole = {NULL, 0, 0};
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_subscriber *subscriber = mixed();
  int turn = 0;
  int rv;

  ck_assert_int_eq(kit_pull(subscriber, &whole), WEIR_EDONE);
  weir_subscriber_release(subscriber);
  /* Again, with the same random bits, and so the same names. */
  teardown();
  setup();
  subscriber = mixed();
  do {
    rv = take(subscriber, &bytes, (size_t)_i, ++turn % 2 == 0);
    ck_assert_uint_eq(info_of(subscriber).bytes, bytes.len);
  } while (rv == WEIR_OK);
  ck_assert_int_eq(rv, WEIR_EDONE);
  ck_assert_uint_eq(bytes.len, whole.len);
  ck_assert_mem_eq(bytes.data, whole.data, whole.len);
  ck_assert_uint_eq(info_of(subscriber).events, 44);
  kit_bytes_free(&bytes);
  kit_bytes_free(&whole);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_mixed_run_says_what_it_should) {
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  kit_signal(stream, "s", "0");
  publish_many(2);
  kit_signal(stream, "s", "1");
  kit_signal(stream, "s", "2");
  publish_many(1);
  kit_signal(stream, "s", "3");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EDONE,
                    "ready@0 fresh; s 0; x@1 0; x@2 1; s 1; s 2; x@3 0; s 3; "
                    "done@4 ok");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(looking_again_shows_the_same_bytes_and_more) {
  weir_subscriber *subscriber = attach_at_head();
  weir_bytes before[3];
  weir_bytes after[3];
  size_t count;

  publish_many(1);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, before, 3, &count),
                   WEIR_OK);
  ck_assert_uint_eq(count, 1);
  publish_many(1);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, after, 3, &count), WEIR_OK);
  ck_assert_uint_eq(count, 2);
  ck_assert_ptr_eq(after[0].base, before[0].base);
  ck_assert_uint_eq(after[0].len, before[0].len);
  ck_assert_uint_eq(info_of(subscriber).shown, after[0].len + after[1].len);
  /* Fewer runs than there are. */
  ck_assert_int_eq(weir_subscriber_peek(subscriber, after, 1, &count), WEIR_OK);
  ck_assert_uint_eq(count, 1);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@1 0; x@2 0");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(more_than_was_shown_cannot_be_consumed) {
  weir_subscriber *subscriber = attach_at_head();
  weir_bytes runs[3];
  size_t count;
  size_t len;

  ck_assert_int_eq(weir_subscriber_consume(subscriber, 1), WEIR_EINVAL);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, 0), WEIR_OK);
  publish_many(1);
  kit_signal(stream, "s", "");
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 1, &count), WEIR_OK);
  len = (size_t)info_of(subscriber).shown;
  ck_assert_int_eq(weir_subscriber_consume(subscriber, len + 1), WEIR_EINVAL);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, SIZE_MAX), WEIR_EINVAL);
  ck_assert_uint_eq(info_of(subscriber).shown, len);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, len), WEIR_OK);
  ck_assert_uint_eq(info_of(subscriber).shown, 0);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(no_room_is_an_error_whatever_there_is) {
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  weir_bytes run;
  size_t count = 77;
  size_t len = 77;
  int i;

  for (i = 0; i < 2; ++i) {
    ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 0, &count),
                     WEIR_EINVAL);
    ck_assert_int_eq(weir_subscriber_read(subscriber, NULL, 0, &len),
                     WEIR_EINVAL);
    ck_assert_uint_eq(count, 77);
    ck_assert_uint_eq(len, 77);
    kit_expect_frames(subscriber, WEIR_EAGAIN, i == 0 ? "ready@0 fresh" : "");
  }
  weir_subscriber_release(subscriber);
}
END_TEST

/* R16, invariant 6. Whatever comes up while a client has taken n bytes of what
 * was shown stands behind the rest: for every n. */
START_TEST(r16_inv06_nothing_is_put_into_what_was_shown) {
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_event own = kit_make_event("own", "");
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  size_t whole;
  size_t n;

  for (n = 0, whole = 1; n <= whole; ++n) {
    teardown();
    setup();
    options.stall = 0;
    subscriber = kit_attach_with(&kit, &options);
    publish_many(3);
    ck_assert_int_eq(look(subscriber, &bytes), WEIR_OK);
    whole = bytes.len;
    ck_assert_int_eq(weir_subscriber_consume(subscriber, n), WEIR_OK);
    bytes.len = n;
    kit_pass(&kit, 12000);
    kit_publish(stream, "x", "late");
    kit_signal(stream, "all", "");
    ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
    ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
    kit_pass(&kit, 12000);
    ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
    ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EDONE);
    kit_expect_text(bytes.data, bytes.len,
                    "ready@0 fresh; x@1 0; x@2 1; x@3 2; x@4 late; all; own; "
                    "closing expired");
    weir_subscriber_release(subscriber);
  }
  ck_assert_uint_gt(whole, 100);
  kit_bytes_free(&bytes);
}
END_TEST

/* Shown bytes stay where they are, whatever goes. */
START_TEST(shown_bytes_stay_until_the_release) {
  struct kit_bytes want = {NULL, 0, 0};
  weir_subscriber *subscriber = mixed();
  weir_bytes runs[3];
  size_t count;
  size_t i;

  ck_assert_int_eq(look(subscriber, &want), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_uint_eq(count, 3);
  ck_assert_int_eq(weir_stream_trim(stream, 44), WEIR_OK);
  weir_stream_release(stream);
  stream = NULL;
  if (_i & 1) {
    weir_subscriber_detach(subscriber);
  }
  if (_i & 2) {
    kit_pass(&kit, 600000); /* the generation is forgotten */
  }
  if (_i & 4) {
    weir_hub_free(kit.hub);
    kit.hub = NULL;
  }
  for (i = 0; i < count; ++i) {
    ck_assert_mem_eq(runs[i].base, want.data, runs[i].len);
    memmove(want.data, want.data + runs[i].len, want.len - runs[i].len);
    want.len -= runs[i].len;
  }
  /* And they can still be asked for and consumed, with nothing behind. */
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_uint_eq(count, 3);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, 5), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[0].len - 5),
                   WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[1].len), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[2].len), WEIR_OK);
  if (_i != 0) {
    ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count),
                     WEIR_EGONE);
  } else {
    kit_expect_frames(subscriber, WEIR_EDONE,
                      "s 1; s 2; gap@44 evicted 40 45-44; s 3");
  }
  weir_subscriber_release(subscriber);
  kit_bytes_free(&want);
}
END_TEST

/* The position is that of the last event of which every byte was consumed. */
START_TEST(the_position_follows_what_was_consumed) {
  struct kit_client client;
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  char text[WEIR_CURSOR_MAX + 1];
  weir_subscriber_info info;
  size_t len;
  size_t n = 0;

  publish_many(12);
  kit_signal(stream, "s", "");
  kit_client_init(&client, "");
  while (look(subscriber, &bytes) == WEIR_OK) {
    kit_client_feed(&client, bytes.data, 1);
    ck_assert_int_eq(weir_subscriber_consume(subscriber, 1), WEIR_OK);
    info = info_of(subscriber);
    ck_assert_int_eq(weir_cursor_format(&info.position, WEIR_CURSOR_EPOCH, text,
                                        sizeof text, &len),
                     WEIR_OK);
    text[len] = '\0';
    if (client.count != 0) {
      ck_assert_str_eq(text, client.last_id);
    }
    ck_assert_uint_eq(info.bytes, ++n);
    ck_assert_uint_eq(info.events, info.position.seq);
  }
  ck_assert_uint_eq(info_of(subscriber).position.seq, 12);
  kit_client_free(&client);
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(what_is_known_stays_known) {
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  const uint64_t epoch = subscriber->generation->history.epochs[0].epoch;
  weir_subscriber_info info = info_of(subscriber);
  char buffer[1024];
  size_t len;

  publish_many(3);
  ck_assert_int_eq(info.verdict, WEIR_VERDICT_FRESH);
  ck_assert_int_eq(info.error, WEIR_OK);
  ck_assert_uint_eq(info.attached, 1);
  ck_assert_uint_eq(info.generation, epoch);
  ck_assert_uint_eq(info.position.epoch, epoch);
  ck_assert_uint_eq(info.position.seq, 0);
  ck_assert_int_eq(
      weir_subscriber_read(subscriber, buffer, sizeof buffer, &len), WEIR_OK);
  if (_i == 0) {
    weir_subscriber_detach(subscriber);
  } else {
    ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  }
  info = info_of(subscriber);
  ck_assert_int_eq(info.verdict, WEIR_VERDICT_FRESH);
  ck_assert_uint_eq(info.attached, 0);
  ck_assert_uint_eq(info.generation, epoch);
  ck_assert_uint_eq(info.position.epoch, epoch);
  ck_assert_uint_eq(info.position.seq, 3);
  weir_subscriber_release(subscriber);
}
END_TEST

/* --- Notices -------------------------------------------------------------- */

START_TEST(one_notice_says_that_there_is_something_again) {
  weir_subscriber *subscriber = attach_at_head();

  publish_many(3);
  kit_signal(stream, "s", "");
  kit_expect_notices(&kit, "s readable");
  publish_many(2);
  kit_expect_notices(&kit, "");
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "x@1 0; x@2 1; x@3 2; s; x@4 0; x@5 1");
  kit_expect_notices(&kit, "");
  kit_signal(stream, "s", "");
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "s");
  weir_subscriber_release(subscriber);
  kit_expect_notices(&kit, "");
}
END_TEST

START_TEST(an_attach_is_followed_by_one_notice) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber = kit_attach_with(&kit, &options);

  publish_many(2);
  kit_expect_notices(&kit, "s readable");
  kit_expect_notices(&kit, "");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh; x@1 0; x@2 1");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(who_pulls_unasked_is_not_told_of_what_he_took) {
  weir_subscriber *subscriber = attach_at_head();

  publish_many(1);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), 0);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@1 0");
  kit_expect_notices(&kit, "");
  publish_many(1);
  kit_expect_notices(&kit, "s readable");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(who_has_not_pulled_to_the_end_is_not_told) {
  weir_subscriber *subscriber = attach_at_head();
  struct kit_bytes bytes = {NULL, 0, 0};

  publish_many(1);
  kit_expect_notices(&kit, "s readable");
  ck_assert_int_eq(look(subscriber, &bytes), WEIR_OK);
  publish_many(1);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(weir_subscriber_consume(subscriber, bytes.len), WEIR_OK);
  publish_many(1);
  kit_expect_notices(&kit, "");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@2 0; x@3 0");
  publish_many(1);
  kit_expect_notices(&kit, "s readable");
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(everybody_is_told_once) {
  weir_subscriber *subscribers[100];
  int i;

  for (i = 0; i < 100; ++i) {
    subscribers[i] = attach_at_head();
  }
  publish_many(5);
  ck_assert_uint_eq(kit_count(&kit, WEIR_NOTICE_READABLE), 100);
  ck_assert_uint_eq(kit_count(&kit, WEIR_NOTICE_READABLE), 0);
  for (i = 0; i < 100; ++i) {
    kit_expect_frames(subscribers[i], WEIR_EAGAIN,
                      "x@1 0; x@2 1; x@3 2; x@4 3; x@5 4");
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

/* One of many things at random, and what it means for who waits. */
struct model {
  weir_subscriber *subscriber;
  uint64_t chance;
  enum {
    ASLEEP,  /* the last pull said that there is nothing */
    NOTICED, /* since then a notice said that there is something */
    PULLING  /* the last pull gave something */
  } state;
  size_t notices;
};

static uint32_t draw(struct model *model, uint32_t bound) {
  model->chance = model->chance * UINT64_C(6364136223846793005) + 1442695041;
  return (uint32_t)(model->chance >> 33) % bound;
}

static void take_notices(struct model *model) {
  weir_notice notice;

  for (notice = kit_next(&kit); notice.kind != 0; notice = kit_next(&kit)) {
    ck_assert_int_eq(notice.kind, WEIR_NOTICE_READABLE);
    ck_assert_ptr_eq(notice.subscriber, model->subscriber);
    ck_assert_int_eq(model->state, ASLEEP);
    model->state = NOTICED;
    model->notices += 1;
  }
}

/* What a pull said, against what was known. */
static void pulled(struct model *model, int rv) {
  ck_assert(rv == WEIR_OK || rv == WEIR_EAGAIN);
  if (model->state == NOTICED) {
    ck_assert_int_eq(rv, WEIR_OK);
  }
  model->state = rv == WEIR_OK ? PULLING : ASLEEP;
}

static void pull_some(struct model *model) {
  struct kit_bytes bytes = {NULL, 0, 0};

  pulled(model, take(model->subscriber, &bytes, 1 + draw(model, 200),
                     draw(model, 2) == 0));
  kit_bytes_free(&bytes);
}

static void step(struct model *model) {
  const weir_event own = kit_make_event("own", "");
  weir_bytes runs[3];
  size_t count;

  switch (draw(model, 8)) {
    case 0:
      publish_many(1 + (int)draw(model, 3));
      break;
    case 1:
      kit_signal(stream, "s", "");
      break;
    case 2:
      (void)weir_subscriber_signal(model->subscriber, &own);
      break;
    case 3:
      kit_pass(&kit, draw(model, 9000));
      break;
    case 4:
      take_notices(model);
      break;
    case 5:
      pulled(model, weir_subscriber_peek(model->subscriber, runs,
                                         1 + draw(model, 3), &count));
      break;
    default:
      pull_some(model);
      break;
  }
}

START_TEST(a_wakeup_is_neither_lost_nor_doubled) {
  weir_attach_options options = kit_attach_options("a", "s");
  struct model model = {NULL, (uint64_t)_i, ASLEEP, 0};
  struct kit_bytes bytes = {NULL, 0, 0};
  int i;

  options.stall = 0;
  model.subscriber = kit_attach_with(&kit, &options);
  for (i = 0; i < 2000; ++i) {
    step(&model);
    if (draw(&model, 10) == 0) {
      /* What is there is known, or makes itself known. */
      take_notices(&model);
      if (model.state == ASLEEP) {
        ck_assert_int_eq(look(model.subscriber, &bytes), WEIR_EAGAIN);
      }
    }
  }
  ck_assert_uint_gt(model.notices, 5);
  kit_bytes_free(&bytes);
  weir_subscriber_release(model.subscriber);
}
END_TEST

/* --- Signals -------------------------------------------------------------- */

START_TEST(a_signal_never_comes_from_before_the_attach) {
  weir_subscriber *early = attach_at_head();
  weir_subscriber *late;

  kit_signal(stream, "s", "early");
  late = kit_attach(&kit, "a", NULL, NULL);
  kit_signal(stream, "s", "late");
  kit_expect_frames(late, WEIR_EAGAIN, "ready@0 fresh; s late");
  kit_expect_frames(early, WEIR_EAGAIN, "s early; s late");
  weir_subscriber_release(early);
  weir_subscriber_release(late);
}
END_TEST

START_TEST(a_signal_comes_after_the_event_before_it_also_in_a_replay) {
  weir_subscriber *subscriber;

  publish_many(3);
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 1), NULL);
  kit_signal(stream, "s", "after 3");
  publish_many(2);
  kit_signal(stream, "s", "after 5");
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "ready@1 resumed; x@2 1; x@3 2; s after 3; x@4 0; x@5 1; "
                    "s after 5");
  weir_subscriber_release(subscriber);
}
END_TEST

/* A ring of four: what falls off is dropped and counted. */
START_TEST(the_ring_of_signals_has_a_limit) {
  static const char *const want[] = {"s 0; s 1; s 2", "s 0; s 1; s 2; s 3",
                                     "s 1; s 2; s 3; s 4"};
  weir_subscriber *slow;
  weir_subscriber *quick;
  weir_hub_info hub_info;
  weir_stream_info info;
  char data[2] = "0";
  int count = _i + 3;

  weir_stream_release(stream);
  weir_hub_free(kit.hub);
  kit.options.signal_ring = 4;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  slow = attach_at_head();
  quick = attach_at_head();
  for (; *data < '0' + count; ++*data) {
    kit_signal(stream, "s", data);
    ck_assert_int_eq(kit_skip(quick), WEIR_EAGAIN);
  }
  kit_expect_frames(slow, WEIR_EAGAIN, want[_i]);
  ck_assert_uint_eq(info_of(slow).dropped, count == 5);
  ck_assert_uint_eq(info_of(quick).dropped, 0);
  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  ck_assert_uint_eq(info.dropped, count == 5);
  hub_info.size = sizeof hub_info;
  ck_assert_int_eq(weir_hub_get_info(kit.hub, &hub_info), WEIR_OK);
  ck_assert_uint_eq(hub_info.dropped, count == 5);
  weir_subscriber_release(slow);
  weir_subscriber_release(quick);
}
END_TEST

START_TEST(what_is_shown_of_a_signal_outlives_the_ring) {
  weir_subscriber *subscriber = attach_at_head();
  struct kit_bytes bytes = {NULL, 0, 0};
  int i;

  kit_signal(stream, "s", "first");
  ck_assert_int_eq(look(subscriber, &bytes), WEIR_OK);
  for (i = 0; i < 100; ++i) {
    kit_signal(stream, "s", "");
  }
  weir_subscriber_detach(subscriber);
  kit_expect_frames(subscriber, WEIR_EGONE, "s first");
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_signal_can_go_to_one) {
  const weir_event own = kit_make_event("own", "");
  weir_subscriber *one = attach_at_head();
  weir_subscriber *other = attach_at_head();

  ck_assert_int_eq(weir_subscriber_signal(one, &own), WEIR_OK);
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(one, WEIR_EAGAIN, "own");
  kit_expect_frames(other, WEIR_EAGAIN, "");
  weir_subscriber_detach(one);
  ck_assert_int_eq(weir_subscriber_signal(one, &own), WEIR_EGONE);
  weir_subscriber_release(one);
  weir_subscriber_release(other);
}
END_TEST

START_TEST(a_signal_to_one_keeps_its_place) {
  const weir_event own = kit_make_event("own", "");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  publish_many(1);
  kit_signal(stream, "s", "1");
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
  kit_signal(stream, "s", "2");
  publish_many(1);
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
  kit_signal(stream, "s", "3");
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "ready@0 fresh; x@1 0; s 1; own; s 2; x@2 0; own; s 3");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(signals_to_one_have_a_limit) {
  weir_event own = kit_make_event("own", "");
  weir_subscriber *subscriber;
  weir_subscriber *other;
  int i;

  weir_stream_release(stream);
  weir_hub_free(kit.hub);
  kit.options.signal_ring = (uint32_t)_i;
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
  /* What weir itself has to say first is none of them. */
  other = kit_attach(&kit, "a", NULL, NULL);
  for (i = 0; i < _i && i < 255; ++i) {
    ck_assert_int_eq(weir_subscriber_signal(other, &own), WEIR_OK);
  }
  ck_assert_int_eq(weir_subscriber_signal(other, &own), WEIR_EPENDING);
  weir_subscriber_release(other);
  subscriber = attach_at_head();
  for (i = 0; i < _i && i < 255; ++i) {
    ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
  }
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_EPENDING);
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
  own = kit_make_event("open", "");
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own),
                   _i == 1 ? WEIR_EPENDING : WEIR_ERESERVED);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(a_signal_at_the_end_comes_before_it) {
  weir_subscriber *subscriber = attach_at_head();
  const weir_event own = kit_make_event("own", "");

  publish_many(1);
  kit_signal(stream, "s", "");
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EDONE, "x@1 0; s; own; done@2 ok");
  weir_subscriber_release(subscriber);
}
END_TEST

/* --- Ends of a connection ------------------------------------------------- */

START_TEST(closing_finishes_what_was_shown_and_says_why) {
  weir_subscriber *subscriber = attach_at_head();
  struct kit_bytes bytes = {NULL, 0, 0};

  publish_many(2);
  kit_expect_notices(&kit, "s readable");
  ck_assert_int_eq(look(subscriber, &bytes), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, 3), WEIR_OK);
  bytes.len = 3;
  publish_many(1);
  kit_signal(stream, "s", "");
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_EGONE);
  ck_assert_uint_eq(info_of(subscriber).attached, 0);
  kit_expect_notices(&kit, "s closing");
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EDONE);
  kit_expect_text(bytes.data, bytes.len, "x@1 0; x@2 1; closing expired");
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EDONE);
  kit_expect_notices(&kit, "");
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(f10_nothing_comes_before_ready_not_even_the_close) {
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  const weir_event own = kit_make_event("own", "");

  kit_signal(stream, "s", "");
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@0 fresh; closing expired");
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(who_has_left_is_told_nothing) {
  weir_subscriber *subscriber = attach_at_head();
  size_t len;

  publish_many(1);
  weir_subscriber_detach(subscriber);
  weir_subscriber_detach(subscriber);
  weir_subscriber_detach(NULL);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  kit_expect_frames(subscriber, WEIR_EGONE, "");
  /* Room for nothing is a mistake of the caller's all the same. */
  ck_assert_int_eq(weir_subscriber_read(subscriber, NULL, 0, &len),
                   WEIR_EINVAL);
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_EGONE);
  weir_subscriber_release(subscriber);
  weir_subscriber_release(NULL);
}
END_TEST

START_TEST(r69_every_connection_has_one_ready) {
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_subscriber *subscriber;
  int i;

  publish_many(5);
  for (i = 0; i < 5; ++i) {
    subscriber = kit_attach(&kit, "a", kit_cursor(stream, (uint64_t)i), NULL);
    kit_pass(&kit, 12000);
    ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
    kit_pass(&kit, 12000);
    ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
    ck_assert_ptr_nonnull(strstr(bytes.data, "weir.ready"));
    ck_assert_ptr_null(
        strstr(strstr(bytes.data, "weir.ready") + 1, "weir.ready"));
    bytes.len = 0;
    weir_subscriber_release(subscriber);
  }
  kit_bytes_free(&bytes);
}
END_TEST

START_TEST(a_caught_up_subscriber_costs_256_bytes) {
  weir_subscriber *subscribers[64];
  size_t before;
  int i;

  ck_assert_uint_le(sizeof(struct weir_subscriber), 256);
  publish_many(1);
  before = kit.memory.live;
  for (i = 0; i < 64; ++i) {
    subscribers[i] = attach_at_head();
  }
  ck_assert_uint_eq(kit.memory.live - before,
                    64 * sizeof(struct weir_subscriber));
  for (i = 0; i < 64; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  ck_assert_uint_eq(kit.memory.live, before);
}
END_TEST

/* Who has been shown the end, and not asked again yet, needs no other. */
START_TEST(a_close_behind_the_end_says_nothing) {
  weir_attach_options options = kit_attach_options("a", "s");
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_subscriber *subscriber;
  weir_bytes runs[3];
  size_t count;

  kit_publish(stream, "x", "0");
  options.start = WEIR_FROM_HEAD;
  subscriber = kit_attach_with(&kit, &options);
  kit_signal(stream, "s", "");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  /* As many runs as there can be at a time. */
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_uint_eq(count, 3);
  ck_assert_uint_eq(info_of(subscriber).attached, 1);
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  ck_assert_uint_eq(info_of(subscriber).attached, 0);
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EDONE);
  kit_expect_text(bytes.data, bytes.len, "ready@1 fresh; s; done@2 ok");
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
}
END_TEST

/* Signals are for those who stay. */
START_TEST(a_close_drops_the_signals_to_one) {
  weir_subscriber *subscriber = attach_at_head();
  const weir_event own = kit_make_event("own", "");

  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_signal(subscriber, &own), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  kit_expect_frames(subscriber, WEIR_EDONE, "closing expired");
  weir_subscriber_release(subscriber);
}
END_TEST

static TCase *bytes_case(void) {
  TCase *tcase = tcase_create("bytes");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, any_number_of_bytes_can_be_taken, 1, 256);
  tcase_add_test(tcase, a_mixed_run_says_what_it_should);
  tcase_add_test(tcase, looking_again_shows_the_same_bytes_and_more);
  tcase_add_test(tcase, more_than_was_shown_cannot_be_consumed);
  tcase_add_test(tcase, no_room_is_an_error_whatever_there_is);
  tcase_add_test(tcase, r16_inv06_nothing_is_put_into_what_was_shown);
  tcase_add_loop_test(tcase, shown_bytes_stay_until_the_release, 0, 8);
  tcase_add_test(tcase, the_position_follows_what_was_consumed);
  tcase_add_loop_test(tcase, what_is_known_stays_known, 0, 2);
  return tcase;
}

static TCase *notices(void) {
  TCase *tcase = tcase_create("notices");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, one_notice_says_that_there_is_something_again);
  tcase_add_test(tcase, an_attach_is_followed_by_one_notice);
  tcase_add_test(tcase, who_pulls_unasked_is_not_told_of_what_he_took);
  tcase_add_test(tcase, who_has_not_pulled_to_the_end_is_not_told);
  tcase_add_test(tcase, everybody_is_told_once);
  tcase_add_loop_test(tcase, a_wakeup_is_neither_lost_nor_doubled, 0, 200);
  return tcase;
}

static TCase *signals(void) {
  TCase *tcase = tcase_create("signals");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, a_signal_never_comes_from_before_the_attach);
  tcase_add_test(tcase,
                 a_signal_comes_after_the_event_before_it_also_in_a_replay);
  tcase_add_loop_test(tcase, the_ring_of_signals_has_a_limit, 0, 3);
  tcase_add_test(tcase, what_is_shown_of_a_signal_outlives_the_ring);
  tcase_add_test(tcase, a_signal_can_go_to_one);
  tcase_add_test(tcase, a_signal_to_one_keeps_its_place);
  tcase_add_loop_test(tcase, signals_to_one_have_a_limit, 1, 3);
  tcase_add_loop_test(tcase, signals_to_one_have_a_limit, 255, 257);
  tcase_add_test(tcase, a_signal_at_the_end_comes_before_it);
  return tcase;
}

static TCase *ends(void) {
  TCase *tcase = tcase_create("ends");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, closing_finishes_what_was_shown_and_says_why);
  tcase_add_test(tcase, f10_nothing_comes_before_ready_not_even_the_close);
  tcase_add_test(tcase, who_has_left_is_told_nothing);
  tcase_add_test(tcase, r69_every_connection_has_one_ready);
  tcase_add_test(tcase, a_caught_up_subscriber_costs_256_bytes);
  tcase_add_test(tcase, a_close_behind_the_end_says_nothing);
  tcase_add_test(tcase, a_close_drops_the_signals_to_one);
  return tcase;
}

KIT_MAIN("subscriber", bytes_case(), notices(), signals(), ends())
