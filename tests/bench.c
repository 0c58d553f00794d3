/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "bench.h"

#include <stdio.h>
#include <string.h>

void bench_init(struct bench *bench) {
  memset(bench, 0, sizeof *bench);
  testlog_init(&bench->log);
  kit_init(&bench->a);
  kit_init(&bench->b);
  /* Two processes draw different epochs. */
  bench->b.chance = 4711;
  bench->a.options.log = &bench->log.log;
  bench->b.options.log = &bench->log.log;
}

void bench_hub(struct bench *bench) {
  kit_hub(&bench->a);
}

void bench_hubs(struct bench *bench) {
  kit_hub(&bench->a);
  kit_hub(&bench->b);
}

void bench_end(struct bench *bench) {
  weir_hub_free(bench->a.hub);
  weir_hub_free(bench->b.hub);
  /* Answers for what has gone. */
  testlog_deliver_all(&bench->log);
  bench->a.hub = NULL;
  bench->b.hub = NULL;
  ck_assert_uint_eq(bench->a.memory.live, 0);
  ck_assert_uint_eq(bench->b.memory.live, 0);
  testlog_end(&bench->log);
}

void bench_restart(struct bench *bench) {
  kit_end(&bench->a);
  kit_hub(&bench->a);
}

static void run(struct kit *kit) {
  if (kit->hub != NULL) {
    kit_pass(kit, 0);
  }
}

void bench_rest(struct bench *bench) {
  int i;

  /* What a turn brings up is done in the next. */
  for (i = 0; i < 2; ++i) {
    do {
      testlog_deliver_all(&bench->log);
      run(&bench->a);
      run(&bench->b);
    } while (testlog_waiting(&bench->log) != 0);
  }
}

void bench_pass(struct bench *bench, uint64_t ms) {
  bench->a.now += ms;
  bench->b.now += ms;
  bench_rest(bench);
}

void bench_publish(struct bench *bench, weir_stream *stream, size_t n) {
  uint64_t seq = bench_info(stream).last;
  char data[24];

  for (; n != 0; --n) {
    snprintf(data, sizeof data, "%llu", (unsigned long long)++seq);
    kit_publish(stream, "x", data);
  }
  bench_rest(bench);
}

weir_stream_info bench_info(const weir_stream *stream) {
  weir_stream_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_stream_get_info(stream, &info), WEIR_OK);
  return info;
}

weir_hub_info bench_hub_info(const struct kit *kit) {
  weir_hub_info info;

  info.size = sizeof info;
  ck_assert_int_eq(weir_hub_get_info(kit->hub, &info), WEIR_OK);
  return info;
}

static weir_subscriber *attach(struct bench *bench, struct kit *kit,
                               const char *key, const char *cursor,
                               int *verdict) {
  weir_subscriber_info info;
  int judged = WEIR_VERDICT_PENDING;
  weir_subscriber *subscriber = kit_attach(kit, key, cursor, &judged);

  if (judged == WEIR_VERDICT_PENDING) {
    bench_rest(bench);
    while (kit_next(kit).kind != WEIR_NOTICE_DECIDED) {
    }
    info.size = sizeof info;
    ck_assert_int_eq(weir_subscriber_get_info(subscriber, &info), WEIR_OK);
    ck_assert_int_eq(info.error, WEIR_OK);
    judged = info.verdict;
    ck_assert_int_ne(judged, WEIR_VERDICT_PENDING);
    if (judged == WEIR_VERDICT_FINISHED || judged == WEIR_VERDICT_UNKNOWN) {
      weir_subscriber_release(subscriber);
      subscriber = NULL;
    }
  }
  if (verdict != NULL) {
    *verdict = judged;
  }
  return subscriber;
}

weir_subscriber *bench_attach(struct bench *bench, struct kit *kit,
                              const char *key, int *verdict) {
  return attach(bench, kit, key, NULL, verdict);
}

weir_subscriber *bench_resume(struct bench *bench, struct kit *kit,
                              const char *key, uint64_t epoch, uint64_t seq,
                              int *verdict) {
  const weir_cursor cursor = {epoch, seq};
  char text[WEIR_CURSOR_MAX + 1];
  size_t len;

  ck_assert_int_eq(weir_cursor_format(&cursor, kit->options.cursor_format, text,
                                      WEIR_CURSOR_MAX, &len),
                   WEIR_OK);
  text[len] = '\0';
  return attach(bench, kit, key, text, verdict);
}

/* Take the epoch out of what gap frames say was requested. */
static void strip_requested(struct kit_bytes *bytes) {
  static const char mark[] = "\"requested\":\"";
  char *p = strstr(bytes->data, mark);
  char *number;

  for (; p != NULL; p = strstr(p, mark)) {
    p += strlen(mark);
    number = p + strcspn(p, "-\"");
    if (*number == '-') {
      number += 1;
      memmove(p, number, strlen(number) + 1);
      bytes->len -= (size_t)(number - p);
    }
  }
}

void bench_expect(struct bench *bench, weir_subscriber *subscriber, int end,
                  const char *text) {
  struct kit_bytes bytes = {NULL, 0, 0};
  size_t before = 0;
  int quiet = 0;
  int rv;

  do {
    rv = kit_pull(subscriber, &bytes);
    bench_rest(bench);
    quiet = bytes.len == before ? quiet + 1 : 0;
    before = bytes.len;
  } while (quiet < 3);
  strip_requested(&bytes);
  kit_expect_text(bytes.data, bytes.len, text);
  ck_assert_int_eq(rv, end);
  kit_bytes_free(&bytes);
}

weir_stream *bench_open(struct bench *bench, struct kit *kit, const char *key) {
  weir_stream *stream = kit_open(kit, key);

  bench_rest(bench);
  ck_assert_int_eq(bench_info(stream).status, WEIR_STREAM_LIVE);
  return stream;
}
