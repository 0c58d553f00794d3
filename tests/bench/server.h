/* weir: resumable Server-Sent Events. SPDX-License-Identifier: MIT */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

/* Servers in processes of their own, all of which have one stream: the
 * reference server, a bare loop that only writes, and nchan. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An event's data: the time in ns, filled up; its last byte is the only one of
 * this kind on the wire, so that clients count it. */
#define EVENT_BYTES 200
#define EVENT_MARK '~'

/* How many of them a client that comes back is behind. */
#define BEHIND 100

struct server {
  const char *name;
  pid_t pid;
  int port;
  int control;         /* bare: commands; else the publisher's connection */
  const char *path;    /* where its clients connect */
  char last_id[128];   /* for a client that is BEHIND */
  char directory[256]; /* of its own, or empty */
  int (*publish)(struct server *server, size_t count);
};

/* Each returns 0, or -1 if this machine does not have it. program is the
 * reference server; log may be NULL. */
int server_start_weir(struct server *server, const char *log);
int server_start_bare(struct server *server);
int server_start_nchan(struct server *server);
void server_stop(struct server *server);

/* Publish so many events at once, or the end. */
void server_publish(struct server *server, size_t count);

/* Publish BEHIND events, and set last_id to the one before them. */
void server_fill(struct server *server);

/* A connection for a client, which has sent its request. */
int server_connect(const struct server *server, const char *last_id);

/* A number of the reference server's /stats. */
double server_stat(struct server *server, const char *name);

/* ns of CPU that the process has used; bytes of memory that are its own. */
double server_cpu(const struct server *server);
double server_memory(const struct server *server);

/* Wait until it has nothing to do any more. */
void server_calm(const struct server *server);

#endif /* BENCH_SERVER_H */
