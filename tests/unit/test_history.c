/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What is kept of a stream without a log, and what of all of them together. */

#include "../kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"

static struct kit kit;
static weir_stream *stream;

static void setup(void) {
  kit_init(&kit);
}

static void teardown(void) {
  weir_stream_release(stream);
  kit_end(&kit);
}

/* With the options as they are now. */
static void begin(void) {
  kit_hub(&kit);
  stream = kit_open(&kit, "a");
}

static weir_stream_info info_of(const weir_stream *one) {
  weir_stream_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(one, &info), WEIR_OK);
  return info;
}

static weir_hub_info hub_info(void) {
  weir_hub_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_hub_get_info(kit.hub, &info), WEIR_OK);
  return info;
}

static int publish_size(weir_stream *one, size_t size) {
  char *data = malloc(size + 1);
  weir_event event = kit_make_event("x", "");
  int rv;

  ck_assert_ptr_nonnull(data);
  memset(data, 'd', size);
  event.data = data;
  event.data_len = size;
  rv = weir_stream_publish(one, &event, 1, NULL);
  free(data);
  return rv;
}

static void publish_many(weir_stream *one, int count, size_t size) {
  for (; count > 0; --count) {
    ck_assert_int_eq(publish_size(one, size), WEIR_OK);
  }
}

/* Bytes of a frame with so much data, of event seq. */
static size_t frame_size(uint64_t seq, size_t size) {
  return strlen(kit_cursor(stream, seq)) +
         strlen("id: \nevent: x\ndata: \n\n") + size;
}

/* --- Limits --------------------------------------------------------------- */

START_TEST(events_have_a_limit) {
  uint64_t n;

  kit.options.history_events = 5;
  begin();
  for (n = 1; n <= 20; ++n) {
    publish_many(stream, 1, 10);
    /* At 4, 5 and 6, and then on. */
    ck_assert_uint_eq(info_of(stream).trimmed, n <= 5 ? 0 : n - 5);
    ck_assert_uint_eq(info_of(stream).last, n);
  }
  ck_assert_uint_eq(hub_info().trimmed, 15);
}
END_TEST

START_TEST(a_batch_beyond_the_limit_leaves_its_newest) {
  weir_event events[12];
  size_t i;

  kit.options.history_events = 5;
  begin();
  for (i = 0; i < 12; ++i) {
    events[i] = kit_make_event("x", "y");
  }
  ck_assert_int_eq(weir_stream_publish(stream, events, 12, NULL), WEIR_OK);
  ck_assert_uint_eq(info_of(stream).trimmed, 7);
}
END_TEST

/* Four frames of L bytes under a limit of 3L-1, 3L, 3L+1. */
START_TEST(bytes_have_a_limit) {
  static const uint64_t trimmed[3][4] = {
      {0, 0, 1, 2}, {0, 0, 0, 1}, {0, 0, 0, 1}};
  size_t size;
  uint64_t n;

  begin();
  size = frame_size(1, 100);
  weir_stream_release(stream);
  kit_end(&kit);
  kit_init(&kit);
  kit.options.history_bytes = 3 * size - 1 + (size_t)_i;
  begin();
  for (n = 0; n < 4; ++n) {
    publish_many(stream, 1, 100);
    ck_assert_uint_eq(info_of(stream).trimmed, trimmed[_i][n]);
    ck_assert_uint_eq(info_of(stream).resident,
                      (n + 1 - trimmed[_i][n]) * size);
  }
}
END_TEST

START_TEST(the_newest_stays_whatever_its_size) {
  kit.options.history_bytes = 10;
  kit.options.history_events = 1;
  begin();
  publish_many(stream, 3, 100);
  ck_assert_uint_eq(info_of(stream).trimmed, 2);
  ck_assert_uint_eq(info_of(stream).last, 3);
  publish_many(stream, 1, 100000);
  ck_assert_uint_eq(info_of(stream).trimmed, 3);
  ck_assert_uint_gt(info_of(stream).resident, 100000);
}
END_TEST

