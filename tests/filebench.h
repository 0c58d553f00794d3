/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_FILEBENCH_H
#define WEIR_FILEBENCH_H

/* A file log on a simulated disk, or in a directory of its own, with a hub that
 * has nothing to do but to give tickets: its calls are made one by one, below
 * the streams of the hub. */

#include "kit.h"
#include "simdisk.h"

#include "log.h"
#include "log_file.h"

/* Here things are asserted by the million: without a note each time that one
 * holds, which would be a write(2). */
#define _mark_point(file, line) ((void)0)

/* What was there of a stream when it was read last. */
struct fb_counts {
  bool exists;
  uint64_t trimmed;
  uint64_t present;
  uint64_t lost;
  uint64_t last;
};

struct filebench {
  struct kit kit;
  struct kit_memory memory;      /* the log's */
  weir_log_file_options options; /* to be changed before fb_open */
  struct simdisk disk;
  bool real;                /* a directory, instead: to be set before fb_open */
  char path[KIT_DIRECTORY]; /* of it */
  weir_log_file *log;
  weir_log table;
  uint64_t wall;
  uint64_t chance;
  size_t frame_len;         /* of what is appended; default 40 */
  struct kit_bytes reports; /* what the log has said, in lines */
  struct fb_counts counts;  /* of the last fb_contents */
};

/* How the last call of a kind was answered. */
struct fb_call {
  struct weir__call *place;
  unsigned answers;
  int result;
  struct weir__handle *handle;
};

void fb_init(struct filebench *bench);
/* Close what is open, and see that nothing is left. */
void fb_end(struct filebench *bench);

/* Open the log, and make the hub. */
int fb_try(struct filebench *bench);
void fb_open(struct filebench *bench);

/* Close both. */
int fb_close(struct filebench *bench);
void fb_reopen(struct filebench *bench);

/* The process dies; what it has written stays. The power is cut: what was not
 * synced is gone. Both leave the log closed. */
void fb_kill(struct filebench *bench);
void fb_cut(struct filebench *bench);

/* Let another disk take the place of this one; the log is not open. */
void fb_set_disk(struct filebench *bench, const struct simdisk *disk);

/* Do what there is to do now for the log; returns what went wrong first. */
int fb_rounds(struct filebench *bench);

/* The log's counters. */
weir_log_file_info fb_info(const struct filebench *bench);

/* Calls, with rounds until they are answered: what the answer was. A handle is
 * weir__handle_release'd by the caller. generation: that before it. */
int fb_create(struct filebench *bench, const char *key, uint64_t generation,
              uint64_t epoch, struct weir__handle **handle);
int fb_take(struct filebench *bench, const char *key, uint64_t generation,
            uint64_t epoch, struct weir__handle **handle);
int fb_lookup(struct filebench *bench, const char *key,
              struct weir__handle **handle);
int fb_trim(struct filebench *bench, struct weir__handle *handle,
            uint64_t through);

/* Append events number first to last; flags are those of the last one. */
int fb_append(struct filebench *bench, struct weir__handle *handle,
              uint64_t epoch, uint64_t first, uint64_t last, uint32_t flags);

/* The same without rounds: the answer comes with them. call stays meanwhile. */
void fb_start_create(struct filebench *bench, struct fb_call *call,
                     const char *key, uint64_t generation, uint64_t epoch);
void fb_start_take(struct filebench *bench, struct fb_call *call,
                   const char *key, uint64_t generation, uint64_t epoch);
void fb_start_append(struct filebench *bench, struct fb_call *call,
                     struct weir__handle *handle, uint64_t epoch,
                     uint64_t first, uint64_t last, uint32_t flags);

/* A stream of one writer: created as generation `epoch`, with events 1 to last,
 * and its handle let go. */
void fb_write(struct filebench *bench, const char *key, uint64_t epoch,
              uint64_t last);

/* What is stored of a key, all of it read, as text: its epochs with their last
 * numbers (`*` for one that the log has drawn), what is trimmed, whether it has
 * ended, then the events: "7:3 *:3 trimmed 1 ended | 2-3", where "!4-5" is
 * lost. Every byte is compared with what was appended. "none": there is no such
 * stream. Valid until the next call. */
const char *fb_contents(struct filebench *bench, const char *key);

/* The file in the disk with the nth segment, from 0, and its bytes. */
unsigned char *fb_segment(struct filebench *bench, size_t n, uint64_t *size);

/* Where event seq of a generation stands in a file of the disk: the place of
 * its record; fails if it is not there. */
uint64_t fb_find(struct filebench *bench, size_t n, uint64_t generation,
                 uint64_t seq);

/* Has the log said this? And forget what it said. */
bool fb_said(const struct filebench *bench, const char *text);
void fb_forget(struct filebench *bench);

#endif /* WEIR_FILEBENCH_H */
