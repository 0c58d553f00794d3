/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "intake.h"

#include "cursor.h"

/* What may be set in a record besides that it is the end. */
#define RECORD_FLAGS (WEIR_RECORD_FAILED | WEIR_RECORD_JSON)

bool weir__is_sparse(const struct weir__history *history) {
  return (history->core->log.flags & WEIR_LOG_SPARSE) != 0;
}

/* Whether no epoch stands twice in a list. */
static bool are_different(const weir_epoch *epochs, size_t count) {
  size_t i = 1;

  while (i < count && weir__epoch_find(epochs, i, epochs[i].epoch) == i) {
    i += 1;
  }
  return i >= count;
}

/* Whether an answer of our own epoch says that the generation goes on after the
 * end that is known, or ends elsewhere. */
static bool denies_end(const struct weir__history *history,
                       const weir_answer *answer) {
  const uint64_t ended = history->ended;

  return ended != 0 && answer->ended != ended &&
         (answer->ended != 0 || answer->last >= ended);
}

/* An answer that has another newest epoch than ours, and the same first: the
 * newest that both know says how far what is known here is true still. That is
 * ours, unless storage has gone back behind a take-over. */
static int check_epoch(const struct weir__history *history,
                       const weir_answer *answer, bool recent,
                       struct weir__report *report) {
  size_t i = history->epoch_count;
  size_t j;

  /* Nobody takes over what has ended. */
  if (history->ended != 0) {
    return WEIR_ELOG;
  }
  do {
    i -= 1;
    j = weir__epoch_find(answer->epochs, answer->epoch_count,
                         history->epochs[i].epoch);
  } while (j == answer->epoch_count);
  if (i + 1 != history->epoch_count && !recent) {
    return WEIR_ELOG;
  }
  report->left = weir__min(history->epochs[i].last, answer->epochs[j].last);
  report->news =
      report->left < history->committed ? WEIR__NEWS_REWOUND : WEIR__NEWS_EPOCH;
  return WEIR_OK;
}

static bool knows(const struct weir__history *history, uint64_t epoch) {
  return weir__epoch_find(history->epochs, history->epoch_count, epoch) <
         history->epoch_count;
}

/* The state of an answer, if it does not contradict itself. */
static bool load_state(const weir_answer *answer, weir_state *state) {
  memset(state, 0, sizeof *state);
  state->size = sizeof *state;
  state->epochs = answer->epochs;
  state->epoch_count = answer->epoch_count;
  state->trimmed = answer->trimmed;
  state->last = answer->last;
  state->ended = answer->ended;
  return answer->epochs != NULL && weir__state_is_sound(state);
}

int weir__intake_check(struct weir__history *history, const weir_answer *answer,
                       uint64_t asked, struct weir__report *report) {
  const uint64_t ours = weir__history_epoch(history);
  uint64_t newest;
  int rv = WEIR_OK;

  memset(report, 0, sizeof *report);
  report->news = WEIR__NEWS_STATE;
  report->failed = answer->ended != 0 && answer->failed != 0;
  if (!load_state(answer, &report->state) ||
      (ours != 0 && answer->epochs[0].epoch != history->epochs[0].epoch)) {
    return WEIR_ELOG;
  }
  newest = answer->epochs[answer->epoch_count - 1].epoch;
  if (newest == ours) {
    return denies_end(history, answer) ? WEIR_ELOG : WEIR_OK;
  }
  if ((asked != ours || history->ended != 0) && knows(history, newest)) {
    report->news = WEIR__NEWS_NONE;
    weir__history_state(history, &report->state);
    return WEIR_OK;
  }
  if (!are_different(answer->epochs, answer->epoch_count)) {
    rv = WEIR_ELOG;
  } else if (ours != 0) {
    rv = check_epoch(history, answer, asked == ours, report);
  }
  return rv == WEIR_OK
             ? weir__history_reserve_epochs(history, answer->epoch_count)
             : rv;
}

