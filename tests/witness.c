/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit.h"
#include "simdisk.h"

/* --- What was published ----------------------------------------------------*/

uint32_t facts_add(struct facts *facts, uint64_t generation, uint64_t epoch,
                   uint64_t seq, uint32_t batch) {
  struct fact *fact;
  size_t i;

  for (i = 0; i < facts->count; ++i) {
    fact = &facts->list[i];
    if (fact->seq == seq && fact->epoch == epoch &&
        fact->generation == generation) {
      ck_abort_msg("number %llu of an epoch is given twice",
                   (unsigned long long)seq);
    }
  }
  if (facts->count == facts->cap) {
    facts->cap = facts->cap * 2 + 64;
    facts->list = realloc(facts->list, facts->cap * sizeof *facts->list);
    kit_need(facts->list != NULL);
  }
  fact = &facts->list[facts->count++];
  fact->generation = generation;
  fact->epoch = epoch;
  fact->seq = seq;
  fact->acked = false;
  fact->batch = batch != 0 ? batch : (uint32_t)facts->count;
  return (uint32_t)facts->count;
}

void facts_free(struct facts *facts) {
  free(facts->list);
  memset(facts, 0, sizeof *facts);
}

size_t fact_data(uint32_t id, char dst[FACT_MOST]) {
  uint64_t seed = id;
  const uint64_t kind = sim_draw(&seed) % 64;
  const size_t most = kind == 0 ? FACT_MOST - 16 : kind < 32 ? 400 : 20;
  const size_t filler = (size_t)(sim_draw(&seed) % most);
  size_t len = (size_t)sprintf(dst, "%lu:", (unsigned long)id);
  size_t i;

  for (i = 0; i < filler; ++i) {
    dst[len++] = (char)('a' + (id + i) % 26);
  }
  return len;
}

/* --- What a client was given -----------------------------------------------*/

void witness_init(struct witness *witness, const struct facts *facts) {
  memset(witness, 0, sizeof *witness);
  witness->facts = facts;
}

void witness_connect(struct witness *witness) {
  witness->has_begun = false;
  witness->has_gap = false;
}

/* One frame. */
struct frame {
  const char *type;
  size_t type_len;
  const char *data;
  size_t data_len;
  bool has_id;
  char id[WEIR_CURSOR_MAX + 1];
  weir_cursor cursor; /* of the id */
};

static bool is_type(const struct frame *frame, const char *type) {
  return frame->type_len == strlen(type) &&
         memcmp(frame->type, type, frame->type_len) == 0;
}

/* What stands behind the name of a member of a frame of weir's. */
static const char *member(const struct frame *frame, const char *name) {
  static char json[1024];
  const char *p;

  kit_need(frame->data_len < sizeof json);
  memcpy(json, frame->data, frame->data_len);
  json[frame->data_len] = '\0';
  p = strstr(json, name);
  kit_need(p != NULL);
  return p + strlen(name);
}

static uint64_t generation_of(const struct frame *frame) {
  const char *name = member(frame, "\"generation\":\"");
  char text[WEIR_CURSOR_MAX + 1];
  weir_cursor cursor;
  const int len =
      snprintf(text, sizeof text, "%.*s-0", (int)strcspn(name, "\""), name);

  ck_assert_int_eq(
      weir_cursor_parse(WEIR_CURSOR_EPOCH, text, (size_t)len, &cursor),
      WEIR_OK);
  return cursor.epoch;
}

/* What it does not have before this number it will not get. */
static void lose_before(struct witness *witness, uint64_t seq) {
  uint64_t n;

  kit_need(seq <= WITNESS_MOST);
  for (n = 1; n < seq; ++n) {
    if (witness->held[n] == WITNESS_NOTHING) {
      witness->held[n] = WITNESS_LOST;
    }
  }
}

/* What it has from this number on is void. */
static void drop_from(struct witness *witness, uint64_t seq) {
  for (; seq < WITNESS_MOST; ++seq) {
    witness->held[seq] = WITNESS_NOTHING;
  }
  witness->ended = false;
}

static void take_gap(struct witness *witness, const struct frame *frame) {
  const uint64_t first = strtoull(member(frame, "\"first\":"), NULL, 10);
  const uint64_t generation = generation_of(frame);

  witness->has_gap = true;
  if (generation != witness->generation ||
      strncmp(member(frame, "\"verdict\":"), "\"foreign", 8) == 0) {
    drop_from(witness, 0);
    witness->generation = generation;
  }
  drop_from(witness, first);
  lose_before(witness, first);
  kit_need(frame->has_id && frame->cursor.seq + 1 == first);
}

static void take_ready(struct witness *witness, const struct frame *frame) {
  const uint64_t generation = generation_of(frame);

  kit_need(frame->has_id && !witness->has_begun);
  witness->has_begun = true;
  if (witness->generation == 0) {
    /* It begins with what there is left. */
    witness->generation = generation;
    lose_before(witness, frame->cursor.seq + 1);
  } else {
    ck_assert_uint_eq(generation, witness->generation);
    ck_assert_uint_eq(frame->cursor.seq, witness->at);
  }
}