START_TEST(age_has_a_limit) {
  weir_subscriber *subscriber;

  kit.options.history_age = 1000;
  begin();
  kit_publish(stream, "x", "1");
  kit_pass(&kit, 500);
  kit_publish(stream, "x", "2");
  kit_publish(stream, "x", "3");
  kit_pass(&kit, 499);
  ck_assert_uint_eq(info_of(stream).trimmed, 0);
  kit_pass(&kit, 1);
  ck_assert_uint_eq(info_of(stream).trimmed, 1);
  kit_pass(&kit, 499);
  ck_assert_uint_eq(info_of(stream).trimmed, 1);
  kit_pass(&kit, 1);
  ck_assert_uint_eq(info_of(stream).trimmed, 3);
  ck_assert_uint_eq(info_of(stream).resident, 0);
  kit_publish(stream, "x", "4");
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 1), NULL);
  kit_expect_frames(subscriber, WEIR_EAGAIN,
                    "gap@3 evicted 1 4-4; ready@3 evicted; x@4 4");
  weir_subscriber_release(subscriber);
}
END_TEST

/* A page counts the time since its first event in 32 bits, 49.7 days: what
 * comes later is as old as that, and not as old as its first event. */
START_TEST(a_page_may_be_open_for_months) {
  const uint64_t day = 86400000;

  kit.options.history_age = 60 * day;
  begin();
  kit_publish(stream, "x", "1");
  kit_pass(&kit, 50 * day);
  kit_publish(stream, "x", "2");
  kit_pass(&kit, 11 * day);
  ck_assert_uint_eq(info_of(stream).trimmed, 1);
  kit_pass(&kit, 48 * day);
  ck_assert_uint_eq(info_of(stream).trimmed, 1);
  kit_pass(&kit, day);
  ck_assert_uint_eq(info_of(stream).trimmed, 2);
}
END_TEST

/* Nor is anything lost of what is young enough, however long there has been
 * something before it. */
START_TEST(an_age_counts_for_months) {
  const uint64_t hour = 3600000;
  uint64_t hours;

  kit.options.history_age = 24 * hour;
  begin();
  for (hours = 1; hours <= (uint64_t)60 * 24; ++hours) {
    kit_publish(stream, "x", "1");
    ck_assert_uint_eq(info_of(stream).trimmed, hours <= 24 ? 0 : hours - 24);
    kit_pass(&kit, hour);
  }
}
END_TEST

/* The host needs no other reason to wake up. */
START_TEST(age_is_a_time_that_the_hub_wakes_up_for) {
  kit.options.history_age = 1000;
  begin();
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  kit_publish(stream, "x", "1");
  while (info_of(stream).trimmed == 0) {
    const int ms = weir_hub_get_timeout(kit.hub);

    ck_assert_int_ge(ms, 0);
    kit_pass(&kit, (uint64_t)ms);
  }
  ck_assert_uint_eq(kit.now, 1001000);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
}
END_TEST

START_TEST(the_end_stays_whatever_its_age) {
  weir_subscriber *subscriber;

  kit.options.history_age = 1000;
  begin();
  kit_publish(stream, "x", "1");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_pass(&kit, 500000);
  ck_assert_uint_eq(info_of(stream).trimmed, 1);
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@1 fresh; done@2 ok");
  weir_subscriber_release(subscriber);
}
END_TEST

/* R28, R-35: not before the last client could read it. */
START_TEST(r28_an_ended_stream_lingers_and_then_is_gone) {
  weir_open_options options;
  int verdict = WEIR_VERDICT_PENDING;

  begin();
  options = kit_open_options("b", NULL);
  options.linger = 5000;
  weir_stream_release(stream);
  stream = kit_open_with(&kit, &options);
  kit_publish(stream, "x", "1");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_pass(&kit, 4999);
  weir_subscriber_release(kit_attach(&kit, "b", NULL, &verdict));
  ck_assert_int_eq(verdict, WEIR_VERDICT_FRESH);
  kit_pass(&kit, 1);
  ck_assert_ptr_null(kit_attach(&kit, "b", NULL, &verdict));
  ck_assert_int_eq(verdict, WEIR_VERDICT_UNKNOWN);
  ck_assert_uint_eq(hub_info().streams, 1);
}
END_TEST