bool weir__intake_is_other(const struct weir__history *history,
                           const weir_answer *answer) {
  weir_state state;

  return load_state(answer, &state) &&
         answer->epochs[0].epoch != history->epochs[0].epoch;
}

bool weir__intake_is_newer(const struct weir__history *history,
                           const weir_answer *answer) {
  weir_state state;

  return load_state(answer, &state) &&
         !knows(history, answer->epochs[answer->epoch_count - 1].epoch);
}

/* Somebody else writes it now; what was not stored, never will be. */
static void follow(struct weir__history *history,
                   const struct weir__report *report) {
  if (report->news == WEIR__NEWS_REWOUND) {
    weir__history_rewind(history, report->left);
    history->core->floors->changed(history, true);
  } else {
    weir__history_take_back(history, history->committed);
  }
  history->follow = true;
}

void weir__intake_adopt(struct weir__history *history,
                        const struct weir__report *report) {
  const weir_state *state = &report->state;

  if (report->news == WEIR__NEWS_NONE) {
    return;
  }
  if (report->news >= WEIR__NEWS_EPOCH) {
    follow(history, report);
  }
  if (report->news >= WEIR__NEWS_EPOCH || history->epoch_count == 0) {
    weir__history_set_epochs(history, state->epochs, state->epoch_count);
  }
  if (history->follow && state->last >= history->committed) {
    history->failed = history->failed || report->failed;
    weir__history_commit(history, state->last, state->ended);
  }
  weir__history_trim(history, state->trimmed);
  history->core->floors->changed(history, false);
}

/* A record of another size than ours, read into *copy. */
static const weir_record *copy_record(const void *record, weir_record *copy) {
  memset(copy, 0, sizeof *copy);
  (void)weir__load(copy, sizeof *copy, record);
  return copy;
}

/* Record number i of an answer. *copy is for one that is not of our size; what
 * is no record has the number 0, which follows nothing. */
static inline const weir_record *record_at(const weir_answer *answer, size_t i,
                                           weir_record *copy) {
  const size_t step = answer->records->size;
  const char *records = (const char *)(const void *)answer->records;

  return step == sizeof *copy && answer->records[i].size == sizeof *copy
             ? &answer->records[i]
             : copy_record(records + i * step, copy);
}

static bool is_end(const weir_record *record) {
  return (record->flags & WEIR_RECORD_END) != 0;
}

static uint64_t seq_of(const weir_answer *answer, size_t i) {
  weir_record copy;

  return record_at(answer, i, &copy)->seq;
}

static void get_cursor(const weir_record *record, weir_cursor *cursor) {
  cursor->epoch = record->epoch;
  cursor->seq = record->seq;
}

/* What is to be encoded, where there is no frame. */
static void get_content(const weir_record *record,
                        struct weir__content *content) {
  content->type = record->type;
  content->type_len = record->type_len;
  content->data = record->data;
  content->data_len = record->data_len;
  content->json = (record->flags & WEIR_RECORD_JSON) != 0;
  content->bare = is_end(record);
}

static bool is_frame_sound(const struct weir__scheme *scheme,
                           const weir_record *record) {
  weir_cursor cursor;

  get_cursor(record, &cursor);
  return weir__check_frame(scheme, &cursor, record->frame, record->frame_len);
}

static bool is_content_sound(const struct weir__history *history,
                             const struct weir__scheme *scheme,
                             const weir_record *record) {
  const uint64_t limit = history->core->options.max_event_bytes;
  struct weir__content content;

  get_content(record, &content);
  return (content.type != NULL || content.type_len == 0) &&
         (content.data != NULL || content.data_len == 0) &&
         (limit == 0 || content.bare || content.data_len <= limit) &&
         weir__check_content(scheme, &content) == WEIR_OK;
}

