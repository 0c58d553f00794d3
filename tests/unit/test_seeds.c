/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */

/* What the four seeds asked for, and the races that they ran into, where no
 * other suite tells the story; and the invariants of the design in one go. */

#include "../kit.h"

#include <stdio.h>
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

static weir_stream_info info_of(const weir_stream *stream) {
  weir_stream_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  return info;
}

static void end(weir_stream *stream) {
  ck_assert_int_eq(weir_stream_end(stream, "ok", 2, 0, NULL), WEIR_OK);
}

static void expect_all(const char *key, const char *cursor, int last,
                       const char *text) {
  weir_subscriber *subscriber = kit_attach(&kit, key, cursor, NULL);

  kit_expect_frames(subscriber, last, text);
  weir_subscriber_release(subscriber);
}

static weir_stream *replace(const char *key, const char *name) {
  weir_open_options options = kit_open_options(key, name);

  options.on_duplicate = WEIR_DUPLICATE_REPLACE;
  return kit_open_with(&kit, &options);
}

/* --- Ids ------------------------------------------------------------------ */

/* R02, invariant 1: an id is a position of the log, at most its last, and only
 * events, `ready` and `gap` have one. No id is empty. */
START_TEST(inv01_an_id_is_a_position_of_the_log) {
  weir_attach_options options = kit_attach_options("a", "s");
  struct kit_bytes bytes = {NULL, 0, 0};
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber;
  const char *line;
  uint64_t at = 0;
  uint64_t seq;
  int i;

  options.flags = WEIR_ATTACH_PING;
  subscriber = kit_attach_with(&kit, &options);
  for (i = 0; i < 60; ++i) {
    kit_signal(stream, "job.status", "{\"status\": \"running\"}");
    if (i % 3 == 0) {
      kit_publish(stream, "x", "y");
    }
    if (i % 7 == 0) {
      ck_assert_int_eq(weir_stream_trim(stream, info_of(stream).last / 2),
                       WEIR_OK);
    }
    if (i % 4 == 0) {
      ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
      kit_pass(&kit, 12000);
      ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
    }
  }
  ck_assert_int_eq(weir_subscriber_close(subscriber, NULL, 0, 0), WEIR_OK);
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EDONE);
  for (line = bytes.data; line != NULL && *line != '\0';
       line = strchr(line, '\n') == NULL ? NULL : strchr(line, '\n') + 1) {
    if (strncmp(line, "id:", 3) != 0) {
      continue;
    }
    ck_assert_int_eq(strncmp(line + 4, kit_cursor(stream, 0),
                             strlen(kit_cursor(stream, 0)) - 1),
                     0);
    seq = strtoull(strchr(line, '-') + 1, NULL, 10);
    ck_assert_uint_ge(seq, at);
    ck_assert_uint_le(seq, info_of(stream).last);
    at = seq;
    line = strchr(line, '\n') + 1;
    ck_assert(strncmp(line, "event: x\n", 9) == 0 ||
              strncmp(line, "event: weir.ready\n", 18) == 0 ||
              strncmp(line, "event: weir.gap\n", 16) == 0);
  }
  ck_assert_uint_gt(at, 10);
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r02_control_frames_have_no_id) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  kit_signal(stream, "job.status", "{\"status\": \"running\"}");
  kit_expect(subscriber, WEIR_EAGAIN,
             "event: job.status\ndata: {\"status\": \"running\"}\n\n");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* Live, replayed, and behind a gap: one formatter. */
