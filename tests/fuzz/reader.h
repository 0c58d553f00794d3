/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_FUZZ_READER_H
#define WEIR_FUZZ_READER_H

/* A client that comes again and again with its last id, and sees to it that
 * each connection begins with where it stands, that nothing is skipped in
 * silence, and that nothing comes twice. */

#include "fuzz.h"

struct fuzz_reader {
  weir_subscriber *subscriber; /* NULL: it has no connection */
  struct kit_client client;
  uint64_t at;  /* what it has on this connection */
  bool has_gap; /* it has been told of a loss, not yet where it stands */
  bool has_begun;
  bool is_over; /* its connection says nothing more */
  /* Judges an event of the log, the ends among them. */
  void (*check)(void *user, const struct kit_event *event,
                const weir_cursor *cursor);
  /* Which event follows a number, if numbers have holes; 0: nobody knows. */
  uint64_t (*next)(void *user, uint64_t at);
  void *user;
};

/* What it would send as Last-Event-ID stays from connection to connection. */
void fuzz_reader_init(struct fuzz_reader *reader);
void fuzz_reader_free(struct fuzz_reader *reader);

/* It is connected. */
void fuzz_reader_begin(struct fuzz_reader *reader, weir_subscriber *subscriber);

/* Its connection is gone, perhaps in mid-frame. */
void fuzz_reader_end(struct fuzz_reader *reader);

/* Take at most so many bytes, in one of two ways; what that returned. */
int fuzz_reader_take(struct fuzz_reader *reader, size_t most, bool by_peek);

#endif /* WEIR_FUZZ_READER_H */