/* The events of an answer, to be checked one after the other. */
struct sieve {
  const struct weir__history *history;
  const struct weir__scheme *scheme;
  const weir_state *state;
  uint64_t at;    /* the event before */
  uint64_t hi;    /* there is none beyond this, or it was not asked for */
  uint64_t gone;  /* what is not there up to here need not be */
  uint64_t until; /* the next ones up to this */
  uint64_t epoch; /* have this epoch, */
  uint32_t end;   /* and say this of the end, */
  uint64_t ended; /* which is this one; 0: there is none */
  bool checked;   /* frames are what they were */
};

static void begin_sieve(struct sieve *sieve,
                        const struct weir__history *history,
                        const struct weir__scheme *scheme,
                        const weir_state *state, const weir_answer *answer,
                        uint64_t lo, uint64_t hi) {
  sieve->history = history;
  sieve->scheme = scheme;
  sieve->state = state;
  sieve->at = lo;
  sieve->hi = weir__min(hi, state->last);
  sieve->gone = weir__is_sparse(history)
                    ? UINT64_MAX
                    : weir__max(answer->trimmed, answer->lost_through);
  sieve->until = 0;
  sieve->epoch = 0;
  sieve->end = 0;
  sieve->ended = answer->ended;
  sieve->checked = (history->core->log.flags & WEIR_LOG_CHECKED) != 0;
}

/* What event seq has to say, and some that follow. false: there is none. */
static bool turn_sieve(struct sieve *sieve, uint64_t seq) {
  const weir_epoch *epoch = weir__state_epoch_of(sieve->state, seq);

  sieve->epoch = epoch->epoch;
  sieve->until = weir__min(epoch->last, sieve->hi);
  sieve->end = seq == sieve->ended ? WEIR_RECORD_END : 0;
  if (sieve->ended >= seq) {
    sieve->until = weir__min(sieve->until, weir__max(seq, sieve->ended - 1));
  }
  return seq <= sieve->until;
}

/* Whether the next event of an answer may stand where it stands, behind those
 * that could. */
static inline bool pass(struct sieve *sieve, const weir_record *record) {
  const uint64_t seq = record->seq;

  if ((seq != sieve->at + 1 && (seq <= sieve->at || seq - 1 > sieve->gone)) ||
      (seq > sieve->until && !turn_sieve(sieve, seq)) ||
      (((record->flags & ~RECORD_FLAGS) ^ sieve->end) | record->reserved0 |
       record->reserved[0] | record->reserved[1]) != 0 ||
      /* In the decimal format epochs are nobody's business. */
      (sieve->scheme->format != WEIR_CURSOR_DECIMAL &&
       record->epoch != sieve->epoch) ||
      !(record->frame != NULL
            ? sieve->checked || is_frame_sound(sieve->scheme, record)
            : is_content_sound(sieve->history, sieve->scheme, record))) {
    return false;
  }
  sieve->at = seq;
  return true;
}

static size_t record_count(const weir_answer *answer) {
  return answer->records == NULL ? 0 : answer->record_count;
}

/* How many events of an answer can be believed: those before the first that
 * cannot be what it says; but where numbers have holes, one that is out of
 * order is one that was passed over. */
static size_t count_sound(struct sieve *sieve, const weir_answer *answer) {
  const size_t count = record_count(answer);
  weir_record copy;
  size_t i = 0;

  while (i < count && pass(sieve, record_at(answer, i, &copy))) {
    ++i;
  }
  return i < answer->record_count && weir__is_sparse(sieve->history) ? 0 : i;
}

/* A page that stands for events after+1 to last: lost, or there are none. */
static int insert_empty(struct weir__history *history, uint64_t after,
                        uint64_t last, bool lost) {
  struct weir__page *page;
  int rv = weir__page_new(history->core, WEIR__NEED_EVENT, 0, &page);

  if (rv != WEIR_OK) {
    return rv;
  }
  page->after = after;
  page->last = last;
  page->lost = lost;
  page->unread = true;
  rv = weir__history_insert(history, page);
  if (rv != WEIR_OK) {
    weir__page_release(page);
  }
  return rv;
}

