/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_RUNS_H
#define WEIR__FILE_RUNS_H

/* Where the events of streams are in a segment that has no index yet. */

#include "file_store.h"

/* That of a stream in a segment; NULL: it has no record there. */
struct weir__run *weir__runs_find(const struct weir__segment *segment,
                                  uint64_t generation);

/* Note that event seq of a stream stands at this place; 0: lost. WEIR_OK,
 * WEIR_ENOMEM, or WEIR_EFORMAT for a number of elsewhere. */
int weir__runs_note(struct weir_log_file *log, struct weir__segment *segment,
                    struct weir__file_stream *stream, uint64_t seq,
                    uint64_t place);

/* The same for events from `first` on, as many as are expected: there is room
 * for their places, which are noted one by one. */
int weir__runs_expect(struct weir_log_file *log, struct weir__segment *segment,
                      struct weir__file_stream *stream, uint64_t first,
                      size_t expected, struct weir__run **entered);

static inline void weir__run_note(struct weir__run *run, uint64_t place) {
  run->places[run->count++] = (uint32_t)(place / 8);
}

/* A stream has a record in this segment. WEIR_OK or WEIR_ENOMEM. */
int weir__runs_enter(struct weir_log_file *log, struct weir__segment *segment,
                     struct weir__file_stream *stream, struct weir__run **run);

/* Forget the places of events beyond seq in this segment, or in all that have
 * no index: they are void. */
void weir__runs_forget(struct weir__segment *segment,
                       const struct weir__file_stream *stream, uint64_t seq);
void weir__runs_forget_all(struct weir_log_file *log,
                           const struct weir__file_stream *stream,
                           uint64_t seq);

/* What a stream was found to have beyond event `base` never was. */
void weir__runs_void(struct weir_log_file *log,
                     struct weir__file_stream *stream, uint64_t base);

/* What this segment has that is not written will not be: no stream has its
 * newest record there. */
void weir__runs_give_up(struct weir_log_file *log,
                        struct weir__segment *segment);

/* Free all of a segment's. */
void weir__runs_free(struct weir_log_file *log, struct weir__segment *segment);

#endif /* WEIR__FILE_RUNS_H */