START_TEST(r04_an_event_has_the_same_bytes_on_every_way) {
  struct kit_bytes ways[3] = {{NULL, 0, 0}, {NULL, 0, 0}, {NULL, 0, 0}};
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *live = kit_attach(&kit, "a", NULL, NULL);
  weir_subscriber *subscriber;
  const char *frame[3];
  int i;

  kit_publish(stream, "x", "first");
  ck_assert_int_eq(kit_skip(live), WEIR_EAGAIN);
  kit_publish(stream, "x", "a\nb");
  ck_assert_int_eq(kit_pull(live, &ways[0]), WEIR_EAGAIN);
  for (i = 1; i < 3; ++i) {
    subscriber =
        kit_attach(&kit, "a", kit_cursor(stream, (uint64_t)(2 - i)), NULL);
    ck_assert_int_eq(kit_pull(subscriber, &ways[i]), WEIR_EAGAIN);
    weir_subscriber_release(subscriber);
    ck_assert_int_eq(weir_stream_trim(stream, 1), WEIR_OK);
  }
  for (i = 0; i < 3; ++i) {
    frame[i] = ways[i].data + ways[i].len - ways[0].len;
    ck_assert_str_eq(frame[i], ways[0].data);
    kit_bytes_free(i == 0 ? &(struct kit_bytes){NULL, 0, 0} : &ways[i]);
  }
  kit_bytes_free(&ways[0]);
  weir_subscriber_release(live);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r06_a_cursor_is_exclusive) {
  weir_stream *stream = kit_open(&kit, "a");
  char data[2] = "1";

  for (; *data <= '7'; ++*data) {
    kit_publish(stream, "x", data);
  }
  expect_all("a", kit_cursor(stream, 6), WEIR_EAGAIN, "ready@6 resumed; x@7 7");
  expect_all("a", kit_cursor(stream, 5), WEIR_EAGAIN,
             "ready@5 resumed; x@6 6; x@7 7");
  expect_all("a", kit_cursor(stream, 7), WEIR_EAGAIN, "ready@7 resumed");
  weir_stream_release(stream);
}
END_TEST

/* R30: a cursor of 0 is a cursor. */
START_TEST(r30_a_cursor_of_zero_is_no_absence) {
  weir_stream *stream = kit_open(&kit, "a");

  expect_all("a", kit_cursor(stream, 0), WEIR_EAGAIN, "ready@0 resumed");
  expect_all("a", NULL, WEIR_EAGAIN, "ready@0 fresh");
  expect_all("a", "", WEIR_EAGAIN, "ready@0 fresh");
  weir_stream_release(stream);
}
END_TEST

START_TEST(r10_what_was_lost_is_said) {
  weir_stream *stream = kit_open(&kit, "a");
  char data[2] = "1";

  for (; *data <= '7'; ++*data) {
    kit_publish(stream, "x", data);
  }
  ck_assert_int_eq(weir_stream_trim(stream, 5), WEIR_OK);
  expect_all("a", kit_cursor(stream, 2), WEIR_EAGAIN,
             "gap@5 evicted 2 6-7; ready@5 evicted; x@6 6; x@7 7");
  weir_stream_release(stream);
}
END_TEST

/* F24: numbers come in the order of arrival, whatever the clock says. */
START_TEST(f24_the_clock_orders_nothing) {
  weir_stream *stream = kit_open(&kit, "a");

  kit_publish(stream, "x", "1");
  kit.now -= 500000;
  kit_publish(stream, "x", "2");
  kit_publish(stream, "x", "3");
  kit.now += 900000;
  kit_publish(stream, "x", "4");
  expect_all("a", NULL, WEIR_EAGAIN,
             "ready@0 fresh; x@1 1; x@2 2; x@3 3; "
             "x@4 4");
  weir_stream_release(stream);
}
END_TEST

/* R21, as design.md has it: callers on one hub that take turns. */
START_TEST(r21_numbers_of_many_publishers_have_no_holes) {
  weir_stream *streams[8];
  weir_subscriber *subscriber;
  struct kit_client client;
  uint64_t at = 0;
  size_t i;
  int n;

  for (i = 0; i < 8; ++i) {
    streams[i] = kit_open(&kit, "a");
  }
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  kit_client_init(&client, "");
  for (n = 0; n < 8000; ++n) {
    kit_publish(streams[(n * 7 + n / 13) % 8], "x", "y");
    if (n % 17 == 0 || n == 7999) {
      ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EAGAIN);
      for (i = 0; i < client.count; ++i) {
        if (client.events[i].type[0] == 'x') {
          kit_need(strtoull(strchr(client.events[i].id, '-') + 1, NULL, 10) ==
                   ++at);
        }
      }
      kit_client_forget(&client);
    }
  }
  ck_assert_uint_eq(at, 8000);
  kit_client_free(&client);
  weir_subscriber_release(subscriber);
  for (i = 0; i < 8; ++i) {
    weir_stream_release(streams[i]);
  }
}
END_TEST

/* --- Seams ---------------------------------------------------------------- */

/* Invariant 4, R-1, R-2: attach before, between and after any number of events,
 * and pull at any point: there is no seam between what was and what comes. */