START_TEST(r28_who_reads_an_ended_stream_is_not_cut_short) {
  weir_open_options options;
  weir_subscriber *subscriber;

  begin();
  options = kit_open_options("b", NULL);
  options.linger = 0;
  weir_stream_release(stream);
  stream = kit_open_with(&kit, &options);
  subscriber = kit_attach(&kit, "b", NULL, NULL);
  kit_publish(stream, "x", "1");
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  kit_pass(&kit, 10000);
  ck_assert_uint_eq(hub_info().streams, 1);
  kit_expect_frames(subscriber, WEIR_EDONE, "ready@0 fresh; x@1 1; done@2 ok");
  weir_subscriber_release(subscriber);
}
END_TEST

/* --- Pages ---------------------------------------------------------------- */

START_TEST(pages_grow_as_a_stream_does) {
  const struct weir__history *history;
  uint32_t size = 384;
  uint32_t i;

  begin();
  history = &stream->generation->history;
  publish_many(stream, 1, 30);
  /* One that is twice as large takes the place of one that is full. */
  while (history->page_count == 1) {
    ck_assert(history->pages[0]->size == size ||
              history->pages[0]->size == (size * 2 < 32768 ? size * 2 : 32768));
    size = history->pages[0]->size;
    ck_assert_uint_eq(hub_info().resident, size);
    publish_many(stream, 1, 30);
  }
  ck_assert_uint_eq(size, 32768);
  publish_many(stream, 2000, 30);
  for (i = 0; i < history->page_count; ++i) {
    ck_assert_uint_eq(history->pages[i]->size, 32768);
  }
  /* What is larger has a page of its own, and the next goes on as before. */
  publish_many(stream, 1, 100000);
  ck_assert_uint_gt(history->pages[history->page_count - 1]->size, 100000);
  publish_many(stream, 1, 30);
  ck_assert_uint_eq(history->pages[history->page_count - 1]->size, 32768);
}
END_TEST

/* A stream of which little is kept needs little: what is trimmed is left behind
 * when a page is full, and what a reader holds of the old one stays. */
START_TEST(a_page_of_which_little_is_kept_does_not_grow) {
  const struct weir__history *history;
  weir_subscriber *subscriber;
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_bytes runs[3];
  size_t count;
  int i;

  kit.options.history_events = 2;
  begin();
  history = &stream->generation->history;
  publish_many(stream, 2, 30);
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 0), NULL);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_uint_eq(count, 2); /* ready, and the page */
  kit_bytes_add(&bytes, runs[1].base, runs[1].len);
  for (i = 0; i < 1000; ++i) {
    publish_many(stream, 1, 30);
    ck_assert_uint_eq(history->page_count, 1);
    ck_assert_uint_eq(history->pages[0]->size, 384);
  }
  ck_assert_uint_eq(runs[1].len, bytes.len);
  ck_assert_mem_eq(runs[1].base, bytes.data, bytes.len);
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
}
END_TEST

START_TEST(r51_a_small_stream_is_small) {
  size_t before;

  begin();
  before = kit.memory.live;
  weir_stream_release(kit_open(&kit, "0123456789"));
  stream = (weir_stream_release(stream), kit_open(&kit, "0123456789"));
  publish_many(stream, 3, 30);
  ck_assert_uint_le(kit.memory.live - before, 960);
}
END_TEST

/* Trimmed is exact, memory is not: a page goes when its last event does. */
START_TEST(bytes_are_freed_by_the_page) {
  const struct weir__history *history;
  uint64_t resident;
  uint64_t last;
  uint64_t seq;

  begin();
  history = &stream->generation->history;
  publish_many(stream, 1000, 30);
  resident = hub_info().resident;
  ck_assert_uint_gt(history->page_count, 1);
  last = history->pages[0]->last;
  for (seq = 1; seq < last; ++seq) {
    ck_assert_int_eq(weir_stream_trim(stream, seq), WEIR_OK);
    ck_assert_uint_eq(info_of(stream).trimmed, seq);
    ck_assert_uint_eq(hub_info().resident, resident);
  }
  ck_assert_int_eq(weir_stream_trim(stream, last), WEIR_OK);
  ck_assert_uint_eq(hub_info().resident, resident - 32768);
  /* Backwards is nothing. */
  ck_assert_int_eq(weir_stream_trim(stream, 1), WEIR_OK);
  ck_assert_uint_eq(info_of(stream).trimmed, last);
  ck_assert_int_eq(weir_stream_trim(stream, 1000), WEIR_OK);
  ck_assert_uint_eq(info_of(stream).resident, 0);
  ck_assert_uint_eq(hub_info().resident, 0);
}
END_TEST

