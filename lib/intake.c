/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "intake.h"

#include "cursor.h"

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

/* Take over the epochs of an answer. A newer one than ours says how far ours
 * went in the end; an older one, that the answer comes late. */
int weir__intake_epochs(struct weir__history *history,
                        const weir_answer *answer, enum weir__news *news) {
  const uint64_t ours = weir__history_epoch(history);
  const weir_state state = {
      sizeof state,    answer->epochs, answer->epoch_count,
      answer->trimmed, answer->last,   answer->ended,
      {0, 0}};
  uint64_t newest;
  size_t i = 0;

  *news = WEIR__NEWS_STATE;
  if (answer->epochs == NULL || !weir__state_is_sound(&state)) {
    return WEIR_ELOG;
  }
  newest = answer->epochs[answer->epoch_count - 1].epoch;
  if (newest == ours) {
    return WEIR_OK;
  }
  if (ours != 0) {
    if (find_epoch(history->epochs, history->epoch_count, newest) <
        history->epoch_count) {
      *news = WEIR__NEWS_NONE;
      return WEIR_OK;
    }
    i = find_epoch(answer->epochs, answer->epoch_count, ours);
    if (i == answer->epoch_count ||
        answer->epochs[0].epoch != history->epochs[0].epoch) {
      return WEIR_ELOG;
    }
    *news = answer->epochs[i].last < history->committed ? WEIR__NEWS_REWOUND
                                                        : WEIR__NEWS_EPOCH;
  }
  if (weir__history_set_epochs(history, answer->epochs, answer->epoch_count) !=
      WEIR_OK) {
    return WEIR_ENOMEM;
  }
  if (*news == WEIR__NEWS_REWOUND) {
    weir__history_take_back(history, answer->epochs[i].last);
    history->committed = history->put;
  }
  return WEIR_OK;
}

/* Take over how far the generation has come. */
void weir__intake_progress(struct weir__history *history,
                           const weir_answer *answer, enum weir__news news) {
  if (news == WEIR__NEWS_NONE) {
    return;
  }
  if (news >= WEIR__NEWS_EPOCH) {
    weir__history_take_back(history, history->committed);
    history->follow = true;
  }
  if (history->follow && answer->last >= history->committed) {
    weir__history_commit(history, answer->last, answer->ended);
  }
  weir__history_trim(history, answer->trimmed);
  history->core->floors->changed(history, news == WEIR__NEWS_REWOUND);
}

int weir__intake_adopt(struct weir__history *history,
                       const weir_answer *answer) {
  enum weir__news news;
  int rv = weir__intake_epochs(history, answer, &news);

  if (rv == WEIR_OK) {
    weir__intake_progress(history, answer, news);
  }
  return rv;
}

/* One event of an answer, checked. */
struct item {
  weir_cursor cursor;
  struct weir__content content;
  const void *frame; /* or NULL: to be encoded */
  size_t frame_len;
};

static int check_item(const struct weir__history *history,
                      const struct weir__scheme *scheme,
                      const weir_record *record, struct item *item) {
  if (record->frame != NULL) {
    return weir__check_frame(scheme, &item->cursor, record->frame,
                             record->frame_len)
               ? WEIR_OK
               : WEIR_ELOG;
  }
  if (history->core->options.max_event_bytes != 0 && !item->content.bare &&
      record->data_len > history->core->options.max_event_bytes) {
    return WEIR_ELOG;
  }
  return weir__check_content(scheme, &item->content) == WEIR_OK ? WEIR_OK
                                                                : WEIR_ELOG;
}

/* Read record number i of an answer, whose records may be shorter than ours or
 * longer. */
static bool load_record(const weir_answer *answer, size_t i,
                        weir_record *record) {
  const char *records = (const char *)(const void *)answer->records;

  memset(record, 0, sizeof *record);
  return weir__load(record, sizeof *record,
                    records + i * answer->records->size) == WEIR_OK;
}

/* Its number; 0, which follows nothing, if it is no record. */
static uint64_t seq_of(const weir_answer *answer, size_t i) {
  weir_record record;

  return load_record(answer, i, &record) ? record.seq : 0;
}

static int load_item(const struct weir__history *history,
                     const struct weir__scheme *scheme,
                     const weir_answer *answer, size_t i, struct item *item) {
  weir_record record;
  weir_state state;
  bool end;

  if (!load_record(answer, i, &record)) {
    return WEIR_ELOG;
  }
  weir__history_state(history, &state);
  end = (record.flags & WEIR_RECORD_END) != 0;
  /* In the decimal format epochs are nobody's business. */
  if ((scheme->format == WEIR_CURSOR_EPOCH &&
       record.epoch != weir__state_epoch_of(&state, record.seq)) ||
      end != (answer->ended != 0 && record.seq == answer->ended)) {
    return WEIR_ELOG;
  }
  memset(item, 0, sizeof *item);
  item->cursor.epoch = record.epoch;
  item->cursor.seq = record.seq;
  item->content.type = record.type;
  item->content.type_len = record.type_len;
  item->content.data = record.data;
  item->content.data_len = record.data_len;
  item->content.json = (record.flags & WEIR_RECORD_JSON) != 0;
  item->content.bare = end;
  item->frame = record.frame;
  item->frame_len = record.frame_len;
  return check_item(history, scheme, &record, item);
}

