/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "storage.h"

#include "cursor.h"

/* As many records go to storage without memory being needed for them. */
#define FEW 16

/* How much a look at the head asks for. */
#define LOOK_BYTES WEIR__PAGE_MOST

/* An event that waits, with a copy of what the caller had. */
struct weir__entry {
  struct weir__entry *next;
  uint64_t epoch;
  uint64_t seq;
  size_t type_len;
  size_t data_len;
  uint32_t flags;
  unsigned char bytes[];
};

static struct weir__core *core_of(const struct weir__storage *storage) {
  return storage->history->core;
}

void weir__storage_init(struct weir__storage *storage,
                        const struct weir__storage_owner *owner,
                        struct weir__history *history) {
  memset(storage, 0, sizeof *storage);
  storage->owner = owner;
  storage->history = history;
}

static size_t entry_size(const struct weir__entry *entry) {
  return sizeof *entry + entry->type_len + entry->data_len;
}

static void free_entries(struct weir__core *core, struct weir__entry *entry) {
  struct weir__entry *next;

  for (; entry != NULL; entry = next) {
    next = entry->next;
    weir__core_free(core, entry, entry_size(entry));
  }
}

/* Take the first n entries off, as a list; *last is the last of them. n is
 * neither 0 nor more than there are. */
static struct weir__entry *cut(struct weir__storage *storage, uint64_t n,
                               struct weir__entry **last) {
  struct weir__entry *first = storage->first;

  storage->waiting -= n;
  for (*last = first; n > 1; --n) {
    *last = (*last)->next;
  }
  storage->first = (*last)->next;
  storage->last = storage->first == NULL ? NULL : storage->last;
  (*last)->next = NULL;
  return first;
}

void weir__storage_drop(struct weir__storage *storage) {
  free_entries(core_of(storage), storage->first);
  storage->first = NULL;
  storage->last = NULL;
  storage->waiting = 0;
}

void weir__storage_free(struct weir__storage *storage) {
  weir__log_unprepare(storage->prepared);
  weir__call_abandon(&storage->asking);
  weir__call_abandon(&storage->appending);
  weir__call_abandon(&storage->reading);
  weir__call_abandon(&storage->trimming);
  weir__storage_drop(storage);
}

bool weir__storage_prepare(struct weir__storage *storage) {
  if (storage->prepared == NULL) {
    storage->prepared = weir__log_prepare(core_of(storage));
  }
  return storage->prepared != NULL;
}

void weir__storage_ask(struct weir__storage *storage, int mode, uint64_t expect,
                       uint64_t epoch) {
  storage->mode = mode;
  storage->expect = expect;
  storage->epoch = epoch;
  if (mode != WEIR_LOG_LOOKUP) {
    storage->tried[storage->tries % WEIR__TRIED] = epoch;
    storage->tries += 1;
  }
}

/* Whether the newest epoch is one that this hub has asked for, without hearing
 * that it has got it: nobody else has taken it over. */
static bool is_ours(const struct weir__storage *storage,
                    const weir_answer *answer) {
  const uint64_t newest = answer->epochs[answer->epoch_count - 1].epoch;
  size_t i = 0;

  while (i < WEIR__TRIED && storage->tried[i] != newest) {
    i += 1;
  }
  return i < WEIR__TRIED && newest != weir__history_epoch(storage->history);
}

/* An entry for a record; NULL without memory. */
static struct weir__entry *copy(struct weir__core *core,
                                const weir_record *record) {
  struct weir__entry *entry;
  size_t size;

  /* not reached: needs more memory than there are addresses for, but where
   * they have 32 bits */
  if (!weir__add(sizeof *entry + record->type_len, record->data_len, &size)) {
    return NULL;
  }
  entry = weir__core_alloc(core, size);
  if (entry == NULL) {
    return NULL;
  }
  entry->next = NULL;
  entry->epoch = record->epoch;
  entry->seq = record->seq;
  entry->type_len = record->type_len;
  entry->data_len = record->data_len;
  entry->flags = record->flags;
  weir__copy(entry->bytes, record->type, record->type_len);
  weir__copy(entry->bytes + record->type_len, record->data, record->data_len);
  return entry;
}

