/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "loop.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__) && !defined(SERVER_POLL)

#include <sys/epoll.h>

#define EVENTS_AT_ONCE 512

struct loop {
  int epoll;
  int count; /* of events that are being reported */
  struct epoll_event events[EVENTS_AT_ONCE];
};

struct loop *loop_new(void) {
  struct loop *loop = malloc(sizeof *loop);

  if (loop != NULL) {
    loop->count = 0;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
      free(loop);
      loop = NULL;
    }
  }
  return loop;
}

void loop_free(struct loop *loop) {
  (void)close(loop->epoll);
  free(loop);
}

static bool control(struct loop *loop, int operation, int fd, int events,
                    void *user) {
  struct epoll_event event;

  memset(&event, 0, sizeof event);
  event.events = ((events & LOOP_READ) != 0 ? EPOLLIN | EPOLLRDHUP : 0u) |
                 ((events & LOOP_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0u);
  event.data.ptr = user;
  return epoll_ctl(loop->epoll, operation, fd, &event) == 0;
}

bool loop_add(struct loop *loop, int fd, int events, void *user) {
  return control(loop, EPOLL_CTL_ADD, fd, events, user);
}

bool loop_change(struct loop *loop, int fd, int events, void *user) {
  return control(loop, EPOLL_CTL_MOD, fd, events, user);
}

void loop_remove(struct loop *loop, int fd, const void *user) {
  int i;

  (void)control(loop, EPOLL_CTL_DEL, fd, 0, NULL);
  for (i = 0; i < loop->count; ++i) {
    if (loop->events[i].data.ptr == user) {
      loop->events[i].data.ptr = NULL;
    }
  }
}

void loop_wait(struct loop *loop, int ms) {
  loop->count = epoll_wait(loop->epoll, loop->events, EVENTS_AT_ONCE, ms);
}

void loop_report(struct loop *loop, void (*happened)(void *user, int events)) {
  uint32_t what;
  int i;

  for (i = 0; i < loop->count; ++i) {
    if (loop->events[i].data.ptr != NULL) {
      what = loop->events[i].events;
      happened(loop->events[i].data.ptr,
               ((what & (EPOLLIN | EPOLLRDHUP)) != 0 ? LOOP_READ : 0) |
                   ((what & EPOLLOUT) != 0 ? LOOP_WRITE : 0) |
                   ((what & (EPOLLERR | EPOLLHUP)) != 0 ? LOOP_BROKEN : 0));
    }
  }
  loop->count = 0;
}

#else

#include <poll.h>

struct loop {
  struct pollfd *fds; /* user[i] belongs to fds[i] */
  void **users;
  size_t count;
  size_t cap;
  size_t ready; /* of these something may have happened */
};

struct loop *loop_new(void) {
  return calloc(1, sizeof(struct loop));
}

void loop_free(struct loop *loop) {
  free(loop->fds);
  free(loop->users);
  free(loop);
}

static bool grow(struct loop *loop) {
  const size_t cap = loop->cap == 0 ? 64 : loop->cap * 2;
  struct pollfd *fds = realloc(loop->fds, cap * sizeof *fds);
  void **users;

  if (fds == NULL) {
    return false;
  }
  loop->fds = fds;
  users = realloc(loop->users, cap * sizeof *users);
  if (users == NULL) {
    return false;
  }
  loop->users = users;
  loop->cap = cap;
  return true;
}

static short poll_events(int events) {
  return (short)(((events & LOOP_READ) != 0 ? POLLIN : 0) |
                 ((events & LOOP_WRITE) != 0 ? POLLOUT : 0));
}

static struct pollfd *find(struct loop *loop, int fd) {
  size_t i = 0;

  while (i < loop->count && loop->fds[i].fd != fd) {
    ++i;
  }
  return i < loop->count ? &loop->fds[i] : NULL;
}

bool loop_add(struct loop *loop, int fd, int events, void *user) {
  if (loop->count == loop->cap && !grow(loop)) {
    return false;
  }
  loop->fds[loop->count].fd = fd;
  loop->fds[loop->count].events = poll_events(events);
  loop->fds[loop->count].revents = 0;
  loop->users[loop->count] = user;
  loop->count += 1;
  return true;
}

bool loop_change(struct loop *loop, int fd, int events, void *user) {
  struct pollfd *found = find(loop, fd);

  if (found == NULL) {
    return false;
  }
  found->events = poll_events(events);
  loop->users[found - loop->fds] = user;
  return true;
}

void loop_remove(struct loop *loop, int fd, const void *user) {
  struct pollfd *found = find(loop, fd);

  (void)user;
  /* Swept up after the round that is being reported. */
  if (found != NULL) {
    found->fd = -1;
    found->revents = 0;
  }
}

static void sweep(struct loop *loop) {
  size_t i = 0;

  while (i < loop->count) {
    if (loop->fds[i].fd >= 0) {
      ++i;
    } else {
      loop->count -= 1;
      loop->fds[i] = loop->fds[loop->count];
      loop->users[i] = loop->users[loop->count];
    }
  }
}

void loop_wait(struct loop *loop, int ms) {
  sweep(loop);
  loop->ready = poll(loop->fds, (nfds_t)loop->count, ms) > 0 ? loop->count : 0;
}

void loop_report(struct loop *loop, void (*happened)(void *user, int events)) {
  const size_t ready = loop->ready;
  size_t i;
  short what;

  for (i = 0; i < ready; ++i) {
    what = loop->fds[i].revents;
    if (what != 0) {
      happened(loop->users[i],
               ((what & (POLLIN | POLLHUP)) != 0 ? LOOP_READ : 0) |
                   ((what & POLLOUT) != 0 ? LOOP_WRITE : 0) |
                   ((what & (POLLERR | POLLNVAL)) != 0 ? LOOP_BROKEN : 0));
    }
  }
}

#endif