START_TEST(a_page_that_is_shown_is_not_freed) {
  weir_subscriber *subscriber;
  weir_bytes runs[3];
  size_t count;
  uint64_t resident;

  begin();
  publish_many(stream, 100, 300);
  subscriber = kit_attach(&kit, "a", kit_cursor(stream, 0), NULL);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_int_eq(weir_stream_trim(stream, 100), WEIR_OK);
  resident = hub_info().resident;
  ck_assert_uint_ne(resident, 0);
  ck_assert_uint_eq(info_of(stream).resident, 0);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[0].len), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[1].len - 1),
                   WEIR_OK);
  ck_assert_uint_lt(hub_info().resident, resident);
  resident = hub_info().resident;
  ck_assert_int_eq(weir_subscriber_consume(subscriber, 1), WEIR_OK);
  ck_assert_uint_lt(hub_info().resident, resident);
  weir_subscriber_release(subscriber);
  ck_assert_uint_eq(hub_info().resident, 0);
}
END_TEST

START_TEST(a_batch_that_fails_leaves_no_bytes) {
  weir_event events[60];
  char *data = malloc(1001);
  const uint64_t kept = _i == 0 ? 0 : 5;
  uint64_t resident;
  uint64_t bytes;
  size_t i;

  ck_assert_ptr_nonnull(data);
  memset(data, 'd', 1000);
  data[1000] = '\0';
  begin();
  publish_many(stream, (int)kept, 30);
  resident = info_of(stream).resident;
  bytes = hub_info().resident;
  for (i = 0; i < 60; ++i) {
    events[i] = kit_make_event("x", data);
  }
  events[59] = kit_make_event("error", "");
  ck_assert_int_eq(weir_stream_publish(stream, events, 60, NULL),
                   WEIR_ERESERVED);
  ck_assert_uint_eq(info_of(stream).resident, resident);
  ck_assert_uint_eq(hub_info().resident, bytes);
  ck_assert_uint_eq(info_of(stream).last, kept);
  ck_assert_uint_eq(kit_publish(stream, "x", "y"), kept + 1);
  free(data);
}
END_TEST

/* --- Against a model ------------------------------------------------------ */

#define MANY 400

struct model {
  uint64_t chance;
  size_t sizes[MANY + 1]; /* of frames, by number */
  uint64_t times[MANY + 1];
  uint64_t last;
  uint64_t trimmed;
};

static uint32_t draw(struct model *model, uint32_t bound) {
  model->chance = model->chance * UINT64_C(6364136223846793005) + 1442695041;
  return (uint32_t)(model->chance >> 33) % bound;
}

static uint64_t bytes_of(const struct model *model) {
  uint64_t sum = 0;
  uint64_t seq;

  for (seq = model->trimmed + 1; seq <= model->last; ++seq) {
    sum += model->sizes[seq];
  }
  return sum;
}

/* The limits on number and bytes hold when something is published. */
static void limit(struct model *model) {
  while (model->trimmed + 1 < model->last &&
         (model->last - model->trimmed > kit.options.history_events ||
          bytes_of(model) > kit.options.history_bytes)) {
    model->trimmed += 1;
  }
}

static void pass(struct model *model, uint64_t ms) {
  kit_pass(&kit, ms);
  while (model->trimmed < model->last &&
         model->times[model->trimmed + 1] + kit.options.history_age <=
             kit.now) {
    model->trimmed += 1;
  }
}

static void publish_some(struct model *model) {
  const size_t size =
      draw(model, 10) == 0 ? draw(model, 5000) : draw(model, 80);

  publish_many(stream, 1, size);
  model->last += 1;
  model->sizes[model->last] = frame_size(model->last, size);
  model->times[model->last] = kit.now;
  limit(model);
  pass(model, 0);
}

