/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#include "bare.h"

#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 512
#define DESCRIPTORS 65536
#define BURST_MOST 128

/* As long as a frame of weir's. */
#define FRAME (EVENT_BYTES + 47)

static const char head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    "Cache-Control: no-cache\r\nConnection: close\r\n\r\n"
    "id: mfzwizltorswk-0\nevent: weir.ready\nretry: 1234\n"
    "data: {\"stream\":\"bench\",\"generation\":\"mfzwizltorswk\","
    "\"verdict\":\"fresh\"}\n\n";

static struct {
  int epoll;
  int readers[DESCRIPTORS];
  int place[DESCRIPTORS]; /* of a descriptor, in readers */
  int count;
  char replay[sizeof head + BEHIND * FRAME]; /* and the head before it */
  char frames[BURST_MOST * FRAME];
} bare;

int bare_listen(int *port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int yes = 1;
  struct sockaddr_in address;
  socklen_t len = sizeof address;

  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
      listen(fd, 4096) != 0 ||
      getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
    die("listen");
  }
  *port = ntohs(address.sin_port);
  return fd;
}

static void put_frames(char *dst, size_t count) {
  size_t i;

  for (i = 0; i < count; ++i, dst += FRAME) {
    memcpy(dst, "id: mfzwizltorswk-1000000\nevent: delta\ndata: ", 45);
    server_put_event(dst + 45);
    memcpy(dst + FRAME - 2, "\n\n", 2);
  }
}

static void watch(int fd) {
  struct epoll_event event;

  memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  event.data.fd = fd;
  (void)epoll_ctl(bare.epoll, EPOLL_CTL_ADD, fd, &event);
}

static void take_all(int listener) {
  const int yes = 1;
  int fd;

  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    bare.place[fd] = -1;
    watch(fd);
  }
}

static void forget(int fd) {
  if (bare.place[fd] >= 0) {
    bare.count -= 1;
    bare.readers[bare.place[fd]] = bare.readers[bare.count];
    bare.place[bare.readers[bare.count]] = bare.place[fd];
  }
  (void)close(fd);
}

/* A request, which is one piece. */
static void answer(int fd) {
  char request[1024];
  const ssize_t n = recv(fd, request, sizeof request - 1, 0);
  size_t len;

  if (n <= 0) {
    if (n == 0 || errno != EAGAIN) {
      forget(fd);
    }
    return;
  }
  request[n] = '\0';
  len = strstr(request, "Last-Event-ID") != NULL
            ? sizeof head - 1 + (size_t)BEHIND * FRAME
            : sizeof head - 1;
  if (send(fd, bare.replay, len, MSG_NOSIGNAL) != (ssize_t)len) {
    forget(fd);
    return;
  }
  bare.place[fd] = bare.count;
  bare.readers[bare.count++] = fd;
}

static void write_all(int control) {
  unsigned char byte;
  int i;

  if (read(control, &byte, 1) != 1) {
    exit(0);
  }
  put_frames(bare.frames, byte);
  for (i = 0; i < bare.count; ++i) {
    if (send(bare.readers[i], bare.frames, (size_t)byte * FRAME, MSG_NOSIGNAL) <
        0) {
      die("a client that does not read");
    }
  }
  (void)!write(control, &byte, 1);
}

_Noreturn void bare_run(int listener, int control) {
  struct epoll_event events[EVENTS_AT_ONCE];
  int n;
  int i;

  bare.epoll = epoll_create1(0);
  memcpy(bare.replay, head, sizeof head - 1);
  put_frames(bare.replay + sizeof head - 1, BEHIND);
  watch(listener);
  watch(control);
  for (;;) {
    n = epoll_wait(bare.epoll, events, EVENTS_AT_ONCE, -1);
    for (i = 0; i < n; ++i) {
      if (events[i].data.fd == listener) {
        take_all(listener);
      } else if (events[i].data.fd == control) {
        write_all(control);
      } else {
        answer(events[i].data.fd);
      }
    }
  }
}