START_TEST(race01_inv04_replay_and_live_have_no_seam) {
  enum { MOST = 12 };
  weir_stream *stream;
  weir_subscriber *subscriber;
  struct kit_bytes bytes = {NULL, 0, 0};
  const int attach_at = _i % MOST;
  const int pull_at = _i / MOST;
  const char *frame;
  uint64_t seq;
  int i;

  stream = kit_open(&kit, "a");
  subscriber = NULL;
  for (i = 0; i < MOST; ++i) {
    if (i == attach_at) {
      subscriber = kit_attach(&kit, "a", NULL, NULL);
    }
    if (i == pull_at && subscriber != NULL) {
      ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
    }
    kit_publish(stream, "x", "y");
  }
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
  frame = strstr(bytes.data, "\n\n") + 2;
  for (seq = 1; seq <= MOST; ++seq) {
    ck_assert_int_eq(strncmp(frame, "id: ", 4), 0);
    ck_assert_int_eq(strncmp(frame + 4, kit_cursor(stream, seq),
                             strlen(kit_cursor(stream, seq))),
                     0);
    frame = strstr(frame, "\n\n") + 2;
  }
  ck_assert_int_eq(*frame, '\0');
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* Invariant 3: whoever resumes again and again from its last id, wherever it
 * was, sees each event once. */
START_TEST(inv03_nothing_comes_twice) {
  weir_stream *stream = kit_open(&kit, "a");
  struct kit_client client;
  weir_subscriber *subscriber;
  char last_id[WEIR_CURSOR_MAX] = "";
  char buffer[256];
  uint64_t seen = 0;
  size_t len;
  size_t i;
  int n;

  for (n = 0; seen < 100; ++n) {
    ck_assert_int_lt(n, 1000);
    if (n < 100) {
      kit_publish(stream, "x", "y");
    }
    subscriber = kit_attach(&kit, "a", last_id, NULL);
    kit_client_init(&client, last_id);
    for (i = 0; i < 1 + (size_t)n % 5; ++i) {
      if (weir_subscriber_read(subscriber, buffer, 100 + (size_t)n % 80,
                               &len) == WEIR_OK) {
        kit_client_feed(&client, buffer, len);
      }
    }
    for (i = 0; i < client.count; ++i) {
      if (client.events[i].type[0] == 'x') {
        seen += 1;
        ck_assert_str_eq(client.events[i].id, kit_cursor(stream, seen));
      }
    }
    strcpy(last_id, client.last_id);
    kit_client_free(&client);
    weir_subscriber_release(subscriber);
  }
  weir_stream_release(stream);
}
END_TEST

/* the last frame arrived in part; the client does not move. */
START_TEST(race33_a_torn_frame_moves_no_cursor) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  struct kit_client client;
  struct kit_bytes bytes = {NULL, 0, 0};
  size_t n;

  kit_publish(stream, "x", "1");
  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  kit_publish(stream, "x", "2");
  ck_assert_int_eq(kit_pull(subscriber, &bytes), WEIR_EAGAIN);
  for (n = 0; n <= bytes.len; ++n) {
    kit_client_init(&client, kit_cursor(stream, 1));
    kit_client_feed(&client, bytes.data, n);
    kit_client_end(&client);
    ck_assert_str_eq(client.last_id,
                     kit_cursor(stream, n == bytes.len ? 2 : 1));
    kit_client_free(&client);
  }
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* --- Failures and ends ---------------------------------------------------- */

/* R32: what fails before it begins is told to who waits, at once. */
START_TEST(r32_a_failed_start_is_no_silence) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach_with(&kit, &options);

  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  ck_assert_int_eq(
      weir_stream_fail(stream, "model", 5, "try again", 9, 0, NULL), WEIR_OK);
  kit_expect_notices(&kit, "s closing; ended 1");
  kit_expect_frames(subscriber, WEIR_EDONE, "failed@1 model try again");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r33_a_failure_is_an_event_of_the_log) {
  weir_stream *stream = kit_open(&kit, "a");
  uint64_t seq = 0;

  kit_publish(stream, "x", "1");
  ck_assert_int_eq(weir_stream_fail(stream, "c", 1, "m", 1, 0, &seq), WEIR_OK);
  ck_assert_uint_eq(seq, 2);
  ck_assert_uint_eq(info_of(stream).last, 2);
  ck_assert_uint_eq(info_of(stream).ended, 2);
  ck_assert_uint_eq(info_of(stream).failed, 1);
  ck_assert_int_eq(info_of(stream).status, WEIR_STREAM_ENDED);
  expect_all("a", kit_cursor(stream, 1), WEIR_EDONE,
             "ready@1 resumed; failed@2 c m");
  expect_all("a", kit_cursor(stream, 1), WEIR_EDONE,
             "ready@1 resumed; failed@2 c m");
  weir_stream_release(stream);
}
END_TEST