/* A client that was at seq gets a gap or not, and then all there is. */
static void read_from(const struct model *model, uint64_t seq) {
  struct kit_client client;
  weir_subscriber *subscriber;
  uint64_t at = seq < model->trimmed ? model->trimmed : seq;
  size_t i = seq < model->trimmed ? 2 : 1;

  subscriber = kit_attach(&kit, "a", kit_cursor(stream, seq), NULL);
  kit_client_init(&client, "");
  ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EAGAIN);
  ck_assert_str_eq(client.events[0].type,
                   seq < model->trimmed ? "weir.gap" : "weir.ready");
  ck_assert_uint_eq(client.count, i + model->last - at);
  for (; i < client.count; ++i) {
    at += 1;
    ck_assert_str_eq(client.events[i].id, kit_cursor(stream, at));
    ck_assert_uint_eq(client.events[i].data_len + frame_size(at, 0),
                      model->sizes[at]);
  }
  kit_client_free(&client);
  weir_subscriber_release(subscriber);
}

START_TEST(limits_agree_with_a_model) {
  struct model model = {(uint64_t)_i, {0}, {0}, 0, 0};

  kit.options.history_events = 5 + draw(&model, 60);
  kit.options.history_bytes = 1000 + draw(&model, 20000);
  kit.options.history_age = 1000 + draw(&model, 5000);
  begin();
  while (model.last < MANY) {
    switch (draw(&model, 8)) {
      case 0:
        pass(&model, draw(&model, 800));
        break;
      case 1:
        model.trimmed += draw(&model, 3);
        model.trimmed = model.trimmed < model.last ? model.trimmed : model.last;
        ck_assert_int_eq(weir_stream_trim(stream, model.trimmed), WEIR_OK);
        break;
      case 2:
        read_from(&model, draw(&model, (uint32_t)model.last + 1));
        break;
      default:
        publish_some(&model);
        break;
    }
    ck_assert_uint_eq(info_of(stream).trimmed, model.trimmed);
    ck_assert_uint_eq(info_of(stream).last, model.last);
    ck_assert_uint_eq(info_of(stream).resident, bytes_of(&model));
  }
}
END_TEST

/* --- All streams together ------------------------------------------------- */

/* A stream with some full pages, and one that is open. */
static weir_stream *fill(const char *key, int count) {
  weir_stream *filled = kit_open(&kit, key);

  publish_many(filled, count, 1000);
  return filled;
}

START_TEST(the_hub_has_a_limit) {
  int i;

  kit.options.max_resident = 200000;
  begin();
  for (i = 0; i < 1000; ++i) {
    publish_many(stream, 1, 1000);
    ck_assert_uint_le(hub_info().resident, 200000);
  }
  ck_assert_uint_gt(info_of(stream).trimmed, 500);
  /* All of it is used, but for what is freed by the page. */
  ck_assert_uint_gt(hub_info().resident, 200000 - 2 * 32768);
}
END_TEST

START_TEST(what_was_used_least_recently_goes_first) {
  weir_subscriber *subscriber;
  weir_stream *b;
  weir_stream *c;
  struct kit_bytes bytes = {NULL, 0, 0};

  kit.options.max_resident = 300000;
  begin();
  b = fill("b", 80);
  c = fill("c", 80);
  /* Somebody reads b, so c is the older one now. */
  subscriber = kit_attach(&kit, "b", NULL, NULL);
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
  publish_many(stream, 150, 1000);
  ck_assert_uint_gt(info_of(c).trimmed, 0);
  ck_assert_uint_eq(info_of(b).trimmed, 0);
  weir_stream_release(b);
  weir_stream_release(c);
}
END_TEST

/* A stream loses its oldest page first, whichever was read: what is behind it
 * would go too. */
START_TEST(no_more_is_lost_than_has_to_be) {
  weir_subscriber *subscriber;
  weir_bytes runs[2];
  size_t count;

  kit.options.max_resident = 5 * 40400;
  begin();
  publish_many(stream, 4, 40000);
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 2, &count), WEIR_OK);
  weir_subscriber_release(subscriber);
  publish_many(stream, 1, 40000);
  ck_assert_uint_eq(info_of(stream).trimmed, 0);
  publish_many(stream, 1, 40000);
  ck_assert_uint_eq(info_of(stream).trimmed, 1);
}
END_TEST

/* A signal takes room where somebody reads; where nobody does, no event has to
 * go for it. */