/* Let events wait: all of them, or none. */
static int queue(struct weir__storage *storage, const weir_record *records,
                 size_t count) {
  struct weir__core *core = core_of(storage);
  struct weir__entry *first = NULL;
  struct weir__entry *last = NULL;
  struct weir__entry *entry;
  size_t i;

  for (i = 0; i < count; ++i) {
    entry = copy(core, &records[i]);
    if (entry == NULL) {
      free_entries(core, first);
      return WEIR_ENOMEM;
    }
    if (last == NULL) {
      first = entry;
    } else {
      last->next = entry;
    }
    last = entry;
  }
  if (storage->last == NULL) {
    storage->first = first;
  } else {
    storage->last->next = first;
  }
  storage->last = last;
  storage->waiting += count;
  return WEIR_OK;
}

/* The answer to an append of numbers that this hub gave says what it has to. If
 * another has taken over since, it says how far this hub came. */
static bool confirms_numbers(const struct weir__storage *storage,
                             const weir_answer *answer) {
  const size_t i = weir__epoch_find(answer->epochs, answer->epoch_count,
                                    storage->flying_epoch);

  return i < answer->epoch_count &&
         answer->epochs[i].last == storage->flying_last &&
         (answer->ended == storage->flying_last) == storage->flying_end;
}

/* That of an append of events that storage numbers. */
static bool confirms_events(const struct weir__storage *storage,
                            const weir_answer *answer) {
  return answer->first != 0 && answer->first <= answer->last &&
         storage->flying - 1 <= answer->last - answer->first &&
         (answer->ended != 0 || !storage->flying_end);
}

/* Take in the answer to an append: WEIR_LOG_YES, or what it comes to. */
static int take_append(struct weir__storage *storage, int result,
                       const weir_answer *answer) {
  struct weir__history *history = storage->history;
  struct weir__report report;
  int rv;

  if (result != WEIR_LOG_YES) {
    return result;
  }
  rv = weir__intake_check(history, answer, storage->flying_epoch, &report);
  if (rv == WEIR_ELOG ||
      !(storage->shared ? confirms_events(storage, answer)
                        : confirms_numbers(storage, answer))) {
    return WEIR_EUNKNOWN;
  }
  if (rv != WEIR_OK ||
      (storage->shared && report.news <= WEIR__NEWS_STATE &&
       answer->ended == 0 && !weir__link_alone(&history->waiters))) {
    /* Those who wait at the head want the events too, unless they are the last;
     * and what there was no memory for will be known then. */
    storage->look = true;
  } else {
    weir__intake_adopt(history, &report);
  }
  return WEIR_LOG_YES;
}

/* The number that the first of the events got. Those of the others follow,
 * unless numbers have holes. */
static uint64_t first_number(const struct weir__storage *storage,
                             uint64_t count, const weir_answer *answer) {
  if (!storage->shared) {
    return storage->flying_last - count + 1;
  }
  return count > 1 && weir__is_sparse(storage->history) ? 0 : answer->first;
}

static void append_done(void *owner, int result, const weir_answer *answer,
                        struct weir__handle *handle) {
  struct weir__storage *storage = owner;
  struct weir__history *history = storage->history;
  const uint64_t count = storage->flying;
  struct weir__report report;

  (void)handle;
  result = take_append(storage, result, answer);
  storage->flying = 0;
  if (result == WEIR_LOG_YES) {
    storage->owner->stored(storage, count,
                           first_number(storage, count, answer));
    return;
  }
  /* Of what came too late, storage says how far it is without it. */
  weir__history_take_back(history, history->committed);
  if (result == WEIR_EFENCED || result == WEIR_EENDED) {
    history->follow = true;
    if (answer != NULL &&
        weir__intake_check(history, answer, storage->flying_epoch, &report) ==
            WEIR_OK) {
      weir__intake_adopt(history, &report);
    }
  }
  storage->owner->refused(storage, result);
}