/* Whether event seq may follow event at in an answer: everything in between
 * was declared to be gone. *hole says that there is something in between which
 * is lost (and not merely trimmed). */
static bool may_follow(const struct weir__history *history,
                       const weir_answer *answer, uint64_t at, uint64_t seq,
                       bool *hole) {
  *hole = false;
  if (seq <= at) {
    return false;
  }
  if (seq == at + 1 || weir__is_sparse(history)) {
    return true;
  }
  *hole = seq - 1 > answer->trimmed;
  return seq - 1 <= answer->trimmed || seq - 1 <= answer->lost_through;
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

/* The events of an answer from number *i on that follow one another without a
 * hole: how many bytes they need, and where they end. */
static int measure(const struct weir__history *history,
                   const struct weir__scheme *scheme, const weir_answer *answer,
                   uint64_t at, uint64_t upto, size_t *i, size_t *room) {
  struct weir__out out;
  struct item item;
  bool hole = false;
  size_t from = *i;
  int rv;

  weir__out_init(&out, NULL, 0);
  for (; *i < answer->record_count; *i += 1) {
    rv = load_item(history, scheme, answer, *i, &item);
    if (rv != WEIR_OK || item.cursor.seq > upto ||
        !may_follow(history, answer, at, item.cursor.seq, &hole)) {
      return WEIR_ELOG;
    }
    if (item.cursor.seq != at + 1 && !weir__is_sparse(history)) {
      break;
    }
    put_item(&out, scheme, &item);
    at = item.cursor.seq;
  }
  *room = out.len + (*i - from) * sizeof(struct weir__page_entry);
  return out.overflow ? WEIR_EOVERFLOW : WEIR_OK;
}

/* Make a page of the events from number i to before stop. */
static int insert_run(struct weir__history *history,
                      const struct weir__scheme *scheme,
                      const weir_answer *answer, uint64_t after, size_t room,
                      size_t i, size_t stop) {
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
    (void)load_item(history, scheme, answer, i, &item);
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

/* Make pages of an answer's events, which are of lo+1 to hi. */
int weir__intake_block(struct weir__history *history,
                       const struct weir__scheme *scheme,
                       const weir_answer *answer, uint64_t lo, uint64_t hi) {
  uint64_t at = lo;
  size_t room = 0;
  size_t from;
  size_t i = 0;
  bool hole;
  int rv = WEIR_OK;

  while (rv == WEIR_OK && i < answer->record_count) {
    if (seq_of(answer, i) != at + 1 && !weir__is_sparse(history)) {
      if (!may_follow(history, answer, at, seq_of(answer, i), &hole) ||
          seq_of(answer, i) > hi) {
        return WEIR_ELOG;
      }
      rv = hole ? insert_empty(history, at, seq_of(answer, i) - 1, true)
                : WEIR_OK;
      at = seq_of(answer, i) - 1;
    }
    from = i;
    if (rv == WEIR_OK) {
      rv = measure(history, scheme, answer, at, hi, &i, &room);
    }
    if (rv == WEIR_OK) {
      rv = insert_run(history, scheme, answer, at, room, from, i);
      at = seq_of(answer, i - 1);
    }
  }
  return rv == WEIR_OK ? finish_block(history, answer, at, hi) : rv;
}

/* Take in one event at the head, if it is not there yet. */
static int append_item(struct weir__history *history,
                       const struct weir__scheme *scheme,
                       const weir_answer *answer, size_t i) {
  struct item item;
  bool hole;
  int rv = load_item(history, scheme, answer, i, &item);

  if (rv != WEIR_OK || item.cursor.seq <= history->put) {
    return rv;
  }
  if (!may_follow(history, answer, history->put, item.cursor.seq, &hole) ||
      item.cursor.seq > answer->last) {
    return WEIR_ELOG;
  }
  if (hole) {
    rv = insert_empty(history, history->put, item.cursor.seq - 1, true);
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  if (!weir__is_sparse(history)) {
    history->put = item.cursor.seq - 1;
  }
  return item.frame != NULL
             ? weir__history_put_frame(history, &item.cursor, item.frame,
                                       item.frame_len)
             : weir__history_put(history, scheme, &item.cursor, &item.content);
}

int weir__intake_append(struct weir__history *history,
                        const struct weir__scheme *scheme,
                        const weir_answer *answer) {
  enum weir__news news;
  uint64_t seq = 0;
  size_t i;
  int rv = weir__intake_epochs(history, answer, &news);

  for (i = 0;
       rv == WEIR_OK && news != WEIR__NEWS_NONE && i < answer->record_count;
       ++i) {
    /* Those that are here already may be repeated, but not in disorder. */
    rv = seq_of(answer, i) > seq ? append_item(history, scheme, answer, i)
                                 : WEIR_ELOG;
    seq = seq_of(answer, i);
  }
  if (rv != WEIR_OK) {
    weir__history_take_back(history, history->committed);
    return rv;
  }
  weir__intake_progress(history, answer, news);
  return WEIR_OK;
}
