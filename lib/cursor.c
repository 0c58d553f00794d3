/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include <weir/cursor.h>

#include "cursor.h"
#include "out.h"
#include "util.h"

/* What stands in comments that begin with @ is for `make prove`: no text makes
 * a function that reads one err at run time. */

/* RFC 4648, section 6, in lower case. */
static const char digits32[] = "abcdefghijklmnopqrstuvwxyz234567";

/* 13 digits of 5 bits hold 64 bits; the first of 13 is at most 15 ('p'). */
#define EPOCH_DIGITS 13
#define SEQ_DIGITS 19

static void put_epoch(struct weir__out *out, uint64_t epoch) {
  char text[EPOCH_DIGITS];
  size_t at = sizeof text;

  do {
    text[--at] = digits32[epoch & 31];
    epoch >>= 5;
  } while (epoch != 0);
  weir__put(out, text + at, sizeof text - at);
}

int weir_cursor_format(const weir_cursor *cursor, int format, void *dst,
                       size_t cap, size_t *len) {
  struct weir__out out;

  if (cursor == NULL || cursor->seq > (uint64_t)WEIR_SEQ_MAX ||
      (format != WEIR_CURSOR_EPOCH && format != WEIR_CURSOR_DECIMAL) ||
      (format == WEIR_CURSOR_EPOCH && cursor->epoch == 0)) {
    return WEIR_EINVAL;
  }
  weir__out_init(&out, dst, cap);
  if (format == WEIR_CURSOR_EPOCH) {
    put_epoch(&out, cursor->epoch);
    weir__put_text(&out, "-");
  }
  weir__put_number(&out, cursor->seq);
  return weir__out_end(&out, len);
}

/* Value of a base 32 digit, or 32. */
/*@ assigns \nothing;
  @ ensures \result <= 32; */
static unsigned digit32(unsigned char c) {
  if (c >= 'a' && c <= 'z') {
    return (unsigned)(c - 'a');
  }
  return c >= '2' && c <= '7' ? (unsigned)(c - '2') + 26 : 32;
}

/* Read an epoch up to the hyphen; returns where that is, 0 if it is none. */
/*@ requires \valid_read(p + (0 .. len - 1)) && \valid(epoch);
  @ requires \separated(p + (0 .. len - 1), epoch);
  @ assigns *epoch;
  @ ensures \result < len || \result == 0; */
static size_t parse_epoch(const unsigned char *p, size_t len, uint64_t *epoch) {
  uint64_t value = 0;
  unsigned digit;
  size_t i;

  /*@ loop invariant i <= len;
    @ loop assigns i, value, digit;
    @ loop variant len - i; */
  for (i = 0; i < len && p[i] != '-'; ++i) {
    digit = digit32(p[i]);
    /* A leading 'a' is a leading zero; and the epoch 0 is nobody's. */
    if (digit == 32 || (i == 0 && digit == 0) || value > UINT64_MAX / 32) {
      return 0;
    }
    value = value * 32 + digit;
  }
  if (i == len) {
    return 0;
  }
  *epoch = value;
  return i;
}

/*@ requires \valid_read(p + (0 .. len - 1)) && \valid(seq);
  @ requires \separated(p + (0 .. len - 1), seq);
  @ assigns *seq; */
static bool parse_seq(const unsigned char *p, size_t len, uint64_t *seq) {
  uint64_t value = 0;
  size_t i;

  if (len == 0 || (p[0] == '0' && len > 1)) {
    return false;
  }
  /*@ loop invariant i <= len;
    @ loop assigns i, value;
    @ loop variant len - i; */
  for (i = 0; i < len; ++i) {
    if (p[i] < '0' || p[i] > '9' || value > (uint64_t)WEIR_SEQ_MAX / 10) {
      return false;
    }
    value = value * 10 + (uint64_t)(p[i] - '0');
  }
  *seq = value;
  return value <= (uint64_t)WEIR_SEQ_MAX;
}

/*@ requires \valid_read((const unsigned char *)text + (0 .. text_len - 1));
  @ requires \valid(cursor);
  @ requires \separated((const unsigned char *)text + (0 .. text_len - 1),
  @                      cursor);
  @ assigns *cursor; */
int weir_cursor_parse(int format, const void *text, size_t text_len,
                      weir_cursor *cursor) {
  const unsigned char *p = text;
  weir_cursor value = {0, 0};
  size_t at = 0;

  if ((format != WEIR_CURSOR_EPOCH && format != WEIR_CURSOR_DECIMAL) ||
      cursor == NULL) {
    return WEIR_EINVAL;
  }
  if (text_len == 0) {
    return WEIR_EABSENT;
  }
  if (text_len > EPOCH_DIGITS + 1 + SEQ_DIGITS) {
    return WEIR_EMALFORMED;
  }
  if (format == WEIR_CURSOR_EPOCH) {
    at = parse_epoch(p, text_len, &value.epoch);
    if (at == 0) {
      return WEIR_EMALFORMED;
    }
    at += 1;
  }
  if (!parse_seq(p + at, text_len - at, &value.seq)) {
    return WEIR_EMALFORMED;
  }
  *cursor = value;
  return WEIR_OK;
}