START_TEST(a_signal_to_nobody_drives_nothing_out) {
  static const char data[40000];
  weir_subscriber *reader = NULL;
  weir_stream *other;
  weir_event event = kit_make_event("x", "");
  uint64_t reached;

  kit.options.flags = WEIR_HUB_BYTES;
  kit.options.max_resident = 5 * 40400;
  begin();
  other = kit_open(&kit, "b");
  if (_i != 0) {
    reader = kit_attach(&kit, "b", NULL, NULL);
  }
  publish_many(stream, 4, 40000);
  publish_many(stream, 1, 30000);
  event.data = data;
  event.data_len = sizeof data;
  ck_assert_int_eq(weir_stream_signal(other, &event, &reached), WEIR_OK);
  ck_assert_uint_eq(reached, _i == 0 ? 0 : 1);
  ck_assert_uint_eq(info_of(stream).trimmed, reached);
  ck_assert_uint_eq(info_of(other).signals, 1);
  weir_subscriber_release(reader);
  weir_stream_release(other);
}
END_TEST

START_TEST(a_page_that_can_never_fit_drives_nothing_out) {
  uint64_t resident;

  kit.options.max_resident = 200000;
  begin();
  publish_many(stream, 100, 1000);
  resident = hub_info().resident;
  ck_assert_int_eq(publish_size(stream, 250000), WEIR_ERESIDENT);
  ck_assert_uint_eq(info_of(stream).trimmed, 0);
  ck_assert_uint_eq(hub_info().resident, resident);
  ck_assert_int_eq(publish_size(stream, 1000), WEIR_OK);
}
END_TEST

START_TEST(without_anything_to_drop_a_call_fails) {
  weir_stream *streams[300];
  weir_event event = kit_make_event("x", "y");
  uint64_t full;
  int rv = WEIR_OK;
  int n = 0;
  int i;

  kit.options.max_resident = 20000;
  begin();
  for (; rv == WEIR_OK; ++n) {
    char key[16];

    snprintf(key, sizeof key, "%d", n);
    streams[n] = kit_open(&kit, key);
    rv = weir_stream_publish(streams[n], &event, 1, NULL);
  }
  ck_assert_int_eq(rv, WEIR_ERESIDENT);
  ck_assert_uint_eq(info_of(streams[n - 1]).last, 0);
  ck_assert_uint_eq(info_of(streams[0]).last, 1);
  /* For ends there is some more: the rest, and 1250 bytes. */
  full = hub_info().resident;
  for (rv = WEIR_OK; rv == WEIR_OK; ++n) {
    char key[16];

    snprintf(key, sizeof key, "%d", n);
    streams[n] = kit_open(&kit, key);
    rv = weir_stream_end(streams[n], "ok", 2, 0, NULL);
  }
  ck_assert_int_eq(rv, WEIR_ERESIDENT);
  ck_assert_uint_ge(hub_info().resident, full + 2 * (uint64_t)384);
  ck_assert_uint_le(hub_info().resident, 21250);
  ck_assert_int_eq(info_of(streams[n - 2]).status, WEIR_STREAM_ENDED);
  ck_assert_int_eq(info_of(streams[n - 1]).status, WEIR_STREAM_LIVE);
  /* When there is room, the same calls work. */
  for (i = 0; i < 5; ++i) {
    ck_assert_int_eq(weir_stream_trim(streams[i], 1), WEIR_OK);
  }
  ck_assert_int_eq(weir_stream_publish(streams[n - 1], &event, 1, NULL),
                   WEIR_OK);
  ck_assert_int_eq(weir_stream_end(streams[n - 1], "ok", 2, 0, NULL), WEIR_OK);
  for (i = 0; i < n; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* --- Readers who hold too much -------------------------------------------- */

static weir_subscriber *holder(const char *name, const char *client) {
  weir_attach_options options = kit_attach_options("a", name);
  weir_subscriber *subscriber;
  weir_bytes runs[3];
  size_t count;

  options.start = WEIR_FROM_START;
  options.stall = 0;
  options.client = client;
  options.client_len = strlen(client);
  subscriber = kit_attach_with(&kit, &options);
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_uint_gt(count, 1);
  return subscriber;
}

/* Let go of everything that can be, so that only readers hold bytes. */
static void fill_with_holders(void) {
  kit.options.max_resident = 100000;
  begin();
  publish_many(stream, 2, 35000);
}

/* One page is held by both, so that both go. */
START_TEST(readers_go_who_hold_what_is_needed) {
  weir_subscriber *first;
  weir_subscriber *second;

  fill_with_holders();
  first = holder("1", "");
  second = holder("2", "");
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(weir_subscriber_consume(first, 1), WEIR_OK);
  /* Both pages of events are held, and there is no room for a third. */
  ck_assert_int_eq(publish_size(stream, 35000), WEIR_OK);
  kit_expect_notices(&kit, "2 abort -25; 1 abort -25");
  ck_assert_uint_eq(hub_info().evicted, 2);
  ck_assert_uint_eq(hub_info().subscribers, 0);
  /* What they hold is not counted, but it is there. */
  ck_assert_uint_gt(hub_info().resident, 100000);
  ck_assert_int_eq(publish_size(stream, 35000), WEIR_OK);
  weir_subscriber_release(first);
  weir_subscriber_release(second);
  ck_assert_uint_le(hub_info().resident, 100000);
}
END_TEST

START_TEST(what_an_aborted_reader_was_shown_stays) {
  struct kit_bytes want = {NULL, 0, 0};
  weir_subscriber *subscriber;
  weir_bytes runs[3];
  size_t count;
  size_t i;

  fill_with_holders();
  subscriber = holder("1", "");
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  for (i = 0; i < count; ++i) {
    kit_bytes_add(&want, runs[i].base, runs[i].len);
  }
  ck_assert_int_eq(publish_size(stream, 35000), WEIR_OK);
  for (i = 0; i < count; ++i) {
    ck_assert_mem_eq(want.data, runs[i].base, runs[i].len);
    memmove(want.data, want.data + runs[i].len, want.len - runs[i].len);
    want.len -= runs[i].len;
    ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[i].len), WEIR_OK);
  }
  /* There is nothing for it any more, and why comes as a notice. */
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count),
                   WEIR_EAGAIN);
  kit_expect_notices(&kit, "1 abort -25");
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count),
                   WEIR_EGONE);
  kit_bytes_free(&want);
  weir_subscriber_release(subscriber);
}
END_TEST