/* The bytes of event seq, which has been put. */
static void find_frame(const struct weir__history *history, uint64_t seq,
                       weir_record *record) {
  const struct weir__page *page =
      history->pages[weir__history_index(history, seq - 1)];
  const uint32_t n = weir__page_count(page, seq - 1);
  const uint32_t begin = weir__page_end(page, n);

  record->frame = weir__page_bytes(page) + begin;
  record->frame_len = weir__page_end(page, n + 1) - begin;
}

/* Call storage with a batch. */
static int send(struct weir__storage *storage, weir_record *records,
                size_t count) {
  struct weir__history *history = storage->history;
  uint32_t from = history->page_count;
  size_t i;
  int rv;

  if (!storage->shared) {
    from = weir__history_index(history, records[0].seq - 1);
    for (i = 0; i < count; ++i) {
      find_frame(history, records[i].seq, &records[i]);
    }
    history->sent = records[count - 1].seq;
  }
  storage->flying = count;
  storage->flying_epoch = records[0].epoch;
  storage->flying_last = records[count - 1].seq;
  storage->flying_end = (records[count - 1].flags & WEIR_RECORD_END) != 0;
  rv = weir__log_append(
      history->handle, records, count,
      from < history->page_count ? history->pages + from : NULL,
      history->page_count - from, append_done, storage, &storage->appending);
  if (rv != WEIR_OK) {
    storage->flying = 0;
  }
  return rv;
}

int weir__storage_append(struct weir__storage *storage, weir_record *records,
                         size_t count) {
  if (storage->appending != NULL || storage->first != NULL) {
    return queue(storage, records, count);
  }
  return send(storage, records, count);
}

/* Make records of the first `count` entries, of which there are as many. */
static void make_records(const struct weir__entry *entry, size_t count,
                         weir_record *records) {
  size_t i;

  memset(records, 0, count * sizeof records[0]);
  for (i = 0; i < count; ++i, entry = entry->next) {
    records[i].size = sizeof records[i];
    records[i].epoch = entry->epoch;
    records[i].seq = entry->seq;
    records[i].type = entry->bytes;
    records[i].type_len = entry->type_len;
    records[i].data = entry->bytes + entry->type_len;
    records[i].data_len = entry->data_len;
    records[i].flags = entry->flags;
  }
}

/* Send all that waits; without memory for so many records, some of it. */
static int send_waiting(struct weir__storage *storage) {
  struct weir__core *core = core_of(storage);
  size_t count = (size_t)storage->waiting;
  size_t size = count * sizeof(weir_record);
  struct weir__entry *first;
  struct weir__entry *last;
  weir_record few[FEW];
  weir_record *many = NULL;
  int rv;

  if (count > FEW) {
    many = weir__core_alloc(core, size);
    count = many != NULL ? count : FEW;
  }
  first = cut(storage, count, &last);
  make_records(first, count, many != NULL ? many : few);
  rv = send(storage, many != NULL ? many : few, count);
  weir__core_free(core, many, size);
  if (rv == WEIR_OK) {
    free_entries(core, first);
  } else {
    last->next = storage->first;
    storage->last = storage->last == NULL ? last : storage->last;
    storage->first = first;
    storage->waiting += count;
  }
  return rv;
}

/* Whether a yes to an open says what it has to. */
static bool confirms_open(const struct weir__storage *storage,
                          const weir_answer *answer) {
  const size_t i =
      weir__epoch_find(answer->epochs, answer->epoch_count, storage->epoch);

  switch (storage->mode) {
    case WEIR_LOG_LOOKUP:
      return true;
    case WEIR_LOG_TAKE:
      return (answer->shared != 0) == storage->shared &&
             (answer->ended != 0 || i < answer->epoch_count);
    default:
      return (answer->shared != 0) == storage->shared && i == 0 &&
             answer->epoch_count == 1 && answer->last == 0;
  }
}