void weir_state_init(weir_state *state, size_t size) {
  weir__start(state, size);
}

void weir_request_init(weir_request *request, size_t size) {
  weir__start(request, size);
}

/* Value of a hex digit, or 16. */
/*@ assigns \nothing;
  @ ensures \result <= 16; */
static unsigned digit16(unsigned char c) {
  if (c >= '0' && c <= '9') {
    return (unsigned)(c - '0');
  }
  if (c >= 'A' && c <= 'F') {
    return (unsigned)(c - 'A') + 10;
  }
  return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* Percent-decode text (a plus stays a plus; no cursor has one, nor a blank). */
/*@ requires \valid_read(p + (0 .. len - 1));
  @ requires \valid(dst + (0 .. WEIR_CURSOR_MAX - 1)) && \valid(dst_len);
  @ requires \separated(p + (0 .. len - 1), dst + (0 .. WEIR_CURSOR_MAX - 1),
  @                      dst_len);
  @ assigns dst[0 .. WEIR_CURSOR_MAX - 1], *dst_len;
  @ ensures \result == WEIR_OK ==> 0 < *dst_len <= WEIR_CURSOR_MAX; */
static int decode(const unsigned char *p, size_t len, unsigned char *dst,
                  size_t *dst_len) {
  unsigned high;
  unsigned low;
  size_t n = 0;
  size_t i;

  /*@ loop invariant i <= len && n <= WEIR_CURSOR_MAX;
    @ loop assigns i, n, high, low, dst[0 .. WEIR_CURSOR_MAX - 1];
    @ loop variant len - i; */
  for (i = 0; i < len; ++i) {
    if (n == WEIR_CURSOR_MAX) {
      return WEIR_EMALFORMED;
    }
    if (p[i] != '%') {
      dst[n++] = p[i];
      continue;
    }
    if (len - i < 3) {
      return WEIR_EMALFORMED;
    }
    high = digit16(p[i + 1]);
    low = digit16(p[i + 2]);
    if (high == 16 || low == 16) {
      return WEIR_EMALFORMED;
    }
    dst[n++] = (unsigned char)(high * 16 + low);
    i += 2;
  }
  *dst_len = n;
  return n == 0 ? WEIR_EABSENT : WEIR_OK;
}

/*@ requires \valid_read(text + (0 .. len - 1));
  @ assigns \nothing; */
static bool is_known(const unsigned char *text, size_t len) {
  static const char *const known[] = {"lastEventId", "last_event_id",
                                      "Last-Event-ID", "evs_last_event_id"};
  size_t i = 0;

  while (i < sizeof known / sizeof known[0] &&
         !weir__same(text, len, known[i], strlen(known[i]))) {
    i += 1;
  }
  return i < sizeof known / sizeof known[0];
}

/*@ requires \valid_read(name + (0 .. len - 1));
  @ assigns \nothing; */
static bool is_cursor_name(const unsigned char *name, size_t len) {
  unsigned char text[WEIR_CURSOR_MAX];
  size_t text_len;

  return decode(name, len, text, &text_len) == WEIR_OK &&
         is_known(text, text_len);
}

/* Where a byte is, or len. */
/*@ requires \valid_read(p + (0 .. len - 1));
  @ assigns \nothing;
  @ ensures \result <= len; */
static size_t find(const unsigned char *p, size_t len, unsigned char byte) {
  const unsigned char *found = memchr(p, byte, len);

  return found == NULL ? len : (size_t)(found - p);
}

/* The first parameter of a known name whose value is not empty. */
/*@ requires \valid_read(p + (0 .. len - 1));
  @ requires \valid(dst + (0 .. WEIR_CURSOR_MAX - 1)) && \valid(dst_len);
  @ requires \separated(p + (0 .. len - 1), dst + (0 .. WEIR_CURSOR_MAX - 1),
  @                      dst_len);
  @ assigns dst[0 .. WEIR_CURSOR_MAX - 1], *dst_len;
  @ ensures \result == WEIR_OK ==> 0 < *dst_len <= WEIR_CURSOR_MAX; */
static int pick_query(const unsigned char *p, size_t len, unsigned char *dst,
                      size_t *dst_len) {
  size_t at = 0;
  size_t pair;
  size_t name;
  int rv = WEIR_EABSENT;

  /*@ loop invariant at <= len;
    @ loop invariant rv == WEIR_OK ==> 0 < *dst_len <= WEIR_CURSOR_MAX;
    @ loop assigns at, pair, name, rv, dst[0 .. WEIR_CURSOR_MAX - 1], *dst_len;
    @ loop variant len - at; */
  while (at < len && rv == WEIR_EABSENT) {
    pair = find(p + at, len - at, '&');
    name = find(p + at, pair, '=');
    if (name < pair && is_cursor_name(p + at, name)) {
      rv = decode(p + at + name + 1, pair - name - 1, dst, dst_len);
    }
    at += pair < len - at ? pair + 1 : pair;
  }
  return rv;
}

/*@ requires \valid_read(request);
  @ requires \valid_read((const unsigned char *)request->header +
  @                      (0 .. request->header_len - 1));
  @ requires \valid_read((const unsigned char *)request->query +
  @                      (0 .. request->query_len - 1));
  @ requires \valid_read((const unsigned char *)request->path +
  @                      (0 .. request->path_len - 1));
  @ requires \valid(dst + (0 .. WEIR_CURSOR_MAX - 1)) && \valid(dst_len);
  @ requires \separated(dst + (0 .. WEIR_CURSOR_MAX - 1), dst_len, request,
  @                      (const unsigned char *)request->header +
  @                      (0 .. request->header_len - 1),
  @                      (const unsigned char *)request->query +
  @                      (0 .. request->query_len - 1),
  @                      (const unsigned char *)request->path +
  @                      (0 .. request->path_len - 1));
  @ assigns dst[0 .. WEIR_CURSOR_MAX - 1], *dst_len;
  @ ensures \result == WEIR_OK ==> 0 < *dst_len <= WEIR_CURSOR_MAX; */
static int pick(const weir_request *request, unsigned char *dst,
                size_t *dst_len) {
  int rv;

  if (request->header_len > WEIR_CURSOR_MAX) {
    return WEIR_EMALFORMED;
  }
  if (request->header_len != 0) {
    memcpy(dst, request->header, request->header_len);
    *dst_len = request->header_len;
    return WEIR_OK;
  }
  rv = pick_query(request->query, request->query_len, dst, dst_len);
  return rv == WEIR_EABSENT
             ? decode(request->path, request->path_len, dst, dst_len)
             : rv;
}

int weir_cursor_pick(const weir_request *callers, void *dst, size_t cap,
                     size_t *len) {
  unsigned char text[WEIR_CURSOR_MAX];
  weir_request request;
  size_t text_len;
  int rv;

  weir_request_init(&request, sizeof request);
  rv = weir__load(&request, sizeof request, callers);
  if (rv != WEIR_OK || cap < WEIR_CURSOR_MAX ||
      !weir__is_zero(request.reserved, sizeof request.reserved)) {
    return WEIR_EINVAL;
  }
  rv = pick(&request, text, &text_len);
  if (rv == WEIR_OK) {
    memcpy(dst, text, text_len);
    *len = text_len;
  }
  return rv;
}

size_t weir__epoch_find(const weir_epoch *epochs, size_t count,
                        uint64_t epoch) {
  size_t i = count;

  /* The newest are asked for most. */
  while (i > 0 && epochs[i - 1].epoch != epoch) {
    --i;
  }
  return i == 0 ? count : i - 1;
}

/* Which epoch a cursor names, as an index; epoch_count if none. Without an
 * epoch it is taken to mean the newest. */
static size_t find_epoch(const weir_state *state, uint64_t epoch) {
  return epoch == 0
             ? state->epoch_count - 1
             : weir__epoch_find(state->epochs, state->epoch_count, epoch);
}

const weir_epoch *weir__state_epoch_of(const weir_state *state, uint64_t seq) {
  size_t i = 0;

  while (i + 1 < state->epoch_count && state->epochs[i].last < seq) {
    ++i;
  }
  return &state->epochs[i];
}

bool weir__state_is_sound(const weir_state *state) {
  size_t i;

  if (state->epoch_count == 0 || state->trimmed > state->last ||
      state->last > (uint64_t)WEIR_SEQ_MAX ||
      (state->ended != 0 && state->ended != state->last) ||
      state->epochs[state->epoch_count - 1].last != state->last) {
    return false;
  }
  for (i = 0; i < state->epoch_count; ++i) {
    if (state->epochs[i].epoch == 0 ||
        (i > 0 && state->epochs[i].last < state->epochs[i - 1].last)) {
      return false;
    }
  }
  return true;
}

/* Whether a cursor of this generation is that of its end. */
static bool has_seen_end(const weir_state *state, const weir_cursor *cursor) {
  size_t i = find_epoch(state, cursor->epoch);

  return state->ended != 0 && i < state->epoch_count &&
         cursor->seq == state->ended && cursor->seq <= state->epochs[i].last;
}

/* The verdict on a cursor of a known epoch, and the position after it. */
static int judge(const weir_state *state, size_t i, uint64_t seq,
                 uint64_t *position) {
  const uint64_t limit = state->epochs[i].last;

  *position = state->trimmed;
  if (seq > limit) {
    if (i + 1 == state->epoch_count) {
      return WEIR_VERDICT_AHEAD;
    }
    if (limit < state->trimmed) {
      return WEIR_VERDICT_FOREIGN;
    }
    *position = limit;
    return WEIR_VERDICT_REWOUND;
  }
  if (seq < state->trimmed) {
    return WEIR_VERDICT_EVICTED;
  }
  *position = seq;
  return WEIR_VERDICT_RESUMED;
}

/* The position of a client that has no cursor. */
static uint64_t fresh(const weir_state *state, int start) {
  if (start == WEIR_FROM_START) {
    return state->trimmed;
  }
  return state->ended == 0 ? state->last
                           : weir__max(state->ended - 1, state->trimmed);
}

static int resolve(const weir_state *state, const weir_state *previous,
                   int parsed, const weir_cursor *cursor, int start,
                   uint64_t *position) {
  size_t i;

  *position = state->trimmed;
  if (parsed == WEIR_EABSENT) {
    *position = fresh(state, start);
    /* Even the end is gone: there is nothing to come, ever. */
    return state->ended != 0 && *position == state->ended
               ? WEIR_VERDICT_FINISHED
               : WEIR_VERDICT_FRESH;
  }
  if (parsed != WEIR_OK) {
    return WEIR_VERDICT_MALFORMED;
  }
  /* A cursor without an epoch cannot be told from one of this generation. */
  if (has_seen_end(state, cursor) || (previous != NULL && cursor->epoch != 0 &&
                                      has_seen_end(previous, cursor))) {
    return WEIR_VERDICT_FINISHED;
  }
  i = find_epoch(state, cursor->epoch);
  return i == state->epoch_count ? WEIR_VERDICT_FOREIGN
                                 : judge(state, i, cursor->seq, position);
}

void weir__state_resolve(const weir_state *state, const weir_state *previous,
                         int parsed, const weir_cursor *cursor, int start,
                         weir_resolution *resolution) {
  memset(resolution, 0, sizeof *resolution);
  resolution->verdict = resolve(state, previous, parsed, cursor, start,
                                &resolution->position.seq);
  if (resolution->verdict == WEIR_VERDICT_FINISHED && parsed == WEIR_OK) {
    resolution->position = *cursor;
  } else {
    resolution->position.epoch =
        weir__state_epoch_of(state, resolution->position.seq)->epoch;
  }
  resolution->first = resolution->verdict == WEIR_VERDICT_FINISHED
                          ? 0
                          : resolution->position.seq + 1;
  resolution->last = state->last;
  resolution->gap = resolution->verdict >= WEIR_VERDICT_EVICTED &&
                    resolution->verdict <= WEIR_VERDICT_MALFORMED;
}

/* Read a caller's state; NULL stays NULL in *given. */
static bool load_state(weir_state *state, const weir_state *callers,
                       const weir_state **given) {
  memset(state, 0, sizeof *state);
  *given = callers == NULL ? NULL : state;
  return callers == NULL ||
         (weir__load(state, sizeof *state, callers) == WEIR_OK &&
          weir__is_zero(state->reserved, sizeof state->reserved) &&
          weir__state_is_sound(state));
}

int weir_cursor_resolve(const weir_state *callers,
                        const weir_state *callers_previous, int parsed,
                        const weir_cursor *cursor, int start,
                        weir_resolution *resolution) {
  weir_resolution result = {.verdict = WEIR_VERDICT_UNKNOWN};
  weir_state states[2];
  const weir_state *state;
  const weir_state *previous;

  if (!load_state(&states[0], callers, &state) ||
      !load_state(&states[1], callers_previous, &previous) ||
      (parsed == WEIR_OK && cursor == NULL) ||
      (start != WEIR_FROM_START && start != WEIR_FROM_HEAD)) {
    return WEIR_EINVAL;
  }
  if (state != NULL) {
    weir__state_resolve(state, previous, parsed, cursor, start, &result);
  }
  return weir__store(resolution, &result, sizeof result);
}

const char *weir_verdict_name(int verdict) {
  static const char *const names[] = {
      "pending", "fresh",   "resumed",   "evicted",  "ahead",
      "rewound", "foreign", "malformed", "finished", "unknown"};

  return verdict >= WEIR_VERDICT_PENDING && verdict <= WEIR_VERDICT_UNKNOWN
             ? names[verdict]
             : "none";
}
