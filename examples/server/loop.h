/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef SERVER_LOOP_H
#define SERVER_LOOP_H

/* Waiting for descriptors: epoll where there is one, else poll. Level-triggered
 * either way. */

#include <stdbool.h>

struct loop;

enum {
  LOOP_READ = 1,  /* there is something to read, or the peer has gone */
  LOOP_WRITE = 2, /* there is room to write */
  LOOP_BROKEN = 4 /* nothing will work any more; always reported */
};

/* NULL: errno says why. */
struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Watch a descriptor for events; user comes back with them. 0 is none but
 * LOOP_BROKEN. false: errno says why. */
bool loop_add(struct loop *loop, int fd, int events, void *user);
bool loop_change(struct loop *loop, int fd, int events, void *user);

/* Watch it no more. What has happened to user is not reported any more. */
void loop_remove(struct loop *loop, int fd, const void *user);

/* Wait at most so many ms (-1: without limit) for something to happen. */
void loop_wait(struct loop *loop, int ms);

/* Hand what has happened to `happened`. */
void loop_report(struct loop *loop, void (*happened)(void *user, int events));

#endif /* SERVER_LOOP_H */