/* R36, R-22, invariant 7: of all that want to end it, one does. */
START_TEST(inv07_a_generation_ends_once) {
  const weir_event event = kit_make_event("x", "late");
  weir_stream *stream = kit_open(&kit, "a");
  weir_stream *other = kit_open(&kit, "a");
  struct kit_client client;
  weir_subscriber *subscriber;
  unsigned chance = (unsigned)_i * 2654435761u;
  int wins = 0;
  int i;
  int rv;

  kit_publish(stream, "x", "1");
  for (i = 0; i < 12; ++i) {
    chance = chance * 1664525u + 1013904223u;
    switch (chance >> 29) {
      case 0:
        rv = weir_stream_end(stream, "a", 1, 0, NULL);
        break;
      case 1:
        rv = weir_stream_fail(other, "b", 1, "", 0, 0, NULL);
        break;
      case 2:
        rv = weir_stream_cancel(stream, NULL, 0);
        break;
      case 3:
        rv = weir_stream_end(other, "c", 1, 0, NULL);
        break;
      default:
        rv = weir_stream_publish(other, &event, 1, NULL);
        ck_assert_int_eq(rv, wins == 0 ? WEIR_OK : WEIR_EENDED);
        continue;
    }
    ck_assert_int_eq(rv, wins == 0 ? WEIR_OK : WEIR_EENDED);
    wins += rv == WEIR_OK;
  }
  if (wins == 0) {
    end(stream);
  }
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  kit_client_init(&client, "");
  ck_assert_int_eq(kit_client_read(&client, subscriber), WEIR_EDONE);
  for (i = 0; i < (int)client.count; ++i) {
    ck_assert((strcmp(client.events[i].type, "weir.done") == 0 ||
               strcmp(client.events[i].type, "weir.failed") == 0) ==
              (i + 1 == (int)client.count));
  }
  ck_assert_uint_eq(info_of(stream).ended, info_of(stream).last);
  kit_client_free(&client);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
  weir_stream_release(other);
}
END_TEST

START_TEST(r36_an_end_comes_once) {
  weir_stream *stream = kit_open(&kit, "a");
  const weir_event event = kit_make_event("x", "");

  end(stream);
  ck_assert_int_eq(weir_stream_fail(stream, "c", 1, "m", 1, 0, NULL),
                   WEIR_EENDED);
  ck_assert_int_eq(weir_stream_publish(stream, &event, 1, NULL), WEIR_EENDED);
  expect_all("a", NULL, WEIR_EDONE, "ready@0 fresh; done@1 ok");
  weir_stream_release(stream);
}
END_TEST

/* the end is of the same log as the data. R-6: and has to be taken before
 * the close, a byte at a time if need be. */
START_TEST(race05_the_end_does_not_overtake_data) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  struct kit_bytes bytes = {NULL, 0, 0};
  char byte;
  size_t len;

  kit_publish(stream, "x", "1");
  kit_publish(stream, "x", "2");
  end(stream);
  while (weir_subscriber_read(subscriber, &byte, 1, &len) == WEIR_OK) {
    kit_bytes_add(&bytes, &byte, 1);
  }
  kit_expect_text(bytes.data, bytes.len,
                  "ready@0 fresh; x@1 1; x@2 2; done@3 ok");
  kit_bytes_free(&bytes);
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(race06_the_last_frame_is_taken_before_the_close) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  weir_bytes run;
  size_t count;

  ck_assert_int_eq(kit_skip(subscriber), WEIR_EAGAIN);
  end(stream);
  for (;;) {
    const int rv = weir_subscriber_peek(subscriber, &run, 1, &count);

    if (rv != WEIR_OK) {
      ck_assert_int_eq(rv, WEIR_EDONE);
      break;
    }
    /* As long as a byte is left, it is not done. */
    ck_assert_int_eq(weir_subscriber_consume(subscriber, 1), WEIR_OK);
  }
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* --- Generations ---------------------------------------------------------- */