/* Take in a yes to an open: WEIR_LOG_YES, or why that cannot be done. */
static int take_open(struct weir__storage *storage, const weir_answer *answer,
                     struct weir__handle *handle) {
  struct weir__history *history = storage->history;
  struct weir__report report;
  int rv = weir__intake_check(history, answer, storage->open_asked, &report);

  if (rv == WEIR_OK && !confirms_open(storage, answer)) {
    rv = WEIR_ELOG;
  }
  if (rv != WEIR_OK) {
    weir__handle_release(handle);
    return rv;
  }
  weir__handle_release(history->handle);
  history->handle = handle;
  storage->shared = answer->shared != 0;
  history->follow = true;
  weir__intake_adopt(history, &report);
  /* An owned stream is led by whoever has its newest epoch. */
  history->follow = storage->shared || storage->mode == WEIR_LOG_LOOKUP ||
                    weir__history_epoch(history) != storage->epoch;
  return WEIR_LOG_YES;
}

/* Take in the answer to another lookup. If nobody has asked how far it is, what
 * has not ended is looked at by reading. */
static int take_seek(struct weir__storage *storage, int result,
                     const weir_answer *answer) {
  struct weir__history *history = storage->history;
  struct weir__report report;
  int rv;

  if (result != WEIR_LOG_YES) {
    return result == WEIR_EEXISTS ? WEIR_ELOG : result;
  }
  if (weir__intake_is_other(history, answer)) {
    return WEIR_EEXISTS;
  }
  rv = weir__intake_check(history, answer, storage->open_asked, &report);
  if (rv == WEIR_OK && history->ended != 0 && answer->ended != history->ended) {
    rv = WEIR_ELOG;
  }
  if (rv == WEIR_OK &&
      (history->ended != 0 || storage->how_far ||
       report.news >= WEIR__NEWS_EPOCH) &&
      (history->follow || !is_ours(storage, answer))) {
    weir__intake_adopt(history, &report);
  }
  storage->how_far = storage->how_far && storage->seek;
  if (rv != WEIR_ELOG || history->ended == 0) {
    return rv;
  }
  /* Storage has lost the end, and another goes on. */
  history->follow = history->follow || weir__intake_is_newer(history, answer);
  return WEIR_ENOENT;
}

static void open_done(void *owner, int result, const weir_answer *answer,
                      struct weir__handle *handle) {
  struct weir__storage *storage = owner;
  const int mode = storage->mode;

  storage->seeks += storage->seeking || mode == WEIR_LOG_LOOKUP;
  if (storage->seeking) {
    storage->seeking = false;
    weir__handle_release(handle);
    storage->owner->sought(storage, take_seek(storage, result, answer));
    return;
  }
  if (result == WEIR_LOG_YES) {
    result = take_open(storage, answer, handle);
  }
  storage->mode = 0;
  storage->owner->opened(storage, mode, result, answer);
}

/* Have storage open what is to be opened, or else look the key up once more. If
 * it cannot be asked, whoever waits for that hears so at once, as of any
 * refusal. */
static void ask(struct weir__storage *storage, const void *key, size_t key_len,
                const void *meta, size_t meta_len) {
  weir_log_request request;
  struct weir__call *call;

  memset(&request, 0, sizeof request);
  storage->open_asked = weir__history_epoch(storage->history);
  request.size = sizeof request;
  request.key = key;
  request.key_len = key_len;
  if (storage->mode == 0) {
    request.mode = WEIR_LOG_LOOKUP;
    storage->seek = false;
    storage->seeking = true;
  } else {
    request.mode = storage->mode;
    request.shared = storage->shared;
    request.generation = storage->expect;
    request.epoch = storage->epoch;
    request.meta = meta;
    request.meta_len = meta_len;
  }
  if (weir__storage_prepare(storage)) {
    call = storage->prepared;
    storage->prepared = NULL;
    weir__log_open(call, &request, open_done, storage, &storage->asking);
  } else {
    open_done(storage, WEIR_ENOMEM, NULL, NULL);
  }
}