/* Put the frame of a record that has been checked. */
static void put_record(struct weir__out *out, const struct weir__scheme *scheme,
                       const weir_record *record) {
  struct weir__content content;
  weir_cursor cursor;

  if (record->frame != NULL) {
    weir__put(out, record->frame, record->frame_len);
  } else {
    get_cursor(record, &cursor);
    get_content(record, &content);
    weir__put_content(out, scheme, &content, &cursor);
  }
}

/* Where the hole ends that is between `at` and event seq of an answer; at:
 * there is none. If the numbers have holes by nature, only what is said to be
 * lost is one. */
static uint64_t hole_before(const struct weir__history *history,
                            const weir_answer *answer, uint64_t at,
                            uint64_t seq) {
  const uint64_t lost = answer->lost_through;

  if (!weir__is_sparse(history)) {
    return seq > at ? seq - 1 : at;
  }
  return lost > at && lost < seq ? lost : at;
}

/* The events of an answer from number i on that pass and follow one another
 * without a hole, as many as a page takes: where they end, and how much room
 * they need. */
static size_t measure(struct sieve *sieve, const weir_answer *answer, size_t i,
                      size_t *room) {
  const size_t count = record_count(answer);
  const size_t from = i;
  const weir_record *record;
  struct weir__out out;
  weir_record copy;

  weir__out_init(&out, NULL, 0);
  for (; i < count && out.len < WEIR__PAGE_MOST; ++i) {
    record = record_at(answer, i, &copy);
    if ((i != from && hole_before(sieve->history, answer, sieve->at,
                                  record->seq) != sieve->at) ||
        !pass(sieve, record)) {
      break;
    }
    put_record(&out, sieve->scheme, record);
  }
  *room = out.len + (i - from) * sizeof(struct weir__page_entry);
  /* not reached: needs more memory than there are addresses for, but where
   * they have 32 bits */
  return out.overflow ? from : i;
}

/* Make a page of the events from number i to before stop. */
static int insert_run(struct weir__history *history,
                      const struct weir__scheme *scheme,
                      const weir_answer *answer, uint64_t after, size_t i,
                      size_t stop, size_t room) {
  const weir_record *record;
  struct weir__page *page;
  struct weir__out out;
  weir_record copy;
  int rv = weir__page_new(history->core, WEIR__NEED_EVENT, room, &page);

  if (rv != WEIR_OK) {
    return rv;
  }
  page->after = after;
  page->sparse = weir__is_sparse(history);
  page->unread = true;
  /* Not the room of the index, which what is put may spill over on its way. */
  weir__out_init(&out, weir__page_bytes(page),
                 room - (stop - i) * sizeof(struct weir__page_entry));
  for (; i < stop; ++i) {
    record = record_at(answer, i, &copy);
    put_record(&out, scheme, record);
    weir__page_add(page, out.len - page->used, record->seq);
  }
  rv = weir__history_insert(history, page);
  if (rv != WEIR_OK) {
    weir__page_release(page);
  }
  return rv;
}

/* What is between *at and event seq is lost, or (trimmed) will be known to be
 * gone with the state. */
static int insert_hole(struct weir__history *history, const weir_answer *answer,
                       uint64_t *at, uint64_t seq) {
  const uint64_t from = *at;
  const uint64_t end = hole_before(history, answer, from, seq);

  *at = end;
  return end > from && end > answer->trimmed
             ? insert_empty(history, from, end, true)
             : WEIR_OK;
}

/* What an answer does not have of lo+1 to hi, from at+1 on: it was too much for
 * one answer, it is gone, or (if the numbers may have holes) there is nothing,
 * for certain if the answer went on beyond. */