static void take_event(struct witness *witness, const struct frame *frame) {
  char data[FACT_MOST];
  const uint64_t seq = frame->cursor.seq;
  const struct fact *fact;
  uint32_t id;

  kit_need(frame->has_id && witness->has_begun && !witness->ended);
  ck_assert_uint_eq(seq, witness->at + 1);
  kit_need(seq < WITNESS_MOST);
  if (is_type(frame, "weir.done") || is_type(frame, "weir.failed")) {
    ck_assert_uint_eq(generation_of(frame), witness->generation);
    witness->held[seq] = WITNESS_END;
    witness->ended = true;
    return;
  }
  id = (uint32_t)strtoul(frame->data, NULL, 10);
  kit_need(id >= 1 && id <= witness->facts->count);
  fact = &witness->facts->list[id - 1];
  ck_assert_uint_eq(fact->generation, witness->generation);
  ck_assert_uint_eq(fact->epoch, frame->cursor.epoch);
  ck_assert_uint_eq(fact->seq, seq);
  ck_assert_uint_eq(fact_data(id, data), frame->data_len);
  kit_need(memcmp(frame->data, data, frame->data_len) == 0);
  witness->held[seq] = id;
}

static void take_frame(struct witness *witness, const struct frame *frame) {
  if (is_type(frame, "weir.closing") || is_type(frame, "signal")) {
    kit_need(!frame->has_id);
    return;
  }
  if (is_type(frame, "weir.gap")) {
    take_gap(witness, frame);
  } else if (is_type(frame, "weir.ready")) {
    take_ready(witness, frame);
  } else if (!frame->has_id) {
    /* The stream has failed in the open, and not in the log. */
    kit_need(is_type(frame, "weir.failed"));
    return;
  } else {
    take_event(witness, frame);
  }
  strcpy(witness->last_id, frame->id);
  witness->at = frame->cursor.seq;
}

static void take_line(struct frame *frame, const char *line, size_t len) {
  if (len > 4 && memcmp(line, "id: ", 4) == 0) {
    kit_need(len - 4 <= WEIR_CURSOR_MAX);
    memcpy(frame->id, line + 4, len - 4);
    ck_assert_int_eq(weir_cursor_parse(WEIR_CURSOR_EPOCH, frame->id, len - 4,
                                       &frame->cursor),
                     WEIR_OK);
    frame->has_id = true;
  } else if (len > 7 && memcmp(line, "event: ", 7) == 0) {
    frame->type = line + 7;
    frame->type_len = len - 7;
  } else if (len >= 6 && memcmp(line, "data: ", 6) == 0) {
    kit_need(frame->data == NULL);
    frame->data = line + 6;
    frame->data_len = len - 6;
  } else {
    kit_need(len > 7 && memcmp(line, "retry: ", 7) == 0);
  }
}

void witness_feed(struct witness *witness, const char *bytes, size_t len) {
  const char *end = bytes + len;
  struct frame frame;
  const char *stop;

  memset(&frame, 0, sizeof frame);
  for (; bytes < end; bytes = stop + 1) {
    stop = memchr(bytes, '\n', (size_t)(end - bytes));
    kit_need(stop != NULL);
    if (stop != bytes && *bytes != ':') {
      take_line(&frame, bytes, (size_t)(stop - bytes));
    } else if (stop == bytes && frame.data != NULL) {
      take_frame(witness, &frame);
      memset(&frame, 0, sizeof frame);
    }
  }
  kit_need(frame.data == NULL && !frame.has_id);
}

int witness_read(struct witness *witness, weir_subscriber *subscriber) {
  struct kit_bytes bytes = {NULL, 0, 0};
  const int rv = kit_pull(subscriber, &bytes);

  witness_feed(witness, bytes.data, bytes.len);
  kit_bytes_free(&bytes);
  return rv;
}

void witness_expect_whole(const struct witness *witness) {
  const struct facts *facts = witness->facts;
  const struct fact *fact;
  uint32_t held;
  size_t i;

  for (i = 0; i < facts->count; ++i) {
    fact = &facts->list[i];
    if (fact->generation != witness->generation) {
      continue;
    }
    held = witness->held[facts->list[fact->batch - 1].seq];
    if (held == fact->batch && witness->held[fact->seq] != i + 1 &&
        witness->held[fact->seq] != WITNESS_LOST) {
      ck_abort_msg("fact %zu is not there, but %lu before it in its batch is",
                   i + 1, (unsigned long)fact->batch);
    }
  }
}

void witness_compare(const struct witness *witness,
                     const struct witness *other) {
  uint64_t n;

  ck_assert_uint_eq(witness->generation, other->generation);
  for (n = 1; n < WITNESS_MOST; ++n) {
    const uint32_t mine = witness->held[n];
    const uint32_t others = other->held[n];

    if (mine != others && mine != WITNESS_LOST && others != WITNESS_LOST) {
      ck_abort_msg("of event %llu a client has fact %lu, and another %lu",
                   (unsigned long long)n, (unsigned long)mine,
                   (unsigned long)others);
    }
  }
}
