/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "publish.h"

#include "scan.h"

/* Events of one call for whose records no memory is needed. */
#define FEW 8

/* A call that publishes, on its way. */
struct batch {
  struct weir__generation *generation;
  struct weir_stream *producer;
  struct weir__scheme scheme;
  const weir_event *events;
  size_t count;
  uint32_t flags; /* WEIR_RECORD_END for the end */
  weir_record few[FEW];
  weir_record *records;           /* few, or allocated */
  struct weir__receipt *receipts; /* for those that have a tag, in order */
  struct weir__receipt *receipts_last;
};

static int load_event(const weir_event *events, size_t i, weir_event *event) {
  const char *at = (const char *)(const void *)events + i * events->size;

  memset(event, 0, sizeof *event);
  return weir__load(event, sizeof *event, at);
}

/* Check an event against the limits and rules. */
static int check_event(const struct weir__generation *generation,
                       const struct weir__scheme *scheme,
                       const weir_event *event, bool bare,
                       struct weir__content *content) {
  const uint64_t limit = generation->core->options.max_event_bytes;

  if ((event->flags & ~WEIR_EVENT_JSON) != 0 || event->reserved0 != 0 ||
      !weir__is_zero(event->reserved, sizeof event->reserved)) {
    return WEIR_EINVAL;
  }
  if (limit != 0 && event->data_len > limit && !bare) {
    return WEIR_ETOOBIG;
  }
  content->type = event->type;
  content->type_len = event->type_len;
  content->data = event->data;
  content->data_len = event->data_len;
  content->json = (event->flags & WEIR_EVENT_JSON) != 0;
  content->bare = bare;
  return weir__check_content(scheme, content);
}

static void free_receipts(struct batch *batch) {
  struct weir__receipt *receipt;

  while (batch->receipts != NULL) {
    receipt = batch->receipts;
    batch->receipts = receipt->next;
    weir__core_free(batch->generation->core, receipt, sizeof *receipt);
  }
}

static int add_receipt(struct batch *batch, uint64_t tag, uint64_t order) {
  struct weir__receipt *receipt =
      weir__core_alloc(batch->generation->core, sizeof *receipt);

  if (receipt == NULL) {
    return WEIR_ENOMEM;
  }
  receipt->next = NULL;
  receipt->producer = batch->producer;
  receipt->tag = tag;
  receipt->order = order;
  if (batch->receipts == NULL) {
    batch->receipts = receipt;
  } else {
    batch->receipts_last->next = receipt;
  }
  batch->receipts_last = receipt;
  return WEIR_OK;
}

/* Would it be too long in a frame? For events whose number is not known yet. */
static int measure(const struct batch *batch,
                   const struct weir__content *content) {
  const weir_cursor longest = {UINT64_MAX, WEIR_SEQ_MAX};
  struct weir__out out;

  weir__out_init(&out, NULL, 0);
  weir__put_content(&out, &batch->scheme, content, &longest);
  /* not reached: needs more memory than there are addresses for, but where
   * they have 32 bits */
  return out.overflow                      ? WEIR_EOVERFLOW
         : out.lines > batch->scheme.lines ? WEIR_ETOOBIG
                                           : WEIR_OK;
}

static void make_record(struct batch *batch, size_t i,
                        const struct weir__content *content,
                        const weir_cursor *cursor) {
  weir_record *record = &batch->records[i];

  memset(record, 0, sizeof *record);
  record->size = sizeof *record;
  record->epoch = cursor->epoch;
  record->seq = cursor->seq;
  record->type = content->type;
  record->type_len = content->type_len;
  record->data = content->data;
  record->data_len = content->data_len;
  record->flags = batch->flags | (content->json ? WEIR_RECORD_JSON : 0u);
}

/* Check and encode event number i of the call. */
static int put_event(struct batch *batch, size_t i) {
  struct weir__generation *generation = batch->generation;
  struct weir__history *history = &generation->history;
  const bool shared = generation->settings->shared;
  struct weir__content content;
  weir_cursor cursor;
  weir_event event;
  int rv = load_event(batch->events, i, &event);

  if (rv == WEIR_OK) {
    rv = check_event(generation, &batch->scheme, &event, batch->flags != 0,
                     &content);
  }
  if (rv == WEIR_OK && event.tag != 0) {
    rv = add_receipt(batch, event.tag, i + 1);
  }
  if (rv != WEIR_OK) {
    return rv;
  }
  cursor.epoch = weir__history_epoch(history);
  cursor.seq = shared ? 0 : history->put + 1;
  if (batch->records != NULL) {
    make_record(batch, i, &content, &cursor);
  }
  return shared ? measure(batch, &content)
                : weir__history_put(history, &batch->scheme, &cursor, &content);
}

/* Without a log what is put is committed. */
static void commit(struct batch *batch) {
  struct weir__generation *generation = batch->generation;
  const uint64_t last = generation->history.put;
  const uint64_t before = last - batch->count;
  struct weir__receipt *receipt;

  /* The host, which is told of an end, may let go of the producer in there. */
  while (batch->receipts != NULL) {
    receipt = batch->receipts;
    batch->receipts = receipt->next;
    weir__receipt_deliver(generation->core, receipt, before + receipt->order,
                          WEIR_OK);
  }
  weir__generation_commit(generation, last, batch->flags != 0 ? last : 0);
}

