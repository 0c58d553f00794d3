/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIRLOG_LOG_H
#define WEIRLOG_LOG_H

/* A log as a whole: its segments, its streams, and what is wrong with it. It is
 * only read, without its lock, and somebody may be writing it meanwhile. */

#include "format.h"

struct segment {
  uint64_t number;
  uint64_t salt;
  uint64_t size;
  uint64_t extent; /* if it is open: where its zeros begin */
  bool is_lost;    /* both of its heads are */
  bool is_gone;    /* removed since the directory was listed */
};

/* Where an event stands. */
struct place {
  uint64_t number;
  uint64_t offset;
  size_t segment; /* in log->segments */
};

/* A generation. */
struct stream {
  uint64_t generation;
  unsigned char key[KEY_MOST];
  size_t key_len;
  uint64_t order;
  uint64_t trimmed;
  uint64_t last;
  uint64_t ended;
  uint64_t ended_at;
  struct epoch *epochs;
  size_t epoch_count;
  struct place *places; /* of the events that are not lost, in order */
  size_t count;
  size_t cap;
  uint64_t newest; /* segment and offset of its newest record */
  uint64_t newest_offset;
  bool is_hidden;    /* by a newer generation of its key */
  bool is_suspected; /* nobody knows whether there was an event `last` */
};

struct log {
  const char *path;
  int directory;
  struct segment *segments; /* by number */
  size_t segment_count;
  size_t first; /* of those that are still there */
  struct stream **streams;
  size_t stream_count;
  size_t stream_cap;
  size_t *table; /* from generations to streams, each plus one */
  size_t table_size;
  /* The newest place where something is lost and nobody knows what. */
  uint64_t damaged;
  uint64_t damaged_offset;
  bool verify; /* look at everything, and say what is found */
  size_t findings;
};

/* Say that something is wrong: a line on standard output, if it was asked
 * for. */
void say(struct log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Give up, after a word on standard error. */
_Noreturn void give_up(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Memory; there is always some. */
void *allocate(void *old, size_t count, size_t size);

/* Read a directory. It has to be a log. */
void log_open(struct log *log, const char *path, bool verify);
void log_close(struct log *log);

/* The newest generation of a key; NULL: there is none. */
struct stream *log_find(const struct log *log, const char *key);

/* The frame of an event, valid until the next call. NULL: it is lost, or its
 * segment is gone. */
const unsigned char *log_read(struct log *log, const struct stream *stream,
                              const struct place *place, struct record *record);

/* --- For those who read segments -------------------------------------------*/

struct stream *stream_find(const struct log *log, uint64_t generation);

/* What a record says. Without its payload (NULL) it is damaged. false: nothing
 * is known of its stream. */
bool stream_apply(struct log *log, size_t segment, uint64_t offset,
                  const struct record *record, const unsigned char *payload);

/* What an entry of an index says, with its state and its positions. */
void stream_apply_entry(struct log *log, size_t segment,
                        const struct entry *entry, const struct state *state,
                        const unsigned char *positions);

/* Nothing has been read, or is needed any more. */
void stream_forget_all(struct log *log);

/* All has been read. */
void stream_settle(struct log *log);

/* Read segment i of the log, and tell the streams. */
void segment_read(struct log *log, size_t i);

/* Where, before `end`, there are nothing but zeros any more. */
uint64_t segment_extent(int fd, uint64_t end);

/* Open the file of a segment; -1: it is not there any more. */
int segment_open(const struct log *log, const struct segment *segment);

#endif /* WEIRLOG_LOG_H */
