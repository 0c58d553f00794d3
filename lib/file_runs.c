/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "file_runs.h"

/* Places of a run at most, besides those of the records that its segment has
 * room for: what is lost has places too. */
#define PLACES_MORE UINT64_C(131072)

struct weir__run *weir__runs_find(const struct weir__segment *segment,
                                  uint64_t generation) {
  struct weir__node *node =
      weir__map_find(&segment->runs, &generation, sizeof generation);

  return node == NULL ? NULL : weir__owner(node, struct weir__run, node);
}

static struct weir__run *make_run(struct weir_log_file *log,
                                  struct weir__segment *segment,
                                  struct weir__file_stream *stream) {
  struct weir__run *run = weir__file_alloc(log, sizeof *run);

  if (run == NULL) {
    return NULL;
  }
  memset(run, 0, sizeof *run);
  run->generation = stream->generation;
  run->node.key = &run->generation;
  run->node.key_len = sizeof run->generation;
  run->previous = stream->newest;
  run->begun = segment->tail;
  run->first = stream->put + 1;
  if (weir__map_insert(&segment->runs, &run->node) != WEIR_OK) {
    weir__file_free(log, run, sizeof *run);
    return NULL;
  }
  return run;
}

int weir__runs_enter(struct weir_log_file *log, struct weir__segment *segment,
                     struct weir__file_stream *stream,
                     struct weir__run **entered) {
  struct weir__run *run = stream->run;

  if (stream->run_segment != segment->number) {
    run = weir__runs_find(segment, stream->generation);
    if (run == NULL) {
      run = make_run(log, segment, stream);
    }
    if (run == NULL) {
      return WEIR_ENOMEM;
    }
    stream->run = run;
    stream->run_segment = segment->number;
    stream->newest = segment->number;
  }
  *entered = run;
  return WEIR_OK;
}

static bool reserve_places(struct weir_log_file *log, struct weir__run *run,
                           uint32_t count) {
  uint32_t cap = run->cap == 0 ? 4 : run->cap;
  uint32_t *places;

  if (count <= run->cap) {
    return true;
  }
  while (cap < count) {
    cap *= 2;
  }
  places = weir__file_alloc(log, cap * sizeof *places);
  if (places == NULL) {
    return false;
  }
  weir__copy(places, run->places, run->count * sizeof *places);
  weir__file_free(log, run->places, run->cap * sizeof *places);
  run->places = places;
  run->cap = cap;
  return true;
}

int weir__runs_expect(struct weir_log_file *log, struct weir__segment *segment,
                      struct weir__file_stream *stream, uint64_t first,
                      size_t expected, struct weir__run **entered) {
  struct weir__run *run;
  uint64_t count;

  if (weir__runs_enter(log, segment, stream, &run) != WEIR_OK) {
    return WEIR_ENOMEM;
  }
  if (run->count == 0) {
    run->first = first;
  }
  count = first - run->first + expected;
  if (count > segment->size / WEIR__RECORD_SIZE + PLACES_MORE) {
    weir__file_report(log,
                      "segment %016llx: an event with a number of elsewhere",
                      (unsigned long long)segment->number);
    return WEIR_EFORMAT;
  }
  if (!reserve_places(log, run, (uint32_t)count)) {
    return WEIR_ENOMEM;
  }
  /* Those in between are not there. */
  while (run->count < first - run->first) {
    weir__run_note(run, 0);
  }
  *entered = run;
  return WEIR_OK;
}

int weir__runs_note(struct weir_log_file *log, struct weir__segment *segment,
                    struct weir__file_stream *stream, uint64_t seq,
                    uint64_t place) {
  struct weir__run *run;
  const int rv = weir__runs_expect(log, segment, stream, seq, 1, &run);

  if (rv == WEIR_OK) {
    weir__run_note(run, place);
  }
  return rv;
}

void weir__runs_forget(struct weir__segment *segment,
                       const struct weir__file_stream *stream, uint64_t seq) {
  struct weir__run *run = weir__runs_find(segment, stream->generation);

  if (run == NULL || run->first + run->count - 1 <= seq) {
    return;
  }
  if (run->first > seq) {
    run->first = seq + 1;
    run->count = 0;
  } else {
    run->count = (uint32_t)(seq - run->first + 1);
  }
}

void weir__runs_forget_all(struct weir_log_file *log,
                           const struct weir__file_stream *stream,
                           uint64_t seq) {
  struct weir__link *link;

  for (link = log->segments.prev; link != &log->segments; link = link->prev) {
    weir__runs_forget(weir__owner(link, struct weir__segment, link), stream,
                      seq);
  }
}

void weir__runs_void(struct weir_log_file *log,
                     struct weir__file_stream *stream, uint64_t base) {
  weir__runs_forget_all(log, stream, base);
  if (stream->last > base) {
    stream->voided = weir__max(stream->voided, stream->last);
    stream->last = base;
  }
  stream->put = stream->last;
  if (stream->ended > base) {
    weir__file_set_ended(log, stream, 0, 0, false);
  }
}

/* For the visit of runs. */
struct giving_up {
  struct weir_log_file *log;
  const struct weir__segment *segment;
};

static void give_up_run(void *user, struct weir__node *node) {
  const struct weir__run *run = weir__owner_const(node, struct weir__run, node);
  const struct giving_up *giving_up = user;
  const struct weir__segment *segment = giving_up->segment;
  struct weir__file_stream *stream =
      weir__file_find(giving_up->log, run->generation);

  if (stream != NULL && stream->newest == segment->number &&
      run->begun >= segment->written) {
    stream->newest = run->previous;
    stream->run_segment = 0;
  }
}

void weir__runs_give_up(struct weir_log_file *log,
                        struct weir__segment *segment) {
  struct giving_up giving_up = {log, segment};
  size_t i;

  for (i = 0; i < segment->runs.buckets; ++i) {
    weir__map_visit(&segment->runs, i, give_up_run, &giving_up);
  }
}

void weir__runs_free(struct weir_log_file *log, struct weir__segment *segment) {
  struct weir__file_stream *stream;
  struct weir__node *node;
  struct weir__run *run;

  for (node = weir__map_any(&segment->runs); node != NULL;
       node = weir__map_any(&segment->runs)) {
    run = weir__owner(node, struct weir__run, node);
    stream = weir__file_find(log, run->generation);
    if (stream != NULL && stream->run_segment == segment->number) {
      stream->run = NULL;
      stream->run_segment = 0;
    }
    weir__map_remove(&segment->runs, node);
    weir__file_free(log, run->places, run->cap * sizeof run->places[0]);
    weir__file_free(log, run, sizeof *run);
  }
  weir__map_free(&segment->runs);
}