/* Give the events to storage, which may answer at once: then an answer finds
 * their receipts in line, and a refusal is told by this call alone. */
static int append(struct batch *batch) {
  struct weir__backing *backing = batch->generation->backing;
  struct weir__receipt *before = backing->last;
  struct weir__receipt **end = before == NULL ? &backing->first : &before->next;
  struct weir__receipt *receipt;
  int rv;

  for (receipt = batch->receipts; receipt != NULL; receipt = receipt->next) {
    receipt->order += backing->put;
    backing->last = receipt;
  }
  *end = batch->receipts;
  backing->quiet = backing->put;
  backing->put += batch->count;
  backing->refusal = WEIR_OK;
  rv = weir__storage_append(&backing->storage, batch->records, batch->count);
  backing->quiet = UINT64_MAX;
  if (rv == WEIR_OK) {
    batch->receipts = NULL;
    return backing->refusal;
  }
  backing->put -= batch->count;
  backing->last = before;
  *end = NULL;
  return rv;
}

/* Publish, or put the end: all of it or nothing. */
static int put(struct batch *batch) {
  struct weir__generation *generation = batch->generation;
  struct weir__core *core = generation->core;
  struct weir__history *history = &generation->history;
  const uint64_t before = history->put;
  const size_t size = batch->count * sizeof(weir_record);
  size_t i;
  int rv = WEIR_OK;

  weir__generation_scheme(generation, &batch->scheme);
  batch->receipts = NULL;
  batch->records = NULL;
  if (generation->backing != NULL) {
    generation->backing->refusal = WEIR_OK;
    batch->records =
        batch->count <= FEW ? batch->few : weir__core_alloc(core, size);
    if (batch->records == NULL) {
      return WEIR_ENOMEM;
    }
  }
  for (i = 0; rv == WEIR_OK && i < batch->count; ++i) {
    rv = put_event(batch, i);
  }
  if (rv == WEIR_OK && generation->backing != NULL) {
    rv = append(batch);
  } else if (rv == WEIR_OK) {
    commit(batch);
  }
  /* What storage has refused has been taken back already. */
  if (rv != WEIR_OK && (generation->backing == NULL ||
                        generation->backing->refusal == WEIR_OK)) {
    weir__history_take_back(history, before);
  }
  free_receipts(batch);
  if (batch->records != NULL && batch->records != batch->few) {
    weir__core_free(core, batch->records, size);
  }
  return rv;
}

/* How many numbers there are still, if so many are kept back. */
static uint64_t numbers_left(const struct weir__generation *generation,
                             uint64_t kept) {
  const uint64_t most = (uint64_t)WEIR_SEQ_MAX - kept;
  const uint64_t put = generation->history.put;

  return put < most ? most - put : 0;
}

int weir__publish(struct weir__generation *generation,
                  struct weir_stream *producer, const weir_event *events,
                  size_t count, uint64_t *last) {
  struct weir__core *core = generation->core;
  const uint64_t limit = core->options.max_pending;
  /* What stands there afterwards may be another writer's. */
  const uint64_t before = generation->history.put;
  struct batch batch;
  size_t size;
  int rv = weir__generation_is_writable(generation);

  if (rv != WEIR_OK) {
    return rv;
  }
  if (events == NULL || count == 0 || count > SIZE_MAX / sizeof(weir_record)) {
    return WEIR_EINVAL;
  }
  memcpy(&size, events, sizeof size);
  if (size <= sizeof size) {
    return WEIR_EINVAL;
  }
  /* One number is left for the end. */
  if (count > numbers_left(generation, 1)) {
    return WEIR_EOVERFLOW;
  }
  /* A batch that is larger than the limit has its turn when nothing waits. */
  if (limit != 0 && weir__generation_pending(generation) != 0 &&
      weir__generation_pending(generation) + count > limit) {
    return WEIR_EPENDING;
  }
  weir__core_tick(core);
  batch.generation = generation;
  batch.producer = producer;
  batch.events = events;
  batch.count = count;
  batch.flags = 0;
  rv = put(&batch);
  if (rv != WEIR_OK) {
    return rv;
  }
  generation->events += count;
  core->info.events += count;
  if (!generation->ending) {
    weir__generation_watch(generation, WEIR__AT_EVENT, WEIR__IDLE);
  }
  if (last != NULL) {
    *last = generation->settings->shared ? 0 : before + count;
  }
  return WEIR_OK;
}

/* The type of an end, then its data. */
static void put_final(struct weir__out *out, const struct weir__scheme *scheme,
                      const struct weir__final *final) {
  weir__put(out, scheme->prefix, scheme->prefix_len);
  weir__put_text(out, final->failed ? "failed" : "done");
  if (final->failed) {
    weir__put_failed_data(out, scheme, final->text, final->reason_len,
                          final->text + final->reason_len, final->message_len);
  } else {
    weir__put_done_data(out, scheme, final->text, final->reason_len);
  }
}

