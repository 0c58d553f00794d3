/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR__FILE_ROUND_H
#define WEIR__FILE_ROUND_H

/* Rounds: what blocks, collected on the hub's thread, done on any, and taken
 * note of on the hub's again. A round has copies of all that it needs. */

#include "file_write.h"

/* Segments that one round writes to or syncs. */
#define WEIR__ROUND_MOST 8

struct weir__task {
  uint64_t number;
  int fd;
  /* Its file is not there yet: it is made, of this size, and gets its name when
   * it is synced. 0: it is there. */
  uint64_t size;
  uint64_t salt;
  uint64_t time;
  unsigned char *bytes; /* to be written at `at`, in a buffer of `cap` */
  size_t len;
  size_t cap;
  uint64_t at;
  uint64_t filled; /* the segment's; goes up */
  uint64_t ahead; /* zeros may be written as far as here, for what comes then */
  uint64_t least; /* so large is the file when it is synced, or larger */
  bool seal;      /* the bytes are its index, and it ends behind them */
  uint64_t directory;
  uint64_t entries;
  int result; /* of what failed first */
  bool failed_sync;
};

struct weir__round {
  struct weir__task tasks[WEIR__ROUND_MOST];
  size_t task_count;
  /* The oldest segment, which goes; 0: none does. One at a time, so that
   * whatever is left after a crash or a fault, no older one is left over. */
  uint64_t removed;
  int remove_result;
  bool has_run;
};

/* Whether there is something to do, and when: 0 now, WEIR_NEVER not. */
uint64_t weir__round_due(struct weir_log_file *log);

/* Collect it. WEIR_OK, WEIR_EAGAIN or WEIR_ENOMEM. */
int weir__round_begin(struct weir_log_file *log);

/* Do it. */
void weir__round_run(struct weir_log_file *log);

/* Take note. Frees the round. WEIR_OK, or what failed first. */
int weir__round_end(struct weir_log_file *log);

#endif /* WEIR__FILE_ROUND_H */
