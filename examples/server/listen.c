/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for accept4 */
#endif

#include "listen.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096

/* Bytes that the kernel takes and has not sent yet. What a slow client has not
 * got stays in pages, where all readers share it, and each of its sips is seen
 * as the progress that it is. */
#define UNSENT_MOST 131072

/* Descriptors that no connection takes: the log has 64 segments open to read,
 * and those that it writes, makes and seals; the rest is for what every server
 * has. A log that can make no segment fails the streams that are written to. */
#define KEPT_BACK 96

/* Frames are small, and nobody wants to wait for the next. */
static void tune(int fd) {
  const int yes = 1;
#ifdef TCP_NOTSENT_LOWAT
  const int most = UNSENT_MOST;

  (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most);
#endif
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

/* Whether it is a number that a port can have. getaddrinfo takes larger ones,
 * and means others by them. */
static bool is_port(const char *text) {
  const struct slice port = {text, strlen(text)};
  uint64_t number;

  return parse_number(port, &number) && number <= 65535;
}

/* Split ADDR:PORT at the last colon; [::1]:80 loses its brackets. */
static int split(const char *address, char *host, size_t host_cap,
                 const char **port) {
  const char *colon = strrchr(address, ':');
  size_t len;

  if (colon == NULL || !is_port(colon + 1)) {
    return -1;
  }
  len = (size_t)(colon - address);
  if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
    address += 1;
    len -= 2;
  }
  if (len >= host_cap) {
    return -1;
  }
  memcpy(host, address, len);
  host[len] = '\0';
  *port = colon + 1;
  return 0;
}

static int prepare(int fd) {
  int flags = fcntl(fd, F_GETFL);

  return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
                 fcntl(fd, F_SETFD, FD_CLOEXEC) == 0
             ? 0
             : -1;
}

static int open_one(const struct addrinfo *info) {
  const int yes = 1;
  int fd = socket(info->ai_family, info->ai_socktype, info->ai_protocol);

  if (fd < 0) {
    return -1;
  }
  tune(fd); /* inherited by what others accept from it: see ../hosts */
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(fd, info->ai_addr, info->ai_addrlen) != 0 ||
      listen(fd, BACKLOG) != 0 || prepare(fd) != 0) {
    (void)close(fd);
    return -1;
  }
  return fd;
}

int listen_on(const char *address) {
  struct addrinfo hints;
  struct addrinfo *list = NULL;
  struct addrinfo *info;
  char host[256];
  const char *port = "";
  int fd = -1;
  int rv;

  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  if (split(address, host, sizeof host, &port) != 0) {
    fprintf(stderr, "server: --listen: \"%s\" is not ADDR:PORT\n", address);
    return -1;
  }
  rv = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &list);
  if (rv != 0) {
    fprintf(stderr, "server: --listen: %s: %s\n", address, gai_strerror(rv));
    return -1;
  }
  for (info = list; info != NULL && fd < 0; info = info->ai_next) {
    fd = open_one(info);
  }
  if (fd < 0) {
    fprintf(stderr, "server: cannot listen on %s: %s\n", address,
            strerror(errno));
  }
  freeaddrinfo(list);
  return fd;
}

void listen_say(int fd) {
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  char host[256] = "?";
  char port[16] = "?";

  if (getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
    (void)getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port,
                      sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  }
  printf(strchr(host, ':') == NULL ? "listening on http://%s:%s\n"
                                   : "listening on http://[%s]:%s\n",
         host, port);
  fflush(stdout);
}

/* Both at once where that is possible: a crowd that comes back has to be
 * accepted first. */
static int accept_prepared(int fd) {
#ifdef SOCK_NONBLOCK
  return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
  const int accepted = accept(fd, NULL, NULL);

  if (accepted >= 0 && prepare(accepted) != 0) {
    (void)close(accepted);
    errno = EIO;
    return -1;
  }
  return accepted;
#endif
}

int listen_accept(int fd) {
  const int accepted = accept_prepared(fd);

  if (accepted < 0) {
    return errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                   errno == ENOMEM
               ? -2
               : -1;
  }
  tune(accepted);
  return accepted;
}

size_t listen_raise_limit(void) {
  struct rlimit limit;

  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= SIZE_MAX) {
    return SIZE_MAX;
  }
  return limit.rlim_cur / 2 > KEPT_BACK ? (size_t)limit.rlim_cur - KEPT_BACK
                                        : (size_t)limit.rlim_cur / 2;
}
