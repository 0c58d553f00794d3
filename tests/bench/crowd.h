/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

/* Many clients of one server, in a process of their own. */

#include "server.h"

struct crowd;

/* They come one after the other, as fast as they can. With a last_id they have
 * been here before. */
struct crowd *crowd_come(const struct server *server, size_t count,
                         const char *last_id);

/* Wait until each has a response, and together they have so many events. */
void crowd_wait(struct crowd *crowd, uint64_t events);

/* How many they have. */
uint64_t crowd_events(const struct crowd *crowd);

/* The time from publishing to receiving that part of all events were below, in
 * us; and forget them. */
double crowd_latency(const struct crowd *crowd, double part);
void crowd_forget(struct crowd *crowd);

void crowd_go(struct crowd *crowd);

#endif /* BENCH_CROWD_H */