/* R46: a benign end with the reason, no failure, and nothing more. */
START_TEST(r46_being_replaced_is_no_error) {
  weir_stream *old = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  weir_stream *new;

  kit_publish(old, "x", "1");
  new = replace("a", NULL);
  kit_publish(new, "x", "other");
  kit_expect_frames(subscriber, WEIR_EDONE,
                    "ready@0 fresh; x@1 1; done@2 replaced_by_new_stream");
  ck_assert_uint_eq(info_of(old).failed, 0);
  weir_subscriber_release(subscriber);
  weir_stream_release(old);
  weir_stream_release(new);
}
END_TEST

/* R50, K4: key and generation are two things, and both are told. */
START_TEST(r50_key_and_generation_are_told_apart) {
  weir_stream *old = kit_open(&kit, "a");
  struct kit_client clients[2];
  weir_subscriber *subscribers[2];
  const char *names[2];
  weir_stream *new;
  int i;

  subscribers[0] = kit_attach(&kit, "a", NULL, NULL);
  new = replace("a", NULL);
  subscribers[1] = kit_attach(&kit, "a", NULL, NULL);
  for (i = 0; i < 2; ++i) {
    kit_client_init(&clients[i], "");
    (void)kit_client_read(&clients[i], subscribers[i]);
    ck_assert_ptr_nonnull(strstr(clients[i].events[0].data,
                                 "{\"stream\":\"a\",\"generation\":\""));
    names[i] = strstr(clients[i].events[0].data, "generation\":\"") + 13;
    weir_subscriber_release(subscribers[i]);
  }
  ck_assert_int_ne(strncmp(names[0], names[1], 10), 0);
  for (i = 0; i < 2; ++i) {
    kit_client_free(&clients[i]);
  }
  weir_stream_release(old);
  weir_stream_release(new);
}
END_TEST

START_TEST(race18_two_opens_in_one_tick_are_one_stream) {
  weir_stream *first = kit_open(&kit, "a");
  weir_stream *second = kit_open(&kit, "a");

  ck_assert_uint_eq(info_of(first).joined, 0);
  ck_assert_uint_eq(info_of(second).joined, 1);
  ck_assert_uint_eq(info_of(first).generation, info_of(second).generation);
  weir_stream_release(first);
  weir_stream_release(second);
}
END_TEST

/* everything that the old one still has coming is for itself. */
START_TEST(race19_the_old_one_does_not_touch_the_new) {
  weir_open_options options = kit_open_options("a", "old");
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_subscriber *subscriber;
  weir_stream *old;
  weir_stream *new;

  options.idle = 1000;
  options.on_idle = WEIR_ACTION_FAIL;
  options.linger = 2000;
  old = kit_open_with(&kit, &options);
  kit_publish(old, "x", "1");
  subscriber = kit_attach_with(&kit, &attach);
  new = replace("a", "new");
  kit_expect_notices(&kit, "s closing; old cancelled; old ended 2");
  ck_assert_int_eq(weir_stream_cancel(old, NULL, 0), WEIR_EENDED);
  kit_pass(&kit, 12000);
  weir_subscriber_release(subscriber);
  weir_stream_release(old);
  kit_pass(&kit, 100000);
  kit_expect_notices(&kit, "");
  ck_assert_int_eq(info_of(new).status, WEIR_STREAM_LIVE);
  ck_assert_uint_eq(info_of(new).last, 0);
  expect_all("a", NULL, WEIR_EAGAIN, "ready@0 fresh");
  weir_stream_release(new);
}
END_TEST

/* the old one is replaced, and released, while it is being told. */
static weir_stream *of_notice[2];

static void replace_inside(void *user, const weir_notice *notice) {
  (void)user;
  if (notice->kind == WEIR_NOTICE_STORED && of_notice[1] == NULL) {
    of_notice[1] = replace("a", NULL);
    weir_stream_release(of_notice[0]);
    of_notice[0] = NULL;
  }
}

START_TEST(race20_replaced_inside_its_own_notice) {
  weir_event event = kit_make_event("x", "y");
  weir_subscriber *subscriber;

  weir_hub_free(kit.hub);
  kit.options.notify = replace_inside;
  kit_hub(&kit);
  of_notice[0] = kit_open(&kit, "a");
  of_notice[1] = NULL;
  subscriber = kit_attach(&kit, "a", NULL, NULL);
  event.tag = 1;
  ck_assert_int_eq(weir_stream_publish(of_notice[0], &event, 1, NULL), WEIR_OK);
  ck_assert_int_eq(weir_stream_publish(of_notice[0], &event, 1, NULL), WEIR_OK);
  kit_pass(&kit, 0);
  kit_pass(&kit, 0);
  ck_assert_uint_eq(info_of(of_notice[1]).last, 0);
  kit_expect_frames(
      subscriber, WEIR_EDONE,
      "ready@0 fresh; x@1 y; x@2 y; done@3 replaced_by_new_stream");
  weir_subscriber_release(subscriber);
  weir_stream_release(of_notice[1]);
}
END_TEST