static int finish_block(struct weir__history *history,
                        const weir_answer *answer, bool goes_on, uint64_t at,
                        uint64_t hi) {
  const uint64_t lost = weir__min(answer->lost_through, hi);

  at = weir__max(at, answer->trimmed);
  if (lost > at) {
    return insert_empty(history, at, lost, true);
  }
  if ((answer->record_count != 0 && !goes_on) || at >= hi) {
    return WEIR_OK;
  }
  return weir__is_sparse(history) ? insert_empty(history, at, hi, false)
                                  : WEIR_ELOG;
}

int weir__intake_block(struct weir__history *history,
                       const struct weir__scheme *scheme,
                       const struct weir__report *report,
                       const weir_answer *answer, uint64_t lo, uint64_t upto,
                       uint64_t hi) {
  const bool sparse = weir__is_sparse(history);
  size_t count = answer->record_count;
  struct sieve sieve;
  uint64_t at = lo;
  size_t room;
  size_t stop;
  size_t i;
  int rv = WEIR_OK;

  if (sparse) {
    begin_sieve(&sieve, history, scheme, &report->state, answer, lo, upto);
    if (count_sound(&sieve, answer) < count) {
      return WEIR_ELOG;
    }
    while (count != 0 && seq_of(answer, count - 1) > hi) {
      count -= 1;
    }
  }
  begin_sieve(&sieve, history, scheme, &report->state, answer, lo, hi);
  for (i = 0; rv == WEIR_OK && i < count; i = stop) {
    stop = measure(&sieve, answer, i, &room);
    if (stop == i) {
      /* Whoever gets as far as that, and asks again, is told. */
      return i == 0 ? WEIR_ELOG : WEIR_OK;
    }
    rv = insert_hole(history, answer, &at, seq_of(answer, i));
    if (rv == WEIR_OK) {
      rv = insert_run(history, scheme, answer, at, i, stop, room);
      at = sieve.at;
    }
  }
  return rv == WEIR_OK ? finish_block(history, answer,
                                      count < answer->record_count, at, hi)
                       : rv;
}

/* Take in one event at the head, if it is not there yet. */
static int append_record(struct weir__history *history,
                         const struct weir__scheme *scheme,
                         const weir_answer *answer, size_t i) {
  struct weir__content content;
  const weir_record *record;
  weir_cursor cursor;
  weir_record copy;
  int rv;

  record = record_at(answer, i, &copy);
  if (record->seq <= history->put) {
    return WEIR_OK;
  }
  rv = insert_hole(history, answer, &history->put, record->seq);
  if (rv != WEIR_OK) {
    return rv;
  }
  get_cursor(record, &cursor);
  if (record->frame != NULL) {
    return weir__history_put_frame(history, &cursor, record->frame,
                                   record->frame_len);
  }
  get_content(record, &content);
  return weir__history_put(history, scheme, &cursor, &content);
}

int weir__intake_append(struct weir__history *history,
                        const struct weir__scheme *scheme,
                        const weir_answer *answer, uint64_t asked,
                        uint64_t after) {
  struct weir__report report;
  struct sieve sieve;
  size_t count;
  size_t i;
  int rv = weir__intake_check(history, answer, asked, &report);

  /* What another writer has done is taken in by numbers; its events are asked
   * for when somebody wants them, and so are those that have been lost since,
   * and perhaps been replaced. */
  if (rv == WEIR_OK && history->follow && report.news == WEIR__NEWS_STATE &&
      after <= history->put) {
    begin_sieve(&sieve, history, scheme, &report.state, answer, after,
                (uint64_t)WEIR_SEQ_MAX);
    count = count_sound(&sieve, answer);
    rv = count == 0 && answer->record_count != 0 ? WEIR_ELOG : WEIR_OK;
    for (i = 0; rv == WEIR_OK && i < count; ++i) {
      rv = append_record(history, scheme, answer, i);
    }
    if (rv != WEIR_OK) {
      weir__history_take_back(history, history->committed);
    }
  }
  if (rv == WEIR_OK) {
    weir__intake_adopt(history, &report);
  }
  return rv;
}
