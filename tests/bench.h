/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef WEIR_BENCH_H
#define WEIR_BENCH_H

/* Two hubs on one log, as two processes are on one database, and what tests of
 * that do over and over. */

#include "kit.h"
#include "testlog.h"

struct bench {
  struct testlog log;
  struct kit a;
  struct kit b;
};

/* The log, and what the hubs are made of; both may be changed before
 * bench_hubs. */
void bench_init(struct bench *bench);

/* Make the hubs: with one, b is none. */
void bench_hub(struct bench *bench);
void bench_hubs(struct bench *bench);

/* Free both, and see that nothing is left: no byte, no handle of the log. */
void bench_end(struct bench *bench);

/* Process a dies without a word and another begins: handles have been
 * released. */
void bench_restart(struct bench *bench);

/* Deliver answers and let the hubs run, until nothing is under way. */
void bench_rest(struct bench *bench);

/* The same after letting time pass for both. */
void bench_pass(struct bench *bench, uint64_t ms);

/* Publish n events of type x with the data "1", "2" and so on, from the number
 * after the last one on, and let them be stored. */
void bench_publish(struct bench *bench, weir_stream *stream, size_t n);

/* A stream's state in brief. */
weir_stream_info bench_info(const weir_stream *stream);
weir_hub_info bench_hub_info(const struct kit *kit);

/* An attach that is decided; if later, notices up to that one are taken.
 * *verdict may be NULL. The cursor is of an epoch
 * and a number. */
weir_subscriber *bench_attach(struct bench *bench, struct kit *kit,
                              const char *key, int *verdict);
weir_subscriber *bench_resume(struct bench *bench, struct kit *kit,
                              const char *key, uint64_t epoch, uint64_t seq,
                              int *verdict);

/* Pull everything, waiting for storage where there is something to wait for,
 * and compare: see kit_expect_frames. What a gap says was requested stands
 * there without its epoch. */
void bench_expect(struct bench *bench, weir_subscriber *subscriber, int end,
                  const char *text);

/* An open that is decided, and succeeds. */
weir_stream *bench_open(struct bench *bench, struct kit *kit, const char *key);

#endif /* WEIR_BENCH_H */