/* A, B, C before A has unwound. */
START_TEST(race21_a_storm_leaves_one) {
  weir_stream *streams[30];
  int i;

  for (i = 0; i < 30; ++i) {
    streams[i] = replace("a", "p");
    kit_publish(streams[i], "x", "y");
  }
  ck_assert_uint_eq(kit_count(&kit, WEIR_NOTICE_CANCELLED), 29);
  for (i = 0; i < 29; ++i) {
    ck_assert_int_eq(info_of(streams[i]).status, WEIR_STREAM_ENDED);
    weir_stream_release(streams[i]);
  }
  kit_pass(&kit, 10000000);
  ck_assert_int_eq(info_of(streams[29]).status, WEIR_STREAM_LIVE);
  expect_all("a", NULL, WEIR_EAGAIN, "ready@0 fresh; x@1 y");
  weir_stream_release(streams[29]);
}
END_TEST

/* a stream that runs is not forgotten, however long nobody comes. */
START_TEST(race16_what_runs_is_not_forgotten) {
  weir_stream *stream = kit_open(&kit, "a");

  kit_publish(stream, "x", "y");
  weir_stream_release(stream);
  kit_pass(&kit, UINT64_C(1) << 40);
  expect_all("a", NULL, WEIR_EAGAIN, "ready@0 fresh; x@1 y");
  stream = kit_open(&kit, "a");
  ck_assert_uint_eq(info_of(stream).joined, 1);
  weir_stream_release(stream);
}
END_TEST

/* the end is there for who comes late. */
START_TEST(race35_the_end_waits_for_the_last_client) {
  weir_stream *stream = kit_open(&kit, "a");

  kit_publish(stream, "x", "y");
  end(stream);
  weir_stream_release(stream);
  kit_pass(&kit, 599999);
  expect_all("a", NULL, WEIR_EDONE, "ready@0 fresh; x@1 y; done@2 ok");
}
END_TEST

/* reasons are few, and do not drift. */
START_TEST(race36_reasons_are_pinned) {
  weir_attach_options options = kit_attach_options("a", "s");
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscribers[4];
  int i;

  options.client = "c";
  options.client_len = 1;
  for (i = 0; i < 3; ++i) {
    subscribers[i] = kit_attach_with(&kit, &options);
    ck_assert_int_eq(kit_skip(subscribers[i]), WEIR_EAGAIN);
    options.client_len = i == 0; /* the second replaces the first */
  }
  kit_expect_frames(subscribers[0], WEIR_EDONE, "closing replaced");
  ck_assert_int_eq(weir_subscriber_close(subscribers[1], NULL, 0, 0), WEIR_OK);
  kit_expect_frames(subscribers[1], WEIR_EDONE, "closing expired");
  ck_assert_int_eq(weir_hub_drain(kit.hub, 0, 0), WEIR_OK);
  kit_pass(&kit, 0);
  kit_pass(&kit, 0);
  kit_expect_frames(subscribers[2], WEIR_EDONE, "closing draining");
  for (i = 0; i < 3; ++i) {
    weir_subscriber_release(subscribers[i]);
  }
  weir_stream_release(stream);
}
END_TEST

/* --- The first frame ------------------------------------------------------ */

/* R58, R63, R69: no warm-up, no bootstrap: there is something to send as soon
 * as a client has attached, before the producer does anything. */
START_TEST(r63_there_is_something_to_send_at_once) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);
  weir_bytes run;
  size_t count;

  ck_assert_int_eq(weir_subscriber_peek(subscriber, &run, 1, &count), WEIR_OK);
  ck_assert_uint_gt(run.len, 0);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

