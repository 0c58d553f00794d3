/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "intake.h"

#include "cursor.h"

#define RECORD_FLAGS (WEIR_RECORD_END | WEIR_RECORD_FAILED | WEIR_RECORD_JSON)

bool weir__is_sparse(const struct weir__history *history) {
  return (history->core->log.flags & WEIR_LOG_SPARSE) != 0;
}

/* Where an epoch stands in a list; count if nowhere. */
static size_t find_epoch(const weir_epoch *epochs, size_t count,
                         uint64_t epoch) {
  size_t i = 0;

  while (i < count && epochs[i].epoch != epoch) {
    i += 1;
  }
  return i;
}

/* Whether no epoch stands twice in a list. */
static bool are_different(const weir_epoch *epochs, size_t count) {
  size_t i = 1;

  while (i < count && find_epoch(epochs, i, epochs[i].epoch) == i) {
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

/* An answer whose newest epoch is not known: it says how far ours went in the
 * end. */
static int check_epoch(const struct weir__history *history,
                       const weir_answer *answer, struct weir__report *report) {
  const size_t i = find_epoch(answer->epochs, answer->epoch_count,
                              weir__history_epoch(history));

  /* Nobody takes over what has ended. */
  if (i == answer->epoch_count || history->ended != 0) {
    return WEIR_ELOG;
  }
  report->left = answer->epochs[i].last;
  report->news =
      report->left < history->committed ? WEIR__NEWS_REWOUND : WEIR__NEWS_EPOCH;
  return WEIR_OK;
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
                       struct weir__report *report) {
  const uint64_t ours = weir__history_epoch(history);
  uint64_t newest;
  int rv = WEIR_OK;

  memset(report, 0, sizeof *report);
  report->news = WEIR__NEWS_STATE;
  if (!load_state(answer, &report->state) ||
      (ours != 0 && answer->epochs[0].epoch != history->epochs[0].epoch)) {
    return WEIR_ELOG;
  }
  newest = answer->epochs[answer->epoch_count - 1].epoch;
  if (newest == ours) {
    return denies_end(history, answer) ? WEIR_ELOG : WEIR_OK;
  }
  if (find_epoch(history->epochs, history->epoch_count, newest) <
      history->epoch_count) {
    report->news = WEIR__NEWS_NONE;
    weir__history_state(history, &report->state);
    return WEIR_OK;
  }
  if (!are_different(answer->epochs, answer->epoch_count)) {
    rv = WEIR_ELOG;
  } else if (ours != 0) {
    rv = check_epoch(history, answer, report);
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
    weir__history_commit(history, state->last, state->ended);
  }
  weir__history_trim(history, state->trimmed);
  history->core->floors->changed(history, false);
}

/* One event of an answer, checked. */
struct item {
  weir_cursor cursor;
  struct weir__content content;
  const void *frame; /* or NULL: to be encoded */
  size_t frame_len;
};

/* Record number i of an answer. Where it is not of our size it is read into
 * *copy; what is no record has the number 0, which follows nothing. */
static const weir_record *record_at(const weir_answer *answer, size_t i,
                                    weir_record *copy) {
  const char *records = (const char *)(const void *)answer->records;
  const void *record = records + i * answer->records->size;

  if (answer->records->size == sizeof *copy &&
      answer->records[i].size == sizeof *copy) {
    return record;
  }
  memset(copy, 0, sizeof *copy);
  (void)weir__load(copy, sizeof *copy, record);
  return copy;
}

/* Whether nothing is set in a record that nobody knows. */
static bool is_known(const weir_record *record) {
  return ((record->flags & ~RECORD_FLAGS) | record->reserved0 |
          record->reserved[0] | record->reserved[1]) == 0;
}

static uint64_t seq_of(const weir_answer *answer, size_t i) {
  weir_record copy;

  return record_at(answer, i, &copy)->seq;
}

static void make_item(const weir_record *record, struct item *item) {
  item->cursor.epoch = record->epoch;
  item->cursor.seq = record->seq;
  item->content.type = record->type;
  item->content.type_len = record->type_len;
  item->content.data = record->data;
  item->content.data_len = record->data_len;
  item->content.json = (record->flags & WEIR_RECORD_JSON) != 0;
  item->content.bare = (record->flags & WEIR_RECORD_END) != 0;
  item->frame = record->frame;
  item->frame_len = record->frame_len;
}

static void load_item(const weir_answer *answer, size_t i, struct item *item) {
  weir_record copy;

  make_item(record_at(answer, i, &copy), item);
}

static bool is_content_sound(const struct weir__history *history,
                             const struct weir__scheme *scheme,
                             const struct item *item) {
  const struct weir__content *content = &item->content;
  const uint64_t limit = history->core->options.max_event_bytes;

  if (item->frame != NULL) {
    return (history->core->log.flags & WEIR_LOG_CHECKED) != 0 ||
           weir__check_frame(scheme, &item->cursor, item->frame,
                             item->frame_len);
  }
  return (content->type != NULL || content->type_len == 0) &&
         (content->data != NULL || content->data_len == 0) &&
         (limit == 0 || content->bare || content->data_len <= limit) &&
         weir__check_content(scheme, content) == WEIR_OK;
}

/* Whether an event may stand where it stands in an answer. */
static bool is_item_sound(const struct weir__history *history,
                          const struct weir__scheme *scheme,
                          const weir_state *state, const weir_answer *answer,
                          const struct item *item) {
  const weir_cursor *cursor = &item->cursor;

  /* In the decimal format epochs are nobody's business. */
  return cursor->seq <= state->last &&
         (scheme->format == WEIR_CURSOR_DECIMAL ||
          cursor->epoch == weir__state_epoch_of(state, cursor->seq)) &&
         item->content.bare ==
             (answer->ended != 0 && cursor->seq == answer->ended) &&
         is_content_sound(history, scheme, item);
}

/* Whether event seq may follow event at: everything in between was declared to
 * be gone. */
static bool may_follow(const struct weir__history *history,
                       const weir_answer *answer, uint64_t at, uint64_t seq) {
  return seq > at &&
         (seq == at + 1 || weir__is_sparse(history) ||
          seq - 1 <= answer->trimmed || seq - 1 <= answer->lost_through);
}

/* How many events of an answer to a read of those after lo up to hi can be
 * believed: those before the first that cannot be what it says; but where
 * numbers have holes, one that is out of order is one that was passed over. */
static size_t count_sound(const struct weir__history *history,
                          const struct weir__scheme *scheme,
                          const weir_state *state, const weir_answer *answer,
                          uint64_t lo, uint64_t hi) {
  const size_t count = answer->records == NULL ? 0 : answer->record_count;
  const weir_record *record;
  weir_record copy;
  struct item item;
  size_t i;

  for (i = 0; i < count; ++i) {
    record = record_at(answer, i, &copy);
    if (!is_known(record) || record->seq > hi ||
        !may_follow(history, answer, lo, record->seq)) {
      break;
    }
    make_item(record, &item);
    if (!is_item_sound(history, scheme, state, answer, &item)) {
      break;
    }
    lo = record->seq;
  }
  return i < answer->record_count && weir__is_sparse(history) ? 0 : i;
}

/* A page that stands for events after+1 to last: lost, or there are none. */
static int insert_empty(struct weir__history *history, uint64_t after,
                        uint64_t last, bool lost) {
  struct weir__page *page;
  int rv = weir__page_new(history->core, 0, &page);

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

static void put_item(struct weir__out *out, const struct weir__scheme *scheme,
                     const struct item *item) {
  if (item->frame != NULL) {
    weir__put(out, item->frame, item->frame_len);
  } else {
    weir__put_content(out, scheme, &item->content, &item->cursor);
  }
}

/* The events of an answer from number i to before *stop that follow one another
 * without a hole: where they end, and how much room they need. */
static int measure(const struct weir__history *history,
                   const struct weir__scheme *scheme, const weir_answer *answer,
                   size_t i, size_t *stop, size_t *room) {
  const size_t from = i;
  struct weir__out out;
  struct item item;
  uint64_t at;

  weir__out_init(&out, NULL, 0);
  do {
    load_item(answer, i, &item);
    put_item(&out, scheme, &item);
    at = item.cursor.seq;
    i += 1;
  } while (i < *stop &&
           (weir__is_sparse(history) || seq_of(answer, i) == at + 1));
  *stop = i;
  *room = out.len + (i - from) * sizeof(struct weir__page_entry);
  /* not reached: needs more memory than there are addresses for, but where
   * they have 32 bits */
  return out.overflow ? WEIR_EOVERFLOW : WEIR_OK;
}

/* Make a page of the events from number i to before stop. */
static int insert_run(struct weir__history *history,
                      const struct weir__scheme *scheme,
                      const weir_answer *answer, uint64_t after, size_t i,
                      size_t stop, size_t room) {
  struct weir__page *page;
  struct weir__out out;
  struct item item;
  int rv = weir__page_new(history->core, room, &page);

  if (rv != WEIR_OK) {
    return rv;
  }
  page->after = after;
  page->sparse = weir__is_sparse(history);
  page->unread = true;
  for (; i < stop; ++i) {
    load_item(answer, i, &item);
    weir__out_init(&out, weir__page_bytes(page) + page->used,
                   weir__page_room(page));
    put_item(&out, scheme, &item);
    weir__page_add(page, out.len, item.cursor.seq);
  }
  rv = weir__history_insert(history, page);
  if (rv != WEIR_OK) {
    weir__page_release(page);
  }
  return rv;
}

/* Event seq does not follow at immediately. What lies in between is lost, or
 * (trimmed) will be known to be gone with the state. */
static int insert_hole(struct weir__history *history, const weir_answer *answer,
                       uint64_t at, uint64_t seq) {
  return seq - 1 > answer->trimmed ? insert_empty(history, at, seq - 1, true)
                                   : WEIR_OK;
}

/* What an answer does not have of lo+1 to hi, from at+1 on: it was too much for
 * one answer, it is gone, or (if the numbers may have holes) there is nothing.
 */
static int finish_block(struct weir__history *history,
                        const weir_answer *answer, uint64_t at, uint64_t hi) {
  const uint64_t lost = weir__min(answer->lost_through, hi);

  at = weir__max(at, answer->trimmed);
  if (lost > at) {
    return insert_empty(history, at, lost, true);
  }
  if (answer->record_count != 0 || at >= hi) {
    return WEIR_OK;
  }
  return weir__is_sparse(history) ? insert_empty(history, at, hi, false)
                                  : WEIR_ELOG;
}

int weir__intake_block(struct weir__history *history,
                       const struct weir__scheme *scheme,
                       const struct weir__report *report,
                       const weir_answer *answer, uint64_t lo, uint64_t hi) {
  const bool sparse = weir__is_sparse(history);
  const size_t count =
      count_sound(history, scheme, &report->state, answer, lo, hi);
  uint64_t at = lo;
  uint64_t seq;
  size_t room;
  size_t stop;
  size_t i;
  int rv = WEIR_OK;

  for (i = 0; rv == WEIR_OK && i < count; i = stop) {
    seq = seq_of(answer, i);
    if (!sparse && seq != at + 1) {
      rv = insert_hole(history, answer, at, seq);
      at = seq - 1;
    }
    stop = count;
    if (rv == WEIR_OK) {
      rv = measure(history, scheme, answer, i, &stop, &room);
    }
    if (rv == WEIR_OK) {
      rv = insert_run(history, scheme, answer, at, i, stop, room);
      at = seq_of(answer, stop - 1);
    }
  }
  if (rv == WEIR_OK && count < answer->record_count) {
    /* Whoever gets as far as that, and asks again, is told. */
    return count == 0 ? WEIR_ELOG : WEIR_OK;
  }
  return rv == WEIR_OK ? finish_block(history, answer, at, hi) : rv;
}

/* Take in one event at the head, if it is not there yet. */
static int append_item(struct weir__history *history,
                       const struct weir__scheme *scheme,
                       const weir_answer *answer, size_t i) {
  struct item item;
  int rv = WEIR_OK;

  load_item(answer, i, &item);
  if (item.cursor.seq <= history->put) {
    return WEIR_OK;
  }
  if (!weir__is_sparse(history) && item.cursor.seq != history->put + 1) {
    rv = insert_hole(history, answer, history->put, item.cursor.seq);
    history->put = item.cursor.seq - 1;
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  return item.frame != NULL
             ? weir__history_put_frame(history, &item.cursor, item.frame,
                                       item.frame_len)
             : weir__history_put(history, scheme, &item.cursor, &item.content);
}

int weir__intake_append(struct weir__history *history,
                        const struct weir__scheme *scheme,
                        const weir_answer *answer, uint64_t after) {
  struct weir__report report;
  size_t count;
  size_t i;
  int rv = weir__intake_check(history, answer, &report);

  /* What another writer has done is taken in by numbers; its events are asked
   * for when somebody wants them. */
  if (rv == WEIR_OK && history->follow && report.news == WEIR__NEWS_STATE) {
    count = count_sound(history, scheme, &report.state, answer, after,
                        (uint64_t)WEIR_SEQ_MAX);
    rv = count == 0 && answer->record_count != 0 ? WEIR_ELOG : WEIR_OK;
    for (i = 0; rv == WEIR_OK && i < count; ++i) {
      rv = append_item(history, scheme, answer, i);
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