static void look_done(void *owner, int result, const weir_answer *answer,
                      struct weir__handle *handle) {
  struct weir__storage *storage = owner;
  struct weir__scheme scheme;

  (void)handle;
  if (result == WEIR_LOG_YES) {
    storage->owner->scheme(storage, &scheme);
    result = weir__intake_append(storage->history, &scheme, answer,
                                 storage->look_asked, storage->look_after);
    result = result == WEIR_OK ? WEIR_LOG_YES : result;
  }
  storage->owner->looked(storage, result);
}

static void trim_done(void *owner, int result, const weir_answer *answer,
                      struct weir__handle *handle) {
  struct weir__storage *storage = owner;
  struct weir__report report;

  (void)handle;
  if (result == WEIR_LOG_YES) {
    result = weir__intake_check(storage->history, answer, 0, &report);
    if (result == WEIR_OK) {
      weir__intake_adopt(storage->history, &report);
      result = WEIR_LOG_YES;
    }
  }
  storage->owner->trimmed(storage, result);
}

/* Not while an append is under way that its epoch would fence: what becomes of
 * that one is to be known first. */
static bool may_open(const struct weir__storage *storage) {
  return storage->mode != 0 && storage->asking == NULL &&
         (storage->mode != WEIR_LOG_TAKE || storage->appending == NULL);
}

static bool may_seek(const struct weir__storage *storage) {
  return storage->seek && storage->mode == 0 && storage->asking == NULL;
}

static bool may_look(const struct weir__storage *storage) {
  return storage->look && storage->reading == NULL;
}

static bool may_trim(const struct weir__storage *storage) {
  return storage->trim != 0 && storage->trimming == NULL;
}

static bool may_send(const struct weir__storage *storage) {
  return storage->first != NULL && storage->appending == NULL;
}

bool weir__storage_is_busy(const struct weir__storage *storage) {
  return storage->asking != NULL || storage->appending != NULL;
}

bool weir__storage_wants(const struct weir__storage *storage) {
  return may_open(storage) || may_seek(storage) || may_send(storage) ||
         may_look(storage) || may_trim(storage);
}

uint32_t weir__storage_next_seek(const struct weir__storage *storage) {
  const bool is_under_way =
      storage->asking != NULL &&
      (storage->seeking || storage->mode == WEIR_LOG_LOOKUP);

  return storage->seeks + (is_under_way ? 2 : 1);
}

/* Whether number n is not beyond the count: both go round. */
static bool is_within(uint32_t count, uint32_t n) {
  return count - n < UINT32_MAX / 2;
}

bool weir__storage_has_sought(const struct weir__storage *storage,
                              uint32_t seek) {
  return is_within(storage->seeks, seek);
}

void weir__storage_seek(struct weir__storage *storage, uint32_t seek,
                        bool how_far) {
  storage->seek =
      storage->seek || !is_within(weir__storage_next_seek(storage) - 1, seek);
  storage->how_far = storage->how_far || how_far;
}

int weir__storage_pump(struct weir__storage *storage, const void *key,
                       size_t key_len, const void *meta, size_t meta_len) {
  struct weir__history *history = storage->history;
  uint64_t trim;
  int rv = WEIR_OK;

  if (may_open(storage) || may_seek(storage)) {
    ask(storage, key, key_len, meta, meta_len);
  }
  if (may_send(storage)) {
    rv = send_waiting(storage);
  }
  if (rv == WEIR_OK && may_look(storage)) {
    /* Whatever has been hinted up to now, this look will see. */
    storage->look = false;
    storage->look_after = history->committed;
    storage->look_asked = weir__history_epoch(history);
    rv = weir__log_read(history->handle, storage->look_after,
                        (uint64_t)WEIR_SEQ_MAX, LOOK_BYTES, look_done, storage,
                        &storage->reading);
    storage->look = storage->look || rv != WEIR_OK;
  }
  if (rv == WEIR_OK && may_trim(storage)) {
    trim = storage->trim;
    storage->trim = 0;
    rv = weir__log_trim(history->handle, trim, trim_done, storage,
                        &storage->trimming);
    storage->trim = rv == WEIR_OK ? storage->trim : trim;
  }
  return rv;
}