START_TEST(r58_ready_comes_once_whatever_takes_long) {
  weir_stream *stream = kit_open(&kit, "a");
  weir_subscriber *subscriber = kit_attach(&kit, "a", NULL, NULL);

  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  kit_pass(&kit, 4999);
  kit_expect_frames(subscriber, WEIR_EAGAIN, "");
  kit_pass(&kit, 7001);
  kit_expect_frames(subscriber, WEIR_EAGAIN, ":");
  kit_publish(stream, "x", "y");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "x@1 y");
  weir_subscriber_release(subscriber);
  weir_stream_release(stream);
}
END_TEST

/* R70: the order of a run, from the open to the close. */
START_TEST(r70_the_order_of_a_run) {
  weir_open_options open = kit_open_options("a", "p");
  weir_attach_options attach = kit_attach_options("a", "s");
  weir_stream *stream;
  weir_subscriber *subscriber;

  weir_open_options_set_answer(&open);
  stream = kit_open_with(&kit, &open);
  subscriber = kit_attach_with(&kit, &attach);
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "ready@0 fresh");
  kit_pass(&kit, 12000);
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, ":");
  kit_publish(stream, "chunk", "a");
  kit_expect_notices(&kit, "s readable");
  kit_expect_frames(subscriber, WEIR_EAGAIN, "chunk@1 a");
  end(stream);
  kit_expect_notices(&kit, "s closing; p ended 2");
  kit_expect_frames(subscriber, WEIR_EDONE, "done@2 ok");
  weir_subscriber_release(subscriber);
  /* No time is left but the linger. */
  kit_pass(&kit, 599999);
  kit_expect_notices(&kit, "");
  kit_pass(&kit, 1);
  ck_assert_int_eq(weir_hub_get_timeout(kit.hub), -1);
  weir_stream_release(stream);
}
END_TEST

static TCase *ids(void) {
  TCase *tcase = tcase_create("ids");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, inv01_an_id_is_a_position_of_the_log);
  tcase_add_test(tcase, r02_control_frames_have_no_id);
  tcase_add_test(tcase, r04_an_event_has_the_same_bytes_on_every_way);
  tcase_add_test(tcase, r06_a_cursor_is_exclusive);
  tcase_add_test(tcase, r30_a_cursor_of_zero_is_no_absence);
  tcase_add_test(tcase, r10_what_was_lost_is_said);
  tcase_add_test(tcase, f24_the_clock_orders_nothing);
  tcase_add_test(tcase, r21_numbers_of_many_publishers_have_no_holes);
  return tcase;
}

static TCase *seams(void) {
  TCase *tcase = tcase_create("seams");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, race01_inv04_replay_and_live_have_no_seam, 0, 144);
  tcase_add_test(tcase, inv03_nothing_comes_twice);
  tcase_add_test(tcase, race33_a_torn_frame_moves_no_cursor);
  return tcase;
}

static TCase *ends(void) {
  TCase *tcase = tcase_create("ends");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r32_a_failed_start_is_no_silence);
  tcase_add_test(tcase, r33_a_failure_is_an_event_of_the_log);
  tcase_add_loop_test(tcase, inv07_a_generation_ends_once, 0, 100);
  tcase_add_test(tcase, r36_an_end_comes_once);
  tcase_add_test(tcase, race05_the_end_does_not_overtake_data);
  tcase_add_test(tcase, race06_the_last_frame_is_taken_before_the_close);
  return tcase;
}

static TCase *generations(void) {
  TCase *tcase = tcase_create("generations");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r46_being_replaced_is_no_error);
  tcase_add_test(tcase, r50_key_and_generation_are_told_apart);
  tcase_add_test(tcase, race18_two_opens_in_one_tick_are_one_stream);
  tcase_add_test(tcase, race19_the_old_one_does_not_touch_the_new);
  tcase_add_test(tcase, race20_replaced_inside_its_own_notice);
  tcase_add_test(tcase, race21_a_storm_leaves_one);
  tcase_add_test(tcase, race16_what_runs_is_not_forgotten);
  tcase_add_test(tcase, race35_the_end_waits_for_the_last_client);
  tcase_add_test(tcase, race36_reasons_are_pinned);
  return tcase;
}

static TCase *first_frames(void) {
  TCase *tcase = tcase_create("first frames");

  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, r63_there_is_something_to_send_at_once);
  tcase_add_test(tcase, r58_ready_comes_once_whatever_takes_long);
  tcase_add_test(tcase, r70_the_order_of_a_run);
  return tcase;
}

KIT_MAIN("seeds", ids(), seams(), ends(), generations(), first_frames())