static struct weir__core *core(void) {
  return (struct weir__core *)(void *)kit.hub;
}

/* From now on there is no room for anything, nor a sixteenth of it more. */
static void no_room(void) {
  core()->options.max_resident = hub_info().resident * 16 / 17;
}

/* The one who goes may be the one for whom room is being made. */
START_TEST(who_makes_room_for_himself_may_be_the_one_to_go) {
  const weir_event signal = kit_make_event("x", "y");
  weir_subscriber *subscriber;

  fill_with_holders();
  subscriber = holder("1", "client");
  no_room();
  if (_i == 0) {
    ck_assert_int_eq(weir_subscriber_signal(subscriber, &signal), WEIR_OK);
    kit_expect_notices(&kit, "1 abort -25");
  } else {
    ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
    kit_expect_notices(&kit, "1 abort -25");
  }
  weir_subscriber_release(subscriber);
}
END_TEST

/* Or the only one of the client that comes in. */
START_TEST(who_goes_may_be_the_same_client) {
  weir_attach_options options = kit_attach_options("a", "2");
  weir_subscriber *first;
  weir_subscriber *second;

  fill_with_holders();
  first = holder("1", "client");
  no_room();
  options.client = "client";
  options.client_len = 6;
  options.on_duplicate = (int32_t)_i;
  second = kit_attach_with(&kit, &options);
  kit_expect_notices(&kit, _i == WEIR_CLIENT_REPLACE
                               ? "2 readable; 1 abort -25"
                               : "1 abort -25; 2 readable");
  weir_subscriber_release(first);
  weir_subscriber_release(second);
}
END_TEST

/* Or the last who knows a stream, while it is told of a gap. */
START_TEST(who_goes_may_be_the_last_of_a_stream) {
  weir_subscriber *subscriber;
  weir_bytes runs[3];
  size_t count;

  fill_with_holders();
  publish_many(stream, 3, 25000);
  subscriber = holder("1", "");
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  ck_assert_int_eq(weir_subscriber_consume(subscriber, runs[0].len), WEIR_OK);
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
  weir_stream_release(stream);
  stream = NULL;
  kit_pass(&kit, 600000);
  ck_assert_uint_eq(hub_info().streams, 0);
  weir__history_trim(&subscriber->generation->history, 5);
  no_room();
  ck_assert_int_eq(weir_subscriber_peek(subscriber, runs, 3, &count), WEIR_OK);
  kit_expect_notices(&kit, "1 abort -25");
  weir_subscriber_release(subscriber);
}
END_TEST