int weir__publish_end(struct weir__generation *generation,
                      struct weir_stream *producer,
                      const struct weir__final *final, uint64_t *seq) {
  struct weir__core *core = generation->core;
  const uint64_t before = generation->history.put;
  struct weir__scheme scheme;
  struct weir__out out;
  struct batch batch;
  weir_event event;
  size_t len;
  char *text;
  int rv;

  if (numbers_left(generation, 0) == 0) {
    return WEIR_EOVERFLOW;
  }
  weir__generation_scheme(generation, &scheme);
  weir__out_init(&out, NULL, 0);
  put_final(&out, &scheme, final);
  len = out.len;
  text = weir__core_alloc(core, len);
  if (text == NULL) {
    return WEIR_ENOMEM;
  }
  weir__out_init(&out, text, len);
  put_final(&out, &scheme, final);
  memset(&event, 0, sizeof event);
  event.size = sizeof event;
  event.type = text;
  event.type_len = scheme.prefix_len + (final->failed ? 6 : 4);
  event.data = text + event.type_len;
  event.data_len = len - event.type_len;
  event.flags = WEIR_EVENT_JSON;
  event.tag = final->tag;
  weir__core_tick(core);
  batch.generation = generation;
  batch.producer = producer;
  batch.events = &event;
  batch.count = 1;
  batch.flags =
      WEIR_RECORD_END | (final->failed ? (uint32_t)WEIR_RECORD_FAILED : 0u);
  /* The answer may come at once, and has to find it ending. */
  generation->ending = true;
  generation->failed = final->failed;
  rv = put(&batch);
  weir__core_free(core, text, len);
  if (rv != WEIR_OK) {
    generation->ending = generation->broken || generation->ended;
    generation->failed = generation->broken;
    return rv;
  }
  if (seq != NULL) {
    *seq = generation->settings->shared ? 0 : before + 1;
  }
  return WEIR_OK;
}

static int publish_own(struct weir__generation *generation, const char *reason,
                       const char *message) {
  struct weir__core *core = generation->core;
  struct weir__final *final;
  int rv = weir__final_new(core, reason, strlen(reason), message, 0, 0, &final);

  if (rv == WEIR_OK) {
    rv = weir__publish_end(generation, NULL, final, NULL);
    weir__final_free(core, final);
  }
  return rv;
}

int weir__publish_done(struct weir__generation *generation,
                       const char *reason) {
  return publish_own(generation, reason, NULL);
}

int weir__publish_failed(struct weir__generation *generation,
                         const char *code) {
  return publish_own(generation, code, "");
}

struct signal {
  struct weir__scheme scheme;
  struct weir__content content;
};

static void put_signal(struct weir__out *out, const void *what) {
  const struct signal *signal = what;

  weir__put_content(out, &signal->scheme, &signal->content, NULL);
}

int weir__publish_signal_page(struct weir__generation *generation,
                              const weir_event *callers,
                              struct weir__page **page) {
  struct signal signal;
  struct weir__out out;
  weir_event event;
  int rv;

  memset(&event, 0, sizeof event);
  event.size = sizeof event;
  rv = weir__load(&event, sizeof event, callers);
  if (rv != WEIR_OK) {
    return rv;
  }
  if (event.tag != 0) {
    return WEIR_EINVAL;
  }
  weir__generation_scheme(generation, &signal.scheme);
  rv = check_event(generation, &signal.scheme, &event, false, &signal.content);
  if (rv != WEIR_OK) {
    return rv;
  }
  weir__out_init(&out, NULL, 0);
  put_signal(&out, &signal);
  if (out.lines > signal.scheme.lines) {
    return WEIR_ETOOBIG;
  }
  if (page == NULL) {
    return WEIR_OK;
  }
  rv = weir__page_frame(generation->core, WEIR__NEED_EVENT, put_signal, &signal,
                        page);
  if (rv == WEIR_OK) {
    (*page)->last = generation->history.put;
  }
  return rv;
}

int weir__publish_signal(struct weir__generation *generation,
                         const weir_event *signal, uint64_t *reached) {
  struct weir__core *core = generation->core;
  const bool is_heard = generation->reader_count != 0;
  struct weir__page *page = NULL;
  int rv;

  if (generation->ending) {
    return WEIR_EENDED;
  }
  /* What nobody hears needs no room, which would be made by dropping events. */
  rv = weir__publish_signal_page(generation, signal, is_heard ? &page : NULL);
  if (rv != WEIR_OK) {
    return rv;
  }
  if (is_heard && generation->signals == NULL) {
    generation->signals = weir__signals_new(core, core->options.signal_ring);
    if (generation->signals == NULL) {
      weir__page_release(page);
      return WEIR_ENOMEM;
    }
  }
  if (is_heard) {
    weir__signals_add(generation->signals, page);
    weir__core_ready_all(core, &generation->history.waiters);
  }
  generation->signalled += 1;
  core->info.signals += 1;
  if (reached != NULL) {
    *reached = generation->reader_count;
  }
  return WEIR_OK;
}
