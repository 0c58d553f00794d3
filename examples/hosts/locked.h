/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef LOCKED_H
#define LOCKED_H

/*
 * A hub that several threads use: one lock, and one thread that runs the hub
 * and hands out its notices.
 *
 * Whoever calls weir, with the hub or with a handle of it, stands between
 * locked_enter and locked_leave. So do notices, which the running thread hands
 * out with the lock held; a notice that only signals a condition variable, or
 * resumes a connection, keeps nobody waiting.
 *
 * Two things are easily got wrong:
 *
 * - "There is nothing to send" and "so I sleep" have to be one step, with the
 *   lock held over both. Else the notice `readable` comes in between, wakes
 *   nobody, and is not repeated.
 * - What any thread does can give the running thread something to do while it
 *   sleeps, if only at an earlier time (a client attaches, and has a
 *   heartbeat). weir_hub_options.wake says so.
 */

#include <weir/weir.h>

#include <pthread.h>
#include <stdbool.h>

struct locked {
  pthread_mutex_t mutex;
  pthread_cond_t due; /* the running thread sleeps for too long */
  pthread_t thread;
  weir_hub *hub;
  bool stopping;
};

/* Make a hub, and start the thread that runs it. */
bool locked_start(struct locked *locked, const weir_hub_options *options);

void locked_enter(struct locked *locked);
void locked_leave(struct locked *locked);

/* Take nobody in any more, and tell all readers to go, so that each of them has
 * something to send, and then its end. Wait until *readers, which changes under
 * the lock, is 0; at most so many ms. */
void locked_drain(struct locked *locked, const size_t *readers, uint64_t most);

/* End the thread, and free the hub. */
void locked_stop(struct locked *locked);

#endif /* LOCKED_H */