/* Or one of many who are shown out one after the other. */
START_TEST(who_goes_may_be_next_in_line) {
  weir_subscriber *subscribers[4];
  int i;

  fill_with_holders();
  for (i = 0; i < 4; ++i) {
    subscribers[i] = holder("s", "");
  }
  no_room();
  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 0), WEIR_OK);
  kit_pass(&kit, 0);
  kit_pass(&kit, 0);
  kit_expect_notices(&kit,
                     "s abort -25; s abort -25; s abort -25; s abort -25");
  ck_assert_uint_eq(hub_info().subscribers, 0);
  for (i = 0; i < 4; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
}
END_TEST

START_TEST(a_heartbeat_for_which_there_is_no_room_comes_later) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_subscriber *subscriber;

  begin();
  kit_publish(stream, "x", "y");
  subscriber = kit_attach_with(&kit, &options);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh; x@1 y");
  no_room();
  kit_pass(&kit, 12000);
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "");
  core()->options.max_resident = 0;
  kit_pass(&kit, 999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, ":");
  weir_subscriber_release(subscriber);
}
END_TEST

static TCase *limits(void) {
  TCase *tcase = tcase_create("limits");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, events_have_a_limit);
  tcase_add_test(tcase, a_batch_beyond_the_limit_leaves_its_newest);
  tcase_add_loop_test(tcase, bytes_have_a_limit, 0, 3);
  tcase_add_test(tcase, the_newest_stays_whatever_its_size);
  tcase_add_test(tcase, age_has_a_limit);
  tcase_add_test(tcase, a_page_may_be_open_for_months);
  tcase_add_test(tcase, an_age_counts_for_months);
  tcase_add_test(tcase, age_is_a_time_that_the_hub_wakes_up_for);
  tcase_add_test(tcase, the_end_stays_whatever_its_age);
  tcase_add_test(tcase, r28_an_ended_stream_lingers_and_then_is_gone);
  tcase_add_test(tcase, r28_who_reads_an_ended_stream_is_not_cut_short);
  return tcase;
}

static TCase *pages(void) {
  TCase *tcase = tcase_create("pages");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, pages_grow_as_a_stream_does);
  tcase_add_test(tcase, a_page_of_which_little_is_kept_does_not_grow);
  tcase_add_test(tcase, r51_a_small_stream_is_small);
  tcase_add_test(tcase, bytes_are_freed_by_the_page);
  tcase_add_test(tcase, a_page_that_is_shown_is_not_freed);
  tcase_add_loop_test(tcase, a_batch_that_fails_leaves_no_bytes, 0, 2);
  tcase_add_loop_test(tcase, limits_agree_with_a_model, 0, 60);
  return tcase;
}

static TCase *hubs(void) {
  TCase *tcase = tcase_create("hubs");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, the_hub_has_a_limit);
  tcase_add_loop_test(tcase, a_signal_to_nobody_drives_nothing_out, 0, 2);
  tcase_add_test(tcase, what_was_used_least_recently_goes_first);
  tcase_add_test(tcase, no_more_is_lost_than_has_to_be);
  tcase_add_test(tcase, a_page_that_can_never_fit_drives_nothing_out);
  tcase_add_test(tcase, without_anything_to_drop_a_call_fails);
  return tcase;
}

static TCase *holders(void) {
  TCase *tcase = tcase_create("holders");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, readers_go_who_hold_what_is_needed);
  tcase_add_test(tcase, what_an_aborted_reader_was_shown_stays);
  tcase_add_loop_test(tcase, who_makes_room_for_himself_may_be_the_one_to_go, 0,
                      2);
  tcase_add_loop_test(tcase, who_goes_may_be_the_same_client, 0, 2);
  tcase_add_test(tcase, who_goes_may_be_the_last_of_a_stream);
  tcase_add_test(tcase, who_goes_may_be_next_in_line);
  tcase_add_test(tcase, a_heartbeat_for_which_there_is_no_room_comes_later);
  return tcase;
}

KIT_MAIN("history", limits(), pages(), hubs(), holders())
