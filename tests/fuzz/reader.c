/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

void fuzz_reader_init(struct fuzz_reader *reader) {
  memset(reader, 0, sizeof *reader);
  kit_client_init(&reader->client, "");
}

void fuzz_reader_free(struct fuzz_reader *reader) {
  fuzz_reader_end(reader);
  kit_client_free(&reader->client);
}

void fuzz_reader_begin(struct fuzz_reader *reader,
                       weir_subscriber *subscriber) {
  kit_need(reader->subscriber == NULL);
  reader->subscriber = subscriber;
  reader->has_gap = false;
  reader->has_begun = false;
  reader->is_over = false;
}

void fuzz_reader_end(struct fuzz_reader *reader) {
  weir_subscriber_release(reader->subscriber);
  reader->subscriber = NULL;
  kit_client_end(&reader->client);
}

static bool is_type(const struct kit_event *event, const char *type) {
  return strcmp(event->type, type) == 0;
}

/* Where it stands is said, at first and after a loss. */
static void take_position(struct fuzz_reader *reader,
                          const struct kit_event *event,
                          const weir_cursor *cursor) {
  if (is_type(event, "weir.gap")) {
    /* A loss in mid-connection goes forward. */
    kit_need(!reader->has_begun || cursor->seq >= reader->at);
    reader->has_gap = true;
  } else {
    kit_need(!reader->has_begun);
    kit_need(!reader->has_gap || cursor->seq == reader->at);
    reader->has_begun = true;
  }
  reader->at = cursor->seq;
}

/* An event of the log comes where it belongs. */
static void check_order(const struct fuzz_reader *reader, uint64_t seq) {
  const uint64_t next = reader->next == NULL
                            ? reader->at + 1
                            : reader->next(reader->user, reader->at);

  if (next != 0) {
    ck_assert_uint_eq(seq, next);
  } else {
    ck_assert_uint_gt(seq, reader->at);
  }
}

static void take(struct fuzz_reader *reader, const struct kit_event *event) {
  weir_cursor cursor = {0, 0};

  ck_assert_int_eq(weir_cursor_parse(WEIR_CURSOR_EPOCH, event->id,
                                     strlen(event->id), &cursor),
                   WEIR_OK);
  if (is_type(event, "weir.closing") || is_type(event, "weir.ping") ||
      is_type(event, "signal")) {
    /* It has no id, and moves nobody. */
    kit_need(reader->has_begun && cursor.seq == reader->at);
    return;
  }
  if (is_type(event, "weir.gap") || is_type(event, "weir.ready")) {
    take_position(reader, event, &cursor);
    return;
  }
  kit_need(reader->has_begun && !reader->is_over);
  if (is_type(event, "weir.failed") && cursor.seq == reader->at) {
    /* In the open, and not in the log: without an id. */
    return;
  }
  check_order(reader, cursor.seq);
  reader->at = cursor.seq;
  reader->is_over =
      is_type(event, "weir.failed") || is_type(event, "weir.done");
  if (reader->check != NULL) {
    reader->check(reader->user, event, &cursor);
  }
}

static int read_some(struct fuzz_reader *reader, char *buffer, size_t most,
                     bool by_peek, size_t *len) {
  weir_bytes runs[3];
  size_t count;
  size_t n = 0;
  size_t i;
  int rv;

  if (!by_peek) {
    return weir_subscriber_read(reader->subscriber, buffer, most, len);
  }
  rv = weir_subscriber_peek(reader->subscriber, runs, 3, &count);
  if (rv != WEIR_OK) {
    return rv;
  }
  kit_need(count >= 1 && count <= 3);
  for (i = 0; i < count && n < most; ++i) {
    const size_t part = runs[i].len < most - n ? runs[i].len : most - n;

    kit_need(runs[i].len != 0);
    memcpy(buffer + n, runs[i].base, part);
    n += part;
  }
  *len = n;
  return weir_subscriber_consume(reader->subscriber, n);
}

int fuzz_reader_take(struct fuzz_reader *reader, size_t most, bool by_peek) {
  char buffer[4096];
  size_t len = 0;
  size_t i;
  int rv;

  if (most > sizeof buffer) {
    most = sizeof buffer;
  }
  rv = read_some(reader, buffer, most, by_peek, &len);
  if (rv != WEIR_OK) {
    return rv;
  }
  kit_need(len >= 1 && len <= most);
  kit_client_feed(&reader->client, buffer, len);
  for (i = 0; i < reader->client.count; ++i) {
    take(reader, &reader->client.events[i]);
  }
  kit_client_forget(&reader->client);
  return WEIR_OK;
}
